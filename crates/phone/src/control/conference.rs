//! Conferences of three: both peers of two calls and we hear each other, mixed here; no server has a part in it.

use offhook_units::Tick;

use super::Control;
use crate::engine::Order;
use crate::event::PhoneEvent;
use crate::line::Stage;
use crate::link::Link;

impl Control {
    /// All three talk with each other from now on; who was held is taken back.
    pub(super) fn confer(&mut self, now: Tick, call: u32, with: u32) {
        if self.conference.is_some() {
            return self.fault(Some(call), "there is a conference already, and three are as many as can talk");
        }
        let talks = |call: u32| self.lines.get(&call).is_some_and(|line| line.stage == Stage::Talking);
        if call == with || !talks(call) || !talks(with) {
            return self.fault(Some(call), "a conference takes two calls that were answered");
        }
        let muted = [call, with].iter().any(|call| self.lines.get(call).is_some_and(|line| line.muted));
        let (chair, partner) = Link::pair();
        for (call, link) in [(call, chair), (with, partner)] {
            let Some(line) = self.lines.get_mut(&call) else { continue };
            line.engine.tell(Order::Join(Box::new(link)));
            let (held, quiet) = (line.held_by_us || line.hold_next == Some(true), line.muted);
            if held {
                self.hold(now, call, false);
            }
            if muted && !quiet {
                self.mute_line(call, true);
            }
        }
        self.conference = Some((call, with));
        self.say(PhoneEvent::Conference { calls: vec![call, with], on: true });
    }

    /// The conference is over: we talk on with the peer of `call`, the other one is held.
    pub(super) fn split(&mut self, now: Tick, call: u32) {
        match self.partner_of(call) {
            Some(other) => {
                self.part(call);
                self.hold(now, other, true);
            }
            None => self.fault(Some(call), "this call is in no conference"),
        }
    }

    /// With whom a call is in conference.
    pub(super) fn partner_of(&self, call: u32) -> Option<u32> {
        match self.conference {
            Some((one, other)) if one == call => Some(other),
            Some((one, other)) if other == call => Some(one),
            Some(_) | None => None,
        }
    }

    /// A call leaves the conference, and with it there is none any more.
    pub(super) fn part(&mut self, call: u32) {
        let Some(other) = self.partner_of(call) else { return };
        self.conference = None;
        for call in [call, other] {
            if let Some(line) = self.lines.get(&call) {
                line.engine.tell(Order::Part);
            }
        }
        self.say(PhoneEvent::Conference { calls: vec![call, other], on: false });
    }

    /// Mutes a call, and in a conference the microphone for both.
    pub(super) fn mute(&mut self, call: u32, on: bool) {
        self.mute_line(call, on);
        if let Some(other) = self.partner_of(call) {
            self.mute_line(other, on);
        }
    }

    fn mute_line(&mut self, call: u32, on: bool) {
        if let Some(line) = self.lines.get_mut(&call) {
            line.muted = on;
            line.engine.tell(Order::Mute(on));
            self.say(PhoneEvent::Muted { call, on });
        }
    }
}
