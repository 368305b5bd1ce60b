//! From bytes to a message: the head is cut into lines once, and only what every receiver needs is looked into.

use core::ops::Range;
use std::borrow::Cow;

use super::lines::line_feed;
use super::{Fault, HEADERS_MAX, MESSAGE_BYTES_MAX, Message, Method, ParseError, Request, Response, VALUES_MAX};
use crate::headers::text::{ascii_eq, find_byte, is_token_text, number, trim};
use crate::headers::{Headers, Name, SyntaxError};
use crate::uri::Uri;

/// A fault and where it is.
type Found = (Fault, usize);

pub(super) fn parse(datagram: &[u8]) -> Result<Message, ParseError> {
    let lead = leading_line_breaks(datagram);
    let bytes = &datagram[lead..];
    let plain = |(fault, offset): Found| ParseError { fault, offset: lead + offset, salvaged: None };
    if bytes.is_empty() {
        return Err(plain((Fault::KeepAlive, 0)));
    }
    if datagram.len() > MESSAGE_BYTES_MAX {
        return Err(plain((Fault::TooLarge, MESSAGE_BYTES_MAX)));
    }
    let end = head_end(bytes);
    let head = Head::read(&bytes[..end.unwrap_or(bytes.len())]).map_err(plain)?;
    let fault = end.is_none().then_some((Fault::Unfinished, bytes.len()));
    head.finish(fault, &bytes[end.unwrap_or(bytes.len())..]).map_err(|mut error| {
        error.offset += lead;
        error
    })
}

/// How many bytes the first message of a stream takes, line breaks before it included; `None` while it is not all there.
///
/// # Errors
/// The stream can no longer be cut into messages - Content-Length is missing (RFC 3261 section 18.3), malformed or ambiguous, or
/// the head has no end within [`MESSAGE_BYTES_MAX`]: answer what is salvaged and close the connection.
pub fn frame_len(stream: &[u8]) -> Result<Option<usize>, ParseError> {
    Ok(frame_total(stream)?.filter(|total| stream.len() >= *total))
}

/// As [`frame_len`], told as soon as the head is there.
pub(super) fn frame_total(stream: &[u8]) -> Result<Option<usize>, ParseError> {
    let lead = leading_line_breaks(stream);
    let bytes = &stream[lead..];
    let error = |fault, salvaged| ParseError { fault, offset: lead, salvaged };
    let Some(end) = head_end(bytes) else {
        return if bytes.len() > MESSAGE_BYTES_MAX { Err(error(Fault::TooLarge, None)) } else { Ok(None) };
    };
    if end > MESSAGE_BYTES_MAX {
        return Err(error(Fault::TooLarge, None));
    }
    let head = Head::read(&bytes[..end]).map_err(|(fault, _)| error(fault, None))?;
    let length = match content_length(&head.headers) {
        Ok(Some(length)) if length <= (MESSAGE_BYTES_MAX - end) as u64 => length as usize,
        Ok(Some(_)) => return Err(error(Fault::TooLarge, head.salvage())),
        Ok(None) => return Err(error(Fault::ContentLength("is missing on a stream"), head.salvage())),
        Err(fault) => return Err(error(fault, head.salvage())),
    };
    Ok(Some(lead + end + length))
}

fn leading_line_breaks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()
}

/// Where the body starts: after the first empty line. Lines end with CRLF, or with a bare LF from lax senders.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(line) = line_feed(&bytes[at..]) {
        at += line + 1;
        match &bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

enum Start {
    Request { method: Method, uri: Uri },
    Response { status: u16, reason: String },
}

/// A head cut into lines, with the first fault seen on the way: reading goes on after it, for the sake of an answer.
struct Head {
    start: Start,
    headers: Headers,
    fault: Option<Found>,
}

