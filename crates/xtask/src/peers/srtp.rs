//! Encrypted speech with baresip, whose SRTP is libre's: it calls a queue of a plain phone, and a plain caller reaches it as an
//! agent; each hears the other unbroken, and the recording is clear.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::agents::{Account, Agent, Payloads, Place};
use super::exchange::Exchange;
use super::line::{FRAME, joined, longest_run, position};
use super::linphone::pause;
use super::sipp::{Lines, Sipp};
use super::tcp_tls::unbroken;
use crate::children::wait_for;
use crate::g711;
use crate::speech::{self, Recording, Speech, sender_paused};

/// Where TLS is taken: the certificate of fixtures/tls names this address.
const SECURE: &str = "127.0.0.1:25661";
/// How long the two talk.
const TALK: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(10);
/// The one suite that baresip offers.
const OFFERED: &str = "AES_CM_128_HMAC_SHA1_80";
/// The first suite that the exchange offers, which baresip has too.
const TAKEN: &str = "AEAD_AES_128_GCM";
/// Packets of baresip that cannot be opened: it sends RTCP in clear before it has its keys and after it has given them up.
const CLEAR_MAX: u64 = 3;

pub fn run(bench: &Bench) -> Result<String> {
    let speech = Speech::open()?;
    let frames = speech.samples.len() / FRAME;
    let (first, second) = speech.samples[..frames * FRAME].split_at(frames / 2 * FRAME);
    let file = |name: &str| bench.folder.join(name);
    let mut exchange =
        Exchange::start(&bench.offhook, "fixtures/peers/srtp.toml", &file("data"), &file("exchange.log"))?;
    speech::write_wav(&file("speech.wav"), 8_000, first)?;
    let account = Account { server: exchange.sip, user: "plain", password: "plain-secret" };
    let mut plain = Agent::softphone(&bench.offhook, account, &file("speech.wav"), &file("plain"))?;
    let secret = Account { server: SECURE.parse()?, user: "secret", password: "secret-secret" };
    let mut secret = Agent::baresip_encrypted(secret, place(5, 24_420), second, &file("secret"), None)?;
    wait_for("both registrations", SOON, || {
        plain.must_run()?;
        secret.must_run()?;
        Ok((exchange.agents_in("available")? == 2).then_some(()))
    })?;

    let caller = called_by_baresip(bench, &mut exchange, second)?;
    let plain = plain.finish()?;
    let outer = called_by_sipp(bench, &mut exchange, &g711::encode_all(first))?;
    ensure!(secret.says(&enabled(TAKEN)), "the agent's baresip does not say that its speech is encrypted by {TAKEN}");
    let secret = secret.finish()?;

    let records = exchange.wait_records(2, SOON)?;
    let calls = [
        Call {
            number: "401",
            caller: &caller,
            agent: &plain,
            encrypted: "caller_srtp",
            clear: "agent_srtp",
            suite: OFFERED,
        },
        Call {
            number: "402",
            caller: &outer,
            agent: &secret,
            encrypted: "agent_srtp",
            clear: "caller_srtp",
            suite: TAKEN,
        },
    ];
    let mut said = Vec::new();
    for call in calls {
        let (to_agent, to_caller) =
            call.check(&exchange, &records).with_context(|| format!("the call to {}", call.number))?;
        said.push(format!("{to_agent} and {to_caller} frames with {} by {}", call.encrypted, call.suite));
    }
    exchange.stop()?;
    Ok(said.join("; "))
}

fn place(last: u8, media: u16) -> Place {
    Place { address: SocketAddr::from(([127, 0, 6, last], 25_300)), media }
}

/// What baresip says when it has both keys.
fn enabled(suite: &str) -> String {
    format!("SRTP is Enabled (cryptosuite={suite})")
}

/// Gives what the calling baresip sent and heard.
fn called_by_baresip(bench: &Bench, exchange: &mut Exchange, samples: &[i16]) -> Result<Payloads> {
    let account = Account { server: SECURE.parse()?, user: "caller", password: "caller-secret" };
    let dial = format!("sip:401@{SECURE}");
    let folder = bench.folder.join("caller");
    let caller = Agent::baresip_encrypted(account, place(4, 24_400), samples, &folder, Some(&dial))?;
    exchange.wait_calls("talking", 1, SOON)?;
    pause(TALK)?;
    ensure!(
        caller.says(&enabled(OFFERED)),
        "the caller's baresip does not say that its speech is encrypted by {OFFERED}"
    );
    let heard = caller.finish()?;
    exchange.wait_records(1, SOON)?;
    Ok(heard)
}

/// Gives what the caller beside sipp sent and heard.
fn called_by_sipp(bench: &Bench, exchange: &mut Exchange, codes: &[u8]) -> Result<Payloads> {
    let callers = Sipp {
        scenario: "caller",
        local: "127.0.6.2:25061".parse()?,
        remote: Some(exchange.sip),
        media: 24_600,
        service: "402",
        calls: 1,
        rate: 1,
        hold: TALK,
    };
    let mut calling = callers.start(&bench.folder)?;
    let mut lines = Lines::follow(&callers.log(&bench.folder), codes.into(), None)?;
    let status = wait_for("the end of the call", TALK + SOON, || {
        exchange.running.must_run()?;
        lines.keep_up(&callers)?;
        calling.ended()
    })?;
    lines.keep_up(&callers)?;
    ensure!(status.success(), "sipp ended with {status}");
    let (_, heard) = lines.ended.pop_first().context("the call was not answered")?;
    Ok(Payloads { sent: joined(&heard.sent), received: joined(&heard.received) })
}

struct Call<'a> {
    number: &'a str,
    caller: &'a Payloads,
    agent: &'a Payloads,
    /// The side of the record that says how.
    encrypted: &'a str,
    /// The side that says nothing.
    clear: &'a str,
    suite: &'a str,
}

impl Call<'_> {
    /// Both ears, the record and the recording; gives the frames that the agent and the caller heard in a row.
    fn check(&self, exchange: &Exchange, records: &[Value]) -> Result<(usize, usize)> {
        let to_agent = unbroken(self.agent, self.caller).context("from the caller to the agent")?;
        let to_caller = unbroken(self.caller, self.agent).context("from the agent to the caller")?;
        let record = records.iter().find(|record| record["number"] == self.number).context("no record of it")?;
        let (told, clear) = (&record[self.encrypted], &record[self.clear]);
        ensure!(told["suite"] == self.suite && clear.is_null(), "{}: {told}, {}: {clear}", self.encrypted, self.clear);
        let failed = told["failed_packets"].as_u64().context("failed_packets")?;
        ensure!(failed <= CLEAR_MAX, "{failed} packets could not be opened");

        let recording = Recording::open(&exchange.recording_of(record)?)?;
        let manifest = exchange.manifest_of(record)?;
        let sides =
            [("left", &recording.left, self.agent, self.caller), ("right", &recording.right, self.caller, self.agent)];
        for (side, channel, ear, mouth) in sides {
            let (first, run, _) = longest_run(&ear.received, &mouth.sent).context("nothing was heard")?;
            let heard = &ear.received[first * FRAME..(first + run) * FRAME];
            let there = position(channel, heard).is_some() || sender_paused(&manifest, side);
            ensure!(there, "what was heard is not unbroken in the {side} channel");
        }
        Ok((to_agent, to_caller))
    }
}
