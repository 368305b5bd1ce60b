//! `kill -9` in the middle of appending: every record that was told to be committed is found again.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use offhook_store::{Record, Store};
use offhook_units::Tick;

/// Set in the process that is to be killed: the folder of its store.
const VICTIM: &str = "OFFHOOK_STORE_VICTIM";

fn record(seq: u64) -> Record {
    let bytes = seq.to_le_bytes().repeat(1 + seq as usize % 40);
    Record { stream: 1, seq, at: Tick::from_us(1_000_000 + seq), kind: 1, version: 1, bytes }
}

/// Appends until killed, and prints each position that the store told to be committed.
fn append_for_ever(folder: &Path) {
    let store = Store::open(folder).expect("a store");
    loop {
        let mut records = Vec::new();
        for seq in store.next_seq()..store.next_seq() + 7 {
            records.push(record(seq));
        }
        let last = records.last().map_or(0, |r| r.seq);
        if store.append(records).is_err() {
            std::thread::yield_now();
            continue;
        }
        store.commit_notice(move || {
            let _ = writeln!(std::io::stdout(), "committed {last}");
        });
    }
}

#[test]
fn every_acknowledged_record_survives_kill_9_in_mid_append_five_times_over() {
    if let Some(folder) = std::env::var_os(VICTIM) {
        return append_for_ever(folder.as_ref());
    }
    let folder = tempfile::TempDir::new().expect("a folder");
    let mut total = 0;
    for round in 1..=5_u64 {
        let mut victim = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "every_acknowledged_record_survives_kill_9_in_mid_append_five_times_over", "--nocapture"])
            .env(VICTIM, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a second process");
        let mut lines = BufReader::new(victim.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let mut position = || lines.find_map(|line| line.rsplit_once("committed ")?.1.parse::<u64>().ok());
        let goal = total + 2_000 * round;
        let mut acknowledged = 0;
        while acknowledged < goal {
            acknowledged = position().expect("the process runs");
        }
        victim.kill().expect("SIGKILL");
        victim.wait().expect("it is dead");
        // What it told before it died counts as well.
        while let Some(position) = position() {
            acknowledged = position;
        }
        let store = Store::open(folder.path()).expect("the store opens");
        let mut expected = 1;
        let check = |found: Record| {
            assert_eq!(found, record(expected));
            expected += 1;
        };
        store.read_log(1, check).expect("the log reads");
        assert!(expected > acknowledged, "{acknowledged} was acknowledged, the log ends before {expected}");
        assert_eq!((store.next_seq(), u64::from(store.boot())), (expected, 2 * round));
        store.shutdown().expect("a good end");
        total = expected - 1;
    }
}
