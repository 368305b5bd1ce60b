//! The plan of one call's media, and what comes back.

use core::net::SocketAddr;

use offhook_units::{CallId, CryptoSuite, LegId, PlayerId, RecordingId, Span, Tick};

use crate::tap::Side;
use crate::{Dtls, Negotiated};

/// The whole media of one call. A plan replaces the one before it; a leg that is not in it any more is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPlan {
    /// Which call.
    pub call: CallId,
    /// Rises with every plan of this call; answered by [`MediaEvent::PlanApplied`].
    pub generation: u32,
    /// The call's legs.
    pub legs: Vec<LegPlan>,
    /// Who hears what. A leg without an edge towards it is sent nothing; one with several hears them all at once.
    pub edges: Vec<Edge>,
    /// What is recorded.
    pub taps: Vec<Tap>,
    /// What is sent to recorders outside (RFC 7866).
    pub forks: Vec<Fork>,
}

/// One leg: a pair of ports of ours and what was agreed with the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegPlan {
    /// Which leg.
    pub leg: LegId,
    /// Our RTP address; RTCP is on the next port unless multiplexed. The worker binds both when it first sees the leg.
    pub local: SocketAddr,
    /// What was agreed, or nothing yet: the ports are open, early packets are held (see [`Edge::since`]), nothing is sent.
    pub negotiated: Option<Negotiated>,
    /// SSRC of what we send on this leg.
    pub ssrc: u32,
    /// Sequence number of the first packet we send.
    pub first_seq: u16,
    /// RTP timestamp of the first packet we send.
    pub first_timestamp: u32,
    /// It came from another call ([`MediaCommand::Move`]): its ports are open already, and it brings its streams along.
    pub moved: bool,
    /// What we say of DTLS and ICE, where its keys come by a handshake. It is answered from the first plan on, and RTCP shares
    /// RTP's port.
    pub dtls: Option<Box<Dtls>>,
}

impl LegPlan {
    /// Our RTCP address: the port above RTP's (RFC 3550 section 11), or none where both share one (RFC 5761).
    pub fn local_rtcp(&self) -> Option<SocketAddr> {
        let muxed = self.dtls.is_some() || self.negotiated.as_ref().is_some_and(|media| media.rtcp_mux);
        let above = SocketAddr::new(self.local.ip(), self.local.port().wrapping_add(1));
        (!muxed).then_some(above)
    }
}

/// Where sound for a leg comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// What another leg of the same call says: relayed where it is heard alone and the codecs are equal, turned into the other
    /// codec otherwise.
    Leg(LegId),
    /// A prompt or music.
    Player(PlayerPlan),
}

/// One playing of assets, one after the other. The same [`PlayerId`] in a later plan plays on; a new one starts anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerPlan {
    /// Which playing.
    pub player: PlayerId,
    /// What is played, in order.
    pub assets: Vec<AssetId>,
    /// Begins again at its end; otherwise [`MediaEvent::PlayerFinished`] follows once.
    pub repeat: bool,
}

/// A sound file loaded into memory, by its place in the list given to the workers at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetId(pub u32);

/// Sound flows from `from` to the leg `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// What is heard.
    pub from: Source,
    /// Who hears it.
    pub to: LegId,
    /// For a leg as source: packets that arrived at or after this instant and found no edge are sent first, in order, so
    /// that no word is lost between the answer and the plan. [`Tick::MAX`] asks for none.
    pub since: Tick,
}

/// Both directions of `leg` go to a recording: received packets as they arrived, and what we sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    /// Recorded at this leg (the customer's).
    pub leg: LegId,
    /// Into this recording.
    pub recording: RecordingId,
    /// The side that what is heard at the leg becomes; what is sent to it becomes the other one. [`Side::Heard`] but for streams
    /// that are taken for somebody else's call.
    pub heard_as: Side,
}

/// One direction of `leg` goes to the leg `to` too, packet by packet: what its peer said, or what we sent to it. It goes as it is
/// where both have the same codec, and is turned into the other one where that can be done byte by byte; keys do not go
/// there. Whoever hears `leg` hears it as before: a fork is no listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// Which leg.
    pub leg: LegId,
    /// Which of its two directions.
    pub side: Side,
    /// The leg of the recorder outside. Nothing else may be heard there.
    pub to: LegId,
}

