//! Requests too large for a datagram.

use std::collections::BTreeMap;

use offhook_sip::{DATAGRAM_REQUEST_BYTES_MAX, Endpoint, EndpointConfig, Event, Flow, Message, Output, Transport};
use offhook_units::{Entropy, Span, Tick};

use super::world::{A, B, address, flow, invite_to};

fn endpoint(listener: &str) -> Endpoint {
    let large_requests_over = vec![listener.parse().expect("an address")];
    Endpoint::new(EndpointConfig { large_requests_over, ..EndpointConfig::default() }, Entropy::from_number(1))
}

/// Calls with a Subject of so many letters; gives what goes out.
fn call(endpoint: &mut Endpoint, now: Tick, letters: usize) -> (Flow, Vec<u8>) {
    let mut invite = invite_to(flow(A, B), None);
    invite.headers = vec![("Subject".into(), "x".repeat(letters))];
    endpoint.invite(now, invite).expect("room");
    sent(endpoint).expect("an INVITE")
}

fn sent(endpoint: &mut Endpoint) -> Option<(Flow, Vec<u8>)> {
    let mut found = None;
    loop {
        match endpoint.poll_output() {
            Output::Transmit { flow, bytes } => assert!(found.replace((flow, bytes)).is_none(), "one message"),
            Output::Event(event) => panic!("{event:?}"),
            Output::Wait { .. } => return found,
        }
    }
}

fn via(bytes: &[u8]) -> (String, String) {
    let message = Message::parse(bytes).expect("a message");
    let via = message.headers().top_via().expect("a Via");
    (via.transport.clone(), via.branch().expect("a branch").to_owned())
}

#[test]
fn a_request_of_1301_bytes_goes_over_tcp_and_one_of_1300_as_a_datagram() {
    let (mut endpoint, now) = (endpoint("0.0.0.0:5070"), Tick::from_us(1));
    let empty = call(&mut endpoint, now, 0).1.len();
    let (over, bytes) = call(&mut endpoint, now, DATAGRAM_REQUEST_BYTES_MAX - empty);
    assert_eq!((over.transport, bytes.len()), (Transport::Udp, DATAGRAM_REQUEST_BYTES_MAX));
    let (over, bytes) = call(&mut endpoint, now, DATAGRAM_REQUEST_BYTES_MAX - empty + 1);
    let local = "192.0.2.1:5070".parse().expect("an address");
    assert_eq!(over, Flow { transport: Transport::Tcp, local, peer: address(B) });
    assert_eq!(via(&bytes).0, "TCP");
}

#[test]
fn one_host_takes_no_tcp_and_another_does_where_the_rest_is_the_other_way() {
    let (mut endpoint, now) = (endpoint("0.0.0.0:5070"), Tick::from_us(1));
    let host = address(B).ip();
    endpoint.except_large_requests(BTreeMap::from([(host, Vec::new())]));
    assert_eq!(call(&mut endpoint, now, 2_000).0.transport, Transport::Udp);
    let mut endpoint = Endpoint::new(EndpointConfig::default(), Entropy::from_number(1));
    endpoint.except_large_requests(BTreeMap::from([(host, vec!["0.0.0.0:5070".parse().expect("an address")])]));
    assert_eq!(call(&mut endpoint, now, 2_000).0.transport, Transport::Tcp);
    endpoint.except_large_requests(BTreeMap::new());
    assert_eq!(call(&mut endpoint, now, 2_000).0.transport, Transport::Udp);
}

#[test]
fn a_peer_without_tcp_gets_the_same_transaction_as_a_datagram_and_no_connection_for_ten_minutes() {
    let (mut endpoint, now) = (endpoint("192.0.2.1:5060"), Tick::from_us(1));
    let (over, first) = call(&mut endpoint, now, 2_000);
    assert_eq!(over.transport, Transport::Tcp);
    endpoint.transport_failed(now, over);
    let (over, second) = sent(&mut endpoint).expect("the INVITE again");
    assert_eq!(over, flow(A, B));
    assert_eq!((via(&second).0, via(&second).1), ("UDP".to_owned(), via(&first).1));
    // As any other datagram it is repeated when nobody answers.
    let later = now + Span::from_ms(500);
    endpoint.timeout(later);
    assert_eq!(sent(&mut endpoint), Some((over, second)));
    assert_eq!(call(&mut endpoint, later, 2_000).0.transport, Transport::Udp);
    let much_later = now + Span::from_s(601);
    endpoint.timeout(much_later);
    while !matches!(endpoint.poll_output(), Output::Wait { .. }) {}
    assert_eq!(call(&mut endpoint, much_later, 2_000).0.transport, Transport::Tcp);
}

#[test]
fn a_connection_that_breaks_after_a_response_ends_the_request() {
    let (mut endpoint, now) = (endpoint("192.0.2.1:5060"), Tick::from_us(1));
    let (over, bytes) = call(&mut endpoint, now, 2_000);
    let Ok(Message::Request(request)) = Message::parse(&bytes) else { panic!("a request") };
    endpoint.receive(now, over, Message::Response(offhook_sip::Response::to_request(&request, 100)));
    endpoint.transport_failed(now, over);
    let ended = core::iter::from_fn(|| match endpoint.poll_output() {
        Output::Event(event) => Some(event),
        Output::Transmit { bytes, .. } => panic!("{}", String::from_utf8_lossy(&bytes)),
        Output::Wait { .. } => None,
    });
    assert!(matches!(ended.collect::<Vec<_>>()[..], [Event::Refused { status: 503, .. }]));
}

#[test]
fn a_listener_of_another_address_serves_nobody() {
    let mut endpoint = endpoint("198.51.100.1:5060");
    assert_eq!(call(&mut endpoint, Tick::from_us(1), 2_000).0.transport, Transport::Udp);
}
