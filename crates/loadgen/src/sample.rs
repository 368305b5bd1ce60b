//! The speech of one call, as its caller said and heard it, for whoever judges it.

use offhook_rtp::{Heard, ReceiverStats};
use offhook_units::RtpTime;

/// Longest sample in packets of 20 ms: a minute.
pub const SAMPLE_PACKETS_MAX: u32 = 3_000;

/// What one caller heard since its sample began, packet by packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// What 20 ms add to a timestamp.
    step: u32,
    begin: Option<RtpTime>,
    /// Payloads, and how far after the first one each lies.
    heard: Vec<(u32, Box<[u8]>)>,
}

impl Sample {
    /// An empty one, of a codec of which a packet adds `step` to its timestamp.
    pub const fn new(step: u32) -> Self {
        Self { step, begin: None, heard: Vec::new() }
    }

    /// A packet came: it lies where its timestamp says, from the first one on.
    pub fn hear(&mut self, timestamp: RtpTime, payload: &[u8]) {
        let begin = *self.begin.get_or_insert(timestamp);
        let after = timestamp.0.wrapping_sub(begin.0);
        // What is older than the first one has wrapped around, and is beyond the end as well.
        if after < self.step.saturating_mul(SAMPLE_PACKETS_MAX) {
            let at = self.heard.partition_point(|(before, _)| *before <= after);
            self.heard.insert(at, (after, payload.into()));
        }
    }

    /// Whether nothing was heard.
    pub const fn is_empty(&self) -> bool {
        self.heard.is_empty()
    }

    /// What was heard, in order: payloads, and how many samples of the codec's clock after the first one each lies. What is missing was
    /// lost.
    pub fn heard(&self) -> &[(u32, Box<[u8]>)] {
        &self.heard
    }

    /// How many packets were said meanwhile.
    pub fn packets_said(&self) -> usize {
        self.heard.last().map_or(0, |(after, _)| (after / self.step.max(1)) as usize + 1)
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
    fn packets_lie_where_their_timestamps_say_and_a_minute_of_them_is_kept() {
        let mut sample = Sample::new(160);
        let first = u32::MAX - 159;
        sample.hear(RtpTime(first), &[1]);
        sample.hear(RtpTime(first.wrapping_add(320)), &[3]);
        assert_eq!((sample.heard().len(), sample.packets_said()), (2, 3));
        sample.hear(RtpTime(first.wrapping_add(160)), &[2]);
        // From before the begin, and beyond the longest sample.
        sample.hear(RtpTime(first.wrapping_sub(160)), &[9]);
        sample.hear(RtpTime(first.wrapping_add(160 * SAMPLE_PACKETS_MAX)), &[9]);
        let heard: Vec<(u32, u8)> = sample.heard().iter().map(|(after, payload)| (*after, payload[0])).collect();
        assert_eq!((heard, sample.packets_said()), (vec![(0, 1), (160, 2), (320, 3)], 3));
    }
}
