//! Two clocks that should be equal and are not: a fill level steers a tiny change of speed.
//!
//! The device drains or fills its ring by its own crystal, the call runs by the machine's clock. [`Drift`] watches how far the
//! ring is from its target and says by how many parts per million to stretch; [`Slip`] does it by interpolation, so that nothing clicks.

/// Largest change of speed, in parts per million: far beyond any crystal, far below what an ear hears as pitch.
pub const PPM_MAX: f32 = 1_000.0;

/// Steers by the low-passed distance of a ring's fill from its target.
#[derive(Debug, Clone)]
pub struct Drift {
    rate: f32,
    error_ms: f32,
}

impl Drift {
    /// Smoothing per 10 ms step: a time constant of one second hides the bursts of the callbacks.
    const SMOOTHING: f32 = 0.01;
    /// Change of speed per millisecond of distance. 200 ppm of drift settles within half a millisecond of the target.
    const PPM_PER_MS: f32 = 480.0;

    /// For a ring of `rate` samples per second.
    pub fn new(rate: u32) -> Self {
        Self { rate: rate as f32, error_ms: 0.0 }
    }

    /// To be called every 10 ms with the ring's `fill` and `target` in samples. Positive: the ring is too full.
    pub fn step(&mut self, fill: usize, target: usize) -> f32 {
        let error_ms = (fill as f32 - target as f32) * 1_000.0 / self.rate;
        self.error_ms += (error_ms - self.error_ms) * Self::SMOOTHING;
        (self.error_ms * Self::PPM_PER_MS).clamp(-PPM_MAX, PPM_MAX)
    }

    /// Forgets the past, after the fill was set by force.
    pub fn reset(&mut self) {
        self.error_ms = 0.0;
    }
}

/// Resamples by a ratio within [`PPM_MAX`] of one, by cubic (Catmull-Rom) interpolation over four samples.
#[derive(Debug, Clone, Default)]
pub struct Slip {
    history: [i16; 3],
    phase: f64,
}

impl Slip {
    /// Appends to `out` what `input` becomes when it runs `faster_ppm` faster: fewer samples for positive values.
    /// With 0 ppm from the start the samples come out as they went in, two later.
    pub fn run(&mut self, faster_ppm: f32, input: &[i16], out: &mut Vec<i16>) {
        let step = 1.0 + f64::from(faster_ppm.clamp(-PPM_MAX, PPM_MAX)) * 1e-6;
        for &sample in input {
            let [a, b, c] = self.history;
            while self.phase < 1.0 {
                out.push(cubic([a, b, c, sample], self.phase as f32));
                self.phase += step;
            }
            self.phase -= 1.0;
            self.history = [b, c, sample];
        }
    }
}

/// The curve through the second (at 0) and the third (at 1).
fn cubic(around: [i16; 4], at: f32) -> i16 {
    if at == 0.0 {
        return around[1];
    }
    let [before, from, to, after] = around.map(f32::from);
    let slope = 0.5 * (to - before);
    let bend = before - 2.5 * from + 2.0 * to - 0.5 * after;
    let twist = 0.5 * (after - before) + 1.5 * (from - to);
    (((twist * at + bend) * at + slope) * at + from).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_drift_the_samples_pass_untouched() {
        let mut slip = Slip::default();
        let input: Vec<i16> = (0..500).map(|i| (i * 61 % 4_001) as i16 - 2_000).collect();
        let mut out = Vec::new();
        slip.run(0.0, &input, &mut out);
        assert_eq!(out.len(), 500);
        assert_eq!(out[2..], input[..498]);
    }

    #[test]
    fn a_thousand_ppm_faster_drops_one_sample_in_a_thousand() {
        let mut slip = Slip::default();
        let mut out = Vec::new();
        slip.run(1_000.0, &vec![0; 100_000], &mut out);
        assert!((99_898..=99_902).contains(&out.len()), "{}", out.len());
    }

    #[test]
    fn a_slipped_tone_stays_within_one_part_in_a_hundred_of_the_true_one() {
        let tone = |at: f64| (10_000.0 * (at * 1_000.0 * std::f64::consts::TAU / 48_000.0).sin()) as f32;
        let input: Vec<i16> = (0..48_000).map(|i| tone(f64::from(i)) as i16).collect();
        let mut slip = Slip::default();
        let mut out = Vec::new();
        slip.run(-200.0, &input, &mut out);
        for (i, &sample) in out.iter().enumerate().skip(8) {
            let want = tone((i as f64) * (1.0 - 200e-6) - 2.0);
            assert!((f32::from(sample) - want).abs() < 100.0, "sample {i}: {sample} for {want}");
        }
    }

    /// Ten minutes with a device 200 ppm off: the fill settles at the target and never leaves it by 2 ms.
    #[test]
    fn two_hundred_ppm_either_way_settle_within_two_ms_and_stay_there_for_ten_minutes() {
        for ppm in [-200.0, 200.0_f64] {
            let (rate, target) = (48_000, 1_440_usize);
            let mut drift = Drift::new(rate);
            let mut fill = target as f64;
            for step in 0..60_000 {
                let faster = drift.step(fill.round() as usize, target);
                fill += 480.0 * (1.0 - f64::from(faster) * 1e-6) - 480.0 * (1.0 + ppm * 1e-6);
                let off_ms = (fill - target as f64).abs() / 48.0;
                assert!(off_ms < 2.0, "step {step}: {off_ms} ms off at {ppm} ppm");
            }
            let off_ms = (fill - target as f64).abs() / 48.0;
            assert!(off_ms < 0.6, "{off_ms} ms off at the end at {ppm} ppm");
        }
    }
}
