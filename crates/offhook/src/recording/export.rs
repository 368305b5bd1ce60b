//! A recording as a file that every program opens.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use offhook_recorder::{KeyRing, Manifest};
use offhook_server::Speech;

use super::Samples;

/// Writes the recording to `out`, which must not exist.
pub fn export(folder: &Path, manifest: &Manifest, keys: Option<&KeyRing>, out: &Path) -> Result<()> {
    let mut samples = Samples::open(folder, manifest.id, Path::new(&manifest.path), keys)?;
    let mut file = File::create_new(out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut at = 0;
    while at < samples.length() {
        let bytes = samples.read(at).with_context(|| manifest.path.clone())?;
        file.write_all(&bytes).with_context(|| out.display().to_string())?;
        at += bytes.len() as u64;
    }
    file.sync_all().with_context(|| out.display().to_string())
}
