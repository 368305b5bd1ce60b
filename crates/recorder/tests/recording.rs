//! The machine of a recording on a simulated network: each packet's place in the file, and each gap's reason.

use std::collections::{BTreeMap, BTreeSet};

use offhook_plan::CodecKind;
use offhook_plan::tap::{Side, TapHeader};
use offhook_recorder::{FRAME_BYTES, GapReason, HEADER_BYTES, Recording, RecordingSpec, Summary, WavHeader};
use offhook_units::{CallId, Entropy, LegId, RecordingId, Span, Tick};
use sha2::{Digest, Sha256};

const STARTED: u64 = 1_700_000_000_000_000;

/// A packet on its way to the tap; `sent` and `at` in microseconds after the start of the recording.
#[derive(Debug, Clone)]
struct Sent {
    at: u64,
    side: Side,
    payload_type: u8,
    seq: u16,
    timestamp: u32,
    ssrc: u32,
    payload: Vec<u8>,
}

/// A talker: 20 ms packets of random bytes from `from_us` on, its clock `ppm` slower than ours, delayed by 0..`jitter_us`.
struct Talker {
    side: Side,
    from_us: u64,
    packets: u64,
    ppm: i64,
    jitter_us: u64,
    seq: u16,
    timestamp: u32,
}

impl Talker {
    fn new(side: Side, packets: u64) -> Self {
        Self { side, from_us: 0, packets, ppm: 0, jitter_us: 0, seq: 65_500, timestamp: u32::MAX - 1_000 }
    }

    fn talk(&self) -> Vec<Sent> {
        let mut entropy = Entropy::from_number(self.packets ^ self.from_us);
        let talk = |n: u64| {
            let sent = self.from_us as i64 + (n * 20_000) as i64 + (n as i64) * 20_000 * self.ppm / 1_000_000;
            let mut payload = vec![0; 160];
            entropy.fill(&mut payload);
            Sent {
                at: sent as u64 + entropy.below(self.jitter_us + 1),
                side: self.side,
                payload_type: 0,
                seq: self.seq.wrapping_add(n as u16),
                timestamp: self.timestamp.wrapping_add(n as u32 * 160),
                ssrc: 77,
                payload,
            }
        };
        (0..self.packets).map(talk).collect()
    }
}

/// What a worker says of a packet whose leg has agreed on these payload types: a packet of four bytes is an event.
fn codec_of(payload_type: u8, payload: &[u8]) -> Option<CodecKind> {
    match payload_type {
        0 => Some(CodecKind::Pcmu),
        8 => Some(CodecKind::Pcma),
        9 => Some(CodecKind::G722),
        97 => Some(CodecKind::L16),
        111 if payload.len() != 4 => Some(CodecKind::Opus),
        _ => None,
    }
}

fn bytes(packets: &[Sent]) -> Vec<u8> {
    packets.iter().flat_map(|p| p.payload.clone()).collect()
}

fn spec(codec: CodecKind) -> RecordingSpec {
    let started = Tick::from_us(STARTED);
    RecordingSpec { id: RecordingId(1), call: CallId(2), started, meta: BTreeMap::new(), codec }
}

/// What came of it: the file's two channels, and the summary.
struct Taken {
    left: Vec<u8>,
    right: Vec<u8>,
    summary: Summary,
}

/// Sends packets in order of arrival through a recording that is flushed every 500 ms and ended at `end_us`.
fn record(codec: CodecKind, packets: Vec<Sent>, end_us: u64) -> Taken {
    record_with(codec, packets, &[], end_us, true)
}

/// The same, with pauses from and to these instants, each told at once.
fn record_but(codec: CodecKind, packets: Vec<Sent>, pauses: &[(u64, Option<u64>)], end_us: u64) -> Taken {
    record_with(codec, packets, pauses, end_us, true)
}

