//! Datagrams in batches: `recvmmsg`, `sendmmsg` and `sendmsg` of Linux.
#![expect(unsafe_code, reason = "system calls that the standard library does not wrap")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;

use crate::ancillary::{self, Room};

/// One datagram of a batch.
#[derive(Debug)]
pub struct Received<'a> {
    /// Who sent it.
    pub peer: SocketAddr,
    /// To which address of ours, where the kernel was asked to say so.
    pub local: Option<IpAddr>,
    /// What; cut at the receiver's size.
    pub bytes: &'a [u8],
}

/// Buffers for batches of datagrams, allocated once.
pub struct Receiver {
    headers: Vec<libc::mmsghdr>,
    /// Pointed into by `headers`; never resized.
    _vectors: Vec<libc::iovec>,
    names: Vec<libc::sockaddr_storage>,
    /// Likewise.
    _controls: Vec<Room>,
    buffer: Vec<u8>,
    size: usize,
}

impl core::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Receiver").field("count", &self.headers.len()).field("size", &self.size).finish_non_exhaustive()
    }
}

// SAFETY: the raw pointers in `headers` and `_vectors` point into heap buffers owned by the same value, which move with it
// unchanged; nothing else keeps them.
unsafe impl Send for Receiver {}

impl Receiver {
    /// For batches of `count` datagrams of at most `size` bytes.
    pub fn new(count: usize, size: usize) -> Self {
        let mut buffer = vec![0_u8; count * size];
        // SAFETY: all-zero bytes are a valid `sockaddr_storage` and a valid `mmsghdr`: integers and null pointers.
        let (mut names, mut headers) = unsafe {
            (
                vec![core::mem::zeroed::<libc::sockaddr_storage>(); count],
                vec![core::mem::zeroed::<libc::mmsghdr>(); count],
            )
        };
        let mut vectors: Vec<_> = buffer
            .chunks_exact_mut(size)
            .map(|chunk| libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: size })
            .collect();
        let mut controls: Vec<Room> = vec![[0; 32]; count];
        let parts = vectors.iter_mut().zip(&mut names).zip(&mut controls);
        for (header, ((vector, name), control)) in headers.iter_mut().zip(parts) {
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = core::ptr::from_mut(name).cast();
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
        }
        Self { headers, _vectors: vectors, names, _controls: controls, buffer, size }
    }

    /// Waits for one datagram as long as the socket's read timeout allows, then takes what else is there.
    ///
    /// # Errors
    /// As `recvmmsg` says.
    pub fn receive(&mut self, socket: RawFd) -> io::Result<impl Iterator<Item = Received<'_>>> {
        self.batch(socket, libc::MSG_WAITFORONE)
    }

    /// Takes what is there, without waiting.
    ///
    /// # Errors
    /// As `recvmmsg` says: `WouldBlock` where nothing is there.
    pub fn take(&mut self, socket: RawFd) -> io::Result<impl Iterator<Item = Received<'_>>> {
        self.batch(socket, libc::MSG_DONTWAIT)
    }

    fn batch(&mut self, socket: RawFd, flags: libc::c_int) -> io::Result<impl Iterator<Item = Received<'_>>> {
        for header in &mut self.headers {
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = size_of::<Room>();
        }
        // SAFETY: each header points to a name, to room for control messages and to one vector over its own chunk of
        // `buffer`, all alive and of the sizes given; the kernel writes no further than those sizes.
        let count = unsafe {
            libc::recvmmsg(
                socket,
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                flags,
                core::ptr::null_mut(),
            )
        };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        let batch = self.headers.iter().zip(&self.names).zip(self.buffer.chunks_exact(self.size));
        Ok(batch.take(count as usize).filter_map(|((header, name), chunk)| {
            let bytes = &chunk[..(header.msg_len as usize).min(chunk.len())];
            // SAFETY: the kernel has just filled the header, and its control messages are as alive as `self`.
            let local = unsafe { ancillary::destination(&header.msg_hdr) };
            Some(Received { peer: address(name)?, local, bytes })
        }))
    }
}

