//! A phone behind a router that translates addresses, as most homes have one: three network namespaces in a row, and Linux's own
//! NAT in the middle, which gives each pair of peers a port of its own and lets nobody else in. baresip registers from a
//! private address and is called by the queue. In the second call the router gets another address, as after a broken line: the
//! two hear each other again at once, and when the phone has registered again, the end of the call finds it, and the next one.
//! At last our softphone, in a network of its own, gets another address in the middle of a call, and goes on from there.
//!
//! Whoever runs the test is taken into a namespace first, so nothing of this machine's network is touched.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdin, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::agents::{Account, Agent, Place, softphone};
use super::exchange::Exchange;
use super::line::longest_run;
use super::transfer::Phone;
use crate::children::{Running, tail, wait_for};
use crate::speech::Speech;
use crate::{apt, http};

/// Whatever is waited for.
const SOON: Duration = Duration::from_secs(20);
/// The whole test.
const WITHIN: Duration = Duration::from_mins(2);
/// How long the two of a call talk, and how long before the router's address changes: too short for what must be heard.
const BEFORE: Duration = Duration::from_secs(1);
const TALK: Duration = Duration::from_secs(3);
/// Frames of 20 ms that must be heard unbroken of that.
const FRAMES_MIN: usize = 100;
/// What the phone asks for as the life of its registration, in seconds.
const RENEWED_S: u16 = 6;
/// The phone's own address, which nobody outside can reach.
const PHONE: &str = "192.168.77.10:25062";
/// The router's address at first, and after its line was broken; both of documentation (RFC 5737).
const ROUTER: [&str; 2] = ["10.77.0.2", "10.77.0.3"];
/// The softphone's addresses, before and after it changes the network.
const MOBILE: [&str; 2] = ["10.78.0.2", "10.78.0.3"];
/// Within this it has to be heard and to hear again.
const MOVED_WITHIN_MS: f64 = 3_000.0;
/// Where the customer calls from.
const CUSTOMER: &str = "10.77.0.9:0";

/// Gives every pair of peers a port drawn by lot.
const TRANSLATION: &str = "table ip nat {
    chain out {
        type nat hook postrouting priority 100
        oifname \"wan\" meta l4proto udp masquerade to :50000-59999 random
    }
}
";

/// A command run in a network of its own; a user who is not root needs a user namespace for that, where he is root.
pub fn apart(root: bool) -> Command {
    let mut command = Command::new("unshare");
    if !root {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--"]);
    command
}

/// Takes itself into a network of its own and runs [`inside`] there.
pub fn run(bench: &Bench) -> Result<String> {
    for program in ["unshare", "nsenter", "ip", "nft"] {
        apt::must_have(program)?;
    }
    run_inside(bench, "nat")
}

/// Runs a test's inside, by its name, in a network of its own.
pub(super) fn run_inside(bench: &Bench, name: &str) -> Result<String> {
    let root = rustix::process::geteuid().is_root();
    let refused = apart(root).arg("true").output().context("unshare")?;
    if !refused.status.success() {
        let why = String::from_utf8_lossy(&refused.stderr).trim().to_owned();
        ensure!(!root, "{why}: run this where root may make network namespaces (CAP_SYS_ADMIN)");
        return Ok(format!(
            "NOT TESTED: {why}. Only root may make network namespaces here: `sudo cargo xtask peers {name}`"
        ));
    }
    let log = bench.folder.join("inside.log");
    let mut command = apart(root);
    command.arg(std::env::current_exe()?).args(["peers", name, "--inside"]).arg(&bench.folder);
    let mut running = Running::start("the test in its network", &mut command, &log)?;
    let status = running.wait(WITHIN)?;
    let said = tail(&log, 20);
    if !status.success() {
        bail!("{said}");
    }
    Ok(said)
}

/// A network namespace, which lasts as long as somebody is in it.
struct Network {
    keeper: Running,
    /// At the end of it the keeper ends, also where this program is killed.
    _input: ChildStdin,
}

impl Network {
    fn start(name: &str, folder: &Path) -> Result<Self> {
        let own = std::fs::read_link("/proc/self/ns/net")?;
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "cat"]);
        let (mut keeper, input) = Running::start_told(name, &mut command, &folder.join(format!("{name}.log")))?;
        wait_for(&format!("the network of the {name}"), SOON, || {
            keeper.must_run()?;
            let its = std::fs::read_link(format!("/proc/{}/ns/net", keeper.pid()))?;
            Ok((its != own).then_some(()))
        })?;
        Ok(Self { keeper, _input: input })
    }

    fn pid(&self) -> String {
        self.keeper.pid().to_string()
    }

    /// A program that runs there.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid(), "--net", "--", program]);
        command
    }

    /// Runs lines of `ip`, without the word.
    fn ip(&self, lines: &[&str]) -> Result<()> {
        lines.iter().try_for_each(|line| done(self.command("ip").args(line.split(' ')), line))
    }
}

