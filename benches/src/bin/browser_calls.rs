//! What a minute of a browser's call costs a media worker, beside that of a telephone's: one line of JSON for each.
//!
//! `browser_calls CALLS SECONDS [plain] [pcmu] [opus]` holds so many calls of two legs, each of 50 packets a second both ways. `plain`: both legs
//! are telephones' (G.711, RTP). `pcmu`: one is a browser's, at the one port that all of them share, its keys agreed on by ICE and DTLS;
//! its speech is relayed. `opus`: the browser speaks Opus, which is turned into G.711 and back. The worker, its driver and its
//! transports are those of the exchange; measured is the CPU time of the worker's thread alone.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a bench lives in the world")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_browser::{Client, Identity};
use offhook_codec::Law;
use offhook_codec::opus::{Encoded, Encoder, PACKET_BYTES_MAX, Settings};
use offhook_media::{Assets, Deed, HANDSHAKE_BYTES_MAX, Handshakes};
use offhook_net::Clock;
use offhook_net::media::{DriverConfig, MediaCounters, MediaDriver, MediaHandle, SharedPort};
use offhook_plan::{
    CodecKind, Direction, Dtls, Edge, Ice, LegPlan, MediaCommand, MediaPlan, Negotiated, Setup, Source,
};
use offhook_rtp::{SRTP_TAIL_MAX, SrtpReceiver, SrtpSender, is_rtcp};
use offhook_units::{CallId, Entropy, LegId, SampleRate, Tick};
use rustix::event::{Timespec, epoll};

const BROWSERS_AT: u16 = 20_999;
const LEGS_AT: u16 = 21_000;
/// Handshakes that are begun in each step of 20 ms: as many as a house that comes to work at once.
const STEP: usize = 2;
const UP_WITHIN: Duration = Duration::from_mins(2);
/// What comes first finds everything cold.
const WARM: Duration = Duration::from_secs(3);
/// The header of a packet, and the instant behind it in microseconds.
const HEADER: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    Pcmu,
    Opus,
}

