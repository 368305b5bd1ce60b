//! Concealment of lost speech: the last pitch period again, fading (after ITU-T G.711 appendix I, at 8 kHz).

/// Shortest pitch period searched: 5 ms, 200 Hz.
const PITCH_MIN: usize = 40;
/// Longest pitch period searched: 15 ms, 66 Hz.
const PITCH_MAX: usize = 120;
/// Samples compared in the search: 10 ms.
const COMPARED: usize = 80;
/// What is remembered.
const HISTORY: usize = PITCH_MAX + COMPARED;
/// Concealed sound keeps its level for 10 ms, then fades until this: 60 ms.
const SILENT_AFTER: usize = 480;
const FADES_AFTER: usize = 80;
/// True speech is blended in over 4 ms.
const BLEND: usize = 32;

const _: () = assert!(PITCH_MIN < PITCH_MAX && FADES_AFTER < SILENT_AFTER, "a fade needs room");

/// Remembers the speech of one stream at 8 kHz and invents what is missing.
#[derive(Debug, Clone)]
pub struct Concealer {
    history: [i16; HISTORY],
    pitch: usize,
    /// Samples invented since the last true one.
    invented: usize,
}

impl Default for Concealer {
    fn default() -> Self {
        Self::new()
    }
}

impl Concealer {
    /// With silence behind it.
    pub const fn new() -> Self {
        Self { history: [0; HISTORY], pitch: PITCH_MAX, invented: 0 }
    }

    /// Takes note of true speech; the first samples after a gap are blended with what was invented.
    pub fn heard(&mut self, pcm: &mut [i16]) {
        if self.invented > 0 {
            let blend = pcm.len().min(BLEND);
            for (at, sample) in pcm[..blend].iter_mut().enumerate() {
                let invented = i32::from(self.invent());
                let weight = at as i32 + 1;
                *sample = ((i32::from(*sample) * weight + invented * (BLEND as i32 + 1 - weight)) / (BLEND as i32 + 1))
                    as i16;
            }
            self.invented = 0;
        }
        if let Some(newest) = pcm.len().checked_sub(HISTORY) {
            self.history.copy_from_slice(&pcm[newest..]);
        } else {
            self.history.copy_within(pcm.len().., 0);
            self.history[HISTORY - pcm.len()..].copy_from_slice(pcm);
        }
    }

    /// Fills `out` with invented speech.
    pub fn conceal(&mut self, out: &mut [i16]) {
        if self.invented == 0 {
            self.pitch = self.find_pitch();
        }
        for sample in out {
            *sample = self.invent();
        }
    }

    fn invent(&mut self) -> i16 {
        let at = self.invented;
        self.invented += 1;
        if at >= SILENT_AFTER {
            self.invented = SILENT_AFTER;
            return 0;
        }
        let sample = i32::from(self.history[HISTORY - self.pitch + at % self.pitch]);
        let gain = SILENT_AFTER - at.max(FADES_AFTER);
        (sample * gain as i32 / (SILENT_AFTER - FADES_AFTER) as i32) as i16
    }

    /// The lag at which the newest 10 ms look most like themselves.
    fn find_pitch(&self) -> usize {
        let newest = &self.history[HISTORY - COMPARED..];
        let mut best = (PITCH_MAX, 0_i64, 1_i64);
        for lag in PITCH_MIN..=PITCH_MAX {
            let older = &self.history[HISTORY - COMPARED - lag..HISTORY - lag];
            let (mut product, mut energy) = (0_i64, 1_i64);
            for (a, b) in newest.iter().zip(older) {
                product += i64::from(*a) * i64::from(*b);
                energy += i64::from(*b) * i64::from(*b);
            }
            let score = |p: i64| i128::from(p.max(0)) * i128::from(p.max(0));
            // p^2 / e compared crosswise.
            if score(product) * i128::from(best.2) > score(best.1) * i128::from(energy) {
                best = (lag, product, energy);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hum(samples: usize, period: f32) -> Vec<i16> {
        (0..samples).map(|n| ((n as f32 * core::f32::consts::TAU / period).sin() * 8_000.0) as i16).collect()
    }

    #[test]
    fn a_hum_goes_on_through_a_gap_of_10_ms() {
        let truth = hum(560, 50.0);
        let mut concealer = Concealer::new();
        concealer.heard(&mut truth[..400].to_vec());
        let mut out = [0; 80];
        concealer.conceal(&mut out);
        let error = out.iter().zip(&truth[400..480]).map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs()).max();
        assert!(error.unwrap() < 1_200, "{error:?}");
    }

    #[test]
    fn a_long_gap_fades_to_silence_within_60_ms() {
        let mut concealer = Concealer::new();
        concealer.heard(&mut hum(400, 50.0));
        let mut out = [1; 960];
        concealer.conceal(&mut out);
        assert!(out[480..].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn speech_after_a_gap_is_untouched_but_for_its_first_4_ms() {
        let mut concealer = Concealer::new();
        concealer.heard(&mut hum(400, 50.0));
        concealer.conceal(&mut [0; 160]);
        let truth = hum(160, 33.0);
        let mut heard = truth.clone();
        concealer.heard(&mut heard);
        assert_eq!(heard[BLEND..], truth[BLEND..]);
        let mut next = truth.clone();
        concealer.heard(&mut next);
        assert_eq!(next, truth);
    }
}
