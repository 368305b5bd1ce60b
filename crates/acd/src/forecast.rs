//! How long a contact has still to wait, as quantiles: from its place, the agents who serve the queue, how long an agent was measured to take for
//! each answer while somebody waited, and how many give up. Whole numbers throughout, so that a replay says the same (docs/decisions/0092).

use offhook_units::{Span, Tick};

/// Fewest delayed answers of a queue before it forecasts anything.
pub const DELAYED_MIN: u32 = 10;
/// Most forecasts of one visit that are scored; of more, the latest stands for those before it but for the first ones.
pub const FORECASTS_MAX: usize = 32;

/// The most that an answer can take of all agents' time: its square in ms fits into 64 bits.
const WORKED_MAX: Span = Span::from_ms(u32::MAX as u64);
/// A latest answer counts for one part of so many of the mean.
const ANSWERS: u64 = 32;
/// Likewise for those who give up; they are fewer.
const VISITS: u64 = 256;
/// How many independent answers a mean with [`ANSWERS`] is worth.
const WORTH_MAX: u64 = 2 * ANSWERS - 1;
/// One, in the units of the shape of the distribution.
const ONE: u128 = 1 << 20;
/// The standard normal deviate of 0.8.
const Z_80: u128 = 882_504;
/// The largest 1 / (9 x shape) that the approximation is good for: a shape of 1/4.
const FLATTEST: u128 = 4 * ONE / 9;
/// The least squared coefficient of variation of a departure interval: no floor is as regular as a clock.
const SCATTER_MIN: u128 = ONE / 16;
/// The most that is believed.
const SCATTER_MAX: u128 = ONE * 64;
/// The longest departure interval that is reckoned with: 19 hours.
const EACH_MAX: u128 = 1 << 36;
/// The farthest place that is.
const PLACE_MAX: u64 = 1 << 20;

/// What is said of a contact's wait from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Expected {
    /// Its place, 1 for the next one.
    pub place: u32,
    /// Agents who serve its queue.
    pub agents: u32,
    /// Half of all such waits end within it.
    pub p50: Span,
    /// Four of five end within it.
    pub p80: Span,
}

/// A forecast that is not scored yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Told {
    pub at: Tick,
    pub said: Expected,
    /// What could be said both ways.
    pub both: Option<Both>,
}

/// A forecast by the pace of all of a queue, and one by the pace of those who need the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Both {
    pub by_queue: Expected,
    pub by_needs: Expected,
}

/// Those who need the same of a queue: where only few agents can give it, the others' pace says little of theirs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Apart {
    pub pace: Pace,
    /// Waits that both kinds of forecast were held against.
    scored: u32,
    /// What each was off by lately: sums of the pinball loss that fade.
    by_queue: Span,
    by_needs: Span,
}

impl Apart {
    /// Whether their own pace has told their waits better than the queue's.
    pub fn is_better(&self) -> bool {
        self.scored >= DELAYED_MIN && self.by_needs < self.by_queue
    }

    /// Holds both against what was left of a wait that ended answered.
    pub fn score(&mut self, both: Both, wait: Span) {
        let off = |said: Expected| pinball(50, said.p50, wait) + pinball(80, said.p80, wait);
        let fade = |sum: Span| sum.saturating_sub(sum / ANSWERS);
        self.by_queue = fade(self.by_queue) + off(both.by_queue);
        self.by_needs = fade(self.by_needs) + off(both.by_needs);
        self.scored = self.scored.saturating_add(1);
    }
}

/// The pinball loss of a quantile: what it was off by, weighed by how likely it was to be off that way.
pub(crate) fn pinball(percent: u64, quantile: Span, wait: Span) -> Span {
    let (over, under) = (wait.saturating_sub(quantile), quantile.saturating_sub(wait));
    (over * percent + under * (100 - percent)) / 100
}

/// Forecasts of one visit that are not scored yet. Most visits have none: then they take the room of a pointer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Notes(Option<Box<List>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct List(Vec<Told>);

impl Notes {
    /// The latest.
    pub fn last(&self) -> Option<&Told> {
        self.0.as_ref()?.0.last()
    }

    /// One more, in the latest one's place where there are too many.
    pub fn note(&mut self, new: Told) {
        let List(told) = &mut **self.0.get_or_insert_default();
        if told.len() >= FORECASTS_MAX {
            told.pop();
        }
        told.push(new);
    }

    /// All of them, which are then gone.
    pub fn take(&mut self) -> Vec<Told> {
        self.0.take().map(|list| list.0).unwrap_or_default()
    }
}

