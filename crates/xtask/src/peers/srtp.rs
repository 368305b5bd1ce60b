//! Encrypted speech with baresip, whose SRTP is libre's: it calls a queue of a plain phone, and a plain caller reaches it as an
//! agent; each hears the other unbroken, and the recording is clear. Then linphone, whose SRTP is libsrtp's, calls baresip by
//! another suite.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Bench;
use super::agents::{Account, Agent, Payloads, Place};
use super::exchange::Exchange;
use super::line::{FRAME, joined, longest_run, position};
use super::linphone::{Linphone, RUNNING, Setup, padded, pause};
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
/// The suite that linphone is given: the last of ours.
const SHORT: &str = "AES_CM_128_HMAC_SHA1_32";
/// The least of what linphone has to open: two seconds.
const OPENED_MIN: usize = 100;
/// How alike the sentence is where it arrived, as a correlation: nothing but mu-law lies between.
const ALIKE_MIN: f64 = 0.95;
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
    let sentence = &speech.samples[speech.utterances[0].clone()];
    let opened = called_by_linphone(bench, &mut exchange, sentence).context("the call of linphone")?;
    ensure!(secret.says(&enabled(TAKEN)), "the agent's baresip does not say that its speech is encrypted by {TAKEN}");
    let secret = secret.finish()?;

    let records = exchange.wait_records(3, SOON)?;
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
    let record = record_of(&records, "403")?;
    let (caller, agent) = (&record["caller_srtp"], &record["agent_srtp"]);
    ensure!(caller["suite"] == SHORT && agent["suite"] == TAKEN, "linphone's call: {caller}, {agent}");
    let recording = Recording::open(&exchange.recording_of(record)?)?;
    for (place, codes) in [("in the recording", &recording.left), ("by the agent", &secret.received)] {
        let (_, alike) = speech::find(&g711::decode_all(codes), sentence).context("too little was heard")?;
        ensure!(alike >= ALIKE_MIN, "linphone's sentence is not heard {place}: {alike:.3}");
    }
    said.push(format!("linphone by {SHORT} to baresip by {TAKEN}, which it heard in {opened} packets"));
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
    let received = joined(&heard.received);
    Ok(Payloads { sent: joined(&heard.sent), received_by_call: vec![received.clone()], received })
}

/// Calls the agent on baresip; gives the packets that linphone could open.
fn called_by_linphone(bench: &Bench, exchange: &mut Exchange, sentence: &[i16]) -> Result<usize> {
    let folder = bench.folder.join("linphone");
    std::fs::create_dir_all(&folder)?;
    let says = folder.join("says.wav");
    speech::write_wav(&says, 8_000, &padded(sentence))?;
    let setup = Setup {
        user: "caller",
        address: [127, 0, 0, 1].into(),
        media: 24_700,
        proxy: "localhost:25661;transport=tls",
        info: false,
        suite: Some(SHORT),
        friend: None,
    };
    let mut phone = Linphone::start(&setup, &folder)?;
    phone.until("call sip:403@localhost:25661;transport=tls", RUNNING)?;
    exchange.wait_calls("talking", 1, SOON)?;
    phone.tell(&format!("incall-player-start {}", says.display()))?;
    pause(Duration::from_millis(sentence.len() as u64 / 8) + Duration::from_secs(2))?;
    phone.until("terminate", "LinphoneCallEnd")?;
    exchange.wait_records(3, SOON)?;
    phone.quit()?;
    let log = std::fs::read(folder.join("library.log"))?;
    let log = String::from_utf8_lossy(&log);
    // The last word on the stream: "ortp-message-received     301 packets".
    let told =
        log.lines().filter_map(|line| line.split_once("ortp-message-received ")?.1.trim().strip_suffix(" packets"));
    let opened = told.filter_map(|count| count.trim().parse::<usize>().ok()).next_back();
    let opened = opened.context("linphone does not say what it received")?;
    ensure!(opened >= OPENED_MIN, "linphone could open {opened} packets");
    Ok(opened)
}

fn record_of<'a>(records: &'a [Value], number: &str) -> Result<&'a Value> {
    records.iter().find(|record| record["number"] == number).with_context(|| format!("no record of a call to {number}"))
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
        let record = record_of(records, self.number)?;
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
