//! Parameters after a semicolon, kept as they arrived and read on demand.

use core::fmt;

use super::text::{ascii_eq, find_outside_quotes, is_token, push_quoted, split_at_byte, strip_quotes, trim};

/// A list of `;name=value` parameters of a URI, an address or a Via (RFC 3261 section 25.1, `generic-param`).
///
/// Holds the original text, so printing is lossless and an empty list costs no allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Params(String);

impl Params {
    /// No parameters.
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// From text that is empty or starts with a semicolon.
    pub(crate) fn from_raw(raw: &str) -> Self {
        debug_assert!(raw.is_empty() || raw.starts_with(';'), "the first parameter follows a semicolon");
        Self(raw.to_owned())
    }

    /// The text, empty or starting with a semicolon.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of the first parameter of this name, in any letter case, without its quotes; empty for a flag such as `;lr`.
    pub fn get(&self, name: &str) -> Option<&str> {
        param_in(&self.0, name)
    }

    /// Whether the parameter is there, with or without a value.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All parameters in order: name, and value where there is an equals sign (quotes as they stand).
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        iter_params(&self.0)
    }

    /// Sets a parameter, in its place if it is there, at the end otherwise. An empty value makes a flag. A value that is not
    /// made of the characters a parameter may have is quoted.
    pub fn set(&mut self, name: &str, value: &str) {
        let mut piece = String::with_capacity(name.len() + value.len() + 4);
        piece.push(';');
        piece.push_str(name);
        if !value.is_empty() {
            piece.push('=');
            if value.bytes().all(is_plain_value_byte) {
                piece.push_str(value);
            } else {
                push_quoted(&mut piece, value);
            }
        }
        if let Some((start, end)) = self.find(name) {
            self.0.replace_range(start..end, &piece);
            return;
        }
        // A lone semicolon at the end, which readers let pass, would become a doubled one, which they do not.
        if let Some(before) = self.0.trim_end().strip_suffix(';').map(str::len) {
            self.0.truncate(before);
        }
        self.0.push_str(&piece);
    }

    /// Takes every parameter of this name away.
    pub fn remove(&mut self, name: &str) {
        while let Some((start, end)) = self.find(name) {
            self.0.replace_range(start..end, "");
        }
    }

    /// Where the parameter stands, its semicolon included.
    fn find(&self, name: &str) -> Option<(usize, usize)> {
        let mut start = 0;
        while start < self.0.len() {
            let rest = &self.0[start + 1..];
            let length = find_outside_quotes(rest, b';').unwrap_or(rest.len());
            let end = start + 1 + length;
            if ascii_eq(split_param(&rest[..length]).0, name) {
                return Some((start, end));
            }
            start = end;
        }
        None
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Token characters, and what hosts and addresses need (`received=[2001:db8::1]`, RFC 5118 section 4.5; URI parameters).
const fn is_plain_value_byte(byte: u8) -> bool {
    is_token(byte) || matches!(byte, b'[' | b']' | b':' | b'/' | b'&' | b'$')
}

/// As [`Params::get`], on text.
pub(crate) fn param_in<'a>(raw: &'a str, name: &str) -> Option<&'a str> {
    iter_params(raw).find(|(found, _)| ascii_eq(found, name)).map(|(_, value)| strip_quotes(value.unwrap_or("")))
}

fn iter_params(raw: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = raw;
    core::iter::from_fn(move || {
        while !rest.is_empty() {
            let after = rest.strip_prefix(';').unwrap_or(rest);
            let length = find_outside_quotes(after, b';').unwrap_or(after.len());
            let piece = &after[..length];
            rest = &after[length..];
            if !trim(piece).is_empty() {
                return Some(split_param(piece));
            }
        }
        None
    })
}

fn split_param(piece: &str) -> (&str, Option<&str>) {
    match split_at_byte(piece, b'=') {
        Some((name, value)) => (trim(name), Some(trim(value))),
        None => (trim(piece), None),
    }
}

/// Whether each parameter has a name made of token characters and a closed value: what a strict reader demands.
pub(crate) fn params_are_sound(raw: &str) -> bool {
    let mut rest = raw;
    while let Some(after) = rest.strip_prefix(';') {
        let length = find_outside_quotes(after, b';').unwrap_or(after.len());
        let (name, value) = split_param(&after[..length]);
        let sound_value = value.is_none_or(|value| {
            if value.starts_with('"') {
                value.len() >= 2 && super::text::quoted_end(value) == Some(value.len())
            } else {
                !value.is_empty() && !value.bytes().any(|b| b <= b' ' || b == b'"' || b == b',' || b == 0x7f)
            }
        });
        // A lone semicolon at the end carries nothing; a doubled one is an error (RFC 4475 section 3.1.2.1).
        let trailing = name.is_empty() && value.is_none() && length == after.len() && raw.len() > rest.len();
        if !(trailing || (!name.is_empty() && name.bytes().all(is_param_name_byte) && sound_value)) {
            return false;
        }
        rest = &after[length..];
    }
    rest.is_empty()
}

/// Header parameters have tokens as names; URI parameters also `[]/:&$` and escapes (`paramchar`).
const fn is_param_name_byte(byte: u8) -> bool {
    is_plain_value_byte(byte) || matches!(byte, b'(' | b')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_in_any_case_with_quotes_stripped() {
        let params = Params::from_raw(";Transport=UDP;lr; q = \"a;b\" ;empty");
        assert_eq!(params.get("transport"), Some("UDP"));
        assert_eq!(params.get("LR"), Some(""));
        assert_eq!(params.get("q"), Some("a;b"));
        assert_eq!(params.get("b"), None);
        assert_eq!(params.iter().count(), 4);
    }

    #[test]
    fn setting_replaces_in_place_and_quotes_what_is_no_token() {
        let mut params = Params::from_raw(";a=1;b;c=3");
        params.set("b", "x y");
        params.set("d", "");
        assert_eq!(params.as_str(), ";a=1;b=\"x y\";c=3;d");
        params.remove("A");
        assert_eq!(params.as_str(), ";b=\"x y\";c=3;d");
        params.set("received", "[2001:db8::1]");
        assert_eq!(params.get("received"), Some("[2001:db8::1]"));
        for (before, after) in [(";a=1;", ";a=1;b=2"), (";a=1 ; ", ";a=1 ;b=2"), (";a=\";\"", ";a=\";\";b=2")] {
            let mut params = Params::from_raw(before);
            params.set("b", "2");
            assert_eq!(params.as_str(), after);
            assert!(params_are_sound(after));
        }
    }
}
