//! `offhook reload` and `offhook config`: the configuration of an exchange that runs, and those that were in force before.
#![expect(
    clippy::disallowed_methods,
    reason = "the command line waits for the exchange, and says when something was done"
)]

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::check::count;
use crate::config;
use crate::versions::{Attempt, Line, Told, Version, Versions, diff, near, write};

/// How long the exchange may take to read, check and take in a configuration.
const TAKEN_WITHIN: Duration = Duration::from_mins(1);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines that stand around a difference.
const AROUND: usize = 3;

/// Which exchange.
#[derive(Debug, clap::Args)]
pub struct Whose {
    /// The configuration.
    #[arg(long, default_value = "config/offhook.toml")]
    config: PathBuf,
    /// The data folder. Overrides the file's.
    #[arg(long)]
    data: Option<PathBuf>,
}

impl Whose {
    /// Where versions lie. Of the file only its data folder counts: it may be faulty just now.
    fn versions(&self) -> Result<Versions> {
        if let Some(data) = &self.data {
            return Ok(Versions::of(data));
        }
        let file = self.config.display();
        let text = std::fs::read_to_string(&self.config).with_context(|| file.to_string())?;
        let table: toml::Table =
            text.parse().with_context(|| format!("{file} does not say where the data folder is; give --data"))?;
        let folder = table.get("store").and_then(|store| store.get("folder")?.as_str()).unwrap_or("data");
        let beside = self.config.parent().unwrap_or_else(|| Path::new(""));
        Ok(Versions::of(&beside.join(folder)))
    }
}

