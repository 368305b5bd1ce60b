//! Several heard at once: listening in, whispering, conferences, a prompt over a call; and back to relaying, without a click or
//! a lost word.

mod harness;

use core::f64::consts::TAU;

use harness::*;
use offhook_codec::Law;
use offhook_plan::{CodecKind, Edge, LegPlan, MediaEvent, Source};
use offhook_rtp::Header;
use offhook_units::{LegId, PlayerId, Span, Tick};

const BOSS: LegId = LegId(3);

/// Somebody who says a tone, packet after packet.
struct Voice {
    speaker: Speaker,
    hertz: f64,
    peak: f64,
    said: Vec<i16>,
}

impl Voice {
    fn new(leg: LegId, hertz: f64, peak: f64) -> Self {
        Self { speaker: Speaker::new(leg), hertz, peak, said: Vec::new() }
    }

    /// The next 20 ms. The tone goes up and down a little, so that no two pieces of it are the same.
    fn say(&mut self, floor: &mut Floor) {
        let from = self.said.len();
        let pcm: Vec<i16> = (from..from + 160)
            .map(|n| {
                let second = n as f64 / 8_000.0;
                (self.peak * (TAU * self.hertz * second + 3.0 * (TAU * 1.7 * second).sin()).sin()) as i16
            })
            .collect();
        let payload: Vec<u8> = pcm.iter().map(|sample| Law::Mu.encode(*sample)).collect();
        self.said.extend(payload.iter().map(|byte| Law::Mu.decode(*byte)));
        let packet = self.speaker.packet(0, false, &payload);
        self.speaker.seq = self.speaker.seq.wrapping_add(1);
        self.speaker.timestamp = self.speaker.timestamp.wrapping_add(160);
        floor.receive(self.speaker.leg, peer(self.speaker.leg), &packet);
    }
}

/// All say their tones for `ms`, each at a phase of its own.
fn talk_for(floor: &mut Floor, voices: &mut [Voice], ms: u64) {
    for _ in 0..ms / 20 {
        let begin = floor.now;
        for (n, voice) in voices.iter_mut().enumerate() {
            floor.run_to(begin + Span::from_us(3_300 * (n as u64 % 6)));
            voice.say(floor);
        }
        floor.run_to(begin + Span::from_ms(20));
    }
}

/// What a listener plays who waits long enough for everything: samples in the order of their timestamps. There are no holes, and
/// the numbers rise by one.
fn played(heard: &[(Header, Vec<u8>)]) -> Vec<i16> {
    for pair in heard.windows(2) {
        let ((one, payload), (next, _)) = (&pair[0], &pair[1]);
        assert_eq!(next.seq.0, one.seq.0.wrapping_add(1));
        assert_eq!(next.timestamp.distance(one.timestamp) as usize, payload.len(), "a hole or an overlap");
    }
    heard.iter().flat_map(|(_, payload)| payload.iter().map(|byte| Law::Mu.decode(*byte))).collect()
}

/// The largest step from one sample to the next.
fn steepest(pcm: &[i16]) -> i32 {
    pcm.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap_or(0)
}

/// How much of `said` is found in `heard`, in order, in pieces of at least 10 ms; and how long the longest piece between is that was
/// not said.
fn found(said: &[i16], heard: &[i16]) -> (usize, usize) {
    let (mut matched, mut from, mut longest) = (0, 0, 0);
    let mut at = 0;
    while at + 80 <= said.len() {
        let piece = &said[at..at + 80];
        let Some(place) = heard[from..].windows(80).take(4_000).position(|window| window == piece) else {
            at += 1;
            continue;
        };
        longest = longest.max(if matched == 0 { 0 } else { place });
        let count = said[at..].iter().zip(&heard[from + place..]).take_while(|(a, b)| a == b).count();
        matched += count;
        at += count;
        from += place + count;
    }
    (matched, longest)
}

fn edges_of_two() -> Vec<Edge> {
    vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)]
}

fn three() -> Vec<LegPlan> {
    vec![pcmu(CALLER), pcmu(AGENT), pcmu(BOSS)]
}

fn supervised(floor: &mut Floor, generation: u32, more: &[(LegId, LegId)]) {
    let more = more.iter().map(|(to, from)| hears(*to, *from, Tick::MAX));
    let edges = edges_of_two().into_iter().chain(more).collect();
    floor.command(plan(generation, three(), edges, tapped()));
}

