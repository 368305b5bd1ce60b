//! What peers do to a worker: keys, new addresses, strangers, reports, nonsense.

mod harness;

use harness::*;
use offhook_media::SocketKey;
use offhook_plan::tap::Side;
use offhook_plan::{MediaEvent, Tap};
use offhook_rtp::{ReportWriter, SenderInfo, TelephoneEvent, ntp_of, read_reports};
use offhook_units::{Entropy, RecordingId, RtpTime, Tick};

/// The packets of one key press, each 20 ms, the end three times (RFC 4733 section 2.5.1.4).
fn key(speaker: &mut Speaker, digit: char, packets: u16) -> Vec<Vec<u8>> {
    let event = TelephoneEvent::event_of(digit).unwrap();
    let mut out = Vec::new();
    for n in 0..packets + 3 {
        let end = n >= packets;
        let payload = TelephoneEvent { event, end, volume: 10, duration: 160 * (n.min(packets) + 1) }.encode();
        out.push(speaker.packet(101, n == 0, &payload));
        speaker.seq = speaker.seq.wrapping_add(1);
    }
    speaker.timestamp += 160 * u32::from(packets + 3);
    out
}

fn digits(floor: &mut Floor) -> String {
    floor
        .events()
        .iter()
        .filter_map(|event| if let MediaEvent::Digit { digit, .. } = event { Some(*digit) } else { None })
        .collect()
}

#[test]
fn each_key_is_told_once_whichever_of_its_packets_are_lost_late_or_doubled() {
    let mut entropy = Entropy::from_number(3);
    for _ in 0..100 {
        let mut floor = Floor::new();
        let mut caller = Speaker::new(CALLER);
        floor.command(talk(1, Tick::MAX));
        let mut ms = 0;
        for digit in "1599#".chars() {
            let mut packets = key(&mut caller, digit, 4);
            let survivor = entropy.below(packets.len() as u64) as usize;
            let mut place = 0..;
            packets.retain(|_| place.next() == Some(survivor) || entropy.below(2) == 0);
            for _ in 0..2 {
                let pick = packets[entropy.below(packets.len() as u64) as usize].clone();
                packets.push(pick);
            }
            for packet in packets {
                ms += 20;
                floor.run_to(at(ms));
                floor.receive(CALLER, peer(CALLER), &packet);
            }
            ms += 60;
        }
        assert_eq!(digits(&mut floor), "1599#");
    }
}

#[test]
fn keys_are_relayed_with_the_other_sides_payload_type_or_as_speech_without_a_gap() {
    for other_side in [Some((96, 97)), None] {
        let mut floor = Floor::new();
        let mut caller = Speaker::new(CALLER);
        let mut agent_leg = pcmu(AGENT);
        agent_leg.negotiated.as_mut().unwrap().telephone_event = other_side;
        floor.command(plan(1, vec![pcmu(CALLER), agent_leg], vec![hears(AGENT, CALLER, Tick::MAX)], vec![]));
        for n in 0..3 {
            floor.run_to(at(n * 20));
            caller.say(&mut floor);
        }
        for (n, packet) in key(&mut caller, '5', 4).iter().enumerate() {
            floor.run_to(at(60 + n as u64 * 20));
            floor.receive(CALLER, peer(CALLER), packet);
        }
        floor.run_to(at(200));
        caller.say(&mut floor);
        let heard = floor.heard_by(AGENT);
        let types: Vec<_> = heard.iter().map(|(h, _)| h.payload_type).collect();
        let seqs_follow = heard.windows(2).all(|pair| pair[1].0.seq.distance(pair[0].0.seq) == 1);
        assert!(seqs_follow);
        if other_side.is_some() {
            assert_eq!(types, [0, 0, 0, 96, 96, 96, 96, 96, 96, 96, 0]);
            assert!(heard[3].0.marker && heard[3..10].windows(2).all(|p| p[0].0.timestamp == p[1].0.timestamp));
        } else {
            // Five packets make it longer; two say again that it is over.
            assert_eq!(types, [0; 9]);
        }
        assert_eq!(digits(&mut floor), "5");
    }
}

