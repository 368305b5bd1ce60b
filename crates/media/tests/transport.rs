//! A leg whose keys come by a handshake: what it is sent and heard before, at, and after the moment when they are there.

mod harness;

use std::net::SocketAddr;
use std::sync::Arc;

use harness::*;
use offhook_media::{Deed, HANDSHAKE_BYTES_MAX, Handshakes, Transport};
use offhook_plan::{CodecKind, Crypto, Dtls, LegPlan, MediaCommand, MediaEvent, Negotiated, Setup};
use offhook_rtp::{Header, Packet, SRTP_TAIL_MAX, SrtpReceiver, SrtpSender};
use offhook_units::{CryptoSuite, Entropy, MasterKey, Span, Tick};

/// What the peer of a [`Script`] sends, and what comes of it.
const SHAKES: &[u8] = b"\x14shake";
const SPOILS: &[u8] = b"\x14spoil";
const LEAVES: &[u8] = b"\x00leave";
const FLOODS: &[u8] = b"\x00floods";
const ASKS: &[u8] = b"\x00ask";

fn keys() -> Crypto {
    let key = |number| MasterKey::generate(CryptoSuite::AeadAes128Gcm, &mut Entropy::from_number(number));
    Crypto { send: key(1), receive: key(2) }
}

/// A transport that does as its peer says: the keys, once the peer is known too.
#[derive(Default)]
struct Script {
    known: bool,
    shaken: Option<SocketAddr>,
    deeds: Vec<(Deed, Vec<u8>)>,
}

impl Script {
    fn conclude(&mut self) {
        if let Some(from) = self.shaken.take_if(|_| self.known) {
            self.deeds.push((Deed::Path(Some(from)), Vec::new()));
            self.deeds.push((Deed::Keys(Box::new(keys())), Vec::new()));
        }
    }
}

impl Transport for Script {
    fn agree(&mut self, _: Tick, _: &Dtls, peer: Option<(&Dtls, SocketAddr)>) {
        self.known |= peer.is_some();
        self.conclude();
    }

    fn receive(&mut self, _: Tick, from: SocketAddr, datagram: &[u8]) {
        match datagram {
            SHAKES => self.shaken = Some(from),
            SPOILS => self.deeds.push((Deed::Failed("spoilt".to_owned()), Vec::new())),
            LEAVES => self.deeds.push((Deed::Path(None), Vec::new())),
            FLOODS => self.deeds.push((Deed::Limited, Vec::new())),
            asked => self.deeds.push((Deed::Send { to: from, length: asked.len() }, asked.to_vec())),
        }
        self.conclude();
    }

    fn turn(&mut self, _: Tick) {}

    fn poll(&mut self, room: &mut [u8; HANDSHAKE_BYTES_MAX]) -> Option<Deed> {
        let (deed, bytes) = (!self.deeds.is_empty()).then(|| self.deeds.remove(0))?;
        room[..bytes.len()].copy_from_slice(&bytes);
        Some(deed)
    }
}

struct Scripts;

impl Handshakes for Scripts {
    fn transport(self: Arc<Self>, _: Tick) -> Box<dyn Transport> {
        Box::<Script>::default()
    }
}

fn floor() -> Floor {
    let mut floor = Floor::new();
    floor.worker = floor.worker.with_handshakes(Some(Arc::new(Scripts)));
    floor
}

fn says(setup: Setup) -> Dtls {
    Dtls { fingerprints: Vec::new(), setup, ice: None }
}

/// The agent's leg, answered or not.
fn by_dtls(answered: bool) -> LegPlan {
    let agreed = Negotiated {
        dtls: Some(Box::new(says(Setup::Active))),
        rtcp_mux: true,
        remote_rtp: SocketAddr::from(([0, 0, 0, 0], 9)),
        ..agreed(AGENT, CodecKind::Pcmu)
    };
    LegPlan { dtls: Some(Box::new(says(Setup::Passive))), ..leg_plan(AGENT, answered.then_some(agreed)) }
}

fn talk_by_dtls(generation: u32, since: Tick) -> MediaCommand {
    let edges = vec![hears(CALLER, AGENT, since), hears(AGENT, CALLER, since)];
    plan(generation, vec![pcmu(CALLER), by_dtls(true)], edges, tapped())
}

