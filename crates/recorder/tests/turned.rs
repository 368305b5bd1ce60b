//! Recordings of legs whose codecs no file holds: Opus and L16, heard in the file as they were said, and each frame covered.

use core::f64::consts::TAU;
use std::collections::BTreeMap;

use offhook_codec::{Coding, Decoder, Form, Law, NarrowDecoder, SpeechEncoder, g722, opus};
use offhook_plan::CodecKind;
use offhook_plan::tap::{Side, TapHeader};
use offhook_recorder::{FRAME_BYTES, GapReason, HEADER_BYTES, Recording, RecordingSpec, Summary, WavHeader};
use offhook_units::{CallId, Entropy, LegId, RecordingId, SampleRate, Tick};
use sha2::{Digest, Sha256};

const STARTED: u64 = 1_700_000_000_000_000;

/// A packet as a worker taps it.
#[derive(Debug, Clone)]
struct Tapped {
    at_us: u64,
    codec: CodecKind,
    seq: u16,
    timestamp: u32,
    ssrc: u32,
    payload: Vec<u8>,
}

/// Somebody who says a tone that rises by 100 Hz every second, from 400 Hz on.
struct Sayer {
    codec: CodecKind,
    encoder: SpeechEncoder,
    /// Samples said, and to a packet.
    said: usize,
    samples: usize,
    seq: u16,
    timestamp: u32,
    ssrc: u32,
}

fn form_of(codec: CodecKind) -> Form {
    match codec {
        CodecKind::Pcmu => Form::Bytes(Coding::G711(Law::Mu)),
        CodecKind::Pcma => Form::Bytes(Coding::G711(Law::A)),
        CodecKind::G722 => Form::Bytes(Coding::G722),
        CodecKind::Opus => Form::Opus,
        CodecKind::L16 => Form::Linear,
    }
}

fn pitch(second: usize) -> f64 {
    400.0 + 100.0 * second as f64
}

impl Sayer {
    fn new(codec: CodecKind, samples: usize, ssrc: u32) -> Self {
        let encoder = SpeechEncoder::in_mid_stream(form_of(codec)).expect("an encoder");
        Self { codec, encoder, said: 0, samples, seq: 65_500, timestamp: u32::MAX - 50_000, ssrc }
    }

    fn packet(&mut self, at_us: u64) -> Tapped {
        let tone = |n: usize| (6_000.0 * (TAU * pitch(n / 8_000) * n as f64 / 8_000.0).sin()) as i16;
        let pcm: Vec<i16> = (self.said..self.said + self.samples).map(tone).collect();
        let mut payload = vec![0; opus::PACKET_BYTES_MAX];
        let bytes = self.encoder.encode(&pcm, &mut payload);
        payload.truncate(bytes);
        let Self { codec, seq, timestamp, ssrc, .. } = *self;
        self.said += self.samples;
        self.seq = seq.wrapping_add(1);
        self.timestamp = timestamp.wrapping_add(self.samples as u32 * (codec.clock() / 8_000));
        Tapped { at_us, codec, seq, timestamp, ssrc, payload }
    }

    /// So many packets, each some milliseconds late.
    fn talk(&mut self, from_us: u64, packets: u64) -> Vec<Tapped> {
        let mut entropy = Entropy::from_number(from_us + packets);
        let apart = self.samples as u64 * 125;
        (0..packets).map(|n| self.packet(from_us + n * apart + entropy.below(8_000))).collect()
    }
}