/// A queue's pace on one channel, measured where contacts waited because nobody was free.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Pace {
    /// Answers measured so far.
    answers: u32,
    /// Time in which somebody waited, from one answer to the next, times the agents who served: the mean of the latest.
    mean: Span,
    /// The mean of its square, in ms x ms.
    square_ms: u64,
    /// Time in which somebody waited since the last answer, up to `counted`.
    waited: Span,
    counted: Tick,
    /// Visits that ended without an answer, in units of 2^-16, and the waits of all that had to wait; older ones fade.
    left: u64,
    waits: Span,
}

impl Pace {
    /// A contact that had to wait is answered; `agents` serve the queue.
    pub fn answered(&mut self, at: Tick, entered_at: Tick, agents: u32) {
        self.waits_until(at, entered_at, false);
        let worked = u128::from(core::mem::take(&mut self.waited).as_us()) * u128::from(agents.max(1));
        let worked = Span::from_us(u64::try_from(worked).unwrap_or(u64::MAX)).min(WORKED_MAX);
        let ms = worked.as_ms();
        self.answers = self.answers.saturating_add(1);
        let count = u64::from(self.answers).min(ANSWERS);
        let mean = |old: u64, new: u64| {
            let sum = u128::from(old) * u128::from(count - 1) + u128::from(new);
            u64::try_from(sum / u128::from(count)).unwrap_or(u64::MAX)
        };
        self.mean = Span::from_us(mean(self.mean.as_us(), worked.as_us()));
        self.square_ms = mean(self.square_ms, ms * ms);
    }

    /// A contact that nobody was free for leaves without an answer.
    pub fn left(&mut self, at: Tick, entered_at: Tick) {
        self.waits_until(at, entered_at, true);
    }

    fn waits_until(&mut self, at: Tick, entered_at: Tick, left: bool) {
        self.waited += at - self.counted.max(entered_at);
        self.counted = at;
        let fade = |sum: u64| sum - sum / VISITS;
        self.left = fade(self.left) + (u64::from(left) << 16);
        self.waits = Span::from_us(fade(self.waits.as_us())) + (at - entered_at);
    }

    /// What to expect at a place; none where too little was measured, or nobody serves.
    pub fn expect(&self, place: u32, agents: u32) -> Option<Expected> {
        if self.answers < DELAYED_MIN || agents == 0 || place == 0 {
            return None;
        }
        let each = (u128::from(self.mean.as_us()) / u128::from(agents)).clamp(1, EACH_MAX);
        // Contacts that give up during one departure interval, of each that waits, in units of 2^-32.
        let gives_up = ((u128::from(self.left) * each) << 16).checked_div(u128::from(self.waits.as_us())).unwrap_or(0);
        let (mean, squares) = departures(u64::from(place).min(PLACE_MAX), each, gives_up);
        // Departures scatter around their mean, and the mean is known from so many answers only.
        let spread = squares * ONE / (mean * mean).max(1) + ONE / u128::from(self.worth());
        let (p50, p80) = quantiles(mean, self.scatter() * spread / ONE);
        Some(Expected { place, agents, p50, p80 })
    }

    /// The squared coefficient of variation of what was measured, in units of [`ONE`].
    fn scatter(&self) -> u128 {
        let mean = u128::from(self.mean.as_us()).max(1_000);
        let square = u128::from(self.square_ms) * 1_000_000;
        (square * ONE / (mean * mean)).saturating_sub(ONE).clamp(SCATTER_MIN, SCATTER_MAX)
    }

    /// How many independent measurements the mean is worth.
    fn worth(&self) -> u64 {
        u64::from(self.answers).min(WORTH_MAX)
    }
}

/// The mean, and the sum of the squared means, of `place` departures: the one before which i others wait takes `each` / (1 + i x `gives_up`). Far back
/// they are taken together by the sixteenth of the way, so that the work grows with the logarithm of the place.
fn departures(place: u64, each: u128, gives_up: u128) -> (u128, u128) {
    let (mut mean, mut squares, mut at) = (0, 0, 0);
    while at < place {
        let block = (at / 16).max(1).min(place - at);
        let before = u128::from(2 * at + block - 1);
        let one = (each << 33) / ((2 << 32) + before * gives_up);
        mean += u128::from(block) * one;
        squares += u128::from(block) * one * one;
        at += block;
    }
    (mean, squares)
}

