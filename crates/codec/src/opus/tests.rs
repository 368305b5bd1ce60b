//! Every pair of rates, loss, pauses and nonsense.

use core::f64::consts::TAU;

use offhook_units::Entropy;

use super::*;

const RATES: [SampleRate; 3] = [SampleRate::NARROW, SampleRate::WIDE, SampleRate::FULL];

fn frame_of(rate: SampleRate) -> usize {
    rate.samples(FRAME) as usize
}

/// Something like a voice: harmonics of a pitch that glides, in syllables.
fn voice(rate: SampleRate, frames: usize) -> Vec<i16> {
    let (mut phase, per_second) = (0.0, f64::from(rate.0));
    (0..frames * frame_of(rate))
        .map(|n| {
            let time = n as f64 / per_second;
            phase = (phase + (140.0 + 30.0 * (TAU * 0.7 * time).sin()) / per_second) % 1.0;
            let loud = (TAU * 2.0 * time).sin().max(0.05);
            let sum: f64 = (1..20).map(|h| (TAU * f64::from(h) * phase).sin() / f64::from(h)).sum();
            (6_000.0 * loud * sum) as i16
        })
        .collect()
}

fn tone(rate: SampleRate, frames: usize) -> Vec<i16> {
    let wave = |n: usize| (8_000.0 * (TAU * 440.0 * n as f64 / f64::from(rate.0)).sin()) as i16;
    (0..frames * frame_of(rate)).map(wave).collect()
}

fn encoded(settings: &Settings, pcm: &[i16]) -> Vec<Option<Vec<u8>>> {
    let mut encoder = Encoder::new(settings).expect("an encoder");
    let mut out = [0; PACKET_BYTES_MAX];
    pcm.chunks_exact(frame_of(settings.rate))
        .map(|frame| match encoder.encode(frame, &mut out).expect("a frame") {
            Encoded::Packet(bytes) => Some(out[..bytes].to_vec()),
            Encoded::Silent => None,
        })
        .collect()
}

fn power(pcm: &[i16]) -> f64 {
    pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / pcm.len() as f64
}

fn level_db(pcm: &[i16]) -> f64 {
    10.0 * power(pcm).log10()
}

#[test]
fn a_tone_keeps_its_level_within_1_db_from_each_of_three_rates_to_each() {
    for from in RATES {
        let said = tone(from, 50);
        let packets = encoded(&Settings::voice(from), &said);
        for to in RATES {
            let mut decoder = Decoder::new(to).expect("a decoder");
            let mut heard = Vec::new();
            for packet in packets.iter().flatten() {
                let mut out = vec![0; to.samples(PACKET_MAX) as usize];
                let samples = decoder.decode(packet, &mut out).expect("a packet");
                assert_eq!((samples, decoder.samples_in(packet)), (frame_of(to), Ok(samples)));
                heard.extend(&out[..samples]);
            }
            let change = level_db(&heard[heard.len() / 2..]) - level_db(&said);
            assert!(change.abs() < 1.0, "{from:?} to {to:?}: {change:.2} dB");
        }
    }
}

/// Decodes with every tenth packet lost; gives the error where they were missing, below what was said there.
fn missed(packets: &[Option<Vec<u8>>], with_fec: bool) -> f64 {
    let rate = SampleRate::WIDE;
    let decode_all = |lost: &dyn Fn(usize) -> bool| {
        let mut decoder = Decoder::new(rate).expect("a decoder");
        let mut heard = Vec::new();
        for (n, packet) in packets.iter().enumerate() {
            let mut out = vec![0; frame_of(rate)];
            match packet {
                Some(packet) if !lost(n) => decoder.decode(packet, &mut out),
                Some(_) | None => match packets.get(n + 1).and_then(Option::as_ref).filter(|_| with_fec) {
                    Some(after) => decoder.recover(after, &mut out),
                    None => decoder.conceal(&mut out),
                },
            }
            .expect("20 ms");
            heard.push(out);
        }
        heard
    };
    let lost = |n: usize| n > 20 && n % 10 == 5;
    let (whole, patched) = (decode_all(&|_| false), decode_all(&lost));
    let (mut said, mut wrong) = (0.0, 0.0);
    for n in (0..packets.len()).filter(|n| lost(*n)) {
        let error: Vec<i16> = whole[n].iter().zip(&patched[n]).map(|(a, b)| a.saturating_sub(*b)).collect();
        (said, wrong) = (said + power(&whole[n]), wrong + power(&error));
    }
    10.0 * (said / wrong).log10()
}

