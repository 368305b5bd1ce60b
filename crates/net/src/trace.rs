//! Every SIP message in and out, kept for a while: a ring bounded by bytes, looked up by Call-ID.
//!
//! Noting a message copies its bytes once and formats nothing. What a call is made of is told by the exchange as legs:
//! [`Trace::leg`] joins a call with the Call-IDs of its dialogs. Secrets are masked when messages leave the ring.
#![expect(
    clippy::disallowed_types,
    reason = "an edge: the threads of sockets, the control loop and HTTP share the ring"
)]

mod hep;
mod pcap;
mod redact;
mod ring;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use offhook_sip::Flow;
use offhook_units::{CallId, Tick};

use self::hep::Exporter;
pub use self::hep::{HepConfig, HepCounters, QUEUE_MAX as HEP_QUEUE_MAX};
pub use self::pcap::write as pcap;
pub use self::redact::redact;
use self::ring::{Entry, Ring};
use crate::Clock;

/// Bytes that the ring holds where the configuration does not say, what is noted of each message included.
pub const RING_BYTES_DEFAULT: usize = 64 << 20;

/// Calls whose legs are known; beyond it the oldest is forgotten.
pub const CALLS_MAX: usize = 65_536;

/// Legs of one call that are known; more are counted and not joined.
pub const LEGS_PER_CALL_MAX: usize = 64;

/// Messages shown of one call at most: the first ones.
pub const SHOWN_MAX: usize = 2_000;

/// One message as it went over the wire, secrets masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When it was read or handed to the socket.
    pub at: Tick,
    /// Between whom.
    pub flow: Flow,
    /// We sent it.
    pub sent: bool,
    /// Its place among the call's legs.
    pub leg: usize,
    /// The whole message.
    pub bytes: Vec<u8>,
}

/// A call's messages in order, with the names of its legs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ladder {
    /// Who is at the other end of each leg.
    pub legs: Vec<String>,
    /// What is still held of the call, in order.
    pub messages: Vec<Seen>,
    /// Older messages have fallen out of the ring since the call began, or there are more than [`SHOWN_MAX`].
    pub cut: bool,
}

/// What the ring holds and lost, for metrics.
#[derive(Debug, Default)]
pub struct TraceCounters {
    /// Messages noted.
    pub noted: AtomicU64,
    /// Messages that newer ones pushed out.
    pub fallen_out: AtomicU64,
    /// Messages too long for the ring.
    pub too_long: AtomicU64,
    /// Bytes held now.
    pub bytes: AtomicU64,
    /// Legs that were not joined with their call, which has too many.
    pub legs_unnamed: AtomicU64,
}

/// The ring; cheap to clone, shared by whoever sends and receives.
#[derive(Debug, Clone, Default)]
pub struct Trace(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    ring: Option<Mutex<Ring>>,
    calls: Mutex<BTreeMap<CallId, Vec<Leg>>>,
    exporter: Option<Exporter>,
    counters: TraceCounters,
}

#[derive(Debug, Clone)]
struct Leg {
    call_id: Box<str>,
    name: String,
    since: Tick,
}

impl Trace {
    /// A ring of `bytes_max`, none where that is zero; each message is sent to Homer too, where `hep` says so.
    ///
    /// # Errors
    /// Where the socket or the thread of the export cannot be made.
    pub fn start(clock: Clock, bytes_max: usize, hep: Option<HepConfig>) -> io::Result<Self> {
        if bytes_max == 0 && hep.is_none() {
            return Ok(Self::default());
        }
        Ok(Self(Some(Arc::new(Inner {
            clock,
            ring: (bytes_max > 0).then(|| Mutex::new(Ring::new(bytes_max))),
            calls: Mutex::default(),
            exporter: hep.map(Exporter::start).transpose()?,
            counters: TraceCounters::default(),
        }))))
    }

    /// Notes a message that came in.
    pub fn received(&self, flow: Flow, bytes: &[u8]) {
        if let Some(inner) = &self.0 {
            inner.note(Entry { at: inner.clock.now(), flow, sent: false }, bytes);
        }
    }

    /// Notes a message that goes out.
    pub fn sent(&self, flow: Flow, bytes: &[u8]) {
        if let Some(inner) = &self.0 {
            inner.note(Entry { at: inner.clock.now(), flow, sent: true }, bytes);
        }
    }