#[test]
fn a_recording_is_told_that_there_were_packets_of_a_key_and_not_which_key() {
    let mut floor = Floor::new();
    let mut caller = Speaker::new(CALLER);
    let mut agent_leg = pcmu(AGENT);
    agent_leg.negotiated.as_mut().unwrap().telephone_event = Some((96, 97));
    let edges = vec![hears(AGENT, CALLER, Tick::MAX)];
    let tap = |leg| Tap { recording: RecordingId(1), leg, heard_as: Side::Heard };
    floor.command(plan(1, vec![pcmu(CALLER), agent_leg], edges, vec![tap(CALLER), tap(AGENT)]));
    caller.say(&mut floor);
    for (n, packet) in key(&mut caller, '5', 4).iter().enumerate() {
        floor.run_to(at(20 + n as u64 * 20));
        floor.receive(CALLER, peer(CALLER), packet);
    }
    floor.run_to(at(160));
    caller.say(&mut floor);
    let records = floor.recorded();
    for (side, payload_type) in [(Side::Heard, 101), (Side::Sent, 96)] {
        let of: Vec<_> = records.iter().filter(|(header, _)| header.side == side).collect();
        assert!(of.windows(2).all(|pair| pair[1].0.seq.wrapping_sub(pair[0].0.seq) == 1), "nothing is missing");
        let keys: Vec<_> = of.iter().filter(|(header, _)| header.payload_type == payload_type).collect();
        assert_eq!((of.len(), keys.len()), (9, 7), "{side:?}");
        assert!(keys.iter().all(|(_, payload)| payload == &[0; 4]), "the key is in the recording");
    }
}

#[test]
fn the_tail_of_a_key_that_chose_the_queue_is_not_heard_by_the_agent_but_the_next_key_is() {
    let mut floor = Floor::new();
    let mut caller = Speaker::new(CALLER);
    floor.command(plan(1, vec![pcmu(CALLER), pcmu(AGENT)], vec![plays(CALLER, 1, &[0], true)], vec![]));
    let mut ms = 0;
    for (n, packet) in key(&mut caller, '2', 4).iter().enumerate() {
        if n == 3 {
            floor.command(talk(2, at(ms)));
        }
        ms += 20;
        floor.run_to(at(ms));
        floor.receive(CALLER, peer(CALLER), packet);
    }
    caller.say(&mut floor);
    for packet in key(&mut caller, '7', 2) {
        ms += 20;
        floor.run_to(at(ms));
        floor.receive(CALLER, peer(CALLER), &packet);
    }
    let types: Vec<_> = floor.heard_by(AGENT).iter().map(|(header, _)| header.payload_type).collect();
    assert_eq!(types, [0, 101, 101, 101, 101, 101]);
    assert_eq!(digits(&mut floor), "27");
}

#[test]
fn a_stranger_gets_nothing_until_the_peer_has_been_silent_for_200_ms() {
    let mut floor = Floor::new();
    let mut agent = Speaker::new(AGENT);
    floor.command(talk(1, Tick::MAX));
    // Behind a NAT: not where signalling said.
    let (nat, stranger) = (address(50_000), address(50_002));
    let mut say = |floor: &mut Floor, ms: u64, from| {
        floor.run_to(at(ms));
        let (packet, _) = agent.speech();
        floor.receive(AGENT, from, &packet);
    };
    say(&mut floor, 0, nat);
    say(&mut floor, 20, stranger);
    say(&mut floor, 40, nat);
    say(&mut floor, 230, stranger);
    say(&mut floor, 245, stranger);
    let latches = |floor: &mut Floor| -> Vec<_> {
        let from = |event| if let MediaEvent::Latched { from, .. } = event { Some(from) } else { None };
        floor.events().into_iter().filter_map(from).collect()
    };
    assert_eq!(latches(&mut floor), [nat, stranger]);
    assert_eq!(floor.heard_by(CALLER).len(), 3);
    // Signalling's own word counts at once.
    say(&mut floor, 250, peer(AGENT));
    assert_eq!(latches(&mut floor), [peer(AGENT)]);

    // Sound for the leg follows the latched address; a new address in signalling is believed over it.
    let mut caller = Speaker::new(CALLER);
    caller.say(&mut floor);
    assert_eq!(floor.network.sent.last().unwrap().to, peer(AGENT));
    let mut moved = pcmu(AGENT);
    moved.negotiated.as_mut().unwrap().remote_rtp = address(51_000);
    let edges = vec![hears(AGENT, CALLER, Tick::MAX)];
    floor.command(plan(2, vec![pcmu(CALLER), moved], edges, vec![]));
    caller.say(&mut floor);
    assert_eq!(floor.network.sent.last().unwrap().to, address(51_000));
}