impl Mode {
    const ALL: [(Self, &'static str); 3] = [(Self::Plain, "plain"), (Self::Pcmu, "pcmu"), (Self::Opus, "opus")];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn ice(name: &str) -> Ice {
    let (ufrag, pwd) = (name.to_owned(), "a+password+of+22+characters".to_owned());
    Ice { ufrag, pwd, lite: true, options: Vec::new(), candidates: Vec::new(), complete: true }
}

/// Someone who speaks: a browser, or a telephone.
struct Peer {
    socket: UdpSocket,
    /// Where its leg is.
    leg_at: SocketAddr,
    client: Option<Box<Client>>,
    keys: Option<(SrtpSender, SrtpReceiver)>,
    codec: CodecKind,
    number: u16,
    sent: u64,
    taken: u64,
}

impl Peer {
    fn is_up(&self) -> bool {
        self.client.is_none() || self.keys.is_some()
    }

    /// Does what its handshake wants.
    fn attend(&mut self) {
        let Some(client) = &mut self.client else { return };
        let mut room = [0; HANDSHAKE_BYTES_MAX];
        while let Some(deed) = client.poll(&mut room) {
            match deed {
                Deed::Send { to, length } => drop(self.socket.send_to(&room[..length], to)),
                Deed::Keys(keys) => {
                    self.keys = Some((SrtpSender::new(&keys.send), SrtpReceiver::new(&keys.receive)));
                }
                Deed::Failed(error) => panic!("a handshake failed: {error}"),
                Deed::Source(_) | Deed::Path(_) | Deed::Limited => {}
            }
        }
    }

    /// Says 20 ms.
    fn say(&mut self, began: Instant, speech: &[Vec<Vec<u8>>; 2], heard_in_a_mix: bool) {
        let mut packet = [0xd5_u8; HEADER + 400 + SRTP_TAIL_MAX];
        let (payload_type, step) = if self.codec == CodecKind::Opus { (111, 960) } else { (0, 160) };
        packet[..2].copy_from_slice(&[0x80, payload_type]);
        packet[2..4].copy_from_slice(&self.number.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(self.number) * step).to_be_bytes());
        packet[8..12].copy_from_slice(&u32::from(self.leg_at.port()).to_be_bytes());
        let length = if heard_in_a_mix {
            let speech = &speech[usize::from(self.codec != CodecKind::Opus)];
            let said = &speech[usize::from(self.number) % speech.len()];
            packet[HEADER..][..said.len()].copy_from_slice(said);
            said.len()
        } else {
            packet[HEADER..][..8].copy_from_slice(&(began.elapsed().as_micros() as u64).to_be_bytes());
            160
        };
        self.number = self.number.wrapping_add(1);
        let clear = HEADER + length;
        let sealed = self.keys.as_mut().map(|(out, _)| out.protect_rtp(&mut packet, clear));
        let length = sealed.map_or(clear, |sealed| sealed.expect("a packet that was not sent before"));
        self.sent += u64::from(self.socket.send_to(&packet[..length], self.leg_at).is_ok());
    }

    /// Takes what has come; of packets that carry it, the time on the way.
    fn listen(&mut self, now: Tick, began: Instant, transits: Option<&mut Vec<u64>>) {
        let mut transits = transits;
        let mut room = [0; 2_048];
        while let Ok((length, from)) = self.socket.recv_from(&mut room) {
            if room[0] >> 6 != 2 {
                if let Some(client) = &mut self.client {
                    client.receive(now, from, &room[..length]);
                }
                self.attend();
                continue;
            }
            if is_rtcp(&room[..length]) {
                continue;
            }
            let opened = self.keys.as_mut().map(|(_, heard)| heard.unprotect_rtp(&mut room[..length]));
            let length = opened.map_or(length, |opened| opened.expect("a packet of ours, unchanged"));
            self.taken += 1;
            if let Some(transits) = &mut transits
                && length >= HEADER + 8
            {
                let said = u64::from_be_bytes(room[HEADER..HEADER + 8].try_into().unwrap_or_default());
                transits.push((began.elapsed().as_micros() as u64).wrapping_sub(said));
            }
        }
    }
}

/// CPU time of the worker's thread so far.
fn worker_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of_worker = |path: std::path::PathBuf| {
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let stat = std::fs::read_to_string(path.join("schedstat")).ok().filter(|_| name.trim() == "media-0")?;
        stat.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.filter_map(|task| of_worker(task.path())).map(Duration::from_nanos).sum()
}

struct Bench {
    mode: Mode,
    clock: Clock,
    began: Instant,
    handle: MediaHandle,
    counters: Arc<MediaCounters>,
    peers: Vec<Peer>,
    ready: rustix::fd::OwnedFd,
    /// What browsers and telephones say where it matters what: a second of packets.
    speech: [Vec<Vec<u8>>; 2],
    transits: Vec<u64>,
}

impl Bench {
    fn start(mode: Mode, calls: u16) -> std::io::Result<Self> {
        let identity = Arc::new(Identity::new().map_err(std::io::Error::other)?);
        let handshakes: Arc<dyn Handshakes> = identity.clone();
        let config = DriverConfig {
            shared_port: SharedPort::new(BROWSERS_AT, 1),
            handshakes: Some(handshakes),
            ..DriverConfig::default()
        };
        let (events, _) = crossbeam_channel::unbounded();
        let clock = Clock::start(None);
        let assets = Arc::new(Assets::default());
        let mut handle = MediaDriver::start(&config, assets, clock.clone(), Entropy::from_number(1), events)?;
        let theirs = Arc::new(Identity::new().map_err(std::io::Error::other)?);
        let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut peers = Vec::new();
        for call in 0..calls {
            let mut legs = Vec::new();
            for side in 0..2 {
                let flow = 2 * call + side;
                let by_browser = side == 0 && mode != Mode::Plain;
                let codec = if by_browser && mode == Mode::Opus { CodecKind::Opus } else { CodecKind::Pcmu };
                let socket = UdpSocket::bind(at(0))?;
                socket.set_nonblocking(true)?;
                epoll::add(&ready, &socket, epoll::EventData::new_u64(u64::from(flow)), epoll::EventFlags::IN)?;
                let leg_at = at(if by_browser { BROWSERS_AT } else { LEGS_AT + flow });
                let ours = by_browser.then(|| Dtls {
                    fingerprints: vec![identity.fingerprint().clone()],
                    setup: Setup::Passive,
                    ice: Some(ice(&format!("call{call}"))),
                });
                let client = by_browser.then(|| Box::new(Client::new(theirs.clone(), ice("page"), clock.now())));
                let dtls = client.as_ref().map(|client| Box::new(client.says().clone()));
                legs.push(leg(flow, leg_at, codec, socket.local_addr()?, dtls, ours.map(Box::new)));
                let (keys, number, sent, taken) = (None, 0, 0, 0);
                peers.push(Peer { socket, leg_at, client, keys, codec, number, sent, taken });
            }
            let [one, other] = [2 * call, 2 * call + 1].map(|flow| LegId(u64::from(flow)));
            let edge = |from, to| Edge { from: Source::Leg(from), to, since: Tick::MAX };
            let (edges, id) = (vec![edge(one, other), edge(other, one)], CallId(u64::from(call)));
            let plan = MediaPlan { call: id, generation: 1, legs, edges, taps: Vec::new(), forks: Vec::new() };
            handle.send(MediaCommand::Apply(Box::new(plan)));
        }
        handle.flush();
        let (counters, speech) = (handle.counters(), [opus(), mu_law()]);
        let began = Instant::now();
        let mut bench = Self { mode, clock, began, handle, counters, peers, ready, speech, transits: Vec::new() };
        bench.connect(&identity);
        Ok(bench)
    }

