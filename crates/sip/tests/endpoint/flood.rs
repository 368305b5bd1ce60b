//! A hostile peer costs bounded memory.

use offhook_sip::{EndpointConfig, Event};
use offhook_units::Span;

use super::world::{A, World, address};

#[test]
fn a_flood_of_100_000_random_requests_stays_within_the_limits() {
    let config = EndpointConfig { transactions_max: 500, sessions_max: 100, ..EndpointConfig::default() };
    let mut world = World::with(51, &config, 1);
    let methods =
        ["INVITE", "REGISTER", "OPTIONS", "BYE", "CANCEL", "ACK", "INFO", "UPDATE", "FOO", "MESSAGE", "PRACK"];
    let mut most = (0, 0, 0);
    for number in 0..100_000 {
        let method = methods[world.chance.below(methods.len() as u64) as usize];
        let (branch, call) = (world.chance.below(5_000), world.chance.below(5_000));
        let tag = if world.chance.below(3) == 0 { ";tag=x" } else { "" };
        let request = format!(
            "{method} sip:100@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z9hG4bK{branch}\nMax-Forwards: 70\n\
             From: <sip:x@192.0.2.2>;tag=f{call}\nTo: <sip:100@192.0.2.1>{tag}\nCall-ID: {call}\nCSeq: {} {method}\n\
             Contact: <sip:x@192.0.2.2>\n\n",
            world.chance.below(4)
        );
        world.send(address(1), address(A), request.replace('\n', "\r\n").as_bytes());
        if number % 100 == 0 {
            world.run_for(Span::from_ms(20));
            let load = world.parties[A].endpoint.load();
            most = (most.0.max(load.sessions), most.1.max(load.transactions), most.2.max(load.timers));
            world.strays.clear();
            world.sent.clear();
            for event in world.events(A) {
                assert!(matches!(event, Event::Invited { .. } | Event::Cancelled { .. } | Event::Request { .. }));
            }
        }
    }
    assert!(most.0 == 100 && most.1 == 500 && most.2 <= 1_100, "{most:?}");
    assert!(world.parties[A].endpoint.load().full_total > 10_000);
}
