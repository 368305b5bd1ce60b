//! Trunks that are found by name: asks DNS, tells the control loop, and asks again when the answer's time is over.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use offhook_net::dns::{Named, Names};
use offhook_net::intake::Post;
use offhook_net::streams::Lead;
use offhook_sip::{Flow, Transport};
use offhook_units::Entropy;
use tokio::task::AbortHandle;

use super::control::Ask;
use super::listeners::Spoken;
use crate::config::Proxy;

/// How soon a name is tried again that led nowhere.
const AGAIN: Duration = Duration::from_secs(15);

/// Figures of name resolution, for metrics.
#[derive(Debug, Default)]
pub struct NameFigures {
    /// Names followed.
    pub lookups: AtomicU64,
    /// Of these, those that led nowhere.
    pub failures: AtomicU64,
}

/// A trunk with names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTrunk {
    /// Its place in the exchange.
    pub place: usize,
    /// Its name.
    pub trunk: String,
    /// All of its places.
    pub proxies: Vec<Proxy>,
    /// Its domain, where it has one.
    pub domain: Option<String>,
}

/// Follows the names of all trunks.
pub struct Finder {
    server: Option<SocketAddr>,
    spoken: Spoken,
    asks: Post<Ask>,
    entropy: Entropy,
    figures: Arc<NameFigures>,
    /// Whose names are followed.
    followed: Vec<(NamedTrunk, AbortHandle)>,
}

impl Finder {
    /// Follows nothing yet.
    pub const fn new(
        server: Option<SocketAddr>,
        spoken: Spoken,
        asks: Post<Ask>,
        entropy: Entropy,
        figures: Arc<NameFigures>,
    ) -> Self {
        Self { server, spoken, asks, entropy, figures, followed: Vec::new() }
    }

    /// Follows the names of these trunks, each by a task of its own until the control loop is gone, and no others.
    pub fn follow(&mut self, trunks: Vec<NamedTrunk>) {
        let (stay, go): (Vec<_>, Vec<_>) =
            core::mem::take(&mut self.followed).into_iter().partition(|(followed, _)| trunks.contains(followed));
        for (_, task) in go {
            task.abort();
        }
        self.followed = stay;
        let is_new = |trunk: &NamedTrunk| self.followed.iter().all(|(followed, _)| followed != trunk);
        let new: Vec<_> = trunks.into_iter().filter(is_new).collect();
        if new.is_empty() {
            return;
        }
        let names = match Names::new(self.server) {
            Ok(names) => names,
            Err(error) => {
                self.figures.failures.fetch_add(1, Ordering::Relaxed);
                return tracing::error!(%error, "no name server: write one into [dns]");
            }
        };
        for named in new {
            let (spoken, asks, figures) = (self.spoken.clone(), self.asks.clone(), Arc::clone(&self.figures));
            let NamedTrunk { place: trunk, trunk: _, proxies, domain } = named.clone();
            let names = names.clone();
            let follow = Follow { names, trunk, proxies, domain, spoken, asks, figures, known: BTreeMap::new() };
            let task = tokio::spawn(follow.run(self.entropy.fork()));
            self.followed.push((named, task.abort_handle()));
        }
    }
}

/// What whoever is at an address of the configuration bears over TLS: the trunk's domain, or the address.
pub fn lead_to(peer: SocketAddr, domain: Option<&str>) -> Lead {
    let names = domain.map(str::to_owned).into_iter().chain([peer.ip().to_string()]).collect();
    Lead { peer, names, path: None }
}

/// One trunk's names.
struct Follow {
    names: Names,
    trunk: usize,
    proxies: Vec<Proxy>,
    domain: Option<String>,
    spoken: Spoken,
    asks: Post<Ask>,
    figures: Arc<NameFigures>,
    /// What each name led to last: it stays until the name leads elsewhere.
    known: BTreeMap<String, Vec<(Transport, SocketAddr)>>,
}

impl Follow {
    async fn run(mut self, mut entropy: Entropy) {
        let mut told: Option<Vec<Flow>> = None;
        loop {
            let mut wait = Duration::from_hours(1);
            let (mut targets, mut leads) = (Vec::new(), Vec::new());
            for proxy in self.proxies.clone() {
                match proxy {
                    Proxy::At(transport, address) => {
                        targets.push((transport, address));
                        leads.push(lead_to(address, self.domain.as_deref()));
                    }
                    Proxy::Named(named) => {
                        wait = wait.min(self.follow(&named, &mut entropy).await);
                        for (transport, peer) in self.known.get(&named.host).into_iter().flatten() {
                            targets.push((*transport, *peer));
                            leads.push(Lead { peer: *peer, names: vec![named.host.clone()], path: None });
                        }
                    }
                }
            }
            let flow = |(transport, peer)| Flow { transport, local: self.spoken.towards(transport, peer), peer };
            let flows: Vec<Flow> = targets.into_iter().map(flow).collect();
            if told.as_ref() != Some(&flows) {
                let ask = Ask::Targets { trunk: self.trunk, flows: flows.clone(), leads };
                match self.asks.try_send(ask) {
                    Ok(()) => told = Some(flows),
                    Err(error) if error.is_full() => wait = Duration::from_secs(1),
                    Err(_) => return,
                }
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Asks for one name; gives how long what is known holds.
    async fn follow(&mut self, named: &Named, entropy: &mut Entropy) -> Duration {
        let speaks = |transport: Transport, address: IpAddr| self.spoken.reaches(transport, address);
        self.figures.lookups.fetch_add(1, Ordering::Relaxed);
        match self.names.find(named, &speaks, entropy).await {
            Ok(found) => {
                let before = self.known.insert(named.host.clone(), found.targets.clone());
                if before.as_ref() != Some(&found.targets) {
                    let targets: Vec<String> =
                        found.targets.iter().map(|(over, at)| format!("{}:{at}", over.param())).collect();
                    tracing::info!(name = named.host, targets = targets.join(" "), "a trunk's name leads there");
                }
                found.held
            }
            Err(error) => {
                self.figures.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "a trunk's name leads nowhere; what it led to before stays");
                AGAIN
            }
        }
    }
}