/// As [`record_but`]; what is not flushed on the way is written at the end, out of memory.
fn record_with(
    codec: CodecKind,
    mut packets: Vec<Sent>,
    pauses: &[(u64, Option<u64>)],
    end_us: u64,
    flushes: bool,
) -> Taken {
    packets.sort_by_key(|p| p.at);
    let mut recording = Recording::new(spec(codec));
    for (from, to) in pauses {
        recording.pause(Tick::from_us(STARTED + from));
        if let Some(to) = to {
            recording.resume(Tick::from_us(STARTED + to));
        }
    }
    let mut file = vec![0; HEADER_BYTES];
    let mut flushed = 0;
    for packet in &packets {
        while packet.at >= flushed + 500_000 {
            flushed += 500_000;
            recording.advance(Tick::from_us(STARTED + flushed));
            if flushes {
                flush(&mut recording, &mut file);
            }
        }
        let header = TapHeader {
            recording: RecordingId(1),
            leg: LegId(1),
            at: Tick::from_us(STARTED + packet.at),
            side: packet.side,
            payload_type: packet.payload_type,
            codec: codec_of(packet.payload_type, &packet.payload),
            seq: packet.seq,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
            payload_bytes: packet.payload.len() as u16,
            dropped_before: 0,
        };
        recording.receive(&header, &packet.payload);
    }
    recording.end(Tick::from_us(STARTED + end_us));
    flush(&mut recording, &mut file);
    let summary = recording.summary();
    file.truncate(HEADER_BYTES + (recording.frames() * FRAME_BYTES) as usize);
    let header = WavHeader::decode(&file).expect("a header");
    assert_eq!((header.frames, header.decided), (summary.frames, [summary.frames; 2]));
    assert_eq!(file.len(), HEADER_BYTES + (summary.frames * FRAME_BYTES) as usize);
    let data = &file[HEADER_BYTES..];
    let channel = |n: usize| data.iter().skip(n).step_by(2).copied().collect();
    let taken = Taken { left: channel(0), right: channel(1), summary };
    taken.check_every_frame_is_speech_or_gap(codec);
    taken
}

fn flush(recording: &mut Recording, file: &mut Vec<u8>) {
    while let Some(dirty) = recording.dirty(&[0xff; 4_096]) {
        let (from, length) = (dirty.offset as usize, dirty.bytes.len());
        file.resize(file.len().max(from + length), 0);
        file[from..from + length].copy_from_slice(dirty.bytes);
        recording.written(length);
    }
    file[..HEADER_BYTES].copy_from_slice(&recording.header().encode());
}

impl Taken {
    fn gaps(&self, side: Side) -> Vec<(u64, u64, GapReason)> {
        self.summary.gaps.iter().filter(|gap| gap.side == side).map(|gap| (gap.from, gap.to, gap.why)).collect()
    }

    /// What lies outside of a side's gaps.
    fn speech(&self, side: Side) -> Vec<u8> {
        let mut channel = if side == Side::Heard { self.left.clone() } else { self.right.clone() };
        for (from, to, _) in self.gaps(side).into_iter().rev() {
            channel.drain(from as usize..to as usize);
        }
        channel
    }

    /// The completeness proof: gaps are disjoint and silent, what is left is as much as is said to be covered, and it is what
    /// the payload hash says where nothing was converted.
    fn check_every_frame_is_speech_or_gap(&self, codec: CodecKind) {
        let silence = match codec {
            CodecKind::Pcmu => 0xff,
            CodecKind::Pcma => 0xd5,
            CodecKind::G722 | CodecKind::Opus | CodecKind::L16 => 0xfd,
        };
        for (n, side) in [Side::Heard, Side::Sent].into_iter().enumerate() {
            let channel = [&self.left, &self.right][n];
            let mut reached = 0;
            for (from, to, why) in self.gaps(side) {
                assert!(reached <= from && from < to && to <= self.summary.frames, "{from}..{to} {why:?}");
                assert!(
                    channel[from as usize..to as usize].iter().all(|&byte| byte == silence),
                    "{from}..{to} {why:?}"
                );
                reached = to;
            }
            let speech = self.speech(side);
            assert_eq!(speech.len() as u64, self.summary.covered[n]);
            assert_eq!(speech.len() as u64, self.summary.counts[n].payload_bytes);
            if codec == CodecKind::Pcmu {
                assert_eq!(<[u8; 32]>::from(Sha256::digest(&speech)), self.summary.payload_sha256[n]);
            }
        }
    }
}