/// What the control plane tells a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaCommand {
    /// Carry this plan out; boxed so that a ring slot stays small.
    Apply(Box<MediaPlan>),
    /// The call is over: close its legs, report them.
    Close(CallId),
    /// A leg leaves this worker's call for another one, as it is: ports, keys, numbers and figures go along. The other call's plan
    /// names it with [`LegPlan::moved`]; neither has to come first.
    Move(Move),
}

/// One leg's way from a call to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The call that it leaves.
    pub from: CallId,
    /// Which leg.
    pub leg: LegId,
    /// The call that it joins.
    pub to: CallId,
    /// That call's worker; it may be the same one.
    pub worker: usize,
}

/// How a key comes in the media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigitSource {
    /// As a telephone-event, RFC 4733.
    Event,
    /// As tones in the speech of a leg without telephone-events.
    Inband,
}

/// What a worker tells the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaEvent {
    /// A plan is in force since `at`, and all its legs are there.
    PlanApplied {
        /// Which call.
        call: CallId,
        /// Which plan.
        generation: u32,
        /// Since when.
        at: Tick,
    },
    /// A player that does not repeat has sent its last frame.
    PlayerFinished {
        /// Which call.
        call: CallId,
        /// Which playing.
        player: PlayerId,
    },
    /// A key was pressed: reported once per press, at the first packet of a telephone-event (RFC 4733), or as soon as its
    /// tones are known for a key.
    Digit {
        /// Which call.
        call: CallId,
        /// Pressed on this leg.
        leg: LegId,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
        /// How it came.
        source: DigitSource,
    },
    /// The first packet on a leg, or the first from a new address (symmetric RTP).
    Latched {
        /// Which call.
        call: CallId,
        /// Which leg.
        leg: LegId,
        /// Where the packets come from.
        from: SocketAddr,
    },
    /// Nothing was received for `silent_for` on a leg whose peer should send; told once until packets come again.
    Silent {
        /// Which call.
        call: CallId,
        /// Which leg.
        leg: LegId,
        /// How long.
        silent_for: Span,
    },
    /// Packets came again on a leg that was told silent.
    HeardAgain {
        /// Which call.
        call: CallId,
        /// Which leg.
        leg: LegId,
        /// How long it had been silent.
        silent_for: Span,
    },
    /// A leg's speech has come to sound otherwise than it did, over some seconds.
    Graded {
        /// Which call.
        call: CallId,
        /// Which leg.
        leg: LegId,
        /// How the peer sounds to us.
        heard: Grade,
        /// How we sound to the peer, by its reports.
        sent: Grade,
    },
    /// The keys of a leg cannot be agreed on with its peer: it can be neither heard nor spoken to. Told once.
    HandshakeFailed {
        /// Which call.
        call: CallId,
        /// Which leg.
        leg: LegId,
        /// What went wrong, and at which end.
        error: String,
    },
    /// How loud a leg's peer speaks: told from time to time where it has changed, and before the leg is closed.
    Level {
        /// Which call.
        call: CallId,
        /// Which leg.
        leg: LegId,
        /// Of all its life.
        level: LevelReport,
        /// It has sent nothing but silence for a while.
        quiet: bool,
    },
    /// The peer told in VoIP metrics (RFC 3611) how it hears us, otherwise than it did before.
    PeerTold {
        /// Which call.
        call: CallId,
        /// Which leg.
        leg: LegId,
        /// What it said.
        metrics: PeerMetrics,
    },
    /// A leg's ports could not be opened; the leg is dead.
    LegFailed {
        /// Which call.
        call: CallId,
        /// Which leg.
        leg: LegId,
        /// The operating system's words.
        error: String,
    },
    /// A leg was closed: its figures.
    LegClosed {
        /// Which call.
        call: CallId,
        /// Which leg.
        leg: LegId,
        /// Its figures.
        report: LegReport,
        /// How it sounded.
        speech: SpeechReport,
        /// How it was encrypted, where it was.
        srtp: Option<SrtpReport>,
    },
}

