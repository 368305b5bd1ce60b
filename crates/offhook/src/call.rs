//! `offhook call`: one scripted call, with its figures at the end.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use offhook_loadgen::arrivals::span;
use offhook_phone::{CallStatistics, Clock, Dial, EndedBy, Phone, PhoneConfig, PhoneEvent};
use offhook_sip::{NameAddr, Uri};
use offhook_units::Span;

use crate::phone::{SoundArgs, account, entropy, print_line, stop_signals};
use crate::webrtc::ByWebRtc;

/// Arguments of `offhook call`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  offhook call sip:701@127.0.0.1 --play hello.wav --record heard.wav --for 30s
      calls, speaks, listens, hangs up after 30 s
  offhook call sip:800@127.0.0.1 --from '\"Anna Schmidt\" <sip:+4930123@127.0.0.1>' --dtmf 1@2s
      presses 1 two seconds after the answer, and talks until the other side hangs up
  offhook call sip:200@127.0.0.1 --webrtc --play hello.wav --record heard.wav --for 30s
      the same as from a browser
  offhook call sip:bob@example.com --account sip:alice@example.com --password-file ~/.alice --for 10s --events

Exit status: 0 answered and ended as asked; 1 otherwise, with one line that says why.")]
pub struct CallArgs {
    /// Whom to call: sip:NAME@HOST[:PORT].
    uri: String,
    #[command(flatten)]
    sound: SoundArgs,
    /// Hang up this long after the answer; if the other side does so before, that is a failure. Without it, either side ends
    /// the call.
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    hang_up_after: Option<Span>,
    /// The other side is expected to hang up: within --for where it is given.
    #[arg(long)]
    expect_hang_up: bool,
    /// Fail when it is not answered within this.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    expect_answer_within: Option<Span>,
    /// Who calls: a number, a URI, or a name with a URI in angle brackets.
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Press keys so long after the answer, such as 1@2s or 12#@500ms. May be given again.
    #[arg(long, value_name = "KEYS@SPAN", value_parser = keys)]
    dtmf: Vec<Keys>,
    /// One more header of the INVITE, such as 'X-Ticket: 17'. May be given again.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<Header>,
    /// Our own account, where the server asks for one. It is not registered.
    #[arg(long, value_name = "URI")]
    account: Option<String>,
    /// The account's server, where it is not its host.
    #[arg(long, value_name = "HOST[:PORT]", requires = "account")]
    server: Option<String>,
    /// The account's password. Seen by everybody on this machine: better --password-file.
    #[arg(long, value_name = "TEXT", conflicts_with = "password_file")]
    password: Option<String>,
    /// A file whose first line is the account's password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Where to listen for SIP; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:0")]
    listen: SocketAddr,
    /// Speech goes as a browser's does: ICE, DTLS and SRTP, PCMU. Of the figures of packets, those between here and there are
    /// the library's own and not shown.
    #[arg(long)]
    webrtc: bool,
    /// Print one JSON line per event as it happens, before the figures.
    #[arg(long)]
    events: bool,
    /// Print the figures on one line; otherwise the same JSON object is spread over several.
    #[arg(long)]
    json: bool,
}

/// Keys, and how long after the answer.
#[derive(Debug, Clone)]
pub(crate) struct Keys(pub(crate) Span, pub(crate) String);

/// A header's name and value.
#[derive(Debug, Clone)]
struct Header(String, String);

pub(crate) fn keys(text: &str) -> Result<Keys, String> {
    let (keys, after) = text.split_once('@').unwrap_or((text, "0s"));
    if keys.is_empty() || !keys.chars().all(|key| "0123456789*#ABCDabcd".contains(key)) {
        return Err(format!("`{keys}` are no keys: write 0-9, *, #, A-D, and @SPAN after them"));
    }
    Ok(Keys(span(after)?, keys.to_owned()))
}

fn header(text: &str) -> Result<Header, String> {
    let bad = || format!("`{text}` is no header: write 'NAME: VALUE'");
    let (name, value) = text.split_once(':').ok_or_else(bad)?;
    let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    if name.is_empty() || !name.chars().all(token) || value.chars().any(char::is_control) {
        return Err(bad());
    }
    Ok(Header(name.to_owned(), value.trim().to_owned()))
}

