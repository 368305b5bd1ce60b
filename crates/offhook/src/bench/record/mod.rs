//! `offhook bench record`: the recorder by itself, fed with the packets of many calls at the pace of speech, on a disk of choice.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and sleeps")]

mod feed;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use crossbeam_channel::Receiver;
use offhook_loadgen::arrivals::Lasting;
use offhook_loadgen::capacity::Search;
use offhook_plan::CodecKind;
use offhook_units::Span;

use self::feed::{Feed, RATE_BYTES};
use self::report::RecordReport;
use super::calls::{BETWEEN_TRIES, LIMIT_BROKEN, NOT_COUNTED, range};
use crate::phone::stop_signals;

/// Most recordings at once that the recorder opens.
const RECORDINGS_MAX: u32 = 5_000;

/// What the packets hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Codec {
    /// G.711 mu-law, stored as it comes.
    Pcmu,
    /// G.711 A-law, stored as it comes.
    Pcma,
    /// G.722, stored as it comes.
    G722,
    /// Opus, stored as G.722.
    Opus,
    /// L16 at 8 kHz, stored as G.722.
    L16,
}

impl Codec {
    const fn kind(self) -> CodecKind {
        match self {
            Self::Pcmu => CodecKind::Pcmu,
            Self::Pcma => CodecKind::Pcma,
            Self::G722 => CodecKind::G722,
            Self::Opus => CodecKind::Opus,
            Self::L16 => CodecKind::L16,
        }
    }
}

/// Arguments of `offhook bench record`.
#[derive(Debug, Args)]
#[command(after_help = "\
The recorder gets what it gets from a media worker: 50 packets a second of each side of each call, by the same ring. CPU is that of the
recorder's threads alone. \"Behind\" is how much of what was said does not lie in the file yet: half a second is normal, since so much is
written at once. A disk that is slower than the page cache shows in how long the last bytes took to reach it.

Examples:
  offhook bench record --folder /var/lib/offhook --streams 500 --for 1m
      500 recordings in a folder that goes away afterwards, below the one that is named
  offhook bench record --folder /mnt/nfs --streams 200 --for 30s --codec opus --sealed --json
      sealed, and turned into G.722 on the way
  offhook bench record --folder /var/lib/offhook --streams 1 --for 20s --find-capacity 100..5000 --max-behind 2s
      the most recordings at once of which nothing is lost and no file is further behind than that, by bisection

Exit status: 0 the run counts and kept the limits; 1 it could not begin; 2 the bench itself was late, and it does not count; 3 a limit was broken.")]
pub struct RecordArgs {
    /// On the disk that is benched: a folder for the recordings is made in it, and removed afterwards.
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// Calls recorded at once, both sides of each.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(RECORDINGS_MAX)))]
    streams: u32,
    /// How long they talk.
    #[arg(long = "for", value_name = "SPAN")]
    lasting: Lasting,
    /// What the packets hold.
    #[arg(long, value_enum, default_value = "pcmu")]
    codec: Codec,
    /// Seal the recordings with a key that is forgotten afterwards.
    #[arg(long)]
    sealed: bool,
    /// Room of the ring between worker and recorder, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = offhook_media::Limits::default().tap_ring_bytes)]
    ring: usize,
    /// How far behind 99 % of the looks at the files may find them.
    #[arg(long, value_name = "SPAN", default_value = "2s")]
    max_behind: Lasting,
    /// Search for the most recordings at once that keep the limits, each try --for so long: nothing lost, no error, not further behind than --max-behind.
    #[arg(long, value_name = "LEAST..MOST", value_parser = range)]
    find_capacity: Option<(u64, u64)>,
    /// Leave the recordings where they are.
    #[arg(long)]
    keep: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Say nothing while it runs.
    #[arg(long)]
    quiet: bool,
}

