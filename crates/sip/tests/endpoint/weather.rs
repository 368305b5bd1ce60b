//! Many calls through a bad network: whatever is lost, repeated or late, every session ends exactly once on both sides, no
//! reliable response is acknowledged by two PRACKs, and both sides have exchanged the same offers in the same order.

use std::collections::BTreeMap;

use offhook_sip::{Body, EndpointConfig, Event, Invite, Replaces, Request, SessionId};
use offhook_units::{Span, Tick};

use super::world::{A, B, Weather, World, flow, invite_to};

/// What a user does next.
#[derive(Debug, Clone)]
enum Deed {
    /// 180.
    Ring,
    /// 183 with the answer.
    Early,
    Answer,
    Refuse,
    HangUp,
    Hold,
    /// To the offer with this text.
    AnswerHold(String),
    RefuseHold,
    Refer,
    TakeRefer,
    TellRefer(u16),
    /// Another call of the same phone takes the place of this one.
    TakePlace,
}

/// How one side's session began and ended, as its program was told.
#[derive(Debug, Default)]
struct Life {
    ends: u32,
    refused_by_us: bool,
    call_id: String,
    /// The offer of the INVITE.
    first: String,
    /// Ours that has no answer.
    offered: Option<String>,
    /// The first answer was given, or heard.
    agreed: bool,
    up: bool,
    /// REFERs of ours, their answers, and their ends.
    refers: [u32; 3],
}

/// How often something happened: a test in which it never does proves nothing.
type Seen = BTreeMap<&'static str, u64>;

