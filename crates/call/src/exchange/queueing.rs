//! A call in a queue: music, announcements, and phones that ring for it.

use offhook_acd::{Command, Effect, Left, OfferEnd, Refusal};
use offhook_plan::AssetId;
use offhook_sip::{Body, Flow, Invite, NameAddr, SessionId, Uri};
use offhook_units::{AgentId, CallId, ContactId, OfferId, QueueId, Span, Tick};

use super::elsewhere::Why;
use super::joining::ELSEWHERE;
use super::placing::Invitation;
use super::state::{Leg, Ringing, Stage, Whose};
use super::{Exchange, Role};
use crate::config::{Announcement, Answer, Elsewhere, Reach};
use crate::event::{CallEvent, Missed};
use crate::record::CallEnd;
use crate::timers::Kind;

/// What waits are told in.
const MINUTE: Span = Span::from_s(60);

impl Exchange {
    /// The call enters a queue, or hears why it can't.
    pub(super) fn enter_queue(&mut self, now: Tick, id: CallId, queue: QueueId) {
        // A menu that a call came to earlier may lead to a queue that is gone since.
        let Some(settings) = self.queue(queue) else { return self.lead_nowhere(now, id) };
        let (full, nobody) = (&settings.full, &settings.nobody_here);
        let full = settings.ways.full.clone().unwrap_or_else(|| Elsewhere::Message(full.clone()));
        let nobody = settings.ways.nobody.clone().unwrap_or_else(|| Elsewhere::Message(nobody.clone()));
        if self.leaving.has_queue(queue) {
            return self.send_elsewhere(now, id, nobody, Why::NOBODY);
        }
        if let Some(closed) = self.closed(now, settings.ways.gate.as_ref()) {
            return self.send_elsewhere(now, id, closed, Why::CLOSED);
        }
        match self.admit(now, id, queue) {
            Ok(()) => self.wait_in(now, id, queue),
            Err(Refusal::QueueFull) => self.send_elsewhere(now, id, full, Why::FULL),
            Err(_) => self.send_elsewhere(now, id, nobody, Why::NOBODY),
        }
    }

    /// What a caller hears who has just entered a queue.
    pub(super) fn wait_in(&mut self, now: Tick, id: CallId, queue: QueueId) {
        let Some(settings) = self.queue(queue) else { return };
        let (mut music, every) = (settings.music.clone(), settings.announce_every);
        let announces = every > Span::ZERO;
        let tells_wait = announces && !settings.expected_wait.is_empty();
        if music.is_empty() {
            music.clone_from(&self.tones_of(id).ringback);
        }
        let music = self.playing(music);
        let Some(call) = self.calls.get(&id) else { return };
        match call.answer {
            Answer::AtStart | Answer::AtQueue => self.answer_caller(now, id),
            Answer::AtAgent => self.early_media(now, id),
        }
        let asked = self.ask_consent(now, id);
        let first = if asked.is_some() { now + every } else { now };
        let announcement = asked.map(|words| self.playing(words)).filter(|playing| !playing.assets.is_empty());
        self.enter(now, id, Stage::Queued { music, announcement });
        self.replan(now, id);
        if announces {
            self.timers.arm(id, Kind::Announce, first);
        }
        if !tells_wait {
            // Nobody is told; what would be said is scored all the same, so that it can be judged beforehand.
            self.forecast(now, id);
        }
    }

    /// How long a waiting caller has still to wait, where that can be said; it is noted, to be scored.
    fn forecast(&mut self, now: Tick, id: CallId) -> Option<Span> {
        let contact = self.calls.get(&id)?.contact?;
        let expected = self.acd.expected_wait(contact)?;
        // Not refused: it waits.
        let _waits = self.tell(now, Command::Forecast { contact });
        Some(expected.p80)
    }

    /// Tells a waiting caller the place and the wait; an agent's answer cuts it short.
    pub(super) fn announce(&mut self, now: Tick, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let (Some(contact), Some(queue)) = (call.contact, call.queue) else { return };
        let Some(settings) = self.queue(queue) else { return };
        let (every, tells_wait) = (settings.announce_every, !settings.expected_wait.is_empty());
        let Some(position) = self.acd.position(contact) else { return };
        let mut words = words(&settings.announcement, u64::from(position));
        if tells_wait && let Some(wait) = self.forecast(now, id) {
            words.extend(self.queue(queue).into_iter().flat_map(|queue| wait_words(&queue.expected_wait, wait)));
        }
        let playing = self.playing(words);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Stage::Queued { announcement, .. } = &mut call.stage else { return };
        *announcement = Some(playing).filter(|playing| !playing.assets.is_empty());
        self.timers.arm(id, Kind::Announce, now + every);
        self.replan(now, id);
    }

