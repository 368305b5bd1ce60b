//! What a call receives: packets from one source into the jitter buffer, statistics, keys, and a digest of every payload.

use core::net::SocketAddr;

use offhook_codec::{Coding, Law, NarrowDecoder};
use offhook_media::{JitterBuffer, JitterConfig, JitterStats, Pulled};
use offhook_plan::Negotiated;
use offhook_rtp::emodel::{Impairment, mos, rating};
use offhook_rtp::{
    Bursts, Heard as Number, Packet, PeerReport, ReceiverStats, Report, TelephoneEvent, VoipMetrics, read_reports,
};
use offhook_units::{RtpTime, Span, Tick};

use crate::digest::OrderedDigest;

/// Packets from another address are taken once the first has been silent for this long.
pub const LATCH_FOR: Span = Span::from_ms(200);

/// What a datagram was, as far as the call's owner wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    /// Nothing new.
    Nothing,
    /// The first packet of speech.
    First,
    /// A key was pressed; reported once per key.
    Key(char),
}

/// The receiving half of a call, without a socket.
pub struct Listener {
    negotiated: Negotiated,
    jitter: JitterBuffer,
    decoder: NarrowDecoder,
    stats: ReceiverStats,
    bursts: Bursts,
    digest: OrderedDigest,
    latched: Option<(SocketAddr, Tick)>,
    key: Option<RtpTime>,
    packets: u64,
    bytes: u64,
    discarded: u64,
    keys: String,
    first_at: Option<Tick>,
    last_at: Option<Tick>,
    longest_gap: Span,
    /// The peer's last sender report: the middle of its NTP time, and when it came.
    sender_report: Option<(u32, Tick)>,
    peer_fraction_lost: Option<u8>,
    round_trip_us: Option<u32>,
}

/// What was received so far, for whoever wants to judge the line.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Heard {
    /// Packets that were sent to us, as their numbers tell.
    pub expected: u64,
    /// Of them never came.
    pub lost: u64,
    /// Came too late to be played.
    pub late: u64,
    /// Interarrival jitter, in milliseconds.
    pub jitter_ms: f64,
    /// How long a packet waits to be played, in milliseconds.
    pub wait_ms: f64,
    /// The round trip as the last reports said, in milliseconds.
    pub round_trip_ms: Option<f64>,
}

/// The figures of what was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Packets of speech taken.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// SHA-256 over the payloads in sequence order, in hexadecimal.
    pub sha256: String,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets from strangers, of unknown payload types, or malformed.
    pub discarded: u64,
    /// Interarrival jitter at the end, in microseconds.
    pub jitter_us: u64,
    /// Keys heard, in order.
    pub keys: String,
    /// Longest time between two packets of speech.
    pub longest_gap: Span,
    /// When the first packet of speech came.
    pub first_at: Option<Tick>,
    /// What the jitter buffer did.
    pub playout: JitterStats,
    /// What the peer last said that it lost of ours, of 256.
    pub peer_fraction_lost: Option<u8>,
    /// The round trip as the last reports said, in microseconds.
    pub round_trip_us: Option<u32>,
}

/// Most keys remembered for the statistics.
const KEYS_MAX: usize = 256;

/// How speech that was agreed on is to be read. What has no coding is not among what a phone can do, so nobody agrees on it.
pub fn coding_of(negotiated: &Negotiated) -> Coding {
    offhook_media::coding_of(negotiated.codec).unwrap_or(Coding::G711(Law::Mu))
}

impl Listener {
    /// Listens to what `negotiated` agreed on.
    pub fn new(negotiated: Negotiated) -> Self {
        Self {
            jitter: JitterBuffer::new(JitterConfig::default()),
            decoder: NarrowDecoder::new(coding_of(&negotiated)),
            negotiated,
            stats: ReceiverStats::default(),
            bursts: Bursts::default(),
            digest: OrderedDigest::default(),
            latched: None,
            key: None,
            packets: 0,
            bytes: 0,
            discarded: 0,
            keys: String::new(),
            first_at: None,
            last_at: None,
            longest_gap: Span::ZERO,
            sender_report: None,
            peer_fraction_lost: None,
            round_trip_us: None,
        }
    }

