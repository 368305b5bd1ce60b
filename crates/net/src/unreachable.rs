//! Peers that cannot be reached: ICMP errors to our datagrams, from the socket's error queue (`IP_RECVERR`, ip(7)).
#![expect(unsafe_code, reason = "system calls that the standard library does not wrap")]

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use crate::ancillary;
use crate::datagrams::address;

/// Errors read in one go; the queue itself is bounded by the socket's buffer.
const ERRORS_MAX: usize = 64;

/// `ICMP_DEST_UNREACH` and its code for a packet that is too large, which says nothing about the peer.
const UNREACHABLE_V4: u8 = 3;
const TOO_LARGE_V4: u8 = 4;
/// `ICMPV6_DEST_UNREACH`.
const UNREACHABLE_V6: u8 = 1;

/// Lets the kernel keep the errors that datagrams of this socket meet. Reads and sends give them once, too: they are passing.
///
/// # Errors
/// As `setsockopt` says.
pub fn keep_errors(socket: RawFd, ipv4: bool) -> io::Result<()> {
    let (level, name) =
        if ipv4 { (libc::IPPROTO_IP, libc::IP_RECVERR) } else { (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) };
    ancillary::turn_on(socket, level, name)
}

/// Whom datagrams of ours did not reach, as hosts and routers told (RFC 3261 section 18.4): nobody listens there, or there is
/// no way. Other errors are taken out of the queue and passed over.
pub fn take_unreachable(socket: RawFd) -> Vec<SocketAddr> {
    let mut peers = Vec::new();
    for _ in 0..ERRORS_MAX {
        match take_error(socket) {
            Some(Told::Unreachable(peer)) if !peers.contains(&peer) => peers.push(peer),
            Some(Told::Unreachable(_) | Told::Other) => {}
            None => break,
        }
    }
    peers
}

/// What an error says.
enum Told {
    /// Nothing reaches this peer.
    Unreachable(SocketAddr),
    /// Nothing about a peer.
    Other,
}

/// The next error of the queue.
fn take_error(socket: RawFd) -> Option<Told> {
    let mut control: ancillary::Room = [0; 32];
    // SAFETY: all-zero bytes are a valid `sockaddr_storage` and a valid `msghdr`: integers and null pointers.
    let (mut name, mut header) =
        unsafe { (core::mem::zeroed::<libc::sockaddr_storage>(), core::mem::zeroed::<libc::msghdr>()) };
    header.msg_name = core::ptr::from_mut(&mut name).cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: the header points to a name and a control buffer of the sizes given, all alive; no data is asked for.
    let read = unsafe { libc::recvmsg(socket, &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if read < 0 {
        return None;
    }
    let peer = address(&name);
    let kinds = [(libc::IPPROTO_IP, libc::IP_RECVERR), (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)];
    // SAFETY: the kernel has just filled the header, `control` is alive, and these kinds hold a `sock_extended_err`.
    let error = unsafe { ancillary::find::<libc::sock_extended_err>(&header, &kinds) };
    let told = error.filter(is_unreachable).and(peer);
    Some(told.map_or(Told::Other, Told::Unreachable))
}

const fn is_unreachable(error: &libc::sock_extended_err) -> bool {
    match error.ee_origin {
        libc::SO_EE_ORIGIN_ICMP => error.ee_type == UNREACHABLE_V4 && error.ee_code != TOO_LARGE_V4,
        libc::SO_EE_ORIGIN_ICMP6 => error.ee_type == UNREACHABLE_V6,
        _ => false,
    }
}
