//! RTCP of one leg: when to report, and what the peer reported.

use core::net::SocketAddr;

use offhook_plan::{MediaEvent, PeerMetrics};
use offhook_rtp::{Bursts, PeerReport, REPORT_BYTES_MAX, ReportWriter, SenderInfo, VoipMetrics, ntp_of, read_reports};
use offhook_units::{Entropy, Span, Tick};

use crate::leg::{Leg, Source};
use crate::redundancy::Redundancy;

/// The state of a leg's RTCP.
#[derive(Debug)]
pub struct Reports {
    pub next_at: Tick,
    every: Span,
    cname: String,
    /// Packets sent when we last reported.
    packets_reported: u64,
    /// Middle of the NTP timestamp of the peer's last sender report, and when it came.
    heard_sender: Option<(u32, Tick)>,
    /// Where the peer's RTCP comes from.
    from: Option<SocketAddr>,
    /// What the way to the peer asks of who encodes for it.
    pub redundancy: Redundancy,
    /// Loss of what the peer sends.
    pub bursts: Bursts,
    /// What the peer told last in VoIP metrics, and whether that was passed on.
    told: Option<(VoipMetrics, bool)>,
}

impl Reports {
    /// The canonical name is a random token per leg, RFC 7022.
    pub fn new(now: Tick, every: Span, entropy: &mut Entropy) -> Self {
        let mut reports = Self {
            next_at: now,
            every,
            cname: entropy.token(),
            packets_reported: 0,
            heard_sender: None,
            from: None,
            redundancy: Redundancy::default(),
            bursts: Bursts::default(),
            told: None,
        };
        reports.schedule(now, entropy);
        reports
    }

    /// Half to one and a half of the mean, RFC 3550 section 6.2.
    pub fn schedule(&mut self, now: Tick, entropy: &mut Entropy) {
        let mean = self.every.as_us();
        self.next_at = now + Span::from_us(mean / 2 + entropy.below(mean.max(1)));
    }

    /// Signalling named another address: the old one counts no more.
    pub const fn forget_address(&mut self) {
        self.from = None;
    }
}

impl Leg {
    /// Writes the next report into `out`; `None` before anything was agreed. The address it goes to, and whether through the
    /// RTP socket (RFC 5761).
    pub fn write_report(
        &mut self,
        now: Tick,
        bye: bool,
        out: &mut [u8; REPORT_BYTES_MAX],
    ) -> Option<(usize, SocketAddr, bool)> {
        let media = self.media.as_ref()?;
        let mux = media.rtcp_mux;
        let named =
            (media.remote_rtcp.port() != 0 && !media.remote_rtcp.ip().is_unspecified()).then_some(media.remote_rtcp);
        let to = if mux { self.to } else { self.reports.from.or(named) }?;
        // RFC 3611 section 5.2: to those who ask.
        let metrics = media.voip_metrics.then(|| self.voip_metrics());
        let reports = &mut self.reports;
        let sent_since = self.out.packets > reports.packets_reported;
        reports.packets_reported = self.out.packets;
        let sender = sent_since.then(|| SenderInfo {
            ntp: ntp_of(now),
            timestamp: self.out.timestamp_at(now),
            packets: self.out.packets as u32,
            octets: self.out.bytes as u32,
        });
        let (lsr, dlsr) = reports.heard_sender.map_or((0, 0), |(lsr, at)| {
            let waited = u128::from(now.since(at).as_us()) * 65_536 / 1_000_000;
            (lsr, waited.min(u128::from(u32::MAX)) as u32)
        });
        let block = self.stats.report().map(|report| (report, lsr, dlsr));
        let length =
            ReportWriter { ssrc: self.out.ssrc, sender, block, cname: &reports.cname, metrics, bye }.write(out);
        Some((length, to, mux))
    }

    /// Takes a peer's compound in; only from the host that RTP comes from, or that signalling named.
    pub fn hear_report(&mut self, now: Tick, from: SocketAddr, datagram: &[u8]) {
        let Some(media) = &self.media else { return };
        let host = from.ip();
        if self.door.is_none() && self.latched().map(|rtp| rtp.ip()) != Some(host) && media.remote_rtcp.ip() != host {
            self.report.discarded_packets += 1;
            return;
        }
        let Ok(heard) = read_reports(datagram, self.out.ssrc) else {
            self.report.discarded_packets += 1;
            return;
        };
        let PeerReport { sender_ntp_mid, fraction_lost, jitter, echo: _, metrics, bye: _ } = heard;
        self.reports.from = Some(from);
        if let Some(lsr) = sender_ntp_mid {
            self.reports.heard_sender = Some((lsr, now));
        }
        self.report.peer_fraction_lost = fraction_lost.or(self.report.peer_fraction_lost);
        self.report.round_trip_us = heard.round_trip_us(now).or(self.report.round_trip_us);
        if let Some(metrics) = metrics.filter(|metrics| self.reports.told.is_none_or(|(told, _)| told != *metrics)) {
            self.reports.told = Some((metrics, false));
        }
        if let Some(fraction_lost) = fraction_lost {
            self.reports.redundancy.reported(now, fraction_lost);
        }
        if let Source::Mix(mix) = &mut self.hears {
            self.reports.redundancy.tell(&mut mix.encoder);
        }
        if let (Some(fraction_lost), Some(jitter)) = (fraction_lost, jitter) {
            self.rate_sent(now, fraction_lost, jitter);
        }
    }

    /// What the peer told of our speech, once.
    pub fn take_told(&mut self) -> Option<MediaEvent> {
        let (told, passed_on) = self.reports.told.as_mut().filter(|(_, passed_on)| !passed_on)?;
        *passed_on = true;
        Some(MediaEvent::PeerTold { call: self.call, leg: self.id, metrics: plain(*told) })
    }
}

/// The same for those who know nothing of RTCP.
const fn plain(metrics: VoipMetrics) -> PeerMetrics {
    let VoipMetrics {
        lost,
        discarded,
        burst_density,
        gap_density,
        burst_ms,
        gap_ms,
        round_trip_ms,
        end_system_ms,
        signal_dbm0,
        noise_dbm0,
        rating,
        mos_lq_x10,
        mos_cq_x10,
        jitter_buffer_ms,
        jitter_buffer_max_ms,
    } = metrics;
    PeerMetrics {
        lost,
        discarded,
        burst_density,
        gap_density,
        burst_ms,
        gap_ms,
        round_trip_ms,
        end_system_ms,
        signal_dbm0,
        noise_dbm0,
        rating,
        mos_lq_x10,
        mos_cq_x10,
        jitter_buffer_ms,
        jitter_buffer_max_ms,
    }
}
