//! Echo and noise, each at the rate that its library knows: 16 and 48 kHz.

use aec3::api::config::EchoCanceller3Config;
use aec3::api::control::{EchoControl, Metrics};
use aec3::audio_processing::aec3::echo_canceller3::EchoCanceller3;
use aec3::audio_processing::audio_buffer::AudioBuffer;
use aec3::audio_processing::stream_config::StreamConfig;
use nnnoiseless::DenoiseState;

use super::FRAME;
use super::filter::{Down, Up};

/// What the echo is taken away at, and its frame.
const ECHO_HZ: usize = 16_000;
const ECHO_FRAME: usize = 2 * FRAME;
/// The frame in which noise is told from speech, at 48 kHz.
const NOISE_FRAME: usize = 6 * FRAME;
const _: () = assert!(NOISE_FRAME == DenoiseState::FRAME_SIZE, "both have frames of 10 ms");
/// How much of what was captured stays beside what was cleaned: 20 dB below it. A line that is dead between words sounds broken,
/// and what was taken for noise and is none is heard all the same.
const STAYS: f32 = 0.1;
/// Samples to either side that a change of rate looks at, and where it cuts off, of the lower rate's limit.
const REACH: usize = 8;
const CUT: f32 = 1.0;

/// Takes the echo of what is played out of what is captured.
pub(super) struct Echo {
    canceller: EchoCanceller3,
    played: AudioBuffer,
    captured: AudioBuffer,
    played_up: Up<2>,
    work: [f32; ECHO_FRAME],
}

impl Echo {
    pub fn new() -> Self {
        Self {
            canceller: EchoCanceller3::new(EchoCanceller3Config::default(), ECHO_HZ as i32, 1, 1),
            played: buffer(),
            captured: buffer(),
            played_up: Up::new(REACH, CUT),
            work: [0.0; ECHO_FRAME],
        }
    }

    /// 10 ms at 8 kHz that are played.
    pub fn played(&mut self, frame: &[f32; FRAME]) {
        self.played_up.run(frame, &mut self.work);
        self.played.copy_from(&[&self.work], &stream());
        self.canceller.analyze_render(&mut self.played);
    }

    /// Where the search begins.
    pub fn set_delay(&mut self, ms: u32) {
        self.canceller.set_audio_buffer_delay(ms as i32);
    }

    /// 10 ms at 16 kHz, changed in place.
    fn run(&mut self, frame: &mut [f32; ECHO_FRAME]) {
        self.captured.copy_from(&[frame], &stream());
        self.canceller.analyze_capture(&mut self.captured);
        self.canceller.process_capture(&mut self.captured, false);
        self.captured.copy_to_stream(&stream(), &mut [frame]);
    }

    pub fn metrics(&self) -> Metrics {
        self.canceller.metrics()
    }
}

fn buffer() -> AudioBuffer {
    AudioBuffer::new(ECHO_FRAME, 1, ECHO_FRAME, 1, ECHO_FRAME)
}

fn stream() -> StreamConfig {
    StreamConfig::new(ECHO_HZ, 1, false)
}

/// Lowers what is no speech.
pub(super) struct Noise {
    state: Box<DenoiseState<'static>>,
    up: Up<3>,
    down: Down<6>,
    /// What was captured in the frame before: what is cleaned comes out one frame late.
    before: Box<[f32; NOISE_FRAME]>,
    cleaned: Box<[f32; NOISE_FRAME]>,
}

impl Noise {
    pub fn new() -> Self {
        Self {
            state: DenoiseState::new(),
            up: Up::new(REACH / 2, CUT),
            down: Down::new(REACH, CUT),
            before: Box::new([0.0; NOISE_FRAME]),
            cleaned: Box::new([0.0; NOISE_FRAME]),
        }
    }

    /// 10 ms at 16 kHz become 10 ms at 8 kHz.
    fn run(&mut self, frame: &[f32; ECHO_FRAME], out: &mut [f32; FRAME]) {
        let mut wide = [0.0; NOISE_FRAME];
        self.up.run(frame, &mut wide);
        // The library counts as 16-bit samples do.
        for value in &mut wide {
            *value *= 32_768.0;
        }
        self.state.process_frame(&mut self.cleaned[..], &wide);
        for (clean, before) in self.cleaned.iter_mut().zip(self.before.iter()) {
            *clean = (*clean * (1.0 - STAYS) + before * STAYS) / 32_768.0;
        }
        *self.before = wide;
        self.down.run(&self.cleaned[..], out);
    }
}

/// Both, one behind the other.
pub(super) struct Cleaner {
    pub echo: Option<Echo>,
    pub noise: Option<Noise>,
    up: Up<2>,
    down: Down<2>,
}

impl Cleaner {
    pub fn new(echo: bool, noise: bool) -> Self {
        Self {
            echo: echo.then(Echo::new),
            noise: noise.then(Noise::new),
            up: Up::new(REACH, CUT),
            down: Down::new(REACH, CUT),
        }
    }

    /// A part that stays keeps what it has learned.
    pub fn switch(&mut self, echo: bool, noise: bool) {
        let kept = core::mem::replace(self, Self::new(false, false));
        self.echo = echo.then(|| kept.echo.unwrap_or_else(Echo::new));
        self.noise = noise.then(|| kept.noise.unwrap_or_else(Noise::new));
    }

    /// 10 ms at 8 kHz that were captured, changed in place.
    pub fn run(&mut self, frame: &mut [f32; FRAME]) {
        let mut wide = [0.0; ECHO_FRAME];
        self.up.run(frame, &mut wide);
        if let Some(echo) = &mut self.echo {
            echo.run(&mut wide);
        }
        match &mut self.noise {
            Some(noise) => noise.run(&wide, frame),
            None => self.down.run(&wide, frame),
        }
    }
}
