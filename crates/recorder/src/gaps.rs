//! Stretches of one side that no packet covers, each with its reason.

use offhook_plan::tap::Side;
use serde::{Deserialize, Serialize};

/// Most gaps listed for one side; those beyond are counted in [`Gaps::unlisted`].
pub const GAPS_MAX: usize = 4_096;

/// Why a side has no speech of its own for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// No packet had come yet.
    BeforeFirstPacket,
    /// No packet came any more before the recording was closed.
    AfterLastPacket,
    /// Packets were sent and did not arrive, or came later than they were waited for.
    NetworkLoss,
    /// The tap ring was full: the disk or the recorder was too slow.
    RingFull,
    /// Key presses were sent in place of speech (RFC 4733).
    TelephoneEvent,
    /// Comfort noise was sent in place of speech (RFC 3389).
    ComfortNoise,
    /// The sender paused: hold, silence suppression, or nothing to play.
    Silent,
    /// The sender changed its SSRC or its RTP time.
    SourceChange,
    /// Packets in a codec that is not recorded.
    UnknownCodec,
    /// Packets came faster than time passes; the surplus was left out.
    Overrun,
    /// The disk refused the data.
    Disk,
    /// The exchange died before this stretch was known to be whole.
    Crash,
    /// The recording has reached its largest size.
    SizeLimit,
    /// The recording was paused: nothing of this stretch was taken in.
    Pause,
}

impl GapReason {
    /// The word for it, as in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeFirstPacket => "before-first-packet",
            Self::AfterLastPacket => "after-last-packet",
            Self::NetworkLoss => "network-loss",
            Self::RingFull => "ring-full",
            Self::TelephoneEvent => "telephone-event",
            Self::ComfortNoise => "comfort-noise",
            Self::Silent => "silent",
            Self::SourceChange => "source-change",
            Self::UnknownCodec => "unknown-codec",
            Self::Overrun => "overrun",
            Self::Disk => "disk",
            Self::Crash => "crash",
            Self::SizeLimit => "size-limit",
            Self::Pause => "pause",
        }
    }
}

/// One stretch of one side, in frames (samples at 8 kHz) from the start of the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Which side.
    #[serde(with = "side_name")]
    pub side: Side,
    /// Its first frame.
    pub from: u64,
    /// The frame after its last.
    pub to: u64,
    /// Why.
    pub why: GapReason,
}

impl Gap {
    /// Milliseconds from the start of the recording to its first frame, rounded down.
    pub const fn from_ms(&self) -> u64 {
        self.from / 8
    }

    /// Milliseconds from the start of the recording to the frame after its last, rounded up.
    pub const fn to_ms(&self) -> u64 {
        self.to.div_ceil(8)
    }
}

/// The gaps of one side, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps {
    list: Vec<Gap>,
    unlisted: u64,
    frames: u64,
}

impl Gaps {
    /// Adds `gap`, which starts at or after the end of the last one; an empty one is ignored.
    pub fn push(&mut self, gap: Gap) {
        if gap.from >= gap.to {
            return;
        }
        self.frames += gap.to - gap.from;
        if self.list.len() < GAPS_MAX {
            self.list.push(gap);
        } else {
            self.unlisted += 1;
        }
    }

    /// The listed gaps.
    pub fn list(&self) -> &[Gap] {
        &self.list
    }

    /// Gaps that found no room in the list.
    pub const fn unlisted(&self) -> u64 {
        self.unlisted
    }

    /// Frames in all gaps, listed or not.
    pub const fn frames(&self) -> u64 {
        self.frames
    }
}

/// The parts of `range` that no gap of `gaps` (in order) covers.
pub fn uncovered(range: (u64, u64), gaps: &[Gap]) -> Vec<(u64, u64)> {
    let (mut from, to) = range;
    let mut parts = Vec::new();
    for gap in gaps {
        if gap.from.min(to) > from {
            parts.push((from, gap.from.min(to)));
        }
        from = from.max(gap.to);
    }
    if from < to {
        parts.push((from, to));
    }
    parts
}

/// `left` and `right` as the words for the two sides.
pub(crate) mod side_name {
    use offhook_plan::tap::Side;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    pub fn serialize<S: Serializer>(side: &Side, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match side {
            Side::Heard => "left",
            Side::Sent => "right",
        })
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Side, D::Error> {
        match <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.as_ref() {
            "left" => Ok(Side::Heard),
            "right" => Ok(Side::Sent),
            other => Err(D::Error::custom(format!("a side is `left` or `right`, not `{other}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(from: u64, to: u64) -> Gap {
        Gap { side: Side::Heard, from, to, why: GapReason::Silent }
    }

    #[test]
    fn what_gaps_leave_of_a_range() {
        let gaps = [gap(10, 20), gap(30, 40)];
        let check = |range, expected: &[(u64, u64)]| assert_eq!(uncovered(range, &gaps), expected, "{range:?}");
        check((0, 50), &[(0, 10), (20, 30), (40, 50)]);
        check((12, 18), &[]);
        check((15, 35), &[(20, 30)]);
        check((20, 30), &[(20, 30)]);
        check((0, 5), &[(0, 5)]);
        check((45, 50), &[(45, 50)]);
    }

    #[test]
    fn gaps_beyond_the_limit_are_counted_and_their_frames_too() {
        let mut gaps = Gaps::default();
        for n in 0..GAPS_MAX as u64 + 5 {
            gaps.push(gap(10 * n, 10 * n + 3));
        }
        gaps.push(gap(7, 7));
        assert_eq!((gaps.list().len(), gaps.unlisted(), gaps.frames()), (GAPS_MAX, 5, 3 * (GAPS_MAX as u64 + 5)));
    }

    #[test]
    fn a_gap_reads_back_from_json_in_words() {
        let json = serde_json::to_string(&gap(8, 17)).expect("JSON");
        assert_eq!(json, r#"{"side":"left","from":8,"to":17,"why":"silent"}"#);
        assert_eq!(serde_json::from_str::<Gap>(&json).ok(), Some(gap(8, 17)));
        assert_eq!((gap(8, 17).from_ms(), gap(8, 17).to_ms()), (1, 3));
    }
}
