//! Packets of one side put back in order: a missing one is waited for a little, doubles and stragglers are counted.
//!
//! Where a stream starts, restarts or paused, a few packets are gathered before the first is released, so that its place
//! can be told from the fastest of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use offhook_plan::CodecKind;
use offhook_plan::tap::TapHeader;
use offhook_units::{RtpSeq, Span, Tick};

/// How long a missing packet is waited for.
pub const REORDER_WAIT: Span = Span::from_ms(120);

/// Most packets that wait behind a missing one.
pub const REORDER_PACKETS_MAX: usize = 32;

/// How long packets are gathered at a start.
pub const SETTLE_WAIT: Span = Span::from_ms(200);

/// How many packets are enough to gather at a start.
pub const SETTLE_PACKETS: usize = 10;

/// An arrival this long after the one before it makes the stream settle again.
pub const PAUSE: Span = Span::from_ms(400);

/// Steps of the sequence number forward that still belong to the stream, RFC 3550 A.1 (MAX_DROPOUT).
const DROPOUT_MAX: i16 = 3_000;

/// Steps backward that still belong to the stream, RFC 3550 A.1 (MAX_MISORDER).
const MISORDER_MAX: i16 = 100;

/// Packets in a row that agree with each other, and not with the stream, and so begin a new one; RFC 3550 A.1 (MIN_SEQUENTIAL).
const RESTART_PACKETS: usize = 2;

const _: () = assert!(SETTLE_PACKETS < REORDER_PACKETS_MAX, "settling ends before the window is full");

/// One packet: its payload lies in the ring, or here where it has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<P> {
    pub at: Tick,
    pub payload_type: u8,
    pub codec: Option<CodecKind>,
    pub seq: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: P,
}

/// A packet that waits.
pub type Held = Packet<Vec<u8>>;

impl<'a> Packet<&'a [u8]> {
    pub const fn new(header: &TapHeader, payload: &'a [u8]) -> Self {
        let TapHeader { at, payload_type, codec, seq, timestamp, ssrc, .. } = *header;
        Self { at, payload_type, codec, seq, timestamp, ssrc, payload }
    }

    fn held(self) -> Held {
        let Self { at, payload_type, codec, seq, timestamp, ssrc, payload } = self;
        Packet { at, payload_type, codec, seq, timestamp, ssrc, payload: payload.to_vec() }
    }
}

impl Held {
    pub fn lent(&self) -> Packet<&[u8]> {
        let Self { at, payload_type, codec, seq, timestamp, ssrc, ref payload } = *self;
        Packet { at, payload_type, codec, seq, timestamp, ssrc, payload }
    }
}

/// What came before a released packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing special: the stream runs.
    Running,
    /// The sender or the network paused; the packets that follow are in [`Sequencer::waiting`].
    Pause,
    /// A new stream begins here; likewise.
    Start,
}

/// A packet in its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    pub packet: Held,
    /// Sequence numbers that never came, between the packet before and this one.
    pub lost: u64,
    pub before: Before,
}

/// Puts one side's packets in order.
#[derive(Debug, Default)]
pub struct Sequencer {
    ssrc: u32,
    /// The unwrapped sequence number that is released next; `None` while a start settles.
    next: Option<u64>,
    /// One bit for each of the 64 numbers before `next`: whether it was released.
    released: u64,
    held: BTreeMap<u64, Held>,
    /// The highest unwrapped number seen; `None` before the first packet.
    highest: Option<u64>,
    last_arrival: Tick,
    settling: Option<(Tick, Before)>,
    suspects: Vec<Held>,
    pub duplicates: u64,
    pub late: u64,
    pub strays: u64,
}

impl Sequencer {
    /// Takes a packet in; says whether it is its turn, with nothing special before it, so that it need not wait here. Where it
    /// proves that a new stream has begun, the rest of the old one is appended to `rest`.
    pub fn push(&mut self, packet: Packet<&[u8]>, rest: &mut Vec<Released>) -> bool {
        let Some(highest) = self.highest else {
            self.start(vec![packet.held()]);
            return false;
        };
        let steps = RtpSeq(packet.seq).distance(RtpSeq(highest as u16));
        if packet.ssrc != self.ssrc || !(-MISORDER_MAX..=DROPOUT_MAX).contains(&steps) {
            self.suspect(packet.held(), rest);
            return false;
        }
        self.strays += self.suspects.drain(..).len() as u64;
        if self.settling.is_none() && packet.at.since(self.last_arrival) > PAUSE {
            self.settling = Some((packet.at, Before::Pause));
        }
        self.last_arrival = packet.at;
        let number = highest.saturating_add_signed(i64::from(steps));
        if self.settling.is_none() && self.next == Some(number) {
            self.highest = Some(highest.max(number));
            self.pass(number, 0);
            return true;
        }
        self.accept(number, packet.held());
        false
    }

