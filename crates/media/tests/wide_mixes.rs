//! Mixes in which legs with G.722 and Opus hear each other up to 8 kHz, those with G.711 what they always heard; and how the upper
//! band comes and goes.

mod harness;

use core::f64::consts::TAU;

use harness::*;
use offhook_codec::{Law, g722, opus};
use offhook_plan::{CodecKind, Edge, LegPlan, Negotiated};
use offhook_rtp::Header;
use offhook_units::{LegId, SampleRate, Span, Tick};

const BOSS: LegId = LegId(3);
const WIDE: [CodecKind; 2] = [CodecKind::G722, CodecKind::Opus];

fn number_of(codec: CodecKind) -> u8 {
    codec.static_payload_type().unwrap_or(111)
}

fn leg(leg: LegId, codec: CodecKind) -> LegPlan {
    let (send_payload_type, recv_payload_type) = (number_of(codec), number_of(codec));
    let agreed = agreed(leg, CodecKind::Pcmu);
    leg_plan(leg, Some(Negotiated { codec, send_payload_type, recv_payload_type, ..agreed }))
}

/// Somebody who says tones, each with its peak, at 16 kHz; in G.711 those that it can carry.
struct Sayer {
    speaker: Speaker,
    codec: CodecKind,
    tones: Vec<(f64, f64)>,
    g722: g722::Encoder,
    opus: opus::Encoder,
    said: usize,
}

impl Sayer {
    fn new(leg: LegId, codec: CodecKind, tones: &[(f64, f64)]) -> Self {
        let settings = opus::Settings { bitrate: 32_000, ..opus::Settings::voice(SampleRate::WIDE) };
        Self {
            speaker: Speaker { payload_type: number_of(codec), ..Speaker::new(leg) },
            codec,
            tones: tones.to_vec(),
            g722: g722::Encoder::default(),
            opus: opus::Encoder::new(&settings).unwrap(),
            said: 0,
        }
    }

    /// The next 20 ms.
    fn say(&mut self, floor: &mut Floor) {
        let at = |n: usize| {
            let tone = |(hertz, peak): &(f64, f64)| peak * (TAU * hertz * n as f64 / 16_000.0).sin();
            self.tones.iter().map(tone).sum::<f64>() as i16
        };
        let pcm: Vec<i16> = (self.said..self.said + 320).map(at).collect();
        let mut payload = vec![0; opus::PACKET_BYTES_MAX];
        let bytes = match self.codec {
            CodecKind::G722 => self.g722.encode(&pcm, &mut payload),
            CodecKind::Opus => match self.opus.encode(&pcm, &mut payload).unwrap() {
                opus::Encoded::Packet(bytes) => bytes,
                opus::Encoded::Silent => panic!("a pause"),
            },
            CodecKind::Pcmu | CodecKind::Pcma | CodecKind::L16 => {
                let narrow = pcm.iter().step_by(2).map(|sample| Law::Mu.encode(*sample));
                payload.iter_mut().zip(narrow).for_each(|(byte, code)| *byte = code);
                160
            }
        };
        let packet = self.speaker.packet(self.speaker.payload_type, false, &payload[..bytes]);
        self.said += 320;
        self.speaker.seq = self.speaker.seq.wrapping_add(1);
        self.speaker.timestamp = self.speaker.timestamp.wrapping_add(self.codec.clock() / 50);
        floor.receive(self.speaker.leg, peer(self.speaker.leg), &packet);
    }
}

fn talk_for(floor: &mut Floor, sayers: &mut [Sayer], ms: u64) {
    for _ in 0..ms / 20 {
        let begin = floor.now;
        for (n, sayer) in sayers.iter_mut().enumerate() {
            floor.run_to(begin + Span::from_us(3_300 * (n as u64 % 6)));
            sayer.say(floor);
        }
        floor.run_to(begin + Span::from_ms(20));
    }
}

/// What a leg hears, at 16 kHz and at 8 in G.711; there are no holes in it.
fn heard_in(heard: &[(Header, Vec<u8>)], codec: CodecKind) -> Vec<i16> {
    for pair in heard.windows(2) {
        assert_eq!(pair[1].0.seq.0, pair[0].0.seq.0.wrapping_add(1));
    }
    let mut opus = opus::Decoder::new(SampleRate::WIDE).unwrap();
    let (mut g722, mut pcm, mut next) = (g722::Decoder::default(), Vec::new(), None);
    for (header, payload) in heard {
        assert!(next.is_none_or(|next| next == header.timestamp), "a hole or an overlap");
        let mut out = [0; 1_920];
        let (count, units) = match codec {
            CodecKind::G722 => (g722.decode(payload, &mut out), payload.len() as u32),
            CodecKind::Opus => {
                let count = opus.decode(payload, &mut out).unwrap();
                (count, count as u32 * 3)
            }
            CodecKind::Pcmu | CodecKind::Pcma | CodecKind::L16 => {
                payload.iter().zip(&mut out).for_each(|(byte, sample)| *sample = Law::Mu.decode(*byte));
                (payload.len(), payload.len() as u32)
            }
        };
        pcm.extend_from_slice(&out[..count]);
        next = Some(header.timestamp.wrapping_add(units));
    }
    pcm
}

