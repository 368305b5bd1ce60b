//! A flame graph as a picture that needs nothing else: each function as wide as the samples below it, whoever called it beneath; its
//! full name and share where the pointer rests.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::fold::{Kind, Profile};

const WIDTH: f64 = 1_400.0;
const ROW: f64 = 16.0;
const TOP: f64 = 44.0;
/// Narrower boxes are left out, with all that stands on them.
const NARROWEST: f64 = 0.7;
/// Width of a letter of the font.
const LETTER: f64 = 6.1;

#[derive(Debug, Default)]
struct Node {
    count: u64,
    kind: Option<Kind>,
    calls: BTreeMap<String, Node>,
}

impl Node {
    fn depth(&self, narrowest: u64) -> usize {
        let deepest =
            self.calls.values().filter(|node| node.count >= narrowest).map(|node| node.depth(narrowest)).max();
        1 + deepest.unwrap_or(0)
    }
}

const fn colour(kind: Option<Kind>) -> &'static str {
    match kind {
        Some(Kind::Kernel) => "#f2a65a",
        Some(Kind::Memory) => "#7aa6f0",
        Some(Kind::Allocator) => "#c39be0",
        Some(Kind::Ours) => "#7fc797",
        Some(Kind::Others) => "#c9ced6",
        None => "#e8e4d8",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The picture.
pub fn draw(profile: &Profile, title: &str) -> String {
    let mut root = Node::default();
    for (thread, stack, count) in profile.stacks() {
        root.count += count;
        let mut node = root.calls.entry(thread.to_owned()).or_default();
        node.count += count;
        for frame in stack {
            node = node.calls.entry(frame.name.clone()).or_default();
            node.count += count;
            node.kind = Some(frame.kind);
        }
    }
    let narrowest = (root.count as f64 * NARROWEST / WIDTH).ceil() as u64;
    let height = TOP + root.depth(narrowest) as f64 * ROW + 8.0;
    let mut out = String::with_capacity(64 * 1_024);
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" font-size=\"10\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"4\" y=\"14\" font-size=\"13\">{}</text>\n",
        escape(title)
    );
    for (at, kind) in Kind::ALL.iter().enumerate() {
        let x = 4.0 + 150.0 * at as f64;
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"22\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{}\" y=\"32\">{}</text>",
            colour(Some(*kind)),
            x + 16.0,
            kind.name()
        );
    }
    let all = root.count;
    node(&mut out, "all", &root, (0.0, height - ROW - 4.0), all, narrowest);
    out.push_str("</svg>\n");
    out
}

fn node(out: &mut String, name: &str, of: &Node, (x, y): (f64, f64), all: u64, narrowest: u64) {
    let width = WIDTH * of.count as f64 / all.max(1) as f64;
    let share = 100.0 * of.count as f64 / all.max(1) as f64;
    let _ = write!(
        out,
        "<g><title>{} {share:.2} %</title><rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{}\" fill=\"{}\"/>",
        escape(name),
        (width - 0.3).max(0.3),
        ROW - 1.0,
        colour(of.kind)
    );
    // A path's last parts say the most.
    let letters = ((width - 4.0) / LETTER) as usize;
    let short: String = name.rsplit("::").take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("::");
    let shown = if name.chars().count() <= letters { name } else { &short };
    if letters >= 4 {
        let text: String = shown.chars().take(letters).collect();
        let _ = write!(out, "<text x=\"{:.1}\" y=\"{:.0}\">{}</text>", x + 2.0, y + 11.0, escape(&text));
    }
    out.push_str("</g>\n");
    let mut at = x;
    for (name, call) in &of.calls {
        if call.count >= narrowest {
            node(out, name, call, (at, y - ROW), all, narrowest);
        }
        at += WIDTH * call.count as f64 / all.max(1) as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_has_a_box_and_one_that_is_too_narrow_has_none() {
        let often = "t \n\t1 a::b<c> (/x)\n\t2 main (/x)\n\n".repeat(9_999);
        let profile = Profile::read(&format!("{often}t \n\t1 rare (/x)\n\t2 main (/x)\n\n"));
        let drawn = draw(&profile, "10,000 < many");
        // All, the thread, main, and what it calls most.
        assert_eq!(drawn.matches("<g>").count(), 4, "{drawn}");
        assert!(drawn.contains("a::b&lt;c&gt; 99.99 %") && !drawn.contains("rare") && !drawn.contains("<script"));
        assert!(drawn.contains("10,000 &lt; many"));
    }
}
