//! The ways that messages come and go: datagrams, or connections of a thread of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use offhook_net::Letter;
use offhook_net::bans::{BanLimits, Bans, Network};
use offhook_net::intake::{Bell, Intake, Post};
use offhook_net::sip::{Incoming, SipSocket};
use offhook_net::streams::{Lead, StreamLimits, StreamListener, Streams, Tls};
use offhook_net::trace::Trace;
use offhook_sip::{Flow, Transport};

use crate::process;
use crate::run::RunError;

/// Letters that are collected before they are sent.
const LETTERS_MAX: usize = 256;
/// Batches of messages that may wait for us; then connections are read no further until there is room.
const BATCHES_MAX: usize = 4_096;

/// Our addresses for SIP that are bound, and nobody listens yet.
#[derive(Debug, Default)]
pub struct Bound {
    sockets: Vec<SipSocket>,
    listeners: Vec<StreamListener>,
}

impl Bound {
    /// One more; gives where it is.
    pub fn bind(
        &mut self,
        transport: Transport,
        address: SocketAddr,
        what: &'static str,
    ) -> Result<SocketAddr, RunError> {
        let bad = |error| RunError::Bind { what, error };
        if transport == Transport::Udp {
            let socket = SipSocket::bind(address).map_err(bad)?;
            let local = socket.local();
            self.sockets.push(socket);
            return Ok(local);
        }
        let listener = StreamListener::bind(transport, address).map_err(bad)?;
        let local = listener.local();
        self.listeners.push(listener);
        Ok(local)
    }
}

/// The ways of a run.
#[derive(Debug)]
pub struct Lines {
    sockets: Vec<SipSocket>,
    letters: Vec<Vec<Letter>>,
    streams: Option<Streams>,
    arrived: Receiver<Vec<Incoming>>,
    intake: Intake,
}

impl Lines {
    /// Listens. What comes wakes whoever sleeps in [`Lines::sleep`], and so does `bell`.
    /// Over TLS those are believed whom `tls` says, under the names of `leads`.
    pub fn open(bound: Bound, tls: Option<Tls>, leads: Vec<Lead>, bell: Arc<Bell>) -> Result<Self, RunError> {
        let Bound { sockets, listeners } = bound;
        let trusted = ["0.0.0.0/0", "::/0"].into_iter().filter_map(Network::parse).collect();
        let bans = Arc::new(Bans::new(BanLimits { trusted, ..BanLimits::default() }));
        let (tell, arrived) = bounded(BATCHES_MAX);
        let post = Post::new(tell, Arc::clone(&bell));
        let streams = if listeners.is_empty() {
            None
        } else {
            let limits = StreamLimits { connections_per_source_max: usize::MAX, ..StreamLimits::default() };
            let deliver = move |batch| post.try_send(batch).map_err(crossbeam_channel::TrySendError::into_inner);
            let streams =
                Streams::start(listeners, tls, limits, Arc::clone(&bans), Arc::new(deliver), Trace::default());
            let streams = streams.map_err(|error| RunError::System { what: "thread", error })?;
            streams.lead(0, leads);
            Some(streams)
        };
        let letters = sockets.iter().map(|_| Vec::new()).collect();
        Ok(Self { intake: Intake::new(&sockets, bell, bans), letters, sockets, streams, arrived })
    }

    /// Sends a message, at the latest with [`Lines::flush`].
    pub fn send(&mut self, flow: Flow, bytes: Vec<u8>) {
        if let Some(streams) = self.streams.as_ref().filter(|_| flow.transport != Transport::Udp) {
            return streams.send(flow, bytes);
        }
        let at = self.sockets.iter().position(|socket| socket.local() == flow.local).unwrap_or(0);
        if let (Some(socket), Some(letters)) = (self.sockets.get(at), self.letters.get_mut(at)) {
            letters.push(socket.letter(flow, bytes));
            if letters.len() >= LETTERS_MAX {
                socket.send_all(letters);
                letters.clear();
            }
        }
    }

    /// Sends what was collected.
    pub fn flush(&mut self) {
        for (socket, letters) in self.sockets.iter().zip(&mut self.letters) {
            if !letters.is_empty() {
                socket.send_all(letters);
                letters.clear();
            }
        }
    }

    /// Sleeps until something comes or `timeout` is over.
    pub fn sleep(&mut self, timeout: Duration) {
        let arrived = &self.arrived;
        self.intake.sleep(timeout, || arrived.is_empty() && !timeout.is_zero());
    }

    /// What has come; says whether there may be more.
    pub fn read(&mut self, into: &mut Vec<Incoming>) -> bool {
        let more = self.intake.read(into);
        into.extend(self.arrived.try_iter().flatten());
        more
    }

    /// Datagrams that the kernel dropped, or the gate before us, on our sockets for SIP.
    pub fn dropped(&self) -> u64 {
        let flooded = self.sockets.iter().map(|socket| socket.counters().flooded.load(Ordering::Relaxed));
        let ports: Vec<u16> = self.sockets.iter().map(|socket| socket.local().port()).collect();
        flooded.sum::<u64>() + process::dropped(&ports)
    }
}
