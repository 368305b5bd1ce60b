//! Marks in the payload of packets: who sent it and when, so that the way there and back is known where the payload arrives as it was.
//!
//! In a codec of one byte a sample a mark stands over the begin of the speech, and is heard as a click. A packet of Opus has it as the
//! padding that any decoder leaves out (RFC 6716 section 3.2.5), and sounds as without.

use offhook_plan::CodecKind;
use offhook_units::Tick;

/// What a mark begins with.
const MAGIC: [u8; 8] = *b"\x8dOffhook";
/// Bytes of a mark.
pub const MARK_BYTES: usize = 36;
/// Where the instant stands at which the far end sent it back.
const TURNED_AT: usize = 28;
/// The code of a packet of Opus that holds one frame and nothing else, in the last two bits of its first byte, and of one whose next
/// byte says what it holds.
const ONE_FRAME: u8 = 0;
const ANY_FRAMES: u8 = 3;
/// That byte of a packet with one frame and padding (RFC 6716 section 3.2.5), which the padding's length follows.
const ONE_FRAME_PADDED: u8 = 0b0100_0001;
/// What a marked packet of Opus has more than it had.
const PADDED_BYTES: usize = 2 + MARK_BYTES;

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
    /// Puts it into the payload in `room[..length]`, and says how long that is then; no other where it finds no room.
    pub fn write(&self, codec: CodecKind, room: &mut [u8], length: usize) -> usize {
        let mark = self.encode();
        if codec == CodecKind::Opus {
            let is_single = length > 0 && room.first().is_some_and(|first| first & ANY_FRAMES == ONE_FRAME);
            if !is_single || room.len() < length + PADDED_BYTES {
                return length;
            }
            room.copy_within(1..length, 3);
            room[0] |= ANY_FRAMES;
            (room[1], room[2]) = (ONE_FRAME_PADDED, MARK_BYTES as u8);
            room[length + 2..length + PADDED_BYTES].copy_from_slice(&mark);
            return length + PADDED_BYTES;
        }
        if let Some(begin) = room.get_mut(..MARK_BYTES).filter(|_| length >= MARK_BYTES) {
            begin.copy_from_slice(&mark);
        }
        length
    }

    fn encode(&self) -> [u8; MARK_BYTES] {
        let mut room = [0; MARK_BYTES];
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
        room
    }

    /// Where the mark of a payload is, if it has one: at its begin or its end.
    fn place(payload: &[u8]) -> Option<usize> {
        let last = payload.len().checked_sub(MARK_BYTES)?;
        [0, last].into_iter().find(|at| payload[*at..].starts_with(&MAGIC))
    }

    /// The mark of `payload`, and when the far end sent it back, where it says so.
    pub fn read(payload: &[u8]) -> Option<(Self, Option<Tick>)> {
        let room = &payload[Self::place(payload)?..];
        let word = |at: usize| room[at..at + 4].iter().fold(0, |word, byte| (word << 8) | u32::from(*byte));
        let long = |at: usize| (u64::from(word(at)) << 32) | u64::from(word(at + 4));
        let mark = Self { run: u64::from(word(8)), flow: word(12), number: word(16), sent: Tick::from_us(long(20)) };
        let turned = Some(long(TURNED_AT)).filter(|us| *us > 0).map(Tick::from_us);
        Some((mark, turned))
    }

    /// Notes in a marked payload that it is sent back now.
    pub fn turn(payload: &mut [u8], now: Tick) {
        if let Some(at) = Self::place(payload) {
            payload[at + TURNED_AT..at + MARK_BYTES].copy_from_slice(&now.as_us().to_be_bytes());
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
        assert_eq!(mark.write(CodecKind::Pcma, &mut payload, 160), 160);
        assert_eq!(Mark::read(&payload), Some((mark, None)));
        Mark::turn(&mut payload, Tick::from_us(9));
        assert_eq!(Mark::read(&payload), Some((mark, Some(Tick::from_us(9)))));
        let mut short = [0xd5; 160];
        assert_eq!(mark.write(CodecKind::Pcma, &mut short, 35), 35);
        assert!(
            Mark::read(&short).is_none() && Mark::read(&[0xd5; 160]).is_none() && Mark::read(&payload[..35]).is_none()
        );
        let mut speech = [0xd5; 160];
        Mark::turn(&mut speech, Tick::from_us(9));
        assert_eq!(speech, [0xd5; 160]);
    }

    #[test]
    fn a_marked_packet_of_opus_holds_the_same_frame_and_38_bytes_more_and_one_of_two_frames_has_no_mark() {
        let mark = Mark { run: 1, flow: 2, number: 3, sent: Tick::from_us(4) };
        let mut room = [0; 200];
        room[..5].copy_from_slice(&[0b0100_1000, 1, 2, 3, 4]);
        assert_eq!(mark.write(CodecKind::Opus, &mut room, 5), 43);
        assert_eq!(room[..7], [0b0100_1011, 0x41, 36, 1, 2, 3, 4]);
        Mark::turn(&mut room[..43], Tick::from_us(9));
        assert_eq!(Mark::read(&room[..43]), Some((mark, Some(Tick::from_us(9)))));
        let mut two = [0b0100_1001, 1, 1];
        assert_eq!((mark.write(CodecKind::Opus, &mut two, 3), two), (3, [0b0100_1001, 1, 1]));
    }
}
