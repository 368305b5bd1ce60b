//! Sealed recordings: heard as their plain twins, from anywhere, by who has the key; mended after a crash; silent for ever
//! once the key is destroyed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, unbounded};
use offhook_plan::CodecKind;
use offhook_plan::tap::{Side, TapHeader, TapWriter, tap_ring};
use offhook_recorder::{
    CHUNK_FRAMES, FileFault, HEADER_BYTES, KeyError, KeyRing, Manifest, OpenError, Playback, Protection, RecorderEvent,
    RecordingSpec, Writer, WriterHandle, destroy_key, examine, key_path,
};
use offhook_units::{CallId, Entropy, LegId, RecordingId, Span, Tick};
use tempfile::TempDir;

const STARTED: Tick = Tick::from_us(1_709_251_199_000_000);
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const ID: RecordingId = RecordingId(1);

struct Bench {
    now: Arc<AtomicU64>,
    tap: TapWriter,
    events: Receiver<RecorderEvent>,
    writer: WriterHandle,
    said: u64,
}

fn ring() -> KeyRing {
    KeyRing::parse(KEY).expect("a key")
}

fn start(dir: &Path, sealed: bool) -> Bench {
    let (tap, out) = tap_ring(16 << 20);
    let (told, events) = unbounded();
    let now = Arc::new(AtomicU64::new(STARTED.as_us()));
    let clock = now.clone();
    let clock = move || Tick::from_us(clock.load(Ordering::Relaxed));
    let protection = sealed.then(|| Protection { keys: ring(), entropy: Entropy::from_number(3) });
    let writer =
        Writer::start_sealed(dir, vec![out], move |event| _ = told.send(event), clock, protection).expect("a writer");
    Bench { now, tap, events, writer, said: 0 }
}

impl Bench {
    fn open(&self) {
        let meta = BTreeMap::new();
        self.writer.open(RecordingSpec { id: ID, call: CallId(9), started: STARTED, meta, codec: CodecKind::Pcmu });
    }

    /// What was said is handed over before the clock goes on.
    fn set(&mut self, ms: u64) {
        while self.tap.is_holding() {
            self.tap.hand_over();
            std::thread::yield_now();
        }
        self.now.store((STARTED + Span::from_ms(ms)).as_us(), Ordering::Relaxed);
    }

    /// Packets `from..to` of 20 ms, each flushed in its time; one in 40 is lost.
    fn talk(&mut self, from: u16, to: u16) {
        for n in (from..to).filter(|n| n % 40 != 17) {
            let mut payload = [0; 160];
            Entropy::from_number(u64::from(n)).fill(&mut payload);
            let header = TapHeader {
                recording: ID,
                leg: LegId(1),
                at: STARTED + Span::from_ms(20) * u64::from(n),
                side: Side::Heard,
                payload_type: 0,
                codec: Some(CodecKind::Pcmu),
                seq: n,
                timestamp: u32::from(n) * 160,
                ssrc: 5,
                payload_bytes: 160,
                dropped_before: 0,
            };
            while !self.tap.push(&header, &payload) {
                std::thread::yield_now();
            }
            self.said += 1;
            self.set(u64::from(n) * 20);
            // Every second the writer is waited for, so that it flushes many times.
            while n % 50 == 0 && self.writer.stats().records < self.said {
                std::thread::yield_now();
            }
        }
        self.set(u64::from(to) * 20);
    }

    fn closed(&self) -> Manifest {
        match self.events.recv().expect("the recorder tells") {
            RecorderEvent::Closed(manifest) | RecorderEvent::Mended(manifest) => *manifest,
            other => panic!("{other:?}"),
        }
    }
}

/// One recording of `packets`, closed.
fn recorded(dir: &Path, sealed: bool, packets: u16) -> Manifest {
    let mut bench = start(dir, sealed);
    bench.open();
    bench.talk(0, packets);
    bench.writer.close(ID, STARTED + Span::from_ms(20) * u64::from(packets));
    bench.set(u64::from(packets) * 20 + 200);
    bench.closed()
}

/// The whole plain file.
fn heard(dir: &Path, manifest: &Manifest) -> Vec<u8> {
    let playback = Playback::open(dir, ID, Path::new(&manifest.path), Some(&ring())).expect("it opens");
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < playback.length() {
        bytes.extend(playback.read(bytes.len() as u64).expect("readable"));
    }
    bytes
}

#[test]
fn a_sealed_recording_is_heard_as_its_plain_twin_from_anywhere() {
    let (plain_dir, dir) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    // 30 s, and the end lies within a chunk.
    let plain = recorded(plain_dir.path(), false, 1_501);
    let sealed = recorded(dir.path(), true, 1_501);
    assert_eq!((sealed.path.as_str(), plain.path.as_str()), ("2024/02/29/r-1.sealed", "2024/02/29/r-1.wav"));
    assert_eq!((&sealed.left, &sealed.gaps, sealed.duration_ms), (&plain.left, &plain.gaps, 30_020));
    let twin = std::fs::read(plain_dir.path().join(&plain.path)).expect("the plain file");
    assert!(heard(dir.path(), &sealed) == twin, "the same bytes");
    let playback = Playback::open(dir.path(), ID, Path::new(&sealed.path), Some(&ring())).expect("it opens");
    for at in [0, 5, 127, 128, 129, 4_223, 4_224, 100_001, twin.len() - 1] {
        let bytes = playback.read(at as u64).expect("readable");
        assert!(!bytes.is_empty() && bytes == twin[at..at + bytes.len()], "from {at}");
    }
    assert!(playback.read(twin.len() as u64).expect("the end").is_empty());
    let file = std::fs::read(dir.path().join(&sealed.path)).expect("the file");
    let told = |part: &[u8]| file.windows(part.len()).any(|window| window == part);
    assert!(!told(b"RIFF") && !told(&[0xff; 16]), "nothing of it can be read on disk");
    assert_eq!(examine(dir.path(), &sealed), None);
}

