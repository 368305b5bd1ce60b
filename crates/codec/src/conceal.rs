//! Concealment of lost speech at 8 kHz: the last pitch period again (after ITU-T G.711 appendix I), and, where the speech after
//! the gap is known already, from both sides: each side's period is bent to meet the other's phase, one fades into the other.

/// Shortest pitch period searched: 5 ms, 200 Hz; higher voices are repeated by several of their periods.
const PITCH_MIN: usize = 40;
/// Longest pitch period searched: 17.5 ms, 57 Hz.
const PITCH_MAX: usize = 140;
/// Samples compared in the search: 20 ms.
const COMPARED: usize = 160;
/// What is remembered.
const HISTORY: usize = PITCH_MAX + COMPARED + PITCH_MAX / 4;
/// What is repeated needs a little of what came before it.
const _: () = assert!(HISTORY >= 2 * PITCH_MAX && PITCH_MIN < PITCH_MAX, "a period and its overlap lie in the history");
/// Invented sound keeps its level for this long: 50 ms.
const FADES_AFTER: usize = 400;
/// And is silent after this: 130 ms.
const SILENT_AFTER: usize = 1_040;
/// True speech is blended in over 5 ms where the gap's end was not foreseen.
const BLEND: usize = 40;
/// A step between true and invented sound is worn off over 1 ms.
const STEP_WORN: usize = 8;
/// Samples compared where the two sides meet: 10 ms.
const MEET: usize = 80;
/// Below this likeness the sides are blended without bending.
const LIKE_MIN: f32 = 0.35;
/// What a shift costs in likeness, per sample.
const FAR_COSTS: f32 = 0.004;

/// One side's period, repeated without a seam.
#[derive(Debug, Clone, Copy)]
struct Loop {
    samples: [f32; PITCH_MAX],
    period: usize,
    /// What to add at its first sample, so that the true speech goes on without a step.
    step: f32,
}

impl Loop {
    const EMPTY: Self = Self { samples: [0.0; PITCH_MAX], period: PITCH_MAX, step: 0.0 };

    /// The newest `period` samples of `past`, to be played after them.
    fn after(past: &[i16], period: usize) -> Self {
        let mut made = Self { period, ..Self::EMPTY };
        let newest = past.len() - period;
        let overlap = period / 4;
        for (at, sample) in made.samples[..period].iter_mut().enumerate() {
            *sample = f32::from(past[newest + at]);
            if let Some(into) = (at + overlap).checked_sub(period) {
                let weight = (into as f32 + 0.5) / overlap as f32;
                *sample += (f32::from(past[newest + at - period]) - *sample) * weight;
            }
        }
        made.step = f32::from(past[past.len() - 1]) - f32::from(past[newest - 1]);
        made
    }

    /// The first `period` samples of `future`, to be played before them.
    fn before(future: &[i16], period: usize) -> Self {
        let mut made = Self { period, ..Self::EMPTY };
        let overlap = (period / 4).min(future.len().saturating_sub(period));
        for (at, sample) in made.samples[..period].iter_mut().enumerate() {
            *sample = f32::from(future[at]);
            if at < overlap {
                let weight = 1.0 - (at as f32 + 0.5) / overlap as f32;
                *sample += (f32::from(future[at + period]) - *sample) * weight;
            }
        }
        made.step = future.get(period).map_or(0.0, |next| f32::from(future[0]) - f32::from(*next));
        made
    }

    /// The loop at a place between samples, counted from its first sample; may be negative.
    fn at(&self, place: f32) -> f32 {
        let floor = place.floor();
        let part = place - floor;
        let sample = |offset: i32| self.samples[(floor as i32 + offset).rem_euclid(self.period as i32) as usize];
        if part < 1e-4 {
            return sample(0);
        }
        // Four points, Hermite.
        let (a, b, c, d) = (sample(-1), sample(0), sample(1), sample(2));
        let (slope, bend) = ((c - a) * 0.5, a - 2.5 * b + 2.0 * c - 0.5 * d);
        let twist = (d - a) * 0.5 + (b - c) * 1.5;
        ((twist * part + bend) * part + slope) * part + b
    }
}

