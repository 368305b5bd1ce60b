//! How SIP leaves the phone: datagrams, and a connection to its server where the account wants one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use offhook_net::bans::Bans;
use offhook_net::sip::{Incoming, SipSocket};
use offhook_net::streams::{Lead, StreamLimits, Streams, Tls};
use offhook_net::trace::Trace;
use offhook_sip::{Flow, Transport};

use crate::phone::{Account, PhoneError};

/// Where systems keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The ways out.
pub(crate) struct Wire {
    pub udp: SipSocket,
    streams: Option<Streams>,
}

impl Wire {
    /// Over `udp`, and over connections where `account` wants them; what comes over these goes to `deliver`.
    pub fn open(
        udp: SipSocket,
        account: Option<&Account>,
        deliver: impl Fn(Vec<Incoming>) -> Result<(), Vec<Incoming>> + Send + Sync + 'static,
    ) -> Result<Self, PhoneError> {
        let Some(account) = account.filter(|account| account.transport.is_reliable()) else {
            return Ok(Self { udp, streams: None });
        };
        let tls = account.transport.is_secure().then(|| trusting(account.authorities.clone())).transpose()?;
        let limits = StreamLimits { connections_max: 16, ..StreamLimits::default() };
        let bans = Arc::new(Bans::default());
        let streams = Streams::start(Vec::new(), tls, limits, bans, Arc::new(deliver), Trace::default())
            .map_err(|error| system("SIP connections", &error))?;
        // A certificate has to bear the account's domain, or the address or name of the server.
        let names = |peer: core::net::SocketAddr| {
            let host = account.aor.host.clone();
            core::iter::once(host).chain(account.server_name.clone()).chain([peer.ip().to_string()]).collect()
        };
        let places = account.servers().map(|peer| Lead { peer, names: names(peer), path: None });
        streams.lead(0, places.collect());
        Ok(Self { udp, streams: Some(streams) })
    }

    /// Sends one message without waiting.
    pub fn send(&self, flow: Flow, bytes: Vec<u8>) {
        match (&self.streams, flow.transport) {
            (_, Transport::Udp) => self.udp.send(flow.peer, &bytes),
            (Some(streams), _) => streams.send(flow, bytes),
            // Who calls us over a transport that we have not got cannot have reached us.
            (None, _) => tracing::debug!(%flow, "a message for a transport that is not open"),
        }
    }
}

fn trusting(authorities: Option<PathBuf>) -> Result<Tls, PhoneError> {
    let system_ones = || SYSTEM_AUTHORITIES.iter().map(PathBuf::from).find(|path| path.is_file());
    let path = authorities.or_else(system_ones).ok_or_else(|| PhoneError::System {
        doing: "TLS".into(),
        why: "this system trusts no authorities: install ca-certificates, or name a file".into(),
    })?;
    Tls::for_calling(&path).map_err(|error| PhoneError::System { doing: "TLS".into(), why: error.to_string() })
}

fn system(doing: &str, error: &io::Error) -> PhoneError {
    PhoneError::System { doing: doing.to_owned(), why: error.to_string() }
}