#[test]
fn an_undisturbed_stream_lies_in_the_file_byte_for_byte_with_silence_only_before_and_after() {
    let heard = Talker { from_us: 40_000, jitter_us: 15_000, ..Talker::new(Side::Heard, 3_000) }.talk();
    let sent = Talker { from_us: 7_000_000, ..Talker::new(Side::Sent, 2_000) }.talk();
    let taken = record(CodecKind::Pcmu, [heard.clone(), sent.clone()].concat(), 65_000_000);
    assert_eq!(taken.speech(Side::Heard), bytes(&heard));
    assert_eq!(taken.speech(Side::Sent), bytes(&sent));
    let [(0, start, GapReason::BeforeFirstPacket), (end, 520_000, GapReason::AfterLastPacket)] =
        taken.gaps(Side::Heard)[..]
    else {
        panic!("{:?}", taken.gaps(Side::Heard))
    };
    assert!((320..360).contains(&start), "within 5 ms of where it was sent: {start}");
    assert_eq!(end - start, 480_000);
    let before_and_after = [(0, 56_000, GapReason::BeforeFirstPacket), (376_000, 520_000, GapReason::AfterLastPacket)];
    assert_eq!(taken.gaps(Side::Sent), before_and_after);
}

#[test]
fn a_lost_packet_leaves_20_ms_of_silence_and_overtaken_and_doubled_ones_leave_nothing() {
    let mut heard = Talker { jitter_us: 3_000, ..Talker::new(Side::Heard, 500) }.talk();
    heard[100].at += 30_000;
    heard[200].at += 90_000;
    let double = heard[250].clone();
    heard.push(Sent { at: double.at + 50_000, ..double });
    let lost = heard.remove(300);
    let taken = record(CodecKind::Pcmu, heard.clone(), 10_000_000);
    heard.pop();
    assert_eq!(taken.speech(Side::Heard), bytes(&heard));
    let gaps = taken.gaps(Side::Heard);
    let loss = gaps.iter().find(|gap| gap.2 == GapReason::NetworkLoss).expect("a gap");
    assert_eq!(loss.1 - loss.0, lost.payload.len() as u64);
    let counts = taken.summary.counts[0];
    assert_eq!((counts.packets, counts.lost, counts.duplicates, counts.late), (499, 1, 1, 0));
    assert!(gaps.len() <= 3, "{gaps:?}");
}

#[test]
fn heavy_loss_reordering_and_doubling_lose_no_byte_that_came_in_time() {
    for seed in 0..20 {
        let mut entropy = Entropy::from_number(seed);
        let talk = Talker { jitter_us: 50_000, ..Talker::new(Side::Heard, 3_000) }.talk();
        let mut packets = Vec::new();
        for packet in &talk {
            match entropy.below(20) {
                0 => {}
                1 => packets.extend([packet.clone(), Sent { at: packet.at + entropy.below(60_000), ..packet.clone() }]),
                _ => packets.push(packet.clone()),
            }
        }
        let came: BTreeSet<u16> = packets.iter().map(|p| p.seq).collect();
        let unique: Vec<Sent> = talk.iter().filter(|p| came.contains(&p.seq)).cloned().collect();
        let (Some(first), Some(last)) = (unique.first(), unique.last()) else { panic!("packets") };
        let between = u64::from(last.seq.wrapping_sub(first.seq)) + 1;
        let taken = record(CodecKind::Pcmu, packets, 61_000_000);
        assert_eq!(taken.speech(Side::Heard), bytes(&unique), "seed {seed}");
        assert_eq!(taken.summary.counts[0].lost, between - unique.len() as u64, "seed {seed}");
        let at = taken.gaps(Side::Heard)[0].1;
        assert!(at < 400, "seed {seed}: {at}");
    }
}

#[test]
fn over_an_hour_of_clocks_200_ppm_apart_the_bytes_stay_contiguous() {
    for ppm in [-200, 200] {
        let heard = Talker { ppm, jitter_us: 10_000, ..Talker::new(Side::Heard, 180_000) }.talk();
        let sent = Talker::new(Side::Sent, 180_000).talk();
        let taken = record(CodecKind::Pcmu, [heard.clone(), sent.clone()].concat(), 3_600_000_000);
        assert_eq!(taken.speech(Side::Heard), bytes(&heard), "{ppm} ppm");
        assert_eq!(taken.right[..28_800_000], bytes(&sent), "{ppm} ppm");
        let heard_gaps = taken.gaps(Side::Heard);
        assert!(heard_gaps.iter().all(|g| [GapReason::BeforeFirstPacket, GapReason::AfterLastPacket].contains(&g.2)));
    }
}

