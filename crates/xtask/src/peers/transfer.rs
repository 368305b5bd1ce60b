//! Transfers with real phones: our softphone transfers blind and after a consultation, baresip blind; each time the customer and
//! whoever was called then hear each other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::agents::{Account, Agent, Place, softphone};
use super::exchange::Exchange;
use super::line::longest_run;
use super::sipp::loopback;
use crate::children::{Running, wait_for};
use crate::speech::{self, Speech};

/// Whatever is waited for.
pub const SOON: Duration = Duration::from_secs(15);
/// How long the two are left to talk after a transfer.
pub const TALK: Duration = Duration::from_secs(4);
/// Frames of 20 ms that must be heard unbroken of that.
const FRAMES_MIN: usize = 120;
/// Where the trunk calls from.
const CUSTOMER: &str = "127.0.1.2:0";

/// A softphone that is told what to do, and read.
pub struct Phone {
    /// Its process.
    pub running: Running,
    input: ChildStdin,
    log: PathBuf,
    folder: PathBuf,
    /// Lines of the log that were looked at.
    read: usize,
}

impl Phone {
    /// Starts a softphone's `command` in a folder of its own, with `samples` as its microphone.
    pub fn start(name: &str, mut command: Command, folder: &Path, samples: &[i16]) -> Result<Self> {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)?;
        speech::write_wav(&folder.join("speech.wav"), 8_000, samples)?;
        command.args(["--commands", "--lines", "2", "--play"]).arg(folder.join("speech.wav"));
        command.arg("--payloads-in").arg(folder.join("in")).arg("--payloads-out").arg(folder.join("out"));
        let log = folder.join("log");
        let (running, input) = Running::start_told(name, &mut command, &log)?;
        Ok(Self { running, input, log, folder, read: 0 })
    }

    /// Gives it an order.
    pub fn tell(&mut self, order: &Value) -> Result<()> {
        writeln!(self.input, "{order}").with_context(|| format!("telling a phone {order}"))?;
        Ok(self.input.flush()?)
    }

    /// Waits for the next event for which `pick` gives something; those before it are passed over.
    pub fn until<T>(&mut self, what: &str, mut pick: impl FnMut(&Value) -> Option<T>) -> Result<T> {
        wait_for(what, SOON, || {
            self.running.must_run()?;
            let text = std::fs::read_to_string(&self.log)?;
            // The last line may not be whole yet.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            for line in whole.lines().skip(self.read) {
                self.read += 1;
                if let Some(found) = serde_json::from_str::<Value>(line).ok().as_ref().and_then(&mut pick) {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })
    }

    /// Waits for an event of this name, and gives its call.
    pub fn event(&mut self, name: &str) -> Result<u64> {
        self.until(&format!("the event '{name}'"), |event| (event["event"] == name).then(|| event["call"].as_u64())?)
    }

    /// Asks for a transfer and waits for its good end.
    pub fn transfers(&mut self, order: &Value) -> Result<()> {
        self.tell(order)?;
        let over =
            |event: &Value| (event["event"] == "transfer" && event["over"] == true).then(|| event["status"].clone());
        let status = self.until("the end of the transfer", over)?;
        ensure!(status == 200, "the transfer ended with {status}");
        Ok(())
    }

    /// A file of the phone's payloads in its call `number`.
    pub fn payloads(&self, way: &str, number: u64) -> Result<Vec<u8>> {
        let name = if number == 1 { way.to_owned() } else { format!("{way}-{number}") };
        std::fs::read(self.folder.join(&name)).with_context(|| format!("{name} in {}", self.folder.display()))
    }
}

/// What one of the two sent was heard by the other, long enough and unbroken.
pub fn heard(what: &str, received: &[u8], sent: &[u8]) -> Result<usize> {
    let run = longest_run(received, sent).map_or(0, |(_, run, _)| run);
    ensure!(run >= FRAMES_MIN, "{what}: only {run} frames were heard unbroken");
    Ok(run)
}

