//! Many recordings made by the real writer and told of in a real store; then faults are put in, and exactly those are found.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::unbounded;
use offhook_call::event::{CallEvent, LogEvent};
use offhook_call::record::{CallEnd, Fold};
use offhook_call::recording::PausedBy;
use offhook_plan::CodecKind;
use offhook_plan::tap::{Side, TapHeader, tap_ring};
use offhook_recorder::{
    Format, GapReason, KeyRing, Manifest, ManifestGap, Protection, RecorderEvent, RecordingSpec, Writer,
};
use offhook_server::Speech;
use offhook_store::{Archive, CallRow, Record, Store};
use offhook_units::{CallId, Entropy, LegId, PersonRef, RecordingId, Span, Tick};
use tempfile::TempDir;

use super::erase::{Keep, Kept, due, erase, hold};
use super::export::export;
use super::recording_row;
use super::verify::{Audit, Kind, verify};
use super::{Samples, Shelf};

pub const BEGAN: Tick = Tick::from_us(1_709_251_199_000_000);

/// How many; each has `packets` packets of 20 ms on its left side.
pub struct Centre {
    pub data: TempDir,
    pub manifests: BTreeMap<u64, Manifest>,
}

/// Recordings 1..=`count`, of calls 1,000 higher, all closed and told of.
fn centre(count: u64, packets: u16) -> Centre {
    centre_of(count, packets, CodecKind::Pcma, |id, _| [id as u8; 160])
}

/// The same in any codec, with packet `n` of a recording holding `payload`, 20 ms of it.
fn centre_of<P: AsRef<[u8]>>(count: u64, packets: u16, codec: CodecKind, payload: impl Fn(u64, u16) -> P) -> Centre {
    sealed_centre(count, packets, codec, None, payload)
}

/// The same, sealed where there are master keys.
pub fn sealed_centre<P: AsRef<[u8]>>(
    count: u64,
    packets: u16,
    codec: CodecKind,
    keys: Option<KeyRing>,
    payload: impl Fn(u64, u16) -> P,
) -> Centre {
    let protection = keys.map(|keys| Protection { keys, entropy: Entropy::from_number(1) });
    let data = TempDir::new().expect("a folder");
    let folder = data.path().join("recordings");
    let (mut tap, out) = tap_ring(1 << 20);
    let (told, events) = unbounded();
    let clock = Arc::new(AtomicU64::new(BEGAN.as_us()));
    let now = clock.clone();
    let writer = {
        let clock = move || Tick::from_us(now.load(Ordering::Relaxed));
        let told = move |event| _ = told.send(event);
        Writer::start_sealed(&folder, vec![out], told, clock, protection).expect("a writer")
    };
    let spec = |id| RecordingSpec {
        id: RecordingId(id),
        call: CallId(1_000 + id),
        started: BEGAN,
        // Odd ones are of sales.
        meta: BTreeMap::from([("queue".into(), if id % 2 == 1 { "sales" } else { "support" }.into())]),
        codec: codec.recorded_as(),
    };
    (1..=count).for_each(|id| writer.open(spec(id)));
    for n in 0..packets {
        for id in 1..=count {
            // Every seventh recording loses a packet on the way.
            let n = n + u16::from(id % 7 == 0 && n > 20);
            let payload = payload(id, n);
            let header = TapHeader {
                recording: RecordingId(id),
                leg: LegId(1),
                at: BEGAN + Span::from_ms(20) * u64::from(n),
                side: Side::Heard,
                payload_type: codec.static_payload_type().unwrap_or(111),
                codec: Some(codec),
                seq: n,
                timestamp: u32::from(n) * codec.clock() / 50,
                ssrc: 5,
                payload_bytes: payload.as_ref().len() as u16,
                dropped_before: 0,
            };
            while !tap.push(&header, payload.as_ref()) {
                std::thread::yield_now();
            }
        }
    }
    // Whoever goes hands over what it holds.
    drop(tap);
    let end = BEGAN + Span::from_ms(20) * u64::from(packets + 1);
    clock.store(end.as_us(), Ordering::Relaxed);
    writer.shutdown();
    let store = Store::open(data.path()).expect("a store");
    let mut manifests = BTreeMap::new();
    for event in events {
        let RecorderEvent::Closed(manifest) = event else { panic!("{event:?}") };
        store.put_recording(recording_row(&manifest));
        manifests.insert(manifest.id.0, *manifest);
    }
    (1..=count).for_each(|id| tell(&store, id, Some(end)));
    store.shutdown().expect("closed");
    Centre { data, manifests }
}

