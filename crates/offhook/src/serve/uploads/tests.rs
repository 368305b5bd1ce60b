//! The spool on a clock of its own, before a store in memory that can fail, and before an S3 server by others (`moto`).

use core::fmt;
use core::sync::atomic::AtomicBool;

use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};
use offhook_plan::CodecKind;
use offhook_recorder::KeyRing;
use offhook_server::Speech;
use offhook_store::Archive;

use super::*;
use crate::recording::tests::{BEGAN, Centre, sealed_centre};
use crate::recording::{Samples, StoreAway, erase};

/// A store that can be away, can damage what it is given, and counts.
#[derive(Debug, Default)]
struct Flaky {
    inner: InMemory,
    is_down: AtomicBool,
    damages: AtomicBool,
    puts: AtomicU64,
    read: AtomicU64,
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flaky")
    }
}

impl Flaky {
    fn there(&self) -> object_store::Result<()> {
        let away = || object_store::Error::Generic { store: "flaky", source: "it is away".into() };
        if self.is_down.load(Ordering::Relaxed) { Err(away()) } else { Ok(()) }
    }
}

#[async_trait::async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, key: &Key, payload: PutPayload, o: PutOptions) -> object_store::Result<PutResult> {
        self.there()?;
        self.puts.fetch_add(1, Ordering::Relaxed);
        let mut bytes: Vec<u8> = payload.iter().flat_map(|piece| piece.to_vec()).collect();
        let middle = bytes.len() / 2;
        bytes[middle] ^= u8::from(self.damages.load(Ordering::Relaxed));
        self.inner.put_opts(key, bytes.into(), o).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Key,
        o: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.there()?;
        self.inner.put_multipart_opts(key, o).await
    }

    async fn get_opts(&self, key: &Key, o: GetOptions) -> object_store::Result<GetResult> {
        self.there()?;
        let head = o.head;
        let got = self.inner.get_opts(key, o).await?;
        self.read.fetch_add(if head { 0 } else { got.range.end - got.range.start }, Ordering::Relaxed);
        Ok(got)
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, object_store::Result<Key>>,
    ) -> BoxStream<'static, object_store::Result<Key>> {
        match self.there() {
            Ok(()) => self.inner.delete_stream(keys),
            Err(error) => Box::pin(futures_util::stream::once(async { Err(error) })),
        }
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, o: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, o).await
    }
}

const DAY: Span = Span::from_s(86_400);

fn settings(url: &str) -> StoreSettings {
    StoreSettings {
        url: url.to_owned(),
        bucket: "recordings".to_owned(),
        region: "us-east-1".to_owned(),
        prefix: "offhook/".to_owned(),
        credentials: None,
        authorities: None,
        keep_local: DAY * 7,
        spool_max: 1_000_000_000,
        upload_max: 1 << 40,
    }
}

/// Recordings of a second, sealed, and a spool in front of a store.
struct House {
    centre: Centre,
    store: Arc<Flaky>,
    objects: Arc<Objects>,
    spool: Spool,
    stop: Receiver<()>,
    _go: Sender<()>,
}

fn keys() -> KeyRing {
    KeyRing::parse(&"5a".repeat(32)).expect("keys")
}

fn house(count: u64, packets: u16, settings: StoreSettings) -> House {
    let byte = |id: u64, n: u16, at: usize| (u64::from(n) * 160 + at as u64 + id).wrapping_mul(0x9e37_79b9) as u8;
    let payload = |id, n| core::array::from_fn::<u8, 160, _>(|at| byte(id, n, at));
    let centre = sealed_centre(count, packets, CodecKind::Pcma, Some(keys()), payload);
    let store = Arc::new(Flaky::default());
    let objects = Arc::new(Objects::of(Arc::clone(&store) as Arc<dyn ObjectStore>, "offhook").expect("a store"));
    let spool = Spool::open(centre.folder(), Arc::clone(&objects), settings, Arc::default()).expect("a spool");
    let (go, stop) = bounded(0);
    House { centre, store, objects, spool, stop, _go: go }
}

impl House {
    /// Steps until nothing is left to be stored at once.
    fn run(&mut self, now: Tick) {
        while self.spool.step(now, &self.stop) {}
    }

    fn shelf(&self) -> Shelf {
        Shelf { folder: self.centre.folder(), objects: Some(Arc::clone(&self.objects)) }
    }

