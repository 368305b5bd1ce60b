//! G.711 A-law (ITU-T G.711, table 1): 13-bit speech in 8 bits, RTP payload type 8.

/// Even bits are inverted on the wire.
const MASK: u8 = 0x55;

/// What each code stands for.
pub static DECODED: [i16; 256] = TABLE;

const TABLE: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = (code as u8) ^ MASK;
        let segment = (bits >> 4) & 7;
        let mantissa = ((bits & 0x0f) as i32) << 4;
        let magnitude = if segment == 0 { mantissa + 8 } else { (mantissa + 0x108) << (segment - 1) };
        table[code] = if bits & 0x80 != 0 { magnitude as i16 } else { -magnitude as i16 };
        code += 1;
    }
    table
};

/// One sample to its code.
pub const fn encode_sample(sample: i16) -> u8 {
    // Negative values are ones' complements, so that -1 lies in the step below 0.
    let (sign, magnitude) = if sample < 0 { (0, !(sample as i32)) } else { (0x80, sample as i32) };
    let step = magnitude >> 4;
    let code = if step < 0x20 {
        step as u8
    } else {
        let segment = 28 - (step as u32).leading_zeros();
        ((segment as u8) << 4) | ((step >> (segment - 1)) & 0x0f) as u8
    };
    (sign | code) ^ MASK
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
            [(0, 0xd5), (-1, 0x55), (8, 0xd5), (i16::MAX, 0xaa), (i16::MIN, 0x2a), (32_256, 0xaa), (-32_256, 0x2a)];
        for (sample, code) in rows {
            assert_eq!(encode_sample(sample), code, "{sample}");
        }
        assert_eq!((DECODED[0xaa], DECODED[0x2a], DECODED[0xd5]), (32_256, -32_256, 8));
    }
}