/// Puts the call of recording `id` into the log and, when it `ended`, into the records.
fn tell(store: &Store, id: u64, ended: Option<Tick>) {
    tell_paused(store, id, None, ended);
}

/// The same, with a pause from and to these milliseconds.
fn tell_paused(store: &Store, id: u64, pause: Option<(u64, u64)>, ended: Option<Tick>) {
    let (call, recording) = (CallId(1_000 + id), RecordingId(id));
    let began = CallEvent::Began { call, number: "700".into(), trunk: None, caller: PersonRef(id) };
    let mut events = vec![(BEGAN, began), (BEGAN, CallEvent::RecordingStarted { call, recording })];
    if let Some((from, to)) = pause {
        let by = PausedBy::Program;
        events.push((BEGAN + Span::from_ms(from), CallEvent::RecordingPaused { call, recording, by }));
        events.push((BEGAN + Span::from_ms(to), CallEvent::RecordingResumed { call, recording, by }));
    }
    events.extend(ended.map(|at| (at, CallEvent::Ended { call, end: CallEnd::CallerHungUp })));
    let mut fold = Fold::default();
    for (at, event) in events {
        let record = fold.apply(at, &event);
        let event = LogEvent::Call(event);
        let bytes = event.encode();
        store
            .append(vec![Record { stream: event.stream(), seq: store.next_seq(), at, kind: 0, version: 1, bytes }])
            .expect("room");
        if let Some(record) = record {
            let json = serde_json::to_string(&record).expect("JSON");
            let (number, end) = (record.number, record.end.name().to_owned());
            store.put_call(CallRow {
                id: call,
                started: BEGAN,
                ended: at,
                number,
                queue: None,
                agent: None,
                end,
                json,
            });
        }
    }
}

impl Centre {
    pub fn folder(&self) -> std::path::PathBuf {
        self.data.path().join("recordings")
    }

    pub fn shelf(&self) -> Shelf {
        Shelf::local(self.folder())
    }

    pub fn file(&self, id: u64) -> std::path::PathBuf {
        self.folder().join(&self.manifests[&id].path)
    }

    pub fn verify(&self) -> Audit {
        verify(&Archive::open(self.data.path()).expect("an archive"), &self.shelf(), false).expect("readable")
    }

    /// Changes the lines of the manifest.
    fn edit(&self, change: impl FnOnce(&mut Vec<String>)) {
        let path = self.folder().join("manifest.jsonl");
        let mut lines: Vec<String> =
            std::fs::read_to_string(&path).expect("a manifest").lines().map(str::to_owned).collect();
        change(&mut lines);
        std::fs::write(path, lines.join("\n") + "\n").expect("written");
    }
}

fn place_of(lines: &[String], id: u64) -> usize {
    lines.iter().position(|line| line.contains(&format!("\"id\":{id},"))).expect("its line")
}

fn id_at(lines: &[String], at: usize) -> u64 {
    serde_json::from_str::<Manifest>(&lines[at]).expect("a line").id.0
}