/// The agent's browser, by its keys.
struct Browser {
    speaker: Speaker,
    out: SrtpSender,
    heard: SrtpReceiver,
}

impl Browser {
    fn new() -> Self {
        let keys = keys();
        let (out, heard) = (SrtpSender::new(&keys.receive), SrtpReceiver::new(&keys.send));
        Self { speaker: Speaker::new(AGENT), out, heard }
    }

    fn say(&mut self, floor: &mut Floor) -> Vec<u8> {
        let (mut packet, payload) = self.speaker.speech();
        let length = packet.len();
        packet.resize(length + SRTP_TAIL_MAX, 0);
        let sealed = self.out.protect_rtp(&mut packet, length).expect("a new number");
        floor.receive(AGENT, peer(AGENT), &packet[..sealed]);
        payload
    }

    /// Opens what it was sent since the last call.
    fn hears(&mut self, floor: &mut Floor) -> Vec<(Header, Vec<u8>)> {
        let rtp = floor.key(local(AGENT));
        let (mine, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut floor.network.sent).into_iter().partition(|sent| sent.key == rtp);
        floor.network.sent = rest;
        let open = |sent: &Sent| {
            assert_eq!(sent.to, peer(AGENT));
            let mut bytes = sent.bytes.clone();
            let length = self.heard.unprotect_rtp(&mut bytes).expect("of our key");
            let packet = Packet::parse(&bytes[..length]).expect("a packet");
            (packet.header, packet.payload.to_vec())
        };
        <[Sent]>::iter(&mine).map(open).collect()
    }
}

fn failures(floor: &mut Floor) -> Vec<MediaEvent> {
    let failed =
        |event: &MediaEvent| matches!(event, MediaEvent::HandshakeFailed { .. } | MediaEvent::LegFailed { .. });
    floor.events().into_iter().filter(failed).collect()
}

#[test]
fn what_is_said_until_the_keys_are_there_is_held_and_sent_first_and_in_order() {
    let mut floor = floor();
    floor.command(plan(1, vec![pcmu(CALLER), by_dtls(false)], Vec::new(), tapped()));
    floor.command(talk_by_dtls(2, at(0)));
    let mut caller = Speaker::new(CALLER);
    let mut said = Vec::new();
    for _ in 0..5 {
        floor.now += Span::from_ms(20);
        said.push(caller.say(&mut floor));
    }
    assert!(floor.network.sent.is_empty(), "nothing leaves in the clear, and nobody knows where to");
    floor.receive(AGENT, peer(AGENT), SHAKES);
    let mut browser = Browser::new();
    floor.now += Span::from_ms(20);
    said.push(caller.say(&mut floor));
    let heard = browser.hears(&mut floor);
    assert_eq!(heard.iter().map(|(_, payload)| payload.clone()).collect::<Vec<_>>(), said);
    let numbers: Vec<u16> = heard.iter().map(|(header, _)| header.seq.0.wrapping_sub(heard[0].0.seq.0)).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    let answer = browser.say(&mut floor);
    assert_eq!(floor.heard_by(CALLER).pop().expect("a packet").1, answer);
    let applied = floor.events().into_iter().filter(|event| matches!(event, MediaEvent::PlanApplied { .. }));
    assert_eq!(applied.count(), 2, "each plan once");
}

#[test]
fn keys_that_are_agreed_on_before_the_answer_is_known_count_from_the_answer_on() {
    let mut floor = floor();
    floor.command(plan(1, vec![pcmu(CALLER), by_dtls(false)], Vec::new(), Vec::new()));
    floor.receive(AGENT, peer(AGENT), ASKS);
    assert_eq!(floor.network.sent.pop().map(|sent| (sent.to, sent.bytes)), Some((peer(AGENT), ASKS.to_vec())));
    floor.receive(AGENT, peer(AGENT), SHAKES);
    let mut caller = Speaker::new(CALLER);
    caller.say(&mut floor);
    assert!(floor.network.sent.is_empty(), "who has not answered hears nothing");
    floor.now += Span::from_ms(20);
    let answered = floor.now;
    floor.command(talk_by_dtls(2, answered));
    let said = caller.say(&mut floor);
    assert_eq!(Browser::new().hears(&mut floor).into_iter().map(|(_, payload)| payload).collect::<Vec<_>>(), [said]);
}