/// How a gap whose end is known is crossed.
#[derive(Debug, Clone, Copy)]
struct Bridge {
    later: Loop,
    /// Length of the rest of the gap when its end became known, and what is left of it.
    length: usize,
    left: usize,
    /// Steps through the loops per sample.
    pace: f32,
    later_pace: f32,
    /// Whether the sides are alike, so that their amplitudes (not their powers) add up.
    alike: bool,
}

/// Remembers the speech of one stream at 8 kHz and invents what is missing.
#[derive(Debug, Clone)]
pub struct Concealer {
    history: [i16; HISTORY],
    earlier: Loop,
    /// Place in the earlier loop of the next sample.
    place: f32,
    /// Samples invented since the last true one.
    invented: usize,
    /// True samples since then that were blended.
    blended: usize,
    bridge: Option<Bridge>,
}

impl Default for Concealer {
    fn default() -> Self {
        Self::new()
    }
}

impl Concealer {
    /// With silence behind it.
    pub const fn new() -> Self {
        Self { history: [0; HISTORY], earlier: Loop::EMPTY, place: 0.0, invented: 0, blended: 0, bridge: None }
    }

    /// Takes note of true speech; the first samples after a gap are blended with what was invented, however few come at a time.
    pub fn heard(&mut self, pcm: &mut [i16]) {
        if self.invented > 0 && !pcm.is_empty() {
            let foreseen = self.blended == 0 && self.bridge.take().is_some_and(|bridge| bridge.left == 0);
            let count = if foreseen { 0 } else { pcm.len().min(BLEND - self.blended) };
            for (at, sample) in pcm[..count].iter_mut().enumerate() {
                let weight = ((self.blended + at) as f32 + 1.0) / (BLEND as f32 + 1.0);
                let invented = self.invent();
                *sample = (f32::from(*sample) * weight + invented * (1.0 - weight)) as i16;
            }
            self.blended += count;
            if foreseen || self.blended == BLEND {
                (self.invented, self.blended) = (0, 0);
            }
        }
        self.remember(pcm);
    }

    /// Whether the last sample that it made or took note of was invented in part or whole.
    pub const fn is_inventing(&self) -> bool {
        self.invented > 0
    }

    /// Fills `out` with invented speech. `ahead` is the first true speech after the gap, where it is known, and the samples
    /// from the begin of `out` until it.
    pub fn conceal(&mut self, ahead: Option<(&[i16], usize)>, out: &mut [i16]) {
        if self.invented == 0 {
            let (period, _) = pitch(&self.history);
            self.earlier = Loop::after(&self.history, period);
            self.place = 0.0;
            self.bridge = None;
        }
        self.blended = 0;
        if let Some((next, distance)) = ahead
            && self.bridge.is_none_or(|bridge| bridge.left != distance)
            && distance > 0
            && next.len() > PITCH_MIN
        {
            self.bridge = Some(self.build(next, distance));
        }
        for sample in &mut *out {
            *sample = self.invent().clamp(-32_768.0, 32_767.0) as i16;
        }
        self.remember(out);
    }

    fn remember(&mut self, pcm: &[i16]) {
        if let Some(newest) = pcm.len().checked_sub(HISTORY) {
            self.history.copy_from_slice(&pcm[newest..]);
        } else {
            self.history.copy_within(pcm.len().., 0);
            self.history[HISTORY - pcm.len()..].copy_from_slice(pcm);
        }
    }

