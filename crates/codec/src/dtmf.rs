//! Keys heard in speech: dual-tone multi-frequency signalling, ITU-T Q.23, told from speech as Q.24 asks.
//!
//! Every 5 ms the last 20 ms are looked at through a Hann window at the eight frequencies of Q.23. A key is there where one
//! frequency of each group holds almost all of the sound, at its own frequency and not beside it, in four looks one after the
//! other. How far beside it is shows in how far the phase moved from look to look. The same key is over when six looks
//! have not shown it.

mod table;
#[cfg(test)]
mod tests;

use core::f32::consts::TAU;

use table::{FREQUENCIES, REFERENCE, STEP_BACK, WINDOW};

/// Samples of one look: 20 ms at 8 kHz.
const LOOK: usize = 160;
/// Samples from one look to the next: 5 ms.
const STEP: usize = 40;
/// Frequencies of both groups, the lower ones first.
const COUNT: usize = 8;
/// Frequencies of one group.
const GROUP: usize = 4;

/// Looks that show a key before it is told: 27 ms of a tone at least, 35 ms at most.
const LOOKS_TO_BEGIN: u8 = 4;
/// Looks without it after which a key is over: gaps of 20 ms are bridged, pauses of 40 ms are not.
const LOOKS_TO_END: u8 = 6;
/// The softest tone of a pair that counts, as the peak of its sine: -29 dBm0.
const PEAK_MIN: f32 = 810.0;
/// How much louder the lower tone may be (as power): 10 dB.
const LOWER_LOUDER_MAX: f32 = 10.0;
/// How much louder the higher tone may be (as power): 9 dB.
const HIGHER_LOUDER_MAX: f32 = 7.9;
/// The part of all sound in a look that both tones hold together.
const PURITY_MIN: f32 = 0.88;
/// The same for a key that was told, and goes on.
const PURITY_TO_HOLD: f32 = 0.5;
/// How far beside its frequency a tone may be in one look.
const ASTRAY_MAX: f32 = 0.026;
/// How far beside its frequency a tone may be in the middle of all looks: Q.24 takes 1.5 % and refuses 3.5 %. Harmonics of one
/// voice that are as 2 to 1, 3 to 2 or 5 to 3 are 4 % and more beside every pair of Q.23, so one of them is refused at 2 %.
const ASTRAY_MIDDLE_MAX: f32 = 0.0195;
/// How far a tone may wander from look to look: a machine holds it, a voice does not.
const WANDERS_MAX: f32 = 0.014;

/// The keys by row and column.
const KEYS: &[u8; GROUP * GROUP] = b"123A456B789C*0#D";

/// Finds keys in a stream of samples at 8 kHz. It allocates nothing.
#[derive(Debug, Clone)]
pub struct KeyDetector {
    heard: [f32; LOOK],
    /// Samples since the last look.
    fresh: usize,
    /// What the last look showed at each frequency.
    before: Spectrum,
    /// The key that may begin.
    begins: Option<Beginning>,
    /// The key that was told and is not over, and how many looks have not shown it.
    told: Option<(u8, u8)>,
}

/// Sums with a cosine and with a sine of each frequency.
#[derive(Debug, Clone, Copy)]
struct Spectrum {
    real: [f32; COUNT],
    imaginary: [f32; COUNT],
}

/// A key that was seen, and is not told yet.
#[derive(Debug, Clone, Copy)]
struct Beginning {
    key: u8,
    /// In how many looks.
    looks: u8,
    /// How far each tone was beside its frequency, least and most. Its first look does not count: what it is compared with
    /// may show something else.
    astray: [(f32, f32); 2],
}

/// The loudest pair of a look.
struct Pair {
    key: u8,
    /// Of both tones, relative to their frequencies.
    astray: [f32; 2],
    purity: f32,
    loud: bool,
    in_balance: bool,
}

impl Default for KeyDetector {
    fn default() -> Self {
        Self {
            heard: [0.0; LOOK],
            fresh: 0,
            before: Spectrum { real: [0.0; COUNT], imaginary: [0.0; COUNT] },
            begins: None,
            told: None,
        }
    }
}

impl KeyDetector {
    /// Takes the next sample in; gives a key once, 27 to 40 ms after its tone began.
    pub fn sample(&mut self, sample: i16) -> Option<char> {
        self.heard[LOOK - STEP + self.fresh] = f32::from(sample);
        self.fresh += 1;
        if self.fresh < STEP {
            return None;
        }
        let key = self.look();
        self.heard.copy_within(STEP.., 0);
        self.fresh = 0;
        key
    }

    /// Takes samples in, as many as there are; tells each key that was found.
    pub fn feed(&mut self, pcm: &[i16], mut pressed: impl FnMut(char)) {
        for sample in pcm {
            if let Some(key) = self.sample(*sample) {
                pressed(key);
            }
        }
    }

