//! An integrator is asked whom a contact should go to, and the queue's strategy decides where no answer comes in time.

mod desk;

use desk::Desk;
use offhook_acd::{Acd, Command, Effect, Event, PassedOver, Preferred, Refusal, Standing};
use offhook_units::{AgentId, ContactId, QueueId, Span, VisitId};

const QUEUE: QueueId = QueueId(1);

/// A queue that asks for at most 2 s; agents 1 and 2 are free, 1 for longer.
fn asking() -> Desk {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.pass_s(10);
    desk.agent(2, 1, 2);
    desk.run(Command::SetExternal { queue: QUEUE, within: Some(Span::from_s(2)) });
    desk
}

fn direct(contact: u64, to: Option<(u64, u64)>) -> Command {
    let to = to.map(|(agent, wait_s)| Preferred { agent: AgentId(agent), wait: Span::from_s(wait_s) });
    Command::Direct { contact: ContactId(contact), to }
}

#[test]
fn a_contact_goes_to_whom_the_integrator_names_within_2_s() {
    let mut desk = asking();
    desk.enter(1);
    let deadline = desk.now + Span::from_s(2);
    assert_eq!(desk.effects, [Effect::Ask { contact: ContactId(1), queue: QUEUE, deadline }]);
    assert!(desk.ringing(1).is_empty(), "nobody is rung while somebody thinks");
    let explanation = desk.acd.explain(ContactId(1)).expect("it waits");
    assert_eq!(explanation.candidates[0].standing, Standing::PassedOver(PassedOver::Asking(deadline)));
    desk.pass_s(1);
    desk.run(direct(1, Some((2, 30))));
    assert_eq!(desk.ringing(1), [2], "though agent 1 has been free for longer");
    assert_eq!(Acd::replay(7, desk.log.clone()).state_hash(), desk.acd.state_hash());
}

#[test]
fn without_an_answer_in_time_or_with_one_that_names_nobody_the_strategy_decides() {
    let mut desk = asking();
    desk.enter(1);
    desk.pass_s(2);
    assert_eq!(desk.ringing(1), [1]);
    assert_eq!(desk.try_run(direct(1, Some((2, 30)))), Err(Refusal::NotAsked(ContactId(1))), "too late");
    desk.accept(1);
    desk.finish(1);
    desk.enter(2);
    desk.run(direct(2, None));
    assert_eq!(desk.ringing(2), [2], "agent 2 has been free for longer now, at once");
}

#[test]
fn a_contact_waits_for_a_named_agent_who_is_busy_as_long_as_the_answer_says() {
    let mut desk = asking();
    desk.enter(1);
    desk.run(direct(1, Some((2, 30))));
    desk.accept(2);
    desk.enter(2);
    desk.run(direct(2, Some((2, 30))));
    desk.pass_s(29);
    assert!(desk.ringing(2).is_empty());
    desk.pass_s(1);
    assert_eq!(desk.ringing(2), [1]);
    // Somebody who is not there, or for no time at all, is nobody.
    desk.accept(1);
    desk.finish(2);
    desk.not_ready(2);
    for (contact, agent, wait) in [(3, 2, 30), (4, 1, 0)] {
        desk.enter(contact);
        desk.run(direct(contact, Some((agent, wait))));
        assert_eq!(desk.ringing(contact), [1]);
        desk.accept(1);
        desk.finish(contact);
    }
}

#[test]
fn who_is_asked_about_keeps_the_place_and_others_are_served_meanwhile() {
    let mut desk = asking();
    desk.not_ready(2);
    desk.enter(1);
    desk.run(Command::SetExternal { queue: QUEUE, within: None });
    desk.enter(2);
    assert_eq!(desk.ringing(2), [1], "a contact that came later, and is not asked about");
    desk.accept(1);
    desk.enter(3);
    desk.pass_s(2);
    assert_eq!((desk.acd.position(ContactId(1)), desk.acd.position(ContactId(3))), (Some(1), Some(2)));
    desk.finish(2);
    assert_eq!(desk.ringing(1), [1]);
}

#[test]
fn who_hangs_up_or_moves_while_asked_about_is_asked_about_no_more_or_anew() {
    let mut desk = asking();
    desk.enter(1);
    desk.hang_up(1);
    assert_eq!(desk.try_run(direct(1, None)), Err(Refusal::UnknownContact(ContactId(1))));
    desk.enter(2);
    desk.pass_s(1);
    desk.run(Command::Requeue { contact: ContactId(2), visit: VisitId(99), queue: QUEUE, priority: 0 });
    let asked = desk.log.iter().filter(|(_, event)| matches!(event, Event::Asked { .. })).count();
    desk.pass(Span::from_ms(1_999));
    assert_eq!((asked, desk.ringing(2)), (3, vec![]), "2 s from the new beginning");
    desk.pass(Span::from_ms(1));
    assert_eq!(desk.ringing(2), [1]);
}

#[test]
fn a_wait_for_the_integrator_is_no_sign_of_a_slow_queue() {
    let mut desk = asking();
    desk.not_ready(2);
    for contact in 1..=30 {
        desk.enter(contact);
        desk.pass_s(2);
        desk.accept(1);
        desk.finish(contact);
    }
    desk.enter(31);
    assert_eq!(desk.acd.expected_wait(ContactId(31)), None, "somebody was free for each of them");
}

#[test]
fn nonsense_is_refused_and_what_is_so_already_is_no_event() {
    let mut desk = asking();
    let within = Some(Span::ZERO);
    let refused = desk.try_run(Command::SetExternal { queue: QUEUE, within });
    assert!(matches!(refused, Err(Refusal::Misuse(_))));
    let unknown = Command::SetExternal { queue: QueueId(9), within: None };
    assert_eq!(desk.try_run(unknown), Err(Refusal::UnknownQueue(QueueId(9))));
    let before = desk.log.len();
    desk.run(Command::SetExternal { queue: QUEUE, within: Some(Span::from_s(2)) });
    assert_eq!(desk.log.len(), before);
    desk.enter(1);
    assert_eq!(desk.try_run(direct(1, Some((9, 1)))), Err(Refusal::UnknownAgent(AgentId(9))));
    assert!(desk.ringing(1).is_empty(), "the question is still open");
}
