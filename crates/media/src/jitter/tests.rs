//! What becomes of packets, and what is heard of them.

use super::*;
use offhook_codec::{G711, Law};
use offhook_rtp::Header;

struct Line {
    buffer: JitterBuffer,
    decoder: G711,
}

impl Line {
    fn new() -> Self {
        Self { buffer: JitterBuffer::new(JitterConfig::default()), decoder: G711::new(Law::Mu) }
    }

    fn push(&mut self, ms: u64, seq: u16, timestamp: u32) -> Pushed {
        let header =
            Header { payload_type: 0, marker: false, seq: RtpSeq(seq), timestamp: RtpTime(timestamp), ssrc: 1 };
        let payload: Vec<u8> = (0..160).map(|n| ((n * 3 + u32::from(seq)) % 120) as u8).collect();
        let packet = Packet { header, payload: &payload, payload_at: 12 };
        self.buffer.push(Tick::from_us(ms * 1_000), &packet)
    }

    fn pull(&mut self, ms: u64) -> Pulled {
        self.buffer.pull(Tick::from_us(ms * 1_000), &mut self.decoder, &mut [0; 80])
    }
}

#[test]
fn an_even_stream_is_played_whole_across_both_wraps() {
    let mut line = Line::new();
    let mut pulled = Vec::new();
    for n in 0..500_u64 {
        assert_eq!(
            line.push(n * 20, (65_300 + n) as u16, (u64::from(u32::MAX) - 20_000 + n * 160) as u32),
            Pushed::Queued
        );
        pulled.push(line.pull(n * 20 + 5));
        pulled.push(line.pull(n * 20 + 15));
    }
    let begin = pulled.iter().position(|p| *p != Pulled::Buffering).unwrap();
    assert!(begin <= 4 && pulled[begin..].iter().all(|p| *p == Pulled::Voice), "{begin}");
}

#[test]
fn one_lost_packet_is_20_ms_of_concealment_and_no_more() {
    let mut line = Line::new();
    for n in 0..200_u64 {
        if n != 100 {
            line.push(n * 20, n as u16, n as u32 * 160);
        }
        for ms in [5, 15] {
            line.pull(n * 20 + ms);
        }
    }
    assert_eq!(line.buffer.stats().concealed_samples, 160);
}

#[test]
fn what_is_lost_is_taken_from_the_packet_after_it_where_the_codec_repeats_it_there() {
    /// Each payload is one sample over and over; it repeats the one before it, which is one less.
    struct Repeats;
    impl Decoder for Repeats {
        fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
            out[..160].fill(i16::from(payload[0]) * 100);
            160
        }
        fn recover(&mut self, after: &[u8], out: &mut [i16]) -> usize {
            out.fill((i16::from(after[0]) - 1) * 100);
            out.len()
        }
        fn samples_in(&self, _: &[u8]) -> usize {
            160
        }
    }
    let mut buffer = JitterBuffer::new(JitterConfig::default());
    let mut heard = Vec::new();
    for n in 0..60_u8 {
        if n != 30 {
            let timestamp = RtpTime(u32::from(n) * 160);
            let header = Header { payload_type: 0, marker: false, seq: RtpSeq(n.into()), timestamp, ssrc: 1 };
            buffer.push(Tick::from_us(u64::from(n) * 20_000), &Packet { header, payload: &[n; 10], payload_at: 12 });
        }
        for ms in [5, 15] {
            let mut out = [0; 80];
            buffer.pull(Tick::from_us((u64::from(n) * 20 + ms) * 1_000), &mut Repeats, &mut out);
            heard.push(out[40]);
        }
    }
    // What was due before the packet after it came, at the end of a pull.
    assert!(buffer.stats().concealed_samples < 20, "{}", buffer.stats().concealed_samples);
    assert_eq!(heard.iter().filter(|sample| **sample == 3_000).count(), 2, "{heard:?}");
}

#[test]
fn doubles_late_ones_and_far_ones_are_told_apart() {
    let mut line = Line::new();
    for n in 0..10_u64 {
        line.push(n * 20, n as u16, n as u32 * 160);
        line.pull(n * 20 + 5);
        line.pull(n * 20 + 15);
    }
    assert_eq!(line.push(200, 10, 1_600), Pushed::Queued);
    assert_eq!(line.push(200, 10, 1_600), Pushed::Duplicate);
    assert!(matches!(line.push(200, 2, 320), Pushed::Late { .. }));
    assert_eq!(line.push(200, 10 + 64, 1_600 + 160 * 64), Pushed::TooEarly);
}

#[test]
fn a_burst_after_a_stall_is_played_and_the_delay_comes_down_again() {
    let mut line = Line::new();
    let mut stretched = 0;
    for n in 0..1_500_u64 {
        // Packets of the second 4 come all at once at its end.
        if !(200..220).contains(&n) {
            line.push(n * 20, n as u16, n as u32 * 160);
        }
        if n == 219 {
            for late in 200..220_u64 {
                line.push(n * 20, late as u16, late as u32 * 160);
            }
        }
        for ms in [5, 15] {
            stretched += u64::from(line.pull(n * 20 + ms) == Pulled::Stretched);
        }
    }
    assert!(stretched > 0 && line.buffer.depth() <= Span::from_ms(260), "{stretched} {:?}", line.buffer.depth());
}