/// Runs a command to its end, which has to be a good one.
pub(super) fn done(command: &mut Command, what: &str) -> Result<()> {
    let output = command.output().with_context(|| what.to_owned())?;
    ensure!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Lays the cables: the world where we are, the router, the home.
fn networks(folder: &Path) -> Result<(Network, Network)> {
    let (router, home) = (Network::start("router", folder)?, Network::start("home", folder)?);
    let here = |line: &str| done(Command::new("ip").args(line.split(' ')), line);
    here("link set lo up")?;
    here(&format!("link add world type veth peer name wan netns {}", router.pid()))?;
    for line in ["addr add 10.77.0.1/24 dev world", "addr add 10.77.0.9/24 dev world", "link set world up"] {
        here(line)?;
    }
    router.ip(&[
        &format!("link add lan type veth peer name phone netns {}", home.pid()),
        &format!("addr add {}/24 dev wan", ROUTER[0]),
        "addr add 192.168.77.1/24 dev lan",
        "link set wan up",
        "link set lan up",
    ])?;
    done(router.command("sh").args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]), "forwarding")?;
    let rules = folder.join("nat.nft");
    std::fs::write(&rules, TRANSLATION)?;
    done(router.command("nft").arg("-f").arg(rules), "nft")?;
    home.ip(&[
        "link set lo up",
        "addr add 192.168.77.10/24 dev phone",
        "link set phone up",
        "route add default via 192.168.77.1",
    ])?;
    Ok((router, home))
}

/// The test itself, in its network.
pub fn inside(bench: &Bench) -> Result<String> {
    let (router, home) = networks(&bench.folder)?;
    let speech = Speech::open()?;
    let (first, second) = speech.samples.split_at(speech.samples.len() / 2);
    let data = bench.folder.join("data");
    let log = bench.folder.join("exchange.log");
    let exchange = Exchange::start(&bench.offhook, "fixtures/peers/nat.toml", &data, &log)?;
    let account = Account { server: exchange.sip, user: "home", password: "home-secret" };
    let place = Place { address: PHONE.parse()?, media: 47_000 };
    let phone =
        Agent::baresip_behind(home.command("baresip"), account, place, RENEWED_S, first, &bench.folder.join("phone"))?;
    let mut command = Command::new(&bench.offhook);
    command.args(["phone", "--headless", "--events", "--listen", CUSTOMER]);
    let customer = Phone::start("customer", command, &bench.folder, second)?;
    let mut stage = Stage { bench, exchange, phone, customer, calls: 0 };
    stage.exchange.wait_available(1, SOON)?;

    let first = stage.call(None).context("through the router")?;
    stage.call(Some(&router)).context("while the router's address changes")?;
    let last = stage.call(None).context("through the router's new address")?;
    for (at, router) in [(first, ROUTER[0]), (last, ROUTER[1])] {
        ensure!(at.ip().to_string() == router, "the phone was called at {at}");
    }
    let (gap, mobile) = stage.mobile(second).context("the softphone that changes its network")?;
    let frames = stage.finish(&mobile)?;
    Ok(format!(
        "the softphone heard again {gap:.0} ms after the last word at its old address; a phone at {PHONE} called at {first} and, after its router got another address during a call, at {last}; unbroken \
         frames of 20 ms: {}",
        frames.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
    ))
}

