//! Multipart bodies: taken apart by RFC 2046 section 5.1, and judged part by part by RFC 5621.

use super::{Body, BodyFault, is_required, media_type, params};
use crate::headers::{Headers, param_in};
use crate::message::MESSAGE_BYTES_MAX;

/// Most parts of a body, those of nested ones included.
pub const BODY_PARTS_MAX: usize = 32;
/// How deep multipart bodies may lie within each other.
pub const BODY_DEPTH_MAX: usize = 4;
/// Longest head of a part, in bytes.
pub const PART_HEAD_BYTES_MAX: usize = 4_096;
/// Longest boundary (RFC 2046 section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

const _: () = assert!(PART_HEAD_BYTES_MAX < MESSAGE_BYTES_MAX, "a head is a piece of a message");

/// How far the walk through a body has come.
#[derive(Debug, Default)]
pub(super) struct Walk<'a> {
    parts: usize,
    depth: usize,
    /// The first metadata of a recording session, RFC 7866 section 9.1.
    pub metadata: Option<&'a [u8]>,
}

/// What a body or a part is to us.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict<'a> {
    /// It is, or has, the session description.
    Description(&'a [u8]),
    /// All that had to be understood was, and there is no description in it.
    Nothing,
    /// It is not understood.
    Unknown(BodyFault),
}

/// Judges a body by the headers of its message or part.
pub(super) fn judge<'a>(headers: &Headers, body: &'a [u8], walk: &mut Walk<'a>) -> Result<Verdict<'a>, BodyFault> {
    let is_packed = |name, plain: &[&str]| {
        headers.get(name).is_some_and(|value| !plain.iter().any(|plain| plain.eq_ignore_ascii_case(value.trim())))
    };
    if is_packed("Content-Encoding", &["identity", ""])
        || is_packed("Content-Transfer-Encoding", &["7bit", "8bit", "binary"])
    {
        return Ok(Verdict::Unknown(BodyFault::Packed));
    }
    let kind = headers.content_type().unwrap_or_default();
    let (main, sub) = media_type(kind).split_once('/').unwrap_or_default();
    if main.trim().eq_ignore_ascii_case("multipart") {
        return judge_parts(sub.trim(), params(kind), body, walk);
    }
    // RFC 3261 section 20.11: a description without a purpose is the session's. RFC 3959 gives it others.
    let purpose = headers.get("Content-Disposition").map_or("session", media_type);
    if media_type(kind).eq_ignore_ascii_case(Body::SDP) && purpose.eq_ignore_ascii_case("session") {
        return Ok(Verdict::Description(body));
    }
    if crate::siprec::is_metadata(media_type(kind)) {
        walk.metadata.get_or_insert(body);
        return Ok(Verdict::Nothing);
    }
    Ok(Verdict::Unknown(BodyFault::Foreign))
}

fn judge_parts<'a>(sub: &str, params: &str, body: &'a [u8], walk: &mut Walk<'a>) -> Result<Verdict<'a>, BodyFault> {
    if walk.depth == BODY_DEPTH_MAX {
        return Err(BodyFault::TooMuch);
    }
    walk.depth += 1;
    let boundary = param_in(params, "boundary").filter(|text| (1..=BOUNDARY_BYTES_MAX).contains(&text.len()));
    let boundary = boundary.ok_or(BodyFault::Malformed("a multipart body names no boundary"))?.as_bytes();
    let first = next_delimiter(body, boundary).ok_or(BodyFault::Malformed("a multipart body has no part"))?;
    let mut parts = Parts { rest: first.rest(body), boundary };
    // The root of related parts, as it is named (RFC 2387 section 3.2).
    let start = param_in(params, "start");
    let subtype = Subtype::of(sub);
    let mut best = match subtype {
        Subtype::Mixed => Verdict::Nothing,
        Subtype::Alternative | Subtype::Related => Verdict::Unknown(BodyFault::Foreign),
    };
    for (at, part) in parts.by_ref().enumerate() {
        walk.parts += 1;
        if walk.parts > BODY_PARTS_MAX {
            return Err(BodyFault::TooMuch);
        }
        let (headers, content) = head_of(part)?;
        let is_root = start.map_or(at == 0, |start| headers.get("Content-ID") == Some(start));
        if subtype == Subtype::Related && !is_root {
            continue;
        }
        match (judge(&headers, content, walk)?, subtype) {
            // RFC 2046 section 5.1.4: the last that is understood is the best; how each is to be handled says nothing.
            (Verdict::Unknown(_), Subtype::Alternative) | (Verdict::Nothing, Subtype::Mixed) => {}
            (found, Subtype::Alternative | Subtype::Related) => best = found,
            (Verdict::Unknown(fault), Subtype::Mixed) => {
                if is_required(&headers) {
                    best = Verdict::Unknown(fault);
                    break;
                }
            }
            (found @ Verdict::Description(_), Subtype::Mixed) => {
                if matches!(best, Verdict::Nothing) {
                    best = found;
                }
            }
        }
    }
    walk.depth -= 1;
    Ok(best)
}

