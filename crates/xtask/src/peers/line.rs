//! The sound of one caller beside sipp: sends known speech as RTP, keeps every packet that comes, and compares.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Samples, and bytes of mu-law, in a packet of 20 ms.
pub const FRAME: usize = 160;
const FRAME_TIME: Duration = Duration::from_millis(20);
/// The payload type of telephone-event in fixtures/sipp.
const EVENT: u8 = 101;
/// Packets of one key press before its end, which is sent three times (RFC 4733 section 2.5.1).
const EVENT_FRAMES: u16 = 5;

/// A packet that was sent or that came.
#[derive(Debug, Clone)]
pub struct Packet {
    /// When.
    pub at: Instant,
    /// Sequence number.
    pub seq: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Payload type.
    pub kind: u8,
    /// Payload.
    pub payload: Vec<u8>,
}

/// A caller's mouth and ear, running in a thread of its own.
#[derive(Debug)]
pub struct Line {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Heard>>,
}

/// Everything that went over a line.
#[derive(Debug, Default)]
pub struct Heard {
    /// Speech that was sent, in order.
    pub sent: Vec<Packet>,
    /// What came with payload type 0, in order of arrival.
    pub received: Vec<Packet>,
}

impl Line {
    /// Begins to talk from `local` to `remote`: `codes` over and over, from its `begin`th frame on; `press` is pressed once
    /// after so many frames.
    pub fn talk(
        local: SocketAddr,
        remote: SocketAddr,
        codes: Arc<[u8]>,
        begin: usize,
        press: Option<(u8, usize)>,
    ) -> Result<Self> {
        let socket = UdpSocket::bind(local).with_context(|| format!("the caller's media port {local}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || Mouth { socket, remote, codes, frame: begin, press }.run(&told));
        Ok(Self { stop, thread })
    }

    /// Stops talking and listening.
    pub fn hang_up(self) -> Result<Heard> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("a line panicked"))?
    }
}

struct Mouth {
    socket: UdpSocket,
    remote: SocketAddr,
    codes: Arc<[u8]>,
    frame: usize,
    press: Option<(u8, usize)>,
}

