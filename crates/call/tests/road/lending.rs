//! Agents on loan, as the configuration says, and as another one says after a start.

use offhook_acd::Lending;
use offhook_call::config::{self, Config};
use offhook_call::event::LogEvent;
use offhook_call::{Exchange, Output, Recovered};
use offhook_units::{AgentId, Entropy, IdSource, QueueId, Span, Tick};

use crate::world::config;

const AGENT: AgentId = AgentId(1);
const A: QueueId = QueueId(1);
const B: QueueId = QueueId(2);
const C: QueueId = QueueId(3);

/// Three queues of one agent, with these lenders and loans.
fn house(lenders: &[QueueId], loans: &[(QueueId, QueueId)]) -> Config {
    let mut house = config(1);
    for id in [B, C] {
        let mut queue = house.queues[0].clone();
        queue.acd.id = id;
        queue.acd.name = format!("queue {id}");
        house.queues.push(queue);
        house.agents[0].acd = house.agents[0].acd.clone().in_queue(id, 1, 1);
    }
    house.lending = config::Lending {
        terms: lenders.iter().map(|queue| (*queue, Lending { target: 8_000 })).collect(),
        loans: loans.iter().map(|(to, by)| (AGENT, *to, *by)).collect(),
    };
    house
}

/// The log grows by what a start adds to it.
fn start(log: &mut Vec<(Tick, LogEvent)>, config: Config) -> Exchange {
    let now = Tick::from_us(1_800_000_000_000_000) + Span::from_s(log.len() as u64);
    let recovered = Recovered::replay(log.iter().cloned(), Vec::new());
    let mut exchange = Exchange::recover(now, config, IdSource::new(0, 1), Entropy::from_number(1), recovered);
    loop {
        match exchange.poll_output() {
            Output::Log { at, event } => log.push((at, event)),
            Output::Wait { .. } => return exchange,
            _ => {}
        }
    }
}

fn lenders(exchange: &Exchange) -> [Option<QueueId>; 3] {
    [A, B, C].map(|queue| exchange.acd().lender(AGENT, queue).map(|(by, _)| by))
}

#[test]
fn loans_follow_the_configuration_from_start_to_start_whatever_they_were_before() {
    let mut log = Vec::new();
    let exchange = start(&mut log, house(&[B], &[(A, B)]));
    assert_eq!(lenders(&exchange), [Some(B), None, None]);
    let shown = exchange.queues(log.last().expect("a log").0);
    assert_eq!(shown.iter().map(|queue| queue.lends).collect::<Vec<_>>(), [None, Some(true), None]);

    // The same again is nothing new.
    let is_lending = |event: &LogEvent| format!("{event:?}").contains("Lent");
    let count = |log: &[(Tick, LogEvent)]| log.iter().filter(|(_, event)| is_lending(event)).count();
    start(&mut log, house(&[B], &[(A, B)]));
    assert_eq!(count(&log), 1);

    // What lent is lent now, and the other way round.
    let exchange = start(&mut log, house(&[A, C], &[(B, C), (A, C)]));
    assert_eq!(lenders(&exchange), [Some(C), Some(C), None]);
    let exchange = start(&mut log, house(&[A], &[(C, A), (B, A)]));
    assert_eq!(lenders(&exchange), [None, Some(A), Some(A)]);
    let exchange = start(&mut log, house(&[], &[]));
    assert_eq!(lenders(&exchange), [None, None, None]);
    assert!(exchange.queues(log.last().expect("a log").0).iter().all(|queue| queue.lends.is_none()));
}
