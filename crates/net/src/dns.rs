//! Where SIP for a name is: NAPTR, SRV and addresses, RFC 3263 section 4.
#![expect(clippy::disallowed_methods, reason = "the edge that knows how long an answer holds")]

use core::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use offhook_sip::Transport;
use offhook_units::Entropy;

/// Most services of a NAPTR, and most hosts of an SRV, that are followed.
const FOLLOWED_MAX: usize = 8;
/// An answer is held at least so long, so that a name with a lifetime of nothing is not asked for without end.
const HELD_MIN: Duration = Duration::from_secs(5);
/// An answer is held at most so long, so that a mistake in DNS is not kept for a week.
const HELD_MAX: Duration = Duration::from_hours(1);

/// A name, and what was said of it besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Over what; where nothing is said, NAPTR and SRV do.
    pub transport: Option<Transport>,
    /// The name.
    pub host: String,
    /// With a port there is nothing left for SRV to say.
    pub port: Option<u16>,
}

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In the order in which they are tried.
    pub targets: Vec<(Transport, SocketAddr)>,
    /// How long that holds.
    pub held: Duration,
}

/// A name leads nowhere now: it does not exist, or the servers do not answer. Ask again later; the words say what was heard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host}: {why}")]
pub struct NotFound {
    host: String,
    why: String,
}

/// Whether we speak a transport with a host at this address.
pub type Speaks<'a> = dyn Fn(Transport, IpAddr) -> bool + Sync + 'a;

/// Asks name servers; answers are held for as long as they say.
#[derive(Clone)]
pub struct Names {
    resolver: TokioResolver,
}

impl core::fmt::Debug for Names {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Names(..)")
    }
}

/// A host of an SRV record, or the name itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    name: String,
    port: u16,
}

impl Names {
    /// Names by this server, or by those of `/etc/resolv.conf`.
    ///
    /// # Errors
    /// Where that file cannot be read or names no server: say which server to ask.
    pub fn new(server: Option<SocketAddr>) -> Result<Self, NotFound> {
        let failed = |error: hickory_resolver::net::NetError| NotFound {
            host: server.map_or_else(|| "/etc/resolv.conf".to_owned(), |server| server.to_string()),
            why: error.to_string(),
        };
        let mut builder = match server {
            None => TokioResolver::builder_tokio().map_err(failed)?,
            Some(server) => {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                let server = NameServerConfig::new(server.ip(), true, connections.into());
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options: &mut ResolverOpts = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.timeout = Duration::from_secs(2);
        Ok(Self { resolver: builder.build().map_err(failed)? })
    }

    /// What `named` leads to, of what we speak. `entropy` draws among hosts of equal priority.
    ///
    /// # Errors
    /// Where there is nothing, or nothing that we speak.
    pub async fn find(&self, named: &Named, speaks: &Speaks<'_>, entropy: &mut Entropy) -> Result<Found, NotFound> {
        let mut search = Search { names: self, speaks, entropy, until: Instant::now() + HELD_MAX, why: None };
        let mut targets = Vec::new();
        for (transport, hosts) in search.services(named).await {
            for host in hosts {
                targets.extend(search.addresses(&host, transport).await);
            }
        }
        if targets.is_empty() {
            let why = search.why.unwrap_or_else(|| "leads to nothing that is spoken here".to_owned());
            return Err(NotFound { host: named.host.clone(), why });
        }
        let held = search.until.saturating_duration_since(Instant::now()).max(HELD_MIN);
        Ok(Found { targets, held })
    }
}

/// One name being followed.
struct Search<'a> {
    names: &'a Names,
    speaks: &'a Speaks<'a>,
    entropy: &'a mut Entropy,
    /// The earliest end of an answer.
    until: Instant,
    /// What was heard last where there was no answer.
    why: Option<String>,
}

/// What DNS may lead to: WebSockets are for browsers.
const TRANSPORTS: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

impl Search<'_> {
    fn any_spoken(&self, transport: Transport) -> bool {
        let (v4, v6) = (IpAddr::from([0; 4]), IpAddr::from([0; 16]));
        (self.speaks)(transport, v4) || (self.speaks)(transport, v6)
    }

    /// Transports with their hosts, in order (RFC 3263 sections 4.1 and 4.2).
    async fn services(&mut self, named: &Named) -> Vec<(Transport, Vec<Host>)> {
        let itself = |transport: Transport| {
            let port = named.port.unwrap_or(transport.default_port());
            vec![(transport, vec![Host { name: named.host.clone(), port }])]
        };
        if named.port.is_some() {
            return itself(named.transport.unwrap_or(Transport::Udp));
        }
        let mut services = match named.transport {
            Some(transport) => vec![(transport, service_name(transport, &named.host))],
            None => self.naptr(&named.host).await,
        };
        if services.is_empty() {
            services = TRANSPORTS.map(|transport| (transport, service_name(transport, &named.host))).into();
        }
        let mut found = Vec::new();
        for (transport, name) in services {
            if self.any_spoken(transport) {
                let hosts = self.srv(&name).await;
                if !hosts.is_empty() {
                    found.push((transport, hosts));
                }
            }
        }
        if found.is_empty() { itself(named.transport.unwrap_or(Transport::Udp)) } else { found }
    }

