//! Proves that packets cost no allocation: relayed, recorded, played, held and reported; and what a call keeps in memory.

mod harness;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use harness::*;
use offhook_codec::opus;
use offhook_plan::tap::Side;
use offhook_plan::{CodecKind, Fork, MediaCommand, MediaPlan, Negotiated};
use offhook_units::{LegId, SampleRate, Span, Tick};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// Bytes taken and not given back.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: hands everything to the system's allocator unchanged; counting touches a plain thread-local cell only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        hold(layout.size().cast_signed());
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(-layout.size().cast_signed());
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        hold(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn hold(bytes: isize) {
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Codecs that are played, recorded and turned into each other.
const CARRIED: [CodecKind; 3] = [CodecKind::Pcmu, CodecKind::Pcma, CodecKind::G722];

#[test]
fn a_thousand_packets_relayed_recorded_played_held_and_reported_allocate_nothing() {
    CARRIED.into_iter().for_each(check);
}

/// The caller speaks PCMU, the agent another codec or the same.
fn check(agents: CodecKind) {
    let third = offhook_units::LegId(3);
    let mut floor = Floor::new();
    floor.network.only_count = true;
    let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX), plays(third, 1, &[0], true)];
    let agent = leg_plan(AGENT, Some(agreed(AGENT, agents)));
    floor.command(plan(1, vec![pcmu(CALLER), agent, pcmu(third)], edges, tapped()));
    let mut speakers = [CALLER, AGENT, third].map(Speaker::new);
    speakers[1].payload_type = agents.static_payload_type().unwrap();
    // The first packets latch, which is told: an event.
    for speaker in &mut speakers {
        speaker.say(&mut floor);
    }
    assert_eq!(floor.events().len(), 4);
    let mut packets: Vec<_> =
        speakers.iter_mut().map(|s| (floor.key(local(s.leg)), peer(s.leg), s.speech().0)).collect();
    let before = COUNT.get();
    for n in 0..1_000_u64 {
        floor.now = at(20 + n * 20);
        for (key, from, packet) in &mut packets {
            let mut datagram = [0; 172];
            datagram.copy_from_slice(packet);
            let (seq, timestamp) = ((100 + n as u16).to_be_bytes(), (50_000 + n as u32 * 160).to_be_bytes());
            datagram[2..4].copy_from_slice(&seq);
            datagram[4..8].copy_from_slice(&timestamp);
            floor.worker.receive(&mut floor.network, floor.now, *key, *from, &mut datagram, 172);
        }
        floor.worker.tick(&mut floor.network, floor.now + Span::from_ms(1));
        floor.tap.drain(usize::MAX, |_, _| ());
    }
    assert_eq!(COUNT.get() - before, 0);
    // Two legs relayed, one played to, and reports.
    assert!(floor.network.count >= 3_000, "{}", floor.network.count);
    assert_eq!(floor.worker.figures().tap_records, floor.worker.figures().received_packets / 3 * 2);
}

#[test]
fn a_thousand_packets_that_go_to_a_recorder_outside_too_allocate_nothing() {
    let mut floor = Floor::new();
    floor.network.only_count = true;
    let outside = [LegId(11), LegId(12)];
    let mut legs = vec![pcmu(CALLER), pcmu(AGENT)];
    legs.extend(outside.map(|leg| leg_plan(leg, Some(agreed(leg, CodecKind::Pcma)))));
    let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    let forks = [Side::Heard, Side::Sent].into_iter().zip(outside);
    let forks = forks.map(|(side, to)| Fork { leg: CALLER, side, to }).collect();
    let plan = MediaPlan { call: CALL, generation: 1, legs, edges, taps: tapped(), forks };
    floor.command(MediaCommand::Apply(Box::new(plan)));
    let mut speakers = [CALLER, AGENT].map(Speaker::new);
    for speaker in &mut speakers {
        speaker.say(&mut floor);
    }
    floor.events();
    let mut packets: Vec<_> =
        speakers.iter_mut().map(|s| (floor.key(local(s.leg)), peer(s.leg), s.speech().0)).collect();
    let before = COUNT.get();
    for n in 0..1_000_u64 {
        floor.now = at(20 + n * 20);
        for (key, from, packet) in &mut packets {
            let mut datagram = [0; 172];
            datagram.copy_from_slice(packet);
            let (seq, timestamp) = ((101 + n as u16).to_be_bytes(), (50_160 + n as u32 * 160).to_be_bytes());
            datagram[2..4].copy_from_slice(&seq);
            datagram[4..8].copy_from_slice(&timestamp);
            floor.worker.receive(&mut floor.network, floor.now, *key, *from, &mut datagram, 172);
        }
        floor.tap.drain(usize::MAX, |_, _| ());
    }
    assert_eq!(COUNT.get() - before, 0);
    // Each is heard by the other one, and by the recorder.
    assert_eq!(floor.network.count, 4_004);
}

