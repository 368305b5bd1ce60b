//! The job on a clock of its own, over recordings made by the real writer.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use offhook_call::calendar::Zone;
use offhook_plan::CodecKind;
use offhook_recorder::Format;
use offhook_units::RecordingId;

use super::*;
use crate::recording::tests::{BEGAN, Centre, sealed_centre};
use crate::recording::{Hours, erase};

const HOUR: Span = Span::from_s(3_600);

/// Sealed recordings of `packets` packets of noise, and the job that copies them.
struct House {
    centre: Centre,
    job: Job,
    stop: Receiver<()>,
    go: Sender<()>,
}

fn keys() -> KeyRing {
    KeyRing::parse(&"3c".repeat(32)).expect("a master key")
}

fn settings(format: Format, hours: Option<Hours>) -> CopySettings {
    CopySettings { format, hours, cpu_percent: 100 }
}

/// From 22:00 to 05:00 UTC.
fn night() -> Hours {
    Hours { from: HOUR * 22, until: HOUR * 5, zone: Zone::utc() }
}

fn house(count: u64, packets: u16, settings: CopySettings) -> House {
    let byte = |n: u16, at: usize| (u32::from(n) * 160 + at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0];
    let centre = sealed_centre(count, packets, CodecKind::Pcma, Some(keys()), |_, n| {
        core::array::from_fn::<u8, 160, _>(|at| byte(n, at))
    });
    let (go, stop) = bounded(0);
    House { job: job(&centre, settings), centre, stop, go }
}

fn job(centre: &Centre, settings: CopySettings) -> Job {
    let place = Place { data: centre.data.path().to_owned(), shelf: centre.shelf(), keys: Some(keys()) };
    Job::new(place, settings, Arc::default()).expect("a job")
}

impl House {
    /// Steps until nothing more is to be done at `now`; how many were done.
    fn run(&mut self, now: Tick) -> usize {
        (0..100).take_while(|_| self.job.step(now, now >= self.job.rest_until, &self.stop)).count()
    }

    /// Made, unreadable, failed.
    fn figures(&self) -> [u64; 3] {
        let Copying { made, unreadable, failed, .. } = &*self.job.figures;
        [made, unreadable, failed].map(|figure| figure.load(Ordering::Relaxed))
    }

    /// Where the copies are of the day on which all of them began.
    fn day(&self) -> PathBuf {
        self.centre.folder().join("copies/2024/02/29")
    }