const LISTENS: [(LegId, LegId); 2] = [(BOSS, CALLER), (BOSS, AGENT)];
const WHISPERS: [(LegId, LegId); 3] = [(BOSS, CALLER), (BOSS, AGENT), (AGENT, BOSS)];
const BARGES: [(LegId, LegId); 4] = [(BOSS, CALLER), (BOSS, AGENT), (AGENT, BOSS), (CALLER, BOSS)];

fn voices() -> Vec<Voice> {
    vec![Voice::new(CALLER, 310.0, 6_000.0), Voice::new(AGENT, 470.0, 5_000.0), Voice::new(BOSS, 730.0, 4_000.0)]
}

/// The level of one frequency.
fn level(pcm: &[i16], hertz: f64) -> f64 {
    // The tones swing by some hertz: the sum over a band.
    let (mut energy, mut offset) = (0.0, -8.0);
    while offset <= 8.0 {
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (n, sample) in pcm.iter().enumerate() {
            let angle = TAU * (hertz + offset) * n as f64 / 8_000.0;
            real += f64::from(*sample) * angle.cos();
            imaginary += f64::from(*sample) * angle.sin();
        }
        energy += (2.0 * real.hypot(imaginary) / pcm.len() as f64).powi(2);
        offset += 1.0;
    }
    energy.sqrt()
}

#[test]
fn who_listens_in_hears_both_and_the_two_are_relayed_byte_for_byte_as_before() {
    let mut floor = Floor::new();
    let mut voices = voices();
    floor.command(talk(1, Tick::MAX));
    talk_for(&mut floor, &mut voices[..2], 400);
    supervised(&mut floor, 2, &LISTENS);
    assert_eq!(floor.worker.figures().mixing, 1);
    talk_for(&mut floor, &mut voices[..2], 1_000);
    supervised(&mut floor, 3, &[]);
    talk_for(&mut floor, &mut voices[..2], 400);
    assert_eq!(floor.worker.figures().mixing, 0);
    let boss = played(&floor.heard_by(BOSS));
    let (caller, agent) = (played(&floor.heard_by(CALLER)), played(&floor.heard_by(AGENT)));
    assert_eq!((agent, caller), (voices[0].said.clone(), voices[1].said.clone()));
    // A second, less the 24 ms that a buffer waits for what comes late.
    assert!((7_600..=8_160).contains(&boss.len()), "{}", boss.len());
    let (callers, agents) = (level(&boss, 310.0), level(&boss, 470.0));
    assert!(callers > 3_000.0 && agents > 2_500.0 && level(&boss, 730.0) < 300.0, "{callers} {agents}");
    // The slopes of both tones together: 1,460 + 1,850 and what mu-law adds.
    assert!(steepest(&boss) < 4_200, "{}", steepest(&boss));
}

#[test]
fn a_whisper_is_heard_by_the_agent_alone_and_no_word_of_the_caller_is_lost_on_the_way_there_and_back() {
    let mut floor = Floor::new();
    let mut voices = voices();
    floor.command(talk(1, Tick::MAX));
    talk_for(&mut floor, &mut voices[..2], 1_000);
    // The supervisor is silent at first, so that what the agent hears can be compared.
    supervised(&mut floor, 2, &WHISPERS);
    talk_for(&mut floor, &mut voices[..2], 1_000);
    let before = floor.heard_by(AGENT);
    talk_for(&mut floor, &mut voices, 1_000);
    let during = floor.heard_by(AGENT);
    talk_for(&mut floor, &mut voices[..2], 500);
    let tail = floor.heard_by(AGENT);
    supervised(&mut floor, 3, &LISTENS);
    talk_for(&mut floor, &mut voices[..2], 500);
    supervised(&mut floor, 4, &[]);
    talk_for(&mut floor, &mut voices[..2], 500);
    let after = floor.heard_by(AGENT);
    // The customer's ear and record hold the agent's words alone, each of them.
    assert_eq!(played(&floor.heard_by(CALLER)), voices[1].said);
    let sent: Vec<u8> = floor
        .recorded()
        .into_iter()
        .filter(|(header, _)| header.side == offhook_plan::tap::Side::Sent)
        .flat_map(|(_, payload)| payload)
        .collect();
    assert_eq!(sent.iter().map(|byte| Law::Mu.decode(*byte)).collect::<Vec<_>>(), voices[1].said);
    let whole: Vec<_> = [&before, &during, &tail, &after].into_iter().flatten().cloned().collect();
    let all = played(&whole);
    assert!(level(&played(&during), 730.0) > 2_000.0 && level(&all[..8_000], 730.0) < 300.0);
    // Before the supervisor speaks and after: the caller's own samples, but for 5 ms blended in once.
    let (matched, longest) = found(&voices[0].said[..16_000], &played(&before));
    assert!(matched > 16_000 - 400 && longest <= 400, "{matched} of 16,000, {longest} samples invented");
    let (said, heard) = (&voices[0].said[voices[0].said.len() - 10_000..], [played(&tail), played(&after)].concat());
    let (matched, longest) = found(said, &heard);
    assert!(matched > 10_000 - 480 && longest == 0, "{matched} of 10,000, {longest}");
    // Two tones at most: 1,460 + 2,300 a sample, and what mu-law adds.
    assert!(steepest(&all) < 4_200, "{}", steepest(&all));
}

