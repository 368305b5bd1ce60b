//! Many calls through a bad network: whatever is lost, repeated or late, every session ends exactly once on both sides.

use std::collections::BTreeMap;

use offhook_sip::{Body, EndpointConfig, Event, SessionId};
use offhook_units::{Span, Tick};

use super::world::{A, B, Weather, World};

/// What a user does next.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Ring,
    Answer,
    Refuse,
    HangUp,
    Hold,
    AnswerHold,
}

/// How one side's session began and ended, as its program was told.
#[derive(Debug, Default)]
struct Life {
    ends: u32,
    refused_by_us: bool,
}

struct Shift {
    world: World,
    deeds: BTreeMap<(Tick, u64), (usize, SessionId, Deed)>,
    lives: [BTreeMap<SessionId, Life>; 2],
    count: u64,
}

impl Shift {
    fn new(seed: u64, weather: Weather) -> Self {
        let config = EndpointConfig { sessions_max: 500, ..EndpointConfig::default() };
        let mut world = World::with(seed, &config, 2);
        world.weather = weather;
        Self { world, deeds: BTreeMap::new(), lives: [BTreeMap::new(), BTreeMap::new()], count: 0 }
    }

    fn plan(&mut self, within_ms: u64, party: usize, session: SessionId, deed: Deed) {
        self.count += 1;
        let at = self.world.now + Span::from_ms(1 + self.world.chance.below(within_ms));
        self.deeds.insert((at, self.count), (party, session, deed));
    }

    fn dial(&mut self) {
        let from = self.world.chance.below(2) as usize;
        let session = self.world.call(from, 1 - from, None);
        self.lives[from].insert(session, Life::default());
        let patience = [3_000, 60_000, 60_000, 60_000][self.world.chance.below(4) as usize];
        self.plan(patience, from, session, Deed::HangUp);
    }

    fn listen(&mut self) {
        for party in [A, B] {
            for event in self.world.events(party) {
                self.hear(party, event);
            }
        }
    }

    fn hear(&mut self, party: usize, event: Event) {
        match event {
            Event::Invited { session, .. } => {
                assert!(self.lives[party].insert(session, Life::default()).is_none());
                self.plan(200, party, session, Deed::Ring);
                let deed =
                    [Deed::Answer, Deed::Answer, Deed::Refuse, Deed::HangUp][self.world.chance.below(4) as usize];
                self.plan(3_000, party, session, deed);
            }
            Event::Answered { session, .. } | Event::Confirmed { session, .. } => {
                self.plan(8_000, party, session, Deed::Hold);
                self.plan(20_000, party, session, Deed::HangUp);
            }
            Event::Reoffered { session, .. } => self.plan(300, party, session, Deed::AnswerHold),
            Event::Cancelled { session } | Event::Refused { session, .. } | Event::Ended { session, .. } => {
                let life = self.lives[party].get_mut(&session).expect("known");
                life.ends += 1;
                assert!(life.ends == 1 && !life.refused_by_us, "{session:?} ended twice");
            }
            Event::Progress { .. } | Event::ReofferAnswered { .. } | Event::ReofferRefused { .. } => {}
            other @ (Event::Info { .. }
            | Event::Request { .. }
            | Event::Registered { .. }
            | Event::Referred { .. }
            | Event::ReferAnswered { .. }
            | Event::ReferProgress { .. }
            | Event::RegistrationFailed { .. }
            | Event::Resubscribed { .. }
            | Event::NotifyDue { .. }
            | Event::Unsubscribed { .. }
            | Event::Probed { .. }) => panic!("{other:?}"),
        }
    }

    fn perform(&mut self, party: usize, session: SessionId, deed: Deed) {
        let body = Some(Body::sdp("v=0"));
        match deed {
            Deed::Ring => self.world.act(party, |endpoint, now| endpoint.progress(now, session, 180, None)),
            Deed::Answer => self.world.answer(party, session),
            Deed::Refuse => {
                let life = self.lives[party].get_mut(&session).expect("known");
                life.refused_by_us = life.ends == 0;
                self.world.act(party, |endpoint, now| endpoint.refuse(now, session, 603, Vec::new()));
            }
            Deed::HangUp => self.world.hang_up(party, session),
            Deed::Hold => self.world.act(party, |endpoint, now| endpoint.reoffer(now, session, body)),
            Deed::AnswerHold => self.world.act(party, |endpoint, now| endpoint.answer_reoffer(now, session, body)),
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

    #[track_caller]
    fn check_everybody_ended_once(&self, seed: u64) {
        for (party, lives) in self.lives.iter().enumerate() {
            for (session, life) in lives {
                let ends = life.ends + u32::from(life.refused_by_us);
                assert_eq!(ends, 1, "seed {seed}: {session:?} of party {party}");
            }
        }
    }
}

#[test]
fn with_30_percent_lost_every_session_ends_exactly_once() {
    for seed in 0..30 {
        let weather = Weather { loss: 30, doubled: 10, jitter: Span::from_ms(700) };
        let mut shift = Shift::new(seed, weather);
        for _ in 0..40 {
            shift.dial();
            shift.run_for(Span::from_ms(250));
        }
        shift.run_for(Span::from_s(300));
        shift.check_everybody_ended_once(seed);
        shift.world.weather = Weather::default();
        shift.world.settle();
    }
}

#[test]
fn with_everything_repeated_and_reordered_every_call_goes_through() {
    for seed in 100..120 {
        let weather = Weather { loss: 0, doubled: 100, jitter: Span::from_ms(400) };
        let mut shift = Shift::new(seed, weather);
        for _ in 0..40 {
            shift.dial();
            shift.run_for(Span::from_ms(100));
        }
        shift.run_for(Span::from_s(300));
        shift.check_everybody_ended_once(seed);
        assert_eq!(shift.lives[A].len(), 40, "seed {seed}: each call has two ends");
        assert_eq!(shift.lives[B].len(), 40, "seed {seed}: each call has two ends");
        shift.world.settle();
    }
}

#[test]
fn a_wire_that_is_cut_ends_every_session_exactly_once() {
    for seed in 200..210 {
        let mut shift = Shift::new(seed, Weather::default());
        for _ in 0..20 {
            shift.dial();
            shift.run_for(Span::from_ms(200));
        }
        shift.world.weather.loss = 100;
        shift.run_for(Span::from_s(400));
        shift.check_everybody_ended_once(seed);
        shift.world.settle();
    }
}
