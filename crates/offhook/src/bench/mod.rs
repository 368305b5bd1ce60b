//! `offhook bench`: load and quality from this machine, with a report.

mod acd;
mod media;

use std::process::ExitCode;

use clap::Subcommand;

/// What is benched.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// How long a routing decision takes on a large floor, and how much memory agents and contacts take.
    Acd(acd::AcdArgs),
    /// What a listener hears of a bad network: speech and a trace in, what was heard and a log out.
    Media(media::MediaArgs),
}

/// Runs the bench.
pub fn run(command: &BenchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BenchCommand::Acd(args) => acd::run(args),
        BenchCommand::Media(args) => media::run(args),
    }
}
