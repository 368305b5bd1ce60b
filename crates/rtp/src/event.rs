//! Telephone-events, RFC 4733: keys pressed, sent as packets of their own.

/// Size of the payload of one event.
pub const EVENT_BYTES: usize = 4;

/// One report on an event in progress, RFC 4733 section 2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Which event: 0-15 are the keys of [`TelephoneEvent::digit`], 16 is a hook flash.
    pub event: u8,
    /// The event is over.
    pub end: bool,
    /// Loudness below 0 dBm0, in dB, 0-63.
    pub volume: u8,
    /// How long it has lasted, in timestamp units.
    pub duration: u16,
}

impl TelephoneEvent {
    const KEYS: &'static [u8; 16] = b"0123456789*#ABCD";

    /// Reads a payload; several reports in one packet (RFC 4733 section 2.5.1.5) give the first. `None` where it is too short.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let &[event, flags, high, low, ..] = payload else { return None };
        Some(Self { event, end: flags & 0x80 != 0, volume: flags & 0x3f, duration: u16::from_be_bytes([high, low]) })
    }

    /// The payload.
    pub const fn encode(&self) -> [u8; EVENT_BYTES] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, ((self.end as u8) << 7) | (self.volume & 0x3f), high, low]
    }

    /// The key: `0`-`9`, `*`, `#`, `A`-`D`; `None` for events that are no key.
    pub fn digit(&self) -> Option<char> {
        Self::KEYS.get(usize::from(self.event)).map(|key| char::from(*key))
    }

    /// The event number of a key.
    pub fn event_of(digit: char) -> Option<u8> {
        Self::KEYS.iter().position(|key| char::from(*key) == digit.to_ascii_uppercase()).map(|at| at as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_reads_back() {
        for digit in "0123456789*#ABCD".chars() {
            let event = TelephoneEvent::event_of(digit).unwrap();
            let sent = TelephoneEvent { event, end: true, volume: 10, duration: 800 };
            let read = TelephoneEvent::parse(&sent.encode()).unwrap();
            assert_eq!((read, read.digit()), (sent, Some(digit)));
        }
        assert_eq!(TelephoneEvent::event_of('x'), None);
        assert_eq!(TelephoneEvent::parse(&[1, 2, 3]), None);
        assert_eq!(TelephoneEvent::parse(&[16, 0, 0, 0]).unwrap().digit(), None);
    }
}