    /// A later offer or answer changed what was agreed; statistics and digest go on.
    pub fn renegotiate(&mut self, negotiated: Negotiated) {
        if negotiated.codec != self.negotiated.codec {
            self.decoder = NarrowDecoder::new(coding_of(&negotiated));
            self.jitter = JitterBuffer::new(JitterConfig::default());
        }
        if negotiated.direction != self.negotiated.direction {
            // Silence that was agreed on is no gap.
            self.last_at = None;
        }
        if negotiated.remote_rtp != self.negotiated.remote_rtp {
            self.latched = None;
        }
        self.negotiated = negotiated;
    }

    /// A datagram came to the RTP port. `keep` gets each payload of speech in sequence order.
    pub fn rtp(&mut self, now: Tick, from: SocketAddr, datagram: &[u8], keep: impl FnMut(&[u8])) -> Noticed {
        let Ok(packet) = Packet::parse(datagram) else {
            self.discarded += 1;
            return Noticed::Nothing;
        };
        if self.latched.is_some_and(|(source, at)| source != from && now.since(at) < LATCH_FOR) {
            self.discarded += 1;
            return Noticed::Nothing;
        }
        let is_key =
            self.negotiated.telephone_event.is_some_and(|(_, received)| received == packet.header.payload_type);
        if !is_key && packet.header.payload_type != self.negotiated.recv_payload_type {
            self.discarded += 1;
            return Noticed::Nothing;
        }
        self.latched = Some((from, now));
        if is_key { self.key(&packet, keep) } else { self.speech(now, &packet, keep) }
    }

    fn speech(&mut self, now: Tick, packet: &Packet<'_>, mut keep: impl FnMut(&[u8])) -> Noticed {
        let header = packet.header;
        let arrival = (now.as_us() / 125) as u32;
        let heard = self.stats.heard(header.ssrc, header.seq, header.timestamp, Some(arrival));
        if !heard.is_new() {
            return Noticed::Nothing;
        }
        if let Number::Newest { skipped } = heard {
            self.bursts.lost(skipped);
        }
        self.bursts.came();
        if heard == Number::Began {
            self.digest.restart(&mut keep);
        }
        self.digest.push(header.seq, packet.payload, keep);
        self.jitter.push(now, packet);
        self.packets += 1;
        self.bytes += packet.payload.len() as u64;
        if let Some(last) = self.last_at.replace(now) {
            self.longest_gap = self.longest_gap.max(now.since(last));
        }
        if self.first_at.is_some() {
            return Noticed::Nothing;
        }
        self.first_at = Some(now);
        Noticed::First
    }

    fn key(&mut self, packet: &Packet<'_>, mut keep: impl FnMut(&[u8])) -> Noticed {
        let header = packet.header;
        let heard = self.stats.heard(header.ssrc, header.seq, header.timestamp, None);
        if !heard.is_new() {
            return Noticed::Nothing;
        }
        if heard == Number::Began {
            self.digest.restart(&mut keep);
        }
        self.digest.skip(header.seq, keep);
        // The peer's speech stops for a key: that is no gap.
        self.last_at = None;
        let Some(digit) = TelephoneEvent::parse(packet.payload).and_then(|event| event.digit()) else {
            return Noticed::Nothing;
        };
        if self.key.replace(header.timestamp) == Some(header.timestamp) {
            return Noticed::Nothing;
        }
        if self.keys.len() < KEYS_MAX {
            self.keys.push(digit);
        }
        Noticed::Key(digit)
    }

    /// A datagram came that cannot be opened, or is none of ours.
    pub const fn discard(&mut self) {
        self.discarded += 1;
    }