fn level(pcm: &[i16], hertz: f64, rate: f64) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let angle = TAU * hertz * n as f64 / rate;
        real += f64::from(*sample) * angle.cos();
        imaginary += f64::from(*sample) * angle.sin();
    }
    2.0 * real.hypot(imaginary) / pcm.len() as f64
}

/// How strong the loudest 5 ms above 4.5 kHz are, as an amplitude.
fn loudest_above(pcm: &[i16]) -> f64 {
    let windows = pcm.chunks_exact(80).map(|part| {
        let bands = (0..11).map(|n| 4_600.0 + 300.0 * f64::from(n));
        // A window that ends softly, so that a tone far below is none above.
        let soft = |n: usize| 0.5 - 0.5 * (TAU * n as f64 / 80.0).cos();
        let softened: Vec<i16> = part.iter().enumerate().map(|(n, s)| (f64::from(*s) * soft(n)) as i16).collect();
        bands.map(|hertz| level(&softened, hertz, 16_000.0).powi(2)).sum::<f64>().sqrt()
    });
    windows.fold(0.0, f64::max)
}

fn steepest(pcm: &[i16]) -> i32 {
    pcm.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap_or(0)
}

fn edges(pairs: &[(LegId, LegId)]) -> Vec<Edge> {
    pairs.iter().map(|(to, from)| hears(*to, *from, Tick::MAX)).collect()
}

const ALL_HEAR_ALL: [(LegId, LegId); 6] =
    [(CALLER, AGENT), (CALLER, BOSS), (AGENT, CALLER), (AGENT, BOSS), (BOSS, CALLER), (BOSS, AGENT)];

#[test]
fn of_three_in_a_conference_two_wide_legs_hear_each_others_6_khz_and_the_third_what_telephones_carry() {
    for caller in WIDE {
        for agent in WIDE {
            let mut floor = Floor::new();
            let legs = vec![leg(CALLER, caller), leg(AGENT, agent), leg(BOSS, CodecKind::Pcmu)];
            floor.command(plan(1, legs, edges(&ALL_HEAR_ALL), vec![]));
            let mut sayers = [
                Sayer::new(CALLER, caller, &[(900.0, 5_000.0), (6_000.0, 2_000.0)]),
                Sayer::new(AGENT, agent, &[(500.0, 5_000.0), (5_200.0, 2_000.0)]),
                Sayer::new(BOSS, CodecKind::Pcmu, &[(1_700.0, 4_000.0)]),
            ];
            talk_for(&mut floor, &mut sayers, 2_000);
            let what = format!("{caller:?} and {agent:?}");
            for (to, codec, hears) in [(AGENT, agent, [900.0, 6_000.0]), (CALLER, caller, [500.0, 5_200.0])] {
                let pcm = heard_in(&floor.heard_by(to), codec);
                let steady = &pcm[8_000..24_000];
                let [low, high] = hears.map(|hertz| level(steady, hertz, 16_000.0));
                let third = level(steady, 1_700.0, 16_000.0);
                assert!(
                    (4_000.0..6_000.0).contains(&low) && (3_200.0..4_800.0).contains(&third),
                    "{what}: {low} {third}"
                );
                assert!((1_300.0..2_700.0).contains(&high), "{what}: {high:.0} of 2,000 at {:.0} Hz", hears[1]);
            }
            let narrow = heard_in(&floor.heard_by(BOSS), CodecKind::Pcmu);
            let steady = &narrow[4_000..12_000];
            let levels = [900.0, 500.0].map(|hertz| level(steady, hertz, 8_000.0));
            assert!(levels.iter().all(|level| (4_000.0..6_000.0).contains(level)), "{what}: {levels:?}");
            // What lies above is folded by no more than the filters of G.722 let through.
            let folded = [2_000.0, 2_800.0].map(|hertz| level(steady, hertz, 8_000.0));
            assert!(folded.iter().all(|level| *level < 200.0), "{what}: {folded:?}");
        }
    }
}

