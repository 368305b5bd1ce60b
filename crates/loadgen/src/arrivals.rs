//! When calls begin: constant, rising and stepped rates, evenly or by chance (a Poisson process), or instants from a file.

use core::fmt;
use core::str::FromStr;

use offhook_units::{Entropy, Span};

/// Most instants that are read from a file.
pub const INSTANTS_MAX: usize = 1_000_000;

/// A time in which the rate goes evenly from one value to another, in calls a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// The rate at its begin.
    pub from: f64,
    /// The rate at its end.
    pub to: f64,
    /// How long it is; none: as long as calls are to be made.
    pub lasting: Option<Span>,
}

/// The rates of a run, one stretch after the other; the last rate goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates(Vec<Stretch>);

/// A text that is no rate: correct the option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no rate: write 50/s, 3000/min, 10/s..100/s (rising over the whole run), or 10/s:30s,50/s:1m (in steps)"
)]
pub struct BadRate(String);

/// Fastest rate in calls a second.
pub const RATE_MAX: f64 = 100_000.0;

impl Rates {
    /// One rate for the whole run.
    pub fn constant(per_s: f64) -> Self {
        Self(vec![Stretch { from: per_s, to: per_s, lasting: None }])
    }

    /// Whether it rises or falls over the whole run, so that it means something only where the run's length is known.
    pub fn spans_the_run(&self) -> bool {
        self.0.iter().any(|stretch| stretch.lasting.is_none() && (stretch.from - stretch.to).abs() > 0.0)
    }

    /// The highest of its rates, in calls a second.
    pub fn highest(&self) -> f64 {
        self.0.iter().map(|stretch| stretch.from.max(stretch.to)).fold(0.0, f64::max)
    }
}

impl FromStr for Rates {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let bad = || BadRate(text.to_owned());
        if let Some((from, to)) = text.split_once("..") {
            let (from, to) = (rate(from).ok_or_else(bad)?, rate(to).ok_or_else(bad)?);
            return Ok(Self(vec![Stretch { from, to, lasting: None }]));
        }
        let stretches: Option<Vec<Stretch>> = text
            .split(',')
            .map(|step| {
                let (per_s, lasting) = match step.split_once(':') {
                    Some((per_s, lasting)) => (rate(per_s)?, Some(span(lasting).ok()?)),
                    None => (rate(step)?, None),
                };
                Some(Stretch { from: per_s, to: per_s, lasting })
            })
            .collect();
        let stretches = stretches.ok_or_else(bad)?;
        let (last, before) = stretches.split_last().ok_or_else(bad)?;
        // A step without an end can only be the last one, and nobody would call at all.
        let is_good = before.iter().all(|step| step.lasting.is_some())
            && (last.from > 0.0 || before.iter().any(|step| step.from > 0.0));
        if is_good { Ok(Self(stretches)) } else { Err(bad()) }
    }
}

/// `50/s`, `3000/min`, `100/h`, or a bare number of calls a second.
fn rate(text: &str) -> Option<f64> {
    let (number, seconds) = match text.trim().split_once('/') {
        Some((number, "s")) => (number, 1.0),
        Some((number, "m" | "min")) => (number, 60.0),
        Some((number, "h")) => (number, 3_600.0),
        Some(_) => return None,
        None => (text.trim(), 1.0),
    };
    let per_s = number.parse::<f64>().ok()? / seconds;
    (0.0..=RATE_MAX).contains(&per_s).then_some(per_s)
}

/// Reads a span such as `10s`, `1.5s`, `200ms`, `2m`; a bare number is seconds.
///
/// # Errors
/// A line that says what is wrong.
pub fn span(text: &str) -> Result<Span, String> {
    let bad = || format!("`{text}` is no span of time: write 10s, 1.5s, 200ms or 2m");
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..split].parse().map_err(|_| bad())?;
    let us_each = match &text[split..] {
        "" | "s" => 1e6,
        "ms" => 1e3,
        "m" | "min" => 6e7,
        "h" => 3.6e9,
        _ => return Err(bad()),
    };
    Ok(Span::from_us((number * us_each).round() as u64))
}

/// A span, or any one between two: `5s`, `3s..8s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    least: Span,
    most: Span,
}

impl Spread {
    /// The shortest.
    pub const fn least(&self) -> Span {
        self.least
    }

    /// Always the same.
    pub const fn always(span: Span) -> Self {
        Self { least: span, most: span }
    }

    /// One of them.
    pub fn draw(&self, entropy: &mut Entropy) -> Span {
        let width = self.most.as_us() - self.least.as_us();
        self.least + Span::from_us(entropy.below(width + 1))
    }