/// How the parts of a body belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subtype {
    /// Each by itself; any subtype that is not known is taken for this (RFC 2046 section 5.1.3).
    Mixed,
    /// Each says the same.
    Alternative,
    /// One with what it refers to.
    Related,
}

impl Subtype {
    const fn of(text: &str) -> Self {
        if text.eq_ignore_ascii_case("alternative") {
            Self::Alternative
        } else if text.eq_ignore_ascii_case("related") {
            Self::Related
        } else {
            Self::Mixed
        }
    }
}

/// The parts between the boundaries, heads included. Where the last boundary is missing, the last part ends with the body.
struct Parts<'a, 'b> {
    rest: Option<&'a [u8]>,
    boundary: &'b [u8],
}

impl<'a> Iterator for Parts<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let Some(delimiter) = next_delimiter(rest, self.boundary) else { return Some(rest) };
        self.rest = delimiter.rest(rest);
        Some(&rest[..delimiter.start])
    }
}

/// A line that parts two parts.
struct Delimiter {
    /// Where it begins; the line break before it is its own.
    start: usize,
    end: usize,
    /// Nothing but an epilogue follows.
    is_last: bool,
}

impl Delimiter {
    fn rest<'a>(&self, body: &'a [u8]) -> Option<&'a [u8]> {
        (!self.is_last).then(|| &body[self.end..])
    }
}

fn next_delimiter(body: &[u8], boundary: &[u8]) -> Option<Delimiter> {
    let mut at = 0;
    while at < body.len() {
        let end = line_end(body, at);
        let tail = body[at..end].strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary));
        if let Some(tail) = tail.map(<[u8]>::trim_ascii)
            && (tail.is_empty() || tail == b"--")
        {
            let before = &body[..at];
            let before = before.strip_suffix(b"\n").map_or(before, |line| line.strip_suffix(b"\r").unwrap_or(line));
            return Some(Delimiter { start: before.len(), end, is_last: !tail.is_empty() });
        }
        at = end;
    }
    None
}

/// Behind the line that begins at `at`.
fn line_end(body: &[u8], at: usize) -> usize {
    body[at..].iter().position(|byte| *byte == b'\n').map_or(body.len(), |length| at + length + 1)
}

/// The headers of a part, with its type where it names none (RFC 2046 section 5.1), and its content.
fn head_of(part: &[u8]) -> Result<(Headers, &[u8]), BodyFault> {
    let (mut headers, mut line, mut at) = (Headers::new(), String::new(), 0);
    loop {
        let end = line_end(part, at);
        if end > PART_HEAD_BYTES_MAX {
            return Err(BodyFault::TooMuch);
        }
        let text = String::from_utf8_lossy(&part[at..end]);
        let text = text.trim_end_matches(['\r', '\n']);
        at = end;
        if text.starts_with([' ', '\t']) {
            line.push_str(text);
            continue;
        }
        if !line.is_empty() {
            let (name, value) = line.split_once(':').ok_or(BodyFault::Malformed("a part's header has no colon"))?;
            headers.push(name.trim(), value);
        }
        if text.is_empty() {
            break;
        }
        text.clone_into(&mut line);
    }
    if headers.content_type().is_none() {
        headers.push("Content-Type", "text/plain");
    }
    Ok((headers, &part[at..]))
}
