//! SIP messages: requests and responses, read from bytes and printed to bytes (RFC 3261 section 7).
//!
//! Reading checks what every receiver needs to be sound - start line, Via, From, To, Call-ID, CSeq, Content-Length - and leaves
//! the rest to the accessors of [`Headers`]. Printing gives what was read, byte for byte but for folds and a missing or wrong
//! Content-Length.

mod fault;
mod lines;
mod method;
mod parse;
mod status;
mod stream;

pub use fault::{Fault, ParseError};
pub use lines::head_lines;
pub use method::Method;
pub use parse::frame_len;
pub use status::reason_phrase;
pub use stream::{Frame, Framer};

use crate::headers::{Headers, Name, push_number};
use crate::uri::Uri;

/// Largest message: what a datagram can carry, and a bound for streams.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Most header lines in one message.
pub const HEADERS_MAX: usize = 256;
/// Most hops, addresses and other values in one message's Via, Route, Record-Route and Contact lines together.
pub const VALUES_MAX: usize = 512;

const _: () = assert!(HEADERS_MAX <= VALUES_MAX, "every line may hold a value");

/// A request or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Asks.
    Request(Request),
    /// Answers.
    Response(Response),
}

impl Message {
    /// Reads one datagram. Empty lines before the message are skipped; bytes after the body that Content-Length tells are
    /// dropped (RFC 3261 section 18.3); without Content-Length the body goes to the datagram's end.
    ///
    /// # Errors
    /// The peer broke the grammar: the error tells where and, where enough could be read, holds the request to answer.
    pub fn parse(datagram: &[u8]) -> Result<Self, ParseError> {
        parse::parse(datagram)
    }

    /// Appends the message as it goes on the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Request(request) => request.write(out),
            Self::Response(response) => response.write(out),
        }
    }

    /// Its headers.
    pub const fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    /// Its headers, to change.
    pub const fn headers_mut(&mut self) -> &mut Headers {
        match self {
            Self::Request(request) => &mut request.headers,
            Self::Response(response) => &mut response.headers,
        }
    }

    /// Its body, which may be empty.
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Request(request) => &request.body,
            Self::Response(response) => &response.body,
        }
    }
}

/// A request (RFC 3261 section 7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// Whom it is asked.
    pub uri: Uri,
    /// The headers; Content-Length is seen to by [`Request::write`].
    pub headers: Headers,
    /// The body, which may be empty and need not be text.
    pub body: Vec<u8>,
}

impl Request {
    /// Without headers and body.
    pub const fn new(method: Method, uri: Uri) -> Self {
        Self { method, uri, headers: Headers::new(), body: Vec::new() }
    }

    /// Appends the request as it goes on the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut uri = String::new();
        self.uri.push_to(&mut uri);
        out.reserve(self.headers.text().len() + self.body.len() + uri.len() + 64);
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(uri.as_bytes());
        out.extend_from_slice(b" SIP/2.0\r\n");
        self.headers.write(out, self.body.len());
        out.extend_from_slice(&self.body);
    }

    /// As it goes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Puts a body of this type in place of any other.
    pub fn set_body(&mut self, content_type: &str, bytes: Vec<u8>) {
        self.headers.set("Content-Type", content_type);
        self.body = bytes;
    }
}

/// A response (RFC 3261 section 7.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 100 to 699.
    pub status: u16,
    /// The phrase for people, as it was sent; it may be empty.
    pub reason: String,
    /// The headers; Content-Length is seen to by [`Response::write`].
    pub headers: Headers,
    /// The body, which may be empty and need not be text.
    pub body: Vec<u8>,
}

impl Response {
    /// With the standard phrase, without headers and body.
    pub fn new(status: u16) -> Self {
        Self { status, reason: reason_phrase(status).to_owned(), headers: Headers::new(), body: Vec::new() }
    }

    /// The answer to a request: all Vias, From, To, Call-ID and CSeq are copied byte for byte, and Record-Route and Timestamp
    /// where RFC 3261 sections 8.2.6.1 and 12.1.1 say so. The To tag is the caller's to add.
    pub fn to_request(request: &Request, status: u16) -> Self {
        let mut response = Self::new(status);
        let headers = &mut response.headers;
        *headers = Headers::over(String::with_capacity(640));
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            headers.copy_from(&request.headers, name);
        }
        if status == 100 {
            headers.copy_from(&request.headers, "Timestamp");
        }
        if request.headers.first(Name::RecordRoute).is_some() && (101..300).contains(&status) {
            headers.copy_from(&request.headers, "Record-Route");
        }
        response
    }

    /// Appends the response as it goes on the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.headers.text().len() + self.body.len() + 64);
        out.extend_from_slice(b"SIP/2.0 ");
        push_number(out, usize::from(self.status));
        out.push(b' ');
        // A line break in the phrase would start a header.
        out.extend(self.reason.bytes().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }));
        out.extend_from_slice(b"\r\n");
        self.headers.write(out, self.body.len());
        out.extend_from_slice(&self.body);
    }

    /// As it goes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Puts a body of this type in place of any other.
    pub fn set_body(&mut self, content_type: &str, bytes: Vec<u8>) {
        self.headers.set("Content-Type", content_type);
        self.body = bytes;
    }
}
