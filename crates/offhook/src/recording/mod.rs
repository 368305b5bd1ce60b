//! `offhook recording`: lists, shows, checks, exports, holds and erases recordings. It works beside a running exchange.
#![expect(clippy::disallowed_methods, reason = "the edge that asks the system for time and chance")]

mod copies;
mod erase;
mod export;
mod forget;
mod objects;
mod shelf;
mod speech;
#[cfg(test)]
pub mod tests;
mod verify;

pub use self::copies::{CopySettings, Hours, NoCopy, copy, cpu_time, price, remove_copies};
#[cfg(test)]
pub use self::erase::hold;
pub use self::erase::{Due, Keep, Kept, due, erase, retention};
pub use self::objects::{COPIED, Credentials, Ledger, Objects, STORED, StoreSettings, Stored, confirm};
pub use self::shelf::{Shelf, StoreAway};
pub use self::speech::Samples;
pub use self::verify::{Fault, verify};

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use offhook_recorder::{Format, KeyRing, Manifest, files_in, is_sealed, manifest_lines, rewrap_key};
use offhook_server::rfc3339;
use offhook_store::{Archive, AuditRow, RecordingRow};
use offhook_units::{Entropy, RecordingId, Span};

/// Looks after recordings.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  offhook recording verify --data /var/lib/offhook --json\n  \
                        offhook recording export r-1000000001 --data /var/lib/offhook --out call.wav\n  \
                        offhook recording export r-1000000001 --as opus --out call.opus")]
