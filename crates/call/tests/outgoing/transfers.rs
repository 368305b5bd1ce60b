//! Transfers, turn by turn: blind, attended, and phones that take a place by Replaces.

use offhook_call::record::{CallEnd, CallRecord, Fold};
use offhook_call::{Input, TRANSFER_RINGS_FOR, event::LogEvent};
use offhook_plan::{Direction, LegPlan, MediaEvent, Source};
use offhook_sip::{EndCause, Event, Invite, SessionId, Uri};
use offhook_units::{AgentId, CallId, Span};

use crate::desk::{World, credentials, flow_from, media, trunk};

pub const ANN: AgentId = AgentId(100);
pub const BOB: AgentId = AgentId(101);
pub const CARL: AgentId = AgentId(102);

pub fn uri(text: &str) -> Uri {
    text.parse().expect("a URI")
}

/// A customer waits in sales; ann, the first to be free, takes the call. Gives both legs.
pub fn served() -> (World, SessionId, SessionId) {
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], None)]);
    let customer = world.dial("carrier2", "700", None);
    let (ann, ..) = world.ringing("ann").expect("ann's phone rings");
    world.answer("ann", ann);
    assert_eq!(world.state(100).0, "busy");
    (world, customer, ann)
}

impl World {
    pub fn refer(&mut self, who: &str, session: SessionId, target: &Uri) {
        let now = self.now;
        assert!(self.at(who).endpoint.refer(now, session, target));
        self.run(Span::from_ms(100));
    }

    /// What `who` was told of its transfers: 202 or the refusal, then each NOTIFY.
    fn told_of_transfers(&mut self, who: &str) -> Vec<u16> {
        let told = self.at(who).events.iter().filter_map(|event| match event {
            Event::ReferAnswered { status, .. } | Event::ReferProgress { status, .. } => Some(*status),
            _ => None,
        });
        told.collect()
    }

    /// A phone holds, or takes its hold back.
    pub fn hold(&mut self, who: &str, session: SessionId, direction: Direction) {
        let (now, at) = (self.now, World::address(who));
        let local = offhook_sip::sdp::Local {
            address: at.ip(),
            port: 40_000,
            session_id: 1,
            version: if direction == Direction::SendRecv { 3 } else { 2 },
            srtp: offhook_sip::sdp::Srtp::OFF,
        };
        let hold = offhook_sip::sdp::offer(&local, &offhook_plan::MediaCaps::g711(), direction);
        self.at(who).endpoint.reoffer(now, session, Some(offhook_sip::Body::sdp(hold)));
        self.run(Span::from_ms(100));
    }

    pub fn ended(&mut self, who: &str, session: SessionId) -> bool {
        let over = |event: &Event| match event {
            Event::Ended { session: ended, .. } | Event::Cancelled { session: ended, .. } => *ended == session,
            _ => false,
        };
        self.at(who).events.iter().any(over)
    }

    /// Who is heard by the customer, the first leg of the oldest call: a leg, or music.
    fn hears(&self) -> Option<Source> {
        let plan = self.plans.values().next().expect("a call");
        let caller = plan.legs.first()?.leg;
        plan.edges.iter().find(|edge| edge.to == caller).map(|edge| edge.from.clone())
    }

    fn hears_music(&self) -> bool {
        matches!(self.hears(), Some(Source::Player(player)) if player.assets == [offhook_plan::AssetId(7)])
    }

    fn hears_somebody(&self) -> bool {
        matches!(self.hears(), Some(Source::Leg(_)))
    }

