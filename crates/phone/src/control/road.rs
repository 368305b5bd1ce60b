//! The way to our server: registered there, kept open, followed when our address changes, and led to the next server when this one is
//! gone. Calls that are up go on meanwhile.

use core::net::SocketAddr;

use offhook_net::sip::route_to;
use offhook_sip::{Body, Flow, NameAddr, Register, RegistrationId, Transport, Uri, reason_phrase, sdp};
use offhook_units::{Span, Tick};

use super::Control;
use super::media::wish;
use crate::engine::{Order, open_pair};
use crate::event::PhoneEvent;
use crate::line::Stage;

/// How often it is looked whether our address is still ours.
const LOOK_EVERY: Span = Span::from_ms(500);
/// How long a server may take to answer a REGISTER before the next one is asked, where there is a next one.
const ANSWER_WITHIN: Span = Span::from_s(4);

/// Where we stand with our servers.
#[derive(Debug, Default)]
pub(super) struct Road {
    pub registration: Option<RegistrationId>,
    /// Our server holds our registration, as far as we know.
    registered: bool,
    /// Which of the account's servers is ours now.
    server: usize,
    /// Servers in a row that failed.
    failed: usize,
    /// Until when the answer to a REGISTER is waited for.
    answer_by: Option<Tick>,
    look_at: Option<Tick>,
    /// There was no way to the server when it was last looked for.
    cut_off: bool,
}

impl Road {
    pub fn due(&self) -> Option<Tick> {
        [self.answer_by, self.look_at].into_iter().flatten().min()
    }
}

impl Control {
    /// Our server, where we have one.
    pub(super) fn server(&self) -> Option<SocketAddr> {
        self.config.account.as_ref()?.servers().nth(self.road.server)
    }

    /// Whether a message comes from a server of ours, where we have one.
    pub(super) fn is_ours(&self, flow: Flow) -> bool {
        self.config.account.as_ref().is_none_or(|account| account.servers().any(|server| server == flow.peer))
    }

    /// Over what `peer` is reached: a server as the account says, anybody else by datagrams.
    pub(super) fn flow_to(&self, peer: SocketAddr, local: SocketAddr) -> Flow {
        let account = self.config.account.as_ref().filter(|account| account.servers().any(|server| server == peer));
        Flow { transport: account.map_or(Transport::Udp, |account| account.transport), local, peer }
    }

    /// Where requests reach us.
    pub(super) fn contact(&self, flow: Flow) -> Uri {
        let user = self.config.account.as_ref().and_then(|account| account.aor.user_decoded());
        flow.contact(Some(user.as_deref().unwrap_or("offhook")), None)
    }

    pub(super) fn register(&mut self) {
        let now = self.now();
        if self.config.account.is_some() && self.config.listen.ip().is_unspecified() {
            self.road.look_at = Some(now + LOOK_EVERY);
        }
        let Some(account) = self.config.account.clone().filter(|_| self.config.register) else { return };
        let aor = NameAddr::new(account.aor.clone()).with_display(self.config.name.as_deref().unwrap_or_default());
        let flow = self.flow_to(account.server, self.local);
        let register = Register {
            flow,
            registrar: Uri::sip(None, &account.aor.host, account.aor.port),
            aor,
            contact: self.contact(flow),
            expires: account.expires,
            credentials: account.credentials,
        };
        self.road.registration = Some(self.endpoint.register(now, register));
        self.wait_for_answer(now);
    }

    fn wait_for_answer(&mut self, now: Tick) {
        let has_more = self.config.account.as_ref().is_some_and(|account| !account.others.is_empty());
        self.road.answer_by = has_more.then_some(now + ANSWER_WITHIN);
    }

    /// What is due on the road.
    pub(super) fn look_along_the_road(&mut self, now: Tick) {
        if let Some(bytes) = self.keep_alive.take_due(now, &mut self.entropy)
            && let Some(server) = self.server()
            && self.flow_to(server, self.local).transport == Transport::Udp
        {
            self.wire.udp.send(server, &bytes);
        }
        if self.keep_alive.take_lost() {
            self.server_is_lost(now);
        }
        if self.road.answer_by.is_some_and(|by| by <= now) {
            self.road.answer_by = None;
            self.next_server(now, "no answer");
        }
        if self.road.look_at.is_some_and(|at| at <= now) {
            self.road.look_at = Some(now + LOOK_EVERY);
            self.look_at_address(now);
        }
    }

    /// Whether we are still where we were: another network, another address of the same one, or the same after a while without any.
    fn look_at_address(&mut self, now: Tick) {
        let Some(server) = self.server() else { return };
        let Ok(ip) = route_to(server) else {
            self.road.cut_off = true;
            return;
        };
        let was_cut_off = core::mem::take(&mut self.road.cut_off);
        if ip == self.local.ip() && !was_cut_off {
            return;
        }
        let moved = ip != self.local.ip();
        self.local.set_ip(ip);
        if moved {
            self.say(PhoneEvent::Moved { address: self.local });
        }
        self.register_from_here(now);
        if moved {
            self.move_calls(now);
        }
    }

