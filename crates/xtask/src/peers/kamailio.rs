//! A carrier's proxy in front of the exchange: kamailio, which puts itself into the path of each call (RFC 3261 section 16.6).
//! Calls from and to sipp and a softphone, over UDP and TCP, ended from either side.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::agents::{Account, softphone};
use super::crash::Echo;
use super::exchange::Exchange;
use super::line::{Heard, joined, longest_run};
use super::sipp::{Lines, Sipp};
use super::transfer::Phone;
use crate::children::{Running, must_be_free, tcp_must_be_free, wait_for};
use crate::g711;
use crate::speech::Speech;
use crate::{apt, http};

/// Whatever is waited for.
const SOON: Duration = Duration::from_secs(15);
/// How long the two of a call talk.
const TALK: Duration = Duration::from_secs(3);
/// Frames of 20 ms that must be heard unbroken of that.
const FRAMES_MIN: usize = 100;
/// Where fixtures/peers/kamailio.cfg listens.
const PROXY: &str = "127.0.3.2:25060";
/// Where everybody who calls in is.
const CALLER: &str = "127.0.3.3:25061";
/// Where the proxy sends calls of the exchange.
const CALLED: &str = "127.0.3.4:25066";

/// The programs of the test.
struct Stage<'a> {
    bench: &'a Bench,
    proxy: Running,
    exchange: Exchange,
    /// The only agent.
    ann: Phone,
    /// What sipp's callers say.
    codes: Vec<u8>,
    /// Ann's calls so far.
    calls: u64,
}

/// What a call must have left in the ladder of the exchange.
struct Path {
    name: &'static str,
    number: &'static str,
    transport: &'static str,
    /// Whether the exchange sent the BYE.
    bye_sent: bool,
    /// INVITEs, those of hold and resumption among them.
    invites: usize,
}

const PATHS: [Path; 5] = [
    Path { name: "in over UDP", number: "200", transport: "UDP", bye_sent: false, invites: 1 },
    Path { name: "in over TCP", number: "201", transport: "TCP", bye_sent: true, invites: 1 },
    Path { name: "held by the caller", number: "200", transport: "UDP", bye_sent: false, invites: 3 },
    Path { name: "out over UDP", number: "030123456", transport: "UDP", bye_sent: true, invites: 1 },
    Path { name: "out over TCP", number: "+4930123456", transport: "TCP", bye_sent: true, invites: 1 },
];

pub fn run(bench: &Bench) -> Result<String> {
    let speech = Speech::open()?;
    let proxy = start_proxy(bench)?;
    let mut exchange = Exchange::start(
        &bench.offhook,
        "fixtures/peers/kamailio.toml",
        &bench.folder.join("data"),
        &bench.folder.join("exchange.log"),
    )?;
    let account = Account { server: exchange.sip, user: "ann", password: "ann-secret" };
    let (first, second) = speech.samples.split_at(speech.samples.len() / 2);
    let ann = Phone::start("ann", softphone(&bench.offhook, account, &bench.folder, "0s")?, &bench.folder, first)?;
    exchange.wait_available(1, SOON)?;
    let mut stage = Stage { bench, proxy, exchange, ann, codes: g711::encode_all(second), calls: 0 };

    let udp = stage.incoming("caller", 0).context("in over UDP")?;
    let tcp = stage.incoming("caller_stays", 1).context("in over TCP")?;
    let mut customer = stage.held(second).context("held by the caller")?;
    let called = Sipp {
        scenario: "agent",
        local: CALLED.parse()?,
        remote: None,
        media: 47_400,
        service: "",
        calls: 1,
        rate: 1,
        hold: Duration::ZERO,
    };
    let _echo = Echo::start(called.media_of(1))?;
    stage.outgoing(&called, 3).context("out over UDP")?;
    stage.outgoing(&called, 4).context("out over TCP")?;

    for phone in [&mut customer, &mut stage.ann] {
        phone.tell(&json!({ "do": "off" }))?;
        ensure!(phone.running.wait(SOON)?.success(), "a phone did not end well:\n{}", phone.running.tail(5));
    }
    let mut frames = Vec::new();
    for (call, heard) in [(1, &udp), (2, &tcp)] {
        frames.push(stage.unbroken(call, &joined(&heard.received), &joined(&heard.sent))?);
    }
    frames.push(stage.unbroken(3, &customer.payloads("in", 1)?, &customer.payloads("out", 1)?)?);
    // Who is called outside says what Ann says.
    for call in [4, 5] {
        let own = stage.ann.payloads("out", call)?;
        frames.push(stage.unbroken(call, &own, &own)?);
    }
    let messages = stage.check_ladders()?;
    let routed = stage.check_proxy()?;
    stage.exchange.stop()?;
    ensure!(stage.proxy.stop()?, "kamailio did not end on SIGTERM");
    Ok(format!(
        "{} calls, {messages} messages all from and to the proxy, which routed {routed} requests inside them; \
         at least {} frames unbroken each way",
        PATHS.len(),
        frames.iter().min().context("calls")?
    ))
}

