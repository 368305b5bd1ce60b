//! What is said in a run of the load generator: a file or silence, encoded before it begins; and what was heard, decoded after its end.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::ValueEnum;
use offhook_codec::opus::{self, Encoded, Settings};
use offhook_codec::{Decoder, Encoder, G711, Law, g722};
use offhook_loadgen::flows::Speech;
use offhook_phone::Sound;
use offhook_plan::CodecKind;
use offhook_units::SampleRate;
use serde::Deserialize;

/// Every how many packets one is marked where real speech is sent: once a second.
const MARK_SPEECH_EVERY: u32 = 50;
/// Samples of 20 ms at 8 kHz, and at 16.
const PACKET: usize = 160;
const WIDE_PACKET: usize = 320;

/// A codec of callers, or of agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722: sound up to 8 kHz.
    G722,
    /// Opus, 24 kbit/s and constant work for the server: sound up to 8 kHz.
    Opus,
}

impl Codec {
    /// As signalling calls it.
    pub const fn kind(self) -> CodecKind {
        match self {
            Self::Pcmu => CodecKind::Pcmu,
            Self::Pcma => CodecKind::Pcma,
            Self::G722 => CodecKind::G722,
            Self::Opus => CodecKind::Opus,
        }
    }

    /// What its samples are at.
    pub const fn rate(self) -> SampleRate {
        match self {
            Self::Pcmu | Self::Pcma => SampleRate::NARROW,
            Self::G722 | Self::Opus => SampleRate::WIDE,
        }
    }
}

/// What is spoken: a file, or silence.
pub fn speech(path: Option<&Path>, codec: Codec, mark_every: Option<u32>) -> Result<Speech> {
    let (samples, mark_every) = match path {
        Some(path) => (Sound::load_at(path, codec.rate())?, mark_every.unwrap_or(MARK_SPEECH_EVERY)),
        None => (vec![0; codec.rate().0 as usize], mark_every.unwrap_or(1)),
    };
    encode(codec, samples, mark_every)
}

/// Samples at the codec's rate as packets of 20 ms; the last one is filled with silence.
fn encode(codec: Codec, mut samples: Vec<i16>, mark_every: u32) -> Result<Speech> {
    let packet = if codec.rate() == SampleRate::WIDE { WIDE_PACKET } else { PACKET };
    samples.resize(samples.len().next_multiple_of(packet).max(packet), 0);
    let mut bytes = vec![0; samples.len()];
    Ok(match codec {
        Codec::Pcmu | Codec::Pcma => {
            let law = if codec == Codec::Pcmu { Law::Mu } else { Law::A };
            G711::new(law).encode(&samples, &mut bytes);
            Speech::cut(codec.kind(), &bytes, law.silence(), mark_every)
        }
        Codec::G722 => {
            let length = g722::Encoder::default().encode(&samples, &mut bytes);
            Speech::cut(codec.kind(), &bytes[..length], 0, mark_every)
        }
        Codec::Opus => {
            let mut encoder = opus::Encoder::new(&Settings::voice(codec.rate())).context("Opus")?;
            let mut packets: Vec<Box<[u8]>> = Vec::new();
            let mut room = [0; opus::PACKET_BYTES_MAX];
            for frame in samples.chunks_exact(packet) {
                match encoder.encode(frame, &mut room).context("Opus")? {
                    Encoded::Packet(length) => packets.push(room[..length].into()),
                    // The first byte says what a frame is, and no other that nothing is in it (RFC 6716 section 3.2.1).
                    Encoded::Silent => packets.push(room[..1].into()),
                }
            }
            Speech { codec: codec.kind(), packets: Arc::from(packets), mark_every }
        }
    })
}

/// The samples of payloads, each of which lies so long after the first one, by the codec's clock; what is missing is silence, or concealed
/// where the codec does that by itself.
pub fn decode<'a>(codec: Codec, payloads: impl Iterator<Item = (u32, &'a [u8])>) -> Result<Vec<i16>> {
    let a_packet = codec.kind().clock() / 50;
    let packet = if codec.rate() == SampleRate::WIDE { WIDE_PACKET } else { PACKET };
    let (mut g722, mut opus) = (g722::Decoder::default(), opus::Decoder::new(codec.rate()).context("Opus")?);
    let mut out = Vec::new();
    for (after, payload) in payloads {
        let at = after as usize * packet / a_packet as usize;
        while out.len() < at {
            let begin = out.len();
            out.resize((begin + packet).min(at), 0);
            if codec == Codec::Opus && out.len() - begin == packet {
                opus.conceal(&mut out[begin..]).context("Opus")?;
            }
        }
        out.truncate(at);
        // Longer than any packet of Opus.
        let mut samples = vec![0; payload.len() * 2 + 6 * packet];
        let length = match codec {
            Codec::Pcmu => G711::new(Law::Mu).decode(payload, &mut samples),
            Codec::Pcma => G711::new(Law::A).decode(payload, &mut samples),
            Codec::G722 => g722.decode(payload, &mut samples),
            // What is no packet of Opus is as good as lost.
            Codec::Opus => opus.decode(payload, &mut samples).unwrap_or(0),
        };
        out.extend_from_slice(&samples[..length]);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_in_each_codec_is_the_same_tone_when_it_is_decoded_and_a_lost_packet_leaves_its_place() {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
            let rate = codec.rate().0 as usize;
            let tone: Vec<i16> = (0..rate)
                .map(|n| ((n as f64 * 440.0 * std::f64::consts::TAU / rate as f64).sin() * 8_000.0) as i16)
                .collect();
            let speech = encode(codec, tone, 1).unwrap();
            assert_eq!(speech.packets.len(), 50, "{codec:?}");
            let all = |lost: usize| {
                let packets = speech.packets.iter().enumerate().filter(move |(n, _)| *n != lost);
                packets.map(|(n, payload)| (n as u32 * speech.step(), &payload[..]))
            };
            let heard = decode(codec, all(usize::MAX)).unwrap();
            assert_eq!(heard.len(), rate, "{codec:?}");
            // The tone goes through zero 880 times a second, whatever its delay.
            let second_half = &heard[rate / 2..];
            let crossings = second_half.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
            assert!(crossings.abs_diff(440) <= 2, "{codec:?}: {crossings}");
            assert_eq!(decode(codec, all(20)).unwrap().len(), rate, "{codec:?}");
        }
    }
}