#[test]
fn a_wide_third_who_comes_and_goes_brings_the_upper_band_and_takes_it_away_without_a_click() {
    for codec in WIDE {
        let mut floor = Floor::new();
        let legs = |third| vec![leg(CALLER, CodecKind::Pcmu), leg(AGENT, codec), leg(BOSS, third)];
        let two = edges(&[(CALLER, AGENT), (AGENT, CALLER)]);
        let mut sayers = [
            Sayer::new(CALLER, CodecKind::Pcmu, &[(700.0, 6_000.0)]),
            Sayer::new(AGENT, codec, &[(500.0, 6_000.0)]),
            Sayer::new(BOSS, codec, &[(400.0, 2_000.0), (6_000.0, 1_500.0)]),
        ];
        // The agent hears a prompt beside the caller from the start, so that it has a mix.
        let prompt = || plays(AGENT, 1, &[1], false);
        floor.command(plan(1, legs(codec), [two.clone(), vec![prompt()]].concat(), vec![]));
        talk_for(&mut floor, &mut sayers, 1_000);
        floor.heard_by(AGENT);
        floor.heard_by(CALLER);
        // The supervisor joins, and leaves.
        floor.command(plan(2, legs(codec), [edges(&ALL_HEAR_ALL), vec![prompt()]].concat(), vec![]));
        // libopus widens its band in a pause, or in speech without one within some seconds.
        talk_for(&mut floor, &mut sayers, 7_000);
        let with = floor.heard_by(AGENT);
        floor.command(plan(3, legs(codec), [two, vec![prompt()]].concat(), vec![]));
        talk_for(&mut floor, &mut sayers, 2_000);
        let without = floor.heard_by(AGENT);
        let count = |part: &[(Header, Vec<u8>)]| part.len() * 320;
        let whole = heard_in(&[with.clone(), without].concat(), codec);
        let during = &whole[count(&with) - 16_000..count(&with) - 1_600];
        assert!(level(during, 6_000.0, 16_000.0) > 600.0, "{codec:?}: {}", level(during, 6_000.0, 16_000.0));
        let after = &whole[count(&with) + 6_400..];
        assert!(level(after, 6_000.0, 16_000.0) < 100.0, "{codec:?}: {}", level(after, 6_000.0, 16_000.0));
        // Nothing above is ever louder than the tone itself, in whose windows half of it counts.
        assert!(loudest_above(&whole) < 1_300.0, "{codec:?}: {:.0}", loudest_above(&whole));
        // The caller's ear: the agent's decoder begins to hear both bands, and nothing of it is heard.
        let narrow = heard_in(&floor.heard_by(CALLER), CodecKind::Pcmu);
        // 500 Hz and 400 Hz: 2,356 and 628 a sample, what is left of 6 kHz, and what mu-law and Opus add.
        assert!(steepest(&narrow) < 4_000, "{codec:?}: {}", steepest(&narrow));
    }
}

#[test]
fn the_way_of_g722_from_relaying_to_a_wide_mix_and_back_has_no_click_above_4_khz() {
    for at_ms in [400, 410, 420, 430] {
        let mut floor = Floor::new();
        let legs = || vec![leg(CALLER, CodecKind::G722), leg(AGENT, CodecKind::G722), leg(BOSS, CodecKind::G722)];
        let two = edges(&[(CALLER, AGENT), (AGENT, CALLER)]);
        let mut sayers = [
            Sayer::new(CALLER, CodecKind::G722, &[(310.0, 6_000.0), (6_000.0, 1_000.0)]),
            Sayer::new(AGENT, CodecKind::G722, &[(470.0, 6_000.0)]),
        ];
        floor.command(plan(1, legs(), two.clone(), vec![]));
        talk_for(&mut floor, &mut sayers, 400);
        floor.run_to(at(at_ms));
        let whisper = edges(&[(CALLER, AGENT), (AGENT, CALLER), (AGENT, BOSS), (BOSS, CALLER), (BOSS, AGENT)]);
        floor.command(plan(2, legs(), whisper, vec![]));
        floor.run_to(at(440));
        talk_for(&mut floor, &mut sayers, 600);
        floor.command(plan(3, legs(), two, vec![]));
        talk_for(&mut floor, &mut sayers, 400);
        assert_eq!(floor.worker.figures().mixing, 0);
        let pcm = heard_in(&floor.heard_by(AGENT), CodecKind::G722);
        let during = &pcm[pcm.len() / 2 - 3_200..pcm.len() / 2 + 1_600];
        assert!(level(during, 6_000.0, 16_000.0) > 700.0, "at {at_ms} ms: {:.0}", level(during, 6_000.0, 16_000.0));
        // The first 100 ms are those of a decoder that begins.
        assert!(loudest_above(&pcm[1_600..]) < 900.0, "at {at_ms} ms: {:.0}", loudest_above(&pcm[1_600..]));
    }
}
