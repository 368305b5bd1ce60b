//! Strategies, skills, rings and orders, each by an example with numbers.

mod desk;

use std::collections::BTreeMap;

use desk::Desk;
use offhook_acd::{
    AgentConfig, Channel, Command, Need, OfferEnd, Order, PROFILES_MAX, PassedOver, Preferred, Refusal, Ring, Standing,
    Strategy,
};
use offhook_units::{AgentId, ContactId, QueueId, SkillId, Span, VisitId};

const FRENCH: SkillId = SkillId(1);
const CLAIMS: SkillId = SkillId(2);

fn need(skill: SkillId, level: u8) -> Need {
    Need { skill, level, weight: 1 }
}

fn enter_with(desk: &mut Desk, contact: u64, needs: &[Need]) -> Result<(), Refusal> {
    desk.try_run(Command::Enter {
        contact: ContactId(contact),
        visit: VisitId(1_000 + contact),
        queue: QueueId(1),
        channel: Channel::Voice,
        priority: 0,
        place_at: None,
        needs: needs.to_vec(),
        prefers: None,
    })
}

/// An agent of queue 1 with these levels of French and claims; zero for none.
fn speaker(desk: &mut Desk, id: u64, french: u8, claims: u8) {
    desk.agent_with(id, |agent| {
        *agent = agent.clone().in_queue(QueueId(1), 1, 1);
        for (skill, level) in [(FRENCH, french), (CLAIMS, claims)] {
            if level > 0 {
                *agent = agent.clone().with_skill(skill, level);
            }
        }
    });
    desk.pass_s(1);
}

#[test]
fn a_contact_waits_for_an_agent_with_its_skill_at_its_level_while_others_idle() {
    let mut desk = Desk::with_queue(|_| {});
    speaker(&mut desk, 1, 0, 9);
    speaker(&mut desk, 2, 2, 0);
    enter_with(&mut desk, 1, &[need(FRENCH, 3)]).expect("a contact that may enter");
    assert!(desk.ringing(1).is_empty());
    let why = desk.acd.explain(ContactId(1)).expect("a contact that waits");
    let reasons: Vec<_> = why.candidates.iter().map(|candidate| &candidate.standing).collect();
    let lacks = Standing::PassedOver(PassedOver::LacksSkill(FRENCH));
    assert_eq!(reasons, [&lacks, &lacks]);
    enter_with(&mut desk, 2, &[need(CLAIMS, 9)]).expect("a contact that may enter");
    assert_eq!(desk.ringing(2), [1], "a later contact is not held up by one that nobody here can serve");
    speaker(&mut desk, 3, 3, 0);
    assert_eq!(desk.ringing(1), [3]);
}

#[test]
fn rings_open_after_20_and_40_s_and_drop_skills_for_good() {
    let mut desk = Desk::with_queue(|queue| {
        queue.needs = vec![need(FRENCH, 1), need(CLAIMS, 1)];
        queue.rings = vec![
            Ring { after: Span::from_s(20), drops: vec![CLAIMS] },
            Ring { after: Span::from_s(40), drops: vec![FRENCH] },
        ];
    });
    speaker(&mut desk, 1, 0, 0);
    desk.enter(1);
    desk.enter(2);
    desk.pass_s(19);
    speaker(&mut desk, 2, 1, 0);
    assert_eq!(desk.ringing(1), [2], "20 s: claims are no longer needed");
    desk.accept(2);
    desk.pass_s(19);
    assert!(desk.ringing(2).is_empty());
    desk.pass_s(1);
    assert_eq!(desk.ringing(2), [1], "40 s: nothing is needed");
}

#[test]
fn skills_best_weighs_levels_and_then_takes_the_longest_idle() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::SkillsBest);
    speaker(&mut desk, 1, 9, 2);
    speaker(&mut desk, 2, 5, 4);
    speaker(&mut desk, 3, 5, 4);
    let weighed = [need(FRENCH, 1), Need { skill: CLAIMS, level: 1, weight: 3 }];
    enter_with(&mut desk, 1, &weighed).expect("a contact that may enter");
    assert_eq!(desk.ringing(1), [2], "5 + 3 x 4 is more than 9 + 3 x 2");
    enter_with(&mut desk, 2, &[need(FRENCH, 1)]).expect("a contact that may enter");
    assert_eq!(desk.ringing(2), [1]);
}

