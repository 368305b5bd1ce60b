//! A leg goes from worker to worker on real loopback sockets while everybody speaks on: every packet comes, once and in order,
//! whichever way the two workers ask the kernel and whether speech is encrypted or not.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and deadlines")]

mod floor;

use std::net::UdpSocket;

use floor::*;
use offhook_net::media::MediaHandle;
use offhook_plan::{MediaCommand, MediaEvent, Move};
use offhook_units::{CryptoSuite, LegId, Tick};

/// Who stays in each of the two calls; the leg that moves.
const STAYS: [u64; 2] = [1, 3];
const MOVES: u64 = 2;
/// What each of two says in a transfer; of that, what is under way when it begins, and what is said until it is over.
const PACKETS: usize = 300;
const UNDER_WAY: usize = 5;
const HELD: usize = 25;
/// How often a leg goes to and fro.
const ROUNDS: usize = 100;

/// As an attended transfer: 1 and 2 talk at one worker, 3 and 4 at the other; 1 and 4 leave, 2 goes to 3.
fn two_are_joined_from_two_workers(mut exchange: Exchange, suite: Option<CryptoSuite>) {
    let mut peers: Vec<Peer> = (1..=4).map(|number| Peer::new(suite, number)).collect();
    let plan = |peers: &[Peer], leg: u64, moved| peers[leg as usize - 1].plan(leg, moved);
    for (call, pair) in [[1, MOVES], [3, 4]].into_iter().enumerate() {
        exchange.apply(call, pair.map(|leg| plan(&peers, leg, false)).to_vec(), Tick::MAX);
        exchange.flush();
        exchange.in_force(call);
    }
    for n in 0..PACKETS {
        // A leg that nobody hears yet holds 640 ms of speech, 32 packets; nobody says more while one moves.
        if n == PACKETS / 2 - UNDER_WAY {
            wait_heard(&mut peers, 2 * n);
        } else if n == PACKETS / 2 {
            let now = exchange.clock.now();
            exchange.apply(1, vec![plan(&peers, 3, false), plan(&peers, MOVES, true)], now);
            let (from, to) = (CALLS[0], CALLS[1]);
            exchange.send(0, MediaCommand::Move(Move { from, leg: LegId(MOVES), to, worker: 1 }));
            exchange.send(0, MediaCommand::Close(CALLS[0]));
            exchange.flush();
        } else if n == PACKETS / 2 + HELD {
            exchange.in_force(1);
        }
        for who in [MOVES, 3] {
            peers[who as usize - 1].say(who);
        }
        peers.iter_mut().for_each(Peer::listen);
    }
    wait_heard(&mut peers, 2 * PACKETS);
    // What the one who moved said: first to 1, then to 3; what 3 said: first to 4, then to the one who moved.
    for (who, before, after) in [(MOVES, 1, 3), (3, 4, MOVES)] {
        let (first, then) = (peers[before - 1].heard_of(who), peers[after as usize - 1].heard_of(who));
        let said: Vec<u16> = (0..PACKETS as u16).collect();
        assert_eq!([first, then].concat(), said, "{suite:?}: of {who}");
    }
    assert!(peers.iter().all(|peer| is_gapless(&peer.heard)), "{suite:?}");
    exchange.send(1, MediaCommand::Close(CALLS[1]));
    exchange.flush();
    let report = exchange.until(|event| match event {
        MediaEvent::LegClosed { leg: LegId(MOVES), report, call, .. } => Some((call, report)),
        _ => None,
    });
    assert_eq!((report.0, report.1.received_packets, report.1.lost_packets), (CALLS[1], PACKETS as u64, 0));
    let counters: Vec<_> = exchange.workers.iter().map(MediaHandle::counters).collect();
    assert_eq!(counters[1].figures().moved_legs, 1);
    assert!(UdpSocket::bind(peers[MOVES as usize - 1].at).is_ok(), "its port is free again");
}

/// To and fro, a hundred times.
fn a_leg_goes_to_and_fro(mut exchange: Exchange, suite: Option<CryptoSuite>) {
    let mut peers: Vec<Peer> = (1..=3).map(|number| Peer::new(suite, number)).collect();
    let place = |leg: u64| leg as usize - 1;
    for call in 0..2 {
        let mut legs = vec![peers[place(STAYS[call])].plan(STAYS[call], false)];
        if call == 0 {
            legs.push(peers[place(MOVES)].plan(MOVES, false));
        }
        exchange.apply(call, legs, Tick::MAX);
        exchange.flush();
        exchange.in_force(call);
    }
    let mut said = 0;
    for round in 0..ROUNDS {
        let (here, there) = (round % 2, 1 - round % 2);
        for n in 0..6 {
            if n == 2 {
                let now = exchange.clock.now();
                let (from, to) = (CALLS[here], CALLS[there]);
                exchange.send(here, MediaCommand::Move(Move { from, leg: LegId(MOVES), to, worker: there }));
                exchange.apply(here, vec![peers[place(STAYS[here])].plan(STAYS[here], false)], now);
                let legs =
                    vec![peers[place(STAYS[there])].plan(STAYS[there], false), peers[place(MOVES)].plan(MOVES, true)];
                exchange.apply(there, legs, now);
                exchange.flush();
            }
            peers[place(MOVES)].say(MOVES);
            said += 1;
        }
        exchange.in_force(there);
        wait_heard(&mut peers, said);
    }
    let mut all: Vec<u16> = STAYS.iter().flat_map(|stays| peers[place(*stays)].heard_of(MOVES)).collect();
    all.sort_unstable();
    assert_eq!(all, (0..said as u16).collect::<Vec<_>>(), "{suite:?}: each packet once");
    assert!(peers.iter().all(|peer| is_gapless(&peer.heard)), "{suite:?}");
    let figures: Vec<_> = exchange.workers.iter().map(|worker| worker.counters().figures()).collect();
    let (moved, late): (Vec<_>, Vec<_>) =
        figures.iter().map(|figures| (figures.moved_legs, figures.moved_late)).unzip();
    assert_eq!(moved.iter().sum::<u64>(), ROUNDS as u64);
    println!("{ROUNDS} moves, {late:?} of them longer than 10 ms");
    assert!(late.iter().sum::<u64>() * 10 <= ROUNDS as u64, "{late:?} of {ROUNDS} took longer than 10 ms");
}

fn suites() -> impl Iterator<Item = Option<CryptoSuite>> {
    [None, CryptoSuite::ALL.into_iter().next()].into_iter()
}

#[test]
fn a_leg_that_changes_workers_in_a_talk_loses_none_of_600_packets_and_keeps_its_keys_and_numbers() {
    for backends in WAYS {
        for suite in suites() {
            let Some(exchange) = Exchange::try_start(backends) else { break };
            two_are_joined_from_two_workers(exchange, suite);
        }
    }
}

#[test]
fn of_100_moves_to_and_fro_none_loses_or_doubles_a_packet_and_9_in_10_take_less_than_10_ms() {
    for backends in WAYS {
        for suite in suites() {
            let Some(exchange) = Exchange::try_start(backends) else { break };
            a_leg_goes_to_and_fro(exchange, suite);
        }
    }
}
