//! Header names that the code asks for, with their compact forms (RFC 3261 section 7.3.3).

use super::text::ascii_eq;

macro_rules! names {
    ($($variant:ident = $text:literal $(| $compact:literal)? $(, $list:ident)? ;)+) => {
        /// A header that is known by name; all others are compared as text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Name { $($variant,)+ Unknown }

        impl Name {
            const ALL: &[(Name, &'static str)] = &[$((Name::$variant, $text),)+];

            /// The name in any letter case or its compact form.
            pub(crate) fn of(text: &str) -> Self {
                if let [byte] = text.as_bytes() {
                    return match byte.to_ascii_lowercase() {
                        $($($compact => Self::$variant,)?)+
                        _ => Self::Unknown,
                    };
                }
                let Some(candidates) = BY_LENGTH.get(text.len()) else { return Self::Unknown };
                let candidates = &Self::ALL[usize::from(candidates.0)..usize::from(candidates.1)];
                // Nearly everybody writes names as the RFCs do.
                let found = candidates.iter().find(|(_, known)| *known == text);
                let found = found.or_else(|| candidates.iter().find(|(_, known)| ascii_eq(known, text)));
                found.map_or(Self::Unknown, |(name, _)| *name)
            }

            /// The name in full, where it is known.
            pub(crate) fn as_str(self) -> Option<&'static str> {
                Self::ALL.iter().find(|(name, _)| *name == self).map(|(_, text)| *text)
            }

            /// Whether several values may stand in one line, apart by commas (RFC 3261 section 7.3.1 and the headers' own RFCs).
            pub(crate) const fn is_list(self) -> bool {
                match self {
                    $(Self::$variant => false $(|| { let $list = true; $list })?,)+
                    Self::Unknown => false,
                }
            }
        }
    };
}

// Sorted by length, so that a name is compared with those of its own length alone.
names! {
    To = "To" | b't';
    Via = "Via" | b'v', list;
    From = "From" | b'f';
    Date = "Date";
    CSeq = "CSeq";
    Path = "Path", list;
    RSeq = "RSeq";
    RAck = "RAck";
    Allow = "Allow", list;
    Event = "Event" | b'o';
    Route = "Route", list;
    Accept = "Accept", list;
    Reason = "Reason", list;
    Server = "Server";
    CallId = "Call-ID" | b'i';
    Contact = "Contact" | b'm', list;
    Expires = "Expires";
    Require = "Require", list;
    Subject = "Subject" | b's';
    Warning = "Warning", list;
    ReferTo = "Refer-To" | b'r';
    Priority = "Priority";
    Replaces = "Replaces";
    CallInfo = "Call-Info", list;
    Diversion = "Diversion", list;
    Supported = "Supported" | b'k', list;
    Timestamp = "Timestamp";
    AlertInfo = "Alert-Info", list;
    ErrorInfo = "Error-Info", list;
    UserAgent = "User-Agent";
    ReferredBy = "Referred-By" | b'b';
    RetryAfter = "Retry-After";
    InReplyTo = "In-Reply-To", list;
    MinExpires = "Min-Expires";
    Unsupported = "Unsupported", list;
    AllowEvents = "Allow-Events" | b'u', list;
    ContentType = "Content-Type" | b'c';
    HistoryInfo = "History-Info", list;
    MaxForwards = "Max-Forwards";
    RecordRoute = "Record-Route", list;
    ServiceRoute = "Service-Route", list;
    ProxyRequire = "Proxy-Require", list;
    Authorization = "Authorization";
    ContentLength = "Content-Length" | b'l';
    SessionExpires = "Session-Expires" | b'x';
    AcceptEncoding = "Accept-Encoding", list;
    AcceptLanguage = "Accept-Language", list;
    ContentEncoding = "Content-Encoding" | b'e', list;
    ContentLanguage = "Content-Language", list;
    WwwAuthenticate = "WWW-Authenticate";
    ProxyAuthenticate = "Proxy-Authenticate";
    AssertedIdentity = "P-Asserted-Identity", list;
    ProxyAuthorization = "Proxy-Authorization";
    PreferredIdentity = "P-Preferred-Identity", list;
}

/// For each length, where the names of that length stand in the list.
static BY_LENGTH: [(u8, u8); 24] = by_length();

const fn by_length() -> [(u8, u8); 24] {
    let mut table = [(0, 0); 24];
    let mut at = 0;
    while at < Name::ALL.len() {
        let length = Name::ALL[at].1.len();
        assert!(at == 0 || Name::ALL[at - 1].1.len() <= length, "names are sorted by length");
        if table[length].1 == 0 {
            table[length].0 = at as u8;
        }
        at += 1;
        table[length].1 = at as u8;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for (name, text) in Name::ALL {
            assert_eq!(Name::of(text), *name);
            assert_eq!(Name::of(&text.to_ascii_uppercase()), *name);
        }
        assert_eq!(Name::of("X-Unknown"), Name::Unknown);
        assert_eq!(Name::of("A-Name-Longer-Than-Any-Known-One"), Name::Unknown);
        assert_eq!(Name::of(""), Name::Unknown);
    }

    #[test]
    fn compact_forms_name_the_same_headers() {
        for (compact, name) in [
            ("i", Name::CallId),
            ("M", Name::Contact),
            ("e", Name::ContentEncoding),
            ("l", Name::ContentLength),
            ("c", Name::ContentType),
            ("f", Name::From),
            ("s", Name::Subject),
            ("K", Name::Supported),
            ("t", Name::To),
            ("v", Name::Via),
            ("o", Name::Event),
            ("u", Name::AllowEvents),
            ("r", Name::ReferTo),
            ("b", Name::ReferredBy),
            ("x", Name::SessionExpires),
        ] {
            assert_eq!(Name::of(compact), name);
        }
        assert_eq!(Name::of("z"), Name::Unknown);
    }
}
