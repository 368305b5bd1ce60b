//! The other end of a leg: what a browser does towards an exchange, for load and for tests. It checks one path and chooses it at once
//! (RFC 8445 section 8.1.1, as the controlling end of one that is lite), begins the handshake, and goes on checking (RFC 7675).

use std::net::SocketAddr;
use std::sync::Arc;

use is::stun::{StunMessage, TransId};
use offhook_media::{Deed, HANDSHAKE_BYTES_MAX, Transport};
use offhook_plan::{Dtls, Ice, Setup};
use offhook_units::{Span, Tick};

use crate::ice::hmac_sha1;
use crate::{Identity, Peer};

/// A check that is not answered is sent again after this.
const CHECK_AGAIN: Span = Span::from_ms(50);
/// A path that was answered is checked as often as Chromium does.
const CHECK_EVERY: Span = Span::from_ms(2_500);
/// RFC 8445 section 5.1.2.1, of a peer-reflexive candidate.
const PRIORITY: u32 = (110 << 24) | (65_535 << 8) | 255;
/// Room for a check: two user parts of at most 256 characters, and the rest.
const CHECK_BYTES_MAX: usize = 700;

/// A browser's side of one call. It opens no socket, as [`Peer`].
pub struct Client {
    handshake: Peer,
    ours: Dtls,
    /// The exchange's side, and its address.
    theirs: Option<(Dtls, SocketAddr)>,
    /// Of the last check.
    asked: Option<TransId>,
    next_at: Tick,
    answered: bool,
    /// A check that waits to be taken.
    check: Option<Vec<u8>>,
    told: bool,
}

impl Client {
    /// With a certificate and `ours`, which is told to the exchange.
    pub fn new(identity: Arc<Identity>, ours: Ice, now: Tick) -> Self {
        let fingerprints = vec![identity.fingerprint().clone()];
        Self {
            handshake: Peer::new(identity, now),
            ours: Dtls { fingerprints, setup: Setup::Active, ice: Some(ours) },
            theirs: None,
            asked: None,
            next_at: now,
            answered: false,
            check: None,
            told: false,
        }
    }

    /// What descriptions say of it.
    pub const fn says(&self) -> &Dtls {
        &self.ours
    }

    /// The exchange has told what it says of itself, and where it is: checks begin.
    pub fn connect(&mut self, now: Tick, theirs: &Dtls, at: SocketAddr) {
        self.theirs = Some((theirs.clone(), at));
        self.next_at = now;
        self.turn(now);
    }

    /// Whether the exchange has answered a check.
    pub const fn is_answered(&self) -> bool {
        self.answered
    }

    /// Takes a datagram in that is neither RTP nor RTCP.
    pub fn receive(&mut self, now: Tick, from: SocketAddr, datagram: &[u8]) {
        if datagram.first().is_some_and(|first| *first >= 20) {
            return self.handshake.receive(now, from, datagram);
        }
        let (Some((theirs, at)), Ok(message)) = (&self.theirs, StunMessage::parse(datagram)) else { return };
        let password = theirs.ice.as_ref().map_or("", |ice| &ice.pwd).as_bytes();
        let is_ours = self.asked == Some(message.trans_id()) && *at == from;
        if !is_ours || !message.is_successful_binding_response() || !message.verify(password, hmac_sha1) {
            return;
        }
        self.answered = true;
        self.next_at = now + CHECK_EVERY;
        if !core::mem::replace(&mut self.told, true) {
            // The path is found: the handshake goes there as to one who says where it is.
            let (ours, theirs) = (Dtls { ice: None, ..self.ours.clone() }, Dtls { ice: None, ..theirs.clone() });
            self.handshake.agree(now, &ours, Some((&Dtls { setup: Setup::Passive, ..theirs }, from)));
        }
    }

    /// Looks at its timers; at least every 50 ms until it is answered, every 250 ms later.
    pub fn turn(&mut self, now: Tick) {
        self.handshake.turn(now);
        let (Some((theirs, _)), true) = (&self.theirs, now >= self.next_at) else { return };
        self.next_at = now + if self.answered { CHECK_EVERY } else { CHECK_AGAIN };
        let (Some(ours), Some(theirs)) = (&self.ours.ice, &theirs.ice) else { return };
        let (user, id) = (format!("{}:{}", theirs.ufrag, ours.ufrag), TransId::new());
        let mut bytes = vec![0; CHECK_BYTES_MAX];
        let check = StunMessage::binding_request(&user, id, true, 1, PRIORITY, true);
        if let Ok(length) = check.to_bytes(Some(theirs.pwd.as_bytes()), &mut bytes, hmac_sha1) {
            bytes.truncate(length);
            (self.asked, self.check) = (Some(id), Some(bytes));
        }
    }

    /// What is to be done next, as of a [`Transport`].
    pub fn poll(&mut self, room: &mut [u8; HANDSHAKE_BYTES_MAX]) -> Option<Deed> {
        if let (Some(check), Some((_, at))) = (self.check.take(), &self.theirs) {
            room[..check.len()].copy_from_slice(&check);
            return Some(Deed::Send { to: *at, length: check.len() });
        }
        self.handshake.poll(room)
    }
}