#[test]
fn reports_go_out_every_5_s_on_average_and_carry_what_is_heard() {
    let mut floor = Floor::new();
    let mut agent = Speaker::new(AGENT);
    floor.command(talk(1, Tick::MAX));
    for n in 0..3_000_u64 {
        floor.run_to(at(n * 20));
        agent.say(&mut floor);
    }
    let rtcp = floor.key(address(local(AGENT).port() + 1));
    let to_agent: Vec<_> = floor.network.sent.iter().filter(|sent| sent.key == rtcp).collect();
    assert!((8..=17).contains(&to_agent.len()), "{}", to_agent.len());
    assert!(to_agent.iter().all(|sent| sent.to == address(peer(AGENT).port() + 1)));
    let heard = read_reports(&to_agent.last().unwrap().bytes, agent.ssrc).unwrap();
    assert_eq!(heard.fraction_lost, Some(0));
    // Nothing was sent to the agent, so these are receiver reports; the caller's are sender reports.
    assert_eq!(heard.sender_ntp_mid, None);
    let rtcp = floor.key(address(local(CALLER).port() + 1));
    let to_caller = floor.network.sent.iter().rfind(|sent| sent.key == rtcp).unwrap();
    assert!(read_reports(&to_caller.bytes, 0).unwrap().sender_ntp_mid.is_some());
}

#[test]
fn what_a_peer_reports_stands_in_the_legs_figures() {
    let mut floor = Floor::new();
    let (mut caller, mut agent) = (Speaker::new(CALLER), Speaker::new(AGENT));
    floor.command(talk(1, Tick::MAX));
    for n in 0..1_000_u64 {
        floor.run_to(at(n * 20));
        caller.say(&mut floor);
        agent.say(&mut floor);
    }
    let rtcp = floor.key(address(local(CALLER).port() + 1));
    let ours = floor.network.sent.iter().rfind(|sent| sent.key == rtcp).unwrap().bytes.clone();
    let lsr = read_reports(&ours, 0).unwrap().sender_ntp_mid.unwrap();
    let sender = SenderInfo { ntp: ntp_of(floor.now), timestamp: RtpTime(1), packets: 1, octets: 160 };
    let report = offhook_rtp::Report { ssrc: 0xaaaa_0001, fraction_lost: 25, jitter: 80, ..Default::default() };
    let mut out = [0; offhook_rtp::REPORT_BYTES_MAX];
    let writer = ReportWriter {
        ssrc: caller.ssrc,
        sender: Some(sender),
        block: Some((report, lsr, 0)),
        cname: "x",
        metrics: None,
        bye: false,
    };
    let length = writer.write(&mut out);
    // From a stranger's host it counts for nothing.
    let stranger = "127.0.0.9:999".parse().unwrap();
    floor.worker.receive(&mut floor.network, floor.now, rtcp, stranger, &mut { out }, length);
    let from = address(peer(CALLER).port() + 1);
    for _ in 0..10 {
        // Reports within a second count as one second together.
        floor.worker.receive(&mut floor.network, floor.now, rtcp, from, &mut { out }, length);
    }
    floor.command(offhook_plan::MediaCommand::Close(CALL));
    let report = floor.events().into_iter().find_map(|event| match event {
        MediaEvent::LegClosed { leg: CALLER, report, speech, .. } => Some((report, speech)),
        _ => None,
    });
    let (report, speech) = report.unwrap();
    assert_eq!((report.peer_fraction_lost, report.discarded_packets), (Some(25), 1));
    assert!(report.round_trip_us.is_some_and(|us| us < 8_000_000), "{:?}", report.round_trip_us);
    // 9.8 % lost: R = 93.2 - 95 * 9.77 / (9.77 + 25.1) = 66.6, and the delay of one way.
    let sent = speech.sent;
    assert_eq!((sent.good_s, sent.fair_s, sent.poor_s), (0, 0, 1), "{sent:?}");
    assert!((1.0..3.45).contains(&sent.mos().unwrap()), "{sent:?}");
    // The last second is rated with the round trip, which is seconds here.
    let heard = speech.heard;
    assert_eq!((heard.good_s, heard.poor_s), (19, 1), "{heard:?}");
    // The stream was ended with a BYE.
    assert!(read_reports(&floor.network.sent.last().unwrap().bytes, 0).unwrap().bye);
}

