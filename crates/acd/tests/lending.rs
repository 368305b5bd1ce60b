//! Conditional lending: an agent serves a second queue while the first one keeps its promise.

mod desk;

use desk::{Desk, START};
use offhook_acd::{
    Acd, Channel, Command, Effect, Event, Lending, NoAgents, PassedOver, Preferred, REVIEW_EVERY, Refusal, Standing,
};
use offhook_units::{AgentId, ContactId, QueueId, Span, VisitId};

const HOME: QueueId = QueueId(1);
const AWAY: QueueId = QueueId(2);

fn lend(agent: u64, queue: QueueId, by: Option<QueueId>) -> Command {
    Command::Lend { agent: AgentId(agent), queue, by }
}

fn terms(queue: QueueId, target: u32) -> Command {
    Command::SetLending { queue, terms: Some(Lending { target }) }
}

/// Two queues that promise an answer within 20 s; agent 1 is at home in queue 1, which lends to queue 2 at 80 %.
fn lenders() -> Desk {
    let mut desk = Desk::with_queue(|_| {});
    desk.queue(2, |config| {
        config.no_agents = NoAgents { join: true, leave_after: None };
        config.ring_for = Span::from_s(120);
    });
    desk.agent_with(1, |config| *config = config.clone().in_queue(HOME, 1, 1).in_queue(AWAY, 1, 1));
    desk.run(terms(HOME, 8_000));
    desk.run(lend(1, AWAY, Some(HOME)));
    desk
}

/// A contact waits at home for longer than promised, and is then served: the service level is 0 %.
fn break_the_promise(desk: &mut Desk) {
    desk.not_ready(1);
    desk.try_run(Command::AddQueue({
        let mut config = desk.acd.queue(HOME).expect("known").clone();
        config.no_agents.join = true;
        config
    }))
    .expect("a valid queue");
    desk.enter(100);
    desk.pass_s(21);
    desk.ready(1);
    desk.accept(1);
    desk.finish(100);
}

#[test]
fn an_agent_on_loan_serves_the_other_queue_until_the_lender_falls_below_its_target_and_again_when_it_is_back() {
    let mut desk = lenders();
    assert_eq!((desk.acd.lends(HOME), desk.acd.lends(AWAY)), (Some(true), None));
    desk.try_enter(1, 2, 0).expect("room");
    assert_eq!(desk.ringing(1), [1], "nothing has gone wrong at home yet");
    desk.accept(1);
    desk.finish(1);

    break_the_promise(&mut desk);
    desk.pass(REVIEW_EVERY);
    assert_eq!(desk.acd.lends(HOME), Some(false));
    assert_eq!(desk.acd.lender(AgentId(1), AWAY), Some((HOME, false)));
    desk.try_enter(2, 2, 0).expect("room");
    assert!(desk.ringing(2).is_empty());
    desk.enter(3);
    assert_eq!(desk.ringing(3), [1], "at home the agent serves as ever");
    desk.accept(1);
    desk.finish(3);

    // Four of five at home are answered in time again.
    for contact in 4..=6 {
        desk.served_by(contact);
    }
    assert!(desk.ringing(2).is_empty(), "it shows at the next review");
    desk.pass(REVIEW_EVERY);
    assert_eq!((desk.acd.lends(HOME), desk.ringing(2)), (Some(true), vec![1]));
    assert_eq!(Acd::replay(7, desk.log.clone()).state_hash(), desk.acd.state_hash());
}

#[test]
fn what_went_wrong_is_forgotten_after_two_quarters_of_an_hour() {
    let mut desk = lenders();
    break_the_promise(&mut desk);
    desk.pass_s(1_800);
    assert!(START.as_us() % 900_000_000 < 900_000_000 - 21_000_000, "it went wrong in one quarter of an hour");
    assert_eq!(desk.acd.lends(HOME), Some(true));
}

#[test]
fn somebody_who_waits_longer_than_promised_at_home_ends_the_lending_before_the_service_level_knows() {
    let mut desk = lenders();
    desk.enter(1);
    desk.accept(1);
    desk.pass_s(40);
    desk.enter(2);
    desk.pass_s(20);
    assert_eq!(desk.acd.lends(HOME), Some(true), "20 s are as promised");
    desk.pass(REVIEW_EVERY);
    assert_eq!(desk.acd.lends(HOME), Some(false));
}

#[test]
fn a_queue_without_terms_lends_nobody_and_a_loan_that_ends_is_a_membership_again() {
    let mut desk = lenders();
    desk.run(Command::SetLending { queue: HOME, terms: None });
    desk.try_enter(1, 2, 0).expect("room");
    assert!(desk.ringing(1).is_empty());
    let explanation = desk.acd.explain(ContactId(1)).expect("it waits");
    assert_eq!(explanation.candidates[0].standing, Standing::PassedOver(PassedOver::NotLent(HOME)));
    assert_eq!((desk.acd.logged_in(AWAY), desk.acd.logged_in(HOME)), (0, 1));
    desk.run(lend(1, AWAY, None));
    assert_eq!(desk.ringing(1), [1]);
    let before = desk.log.len();
    desk.run(lend(1, AWAY, None));
    desk.run(Command::SetLending { queue: HOME, terms: None });
    assert_eq!(desk.log.len(), before, "what is so already is no event");
}

