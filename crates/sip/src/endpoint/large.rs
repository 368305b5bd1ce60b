//! Requests too large for a datagram go over a connection where the peer takes one, RFC 3261 section 18.1.1, and as a datagram
//! all the same where it does not.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use offhook_units::{Span, Tick};

use super::client::Machine;
use super::{Endpoint, Output};
use crate::transaction::{Timer, client_invite, client_non_invite};
use crate::{Flow, Transport, Via};

/// The largest request that goes as a datagram where connections are allowed, RFC 3261 section 18.1.1.
pub const DATAGRAM_REQUEST_BYTES_MAX: usize = 1_300;

/// How long a peer that took no connection is sent datagrams only.
const REFUSED_FOR: Span = Span::from_s(600);

/// Peers remembered for taking no connection; beyond it the next one is tried anew each time.
const REFUSED_MAX: usize = 4_096;

impl Endpoint {
    /// From now on large requests to these hosts go over these listeners instead of
    /// [`large_requests_over`](super::EndpointConfig::large_requests_over); as datagrams where there is none.
    pub fn except_large_requests(&mut self, hosts: BTreeMap<IpAddr, Vec<SocketAddr>>) {
        self.large_otherwise = hosts;
    }

    /// The connection that a request of so many bytes goes over in place of its datagram's flow.
    pub(super) fn stream_for(&mut self, now: Tick, flow: Flow, bytes: usize) -> Option<Flow> {
        if flow.transport != Transport::Udp || bytes <= DATAGRAM_REQUEST_BYTES_MAX {
            return None;
        }
        if self.streamless.get(&flow.peer).is_some_and(|until| *until > now) {
            return None;
        }
        let serves = |listener: &&SocketAddr| {
            let (ours, ip) = (flow.local.ip(), listener.ip());
            ip == ours || (ip.is_unspecified() && ip.is_ipv4() == ours.is_ipv4())
        };
        let listeners = self.large_otherwise.get(&flow.peer.ip()).unwrap_or(&self.config.large_requests_over);
        let listener = listeners.iter().find(serves)?;
        let local = SocketAddr::new(flow.local.ip(), listener.port());
        Some(Flow { transport: Transport::Tcp, local, ..flow })
    }

    /// The connection could not be made or broke before anything came back: the request goes as a datagram after all, in the
    /// same transaction. False where there is nothing to fall back on.
    pub(super) fn fall_back(&mut self, now: Tick, id: u64) -> bool {
        use client_invite::State::Calling;
        use client_non_invite::State::Trying;
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let (repeat, give_up) = match client.machine {
            Machine::Invite(Calling) => (Timer::A, Timer::B),
            Machine::NonInvite(Trying) => (Timer::E, Timer::F),
            Machine::Invite(_) | Machine::NonInvite(_) => return false,
        };
        let (Some(flow), Some(request)) = (client.fallback.take(), client.request.as_mut()) else { return false };
        let Some(branch) = request.headers.top_branch().map(str::to_owned) else { return false };
        request.headers.set_top_via(&Via::new(flow.transport.name(), flow.local, &branch));
        client.bytes = request.to_bytes();
        let was = core::mem::replace(&mut client.flow, flow);
        client.sent = 0;
        self.out.push_back(Output::Transmit { flow, bytes: client.bytes.clone() });
        self.flows.remove(&(was, id));
        self.flows.insert((flow, id));
        self.start_client_timer(now, id, repeat);
        self.start_client_timer(now, id, give_up);
        if self.streamless.len() >= REFUSED_MAX {
            self.streamless.retain(|_, until| *until > now);
        }
        if self.streamless.len() < REFUSED_MAX {
            self.streamless.insert(flow.peer, now + REFUSED_FOR);
        }
        true
    }
}
