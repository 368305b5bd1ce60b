//! What a listener hears of small bad networks: delay and invented share, without an ear.

use offhook_codec::{G711, Law};
use offhook_media::{Arrival, JitterConfig, replay};
use offhook_units::{Entropy, RtpTime, Tick};

/// Delay in ms against an undelayed packet on the average, and per thousand invented and stretched samples.
#[derive(Debug)]
struct Heard {
    delay_ms: f64,
    invented: f64,
    stretched: f64,
    begun: usize,
}

/// Voice-like sound of 160 Hz with a pause of 300 ms in each 2 s, as mu-law.
fn speech() -> Vec<u8> {
    let sample = |n: u32| {
        let phase = (n % 50) as f32 / 50.0;
        let speaks = n % 16_000 < 13_600;
        if speaks { ((1.0 - phase) * phase * 40_000.0 - 6_000.0) as i16 } else { 0 }
    };
    (0..16_000).map(|n| Law::Mu.encode(sample(n))).collect()
}

/// Replays packets of 20 ms that come `late_us(n, chance)` after their time; `None` is lost.
fn listen(config: JitterConfig, packets: u32, late_us: impl Fn(u32, &mut Entropy) -> Option<u64>) -> Heard {
    let mut chance = Entropy::from_seed([7; 32]);
    let mut newest = 0;
    let arrivals: Vec<_> = (0..packets)
        .map(|n| {
            let at = late_us(n, &mut chance).map(|late| Tick::from_us(u64::from(n) * 20_000 + late));
            newest = newest.max(at.map_or(0, Tick::as_us));
            Arrival { at, timestamp: RtpTime(n.wrapping_mul(160)) }
        })
        .collect();
    let speech = speech();
    let (mut invented, mut stretched, mut total, mut begun, mut delay_us) = (0, 0, 0, 0, 0.0);
    let payload = |n: usize| &speech[n % 100 * 160..][..160];
    replay(config, &mut G711::new(Law::Mu), &arrivals, payload, Tick::from_us(4_000), |step, pcm| {
        if step.at.as_us() > u64::from(packets - 5) * 20_000 {
            return;
        }
        for (seq, offset) in step.played.begun.iter().flatten() {
            begun += 1;
            delay_us += (step.at.as_us() as f64 + *offset as f64 * 125.0) - f64::from(seq.0) * 20_000.0;
        }
        invented += step.played.concealed;
        stretched += step.played.removed + step.played.inserted;
        total += pcm.len();
    });
    let share = |samples: usize| samples as f64 * 1_000.0 / total as f64;
    Heard { delay_ms: delay_us / 1_000.0 / begun as f64, invented: share(invented), stretched: share(stretched), begun }
}

fn robust(packets: u32, late_us: impl Fn(u32, &mut Entropy) -> Option<u64>) -> Heard {
    listen(JitterConfig::default(), packets, late_us)
}

#[test]
fn an_even_line_is_heard_25_ms_late_and_untouched() {
    let heard = robust(1_000, |_, chance| Some(chance.below(1_000)));
    assert!(heard.delay_ms < 26.0 && heard.invented == 0.0 && heard.stretched == 0.0, "{heard:?}");
}

#[test]
fn three_in_a_hundred_lost_are_three_in_a_hundred_invented_at_no_more_delay() {
    let heard = robust(3_000, |n, chance| (n == 0 || chance.below(100) >= 3).then(|| chance.below(1_000)));
    assert!(heard.delay_ms < 27.0 && (25.0..36.0).contains(&heard.invented), "{heard:?}");
}

#[test]
fn even_jitter_of_60_ms_is_waited_for_and_little_is_invented() {
    let heard = robust(3_000, |_, chance| Some(chance.below(60_000)));
    assert!(heard.delay_ms < 75.0 && heard.invented < 20.0, "{heard:?}");
}

#[test]
fn packets_overtaken_by_45_ms_are_put_in_order() {
    let heard = robust(3_000, |_, chance| Some(if chance.below(50) == 0 { 45_000 } else { chance.below(2_000) }));
    assert!(heard.delay_ms < 52.0 && heard.invented < 10.0 && heard.begun > 2_960, "{heard:?}");
}

#[test]
fn a_clock_100_ppm_fast_or_slow_costs_no_dropout_in_ten_minutes() {
    for faster in [true, false] {
        let heard = robust(30_000, |n, chance| {
            let drift = u64::from(if faster { 30_000 - n } else { n }) * 2;
            Some(drift + chance.below(2_000))
        });
        let on_the_way = 30.0;
        assert!(heard.delay_ms < 31.0 + on_the_way && heard.invented < 0.1, "{heard:?}");
    }
}

#[test]
fn stalls_of_200_ms_are_outlasted_and_low_latency_waits_for_less() {
    // Each 5 s, packets of 200 ms come at once.
    let stall = |n: u32, _: &mut Entropy| Some(if n % 250 > 239 { u64::from(250 - n % 250) * 20_000 } else { 1_000 });
    let (patient, quick) = (robust(6_000, stall), listen(JitterConfig::low_latency(), 6_000, stall));
    assert!(patient.delay_ms < 210.0 && patient.invented < 5.0, "{patient:?}");
    assert!(quick.delay_ms < 120.0, "{quick:?}");
}

#[test]
fn a_path_that_becomes_300_ms_slower_is_followed_within_a_second() {
    let heard = robust(3_000, |n, _| Some(if n < 1_000 { 0 } else { 300_000 }));
    assert!(heard.begun > 2_940 && heard.invented < 20.0, "{heard:?}");
}
