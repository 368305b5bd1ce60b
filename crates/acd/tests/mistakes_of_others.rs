//! What went wrong in other distributors, and does not here.

mod desk;

use desk::Desk;
use offhook_acd::{
    AgentKind, Capacity, Channel, Command, Effect, FlowOut, Formula, Left, NoAgents, Refusal, Strategy, WrapUp,
};
use offhook_units::{AgentId, ContactId, QueueId, Span};

#[test]
fn service_level_is_of_waits_and_an_hour_of_talking_changes_nothing() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.pass_s(5);
    desk.accept(1);
    desk.pass_s(600);
    desk.finish(1);
    let figures = desk.figures();
    assert_eq!(figures.service_level(Formula::Strict), Some(10_000));
    assert_eq!(figures.asa(), Some(Span::from_s(5)));
    assert_eq!((figures.talk, figures.aht()), (Span::from_s(600), Some(Span::from_s(600))));
}

#[test]
fn service_level_does_not_forget_the_abandoned_unless_its_name_says_so() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.accept(1);
    desk.enter(2);
    desk.pass_s(30);
    desk.hang_up(2);
    assert_eq!(desk.figures().service_level(Formula::Strict), Some(5_000));
    assert_eq!(desk.figures().service_level(Formula::AnsweredOnly), Some(10_000));
}

#[test]
fn a_lower_tier_goes_before_days_of_idling_in_a_higher_one() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 2, 1);
    desk.pass_s(3 * 24 * 3_600);
    desk.agent(2, 1, 1);
    desk.enter(1);
    assert_eq!(desk.ringing(1), [2]);
}

#[test]
fn an_agent_on_break_is_not_found_so_the_next_tier_opens_at_once() {
    let mut desk = Desk::with_queue(|queue| queue.tier_waits = vec![Span::ZERO, Span::from_s(60)]);
    desk.agent(1, 1, 1);
    desk.agent(2, 2, 1);
    desk.not_ready(1);
    desk.enter(1);
    assert_eq!(desk.ringing(1), [2]);
}

#[test]
fn a_busy_agent_is_found_so_the_next_tier_opens_after_its_wait() {
    let mut desk = Desk::with_queue(|queue| queue.tier_waits = vec![Span::ZERO, Span::from_s(60)]);
    desk.agent(1, 1, 1);
    desk.agent(2, 2, 1);
    desk.enter(1);
    desk.accept(1);
    desk.enter(2);
    desk.pass(Span::from_ms(59_999));
    assert!(desk.ringing(2).is_empty());
    desk.pass(Span::from_ms(1));
    assert_eq!(desk.ringing(2), [2]);
}

#[test]
fn an_agent_on_break_is_not_found_so_no_agent_timers_fire() {
    let leave_after = Some(Span::from_s(30));
    let mut desk = Desk::with_queue(|queue| queue.no_agents = NoAgents { join: false, leave_after });
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.not_ready(1);
    assert_eq!(desk.try_enter(2, 1, 0), Err(Refusal::NobodyLoggedIn));
    desk.pass_s(30);
    assert_eq!(desk.effects.last(), Some(&Effect::NobodyHere { contact: ContactId(1) }));
    assert_eq!(desk.acd.waiting(QueueId(1)), 1, "the contact waits until it is taken out");
}

#[test]
fn round_robin_goes_by_position_whoever_came_first_and_skips_whom_it_cannot_have() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::RoundRobin);
    for (id, position) in [(3, 10), (1, 30), (4, 40), (2, 20)] {
        desk.agent(id, 1, position);
    }
    assert_eq!([1, 2, 3].map(|contact| desk.served_by(contact)), [3, 2, 1]);
    desk.not_ready(4);
    assert_eq!(desk.served_by(4), 3, "after 30 comes 40, who is on break, then 10");
    desk.ready(4);
    desk.not_ready(3);
    assert_eq!([5, 6, 7, 8].map(|contact| desk.served_by(contact)), [2, 1, 4, 2]);
}

#[test]
fn fewest_calls_is_not_reset_by_a_break_nor_by_going_out_for_lunch() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::FewestCalls);
    desk.agent(1, 1, 1);
    assert_eq!([1, 2].map(|contact| desk.served_by(contact)), [1, 1]);
    desk.agent(2, 1, 1);
    desk.not_ready(1);
    desk.ready(1);
    assert_eq!(desk.served_by(3), 2);
    desk.run(Command::LogOut { agent: AgentId(1) });
    desk.pass_s(3_600);
    desk.run(Command::LogIn { agent: AgentId(1) });
    assert_eq!(desk.served_by(4), 2);
    assert_eq!(desk.served_by(5), 1, "two each: who has been idle longer");
}

#[test]
fn nobody_is_recorded_as_abandoned_who_never_hung_up() {
    let mut desk = Desk::with_queue(|queue| queue.max_wait = Some(Span::from_s(90)));
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.accept(1);
    desk.enter(2);
    desk.pass_s(90);
    assert_eq!(desk.effects.last(), Some(&Effect::WaitedTooLong { contact: ContactId(2) }));
    let outcome = Left::FlowedOut(FlowOut::TimedOut);
    desk.run(Command::Leave { contact: ContactId(2), outcome });
    let figures = desk.figures();
    assert_eq!((figures.abandoned, figures.flowed_out, figures.waiting()), (0, 1, 0));
    assert_eq!(figures.service_level(Formula::Strict), Some(10_000), "F is in no denominator");
}

#[test]
fn wrap_up_from_one_queue_is_honoured_by_the_other() {
    let mut desk = Desk::with_queue(|queue| queue.wrap_up = WrapUp::For(Span::from_s(15)));
    desk.queue(2, |_| {});
    desk.agent_with(1, |agent| {
        *agent = agent.clone().in_queue(QueueId(1), 1, 1).in_queue(QueueId(2), 1, 1);
    });
    desk.enter(1);
    desk.accept(1);
    desk.try_enter(2, 2, 0).expect("room in the second queue");
    desk.finish(1);
    desk.pass(Span::from_ms(14_999));
    assert_eq!((desk.kind(1), desk.ringing(2)), (AgentKind::WrapUp, vec![]));
    desk.pass(Span::from_ms(1));
    assert_eq!(desk.ringing(2), [1]);
}

#[test]
fn an_agent_of_two_queues_is_offered_one_contact_at_a_time_even_with_room_for_more() {
    let mut desk = Desk::with_queue(|_| {});
    desk.queue(2, |_| {});
    desk.agent_with(1, |agent| {
        *agent = agent.clone().in_queue(QueueId(1), 1, 1).in_queue(QueueId(2), 1, 1);
        agent.capacity = vec![Capacity { channel: Channel::Chat, at_once: 3, alone: false }];
    });
    for contact in 1..=3 {
        desk.enter_as(contact, contact % 2 + 1, Channel::Chat, 0, None).expect("room in the queue");
    }
    assert_eq!([1, 2, 3].map(|contact| desk.ringing(contact).len()), [1, 0, 0]);
    desk.accept(1);
    assert_eq!([1, 2, 3].map(|contact| desk.ringing(contact).len()), [0, 1, 0]);
}