/// Takes the configuration in again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 1 where the file has a fault; then nothing has changed.\n\nExample:\n  offhook reload --config config/offhook.toml"
)]
pub struct ReloadArgs {
    #[command(flatten)]
    whose: Whose,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// `offhook config`.
#[derive(Debug, clap::Subcommand)]
pub enum ConfigCommand {
    /// Lists the versions that are kept, the newest first.
    Versions {
        #[command(flatten)]
        whose: Whose,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints a version, passwords included.
    Show {
        /// Which.
        version: u64,
        #[command(flatten)]
        whose: Whose,
    },
    /// Prints how one version became another, or the file as it is now.
    Diff {
        /// The older one.
        from: u64,
        /// The newer one; the file without it.
        to: Option<u64>,
        #[command(flatten)]
        whose: Whose,
    },
    /// Writes a version into the file again, and takes it in where the exchange runs.
    Restore {
        /// Which.
        version: u64,
        #[command(flatten)]
        whose: Whose,
    },
}

/// Takes the configuration in, and says what became of it.
pub fn reload(args: &ReloadArgs) -> Result<ExitCode> {
    let file = &args.whose.config;
    // The exchange checks it, too; whoever stands here sees the faults in their places.
    let checked = match config::check(file) {
        Ok(checked) => checked,
        Err(faults) if args.json => {
            println!("{}", serde_json::json!({ "taken": false, "faults": faults.json() }));
            return Ok(ExitCode::FAILURE);
        }
        Err(faults) => {
            eprint!("{}", faults.graphical(std::io::stderr().is_terminal()));
            eprintln!("Nothing has changed.");
            return Ok(ExitCode::FAILURE);
        }
    };
    let versions = Versions::of(args.whose.data.as_ref().unwrap_or(&checked.data));
    let Some(attempt) = ask(&versions, file)? else {
        bail!("no exchange runs on {}", args.whose.data.as_ref().unwrap_or(&checked.data).display());
    };
    if args.json {
        println!("{}", serde_json::to_string(&attempt)?);
    } else {
        println!("{}", said(&attempt));
    }
    Ok(if attempt.taken { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Has the exchange that runs take its file in; none where no exchange runs.
fn ask(versions: &Versions, file: &Path) -> Result<Option<Attempt>> {
    let Some(running) = versions.running()? else { return Ok(None) };
    let same = std::fs::canonicalize(&running.file).ok() == std::fs::canonicalize(file).ok();
    if !same {
        bail!("the exchange that runs there reads {}", running.file.display());
    }
    let before = versions.last()?.map_or(0, |last| last.number);
    let pid = Pid::from_raw(running.pid).context("the exchange's process")?;
    kill_process(pid, Signal::HUP).context("the exchange cannot be told: run this as the user that it runs as")?;
    let until = Instant::now() + TAKEN_WITHIN;
    while Instant::now() < until {
        if let Some(last) = versions.last()?.filter(|last| last.number > before) {
            return Ok(Some(last));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    bail!("the exchange did not say within {} s what became of it; see its log", TAKEN_WITHIN.as_secs());
}

fn said(attempt: &Attempt) -> String {
    let Attempt { taken, version, faults, waits, .. } = attempt;
    let waits = waits.iter().map(|wait| format!("{wait} is not as the file says until the exchange is restarted"));
    let end = if *taken { format!("Version {version} is in force.") } else { "Nothing has changed.".to_owned() };
    faults.iter().map(place).chain(waits).chain([end]).collect::<Vec<_>>().join("\n")
}

fn place(told: &Told) -> String {
    let Told { file, line, column, severity, message, advice } = told;
    format!("{file}:{line}:{column}: {severity}: {message}\n  help: {advice}")
}

/// `offhook config`.
pub fn run(command: &ConfigCommand) -> Result<ExitCode> {
    match command {
        ConfigCommand::Versions { whose, json } => {
            let list = whose.versions()?.list()?;
            if *json {
                println!("{}", serde_json::to_string(&list)?);
            } else {
                for Version { number, at, who, added, removed, .. } in &list {
                    println!("{number:>6}  {at}  +{added} -{removed}  {who}");
                }
                println!("{}", count(list.len(), "version"));
            }
        }
        ConfigCommand::Show { version, whose } => print!("{}", text(&whose.versions()?, *version)?),
        ConfigCommand::Diff { from, to, whose } => {
            let versions = whose.versions()?;
            let old = text(&versions, *from)?;
            let new = match to {
                Some(to) => text(&versions, *to)?,
                None => std::fs::read_to_string(&whose.config)?,
            };
            print!("{}", shown(&diff(&old, &new)));
        }
        ConfigCommand::Restore { version, whose } => return restore(*version, whose),
    }
    Ok(ExitCode::SUCCESS)
}

fn text(versions: &Versions, version: u64) -> Result<String> {
    versions.text(version).with_context(|| format!("version {version}: see offhook config versions"))
}

fn restore(version: u64, whose: &Whose) -> Result<ExitCode> {
    let versions = whose.versions()?;
    let text = text(&versions, version)?;
    if let Err(faults) = config::check_text(&whose.config, &text) {
        eprint!("{}", faults.graphical(std::io::stderr().is_terminal()));
        bail!("version {version} has faults by now; {} stays as it is", whose.config.display());
    }
    write(&whose.config, text.as_bytes()).with_context(|| whose.config.display().to_string())?;
    let Some(attempt) = ask(&versions, &whose.config)? else {
        println!("{} is as in version {version}; no exchange runs.", whose.config.display());
        return Ok(ExitCode::SUCCESS);
    };
    println!("{}", said(&attempt));
    Ok(if attempt.taken { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A difference with a few lines around each change.
pub fn shown(lines: &[Line<'_>]) -> String {
    let mut text = String::new();
    let mut gap = false;
    for (line, is_near) in lines.iter().zip(near(lines, AROUND)) {
        if !is_near {
            gap = true;
            continue;
        }
        if core::mem::take(&mut gap) {
            text.push_str("...\n");
        }
        let (sign, words) = match line {
            Line::Same(words) => (' ', words),
            Line::Added(words) => ('+', words),
            Line::Removed(words) => ('-', words),
        };
        text.push(sign);
        text.push(' ');
        text.push_str(words);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_with_three_lines_around_it() {
        let old = (1..=20).map(|n| n.to_string()).chain([String::new()]).collect::<Vec<_>>().join("\n");
        let new = old.replace("10\n", "ten\n").replace("20\n", "20\n21\n");
        let expected = "...\n  7\n  8\n  9\n- 10\n+ ten\n  11\n  12\n  13\n...\n  18\n  19\n  20\n+ 21\n";
        assert_eq!(shown(&diff(&old, &new)), expected);
        assert_eq!(shown(&diff(&old, &old)), "");
    }
}
