//! The rules of the distributor, each by an example with numbers.

mod desk;

use std::collections::BTreeMap;

use desk::{Desk, START};
use offhook_acd::{
    Acd, AgentKind, Capacity, Channel, Command, Effect, Event, FlowOut, Left, MISSED_REASON, NoAgents, OfferEnd,
    PassedOver, Refusal, Standing, Strategy, WrapUp,
};
use offhook_units::{AgentId, ContactId, OfferId, QueueId, Span, Tick, VisitId};

#[test]
fn the_longest_idle_agent_is_offered_the_contact() {
    let mut desk = Desk::with_queue(|_| {});
    for id in [2, 3, 1] {
        desk.agent(id, 1, 1);
        desk.pass_s(1);
    }
    assert_eq!([1, 2, 3].map(|contact| desk.served_by(contact)), [2, 3, 1]);
}

#[test]
fn a_break_starts_the_idle_time_anew_only_where_the_queue_says_so() {
    for (resets, expected) in [(true, 2), (false, 1)] {
        let mut desk = Desk::with_queue(|queue| queue.break_resets_idle = resets);
        desk.agent(1, 1, 1);
        desk.pass_s(1);
        desk.agent(2, 1, 1);
        desk.pass_s(1);
        desk.not_ready(1);
        desk.ready(1);
        assert_eq!(desk.served_by(1), expected);
    }
}

#[test]
fn linear_always_begins_at_the_first_position() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::Linear);
    desk.agent(1, 1, 9);
    desk.agent(2, 1, 3);
    assert_eq!([1, 2].map(|contact| desk.served_by(contact)), [2, 2]);
}

#[test]
fn random_gives_each_of_four_agents_a_quarter_of_4000_contacts_within_150() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::Random);
    (1..=4).for_each(|id| desk.agent(id, 1, 1));
    let mut counts: BTreeMap<u64, i32> = BTreeMap::new();
    (1..=4_000).for_each(|contact| *counts.entry(desk.served_by(contact)).or_default() += 1);
    assert!(counts.len() == 4 && counts.values().all(|count| (count - 1_000).abs() < 150), "{counts:?}");
}

#[test]
fn ring_all_rings_the_lowest_tier_and_the_first_to_accept_wins() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::RingAll);
    for (id, level) in [(1, 1), (2, 1), (3, 2)] {
        desk.agent(id, level, 1);
    }
    desk.enter(1);
    assert_eq!(desk.ringing(1), [1, 2]);
    let late = desk.offer_to(1);
    desk.accept(2);
    assert_eq!(desk.last_withdrawal(), Some(OfferEnd::TakenByAnother));
    assert_eq!(desk.try_run(Command::Accept { offer: late }), Err(Refusal::TooLate));
    assert_eq!((desk.kind(1), desk.kind(2)), (AgentKind::Available, AgentKind::Busy));
}

#[test]
fn ring_all_rings_an_agent_who_becomes_free_later() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::RingAll);
    desk.agent(1, 1, 1);
    desk.agent(2, 1, 1);
    desk.not_ready(2);
    desk.enter(1);
    desk.ready(2);
    assert_eq!(desk.ringing(1), [1, 2]);
}

#[test]
fn an_offer_not_answered_within_20_s_goes_to_the_next_agent_and_the_visit_goes_on() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.pass_s(1);
    desk.agent(2, 1, 1);
    desk.enter(1);
    desk.pass_s(19);
    assert_eq!(desk.ringing(1), [1]);
    desk.pass_s(1);
    assert_eq!(desk.ringing(1), [2]);
    assert_eq!(desk.last_withdrawal(), Some(OfferEnd::TimedOut));
    assert_eq!((desk.figures().offered, desk.figures().missed), (1, 1));
}

#[test]
fn a_declined_offer_gives_the_agent_5_s_of_rest() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.decline(1);
    desk.pass(Span::from_ms(4_999));
    assert!(desk.ringing(1).is_empty());
    desk.pass(Span::from_ms(1));
    assert_eq!(desk.ringing(1), [1]);
}

