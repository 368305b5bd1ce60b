//! What happens to the network of a run: everything that callers and agents send or are sent passes here first.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Whose traffic it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The callers': the trunk.
    Callers,
    /// The agents' phones.
    Agents,
}

/// The network between the server under test and this program. It is perfect to begin with, and may be changed while a run goes on.
#[derive(Debug, Default)]
pub struct Wire {
    lost_per_mille: AtomicU32,
    callers_gone: AtomicBool,
    agents_gone: AtomicBool,
}

impl Wire {
    /// So many of a thousand datagrams are lost each way, SIP and speech.
    pub fn lose(&self, per_mille: u32) {
        self.lost_per_mille.store(per_mille, Ordering::Relaxed);
    }

    /// One side neither sends nor hears anything, or does so again.
    pub fn cut(&self, side: Side, gone: bool) {
        let cut = match side {
            Side::Callers => &self.callers_gone,
            Side::Agents => &self.agents_gone,
        };
        cut.store(gone, Ordering::Relaxed);
    }

    /// Whether a datagram gets through; `draw` decides about chance.
    pub fn carries(&self, side: Side, draw: impl FnOnce() -> u64) -> bool {
        let gone = match side {
            Side::Callers => &self.callers_gone,
            Side::Agents => &self.agents_gone,
        };
        let lost = self.lost_per_mille.load(Ordering::Relaxed);
        !gone.load(Ordering::Relaxed) && (lost == 0 || draw() % 1_000 >= u64::from(lost))
    }
}

#[cfg(test)]
mod tests {
    use offhook_units::Entropy;

    use super::*;

    #[test]
    fn a_network_is_perfect_until_it_is_told_to_lose_or_cut() {
        let network = Wire::default();
        let mut entropy = Entropy::from_number(1);
        let mut carried =
            |network: &Wire, side| (0..10_000).filter(|_| network.carries(side, || entropy.next_u64())).count();
        assert_eq!(carried(&network, Side::Callers), 10_000);
        network.lose(50);
        let lossy = carried(&network, Side::Agents);
        assert!((9_400..9_600).contains(&lossy), "{lossy}");
        network.cut(Side::Agents, true);
        network.lose(0);
        assert_eq!((carried(&network, Side::Agents), carried(&network, Side::Callers)), (0, 10_000));
        network.cut(Side::Agents, false);
        assert_eq!(carried(&network, Side::Agents), 10_000);
    }
}