    /// Everybody is gone: no port, no call, no session is left, and the log tells the same as the records.
    #[track_caller]
    pub fn settled(&mut self) -> Vec<CallRecord> {
        self.run(Span::from_s(60));
        assert_eq!((self.exchange.calls_active(), self.exchange.ports().0), (0, 0));
        for who in ["ann", "bob", "carl", "carrier2"] {
            assert_eq!(self.at(who).endpoint.load().sessions, 0, "{who}");
        }
        let mut fold = Fold::default();
        let told = self.log.iter().filter_map(|(at, event)| match event {
            LogEvent::Call(event) => fold.apply(*at, event),
            LogEvent::Acd(_) | LogEvent::Callback(_) | LogEvent::Alarm(_) => None,
        });
        let told: Vec<CallRecord> = told.collect();
        assert_eq!(told, self.records);
        for agent in [100, 101, 102] {
            assert_eq!(self.state(agent), ("available", None), "agent {agent}");
        }
        told
    }
}

/// Who talked, and for how many whole seconds.
pub fn talks(record: &CallRecord) -> Vec<(Option<AgentId>, u64)> {
    record.talks.iter().map(|talk| (talk.agent, talk.until.since(talk.from).as_s())).collect()
}

fn outcomes(record: &CallRecord) -> Vec<(Option<AgentId>, Option<AgentId>, u16)> {
    record.transfers.iter().map(|transfer| (transfer.by, transfer.to, transfer.status)).collect()
}

#[test]
fn a_customer_goes_blind_to_a_colleague_and_the_agent_to_wrap_up() {
    let (mut world, customer, ann) = served();
    world.run(Span::from_s(10));
    world.refer("ann", ann, &uri("sip:bob@offhook"));
    assert_eq!(world.told_of_transfers("ann"), [202, 100]);
    assert!(world.hears_music());
    assert_eq!(world.exchange.calls(world.now)[0].state, "transferring");
    world.run(Span::from_s(5));
    let (bob, _, from) = world.ringing("bob").expect("bob's phone rings");
    assert!(from.contains("carrier2"), "the customer's number is shown: {from}");
    world.answer("bob", bob);
    assert_eq!(world.told_of_transfers("ann"), [202, 100, 200]);
    assert!(world.ended("ann", ann), "the exchange hangs up on the phone that transferred");
    assert_eq!((world.state(100).0, world.state(101).0), ("wrap-up", "not-ready"));
    assert!(world.hears_somebody());
    world.run(Span::from_s(30));
    world.hang_up("carrier2", customer);
    let record = &world.settled()[0];
    assert_eq!(talks(record), [(Some(ANN), 10), (Some(BOB), 30)]);
    assert_eq!(outcomes(record), [(Some(ANN), Some(BOB), 200)]);
    assert_eq!((record.agent, record.end), (Some(ANN), CallEnd::CallerHungUp));
}

#[test]
fn a_busy_a_silent_and_an_unknown_target_bring_the_customer_back() {
    for (target, wait, status) in [("bob", None, 486), ("carl", Some(TRANSFER_RINGS_FOR), 480), ("nobody", None, 404)] {
        let (mut world, customer, ann) = served();
        world.refer("ann", ann, &uri(&format!("sip:{target}@offhook")));
        match wait {
            Some(wait) => {
                assert!(world.hears_music());
                world.run(wait);
                let (rang, ..) = world.ringing(target).expect("it rang");
                assert!(world.ended(target, rang), "the phone that nobody picked up is cancelled");
            }
            None if target == "bob" => {
                let (rings, ..) = world.ringing(target).expect("bob's phone rings");
                world.refuse(target, rings, status);
            }
            None => {}
        }
        assert_eq!(world.told_of_transfers("ann").last(), Some(&status), "{target}");
        assert!(world.hears_somebody() && !world.ended("ann", ann), "{target}: the two talk again");
        assert_eq!(world.state(100).0, "busy");
        world.hang_up("ann", ann);
        assert!(world.ended("carrier2", customer));
        let record = &world.settled()[0];
        assert_eq!(outcomes(record), [(Some(ANN), None, status)]);
        assert_eq!(record.end, CallEnd::AgentHungUp);
    }
}

