//! Callers from a page, who have no account: a ticket lets one call in, to where its entrance leads and nowhere else.

use std::collections::BTreeMap;

use offhook_sip::{Flow, Request};
use offhook_units::{CallId, Span, Tick};

use super::Exchange;
use super::placing::Refusal;
use super::state::Presented;
use crate::visit::{NotWelcome, Ticket};

/// Tickets that are good at once; one more is refused.
pub const TICKETS_MAX: usize = 1_000;
/// How long a ticket is good.
pub const TICKET_LASTS: Span = Span::from_s(60);
/// Longest name that a visitor gives, in characters.
pub const NAME_CHARS_MAX: usize = 64;
/// What the user parts of visitors begin with. Which of them are good is known by the whole word, so that an account may begin so, too.
const PREFIX: &str = "visitor-";

/// Who was given a ticket and has not called yet.
#[derive(Debug)]
struct Visitor {
    password: String,
    entrance: usize,
    name: Option<String>,
    until: Tick,
}

/// Visitors, and how many of each entrance are in a call.
#[derive(Debug, Default)]
pub(super) struct Visitors {
    waiting: BTreeMap<String, Visitor>,
    inside: Vec<u32>,
    /// The answer to the last one who asked.
    last: Option<Result<Ticket, NotWelcome>>,
}

impl Visitors {
    pub(super) fn new(entrances: usize) -> Self {
        Self { inside: vec![0; entrances], ..Self::default() }
    }

    /// There are so many entrances from now on, none fewer than before.
    pub(super) fn widen(&mut self, entrances: usize) {
        self.inside.resize(entrances, 0);
    }

    /// Whether nobody is inside by an entrance, or has a ticket for it.
    pub(super) fn is_free(&self, at: usize) -> bool {
        let inside = self.inside.get(at).copied().unwrap_or_default();
        inside == 0 && self.waiting.values().all(|visitor| visitor.entrance != at)
    }

    fn password(&self, now: Tick, user: &str) -> Option<&str> {
        self.waiting.get(user).filter(|visitor| visitor.until > now).map(|visitor| visitor.password.as_str())
    }
}

impl Exchange {
    /// What became of the last [`super::Command::Welcome`].
    pub const fn welcomed(&self) -> Option<&Result<Ticket, NotWelcome>> {
        self.visitors.last.as_ref()
    }

    /// Visitors in calls and tickets that are good, as far as anybody looked.
    pub fn visitors(&self) -> (u32, usize) {
        (self.visitors.inside.iter().sum(), self.visitors.waiting.len())
    }

    /// Gives a visitor a ticket, or says why not.
    pub(super) fn welcome(&mut self, now: Tick, entrance: &str, name: Option<String>) {
        let given = self.ticket(now, entrance, name);
        self.counters.visitors_refused += u64::from(given.is_err());
        self.visitors.last = Some(given);
    }

    fn ticket(&mut self, now: Tick, entrance: &str, name: Option<String>) -> Result<Ticket, NotWelcome> {
        let known = self.config.entrances.iter().position(|known| known.name == entrance);
        let at = known.ok_or(NotWelcome::NoEntrance)?;
        self.takes_more(at)?;
        self.visitors.waiting.retain(|_, visitor| visitor.until > now);
        if self.visitors.waiting.len() >= TICKETS_MAX {
            return Err(NotWelcome::Full);
        }
        let mut word = || format!("{:016x}", self.entropy.next_u64());
        let (user, password) = (format!("{PREFIX}{}", word()), format!("{}{}", word(), word()));
        let name = name.map(|name| plain(&name)).filter(|name| !name.is_empty());
        let until = now + TICKET_LASTS;
        let visitor = Visitor { password: password.clone(), entrance: at, name, until };
        self.visitors.waiting.insert(user.clone(), visitor);
        let (realm, number) = (self.config.realm.clone(), self.config.entrances[at].number.clone());
        let relay = self.config.turn.as_ref().map(|turn| turn.relay(now, entrance));
        Ok(Ticket { user, password, realm, number, relay, until })
    }

    fn takes_more(&self, entrance: usize) -> Result<(), NotWelcome> {
        let inside = self.visitors.inside.get(entrance).copied().unwrap_or_default();
        if self.drain_by.is_some() || inside >= self.config.entrances[entrance].calls_max {
            return Err(NotWelcome::Full);
        }
        Ok(())
    }

    /// The visitor whose ticket an INVITE shows; none where it shows none that was given lately.
    pub(super) fn visitor_of(&mut self, now: Tick, flow: Flow, request: &Request) -> Option<Result<String, Refusal>> {
        let from = request.headers.from().ok()?;
        let user = from.uri.user_decoded().filter(|user| self.visitors.password(now, user).is_some())?;
        let password = |shown: &str| self.visitors.password(now, shown).filter(|_| shown == user);
        let identity = self.registrar.identify(now, flow.peer.ip(), request, password);
        Some(self.shown(flow, identity))
    }

    /// Where a visitor's call leads, and as whom it is shown. Its ticket is good for no other call.
    pub(super) fn show_in(&mut self, user: &str) -> Result<(usize, String, Presented), u16> {
        let visitor = self.visitors.waiting.get(user).ok_or(403_u16)?;
        let at = visitor.entrance;
        self.takes_more(at).map_err(|_| 503_u16)?;
        let entrance = &self.config.entrances[at];
        let from = Presented { display: visitor.name.clone(), user: entrance.name.clone() };
        Ok((at, entrance.number.clone(), from))
    }

    /// A visitor's call has begun.
    pub(super) fn went_in(&mut self, id: CallId, user: &str, entrance: usize) {
        self.visitors.waiting.remove(user);
        if let Some(inside) = self.visitors.inside.get_mut(entrance) {
            *inside += 1;
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.entrance = Some(entrance);
        }
        self.counters.visitors += 1;
    }

    /// A visitor's call is over.
    pub(super) fn went_out(&mut self, entrance: Option<usize>) {
        if let Some(inside) = entrance.and_then(|entrance| self.visitors.inside.get_mut(entrance)) {
            *inside = inside.saturating_sub(1);
        }
    }
}

/// A name as it may stand on a telephone: one line without control characters.
fn plain(name: &str) -> String {
    let shown = name.chars().map(|c| if c.is_control() { ' ' } else { c });
    let name: String = shown.filter(|c| !matches!(c, '"' | '\\' | '<' | '>')).take(NAME_CHARS_MAX).collect();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitors_name_is_one_line_that_ends_no_header() {
        assert_eq!(plain(" Jane\r\nX: y "), "Jane  X: y");
        assert_eq!(plain("\"><sip:x>\\"), "sip:x");
        assert_eq!(plain(&"x".repeat(100)).len(), NAME_CHARS_MAX);
    }
}
