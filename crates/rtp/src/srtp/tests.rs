//! SRTP against the vectors of RFC 3711 and RFC 7714, and against loss, order, repetition and forgery.

use offhook_units::{CryptoSuite, Entropy, MasterKey, RtpSeq, RtpTime};
use proptest::prelude::*;
use ring::aead;

use super::keys::{Keys, Place};
use super::*;
use crate::Header;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(core::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn key(suite: CryptoSuite, number: u64) -> MasterKey {
    MasterKey::generate(suite, &mut Entropy::from_number(number))
}

/// An RTP packet with room for its tag, and its length.
fn packet(ssrc: u32, seq: u16, payload: &[u8]) -> (Vec<u8>, usize) {
    let header = Header { payload_type: 8, marker: false, seq: RtpSeq(seq), timestamp: RtpTime(7), ssrc };
    let mut buffer = vec![0; 12 + payload.len() + SRTP_TAIL_MAX];
    let length = header.write(payload, &mut buffer).unwrap();
    (buffer, length)
}

fn protected(sender: &mut SrtpSender, ssrc: u32, seq: u16) -> Vec<u8> {
    let (mut buffer, length) = packet(ssrc, seq, &u32::from(seq).to_be_bytes().repeat(40));
    let sealed = sender.protect_rtp(&mut buffer, length).unwrap();
    buffer.truncate(sealed);
    buffer
}

fn opened(receiver: &mut SrtpReceiver, sealed: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = sealed.to_vec();
    let length = receiver.unprotect_rtp(&mut packet)?;
    Ok(packet[12..length].to_vec())
}

#[test]
fn session_keys_are_derived_as_in_rfc_3711_appendix_b_3() {
    let master = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
    let master = MasterKey::new(CryptoSuite::AesCm128HmacSha1_80, &master).unwrap();
    for (label, expected) in [
        (0, "C61E7A93744F39EE10734AFE3FF7A087"),
        (1, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"),
        (2, "30CBBC08863D8C85D49DB34A9AE1"),
    ] {
        let mut out = vec![0; hex(expected).len()];
        keys::key_stream(&master, label, &mut out);
        assert_eq!(out, hex(expected), "label {label}");
    }
}

#[test]
fn the_key_stream_is_that_of_rfc_3711_appendix_b_2_to_its_last_block() {
    let cm = Keys::cm(&hex("2B7E151628AED2A6ABF7158809CF4F3C"), &[0; 20], &hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"), 10);
    // Source and index zero, a header of twelve bytes and 0xff02 blocks of zeros.
    let (mut buffer, length) = (vec![0; 12 + 0xff02 * 16 + 10], 12 + 0xff02 * 16);
    cm.seal_rtp(Place { ssrc: 0, index: 0 }, &mut buffer, 12, length).unwrap();
    for (block, expected) in [
        (0, "E03EAD0935C95E80E166B16DD92B4EB4"),
        (1, "D23513162B02D0F72A43A2FE4A5F97AB"),
        (2, "41E95B3BB0A2E8DD477901E4FCA894C0"),
        (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
        (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
        (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
    ] {
        assert_eq!(buffer[12 + block * 16..][..16], hex(expected), "block {block:x}");
    }
}

#[test]
fn a_packet_under_hmac_sha1_is_what_other_implementations_make_of_it() {
    let master = hex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
    let master = MasterKey::new(CryptoSuite::AesCm128HmacSha1_80, &master).unwrap();
    let mut buffer = hex("800f1234decafbadcafebabe abababababababababababababababab");
    buffer.resize(28 + SRTP_TAIL_MAX, 0);
    let sealed = SrtpSender::new(&master).protect_rtp(&mut buffer, 28).unwrap();
    let expected = hex("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb");
    assert_eq!(buffer[..sealed], expected);
}

const GALLIA: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
    69736120 696e2070 61727465 73207472 6573";

#[test]
fn rtp_under_gcm_is_that_of_rfc_7714_section_16() {
    let rows = [
        (
            &aead::AES_128_GCM,
            16,
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a
             51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        ),
        (
            &aead::AES_256_GCM,
            32,
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02
             76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        ),
    ];
    for (algorithm, key_bytes, expected) in rows {
        let key: Vec<u8> = (0..key_bytes).collect();
        let keys = Keys::gcm(algorithm, &key, &hex("51756964 2070726f 2071756f"));
        let place = Place { ssrc: 0x5501_a0b2, index: 0xf17b };
        let mut buffer = hex(GALLIA);
        let length = buffer.len();
        buffer.resize(length + 16, 0);
        assert_eq!(keys.seal_rtp(place, &mut buffer, 12, length), Ok(length + 16));
        assert_eq!(buffer, hex(expected));
        assert_eq!(keys.open_rtp(place, &mut buffer, 12), Ok(length));
        assert_eq!(buffer[..length], hex(GALLIA));
    }
}

#[test]
fn rtcp_under_gcm_is_that_of_rfc_7714_section_17() {
    let clear = hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
         deadbeef deadbeef deadbeef deadbeef deadbeef");
    let expected = hex("81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1
         730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4");
    let key: Vec<u8> = (0..16).collect();
    let keys = Keys::gcm(&aead::AES_128_GCM, &key, &hex("51756964 2070726f 2071756f"));
    let place = Place { ssrc: 0x4d61_7273, index: 0x5d4 };
    let mut buffer = clear.clone();
    buffer.resize(clear.len() + keys.rtcp_tail(), 0);
    assert_eq!(keys.seal_rtcp(place, &mut buffer, clear.len()), Ok(expected.len()));
    assert_eq!(buffer, expected);
    assert_eq!(keys.rtcp_index(&buffer), Ok(0x5d4));
    assert_eq!(keys.open_rtcp(place, &mut buffer), Ok(clear.len()));
    assert_eq!(buffer[..clear.len()], clear);
}

#[test]
fn every_suite_opens_what_it_protected_and_nothing_else() {
    for suite in CryptoSuite::ALL {
        let (mut sender, mut receiver) = (SrtpSender::new(&key(suite, 1)), SrtpReceiver::new(&key(suite, 1)));
        let mut stranger = SrtpReceiver::new(&key(suite, 2));
        let sealed = protected(&mut sender, 5, 40_000);
        assert_eq!(opened(&mut stranger, &sealed), Err(SrtpError::Forged));
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(opened(&mut receiver, &changed).is_err(), "{suite:?}: bit {bit} of {}", sealed.len() * 8);
        }
        for length in 0..sealed.len() {
            assert!(opened(&mut receiver, &sealed[..length]).is_err());
        }
        assert_eq!(opened(&mut receiver, &sealed).unwrap(), 40_000_u32.to_be_bytes().repeat(40));
        assert_eq!(opened(&mut receiver, &sealed), Err(SrtpError::Replayed));
    }
}

#[test]
fn rtcp_goes_the_same_way_with_an_index_of_its_own() {
    let report = hex("80c90001 00000005");
    for suite in CryptoSuite::ALL {
        let (mut sender, mut receiver) = (SrtpSender::new(&key(suite, 1)), SrtpReceiver::new(&key(suite, 1)));
        let mut sealed = Vec::new();
        for _ in 0..3 {
            let mut buffer = report.clone();
            buffer.resize(report.len() + SRTP_TAIL_MAX, 0);
            let length = sender.protect_rtcp(&mut buffer, report.len()).unwrap();
            sealed.push(buffer[..length].to_vec());
        }
        for n in [2, 0, 1] {
            for bit in 0..sealed[n].len() * 8 {
                let mut changed = sealed[n].clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(receiver.unprotect_rtcp(&mut changed).is_err(), "{suite:?}: bit {bit}");
            }
            let mut packet = sealed[n].clone();
            let length = receiver.unprotect_rtcp(&mut packet).unwrap();
            assert_eq!(packet[..length], report);
            assert_eq!(receiver.unprotect_rtcp(&mut sealed[n].clone()), Err(SrtpError::Replayed));
        }
    }
}

#[test]
fn header_extensions_and_sources_stay_readable_and_are_authenticated() {
    let clear = hex("91080001 00000002 00000003 09090909 bede0001 07070707 aabbccdd");
    for suite in CryptoSuite::ALL {
        let mut buffer = clear.clone();
        buffer.resize(clear.len() + SRTP_TAIL_MAX, 0);
        let length = SrtpSender::new(&key(suite, 1)).protect_rtp(&mut buffer, clear.len()).unwrap();
        assert_eq!(buffer[..24], clear[..24]);
        assert_ne!(buffer[24..28], clear[24..]);
        let mut receiver = SrtpReceiver::new(&key(suite, 1));
        let mut changed = buffer[..length].to_vec();
        changed[20] ^= 1;
        assert_eq!(receiver.unprotect_rtp(&mut changed), Err(SrtpError::Forged));
        assert_eq!(receiver.unprotect_rtp(&mut buffer[..length]), Ok(clear.len()));
        assert_eq!(buffer[..clear.len()], clear);
    }
}

#[test]
fn a_number_is_never_protected_twice() {
    let mut sender = SrtpSender::new(&key(CryptoSuite::AeadAes128Gcm, 1));
    protected(&mut sender, 5, 9);
    protected(&mut sender, 5, 10);
    let (mut buffer, length) = packet(5, 9, b"other words");
    assert_eq!(sender.protect_rtp(&mut buffer, length), Err(SrtpError::Replayed));
    assert_eq!(sender.protect_rtp(&mut buffer[..length], length), Err(SrtpError::Replayed));
    let (mut buffer, length) = packet(5, 11, b"no room");
    assert_eq!(sender.protect_rtp(&mut buffer[..length], length), Err(SrtpError::NoRoom));
}

#[test]
fn seventeen_sources_are_one_too_many() {
    let suite = CryptoSuite::AesCm128HmacSha1_80;
    let (mut sender, mut receiver) = (SrtpSender::new(&key(suite, 1)), SrtpReceiver::new(&key(suite, 1)));
    for ssrc in 0..SOURCES_MAX as u32 {
        let sealed = protected(&mut sender, ssrc, 1);
        assert!(opened(&mut receiver, &sealed).is_ok());
    }
    let sealed = protected(&mut SrtpSender::new(&key(suite, 1)), 99, 1);
    assert_eq!(opened(&mut receiver, &sealed), Err(SrtpError::TooManySources));
    let sealed = protected(&mut sender, 0, 2);
    assert!(opened(&mut receiver, &sealed).is_ok());
}

#[test]
fn a_stream_whose_first_wrap_was_lost_is_heard_all_the_same() {
    for suite in CryptoSuite::ALL {
        let (mut sender, mut receiver) = (SrtpSender::new(&key(suite, 1)), SrtpReceiver::new(&key(suite, 1)));
        for seq in 65_530..=65_535 {
            protected(&mut sender, 5, seq);
        }
        for seq in 0..200 {
            let sealed = protected(&mut sender, 5, seq);
            assert_eq!(opened(&mut receiver, &sealed).map(|payload| payload.len()), Ok(160), "{seq}");
        }
    }
}

#[test]
fn a_change_of_key_loses_no_packet_on_its_way_and_keeps_the_roll_over_counter() {
    for suite in CryptoSuite::ALL {
        let (mut sender, mut receiver) = (SrtpSender::new(&key(suite, 1)), SrtpReceiver::new(&key(suite, 1)));
        // Over a wrap, so that the counter is not zero.
        for seq in (65_000..=65_535).chain(0..100) {
            let sealed = protected(&mut sender, 5, seq);
            assert!(opened(&mut receiver, &sealed).is_ok());
        }
        let late: Vec<_> = (100..110).map(|seq| protected(&mut sender, 5, seq)).collect();
        receiver.rekey(&key(suite, 2));
        // Ours comes to be in force before theirs: the old key goes on.
        assert!(opened(&mut receiver, &late[0]).is_ok());
        sender.rekey(&key(suite, 2));
        for seq in 110..120 {
            let sealed = protected(&mut sender, 5, seq);
            assert!(opened(&mut receiver, &sealed).is_ok(), "{suite:?} {seq}");
        }
        // Overtaken on the way.
        for sealed in &late[1..] {
            assert!(opened(&mut receiver, sealed).is_ok());
            assert!(opened(&mut receiver, sealed).is_err());
        }
        for seq in 120..200 {
            let sealed = protected(&mut sender, 5, seq);
            assert!(opened(&mut receiver, &sealed).is_ok());
        }
        let (mut old, mut forged) = (SrtpSender::new(&key(suite, 1)), receiver);
        let sealed = protected(&mut old, 6, 1);
        assert_eq!(opened(&mut forged, &sealed), Err(SrtpError::Forged), "the old key is given up");
    }
}

#[test]
fn a_peer_that_counts_anew_after_a_change_of_key_is_heard() {
    let suite = CryptoSuite::AesCm128HmacSha1_80;
    let (mut sender, mut receiver) = (SrtpSender::new(&key(suite, 1)), SrtpReceiver::new(&key(suite, 1)));
    for seq in (65_000..=65_535).chain(0..100) {
        let sealed = protected(&mut sender, 5, seq);
        assert!(opened(&mut receiver, &sealed).is_ok());
    }
    receiver.rekey(&key(suite, 2));
    let mut anew = SrtpSender::new(&key(suite, 2));
    for seq in 100..300 {
        let sealed = protected(&mut anew, 5, seq);
        assert!(opened(&mut receiver, &sealed).is_ok(), "{seq}");
        assert_eq!(opened(&mut receiver, &sealed), Err(SrtpError::Replayed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A stream that begins anywhere, with losses, swaps and repetitions, over three wraps: every packet that arrives is
    /// opened once, and no packet twice.
    #[test]
    fn what_arrives_within_the_window_is_opened_exactly_once(
        first in 0_u16..0x8000,
        steps in proptest::collection::vec((1_u16..3_000, 0_usize..64, any::<bool>()), 150),
    ) {
        let suite = CryptoSuite::AeadAes128Gcm;
        let (mut sender, mut receiver) = (SrtpSender::new(&key(suite, 1)), SrtpReceiver::new(&key(suite, 1)));
        let mut seq = first;
        let mut late: Vec<Vec<u8>> = Vec::new();
        for (skip, hold, again) in steps {
            let mut burst: Vec<_> = (0..hold.min(40) as u16).map(|n| protected(&mut sender, 5, seq.wrapping_add(n))).collect();
            seq = seq.wrapping_add(hold.min(40) as u16);
            burst.reverse();
            for sealed in &burst {
                prop_assert!(opened(&mut receiver, sealed).is_ok());
                if again {
                    prop_assert_eq!(opened(&mut receiver, sealed), Err(SrtpError::Replayed));
                }
            }
            late.extend(burst.pop());
            seq = seq.wrapping_add(skip);
        }
        for sealed in &late {
            prop_assert!(opened(&mut receiver, sealed).is_err());
        }
    }

    /// The estimate is right wherever the packet lies within half a cycle of the newest.
    #[test]
    fn the_index_is_the_nearest_that_fits(newest in 0x1_0000_u64..1 << 40, away in -32_767_i64..32_767) {
        let mut window = sources::Window::default();
        window.note(newest);
        let index = newest.checked_add_signed(away).unwrap();
        prop_assert_eq!(window.estimate(index as u16), index);
    }

    /// The window agrees with a list of everything that was ever noted.
    #[test]
    fn the_window_agrees_with_a_list(indices in proptest::collection::vec(0_u64..600, 0..400)) {
        let (mut window, mut list) = (sources::Window::default(), Vec::new());
        for index in indices {
            let newest = list.iter().max().copied();
            let old = newest.is_some_and(|newest: u64| newest >= index + REPLAY_WINDOW);
            let fresh = !old && !list.contains(&index);
            prop_assert_eq!(window.check(index).is_ok(), fresh);
            if fresh {
                window.note(index);
                list.push(index);
            }
        }
    }

    #[test]
    fn noise_is_refused_without_a_trace(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        for suite in CryptoSuite::ALL {
            let (mut sender, mut receiver) = (SrtpSender::new(&key(suite, 1)), SrtpReceiver::new(&key(suite, 1)));
            prop_assert!(receiver.unprotect_rtp(&mut noise.clone()).is_err());
            prop_assert!(receiver.unprotect_rtcp(&mut noise.clone()).is_err());
            let sealed = protected(&mut sender, 5, 1);
            prop_assert!(opened(&mut receiver, &sealed).is_ok());
        }
    }
}