#[test]
fn a_colleague_in_a_call_is_busy_for_a_transfer_at_once() {
    let (mut world, customer, ann) = served();
    let theirs = world.dial("bob", "carl", Some(credentials("bob")));
    world.refer("ann", ann, &uri("sip:bob@offhook"));
    assert_eq!(world.told_of_transfers("ann"), [202, 100, 486]);
    assert!(world.hears_somebody());
    world.hang_up("bob", theirs);
    world.hang_up("carrier2", customer);
    world.settled();
}

#[test]
fn a_customer_who_hangs_up_in_the_middle_ends_it_for_everybody() {
    let (mut world, customer, ann) = served();
    world.refer("ann", ann, &uri("sip:bob@offhook"));
    let (bob, ..) = world.ringing("bob").expect("bob's phone rings");
    world.hang_up("carrier2", customer);
    assert!(world.ended("bob", bob) && world.ended("ann", ann));
    assert_eq!(world.state(100).0, "wrap-up");
    let record = &world.settled()[0];
    assert_eq!((record.end, outcomes(record)), (CallEnd::CallerHungUp, vec![(Some(ANN), None, 487)]));
}

#[test]
fn a_transferor_who_hangs_up_in_the_middle_is_free_and_the_target_rings_on() {
    let (mut world, customer, ann) = served();
    world.refer("ann", ann, &uri("sip:bob@offhook"));
    world.hang_up("ann", ann);
    assert_eq!(world.state(100).0, "wrap-up");
    assert!(world.hears_music());
    let (bob, ..) = world.ringing("bob").expect("bob's phone rings");
    world.answer("bob", bob);
    assert!(world.hears_somebody());
    world.hang_up("bob", bob);
    assert!(world.ended("carrier2", customer));
    let record = &world.settled()[0];
    assert_eq!(outcomes(record), [(Some(ANN), Some(BOB), 200)]);
}

#[test]
fn a_customer_whom_nobody_takes_back_waits_in_front_of_the_queue() {
    let (mut world, customer, ann) = served();
    world.refer("ann", ann, &uri("sip:carl@offhook"));
    world.hang_up("ann", ann);
    let (carl, ..) = world.ringing("carl").expect("carl's phone rings");
    let later = world.dial("carrier2", "700", None);
    let (bob, ..) = world.ringing("bob").expect("bob is free for the later one");
    world.refuse("carl", carl, 486);
    assert!(!world.ended("carrier2", customer));
    let view = world.exchange.calls(world.now)[0].clone();
    assert_eq!((view.queue.as_deref(), view.position), (Some("sales"), Some(1)), "{}", view.state);
    world.hang_up("carrier2", customer);
    world.refuse("bob", bob, 486);
    world.hang_up("carrier2", later);
    let records = world.settled();
    assert_eq!(records.iter().find(|record| !record.transfers.is_empty()).map(|r| r.end), Some(CallEnd::Abandoned));
}

#[test]
fn a_transfer_into_a_queue_is_over_at_once_and_an_empty_queue_refuses_it() {
    let (mut world, customer, ann) = served();
    world.refer("ann", ann, &uri("sip:701@offhook"));
    assert_eq!(world.told_of_transfers("ann"), [202, 100, 480], "nobody serves it");
    assert!(world.hears_somebody());
    world.refer("ann", ann, &uri("sip:700@offhook"));
    assert_eq!(world.told_of_transfers("ann")[3..], [202, 100, 200]);
    assert!(world.ended("ann", ann));
    let (bob, ..) = world.ringing("bob").expect("the next agent's phone rings");
    world.answer("bob", bob);
    assert_eq!((world.state(100).0, world.state(101).0), ("wrap-up", "busy"), "bob serves it");
    world.hang_up("carrier2", customer);
    let record = &world.settled()[0];
    assert_eq!(outcomes(record), [(Some(ANN), None, 480), (Some(ANN), None, 200)]);
    assert_eq!(talks(record).iter().map(|talk| talk.0).collect::<Vec<_>>(), [Some(ANN), Some(ANN), Some(BOB)]);
}

