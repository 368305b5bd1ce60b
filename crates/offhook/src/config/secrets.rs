//! Secrets of a configuration's text: taken out before anybody reads it over the network, and put back into what comes from there.
//!
//! In place of a secret stands `(kept VERSION.NUMBER)`, which names it in a version that is kept, so that a text may hold secrets of several.

use core::ops::Range;

use toml::de::{DeTable, DeValue};

/// Keys whose texts are secrets, in whatever table.
const SECRETS: [&str; 5] = ["password", "token", "secret", "totp", "homer_key"];

/// A secret that is in no version that is kept.
const UNKNOWN: &str = "\"(secret)\"";

/// Where secrets stand in a text, quotes included, in order; none where it is no TOML.
fn places(text: &str) -> Option<Vec<Range<usize>>> {
    let table = DeTable::parse(text).ok()?;
    let mut places = Vec::new();
    walk(table.get_ref(), &mut places);
    places.sort_unstable_by_key(|place| place.start);
    Some(places)
}

fn walk(table: &DeTable<'_>, places: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        match value.get_ref() {
            DeValue::String(_) if SECRETS.contains(&key.get_ref().as_ref()) => places.push(value.span()),
            value => within(value, places),
        }
    }
}

fn within(value: &DeValue<'_>, places: &mut Vec<Range<usize>>) {
    match value {
        DeValue::Table(table) => walk(table, places),
        DeValue::Array(values) => values.iter().for_each(|value| within(value.get_ref(), places)),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

fn replaced(text: &str, places: &[Range<usize>], mut with: impl FnMut(usize, &str) -> String) -> String {
    let (mut new, mut from) = (String::with_capacity(text.len()), 0);
    for (number, place) in places.iter().enumerate() {
        new.push_str(&text[from..place.start]);
        new.push_str(&with(number, &text[place.clone()]));
        from = place.end;
    }
    new + &text[from..]
}

fn name(version: u64, number: usize) -> String {
    format!("\"(kept {version}.{number})\"")
}

fn named(literal: &str) -> Option<(u64, usize)> {
    let (version, number) = literal.strip_prefix("\"(kept ")?.strip_suffix(")\"")?.split_once('.')?;
    Some((version.parse().ok()?, number.parse().ok()?))
}

/// The text of a version without its secrets. What is no TOML any more is not shown at all.
pub fn hidden(text: &str, version: u64) -> String {
    places(text).map_or_else(String::new, |places| replaced(text, &places, |number, _| name(version, number)))
}

/// Another text without secrets, in which those of a version are named as in [`hidden`].
pub fn hidden_beside(text: &str, version: u64, of_version: &str) -> String {
    let known: Vec<&str> = places(of_version).unwrap_or_default().into_iter().map(|place| &of_version[place]).collect();
    let Some(places) = places(text) else { return String::new() };
    // The same place in line first: two secrets may be the same text.
    replaced(text, &places, |at, literal| {
        let same = known.get(at).is_some_and(|known| *known == literal).then_some(at);
        let number = same.or_else(|| known.iter().position(|known| *known == literal));
        number.map_or_else(|| UNKNOWN.to_owned(), |number| name(version, number))
    })
}

/// The text with its secrets, each from the version that it is named after. A name that leads nowhere stays as it is.
pub fn revealed(text: &str, text_of: impl Fn(u64) -> Option<String>) -> String {
    let Some(places_here) = places(text) else { return text.to_owned() };
    replaced(text, &places_here, |_, literal| {
        let found = named(literal).and_then(|(version, number)| {
            let of = text_of(version)?;
            let place = places(&of)?.get(number)?.clone();
            Some(of[place].to_owned())
        });
        found.unwrap_or_else(|| literal.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# password = \"in a comment\"
[http]
token = '0123456789abcdef'
[[account]]
name = \"r1\"
password = \"a\\\"b\" # and why
[[account]]
name = \"r2\"
password = \"\"\"two
lines\"\"\"
[turn]
secret_file = \"turn.secret\"
more = [{ secret = \"deep\" }]
";

    #[test]
    fn no_secret_is_in_what_is_shown_and_each_comes_back_where_its_name_stands() {
        let shown = hidden(TEXT, 7);
        for secret in ["0123456789abcdef", "a\\\"b", "two", "deep"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("token = \"(kept 7.0)\"") && shown.contains("secret = \"(kept 7.3)\""), "{shown}");
        assert!(shown.contains("turn.secret") && shown.contains("in a comment") && shown.contains("# and why"));
        let of = |version| (version == 7).then(|| TEXT.to_owned());
        assert_eq!(revealed(&shown, of), TEXT);
        let turned = shown.replace("7.1", "7.2").replace("\"r1\"", "\"ann\"");
        assert!(revealed(&turned, of).contains("name = \"ann\"\npassword = \"\"\"two\nlines\"\"\" # and why"));
    }

    #[test]
    fn a_secret_is_given_to_no_key_that_is_shown_and_a_name_that_leads_nowhere_stays() {
        let of = |version| (version == 7).then(|| TEXT.to_owned());
        for text in
            ["name = \"(kept 7.0)\"\n", "password = \"(kept 7.9)\"\n", "password = \"(kept 8.0)\"\n", "no toml ="]
        {
            assert_eq!(revealed(text, of), text);
        }
    }

    #[test]
    fn a_text_beside_a_version_names_the_secrets_that_both_have() {
        let other = "[[account]]\npassword = \"a\\\"b\"\n[[account]]\npassword = \"new\"\n";
        let expected = "[[account]]\npassword = \"(kept 7.1)\"\n[[account]]\npassword = \"(secret)\"\n";
        assert_eq!(hidden_beside(other, 7, TEXT), expected);
        assert_eq!(hidden_beside(TEXT, 7, TEXT), hidden(TEXT, 7));
    }
}