#[test]
fn the_way_from_relaying_to_a_mix_and_back_has_no_step_steeper_than_the_tone_itself() {
    for at_ms in [400, 420, 440, 460, 480, 500] {
        let mut floor = Floor::new();
        let mut voices = voices();
        floor.command(talk(1, Tick::MAX));
        talk_for(&mut floor, &mut voices[..2], at_ms);
        supervised(&mut floor, 2, &BARGES);
        talk_for(&mut floor, &mut voices[..2], 600);
        supervised(&mut floor, 3, &[]);
        talk_for(&mut floor, &mut voices[..2], 400);
        for (leg, said, slope) in [(AGENT, &voices[0].said, 1_600), (CALLER, &voices[1].said, 2_100)] {
            let heard = played(&floor.heard_by(leg));
            assert!(steepest(&heard) < slope, "{at_ms} {leg:?} {}", steepest(&heard));
            let (matched, longest) = found(said, &heard);
            assert!(matched + 420 > said.len() && longest <= 420, "{at_ms}: {matched} of {}, {longest}", said.len());
            // It goes on with what the buffer held: nothing is late for good.
            assert!(heard.len() < said.len() + 420, "{} {}", heard.len(), said.len());
        }
    }
}

#[test]
fn back_at_relaying_the_buffers_rest_comes_at_once_and_packets_go_on_as_they_come() {
    let mut floor = Floor::new();
    let mut voices = voices();
    supervised(&mut floor, 1, &BARGES);
    talk_for(&mut floor, &mut voices[..2], 500);
    supervised(&mut floor, 2, &[]);
    talk_for(&mut floor, &mut voices[..2], 60);
    floor.heard_by(AGENT);
    let begin = floor.now;
    voices[0].say(&mut floor);
    let heard = floor.heard_by(AGENT);
    assert_eq!((heard.len(), floor.now), (1, begin));
    assert_eq!(played(&heard), voices[0].said[voices[0].said.len() - 160..]);
}

#[test]
fn all_of_a_conference_of_three_hear_the_two_others_and_not_themselves() {
    let mut floor = Floor::new();
    let mut voices = voices();
    supervised(&mut floor, 1, &BARGES);
    talk_for(&mut floor, &mut voices, 1_200);
    let hertz = [(CALLER, 310.0), (AGENT, 470.0), (BOSS, 730.0)];
    for (leg, _) in hertz {
        let heard = played(&floor.heard_by(leg));
        for (who, tone) in hertz {
            let level = level(&heard[800..], tone);
            assert_eq!(level > 1_500.0, who != leg, "{leg:?} hears {who:?} at {level}");
            assert!(who != leg || level < 250.0, "{leg:?} hears itself: {level}");
        }
    }
}