#[test]
fn top_down_goes_on_after_the_last_one_tried_for_the_same_contact() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::TopDown);
    for id in 1..=3 {
        desk.agent_with(id, |agent| {
            *agent = agent.clone().in_queue(QueueId(1), 1, id as u32);
            agent.decline_delay = Span::ZERO;
        });
    }
    desk.enter(1);
    for expected in [1, 2, 3, 1] {
        assert_eq!(desk.ringing(1), [expected]);
        desk.decline(expected);
    }
    desk.enter(2);
    assert_eq!(desk.ringing(2), [1], "another contact begins at the top");
}

#[test]
fn ring_progressively_rings_one_more_agent_every_5_s_and_the_first_to_accept_wins() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::RingProgressively);
    (1..=3).for_each(|id| desk.agent(id, 1, 4 - id as u32));
    desk.enter(1);
    assert_eq!(desk.ringing(1), [3]);
    desk.pass(Span::from_ms(4_999));
    assert_eq!(desk.ringing(1), [3]);
    desk.pass(Span::from_ms(1));
    assert_eq!(desk.ringing(1), [2, 3]);
    desk.pass_s(5);
    assert_eq!(desk.ringing(1), [1, 2, 3]);
    desk.accept(2);
    assert_eq!(desk.last_withdrawal(), Some(OfferEnd::TakenByAnother));
    assert!(desk.ringing(1).is_empty());
}

#[test]
fn least_talk_compares_minutes_in_conversation_not_calls() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::LeastTalk);
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.accept(1);
    desk.pass_s(100);
    desk.agent(2, 1, 1);
    for contact in 2..=4 {
        desk.enter(contact);
        desk.accept(2);
        desk.pass_s(20);
        desk.finish(contact);
    }
    desk.finish(1);
    assert_eq!(desk.served_by(5), 2, "60 s in three calls are less than 160 s in one");
}

#[test]
fn least_occupied_compares_the_busy_part_of_the_shift_taken_anew_each_minute() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::LeastOccupied);
    desk.agent(1, 1, 1);
    desk.pass_s(1_000);
    desk.agent(2, 1, 1);
    for (contact, agent, talk) in [(1, 2, 10), (2, 1, 300)] {
        desk.enter(contact);
        if desk.ringing(contact) != [agent] {
            let other = desk.ringing(contact)[0];
            desk.not_ready(other);
            assert_eq!(desk.ringing(contact), [agent]);
            desk.ready(other);
        }
        desk.accept(agent);
        desk.pass_s(talk);
        desk.finish(contact);
    }
    // The first was busy for 300 s of 1,310, the second for 10 s of 310.
    assert_eq!(desk.served_by(3), 2);
    desk.enter(4);
    desk.accept(2);
    desk.pass_s(200);
    desk.finish(4);
    assert_eq!(desk.served_by(5), 1, "300 of 1,510 is less than 210 of 510");
    desk.pass_s(4_000);
    // Idle, both fell: 300 of 5,510 against 210 of 4,510.
    assert_eq!(desk.served_by(6), 2);
}

#[test]
fn weighted_random_gives_agents_of_weight_1_2_and_5_their_share_of_4000_contacts_within_150() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::WeightedRandom);
    for (id, weight) in [(1, 1), (2, 2), (3, 5)] {
        desk.agent_with(id, |agent| {
            *agent = agent.clone().in_queue(QueueId(1), 1, 1);
            agent.queues[0].weight = weight;
        });
    }
    let mut counts: BTreeMap<u64, i32> = BTreeMap::new();
    (1..=4_000).for_each(|contact| *counts.entry(desk.served_by(contact)).or_default() += 1);
    for (agent, share) in [(1, 500), (2, 1_000), (3, 2_500)] {
        assert!((counts[&agent] - share).abs() < 150, "{counts:?}");
    }
}