#[test]
fn pauses_take_the_drift_out_so_that_after_an_hour_both_sides_are_within_10_ms() {
    for ppm in [-200, 100] {
        let mut talk = Talker { ppm, jitter_us: 10_000, ..Talker::new(Side::Heard, 180_000) }.talk();
        // Says nothing for 300 ms every 10 s, without losing a packet.
        talk.retain(|p| p.timestamp.wrapping_sub(u32::MAX - 1_000) / 160 % 500 < 485);
        for (n, packet) in talk.iter_mut().enumerate() {
            packet.seq = n as u16;
        }
        let last = talk.last().cloned().expect("packets");
        let sent_at =
            (i64::from(last.timestamp.wrapping_sub(u32::MAX - 1_000)) * 125 * (1_000_000 + ppm) / 1_000_000) as u64;
        let taken = record(CodecKind::Pcmu, talk, 3_602_000_000);
        let frame = taken.gaps(Side::Heard).last().expect("a pause at the end").0 - 160;
        assert_eq!(taken.left[frame as usize..][..160], last.payload);
        let error_ms = (frame * 125).abs_diff(sent_at) / 1_000;
        assert!(error_ms <= 10, "{ppm} ppm: {error_ms} ms off after an hour");
        let silent = taken.gaps(Side::Heard).iter().filter(|gap| gap.2 == GapReason::Silent).count();
        assert_eq!(silent, 359, "{ppm} ppm");
    }
}

#[test]
fn a_new_ssrc_and_a_leap_of_the_timestamp_continue_without_a_cut_and_a_late_one_after_its_gap() {
    let first = Talker::new(Side::Heard, 100).talk();
    let change = |from_us, n: u32| {
        let talker = Talker { from_us, seq: 900, timestamp: 5_000_000 * n, ..Talker::new(Side::Heard, 100) };
        talker.talk().into_iter().map(|p| Sent { ssrc: 100 + n, ..p }).collect::<Vec<_>>()
    };
    let mut leap = change(4_000_000, 1);
    for p in &mut leap {
        (p.timestamp, p.seq) = (p.timestamp.wrapping_add(123_456_789), p.seq + 100);
    }
    let all = [first, change(2_000_000, 1), leap, change(9_000_000, 2)].concat();
    let taken = record(CodecKind::Pcmu, all.clone(), 11_000_000);
    assert_eq!(taken.gaps(Side::Heard), [(48_000, 72_000, GapReason::SourceChange)]);
    assert_eq!(taken.speech(Side::Heard), bytes(&all));
}

#[test]
fn a_stall_of_the_network_keeps_the_stream_whole_and_a_pause_of_the_sender_moves_it() {
    let mut stalled = Talker::new(Side::Heard, 500).talk();
    for packet in &mut stalled[200..260] {
        packet.at = packet.at.max(5_200_000);
    }
    let taken = record(CodecKind::Pcmu, stalled.clone(), 10_000_000);
    assert_eq!(taken.left, bytes(&stalled));
    assert_eq!(taken.gaps(Side::Heard), []);

    let mut paused = Talker::new(Side::Heard, 400).talk();
    paused.iter_mut().skip(200).for_each(|p| p.at += 2_000_000);
    let taken = record(CodecKind::Pcmu, paused, 10_000_000);
    assert_eq!(taken.gaps(Side::Heard), [(32_000, 48_000, GapReason::Silent)]);
}

