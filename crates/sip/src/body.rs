//! A message body with its type.

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

    /// A session description.
    pub fn sdp(text: impl Into<String>) -> Self {
        Self { content_type: Self::SDP.to_owned(), bytes: text.into().into_bytes() }
    }

    /// Whether this is a session description. Parameters behind the media type are ignored.
    pub fn is_sdp(&self) -> bool {
        let media_type = self.content_type.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case(Self::SDP)
    }
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
}
