//! From one coding to another, byte by byte: all that we relay last 125 us a byte, so a payload keeps its length and its place.

use crate::{Law, g722};

/// How a byte of speech is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// A sample at 8 kHz.
    G711(Law),
    /// Two samples at 16 kHz, coded by what went before.
    G722,
}

impl Coding {
    /// The byte of silence, as fills and gaps are written.
    pub const fn silence(self) -> u8 {
        match self {
            Self::G711(law) => law.silence(),
            Self::G722 => g722::SILENCE,
        }
    }
}

/// Turns one stream's coding into another. It holds what the codings remember, and allocates nothing.
#[derive(Debug, Clone)]
pub struct Transcoder {
    from: Coding,
    to: Coding,
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    Table(&'static [u8; 256]),
    Widen(Law, g722::Encoder),
    Narrow(g722::Decoder, Law),
}

impl Transcoder {
    /// Between two codings; `None` where they are the same.
    pub fn new(from: Coding, to: Coding) -> Option<Self> {
        let way = match (from, to) {
            (Coding::G711(Law::Mu), Coding::G711(Law::Mu))
            | (Coding::G711(Law::A), Coding::G711(Law::A))
            | (Coding::G722, Coding::G722) => return None,
            (Coding::G711(law), Coding::G711(Law::Mu | Law::A)) => Way::Table(law.to_other()),
            (Coding::G711(law), Coding::G722) => Way::Widen(law, g722::Encoder::default()),
            (Coding::G722, Coding::G711(law)) => Way::Narrow(g722::Decoder::default(), law),
        };
        Some(Self { from, to, way })
    }

    /// Whether it leads from `from` to `to`.
    pub fn leads(&self, from: Coding, to: Coding) -> bool {
        (self.from, self.to) == (from, to)
    }

    /// The next byte of the stream.
    pub fn byte(&mut self, byte: u8) -> u8 {
        match &mut self.way {
            Way::Table(table) => table[usize::from(byte)],
            Way::Widen(law, encoder) => encoder.encode_narrow(law.decode(byte)),
            Way::Narrow(decoder, law) => law.encode(decoder.decode_narrow(byte)),
        }
    }

    /// The next payload of the stream, in place.
    pub fn payload(&mut self, payload: &mut [u8]) {
        for byte in payload {
            *byte = self.byte(*byte);
        }
    }

    /// The source begins anew: what was remembered of it is of no use. What the listener remembers stays.
    pub fn source_began(&mut self) {
        match &mut self.way {
            Way::Table(_) | Way::Widen(..) => {}
            Way::Narrow(decoder, _) => *decoder = g722::Decoder::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::f64::consts::TAU;

    use super::*;

    const ALL: [Coding; 3] = [Coding::G711(Law::Mu), Coding::G711(Law::A), Coding::G722];

    #[test]
    fn a_coding_is_turned_into_each_other_one_and_not_into_itself() {
        for from in ALL {
            for to in ALL {
                let made = Transcoder::new(from, to);
                assert_eq!(made.is_some(), from != to, "{from:?} to {to:?}");
                assert!(made.is_none_or(|made| made.leads(from, to) && !made.leads(to, from)));
            }
        }
    }

    #[test]
    fn a_tone_through_g722_and_back_stands_25_db_over_what_is_added() {
        for law in [Law::Mu, Law::A] {
            let pcm: Vec<i16> =
                (0..8_000).map(|n| (6_000.0 * (TAU * 700.0 * f64::from(n) / 8_000.0).sin()) as i16).collect();
            let mut payload: Vec<u8> = pcm.iter().map(|sample| law.encode(*sample)).collect();
            for (from, to) in [(Coding::G711(law), Coding::G722), (Coding::G722, Coding::G711(law))] {
                Transcoder::new(from, to).expect("two codings").payload(&mut payload);
            }
            let heard = payload.iter().map(|byte| f64::from(law.decode(*byte)));
            let (mut signal, mut error) = (0.0, 0.0);
            for (said, heard) in pcm.iter().zip(heard).skip(400) {
                signal += f64::from(*said).powi(2);
                error += (f64::from(*said) - heard).powi(2);
            }
            let ratio_db = 10.0 * (signal / error).log10();
            assert!(ratio_db > 25.0, "{law:?}: {ratio_db:.1} dB");
        }
    }

    #[test]
    fn silence_of_one_coding_becomes_silence_of_the_other_within_100_ms() {
        for from in ALL {
            for to in ALL {
                let Some(mut transcoder) = Transcoder::new(from, to) else { continue };
                let mut payload = [from.silence(); 8_000];
                transcoder.payload(&mut payload);
                let heard: Vec<i16> = match to {
                    Coding::G711(law) => payload.iter().map(|byte| law.decode(*byte)).collect(),
                    Coding::G722 => {
                        let mut decoder = g722::Decoder::default();
                        payload.iter().map(|byte| decoder.decode_narrow(*byte)).collect()
                    }
                };
                assert!(heard[800..].iter().all(|sample| sample.abs() <= 16), "{from:?} to {to:?}");
            }
        }
    }
}