#[test]
fn three_missed_offers_in_a_row_make_an_agent_not_ready_and_ready_brings_the_contact_back() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.pass_s(3 * 25);
    assert_eq!(desk.kind(1), AgentKind::NotReady);
    let state = desk.acd.agent_state(AgentId(1)).expect("an agent");
    assert_eq!(state.reason.as_deref(), Some(MISSED_REASON));
    desk.ready(1);
    assert_eq!(desk.ringing(1), [1]);
}

#[test]
fn an_accepted_offer_begins_the_count_of_missed_ones_anew() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.pass_s(2 * 25);
    desk.accept(1);
    desk.finish(1);
    desk.enter(2);
    desk.pass_s(2 * 25);
    assert_eq!(desk.kind(1), AgentKind::Offered);
    desk.pass_s(25);
    assert_eq!(desk.kind(1), AgentKind::NotReady);
}

#[test]
fn logging_out_and_in_again_ends_the_rest_after_a_declined_offer() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.decline(1);
    desk.run(Command::LogOut { agent: AgentId(1) });
    desk.run(Command::LogIn { agent: AgentId(1) });
    assert_eq!(desk.ringing(1), [1]);
}

#[test]
fn a_caller_who_hangs_up_while_ringing_has_abandoned_and_the_phone_stops() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.pass_s(3);
    let offer = desk.offer_to(1);
    desk.hang_up(1);
    let (agent, contact, why) = (AgentId(1), ContactId(1), OfferEnd::ContactLeft);
    assert_eq!(desk.effects.last(), Some(&Effect::Withdraw { offer, agent, contact, why }));
    assert_eq!((desk.figures().abandoned, desk.figures().abandoned_short), (1, 1));
    assert_eq!(desk.try_run(Command::Accept { offer }), Err(Refusal::TooLate));
    assert_eq!(desk.kind(1), AgentKind::Available);
    let unknown = OfferId(99);
    assert_eq!(desk.try_run(Command::Accept { offer: unknown }), Err(Refusal::UnknownOffer(unknown)));
}

#[test]
fn queue_weight_goes_before_priority_and_priority_before_the_enter_time() {
    let mut desk = Desk::with_queue(|_| {});
    desk.queue(2, |queue| queue.weight = 1);
    desk.agent_with(1, |agent| {
        *agent = agent.clone().in_queue(QueueId(1), 1, 1).in_queue(QueueId(2), 1, 1);
    });
    desk.not_ready(1);
    desk.agent_with(2, |agent| {
        *agent = agent.clone().in_queue(QueueId(1), 1, 1).in_queue(QueueId(2), 1, 1);
        agent.capacity.clear();
    });
    for (contact, queue, priority) in [(1, 1, 0), (2, 1, 9), (3, 2, -1), (4, 2, -1)] {
        desk.try_enter(contact, queue, priority).expect("room in the queue");
        desk.pass_s(1);
    }
    desk.ready(1);
    for contact in [3, 4, 2, 1] {
        assert_eq!(desk.ringing(contact), [1], "contact {contact}");
        desk.accept(1);
        desk.finish(contact);
    }
}

#[test]
fn a_contact_with_an_inherited_place_goes_before_younger_ones_and_not_before_an_older_equal() {
    let mut desk = Desk::with_queue(|queue| queue.no_agents = NoAgents { join: true, leave_after: None });
    desk.enter(1);
    desk.pass_s(10);
    desk.enter(2);
    desk.enter_as(3, 1, Channel::Voice, 0, Some(START)).expect("room in the queue");
    let position = |contact| desk.acd.position(ContactId(contact));
    assert_eq!([1, 2, 3].map(position), [Some(1), Some(3), Some(2)]);
    let later = desk.now + Span::from_s(1);
    assert!(matches!(desk.enter_as(4, 1, Channel::Voice, 0, Some(later)), Err(Refusal::Misuse(_))));
}

