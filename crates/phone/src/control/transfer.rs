//! Transfers: the peer, a server as a rule, calls somebody in our place.

use offhook_sip::{SessionId, Uri};
use offhook_units::Tick;

use super::Control;
use crate::event::PhoneEvent;
use crate::line::Stage;

impl Control {
    /// Blind: the peer calls `to`.
    pub(super) fn transfer(&mut self, now: Tick, call: u32, to: &Uri) {
        let Some(line) = self.lines.get(&call).filter(|line| line.stage == Stage::Talking) else {
            return self.fault(Some(call), "only a call that was answered can be transferred");
        };
        self.refer(now, call, line.session, to);
    }

    /// Attended: the peer of `call` takes our place in the call `with`.
    pub(super) fn join(&mut self, now: Tick, call: u32, with: u32) {
        let talks = |number: u32| self.lines.get(&number).filter(|line| line.stage == Stage::Talking);
        let (Some(asked), Some(consulted)) = (talks(call), talks(with)) else {
            return self.fault(Some(call), "only two calls that were answered can be joined");
        };
        let Some(replaces) = self.endpoint.replaces_of(consulted.session) else {
            return self.fault(Some(call), "the other call is not up any more");
        };
        let host = Uri::at(Some(&consulted.number), consulted.flow.peer);
        let to = host.with_header("Replaces", &replaces.to_string());
        self.refer(now, call, asked.session, &to);
    }

    fn refer(&mut self, now: Tick, call: u32, session: SessionId, to: &Uri) {
        if !self.endpoint.refer(now, session, to) {
            self.fault(Some(call), "a transfer of this call is under way");
        }
    }

    /// What the peer says of a transfer. Once the target talks we have no part in it any more: whoever does not hang up on us
    /// is hung up on.
    pub(super) fn transfer_told(&mut self, now: Tick, call: u32, status: u16, over: bool) {
        self.say(PhoneEvent::Transfer { call, status, over });
        if over && (200..300).contains(&status) {
            self.hang_up(now, call);
        }
    }
}
