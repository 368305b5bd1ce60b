//! Names of prompts to sound files: the first folder that has one wins. And what the exchange plays besides.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use offhook_codec::CountryTones;
use offhook_plan::AssetId;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check_text;
use super::exchange::DEBIAN_PROMPTS;
use super::fault::Sink;
use super::read::At;

/// A sound that the exchange plays. Its place among all of them is its [`AssetId`], and stays that for as long as the exchange runs: a file that
/// was changed since is another sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sound {
    /// A sound file, as it was when it was looked at.
    File {
        /// Where.
        path: PathBuf,
        /// When it was written last, and how long it is, where the system says so.
        written: Option<(SystemTime, u64)>,
    },
    /// A tone of a country: ringback, busy or congestion, by its number.
    Tone(CountryTones, u8),
}

impl Sound {
    /// The file as it is now.
    pub fn file(path: PathBuf) -> Self {
        let written = std::fs::metadata(&path).and_then(|file| Ok((file.modified()?, file.len()))).ok();
        Self::File { path, written }
    }

    /// Whether it is in a file.
    pub const fn is_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }
}

/// The sounds that a configuration uses, each once, behind those that are played already.
#[derive(Debug)]
pub struct Prompts {
    folders: Vec<PathBuf>,
    known: BTreeMap<String, AssetId>,
    /// By [`AssetId`].
    pub sounds: Vec<Sound>,
}

impl Prompts {
    /// Looks into `folders`, in order. `sounds` are there already.
    pub fn new(folders: Vec<PathBuf>, sounds: Vec<Sound>) -> Self {
        Self { folders, known: BTreeMap::new(), sounds }
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
        let id = place_of(Sound::file(file), &mut self.sounds);
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

/// The folders of the configuration in `file`, whose text this is, in the order in which a prompt is looked for.
pub fn folders(file: &Path, text: &str) -> Vec<PathBuf> {
    let beside = file.parent().unwrap_or_else(|| Path::new(""));
    let table: toml::Table = text.parse().unwrap_or_default();
    let listed = table.get("prompts").and_then(|prompts| prompts.get("folders"));
    let listed: Vec<&str> = match listed {
        Some(toml::Value::Array(folders)) => folders.iter().filter_map(toml::Value::as_str).collect(),
        Some(toml::Value::String(folder)) => vec![folder],
        _ => vec![DEBIAN_PROMPTS, "prompts"],
    };
    listed.into_iter().map(|folder| beside.join(folder)).collect()
}

/// Where the configuration in `file`, whose text this is, plays the prompt of that name, which lies in `prompt`: the lines that name it, from
/// 1, which are none where an announcement is made of it. None where it is not played.
pub fn uses(file: &Path, text: &str, name: &str, prompt: &Path) -> Option<Vec<usize>> {
    let places = DeTable::parse(text).map(|table| naming(table.get_ref(), name)).unwrap_or_default();
    let mut lines: Vec<usize> = places.into_iter().map(|at| text[..at].matches('\n').count() + 1).collect();
    lines.sort_unstable();
    lines.dedup();
    let plays = match check_text(file, text) {
        Ok(checked) => checked.sounds.iter().any(|sound| matches!(sound, Sound::File { path, .. } if path == prompt)),
        // What is in force was good once; what names it may play it.
        Err(_) => !lines.is_empty(),
    };
    plays.then_some(lines)
}

/// The places of all texts that are `name`.
fn naming(table: &DeTable<'_>, name: &str) -> Vec<usize> {
    let mut rest: Vec<&Spanned<DeValue<'_>>> = table.values().collect();
    let mut found = Vec::new();
    while let Some(value) = rest.pop() {
        match value.get_ref() {
            DeValue::String(text) if text.as_ref() == name => found.push(value.span().start),
            DeValue::Array(items) => rest.extend(items.iter()),
            DeValue::Table(table) => rest.extend(table.values()),
            _ => {}
        }
    }
    found
}

/// The place of a sound, behind all others where it is new.
pub fn place_of(sound: Sound, sounds: &mut Vec<Sound>) -> AssetId {
    let place = sounds.iter().position(|known| *known == sound).unwrap_or_else(|| {
        sounds.push(sound);
        sounds.len() - 1
    });
    AssetId(place as u32)
}

/// What keeps `file` from being played.
pub fn playable(file: &Path) -> Result<(), String> {
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
