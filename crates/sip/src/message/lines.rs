//! The lines of a message's head, found eight bytes at a time.

/// Where the first line feed stands.
pub(crate) fn line_feed(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut words = bytes.chunks_exact(8);
    let mut at = 0;
    for word in &mut words {
        let Ok(word) = word.try_into().map(u64::from_le_bytes) else { break };
        // A byte that was a line feed is zero now, and the lowest such byte is the lowest whose top bit remains.
        let word = word ^ (ONES * 0x0a);
        let zeros = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if zeros != 0 {
            return Some(at + (zeros.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    words.remainder().iter().position(|byte| *byte == b'\n').map(|place| at + place)
}

/// The lines of a head without their ends: what stands between line feeds, a carriage return before each taken away.
pub fn head_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    core::iter::from_fn(move || {
        let text = rest?;
        let end = line_feed(text);
        rest = end.map(|end| &text[end + 1..]);
        let line = &text[..end.unwrap_or(text.len())];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_feed_is_found_wherever_it_stands_and_nothing_else_is_taken_for_one() {
        for length in 0..40 {
            for other in [0_u8, 0x0b, 0x09, 0x8a, 0xff] {
                let mut bytes = vec![other; length];
                assert_eq!(line_feed(&bytes), None, "{length} of {other}");
                for place in (0..length).rev() {
                    bytes[place] = b'\n';
                    assert_eq!(line_feed(&bytes), Some(place), "{length} of {other}");
                }
            }
        }
    }

    #[test]
    fn lines_are_cut_as_at_each_line_feed_with_what_is_left_at_the_end() {
        for text in ["", "\n", "a\r\nb\n\r\nc", "a\r\n", "\r", "a\rb\r\r\n"] {
            let expected = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).as_bytes());
            assert!(head_lines(text.as_bytes()).eq(expected), "{text:?}");
        }
    }
}