pub fn run(bench: &Bench) -> Result<String> {
    let speech = Speech::open()?;
    // Everybody says something else.
    let part = |n: usize| &speech.samples[n * speech.samples.len() / 4..];
    let config = "fixtures/peers/transfer.toml";
    let mut exchange =
        Exchange::start(&bench.offhook, config, &bench.folder.join("data"), &bench.folder.join("exchange.log"))?;
    let server = exchange.sip;
    let account = |user, password| Account { server, user, password };
    let ours = |user, password| softphone(&bench.offhook, account(user, password), &bench.folder, "0s");
    let mut ann = Phone::start("ann", ours("ann", "ann-secret")?, &bench.folder, part(0))?;
    let mut bob = Phone::start("bob", ours("bob", "bob-secret")?, &bench.folder, part(1))?;
    let control = loopback(5, 25_190);
    let place = Place { address: loopback(5, 25_180), media: 42_400 };
    let carl = bench.folder.join("carl");
    let mut baresip = Agent::baresip_with_control(account("carl", "carl-secret"), place, control, part(2), &carl)?;
    let mut command = Command::new(&bench.offhook);
    command.args(["phone", "--headless", "--events", "--listen", CUSTOMER]);
    let mut customer = Phone::start("customer", command, &bench.folder, part(3))?;
    exchange.wait_available(3, SOON)?;

    blind(&mut customer, &mut ann, &mut bob, server).context("blind from the softphone")?;
    exchange.wait_available(3, SOON)?;
    attended(&mut customer, &mut ann, server).context("attended from the softphone, to baresip")?;
    exchange.wait_available(3, SOON)?;
    blind_from_baresip(&mut customer, &mut bob, control, server).context("blind from baresip")?;
    baresip.must_run()?;

    let records = exchange.wait_records(4, SOON)?;
    let outcomes: Vec<&Value> = records.iter().filter_map(|r| r["transfers"].as_array()).flatten().collect();
    let good = outcomes.iter().filter(|transfer| transfer["status"] == 200).count();
    ensure!((outcomes.len(), good) == (3, 3), "the records tell of {outcomes:?}");
    let joined = records.iter().filter(|record| record["end"] == "transferred").count();
    ensure!(joined == 1, "{joined} calls were joined with another");

    for phone in [&mut customer, &mut ann, &mut bob] {
        phone.tell(&json!({ "do": "off" }))?;
        ensure!(phone.running.wait(SOON)?.success(), "a phone did not end well:\n{}", phone.running.tail(5));
    }
    let carl = baresip.finish()?;
    let first = heard("the customer, by Bob", &bob.payloads("in", 1)?, &customer.payloads("out", 1)?)?;
    let second = heard("Bob, by the customer", &customer.payloads("in", 1)?, &bob.payloads("out", 1)?)?;
    let third = heard("the customer, by baresip", &carl.received, &customer.payloads("out", 2)?)?;
    let fourth = heard("baresip, by the customer", &customer.payloads("in", 2)?, &carl.sent)?;
    let fifth = heard("the customer, by Bob once more", &bob.payloads("in", 2)?, &customer.payloads("out", 3)?)?;
    let sixth = heard("Bob, by the customer once more", &customer.payloads("in", 3)?, &bob.payloads("out", 2)?)?;
    exchange.stop()?;
    Ok(format!("unbroken frames of 20 ms after the transfers: {first}, {second}; {third}, {fourth}; {fifth}, {sixth}"))
}

/// The customer calls a number; gives the customer's call once it is answered by a person.
fn served(customer: &mut Phone, number: &str, server: SocketAddr) -> Result<u64> {
    customer.tell(&json!({ "do": "dial", "to": format!("sip:{number}@{server}") }))?;
    customer.event("answered")
}

