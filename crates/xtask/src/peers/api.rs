//! The API under schemathesis: requests that its description allows and that it does not, at an exchange with calls, records and
//! recordings. No answer may be one that the description does not have.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::agents::{Account, Agent};
use super::chromium::Browser;
use super::exchange::Exchange;
use super::sipp::{Sipp, loopback};
use crate::children::{self, Running, wait_for};
use crate::speech::{self, Speech};
use crate::{apt, http, python};

/// The version that the run was made clean with: another one may look for more.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// The library of standardwebhooks.com, by which receivers check who sends them something.
const STANDARDWEBHOOKS: &str = "standardwebhooks==1.0.0";
/// What they are signed with.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// An administrator's.
const TOKEN: &str = "the-token-of-this-test";
/// Requests for each operation in its longest phase.
const EXAMPLES: &str = "20";
/// How long it may take.
const WITHIN: Duration = Duration::from_mins(3);
/// How long the exchange may take to show what was done.
const SOON: Duration = Duration::from_secs(20);

pub fn run(bench: &Bench) -> Result<String> {
    apt::must_have("sipp")?;
    let python =
        python::environment("schemathesis", "schemathesis, standardwebhooks", &[SCHEMATHESIS, STANDARDWEBHOOKS])?;
    let told = receive()?;
    let config = guarded(bench, told.address)?;
    let log = bench.folder.join("exchange.log");
    let data = bench.folder.join("data");
    let mut exchange = Exchange::start(&bench.offhook, &config, &data, &log)?;
    let sip = exchange.sip;
    let play = bench.folder.join("agent.wav");
    speech::write_wav(&play, 8_000, &Speech::open()?.first(30).samples)?;
    let account = Account { server: exchange.sip, user: "phone11", password: "phone11-secret" };
    let _agent = Agent::softphone(&bench.offhook, account, &play, &bench.folder.join("phone11"))?;
    let mut wait = |what: &str, path: &str, ready: &dyn Fn(&[Value]) -> bool| {
        wait_for(what, SOON, || {
            exchange.running.must_run()?;
            let rows = rows(&exchange, path)?;
            Ok(ready(&rows).then_some(rows))
        })
    };
    wait("an available agent", "agents", &|agents| agents.iter().any(|agent| agent["state"] == "available"))?;
    callers(sip, 1, Duration::from_secs(2)).start(&bench.folder)?.wait(SOON)?;
    wait("a recording", "recordings", &|recordings| !recordings.is_empty())?;
    let hooks = check_told(&told, &python)?;
    // One talks and one waits for as long as this takes.
    let _calls = callers(sip, 2, WITHIN).start(&bench.folder)?;
    wait("a talk", "calls", &|calls| calls.len() == 2 && calls.iter().any(|call| call["state"] == "talking"))?;
    browse(bench, &exchange)?;

    std::fs::write(bench.folder.join("schemathesis.toml"), settings(&exchange)?)?;
    std::fs::write(bench.folder.join("api_hooks.py"), include_str!("api_hooks.py"))?;
    let report = bench.folder.join("schemathesis.log");
    let mut command = Command::new(&python);
    command.env("SCHEMATHESIS_HOOKS", "api_hooks.py");
    command.current_dir(&bench.folder).args(["-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"]);
    command.arg(format!("http://{}/api/v1/openapi.json", exchange.http));
    command.args(["--max-examples", EXAMPLES, "--request-timeout", "10", "--seed", "1", "--no-color"]);
    let status = Running::start("schemathesis", &mut command, &report)?.wait(WITHIN)?;
    let said = std::fs::read_to_string(&report)?;
    ensure!(status.success(), "schemathesis: {status}\n{}", children::tail(&report, 60));
    exchange.running.must_run()?;
    let faults = std::fs::read_to_string(&log)?;
    let fault = faults.lines().find(|line| line.contains("ERROR") || line.contains("panicked"));
    ensure!(fault.is_none(), "the exchange logged {}", fault.unwrap_or_default());
    let survived = survive(bench, exchange, &config, &told)?;
    let line = |what: &str| said.lines().skip_while(|line| !line.contains(what)).nth(1).unwrap_or_default().trim();
    let tested = said.lines().find_map(|line| line.trim().strip_prefix("Tested: ")).context("a report")?;
    Ok(format!("{tested} operations; {}; webhooks {hooks}; {survived}", line("Test cases:")))
}

