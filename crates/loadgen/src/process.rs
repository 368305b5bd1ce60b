//! What a process and this machine spend, from `/proc`.

use std::fs;

/// Clock ticks a second of `/proc/PID/stat`: fixed on Linux for what user programs see (`USER_HZ`).
const TICKS_PER_S: f64 = 100.0;
/// Processes of one tree that are looked at.
const TREE_MAX: usize = 1_024;

/// What a process and its children hold and have spent so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// User and system time in seconds.
    pub cpu_s: f64,
    /// Resident memory in KiB.
    pub resident_kib: u64,
    /// Threads.
    pub threads: u64,
}

/// Of process `pid`; none where there is no such process.
pub fn usage(pid: u32) -> Option<Usage> {
    let mut sum = Usage::default();
    let mut left = vec![pid];
    let mut seen = 0;
    while let Some(each) = left.pop() {
        seen += 1;
        if seen > TREE_MAX {
            break;
        }
        let Some(one) = usage_of(each, each == pid) else {
            if each == pid {
                return None;
            }
            continue;
        };
        sum.cpu_s += one.cpu_s;
        sum.resident_kib += one.resident_kib;
        sum.threads += one.threads;
        for task in fs::read_dir(format!("/proc/{each}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            left.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    Some(sum)
}

/// Of one process; `with_dead`: with the time of its children that are gone.
fn usage_of(pid: u32, with_dead: bool) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    read_stat(&stat, with_dead).map(|(cpu_s, threads)| Usage { cpu_s, threads, resident_kib: read_resident(&status) })
}

/// CPU seconds and threads of a line of `/proc/PID/stat`, fields 14 to 17 and 20 of proc(5).
fn read_stat(stat: &str, with_dead: bool) -> Option<(f64, u64)> {
    // The name in brackets may hold blanks and brackets itself.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let dead = if with_dead { field(16)? + field(17)? } else { 0 };
    Some(((field(14)? + field(15)? + dead) as f64 / TICKS_PER_S, field(20)?))
}

fn read_resident(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Ticks that all processors of this machine were idle, and all ticks.
pub fn machine_ticks() -> Option<(u64, u64)> {
    read_machine(&fs::read_to_string("/proc/stat").ok()?)
}

fn read_machine(stat: &str) -> Option<(u64, u64)> {
    let fields: Option<Vec<u64>> =
        stat.lines().next()?.split_whitespace().skip(1).map(|each| each.parse().ok()).collect();
    let fields = fields.filter(|fields| fields.len() >= 8)?;
    // Guests' time is in user time already.
    Some((fields[3] + fields[4], fields[..8].iter().sum()))
}

/// Packets that the kernel dropped because sockets of ours on these ports were full.
pub fn dropped(ports: &[u16]) -> u64 {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().map(|table| read_dropped(table, ports)).sum()
}

fn read_dropped(table: &str, ports: &[u16]) -> u64 {
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()?;
        Some((port, fields.last()?.parse::<u64>().ok()?))
    });
    rows.filter(|(port, _)| ports.contains(port)).map(|(_, drops)| drops).sum()
}

/// The most that a socket's receive buffer can be on this machine, in bytes.
pub fn receive_buffer_max() -> u64 {
    fs::read_to_string("/proc/sys/net/core/rmem_max").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_threads_are_read_behind_a_name_with_brackets() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 7 3 20 0 5 0 100 1000 20";
        assert_eq!(read_stat(stat, false), Some((2.0, 5)));
        assert_eq!(read_stat(stat, true), Some((2.1, 5)));
        assert_eq!(read_stat("nonsense", true), None);
        assert_eq!(read_resident("Name:\tx\nVmRSS:\t  1234 kB\n"), 1_234);
    }

    #[test]
    fn this_process_is_there_and_no_other_is_made_up() {
        let own = usage(std::process::id()).unwrap();
        assert!(own.resident_kib > 0 && own.threads > 0, "{own:?}");
        assert_eq!(usage(u32::MAX), None);
        assert!(machine_ticks().is_some_and(|(idle, all)| idle <= all));
    }

    #[test]
    fn drops_are_those_of_the_ports_asked_for() {
        let table = "  sl  local_address rem_address st tx rx tr tm->when retrnsmt uid timeout inode ref pointer drops\n\
             1: 0100007F:13C4 00000000:0000 07 0:0 00:0 0 0 0 1 2 0 17\n\
             2: 0100007F:13C5 00000000:0000 07 0:0 00:0 0 0 0 1 2 0 4\n";
        assert_eq!(read_dropped(table, &[0x13c4]), 17);
        assert_eq!(read_dropped(table, &[0x13c4, 0x13c5, 1]), 21);
        assert_eq!(read_dropped("", &[1]), 0);
    }
}
