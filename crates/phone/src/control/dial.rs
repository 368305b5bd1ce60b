//! Calls that we make, until they are answered or given up.

use core::net::SocketAddr;
use std::borrow::Cow;

use offhook_plan::Direction;
use offhook_sip::{Body, Invite, NameAddr, Uri, sdp};
use offhook_units::{Span, Tick};

use super::Control;
use crate::event::PhoneEvent;
use crate::line::{Due, Line, Stage};
use crate::phone::{Dial, local_towards};
use crate::statistics::{Bound, CallStatistics, EndedBy, MediaStatistics};

impl Control {
    pub(super) fn dial(&mut self, now: Tick, call: u32, peer: Option<SocketAddr>, dial: Dial) {
        self.dialed = Some((peer, dial.uri.clone()));
        let Dial { uri, from, headers, keys, hang_up_after, give_up_after, carrier } = dial;
        let Some(peer) = peer.or_else(|| self.server()) else {
            return self.not_dialed(call, &uri, "there is no server to ask".into());
        };
        let local = match local_towards(&self.wire.udp, peer) {
            Ok(local) => local,
            Err(error) => return self.not_dialed(call, &uri, error.to_string()),
        };
        let flow = self.flow_to(peer, local);
        let Some((engine, described)) = self.open_engine(call, flow) else {
            return self.not_dialed(call, &uri, "no ports for sound are free".into());
        };
        let offer = sdp::offer(&described, &self.config.caps, Direction::SendRecv);
        let told = match &carrier {
            None => offer.clone(),
            Some(carrier) => match carrier.offer(&offer) {
                Ok(told) => told,
                Err(error) => return self.not_dialed(call, &uri, error),
            },
        };
        let account = self.config.account.as_ref();
        let from = from.unwrap_or_else(|| {
            let address = account.map_or_else(|| self.contact(flow), |account| account.aor.clone());
            NameAddr::new(address).with_display(self.config.name.as_deref().unwrap_or_default())
        });
        let invite = Invite {
            flow,
            to: NameAddr::new(uri.clone()),
            from,
            contact: self.contact(flow),
            headers,
            body: Some(Body::sdp(told)),
            credentials: account.and_then(|account| account.credentials.clone()),
            uri: uri.clone(),
        };
        let session = match self.endpoint.invite(now, invite) {
            Ok(session) => session,
            Err(full) => return self.not_dialed(call, &uri, full.to_string()),
        };
        let due = give_up_after.map(|after| (now + after, Due::GiveUp)).into_iter().collect();
        let number = uri.user_decoded().map_or_else(|| uri.host.clone(), Cow::into_owned);
        let line = Line {
            call,
            session,
            flow,
            bound: Bound::Out,
            stage: Stage::Calling,
            engine,
            local: described,
            our_offer: Some(offer),
            their_offer: None,
            negotiated: None,
            carrier,
            carried: None,
            muted: false,
            held_by_us: false,
            hold_next: None,
            held_by_peer: false,
            number,
            name: None,
            queue: None,
            began: now,
            answered: None,
            ended: None,
            ended_by: None,
            status: None,
            reason: None,
            keys,
            hang_up_after,
            due,
        };
        self.lines.insert(call, line);
        self.by_session.insert(session, call);
        self.say(PhoneEvent::Dialing { call, uri: uri.to_string() });
    }

    /// A call that never left this phone ends like any other.
    pub(super) fn not_dialed(&self, call: u32, uri: &Uri, why: String) {
        let statistics = CallStatistics {
            call,
            bound: Bound::Out,
            number: uri.user_decoded().map_or_else(|| uri.host.clone(), Cow::into_owned),
            name: None,
            queue: None,
            answered: false,
            ended_by: EndedBy::Us,
            status: None,
            reason: Some(why),
            setup_ms: None,
            duration_ms: 0.0,
            codec: None,
            media: MediaStatistics::default(),
        };
        self.say(PhoneEvent::Ended { statistics: Box::new(statistics) });
    }

    pub(super) fn give_up(&mut self, now: Tick, call: u32) {
        if let Some(line) = self.lines.get_mut(&call).filter(|line| line.stage == Stage::Calling) {
            let waited = Span::from_ms(now.since(line.began).as_ms());
            line.reason = Some(format!("not answered within {waited}"));
            self.hang_up(now, call);
        }
    }

    /// The peer says nothing at all: the call is over for us. The endpoint goes on to cancel it if ever an answer comes.
    pub(super) fn abandon(&mut self, now: Tick, call: u32) {
        if let Some(session) = self.lines.get(&call).map(|line| line.session) {
            self.over(now, session, EndedBy::Us, None);
        }
    }
}