impl Mouth {
    fn run(mut self, stop: &AtomicBool) -> Result<Heard> {
        let mut heard = Heard::default();
        let frames = self.codes.len() / FRAME;
        ensure!(frames > 0, "nothing to say");
        let (mut seq, mut timestamp, ssrc) =
            (self.frame as u16, 7_000_u32, 0x0ff_400c0 ^ u32::from(self.socket.local_addr()?.port()));
        let mut next = Instant::now();
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            self.listen_until(next, &mut heard)?;
            if let Some((digit, after)) = self.press
                && sent >= after
            {
                let step = (sent - after) as u16;
                self.send_event(&mut seq, timestamp, ssrc, digit, step)?;
                if step == EVENT_FRAMES {
                    self.press = None;
                }
                // Speech under a key press is left out; its time passes.
                timestamp = timestamp.wrapping_add(FRAME as u32);
            } else {
                let at = (self.frame % frames) * FRAME;
                let payload = self.codes[at..at + FRAME].to_vec();
                self.send(0, seq, timestamp, ssrc, &payload)?;
                heard.sent.push(Packet { at: Instant::now(), seq, timestamp, kind: 0, payload });
                (seq, timestamp) = (seq.wrapping_add(1), timestamp.wrapping_add(FRAME as u32));
                self.frame += 1;
            }
            sent += 1;
            next += FRAME_TIME;
        }
        self.listen_until(Instant::now() + Duration::from_millis(60), &mut heard)?;
        Ok(heard)
    }

    fn send_event(&self, seq: &mut u16, now: u32, ssrc: u32, digit: u8, step: u16) -> Result<()> {
        let begin = now.wrapping_sub(u32::from(step) * FRAME as u32);
        let duration = ((step + 1) * FRAME as u16).to_be_bytes();
        let last = step == EVENT_FRAMES;
        let payload = [digit, if last { 0x8a } else { 0x0a }, duration[0], duration[1]];
        for _ in 0..if last { 3 } else { 1 } {
            self.send(EVENT | if step == 0 { 0x80 } else { 0 }, *seq, begin, ssrc, &payload)?;
            *seq = seq.wrapping_add(1);
        }
        Ok(())
    }

    fn send(&self, kind: u8, seq: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Result<()> {
        let mut packet = vec![0x80, kind];
        packet.extend(seq.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend(payload);
        match self.socket.send_to(&packet, self.remote) {
            Ok(_) => Ok(()),
            // The far port may close a moment before we hear of the hang-up.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn listen_until(&self, until: Instant, heard: &mut Heard) -> Result<()> {
        let mut buffer = [0; 2_048];
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.socket.set_read_timeout(Some(left.max(Duration::from_micros(100))))?;
            match self.socket.recv_from(&mut buffer) {
                Ok((length, _)) => heard.received.extend(parse(&buffer[..length]).filter(|p| p.kind == 0)),
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    return Ok(());
                }
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// An RTP packet without extension or contributing sources, as all peers here send them.
fn parse(datagram: &[u8]) -> Option<Packet> {
    let (head, payload) = datagram.split_at_checked(12)?;
    (head[0] == 0x80).then(|| Packet {
        at: Instant::now(),
        seq: u16::from_be_bytes([head[2], head[3]]),
        timestamp: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        kind: head[1] & 0x7f,
        payload: payload.to_vec(),
    })
}

/// Payloads one after the other, in order of sequence numbers.
pub fn joined(packets: &[Packet]) -> Vec<u8> {
    let Some(first) = packets.first() else { return Vec::new() };
    let mut order: Vec<&Packet> = packets.iter().collect();
    order.sort_by_key(|p| p.seq.wrapping_sub(first.seq) as i16);
    order.into_iter().flat_map(|p| p.payload.iter().copied()).collect()
}

/// Where `part`, as a whole, stands in `whole`.
pub fn position(whole: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() || part.len() > whole.len() {
        return None;
    }
    // Its most varied frame is looked for first, so that long silences cost nothing.
    let varied = |frame: &[u8]| frame.windows(2).filter(|w| w[0] != w[1]).count();
    let probe = (0..part.len() / FRAME).max_by_key(|f| varied(&part[f * FRAME..(f + 1) * FRAME]));
    let (offset, needle) = probe.map_or((0, part), |f| (f * FRAME, &part[f * FRAME..(f + 1) * FRAME]));
    let last = whole.len() - part.len();
    (0..=last)
        .find(|at| whole[at + offset..at + offset + needle.len()] == *needle && whole[*at..at + part.len()] == *part)
}

/// The longest run of whole frames, beginning at a frame of `received`, that stands unbroken in `sent`: (first frame of
/// `received`, frames, place in `sent`).
pub fn longest_run(received: &[u8], sent: &[u8]) -> Option<(usize, usize, usize)> {
    let frames: Vec<&[u8]> = received.chunks_exact(FRAME).collect();
    let mut best: Option<(usize, usize, usize)> = None;
    let mut from = 0;
    while from < frames.len() {
        let Some(place) = distinct(frames[from]).then(|| position(sent, frames[from])).flatten() else {
            from += 1;
            continue;
        };
        // Silence before the first frame that can be told apart belongs to the run as well.
        let (mut first, mut at) = (from, place);
        while first > 0 && at >= FRAME && frames[first - 1] == &sent[at - FRAME..at] {
            (first, at) = (first - 1, at - FRAME);
        }
        let run = frames[first..].iter().zip(sent[at..].chunks_exact(FRAME)).take_while(|(a, b)| **a == *b).count();
        if best.is_none_or(|(_, longest, _)| run > longest) {
            best = Some((first, run, at));
        }
        from = first + run.max(1);
    }
    best
}

/// Whether a frame has enough in it to be found only in its own place.
fn distinct(frame: &[u8]) -> bool {
    frame.windows(2).filter(|w| w[0] != w[1]).count() > FRAME / 2
}

/// A caller's line by the lines that a scenario of fixtures/sipp logs.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Answered: the call's number and where its sound goes.
    Start(usize, SocketAddr),
    /// About to hang up.
    Stop(usize),
    /// The exchange ended it.
    Bye(usize),
}

/// Reads one line of a sipp log.
pub fn said(line: &str) -> Result<Said> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number =
        |at: usize| words.get(at).and_then(|w| w.parse().ok()).with_context(|| format!("sipp logged {line:?}"));
    match words.first() {
        Some(&"START") => {
            let ip: Option<IpAddr> = words.get(2).and_then(|word| word.parse().ok());
            let port: Option<u16> = words.get(3).and_then(|word| word.parse().ok());
            let address = ip.zip(port).with_context(|| format!("sipp logged {line:?}"))?;
            Ok(Said::Start(number(1)?, address.into()))
        }
        Some(&"STOP") => Ok(Said::Stop(number(1)?)),
        Some(&"BYE") => Ok(Said::Bye(number(1)?)),
        _ => bail!("sipp logged {line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u32, frames: usize) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..frames * FRAME).map(|_| next()).collect()
    }

    #[test]
    fn an_unbroken_run_is_found_after_other_sound() {
        let sent = noise(1, 40);
        let mut received = noise(2, 5);
        received.extend(&sent[10 * FRAME..30 * FRAME]);
        assert_eq!(longest_run(&received, &sent), Some((5, 20, 10 * FRAME)));
        assert_eq!(position(&received, &sent[10 * FRAME..30 * FRAME]), Some(5 * FRAME));
    }

    #[test]
    fn a_missing_frame_breaks_a_run() {
        let sent = noise(1, 40);
        let received = [&sent[..10 * FRAME], &sent[11 * FRAME..40 * FRAME]].concat();
        assert_eq!(longest_run(&received, &sent), Some((10, 29, 11 * FRAME)));
    }

    #[test]
    fn what_a_line_says_is_what_the_other_hears_and_a_key_is_five_packets_and_its_end() {
        let free = || UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port");
        let ear = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let codes: Arc<[u8]> = noise(3, 50).into();
        let line = Line::talk(free(), ear.local_addr().expect("bound"), codes, 4, Some((1, 2))).expect("talks");
        ear.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let mut kinds = Vec::new();
        let mut buffer = [0; 500];
        while kinds.len() < 12 {
            let length = ear.recv(&mut buffer).expect("a packet");
            kinds.push(parse(&buffer[..length]).expect("RTP").kind);
        }
        assert_eq!(kinds, [0, 0, 101, 101, 101, 101, 101, 101, 101, 101, 0, 0]);
        assert!(line.hang_up().expect("a whole line").sent.len() >= 4);
    }

    #[test]
    fn sipp_log_lines_are_read() {
        assert_eq!(
            said("START 3 127.0.0.1 10002").ok(),
            Some(Said::Start(3, "127.0.0.1:10002".parse().expect("an address")))
        );
        assert_eq!(said("START 4 ::1 10002").ok(), Some(Said::Start(4, "[::1]:10002".parse().expect("an address"))));
        assert_eq!(said("STOP 9").ok(), Some(Said::Stop(9)));
        assert!(said("what").is_err());
    }
}
