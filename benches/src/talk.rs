//! A talk in a media worker, packets in and packets out, for benches of relaying and mixing.

use core::net::SocketAddr;
use std::sync::Arc;

use offhook_codec::opus;
use offhook_media::{Assets, Io, Limits, SocketKey, Worker};
use offhook_plan::tap::tap_ring;
use offhook_plan::{CodecKind, Direction, Edge, LegPlan, MediaCommand, MediaPlan, Negotiated, Source};
use offhook_rtp::{Header, SRTP_TAIL_MAX};
use offhook_units::{CallId, Entropy, LegId, RtpSeq, RtpTime, SampleRate, Span, Tick};

/// Sends to nobody.
struct Nowhere;

impl Io for Nowhere {
    fn open(&mut self, _: SocketKey, _: SocketAddr) -> Result<(), String> {
        Ok(())
    }

    fn close(&mut self, _: SocketKey) {}

    fn send(&mut self, _: SocketKey, _: SocketAddr, bytes: &[u8]) {
        core::hint::black_box(bytes);
    }
}

fn address(leg: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 20_000 + leg * 2))
}

fn leg(leg: u16, codec: CodecKind) -> LegPlan {
    let payload_type = codec.static_payload_type().unwrap_or(111);
    let negotiated = Negotiated {
        codec,
        send_payload_type: payload_type,
        recv_payload_type: payload_type,
        telephone_event: None,
        comfort_noise: false,
        voip_metrics: false,
        ptime_ms: 20,
        direction: Direction::SendRecv,
        remote_rtp: address(leg),
        remote_rtcp: address(leg),
        rtcp_mux: true,
        crypto: None,
        dtls: None,
    };
    LegPlan {
        leg: LegId(u64::from(leg)),
        local: address(leg),
        negotiated: Some(negotiated),
        ssrc: u32::from(leg),
        first_seq: 0,
        first_timestamp: 0,
        moved: false,
        dtls: None,
    }
}

/// Largest payload said.
const PAYLOAD_MAX: usize = 320;

/// 20 ms of a voice.
fn payload(codec: CodecKind) -> Vec<u8> {
    if codec != CodecKind::Opus {
        let bytes = if codec == CodecKind::L16 { 320 } else { 160 };
        return (0..bytes).map(|n: u32| (n * 5) as u8).collect();
    }
    let mut encoder = opus::Encoder::new(&opus::Settings::voice(SampleRate::NARROW)).expect("an encoder");
    let pcm: Vec<i16> = (0..160_i32).map(|n| ((n * n * 37) % 9_000 - 4_500) as i16).collect();
    let mut out = vec![0; opus::PACKET_BYTES_MAX];
    let opus::Encoded::Packet(bytes) = encoder.encode(&pcm, &mut out).expect("a frame") else { panic!("a pause") };
    out.truncate(bytes);
    out
}

/// A call in progress.
pub struct Talk {
    worker: Worker,
    /// What each says in 20 ms.
    said: Vec<(CodecKind, Vec<u8>)>,
    turn: u32,
    now: Tick,
}

impl Talk {
    /// Of legs with G.711; `edges` say who (first) hears whom (second).
    pub fn new(legs: u16, edges: impl Iterator<Item = (u16, u16)>) -> Self {
        Self::of((0..legs).map(|_| CodecKind::Pcmu).collect(), edges)
    }

    /// The same of legs with these codecs.
    ///
    /// # Panics
    /// Where there is no encoder for Opus.
    pub fn of(codecs: Vec<CodecKind>, edges: impl Iterator<Item = (u16, u16)>) -> Self {
        let (producer, _) = tap_ring(0);
        let mut worker = Worker::new(Arc::new(Assets::default()), producer, Limits::default(), Entropy::from_number(1));
        let now = Tick::from_us(1_700_000_000_000_000);
        let edges = edges.map(|(to, from)| Edge {
            from: Source::Leg(LegId(u64::from(from))),
            to: LegId(u64::from(to)),
            since: Tick::MAX,
        });
        let legs = (0..).zip(&codecs).map(|(n, codec)| leg(n, *codec)).collect();
        let plan = MediaPlan {
            call: CallId(1),
            generation: 1,
            legs,
            edges: edges.collect(),
            taps: Vec::new(),
            forks: Vec::new(),
        };
        worker.command(&mut Nowhere, now, MediaCommand::Apply(Box::new(plan)));
        let said = codecs.into_iter().map(|codec| (codec, payload(codec))).collect();
        let mut talk = Self { worker, said, turn: 0, now };
        (0..20).for_each(|_| talk.turn());
        talk
    }

    /// 20 ms: everybody says something, and hears it.
    ///
    /// # Panics
    /// Never: each payload fits.
    pub fn turn(&mut self) {
        for leg in 0..self.said.len() {
            let (codec, said) = &self.said[leg];
            let mut datagram = [0; 12 + PAYLOAD_MAX + SRTP_TAIL_MAX];
            let (seq, units) = (RtpSeq(self.turn as u16), codec.clock() / 50);
            let payload_type = codec.static_payload_type().unwrap_or(111);
            let timestamp = RtpTime(self.turn * units);
            let header = Header { payload_type, marker: false, seq, timestamp, ssrc: leg as u32 };
            let length = header.write(said, &mut datagram).expect("it fits");
            let (key, from) = (SocketKey::from_index(leg * 2), address(leg as u16));
            self.worker.receive(&mut Nowhere, self.now, key, from, &mut datagram, length);
        }
        let until = self.now + Span::from_ms(20);
        while let Some(due) = self.worker.next_tick().filter(|due| *due < until) {
            self.worker.tick(&mut Nowhere, due.max(self.now));
        }
        while self.worker.poll_event().is_some() {}
        self.turn += 1;
        self.now = until;
    }
}
