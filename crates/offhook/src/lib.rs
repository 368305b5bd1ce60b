//! The exchange on the command line: all of the program but its first instruction, so that the fuzz target of the configuration stands on the program's own code.

mod bench;
mod call;
mod check;
mod config;
mod configuration;
mod doctor;
mod import;
mod phone;
mod recording;
mod replay;
mod serve;
mod simulate;
mod user;
mod versions;
mod webrtc;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// A contact-centre telephone exchange in one program.
#[derive(Debug, Parser)]
#[command(name = "offhook", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the exchange.
    Serve(serve::ServeArgs),
    /// Check a configuration as a whole.
    Check(check::CheckArgs),
    /// Take the configuration in again while the exchange runs: no call ends, and a file with a fault changes nothing.
    Reload(configuration::ReloadArgs),
    /// Configurations that were in force: list, show, compare, put back.
    #[command(subcommand)]
    Config(configuration::ConfigCommand),
    /// Import queues and agents of FreeSWITCH or Asterisk.
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Look at this machine: what an exchange would lack here, and what to do about it.
    Doctor(doctor::DoctorArgs),
    /// The softphone: a terminal screen, or `--headless`.
    Phone(phone::PhoneArgs),
    /// One scripted call; exits 0 when it was answered and ended as asked.
    Call(call::CallArgs),
    /// Recordings: list, show, verify, export, hold, erase, forget a person, and the keys that seal them.
    Recording(recording::RecordingArgs),
    /// Let people and programs in: users and tokens of the page and the API.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Print the description of the HTTP API, OpenAPI 3.1: the exchange serves the same at /api/v1/openapi.json.
    #[command(after_help = "Example:\n  offhook api > openapi.json")]
    Api,
    /// Quality and load from this machine, with a report.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// A day on the floor on a virtual clock, with the distributor that the exchange runs.
    Simulate(simulate::SimulateArgs),
    /// Replay the log of a simulated day: the same state again, and why each offer went where it went.
    Replay(replay::ReplayArgs),
}

/// What is logged where nobody says otherwise: of the libraries, only what an operator can do something about.
const QUIET: &str =
    "info,sqlx=warn,object_store=warn,pulseaudio=off,webrtc=error,rtc=error,rtc_ice=error,rtc_dtls=error";

fn api() -> anyhow::Result<ExitCode> {
    std::io::stdout().write_all(offhook_server::openapi().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What a configuration of this text is refused for, place by place; none where it would be taken.
#[doc(hidden)]
pub fn faults_of(text: &str) -> Option<String> {
    config::check_text(std::path::Path::new("fuzz.toml"), text).err().map(|faults| faults.to_string())
}

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("OFFHOOK_LOG").unwrap_or_else(|_| EnvFilter::new(QUIET));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let done = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => Ok(check::run(&args)),
        Command::Reload(args) => configuration::reload(&args),
        Command::Config(command) => configuration::run(&command),
        Command::Import(command) => import::run(&command),
        Command::Doctor(args) => Ok(doctor::run(&args)),
        Command::Phone(args) => phone::run(args),
        Command::Call(args) => call::run(args),
        Command::Recording(args) => recording::run(&args),
        Command::User(command) => user::run(command),
        Command::Api => api(),
        Command::Bench(command) => bench::run(&command),
        Command::Simulate(args) => simulate::run(&args),
        Command::Replay(args) => replay::run(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("offhook: {error:#}");
        ExitCode::FAILURE
    })
}