#[test]
fn a_requeued_contact_keeps_its_place_and_is_counted_as_a_new_visit() {
    let mut desk = Desk::with_queue(|_| {});
    desk.queue(2, |queue| queue.no_agents.join = true);
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.accept(1);
    desk.pass_s(60);
    desk.try_enter(2, 2, 0).expect("room in the second queue");
    desk.run(Command::Requeue { contact: ContactId(1), visit: VisitId(77), queue: QueueId(2), priority: 0 });
    assert_eq!(desk.acd.position(ContactId(1)), Some(1));
    assert_eq!((desk.kind(1), desk.figures().answered), (AgentKind::Available, 1));
    desk.run(Command::Requeue { contact: ContactId(1), visit: VisitId(78), queue: QueueId(1), priority: 0 });
    let second = desk.acd.figures(QueueId(2), desk.now).expect("a queue");
    assert_eq!((second.offered, second.flowed_out, second.waiting()), (2, 1, 1));
    assert_eq!(desk.ringing(1), [1]);
}

#[test]
fn logging_out_takes_an_offer_away_at_once_and_waits_for_the_end_of_a_conversation() {
    let mut desk = Desk::with_queue(|queue| queue.wrap_up = WrapUp::UntilDone);
    desk.agent(1, 1, 1);
    desk.agent(2, 1, 2);
    desk.enter(1);
    desk.run(Command::LogOut { agent: AgentId(1) });
    assert_eq!((desk.kind(1), desk.last_withdrawal()), (AgentKind::LoggedOut, Some(OfferEnd::AgentLoggedOut)));
    assert_eq!(desk.ringing(1), [2]);
    desk.accept(2);
    desk.run(Command::LogOut { agent: AgentId(2) });
    assert_eq!(desk.kind(2), AgentKind::Busy);
    assert_eq!(desk.try_enter(2, 1, 0), Err(Refusal::NobodyLoggedIn));
    desk.finish(1);
    assert_eq!(desk.kind(2), AgentKind::LoggedOut);
}

#[test]
fn not_ready_while_busy_takes_effect_after_wrap_up() {
    let mut desk = Desk::with_queue(|queue| queue.wrap_up = WrapUp::For(Span::from_s(10)));
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.accept(1);
    desk.not_ready(1);
    assert_eq!(desk.kind(1), AgentKind::Busy);
    desk.finish(1);
    assert_eq!(desk.kind(1), AgentKind::WrapUp);
    desk.pass_s(10);
    assert_eq!(desk.kind(1), AgentKind::NotReady);
}

#[test]
fn not_ready_while_ringing_sends_the_contact_to_the_next_agent() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.agent(2, 1, 2);
    desk.enter(1);
    desk.not_ready(1);
    assert_eq!((desk.ringing(1), desk.kind(1)), (vec![2], AgentKind::NotReady));
}

#[test]
fn wrap_up_until_done_lasts_until_the_agent_says_so() {
    let mut desk = Desk::with_queue(|queue| queue.wrap_up = WrapUp::UntilDone);
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.accept(1);
    desk.finish(1);
    desk.pass_s(3_600);
    assert_eq!(desk.kind(1), AgentKind::WrapUp);
    desk.run(Command::WrapUpDone { agent: AgentId(1) });
    assert_eq!(desk.kind(1), AgentKind::Available);
    assert_eq!(desk.figures().wrap_up, Span::from_s(3_600));
    let again = desk.try_run(Command::WrapUpDone { agent: AgentId(1) });
    assert_eq!(again, Err(Refusal::NotInWrapUp(AgentId(1))));
}