#[test]
fn outside_is_for_those_who_may_and_only_as_often_as_they_may() {
    let (mut world, customer, ann) = served();
    for (number, status) in [("0301", None), ("90123", Some(404))] {
        world.refer("ann", ann, &uri(&format!("tel:{number}")));
        assert_eq!(world.told_of_transfers("ann").last(), Some(&status.unwrap_or(100)), "{number}");
        if status.is_none() {
            let (out, uri, _) = world.ringing("carrier2").expect("the carrier's INVITE");
            assert!(uri.starts_with("sip:0301@"), "{uri}");
            let second = world.dial("ann", "0302", Some(credentials("ann")));
            assert_eq!(world.refused_with("ann", second), Some(503), "one outside call at once");
            world.refuse("carrier2", out, 486);
        }
    }
    world.refer("ann", ann, &uri("sip:0303@offhook"));
    let (out, ..) = world.ringing("carrier2").expect("the carrier's INVITE");
    world.answer("carrier2", out);
    assert!(world.ended("ann", ann));
    world.hang_up("carrier2", out);
    assert!(world.ended("carrier2", customer));
    let record = &world.settled()[0];
    assert_eq!(record.out_trunk.as_deref(), Some("carrier"));
}

#[test]
fn a_carrier_transfers_nobody_and_no_second_transfer_begins_while_one_runs() {
    let (mut world, customer, ann) = served();
    world.refer("carrier2", customer, &uri("sip:bob@offhook"));
    assert_eq!(world.told_of_transfers("carrier2"), [403]);
    world.refer("ann", ann, &uri("sip:bob@offhook"));
    let now = world.now;
    assert!(!world.at("ann").endpoint.refer(now, ann, &uri("sip:carl@offhook")));
    assert_eq!(world.exchange.counters().transfers_refused, 1);
    world.hang_up("carrier2", customer);
    world.settled();
}

#[test]
fn who_called_outside_transfers_the_far_end_to_a_colleague() {
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], None)]);
    let call = world.dial("ann", "0301", Some(credentials("ann")));
    let (out, ..) = world.ringing("carrier2").expect("the carrier's INVITE");
    world.answer("carrier2", out);
    world.run(Span::from_s(4));
    world.refer("ann", call, &uri("sip:bob@offhook"));
    let (bob, _, from) = world.ringing("bob").expect("bob's phone rings");
    assert!(from.contains("0301"), "the number outside is shown: {from}");
    assert!(world.hears_music());
    world.answer("bob", bob);
    assert!(world.ended("ann", call));
    assert!(world.hears_somebody());
    world.hang_up("carrier2", out);
    assert!(world.ended("bob", bob));
    let record = &world.settled()[0];
    assert_eq!(outcomes(record), [(Some(ANN), Some(BOB), 200)]);
}

/// Ann holds the customer and talks to carl. Gives the customer's leg, ann's two, and carl's.
pub fn consulting() -> (World, SessionId, SessionId, SessionId, SessionId) {
    let (mut world, customer, ann) = served();
    world.hold("ann", ann, Direction::SendOnly);
    assert!(world.hears_music());
    let consultation = world.dial("ann", "carl", Some(credentials("ann")));
    let (carl, ..) = world.ringing("carl").expect("carl's phone rings");
    world.answer("carl", carl);
    (world, customer, ann, consultation, carl)
}

/// The address that the phone puts into Refer-To for an attended transfer.
pub fn consulted(world: &mut World, who: &str, session: SessionId) -> Uri {
    let replaces = world.at(who).endpoint.replaces_of(session).expect("the call is up");
    uri("sip:whoever@offhook").with_header("Replaces", &replaces.to_string())
}

