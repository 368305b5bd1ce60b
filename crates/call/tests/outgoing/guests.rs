//! Supervisors and third parties in a call: who hears whom, turn by turn, and who may.

use offhook_call::guests::{Denied, Part, Supervision};
use offhook_call::record::CallEnd;
use offhook_call::{Command, GUEST_RINGS_FOR, GUESTS_MAX, Input};
use offhook_plan::Source;
use offhook_sip::SessionId;
use offhook_units::{AgentId, CallId, LegId, Span};

use super::transfers::{ANN, BOB, CARL, consulted, consulting, served, talks, uri};
use crate::desk::{World, credentials, trunk};

impl World {
    pub(super) fn ask(&mut self, command: Command) -> Result<(), Denied> {
        let now = self.now;
        self.exchange.handle(now, Input::Command(command));
        let denied = self.exchange.denied().cloned();
        self.run(Span::from_ms(100));
        denied.map_or(Ok(()), Err)
    }

    pub(super) fn newest(&self) -> CallId {
        self.exchange.calls(self.now).last().expect("a call").id
    }

    fn supervise(&mut self, by: AgentId, wish: Supervision) -> Result<(), Denied> {
        let call = self.newest();
        self.ask(Command::Supervise { call, by, wish })
    }

    /// Who hears whom in the newest call: legs by their place in the plan, `m` for music. `1<0` is: the second hears the first.
    pub(super) fn edges(&self) -> Vec<String> {
        let plan = self.plans.values().next_back().expect("a call");
        let place = |leg: LegId| plan.legs.iter().position(|known| known.leg == leg).expect("a leg of the plan");
        let mut edges: Vec<String> = plan
            .edges
            .iter()
            .map(|edge| match &edge.from {
                Source::Leg(from) => format!("{}<{}", place(edge.to), place(*from)),
                Source::Player(_) => format!("{}<m", place(edge.to)),
            })
            .collect();
        edges.sort();
        edges
    }

    /// Whose phone rings, and what it is asked.
    pub(super) fn rung_guest(&mut self, who: &str) -> SessionId {
        self.ringing(who).unwrap_or_else(|| panic!("{who}'s phone rings")).0
    }
}

/// carl supervises a call of ann's.
fn supervised(wish: Supervision) -> (World, SessionId, SessionId, SessionId) {
    let (mut world, customer, ann) = served();
    assert_eq!(world.supervise(CARL, wish), Ok(()));
    let carl = world.rung_guest("carl");
    assert_eq!(world.edges(), ["0<1", "1<0"], "nothing changes while the phone rings");
    world.answer("carl", carl);
    (world, customer, ann, carl)
}

#[test]
fn a_supervisor_listens_whispers_joins_in_and_leaves_and_each_hears_whom_it_should() {
    let (mut world, customer, _, carl) = supervised(Supervision::Listen);
    assert_eq!(world.edges(), ["0<1", "1<0", "2<0", "2<1"]);
    assert_eq!(world.state(102), ("not-ready", Some("on-the-phone".to_owned())));
    let view = world.exchange.calls(world.now).remove(0);
    let guests: Vec<_> = view.guests.iter().map(|guest| (guest.name.as_str(), guest.part)).collect();
    assert_eq!((view.state, guests), ("talking", vec![("carl", Part::Listen)]));
    world.run(Span::from_s(5));
    assert_eq!(world.supervise(CARL, Supervision::Whisper), Ok(()));
    assert_eq!(world.edges(), ["0<1", "1<0", "1<2", "2<0", "2<1"], "the customer hears ann alone");
    world.run(Span::from_s(3));
    assert_eq!(world.supervise(CARL, Supervision::Barge), Ok(()));
    assert_eq!(world.edges(), ["0<1", "0<2", "1<0", "1<2", "2<0", "2<1"]);
    world.run(Span::from_s(2));
    assert_eq!(world.supervise(CARL, Supervision::Leave), Ok(()));
    assert!(world.ended("carl", carl));
    assert_eq!(world.edges(), ["0<1", "1<0"]);
    assert_eq!(world.state(102), ("available", None));
    world.hang_up("carrier2", customer);
    let records = world.settled();
    let times: Vec<_> =
        records[0].guests.iter().map(|time| (time.agent, time.part, time.until.since(time.from).as_s())).collect();
    let carl = Some(CARL);
    assert_eq!(times, [(carl, Part::Listen, 5), (carl, Part::Whisper, 3), (carl, Part::Barge, 2)]);
    assert_eq!(
        (records[0].end, records[0].agent, talks(&records[0])[0].0),
        (CallEnd::CallerHungUp, Some(ANN), Some(ANN))
    );
}

