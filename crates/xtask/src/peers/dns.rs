//! A trunk that is a name, asked of a real name server, dnsmasq: NAPTR chooses TCP, SRV two hosts, of which the first is dead, and
//! the call goes on to the second. Then the name leads elsewhere, and calls follow when the time of the old answer is over.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::agents::{Account, softphone};
use super::crash::Echo;
use super::exchange::Exchange;
use super::sipp::{Over, Sipp};
use super::transfer::Phone;
use crate::children::{Running, must_be_free, wait_for};
use crate::{apt, http};

/// Whatever is waited for.
const SOON: Duration = Duration::from_secs(20);
/// A lookup that fails while dnsmasq is started anew is tried again after 15 s.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(45);
/// As in `[dns]` of the configuration.
const SERVER: &str = "127.0.9.9:25053";

/// What dnsmasq is told in both of its lives.
const COMMON: &str = "port=25053
listen-address=127.0.9.9
bind-interfaces
no-resolv
no-hosts
local=/carrier.test/
local-ttl=2
";
/// TCP before UDP; a dead host before two equal ones, over TCP; one of the two has both kinds of address.
const FIRST: &str = "naptr-record=carrier.test,20,10,s,SIP+D2U,,_sip._udp.carrier.test
naptr-record=carrier.test,10,10,s,SIP+D2T,,_sip._tcp.carrier.test
srv-host=_sip._tcp.carrier.test,a.carrier.test,25066,20,10
srv-host=_sip._tcp.carrier.test,dead.carrier.test,25066,10,10
srv-host=_sip._udp.carrier.test,b.carrier.test,25066,30,10
srv-host=_sip._udp.carrier.test,c.carrier.test,25066,30,90
host-record=dead.carrier.test,127.0.9.2
host-record=a.carrier.test,127.0.9.3
host-record=b.carrier.test,127.0.9.4,::1
host-record=c.carrier.test,127.0.9.5
";
/// No NAPTR, and an SRV for UDP alone.
const SECOND: &str = "srv-host=_sip._udp.carrier.test,c.carrier.test,25066,10,10
host-record=c.carrier.test,127.0.9.5
";

/// The name server, in one of its lives.
fn start_dns(bench: &Bench, life: &str, records: &str) -> Result<Running> {
    must_be_free(SERVER.parse()?, "dnsmasq")?;
    let file = bench.folder.join(format!("dnsmasq-{life}.conf"));
    std::fs::write(&file, format!("{COMMON}{records}"))?;
    let mut command = Command::new("dnsmasq");
    command.args(["--no-daemon", "--log-queries"]).arg(format!("--conf-file={}", file.display()));
    let mut running = Running::start("dnsmasq", &mut command, &bench.folder.join(format!("dnsmasq-{life}.log")))?;
    wait_for("dnsmasq to start", SOON, || {
        running.must_run()?;
        Ok(running.tail(20).contains("started").then_some(()))
    })?;
    Ok(running)
}

/// Where calls to the trunk go now.
fn targets(exchange: &Exchange) -> Result<Vec<String>> {
    let trunks = http::rows(exchange.http, "/api/v1/trunks")?;
    let list = trunks[0]["targets"].as_array().context("targets")?;
    Ok(list.iter().filter_map(|target| target["address"].as_str().map(str::to_owned)).collect())
}

/// Waits until the trunk leads there, in whatever order those of the `equal` come.
fn wait_targets(exchange: &mut Exchange, first: &[&str], equal: &[&str], within: Duration) -> Result<Vec<String>> {
    let mut last = Vec::new();
    let found = wait_for("the targets of the trunk's name", within, || {
        exchange.running.must_run()?;
        last = targets(exchange)?;
        let rest = last.strip_prefix(first.iter().map(|&text| text.to_owned()).collect::<Vec<_>>().as_slice());
        let there =
            rest.is_some_and(|rest| rest.len() == equal.len() && equal.iter().all(|one| rest.iter().any(|r| r == one)));
        Ok(there.then(|| last.clone()))
    });
    found.with_context(|| format!("they are {last:?}"))
}