#[test]
fn a_thousand_packets_of_a_conference_of_three_allocate_nothing() {
    [CodecKind::Pcmu, CodecKind::G722].into_iter().for_each(check_conference);
}

/// The caller speaks PCMU, the agent G.722 and the third one this.
fn check_conference(thirds: CodecKind) {
    let third = offhook_units::LegId(3);
    let mut floor = Floor::new();
    floor.network.only_count = true;
    let legs = [CALLER, AGENT, third];
    let edges = legs.iter().flat_map(|to| legs.iter().filter(move |from| *from != to).map(|from| (*to, *from)));
    let edges = edges.map(|(to, from)| hears(to, from, Tick::MAX)).chain([plays(CALLER, 1, &[0], true)]).collect();
    let wide = leg_plan(AGENT, Some(agreed(AGENT, CodecKind::G722)));
    let third = leg_plan(third, Some(agreed(third, thirds)));
    floor.command(plan(1, vec![pcmu(CALLER), wide, third], edges, tapped()));
    let mut speakers = legs.map(Speaker::new);
    speakers[1].payload_type = 9;
    speakers[2].payload_type = thirds.static_payload_type().unwrap();
    for speaker in &mut speakers {
        speaker.say(&mut floor);
    }
    floor.events();
    let mut packets: Vec<_> =
        speakers.iter_mut().map(|s| (floor.key(local(s.leg)), peer(s.leg), s.speech().0)).collect();
    let before = COUNT.get();
    for n in 0..1_000_u64 {
        floor.now = at(20 + n * 20);
        for (key, from, packet) in &mut packets {
            let mut datagram = [0; 172];
            datagram.copy_from_slice(packet);
            datagram[2..4].copy_from_slice(&(100 + n as u16).to_be_bytes());
            datagram[4..8].copy_from_slice(&(50_000 + n as u32 * 160).to_be_bytes());
            floor.worker.receive(&mut floor.network, floor.now, *key, *from, &mut datagram, 172);
        }
        floor.run_to(at(39 + n * 20));
        floor.tap.drain(usize::MAX, |_, _| ());
    }
    assert_eq!(COUNT.get() - before, 0);
    assert!((2_950..3_400).contains(&floor.network.count), "{}", floor.network.count);
}