#[test]
fn before_the_keys_nobody_is_heard_and_after_them_only_who_has_them() {
    let mut floor = floor();
    floor.command(talk_by_dtls(1, Tick::MAX));
    let mut plain = Speaker::new(AGENT);
    plain.say(&mut floor);
    floor.receive(AGENT, peer(AGENT), SHAKES);
    plain.say(&mut floor);
    assert!(floor.network.sent.is_empty() && floor.recorded().is_empty());
    assert_eq!(floor.worker.figures().unopened_packets, 2);
    assert!(!floor.events().iter().any(|event| matches!(event, MediaEvent::Latched { .. })));
    let said = Browser::new().say(&mut floor);
    assert_eq!(floor.heard_by(CALLER).pop().expect("a packet").1, said);
}

#[test]
fn speech_goes_where_the_transport_says_and_nowhere_when_the_peer_wants_it_no_more() {
    let mut floor = floor();
    floor.command(talk_by_dtls(1, Tick::MAX));
    floor.receive(AGENT, peer(AGENT), SHAKES);
    let (mut caller, mut browser) = (Speaker::new(CALLER), Browser::new());
    // Its speech comes from elsewhere, as a browser's may while it changes networks; where it wants it is said by checks.
    let (mut packet, _) = browser.speaker.speech();
    let length = packet.len();
    packet.resize(length + SRTP_TAIL_MAX, 0);
    let sealed = browser.out.protect_rtp(&mut packet, length).expect("a new number");
    floor.receive(AGENT, address(9), &packet[..sealed]);
    assert_eq!(floor.heard_by(CALLER).len(), 1);
    let said = caller.say(&mut floor);
    assert_eq!(browser.hears(&mut floor).pop().expect("a packet").1, said);
    floor.receive(AGENT, peer(AGENT), LEAVES);
    caller.say(&mut floor);
    assert!(floor.network.sent.is_empty());
    floor.receive(AGENT, peer(AGENT), LEAVES);
    floor.receive(AGENT, peer(AGENT), FLOODS);
    let figures = floor.worker.figures();
    assert_eq!((figures.paths_expired, figures.checks_limited), (1, 1), "a path that is gone goes once");
}

#[test]
fn a_handshake_that_fails_is_told_once_and_a_worker_without_any_refuses_the_leg() {
    let mut floor = floor();
    floor.command(talk_by_dtls(1, Tick::MAX));
    floor.receive(AGENT, peer(AGENT), SPOILS);
    floor.receive(AGENT, peer(AGENT), SPOILS);
    let told = MediaEvent::HandshakeFailed { call: CALL, leg: AGENT, error: "spoilt".to_owned() };
    assert_eq!(failures(&mut floor), [told]);
    assert_eq!(floor.worker.figures().handshakes_failed, 1);

    let mut without = Floor::new();
    without.command(talk_by_dtls(1, Tick::MAX));
    let failed = failures(&mut without);
    assert!(matches!(failed.as_slice(), [MediaEvent::LegFailed { leg: AGENT, .. }]), "{failed:?}");
}

#[test]
fn rtcp_has_no_port_of_its_own_and_is_encrypted_too() {
    let mut floor = floor();
    floor.command(talk_by_dtls(1, Tick::MAX));
    let ports: Vec<u16> = floor.network.open.iter().map(|(_, open)| open.port()).collect();
    assert_eq!(ports.iter().filter(|port| **port / 10 == local(AGENT).port() / 10).count(), 1, "{ports:?}");
    floor.receive(AGENT, peer(AGENT), SHAKES);
    floor.run_to(at(20_000));
    let rtp = floor.key(local(AGENT));
    let sent: Vec<Sent> = floor.network.sent.iter().filter(|sent| sent.key == rtp).cloned().collect();
    assert!(!sent.is_empty());
    let mut heard = SrtpReceiver::new(&keys().send);
    for report in sent {
        let mut bytes = report.bytes.clone();
        heard.unprotect_rtcp(&mut bytes).expect("a report of our key");
    }
}