struct Shift {
    world: World,
    deeds: BTreeMap<(Tick, u64), (usize, SessionId, Deed)>,
    lives: [BTreeMap<SessionId, Life>; 2],
    /// What each side of a call knows to be agreed on, in order: the offers, by Call-ID.
    agreed: BTreeMap<String, [Vec<String>; 2]>,
    seen: Seen,
    count: u64,
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Shift {
    fn new(seed: u64, weather: Weather) -> Self {
        let config = EndpointConfig {
            sessions_max: 500,
            replaces: true,
            session_expires: Span::from_s(90),
            ..EndpointConfig::default()
        };
        let mut world = World::with(seed, &config, 2);
        world.weather = weather;
        // One in two refreshes by re-INVITE.
        world.without_update = (seed % 2 == 1).then_some(B);
        let (lives, agreed, seen) = ([BTreeMap::new(), BTreeMap::new()], BTreeMap::new(), Seen::new());
        Self { world, deeds: BTreeMap::new(), lives, agreed, seen, count: 0 }
    }

    fn see(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.world.chance.below(n) == 0
    }

    fn life(&mut self, party: usize, session: SessionId) -> &mut Life {
        self.lives[party].get_mut(&session).expect("known")
    }

    fn plan(&mut self, within_ms: u64, party: usize, session: SessionId, deed: Deed) {
        self.count += 1;
        let at = self.world.now + Span::from_ms(1 + self.world.chance.below(within_ms));
        self.deeds.insert((at, self.count), (party, session, deed));
    }

    fn offer(&mut self) -> String {
        self.count += 1;
        format!("offer {}", self.count)
    }

    fn dial(&mut self) {
        let from = self.world.chance.below(2) as usize;
        self.dial_from(from, None);
    }

    fn dial_from(&mut self, from: usize, replaces: Option<String>) {
        let first = self.offer();
        let mut headers = Vec::new();
        headers.extend(replaces.map(|value| ("Replaces".to_owned(), value)));
        if self.one_in(3) {
            headers.push(("Require".to_owned(), "100rel".to_owned()));
        }
        let invite = Invite { headers, body: Some(Body::sdp(first.clone())), ..invite_to(flow(from, 1 - from), None) };
        let session = self.world.act(from, |endpoint, now| endpoint.invite(now, invite)).expect("within limits");
        let call_id = self.world.parties[from].endpoint.call_id(session).expect("a Call-ID").to_owned();
        self.lives[from].insert(session, Life { call_id, first, ..Life::default() });
        let patience = [3_000, 60_000, 60_000, 60_000][self.world.chance.below(4) as usize];
        let patience = if self.is_long(from, session) { 200_000 } else { patience };
        self.plan(patience, from, session, Deed::HangUp);
    }

    fn listen(&mut self) {
        for party in [A, B] {
            for event in self.world.events(party) {
                self.hear(party, event);
            }
        }
    }

    /// A party knows that an offer is answered.
    fn agree(&mut self, party: usize, session: SessionId, offer: String) {
        let call_id = self.life(party, session).call_id.clone();
        self.agreed.entry(call_id).or_default()[party].push(offer);
    }

    /// An answer came in.
    fn hear_answer(&mut self, party: usize, session: SessionId, body: Option<Body>) {
        let text = text_of(&body.expect("an answer").bytes);
        let offer = text.strip_prefix("answer to ").expect("an answer").to_owned();
        let life = self.life(party, session);
        life.offered = life.offered.take().filter(|ours| *ours != offer);
        self.agree(party, session, offer);
    }

    fn hear(&mut self, party: usize, event: Event) {
        match event {
            Event::Invited { session, request, .. } => self.rung(party, session, &request),
            Event::Progress { session, body: Some(body), .. } => {
                assert!(!core::mem::replace(&mut self.life(party, session).agreed, true), "a second early answer");
                self.see("early media");
                self.hear_answer(party, session, Some(body));
            }
            Event::Answered { session, body, .. } => {
                let life = self.life(party, session);
                life.up = true;
                if core::mem::replace(&mut life.agreed, true) {
                    let expected = format!("answer to {}", life.first);
                    assert_eq!(body, Some(Body::sdp(expected)), "what was said reliably counts");
                } else {
                    self.hear_answer(party, session, body);
                }
                self.talk(party, session);
            }
            Event::Confirmed { session, .. } => {
                self.life(party, session).up = true;
                self.talk(party, session);
            }
            Event::Reoffered { session, body } => {
                let offer = text_of(&body.expect("an offer").bytes);
                let deed = if self.one_in(6) { Deed::RefuseHold } else { Deed::AnswerHold(offer) };
                self.plan(300, party, session, deed);
            }
            Event::ReofferAnswered { session, body } => {
                self.see("re-INVITEs answered");
                self.hear_answer(party, session, body);
            }
            Event::ReofferRefused { session, .. } => self.life(party, session).offered = None,
            Event::Referred { session, .. } => self.plan(300, party, session, Deed::TakeRefer),
            Event::ReferAnswered { session, .. } => self.referred(party, session, 1),
            Event::ReferProgress { session, over: true, .. } => {
                self.see("transfers told of");
                self.referred(party, session, 2);
            }
            Event::Cancelled { session, .. } | Event::Refused { session, .. } | Event::Ended { session, .. } => {
                let life = self.life(party, session);
                life.ends += 1;
                assert!(life.ends == 1 && !life.refused_by_us, "{session:?} ended twice");
            }
            Event::Progress { .. } | Event::ReferProgress { .. } => {}
            other @ (Event::Info { .. }
            | Event::Metadata { .. }
            | Event::Request { .. }
            | Event::Message { .. }
            | Event::Messaged { .. }
            | Event::Registered { .. }
            | Event::RegistrationFailed { .. }
            | Event::Resubscribed { .. }
            | Event::NotifyDue { .. }
            | Event::Unsubscribed { .. }
            | Event::Seen { .. }
            | Event::WatchRefused { .. }
            | Event::Probed { .. }) => panic!("{other:?}"),
        }
    }

    fn referred(&mut self, party: usize, session: SessionId, what: usize) {
        let refers = &mut self.life(party, session).refers;
        refers[what] += 1;
        assert!(refers[what] <= refers[0], "told twice of one transfer: {refers:?}");
    }

    fn rung(&mut self, party: usize, session: SessionId, request: &Request) {
        let call_id = request.headers.call_id().expect("a Call-ID").to_owned();
        let life = Life { call_id, first: text_of(&request.body), ..Life::default() };
        assert!(self.lives[party].insert(session, life).is_none());
        if let Some(replaces) = Replaces::of(&request.headers) {
            return match self.world.parties[party].endpoint.replaced(&replaces.expect("a Replaces")) {
                Ok(left) => {
                    self.see("places taken");
                    self.perform(party, session, Deed::Answer);
                    self.perform(party, left, Deed::HangUp);
                }
                Err(_) => self.perform(party, session, Deed::Refuse),
            };
        }
        self.plan(200, party, session, Deed::Ring);
        if !self.one_in(3) {
            self.plan(400, party, session, Deed::Early);
        }
        let ends = [Deed::Answer, Deed::Answer, Deed::Answer, Deed::Refuse, Deed::HangUp];
        let deed = ends[self.world.chance.below(5) as usize].clone();
        self.plan(3_000, party, session, deed);
    }

    fn talk(&mut self, party: usize, session: SessionId) {
        for _ in 0..2 {
            self.plan(8_000, party, session, Deed::Hold);
        }
        if self.one_in(3) {
            self.plan(5_000, party, session, Deed::Refer);
        }
        if self.one_in(6) {
            self.plan(5_000, party, session, Deed::TakePlace);
        }
        let patience = if self.is_long(party, session) { 200_000 } else { 20_000 };
        self.plan(patience, party, session, Deed::HangUp);
    }

    /// Whether both sides talk for so long that the session has to be refreshed.
    fn is_long(&mut self, party: usize, session: SessionId) -> bool {
        self.life(party, session).call_id.bytes().next().is_some_and(|first| first % 5 == 0)
    }

    fn perform(&mut self, party: usize, session: SessionId, deed: Deed) {
        let life = self.life(party, session);
        let (is_over, up) = (life.ends > 0, life.up);
        if is_over {
            return;
        }
        match deed {
            Deed::Ring => self.world.act(party, |endpoint, now| endpoint.progress(now, session, 180, None)),
            Deed::Early | Deed::Answer => self.say_yes(party, session, matches!(deed, Deed::Early)),
            Deed::Refuse => {
                // One who has answered already cannot.
                if !up {
                    let gone = |world: &World| world.parties[party].endpoint.call_id(session).is_none();
                    self.world.act(party, |endpoint, now| endpoint.refuse(now, session, 603, Vec::new()));
                    let refused = gone(&self.world);
                    self.life(party, session).refused_by_us = refused;
                }
            }
            Deed::HangUp => self.world.hang_up(party, session),
            Deed::Hold if up && self.life(party, session).offered.is_none() => {
                let text = self.offer();
                self.life(party, session).offered = Some(text.clone());
                self.world.act(party, |endpoint, now| endpoint.reoffer(now, session, Some(Body::sdp(text))));
            }
            Deed::AnswerHold(offer) => {
                let answer = Some(Body::sdp(format!("answer to {offer}")));
                self.agree(party, session, offer);
                self.world.act(party, |endpoint, now| endpoint.answer_reoffer(now, session, answer));
            }
            Deed::RefuseHold => self.world.act(party, |endpoint, now| endpoint.refuse_reoffer(now, session, 488)),
            Deed::Refer => {
                let target = "sip:carol@192.0.2.9".parse().expect("a URI");
                let asked = self.world.act(party, |endpoint, now| endpoint.refer(now, session, &target));
                self.life(party, session).refers[0] += u32::from(asked);
            }
            Deed::TakeRefer if self.one_in(4) => {
                self.world.act(party, |endpoint, now| endpoint.refuse_refer(now, session, 603));
            }
            Deed::TakeRefer => {
                self.world.act(party, |endpoint, now| endpoint.accept_refer(now, session));
                self.plan(500, party, session, Deed::TellRefer(180));
                self.plan(3_000, party, session, Deed::TellRefer(486));
            }
            Deed::TellRefer(status) => {
                self.world.act(party, |endpoint, now| endpoint.notify_refer(now, session, status));
            }
            Deed::TakePlace => {
                let named = self.world.parties[party].endpoint.replaces_of(session);
                if let Some(named) = named.filter(|_| up) {
                    self.dial_from(party, Some(named.to_string()));
                }
            }
            Deed::Hold => {}
        }
    }

    /// Early media, or the answer; the answer to the offer is said with whichever comes first.
    fn say_yes(&mut self, party: usize, session: SessionId, early: bool) {
        let life = self.life(party, session);
        if life.refused_by_us || (early && life.up) {
            return;
        }
        let first = life.first.clone();
        let body = Body::sdp(format!("answer to {first}"));
        if !core::mem::replace(&mut life.agreed, true) {
            self.agree(party, session, first);
        }
        if early {
            self.world.act(party, |endpoint, now| endpoint.progress(now, session, 183, Some(body)));
        } else {
            let contact = offhook_sip::Uri::at(Some("callee"), super::world::address(party));
            self.world.act(party, |endpoint, now| endpoint.answer(now, session, contact, Some(body)));
        }
    }

    fn run_for(&mut self, span: Span) {
        let until = self.world.now + span;
        loop {
            let next = self.deeds.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= until);
            if self.world.step(next.unwrap_or(until)) {
                self.listen();
                continue;
            }
            let Some(entry) = self.deeds.first_entry().filter(|entry| entry.key().0 <= self.world.now) else { return };
            let (party, session, deed) = entry.remove();
            self.perform(party, session, deed);
            self.listen();
        }
    }

