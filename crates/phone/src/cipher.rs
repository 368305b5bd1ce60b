//! Encryption of one call's speech (SRTP): opened before anything else sees a packet, sealed after everything else is done with it.

use offhook_plan::Crypto;
use offhook_rtp::{SrtpReceiver, SrtpSender};

/// The keys of a call, with the counters that go with them.
pub struct Cipher {
    send: SrtpSender,
    receive: SrtpReceiver,
}

impl Cipher {
    /// What was agreed on takes the place of what was: keys that stay go on counting.
    pub fn take(cipher: &mut Option<Self>, keys: Option<&Crypto>) {
        match (cipher.as_mut(), keys) {
            (_, None) => *cipher = None,
            (None, Some(keys)) => {
                *cipher = Some(Self { send: SrtpSender::new(&keys.send), receive: SrtpReceiver::new(&keys.receive) });
            }
            (Some(cipher), Some(keys)) => {
                cipher.send.rekey(&keys.send);
                cipher.receive.rekey(&keys.receive);
            }
        }
    }

    /// Opens what came, where the call is encrypted; says how long it is then. None where it cannot be opened.
    pub fn open(cipher: Option<&mut Self>, datagram: &mut [u8], is_report: bool) -> Option<usize> {
        let Some(cipher) = cipher else { return Some(datagram.len()) };
        if is_report {
            cipher.receive.unprotect_rtcp(datagram).ok()
        } else {
            cipher.receive.unprotect_rtp(datagram).ok()
        }
    }

    /// Seals `buffer[..length]`, a packet of speech; says how long it is then. None where that cannot be, and it must not leave.
    pub fn seal_rtp(cipher: Option<&mut Self>, buffer: &mut [u8], length: usize) -> Option<usize> {
        cipher.map_or(Some(length), |cipher| cipher.send.protect_rtp(buffer, length).ok())
    }

    /// The same for a report.
    pub fn seal_rtcp(cipher: Option<&mut Self>, buffer: &mut [u8], length: usize) -> Option<usize> {
        cipher.map_or(Some(length), |cipher| cipher.send.protect_rtcp(buffer, length).ok())
    }
}