    /// The SRV names that NAPTR leads to, in its order.
    async fn naptr(&mut self, host: &str) -> Vec<(Transport, String)> {
        let Some(lookup) = self.lookup(host, RecordType::NAPTR).await else { return Vec::new() };
        let mut rules: Vec<_> = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::NAPTR(rule) if rule.flags.eq_ignore_ascii_case(b"s") => {
                    let transport = transport_of(&rule.services)?;
                    Some((rule.order, rule.preference, transport, rule.replacement.to_string()))
                }
                _ => None,
            })
            .collect();
        rules.sort_by_key(|(order, preference, ..)| (*order, *preference));
        rules.truncate(FOLLOWED_MAX);
        rules.into_iter().map(|(.., transport, name)| (transport, name)).collect()
    }

    async fn srv(&mut self, name: &str) -> Vec<Host> {
        let Some(lookup) = self.lookup(name, RecordType::SRV).await else { return Vec::new() };
        let weighed = lookup.answers().iter().filter_map(|record| match &record.data {
            // RFC 2782: a target of "." says that there is no such service.
            RData::SRV(srv) if !srv.target.is_root() => {
                Some(Weighed { priority: srv.priority, weight: srv.weight, of: (srv.target.to_string(), srv.port) })
            }
            _ => None,
        });
        let mut hosts = in_order(weighed.collect(), self.entropy);
        hosts.truncate(FOLLOWED_MAX);
        hosts.into_iter().map(|(name, port)| Host { name, port }).collect()
    }

    async fn addresses(&mut self, host: &Host, transport: Transport) -> Vec<(Transport, SocketAddr)> {
        match self.names.resolver.lookup_ip(host.name.as_str()).await {
            Ok(found) => {
                self.until = self.until.min(found.valid_until());
                let addresses = found.iter().filter(|address| (self.speaks)(transport, *address));
                addresses.map(|address| (transport, SocketAddr::new(address, host.port))).collect()
            }
            Err(error) => {
                self.why = Some(error.to_string());
                Vec::new()
            }
        }
    }

    async fn lookup(&mut self, name: &str, kind: RecordType) -> Option<Lookup> {
        match self.names.resolver.lookup(name, kind).await {
            Ok(found) => {
                self.until = self.until.min(found.valid_until());
                Some(found)
            }
            Err(error) => {
                self.why = Some(error.to_string());
                None
            }
        }
    }
}

/// The name under which a transport's SRV records stand, RFC 3263 section 4.1.
fn service_name(transport: Transport, host: &str) -> String {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        Transport::Ws | Transport::Wss => "_sip._ws",
    };
    format!("{service}.{host}")
}

/// The transport of a NAPTR service, RFC 3263 section 4.1.
fn transport_of(service: &[u8]) -> Option<Transport> {
    let known: [(&[u8], Transport); 3] =
        [(b"SIP+D2U", Transport::Udp), (b"SIP+D2T", Transport::Tcp), (b"SIPS+D2T", Transport::Tls)];
    known.into_iter().find(|(name, _)| service.eq_ignore_ascii_case(name)).map(|(_, transport)| transport)
}

/// What an SRV record says of its order.
#[derive(Debug, Clone)]
struct Weighed<T> {
    priority: u16,
    weight: u16,
    of: T,
}

/// By priority, and among equals by a draw in which the weight is the number of tickets (RFC 2782).
fn in_order<T>(mut records: Vec<Weighed<T>>, entropy: &mut Entropy) -> Vec<T> {
    // Of equal priority those without weight go first into the draw, so that they keep a small chance.
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let equals = records.iter().take_while(|record| record.priority == first.priority).count();
        let tickets: u64 = records[..equals].iter().map(|record| u64::from(record.weight)).sum();
        let drawn = entropy.below(tickets + 1);
        let mut sum = 0;
        let won = records[..equals].iter().position(|record| {
            sum += u64::from(record.weight);
            sum >= drawn
        });
        ordered.push(records.remove(won.unwrap_or(0)).of);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srv_hosts_come_by_priority_and_among_equals_as_often_first_as_their_weight_says() {
        let records = [(10, 30, 'a'), (10, 10, 'b'), (5, 0, 'c')];
        let records = records.map(|(priority, weight, of)| Weighed { priority, weight, of });
        let mut entropy = Entropy::from_number(3);
        let orders: Vec<_> = (0..4_000).map(|_| in_order(records.to_vec(), &mut entropy)).collect();
        assert!(orders.iter().all(|order| order[0] == 'c' && order.len() == 3));
        let a_first = orders.iter().filter(|order| order[1] == 'a').count();
        assert!((2_800..3_200).contains(&a_first), "three quarters of 4,000: {a_first}");
    }
}