#[test]
fn a_wrap_up_of_30_s_extended_by_20_s_lasts_50_s_and_no_extension_makes_it_longer_than_an_hour() {
    let mut desk = Desk::with_queue(|queue| queue.wrap_up = WrapUp::For(Span::from_s(30)));
    let extend = |by| Command::ExtendWrapUp { agent: AgentId(1), by: Span::from_s(by) };
    desk.agent(1, 1, 1);
    assert_eq!(desk.try_run(extend(20)), Err(Refusal::NotInWrapUp(AgentId(1))));
    desk.enter(1);
    desk.accept(1);
    desk.finish(1);
    desk.pass_s(29);
    desk.run(extend(20));
    let in_hand: Vec<_> =
        desk.acd.wrap_ups_of(AgentId(1)).map(|wrap_up| wrap_up.until.map(|at| at - wrap_up.since)).collect();
    assert_eq!(in_hand, [Some(Span::from_s(50))]);
    desk.pass_s(20);
    assert_eq!(desk.kind(1), AgentKind::WrapUp);
    desk.run(extend(1_000_000));
    assert_eq!(desk.try_run(extend(1)), Err(Refusal::LimitReached("WRAP_UP_EXTENDED_MAX")));
    desk.pass_s(3_600 - 49 - 1);
    assert_eq!(desk.kind(1), AgentKind::WrapUp);
    desk.pass_s(1);
    assert_eq!((desk.kind(1), desk.figures().wrap_up), (AgentKind::Available, Span::from_s(3_600)));
}

#[test]
fn a_queue_of_at_most_two_waiting_refuses_the_third() {
    let mut desk = Desk::with_queue(|queue| {
        queue.max_waiting = Some(2);
        queue.no_agents.join = true;
    });
    desk.enter(1);
    desk.enter(2);
    assert_eq!(desk.try_enter(3, 1, 0), Err(Refusal::QueueFull));
    assert_eq!(desk.try_enter(2, 1, 0), Err(Refusal::AlreadyHere(ContactId(2))));
    desk.run(Command::Leave { contact: ContactId(1), outcome: Left::FlowedOut(FlowOut::ExitKey) });
    desk.enter(3);
}

#[test]
fn a_contact_that_joins_after_the_no_agent_time_is_handed_back_at_once() {
    let leave_after = Some(Span::from_s(30));
    let mut desk = Desk::with_queue(|queue| queue.no_agents = NoAgents { join: true, leave_after });
    desk.pass_s(31);
    desk.enter(1);
    assert_eq!(desk.effects, [Effect::NobodyHere { contact: ContactId(1) }]);
}

#[test]
fn a_call_blocks_new_chats_and_chats_fill_up_to_three() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent_with(1, |agent| {
        *agent = agent.clone().in_queue(QueueId(1), 1, 1);
        agent.capacity.push(Capacity { channel: Channel::Chat, at_once: 3, alone: false });
    });
    for contact in 1..=4 {
        desk.enter_as(contact, 1, Channel::Chat, 0, None).expect("room in the queue");
    }
    for _ in 1..=3 {
        desk.accept(1);
    }
    assert!(desk.ringing(4).is_empty());
    desk.finish(1);
    desk.decline(1);
    desk.enter(5);
    desk.pass_s(5);
    assert_eq!(desk.ringing(4), [1], "the chat came first");
    desk.decline(1);
    desk.hang_up(4);
    desk.pass_s(5);
    desk.accept(1);
    desk.enter_as(6, 1, Channel::Chat, 0, None).expect("room in the queue");
    assert!(desk.ringing(6).is_empty(), "a call stands alone");
    desk.finish(5);
    assert_eq!(desk.ringing(6), [1]);
}

