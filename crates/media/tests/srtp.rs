//! Encrypted legs: relayed in the clear and to other keys, played to, recorded, held, reported, and fooled by nobody.

mod harness;

use harness::*;
use offhook_media::Limits;
use offhook_plan::{CodecKind, Crypto, LegPlan, MediaCommand, MediaEvent, Negotiated};
use offhook_rtp::{Header, Packet, SRTP_TAIL_MAX, SrtpError, SrtpReceiver, SrtpSender, is_rtcp};
use offhook_units::{CryptoSuite, Entropy, LegId, MasterKey, Span, Tick};

fn key(suite: CryptoSuite, number: u64) -> MasterKey {
    MasterKey::generate(suite, &mut Entropy::from_number(number))
}

/// The keys of a leg: what we send and what the peer sends.
fn keys(leg: LegId, suite: CryptoSuite, generation: u64) -> Crypto {
    Crypto { send: key(suite, leg.0 * 100 + generation), receive: key(suite, leg.0 * 100 + 50 + generation) }
}

fn secure(leg: LegId, crypto: Crypto) -> LegPlan {
    leg_plan(leg, Some(Negotiated { crypto: Some(crypto), ..agreed(leg, CodecKind::Pcmu) }))
}

/// A peer's ends of the keys.
struct Ends {
    speaker: Speaker,
    out: SrtpSender,
    heard: SrtpReceiver,
}

impl Ends {
    fn new(leg: LegId, crypto: &Crypto) -> Self {
        let (out, heard) = (SrtpSender::new(&crypto.receive), SrtpReceiver::new(&crypto.send));
        Self { speaker: Speaker::new(leg), out, heard }
    }

    fn speech(&mut self) -> (Vec<u8>, Vec<u8>) {
        let (mut packet, payload) = self.speaker.speech();
        let length = packet.len();
        packet.resize(length + SRTP_TAIL_MAX, 0);
        let sealed = self.out.protect_rtp(&mut packet, length).expect("a new number");
        packet.truncate(sealed);
        (packet, payload)
    }

    fn say(&mut self, floor: &mut Floor) -> Vec<u8> {
        let (packet, payload) = self.speech();
        floor.receive(self.speaker.leg, peer(self.speaker.leg), &packet);
        payload
    }

    /// Opens what the leg was sent since the last call.
    fn hears(&mut self, floor: &mut Floor) -> Vec<Result<(Header, Vec<u8>), SrtpError>> {
        let rtp = floor.key(local(self.speaker.leg));
        let (mine, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut floor.network.sent).into_iter().partition(|sent| sent.key == rtp);
        floor.network.sent = rest;
        let open = |sent: &Sent| {
            let mut bytes = sent.bytes.clone();
            let length = self.heard.unprotect_rtp(&mut bytes)?;
            let packet = Packet::parse(&bytes[..length]).expect("a packet");
            Ok((packet.header, packet.payload.to_vec()))
        };
        <[Sent]>::iter(&mine).map(open).collect()
    }
}

fn talk_of(generation: u32, legs: Vec<LegPlan>) -> MediaCommand {
    plan(generation, legs, vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)], tapped())
}