#[test]
fn a_lost_packet_is_nearer_by_3_db_with_what_the_next_one_repeats_than_made_up() {
    let settings = Settings { expected_loss_percent: 20, ..Settings::voice(SampleRate::WIDE) };
    let packets = encoded(&settings, &voice(SampleRate::WIDE, 500));
    let (made_up, recovered) = (missed(&packets, false), missed(&packets, true));
    assert!(recovered > made_up + 3.0, "made up {made_up:.1} dB, recovered {recovered:.1} dB");
    // Without redundancy there is nothing to recover, and it is made up as before.
    let plain = encoded(&Settings { fec: false, ..settings }, &voice(SampleRate::WIDE, 500));
    let (made_up, recovered) = (missed(&plain, false), missed(&plain, true));
    assert!((recovered - made_up).abs() < 3.0, "made up {made_up:.1} dB, recovered {recovered:.1} dB");
}

#[test]
fn a_voice_needs_no_more_than_the_bitrate_asked_for_and_that_is_bounded_by_6_and_64_kbit() {
    let needed = |bitrate| {
        let settings = Settings { bitrate, fec: false, ..Settings::voice(SampleRate::FULL) };
        let packets = encoded(&settings, &voice(SampleRate::FULL, 200));
        packets.iter().flatten().map(|packet| packet.len() as u32 * 8).sum::<u32>() / 4
    };
    let all: Vec<u32> = [8_000, 12_000, 24_000, 48_000].into_iter().map(needed).collect();
    let within = |(asked, needed): (u32, &u32)| *needed < asked + asked / 10;
    assert!([8_000, 12_000, 24_000, 48_000].into_iter().zip(&all).all(within), "{all:?}");
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
    assert_eq!((needed(0), needed(u32::MAX)), (needed(6_000), needed(64_000)));
}

#[test]
fn two_seconds_of_silence_need_fewer_than_20_packets_with_dtx_and_100_without() {
    for (dtx, most) in [(true, 1..20), (false, 100..101)] {
        let settings = Settings { dtx, ..Settings::voice(SampleRate::WIDE) };
        let pcm = vec![0; frame_of(SampleRate::WIDE) * 100];
        let sent = encoded(&settings, &pcm).iter().flatten().count();
        assert!(most.contains(&sent), "{sent} packets with dtx {dtx}");
    }
}

#[test]
fn thirty_thousand_changed_packets_are_read_or_refused_and_the_stream_goes_on() {
    let mut entropy = Entropy::from_number(5);
    let packets = encoded(&Settings::voice(SampleRate::WIDE), &voice(SampleRate::WIDE, 50));
    let mut decoder = Decoder::new(SampleRate::NARROW).expect("a decoder");
    let mut out = [0; 960];
    let (mut read, mut refused) = (0, 0);
    for n in 0..30_000_usize {
        let mut packet = packets[n % packets.len()].clone().expect("speech");
        for _ in 0..=entropy.below(6) {
            let place = entropy.below(packet.len() as u64) as usize;
            packet[place] = entropy.next_u32() as u8;
        }
        match entropy.below(4) {
            0 => packet.truncate(entropy.below(packet.len() as u64 + 1) as usize),
            1 => packet.extend((0..entropy.below(1_500)).map(|n| n as u8)),
            _ => {}
        }
        let room = [960, 160, 7, 0][entropy.below(4) as usize];
        let result = match entropy.below(3) {
            0 => decoder.recover(&packet, &mut out[..room]),
            _ => decoder.decode(&packet, &mut out[..room]),
        };
        match result {
            Ok(samples) => {
                assert!(samples <= room);
                read += 1;
            }
            Err(OpusError::Malformed | OpusError::TooLong) => refused += 1,
            Err(other) => panic!("{other} of {packet:?} into {room}"),
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
    let fresh = packets.iter().flatten().filter(|packet| decoder.decode(packet, &mut out) == Ok(160)).count();
    assert_eq!(fresh, 50);
}

#[test]
fn what_is_no_rate_no_frame_or_no_packet_is_refused_with_a_word() {
    let rate = SampleRate(11_025);
    assert_eq!(Decoder::new(rate).err(), Some(OpusError::Rate(rate)));
    assert_eq!(Encoder::new(&Settings::voice(rate)).err(), Some(OpusError::Rate(rate)));
    let mut encoder = Encoder::new(&Settings::voice(SampleRate::WIDE)).expect("an encoder");
    assert_eq!(encoder.encode(&[0; 160], &mut [0; 100]), Err(OpusError::Frame(160)));
    let mut decoder = Decoder::new(SampleRate::WIDE).expect("a decoder");
    assert_eq!(decoder.decode(&[], &mut [0; 320]), Err(OpusError::Malformed));
    // Two frames of unequal length that say that both are equal.
    assert_eq!(decoder.decode(&[0x01, 0, 0], &mut [0; 640]).err(), None);
    assert_eq!(decoder.decode(&[0x01, 0], &mut [0; 640]), Err(OpusError::Malformed));
}