impl Head {
    /// Fails only where nothing can be answered.
    fn read(bytes: &[u8]) -> Result<Self, Found> {
        if !bytes.first().is_some_and(|b| crate::headers::text::is_token(*b)) {
            return Err((Fault::NotSip("does not start with a word"), 0));
        }
        let text = readable(bytes);
        let first = line_feed(text.as_bytes()).map_or(text.len(), |at| at + 1);
        let line = without_line_end(&text[..first]);
        let (start, fault) = if line.get(..4).is_some_and(|word| ascii_eq(word, "SIP/")) {
            (status_line(line).map_err(|fault| (fault, 0))?, None)
        } else {
            let (start, fault) = request_line(line).map_err(|fault| (fault, 0))?;
            (start, fault.map(|fault| (fault, 0)))
        };
        let is_exact = matches!(text, Cow::Borrowed(_));
        // Room for where it came from, which is noted in its Via.
        let mut head = String::with_capacity(text.len() + 128);
        head.push_str(&text);
        let mut lines = Lines { headers: Headers::over(head), fault, values: 0, bytes, is_exact };
        lines.read(&text, first);
        Ok(Self { start, headers: lines.headers, fault: lines.fault })
    }

    /// The message, or what is wrong with it.
    fn finish(mut self, unfinished: Option<Found>, rest: &[u8]) -> Result<Message, ParseError> {
        let length = content_length(&self.headers);
        let body = match length {
            Ok(Some(length)) if length > rest.len() as u64 => {
                Err(Fault::ContentLength("counts more bytes than there are"))
            }
            Ok(Some(length)) => Ok(&rest[..length as usize]),
            Ok(None) => Ok(rest),
            Err(fault) => Err(fault),
        };
        let method = match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        };
        let fault =
            self.fault.take().or(unfinished).or_else(|| sound(&self.headers, method).err().map(|fault| (fault, 0)));
        let body = match (fault, body) {
            (None, Ok(body)) => body.to_vec(),
            (Some((fault, offset)), _) => return Err(ParseError { fault, offset, salvaged: self.salvage() }),
            (None, Err(fault)) => return Err(ParseError { fault, offset: 0, salvaged: self.salvage() }),
        };
        Ok(match self.start {
            Start::Request { method, uri } => Message::Request(Request { method, uri, headers: self.headers, body }),
            Start::Response { status, reason } => {
                Message::Response(Response { status, reason, headers: self.headers, body })
            }
        })
    }

    /// The request to answer. Without a Via its sender could not match the answer to it.
    fn salvage(self) -> Option<Box<Request>> {
        match self.start {
            Start::Request { method, uri } if self.headers.first(Name::Via).is_some() => {
                Some(Box::new(Request { method, uri, headers: self.headers, body: Vec::new() }))
            }
            Start::Request { .. } | Start::Response { .. } => None,
        }
    }
}

fn without_line_end(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

/// The head as text, byte for byte in the same places: a question mark stands for each byte that is no UTF-8.
fn readable(bytes: &[u8]) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = bytes;
    loop {
        match core::str::from_utf8(rest) {
            Ok(text) if out.is_empty() => return Cow::Borrowed(text),
            Ok(text) => {
                out.push_str(text);
                return Cow::Owned(out);
            }
            Err(error) => {
                let (good, bad) = rest.split_at(error.valid_up_to());
                out.push_str(core::str::from_utf8(good).unwrap_or_default());
                let length = error.error_len().unwrap_or(bad.len());
                out.extend(core::iter::repeat_n('?', length));
                rest = &bad[length..];
            }
        }
    }
}

