//! A message body with its type, and the session description that it is or that it has among its parts.

mod parts;

use crate::headers::{Headers, param_in};
use crate::{Request, Response};

pub use parts::{BODY_DEPTH_MAX, BODY_PARTS_MAX, PART_HEAD_BYTES_MAX};

/// What stands behind the empty line, and the `Content-Type` that says what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The value of `Content-Type`.
    pub content_type: String,
    /// The bytes; `Content-Length` is their count.
    pub bytes: Vec<u8>,
}

impl Body {
    /// The media type of a session description, RFC 3264.
    pub const SDP: &'static str = "application/sdp";
    /// What a session description may stand in, for `Accept`. RFC 5621 section 4.1 wants the multiparts named.
    pub const ACCEPTED: &'static str = "application/sdp, multipart/mixed, multipart/alternative, multipart/related";

    /// A session description.
    pub fn sdp(text: impl Into<String>) -> Self {
        Self { content_type: Self::SDP.to_owned(), bytes: text.into().into_bytes() }
    }

    /// Whether this is a session description. Parameters behind the media type are ignored.
    pub fn is_sdp(&self) -> bool {
        media_type(&self.content_type).eq_ignore_ascii_case(Self::SDP)
    }
}

/// Why a body cannot be taken as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The peer broke RFC 2046: its parts cannot be told apart. Answer 400.
    #[error("the body is malformed: {0}")]
    Malformed(&'static str),
    /// The peer sent more than is looked at. Answer 413.
    #[error("the body has too many parts, too deep ones, or one with too long a head")]
    TooMuch,
    /// The peer demands that something is understood which is not (RFC 5621 section 3). Answer 415 with `Accept`.
    #[error("the body is, or has a required part, of a type or for a purpose that is not understood here")]
    Foreign,
    /// The peer packed it in a way that is not undone here. Answer 415 with `Accept-Encoding`.
    #[error("the body, or a required part of it, is packed")]
    Packed,
}

impl BodyFault {
    /// The status that a request with this fault is refused with.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::TooMuch => 413,
            Self::Foreign | Self::Packed => 415,
        }
    }

    /// What the refusal says of what would be taken (RFC 3261 section 21.4.13).
    pub(crate) const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Malformed(_) | Self::TooMuch => &[],
            Self::Foreign => &[("Accept", Body::ACCEPTED)],
            Self::Packed => &[("Accept-Encoding", "identity")],
        }
    }
}

impl Request {
    /// The session description: the body, or the part of it that is one. None where there is no body, or one that may be
    /// left aside.
    ///
    /// # Errors
    /// The body is malformed, or must be understood and is not.
    pub fn description(&self) -> Result<Option<&[u8]>, BodyFault> {
        description(&self.headers, &self.body)
    }
}

impl Response {
    /// As [`Request::description`].
    ///
    /// # Errors
    /// As there.
    pub fn description(&self) -> Result<Option<&[u8]>, BodyFault> {
        description(&self.headers, &self.body)
    }
}

impl Request {
    /// The metadata of a recording session (RFC 7865): the body, or the part of it that they are. None where it has none, or is
    /// no body that can be taken.
    pub fn metadata(&self) -> Option<&[u8]> {
        metadata(&self.headers, &self.body)
    }
}

/// As [`Request::metadata`], of a message with these headers.
pub(crate) fn metadata<'a>(headers: &Headers, body: &'a [u8]) -> Option<&'a [u8]> {
    let mut walk = parts::Walk::default();
    if body.is_empty() {
        return None;
    }
    parts::judge(headers, body, &mut walk).ok()?;
    walk.metadata
}

/// The session description in the body of a message with these headers.
pub(crate) fn description<'a>(headers: &Headers, body: &'a [u8]) -> Result<Option<&'a [u8]>, BodyFault> {
    if body.is_empty() {
        return Ok(None);
    }
    match parts::judge(headers, body, &mut parts::Walk::default())? {
        parts::Verdict::Description(found) => Ok(Some(found)),
        parts::Verdict::Unknown(fault) if is_required(headers) => Err(fault),
        parts::Verdict::Nothing | parts::Verdict::Unknown(_) => Ok(None),
    }
}

/// Whether a body must be understood: RFC 3261 section 20.11 takes that for granted where nothing is said.
fn is_required(headers: &Headers) -> bool {
    let handling = headers.get("Content-Disposition").and_then(|value| param_in(params(value), "handling"));
    handling.is_none_or(|handling| !handling.eq_ignore_ascii_case("optional"))
}

