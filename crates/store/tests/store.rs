//! The store through its public handle: what is handed over is found again, in order, after a restart.

use std::sync::mpsc;

use offhook_store::{
    AppendError, AuditRow, BindingRow, CallFilter, CallRow, Limits, Record, RecordingFilter, RecordingRow, SessionRow,
    Store, StoreError, WrapUpRow,
};
use offhook_units::{AgentId, CallId, PersonRef, QueueId, RecordingId, Span, Tick};
use tempfile::TempDir;

fn record(seq: u64) -> Record {
    Record { stream: 1, seq, at: Tick::from_us(1_000 * seq), kind: 2, version: 3, bytes: seq.to_le_bytes().into() }
}

fn log(store: &Store, from: u64) -> Vec<Record> {
    let mut records = Vec::new();
    store.read_log(from, |record| records.push(record)).expect("a readable log");
    let (mut paged, mut next) = (Vec::new(), Some(from));
    while let Some(page) = next.map(|next| wait(store.log_page(next)).expect("a page")) {
        next = page.last().and_then(|last| last.seq.checked_add(1));
        paged.extend(page);
    }
    assert_eq!(paged, records, "page by page");
    records
}

/// What lies in the journal's two files.
fn journal_bytes(dir: &TempDir) -> u64 {
    let length = |n| std::fs::metadata(dir.path().join(format!("exchange.journal-{n}"))).expect("a file").len();
    length(0) + length(1)
}

/// Waits until everything handed over is committed.
fn committed(store: &Store) {
    let (told, tells) = mpsc::channel();
    store.commit_notice(move || told.send(()).expect("the test waits"));
    tells.recv().expect("the store tells");
}

fn call(id: u64, started: u64, queue: Option<u64>) -> CallRow {
    CallRow {
        id: CallId(id),
        started: Tick::from_us(started),
        ended: Tick::from_us(started + 5),
        number: "+4930".into(),
        queue: queue.map(QueueId),
        agent: Some(AgentId(u64::MAX)),
        end: "caller-hung-up".into(),
        json: format!("{{\"id\":{id}}}"),
    }
}

/// Every byte of the folder, file by file.
fn files_of(dir: &TempDir) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(dir.path()).expect("a folder").map(|e| e.expect("an entry").path());
    files.map(|path| std::fs::read(path).expect("a file")).collect()
}

fn holds(files: &[Vec<u8>], text: &[u8]) -> bool {
    files.iter().any(|f| f.windows(text.len()).any(|w| w == text))
}

/// The keys as they lie in the database.
fn keys_of_people(dir: &TempDir) -> Vec<Vec<u8>> {
    use sqlx::ConnectOptions;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("exchange.db")).read_only(true);
    wait(async {
        let mut connection = options.connect().await.expect("a second connection");
        sqlx::query_scalar("SELECT key FROM person_key").fetch_all(&mut connection).await.expect("keys")
    })
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

#[test]
fn who_is_in_no_hurry_sees_what_the_database_has_and_hurries_nothing_there() {
    let dir = TempDir::new().expect("a folder");
    let limits = Limits { settle: Span::from_s(3_600), ..Limits::default() };
    let store = Store::open_with(dir.path(), limits).expect("a new store");
    let unhurried = store.unhurried();
    store.append(vec![record(1)]).expect("room");
    committed(&store);
    let settlings = store.stats().settlings;
    assert_eq!(wait(unhurried.log_page(1)).expect("an answer"), []);
    assert_eq!(store.stats().settlings, settlings);
    assert_eq!(wait(store.log_page(1)).expect("an answer"), [record(1)]);
    assert_eq!(wait(unhurried.log_page(1)).expect("an answer"), [record(1)]);
}

