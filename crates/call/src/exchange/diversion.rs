//! Calls that were sent on: by whom, as a trusted trunk says (RFC 5806, RFC 7044), and what phones and trunks are told of it.

use offhook_sip::{Headers, NameAddr, Uri, reason_cause};
use offhook_units::{CallId, PersonRef, Tick};

use super::identity::ANONYMOUS_HOST;
use super::legs::escape_user;
use super::{Exchange, Output};
use crate::event::CallEvent;
use crate::record::DivertedFor;

/// Most diversions that are looked at, and counted.
const DIVERSIONS_MAX: u32 = 20;

/// Who sent a call on to us last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Diverted {
    /// The number; none where it is not to be told.
    pub from: Option<String>,
    pub why: DivertedFor,
    /// How often the call was sent on.
    pub times: u32,
}

impl Exchange {
    /// Keeps who sent a call on, with the call and under seal.
    pub(super) fn was_diverted(&mut self, now: Tick, id: CallId, diverted: Option<Diverted>) {
        let (Some(diverted), Some(call)) = (diverted, self.calls.get_mut(&id)) else { return };
        let Diverted { from, why, times } = diverted.clone();
        call.diverted = Some(diverted);
        let from = from.map(|text| {
            let person = PersonRef(self.ids.next());
            self.outputs.push_back(Output::Person { person, text });
            person
        });
        self.note(now, CallEvent::Diverted { call: id, from, why, times });
    }

    /// What an INVITE of ours says of diversions, most recent first. Phones of ours are told who sent the call here. A trunk that asks
    /// for it is told which number of ours a transferred call was for, and one that is trusted what came before.
    pub(super) fn diversions(
        &self,
        id: CallId,
        trunk: Option<usize>,
        from: &NameAddr,
        to: &Uri,
    ) -> Vec<(String, String)> {
        let Some(call) = self.calls.get(&id) else { return Vec::new() };
        let hides = from.uri.host == ANONYMOUS_HOST;
        let host = if hides { &to.host } else { &from.uri.host };
        let known = call.diverted.as_ref();
        let before = known.and_then(|known| Some(line(known.from.as_ref()?, host, known.why, known.times, false)));
        let Some(trunk) = trunk else { return before.into_iter().collect() };
        let settings = &self.config.trunks[trunk];
        if !settings.out.as_ref().is_some_and(|out| out.diversion) {
            return Vec::new();
        }
        let sends_on = call.trunk.is_some() && call.transfer.is_some();
        let ours =
            sends_on.then(|| line(&self.written_for(trunk, &call.number), host, DivertedFor::Deflection, 1, hides));
        ours.into_iter().chain(before.filter(|_| settings.trust_identity)).collect()
    }
}

/// `Diversion`, RFC 5806 section 5.
fn line(user: &str, host: &str, why: DivertedFor, times: u32, hides: bool) -> (String, String) {
    let privacy = if hides { ";privacy=full" } else { "" };
    let value = format!("<sip:{}@{host}>;reason={};counter={times}{privacy}", escape_user(user), why.name());
    ("Diversion".to_owned(), value)
}

/// Who sent a call on, as its INVITE says: the last one of those who did. Only a trunk that is `trusted` may say so.
pub(super) fn diverted(headers: &Headers, trusted: bool) -> Option<Diverted> {
    let found = trusted.then(|| by_diversion(headers).or_else(|| by_history(headers))).flatten()?;
    // RFC 7044 section 10.1.1, RFC 3323 section 4.2: for the whole request.
    let hidden = headers.get_all("Privacy").any(is_private);
    Some(Diverted { from: found.from.filter(|_| !hidden), ..found })
}

fn by_diversion(headers: &Headers) -> Option<Diverted> {
    let lines = headers.values("Diversion").take(DIVERSIONS_MAX as usize);
    let mut lines = lines.filter_map(|value| value.parse::<NameAddr>().ok());
    let count = |line: &NameAddr| {
        let told = line.param("counter").and_then(|text| text.parse::<u32>().ok());
        told.filter(|times| *times > 0).unwrap_or(1).min(DIVERSIONS_MAX)
    };
    // RFC 5806 section 6.2: the topmost is the most recent one.
    let last = lines.next()?;
    let times = lines.fold(count(&last), |sum, line| sum + count(&line)).min(DIVERSIONS_MAX);
    let hidden =
        last.param("privacy").is_some_and(|how| !["off", "name"].iter().any(|open| how.eq_ignore_ascii_case(open)));
    let why = last.param("reason").map_or(DivertedFor::Unknown, DivertedFor::by_name);
    Some(Diverted { from: number_of(&last).filter(|_| !hidden), why, times })
}

