//! The writer with real rings, files and threads, on a clock that the test turns.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::{Receiver, unbounded};
use offhook_plan::CodecKind;
use offhook_plan::tap::{Side, TapHeader, TapWriter, tap_ring};
use offhook_recorder::{
    GapReason, HEADER_BYTES, Manifest, ManifestGap, OWED_MAX, RecorderEvent, RecordingSpec, WavHeader, Writer,
    WriterHandle, recording_path,
};
use offhook_units::{CallId, Entropy, LegId, RecordingId, Span, Tick};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const STARTED: Tick = Tick::from_us(1_709_251_199_000_000);

struct Bench {
    dir: TempDir,
    now: Arc<AtomicU64>,
    /// The writer stands still, as on a disk that does not answer: where it looks at its clock.
    stalled: Arc<AtomicBool>,
    tap: TapWriter,
    events: Receiver<RecorderEvent>,
    writer: WriterHandle,
}

fn start(dir: TempDir) -> Bench {
    let (tap, out) = tap_ring(16 << 20);
    let (told, events) = unbounded();
    let now = Arc::new(AtomicU64::new(STARTED.as_us()));
    let stalled = Arc::new(AtomicBool::new(false));
    let (clock, stall) = (now.clone(), stalled.clone());
    let clock = move || {
        while stall.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        Tick::from_us(clock.load(Ordering::Relaxed))
    };
    let writer = Writer::start(dir.path(), vec![out], move |event| _ = told.send(event), clock).expect("a writer");
    Bench { dir, now, stalled, tap, events, writer }
}

fn spec(id: u64) -> RecordingSpec {
    let meta = BTreeMap::from([("queue".into(), "sales".into())]);
    RecordingSpec { id: RecordingId(id), call: CallId(9), started: STARTED, meta, codec: CodecKind::Pcmu }
}

impl Bench {
    /// What was said is handed over before the clock goes on.
    fn set(&mut self, ms: u64) {
        while self.tap.is_holding() {
            self.tap.hand_over();
            std::thread::yield_now();
        }
        self.now.store((STARTED + Span::from_ms(ms)).as_us(), Ordering::Relaxed);
    }

    fn packet(&mut self, id: u64, n: u16, dropped_before: u32) -> Vec<u8> {
        let mut payload = vec![0; 160];
        Entropy::from_number(id << 16 | u64::from(n)).fill(&mut payload);
        let header = TapHeader {
            recording: RecordingId(id),
            leg: LegId(1),
            at: STARTED + Span::from_ms(20) * u64::from(n),
            side: Side::Heard,
            payload_type: 0,
            codec: Some(CodecKind::Pcmu),
            seq: n,
            timestamp: u32::from(n) * 160,
            ssrc: 5,
            payload_bytes: 160,
            dropped_before,
        };
        // Never waits for long: the writer drains.
        while !self.tap.push(&header, &payload) {
            std::thread::yield_now();
        }
        payload
    }

    fn event(&self) -> RecorderEvent {
        self.events.recv().expect("the recorder tells")
    }