    /// The longest of them.
    pub const fn most(&self) -> Span {
        self.most
    }
}

impl FromStr for Spread {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let (least, most) = (span(least)?, span(most)?);
        if least > most {
            return Err(format!("`{text}`: the shorter one comes first"));
        }
        Ok(Self { least, most })
    }
}

/// A span of time as it is written in options and scenario files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasting(pub Span);

impl FromStr for Lasting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        span(text).map(Self)
    }
}

/// Lets a scenario file hold what an option is given, as the same text.
macro_rules! read_as_text {
    ($($kind:ty),*) => {$(
        impl<'de> serde::Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                <std::borrow::Cow<'de, str>>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
read_as_text!(Rates, Spread, Lasting);

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most { write!(f, "{}", self.least) } else { write!(f, "{} to {}", self.least, self.most) }
    }
}

/// How calls are spread in time.
#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    /// As even as the rate allows.
    Even(Rates),
    /// By chance: each instant of a second is as likely as any other, whatever came before.
    Poisson(Rates),
    /// At these instants after the begin.
    At(Vec<Span>),
}

/// Reads instants: the first field of each line is seconds after the begin; lines that begin with no number are passed over where they
/// are the first (a heading) or empty.
///
/// # Errors
/// A line that says which line is wrong, and why.
pub fn read_instants(text: &str) -> Result<Vec<Span>, String> {
    let mut instants = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let field = line.split([',', ';']).next().unwrap_or_default().trim();
        match field.parse::<f64>() {
            Ok(seconds) if (0.0..1e7).contains(&seconds) => {
                instants.push(Span::from_us((seconds * 1e6).round() as u64));
            }
            Err(_) if at == 0 || field.is_empty() => {}
            Ok(_) | Err(_) => return Err(format!("line {}: `{field}` are no seconds after the begin", at + 1)),
        }
    }
    if instants.is_empty() {
        return Err("it names no instant: each line begins with seconds after the begin".into());
    }
    if instants.len() > INSTANTS_MAX {
        return Err(format!("it names {} instants, and {INSTANTS_MAX} are taken", instants.len()));
    }
    instants.sort_unstable();
    Ok(instants)
}

/// The instants of a run, one after the other.
#[derive(Debug, Clone)]
pub struct Arrivals {
    pattern: Pattern,
    over: Span,
    /// Where the last one was: in seconds from the begin, and in calls since then.
    at_s: f64,
    given: usize,
}

impl Arrivals {
    /// Those of `pattern` before `over`.
    pub const fn new(pattern: Pattern, over: Span) -> Self {
        Self { pattern, over, at_s: 0.0, given: 0 }
    }

    /// When the next call begins, counted from the begin of the run; none after the last one.
    pub fn next(&mut self, entropy: &mut Entropy) -> Option<Span> {
        let at = match &self.pattern {
            Pattern::At(instants) => *instants.get(self.given)?,
            Pattern::Even(rates) => {
                // The first one is at the begin.
                let step = if self.given == 0 { 0.0 } else { 1.0 };
                self.at_s = advance(&rates.0, self.over, self.at_s, step)?;
                Span::from_us((self.at_s * 1e6).round() as u64)
            }
            Pattern::Poisson(rates) => {
                // Distances of a Poisson process of rate 1 are spread as -ln(U), U in (0, 1].
                let chance = (entropy.below(1 << 53) + 1) as f64 / (1_u64 << 53) as f64;
                self.at_s = advance(&rates.0, self.over, self.at_s, -chance.ln())?;
                Span::from_us((self.at_s * 1e6).round() as u64)
            }
        };
        self.given += 1;
        (at < self.over).then_some(at)
    }
}

