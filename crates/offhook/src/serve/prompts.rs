//! Prompts as the HTTP server sees them: files in the folders of `[prompts]`. New ones go into the last folder of these.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use offhook_server::{
    Answer, PROMPT_BYTES_MAX, PROMPTS_MAX, Prompt, PromptFault, PromptList, PromptShelf, PromptSound, Unavailable,
};

use super::port::Port;
use crate::config::{playable, prompt_folders, prompt_uses};
use crate::versions::write;

/// Programs that speak a text into a WAV file, and take the same options: the first one that is installed.
const ENGINES: [&str; 2] = ["espeak-ng", "espeak"];
/// How long an engine may take.
const SPEAKS_WITHIN: Duration = Duration::from_secs(20);
/// Engines that speak at once.
const SPEAKING_MAX: usize = 2;
/// How often it is looked whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Folders within folders that are looked into.
const DEPTH_MAX: usize = 3;

/// The folders, in the order in which a prompt is looked for.
struct Folders(Vec<PathBuf>);

impl Folders {
    /// Where new ones go.
    fn own(&self) -> Option<&PathBuf> {
        self.0.last()
    }

    fn list(&self) -> PromptList {
        let mut prompts: Vec<Prompt> = Vec::new();
        let mut cut = false;
        for (place, folder) in self.0.iter().enumerate() {
            let own = place + 1 == self.0.len();
            let mut files = Vec::new();
            cut |= !gather(folder, "", DEPTH_MAX, &mut files);
            prompts.extend(files.into_iter().map(|(name, file)| prompt(name, &file, own)));
        }
        // The first folder that has one wins.
        prompts.sort_by(|a, b| a.name.cmp(&b.name));
        prompts.dedup_by(|later, first| later.name == first.name);
        cut |= prompts.len() > PROMPTS_MAX;
        prompts.truncate(PROMPTS_MAX);
        let writable = self.own().is_some_and(|own| tempfile::NamedTempFile::new_in(own).is_ok());
        PromptList { writable, engine: engine().map(|(name, _)| name.to_owned()), prompts, cut }
    }

    fn find(&self, name: &str) -> Option<(usize, PathBuf)> {
        let files = self.0.iter().map(|folder| folder.join(format!("{name}.wav"))).enumerate();
        files.into_iter().find(|(_, file)| file.is_file())
    }

    fn put(&self, name: &str, sound: PromptSound, engine: Option<PathBuf>) -> Result<Prompt, PromptFault> {
        let unwritable = |error: std::io::Error| PromptFault::Unwritable(error.to_string());
        let own = self.own().ok_or_else(|| PromptFault::Unwritable("[prompts] names no folder".to_owned()))?;
        if self.find(name).is_some_and(|(place, _)| place + 1 < self.0.len()) {
            return Err(PromptFault::Hidden);
        }
        let wav = match sound {
            PromptSound::Wav(wav) => wav,
            PromptSound::Spoken { text, voice } => {
                speak(&engine.ok_or(PromptFault::NoEngine)?, &text, voice.as_deref())?
            }
        };
        // It is looked at under another name first: what is played now stays until it is whole.
        let mut trial = tempfile::NamedTempFile::new_in(own).map_err(unwritable)?;
        trial.write_all(&wav).map_err(unwritable)?;
        playable(trial.path()).map_err(PromptFault::Unplayable)?;
        let file = own.join(format!("{name}.wav"));
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(unwritable)?;
        }
        write(&file, &wav).map_err(unwritable)?;
        Ok(prompt(name.to_owned(), &file, true))
    }
}

impl Folders {
    /// Takes one away that the configuration in `file`, whose text this is, does not play.
    fn remove(&self, name: &str, file: &Path, text: &str) -> Result<(), PromptFault> {
        let (place, prompt) = self.find(name).ok_or(PromptFault::Missing)?;
        if place + 1 < self.0.len() {
            return Err(PromptFault::Foreign);
        }
        if let Some(lines) = prompt_uses(file, text, name, &prompt) {
            return Err(PromptFault::Used(lines));
        }
        fs::remove_file(&prompt).map_err(|error| PromptFault::Unwritable(error.to_string()))
    }
}

/// All sound files below a folder, with the names they have; false where some were left out.
fn gather(folder: &Path, before: &str, depth: usize, files: &mut Vec<(String, PathBuf)>) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return true };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
        let name = format!("{before}{name}");
        if path.is_dir() {
            if depth > 1 && !gather(&path, &format!("{name}/"), depth - 1, files) {
                return false;
            }
        } else if path.extension().is_some_and(|end| end == "wav") {
            if files.len() == PROMPTS_MAX {
                return false;
            }
            files.push((name, path));
        }
    }
    true
}

