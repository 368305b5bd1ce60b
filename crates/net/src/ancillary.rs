//! What the kernel says beside a datagram, and what it is told beside one: control messages (cmsg(3)).
#![expect(unsafe_code, reason = "system calls that the standard library does not wrap")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;

/// Room for the control messages of one datagram, aligned as their headers are.
pub type Room = [u64; 32];

/// Turns a socket option on.
///
/// # Errors
/// As `setsockopt` says.
pub fn turn_on(socket: RawFd, level: libc::c_int, name: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is an `int` of the size given, alive during the call.
    let done = unsafe {
        libc::setsockopt(
            socket,
            level,
            name,
            core::ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The control message of one of these kinds (level, type), where the kernel gave one.
///
/// # Safety
/// `header` was filled by `recvmsg` or `recvmmsg` and its control buffer is alive; messages of `kinds` hold a `T`, which is plain data.
pub unsafe fn find<T: Copy>(header: &libc::msghdr, kinds: &[(libc::c_int, libc::c_int)]) -> Option<T> {
    // SAFETY: the kernel has filled the control buffer as the header says; the macros stay within `msg_controllen`.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !next.is_null() {
        // SAFETY: `next` is a whole control header within the buffer.
        let (level, kind) = unsafe { ((*next).cmsg_level, (*next).cmsg_type) };
        if kinds.contains(&(level, kind)) {
            // SAFETY: by this function's own condition; it may lie unaligned.
            return Some(unsafe { libc::CMSG_DATA(next).cast::<T>().read_unaligned() });
        }
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    None
}

/// Lets the kernel say to which address of ours each datagram came.
///
/// # Errors
/// As `setsockopt` says.
pub fn keep_destinations(socket: RawFd, ipv4: bool) -> io::Result<()> {
    let (level, name) =
        if ipv4 { (libc::IPPROTO_IP, libc::IP_PKTINFO) } else { (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO) };
    turn_on(socket, level, name)
}

/// To which address of ours a datagram came.
///
/// # Safety
/// As [`find`]: the header was filled by the kernel, and its control buffer is alive.
pub unsafe fn destination(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: by this function's own condition; these kinds hold these structures.
    let (v4, v6) = unsafe {
        (
            find::<libc::in_pktinfo>(header, &[(libc::IPPROTO_IP, libc::IP_PKTINFO)]),
            find::<libc::in6_pktinfo>(header, &[(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)]),
        )
    };
    let v4 = v4.map(|info| IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr))));
    v4.or_else(|| v6.map(|info| IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr))))
}

/// Writes into `room` what makes the kernel send from `source`; gives the length.
pub fn put_source(room: &mut Room, source: IpAddr) -> usize {
    match source {
        IpAddr::V4(source) => {
            // SAFETY: all-zero bytes are a valid `in_pktinfo`: integers.
            let mut info = unsafe { core::mem::zeroed::<libc::in_pktinfo>() };
            info.ipi_spec_dst.s_addr = u32::from(source).to_be();
            put(room, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
        }
        IpAddr::V6(source) => {
            // SAFETY: all-zero bytes are a valid `in6_pktinfo`: integers.
            let mut info = unsafe { core::mem::zeroed::<libc::in6_pktinfo>() };
            info.ipi6_addr.s6_addr = source.octets();
            put(room, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
        }
    }
}

fn put<T: Copy>(room: &mut Room, level: libc::c_int, kind: libc::c_int, data: T) -> usize {
    const { assert!(size_of::<libc::cmsghdr>() + size_of::<T>() <= size_of::<Room>(), "there is room for one") };
    let header = room.as_mut_ptr().cast::<libc::cmsghdr>();
    // SAFETY: `room` is aligned for a header and has room for it and for the data behind it, as asserted above.
    unsafe {
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<T>() as libc::c_uint) as usize;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(data);
        libc::CMSG_SPACE(size_of::<T>() as libc::c_uint) as usize
    }
}
