//! `offhook bench`: load and quality from this machine, with a report.

mod acd;

use std::process::ExitCode;

use clap::Subcommand;

/// What is benched.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// How long a routing decision takes on a large floor, and how much memory agents and contacts take.
    Acd(acd::AcdArgs),
}

/// Runs the bench.
pub fn run(command: &BenchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BenchCommand::Acd(args) => acd::run(args),
    }
}
