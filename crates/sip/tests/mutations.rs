//! Messages with bytes changed, cut, doubled and joined: nothing panics, and what is accepted prints to the same message again.

mod support;

use offhook_sip::{Challenge, Headers, Message, NameAddr, Request, Response, Uri, Via, digest_username, frame_len};
use offhook_units::Entropy;
use support::{torture, torture_names};

const MUTATIONS: usize = 10_000;

/// Bytes that mean something in the grammar.
const TELLING: &[u8] = b"\r\n :;,<>\"\\@?=%/*[]()\t\0\xff\x7f09AZaz";

fn mutate(entropy: &mut Entropy, seeds: &[Vec<u8>]) -> Vec<u8> {
    let pick = |entropy: &mut Entropy, length: usize| entropy.below(length as u64) as usize;
    let mut bytes = seeds[pick(entropy, seeds.len())].clone();
    for _ in 0..=entropy.below(6) {
        let length = bytes.len().max(1);
        let at = pick(entropy, length).min(bytes.len());
        let end = (at + pick(entropy, 24)).min(bytes.len());
        match entropy.below(6) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.insert(at, TELLING[pick(entropy, TELLING.len())]),
            2 if at < bytes.len() => bytes[at] = entropy.next_u32() as u8,
            3 => bytes.truncate(at),
            4 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let other = &seeds[pick(entropy, seeds.len())];
                let from = pick(entropy, other.len());
                bytes.splice(at..at, other[from..(from + 40).min(other.len())].iter().copied());
            }
        }
    }
    bytes
}

/// Reads all that can be read of the headers.
fn read_all(headers: &Headers) {
    let _ = (headers.top_via(), headers.vias(), headers.from(), headers.to(), headers.cseq(), headers.contacts());
    let _ = (headers.routes(), headers.record_routes(), headers.asserted_identities(), headers.max_forwards());
    let _ = (headers.expires(), headers.retry_after(), headers.min_expires(), headers.has_content_type("a/b"));
    for (name, value) in headers.iter() {
        assert!(headers.get(name).is_some());
        let _ = headers.values(name).count();
        let _ = (value.parse::<Uri>(), value.parse::<NameAddr>(), value.parse::<Via>());
        let _ = (Challenge::parse(value), digest_username(value));
    }
}

fn check(bytes: &[u8]) -> bool {
    let _ = frame_len(bytes);
    match Message::parse(bytes) {
        Ok(message) => {
            read_all(message.headers());
            let mut printed = Vec::new();
            message.write(&mut printed);
            let mut again = Vec::new();
            Message::parse(&printed)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&printed)))
                .write(&mut again);
            assert_eq!(printed, again);
            assert_eq!(frame_len(&printed), Ok(Some(printed.len())), "what is printed is framed as a whole");
            true
        }
        Err(error) => {
            if let Some(request) = error.salvaged {
                read_all(&request.headers);
                answer(&request, error.fault.status());
            }
            false
        }
    }
}

/// An answer never carries a line that its request did not.
fn answer(request: &Request, status: u16) {
    let mut response = Response::to_request(request, status);
    if let Ok(mut via) = response.headers.top_via() {
        via.set_rport(1);
        response.headers.set_top_via(&via);
    }
    let lines = response.headers.len();
    let bytes = response.to_bytes();
    assert_eq!(bytes.split(|b| *b == b'\n').count() - 1, lines + 2 + usize::from(response.headers.get("l").is_none()));
}

#[test]
fn ten_thousand_mutated_messages_never_panic_and_print_as_they_are_read() {
    let seeds: Vec<Vec<u8>> = torture_names().iter().map(|name| torture(name)).collect();
    let mut entropy = Entropy::from_number(3_261);
    let accepted = (0..MUTATIONS).filter(|_| check(&mutate(&mut entropy, &seeds))).count();
    assert!((MUTATIONS / 20..MUTATIONS).contains(&accepted), "{accepted} accepted: the mutations test nothing");
}

#[test]
fn bytes_by_chance_never_panic() {
    let mut entropy = Entropy::from_number(4_475);
    for _ in 0..MUTATIONS {
        let mut bytes = vec![0; entropy.below(200) as usize];
        entropy.fill(&mut bytes);
        check(&bytes);
        let telling: Vec<u8> = bytes.iter().map(|b| TELLING[usize::from(*b) % TELLING.len()]).collect();
        check(&[b"A sip:b SIP/2.0\r\nVia:", &telling[..], b"\r\n\r\n"].concat());
        let text = String::from_utf8_lossy(&telling).into_owned();
        let _ = (
            text.parse::<Uri>(),
            text.parse::<NameAddr>(),
            text.parse::<Via>(),
            Challenge::parse(&format!("Digest {text}")),
        );
    }
}
