//! From one coding to another, byte by byte: all that we relay last 125 us a byte, so a payload keeps its length and its place.

use crate::{Coding, Encoder, NarrowDecoder, NarrowEncoder};

/// Turns one stream's coding into another. It holds what the codings remember, and allocates when it is made only.
#[derive(Debug, Clone)]
pub struct Transcoder {
    from: Coding,
    to: Coding,
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    Table(&'static [u8; 256]),
    Codecs(NarrowDecoder, NarrowEncoder),
}

impl Transcoder {
    /// Between two codings; `None` where they are the same.
    pub fn new(from: Coding, to: Coding) -> Option<Self> {
        let way = match (from, to) {
            (Coding::G711(one), Coding::G711(other)) if one != other => Way::Table(one.to_other()),
            (Coding::G711(_), Coding::G722) | (Coding::G722, Coding::G711(_)) => {
                Way::Codecs(NarrowDecoder::new(from), NarrowEncoder::in_mid_stream(to))
            }
            (Coding::G711(_), Coding::G711(_)) | (Coding::G722, Coding::G722) => return None,
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
            Way::Codecs(decoder, encoder) => encoder.sample(decoder.byte(byte)),
        }
    }

    /// The next payload of the stream, in place.
    pub fn payload(&mut self, payload: &mut [u8]) {
        for byte in payload {
            *byte = self.byte(*byte);
        }
    }

    /// Encodes what sounds in place of the source, for the same listener.
    pub fn insert(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        match (&mut self.way, self.to) {
            (Way::Codecs(_, encoder), _) => encoder.encode(pcm, out),
            // The laws remember nothing.
            (Way::Table(_), to) => NarrowEncoder::new(to).encode(pcm, out),
        }
    }

    /// The source begins anew: what was remembered of it is of no use. What the listener remembers stays.
    pub fn source_began(&mut self) {
        match &mut self.way {
            Way::Table(_) => {}
            Way::Codecs(decoder, _) => decoder.reset(),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::f64::consts::TAU;

    use super::*;
    use crate::{Law, g722};

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
            for (said, heard) in pcm.iter().zip(heard).skip(800) {
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
                assert!(heard[800..].iter().all(|sample| sample.abs() <= 64), "{from:?} to {to:?}");
            }
        }
    }
}
