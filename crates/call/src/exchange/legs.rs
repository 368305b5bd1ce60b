//! Making legs: ports, numbers of the media stream, SDP, our own addresses.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use offhook_plan::{CodecKind, Direction, MediaCaps};
use offhook_sip::sdp::{Srtp, SrtpPolicy};
use offhook_sip::{Body, Flow, NameAddr, SessionId, Transport, Uri, sdp};
use offhook_units::{AgentId, CallId, LegId, PlayerId, Tick};

use super::state::{Leg, OpenLeg, Playing, Presented, Whose};
use super::{Exchange, Output};
use crate::config::Reach;
use crate::event::Party;

impl Exchange {
    /// A leg towards `flow`'s peer with ports of ours, or nothing where all are taken. The session is settled by the caller.
    /// `srtp` is what the peer's trunk or account says of encryption, where it says anything.
    pub(super) fn make_leg(&mut self, now: Tick, flow: Flow, srtp: Option<SrtpPolicy>) -> Option<Leg> {
        let port = self.ports.take(now)?;
        let may_tell_keys = flow.transport.is_secure() || self.config.srtp.keys_in_clear;
        let srtp = Srtp::new(srtp.unwrap_or(self.config.srtp.policy), may_tell_keys, &mut self.entropy);
        Some(Leg {
            id: LegId(self.ids.next()),
            session: SessionId(0),
            flow,
            trunk: None,
            address: self.config.advertise.unwrap_or(flow.local.ip()),
            port,
            ssrc: self.entropy.next_u32(),
            first_seq: (self.entropy.next_u32() >> 17) as u16,
            first_timestamp: self.entropy.next_u32(),
            moved: false,
            sdp_id: self.entropy.next_u64() >> 2,
            sdp_version: 1,
            answer: None,
            described: None,
            offered: None,
            negotiated: None,
            srtp,
            dtls: None,
            digits: super::digits::Digits::default(),
        })
    }

    /// The same for a peer that we call: nothing too where its media must be encrypted and its keys must not be told.
    pub(super) fn make_leg_out(&mut self, now: Tick, flow: Flow, srtp: Option<SrtpPolicy>) -> Option<Leg> {
        let mut leg = self.make_leg(now, flow, srtp)?;
        self.key_as_reached(&mut leg);
        if leg.srtp.policy == SrtpPolicy::Required && leg.srtp.keys.is_none() && leg.dtls.is_none() {
            self.ports.give_back(now, leg.port);
            return None;
        }
        Some(leg)
    }

    /// Remembers that the worker will open this leg's ports.
    pub(super) fn open_leg(&mut self, call: CallId, leg: LegId, port: u16, party: Option<Party>, whose: Option<Whose>) {
        if let Some(call) = self.calls.get_mut(&call) {
            let (silent, grades, level, quiet, told) = Default::default();
            call.open_legs.insert(leg, OpenLeg { port, party, whose, silent, grades, level, quiet, told });
        }
    }

    /// Tells whoever looks at messages that a session belongs to a call.
    pub(super) fn show_leg(&mut self, call: CallId, session: SessionId, kind: &str, who: &str) {
        if let Some(call_id) = self.endpoint.call_id(session).map(str::to_owned) {
            self.outputs.push_back(Output::Leg { call, call_id, name: format!("{kind} {who}") });
        }
    }

    /// As [`Self::show_leg`], for whoever is at the other end of a call: an agent, a trunk, or a phone by itself.
    pub(super) fn show_phone(
        &mut self,
        call: CallId,
        session: SessionId,
        agent: Option<AgentId>,
        trunk: Option<usize>,
    ) {
        let agent = agent.and_then(|agent| self.agent(agent)).map(|agent| ("agent", agent.acd.name.clone()));
        let named = agent.or_else(|| Some(("trunk", self.config.trunks[trunk?].name.clone())));
        let (kind, who) = named.unwrap_or_else(|| ("phone", "called by number".to_owned()));
        self.show_leg(call, session, kind, &who);
    }

    /// What a trunk says of encryption.
    pub(super) fn trunk_srtp(&self, trunk: usize) -> Option<SrtpPolicy> {
        self.config.trunks.get(trunk)?.srtp
    }

    /// What the account of this name says of encryption.
    pub(super) fn account_srtp(&self, account: &str) -> Option<SrtpPolicy> {
        self.config.accounts.get(account)?.srtp
    }

    /// What an agent's phone wants of encryption, where it has an account that says so.
    pub(super) fn agent_srtp(&self, agent: AgentId) -> Option<SrtpPolicy> {
        match &self.agent(agent)?.reach {
            Reach::Account(account) => self.account_srtp(account),
            Reach::Static { .. } => None,
        }
    }

    pub(super) fn playing(&mut self, assets: Vec<offhook_plan::AssetId>) -> Playing {
        Playing { player: PlayerId(self.ids.next()), assets }
    }

    /// Our Contact towards the peer of `flow`.
    pub(super) fn contact(&self, flow: Flow) -> Uri {
        flow.contact(Some("offhook"), self.config.advertise)
    }

