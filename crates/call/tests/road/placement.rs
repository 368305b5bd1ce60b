//! Waiting calls that somebody moves, and those that a program is asked about.

use offhook_acd::{PassedOver, Standing};
use offhook_call::config::{Config, Supervises, Ways};
use offhook_call::guests::Denied;
use offhook_call::placement::Placement;
use offhook_units::{AgentId, CallId, QueueId, Span};

use crate::world::World;

const SUPPORT: QueueId = QueueId(1);
const SALES: QueueId = QueueId(2);
/// Agents 0 and 1 of the world.
const FIRST: AgentId = AgentId(1);
const SECOND: AgentId = AgentId(2);
const MINUTE: Span = Span::from_s(60);

/// A second queue; of the world's agents the last one serves it, and supervises it.
fn sales(config: &mut Config) {
    let mut queue = config.queues[0].clone();
    (queue.acd.id, queue.acd.name, queue.ways) = (SALES, "sales".to_owned(), Ways::default());
    config.queues.push(queue);
    let last = config.agents.last_mut().expect("an agent");
    last.acd = last.acd.clone().in_queue(SALES, 1, 1);
    last.supervises = Supervises::Queues(vec![SALES]);
}

#[test]
fn a_waiting_call_is_given_to_another_agent_and_the_first_phone_stops_ringing() {
    let mut world = World::with_agents(2);
    world.dial("support");
    assert_eq!(world.ringing_agent(), 0);
    assert_eq!(world.place(None, Placement::Agent(SECOND, MINUTE)), Ok(()));
    assert!(world.was_cancelled(0));
    assert_eq!(world.ringing_agent(), 1);
    world.pick_up(1);
    assert_eq!((world.call().state, world.call().agent.as_deref()), ("talking", Some("agent1")));
    assert_eq!(world.place(None, Placement::Agent(FIRST, MINUTE)), Err(Denied::NotWaiting));
}

#[test]
fn a_call_waits_for_a_busy_agent_alone_and_after_that_time_for_anybody() {
    let mut world = World::with_agents(2);
    world.dial("support");
    world.pick_up(0);
    world.dial("support");
    assert_eq!(world.ringing_agent(), 1);
    assert_eq!(world.place(None, Placement::Agent(FIRST, MINUTE)), Ok(()));
    assert_eq!((world.call().state, world.call().agent), ("waiting", None), "though agent 1 is free");
    let why: Vec<_> =
        world.explain().candidates.into_iter().map(|candidate| (candidate.agent, candidate.standing)).collect();
    let preferred = PassedOver::AnotherPreferred(FIRST, world.now() + MINUTE);
    assert_eq!(why, [(FIRST, Standing::PassedOver(PassedOver::Busy)), (SECOND, Standing::PassedOver(preferred))]);
    world.pass(MINUTE);
    assert_eq!(world.ringing_agent(), 1);
}

#[test]
fn a_waiting_call_is_moved_to_another_queue_and_rings_there() {
    let mut world = World::told(2, sales);
    world.dial("support");
    world.pick_up(0);
    world.agent_goes(1, false);
    world.dial("support");
    assert_eq!((world.call().state, world.call().queue.as_deref()), ("waiting", Some("support")));
    assert!(matches!(world.place(None, Placement::Queue(SALES)), Err(Denied::Full(_))), "nobody serves it");
    assert_eq!(world.call().state, "waiting", "and nothing is lost by asking");
    world.agent_goes(1, true);
    assert_eq!(world.place(None, Placement::Queue(SALES)), Ok(()));
    assert_eq!((world.call().queue.as_deref(), world.ringing_agent()), (Some("sales"), 1));
    assert_eq!(world.queue(SUPPORT).flowed_out, 1);
    assert!(matches!(world.place(None, Placement::Queue(SALES)), Err(Denied::Elsewhere(_))), "it is there");
    assert_eq!(world.place(None, Placement::Queue(QueueId(9))), Err(Denied::NoQueue(QueueId(9))));
}

#[test]
fn only_who_supervises_the_calls_queue_may_move_it() {
    let mut world = World::told(2, sales);
    world.dial("support");
    let denied = Denied::NotAllowed("agent1".to_owned());
    assert_eq!(world.place(Some(SECOND), Placement::Agent(SECOND, MINUTE)), Err(denied));
    assert_eq!(world.place(None, Placement::Queue(SALES)), Ok(()));
    assert_eq!(world.place(Some(SECOND), Placement::Agent(SECOND, MINUTE)), Ok(()));
    let unfit = Denied::CannotTake("agent0".to_owned());
    assert_eq!(world.place(None, Placement::Agent(FIRST, MINUTE)), Err(unfit), "agent 0 does not serve sales");
    assert_eq!(world.place(None, Placement::Agent(AgentId(9), MINUTE)), Err(Denied::NoAgent(AgentId(9))));
    let gone = world.place_call(CallId(7), None, Placement::Queue(SUPPORT));
    assert_eq!(gone, Err(Denied::NoCall(CallId(7))));
}

#[test]
fn a_program_that_is_asked_names_the_agent_and_without_an_answer_in_time_the_strategy_decides() {
    let mut world = World::told(2, |config| config.queues[0].external = Some(Span::from_s(2)));
    world.dial("support");
    let until = world.now() + Span::from_s(2);
    assert_eq!((world.call().state, world.call().asked_until), ("waiting", Some(until)));
    assert!(world.call_changed(), "whoever listens is told");
    assert_eq!(world.place(None, Placement::Answer(Some((SECOND, MINUTE)))), Ok(()));
    assert_eq!((world.ringing_agent(), world.call().asked_until), (1, None));
    assert_eq!(world.place(None, Placement::Answer(None)), Err(Denied::NotAsked));
    world.pick_up(1);
    world.dial("support");
    world.pass(Span::from_s(2));
    assert_eq!((world.ringing_agent(), world.call().asked_until), (0, None));
    assert_eq!(world.place(None, Placement::Answer(Some((SECOND, MINUTE)))), Err(Denied::NotAsked), "too late");
    world.pick_up(0);
    world.dial("support");
    assert_eq!(world.place(None, Placement::Answer(None)), Ok(()), "nobody in particular");
    assert_eq!(world.call().asked_until, None);
}
