//! The certificate that an exchange shows to browsers.

use std::sync::Arc;
use std::time::Duration;

use dimpl::{Config, DtlsCertificate};
use offhook_media::{Handshakes, Transport};
use offhook_plan::{Fingerprint, HashKind};
use offhook_units::Tick;

use crate::Peer;

/// Datagrams of a handshake are no larger: they fit any path (RFC 6347 section 4.1.1.1) and a transport's room.
const MTU: usize = 1_150;
/// A flight that is not answered is sent again after this, then after twice that, and so on: somebody waits to be heard, and the
/// second of RFC 6347 section 4.2.4.1 is for the whole Internet of its day.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// As often as fits into the time that a handshake has.
const RETRIES: usize = 6;

/// The exchange cannot have a certificate: the operating system gives no randomness, or the cryptography fails its own tests.
#[derive(Debug, thiserror::Error)]
#[error("there is no certificate for browsers: {0}")]
pub struct IdentityError(String);

/// A key pair and its certificate. It vouches for nobody: what counts is that its hash came by signalling (RFC 5763 section 3), so
/// it is made anew at each start and kept nowhere.
pub struct Identity {
    pub(crate) certificate: DtlsCertificate,
    pub(crate) config: Arc<Config>,
    fingerprint: Fingerprint,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Identity {
    /// A fresh one, of an elliptic curve (P-256), as every browser knows it.
    pub fn new() -> Result<Self, IdentityError> {
        let error = |error: &dyn std::fmt::Display| IdentityError(error.to_string());
        let key = rcgen::KeyPair::generate().map_err(|e| error(&e))?;
        let mut params = rcgen::CertificateParams::default();
        // What a browser shows of it says nothing of the house.
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "WebRTC");
        let made = params.self_signed(&key).map_err(|e| error(&e))?;
        let certificate = DtlsCertificate { certificate: made.der().to_vec(), private_key: key.serialize_der() };
        let config = Config::builder()
            .mtu(MTU)
            .flight_start_rto(FIRST_WAIT)
            .flight_retries(RETRIES)
            .build()
            .map_err(|e| error(&e))?;
        let bytes = hash(HashKind::Sha256, &certificate.certificate).unwrap_or_default();
        Ok(Self { certificate, config: Arc::new(config), fingerprint: Fingerprint { hash: HashKind::Sha256, bytes } })
    }

    /// What descriptions say of it.
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

/// The makings of every leg's handshake.
impl Handshakes for Identity {
    fn transport(self: Arc<Self>, now: Tick) -> Box<dyn Transport> {
        Box::new(Peer::new(self, now))
    }
}

/// The hash of a certificate in DER; none by SHA-224, which nobody offers alone.
pub(crate) fn hash(kind: HashKind, der: &[u8]) -> Option<Vec<u8>> {
    use ring::digest;
    let algorithm = match kind {
        HashKind::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        HashKind::Sha224 => return None,
        HashKind::Sha256 => &digest::SHA256,
        HashKind::Sha384 => &digest::SHA384,
        HashKind::Sha512 => &digest::SHA512,
    };
    Some(digest::digest(algorithm, der).as_ref().to_vec())
}

/// Whether a certificate is the one that `said` names: one hash that fits is enough (RFC 8122 section 5), and one that does not is
/// none where another function says more.
pub(crate) fn fits(said: &[Fingerprint], der: &[u8]) -> bool {
    said.iter().any(|said| hash(said.hash, der).is_some_and(|bytes| bytes == said.bytes))
}