/// History-Info lists targets, oldest first. A call was sent on where the next target was mapped from another one (`mp`), names a
/// cause (RFC 4458), or comes after one that failed.
fn by_history(headers: &Headers) -> Option<Diverted> {
    let values = headers.values("History-Info").take(DIVERSIONS_MAX as usize);
    let entries: Vec<NameAddr> = values.filter_map(|value| value.parse().ok()).collect();
    let mut steps = entries.iter().zip(entries.iter().skip(1)).filter(|(before, target)| {
        target.params.contains("mp") || target.uri.param("cause").is_some() || before.uri.header("Reason").is_some()
    });
    let times = steps.clone().count() as u32;
    let (before, target) = steps.next_back()?;
    let mapped = target.param("mp").and_then(|index| entries.iter().find(|entry| entry.param("index") == Some(index)));
    let from = mapped.unwrap_or(before);
    let cause = target.uri.param("cause").and_then(|text| text.parse().ok());
    let cause = cause.or_else(|| reason_cause(&from.uri.header("Reason")?, "SIP"));
    let hidden = from.uri.header("Privacy").is_some_and(|privacy| is_private(&privacy));
    let why = cause.map_or(DivertedFor::Unknown, DivertedFor::by_cause);
    Some(Diverted { from: number_of(from).filter(|_| !hidden), why, times })
}

fn number_of(party: &NameAddr) -> Option<String> {
    let user = party.uri.user_decoded().filter(|user| !user.is_empty())?;
    (party.uri.host != ANONYMOUS_HOST).then(|| user.into_owned())
}

/// Whether a value of Privacy hides the way that a call took.
fn is_private(value: &str) -> bool {
    let hides = ["history", "header", "session", "id"];
    value.split([';', ',']).map(str::trim).any(|value| hides.iter().any(|known| value.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lines: &[(&str, &str)], trusted: bool) -> Option<(Option<String>, &'static str, u32)> {
        let mut headers = Headers::default();
        for (name, value) in lines {
            headers.push(name, value);
        }
        diverted(&headers, trusted).map(|found| (found.from, found.why.name(), found.times))
    }

    const ONCE: (&str, &str) = ("Diversion", "<sip:+4930111@carrier>;reason=no-answer;counter=1;privacy=off");

    #[test]
    fn the_last_who_sent_a_call_on_is_read_where_the_trunk_is_trusted() {
        let number = |user: &str, why, times| Some((Some(user.to_owned()), why, times));
        assert_eq!(seen(&[ONCE], true), number("+4930111", "no-answer", 1));
        assert_eq!(seen(&[ONCE], false), None);
        assert_eq!(seen(&[], true), None);
        let twice = (
            "Diversion",
            "\"Desk\" <tel:+4930222>;reason=\"user-busy\", <sip:+4930111@x>;counter=2;reason=unconditional",
        );
        assert_eq!(seen(&[twice], true), number("+4930222", "user-busy", 3));
        assert_eq!(
            seen(&[("Diversion", "<sip:1@x>;reason=magic;counter=4000000000")], true),
            number("1", "unknown", 20)
        );
        assert_eq!(seen(&[("Diversion", "<<nonsense")], true), None);
    }

    #[test]
    fn history_is_read_where_there_is_no_diversion() {
        let number = |user: &str, why, times| Some((Some(user.to_owned()), why, times));
        let mapped = "<sip:+4930111@x>;index=1, <sip:+4930222@x;cause=302>;index=1.1;mp=1, <sip:+4930222@192.0.2.1>;index=1.1.1;rc=1.1";
        assert_eq!(seen(&[("History-Info", mapped)], true), number("+4930111", "unconditional", 1));
        let failed = "<sip:+4930111@x?Reason=SIP%3Bcause%3D486>;index=1,<sip:+4930222@x?Reason=SIP%3Bcause%3D408>;index=2,<sip:1@x>;index=3";
        assert_eq!(seen(&[("History-Info", failed)], true), number("+4930222", "no-answer", 2));
        assert_eq!(seen(&[("History-Info", "<sip:1@x>;index=1, <sip:1@y>;index=1.1;np=1")], true), None);
        assert_eq!(seen(&[("History-Info", failed), ONCE], true), number("+4930111", "no-answer", 1));
    }

    #[test]
    fn who_wants_to_stay_unnamed_does_and_that_the_call_was_sent_on_is_kept() {
        let private = Some((None, "no-answer", 1));
        for value in ["history", "id", "header;critical", "user; SESSION"] {
            assert_eq!(seen(&[ONCE, ("Privacy", value)], true), private, "{value}");
        }
        assert_ne!(seen(&[ONCE, ("Privacy", "none")], true), private);
        for (privacy, hidden) in [("full", true), ("uri", true), ("name", false), ("off", false), ("strange", true)] {
            let value = format!("<sip:1@x>;reason=no-answer;privacy={privacy}");
            assert_eq!(seen(&[("Diversion", &value)], true) == private, hidden, "{privacy}");
        }
        let history = "<sip:+4930111@x?Privacy=history&Reason=SIP%3Bcause%3D408>;index=1,<sip:1@x>;index=2";
        assert_eq!(seen(&[("History-Info", history)], true), private);
    }
}
