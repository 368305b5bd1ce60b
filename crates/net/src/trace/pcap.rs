//! A call's messages as a capture file (libpcap format, raw IP), for Wireshark, tshark and sngrep.
//!
//! The packets are made up around the messages: UDP and TCP keep their protocol; what travelled inside TLS or WebSocket is
//! written as UDP between the same addresses, since nobody could read the bytes that were really on the wire.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use offhook_sip::Transport;
use offhook_units::Tick;

use super::Seen;

/// Raw IPv4 or IPv6 packets (LINKTYPE_RAW).
const LINK_TYPE: u32 = 101;
/// Longest packet in the file.
const SNAP_BYTES: u32 = 65_535;
/// Payload of a TCP segment at most.
const SEGMENT_BYTES: usize = 16 * 1_024;
/// Payload of a datagram at most, with room for either IP header.
const DATAGRAM_BYTES: usize = 65_535 - 48;

const UDP: u8 = 17;
const TCP: u8 = 6;

/// A whole file.
pub fn write(messages: &[Seen]) -> Vec<u8> {
    let mut out = Vec::new();
    // Magic (microseconds), version 2.4, two fields that nobody uses.
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, SNAP_BYTES, LINK_TYPE] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    let mut streams: BTreeMap<(SocketAddr, SocketAddr), u32> = BTreeMap::new();
    for Seen { at, flow, sent, leg: _, bytes } in messages {
        let (source, target) = if *sent { (flow.local, flow.peer) } else { (flow.peer, flow.local) };
        match flow.transport {
            Transport::Tcp => {
                for segment in bytes.chunks(SEGMENT_BYTES) {
                    let ack = streams.get(&(target, source)).copied().unwrap_or(1);
                    let seq = streams.entry((source, target)).or_insert(1);
                    packet(&mut out, *at, TCP, source, target, &tcp(source, target, *seq, ack), segment);
                    *seq = seq.wrapping_add(segment.len() as u32);
                }
            }
            Transport::Udp | Transport::Tls | Transport::Ws | Transport::Wss => {
                let datagram = &bytes[..bytes.len().min(DATAGRAM_BYTES)];
                packet(&mut out, *at, UDP, source, target, &udp(source, target, datagram.len()), datagram);
            }
        }
    }
    out
}

fn udp(source: SocketAddr, target: SocketAddr, length: usize) -> Vec<u8> {
    [source.port(), target.port(), (length + 8) as u16, 0].into_iter().flat_map(u16::to_be_bytes).collect()
}

fn tcp(source: SocketAddr, target: SocketAddr, seq: u32, ack: u32) -> Vec<u8> {
    let mut header: Vec<u8> = [source.port(), target.port()].into_iter().flat_map(u16::to_be_bytes).collect();
    header.extend_from_slice(&seq.to_be_bytes());
    header.extend_from_slice(&ack.to_be_bytes());
    // Five words long; PSH and ACK; a full window; checksum and urgent pointer.
    header.extend_from_slice(&[0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    header
}

/// Where the checksum stands in a header.
const fn checksum_at(protocol: u8) -> usize {
    if protocol == TCP { 16 } else { 6 }
}

fn packet(
    out: &mut Vec<u8>,
    at: Tick,
    protocol: u8,
    source: SocketAddr,
    target: SocketAddr,
    header: &[u8],
    payload: &[u8],
) {
    let length = header.len() + payload.len();
    let mut ip = Vec::with_capacity(40 + length);
    let addresses: Vec<u8> = match (source.ip(), target.ip()) {
        (IpAddr::V4(source), IpAddr::V4(target)) => [source.octets(), target.octets()].concat(),
        (source, target) => [v6(source), v6(target)].concat(),
    };
    if addresses.len() == 8 {
        ip.extend_from_slice(&[0x45, 0]);
        ip.extend_from_slice(&((20 + length) as u16).to_be_bytes());
        ip.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
        ip.extend_from_slice(&addresses);
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        ip.extend_from_slice(&[0x60, 0, 0, 0]);
        ip.extend_from_slice(&(length as u16).to_be_bytes());
        ip.extend_from_slice(&[protocol, 64]);
        ip.extend_from_slice(&addresses);
    }
    let begin = ip.len();
    ip.extend_from_slice(header);
    ip.extend_from_slice(payload);
    // RFC 768, RFC 9293 section 3.1: the checksum covers addresses, protocol and length too.
    let pseudo = [&addresses[..], &[0, protocol], &(length as u16).to_be_bytes(), &ip[begin..]].concat();
    let sum = match checksum(&pseudo) {
        0 => 0xffff,
        sum => sum,
    };
    let place = begin + checksum_at(protocol);
    ip[place..place + 2].copy_from_slice(&sum.to_be_bytes());
    let us = at.as_us();
    for word in [(us / 1_000_000) as u32, (us % 1_000_000) as u32, ip.len() as u32, ip.len() as u32] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&ip);
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The Internet checksum, RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum = words.fold(0_u64, |sum, word| sum + u64::from(word));
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use offhook_sip::Flow;

    fn seen(transport: Transport, local: &str, peer: &str, sent: bool, length: usize) -> Seen {
        let flow =
            Flow { transport, local: local.parse().expect("an address"), peer: peer.parse().expect("an address") };
        Seen { at: Tick::from_us(1_000_007), flow, sent, leg: 0, bytes: vec![b'a'; length] }
    }

    /// The IP packets of a file.
    fn packets(file: &[u8]) -> Vec<Vec<u8>> {
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
        assert_eq!((word(0), word(20)), (0xa1b2_c3d4, LINK_TYPE));
        let (mut at, mut out) = (24, Vec::new());
        while at < file.len() {
            assert_eq!((word(at), word(at + 4)), (1, 7));
            let length = word(at + 8) as usize;
            out.push(file[at + 16..at + 16 + length].to_vec());
            at += 16 + length;
        }
        out
    }

    #[test]
    fn headers_carry_addresses_lengths_and_right_checksums() {
        let messages = [
            seen(Transport::Udp, "192.0.2.1:5060", "192.0.2.9:5062", false, 301),
            seen(Transport::Tls, "[2001:db8::1]:5061", "[2001:db8::9]:40000", true, 500),
            seen(Transport::Tcp, "192.0.2.1:5060", "192.0.2.9:40001", false, 20_000),
            seen(Transport::Tcp, "192.0.2.1:5060", "192.0.2.9:40001", true, 10),
            seen(Transport::Wss, "192.0.2.1:443", "192.0.2.9:40001", true, 70_000),
        ];
        let packets = packets(&write(&messages));
        assert_eq!(packets.iter().map(Vec::len).collect::<Vec<_>>(), [329, 548, 16_424, 3_656, 50, 65_515]);
        for packet in &packets {
            let v4 = packet[0] == 0x45;
            let (protocol, addresses, rest) = if v4 {
                assert_eq!(checksum(&packet[..20]), 0);
                (packet[9], &packet[12..20], &packet[20..])
            } else {
                (packet[6], &packet[8..40], &packet[40..])
            };
            let length = (rest.len() as u16).to_be_bytes();
            assert_eq!(checksum(&[addresses, &[0, protocol], &length, rest].concat()), 0);
        }
        assert_eq!((packets[0][9], packets[1][6], packets[2][9]), (UDP, UDP, TCP));
        // The second segment goes on where the first ended, and the answer acknowledges both.
        assert_eq!(packets[3][24..28], 16_385_u32.to_be_bytes());
        assert_eq!(packets[4][28..32], 20_001_u32.to_be_bytes());
    }
}
