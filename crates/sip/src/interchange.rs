//! To and from the message types of the `rsip` crate, for programs that speak them.
//!
//! rsip 0.4 cannot hold every message, so the way there may fail; nothing is converted into something else silently, but for what its
//! types have no place for: the phrase of a known status code, the letter case of a transport, bytes in headers that are no UTF-8. Going there, compact names are
//! written out, each hop and address gets a line of its own, and Content-Length is made to agree with the body, because rsip reads no
//! other form and computes no length. Both ways no text is parsed by rsip: its reader has faults that ours has not (the tests name them).

use rsip::headers::untyped::{self as rs, UntypedHeader};

use crate::headers::text::is_token_text;
use crate::headers::{Headers, SyntaxError};
use crate::message::{Message, Method, Request, Response, reason_phrase};
use crate::uri::{Scheme, Uri, host_ip, host_text};

/// Why a message cannot be converted. The embedding program has to do without, or use our own types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InterchangeError {
    /// rsip knows fourteen methods and no others.
    #[error("rsip has no method {0}")]
    Method(String),
    /// rsip's URIs are `sip:` and `sips:` without headers; from there: the URI is malformed.
    #[error("the URI cannot be converted: {0}")]
    Uri(&'static str),
    /// A header's name is no token.
    #[error("{0:?} is no name of a header")]
    Header(String),
    /// A version other than 2.0.
    #[error("a SIP version other than 2.0")]
    Version,
    /// A status code outside of 100 to 699.
    #[error("{0} is no status code")]
    Status(u16),
}

impl TryFrom<&Method> for rsip::Method {
    type Error = InterchangeError;

    fn try_from(method: &Method) -> Result<Self, InterchangeError> {
        Ok(match method {
            Method::Invite => Self::Invite,
            Method::Ack => Self::Ack,
            Method::Bye => Self::Bye,
            Method::Cancel => Self::Cancel,
            Method::Options => Self::Options,
            Method::Register => Self::Register,
            Method::Info => Self::Info,
            Method::Update => Self::Update,
            Method::Prack => Self::PRack,
            Method::Refer => Self::Refer,
            Method::Notify => Self::Notify,
            Method::Subscribe => Self::Subscribe,
            Method::Message => Self::Message,
            Method::Publish => Self::Publish,
            Method::Other(name) => return Err(InterchangeError::Method(name.to_string())),
        })
    }
}

impl From<rsip::Method> for Method {
    fn from(method: rsip::Method) -> Self {
        match method {
            rsip::Method::Invite => Self::Invite,
            rsip::Method::Ack => Self::Ack,
            rsip::Method::Bye => Self::Bye,
            rsip::Method::Cancel => Self::Cancel,
            rsip::Method::Options => Self::Options,
            rsip::Method::Register => Self::Register,
            rsip::Method::Info => Self::Info,
            rsip::Method::Update => Self::Update,
            rsip::Method::PRack => Self::Prack,
            rsip::Method::Refer => Self::Refer,
            rsip::Method::Notify => Self::Notify,
            rsip::Method::Subscribe => Self::Subscribe,
            rsip::Method::Message => Self::Message,
            rsip::Method::Publish => Self::Publish,
        }
    }
}

impl TryFrom<&Uri> for rsip::Uri {
    type Error = InterchangeError;

    fn try_from(uri: &Uri) -> Result<Self, InterchangeError> {
        let scheme = match uri.scheme {
            Scheme::Sip => rsip::Scheme::Sip,
            Scheme::Sips => rsip::Scheme::Sips,
            Scheme::Tel | Scheme::Other(_) => {
                return Err(InterchangeError::Uri("rsip prints `://` after other schemes"));
            }
        };
        if !uri.headers.is_empty() {
            return Err(InterchangeError::Uri("rsip has no place for headers"));
        }
        let host = match host_ip(&uri.host) {
            Some(address) => rsip::Host::IpAddr(address),
            None => rsip::Host::Domain(uri.host.clone().into()),
        };
        let auth = uri.user.clone().map(|user| rsip::Auth { user, password: uri.password.clone() });
        let param = |(name, value): (&str, Option<&str>)| {
            // What rsip does not know as a transport or method is carried as any other parameter.
            rsip::Param::try_from((name, value))
                .unwrap_or_else(|_| rsip::Param::Other(name.into(), value.map(Into::into)))
        };
        Ok(Self {
            scheme: Some(scheme),
            auth,
            host_with_port: rsip::HostWithPort { host, port: uri.port.map(Into::into) },
            params: uri.params.iter().map(param).collect(),
            headers: Vec::new(),
        })
    }
}