/// `METHOD SP URI SP SIP/2.0`. What is no request at all fails; a faulty one goes on with a URI that nobody understands.
fn request_line(line: &str) -> Result<(Start, Option<Fault>), Fault> {
    let (method, rest) = line.split_once(' ').ok_or(Fault::NotSip("the first line is a single word"))?;
    let trimmed = rest.trim_end_matches(' ');
    let (uri, version) = trimmed.rsplit_once(' ').ok_or(Fault::NotSip("the first line has fewer than three words"))?;
    if !version.get(..4).is_some_and(|word| ascii_eq(word, "SIP/")) {
        return Err(Fault::NotSip("the first line does not end with a SIP version"));
    }
    let method: Method = method.parse().map_err(|_| Fault::NotSip("the first word is no method"))?;
    let unreadable = |fault| (Uri::opaque("unreadable", uri), Some(fault));
    let (uri, fault) = if !ascii_eq(version, "SIP/2.0") {
        unreadable(Fault::Version)
    } else if trimmed.len() != rest.len() {
        unreadable(Fault::RequestLine("spaces follow the version"))
    } else {
        match uri.parse() {
            Ok(uri) => (uri, None),
            Err(SyntaxError(reason)) => unreadable(Fault::RequestLine(reason)),
        }
    };
    Ok((Start::Request { method, uri }, fault))
}

/// `SIP/2.0 SP CODE SP PHRASE`. The phrase may be empty, and lax senders leave the space before an empty one out.
fn status_line(line: &str) -> Result<Start, Fault> {
    let (version, rest) = line.split_once(' ').ok_or(Fault::StatusLine("has no status code"))?;
    if !ascii_eq(version, "SIP/2.0") {
        return Err(Fault::Version);
    }
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let status = number(code, 699).filter(|status| code.len() == 3 && *status >= 100);
    let status = status.ok_or(Fault::StatusLine("the status code is no number from 100 to 699"))? as u16;
    Ok(Start::Response { status, reason: reason.to_owned() })
}

/// Cuts the head into header lines.
struct Lines<'a> {
    headers: Headers,
    fault: Option<Found>,
    /// Values in lists of hops and addresses so far.
    values: usize,
    bytes: &'a [u8],
    /// Whether every byte is UTF-8.
    is_exact: bool,
}

impl Lines<'_> {
    /// Reads from `at`, where a line starts, to the end of the head.
    fn read(&mut self, text: &str, mut at: usize) {
        let bytes = text.as_bytes();
        while at < bytes.len() {
            let start = at;
            let mut folded = false;
            // A line that starts with a space goes on with the one before it (RFC 3261 section 7.3.1).
            loop {
                at = line_feed(&bytes[at..]).map_or(bytes.len(), |length| at + length + 1);
                if !matches!(bytes.get(at), Some(b' ' | b'\t')) {
                    break;
                }
                folded = true;
            }
            let end = start + without_line_end(&text[start..at]).len();
            if start == end {
                return;
            }
            if self.headers.len() == HEADERS_MAX || self.values > VALUES_MAX {
                self.note_fault(Fault::TooManyHeaders, start);
                return;
            }
            if let Err(fault) = self.line(text, start..end, folded) {
                self.note_fault(fault, start);
            }
        }
    }

    fn note_fault(&mut self, fault: Fault, at: usize) {
        self.fault.get_or_insert((fault, at));
    }

    fn line(&mut self, text: &str, whole: Range<usize>, folded: bool) -> Result<(), Fault> {
        let line = &text[whole.clone()];
        let colon = find_byte(line, b':').ok_or(Fault::HeaderLine("has no colon"))?;
        let label = line[..colon].trim_end_matches([' ', '\t']);
        if !is_token_text(label) {
            return Err(Fault::HeaderLine("the name is no token"));
        }
        let raw = self.raw(whole.clone());
        let (label, value, whole) = if folded {
            let start = self.headers.text().len();
            let unfolded = unfold(&line[colon + 1..])?;
            self.headers.append(label, &unfolded);
            let value = start + label.len() + 2;
            (start..start + label.len(), value..value + unfolded.len(), start..value + unfolded.len())
        } else {
            let value = trim(&line[colon + 1..]);
            if line.bytes().any(|byte| byte == b'\r') {
                return Err(Fault::HeaderLine("has a carriage return in its middle"));
            }
            // Spaces and tabs alone: what else counts as blank elsewhere is part of the value.
            let blank = line[colon + 1..].bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let value_start = whole.start + colon + 1 + if value.is_empty() { 0 } else { blank };
            (whole.start..whole.start + label.len(), value_start..value_start + value.len(), whole)
        };
        let name = self.headers.note(label, value.clone(), whole, raw);
        if matches!(name, Name::Via | Name::Route | Name::RecordRoute | Name::Contact) {
            self.values += 1 + self.headers.text()[value].bytes().filter(|b| *b == b',').count();
        }
        Ok(())
    }

    /// The line's own bytes where the text cannot show them, folds undone.
    fn raw(&self, line: Range<usize>) -> Option<Box<[u8]>> {
        if self.is_exact || core::str::from_utf8(&self.bytes[line.clone()]).is_ok() {
            return None;
        }
        Some(self.bytes[line].iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }).collect())
    }
}