/// kamailio in the foreground, as one group of processes that ends with its first.
fn start_proxy(bench: &Bench) -> Result<Running> {
    apt::must_have("kamailio")?;
    must_be_free(PROXY.parse()?, "kamailio")?;
    tcp_must_be_free(PROXY.parse()?, "kamailio")?;
    let mut command = Command::new("kamailio");
    command.arg("-f").arg(crate::root().join("fixtures/peers/kamailio.cfg"));
    command.args(["-DD", "-E", "-m", "32", "-M", "4"]);
    command.arg("-w").arg(&bench.folder).arg("-Y").arg(&bench.folder);
    let mut running = Running::start("kamailio", &mut command, &bench.folder.join("kamailio.log"))?;
    wait_for("kamailio to listen", SOON, || {
        running.must_run()?;
        Ok(std::net::TcpStream::connect(PROXY).ok().map(drop))
    })?;
    Ok(running)
}

impl Stage<'_> {
    /// The two talk, and nobody ends meanwhile.
    fn talk(&mut self, mut lines: Option<(&mut Lines, &Sipp<'_>)>) -> Result<()> {
        let begin = Instant::now();
        wait_for("the time of the talk", TALK * 3, || {
            self.proxy.must_run()?;
            self.exchange.running.must_run()?;
            self.ann.running.must_run()?;
            if let Some((lines, sipp)) = &mut lines {
                lines.keep_up(sipp)?;
            }
            Ok((begin.elapsed() >= TALK).then_some(()))
        })
    }

    /// Waits until Ann can be called again and the call has its record.
    fn over(&mut self) -> Result<()> {
        self.calls += 1;
        self.exchange.wait_records(self.calls as usize, SOON)?;
        self.exchange.wait_available(1, SOON)
    }

    /// sipp calls by the proxy: `caller` hangs up itself, to `caller_stays` Ann does.
    fn incoming(&mut self, scenario: &str, path: usize) -> Result<Heard> {
        let caller = Sipp {
            scenario,
            local: CALLER.parse()?,
            remote: Some(PROXY.parse()?),
            media: 47_000,
            service: PATHS[path].number,
            calls: 1,
            rate: 1,
            hold: TALK,
        };
        let mut calling = caller.start(&self.bench.folder)?;
        let mut lines = Lines::follow(&caller.log(&self.bench.folder), self.codes.clone().into(), None)?;
        let call = self.ann.event("answered")?;
        if PATHS[path].bye_sent {
            self.talk(Some((&mut lines, &caller)))?;
            self.ann.tell(&json!({ "do": "hang_up", "call": call }))?;
        }
        let status = wait_for("the end of the call", SOON, || {
            lines.keep_up(&caller)?;
            calling.ended()
        })?;
        lines.keep_up(&caller)?;
        ensure!(status.success(), "the caller's sipp ended with {status}");
        self.ann.event("ended")?;
        self.over()?;
        lines.ended.remove(&1).context("the caller was not answered")
    }

    /// A softphone calls by the proxy, holds and resumes by re-INVITE, and hangs up.
    fn held(&mut self, samples: &[i16]) -> Result<Phone> {
        let mut command = Command::new(&self.bench.offhook);
        command.args(["phone", "--headless", "--events", "--listen", "127.0.3.3:0"]);
        let mut customer = Phone::start("customer", command, &self.bench.folder, samples)?;
        customer.tell(&json!({ "do": "dial", "to": format!("sip:{}@{PROXY}", PATHS[2].number) }))?;
        let call = customer.event("answered")?;
        self.ann.event("answered")?;
        for on in [true, false] {
            customer.tell(&json!({ "do": "hold", "call": call, "on": on }))?;
            customer.until("the hold", |event| (event["event"] == "held" && event["by_us"] == on).then_some(()))?;
            let state = if on { "held" } else { "talking" };
            self.exchange.wait_calls(state, 1, SOON)?;
        }
        self.talk(None)?;
        customer.tell(&json!({ "do": "hang_up", "call": call }))?;
        customer.event("ended")?;
        self.ann.event("ended")?;
        self.over()?;
        Ok(customer)
    }

    /// Ann calls outside, where sipp answers behind the proxy, and hangs up.
    fn outgoing(&mut self, called: &Sipp<'_>, path: usize) -> Result<()> {
        let mut answering = called.start(&self.bench.folder)?;
        self.ann.tell(&json!({ "do": "dial", "to": PATHS[path].number }))?;
        let call = self.ann.event("answered")?;
        self.talk(None)?;
        self.ann.tell(&json!({ "do": "hang_up", "call": call }))?;
        let status = answering.wait(SOON)?;
        ensure!(status.success(), "the called sipp ended with {status}");
        self.ann.event("ended")?;
        self.over()
    }

    /// Frames that both heard of each other in Ann's call `number`, the fewer of both ways.
    fn unbroken(&self, number: u64, received: &[u8], sent: &[u8]) -> Result<usize> {
        let (ear, mouth) = (self.ann.payloads("in", number)?, self.ann.payloads("out", number)?);
        let run = |ear: &[u8], mouth: &[u8]| longest_run(ear, mouth).map_or(0, |(_, run, _)| run);
        let fewer = run(&ear, sent).min(run(received, &mouth));
        ensure!(fewer >= FRAMES_MIN, "call {number}: only {fewer} frames were heard unbroken");
        Ok(fewer)
    }

    /// Every message of the trunk's leg came from the proxy or went there; gives how many there were.
    fn check_ladders(&self) -> Result<usize> {
        let mut records = self.exchange.records()?;
        records.sort_by_key(|record| record["started"].as_str().map(str::to_owned));
        ensure!(records.len() == PATHS.len(), "{} records of {} calls", records.len(), PATHS.len());
        let mut messages = 0;
        for (record, path) in records.iter().zip(&PATHS) {
            let id = record["id"].as_str().context("a record's id")?;
            let ladder = http::get(self.exchange.http, &format!("/api/v1/calls/{id}/ladder"))?;
            std::fs::write(self.bench.folder.join(format!("ladder-{id}.json")), ladder.to_string())?;
            messages += path.check(&ladder).with_context(|| format!("{}, {id}", path.name))?;
        }
        Ok(messages)
    }

    /// The proxy got no request without its route; gives how many it routed.
    fn check_proxy(&self) -> Result<usize> {
        let file = self.bench.folder.join("kamailio.log");
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let astray: Vec<&str> = text.lines().filter(|line| line.contains("no route in")).collect();
        ensure!(astray.is_empty(), "requests came without a route: {astray:?}");
        let routed = |method: &str| text.matches(&format!("routed {method} from")).count();
        let invites: usize = PATHS.iter().map(|path| path.invites).sum();
        let (acks, byes, again) = (routed("ACK"), routed("BYE"), routed("INVITE"));
        ensure!(
            acks >= invites && byes >= PATHS.len() && again >= invites - PATHS.len(),
            "of {invites} INVITEs and {} calls the proxy saw {acks} ACK, {byes} BYE and {again} re-INVITE",
            PATHS.len()
        );
        Ok(acks + byes + again)
    }
}

