//! Proves that protecting and opening packets allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use offhook_rtp::{Header, SRTP_TAIL_MAX, SrtpReceiver, SrtpSender};
use offhook_units::{CryptoSuite, Entropy, MasterKey, RtpSeq, RtpTime};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: hands everything to the system's allocator unchanged; counting touches a plain thread-local cell only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_thousand_packets_of_sixteen_sources_in_every_suite_allocate_nothing() {
    for suite in CryptoSuite::ALL {
        let key = MasterKey::generate(suite, &mut Entropy::from_number(1));
        let (mut sender, mut receiver) = (SrtpSender::new(&key), SrtpReceiver::new(&key));
        let mut buffer = [0; 172 + SRTP_TAIL_MAX];
        let before = COUNT.get();
        for n in 0..1_000_u16 {
            let seq = RtpSeq(n / 16);
            let header = Header { payload_type: 0, marker: false, seq, timestamp: RtpTime(0), ssrc: u32::from(n % 16) };
            let length = header.write(&[0x55; 160], &mut buffer).expect("it fits");
            let sealed = sender.protect_rtp(&mut buffer, length).expect("a new number");
            assert_eq!(receiver.unprotect_rtp(&mut buffer[..sealed]), Ok(length));
            buffer[..8].copy_from_slice(&[0x80, 201, 0, 1, 0, 0, 0, (n % 16) as u8]);
            let sealed = sender.protect_rtcp(&mut buffer, 8).expect("a new report");
            assert_eq!(receiver.unprotect_rtcp(&mut buffer[..sealed]), Ok(8));
            // A packet that fails costs none either.
            assert!(receiver.unprotect_rtp(&mut buffer[..sealed]).is_err());
        }
        assert_eq!(COUNT.get() - before, 0, "{suite:?}");
    }
}