#[test]
fn a_customer_and_a_consulted_colleague_are_joined_and_the_agent_leaves_both() {
    for from_the_consultation in [false, true] {
        let (mut world, customer, ann, consultation, carl) = consulting();
        world.run(Span::from_s(10));
        let (asks, named) = if from_the_consultation { (consultation, ann) } else { (ann, consultation) };
        let target = consulted(&mut world, "ann", named);
        let legs = |world: &World| -> Vec<_> {
            let legs = world.plans.values().flat_map(|plan| plan.legs.iter().map(|leg| (plan.call, leg.clone())));
            legs.collect()
        };
        let before = legs(&world);
        world.refer("ann", asks, &target);
        assert_eq!(world.told_of_transfers("ann"), [202, 100, 200]);
        assert!(world.ended("ann", ann) && world.ended("ann", consultation));
        assert_eq!((world.state(100).0, world.state(102).0), ("wrap-up", "not-ready"));
        let [(worker, goes)] = world.moves[..] else { panic!("{:?}", world.moves) };
        let place = |legs: &[(CallId, LegPlan)]| legs.iter().find(|(_, leg)| leg.leg == goes.leg).cloned();
        let (was, is) = (place(&before).expect("a leg"), place(&legs(&world)).expect("the same leg"));
        assert_eq!((was.0, is.0), (goes.from, goes.to));
        assert_eq!((LegPlan { moved: true, ..was.1 }, goes.from.0 as usize % 4), (is.1, worker), "port and numbers");
        assert_eq!(goes.to.0 as usize % 4, goes.worker);
        let told = |event: &Event| matches!(event, Event::Reoffered { session, .. } if *session == carl);
        assert!(!world.at("carl").events.iter().any(told), "carl's phone is told nothing");
        assert!(world.hears_somebody());
        assert_eq!(world.plans.values().next().map(|plan| plan.edges.len()), Some(2), "both ways");
        world.run(Span::from_s(20));
        world.hang_up("carl", carl);
        assert!(world.ended("carrier2", customer));
        let records = world.settled();
        let joined = records.iter().find(|record| record.joined.is_some()).expect("the consultation");
        let kept = records.iter().find(|record| record.joined.is_none()).expect("the customer's");
        assert_eq!((joined.end, joined.joined), (CallEnd::Transferred, Some(kept.id)));
        assert!(kept.transfers[0].attended && kept.recording.is_some());
        assert_eq!(outcomes(kept), [(Some(ANN), Some(CARL), 200)]);
        assert_eq!(talks(kept).last(), Some(&(Some(CARL), 20)));
        assert_eq!(kept.end, CallEnd::AgentHungUp);
    }
}

#[test]
fn a_colleague_who_holds_when_the_two_are_joined_holds_the_customer() {
    let (mut world, customer, ann, consultation, carl) = consulting();
    world.hold("carl", carl, Direction::SendOnly);
    let target = consulted(&mut world, "ann", consultation);
    world.refer("ann", ann, &target);
    assert_eq!(world.told_of_transfers("ann"), [202, 100, 200]);
    assert!(world.hears_music());
    world.hold("carl", carl, Direction::SendRecv);
    assert!(world.hears_somebody());
    world.hang_up("carrier2", customer);
    world.settled();
}

#[test]
fn what_a_worker_told_of_a_leg_before_it_moved_is_told_of_the_call_that_it_is_in() {
    let (mut world, customer, ann, consultation, carl) = consulting();
    let target = consulted(&mut world, "ann", consultation);
    world.refer("ann", ann, &target);
    let (_, goes) = world.moves[0];
    // Under way while the leg moved: its ports are gone.
    let event = MediaEvent::LegFailed { call: goes.from, leg: goes.leg, error: "no more".to_owned() };
    let now = world.now;
    world.exchange.handle(now, Input::Media { worker: 0, event });
    world.run(Span::from_ms(100));
    assert!(world.ended("carl", carl) && world.ended("carrier2", customer));
    world.settled();
}

