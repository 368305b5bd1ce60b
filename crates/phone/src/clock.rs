//! The phone's clock: UTC at its start, advanced by the monotonic clock; so nothing in a call jumps when somebody sets the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use offhook_units::{Span, Tick};

/// A clock that never goes backwards. Copies agree.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    origin_tick: Tick,
}

impl Clock {
    /// A clock that shows UTC now.
    pub fn start() -> Self {
        let utc = SystemTime::now().duration_since(UNIX_EPOCH).map_or(Span::ZERO, Span::from);
        Self { origin: Instant::now(), origin_tick: Tick::ZERO + utc }
    }

    /// Now.
    pub fn now(&self) -> Tick {
        self.origin_tick + Span::from(self.origin.elapsed())
    }

    /// `tick` as the standard library counts, for waiting with a deadline.
    pub fn instant(&self, tick: Tick) -> Instant {
        // A deadline centuries away is none: the loop that waits for it wakes once a day.
        let ahead = tick.since(self.origin_tick).as_std();
        self.origin.checked_add(ahead).unwrap_or_else(|| Instant::now() + std::time::Duration::from_hours(24))
    }
}
