//! RTCP, RFC 3550 section 6: sender and receiver reports with the canonical name, and BYE, written without allocation; reports
//! read from compound packets.

use offhook_units::{RtpTime, Tick};
use rtcp_types::RtcpPacketParser;

use crate::Report;
use crate::xr::{EXTENDED_REPORT, VOIP_METRICS_BYTES, VoipMetrics};

/// Longest canonical name that is written.
pub const CNAME_BYTES_MAX: usize = 32;
/// Room for any compound packet of [`ReportWriter`].
pub const REPORT_BYTES_MAX: usize = 28 + 24 + (8 + 2 + CNAME_BYTES_MAX + 4) + VOIP_METRICS_BYTES + 8;

/// Most packets of one compound that are looked at: a hostile compound costs bounded time.
const COMPOUND_PACKETS_MAX: usize = 16;
/// Seconds from 1900 (NTP) to 1970 (Unix).
const NTP_TO_UNIX_S: u64 = 2_208_988_800;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;

/// Why a datagram is no RTCP compound. The peer broke RFC 3550; drop the datagram and count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtcpError {
    /// The packets' lengths do not add up to the datagram's.
    #[error("the compound packet is truncated")]
    Truncated,
    /// It does not begin with a report, RFC 3550 A.2.
    #[error("the compound packet does not begin with a report")]
    NoReport,
}

/// An instant as NTP timestamp, RFC 3550 section 4: 32 bits of seconds since 1900, 32 of fraction.
pub const fn ntp_of(now: Tick) -> u64 {
    let us = now.as_us();
    let seconds = us / 1_000_000 + NTP_TO_UNIX_S;
    let fraction = ((us % 1_000_000) << 32) / 1_000_000;
    (seconds << 32) | fraction
}

/// What a sender says of itself in a sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// Now as NTP timestamp.
    pub ntp: u64,
    /// The same instant in the stream's timestamps.
    pub timestamp: RtpTime,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

/// One compound packet to be written.
#[derive(Debug, Clone, Copy)]
pub struct ReportWriter<'a> {
    /// Our source.
    pub ssrc: u32,
    /// Present where we sent since the last report: makes it a sender report.
    pub sender: Option<SenderInfo>,
    /// What we hear, with LSR and DLSR (RFC 3550 section 6.4.1), where anything was heard.
    pub block: Option<(Report, u32, u32)>,
    /// The canonical name; longer ones are cut at [`CNAME_BYTES_MAX`] bytes.
    pub cname: &'a str,
    /// What we hear, in words that not everybody asks for (RFC 3611): about the source of `block`, which must be there.
    pub metrics: Option<VoipMetrics>,
    /// Ends the stream with a BYE.
    pub bye: bool,
}

impl ReportWriter<'_> {
    /// Writes the compound and says how long it is.
    pub fn write(&self, out: &mut [u8; REPORT_BYTES_MAX]) -> usize {
        let mut at = 8;
        if let Some(sender) = self.sender {
            put(out, &mut at, &sender.ntp.to_be_bytes());
            put(out, &mut at, &sender.timestamp.0.to_be_bytes());
            put(out, &mut at, &sender.packets.to_be_bytes());
            put(out, &mut at, &sender.octets.to_be_bytes());
        }
        if let Some((report, lsr, dlsr)) = self.block {
            put(out, &mut at, &report.ssrc.to_be_bytes());
            let lost = (report.cumulative_lost as u32) & 0x00ff_ffff;
            put(out, &mut at, &((u32::from(report.fraction_lost) << 24) | lost).to_be_bytes());
            put(out, &mut at, &report.highest_seq.to_be_bytes());
            put(out, &mut at, &report.jitter.to_be_bytes());
            put(out, &mut at, &lsr.to_be_bytes());
            put(out, &mut at, &dlsr.to_be_bytes());
        }
        let kind = if self.sender.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
        self.head(out, 0, u8::from(self.block.is_some()), kind, at);
        let sdes = at;
        at += 8;
        let mut end = self.cname.len().min(CNAME_BYTES_MAX);
        while !self.cname.is_char_boundary(end) {
            end -= 1;
        }
        put(out, &mut at, &[1, end as u8]);
        put(out, &mut at, &self.cname.as_bytes()[..end]);
        // The item list ends with at least one zero byte and is padded to a word, RFC 3550 section 6.5.
        let padding = 4 - (at - sdes) % 4;
        put(out, &mut at, &[0; 4][..padding]);
        self.head(out, sdes, 1, SDES, at);
        if let (Some(metrics), Some((report, ..))) = (&self.metrics, &self.block)
            && let Some(room) = out[at..].first_chunk_mut()
        {
            metrics.write(self.ssrc, report.ssrc, room);
            at += VOIP_METRICS_BYTES;
        }
        if self.bye {
            let bye = at;
            at += 8;
            self.head(out, bye, 1, BYE, at);
        }
        at
    }

    fn head(&self, out: &mut [u8], from: usize, count: u8, kind: u8, end: usize) {
        let words = ((end - from) / 4 - 1) as u16;
        out[from] = 0x80 | count;
        out[from + 1] = kind;
        out[from + 2..from + 4].copy_from_slice(&words.to_be_bytes());
        out[from + 4..from + 8].copy_from_slice(&self.ssrc.to_be_bytes());
    }
}

