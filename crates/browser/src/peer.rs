//! One browser's leg: its checks, its handshake, and the keys of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Dtls as Association, KeyingMaterial, Output, SrtpProfile};
use offhook_media::{Deed, HANDSHAKE_BYTES_MAX, Transport};
use offhook_plan::{Crypto, Dtls, Setup};
use offhook_units::{CryptoSuite, MasterKey, Span, Tick};

use crate::Identity;
use crate::ice::{Checked, Lite};
use crate::identity::fits;

/// A peer that has answered and is not through with its handshake by then never will be: no way between the two lets packets through.
pub const HANDSHAKE_WITHIN: Span = Span::from_ms(15_000);
/// Handshakes that may fail before the leg does: whoever can send from the peer's address can spoil one, and the peer begins anew.
const ATTEMPTS_MAX: u32 = 4;
/// Most datagrams and deeds that wait to be taken.
const WAITING_MAX: usize = 64;

/// A leg's handshake, and where it stands.
pub struct Peer {
    identity: Arc<Identity>,
    /// An instant and the tick that it was at: handshakes count in instants.
    epoch: (Instant, Tick),
    now: Tick,
    ice: Lite,
    /// Whether the peer is found by ICE; otherwise it is where it says.
    by_ice: bool,
    theirs: Option<(Dtls, SocketAddr)>,
    /// Since when it is known what the peer says.
    answered: Option<Tick>,
    association: Option<Box<Association>>,
    /// Where the handshake comes from, and where its flights go.
    partner: Option<SocketAddr>,
    /// The peer's certificate, in DER.
    shown: Option<Vec<u8>>,
    /// The keys, until it is known that the certificate is the peer's.
    made: Option<Crypto>,
    keyed: bool,
    attempts: u32,
    failed: bool,
    told_path: Option<SocketAddr>,
    waiting: VecDeque<Todo>,
}

enum Todo {
    Send(SocketAddr, Vec<u8>),
    Deed(Deed),
}

impl Peer {
    /// A leg of which nothing is known yet.
    pub fn new(identity: Arc<Identity>, now: Tick) -> Self {
        Self {
            identity,
            epoch: (Instant::now(), now),
            now,
            ice: Lite::default(),
            by_ice: true,
            theirs: None,
            answered: None,
            association: None,
            partner: None,
            shown: None,
            made: None,
            keyed: false,
            attempts: 0,
            failed: false,
            told_path: None,
            waiting: VecDeque::new(),
        }
    }

    fn instant(&self) -> Instant {
        self.epoch.0 + Duration::from_micros(self.now.since(self.epoch.1).as_us())
    }

    fn push(&mut self, todo: Todo) {
        // A peer that makes us say more than anybody takes has no claim to all of it.
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(todo);
        }
    }

    fn fail(&mut self, error: String) {
        if !core::mem::replace(&mut self.failed, true) {
            self.association = None;
            self.waiting.clear();
            self.push(Todo::Deed(Deed::Failed(error)));
        }
    }

    /// We begin the handshake where the peer waits for it, as soon as it is known where it is.
    fn begin(&mut self) {
        let waits = self.theirs.as_ref().is_some_and(|(theirs, _)| theirs.setup == Setup::Passive);
        if !waits || self.association.is_some() || self.keyed || self.failed || self.partner.is_none() {
            return;
        }
        let mut association = self.association();
        association.set_active(true);
        self.association = Some(association);
        self.turn_association();
    }

    fn association(&self) -> Box<Association> {
        let Identity { certificate, config, .. } = &*self.identity;
        Box::new(Association::new_auto(config.clone(), certificate.clone(), self.instant()))
    }

    /// Takes a record in.
    fn shake(&mut self, from: SocketAddr, datagram: &[u8]) {
        // Without checks whoever begins the handshake is the peer, until it comes to nothing.
        let elsewhere = self.association.is_some() && self.partner != Some(from);
        if self.failed || if self.by_ice { !self.ice.knows(from) } else { elsewhere } {
            return;
        }
        self.partner = Some(from);
        if self.association.is_none() && !self.keyed {
            self.association = Some(self.association());
        }
        let now = self.instant();
        let Some(association) = &mut self.association else { return };
        let taken = association.handle_timeout(now).and_then(|()| association.handle_packet(datagram));
        match taken {
            Ok(()) => self.drain(),
            Err(error) => self.spoilt(&error),
        }
    }

    fn turn_association(&mut self) {
        let now = self.instant();
        let Some(association) = &mut self.association else { return };
        match association.handle_timeout(now) {
            Ok(()) => self.drain(),
            Err(error) => self.spoilt(&error),
        }
    }

    /// A handshake came to nothing. Once the keys are there it is not needed any more.
    fn spoilt(&mut self, error: &dimpl::Error) {
        self.association = None;
        if self.keyed {
            return;
        }
        self.shown = None;
        self.made = None;
        self.attempts += 1;
        if self.attempts >= ATTEMPTS_MAX {
            self.fail(format!("the DTLS handshake with the peer failed {ATTEMPTS_MAX} times, last by: {error}"));
        } else {
            self.begin();
        }
    }

    fn drain(&mut self) {
        let mut room = [0; HANDSHAKE_BYTES_MAX];
        loop {
            let Some(association) = &mut self.association else { return };
            let is_client = association.is_active();
            match association.poll_output(&mut room) {
                Output::Packet(bytes) => {
                    let bytes = bytes.to_vec();
                    if let Some(to) = self.partner {
                        self.push(Todo::Send(to, bytes));
                    }
                }
                Output::PeerCert(der) => self.shown = Some(der.to_vec()),
                Output::KeyingMaterial(material, profile) => self.made = keys(&material, profile, is_client),
                Output::Timeout(_) | Output::BufferTooSmall { .. } => break,
                // That it is connected is told by the keys; data and their end are nobody's here, and the enumeration may grow.
                _ => {}
            }
        }
        self.conclude();
    }

    /// Gives the keys out once the certificate is known to be the peer's (RFC 5763 section 5).
    fn conclude(&mut self) {
        let (Some((theirs, _)), Some(der)) = (&self.theirs, &self.shown) else { return };
        if self.made.is_none() {
            return;
        }
        if !fits(&theirs.fingerprints, der) {
            self.fail("the peer's certificate is not the one that its description names".to_owned());
            return;
        }
        if let Some(keys) = self.made.take() {
            self.keyed = true;
            if !self.by_ice {
                self.told_path = self.partner;
                self.push(Todo::Deed(Deed::Path(self.partner)));
            }
            self.push(Todo::Deed(Deed::Keys(Box::new(keys))));
        }
    }

    /// Tells where speech goes, when that has changed.
    fn look_at_path(&mut self) {
        if !self.by_ice {
            return;
        }
        let path = self.ice.path(self.now);
        if path != self.told_path {
            self.told_path = path;
            self.push(Todo::Deed(Deed::Path(path)));
        }
        if let Some(path) = path {
            self.partner = Some(path);
            self.begin();
        }
    }
}

