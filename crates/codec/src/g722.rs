//! G.722 at 64 kbit/s: sound up to 7 kHz in the bytes of G.711, ITU-T Recommendation G.722 (mode 1), in whole numbers as its
//! blocks have them.
//!
//! Two samples at 16 kHz are split into a lower and an upper band, each at 8 kHz and each coded as the difference to what was
//! expected: six bits below, two above. So a byte lasts as long as one of G.711, and RTP counts it the same (RFC 3551 section
//! 4.5.2). The lower band alone is telephone sound at 8 kHz: [`Encoder::encode_narrow`] and [`Decoder::decode_narrow`] go that
//! way, without a filter and without its delay.

mod band;
mod split;
#[cfg(test)]
mod tests;

use band::Band;
pub(crate) use split::Split;

/// The byte of silence, as fills and gaps are written: the smallest step in both bands. Repeated, it yields zeros from the start,
/// and lets a decoder that was loud ring out to a standstill that nobody hears (64 of 32,768 at most).
pub const SILENCE: u8 = 0xfd;

/// The upper band's two bits in [`SILENCE`].
const UPPER_SILENT: u8 = 0xc0;

/// Makes the bytes of one stream.
#[derive(Debug, Clone)]
pub struct Encoder {
    split: Split,
    lower: Band,
    upper: Band,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { split: Split::default(), lower: Band::lower(), upper: Band::upper() }
    }
}

/// How long an encoder that begins in mid-stream has heard something: 200 ms.
const HEARD_BEFORE: usize = 3_200;

impl Encoder {
    /// For a listener who has heard another stream before, as in a call that goes from music to a person. An encoder that begins
    /// from nothing opens with the largest steps and expects nothing; a decoder that knows better makes a bang of it, at full
    /// scale and for 60 ms. One that has heard something like a voice is at its level within 60 ms.
    pub fn in_mid_stream() -> Self {
        let triangle = |n: i32, hertz: i32, peak: i32| {
            let phase = n * hertz % 16_000;
            (phase.min(16_000 - phase) - 4_000) * peak / 4_000
        };
        let mut encoder = Self::default();
        let mut out = [0];
        for n in (0..HEARD_BEFORE as i32).step_by(2) {
            let at = |n| (triangle(n, 140, 3_000) + triangle(n, 610, 3_000) + triangle(n, 1_290, 1_500)) as i16;
            // Steps of the upper band follow a hiss.
            let hiss = ((n * 7_919) ^ ((n * 104_729) >> 5)) % 400;
            encoder.encode(&[at(n) + hiss as i16, at(n + 1) - hiss as i16], &mut out);
        }
        encoder
    }

    /// Encodes samples at 16 kHz, two to a byte, into `out`; says how many bytes were written. A single sample at the end and
    /// what finds no room are left out.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        let mut count = 0;
        for (pair, byte) in pcm.chunks_exact(2).zip(out) {
            let (low, high) = self.split.analyse(pair[0], pair[1]);
            *byte = self.upper.encode_upper(high) << 6 | self.lower.encode_lower(low);
            count += 1;
        }
        count
    }

    /// Encodes one sample of each band at 8 kHz, without the filter that parts them.
    pub fn encode_bands(&mut self, low: i16, high: i16) -> u8 {
        self.upper.encode_upper(i32::from(high) >> 1) << 6 | self.lower.encode_lower(i32::from(low) >> 1)
    }

    /// Encodes one sample at 8 kHz, as the lower band of sound that has no upper one.
    pub fn encode_narrow(&mut self, sample: i16) -> u8 {
        UPPER_SILENT | self.lower.encode_lower(i32::from(sample) >> 1)
    }
}

/// Reads the bytes of one stream. Every byte is a valid one.
#[derive(Debug, Clone)]
pub struct Decoder {
    split: Split,
    lower: Band,
    upper: Band,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { split: Split::default(), lower: Band::lower(), upper: Band::upper() }
    }
}

impl Decoder {
    /// Decodes to 16 kHz, a byte to two samples, into `out`; says how many samples were written. What finds no room for both is
    /// left out.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let mut count = 0;
        for (byte, pair) in payload.iter().zip(out.chunks_exact_mut(2)) {
            let (low, high) = (self.lower.decode_lower(*byte & 0x3f), self.upper.decode_upper(*byte >> 6));
            let (first, second) = self.split.join(low, high);
            pair.copy_from_slice(&[first, second]);
            count += 2;
        }
        count
    }

    /// Decodes one byte to one sample of each band at 8 kHz, without the filter that joins them.
    pub fn decode_bands(&mut self, byte: u8) -> (i16, i16) {
        let (low, high) = (self.lower.decode_lower(byte & 0x3f), self.upper.decode_upper(byte >> 6));
        ((low << 1) as i16, (high << 1) as i16)
    }

    /// Decodes one byte to one sample at 8 kHz: its lower band.
    pub fn decode_narrow(&mut self, byte: u8) -> i16 {
        (self.lower.decode_lower(byte & 0x3f) << 1) as i16
    }
}

/// Within 16 bits, as the Recommendation's sums are.
const fn saturated(value: i32) -> i32 {
    if value > 32_767 {
        32_767
    } else if value < -32_768 {
        -32_768
    } else {
        value
    }
}