/// Median and 80th percentile of the gamma distribution of that mean; `scatter` is its squared coefficient of variation in units of [`ONE`]. After
/// Wilson and Hilferty: the cube root of it is nearly normal.
fn quantiles(mean: u128, scatter: u128) -> (Span, Span) {
    let flat = (scatter / 9).min(FLATTEST);
    let spread = (flat * ONE).isqrt();
    let of = |z: u128| {
        let root = ONE - flat + z * spread / ONE;
        Span::from_us(u64::try_from(mean * root / ONE * root / ONE * root / ONE).unwrap_or(u64::MAX))
    };
    (of(0), of(Z_80))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pace in which each answer took an agent `s` seconds in turn, and nobody gave up.
    fn measured(seconds: impl IntoIterator<Item = u64>, agents: u32) -> Pace {
        let mut pace = Pace::default();
        let mut at = Tick::from_us(1_000_000_000);
        pace.counted = at;
        for s in seconds {
            let entered_at = at;
            at += Span::from_s(s);
            pace.answered(at, entered_at, agents);
        }
        pace
    }

    #[test]
    fn nothing_is_said_before_ten_delayed_answers_or_where_nobody_serves() {
        let nine = measured([30; 9], 2);
        assert_eq!(nine.expect(1, 2), None);
        let ten = measured([30; 10], 2);
        assert!(ten.expect(1, 2).is_some());
        assert_eq!(ten.expect(1, 0), None);
    }

    #[test]
    fn a_wait_grows_with_the_place_and_halves_with_twice_the_agents() {
        // Like an exponential: the mean is 30 s, and so is the deviation.
        let pace = measured([2, 8, 15, 30, 95].into_iter().cycle().take(200), 1);
        let at = |place, agents| pace.expect(place, agents).expect("enough was measured");
        for place in 1..2_000 {
            assert!(at(place, 1).p50 < at(place + 1, 1).p50 && at(place, 1).p80 < at(place + 1, 1).p80, "{place}");
            assert!(at(place, 1).p50 < at(place, 1).p80);
        }
        let (one, two) = (at(10, 1), at(10, 2));
        assert!(one.p80.as_us().abs_diff(two.p80.as_us() * 2) < 100, "{one:?} {two:?}");
    }

    #[test]
    fn who_gives_up_ahead_shortens_the_wait() {
        let patient = measured([30; 64], 1);
        let mut restless = patient.clone();
        let at = restless.counted;
        for n in 1..=20 {
            restless.left(at + Span::from_s(n), at);
        }
        let (long, short) = (patient.expect(20, 1), restless.expect(20, 1));
        assert!(short.expect("known").p50 * 3 < long.expect("known").p50 * 2, "{short:?} {long:?}");
    }

    #[test]
    fn quantiles_of_gamma_distributions_come_out_within_2_percent() {
        // Shape, then median and 80th percentile by the mean, from tables of the gamma distribution.
        let rows = [
            (1_u128, core::f64::consts::LN_2, 1.609_438),
            (2, 0.839_173, 1.497_154),
            (5, 0.934_182, 1.344_203),
            (20, 0.983_384, 1.181_713),
        ];
        for (shape, p50, p80) in rows {
            let mean = 100_000_000_u128;
            let (half, most) = quantiles(mean, ONE / shape);
            for (is, should) in [(half, p50), (most, p80)] {
                let is = is.as_us() as f64 / mean as f64;
                assert!((is / should - 1.0).abs() < 0.02, "shape {shape}: {is} for {should}");
            }
        }
    }

    #[test]
    fn places_taken_together_far_back_come_to_what_each_alone_comes_to() {
        for gives_up in [0, 1 << 20, 1 << 28] {
            let mut exact = 0;
            for before in 0..5_000 {
                exact += (20_000_000_u128 << 32) / ((1 << 32) + before * gives_up);
            }
            let (mean, _) = departures(5_000, 20_000_000, gives_up);
            assert!(mean.abs_diff(exact) * 1_000 < exact, "{mean} {exact}");
        }
    }

    #[test]
    fn a_visit_keeps_its_first_forecasts_and_the_latest() {
        let said = Expected { place: 1, agents: 1, p50: Span::from_s(1), p80: Span::from_s(2) };
        let mut told = Notes::default();
        for second in 0..100 {
            told.note(Told { at: Tick::from_us(second), said, both: None });
        }
        let at: Vec<_> = told.take().iter().map(|told| told.at.as_us()).collect();
        assert_eq!(at.len(), FORECASTS_MAX);
        assert_eq!((at[0], at[30], at[31]), (0, 30, 99));
    }
}
