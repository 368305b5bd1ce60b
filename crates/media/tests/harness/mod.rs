//! The harness below the worker's tests: a network that remembers, peers that speak, plans in few words.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;

use offhook_media::{Asset, Assets, Io, Limits, SocketKey, Worker};
use offhook_plan::tap::{Side, TapHeader, TapReader, tap_ring};
use offhook_plan::{
    AssetId, CodecKind, Direction, Edge, LegPlan, MediaCommand, MediaEvent, MediaPlan, Negotiated, PlayerPlan, Source,
    Tap,
};
use offhook_rtp::{Header, Packet, SRTP_TAIL_MAX};
use offhook_units::{CallId, Entropy, LegId, PlayerId, RecordingId, RtpSeq, RtpTime, SampleRate, Span, Tick};

pub const CALL: CallId = CallId(1);
pub const CALLER: LegId = LegId(1);
pub const AGENT: LegId = LegId(2);
pub const RECORDING: RecordingId = RecordingId(9);

/// One datagram that the worker sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub key: SocketKey,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// Remembers what was opened and sent.
#[derive(Default)]
pub struct Network {
    pub open: Vec<(SocketKey, SocketAddr)>,
    pub sent: Vec<Sent>,
    pub refuse: Option<SocketAddr>,
    /// Counts instead of remembering, so that nothing is allocated.
    pub only_count: bool,
    pub count: usize,
}

impl Io for Network {
    fn open(&mut self, key: SocketKey, local: SocketAddr) -> Result<(), String> {
        if self.refuse == Some(local) {
            return Err("address in use".into());
        }
        self.open.push((key, local));
        Ok(())
    }

    fn close(&mut self, key: SocketKey) {
        self.open.retain(|(open, _)| *open != key);
    }

    fn send(&mut self, key: SocketKey, to: SocketAddr, bytes: &[u8]) {
        self.count += 1;
        if !self.only_count {
            self.sent.push(Sent { key, to, bytes: bytes.to_vec() });
        }
    }
}

pub fn at(ms: u64) -> Tick {
    Tick::from_us(1_700_000_000_000_000) + Span::from_ms(ms)
}

pub fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Where a leg's peer is, and where we are for it.
pub fn peer(leg: LegId) -> SocketAddr {
    address(40_000 + leg.0 as u16 * 10)
}

pub fn local(leg: LegId) -> SocketAddr {
    address(20_000 + leg.0 as u16 * 10)
}

pub fn agreed(leg: LegId, codec: CodecKind) -> Negotiated {
    let payload_type = codec.static_payload_type().unwrap();
    Negotiated {
        codec,
        send_payload_type: payload_type,
        recv_payload_type: payload_type,
        telephone_event: Some((101, 101)),
        comfort_noise: false,
        voip_metrics: false,
        ptime_ms: 20,
        direction: Direction::SendRecv,
        remote_rtp: peer(leg),
        remote_rtcp: address(peer(leg).port() + 1),
        rtcp_mux: false,
        crypto: None,
        dtls: None,
    }
}

pub fn leg_plan(leg: LegId, negotiated: Option<Negotiated>) -> LegPlan {
    LegPlan {
        leg,
        local: local(leg),
        negotiated,
        ssrc: 0xaaaa_0000 + leg.0 as u32,
        first_seq: 65_530,
        first_timestamp: 1_000,
        moved: false,
        dtls: None,
    }
}

pub fn pcmu(leg: LegId) -> LegPlan {
    leg_plan(leg, Some(agreed(leg, CodecKind::Pcmu)))
}

pub fn hears(to: LegId, from: LegId, since: Tick) -> Edge {
    Edge { from: Source::Leg(from), to, since }
}

pub fn plays(to: LegId, player: u64, assets: &[u32], repeat: bool) -> Edge {
    let assets = assets.iter().map(|n| AssetId(*n)).collect();
    Edge { from: Source::Player(PlayerPlan { player: PlayerId(player), assets, repeat }), to, since: Tick::MAX }
}

pub fn plan(generation: u32, legs: Vec<LegPlan>, edges: Vec<Edge>, taps: Vec<Tap>) -> MediaCommand {
    MediaCommand::Apply(Box::new(MediaPlan { call: CALL, generation, legs, edges, taps, forks: Vec::new() }))
}

pub fn tapped() -> Vec<Tap> {
    vec![Tap { leg: CALLER, recording: RECORDING, heard_as: Side::Heard }]
}

/// Both hear each other.
pub fn talk(generation: u32, since: Tick) -> MediaCommand {
    let edges = vec![hears(CALLER, AGENT, since), hears(AGENT, CALLER, since)];
    plan(generation, vec![pcmu(CALLER), pcmu(AGENT)], edges, tapped())
}

/// A worker with its network, recorder's end and clock.
pub struct Floor {
    pub worker: Worker,
    pub network: Network,
    pub tap: TapReader,
    pub now: Tick,
}

