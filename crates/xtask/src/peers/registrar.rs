//! Carriers that the exchange registers with: two kamailios as registrars, one with MD5, one with SHA-256. Registrations are
//! renewed as nonces come and go, calls come in by them, one registrar is killed and comes back, and calls out pass a proxy in
//! trouble, one that says nothing and one that is gone.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::agents::{Account, softphone};
use super::crash::Echo;
use super::exchange::Exchange;
use super::sipp::Sipp;
use super::transfer::Phone;
use crate::children::{Running, must_be_free, wait_for};
use crate::{apt, http};

/// Whatever is waited for.
const SOON: Duration = Duration::from_secs(20);
/// How long somebody who calls in stays.
const TALK: Duration = Duration::from_secs(1);
/// Renewals that are waited for, each after 4 s: nonces hold for 5 s, so that the second one needs another.
const RENEWALS: usize = 2;
/// Where those who call in are, and where the carriers send calls of the exchange.
const CALLER: &str = "127.0.7.4:25061";
const CALLED: &str = "127.0.7.5:25066";

/// One of the two registrars, by the name of its trunk.
#[derive(Debug, Clone, Copy)]
struct Carrier {
    trunk: &'static str,
    address: &'static str,
    user: &'static str,
    define: Option<&'static str>,
}

const MD5: Carrier = Carrier { trunk: "md5", address: "127.0.7.2:25060", user: "4930555701", define: None };
const SHA256: Carrier =
    Carrier { trunk: "sha256", address: "127.0.7.3:25060", user: "4930555702", define: Some("WITH_SHA256") };

impl Carrier {
    fn start(self, bench: &Bench, life: usize) -> Result<Running> {
        must_be_free(self.address.parse()?, "kamailio")?;
        let mut command = Command::new("kamailio");
        command.arg("-f").arg(crate::root().join("fixtures/peers/registrar.cfg"));
        command.args(["-DD", "-E", "-m", "32", "-M", "4"]).args(self.define.map(|define| format!("-A{define}")));
        command.arg("-w").arg(&bench.folder).arg("-Y").arg(&bench.folder);
        Running::start(&format!("kamailio ({})", self.trunk), &mut command, &self.log(bench, life))
    }

    fn log(self, bench: &Bench, life: usize) -> PathBuf {
        bench.folder.join(format!("{}-{life}.log", self.trunk))
    }

    /// The lines of its log that begin with a word of its configuration.
    fn said(self, bench: &Bench, life: usize, begin: &str) -> Result<Vec<String>> {
        let file = self.log(bench, life);
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let marked = format!("registrar: {begin}");
        Ok(text.lines().filter(|line| line.contains(&marked)).map(str::to_owned).collect())
    }
}

/// What the exchange says of a trunk.
fn trunk(exchange: &Exchange, name: &str) -> Result<Value> {
    let trunks = http::rows(exchange.http, "/api/v1/trunks")?;
    trunks.into_iter().find(|trunk| trunk["name"] == name).with_context(|| format!("no trunk {name}"))
}

/// Waits until a trunk's registration is in a state, with its first target up or down.
fn wait_trunk(exchange: &mut Exchange, name: &str, state: &str, up: bool) -> Result<Value> {
    let mut last = Value::Null;
    let found = wait_for(&format!("trunk {name} {state}"), SOON, || {
        exchange.running.must_run()?;
        last = trunk(exchange, name)?;
        let there = last["registration"]["state"] == state && last["targets"][0]["up"] == up;
        Ok(there.then(|| last.clone()))
    });
    found.with_context(|| format!("it is {last}"))
}

/// One figure of `/metrics`, by its whole name with labels.
pub fn figure(exchange: &Exchange, name: &str) -> Result<f64> {
    let (_, text) = http::ask(exchange.http, "GET", "/metrics", None)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.with_context(|| format!("/metrics has no {name}"))
}

