//! What is looked at of the machine: its kernel, limits, clock, disk and sound.
#![expect(clippy::disallowed_methods, reason = "the doctor measures this machine's clock and disk")]

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use offhook_net::limits::{ClockState, clock_state, open_files};
use offhook_net::media::uring_works;
use offhook_net::sip::SOCKET_BUFFER_BYTES;

use super::{Finding, Needs};

/// Sockets of one call: two legs with RTP and RTCP each.
const SOCKETS_PER_CALL: u64 = 4;
/// Files that the exchange has open beside calls and connections: store, log, recordings, listeners, rested sockets.
const FILES_BESIDE: u64 = 5_000;
/// Sleeps that are measured, and for how long each.
const SLEEPS: u32 = 25;
const SLEEP: Duration = Duration::from_millis(20);
/// A packet is 20 ms: waking later than this is heard where buffers are small.
const LATE_MAX: Duration = Duration::from_millis(5);
/// Commits that are measured.
const SYNCS: u32 = 9;
/// Every call event waits for a commit.
const SYNC_MAX: Duration = Duration::from_millis(20);
/// Below this much room a day of recordings does not fit.
const FREE_BYTES_MIN: u64 = 5 << 30;
/// Below this much the event log itself is in danger.
const FREE_BYTES_LEAST: u64 = 200 << 20;
/// Two channels of G.711 for an hour.
const HOUR_OF_RECORDING_BYTES: u64 = 2 * 8_000 * 3_600;

/// Looks at kernel, limits and clock.
pub fn look(needs: &Needs) -> Vec<Finding> {
    vec![driver(), cores(needs), files(needs), buffers(), clock(), timers()]
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn driver() -> Finding {
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "of an unknown version".to_owned());
    match uring_works() {
        Ok(()) => Finding::good("media driver", format!("io_uring, kernel {kernel}")),
        Err(error) => {
            let switch = read("/proc/sys/kernel/io_uring_disabled").filter(|switch| switch != "0");
            let advice = switch.map_or_else(
                || "media runs on epoll, which costs more CPU for a packet; io_uring needs Linux 6.1, and containers a profile that allows it".to_owned(),
                |switch| format!("media runs on epoll, which costs more CPU for a packet; kernel.io_uring_disabled is {switch}: `sysctl kernel.io_uring_disabled=0`"),
            );
            Finding::improvable("media driver", format!("epoll, kernel {kernel}: no io_uring ({error})"), advice)
        }
    }
}

fn cores(needs: &Needs) -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let found = format!("{cores}, {} for media", needs.media_workers.max(1));
    if needs.media_workers > cores {
        return Finding::improvable("cores", found, format!("set `workers` in [media] to {cores} at most"));
    }
    Finding::good("cores", found)
}

fn files(needs: &Needs) -> Finding {
    let wanted = needs.calls as u64 * SOCKETS_PER_CALL + needs.connections as u64 + FILES_BESIDE;
    match open_files() {
        Ok(limit) if limit >= wanted => {
            Finding::good("open files", format!("{limit} allowed, {wanted} needed at most"))
        }
        Ok(limit) => {
            let calls = limit.saturating_sub(FILES_BESIDE) / SOCKETS_PER_CALL;
            Finding::improvable(
                "open files",
                format!(
                    "{limit} allowed, {wanted} needed for all calls and connections of [limits]: {calls} calls fit"
                ),
                format!("`LimitNOFILE={wanted}` in the service's unit, or `ulimit -Hn {wanted}`"),
            )
        }
        Err(error) => Finding::improvable("open files", format!("cannot be asked: {error}"), "look with `ulimit -Hn`"),
    }
}

fn buffers() -> Finding {
    let most = |name: &str| read(&format!("/proc/sys/net/core/{name}"))?.parse::<usize>().ok();
    let wanted = SOCKET_BUFFER_BYTES;
    match (most("rmem_max"), most("wmem_max")) {
        (Some(receive), Some(send)) if receive.min(send) < wanted => Finding::improvable(
            "socket buffers",
            format!("{} KiB at most for SIP, which asks for {} KiB", receive.min(send) >> 10, wanted >> 10),
            format!("a flood loses calls sooner: `sysctl net.core.rmem_max={wanted} net.core.wmem_max={wanted}`"),
        ),
        (Some(_), Some(_)) => Finding::good("socket buffers", format!("{} KiB for SIP", wanted >> 10)),
        (None, _) | (_, None) => Finding::good("socket buffers", "cannot be asked here"),
    }
}

fn clock() -> Finding {
    let source = read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let slow = source.as_deref().filter(|source| matches!(*source, "hpet" | "acpi_pm" | "jiffies" | "refined-jiffies"));
    if let Some(source) = slow {
        let advice =
            "each reading is a system call or worse; boot with `clocksource=tsc` where the processor's is stable";
        return Finding::improvable("clock", format!("read from {source}"), advice);
    }
    let source = source.unwrap_or_else(|| "an unknown source".to_owned());
    match clock_state() {
        ClockState::Synchronised => Finding::good("clock", format!("synchronised, read from {source}")),
        ClockState::Unsynchronised => Finding::improvable(
            "clock",
            format!("not synchronised, read from {source}"),
            "records and calendars go by it, and TLS refuses certificates by it: run chrony or systemd-timesyncd",
        ),
        ClockState::Unknown => {
            Finding::good("clock", format!("read from {source}; whether it is synchronised cannot be asked"))
        }
    }
}

