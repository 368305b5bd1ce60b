//! `offhook import`: queues, agents, tiers and penalties of other exchanges, as tables for our file, with a report of what has no
//! equal here.

mod callcenter;
mod queues;
mod write;
mod xml;

pub use self::write::quoted;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::config::FILE_BYTES_MAX;

/// Imports the queues of another exchange.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:\n  offhook import callcenter callcenter.conf.xml > queues.toml\n  \
                        offhook import queues /etc/asterisk/queues.conf > queues.toml\n\nThe tables go to standard \
                        output, what has no equal to standard error, line by line.")]
pub enum ImportCommand {
    /// Of FreeSWITCH: queues, agents and tiers of mod_callcenter.
    Callcenter(ImportArgs),
    /// Of Asterisk: queues and members with their penalties.
    Queues(ImportArgs),
}

/// What is read, and how it is told.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The file to read.
    file: PathBuf,
    /// Print one JSON object with the tables and the report.
    #[arg(long)]
    json: bool,
}

/// Something that was not taken over as it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Note {
    /// Where it stands; 0 for what only shows in the whole.
    pub line: usize,
    /// What it is.
    pub what: String,
    /// Why, or what to do.
    pub why: String,
}

/// A queue: its name, and keys with their values as TOML.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    pub name: String,
    pub keys: Vec<(&'static str, String)>,
}

impl Queue {
    /// Sets a key; a later value goes before an earlier one.
    pub fn set(&mut self, key: &'static str, value: impl Into<String>) {
        self.keys.retain(|(known, _)| *known != key);
        self.keys.push((key, value.into()));
    }
}

/// A place in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub queue: String,
    pub level: u64,
    pub position: u64,
}

/// An agent: phone, keys, places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agent {
    pub name: String,
    pub line: usize,
    /// The account that the phone registers with.
    pub account: Option<String>,
    /// Where a phone is that does not register.
    pub contact: Option<String>,
    pub keys: Vec<(&'static str, String)>,
    pub places: Vec<Place>,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub queues: Vec<Queue>,
    pub agents: Vec<Agent>,
    pub notes: Vec<Note>,
}

impl Found {
    pub fn note(&mut self, line: usize, what: impl Into<String>, why: impl Into<String>) {
        self.notes.push(Note { line, what: what.into(), why: why.into() });
    }

    /// A length of time in whole seconds as our file writes it; a note where it is none, or outside of what we take.
    pub fn span(
        &mut self,
        line: usize,
        what: &str,
        text: &str,
        range: core::ops::RangeInclusive<u64>,
    ) -> Option<String> {
        let Ok(seconds) = text.trim().parse::<u64>() else {
            self.note(line, format!("{what} = {text}"), "is no whole number of seconds, and was left out");
            return None;
        };
        let taken = seconds.clamp(*range.start(), *range.end());
        if taken != seconds {
            let why = format!("is taken as {taken} s: from {} to {} s can be written", range.start(), range.end());
            self.note(line, format!("{what} = {text}"), why);
        }
        Some(format!("\"{taken}s\""))
    }

    /// The strategy of that name elsewhere, by its name here.
    pub fn strategy(&mut self, line: usize, name: &str) -> Option<&'static str> {
        let found = offhook_acd::Strategy::named(name.trim());
        if found.is_none() {
            self.note(line, format!("strategy = {name}"), "is not known here; longest-idle holds");
        }
        found.map(offhook_acd::Strategy::name)
    }
}

/// Reads, prints, reports.
pub fn run(command: &ImportCommand) -> Result<ExitCode> {
    let (args, read): (_, fn(&str) -> Result<Found>) = match command {
        ImportCommand::Callcenter(args) => (args, callcenter::read),
        ImportCommand::Queues(args) => (args, queues::read),
    };
    let found = read(&source(&args.file)?).with_context(|| args.file.display().to_string())?;
    let (toml, notes) = write::tables(found);
    if args.json {
        println!("{}", serde_json::json!({ "toml": toml, "notes": notes }));
        return Ok(ExitCode::SUCCESS);
    }
    print!("{toml}");
    for Note { line, what, why } in &notes {
        let line = if *line > 0 { format!(":{line}") } else { String::new() };
        eprintln!("{}{line}: {what}: {why}", args.file.display());
    }
    eprintln!("{}", crate::check::count(notes.len(), "note"));
    Ok(ExitCode::SUCCESS)
}

fn source(file: &Path) -> Result<String> {
    let bytes = std::fs::metadata(file).with_context(|| format!("{} cannot be read", file.display()))?.len();
    if bytes > FILE_BYTES_MAX {
        bail!("{} has {bytes} bytes; at most {FILE_BYTES_MAX} are read", file.display());
    }
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// The user part of what reaches a phone elsewhere: an account here, or a contact with an address of its own.
pub fn phone(text: &str) -> Option<(Option<String>, Option<String>)> {
    let (user, host) = text.split_once('@').map_or((text, None), |(user, host)| (user, Some(host)));
    let is_plain =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !is_plain(user) {
        return None;
    }
    let at = host.and_then(|host| {
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:5060") };
        with_port.parse::<core::net::SocketAddr>().ok()
    });
    Some(match at {
        Some(at) => (None, Some(format!("sip:{user}@{at}"))),
        None => (Some(user.to_owned()), None),
    })
}

#[cfg(test)]
mod tests;
