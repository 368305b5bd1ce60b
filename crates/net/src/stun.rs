//! STUN on the SIP port, as far as keep-alives need it: binding requests are answered with the address that they came from
//! (RFC 8489, RFC 5626 section 3.5.2), and the answers to ours are read.
//!
//! An answer is at most 24 bytes longer than its request, so that a forged source gains nothing by asking us.

use std::net::{IpAddr, SocketAddr};

/// What every message carries, RFC 8489 section 5.
const COOKIE: u32 = 0x2112_a442;
const HEADER_BYTES: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const FINGERPRINT: u16 = 0x8028;
/// The fingerprint is the checksum of all before it, xor this.
const FINGERPRINT_XOR: u32 = 0x5354_554e;
/// Attributes below this have to be understood, RFC 8489 section 14.
const OPTIONAL_FROM: u16 = 0x8000;
/// What requests carry that nobody here needs, though it has to be known: USERNAME, MESSAGE-INTEGRITY, PRIORITY, USE-CANDIDATE.
const PASSED_OVER: [u16; 4] = [0x0006, 0x0008, 0x0024, 0x0025];
/// Unknown attributes that an error names.
const UNKNOWN_MAX: usize = 4;

/// What tells one request from another.
pub type TransactionId = [u8; 12];

/// What a datagram on the SIP port is, if it is STUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stun {
    /// A binding request and its answer.
    Request(Vec<u8>),
    /// The answer to a binding request: where we were seen.
    Mapped(TransactionId, SocketAddr),
    /// STUN that asks for nothing: indications, errors, damaged messages.
    Other,
}

/// A binding request, with a fingerprint so that it is told from SIP.
pub fn binding_request(id: TransactionId) -> Vec<u8> {
    let mut message = begin(BINDING_REQUEST, id);
    end(&mut message, true);
    message
}

/// Reads a datagram that came from `peer`; nothing where it is no STUN. No SIP message begins with these bits.
pub fn read(datagram: &[u8], peer: SocketAddr) -> Option<Stun> {
    let header = datagram.get(..HEADER_BYTES)?;
    if header[0] & 0xc0 != 0 || header[4..8] != COOKIE.to_be_bytes() {
        return None;
    }
    let kind = u16::from_be_bytes([header[0], header[1]]);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let mut id = [0; 12];
    id.copy_from_slice(&header[8..]);
    let attributes = &datagram[HEADER_BYTES..];
    if length != attributes.len() || !length.is_multiple_of(4) {
        return Some(Stun::Other);
    }
    let Some(read) = Attributes::read(datagram) else { return Some(Stun::Other) };
    Some(match kind {
        BINDING_REQUEST => Stun::Request(answer(id, peer, &read)),
        BINDING_SUCCESS => read.mapped(id).map_or(Stun::Other, |address| Stun::Mapped(id, address)),
        _ => Stun::Other,
    })
}

#[derive(Default)]
struct Attributes<'a> {
    unknown: Vec<u16>,
    mapped: Option<(u16, &'a [u8])>,
    fingerprint: bool,
}

impl<'a> Attributes<'a> {
    /// All attributes of a whole message; none where one is cut off or the fingerprint is wrong.
    fn read(message: &'a [u8]) -> Option<Self> {
        let (mut read, mut at) = (Self::default(), HEADER_BYTES);
        while at < message.len() {
            let head = message.get(at..at + 4)?;
            let kind = u16::from_be_bytes([head[0], head[1]]);
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = message.get(at + 4..at + 4 + length)?;
            match kind {
                FINGERPRINT => {
                    let expected = (checksum(&message[..at]) ^ FINGERPRINT_XOR).to_be_bytes();
                    if value != expected {
                        return None;
                    }
                    read.fingerprint = true;
                }
                XOR_MAPPED_ADDRESS => read.mapped = Some((kind, value)),
                MAPPED_ADDRESS => {
                    read.mapped.get_or_insert((kind, value));
                }
                known if known >= OPTIONAL_FROM || PASSED_OVER.contains(&known) => {}
                unknown if read.unknown.len() < UNKNOWN_MAX => read.unknown.push(unknown),
                _more => {}
            }
            at += 4 + length.next_multiple_of(4);
        }
        Some(read)
    }

