//! Where the owner of many inputs sleeps: on its own sockets, and on a bell that everybody else rings.
//!
//! A thread that hands datagrams over costs two switches each; the owner reads them itself. Channels cannot be slept on together
//! with sockets, so whoever sends on one rings the [`Bell`]; that is a system call only while the owner sleeps.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use crossbeam_channel::{SendError, Sender, TrySendError};
use offhook_sip::MESSAGE_BYTES_MAX;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bans::Bans;
use crate::datagrams::Receiver;
use crate::flood::{Flood, Gate};
use crate::sip::{BATCH_MAX, Incoming, SipSocket};
use crate::wake::Wake;

/// Rouses the owner of an [`Intake`].
#[derive(Debug)]
pub struct Bell {
    wake: Wake,
    asleep: AtomicBool,
}

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    /// The operating system gives no descriptor.
    pub fn new() -> io::Result<Self> {
        Ok(Self { wake: Wake::new()?, asleep: AtomicBool::new(false) })
    }

    /// Rouses the owner where it sleeps. What it shall find has been sent before.
    pub fn ring(&self) {
        // Together with the fence in `Intake::sleep`: either the owner sees what was sent, or this sees it asleep.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.wake.wake();
        }
    }
}

/// The sending end of a channel whose receiver may sleep on a [`Bell`].
#[derive(Debug)]
pub struct Post<T> {
    sender: Sender<T>,
    bell: Option<Arc<Bell>>,
}

impl<T> Post<T> {
    /// Rings `bell` after each send.
    pub fn new(sender: Sender<T>, bell: Arc<Bell>) -> Self {
        Self { sender, bell: Some(bell) }
    }

    /// As [`Sender::try_send`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        self.sender.try_send(item)?;
        self.ring();
        Ok(())
    }

    /// As [`Post::try_send`], without ringing: found whenever the owner looks next.
    ///
    /// # Errors
    /// As there.
    pub fn leave(&self, item: T) -> Result<(), TrySendError<T>> {
        self.sender.try_send(item)
    }

    /// As [`Sender::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        self.sender.send(item)?;
        self.ring();
        Ok(())
    }

    fn ring(&self) {
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }
}

impl<T> Clone for Post<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), bell: self.bell.clone() }
    }
}

/// For a receiver that sleeps on the channel itself.
impl<T> From<Sender<T>> for Post<T> {
    fn from(sender: Sender<T>) -> Self {
        Self { sender, bell: None }
    }
}

/// UDP listeners and a bell, for the one thread that owns what comes in.
#[derive(Debug)]
pub struct Intake {
    listeners: Vec<Listener>,
    bell: Arc<Bell>,
    gate: Gate,
}

#[derive(Debug)]
struct Listener {
    socket: SipSocket,
    receiver: Receiver,
    ready: bool,
}

impl Intake {
    /// Reads from `sockets` what `bans` lets through.
    pub fn new(sockets: &[SipSocket], bell: Arc<Bell>, bans: Arc<Bans>) -> Self {
        let listener = |socket: &SipSocket| Listener {
            socket: socket.clone(),
            receiver: Receiver::new(BATCH_MAX, MESSAGE_BYTES_MAX),
            ready: false,
        };
        Self { listeners: sockets.iter().map(listener).collect(), bell, gate: Gate { flood: Flood::default(), bans } }
    }

    /// Sleeps until a datagram is there, the bell rings or `timeout` is over; not at all where `idle`, asked last, says no.
    /// The sockets are looked at in any case.
    pub fn sleep(&mut self, timeout: Duration, idle: impl FnOnce() -> bool) {
        self.bell.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let timeout = if idle() { timeout } else { Duration::ZERO };
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let descriptors = self.listeners.iter().map(|listener| listener.socket.as_fd());
        let mut descriptors: Vec<PollFd<'_>> = descriptors
            .chain([self.bell.wake.as_fd()])
            .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
            .collect();
        // An interrupted or failed wait is a short one: the caller looks at everything all the same.
        let polled = poll(&mut descriptors, Some(&timeout));
        self.bell.asleep.store(false, Ordering::Relaxed);
        let ready: Vec<bool> = descriptors.iter().map(|fd| polled.is_err() || !fd.revents().is_empty()).collect();
        if ready.last() == Some(&true) {
            self.bell.wake.clear();
        }
        for (listener, ready) in self.listeners.iter_mut().zip(ready) {
            listener.ready = ready;
        }
    }