    /// What the distributor wants done.
    pub(super) fn on_effect(&mut self, now: Tick, effect: &Effect) {
        match *effect {
            // Whoever talks without a queue takes nobody from one; taking the offer back counts as no miss.
            Effect::Offer { agent, .. } if self.agents.get(&agent).is_some_and(|line| !line.direct.is_empty()) => {
                self.occupy(now, agent);
            }
            Effect::Offer { offer, contact, agent, .. } => {
                if !self.offered_callback(now, contact) {
                    return;
                }
                let rang = self.ring(now, offer, contact, agent);
                if !rang && let Some(&id) = self.contacts.get(&contact) {
                    self.end_idle_callback(now, id);
                }
                if !rang {
                    // A refusal means that the offer is gone already, and with it the reason to report.
                    let _gone = self.tell(now, Command::NoAnswer { offer });
                }
            }
            Effect::Withdraw { offer, why, .. } => {
                let elsewhere = why == OfferEnd::TakenByAnother;
                self.stop_ringing_for(now, offer, Missed::Withdrawn, elsewhere.then_some(ELSEWHERE));
            }
            // The call is shown as asked about: whoever listens to live events answers, or the strategy decides at the deadline.
            Effect::Ask { .. } => {}
            Effect::WaitedTooLong { contact } => {
                self.send_away(now, contact, Why::WAITED);
            }
            Effect::NobodyHere { contact } => {
                self.send_away(now, contact, Why::NOBODY);
            }
        }
    }

    /// A waiting caller is sent on, or hears that nobody can come, and the call ends.
    pub(super) fn send_away(&mut self, now: Tick, contact: ContactId, why: Why) {
        // A callback costs nobody anything while it waits; it ends by rules of its own.
        let waits = |id: &&CallId| self.calls.get(*id).is_some_and(|call| call.calling_back.is_none());
        let Some(&id) = self.contacts.get(&contact).filter(waits) else { return };
        let Some(queue) = self.calls.get(&id).and_then(|call| self.queue(call.queue?)) else { return };
        let to = if why == Why::WAITED { &queue.ways.waited } else { &queue.ways.nobody };
        let to = to.clone().unwrap_or_else(|| Elsewhere::Message(queue.nobody_here.clone()));
        self.send_elsewhere(now, id, to, why);
    }

    /// Sends an INVITE to the agent's phone. Gives whether that was possible.
    fn ring(&mut self, now: Tick, offer: OfferId, contact: ContactId, agent: AgentId) -> bool {
        let Some(&id) = self.contacts.get(&contact) else { return false };
        let Some((uri, flow)) = self.reach(agent) else { return false };
        let Some(call) = self.calls.get(&id) else { return false };
        let codec = call.caller.negotiated.as_ref().map(|agreed| agreed.codec);
        let is_callback = call.calling_back.is_some();
        let queue = call.queue.and_then(|queue| self.queue(queue)).map(|queue| queue.acd.name.clone());
        let from = self.presented(&call.from, queue.as_deref(), flow);
        let Some(mut leg) = self.make_leg_out(now, flow, self.agent_srtp(agent)) else { return false };
        let caps = self.caps_of_agent(agent, codec);
        let body = leg.offer(&caps);
        let mut headers = self.path_to(agent, &uri);
        headers.extend(self.diversions(id, None, &from, &uri));
        headers.extend(queue.map(|queue| ("X-Offhook-Queue".to_owned(), queue)));
        if is_callback {
            headers.push(("X-Offhook-Callback".to_owned(), "yes".to_owned()));
        }
        let invitation = Invitation { uri, from, headers, credentials: None };
        let Some(session) = self.send_invite(now, &leg, invitation, body) else { return false };
        leg.session = session;
        let (leg_id, port) = (leg.id, leg.port);
        self.sessions.insert(session, (id, Role::Offered(offer)));
        let who = self.agent(agent).map(|agent| agent.acd.name.clone()).unwrap_or_default();
        self.show_leg(id, session, "agent", &who);
        self.offers.insert(offer, id);
        if let Some(line) = self.agents.get_mut(&agent) {
            line.call = Some(id);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.sessions.insert(session);
            call.ringing.insert(offer, Ringing { agent, leg, early_media: false });
        }
        self.open_leg(id, leg_id, port, None, Some(Whose::Agent(agent)));
        self.note(now, CallEvent::Ringing { call: id, offer, agent });
        self.replan(now, id);
        true
    }

    /// Sends an INVITE for a leg whose offer is `body`; its ports go back where that fails.
    pub(super) fn send_invite(
        &mut self,
        now: Tick,
        leg: &Leg,
        invitation: Invitation,
        body: Body,
    ) -> Option<SessionId> {
        let Invitation { uri, from, headers, credentials } = invitation;
        let to = NameAddr { display: None, uri: uri.clone(), params: offhook_sip::Params::default() };
        let contact = self.contact(leg.flow);
        let invite = Invite { flow: leg.flow, uri, from, to, contact, headers, body: Some(body), credentials };
        let session = self.endpoint.invite(now, invite).ok();
        if session.is_none() {
            self.ports.give_back(now, leg.port);
        }
        session
    }

