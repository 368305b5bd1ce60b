//! What is said of waits: from place and pace, never growing, silent where nothing is known, and held against what happened.

mod desk;

use desk::Desk;
use offhook_acd::{
    AgentConfig, Channel, Command, DELAYED_MIN, Event, Expected, FlowOut, Left, Need, Preferred, QuantileFigures,
    Refusal,
};
use offhook_units::{AgentId, ContactId, QueueId, SkillId, Span, VisitId};

/// A desk with one agent, who has answered `answers` contacts that waited 60 s each in turn; contact 100 is in talk.
fn measured(answers: u64) -> Desk {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.enter(100);
    desk.accept(1);
    for contact in 101..=100 + answers {
        desk.enter(contact);
        desk.pass_s(60);
        desk.finish(if contact == 101 { 100 } else { contact - 1 });
        desk.accept(1);
    }
    desk
}

fn said(desk: &Desk, contact: u64) -> Option<Expected> {
    desk.acd.expected_wait(ContactId(contact))
}

fn forecast(desk: &mut Desk, contact: u64) {
    desk.run(Command::Forecast { contact: ContactId(contact) });
}

#[test]
fn after_ten_delayed_answers_a_minute_apart_the_third_in_line_hears_of_about_three_minutes() {
    let mut desk = measured(u64::from(DELAYED_MIN) - 1);
    desk.enter(1);
    assert_eq!(said(&desk, 1), None, "nine answers are too few");
    let mut desk = measured(u64::from(DELAYED_MIN));
    for contact in 1..=3 {
        desk.enter(contact);
    }
    let Expected { place, agents, p50, p80 } = said(&desk, 3).expect("enough was measured");
    assert_eq!((place, agents), (3, 1));
    assert!((170..=180).contains(&p50.as_s()) && (181..=215).contains(&p80.as_s()), "{p50} {p80}");
    assert!(said(&desk, 1).expect("known").p80 < said(&desk, 2).expect("known").p80);
    let next = desk.acd.expected_wait_of_next(QueueId(1), Channel::Voice).expect("known");
    assert_eq!((next.place, next.p80 > p80), (4, true));
    assert_eq!(desk.acd.expected_wait_of_next(QueueId(1), Channel::Chat), None, "nothing was measured of chats");
}

#[test]
fn contacts_that_somebody_was_free_for_say_nothing_of_waits() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    for contact in 1..=50 {
        desk.enter(contact);
        desk.pass_s(10);
        desk.accept(1);
        desk.pass_s(60);
        desk.finish(contact);
    }
    desk.enter(51);
    desk.accept(1);
    desk.enter(52);
    assert_eq!(said(&desk, 52), None);
}

#[test]
fn what_was_said_is_not_exceeded_later_while_place_and_staff_stay_the_same() {
    let mut desk = measured(u64::from(DELAYED_MIN));
    desk.enter(1);
    desk.enter(2);
    forecast(&mut desk, 2);
    let before = said(&desk, 2).expect("known");
    // Others with a higher priority are answered slowly meanwhile: the pace falls, and the place stays.
    for contact in 11..=13 {
        desk.try_enter(contact, 1, 5).expect("room");
        desk.pass_s(900);
        desk.finish(if contact == 11 { 110 } else { contact - 1 });
        desk.accept(1);
    }
    let next = desk.acd.expected_wait_of_next(QueueId(1), Channel::Voice).expect("known");
    assert!(next.p80.as_us() > 2 * before.p80.as_us(), "the queue has become slow: {next:?}");
    assert_eq!(said(&desk, 2), Some(before));
    // Somebody with a higher priority goes before it: that is news.
    desk.try_enter(20, 1, 5).expect("room");
    assert!(said(&desk, 2).expect("known").p80 > before.p80);
}

#[test]
fn twice_the_agents_halve_what_is_said_and_nobody_at_all_says_nothing() {
    let mut desk = measured(u64::from(DELAYED_MIN));
    desk.agent(2, 1, 2);
    desk.enter(1);
    desk.accept(2);
    for contact in 2..=5 {
        desk.enter(contact);
    }
    let two = said(&desk, 5).expect("known");
    desk.not_ready(2);
    let one = said(&desk, 5).expect("known");
    assert_eq!((two.agents, one.agents), (2, 1));
    assert!(one.p50.as_us().abs_diff(two.p50.as_us() * 2) < 1_000, "{one:?} {two:?}");
    desk.not_ready(1);
    assert_eq!(said(&desk, 5), None);
}

