//! ICE as an exchange needs it: the lite kind (RFC 8445 section 2.5). Its address is known to everybody, so it answers checks and makes
//! none; the browser finds the way, through whatever translators and relays there are, and says which one it has chosen.

use std::collections::VecDeque;
use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use is::stun::StunMessage;
use offhook_plan::Ice;
use offhook_units::{Span, Tick};
use sha1::Sha1;

/// A path that was not checked for this long is the peer's no more (RFC 7675 section 5.1): it checks every few seconds.
pub const CONSENT_EXPIRES: Span = Span::from_ms(30_000);
/// Most sources of checks that are remembered of a peer; the oldest gives way. A handshake is taken from these alone.
pub const SOURCES_MAX: usize = 16;
/// A chosen path that was not checked for this long gives way to another that is, chosen or not: the peer's translator has given it
/// another port, and the peer does not know. Consent is asked for every 4 to 6 s (RFC 7675 section 5.1).
pub const REBOUND_AFTER: Span = Span::from_ms(7_000);
/// Checks a second that are looked at from where the peer has not been, and from where it has: whoever knows a user part makes us
/// reckon a hash for each. Those of the peer's own paths have a measure of their own, so that nobody else's use it up.
pub const CHECKS_MAX: [u32; 2] = [100, 200];
/// Room for the answer to a check.
const ANSWER_BYTES_MAX: usize = 160;

/// What became of a check.
#[derive(Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is nobody's who knows our password: no answer.
    Stranger,
    /// It is one too many in this second, and was not looked at.
    Limited,
    /// The answer to send back.
    Answer(Vec<u8>),
    /// The same; and the peer has chosen this path (RFC 8445 section 7.3.1.5).
    Chosen(Vec<u8>),
}

/// One end that answers checks.
#[derive(Debug, Default)]
pub struct Lite {
    /// Our user part and password; those before a restart are good until the new ones are used (RFC 8445 section 9).
    ours: Option<(String, String)>,
    before: Option<(String, String)>,
    /// The peer's user part, once it has told.
    theirs: Option<String>,
    sources: VecDeque<SocketAddr>,
    /// The last check came from there for the first time.
    new_source: Option<SocketAddr>,
    /// The chosen path, and when it was last checked.
    path: Option<(SocketAddr, Tick)>,
    /// Since when checks are counted, and how many there were of each kind of [`CHECKS_MAX`].
    counted: (Tick, [u32; 2]),
}

impl Lite {
    /// Takes over what both ends say.
    pub fn agree(&mut self, ours: &Ice, theirs: Option<&Ice>) {
        let now = (ours.ufrag.clone(), ours.pwd.clone());
        if self.ours.as_ref() != Some(&now) {
            self.before = self.ours.replace(now);
        }
        self.theirs = theirs.map(|ice| ice.ufrag.clone());
    }

    /// Takes a STUN message in.
    pub fn receive(&mut self, now: Tick, from: SocketAddr, datagram: &[u8]) -> Checked {
        if !self.count(now, from) {
            return Checked::Limited;
        }
        let Ok(message) = StunMessage::parse(datagram) else { return Checked::Stranger };
        if !message.is_binding_request() {
            return Checked::Stranger;
        }
        let Some((ours, theirs)) = message.split_username() else { return Checked::Stranger };
        let newest = self.ours.as_ref().filter(|(ufrag, _)| ufrag == ours);
        let known = newest.or(self.before.as_ref().filter(|(ufrag, _)| ufrag == ours));
        let Some((_, password)) = known.filter(|(_, password)| message.verify(password.as_bytes(), hmac_sha1)) else {
            return Checked::Stranger;
        };
        // RFC 8445 section 7.3: checks may come before the answer that names the peer.
        if newest.is_some() && self.theirs.as_ref().is_some_and(|said| said != theirs) {
            return Checked::Stranger;
        }
        let chosen = message.use_candidate();
        // Section 7.3.1.1: we never control; whoever thinks the same of itself has to change its mind.
        let reply = if message.ice_controlled().is_some() {
            StunMessage::binding_role_conflict_reply(message.trans_id())
        } else {
            StunMessage::binding_reply(message.trans_id(), from)
        };
        let conflict = message.ice_controlled().is_some();
        let mut bytes = vec![0; ANSWER_BYTES_MAX];
        let Ok(length) = reply.to_bytes(Some(password.as_bytes()), &mut bytes, hmac_sha1) else {
            return Checked::Stranger;
        };
        bytes.truncate(length);
        if conflict {
            return Checked::Answer(bytes);
        }
        if newest.is_some() {
            self.before = None;
        }
        self.know(from);
        match &mut self.path {
            Some((path, checked)) if *path == from => *checked = now,
            Some((_, checked)) if chosen || now.since(*checked) >= REBOUND_AFTER => self.path = Some((from, now)),
            None if chosen => self.path = Some((from, now)),
            Some(_) | None => {}
        }
        if chosen { Checked::Chosen(bytes) } else { Checked::Answer(bytes) }
    }

