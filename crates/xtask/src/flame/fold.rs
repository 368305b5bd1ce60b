//! What `perf script` tells, as stacks with how often each was seen.

use std::collections::BTreeMap;

/// Whose instructions a sample was at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The kernel's.
    Kernel,
    /// Those that copy, fill or compare memory.
    Memory,
    /// The allocator's.
    Allocator,
    /// Of a crate of ours.
    Ours,
    /// Of others' code: the standard library, SQLite, ciphers, libopus.
    Others,
}

impl Kind {
    /// All of them, as tables have them.
    pub const ALL: [Self; 5] = [Self::Kernel, Self::Memory, Self::Allocator, Self::Ours, Self::Others];

    /// The head of its column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Memory => "memory copied",
            Self::Allocator => "allocator",
            Self::Ours => "ours",
            Self::Others => "libraries",
        }
    }

    /// As the subject of a sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Kernel => "the kernel",
            Self::Memory => "copying memory",
            Self::Allocator => "the allocator",
            Self::Ours => "our own code",
            Self::Others => "the libraries",
        }
    }
}

/// One call on a stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// The function's name, without the compiler's mark at its end.
    pub name: String,
    /// Whose it is.
    pub kind: Kind,
}

/// Stacks from the thread's first function on, with their counts.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    stacks: BTreeMap<(String, Vec<Frame>), u64>,
}

/// Functions that copy, fill or compare memory, in the C library, in Rust's, and by the kernel's name for `rep movs`.
const MEMORY: [&str; 8] =
    ["memcpy", "memmove", "memset", "memcmp", "bcmp", "memchr", "copy_nonoverlapping", "rep_movs"];
/// What the kernel works at, and the functions by which that is seen. What is woken by a packet that is sent is part of its sending.
const WORK: [(&str, &[&str]); 4] = [
    ("sending packets", &["udp_sendmsg", "udpv6_sendmsg", "io_send", "__sys_send", "sock_sendmsg"]),
    ("taking packets in", &["udp_recvmsg", "udpv6_recvmsg", "io_recv", "__sys_recv", "sock_recvmsg"]),
    ("files", &["vfs_", "ksys_pwrite", "__x64_sys_pwrite", "ext4_", "do_sys_open", "__x64_sys_open", "xfs_", "btrfs_"]),
    ("sleeping and waking", &["schedule", "__schedule", "do_futex", "ep_poll", "do_poll", "io_cqring_wait"]),
];
/// Functions of allocators.
const ALLOCATOR: [&str; 12] = [
    "malloc",
    "free",
    "cfree",
    "realloc",
    "calloc",
    "_int_malloc",
    "_int_free",
    "_int_realloc",
    "malloc_consolidate",
    "unlink_chunk",
    "__rust_alloc",
    "__rust_dealloc",
];

fn kind(name: &str, file: &str) -> Kind {
    if file.starts_with("[kernel") || file.starts_with("[guest.kernel") {
        return Kind::Kernel;
    }
    if name.contains("offhook") {
        return Kind::Ours;
    }
    let last = name.rsplit("::").next().unwrap_or(name);
    if MEMORY.iter().any(|known| last.trim_start_matches('_').starts_with(known)) {
        return Kind::Memory;
    }
    let parts_of_the_heap = ["sysmalloc", "systrim", "tcache"];
    if ALLOCATOR.contains(&last) || parts_of_the_heap.iter().any(|known| last.starts_with(known)) {
        return Kind::Allocator;
    }
    Kind::Others
}

/// A function's name without the mark at its end, `::h` and sixteen digits.
fn bare(name: &str) -> &str {
    let marked = name
        .rsplit_once("::h")
        .filter(|(_, mark)| mark.len() == 16 && mark.bytes().all(|byte| byte.is_ascii_hexdigit()));
    marked.map_or(name, |(name, _)| name)
}

/// A line of a stack: address, name with an offset perhaps, file in brackets.
fn frame(line: &str) -> Option<Frame> {
    let (_, rest) = line.trim().split_once(' ')?;
    let (name, file) = rest.rsplit_once(" (")?;
    let file = file.trim_end_matches(')');
    let name = name.rsplit_once("+0x").map_or(name, |(name, _)| name);
    let name = bare(name.trim());
    let name = if name.is_empty() || name == "[unknown]" { "?" } else { name };
    Some(Frame { name: name.to_owned(), kind: kind(name, file) })
}

impl Profile {
    /// Reads what `perf script --fields comm,ip,sym,dso` tells.
    pub fn read(told: &str) -> Self {
        let mut profile = Self::default();
        let (mut thread, mut stack): (Option<String>, Vec<Frame>) = (None, Vec::new());
        for line in told.lines().chain([""]) {
            if line.trim().is_empty() {
                if let Some(thread) = thread.take().filter(|_| !stack.is_empty()) {
                    stack.reverse();
                    *profile.stacks.entry((thread, core::mem::take(&mut stack))).or_insert(0) += 1;
                }
                stack.clear();
            } else if line.starts_with(char::is_whitespace) && thread.is_some() {
                stack.extend(frame(line));
            } else {
                thread = Some(line.trim().to_owned());
            }
        }
        profile
    }

