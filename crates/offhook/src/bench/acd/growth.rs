//! How a decision grows with the floor: the bench at four sizes, as a table and as a drawing.

use core::fmt::Write;

use serde::Serialize;

/// Sizes of the floor, in agents.
pub const AGENTS: [u64; 4] = [100, 1_000, 10_000, 100_000];
/// Contacts that wait for each agent.
pub const WAITING_EACH: u64 = 5;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 50.0;
/// Decades of both axes, as powers of ten: agents, and microseconds.
const DECADES_X: (i32, i32) = (2, 5);
const DECADES_Y: (i32, i32) = (-1, 4);

/// What one size took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Size {
    pub agents: u64,
    pub waiting: u64,
    pub decision_us_p50: f64,
    pub decision_us_p999: f64,
}

/// For people.
pub fn table(sizes: &[Size]) -> String {
    let mut out = format!("{:>8} {:>9} {:>9} {:>9}\n", "agents", "waiting", "p50 us", "p99.9 us");
    for Size { agents, waiting, decision_us_p50, decision_us_p999 } in sizes {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(out, "{agents:>8} {waiting:>9} {decision_us_p50:>9.2} {decision_us_p999:>9.2}");
    }
    out
}

/// Both percentiles over the agents, on logarithmic axes: a line that rises less steeply than the dotted one grows less than the floor.
pub fn drawing(sizes: &[Size]) -> String {
    let x = |agents: f64| {
        let (from, to) = (f64::from(DECADES_X.0), f64::from(DECADES_X.1));
        LEFT + (agents.log10() - from) / (to - from) * (WIDTH - LEFT - RIGHT)
    };
    let y = |us: f64| {
        let (from, to) = (f64::from(DECADES_Y.0), f64::from(DECADES_Y.1));
        let up = (us.max(1e-9).log10().clamp(from, to) - from) / (to - from);
        HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\" \
         aria-label=\"Microseconds of a routing decision over the number of agents\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for decade in DECADES_X.0..=DECADES_X.1 {
        let at = x(10_f64.powi(decade));
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0,
            10_u64.pow(decade.unsigned_abs())
        );
    }
    for decade in DECADES_Y.0..=DECADES_Y.1 {
        let us = 10_f64.powi(decade);
        let at = y(us);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{us}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">agents, {WAITING_EACH} contacts waiting for each</text>",
        f64::midpoint(LEFT, WIDTH - RIGHT),
        HEIGHT - 10.0
    );
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{:.1}\">microseconds a decision</text>", TOP - 6.0);
    let mut line = |name: &str, colour: &str, dashes: &str, points: &[(f64, f64)]| {
        let path: Vec<String> = points.iter().map(|(agents, us)| format!("{:.1},{:.1}", x(*agents), y(*us))).collect();
        let (right, height) = points.last().map_or((0.0, 0.0), |(agents, us)| (x(*agents), y(*us)));
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            path.join(" "),
            right + 8.0,
            height + 4.0
        );
    };
    let of = |us: fn(&Size) -> f64| sizes.iter().map(|size| (size.agents as f64, us(size))).collect::<Vec<_>>();
    line("99.9 %", "#c2410c", "", &of(|size| size.decision_us_p999));
    line("median", "#1d4ed8", "", &of(|size| size.decision_us_p50));
    if let Some(first) = sizes.first() {
        let linear = |size: &Size| first.decision_us_p50 * size.agents as f64 / first.agents as f64;
        let points: Vec<(f64, f64)> = sizes.iter().map(|size| (size.agents as f64, linear(size))).collect();
        line("as the floor", "#6b7280", "3 4", &points);
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_has_a_line_for_each_percentile_and_one_that_grows_as_the_floor_does() {
        let size = |agents, decision_us_p50| Size {
            agents,
            waiting: agents * WAITING_EACH,
            decision_us_p50,
            decision_us_p999: 10.0 * decision_us_p50,
        };
        let sizes = [size(100, 1.0), size(1_000, 2.0), size(100_000, 4.0)];
        let svg = drawing(&sizes);
        assert_eq!(svg.matches("<polyline").count(), 3);
        // 1 us is a fifth of the way up, and 100,000 agents are at the right end.
        assert!(svg.contains("points=\"60.0,284.0 216.7,"), "{svg}");
        assert!(svg.contains("530.0,86.0\" fill=\"none\" stroke=\"#6b7280\""), "1,000 us where the floor is: {svg}");
        let table = table(&sizes);
        assert!(table.lines().count() == 4 && table.contains("  100000    500000      4.00     40.00"), "{table}");
    }
}