#[test]
fn by_score_20_s_of_waiting_outweigh_a_priority_of_30_at_2_points_a_second() {
    for (order, first) in [(Order::Strict, 2), (Order::Score { points_per_s: 2 }, 1)] {
        let mut desk = Desk::with_queue(|queue| {
            queue.order = order;
            queue.no_agents.join = true;
        });
        desk.try_enter(1, 1, 0).expect("a contact that may enter");
        desk.pass_s(20);
        desk.try_enter(2, 1, 30).expect("a contact that may enter");
        desk.agent(1, 1, 1);
        assert_eq!(desk.ringing(first), [1], "{order:?}");
        assert_eq!(desk.acd.position(ContactId(first)), Some(1));
    }
}

#[test]
fn of_4097_requirement_profiles_in_use_the_last_is_refused_and_one_set_free_makes_room() {
    let mut desk = Desk::with_queue(|queue| queue.no_agents.join = true);
    let profile = |n: u64| [need(SkillId(n), 1)];
    for n in 1..=PROFILES_MAX as u64 {
        enter_with(&mut desk, n, &profile(n)).expect("room for one more");
    }
    let next = PROFILES_MAX as u64 + 1;
    assert_eq!(enter_with(&mut desk, next, &profile(next)), Err(Refusal::LimitReached("PROFILES_MAX")));
    enter_with(&mut desk, next, &profile(7)).expect("a profile that is known");
    desk.hang_up(9);
    enter_with(&mut desk, next + 1, &profile(next)).expect("the room of the one that left");
    assert_eq!(desk.acd.profiles(), PROFILES_MAX as u32);
    desk.agent_with(1, |agent| *agent = agent.clone().in_queue(QueueId(1), 1, 1).with_skill(SkillId(next), 1));
    assert_eq!(desk.ringing(next + 1), [1]);
    assert_eq!(desk.acd.agent_state(AgentId(1)).and_then(|state| state.offered), Some(ContactId(next + 1)));
}

#[test]
fn nonsense_in_skills_and_weights_is_refused() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    let twice = [need(FRENCH, 1), need(FRENCH, 2)];
    assert!(matches!(enter_with(&mut desk, 1, &twice), Err(Refusal::Misuse(_))));
    let many: Vec<Need> = (1..=17).map(|n| need(SkillId(n), 1)).collect();
    assert_eq!(enter_with(&mut desk, 1, &many), Err(Refusal::LimitReached("NEEDS_MAX")));
    let mut agent = desk.acd.agent(AgentId(1)).expect("an agent who is known").clone();
    agent.queues[0].weight = 0;
    assert!(matches!(desk.try_run(Command::AddAgent(agent)), Err(Refusal::Misuse(_))));
}

fn enter_for(desk: &mut Desk, contact: u64, agent: u64, wait_s: u64) {
    let (contact, visit, queue) = (ContactId(contact), VisitId(1_000 + contact), QueueId(1));
    let prefers = Some(Preferred { agent: AgentId(agent), wait: Span::from_s(wait_s) });
    let (channel, priority, place_at, needs) = (Channel::Voice, 0, None, Vec::new());
    desk.run(Command::Enter { contact, visit, queue, channel, priority, place_at, needs, prefers });
}

/// Two agents of one queue, both idle, the first one longer.
fn two() -> Desk {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.pass_s(1);
    desk.agent(2, 1, 1);
    desk
}

#[test]
fn a_sticky_contact_goes_to_its_agent_whatever_the_strategy_says() {
    let mut desk = two();
    enter_for(&mut desk, 1, 2, 30);
    assert_eq!(desk.ringing(1), [2]);
    let mut tiers = Desk::with_queue(|queue| queue.tier_waits = vec![Span::ZERO, Span::from_s(60)]);
    tiers.agent(1, 1, 1);
    tiers.agent(2, 2, 1);
    enter_for(&mut tiers, 1, 2, 30);
    assert_eq!(tiers.ringing(1), [2], "a tier stands between strangers");
}

