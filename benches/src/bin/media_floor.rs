//! The media driver beside the bare kernel: CPU per forwarded packet of 172 bytes, one socket a leg, in one line of JSON.
//!
//! `media_floor driver FLOWS SECONDS [epoll|uring] [tap]` forwards flow n from 127.0.0.1:21000+n out of the socket of its partner;
//! `media_floor peers FLOWS SECONDS` sends 50 packets a second per flow from 127.0.0.1:41000-41003 and takes what comes back.
//! `media_floor bare FLOWS SECONDS` does the same as the driver with one `recvfrom` and one `sendto` a packet and nothing else: the floor.
//! A bare forwarder on the same ports serves the same peers, so that both are measured by the same yardstick.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a bench lives in the world")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_media::{Assets, Limits};
use offhook_net::Clock;
use offhook_net::media::{Backend, DriverConfig, MediaDriver};
use offhook_plan::tap::Side;
use offhook_plan::{CodecKind, Direction, Edge, LegPlan, MediaCommand, MediaPlan, Negotiated, Source, Tap};
use offhook_units::{CallId, Entropy, LegId, RecordingId, Tick};
use rustix::event::{Timespec, epoll};

const LEGS_AT: u16 = 21_000;
const PEERS_AT: u16 = 41_000;
const PEERS: u16 = 4;

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn leg(flow: u16) -> LegPlan {
    let remote = at(PEERS_AT + flow % PEERS);
    LegPlan {
        leg: LegId(u64::from(flow)),
        local: at(LEGS_AT + flow),
        negotiated: Some(Negotiated {
            codec: CodecKind::Pcmu,
            send_payload_type: 0,
            recv_payload_type: 0,
            telephone_event: None,
            comfort_noise: false,
            voip_metrics: false,
            ptime_ms: 20,
            direction: Direction::SendRecv,
            remote_rtp: remote,
            remote_rtcp: remote,
            rtcp_mux: true,
            crypto: None,
            dtls: None,
        }),
        ssrc: u32::from(flow),
        first_seq: 0,
        first_timestamp: 0,
        moved: false,
        dtls: None,
    }
}

fn edge(to: u16, from: u16) -> Edge {
    Edge { from: Source::Leg(LegId(u64::from(from))), to: LegId(u64::from(to)), since: Tick::MAX }
}

/// User and system time of this process so far, and its context switches.
fn usage() -> (Duration, Duration) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    // Fields 14 and 15 of proc(5), in hundredths of a second.
    let time =
        |n: usize| Duration::from_millis(fields.get(n - 3).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0) * 10);
    (time(14), time(15))
}

fn driver(flows: u16, seconds: u64, backend: Backend, tapped: bool) -> std::io::Result<()> {
    let (events, _taken) = crossbeam_channel::unbounded();
    let config = DriverConfig { backend, limits: Limits::default(), ..DriverConfig::default() };
    let clock = Clock::start(None);
    let mut handle = MediaDriver::start(&config, Arc::new(Assets::default()), clock, Entropy::from_number(1), events)?;
    for flow in (0..flows).step_by(2) {
        let plan = MediaPlan {
            call: CallId(u64::from(flow)),
            generation: 1,
            legs: vec![leg(flow), leg(flow + 1)],
            edges: vec![edge(flow, flow + 1), edge(flow + 1, flow)],
            taps: if tapped {
                vec![Tap { leg: LegId(u64::from(flow)), recording: RecordingId(1), heard_as: Side::Heard }]
            } else {
                vec![]
            },
            forks: Vec::new(),
        };
        handle.send(MediaCommand::Apply(Box::new(plan)));
    }
    let mut tap = handle.take_tap();
    let counters = handle.counters();
    while counters.figures().sent_packets == 0 {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(1));
    let (begin, (user0, system0), before, wakes) = (Instant::now(), usage(), counters.figures(), counters.wakeups());
    while begin.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_millis(100));
        if let Some(tap) = &mut tap {
            tap.drain(usize::MAX, |_, _| ());
        }
    }
    let ((user, system), after, wall) = (usage(), counters.figures(), begin.elapsed().as_secs_f64());
    let packets = (after.sent_packets - before.sent_packets) as f64;
    let (user, system) = (user.as_secs_f64() - user0.as_secs_f64(), system.as_secs_f64() - system0.as_secs_f64());
    println!(
        "{{\"mode\":\"offhook-{backend:?}\",\"flows\":{flows},\"tapped\":{tapped},\"fwd_pkts\":{packets},\"pps\":{:.0},\"cpu_pct\":{:.1},\
         \"ns_per_pkt\":{:.0},\"user_ns\":{:.0},\"sys_ns\":{:.0},\"pkts_per_wakeup\":{:.1},\"discarded\":{},\"sends_failed\":{},\"tap_dropped\":{}}}",
        packets / wall,
        100.0 * (user + system) / wall,
        1e9 * (user + system) / packets,
        1e9 * user / packets,
        1e9 * system / packets,
        packets / (counters.wakeups() - wakes).max(1) as f64,
        after.discarded_packets,
        counters.sends_failed(),
        after.tap_dropped,
    );
    Ok(())
}

