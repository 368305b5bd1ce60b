//! Phones by others that watch a colleague: baresip and linphone by presence, a screen played by sipp by event package dialog,
//! which neither has. Bob takes a call and ends it, and each of them shows that. sipp asks for a mailbox too: baresip 1.0 can,
//! but every other time it subscribes hundreds of times a second and waits for no answer.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Bench;
use super::agents::{Account, Agent, Place, softphone};
use super::exchange::Exchange;
use super::linphone::{Linphone, Setup};
use super::sipp::Sipp;
use super::transfer::Phone;
use crate::children::wait_for;
use crate::http;

/// Whatever is waited for.
const SOON: Duration = Duration::from_secs(20);
/// Where sipp is.
const SCREEN: ([u8; 4], u16) = ([127, 0, 8, 6], 25_071);
/// Whom they watch.
const BOB: &str = "sip:bob@127.0.8.1:25060";
/// What baresip says of him, with the state before and the one now in colours.
const CHANGED: &str = "<sip:bob@127.0.8.1:25060> changed status from";
/// Bob's presence by baresip and by linphone, his calls by the screen, and his mailbox by his own phone.
const SUBSCRIPTIONS: f64 = 4.0;
/// What the screen is told, in this order.
const TOLD: [&str; 4] =
    ["TOLD /dialog-info", "TOLD recipient\"><state>early", "TOLD recipient\"><state>confirmed", "TOLD /dialog-info"];

pub fn run(bench: &Bench) -> Result<String> {
    let file = |name: &str| bench.folder.join(name);
    let mut exchange =
        Exchange::start(&bench.offhook, "fixtures/peers/watching.toml", &file("data"), &file("exchange.log"))?;
    let server = exchange.sip;
    let account = |user, password| Account { server, user, password };
    let command = softphone(&bench.offhook, account("bob", "bob-secret"), &bench.folder, "0s")?;
    let mut bob = Phone::start("bob", command, &bench.folder, &[0; 8_000])?;
    exchange.wait_available(1, SOON)?;
    let place = Place { address: "127.0.8.4:25070".parse()?, media: 47_800 };
    let ann = account("ann", "ann-secret");
    let mut baresip = Agent::baresip_watching(ann, place, &format!("\"Bob\" <{BOB}>;presence=p2p\n"), &file("ann"))?;
    let setup = Setup {
        user: "phone03",
        address: [127, 0, 8, 5].into(),
        media: 47_900,
        proxy: "127.0.8.1:25060",
        info: false,
        suite: None,
        friend: Some(BOB),
    };
    let mut linphone = Linphone::start(&setup, &file("linphone"))?;
    let sipp = |scenario, service| Sipp {
        scenario,
        local: SCREEN.into(),
        remote: Some(server),
        media: 48_000,
        service,
        calls: 1,
        rate: 1,
        hold: Duration::ZERO,
    };
    let mailbox = sipp("mailbox", "ann").start_showing(&format!("sip:ann@{server}"), &bench.folder)?.wait(SOON)?;
    ensure!(mailbox.success(), "the sipp that asks for a mailbox ended with {mailbox}");
    let screen = sipp("dialogs", "bob");
    let mut showing = screen.start_showing(BOB, &bench.folder)?;
    wait_for("four subscriptions", SOON, || {
        baresip.must_run()?;
        linphone.running.must_run()?;
        showing.must_run()?;
        Ok((subscriptions(&exchange)? >= SUBSCRIPTIONS).then_some(()))
    })?;
    let library = file("linphone").join("library.log");
    wait_for("Bob free at linphone", SOON, || Ok(shown(&library)?.ends_with(&["open".into()]).then_some(())))?;

    let mut customer = one_call(bench, &exchange, &mut bob, &baresip, &library)?;
    let status = showing.wait(SOON)?;
    ensure!(status.success(), "the screen's sipp ended with {status}");
    let log = screen.log(&bench.folder);
    let told = std::fs::read_to_string(&log).with_context(|| log.display().to_string())?;
    let told: Vec<&str> = told.lines().map(str::trim).collect();
    ensure!(told == TOLD, "the screen was told {told:?}");

    linphone.quit()?;
    baresip.finish()?;
    for phone in [&mut customer, &mut bob] {
        phone.tell(&json!({ "do": "off" }))?;
        ensure!(phone.running.wait(SOON)?.success(), "a phone did not end well:\n{}", phone.running.tail(5));
    }
    exchange.stop()?;
    Ok("Bob's call seen by baresip (Busy, Online), linphone (on-the-phone, open) and a screen (early, confirmed, none); \
        an empty mailbox"
        .to_owned())
}

/// Bob takes a call of a customer, who hangs up, and both phones show it; gives the customer.
fn one_call(bench: &Bench, exchange: &Exchange, bob: &mut Phone, baresip: &Agent, library: &Path) -> Result<Phone> {
    let mut command = std::process::Command::new(&bench.offhook);
    command.args(["phone", "--headless", "--events", "--listen", "127.0.8.2:0"]);
    let mut customer = Phone::start("customer", command, &bench.folder, &[0; 8_000])?;
    customer.tell(&json!({ "do": "dial", "to": format!("sip:200@{}", exchange.sip) }))?;
    let call = customer.event("answered")?;
    bob.event("answered")?;
    wait_for("Bob on the phone, at baresip and at linphone", SOON, || {
        let at_baresip = baresip.last_line_with(CHANGED).is_some_and(|line| line.contains("Busy"));
        Ok((at_baresip && shown(library)?.ends_with(&["on-the-phone".into()])).then_some(()))
    })?;
    customer.tell(&json!({ "do": "hang_up", "call": call }))?;
    bob.event("ended")?;
    wait_for("Bob free again, at baresip and at linphone", SOON, || {
        let at_baresip = baresip.last_line_with(CHANGED).is_some_and(|line| line.ends_with("Online\u{1b}[;m"));
        Ok((at_baresip && shown(library)?.ends_with(&["open".into()])).then_some(()))
    })?;
    Ok(customer)
}

fn subscriptions(exchange: &Exchange) -> Result<f64> {
    let (_, text) = http::ask(exchange.http, "GET", "/metrics", None)?;
    let value = text.lines().find_map(|line| line.strip_prefix("offhook_sip_subscriptions "));
    Ok(value.context("/metrics has no offhook_sip_subscriptions")?.parse()?)
}

/// What linphone was told of Bob, in order.
fn shown(library: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(library).with_context(|| library.display().to_string())?;
    let lines =
        text.lines().filter_map(|line| line.split_once(&format!("<{BOB}>] has presence ["))?.1.split(']').next());
    Ok(lines.map(str::to_owned).collect())
}