    /// Whether one more check from there is looked at.
    fn count(&mut self, now: Tick, from: SocketAddr) -> bool {
        if now.since(self.counted.0) >= Span::from_s(1) {
            self.counted = (now, [0; 2]);
        }
        let kind = usize::from(self.knows(from));
        self.counted.1[kind] += 1;
        self.counted.1[kind] <= CHECKS_MAX[kind]
    }

    fn know(&mut self, from: SocketAddr) {
        if !self.knows(from) {
            if self.sources.len() == SOURCES_MAX {
                self.sources.pop_front();
            }
            self.sources.push_back(from);
            self.new_source = Some(from);
        }
    }

    /// Where the last check came from, if no check had come from there before.
    pub const fn take_new_source(&mut self) -> Option<SocketAddr> {
        self.new_source.take()
    }

    /// Whether the peer has checked this path.
    pub fn knows(&self, from: SocketAddr) -> bool {
        self.sources.contains(&from)
    }

    /// Where the peer wants to be sent to; nowhere, before it has chosen or where it checks no more.
    pub fn path(&mut self, now: Tick) -> Option<SocketAddr> {
        if self.path.is_some_and(|(_, checked)| now.since(checked) >= CONSENT_EXPIRES) {
            self.path = None;
            self.sources.clear();
        }
        self.path.map(|(path, _)| path)
    }
}

