//! Another configuration while calls are up: nobody is lost, and the log tells it all.

use offhook_acd::{QueueConfig, WrapUp};
use offhook_call::config::{Answer, Config, Destination, Elsewhere, Number, Trunk};
use offhook_plan::{AssetId, Source};
use offhook_units::{AgentId, QueueId, Span};

use crate::world::{World, agent_id, config};

const SUPPORT: QueueId = QueueId(1);
const SALES: QueueId = QueueId(2);

/// The configuration of the world, changed.
fn told(agents: u16, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = config(agents);
    change(&mut config);
    config
}

/// Sales instead of support: another queue, with the same agents and numbers.
fn sales_instead(config: &mut Config) {
    config.queues[0].acd = QueueConfig { id: SALES, name: "sales".to_owned(), ..config.queues[0].acd.clone() };
    for agent in &mut config.agents {
        agent.acd.queues.iter_mut().for_each(|place| place.queue = SALES);
    }
    for number in config.numbers.values_mut() {
        if let Destination::Queue(queue) = &mut number.to {
            *queue = SALES;
        }
    }
    let menu = config.flows.get_mut("main").expect("the menu");
    (menu.default, menu.choices) = (SALES.into(), [('2', SALES.into())].into());
}

fn knows(world: &World, agent: u16) -> bool {
    world.exchange().agent_now(agent_id(agent)).is_some()
}

#[test]
fn an_agent_who_is_removed_in_a_talk_ends_it_and_is_gone_then() {
    let mut world = World::with_agents(2);
    let call = world.dial("support");
    let agent = world.ringing_agent();
    world.pick_up(agent);
    let remaining = told(2, |config| config.agents.retain(|known| known.acd.id != agent_id(agent)));
    world.configure(remaining);
    assert_eq!((world.call().state, world.agent_state(agent)), ("talking", "busy"));
    assert_eq!(world.call().agent, Some(format!("agent{agent}")), "the name stays for as long as the talk");
    assert_eq!(world.exchange().leaving(), (1, 0));
    world.pass(Span::from_s(60));
    assert_eq!(world.call().state, "talking");
    world.caller_hangs_up(call);
    assert!(!knows(&world, agent) && knows(&world, 1 - agent));
    assert_eq!(world.exchange().leaving(), (0, 0));
    assert!(world.replays());

    world.dial("support");
    assert_eq!(world.ringing_agent(), 1 - agent, "the other one is as ready as before");
}

#[test]
fn a_caller_whose_agent_is_removed_while_the_phone_rings_rings_at_the_next_one() {
    let mut world = World::with_agents(2);
    world.dial("support");
    let agent = world.ringing_agent();
    let waited = world.call().since;
    let remaining = told(2, |config| config.agents.retain(|known| known.acd.id != agent_id(agent)));
    world.configure(remaining);
    assert!(world.was_cancelled(agent) && !knows(&world, agent));
    assert_eq!((world.ringing_agent(), world.call().since), (1 - agent, waited));
    world.pick_up(1 - agent);
    assert_eq!(world.call().state, "talking");
    assert!(world.replays());
}

#[test]
fn who_waits_in_a_queue_that_is_removed_is_served_by_its_agents_and_the_queue_is_gone_then() {
    let mut world = World::with_agents(1);
    let talking = world.dial("support");
    world.pick_up(0);
    let waiting = world.dial("support");
    world.configure(told(1, sales_instead));
    assert_eq!((world.call().state, world.call().queue.as_deref()), ("waiting", Some("support")));
    assert_eq!(world.exchange().leaving(), (0, 1));

    // Who comes now is in the new queue, behind who waits already.
    world.dial("support");
    assert_eq!(world.call().queue.as_deref(), Some("sales"));
    world.caller_hangs_up(talking);
    world.pass(Span::from_s(6));
    world.pick_up(0);
    let calls = world.exchange().calls(world.now());
    let shown: Vec<_> = calls.iter().map(|call| (call.state, call.queue.as_deref().unwrap_or_default())).collect();
    assert_eq!(shown, [("talking", "support"), ("waiting", "sales")]);
    world.caller_hangs_up(waiting);
    assert_eq!(world.exchange().leaving(), (0, 0));
    assert!(world.exchange().queue_now(world.now(), SUPPORT).is_none());
    world.pass(Span::from_s(6));
    world.pick_up(0);
    assert_eq!((world.call().state, world.call().queue.as_deref()), ("talking", Some("sales")));
    assert!(world.replays());
}

