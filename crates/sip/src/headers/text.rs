//! The small words of the grammar: tokens, whitespace, quoted strings (RFC 3261 section 25.1).

use std::borrow::Cow;

const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        byte += 1;
    }
    table
}

static TOKEN: [bool; 256] = token_table();

/// Whether the byte may stand in a token.
pub(crate) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Whether the text is a token: one or more token characters.
pub(crate) fn is_token_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token)
}

/// Equal up to ASCII letter case. Most texts that are compared differ in their length or their first letter.
pub(crate) fn ascii_eq(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| a.eq_ignore_ascii_case(&b))
}

/// Without linear whitespace at either end. Folds are undone before.
pub(crate) fn trim(text: &str) -> &str {
    let (bytes, stays) = (text.as_bytes(), |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    let start = bytes.iter().position(stays).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(stays).map_or(start, |last| last + 1);
    &text[start..end]
}

/// The place of the first such byte. The texts are short: that is quicker than to search them by words.
pub(crate) fn find_byte(text: &str, wanted: u8) -> Option<usize> {
    text.bytes().position(|byte| byte == wanted)
}

/// The text before and after the first such byte, which is an ASCII character.
pub(crate) fn split_at_byte(text: &str, wanted: u8) -> Option<(&str, &str)> {
    find_byte(text, wanted).map(|at| (&text[..at], &text[at + 1..]))
}

/// The index after the closing quote of the quoted string that `text` starts with.
pub(crate) fn quoted_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// The first `wanted` outside of quoted strings.
pub(crate) fn find_outside_quotes(text: &str, wanted: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == wanted {
            return Some(at);
        }
        // An unclosed quote swallows the rest: nothing in it can be told apart.
        at = if bytes[at] == b'"' { at + quoted_end(&text[at..])? } else { at + 1 };
    }
    None
}

/// The first comma outside of quoted strings and of angle brackets: where one value of a list ends.
pub(crate) fn value_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut in_brackets) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b',' if !in_brackets => return at,
            b'<' => in_brackets = true,
            b'>' => in_brackets = false,
            b'"' if !in_brackets => match quoted_end(&text[at..]) {
                Some(length) => {
                    at += length;
                    continue;
                }
                None => return bytes.len(),
            },
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The text between the quotes, escapes as they stand; the text itself where it is not quoted.
pub(crate) fn strip_quotes(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// The meaning of the inside of a quoted string: each backslash taken away.
pub(crate) fn unescape(inside: &str) -> Cow<'_, str> {
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            out.extend(chars.next());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Appends `text` as a quoted string. Quotes, backslashes and control characters are escaped; CR and LF, which no quoted
/// string can carry, become spaces.
pub(crate) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '\r' | '\n' => out.push(' '),
            '"' | '\\' | '\0'..='\x08' | '\x0b'..='\x1f' | '\x7f' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// A number of decimal digits alone, without sign, not above `max`.
pub(crate) fn number(text: &str, max: u64) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut value = 0_u64;
    for byte in text.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        if value > max {
            return None;
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_at_commas_outside_of_quotes_and_brackets() {
        for (text, first) in [
            ("a, b", "a"),
            ("\"x, y\" <sip:a@b>, c", "\"x, y\" <sip:a@b>"),
            ("<sip:a,b@c>;q=1,d", "<sip:a,b@c>;q=1"),
            ("\"q\\\",\" <sip:a@b>,d", "\"q\\\",\" <sip:a@b>"),
            ("\"open, never closed", "\"open, never closed"),
        ] {
            assert_eq!(&text[..value_end(text)], first);
        }
    }

    #[test]
    fn blanks_at_the_ends_are_trimmed_and_bytes_are_found_beside_letters_beyond_ascii() {
        for (text, trimmed) in
            [(" a b\t", "a b"), ("\r\n \u{e9} ", "\u{e9}"), (" \t", ""), ("", ""), ("\u{a0}", "\u{a0}")]
        {
            assert_eq!(trim(text), trimmed, "{text:?}");
        }
        assert_eq!(split_at_byte("\u{e9}=\u{e9}=", b'='), Some(("\u{e9}", "\u{e9}=")));
        assert_eq!(find_byte("\u{e9}", b';'), None);
        assert!(ascii_eq("Via", "vIA") && !ascii_eq("Via", "Vi") && !ascii_eq("\u{c9}", "\u{e9}"));
    }

    #[test]
    fn quoted_text_survives_escaping_both_ways() {
        for text in ["plain", "with \"quotes\"", "back\\slash", "BEL:\x07 NUL:\0 DEL:\x7f", "\u{e9}t\u{e9}"] {
            let mut quoted = String::new();
            push_quoted(&mut quoted, text);
            assert_eq!(quoted_end(&quoted), Some(quoted.len()));
            assert_eq!(unescape(strip_quotes(&quoted)), text);
        }
    }

    #[test]
    fn numbers_do_not_overflow_and_take_no_sign() {
        assert_eq!(number("0042", 100), Some(42));
        assert_eq!(number("18446744073709551615", u64::MAX), Some(u64::MAX));
        assert_eq!(number("18446744073709551616", u64::MAX), None);
        assert_eq!(number("65536", 65_535), None);
        for bad in ["", "-1", "+1", "1 2", "0x1"] {
            assert_eq!(number(bad, 100), None);
        }
    }
}
