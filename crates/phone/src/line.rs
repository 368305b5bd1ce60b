//! One call as the control thread knows it.

use std::sync::Arc;

use offhook_plan::Negotiated;
use offhook_sip::sdp::Local;
use offhook_sip::{Flow, Request, SessionId};
use offhook_units::{Span, Tick};

use crate::carrier::Carrier;
use crate::engine::Engine;
use crate::statistics::{Bound, CallStatistics, EndedBy, MediaStatistics};

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// We call; not answered.
    Calling,
    /// It rings here.
    Ringing,
    /// Both sides have said yes.
    Talking,
    /// We hang up: our sound stops first, so that the peer counts no loss.
    Quieting,
    /// BYE or CANCEL is under way.
    Leaving,
    /// SIP is over; the engine finishes.
    Over,
}

/// What a call does by itself, at its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Due {
    Answer,
    HangUp,
    GiveUp,
    Keys(String),
    /// The engine has not stopped talking in time: hang up all the same.
    LeaveAnyway,
    /// Nobody answered our wish to give up: CANCEL may not even be sent before a first response (RFC 3261 section 9.1).
    Abandon,
    /// The engine has not finished in time: report without its figures.
    ReportAnyway,
}

/// A call.
pub(crate) struct Line {
    pub call: u32,
    pub session: SessionId,
    pub flow: Flow,
    pub bound: Bound,
    pub stage: Stage,
    pub engine: Engine,
    /// Our end of the descriptions; its version rises.
    pub local: Local,
    /// Our last offer that waits for an answer.
    pub our_offer: Option<String>,
    /// The offer of the INVITE that we have not answered yet.
    pub their_offer: Option<Vec<u8>>,
    pub negotiated: Option<Negotiated>,
    /// What its speech goes by, where that is not our own RTP, and what it has made of the peer's answer.
    pub carrier: Option<Arc<dyn Carrier>>,
    pub carried: Option<String>,
    pub muted: bool,
    pub held_by_us: bool,
    /// Hold or resume as soon as the change under way is answered.
    pub hold_next: Option<bool>,
    pub held_by_peer: bool,
    pub number: String,
    pub name: Option<String>,
    pub queue: Option<String>,
    pub began: Tick,
    pub answered: Option<Tick>,
    pub ended: Option<Tick>,
    pub ended_by: Option<EndedBy>,
    pub status: Option<u16>,
    pub reason: Option<String>,
    /// What is done by itself after the answer.
    pub keys: Vec<(Span, String)>,
    pub hang_up_after: Option<Span>,
    pub due: Vec<(Tick, Due)>,
}

impl Line {
    /// When something is due next.
    pub fn next_due(&self) -> Option<Tick> {
        self.due.iter().map(|(at, _)| *at).min()
    }

    /// Takes what is due at `now`, in order.
    pub fn take_due(&mut self, now: Tick) -> Vec<Due> {
        let mut due: Vec<_> = self.due.iter().filter(|(at, _)| *at <= now).cloned().collect();
        self.due.retain(|(at, _)| *at > now);
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, what)| what).collect()
    }

    /// Notes the end, whoever comes first with it.
    pub fn end(&mut self, now: Tick, by: EndedBy, reason: Option<String>) {
        self.ended.get_or_insert(now);
        self.ended_by.get_or_insert(by);
        if self.reason.is_none() {
            self.reason = reason;
        }
    }

    /// The figures of the whole call.
    pub fn statistics(&self, now: Tick, media: MediaStatistics) -> CallStatistics {
        let ms = |from: Tick, to: Tick| to.since(from).as_us() as f64 / 1_000.0;
        CallStatistics {
            call: self.call,
            bound: self.bound,
            number: self.number.clone(),
            name: self.name.clone(),
            queue: self.queue.clone(),
            answered: self.answered.is_some(),
            ended_by: self.ended_by.unwrap_or(EndedBy::Us),
            status: self.status,
            reason: self.reason.clone(),
            setup_ms: self.answered.map(|at| ms(self.began, at)),
            duration_ms: self.answered.map_or(0.0, |at| ms(at, self.ended.unwrap_or(now))),
            codec: self.negotiated.as_ref().map(|agreed| agreed.codec.name()),
            media,
        }
    }
}

/// Longest that a call may ask to ring before it is answered, in seconds.
const ANSWER_AFTER_MAX_S: u64 = 30;

/// After how long a call asks to be answered by itself: in Call-Info or Alert-Info, in the words that desk phones have agreed on, or in
/// Answer-Mode.
pub(crate) fn asked_to_answer(request: &Request) -> Option<Span> {
    let after = request.headers.values("Call-Info").find_map(|info| {
        let after = info.split(';').find_map(|part| part.trim().strip_prefix("answer-after="))?;
        after.trim_matches('"').parse().ok()
    });
    // RFC 5373 section 4.1: `Auto`, which needs no right of its own where the server alone is listened to.
    let mode = || {
        let mut modes = ["Answer-Mode", "Priv-Answer-Mode"].into_iter().filter_map(|name| request.headers.get(name));
        modes.any(|mode| mode.split(';').next().is_some_and(|mode| mode.trim().eq_ignore_ascii_case("auto")))
    };
    let alert = || request.headers.values("Alert-Info").any(|info| info.contains("info=alert-autoanswer"));
    after.or_else(|| (alert() || mode()).then_some(0)).map(|after| Span::from_s(u64::min(after, ANSWER_AFTER_MAX_S)))
}

/// Who calls, by number and name, and from which queue: From, or P-Asserted-Identity where a server put one (RFC 3325);
/// the queue from `X-Offhook-Queue`.
pub(crate) fn caller_of(request: &Request) -> (String, Option<String>, Option<String>) {
    let asserted = request.headers.asserted_identities().ok().and_then(|all| all.into_iter().next());
    let who = asserted.or_else(|| request.headers.from().ok());
    let number = who.as_ref().map_or_else(String::new, |who| match who.uri.user_decoded() {
        Some(user) => user.into_owned(),
        None => who.uri.host.clone(),
    });
    let queue = request.headers.get("X-Offhook-Queue").map(|queue| queue.trim().trim_matches('"').to_owned());
    (number, who.and_then(|who| who.display), queue.filter(|queue| !queue.is_empty()))
}
