//! The tooling door: `cargo demo`, `cargo verify` and `cargo xtask NAME`. CI runs the same words as people do.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tooling waits for real programs on the real clock"
)]

mod apt;
mod axe;
mod children;
mod compare;
mod demo;
mod flame;
mod fuzz;
mod g711;
mod http;
mod law;
mod peers;
mod performance;
mod python;
mod shifts;
mod speech;
mod steps;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Offhook's tooling.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the exchange, two agents and a caller on this machine, and shows a real call from its INVITE to its record.
    Demo(demo::Options),
    /// Runs everything that checks the project; the last line says how many tests passed and failed.
    Verify(verify::Options),
    /// Holds the repository against its law.
    Law,
    /// Runs the tests with real peers (sipp, baresip, linphone, `PulseAudio`, Chromium) against the release build.
    Peers(peers::Options),
    /// Measures what queue calls cost, with and without recording, beside a bare forwarder in the same run.
    Performance(performance::Options),
    /// Counts the instructions that the hot parts of two versions take, by callgrind.
    Compare(compare::Options),
    /// Shows where the exchange's time goes under queue calls, as a flame graph and by whose instructions.
    Flame(flame::Options),
    /// Runs seeded shifts of the distributor and of the whole exchange by the thousand, each seed in a process of its own: for the night.
    Shifts(shifts::Options),
    /// Fuzzes the parsers with libFuzzer (needs cargo-fuzz and a C++ compiler).
    Fuzz(fuzz::Options),
}

/// The workspace's folder.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(PathBuf::from).unwrap_or(here)
}

/// Where builds go.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Whether `cargo xtask NAME` exists.
fn names_a_command(name: &str) -> bool {
    Cli::command().get_subcommands().any(|command| command.get_name() == name)
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Law => law::run(),
        Command::Peers(options) => peers::run(&options),
        Command::Performance(options) => performance::run(&options),
        Command::Compare(options) => compare::run(&options),
        Command::Flame(options) => flame::run(&options),
        Command::Shifts(options) => shifts::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