    /// A datagram of reports came. `ours` is our source.
    pub fn rtcp(&mut self, now: Tick, datagram: &[u8], ours: u32) {
        let Ok(report) = read_reports(datagram, ours) else {
            self.discarded += 1;
            return;
        };
        let PeerReport { sender_ntp_mid, fraction_lost, jitter: _, echo: _, metrics: _, bye: _ } = report;
        if let Some(mid) = sender_ntp_mid {
            self.sender_report = Some((mid, now));
        }
        self.peer_fraction_lost = fraction_lost.or(self.peer_fraction_lost);
        self.round_trip_us = report.round_trip_us(now).or(self.round_trip_us);
    }

    /// The block of our next report with LSR and DLSR, RFC 3550 section 6.4.1; none before the first packet.
    pub fn report(&mut self, now: Tick) -> Option<(Report, u32, u32)> {
        let report = self.stats.report()?;
        let (lsr, dlsr) = self.sender_report.map_or((0, 0), |(mid, at)| {
            let delay = u128::from(now.since(at).as_us()) * 65_536 / 1_000_000;
            (mid, u32::try_from(delay).unwrap_or(u32::MAX))
        });
        Some((report, lsr, dlsr))
    }

    /// What is heard, in the words of RFC 3611; none where the peer does not ask for that, or before the first packet.
    pub fn metrics(&self) -> Option<VoipMetrics> {
        let expected = self.stats.expected();
        if !self.negotiated.voip_metrics || expected == 0 {
            return None;
        }
        let share = |packets: u64| packets as f64 / expected as f64;
        let (lost, late) = (share(self.stats.lost()), share(self.jitter.stats().late));
        let of_256 = |share: f64| (share * 256.0).min(255.0) as u8;
        let ms = |ms: u64| u16::try_from(ms).unwrap_or(u16::MAX);
        let (packet_ms, buffer_ms) = (u16::from(self.negotiated.ptime_ms), ms(self.jitter.wait().as_ms()));
        let round_trip_ms = ms(u64::from(self.round_trip_us.unwrap_or(0)) / 1_000);
        let delay_ms = f64::from(round_trip_ms) / 2.0 + f64::from(packet_ms) + f64::from(buffer_ms);
        let rated = |delay_ms: f64| rating(Impairment::G711, lost + late, delay_ms);
        let score = |rating: f64| Some((mos(rating) * 10.0).round() as u8);
        let mut metrics = VoipMetrics {
            lost: of_256(lost),
            discarded: of_256(late),
            round_trip_ms,
            end_system_ms: packet_ms.saturating_add(buffer_ms),
            rating: Some(rated(delay_ms).clamp(0.0, 100.0).round() as u8),
            mos_lq_x10: score(rated(0.0)),
            mos_cq_x10: score(rated(delay_ms)),
            jitter_buffer_ms: buffer_ms,
            jitter_buffer_max_ms: ms(JitterConfig::default().wait_max.as_ms()),
            ..VoipMetrics::default()
        };
        self.bursts.tell(packet_ms, &mut metrics);
        Some(metrics)
    }

    /// What was received so far.
    pub fn heard(&self) -> Heard {
        Heard {
            expected: self.stats.expected(),
            lost: self.stats.lost(),
            late: self.jitter.stats().late,
            jitter_ms: f64::from(self.stats.jitter()) / 8.0,
            wait_ms: self.jitter.wait().as_us() as f64 / 1_000.0,
            round_trip_ms: self.round_trip_us.map(|us| f64::from(us) / 1_000.0),
        }
    }

    /// The next 10 ms for the ear.
    pub fn pull(&mut self, now: Tick, out: &mut [i16]) -> Pulled {
        self.jitter.pull(now, &mut self.decoder, out)
    }

