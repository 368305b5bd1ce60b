//! `{n}` and `{n:04}` in names, passwords and addresses: one table stands for many phones.

/// A text with places for a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Number { width: usize },
}

/// Widest number.
const WIDTH_MAX: usize = 12;

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let Some(close) = rest[open..].find('}').map(|close| open + close) else {
                return Err(format!("'{{' without '}}' in \"{text}\""));
            };
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let inside = &rest[open + 1..close];
            let width = match inside.split_once(':') {
                None if inside == "n" => Some(0),
                Some(("n", width)) => width.parse().ok().filter(|width| *width <= WIDTH_MAX),
                _ => None,
            };
            let width = width.ok_or_else(|| format!("'{{{inside}}}' is not a number's place"))?;
            parts.push(Part::Number { width });
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// `text` as it is, braces and all.
    pub fn plain(text: &str) -> Self {
        Self(vec![Part::Text(text.to_owned())])
    }

    /// Whether it has a place for a number.
    pub fn has_number(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Number { .. }))
    }

    /// The text for `n`.
    pub fn with(&self, n: u64) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Number { width } => text.push_str(&padded(n, *width)),
            }
        }
        text
    }
}

fn padded(n: u64, width: usize) -> String {
    format!("{n:0width$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_filled_in_with_their_width() {
        for (pattern, n, text) in [
            ("a{n:04}", 7, "a0007"),
            ("a{n}", 7, "a7"),
            ("sip:a{n:04}@127.0.0.3:5070", 1_000, "sip:a1000@127.0.0.3:5070"),
            ("plain", 7, "plain"),
            ("{n}-{n:02}", 3, "3-03"),
        ] {
            assert_eq!(Pattern::parse(pattern).map(|pattern| pattern.with(n)), Ok(text.to_owned()));
        }
        for wrong in ["a{n", "a{m}", "a{n:99}", "a{}"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