pub struct RecordingArgs {
    #[command(subcommand)]
    verb: Verb,
    /// The data folder.
    #[arg(long, global = true, default_value = "data")]
    data: PathBuf,
    /// The recordings folder, where it is not `recordings` in the data folder; a relative one begins there.
    #[arg(long, global = true, default_value = "recordings")]
    recordings: PathBuf,
    /// The file of master keys, where recordings are sealed.
    #[arg(long, global = true)]
    key_file: Option<PathBuf>,
    /// The exchange's configuration, where recordings are kept in an object store as well ([recording.store]).
    #[arg(long, global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Recordings, oldest first.
    List {
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// One recording: its manifest line in full.
    Show {
        /// Such as r-1000000001.
        id: RecordingId,
    },
    /// Hold the store, the files and the event log against each other; exits with 1 where they do not agree.
    Verify {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
        /// Fetch what lies in the object store alone, and hold its bytes against the manifest as well, not only its length.
        #[arg(long)]
        fetch: bool,
    },
    /// Write a recording as a file that every program opens, left the customer, right what the customer was sent.
    Export {
        /// Such as r-1000000001.
        id: RecordingId,
        /// What kind of file: samples of 16 bits (wav), the same in about half the space (flac), or 24 kbit/s for each side (opus);
        /// as the file's name ends where it is not said, wav where that says nothing.
        #[arg(long = "as", value_name = "FORMAT", value_parser = format_named)]
        format: Option<Format>,
        /// Where to; an existing file is not overwritten.
        #[arg(long)]
        out: PathBuf,
    },
    /// Keep a recording whatever its age, until it is released.
    Hold {
        /// Such as r-1000000001.
        id: RecordingId,
        /// For what.
        #[arg(long)]
        why: String,
    },
    /// Let a recording go that was held.
    Release {
        /// Such as r-1000000001.
        id: RecordingId,
    },
    /// Erase a recording for good, unless it is held: key and file. Prints a certificate.
    Erase {
        /// Such as r-1000000001.
        id: RecordingId,
        /// For what.
        #[arg(long)]
        why: String,
    },
    /// Erase every recording of calls with a person, and then the person's number. Prints a certificate; what is held stays, and the
    /// number with it.
    Forget {
        /// The number, or name, as it was presented and the page shows it.
        number: String,
        /// On whose wish, or by which rule.
        #[arg(long)]
        why: String,
    },
    /// Erase every recording of this age that is not held; for a daily timer. Prints a certificate a line.
    Expire {
        /// Age in days.
        #[arg(long)]
        days: u32,
    },
    /// Who exported, held, released and erased what: the last 10,000 entries, oldest first.
    Audit,
    /// Make a master key and put it first into a key file, which is made where it is missing; older keys stay behind it.
    NewKey {
        /// The key file, such as config/recording.key.
        file: PathBuf,
    },
    /// Wrap the keys of all sealed recordings with the first master key of --key-file; older master keys can go afterwards.
    Rotate,
}

/// Runs one verb.
pub fn run(args: &RecordingArgs) -> Result<ExitCode> {
    let folder = args.data.join(&args.recordings);
    match &args.verb {
        Verb::List { json } => {
            for manifest in manifests(&folder)? {
                println!("{}", if *json { String::from_utf8(manifest.line())? } else { one_line(&manifest) });
            }
        }
        Verb::Show { id } => println!("{}", serde_json::to_string_pretty(&find(&folder, *id)?)?),
        Verb::Verify { json, fetch } => {
            let audit = verify::verify(&archive(args)?, &shelf(args)?, *fetch)?;
            if *json {
                println!("{}", audit.json());
            } else {
                print!("{}", audit.text());
            }
            return Ok(if audit.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Verb::Export { id, format, out } => {
            let by_name = out.extension().and_then(|end| Format::named(end.to_str()?));
            let format = format.or(by_name).unwrap_or_default();
            let manifest = find(&folder, *id)?;
            let out_name = out.display().to_string();
            archive(args)?.write(&[erase::entry(erase::now(), "export", *id, &out_name)])?;
            export::export(&shelf(args)?, &manifest, keys(args)?.as_ref(), format, out)?;
            println!("{}: {} s", out.display(), seconds(manifest.duration_ms));
        }
        Verb::Hold { id, why } => erase::hold(&archive(args)?, erase::now(), *id, Some(why))?,
        Verb::Release { id } => erase::hold(&archive(args)?, erase::now(), *id, None)?,
        Verb::Erase { id, why } => {
            let manifest = find(&folder, *id)?;
            let who = erase::at_the_command_line();
            println!("{:#}", erase::erase(&archive(args)?, &shelf(args)?, &who, erase::now(), &manifest, why)?);
        }
        Verb::Expire { days } => {
            let (archive, shelf, now) = (archive(args)?, shelf(args)?, erase::now());
            let who = erase::at_the_command_line();
            let keep = Keep { all: Kept::For(Span::from_s(u64::from(*days) * 86_400)), ..Keep::default() };
            for (manifest, kept) in erase::due(&archive, manifests(&folder)?, &keep, now)?.free {
                println!("{}", erase::erase(&archive, &shelf, &who, now, &manifest, &erase::retention(kept))?);
            }
        }
        Verb::Forget { number, why } => {
            let (archive, who) = (archive(args)?, erase::at_the_command_line());
            let certificate = forget::forget(&archive, &shelf(args)?, &who, erase::now(), number, why)?;
            println!("{certificate:#}");
            let is_complete = certificate["complete"] == true;
            return Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Verb::Audit => {
            for AuditRow { at, who, action, subject, detail } in archive(args)?.audit(10_000)? {
                println!("{}  {who}: {action} {subject} {detail}", rfc3339(at));
            }
        }
        Verb::NewKey { file } => new_key(file)?,
        Verb::Rotate => {
            let (rotated, all) = rotate(&folder, keys(args)?.as_ref())?;
            println!("{rotated} of {all} keys are wrapped anew");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn format_named(name: &str) -> Result<Format, String> {
    Format::named(name).ok_or_else(|| "write wav, flac or opus".to_owned())
}

fn archive(args: &RecordingArgs) -> Result<Archive> {
    Archive::open(&args.data).with_context(|| format!("data folder {}", args.data.display()))
}

/// Where recordings lie, the store included where the configuration is named.
fn shelf(args: &RecordingArgs) -> Result<Shelf> {
    let folder = args.data.join(&args.recordings);
    let Some(file) = &args.config else { return Ok(Shelf::local(folder)) };
    let checked = crate::config::check(file).map_err(|faults| anyhow::anyhow!("{faults}"))?;
    let objects = checked.recording.store.as_ref().map(Objects::open).transpose()?;
    Ok(Shelf { folder, objects: objects.map(Arc::new) })
}

fn keys(args: &RecordingArgs) -> Result<Option<KeyRing>> {
    let read = |file: &PathBuf| KeyRing::read(file).with_context(|| format!("key file {}", file.display()));
    args.key_file.as_ref().map(read).transpose()
}

fn entropy() -> Result<Entropy> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no randomness from the operating system: {error}"))?;
    Ok(Entropy::from_seed(seed))
}

/// Puts a fresh key first; the file is readable by its owner only, and never half written.
fn new_key(file: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let old = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        old => old.with_context(|| file.display().to_string())?,
    };
    let text = format!("{}\n{old}", KeyRing::fresh_line(&mut entropy()?));
    KeyRing::parse(&text).with_context(|| file.display().to_string())?;
    let fresh = file.with_extension("new");
    let mut out = File::options().write(true).create_new(true).mode(0o600).open(&fresh)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&fresh, file)?;
    println!(
        "{} has a new first key; keep a copy of it elsewhere: without it no recording can be heard",
        file.display()
    );
    Ok(())
}

/// Wraps every key anew that is not wrapped by the first master key; gives how many of how many.
fn rotate(folder: &Path, keys: Option<&KeyRing>) -> Result<(usize, usize)> {
    let Some(keys) = keys else { bail!("give the file of master keys with --key-file") };
    let (mut rotated, mut all, mut entropy) = (0, 0, entropy()?);
    for (id, path) in files_in(folder)? {
        if is_sealed(&path) {
            all += 1;
            rotated += usize::from(rewrap_key(folder, keys, &mut entropy, id, &path).with_context(|| id.to_string())?);
        }
    }
    Ok((rotated, all))
}

/// Every recording that the manifest knows; the last line counts where there are two of one.
pub fn manifests(folder: &Path) -> Result<Vec<Manifest>> {
    let lines = manifest_lines(folder).with_context(|| format!("recordings folder {}", folder.display()))?;
    Ok(lines.into_iter().filter_map(|line| line.manifest).collect())
}

fn find(folder: &Path, id: RecordingId) -> Result<Manifest> {
    match manifests(folder)?.into_iter().rfind(|manifest| manifest.id == id) {
        Some(manifest) => Ok(manifest),
        None => bail!("there is no recording {id} in {}; 'offhook recording list' names them", folder.display()),
    }
}

fn one_line(manifest: &Manifest) -> String {
    let Manifest { id, call, started, duration_ms, gaps, mended, .. } = manifest;
    let call = call.map_or_else(|| "-".to_owned(), |call| call.to_string());
    let mended = if *mended { "  mended after a crash" } else { "" };
    format!("{id}  {}  {} s  {call}  {} gaps{mended}", rfc3339(*started), seconds(*duration_ms), gaps.len())
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// What the store keeps of a closed recording.
pub fn recording_row(manifest: &Manifest) -> RecordingRow {
    RecordingRow {
        id: manifest.id,
        call: manifest.call,
        started: manifest.started,
        duration: Span::from_ms(manifest.duration_ms),
        path: manifest.path.clone(),
        line: manifest.line_sha256(),
        hold: None,
        erased: None,
    }
}