#[test]
fn who_waits_where_nobody_is_left_goes_where_the_queue_says_or_hears_its_last_message() {
    for overflow in [true, false] {
        let change = |config: &mut Config| {
            let mut sales = config.queues[0].clone();
            sales.acd = QueueConfig { id: SALES, name: "sales".to_owned(), ..sales.acd };
            config.queues.push(sales);
            config.agents[1].acd = config.agents[1].acd.clone().in_queue(SALES, 1, 1);
            config.agents[1].acd.queues.remove(0);
            config.queues[0].ways.nobody = overflow.then_some(Elsewhere::Queue(SALES));
        };
        let mut world = World::told(2, change);
        world.dial("support");
        world.pick_up(0);
        let caller = world.dial("support");
        let mut left = told(2, change);
        left.queues.remove(0);
        left.agents.remove(0);
        left.numbers.clear();
        left.flows.clear();
        world.configure(left);
        // The agent in the last talk is still there; with its end nobody is.
        assert_eq!(world.call().state, "waiting");
        world.agent_hangs_up(0);
        if overflow {
            assert_eq!((world.call().state, world.call().queue.as_deref()), ("ringing", Some("sales")));
            world.pick_up(1);
            assert_eq!(world.call().state, "talking");
        } else {
            assert_eq!(world.call().state, "announcing");
            assert_eq!(world.heard_by_caller(), Some(Source::Player(world.playing(&[3]))), "nobody is here");
            world.player_ends();
            assert!(world.bye_reason(caller).is_some());
            assert_eq!(world.exchange().leaving(), (0, 0));
        }
        assert!(world.replays());
    }
}

#[test]
fn who_hears_a_menu_that_is_changed_or_removed_hears_that_one_to_its_end() {
    let changed = |config: &mut Config| {
        let menu = config.flows.get_mut("main").expect("the menu");
        (menu.greeting, menu.choices) = (vec![AssetId(20)], [('7', SUPPORT.into())].into());
    };
    let removed = |config: &mut Config| {
        config.flows.clear();
        config.numbers.remove("menu");
    };
    for change in [&changed as &dyn Fn(&mut Config), &removed] {
        let mut world = World::with_agents(1);
        let call = world.dial("menu");
        world.configure(told(1, change));
        // Twice, so that the menu of the first change is not taken for the caller's.
        world.configure(told(1, |config| {
            change(config);
            config.name = "again".to_owned();
        }));
        world.press('9');
        assert_eq!(world.heard_by_caller(), Some(Source::Player(world.playing(&[11, 10]))), "the old words");
        world.press('2');
        assert_eq!((world.call().state, world.call().queue.as_deref()), ("ringing", Some("support")));
        world.pick_up(0);
        world.caller_hangs_up(call);
        assert_eq!(world.ended(), ["caller-hung-up"]);
    }
    let mut world = World::with_agents(1);
    world.configure(told(1, changed));
    world.dial("menu");
    assert_eq!(world.heard_by_caller(), Some(Source::Player(world.playing(&[20]))), "who comes now hears the new one");
}

#[test]
fn a_menu_whose_queue_is_gone_meanwhile_ends_in_a_last_word_and_strands_nobody() {
    let mut world = World::with_agents(1);
    let call = world.dial("menu");
    world.configure(told(1, sales_instead));
    assert_eq!(world.exchange().leaving(), (0, 0), "nobody was in it");
    world.press('2');
    assert!(world.bye_reason(call).is_some(), "without a tone the call ends");
    assert_eq!(world.ended(), ["nobody-logged-in"]);
}

