//! A browser's side and the exchange's find each other and agree on keys, over a wire that loses some, and a port that changes.

use std::net::SocketAddr;
use std::sync::Arc;

use offhook_browser::{Client, Identity, Peer};
use offhook_media::{Deed, HANDSHAKE_BYTES_MAX, Transport};
use offhook_plan::{Candidate, CandidateHost, CandidateKind, CandidateTransport, Crypto, Dtls, Ice, Setup};
use offhook_units::{Entropy, Span, Tick};

fn ice(name: &str) -> Ice {
    let (ufrag, pwd) = (name.to_owned(), format!("{name}+password+of+22+characters"));
    Ice { ufrag, pwd, lite: true, options: Vec::new(), candidates: Vec::new(), complete: true }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

struct Call {
    client: Client,
    exchange: Peer,
    now: Tick,
    /// Where the client is seen to be.
    seen: SocketAddr,
    keys: [Option<Crypto>; 2],
    path: Option<SocketAddr>,
    sources: Vec<SocketAddr>,
}

const EXCHANGE: u16 = 3_478;

impl Call {
    fn new() -> Self {
        Self::of(ice("page"), at(9))
    }

    /// Of a page that says this of itself, and in its description that it is there.
    fn of(page: Ice, said: SocketAddr) -> Self {
        let now = Tick::from_us(1_000_000);
        let identity = || Arc::new(Identity::new().expect("a certificate"));
        let (ours, theirs) = (identity(), identity());
        let mut client = Client::new(ours, page, now);
        let says = Dtls {
            fingerprints: vec![theirs.fingerprint().clone()],
            setup: Setup::Passive,
            ice: Some(ice("exchange")),
        };
        let mut exchange = Peer::new(theirs, now);
        exchange.agree(now, &says, Some((client.says(), said)));
        client.connect(now, &says, at(EXCHANGE));
        Self { client, exchange, now, seen: at(1), keys: [None, None], path: None, sources: Vec::new() }
    }

    /// Time goes by in steps of 10 ms; `wire` says which datagrams come.
    fn run(&mut self, span: Span, mut wire: impl FnMut() -> bool) {
        let until = self.now + span;
        let mut room = [0; HANDSHAKE_BYTES_MAX];
        while self.now < until {
            loop {
                let mut moved = false;
                while let Some(deed) = self.client.poll(&mut room) {
                    moved = true;
                    match deed {
                        Deed::Send { to, length } if wire() && to == at(EXCHANGE) => {
                            self.exchange.receive(self.now, self.seen, &room[..length]);
                        }
                        Deed::Keys(keys) => self.keys[0] = Some(*keys),
                        Deed::Failed(error) => panic!("the client failed: {error}"),
                        Deed::Send { .. } | Deed::Source(_) | Deed::Path(_) | Deed::Limited => {}
                    }
                }
                while let Some(deed) = self.exchange.poll(&mut room) {
                    moved = true;
                    match deed {
                        Deed::Send { to, length } if wire() && to == self.seen => {
                            self.client.receive(self.now, at(EXCHANGE), &room[..length]);
                        }
                        Deed::Keys(keys) => self.keys[1] = Some(*keys),
                        Deed::Path(path) => self.path = path,
                        Deed::Source(source) => self.sources.push(source),
                        Deed::Failed(error) => panic!("the exchange failed: {error}"),
                        Deed::Send { .. } | Deed::Limited => {}
                    }
                }
                if !moved {
                    break;
                }
            }
            self.now += Span::from_ms(10);
            self.client.turn(self.now);
            if self.now.since(Tick::ZERO).as_ms().is_multiple_of(250) {
                self.exchange.turn(self.now);
            }
        }
    }

    fn are_agreed(&self) -> bool {
        let [Some(client), Some(exchange)] = &self.keys else { return false };
        (client.send, client.receive) == (exchange.receive, exchange.send)
    }
}

#[test]
fn a_path_is_checked_and_chosen_and_keys_are_agreed_on_within_50_ms() {
    let mut call = Call::new();
    call.run(Span::from_ms(50), || true);
    assert!(call.are_agreed() && call.client.is_answered());
    assert_eq!((call.path, &call.sources[..]), (Some(at(1)), &[at(1)][..]));
}

#[test]
fn a_third_of_all_datagrams_lost_still_comes_to_keys_in_20_seeds() {
    for seed in 0..20 {
        let mut call = Call::new();
        let mut chance = Entropy::from_number(seed);
        call.run(Span::from_ms(12_000), || chance.below(3) > 0);
        assert!(call.are_agreed(), "seed {seed}");
    }
}

#[test]
fn a_translator_that_gives_the_browser_another_port_is_followed_at_its_next_check() {
    let mut call = Call::new();
    call.run(Span::from_ms(1_000), || true);
    call.seen = at(2);
    call.run(Span::from_ms(2_600), || true);
    assert_eq!((call.path, &call.sources[..]), (Some(at(2)), &[at(1), at(2)][..]));
    assert!(call.are_agreed(), "by the same keys");
    call.run(Span::from_ms(35_000), || true);
    assert_eq!(call.path, Some(at(2)), "it goes on checking");
    call.run(Span::from_ms(30_000), || false);
    assert_eq!(call.path, None, "no check for 30 s: nothing is sent there any more");
    call.run(Span::from_ms(3_000), || true);
    assert_eq!(call.path, Some(at(2)), "and again after the next one");
}

#[test]
fn a_page_that_hides_its_address_behind_a_name_of_mdns_is_found_by_its_checks() {
    let hidden = Candidate {
        foundation: "0".to_owned(),
        component: 1,
        transport: CandidateTransport::Udp,
        priority: 2_122_252_543,
        host: CandidateHost::Name("b94c580a-8668-4a50-914b-4d334f849284.local".to_owned()),
        port: 34_065,
        kind: CandidateKind::Host,
        related: None,
    };
    let page = Ice { lite: false, candidates: vec![hidden], ..ice("page") };
    let mut call = Call::of(page, "0.0.0.0:9".parse().expect("an address"));
    call.run(Span::from_ms(50), || true);
    assert!(call.are_agreed());
    assert_eq!(call.path, Some(at(1)));
}

#[test]
fn checks_over_the_limit_of_a_leg_are_told_and_the_page_is_heard_all_the_while() {
    let mut call = Call::new();
    call.run(Span::from_ms(50), || true);
    // A STUN header and no more: nobody's, and looked at all the same, 99 of them in this second, after the page's first.
    let header = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let (mut room, mut limited) = ([0; HANDSHAKE_BYTES_MAX], 0);
    for port in 0..250 {
        call.exchange.receive(call.now, at(2_000 + port), &header);
        while let Some(deed) = call.exchange.poll(&mut room) {
            assert_eq!(deed, Deed::Limited);
            limited += 1;
        }
    }
    assert_eq!(limited, 151);
    call.run(Span::from_ms(40_000), || true);
    assert_eq!(call.path, Some(at(1)), "its own checks were answered");
}