pub fn run(bench: &Bench) -> Result<String> {
    apt::must_have("kamailio")?;
    let md5 = MD5.start(bench, 1)?;
    let sha256 = SHA256.start(bench, 1)?;
    let data = bench.folder.join("data");
    let log = bench.folder.join("exchange.log");
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/registrar.toml", &data, &log)?;
    let account = Account { server: exchange.sip, user: "ann", password: "ann-secret" };
    let command = softphone(&bench.offhook, account, &bench.folder, "0s")?;
    let ann = Phone::start("ann", command, &bench.folder, &[0; 8_000])?;
    exchange.wait_available(1, SOON)?;
    for carrier in [MD5, SHA256] {
        wait_trunk(&mut exchange, carrier.trunk, "registered", true)?;
    }
    let wrong = wait_trunk(&mut exchange, "wrong", "failed", true).context("with the wrong password")?;
    ensure!(wrong["registration"]["status"] == 401, "the wrong password ends as {}", wrong["registration"]);
    let mut stage = Stage { bench, exchange, ann, md5, sha256, calls: 0 };

    stage.incoming(MD5)?;
    stage.incoming(SHA256)?;
    let (renewed, nonces) = stage.renewed()?;
    let called = Sipp {
        scenario: "agent",
        local: CALLED.parse()?,
        remote: None,
        media: 47_500,
        service: "",
        calls: 1,
        rate: 1,
        hold: Duration::ZERO,
    };
    let _echo = Echo::start(called.media_of(1))?;
    stage.outgoing(&called, "0503100", Some("SIP/2.0 503")).context("past a proxy in trouble")?;
    stage.outgoing(&called, "0408100", None).context("past a silent proxy")?;
    ensure!(SHA256.said(bench, 1, "silent about 0408100")?.len() > 1, "the first proxy was not asked again and again");

    stage.sha256.kill()?;
    let gone = wait_trunk(&mut stage.exchange, SHA256.trunk, "failed", false).context("with its registrar gone")?;
    ensure!(gone["registration"]["status"].is_null(), "a registrar that is gone said {}", gone["registration"]);
    stage.figures(false)?;
    wait_for("the first proxy of two to be down", SOON, || {
        Ok((trunk(&stage.exchange, "pair")?["targets"][0]["up"] == false).then_some(()))
    })?;
    let first = stage.outgoing(&called, "0200100", None).context("past a proxy that is gone")?;
    ensure!(first.starts_with("127.0.7.2:"), "a call went to a proxy that was down: {first}");
    stage.sha256 = SHA256.start(bench, 2)?;
    wait_trunk(&mut stage.exchange, SHA256.trunk, "registered", true).context("with its registrar back")?;
    stage.figures(true)?;
    stage.incoming(SHA256).context("by the new registration")?;
    stage.finish()?;
    Ok(format!(
        "registered by MD5 and SHA-256, {renewed} renewals with {nonces} nonces, a wrong password told; 3 calls in by \
         registration; 3 out past a 503, silence and a dead proxy; a registrar killed and registered with again"
    ))
}

/// The programs of the test.
struct Stage<'a> {
    bench: &'a Bench,
    exchange: Exchange,
    /// The only agent.
    ann: Phone,
    md5: Running,
    sha256: Running,
    /// Calls so far.
    calls: usize,
}