/// Sends a request on the page that shows the API.
fn browse(bench: &Bench, exchange: &Exchange) -> Result<()> {
    apt::must_have("chromium")?;
    let mut browser = Browser::start(&bench.folder, &[])?;
    let session = browser.open(&format!("http://{}/api/docs", exchange.http))?;
    let script = format!(
        "(() => {{ const one = document.getElementById('listQueues'); if (!one) return ''; one.open = true; \
         const form = one.querySelector('form'); if (!form) return ''; const said = one.querySelector('pre').textContent; \
         if (!said) {{ document.getElementById('token').value = '{TOKEN}'; form.requestSubmit(); }} return said; }})()"
    );
    let said = wait_for("an answer on the API's page", SOON, || {
        let said = browser.evaluate(&session, &script)?.as_str().unwrap_or_default().to_owned();
        Ok(said.contains('{').then_some(said))
    })?;
    ensure!(said.starts_with("200") && said.contains("\"sales\""), "the API's page shows {said}");
    Ok(())
}

/// One POST: its head and its body.
type Told = (String, String);

/// A receiver of webhooks.
struct Hooks {
    /// Where it listens.
    address: SocketAddr,
    /// What it has taken.
    told: Receiver<Told>,
    /// Whether it takes anything.
    taking: Arc<AtomicBool>,
}

/// Takes webhooks, and hands over what came.
fn receive() -> Result<Hooks> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (send, told) = channel();
    let taking = Arc::new(AtomicBool::new(true));
    let takes = Arc::clone(&taking);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = BufReader::new(stream);
            while let Ok(Some(one)) = take(&mut stream) {
                let taken = takes.load(Ordering::Relaxed);
                let answer = if taken { "204 No Content" } else { "503 Not Now\r\nContent-Length: 0" };
                if stream.get_ref().write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).is_err() {
                    break;
                }
                if taken && send.send(one).is_err() {
                    return;
                }
            }
        }
    });
    Ok(Hooks { address, told, taking })
}

/// One request; none at the end.
fn take(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Told>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    stream.read_exact(&mut body)?;
    Ok(Some((head, String::from_utf8_lossy(&body).into_owned())))
}

/// What happened while the receiver took nothing, and the exchange was killed, is told afterwards; each step of it once.
fn survive(bench: &Bench, mut exchange: Exchange, config: &str, hooks: &Hooks) -> Result<String> {
    hooks.taking.store(false, Ordering::Relaxed);
    let newest = |exchange: &Exchange| -> Result<Option<String>> {
        let records = rows(exchange, "records")?;
        Ok(records.first().and_then(|record| record["id"].as_str()).map(ToOwned::to_owned))
    };
    let before = newest(&exchange)?;
    let caller = Sipp { local: loopback(2, 25_065), media: 34_000, ..callers(exchange.sip, 1, Duration::from_secs(1)) };
    caller.start(&bench.folder)?.wait(SOON)?;
    let call = wait_for("its record", SOON, || {
        exchange.running.must_run()?;
        Ok(newest(&exchange)?.filter(|newest| before.as_ref() != Some(newest)))
    })?;
    exchange.running.kill()?;
    let log = bench.folder.join("exchange-again.log");
    let mut exchange = Exchange::start(&bench.offhook, config, &exchange.data, &log)?;
    let kind = |body: &str| -> Result<String> {
        let message: Value = serde_json::from_str(body)?;
        Ok(message["type"].as_str().unwrap_or_default().to_owned())
    };
    let mut alarms = Vec::new();
    while let Ok((_, body)) = hooks.told.try_recv() {
        alarms.extend(Some(kind(&body)?).filter(|kind| kind.starts_with("alarm.")));
    }
    ensure!(alarms.last().is_some_and(|last| last == "alarm.raised"), "one waits, and of alarms was told {alarms:?}");
    hooks.taking.store(true, Ordering::Relaxed);
    let (mut steps, mut lost, mut over) = (Vec::new(), 0, Vec::new());
    // Two calls were up, and one of them waited.
    while lost < 2 || over.is_empty() {
        let (_, body) = hooks.told.recv_timeout(SOON).context("a webhook after the restart")?;
        over.extend(Some(kind(&body)?).filter(|kind| kind.starts_with("alarm.")));
        let message: Value = serde_json::from_str(&body)?;
        if message["data"]["id"] == call.as_str() {
            steps.push(message["type"].as_str().unwrap_or_default().to_owned());
        }
        lost += usize::from(message["data"]["end"] == "lost");
    }
    ensure!(steps == ["call.began", "call.queued", "call.ended"], "of {call} was told {steps:?}");
    ensure!(over == ["alarm.cleared"], "of an alarm that stood over the restart was told {over:?}");
    exchange.stop()?;
    Ok("after kill -9 a call that no receiver took is told once, two more as lost, and that an alarm is over"
        .to_owned())
}

