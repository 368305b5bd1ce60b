//! What a microphone hears, made fit to be sent: without the echo of the loudspeaker, without the room's noise, and as loud as others.
//!
//! [`Voice`] stands between the [`Microphone`](crate::Microphone) and the call, in the thread that carries the call and never in a
//! device's callback. It has no clock and no device: each 10 ms it is given first what is played ([`Voice::played`]) and then what was
//! captured ([`Voice::captured`]), both on the call's clock, since the rings to the devices correct their drift. Echo is
//! taken away by `aec3`, a port of WebRTC's, noise by `nnnoiseless`, a port of RNNoise; the gain and its limiter are ours.

mod cleaner;
mod filter;
mod gain;
mod limiter;

use self::cleaner::Cleaner;
use self::gain::Gain;
pub use self::gain::{BOOST_DB_MAX, CUT_DB_MAX, TARGET_DB};
pub use self::limiter::CEILING;
use self::limiter::Limiter;

/// Samples of 10 ms at the call's rate, 8 kHz.
pub const FRAME: usize = 80;
/// Most sound that may lie between the call and the air, both ways together, in milliseconds: what the search for the echo spans.
pub const ECHO_DELAY_MS_MAX: u32 = 480;

/// Which parts are at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoiceSwitches {
    /// The echo of what is played is taken out of what was captured.
    pub echo: bool,
    /// Steady and slowly changing noise is lowered.
    pub noise: bool,
    /// Speech is brought to [`TARGET_DB`], and never beyond [`CEILING`].
    pub gain: bool,
}

impl VoiceSwitches {
    /// All at work: what an agent's headset wants.
    pub const ON: Self = Self { echo: true, noise: true, gain: true };
    /// The microphone as it is, bit by bit.
    pub const OFF: Self = Self { echo: false, noise: false, gain: false };

    const fn cleans(self) -> bool {
        self.echo || self.noise
    }
}

impl Default for VoiceSwitches {
    fn default() -> Self {
        Self::ON
    }
}

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiceFigures {
    /// How far the echo lies behind what is played, in milliseconds; none while there is none.
    pub echo_delay_ms: Option<u32>,
    /// Echo return loss enhancement: how much of the echo is taken away by the filter alone, in decibels.
    pub echo_cut_db: f32,
    /// What is added to or taken from the level now, in decibels.
    pub gain_db: f32,
}

/// The processing of one microphone.
pub struct Voice {
    /// At work now: what was thrown is obeyed once a frame has faded out.
    at_work: VoiceSwitches,
    switches: VoiceSwitches,
    fade_in: bool,
    cleaner: Cleaner,
    delay_ms: u32,
    gain: Gain,
    limiter: Limiter,
    work: [f32; FRAME],
}

impl Voice {
    /// With these parts at work. Allocates; so does throwing a switch, and nothing of ours else.
    pub fn new(switches: VoiceSwitches) -> Self {
        Self {
            at_work: switches,
            switches,
            fade_in: false,
            cleaner: Cleaner::new(switches.echo, switches.noise),
            delay_ms: 0,
            gain: Gain::default(),
            limiter: Limiter::default(),
            work: [0.0; FRAME],
        }
    }

    /// Which parts are wanted.
    pub const fn switches(&self) -> VoiceSwitches {
        self.switches
    }

    /// Switches parts on and off: the next frame fades out, the one after it fades in with the new ones.
    pub const fn switch(&mut self, switches: VoiceSwitches) {
        self.switches = switches;
    }

    /// The 10 ms that are being given to the loudspeaker, before [`Voice::captured`] of the same turn. `delay_ms` is how much sound lies
    /// in the rings of loudspeaker and microphone: where the search for the echo begins.
    pub fn played(&mut self, frame: &[i16; FRAME], delay_ms: u32) {
        self.gain.played(mean_square(frame));
        let Some(echo) = &mut self.cleaner.echo else { return };
        to_float(frame, &mut self.work);
        echo.played(&self.work);
        let delay_ms = delay_ms.min(ECHO_DELAY_MS_MAX);
        if delay_ms.abs_diff(self.delay_ms) > DELAY_STEP_MS {
            self.delay_ms = delay_ms;
            echo.set_delay(delay_ms);
        }
    }

    /// The 10 ms that were captured, to be changed in place.
    pub fn captured(&mut self, frame: &mut [i16; FRAME]) {
        if self.at_work != VoiceSwitches::OFF {
            self.process(frame);
        }
        if core::mem::take(&mut self.fade_in) {
            fade(frame, |at| at);
        }
        if self.switches != self.at_work {
            fade(frame, |at| 1.0 - at);
            self.throw();
        }
    }

