//! Two ends shake hands over a wire that loses, doubles and changes what it likes.

use std::net::SocketAddr;
use std::sync::Arc;

use offhook_browser::{HANDSHAKE_WITHIN, Identity, Peer};
use offhook_media::{Deed, HANDSHAKE_BYTES_MAX, Transport};
use offhook_plan::{Crypto, Dtls, Fingerprint, Setup};
use offhook_units::{Entropy, Span, Tick};

/// A round of the worker.
const ROUND: Span = Span::from_ms(250);

struct End {
    peer: Peer,
    says: Dtls,
    at: SocketAddr,
    keys: Option<Crypto>,
    path: Option<SocketAddr>,
    failed: Option<String>,
}

impl End {
    fn new(identity: &Arc<Identity>, setup: Setup, port: u16) -> Self {
        let says = Dtls { fingerprints: vec![identity.fingerprint().clone()], setup, ice: None };
        let peer = Peer::new(identity.clone(), Tick::from_us(1));
        Self { peer, says, at: SocketAddr::from(([127, 0, 0, 1], port)), keys: None, path: None, failed: None }
    }

    /// Does what it wants; gives what it sends.
    fn attend(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        let mut room = [0; HANDSHAKE_BYTES_MAX];
        while let Some(deed) = self.peer.poll(&mut room) {
            match deed {
                Deed::Send { length, .. } => sent.push(room[..length].to_vec()),
                Deed::Source(_) | Deed::Limited => {}
                Deed::Path(path) => self.path = path,
                Deed::Keys(keys) => self.keys = Some(*keys),
                Deed::Failed(error) => self.failed = Some(error),
            }
        }
        sent
    }
}

/// One waits, the other begins, and `wire` says what becomes of each datagram. Runs until both have keys or time is over.
fn shake(ends: &mut [End; 2], within: Span, mut wire: impl FnMut(Vec<u8>) -> Vec<Vec<u8>>) {
    let began = Tick::from_us(1);
    let said = [ends[0].says.clone(), ends[1].says.clone()];
    let at = [ends[0].at, ends[1].at];
    for (n, end) in ends.iter_mut().enumerate() {
        end.peer.agree(began, &said[n], Some((&said[1 - n], at[1 - n])));
    }
    let mut now = began;
    while now.since(began) < within && ends.iter().any(|end| end.keys.is_none() && end.failed.is_none()) {
        loop {
            let sent = [ends[0].attend(), ends[1].attend()];
            if sent.iter().all(Vec::is_empty) {
                break;
            }
            for (n, sent) in sent.into_iter().enumerate() {
                for datagram in sent.into_iter().flat_map(&mut wire) {
                    ends[1 - n].peer.receive(now, at[n], &datagram);
                }
            }
        }
        now += ROUND;
        for end in ends.iter_mut() {
            end.peer.turn(now);
        }
    }
}

fn two() -> [End; 2] {
    let identity = || Arc::new(Identity::new().expect("a certificate"));
    [End::new(&identity(), Setup::Passive, 10_000), End::new(&identity(), Setup::Active, 20_000)]
}

#[test]
fn both_ends_come_to_the_same_keys_each_for_its_direction_and_to_a_path() {
    let mut ends = two();
    shake(&mut ends, Span::from_ms(1_000), |datagram| vec![datagram]);
    let [one, other] = &ends;
    let (ours, theirs) = (one.keys.expect("keys"), other.keys.expect("keys"));
    assert_eq!((ours.send, ours.receive), (theirs.receive, theirs.send));
    assert_ne!(ours.send, ours.receive);
    assert_eq!((one.path, other.path), (Some(other.at), Some(one.at)));
}

#[test]
fn a_third_of_all_datagrams_lost_and_a_third_doubled_still_come_to_keys_in_40_seeds() {
    let mut without = 0;
    for seed in 0..40 {
        let mut ends = two();
        let mut chance = Entropy::from_number(seed);
        shake(&mut ends, HANDSHAKE_WITHIN, |datagram| match chance.below(3) {
            0 => Vec::new(),
            1 => vec![datagram.clone(), datagram],
            _ => vec![datagram],
        });
        without += usize::from(ends[0].keys.is_none() || ends[1].keys.is_none());
    }
    assert!(without <= 2, "{without} of 40 came to none within 15 s");
}

#[test]
fn a_certificate_that_is_not_the_one_of_the_description_gives_no_keys() {
    let mut ends = two();
    ends[1].says.fingerprints[0].bytes[0] ^= 1;
    shake(&mut ends, HANDSHAKE_WITHIN, |datagram| vec![datagram]);
    assert!(ends[0].keys.is_none() && ends[0].path.is_none());
    let error = ends[0].failed.as_ref().expect("a failure");
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn of_several_hashes_one_that_fits_is_enough() {
    let mut ends = two();
    let wrong = Fingerprint { bytes: vec![0; 32], ..ends[1].says.fingerprints[0].clone() };
    ends[1].says.fingerprints.insert(0, wrong);
    shake(&mut ends, Span::from_ms(1_000), |datagram| vec![datagram]);
    assert!(ends[0].keys.is_some() && ends[1].keys.is_some());
}

#[test]
fn keys_wait_until_it_is_known_whose_certificate_it_was() {
    let mut ends = two();
    let said = [ends[0].says.clone(), ends[1].says.clone()];
    let at = [ends[0].at, ends[1].at];
    let now = Tick::from_us(1);
    // The one that waits is asked before its peer's answer is here: it knows of no ICE of the peer, and has none itself.
    ends[0].peer.agree(now, &said[0], None);
    ends[1].peer.agree(now, &said[1], Some((&said[0], at[0])));
    for _ in 0..20 {
        for n in 0..2 {
            for datagram in ends[n].attend() {
                ends[1 - n].peer.receive(now, at[n], &datagram);
            }
        }
    }
    assert!(ends[0].keys.is_none() && ends[1].keys.is_some());
    ends[0].peer.agree(now, &said[0], Some((&said[1], at[1])));
    ends[0].attend();
    assert_eq!(ends[0].keys.map(|keys| keys.send), ends[1].keys.map(|keys| keys.receive));
}

#[test]
fn noise_in_place_of_records_ends_in_a_failure_that_is_told_once_and_never_in_a_panic() {
    let mut chance = Entropy::from_number(7);
    let mut ends = two();
    let mut count = 0;
    shake(&mut ends, HANDSHAKE_WITHIN + Span::from_ms(1_000), |mut datagram| {
        count += 1;
        for _ in 0..3 {
            let at = chance.below(datagram.len() as u64) as usize;
            datagram[at] = chance.next_u32() as u8;
        }
        vec![datagram]
    });
    assert!(count > 2);
    for end in &mut ends {
        assert!(end.keys.is_none() && end.failed.take().is_some());
        end.peer.turn(Tick::from_us(1) + HANDSHAKE_WITHIN + HANDSHAKE_WITHIN);
        end.attend();
        assert!(end.failed.is_none());
    }
}

#[test]
fn a_peer_that_never_comes_is_given_up_15_s_after_its_answer() {
    let mut ends = two();
    shake(&mut ends, HANDSHAKE_WITHIN + ROUND, |_| Vec::new());
    assert!(ends[0].failed.as_ref().is_some_and(|error| error.contains("within 15 s")), "{:?}", ends[0].failed);
}
