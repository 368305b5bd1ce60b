//! The buttons and lamps of a headset: a press is what a person at the screen would have asked for.

use offhook_headset::{Lamps, Press};
use offhook_units::Tick;

use super::Control;
use crate::line::{Line, Stage};
use crate::phone::{Command, Dial};

impl Control {
    /// The wearer pressed something. What means nothing now is passed over.
    pub(super) fn pressed(&mut self, now: Tick, press: Press) {
        let find = |is: &dyn Fn(&Line) -> bool| self.lines.values().rev().find(|line| is(line)).map(|line| line.call);
        let rings = find(&|line| line.stage == Stage::Ringing);
        let talks = find(&|line| line.stage == Stage::Talking && !line.held_by_us);
        let calls = find(&|line| line.stage == Stage::Calling);
        let held = find(&|line| line.stage == Stage::Talking && line.held_by_us);
        match (press, rings, talks.or(calls)) {
            // Flash takes the caller who waits, swaps two calls, or holds the one.
            (Press::OffHook, Some(rings), _) | (Press::Flash, Some(rings), Some(_)) => {
                self.answer_first(now, rings, talks);
            }
            (Press::Flash, None, _) => match (talks, held) {
                (Some(talks), Some(held)) => {
                    self.hold(now, talks, true);
                    self.hold(now, held, false);
                }
                (Some(call), None) => self.hold(now, call, true),
                (None, Some(call)) => self.hold(now, call, false),
                (None, None) => {}
            },
            (Press::OnHook, _, Some(current)) => self.hang_up(now, current),
            (Press::OnHook, Some(rings), None) => self.hang_up(now, rings),
            (Press::Mute, _, Some(current)) => {
                if let Some(on) = self.lines.get(&current).map(|line| !line.muted) {
                    self.command(now, Command::Mute(current, on));
                }
            }
            (Press::Redial, _, None) => {
                if let Some((peer, uri)) = self.dialed.clone() {
                    let call = self.next_call();
                    self.dial(now, call, peer, Dial::plain(uri));
                }
            }
            (Press::OffHook, None, _)
            | (Press::Flash, Some(_), None)
            | (Press::OnHook | Press::Mute, _, None)
            | (Press::Redial, _, Some(_)) => {}
        }
    }

    /// Answers one call and holds the other.
    fn answer_first(&mut self, now: Tick, rings: u32, talks: Option<u32>) {
        if let Some(talks) = talks {
            self.hold(now, talks, true);
        }
        self.answer(now, rings);
    }

    /// Shows on the headset what has changed.
    pub(super) fn light(&mut self) {
        let Some(buttons) = &self.config.buttons else { return };
        let any = |is: &dyn Fn(&Line) -> bool| self.lines.values().any(is);
        let lamps = Lamps {
            ring: any(&|line| line.stage == Stage::Ringing),
            off_hook: any(&|line| matches!(line.stage, Stage::Talking | Stage::Calling)),
            mute: any(&|line| line.stage == Stage::Talking && line.muted && !line.held_by_us),
            hold: any(&|line| line.stage == Stage::Talking && line.held_by_us),
        };
        // Where they wait already, the next change brings them.
        if lamps != self.lamps && buttons.lamps.try_send(lamps).is_ok() {
            self.lamps = lamps;
        }
    }
}
