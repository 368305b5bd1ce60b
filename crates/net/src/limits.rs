//! Limits of the process.
#![expect(unsafe_code, reason = "system calls that the standard library does not wrap")]

use std::io;

/// Raises the soft limit of open files to the hard one. Gives what it is now.
///
/// # Errors
/// As the operating system says.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid `rlimit` that outlives both calls.
    let done = unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return Err(io::Error::last_os_error());
        }
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    };
    if done == 0 { Ok(limit.rlim_cur) } else { Err(io::Error::last_os_error()) }
}
