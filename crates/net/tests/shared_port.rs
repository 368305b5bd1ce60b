//! Browsers at one UDP port of two workers, on real loopback sockets: each leg hears its own peer, wherever it is, and nobody else's.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "real sockets and deadlines")]

mod floor;

use std::net::{Ipv6Addr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::Instant;

use floor::browsers::*;
use floor::*;
use offhook_net::media::MediaHandle;
use offhook_plan::{MediaCommand, MediaEvent, Move};
use offhook_units::LegId;

#[test]
fn two_browsers_at_one_port_are_led_each_to_its_leg_at_its_worker() {
    for backends in WAYS {
        let Some(mut house) = House::try_start(backends) else { continue };
        house.find_all();
        house.all_talk(PAIRS, "two at one port");
        assert_eq!(house.count(|port| port.legs.load(Ordering::Relaxed)), 2);
        assert!(house.count(|port| port.handed.load(Ordering::Relaxed)) >= 21, "the second worker's are handed over");
        assert_eq!(house.count(|port| port.dropped.load(Ordering::Relaxed)), 0);
    }
}

#[test]
fn a_browser_over_ipv6_finds_its_leg_whose_own_address_is_one_of_ipv4() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("skipped: no IPv6 here");
        return;
    }
    for backends in WAYS {
        let Some(mut house) = House::try_start_from(backends, Ipv6Addr::LOCALHOST.into()) else { continue };
        house.find_all();
        house.all_talk(PAIRS, "over IPv6");
    }
}

#[test]
fn a_browser_whose_translator_gives_it_another_port_speaks_on_and_a_forger_does_not_get_its_call() {
    for backends in WAYS {
        let Some(mut house) = House::try_start(backends) else { continue };
        house.find_all();
        house.all_talk(PAIRS, "before");
        for leg in BROWSERS {
            let forger = UdpSocket::bind("127.0.0.1:0").unwrap();
            let at = house.peer(leg).at;
            forger.send_to(&check(&format!("leg{leg}"), WRONG), at).unwrap();
            forger.send_to(&[0x80; 60], at).unwrap();
            house.all_talk(PAIRS, "a forger is about");
            forger.set_nonblocking(true).unwrap();
            assert!(forger.recv(&mut [0; 100]).is_err(), "the forger gets nothing");
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            house.peer(leg).socket = socket;
            house.find(leg);
            house.all_talk(PAIRS, "from another port");
        }
        assert_eq!(house.count(|port| port.unknown.load(Ordering::Relaxed)), 2, "what was no check of the forgers'");
    }
}

#[test]
fn a_browsers_leg_goes_to_another_worker_in_mid_talk_and_its_port_stays_and_is_forgotten_at_the_end() {
    for backends in WAYS {
        let Some(mut house) = House::try_start(backends) else { continue };
        house.find_all();
        house.all_talk(PAIRS, "before");
        let mut slow = 0;
        // Each browser goes to the other one's telephone, and back.
        for round in 0..20 {
            let (here, there) = (round % 2, 1 - round % 2);
            let now = house.exchange.clock.now();
            for call in 0..2 {
                let (from, to) = (CALLS[call], CALLS[1 - call]);
                let browser = if call == here { BROWSERS[0] } else { BROWSERS[1] };
                house.exchange.send(call, MediaCommand::Move(Move { from, leg: LegId(browser), to, worker: 1 - call }));
            }
            for (call, telephone) in TELEPHONES.into_iter().enumerate() {
                let browser = if call == there { BROWSERS[0] } else { BROWSERS[1] };
                let plans = vec![house.peer(browser).plan(browser, true), house.peer(telephone).plan(telephone, false)];
                house.exchange.apply(call, plans, now);
            }
            // Said while they are on their way: none is lost.
            let before: usize = house.peers.iter().map(|peer| peer.heard.len()).sum();
            let begun = Instant::now();
            house.exchange.flush();
            for _ in 0..5 {
                for leg in BROWSERS {
                    house.peer(leg).say(leg);
                }
            }
            house.exchange.both_in_force();
            wait_heard(&mut house.peers, before + 10);
            slow += usize::from(begun.elapsed().as_millis() > 100);
            let pairs = [[BROWSERS[here], TELEPHONES[1]], [BROWSERS[there], TELEPHONES[0]]];
            house.all_talk(pairs, "after the move");
        }
        for (worker, call) in CALLS.into_iter().enumerate() {
            house.exchange.send(worker, MediaCommand::Close(call));
        }
        house.exchange.flush();
        for _ in 0..4 {
            house.exchange.until(|event| matches!(event, MediaEvent::LegClosed { .. }).then_some(()));
        }
        let begun = Instant::now();
        let left = |house: &House| {
            house.count(|port| port.legs.load(Ordering::Relaxed) + port.addresses.load(Ordering::Relaxed))
        };
        while left(&house) > 0 {
            assert!(begun.elapsed() < DEADLINE, "{} legs and addresses are remembered", left(&house));
            std::thread::yield_now();
        }
        let late: u64 = house.exchange.workers.iter().map(|worker| worker.counters().figures().moved_late).sum();
        assert!(slow <= 4, "{slow} of 20 times what was said meanwhile was heard more than 100 ms later");
        println!("{backends:?}: {late} of 40 moves took longer than 10 ms");
        let moved: u64 =
            house.exchange.workers.iter().map(|worker| MediaHandle::counters(worker).figures().moved_legs).sum();
        assert_eq!((moved, house.count(|port| port.dropped.load(Ordering::Relaxed))), (40, 0));
    }
}