#[test]
fn what_a_listening_supervisor_said_aside_is_not_heard_after_turning_to_whisper() {
    let since = |world: &World, guest: LegId| {
        let plan = world.plans.values().next_back().expect("a call");
        let from = |edge: &&offhook_plan::Edge| edge.from == Source::Leg(guest);
        plan.edges.iter().find(from).map(|edge| edge.since)
    };
    let (mut world, customer, ..) = supervised(Supervision::Listen);
    let guest = world.exchange.calls(world.now)[0].guests[0].id;
    world.run(Span::from_s(2));
    assert_eq!(world.supervise(CARL, Supervision::Whisper), Ok(()));
    // Packets are held of whom nobody hears: none of them is sent on.
    assert_eq!(since(&world, guest), Some(offhook_units::Tick::MAX));
    world.hang_up("carrier2", customer);
    // Who comes to whisper is heard from the first word on.
    let (world, ..) = supervised(Supervision::Whisper);
    let guest = world.exchange.calls(world.now)[0].guests[0].clone();
    assert_eq!(since(&world, guest.id), guest.joined);
}

#[test]
fn the_supervisors_phone_is_asked_to_answer_by_itself_and_shows_who_calls_whom() {
    let (mut world, ..) = served();
    world.supervise(CARL, Supervision::Listen).expect("he may");
    let (_, _, from) = world.ringing("carl").expect("it rings");
    assert!(from.contains("carrier2") && from.contains("sales"), "{from}");
    let invite = world.at("carl").events.iter().rev().find_map(|event| match event {
        offhook_sip::Event::Invited { request, .. } => Some(request.clone()),
        _ => None,
    });
    let headers = invite.expect("an INVITE").headers;
    assert!(headers.get("Call-Info").is_some_and(|info| info.ends_with(";answer-after=0")));
    assert!(headers.get("Alert-Info").is_some_and(|info| info.contains(";info=alert-autoanswer")));
}

#[test]
fn who_takes_over_talks_to_the_customer_and_the_agent_goes_to_wrap_up() {
    let (mut world, customer, ann, carl) = supervised(Supervision::Whisper);
    world.run(Span::from_s(4));
    assert_eq!(world.supervise(CARL, Supervision::TakeOver), Ok(()));
    assert!(world.ended("ann", ann) && !world.ended("carl", carl) && !world.ended("carrier2", customer));
    assert_eq!(world.state(100).0, "wrap-up");
    assert_eq!(world.edges(), ["0<1", "1<0"]);
    assert!(world.exchange.calls(world.now)[0].guests.is_empty());
    world.run(Span::from_s(6));
    world.hang_up("carl", carl);
    let records = world.settled();
    let talks: Vec<_> = talks(&records[0]).into_iter().map(|(agent, _)| agent).collect();
    assert_eq!((talks, records[0].end), (vec![Some(ANN), Some(CARL)], CallEnd::AgentHungUp));
    assert_eq!(records[0].transfers.iter().map(|t| (t.by, t.to)).collect::<Vec<_>>(), [(Some(ANN), Some(CARL))]);
}

#[test]
fn who_asks_to_take_over_at_once_does_so_when_the_phone_is_picked_up() {
    let (mut world, customer, ann, carl) = supervised(Supervision::TakeOver);
    assert!(world.ended("ann", ann) && !world.ended("carrier2", customer));
    assert_eq!(world.edges(), ["0<1", "1<0"]);
    world.hang_up("carl", carl);
    assert_eq!(world.settled().len(), 1);
}

#[test]
fn a_call_ends_for_its_supervisor_when_it_ends_for_the_two() {
    for listener in [true, false] {
        let (mut world, customer, ann, carl) =
            supervised(if listener { Supervision::Listen } else { Supervision::Whisper });
        if listener {
            world.hang_up("carrier2", customer);
        } else {
            world.hang_up("ann", ann);
        }
        assert!(world.ended("carl", carl));
        assert_eq!(world.settled().len(), 1);
    }
}

