//! Names of prompts to sound files: the first folder that has one wins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use offhook_plan::AssetId;

use super::fault::Sink;
use super::read::At;

/// The sound files that a configuration uses, each once.
#[derive(Debug)]
pub struct Prompts {
    folders: Vec<PathBuf>,
    known: BTreeMap<String, AssetId>,
    /// By [`AssetId`].
    pub files: Vec<PathBuf>,
}

impl Prompts {
    /// Looks into `folders`, in order.
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders, known: BTreeMap::new(), files: Vec::new() }
    }

    /// The file that `name` stands for; a fault where there is none that can be played.
    pub fn find(&mut self, sink: &mut Sink, name: &At<String>) -> Option<AssetId> {
        if let Some(id) = self.known.get(&name.value) {
            return Some(*id);
        }
        let Some(file) = self.locate(&name.value) else {
            let looked: Vec<_> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
            sink.missing(
                name.span.clone(),
                format!("there is no prompt '{}.wav' in {}", name.value, looked.join(" or ")),
                "install the Debian package asterisk-core-sounds-en-wav, or put the file into one of these folders",
            );
            return None;
        };
        if let Err(reason) = playable(&file) {
            let message = format!("{} cannot be played: {reason}", file.display());
            sink.fault(name.span.clone(), message, "save it as WAV, 16 bit PCM, one channel, 8 to 48 kHz");
            return None;
        }
        let id = AssetId(self.files.len() as u32);
        self.files.push(file);
        self.known.insert(name.value.clone(), id);
        Some(id)
    }

    /// All of `names`.
    pub fn find_all(&mut self, sink: &mut Sink, names: &[At<String>]) -> Vec<AssetId> {
        names.iter().filter_map(|name| self.find(sink, name)).collect()
    }

    fn locate(&self, name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(format!("{name}.wav"))).find(|file| file.is_file())
    }
}

/// What keeps `file` from being played.
fn playable(file: &Path) -> Result<(), String> {
    let spec = hound::WavReader::open(file).map_err(|error| error.to_string())?.spec();
    if spec.channels != 1 {
        return Err(format!("it has {} channels", spec.channels));
    }
    if spec.sample_format != hound::SampleFormat::Int || spec.bits_per_sample != 16 {
        return Err(format!("its samples are not 16 bit integers but {} bit", spec.bits_per_sample));
    }
    if !(8_000..=48_000).contains(&spec.sample_rate) {
        return Err(format!("it has {} Hz", spec.sample_rate));
    }
    Ok(())
}