/// How late a thread wakes that asked for 20 ms.
fn timers() -> Finding {
    let late = (0..SLEEPS).map(|_| {
        let begin = Instant::now();
        std::thread::sleep(SLEEP);
        begin.elapsed().saturating_sub(SLEEP)
    });
    let worst = late.max().unwrap_or_default();
    let found = format!("at most {:.1} ms late in {SLEEPS} wakings", worst.as_secs_f64() * 1e3);
    if worst > LATE_MAX {
        let advice = "packets leave as late: give the exchange cores of its own, or a machine that is less shared";
        return Finding::improvable("timers", found, advice);
    }
    Finding::good("timers", found)
}

/// Looks at the data folder: whether it can be written to, how fast, and how much fits.
pub fn look_at_folder(folder: &Path) -> Vec<Finding> {
    let name = folder.display();
    let synced = match sync_time(folder) {
        Ok(took) if took <= SYNC_MAX => Finding::good("data folder", format!("{name}: a commit takes {}", ms(took))),
        Ok(took) => Finding::improvable(
            "data folder",
            format!("{name}: a commit takes {}", ms(took)),
            "call events are safe on disk that much later: a disk with a write cache that survives power loss helps",
        ),
        Err(error) => {
            let advice = "the exchange keeps its log there: make it a folder that its user may write to";
            return vec![Finding::bad("data folder", format!("{name}: {error}"), advice)];
        }
    };
    vec![synced, room(folder)]
}

fn ms(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1e3)
}

/// The folder, or the nearest one above it that is there: a data folder is made at the first start.
fn there(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.exists()).unwrap_or_else(|| Path::new("."))
}

/// The median time of a write that is brought to the disk.
fn sync_time(folder: &Path) -> io::Result<Duration> {
    let path = there(folder).join(format!(".doctor-{}", std::process::id()));
    let measured = (|| {
        let mut file = fs::File::create_new(&path)?;
        let mut took = Vec::new();
        for _ in 0..SYNCS {
            let begin = Instant::now();
            file.write_all(&[0; 512])?;
            file.sync_data()?;
            took.push(begin.elapsed());
        }
        took.sort_unstable();
        Ok(took[took.len() / 2])
    })();
    // What was never made need not go.
    let _ = fs::remove_file(&path);
    measured
}

fn room(folder: &Path) -> Finding {
    let Ok(disk) = rustix::fs::statvfs(there(folder)) else {
        return Finding::improvable("disk", "its room cannot be asked", "look with `df`");
    };
    let free = disk.f_bavail * disk.f_frsize;
    let found = format!(
        "{:.1} GiB free, {} hours of recorded talk",
        free as f64 / (1_u64 << 30) as f64,
        free / HOUR_OF_RECORDING_BYTES
    );
    if free < FREE_BYTES_LEAST {
        return Finding::bad("disk", found, "the event log needs room: without it calls are refused");
    }
    if free < FREE_BYTES_MIN {
        return Finding::improvable("disk", found, "`offhook recording erase` makes room, or a larger disk");
    }
    Finding::good("disk", found)
}

/// Looks for a headset, which only a softphone on this machine needs.
pub fn sound() -> Finding {
    match offhook_headset::devices() {
        Ok(devices) => {
            let (microphones, speakers) =
                (devices.iter().filter(|d| d.input).count(), devices.iter().filter(|d| d.output).count());
            let found = match (microphones, speakers) {
                (0, 0) => "no devices; only a softphone on this machine needs them".to_owned(),
                (microphones, speakers) => format!("{microphones} to speak into, {speakers} to listen to"),
            };
            Finding::good("sound", found)
        }
        Err(error) => Finding::good("sound", format!("{error}; only a softphone on this machine needs it")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_folder_that_can_be_written_to_is_left_as_it_was() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let findings = look_at_folder(&folder);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].found.contains("a commit takes"), "{findings:?}");
        assert!(!folder.exists());
        fs::create_dir(&folder).unwrap();
        look_at_folder(&folder);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_the_place_of_the_data_folder_is_bad() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("data");
        fs::write(&file, "").unwrap();
        let findings = look_at_folder(&file);
        assert_eq!((findings.len(), findings[0].state), (1, State::Bad), "{findings:?}");
    }

    #[test]
    fn more_workers_than_cores_and_more_calls_than_files_are_noted() {
        let greedy = Needs { calls: 500_000_000, connections: 0, media_workers: 100_000 };
        assert_eq!((cores(&greedy).state, files(&greedy).state), (State::Improvable, State::Improvable));
        assert_eq!(cores(&Needs::SMALL).state, State::Good);
    }
}
