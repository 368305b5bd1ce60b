//! What agents do at their desks, whatever phone they have.

use offhook_call::Command;
use offhook_call::desk::{DeskView, DeskWish, Entered, TransferTo};
use offhook_call::guests::Denied;
use offhook_call::record::CallRecord;
use offhook_sip::SessionId;
use offhook_units::{AgentId, QueueId, Span};

use super::transfers::{ANN, BOB, CARL, served, talks};
use crate::desk::{World, credentials, trunk};

impl World {
    fn at_desk(&mut self, agent: AgentId, wish: DeskWish) -> Result<(), Denied> {
        self.ask(Command::Desk { agent, call: None, wish })
    }

    fn desk_of(&self, agent: AgentId) -> DeskView {
        self.exchange.desk(agent).expect("an agent")
    }

    fn end(&mut self, customer: SessionId) -> CallRecord {
        self.hang_up("carrier2", customer);
        self.settled().remove(0)
    }
}

/// ann asks carl before she puts the customer through.
fn asking() -> (World, SessionId, SessionId, SessionId) {
    let (mut world, customer, ann) = served();
    world.run(Span::from_s(10));
    assert_eq!(world.at_desk(ANN, DeskWish::Consult("carl".to_owned())), Ok(()));
    let carl = world.rung_guest("carl");
    assert_eq!(world.edges(), ["0<m"], "the customer hears music while carl is rung");
    world.answer("carl", carl);
    assert_eq!(world.edges(), ["0<m", "1<2", "2<1"], "ann and carl are among themselves");
    (world, customer, ann, carl)
}

#[test]
fn a_hold_by_the_desk_plays_music_for_8_s_and_is_counted_as_one_whatever_the_phone_does_meanwhile() {
    let (mut world, customer, ann) = served();
    assert_eq!(world.at_desk(ANN, DeskWish::Hold(true)), Ok(()));
    assert_eq!(world.edges(), ["0<m"]);
    assert_eq!(world.exchange.calls(world.now)[0].state, "held");
    assert!(world.desk_of(ANN).calls[0].held);
    world.run(Span::from_s(3));
    world.hold("ann", ann, offhook_plan::Direction::SendOnly);
    world.run(Span::from_s(3));
    world.hold("ann", ann, offhook_plan::Direction::SendRecv);
    assert_eq!(world.edges(), ["0<m"], "the desk's hold is its own");
    let held = world.exchange.acd().agent_figures(ANN, world.now).expect("figures");
    assert_eq!(held.hold, Span::ZERO, "counted when the talk ends");
    world.run(Span::from_s(2));
    assert_eq!(world.at_desk(ANN, DeskWish::Hold(false)), Ok(()));
    assert_eq!(world.edges(), ["0<1", "1<0"]);
    let record = world.end(customer);
    assert!((8_000_000..8_600_000).contains(&record.held_us), "{}", record.held_us);
    let figures = world.exchange.acd().agent_figures(ANN, world.now).expect("figures");
    assert_eq!(figures.hold.as_us(), record.held_us);
}

#[test]
fn nobody_hears_a_muted_agent_who_hears_everybody() {
    let (mut world, customer, _) = served();
    assert_eq!(world.at_desk(ANN, DeskWish::Mute(true)), Ok(()));
    assert_eq!((world.edges(), world.desk_of(ANN).calls[0].muted), (vec!["1<0".to_owned()], true));
    assert_eq!(world.at_desk(ANN, DeskWish::Mute(false)), Ok(()));
    assert_eq!(world.edges(), ["0<1", "1<0"]);
    assert_eq!(world.end(customer).held_us, 0);
}

#[test]
fn a_declined_offer_rings_at_the_next_agent_at_once() {
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], None)]);
    world.dial("carrier2", "700", None);
    assert!(world.ringing("ann").is_some());
    let desk = world.desk_of(ANN);
    let offer = desk.offer.expect("an offer");
    assert_eq!((offer.queue.as_str(), offer.call.caller.as_str()), ("sales", "carrier2"));
    assert_eq!((offer.deadline - desk.agent.since, desk.calls), (Span::from_s(20), vec![]));
    assert_eq!(world.at_desk(BOB, DeskWish::Decline), Err(Denied::NoOffer));
    assert_eq!(world.at_desk(ANN, DeskWish::Decline), Ok(()));
    assert!(world.ringing("bob").is_some());
    assert_eq!(world.at_desk(ANN, DeskWish::Decline), Err(Denied::NoOffer));
    assert_eq!((world.desk_of(ANN).offer, world.state(100).0), (None, "available"));
}

