//! A waiting contact is given to an agent by hand.

mod desk;

use desk::Desk;
use offhook_acd::{Acd, AgentKind, Command, OfferEnd, Preferred, Refusal, Strategy};
use offhook_units::{AgentId, ContactId, Span};

fn give(contact: u64, agent: u64, wait_s: u64) -> Command {
    Command::Give { contact: ContactId(contact), to: Preferred { agent: AgentId(agent), wait: Span::from_s(wait_s) } }
}

#[test]
fn the_chosen_agent_is_rung_at_once_and_whoever_rang_is_left_alone_without_blame() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.pass_s(10);
    desk.agent(2, 1, 2);
    desk.enter(1);
    assert_eq!(desk.ringing(1), [1], "who has been free for longer");
    desk.run(give(1, 2, 30));
    assert_eq!(desk.ringing(1), [2]);
    assert_eq!((desk.kind(1), desk.last_withdrawal()), (AgentKind::Available, Some(OfferEnd::GivenToAnother)));
    desk.enter(2);
    assert_eq!(desk.ringing(2), [1], "and may be asked about the next one");
    assert_eq!(Acd::replay(7, desk.log.clone()).state_hash(), desk.acd.state_hash());
}

#[test]
fn of_all_who_ring_the_chosen_one_rings_on() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::RingAll);
    for agent in 1..=3 {
        desk.agent(agent, 1, agent as u32);
    }
    desk.enter(1);
    assert_eq!(desk.ringing(1), [1, 2, 3]);
    desk.run(give(1, 2, 30));
    assert_eq!(desk.ringing(1), [2]);
    desk.accept(2);
    assert_eq!(desk.kind(2), AgentKind::Busy);
}

#[test]
fn a_busy_agent_is_waited_for_while_others_are_free_and_then_the_strategy_decides() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.accept(1);
    desk.agent(2, 1, 2);
    desk.enter(2);
    desk.run(give(2, 1, 30));
    assert!(desk.ringing(2).is_empty(), "agent 2 is free, and is not asked");
    desk.pass_s(30);
    assert_eq!(desk.ringing(2), [2]);
}

#[test]
fn it_is_refused_where_it_could_only_fail() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.agent(2, 1, 2);
    desk.run(Command::SetNotReady { agent: AgentId(2), reason: "lunch".to_owned() });
    desk.enter(1);
    assert_eq!(desk.try_run(give(1, 2, 30)), Err(Refusal::CannotTake(AgentId(2))));
    assert_eq!(desk.try_run(give(1, 9, 30)), Err(Refusal::UnknownAgent(AgentId(9))));
    assert_eq!(desk.try_run(give(9, 1, 30)), Err(Refusal::UnknownContact(ContactId(9))));
    assert!(matches!(desk.try_run(give(1, 1, 0)), Err(Refusal::Misuse(_))));
    desk.accept(1);
    assert_eq!(desk.try_run(give(1, 1, 30)), Err(Refusal::BeingServed(ContactId(1))));
}
