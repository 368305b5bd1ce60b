//! The tables against what peers, and strangers, send.

use std::net::Ipv4Addr;
use std::sync::atomic::AtomicU64;

use super::*;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], port))
}

fn now() -> Tick {
    Tick::from_us(1_700_000_000_000_000)
}

fn target(worker: usize, n: u64) -> Target {
    Target { worker, key: SocketKey::from_index(2 * n as usize), token: n }
}

/// A binding request with this USERNAME behind an attribute of odd length.
fn check(user: &str) -> Vec<u8> {
    let padded = |kind: u16, value: &[u8]| {
        let mut bytes = [kind.to_be_bytes(), (value.len() as u16).to_be_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let attributes = [padded(0x8022, b"a page"), padded(6, user.as_bytes()), padded(0x24, &[0; 4])].concat();
    let length = (attributes.len() as u16).to_be_bytes();
    [&[0, 1][..], &length, &[0x21, 0x12, 0xa4, 0x42], &[7; 12], &attributes].concat()
}

struct Port {
    router: Router,
    counters: PortCounters,
}

impl Port {
    fn new() -> Self {
        Self { router: Router::new(), counters: PortCounters::default() }
    }

    fn name(&mut self, target: Target, name: &str) -> Option<VecDeque<PacketOf>> {
        self.router.name(target, name, &self.counters)
    }

    fn know(&mut self, target: Target, from: SocketAddr) {
        self.router.know(target, LOCAL, from, &self.counters);
    }

    fn route(&mut self, from: SocketAddr, datagram: &[u8]) -> Route {
        self.router.route(now(), LOCAL, from, datagram, &self.counters)
    }

    fn close(&mut self, target: Target) {
        self.router.close(target, &self.counters);
    }
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(std::sync::atomic::Ordering::Relaxed)
}

const SPEECH: [u8; 12] = [0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];

#[test]
fn checks_go_by_their_user_part_and_all_else_by_an_address_that_was_proved() {
    let mut port = Port::new();
    let (one, other) = (target(0, 1), target(1, 1));
    port.name(one, "one");
    port.name(other, "other");
    assert_eq!(port.route(at(1), &check("other:them")), Route::To(other));
    assert_eq!(port.route(at(1), &SPEECH), Route::Nowhere, "nobody has proved to be there");
    port.know(other, at(1));
    port.know(one, at(2));
    assert_eq!(port.route(at(1), &SPEECH), Route::To(other));
    assert_eq!(port.route(at(2), &SPEECH), Route::To(one));
    assert_eq!(port.route(at(1), &check("one:them")), Route::To(one), "by its user part wherever it comes from");
    assert_eq!((count(&port.counters.legs), count(&port.counters.addresses), count(&port.counters.unknown)), (2, 2, 1));
}

#[test]
fn a_closed_leg_leaves_nothing_behind_and_its_place_is_anothers() {
    let mut port = Port::new();
    for round in 0..100 {
        let leg = target(0, round);
        port.name(leg, "first");
        port.name(leg, "second");
        port.know(leg, at(1));
        assert_eq!(port.route(at(1), &SPEECH), Route::To(leg));
        port.close(leg);
        assert_eq!(port.route(at(1), &SPEECH), Route::Nowhere);
        assert_eq!(port.route(at(1), &check("second:them")), Route::Nowhere);
    }
    let Router { names, addresses, targets, places, .. } = &port.router;
    assert_eq!((names.len(), addresses.len(), targets.len(), places.len()), (0, 0, 0, 1));
    assert_eq!(count(&port.counters.unnamed), 100);
}

#[test]
fn after_a_restart_the_names_before_it_are_good_and_older_ones_are_not() {
    let mut port = Port::new();
    let leg = target(0, 1);
    for name in ["a", "b", "c"] {
        port.name(leg, name);
    }
    let routes = ["a:x", "b:x", "c:x"].map(|user| port.route(at(1), &check(user)));
    assert_eq!(routes, [Route::Nowhere, Route::To(leg), Route::To(leg)]);
}

#[test]
fn of_100_addresses_of_a_peer_the_last_16_are_known_and_one_that_another_proves_is_the_others() {
    let mut port = Port::new();
    let (leg, later) = (target(0, 1), target(0, 2));
    port.name(leg, "leg");
    port.name(later, "later");
    (1..=100).for_each(|n| port.know(leg, at(n)));
    let known = (1..=100).filter(|n| port.route(at(*n), &SPEECH) == Route::To(leg)).count();
    assert_eq!(known, ADDRESSES_MAX);
    port.know(later, at(100));
    port.close(leg);
    assert_eq!(port.route(at(100), &SPEECH), Route::To(later), "it is not forgotten with the one before");
}

#[test]
fn a_leg_on_its_way_to_another_worker_finds_there_what_came_meanwhile() {
    let mut port = Port::new();
    let (before, after) = (target(0, 1), target(1, 9));
    port.name(before, "leg");
    port.know(before, at(1));
    port.router.park(before);
    for n in 0..20 {
        let Route::Parked(place) = port.route(at(1), &SPEECH) else { panic!("it is on its way") };
        let packet = PacketOf::new((SocketKey::from_index(0), 0), now(), at(1), &[n; 20]).expect("it fits");
        port.router.keep(place, packet, &port.counters);
    }
    let kept = port.name(after, "leg").expect("what was kept");
    assert_eq!(kept.iter().map(|packet| packet.bytes[0]).collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
    assert_eq!(count(&port.counters.dropped), 4);
    assert_eq!(port.route(at(1), &SPEECH), Route::To(after), "its peer's address went along");
    port.close(before);
    assert_eq!(port.route(at(1), &SPEECH), Route::To(after), "what it was before is nobody");
}

#[test]
fn one_source_makes_us_look_at_1000_checks_a_second_and_others_and_known_peers_are_not_held_up() {
    let mut port = Port::new();
    let leg = target(0, 1);
    port.name(leg, "leg");
    let stranger = |n: u32| SocketAddr::from(([203, 0, 113, 7], 1_024 + n as u16));
    let admitted = (0..5_000).filter(|n| port.route(stranger(*n), &check("leg:x")) == Route::To(leg)).count();
    assert_eq!((admitted, count(&port.counters.limited)), (1_000, 4_000));
    port.know(leg, stranger(1));
    assert_eq!(port.route(stranger(1), &check("leg:x")), Route::To(leg), "a peer that is known to be there");
    assert_eq!(port.route(at(1), &check("leg:x")), Route::To(leg), "another source");
    let later = now() + Span::from_s(1);
    let route = port.router.route(later, LOCAL, stranger(2), &check("leg:x"), &port.counters);
    assert_eq!(route, Route::To(leg), "a second later");
}

#[test]
fn legs_over_the_limit_are_refused_and_counted() {
    let mut port = Port::new();
    for n in 0..SHARING_MAX as u64 + 3 {
        port.name(target(0, n), &n.to_string());
    }
    assert_eq!((count(&port.counters.legs), count(&port.counters.refused)), (SHARING_MAX as u64, 3));
    assert_eq!(port.route(at(1), &check(&format!("{SHARING_MAX}:x"))), Route::Nowhere);
}

#[test]
fn what_is_no_whole_check_names_nobody() {
    let good = check("ours:theirs");
    assert_eq!(check_for(&good), Some("ours"));
    for (bytes, why) in [
        (good[..good.len() - 1].to_vec(), "cut short"),
        ([&good[..], &[0; 4]].concat(), "more than it says"),
        ([&[1, 1], &good[2..]].concat(), "an answer"),
        ([&good[..4], &[0; 4], &good[8..]].concat(), "another cookie"),
        (check("no colon"), "no colon"),
        (Vec::new(), "nothing"),
        (vec![0; 20], "zeros"),
    ] {
        assert_eq!(check_for(&bytes), None, "{why}");
    }
    let mut long = good.clone();
    long[22..24].copy_from_slice(&u16::MAX.to_be_bytes());
    assert_eq!(check_for(&long), None, "an attribute beyond the end");
}