    fn mapped(&self, id: TransactionId) -> Option<SocketAddr> {
        let (kind, value) = self.mapped?;
        let (family, port) = (*value.get(1)?, u16::from_be_bytes([*value.get(2)?, *value.get(3)?]));
        let is_hidden = kind == XOR_MAPPED_ADDRESS;
        let mask = if is_hidden { mask(id) } else { [0; 16] };
        let port = port ^ u16::from_be_bytes([mask[0], mask[1]]);
        let mut octets = value.get(4..)?.iter().zip(mask).map(|(octet, mask)| octet ^ mask);
        let mut next = || octets.next();
        let ip: IpAddr = match family {
            1 => [next()?, next()?, next()?, next()?].into(),
            2 => {
                let mut all = [0; 16];
                for octet in &mut all {
                    *octet = next()?;
                }
                all.into()
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }
}

fn answer(id: TransactionId, peer: SocketAddr, request: &Attributes<'_>) -> Vec<u8> {
    if !request.unknown.is_empty() {
        let mut message = begin(BINDING_ERROR, id);
        // 420, RFC 8489 section 14.8, without words.
        put(&mut message, ERROR_CODE, &[0, 0, 4, 20]);
        let kinds: Vec<u8> = request.unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        put(&mut message, UNKNOWN_ATTRIBUTES, &kinds);
        end(&mut message, request.fingerprint);
        return message;
    }
    let mut message = begin(BINDING_SUCCESS, id);
    let mask = mask(id);
    let mut value = vec![0, if peer.is_ipv4() { 1 } else { 2 }];
    value.extend((peer.port() ^ (COOKIE >> 16) as u16).to_be_bytes());
    match peer.ip() {
        IpAddr::V4(ip) => value.extend(ip.octets().iter().zip(mask).map(|(octet, mask)| octet ^ mask)),
        IpAddr::V6(ip) => value.extend(ip.octets().iter().zip(mask).map(|(octet, mask)| octet ^ mask)),
    }
    put(&mut message, XOR_MAPPED_ADDRESS, &value);
    end(&mut message, request.fingerprint);
    message
}

/// What hides an address from translators that rewrite what looks like one, RFC 8489 section 14.2.
fn mask(id: TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(&id);
    mask
}

fn begin(kind: u16, id: TransactionId) -> Vec<u8> {
    let mut message = Vec::with_capacity(64);
    message.extend(kind.to_be_bytes());
    message.extend([0, 0]);
    message.extend(COOKIE.to_be_bytes());
    message.extend(id);
    message
}

fn put(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Writes the length, and the fingerprint that counts in it.
fn end(message: &mut Vec<u8>, fingerprint: bool) {
    let length = message.len() - HEADER_BYTES + if fingerprint { 8 } else { 0 };
    message[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    if fingerprint {
        let sum = checksum(message) ^ FINGERPRINT_XOR;
        put(message, FINGERPRINT, &sum.to_be_bytes());
    }
}

/// CRC-32 of ISO 3309, bit by bit: messages are short and rare.
fn checksum(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";

    fn peer(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn answered(request: &[u8], peer: SocketAddr) -> Vec<u8> {
        match read(request, peer) {
            Some(Stun::Request(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_samples_of_rfc_5769_are_read() {
        // Sections 2.2 and 2.3 without MESSAGE-INTEGRITY's meaning: their SOFTWARE, their mapped address.
        let answer = b"\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
            \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
            \x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43\
            \x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\
            \x80\x28\x00\x04\xc0\x7d\x4c\x96";
        assert_eq!(read(answer, peer("192.0.2.9:1")), Some(Stun::Mapped(ID, peer("192.0.2.1:32853"))));
        let mut damaged = *answer;
        damaged[30] ^= 1;
        assert_eq!(read(&damaged, peer("192.0.2.9:1")), Some(Stun::Other));
    }

    #[test]
    fn a_request_is_told_where_it_came_from_in_both_families() {
        for address in ["192.0.2.77:40123", "[2001:db8::7]:5060"] {
            let answer = answered(&binding_request(ID), peer(address));
            assert_eq!(read(&answer, peer("192.0.2.1:5060")), Some(Stun::Mapped(ID, peer(address))));
        }
    }

    #[test]
    fn an_answer_is_at_most_24_bytes_longer_than_its_request() {
        let bare = &binding_request(ID)[..HEADER_BYTES];
        let bare = [&bare[..2], &[0, 0], &bare[4..]].concat();
        assert_eq!(answered(&bare, peer("192.0.2.7:1")).len() - bare.len(), 12);
        assert_eq!(answered(&bare, peer("[2001:db8::7]:1")).len() - bare.len(), 24);
        let full = binding_request(ID);
        assert_eq!(answered(&full, peer("192.0.2.7:1")).len() - full.len(), 12);
    }

    #[test]
    fn an_attribute_that_has_to_be_understood_and_is_not_gets_420() {
        let mut request = begin(BINDING_REQUEST, ID);
        put(&mut request, 0x0003, &[0, 0, 0, 6]);
        end(&mut request, false);
        let answer = answered(&request, peer("192.0.2.7:1"));
        assert_eq!(answer[..2], BINDING_ERROR.to_be_bytes());
        assert!(answer.ends_with(&[0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 2, 0, 3, 0, 0]));
    }

    #[test]
    fn sip_is_no_stun_and_no_mutation_of_stun_panics() {
        assert_eq!(read(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n", peer("192.0.2.7:1")), None);
        let request = binding_request(ID);
        for length in 0..request.len() {
            assert!(!matches!(read(&request[..length], peer("192.0.2.7:1")), Some(Stun::Request(_))));
        }
        for at in 0..request.len() {
            for bit in 0..8 {
                let mut mutated = request.clone();
                mutated[at] ^= 1 << bit;
                // A fingerprint holds all of it; what it does not hold is no request any more.
                assert_ne!(read(&mutated, peer("192.0.2.7:1")), read(&request, peer("192.0.2.7:1")));
            }
        }
    }
}