impl MediaEvent {
    /// Whether the control plane has to be roused for it. The rest answers commands or changes nothing that is done next: it is
    /// found at the next look.
    pub const fn is_pressing(&self) -> bool {
        match self {
            Self::PlayerFinished { .. }
            | Self::Digit { .. }
            | Self::LegFailed { .. }
            | Self::HandshakeFailed { .. }
            | Self::Silent { .. }
            | Self::HeardAgain { .. } => true,
            Self::PlanApplied { .. }
            | Self::Latched { .. }
            | Self::LegClosed { .. }
            | Self::Graded { .. }
            | Self::Level { .. }
            | Self::PeerTold { .. } => false,
        }
    }
}

/// How a leg was encrypted in the end, and what did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SrtpReport {
    /// By which suite.
    pub suite: CryptoSuite,
    /// Packets received and thrown away unheard: of another key, changed, seen before, or not encrypted at all.
    pub failed_packets: u64,
}

/// How speech sounds at the time, in three grades of the E-model's rating (ITU-T G.107 table B.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Over 80: "satisfied"; also where nothing is known.
    #[default]
    Good,
    /// 70 to 80: "some users dissatisfied".
    Fair,
    /// Below.
    Poor,
}

impl Grade {
    /// That of a rating (`R`, 0 to 100).
    pub const fn of(rating: f64) -> Self {
        match rating {
            80.0.. => Self::Good,
            70.0.. => Self::Fair,
            _ => Self::Poor,
        }
    }

    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
        }
    }
}

/// How the speech of one direction would be rated, second by second: mean opinion scores by the E-model (ITU-T G.107).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Quality {
    /// Seconds of a rating over 80: a score of 4.03 and more, "satisfied" (G.107 table B.1).
    pub good_s: u32,
    /// Seconds of 70 to 80: 3.60 and more, "some users dissatisfied".
    pub fair_s: u32,
    /// Seconds below.
    pub poor_s: u32,
    /// Scores of all seconds added up, in hundredths.
    pub mos_sum_x100: u64,
    /// The worst score, in hundredths; zero where nothing was rated.
    pub mos_worst_x100: u16,
}

impl Quality {
    /// Adds `seconds` of one rating (`R`, 0 to 100) and its score in hundredths.
    pub fn add(&mut self, seconds: u32, rating: f64, mos_x100: u16) {
        let grade = match Grade::of(rating) {
            Grade::Good => &mut self.good_s,
            Grade::Fair => &mut self.fair_s,
            Grade::Poor => &mut self.poor_s,
        };
        *grade = grade.saturating_add(seconds);
        self.mos_sum_x100 += u64::from(seconds) * u64::from(mos_x100);
        self.mos_worst_x100 = if self.mos_worst_x100 == 0 { mos_x100 } else { self.mos_worst_x100.min(mos_x100) };
    }

    /// Takes another's seconds in.
    pub fn join(&mut self, other: &Self) {
        let Self { good_s, fair_s, poor_s, mos_sum_x100, mos_worst_x100 } = *other;
        if other.is_empty() {
            return;
        }
        let worst = if self.is_empty() { mos_worst_x100 } else { self.mos_worst_x100.min(mos_worst_x100) };
        *self = Self {
            good_s: self.good_s.saturating_add(good_s),
            fair_s: self.fair_s.saturating_add(fair_s),
            poor_s: self.poor_s.saturating_add(poor_s),
            mos_sum_x100: self.mos_sum_x100.saturating_add(mos_sum_x100),
            mos_worst_x100: worst,
        };
    }

    /// Seconds rated.
    pub const fn seconds(&self) -> u64 {
        self.good_s as u64 + self.fair_s as u64 + self.poor_s as u64
    }

    /// Whether nothing was rated.
    pub const fn is_empty(&self) -> bool {
        self.seconds() == 0
    }

    /// The mean score, 1 to 4.5, where anything was rated.
    pub fn mos(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.mos_sum_x100 as f64 / self.seconds() as f64 / 100.0)
    }
}

/// How a leg sounded in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SpeechReport {
    /// How the peer sounded to us.
    pub heard: Quality,
    /// How we sounded to the peer, by its reports.
    pub sent: Quality,
    /// How often the peer sent nothing for as long as the worker takes for silence, though it should.
    pub silences: u32,
    /// How long these silences were together, in microseconds.
    pub silent_us: u64,
}

