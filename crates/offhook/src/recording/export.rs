//! A recording as a file that every program opens: WAV, 16-bit samples, two channels; 8 kHz where it holds G.711, 16 kHz where it
//! holds G.722.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result};
use hound::WavWriter;
use offhook_codec::{Coding, Law, g722};
use offhook_media::coding_of;
use offhook_recorder::{FRAME_BYTES, HEADER_BYTES, KeyRing, Manifest, Playback};
use offhook_units::SampleRate;

/// Writes the recording to `out`, which must not exist.
pub fn export(folder: &Path, manifest: &Manifest, keys: Option<&KeyRing>, out: &Path) -> Result<()> {
    let playback =
        Playback::open(folder, manifest.id, Path::new(&manifest.path), keys).with_context(|| manifest.path.clone())?;
    let coding = coding_of(playback.header().codec).context("its codec cannot be turned into samples")?;
    let mut sound = Sound::of(coding);
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: sound.rate().0,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let made = File::create_new(out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut writer = WavWriter::new(BufWriter::new(made), spec)?;
    let mut at = HEADER_BYTES as u64;
    while at < playback.length() {
        let bytes = playback.read(at).with_context(|| manifest.path.clone())?;
        at += bytes.len() as u64;
        sound.write(&bytes, &mut writer)?;
    }
    writer.finalize()?;
    Ok(())
}

/// How frames become samples. G.722 goes on from frame to frame, each side by itself.
enum Sound {
    Narrow(Law),
    Wide(Box<[g722::Decoder; 2]>),
}

impl Sound {
    fn of(coding: Coding) -> Self {
        match coding {
            Coding::G711(law) => Self::Narrow(law),
            Coding::G722 => Self::Wide(Box::default()),
        }
    }

    const fn rate(&self) -> SampleRate {
        match self {
            Self::Narrow(_) => SampleRate::NARROW,
            Self::Wide(_) => SampleRate::WIDE,
        }
    }

    /// Whole frames: a byte of each side.
    fn write(&mut self, bytes: &[u8], writer: &mut WavWriter<impl Write + Seek>) -> Result<()> {
        match self {
            Self::Narrow(law) => {
                for byte in bytes {
                    writer.write_sample(law.decode(*byte))?;
                }
            }
            Self::Wide(sides) => {
                let [left, right] = &mut **sides;
                for frame in bytes.chunks_exact(FRAME_BYTES as usize) {
                    let (mut heard, mut sent) = ([0; 2], [0; 2]);
                    left.decode(&frame[..1], &mut heard);
                    right.decode(&frame[1..], &mut sent);
                    for sample in [heard[0], sent[0], heard[1], sent[1]] {
                        writer.write_sample(sample)?;
                    }
                }
            }
        }
        Ok(())
    }
}