    /// All samples.
    pub fn samples(&self) -> u64 {
        self.stacks.values().sum()
    }

    /// Stacks with their thread and count.
    pub fn stacks(&self) -> impl Iterator<Item = (&str, &[Frame], u64)> {
        self.stacks.iter().map(|((thread, stack), count)| (&**thread, &**stack, *count))
    }

    /// Threads, those with the most samples first; of those with less than one in a hundred there are none.
    pub fn threads(&self) -> Vec<String> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (thread, _, count) in self.stacks() {
            *counts.entry(thread).or_insert(0) += count;
        }
        let all = self.samples();
        ranked(counts.into_iter().filter(|(_, count)| count * 100 >= all)).map(|(name, _)| name).collect()
    }

    /// Samples whose last function is of a kind, of one thread or of all. What a function of the C library does in the kernel is the
    /// kernel's.
    pub fn of_kind(&self, of: Option<&str>, kind: Kind) -> u64 {
        let own = self.stacks().filter(|(thread, _, _)| of.is_none_or(|of| of == *thread));
        own.filter(|(_, stack, _)| stack.last().is_some_and(|frame| frame.kind == kind))
            .map(|(_, _, count)| count)
            .sum()
    }

    /// The functions of ours with the most samples of their own.
    pub fn own_functions(&self, most: usize) -> Vec<(String, u64)> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, stack, count) in self.stacks() {
            if let Some(last) = stack.last().filter(|frame| frame.kind == Kind::Ours) {
                *counts.entry(&last.name).or_insert(0) += count;
            }
        }
        ranked(counts.into_iter()).take(most).collect()
    }

    /// What the kernel did, by the first of [`WORK`] that is on the stack, as the most has it first.
    pub fn kernel_work(&self) -> Vec<(String, u64)> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, stack, count) in self.stacks() {
            if stack.last().is_none_or(|frame| frame.kind != Kind::Kernel) {
                continue;
            }
            let own = || stack.iter().filter(|frame| frame.kind == Kind::Kernel);
            let is_of = |names: &[&str]| own().any(|frame| names.iter().any(|name| frame.name.starts_with(name)));
            let work = WORK.iter().find(|(_, names)| is_of(names)).map_or("other work", |(work, _)| *work);
            *counts.entry(work).or_insert(0) += count;
        }
        ranked(counts.into_iter()).collect()
    }
}

fn ranked<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> impl Iterator<Item = (String, u64)> {
    let mut ranked: Vec<(String, u64)> = counts.map(|(name, count)| (name.to_owned(), count)).collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_read_from_its_thread_on_and_each_function_is_somebodys() {
        let told = "media-0 \n\t    7f12 __memmove_avx_unaligned_erms+0x2f (/usr/lib/libc.so.6)\n\t    55aa offhook_media::worker::Worker::receive::h00112233aabbccdd+0x10 (/x/offhook)\n\n\
                    media-0 \n\t    7f12 _int_malloc (/usr/lib/libc.so.6)\n\t    55ab [unknown] (/x/offhook)\n\n\
                    store \n\t    55ac sqlite3VdbeExec (/x/offhook)\n";
        let profile = Profile::read(told);
        assert_eq!(profile.samples(), 3);
        let found: Vec<(String, Vec<(String, Kind)>)> = profile
            .stacks()
            .map(|(thread, stack, _)| {
                (thread.to_owned(), stack.iter().map(|frame| (frame.name.clone(), frame.kind)).collect())
            })
            .collect();
        let expected = |name: &str, kind| (name.to_owned(), kind);
        assert!(found.contains(&(
            "media-0".to_owned(),
            vec![
                expected("offhook_media::worker::Worker::receive", Kind::Ours),
                expected("__memmove_avx_unaligned_erms", Kind::Memory)
            ]
        )));
        assert!(found.contains(&(
            "media-0".to_owned(),
            vec![expected("?", Kind::Others), expected("_int_malloc", Kind::Allocator)]
        )));
        assert!(found.contains(&("store".to_owned(), vec![expected("sqlite3VdbeExec", Kind::Others)])));
        assert_eq!(profile.threads(), ["media-0", "store"]);
    }

    #[test]
    fn names_of_ours_are_not_taken_for_those_that_move_memory_or_free_it() {
        assert_eq!(kind("offhook_acd::set::free", "/x"), Kind::Ours);
        assert_eq!(kind("offhook_media::ring::memcpy_into", "/x"), Kind::Ours);
        assert_eq!(kind("memchr::memmem::find", "/x"), Kind::Others);
        assert_eq!(kind("memcpy", "[kernel.kallsyms]"), Kind::Kernel);
    }
}