#[test]
fn a_customer_is_put_through_to_whom_the_agent_asked_before_and_is_held_no_more() {
    let (mut world, customer, ann, carl) = asking();
    world.run(Span::from_s(5));
    assert_eq!(world.at_desk(ANN, DeskWish::PutThrough), Ok(()));
    assert!(world.ended("ann", ann));
    assert_eq!((world.edges(), world.state(100).0), (vec!["0<1".to_owned(), "1<0".to_owned()], "wrap-up"));
    let after = world.desk_of(ANN);
    let wrap_up = after.wrap_up.expect("wrap-up");
    assert_eq!((wrap_up.call, wrap_up.queue.as_str(), after.calls.len()), (Some(world.newest()), "sales", 0));
    world.run(Span::from_s(7));
    let record = world.end(customer);
    assert!(world.ended("carl", carl));
    assert_eq!(talks(&record).into_iter().map(|(agent, _)| agent).collect::<Vec<_>>(), [Some(ANN), Some(CARL)]);
    assert!((5_000_000..6_000_000).contains(&record.held_us), "{}", record.held_us);
    assert!(record.transfers[0].attended && record.transfers[0].to == Some(CARL), "{:?}", record.transfers);
}

#[test]
fn a_consultation_becomes_a_conference_or_goes_back_to_the_customer_alone() {
    let (mut world, ..) = asking();
    assert_eq!(world.at_desk(ANN, DeskWish::Hold(false)), Ok(()));
    assert_eq!(world.edges(), ["0<1", "0<2", "1<0", "1<2", "2<0", "2<1"]);
    let (mut world, _, _, carl) = asking();
    assert_eq!(world.at_desk(ANN, DeskWish::TakeBack), Ok(()));
    assert!(world.ended("carl", carl));
    assert_eq!(world.edges(), ["0<1", "1<0"]);
    assert_eq!(world.at_desk(ANN, DeskWish::PutThrough), Err(Denied::NoGuest));
}

#[test]
fn a_customer_goes_blind_to_a_colleague_and_into_a_queue_by_the_desk() {
    let (mut world, customer, ann) = served();
    assert_eq!(
        world.at_desk(ANN, DeskWish::Transfer(TransferTo::Number("nobody".to_owned()))),
        Err(Denied::Number(404))
    );
    assert_eq!(world.edges(), ["0<1", "1<0"], "the two talk on");
    assert_eq!(world.at_desk(ANN, DeskWish::Transfer(TransferTo::Number("bob".to_owned()))), Ok(()));
    let (bob, ..) = world.ringing("bob").expect("bob's phone rings");
    world.answer("bob", bob);
    assert!(world.ended("ann", ann));
    // bob, who was led to without a queue, sends the caller into the one where nobody is, and then to where ann comes free.
    assert_eq!(world.at_desk(BOB, DeskWish::Transfer(TransferTo::Queue(QueueId(2)))), Err(Denied::Number(480)));
    assert_eq!(world.at_desk(BOB, DeskWish::Transfer(TransferTo::Queue(QueueId(9)))), Err(Denied::NoQueue(QueueId(9))));
    assert_eq!(world.at_desk(BOB, DeskWish::Transfer(TransferTo::Queue(QueueId(1)))), Ok(()));
    assert!(world.ended("bob", bob));
    world.run(Span::from_s(21));
    let again = world.ringing("ann").or_else(|| world.ringing("bob"));
    assert!(again.is_some(), "the caller waits in sales again");
    let record = world.end(customer);
    assert_eq!(
        record.transfers.iter().map(|one| (one.to, one.status)).collect::<Vec<_>>(),
        [(None, 404), (Some(BOB), 200), (None, 480), (None, 200),]
    );
}

#[test]
fn hanging_up_by_the_desk_ends_the_call_and_wrap_up_is_extended_and_ended_there() {
    let (mut world, customer, ann) = served();
    assert_eq!(world.at_desk(ANN, DeskWish::WrapUpDone), Err(Denied::NoWrapUp));
    assert_eq!(world.at_desk(ANN, DeskWish::HangUp), Ok(()));
    assert!(world.ended("ann", ann) && world.ended("carrier2", customer));
    assert_eq!(world.at_desk(ANN, DeskWish::ExtendWrapUp(Span::from_s(30))), Ok(()));
    let wrap_up = world.desk_of(ANN).wrap_up.expect("wrap-up");
    assert_eq!(wrap_up.until.map(|until| until - wrap_up.since), Some(Span::from_s(50)));
    world.run(Span::from_s(45));
    assert_eq!(world.state(100).0, "wrap-up");
    assert_eq!(world.at_desk(ANN, DeskWish::WrapUpDone), Ok(()));
    assert_eq!((world.state(100).0, world.desk_of(ANN).wrap_up), ("available", None));
}

