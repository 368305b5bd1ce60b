//! G.711 mu-law (ITU-T G.711, table 2): 14-bit speech in 8 bits, RTP payload type 0.

/// Added before the segment is searched.
const BIAS: i32 = 0x84;
/// Loudest magnitude that can be coded.
const CLIP: i32 = 32_635;

/// What each code stands for.
pub static DECODED: [i16; 256] = TABLE;

const TABLE: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8);
        let magnitude = ((((bits & 0x0f) as i32) << 3) + BIAS) << ((bits >> 4) & 7);
        let value = magnitude - BIAS;
        table[code] = if bits & 0x80 != 0 { -value as i16 } else { value as i16 };
        code += 1;
    }
    table
};

/// One sample to its code.
pub const fn encode_sample(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let wide = (sample as i32).abs();
    let magnitude = if wide > CLIP { CLIP } else { wide } + BIAS;
    let segment = 24 - (magnitude as u32).leading_zeros();
    let mantissa = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | ((segment as u8) << 4) | mantissa as u8)
}

/// Encodes as many samples as both slices hold.
pub fn encode(pcm: &[i16], out: &mut [u8]) {
    for (code, sample) in out.iter_mut().zip(pcm) {
        *code = encode_sample(*sample);
    }
}

/// Decodes as many codes as both slices hold.
pub fn decode(codes: &[u8], out: &mut [i16]) {
    for (sample, code) in out.iter_mut().zip(codes) {
        *sample = DECODED[usize::from(*code)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_of_the_recommendation() {
        let rows =
            [(0, 0xff), (32_124, 0x80), (-32_124, 0x00), (i16::MAX, 0x80), (i16::MIN, 0x00), (8, 0xfe), (-8, 0x7e)];
        for (sample, code) in rows {
            assert_eq!(encode_sample(sample), code, "{sample}");
        }
        assert_eq!((DECODED[0x80], DECODED[0x00], DECODED[0xff]), (32_124, -32_124, 0));
    }
}
