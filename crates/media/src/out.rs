//! The stream that a leg is sent: one source, one line of sequence numbers and timestamps, whoever speaks.

use offhook_rtp::Header;
use offhook_units::{RtpSeq, RtpTime, SampleRate, Span, Tick};

/// A relayed timestamp that differs from the time gone by more than this is a jump of the source.
const JUMP: Span = Span::from_s(1);
/// How far back of the newest a relayed packet may lie.
const LATE_MAX: u16 = 1_000;

#[derive(Debug, Clone, Copy)]
struct Last {
    seq: RtpSeq,
    timestamp: RtpTime,
    samples: u32,
    at: Tick,
}

/// What was sent on a leg so far.
#[derive(Debug)]
pub struct OutStream {
    pub ssrc: u32,
    pub packets: u64,
    pub bytes: u64,
    /// What its timestamps are counted in.
    pub clock: SampleRate,
    first: (RtpSeq, RtpTime),
    last: Option<Last>,
}

impl OutStream {
    pub const fn new(ssrc: u32, first_seq: u16, first_timestamp: u32) -> Self {
        let first = (RtpSeq(first_seq), RtpTime(first_timestamp));
        Self { ssrc, packets: 0, bytes: 0, clock: SampleRate::NARROW, first, last: None }
    }

    /// Where a new speaker begins: the next number, and a timestamp that goes on without a gap where the last packet is still
    /// sounding, and by the time gone otherwise (whole packets of it).
    pub fn next_for_new_speaker(&self, now: Tick) -> (RtpSeq, RtpTime) {
        let Some(last) = self.last else { return self.first };
        let packet = last.samples.max(1);
        let gone = self.clock.samples(now.since(last.at)) as u32;
        let step = if gone > 2 * packet { (gone + packet / 2) / packet * packet } else { packet };
        (last.seq.next(), last.timestamp.wrapping_add(step))
    }

    /// The packet right after the last one of the same speaker.
    pub fn next_of_same_speaker(&self) -> (RtpSeq, RtpTime) {
        let Some(last) = self.last else { return self.first };
        (last.seq.next(), last.timestamp.wrapping_add(last.samples))
    }

    /// Notes what was sent; `samples` is how long it sounds, `None` for a telephone-event, which leaves the time line alone.
    pub fn sent(&mut self, now: Tick, header: &Header, samples: Option<u32>, payload_bytes: usize) {
        self.packets += 1;
        self.bytes += payload_bytes as u64;
        match (&mut self.last, samples) {
            (Some(last), _) if header.seq.distance(last.seq) <= 0 => {}
            (Some(last), None) => last.seq = header.seq,
            (last, samples) => {
                *last =
                    Some(Last { seq: header.seq, timestamp: header.timestamp, samples: samples.unwrap_or(0), at: now });
            }
        }
    }

    /// The timestamp that belongs to `now`, for sender reports.
    pub fn timestamp_at(&self, now: Tick) -> RtpTime {
        self.last
            .map_or(self.first.1, |last| last.timestamp.wrapping_add(self.clock.samples(now.since(last.at)) as u32))
    }
}

/// Turns the numbers of one relayed source into those of the leg it is relayed to.
#[derive(Debug, Default)]
pub struct Relay {
    map: Option<Map>,
    /// Where a map has not begun: nothing at or before this source number is relayed, it was heard otherwise.
    after: Option<RtpSeq>,
}

#[derive(Debug)]
struct Map {
    seq_offset: u16,
    time_offset: u32,
    newest: RtpSeq,
    /// Nothing at or before this source number is relayed any more: it belongs to the time before this map.
    floor: RtpSeq,
    speech: Option<(Tick, RtpTime)>,
}

/// The numbers of a relayed packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    pub seq: RtpSeq,
    pub timestamp: RtpTime,
    /// The first packet of the speaker on this leg, or after a jump.
    pub begins: bool,
}

impl Relay {
    /// Goes on after the packet with this number of the source, which was heard otherwise.
    pub const fn after(seq: RtpSeq) -> Self {
        Self { map: None, after: Some(seq) }
    }

