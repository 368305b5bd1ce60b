//! Timers: one ordered queue for the whole endpoint, and the spans of RFC 3261 table 4.

use std::collections::BTreeSet;

use offhook_units::{Span, Tick};

use crate::endpoint::{RegistrationId, SessionId, SubscriptionId, WatchId};

/// The timers of transactions, RFC 3261 table 4 and RFC 6026.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// INVITE sent again.
    A,
    /// INVITE timed out.
    B,
    /// Wait for late failures.
    D,
    /// Non-INVITE sent again.
    E,
    /// Non-INVITE timed out.
    F,
    /// Failure sent again.
    G,
    /// Wait for the ACK.
    H,
    /// Wait for late ACKs.
    I,
    /// Wait for late requests.
    J,
    /// Wait for late responses.
    K,
    /// Wait for late INVITEs after a 2xx.
    L,
    /// Wait for late 2xx.
    M,
    /// Wait for an answer that our own core does not give, or that it does not need any more.
    Abandon,
}

impl Timer {
    /// Timers that repeat share slot 0, timers that end something slot 1: no state runs two of one slot.
    pub(crate) const fn slot(self) -> usize {
        match self {
            Self::A | Self::E | Self::G => 0,
            Self::B | Self::D | Self::F | Self::H | Self::I | Self::J | Self::K | Self::L | Self::M | Self::Abandon => {
                1
            }
        }
    }
}

/// The spans that all timers are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Round-trip time estimate.
    pub t1: Span,
    /// Longest gap between retransmissions.
    pub t2: Span,
    /// How long a message stays in the network.
    pub t4: Span,
}

/// How long a failed INVITE client transaction absorbs late responses, RFC 3261 section 17.1.1.2 (Timer D >= 32 s).
const TIMER_D: Span = Span::from_s(32);

impl Times {
    /// How long most transactions live.
    pub(crate) fn lifetime(self) -> Span {
        self.t1 * 64
    }

    /// How long `timer` runs at its `sent`-th start (0 the first time); none where a `reliable` transport needs it not.
    pub(crate) fn span(self, timer: Timer, sent: u32, reliable: bool) -> Option<Span> {
        let doubled = self.t1 * (1 << sent.min(16));
        match timer {
            Timer::A if !reliable => Some(doubled),
            Timer::E | Timer::G if !reliable => Some(doubled.min(self.t2)),
            Timer::A | Timer::E | Timer::G => None,
            Timer::D | Timer::I | Timer::J | Timer::K if reliable => Some(Span::ZERO),
            Timer::D => Some(TIMER_D.max(self.lifetime())),
            Timer::I | Timer::K => Some(self.t4),
            Timer::B | Timer::F | Timer::H | Timer::J | Timer::L | Timer::M | Timer::Abandon => Some(self.lifetime()),
        }
    }
}

/// The timers of a session's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SessionTimer {
    /// Our 2xx is sent again, or nobody acknowledged it.
    Unacked,
    /// A re-INVITE that met another is tried again.
    Glare,
    /// The caller is told again that it rings.
    Ringing,
    /// A reliable provisional response is sent again, or nobody acknowledged it.
    Reliable,
    /// A session is refreshed, or was not.
    Expiry,
}

/// Whose timer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    /// A client transaction's.
    Client(u64, Timer),
    /// A server transaction's.
    Server(u64, Timer),
    /// A session's.
    Session(SessionId, SessionTimer),
    /// A registration's: to send the next REGISTER.
    Registration(RegistrationId),
    /// A subscription's: nobody refreshed it.
    Subscription(SubscriptionId),
    /// A subscription's of ours: to send the next SUBSCRIBE.
    Watch(WatchId),
}

impl TimerKey {
    const fn slot(self) -> usize {
        match self {
            Self::Client(_, timer) | Self::Server(_, timer) => timer.slot(),
            Self::Session(_, timer) => timer as usize,
            Self::Registration(_) | Self::Subscription(_) | Self::Watch(_) => 0,
        }
    }
}

/// When an object's timers run out, by slot, so that they can be found in the queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alarms<const N: usize>([Option<(Tick, TimerKey)>; N]);

impl<const N: usize> Default for Alarms<N> {
    fn default() -> Self {
        Self([None; N])
    }
}

/// All running timers, the next one first.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Tick, TimerKey)>);

impl Timers {
    /// Starts `key` to run out at `at`, in place of what ran in its slot.
    pub(crate) fn start<const N: usize>(&mut self, alarms: &mut Alarms<N>, key: TimerKey, at: Tick) {
        if let Some(entry) = alarms.0[key.slot()].replace((at, key)) {
            self.0.remove(&entry);
        }
        self.0.insert((at, key));
    }

    /// Stops `key`, and leaves another timer in its slot alone.
    pub(crate) fn stop<const N: usize>(&mut self, alarms: &mut Alarms<N>, key: TimerKey) {
        if let Some(entry) = alarms.0[key.slot()].take_if(|(_, running)| *running == key) {
            self.0.remove(&entry);
        }
    }

    /// Stops everything of an object that goes away.
    pub(crate) fn stop_all<const N: usize>(&mut self, alarms: &mut Alarms<N>) {
        for entry in alarms.0.iter_mut().filter_map(Option::take) {
            self.0.remove(&entry);
        }
    }

    /// When the next timer runs out.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes the next timer that has run out by `now`.
    pub(crate) fn pop_due(&mut self, now: Tick) -> Option<TimerKey> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, key)| key)
    }

    /// How many are running.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
