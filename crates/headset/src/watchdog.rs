//! Notices a device that stopped calling back without a word.

use offhook_units::{Span, Tick};

/// A device that has not called back for this long is dead: many periods, and a pause that a person notices at once.
pub const SILENT_FOR: Span = Span::from_ms(600);

/// Watches one callback counter.
#[derive(Debug, Clone, Copy)]
pub struct Watchdog {
    callbacks: u64,
    since: Tick,
}

impl Watchdog {
    /// Armed at `now`, when the stream was started.
    pub const fn new(now: Tick) -> Self {
        Self { callbacks: 0, since: now }
    }

    /// Whether the device is dead at `now`, having called back `callbacks` times so far.
    pub fn is_dead(&mut self, now: Tick, callbacks: u64) -> bool {
        if callbacks != self.callbacks {
            *self = Self { callbacks, since: now };
        }
        now.since(self.since) >= SILENT_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_dead_600_ms_after_its_last_callback_and_not_before() {
        let at = Tick::from_us;
        let mut watchdog = Watchdog::new(at(0));
        assert!(!watchdog.is_dead(at(500_000), 1));
        assert!(!watchdog.is_dead(at(1_000_000), 1));
        assert!(watchdog.is_dead(at(1_100_000), 1));
        assert!(!watchdog.is_dead(at(1_200_000), 2));
    }
}