    /// One batch from each listener that has something, as of the last [`Intake::sleep`]. Tells whether there may be more.
    pub fn read(&mut self, into: &mut Vec<Incoming>) -> bool {
        let mut more = false;
        for Listener { socket, receiver, ready } in &mut self.listeners {
            if !core::mem::take(ready) {
                continue;
            }
            match receiver.take(socket.as_fd().as_raw_fd()) {
                Ok(received) => {
                    let mut count = 0;
                    socket.read(received.inspect(|_| count += 1), &mut self.gate, into);
                    more |= count == BATCH_MAX;
                }
                Err(error) if crate::sip::is_passing(&error) => socket.read_errors(into),
                Err(error) => tracing::error!(%error, local = %socket.local(), "the SIP listener failed"),
            }
        }
        more
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "threads that ring and a deadline")]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    fn socket() -> SipSocket {
        SipSocket::bind("127.0.0.1:0".parse().expect("an address")).expect("a port")
    }

    #[test]
    fn a_datagram_ends_the_sleep_and_is_read() {
        let (listener, peer) = (socket(), socket());
        let mut intake =
            Intake::new(core::slice::from_ref(&listener), Arc::new(Bell::new().expect("a bell")), Arc::default());
        peer.send(listener.local(), b"rubbish");
        let mut read = Vec::new();
        while read.is_empty() {
            intake.sleep(DEADLINE, || true);
            intake.read(&mut read);
        }
        assert!(matches!(&read[..], [Incoming::Malformed(flow, _)] if flow.peer == peer.local()));
    }

    #[test]
    fn who_is_banned_and_who_scans_is_not_read() {
        use crate::bans::{BanLimits, Bans};
        let bans = Arc::new(Bans::new(BanLimits { malformed_per_minute: 1, ..BanLimits::default() }));
        let listener = socket();
        let bell = Arc::new(Bell::new().expect("a bell"));
        let mut intake = Intake::new(core::slice::from_ref(&listener), bell, Arc::clone(&bans));
        let peer = socket();
        for text in ["OPTIONS sip:a@b SIP/2.0\r\nUser-Agent: friendly-scanner\r\n\r\n", "rubbish", "rubbish", "rubbish"]
        {
            peer.send(listener.local(), text.as_bytes());
        }
        let mut read = Vec::new();
        while bans.dropped() == 0 {
            intake.sleep(DEADLINE, || true);
            intake.read(&mut read);
            assert!(read.len() <= 2, "{read:?}");
        }
        assert_eq!((read.len(), bans.scanners(), bans.banned()), (2, 1, 1));
        assert!(read.iter().all(|incoming| matches!(incoming, Incoming::Malformed(..))));
    }

    #[test]
    fn a_closed_port_ends_the_sleep_once() {
        let (listener, gone) = (socket(), socket().local());
        let mut intake =
            Intake::new(core::slice::from_ref(&listener), Arc::new(Bell::new().expect("a bell")), Arc::default());
        listener.send(gone, b"is anybody there?");
        let mut read = Vec::new();
        while read.is_empty() {
            intake.sleep(DEADLINE, || true);
            intake.read(&mut read);
        }
        assert!(matches!(&read[..], [Incoming::Lost(flow)] if flow.peer == gone));
        let began = std::time::Instant::now();
        intake.sleep(Duration::from_millis(50), || true);
        assert!(began.elapsed() >= Duration::from_millis(50), "what was told is told no more");
    }

    #[test]
    fn what_is_sent_from_other_threads_is_never_slept_over() {
        const SENT: usize = 20_000;
        let bell = Arc::new(Bell::new().expect("a bell"));
        let (sender, receiver) = crossbeam_channel::unbounded();
        let post = Post::new(sender, Arc::clone(&bell));
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let post = post.clone();
                std::thread::spawn(move || (0..SENT / 2).for_each(|n| post.send(n).expect("a receiver")))
            })
            .collect();
        let (mut intake, mut seen) = (Intake::new(&[], bell, Arc::default()), 0);
        let began = std::time::Instant::now();
        while seen < SENT {
            intake.sleep(DEADLINE, || receiver.is_empty());
            assert!(began.elapsed() < DEADLINE, "slept although {} of {SENT} had been sent", seen + receiver.len());
            seen += receiver.try_iter().count();
        }
        for sender in senders {
            sender.join().expect("a sender");
        }
    }
}
