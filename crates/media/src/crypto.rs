//! Encryption of one leg: opened before anything else sees a packet, protected after everything else is done with it.

use offhook_plan::Crypto;
use offhook_rtp::{SrtpError, SrtpReceiver, SrtpSender, is_rtcp};
use offhook_units::CryptoSuite;

use crate::leg::Leg;

/// The keys of a leg and the counters that go with them.
pub struct LegCrypto {
    keys: Crypto,
    send: SrtpSender,
    receive: SrtpReceiver,
}

impl LegCrypto {
    fn new(keys: &Crypto) -> Self {
        Self { keys: *keys, send: SrtpSender::new(&keys.send), receive: SrtpReceiver::new(&keys.receive) }
    }

    /// By which suite we send.
    pub const fn suite(&self) -> CryptoSuite {
        self.keys.send.suite()
    }

    /// Opens a received packet, RTP or RTCP; says how long it is then.
    pub fn open(&mut self, datagram: &mut [u8], rtcp: bool) -> Result<usize, SrtpError> {
        if rtcp || is_rtcp(datagram) {
            self.receive.unprotect_rtcp(datagram)
        } else {
            self.receive.unprotect_rtp(datagram)
        }
    }
}

/// Protects the RTP packet in `buffer[..length]` where the leg is encrypted; says how long it is then. `None` where that is
/// impossible, and the packet must not leave.
pub fn seal_rtp(crypto: Option<&mut LegCrypto>, buffer: &mut [u8], length: usize) -> Option<usize> {
    crypto.map_or(Some(length), |crypto| crypto.send.protect_rtp(buffer, length).ok())
}

/// The same for an RTCP compound.
pub fn seal_rtcp(crypto: Option<&mut LegCrypto>, buffer: &mut [u8], length: usize) -> Option<usize> {
    crypto.map_or(Some(length), |crypto| crypto.send.protect_rtcp(buffer, length).ok())
}

impl Leg {
    /// Takes over what was agreed on keys. Keys that stay go on counting; a new one begins where the old one stood, and what is
    /// held from before the keys were known is opened.
    pub fn take_keys(&mut self, keys: Option<&Crypto>) {
        let Some(keys) = keys else {
            self.crypto = None;
            return;
        };
        if let Some(crypto) = &mut self.crypto {
            crypto.send.rekey(&keys.send);
            crypto.receive.rekey(&keys.receive);
            crypto.keys = *keys;
            return;
        }
        let mut crypto = Box::new(LegCrypto::new(keys));
        if self.media.is_none() {
            self.unopened += self.hold.open(&mut crypto.receive);
        }
        self.crypto = Some(crypto);
    }
}