/// `sip:..`, `"Name" <sip:..>`, or a bare number or name at `host`.
fn caller(text: &str, host: &str) -> anyhow::Result<NameAddr> {
    if text.contains("sip:") {
        return text.parse().map_err(|_| anyhow::anyhow!("--from `{text}` is no address"));
    }
    Ok(NameAddr::new(Uri::sip(Some(text), host, None)))
}

/// Runs the command.
pub fn run(args: CallArgs) -> anyhow::Result<ExitCode> {
    let clock = Clock::start();
    let engine = args.sound.engine(clock)?;
    let account = account(args.account.as_deref(), args.server.as_deref(), args.password, args.password_file.as_ref())?;
    let mut dial = Dial::to(&args.uri)?;
    dial.from = args.from.as_deref().map(|from| caller(from, &dial.uri.host)).transpose()?;
    dial.headers = args.header.into_iter().map(|Header(name, value)| (name, value)).collect();
    dial.keys = args.dtmf.into_iter().map(|Keys(after, keys)| (after, keys)).collect();
    dial.hang_up_after = args.hang_up_after;
    dial.give_up_after = args.expect_answer_within;
    let mut chance = entropy()?;
    if args.webrtc {
        dial.carrier = Some(Arc::new(ByWebRtc::new(chance.next_u32())?));
    }
    let stop = stop_signals()?;
    let config = PhoneConfig { account, ..PhoneConfig::new(args.listen, engine) };
    let (phone, told) = Phone::start(config, chance)?;
    let call = phone.dial(dial)?;
    let mut interrupted = false;
    let statistics = loop {
        crossbeam_channel::select! {
            recv(told) -> event => {
                let Ok(event) = event else { bail!("the phone stopped by itself") };
                if args.events {
                    print_line(&event);
                }
                match event.event {
                    PhoneEvent::Ended { statistics } if statistics.call == call => break *statistics,
                    PhoneEvent::Fault { what, .. } => eprintln!("offhook: {what}"),
                    _ => {}
                }
            }
            recv(stop) -> _ => {
                if interrupted {
                    bail!("stopped before the call was ended");
                }
                interrupted = true;
                phone.hang_up(call);
            }
        }
    };
    drop(phone);
    if args.json || args.events {
        print_line(&statistics);
    } else {
        print_spread(&statistics);
    }
    judge(&statistics, args.hang_up_after, args.expect_hang_up, interrupted)?;
    Ok(ExitCode::SUCCESS)
}

/// One JSON object over several lines, for people.
fn print_spread(statistics: &CallStatistics) {
    if let Ok(text) = serde_json::to_string_pretty(statistics) {
        drop(writeln!(std::io::stdout().lock(), "{text}"));
    }
}

/// Whether the call went as asked.
fn judge(call: &CallStatistics, asked: Option<Span>, expect_hang_up: bool, interrupted: bool) -> anyhow::Result<()> {
    let reason = || call.reason.as_deref().map_or_else(String::new, |reason| format!(" ({reason})"));
    if !call.answered {
        match (call.ended_by, call.status) {
            (_, Some(status)) => bail!("not answered: {status}{}", reason()),
            (_, None) => bail!("not answered{}", reason()),
        }
    }
    match call.ended_by {
        EndedBy::Us | EndedBy::Peer if interrupted => Ok(()),
        EndedBy::Us if expect_hang_up => bail!("the other side did not hang up in time"),
        EndedBy::Peer if asked.is_some() && !expect_hang_up => {
            bail!("the other side hung up after {:.1} s{}", call.duration_ms / 1_000.0, reason())
        }
        EndedBy::Us | EndedBy::Peer => Ok(()),
        EndedBy::Cancelled | EndedBy::Refused | EndedBy::NoResponse | EndedBy::Media => {
            bail!("the call broke after {:.1} s{}", call.duration_ms / 1_000.0, reason())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_callers_and_headers_are_read_or_refused_with_advice() {
        let Keys(after, pressed) = keys("12#@500ms").unwrap();
        assert_eq!((after, pressed.as_str()), (Span::from_ms(500), "12#"));
        assert!(keys("x@1s").unwrap_err().contains("no keys"));
        assert_eq!(caller("+4930", "h").unwrap().uri.to_string(), "sip:+4930@h");
        assert_eq!(caller("\"Anna\" <sip:a@b>", "h").unwrap().display.as_deref(), Some("Anna"));
        assert!(header("X-A: b").is_ok() && header("no colon").is_err() && header("X: a\r\nVia: b").is_err());
    }
}