/// A datagram that is to be sent.
#[derive(Debug)]
pub struct Letter {
    /// From which address of ours, where the socket has several.
    pub source: Option<IpAddr>,
    /// To whom.
    pub peer: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// Letters handed to the kernel in one system call at most.
const LETTERS_MAX: usize = 32;

/// Sends in order, without waiting, as [`send_now`] does with each. Gives how many the kernel took.
pub fn send_all(socket: RawFd, letters: &[Letter]) -> usize {
    letters.chunks(LETTERS_MAX).map(|letters| send_some(socket, letters)).sum()
}

fn send_some(socket: RawFd, letters: &[Letter]) -> usize {
    if let [Letter { source, peer, bytes }] = letters {
        return usize::from(send_now(socket, *source, *peer, bytes));
    }
    let names: Vec<_> = letters.iter().map(|letter| socket2::SockAddr::from(letter.peer)).collect();
    let vector = |bytes: &Vec<u8>| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut vectors: Vec<_> = letters.iter().map(|letter| vector(&letter.bytes)).collect();
    let mut rooms: Vec<Room> = vec![[0; 32]; letters.len()];
    // SAFETY: all-zero bytes are a valid `mmsghdr`: integers and null pointers.
    let mut headers = vec![unsafe { core::mem::zeroed::<libc::mmsghdr>() }; letters.len()];
    let parts = letters.iter().zip(&names).zip(&mut vectors).zip(&mut rooms);
    for (header, (((letter, name), vector), room)) in headers.iter_mut().zip(parts) {
        let header = &mut header.msg_hdr;
        header.msg_name = name.as_ptr().cast_mut().cast();
        header.msg_namelen = name.len();
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        if let Some(source) = letter.source {
            header.msg_controllen = ancillary::put_source(room, source);
            header.msg_control = room.as_mut_ptr().cast();
        }
    }
    let (mut at, mut taken) = (0, 0);
    while let Some(rest) = headers.get_mut(at..).filter(|rest| !rest.is_empty()) {
        // SAFETY: each header points to a name, a vector over its letter's bytes and maybe control messages, all of which outlive
        // the call and have the lengths given; sending only reads them.
        let sent =
            unsafe { libc::sendmmsg(socket, rest.as_mut_ptr(), rest.len() as libc::c_uint, libc::MSG_DONTWAIT as _) };
        if sent > 0 {
            (at, taken) = (at + sent as usize, taken + sent as usize);
            continue;
        }
        // The first of the rest was not taken: why, is as in `send_now`.
        let is_full = io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock;
        taken += usize::from(!is_full && send_from(socket, None, letters[at].peer, &letters[at].bytes));
        at += 1;
    }
    taken
}

/// Sends one datagram without waiting, from `source` where that is given and an address of ours. Gives whether the kernel took it.
pub fn send_now(socket: RawFd, source: Option<IpAddr>, peer: SocketAddr, bytes: &[u8]) -> bool {
    // The first failure may be the error of an earlier datagram to somebody else, which is told once; or the source is no
    // address of ours any more.
    send_from(socket, source, peer, bytes)
        || (io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock && send_from(socket, None, peer, bytes))
}

fn send_from(socket: RawFd, source: Option<IpAddr>, peer: SocketAddr, bytes: &[u8]) -> bool {
    let peer = socket2::SockAddr::from(peer);
    let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut room: Room = [0; 32];
    // SAFETY: all-zero bytes are a valid `msghdr`: integers and null pointers.
    let mut header = unsafe { core::mem::zeroed::<libc::msghdr>() };
    header.msg_name = peer.as_ptr().cast_mut().cast();
    header.msg_namelen = peer.len();
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    if let Some(source) = source {
        header.msg_controllen = ancillary::put_source(&mut room, source);
        header.msg_control = room.as_mut_ptr().cast();
    }
    // SAFETY: address, vector, bytes and control messages outlive the call and have the lengths given; sending only reads them.
    let sent = unsafe { libc::sendmsg(socket, &raw const header, libc::MSG_DONTWAIT) };
    sent == bytes.len() as isize
}

pub(crate) fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the kernel wrote a `sockaddr_in`, as the family says; the storage is large and aligned enough.
            let v4 = unsafe { &*core::ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, a `sockaddr_in6`.
            let v6 = unsafe { &*core::ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}
