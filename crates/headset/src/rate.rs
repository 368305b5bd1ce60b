//! The codec crate's resampler, fed with slices of any length.

use offhook_codec::{ResampleError, Resampler};
use offhook_units::SampleRate;

/// Resamples a stream that comes in pieces of any size; holds back less than one chunk of 5 ms.
pub(crate) struct Converter {
    resampler: Resampler,
    pending: Vec<i16>,
    converted: Vec<i16>,
}

impl Converter {
    pub(crate) fn new(from: SampleRate, to: SampleRate) -> Result<Self, ResampleError> {
        let resampler = Resampler::new(from, to, from.0 as usize / 200)?;
        let converted = vec![0; resampler.output_chunk()];
        Ok(Self { resampler, pending: Vec::new(), converted })
    }

    /// Appends to `out` what `pcm` and what was held back become.
    pub(crate) fn push(&mut self, pcm: &[i16], out: &mut Vec<i16>) {
        self.pending.extend_from_slice(pcm);
        let chunk = self.resampler.input_chunk();
        let mut taken = 0;
        while let Some(piece) = self.pending.get(taken..taken + chunk) {
            // The sizes are the resampler's own, so it cannot refuse them.
            if self.resampler.process(piece, &mut self.converted).is_ok() {
                out.extend_from_slice(&self.converted);
            }
            taken += chunk;
        }
        self.pending.drain(..taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_become_the_same_stream() {
        let input: Vec<i16> = (0..4_800).map(|i| (i * 37 % 2_000) as i16).collect();
        let run = |piece: usize| {
            let mut converter = Converter::new(SampleRate(48_000), SampleRate(8_000)).unwrap();
            let mut out = Vec::new();
            input.chunks(piece).for_each(|pcm| converter.push(pcm, &mut out));
            out
        };
        assert_eq!(run(480), run(7));
        assert_eq!(run(480).len(), 800);
    }
}
