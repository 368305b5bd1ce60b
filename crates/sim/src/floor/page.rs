//! Days as one page with plots: no script, no network, light and dark.

use core::fmt::Write as _;

use offhook_acd::{ForecastFigures, QuantileFigures, WAIT_BOUNDS_S};
use offhook_units::{Span, Tick};

use super::estimate::{Measure, difference, estimate};
use super::watch::{Day, Stretch};

/// Most variants drawn over each other: more cannot be told apart. All of them stand in the table.
pub const LINES_MAX: usize = 8;
/// Size of a plot.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 220.0;
/// Room for its numbers.
const LEFT: f64 = 52.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;
/// Numbers along an axis, at most.
const TICKS: f64 = 6.0;

/// Colours are of the page, by number; each line has a dash of its own as well, for whoever tells no colours apart.
const DASHES: [&str; LINES_MAX] = ["", "7 3", "2 3", "9 3 2 3", "12 4", "4 4", "2 6", "14 3 3 3"];

const STYLE: &str = "\
:root{--ink:#1c2733;--pale:#5a6876;--page:#fff;--card:#f3f5f7;--grid:#0002;\
--c0:#2463c9;--c1:#c2410c;--c2:#15803d;--c3:#9333ea;--c4:#0e7490;--c5:#b4235a;--c6:#7a5c00;--c7:#475569}\
@media(prefers-color-scheme:dark){:root{--ink:#e3e8ed;--pale:#9fb0bf;--page:#14191f;--card:#1d252e;--grid:#fff2;\
--c0:#7aa8ff;--c1:#fb923c;--c2:#4ade80;--c3:#c792ff;--c4:#38cfe6;--c5:#ff7eac;--c6:#e3c04c;--c7:#a9b8c9}}\
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;margin:1.5rem auto;max-width:60rem;padding:0 1rem;color:var(--ink);background:var(--page)}\
h1{font-size:1.4rem;margin:0 0 .3rem}h2{font-size:1.05rem;margin:1.8rem 0 0}p{margin:.2rem 0 .5rem;color:var(--pale)}\
.wide{overflow-x:auto;background:var(--card);border-radius:6px;padding:.3rem .8rem}table{border-collapse:collapse;font-size:13px;width:100%}\
th,td{text-align:right;padding:.25rem .5rem;vertical-align:bottom;font-variant-numeric:tabular-nums}td{white-space:nowrap}th{min-width:5.5rem}\
th:first-child{text-align:left;font-weight:500}\
tr+tr{border-top:1px solid var(--grid)}.key{display:flex;flex-wrap:wrap;gap:.1rem 1.1rem;list-style:none;padding:0;margin:.3rem 0;font-size:13px}\
.key svg{width:34px;height:10px;display:inline-block;vertical-align:middle;margin-right:.4rem}\
.plot{overflow-x:auto}.plot svg{width:100%;min-width:760px;height:auto;display:block}\
svg text{font:11px system-ui,sans-serif;fill:var(--pale)}.grid{stroke:var(--grid)}.aim{stroke:var(--pale);stroke-dasharray:3 3}";

/// A variant on a page: what it is called, and its days, one for each seed.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// Its name.
    pub name: &'a str,
    /// At least one.
    pub days: &'a [Day],
}

/// What stands above the plots.
#[derive(Debug, Clone, Copy)]
pub struct Heading<'a> {
    /// What was simulated, in a line.
    pub what: &'a str,
    /// The first seed.
    pub seed: u64,
    /// When the day begins.
    pub begins: Tick,
}

/// A line of a plot: one value for each point along the axis, where there is one.
type Values = Vec<Option<f64>>;