    /// Where the agent's phone is now: the most wanted and freshest registration, or its fixed place.
    pub(super) fn reach(&self, agent: AgentId) -> Option<(Uri, Flow)> {
        match &self.agent(agent)?.reach {
            Reach::Static { uri, flow } => Some((uri.parse().ok()?, *flow)),
            Reach::Account(account) => {
                let binding = self.reachable(account).next()?;
                Some((binding.contact.parse().ok()?, binding.flow))
            }
        }
    }

    /// The phone stops ringing for this offer, for a reason on our side.
    pub(super) fn stop_ringing(&mut self, now: Tick, offer: OfferId, missed: Missed) {
        self.stop_ringing_for(now, offer, missed, None);
    }

    /// As [`Self::stop_ringing`], with the `Reason` that the phone is told, so that it shows no missed call (RFC 3326).
    pub(super) fn stop_ringing_for(&mut self, now: Tick, offer: OfferId, missed: Missed, reason: Option<&str>) {
        if let Some((_, session)) = self.drop_ringing(now, offer, missed) {
            self.endpoint.hang_up(now, session, reason.map(str::to_owned));
        }
    }

    /// Forgets a phone that rang, and tells the log how it ended.
    pub(super) fn drop_ringing(&mut self, now: Tick, offer: OfferId, missed: Missed) -> Option<(CallId, SessionId)> {
        let id = self.offers.remove(&offer)?;
        let call = self.calls.get_mut(&id)?;
        let rang = call.ringing.remove(&offer)?;
        call.sessions.remove(&rang.leg.session);
        if let Some(line) = self.agents.get_mut(&rang.agent) {
            line.call = None;
        }
        self.note(now, CallEvent::RingingEnded { call: id, offer, agent: rang.agent, missed });
        self.replan(now, id);
        self.end_idle_callback(now, id);
        Some((id, rang.leg.session))
    }

    /// Tells the distributor that the contact leaves the queue without an agent.
    pub(super) fn leave_queue(&mut self, now: Tick, id: CallId, how: Left) {
        let Some(contact) = self.calls.get_mut(&id).and_then(|call| call.contact.take()) else { return };
        self.contacts.remove(&contact);
        self.timers.disarm(id, Kind::Announce);
        // Refused only where the distributor ended the visit itself a moment ago.
        let _ended = self.tell(now, Command::Leave { contact, outcome: how });
    }

    /// A last message, then the end. Without words a caller who is answered hears the tone that says so, and others its status.
    pub(super) fn say_and_end(&mut self, now: Tick, id: CallId, words: Vec<AssetId>, end: CallEnd, status: u16) {
        let words = if words.is_empty() { self.last_tone(id, status) } else { words };
        if words.is_empty() {
            return self.end_call_with(now, id, end, status);
        }
        let playing = self.playing(words);
        self.timers.disarm_steps(id);
        self.enter(now, id, Stage::Message { playing, end, status });
        self.early_media(now, id);
        self.replan(now, id);
    }
}

/// "You are number 12": before, one, two, after.
fn words(announcement: &Announcement, number: u64) -> Vec<AssetId> {
    if number == 1 && !announcement.one.is_empty() {
        return announcement.one.clone();
    }
    let digits = number.to_string();
    let spoken = digits.bytes().filter_map(|digit| announcement.digits.get(usize::from(digit - b'0')));
    announcement.before.iter().chain(spoken).chain(&announcement.after).copied().collect()
}

/// "Less than 12 minutes": whole minutes, rounded up, one at least.
fn wait_words(announcement: &Announcement, wait: Span) -> Vec<AssetId> {
    words(announcement, wait.as_us().div_ceil(MINUTE.as_us()).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_over_nine_is_spoken_digit_by_digit() {
        let announcement = Announcement {
            before: vec![AssetId(100)],
            digits: (0..10).map(AssetId).collect(),
            after: vec![AssetId(101)],
            one: Vec::new(),
        };
        assert_eq!(words(&announcement, 12), [AssetId(100), AssetId(1), AssetId(2), AssetId(101)]);
        assert_eq!(words(&Announcement::default(), 3), []);
    }

    #[test]
    fn a_wait_is_spoken_in_minutes_rounded_up_and_a_single_minute_in_words_of_its_own() {
        let announcement = Announcement {
            before: vec![AssetId(100)],
            digits: (0..10).map(AssetId).collect(),
            after: vec![AssetId(101)],
            one: vec![AssetId(102)],
        };
        let spoken = |ms: u64| -> Vec<u32> {
            wait_words(&announcement, Span::from_ms(ms)).into_iter().map(|asset| asset.0).collect()
        };
        assert_eq!((spoken(0), spoken(60_000)), (vec![102], vec![102]));
        assert_eq!((spoken(60_001), spoken(120_000)), (vec![100, 2, 101], vec![100, 2, 101]));
        assert_eq!(spoken(11 * 60_000 + 1), [100, 1, 2, 101]);
    }
}
