//! What days came to: tables for people, JSON for programs.

use core::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use offhook_acd::QuantileFigures;
use offhook_sim::floor::{Day, Estimate, Measure, Outcome, difference, estimate};
use serde_json::{Map, Value, json};

/// Columns of variants beside each other.
const COLUMNS: usize = 5;

/// Prints what a day came to; `day` with what is known beyond the counts.
pub fn print(outcome: &Outcome, day: Option<&Day>, took: Duration, json: bool) {
    let Outcome { turned_away, offered, answered, abandoned, flowed_out, waiting, .. } = *outcome;
    let Outcome { forecasts, invariants_broken, state_hash, callers_hash: _, .. } = *outcome;
    let wall_s = (took.as_secs_f64() * 1_000.0).round() / 1_000.0;
    // A number of 64 bits does not survive every JSON reader; sixteen hexadecimal digits do.
    let state_hash = format!("{state_hash:016x}");
    if json {
        let mut object = json!({
            "wall_s": wall_s, "offered": offered, "answered": answered, "abandoned": abandoned, "flowed_out": flowed_out,
            "waiting": waiting, "forecasts": forecasts.made, "forecast_p50": scored(&forecasts.p50),
            "forecast_p80": scored(&forecasts.p80), "invariants_broken": invariants_broken, "state_hash": state_hash,
        });
        if let (Some(day), Some(object)) = (day, object.as_object_mut()) {
            object.insert("formula".to_owned(), json!(day.formula.name()));
            for measure in Measure::ALL {
                object.entry(measure.key).or_insert_with(|| json!((measure.of)(day).map(rounded)));
            }
        }
        println!("{object}");
        return;
    }
    let part = |count: u64| if offered == 0 { 0.0 } else { count as f64 * 100.0 / offered as f64 };
    println!("offered            {offered:>12}");
    if turned_away > 0 {
        println!("turned away        {turned_away:>12}  (not among the offered)");
    }
    println!("answered           {answered:>12}  {:>6.2} %", part(answered));
    println!("abandoned          {abandoned:>12}  {:>6.2} %", part(abandoned));
    println!("flowed out         {flowed_out:>12}  {:>6.2} %", part(flowed_out));
    println!("waiting            {waiting:>12}");
    if let Some(day) = day {
        for measure in Measure::ALL.iter().filter(|measure| !measure.unit.is_empty()) {
            if let Some(value) = (measure.of)(day) {
                println!("{:<34} {value:>10.2} {}", name_of(measure, day), measure.unit);
            }
        }
    }
    println!("forecasts          {:>12}", forecasts.made);
    for (name, quantile) in [("p50", forecasts.p50), ("p80", forecasts.p80)] {
        if let (Some(coverage), Some(loss)) = (quantile.coverage(), quantile.mean_loss()) {
            let (coverage, loss_s) = (f64::from(coverage) / 100.0, loss.as_us() as f64 / 1e6);
            println!("  within {name}                    {coverage:>6.2} %  loss {loss_s:.1} s");
        }
    }
    println!("invariants broken  {invariants_broken:>12}");
    println!("state hash         {state_hash}");
    println!("took               {wall_s:>12.3} s");
}