    fn invent(&mut self) -> f32 {
        let at = self.invented;
        self.invented = (at + 1).min(SILENT_AFTER);
        let worn = |from: usize| 1.0 - from.min(STEP_WORN) as f32 / STEP_WORN as f32;
        let earlier = (self.earlier.at(self.place) + self.earlier.step * worn(at)) * level(at);
        let Some(bridge) = &mut self.bridge else {
            self.place += 1.0;
            return earlier;
        };
        self.place += bridge.pace;
        if bridge.left == 0 {
            return earlier;
        }
        let back = bridge.left as f32;
        bridge.left -= 1;
        let step = bridge.later.step * worn(bridge.left);
        let later = (bridge.later.at(-back * bridge.later_pace) + step) * level(bridge.left);
        let over = 1.0 - (back - 0.5) / bridge.length as f32;
        if bridge.alike {
            earlier * (1.0 - over) + later * over
        } else {
            earlier * (1.0 - over).sqrt() + later * over.sqrt()
        }
    }

    /// Bends both sides so that each meets the other at the far end of the gap.
    fn build(&self, next: &[i16], distance: usize) -> Bridge {
        let period = self.earlier.period;
        let later_period = pitch_near(next, period);
        let later = Loop::before(next, later_period);
        let reach = (period / 2).min(distance / 8 + 4) as i32;
        let meet = next.len().min(MEET);
        let (shift, like) = best_shift(reach, meet, |shift, at| {
            (self.earlier.at((self.place + distance as f32 + shift + at as f32).round()), f32::from(next[at]))
        });
        let reach = (later_period / 2).min(distance / 8 + 4) as i32;
        let (later_shift, later_like) = best_shift(reach, MEET, |shift, at| {
            let back = (at + 1) as f32;
            let past = f32::from(self.history[HISTORY - 1 - at]);
            (later.at(-(distance as f32) - back - shift), past)
        });
        let alike = like > LIKE_MIN && later_like > LIKE_MIN;
        let pace = |shift: f32, like: f32| if like > LIKE_MIN { 1.0 + shift / distance as f32 } else { 1.0 };
        Bridge {
            later,
            length: distance,
            left: distance,
            pace: pace(shift, like),
            later_pace: pace(later_shift, later_like),
            alike,
        }
    }
}

/// The level after so many samples away from true speech.
fn level(away: usize) -> f32 {
    let left = SILENT_AFTER.saturating_sub(away.max(FADES_AFTER));
    left as f32 / (SILENT_AFTER - FADES_AFTER) as f32
}

/// The shift within `reach` at which `pair` is most alike, and how alike (-1 to 1).
fn best_shift(reach: i32, length: usize, pair: impl Fn(f32, usize) -> (f32, f32)) -> (f32, f32) {
    let mut best = (0.0, -1.0);
    for shift in -reach..=reach {
        let (mut product, mut energy, mut other) = (0.0_f32, 1.0_f32, 1.0_f32);
        for at in 0..length {
            let (a, b) = pair(shift as f32, at);
            product += a * b;
            energy += a * a;
            other += b * b;
        }
        // Of shifts as good as another, as those a whole period apart are, the smallest is meant.
        let like = product / (energy * other).sqrt() - shift.abs() as f32 * FAR_COSTS;
        if like > best.1 {
            best = (shift as f32, like);
        }
    }
    best
}

/// The lag at which the newest 20 ms look most like themselves, and how much.
fn pitch(history: &[i16; HISTORY]) -> (usize, f32) {
    let newest = &history[HISTORY - COMPARED..];
    let mut best = (PITCH_MAX, 0.0_f32);
    for lag in PITCH_MIN..=PITCH_MAX {
        let older = &history[HISTORY - COMPARED - lag..HISTORY - lag];
        let like = likeness(newest, older);
        if like > best.1 {
            best = (lag, like);
        }
    }
    best
}