#[test]
fn nothing_is_said_to_who_is_being_offered_waits_for_an_agent_of_its_own_or_is_served() {
    let mut desk = measured(u64::from(DELAYED_MIN));
    let prefers = Some(Preferred { agent: AgentId(1), wait: Span::from_s(30) });
    let (contact, visit, queue) = (ContactId(1), VisitId(900), QueueId(1));
    let (channel, priority, place_at, needs) = (Channel::Voice, 0, None, Vec::new());
    desk.run(Command::Enter { contact, visit, queue, channel, priority, place_at, needs, prefers });
    assert_eq!(said(&desk, 1), None);
    desk.pass_s(30);
    assert!(said(&desk, 1).is_some(), "now it waits for anybody");
    desk.finish(110);
    assert_eq!((desk.ringing(1), said(&desk, 1)), (vec![1], None));
    forecast(&mut desk, 1);
    assert!(!desk.log.iter().any(|(_, event)| matches!(event, Event::Forecast { .. })), "nothing was said");
    desk.accept(1);
    let refused = desk.try_run(Command::Forecast { contact });
    assert_eq!(refused, Err(Refusal::BeingServed(contact)));
    let unknown = ContactId(4_711);
    assert_eq!(desk.try_run(Command::Forecast { contact: unknown }), Err(Refusal::UnknownContact(unknown)));
}

#[test]
fn forecasts_are_scored_by_what_was_left_of_the_wait() {
    let mut desk = measured(u64::from(DELAYED_MIN));
    desk.enter(1);
    desk.pass_s(30);
    forecast(&mut desk, 1);
    let Expected { p50, p80, .. } = said(&desk, 1).expect("known");
    // Answered 10 s before the 80th percentile: 30 s of the wait do not count.
    let wait = p80.saturating_sub(Span::from_s(10));
    desk.pass(wait);
    desk.finish(110);
    desk.accept(1);
    let scores = desk.figures().forecasts;
    assert_eq!(scores.made, 1);
    let off = wait.saturating_sub(p50);
    assert!(off > Span::ZERO, "the median is exceeded");
    assert_eq!(scores.p50, QuantileFigures { within: 0, beyond: 1, answered: 1, loss: off / 2 });
    assert_eq!(scores.p80, QuantileFigures { within: 1, beyond: 0, answered: 1, loss: Span::from_s(2) });
    assert_eq!((scores.p50.coverage(), scores.p80.coverage()), (Some(0), Some(10_000)));
    assert_eq!(scores.p80.mean_loss(), Some(Span::from_s(2)));
}

#[test]
fn of_who_leaves_before_the_quantile_nobody_knows_and_who_leaves_after_it_waited_beyond() {
    let mut desk = measured(u64::from(DELAYED_MIN));
    desk.enter(1);
    desk.enter(2);
    forecast(&mut desk, 1);
    forecast(&mut desk, 2);
    let Expected { p80, .. } = said(&desk, 2).expect("known");
    desk.pass_s(5);
    desk.hang_up(1);
    desk.pass(p80);
    desk.run(Command::Leave { contact: ContactId(2), outcome: Left::FlowedOut(FlowOut::Overflow) });
    let scores = desk.figures().forecasts;
    assert_eq!(scores.made, 2);
    for quantile in [scores.p50, scores.p80] {
        assert_eq!(quantile, QuantileFigures { beyond: 1, ..QuantileFigures::default() });
    }
}

#[test]
fn who_needs_what_nobody_at_work_can_do_is_told_nothing() {
    let mut desk = measured(u64::from(DELAYED_MIN));
    let need = Need { skill: SkillId(7), level: 1, weight: 1 };
    let (contact, visit, queue) = (ContactId(1), VisitId(1_000), QueueId(1));
    desk.run(Command::Enter {
        contact,
        visit,
        queue,
        channel: Channel::Voice,
        priority: 0,
        place_at: None,
        needs: vec![need],
        prefers: None,
    });
    desk.enter(2);
    assert_eq!(said(&desk, 1), None, "however fast others are answered");
    assert!(said(&desk, 2).is_some());
    let able = AgentConfig::new(AgentId(2), "able").in_queue(QueueId(1), 1, 2).with_skill(SkillId(7), 1);
    desk.run(Command::AddAgent(able));
    assert_eq!(said(&desk, 1), None, "not at work");
}