#[test]
fn each_second_heard_is_rated_an_outage_as_long_as_it_was_and_silence_not_at_all() {
    let mut floor = Floor::new();
    let mut caller = Speaker::new(CALLER);
    floor.command(talk(1, Tick::MAX));
    let mut ms = 0;
    let mut say = |floor: &mut Floor, pause_ms: u64, packets: u64, comes: &dyn Fn(u64) -> bool| {
        ms += pause_ms;
        for packet in 0..packets {
            floor.run_to(at(ms));
            ms += 20;
            let (speech, _) = caller.speech();
            if comes(packet) {
                floor.receive(CALLER, peer(CALLER), &speech);
            }
        }
    };
    say(&mut floor, 0, 500, &|_| true);
    // A tenth of 3 s is lost, then all of 4 s.
    say(&mut floor, 0, 150, &|packet| packet % 10 != 0);
    say(&mut floor, 0, 200, &|_| false);
    say(&mut floor, 0, 250, &|_| true);
    // The phone sends nothing for 5 s, and loses nothing.
    say(&mut floor, 5_000, 150, &|_| true);
    floor.command(offhook_plan::MediaCommand::Close(CALL));
    let speech = floor.events().into_iter().find_map(|event| match event {
        MediaEvent::LegClosed { leg: CALLER, speech, .. } => Some(speech),
        _ => None,
    });
    let quality = speech.unwrap().heard;
    assert!((24..=26).contains(&quality.seconds()), "{quality:?}");
    assert!((17..=19).contains(&quality.good_s) && (6..=8).contains(&quality.poor_s), "{quality:?}");
    assert!(quality.mos_worst_x100 < 140, "{quality:?}");
}

#[test]
fn ten_thousand_mutated_packets_neither_stop_the_worker_nor_make_it_grow() {
    let mut entropy = Entropy::from_number(11);
    let mut floor = Floor::new();
    let (mut caller, mut agent) = (Speaker::new(CALLER), Speaker::new(AGENT));
    floor.command(talk(1, Tick::MAX));
    let sender = SenderInfo { ntp: ntp_of(at(0)), timestamp: RtpTime(1), packets: 1, octets: 160 };
    let mut report = [0; offhook_rtp::REPORT_BYTES_MAX];
    let block = Some((offhook_rtp::Report { ssrc: 0xaaaa_0001, ..Default::default() }, 1, 2));
    let length =
        ReportWriter { ssrc: 3, sender: Some(sender), block, cname: "x", metrics: None, bye: true }.write(&mut report);
    for n in 0..10_000_u64 {
        floor.run_to(at(n * 5));
        let mut packet = match entropy.below(3) {
            0 => caller.speech().0,
            1 => key(&mut caller, '7', 1).remove(0),
            _ => report[..length].to_vec(),
        };
        for _ in 0..entropy.below(8) {
            let place = entropy.below(packet.len() as u64) as usize;
            packet[place] = entropy.next_u32() as u8;
        }
        match entropy.below(4) {
            0 => packet.truncate(entropy.below(packet.len() as u64 + 1) as usize),
            1 => packet.extend((0..entropy.below(1_500)).map(|n| n as u8)),
            _ => {}
        }
        let sockets = [local(CALLER), address(local(CALLER).port() + 1)];
        let key = floor.key(sockets[entropy.below(2) as usize]);
        let from = if entropy.below(10) == 0 { address(entropy.next_u32() as u16) } else { peer(CALLER) };
        let length = packet.len();
        floor.worker.receive(&mut floor.network, floor.now, key, from, &mut packet, length);
        floor.worker.receive(
            &mut floor.network,
            floor.now,
            SocketKey::from_index(entropy.below(64) as usize),
            from,
            &mut packet,
            length,
        );
        floor.network.sent.clear();
    }
    assert!(floor.events().len() < 10_000);
    // The call still works, both ways.
    floor.run_to(at(60_000));
    let said = agent.say(&mut floor);
    assert_eq!(floor.heard_by(CALLER)[0].1, said);
}