#[test]
fn where_the_agent_hangs_up_the_customer_stays_with_the_supervisor_who_had_joined_in() {
    let (mut world, customer, ann, carl) = supervised(Supervision::Barge);
    world.hang_up("ann", ann);
    assert!(!world.ended("carrier2", customer) && !world.ended("carl", carl));
    assert_eq!((world.edges(), world.state(100).0), (vec!["0<1".to_owned(), "1<0".to_owned()], "wrap-up"));
    world.hang_up("carrier2", customer);
    let records = world.settled();
    assert_eq!(talks(&records[0]).into_iter().map(|(agent, _)| agent).collect::<Vec<_>>(), [Some(ANN), Some(CARL)]);
}

#[test]
fn nobody_supervises_without_a_right_a_call_or_a_phone() {
    let (mut world, customer, ann) = served();
    assert_eq!(world.supervise(BOB, Supervision::Listen), Err(Denied::NotAllowed("bob".to_owned())));
    assert_eq!(world.supervise(AgentId(9), Supervision::Listen), Err(Denied::NoAgent(AgentId(9))));
    let unknown = Command::Supervise { call: CallId(7), by: CARL, wish: Supervision::Listen };
    assert_eq!(world.ask(unknown), Err(Denied::NoCall(CallId(7))));
    assert!(matches!(world.supervise(CARL, Supervision::Leave), Err(Denied::Elsewhere(_))));
    // carl's own call is nobody's queue: he supervises sales alone.
    let own = world.dial("carl", "bob", Some(credentials("carl")));
    let (bob, ..) = world.ringing("bob").expect("it rings");
    world.answer("bob", bob);
    assert_eq!(world.supervise(CARL, Supervision::Listen), Err(Denied::NotAllowed("carl".to_owned())));
    let first = world.exchange.calls(world.now)[0].id;
    let busy = Command::Supervise { call: first, by: CARL, wish: Supervision::Listen };
    assert!(matches!(world.ask(busy), Err(Denied::Elsewhere("the supervisor's phone is in another call"))));
    world.hang_up("carl", own);
    world.hang_up("carrier2", customer);
    assert!(world.ended("ann", ann));
    world.settled();
}

#[test]
fn a_call_that_only_waits_cannot_be_listened_to() {
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], None)]);
    let customer = world.dial("carrier2", "700", None);
    assert_eq!(world.supervise(CARL, Supervision::Listen), Err(Denied::NotTalking));
    world.hang_up("carrier2", customer);
}

#[test]
fn a_supervisor_who_does_not_pick_up_in_30_s_or_declines_is_no_guest_and_the_two_talk_on() {
    let (mut world, customer, _) = served();
    for declines in [false, true] {
        world.supervise(CARL, Supervision::Listen).expect("he may");
        let carl = world.rung_guest("carl");
        if declines {
            world.refuse("carl", carl, 486);
        } else {
            world.run(GUEST_RINGS_FOR);
            assert!(world.ended("carl", carl));
        }
        assert_eq!((world.edges().len(), world.state(102)), (2, ("available", None)));
        assert!(world.exchange.calls(world.now)[0].guests.is_empty());
    }
    world.hang_up("carrier2", customer);
    assert_eq!(world.settled()[0].guests, []);
}

#[test]
fn an_agent_brings_a_colleague_and_a_number_outside_in_and_all_four_hear_each_other() {
    let (mut world, customer, ann) = served();
    let call = world.newest();
    for (number, who) in [("bob", "bob"), ("030123", "carrier2")] {
        assert_eq!(world.ask(Command::BringIn { call, by: ANN, number: number.to_owned() }), Ok(()));
        let guest = world.rung_guest(who);
        world.answer(who, guest);
    }
    let all: Vec<String> =
        (0..4).flat_map(|to| (0..4).filter(move |from| *from != to).map(move |from| format!("{to}<{from}"))).collect();
    assert_eq!(world.edges(), all);
    assert_eq!(
        world.exchange.calls(world.now)[0].guests.iter().map(|g| g.name.clone()).collect::<Vec<_>>(),
        ["bob", "030123"]
    );
    // Who was brought in has no supervisor's rights by it.
    for wish in [Supervision::TakeOver, Supervision::Listen, Supervision::Leave] {
        assert!(world.supervise(BOB, wish).is_err(), "{wish:?}");
    }
    assert_eq!(world.exchange.calls(world.now)[0].guests[0].part, Part::Party);
    // One of them is sent off, then ann leaves: the customer talks on with bob.
    let outside = world.exchange.calls(world.now)[0].guests[1].id;
    assert_eq!(world.ask(Command::SendOff { call, guest: outside }), Ok(()));
    assert_eq!(world.edges().len(), 6);
    world.hang_up("ann", ann);
    assert_eq!(world.edges(), ["0<1", "1<0"]);
    world.run(Span::from_s(2));
    world.hang_up("carrier2", customer);
    let records = world.settled();
    assert_eq!(talks(&records[0]).into_iter().map(|(agent, _)| agent).collect::<Vec<_>>(), [Some(ANN), Some(BOB)]);
    let guests: Vec<_> = records[0].guests.iter().map(|time| (time.agent, time.part)).collect();
    assert_eq!(guests, [(None, Part::Party), (Some(BOB), Part::Party)]);
}

