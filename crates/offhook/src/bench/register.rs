//! `offhook bench register`: accounts that register with digest, and register again, at any SIP server.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;
use crossbeam_channel::Receiver;
use offhook_loadgen::arrivals::{Lasting, Pattern, Rates};
use offhook_loadgen::capacity::Search;
use offhook_loadgen::registrations::{self, ACCOUNTS_MAX, RegisterLoad, RegisterReport, RegisterSecond};
use offhook_sip::Uri;
use offhook_units::Span;

use super::calls::{BETWEEN_TRIES, LIMIT_BROKEN, NOT_COUNTED, range};
use super::load::{Over, any_for, lead, resolve, resolve_uri, tls_for};
use crate::phone::{entropy, stop_signals};

/// Arguments of `offhook bench register`.
#[derive(Debug, Args)]
#[command(after_help = "\
Accounts take turns: the first turn of each registers it, further ones refresh. Times are counted from the instant at which a REGISTER was
due, and end with its 200: a first registration has the challenge in between, and a refresh only where the server wants a fresh nonce.
At the end all accounts are unregistered, at the highest rate of the run.

Examples:
  offhook bench register --to sip:pbx.example --accounts 1000 --rate 200/s
      each of r0001 to r1000 registers once, with pw0001 to pw1000
  offhook bench register --to sip:127.0.0.1:5060 --accounts 1000 --rate 500/s --for 30s --server-pid $(pidof offhook)
      15,000 registrations and refreshes of 1,000 accounts, and what one costs the server
  offhook bench register --to sip:pbx.example --accounts 5000 --users 'x{n}' --passwords secret --rate 100/s..1000/s --for 2m --json
      a rate that rises, all accounts with one password
  offhook bench register --to sip:pbx.example --accounts 5000 --rate 1/s --for 10s --find-capacity 100..20000 --max-time 200ms
      the most registrations a second of which 99 % take no longer than 200 ms and 1 % fail, by bisection

Exit status: 0 the run counts and kept the limits; 1 it could not begin; 2 the generator was late, and it does not count; 3 a limit was broken.")]
pub struct RegisterArgs {
    /// Where the accounts register: sip:DOMAIN[:PORT].
    #[arg(long, value_name = "URI")]
    to: String,
    /// The registrar, where it is not the host of --to.
    #[arg(long, value_name = "HOST[:PORT]")]
    registrar: Option<String>,
    /// Where they send from, and are reached; port 0 takes a free one. Default 0.0.0.0:0.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// How many accounts there are.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(ACCOUNTS_MAX)))]
    accounts: u32,
    /// Their names: n in braces is the number, {n:04} with leading zeros.
    #[arg(long, value_name = "NAME", default_value = "r{n:04}")]
    users: String,
    /// Their passwords, in the same way.
    #[arg(long, value_name = "TEXT", default_value = "pw{n:04}")]
    passwords: String,
    /// The first number.
    #[arg(long, value_name = "N", default_value_t = 1)]
    first: u32,
    /// REGISTERs begun, those after a challenge not counted: 50/s, 3000/min; rising over --for: 10/s..100/s; in steps, the last one goes on: 10/s:30s,50/s:1m.
    #[arg(long, value_name = "RATE")]
    rate: Rates,
    /// They come by chance (a Poisson process of that rate) instead of evenly.
    #[arg(long)]
    poisson: bool,
    /// For how long. Without it, until each account has had one turn.
    #[arg(long = "for", value_name = "SPAN")]
    lasting: Option<Lasting>,
    /// What SIP goes over: all but udp have one connection for all accounts.
    #[arg(long, value_enum, default_value = "udp")]
    transport: Over,
    /// Whom to believe over TLS: a file of certificates in PEM, of authorities or of the registrar itself. Default /etc/ssl/certs/ca-certificates.crt.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// What a WebSocket is asked for, such as /ws. Default /.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// How long a registration is asked for.
    #[arg(long, value_name = "SPAN", default_value = "1h")]
    expires: Lasting,
    /// Leave the accounts registered at the end.
    #[arg(long)]
    keep: bool,
    /// The process under test on this machine: its CPU and memory are read.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// REGISTERs that may fail or be left out, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    max_failed: f64,
    /// Time that 99 % of registrations and refreshes must not exceed.
    #[arg(long, value_name = "SPAN")]
    max_time: Option<Lasting>,
    /// Search for the most REGISTERs a second that keep the limits, each try --for so long.
    #[arg(long, value_name = "LEAST..MOST", value_parser = range, requires = "lasting")]
    find_capacity: Option<(u64, u64)>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Say nothing while it runs.
    #[arg(long)]
    quiet: bool,
}

