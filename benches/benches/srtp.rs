//! What one packet costs to protect and to open: 20 ms of G.711, 172 bytes with its header, in every suite.
//!
//! The buffers are made before the clock runs.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use offhook_rtp::{Header, SRTP_TAIL_MAX, SrtpReceiver, SrtpSender};
use offhook_units::{CryptoSuite, Entropy, MasterKey, RtpSeq, RtpTime};

fn main() {
    divan::main();
}

const PACKET: usize = 172;
/// Packets of one turn: the key lives for many.
const TURN: usize = 1_000;

fn packets() -> Vec<[u8; PACKET + SRTP_TAIL_MAX]> {
    (0..TURN as u16)
        .map(|n| {
            let mut buffer = [0; PACKET + SRTP_TAIL_MAX];
            let header = Header { payload_type: 0, marker: false, seq: RtpSeq(n), timestamp: RtpTime(0), ssrc: 7 };
            header.write(&[0x55; 160], &mut buffer).expect("it fits");
            buffer
        })
        .collect()
}

#[divan::bench(args = CryptoSuite::ALL)]
fn protect(bencher: Bencher, suite: CryptoSuite) {
    let key = MasterKey::generate(suite, &mut Entropy::from_number(1));
    bencher.counter(ItemsCount::new(TURN)).with_inputs(|| (SrtpSender::new(&key), packets())).bench_local_refs(
        |(sender, packets)| {
            for buffer in packets {
                black_box(sender.protect_rtp(buffer, PACKET).expect("a new number"));
            }
        },
    );
}

#[divan::bench(args = CryptoSuite::ALL)]
fn unprotect(bencher: Bencher, suite: CryptoSuite) {
    let key = MasterKey::generate(suite, &mut Entropy::from_number(1));
    let mut sealed = packets();
    let mut sender = SrtpSender::new(&key);
    let mut length = 0;
    for buffer in &mut sealed {
        length = sender.protect_rtp(buffer, PACKET).expect("a new number");
    }
    bencher.counter(ItemsCount::new(TURN)).with_inputs(|| (SrtpReceiver::new(&key), sealed.clone())).bench_local_refs(
        |(receiver, packets)| {
            for buffer in packets {
                black_box(receiver.unprotect_rtp(&mut buffer[..length]).expect("the sender's own"));
            }
        },
    );
}

/// What a call pays once for each direction of each leg.
#[divan::bench(args = CryptoSuite::ALL)]
fn derive_keys(suite: CryptoSuite) -> SrtpSender {
    SrtpSender::new(black_box(&MasterKey::generate(suite, &mut Entropy::from_number(1))))
}
