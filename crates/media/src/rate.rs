//! How each second of a leg would be rated by a listener, by the E-model.
//!
//! What is known here is the loss of each second, the jitter and the round trip to the peer. The delay that is rated is this leg's
//! alone: half the round trip, a packet, and the playout buffer that such jitter asks for.

use offhook_plan::{Grade, MediaEvent, Quality};
use offhook_rtp::VoipMetrics;
use offhook_rtp::emodel::{Impairment, mos, rating};
use offhook_units::{Span, Tick};

use crate::JitterConfig;
use crate::leg::Leg;

/// What is rated as one.
const SECOND: Span = Span::from_s(1);
/// What remains of a call counts as a second from this length on.
const REMAINDER_MIN: Span = Span::from_ms(200);
/// A playout buffer holds this many times the mean deviation (RFC 3550 A.8), which 95 of 100 packets stay within.
const BUFFER_JITTERS: f64 = 2.0;
/// A peer that reports more seldom is not taken to speak for all the time before.
const REPORT_SPAN_MAX_S: u64 = 30;

/// The grade that is told follows the ratings of the last seconds: one second is a fifth of it.
const NEWEST_SHARE: f64 = 0.2;
/// A better grade is told when the rating is so far above its limit, so that nothing flickers.
const ABOVE: f64 = 2.0;

/// How one direction sounds at the time.
#[derive(Debug)]
struct Recent {
    rating: f64,
    grade: Grade,
}

impl Default for Recent {
    fn default() -> Self {
        Self { rating: f64::from(100_u8), grade: Grade::Good }
    }
}

impl Recent {
    /// Takes `seconds` of one rating in; says whether the grade is another.
    fn take(&mut self, seconds: u32, rating: f64) -> bool {
        for _ in 0..seconds.min(10) {
            self.rating += (rating - self.rating) * NEWEST_SHARE;
        }
        let grade = Grade::of(self.rating);
        let better = Grade::of(self.rating - ABOVE);
        let turned = if grade > self.grade { grade } else { better.min(self.grade) };
        let changed = turned != self.grade;
        self.grade = turned;
        changed
    }
}

/// Until where a leg was rated.
#[derive(Debug, Default)]
pub struct Rated {
    began: Option<Tick>,
    expected: u64,
    lost: u64,
    reported: Option<Tick>,
    heard: Recent,
    sent: Recent,
    /// A grade is another than was told.
    graded: bool,
}

impl Leg {
    /// What is to be told of how it sounds, once.
    pub fn take_graded(&mut self) -> Option<MediaEvent> {
        let graded = core::mem::take(&mut self.rated.graded);
        let Rated { heard, sent, .. } = &self.rated;
        graded.then_some(MediaEvent::Graded { call: self.call, leg: self.id, heard: heard.grade, sent: sent.grade })
    }

    /// Notes that speech came; rates the second that is over.
    pub fn rate(&mut self, now: Tick) {
        match self.rated.began {
            Some(began) if now.since(began) < SECOND => {}
            Some(_) => {
                self.rate_until(now);
                self.rated.began = Some(now);
            }
            None => self.rated.began = Some(now),
        }
    }

    /// Rates what remains at the end.
    pub fn rate_rest(&mut self, now: Tick) {
        if self.rated.began.take().is_some_and(|began| now.since(began) >= REMAINDER_MIN) {
            self.rate_until(now);
        }
    }

    /// Rates what came since the last time. An outage is as many seconds as its packets would have taken; silence that was not
    /// sent is none.
    fn rate_until(&mut self, now: Tick) {
        let (expected, lost) = (self.stats.expected(), self.stats.lost());
        let due = expected.saturating_sub(self.rated.expected);
        // What was late is lost in one second and found in the next.
        let missed = lost.saturating_sub(self.rated.lost).min(due);
        (self.rated.began, self.rated.expected, self.rated.lost) = (Some(now), expected, lost);
        if due == 0 {
            return;
        }
        let seconds = (due * self.packet_ms() + 500) / 1_000;
        let delay_ms = self.delay_ms(self.stats.jitter());
        let (seconds, rating) = add(&mut self.speech.heard, seconds, missed as f64 / due as f64, delay_ms);
        self.rated.graded |= self.rated.heard.take(seconds, rating);
    }

    /// Takes over what the peer said of our speech.
    pub fn rate_sent(&mut self, now: Tick, fraction_lost: u8, jitter: u32) {
        let seconds = self.rated.reported.map_or(1, |before| now.since(before).as_us() / 1_000_000);
        // A peer that reports more often than once a second does not talk for longer.
        if seconds == 0 {
            return;
        }
        self.rated.reported = Some(now);
        let delay_ms = self.delay_ms(jitter);
        let seconds = seconds.min(REPORT_SPAN_MAX_S);
        let (seconds, rating) = add(&mut self.speech.sent, seconds, f64::from(fraction_lost) / 256.0, delay_ms);
        self.rated.graded |= self.rated.sent.take(seconds, rating);
    }

    /// What we hear of the peer, in the words of RFC 3611: over all of the leg's life. Where nothing is decoded there is no buffer of
    /// ours to tell of, and no delay.
    pub fn voip_metrics(&self) -> VoipMetrics {
        let lost = self.stats.lost() as f64 / self.stats.expected().max(1) as f64;
        let rated = rating(Impairment::G711, lost, self.delay_ms(self.stats.jitter()));
        let tenths = |rating: f64| Some((mos(rating) * 10.0).round() as u8);
        let buffer_ms = self.voice.as_deref().map_or(0, |voice| voice.wait().as_ms() as u16);
        let mut metrics = VoipMetrics {
            lost: (lost * 256.0).min(255.0) as u8,
            round_trip_ms: (self.report.round_trip_us.unwrap_or(0) / 1_000).min(u32::from(u16::MAX)) as u16,
            end_system_ms: buffer_ms,
            signal_dbm0: self.meter.signal_dbm0(),
            rating: Some(rated.clamp(0.0, 100.0).round() as u8),
            mos_lq_x10: tenths(rating(Impairment::G711, lost, 0.0)),
            mos_cq_x10: tenths(rated),
            jitter_buffer_ms: buffer_ms,
            jitter_buffer_max_ms: if buffer_ms > 0 { JitterConfig::default().wait_max.as_ms() as u16 } else { 0 },
            ..VoipMetrics::default()
        };
        self.reports.bursts.tell(self.packet_ms() as u16, &mut metrics);
        metrics
    }

    fn packet_ms(&self) -> u64 {
        self.media.as_ref().map_or(20, |media| u64::from(media.ptime_ms)).clamp(10, 60)
    }

    fn delay_ms(&self, jitter: u32) -> f64 {
        let jitter_ms = f64::from(jitter) * 1_000.0 / f64::from(self.clock().0);
        let packet_ms = self.packet_ms() as f64;
        let way_ms = f64::from(self.report.round_trip_us.unwrap_or(0)) / 2_000.0;
        way_ms + packet_ms + (BUFFER_JITTERS * jitter_ms).max(packet_ms)
    }
}

/// Adds `seconds` to a direction's figures; gives how many they were, and their rating.
fn add(quality: &mut Quality, seconds: u64, lost: f64, delay_ms: f64) -> (u32, f64) {
    // G.722 too: the scale is that of telephone sound, where it is no worse.
    let rating = rating(Impairment::G711, lost, delay_ms);
    let seconds = u32::try_from(seconds.max(1)).unwrap_or(u32::MAX);
    quality.add(seconds, rating, (mos(rating) * 100.0).round() as u16);
    (seconds, rating)
}