impl SpeechReport {
    /// Whether there is nothing to tell.
    pub const fn is_empty(&self) -> bool {
        self.heard.is_empty() && self.sent.is_empty() && self.silences == 0
    }

    /// Takes another leg in.
    pub fn join(&mut self, other: &Self) {
        let Self { heard, sent, silences, silent_us } = other;
        self.heard.join(heard);
        self.sent.join(sent);
        self.silences = self.silences.saturating_add(*silences);
        self.silent_us = self.silent_us.saturating_add(*silent_us);
    }
}

/// How loud a leg's peer spoke in its life, and how much of the time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LevelReport {
    /// Its level while it spoke (ITU-T P.56), in tenths of a dB below full scale (dBov); none where it never did.
    pub speech_dbov_x10: Option<i16>,
    /// How much of what it sent could be measured.
    pub measured_ms: u64,
    /// In how much of that it spoke.
    pub active_ms: u64,
}

impl LevelReport {
    /// How much of the time it spoke, in percent, where anything was measured.
    pub fn active_percent(&self) -> Option<u64> {
        (self.measured_ms > 0).then(|| self.active_ms * 100 / self.measured_ms)
    }

    /// Takes another leg in: levels by how long each was spoken at.
    pub fn join(&mut self, other: &Self) {
        let Self { speech_dbov_x10, measured_ms, active_ms } = *other;
        let weigh = |level: i16, ms: u64| f64::from(level) * ms as f64;
        self.speech_dbov_x10 = match (self.speech_dbov_x10, speech_dbov_x10) {
            (Some(ours), Some(theirs)) if self.active_ms + active_ms > 0 => {
                let sum = weigh(ours, self.active_ms) + weigh(theirs, active_ms);
                Some((sum / (self.active_ms + active_ms) as f64).round() as i16)
            }
            (ours, theirs) => ours.or(theirs),
        };
        self.measured_ms = self.measured_ms.saturating_add(measured_ms);
        self.active_ms = self.active_ms.saturating_add(active_ms);
    }
}

/// What a peer tells of the speech that it hears from us (VoIP metrics, RFC 3611 section 4.7). Shares are of 256, times in ms and
/// zero where it does not know them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PeerMetrics {
    /// Lost on the way.
    pub lost: u8,
    /// Came, and not in time for its jitter buffer.
    pub discarded: u8,
    /// Lost or discarded within bursts.
    pub burst_density: u8,
    /// The same between them.
    pub gap_density: u8,
    /// Mean length of a burst.
    pub burst_ms: u16,
    /// Mean length of what lies between.
    pub gap_ms: u16,
    /// Round trip as it measures it.
    pub round_trip_ms: u16,
    /// Delay within it.
    pub end_system_ms: u16,
    /// How loud we are.
    pub signal_dbm0: Option<i8>,
    /// How loud our pauses are.
    pub noise_dbm0: Option<i8>,
    /// The E-model's rating, 0 to 100.
    pub rating: Option<u8>,
    /// Listening quality, a mean opinion score in tenths.
    pub mos_lq_x10: Option<u8>,
    /// Conversational quality, in tenths.
    pub mos_cq_x10: Option<u8>,
    /// Its jitter buffer.
    pub jitter_buffer_ms: u16,
    /// What that may be at most.
    pub jitter_buffer_max_ms: u16,
}

/// What a leg saw in its life.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LegReport {
    /// RTP packets received and accepted.
    pub received_packets: u64,
    /// Their payload bytes.
    pub received_bytes: u64,
    /// RTP packets sent.
    pub sent_packets: u64,
    /// Their payload bytes.
    pub sent_bytes: u64,
    /// Sequence numbers that never came (RFC 3550 A.3, cumulative).
    pub lost_packets: u64,
    /// Interarrival jitter at the end, in RTP clock units (RFC 3550 A.8).
    pub jitter: u32,
    /// Packets that came twice.
    pub duplicate_packets: u64,
    /// Packets thrown away: malformed, from a stranger's address, of an unknown payload type.
    pub discarded_packets: u64,
    /// Fraction lost as the peer last reported it (RFC 3550 6.4.1, of 256), where it reported.
    pub peer_fraction_lost: Option<u8>,
    /// Round trip as last computed from the peer's reports, in microseconds.
    pub round_trip_us: Option<u32>,
}