fn put(out: &mut [u8], at: &mut usize, bytes: &[u8]) {
    out[*at..*at + bytes.len()].copy_from_slice(bytes);
    *at += bytes.len();
}

/// What a peer's compound said that concerns us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerReport {
    /// Middle 32 bits of the NTP timestamp of its sender report (our LSR), where there was one.
    pub sender_ntp_mid: Option<u32>,
    /// Fraction of ours that it lost, of 256.
    pub fraction_lost: Option<u8>,
    /// Interarrival jitter of ours, in timestamp units.
    pub jitter: Option<u32>,
    /// LSR and DLSR of its block on us, where it has heard a report of ours.
    pub echo: Option<(u32, u32)>,
    /// What it tells of our speech in an extended report.
    pub metrics: Option<VoipMetrics>,
    /// It said BYE.
    pub bye: bool,
}

/// Reads a compound; report blocks on sources other than `ours` are left out.
///
/// # Errors
/// The peer broke RFC 3550; see [`RtcpError`].
pub fn read_reports(datagram: &[u8], ours: u32) -> Result<PeerReport, RtcpError> {
    let mut peer = PeerReport::default();
    let mut rest = datagram;
    for place in 0..COMPOUND_PACKETS_MAX {
        let &[first, kind, high, low, ..] = rest else {
            return if rest.is_empty() && place > 0 { Ok(peer) } else { Err(RtcpError::Truncated) };
        };
        let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        if first >> 6 != 2 || length > rest.len() {
            return Err(RtcpError::Truncated);
        }
        if place == 0 && !matches!(kind, SENDER_REPORT | RECEIVER_REPORT) {
            return Err(RtcpError::NoReport);
        }
        let (packet, after) = rest.split_at(length);
        rest = after;
        match kind {
            SENDER_REPORT => {
                let report = rtcp_types::SenderReport::parse(packet).map_err(|_| RtcpError::Truncated)?;
                peer.sender_ntp_mid = Some((report.ntp_timestamp() >> 16) as u32);
                report.report_blocks().for_each(|block| peer.note(&block, ours));
            }
            RECEIVER_REPORT => {
                let report = rtcp_types::ReceiverReport::parse(packet).map_err(|_| RtcpError::Truncated)?;
                report.report_blocks().for_each(|block| peer.note(&block, ours));
            }
            EXTENDED_REPORT => peer.metrics = VoipMetrics::read(packet, ours).or(peer.metrics),
            BYE => peer.bye = true,
            _ => {}
        }
    }
    Ok(peer)
}

impl PeerReport {
    fn note(&mut self, block: &rtcp_types::ReportBlock<'_>, ours: u32) {
        if block.ssrc() != ours {
            return;
        }
        self.fraction_lost = Some(block.fraction_lost());
        self.jitter = Some(block.interarrival_jitter());
        let lsr = block.last_sender_report_timestamp();
        if lsr != 0 {
            self.echo = Some((lsr, block.delay_since_last_sender_report_timestamp()));
        }
    }