#[test]
fn key_presses_comfort_noise_and_foreign_codecs_are_gaps_with_their_names() {
    let mut talk = Talker::new(Side::Heard, 400).talk();
    for packet in &mut talk[100..110] {
        (packet.payload_type, packet.payload, packet.timestamp) = (101, vec![5, 10, 0, 160], 0);
    }
    (talk[200].payload_type, talk[200].payload) = (13, vec![60]);
    talk.iter_mut().skip(300).take(5).for_each(|p| p.payload_type = 18);
    let taken = record(CodecKind::Pcmu, talk, 8_000_000);
    let expected = [
        (16_000, 17_600, GapReason::TelephoneEvent),
        (32_000, 32_160, GapReason::ComfortNoise),
        (48_000, 48_800, GapReason::UnknownCodec),
    ];
    assert_eq!(taken.gaps(Side::Heard), expected);
    assert_eq!(taken.gaps(Side::Sent), [(0, 64_000, GapReason::BeforeFirstPacket)]);
}

#[test]
fn a_leg_that_changes_its_law_is_converted_and_its_payload_hash_is_of_what_arrived() {
    let mut talk = Talker::new(Side::Sent, 100).talk();
    for p in &mut talk {
        p.payload_type = 8;
    }
    talk.iter_mut().skip(50).for_each(|p| p.payload_type = 0);
    let taken = record(CodecKind::Pcma, talk.clone(), 2_000_000);
    assert_eq!(taken.right[..8_000], bytes(&talk[..50]));
    let converted: Vec<u8> =
        bytes(&talk[50..]).iter().map(|&b| offhook_codec::Law::Mu.to_other()[usize::from(b)]).collect();
    assert_eq!(taken.right[8_000..], converted);
    assert_eq!(<[u8; 32]>::from(Sha256::digest(bytes(&talk))), taken.summary.payload_sha256[1]);
}

#[test]
fn a_recording_of_g722_holds_it_as_it_arrived_and_turns_g711_into_it() {
    let mut talk = Talker::new(Side::Heard, 100).talk();
    talk.iter_mut().take(50).for_each(|p| p.payload_type = 9);
    talk.iter_mut().skip(50).for_each(|p| p.payload_type = 0);
    let taken = record(CodecKind::G722, talk.clone(), 2_000_000);
    assert_eq!(taken.left[..8_000], bytes(&talk[..50]));
    let (mulaw, g722) = (offhook_codec::Coding::G711(offhook_codec::Law::Mu), offhook_codec::Coding::G722);
    let mut converted = bytes(&talk[50..]);
    offhook_codec::Transcoder::new(mulaw, g722).expect("two codings").payload(&mut converted);
    assert_eq!(taken.left[8_000..], converted);
    assert!(taken.right.iter().all(|byte| *byte == offhook_codec::g722::SILENCE));
    assert_eq!(<[u8; 32]>::from(Sha256::digest(bytes(&talk))), taken.summary.payload_sha256[0]);
}

#[test]
fn a_sender_faster_than_time_is_cut_at_4_s_and_costs_bounded_disk() {
    let mut talk = Talker::new(Side::Heard, 20_000).talk();
    for p in &mut talk {
        p.at /= 100;
    }
    let taken = record(CodecKind::Pcmu, talk, 5_000_000);
    assert!(taken.summary.frames <= (4 + 5) * 8_000, "{} frames", taken.summary.frames);
    assert!(taken.summary.counts[0].discarded > 15_000);
}

#[test]
fn a_refusing_disk_loses_nothing_for_10_s_and_what_is_older_is_a_gap() {
    let talk = Talker::new(Side::Heard, 3_000).talk();
    for (refusing_s, lost) in [(9_u64, false), (30, true)] {
        let mut recording = Recording::new(spec(CodecKind::Pcmu));
        let mut file = vec![0; HEADER_BYTES];
        for (n, packet) in talk.iter().enumerate() {
            let header = TapHeader {
                recording: RecordingId(1),
                leg: LegId(1),
                at: Tick::from_us(STARTED + packet.at),
                side: Side::Heard,
                payload_type: 0,
                codec: Some(CodecKind::Pcmu),
                seq: packet.seq,
                timestamp: packet.timestamp,
                ssrc: 1,
                payload_bytes: 160,
                dropped_before: 0,
            };
            recording.receive(&header, &packet.payload);
            if n % 25 == 24 {
                recording.advance(header.at);
                if (500..500 + refusing_s as usize * 50).contains(&n) {
                    recording.refused();
                } else {
                    flush(&mut recording, &mut file);
                }
            }
            assert!(recording.unwritten() <= 16_000 * 15);
        }
        recording.end(Tick::from_us(STARTED) + Span::from_s(60));
        flush(&mut recording, &mut file);
        let summary = recording.summary();
        let disk: u64 = summary.gaps.iter().filter(|g| g.why == GapReason::Disk).map(|g| g.to - g.from).sum();
        assert_eq!(disk > 0, lost, "refusing for {refusing_s} s: {:?}", summary.gaps);
        assert_eq!(summary.covered[0] + disk, 480_000, "the right side has no speech to lose");
        let left: Vec<u8> = file[HEADER_BYTES..].iter().step_by(2).copied().collect();
        let mut expected = bytes(&talk);
        for gap in summary.gaps.iter().filter(|g| g.side == Side::Heard) {
            expected[gap.from as usize..gap.to as usize].fill(0xff);
        }
        assert!(left == expected, "refusing for {refusing_s} s");
    }
}