impl RegisterArgs {
    /// The run that these options describe.
    fn load(&self) -> anyhow::Result<RegisterLoad> {
        let bad = || anyhow::anyhow!("--to `{}` is no SIP URI: write sip:DOMAIN[:PORT]", self.to);
        let domain: Uri = self.to.parse().map_err(|_| bad())?;
        let server = match &self.registrar {
            Some(registrar) => resolve(registrar, self.transport)?,
            None => resolve_uri(&domain, self.transport)?,
        };
        ensure!(
            self.lasting.is_some() || !self.rate.spans_the_run(),
            "a rate that rises does so over the whole run, whose length is missing: --for SPAN"
        );
        ensure!(
            self.expires.0 >= Span::from_s(1),
            "--expires below a second ends a registration instead of making one"
        );
        Ok(RegisterLoad {
            server,
            transport: self.transport.transport(),
            tls: tls_for([self.transport.transport()], self.trust.as_deref())?,
            lead: lead(&domain, server, self.path.as_deref()),
            domain: Uri::sip(None, &domain.host, domain.port),
            local: self.listen.unwrap_or_else(|| any_for(server)),
            accounts: self.accounts,
            first: self.first,
            user: self.users.clone(),
            password: self.passwords.clone(),
            pattern: self.pattern(self.rate.clone()),
            lasting: self.lasting.map(|lasting| lasting.0),
            expires: self.expires.0,
            keep: self.keep,
            server_pid: self.server_pid,
        })
    }

    fn pattern(&self, rates: Rates) -> Pattern {
        if self.poisson { Pattern::Poisson(rates) } else { Pattern::Even(rates) }
    }

    /// The limits that a run broke, each in words.
    fn broken(&self, report: &RegisterReport) -> Vec<String> {
        let mut broken = Vec::new();
        let failed = report.failed_pct();
        if failed > self.max_failed {
            broken.push(format!("REGISTERs that failed: {failed:.3} %, and the limit is {} %", self.max_failed));
        }
        if let Some(Lasting(most)) = self.max_time {
            let (found, most) = (report.register_ms.p99.max(report.refresh_ms.p99), most.as_us() as f64 / 1_000.0);
            if found > most {
                broken.push(format!("time of 99 %: {found:.3} ms, and the limit is {most} ms"));
            }
        }
        if report.due > 0 && report.registered == 0 {
            broken.push("no account was registered".to_owned());
        }
        broken
    }
}

/// Runs the bench.
pub fn run(args: &RegisterArgs) -> anyhow::Result<ExitCode> {
    let load = args.load()?;
    let stop = stop_signals()?;
    if let Some((least, most)) = args.find_capacity {
        return find_capacity(args, &load, Search::new(least, most), &stop);
    }
    let report = once(&load, &stop, args.quiet)?;
    if args.json {
        crate::phone::print_line(&report);
    } else {
        print!("{}", report.table());
    }
    let broken = args.broken(&report);
    for each in &broken {
        eprintln!("offhook: {each}");
    }
    Ok(match (report.counts, broken.is_empty()) {
        (true, true) => ExitCode::SUCCESS,
        (false, _) => ExitCode::from(NOT_COUNTED),
        (true, false) => ExitCode::from(LIMIT_BROKEN),
    })
}

/// One run, with live figures on standard error.
fn once(load: &RegisterLoad, stop: &Receiver<()>, quiet: bool) -> anyhow::Result<RegisterReport> {
    let on_terminal = std::io::stderr().is_terminal();
    let live = |second: &RegisterSecond| {
        let mut err = std::io::stderr().lock();
        // A reader that has gone ends nothing.
        let _ = match (quiet, on_terminal) {
            (true, _) => Ok(()),
            (false, true) => write!(err, "\r\x1b[K{}", second.line()).and_then(|()| err.flush()),
            (false, false) => writeln!(err, "{}", second.line()),
        };
    };
    let report = registrations::run(load, stop, entropy()?, live)?;
    if on_terminal && !quiet {
        eprintln!();
    }
    Ok(report)
}

fn find_capacity(
    args: &RegisterArgs,
    load: &RegisterLoad,
    mut search: Search,
    stop: &Receiver<()>,
) -> anyhow::Result<ExitCode> {
    let mut tries = Vec::new();
    let mut best: Option<(u64, RegisterReport)> = None;
    // Of the smallest rate that failed, whether the generator was too late for it.
    let mut worst: Option<(u64, bool)> = None;
    while let Some(value) = search.next() {
        if !tries.is_empty() && stop.recv_timeout(BETWEEN_TRIES).is_ok() {
            break;
        }
        let load = RegisterLoad { pattern: args.pattern(Rates::constant(value as f64)), ..load.clone() };
        let report = once(&load, stop, args.quiet)?;
        ensure!(report.due > 0, "stopped before the first REGISTER");
        let why: Vec<String> = args.broken(&report).into_iter().chain(report.why_not.clone()).collect();
        let good = why.is_empty();
        eprintln!("{value} registrations a second: {}", if good { "good".to_owned() } else { why.join("; ") });
        search.tell(good);
        tries.push(serde_json::json!({ "value": value, "good": good, "why": why, "report": report }));
        if good && best.as_ref().is_none_or(|(most, _)| *most < value) {
            best = Some((value, report));
        } else if !good && worst.is_none_or(|(least, _)| value < least) {
            worst = Some((value, !report.counts));
        }
    }
    let by_generator = worst.is_some_and(|(_, by_generator)| by_generator);
    if args.json {
        let object = serde_json::json!({
            "capacity": search.found(), "unit": "registrations a second", "bound_by_generator": by_generator, "tries": tries,
        });
        println!("{object}");
    } else if let Some((value, report)) = &best {
        print!("{}", report.table());
        println!("capacity {value} registrations a second");
    }
    if by_generator {
        eprintln!(
            "offhook: above that the generator was late: the server may carry more than this machine can ask of it"
        );
    }
    Ok(if best.is_some() { ExitCode::SUCCESS } else { ExitCode::from(LIMIT_BROKEN) })
}