/// The page. Means over the seeds are drawn where there are several.
pub fn page(heading: &Heading<'_>, variants: &[Overlay<'_>]) -> String {
    let mut out = String::with_capacity(64 * 1_024);
    let Some(first) = variants.first().and_then(|variant| variant.days.first()) else { return out };
    let seeds = variants[0].days.len();
    let drawn = &variants[..variants.len().min(LINES_MAX)];
    let formula = first.formula.name();
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>offhook simulate</title><style>{STYLE}</style>\
         <h1>offhook simulate</h1><p>{}. Seed {}{}.</p>",
        escape(heading.what),
        heading.seed,
        if seeds > 1 { format!(" and the {} after it; lines are means over all", seeds - 1) } else { String::new() }
    );
    if variants.len() > drawn.len() {
        let _ = write!(out, "<p>The first {} of {} variants are drawn.</p>", drawn.len(), variants.len());
    }
    table(&mut out, variants, formula);
    let clock = |stretch: usize| clock(heading.begins, first.step * stretch as u64, first.stretches.len(), first.step);
    let over =
        |of: fn(&Stretch) -> Option<f64>| drawn.iter().map(|variant| by_stretch(variant.days, of)).collect::<Vec<_>>();
    let step = seconds(first.step.as_s());
    let mut lines = |title: String, says: String, top: Option<f64>, unit: &str, values: Vec<Values>| {
        section(&mut out, &title, &says, drawn);
        plot(&mut out, &title, top, unit, &values, &clock, first.stretches.len());
    };
    lines(
        "Waiting contacts".to_owned(),
        format!("Mean over each {step}: contacts x time waited / time."),
        None,
        "",
        over(|stretch| Some(stretch.waiting_mean)),
    );
    lines(
        "Service level".to_owned(),
        format!("Formula {formula}: {}, of the contacts that entered in each {step}.", formula_text(formula)),
        Some(100.0),
        " %",
        over(|stretch| stretch.service_level),
    );
    lines(
        "Occupancy".to_owned(),
        format!("(Busy + wrap-up) / (busy + wrap-up + available), of all agents, in each {step}."),
        Some(100.0),
        " %",
        over(|stretch| stretch.occupancy),
    );
    let bound = |at: usize| WAIT_BOUNDS_S.get(at).map_or_else(|| "longer".to_owned(), |bound| seconds(*bound));
    let cumulated = drawn.iter().map(|variant| answered_within(variant.days)).collect::<Vec<_>>();
    section(
        &mut out,
        "Waits of the answered",
        "The part of all answered contacts that was answered within so long.",
        drawn,
    );
    plot(&mut out, "Waits of the answered", Some(100.0), " %", &cumulated, &bound, WAIT_BOUNDS_S.len());
    section(&mut out, "Waits by length", "Answered contacts by how long they waited, the mean over the seeds.", drawn);
    let counted = drawn.iter().map(|variant| answered_by_length(variant.days)).collect::<Vec<_>>();
    bars(&mut out, "Waits by length", &counted, &bound);
    calibration(&mut out, drawn);
    out.push_str("</html>\n");
    out
}

/// How the service level of that name is computed.
fn formula_text(name: &str) -> &'static str {
    match name {
        "credit" => "(answered in time + abandoned in time) / (answered + abandoned)",
        "answered-only" => "answered in time / answered",
        "strict" => "answered in time / (answered + abandoned)",
        "late-abandon" => "answered in time / (answered + abandoned late)",
        "short-credit" => "(answered in time + short abandons) / (answered + abandoned)",
        _ => "answered in time / (answered + abandoned - short abandons)",
    }
}