fn blind(customer: &mut Phone, ann: &mut Phone, bob: &mut Phone, server: SocketAddr) -> Result<()> {
    let call = served(customer, "200", server)?;
    let taken = ann.event("answered")?;
    ann.transfers(&json!({ "do": "transfer", "call": taken, "to": "bob" }))?;
    ann.event("ended")?;
    bob.event("answered")?;
    std::thread::sleep(TALK);
    customer.tell(&json!({ "do": "hang_up", "call": call }))?;
    bob.event("ended")?;
    customer.event("ended").map(drop)
}

fn attended(customer: &mut Phone, ann: &mut Phone, server: SocketAddr) -> Result<()> {
    let call = served(customer, "200", server)?;
    let taken = ann.event("answered")?;
    ann.tell(&json!({ "do": "hold", "call": taken, "on": true }))?;
    ann.event("held")?;
    ann.tell(&json!({ "do": "dial", "to": "carl" }))?;
    let consultation = ann.event("answered")?;
    ann.transfers(&json!({ "do": "join", "call": taken, "with": consultation }))?;
    ann.event("ended")?;
    ann.event("ended")?;
    std::thread::sleep(TALK);
    customer.tell(&json!({ "do": "hang_up", "call": call }))?;
    customer.event("ended").map(drop)
}

fn blind_from_baresip(customer: &mut Phone, bob: &mut Phone, control: SocketAddr, server: SocketAddr) -> Result<()> {
    let call = served(customer, "300", server)?;
    // What baresip needs to be in its call.
    customer.event("first_packet")?;
    order_baresip(control, "transfer", &format!("sip:bob@{server}"))?;
    bob.event("answered")?;
    std::thread::sleep(TALK);
    customer.tell(&json!({ "do": "hang_up", "call": call }))?;
    bob.event("ended")?;
    customer.event("ended").map(drop)
}

/// Most that baresip tells of its calls before it answers a command.
const TOLD_BEFORE_MAX: usize = 64;

/// A command for baresip's module ctrl_tcp: JSON as a netstring, answered likewise. What it tells of its calls comes the same way,
/// and may come first.
pub fn order_baresip(control: SocketAddr, command: &str, params: &str) -> Result<()> {
    let order = json!({ "command": command, "params": params, "token": "1" }).to_string();
    let mut stream = TcpStream::connect(control).context("baresip's ctrl_tcp")?;
    stream.set_read_timeout(Some(SOON))?;
    write!(stream, "{}:{order},", order.len())?;
    let mut from = BufReader::new(stream);
    for _ in 0..TOLD_BEFORE_MAX {
        let said = netstring(&mut from).context("baresip's answer")?;
        if said.contains("\"response\":true") {
            ensure!(said.contains("\"ok\":true"), "baresip says {said}");
            return Ok(());
        }
    }
    bail!("baresip says everything but an answer to {command}")
}

/// Most bytes of one message of baresip's.
const NETSTRING_MAX: usize = 65_536;

/// One `LENGTH:BYTES,`.
fn netstring(from: &mut impl BufRead) -> Result<String> {
    let mut length = Vec::new();
    from.by_ref().take(8).read_until(b':', &mut length)?;
    let digits = String::from_utf8_lossy(&length).trim_end_matches(':').to_owned();
    let length: usize = digits.parse().with_context(|| format!("a length, not {digits:?}"))?;
    ensure!(length <= NETSTRING_MAX, "{length} bytes in one message");
    let mut bytes = vec![0; length + 1];
    from.read_exact(&mut bytes)?;
    ensure!(bytes.pop() == Some(b','), "a netstring ends with a comma");
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netstrings_are_read_one_by_one() {
        let mut told = &b"2:{},4:a,b,,9:short"[..];
        let read = |told: &mut &[u8]| netstring(told).map_err(|_| ());
        assert_eq!(read(&mut told).as_deref(), Ok("{}"));
        assert_eq!(read(&mut told).as_deref(), Ok("a,b,"));
        assert_eq!(read(&mut told), Err(()), "an end in the middle");
        assert_eq!(read(&mut &b"99999999:"[..]), Err(()));
    }
}