    /// The next packet whose turn has come at `now`; at the `end` of the recording nothing is waited for.
    pub fn pop(&mut self, now: Tick, end: bool) -> Option<Released> {
        let first = *self.held.keys().next()?;
        let mut before = Before::Running;
        if let Some((since, why)) = self.settling {
            if !end && self.held.len() < SETTLE_PACKETS && now.since(since) < SETTLE_WAIT {
                return None;
            }
            before = why;
        }
        let next = self.next.unwrap_or(first);
        let waited = || self.held.values().map(|p| p.at).min().is_some_and(|at| now.since(at) >= REORDER_WAIT);
        if first != next && !end && self.held.len() < REORDER_PACKETS_MAX && !waited() {
            return None;
        }
        self.settling = None;
        let packet = self.held.remove(&first)?;
        if self.held.is_empty() {
            // An emptied map keeps a node for eleven packets.
            self.held = BTreeMap::new();
        }
        let lost = first - next;
        self.pass(first, lost);
        Some(Released { packet, lost, before })
    }

    /// Begins anew with the next packet. What is held must have been released before.
    pub fn restart(&mut self) {
        self.held.clear();
        self.suspects.clear();
        self.highest = None;
        self.settling = None;
    }

    /// `number` is released, and `lost` before it are given up.
    const fn pass(&mut self, number: u64, lost: u64) {
        self.released = if lost < 63 { self.released << (lost + 1) | 1 } else { 1 };
        self.next = Some(number + 1);
    }