#[test]
fn a_thousand_packets_listened_to_for_keys_and_keys_made_to_sound_allocate_nothing() {
    use offhook_rtp::TelephoneEvent;

    for (codec, mixes) in CARRIED.into_iter().flat_map(|codec| [(codec, false), (codec, true)]) {
        let mut floor = Floor::new();
        floor.network.only_count = true;
        // The agent hears keys as tones; another leg, whom nobody hears, is listened to.
        let silent_about_keys = |leg| Some(Negotiated { telephone_event: None, ..agreed(leg, codec) });
        let (agent, third) = (leg_plan(AGENT, silent_about_keys(AGENT)), offhook_units::LegId(3));
        let listened_to = leg_plan(third, silent_about_keys(third));
        let mut edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
        edges.extend(mixes.then(|| plays(AGENT, 1, &[0], true)));
        floor.command(plan(1, vec![pcmu(CALLER), agent, listened_to], edges, tapped()));
        let (caller, said) = (Speaker::new(CALLER), codec.static_payload_type().unwrap());
        let sent = |n: u32, leg, payload_type, payload: &[u8]| {
            let (seq, timestamp) = (n as u16, 50_000 + n * 160);
            Speaker { leg, seq, timestamp, ..Speaker::new(leg) }.packet(payload_type, false, payload)
        };
        let event = TelephoneEvent { event: 5, end: true, volume: 10, duration: 160 }.encode();
        let mut packets: Vec<_> = (0..1_000_u32)
            .map(|n| {
                let speech = |leg| sent(n, leg, said, &caller.payload());
                [speech(AGENT), sent(n, CALLER, 101, &event), speech(third)]
            })
            .map(|all| all.map(|packet| [packet, vec![0; 20]].concat()))
            .collect();
        let keys = [CALLER, AGENT, third].map(|leg| floor.key(local(leg)));
        let mut before = 0;
        for (n, [speech, key, heard]) in packets.iter_mut().enumerate() {
            floor.now = at(20 + n as u64 * 20);
            floor.worker.receive(&mut floor.network, floor.now, keys[2], peer(third), heard, 172);
            floor.worker.receive(&mut floor.network, floor.now, keys[1], peer(AGENT), speech, 172);
            floor.worker.receive(&mut floor.network, floor.now, keys[0], peer(CALLER), key, 16);
            floor.run_to(at(39 + n as u64 * 20));
            // Keys are told, and levels now and then: events, which are taken as they come.
            let events = std::iter::from_fn(|| floor.worker.poll_event()).count();
            assert!(n == 0 || events <= 3);
            floor.tap.drain(usize::MAX, |_, _| ());
            if n == 0 {
                before = COUNT.get();
            }
        }
        assert_eq!(COUNT.get() - before, 0, "{codec:?}, mix {mixes}");
        assert!(floor.network.count >= 2_000, "{}", floor.network.count);
    }
}

#[test]
fn a_thousand_packets_turned_from_opus_into_g711_and_back_or_passed_on_and_measured_allocate_nothing() {
    [CodecKind::Pcmu, CodecKind::Opus].into_iter().for_each(check_opus);
}

fn opus_of(leg: offhook_units::LegId) -> offhook_plan::LegPlan {
    let (codec, send_payload_type, recv_payload_type) = (CodecKind::Opus, 111, 111);
    let agreed = agreed(leg, CodecKind::Pcmu);
    leg_plan(leg, Some(Negotiated { codec, send_payload_type, recv_payload_type, telephone_event: None, ..agreed }))
}

/// The agent has Opus, the caller this codec.
fn check_opus(callers: CodecKind) {
    let mut floor = Floor::new();
    floor.network.only_count = true;
    let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    let caller = if callers == CodecKind::Opus { opus_of(CALLER) } else { pcmu(CALLER) };
    floor.command(plan(1, vec![caller, opus_of(AGENT)], edges, tapped()));
    let mut encoder = opus::Encoder::new(&opus::Settings::voice(SampleRate::NARROW)).unwrap();
    let pcm: Vec<i16> = (0..160_i32).map(|n| ((n * n * 37) % 9_000 - 4_500) as i16).collect();
    let mut said = [0; opus::PACKET_BYTES_MAX];
    let opus::Encoded::Packet(bytes) = encoder.encode(&pcm, &mut said).unwrap() else { panic!("a pause") };
    let mut speakers = [CALLER, AGENT].map(Speaker::new);
    let of_opus = (111, said[..bytes].to_vec());
    let of_caller = if callers == CodecKind::Opus { of_opus.clone() } else { (0, vec![0x55; 160]) };
    let mut packets: Vec<_> = [of_caller, of_opus]
        .into_iter()
        .zip(&mut speakers)
        .map(|((payload_type, payload), speaker)| {
            let packet = speaker.packet(payload_type, false, &payload);
            (floor.key(local(speaker.leg)), peer(speaker.leg), packet, if payload_type == 0 { 160 } else { 960 })
        })
        .collect();
    let mut before = 0;
    for n in 0..1_100_u32 {
        // The first packets latch, which is told, and fill what is made with the call.
        if n == 100 {
            floor.events();
            before = COUNT.get();
        }
        floor.now = at(20 + u64::from(n) * 20);
        for (key, from, packet, units) in &mut packets {
            let mut datagram = [0; 400];
            datagram[..packet.len()].copy_from_slice(packet);
            datagram[2..4].copy_from_slice(&(100 + n as u16).to_be_bytes());
            datagram[4..8].copy_from_slice(&(n * *units).to_be_bytes());
            floor.worker.receive(&mut floor.network, floor.now, *key, *from, &mut datagram, packet.len());
        }
        floor.run_to(at(39 + u64::from(n) * 20));
        floor.tap.drain(usize::MAX, |_, _| ());
    }
    assert_eq!(COUNT.get() - before, 0);
    assert!(floor.network.count >= 2_150, "{}", floor.network.count);
}