/// The pitch period of `next`, searched around another's.
fn pitch_near(next: &[i16], period: usize) -> usize {
    let most = PITCH_MAX.min(next.len() - 1);
    let mut best = (period.min(most), 0.0_f32);
    for lag in (period * 3 / 4).max(PITCH_MIN)..=(period * 5 / 4).min(most.min(next.len() - PITCH_MIN / 2)) {
        let like = likeness(&next[lag..], &next[..next.len() - lag]);
        if like > best.1 {
            best = (lag, like);
        }
    }
    best.0
}

fn likeness(a: &[i16], b: &[i16]) -> f32 {
    let (mut product, mut energy, mut other) = (0.0_f32, 1.0_f32, 1.0_f32);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f32::from(*a), f32::from(*b));
        product += a * b;
        energy += a * a;
        other += b * b;
    }
    product / (energy * other).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hum(samples: usize, period: f32) -> Vec<i16> {
        (0..samples).map(|n| ((n as f32 * core::f32::consts::TAU / period).sin() * 8_000.0) as i16).collect()
    }

    fn worst(a: &[i16], b: &[i16]) -> i32 {
        a.iter().zip(b).map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs()).max().unwrap()
    }

    #[test]
    fn a_hum_goes_on_through_a_gap_of_10_ms() {
        let truth = hum(560, 50.0);
        let mut concealer = Concealer::new();
        concealer.heard(&mut truth[..400].to_vec());
        let mut out = [0; 80];
        concealer.conceal(None, &mut out);
        assert!(worst(&out, &truth[400..480]) < 1_200, "{}", worst(&out, &truth[400..480]));
    }

    #[test]
    fn a_gap_of_20_ms_whose_end_is_known_is_crossed_in_phase_though_no_whole_period_fits() {
        for period in [43.7, 51.3, 60.9, 77.7, 101.1] {
            let truth = hum(800, period);
            let mut concealer = Concealer::new();
            concealer.heard(&mut truth[..400].to_vec());
            let mut out = [0; 160];
            let (first, second) = out.split_at_mut(80);
            concealer.conceal(Some((&truth[560..720], 160)), first);
            concealer.conceal(Some((&truth[560..720], 80)), second);
            assert!(worst(&out, &truth[400..560]) < 1_200, "{period}: {}", worst(&out, &truth[400..560]));
            let mut next = truth[560..720].to_vec();
            concealer.heard(&mut next);
            assert_eq!(next, truth[560..720], "true speech is not touched");
        }
    }

    #[test]
    fn a_long_gap_keeps_its_level_for_50_ms_and_is_silent_after_130() {
        let mut concealer = Concealer::new();
        concealer.heard(&mut hum(400, 50.0));
        let mut out = [1; 1_200];
        concealer.conceal(None, &mut out);
        assert!(out[350..400].iter().any(|sample| *sample > 7_500));
        assert!(out[1_040..].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn speech_after_an_unforeseen_end_is_untouched_but_for_its_first_5_ms() {
        let mut concealer = Concealer::new();
        concealer.heard(&mut hum(400, 50.0));
        concealer.conceal(None, &mut [0; 160]);
        let truth = hum(160, 33.0);
        let mut heard = truth.clone();
        concealer.heard(&mut heard);
        assert_eq!(heard[BLEND..], truth[BLEND..]);
        let mut next = truth.clone();
        concealer.heard(&mut next);
        assert_eq!(next, truth);
    }

    #[test]
    fn any_gap_with_any_end_stays_finite_and_within_16_bits() {
        for distance in [1, 7, 80, 160, 479, 3_000] {
            for ahead in [0, 1, 41, 80, 160, 480] {
                let mut concealer = Concealer::new();
                concealer.heard(&mut vec![i16::MIN; 500]);
                let next = vec![i16::MAX; ahead];
                let mut left = distance;
                while left > 0 {
                    let now = left.min(80);
                    concealer.conceal(Some((&next, left)), &mut vec![0; now]);
                    left -= now;
                }
                concealer.heard(&mut next.clone());
            }
        }
    }
}
