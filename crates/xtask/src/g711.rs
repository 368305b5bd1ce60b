//! G.711 mu-law by the formula of the standard, as an oracle beside the exchange's own tables.

/// The sample that a code word stands for.
pub fn decode(code: u8) -> i16 {
    let code = !code;
    let exponent = (code >> 4) & 7;
    let magnitude = ((i32::from(code & 15) << 3) + 132) << exponent;
    let sample = magnitude - 132;
    (if code & 0x80 == 0 { sample } else { -sample }) as i16
}

/// The code word of a sample.
pub fn encode(sample: i16) -> u8 {
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let exponent = 24 - magnitude.leading_zeros() as i32; // 7 bits below the leading one: 0..=7
    let mantissa = (magnitude >> (exponent + 3)) & 15;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

/// Code words of many samples.
pub fn encode_all(samples: &[i16]) -> Vec<u8> {
    samples.iter().copied().map(encode).collect()
}

/// Samples of many code words.
pub fn decode_all(codes: &[u8]) -> Vec<i16> {
    codes.iter().copied().map(decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_word_but_negative_zero_comes_back() {
        for code in 0..=255 {
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(encode(decode(code)), expected, "{code:#x}");
        }
        assert_eq!((decode(0), decode(0x80), decode(0xff)), (-32_124, 32_124, 0));
    }
}