/// Records what was heard; gives the bytes of its channel, and what is known of it.
fn record(codec: CodecKind, packets: &[Tapped], end_us: u64) -> (Vec<u8>, Summary) {
    let started = Tick::from_us(STARTED);
    let spec = RecordingSpec { id: RecordingId(1), call: CallId(2), started, meta: BTreeMap::new(), codec };
    let (mut recording, mut file, mut flushed) = (Recording::new(spec), vec![0; HEADER_BYTES], 0);
    let silence = [if codec.recorded_as() == CodecKind::G722 { g722::SILENCE } else { Law::Mu.silence() }; 4_096];
    let flush = |recording: &mut Recording, file: &mut Vec<u8>| {
        while let Some(dirty) = recording.dirty(&silence) {
            let (from, length) = (dirty.offset as usize, dirty.bytes.len());
            file.resize(file.len().max(from + length), 0);
            file[from..from + length].copy_from_slice(dirty.bytes);
            recording.written(length);
        }
        file[..HEADER_BYTES].copy_from_slice(&recording.header().encode());
    };
    for packet in packets {
        let header = TapHeader {
            recording: RecordingId(1),
            leg: LegId(1),
            at: Tick::from_us(STARTED + packet.at_us),
            side: Side::Heard,
            payload_type: packet.codec.static_payload_type().unwrap_or(111),
            codec: Some(packet.codec),
            seq: packet.seq,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
            payload_bytes: packet.payload.len() as u16,
            dropped_before: 0,
        };
        recording.receive(&header, &packet.payload);
        if packet.at_us >= flushed + 500_000 {
            flushed = packet.at_us;
            recording.advance(header.at);
            flush(&mut recording, &mut file);
        }
    }
    recording.end(Tick::from_us(STARTED + end_us));
    flush(&mut recording, &mut file);
    let frames = WavHeader::decode(&file).expect("a header").frames;
    file.truncate(HEADER_BYTES + (frames * FRAME_BYTES) as usize);
    (file[HEADER_BYTES..].iter().step_by(2).copied().collect(), recording.summary())
}

/// The left channel as it is heard, at 8 kHz.
fn heard(codec: CodecKind, bytes: &[u8]) -> Vec<i16> {
    let mut pcm = vec![0; 2 * bytes.len()];
    if codec.recorded_as() == CodecKind::G722 {
        let count = g722::Decoder::default().decode(bytes, &mut pcm);
        return offhook_codec::resample(&pcm[..count], SampleRate::WIDE, SampleRate::NARROW).expect("two rates");
    }
    let count = NarrowDecoder::new(Coding::G711(Law::Mu)).decode(bytes, &mut pcm);
    pcm.truncate(count);
    pcm
}

fn level(pcm: &[i16], hertz: f64) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let angle = TAU * hertz * n as f64 / 8_000.0;
        real += f64::from(*sample) * angle.cos();
        imaginary += f64::from(*sample) * angle.sin();
    }
    2.0 * real.hypot(imaginary) / pcm.len() as f64
}

fn gaps(summary: &Summary) -> Vec<(u64, u64, GapReason)> {
    summary.gaps.iter().filter(|gap| gap.side == Side::Heard).map(|gap| (gap.from, gap.to, gap.why)).collect()
}

#[test]
fn opus_and_l16_are_covered_from_the_first_packet_to_the_last_and_heard_where_they_were_said() {
    for (said, samples) in
        [(CodecKind::Opus, 160), (CodecKind::Opus, 480), (CodecKind::L16, 160), (CodecKind::L16, 240)]
    {
        for file in [CodecKind::Opus, CodecKind::G722, CodecKind::Pcmu] {
            let what = format!("{said:?} in packets of {samples}, into {file:?}");
            let packets = Sayer::new(said, samples, 7).talk(1_000_000, 80_000 / samples as u64);
            let (bytes, summary) = record(file, &packets, 12_000_000);
            let gaps = gaps(&summary);
            let [(0, begins, GapReason::BeforeFirstPacket), (ends, _, GapReason::AfterLastPacket)] = gaps[..] else {
                panic!("{what}: {gaps:?}")
            };
            let whole = 80_000 / samples as u64 * samples as u64;
            assert!(ends - begins == whole && begins.abs_diff(8_000) <= 64, "{what}: {gaps:?}");
            let payloads: Vec<u8> = packets.iter().flat_map(|packet| packet.payload.clone()).collect();
            assert_eq!(<[u8; 32]>::from(Sha256::digest(payloads)), summary.payload_sha256[0], "{what}");
            let counts = summary.counts[0];
            assert_eq!((counts.packets as usize, counts.lost, counts.discarded), (packets.len(), 0, 0), "{what}");
            let pcm = heard(file, &bytes);
            for second in 0..9 {
                let of = &pcm[begins as usize + second * 8_000 + 1_600..][..4_800];
                let (right, wrong) = (level(of, pitch(second)), level(of, pitch(second + 1)));
                assert!((4_800.0..7_200.0).contains(&right) && wrong < 800.0, "{what}, {second} s: {right} {wrong}");
            }
        }
    }
}

