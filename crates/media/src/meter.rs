//! How loud a leg's peer speaks: from the payloads as they come where samples can be read from them, and otherwise from what a mix
//! decodes or, where nothing is mixed, from a part of them that is decoded for this alone.

use offhook_codec::{Coding, Decoder, Form, LevelMeter, Linear, SpeechDecoder, power};
use offhook_plan::{LevelReport, MediaEvent};
use offhook_units::{SampleRate, Span, Tick};

use crate::leg::{Leg, form_of};
use crate::voice::{FRAME, PACKET_SAMPLES_MAX};

/// Of what is passed on in G.722 or Opus so much is listened to at a time: 40 ms, after a decoder that has missed
/// what came before has had as long as [`WARMS_UP`] to find its way.
const LISTENS: u32 = SampleRate::NARROW.samples(Span::from_ms(40)) as u32;
const WARMS_UP: u32 = SampleRate::NARROW.samples(Span::from_ms(60)) as u32;
/// So often: three times in two seconds.
const LISTENS_EVERY: u32 = SampleRate::NARROW.samples(Span::from_ms(640)) as u32;

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

/// Listens to a part of a stream whose packets have to be decoded to be measured. What it hears stands for what lies between.
#[derive(Debug)]
pub struct Sample {
    form: Form,
    decoder: SpeechDecoder,
    /// Samples since it began to listen last.
    at: u32,
    /// Samples that it listened to since, and their squares added up.
    heard: u32,
    squares: u64,
}

impl Sample {
    fn of(form: Form) -> Option<Self> {
        Some(Self { form, decoder: SpeechDecoder::new(form).ok()?, at: 0, heard: 0, squares: 0 })
    }

    /// Takes the next packet; gives, from time to time, for how many samples a power stands.
    fn take(&mut self, payload: &[u8]) -> Option<(u32, u64)> {
        let mut pcm = [0; PACKET_SAMPLES_MAX];
        let count = if self.at < WARMS_UP + LISTENS {
            if self.at == 0 && self.form != Form::Opus {
                // Opus finds its way from whatever it was, and takes long to begin anew.
                self.decoder.reset();
            }
            self.decoder.decode(payload, &mut pcm)
        } else {
            self.decoder.samples_in(payload)
        };
        if (WARMS_UP..WARMS_UP + LISTENS).contains(&self.at) {
            self.heard += count as u32;
            self.squares += pcm[..count].iter().map(|sample| u64::from(sample.unsigned_abs()).pow(2)).sum::<u64>();
        }
        self.at = self.at.saturating_add(count as u32);
        if self.at < LISTENS_EVERY {
            return None;
        }
        let stands_for = core::mem::take(&mut self.at);
        let (heard, squares) = (core::mem::take(&mut self.heard), core::mem::take(&mut self.squares));
        (heard > 0).then(|| (stands_for, squares / u64::from(heard)))
    }
}

/// The meter of one leg.
#[derive(Debug, Default)]
pub struct Meter {
    /// Where a stream has to be decoded to be measured.
    sample: Option<Box<Sample>>,
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
    /// Measures a payload of speech; one of G.722 or Opus that a mix decodes is measured there.
    pub fn measure(&mut self, payload: &[u8]) {
        let Some(codec) = self.media.as_ref().map(|media| media.codec) else { return };
        let measured = match form_of(codec) {
            Form::Bytes(Coding::G711(law)) => Some((payload.len() as u32, power(law, payload))),
            Form::Linear => Some((payload.len() as u32 / 2, Linear::power(payload))),
            Form::Bytes(Coding::G722) | Form::Opus if self.voice.is_some() => None,
            Form::Bytes(Coding::G722) | Form::Opus => {
                self.meter.sample.as_mut().and_then(|sample| sample.take(payload))
            }
        };
        if let Some((samples, power)) = measured {
            self.meter.take(samples, power);
        }
    }

    /// A codec was agreed on: what measures it is made.
    pub fn begin_to_measure(&mut self) {
        let form = self.media.as_ref().map(|media| form_of(media.codec));
        let form = form.filter(|form| matches!(form, Form::Bytes(Coding::G722) | Form::Opus));
        if self.meter.sample.as_ref().map(|sample| sample.form) != form {
            self.meter.sample = form.and_then(Sample::of).map(Box::new);
        }
    }

    /// Makes the next frame of its voice, and measures that of codecs that have to be decoded.
    pub fn pull_voice(&mut self, now: Tick) {
        let Some(voice) = self.voice.as_deref_mut() else { return };
        voice.pull(now);
        if voice.plays() && matches!(form_of(voice.codec), Form::Bytes(Coding::G722) | Form::Opus) {
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