#[test]
fn records_lost_in_the_ring_are_told_from_packets_lost_on_the_way() {
    let talk = Talker::new(Side::Heard, 200).talk();
    let mut recording = Recording::new(spec(CodecKind::Pcmu));
    for packet in talk.iter().filter(|p| !matches!(p.seq.wrapping_sub(65_500), 50..=54 | 100)) {
        let at = Tick::from_us(STARTED + packet.at);
        let header = TapHeader {
            recording: RecordingId(1),
            leg: LegId(1),
            at,
            side: Side::Heard,
            payload_type: 0,
            codec: Some(CodecKind::Pcmu),
            seq: packet.seq,
            timestamp: packet.timestamp,
            ssrc: 1,
            payload_bytes: 160,
            dropped_before: 0,
        };
        if packet.seq.wrapping_sub(65_500) == 55 {
            recording.ring_dropped(at, 5);
        }
        recording.receive(&header, &packet.payload);
    }
    recording.end(Tick::from_us(STARTED + 4_000_000));
    let summary = recording.summary();
    let gaps: Vec<_> = summary.gaps.iter().filter(|g| g.side == Side::Heard).map(|g| (g.from, g.to, g.why)).collect();
    assert_eq!(gaps, [(8_000, 8_800, GapReason::RingFull), (16_000, 16_160, GapReason::NetworkLoss)]);
    assert_eq!(summary.ring_dropped, 5);
}

#[test]
fn what_was_let_go_of_lies_in_the_file_as_if_all_had_stayed_in_memory() {
    for seed in 0..30 {
        let mut entropy = Entropy::from_number(seed);
        let mut packets = Vec::new();
        for (side, from_us) in [(Side::Heard, 30_000), (Side::Sent, 900_000)] {
            let mut talk = Talker { from_us, jitter_us: 60_000, ..Talker::new(side, 1_500) }.talk();
            // Pauses and stalls of up to 3 s, losses, doubles, and another source in the midst.
            let (pause, stall, other) = (entropy.below(700), entropy.below(700) + 700, entropy.below(1_400));
            let (paused_us, stalled_us) = (entropy.below(3_000_000), entropy.below(3_000_000));
            let until = talk[stall as usize].at + stalled_us;
            for (n, packet) in (0..).zip(&mut talk) {
                packet.at += if n > pause { paused_us } else { 0 };
                packet.at = if n >= stall { packet.at.max(until) } else { packet.at };
                packet.ssrc += u32::from(n > other);
            }
            for packet in talk {
                match entropy.below(25) {
                    0 => {}
                    1 => packets.extend([packet.clone(), Sent { at: packet.at + entropy.below(90_000), ..packet }]),
                    _ => packets.push(packet),
                }
            }
        }
        let flushed = record_with(CodecKind::Pcmu, packets.clone(), &[], 40_000_000, true);
        let kept = record_with(CodecKind::Pcmu, packets, &[], 40_000_000, false);
        assert!(flushed.left == kept.left && flushed.right == kept.right, "seed {seed}");
        assert_eq!(flushed.summary, kept.summary, "seed {seed}");
        assert!(flushed.summary.gaps.len() > 20, "seed {seed}");
    }
}

