//! The report as one page with plots, which needs nothing else: no script, no network.

use core::fmt::Write as _;

use crate::report::{Report, Second};

/// Size of a plot.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 200.0;
/// Room for its numbers.
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 22.0;
/// Points of a line at most: more are thinned out.
const POINTS_MAX: usize = 1_200;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1c2733;background:#fff}\
pre{overflow-x:auto;background:#f3f5f7;padding:1rem;border-radius:6px;font-size:13px}svg{width:100%;height:auto;display:block}\
h2{font-size:1.05rem;margin:1.6rem 0 .2rem}text{font:11px system-ui,sans-serif;fill:#5a6876}.no{color:#b3261e;font-weight:600}\
@media(prefers-color-scheme:dark){body{background:#14191f;color:#e3e8ed}pre{background:#1d252e}text{fill:#9fb0bf}}";

/// A line of a plot.
struct Line<'a> {
    name: &'a str,
    colour: &'a str,
    points: Vec<(f64, f64)>,
}

/// The page.
pub fn page(report: &Report) -> String {
    let mut out = String::with_capacity(64 * 1_024);
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>offhook bench</title><style>{STYLE}</style><h1>offhook bench</h1>"
    );
    for why in &report.why_not {
        let _ = write!(out, "<p class=\"no\">This run does not count: {}</p>", escape(why));
    }
    let _ = write!(out, "<pre>{}</pre>", escape(&report.table()));
    let over = |value: fn(&Second) -> f64| report.seconds.iter().map(|second| (second.at_s, value(second))).collect();
    let line = |name, colour, value| Line { name, colour, points: over(value) };
    let plots: [(&str, Vec<Line<'_>>); 6] = [
        (
            "Calls up",
            vec![
                line("up", "#2f6fde", |second| second.active as f64),
                line("answered", "#2b9a66", |second| second.talking as f64),
            ],
        ),
        (
            "Calls so far",
            vec![
                line("begun", "#2f6fde", |second| second.started as f64),
                line("answered", "#2b9a66", |second| second.answered as f64),
                line("failed", "#b3261e", |second| second.failed as f64),
            ],
        ),
        (
            "Round trip of speech, 99 % of each second's packets, ms",
            vec![line("ms", "#2f6fde", |second| second.round_trip_p99_ms)],
        ),
        ("Setup, 99 % of all calls so far, ms", vec![line("ms", "#2f6fde", |second| second.setup_p99_ms)]),
        (
            "CPU, % of a core",
            vec![
                line("server", "#2f6fde", |second| second.server_cpu_pct),
                line("generator", "#9a7a2b", |second| second.generator_cpu_pct),
            ],
        ),
        ("Memory of the server, MiB", vec![line("MiB", "#2f6fde", |second| second.server_mib)]),
    ];
    for (title, lines) in &plots {
        plot(&mut out, title, "s", lines);
    }
    // Nines, so that the end of the curve is seen: 90 % is 1, 99 % is 2.
    let nines = |(share, ms): &(f64, f64)| (share < &0.999_999).then(|| (-(1.0 - share).log10(), *ms));
    let points = report.media.round_trip_curve.iter().filter_map(nines).collect();
    plot(
        &mut out,
        "Round trip of speech by percentile, ms",
        "nines",
        &[Line { name: "ms", colour: "#2f6fde", points }],
    );
    out.push_str("</html>\n");
    out
}

fn plot(out: &mut String, title: &str, unit: &str, lines: &[Line<'_>]) {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let most_x = points().map(|(x, _)| x).fold(0.0, f64::max);
    let most_y = points().map(|(_, y)| y).fold(0.0, f64::max);
    if most_x <= 0.0 || most_y <= 0.0 {
        return;
    }
    let x = |value: f64| LEFT + value / most_x * (WIDTH - LEFT - 10.0);
    let y = |value: f64| (HEIGHT - BOTTOM) - value / most_y * (HEIGHT - BOTTOM - 12.0);
    let _ = write!(out, "<h2>{}</h2><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">", escape(title));
    for part in 0..=4 {
        let (value, at) = (most_y * f64::from(part) / 4.0, most_x * f64::from(part) / 4.0);
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"#8884\"/>\
             <text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{3}</text><text x=\"{4:.1}\" y=\"{5}\" text-anchor=\"middle\">{6} {7}</text>",
            y(value),
            LEFT - 6.0,
            y(value) + 4.0,
            number(value),
            x(at).min(WIDTH - 24.0),
            HEIGHT - 6.0,
            number(at),
            unit
        );
    }
    for (n, line) in lines.iter().enumerate() {
        let step = line.points.len().div_ceil(POINTS_MAX).max(1);
        let path: Vec<String> =
            line.points.iter().step_by(step).map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
        let _ = write!(
            out,
            "<polyline fill=\"none\" stroke=\"{0}\" stroke-width=\"1.8\" points=\"{1}\"/>\
             <text x=\"{2}\" y=\"11\" style=\"fill:{0}\">{3}</text>",
            line.colour,
            path.join(" "),
            LEFT + 8.0 + 80.0 * n as f64,
            escape(line.name)
        );
    }
    out.push_str("</svg>");
}

fn number(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_needs_nothing_else_and_shows_a_line_for_each_figure_that_there_is() {
        let mut report = Report { why_not: vec!["<late>".into()], ..Report::default() };
        assert_eq!(page(&report).matches("<polyline").count(), 0);
        report.seconds = (1..=3_000)
            .map(|n| Second { at_s: f64::from(n), active: 5, talking: 4, started: n as u64, ..Second::default() })
            .collect();
        report.media.round_trip_curve = vec![(0.0, 0.1), (0.5, 0.2), (0.99, 3.0), (1.0, 9.0)];
        let page = page(&report);
        assert_eq!(page.matches("<polyline").count(), 2 + 3 + 1);
        assert!(
            page.contains("&lt;late&gt;")
                && !page.contains("<late>")
                && !page.contains("http")
                && !page.contains("<script")
        );
        assert!(page.len() < 200_000, "{}", page.len());
    }
}