#[test]
fn a_changed_byte_or_an_exchanged_chunk_shows_and_a_destroyed_key_is_for_ever() {
    let dir = TempDir::new().expect("a folder");
    let manifest = recorded(dir.path(), true, 200);
    let (path, whole) = (dir.path().join(&manifest.path), heard(dir.path(), &manifest));
    let good = std::fs::read(&path).expect("the file");
    let step = CHUNK_FRAMES as usize * 2 + 40;
    let mut exchanged = good.clone();
    exchanged.copy_within(256..256 + step, 256 + step);
    let mut changed = good.clone();
    changed[256 + step + 100] ^= 1;
    for bad in [exchanged, changed] {
        std::fs::write(&path, bad).expect("written");
        assert_eq!(examine(dir.path(), &manifest), Some(FileFault::Changed));
        let playback = Playback::open(dir.path(), ID, Path::new(&manifest.path), Some(&ring())).expect("it opens");
        assert!(
            playback.read(HEADER_BYTES as u64).expect("the first chunk") == whole[HEADER_BYTES..HEADER_BYTES + 4_096]
        );
        let error = playback.read(HEADER_BYTES as u64 + 4_096).expect_err("the second");
        assert!(error.to_string().contains("from 256 ms on does not open"), "{error}");
    }
    std::fs::write(&path, &good).expect("written");
    let open = |keys: Option<&KeyRing>| Playback::open(dir.path(), ID, Path::new(&manifest.path), keys).map(|_| ());
    assert!(matches!(open(None), Err(OpenError::NoKeys)));
    let other = KeyRing::parse(&KEY.replace("00", "ee")).expect("a key");
    assert!(matches!(open(Some(&other)), Err(OpenError::Key(KeyError::NoMaster(_)))));
    assert!(open(Some(&ring())).is_ok());
    destroy_key(dir.path(), Path::new(&manifest.path)).expect("destroyed");
    assert!(matches!(open(Some(&ring())), Err(OpenError::Key(KeyError::Gone(_)))));
    assert_eq!(examine(dir.path(), &manifest), Some(FileFault::NoKey));
}

#[test]
fn a_sealed_recording_that_a_crash_cut_or_tore_anywhere_is_mended_with_the_key_and_left_alone_without() {
    let dir = TempDir::new().expect("a folder");
    let manifest = recorded(dir.path(), true, 151);
    let (whole, path) = (heard(dir.path(), &manifest), manifest.path.clone());
    let file = std::fs::read(dir.path().join(&path)).expect("the file");
    let key = std::fs::read(dir.path().join(key_path(Path::new(&path)))).expect("the key");
    let step = CHUNK_FRAMES as usize * 2 + 40;
    let spec =
        RecordingSpec { id: ID, call: CallId(9), started: STARTED, meta: BTreeMap::new(), codec: CodecKind::Pcmu };
    let spec = serde_json::json!({ "spec": spec }).to_string() + "\n";
    // Cut to this length; then this byte is changed.
    let cases = [
        (file.len(), None),
        (file.len() - 1, None),
        (256 + step, None),
        (256 + step + 20, None),
        (256 + 3 * step + 1_041, None),
        (250, None),
        (100, None),
        (0, None),
        (file.len(), Some(file.len() - 3)),
        (file.len(), Some(256 + step + 9)),
    ];
    for (length, torn) in cases {
        let crashed = TempDir::new().expect("a folder");
        let full = crashed.path().join(&path);
        let full_key = crashed.path().join(key_path(Path::new(&path)));
        for made in [&full, &full_key] {
            std::fs::create_dir_all(made.parent().expect("a folder")).expect("folders");
        }
        let mut bytes = file[..length].to_vec();
        if let Some(at) = torn {
            bytes[at] ^= 1;
        }
        std::fs::write(&full, &bytes).expect("the file");
        std::fs::write(&full_key, &key).expect("the key");
        std::fs::write(full.with_extension("journal"), &spec).expect("the journal");
        let bench = start(crashed.path(), false);
        let RecorderEvent::Failed { error, .. } = bench.events.recv().expect("told") else {
            panic!("no key was given")
        };
        assert!(error.contains("give the key file"), "{error}");
        bench.writer.shutdown();
        assert_eq!(std::fs::read(&full).expect("the file"), bytes, "left alone");

        let bench = start(crashed.path(), true);
        let mended = bench.closed();
        assert!(mended.mended && mended.path == path);
        let heard = heard(crashed.path(), &mended);
        let frames = (heard.len() - HEADER_BYTES) / 2;
        let lost = whole.len().saturating_sub(HEADER_BYTES) / 2 - frames;
        let cut = (file.len() - length) / 2;
        assert!(lost <= cut + CHUNK_FRAMES as usize, "cut to {length}: {lost} frames lost");
        let middle = torn.filter(|at| *at < 256 + 2 * step).map(|_| HEADER_BYTES + 4_096..HEADER_BYTES + 8_192);
        for (at, (a, b)) in heard.iter().zip(&whole).enumerate().skip(HEADER_BYTES) {
            let silenced = middle.as_ref().is_some_and(|range| range.contains(&at));
            assert_eq!(*a, if silenced { 0xff } else { *b }, "byte {at} after a cut to {length}");
        }
        bench.writer.shutdown();
        assert_eq!(examine(crashed.path(), &mended), None, "cut to {length}");
    }
}