#[test]
fn random_records_never_panic_and_every_frame_stays_accounted_for() {
    for seed in 0..30 {
        let mut entropy = Entropy::from_number(seed);
        let mut at = 0;
        let mut packets = Vec::new();
        for _ in 0..3_000 {
            at += entropy.below(40_000);
            let mut payload = vec![0; entropy.below(400) as usize];
            entropy.fill(&mut payload);
            packets.push(Sent {
                at,
                side: if entropy.below(2) == 0 { Side::Heard } else { Side::Sent },
                payload_type: [0, 0, 0, 8, 13, 101, 18][entropy.below(7) as usize],
                seq: (packets.len() as u64 + entropy.below(5)) as u16,
                timestamp: ((entropy.below(3) * 0x7fff_0000) as u32).wrapping_add(packets.len() as u32 * 160),
                ssrc: u32::from(entropy.below(50) == 0),
                payload,
            });
        }
        let mut from = 0;
        let pauses: Vec<(u64, Option<u64>)> = (0..entropy.below(20))
            .map(|_| {
                let begins = from + entropy.below(3_000_000);
                from = begins + entropy.below(2_000_000);
                (begins, Some(from))
            })
            .collect();
        let taken = record_but(CodecKind::Pcma, packets, &pauses, at);
        assert!(taken.summary.counts.iter().all(|c| c.packets > 0), "seed {seed}");
    }
}

#[test]
fn a_pause_is_silence_with_its_name_and_what_follows_lies_where_it_was_said() {
    let left = Talker { jitter_us: 8_000, ..Talker::new(Side::Heard, 500) }.talk();
    let right = Talker::new(Side::Sent, 500).talk();
    let both: Vec<Sent> = left.iter().chain(&right).cloned().collect();
    let taken = record_but(CodecKind::Pcmu, both, &[(3_010_000, Some(7_010_000))], 10_000_000);
    for (side, sent) in [(Side::Heard, left), (Side::Sent, right)] {
        let kept: Vec<Sent> =
            sent.into_iter().filter(|packet| packet.at <= 3_010_000 || packet.at >= 7_010_000).collect();
        assert!(taken.speech(side) == bytes(&kept), "every byte of before and after, none of between");
        let pauses: Vec<_> = taken.gaps(side).into_iter().filter(|gap| gap.2 == GapReason::Pause).collect();
        let (from, to) = (pauses[0].0, pauses.last().expect("a pause").1);
        assert!(from.abs_diff(24_000) <= 320 && to.abs_diff(56_000) <= 320, "{side:?} {pauses:?}");
        assert!(pauses.windows(2).all(|pair| pair[0].1 == pair[1].0), "{side:?} {pauses:?}");
        assert!(taken.gaps(side).iter().all(|gap| gap.2 == GapReason::Pause || gap.1 - gap.0 <= 320), "{side:?}");
    }
    let [left, right] = taken.summary.counts;
    assert_eq!((left.lost, left.late, left.discarded), (0, 0, 0), "what was not taken in was not lost");
    assert_eq!((right.lost, right.late, right.discarded), (0, 0, 0));
}

#[test]
fn pauses_of_a_silent_side_at_the_end_and_one_after_the_other_are_all_told() {
    let left = Talker::new(Side::Heard, 100).talk();
    let pauses = [(500_000, Some(600_000)), (600_000, Some(700_000)), (1_500_000, None)];
    let taken = record_but(CodecKind::Pcmu, left, &pauses, 4_000_000);
    assert_eq!(
        taken.gaps(Side::Sent),
        [
            (0, 4_000, GapReason::BeforeFirstPacket),
            (4_000, 4_800, GapReason::Pause),
            (4_800, 5_600, GapReason::Pause),
            (5_600, 12_000, GapReason::BeforeFirstPacket),
            (12_000, 32_000, GapReason::Pause),
        ]
    );
    let paused: u64 =
        taken.gaps(Side::Heard).iter().filter(|gap| gap.2 == GapReason::Pause).map(|gap| gap.1 - gap.0).sum();
    assert!(paused.abs_diff(1_600 + 20_000) <= 480, "{:?}", taken.gaps(Side::Heard));
    assert_eq!(taken.speech(Side::Heard).len(), 160 * (26 + 40), "packets of 0-500 ms and 700-1,500 ms");
}