#[test]
fn an_agent_with_another_name_takes_the_phone_over_when_the_last_talk_of_the_old_one_is_over() {
    let mut world = World::with_agents(1);
    let call = world.dial("support");
    world.pick_up(0);
    world.dial("support");
    let mut renamed = config(1);
    (renamed.agents[0].acd.id, renamed.agents[0].acd.name) = (AgentId(50), "ada".to_owned());
    world.configure(renamed);
    world.pass(Span::from_s(10));
    assert_eq!(world.call().state, "waiting", "the phone talks");
    world.caller_hangs_up(call);
    assert_eq!((world.call().state, world.call().agent.as_deref()), ("ringing", Some("ada")));
    assert!(!knows(&world, 0));
    assert!(world.replays());
}

#[test]
fn an_agent_who_is_put_back_during_the_last_talk_stays() {
    let mut world = World::with_agents(1);
    let call = world.dial("support");
    world.pick_up(0);
    world.configure(told(1, |config| config.agents.clear()));
    assert_eq!(world.exchange().leaving(), (1, 0));
    world.configure(config(1));
    assert_eq!(world.exchange().leaving(), (0, 0));
    world.caller_hangs_up(call);
    assert_eq!(world.agent_state(0), "wrap-up");
    world.pass(Span::from_s(5));
    assert_eq!(world.agent_state(0), "available");
}

#[test]
fn states_places_and_figures_stay_and_what_is_changed_holds_at_once() {
    let mut world = World::with_agents(2);
    world.agent_goes(1, false);
    let call = world.dial("support");
    world.pick_up(0);
    world.dial("support");
    let (position, offered) = (world.call().position, world.queue(SUPPORT).offered);
    world.configure(told(2, |config| {
        config.queues[0].acd.wrap_up = WrapUp::For(Span::from_s(1));
        config.queues[0].acd.max_waiting = Some(1);
        config.agents.reverse();
    }));
    assert_eq!((world.call().position, world.queue(SUPPORT).offered), (position, offered));
    assert_eq!((world.agent_state(0), world.agent_state(1)), ("busy", "not-ready"));
    world.dial("support");
    assert_eq!(world.call().state, "announcing", "one waits already");
    world.caller_hangs_up(call);
    assert_eq!(world.agent_state(0), "wrap-up");
    world.pass(Span::from_s(1));
    assert_eq!(world.agent_state(0), "offered", "wrap-up is shorter now");
    assert!(world.replays());
}

#[test]
fn the_same_configuration_again_is_nothing_new() {
    let mut world = World::with_agents(3);
    world.dial("support");
    let before = world.exchange().acd().state_hash();
    world.configure(config(3));
    assert_eq!(world.exchange().acd().state_hash(), before);
    assert_eq!(world.call().state, "ringing");
}

#[test]
fn a_trunk_that_is_removed_keeps_its_calls_and_a_new_one_does_not_take_its_place_before() {
    let mut world = World::with_agents(2);
    let call = world.dial("support");
    world.pick_up(world.ringing_agent());
    let stranger = Trunk::new("other", vec!["127.0.0.9".parse().expect("an address")]);
    world.configure(told(2, |config| config.trunks = vec![stranger.clone()]));
    assert_eq!(world.exchange().trunk_places(), [("other".to_owned(), 1)].into());
    assert_eq!((world.call().state, world.call().trunk.as_deref()), ("talking", Some("trunk")));
    let refused = world.dial("support");
    assert_eq!(world.refused(refused), Some(401), "it is a stranger now");
    let taken = world.dial_as_stranger("support");
    assert!(world.answered(taken), "the new one does");
    world.caller_hangs_up(call);

    // Its place is free once its call is over, and the order is the file's.
    let third = Trunk::new("third", vec!["127.0.0.77".parse().expect("an address")]);
    world.configure(told(2, |config| config.trunks = vec![third, stranger]));
    assert_eq!(world.exchange().trunk_places(), [("other".to_owned(), 1), ("third".to_owned(), 0)].into());
    let names: Vec<_> = world.exchange().trunks(world.now()).into_iter().map(|trunk| trunk.name).collect();
    assert_eq!(names, ["third", "other"]);
    assert_eq!(world.call().trunk.as_deref(), Some("other"));
}