pub fn run(bench: &Bench) -> Result<String> {
    apt::must_have("dnsmasq")?;
    let mut dns = start_dns(bench, "first", FIRST)?;
    let data = bench.folder.join("data");
    let log = bench.folder.join("exchange.log");
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/dns.toml", &data, &log)?;
    let account = Account { server: exchange.sip, user: "ann", password: "ann-secret" };
    let command = softphone(&bench.offhook, account, &bench.folder, "0s")?;
    let mut ann = Phone::start("ann", command, &bench.folder, &[0; 8_000])?;
    exchange.wait_available(1, SOON)?;
    let before = ["tcp:127.0.9.2:25066", "tcp:127.0.9.3:25066"];
    let equal = ["udp:127.0.9.4:25066", "udp:[::1]:25066", "udp:127.0.9.5:25066"];
    let first = wait_targets(&mut exchange, &before, &equal, SOON)?;
    let call = Call { number: 1, over: Over::Tcp, called: "127.0.9.3:25066", media: 48_100 };
    let tried = call.make(bench, &mut exchange, &mut ann).context("past a dead host")?;
    ensure!(tried == ["127.0.9.2:25066", "127.0.9.3:25066"], "the INVITE went to {tried:?}");

    ensure!(dns.stop()?, "dnsmasq did not end:\n{}", dns.tail(5));
    let _dns = start_dns(bench, "second", SECOND)?;
    let second = wait_targets(&mut exchange, &["udp:127.0.9.5:25066"], &[], FOLLOWED_WITHIN)?;
    let call = Call { number: 2, over: Over::Udp, called: "127.0.9.5:25066", media: 48_200 };
    let tried = call.make(bench, &mut exchange, &mut ann).context("where the name leads now")?;
    ensure!(tried == ["127.0.9.5:25066"], "the INVITE went to {tried:?}");

    ann.tell(&json!({ "do": "off" }))?;
    ensure!(ann.running.wait(SOON)?.success(), "Ann's phone did not end well:\n{}", ann.running.tail(5));
    exchange.stop()?;
    Ok(format!("led to {}; past the dead first of them to the second; then to {}", first.join(" "), second.join(" ")))
}

/// A call outside that one of the hosts takes.
struct Call {
    number: usize,
    over: Over,
    called: &'static str,
    media: u16,
}

impl Call {
    /// Ann calls, is answered and hangs up; gives where INVITEs of the trunk's leg went, in order.
    fn make(&self, bench: &Bench, exchange: &mut Exchange, ann: &mut Phone) -> Result<Vec<String>> {
        let folder = bench.folder.join(format!("call-{}", self.number));
        std::fs::create_dir_all(&folder)?;
        let called = Sipp {
            scenario: "agent",
            local: self.called.parse()?,
            remote: None,
            media: self.media,
            service: "",
            calls: 1,
            rate: 1,
            hold: Duration::ZERO,
        };
        let _echo = Echo::start(called.media_of(1))?;
        let mut answering = called.start_over(self.over, &folder)?;
        ann.tell(&json!({ "do": "dial", "to": "030123456" }))?;
        let call = ann.event("answered")?;
        ann.tell(&json!({ "do": "hang_up", "call": call }))?;
        let status = answering.wait(SOON)?;
        ensure!(status.success(), "the called sipp ended with {status}");
        ann.event("ended")?;
        let records = exchange.wait_records(self.number, SOON)?;
        exchange.wait_available(1, SOON)?;
        let started = |record: &&Value| record["started"].as_str().map(str::to_owned);
        let id = records.iter().max_by_key(started).and_then(|record| record["id"].as_str()).context("a record")?;
        let ladder = http::get(exchange.http, &format!("/api/v1/calls/{id}/ladder"))?;
        std::fs::write(folder.join("ladder.json"), ladder.to_string())?;
        let invites = ladder["messages"].as_array().context("messages")?.iter().filter(|message| {
            let line = message["first_line"].as_str().unwrap_or_default();
            message["direction"] == "out" && line.starts_with("INVITE ")
        });
        Ok(invites.filter_map(|message| message["to"].as_str().map(str::to_owned)).collect())
    }
}