#[test]
fn appended_records_are_read_back_in_order_after_a_restart_and_time_goes_on() {
    let dir = TempDir::new().expect("a folder");
    let store = Store::open(dir.path()).expect("a new store");
    assert_eq!((store.boot(), store.next_seq(), store.last_tick()), (1, 1, None));
    for chunk in 0..10 {
        store.append((1..=100).map(|n| record(chunk * 100 + n)).collect()).expect("room");
    }
    committed(&store);
    assert_eq!((store.stats().committed, store.stats().queued), (1_000, 0));
    store.append(vec![record(1_001)]).expect("room");
    store.shutdown().expect("a good end");

    let store = Store::open(dir.path()).expect("the same store");
    assert_eq!((store.boot(), store.next_seq(), store.last_tick()), (2, 1_002, Some(Tick::from_us(1_001_000))));
    assert_eq!(log(&store, 0), (1..=1_001).map(record).collect::<Vec<_>>());
    assert_eq!(log(&store, 555), (555..=1_001).map(record).collect::<Vec<_>>());
    assert_eq!(log(&store, 2_000), []);
    store.append(vec![record(1_002)]).expect("room");
}

#[test]
fn what_the_journal_held_at_a_crash_is_in_the_database_after_the_next_start() {
    let dir = TempDir::new().expect("a folder");
    let limits = Limits { settle: Span::from_s(3_600), ..Limits::default() };
    let store = Store::open_with(dir.path(), limits).expect("a store");
    store.append(vec![record(1)]).expect("room");
    committed(&store);
    store.bindings().expect("the database has the first record");
    store.append(vec![record(2), record(3)]).expect("room");
    store.put_call(call(7, 1_000, None));
    store.put_person(PersonRef(5), "+49 30 1234567");
    for key in ["anna", "ben"] {
        store.put_binding(BindingRow { key: key.into(), json: "{}".into(), expires: Tick::from_us(9) });
    }
    store.remove_binding("ben");
    committed(&store);
    assert_eq!((store.stats().committed, store.stats().unsettled), (3, 7));
    // A crash leaves the folder as it is now, and a frame that was being written.
    let crashed = TempDir::new().expect("a folder");
    for name in ["exchange.db", "exchange.db-wal", "exchange.journal-0", "exchange.journal-1"] {
        std::fs::copy(dir.path().join(name), crashed.path().join(name)).expect("a file");
    }
    assert!(journal_bytes(&crashed) > 0);
    for n in 0..2 {
        let path = crashed.path().join(format!("exchange.journal-{n}"));
        let mut bytes = std::fs::read(&path).expect("a file");
        assert!(!bytes.windows(7).any(|window| window == b"1234567"), "sealed");
        bytes.extend_from_within(..bytes.len().min(30));
        std::fs::write(&path, bytes).expect("a file");
    }
    let store = Store::open(crashed.path()).expect("the store opens");
    assert_eq!(journal_bytes(&crashed), 0);
    assert_eq!((store.next_seq(), store.last_tick()), (4, Some(Tick::from_us(3_000))));
    assert_eq!(log(&store, 0), (1..=3).map(record).collect::<Vec<_>>());
    assert_eq!(wait(store.call(CallId(7))), Ok(Some(call(7, 1_000, None))));
    assert_eq!(wait(store.person_text(PersonRef(5))), Ok(Some("+49 30 1234567".into())));
    assert_eq!(store.bindings().map(|rows| rows.len()), Ok(1));
}

#[test]
fn a_log_of_many_pages_of_segments_is_read_whole() {
    let dir = TempDir::new().expect("a folder");
    let store = Store::open_with(dir.path(), Limits { gather: Span::ZERO, ..Limits::default() }).expect("a store");
    for seq in 1..=300 {
        store.append(vec![record(seq)]).expect("room");
        committed(&store);
        assert_eq!(store.bindings(), Ok(Vec::new()), "who reads makes the database have all of it");
    }
    assert!(store.stats().settlings >= 300, "one segment each");
    assert_eq!(log(&store, 1), (1..=300).map(record).collect::<Vec<_>>());
}