impl Stage<'_> {
    /// Whoever calls a carrier's number reaches Ann by the Contact that the exchange registered.
    fn incoming(&mut self, carrier: Carrier) -> Result<()> {
        self.calls += 1;
        let caller = Sipp {
            scenario: "caller",
            local: CALLER.parse()?,
            remote: Some(carrier.address.parse()?),
            media: 47_600,
            service: "200",
            calls: 1,
            rate: 1,
            hold: TALK,
        };
        let folder = self.bench.folder.join(format!("call-{}", self.calls));
        std::fs::create_dir_all(&folder)?;
        let mut calling = caller.start(&folder)?;
        self.ann.event("answered").with_context(|| format!("a call in by {}", carrier.trunk))?;
        let status = calling.wait(SOON)?;
        ensure!(status.success(), "the caller's sipp ended with {status}");
        self.ann.event("ended")?;
        let record = self.over()?;
        ensure!(record["trunk"] == carrier.trunk, "the call came in by {}, says its record", record["trunk"]);
        Ok(())
    }

    /// Both registrations are renewed for a while; gives how often, and with how many nonces.
    fn renewed(&mut self) -> Result<(usize, usize)> {
        let (mut renewals, mut nonces) = (0, 0);
        for (carrier, algorithm) in [(MD5, "algorithm=MD5"), (SHA256, "algorithm=SHA-256")] {
            let begin = format!("registered {}", carrier.user);
            let lines = wait_for(&format!("renewals with {}", carrier.trunk), SOON, || {
                self.exchange.running.must_run()?;
                let lines = carrier.said(self.bench, 1, &begin)?;
                Ok((lines.len() > RENEWALS).then_some(lines))
            })?;
            let strange = lines.iter().find(|line| !line.contains(algorithm));
            ensure!(strange.is_none(), "not by {algorithm}: {strange:?}");
            let used = |name: &str| {
                let values = lines.iter().filter_map(|line| line.split_once(&format!(" {name}="))?.1.split(',').next());
                let mut values: Vec<&str> = values.collect();
                values.sort_unstable();
                values.dedup();
                values.len()
            };
            let (given, counts) = (used("nonce"), used("nc"));
            ensure!(given > 1, "{} REGISTERs with one nonce", lines.len());
            ensure!(carrier.define.is_none() || counts > 1, "no nonce was used twice by its count");
            (renewals, nonces) = (renewals + lines.len() - 1, nonces + given);
        }
        // A nonce that was too old is no reason to give a registration up.
        let log = std::fs::read_to_string(self.bench.folder.join("exchange.log"))?;
        for trunk in ["\"md5\"", "\"sha256\""] {
            // The registrar may come up after the exchange: what was never had is not lost.
            let mut held =
                log.lines().filter(|line| line.contains(trunk)).skip_while(|line| !line.contains("registered"));
            let lost = held.find(|line| line.contains("does not register us"));
            ensure!(lost.is_none(), "a registration was lost meanwhile: {lost:?}");
        }
        Ok((renewals, nonces))
    }

    /// Ann calls outside and is answered by the second of two proxies; gives where the first INVITE went.
    fn outgoing(&mut self, called: &Sipp<'_>, number: &str, refusal: Option<&str>) -> Result<String> {
        self.calls += 1;
        let folder = self.bench.folder.join(format!("call-{}", self.calls));
        std::fs::create_dir_all(&folder)?;
        let mut answering = called.start(&folder)?;
        self.ann.tell(&json!({ "do": "dial", "to": number }))?;
        let call = self.ann.event("answered")?;
        self.ann.tell(&json!({ "do": "hang_up", "call": call }))?;
        let status = answering.wait(SOON)?;
        ensure!(status.success(), "the called sipp ended with {status}");
        self.ann.event("ended")?;
        let record = self.over()?;
        ensure!(record["out_trunk"] == "pair", "the call went out by {}", record["out_trunk"]);
        let id = record["id"].as_str().context("a record's id")?;
        let ladder = http::get(self.exchange.http, &format!("/api/v1/calls/{id}/ladder"))?;
        std::fs::write(folder.join("ladder.json"), ladder.to_string())?;
        let messages = ladder["messages"].as_array().context("messages")?;
        let line = |message: &Value| message["first_line"].as_str().unwrap_or_default().to_owned();
        let invites: Vec<&str> = messages
            .iter()
            .filter(|message| message["direction"] == "out" && line(message).starts_with("INVITE "))
            .filter_map(|message| message["to"].as_str())
            .collect();
        let (first, last) = invites.first().zip(invites.last()).context("no INVITE went out")?;
        ensure!(last.starts_with("127.0.7.2:"), "the last INVITE went to {last}");
        ensure!(
            refusal.is_none_or(|refusal| messages.iter().any(|message| line(message).starts_with(refusal))),
            "nobody said {refusal:?}"
        );
        let shown = MD5.said(self.bench, 1, &format!("called {number} by Digest username=\"4930555704\""))?;
        ensure!(shown.len() == 1, "the second proxy took {} INVITEs for {number}", shown.len());
        Ok((*first).to_owned())
    }

    /// Registration and health of the carrier that comes and goes, as `/metrics` has them.
    fn figures(&self, there: bool) -> Result<()> {
        let target = format!("offhook_trunk_target_up{{trunk=\"sha256\",target=\"udp:{}\"}}", SHA256.address);
        for name in ["offhook_trunk_registered{trunk=\"sha256\"}", &target] {
            let found = figure(&self.exchange, name)?;
            ensure!((found > 0.0) == there, "{name} is {found}");
        }
        let other = figure(&self.exchange, "offhook_trunk_registered{trunk=\"md5\"}")?;
        ensure!(other > 0.0, "the other registration was lost too");
        Ok(())
    }

    /// Waits until the call has its record, and gives it.
    fn over(&mut self) -> Result<Value> {
        let records = self.exchange.wait_records(self.calls, SOON)?;
        self.exchange.wait_available(1, SOON)?;
        let started = |record: &&Value| record["started"].as_str().map(str::to_owned);
        records.iter().max_by_key(started).cloned().context("a record")
    }

    /// Whoever leaves takes the registrations away.
    fn finish(mut self) -> Result<()> {
        self.ann.tell(&json!({ "do": "off" }))?;
        ensure!(self.ann.running.wait(SOON)?.success(), "Ann's phone did not end well:\n{}", self.ann.running.tail(5));
        self.exchange.stop()?;
        self.md5.must_run()?;
        self.sha256.must_run()
    }
}