fn prompt(name: String, file: &Path, own: bool) -> Prompt {
    let reader = playable(file).ok().and_then(|()| hound::WavReader::open(file).ok());
    let rate_hz = reader.as_ref().map(|reader| reader.spec().sample_rate);
    let seconds = reader.map(|reader| f64::from(reader.duration()) / f64::from(reader.spec().sample_rate));
    Prompt { name, seconds: seconds.map(|seconds| (seconds * 10.0).round() / 10.0), rate_hz, own }
}

/// The engine that is installed.
fn engine() -> Option<(&'static str, PathBuf)> {
    let path = std::env::var_os("PATH")?;
    ENGINES.iter().find_map(|name| {
        let file = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())?;
        Some((*name, file))
    })
}

/// A place among those who speak.
struct Speaking;

/// How many speak now.
static SPEAKING: AtomicUsize = AtomicUsize::new(0);

impl Speaking {
    fn begin() -> Result<Self, PromptFault> {
        let more = |now: usize| (now < SPEAKING_MAX).then_some(now + 1);
        let began = SPEAKING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        began.map(|_| Self).map_err(|_| PromptFault::Busy)
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        SPEAKING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Has an engine speak: the text on its input, the file on its output.
fn speak(engine: &Path, text: &str, voice: Option<&str>) -> Result<Vec<u8>, PromptFault> {
    let silent = |error: std::io::Error| PromptFault::Silent(error.to_string());
    let _place = Speaking::begin()?;
    let spoken = tempfile::NamedTempFile::new().map_err(silent)?;
    let mut command = Command::new(engine);
    command.arg("-w").arg(spoken.path()).arg("--stdin");
    if let Some(voice) = voice {
        command.arg("-v").arg(voice);
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(silent)?;
    // A text fits into a pipe; an engine that reads none says so by its end.
    if let Some(mut input) = child.stdin.take() {
        let _unread = input.write_all(text.as_bytes());
    }
    let until = Instant::now() + SPEAKS_WITHIN;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(silent)? {
            break status;
        }
        if Instant::now() > until {
            let _gone = child.kill();
            let _gone = child.wait();
            return Err(PromptFault::Silent(format!("it took more than {} s", SPEAKS_WITHIN.as_secs())));
        }
        std::thread::sleep(LOOK_EVERY);
    };
    if !status.success() {
        return Err(PromptFault::Silent(format!("it ended with {status}: is there such a voice?")));
    }
    let bytes = fs::read(spoken.path()).map_err(silent)?;
    if bytes.len() > PROMPT_BYTES_MAX {
        return Err(PromptFault::Silent("it said more than 5 MiB".to_owned()));
    }
    Ok(bytes)
}

impl Port {
    async fn at_prompts<T: Send + 'static>(
        &self,
        look: impl FnOnce(Folders) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let look =
            move |desk: &super::configured::Desk| Ok(look(Folders(prompt_folders(&desk.file, &desk.in_force()?.1))));
        self.at_desk(look).await?
    }
}

impl PromptShelf for Port {
    fn prompts(&self) -> Answer<'_, Result<PromptList, Unavailable>> {
        Box::pin(async move { self.at_prompts(|folders| folders.list()).await })
    }