/// One quantile of the forecasts for programs.
fn scored(quantile: &QuantileFigures) -> Value {
    json!({
        "within": quantile.within, "beyond": quantile.beyond,
        "coverage_percent": quantile.coverage().map(|hundredths| f64::from(hundredths) / 100.0),
        "mean_loss_s": quantile.mean_loss().map(|loss| loss.as_us() as f64 / 1e6),
    })
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn name_of(measure: &Measure, day: &Day) -> String {
    match measure.key {
        "service_level_percent" => format!("service level ({})", day.formula.name()),
        _ => measure.name.to_owned(),
    }
}

/// What variants came to, each over the same seeds.
pub struct Comparison {
    /// The first of the seeds.
    pub seed: u64,
    /// Each variant by name, with its day by each seed.
    pub variants: Vec<(String, Vec<Day>)>,
}

impl Comparison {
    fn values(days: &[Day], measure: &Measure) -> Vec<Option<f64>> {
        days.iter().map(|day| (measure.of)(day)).collect()
    }

    fn mean(days: &[Day], measure: &Measure) -> Option<Estimate> {
        estimate(&Self::values(days, measure).into_iter().flatten().collect::<Vec<_>>())
    }

    /// A variant against the first one, seed by seed.
    fn against_first(&self, days: &[Day], measure: &Measure) -> Option<Estimate> {
        let (_, first) = self.variants.first()?;
        difference(&Self::values(days, measure), &Self::values(first, measure))
    }

    /// One object for programs.
    pub fn json(&self, took: Duration) -> Value {
        let estimated = |found: Option<Estimate>| {
            found.map_or(
                Value::Null,
                |Estimate { mean, half, of }| json!({ "mean": rounded(mean), "half_95": half.map(rounded), "of": of }),
            )
        };
        let variants = self.variants.iter().enumerate().map(|(number, (name, days))| {
            let figures: Map<String, Value> = Measure::ALL
                .iter()
                .map(|measure| (measure.key.to_owned(), estimated(Self::mean(days, measure))))
                .collect();
            let against: Map<String, Value> = Measure::ALL
                .iter()
                .map(|measure| (measure.key.to_owned(), estimated(self.against_first(days, measure))))
                .collect();
            let formula = days.first().map(|day| day.formula.name());
            let callers: Vec<String> = days.iter().map(|day| format!("{:016x}", day.outcome.callers_hash)).collect();
            let mut variant =
                json!({ "name": name, "formula": formula, "figures": figures, "callers_hashes": callers });
            if let (true, Some(variant)) = (number > 0, variant.as_object_mut()) {
                variant.insert("less_first".to_owned(), Value::Object(against));
            }
            variant
        });
        let seeds = self.variants.first().map_or(0, |(_, days)| days.len());
        let broken: u64 = self.days().map(|day| day.outcome.invariants_broken).sum();
        json!({
            "wall_s": rounded(took.as_secs_f64()), "seed": self.seed, "seeds": seeds, "invariants_broken": broken,
            "variants": variants.collect::<Vec<_>>(),
        })
    }

    fn days(&self) -> impl Iterator<Item = &Day> {
        self.variants.iter().flat_map(|(_, days)| days)
    }

    /// Variants beside each other.
    pub fn table(&self, took: Duration) -> String {
        let seeds = self.variants.first().map_or(0, |(_, days)| days.len());
        // Writing to a String cannot fail, here and below.
        let mut out = String::new();
        let letter = |number: usize| format!("{}", number + 1);
        for (number, (name, _)) in self.variants.iter().enumerate() {
            let name = if name.is_empty() { "as it is" } else { name };
            let _ = writeln!(out, "{:>3}  {name}", letter(number));
        }
        let mut differs = false;
        for (block, variants) in self.variants.chunks(COLUMNS).enumerate() {
            let _ = write!(out, "\n{:<34}", "");
            for at in 0..variants.len() {
                let _ = write!(out, "{:>19}", letter(block * COLUMNS + at));
            }
            out.push('\n');
            for measure in &Measure::ALL {
                let Some(day) = self.days().next() else { continue };
                let name = name_of(measure, day);
                let unit = if measure.unit.is_empty() { String::new() } else { format!(", {}", measure.unit) };
                let _ = write!(out, "{:<34}", format!("{name}{unit}"));
                for (at, (_, days)) in variants.iter().enumerate() {
                    let other = self.against_first(days, measure).is_some_and(|found| found.differs());
                    let other = other && block * COLUMNS + at > 0;
                    differs |= other;
                    let _ = write!(out, "{:>18}{}", cell(Self::mean(days, measure)), if other { '*' } else { ' ' });
                }
                out.push('\n');
            }
        }
        if seeds > 1 {
            let _ = write!(out, "\nMeans over {seeds} seeds from {} on, with their 95 % intervals.", self.seed);
            if differs {
                out.push_str("\n* differs from variant 1, seed by seed, beyond the 95 % interval of the difference.");
            }
        } else {
            out.push_str("\nOne seed: a difference may be chance. --seeds 20 tells.");
        }
        let _ = write!(out, "\nThe same customers in each variant. Took {:.3} s.", took.as_secs_f64());
        out
    }
}

fn cell(found: Option<Estimate>) -> String {
    match found {
        None => "-".to_owned(),
        Some(Estimate { mean, half: None, .. }) => format!("{mean:.1}"),
        Some(Estimate { mean, half: Some(half), .. }) => format!("{mean:.1} +- {half:.1}"),
    }
}

/// A bar on a terminal; nothing elsewhere.
pub struct Progress {
    shown: Option<u64>,
    on: bool,
}

impl Progress {
    /// Not shown yet.
    pub fn new() -> Self {
        Self { shown: None, on: std::io::stderr().is_terminal() }
    }

    /// Draws the bar where it has grown, with `what` is going on behind it.
    pub fn show(&mut self, per_mille: u64, what: &str) {
        let full = per_mille.min(1_000) / 20;
        if !self.on || self.shown == Some(per_mille / 10) {
            return;
        }
        self.shown = Some(per_mille / 10);
        let bar: String = (0..50).map(|at| if at < full { '#' } else { '.' }).collect();
        eprint!("\r[{bar}] {:>3} % {what}", per_mille / 10);
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if self.shown.is_some() {
            eprint!("\r{:90}\r", "");
        }
    }
}