    /// The numbers for a packet that arrived at `at` and is sent at `now`; `None` where it comes too late to have any.
    /// `began` where the source is new or began anew; `speech` where the timestamp moves with time.
    pub fn map(
        &mut self,
        now: Tick,
        at: Tick,
        header: &Header,
        began: bool,
        speech: bool,
        out: &OutStream,
    ) -> Option<Mapped> {
        let map = match &mut self.map {
            Some(map) if !began => map,
            slot => {
                if !began && self.after.is_some_and(|after| header.seq.distance(after) <= 0) {
                    return None;
                }
                self.after = None;
                let (seq, timestamp) = out.next_for_new_speaker(now);
                *slot = Some(Map {
                    seq_offset: seq.0.wrapping_sub(header.seq.0),
                    time_offset: timestamp.0.wrapping_sub(header.timestamp.0),
                    newest: header.seq,
                    floor: header.seq.wrapping_add(u16::MAX),
                    speech: speech.then_some((at, header.timestamp)),
                });
                return Some(Mapped { seq, timestamp, begins: true });
            }
        };
        if header.seq.distance(map.floor) <= 0 {
            return None;
        }
        let mut begins = false;
        if header.seq.distance(map.newest) > 0 {
            map.advance(header.seq);
            if speech {
                if let Some((before, timestamp)) = map.speech {
                    let gone = out.clock.samples(at.since(before)) as i64;
                    let moved = i64::from(header.timestamp.distance(timestamp));
                    if moved.abs_diff(gone) > out.clock.samples(JUMP) {
                        let (_, next) = out.next_for_new_speaker(now);
                        map.time_offset = next.0.wrapping_sub(header.timestamp.0);
                        begins = true;
                    }
                }
                map.speech = Some((at, header.timestamp));
            }
        }
        Some(Mapped {
            seq: header.seq.wrapping_add(map.seq_offset),
            timestamp: header.timestamp.wrapping_add(map.time_offset),
            begins,
        })
    }

    /// A packet of the source that is not for this leg: its number is closed up, so that it does not look lost.
    pub fn skip(&mut self, seq: RtpSeq) {
        if let Some(map) = &mut self.map
            && seq.distance(map.newest) > 0
        {
            map.advance(seq);
            map.seq_offset = map.seq_offset.wrapping_sub(1);
            map.floor = seq;
        }
    }
}

impl Map {
    const fn advance(&mut self, seq: RtpSeq) {
        self.newest = seq;
        if seq.distance(self.floor) > LATE_MAX as i16 {
            self.floor = seq.wrapping_add(u16::MAX - LATE_MAX + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(seq: u16, timestamp: u32) -> Header {
        Header { payload_type: 0, marker: false, seq: RtpSeq(seq), timestamp: RtpTime(timestamp), ssrc: 1 }
    }

    #[test]
    fn loss_stays_visible_and_skipped_packets_do_not_look_lost() {
        let (mut relay, out) = (Relay::default(), OutStream::new(9, 65_530, 1_000));
        let mut numbers = Vec::new();
        for (seq, skip) in [(10, false), (11, false), (13, false), (14, true), (15, true), (16, false), (12, false)] {
            let at = Tick::ZERO + Span::from_ms(20) * u64::from(seq);
            if skip {
                relay.skip(RtpSeq(seq));
            } else {
                let mapped = relay.map(at, at, &header(seq, u32::from(seq) * 160), false, true, &out);
                numbers.push(mapped.map(|m| (m.seq.0, m.timestamp.0)));
            }
        }
        let expected = [(65_530, 1_000), (65_531, 1_160), (65_533, 1_480), (65_534, 1_960)].map(Some);
        assert_eq!(numbers[..4], expected);
        // Number 12 comes after what was closed up behind it: its place is not known any more.
        assert_eq!(numbers[4], None);
    }

    #[test]
    fn a_hundred_thousand_packets_keep_their_distance() {
        let (mut relay, mut out) = (Relay::default(), OutStream::new(9, 5, 5));
        for n in 0..100_000_u32 {
            let at = Tick::ZERO + Span::from_ms(20) * u64::from(n);
            let header = header(n as u16, n.wrapping_mul(160));
            let mapped = relay.map(at, at, &header, false, true, &out).unwrap();
            assert_eq!((mapped.seq.0, mapped.timestamp.0, mapped.begins), ((n + 5) as u16, n * 160 + 5, n == 0));
            out.sent(at, &Header { seq: mapped.seq, timestamp: mapped.timestamp, ..header }, Some(160), 160);
        }
    }

    #[test]
    fn a_timestamp_jump_is_evened_out_and_marked() {
        let (mut relay, mut out) = (Relay::default(), OutStream::new(9, 5, 0));
        let mut last = 0;
        for n in 0..10_u32 {
            let at = Tick::ZERO + Span::from_ms(20) * u64::from(n);
            let jump = if n < 5 { 0 } else { 700_000_000 };
            let mapped = relay.map(at, at, &header(n as u16, n * 160 + jump), false, true, &out).unwrap();
            assert!(n == 0 || mapped.timestamp.0 - last == 160);
            assert_eq!(mapped.begins, n == 0 || n == 5);
            last = mapped.timestamp.0;
            out.sent(at, &Header { seq: mapped.seq, timestamp: mapped.timestamp, ..header(0, 0) }, Some(160), 160);
        }
    }
}
