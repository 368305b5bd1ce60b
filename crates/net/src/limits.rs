//! Limits of the process, and its heap.
#![expect(unsafe_code, reason = "system calls that the standard library does not wrap")]

use std::io;

/// Raises the soft limit of open files to the hard one. Gives what it is now.
///
/// # Errors
/// As the operating system says.
pub fn raise_open_files() -> io::Result<u64> {
    let most = open_files()?;
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: `limit` is a valid `rlimit` that outlives the call.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    if done == 0 { Ok(limit.rlim_cur) } else { Err(io::Error::last_os_error()) }
}

/// How many files the process may raise itself to have open.
///
/// # Errors
/// As the operating system says.
pub fn open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid `rlimit` that outlives the call.
    let done = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if done == 0 { Ok(limit.rlim_max) } else { Err(io::Error::last_os_error()) }
}

/// Whether something keeps this machine's clock right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockState {
    /// A time service says that it is.
    Synchronised,
    /// Nothing does, or it has not got there yet.
    Unsynchronised,
    /// The kernel does not tell.
    Unknown,
}

/// Asks the kernel about its clock.
pub fn clock_state() -> ClockState {
    // SAFETY: a `timex` of zero bytes is a valid one that asks for nothing to be changed.
    let mut times: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `times` is valid and outlives the call.
    match unsafe { libc::adjtimex(&raw mut times) } {
        ..0 => ClockState::Unknown,
        libc::TIME_ERROR => ClockState::Unsynchronised,
        _ if times.status & libc::STA_UNSYNC != 0 => ClockState::Unsynchronised,
        _ => ClockState::Synchronised,
    }
}

/// What the heap grows by at once.
#[cfg(target_env = "gnu")]
const HEAP_STEP_BYTES: libc::c_int = 1 << 20;

/// What may lie free at the heap's end before it is given back.
#[cfg(target_env = "gnu")]
const HEAP_SPARE_BYTES: libc::c_int = 8 << 20;

/// One heap for all threads, which grows and shrinks in large steps; to be called before the first of them starts. By itself glibc
/// gives each thread a heap of its own that grows by a page or two, each a system call.
#[cfg(target_env = "gnu")]
pub fn share_heap() {
    let wishes =
        [(libc::M_ARENA_MAX, 1), (libc::M_TOP_PAD, HEAP_STEP_BYTES), (libc::M_TRIM_THRESHOLD, HEAP_SPARE_BYTES)];
    for (what, value) in wishes {
        // SAFETY: takes and gives numbers; a wish that is not understood changes nothing.
        unsafe { libc::mallopt(what, value) };
    }
}

/// Other C libraries have one heap.
#[cfg(not(target_env = "gnu"))]
pub const fn share_heap() {}