    fn process(&mut self, frame: &mut [i16; FRAME]) {
        to_float(frame, &mut self.work);
        if self.at_work.cleans() {
            self.cleaner.run(&mut self.work);
        }
        if self.at_work.gain {
            self.gain.run(&mut self.work);
            self.limiter.run(&mut self.work);
        }
        for (sample, value) in frame.iter_mut().zip(&self.work) {
            *sample = (value * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
        }
    }

    /// Parts that begin know nothing of before.
    fn throw(&mut self) {
        let (before, now) = (self.at_work, self.switches);
        if (before.echo, before.noise) != (now.echo, now.noise) {
            self.cleaner.switch(now.echo, now.noise);
            self.delay_ms = 0;
        }
        if before.gain != now.gain {
            (self.gain, self.limiter) = (Gain::default(), Limiter::default());
        }
        self.at_work = now;
        self.fade_in = true;
    }

    /// How it goes now.
    pub fn figures(&self) -> VoiceFigures {
        let metrics = self.cleaner.echo.as_ref().map(cleaner::Echo::metrics);
        VoiceFigures {
            echo_delay_ms: metrics.and_then(|metrics| u32::try_from(metrics.delay_ms).ok()).filter(|ms| *ms > 0),
            echo_cut_db: metrics.map_or(0.0, |metrics| metrics.echo_return_loss_enhancement as f32),
            gain_db: if self.at_work.gain { self.gain.now_db() } else { 0.0 },
        }
    }
}

/// A change of the rings' fill that the canceller is told, in milliseconds; it follows smaller ones by itself.
const DELAY_STEP_MS: u32 = 40;

fn to_float(frame: &[i16; FRAME], out: &mut [f32; FRAME]) {
    for (value, sample) in out.iter_mut().zip(frame) {
        *value = f32::from(*sample) / 32_768.0;
    }
}

/// Of full scale.
fn mean_square(frame: &[i16; FRAME]) -> f32 {
    frame.iter().map(|sample| (f32::from(*sample) / 32_768.0).powi(2)).sum::<f32>() / FRAME as f32
}

fn fade(frame: &mut [i16; FRAME], gain: impl Fn(f32) -> f32) {
    for (n, sample) in frame.iter_mut().enumerate() {
        *sample = (f32::from(*sample) * gain((n as f32 + 0.5) / FRAME as f32)) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u32) -> [i16; FRAME] {
        let mut state = seed | 1;
        core::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i16 / 8
        })
    }

    #[test]
    fn with_all_switched_off_the_samples_pass_bit_by_bit() {
        let mut voice = Voice::new(VoiceSwitches::OFF);
        for seed in 0..50 {
            let said = noise(seed);
            let mut sent = said;
            voice.played(&noise(seed + 100), 60);
            voice.captured(&mut sent);
            assert_eq!(sent, said);
        }
    }

    #[test]
    fn throwing_a_switch_fades_out_and_in_and_then_the_new_parts_are_at_work() {
        let mut voice = Voice::new(VoiceSwitches::OFF);
        let mut frame = [10_000; FRAME];
        voice.captured(&mut frame);
        voice.switch(VoiceSwitches::ON);
        assert_eq!(voice.switches(), VoiceSwitches::ON);
        frame = [10_000; FRAME];
        voice.captured(&mut frame);
        assert!(frame[0] > 9_000 && frame[FRAME - 1] < 100, "{frame:?}");
        frame = [10_000; FRAME];
        voice.captured(&mut frame);
        assert!(frame[0].abs() < 100, "{frame:?}");
        voice.switch(VoiceSwitches::OFF);
        voice.captured(&mut [0; FRAME]);
        voice.captured(&mut [0; FRAME]);
        frame = [-10_000; FRAME];
        voice.captured(&mut frame);
        assert_eq!(frame, [-10_000; FRAME]);
    }

    #[test]
    fn extremes_and_silence_of_any_length_neither_panic_nor_leave_the_range() {
        let mut voice = Voice::new(VoiceSwitches::ON);
        for turn in 0..1_500_u32 {
            let (played, mut captured) = match turn / 300 {
                0 => ([0; FRAME], [0; FRAME]),
                1 => ([i16::MAX; FRAME], [i16::MIN; FRAME]),
                2 => ([i16::MIN; FRAME], noise(turn)),
                3 => (noise(turn), [0; FRAME]),
                _ => (core::array::from_fn(|n| if n % 2 == 0 { i16::MAX } else { i16::MIN }), noise(turn)),
            };
            voice.played(&played, turn * 7 % 2_000);
            voice.captured(&mut captured);
            assert!(captured.iter().all(|sample| f32::from(sample.unsigned_abs()) <= CEILING * 32_768.0 + 1.0));
            assert!(voice.figures().gain_db.is_finite());
        }
    }
}