fn change_byte(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("the file");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn five_hundred_recordings_agree_and_every_second_of_them_is_accounted_for() {
    let audit = centre(500, 60).verify();
    assert_eq!(audit.faults, []);
    assert_eq!((audit.recordings, audit.open, audit.erased), (500, 0, 0));
    assert_eq!(audit.expected_ms, 500 * 2 * 1_220);
    assert_eq!(audit.covered_ms, 500 * 1_200);
    assert_eq!(audit.gaps_ms["network-loss"], 71 * 20);
    assert_eq!(audit.gaps_ms["after-last-packet"], 429 * 20);
    assert_eq!(audit.gaps_ms["before-first-packet"], 500 * 1_220);
    assert_eq!(audit.covered_ms + audit.gaps_ms.values().sum::<u64>(), audit.expected_ms);
    let json = audit.json();
    assert_eq!(json["seconds_expected"], 1_220.0);
    assert_eq!(json["gaps"]["network-loss"], 1.42);
    assert!(audit.text().ends_with("Everything agrees.\n"));
}

#[test]
fn among_five_hundred_recordings_exactly_the_faults_that_were_put_in_are_found() {
    let centre = centre(500, 30);
    let mut expected: Vec<(u64, Kind)> = Vec::new();
    // Files: gone, cut, longer, one byte changed in the speech, one in the header.
    std::fs::remove_file(centre.file(10)).expect("removed");
    expected.push((10, Kind::MissingFile));
    for (id, length) in [(20, 1_000), (21, 0), (22, 200_000)] {
        std::fs::File::options().write(true).open(centre.file(id)).and_then(|f| f.set_len(length)).expect("cut");
        expected.push((id, Kind::WrongLength));
    }
    for (id, at) in [(30, 128), (31, 2_000), (32, 60)] {
        change_byte(&centre.file(id), at);
        expected.push((id, Kind::ChangedFile));
    }
    std::fs::copy(centre.file(40), centre.file(41)).expect("exchanged");
    expected.push((41, Kind::ChangedFile));
    std::fs::copy(centre.file(42), centre.file(42).with_file_name("r-fffff.wav")).expect("a stray");
    expected.push((0xf_ffff, Kind::StrayFile));
    // The log: one that is not closed, one that is open, one whose call went on, one unknown to it, one of two records.
    let store = Store::open(centre.data.path()).expect("a store");
    tell(&store, 700, Some(BEGAN + Span::from_s(9)));
    expected.push((700, Kind::MissingLine));
    tell(&store, 701, None);
    tell(&store, 50, Some(BEGAN + Span::from_s(9)));
    expected.push((50, Kind::WrongSpan));
    store.shutdown().expect("closed");
    // The manifest: a line taken out, one changed, one doubled, one that tells of another.
    centre.edit(|lines| {
        let at = place_of(lines, 60);
        expected.push((60, Kind::MissingLine));
        expected.push((id_at(lines, at + 1), Kind::ChainBroken));
        lines.remove(at);
        let at = place_of(lines, 70);
        lines[at] = lines[at].replace("\"lost\":1", "\"lost\":0");
        expected.push((70, Kind::LineChanged));
        expected.push((id_at(lines, at + 1), Kind::ChainBroken));
        let at = place_of(lines, 80);
        lines[at] = lines[at].replacen("\"covered_ms\":600", "\"covered_ms\":500", 1);
        expected.extend([(80, Kind::LineChanged), (80, Kind::Uncovered)]);
        expected.push((id_at(lines, at + 1), Kind::ChainBroken));
        let at = place_of(lines, 90);
        lines[at] = lines[at].replace("\"id\":90,", "\"id\":999,").replace("\"call\":1090,", "\"call\":1091,");
        expected.extend([(90, Kind::MissingLine), (999, Kind::UnknownRecording), (999, Kind::ChangedFile)]);
        expected.push((id_at(lines, at + 1), Kind::ChainBroken));
        // The last line has nobody behind it that names it.
        let last = lines.len() - 1;
        let id = id_at(lines, last);
        lines.remove(last);
        expected.push((id, Kind::MissingLine));
    });
    let audit = centre.verify();
    let mut expected: Vec<(String, Kind)> =
        expected.into_iter().map(|(id, kind)| (RecordingId(id).to_string(), kind)).collect();
    expected.sort();
    let found: Vec<(String, Kind)> =
        audit.faults.iter().map(|fault| (fault.recording.clone().unwrap_or_default(), fault.kind)).collect();
    assert_eq!(found, expected, "{}", audit.text());
    assert_eq!((audit.recordings, audit.open), (498, 1));
}

#[test]
fn pauses_of_the_log_and_of_the_manifest_explain_each_other_and_speech_in_one_is_found() {
    // Of 6 s: told and silent; told, and spoken in; silent, and not told; told as far as the call went.
    let centre = centre(4, 300);
    let store = Store::open(centre.data.path()).expect("a store");
    let end = Some(BEGAN + Span::from_ms(6_020));
    tell_paused(&store, 1, Some((1_000, 4_000)), end);
    tell_paused(&store, 2, Some((1_000, 4_000)), end);
    store.shutdown().expect("closed");
    centre.edit(|lines| {
        for id in [1, 3] {
            let at = place_of(lines, id);
            let mut manifest: Manifest = serde_json::from_str(&lines[at]).expect("a line");
            manifest.left.covered_ms -= 3_000;
            manifest.gaps.retain(|gap| gap.side == Side::Heard);
            manifest.right.covered_ms = 3_020;
            for side in [Side::Heard, Side::Sent] {
                manifest.gaps.push(ManifestGap { side, from_ms: 1_010, to_ms: 4_010, why: GapReason::Pause });
            }
            manifest.gaps.sort_by_key(|gap| gap.from_ms);
            lines[at] = serde_json::to_string(&manifest).expect("JSON");
        }
    });
    let audit = centre.verify();
    let of = |id: u64| {
        let id = Some(RecordingId(id).to_string());
        let kinds = audit.faults.iter().filter(|fault| fault.recording == id).map(|fault| fault.kind);
        let about_pauses = [Kind::UnexplainedPause, Kind::SpeechInPause, Kind::Uncovered];
        kinds.filter(|kind| about_pauses.contains(kind)).collect::<Vec<_>>()
    };
    assert_eq!((of(1), of(4)), (vec![], vec![]), "{}", audit.text());
    assert_eq!(of(2), [Kind::SpeechInPause]);
    assert_eq!(of(3), [Kind::UnexplainedPause]);
    assert_eq!(audit.gaps_ms["pause"], 4 * 3_000);
}

#[test]
fn a_person_is_erased_with_all_recordings_but_for_those_that_are_held_and_others_stay() {
    let centre = centre(6, 30);
    let store = Store::open(centre.data.path()).expect("a store");
    // 1, 3 and 5 are of one caller, the others of another.
    (1..=6).for_each(|id| store.put_person(PersonRef(id), if id % 2 == 1 { "+49301234" } else { "+49305678" }));
    store.shutdown().expect("closed");
    let archive = Archive::open(centre.data.path()).expect("an archive");
    let (shelf, at) = (centre.shelf(), BEGAN + Span::from_s(100));
    let forget = |number: &str| super::forget::forget(&archive, &shelf, "ann", at, number, "asked by the caller");
    assert!(forget("+49309999").expect_err("nobody").to_string().contains("nobody is known"));
    hold(&archive, at, RecordingId(5), Some("case 7")).expect("held");
    let first = forget("+49301234").expect("what can be");
    let ids = |certificate: &serde_json::Value, what: &str, key: &str| {
        let list = certificate[what].as_array().expect("a list").iter();
        list.map(|one| one[key].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (ids(&first, "erased", "erased"), ids(&first, "held", "recording")),
        (vec!["r-1".into(), "r-3".into()], vec!["r-5".into()])
    );
    assert_eq!((&first["complete"], &first["references_void"]), (&false.into(), &0.into()));
    assert!(!first.to_string().contains("49301234"), "a certificate names nobody");
    hold(&archive, at, RecordingId(5), None).expect("released");
    let second = forget("+49301234").expect("the rest");
    assert_eq!(ids(&second, "erased", "erased"), ["r-5"]);
    assert_eq!((&second["complete"], &second["references_void"]), (&true.into(), &3.into()));
    assert!(archive.persons("+49301234").expect("read").is_empty());
    assert!(forget("+49301234").is_err(), "nobody any more");
    assert_eq!([1, 2, 3, 4, 5, 6].map(|id| centre.file(id).exists()), [false, true, false, true, false, true]);
    assert_eq!(archive.persons("+49305678").expect("read").len(), 3, "another person stays");
    let audit = centre.verify();
    assert_eq!((audit.faults, audit.erased), (Vec::new(), 3));
    let told = archive.audit(100).expect("entries").into_iter().filter(|entry| entry.action == "forget");
    assert_eq!(
        told.map(|entry| (entry.who, entry.detail)).collect::<Vec<_>>(),
        vec![("ann".to_owned(), "asked by the caller".to_owned()); 2]
    );
}

#[test]
fn a_number_that_phones_of_ours_dialled_stays_in_its_records_and_the_certificate_says_so() {
    let centre = centre(2, 30);
    let mut rows = Vec::new();
    Archive::open(centre.data.path()).expect("an archive").calls(|row| rows.push(row)).expect("rows");
    let mut row = rows.into_iter().find(|row| row.id == CallId(1_001)).expect("the first call");
    let json = row.json.replace("\"placed_by\":null", "\"placed_by\":\"ann\"");
    row.json = json.replace("\"number\":\"700\"", "\"number\":\"0301234\"");
    let store = Store::open(centre.data.path()).expect("a store");
    store.put_call(row);
    store.shutdown().expect("closed");
    let archive = Archive::open(centre.data.path()).expect("an archive");
    let at = BEGAN + Span::from_s(100);
    let certificate = super::forget::forget(&archive, &centre.shelf(), "ann", at, "0301234", "asked").expect("erased");
    assert_eq!(certificate["erased"][0]["erased"], "r-1");
    assert_eq!((&certificate["complete"], &certificate["number_stays_in"][0]), (&false.into(), &"call-3e9".into()));
    assert_eq!([1, 2].map(|id| centre.file(id).exists()), [false, true]);
}

#[test]
fn an_export_holds_each_side_as_16_bit_samples() {
    let centre = centre(2, 30);
    let out = centre.data.path().join("out.wav");
    export(&centre.shelf(), &centre.manifests[&2], None, Format::Wav, &out).expect("exported");
    let mut reader = hound::WavReader::open(&out).expect("a WAV file");
    assert_eq!((reader.spec().channels, reader.spec().sample_rate, reader.duration()), (2, 8_000, 4_960));
    let samples: Vec<i16> = reader.samples().map(|sample| sample.expect("a sample")).collect();
    let speech = offhook_codec::Law::A.decode(2);
    let silence = offhook_codec::Law::A.decode(offhook_codec::Law::A.silence());
    assert!(samples.iter().step_by(2).take(4_800).all(|&sample| sample == speech));
    assert!(samples.iter().skip(1).step_by(2).all(|&sample| sample == silence));
    let again = export(&centre.shelf(), &centre.manifests[&2], None, Format::Wav, &out).expect_err("there is a file");
    assert!(again.to_string().contains("cannot make"), "{again}");
}

#[test]
fn an_export_of_g722_has_16_khz_and_holds_a_tone_of_5_khz_at_its_level() {
    let pcm: Vec<i16> =
        (0..16_000).map(|n| (8_000.0 * (core::f64::consts::TAU * f64::from(n) * 5.0 / 16.0).sin()) as i16).collect();
    let mut coded = vec![0; 8_000];
    offhook_codec::g722::Encoder::default().encode(&pcm, &mut coded);
    let packet = |n: u16| -> [u8; 160] { coded[usize::from(n) * 160..][..160].try_into().expect("160 bytes") };
    let centre = centre_of(1, 50, CodecKind::G722, |_, n| packet(n));
    assert!(centre.verify().faults.is_empty(), "{}", centre.verify().text());
    let out = centre.data.path().join("out.wav");
    export(&centre.shelf(), &centre.manifests[&1], None, Format::Wav, &out).expect("exported");
    let mut reader = hound::WavReader::open(&out).expect("a WAV file");
    assert_eq!((reader.spec().channels, reader.spec().sample_rate, reader.duration()), (2, 16_000, 16_320));
    let samples: Vec<i16> = reader.samples().map(|sample| sample.expect("a sample")).collect();
    let power = samples.iter().step_by(2).skip(1_600).take(12_800).map(|&s| f64::from(s).powi(2)).sum::<f64>();
    let peak = (2.0 * power / 12_800.0).sqrt();
    assert!((peak - 8_000.0).abs() < 800.0, "{peak:.0}");
    // Nothing was sent, and what follows the last packet rings out.
    assert!(samples.iter().skip(1).step_by(2).all(|&sample| sample == 0));
    assert!(samples.iter().step_by(2).skip(16_200).all(|&sample| sample.abs() < 400));
}

#[test]
fn a_recording_of_opus_is_covered_agrees_with_its_manifest_and_is_exported_played_from_anywhere_and_drawn() {
    use offhook_codec::opus;
    let pcm: Vec<i16> =
        (0..32_000).map(|n| (8_000.0 * (core::f64::consts::TAU * f64::from(n) * 3.0 / 16.0).sin()) as i16).collect();
    let settings = opus::Settings { bitrate: 32_000, ..opus::Settings::voice(offhook_units::SampleRate::WIDE) };
    let mut encoder = opus::Encoder::new(&settings).expect("an encoder");
    let packets: Vec<Vec<u8>> = pcm
        .chunks_exact(320)
        .map(|frame| {
            let mut out = vec![0; opus::PACKET_BYTES_MAX];
            let Ok(opus::Encoded::Packet(bytes)) = encoder.encode(frame, &mut out) else { panic!("a pause") };
            out.truncate(bytes);
            out
        })
        .collect();
    let centre = centre_of(1, 100, CodecKind::Opus, |_, n| packets[usize::from(n)].clone());
    assert!(centre.verify().faults.is_empty(), "{}", centre.verify().text());
    let manifest = &centre.manifests[&1];
    assert_eq!((manifest.left.covered_ms, manifest.left.packets, manifest.codec), (2_000, 100, CodecKind::G722));
    assert_eq!(manifest.left.payload_bytes, packets.iter().map(|packet| packet.len() as u64).sum::<u64>());
    let out = centre.data.path().join("out.wav");
    export(&centre.shelf(), manifest, None, Format::Wav, &out).expect("exported");
    let mut reader = hound::WavReader::open(&out).expect("a WAV file");
    let exported: Vec<i16> = reader.samples().map(|sample| sample.expect("a sample")).collect();
    let power = exported.iter().step_by(2).skip(3_200).take(25_600).map(|&s| f64::from(s).powi(2)).sum::<f64>();
    let peak = (2.0 * power / 25_600.0).sqrt();
    assert!((peak - 8_000.0).abs() < 1_600.0, "3 kHz at {peak:.0}");
    let path = Path::new(&manifest.path);
    let mut samples = Samples::open(&centre.shelf(), RecordingId(1), path, None).expect("it opens");
    let bytes = whole(&mut samples);
    let at = 44 + 4 * 20_000;
    let part = samples.read(at as u64).expect("a part");
    let left = |bytes: &[u8], n: usize| i32::from(i16::from_le_bytes([bytes[4 * n], bytes[4 * n + 1]]));
    let worst = (0..part.len() / 4).map(|n| (left(&part, n) - left(&bytes[at..], n)).abs()).max();
    assert!(worst.is_some_and(|worst| worst < 64), "{worst:?} of 8,000");
    let [left, right] = samples.peaks(10).expect("peaks");
    assert!(left.iter().take(9).all(|peak| *peak > 40) && right.iter().all(|peak| *peak < 2), "{left:?} {right:?}");
}

/// The whole of it, read from its start.
fn whole(samples: &mut Samples) -> Vec<u8> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < samples.length() {
        bytes.extend(samples.read(bytes.len() as u64).expect("more"));
    }
    assert!(samples.read(samples.length()).expect("the end").is_empty());
    bytes
}

#[test]
fn a_sealed_recording_is_read_from_anywhere_as_its_whole_says_and_not_without_its_key() {
    let keys = KeyRing::parse(&"5a".repeat(32)).expect("keys");
    let noise = |_, n: u16| -> [u8; 160] {
        core::array::from_fn(|at| (usize::from(n) * 160 + at).wrapping_mul(2_654_435_761).to_le_bytes()[1])
    };
    let centre = sealed_centre(1, 60, CodecKind::Pcma, Some(keys.clone()), noise);
    let path = Path::new(&centre.manifests[&1].path);
    assert_eq!(path.extension().and_then(|e| e.to_str()), Some("sealed"));
    assert!(Samples::open(&centre.shelf(), RecordingId(1), path, None).is_err());
    let mut samples = Samples::open(&centre.shelf(), RecordingId(1), path, Some(&keys)).expect("it opens");
    let bytes = whole(&mut samples);
    assert_eq!(hound::WavReader::new(&bytes[..]).expect("a WAV file").duration() as usize, (bytes.len() - 44) / 4);
    for at in [1, 43, 44, 45, 46, 47, 48, 8_191, 8_236, 20_001, bytes.len() - 1] {
        let part = samples.read(at as u64).expect("a part");
        assert!(!part.is_empty() && part == bytes[at..][..part.len()], "from {at} on");
    }
    let [left, right] = samples.peaks(10).expect("peaks");
    assert!(left.iter().take(9).all(|peak| *peak > 200), "{left:?}");
    assert!(right.iter().all(|peak| *peak < 2), "{right:?}");
}

#[test]
fn a_recording_that_somebody_cut_is_read_up_to_there_and_then_an_error() {
    for codec in [CodecKind::Pcmu, CodecKind::G722] {
        for left_over in [0, 1, 7_001] {
            let centre = centre_of(1, 60, codec, |_, _| [0x55; 160]);
            let path = Path::new(&centre.manifests[&1].path);
            let on_disk = centre.folder().join(path);
            let mut samples = Samples::open(&centre.shelf(), RecordingId(1), path, None).expect("it opens");
            let file = std::fs::File::options().write(true).open(&on_disk).expect("its file");
            file.set_len(offhook_recorder::HEADER_BYTES as u64 + left_over).expect("it is cut");
            assert!(samples.peaks(10).is_err(), "{codec:?} {left_over}");
            let end = samples.length() - 4;
            assert!(samples.read(end).is_err(), "{codec:?} {left_over}");
        }
    }
}

#[test]
fn g722_read_from_its_middle_differs_from_the_whole_by_no_more_than_is_heard() {
    let pcm: Vec<i16> = (0..96_000)
        .map(|n| (6_000.0 * (f64::from(n) * 0.2).sin() + 3_000.0 * (f64::from(n) * 0.031).sin()) as i16)
        .collect();
    let mut coded = vec![0; 48_000];
    offhook_codec::g722::Encoder::default().encode(&pcm, &mut coded);
    let packet = |_, n: u16| -> [u8; 160] { coded[usize::from(n) * 160..][..160].try_into().expect("160 bytes") };
    let centre = centre_of(1, 300, CodecKind::G722, packet);
    let path = Path::new(&centre.manifests[&1].path);
    let mut samples = Samples::open(&centre.shelf(), RecordingId(1), path, None).expect("it opens");
    let bytes = whole(&mut samples);
    let at = 44 + 4 * 50_000;
    let part = samples.read(at as u64).expect("a part");
    let pair = |bytes: &[u8], n: usize| i32::from(i16::from_le_bytes([bytes[4 * n], bytes[4 * n + 1]]));
    let worst = (0..part.len() / 4).map(|n| (pair(&part, n) - pair(&bytes[at..], n)).abs()).max();
    assert!(worst.is_some_and(|worst| worst < 16), "{worst:?} of 9,000");
}

#[test]
fn what_is_held_is_kept_and_what_is_erased_or_expired_is_gone_with_a_certificate_and_no_fault() {
    let centre = centre(5, 30);
    let archive = Archive::open(centre.data.path()).expect("an archive");
    let (shelf, at) = (centre.shelf(), BEGAN + Span::from_s(100));
    let one = &centre.manifests[&1];
    hold(&archive, at, one.id, Some("case 7")).expect("held");
    let refused = erase(&archive, &shelf, "ann", at, one, "asked for").expect_err("held");
    assert!(refused.to_string().contains("case 7"), "{refused}");
    let certificate = erase(&archive, &shelf, "ann", at, &centre.manifests[&2], "asked for").expect("erased");
    assert_eq!((certificate["erased"].as_str(), certificate["why"].as_str()), (Some("r-2"), Some("asked for")));
    assert!(!centre.file(2).exists());
    assert!(erase(&archive, &shelf, "ann", at, &centre.manifests[&2], "again").is_err());
    let manifests: Vec<Manifest> = centre.manifests.values().cloned().collect();
    let keep = |all| Keep { all: Kept::For(all), ..Keep::default() };
    let all = |keep: &Keep| due(&archive, manifests.clone(), keep, at).expect("rows");
    assert_eq!(all(&keep(Span::from_s(100))).free.len(), 0, "none is older");
    let three = all(&keep(Span::from_s(99)));
    assert_eq!((three.free.len(), three.held), (3, 1));
    for (manifest, _) in three.free {
        erase(&archive, &shelf, "ann", at, &manifest, "retention").expect("erased");
    }
    assert!(centre.file(1).exists() && !centre.file(5).exists());
    hold(&archive, at, one.id, None).expect("released");
    erase(&archive, &shelf, "ann", at, one, "case closed").expect("erased");
    let audit = centre.verify();
    assert_eq!((audit.recordings, audit.erased), (5, 5));
    assert_eq!(audit.faults, []);
    // One that comes back, out of a backup, is found.
    std::fs::write(centre.file(3), "RIFF").expect("written");
    let found: Vec<_> = centre.verify().faults.into_iter().map(|fault| (fault.recording, fault.kind)).collect();
    assert_eq!(found, [(Some("r-3".to_owned()), Kind::NotErased)]);
    let actions: Vec<String> = archive.audit(100).expect("entries").into_iter().map(|row| row.action).collect();
    assert_eq!(actions, ["hold", "erase", "erase", "erase", "erase", "release", "erase"]);
}