    /// Joins a call with a dialog of its: `name` says who is at its other end.
    pub fn leg(&self, at: Tick, call: CallId, sip_call_id: &str, name: String) {
        let Some(inner) = self.0.as_ref().filter(|inner| inner.ring.is_some()) else { return };
        let mut calls = lock(&inner.calls);
        let legs = calls.entry(call).or_default();
        if legs.len() >= LEGS_PER_CALL_MAX {
            inner.counters.legs_unnamed.fetch_add(1, Ordering::Relaxed);
        } else if legs.iter().all(|leg| *leg.call_id != *sip_call_id) {
            legs.push(Leg { call_id: sip_call_id.into(), name, since: at });
        }
        if calls.len() > CALLS_MAX {
            calls.pop_first();
        }
    }

    /// What is held of a call; none where the call is not known, or nothing is kept.
    pub fn ladder(&self, call: CallId) -> Option<Ladder> {
        let inner = self.0.as_ref()?;
        let ring = inner.ring.as_ref()?;
        let legs = lock(&inner.calls).get(&call)?.clone();
        let wanted: Vec<(u64, &str)> = legs.iter().map(|leg| (hash(leg.call_id.as_bytes()), &*leg.call_id)).collect();
        let (found, oldest) = {
            let ring = lock(ring);
            (ring.find(&wanted, SHOWN_MAX + 1), ring.oldest())
        };
        let began = legs.first().map(|leg| leg.since);
        // The ring holds everything since its oldest message, and all that ever came until it was full.
        let fell =
            inner.counters.fallen_out.load(Ordering::Relaxed) > 0 && oldest.zip(began).is_some_and(|(o, b)| o > b);
        let cut = fell || found.len() > SHOWN_MAX;
        let mut messages: Vec<Seen> = found
            .into_iter()
            .take(SHOWN_MAX)
            .map(|(Entry { at, flow, sent }, leg, mut bytes)| {
                redact(&mut bytes);
                Seen { at, flow, sent, leg, bytes }
            })
            .collect();
        // Several threads note messages: two of them may stand in the ring the wrong way round.
        messages.sort_by_key(|seen| seen.at);
        Some(Ladder { legs: legs.into_iter().map(|leg| leg.name).collect(), messages, cut })
    }

    /// What it holds and lost; none where nothing is kept.
    pub fn counter(&self, read: impl Fn(&TraceCounters) -> &AtomicU64) -> Option<u64> {
        let inner = self.0.as_ref().filter(|inner| inner.ring.is_some())?;
        Some(read(&inner.counters).load(Ordering::Relaxed))
    }

    /// What the export to Homer sent and dropped, where there is one.
    pub fn hep_counters(&self) -> Option<Arc<HepCounters>> {
        Some(Arc::clone(self.0.as_ref()?.exporter.as_ref()?.counters()))
    }
}