#[test]
fn nobody_joins_calls_that_are_not_the_own_ones() {
    let (mut world, customer, ann, consultation, carl) = consulting();
    let target = consulted(&mut world, "ann", consultation);
    world.refer("carl", carl, &target);
    assert_eq!(world.told_of_transfers("carl"), [202, 100, 403]);
    let wrong = uri("sip:x@offhook?Replaces=unknown%3Bto-tag%3Da%3Bfrom-tag%3Db");
    world.refer("ann", ann, &wrong);
    assert_eq!(world.told_of_transfers("ann"), [202, 100, 481]);
    assert!(!world.ended("ann", ann) && !world.ended("ann", consultation));
    world.hang_up("ann", consultation);
    world.hang_up("carrier2", customer);
    world.settled();
}

#[test]
fn both_hang_up_while_the_move_is_under_way_and_nothing_is_left() {
    let (mut world, customer, ann, consultation, carl) = consulting();
    let target = consulted(&mut world, "ann", consultation);
    world.refer("ann", ann, &target);
    let now = world.now;
    world.at("carl").endpoint.hang_up(now, carl, None);
    world.hang_up("carrier2", customer);
    world.settled();
}

/// `who` sends an INVITE that takes the place of `session` of `whose`.
fn replace(world: &mut World, who: &str, whose: &str, session: SessionId) -> SessionId {
    let replaces = world.at(whose).endpoint.replaces_of(session).expect("the call is up").to_string();
    invite_replacing(world, who, replaces)
}

fn invite_replacing(world: &mut World, who: &str, replaces: String) -> SessionId {
    let (now, at) = (world.now, World::address(who));
    let invite = Invite {
        flow: flow_from(at),
        uri: uri("sip:anything@offhook"),
        from: format!("<sip:{who}@offhook>").parse().expect("a name"),
        to: "<sip:anything@offhook>".parse().expect("a name"),
        contact: uri(&format!("sip:{who}@{at}")),
        headers: vec![("Replaces".to_owned(), replaces)],
        body: Some(media(at)),
        credentials: (who != "carrier2").then(|| credentials(who)),
    };
    let session = world.at(who).endpoint.invite(now, invite).expect("room");
    world.run(Span::from_ms(100));
    session
}

#[test]
fn a_phone_of_ours_takes_a_place_in_a_call_and_a_carrier_does_not() {
    let (mut world, customer, ann) = served();
    let carrier = replace(&mut world, "carrier2", "ann", ann);
    assert_eq!(world.refused_with("carrier2", carrier), Some(403));
    let unknown = invite_replacing(&mut world, "bob", "x;to-tag=1;from-tag=2".to_owned());
    assert_eq!(world.refused_with("bob", unknown), Some(481));
    let bob = replace(&mut world, "bob", "ann", ann);
    assert!(world.was_answered("bob", bob) && world.ended("ann", ann));
    assert!(world.hears_somebody());
    assert_eq!((world.state(100).0, world.state(101).0), ("wrap-up", "not-ready"));
    world.hang_up("bob", bob);
    assert!(world.ended("carrier2", customer));
    let record = &world.settled()[0];
    assert_eq!(outcomes(record), [(Some(ANN), Some(BOB), 200)]);
}

#[test]
fn a_phone_that_rings_without_a_queue_is_picked_up_at_another_one() {
    let mut world = World::new(Vec::new());
    let call = world.dial("ann", "carl", Some(credentials("ann")));
    let (carl, ..) = world.ringing("carl").expect("carl's phone rings");
    let now = world.now;
    world.at("carl").endpoint.progress(now, carl, 180, None);
    world.run(Span::from_ms(100));
    let bob = replace(&mut world, "bob", "carl", carl);
    assert!(world.was_answered("bob", bob) && world.was_answered("ann", call));
    let elsewhere = "SIP;cause=200;text=\"Call completed elsewhere\"".to_owned();
    assert_eq!(world.cancel_reasons, [Some(elsewhere)], "the phone shows no missed call");
    assert!(world.ended("carl", carl));
    world.hang_up("ann", call);
    let ended =
        world.at("bob").events.iter().any(|e| matches!(e, Event::Ended { cause: EndCause::PeerBye { .. }, .. }));
    assert!(ended);
    world.settled();
}