    /// Who we say is calling: the caller's number at our host, with the queue's name behind the caller's own.
    pub(super) fn presented(&self, from: &Presented, queue: Option<&str>, flow: Flow) -> NameAddr {
        let display = match (from.display.as_deref(), queue) {
            (Some(name), Some(queue)) => Some(format!("{name} ({queue})")),
            (None, Some(queue)) => Some(format!("{} ({queue})", from.user)),
            (Some(name), None) => Some(name.to_owned()),
            (None, None) => None,
        };
        let host = host_text(self.config.advertise.unwrap_or(flow.local.ip()));
        let mut uri: Uri = format!("sip:{host}").parse().expect("an address makes a host");
        uri.user = Some(escape_user(&from.user));
        NameAddr { display, uri, params: offhook_sip::Params::default() }
    }

    /// Our capabilities towards whoever calls, over a trunk or by the phone of an account. A caller's leg may be recorded, and
    /// Opus and L16 have to be turned for that (docs/decisions/0114): they are agreed on with whoever has nothing else.
    pub(super) fn caps_of_caller(&self, trunk: Option<usize>, account: Option<&str>) -> MediaCaps {
        let mut caps = account.map_or_else(|| self.caps_of(trunk), |account| self.caps_of_account(account));
        caps.codecs.sort_by_key(|cap| !cap.kind.is_recorded());
        caps
    }

    /// Of `caps`, those towards the far end of a trunk that a call of ours leads to: where it may be recorded there, what a recording
    /// holds as it comes.
    pub(super) fn caps_outside(&self, id: CallId, trunk: Option<usize>, mut caps: MediaCaps) -> MediaCaps {
        let call = self.calls.get(&id).filter(|_| trunk.is_some());
        if call.is_some_and(|call| self.may_record_outside(call)) {
            keep_recorded(&mut caps);
        }
        caps
    }

    /// Our capabilities towards the phone of an account.
    pub(super) fn caps_of_account(&self, account: &str) -> MediaCaps {
        self.caps_in(self.config.accounts.get(account).map_or(&[][..], |own| &own.codecs))
    }

    /// Our capabilities towards the far end of a leg that is up, what it has now in front.
    pub(super) fn caps_within(&self, id: CallId, session: SessionId) -> MediaCaps {
        let Some(call) = self.calls.get(&id) else { return self.config.caps.clone() };
        let now = |leg: &Leg| leg.negotiated.as_ref().map(|agreed| agreed.codec);
        let (mut caps, codec) = if call.caller.session == session {
            let mut caps = self.caps_of_caller(call.caller.trunk, call.caller_account.as_deref());
            let codec = now(&call.caller);
            if codec.is_none_or(CodecKind::is_recorded) {
                keep_recorded(&mut caps);
            }
            (caps, codec)
        } else {
            let (leg, agent) = call.far_ends().find(|(leg, _)| leg.session == session).unzip();
            let trunk = leg.and_then(|leg| leg.trunk);
            let caps = match agent.flatten() {
                Some(agent) => self.caps_of_agent(agent, None),
                None => self.caps_outside(id, trunk, self.caps_of(trunk)),
            };
            (caps, leg.and_then(now))
        };
        caps.codecs.sort_by_key(|cap| Some(cap.kind) != codec);
        caps
    }

    /// Our capabilities towards an agent's phone: as its account says, or with the codec `first` of whoever it is to talk to in front.
    pub(super) fn caps_of_agent(&self, agent: AgentId, first: Option<CodecKind>) -> MediaCaps {
        let account = self.agent(agent).and_then(|agent| match &agent.reach {
            Reach::Account(account) => self.config.accounts.get(account),
            Reach::Static { .. } => None,
        });
        match account.map(|account| &account.codecs).filter(|codecs| !codecs.is_empty()) {
            Some(codecs) => self.caps_in(codecs),
            None => self.caps_preferring(None, first),
        }
    }

    /// Our capabilities towards a trunk, or a phone, with `first` in front, so that two legs meet on one codec where they can.
    pub(super) fn caps_preferring(&self, trunk: Option<usize>, first: Option<CodecKind>) -> MediaCaps {
        let mut caps = self.caps_of(trunk);
        if let Some(first) = first {
            caps.codecs.sort_by_key(|cap| cap.kind != first);
        }
        caps
    }
}

impl Leg {
    pub fn local(&self) -> sdp::Local {
        sdp::Local {
            address: self.address,
            port: self.port,
            session_id: self.sdp_id,
            version: self.sdp_version,
            srtp: self.srtp,
        }
    }

    /// What our next offer wants of encryption: what is encrypted stays so.
    pub fn srtp_now(&self) -> SrtpPolicy {
        let encrypted = self.negotiated.as_ref().is_some_and(|agreed| agreed.crypto.is_some());
        if encrypted { SrtpPolicy::Required } else { self.srtp.policy }
    }

    /// Where the worker binds.
    pub fn bind(&self) -> SocketAddr {
        SocketAddr::new(self.flow.local.ip(), self.port)
    }