    /// How many recordings lie in the folder.
    fn local(&self) -> usize {
        self.centre.manifests.keys().filter(|id| self.centre.file(**id).exists()).count()
    }

    fn samples(&self, shelf: &Shelf, id: u64) -> Vec<u8> {
        let path = Path::new(&self.centre.manifests[&id].path);
        let mut samples = Samples::open(shelf, RecordingId(id), path, Some(&keys())).expect("open");
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < samples.length() {
            bytes.extend(samples.read(bytes.len() as u64).expect("more"));
        }
        bytes
    }

    fn faults(&self, shelf: &Shelf) -> Vec<String> {
        let archive = Archive::open(self.centre.data.path()).expect("an archive");
        let audit = crate::recording::verify(&archive, shelf, true).expect("readable");
        audit.json()["faults"].as_array().expect("faults").iter().map(ToString::to_string).collect()
    }
}

fn figure(figure: &AtomicU64) -> u64 {
    figure.load(Ordering::Relaxed)
}

#[test]
fn recordings_are_stored_leave_the_folder_after_a_week_and_are_heard_and_verified_and_erased_in_the_store() {
    let mut house = house(4, 100, settings("http://127.0.0.1:1"));
    let before: Vec<_> = (1..=4).map(|id| house.samples(&Shelf::local(house.centre.folder()), id)).collect();
    house.run(BEGAN);
    let figures = Arc::clone(&house.spool.figures);
    assert_eq!((figure(&figures.stored), figure(&figures.waiting), house.local()), (4, 0, 4));
    house.run(BEGAN + Span::from_s(7 * 86_400 - 1));
    assert_eq!(house.local(), 4);
    house.run(BEGAN + DAY * 7);
    assert_eq!((house.local(), figure(&figures.removed), figure(&figures.spool_bytes)), (0, 4, 0));
    let shelf = house.shelf();
    let after: Vec<_> = (1..=4).map(|id| house.samples(&shelf, id)).collect();
    assert!(before == after, "heard from the store as from the folder");
    assert_eq!(house.faults(&shelf), Vec::<String>::new());
    // A store that is away is told from a recording that is gone.
    let path = Path::new(&house.centre.manifests[&1].path);
    let open = |shelf: &Shelf| Samples::open(shelf, RecordingId(1), path, Some(&keys())).expect_err("not there");
    house.store.is_down.store(true, Ordering::Relaxed);
    assert!(open(&shelf).is::<StoreAway>());
    house.store.is_down.store(false, Ordering::Relaxed);
    assert!(!open(&Shelf::local(house.centre.folder())).is::<StoreAway>());
    // Without the store's settings it says that it cannot ask, and erases nothing that would stay there.
    assert!(house.faults(&Shelf::local(house.centre.folder()))[0].contains("unreachable-file"));
    let archive = Archive::open(house.centre.data.path()).expect("an archive");
    let manifest = &house.centre.manifests[&2];
    erase(&archive, &shelf, "ann", BEGAN, manifest, "asked for").expect("erased");
    assert_eq!(house.objects.length(&manifest.path).expect("asked"), None);
    assert_eq!(house.faults(&shelf), Vec::<String>::new());
    let other = &house.centre.manifests[&3];
    let refused = erase(&archive, &Shelf::local(house.centre.folder()), "ann", BEGAN, other, "asked for");
    assert!(refused.expect_err("it is in the store").to_string().contains("--config"));
}

#[test]
fn a_jump_to_the_middle_of_a_stored_recording_reads_no_more_than_two_blocks_of_it() {
    let mut house = house(1, 6_000, StoreSettings { keep_local: Span::ZERO, ..settings("http://127.0.0.1:1") });
    house.run(BEGAN);
    assert_eq!(house.local(), 0);
    let path = Path::new(&house.centre.manifests[&1].path);
    let before = figure(&house.store.read);
    let mut samples = Samples::open(&house.shelf(), RecordingId(1), path, Some(&keys())).expect("open");
    let (middle, mut got) = (samples.length() / 2, 0);
    while got < 32_000 {
        got += samples.read(middle + got).expect("more").len() as u64;
    }
    let read = figure(&house.store.read) - before;
    let whole = house.objects.length(&house.centre.manifests[&1].path).expect("asked").expect("there");
    assert!(whole > 1_900_000 && read <= 2 * 262_144, "{read} of {whole} bytes for a second");
}

