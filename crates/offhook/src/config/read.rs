//! Reading tables key by key: each reader says what it expected, and what no reader asked for is an unknown key.

use core::ops::{Range, RangeInclusive};

use offhook_units::Span;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Sink;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its bytes of the file.
    pub span: Range<usize>,
}

impl<T> At<T> {
    /// The same place with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> At<U> {
        At { value: f(self.value), span: self.span }
    }
}

type Table<'a> = DeTable<'a>;

/// One table of the file while it is read.
#[derive(Debug)]
pub struct Section<'a> {
    table: &'a Table<'a>,
    defaults: Option<&'a Table<'a>>,
    /// How it is written, `[sip]`, for messages.
    pub title: String,
    /// Where it begins.
    pub span: Range<usize>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub fn root(table: &'a Table<'a>) -> Self {
        Self { table, defaults: None, title: "the file".to_owned(), span: 0..0, asked: Vec::new() }
    }

    /// What this table does not say is looked up in `defaults`.
    #[must_use]
    pub fn with_defaults(mut self, defaults: Option<&'a Table<'a>>) -> Self {
        self.defaults = defaults;
        self
    }

    fn find(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(key);
        self.table.get(key).or_else(|| self.defaults?.get(key))
    }

    /// Whether the table has `key`.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Every key that was not asked for is a fault.
    pub fn finish(self, sink: &mut Sink) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let advice = match nearest(name, self.asked.iter().copied()) {
                Some(known) => format!("did you mean '{known}'?"),
                None => format!("{} knows {}", self.title, list(&self.asked)),
            };
            sink.fault(key.span(), format!("unknown key '{name}' in {}", self.title), advice);
        }
    }

    fn missing(&self, sink: &mut Sink, key: &str, example: &str) {
        sink.missing(self.span.clone(), format!("{} has no {key}", self.title), format!("add {key} = {example}"));
    }

    /// A text that is not empty.
    pub fn text(&mut self, sink: &mut Sink, key: &'static str, example: &str) -> Option<At<String>> {
        let value = self.find(key)?;
        match value.get_ref().as_str() {
            Some("") => {
                sink.fault(value.span(), format!("{key} is empty"), format!("write {key} = {example}"));
                None
            }
            Some(text) => Some(At { value: text.to_owned(), span: value.span() }),
            None => {
                wrong(sink, value, key, "a text in quotes", example);
                None
            }
        }
    }

    /// A text that must be there.
    pub fn need_text(&mut self, sink: &mut Sink, key: &'static str, example: &str) -> Option<At<String>> {
        let present = self.table.contains_key(key) || self.defaults.is_some_and(|table| table.contains_key(key));
        if !present {
            self.asked.push(key);
            self.missing(sink, key, example);
            return None;
        }
        self.text(sink, key, example)
    }

    /// A text or a number, both as text: numbers one dials are often written without quotes.
    pub fn text_or_number(&mut self, sink: &mut Sink, key: &'static str, example: &str) -> Option<At<String>> {
        if let Some(value) = self.table.get(key)
            && value.get_ref().is_integer()
        {
            let advice = format!("a number that one dials is a text: write {key} = {example}");
            self.asked.push(key);
            sink.fault(value.span(), format!("{key} is a text in quotes, not a number"), advice);
            return None;
        }
        self.need_text(sink, key, example)
    }

    /// As [`Self::text_or_number`], for a key that may be missing.
    pub fn text_or_number_if(&mut self, sink: &mut Sink, key: &'static str, example: &str) -> Option<At<String>> {
        if self.has(key) { self.text_or_number(sink, key, example) } else { None }
    }

    /// One text or a list of them.
    pub fn texts(&mut self, sink: &mut Sink, key: &'static str, example: &str) -> Option<At<Vec<At<String>>>> {
        let value = self.find(key)?;
        let mut texts = Vec::new();
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        for item in items {
            match item.get_ref().as_str() {
                Some("") => sink.fault(item.span(), format!("an empty text in {key}"), "take it out".to_owned()),
                Some(text) => texts.push(At { value: text.to_owned(), span: item.span() }),
                None => wrong(sink, item, key, "a list of texts", example),
            }
        }
        Some(At { value: texts, span: value.span() })
    }

    /// The values of a list, of whatever type.
    pub fn items(&mut self, sink: &mut Sink, key: &'static str, example: &str) -> Vec<&'a Spanned<DeValue<'a>>> {
        let Some(value) = self.find(key) else { return Vec::new() };
        if let Some(items) = value.get_ref().as_array() {
            return items.iter().collect();
        }
        wrong(sink, value, key, "a list", example);
        Vec::new()
    }

    /// A whole number within `range`.
    pub fn number(&mut self, sink: &mut Sink, key: &'static str, range: RangeInclusive<u64>) -> Option<At<u64>> {
        let value = self.find(key)?;
        let example = range.start().to_string();
        let Some(number) = value.get_ref().as_integer() else {
            wrong(sink, value, key, "a whole number", &example);
            return None;
        };
        let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
        let value_in_range = parsed.and_then(|number| u64::try_from(number).ok()).filter(|n| range.contains(n));
        if value_in_range.is_none() {
            let advice = format!("write a number from {} to {}", range.start(), range.end());
            sink.fault(value.span(), format!("{key} = {} is out of range", number.as_str()), advice);
        }
        value_in_range.map(|number| At { value: number, span: value.span() })
    }

    /// Whether `key` is this very text; says nothing where it is not.
    pub fn is_text(&mut self, key: &'static str, text: &str) -> bool {
        self.find(key).is_some_and(|value| value.get_ref().as_str() == Some(text))
    }

    /// `true` or `false`.
    pub fn flag(&mut self, sink: &mut Sink, key: &'static str) -> Option<bool> {
        let value = self.find(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            wrong(sink, value, key, "true or false, without quotes", "true");
        }
        flag
    }

    /// `true` or `false`, or a text in quotes, as text.
    pub fn flag_or_text(&mut self, sink: &mut Sink, key: &'static str, example: &str) -> Option<At<String>> {
        let value = self.find(key)?;
        let text = match (value.get_ref().as_bool(), value.get_ref().as_str()) {
            (Some(flag), _) => flag.to_string(),
            (None, Some(text)) => text.to_owned(),
            (None, None) => {
                wrong(sink, value, key, "true, false or a word in quotes", example);
                return None;
            }
        };
        Some(At { value: text, span: value.span() })
    }

    /// A length of time within `range`, written as `"20s"`.
    pub fn span(&mut self, sink: &mut Sink, key: &'static str, range: RangeInclusive<Span>) -> Option<Span> {
        let value = self.find(key)?;
        span_of(sink, key, value, range)
    }

    /// A list of lengths of time.
    pub fn spans(&mut self, sink: &mut Sink, key: &'static str, range: &RangeInclusive<Span>) -> Option<Vec<Span>> {
        let has = self.table.contains_key(key) || self.defaults.is_some_and(|table| table.contains_key(key));
        let items = self.items(sink, key, "[\"15s\", \"30s\"]");
        has.then(|| items.into_iter().filter_map(|item| span_of(sink, key, item, range.clone())).collect())
    }

    /// One of the words of `choices`.
    pub fn choice<T: Copy>(&mut self, sink: &mut Sink, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let value = self.find(key)?;
        let words: Vec<&'static str> = choices.iter().map(|(word, _)| *word).collect();
        let Some(word) = value.get_ref().as_str() else {
            wrong(sink, value, key, "a word in quotes", &format!("\"{}\"", words[0]));
            return None;
        };
        let found = choices.iter().find(|(each, _)| *each == word).map(|(_, choice)| *choice);
        if found.is_none() {
            let advice = match nearest(word, words.iter().copied()) {
                Some(known) => format!("did you mean \"{known}\"?"),
                None => format!("write {}", list(&words)),
            };
            sink.fault(value.span(), format!("{key} = \"{word}\" is not known"), advice);
        }
        found
    }

    /// A table within this one.
    pub fn table(&mut self, sink: &mut Sink, key: &'static str) -> Option<Section<'a>> {
        let value = self.find(key)?;
        if let Some(table) = value.get_ref().as_table() {
            return Some(Section {
                table,
                defaults: None,
                title: format!("[{key}]"),
                span: value.span(),
                asked: vec![],
            });
        }
        wrong(sink, value, key, "a table", "{ .. }");
        None
    }

    /// The tables written `[[key]]`.
    pub fn tables(&mut self, sink: &mut Sink, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.find(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            let message = format!("{key} is a list of tables, not {}", type_name(value.get_ref()));
            sink.fault(value.span(), message, format!("write [[{key}]] with two brackets on each side"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(table) => sections.push(Section::of(table, format!("[[{key}]]"), item.span())),
                None => wrong(sink, item, key, "a list of tables", "[[..]]"),
            }
        }
        sections
    }

    /// A table that was found as a value.
    pub fn of(table: &'a Table<'a>, title: String, span: Range<usize>) -> Self {
        Self { table, defaults: None, title, span, asked: Vec::new() }
    }

    /// The table itself, to be the defaults of others.
    pub const fn raw(&self) -> &'a Table<'a> {
        self.table
    }

    /// Keys and values as they stand, for tables whose keys are data.
    pub fn entries(&self) -> impl Iterator<Item = (At<&'a str>, &'a Spanned<DeValue<'a>>)> + use<'a> {
        self.table.iter().map(|(key, value)| (At { value: key.get_ref().as_ref(), span: key.span() }, value))
    }
}

fn wrong(sink: &mut Sink, value: &Spanned<DeValue<'_>>, key: &str, wanted: &str, example: &str) {
    let found = type_name(value.get_ref());
    sink.fault(value.span(), format!("{key} is {wanted}, not {found}"), format!("write {key} = {example}"));
}

fn span_of(sink: &mut Sink, key: &str, value: &Spanned<DeValue<'_>>, range: RangeInclusive<Span>) -> Option<Span> {
    let advice = "write a number with its unit: \"500ms\", \"20s\", \"5m\" or \"1h\"";
    let Some(text) = value.get_ref().as_str() else {
        let found = type_name(value.get_ref());
        sink.fault(value.span(), format!("{key} is a length of time, not {found}"), advice);
        return None;
    };
    let Some(span) = parse_span(text) else {
        sink.fault(value.span(), format!("{key} = \"{text}\" is not a length of time"), advice);
        return None;
    };
    if !range.contains(&span) {
        let advice = format!("write a time from {} to {}", range.start(), range.end());
        sink.fault(value.span(), format!("{key} = \"{text}\" is out of range"), advice);
        return None;
    }
    Some(span)
}

/// `20s`, `500ms`, `5m`, `1h`.
fn parse_span(text: &str) -> Option<Span> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let us = match text[digits..].trim_start() {
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    number.checked_mul(us).map(Span::from_us)
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `'a', 'b' or 'c'`.
pub fn list(words: &[&str]) -> String {
    let mut words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    words.sort();
    words.dedup();
    let Some(last) = words.pop() else { return "nothing".to_owned() };
    if words.is_empty() { last } else { format!("{} and {last}", words.join(", ")) }
}

/// The word of `known` that `word` is a slip of, if any: at most a third of its letters differ.
pub fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    known
        .filter(|each| each.len().abs_diff(word.len()) <= 16)
        .map(|each| (distance(word, each), each))
        .filter(|(distance, each)| *distance <= allowed || (word.len() >= 4 && each.starts_with(word)))
        .min()
        .map(|(_, each)| each)
}

/// Letters to insert, delete, exchange or swap with their neighbour to make `b` of `a` (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let exchanged = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = exchanged.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_unit() {
        for (text, span) in [
            ("500ms", Some(Span::from_ms(500))),
            ("20s", Some(Span::from_s(20))),
            ("20 s", Some(Span::from_s(20))),
            ("5m", Some(Span::from_s(300))),
            ("1h", Some(Span::from_s(3_600))),
            ("20", None),
            ("s", None),
            ("-1s", None),
            ("99999999999999999999h", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(parse_span(text), span, "{text}");
        }
    }

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["listen", "advertise", "max_waiting"];
        for (word, meant) in [
            ("lisen", Some("listen")),
            ("advertize", Some("advertise")),
            ("max_wating", Some("max_waiting")),
            ("litsen", Some("listen")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), meant, "{word}");
        }
    }
}