/// Runs the bench.
pub fn run(args: &RecordArgs) -> anyhow::Result<ExitCode> {
    ensure!(args.lasting.0 >= Span::from_s(1), "--for is a second at least: less is not written before the end");
    ensure!(
        args.find_capacity.is_none_or(|(_, most)| most <= u64::from(RECORDINGS_MAX)),
        "the recorder opens {RECORDINGS_MAX} recordings at once: --find-capacity ends there"
    );
    let stop = stop_signals()?;
    if let Some((least, most)) = args.find_capacity {
        return find_capacity(args, Search::new(least, most), &stop);
    }
    let report = once(args, args.streams, &stop)?;
    if args.json {
        crate::phone::print_line(&report);
    } else {
        print!("{}", report.table());
    }
    let broken = report.broken(args.max_behind.0);
    for each in &broken {
        eprintln!("offhook: {each}");
    }
    Ok(match (report.counts, broken.is_empty()) {
        (true, true) => ExitCode::SUCCESS,
        (false, _) => ExitCode::from(NOT_COUNTED),
        (true, false) => ExitCode::from(LIMIT_BROKEN),
    })
}

/// One run in a folder of its own.
fn once(args: &RecordArgs, streams: u32, stop: &Receiver<()>) -> anyhow::Result<RecordReport> {
    must_have_room(&args.folder, streams, args.lasting.0)?;
    let folder = tempfile::Builder::new().prefix("bench-record-").tempdir_in(&args.folder);
    let folder = folder.with_context(|| format!("making a folder in {}", args.folder.display()))?;
    let feed = Feed {
        streams,
        lasting: args.lasting.0,
        codec: args.codec.kind(),
        sealed: args.sealed,
        ring_bytes: args.ring,
        quiet: args.quiet,
    };
    let report = feed::run(&feed, folder.path(), stop)?;
    if args.keep {
        eprintln!("offhook: the recordings are in {}", folder.keep().display());
    } else {
        folder.close().context("removing the recordings")?;
    }
    Ok(report)
}

/// Refuses what would fill the disk.
fn must_have_room(folder: &Path, streams: u32, lasting: Span) -> anyhow::Result<()> {
    let disk = rustix::fs::statvfs(folder).with_context(|| format!("asking for room in {}", folder.display()))?;
    let room = disk.f_bavail.saturating_mul(disk.f_frsize);
    // A tenth more, for what seals and file systems add.
    let needed = u64::from(streams) * RATE_BYTES * (lasting.as_s() + 1) * 11 / 10;
    ensure!(
        needed <= room,
        "{} MiB are needed in {}, and {} are free: lower --streams or --for",
        needed >> 20,
        folder.display(),
        room >> 20
    );
    Ok(())
}

fn find_capacity(args: &RecordArgs, mut search: Search, stop: &Receiver<()>) -> anyhow::Result<ExitCode> {
    let mut tries = Vec::new();
    let mut best: Option<RecordReport> = None;
    // Of the smallest number that failed, whether the bench was too late for it.
    let mut worst: Option<(u64, bool)> = None;
    while let Some(value) = search.next() {
        if !tries.is_empty() && stop.recv_timeout(BETWEEN_TRIES).is_ok() {
            break;
        }
        let report = once(args, value as u32, stop)?;
        let why: Vec<String> = report.broken(args.max_behind.0).into_iter().chain(report.why_not.clone()).collect();
        let good = why.is_empty();
        eprintln!("{value} recordings at once: {}", if good { "good".to_owned() } else { why.join("; ") });
        search.tell(good);
        tries.push(serde_json::json!({ "value": value, "good": good, "why": why, "report": report }));
        if good && best.as_ref().is_none_or(|best| u64::from(best.streams) < value) {
            best = Some(report);
        } else if !good && worst.is_none_or(|(least, _)| value < least) {
            worst = Some((value, !report.counts));
        }
    }
    let by_bench = worst.is_some_and(|(_, by_bench)| by_bench);
    if args.json {
        let object = serde_json::json!({
            "capacity": search.found(), "unit": "recordings at once", "bound_by_generator": by_bench, "tries": tries,
        });
        println!("{object}");
    } else if let Some(best) = &best {
        print!("{}", best.table());
        println!("capacity {} recordings at once", best.streams);
    }
    if by_bench {
        eprintln!("offhook: above that the bench itself was late: the recorder may carry more");
    }
    Ok(if best.is_some() { ExitCode::SUCCESS } else { ExitCode::from(LIMIT_BROKEN) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_for_5000_recordings_of_ten_years_is_refused_with_figures() {
        let folder = std::env::temp_dir();
        let refused = must_have_room(&folder, 5_000, Span::from_s(315_360_000)).unwrap_err().to_string();
        assert!(refused.contains("MiB are needed") && refused.contains("--streams"), "{refused}");
        must_have_room(&folder, 1, Span::from_s(1)).unwrap();
    }
}