    /// The round trip in microseconds that the echo says, RFC 3550 section 6.4.1: arrival - LSR - DLSR, in 1/65,536 s.
    pub fn round_trip_us(&self, now: Tick) -> Option<u32> {
        let (lsr, dlsr) = self.echo?;
        let arrival = (ntp_of(now) >> 16) as u32;
        let trip = arrival.wrapping_sub(lsr).wrapping_sub(dlsr) as i32;
        // A small negative figure is rounding; a large one is a peer's nonsense.
        (-64..=65_536 * 60).contains(&trip).then(|| (u64::from(trip.max(0) as u32) * 1_000_000 / 65_536) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offhook_units::Span;

    const REPORT: Report =
        Report { ssrc: 9, fraction_lost: 12, cumulative_lost: -3, highest_seq: 0x1_0005, jitter: 77 };

    fn written(writer: &ReportWriter<'_>) -> Vec<u8> {
        let mut out = [0xaa; REPORT_BYTES_MAX];
        let length = writer.write(&mut out);
        out[..length].to_vec()
    }

    fn sender(now: Tick) -> SenderInfo {
        SenderInfo { ntp: ntp_of(now), timestamp: RtpTime(5), packets: 6, octets: 7 }
    }

    #[test]
    fn another_library_reads_every_compound_that_we_write() {
        for cname_bytes in 0..40 {
            for (with_sender, with_block, bye, asked) in (0..16).map(|n| (n & 1 > 0, n & 2 > 0, n & 4 > 0, n & 8 > 0)) {
                let cname = "x".repeat(cname_bytes);
                let bytes = written(&ReportWriter {
                    ssrc: 3,
                    sender: with_sender.then(|| sender(Tick::from_us(1))),
                    block: with_block.then_some((REPORT, 1, 2)),
                    cname: &cname,
                    metrics: asked.then_some(VoipMetrics { lost: 7, ..VoipMetrics::default() }),
                    bye,
                });
                let packets: Vec<_> = rtcp_types::Compound::parse(&bytes).unwrap().map(Result::unwrap).collect();
                assert_eq!(packets.len(), 2 + usize::from(bye) + usize::from(asked && with_block));
                let metrics = read_reports(&bytes, REPORT.ssrc).unwrap().metrics;
                assert_eq!(metrics.map(|metrics| metrics.lost), (asked && with_block).then_some(7));
                let rtcp_types::Packet::Sdes(sdes) = &packets[1] else { panic!("{:?}", packets[1]) };
                let chunk = sdes.chunks().next().unwrap();
                let item = chunk.items().next().unwrap();
                assert_eq!((item.type_(), item.value()), (1, &cname.as_bytes()[..cname_bytes.min(CNAME_BYTES_MAX)]));
                match &packets[0] {
                    rtcp_types::Packet::Sr(sr) => assert!(with_sender && sr.ssrc() == 3 && sr.octet_count() == 7),
                    rtcp_types::Packet::Rr(rr) => assert!(!with_sender && rr.ssrc() == 3),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_block_and_the_round_trip_read_back() {
        let sent_at = Tick::from_us(1_700_000_000_000_000);
        let ours = written(&ReportWriter {
            ssrc: 3,
            sender: Some(sender(sent_at)),
            block: None,
            cname: "a",
            metrics: None,
            bye: false,
        });
        let heard = read_reports(&ours, 99).unwrap();
        let lsr = heard.sender_ntp_mid.unwrap();
        // The peer answers half a second after it heard us; the way takes 20 ms each way.
        let report = Report { ssrc: 3, ..REPORT };
        let theirs = written(&ReportWriter {
            ssrc: 9,
            sender: None,
            block: Some((report, lsr, 32_768)),
            cname: "b",
            metrics: None,
            bye: true,
        });
        let read = read_reports(&theirs, 3).unwrap();
        assert_eq!((read.fraction_lost, read.jitter, read.bye), (Some(12), Some(77), true));
        let trip = read.round_trip_us(sent_at + Span::from_ms(540)).unwrap();
        assert!((39_900..=40_100).contains(&trip), "{trip}");
        assert_eq!(read_reports(&theirs, 4).unwrap().fraction_lost, None);
    }

    #[test]
    fn broken_compounds_are_refused() {
        assert_eq!(read_reports(&[], 1), Err(RtcpError::Truncated));
        assert_eq!(read_reports(&[0x80, 200, 0, 6], 1), Err(RtcpError::Truncated));
        assert_eq!(read_reports(&[0x80, 202, 0, 0], 1), Err(RtcpError::NoReport));
        // A report count that its length does not hold.
        assert_eq!(read_reports(&[0x9f, 201, 0, 1, 0, 0, 0, 1], 1), Err(RtcpError::Truncated));
    }
}
