//! How legs sound: ratings by the E-model, and levels.

use offhook_call::view::Sounds;
use offhook_plan::{LevelReport, PeerMetrics, Quality, SpeechReport};
use schemars::JsonSchema;
use serde::Serialize;

/// How one side sounds at the time: `good`, `fair` or `poor`, and how loud it speaks.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Sounding {
    #[schemars(extend("enum" = ["good", "fair", "poor"]))]
    heard: &'static str,
    #[schemars(extend("enum" = ["good", "fair", "poor"]))]
    sent: &'static str,
    level: Option<Level>,
    told: Option<Told>,
}

impl From<Sounds> for Sounding {
    fn from(Sounds { heard, sent, level, told }: Sounds) -> Self {
        let (level, told) = (level.as_ref().map(Level::from), told.as_ref().map(Told::from));
        Self { heard: heard.name(), sent: sent.name(), level, told }
    }
}

/// How loud the far end of a leg, or of all legs of an agent or a trunk, speaks.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Level {
    /// While it speaks.
    speech_dbov: Option<f64>,
    /// How much of the time it does.
    active_percent: Option<u64>,
    measured_ms: u64,
}

impl From<&LevelReport> for Level {
    fn from(level: &LevelReport) -> Self {
        let LevelReport { speech_dbov_x10, measured_ms, active_ms: _ } = level;
        let speech_dbov = speech_dbov_x10.map(|tenths| f64::from(tenths) / 10.0);
        Self { speech_dbov, active_percent: level.active_percent(), measured_ms: *measured_ms }
    }
}

/// How a peer says that it hears us: VoIP metrics, RFC 3611.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Told {
    /// Conversational quality, a mean opinion score.
    mos_conversational: Option<f64>,
    /// Listening quality, a mean opinion score.
    mos_listening: Option<f64>,
    /// The E-model's rating, 0 to 100.
    rating: Option<u8>,
    /// Lost on the way.
    lost_percent: f64,
    /// Came, and not in time for its jitter buffer.
    discarded_percent: f64,
    /// Lost or discarded within bursts.
    burst_percent: f64,
    /// Mean length of a burst.
    burst_ms: u16,
    /// The same between them.
    gap_percent: f64,
    /// Mean length of what lies between.
    gap_ms: u16,
    /// Round trip as it measures it.
    round_trip_ms: Option<u16>,
    /// Delay within it.
    end_system_ms: Option<u16>,
    /// Its jitter buffer.
    jitter_buffer_ms: Option<u16>,
    /// What that may be at most.
    jitter_buffer_max_ms: Option<u16>,
    /// How loud we are.
    signal_dbm0: Option<i8>,
    /// How loud our pauses are.
    noise_dbm0: Option<i8>,
}

impl From<&PeerMetrics> for Told {
    fn from(metrics: &PeerMetrics) -> Self {
        let PeerMetrics {
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
        } = *metrics;
        let percent = |of_256: u8| (f64::from(of_256) * 1_000.0 / 256.0).round() / 10.0;
        let score = |tenths: Option<u8>| tenths.map(|tenths| f64::from(tenths) / 10.0);
        let known = |ms: u16| (ms > 0).then_some(ms);
        Self {
            mos_conversational: score(mos_cq_x10),
            mos_listening: score(mos_lq_x10),
            rating,
            lost_percent: percent(lost),
            discarded_percent: percent(discarded),
            burst_percent: percent(burst_density),
            burst_ms,
            gap_percent: percent(gap_density),
            gap_ms,
            round_trip_ms: known(round_trip_ms),
            end_system_ms: known(end_system_ms),
            jitter_buffer_ms: known(jitter_buffer_ms),
            jitter_buffer_max_ms: known(jitter_buffer_max_ms),
            signal_dbm0,
            noise_dbm0,
        }
    }
}

/// How a leg, or all legs of an agent or a trunk, sounded.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Sound {
    heard: Option<Rated>,
    sent: Option<Rated>,
    /// How often nothing came, though it should.
    silences: u32,
    silent_ms: u64,
}

impl From<&SpeechReport> for Sound {
    fn from(speech: &SpeechReport) -> Self {
        let SpeechReport { heard, sent, silences, silent_us } = speech;
        let (heard, sent) = (Rated::of(heard), Rated::of(sent));
        Self { heard, sent, silences: *silences, silent_ms: silent_us / 1_000 }
    }
}

/// Scores by the E-model of one direction.
#[derive(Debug, JsonSchema, Serialize)]
struct Rated {
    mos: f64,
    mos_worst: f64,
    good_seconds: u32,
    fair_seconds: u32,
    poor_seconds: u32,
}

impl Rated {
    fn of(quality: &Quality) -> Option<Self> {
        let Quality { good_s, fair_s, poor_s, mos_sum_x100: _, mos_worst_x100 } = *quality;
        let mos = (quality.mos()? * 100.0).round() / 100.0;
        let mos_worst = f64::from(mos_worst_x100) / 100.0;
        Some(Self { mos, mos_worst, good_seconds: good_s, fair_seconds: fair_s, poor_seconds: poor_s })
    }
}
