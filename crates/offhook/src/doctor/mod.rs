//! `offhook doctor`: what this machine lacks for an exchange, each with what to do about it.

mod audio_loop;
mod machine;
mod network;

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::check;
use crate::config::{self, Checked};

/// Looks at this machine as an exchange, or a softphone, would need it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  offhook doctor
      the machine alone
  offhook doctor config/offhook.toml
      the machine for this exchange: its addresses, ports, limits and data folder
  offhook doctor config/offhook.toml --json | jq '.findings[] | select(.state != \"good\")'
      what is to be done, for a program

  offhook doctor --audio-loop
      as well how long a word is under way between two softphones here

Exits with 1 where something would keep the exchange from working. Nothing is changed; the data folder is written to and cleaned up.")]
pub struct DoctorArgs {
    /// The configuration, such as config/offhook.toml; without it the machine alone is looked at.
    file: Option<PathBuf>,
    /// The data folder; overrides the file's.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Measure how long a word is under way from mouth to ear, through two softphones and an exchange of this machine, by clicks; takes
    /// 20 s and PulseAudio.
    #[arg(long)]
    audio_loop: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Good,
    /// It works, and could be better.
    Improvable,
    /// It would keep the exchange from working.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, state: State::Good, found: found.into(), advice: None }
    }

    fn improvable(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, state: State::Improvable, found: found.into(), advice: Some(advice.into()) }
    }

    fn bad(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, state: State::Bad, found: found.into(), advice: Some(advice.into()) }
    }

    fn text(&self) -> String {
        let mark = match self.state {
            State::Good => "ok  ",
            State::Improvable => "note",
            State::Bad => "BAD ",
        };
        let advice = self.advice.iter().map(|advice| format!("\n                      {advice}"));
        format!("{mark}  {:<14}  {}{}", self.what, self.found, advice.collect::<String>())
    }
}

/// What the exchange needs, as far as it differs with the configuration.
struct Needs {
    calls: usize,
    connections: usize,
    media_workers: usize,
}

impl Needs {
    /// Of a small exchange, where no configuration is given.
    const SMALL: Self = Self { calls: 100, connections: 100, media_workers: 1 };

    fn of(checked: &Checked) -> Self {
        Self {
            calls: checked.limits.calls_max,
            connections: checked.streams.connections_max,
            media_workers: checked.media_workers,
        }
    }
}

/// Looks, reports, and exits with 1 where something is bad.
pub fn run(args: &DoctorArgs) -> ExitCode {
    let mut findings = Vec::new();
    let checked = args.file.as_ref().and_then(|file| match config::check(file) {
        Ok(checked) => {
            findings.push(Finding::good("configuration", file.display().to_string()));
            Some(checked)
        }
        Err(faults) => {
            let found = format!("{} in {}", check::count(check::errors(&faults), "fault"), file.display());
            let advice = format!("`offhook check {}` shows each with its place", file.display());
            findings.push(Finding::bad("configuration", found, advice));
            None
        }
    });
    let needs = checked.as_ref().map_or(Needs::SMALL, Needs::of);
    findings.extend(machine::look(&needs));
    if let Some(checked) = &checked {
        findings.extend(network::look(checked));
    }
    if let Some(data) = args.data.as_ref().or_else(|| checked.as_ref().map(|checked| &checked.data)) {
        findings.extend(machine::look_at_folder(data));
    }
    findings.push(machine::sound());
    if args.audio_loop {
        findings.push(audio_loop::look());
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (notes, bad) = (count(State::Improvable), count(State::Bad));
    if args.json {
        println!("{}", serde_json::json!({ "ok": bad == 0, "findings": findings }));
    } else {
        for finding in &findings {
            println!("{}", finding.text());
        }
        println!("\n{}", verdict(notes, bad));
    }
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn verdict(notes: usize, bad: usize) -> String {
    match (notes, bad) {
        (0, 0) => "This machine is ready.".to_owned(),
        (notes, 0) => format!("This machine is ready; {notes} of these could be better."),
        (_, bad) => format!("{bad} of these would keep the exchange from working."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_its_advice_another() {
        let good = Finding::good("clock", "synchronised");
        assert_eq!(good.text(), "ok    clock           synchronised");
        let bad = Finding::bad("sip", "udp:192.0.2.1:5060: no such address here", "correct `listen`");
        let text = bad.text();
        assert!(text.starts_with("BAD   sip ") && text.ends_with("\n                      correct `listen`"), "{text}");
        assert_eq!(
            serde_json::to_value(&good).unwrap().to_string(),
            r#"{"found":"synchronised","state":"good","what":"clock"}"#
        );
    }

    #[test]
    fn the_verdict_says_whether_it_works() {
        assert_eq!(verdict(0, 0), "This machine is ready.");
        assert!(verdict(2, 0).contains("ready; 2"));
        assert!(verdict(2, 1).starts_with("1 of these would keep"));
    }
}