    fn names(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.day()).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

#[test]
fn a_copy_is_the_export_of_its_recording_with_a_text_beside_it_for_the_owner_alone() {
    let mut house = house(2, 100, settings(Format::Flac, None));
    assert_eq!(house.run(BEGAN + HOUR), 2);
    assert_eq!(house.figures(), [2, 0, 0]);
    let names = ["r-1.flac", "r-1.json", "r-2.flac", "r-2.json"].map(str::to_owned);
    assert_eq!(house.names(), BTreeSet::from(names));
    for name in house.names() {
        let mode = std::fs::metadata(house.day().join(&name)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(std::fs::metadata(house.day()).expect("there").permissions().mode() & 0o777, 0o700);
    let sound = std::fs::read(house.day().join("r-1.flac")).expect("a copy");
    let samples = claxon::FlacReader::new(&sound[..]).expect("FLAC").samples().count();
    let manifest = &house.centre.manifests[&1];
    assert_eq!(samples as u64, manifest.duration_ms * 8 * 2);
    let text = std::fs::read(house.day().join("r-1.json")).expect("a text");
    let text: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!((&text["recording"], &text["file"]), (&"r-1".into(), &"r-1.flac".into()));
    assert_eq!((&text["bytes"], &text["duration_ms"]), (&sound.len().into(), &manifest.duration_ms.into()));
    assert_eq!((&text["about"]["queue"], &text["started"]), (&"sales".into(), &"2024-02-29T23:59:59.000Z".into()));
    let archive = Archive::open(house.centre.data.path()).expect("an archive");
    let entries = archive.audit(10).expect("entries").into_iter().filter(|entry| entry.action == "copy");
    let entries: Vec<_> = entries.map(|entry| (entry.who, entry.subject, entry.detail)).collect();
    assert_eq!(entries, ["r-1", "r-2"].map(|id| (WHO.to_owned(), id.to_owned(), "flac".to_owned())));
}

#[test]
fn copies_are_made_in_their_hours_and_what_waits_meanwhile_is_told() {
    let mut house = house(3, 20, settings(Format::Opus, Some(night())));
    // The recordings began a second before midnight.
    let noon = BEGAN + HOUR * 12;
    let behind = |house: &House| house.job.figures.behind_s.load(Ordering::Relaxed);
    let hours = |now: Tick| night().are(now);
    assert!(!house.job.step(noon, hours(noon), &house.stop));
    assert_eq!((house.figures(), behind(&house)), ([0, 0, 0], 12 * 3_600));
    let late = BEGAN + HOUR * 22 + Span::from_s(1);
    assert!(house.job.step(late, hours(late), &house.stop));
    assert_eq!((house.figures(), house.names().contains("r-1.opus")), ([1, 0, 0], true));
    assert_eq!(house.run(late), 2);
    assert_eq!((house.figures(), behind(&house)), ([3, 0, 0], 0));
}

#[test]
fn hours_may_go_over_midnight_and_are_those_of_their_zone() {
    let at = |h: u64, s: u64| Tick::from_us((1_709_164_800 + h * 3_600 + s) * 1_000_000);
    let hours = |hours: &Hours| (0..24).filter(|h| hours.are(at(*h, 0))).collect::<Vec<u64>>();
    assert_eq!(hours(&night()), [0, 1, 2, 3, 4, 22, 23]);
    assert_eq!(night().last(), HOUR * 7);
    assert!(night().are(at(4, 3_599)) && !night().are(at(5, 0)));
    let zone = Zone { name: "Shanghai".into(), first: 8 * 3_600, changes: Vec::new() };
    let lunch = Hours { from: HOUR * 12, until: HOUR * 14, zone };
    assert_eq!((hours(&lunch), lunch.last()), (vec![4, 5], HOUR * 2));
}

#[test]
fn a_restart_goes_on_where_the_last_run_stopped_and_makes_no_copy_again_that_somebody_took_away() {
    let mut house = house(3, 20, settings(Format::Wav, None));
    assert!(house.job.step(BEGAN + HOUR, true, &house.stop));
    std::fs::remove_file(house.day().join("r-1.wav")).expect("taken");
    std::fs::remove_file(house.day().join("r-1.json")).expect("taken");
    house.job = job(&house.centre, settings(Format::Wav, None));
    assert_eq!(house.run(BEGAN + HOUR), 2);
    let names = ["r-2.json", "r-2.wav", "r-3.json", "r-3.wav"].map(str::to_owned);
    assert_eq!(house.names(), BTreeSet::from(names));
    assert_eq!(house.centre.verify().faults, Vec::new(), "copies are no recordings");
}

#[test]
fn whoever_erases_a_recording_takes_its_copy_and_what_others_laid_beside_it() {
    let mut house = house(12, 20, settings(Format::Opus, None));
    house.run(BEGAN + HOUR);
    let transcript = |id: u64| house.day().join(format!("r-{id:x}.transcript.txt"));
    for id in [1, 0x10] {
        std::fs::write(transcript(id), "hello").expect("written");
    }
    let archive = Archive::open(house.centre.data.path()).expect("an archive");
    let manifest = house.centre.manifests[&1].clone();
    erase(&archive, &house.centre.shelf(), "somebody", BEGAN + HOUR, &manifest, "asked to").expect("erased");
    let left: Vec<String> = house.names().into_iter().filter(|name| name.starts_with("r-1")).collect();
    assert_eq!(left, ["r-10.transcript.txt"], "another one whose name begins alike");
    assert_eq!(house.centre.verify().faults, Vec::new());
    // One that lies there all the same is found.
    std::fs::write(transcript(1), "hello").expect("written");
    let faults = house.centre.verify().faults;
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].detail.contains("a copy of it is there"), "{faults:?}");
}

#[test]
fn an_erased_recording_is_not_copied_and_one_that_is_erased_meanwhile_keeps_no_copy() {
    let mut house = house(3, 20, settings(Format::Wav, None));
    let (data, shelf) = (house.centre.data.path().to_owned(), house.centre.shelf());
    let erased = |id: u64| {
        let archive = Archive::open(&data).expect("an archive");
        erase(&archive, &shelf, "somebody", BEGAN + HOUR, &house.centre.manifests[&id], "asked to").expect("erased");
    };
    let make = |id: u64, with_the_first_piece: &dyn Fn()| {
        let mut once = Some(with_the_first_piece);
        house.job.place.make(&house.job.settings, BEGAN + HOUR, &house.centre.manifests[&id], || {
            once.take().into_iter().for_each(|act| act());
            Ok(())
        })
    };
    erased(1);
    assert!(matches!(make(1, &|| panic!("it is read")), Ok(None)));
    // Its file is open and can be read to its end; what was written of the copy goes with it.
    let made = make(2, &|| erased(2));
    assert!(matches!(made, Err(NoCopy::Unwritten(_))), "{made:?}");
    // Whoever erases looked for copies before there was one, and said so afterwards.
    let said = |id: u64| {
        let archive = Archive::open(&data).expect("an archive");
        archive.write(&[Change::Erased(RecordingId(id), BEGAN + HOUR, "asked to".to_owned())]).expect("written");
    };
    let made = make(3, &|| said(3));
    assert!(matches!(made, Ok(None)), "{made:?}");
    assert!(house.names().is_empty(), "{:?}", house.names());
    assert_eq!((house.run(BEGAN + HOUR), house.figures()), (0, [0, 0, 0]), "they are passed over");
}

#[test]
fn a_recording_that_cannot_be_read_is_passed_over_and_counted() {
    let mut house = house(3, 100, settings(Format::Opus, None));
    let mut bytes = std::fs::read(house.centre.file(2)).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(house.centre.file(2), bytes).expect("written");
    assert_eq!(house.run(BEGAN + HOUR), 2);
    assert_eq!(house.figures(), [2, 1, 0]);
    assert!(house.names().iter().all(|name| !name.starts_with("r-2")), "{:?}", house.names());
}

#[test]
fn a_copy_that_cannot_be_written_is_tried_again_after_a_rest_and_none_is_left_out() {
    let mut house = house(2, 20, settings(Format::Wav, None));
    let (in_the_way, now) = (house.centre.folder().join("copies"), BEGAN + HOUR);
    std::fs::write(&in_the_way, "no folder").expect("written");
    assert_eq!(house.run(now), 0);
    assert_eq!(house.figures(), [0, 0, 1]);
    std::fs::remove_file(&in_the_way).expect("removed");
    assert_eq!(house.run(now + Span::from_s(59)), 0, "it rests");
    assert_eq!(house.run(now + Span::from_s(60)), 2);
    assert_eq!(house.figures(), [2, 0, 1]);
}

#[test]
fn it_keeps_to_its_share_of_a_core_and_stops_between_two_pieces() {
    let mut house = house(2, 400, CopySettings { cpu_percent: 20, ..settings(Format::Opus, None) });
    let pace = Pace::new(20, &house.stop);
    assert!(house.job.step(BEGAN + HOUR, true, &house.stop));
    let (used, took) = (pace.used(), pace.began.elapsed());
    // The last piece need not be waited for.
    assert!(used.saturating_sub(Duration::from_millis(20)) * 5 <= took, "{used:?} of {took:?}");
    assert!(used > Duration::from_millis(10), "8 s of speech cost something: {used:?}");
    drop(house.go);
    assert!(!house.job.step(BEGAN + HOUR, true, &house.stop));
    let figures = &house.job.figures;
    assert_eq!((figures.made.load(Ordering::Relaxed), figures.failed.load(Ordering::Relaxed)), (1, 0));
    assert!(house.job.ledger.get(RecordingId(2)).is_none());
}

#[test]
fn settings_that_cannot_be_begun_leave_none_and_those_of_before_begin_anew() {
    let house = house(1, 20, settings(Format::Wav, None));
    let mut copier = Copier::new(house.centre.data.path(), &house.centre.shelf(), Some(&keys()), &Clock::start(None));
    let said = |format| Some(settings(format, Some(night())));
    copier.follow(said(Format::Wav)).expect("begun");
    let (ledger, aside) = (house.centre.folder().join(COPIED), house.centre.folder().join("aside"));
    std::fs::rename(&ledger, &aside).expect("put aside");
    std::fs::create_dir(&ledger).expect("a folder in its place");
    copier.follow(said(Format::Opus)).expect_err("no ledger");
    assert!(copier.at_work.is_none());
    std::fs::remove_dir(&ledger).expect("out of the way");
    copier.follow(said(Format::Wav)).expect("begun anew");
    assert!(copier.at_work.is_some());
}