impl TryFrom<&rsip::Uri> for Uri {
    type Error = InterchangeError;

    fn try_from(uri: &rsip::Uri) -> Result<Self, InterchangeError> {
        let scheme = match &uri.scheme {
            None | Some(rsip::Scheme::Sip) => "sip",
            Some(rsip::Scheme::Sips) => "sips",
            Some(rsip::Scheme::Other(name)) => name,
        };
        let mut text = format!("{scheme}:");
        if let Some(rsip::Auth { user, password }) = &uri.auth {
            text.push_str(user);
            if let Some(password) = password {
                text.push(':');
                text.push_str(password);
            }
            text.push('@');
        }
        match &uri.host_with_port.host {
            rsip::Host::IpAddr(address) => text.push_str(&host_text(*address)),
            rsip::Host::Domain(name) => text.push_str(&name.to_string()),
        }
        if let Some(port) = &uri.host_with_port.port {
            text.push(':');
            text.push_str(&port.to_string());
        }
        uri.params.iter().for_each(|param| text.push_str(&param.to_string()));
        text.parse().map_err(|SyntaxError(reason)| InterchangeError::Uri(reason))
    }
}

impl TryFrom<&Request> for rsip::Request {
    type Error = InterchangeError;

    fn try_from(request: &Request) -> Result<Self, InterchangeError> {
        let Request { method, uri, headers, body } = request;
        Ok(Self {
            method: method.try_into()?,
            uri: uri.try_into()?,
            version: rsip::Version::V2,
            headers: to_headers(headers, body.len()),
            body: body.clone(),
        })
    }
}

impl TryFrom<&rsip::Request> for Request {
    type Error = InterchangeError;

    fn try_from(request: &rsip::Request) -> Result<Self, InterchangeError> {
        let rsip::Request { method, uri, version, headers, body } = request;
        check_version(version)?;
        Ok(Self { method: (*method).into(), uri: uri.try_into()?, headers: from_headers(headers)?, body: body.clone() })
    }
}

impl From<&Response> for rsip::Response {
    fn from(response: &Response) -> Self {
        let Response { status, reason, headers, body } = response;
        let status_code = match rsip::StatusCode::from(*status) {
            rsip::StatusCode::Other(code, _) => rsip::StatusCode::Other(code, reason.clone()),
            known => known,
        };
        Self { status_code, version: rsip::Version::V2, headers: to_headers(headers, body.len()), body: body.clone() }
    }
}

impl TryFrom<&rsip::Response> for Response {
    type Error = InterchangeError;

    fn try_from(response: &rsip::Response) -> Result<Self, InterchangeError> {
        let rsip::Response { status_code, version, headers, body } = response;
        check_version(version)?;
        let status = status_code.code();
        if !(100..700).contains(&status) {
            return Err(InterchangeError::Status(status));
        }
        let reason = match status_code {
            rsip::StatusCode::Other(_, reason) => reason.clone(),
            _ => reason_phrase(status).to_owned(),
        };
        Ok(Self { status, reason, headers: from_headers(headers)?, body: body.clone() })
    }
}

impl TryFrom<&Message> for rsip::SipMessage {
    type Error = InterchangeError;

    fn try_from(message: &Message) -> Result<Self, InterchangeError> {
        match message {
            Message::Request(request) => Ok(Self::Request(request.try_into()?)),
            Message::Response(response) => Ok(Self::Response(response.into())),
        }
    }
}

