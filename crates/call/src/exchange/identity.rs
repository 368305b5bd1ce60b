//! Who calls, as far as the other side may know: identities that trunks assert, and callers who stay unnamed.

use std::borrow::Cow;

use offhook_sip::{Headers, NameAddr, Uri};

use super::state::Presented;

/// Who is shown where nobody may know (RFC 3323 section 4.1.1.3).
pub(super) const ANONYMOUS: &str = "anonymous";
pub(super) const ANONYMOUS_HOST: &str = "anonymous.invalid";

/// Who calls over a trunk. One that is `trusted` may assert it by P-Asserted-Identity (RFC 3325) or, as older gateways do, by
/// Remote-Party-ID; another one is taken by its From. Whoever asks not to be named is not.
pub(super) fn presented(headers: &Headers, trusted: bool) -> Presented {
    let remote = || headers.get("Remote-Party-ID").filter(|_| trusted)?.parse::<NameAddr>().ok();
    let remote_is_private = || {
        let party = remote();
        let privacy = party.as_ref().and_then(|party| party.params.get("privacy"));
        privacy.is_some_and(|privacy| !privacy.eq_ignore_ascii_case("off"))
    };
    if asks_for_privacy(headers) || remote_is_private() {
        return anonymous();
    }
    let asserted = trusted.then(|| headers.asserted_identities().ok()?.into_iter().next()).flatten();
    let identity = asserted.or_else(remote).or_else(|| headers.from().ok());
    identity.map_or_else(anonymous, |identity| {
        let user = identity.uri.user_decoded().filter(|user| !user.is_empty());
        let user = user.map_or_else(|| ANONYMOUS.to_owned(), Cow::into_owned);
        Presented { display: identity.display, user }
    })
}

/// What an INVITE to a trunk says of a caller who is not to be named (RFC 3323, RFC 3325 section 9.1): a From that tells nothing,
/// and for a trunk that may know, who it is.
pub(super) fn hidden(caller: &NameAddr, trusted: bool) -> (NameAddr, Vec<(String, String)>) {
    let from = NameAddr {
        display: Some("Anonymous".to_owned()),
        uri: Uri::sip(Some(ANONYMOUS), ANONYMOUS_HOST, None),
        params: offhook_sip::Params::default(),
    };
    let asserted = trusted.then(|| ("P-Asserted-Identity".to_owned(), format!("<{}>", caller.uri)));
    (from, [("Privacy".to_owned(), "id".to_owned())].into_iter().chain(asserted).collect())
}

fn anonymous() -> Presented {
    Presented { display: None, user: ANONYMOUS.to_owned() }
}

/// Whether the caller asks that the called side is not told who calls: `id` (RFC 3325 section 9.3), `user` or `header` (RFC 3323
/// section 4.2).
fn asks_for_privacy(headers: &Headers) -> bool {
    let values = headers.get_all("Privacy").flat_map(|value| value.split([';', ',']));
    values.map(str::trim).any(|value| ["id", "user", "header"].iter().any(|known| value.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lines: &[(&str, &str)], trusted: bool) -> String {
        let mut headers = Headers::default();
        headers.push("From", "\"Erika\" <sip:+4930111@carrier.example>;tag=1");
        for (name, value) in lines {
            headers.push(name, value);
        }
        let Presented { display, user } = presented(&headers, trusted);
        display.map_or_else(|| user.clone(), |display| format!("{display} {user}"))
    }

    #[test]
    fn an_asserted_identity_counts_where_the_trunk_is_trusted_and_privacy_always() {
        let asserted = ("P-Asserted-Identity", "<sip:+4930222@carrier.example>, <tel:+4930222>");
        let remote = ("Remote-Party-ID", "\"Max\" <sip:+4930333@carrier.example>;party=calling;privacy=off");
        for (lines, trusted, expected) in [
            (&[][..], true, "Erika +4930111"),
            (&[asserted][..], true, "+4930222"),
            (&[asserted][..], false, "Erika +4930111"),
            (&[asserted, remote][..], true, "+4930222"),
            (&[remote][..], true, "Max +4930333"),
            (&[remote][..], false, "Erika +4930111"),
            (&[asserted, ("Privacy", "none")][..], true, "+4930222"),
            (&[asserted, ("Privacy", "critical; id")][..], true, "anonymous"),
            (&[("Privacy", "USER")][..], false, "anonymous"),
            (&[("Remote-Party-ID", "<sip:+4930333@x>;privacy=full")][..], true, "anonymous"),
            (&[("P-Asserted-Identity", "<<nonsense")][..], true, "Erika +4930111"),
        ] {
            assert_eq!(seen(lines, trusted), expected, "{lines:?} {trusted}");
        }
    }
}
