//! The torture messages of RFC 4475 as bytes.

use std::path::PathBuf;

/// The bytes of a message of `fixtures/rfc4475`: its notation (RFC 4475 section 2) undone, lines ended with CRLF.
pub fn torture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/rfc4475").join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("<allOneLine>\n") {
        let (inside, after) = after.split_once("\n</allOneLine>").expect("every <allOneLine> is closed");
        lines.push_str(&before.replace('\n', "\r\n"));
        lines.push_str(&inside.replace('\n', ""));
        rest = after;
    }
    lines.push_str(&rest.replace('\n', "\r\n"));
    repeated(&hexadecimal(lines.as_bytes()))
}

fn hexadecimal(text: &[u8]) -> Vec<u8> {
    replace_tags(text, b"<hex>", b"</hex>", |inside| {
        let digits: Vec<u8> = inside.iter().copied().filter(u8::is_ascii_hexdigit).collect();
        let digit = |byte: u8| char::from(byte).to_digit(16).expect("a digit") as u8;
        digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    })
}

fn repeated(text: &[u8]) -> Vec<u8> {
    replace_tags(text, b"<repeat count=", b"</repeat>", |inside| {
        let end = inside.iter().position(|b| *b == b'>').expect("the tag ends");
        let count = std::str::from_utf8(&inside[..end]).expect("digits").parse().expect("a count");
        inside[end + 1..].repeat(count)
    })
}

fn replace_tags(text: &[u8], open: &[u8], close: &[u8], meaning: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let find = |text: &[u8], tag: &[u8]| text.windows(tag.len()).position(|window| window == tag);
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(start) = find(rest, open) {
        let inside = &rest[start + open.len()..];
        let end = find(inside, close).expect("every tag is closed");
        out.extend_from_slice(&rest[..start]);
        out.extend(meaning(&inside[..end]));
        rest = &inside[end + close.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// The names of all torture messages, sorted.
#[allow(dead_code, reason = "each test binary uses what it needs")]
pub fn torture_names() -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/rfc4475");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the fixtures are there")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".txt").map(str::to_owned))
        .collect();
    names.sort();
    names
}