#[test]
fn of_a_conference_of_thirty_two_the_three_who_speak_are_heard_and_the_hiss_of_the_others_is_not() {
    let mut floor = Floor::new();
    let ids: Vec<LegId> = (1..=32).map(LegId).collect();
    let edges =
        ids.iter().flat_map(|to| ids.iter().filter(move |from| *from != to).map(|from| hears(*to, *from, Tick::MAX)));
    floor.command(plan(1, ids.iter().map(|id| pcmu(*id)).collect(), edges.collect(), vec![]));
    let tone = |n: usize| 200.0 + 40.0 * n as f64;
    let mut voices: Vec<_> =
        ids.iter().enumerate().map(|(n, id)| Voice::new(*id, tone(n), if n < 3 { 5_000.0 } else { 400.0 })).collect();
    talk_for(&mut floor, &mut voices, 600);
    let heard = played(&floor.heard_by(LegId(20)));
    let levels: Vec<f64> = (0..32).map(|n| level(&heard[800..], tone(n))).collect();
    assert!(levels[..3].iter().all(|level| *level > 2_000.0), "{levels:?}");
    // Far from the three there is what mu-law adds to them.
    assert!(levels[20..].iter().all(|level| *level < 80.0), "{levels:?}");
    assert_eq!(floor.worker.figures().mixing, 32);
}

#[test]
fn three_who_shout_at_once_are_turned_down_and_not_clipped() {
    let mut floor = Floor::new();
    supervised(&mut floor, 1, &BARGES);
    let mut voices: Vec<_> =
        [(CALLER, 310.0), (AGENT, 470.0), (BOSS, 730.0)].map(|(leg, hertz)| Voice::new(leg, hertz, 30_000.0)).into();
    talk_for(&mut floor, &mut voices, 1_000);
    let heard = played(&floor.heard_by(BOSS));
    let loud = &heard[1_600..];
    // Clipping would show as a third tone where the two meet.
    let (callers, other) = (level(loud, 310.0), level(loud, 3.0 * 310.0).max(level(loud, 2.0 * 470.0 + 310.0)));
    assert!(callers > 6_000.0 && other < callers / 15.0, "{callers} {other}");
}

#[test]
fn a_prompt_over_a_call_is_told_when_it_is_over_and_the_call_goes_back_to_relaying() {
    let mut floor = Floor::new();
    let mut voices = voices();
    floor.command(talk(1, Tick::MAX));
    talk_for(&mut floor, &mut voices[..2], 200);
    floor.events();
    let edges = edges_of_two().into_iter().chain([plays(CALLER, 5, &[1], false)]).collect();
    floor.command(plan(2, vec![pcmu(CALLER), pcmu(AGENT)], edges, tapped()));
    talk_for(&mut floor, &mut voices[..2], 200);
    let over = MediaEvent::PlayerFinished { call: CALL, player: PlayerId(5) };
    assert_eq!(floor.events().iter().filter(|event| **event == over).count(), 1);
    floor.command(talk(3, Tick::MAX));
    talk_for(&mut floor, &mut voices[..2], 200);
    assert_eq!(floor.worker.figures().mixing, 0);
    let heard = played(&floor.heard_by(CALLER));
    let (matched, _) = found(&voices[1].said, &heard);
    // The prompt's 50 ms, less what was invented under it until the buffer had enough, and 5 ms blended.
    assert!(matched > voices[1].said.len() - 600 && matched < voices[1].said.len() - 100, "{matched}");
    assert_eq!(played(&floor.heard_by(AGENT)), voices[0].said);
}

#[test]
fn who_hangs_up_in_the_middle_of_a_word_leaves_without_a_click() {
    let mut floor = Floor::new();
    let mut voices = voices();
    supervised(&mut floor, 1, &BARGES);
    talk_for(&mut floor, &mut voices, 500);
    floor.command(talk(2, Tick::MAX));
    talk_for(&mut floor, &mut voices[..2], 300);
    let heard = played(&floor.heard_by(AGENT));
    assert!(steepest(&heard) < 4_200, "{}", steepest(&heard));
    assert_eq!(floor.worker.figures().mixing, 0);
}