/// When `calls` more will have come after `from_s`: the integral over the rates reaches them.
fn advance(stretches: &[Stretch], over: Span, from_s: f64, mut calls: f64) -> Option<f64> {
    let over_s = over.as_us() as f64 / 1e6;
    let (mut at, mut begin) = (from_s, 0.0);
    for (n, stretch) in stretches.iter().enumerate() {
        let is_last = n + 1 == stretches.len();
        let length = stretch.lasting.map_or(over_s, |span| span.as_us() as f64 / 1e6);
        let slope = (stretch.to - stretch.from) / length.max(1e-6);
        let end = begin + length;
        if at < end || is_last {
            let rate_at = if at < end { stretch.from + slope * (at - begin) } else { stretch.to };
            let slope = if at < end { slope } else { 0.0 };
            // rate·t + slope·t²/2 = calls
            let t = if slope.abs() < 1e-9 {
                calls / rate_at.max(0.0)
            } else {
                let under = rate_at * rate_at + 2.0 * slope * calls;
                if under < 0.0 { f64::INFINITY } else { (under.sqrt() - rate_at) / slope }
            };
            let t = if calls == 0.0 && rate_at > 0.0 { 0.0 } else { t };
            if t.is_finite() && (at + t <= end || is_last) {
                return Some(at + t);
            }
            let left = (end - at).max(0.0);
            calls -= rate_at * left + slope * left * left / 2.0;
            at = at.max(end);
        }
        begin = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instants(pattern: Pattern, over_s: u64, seed: u64) -> Vec<f64> {
        let mut arrivals = Arrivals::new(pattern, Span::from_s(over_s));
        let mut entropy = Entropy::from_number(seed);
        std::iter::from_fn(|| arrivals.next(&mut entropy)).map(|at| at.as_us() as f64 / 1e6).collect()
    }

    fn between(instants: &[f64], from: f64, to: f64) -> usize {
        instants.iter().filter(|at| (from..to).contains(*at)).count()
    }

    #[test]
    fn fifty_a_second_for_2_s_are_100_calls_20_ms_apart() {
        let even = instants(Pattern::Even("50/s".parse().unwrap()), 2, 1);
        assert_eq!(even.len(), 100);
        assert!(even.iter().enumerate().all(|(n, at)| (at - n as f64 * 0.02).abs() < 1e-5), "{even:?}");
    }

    #[test]
    fn a_rate_that_rises_from_0_to_100_makes_a_quarter_of_its_calls_in_the_first_half() {
        let rising = instants(Pattern::Even("0/s..100/s".parse().unwrap()), 20, 1);
        assert!((999..=1_001).contains(&rising.len()), "{}", rising.len());
        assert!((249..=252).contains(&between(&rising, 0.0, 10.0)), "{}", between(&rising, 0.0, 10.0));
        assert!(rising.is_sorted());
    }

    #[test]
    fn steps_follow_each_other_and_the_last_one_goes_on() {
        let steps = instants(Pattern::Even("10/s:2s,0/s:1s,40/s:1s".parse().unwrap()), 6, 1);
        let counts = [(0.0, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 6.0)].map(|(from, to)| between(&steps, from, to));
        assert!(counts[0].abs_diff(20) <= 1 && counts[1] <= 1, "{counts:?}");
        assert!(counts[2].abs_diff(40) <= 1 && counts[3].abs_diff(80) <= 1, "{counts:?}");
    }

    #[test]
    fn ten_thousand_calls_by_chance_have_the_rate_and_the_scatter_of_a_poisson_process() {
        let rates: Rates = "100/s".parse().unwrap();
        let calls = instants(Pattern::Poisson(rates), 100, 7);
        assert!((9_700..=10_300).contains(&calls.len()), "{}", calls.len());
        // Of a Poisson process the number in a second scatters as much as it is: its variance is its mean.
        let per_s: Vec<f64> = (0..100).map(|s| between(&calls, f64::from(s), f64::from(s + 1)) as f64).collect();
        let mean = per_s.iter().sum::<f64>() / 100.0;
        let variance = per_s.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 99.0;
        assert!((60.0..150.0).contains(&variance), "{variance}");
    }

    #[test]
    fn instants_of_a_file_are_sorted_and_a_wrong_line_is_named() {
        assert_eq!(
            read_instants("at_s,what\n2.5,x\n0\n\n1\n").unwrap(),
            [Span::ZERO, Span::from_s(1), Span::from_ms(2_500)]
        );
        assert!(read_instants("0\n1\nsoon\n").unwrap_err().contains("line 3"));
        assert!(read_instants("0\n-1\n").is_err() && read_instants("a heading\n").is_err());
        let given = instants(Pattern::At(read_instants("0\n1\n7\n").unwrap()), 5, 1);
        assert_eq!(given, [0.0, 1.0]);
    }

    #[test]
    fn what_is_no_rate_and_no_span_is_refused() {
        for text in ["", "x", "-1/s", "50/y", "1/s..", "0/s", "5/s,6/s:1s", "1e9/s", "nan/s"] {
            assert!(text.parse::<Rates>().is_err(), "{text}");
        }
        assert!((("3000/min".parse::<Rates>().unwrap()).highest() - 50.0).abs() < 1e-9);
        assert!("8s..3s".parse::<Spread>().is_err() && "x".parse::<Spread>().is_err());
        let spread: Spread = "3s..8s".parse().unwrap();
        let mut entropy = Entropy::from_number(1);
        let drawn: Vec<u64> = (0..200).map(|_| spread.draw(&mut entropy).as_ms()).collect();
        assert!(drawn.iter().all(|ms| (3_000..=8_000).contains(ms)) && drawn.iter().any(|ms| *ms > 7_000));
    }
}
