//! `Replaces`: the dialog whose place a new call takes (RFC 3891).

use core::fmt;
use core::str::FromStr;

use crate::headers::{Params, SyntaxError};
use crate::{Headers, Uri};

/// The dialog that is to be replaced, as its far end knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaces {
    /// Its `Call-ID`.
    pub call_id: String,
    /// The tag of whoever receives this header.
    pub to_tag: String,
    /// The tag of the other end.
    pub from_tag: String,
    /// Only while the dialog is early.
    pub early_only: bool,
}

impl Replaces {
    /// What an INVITE wants to replace; none where it wants nothing.
    ///
    /// # Errors
    /// Where the header cannot be read or stands there twice (RFC 3891 section 3): such a request gets 400.
    pub fn of(headers: &Headers) -> Option<Result<Self, SyntaxError>> {
        let mut found = headers.get_all("Replaces");
        let first = found.next()?;
        let twice = SyntaxError("an INVITE replaces one dialog");
        Some(if found.next().is_some() { Err(twice) } else { first.parse() })
    }

    /// What the INVITE to this `Refer-To` address would replace: an attended transfer (RFC 5589 section 7).
    ///
    /// # Errors
    /// Where the address has such a header and it cannot be read.
    pub fn in_uri(uri: &Uri) -> Option<Result<Self, SyntaxError>> {
        Some(uri.header("Replaces")?.parse())
    }
}

impl FromStr for Replaces {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let (call_id, params) = text.split_at(text.find(';').unwrap_or(text.len()));
        let params = Params::from_raw(params);
        let tag = |name| params.get(name).filter(|tag| !tag.is_empty()).map(str::to_owned);
        match (call_id.trim(), tag("to-tag"), tag("from-tag")) {
            ("", ..) => Err(SyntaxError("Replaces has no Call-ID")),
            (call_id, Some(to_tag), Some(from_tag)) => {
                let early_only = params.contains("early-only");
                Ok(Self { call_id: call_id.to_owned(), to_tag, from_tag, early_only })
            }
            (_, None, _) | (_, _, None) => Err(SyntaxError("Replaces needs to-tag and from-tag")),
        }
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call_id, to_tag, from_tag, early_only } = self;
        write!(f, "{call_id};to-tag={to_tag};from-tag={from_tag}{}", if *early_only { ";early-only" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_to_be_replaced_is_read_and_written() {
        for (text, expected) in [
            ("a@b;to-tag=1;from-tag=2", Some(("a@b", "1", "2", false))),
            ("x ; From-Tag=2;TO-TAG=1;early-only", Some(("x", "1", "2", true))),
            ("a@b;to-tag=1", None),
            ("a@b;to-tag=;from-tag=2", None),
            (";to-tag=1;from-tag=2", None),
            ("", None),
        ] {
            let read = text.parse::<Replaces>().ok();
            let parts =
                read.as_ref().map(|r| (r.call_id.as_str(), r.to_tag.as_str(), r.from_tag.as_str(), r.early_only));
            assert_eq!(parts, expected, "{text}");
            if let Some(read) = read {
                assert_eq!(read.to_string().parse(), Ok(read));
            }
        }
    }

    #[test]
    fn it_travels_escaped_in_the_address_of_a_refer() {
        let replaces: Replaces = "12@host;to-tag=a;from-tag=b".parse().expect("a dialog");
        let uri: Uri = "sip:bob@192.0.2.7:5070".parse().expect("a URI");
        let uri = uri.with_header("Replaces", &replaces.to_string());
        assert_eq!(uri.to_string(), "sip:bob@192.0.2.7:5070?Replaces=12%40host%3Bto-tag%3Da%3Bfrom-tag%3Db");
        assert_eq!(Replaces::in_uri(&uri), Some(Ok(replaces)));
        let twice: Uri = "sip:bob@host?Subject=x&replaces=bad".parse().expect("a URI");
        assert!(Replaces::in_uri(&twice).is_some_and(|read| read.is_err()));
    }
}