/// The floor: receives a packet and sends it, one socket a leg, woken by epoll.
fn bare(flows: u16, seconds: u64) -> std::io::Result<()> {
    let sockets = (0..flows).map(|flow| UdpSocket::bind(at(LEGS_AT + flow))).collect::<Result<Vec<_>, _>>()?;
    let ring = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (flow, socket) in sockets.iter().enumerate() {
        socket.set_nonblocking(true)?;
        epoll::add(&ring, socket, epoll::EventData::new_u64(flow as u64), epoll::EventFlags::IN)?;
    }
    let wait = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
    let (mut packets, mut buffer, mut begin) = (0_u64, [0; 2_048], None);
    let mut ready: Vec<epoll::Event> = Vec::with_capacity(512);
    let warm = Instant::now() + Duration::from_secs(2);
    loop {
        ready.clear();
        epoll::wait(&ring, rustix::buffer::spare_capacity(&mut ready), Some(&wait))?;
        for event in &ready {
            let flow = event.data.u64() as usize;
            let Ok((length, _)) = sockets[flow].recv_from(&mut buffer) else { continue };
            let to = at(PEERS_AT + (flow as u16) % PEERS);
            packets += u64::from(sockets[flow ^ 1].send_to(&buffer[..length], to).is_ok());
        }
        let now = Instant::now();
        let (begun, (user0, system0)) = match begin {
            Some(begin) => begin,
            // What comes first finds everything cold.
            None if now >= warm => {
                packets = 0;
                *begin.insert((now, usage()))
            }
            None => continue,
        };
        let wall = now.duration_since(begun).as_secs_f64();
        if wall >= seconds as f64 {
            let (user, system) = usage();
            let cpu = (user + system).as_secs_f64() - (user0 + system0).as_secs_f64();
            println!(
                "{{\"mode\":\"bare\",\"flows\":{flows},\"fwd_pkts\":{packets},\"pps\":{:.0},\"cpu_pct\":{:.1},\"ns_per_pkt\":{:.0}}}",
                packets as f64 / wall,
                100.0 * cpu / wall,
                1e9 * cpu / packets.max(1) as f64
            );
            return Ok(());
        }
    }
}

fn peers(flows: u16, seconds: u64) -> std::io::Result<()> {
    let sockets = (0..PEERS).map(|n| UdpSocket::bind(at(PEERS_AT + n))).collect::<Result<Vec<_>, _>>()?;
    let takers = sockets.iter().map(UdpSocket::try_clone).collect::<Result<Vec<_>, _>>()?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let takers = takers.into_iter().map(|socket| {
        std::thread::spawn(move || {
            let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
            let (mut taken, mut buffer) = (0_u64, [0; 2_048]);
            while Instant::now() < until {
                taken += u64::from(socket.recv(&mut buffer).is_ok());
            }
            taken
        })
    });
    let takers: Vec<_> = takers.collect();
    let mut numbers = vec![0_u16; usize::from(flows)];
    let (mut sent, mut slot, mut due) = (0_u64, 0, Instant::now());
    while Instant::now() < until {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += Duration::from_millis(1);
        for flow in (slot..flows).step_by(20) {
            let number = &mut numbers[usize::from(flow)];
            let mut packet = [0xd5_u8; 172];
            packet[..2].copy_from_slice(&[0x80, 0]);
            packet[2..4].copy_from_slice(&number.to_be_bytes());
            packet[4..8].copy_from_slice(&(u32::from(*number) * 160).to_be_bytes());
            packet[8..12].copy_from_slice(&u32::from(flow).to_be_bytes());
            *number = number.wrapping_add(1);
            sent += u64::from(sockets[usize::from(flow % PEERS)].send_to(&packet, at(LEGS_AT + flow)).is_ok());
        }
        slot = (slot + 1) % 20;
    }
    let taken: u64 = takers.into_iter().map(|taker| taker.join().unwrap_or(0)).sum();
    eprintln!("peers sent {sent}, took {taken}");
    Ok(())
}

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |n: usize| words.get(n).and_then(|word| word.parse::<u16>().ok()).unwrap_or(200);
    match words.first().map(String::as_str) {
        Some("driver") => {
            let backend = if words.iter().any(|word| word == "uring") { Backend::Uring } else { Backend::Epoll };
            driver(number(1), u64::from(number(2)), backend, words.iter().any(|word| word == "tap"))
        }
        Some("bare") => bare(number(1), u64::from(number(2))),
        Some("peers") => peers(number(1), u64::from(number(2))),
        _ => {
            eprintln!(
                "media_floor driver FLOWS SECONDS [epoll|uring] [tap] | media_floor bare FLOWS SECONDS | media_floor peers FLOWS SECONDS"
            );
            std::process::exit(2);
        }
    }
}