    /// Everybody's handshake.
    fn connect(&mut self, identity: &Identity) {
        let (begun, mut next) = (Instant::now(), 0);
        while !self.peers.iter().all(Peer::is_up) {
            assert!(begun.elapsed() < UP_WITHIN, "handshakes did not end within {UP_WITHIN:?}");
            let now = self.clock.now();
            for flow in (next..self.peers.len()).step_by(2).take(STEP) {
                let says = Dtls {
                    fingerprints: vec![identity.fingerprint().clone()],
                    setup: Setup::Passive,
                    ice: Some(ice(&format!("call{}", flow / 2))),
                };
                if let Some(client) = &mut self.peers[flow].client {
                    client.connect(now, &says, at(BROWSERS_AT));
                }
                self.peers[flow].attend();
                next = flow + 2;
            }
            self.turn_clients(now);
            let until = Instant::now() + Duration::from_millis(20);
            while Instant::now() < until {
                self.listen(Duration::from_millis(5));
            }
        }
    }

    fn turn_clients(&mut self, now: Tick) {
        for peer in &mut self.peers {
            if let Some(client) = &mut peer.client {
                client.turn(now);
                peer.attend();
            }
        }
    }

    fn listen(&mut self, most: Duration) {
        let most = Timespec { tv_sec: 0, tv_nsec: i64::from(most.subsec_nanos()) };
        let mut ready: Vec<epoll::Event> = Vec::with_capacity(512);
        if epoll::wait(&self.ready, rustix::buffer::spare_capacity(&mut ready), Some(&most)).is_err() {
            return;
        }
        let now = self.clock.now();
        for event in ready {
            let transits = (self.mode != Mode::Opus).then_some(&mut self.transits);
            self.peers[event.data.u64() as usize].listen(now, self.began, transits);
        }
    }

    /// Everybody speaks for so long.
    fn talk(&mut self, span: Duration) {
        let (begun, mut slot, mut due) = (Instant::now(), 0, Instant::now());
        while begun.elapsed() < span {
            while due > Instant::now() {
                self.listen(due.saturating_duration_since(Instant::now()));
            }
            due += Duration::from_millis(1);
            for flow in (slot..self.peers.len()).step_by(20) {
                self.peers[flow].say(self.began, &self.speech, self.mode == Mode::Opus);
            }
            slot = (slot + 1) % 20;
            if slot == 0 {
                let now = self.clock.now();
                self.turn_clients(now);
            }
        }
        for _ in 0..20 {
            self.listen(Duration::from_millis(5));
        }
    }

    fn counts(&self) -> (u64, u64) {
        let sum = |of: fn(&Peer) -> u64| self.peers.iter().map(of).sum();
        (sum(|peer| peer.sent), sum(|peer| peer.taken))
    }

