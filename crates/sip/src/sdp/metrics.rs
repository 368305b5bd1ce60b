//! Who wants to be told how speech sounds at the far end: VoIP metrics in extended reports, RFC 3611 section 5.

use super::lines::{Lines, Media, Session};

/// The attribute, of a stream or of all (section 5.1).
const ATTRIBUTE: &str = "rtcp-xr";
/// The one kind of block that we know.
const VOIP_METRICS: &str = "voip-metrics";

/// Whether the one who wrote `media` asks for VoIP metrics.
pub(super) fn asks(session: &Session<'_>, media: &Media<'_>) -> bool {
    let mut kinds = media.values(ATTRIBUTE).chain(session.values(ATTRIBUTE)).flat_map(str::split_ascii_whitespace);
    kinds.any(|kind| kind.eq_ignore_ascii_case(VOIP_METRICS))
}

/// Asks for them.
pub(super) fn ask(text: &mut Lines) {
    text.attribute(ATTRIBUTE, VOIP_METRICS);
}

#[cfg(test)]
mod tests {
    use offhook_plan::{Direction, MediaCaps};

    use crate::sdp::{Local, Srtp, accept, answer, offer};

    fn local() -> Local {
        let address = "192.0.2.1".parse().unwrap();
        Local { address, port: 4_000, session_id: 1, version: 1, srtp: Srtp::OFF }
    }

    const ASKS: &str = "a=rtcp-xr:voip-metrics\r\n";

    fn caps(asks: bool) -> MediaCaps {
        MediaCaps { voip_metrics: asks, ..MediaCaps::g711() }
    }

    /// Whether an offer with `line` at the session or the stream is answered with the wish, and agreed on.
    fn check(session: &str, stream: &str, expected: bool) {
        let text = offer(&local(), &caps(false), Direction::SendRecv);
        let begin = text.find("m=audio").unwrap();
        let offered = format!("{}{session}{}{stream}", &text[..begin], &text[begin..]);
        let (answer, agreed) = answer(offered.as_bytes(), &local(), &caps(false), Direction::SendRecv).unwrap();
        assert_eq!((answer.contains(ASKS), agreed.voip_metrics), (expected, expected), "{session}{stream}");
    }

    #[test]
    fn voip_metrics_are_asked_for_in_an_answer_where_the_offer_does_so_and_in_no_other() {
        check("", ASKS, true);
        check(ASKS, "", true);
        check("", "a=rtcp-xr:pkt-loss-rle=50 VoIP-Metrics rcvr-rtt=all:100\r\n", true);
        check("", "a=rtcp-xr:pkt-loss-rle stat-summary=loss\r\n", false);
        check("", "a=rtcp-xr\r\n", false);
        check("", "", false);
    }

    #[test]
    fn our_offers_ask_where_that_is_wanted_and_the_answer_decides() {
        let plain = offer(&local(), &caps(false), Direction::SendRecv);
        let asking = offer(&local(), &caps(true), Direction::SendRecv);
        assert_eq!((plain.contains(ASKS), asking.contains(ASKS)), (false, true));
        let agreed = |answer: &str| accept(&asking, answer.as_bytes(), &caps(true)).unwrap().voip_metrics;
        assert_eq!((agreed(&plain), agreed(&asking)), (false, true));
    }
}