#[test]
fn a_part_of_the_log_is_read_by_time_to_the_record_across_pages_of_segments() {
    let dir = TempDir::new().expect("a folder");
    let store = Store::open_with(dir.path(), Limits { gather: Span::ZERO, ..Limits::default() }).expect("a store");
    for seq in (1..600).step_by(3) {
        store.append((seq..seq + 3).map(record).collect()).expect("room");
        committed(&store);
        assert_eq!(store.bindings(), Ok(Vec::new()), "a segment of three each");
    }
    let between = |from: u64, until: u64| {
        let mut read = Vec::new();
        let span = (Tick::from_us(1_000 * from), Tick::from_us(1_000 * until));
        store.read_log_between(span.0, span.1, |record| read.push(record.seq)).expect("a readable log");
        read
    };
    for (from, until) in [(0, 900), (1, 2), (190, 196), (191, 577), (599, 900), (7, 7), (700, 800)] {
        assert_eq!(between(from, until), (from.max(1)..until.min(601)).collect::<Vec<_>>(), "from {from} to {until}");
    }
}

#[test]
fn records_out_of_order_are_refused_and_a_queue_over_its_limits_says_so() {
    let dir = TempDir::new().expect("a folder");
    let limits = Limits { queue_full: 10, queue_max: 20, gather: Span::from_s(3_600), ..Limits::default() };
    let store = Store::open_with(dir.path(), limits).expect("a store");
    assert_eq!(store.append(vec![record(3), record(3)]), Err(AppendError::OutOfOrder { seq: 3, after: 3 }));
    store.append((1..=9).map(record).collect()).expect("room");
    assert!(!store.is_full());
    store.append((10..=20).map(record).collect()).expect("room");
    assert!(store.is_full());
    assert_eq!(store.append(vec![record(21)]), Err(AppendError::Full(vec![record(21)])));
    store.put_binding(BindingRow { key: "a".into(), json: "{}".into(), expires: Tick::ZERO });
    assert_eq!(store.stats().refused, 2);
}

#[test]
fn calls_are_listed_newest_first_by_pages_and_by_queue() {
    let dir = TempDir::new().expect("a folder");
    let store = Store::open(dir.path()).expect("a store");
    for id in 1..=25 {
        store.put_call(call(id, 1_000 - id % 5, (id % 2 == 0).then_some(7)));
    }
    store.put_call(call(25, 1_000, None));
    committed(&store);
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = wait(store.calls(CallFilter { limit: 10, before, ..CallFilter::default() })).expect("a page");
        before = page.last().map(|row| row.id);
        seen.extend(page.iter().map(|row| (row.started, row.id)));
        if page.len() < 10 {
            break;
        }
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first, no row twice");
    let of_queue = CallFilter { limit: 100, queue: Some(QueueId(7)), ..CallFilter::default() };
    assert_eq!(wait(store.calls(of_queue)).expect("rows").len(), 12);
    assert_eq!(wait(store.call(CallId(25))), Ok(Some(call(25, 1_000, None))));
    assert_eq!(wait(store.call(CallId(26))), Ok(None));
}