fn table(out: &mut String, variants: &[Overlay<'_>], formula: &str) {
    out.push_str("<div class=\"wide\"><table><tr><th></th>");
    for (number, variant) in variants.iter().enumerate() {
        let name = if variant.name.is_empty() { "as it is".to_owned() } else { escape(variant.name) };
        let _ = write!(
            out,
            "<th>{}{name}</th>",
            if variants.len() > 1 { format!("{}: ", number + 1) } else { String::new() }
        );
    }
    out.push_str("</tr>");
    let mut differs = false;
    for measure in &Measure::ALL {
        let name = if measure.key == "service_level_percent" {
            format!("{} ({formula})", measure.name)
        } else {
            measure.name.to_owned()
        };
        let unit = if measure.unit.is_empty() { String::new() } else { format!(", {}", measure.unit) };
        let _ = write!(out, "<tr><th>{name}{unit}</th>");
        let values = |days: &[Day]| days.iter().map(|day| (measure.of)(day)).collect::<Vec<_>>();
        let first = values(variants[0].days);
        for (at, variant) in variants.iter().enumerate() {
            let values = values(variant.days);
            let found = estimate(&values.iter().copied().flatten().collect::<Vec<_>>());
            let other = at > 0 && difference(&values, &first).is_some_and(|found| found.differs());
            differs |= other;
            let text = found.map_or("-".to_owned(), |found| match found.half {
                Some(half) => format!("{} ± {}", number(found.mean, 1), number(half, 1)),
                None => number(found.mean, 1),
            });
            let _ = write!(out, "<td>{text}{}</td>", if other { " *" } else { "" });
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div>");
    if variants[0].days.len() > 1 {
        out.push_str("<p>Means over the seeds with their 95 % intervals.");
        if differs {
            out.push_str(" * differs from variant 1, seed by seed, beyond the 95 % interval of the difference.");
        }
        out.push_str("</p>");
    } else {
        out.push_str("<p>One seed: a difference may be chance.</p>");
    }
}

/// A heading, what the plot shows, and the key to its lines.
fn section(out: &mut String, title: &str, says: &str, variants: &[Overlay<'_>]) {
    let _ = write!(out, "<h2>{}</h2><p>{}</p>", escape(title), escape(says));
    if variants.len() < 2 {
        return;
    }
    out.push_str("<ul class=\"key\">");
    for (number, variant) in variants.iter().enumerate() {
        let _ = write!(
            out,
            "<li><svg viewBox=\"0 0 34 10\"><line x1=\"0\" x2=\"34\" y1=\"5\" y2=\"5\" stroke=\"var(--c{number})\" stroke-width=\"2.5\" stroke-dasharray=\"{}\"/></svg>{}</li>",
            DASHES[number],
            escape(variant.name)
        );
    }
    out.push_str("</ul>");
}

/// The mean over the days of those that have a value.
fn by_stretch(days: &[Day], of: fn(&Stretch) -> Option<f64>) -> Values {
    let count = days.iter().map(|day| day.stretches.len()).max().unwrap_or(0);
    let value = |at: usize| {
        let values: Vec<f64> = days.iter().filter_map(|day| of(day.stretches.get(at)?)).collect();
        estimate(&values).map(|found| found.mean)
    };
    (0..count).map(value).collect()
}

/// Answered contacts by bucket of [`WAIT_BOUNDS_S`], the mean over the days.
fn answered_by_length(days: &[Day]) -> Vec<f64> {
    let mut sums = vec![0.0; WAIT_BOUNDS_S.len() + 1];
    for day in days {
        sums.iter_mut().zip(day.total.answered_waits.counts()).for_each(|(sum, count)| *sum += f64::from(*count));
    }
    sums.iter().map(|sum| sum / days.len().max(1) as f64).collect()
}

fn answered_within(days: &[Day]) -> Values {
    let counts = answered_by_length(days);
    let all: f64 = counts.iter().sum();
    let mut sum = 0.0;
    let part = |count: &f64| {
        sum += count;
        (all > 0.0).then(|| sum * 100.0 / all)
    };
    counts[..WAIT_BOUNDS_S.len()].iter().map(part).collect()
}

/// Where a plot's axes are.
struct Axes {
    most: f64,
    points: usize,
}

impl Axes {
    fn x(&self, at: f64) -> f64 {
        LEFT + at / (self.points as f64 - 1.0).max(1.0) * (WIDTH - LEFT - 24.0)
    }

    fn y(&self, value: f64) -> f64 {
        (HEIGHT - BOTTOM) - value / self.most * (HEIGHT - BOTTOM - TOP)
    }

    /// The frame: numbers at the side, words below.
    fn draw(&self, out: &mut String, title: &str, unit: &str, word: &dyn Fn(usize) -> String) {
        let _ = write!(
            out,
            "<div class=\"plot\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
        );
        for part in 0..=4 {
            let value = self.most * f64::from(part) / 4.0;
            let y = self.y(value);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}{unit}</text>",
                LEFT - 6.0,
                y + 4.0,
                number(value, 2)
            );
        }
        let every = (self.points as f64 / (TICKS * 2.0)).ceil().max(1.0) as usize;
        for at in (0..self.points).step_by(every) {
            let (x, y) = (self.x(at as f64), HEIGHT - 7.0);
            let _ = write!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", word(at));
        }
    }
}

/// Lines over each other, broken where there is no value.
fn plot(
    out: &mut String,
    title: &str,
    top: Option<f64>,
    unit: &str,
    lines: &[Values],
    word: &dyn Fn(usize) -> String,
    points: usize,
) {
    let most = lines.iter().flatten().flatten().fold(0.0, |most: f64, value| most.max(*value));
    let axes = Axes { most: top.unwrap_or_else(|| round_up(most)), points };
    axes.draw(out, title, unit, word);
    for (number, values) in lines.iter().enumerate() {
        let (mut path, mut pen_down) = (String::new(), false);
        for (at, value) in values.iter().enumerate() {
            if let Some(value) = value {
                let (x, y) = (axes.x(at as f64), axes.y(*value));
                let _ = write!(path, "{}{x:.1} {y:.1}", if pen_down { 'L' } else { 'M' });
                // A value without neighbours is a dot.
                if !pen_down && !matches!(values.get(at + 1), Some(Some(_))) {
                    path.push_str("h0.1");
                }
            }
            pen_down = value.is_some();
        }
        let _ = write!(
            out,
            "<path fill=\"none\" stroke=\"var(--c{number})\" stroke-width=\"2\" stroke-linecap=\"round\" stroke-linejoin=\"round\" stroke-dasharray=\"{}\" d=\"{path}\"/>",
            DASHES[number]
        );
    }
    out.push_str("</svg></div>");
}

/// Bars beside each other.
fn bars(out: &mut String, title: &str, series: &[Vec<f64>], word: &dyn Fn(usize) -> String) {
    let points = series.first().map_or(0, Vec::len);
    let most = series.iter().flatten().fold(0.0, |most: f64, value| most.max(*value));
    let axes = Axes { most: round_up(most), points };
    axes.draw(out, title, "", word);
    let room = (axes.x(1.0) - axes.x(0.0)) * 0.8;
    let wide = room / series.len().max(1) as f64;
    for (number, values) in series.iter().enumerate() {
        for (at, value) in values.iter().enumerate().filter(|(_, value)| **value > 0.0) {
            let (x, y) = (axes.x(at as f64) - room / 2.0 + wide * number as f64, axes.y(*value));
            let high = HEIGHT - BOTTOM - y;
            let _ = write!(
                out,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{high:.1}\" fill=\"var(--c{number})\"><title>{}: {value:.1}</title></rect>",
                (wide - 0.5).max(0.5),
                word(at)
            );
        }
    }
    out.push_str("</svg></div>");
}

/// How many of the waits each forecast covered, against how many it should.
fn calibration(out: &mut String, variants: &[Overlay<'_>]) {
    let says = "Within / (within + beyond): of the waits that were forecast, the part that ended answered within the quantile. The \
                broken lines are where p50 and p80 should be.";
    section(out, "Forecasts", says, &[]);
    let row = 22.0;
    let high = row * 2.0 * variants.len() as f64 + 24.0;
    let left = 150.0;
    let x = |percent: f64| left + percent / 100.0 * (WIDTH - left - 60.0);
    let _ =
        write!(out, "<div class=\"plot\"><svg viewBox=\"0 0 {WIDTH} {high}\" role=\"img\" aria-label=\"Forecasts\">");
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{percent} %</text>",
            x(percent),
            high - 6.0
        );
    }
    for (number, variant) in variants.iter().enumerate() {
        let forecasts = variant.days.iter().fold(ForecastFigures::default(), |mut sum, day| {
            sum.merge(&day.outcome.forecasts);
            sum
        });
        let rows: [(&str, f64, &QuantileFigures); 2] = [("p50", 50.0, &forecasts.p50), ("p80", 80.0, &forecasts.p80)];
        for (turn, (name, aim, figures)) in rows.into_iter().enumerate() {
            let y = row * (number * 2 + turn) as f64;
            let label = if variants.len() > 1 { format!("variant {} {name}", number + 1) } else { name.to_owned() };
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text><line class=\"aim\" x1=\"{2:.1}\" x2=\"{2:.1}\" y1=\"{y:.1}\" y2=\"{3:.1}\"/>",
                left - 8.0,
                y + 15.0,
                x(aim),
                y + row
            );
            let Some(coverage) = figures.coverage().map(|hundredths| f64::from(hundredths) / 100.0) else {
                let _ = write!(out, "<text x=\"{left}\" y=\"{:.1}\">no forecasts</text>", y + 15.0);
                continue;
            };
            let _ = write!(
                out,
                "<rect x=\"{left}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"var(--c{number})\" fill-opacity=\"0.75\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{coverage:.1} %</text>",
                y + 5.0,
                x(coverage) - left,
                row - 9.0,
                x(coverage.max(aim)) + 6.0,
                y + 15.0
            );
        }
    }
    out.push_str("</svg></div>");
}