#[test]
fn another_source_is_played_from_its_first_packet_and_silence_is_waited_out() {
    let mut line = Line::new();
    for n in 0..20_u64 {
        line.push(n * 20, n as u16, n as u32 * 160);
        line.pull(n * 20 + 5);
        line.pull(n * 20 + 15);
    }
    let pulls: Vec<_> = (0..100).map(|n| line.pull(400 + n * 10)).collect();
    assert_eq!(pulls.last(), Some(&Pulled::Buffering));
    for n in 0..10_u64 {
        assert_eq!(line.push(2_000 + n * 20, 40_000 + n as u16, 3_000_000 + n as u32 * 160), Pushed::Queued);
        line.pull(2_005 + n * 20);
        line.pull(2_015 + n * 20);
    }
    assert_eq!(line.pull(2_200), Pulled::Voice);
}

impl Line {
    fn noise(&mut self, ms: u64, seq: u16, timestamp: u32, level: u8) -> Pushed {
        let header =
            Header { payload_type: 13, marker: false, seq: RtpSeq(seq), timestamp: RtpTime(timestamp), ssrc: 1 };
        let payload = [level, 60];
        self.buffer.push_noise(Tick::from_us(ms * 1_000), &Packet { header, payload: &payload, payload_at: 12 })
    }

    fn level(&mut self, ms: u64) -> (Pulled, f64) {
        let mut out = [0; 80];
        let pulled = self.buffer.pull(Tick::from_us(ms * 1_000), &mut self.decoder, &mut out);
        let power = out.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 80.0;
        (pulled, 10.0 * (power.max(1e-9) / 32_768.0_f64.powi(2)).log10())
    }
}

/// Twenty packets of speech, a pause of `pause_ms` told by one packet of noise 45 dB below overload, and twenty more, each `late_ms`
/// late. Timestamps go on in the pause or stand still.
fn with_pause(pause_ms: u64, late_ms: u64, stands: bool) -> (Line, Vec<(Pulled, f64)>) {
    let (mut line, mut pulls) = (Line::new(), Vec::new());
    let resumes = 400 + pause_ms;
    for ms in 0..resumes + 400 {
        if ms % 20 == 0 && ms < 400 {
            assert_eq!(line.push(ms, (ms / 20) as u16, ms as u32 * 8), Pushed::Queued);
        }
        if ms == 400 {
            assert_eq!(line.noise(ms, 20, 3_200, 45), Pushed::Queued);
        }
        if ms >= resumes + late_ms && (ms - resumes - late_ms).is_multiple_of(20) {
            let n = (ms - resumes - late_ms) / 20;
            let timestamp = if stands { 3_200 } else { resumes * 8 } + n * 160;
            assert_eq!(line.push(ms, 21 + n as u16, timestamp as u32), Pushed::Queued, "{n}");
        }
        if ms % 10 == 5 {
            pulls.push(line.level(ms));
        }
    }
    (line, pulls)
}

#[test]
fn a_pause_of_3_s_is_noise_at_its_level_and_nothing_is_concealed_or_stretched() {
    for (pause_ms, late_ms) in [(60, 0), (500, 15), (3_000, 0), (3_000, 15), (60_000, 0)] {
        let (line, pulls) = with_pause(pause_ms, late_ms, false);
        let stats = line.buffer.stats();
        assert_eq!((stats.concealed_samples, stats.late, stats.too_early), (0, 0, 0), "{pause_ms}: {stats:?}");
        assert_eq!(stats.inserted_samples + stats.removed_samples, 0, "{pause_ms}: {stats:?}");
        let noise: Vec<f64> =
            pulls.iter().filter(|(pulled, _)| *pulled == Pulled::Noise).map(|(_, level)| *level).collect();
        assert!(noise.len().abs_diff(pause_ms as usize / 10) <= 1 && stats.noise_pulls == noise.len() as u64);
        // The pulls at its ends hold speech as well.
        let inner = &noise[1..noise.len() - 1];
        let mean = inner.iter().sum::<f64>() / inner.len() as f64;
        assert!((-48.0..-44.0).contains(&mean), "{pause_ms}: {mean}");
        let begin = pulls.iter().position(|(pulled, _)| *pulled != Pulled::Buffering).unwrap();
        assert!(pulls[begin..].iter().all(|(pulled, _)| matches!(pulled, Pulled::Voice | Pulled::Noise)));
    }
}

#[test]
fn a_sender_whose_time_stands_still_in_a_pause_is_played_anew_from_its_first_packet() {
    let (line, pulls) = with_pause(1_000, 0, true);
    assert_eq!((line.buffer.stats().late, line.buffer.stats().concealed_samples), (0, 0));
    let voice = pulls.iter().filter(|(pulled, _)| *pulled == Pulled::Voice).count();
    assert!((76..=80).contains(&voice), "{voice} of 80 pulls, less what is waited for");
}

#[test]
fn a_loss_before_a_pause_is_concealed_and_a_loss_after_it_is_noise() {
    let mut line = Line::new();
    let mut pulls = Vec::new();
    for n in 0..100_u64 {
        match n {
            ..30 | 80.. if n != 29 && n != 80 => {
                line.push(n * 20, if n < 30 { n } else { n - 49 } as u16, n as u32 * 160);
            }
            30 => {
                line.noise(600, 30, 4_800, 50);
            }
            // Its background changes.
            50 => {
                line.noise(1_000, 31, 8_000, 30);
            }
            _ => {}
        }
        pulls.extend([5, 15].map(|ms| line.level(n * 20 + ms)));
    }
    assert_eq!(line.buffer.stats().concealed_samples, 160, "the packet before the pause");
    assert!(pulls[70..100].iter().all(|(_, level)| *level < -40.0), "{:?}", &pulls[70..100]);
    assert!(pulls[112..160].iter().all(|(_, level)| (-36.0..-25.0).contains(level)), "{:?}", &pulls[112..160]);
}