#[test]
fn talk_and_hold_are_counted_apart_and_states_sum_to_the_shift() {
    let mut desk = Desk::with_queue(|queue| queue.wrap_up = WrapUp::For(Span::from_s(10)));
    desk.agent(1, 1, 1);
    desk.pass_s(100);
    desk.enter(1);
    desk.pass_s(4);
    desk.accept(1);
    desk.pass_s(30);
    desk.run(Command::Hold { contact: ContactId(1), on: true });
    desk.pass_s(20);
    desk.run(Command::Hold { contact: ContactId(1), on: false });
    desk.pass_s(10);
    desk.finish(1);
    desk.pass_s(16);
    let figures = desk.acd.agent_figures(AgentId(1), desk.now).expect("an agent");
    assert_eq!((figures.talk, figures.hold, figures.wrap_up), (Span::from_s(40), Span::from_s(20), Span::from_s(10)));
    let seconds = AgentKind::ALL.map(|kind| figures.time_in(kind).as_s());
    assert_eq!(seconds, [0, 106, 4, 60, 10, 0]);
    assert_eq!(seconds.iter().sum::<u64>(), (desk.now - START).as_s());
    assert_eq!(figures.occupancy(), Some(3_977));
}

#[test]
fn a_visit_belongs_to_the_day_and_the_interval_in_which_it_began() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    let midnight = Tick::from_us(1_700_006_400_000_000);
    desk.pass(midnight.before(Span::from_s(5)) - desk.now);
    desk.enter(1);
    desk.pass_s(10);
    desk.accept(1);
    assert_eq!((desk.figures().offered, desk.figures().answered), (0, 0));
    let intervals: Vec<_> = desk.acd.intervals(QueueId(1)).map(|(began, figures)| (began, figures.answered)).collect();
    assert_eq!(intervals, [(midnight.before(Span::from_s(900)), 1)]);
}

#[test]
fn every_member_is_explained_with_key_and_reason() {
    let mut desk = Desk::with_queue(|queue| queue.tier_waits = vec![Span::ZERO, Span::from_s(60)]);
    for (id, level) in [(1, 1), (2, 1), (3, 2), (4, 1)] {
        desk.agent(id, level, 1);
    }
    desk.enter(1);
    desk.decline(1);
    desk.not_ready(4);
    desk.enter(2);
    let explanation = desk.acd.explain(ContactId(2)).expect("a contact that waits");
    let standings: Vec<_> = explanation.candidates.iter().map(|c| (c.agent.0, c.standing.clone())).collect();
    let passed = |reason| Standing::PassedOver(reason);
    let expected = [
        (1, passed(PassedOver::Resting(START + Span::from_s(5)))),
        (2, passed(PassedOver::HasOffer)),
        (4, passed(PassedOver::NotReady("lunch".to_owned()))),
        (3, passed(PassedOver::TierClosed(START + Span::from_s(60)))),
    ];
    assert_eq!(standings, expected);
    assert_eq!(explanation.ahead, 1);
}

#[test]
fn a_late_accept_after_the_deadline_is_refused_even_if_the_timer_was_not_run() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.enter(1);
    let offer = desk.offer_to(1);
    desk.now += Span::from_s(20);
    assert_eq!(desk.try_run(Command::Accept { offer }), Err(Refusal::TooLate));
}

#[test]
fn a_replay_of_nonsense_does_not_panic() {
    let (contact, agent, queue, offer) = (ContactId(1), AgentId(2), QueueId(3), OfferId(4));
    let (visit, entered_at, deadline) = (VisitId(5), START, START);
    let outcome = Left::Abandoned;
    let log = [
        Event::Accepted { offer, contact, visit, queue, agent, entered_at },
        Event::Offered { offer, contact, queue, agent, deadline },
        Event::Left { contact, visit, queue, entered_at, outcome },
        Event::LoggedOut { agent },
        Event::NobodyHere { queue },
        Event::WrapUpEnded { contact, queue, agent, lasted: Span::ZERO },
        Event::QueueRemoved { queue },
    ];
    let acd = Acd::replay(1, log.map(|event| (START, event)));
    assert_eq!(acd.waiting(queue), 0);
}