#[test]
fn who_may_not_call_a_number_may_not_bring_it_in_either() {
    let (mut world, customer, _) = served();
    let call = world.newest();
    let bring = |number: &str| Command::BringIn { call, by: ANN, number: number.to_owned() };
    assert_eq!(world.ask(bring("00999")).err(), None, "it begins with 0");
    let number = world.exchange.calls(world.now)[0].guests[0].id;
    // ann's account may have one call outside at a time.
    assert_eq!(world.ask(bring("030124")), Err(Denied::Number(503)));
    assert_eq!(world.ask(Command::SendOff { call, guest: number }), Ok(()));
    assert_eq!(world.ask(bring("nobody")), Err(Denied::Number(404)));
    assert!(matches!(world.ask(bring("700")), Err(Denied::Elsewhere(_))), "a queue");
    let stranger = Command::BringIn { call, by: CARL, number: "bob".to_owned() };
    assert!(matches!(world.ask(stranger), Err(Denied::Elsewhere(_))));
    world.hang_up("carrier2", customer);
    world.settled();
}

#[test]
fn a_guest_hears_the_customer_while_the_agent_transfers_and_is_there_when_that_fails() {
    let (mut world, customer, ann, carl) = supervised(Supervision::Listen);
    world.refer("ann", ann, &uri("sip:bob@offhook"));
    assert!(world.edges().iter().any(|edge| edge.starts_with('0') && edge.ends_with('m')), "{:?}", world.edges());
    let (bob, ..) = world.ringing("bob").expect("bob's phone rings");
    world.refuse("bob", bob, 486);
    assert_eq!(world.edges().len(), 4);
    assert!(!world.ended("carl", carl));
    world.hang_up("carrier2", customer);
    world.settled();
}

#[test]
fn a_conference_has_32_at_most() {
    let (mut world, customer, _) = served();
    let call = world.newest();
    assert_eq!(GUESTS_MAX, 30);
    let bring = || Command::BringIn { call, by: ANN, number: "112".to_owned() };
    for n in 0..=GUESTS_MAX {
        let asked = world.ask(bring());
        assert_eq!(asked.is_ok(), n < GUESTS_MAX, "{n}: {asked:?}");
    }
    world.hang_up("carrier2", customer);
    world.settled();
}

#[test]
fn a_consulted_colleague_is_joined_to_a_conference_of_which_the_agent_takes_leave() {
    let (mut world, customer, ann, consultation, _) = consulting();
    let call = world.exchange.calls(world.now)[0].id;
    assert_eq!(world.ask(Command::BringIn { call, by: ANN, number: "bob".to_owned() }), Ok(()));
    let bob = world.rung_guest("bob");
    world.answer("bob", bob);
    let target = consulted(&mut world, "ann", consultation);
    world.refer("ann", ann, &target);
    assert!(world.ended("ann", ann) && world.ended("ann", consultation));
    let [(_, goes)] = world.moves[..] else { panic!("{:?}", world.moves) };
    assert_eq!(goes.to, call);
    assert_eq!(world.edges(), ["0<1", "0<2", "1<0", "1<2", "2<0", "2<1"], "customer, carl and bob hear each other");
    assert!(world.plans[&call].legs[1].moved);
    world.hang_up("carrier2", customer);
    world.settled();
}
