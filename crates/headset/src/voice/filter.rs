//! Between the rates that the parts work at, by whole factors and with little delay: one short filter a step.

/// Makes `FACTOR` samples of each one, by a windowed sinc over 2 x `reach` of those that come in.
#[derive(Debug, Clone)]
pub(super) struct Up<const FACTOR: usize> {
    taps: Vec<f32>,
    /// The last samples that came in, newest last.
    past: Vec<f32>,
}

/// Makes one sample of `FACTOR`.
#[derive(Debug, Clone)]
pub(super) struct Down<const FACTOR: usize> {
    taps: Vec<f32>,
    past: Vec<f32>,
}

/// A low pass for a change of rate by `factor`: `2 * reach * factor` taps that sum up to `gain`, cut off at `cut` of the lower rate's
/// own limit.
fn low_pass(factor: usize, reach: usize, cut: f32, gain: f32) -> Vec<f32> {
    let length = 2 * reach * factor;
    let middle = (length as f32 - 1.0) / 2.0;
    let mut taps: Vec<f32> = (0..length)
        .map(|n| {
            let at = (n as f32 - middle) / factor as f32;
            let x = core::f32::consts::PI * at * cut;
            let sinc = if x.abs() < 1e-6 { 1.0 } else { x.sin() / x };
            let window = (core::f32::consts::FRAC_PI_2 * at / (reach as f32)).cos();
            sinc * window * window
        })
        .collect();
    let sum: f32 = taps.iter().sum();
    for tap in &mut taps {
        *tap *= gain / sum;
    }
    taps
}

impl<const FACTOR: usize> Up<FACTOR> {
    /// Delays by `reach` samples of those that come in.
    pub fn new(reach: usize, cut: f32) -> Self {
        Self { taps: low_pass(FACTOR, reach, cut, FACTOR as f32), past: vec![0.0; 2 * reach] }
    }

    /// `out` is `FACTOR` times as long as `input`.
    pub fn run(&mut self, input: &[f32], out: &mut [f32]) {
        for (value, out) in input.iter().zip(out.chunks_exact_mut(FACTOR)) {
            self.past.rotate_left(1);
            if let Some(last) = self.past.last_mut() {
                *last = *value;
            }
            for (phase, out) in out.iter_mut().enumerate() {
                // The newest sample meets the first taps.
                let taps = self.taps[phase..].iter().step_by(FACTOR);
                *out = self.past.iter().rev().zip(taps).map(|(value, tap)| value * tap).sum();
            }
        }
    }
}

impl<const FACTOR: usize> Down<FACTOR> {
    /// Delays by `reach` samples of those that go out.
    pub fn new(reach: usize, cut: f32) -> Self {
        let taps = low_pass(FACTOR, reach, cut, 1.0);
        Self { past: vec![0.0; taps.len()], taps }
    }

    /// `input` is `FACTOR` times as long as `out`.
    pub fn run(&mut self, input: &[f32], out: &mut [f32]) {
        for (values, out) in input.chunks_exact(FACTOR).zip(out) {
            self.past.rotate_left(FACTOR);
            let at = self.past.len() - FACTOR;
            self.past[at..].copy_from_slice(values);
            *out = self.past.iter().zip(&self.taps).map(|(value, tap)| value * tap).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, rate: f32, n: usize) -> f32 {
        (n as f32 * hz * core::f32::consts::TAU / rate).sin()
    }

    /// The amplitude of a tone of that power.
    fn amplitude(samples: &[f32]) -> f32 {
        let settled = &samples[samples.len() / 2..];
        (2.0 * settled.iter().map(|value| value * value).sum::<f32>() / settled.len() as f32).sqrt()
    }

    /// From 8 to 48 kHz and back over 16, as the parts do it.
    fn there_and_back(hz: f32) -> (f32, f32) {
        let (mut first, mut second) = (Up::<2>::new(8, 1.0), Up::<3>::new(4, 1.0));
        let mut back = Down::<6>::new(8, 1.0);
        let input: Vec<f32> = (0..8_000).map(|n| tone(hz, 8_000.0, n)).collect();
        let (mut middle, mut high, mut out) = (vec![0.0; 16_000], vec![0.0; 48_000], vec![0.0; 8_000]);
        first.run(&input, &mut middle);
        second.run(&middle, &mut high);
        back.run(&high, &mut out);
        (amplitude(&high), amplitude(&out))
    }

    #[test]
    fn what_a_telephone_carries_comes_back_within_half_a_decibel_and_makes_no_images() {
        for hz in [100.0, 300.0, 1_000.0, 2_000.0, 3_000.0, 3_300.0] {
            let (high, out) = there_and_back(hz);
            assert!((0.944..1.06).contains(&high), "{hz} Hz: {high} at 48 kHz");
            assert!((0.944..1.06).contains(&out), "{hz} Hz: {out} back at 8 kHz");
        }
    }

    #[test]
    fn what_is_beyond_the_lower_rate_is_40_db_down() {
        for hz in [5_000.0, 7_000.0, 11_000.0, 20_000.0] {
            let mut down = Down::<6>::new(8, 1.0);
            let input: Vec<f32> = (0..48_000).map(|n| tone(hz, 48_000.0, n)).collect();
            let mut out = vec![0.0; 8_000];
            down.run(&input, &mut out);
            assert!(amplitude(&out) < 0.01, "{hz} Hz: {}", amplitude(&out));
        }
    }

    #[test]
    fn a_stream_in_pieces_is_the_stream_as_a_whole() {
        let input: Vec<f32> = (0..480).map(|n| tone(777.0, 48_000.0, n)).collect();
        let (mut whole, mut pieces) = (vec![0.0; 80], vec![0.0; 80]);
        Down::<6>::new(8, 1.0).run(&input, &mut whole);
        let mut down = Down::<6>::new(8, 1.0);
        for (from, to) in input.chunks(48).zip(pieces.chunks_mut(8)) {
            down.run(from, to);
        }
        assert_eq!(whole, pieces);
    }
}