    fn prompt(&self, name: String) -> Answer<'_, Result<Option<Vec<u8>>, Unavailable>> {
        Box::pin(async move { self.at_prompts(move |folders| fs::read(folders.find(&name)?.1).ok()).await })
    }

    fn put_prompt(&self, name: String, sound: PromptSound) -> Answer<'_, Result<Prompt, PromptFault>> {
        Box::pin(async move {
            let engine = engine().map(|(_, file)| file);
            self.at_prompts(move |folders| folders.put(&name, sound, engine)).await?
        })
    }

    fn remove_prompt(&self, name: String) -> Answer<'_, Result<(), PromptFault>> {
        Box::pin(async move {
            let remove = move |desk: &super::configured::Desk| {
                let (_, text) = desk.in_force()?;
                Folders(prompt_folders(&desk.file, &text)).remove(&name, &desk.file, &text)
            };
            self.at_desk(remove).await?
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn wav(rate: u32, channels: u16) -> Vec<u8> {
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut file = std::io::Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut file, spec).expect("a writer");
        for sample in 0..rate {
            writer.write_sample((sample % 100) as i16).expect("room");
        }
        writer.finalize().expect("a file");
        file.into_inner()
    }

    fn folders() -> (tempfile::TempDir, Folders) {
        let both = tempfile::tempdir().expect("a folder");
        let paths: Vec<PathBuf> = ["shipped", "own"].iter().map(|name| both.path().join(name)).collect();
        for folder in &paths {
            fs::create_dir_all(folder.join("digits")).expect("a folder");
        }
        fs::write(paths[0].join("digits/1.wav"), wav(8_000, 1)).expect("a file");
        fs::write(paths[1].join("digits/1.wav"), wav(8_000, 1)).expect("a file");
        (both, Folders(paths))
    }

    #[test]
    fn a_prompt_is_kept_in_the_last_folder_and_found_in_the_first_that_has_it() {
        let (_both, folders) = folders();
        let kept = folders.put("greetings/new", PromptSound::Wav(wav(16_000, 1)), None).expect("kept");
        assert_eq!(
            kept,
            Prompt { name: "greetings/new".to_owned(), seconds: Some(1.0), rate_hz: Some(16_000), own: true }
        );
        let list = folders.list();
        let names: Vec<_> = list.prompts.iter().map(|prompt| (prompt.name.as_str(), prompt.own)).collect();
        assert_eq!(names, [("digits/1", false), ("greetings/new", true)]);
        assert!(list.writable && !list.cut);
        assert_eq!(folders.put("digits/1", PromptSound::Wav(wav(8_000, 1)), None), Err(PromptFault::Hidden));
    }

    #[test]
    fn what_cannot_be_played_is_not_kept_and_what_was_there_stays() {
        let (_both, folders) = folders();
        folders.put("new", PromptSound::Wav(wav(8_000, 1)), None).expect("kept");
        for bad in [b"no sound".to_vec(), wav(8_000, 2), wav(4_000, 1)] {
            assert!(matches!(folders.put("new", PromptSound::Wav(bad), None), Err(PromptFault::Unplayable(_))));
        }
        let (_, file) = folders.find("new").expect("it is there");
        assert_eq!(fs::read(file).expect("the file"), wav(8_000, 1));
        let own = folders.own().expect("a folder");
        assert_eq!(fs::read_dir(own).expect("the folder").count(), 2, "nothing else is left there");
    }

    #[test]
    fn what_is_played_stays_and_what_is_not_goes() {
        let (both, folders) = folders();
        for name in ["closed", "old"] {
            folders.put(name, PromptSound::Wav(wav(8_000, 1)), None).expect("kept");
        }
        let file = both.path().join("exchange.toml");
        let names: Vec<_> = folders.0.iter().map(|folder| format!("{:?}", folder.display().to_string())).collect();
        let text = format!(
            "[exchange]\nrealm = \"house.test\"\n[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[prompts]\nfolders = [{}]\n\
             [[queue]]\nname = \"old\"\n[[calendar]]\nname = \"office\"\nzone = \"UTC\"\nhours = {{ mon = \"08:00-18:00\" }}\n\
             [[number]]\nnumber = \"700\"\nqueue = \"old\"\nopen = \"office\"\nclosed = {{ say = [\"closed\"] }}\n",
            names.join(", ")
        );
        assert_eq!(folders.remove("closed", &file, &text), Err(PromptFault::Used(vec![17])));
        assert_eq!(folders.remove("old", &file, &text), Ok(()), "a queue of that name plays nothing");
        assert!(folders.find("old").is_none() && folders.find("closed").is_some());
        assert_eq!(folders.remove("old", &file, &text), Err(PromptFault::Missing));
        assert_eq!(folders.remove("digits/1", &file, &text), Err(PromptFault::Foreign));
    }

    #[test]
    fn an_engine_speaks_into_a_file_and_one_that_fails_is_told() {
        let (both, folders) = folders();
        fs::write(both.path().join("sound.wav"), wav(22_050, 1)).expect("a file");
        let engine = |name: &str, lines: &str| {
            let file = both.path().join(name);
            fs::write(&file, format!("#!/bin/sh\n{lines}\n")).expect("a file");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("rights");
            file
        };
        let sound = both.path().join("sound.wav");
        let good = format!("[ \"$4 $5\" = '-v de' ] && [ \"$(cat)\" = 'Guten Tag' ] && cp {} \"$2\"", sound.display());
        let spoken = || PromptSound::Spoken { text: "Guten Tag".to_owned(), voice: Some("de".to_owned()) };
        let kept = folders.put("spoken", spoken(), Some(engine("good", &good))).expect("spoken");
        assert_eq!(kept.rate_hz, Some(22_050));
        let failed = folders.put("spoken", spoken(), Some(engine("bad", "exit 1")));
        assert!(matches!(failed, Err(PromptFault::Silent(_))), "{failed:?}");
        assert_eq!(folders.put("spoken", spoken(), None), Err(PromptFault::NoEngine));
    }
}