#[test]
fn a_key_pressed_in_a_conference_reaches_the_others_once_with_one_time() {
    let mut floor = Floor::new();
    let mut voices = voices();
    supervised(&mut floor, 1, &BARGES);
    talk_for(&mut floor, &mut voices, 200);
    floor.heard_by(AGENT);
    for n in 0..5_u8 {
        let duration = u16::from(n + 1) * 160;
        let payload = [5, if n == 4 { 0x8a } else { 0x0a }, (duration >> 8) as u8, duration as u8];
        let packet = voices[0].speaker.packet(101, n == 0, &payload);
        voices[0].speaker.seq = voices[0].speaker.seq.wrapping_add(1);
        floor.receive(CALLER, peer(CALLER), &packet);
        floor.run_to(floor.now + Span::from_ms(20));
    }
    let heard = floor.heard_by(AGENT);
    let keys: Vec<_> = heard.iter().filter(|(header, _)| header.payload_type == 101).collect();
    assert_eq!(keys.len(), 5);
    assert!(keys.iter().all(|(header, _)| header.timestamp == keys[0].0.timestamp));
    let numbers: Vec<u16> = heard.iter().map(|(header, _)| header.seq.0).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{numbers:?}");
    let digits = floor.events().into_iter().filter(|event| matches!(event, MediaEvent::Digit { digit: '5', .. }));
    assert_eq!(digits.count(), 1);
}

#[test]
fn legs_of_all_codecs_meet_in_one_mix() {
    let mut floor = Floor::new();
    let legs = vec![
        pcmu(CALLER),
        leg_plan(AGENT, Some(agreed(AGENT, CodecKind::Pcma))),
        leg_plan(BOSS, Some(agreed(BOSS, CodecKind::G722))),
    ];
    let more = BARGES.iter().map(|(to, from)| hears(*to, *from, Tick::MAX));
    floor.command(plan(1, legs, edges_of_two().into_iter().chain(more).collect(), vec![]));
    let mut voices = voices();
    talk_for(&mut floor, &mut voices[..1], 600);
    let pcma: Vec<i16> = floor.heard_by(AGENT).iter().flat_map(|(_, p)| p.clone()).map(|b| Law::A.decode(b)).collect();
    let mut g722 = offhook_codec::NarrowDecoder::new(offhook_codec::Coding::G722);
    let wide: Vec<i16> = floor.heard_by(BOSS).iter().flat_map(|(_, p)| p.clone()).map(|b| g722.byte(b)).collect();
    for heard in [pcma, wide] {
        assert!(level(&heard[1_600..], 310.0) > 3_500.0, "{}", level(&heard[1_600..], 310.0));
    }
}

#[test]
fn a_late_joiners_edge_waits_until_its_leg_is_agreed_on() {
    let mut floor = Floor::new();
    let legs = vec![pcmu(CALLER), pcmu(AGENT), leg_plan(BOSS, None)];
    let more = BARGES.iter().map(|(to, from)| hears(*to, *from, Tick::MAX));
    let edges: Vec<Edge> = edges_of_two().into_iter().chain(more).collect();
    floor.command(plan(1, legs, edges, vec![]));
    let mut voices = voices();
    talk_for(&mut floor, &mut voices[..2], 200);
    assert!(floor.heard_by(BOSS).is_empty());
    supervised(&mut floor, 2, &BARGES);
    talk_for(&mut floor, &mut voices, 200);
    assert!(floor.heard_by(BOSS).len() >= 8);
    assert!(level(&played(&floor.heard_by(AGENT))[2_000..], 730.0) > 1_000.0);
}

#[test]
fn a_leg_may_be_closed_while_it_is_mixed_and_its_place_taken_by_another() {
    let mut floor = Floor::new();
    let mut voices = voices();
    supervised(&mut floor, 1, &BARGES);
    talk_for(&mut floor, &mut voices, 100);
    let fourth = LegId(4);
    let edges = vec![
        Edge { from: Source::Leg(fourth), to: AGENT, since: Tick::MAX },
        hears(AGENT, CALLER, Tick::MAX),
        hears(CALLER, AGENT, Tick::MAX),
    ];
    floor.command(plan(2, vec![pcmu(CALLER), pcmu(AGENT), pcmu(fourth)], edges, vec![]));
    voices[2] = Voice::new(fourth, 900.0, 4_000.0);
    talk_for(&mut floor, &mut voices, 300);
    let heard = played(&floor.heard_by(AGENT));
    assert!(level(&heard[1_200..], 900.0) > 1_500.0 && steepest(&heard) < 5_500, "{}", steepest(&heard));
}