    /// The figures at the end. `keep` gets the payloads that still waited for one before them.
    pub fn finish(self, keep: impl FnMut(&[u8])) -> Received {
        let (sha256, _) = self.digest.finish(keep);
        Received {
            packets: self.packets,
            bytes: self.bytes,
            sha256,
            lost: self.stats.lost(),
            duplicates: self.stats.duplicates(),
            discarded: self.discarded,
            jitter_us: u64::from(self.stats.jitter()) * 125,
            keys: self.keys,
            longest_gap: self.longest_gap,
            first_at: self.first_at,
            playout: self.jitter.stats(),
            peer_fraction_lost: self.peer_fraction_lost,
            round_trip_us: self.round_trip_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talker::tests::agreed;
    use offhook_rtp::Header;
    use offhook_units::RtpSeq;

    const PEER: &str = "127.0.0.1:9";

    fn packet(payload_type: u8, seq: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let header = Header { payload_type, marker: false, seq: RtpSeq(seq), timestamp: RtpTime(timestamp), ssrc: 3 };
        let mut out = vec![0; 12 + payload.len()];
        assert!(header.write(payload, &mut out).is_some());
        out
    }

    fn hear(listener: &mut Listener, ms: u64, from: &str, datagram: &[u8]) -> Noticed {
        listener.rtp(Tick::from_us(ms * 1_000), from.parse().unwrap(), datagram, |_| {})
    }

    #[test]
    fn a_key_of_six_packets_is_noticed_once_and_two_equal_keys_twice() {
        let mut listener = Listener::new(agreed());
        let mut noticed = Vec::new();
        for (n, timestamp) in [(0, 100), (1, 100), (2, 100), (3, 900), (4, 900)] {
            let event = TelephoneEvent { event: 5, end: n == 2, volume: 10, duration: 160 };
            noticed.push(hear(&mut listener, u64::from(n) * 20, PEER, &packet(96, n, timestamp, &event.encode())));
        }
        let keys = noticed.iter().filter(|n| **n == Noticed::Key('5')).count();
        assert_eq!((keys, listener.finish(|_| {}).keys.as_str()), (2, "55"));
    }

    #[test]
    fn who_asks_is_told_of_one_packet_in_ten_lost_and_of_the_buffer_and_others_of_nothing() {
        let mut listener = Listener::new(Negotiated { voip_metrics: true, ..agreed() });
        assert_eq!(listener.metrics(), None, "nothing came");
        for n in (0..100_u16).filter(|n| n % 10 != 5) {
            hear(&mut listener, u64::from(n) * 20, PEER, &packet(0, n, u32::from(n) * 160, &[1; 160]));
        }
        let metrics = listener.metrics().expect("the peer asks");
        assert_eq!((metrics.lost, metrics.discarded, metrics.burst_density), (25, 0, 28));
        assert!((20..=60).contains(&metrics.jitter_buffer_ms) && metrics.jitter_buffer_max_ms == 400, "{metrics:?}");
        assert!(metrics.mos_lq_x10.is_some_and(|score| (20..40).contains(&score)), "{metrics:?}");
        listener.renegotiate(agreed());
        assert_eq!(listener.metrics(), None);
    }

    #[test]
    fn a_stranger_is_not_heard_until_the_peer_was_silent_for_200_ms() {
        let mut listener = Listener::new(agreed());
        assert_eq!(hear(&mut listener, 0, PEER, &packet(0, 1, 0, &[1; 160])), Noticed::First);
        hear(&mut listener, 150, "127.0.0.2:9", &packet(0, 2, 160, &[2; 160]));
        hear(&mut listener, 200, "127.0.0.2:9", &packet(0, 3, 320, &[3; 160]));
        let received = listener.finish(|_| {});
        assert_eq!((received.packets, received.discarded), (2, 1));
    }

    #[test]
    fn other_payload_types_and_rubbish_are_discarded_and_counted() {
        let mut listener = Listener::new(agreed());
        hear(&mut listener, 0, PEER, &packet(8, 1, 0, &[1; 160]));
        hear(&mut listener, 0, PEER, b"rubbish");
        listener.rtcp(Tick::ZERO, b"rubbish", 1);
        let received = listener.finish(|_| {});
        assert_eq!((received.packets, received.discarded), (0, 3));
    }
}