    /// Registers at our server from our address, whatever was under way.
    fn register_from_here(&mut self, now: Tick) {
        let Some(server) = self.server() else { return };
        let flow = self.flow_to(server, self.local);
        let contact = self.contact(flow);
        self.keep_alive.anew();
        if let Some(registration) = self.road.registration {
            self.endpoint.move_registration(now, registration, flow, contact.clone());
            self.wait_for_answer(now);
        }
        if let Some(watch) = self.mailbox.watch {
            self.endpoint.rewatch(now, watch, flow, contact);
        }
    }

    /// Calls go on from another address of ours: other ports for their speech, and a re-INVITE that says so.
    fn move_calls(&mut self, now: Tick) {
        let talking = self.lines.values().filter(|line| line.stage == Stage::Talking && line.carrier.is_none());
        for call in talking.map(|line| line.call).collect::<Vec<_>>() {
            let Some(peer) = self.lines.get(&call).map(|line| line.flow.peer) else { continue };
            let Ok(ip) = route_to(peer) else { continue };
            let (rtp, rtcp) = match open_pair(ip) {
                Ok(pair) => pair,
                Err(error) => {
                    self.fault(Some(call), format!("no ports for sound at the new address: {error}"));
                    continue;
                }
            };
            let Ok(port) = rtp.local_addr().map(|address| address.port()) else { continue };
            let local = SocketAddr::new(ip, self.local.port());
            let flow = self.flow_to(peer, local);
            let contact = self.contact(flow);
            let Some(line) = self.lines.get_mut(&call) else { continue };
            line.engine.tell(Order::Move(rtp, rtcp));
            line.flow = flow;
            (line.local.address, line.local.port) = (ip, port);
            line.local.version += 1;
            let offer = sdp::offer(&line.local, &self.config.caps, wish(line.held_by_us));
            line.our_offer = Some(offer.clone());
            let session = line.session;
            self.endpoint.move_session(session, flow, contact);
            self.endpoint.reoffer(now, session, Some(Body::sdp(offer)));
        }
    }

    /// The exchange told where it sees us. Somewhere else than before: it cannot reach us there until we have registered again.
    pub(super) fn mapped(&mut self, now: Tick, id: [u8; 12], address: SocketAddr) {
        if self.keep_alive.is_moved(id, address)
            && let Some(registration) = self.road.registration
        {
            tracing::info!(%address, "we are seen at another address: registering again");
            self.endpoint.register_again(now, registration);
        }
    }

    /// What we sent did not arrive, or the connection is gone: our server has to show that it is there.
    pub(super) fn lost(&mut self, now: Tick, flow: Flow) {
        self.endpoint.transport_failed(now, flow);
        // A REGISTER that failed by this is tried again in its own time.
        if Some(flow.peer) == self.server() && self.road.registered {
            self.server_is_lost(now);
        }
    }

    fn server_is_lost(&mut self, now: Tick) {
        self.road.registered = false;
        if let Some(registration) = self.road.registration.filter(|_| self.off_by.is_none()) {
            self.endpoint.register_again(now, registration);
            self.wait_for_answer(now);
        }
    }

    /// Goes on with the account's next server. Once all have failed in a row, the next try is left to the wait after a failure.
    fn next_server(&mut self, now: Tick, why: &str) {
        let Some(count) = self.config.account.as_ref().map(|account| account.servers().count()) else { return };
        let Some(registration) = self.road.registration.filter(|_| count > 1 && self.off_by.is_none()) else { return };
        self.road.failed += 1;
        self.road.server = (self.road.server + 1) % count;
        let Some(server) = self.server() else { return };
        self.say(PhoneEvent::Server { address: server, why: why.to_owned() });
        if !self.road.failed.is_multiple_of(count) {
            return self.register_from_here(now);
        }
        let flow = self.flow_to(server, self.local);
        let contact = self.contact(flow);
        self.endpoint.reroute(registration, flow, contact);
        self.road.answer_by = None;
    }

    pub(super) fn registered(&mut self, id: RegistrationId, expires: Span) {
        let account = self.account_name();
        self.road.answer_by = None;
        if expires == Span::ZERO {
            self.keep_alive.end();
            self.road.registration = self.road.registration.filter(|registration| *registration != id);
            self.say(PhoneEvent::Unregistered { account });
        } else {
            let now = self.now();
            (self.road.failed, self.road.registered) = (0, true);
            self.keep_alive.begin(now);
            self.watch_mailbox(now);
            self.say(PhoneEvent::Registered { account, expires_s: expires.as_s() });
        }
    }

    pub(super) fn registration_failed(&mut self, now: Tick, status: Option<u16>, retry_in: Span) {
        let why = match status {
            Some(status) => format!("{status} {}", reason_phrase(status)),
            None => "no answer".into(),
        };
        (self.road.answer_by, self.road.registered) = (None, false);
        if self.off_by.is_some() {
            self.road.registration = None;
        }
        let retry_in_ms = retry_in.as_ms();
        self.say(PhoneEvent::RegistrationFailed {
            account: self.account_name(),
            status,
            why: why.clone(),
            retry_in_ms,
        });
        // What a server says of us it says for all of them; what it says of itself it does not.
        if status.is_none_or(|status| matches!(status, 408 | 500..=599)) {
            self.next_server(now, &why);
        }
    }
}