impl TryFrom<&rsip::SipMessage> for Message {
    type Error = InterchangeError;

    fn try_from(message: &rsip::SipMessage) -> Result<Self, InterchangeError> {
        match message {
            rsip::SipMessage::Request(request) => Ok(Self::Request(request.try_into()?)),
            rsip::SipMessage::Response(response) => Ok(Self::Response(response.try_into()?)),
        }
    }
}

fn check_version(version: &rsip::Version) -> Result<(), InterchangeError> {
    match version {
        rsip::Version::V2 => Ok(()),
        rsip::Version::V1 => Err(InterchangeError::Version),
    }
}

/// Headers whose values rsip reads only one to a line.
const ONE_TO_A_LINE: [&str; 6] =
    ["Via", "Contact", "Route", "Record-Route", "P-Asserted-Identity", "P-Preferred-Identity"];

fn to_headers(headers: &Headers, body_len: usize) -> rsip::Headers {
    let mut out = Vec::with_capacity(headers.len() + 1);
    for (name, value) in headers.iter() {
        let name = Headers::full_name(name);
        if name.eq_ignore_ascii_case("Content-Length") {
            continue;
        }
        if ONE_TO_A_LINE.iter().any(|one| one.eq_ignore_ascii_case(name)) {
            let mut line = Headers::new();
            line.push(name, value);
            out.extend(line.values(name).map(|value| to_header(name, value)));
        } else {
            out.push(to_header(name, value));
        }
    }
    out.push(rs::ContentLength::from(body_len as u32).into());
    out.into()
}

macro_rules! header_table {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        fn to_header(name: &str, value: &str) -> rsip::Header {
            $(if name.eq_ignore_ascii_case($name) {
                return rsip::Header::$variant(rs::$variant::new(value));
            })+
            rsip::Header::Other(name.to_owned(), value.to_owned())
        }

        fn name_and_value(header: &rsip::Header) -> (&str, &str) {
            match header {
                $(rsip::Header::$variant(inner) => ($name, inner.value()),)+
                rsip::Header::Other(name, value) => (name, value),
            }
        }
    };
}

header_table! {
    Accept = "Accept", AcceptEncoding = "Accept-Encoding", AcceptLanguage = "Accept-Language", AlertInfo = "Alert-Info",
    Allow = "Allow", AuthenticationInfo = "Authentication-Info", Authorization = "Authorization", CSeq = "CSeq",
    CallId = "Call-ID", CallInfo = "Call-Info", Contact = "Contact", ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding", ContentLanguage = "Content-Language", ContentLength = "Content-Length",
    ContentType = "Content-Type", Date = "Date", ErrorInfo = "Error-Info", Event = "Event", Expires = "Expires",
    From = "From", InReplyTo = "In-Reply-To", MaxForwards = "Max-Forwards", MimeVersion = "MIME-Version",
    MinExpires = "Min-Expires", Organization = "Organization", Priority = "Priority",
    ProxyAuthenticate = "Proxy-Authenticate", ProxyAuthorization = "Proxy-Authorization", ProxyRequire = "Proxy-Require",
    RecordRoute = "Record-Route", ReplyTo = "Reply-To", Require = "Require", RetryAfter = "Retry-After", Route = "Route",
    Server = "Server", Subject = "Subject", SubscriptionState = "Subscription-State", Supported = "Supported",
    Timestamp = "Timestamp", To = "To", Unsupported = "Unsupported", UserAgent = "User-Agent", Via = "Via",
    Warning = "Warning", WwwAuthenticate = "WWW-Authenticate",
}

fn from_headers(headers: &rsip::Headers) -> Result<Headers, InterchangeError> {
    let mut out = Headers::new();
    for header in headers.iter() {
        let (name, value) = name_and_value(header);
        if !is_token_text(name) {
            return Err(InterchangeError::Header(name.to_owned()));
        }
        out.push(name, value);
    }
    Ok(out)
}