/// The way of one call, each step told in order and signed as the library of the specification checks it.
fn check_told(hooks: &Hooks, python: &Path) -> Result<String> {
    let mut kinds = Vec::new();
    while !kinds.iter().any(|kind| kind == "call.ended") {
        let (head, body) = hooks.told.recv_timeout(SOON).context("a webhook in time")?;
        let headers: BTreeMap<String, &str> =
            head.lines().filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_ascii_lowercase(), v)).collect();
        let script = "import sys, json, standardwebhooks as s; s.Webhook(sys.argv[1]).verify(sys.argv[2], json.loads(sys.argv[3]))";
        let headers = serde_json::to_string(&headers)?;
        let checked = Command::new(python).args(["-c", script, SECRET, &body, &headers]).output()?;
        ensure!(checked.status.success(), "standardwebhooks: {}", String::from_utf8_lossy(&checked.stderr));
        let message: Value = serde_json::from_str(&body)?;
        if message["type"] == "call.ended" {
            ensure!(message["data"]["record"]["connected"].is_string(), "no record of a talk in {body}");
        }
        kinds.push(message["type"].as_str().context("a type")?.to_owned());
    }
    let calls: Vec<&str> = kinds.iter().filter(|kind| kind.starts_with("call.")).map(String::as_str).collect();
    ensure!(calls == ["call.began", "call.queued", "call.connected", "call.ended"], "told of {calls:?}");
    Ok(kinds.join(", "))
}

fn callers(sip: SocketAddr, calls: usize, hold: Duration) -> Sipp<'static> {
    Sipp {
        scenario: "caller",
        local: loopback(2, 25_061),
        remote: Some(sip),
        media: 30_000,
        service: "200",
        calls,
        rate: 2,
        hold,
    }
}

/// The list in an answer.
fn rows(exchange: &Exchange, what: &str) -> Result<Vec<Value>> {
    let answer = http::get_as(exchange.http, TOKEN, &format!("/api/v1/{what}"))?;
    answer[what].as_array().cloned().with_context(|| format!("a list in {answer}"))
}

/// The exchange of the tests with a token and an entrance.
fn guarded(bench: &Bench, receiver: SocketAddr) -> Result<String> {
    let plain = std::fs::read_to_string(crate::root().join("fixtures/peers/exchange.toml"))?;
    let prompts = crate::root().join("config/prompts");
    // What is kept meanwhile lies in a folder of the test.
    let own = bench.folder.join("prompts");
    std::fs::create_dir_all(&own)?;
    let folders = format!("\"{}\", \"{}\"", prompts.display(), own.display());
    let text = plain.replace("\"../../config/prompts\"", &folders);
    ensure!(text.contains(&folders), "the exchange of the tests names no folder of prompts");
    let text = text.replace("[http]\n", &format!("[http]\ntoken = \"{TOKEN}\"\nrequests_per_second = 1000\n"));
    let secret = bench.folder.join("webhook.secret");
    std::fs::write(&secret, SECRET)?;
    let hook = format!(
        "[[webhook]]\nname = \"test\"\nurl = \"http://{receiver}/hook\"\nevents = [\"agent.logged-in\", \"call.began\", \"call.queued\", \
         \"call.connected\", \"call.ended\", \"alarm.raised\", \"alarm.cleared\"]\nsecret_file = \"{}\"\n\
         [[alarm]]\nname = \"somebody waits\"\nwaiting = 1\nafter = \"0s\"\nclear_after = \"1s\"\n",
        secret.display()
    );
    let (plain, both) = ("\"udp:127.0.0.1:25060\"", "\"udp:127.0.0.1:25060\", \"ws:127.0.0.1:25066\"");
    let text = text.replace(plain, both);
    let path = bench.folder.join("exchange.toml");
    let entrance = "[[entrance]]\nname = \"shop\"\ntitle = \"Call the shop\"\nnumber = \"200\"\n";
    std::fs::write(&path, format!("{text}\n{entrance}\n{hook}"))?;
    Ok(path.display().to_string())
}