#[test]
fn a_queue_with_nobody_but_agents_kept_at_home_is_deserted() {
    let mut desk = lenders();
    desk.queue(2, |config| config.no_agents = NoAgents { join: false, leave_after: Some(Span::from_s(10)) });
    desk.enter(1);
    desk.accept(1);
    desk.enter(2);
    desk.try_enter(3, 2, 0).expect("the agent serves it, though busy");
    desk.hang_up(3);
    desk.pass(REVIEW_EVERY);
    assert_eq!(desk.acd.lends(HOME), Some(false), "2 waits for too long");
    assert_eq!(desk.try_enter(4, 2, 0), Err(Refusal::NobodyLoggedIn));
}

#[test]
fn who_waits_for_an_agent_on_loan_waits_for_anybody_once_the_agent_is_kept_at_home() {
    let mut desk = lenders();
    desk.agent_with(2, |config| *config = config.clone().in_queue(AWAY, 1, 2));
    desk.enter(1);
    desk.accept(1);
    desk.enter(2);
    let (contact, visit, queue) = (ContactId(3), VisitId(900), AWAY);
    let prefers = Some(Preferred { agent: AgentId(1), wait: Span::from_s(600) });
    let (channel, priority, place_at, needs) = (Channel::Voice, 0, None, Vec::new());
    desk.run(Command::Enter { contact, visit, queue, channel, priority, place_at, needs, prefers });
    assert!(desk.ringing(3).is_empty(), "it waits for agent 1, though agent 2 is free");
    desk.pass(REVIEW_EVERY);
    assert_eq!((desk.acd.lends(HOME), desk.ringing(3)), (Some(false), vec![2]));
}

#[test]
fn an_offer_that_rings_when_the_lending_ends_may_still_be_taken() {
    let mut desk = lenders();
    desk.pass_s(30);
    desk.try_enter(1, 2, 0).expect("room");
    desk.enter(2);
    desk.pass(REVIEW_EVERY);
    assert_eq!((desk.acd.lends(HOME), desk.ringing(1)), (Some(false), vec![1]));
    assert!(!desk.effects.iter().any(|effect| matches!(effect, Effect::Withdraw { .. })));
    desk.accept(1);
    desk.finish(1);
    assert_eq!(desk.ringing(2), [1]);
}

#[test]
fn agents_on_loan_in_a_second_tier_come_after_its_wait_and_leave_the_first_tier_in_peace() {
    let mut desk = Desk::with_queue(|_| {});
    desk.queue(2, |config| config.tier_waits = vec![Span::ZERO, Span::from_s(30)]);
    desk.agent_with(1, |config| *config = config.clone().in_queue(HOME, 1, 1).in_queue(AWAY, 2, 1));
    desk.agent_with(2, |config| *config = config.clone().in_queue(AWAY, 1, 1));
    desk.run(terms(HOME, 8_000));
    desk.run(lend(1, AWAY, Some(HOME)));
    desk.try_enter(1, 2, 0).expect("room");
    assert_eq!(desk.ringing(1), [2]);
    desk.accept(2);
    desk.try_enter(2, 2, 0).expect("room");
    desk.pass_s(29);
    assert!(desk.ringing(2).is_empty());
    desk.pass_s(1);
    assert_eq!(desk.ringing(2), [1]);
}

#[test]
fn a_change_of_the_agents_queues_ends_loans_that_make_no_sense_any_more() {
    let mut desk = lenders();
    let mut config = desk.acd.agent(AgentId(1)).expect("known").clone();
    config.queues.retain(|membership| membership.queue == AWAY);
    desk.run(Command::AddAgent(config));
    assert_eq!(desk.acd.lender(AgentId(1), AWAY), None);
    desk.run(Command::SetLending { queue: HOME, terms: None });
    desk.try_enter(1, 2, 0).expect("room");
    assert_eq!(desk.ringing(1), [1]);
}

#[test]
fn nonsense_in_loans_is_refused() {
    let mut desk = lenders();
    desk.queue(3, |_| {});
    desk.agent_with(2, |config| *config = config.clone().in_queue(HOME, 1, 2).in_queue(AWAY, 1, 2));
    let refused = |desk: &mut Desk, command: Command| desk.try_run(command).expect_err("nonsense");
    assert_eq!(refused(&mut desk, lend(9, AWAY, Some(HOME))), Refusal::UnknownAgent(AgentId(9)));
    assert_eq!(refused(&mut desk, lend(2, QueueId(9), Some(HOME))), Refusal::UnknownQueue(QueueId(9)));
    assert_eq!(refused(&mut desk, terms(QueueId(9), 1)), Refusal::UnknownQueue(QueueId(9)));
    for command in [
        lend(2, QueueId(3), Some(HOME)),
        lend(2, AWAY, Some(QueueId(3))),
        lend(2, AWAY, Some(AWAY)),
        lend(1, HOME, Some(AWAY)),
        terms(HOME, 0),
        terms(HOME, 10_001),
    ] {
        assert!(matches!(refused(&mut desk, command.clone()), Refusal::Misuse(_)), "{command:?}");
    }
    assert!(!desk.log.iter().any(|(_, event)| matches!(event, Event::Lent { agent: AgentId(2), .. })));
}