#[test]
fn a_listeners_buffer_allocates_nothing_through_loss_jitter_pauses_and_stretching() {
    use offhook_codec::{G711, Law};
    use offhook_media::{JitterBuffer, JitterConfig};
    use offhook_rtp::{Header, Packet};
    use offhook_units::{RtpSeq, RtpTime};

    let mut buffer = JitterBuffer::new(JitterConfig::default());
    let mut decoder = G711::new(Law::Mu);
    let (payload, mut out) = ([0x55; 160], [0; 80]);
    let before = COUNT.get();
    for n in 0..2_000_u64 {
        // One in ten is lost, one in seven comes a packet later, and the source changes once.
        let ssrc = u32::from(n > 1_500);
        for sent in [(n % 7 != 0).then_some(n), (n % 7 == 1 && n > 0).then(|| n - 1)].into_iter().flatten() {
            if sent % 10 != 3 {
                let (seq, timestamp) = (RtpSeq(sent as u16), RtpTime(sent as u32 * 160));
                let header = Header { payload_type: 0, marker: false, seq, timestamp, ssrc };
                let packet = Packet { header, payload: &payload, payload_at: 12 };
                // One in fifty announces a pause.
                if sent % 50 == 6 {
                    buffer.push_noise(at(n * 20), &packet)
                } else {
                    buffer.push(at(n * 20), &packet)
                };
            }
        }
        buffer.pull(at(n * 20 + 4), &mut decoder, &mut out);
        buffer.pull(at(n * 20 + 14), &mut decoder, &mut out);
    }
    assert_eq!(COUNT.get() - before, 0);
    assert!(buffer.stats().concealed_pulls > 100 && buffer.stats().noise_pulls > 20, "{:?}", buffer.stats());
}

#[test]
fn a_call_of_two_keeps_at_most_8_kib_while_they_talk_and_48_kib_while_one_waits() {
    use offhook_units::{CallId, LegId};

    let mut floor = Floor::new();
    floor.network.only_count = true;
    let legs = |call: u64| [LegId(2 * call), LegId(2 * call + 1)];
    let kept = |floor: &mut Floor, generation: u32, talk: bool| {
        let before = HELD.get();
        for call in 1..=100_u64 {
            let [caller, agent] = legs(call);
            let talks = vec![hears(caller, agent, Tick::MAX), hears(agent, caller, Tick::MAX)];
            let waits = vec![plays(caller, call, &[0], true)];
            let both = vec![pcmu(caller), pcmu(agent)];
            let mut wanted = plan(generation, both, if talk { talks } else { waits }, Vec::new());
            if let offhook_plan::MediaCommand::Apply(plan) = &mut wanted {
                plan.call = CallId(call);
            }
            floor.command(wanted);
        }
        while floor.worker.poll_event().is_some() {}
        (HELD.get() - before) / 100
    };
    let waiting = kept(&mut floor, 1, false);
    let talking = waiting + kept(&mut floor, 2, true);
    println!("bytes a call: {waiting} while it waits, {talking} in talk");
    assert!(talking <= 8 << 10, "{talking}");
    assert!(waiting <= 48 << 10, "{waiting}");
    let again = talking + kept(&mut floor, 3, false);
    assert!((again - waiting).abs() < 1 << 10, "{again} and {waiting}");
}
