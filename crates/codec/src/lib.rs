//! G.711, G.722, Opus, L16, comfort noise, resampling, tones, keys heard in speech, and concealment.
//!
//! A codec is an encoder and a decoder; callers own all buffers, and neither allocates.

mod bands;
mod conceal;
mod dtmf;
pub mod g722;
mod level;
mod linear;
mod narrow;
mod noise;
pub mod opus;
pub mod pcma;
pub mod pcmu;
mod progress;
mod resample;
mod speech;
mod tone;
mod transcode;

pub use bands::Bands;
pub use conceal::Concealer;
pub use dtmf::KeyDetector;
pub use level::{LevelMeter, Measured, power};
pub use linear::Linear;
pub use narrow::{Coding, NarrowDecoder, NarrowEncoder};
pub use noise::ComfortNoise;
pub use progress::{CountryTones, Progress};
pub use resample::{ResampleError, Resampler, resample};
pub use speech::{Form, SpeechDecoder, SpeechEncoder};
pub use tone::{Cadence, Tone};
pub use transcode::Transcoder;

/// Turns samples into payload bytes.
pub trait Encoder: Send {
    /// Encodes all of `pcm` into `out` and says how many bytes were written: at most `out.len()`.
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize;
}

/// Turns payload bytes into samples.
pub trait Decoder: Send {
    /// Decodes a payload into `out` and says how many samples were written: at most `out.len()`.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize;
    /// Decodes a payload into two bands of 8 kHz each, where the decoder was made to hear both, and says how many samples were
    /// written to each; the upper one is silence otherwise.
    fn decode_bands(&mut self, payload: &[u8], low: &mut [i16], high: &mut [i16]) -> usize {
        let count = self.decode(payload, low);
        high.iter_mut().take(count).for_each(|sample| *sample = 0);
        count
    }
    /// Decodes a payload that lies ahead of what is missing, without a trace in the decoder; 0 where the codec cannot,
    /// because what it decodes depends on what came before.
    fn peek(&self, _payload: &[u8], _out: &mut [i16]) -> usize {
        0
    }
    /// Takes what was lost before a payload from that payload, where its codec repeats it there, and fills `out` with it; 0 where
    /// the codec has no such thing. The payload itself is decoded next.
    fn recover(&mut self, _after: &[u8], _out: &mut [i16]) -> usize {
        0
    }
    /// How many samples a payload holds at the codec's clock.
    fn samples_in(&self, payload: &[u8]) -> usize;
}

/// The two laws of G.711.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// North America and Japan; RTP payload type 0.
    Mu,
    /// Everybody else; RTP payload type 8.
    A,
}

impl Law {
    /// The byte of silence, as fills and gaps are written: the code of 0.
    pub const fn silence(self) -> u8 {
        match self {
            Self::Mu => 0xff,
            Self::A => 0xd5,
        }
    }

    /// One byte to one sample.
    pub const fn decode(self, byte: u8) -> i16 {
        match self {
            Self::Mu => pcmu::DECODED[byte as usize],
            Self::A => pcma::DECODED[byte as usize],
        }
    }

    /// One sample to one byte.
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Mu => pcmu::encode_sample(sample),
            Self::A => pcma::encode_sample(sample),
        }
    }

    /// The 256 bytes that turn this law into the other.
    pub const fn to_other(self) -> &'static [u8; 256] {
        const TO_A: [u8; 256] = translation(Law::Mu, Law::A);
        const TO_MU: [u8; 256] = translation(Law::A, Law::Mu);
        match self {
            Self::Mu => &TO_A,
            Self::A => &TO_MU,
        }
    }
}

const fn translation(from: Law, to: Law) -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = to.encode(from.decode(byte as u8));
        byte += 1;
    }
    table
}

/// G.711 both ways.
#[derive(Debug, Clone, Copy)]
pub struct G711 {
    law: Law,
}

impl G711 {
    /// For one stream.
    pub const fn new(law: Law) -> Self {
        Self { law }
    }

    /// Its law.
    pub const fn law(&self) -> Law {
        self.law
    }
}

impl Encoder for G711 {
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        let count = pcm.len().min(out.len());
        for (byte, sample) in out.iter_mut().zip(pcm) {
            *byte = self.law.encode(*sample);
        }
        count
    }
}

impl Decoder for G711 {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        self.peek(payload, out)
    }

    fn peek(&self, payload: &[u8], out: &mut [i16]) -> usize {
        for (sample, byte) in out.iter_mut().zip(payload) {
            *sample = self.law.decode(*byte);
        }
        payload.len().min(out.len())
    }

    fn samples_in(&self, payload: &[u8]) -> usize {
        payload.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translating_there_and_back_stays_within_one_step() {
        for law in [Law::Mu, Law::A] {
            for byte in 0..=255 {
                let sample = law.decode(byte);
                let other = if law == Law::Mu { Law::A } else { Law::Mu };
                let there = other.decode(law.to_other()[usize::from(byte)]);
                let error = (i32::from(sample) - i32::from(there)).abs();
                assert!(error <= i32::from(sample).abs() / 16 + 16, "{law:?} {byte:#x}: {sample} became {there}");
            }
        }
    }

    #[test]
    fn silence_is_the_code_of_zero() {
        assert_eq!((Law::Mu.encode(0), Law::A.encode(0)), (0xff, 0xd5));
        assert_eq!((Law::Mu.decode(0xff), Law::A.decode(0xd5)), (0, 8));
    }

    #[test]
    fn every_code_survives_decoding_and_encoding() {
        for law in [Law::Mu, Law::A] {
            for byte in 0..=255_u8 {
                let again = law.encode(law.decode(byte));
                // Mu-law has two codes of zero; the negative one becomes the positive.
                let expected = if law == Law::Mu && byte == 0x7f { 0xff } else { byte };
                assert_eq!(again, expected, "{law:?} {byte:#x}");
            }
        }
    }
}
