//! What of `[sip]` is about seeing messages: the ring in memory, and Homer.

use core::net::SocketAddr;

use offhook_net::trace::{HepConfig, RING_BYTES_DEFAULT};

use super::Reader;
use super::read::{At, Section};

/// Most of the memory that messages may take.
const RING_MIB_MAX: u64 = 4_096;

/// Which SIP messages are kept, and sent where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracing {
    /// Bytes of messages kept in memory; zero: none.
    pub bytes_max: usize,
    /// Where they are sent too.
    pub homer: Option<HepConfig>,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { bytes_max: RING_BYTES_DEFAULT, homer: None }
    }
}

impl Reader {
    /// `trace_mib`, `homer`, `homer_id` and `homer_key` of `[sip]`.
    pub(super) fn tracing(&mut self, section: &mut Section<'_>) -> Tracing {
        let mut tracing = Tracing::default();
        if let Some(mib) = section.number(&mut self.sink, "trace_mib", 0..=RING_MIB_MAX) {
            tracing.bytes_max = (mib.value as usize) << 20;
        }
        let to = section.text(&mut self.sink, "homer", "\"udp:192.0.2.30:9060\"");
        let id = section.number(&mut self.sink, "homer_id", 0..=u64::from(u32::MAX));
        let key = self.secret(section, "homer_key", "homer_key_file", "\"as in Homer\"");
        let Some(to) = to else {
            for span in [id.map(|id| id.span), key.map(|key| key.span)].into_iter().flatten() {
                let message = "nothing is sent to Homer, and yet it is said how";
                self.sink.fault(span, message, "add homer = \"udp:192.0.2.30:9060\", or take this out");
            }
            return tracing;
        };
        let key = key.map(|key| key.value);
        tracing.homer = self.homer(to).map(|to| HepConfig { to, id: id.map_or(0, |id| id.value as u32), key });
        tracing
    }

    fn homer(&mut self, to: At<String>) -> Option<SocketAddr> {
        let address = to.value.strip_prefix("udp:").and_then(|address| address.parse::<SocketAddr>().ok());
        let address = address.filter(|address| address.port() != 0 && !address.ip().is_unspecified());
        if address.is_none() {
            let message = format!("homer = \"{}\" is no place to send to", to.value);
            self.sink.fault(to.span, message, "write udp:ADDRESS:PORT, such as \"udp:192.0.2.30:9060\"");
        }
        address
    }
}
