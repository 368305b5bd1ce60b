//! Mutated SIP messages and RTP packets from trunk and strangers: the exchange goes on answering, within its memory.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::crash::{Echo, agents};
use super::exchange::Exchange;
use super::line::{Said, said};
use super::sipp::{Lines, Sipp, loopback};
use crate::children::wait_for;
use crate::g711;
use crate::speech::Speech;

const MESSAGES: usize = 1_000;
const PACKETS: usize = 10_000;
/// What the resident memory may grow by over both floods, in KiB.
const GROWTH_KIB_MAX: u64 = 48 * 1_024;
/// A new call is answered within this, while and after.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Calls that nobody acknowledges end after 64 x T1, RFC 3261 section 13.3.1.4; a little more for the clearing up.
const ENDED_WITHIN: Duration = Duration::from_secs(75);

/// A generator for mutations: the same on each run (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Bytes that parsers stumble over.
const TROUBLE: [&[u8]; 14] = [
    b"\r\n\r\n",
    b"\r\n",
    b"\0",
    b"\xff\xfe",
    b";",
    b"<",
    b"\"",
    b"sip:",
    b"18446744073709551615",
    b"-1",
    b"%00",
    b"\r\n ",
    b"[::1]",
    b";;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;",
];

/// One to eight changes: flips, cuts, repeats, trouble.
fn mutate(bytes: &mut Vec<u8>, chance: &mut Chance) {
    for _ in 0..=chance.below(8) {
        let at = chance.below(bytes.len());
        match chance.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << chance.below(8),
            1 => bytes.truncate(at),
            2 => {
                let end = (at + chance.below(64)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                let to = chance.below(bytes.len() + 1);
                bytes.splice(to..to, part);
            }
            3 => {
                let end = (at + chance.below(32)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let trouble = TROUBLE[chance.below(TROUBLE.len())];
                bytes.splice(at..at, trouble.iter().copied());
            }
            _ if !bytes.is_empty() => bytes[at] = chance.next() as u8,
            _ => bytes.push(chance.next() as u8),
        }
    }
    bytes.truncate(60_000);
}

/// A whole, valid request to be spoilt.
fn request(method: &str, number: usize, from: SocketAddr, server: SocketAddr) -> Vec<u8> {
    let sdp = format!(
        "v=0\r\no=- {number} 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 50000 RTP/AVP 0 8 101\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
        ip = from.ip()
    );
    let (body, kind) = match method {
        "INVITE" => (sdp, "Content-Type: application/sdp\r\n"),
        _ => (String::new(), ""),
    };
    let extra = match method {
        "REGISTER" => {
            "Contact: <sip:r0001@127.0.0.9:25070>;expires=60\r\nAuthorization: Digest username=\"r0001\", realm=\"offhook\", \
             nonce=\"00\", uri=\"sip:127.0.0.1\", response=\"00000000000000000000000000000000\", algorithm=MD5\r\n"
        }
        _ => "Contact: <sip:stranger@127.0.0.9:25070>\r\n",
    };
    format!(
        "{method} sip:700@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{number:x};rport\r\nMax-Forwards: 70\r\n\
         From: \"A, \\\"B\\\"\" <sip:stranger@{from}>;tag=f{number}\r\nTo: <sip:700@{server}>\r\nCall-ID: {number}@hostile\r\n\
         CSeq: {number} {method}\r\n{extra}Supported: timer, 100rel\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn flood_messages(server: SocketAddr, exchange: &mut Exchange) -> Result<usize> {
    let methods = ["INVITE", "REGISTER", "OPTIONS", "BYE", "ACK", "CANCEL", "INFO", "UPDATE", "SUBSCRIBE", "PRACK"];
    let sources = [UdpSocket::bind(loopback(2, 25_062))?, UdpSocket::bind(loopback(9, 25_070))?];
    let mut chance = Chance(1);
    let mut answers = 0;
    let mut buffer = [0; 4_096];
    for number in 0..MESSAGES {
        let socket = &sources[number % 2];
        let mut message = request(methods[chance.below(methods.len())], number, socket.local_addr()?, server);
        mutate(&mut message, &mut chance);
        socket.send_to(&message, server)?;
        socket.set_nonblocking(true)?;
        while socket.recv_from(&mut buffer).is_ok() {
            answers += 1;
        }
        // 20 at a time, so that the kernel's buffer is not what drops them.
        if number % 20 == 0 {
            exchange.running.must_run()?;
            exchange.calls()?;
        }
    }
    Ok(answers)
}

/// Packets from the caller's own address and from a stranger's, at the port that a live call listens on.
fn flood_packets(own: &UdpSocket, to: SocketAddr, exchange: &mut Exchange) -> Result<()> {
    let stranger = UdpSocket::bind(loopback(9, 0))?;
    let mut chance = Chance(2);
    for number in 0..PACKETS {
        let mut packet = vec![0x80, [0, 8, 101, 72, 200][chance.below(5)]];
        packet.extend((number as u16).to_be_bytes());
        packet.extend((number as u32 * 160).to_be_bytes());
        packet.extend(0x0102_0304_u32.to_be_bytes());
        packet.extend((0..160).map(|_| chance.next() as u8));
        mutate(&mut packet, &mut chance);
        packet.truncate(1_400);
        let rtcp = number % 7 == 0;
        let port = to.port() + u16::from(rtcp);
        let socket = if number % 3 == 0 { &stranger } else { own };
        socket.send_to(&packet, SocketAddr::new(to.ip(), port))?;
        if number % 100 == 0 {
            exchange.running.must_run()?;
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(())
}

/// A call of sipp's that must be answered and end well.
fn call_succeeds(bench: &Bench, exchange: &mut Exchange, name: &str) -> Result<Duration> {
    let folder = bench.folder.join(name);
    std::fs::create_dir_all(&folder)?;
    let caller = Sipp {
        scenario: "caller",
        local: loopback(2, 5_061),
        remote: Some(exchange.sip),
        media: 18_000,
        service: "700",
        calls: 1,
        rate: 1,
        hold: Duration::from_secs(2),
    };
    let begin = Instant::now();
    let mut sipp = caller.start(&folder)?;
    let codes = g711::encode_all(&Speech::open()?.first(10).samples);
    let mut lines = Lines::follow(&caller.log(&folder), codes.into(), None)?;
    let answered = wait_for(&format!("an answer to the call {name}"), ANSWER_WITHIN, || {
        exchange.running.must_run()?;
        lines.keep_up(&caller)?;
        Ok((lines.talking() == 1).then(|| begin.elapsed()))
    })?;
    let status = wait_for(&format!("the end of the call {name}"), ANSWER_WITHIN * 2, || {
        lines.keep_up(&caller)?;
        sipp.ended()
    })?;
    ensure!(status.success(), "the call {name}: sipp ended with {status}");
    lines.hang_up()?;
    let heard = &lines.ended[&1];
    ensure!(heard.received.len() > 50, "the call {name} heard {} packets of its echo", heard.received.len());
    Ok(answered)
}

pub fn run(bench: &Bench) -> Result<String> {
    let data = bench.folder.join("data");
    let mut exchange =
        Exchange::start(&bench.offhook, "config/loadtest.toml", &data, &bench.folder.join("exchange.log"))?;
    let server = exchange.sip;
    let _echo = Echo::start(loopback(3, 40_000))?;
    let _answering = agents(10_000).start(&bench.folder)?;
    call_succeeds(bench, &mut exchange, "before")?;
    let before = exchange.running.resident_kib()?;

    let begun = Instant::now();
    let answers = flood_messages(server, &mut exchange)?;
    call_succeeds(bench, &mut exchange, "after-messages")?;

    let held = bench.folder.join("held");
    std::fs::create_dir_all(&held)?;
    let caller = Sipp {
        scenario: "caller",
        local: loopback(2, 5_063),
        remote: Some(server),
        media: 24_000,
        service: "701",
        calls: 1,
        rate: 1,
        hold: Duration::from_secs(12),
    };
    let mut sipp = caller.start(&held)?;
    let log = caller.log(&held);
    let to = wait_for("the call that is flooded", ANSWER_WITHIN, || {
        let text = std::fs::read_to_string(&log)?;
        Ok(text.lines().find_map(|line| match said(line) {
            Ok(Said::Start(_, to)) => Some(to),
            _ => None,
        }))
    })?;
    let own = UdpSocket::bind(caller.media_of(1)).context("the flooded call's media port")?;
    flood_packets(&own, to, &mut exchange)?;
    let answered = call_succeeds(bench, &mut exchange, "after-packets")?;
    let status = sipp.wait(Duration::from_secs(20))?;
    ensure!(status.success(), "the flooded call itself: sipp ended with {status}");
    let left = wait_for("the end of the calls that mutated INVITEs began", ENDED_WITHIN, || {
        exchange.running.must_run()?;
        Ok(exchange.calls()?.is_empty().then(|| begun.elapsed()))
    })?;
    let after = exchange.running.resident_kib()?;
    let growth = after.saturating_sub(before);
    ensure!(growth <= GROWTH_KIB_MAX, "memory grew from {before} to {after} KiB");
    exchange.stop()?;
    Ok(format!(
        "{MESSAGES} messages ({answers} answered) and {PACKETS} packets; then a call answered in {} ms; none left after {} s; memory {} -> {} MiB",
        answered.as_millis(),
        left.as_secs(),
        before / 1_024,
        after / 1_024
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_are_the_same_on_every_run_and_change_the_message() {
        let whole = request("INVITE", 7, loopback(9, 1), loopback(1, 2));
        let spoilt = |seed| {
            let mut bytes = whole.clone();
            mutate(&mut bytes, &mut Chance(seed));
            bytes
        };
        assert_eq!(spoilt(3), spoilt(3));
        let changed = (0..100).filter(|seed| spoilt(*seed) != whole).count();
        assert!(changed >= 95, "{changed} of 100 differ");
    }
}