#[test]
fn recordings_are_searched_newest_first_by_pages_time_number_queue_and_agent_also_where_the_call_is_unknown() {
    let folder = TempDir::new().expect("a folder");
    let store = Store::open(folder.path()).expect("a store");
    for n in 1..=6_u64 {
        let at = Tick::from_us(n * 1_000);
        // The last one's call is still up.
        if n < 6 {
            store.put_call(CallRow {
                id: CallId(n),
                started: at,
                ended: at,
                number: if n % 2 == 0 { "200" } else { "300" }.to_owned(),
                queue: Some(QueueId(n % 3)),
                agent: (n < 3).then_some(AgentId(7)),
                end: "caller-hung-up".to_owned(),
                json: "{}".to_owned(),
            });
        }
        store.put_recording(RecordingRow {
            id: RecordingId(10 + n),
            call: Some(CallId(n)),
            started: at,
            duration: Span::from_ms(1_500),
            path: format!("r-{n}.wav"),
            line: [n as u8; 32],
            hold: None,
            erased: None,
        });
    }
    committed(&store);
    let found = |filter: RecordingFilter| -> Vec<(u64, bool)> {
        let filter = RecordingFilter { limit: if filter.limit == 0 { 100 } else { filter.limit }, ..filter };
        let rows = wait(store.recordings(filter)).expect("an answer");
        rows.iter().map(|(row, call)| (row.id.0 - 10, call.is_some())).collect()
    };
    let all = RecordingFilter::default;
    let tick = |ms: u64| Some(Tick::from_us(ms * 1_000));
    assert_eq!(found(all()), [(6, false), (5, true), (4, true), (3, true), (2, true), (1, true)]);
    assert_eq!(found(RecordingFilter { limit: 2, ..all() }), [(6, false), (5, true)]);
    let before = Some(RecordingId(15));
    assert_eq!(found(RecordingFilter { limit: 2, before, ..all() }), [(4, true), (3, true)]);
    assert_eq!(found(RecordingFilter { from: tick(2), until: tick(4), ..all() }), [(3, true), (2, true)]);
    assert_eq!(found(RecordingFilter { number: Some("200".to_owned()), ..all() }), [(4, true), (2, true)]);
    assert_eq!(found(RecordingFilter { queue: Some(QueueId(2)), ..all() }), [(5, true), (2, true)]);
    assert_eq!(found(RecordingFilter { agent: Some(AgentId(7)), ..all() }), [(2, true), (1, true)]);

    let entry = |n: u64| AuditRow {
        at: Tick::from_us(n),
        who: "API".to_owned(),
        action: "play".to_owned(),
        subject: RecordingId(11).to_string(),
        detail: "0.000 s to 1.500 s".to_owned(),
    };
    for n in 1..=3 {
        wait(store.audit(entry(n))).expect("an answer");
    }
    assert_eq!(wait(store.audited(2, None)).expect("an answer"), [(2, entry(2)), (3, entry(3))]);
    assert_eq!(wait(store.audited(2, Some(2))).expect("an answer"), [(1, entry(1))]);
    assert_eq!(wait(store.audited(2, Some(u64::MAX))).expect("an answer"), [(2, entry(2)), (3, entry(3))]);
    assert_eq!(wait(store.recording(RecordingId(11))).expect("an answer").expect("a row").path, "r-1.wav");
    assert_eq!(wait(store.recording(RecordingId(1))).expect("an answer"), None);
}

#[test]
fn registrations_and_ids_of_configured_things_survive_a_restart() {
    let dir = TempDir::new().expect("a folder");
    let store = Store::open(dir.path()).expect("a store");
    let binding = |key: &str| BindingRow { key: key.into(), json: "{}".into(), expires: Tick::from_us(9) };
    for key in ["anna", "ben", "anna"] {
        store.put_binding(binding(key));
    }
    store.remove_binding("ben");
    assert_eq!(store.config_id("agent", "anna"), Ok(1));
    assert_eq!(store.config_id("agent", "ben"), Ok(2));
    assert_eq!(store.config_id("queue", "ben"), Ok(1));
    store.shutdown().expect("a good end");
    let store = Store::open(dir.path()).expect("the same store");
    assert_eq!(store.bindings(), Ok(vec![binding("anna")]));
    let known = [("agent", "anna", 1), ("agent", "ben", 2), ("queue", "ben", 1)];
    let known = known.map(|(kind, key, id)| ((kind.to_owned(), key.to_owned()), id));
    assert_eq!(store.config_ids(), Ok(known.into()));
    assert_eq!(store.config_id("agent", "ben"), Ok(2));
    assert_eq!(store.config_id("agent", "carl"), Ok(3));
}