#[test]
fn while_the_store_is_away_recordings_wait_tries_grow_rarer_and_all_are_stored_once_it_is_back() {
    let mut house = house(3, 50, StoreSettings { spool_max: 20_000, ..settings("http://127.0.0.1:1") });
    let figures = Arc::clone(&house.spool.figures);
    house.store.is_down.store(true, Ordering::Relaxed);
    // A step each second for an hour: tries after 0, 1, 3, 7, .. 255 and then every 300 s.
    for second in 0..3_600 {
        assert!(!house.spool.step(BEGAN + Span::from_s(second), &house.stop));
    }
    assert_eq!((figure(&figures.failed), figure(&figures.down), figure(&figures.full)), (20, 1, 1));
    assert_eq!((figure(&figures.waiting), house.local()), (3, 3));
    house.store.is_down.store(false, Ordering::Relaxed);
    house.run(BEGAN + Span::from_s(4_000));
    assert_eq!((figure(&figures.stored), figure(&figures.down), figure(&figures.waiting)), (3, 0, 0));
    // More than 20,000 bytes are too many: the oldest left the folder before its week was over.
    assert_eq!((house.local(), figure(&figures.full)), (1, 0));
}

#[test]
fn what_the_store_damaged_stays_in_the_folder_and_is_stored_again() {
    let mut house = house(1, 50, StoreSettings { keep_local: Span::ZERO, ..settings("http://127.0.0.1:1") });
    house.store.damages.store(true, Ordering::Relaxed);
    house.run(BEGAN);
    assert_eq!((house.local(), figure(&house.spool.figures.failed), figure(&house.spool.figures.stored)), (1, 1, 0));
    house.store.damages.store(false, Ordering::Relaxed);
    house.run(BEGAN + Span::from_s(60));
    assert_eq!((house.local(), figure(&house.spool.figures.stored), figure(&house.store.puts)), (0, 1, 2));
    assert_eq!(house.faults(&house.shelf()), Vec::<String>::new());
}

#[test]
fn a_stored_recording_stays_in_the_folder_when_its_object_is_gone_and_verify_names_it() {
    let mut house = house(1, 50, settings("http://127.0.0.1:1"));
    house.run(BEGAN);
    house.objects.delete(&house.centre.manifests[&1].path).expect("deleted by somebody");
    house.run(BEGAN + DAY * 8);
    assert_eq!((house.local(), figure(&house.spool.figures.removed)), (1, 0));
    assert!(house.faults(&house.shelf())[0].contains("missing-file"));
}

#[test]
fn a_restart_stores_nothing_twice_a_changed_file_never_and_one_that_was_erased_is_forgotten() {
    let mut house = house(5, 50, settings("http://127.0.0.1:1"));
    assert!(house.spool.step(BEGAN, &house.stop) && house.spool.step(BEGAN, &house.stop));
    // The third got as far as the store and not into the ledger.
    let third = &house.centre.manifests[&3];
    let file = File::open(house.centre.file(3)).expect("a file");
    house.objects.put(&third.path, &file, |_| Ok(())).expect("stored");
    let mut bytes = std::fs::read(house.centre.file(4)).expect("a file");
    bytes[300] ^= 1;
    std::fs::write(house.centre.file(4), bytes).expect("written");
    std::fs::remove_file(house.centre.file(5)).expect("erased");
    let figures = Arc::new(Uploading::default());
    let (folder, objects) = (house.centre.folder(), Arc::clone(&house.objects));
    house.spool = Spool::open(folder, objects, settings("http://127.0.0.1:1"), Arc::clone(&figures)).expect("a spool");
    house.run(BEGAN + DAY);
    assert_eq!((figure(&house.store.puts), figure(&figures.stored), figure(&figures.changed)), (3, 1, 1));
    assert_eq!(figure(&figures.waiting), 0);
    house.run(BEGAN + DAY * 7);
    assert_eq!(house.local(), 2, "two left after their week; the third has a day to go, the fourth is nowhere else");
}

