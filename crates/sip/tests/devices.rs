//! Offers as phones, gateways, carriers and browsers write them (`fixtures/sip/sdp`), and what they are answered.

use offhook_plan::{CandidateHost, CodecKind, Direction, Dtls, Fingerprint, HashKind, MediaCaps, Negotiated, Setup};
use offhook_sip::sdp::{self, SdpError, Srtp, SrtpPolicy};
use offhook_units::{CryptoSuite, Entropy};

use CodecKind::{Pcma, Pcmu};
use Direction::{Inactive, RecvOnly, SendRecv};

const NO_KEYS: Option<CryptoSuite> = None;
const SHA1_80: Option<CryptoSuite> = Some(CryptoSuite::AesCm128HmacSha1_80);
const SHA1_32: Option<CryptoSuite> = Some(CryptoSuite::AesCm128HmacSha1_32);

/// File; codec, payload type of telephone-event, packet time, direction as we see it, keys, RTCP on RTP's port; the answer's m-lines.
type Row = (&'static str, CodecKind, Option<u8>, u8, Direction, Option<CryptoSuite>, bool, &'static [&'static str]);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("cisco-spa504g", Pcmu, Some(101), 30, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 0 101"]),
    ("cisco-8841", Pcmu, Some(101), 20, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 0 101", "video 0 RTP/AVP 126 97"]),
    ("yealink-t46u", Pcmu, Some(101), 20, SendRecv, SHA1_80, false, &["audio 10000 RTP/SAVP 0 101"]),
    ("polycom-vvx", Pcmu, Some(127), 20, SendRecv, SHA1_80, false, &["audio 10000 RTP/AVP 0 127"]),
    ("grandstream-gxp2170", Pcmu, Some(101), 20, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 0 101"]),
    ("snom-d785", Pcmu, Some(101), 20, SendRecv, SHA1_32, false, &["audio 10000 RTP/AVP 0 101", "audio 0 RTP/SAVP 9 8 0 3 99 112 18 101"]),
    ("fritzbox", Pcmu, Some(101), 20, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 0 101"]),
    ("cisco-cube", Pcmu, Some(101), 20, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 0 101"]),
    ("audiocodes-mediant", Pcmu, Some(96), 20, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 0 96", "image 0 udptl t38"]),
    ("ribbon-sbc", Pcmu, Some(100), 20, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 0 100"]),
    ("oracle-sbc-hold", Pcma, Some(101), 20, Inactive, NO_KEYS, false, &["audio 10000 RTP/AVP 8 101"]),
    ("asterisk-pjsip", Pcmu, Some(101), 20, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 0 101"]),
    ("freeswitch", Pcmu, Some(101), 20, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 0 101"]),
    ("rtpengine", Pcmu, Some(101), 20, SendRecv, NO_KEYS, true, &["audio 10000 RTP/AVPF 0 101"]),
    ("twilio", Pcmu, Some(101), 20, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 0 101"]),
    ("telekom-ngn", Pcma, Some(97), 20, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 8 97"]),
    ("telekom-ipv6", Pcma, Some(97), 20, RecvOnly, NO_KEYS, false, &["audio 10000 RTP/AVP 8 97"]),
    ("3cx", Pcmu, Some(101), 20, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 0 101"]),
    ("teams-direct-routing", Pcmu, Some(101), 20, SendRecv, SHA1_80, true, &["audio 10000 RTP/SAVP 0 101"]),
    ("linphone", Pcmu, Some(100), 20, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 0 100"]),
    ("baresip", Pcmu, Some(101), 20, SendRecv, NO_KEYS, false, &["audio 10000 RTP/AVP 0 101"]),
    ("zoiper", Pcmu, Some(101), 20, SendRecv, NO_KEYS, true, &["audio 10000 RTP/AVP 0 101"]),
    ("microsip", Pcmu, Some(101), 20, SendRecv, SHA1_80, false, &["audio 10000 RTP/SAVP 0 101"]),
    ("microsip-hold", Pcmu, Some(101), 20, RecvOnly, NO_KEYS, false, &["audio 10000 RTP/AVP 0 101"]),
];

/// Those that cannot be met without a handshake or at all.
const REFUSED: [(&str, SdpError); 3] =
    [("fritzbox-fax", SdpError::NoAudio), ("chromium", SdpError::Encrypted), ("firefox", SdpError::Encrypted)];

fn offer_of(name: &str) -> String {
    let path = format!("{}/../../fixtures/sip/sdp/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.replace('\n', "\r\n")
}

fn local() -> sdp::Local {
    let srtp = Srtp::new(SrtpPolicy::Accept, true, &mut Entropy::from_number(1));
    sdp::Local { address: "192.0.2.1".parse().unwrap(), port: 10_000, session_id: 1, version: 1, srtp }
}

fn answered(offer: &str) -> Result<(String, Negotiated), SdpError> {
    sdp::answer(offer.as_bytes(), &local(), &MediaCaps::g711(), SendRecv)
}

fn media_lines(answer: &str) -> Vec<&str> {
    answer.lines().filter_map(|line| line.strip_prefix("m=")).collect()
}

#[test]
fn each_of_24_devices_is_answered_as_its_offer_wants() {
    for (name, codec, events, ptime_ms, direction, suite, rtcp_mux, lines) in ROWS {
        let offer = offer_of(name);
        let (answer, agreed) = answered(&offer).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(media_lines(&answer), *lines, "{name}");
        let keys = agreed.crypto.map(|crypto| crypto.receive.suite());
        assert_eq!((agreed.codec, agreed.telephone_event.map(|(sent, _)| sent)), (*codec, *events), "{name}");
        assert_eq!(
            (agreed.ptime_ms, agreed.direction, keys, agreed.rtcp_mux),
            (*ptime_ms, *direction, *suite, *rtcp_mux),
            "{name}"
        );
        assert_eq!(answer.contains("a=rtcp-mux"), *rtcp_mux, "{name}");
        // As each line of the offer is named, its line of the answer is.
        let mids =
            |text: &str| text.lines().filter(|line| line.starts_with("a=mid:")).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(mids(&answer), mids(&offer), "{name}");
        let accepted = sdp::accept(&offer, answer.as_bytes(), &MediaCaps::g711()).expect("the device takes it");
        assert_eq!((accepted.codec, accepted.direction), (agreed.codec, agreed.direction.mirrored()), "{name}");
    }
}

#[test]
fn fax_alone_and_streams_with_keys_by_dtls_get_488() {
    for (name, fault) in REFUSED {
        let error = answered(&offer_of(name)).expect_err(name);
        assert_eq!((error.status(), error), (488, fault), "{name}");
    }
}

#[test]
fn every_device_stands_in_a_row() {
    let folder = format!("{}/../../fixtures/sip/sdp", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).expect("fixtures").map(|entry| entry.expect("a file").file_name());
    let mut files: Vec<String> = files.map(|name| name.to_string_lossy().trim_end_matches(".sdp").to_owned()).collect();
    let mut rows: Vec<&str> = ROWS.iter().map(|row| row.0).chain(REFUSED.iter().map(|row| row.0)).collect();
    files.sort_unstable();
    rows.sort_unstable();
    assert_eq!(files, rows);
}

#[test]
fn a_leg_with_a_fingerprint_of_its_own_answers_both_browsers_with_their_bundle() {
    for (name, events, other) in [
        ("chromium", 126, "video 0 UDP/TLS/RTP/SAVPF 96 97"),
        ("firefox", 101, "application 0 UDP/DTLS/SCTP webrtc-datachannel"),
    ] {
        let ours = Dtls {
            fingerprints: vec![Fingerprint { hash: HashKind::Sha256, bytes: vec![7; 32] }],
            setup: Setup::Passive,
            ice: None,
        };
        let offer = offer_of(name);
        let (answer, agreed) =
            sdp::answer_by_dtls(offer.as_bytes(), &local(), &ours, &MediaCaps::g711(), SendRecv).expect(name);
        assert_eq!(media_lines(&answer), [format!("audio 10000 UDP/TLS/RTP/SAVPF 0 {events}"), other.to_owned()]);
        assert!(answer.contains("a=group:BUNDLE 0\r\n") && answer.contains("a=setup:passive\r\n"), "{answer}");
        assert_eq!((agreed.direction, agreed.rtcp_mux, agreed.crypto), (SendRecv, true, None));
        let peer = agreed.dtls.expect("the browser's part");
        assert_eq!((peer.setup, peer.fingerprints.len()), (Setup::Active, 1));
        let ice = peer.ice.expect("ICE");
        let named = ice.candidates.iter().filter(|found| matches!(found.host, CandidateHost::Name(_))).count();
        let expected = if name == "firefox" { (3, 2, true) } else { (0, 0, false) };
        assert_eq!((ice.candidates.len(), named, ice.complete), expected);
    }
}
