//! What 20 ms of a mix cost, everything included: packets in, jitter buffers, sums, encoding, packets out; for two who are listened
//! in on, and for conferences in which everybody speaks and hears all others.

use core::net::SocketAddr;
use std::sync::Arc;

use divan::Bencher;
use offhook_media::{Assets, Io, Limits, SocketKey, Worker, tap_ring};
use offhook_plan::{CodecKind, Direction, Edge, LegPlan, MediaCommand, MediaPlan, Negotiated, Source};
use offhook_rtp::{Header, SRTP_TAIL_MAX};
use offhook_units::{CallId, Entropy, LegId, RtpSeq, RtpTime, Span, Tick};

fn main() {
    divan::main();
}

/// Sends to nobody.
struct Nowhere;

impl Io for Nowhere {
    fn open(&mut self, _: SocketKey, _: SocketAddr) -> Result<(), String> {
        Ok(())
    }

    fn close(&mut self, _: SocketKey) {}

    fn send(&mut self, _: SocketKey, _: SocketAddr, bytes: &[u8]) {
        divan::black_box(bytes);
    }
}

fn address(leg: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 20_000 + leg * 2))
}

fn leg(leg: u16) -> LegPlan {
    let negotiated = Negotiated {
        codec: CodecKind::Pcmu,
        send_payload_type: 0,
        recv_payload_type: 0,
        telephone_event: None,
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
    }
}

/// A call in progress.
struct Call {
    worker: Worker,
    legs: u16,
    turn: u32,
    now: Tick,
}

impl Call {
    /// `edges` say who (first) hears whom (second).
    fn new(legs: u16, edges: impl Iterator<Item = (u16, u16)>) -> Self {
        let (producer, _) = tap_ring(0);
        let mut worker = Worker::new(Arc::new(Assets::default()), producer, Limits::default(), Entropy::from_number(1));
        let now = Tick::from_us(1_700_000_000_000_000);
        let edges = edges.map(|(to, from)| Edge {
            from: Source::Leg(LegId(u64::from(from))),
            to: LegId(u64::from(to)),
            since: Tick::MAX,
        });
        let legs_of_it = (0..legs).map(leg).collect();
        let plan =
            MediaPlan { call: CallId(1), generation: 1, legs: legs_of_it, edges: edges.collect(), taps: Vec::new() };
        worker.command(&mut Nowhere, now, MediaCommand::Apply(Box::new(plan)));
        let mut call = Self { worker, legs, turn: 0, now };
        (0..20).for_each(|_| call.turn());
        call
    }

    /// 20 ms: everybody says something, and hears it.
    fn turn(&mut self) {
        for leg in 0..self.legs {
            let mut datagram = [0; 172 + SRTP_TAIL_MAX];
            let seq = RtpSeq(self.turn as u16);
            let header =
                Header { payload_type: 0, marker: false, seq, timestamp: RtpTime(self.turn * 160), ssrc: leg.into() };
            let payload: [u8; 160] = core::array::from_fn(|n| (n as u32 * 5 + self.turn + u32::from(leg)) as u8);
            header.write(&payload, &mut datagram).expect("it fits");
            let key = SocketKey::from_index(usize::from(leg) * 2);
            self.worker.receive(&mut Nowhere, self.now, key, address(leg), &mut datagram, 172);
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

/// The same without a mix, to compare with.
#[divan::bench]
fn relay_of_two(bencher: Bencher) {
    let mut call = Call::new(2, [(0, 1), (1, 0)].into_iter());
    bencher.bench_local(move || call.turn());
}

#[divan::bench]
fn two_and_one_who_listens(bencher: Bencher) {
    let mut call = Call::new(3, [(0, 1), (1, 0), (2, 0), (2, 1)].into_iter());
    bencher.bench_local(move || call.turn());
}

#[divan::bench(args = [3, 8, 32])]
fn conference(bencher: Bencher, parties: u16) {
    let all = (0..parties).flat_map(|to| (0..parties).filter(move |from| *from != to).map(move |from| (to, from)));
    let mut call = Call::new(parties, all);
    bencher.bench_local(move || call.turn());
}
