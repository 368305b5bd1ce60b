//! `offhook bench`: load and quality from this machine, with a report.

mod acd;
mod agents;
mod calls;
mod chaos;
mod load;
mod media;
mod record;
mod register;
mod sample;
mod soak;
mod words;

use std::process::ExitCode;

use clap::Subcommand;

/// What is benched.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Callers with real speech against any SIP server, and agents who answer them: what became of every call, and how long it took.
    Calls(Box<calls::CallsArgs>),
    /// Faults under load: an exchange of its own, calls to it, and what became of each call while networks, phones, database, clock, disk and process failed.
    Chaos(chaos::ChaosArgs),
    /// Recorded queue calls to an exchange of its own for as long as it takes: whether memory stays, and every call has record and recording.
    Soak(soak::SoakArgs),
    /// Agents who register, answer, decline, hang up and wrap up, for callers of whoever.
    Agents(Box<agents::AgentsArgs>),
    /// Accounts that register with digest, and register again, at any SIP server: how long it took, what failed, and the server's CPU.
    Register(Box<register::RegisterArgs>),
    /// Recordings by the hundred written to a folder at the pace of speech: CPU, bytes, how far the disk is behind, what was lost.
    Record(record::RecordArgs),
    /// How long a routing decision takes on a large floor, and how much memory agents and contacts take.
    Acd(acd::AcdArgs),
    /// What a listener hears of a bad network: speech and a trace in, what was heard and a log out.
    Media(media::MediaArgs),
}

/// Runs the bench.
pub fn run(command: &BenchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BenchCommand::Calls(args) => calls::run(args),
        BenchCommand::Chaos(args) => chaos::run(args),
        BenchCommand::Soak(args) => soak::run(args),
        BenchCommand::Agents(args) => agents::run(args),
        BenchCommand::Register(args) => register::run(args),
        BenchCommand::Record(args) => record::run(args),
        BenchCommand::Acd(args) => acd::run(args),
        BenchCommand::Media(args) => media::run(args),
    }
}
