//! Callers who are sent elsewhere: a number or a queue is closed, the queue is full, nobody serves it, it took too long, or a key
//! was pressed.

use offhook_acd::{FlowOut, Left};
use offhook_units::{CallId, QueueId, Tick};

use super::Exchange;
use super::placing::{Lead, RING_FOR, answers_itself};
use super::state::{Presented, Stage};
use crate::config::{Answer, Elsewhere, Gate, Number};
use crate::record::CallEnd;

/// How often one call may be sent elsewhere. After that a key does nothing, and whoever cannot stay hears the last message.
pub const SENT_ELSEWHERE_MAX: u32 = 16;

/// Why somebody is sent elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Why {
    /// What the queue counts, for whoever waits.
    pub flow: FlowOut,
    /// How the call ends where it ends there.
    pub end: CallEnd,
    /// What a caller is told then who was never answered.
    pub status: u16,
}

impl Why {
    /// Out of hours.
    pub const CLOSED: Self = Self { flow: FlowOut::Overflow, end: CallEnd::Closed, status: 480 };
    /// No room.
    pub const FULL: Self = Self { flow: FlowOut::Overflow, end: CallEnd::QueueFull, status: 486 };
    /// Nobody serves the queue.
    pub const NOBODY: Self = Self { flow: FlowOut::NobodyHere, end: CallEnd::NobodyLoggedIn, status: 480 };
    /// The longest wait is over.
    pub const WAITED: Self = Self { flow: FlowOut::TimedOut, end: CallEnd::WaitedTooLong, status: 480 };
    /// Somebody moved it. It goes only where it is let in.
    pub const MOVED: Self = Self { flow: FlowOut::Requeued, end: CallEnd::NobodyLoggedIn, status: 480 };
    /// The caller wanted it.
    pub const KEY: Self = Self { flow: FlowOut::ExitKey, end: CallEnd::LeftByKey, status: 480 };
}

impl Exchange {
    /// Where callers are sent who come now; none while it is open, or always is.
    pub(super) fn closed(&self, now: Tick, gate: Option<&Gate>) -> Option<Elsewhere> {
        let gate = gate?;
        let is_closed = self.config.calendars.get(gate.calendar).is_some_and(|calendar| !calendar.is_open(now));
        is_closed.then(|| gate.closed.clone())
    }

    /// Goes where a number of ours leads at this time of day.
    pub(super) fn follow_number(&mut self, now: Tick, id: CallId, number: Number) {
        self.note_rule(id, number.record);
        let Some(closed) = self.closed(now, number.gate.as_ref()) else {
            if answers_itself(&number) {
                self.answer_caller(now, id);
            }
            return self.follow(now, id, number.to);
        };
        let is_heard = match &closed {
            Elsewhere::Queue(_) | Elsewhere::Flow(_) => true,
            Elsewhere::Message(words) => !words.is_empty(),
            Elsewhere::Dial { .. } | Elsewhere::Callback => false,
        };
        if is_heard && number.answer == Answer::AtStart {
            self.answer_caller(now, id);
        }
        self.send_elsewhere(now, id, closed, Why::CLOSED);
    }

    /// Sends a caller on, out of the queue where there is one.
    pub(super) fn send_elsewhere(&mut self, now: Tick, id: CallId, to: Elsewhere, why: Why) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.sent_on += 1;
        let too_often = call.sent_on > SENT_ELSEWHERE_MAX;
        let from = call.from.clone();
        self.leave_queue(now, id, Left::FlowedOut(why.flow));
        let ends = too_often || matches!(to, Elsewhere::Message(_));
        self.counters.sent_elsewhere += u64::from(!ends);
        match to {
            _ if too_often => self.end_call_with(now, id, why.end, why.status),
            Elsewhere::Queue(queue) => self.enter_queue(now, id, queue),
            Elsewhere::Flow(menu) => self.greet(now, id, menu, 1),
            Elsewhere::Message(words) => self.say_and_end(now, id, words, why.end, why.status),
            // Only a key leads to a callback, and is looked at before.
            Elsewhere::Callback => self.end_call_with(now, id, why.end, why.status),
            Elsewhere::Dial { number, account } => match self.lead(&from, account.as_deref(), &number) {
                Ok(Lead::Ways(ways)) => self.dial(now, id, ways, RING_FOR),
                Ok(Lead::Number(number)) => self.follow_number(now, id, number),
                Err(status) => self.end_call_with(now, id, CallEnd::NotReached, status),
            },
        }
    }

    /// A caller who waits pressed a key. One that leads nowhere, now or at all, changes nothing: nobody loses a place by it.
    pub(super) fn pressed_waiting(&mut self, now: Tick, id: CallId, digit: char) {
        let waits = self.calls.get(&id).is_some_and(|call| matches!(call.stage, Stage::Queued { .. }));
        if !waits || self.key_consents(now, id, digit) {
            return;
        }
        let Some(call) = self.calls.get(&id) else { return };
        let Some(queue) = call.queue.and_then(|queue| self.queue(queue)) else { return };
        let Some(to) = queue.ways.keys.get(&digit) else { return };
        if *to == Elsewhere::Callback {
            if let Some(number) = self.may_ask_back(id) {
                self.ask_back(now, id, number);
            }
            return;
        }
        if call.sent_on < SENT_ELSEWHERE_MAX && self.takes(now, &call.from, to) {
            let to = to.clone();
            self.send_elsewhere(now, id, to, Why::KEY);
        }
    }

    /// Whether a caller can be sent there now.
    fn takes(&self, now: Tick, from: &Presented, to: &Elsewhere) -> bool {
        match to {
            Elsewhere::Queue(queue) => self.lets_in(now, *queue),
            Elsewhere::Dial { number, account } => self.lead(from, account.as_deref(), number).is_ok(),
            Elsewhere::Flow(_) | Elsewhere::Message(_) => true,
            Elsewhere::Callback => false,
        }
    }

    /// Whether a queue is open and has room and somebody.
    pub(super) fn lets_in(&self, now: Tick, queue: QueueId) -> bool {
        let gate = self.queue(queue).and_then(|queue| queue.ways.gate.as_ref());
        !self.leaving.has_queue(queue) && self.closed(now, gate).is_none() && self.acd.may_enter(queue).is_ok()
    }
}