#[test]
fn new_calls_follow_the_new_numbers() {
    let mut world = World::with_agents(1);
    let nobody = world.dial("new");
    assert_eq!(world.refused(nobody), Some(404));
    world.configure(told(1, |config| {
        let to = Destination::Queue(SUPPORT);
        let number = Number { answer: Answer::AtStart, to, tones: None, gate: None, record: None };
        config.numbers = [("new".to_owned(), number)].into();
    }));
    let gone = world.dial("support");
    assert_eq!(world.refused(gone), Some(404));
    let call = world.dial("new");
    assert!(world.answered(call));
}

/// A generator of test data; never of anything else.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A house of up to four agents, two queues and the menu, as it comes.
fn some_house(draws: &mut Draws) -> Config {
    told(4, |config| {
        let mut sales = config.queues[0].clone();
        sales.acd = QueueConfig { id: SALES, name: "sales".to_owned(), ..sales.acd };
        config.queues.push(sales);
        let kept = [draws.below(4) > 0, draws.below(4) > 0];
        config.queues.retain(|queue| kept[usize::from(queue.acd.id == SALES)]);
        let queues: Vec<QueueId> = config.queues.iter().map(|queue| queue.acd.id).collect();
        config.agents.retain(|_| draws.below(4) > 0);
        for agent in &mut config.agents {
            agent.acd.queues.clear();
            for queue in queues.iter().filter(|_| draws.below(3) > 0) {
                agent.acd = agent.acd.clone().in_queue(*queue, 1, 1);
            }
        }
        for queue in &mut config.queues {
            queue.acd.max_waiting = Some(1 + draws.below(8) as u32);
            let other = queues.iter().find(|id| **id != queue.acd.id).filter(|_| draws.below(2) == 0);
            queue.ways.nobody = other.map(|id| Elsewhere::Queue(*id));
        }
        if let Some(first) = queues.first() {
            for number in config.numbers.values_mut() {
                if let Destination::Queue(queue) = &mut number.to {
                    *queue = *first;
                }
            }
            let menu = config.flows.get_mut("main").expect("the menu");
            (menu.default, menu.choices) = ((*first).into(), [('2', (*first).into())].into());
        } else {
            config.flows.clear();
            config.numbers.clear();
        }
    })
}

#[test]
fn no_caller_is_lost_over_any_row_of_configurations_and_the_log_tells_the_same_story() {
    for seed in 1..=60 {
        let draws = &mut Draws(seed);
        let mut world = World::with_agents(4);
        let mut callers = Vec::new();
        for _ in 0..40 {
            match draws.below(6) {
                0 => world.configure(some_house(draws)),
                1 | 2 => callers.push(world.dial(["support", "menu", "at-agent"][draws.below(3) as usize])),
                3 => world.pass(Span::from_ms(draws.below(8_000))),
                4 => {
                    for agent in 0..4 {
                        world.pick_up_if_it_rings(agent);
                    }
                }
                _ if callers.is_empty() => {}
                _ => {
                    let call = callers.swap_remove(draws.below(callers.len() as u64) as usize);
                    world.caller_hangs_up(call);
                }
            }
            for call in world.exchange().calls(world.now()) {
                let hears = world.hears(call.id);
                assert!(
                    hears || matches!(call.state, "ending" | "ringing"),
                    "seed {seed}: nothing is done for {call:?}"
                );
            }
        }
        assert!(world.replays(), "seed {seed}");
        world.configure(config(4));
        for call in callers {
            world.caller_hangs_up(call);
        }
        world.pass(Span::from_s(120));
        assert_eq!(world.exchange().calls_active(), 0, "seed {seed}: {:?}", world.exchange().calls(world.now()));
        assert_eq!((world.ports_in_use(), world.open_sessions()), (0, 0), "seed {seed}");
        assert_eq!(world.exchange().leaving(), (0, 0), "seed {seed}");
        assert!(world.replays(), "seed {seed}");
    }
}