    fn look(&mut self) -> Option<char> {
        let pair = self.loudest_pair();
        let shown = pair.as_ref().filter(|pair| pair.is_key());
        if let Some((key, absent)) = &mut self.told {
            if pair.as_ref().is_some_and(|pair| pair.key == *key && pair.purity >= PURITY_TO_HOLD) {
                *absent = 0;
                self.begins = None;
                return None;
            }
            *absent += 1;
            if *absent >= LOOKS_TO_END {
                self.told = None;
            }
        }
        let Some(pair) = shown else {
            self.begins = None;
            return None;
        };
        let begins = match self.begins.take() {
            Some(begins) if begins.key == pair.key => begins.joined(pair),
            Some(_) | None => Beginning::at(pair),
        };
        if !begins.is_steady() {
            self.begins = Some(Beginning::at(pair));
            return None;
        }
        if begins.looks < LOOKS_TO_BEGIN {
            self.begins = Some(begins);
            return None;
        }
        self.told = Some((pair.key, 0));
        KEYS.get(usize::from(pair.key)).copied().map(char::from)
    }

    /// The loudest tone of each group; `None` in what is silence, or much else.
    fn loudest_pair(&mut self) -> Option<Pair> {
        let mut now = [0.0; 2 * COUNT];
        let mut energy = 0.0;
        for ((sample, weight), reference) in self.heard.iter().zip(&WINDOW).zip(&REFERENCE) {
            let sample = sample * weight;
            energy += sample * sample;
            for (sum, reference) in now.iter_mut().zip(reference) {
                *sum += sample * reference;
            }
        }
        let mut spectrum = Spectrum { real: [0.0; COUNT], imaginary: [0.0; COUNT] };
        spectrum.real.copy_from_slice(&now[..COUNT]);
        spectrum.imaginary.copy_from_slice(&now[COUNT..]);
        let before = core::mem::replace(&mut self.before, spectrum);
        let (low, high) = (spectrum.loudest(0), spectrum.loudest(GROUP));
        let seen = spectrum.energy(low) + spectrum.energy(high);
        // Beside its frequency a tone is seen weaker, by 4.5 dB at most.
        if seen < energy * PURITY_TO_HOLD * 0.35 || seen < table::energy_of(PEAK_MIN) {
            return None;
        }
        let astray = [low, high].map(|n| spectrum.moved_since(&before, n));
        let energies = [(low, astray[0]), (high, astray[1])].map(|(n, hz)| spectrum.energy(n) / table::seen_at(hz));
        Some(Pair {
            key: (low * GROUP + high - GROUP) as u8,
            astray: [astray[0] / FREQUENCIES[low] as f32, astray[1] / FREQUENCIES[high] as f32],
            purity: (energies[0] + energies[1]) / energy,
            loud: energies.iter().all(|tone| *tone >= table::energy_of(PEAK_MIN)),
            in_balance: energies[0] <= energies[1] * LOWER_LOUDER_MAX && energies[1] <= energies[0] * HIGHER_LOUDER_MAX,
        })
    }
}

impl Beginning {
    const fn at(pair: &Pair) -> Self {
        Self { key: pair.key, looks: 1, astray: [(f32::MAX, f32::MIN); 2] }
    }

    fn joined(self, pair: &Pair) -> Self {
        let wider = |n: usize| (self.astray[n].0.min(pair.astray[n]), self.astray[n].1.max(pair.astray[n]));
        Self { looks: self.looks + 1, astray: [wider(0), wider(1)], ..self }
    }

    fn is_steady(&self) -> bool {
        self.astray
            .iter()
            .all(|(least, most)| most - least <= WANDERS_MAX && (least + most).abs() <= 2.0 * ASTRAY_MIDDLE_MAX)
    }
}

impl Pair {
    fn is_key(&self) -> bool {
        self.loud
            && self.in_balance
            && self.purity >= PURITY_MIN
            && self.astray.iter().all(|astray| astray.abs() <= ASTRAY_MAX)
    }
}

impl Spectrum {
    /// The energy in a look that a tone of frequency `n` has, where it is not beside it.
    fn energy(&self, n: usize) -> f32 {
        (self.real[n] * self.real[n] + self.imaginary[n] * self.imaginary[n]) * table::ENERGY
    }

    /// The loudest of the group that begins at `first`.
    fn loudest(&self, first: usize) -> usize {
        (first..first + GROUP).fold(first, |best, n| if self.energy(n) > self.energy(best) { n } else { best })
    }

    /// By how many Hz the tone is beside its frequency `n`: what its phase moved more since the last look.
    fn moved_since(&self, before: &Self, n: usize) -> f32 {
        let (real, imaginary) = (
            self.real[n] * before.real[n] + self.imaginary[n] * before.imaginary[n],
            self.imaginary[n] * before.real[n] - self.real[n] * before.imaginary[n],
        );
        let (cosine, sine) = STEP_BACK[n];
        let (real, imaginary) = (real * cosine - imaginary * sine, real * sine + imaginary * cosine);
        imaginary.atan2(real) * 8_000.0 / (TAU * STEP as f32)
    }
}
