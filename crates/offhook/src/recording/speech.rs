//! A recording as samples that every program plays: a WAV file of 16 bits in two channels, made while it is read and never
//! written anywhere by itself; 8 kHz where the recording holds G.711, 16 kHz where it holds G.722.

use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use offhook_codec::{Coding, Law, g722};
use offhook_media::coding_of;
use offhook_recorder::{FRAME_BYTES, Format, HEADER_BYTES, KeyRing, Playback};
use offhook_server::{Encoding, SAMPLE_HEADER_BYTES, Speech};
use offhook_units::{RecordingId, SampleRate};

use super::Shelf;
use super::export::encode;

/// Bytes of one sample of both channels.
const PAIR_BYTES: u64 = 4;

/// Frames of G.722 that are decoded and left out before those that are wanted, so that the decoder has found its level: a second.
const WARM_UP: u64 = 8_000;

/// An open recording.
#[derive(Debug)]
pub struct Samples {
    id: RecordingId,
    playback: Playback,
    form: Form,
}

/// How frames become samples.
#[derive(Debug)]
enum Form {
    Narrow(Law),
    /// Each side by itself, and the frame that they stand at: what they give depends on all before it.
    Wide(Box<[g722::Decoder; 2]>, u64),
}

impl Samples {
    /// Opens the recording `id` at `path`, relative to the folder.
    ///
    /// # Errors
    /// It is sealed and does not open, or its file is not what it should be.
    pub fn open(shelf: &Shelf, id: RecordingId, path: &Path, keys: Option<&KeyRing>) -> Result<Self> {
        let playback = shelf.open(id, path, keys)?;
        let form = match coding_of(playback.header().codec).context("its codec cannot be turned into samples")? {
            Coding::G711(law) => Form::Narrow(law),
            Coding::G722 => Form::Wide(Box::default(), 0),
        };
        Ok(Self { id, playback, form })
    }

    const fn samples_per_frame(&self) -> u64 {
        match self.form {
            Form::Narrow(_) => 1,
            Form::Wide(..) => 2,
        }
    }

    const fn frames(&self) -> u64 {
        self.playback.header().frames
    }

    /// Samples of both channels in turn, from `frame` on, which is before the end: at least those of one frame.
    fn decode(&mut self, frame: u64) -> io::Result<Vec<i16>> {
        let playback = &self.playback;
        match &mut self.form {
            Form::Narrow(law) => Ok(frames_at(playback, frame)?.into_iter().map(|byte| law.decode(byte)).collect()),
            Form::Wide(sides, stands_at) => {
                if *stands_at != frame {
                    **sides = Default::default();
                    *stands_at = frame.saturating_sub(WARM_UP);
                }
                let mut samples = Vec::new();
                while samples.is_empty() {
                    for pair in frames_at(playback, *stands_at)?.chunks_exact(FRAME_BYTES as usize) {
                        let (mut heard, mut sent) = ([0; 2], [0; 2]);
                        sides[0].decode(&pair[..1], &mut heard);
                        sides[1].decode(&pair[1..], &mut sent);
                        if *stands_at >= frame {
                            samples.extend([heard[0], sent[0], heard[1], sent[1]]);
                        }
                        *stands_at += 1;
                    }
                }
                Ok(samples)
            }
        }
    }

    /// The header, as of any WAV file of samples. Sizes beyond 32 bits (37 hours at 8 kHz) are told as the largest ones.
    fn header(&self) -> [u8; SAMPLE_HEADER_BYTES as usize] {
        let size = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        let (length, rate) = (self.length(), self.rate());
        let mut header = [0; SAMPLE_HEADER_BYTES as usize];
        header[..4].copy_from_slice(b"RIFF");
        header[4..8].copy_from_slice(&size(length - 8));
        header[8..16].copy_from_slice(b"WAVEfmt ");
        header[16] = 16;
        // PCM, two channels.
        (header[20], header[22]) = (1, 2);
        header[24..28].copy_from_slice(&rate.to_le_bytes());
        header[28..32].copy_from_slice(&(rate * PAIR_BYTES as u32).to_le_bytes());
        (header[32], header[34]) = (PAIR_BYTES as u8, 16);
        header[36..40].copy_from_slice(b"data");
        header[40..].copy_from_slice(&size(length - SAMPLE_HEADER_BYTES));
        header
    }
}

/// Whole frames from one on: at least that one, or an error where the file was cut in it.
fn frames_at(playback: &Playback, frame: u64) -> io::Result<Vec<u8>> {
    let mut bytes = playback.read(HEADER_BYTES as u64 + frame * FRAME_BYTES)?;
    bytes.truncate(bytes.len() / FRAME_BYTES as usize * FRAME_BYTES as usize);
    if bytes.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

impl Speech for Samples {
    fn rate(&self) -> u32 {
        match self.form {
            Form::Narrow(_) => SampleRate::NARROW.0,
            Form::Wide(..) => SampleRate::WIDE.0,
        }
    }

    fn length(&self) -> u64 {
        SAMPLE_HEADER_BYTES + self.frames() * self.samples_per_frame() * PAIR_BYTES
    }

    fn read(&mut self, at: u64) -> io::Result<Vec<u8>> {
        if at < SAMPLE_HEADER_BYTES {
            return Ok(self.header()[at as usize..].to_vec());
        }
        if at >= self.length() {
            return Ok(Vec::new());
        }
        let frame_bytes = self.samples_per_frame() * PAIR_BYTES;
        let (frame, skip) = ((at - SAMPLE_HEADER_BYTES) / frame_bytes, (at - SAMPLE_HEADER_BYTES) % frame_bytes);
        let samples = self.decode(frame)?;
        let mut bytes: Vec<u8> = samples.into_iter().flat_map(i16::to_le_bytes).collect();
        bytes.drain(..skip as usize);
        Ok(bytes)
    }

    fn encode(self: Box<Self>, format: Format) -> io::Result<Box<dyn Encoding>> {
        let id = self.id;
        encode(*self, id, format)
    }

    fn peaks(&mut self, points: usize) -> io::Result<[Vec<u8>; 2]> {
        let (frames, per_frame) = (self.frames(), self.samples_per_frame());
        let mut peaks = [vec![0; points], vec![0; points]];
        let mut frame = 0;
        while frame < frames {
            let samples = self.decode(frame)?;
            for (n, pair) in samples.chunks_exact(2).enumerate() {
                let here = frame + n as u64 / per_frame;
                let point = (u128::from(here) * points as u128 / u128::from(frames)) as usize;
                for (peaks, sample) in peaks.iter_mut().zip(pair) {
                    let peak: &mut u8 = &mut peaks[point];
                    *peak = (*peak).max((sample.unsigned_abs() >> 7).min(255) as u8);
                }
            }
            frame += samples.len() as u64 / 2 / per_frame;
        }
        Ok(peaks)
    }
}