impl Floor {
    pub fn new() -> Self {
        Self::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Self {
        let (producer, tap) = tap_ring(limits.tap_ring_bytes);
        // One second of a rising saw each, so that every frame of music differs; and half a second of 600 Hz.
        let saw: Vec<i16> = (0..8_000).map(|n| (n * 4 - 16_000) as i16).collect();
        let short: Vec<i16> = saw.iter().copied().take(400).collect();
        let music = Asset::from_pcm(&saw, SampleRate::NARROW).unwrap();
        let prompt = Asset::from_pcm(&short, SampleRate::NARROW).unwrap();
        let tone: Vec<i16> =
            (0..4_000_u32).map(|n| (f64::from(n) * 0.471).sin()).map(|s| (s * 8_000.0) as i16).collect();
        let tone = Asset::from_pcm(&tone, SampleRate::NARROW).unwrap();
        let assets = Arc::new(Assets::new(vec![music, prompt, tone]));
        Self {
            worker: Worker::new(assets, producer, limits, Entropy::from_number(7)),
            network: Network::default(),
            tap,
            now: at(0),
        }
    }

    pub fn command(&mut self, command: MediaCommand) {
        self.worker.command(&mut self.network, self.now, command);
    }

    pub fn events(&mut self) -> Vec<MediaEvent> {
        std::iter::from_fn(|| self.worker.poll_event()).collect()
    }

    /// The worker's socket on a local address.
    pub fn key(&self, local: SocketAddr) -> SocketKey {
        self.network.open.iter().find(|(_, open)| *open == local).map(|(key, _)| *key).unwrap()
    }

    pub fn receive(&mut self, leg: LegId, from: SocketAddr, datagram: &[u8]) {
        let key = self.key(local(leg));
        let mut buffer = datagram.to_vec();
        buffer.resize(datagram.len() + SRTP_TAIL_MAX, 0);
        self.worker.receive(&mut self.network, self.now, key, from, &mut buffer, datagram.len());
    }

    /// Lets the clock run to `to`, ticking the worker whenever it asks for it.
    pub fn run_to(&mut self, to: Tick) {
        while let Some(due) = self.worker.next_tick().filter(|due| *due <= to) {
            self.now = self.now.max(due);
            self.worker.tick(&mut self.network, self.now);
        }
        self.now = to;
    }

    /// What was sent to a leg's peer by RTP since the last call, in order; also what went elsewhere is forgotten.
    pub fn heard_by(&mut self, leg: LegId) -> Vec<(Header, Vec<u8>)> {
        let key = self.key(local(leg));
        let sent = std::mem::take(&mut self.network.sent);
        let (mine, rest): (Vec<_>, Vec<_>) = sent.into_iter().partition(|sent| sent.key == key);
        self.network.sent = rest;
        mine.iter().map(|sent| Packet::parse(&sent.bytes).unwrap()).map(|p| (p.header, p.payload.to_vec())).collect()
    }

    /// Everything in the recorder's ring.
    pub fn recorded(&mut self) -> Vec<(TapHeader, Vec<u8>)> {
        let mut records = Vec::new();
        // When a call ends the worker hands over what it holds; where half the ring waited, when that was read.
        for _ in 0..2 {
            self.worker.command(&mut self.network, self.now, MediaCommand::Close(CallId(u64::MAX)));
            self.tap.drain(usize::MAX, |header, payload| records.push((*header, payload.to_vec())));
        }
        records
    }
}

/// A peer that speaks: its numbers, and payloads that tell packets apart.
pub struct Speaker {
    pub leg: LegId,
    pub ssrc: u32,
    pub seq: u16,
    pub timestamp: u32,
    pub payload_type: u8,
}

impl Speaker {
    pub fn new(leg: LegId) -> Self {
        Self { leg, ssrc: 0x5500 + leg.0 as u32, seq: 100, timestamp: 50_000, payload_type: 0 }
    }

    pub fn payload(&self) -> Vec<u8> {
        (0..160_u32).map(|n| (n * 7 + u32::from(self.seq) * 13 + self.leg.0 as u32) as u8).collect()
    }

    pub fn packet(&self, payload_type: u8, marker: bool, payload: &[u8]) -> Vec<u8> {
        let header =
            Header { payload_type, marker, seq: RtpSeq(self.seq), timestamp: RtpTime(self.timestamp), ssrc: self.ssrc };
        let mut out = vec![0; 12 + payload.len()];
        header.write(payload, &mut out).unwrap();
        out
    }

    /// The next 20 ms of speech, not sent.
    pub fn speech(&mut self) -> (Vec<u8>, Vec<u8>) {
        let payload = self.payload();
        let packet = self.packet(self.payload_type, false, &payload);
        self.seq = self.seq.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        (packet, payload)
    }

    /// Says 20 ms; gives the payload.
    pub fn say(&mut self, floor: &mut Floor) -> Vec<u8> {
        let (packet, payload) = self.speech();
        floor.receive(self.leg, peer(self.leg), &packet);
        payload
    }
}