#[test]
fn an_agent_touches_no_call_but_the_own_one() {
    let (mut world, ..) = served();
    let call = world.newest();
    for wish in [DeskWish::Hold(true), DeskWish::HangUp, DeskWish::Transfer(TransferTo::Queue(QueueId(1)))] {
        assert_eq!(world.ask(Command::Desk { agent: BOB, call: Some(call), wish }), Err(Denied::NoCall(call)));
    }
    assert_eq!(world.at_desk(AgentId(9), DeskWish::HangUp), Err(Denied::NoAgent(AgentId(9))));
    assert_eq!(world.edges(), ["0<1", "1<0"]);
}

#[test]
fn who_called_is_put_aside_and_put_through_as_well_as_who_was_called() {
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], None)]);
    let ann = world.dial("ann", "030123", Some(credentials("ann")));
    let (outside, ..) = world.ringing("carrier2").expect("the carrier is rung");
    world.answer("carrier2", outside);
    assert!(world.desk_of(ANN).calls[0].outgoing);
    assert_eq!(world.at_desk(ANN, DeskWish::Consult("bob".to_owned())), Ok(()));
    let bob = world.rung_guest("bob");
    world.answer("bob", bob);
    assert_eq!(world.edges(), ["0<2", "1<m", "2<0"]);
    assert_eq!(world.at_desk(ANN, DeskWish::PutThrough), Ok(()));
    assert!(world.ended("ann", ann));
    assert_eq!(world.edges(), ["0<1", "1<0"]);
    world.hang_up("carrier2", outside);
    let record = world.settled().remove(0);
    assert!(record.held_us < 1_000_000 && record.held_us > 0, "{}", record.held_us);
}

#[test]
fn keys_pressed_in_a_menu_are_seen_at_the_offer() {
    let desk = {
        let mut world = World::told(vec![trunk("carrier", 2, &["0"], None)], |config| {
            let menu = offhook_call::config::Menu {
                greeting: Vec::new(),
                invalid: Vec::new(),
                wait_for_digit: Span::from_s(5),
                rounds: 40,
                choices: std::collections::BTreeMap::from([('1', QueueId(1).into())]),
                default: QueueId(2).into(),
            };
            config.flows.insert("main".to_owned(), menu);
            let number = offhook_call::config::Number {
                to: offhook_call::config::Destination::Flow("main".to_owned()),
                ..crate::desk::number()
            };
            config.numbers.insert("702".to_owned(), number);
        });
        world.dial("carrier2", "702", None);
        let call = world.newest();
        let leg = world.plans[&call].legs[0].leg;
        for key in "9".repeat(2).chars().chain(['1']) {
            world.run(Span::from_ms(500));
            world.press(call, leg, key);
        }
        world.desk_of(ANN)
    };
    let entered = desk.offer.expect("an offer").entered;
    let pressed: Vec<_> = entered.iter().map(|Entered { menu, key }| (menu.as_str(), *key)).collect();
    assert_eq!(pressed, [("main", '9'), ("main", '9'), ("main", '1')]);
}

#[test]
fn a_queue_that_wants_a_code_lets_nobody_end_wrap_up_without_one_of_its_own() {
    let mut world = World::told(vec![trunk("carrier", 2, &["0"], None)], |config| {
        config.queues[0].codes = offhook_call::config::WrapUpCodes {
            codes: ["Order/New", "Order/Change", "Complaint"].map(str::to_owned).to_vec(),
            required: true,
        };
    });
    let customer = world.dial("carrier2", "700", None);
    let (ann, ..) = world.ringing("ann").expect("ann's phone rings");
    let call = world.newest();
    assert!(world.exchange.own_caller(ANN, call).is_some() && world.exchange.own_caller(BOB, call).is_none());
    assert_eq!(world.at_desk(ANN, DeskWish::Code(None)), Err(Denied::NoWrapUp), "nothing is taken yet");
    world.answer("ann", ann);
    let codes = world.desk_of(ANN).codes.expect("codes while the talk goes on");
    assert_eq!((codes.codes.len(), codes.required, codes.code, codes.call), (3, true, None, call));
    world.hang_up("carrier2", customer);
    assert_eq!(world.at_desk(ANN, DeskWish::WrapUpDone), Err(Denied::CodeWanted));
    assert_eq!(world.at_desk(ANN, DeskWish::Code(Some("Order".to_owned()))), Err(Denied::NoCode));
    assert_eq!(world.at_desk(ANN, DeskWish::Code(Some("Order/New".to_owned()))), Ok(()));
    assert_eq!(world.desk_of(ANN).codes.and_then(|codes| codes.code).as_deref(), Some("Order/New"));
    assert_eq!(world.at_desk(ANN, DeskWish::WrapUpDone), Ok(()));
    assert_eq!(world.desk_of(ANN).codes, None);
    let taken = world.exchange.taken_last(ANN).expect("a call was taken");
    assert_eq!((taken.call, taken.queue, taken.person), (call, QueueId(1), world.exchange.own_caller(ANN, call)));
    assert!(taken.person.is_some() && world.exchange.own_caller(BOB, call).is_none());
}
