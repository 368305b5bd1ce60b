//! Menus: a greeting, then a digit chooses where to go.

use offhook_plan::DigitSource;
use offhook_sip::{Body, SessionId};
use offhook_units::{CallId, LegId, Tick};

use super::digits::Way;
use super::elsewhere::Why;
use super::state::Stage;
use super::{Exchange, Role};
use crate::config::{Choice, ECHO_MAX, Elsewhere, Menu};
use crate::event::CallEvent;
use crate::timers::Kind;

/// The menu that a call is in.
struct Heard {
    name: String,
    kept: Option<Box<Menu>>,
    round: u8,
    menu: Menu,
}

impl Exchange {
    /// Plays the menu's greeting for the `round`th time.
    pub(super) fn greet(&mut self, now: Tick, id: CallId, menu: String, round: u8) {
        self.greet_with(now, id, menu, None, round);
    }

    fn greet_with(&mut self, now: Tick, id: CallId, menu: String, kept: Option<Box<Menu>>, round: u8) {
        let greeting = self.menu(&menu, kept.as_deref()).map(|menu| menu.greeting.clone());
        // It was there when the way to it was found.
        let Some(greeting) = greeting else { return self.lead_nowhere(now, id) };
        let playing = self.playing(greeting);
        self.enter(now, id, Stage::Greeting { menu, kept, round, playing, listening: false });
        self.early_media(now, id);
        self.replan(now, id);
    }

    /// Lets a caller hear the own voice, to try a line.
    pub(super) fn echo(&mut self, now: Tick, id: CallId) {
        self.enter(now, id, Stage::Echo);
        self.early_media(now, id);
        self.timers.arm(id, Kind::Echo, now + ECHO_MAX);
        self.replan(now, id);
    }

    /// The greeting was heard to its end: now the caller has time to press a digit.
    pub(super) fn greeted(&mut self, now: Tick, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Stage::Greeting { listening, .. } = &mut call.stage else { return };
        *listening = true;
        let Some(Heard { menu, .. }) = self.menu_of(id) else { return };
        if menu.choices.is_empty() {
            self.leave_menu(now, id, menu.default);
        } else {
            self.timers.arm(id, Kind::Digit, now + menu.wait_for_digit);
            self.replan(now, id);
        }
    }

    /// No digit came in time: the greeting again, or on to the default.
    pub(super) fn no_digit(&mut self, now: Tick, id: CallId) {
        let Some(Heard { name, kept, round, menu }) = self.menu_of(id) else { return };
        if round < menu.rounds {
            self.greet_with(now, id, name, kept, round + 1);
        } else {
            self.leave_menu(now, id, menu.default);
        }
    }

    /// A key pressed by the caller, or by an agent in a talk, seen or heard in the RTP stream.
    pub(super) fn pressed(&mut self, now: Tick, id: CallId, leg: LegId, source: DigitSource, digit: char) {
        let Some(call) = self.calls.get(&id) else { return };
        if call.caller.id == leg {
            self.digit(now, id, source.into(), digit);
        } else if call.other.as_ref().is_some_and(|other| other.leg.id == leg) {
            self.digit_of_other(now, id, source.into(), digit);
        }
    }

    /// An INFO with a digit: `application/dtmf-relay` (`Signal=5`) or `application/dtmf` (`5`).
    pub(super) fn info(&mut self, now: Tick, session: SessionId, body: Option<&Body>) {
        let (Some(&(id, role)), Some(digit)) = (self.sessions.get(&session), body.and_then(digit_of_info)) else {
            return;
        };
        match role {
            Role::Caller => self.digit(now, id, Way::Info, digit),
            Role::Offered(_) | Role::Dialled => {
                let is_other =
                    |call: &super::state::Call| call.other.as_ref().is_some_and(|o| o.leg.session == session);
                if self.calls.get(&id).is_some_and(is_other) {
                    self.digit_of_other(now, id, Way::Info, digit);
                }
            }
            Role::Customer | Role::Guest | Role::Recorder | Role::Orphan => {}
        }
    }

    /// A key of whom the caller talks to.
    fn digit_of_other(&mut self, now: Tick, id: CallId, way: Way, digit: char) {
        let other = self.calls.get_mut(&id).and_then(|call| call.other.as_mut());
        if other.is_some_and(|other| other.leg.digits.counts(now, way, digit)) {
            self.agent_pressed(now, id, false, digit);
        }
    }

    fn digit(&mut self, now: Tick, id: CallId, way: Way, digit: char) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !call.caller.digits.counts(now, way, digit) {
            return;
        }
        self.agent_pressed(now, id, true, digit);
        if !self.key_pauses(now, id) {
            self.note(now, CallEvent::Digit { call: id });
        }
        let Some(Heard { name, kept, round, menu }) = self.menu_of(id) else {
            return self.pressed_waiting(now, id, digit);
        };
        if let Some(call) = self.calls.get_mut(&id) {
            call.desk.note_key(&name, digit);
        }
        let words = match menu.choices.get(&digit) {
            Some(Choice::To(to)) => return self.leave_menu(now, id, to.clone()),
            Some(Choice::Again) => Vec::new(),
            None => menu.invalid,
        };
        if round < menu.rounds {
            let playing = self.playing(words.into_iter().chain(menu.greeting).collect());
            self.timers.disarm(id, Kind::Digit);
            self.enter(now, id, Stage::Greeting { menu: name, kept, round: round + 1, playing, listening: false });
            self.replan(now, id);
        } else {
            self.leave_menu(now, id, menu.default);
        }
    }

    fn leave_menu(&mut self, now: Tick, id: CallId, to: Elsewhere) {
        self.timers.disarm(id, Kind::Digit);
        match to {
            Elsewhere::Queue(queue) => self.enter_queue(now, id, queue),
            to => self.send_elsewhere(now, id, to, Why::KEY),
        }
    }

    fn menu_of(&self, id: CallId) -> Option<Heard> {
        match &self.calls.get(&id)?.stage {
            Stage::Greeting { menu: name, kept, round, .. } => {
                let menu = self.menu(name, kept.as_deref())?.clone();
                Some(Heard { name: name.clone(), kept: kept.clone(), round: *round, menu })
            }
            Stage::Queued { .. }
            | Stage::Dialling { .. }
            | Stage::Echo
            | Stage::Taken
            | Stage::CallingBack { .. }
            | Stage::Talking { .. }
            | Stage::Message { .. }
            | Stage::Ending => None,
        }
    }
}

fn digit_of_info(body: &Body) -> Option<char> {
    let text = core::str::from_utf8(&body.bytes).ok()?;
    let kind = body.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let value = match kind.as_str() {
        "application/dtmf-relay" => text
            .lines()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case("signal"))
            .map(|(_, value)| value.trim())?,
        "application/dtmf" => text.trim(),
        _ => return None,
    };
    let digit = value.chars().next()?.to_ascii_uppercase();
    matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D').then_some(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_from_both_kinds_of_info() {
        for (kind, text, expected) in [
            ("application/dtmf-relay", "Signal= 5\r\nDuration=160\r\n", Some('5')),
            ("application/dtmf-relay; charset=x", "Duration=160\nsignal=#\n", Some('#')),
            ("application/dtmf", "d", Some('D')),
            ("application/dtmf-relay", "Duration=160", None),
            ("text/plain", "5", None),
            ("application/dtmf", "", None),
        ] {
            let body = Body { content_type: kind.to_owned(), bytes: text.as_bytes().to_vec() };
            assert_eq!(digit_of_info(&body), expected, "{kind} {text}");
        }
    }
}