    /// Packets that arrived and wait behind the one released last.
    pub fn waiting(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    fn start(&mut self, packets: Vec<Held>) {
        let (Some(first), Some(last)) = (packets.first(), packets.last()) else { return };
        self.ssrc = first.ssrc;
        self.settling = Some((first.at, Before::Start));
        self.last_arrival = last.at;
        self.next = None;
        self.released = 0;
        // Far enough from zero for packets that were overtaken by the first.
        let origin = (1 << 32) | u64::from(first.seq);
        let origin_seq = RtpSeq(first.seq);
        self.highest = Some(origin);
        for packet in packets {
            let steps = RtpSeq(packet.seq).distance(origin_seq);
            self.accept(origin.saturating_add_signed(i64::from(steps)), packet);
        }
    }

    fn accept(&mut self, number: u64, packet: Held) {
        self.highest = self.highest.max(Some(number));
        if let Some(behind) = self.next.and_then(|next| next.checked_sub(number + 1)) {
            let seen = behind < 64 && self.released >> behind & 1 == 1;
            *(if seen { &mut self.duplicates } else { &mut self.late }) += 1;
        } else if let Entry::Vacant(place) = self.held.entry(number) {
            place.insert(packet);
        } else {
            self.duplicates += 1;
        }
    }

    /// A packet that does not fit the stream: kept until others agree with it.
    fn suspect(&mut self, packet: Held, rest: &mut Vec<Released>) {
        if let Some(last) = self.suspects.last() {
            let steps = RtpSeq(packet.seq).distance(RtpSeq(last.seq));
            if last.ssrc != packet.ssrc || !(-MISORDER_MAX..=MISORDER_MAX).contains(&steps) {
                self.strays += self.suspects.drain(..).len() as u64;
            } else if steps == 0 {
                self.duplicates += 1;
                return;
            }
        }
        let now = packet.at;
        self.suspects.push(packet);
        if self.suspects.len() >= RESTART_PACKETS {
            while let Some(released) = self.pop(now, true) {
                rest.push(released);
            }
            let suspects = std::mem::take(&mut self.suspects);
            self.start(suspects);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds packets `(ms, ssrc, seq)`; gives `seq` of what is released, with losses, and the sequencer.
    fn run(packets: &[(u64, u32, u16)]) -> (Vec<(u16, u64, Before)>, Sequencer) {
        let mut sequencer = Sequencer::default();
        let mut out = Vec::new();
        for &(ms, ssrc, seq) in packets {
            let at = Tick::from_us(ms * 1_000);
            let packet = Packet { at, payload_type: 0, codec: None, seq, timestamp: 0, ssrc, payload: &[][..] };
            let queued = out.len();
            if sequencer.push(packet, &mut out) {
                assert_eq!(out.len(), queued, "the rest of an old stream comes before a new one, which settles");
                out.push(Released { packet: packet.held(), lost: 0, before: Before::Running });
            }
            while let Some(released) = sequencer.pop(at, false) {
                out.push(released);
            }
        }
        while let Some(released) = sequencer.pop(Tick::MAX, true) {
            out.push(released);
        }
        (out.into_iter().map(|r| (r.packet.seq, r.lost, r.before)).collect(), sequencer)
    }

    fn numbers(released: &[(u16, u64, Before)]) -> Vec<u16> {
        released.iter().map(|r| r.0).collect()
    }

    #[test]
    fn packets_overtaken_across_the_wrap_and_at_the_start_come_out_in_order() {
        let (out, sequencer) = run(&[(0, 1, 65_535), (1, 1, 65_534), (20, 1, 1), (21, 1, 0), (22, 1, 1), (40, 1, 2)]);
        assert_eq!(numbers(&out), [65_534, 65_535, 0, 1, 2]);
        assert!(out.iter().all(|r| r.1 == 0));
        assert_eq!((sequencer.duplicates, sequencer.late), (1, 0));
        assert_eq!(out[0].2, Before::Start);
    }

    #[test]
    fn a_missing_packet_is_waited_for_120_ms_then_lost_and_late_when_it_comes() {
        let mut packets: Vec<_> = (0..20).map(|n| (u64::from(n) * 20, 1, n)).collect();
        packets.remove(12);
        let mut too_late = packets.clone();
        too_late.push((385, 1, 12));
        let (out, sequencer) = run(&too_late);
        assert_eq!(out[12], (13, 1, Before::Running));
        assert_eq!((sequencer.late, sequencer.duplicates), (1, 0));
        packets.insert(17, (341, 1, 12));
        let (out, sequencer) = run(&packets);
        assert_eq!(numbers(&out), (0..20).collect::<Vec<_>>());
        assert_eq!(sequencer.late, 0);
    }

    #[test]
    fn a_new_ssrc_needs_two_packets_in_a_row_and_strays_are_left_out() {
        let (out, sequencer) =
            run(&[(0, 1, 10), (20, 1, 11), (30, 9, 7), (40, 1, 12), (60, 2, 500), (80, 2, 501), (100, 2, 502)]);
        assert_eq!(numbers(&out), [10, 11, 12, 500, 501, 502]);
        assert_eq!(out.iter().filter(|r| r.2 == Before::Start).count(), 2);
        assert_eq!(sequencer.strays, 1);
    }

    #[test]
    fn a_leap_of_the_sequence_number_starts_anew_and_a_pause_settles_again() {
        let mut packets: Vec<_> = (0..15).map(|n| (u64::from(n) * 20, 1, n)).collect();
        packets.extend((0..15).map(|n| (300 + u64::from(n) * 20, 1, 20_000 + n)));
        packets.extend((15..30).map(|n| (2_000 + u64::from(n) * 20, 1, 20_000 + n)));
        let (out, _) = run(&packets);
        assert_eq!(out.len(), 45);
        let settled: Vec<_> = out.iter().filter(|r| r.2 != Before::Running).copied().collect();
        assert_eq!(settled, [(0, 0, Before::Start), (20_000, 0, Before::Start), (20_015, 0, Before::Pause)]);
    }

    #[test]
    fn random_numbers_hold_memory_within_the_window() {
        let mut entropy = offhook_units::Entropy::from_number(3);
        let mut sequencer = Sequencer::default();
        let mut rest = Vec::new();
        for n in 0..100_000 {
            let at = Tick::from_us(n * entropy.below(40_000));
            let (seq, ssrc) = (entropy.next_u32() as u16, entropy.below(3) as u32);
            let packet = Packet { at, payload_type: 0, codec: None, seq, timestamp: 0, ssrc, payload: &[][..] };
            sequencer.push(packet, &mut rest);
            while sequencer.pop(at, false).is_some() {}
            rest.clear();
            assert!(sequencer.held.len() <= REORDER_PACKETS_MAX && sequencer.suspects.len() <= RESTART_PACKETS);
        }
    }
}
