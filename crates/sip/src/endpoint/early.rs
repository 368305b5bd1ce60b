//! Reliable provisional responses to our INVITEs and the PRACKs that acknowledge them (RFC 3262 section 4).

use offhook_units::Tick;

use super::client::{Delivery, FORKS_MAX, Owner};
use super::event::{Event, SessionId};
use super::session::Session;
use super::{Endpoint, RELIABLE, description_of};
use crate::{Body, Headers, Method, Response};

/// A branch of our INVITE that sends reliable provisional responses; each has a dialog of its own.
#[derive(Debug)]
pub(super) struct Fork {
    tag: Box<str>,
    /// Number of the last one, in order.
    rseq: u32,
    pub answer: EarlyAnswer,
}

/// The answer to our offer before the 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EarlyAnswer {
    /// There is none yet.
    Missing,
    /// It came reliably.
    Given(Body),
    /// It came reliably, and the peer has changed it since.
    Changed,
}

impl Session {
    /// The branch that the dialog leads to now.
    pub(super) fn current_fork(&mut self) -> Option<&mut Fork> {
        let tag = self.dialog.remote_tag.as_deref()?;
        self.forks.iter_mut().find(|fork| *fork.tag == *tag)
    }
}

impl Endpoint {
    /// A provisional response other than 100. A reliable one that is out of order is dropped: it comes again.
    pub(super) fn early_response(&mut self, now: Tick, id: SessionId, response: &Response) {
        let is_full = self.transactions() >= self.config.transactions_max.saturating_add(self.config.sessions_max);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let tag = response.headers.to_tag().unwrap_or_default();
        let known = session.forks.iter().position(|fork| *fork.tag == *tag);
        // Our INVITE allows them where it carries an offer, so that no PRACK has to carry an answer.
        let rseq = rseq_of(&response.headers).filter(|_| session.described.is_some() && !tag.is_empty());
        let fork = match (rseq, known) {
            (None, known) => known,
            (Some(_), _) if is_full => {
                self.load.full_total += 1;
                return;
            }
            (Some(rseq), Some(at)) if session.forks[at].rseq.checked_add(1) == Some(rseq) => {
                session.forks[at].rseq = rseq;
                Some(at)
            }
            (Some(_), Some(_)) => return,
            (Some(_), None) if session.forks.len() >= FORKS_MAX => return,
            (Some(rseq), None) => {
                session.forks.push(Fork { tag: tag.into(), rseq, answer: EarlyAnswer::Missing });
                Some(session.forks.len() - 1)
            }
        };
        session.dialog.establish(response);
        let mut body = description_of(&response.headers, &response.body);
        if let Some(fork) = fork.and_then(|at| session.forks.get_mut(at)) {
            // RFC 3261 section 13.2.1: the first one that comes reliably is the answer, and later ones say nothing.
            body = body.filter(|_| fork.answer == EarlyAnswer::Missing);
            if let Some(body) = body.as_ref().filter(|body| rseq.is_some() && body.is_sdp()) {
                fork.answer = EarlyAnswer::Given(body.clone());
            }
        }
        if let Some(rseq) = rseq {
            let cseq = response.headers.cseq().map_or(1, |(number, _)| number);
            let mut request = session.dialog.request(Method::Prack);
            let flow = session.dialog.next_hop();
            request.headers.push("RAck", &format!("{rseq} {cseq} {}", Method::Invite));
            request.headers.push("User-Agent", &self.config.user_agent);
            self.start_client(now, flow, request, Owner::Prack(id), 0);
        }
        self.emit(Event::Progress { session: id, status: response.status, body });
    }

    /// The answer to our offer as it stands with a 2xx: what came reliably before counts, whatever the 2xx says.
    pub(super) fn final_answer(&mut self, id: SessionId, response: &Response) -> Option<Body> {
        let forks = self.sessions.get_mut(&id).map(|session| core::mem::take(&mut session.forks));
        let tag = response.headers.to_tag().unwrap_or_default();
        let fork = forks.into_iter().flatten().find(|fork| *fork.tag == *tag);
        match fork.map_or(EarlyAnswer::Missing, |fork| fork.answer) {
            EarlyAnswer::Missing => description_of(&response.headers, &response.body),
            EarlyAnswer::Given(body) => Some(body),
            EarlyAnswer::Changed => None,
        }
    }

    /// A PRACK that was refused leaves it to the peer what becomes of its INVITE.
    pub(super) fn prack_response(&mut self, now: Tick, id: SessionId, delivery: Delivery) {
        let Delivery { response, request, tries, .. } = delivery;
        let credentials = self.sessions.get(&id).and_then(|session| session.credentials.clone());
        if let Some(mut request) = request
            && self.answer_to_challenge(&mut request, &response, credentials.as_ref(), tries).is_some()
            && let Some(session) = self.sessions.get_mut(&id)
        {
            request.headers.pop_via();
            request.headers.set_cseq(session.dialog.next_cseq(), &Method::Prack);
            let flow = session.dialog.next_hop();
            self.start_client(now, flow, *request, Owner::Prack(id), tries + 1);
        }
    }
}

/// The number of a provisional response that was sent reliably.
fn rseq_of(headers: &Headers) -> Option<u32> {
    headers.rseq().ok().flatten().filter(|_| headers.lists("Require", RELIABLE))
}