    /// Every session ended once, no reliable response was answered by two PRACKs, and no offers crossed.
    #[track_caller]
    fn check(&self, seed: u64) {
        for (party, lives) in self.lives.iter().enumerate() {
            for (session, life) in lives {
                let ends = life.ends + u32::from(life.refused_by_us);
                assert_eq!(ends, 1, "seed {seed}: {session:?} of party {party}");
            }
        }
        for ((call_id, rack), branches) in &self.world.pracks {
            assert_eq!(branches.len(), 1, "seed {seed}: PRACKs of {rack} in {call_id}");
        }
        for [a, b] in self.agreed.values() {
            // The last answer may not have arrived when the call ended.
            let both = a.len().min(b.len());
            assert!(a[..both] == b[..both] && a.len().abs_diff(b.len()) <= 1, "seed {seed}: {a:?} and {b:?}");
        }
    }

    /// Adds up what happened, on the wire too.
    fn count_into(&self, seen: &mut Seen) {
        for (what, count) in &self.seen {
            *seen.entry(what).or_default() += count;
        }
        for line in ["CANCEL", "PRACK", "UPDATE", "REFER", "SIP/2.0 491", "SIP/2.0 487", "SIP/2.0 603"] {
            *seen.entry(line).or_default() += (self.world.sent_count(A, line) + self.world.sent_count(B, line)) as u64;
        }
    }
}

