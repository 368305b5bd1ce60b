//! Resampling of mono 16-bit sound, on `rubato`'s synchronous FFT resampler.

use offhook_units::SampleRate;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

/// Why sound was not resampled. The embedding program misused us: other rates or sizes are needed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResampleError {
    /// No resampler exists between these rates.
    #[error("cannot resample from {from} Hz to {to} Hz: {reason}")]
    Rates {
        /// Samples per second that come in.
        from: u32,
        /// Samples per second that go out.
        to: u32,
        /// The library's words.
        reason: String,
    },
    /// [`Resampler::process`] was given a slice of another size than it asks for.
    #[error("{given} samples were given where {wanted} are taken")]
    Size {
        /// What came.
        given: usize,
        /// What [`Resampler::input_chunk`] or [`Resampler::output_chunk`] says.
        wanted: usize,
    },
}

/// Resamples a stream in chunks of fixed sizes. [`Resampler::process`] does not allocate.
pub struct Resampler {
    inner: Option<Fft<f32>>,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl core::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Resampler({} -> {})", self.input.len(), self.output.len())
    }
}

impl Resampler {
    /// From one rate to another in chunks of about `chunk` input samples: rounded up to what the ratio of the rates allows
    /// (8, 16 and 48 kHz: any; 44.1 kHz: multiples of 10 ms or less).
    ///
    /// # Errors
    /// [`ResampleError::Rates`] where a rate is 0 or out of all proportion.
    pub fn new(from: SampleRate, to: SampleRate, chunk: usize) -> Result<Self, ResampleError> {
        let chunk = chunk.max(1);
        if from == to {
            return Ok(Self { inner: None, input: vec![0.0; chunk], output: vec![0.0; chunk] });
        }
        let inner = Fft::new(from.0 as usize, to.0 as usize, chunk, 1, FixedSync::Both)
            .map_err(|error| ResampleError::Rates { from: from.0, to: to.0, reason: error.to_string() })?;
        let (input, output) = (vec![0.0; inner.input_frames_max()], vec![0.0; inner.output_frames_max()]);
        Ok(Self { inner: Some(inner), input, output })
    }

    /// Samples that each call takes.
    pub fn input_chunk(&self) -> usize {
        self.input.len()
    }

    /// Samples that each call gives.
    pub fn output_chunk(&self) -> usize {
        self.output.len()
    }

    /// Samples by which what comes out lies behind.
    pub fn delay(&self) -> usize {
        self.inner.as_ref().map_or(0, rubato::Resampler::output_delay)
    }

    /// Resamples one chunk of exactly [`Resampler::input_chunk`] into exactly [`Resampler::output_chunk`] samples.
    ///
    /// # Errors
    /// [`ResampleError::Size`] where a slice has another size.
    pub fn process(&mut self, pcm: &[i16], out: &mut [i16]) -> Result<(), ResampleError> {
        for (given, wanted) in [(pcm.len(), self.input.len()), (out.len(), self.output.len())] {
            if given != wanted {
                return Err(ResampleError::Size { given, wanted });
            }
        }
        let Some(inner) = &mut self.inner else {
            out.copy_from_slice(pcm);
            return Ok(());
        };
        to_float(pcm, &mut self.input);
        let (frames_in, frames_out) = (self.input.len(), self.output.len());
        let size = |given, wanted| ResampleError::Size { given, wanted };
        let source = InterleavedSlice::new(&self.input, 1, frames_in).map_err(|_| size(pcm.len(), frames_in))?;
        let mut sink =
            InterleavedSlice::new_mut(&mut self.output, 1, frames_out).map_err(|_| size(out.len(), frames_out))?;
        inner.process_into_buffer(&source, &mut sink, None).map_err(|_| size(pcm.len(), frames_in))?;
        to_samples(&self.output, out);
        Ok(())
    }
}

