//! Two pages in Chromium call each other over the one port of an exchange, both through a translator that gives them other ports in
//! mid-call, as routers do that forget. Neither page is told; each must be heard again by itself.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::browser::{Page, hears, options};
use super::chromium::Browser;
use super::exchange::Exchange;
use super::quality::upsample;
use crate::children::wait_for;
use crate::http;
use crate::speech::{self, Speech};

const SOON: Duration = Duration::from_secs(20);
/// Where the pages send to, and where it goes.
const OUTSIDE: &str = "127.0.1.3:24200";
const INSIDE: &str = "127.0.1.1:24200";
/// How often the ports change, and within what time everybody is heard again: pages check every 2.5 s.
const CHANGES: usize = 3;
const FADED_AFTER: Duration = Duration::from_secs(1);
const HEARD_WITHIN: Duration = Duration::from_secs(6);

/// Carries datagrams from clients to the exchange and back, each client by a port of its own.
struct Translator {
    /// The ports are to change.
    change: Arc<AtomicBool>,
    changed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Translator {
    fn start() -> Result<Self> {
        let front = UdpSocket::bind(OUTSIDE)?;
        front.set_read_timeout(Some(Duration::from_millis(1)))?;
        let (change, changed, stop) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Arc::default());
        let flags = (Arc::clone(&change), Arc::clone(&changed), Arc::clone(&stop));
        let thread = std::thread::spawn(move || carry(&front, &flags.0, &flags.1, &flags.2));
        Ok(Self { change, changed, stop, thread: Some(thread) })
    }

    /// Gives every client another port, and waits until it is so.
    fn change_ports(&self) -> Result<()> {
        let before = self.changed.load(Ordering::Acquire);
        self.change.store(true, Ordering::Release);
        wait_for("other ports", SOON, || Ok((self.changed.load(Ordering::Acquire) > before).then_some(())))
    }

    /// Why it carries nothing any more, where that is so.
    fn fault(&mut self) -> Option<String> {
        let thread = self.thread.take_if(|thread| thread.is_finished())?;
        Some(format!("the translator ended: {:?}", thread.join()))
    }
}

impl Drop for Translator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // What it could not carry shows in what is not heard.
            let _ = thread.join();
        }
    }
}

fn carry(front: &UdpSocket, change: &AtomicBool, changed: &AtomicU64, stop: &AtomicBool) -> std::io::Result<()> {
    let inside: SocketAddr = INSIDE.parse().map_err(std::io::Error::other)?;
    let mut clients: BTreeMap<SocketAddr, UdpSocket> = BTreeMap::new();
    let mut room = [0; 2_048];
    while !stop.load(Ordering::Acquire) {
        if change.swap(false, Ordering::AcqRel) {
            // The new ones are bound while the old ones are, so that none is the same.
            let new = clients.keys().map(|client| Ok((*client, outward(inside)?))).collect::<std::io::Result<_>>()?;
            clients = new;
            changed.fetch_add(1, Ordering::AcqRel);
        }
        match front.recv_from(&mut room) {
            Ok((length, client)) => {
                if let std::collections::btree_map::Entry::Vacant(place) = clients.entry(client) {
                    place.insert(outward(inside)?);
                }
                if let Some(socket) = clients.get(&client) {
                    passed(socket.send(&room[..length]))?;
                }
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        for (client, socket) in &clients {
            while let Ok(length) = socket.recv(&mut room) {
                passed(front.send_to(&room[..length], client))?;
            }
        }
    }
    Ok(())
}

/// A datagram that is refused at its end, or finds the buffer full, is lost as on any way.
fn passed(sent: std::io::Result<usize>) -> std::io::Result<()> {
    match sent {
        Err(error) if !matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::WouldBlock) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn outward(inside: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.1.3:0")?;
    socket.set_nonblocking(true)?;
    socket.connect(inside)?;
    Ok(socket)
}

/// A figure of `/metrics`.
fn metric(exchange: &Exchange, name: &str) -> Result<f64> {
    let (_, text) = http::ask(exchange.http, "GET", "/metrics", None)?;
    let line = text.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name} in /metrics"))?;
    Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
}

pub fn run(bench: &Bench) -> Result<String> {
    crate::apt::must_have("chromium")?;
    let speech = Speech::open()?.first(9);
    let microphone = bench.folder.join("microphone.wav");
    speech::write_wav(&microphone, 48_000, &upsample(&speech.samples))?;
    let (data, log) = (bench.folder.join("data"), bench.folder.join("exchange.log"));
    let mut exchange = Exchange::start(&bench.offhook, "fixtures/peers/rebinding.toml", &data, &log)?;
    let mut translator = Translator::start()?;
    let mut browser = Browser::start(&bench.folder, &options(&microphone))?;
    let [paula, otto] = [Page::open(&mut browser, &exchange, "paula")?, Page::open(&mut browser, &exchange, "otto")?];
    let dial = "document.getElementById('number').value = 'otto'; document.getElementById('dial').requestSubmit()";
    browser.evaluate(&paula.session, dial)?;
    otto.answer(&mut browser)?;
    paula.wait_for_text(&mut browser, "call-state", "Talking")?;
    for page in [&paula, &otto] {
        hears(&mut browser, page).map_err(|error| match translator.fault() {
            Some(why) => error.context(why),
            None => error,
        })?;
    }
    ensure!(metric(&exchange, "offhook_browser_port_legs")? as u64 == 2, "two legs share the port");
    let mut longest = Duration::ZERO;
    for _ in 0..CHANGES {
        translator.change_ports()?;
        let begun = Instant::now();
        // What a page plays of its own where nothing comes has faded by then.
        std::thread::sleep(FADED_AFTER);
        for page in [&paula, &otto] {
            hears(&mut browser, page)?;
        }
        longest = longest.max(begun.elapsed());
        ensure!(longest <= HEARD_WITHIN, "everybody was heard again after {longest:?}");
        ensure!(paula.text(&mut browser, "call-state")? == "Talking", "the page does not talk any more");
    }
    let discarded = metric(&exchange, "offhook_browser_port_discarded_total{why=\"unknown\"}")?;
    ensure!(discarded > 0.0, "what came from the new ports before a check is counted");
    paula.click(&mut browser, "hang-up")?;
    otto.wait_for_text(&mut browser, "call-state", "Ended")?;
    wait_for("the port to forget", SOON, || {
        let left =
            metric(&exchange, "offhook_browser_port_legs")? + metric(&exchange, "offhook_browser_port_addresses")?;
        Ok((left < 0.5).then_some(()))
    })?;
    exchange.stop()?;
    let ms = longest.as_millis();
    Ok(format!(
        "{CHANGES} times both ports changed, and both were heard again within {ms} ms; {discarded} packets came between"
    ))
}