impl Inner {
    fn note(&self, entry: Entry, bytes: &[u8]) {
        if let Some(exporter) = &self.exporter {
            exporter.offer(entry, bytes);
        }
        let Some(ring) = &self.ring else { return };
        let hash = call_id(bytes).map_or(0, hash);
        let counters = &self.counters;
        let mut ring = lock(ring);
        match ring.push(entry, hash, bytes) {
            Ok(fallen_out) => {
                counters.noted.fetch_add(1, Ordering::Relaxed);
                counters.fallen_out.fetch_add(fallen_out, Ordering::Relaxed);
                counters.bytes.store(ring.bytes() as u64, Ordering::Relaxed);
            }
            Err(ring::TooLong) => {
                counters.too_long.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The Call-ID of a message as it stands on the wire, whether the rest of it can be read or not.
fn call_id(bytes: &[u8]) -> Option<&[u8]> {
    /// A message whose Call-ID stands further behind is found by nobody.
    const HEAD_BYTES_MAX: usize = 8 * 1_024;
    let head = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    for line in offhook_sip::head_lines(head).skip(1) {
        if line.is_empty() {
            return None;
        }
        let name = match line {
            [b'i' | b'I', ..] => 1,
            [b'C' | b'c', ..] if line.len() > 7 && line[..7].eq_ignore_ascii_case(b"Call-ID") => 7,
            _ => continue,
        };
        if let Some(value) = line[name..].trim_ascii_start().strip_prefix(b":") {
            return Some(value.trim_ascii());
        }
    }
    None
}

/// FNV-1a with 64 bits: finds candidates, which are then compared.
fn hash(call_id: &[u8]) -> u64 {
    call_id.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use offhook_sip::Transport;
    use offhook_units::Span;

    fn flow() -> Flow {
        let address = |last, port| std::net::SocketAddr::from(([192, 0, 2, last], port));
        Flow { transport: Transport::Udp, local: address(1, 5_060), peer: address(9, 5_062) }
    }

    fn ring(bytes_max: usize) -> Trace {
        Trace::start(Clock::start(None), bytes_max, None).expect("a ring")
    }

    fn note(trace: &Trace, at: Tick, sent: bool, bytes: &[u8]) {
        trace.0.as_ref().expect("it is on").note(Entry { at, flow: flow(), sent }, bytes);
    }

    fn message(call_id: &str) -> Vec<u8> {
        format!("BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\n\r\n").into_bytes()
    }

    #[test]
    fn a_calls_messages_are_found_by_the_call_ids_of_its_legs_and_nobody_elses() {
        let trace = ring(1 << 20);
        let start = Tick::from_us(1_000_000);
        for (n, id) in ["one", "other", "two", "one"].into_iter().enumerate() {
            let at = start + Span::from_ms(n as u64);
            note(&trace, at, n % 2 == 1, &message(id));
        }
        trace.leg(start, CallId(7), "one", "trunk demo".to_owned());
        trace.leg(start, CallId(7), "two", "agent alice".to_owned());
        trace.leg(start, CallId(7), "two", "said twice".to_owned());
        let ladder = trace.ladder(CallId(7)).expect("a known call");
        assert_eq!(ladder.legs, ["trunk demo", "agent alice"]);
        let seen: Vec<_> = ladder.messages.iter().map(|seen| (seen.leg, seen.sent, seen.bytes.clone())).collect();
        assert_eq!(seen, [(0, false, message("one")), (1, false, message("two")), (0, true, message("one"))]);
        assert!(!ladder.cut);
        assert_eq!(trace.ladder(CallId(8)), None);
    }

    #[test]
    fn a_full_ring_loses_its_oldest_messages_counts_them_and_says_so() {
        let trace = ring(10_000);
        let start = Tick::from_us(1_000_000);
        trace.leg(start, CallId(1), "early", "trunk".to_owned());
        note(&trace, start, false, &message("early"));
        for n in 1..=500 {
            note(&trace, start + Span::from_ms(n), false, &message("late"));
        }
        trace.leg(start + Span::from_ms(500), CallId(2), "late", "trunk".to_owned());
        let early = trace.ladder(CallId(1)).expect("a known call");
        assert!(early.messages.is_empty() && early.cut);
        let late = trace.ladder(CallId(2)).expect("a known call");
        assert_eq!(late.messages.last().map(|seen| seen.at), Some(start + Span::from_ms(500)));
        let fallen_out = trace.counter(|counters| &counters.fallen_out).expect("a ring");
        assert_eq!(fallen_out as usize + late.messages.len(), 501);
        assert!(trace.counter(|counters| &counters.bytes).expect("a ring") <= 10_000);
        note(&trace, start, false, "a".repeat(20_000).as_bytes());
        assert_eq!(trace.counter(|counters| &counters.too_long), Some(1));
    }

    #[test]
    fn a_call_id_is_found_however_its_header_is_written_and_only_in_the_head() {
        for (text, id) in [
            ("A b SIP/2.0\r\nCall-ID: x@y\r\n\r\n", Some("x@y")),
            ("A b SIP/2.0\r\nVia: v\r\ncALL-id  :x\r\n", Some("x")),
            ("A b SIP/2.0\ni:\t x \n\n", Some("x")),
            ("A b SIP/2.0\r\nIdentity: x\r\nCall-Info: y\r\n\r\nCall-ID: body", None),
            ("Call-ID: first line", None),
            ("", None),
        ] {
            assert_eq!(call_id(text.as_bytes()), id.map(str::as_bytes), "{text:?}");
        }
    }

    #[test]
    fn nothing_is_kept_by_a_trace_that_is_off() {
        let trace = ring(0);
        trace.received(flow(), &message("one"));
        trace.leg(Tick::ZERO, CallId(1), "one", "trunk".to_owned());
        assert_eq!((trace.ladder(CallId(1)), trace.counter(|counters| &counters.noted)), (None, None));
    }

    #[test]
    fn a_call_with_too_many_legs_keeps_the_first_ones_and_counts_the_rest() {
        let trace = ring(1 << 16);
        for n in 0..LEGS_PER_CALL_MAX + 3 {
            trace.leg(Tick::ZERO, CallId(1), &format!("id-{n}"), format!("leg {n}"));
        }
        assert_eq!(trace.ladder(CallId(1)).map(|ladder| ladder.legs.len()), Some(LEGS_PER_CALL_MAX));
        assert_eq!(trace.counter(|counters| &counters.legs_unnamed), Some(3));
    }
}