/// The value of a folded line: each fold, with the spaces around it, is one space.
fn unfold(value: &str) -> Result<String, Fault> {
    let mut out = String::with_capacity(value.len());
    for piece in value.split('\n') {
        let piece = trim(piece);
        if piece.contains('\r') {
            return Err(Fault::HeaderLine("has a carriage return in its middle"));
        }
        if !out.is_empty() && !piece.is_empty() {
            out.push(' ');
        }
        out.push_str(piece);
    }
    Ok(out)
}

/// The number of Content-Length, where it is there; twice is well if both agree (RFC 3261 section 20.14, RFC 4475 section 3.3.9).
fn content_length(headers: &Headers) -> Result<Option<u64>, Fault> {
    let mut length = None;
    for value in headers.all(Name::ContentLength) {
        let this = number(value, u64::MAX).ok_or(Fault::ContentLength("is no number of bytes"))?;
        if length.is_some_and(|before| before != this) {
            return Err(Fault::ContentLength("is there twice with different numbers"));
        }
        length = Some(this);
    }
    if length.is_none() && headers.count(Name::ContentLength) > 0 {
        return Err(Fault::ContentLength("is empty"));
    }
    Ok(length)
}

/// What a message needs to be matched to its transaction and dialog (RFC 3261 sections 8.1.1 and 8.2).
fn sound(headers: &Headers, method: Option<&Method>) -> Result<(), Fault> {
    let within = |header| move |SyntaxError(reason): SyntaxError| Fault::Header { header, reason };
    headers.top_via_ref().map_err(within("Via"))?;
    for (name, header) in [
        (Name::From, "From"),
        (Name::To, "To"),
        (Name::CallId, "Call-ID"),
        (Name::CSeq, "CSeq"),
        (Name::MaxForwards, "Max-Forwards"),
    ] {
        if headers.count(name) > 1 {
            return Err(Fault::Header { header, reason: "is there more than once" });
        }
    }
    headers.sender_ref().map_err(within("From"))?;
    headers.to_ref().map_err(within("To"))?;
    match headers.call_id() {
        None => return Err(Fault::Header { header: "Call-ID", reason: "Call-ID is missing" }),
        Some(id) if id.contains([' ', '\t']) => {
            return Err(Fault::Header { header: "Call-ID", reason: "Call-ID has a space in it" });
        }
        Some(_) => {}
    }
    let (_, cseq_method) = headers.cseq_ref().map_err(within("CSeq"))?;
    if !is_token_text(cseq_method) {
        return Err(Fault::Header { header: "CSeq", reason: "CSeq's method is no token" });
    }
    if let Some(method) = method {
        if cseq_method != method.as_str() {
            return Err(Fault::Header { header: "CSeq", reason: "CSeq's method is not the request's" });
        }
        headers.max_forwards().map_err(within("Max-Forwards"))?;
    }
    Ok(())
}