#[test]
fn with_20_percent_lost_every_session_of_200_shifts_ends_once_and_no_offers_cross() {
    let mut seen = Seen::new();
    for seed in 0..200 {
        let weather = Weather { loss: 20, doubled: 10, jitter: Span::from_ms(400) };
        let mut shift = Shift::new(seed, weather);
        for _ in 0..6 {
            shift.dial();
            shift.run_for(Span::from_ms(400));
        }
        shift.run_for(Span::from_s(300));
        shift.world.weather = Weather::default();
        shift.run_for(Span::from_s(200));
        shift.check(seed);
        shift.count_into(&mut seen);
        shift.world.settle();
    }
    assert_eq!(seen.len(), 11, "{seen:?}");
    assert!(seen.values().all(|count| *count >= 50), "{seen:?}");
}

#[test]
fn with_everything_repeated_and_reordered_every_call_goes_through() {
    for seed in 1_000..1_020 {
        let weather = Weather { loss: 0, doubled: 100, jitter: Span::from_ms(400) };
        let mut shift = Shift::new(seed, weather);
        for _ in 0..20 {
            shift.dial();
            shift.run_for(Span::from_ms(100));
        }
        shift.run_for(Span::from_s(400));
        shift.check(seed);
        assert!(shift.lives[A].len() >= 20, "seed {seed}");
        assert_eq!(shift.lives[A].len(), shift.lives[B].len(), "seed {seed}: each call has two ends");
        shift.world.settle();
    }
}

#[test]
fn a_wire_that_is_cut_ends_every_session_exactly_once() {
    for seed in 2_000..2_010 {
        let mut shift = Shift::new(seed, Weather::default());
        for _ in 0..20 {
            shift.dial();
            shift.run_for(Span::from_ms(200));
        }
        shift.world.weather.loss = 100;
        shift.run_for(Span::from_s(400));
        shift.check(seed);
        shift.world.settle();
    }
}
