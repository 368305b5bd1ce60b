//! Comfort noise (RFC 3389): passed on between two who know it, made to sound for who does not, and never taken for loss or a dead
//! line.

mod harness;

use core::f64::consts::TAU;

use harness::*;
use offhook_codec::Law;
use offhook_plan::{CodecKind, LegPlan, MediaEvent, Negotiated};
use offhook_rtp::Header;
use offhook_units::{LegId, Span, Tick};

/// 42 dB below overload, coloured a little.
const TOLD: [u8; 3] = [42, 70, 140];

fn leg(leg: LegId, codec: CodecKind, comfort_noise: bool) -> LegPlan {
    leg_plan(leg, Some(Negotiated { comfort_noise, ..agreed(leg, codec) }))
}

fn talk_of(floor: &mut Floor, caller: (CodecKind, bool), agent: (CodecKind, bool)) {
    let legs = vec![leg(CALLER, caller.0, caller.1), leg(AGENT, agent.0, agent.1)];
    let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    floor.command(plan(1, legs, edges, tapped()));
}

/// A caller who says a tone, and pauses.
struct Caller {
    speaker: Speaker,
    said: Vec<i16>,
}

impl Caller {
    fn new() -> Self {
        Self { speaker: Speaker::new(CALLER), said: Vec::new() }
    }

    fn says(&mut self, floor: &mut Floor, packets: u64) {
        for _ in 0..packets {
            let from = self.said.len();
            let second = |n: usize| n as f64 / 8_000.0;
            let sample = |n| 6_000.0 * (TAU * 310.0 * second(n) + 3.0 * (TAU * 1.7 * second(n)).sin()).sin();
            let payload: Vec<u8> = (from..from + 160).map(|n| Law::Mu.encode(sample(n) as i16)).collect();
            self.said.extend(payload.iter().map(|byte| Law::Mu.decode(*byte)));
            self.sends(floor, 0, &payload);
            floor.run_to(floor.now + Span::from_ms(20));
        }
    }

    fn sends(&mut self, floor: &mut Floor, payload_type: u8, payload: &[u8]) {
        let packet = self.speaker.packet(payload_type, false, payload);
        self.speaker.seq = self.speaker.seq.wrapping_add(1);
        self.speaker.timestamp = self.speaker.timestamp.wrapping_add(160);
        floor.receive(CALLER, peer(CALLER), &packet);
    }

    /// One packet of noise, and nothing else for so long.
    fn pauses(&mut self, floor: &mut Floor, ms: u64) {
        let ends = floor.now + Span::from_ms(ms);
        self.sends(floor, 13, &TOLD);
        self.speaker.timestamp = self.speaker.timestamp.wrapping_add(ms as u32 * 8 - 160);
        floor.run_to(ends);
    }
}

/// How often the caller was told silent since the last time; the agent never says a word.
fn silences(floor: &mut Floor) -> usize {
    floor.events().iter().filter(|event| matches!(event, MediaEvent::Silent { leg: CALLER, .. })).count()
}

fn lost(floor: &mut Floor) -> (u64, u64) {
    floor.command(plan(9, Vec::new(), Vec::new(), Vec::new()));
    let closed = floor.events().into_iter().find_map(|event| match event {
        MediaEvent::LegClosed { leg: CALLER, report, .. } => Some((report.lost_packets, report.discarded_packets)),
        _ => None,
    });
    closed.unwrap()
}

fn dbov(pcm: &[i16]) -> f64 {
    let power = pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / pcm.len() as f64;
    10.0 * (power / 32_768.0_f64.powi(2)).log10()
}

fn pcm(heard: &[(Header, Vec<u8>)], law: Law) -> Vec<i16> {
    heard.iter().flat_map(|(_, payload)| payload.iter().map(move |byte| law.decode(*byte))).collect()
}

