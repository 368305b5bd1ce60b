//! Methods: what a request asks for.

use core::fmt;
use core::str::FromStr;

use crate::headers::SyntaxError;
use crate::headers::text::is_token_text;

macro_rules! methods {
    ($($variant:ident = $text:literal, $doc:literal;)+) => {
        /// A request's method. Letter case matters (RFC 3261 section 7.1): `invite` is an unknown method.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Method {
            $(#[doc = $doc] $variant,)+
            /// Any other, as it was written.
            Other(Box<str>),
        }

        impl Method {
            /// All known ones.
            pub const KNOWN: &[Self] = &[$(Self::$variant),+];

            /// As on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(name) => name,
                }
            }
        }

        impl FromStr for Method {
            type Err = SyntaxError;

            fn from_str(text: &str) -> Result<Self, SyntaxError> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other if is_token_text(other) => Ok(Self::Other(other.into())),
                    _ => Err(SyntaxError("the method is no token")),
                }
            }
        }
    };
}

methods! {
    Invite = "INVITE", "Starts or changes a session (RFC 3261 section 13).";
    Ack = "ACK", "Confirms the final response to INVITE; never answered.";
    Bye = "BYE", "Ends a session (RFC 3261 section 15).";
    Cancel = "CANCEL", "Gives a pending INVITE up (RFC 3261 section 9).";
    Options = "OPTIONS", "Asks for capabilities (RFC 3261 section 11).";
    Register = "REGISTER", "Binds a contact to an address of record (RFC 3261 section 10).";
    Info = "INFO", "Carries application data in a dialog (RFC 6086).";
    Update = "UPDATE", "Changes a session before or after its answer (RFC 3311).";
    Prack = "PRACK", "Confirms a reliable provisional response (RFC 3262).";
    Refer = "REFER", "Asks to call somebody else (RFC 3515).";
    Notify = "NOTIFY", "Tells a subscriber (RFC 6665).";
    Subscribe = "SUBSCRIBE", "Asks to be told (RFC 6665).";
    Message = "MESSAGE", "Carries a text (RFC 3428).";
    Publish = "PUBLISH", "Publishes state (RFC 3903).";
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
