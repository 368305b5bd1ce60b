//! Marks in the payload of packets: who sent it and when, so that the way there and back is known where the payload arrives as it was.

use offhook_units::Tick;

/// What a mark begins with. As G.711 it is a click of a few samples.
const MAGIC: [u8; 8] = *b"\x8dOffhook";
/// Bytes of a mark.
pub const MARK_BYTES: usize = 36;
/// Where the instant stands at which the far end sent it back.
const TURNED_AT: usize = 28;

/// One mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Which run of which program: other runs' clocks are not ours.
    pub run: u64,
    /// Which flow sent it.
    pub flow: u32,
    /// The flow's packets, counted from 0.
    pub number: u32,
    /// When it was sent.
    pub sent: Tick,
}

impl Mark {
    /// Writes it over the begin of `payload`; says whether it found room.
    pub fn write(&self, payload: &mut [u8]) -> bool {
        let Some(room) = payload.get_mut(..MARK_BYTES) else { return false };
        let parts: [&[u8]; 5] = [
            &MAGIC,
            &(self.run as u32).to_be_bytes(),
            &self.flow.to_be_bytes(),
            &self.number.to_be_bytes(),
            &self.sent.as_us().to_be_bytes(),
        ];
        let mut at = 0;
        for part in parts {
            room[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        room[TURNED_AT..].fill(0);
        true
    }

    /// The mark at the begin of `payload`, and when the far end sent it back, where it says so.
    pub fn read(payload: &[u8]) -> Option<(Self, Option<Tick>)> {
        let room = payload.get(..MARK_BYTES).filter(|room| room.starts_with(&MAGIC))?;
        let word = |at: usize| room[at..at + 4].iter().fold(0, |word, byte| (word << 8) | u32::from(*byte));
        let long = |at: usize| (u64::from(word(at)) << 32) | u64::from(word(at + 4));
        let mark = Self { run: u64::from(word(8)), flow: word(12), number: word(16), sent: Tick::from_us(long(20)) };
        let turned = Some(long(TURNED_AT)).filter(|us| *us > 0).map(Tick::from_us);
        Some((mark, turned))
    }

    /// Notes in a marked payload that it is sent back now.
    pub fn turn(payload: &mut [u8], now: Tick) {
        if let Some(room) = payload.get_mut(..MARK_BYTES).filter(|room| room.starts_with(&MAGIC)) {
            room[TURNED_AT..].copy_from_slice(&now.as_us().to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_speech_is_none() {
        let mark = Mark { run: 0xfeed_beef, flow: 7, number: 1_000_000, sent: Tick::from_us(1_790_000_000_000_001) };
        let mut payload = [0xd5; 160];
        assert!(mark.write(&mut payload));
        assert_eq!(Mark::read(&payload), Some((mark, None)));
        Mark::turn(&mut payload, Tick::from_us(9));
        assert_eq!(Mark::read(&payload), Some((mark, Some(Tick::from_us(9)))));
        assert!(
            !mark.write(&mut [0; 35]) && Mark::read(&[0xd5; 160]).is_none() && Mark::read(&payload[..35]).is_none()
        );
        let mut speech = [0xd5; 160];
        Mark::turn(&mut speech, Tick::from_us(9));
        assert_eq!(speech, [0xd5; 160]);
    }
}
