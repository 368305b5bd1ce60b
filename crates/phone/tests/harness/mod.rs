//! Phones on loopback, and waiting for what they tell with a deadline.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod office;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use offhook_phone::{CallStatistics, Clock, EngineConfig, Phone, PhoneConfig, PhoneEvent, Sound, Told, VoiceSwitches};
use offhook_units::Entropy;

/// Longest that any one event is waited for.
pub const WITHIN: Duration = Duration::from_secs(20);

/// Speech-like noise from a seed, 8 kHz.
pub fn noise(seed: u64, samples: usize) -> Vec<i16> {
    let mut entropy = Entropy::from_number(seed);
    (0..samples).map(|_| (entropy.next_u32() >> 16) as i16 / 4).collect()
}

/// A sine at 8 kHz.
pub fn tone(hz: f32, samples: usize) -> Vec<i16> {
    (0..samples).map(|n| ((n as f32 * core::f32::consts::TAU * hz / 8_000.0).sin() * 10_000.0) as i16).collect()
}

/// An engine without devices that plays `play`, once, and writes what passes into `folder`.
pub fn files(folder: &Path, name: &str, play: Option<Vec<i16>>) -> EngineConfig {
    EngineConfig {
        clock: Clock::start(),
        devices: None,
        voice: VoiceSwitches::OFF,
        meters: false,
        play: play.map(|samples| (Arc::new(Sound::new(samples)), false)),
        record: Some(folder.join(format!("{name}.wav"))),
        payloads_in: Some(folder.join(format!("{name}.in"))),
        payloads_out: Some(folder.join(format!("{name}.out"))),
    }
}

/// A phone that listens on a free port of loopback.
pub fn on_loopback(engine: EngineConfig) -> PhoneConfig {
    PhoneConfig::new("127.0.0.1:0".parse().unwrap(), engine)
}

/// A phone that is on, and its ear for events.
pub struct Desk {
    pub phone: Phone,
    pub told: Receiver<Told>,
}

impl Desk {
    pub fn start(config: PhoneConfig, seed: u64) -> Self {
        let (phone, told) = Phone::start(config, Entropy::from_number(seed)).unwrap();
        Self { phone, told }
    }

    /// The first event that `pick` takes; those before it are skipped.
    pub fn wait<T>(&self, what: &str, mut pick: impl FnMut(&PhoneEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + WITHIN;
        let mut seen = Vec::new();
        loop {
            match self.told.recv_deadline(deadline) {
                Ok(told) => {
                    if let Some(found) = pick(&told.event) {
                        return found;
                    }
                    seen.push(told.event);
                }
                Err(error) => panic!("{what}: {error} after {seen:?}"),
            }
        }
    }

    pub fn ended(&self) -> CallStatistics {
        self.wait("the call's end", |event| match event {
            PhoneEvent::Ended { statistics } => Some((**statistics).clone()),
            _ => None,
        })
    }

    pub fn incoming(&self) -> u32 {
        self.wait("a call", |event| match event {
            PhoneEvent::Incoming { call, .. } => Some(*call),
            _ => None,
        })
    }

    pub fn answered(&self) {
        self.wait("the answer", |event| matches!(event, PhoneEvent::Answered { .. }).then_some(()));
    }

    pub fn uri(&self) -> String {
        format!("sip:desk@{}", self.phone.local())
    }
}

/// Share of a tone's energy in `samples`, by Goertzel's algorithm: 0.5 for a pure sine of any level.
pub fn share_of(hz: f32, rate: f32, samples: &[i16]) -> f32 {
    let step = core::f32::consts::TAU * hz / rate;
    let (mut real, mut imaginary, mut energy) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (n, sample) in samples.iter().enumerate() {
        let (phase, value) = (f64::from(step) * n as f64, f64::from(*sample));
        real += value * phase.cos();
        imaginary += value * phase.sin();
        energy += value * value;
    }
    if energy == 0.0 {
        return 0.0;
    }
    ((real * real + imaginary * imaginary) / (energy * samples.len() as f64)) as f32
}
