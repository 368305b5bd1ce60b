//! Legs of browsers: their keys come by DTLS, and they are found by ICE (docs/decisions/0087).

use core::net::{IpAddr, SocketAddr};
use std::borrow::Cow;

use offhook_plan::{Candidate, CandidateHost, CandidateKind, CandidateTransport, Dtls, Ice, Setup};
use offhook_sip::sdp::{self, SrtpPolicy};
use offhook_sip::{Flow, Request, Response, Transport};
use offhook_units::{CallId, LegId, Tick};

use super::Exchange;
use super::state::Leg;
use crate::event::Missed;
use crate::record::CallEnd;

/// Of our first candidate: RFC 8445 section 5.1.2.1, with the highest local preference.
const PRIORITY: u32 = (126 << 24) | (65_535 << 8) | 255;

/// In which a phone in a page is told of relays, as an `RTCIceServer` in JSON.
const RELAY_HEADER: &str = "X-Offhook-Turn";

/// Whether whoever is there speaks like a browser: nobody else comes over WebSocket (RFC 7118).
const fn is_browser(flow: Flow) -> bool {
    match flow.transport {
        Transport::Ws | Transport::Wss => true,
        Transport::Udp | Transport::Tcp | Transport::Tls => false,
    }
}

impl Exchange {
    /// The keys of a new leg come by DTLS, where its peer asks for that in its offer, or would in place of one.
    pub(super) fn key_as_offered(&mut self, leg: &mut Leg, offer: Option<&[u8]>) {
        let asks = offer.map_or_else(|| is_browser(leg.flow), sdp::asks_for_dtls);
        if asks {
            // Who says where it is, and checks no path, is found by its own port alone.
            self.key_by_dtls(leg, offer.is_none_or(|offer| sdp::ufrag_of(offer).is_some()));
        }
    }

    /// The same for a leg that we call.
    pub(super) fn key_as_reached(&mut self, leg: &mut Leg) {
        if is_browser(leg.flow) {
            self.key_by_dtls(leg, true);
        }
    }

    fn key_by_dtls(&mut self, leg: &mut Leg, checks: bool) {
        let Some(fingerprint) = self.config.dtls.clone().filter(|_| leg.srtp.policy != SrtpPolicy::Off) else { return };
        if let (Some(port), true) = (self.config.browser_port, checks) {
            self.ports.put_back(core::mem::replace(&mut leg.port, port));
        }
        let (ufrag, pwd) = self.ice_credentials();
        // Where the browser comes from first; RFC 8421 section 4.
        let of_other_family = |address: &&IpAddr| address.is_ipv4() != leg.address.is_ipv4();
        let shares = self.config.browser_port == Some(leg.port);
        let other = self.config.browser_addresses.iter().find(of_other_family).filter(|_| shares);
        let candidate = |(n, address): (u32, IpAddr)| Candidate {
            foundation: (n + 1).to_string(),
            component: 1,
            transport: CandidateTransport::Udp,
            priority: PRIORITY - (n << 8),
            host: CandidateHost::Address(address),
            port: leg.port,
            kind: CandidateKind::Host,
            related: None::<SocketAddr>,
        };
        let addresses = core::iter::once(leg.address).chain(other.copied());
        let candidates = (0..).zip(addresses).map(candidate).collect();
        let ice = Ice { ufrag, pwd, lite: true, options: Vec::new(), candidates, complete: true };
        // The browser begins: it has found the way by then, and a server that is called first answers nobody else.
        leg.dtls = Some(Box::new(Dtls { fingerprints: vec![fingerprint], setup: Setup::Passive, ice: Some(ice) }));
    }

    /// A phone in a page that has registered is told of relays: it alone gets credentials, and new ones with each refresh.
    pub(super) fn tell_relay(&self, now: Tick, flow: Flow, request: &Request, response: &mut Response) {
        let Some(turn) = self.config.turn.as_ref().filter(|_| is_browser(flow)) else { return };
        let account = request.headers.to().ok().and_then(|to| to.uri.user_decoded().map(Cow::into_owned));
        if let Some(relay) = account.map(|account| turn.relay(now, &account))
            && let Ok(json) = serde_json::to_string(&relay)
        {
            response.headers.push(RELAY_HEADER, &json);
        }
    }

    /// A user part and a password of checks: 64 and 128 bits of chance, RFC 8445 section 5.3.
    pub(super) fn ice_credentials(&mut self) -> (String, String) {
        let mut word = || format!("{:016x}", self.entropy.next_u64());
        (word(), word() + &word())
    }

    /// A leg's keys could not be agreed on: nobody will hear a word there. As if the phone had not answered, or was gone: a caller who
    /// talked with an agent waits again.
    pub(super) fn handshake_failed(&mut self, now: Tick, id: CallId, leg: LegId) {
        let Some(call) = self.calls.get(&id) else { return };
        let offer = call.ringing.iter().find(|(_, rings)| rings.leg.id == leg).map(|(offer, _)| *offer);
        if let Some(offer) = offer {
            self.stop_ringing(now, offer, Missed::NoAnswer);
            // The distributor may have withdrawn it in this very moment.
            let _gone = self.tell(now, offhook_acd::Command::NoAnswer { offer });
        } else if !self.guest_leg_failed(now, id, leg)
            && !self.target_leg_failed(now, id, leg)
            && !self.agent_is_unheard(now, id, leg)
        {
            self.end_call_with(now, id, CallEnd::Failed, 488);
        }
    }
}

impl Leg {
    /// A peer that checks paths anew (RFC 8839 section 4.4.1.1.1) is answered by one who does, too: with `fresh` credentials.
    pub fn restart_as_offered(&mut self, offer: &[u8], fresh: (String, String)) {
        let known = self.negotiated.as_ref().and_then(|agreed| agreed.dtls.as_ref()?.ice.as_ref());
        let restarts = known.zip(sdp::ufrag_of(offer)).is_some_and(|(known, offered)| known.ufrag != offered);
        if let (true, Some(ice)) = (restarts, self.dtls.as_mut().and_then(|dtls| dtls.ice.as_mut())) {
            (ice.ufrag, ice.pwd) = fresh;
        }
    }
}
