//! From what arrives to what a file holds, where that is another codec.

use offhook_codec::{Coding, Decoder, Encoder, Law, Linear, NarrowEncoder, Transcoder, g722, opus};
use offhook_plan::CodecKind;
use offhook_units::SampleRate;

/// Frames of the longest packet of Opus: 120 ms.
const FRAMES_MAX: usize = 960;

/// How long a payload lasts, in frames; `None` where it is none of its codec.
pub fn frames_in(codec: CodecKind, payload: &[u8]) -> Option<usize> {
    match codec {
        CodecKind::Pcmu | CodecKind::Pcma | CodecKind::G722 => Some(payload.len()),
        CodecKind::L16 => Some(payload.len() / 2),
        CodecKind::Opus => opus::samples_in(payload, SampleRate::NARROW).ok(),
    }
}

/// How often the clock of a codec ticks for each frame.
pub const fn ticks_a_frame(codec: CodecKind) -> u32 {
    codec.clock() / SampleRate::NARROW.0
}

/// How a file holds a codec that it is made for.
pub const fn coding_of(codec: CodecKind) -> Coding {
    match codec.recorded_as() {
        CodecKind::Pcmu => Coding::G711(Law::Mu),
        CodecKind::Pcma => Coding::G711(Law::A),
        CodecKind::G722 | CodecKind::Opus | CodecKind::L16 => Coding::G722,
    }
}

/// Turns the payloads of one stream.
#[derive(Debug)]
pub struct Turn {
    from: CodecKind,
    to: Coding,
    way: Way,
    out: Vec<u8>,
}

#[derive(Debug)]
enum Way {
    /// As it arrived.
    Kept,
    Bytes(Transcoder),
    Linear(NarrowEncoder),
    /// To 16 kHz, of which the file holds both bands.
    Wide(opus::Decoder, Box<g722::Encoder>),
    Narrow(opus::Decoder, Law),
    /// There is no memory for a decoder.
    Nothing,
}

impl Turn {
    /// From a codec to what a file holds.
    pub fn new(from: CodecKind, to: Coding) -> Self {
        let bytes = |from| Transcoder::new(from, to).map_or(Way::Kept, Way::Bytes);
        let decoder = |rate| opus::Decoder::new(rate).ok();
        let way = match (from, to) {
            (CodecKind::Pcmu | CodecKind::Pcma | CodecKind::G722, _) => bytes(coding_of(from)),
            (CodecKind::L16, _) => Way::Linear(NarrowEncoder::in_mid_stream(to)),
            (CodecKind::Opus, Coding::G722) => decoder(SampleRate::WIDE)
                .map_or(Way::Nothing, |decoder| Way::Wide(decoder, Box::new(g722::Encoder::in_mid_stream()))),
            (CodecKind::Opus, Coding::G711(law)) => {
                decoder(SampleRate::NARROW).map_or(Way::Nothing, |decoder| Way::Narrow(decoder, law))
            }
        };
        Self { from, to, way, out: Vec::new() }
    }

    /// Whether it leads from `from` to `to`.
    pub fn leads(&self, from: CodecKind, to: Coding) -> bool {
        (self.from, self.to) == (from, to)
    }

    /// The source begins anew: what was remembered of it is of no use.
    pub fn source_began(&mut self) {
        match &mut self.way {
            Way::Kept | Way::Linear(_) | Way::Nothing => {}
            Way::Bytes(transcoder) => transcoder.source_began(),
            Way::Wide(decoder, _) | Way::Narrow(decoder, _) => {
                // Refused by no library that has made the decoder.
                let _made = decoder.reset();
            }
        }
    }

    /// The next payload of the stream, which lasts so many frames, as what the file holds, a byte each; `None` where it cannot be
    /// decoded.
    pub fn payload<'a>(&'a mut self, payload: &'a [u8], frames: usize) -> Option<&'a [u8]> {
        self.out.clear();
        match &mut self.way {
            Way::Kept => return Some(payload),
            Way::Nothing => return None,
            Way::Bytes(_) | Way::Linear(_) | Way::Wide(..) | Way::Narrow(..) => {
                self.out.resize(frames, self.to.silence());
            }
        }
        match &mut self.way {
            Way::Kept | Way::Nothing => {}
            Way::Bytes(transcoder) => {
                self.out.copy_from_slice(payload);
                transcoder.payload(&mut self.out);
            }
            Way::Linear(encoder) => {
                let mut pcm = vec![0; frames];
                let count = Linear.decode(payload, &mut pcm);
                encoder.encode(&pcm[..count], &mut self.out);
            }
            Way::Wide(decoder, encoder) => {
                let mut pcm = [0; 2 * FRAMES_MAX];
                let count = decoder.decode(payload, &mut pcm).ok()?;
                encoder.encode(&pcm[..count], &mut self.out);
            }
            Way::Narrow(decoder, law) => {
                let mut pcm = [0; FRAMES_MAX];
                let count = decoder.decode(payload, &mut pcm).ok()?;
                for (byte, sample) in self.out.iter_mut().zip(&pcm[..count]) {
                    *byte = law.encode(*sample);
                }
            }
        }
        Some(&self.out)
    }
}