    fn measure(mut self, seconds: u64, shaken: Duration) {
        self.talk(WARM);
        self.transits.clear();
        let (time, begun, (sent, taken)) = (worker_time(), Instant::now(), self.counts());
        self.talk(Duration::from_secs(seconds));
        let (wall, time) = (begun.elapsed(), worker_time().saturating_sub(time));
        let (sent, taken) = (self.counts().0 - sent, self.counts().1 - taken);
        let calls = self.peers.len() / 2;
        self.transits.sort_unstable();
        let quantile = |q: usize| self.transits.get(self.transits.len() * q / 1_000).copied().unwrap_or_default();
        let figures = self.counters.figures();
        println!(
            "{{\"mode\":\"{}\",\"calls\":{calls},\"seconds\":{:.1},\"cpu_s_per_call_minute\":{:.5},\"worker_cpu_pct\":{:.1},\
             \"sent\":{sent},\"taken\":{taken},\"lost\":{},\"unopened\":{},\"discarded\":{},\"transit_us_p50\":{},\"transit_us_p99\":{},\
             \"handshake_cpu_ms\":{:.2},\"sends_failed\":{},\"driver\":\"{}\"}}",
            self.mode.name(),
            wall.as_secs_f64(),
            time.as_secs_f64() * 60.0 / (wall.as_secs_f64() * calls as f64),
            100.0 * time.as_secs_f64() / wall.as_secs_f64(),
            sent.saturating_sub(taken),
            figures.unopened_packets,
            figures.discarded_packets,
            quantile(500),
            quantile(990),
            shaken.as_secs_f64() * 1_000.0 / calls as f64,
            self.counters.sends_failed(),
            self.handle.backend().name(),
        );
    }
}

fn leg(
    flow: u16,
    local: SocketAddr,
    codec: CodecKind,
    remote: SocketAddr,
    theirs: Option<Box<Dtls>>,
    ours: Option<Box<Dtls>>,
) -> LegPlan {
    let payload_type = if codec == CodecKind::Opus { 111 } else { 0 };
    LegPlan {
        leg: LegId(u64::from(flow)),
        local,
        negotiated: Some(Negotiated {
            codec,
            send_payload_type: payload_type,
            recv_payload_type: payload_type,
            // As nearly all have: speech is not listened to for tones.
            telephone_event: Some((101, 101)),
            comfort_noise: false,
            voip_metrics: false,
            ptime_ms: 20,
            direction: Direction::SendRecv,
            remote_rtp: remote,
            remote_rtcp: remote,
            rtcp_mux: true,
            crypto: None,
            dtls: theirs,
        }),
        ssrc: u32::from(flow),
        first_seq: 0,
        first_timestamp: 0,
        moved: false,
        dtls: ours,
    }
}

/// A second of two tones and their overtones.
fn tones(rate: u32) -> Vec<i16> {
    let saw = |n: u32, hertz: u32| (n * hertz % rate) as i32 * 8_000 / rate as i32 - 4_000;
    (0..rate).map(|n| (saw(n, 140) / 2 + saw(n, 610) / 8) as i16).collect()
}

fn mu_law() -> Vec<Vec<u8>> {
    tones(8_000).chunks_exact(160).map(|frame| frame.iter().map(|sample| Law::Mu.encode(*sample)).collect()).collect()
}

fn opus() -> Vec<Vec<u8>> {
    let samples = tones(48_000);
    let mut encoder = Encoder::new(&Settings::voice(SampleRate(48_000))).expect("an encoder");
    let packets = samples.chunks_exact(960).filter_map(|frame| {
        let mut out = vec![0; PACKET_BYTES_MAX];
        let Ok(Encoded::Packet(bytes)) = encoder.encode(frame, &mut out) else { return None };
        out.truncate(bytes);
        Some(out)
    });
    packets.collect()
}

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |n: usize| words.get(n).and_then(|word| word.parse::<u16>().ok());
    let (Some(calls), Some(seconds)) = (number(0).filter(|calls| (1..=5_000).contains(calls)), number(1)) else {
        eprintln!("browser_calls CALLS SECONDS [plain] [pcmu] [opus]: 1 to 5000 calls");
        std::process::exit(2);
    };
    // Two sockets a call on both sides.
    offhook_net::limits::raise_open_files()?;
    let named = |name: &str| words.iter().skip(2).any(|word| word == name);
    for (mode, _) in Mode::ALL.into_iter().filter(|(_, name)| words.len() == 2 || named(name)) {
        let before = worker_time();
        let bench = Bench::start(mode, calls)?;
        let shaken = worker_time().saturating_sub(before);
        bench.measure(u64::from(seconds), shaken);
    }
    Ok(())
}
