//! Datagrams under way, and everything else that happens at an instant to come.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use offhook_units::{Entropy, Span, Tick};

/// How bad the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// Datagrams lost, in thousandths.
    pub loss: u64,
    /// Datagrams doubled, in thousandths.
    pub doubled: u64,
    /// Shortest way.
    pub delay_min: Span,
    /// Longest way; the difference reorders.
    pub delay_max: Span,
}

/// One datagram.
#[derive(Debug, Clone)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// The datagrams under way, by arrival.
pub struct Network {
    weather: Weather,
    chance: Entropy,
    under_way: BTreeMap<(Tick, u64), Datagram>,
    sent: u64,
}

impl Network {
    pub fn new(weather: Weather, chance: Entropy) -> Self {
        Self { weather, chance, under_way: BTreeMap::new(), sent: 0 }
    }

    /// Takes a datagram; it may arrive never, once or twice.
    pub fn send(&mut self, now: Tick, datagram: Datagram) {
        if self.chance.below(1_000) < self.weather.loss {
            return;
        }
        if self.chance.below(1_000) < self.weather.doubled {
            self.post(now, datagram.clone());
        }
        self.post(now, datagram);
    }

    fn post(&mut self, now: Tick, datagram: Datagram) {
        let spread = self.weather.delay_max.saturating_sub(self.weather.delay_min).as_us();
        let at = now + self.weather.delay_min + Span::from_us(self.chance.below(spread + 1));
        self.sent += 1;
        self.under_way.insert((at, self.sent), datagram);
    }

    /// When the next one arrives.
    pub fn next(&self) -> Option<Tick> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    /// One that has arrived.
    pub fn arrived(&mut self, now: Tick) -> Option<Datagram> {
        let entry = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }
}
