//! Timers of calls: at most one of each kind per call, found and dropped without a scan.

use std::collections::{BTreeMap, BTreeSet};

use offhook_units::{CallId, Tick};

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The caller has not pressed a digit.
    Digit,
    /// A caller has heard the own voice for long enough.
    Echo,
    /// The position is announced again.
    Announce,
    /// A dialled phone has rung long enough.
    Ring,
    /// The trunk has said nothing so far: the next one is tried.
    Failover,
    /// A guest's phone has rung long enough.
    Guest,
    /// A pause of the recording is over.
    Pause,
    /// The recorder outside is tried again.
    Recorder,
    /// A recording session of others has sent nothing for too long.
    Silent,
    /// The worker has not reported the legs of an ended call.
    Close,
}

/// All timers of all calls.
#[derive(Debug, Default)]
pub struct Timers {
    due: BTreeSet<(Tick, CallId, Kind)>,
    armed: BTreeMap<(CallId, Kind), Tick>,
}

impl Timers {
    /// Arms or moves a timer.
    pub fn arm(&mut self, call: CallId, kind: Kind, at: Tick) {
        self.disarm(call, kind);
        self.armed.insert((call, kind), at);
        self.due.insert((at, call, kind));
    }

    /// Drops a timer, if it is armed.
    pub fn disarm(&mut self, call: CallId, kind: Kind) {
        if let Some(at) = self.armed.remove(&(call, kind)) {
            self.due.remove(&(at, call, kind));
        }
    }

    /// Drops the timers of what a call was doing; a pause of its recording goes on.
    pub fn disarm_steps(&mut self, call: CallId) {
        for kind in [Kind::Digit, Kind::Announce, Kind::Ring, Kind::Failover, Kind::Guest] {
            self.disarm(call, kind);
        }
    }

    /// Drops all timers of a call.
    pub fn disarm_all(&mut self, call: CallId) {
        self.disarm_steps(call);
        self.disarm(call, Kind::Pause);
        self.disarm(call, Kind::Recorder);
        self.disarm(call, Kind::Silent);
        self.disarm(call, Kind::Close);
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Tick> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// Takes one that is due.
    pub fn pop(&mut self, now: Tick) -> Option<(CallId, Kind)> {
        let (at, call, kind) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.disarm(call, kind);
        Some((call, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_timer_fires_once_at_its_new_instant() {
        let mut timers = Timers::default();
        let call = CallId(1);
        timers.arm(call, Kind::Digit, Tick::from_us(5));
        timers.arm(call, Kind::Digit, Tick::from_us(9));
        assert_eq!(timers.pop(Tick::from_us(8)), None);
        assert_eq!(timers.pop(Tick::from_us(9)), Some((call, Kind::Digit)));
        assert_eq!(timers.next(), None);
    }
}
