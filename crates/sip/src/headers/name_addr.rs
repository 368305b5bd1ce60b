//! Addresses with a display name and parameters: From, To, Contact, Route (RFC 3261 sections 20.10 and 25.1).

use core::fmt;
use core::str::FromStr;

use super::params::{param_in, params_are_sound};
use super::text::{find_byte, find_outside_quotes, is_token, push_quoted, quoted_end, strip_quotes, trim, unescape};
use super::{Params, SyntaxError};
use crate::uri::{Uri, UriRef};

/// `"Display Name" <sip:user@host>;tag=x`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name with quotes and escapes undone; `None` where there is none or an empty one.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
    /// Parameters of the header, such as the tag; those of the URI stand in the URI.
    pub params: Params,
}

impl NameAddr {
    /// Just the address.
    pub const fn new(uri: Uri) -> Self {
        Self { display: None, uri, params: Params::new() }
    }

    /// With a display name; an empty one is none.
    #[must_use]
    pub fn with_display(mut self, display: &str) -> Self {
        self.display = (!display.is_empty()).then(|| display.to_owned());
        self
    }

    /// With a tag.
    #[must_use]
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.set_tag(tag);
        self
    }

    /// The dialog's tag (RFC 3261 section 19.3).
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// Adds or replaces the tag.
    pub fn set_tag(&mut self, tag: &str) {
        self.params.set("tag", tag);
    }

    /// The value of a header parameter, empty for a flag.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            let mut quoted = String::with_capacity(display.len() + 3);
            push_quoted(&mut quoted, display);
            quoted.push(' ');
            f.write_str(&quoted)?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

impl FromStr for NameAddr {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Ok(NameAddrRef::parse(text)?.to_name_addr())
    }
}

/// An address taken apart in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NameAddrRef<'a> {
    display: &'a str,
    uri: UriRef<'a>,
    params: &'a str,
}

impl<'a> NameAddrRef<'a> {
    /// The whole of `text` is one address.
    pub(crate) fn parse(text: &'a str) -> Result<Self, SyntaxError> {
        let (display, uri, params) = Self::split(text)?;
        if !params_are_sound(params) {
            return Err(SyntaxError("the address's parameters are malformed"));
        }
        Ok(Self { display, uri: UriRef::parse(uri)?, params })
    }

    /// The tag parameter of an address that has been read before: nothing else of it is looked into.
    pub(crate) fn tag_in(text: &'a str) -> Option<&'a str> {
        let (_, _, params) = Self::split(text).ok()?;
        param_in(params, "tag").filter(|tag| !tag.is_empty())
    }

    /// Display name, URI and parameters, as they stand.
    fn split(text: &'a str) -> Result<(&'a str, &'a str, &'a str), SyntaxError> {
        let text = trim(text);
        let (display, rest) = if text.starts_with('"') {
            let end = quoted_end(text).ok_or(SyntaxError("the display name's quote is never closed"))?;
            let rest = trim(&text[end..]);
            if !rest.starts_with('<') {
                return Err(SyntaxError("a display name is followed by an address in angle brackets"));
            }
            (&text[..end], rest)
        } else {
            match find_outside_quotes(text, b'<') {
                Some(at) if is_bare_display(trim(&text[..at])) => (trim(&text[..at]), &text[at..]),
                Some(_) => return Err(SyntaxError("a display name that is no row of tokens needs quotes")),
                None => ("", text),
            }
        };
        Ok(if let Some(inside) = rest.strip_prefix('<') {
            let end = find_byte(inside, b'>').ok_or(SyntaxError("the angle bracket is never closed"))?;
            (display, &inside[..end], trim(&inside[end + 1..]))
        } else {
            // Without brackets every parameter is the header's (RFC 3261 section 20).
            let (uri, params) = rest.split_at(find_byte(rest, b';').unwrap_or(rest.len()));
            if uri.contains([',', '?']) {
                return Err(SyntaxError("an address with a comma or a question mark needs angle brackets"));
            }
            (display, trim(uri), params)
        })
    }

    pub(crate) fn to_name_addr(self) -> NameAddr {
        let display = unescape(strip_quotes(self.display));
        NameAddr {
            display: (!display.is_empty()).then(|| display.into_owned()),
            uri: self.uri.to_uri(),
            params: Params::from_raw(self.params),
        }
    }
}

/// Tokens and spaces; letters beyond ASCII too, which phones send without quotes.
fn is_bare_display(text: &str) -> bool {
    text.bytes().all(|b| is_token(b) || b == b' ' || b == b'\t' || b >= 0x80)
}