/// What is there to be named, so that half of the requests reach more than a 404.
fn settings(exchange: &Exchange) -> Result<String> {
    let ids = |what: &str| -> Result<Vec<String>> {
        let of = |row: &Value| row["id"].as_str().map(ToOwned::to_owned);
        Ok(rows(exchange, what)?.iter().filter_map(of).collect())
    };
    let (calls, records) = (ids("calls")?, ids("records")?);
    let named = [
        ("agents", ids("agents")?, "^/api/v1/agents/", "path.id"),
        ("calls", [calls, records.clone()].concat(), "^/api/v1/calls/", "path.id"),
        ("records", records, "^/api/v1/records/", "path.id"),
        ("recordings", ids("recordings")?, "^/api/v1/recordings/", "path.id"),
        ("entrances", vec!["shop".to_owned()], "^/api/v1/visitors/", "path.entrance"),
    ];
    let mut text = format!("[auth.openapi]\ntoken = {{ bearer = {TOKEN:?} }}\n");
    // What was erased is gone, however well it was asked for.
    text.push_str("[checks.positive_data_acceptance]\nexpected-statuses = [\"2xx\", 401, 403, 404, 409, 410, 429]\n");
    // Days that follow each other, and the names of time zones, are more than a schema can say.
    text.push_str(
        "[[operations]]\ninclude-path-regex = \"^/api/v1/reports/\"\n[operations.checks.positive_data_acceptance]\n",
    );
    text.push_str("expected-statuses = [\"2xx\", 400, 404]\n");
    // Which text is a configuration, and which version is in force, is more than a schema can say, too.
    text.push_str("[[operations]]\ninclude-path-regex = \"^/api/v1/config\"\n");
    text.push_str(
        "[operations.checks.positive_data_acceptance]\nexpected-statuses = [\"2xx\", 404, 409, 412, 422, 428]\n",
    );
    // Which bytes are a sound, likewise.
    text.push_str("[[operations]]\ninclude-path-regex = \"^/api/v1/prompts\"\n");
    text.push_str("[operations.checks.positive_data_acceptance]\nexpected-statuses = [\"2xx\", 404, 409, 422]\n");
    // A stream ends when it is no longer listened to; and no server refuses a header that it does not know.
    text.push_str("[[operations]]\ninclude-path = \"/api/v1/events\"\nmax-stream-events = 1\nrequest-timeout = 0.5\n");
    text.push_str("generation = { allow-extra-parameters = false, max-examples = 10 }\n");
    text.push_str("[[operations]]\ninclude-path = \"/api/v1/events/ws\"\n");
    text.push_str("[operations.checks.positive_data_acceptance]\nexpected-statuses = [426]\n");
    for (name, values, ..) in &named {
        ensure!(!values.is_empty(), "there are no {name}");
        writeln!(text, "[dictionaries.{name}]\nvalues = {values:?}")?;
    }
    for (name, _, path, parameter) in &named {
        writeln!(text, "[[operations]]\ninclude-path-regex = {path:?}")?;
        writeln!(text, "parameters.{parameter:?} = {{ dictionary = {name:?}, probability = 0.5 }}")?;
    }
    Ok(text)
}