#[test]
fn noise_between_two_who_know_it_is_passed_on_as_it_came_in_its_place_and_recorded_as_noise() {
    let mut floor = Floor::new();
    talk_of(&mut floor, (CodecKind::Pcmu, true), (CodecKind::Pcma, true));
    assert_eq!(floor.worker.figures().mixing, 0);
    let mut caller = Caller::new();
    caller.says(&mut floor, 5);
    caller.pauses(&mut floor, 3_000);
    caller.says(&mut floor, 5);
    let heard = floor.heard_by(AGENT);
    assert_eq!(heard.len(), 11);
    for (n, pair) in heard.windows(2).enumerate() {
        let step = if n == 5 { 24_000 } else { 160 };
        assert_eq!(pair[1].0.seq.0, pair[0].0.seq.0.wrapping_add(1));
        assert_eq!(pair[1].0.timestamp.distance(pair[0].0.timestamp), step, "{n}");
    }
    assert_eq!((heard[5].0.payload_type, heard[5].1.as_slice(), heard[5].0.marker), (13, &TOLD[..], false));
    assert_eq!(pcm(&heard[..5], Law::A).len(), 800);
    let noise = floor.recorded().into_iter().filter(|(header, _)| header.payload_type == 13);
    assert_eq!(noise.map(|(_, payload)| payload).collect::<Vec<_>>(), [TOLD]);
    assert_eq!((silences(&mut floor), lost(&mut floor)), (0, (0, 0)));
}

#[test]
fn who_does_not_know_noise_hears_it_in_its_own_codec_at_its_level_and_no_word_less() {
    for (kind, law) in [(CodecKind::Pcmu, Law::Mu), (CodecKind::Pcma, Law::A)] {
        let mut floor = Floor::new();
        talk_of(&mut floor, (CodecKind::Pcmu, true), (kind, false));
        let mut caller = Caller::new();
        caller.says(&mut floor, 30);
        caller.pauses(&mut floor, 3_000);
        caller.says(&mut floor, 30);
        let heard = floor.heard_by(AGENT);
        assert!(heard.iter().all(|(header, payload)| header.payload_type != 13 && payload.len() == 160));
        for pair in heard.windows(2) {
            assert_eq!(pair[1].0.timestamp.distance(pair[0].0.timestamp), 160, "a hole");
        }
        // 4.2 s, less what the buffer waits for and what waits to fill a packet.
        assert!((206..=210).contains(&heard.len()), "{}", heard.len());
        let pcm = pcm(&heard, law);
        let pause = &pcm[5_200..28_000];
        assert!((dbov(pause) + 42.0).abs() < 0.7, "{}", dbov(pause));
        if law == Law::Mu {
            // Both parts are there, to the sample, with the length of the pause between.
            let place = |part: &[i16]| pcm.windows(part.len()).position(|window| window == part);
            let (before, after) = (place(&caller.said[400..4_800]), place(&caller.said[4_800..9_000]));
            assert_eq!(after.zip(before).map(|(after, before)| after - before), Some(4_400 + 24_000));
        }
        assert_eq!((silences(&mut floor), lost(&mut floor)), (0, (0, 0)));
    }
}

#[test]
fn noise_that_nobody_agreed_on_is_neither_loss_nor_a_dead_line_and_is_not_passed_on() {
    let mut floor = Floor::new();
    talk_of(&mut floor, (CodecKind::Pcmu, false), (CodecKind::Pcmu, false));
    let mut caller = Caller::new();
    caller.says(&mut floor, 5);
    caller.pauses(&mut floor, 29_000);
    assert_eq!(silences(&mut floor), 0);
    caller.says(&mut floor, 5);
    let heard = floor.heard_by(AGENT);
    assert!(heard.len() == 10 && heard.iter().all(|(header, _)| header.payload_type == 0));
    assert!(heard.windows(2).all(|pair| pair[1].0.seq.0 == pair[0].0.seq.0.wrapping_add(1)));
    // The pause itself goes over into a dead line after half a minute; speech that ends without a word does so at once.
    caller.pauses(&mut floor, 31_000);
    assert_eq!(silences(&mut floor), 1);
    caller.says(&mut floor, 5);
    floor.run_to(floor.now + Span::from_ms(2_000));
    assert_eq!((silences(&mut floor), lost(&mut floor)), (1, (0, 0)));
}

#[test]
fn a_conference_hears_the_pause_of_one_as_noise_beside_the_speech_of_another() {
    let mut floor = Floor::new();
    let third = LegId(3);
    let legs = vec![leg(CALLER, CodecKind::Pcmu, true), pcmu(AGENT), pcmu(third)];
    let edges = vec![hears(third, CALLER, Tick::MAX), hears(third, AGENT, Tick::MAX)];
    floor.command(plan(1, legs, edges, Vec::new()));
    let mut caller = Caller::new();
    caller.says(&mut floor, 10);
    caller.pauses(&mut floor, 1_000);
    caller.says(&mut floor, 10);
    let pcm = pcm(&floor.heard_by(third), Law::Mu);
    assert!((dbov(&pcm[2_400..8_800]) + 42.0).abs() < 1.0, "{}", dbov(&pcm[2_400..8_800]));
}