impl Path {
    fn check(&self, ladder: &Value) -> Result<usize> {
        let legs = ladder["legs"].as_array().context("legs")?;
        let is_trunk = |leg: &Value| leg.as_str().is_some_and(|name| name.starts_with("trunk carrier"));
        let trunk = legs.iter().position(is_trunk).with_context(|| format!("no trunk among {legs:?}"))?;
        let messages = ladder["messages"].as_array().context("messages")?;
        let outside: Vec<&Value> = messages.iter().filter(|message| message["leg"] == trunk).collect();
        for message in &outside {
            let far = if message["direction"] == "out" { &message["to"] } else { &message["from"] };
            let far = far.as_str().context("an address")?;
            ensure!(far.starts_with("127.0.3.2:"), "{} went past the proxy: {far}", message["first_line"]);
            ensure!(message["transport"] == self.transport, "{} over {}", message["first_line"], message["transport"]);
        }
        let count = |method: &str, out: Option<bool>| {
            let wanted = |m: &&&Value| {
                m["first_line"].as_str().is_some_and(|line| line.starts_with(method))
                    && out.is_none_or(|out| (m["direction"] == "out") == out)
            };
            outside.iter().filter(wanted).count()
        };
        let (invites, acks, byes) = (count("INVITE ", None), count("ACK ", None), count("BYE ", Some(self.bye_sent)));
        ensure!(
            invites == self.invites && acks >= self.invites && byes == 1,
            "{invites} INVITE, {acks} ACK and {byes} BYE on the trunk"
        );
        Ok(outside.len())
    }
}
