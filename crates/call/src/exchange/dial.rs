//! A number that rings one phone, without a queue.

use offhook_sip::{Flow, Uri};
use offhook_units::{CallId, Span, Tick};

use super::state::{Other, Stage};
use super::{Exchange, Role};
use crate::event::Party;
use crate::record::CallEnd;
use crate::timers::Kind;

impl Exchange {
    /// Rings the phone at `flow`'s peer under the dialled number.
    pub(super) fn dial(&mut self, now: Tick, id: CallId, flow: Flow, ring_for: Span) {
        if !self.try_dial(now, id, flow) {
            return self.end_call_with(now, id, CallEnd::Failed, 503);
        }
        self.enter(now, id, Stage::Dialling);
        self.timers.arm(id, Kind::Ring, now + ring_for);
        self.replan(now, id);
    }

    fn try_dial(&mut self, now: Tick, id: CallId, flow: Flow) -> bool {
        let Some(call) = self.calls.get(&id) else { return false };
        let codec = call.caller.negotiated.as_ref().map(|agreed| agreed.codec);
        let from = self.presented(&call.from, None, flow);
        let Ok(uri) = format!("sip:{}@{}", call.number, flow.peer).parse::<Uri>() else { return false };
        let Some(mut leg) = self.make_leg(now, flow) else { return false };
        let body = leg.offer(&self.caps_preferring(codec));
        let Some(session) = self.send_invite(now, &leg, uri, from, Vec::new(), body) else { return false };
        leg.session = session;
        let (leg_id, port) = (leg.id, leg.port);
        self.sessions.insert(session, (id, Role::Dialled));
        if let Some(call) = self.calls.get_mut(&id) {
            call.sessions.insert(session);
            call.other = Some(Other { agent: None, leg, early_media: false });
        }
        self.open_leg(id, leg_id, port, Some(Party::Agent));
        true
    }

    /// The dialled phone was not picked up in time.
    pub(super) fn rang_too_long(&mut self, now: Tick, id: CallId) {
        self.end_call_with(now, id, CallEnd::NotReached, 480);
    }
}
