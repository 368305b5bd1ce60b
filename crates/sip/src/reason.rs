//! Why a call ends: the Reason header of BYE and CANCEL, RFC 3326.

use crate::headers::text::value_end;
use crate::headers::{Headers, param_in};

/// Most values of one message that are kept.
const VALUES_MAX: usize = 4;

/// The cause in `protocol`, such as `Q.850` or `SIP`, that the value of a Reason header gives; one line may hold several values.
pub fn reason_cause(reason: &str, protocol: &str) -> Option<u16> {
    let mut rest = Some(reason);
    while let Some(text) = rest {
        let end = value_end(text);
        let value = &text[..end];
        let (named, params) = value.split_at(value.find(';').unwrap_or(value.len()));
        if named.trim().eq_ignore_ascii_case(protocol) {
            return param_in(params, "cause")?.parse().ok();
        }
        rest = text.get(end + 1..);
    }
    None
}

/// All that a message says of why, as one value.
pub(crate) fn reason_of(headers: &Headers) -> Option<String> {
    let values: Vec<&str> = headers.values("Reason").take(VALUES_MAX).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_a_protocol_is_found_among_several_values() {
        let both = "SIP ;cause=480 ;text=\"a, b\", q.850;text=\"x;cause=1\";cause=18";
        for (reason, protocol, cause) in [
            ("Q.850;cause=16;text=\"Normal call clearing\"", "Q.850", Some(16)),
            (both, "Q.850", Some(18)),
            (both, "SIP", Some(480)),
            (both, "preemption", None),
            ("Q.850", "Q.850", None),
            ("Q.850;cause=", "Q.850", None),
            ("Q.850;cause=99999", "Q.850", None),
            ("", "Q.850", None),
        ] {
            assert_eq!(reason_cause(reason, protocol), cause, "{reason}");
        }
    }

    #[test]
    fn reasons_of_several_lines_are_one_value() {
        let mut headers = Headers::new();
        assert_eq!(reason_of(&headers), None);
        headers.push("Reason", "SIP;cause=200");
        headers.push("Reason", "Q.850;cause=16");
        assert_eq!(reason_of(&headers).as_deref(), Some("SIP;cause=200, Q.850;cause=16"));
    }
}
