//! The SIP listeners of a configuration, bound and not yet served.

use core::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use offhook_net::sip::{SipSocket, route_to};
use offhook_net::streams::StreamListener;
use offhook_net::trace::Trace;
use offhook_server::WebSocketAt;
use offhook_sip::Transport;

use crate::config::SipListen;

/// Bound listeners.
pub struct Listeners {
    /// For datagrams.
    pub datagrams: Vec<SipSocket>,
    /// For connections.
    pub streams: Vec<StreamListener>,
}

impl Listeners {
    /// Binds all, or none. What comes in as datagrams is noted in `trace`.
    pub fn bind(wanted: &[SipListen], trace: &Trace) -> io::Result<Self> {
        let (mut datagrams, mut streams) = (Vec::new(), Vec::new());
        for SipListen { transport, address } in wanted {
            if transport.is_reliable() {
                streams.push(StreamListener::bind(*transport, *address)?);
            } else {
                datagrams.push(SipSocket::bind(*address)?.traced(trace.clone()));
            }
        }
        Ok(Self { datagrams, streams })
    }

    /// Over what, and where.
    fn locals(&self) -> impl Iterator<Item = (Transport, SocketAddr)> {
        let datagrams = self.datagrams.iter().map(|socket| (Transport::Udp, socket.local()));
        datagrams.chain(self.streams.iter().map(|listener| (listener.transport(), listener.local())))
    }

    /// Addresses of ours.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.locals().map(|(_, address)| address.ip())
    }

    /// Where the SIP of browsers is taken.
    pub fn websockets(&self) -> Vec<WebSocketAt> {
        let at = |(transport, address)| match transport {
            Transport::Ws => Some(WebSocketAt { secure: false, address }),
            Transport::Wss => Some(WebSocketAt { secure: true, address }),
            Transport::Udp | Transport::Tcp | Transport::Tls => None,
        };
        self.locals().filter_map(at).collect()
    }

    /// The listener of a transport that reaches a peer, with the address that the route there has.
    pub fn towards(&self, transport: Transport, peer: SocketAddr) -> SocketAddr {
        self.table().towards(transport, peer)
    }

    /// What is spoken where, for whoever has to find routes later.
    pub fn table(&self) -> Spoken {
        Spoken(self.locals().collect())
    }
}

/// Listeners' transports and addresses.
#[derive(Debug, Clone)]
pub struct Spoken(Vec<(Transport, SocketAddr)>);

impl Spoken {
    /// Whether there is a listener that can reach this address over this transport.
    pub fn reaches(&self, transport: Transport, address: IpAddr) -> bool {
        self.0.iter().any(|(other, local)| *other == transport && local.is_ipv4() == address.is_ipv4())
    }

    /// The listener of a transport that reaches a peer, with the address that the route there has.
    pub fn towards(&self, transport: Transport, peer: SocketAddr) -> SocketAddr {
        let route = route_to(peer).ok();
        let of_transport = || self.0.iter().filter(|(other, _)| *other == transport).map(|(_, local)| *local);
        let fits = |local: &SocketAddr| {
            local.is_ipv4() == peer.is_ipv4() && (local.ip().is_unspecified() || Some(local.ip()) == route)
        };
        let listener = of_transport().find(fits).or_else(|| of_transport().next());
        let listener = listener.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], transport.default_port())));
        let ip: IpAddr = if listener.ip().is_unspecified() { route.unwrap_or(listener.ip()) } else { listener.ip() };
        SocketAddr::new(ip, listener.port())
    }
}

impl fmt::Display for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.locals().map(|(transport, local)| format!("{}:{local}", transport.param())).collect();
        f.write_str(&all.join(" "))
    }
}
