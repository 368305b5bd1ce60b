//! A recording as a file that every program opens: WAV, 16-bit samples, two channels, 8 kHz.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};
use offhook_codec::Law;
use offhook_plan::CodecKind;
use offhook_recorder::{HEADER_BYTES, KeyRing, Manifest, Playback};

/// Writes the recording to `out`, which must not exist.
pub fn export(folder: &Path, manifest: &Manifest, keys: Option<&KeyRing>, out: &Path) -> Result<()> {
    let playback =
        Playback::open(folder, manifest.id, Path::new(&manifest.path), keys).with_context(|| manifest.path.clone())?;
    let header = playback.header();
    let law = match header.codec {
        CodecKind::Pcmu => Law::Mu,
        CodecKind::Pcma => Law::A,
    };
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: header.codec.clock(),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let made = File::create_new(out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut writer = hound::WavWriter::new(BufWriter::new(made), spec)?;
    let mut at = HEADER_BYTES as u64;
    while at < playback.length() {
        let bytes = playback.read(at).with_context(|| manifest.path.clone())?;
        at += bytes.len() as u64;
        for byte in bytes {
            writer.write_sample(law.decode(byte))?;
        }
    }
    writer.finalize()?;
    Ok(())
}
