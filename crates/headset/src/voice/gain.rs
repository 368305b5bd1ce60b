//! Automatic gain: quiet and loud talkers at one level, moved slowly, while they speak and at no other time.

use super::FRAME;

/// Level that active speech is brought to, in decibels below full scale (ITU-T P.56: what networks are built for).
pub const TARGET_DB: f32 = -26.0;
/// Most that is added to a quiet talker, in decibels.
pub const BOOST_DB_MAX: f32 = 20.0;
/// Most that is taken from a loud one, in decibels.
pub const CUT_DB_MAX: f32 = 15.0;
/// How loud the room's noise may become by the gain, in decibels below full scale.
const NOISE_DB_MAX: f32 = -52.0;
/// A frame is speech when it stands this far above the noise, in decibels ..
const SPEECH_OVER_NOISE_DB: f32 = 12.0;
/// .. and above this at all.
const SPEECH_DB_MIN: f32 = -58.0;
/// Frames by which the level becomes trusted: 3 s of speech. Fewer weigh more, so that the first words tell most.
const TRUSTED_FRAMES: f32 = 300.0;
/// Speech after which the gain begins to move: 200 ms, so that a cough moves nothing.
const FIRST_FRAMES: f32 = 20.0;
/// Nearer to what is wanted than this, in decibels, the gain rests.
const REST_DB: f32 = 1.0;
/// Change of gain per frame of speech, in decibels, up and down: 6 and 20 dB in a second of speech.
const UP_DB: f32 = 0.06;
const DOWN_DB: f32 = 0.2;
/// What is played is loud from here on, in decibels below full scale: what is captured then may be its echo ..
const PLAYED_DB: f32 = -50.0;
/// .. and so much longer, in frames.
const ECHO_FRAMES: u32 = 25;
/// The noise is the quietest frame of the last windows, each of half a second.
const WINDOW_FRAMES: u32 = 50;
const WINDOWS: usize = 6;

/// Estimates the level of one talker and steers towards [`TARGET_DB`].
#[derive(Debug, Clone)]
pub(super) struct Gain {
    added_db: f32,
    /// Mean power of frames of speech, of full scale, and how many it is from.
    speech: f32,
    frames: f32,
    /// Quietest of each window, in decibels, and of the one under way.
    quietest: [f32; WINDOWS],
    window: f32,
    in_window: u32,
    echo_for: u32,
}

impl Default for Gain {
    fn default() -> Self {
        Self {
            added_db: 0.0,
            speech: 0.0,
            frames: 0.0,
            quietest: [f32::INFINITY; WINDOWS],
            window: f32::INFINITY,
            in_window: 0,
            echo_for: 0,
        }
    }
}

impl Gain {
    /// The power of what is played in this turn, of full scale.
    pub fn played(&mut self, power: f32) {
        self.echo_for = if db(power) > PLAYED_DB { ECHO_FRAMES } else { self.echo_for.saturating_sub(1) };
    }

    /// What is added to the level now, in decibels.
    pub const fn now_db(&self) -> f32 {
        self.added_db
    }

    /// Changes 10 ms in place.
    pub fn run(&mut self, frame: &mut [f32; FRAME]) {
        let power = frame.iter().map(|value| value * value).sum::<f32>() / FRAME as f32;
        let before_db = self.added_db;
        let noise_db = self.note_noise(db(power));
        let is_speech = db(power) > SPEECH_DB_MIN && db(power) > noise_db + SPEECH_OVER_NOISE_DB;
        if is_speech && self.echo_for == 0 {
            self.frames = (self.frames + 1.0).min(TRUSTED_FRAMES);
            self.speech += (power - self.speech) / self.frames;
            if self.frames >= FIRST_FRAMES {
                self.steer(noise_db);
            }
        }
        let (from, to) = (factor(before_db), factor(self.added_db));
        for (n, value) in frame.iter_mut().enumerate() {
            *value *= from + (to - from) * (n as f32 + 1.0) / FRAME as f32;
        }
    }

    fn steer(&mut self, noise_db: f32) {
        let quiet_noise_db = (NOISE_DB_MAX - noise_db).max(0.0);
        let wanted = (TARGET_DB - db(self.speech)).clamp(-CUT_DB_MAX, BOOST_DB_MAX.min(quiet_noise_db));
        let off = wanted - self.added_db;
        if off.abs() > REST_DB {
            self.added_db += off.clamp(-DOWN_DB, UP_DB);
        }
    }

    /// The noise, in decibels below full scale.
    fn note_noise(&mut self, frame_db: f32) -> f32 {
        self.window = self.window.min(frame_db);
        self.in_window += 1;
        if self.in_window == WINDOW_FRAMES {
            self.quietest.rotate_right(1);
            self.quietest[0] = self.window;
            (self.window, self.in_window) = (f32::INFINITY, 0);
        }
        self.quietest.iter().fold(self.window, |least, window| least.min(*window))
    }
}

/// Of a power of full scale.
fn db(power: f32) -> f32 {
    10.0 * power.max(1e-10).log10()
}

fn factor(db: f32) -> f32 {
    10.0_f32.powf(db / 20.0)
}