/// A value without its parameters.
fn media_type(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

/// The parameters of a value, from the first semicolon on.
fn params(value: &str) -> &str {
    value.find(';').map_or("", |at| &value[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_told_without_its_parameters_and_in_any_case() {
        assert!(Body { content_type: "Application/SDP ;charset=utf-8".into(), bytes: Vec::new() }.is_sdp());
        assert!(!Body { content_type: "application/sdpx".into(), bytes: Vec::new() }.is_sdp());
        assert!(Body::sdp("v=0").is_sdp());
    }

    /// Header lines of the message, its body with `\n` for line ends, and what is found in it.
    #[track_caller]
    fn check(lines: &[(&str, &str)], body: &str, expected: Result<Option<&str>, BodyFault>) {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.push(name, value);
        }
        for body in [body.to_owned(), body.replace('\n', "\r\n")] {
            let found = description(&headers, body.as_bytes());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "\n");
            let expected = expected.map(|text| text.map(str::to_owned));
            assert_eq!(found.map(|found| found.map(text)), expected, "{lines:?} {body}");
        }
    }

    const MIXED: &[(&str, &str)] = &[("Content-Type", "multipart/mixed;boundary=b1")];

    #[test]
    fn a_body_of_one_part_is_taken_refused_or_left_aside() {
        let typed = |kind| [("Content-Type", kind)];
        check(&[], "", Ok(None));
        check(&typed("application/sdp"), "v=0", Ok(Some("v=0")));
        check(&typed("APPLICATION/Sdp; charset=utf-8"), "v=0", Ok(Some("v=0")));
        check(&[], "v=0", Err(BodyFault::Foreign));
        check(&typed("text/plain"), "v=0", Err(BodyFault::Foreign));
        let disposed = |kind, how| [("Content-Type", kind), ("Content-Disposition", how)];
        check(&disposed("application/sdp", "session"), "v=0", Ok(Some("v=0")));
        check(&disposed("application/sdp", "session;handling=optional"), "v=0", Ok(Some("v=0")));
        check(&disposed("application/sdp", "early-session"), "v=0", Err(BodyFault::Foreign));
        check(&disposed("application/sdp", "early-session; handling=OPTIONAL"), "v=0", Ok(None));
        check(&disposed("application/isup", "signal;handling=optional"), "x", Ok(None));
        check(&disposed("application/isup", "signal;handling=required"), "x", Err(BodyFault::Foreign));
        check(&disposed("application/isup", "signal;handling=someday"), "x", Err(BodyFault::Foreign));
        let packed = |how| [("Content-Type", "application/sdp"), ("Content-Encoding", how)];
        check(&packed("gzip"), "x", Err(BodyFault::Packed));
        check(&packed("identity"), "v=0", Ok(Some("v=0")));
    }

    #[test]
    fn the_description_is_found_among_mixed_parts() {
        let sdp = "--b1\nContent-Type: application/sdp\n\nv=0\n\n";
        check(MIXED, &format!("{sdp}--b1--\n"), Ok(Some("v=0\n")));
        let isup = |how: &str| format!("--b1\nContent-Type: application/isup\n{how}\n\x01\x02\n");
        let optional = isup("Content-Disposition: signal; handling=optional\n");
        check(MIXED, &format!("{optional}--b1\nc: application/sdp\n\nv=0\n--b1--"), Ok(Some("v=0")));
        check(
            MIXED,
            &format!("--b1\nContent-Type:\n application/sdp;\n\tcharset=x\n\nv=0\n{optional}--b1--"),
            Ok(Some("v=0")),
        );
        check(MIXED, &format!("{}--b1\nc: application/sdp\n\nv=0\n--b1--", isup("")), Err(BodyFault::Foreign));
        check(MIXED, &format!("{optional}--b1--"), Ok(None));
        // The purpose decides, and of two descriptions the first one.
        let early =
            "--b1\nContent-Type: application/sdp\nContent-Disposition: early-session;handling=optional\n\nv=9\n";
        check(
            MIXED,
            &format!("{early}--b1\nc: application/sdp\n\nv=0\n--b1\nc: application/sdp\n\nv=1\n--b1--"),
            Ok(Some("v=0")),
        );
        // A part without a type is text (RFC 2046 section 5.1), and text must be shown to somebody.
        check(MIXED, "--b1\n\nhello\n--b1--", Err(BodyFault::Foreign));
        let coded = "--b1\nContent-Type: application/sdp\nContent-Transfer-Encoding: base64\n\ndj0w\n--b1--";
        check(MIXED, coded, Err(BodyFault::Packed));
        check(MIXED, &coded.replace("base64", "8BIT").replace("dj0w", "v=0"), Ok(Some("v=0")));
    }

    #[test]
    fn boundaries_are_read_as_rfc_2046_writes_them() {
        let body = |b: &str| format!("a preamble\n--{b}\nc: application/sdp\n\nv=0\n--{b}--\nan epilogue\n--{b}\n\n");
        for (written, boundary) in [
            ("boundary=simple", "simple"),
            ("charset=x; Boundary=\"gc0pJq0M:08jU534c0p\"", "gc0pJq0M:08jU534c0p"),
            ("boundary=\"with space\"", "with space"),
            ("boundary=----=_Part_1_2.3", "----=_Part_1_2.3"),
        ] {
            let kind = format!("multipart/mixed;{written}");
            check(&[("Content-Type", &kind)], &body(boundary), Ok(Some("v=0")));
        }
        // White space may follow a boundary; a line that only begins like one is text.
        check(MIXED, "--b1 \t\nc: application/sdp\n\nv=0\n--b12\n--b1-- \n", Ok(Some("v=0\n--b12")));
        // The last one may be missing.
        check(MIXED, "--b1\nc: application/sdp\n\nv=0", Ok(Some("v=0")));
        for broken in ["no part", "--b2\n\nx\n--b2--", "--b1\nno colon\n\nx\n--b1--"] {
            let mut headers = Headers::new();
            headers.push("Content-Type", MIXED[0].1);
            assert!(matches!(description(&headers, broken.as_bytes()), Err(BodyFault::Malformed(_))), "{broken}");
        }
        let nameless = Err(BodyFault::Malformed("a multipart body names no boundary"));
        check(&[("Content-Type", "multipart/mixed")], "--b1\n\nx\n--b1--", nameless);
        check(&[("Content-Type", "multipart/mixed;boundary=\"\"")], "--\n\nx\n----", nameless);
        check(MIXED, "--b1--\n", Ok(None));
    }

    #[test]
    fn the_metadata_of_a_recording_session_are_found_and_are_no_description() {
        let part = "--b1\nContent-Type: application/rs-metadata+xml\nContent-Disposition: recording-session\n\n<x/>\n";
        let sdp = "--b1\nContent-Type: application/sdp\n\nv=0\n";
        check(MIXED, &format!("{sdp}{part}--b1--"), Ok(Some("v=0")));
        check(MIXED, &format!("{part}--b1--"), Ok(None));
        let found = |kind: &str, body: &str| {
            let mut headers = Headers::new();
            headers.push("Content-Type", kind);
            metadata(&headers, body.as_bytes()).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        assert_eq!(found(MIXED[0].1, &format!("{sdp}{part}{part}--b1--")).as_deref(), Some("<x/>"));
        assert_eq!(found("application/rs-metadata", "<y/>").as_deref(), Some("<y/>"));
        assert_eq!(found(MIXED[0].1, &format!("{sdp}--b1--")), None);
        assert_eq!(found("application/sdp", ""), None);
    }

    #[test]
    fn alternatives_give_the_last_and_related_parts_the_root() {
        let kind = |kind| [("Content-Type", kind)];
        let part = |head: &str, text: &str| format!("--b1\n{head}\n\n{text}\n");
        let (sdp, other) = (part("c: application/sdp", "v=0"), part("c: application/sdpng+xml", "<x/>"));
        let newer = part("c: application/sdp", "v=1");
        let alternative = kind("multipart/alternative;boundary=b1");
        check(&alternative, &format!("{sdp}{other}--b1--"), Ok(Some("v=0")));
        check(&alternative, &format!("{sdp}{newer}{other}--b1--"), Ok(Some("v=1")));
        check(&alternative, &format!("{other}--b1--"), Err(BodyFault::Foreign));
        let related = kind("multipart/related;boundary=b1;type=\"application/sdp\"");
        check(&related, &format!("{sdp}{other}--b1--"), Ok(Some("v=0")));
        check(&related, &format!("{other}{sdp}--b1--"), Err(BodyFault::Foreign));
        let named = kind("multipart/related;boundary=b1;start=\"<root@x>\"");
        let root = part("Content-ID: <root@x>\nc: application/sdp", "v=2");
        check(&named, &format!("{other}{root}--b1--"), Ok(Some("v=2")));
        // A subtype that nobody knows is a mixed one (RFC 2046 section 5.1.3).
        check(&kind("multipart/fancy;boundary=b1"), &format!("{sdp}--b1--"), Ok(Some("v=0")));
    }

    /// A description in `depth` multiparts.
    fn nested(depth: usize) -> (String, String) {
        let (mut kind, mut body) = ("application/sdp".to_owned(), "v=0".to_owned());
        for level in 0..depth {
            body = format!("--b{level}\nContent-Type: {kind}\n\n{body}\n--b{level}--");
            kind = format!("multipart/mixed; boundary=\"b{level}\"");
        }
        (kind, body)
    }

    #[test]
    fn four_levels_32_parts_and_heads_of_4096_bytes_are_looked_at_and_no_more() {
        let (kind, body) = nested(BODY_DEPTH_MAX);
        check(&[("Content-Type", &kind)], &body, Ok(Some("v=0")));
        let (kind, body) = nested(BODY_DEPTH_MAX + 1);
        check(&[("Content-Type", &kind)], &body, Err(BodyFault::TooMuch));
        let optional = "--b1\nContent-Disposition: x;handling=optional\n\nx\n";
        check(MIXED, &format!("{}--b1--", optional.repeat(BODY_PARTS_MAX)), Ok(None));
        check(MIXED, &format!("{}--b1--", optional.repeat(BODY_PARTS_MAX + 1)), Err(BodyFault::TooMuch));
        let long = |bytes| format!("--b1\nc: application/sdp\nX: {}\n\nv=0\n--b1--", "x".repeat(bytes));
        check(MIXED, &long(PART_HEAD_BYTES_MAX - 100), Ok(Some("v=0")));
        check(MIXED, &long(PART_HEAD_BYTES_MAX), Err(BodyFault::TooMuch));
    }
}