#[test]
fn speech_goes_between_plain_and_encrypted_legs_of_all_suites_and_is_recorded_in_the_clear() {
    let all = || CryptoSuite::ALL.into_iter().map(Some).chain([None]);
    for (one, other) in all().flat_map(|one| all().map(move |other| (one, other))) {
        let plan_of = |leg, suite: Option<_>| suite.map_or_else(|| pcmu(leg), |suite| secure(leg, keys(leg, suite, 1)));
        let ends_of = |leg, suite: Option<_>| suite.map(|suite| Ends::new(leg, &keys(leg, suite, 1)));
        let mut floor = Floor::new();
        floor.command(talk_of(1, vec![plan_of(CALLER, one), plan_of(AGENT, other)]));
        let mut sides = [(CALLER, ends_of(CALLER, one)), (AGENT, ends_of(AGENT, other))];
        let mut plain = [Speaker::new(CALLER), Speaker::new(AGENT)];
        for _ in 0..20 {
            floor.now += Span::from_ms(20);
            for n in [0, 1] {
                let said = match &mut sides[n].1 {
                    Some(ends) => ends.say(&mut floor),
                    None => plain[n].say(&mut floor),
                };
                let (leg, ends) = &mut sides[1 - n];
                let sent = floor.network.sent.clone();
                let heard = match ends {
                    Some(ends) => ends.hears(&mut floor).pop().expect("a packet").expect("of our key").1,
                    None => floor.heard_by(*leg).pop().expect("a packet").1,
                };
                assert_eq!(heard, said, "{one:?} to {other:?}");
                let on_the_wire = sent.last().expect("a packet").bytes.windows(16).any(|part| part == &said[..16]);
                assert_eq!(on_the_wire, ends.is_none(), "an encrypted leg shows no speech");
                let recorded = floor.recorded();
                assert_eq!(recorded.len(), 1);
                assert_eq!(recorded[0].1, said, "the recording is in the clear");
            }
        }
        floor.command(MediaCommand::Close(CALL));
        let closed = floor.events().into_iter().filter_map(|event| match event {
            MediaEvent::LegClosed { srtp, .. } => Some(srtp.map(|srtp| (srtp.suite, srtp.failed_packets))),
            _ => None,
        });
        let expected = [one, other].map(|suite| suite.map(|suite| (suite, 0)));
        assert_eq!(closed.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn what_cannot_be_opened_is_counted_and_changes_nothing() {
    let crypto = keys(CALLER, CryptoSuite::AesCm128HmacSha1_80, 1);
    let mut floor = Floor::new();
    floor.command(talk_of(1, vec![secure(CALLER, crypto), pcmu(AGENT)]));
    let mut caller = Ends::new(CALLER, &crypto);
    let said = caller.say(&mut floor);
    assert_eq!(floor.heard_by(AGENT).pop().expect("a packet").1, said);
    floor.events();
    // Plain speech, noise, a changed packet, one that was seen, one of another key, and all from anywhere.
    let mut stranger = Ends::new(CALLER, &keys(CALLER, CryptoSuite::AesCm128HmacSha1_80, 2));
    let (again, _) = caller.speech();
    let mut changed = again.clone();
    changed[20] ^= 1;
    floor.receive(CALLER, peer(CALLER), &again);
    assert_eq!(floor.heard_by(AGENT).len(), 1);
    let mut plain = Speaker::new(CALLER);
    for packet in [plain.speech().0, vec![0x80; 9], changed, again, stranger.speech().0] {
        for from in [peer(CALLER), address(9)] {
            floor.receive(CALLER, from, &packet);
        }
    }
    assert!(floor.network.sent.is_empty());
    assert!(floor.events().is_empty(), "nobody is latched onto");
    assert_eq!(floor.worker.figures().unopened_packets, 10);
    assert_eq!(floor.recorded().len(), 2);
    floor.command(MediaCommand::Close(CALL));
    let report = floor.events().into_iter().find_map(|event| match event {
        MediaEvent::LegClosed { leg: CALLER, srtp, report, .. } => Some((srtp, report)),
        _ => None,
    });
    let (srtp, report) = report.expect("the caller's leg");
    assert_eq!((srtp.expect("encrypted").failed_packets, report.received_packets), (10, 2));
}

#[test]
fn keep_alives_of_a_phone_are_not_taken_for_packets_under_another_key() {
    let crypto = keys(CALLER, CryptoSuite::AesCm128HmacSha1_80, 1);
    let mut floor = Floor::new();
    floor.command(talk_of(1, vec![secure(CALLER, crypto), pcmu(AGENT)]));
    // A binding request without attributes, and an empty datagram, to both ports.
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let (rtcp, from) = (floor.key(address(local(CALLER).port() + 1)), address(peer(CALLER).port() + 1));
    for packet in [&stun[..], &[]] {
        floor.receive(CALLER, peer(CALLER), packet);
        floor.worker.receive(&mut floor.network, floor.now, rtcp, from, &mut packet.to_vec(), packet.len());
    }
    assert!(floor.network.sent.is_empty());
    let figures = floor.worker.figures();
    assert_eq!((figures.unopened_packets, figures.discarded_packets), (0, 4));
    floor.command(MediaCommand::Close(CALL));
    let closed = floor.events().into_iter().find_map(|event| match event {
        MediaEvent::LegClosed { leg: CALLER, srtp, report, .. } => {
            Some((srtp?.failed_packets, report.discarded_packets))
        }
        _ => None,
    });
    assert_eq!(closed, Some((0, 2)));
}

#[test]
fn music_is_encrypted_and_a_change_of_key_loses_none_of_it() {
    for suite in CryptoSuite::ALL {
        let (first, second) = (keys(CALLER, suite, 1), keys(CALLER, suite, 2));
        let mut floor = Floor::new();
        let music = |generation, crypto| {
            plan(generation, vec![secure(CALLER, crypto)], vec![plays(CALLER, 1, &[0], true)], tapped())
        };
        floor.command(music(1, first));
        let mut caller = Ends::new(CALLER, &first);
        // Over the wrap of the sequence numbers, which begin at 65,530.
        floor.run_to(at(1_000));
        let before = caller.hears(&mut floor);
        floor.command(music(2, second));
        caller.heard.rekey(&second.send);
        floor.run_to(at(2_000));
        let after = caller.hears(&mut floor);
        let numbers: Vec<u16> =
            before.iter().chain(&after).map(|heard| heard.as_ref().expect("opened").0.seq.0).collect();
        assert_eq!(numbers.len(), 101, "{suite:?}");
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
        assert_eq!(floor.recorded().len(), 101);
    }
}

#[test]
fn a_peer_may_change_its_key_a_little_late() {
    let suite = CryptoSuite::AeadAes128Gcm;
    let (first, second) = (keys(CALLER, suite, 1), keys(CALLER, suite, 2));
    let mut floor = Floor::new();
    floor.command(talk_of(1, vec![secure(CALLER, first), pcmu(AGENT)]));
    let mut caller = Ends::new(CALLER, &first);
    caller.say(&mut floor);
    // We answer with the same key of ours: only the peer's changes.
    let changed = Crypto { send: first.send, receive: second.receive };
    floor.command(talk_of(2, vec![secure(CALLER, changed), pcmu(AGENT)]));
    for n in 0..200 {
        if n == 10 {
            caller.out.rekey(&second.receive);
        }
        let said = caller.say(&mut floor);
        assert_eq!(floor.heard_by(AGENT).pop().expect("a packet").1, said, "{n}");
    }
    assert_eq!(floor.worker.figures().unopened_packets, 0);
}

#[test]
fn words_before_the_keys_are_known_are_not_lost() {
    for suite in CryptoSuite::ALL {
        let crypto = keys(AGENT, suite, 1);
        let mut floor = Floor::new();
        // The agent's phone has answered and speaks; its answer is still on the way.
        floor.command(plan(1, vec![pcmu(CALLER), leg_plan(AGENT, None)], vec![], vec![]));
        let mut agent = Ends::new(AGENT, &crypto);
        let mut said = Vec::new();
        for n in 0..10 {
            floor.now = at(n * 20);
            said.push(agent.say(&mut floor));
        }
        // Somebody else's words stay out.
        let mut stranger = Ends::new(AGENT, &keys(AGENT, suite, 2));
        stranger.speaker.ssrc = 77;
        stranger.say(&mut floor);
        let edges = vec![hears(CALLER, AGENT, Tick::ZERO), hears(AGENT, CALLER, Tick::MAX)];
        floor.command(plan(2, vec![pcmu(CALLER), secure(AGENT, crypto)], edges, vec![]));
        let heard: Vec<_> = floor.heard_by(CALLER).into_iter().map(|(_, payload)| payload).collect();
        assert_eq!(heard, said, "{suite:?}");
    }
}

#[test]
fn reports_are_encrypted_both_ways() {
    let crypto = keys(CALLER, CryptoSuite::AesCm128HmacSha1_32, 1);
    let limits = Limits { report_every: Span::from_ms(500), ..Limits::default() };
    let mut floor = Floor::with(limits);
    floor.command(plan(1, vec![secure(CALLER, crypto)], vec![plays(CALLER, 1, &[0], true)], vec![]));
    let mut caller = Ends::new(CALLER, &crypto);
    for n in 1..=100 {
        caller.say(&mut floor);
        floor.run_to(at(n * 20));
    }
    let reports: Vec<_> = floor.network.sent.iter().filter(|sent| sent.key.is_rtcp()).cloned().collect();
    assert!(reports.len() >= 2);
    let mut last = None;
    for mut report in reports {
        assert!(
            is_rtcp(&report.bytes) && offhook_rtp::read_reports(&report.bytes, 0).is_err(),
            "it is not in the clear"
        );
        let length = caller.heard.unprotect_rtcp(&mut report.bytes).expect("of our key");
        last = offhook_rtp::read_reports(&report.bytes[..length], 0).expect("a report").sender_ntp_mid;
    }
    // The peer's report tells the round trip; one in the clear tells nothing.
    let lsr = last.expect("a sender report");
    let block = offhook_rtp::Report { ssrc: 0xaaaa_0000 + CALLER.0 as u32, fraction_lost: 64, ..Default::default() };
    let writer = offhook_rtp::ReportWriter {
        ssrc: caller.speaker.ssrc,
        sender: None,
        block: Some((block, lsr, 0)),
        cname: "x",
        metrics: None,
        bye: false,
    };
    let mut room = [0; offhook_rtp::REPORT_BYTES_MAX];
    let length = writer.write(&mut room);
    let mut buffer = room.to_vec();
    buffer.resize(room.len() + SRTP_TAIL_MAX, 0);
    let sealed = caller.out.protect_rtcp(&mut buffer, length).expect("a report");
    let (rtcp, from) = (floor.key(address(local(CALLER).port() + 1)), address(peer(CALLER).port() + 1));
    floor.worker.receive(&mut floor.network, floor.now, rtcp, from, &mut room, length);
    floor.worker.receive(&mut floor.network, floor.now, rtcp, from, &mut buffer, sealed);
    floor.command(MediaCommand::Close(CALL));
    let closed = floor.events().into_iter().find_map(|event| match event {
        MediaEvent::LegClosed { report, srtp, .. } => Some((report, srtp)),
        _ => None,
    });
    let (report, srtp) = closed.expect("closed");
    assert_eq!((report.peer_fraction_lost, srtp.expect("encrypted").failed_packets), (Some(64), 1));
    assert!(report.round_trip_us.is_some());
}