/// The least 1, 2, 4 or 5 times a power of ten that is not below `value`: its quarters are short numbers.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-3).log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0]
        .into_iter()
        .map(|times| times * power)
        .find(|top| *top >= value)
        .unwrap_or(10.0 * power)
}

/// With so many decimals at most.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What a clock shows in UTC, or which day it is where a stretch is that long.
fn clock(begins: Tick, from: Span, stretches: usize, step: Span) -> String {
    let at_s = (begins + from).as_us() / 1_000_000;
    let days = from.as_s() / 86_400;
    if (step * stretches as u64) > Span::from_s(3 * 86_400) {
        return format!("day {}", days + 1);
    }
    format!("{:02}:{:02}", at_s / 3_600 % 24, at_s / 60 % 60)
}

fn seconds(seconds: u64) -> String {
    match seconds {
        3_600.. => format!("{} h", seconds / 3_600),
        60.. if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::{Floor, FloorPlan};
    use super::*;

    fn day(seed: u64, agents: u64) -> Day {
        let mut floor = Floor::new(FloorPlan::usual(seed, 2, 150, Some(agents))).expect("a valid plan");
        floor.run(&mut |_, _| {});
        floor.day()
    }

    #[test]
    fn a_page_needs_nothing_else_names_its_formulas_and_draws_a_line_for_each_variant() {
        let (few, many) = ([day(1, 8), day(2, 8)], [day(1, 20), day(2, 20)]);
        let heading = Heading { what: "150 contacts <b>", seed: 1, begins: Tick::from_us(1_700_006_400_000_000) };
        let variants = [Overlay { name: "agents=8", days: &few }, Overlay { name: "agents=20 & <x>", days: &many }];
        let page = page(&heading, &variants);
        assert_eq!(page.matches("<path").count(), 4 * 2, "four plots of lines, two variants");
        assert!(page.contains("agents=20 &amp; &lt;x&gt;") && !page.contains("<x>") && !page.contains("<b>"));
        assert!(!page.contains("http") && !page.contains("<script") && !page.contains("NaN") && !page.contains("inf"));
        for formula in
            ["short-excluded", "(Busy + wrap-up)", "contacts x time waited / time", "Within / (within + beyond)"]
        {
            assert!(page.contains(formula), "{formula}");
        }
        assert!(page.contains("±") && page.len() < 200_000, "{}", page.len());
        let alone = super::page(&heading, &variants[..1]);
        assert_eq!(alone.matches("<path").count(), 4);
    }

    #[test]
    fn an_axis_ends_at_a_number_whose_quarters_are_short() {
        for (most, top) in [(0.0, 0.001), (0.7, 0.8), (3.2, 4.0), (99.0, 100.0), (4_100.0, 5_000.0)] {
            assert!((round_up(most) - top).abs() < 1e-9, "{most}: {}", round_up(most));
        }
    }
}
