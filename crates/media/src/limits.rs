//! What a worker may hold at most, and what it counts.

use offhook_units::Span;

/// Limits of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Legs at once; a further one fails, but for one that comes from another worker in the midst of a talk. Default 4,000.
    pub legs_max: usize,
    /// Bytes of the ring to the recorder; a record that finds no room is dropped and counted. Default 4 MiB: 100 recorded
    /// calls for two seconds. As much of it is touched as lies between two turns of the writer.
    pub tap_ring_bytes: usize,
    /// Events waiting for the control plane above which new legs fail and peers' doings (digits, new addresses, silence) are
    /// counted instead of told. Answers to commands are never dropped. Default 16,384.
    pub events_max: usize,
    /// A leg that hears nothing for this long is told silent. Default 1.5 s: looked after four times a second,
    /// one-way speech is known within two seconds.
    pub silent_after: Span,
    /// The same for a peer that has announced a pause by comfort noise (RFC 3389), and may send nothing until it speaks again or its
    /// background changes. Default 30 s.
    pub pause_max: Span,
    /// How many are heard at once by one leg of a conference: the loudest of late, so that not everybody's room is heard; at most
    /// [`crate::SPEAKERS_MAX`]. Default 3: with four in the call, everybody hears all others.
    pub speakers_max: usize,
    /// Mean time between RTCP reports of a leg, RFC 3550 section 6.2. Default 5 s.
    pub report_every: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            legs_max: 4_000,
            tap_ring_bytes: 4 << 20,
            events_max: 16_384,
            silent_after: Span::from_ms(1_500),
            pause_max: Span::from_s(30),
            speakers_max: 3,
            report_every: Span::from_s(5),
        }
    }
}

/// What one worker counted; totals since its start but for `legs`, `calls`, `mixing` and `events_waiting`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Legs open now.
    pub legs: u64,
    /// Calls now.
    pub calls: u64,
    /// Of the legs, those that hear several at once.
    pub mixing: u64,
    /// RTP packets received and accepted.
    pub received_packets: u64,
    /// RTP packets sent.
    pub sent_packets: u64,
    /// Datagrams thrown away: malformed, strangers', doubled, of unknown payload types.
    pub discarded_packets: u64,
    /// Packets of encrypted legs that could not be opened: of another key, changed, seen before, or not encrypted at all.
    pub unopened_packets: u64,
    /// Packets that could not be encrypted, and so did not leave: their number was used before, or their key is spent.
    pub unsealed_packets: u64,
    /// Early packets pushed out by newer ones, or too large to be held.
    pub held_overwritten: u64,
    /// Records written to the recorder's ring.
    pub tap_records: u64,
    /// Records that found no room.
    pub tap_dropped: u64,
    /// Legs refused or failed to open.
    pub legs_failed: u64,
    /// Legs whose keys could not be agreed on.
    pub handshakes_failed: u64,
    /// Checks of paths that were not looked at, because too many came for one leg within a second.
    pub checks_limited: u64,
    /// Paths of browsers that nothing is sent to any more, because they were not checked for too long (RFC 7675).
    pub paths_expired: u64,
    /// Legs that came from other workers.
    pub moved_legs: u64,
    /// Of these, those that were on their way for longer than [`crate::MOVE_WITHIN`].
    pub moved_late: u64,
    /// Events about peers' doings that were not told because too many waited.
    pub events_dropped: u64,
    /// Events waiting now.
    pub events_waiting: u64,
}
