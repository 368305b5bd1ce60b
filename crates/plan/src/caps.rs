//! Codecs as signalling sees them.

use core::net::SocketAddr;

use offhook_units::MasterKey;
use serde::{Deserialize, Serialize};

use crate::Dtls;

/// The static payload type of comfort noise at 8 kHz, RFC 3551 table 4; its clock is that of nearly all codecs here.
pub const COMFORT_NOISE: u8 = 13;
/// The clock that [`COMFORT_NOISE`] is counted in. Codecs with another one would need a payload type of its own (RFC 3389 section 4),
/// and have pauses of their own.
pub const COMFORT_NOISE_CLOCK: u32 = 8_000;

/// A codec by its SDP encoding name, and the parameters that an offer carries for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodecCap {
    /// Which codec.
    pub kind: CodecKind,
    /// `a=fmtp` parameters, without the payload type.
    pub fmtp: Option<String>,
}

impl CodecCap {
    /// A codec with what we say of it.
    pub fn of(kind: CodecKind) -> Self {
        Self { kind, fmtp: kind.fmtp().map(str::to_owned) }
    }
}

/// The codecs Offhook knows. `sip` negotiates them by name; it never links one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CodecKind {
    /// G.711 mu-law, static payload type 0.
    Pcmu,
    /// G.711 A-law, static payload type 8.
    Pcma,
    /// G.722 at 64 kbit/s, static payload type 9: sound at 16 kHz, counted at 8 kHz.
    G722,
    /// Opus, RFC 7587: no static payload type, counted at 48 kHz whatever it holds.
    Opus,
    /// L16, RFC 3551 section 4.5.11, at 8 kHz: samples of 16 bits, and no static payload type at this rate.
    L16,
}

impl CodecKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pcmu, Self::Pcma, Self::G722, Self::Opus, Self::L16];

    /// The SDP encoding name, RFC 3551 section 6 and RFC 7587 section 7.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
            Self::L16 => "L16",
        }
    }

    /// The RTP clock rate in Hz. That of G.722 is 8,000 by an old mistake that is kept for its peers, RFC 3551 section 4.5.2.
    pub const fn clock(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 | Self::L16 => 8_000,
            Self::Opus => 48_000,
        }
    }

    /// The channels that `a=rtpmap` names: two for Opus, of which either side may use one, RFC 7587 section 7.
    pub const fn channels(self) -> u8 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 | Self::L16 => 1,
            Self::Opus => 2,
        }
    }

    /// What we say of it in `a=fmtp`. Of Opus (RFC 7587 section 6.1): we listen at 16 kHz, to one channel, make use of what a
    /// packet repeats of the one before, and want pauses sent, so that silence is not taken for a dead line.
    pub const fn fmtp(self) -> Option<&'static str> {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 | Self::L16 => None,
            Self::Opus => Some("maxplaybackrate=16000;stereo=0;useinbandfec=1;usedtx=0"),
        }
    }

    /// The static payload type, RFC 3551 table 4, where there is one.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::Opus | Self::L16 => None,
        }
    }

    /// Whether a recording holds it as it comes: the others are turned into what it holds (docs/decisions/0114).
    pub const fn is_recorded(self) -> bool {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => true,
            Self::Opus | Self::L16 => false,
        }
    }

    /// What the file of a recording holds that begins at a leg with it: sound at 8 kHz in its own bytes, everything wider, and
    /// what has no bytes of 125 us, as G.722 (docs/decisions/0114).
    #[must_use]
    pub const fn recorded_as(self) -> Self {
        if self.is_recorded() { self } else { Self::G722 }
    }

    /// The kind with this encoding name (any case) and clock.
    pub fn by_name(name: &str, clock: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name().eq_ignore_ascii_case(name) && k.clock() == clock)
    }
}

/// What one side can do with sound, in order of preference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaCaps {
    /// Codecs, best first; never empty.
    pub codecs: Vec<CodecCap>,
    /// Whether RFC 4733 telephone-events are offered and taken.
    pub telephone_event: bool,
    /// Whether RFC 3389 comfort noise is offered and taken: whoever agrees on it may stop sending in pauses.
    pub comfort_noise: bool,
    /// Whether our offers ask for VoIP metrics (RFC 3611); whoever asks us gets them anyway.
    pub voip_metrics: bool,
    /// Packet time in ms that is offered and preferred.
    pub ptime_ms: u8,
}

impl MediaCaps {
    /// G.711 mu-law before A-law, with telephone-events and without comfort noise, in packets of 20 ms.
    pub fn g711() -> Self {
        Self {
            codecs: [CodecKind::Pcmu, CodecKind::Pcma].map(CodecCap::of).into(),
            telephone_event: true,
            comfort_noise: false,
            voip_metrics: false,
            ptime_ms: 20,
        }
    }
}

/// Which way sound flows, seen from us (RFC 3264 section 5.1): `SendOnly` means that we send and the peer listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// We send only.
    SendOnly,
    /// We receive only.
    RecvOnly,
    /// Neither: held by both, or refused.
    Inactive,
}

impl Direction {
    /// Whether we may send sound.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether we may expect sound.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same flow seen from the other end.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }
}

/// The keys of an encrypted stream (SRTP). Never printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crypto {
    /// What we send is under this one.
    pub send: MasterKey,
    /// What the peer sends is under this one.
    pub receive: MasterKey,
}

/// What offer and answer agreed on for one audio stream, seen from us. It may hold keys, so it cannot be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// The codec of both directions.
    pub codec: CodecKind,
    /// Payload type that we put on what we send.
    pub send_payload_type: u8,
    /// Payload type on what we receive.
    pub recv_payload_type: u8,
    /// Payload types of telephone-event (send, receive), where both sides have it.
    pub telephone_event: Option<(u8, u8)>,
    /// Both sides know comfort noise, as [`COMFORT_NOISE`]: either may send it in place of speech.
    pub comfort_noise: bool,
    /// The peer asks for VoIP metrics in our reports.
    pub voip_metrics: bool,
    /// Packet time in ms of what we make ourselves.
    pub ptime_ms: u8,
    /// Which way sound flows, seen from us.
    pub direction: Direction,
    /// Where the peer says it listens for RTP.
    pub remote_rtp: SocketAddr,
    /// Where the peer says it listens for RTCP: RTP's port + 1, or `a=rtcp`, or RTP's own when multiplexed.
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share a port, RFC 5761.
    pub rtcp_mux: bool,
    /// The keys, where RTP and RTCP are encrypted under keys from the descriptions.
    pub crypto: Option<Crypto>,
    /// The peer's part in the handshake that the keys come by, where they do.
    pub dtls: Option<Box<Dtls>>,
}