#[test]
fn a_forgotten_person_is_gone_under_every_reference_and_from_every_byte_of_the_folder() {
    let dir = TempDir::new().expect("a folder");
    let store = Store::open(dir.path()).expect("a store");
    let (first, second, other) = (PersonRef(1), PersonRef(2), PersonRef(3));
    for (person, text) in [(first, "+49 30 1234567"), (second, "+49 30 1234567"), (other, "Anna")] {
        store.put_person(person, text);
    }
    assert_ne!(first, second);
    committed(&store);
    assert_eq!(wait(store.person_text(second)), Ok(Some("+49 30 1234567".into())));
    assert!(!holds(&files_of(&dir), b"1234567"), "sealed");
    let keys = keys_of_people(&dir);
    assert_eq!(keys.len(), 2, "one key per person");
    assert_eq!(wait(store.forget(first)), Ok(2));
    let remaining = keys.iter().filter(|key| holds(&files_of(&dir), key)).count();
    assert_eq!(remaining, 1, "the forgotten key is in no file");
    assert_eq!(wait(store.person_text(second)), Ok(None));
    assert_eq!(wait(store.person_text(other)), Ok(Some("Anna".into())));
    assert_eq!(wait(store.forget(first)), Ok(0));
    let again = PersonRef(4);
    store.put_person(again, "+49 30 1234567");
    committed(&store);
    assert!(wait(store.person_text(again)).is_ok_and(|text| text.is_some()));
    assert_eq!(wait(store.person_text(first)), Ok(None), "an old reference stays void");
}

#[test]
fn codes_and_notes_of_calls_are_found_by_call_by_person_and_by_code_and_forgetting_takes_the_notes() {
    let dir = TempDir::new().expect("a folder");
    let store = Store::open(dir.path()).expect("a store");
    // Ids are 64 bits, the highest one too.
    let (first, second, other) = (PersonRef(u64::MAX), PersonRef(2), PersonRef(3));
    for (person, text) in [(first, "+49 30 1"), (second, "+49 30 1"), (other, "+49 30 2")] {
        store.put_person(person, text);
    }
    for (id, person) in [(1, first), (2, second), (3, other)] {
        let json = format!("{{\"id\":{id},\"caller\":{}}}", person.0);
        store.put_call(CallRow { json, ..call(id, id * 10, Some(7)) });
    }
    let row = |id: u64, code: &str, person, note: &str| WrapUpRow {
        call: CallId(id),
        agent: AgentId(9),
        at: Tick::from_us(id * 10),
        queue: Some(QueueId(7)),
        code: Some(code.to_owned()),
        person: Some(person),
        note: Some(note.to_owned()),
    };
    assert_eq!(wait(store.put_wrap_up(row(1, "Order", first, "wrote the wrong thing"))), Ok(true));
    assert_eq!(wait(store.put_wrap_up(row(1, "Order/New", first, "wants two more"))), Ok(true));
    assert_eq!(wait(store.put_wrap_up(row(2, "Orderly", second, "was kind"))), Ok(true));
    assert_eq!(wait(store.put_wrap_up(row(3, "Order/New", PersonRef(77), "of nobody"))), Ok(false));
    let notes = |id| {
        let seen = wait(store.wrap_ups(CallId(id))).expect("notes");
        seen.into_iter().map(|seen| (seen.code.unwrap_or_default(), seen.note)).collect::<Vec<_>>()
    };
    assert_eq!(notes(1), [("Order/New".to_owned(), Some("wants two more".to_owned()))]);
    assert_eq!(notes(3), [("Order/New".to_owned(), None)]);
    let calls_of = |person| {
        let calls = wait(store.calls_of(person, 10)).expect("calls");
        calls.into_iter().map(|row| row.id.0).collect::<Vec<_>>()
    };
    assert_eq!(
        (calls_of(first), calls_of(second), calls_of(other), calls_of(PersonRef(77))),
        (vec![2, 1], vec![2, 1], vec![3], vec![])
    );
    let with_code = |code: &str| {
        let filter = CallFilter { limit: 10, code: Some(code.to_owned()), ..CallFilter::default() };
        wait(store.calls(filter)).expect("calls").into_iter().map(|row| row.id.0).collect::<Vec<_>>()
    };
    assert_eq!(
        (with_code("Order"), with_code("Order/New"), with_code("Orderly"), with_code("Ord")),
        (vec![3, 1], vec![3, 1], vec![2], vec![])
    );
    let counts = wait(store.codes(Tick::from_us(10), Tick::from_us(30))).expect("counts");
    let counts: Vec<_> = counts.into_iter().map(|count| (count.queue, count.code, count.times)).collect();
    assert_eq!(counts, [(Some(QueueId(7)), "Order/New".to_owned(), 1), (Some(QueueId(7)), "Orderly".to_owned(), 1)]);
    for secret in ["wants two more", "was kind"] {
        assert!(!holds(&files_of(&dir), secret.as_bytes()), "the note lies in clear");
    }
    assert_eq!(wait(store.forget(second)), Ok(2));
    assert_eq!(notes(1), [("Order/New".to_owned(), None)], "the code stays, the words are gone");
    assert!(calls_of(first).is_empty(), "nothing leads from the person to the calls");
}