    fn closed(&self) -> Manifest {
        match self.event() {
            RecorderEvent::Closed(manifest) => *manifest,
            other => panic!("{other:?}"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn lines(dir: &Path) -> Vec<Manifest> {
    let text = std::fs::read_to_string(dir.join("manifest.jsonl")).expect("a manifest");
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_recording_is_closed_with_its_bytes_its_hashes_and_one_manifest_line() {
    let mut bench = start(TempDir::new().expect("a folder"));
    bench.writer.open(spec(1));
    let mut speech = Vec::new();
    for n in 0..250 {
        speech.extend(bench.packet(1, n, 0));
        bench.set(u64::from(n) * 20);
    }
    bench.writer.close(RecordingId(1), STARTED + Span::from_s(5));
    bench.set(5_200);
    let manifest = bench.closed();
    let file = std::fs::read(bench.dir.path().join(&manifest.path)).expect("the file");
    assert_eq!(manifest.path, "2024/02/29/r-1.wav");
    assert_eq!((manifest.duration_ms, manifest.left.covered_ms, manifest.left.packets), (5_000, 5_000, 250));
    assert_eq!(manifest.sha256, hex(&file));
    assert_eq!(manifest.left.payload_sha256, hex(&speech));
    let left: Vec<u8> = file[HEADER_BYTES..].iter().step_by(2).copied().collect();
    assert!(left == speech, "every byte as it arrived");
    assert!(file[HEADER_BYTES..].iter().skip(1).step_by(2).all(|&byte| byte == 0xff));
    let gaps: Vec<_> = manifest.gaps.iter().map(|g| (g.side, g.from_ms, g.to_ms, g.why)).collect();
    assert_eq!(gaps, [(Side::Sent, 0, 5_000, GapReason::BeforeFirstPacket)]);
    assert_eq!(manifest.meta["queue"], "sales");
    assert_eq!(lines(bench.dir.path()), [manifest]);
    assert!(!bench.dir.path().join("2024/02/29/r-1.journal").exists());
    let stats = bench.writer.stats();
    assert_eq!((stats.closed, stats.records, stats.orphans, stats.disk_errors), (1, 250, 0, 0));
}

#[test]
fn shutdown_closes_what_is_open_and_records_of_unknown_recordings_are_counted() {
    let mut bench = start(TempDir::new().expect("a folder"));
    for id in 1..=20 {
        bench.writer.open(spec(id));
        bench.packet(id, 0, 0);
    }
    bench.packet(99, 0, 0);
    bench.set(1_000);
    let Bench { dir, events, writer, .. } = bench;
    writer.shutdown();
    let closed = lines(dir.path());
    assert_eq!(closed.len(), 20);
    assert!(closed.iter().all(|m| m.left.packets == 1 && m.duration_ms == 1_000 && !m.mended));
    assert_eq!(events.iter().count(), 20);
}

#[test]
fn a_recording_closed_while_the_writer_was_stalled_has_its_last_words() {
    let mut bench = start(TempDir::new().expect("a folder"));
    bench.writer.open(spec(1));
    bench.packet(1, 0, 0);
    bench.set(20);
    while bench.writer.stats().records < 1 {
        std::thread::yield_now();
    }
    bench.stalled.store(true, Ordering::Relaxed);
    // Half the ring is handed over; what follows waits for a full chunk.
    let mut n = 1;
    while !bench.tap.is_holding() {
        bench.packet(1, n, 0);
        bench.tap.hand_over();
        n += 1;
    }
    bench.packet(1, n, 0);
    let end = u64::from(n + 1) * 20;
    bench.writer.close(RecordingId(1), STARTED + Span::from_ms(end));
    bench.now.store((STARTED + Span::from_ms(end + 500)).as_us(), Ordering::Relaxed);
    bench.stalled.store(false, Ordering::Relaxed);
    bench.set(end + 600);
    let manifest = bench.closed();
    assert_eq!((manifest.left.packets, manifest.duration_ms), (u64::from(n) + 1, end));
    assert_eq!(bench.writer.stats().orphans, 0);
}

#[test]
fn drops_of_a_full_ring_are_told_and_listed() {
    let mut bench = start(TempDir::new().expect("a folder"));
    bench.writer.open(spec(1));
    for n in (0..100).filter(|n| !(40..45).contains(n)) {
        bench.packet(1, n, if n == 45 { 5 } else { 0 });
    }
    bench.set(2_000);
    assert_eq!(bench.event(), RecorderEvent::Dropped { count: 5 });
    bench.writer.close(RecordingId(1), STARTED + Span::from_s(2));
    bench.set(2_200);
    let manifest = bench.closed();
    let gap = manifest.gaps.iter().find(|g| g.side == Side::Heard).expect("a gap");
    assert_eq!((gap.from_ms, gap.to_ms, gap.why), (800, 900, GapReason::RingFull));
    assert_eq!((manifest.dropped, bench.writer.stats().dropped), (5, 5));
}

#[test]
fn a_recording_that_is_open_already_is_told() {
    let bench = start(TempDir::new().expect("a folder"));
    bench.writer.open(spec(1));
    bench.writer.open(spec(1));
    let RecorderEvent::Failed { id, error } = bench.event() else { panic!("the second open fails") };
    assert!(id == Some(RecordingId(1)) && error.contains("open already"), "{error}");
}

/// A folder that takes no recording of that year until the file in the way is gone.
fn refusing() -> TempDir {
    let dir = TempDir::new().expect("a folder");
    std::fs::write(dir.path().join("2024"), b"a file in the way").expect("a file");
    dir
}

/// Says so many packets into recording 1, lets half a second pass after each half a second, and ends it there.
fn say_and_end(bench: &mut Bench, packets: u16) -> Vec<u8> {
    let mut said = Vec::new();
    for n in 0..packets {
        said.extend(bench.packet(1, n, 0));
        if n % 25 == 24 {
            bench.set(u64::from(n) * 20 + 20);
            while bench.writer.stats().records <= u64::from(n) {
                std::thread::yield_now();
            }
        }
    }
    let end = u64::from(packets) * 20;
    bench.writer.close(RecordingId(1), STARTED + Span::from_ms(end));
    bench.set(end + 2_000);
    said
}

#[test]
fn a_recording_that_began_and_ended_while_the_disk_refused_it_is_whole_as_soon_as_it_does_not() {
    let mut bench = start(refusing());
    bench.writer.open(spec(1));
    assert!(matches!(bench.event(), RecorderEvent::DiskTrouble { .. }));
    let said = say_and_end(&mut bench, 250);
    while bench.writer.stats().disk_errors < 5 {
        bench.now.fetch_add(500_000, Ordering::Relaxed);
        std::thread::yield_now();
    }
    assert_eq!(bench.writer.stats().closed, 0);
    std::fs::remove_file(bench.dir.path().join("2024")).expect("out of the way");
    bench.now.fetch_add(500_000, Ordering::Relaxed);
    // Recovery is told before or after: by two threads.
    let events = [bench.event(), bench.event()];
    assert!(events.contains(&RecorderEvent::DiskRecovered), "{events:?}");
    let closed = events.into_iter().find_map(|event| match event {
        RecorderEvent::Closed(manifest) => Some(*manifest),
        _ => None,
    });
    let manifest = closed.expect("closed");
    assert_eq!((manifest.duration_ms, manifest.left.covered_ms), (5_000, 5_000), "{:?}", manifest.gaps);
    assert_eq!(manifest.left.payload_sha256, hex(&said));
    assert_eq!(bench.writer.stats().failed, 0);
}

#[test]
fn what_memory_cannot_hold_while_the_disk_refuses_a_recording_from_its_begin_is_a_gap_that_says_so() {
    let mut bench = start(refusing());
    bench.writer.open(spec(1));
    assert!(matches!(bench.event(), RecorderEvent::DiskTrouble { .. }));
    let said = say_and_end(&mut bench, 2_000);
    std::fs::remove_file(bench.dir.path().join("2024")).expect("out of the way");
    while bench.writer.stats().closed == 0 {
        bench.now.fetch_add(500_000, Ordering::Relaxed);
        std::thread::yield_now();
    }
    let manifest = lines(bench.dir.path()).remove(0);
    let why = |side| manifest.gaps.iter().find(|gap| gap.side == side && gap.why == GapReason::Disk).copied();
    let gap = why(Side::Heard).expect("a gap");
    assert_eq!((manifest.duration_ms, gap.from_ms), (40_000, 0));
    assert!((20_000..=30_000).contains(&gap.to_ms), "14 s are held: {gap:?}");
    assert_eq!(manifest.left.covered_ms, 40_000 - gap.to_ms);
    assert_eq!(manifest.left.payload_sha256, hex(&said), "of what came");
    let file = std::fs::read(bench.dir.path().join(&manifest.path)).expect("the file");
    let left: Vec<u8> = file[HEADER_BYTES..].iter().step_by(2).copied().collect();
    let from = gap.to_ms as usize * 8;
    assert!(left[..from].iter().all(|byte| *byte == 0xff) && left[from..] == said[from..]);
}

#[test]
fn where_more_wait_for_the_disk_than_memory_is_for_the_oldest_lose_their_speech_and_none_its_line() {
    const MORE: u64 = 3;
    let all = OWED_MAX as u64 + MORE;
    let mut bench = start(refusing());
    for id in 1..=all {
        bench.writer.open(spec(id));
        for n in 0..5 {
            bench.packet(id, n, 0);
        }
    }
    bench.tap.hand_over();
    while bench.writer.stats().records < all * 5 {
        std::thread::yield_now();
    }
    (1..=all).for_each(|id| bench.writer.close(RecordingId(id), STARTED + Span::from_ms(100)));
    // Memory holds 14 s of a time line, which goes on until its end has come.
    bench.set(2_000);
    while bench.writer.stats().owed < all {
        std::thread::yield_now();
    }
    assert_eq!(bench.writer.stats().forgotten, MORE);
    std::fs::remove_file(bench.dir.path().join("2024")).expect("out of the way");
    while bench.writer.stats().closed < all {
        bench.now.fetch_add(500_000, Ordering::Relaxed);
        std::thread::yield_now();
    }
    let stats = bench.writer.stats();
    assert_eq!((stats.failed, stats.forgotten), (0, MORE));
    let manifests = lines(bench.dir.path());
    assert_eq!(manifests.len() as u64, all);
    for manifest in manifests {
        let is_disk = |gap: &&ManifestGap| gap.side == Side::Heard && gap.why == GapReason::Disk;
        let lost: u64 = manifest.gaps.iter().filter(is_disk).map(|gap| gap.to_ms - gap.from_ms).sum();
        let expected = if manifest.id.0 <= MORE { (0, 100) } else { (100, 0) };
        assert_eq!((manifest.left.covered_ms, lost), expected, "{}: {:?}", manifest.id, manifest.gaps);
    }
}

#[test]
fn a_recording_that_the_disk_refuses_to_the_end_is_told() {
    let Bench { dir, events, writer, .. } = start(refusing());
    writer.open(spec(1));
    writer.shutdown();
    let told: Vec<RecorderEvent> = events.iter().collect();
    drop(dir);
    assert!(matches!(told[0], RecorderEvent::DiskTrouble { .. }), "{told:?}");
    assert!(
        told.iter().any(|event| matches!(event, RecorderEvent::Failed { id: Some(RecordingId(1)), .. })),
        "{told:?}"
    );
}

#[test]
fn who_is_killed_while_the_disk_refuses_leaves_a_recording_that_says_what_the_disk_owes() {
    let mut bench = start(TempDir::new().expect("a folder"));
    bench.writer.open(spec(1));
    for n in 0..50 {
        bench.packet(1, n, 0);
    }
    bench.tap.hand_over();
    let path = bench.dir.path().join(recording_path(RecordingId(1), STARTED));
    let header = || std::fs::read(&path).ok().and_then(|bytes| WavHeader::decode(&bytes).ok());
    bench.set(1_100);
    while header().is_none_or(|header| header.decided[0] < 4_000) {
        bench.now.fetch_add(1, Ordering::Relaxed);
        std::thread::yield_now();
    }
    // Nothing can be written to a journal that is gone; there is a loss to be written.
    let journal = std::fs::read(path.with_extension("journal")).expect("the journal");
    std::fs::remove_file(path.with_extension("journal")).expect("taken away");
    for n in 60..150 {
        bench.packet(1, n, 0);
    }
    bench.tap.hand_over();
    while bench.writer.stats().records < 140 {
        std::thread::yield_now();
    }
    bench.set(3_020);
    while header().is_none_or(|header| header.behind < 23_000) {
        bench.now.fetch_add(1, Ordering::Relaxed);
        std::thread::yield_now();
    }
    // As it lies there, with the journal as it was.
    let copy = TempDir::new().expect("a second folder");
    let to = copy.path().join(recording_path(RecordingId(1), STARTED));
    std::fs::create_dir_all(to.parent().expect("a folder")).expect("folders");
    // What was written after the last header that told the truth goes as well.
    let bytes = std::fs::read(&path).expect("the file");
    let known = HEADER_BYTES + header().expect("a header").decided[0] as usize * 2;
    std::fs::write(&to, &bytes[..known]).expect("a copy");
    std::fs::write(to.with_extension("journal"), journal).expect("a copy");
    let behind = header().expect("a header").behind;
    let mended = start(copy);
    let RecorderEvent::Mended(manifest) = mended.event() else { panic!("mended") };
    assert_eq!(manifest.duration_ms, behind / 8);
    let gap = manifest.gaps.iter().find(|gap| gap.side == Side::Heard).expect("a gap");
    let known_ms = (known - HEADER_BYTES) as u64 / 16;
    assert_eq!((gap.why, gap.from_ms, gap.to_ms), (GapReason::Disk, known_ms, behind.div_ceil(8)));
    assert_eq!(manifest.left.covered_ms, known_ms);
    let file = std::fs::read(mended.dir.path().join(&manifest.path)).expect("the file");
    assert!(file.len() == HEADER_BYTES + behind as usize * 2 && file[known..].iter().all(|byte| *byte == 0xff));
}

/// Leaves a recording as `kill -9` would: data, header and journal as the writer last flushed them. Gives the folder and
/// the left side's bytes, with a loss of 100 ms after 800 ms.
fn crashed() -> (TempDir, Vec<u8>) {
    let mut bench = start(TempDir::new().expect("a folder"));
    bench.writer.open(spec(1));
    let mut left = Vec::new();
    for n in 0..200 {
        if (40..45).contains(&n) {
            left.extend([0xff; 160]);
        } else {
            left.extend(bench.packet(1, n, 0));
        }
    }
    // The recording is open before time passes, so that the flush is due.
    bench.tap.hand_over();
    while bench.writer.stats().records < 195 {
        std::thread::yield_now();
    }
    // All records up to 4 s are in by then.
    bench.set(4_020);
    let path = bench.dir.path().join(recording_path(RecordingId(1), STARTED));
    let copy = TempDir::new().expect("a second folder");
    let to = copy.path().join(recording_path(RecordingId(1), STARTED));
    std::fs::create_dir_all(to.parent().expect("a folder")).expect("folders");
    // The header is written last: once it says 4 s, data and journal are there.
    loop {
        let bytes = std::fs::read(&path).unwrap_or_default();
        if WavHeader::decode(&bytes).is_ok_and(|header| header.frames == 32_000) {
            std::fs::write(&to, bytes).expect("a copy");
            break;
        }
        std::thread::yield_now();
    }
    std::fs::copy(path.with_extension("journal"), to.with_extension("journal")).expect("a copy of the journal");
    std::fs::write(copy.path().join("manifest.jsonl"), b"{\"id\":77,\"torn").expect("a torn manifest");
    (copy, left)
}

#[test]
fn a_recording_left_open_is_mended_up_to_the_last_flush_with_its_gaps_and_hashes() {
    let (dir, left) = crashed();
    let bench = start(dir);
    let RecorderEvent::Mended(manifest) = bench.event() else { panic!("mended") };
    let file = std::fs::read(bench.dir.path().join(&manifest.path)).expect("the file");
    assert!(manifest.mended);
    assert_eq!((manifest.call, manifest.started, manifest.duration_ms), (Some(CallId(9)), STARTED, 4_000));
    assert_eq!(manifest.sha256, hex(&file));
    assert_eq!(manifest.meta["queue"], "sales");
    let gaps: Vec<_> = manifest.gaps.iter().map(|g| (g.side, g.from_ms, g.to_ms, g.why)).collect();
    let expected =
        [(Side::Sent, 0, 4_000, GapReason::BeforeFirstPacket), (Side::Heard, 800, 900, GapReason::NetworkLoss)];
    assert_eq!(gaps.iter().filter(|g| expected.contains(g)).count(), 2, "{gaps:?}");
    assert_eq!(manifest.left.covered_ms, 3_900);
    assert_eq!(manifest.left.payload_sha256, hex(&[&left[..6_400], &left[7_200..]].concat()));
    let Bench { dir, writer, .. } = bench;
    writer.shutdown();
    assert_eq!(lines(dir.path()), [*manifest], "the torn line is passed over");
    let bench = start(dir);
    let Bench { events, writer, .. } = bench;
    writer.shutdown();
    assert_eq!(events.iter().count(), 0, "nothing is mended twice");
}

#[test]
fn a_file_cut_at_any_byte_is_mended_to_whole_frames_that_play() {
    let (crashed, left) = crashed();
    let name = recording_path(RecordingId(1), STARTED);
    let whole = std::fs::read(crashed.path().join(&name)).expect("the file");
    let cuts = (0..=HEADER_BYTES + 9).chain([1_000, 13_001, 13_002, 30_000, 63_999 + HEADER_BYTES, whole.len()]);
    for (cut, with_journal) in cuts.map(|cut| (cut, cut % 3 != 0)) {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join(&name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(&path, &whole[..cut]).expect("a cut file");
        if with_journal {
            std::fs::copy(crashed.path().join(&name).with_extension("journal"), path.with_extension("journal"))
                .expect("a journal");
        }
        let bench = start(dir);
        let RecorderEvent::Mended(manifest) = bench.event() else { panic!("cut at {cut}") };
        let file = std::fs::read(bench.dir.path().join(&name)).expect("the file");
        let header = WavHeader::decode(&file).expect("a header");
        let frames = cut.saturating_sub(HEADER_BYTES) / 2;
        assert_eq!((header.frames, file.len()), (frames as u64, HEADER_BYTES + 2 * frames), "cut at {cut}");
        assert_eq!(file[HEADER_BYTES..], whole[HEADER_BYTES.min(cut)..HEADER_BYTES.min(cut) + 2 * frames]);
        assert!(file[HEADER_BYTES..].iter().step_by(2).eq(&left[..frames]));
        assert_eq!(manifest.sha256, hex(&file), "cut at {cut}");
        assert_eq!(manifest.duration_ms, frames as u64 / 8);
        if !with_journal {
            assert_eq!(manifest.left.covered_ms, 0, "without a journal nothing is proved");
        }
    }
}

#[test]
fn nothing_said_during_a_pause_is_in_the_file_the_journal_or_the_hash() {
    let mut bench = start(TempDir::new().expect("a folder"));
    bench.writer.open(spec(1));
    let mut kept = Vec::new();
    for n in 0..250 {
        // The pause is told when it is in force, its end before the tap is back.
        match n {
            103 => bench.writer.pause(RecordingId(1), STARTED + Span::from_ms(2_000)),
            200 => bench.writer.resume(RecordingId(1), STARTED + Span::from_ms(4_000)),
            _ => {}
        }
        if !(101..200).contains(&n) {
            kept.extend(bench.packet(1, n, 0));
        }
        bench.set(u64::from(n) * 20);
    }
    bench.writer.close(RecordingId(1), STARTED + Span::from_s(5));
    bench.set(5_200);
    let manifest = bench.closed();
    let file = std::fs::read(bench.dir.path().join(&manifest.path)).expect("the file");
    let left: Vec<u8> = file[HEADER_BYTES..].iter().step_by(2).copied().collect();
    assert!(left[16_160..32_000].iter().all(|&byte| byte == 0xff), "silence");
    let spoken: Vec<u8> = [&left[..16_160], &left[32_000..]].concat();
    assert!(spoken == kept);
    assert_eq!(manifest.left.payload_sha256, hex(&kept));
    assert_eq!((manifest.left.packets, manifest.left.lost), (151, 0));
    let gaps: Vec<_> = manifest.gaps.iter().map(|g| (g.side, g.from_ms, g.to_ms, g.why)).collect();
    assert_eq!(
        gaps,
        [
            (Side::Sent, 0, 2_000, GapReason::BeforeFirstPacket),
            (Side::Sent, 2_000, 4_000, GapReason::Pause),
            (Side::Heard, 2_020, 4_000, GapReason::Pause),
            (Side::Sent, 4_000, 5_000, GapReason::BeforeFirstPacket),
        ]
    );
    assert_eq!(offhook_recorder::coverage_fault(&manifest), None);
}

#[test]
fn a_crash_in_a_pause_leaves_a_pause_and_one_after_it_does_not() {
    for (resumed, expected) in [
        (None, vec![(2_020, 6_000, GapReason::Pause)]),
        (Some(4_000), vec![(2_020, 4_000, GapReason::Pause), (4_000, 6_000, GapReason::Crash)]),
    ] {
        let mut bench = start(TempDir::new().expect("a folder"));
        bench.writer.open(spec(1));
        (0..101).for_each(|n| _ = bench.packet(1, n, 0));
        bench.tap.hand_over();
        while bench.writer.stats().records < 101 {
            std::thread::yield_now();
        }
        bench.writer.pause(RecordingId(1), STARTED + Span::from_ms(2_000));
        if let Some(ms) = resumed {
            bench.writer.resume(RecordingId(1), STARTED + Span::from_ms(ms));
        }
        // What came in the last 20 ms may still be on its way.
        bench.set(6_020);
        // The header is written last: once it says 6 s, data and journal are there.
        let path = bench.dir.path().join(recording_path(RecordingId(1), STARTED));
        let to = TempDir::new().expect("a second folder");
        let copy = to.path().join(recording_path(RecordingId(1), STARTED));
        std::fs::create_dir_all(copy.parent().expect("a folder")).expect("folders");
        loop {
            let bytes = std::fs::read(&path).unwrap_or_default();
            if WavHeader::decode(&bytes).is_ok_and(|header| header.frames == 48_000) {
                std::fs::write(&copy, bytes).expect("a copy");
                break;
            }
            std::thread::yield_now();
        }
        std::fs::copy(path.with_extension("journal"), copy.with_extension("journal")).expect("the journal");
        let bench = start(to);
        let RecorderEvent::Mended(manifest) = bench.event() else { panic!("mended") };
        let gaps: Vec<_> =
            manifest.gaps.iter().filter(|g| g.side == Side::Heard).map(|g| (g.from_ms, g.to_ms, g.why)).collect();
        assert_eq!(gaps, expected, "resumed {resumed:?}");
        assert_eq!(offhook_recorder::coverage_fault(&manifest), None);
        assert_eq!(manifest.left.covered_ms, 2_020);
    }
}