#[test]
fn a_sticky_contact_waits_30_s_for_a_busy_agent_while_another_idles_and_then_takes_anybody() {
    let mut desk = two();
    enter_for(&mut desk, 1, 2, 30);
    desk.accept(2);
    enter_for(&mut desk, 2, 2, 30);
    desk.pass_s(29);
    assert_eq!(desk.ringing(2), [0; 0]);
    let explanation = desk.acd.explain(ContactId(2)).expect("a contact that waits");
    let first = explanation.candidates.iter().find(|candidate| candidate.agent == AgentId(1)).expect("a member");
    let until = desk.now + Span::from_s(1);
    assert_eq!(first.standing, Standing::PassedOver(PassedOver::AnotherPreferred(AgentId(2), until)));
    desk.pass_s(1);
    assert_eq!(desk.ringing(2), [1]);
    // One who comes free in time is taken.
    let mut desk = two();
    enter_for(&mut desk, 1, 2, 30);
    desk.accept(2);
    enter_for(&mut desk, 2, 2, 30);
    desk.pass_s(10);
    desk.finish(1);
    assert_eq!(desk.ringing(2), [2]);
}

#[test]
fn a_sticky_contact_keeps_its_place_and_overtakes_nobody() {
    let mut desk = Desk::with_queue(|_| {});
    desk.agent(1, 1, 1);
    desk.enter(1);
    desk.accept(1);
    desk.enter(2);
    enter_for(&mut desk, 3, 1, 60);
    desk.enter(4);
    desk.finish(1);
    assert_eq!(desk.ringing(2), [1]);
    desk.accept(1);
    desk.finish(2);
    assert_eq!(desk.ringing(3), [1]);
}

#[test]
fn nobody_waits_for_an_agent_who_is_away_goes_away_or_lets_the_contact_pass() {
    type Goes = fn(&mut Desk);
    let ways: [(&str, Goes); 5] = [
        ("on break before", |desk| desk.not_ready(2)),
        ("logged out before", |desk| desk.run(Command::LogOut { agent: AgentId(2) })),
        ("unknown", |desk| {
            desk.run(Command::LogOut { agent: AgentId(2) });
            desk.run(Command::RemoveAgent { agent: AgentId(2) });
        }),
        ("of another queue", |desk| desk.run(Command::AddAgent(AgentConfig::new(AgentId(2), "two")))),
        ("nowhere", |_| {}),
    ];
    for (name, goes) in ways {
        let mut desk = two();
        goes(&mut desk);
        enter_for(&mut desk, 1, 2, 30);
        let expected = if name == "nowhere" { 2 } else { 1 };
        assert_eq!(desk.ringing(1), [expected], "{name}");
    }
    let later: [(&str, Goes); 4] = [
        ("declines", |desk| desk.decline(2)),
        ("does not answer", |desk| desk.pass_s(20)),
        ("takes a break", |desk| desk.not_ready(2)),
        ("goes home", |desk| desk.run(Command::LogOut { agent: AgentId(2) })),
    ];
    for (name, goes) in later {
        let mut desk = two();
        enter_for(&mut desk, 1, 2, 60);
        assert_eq!(desk.ringing(1), [2]);
        goes(&mut desk);
        assert_eq!(desk.ringing(1), [1], "{name}");
    }
}

#[test]
fn of_a_ring_all_queue_only_the_agent_rings_until_the_wait_is_over() {
    let mut desk = Desk::with_queue(|queue| queue.strategy = Strategy::RingAll);
    for id in 1..=3 {
        desk.agent(id, 1, 1);
    }
    enter_for(&mut desk, 1, 2, 10);
    assert_eq!(desk.ringing(1), [2]);
    desk.pass_s(10);
    assert_eq!(desk.ringing(1), [1, 2, 3]);
}
