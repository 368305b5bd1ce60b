//! The system calls of the packet drivers. `unsafe` is here, in the `io_uring` driver and in its pool.

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use socket2::{Domain, Protocol, Socket, Type};

/// Expedited forwarding, RFC 3246, in the place of IPv4's type of service.
const DSCP_EF: u32 = 0xb8;

/// A bound, non-blocking UDP socket.
pub fn bind_udp(local: SocketAddr, receive_buffer_bytes: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(receive_buffer_bytes)?;
    if local.is_ipv4() {
        // Marking is a wish; a network or container that forbids it carries the packets all the same.
        let _ = socket.set_tos_v4(DSCP_EF);
    }
    socket.bind(&local.into())?;
    Ok(socket)
}

/// An address as the kernel writes and reads it.
#[derive(Clone, Copy)]
#[repr(C)]
pub union KernelAddress {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl KernelAddress {
    pub const EMPTY: Self = Self {
        v6: libc::sockaddr_in6 {
            sin6_family: 0,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
            sin6_scope_id: 0,
        },
    };

    pub fn of(address: SocketAddr) -> (Self, libc::socklen_t) {
        match address {
            SocketAddr::V4(v4) => {
                let raw = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                    sin_zero: [0; 8],
                };
                (Self { v4: raw }, size_of::<libc::sockaddr_in>() as libc::socklen_t)
            }
            SocketAddr::V6(v6) => {
                let raw = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                (Self { v6: raw }, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
            }
        }
    }

    /// The address in the bytes that the kernel wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<SocketAddr> {
        let mut address = Self::EMPTY;
        let length = bytes.len().min(size_of::<Self>());
        // SAFETY: both are valid for `length` bytes and do not overlap; any bytes make a valid address of integers.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut address).cast(), length) };
        address.read()
    }

    pub fn read(&self) -> Option<SocketAddr> {
        // SAFETY: every variant begins with the family, and all of EMPTY's bytes are initialised.
        match i32::from(unsafe { self.family }) {
            libc::AF_INET => {
                // SAFETY: the kernel wrote a sockaddr_in, as its family says; any bytes make a valid one.
                let raw = unsafe { self.v4 };
                let ip = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
                Some(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above, for a sockaddr_in6.
                let raw = unsafe { self.v6 };
                let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
                let address = SocketAddrV6::new(ip, u16::from_be(raw.sin6_port), raw.sin6_flowinfo, raw.sin6_scope_id);
                // A dual-stack socket shows IPv4 peers as mapped addresses.
                Some(ip.to_ipv4_mapped().map_or(address.into(), |v4| SocketAddr::new(IpAddr::V4(v4), address.port())))
            }
            _ => None,
        }
    }
}

/// Receives one datagram; `None` where there is none (any more).
pub fn receive_from(fd: RawFd, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    let mut from = KernelAddress::EMPTY;
    let mut length = size_of::<KernelAddress>() as libc::socklen_t;
    // SAFETY: buffer and address are live and as long as stated; the kernel writes no further than that.
    let got = unsafe {
        libc::recvfrom(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0, (&raw mut from).cast(), &raw mut length)
    };
    let got = usize::try_from(got).ok()?;
    Some((got, from.read()?))
}

/// Sends one datagram; says whether the kernel took it.
pub fn send_to(fd: RawFd, to: SocketAddr, bytes: &[u8]) -> bool {
    let (address, length) = KernelAddress::of(to);
    // SAFETY: bytes and address are live and as long as stated; the kernel only reads them.
    let sent = unsafe { libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), 0, (&raw const address).cast(), length) };
    usize::try_from(sent).is_ok_and(|sent| sent == bytes.len())
}

/// An epoll instance.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// One readiness.
pub type Ready = libc::epoll_event;

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer; its result is checked before it is owned.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just given to us and is owned by nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches `fd` for datagrams until it is closed.
    pub fn watch(&self, fd: RawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: the event lives through the call, which copies it.
        let done = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Watches `fd` no more; says whether that is so.
    pub fn unwatch(&self, fd: RawFd) -> bool {
        // SAFETY: no pointer is given: this way of asking reads none.
        unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) == 0 }
    }

    /// Waits until something is ready or `wait_us` have passed (`None`: for good); says how many of `ready` were filled.
    pub fn wait(&self, ready: &mut [Ready], wait_us: Option<u64>) -> usize {
        let most = i32::try_from(ready.len()).unwrap_or(i32::MAX);
        let wait = wait_us.map(|us| libc::timespec {
            tv_sec: (us / 1_000_000) as libc::time_t,
            tv_nsec: (us % 1_000_000 * 1_000) as libc::c_long,
        });
        let timeout = wait.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: `ready` holds `most` events; the timeout is null or lives through the call; no signal mask is given.
        let count =
            unsafe { libc::epoll_pwait2(self.0.as_raw_fd(), ready.as_mut_ptr(), most, timeout, std::ptr::null()) };
        // An interruption by a signal is a turn without readiness.
        usize::try_from(count).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_through_the_kernels_form() {
        for text in ["127.0.0.1:5060", "[2001:db8::7%3]:10000", "255.255.255.255:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(KernelAddress::of(address).0.read(), Some(address));
        }
        let mapped = KernelAddress::of("[::ffff:192.0.2.1]:9".parse().unwrap()).0;
        assert_eq!(mapped.read(), Some("192.0.2.1:9".parse().unwrap()));
        assert_eq!(KernelAddress::EMPTY.read(), None);
    }
}