#[test]
fn a_lost_packet_of_opus_is_a_gap_of_its_length_and_one_that_is_late_finds_its_place() {
    let mut packets = Sayer::new(CodecKind::Opus, 160, 7).talk(0, 200);
    packets.remove(150);
    packets.swap(50, 51);
    let (_, summary) = record(CodecKind::Opus, &packets, 4_000_000);
    assert_eq!(summary.counts[0].lost, 1);
    let inner: Vec<_> = gaps(&summary).into_iter().filter(|gap| gap.2 == GapReason::NetworkLoss).collect();
    assert!(matches!(inner[..], [(from, to, _)] if to - from == 160), "{inner:?}");
}

#[test]
fn a_call_whose_customer_goes_from_pcmu_to_opus_and_back_is_covered_but_for_the_way_there() {
    for same_source in [false, true] {
        let [first, second, third] = if same_source { [7, 7, 7] } else { [7, 8, 9] };
        let mut all = Sayer::new(CodecKind::Pcmu, 160, first).talk(0, 150);
        let mut opus = Sayer::new(CodecKind::Opus, 160, second);
        let mut again = Sayer::new(CodecKind::Pcmu, 160, third);
        if same_source {
            // Numbers go on; the time line is another one.
            opus.seq = 65_500_u16.wrapping_add(150);
            again.seq = 65_500_u16.wrapping_add(300);
        }
        all.extend(opus.talk(3_000_000, 150));
        all.extend(again.talk(6_000_000, 150));
        let (bytes, summary) = record(CodecKind::Pcmu, &all, 9_000_000);
        let missing: u64 = gaps(&summary).iter().map(|(from, to, _)| to - from).sum();
        assert!(missing <= 480, "same source {same_source}: {:?}", gaps(&summary));
        assert_eq!(summary.counts[0].packets, 450);
        let pcm = heard(CodecKind::Pcmu, &bytes);
        for second in 0..3 {
            let of = &pcm[24_000 + second * 8_000 + 1_600..][..4_800];
            assert!(level(of, pitch(second)) > 4_800.0, "same source {same_source}, {second} s of Opus");
        }
    }
}

#[test]
fn what_is_no_packet_of_opus_is_a_gap_of_an_unknown_codec_and_does_no_harm_to_what_follows() {
    let mut packets = Sayer::new(CodecKind::Opus, 160, 7).talk(0, 200);
    // Two frames said to be equal, of an odd number of bytes.
    packets[100].payload = vec![0x01, 0];
    let (_, summary) = record(CodecKind::Opus, &packets, 4_000_000);
    let unknown: Vec<_> = gaps(&summary).into_iter().filter(|gap| gap.2 == GapReason::UnknownCodec).collect();
    assert!(matches!(unknown[..], [(from, to, _)] if to - from == 160), "{unknown:?}");
    assert_eq!((summary.counts[0].packets, summary.counts[0].discarded), (199, 1));
}

#[test]
fn random_bytes_as_opus_and_l16_are_kept_or_discarded_and_each_frame_is_accounted_for() {
    let mut entropy = Entropy::from_number(5);
    let mut packets = Vec::new();
    let mut at_us = 0;
    for n in 0..20_000_u32 {
        at_us += entropy.below(40_000);
        let codec = CodecKind::ALL[entropy.below(5) as usize];
        let mut payload = vec![0; entropy.below(300) as usize];
        entropy.fill(&mut payload);
        let (seq, ssrc) = ((n as u16).wrapping_add(entropy.below(4) as u16), u32::from(entropy.below(90) == 0));
        packets.push(Tapped { at_us, codec, seq, timestamp: n.wrapping_mul(960), ssrc, payload });
    }
    let (bytes, summary) = record(CodecKind::Opus, &packets, at_us);
    let missing: u64 = gaps(&summary).iter().map(|(from, to, _)| to - from).sum();
    assert_eq!(bytes.len() as u64, summary.frames);
    if summary.gaps_unlisted == 0 {
        assert_eq!(missing + summary.covered[0], summary.frames);
    }
    assert!(summary.counts[0].packets > 1_000 && summary.counts[0].discarded > 100, "{:?}", summary.counts[0]);
}