impl Transport for Peer {
    fn agree(&mut self, now: Tick, ours: &Dtls, peer: Option<(&Dtls, SocketAddr)>) {
        self.now = now;
        let said = |theirs: &Option<(Dtls, SocketAddr)>| theirs.as_ref().map(|(dtls, _)| dtls.fingerprints.clone());
        let before = said(&self.theirs);
        self.theirs = peer.map(|(dtls, address)| (dtls.clone(), address)).or(self.theirs.take());
        if before.is_some() && before != said(&self.theirs) {
            // RFC 8842 section 3.1: another certificate is another association. Until its keys are there the old ones go on.
            (self.association, self.shown, self.made, self.keyed, self.attempts) = (None, None, None, false, 0);
            self.answered = None;
        }
        let their_ice = self.theirs.as_ref().map(|(dtls, _)| dtls.ice.as_ref());
        self.by_ice = ours.ice.is_some() && their_ice.is_none_or(|ice| ice.is_some());
        if let Some(ice) = &ours.ice {
            self.ice.agree(ice, their_ice.flatten());
        }
        if self.theirs.is_some() {
            self.answered.get_or_insert(now);
        }
        if let (false, None, Some((_, address))) = (self.by_ice, self.partner, &self.theirs) {
            self.partner = (!address.ip().is_unspecified() && address.port() != 0).then_some(*address);
        }
        self.conclude();
        self.begin();
    }

    fn receive(&mut self, now: Tick, from: SocketAddr, datagram: &[u8]) {
        self.now = now;
        // RFC 7983 section 7.
        match datagram.first() {
            Some(0..=3) => {
                match self.ice.receive(now, from, datagram) {
                    Checked::Answer(answer) | Checked::Chosen(answer) => {
                        // Before the answer: what the peer sends upon it is known then.
                        if let Some(source) = self.ice.take_new_source() {
                            self.push(Todo::Deed(Deed::Source(source)));
                        }
                        self.push(Todo::Send(from, answer));
                        self.look_at_path();
                    }
                    Checked::Limited => self.push(Todo::Deed(Deed::Limited)),
                    Checked::Stranger => {}
                }
            }
            Some(20..=63) => self.shake(from, datagram),
            _ => {}
        }
    }

    fn turn(&mut self, now: Tick) {
        self.now = now;
        self.look_at_path();
        self.turn_association();
        let late = self.answered.is_some_and(|answered| now.since(answered) >= HANDSHAKE_WITHIN);
        if late && !self.keyed {
            let why = if self.partner.is_none() { "no check of a path came" } else { "the DTLS handshake did not end" };
            self.fail(format!("{why} within {} s of the peer's answer", HANDSHAKE_WITHIN.as_ms() / 1_000));
        }
    }

    fn poll(&mut self, room: &mut [u8; HANDSHAKE_BYTES_MAX]) -> Option<Deed> {
        match self.waiting.pop_front()? {
            Todo::Deed(deed) => Some(deed),
            Todo::Send(to, bytes) => {
                // What we make fits: answers to checks are short, and records are cut to the MTU.
                room.get_mut(..bytes.len())?.copy_from_slice(&bytes);
                Some(Deed::Send { to, length: bytes.len() })
            }
        }
    }
}

/// The keys of both directions, RFC 5764 section 4.2: the client's key, the server's, the client's salt, the server's.
fn keys(material: &KeyingMaterial, profile: SrtpProfile, is_client: bool) -> Option<Crypto> {
    let suite = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => CryptoSuite::AesCm128HmacSha1_80,
        SrtpProfile::AEAD_AES_128_GCM => CryptoSuite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => CryptoSuite::AeadAes256Gcm,
        _ => return None,
    };
    let (key, salt) = (suite.key_bytes(), suite.salt_bytes());
    if material.len() < 2 * (key + salt) {
        return None;
    }
    let (keys, salts) = material.split_at(2 * key);
    let of = |n: usize| MasterKey::new(suite, &[&keys[n * key..][..key], &salts[n * salt..][..salt]].concat());
    let (client, server) = (of(0)?, of(1)?);
    let (send, receive) = if is_client { (client, server) } else { (server, client) };
    Some(Crypto { send, receive })
}
