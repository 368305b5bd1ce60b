//! The speech of one call, as its caller said and heard it, for whoever judges it.

use offhook_rtp::{Heard, ReceiverStats};
use offhook_units::RtpTime;

/// Longest sample in bytes of G.711: a minute.
pub const SAMPLE_BYTES_MAX: usize = 480_000;

/// Which call is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampled {
    /// Its number, as in the caller's name.
    pub call: u64,
    /// What fills gaps: silence of the codec.
    pub silence: u8,
}

/// What one caller heard since its sample began, and said meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    silence: u8,
    begin: Option<RtpTime>,
    heard: Vec<u8>,
}

impl Sample {
    /// An empty one.
    pub const fn new(silence: u8) -> Self {
        Self { silence, begin: None, heard: Vec::new() }
    }

    /// A packet came: it lies where its timestamp says, from the first one on.
    pub fn hear(&mut self, timestamp: RtpTime, payload: &[u8]) {
        let begin = *self.begin.get_or_insert(timestamp);
        let at = timestamp.0.wrapping_sub(begin.0) as usize;
        // What is older than the first one has wrapped around, and is beyond the end as well.
        if at.saturating_add(payload.len()) > SAMPLE_BYTES_MAX {
            return;
        }
        if self.heard.len() < at + payload.len() {
            self.heard.resize(at + payload.len(), self.silence);
        }
        self.heard[at..at + payload.len()].copy_from_slice(payload);
    }

    /// What was heard, gaps filled with silence: a byte for each sample of 8 kHz.
    pub fn heard(&self) -> &[u8] {
        &self.heard
    }

    /// What was said for as long, which is `speech` again and again.
    pub fn said(&self, speech: &[u8]) -> Vec<u8> {
        speech.iter().copied().cycle().take(self.heard.len()).collect()
    }
}

/// Whether a packet brings something new, and in its order or not.
pub(crate) fn is_new(stats: &mut ReceiverStats, header: &offhook_rtp::Header, arrival: Option<u32>) -> bool {
    let placed = stats.heard(header.ssrc, header.seq, header.timestamp, arrival);
    matches!(placed, Heard::Began | Heard::Newest { .. } | Heard::Late)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_lie_where_their_timestamps_say_and_what_is_lost_is_silence() {
        let mut sample = Sample::new(0xff);
        let first = u32::MAX - 159;
        sample.hear(RtpTime(first), &[1; 160]);
        sample.hear(RtpTime(first.wrapping_add(320)), &[3; 160]);
        assert_eq!(sample.heard()[160..320], [0xff; 160]);
        sample.hear(RtpTime(first.wrapping_add(160)), &[2; 160]);
        assert_eq!(sample.heard(), [[1; 160], [2; 160], [3; 160]].concat());
        // From before the begin, and beyond the longest sample.
        sample.hear(RtpTime(first.wrapping_sub(160)), &[9; 160]);
        sample.hear(RtpTime(first.wrapping_add(SAMPLE_BYTES_MAX as u32)), &[9; 160]);
        assert_eq!(sample.heard().len(), 480);
        assert_eq!(sample.said(&[7, 8]).len(), 480);
    }
}
