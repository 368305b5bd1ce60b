//! How loud a leg's peer speaks: from the payloads as they come, where a byte is a sample, and otherwise from what a mix decodes.

use offhook_codec::{Coding, LevelMeter, power};
use offhook_plan::{LevelReport, MediaEvent};
use offhook_units::{SampleRate, Span, Tick};

use crate::leg::{Leg, coding_of};
use crate::voice::FRAME;

/// A level that has changed is told at most so often.
const TOLD_EVERY: Span = Span::from_s(5);
/// A change of less, in tenths of a dB, is not told while all else stays.
const CHANGE: i16 = 10;
/// Nor is a change of less, in percent of the time.
const CHANGE_PERCENT: u64 = 5;
/// A packet with less than this, as a mean of squares, is silence: 66 dB below full scale, where a microphone that is on hardly ever stays.
const SILENCE: u64 = 256;
/// A peer that sends nothing but silence for this long is quiet.
pub const QUIET_AFTER: Span = Span::from_s(20);
const QUIET_SAMPLES: u64 = SampleRate::NARROW.samples(QUIET_AFTER);

/// What a level in dBm0 is above the same in dB below full scale: a sine of full scale is 3.14 dBm0 (ITU-T G.711 section 4).
const DBM0: f64 = 6.15;

/// The meter of one leg.
#[derive(Debug, Default)]
pub struct Meter {
    level: LevelMeter,
    /// Samples since the last one that was louder than silence.
    silent: u64,
    told: Option<(LevelReport, bool)>,
    next_at: Tick,
}

impl Meter {
    fn take(&mut self, samples: u32, power: u64) {
        self.level.take(samples, power);
        let is_silence = power < SILENCE;
        self.silent = if is_silence { self.silent + u64::from(samples) } else { 0 };
    }

    fn report(&self) -> LevelReport {
        let measured = self.level.measured();
        let measured_ms = SampleRate::NARROW.span_of(self.level.samples()).as_ms();
        LevelReport {
            speech_dbov_x10: measured.speech_db.map(|level| (level * 10.0).round() as i16),
            measured_ms,
            active_ms: (measured_ms as f64 * measured.activity).round() as u64,
        }
    }

    /// Its level in dBm0.
    pub fn signal_dbm0(&self) -> Option<i8> {
        self.level.measured().speech_db.map(|level| (level + DBM0).round() as i8)
    }

    const fn is_quiet(&self) -> bool {
        self.silent >= QUIET_SAMPLES
    }

    /// Whether that differs from what was told by more than anybody would look for.
    fn differs(&self, report: &LevelReport) -> bool {
        let Some((told, quiet)) = &self.told else { return true };
        let level = match (told.speech_dbov_x10, report.speech_dbov_x10) {
            (Some(before), Some(now)) => before.abs_diff(now) >= CHANGE.unsigned_abs(),
            (before, now) => before != now,
        };
        let percent = |report: &LevelReport| report.active_ms * 100 / report.measured_ms.max(1);
        level || *quiet != self.is_quiet() || percent(told).abs_diff(percent(report)) >= CHANGE_PERCENT
    }
}

impl Leg {
    /// Measures a payload of speech, where that can be done without decoding it.
    pub fn measure(&mut self, payload: &[u8]) {
        let coding = self.media.as_ref().and_then(|media| coding_of(media.codec));
        if let Some(Coding::G711(law)) = coding {
            self.meter.take(payload.len() as u32, power(law, payload));
        }
    }

    /// Makes the next frame of its voice, and measures that of other codecs.
    pub fn pull_voice(&mut self, now: Tick) {
        let Some(voice) = self.voice.as_deref_mut() else { return };
        voice.pull(now);
        if voice.plays() && !matches!(coding_of(voice.codec), Some(Coding::G711(_))) {
            self.meter.take(FRAME as u32, voice.power());
        }
    }

    /// What is to be told of its level: from time to time, and at the end.
    pub fn take_level(&mut self, now: Tick, is_last: bool) -> Option<MediaEvent> {
        if self.meter.level.samples() == 0 || now < self.meter.next_at && !is_last {
            return None;
        }
        self.meter.next_at = now + TOLD_EVERY;
        let (level, quiet) = (self.meter.report(), self.meter.is_quiet());
        if !is_last && !self.meter.differs(&level) {
            return None;
        }
        self.meter.told = Some((level, quiet));
        Some(MediaEvent::Level { call: self.call, leg: self.id, level, quiet })
    }
}
