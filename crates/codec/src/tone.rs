//! Call-progress tones and keys: two sines and a rhythm.

use core::f32::consts::TAU;

use offhook_units::{SampleRate, Span};

/// A rhythm: sounds for `on`, rests for `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// How long it sounds.
    pub on: Span,
    /// How long it rests; [`Span::ZERO`] sounds without a rest.
    pub off: Span,
}

/// A tone being played.
#[derive(Debug, Clone)]
pub struct Tone {
    steps: [f32; 2],
    phases: [f32; 2],
    /// Peak of each of the two sines.
    level: f32,
    on: u64,
    cycle: u64,
    at: u64,
}

impl Tone {
    /// Two frequencies in Hz (0 for none) at `level` (peak of each, of 32,767) in a rhythm.
    pub fn new(rate: SampleRate, frequencies: [f32; 2], level: i16, cadence: Cadence) -> Self {
        let steps = frequencies.map(|hz| hz * TAU / rate.0 as f32);
        let on = rate.samples(cadence.on);
        let cycle = (on + rate.samples(cadence.off)).max(1);
        Self { steps, phases: [0.0; 2], level: f32::from(level), on, cycle, at: 0 }
    }

    /// European ringback, ETSI TS 103 390: 425 Hz, 1 s on, 4 s off.
    pub fn ringback(rate: SampleRate) -> Self {
        Self::new(rate, [425.0, 0.0], 4_000, Cadence { on: Span::from_s(1), off: Span::from_s(4) })
    }

    /// European busy tone: 425 Hz, half a second on and off.
    pub fn busy(rate: SampleRate) -> Self {
        Self::new(rate, [425.0, 0.0], 4_000, Cadence { on: Span::from_ms(500), off: Span::from_ms(500) })
    }

    /// The sound of a key, ITU-T Q.23: 100 ms on, 50 ms off. `None` where it is no key.
    pub fn key(rate: SampleRate, digit: char) -> Option<Self> {
        Self::of_key(rate, digit, Cadence { on: Span::from_ms(100), off: Span::from_ms(50) })
    }

    /// The sound of a key that is held, for as long as samples are asked for.
    pub fn held_key(rate: SampleRate, digit: char) -> Option<Self> {
        Self::of_key(rate, digit, Cadence { on: Span::from_s(1), off: Span::ZERO })
    }

    fn of_key(rate: SampleRate, digit: char, cadence: Cadence) -> Option<Self> {
        let at = "123A456B789C*0#D".find(digit.to_ascii_uppercase())?;
        let low = [697.0, 770.0, 852.0, 941.0][at / 4];
        let high = [1_209.0, 1_336.0, 1_477.0, 1_633.0][at % 4];
        Some(Self::new(rate, [low, high], 6_000, cadence))
    }

    /// The next samples.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            let sounds = self.at % self.cycle < self.on;
            self.at += 1;
            let mut value = 0.0;
            for (phase, step) in self.phases.iter_mut().zip(self.steps) {
                value += phase.sin();
                *phase = (*phase + step) % TAU;
            }
            *sample = if sounds { (value * self.level) as i16 } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ringback_sounds_one_second_of_five_at_425_hz() {
        let mut pcm = vec![0; 40_000];
        Tone::ringback(SampleRate::NARROW).fill(&mut pcm);
        assert!(pcm[8_000..].iter().all(|sample| *sample == 0));
        let rises = pcm[..8_000].windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
        assert!((424..=425).contains(&rises), "{rises}");
        assert!(Tone::key(SampleRate::NARROW, 'x').is_none() && Tone::key(SampleRate::NARROW, '#').is_some());
    }
}