#[cfg(feature = "serde")]
#[test]
fn a_snapshot_and_a_log_survive_being_written_down() {
    let mut desk = Desk::with_queue(|queue| queue.tier_waits = vec![Span::from_s(1)]);
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.pass_s(1);
    desk.accept(1);
    desk.enter(2);
    let written = serde_json::to_string(&desk.acd.snapshot()).expect("a snapshot that can be written");
    let restored = Acd::restore(serde_json::from_str(&written).expect("a snapshot that can be read"));
    assert_eq!(restored.state_hash(), desk.acd.state_hash());
    let written = serde_json::to_string(&desk.log).expect("a log that can be written");
    let log: Vec<(Tick, Event)> = serde_json::from_str(&written).expect("a log that can be read");
    assert_eq!(Acd::replay(7, log).state_hash(), desk.acd.state_hash());
}

fn must_reach(desk: &mut Desk, contact: u64) {
    desk.enter(contact);
    desk.run(Command::MustReach { contact: ContactId(contact) });
}

#[test]
fn a_visit_whose_customer_must_be_reached_is_answered_when_that_is_done_by_its_wait_for_the_agent() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    must_reach(&mut desk, 1);
    desk.pass_s(5);
    desk.accept(1);
    desk.pass_s(60);
    let figures = desk.figures();
    assert_eq!((figures.offered, figures.answered, figures.waiting()), (1, 0, 1), "the customer is rung");
    assert_eq!((desk.acd.waiting(QueueId(1)), desk.acd.talking(QueueId(1))), (0, 1));
    assert!(desk.acd.audit().is_empty(), "{:?}", desk.acd.audit());
    desk.run(Command::Reached { contact: ContactId(1) });
    desk.run(Command::Reached { contact: ContactId(1) });
    desk.pass_s(60);
    desk.finish(1);
    let figures = desk.figures();
    assert_eq!((figures.answered, figures.answered_in_time, figures.flowed_out), (1, 1, 0));
    assert_eq!((figures.asa(), figures.talk), (Some(Span::from_s(5)), Span::from_s(120)));
    let agent = desk.acd.agent_figures(AgentId(1), desk.now).expect("an agent at work");
    assert_eq!((agent.accepted, agent.handled), (1, 1));
}

#[test]
fn a_visit_whose_customer_is_not_reached_flowed_out_and_is_in_no_service_level() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.served_by(9);
    must_reach(&mut desk, 1);
    desk.pass_s(19);
    desk.accept(1);
    desk.pass_s(30);
    desk.finish(1);
    let figures = desk.figures();
    assert_eq!((figures.offered, figures.answered, figures.flowed_out, figures.waiting()), (2, 1, 1, 0));
    assert_eq!(figures.service_level(offhook_acd::Formula::Strict), Some(10_000));
    assert_eq!((figures.longest_wait, figures.handled), (Span::from_s(19), 2));

    // It waits again, and another agent's attempt is a visit of its own.
    must_reach(&mut desk, 1);
    desk.accept(1);
    desk.run(Command::Requeue { contact: ContactId(1), visit: VisitId(77), queue: QueueId(1), priority: 0 });
    assert_eq!((desk.figures().offered, desk.figures().flowed_out, desk.figures().waiting()), (4, 2, 1));
}

#[test]
fn only_who_waits_can_be_said_to_be_away_and_only_who_is_served_to_be_reached() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    let contact = ContactId(1);
    assert_eq!(desk.try_run(Command::MustReach { contact }), Err(Refusal::UnknownContact(contact)));
    desk.enter(1);
    assert_eq!(desk.try_run(Command::Reached { contact }), Err(Refusal::NotServed(contact)));
    desk.accept(1);
    assert_eq!(desk.try_run(Command::MustReach { contact }), Err(Refusal::BeingServed(contact)));
    let before = desk.log.len();
    desk.run(Command::Reached { contact });
    assert_eq!((desk.log.len(), desk.figures().answered), (before, 1), "who was there all the time is answered once");
}