#[test]
fn a_thousand_people_some_of_them_twice_are_kept_in_one_transaction_and_found_again_by_one_key_each() {
    let dir = TempDir::new().expect("a folder");
    let store = Store::open(dir.path()).expect("a store");
    for round in 0..2 {
        for n in 0..1_000 {
            store.put_person(PersonRef(round * 1_000 + n), &format!("+49 30 {}", n % 700));
        }
        committed(&store);
    }
    assert!(wait(store.person_text(PersonRef(0))).is_ok_and(|text| text.is_some()), "the database has them");
    assert_eq!(store.stats().failures, 0);
    assert_eq!(keys_of_people(&dir).len(), 700);
    for n in [0, 699, 700, 999, 1_000, 1_999] {
        assert_eq!(wait(store.person_text(PersonRef(n))), Ok(Some(format!("+49 30 {}", n % 1_000 % 700))));
    }
}

#[test]
fn a_folder_in_use_a_newer_schema_and_a_file_in_the_way_are_told_apart() {
    let dir = TempDir::new().expect("a folder");
    let store = Store::open(dir.path()).expect("a store");
    assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse { .. })));
    store.shutdown().expect("a good end");
    assert_eq!(store.bindings(), Err(StoreError::Closed));
    assert_eq!(wait(store.call(CallId(1))), Err(StoreError::Closed));

    let file = dir.path().join("exchange.db");
    let mut bytes = std::fs::read(&file).expect("the database");
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(&file, &bytes).expect("a changed database");
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Newer { found: 99, known: 4 })));
    std::fs::write(&file, b"this is not a database, but long enough to be read as the head of one").expect("a file");
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Database { .. })));
    assert!(matches!(Store::open(&file), Err(StoreError::Folder { .. })));
}

#[test]
fn sessions_are_kept_over_a_restart_replaced_and_forgotten() {
    let dir = TempDir::new().expect("a folder");
    let row = |n: u8, used| SessionRow {
        key: [n; 32],
        user: "ann".to_owned(),
        stamp: [n + 100; 32],
        openid: n > 1,
        made: (n > 1).then(|| "{}".to_owned()),
        began: Tick::from_us(1),
        used: Tick::from_us(used),
    };
    {
        let store = Store::open(dir.path()).expect("a store");
        for row in [row(1, 5), row(2, 6), row(3, 7), row(2, 9)] {
            wait(store.put_session(row)).expect("kept");
        }
        wait(store.remove_sessions(vec![[3; 32], [77; 32]])).expect("forgotten");
        store.shutdown().expect("closed");
    }
    let store = Store::open(dir.path()).expect("a store");
    assert_eq!(wait(store.sessions()).expect("sessions"), [row(1, 5), row(2, 9)]);
}
