//! What is said of a call when it is over: one JSON object for programs, and the same figures for people.

use serde::Serialize;

/// Who ended a call, or why it never was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndedBy {
    /// We hung up, declined or gave up calling.
    Us,
    /// The peer sent BYE.
    Peer,
    /// The caller gave up before we answered.
    Cancelled,
    /// The peer, or a server between, refused.
    Refused,
    /// The peer answered no request any more, or never acknowledged our answer.
    NoResponse,
    /// The peer answered with a description of media that is of no use to us.
    Media,
}

/// Which side began the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// The peer called us.
    In,
    /// We called.
    Out,
}

/// The media of one call.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MediaStatistics {
    /// Packets of speech sent.
    pub sent_packets: u64,
    /// Their payload bytes.
    pub sent_bytes: u64,
    /// SHA-256 over the payloads sent, in order; telephone-events are left out.
    pub sent_payload_sha256: String,
    /// Packets of speech received.
    pub received_packets: u64,
    /// Their payload bytes.
    pub received_bytes: u64,
    /// SHA-256 over the payloads received, in sequence order; telephone-events are left out.
    pub received_payload_sha256: String,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came too late to be played.
    pub late: u64,
    /// Packets from strangers, of unknown payload types, or malformed.
    pub discarded: u64,
    /// Interarrival jitter at the end, in milliseconds.
    pub jitter_ms: f64,
    /// Longest time between two packets of speech, in milliseconds.
    pub longest_gap_ms: f64,
    /// Speech invented in the place of what was missing, in milliseconds.
    pub concealed_ms: u64,
    /// From the start of media to the first packet received, in milliseconds; none where nothing came.
    pub first_packet_ms: Option<f64>,
    /// Share of ours that the peer last reported lost, 0 to 1; none where it did not report.
    pub peer_lost_fraction: Option<f64>,
    /// Round trip as the last reports said, in milliseconds; none where the peer does not report.
    pub round_trip_ms: Option<f64>,
    /// Keys that the peer pressed, in order.
    pub keys: String,
    /// How often a loudspeaker in use was left without sound, or a microphone had brought too little: gaps that are heard.
    pub device_xruns: u64,
    /// Frames of 10 ms that the clock owed and the machine could not keep up with.
    pub late_frames: u64,
    /// Bytes that a recording or a payload file lost because the disk was too slow.
    pub file_bytes_dropped: u64,
}

/// One call, when it is over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallStatistics {
    /// The call's number in this phone, from 1.
    pub call: u32,
    /// Who called whom.
    pub bound: Bound,
    /// The other side's number.
    pub number: String,
    /// The other side's name, where it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The queue that the call comes from, where the server named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Whether it was answered.
    pub answered: bool,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// The final SIP status where it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// In words: the reason phrase, the peer's `Reason`, or ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// From INVITE to answer, in milliseconds; none where it was not answered.
    pub setup_ms: Option<f64>,
    /// From answer to end, in milliseconds; 0 where it was not answered.
    pub duration_ms: f64,
    /// The codec, where one was agreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<&'static str>,
    /// What was heard and said.
    #[serde(flatten)]
    pub media: MediaStatistics,
}

impl CallStatistics {
    /// One line for people.
    pub fn line(&self) -> String {
        let with = self.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&self.number);
        if !self.answered {
            let why = self.reason.as_deref().unwrap_or("not answered");
            return format!("{with}: no call ({why})");
        }
        let media = &self.media;
        let heard = media.received_packets + media.lost;
        let loss = if heard == 0 { 0.0 } else { media.lost as f64 * 100.0 / heard as f64 };
        let gaps = match media.device_xruns {
            0 => String::new(),
            gaps => format!(", {gaps} gaps at the sound device"),
        };
        format!(
            "{with}: {:.1} s, {} packets sent, {} received, {loss:.1} % lost, jitter {:.1} ms{gaps}",
            self.duration_ms / 1_000.0,
            media.sent_packets,
            media.received_packets,
            media.jitter_ms
        )
    }
}