/// The programs of the test.
struct Stage<'a> {
    bench: &'a Bench,
    exchange: Exchange,
    phone: Agent,
    customer: Phone,
    calls: usize,
}

impl Stage<'_> {
    /// The customer calls, the phone answers, and they talk, perhaps while the router gets its other address; gives where the
    /// phone was called.
    fn call(&mut self, moving: Option<&Network>) -> Result<SocketAddr> {
        self.calls += 1;
        let to = format!("sip:200@{}", self.exchange.sip);
        self.customer.tell(&json!({ "do": "dial", "to": to }))?;
        let call = self.customer.event("answered")?;
        self.exchange.wait_calls("talking", 1, SOON)?;
        if let Some(router) = moving {
            std::thread::sleep(BEFORE);
            // What it had translated goes with the address.
            let change = |address: &str, word: &str| format!("addr {word} {address}/24 dev wan");
            router.ip(&[&change(ROUTER[0], "del"), &change(ROUTER[1], "add")])?;
        }
        let registered = self.registrations()?;
        std::thread::sleep(TALK);
        if moving.is_some() {
            wait_for("the phone's next registration", SOON, || {
                self.exchange.running.must_run()?;
                self.phone.must_run()?;
                Ok((self.registrations()? > registered).then_some(()))
            })?;
        }
        self.customer.tell(&json!({ "do": "hang_up", "call": call }))?;
        self.customer.event("ended")?;
        let records = self.exchange.wait_records(self.calls, SOON)?;
        self.exchange.wait_available(1, SOON)?;
        let started = |record: &&Value| record["started"].as_str().map(str::to_owned);
        let record = records.iter().max_by_key(started).context("a record")?;
        ensure!(record["agent"]["name"] == "Home", "the call ended as {record}");
        self.check_ladder(record)
    }

    /// INVITE, ACK and BYE went to the phone by the router, each once, and the last answer is that to the BYE; gives where the
    /// INVITE went.
    fn check_ladder(&self, record: &Value) -> Result<SocketAddr> {
        let id = record["id"].as_str().context("a record's id")?;
        let ladder = http::get(self.exchange.http, &format!("/api/v1/calls/{id}/ladder"))?;
        std::fs::write(self.bench.folder.join(format!("ladder-{}.json", self.calls)), ladder.to_string())?;
        let legs = ladder["legs"].as_array().context("legs")?;
        let is_agent = |leg: &Value| leg.as_str().is_some_and(|name| name.starts_with("agent"));
        let agent = legs.iter().position(is_agent).with_context(|| format!("no agent among {legs:?}"))?;
        let messages = ladder["messages"].as_array().context("messages")?;
        let messages: Vec<&Value> = messages.iter().filter(|message| message["leg"] == agent).collect();
        let sent: Vec<&&Value> = messages.iter().filter(|message| message["direction"] == "out").collect();
        let words: Vec<&str> = sent.iter().filter_map(|m| m["first_line"].as_str()?.split(' ').next()).collect();
        ensure!(words == ["INVITE", "ACK", "BYE"], "the phone was sent {words:?}");
        let last = messages.last().context("a message")?;
        ensure!(last["direction"] == "in" && last["first_line"] == "SIP/2.0 200 OK", "the end is {last}");
        Ok(sent[0]["to"].as_str().context("an address")?.parse()?)
    }

    /// A softphone calls the queue, and its network gives it another address meanwhile; gives how long it heard nothing, in milliseconds, and
    /// what it sent and received.
    fn mobile(&mut self, samples: &[i16]) -> Result<(f64, [Vec<u8>; 2])> {
        let air = Network::start("mobile", &self.bench.folder)?;
        let here = |line: &str| done(Command::new("ip").args(line.split(' ')), line);
        here(&format!("link add air type veth peer name phone netns {}", air.pid()))?;
        here("addr add 10.78.0.1/24 dev air")?;
        here("link set air up")?;
        let first = format!("addr add {}/24 dev phone", MOBILE[0]);
        let way = "route add default via 10.78.0.1";
        air.ip(&["link set lo up", &first, "link set phone up", way])?;
        let account = Account { server: self.exchange.sip, user: "mobile", password: "mobile-secret" };
        let on_this_machine = softphone(&self.bench.offhook, account, &self.bench.folder, "0s")?;
        let mut command = air.command(&on_this_machine.get_program().to_string_lossy());
        command.args(on_this_machine.get_args());
        let mut phone = Phone::start("mobile", command, &self.bench.folder, samples)?;
        phone.until("the registration", |event| (event["event"] == "registered").then_some(()))?;
        phone.tell(&json!({ "do": "dial", "to": "200" }))?;
        let call = phone.event("answered")?;
        self.exchange.wait_calls("talking", 1, SOON)?;
        std::thread::sleep(BEFORE);
        let (old, new) =
            (format!("addr del {}/24 dev phone", MOBILE[0]), format!("addr add {}/24 dev phone", MOBILE[1]));
        air.ip(&[&old, &new, way])?;
        phone.until("another address", |event| (event["event"] == "moved").then_some(()))?;
        phone.until("the registration there", |event| (event["event"] == "registered").then_some(()))?;
        std::thread::sleep(TALK);
        phone.tell(&json!({ "do": "hang_up", "call": call }))?;
        let ended = phone.until("the call's end", |event| (event["event"] == "ended").then(|| event.clone()))?;
        ensure!(ended["ended_by"] == "us", "the call ended as {ended}");
        let gap = ended["longest_gap_ms"].as_f64().context("the longest gap")?;
        ensure!(gap < MOVED_WITHIN_MS, "nothing was heard for {gap:.0} ms");
        phone.tell(&json!({ "do": "off" }))?;
        phone.running.wait(SOON)?;
        Ok((gap, [phone.payloads("out", call)?, phone.payloads("in", call)?]))
    }

    fn registrations(&self) -> Result<u64> {
        let (_, text) = http::ask(self.exchange.http, "GET", "/metrics", None)?;
        let value = text.lines().find_map(|line| line.strip_prefix("offhook_registrations_total "));
        Ok(value.context("/metrics has no offhook_registrations_total")?.parse()?)
    }

    /// Ends all and gives what was heard: by the customer in each call, and by the phone of each; and both ways in the softphone's call.
    fn finish(mut self, [sent, received]: &[Vec<u8>; 2]) -> Result<Vec<usize>> {
        self.customer.tell(&json!({ "do": "off" }))?;
        ensure!(self.customer.running.wait(SOON)?.success(), "the customer did not end well");
        let phone = self.phone.finish()?;
        let mut frames = Vec::new();
        for call in 1..=self.calls as u64 {
            let (ear, mouth) = (self.customer.payloads("in", call)?, self.customer.payloads("out", call)?);
            for (who, received, sent) in [("the customer", &ear, &phone.sent), ("the phone", &phone.received, &mouth)] {
                let run = longest_run(received, sent).map_or(0, |(_, run, _)| run);
                ensure!(run >= FRAMES_MIN, "call {call}: {who} heard only {run} frames unbroken");
                frames.push(run);
            }
        }
        for (who, received, sent) in [("the softphone", received, &phone.sent), ("its peer", &phone.received, sent)] {
            let run = longest_run(received, sent).map_or(0, |(_, run, _)| run);
            ensure!(run >= FRAMES_MIN, "after its move {who} heard only {run} frames unbroken");
            frames.push(run);
        }
        self.exchange.stop()?;
        Ok(frames)
    }
}