    /// A new offer of ours; the answer is read against it.
    pub fn offer(&mut self, caps: &MediaCaps) -> Body {
        let local = sdp::Local { srtp: Srtp { policy: self.srtp_now(), ..self.srtp }, ..self.local() };
        let dtls = self.dtls.clone();
        let offer = |local: &sdp::Local| match &dtls {
            Some(ours) => sdp::offer_by_dtls(local, ours, caps, Direction::SendRecv),
            None => sdp::offer(local, caps, Direction::SendRecv),
        };
        let mut text = offer(&local);
        if self.is_new(&text) {
            text = offer(&sdp::Local { version: self.sdp_version, ..local });
        }
        self.described = Some(text.clone());
        self.offered = Some(text.clone());
        Body::sdp(text)
    }

    /// What we have said of this leg before its answer: our answer, or our offer.
    pub fn described(&self) -> Option<Body> {
        self.answer.as_ref().or(self.offered.as_ref()).cloned().map(Body::sdp)
    }

    /// Reads the final answer to our offer. There is none where the peer has put an offer of its own in its place.
    /// The place of a customer who is not called yet: it has no ports and stands in no plan.
    pub fn absent() -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Self {
            id: LegId(0),
            session: SessionId(0),
            flow: Flow { transport: Transport::Udp, local: nowhere, peer: nowhere },
            trunk: None,
            address: nowhere.ip(),
            port: 0,
            ssrc: 0,
            first_seq: 0,
            first_timestamp: 0,
            moved: false,
            sdp_id: 0,
            sdp_version: 1,
            answer: None,
            described: None,
            offered: None,
            negotiated: None,
            srtp: Srtp::OFF,
            dtls: None,
            digits: super::digits::Digits::default(),
        }
    }

    /// Whether it is [`Leg::absent`].
    pub const fn is_absent(&self) -> bool {
        self.port == 0
    }

    pub fn settle(&mut self, body: Option<&Body>, caps: &MediaCaps) -> bool {
        match body {
            Some(body) => self.accept(body, caps).is_ok(),
            None => self.offered.is_none() && self.negotiated.is_some(),
        }
    }

    /// Our answer to an offer, which is agreed on with it.
    pub fn answer(&mut self, offer: &[u8], caps: &MediaCaps) -> Result<Body, sdp::SdpError> {
        let dtls = self.dtls.clone();
        let answer = |local: &sdp::Local| match &dtls {
            Some(ours) => sdp::answer_by_dtls(offer, local, ours, caps, Direction::SendRecv),
            None => sdp::answer(offer, local, caps, Direction::SendRecv),
        };
        let (mut text, agreed) = answer(&self.local())?;
        if dtls.is_some() && agreed.dtls.is_none() {
            // Its ports wait for a handshake, and what is encrypted stays so.
            return Err(sdp::SdpError::Plain);
        }
        if self.is_new(&text) {
            (text, _) = answer(&self.local())?;
        }
        self.described = Some(text.clone());
        self.negotiated = Some(agreed);
        Ok(Body::sdp(text))
    }

    /// Whether a description under the present version says something else than the one that had it; then it gets the next
    /// version (RFC 3264 section 8).
    fn is_new(&mut self, text: &str) -> bool {
        let is_new = self.described.as_ref().is_some_and(|described| described != text);
        self.sdp_version += u64::from(is_new);
        is_new
    }

    /// Reads an answer that came before the final one, as early media's; the final one is read in its place.
    pub fn preview(&mut self, body: &Body, caps: &MediaCaps) -> Result<(), sdp::SdpError> {
        if let Some(offer) = &self.offered {
            self.negotiated = Some(sdp::accept(offer, &body.bytes, caps)?);
        }
        Ok(())
    }

    /// Reads the answer to our open offer. A body that comes without an open offer changes nothing.
    pub fn accept(&mut self, body: &Body, caps: &MediaCaps) -> Result<(), sdp::SdpError> {
        if let Some(offer) = self.offered.take() {
            match sdp::accept(&offer, &body.bytes, caps) {
                Ok(agreed) => self.negotiated = Some(agreed),
                Err(error) => {
                    self.offered = Some(offer);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// An address as a URI's host: IPv6 in brackets.
fn host_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Percent-escapes what may not stand in a user part (RFC 3261 section 25.1, `user`).
pub(super) fn escape_user(user: &str) -> String {
    let mut out = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            out.push(byte as char);
        } else {
            let digits = b"0123456789ABCDEF";
            out.push('%');
            out.push(digits[usize::from(byte >> 4)] as char);
            out.push(digits[usize::from(byte & 15)] as char);
        }
    }
    out
}

/// Leaves what a recording holds as it comes, where there is any of it.
pub(super) fn keep_recorded(caps: &mut MediaCaps) {
    if caps.codecs.iter().any(|cap| cap.kind.is_recorded()) {
        caps.codecs.retain(|cap| cap.kind.is_recorded());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_part_is_escaped_where_the_grammar_asks() {
        assert_eq!(escape_user("+4930"), "+4930");
        assert_eq!(escape_user("a b@c"), "a%20b%40c");
    }

    #[test]
    fn an_ipv6_host_stands_in_brackets() {
        assert_eq!(host_text("::1".parse().expect("an address")), "[::1]");
    }
}