/// Resamples a whole sound; neither delayed nor cut.
///
/// # Errors
/// [`ResampleError::Rates`] where there is no resampler between the rates.
pub fn resample(pcm: &[i16], from: SampleRate, to: SampleRate) -> Result<Vec<i16>, ResampleError> {
    if from == to || pcm.is_empty() {
        return Ok(pcm.to_vec());
    }
    let failed = |reason: String| ResampleError::Rates { from: from.0, to: to.0, reason };
    let mut inner = Fft::<f32>::new(from.0 as usize, to.0 as usize, 1_024, 1, FixedSync::Input)
        .map_err(|error| failed(error.to_string()))?;
    let mut input = vec![0.0; pcm.len()];
    to_float(pcm, &mut input);
    let mut output = vec![0.0; inner.process_all_needed_output_len(pcm.len())];
    let frames = output.len();
    let source = InterleavedSlice::new(&input, 1, pcm.len()).map_err(|error| failed(error.to_string()))?;
    let mut sink = InterleavedSlice::new_mut(&mut output, 1, frames).map_err(|error| failed(error.to_string()))?;
    let (_, written) = inner
        .process_all_into_buffer(&source, &mut sink, pcm.len(), None)
        .map_err(|error| failed(error.to_string()))?;
    let mut out = vec![0; written.min(frames)];
    to_samples(&output, &mut out);
    Ok(out)
}

fn to_float(pcm: &[i16], out: &mut [f32]) {
    for (float, sample) in out.iter_mut().zip(pcm) {
        *float = f32::from(*sample) / 32_768.0;
    }
}

fn to_samples(floats: &[f32], out: &mut [i16]) {
    for (sample, float) in out.iter_mut().zip(floats) {
        *sample = (float * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(samples: usize, rate: u32, hz: f32) -> Vec<i16> {
        (0..samples).map(|n| ((n as f32 * core::f32::consts::TAU * hz / rate as f32).sin() * 10_000.0) as i16).collect()
    }

    fn level(pcm: &[i16]) -> f32 {
        (pcm.iter().map(|s| f32::from(*s).powi(2)).sum::<f32>() / pcm.len() as f32).sqrt()
    }

    #[test]
    fn a_file_keeps_its_length_and_its_tone() {
        for from in [8_000, 11_025, 16_000, 22_050, 44_100, 48_000] {
            let second = sine(from as usize, from, 1_000.0);
            let out = resample(&second, SampleRate(from), SampleRate::NARROW).unwrap();
            assert!(out.len().abs_diff(8_000) <= 1, "{from}: {}", out.len());
            let rises = out.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
            let steady = level(&out[400..7_600]);
            assert!((998..=1_001).contains(&rises) && (7_000.0..7_140.0).contains(&steady), "{from}: {rises} {steady}");
        }
    }

    #[test]
    fn what_lies_above_half_the_rate_is_taken_out() {
        let out = resample(&sine(48_000, 48_000, 6_000.0), SampleRate::FULL, SampleRate::NARROW).unwrap();
        assert!(level(&out[400..7_600]) < 20.0);
    }

    #[test]
    fn a_stream_in_chunks_of_10_ms_keeps_the_tone() {
        for (from, to) in [(8_000, 48_000), (48_000, 8_000), (8_000, 44_100), (8_000, 8_000)] {
            let mut resampler = Resampler::new(SampleRate(from), SampleRate(to), from as usize / 100).unwrap();
            let (chunk, gives) = (resampler.input_chunk(), resampler.output_chunk());
            assert_eq!((chunk, gives), (from as usize / 100, to as usize / 100));
            let mut all = Vec::new();
            for pcm in sine(from as usize, from, 700.0).chunks_exact(chunk) {
                let mut out = vec![0; gives];
                resampler.process(pcm, &mut out).unwrap();
                all.extend(out);
            }
            let (steady, delay) = (level(&all[all.len() / 10..]), resampler.delay());
            assert!((6_800.0..7_300.0).contains(&steady), "{from}->{to}: {steady}");
            assert!(delay <= to as usize / 100, "{delay}");
        }
    }

    #[test]
    fn misuse_is_an_error_and_no_panic() {
        assert!(Resampler::new(SampleRate(0), SampleRate::FULL, 10).is_err());
        let mut resampler = Resampler::new(SampleRate::NARROW, SampleRate::FULL, 80).unwrap();
        assert_eq!(resampler.process(&[0; 79], &mut [0; 480]), Err(ResampleError::Size { given: 79, wanted: 80 }));
    }
}