/// RFC 8489 section 14.5.
pub(crate) fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(key).expect("a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use is::stun::TransId;

    use super::*;

    fn ice(ufrag: &str) -> Ice {
        let pwd = format!("{ufrag}-password-of-22-characters");
        Ice { ufrag: ufrag.to_owned(), pwd, lite: true, options: Vec::new(), candidates: Vec::new(), complete: true }
    }

    fn check(user: &str, password: &str, controlling: bool, chosen: bool) -> Vec<u8> {
        let message = StunMessage::binding_request(user, TransId::new(), controlling, 7, 100, chosen);
        let mut bytes = vec![0; 400];
        let length = message.to_bytes(Some(password.as_bytes()), &mut bytes, hmac_sha1).expect("a check");
        bytes.truncate(length);
        bytes
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_check_with_our_password_is_answered_with_its_own_address_and_may_choose_the_path() {
        let mut lite = Lite::default();
        let (now, password) = (Tick::from_us(1_000_000), "ours-password-of-22-characters");
        lite.agree(&ice("ours"), None);
        let Checked::Answer(answer) = lite.receive(now, at(1), &check("ours:them", password, true, false)) else {
            panic!("no answer")
        };
        let answer = StunMessage::parse(&answer).expect("an answer");
        assert!(answer.is_successful_binding_response() && answer.verify(password.as_bytes(), hmac_sha1));
        assert_eq!((answer.mapped_address(), lite.path(now)), (Some(at(1)), None), "checked, not chosen");
        assert!(lite.knows(at(1)) && !lite.knows(at(2)));
        let chosen = lite.receive(now, at(2), &check("ours:them", password, true, true));
        assert!(matches!(chosen, Checked::Chosen(_)));
        assert_eq!(lite.path(now), Some(at(2)));
    }

    #[test]
    fn strangers_and_what_is_no_check_get_no_answer() {
        let mut lite = Lite::default();
        let (now, password) = (Tick::from_us(1_000_000), "ours-password-of-22-characters");
        lite.agree(&ice("ours"), Some(&ice("them")));
        let good = check("ours:them", password, true, true);
        let mut changed = good.clone();
        changed[30] ^= 1;
        for (bytes, why) in [
            (check("ours:them", "another-password-of-22-chars", true, true), "another password"),
            (check("else:them", password, true, true), "another's user part"),
            (check("ours:else", password, true, true), "not the peer that answered"),
            (changed, "a bit changed"),
            (good[..good.len() - 4].to_vec(), "cut short"),
            (vec![0; 20], "no message"),
            (Vec::new(), "nothing"),
        ] {
            assert_eq!(lite.receive(now, at(1), &bytes), Checked::Stranger, "{why}");
        }
        assert!(lite.path(now).is_none() && !lite.knows(at(1)));
        assert!(matches!(lite.receive(now, at(1), &good), Checked::Chosen(_)));
    }

    #[test]
    fn whoever_thinks_that_we_control_is_told_487_and_learns_nothing_else() {
        let mut lite = Lite::default();
        let (now, password) = (Tick::from_us(1), "ours-password-of-22-characters");
        lite.agree(&ice("ours"), None);
        let Checked::Answer(answer) = lite.receive(now, at(1), &check("ours:them", password, false, true)) else {
            panic!("no answer")
        };
        let answer = StunMessage::parse(&answer).expect("an answer");
        assert_eq!(answer.error_code().map(|(code, _)| code), Some(487));
        assert!(!lite.knows(at(1)));
    }

    #[test]
    fn a_path_that_is_not_checked_for_30_s_is_given_up_and_one_from_elsewhere_takes_its_place() {
        let mut lite = Lite::default();
        let (began, password) = (Tick::from_us(1), "ours-password-of-22-characters");
        lite.agree(&ice("ours"), None);
        let later = |seconds: u64| began + Span::from_ms(seconds * 1_000);
        lite.receive(began, at(1), &check("ours:them", password, true, true));
        lite.receive(later(20), at(1), &check("ours:them", password, true, false));
        assert_eq!(lite.path(later(49)), Some(at(1)), "any check keeps it");
        lite.receive(later(49), at(2), &check("ours:them", password, true, true));
        assert_eq!(lite.path(later(78)), Some(at(2)));
        assert_eq!(lite.path(later(79)), None);
        assert!(!lite.knows(at(2)), "a handshake from there would be a stranger's");
    }

    #[test]
    fn a_restart_has_new_credentials_and_the_old_ones_are_good_until_these_are_used() {
        let mut lite = Lite::default();
        let (now, old, new) = (Tick::from_us(1), "old1-password-of-22-characters", "new1-password-of-22-characters");
        lite.agree(&ice("old1"), Some(&ice("them")));
        lite.receive(now, at(1), &check("old1:them", old, true, true));
        lite.agree(&ice("new1"), Some(&ice("anew")));
        assert!(matches!(lite.receive(now, at(1), &check("old1:them", old, true, false)), Checked::Answer(_)));
        assert!(matches!(lite.receive(now, at(3), &check("new1:anew", new, true, true)), Checked::Chosen(_)));
        assert_eq!(lite.path(now), Some(at(3)));
        assert_eq!(lite.receive(now, at(1), &check("old1:them", old, true, true)), Checked::Stranger);
    }

    #[test]
    fn a_peer_whose_port_changed_unknown_to_it_is_followed_after_7_s_and_one_that_merely_tries_another_path_is_not() {
        let mut lite = Lite::default();
        let (began, password) = (Tick::from_us(1), "ours-password-of-22-characters");
        lite.agree(&ice("ours"), None);
        let later = |ms: u64| began + Span::from_ms(ms);
        lite.receive(began, at(1), &check("ours:them", password, true, true));
        lite.receive(later(2_000), at(2), &check("ours:them", password, true, false));
        lite.receive(later(2_500), at(1), &check("ours:them", password, true, false));
        lite.receive(later(9_000), at(2), &check("ours:them", password, true, false));
        assert_eq!(lite.path(later(9_000)), Some(at(1)), "6.5 s are within what consent takes");
        lite.receive(later(9_600), at(2), &check("ours:them", "another-password-of-22-chars", true, true));
        assert_eq!(lite.path(later(9_600)), Some(at(1)), "a forged check moves nothing");
        lite.receive(later(9_600), at(2), &check("ours:them", password, true, false));
        assert_eq!(lite.path(later(9_600)), Some(at(2)));
    }

    #[test]
    fn a_forger_makes_us_look_at_100_checks_a_second_and_the_peers_own_are_answered_all_the_while() {
        let mut lite = Lite::default();
        let (now, password) = (Tick::from_us(1), "ours-password-of-22-characters");
        lite.agree(&ice("ours"), None);
        lite.receive(now, at(1), &check("ours:them", password, true, true));
        let good = check("ours:them", password, true, false);
        for port in 0..5_000 {
            let looked = lite.counted.1[0] < CHECKS_MAX[0];
            let answer = lite.receive(now, at(2_000 + port), &good);
            assert_eq!(matches!(answer, Checked::Answer(_)), looked, "even with the right password");
        }
        assert!(matches!(lite.receive(now, at(1), &good), Checked::Limited), "its address was pushed out by 16 others");
        let mut lite = Lite::default();
        lite.agree(&ice("ours"), None);
        lite.receive(now, at(1), &check("ours:them", password, true, true));
        let forged = check("ours:them", "another-password-of-22-chars", true, true);
        for port in 0..5_000 {
            let wanted = if port < CHECKS_MAX[0] as u16 - 1 { Checked::Stranger } else { Checked::Limited };
            assert_eq!(lite.receive(now, at(2_000 + port), &forged), wanted);
        }
        assert!(matches!(lite.receive(now, at(1), &good), Checked::Answer(_)));
        let later = now + Span::from_s(1);
        assert!(matches!(lite.receive(later, at(9), &good), Checked::Answer(_)), "a second later");
    }

    #[test]
    fn of_100_sources_the_last_16_are_known() {
        let mut lite = Lite::default();
        let (now, password) = (Tick::from_us(1), "ours-password-of-22-characters");
        lite.agree(&ice("ours"), None);
        for port in 1..=100_u16 {
            let now = now + Span::from_s(u64::from(port));
            lite.receive(now, at(port), &check("ours:them", password, true, false));
        }
        assert_eq!((1..=100).filter(|port| lite.knows(at(*port))).count(), SOURCES_MAX);
        assert!(lite.knows(at(100)));
    }
}