#[test]
fn a_large_file_goes_in_parts_and_a_stop_ends_it_between_two_of_them() {
    let house = house(1, 50, settings("http://127.0.0.1:1"));
    let path = house.centre.data.path().join("large");
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&path, &bytes).expect("written");
    let file = File::open(&path).expect("open");
    let mut parts = Vec::new();
    let stopped = house.objects.put("large", &file, |bytes| {
        parts.push(bytes);
        if parts.len() == 2 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    });
    assert_eq!(stopped.expect_err("ended").kind(), io::ErrorKind::Interrupted);
    assert_eq!((parts, house.objects.length("large").expect("asked")), (vec![8 << 20, 8 << 20], None));
    house.objects.put("large", &file, |_| Ok(())).expect("stored");
    confirm(&house.objects, "large", 20_000_000, &hash_file(&file).expect("read")).expect("as it was");
}

/// `moto`, an S3 server from PyPI, by the Python that `OFFHOOK_S3_PYTHON` names, or the system's. Where it has none its test says so and
/// passes, unless the variable is set.
struct S3 {
    child: std::process::Child,
    port: u16,
}

impl S3 {
    fn start(port: u16) -> Option<Self> {
        let named = std::env::var("OFFHOOK_S3_PYTHON");
        let python = named.clone().unwrap_or_else(|_| "python3".to_owned());
        let probe = std::process::Command::new(&python).args(["-c", "import moto.server"]).output();
        if !probe.is_ok_and(|probe| probe.status.success()) {
            assert!(named.is_err(), "{python} has no moto: pip install 'moto[s3]' flask flask-cors");
            eprintln!("there is no S3 server here: nothing was tested");
            return None;
        }
        let mut server = std::process::Command::new(python);
        server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let quiet = std::process::Stdio::null;
        let child = server.stdout(quiet()).stderr(quiet()).spawn().expect("it starts");
        let server = Self { child, port };
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        while !server.ask("PUT /recordings").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            assert!(std::time::Instant::now() < deadline, "the S3 server does not answer");
            std::thread::yield_now();
        }
        Some(server)
    }

    fn ask(&self, request: &str) -> Option<String> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let head = "Host: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close";
        write!(stream, "{request} HTTP/1.1\r\n{head}\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn end(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn an_s3_server_that_is_killed_in_the_middle_of_an_upload_has_all_recordings_once_it_is_back() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let Some(mut server) = S3::start(port) else { return };
    let mut house = house(3, 200, settings("http://127.0.0.1:1"));
    let file = house.centre.data.path().join("s3.credentials");
    std::fs::write(&file, "aws_access_key_id = ours\naws_secret_access_key = geheim\n").expect("written");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    let settings = StoreSettings {
        credentials: Some(file),
        keep_local: Span::ZERO,
        ..settings(&format!("http://127.0.0.1:{port}"))
    };
    house.objects = Arc::new(Objects::open(&settings).expect("a store"));
    let figures = Arc::new(Uploading::default());
    let (folder, objects) = (house.centre.folder(), Arc::clone(&house.objects));
    house.spool = Spool::open(folder, objects, settings, Arc::clone(&figures)).expect("a spool");
    // One is stored, and a large one is on its way in parts when the server dies.
    assert!(house.spool.step(BEGAN, &house.stop));
    assert_eq!((figure(&figures.stored), house.local()), (1, 2));
    let large = house.centre.data.path().join("large");
    std::fs::write(&large, vec![7; 20_000_000]).expect("written");
    let large = File::open(&large).expect("open");
    let mut parts = 0;
    let killed = house.objects.put("large", &large, |_| {
        parts += 1;
        server.end();
        Ok(())
    });
    assert!(killed.is_err() && parts == 1, "{parts} parts went");
    assert!(!house.spool.step(BEGAN + Span::from_s(10), &house.stop), "it is away");
    assert_eq!((figure(&figures.down), house.local()), (1, 2));
    // It comes back, and with nothing: it kept all in memory.
    let server = S3::start(port).expect("it was there before");
    house.run(BEGAN + Span::from_s(60));
    assert_eq!((figure(&figures.stored), figure(&figures.waiting), house.local()), (3, 0, 0));
    house.objects.put("large", &large, |_| Ok(())).expect("stored");
    confirm(&house.objects, "large", 20_000_000, &hash_file(&large).expect("read")).expect("as it was");
    let shelf = house.shelf();
    assert_eq!(house.samples(&shelf, 3).len(), 44 + 4 * 160 * 201);
    let faults = house.faults(&shelf);
    assert!(faults.len() == 1 && faults[0].contains("missing-file") && faults[0].contains("r-1"), "{faults:?}");
    drop(server);
}
