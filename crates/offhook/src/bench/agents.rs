//! `offhook bench agents`: agents without callers, for a server that somebody else calls.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use offhook_loadgen::arrivals::Lasting;
use offhook_loadgen::load::Load;

use super::calls::{once, show};
use super::load::{AgentOptions, Common, Over, lead, tls_for};
use super::words::Codec;
use crate::phone::stop_signals;

/// Arguments of `offhook bench agents`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  offhook bench agents --agents 1000 --register sip:pbx.example --users 'r{n:04}' --passwords 'pw{n:04}' --for 10m
      1,000 phones that register and send back what they hear, for ten minutes
  offhook bench agents --agents-listen 127.0.0.3:5070 --answer-after 1s..4s --decline 5 --wrap-up 10s
      whoever is called there answers, until Ctrl-C

Exit status: 0 the run counts; 1 it could not begin; 2 the generator was late, and it does not count.")]
pub struct AgentsArgs {
    #[command(flatten)]
    agents: AgentOptions,
    /// How long. Without it, until Ctrl-C.
    #[arg(long = "for", value_name = "SPAN")]
    lasting: Option<Lasting>,
    /// What they say with --speak: a WAV file, again and again.
    #[arg(long, value_name = "FILE")]
    speech: Option<PathBuf>,
    /// What SIP goes over.
    #[arg(long, value_enum, default_value = "udp")]
    transport: Over,
    /// The codec.
    #[arg(long, value_enum, default_value = "pcmu")]
    codec: Codec,
    /// Whom to believe over TLS: a file of certificates in PEM, of authorities or of the registrar itself. Default /etc/ssl/certs/ca-certificates.crt.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// What a WebSocket is asked for, such as /ws. Default /.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Streams under SRTP are taken, with keys in the descriptions (SDES); plain ones too.
    #[arg(long)]
    srtp: bool,
    /// The process under test on this machine: its CPU and memory are read.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Write a page with plots that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Say nothing while it runs.
    #[arg(long)]
    quiet: bool,
}

/// Runs the bench.
pub fn run(args: &AgentsArgs) -> anyhow::Result<ExitCode> {
    let words = (args.speech.as_deref(), None);
    let floor = args.agents.floor(&Common { over: args.transport, codec: args.codec, words, srtp: args.srtp })?;
    let agents =
        floor.context("who answers is missing: --agents N --register sip:DOMAIN, or --agents-listen ADDR:PORT")?;
    let load = Load {
        callers: None,
        tls: tls_for([agents.transport], args.trust.as_deref())?,
        leads: agents.registrar.iter().map(|(at, domain)| lead(domain, *at, args.path.as_deref())).collect(),
        agents: Some(agents),
        sampled: None,
        lasting: args.lasting.map(|lasting| lasting.0),
        server_pid: args.server_pid,
        wire: Arc::default(),
        keeps_outcomes: false,
    };
    let report = once(&load, &stop_signals()?, args.quiet)?;
    show(&report, args.json, args.html.as_deref())?;
    Ok(if report.counts { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
