//! Keys pressed during a call, as telephone-events: RFC 4733 section 2.5.

use std::collections::VecDeque;

use crate::TelephoneEvent;
use offhook_units::Span;

/// How long a key sounds.
pub const KEY_FOR: Span = Span::from_ms(120);
/// Pause between two keys.
pub const PAUSE_FOR: Span = Span::from_ms(80);
/// How often the end of a key is sent, RFC 4733 section 2.5.1.4.
pub const ENDS: u8 = 3;
/// Most keys that wait; further ones are dropped and reported so.
pub const KEYS_MAX: usize = 64;
/// Loudness of what a gateway plays for it, in dB below 0 dBm0.
const VOLUME: u8 = 10;

/// Which packet takes the place of a frame of speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPacket {
    /// Its payload.
    pub event: TelephoneEvent,
    /// First packet of this key: gets the marker bit and fixes the timestamp.
    pub begins: bool,
}

/// Keys waiting and the one in progress. Stepped once per packet time.
#[derive(Debug, Default)]
pub struct KeySender {
    waiting: VecDeque<u8>,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Sounding {
        event: u8,
        lasted: u16,
    },
    Ending {
        event: u8,
        lasted: u16,
        left: u8,
    },
    Pausing {
        left: u16,
    },
}

impl KeySender {
    /// Presses `digit` after those waiting; `false` where it is no key, or too many wait.
    pub fn press(&mut self, digit: char) -> bool {
        match TelephoneEvent::event_of(digit) {
            Some(event) if self.waiting.len() < KEYS_MAX => {
                self.waiting.push_back(event);
                true
            }
            _ => false,
        }
    }

    /// Whether the packet just stepped was the last of the last key.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Ending { left: 0, .. }) && self.waiting.is_empty()
    }

    /// The packet for the next `samples` (one packet time at 8 kHz), or none: speech goes on.
    pub fn step(&mut self, samples: u16) -> Option<KeyPacket> {
        let (state, packet) = self.next(samples);
        self.state = state;
        packet
    }

    fn next(&mut self, samples: u16) -> (State, Option<KeyPacket>) {
        let packet = |event, end, duration, begins| {
            Some(KeyPacket { event: TelephoneEvent { event, end, volume: VOLUME, duration }, begins })
        };
        match self.state {
            State::Idle => match self.waiting.pop_front() {
                Some(event) => (State::Sounding { event, lasted: samples }, packet(event, false, samples, true)),
                None => (State::Idle, None),
            },
            State::Sounding { event, lasted } if lasted + samples < in_samples(KEY_FOR) => {
                let lasted = lasted + samples;
                (State::Sounding { event, lasted }, packet(event, false, lasted, false))
            }
            State::Sounding { event, lasted } => {
                let lasted = lasted + samples;
                (State::Ending { event, lasted, left: ENDS - 1 }, packet(event, true, lasted, false))
            }
            State::Ending { event, lasted, left: left @ 1.. } => {
                (State::Ending { event, lasted, left: left - 1 }, packet(event, true, lasted, false))
            }
            State::Ending { left: 0, .. } => (State::Pausing { left: in_samples(PAUSE_FOR) }, None),
            State::Pausing { left } if left > samples => (State::Pausing { left: left - samples }, None),
            State::Pausing { .. } => (State::Idle, None),
        }
    }
}

const fn in_samples(span: Span) -> u16 {
    (span.as_ms() * 8) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sender: &mut KeySender, steps: usize) -> Vec<Option<KeyPacket>> {
        (0..steps).map(|_| sender.step(160)).collect()
    }

    #[test]
    fn a_key_is_six_packets_of_which_the_last_is_sent_three_times_and_then_80_ms_of_pause() {
        let mut sender = KeySender::default();
        assert!(sender.press('5'));
        let sent = run(&mut sender, 14);
        let keys: Vec<_> = sent.iter().flatten().map(|p| (p.begins, p.event.end, p.event.duration)).collect();
        assert_eq!(
            keys,
            [
                (true, false, 160),
                (false, false, 320),
                (false, false, 480),
                (false, false, 640),
                (false, false, 800),
                (false, true, 960),
                (false, true, 960),
                (false, true, 960),
            ]
        );
        assert!(sent[..8].iter().all(Option::is_some) && sent[8..].iter().all(Option::is_none));
        assert_eq!(sender.state, State::Idle);
    }

    #[test]
    fn two_keys_are_two_events_and_more_than_64_are_refused() {
        let mut sender = KeySender::default();
        assert!(sender.press('1') && sender.press('#') && !sender.press('x'));
        let begins: Vec<u8> =
            run(&mut sender, 40).iter().flatten().filter(|p| p.begins).map(|p| p.event.event).collect();
        assert_eq!(begins, [1, 11]);
        assert_eq!((0..100).filter(|_| sender.press('9')).count(), KEYS_MAX);
    }
}
