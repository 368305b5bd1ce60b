//! Offers and answers as rows.

use core::net::Ipv4Addr;

use offhook_plan::CodecCap;

use super::*;

const US: Local = Local {
    address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    port: 10_000,
    session_id: 7,
    version: 1,
    srtp: Srtp::OFF,
};

fn lines(body: &str) -> Vec<u8> {
    format!(
        "v=0\r\no=- 1 1 IN IP4 198.51.100.9\r\ns=-\r\n{}\r\n",
        body.trim().replace('\n', "\r\n").replace("\r\n    ", "\r\n")
    )
    .into_bytes()
}

fn answered(body: &str) -> Result<(String, Negotiated), SdpError> {
    answer(&lines(body), &US, &MediaCaps::g711(), Direction::SendRecv)
}

const HEAD: &str = "c=IN IP4 198.51.100.9\nt=0 0\n";

/// Offer lines after the head; then codec, payload type, event payload type and direction of the answer.
#[track_caller]
fn check(
    offer: &str,
    codec: CodecKind,
    payload_type: u8,
    events: Option<u8>,
    direction: Direction,
) -> (String, Negotiated) {
    let (text, negotiated) = answered(&format!("{HEAD}{offer}")).expect("an answer");
    assert_eq!(
        (negotiated.codec, negotiated.send_payload_type, negotiated.recv_payload_type, negotiated.telephone_event),
        (codec, payload_type, payload_type, events.map(|e| (e, e))),
        "{text}"
    );
    assert_eq!(negotiated.direction, direction, "{text}");
    assert_eq!(accept_own(offer, &text).unwrap().codec, codec, "the offerer reads the same");
    (text, negotiated)
}

fn accept_own(offer: &str, answer: &str) -> Result<Negotiated, SdpError> {
    accept(core::str::from_utf8(&lines(&format!("{HEAD}{offer}"))).unwrap(), answer.as_bytes(), &MediaCaps::g711())
}

#[test]
fn an_offer_is_written_as_every_phone_writes_it() {
    assert_eq!(
        offer(&US, &MediaCaps::g711(), Direction::SendRecv),
        "v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 10000 RTP/AVP 0 8 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
         a=ptime:20\r\na=sendrecv\r\n"
    );
}

#[test]
fn static_payload_types_need_no_rtpmap_and_our_preference_decides() {
    check("m=audio 4000 RTP/AVP 0", CodecKind::Pcmu, 0, None, Direction::SendRecv);
    check("m=audio 4000 RTP/AVP 8 0", CodecKind::Pcmu, 0, None, Direction::SendRecv);
    check("m=audio 4000 RTP/AVP 18 3 8", CodecKind::Pcma, 8, None, Direction::SendRecv);
}

#[test]
fn names_are_read_in_any_case_with_one_channel_and_under_any_number() {
    check("m=audio 4000 RTP/AVP 97\na=rtpmap:97 pcma/8000/1", CodecKind::Pcma, 97, None, Direction::SendRecv);
    check(
        "m=audio 4000 RTP/AVP 0 97\na=rtpmap:0 G729/8000\na=rtpmap:97 PCMA/8000",
        CodecKind::Pcma,
        97,
        None,
        Direction::SendRecv,
    );
}

#[test]
fn telephone_event_is_taken_under_the_offered_number_and_only_at_the_codecs_clock() {
    let events = "m=audio 4000 RTP/AVP 0 96 97\na=rtpmap:96 telephone-event/48000\na=rtpmap:97 Telephone-Event/8000\na=fmtp:97 0-16";
    let (text, _) = check(events, CodecKind::Pcmu, 0, Some(97), Direction::SendRecv);
    assert!(text.contains("m=audio 10000 RTP/AVP 0 97\r\n"), "{text}");
    check(
        "m=audio 4000 RTP/AVP 0 96\na=rtpmap:96 telephone-event/48000",
        CodecKind::Pcmu,
        0,
        None,
        Direction::SendRecv,
    );
}

#[test]
fn hold_is_mirrored_and_a_zero_address_is_hold() {
    let line = "m=audio 4000 RTP/AVP 0\n";
    check(&format!("{line}a=sendonly"), CodecKind::Pcmu, 0, None, Direction::RecvOnly);
    check(&format!("{line}a=recvonly"), CodecKind::Pcmu, 0, None, Direction::SendOnly);
    check(&format!("{line}a=inactive"), CodecKind::Pcmu, 0, None, Direction::Inactive);
    check(&format!("{line}c=IN IP4 0.0.0.0"), CodecKind::Pcmu, 0, None, Direction::RecvOnly);
    check(&format!("{line}c=IN IP4 0.0.0.0\na=sendonly"), CodecKind::Pcmu, 0, None, Direction::RecvOnly);
    check(&format!("a=sendonly\n{line}"), CodecKind::Pcmu, 0, None, Direction::RecvOnly);
    // The stream's own word counts, and a zero address of IPv6 is one too.
    check(&format!("a=inactive\n{line}a=sendrecv"), CodecKind::Pcmu, 0, None, Direction::SendRecv);
    check(&format!("{line}c=IN IP6 ::"), CodecKind::Pcmu, 0, None, Direction::RecvOnly);
    check(&format!("{line}c=IN IP4 0.0.0.0\na=recvonly"), CodecKind::Pcmu, 0, None, Direction::Inactive);
    check(&format!("{line}c=IN IP4 203.0.113.7"), CodecKind::Pcmu, 0, None, Direction::SendRecv);
}

#[test]
fn the_answers_bundle_is_the_taken_stream_alone_and_every_named_line_keeps_its_name() {
    let lines = |group: &str, mux: &str| {
        let offer = format!(
            "{HEAD}{group}m=video 6 RTP/AVP 31\na=mid:v\nm=audio 4 RTP/AVP 0\na=mid:a\n{mux}m=image 8 udptl t38"
        );
        let (text, _) = answered(&offer).expect("an answer");
        let is_told = |line: &&str| ["a=group", "m=", "a=mid"].iter().any(|start| line.starts_with(start));
        text.lines().filter(is_told).map(str::to_owned).collect::<Vec<_>>()
    };
    let plain = ["m=video 0 RTP/AVP 31", "a=mid:v", "m=audio 10000 RTP/AVP 0", "a=mid:a", "m=image 0 udptl t38"];
    let bundled: Vec<&str> = core::iter::once("a=group:BUNDLE a").chain(plain).collect();
    assert_eq!(lines("a=group:BUNDLE v a\n", "a=rtcp-mux\n"), bundled);
    assert_eq!(lines("a=group:LS v a\na=group:BUNDLE a\n", "a=rtcp-mux\n"), bundled);
    // A bundle needs RTCP on RTP's port, and names what is in it.
    assert_eq!(lines("a=group:BUNDLE v a\n", ""), plain);
    assert_eq!(lines("a=group:BUNDLE v\n", "a=rtcp-mux\n"), plain);
    assert_eq!(lines("", "a=rtcp-mux\n"), plain);
}

#[test]
fn our_own_hold_is_kept_in_the_answer() {
    let offer = lines(&format!("{HEAD}m=audio 4000 RTP/AVP 0"));
    let (text, negotiated) = answer(&offer, &US, &MediaCaps::g711(), Direction::SendOnly).unwrap();
    assert_eq!(negotiated.direction, Direction::SendOnly);
    assert!(text.ends_with("a=sendonly\r\n"), "{text}");
}

#[test]
fn the_first_usable_audio_line_is_taken_and_all_others_are_refused_in_order() {
    let (text, negotiated) = check(
        "m=video 5000 RTP/AVP 31\nm=audio 5002 RTP/SAVP 0\nm=audio 5004 RTP/AVPF 0\nm=audio 5006 RTP/AVP 8\nm=image 5008 udptl t38",
        CodecKind::Pcmu,
        0,
        None,
        Direction::SendRecv,
    )
    .clone();
    let media: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        media,
        [
            "m=video 0 RTP/AVP 31",
            "m=audio 0 RTP/SAVP 0",
            "m=audio 10000 RTP/AVPF 0",
            "m=audio 0 RTP/AVP 8",
            "m=image 0 udptl t38"
        ]
    );
    assert_eq!(negotiated.remote_rtp, "198.51.100.9:5004".parse().unwrap());
}

#[test]
fn rtcp_goes_to_the_next_port_or_where_the_peer_says_or_shares_the_port() {
    let rtcp = |extra: &str| {
        let (text, n) = answered(&format!("{HEAD}m=audio 4000 RTP/AVP 0\n{extra}")).unwrap();
        (n.remote_rtcp.to_string(), n.rtcp_mux, text.contains("a=rtcp-mux"))
    };
    assert_eq!(rtcp("a=ptime:20"), ("198.51.100.9:4001".to_owned(), false, false));
    assert_eq!(rtcp("a=rtcp:4711"), ("198.51.100.9:4711".to_owned(), false, false));
    assert_eq!(rtcp("a=rtcp:4711 IN IP4 203.0.113.5"), ("203.0.113.5:4711".to_owned(), false, false));
    assert_eq!(rtcp("a=rtcp:4711\na=rtcp-mux"), ("198.51.100.9:4000".to_owned(), true, true));
    assert_eq!(rtcp("a=rtcp:none"), ("198.51.100.9:4001".to_owned(), false, false));
}

#[test]
fn the_packet_time_is_the_peers_where_we_make_such_packets() {
    let ptime = |extra: &str| answered(&format!("{HEAD}m=audio 4000 RTP/AVP 0\n{extra}")).unwrap().1.ptime_ms;
    assert_eq!(ptime("a=sendrecv"), 20);
    assert_eq!(ptime("a=ptime:30"), 30);
    assert_eq!(ptime("a=ptime:25"), 20);
    assert_eq!(ptime("a=ptime:200"), 20);
    assert_eq!(ptime("a=ptime:banana"), 20);
    assert_eq!(ptime("a=maxptime:10"), 10);
    assert_eq!(ptime("a=maxptime:0"), 20);
}

#[test]
fn offers_that_cannot_be_met_say_why() {
    let fault = |body: &str| answered(body).unwrap_err();
    assert_eq!(fault(&format!("{HEAD}m=audio 4000 RTP/AVP 18")), SdpError::NoCommonCodec);
    assert_eq!(fault(&format!("{HEAD}m=audio 4000 RTP/SAVP 0")), SdpError::Encrypted);
    assert_eq!(fault(&format!("{HEAD}m=audio 0 RTP/AVP 0")), SdpError::NoAudio);
    assert_eq!(fault(&format!("{HEAD}m=video 4000 RTP/AVP 31")), SdpError::NoAudio);
    assert_eq!(fault(HEAD.trim()), SdpError::NoAudio);
    assert_eq!(
        fault("c=IN IP4 phone.example\nt=0 0\nm=audio 4000 RTP/AVP 0"),
        SdpError::NoAddress("phone.example".into())
    );
    assert!(matches!(fault("t=0 0\nm=audio 4000 RTP/AVP 0"), SdpError::Malformed(_)));
    assert!(matches!(answer(b"", &US, &MediaCaps::g711(), Direction::SendRecv), Err(SdpError::Malformed(_))));
    let many = "m=audio 4000 RTP/AVP 0\n".repeat(MEDIA_LINES_MAX + 1);
    assert!(matches!(fault(&format!("{HEAD}{}", many.trim())), SdpError::Malformed(_)));
    assert_eq!((SdpError::NoAudio.status(), SdpError::Malformed(String::new()).status()), (488, 400));
}

#[test]
fn the_answers_numbers_are_sent_and_our_own_are_received() {
    let ours = offer(&US, &MediaCaps::g711(), Direction::SendRecv);
    let theirs = lines(&format!(
        "{HEAD}m=audio 4000 RTP/AVP 97 96\na=rtpmap:97 PCMA/8000\na=rtpmap:96 telephone-event/8000\na=sendonly\na=rtcp-mux"
    ));
    let negotiated = accept(&ours, &theirs, &MediaCaps::g711()).unwrap();
    assert_eq!(
        negotiated,
        Negotiated {
            codec: CodecKind::Pcma,
            send_payload_type: 97,
            recv_payload_type: 8,
            telephone_event: Some((96, 101)),
            comfort_noise: false,
            voip_metrics: false,
            ptime_ms: 20,
            direction: Direction::RecvOnly,
            remote_rtp: "198.51.100.9:4000".parse().unwrap(),
            remote_rtcp: "198.51.100.9:4001".parse().unwrap(),
            rtcp_mux: false,
            crypto: None,
            dtls: None,
        }
    );
}

#[test]
fn an_answer_may_refuse_the_stream_or_choose_what_was_not_offered() {
    let ours = offer(&US, &MediaCaps::g711(), Direction::SendRecv);
    let read = |body: &str| accept(&ours, &lines(&format!("{HEAD}{body}")), &MediaCaps::g711()).unwrap_err();
    assert_eq!(read("m=audio 0 RTP/AVP 0"), SdpError::NoAudio);
    assert_eq!(read("m=audio 4000 RTP/AVP 18"), SdpError::NoCommonCodec);
    assert_eq!(read(""), SdpError::NoAudio);
}

#[test]
fn one_codec_is_offered_where_only_one_is_wanted_and_ipv6_is_written_as_such() {
    let caps = MediaCaps {
        codecs: vec![CodecCap { kind: CodecKind::Pcma, fmtp: None }],
        telephone_event: false,
        comfort_noise: false,
        voip_metrics: false,
        ptime_ms: 30,
    };
    let text = offer(&Local { address: "2001:db8::1".parse().unwrap(), ..US }, &caps, Direction::Inactive);
    assert!(text.contains("c=IN IP6 2001:db8::1\r\n") && text.contains("m=audio 10000 RTP/AVP 8\r\n"), "{text}");
    assert!(text.contains("a=ptime:30\r\na=inactive\r\n"), "{text}");
}

#[test]
fn g722_is_offered_and_taken_as_type_9_at_8000_hz_where_it_is_listed_and_left_alone_elsewhere() {
    let kinds = [CodecKind::G722, CodecKind::Pcmu];
    let wide = MediaCaps { codecs: kinds.map(|kind| CodecCap { kind, fmtp: None }).into(), ..MediaCaps::g711() };
    let ours = offer(&US, &wide, Direction::SendRecv);
    assert!(ours.contains("RTP/AVP 9 0 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\n"), "{ours}");
    for line in ["RTP/AVP 0 9", "RTP/AVP 0 9\na=rtpmap:9 g722/8000/1"] {
        let theirs = lines(&format!("{HEAD}m=audio 4000 {line}"));
        let (text, taken) = answer(&theirs, &US, &wide, Direction::SendRecv).expect("an answer");
        assert_eq!((taken.codec, taken.send_payload_type), (CodecKind::G722, 9), "{text}");
        assert!(text.contains("a=rtpmap:9 G722/8000\r\n"), "{text}");
        assert_eq!(accept(&ours, &theirs, &wide).expect("an agreement").codec, CodecKind::Pcmu);
        let (_, narrow) = answer(&theirs, &US, &MediaCaps::g711(), Direction::SendRecv).expect("an answer");
        assert_eq!(narrow.codec, CodecKind::Pcmu);
    }
}

fn with(kinds: &[CodecKind]) -> MediaCaps {
    MediaCaps { codecs: kinds.iter().copied().map(CodecCap::of).collect(), ..MediaCaps::g711() }
}

#[test]
fn opus_is_offered_at_48000_hz_with_two_channels_and_events_of_that_clock_beside_those_of_8000() {
    let ours = offer(&US, &with(&[CodecKind::Opus, CodecKind::Pcma]), Direction::SendRecv);
    let expected = "RTP/AVP 96 8 101 97\r\na=rtpmap:96 opus/48000/2\r\n\
        a=fmtp:96 maxplaybackrate=16000;stereo=0;useinbandfec=1;usedtx=0\r\na=rtpmap:8 PCMA/8000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
        a=rtpmap:97 telephone-event/48000\r\na=fmtp:97 0-15\r\n";
    assert!(ours.contains(expected), "{ours}");
    let alone = offer(&US, &with(&[CodecKind::Opus]), Direction::SendRecv);
    assert!(
        alone.contains("RTP/AVP 96 101\r\n") && alone.contains("a=rtpmap:101 telephone-event/48000\r\n"),
        "{alone}"
    );
    let caps = with(&[CodecKind::Opus, CodecKind::Pcma]);
    for (theirs, codec, numbers, events) in [
        (
            "96 97\na=rtpmap:96 opus/48000/2\na=rtpmap:97 telephone-event/48000",
            CodecKind::Opus,
            (96, 96),
            Some((97, 97)),
        ),
        // Another number than ours, which holds for what is sent there (RFC 3264 section 6.1).
        (
            "111 110\na=rtpmap:111 OPUS/48000/2\na=rtpmap:110 telephone-event/48000",
            CodecKind::Opus,
            (111, 96),
            Some((110, 97)),
        ),
        ("96 101\na=rtpmap:96 opus/48000/2\na=rtpmap:101 telephone-event/8000", CodecKind::Opus, (96, 96), None),
        ("8 101\na=rtpmap:101 telephone-event/8000", CodecKind::Pcma, (8, 8), Some((101, 101))),
    ] {
        let taken =
            accept(&ours, &lines(&format!("{HEAD}m=audio 4000 RTP/AVP {theirs}")), &caps).expect("an agreement");
        assert_eq!((taken.codec, (taken.send_payload_type, taken.recv_payload_type)), (codec, numbers), "{theirs}");
        assert_eq!(taken.telephone_event, events, "{theirs}");
    }
}

#[test]
fn a_browsers_offer_is_answered_with_its_numbers_for_opus_and_the_events_of_its_clock() {
    let theirs = lines(&format!(
        "{HEAD}m=audio 4000 RTP/AVP 111 63 9 0 8 13 110 126\na=rtpmap:111 opus/48000/2\na=rtcp-fb:111 transport-cc\n\
         a=fmtp:111 minptime=10;useinbandfec=1\na=rtpmap:63 red/48000/2\na=fmtp:63 111/111\na=rtpmap:9 G722/8000\n\
         a=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:13 CN/8000\na=rtpmap:110 telephone-event/48000\n\
         a=rtpmap:126 telephone-event/8000"
    ));
    for (first, second, number, events) in
        [(CodecKind::Opus, CodecKind::Pcmu, 111, 110), (CodecKind::Pcmu, CodecKind::Opus, 0, 126)]
    {
        let caps = with(&[first, second]);
        let (text, taken) = answer(&theirs, &US, &caps, Direction::SendRecv).expect("an answer");
        assert_eq!((taken.codec, taken.send_payload_type, taken.recv_payload_type), (first, number, number), "{text}");
        assert_eq!(taken.telephone_event, Some((events, events)), "{text}");
        assert!(text.contains(&format!("RTP/AVP {number} {events}\r\n")), "{text}");
        assert_eq!(text.contains("a=rtpmap:111 opus/48000/2\r\na=fmtp:111 maxplaybackrate="), first == CodecKind::Opus);
    }
    let (_, narrow) = answer(&theirs, &US, &MediaCaps::g711(), Direction::SendRecv).expect("an answer");
    assert_eq!((narrow.codec, narrow.telephone_event), (CodecKind::Pcmu, Some((126, 126))));
}

#[test]
fn opus_with_one_channel_or_another_clock_is_none() {
    for mapping in ["opus/48000", "opus/48000/1", "opus/16000/2", "opus/48000/x"] {
        let theirs = lines(&format!("{HEAD}m=audio 4000 RTP/AVP 96\na=rtpmap:96 {mapping}"));
        let answered = answer(&theirs, &US, &with(&[CodecKind::Opus]), Direction::SendRecv);
        assert_eq!(answered.err(), Some(SdpError::NoCommonCodec), "{mapping}");
    }
}

#[test]
fn dynamic_numbers_are_given_once_each_and_never_that_of_the_events() {
    let caps = with(&[CodecKind::Opus; 40]);
    let text = offer(&US, &caps, Direction::SendRecv);
    let line = text.lines().find_map(|line| line.strip_prefix("m=audio 10000 RTP/AVP ")).expect("a line");
    let mut numbers: Vec<u8> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
    assert_eq!((numbers.len(), numbers.pop()), (32, Some(101)));
    numbers.dedup();
    assert!(numbers.len() == 31 && !numbers.contains(&101) && numbers.iter().all(|number| *number >= 96), "{line}");
}

#[test]
fn random_changes_to_an_offer_never_panic() {
    let mut chance = offhook_units::Entropy::from_number(11);
    let whole = offer(&US, &MediaCaps::g711(), Direction::SendRecv).into_bytes();
    for _ in 0..2_000 {
        let mut bytes = whole.clone();
        for _ in 0..=chance.below(6) {
            let at = chance.below(bytes.len() as u64) as usize;
            if bytes.len() < 2 {
                break;
            }
            match chance.below(3) {
                0 => bytes[at] = chance.next_u32() as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let _ = answer(&bytes, &US, &MediaCaps::g711(), Direction::SendRecv);
        let _ = accept(core::str::from_utf8(&whole).unwrap(), &bytes, &MediaCaps::g711());
    }
}

fn secret(policy: SrtpPolicy) -> Local {
    Local { srtp: Srtp::new(policy, true, &mut offhook_units::Entropy::from_number(1)), ..US }
}

const OFFERED: &str = "a=crypto:2 AEAD_AES_256_GCM_8 inline:AAAA
    a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4
    a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^31
    a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

#[test]
fn the_offerers_first_key_that_we_can_take_is_answered_under_its_tag() {
    let us = secret(SrtpPolicy::Accept);
    for proto in ["RTP/SAVP", "RTP/SAVPF", "RTP/AVP"] {
        let offer = lines(&format!("{HEAD}m=audio 5000 {proto} 0\n{OFFERED}"));
        let (text, negotiated) = answer(&offer, &us, &MediaCaps::g711(), Direction::SendRecv).unwrap();
        assert!(text.contains(&format!("m=audio 10000 {proto} 0\r\n")), "{text}");
        assert_eq!(text.matches("a=crypto").count(), 1);
        assert!(text.contains("\r\na=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:"), "{text}");
        let ours = negotiated.crypto.unwrap();
        let theirs = accept(core::str::from_utf8(&offer).unwrap(), text.as_bytes(), &MediaCaps::g711()).unwrap();
        let theirs = theirs.crypto.unwrap();
        assert_eq!((ours.send, ours.receive), (theirs.receive, theirs.send));
    }
}

#[test]
fn two_of_us_agree_on_keys_whatever_both_policies_are() {
    use SrtpPolicy::{Accept, Off, Optional, Required};
    for (theirs, ours, encrypted) in [
        (Off, Off, Ok(false)),
        (Off, Required, Err(SdpError::Plain)),
        (Accept, Accept, Ok(false)),
        (Optional, Off, Ok(false)),
        (Optional, Accept, Ok(true)),
        (Optional, Required, Ok(true)),
        (Required, Off, Err(SdpError::Encrypted)),
        (Required, Accept, Ok(true)),
    ] {
        let text = offer(&secret(theirs), &MediaCaps::g711(), Direction::SendRecv);
        let answered = answer(text.as_bytes(), &secret(ours), &MediaCaps::g711(), Direction::SendRecv);
        assert_eq!(answered.as_ref().map(|(_, agreed)| agreed.crypto.is_some()).map_err(Clone::clone), encrypted);
        if let Ok((answer, agreed)) = answered {
            let accepted = accept(&text, answer.as_bytes(), &MediaCaps::g711()).unwrap();
            let mirrored = agreed.crypto.map(|keys| Crypto { send: keys.receive, receive: keys.send });
            assert_eq!(accepted.crypto, mirrored, "{theirs:?} {ours:?}");
        }
    }
}

#[test]
fn an_answer_that_takes_the_key_away_from_an_encrypted_offer_is_no_agreement() {
    let text = offer(&secret(SrtpPolicy::Required), &MediaCaps::g711(), Direction::SendRecv);
    let answered = lines(&format!("{HEAD}m=audio 5000 RTP/SAVP 0"));
    assert_eq!(accept(&text, &answered, &MediaCaps::g711()), Err(SdpError::Encrypted));
    let answered = lines(&format!("{HEAD}m=audio 5000 RTP/AVP 0"));
    assert_eq!(accept(&text, &answered, &MediaCaps::g711()), Err(SdpError::Plain));
    // What we offered without need may be left aside.
    let text = offer(&secret(SrtpPolicy::Optional), &MediaCaps::g711(), Direction::SendRecv);
    assert_eq!(accept(&text, &answered, &MediaCaps::g711()).unwrap().crypto, None);
}

#[test]
fn of_an_encrypted_and_a_plain_stream_the_first_that_we_can_take_is_answered() {
    let both = lines(&format!("{HEAD}m=audio 5000 RTP/SAVP 0\n{OFFERED}\nm=audio 5002 RTP/AVP 0"));
    let (text, agreed) = answer(&both, &secret(SrtpPolicy::Accept), &MediaCaps::g711(), Direction::SendRecv).unwrap();
    assert!(agreed.crypto.is_some() && text.contains("m=audio 0 RTP/AVP 0"), "{text}");
    let (text, agreed) = answer(&both, &US, &MediaCaps::g711(), Direction::SendRecv).unwrap();
    assert!(
        agreed.crypto.is_none() && text.contains("m=audio 0 RTP/SAVP 0") && text.contains("m=audio 10000 RTP/AVP 0")
    );
    assert_eq!(agreed.remote_rtp.port(), 5_002);
}

#[test]
fn keys_never_stand_in_debug_text() {
    let text = format!("{:?}", secret(SrtpPolicy::Required));
    assert!(text.contains("SrtpKeys(..)") && text.len() < 300, "{text}");
}

#[test]
fn comfort_noise_is_agreed_on_as_type_13_where_both_have_it_and_the_clock_is_8000() {
    let with_noise = |kinds: &[CodecKind]| MediaCaps { comfort_noise: true, ..with(kinds) };
    let (loud, quiet) = (with(&[CodecKind::Pcma]), with_noise(&[CodecKind::Opus, CodecKind::Pcma]));
    let ours = offer(&US, &quiet, Direction::SendRecv);
    assert!(ours.contains("RTP/AVP 96 8 13 101 97\r\n") && ours.contains("a=rtpmap:13 CN/8000\r\n"), "{ours}");
    assert!(!offer(&US, &loud, Direction::SendRecv).contains("CN/8000"));
    assert!(!offer(&US, &with_noise(&[CodecKind::Opus]), Direction::SendRecv).contains("CN/8000"));
    let rows = [
        ("8 13", true),
        ("8 13\na=rtpmap:13 cn/8000", true),
        ("8", false),
        // Another meaning or clock of the number, and another number, are not what is meant by it.
        ("8 13\na=rtpmap:13 CN/16000", false),
        ("8 13\na=rtpmap:13 L16/8000", false),
        ("8 98\na=rtpmap:98 CN/8000", false),
        ("96 13\na=rtpmap:96 opus/48000/2", false),
    ];
    for (line, expected) in rows {
        let theirs = lines(&format!("{HEAD}m=audio 4000 RTP/AVP {line}"));
        let (text, taken) = answer(&theirs, &US, &quiet, Direction::SendRecv).expect("an answer");
        assert_eq!((taken.comfort_noise, text.contains("CN/8000")), (expected, expected), "{line}: {text}");
        assert_eq!(accept(&ours, &theirs, &quiet).expect("an agreement").comfort_noise, expected, "{line}");
        let answered = answer(&theirs, &US, &loud, Direction::SendRecv);
        assert!(answered.is_err() || answered.is_ok_and(|(text, taken)| !taken.comfort_noise && !text.contains("CN")));
    }
}

#[test]
fn l16_is_offered_and_taken_at_8000_hz_with_one_channel_and_at_no_other_rate() {
    let caps = with(&[CodecKind::L16]);
    let ours = offer(&US, &caps, Direction::SendRecv);
    assert!(ours.contains("RTP/AVP 96 101\r\na=rtpmap:96 L16/8000\r\na=rtpmap:101 "), "{ours}");
    let taken = |formats: &str| {
        let theirs = lines(&format!("{HEAD}m=audio 4000 RTP/AVP {formats}"));
        answer(&theirs, &US, &caps, Direction::SendRecv).map(|(_, taken)| (taken.codec, taken.send_payload_type))
    };
    assert_eq!(taken("107\na=rtpmap:107 l16/8000"), Ok((CodecKind::L16, 107)));
    for formats in ["107\na=rtpmap:107 L16/8000/2", "107\na=rtpmap:107 L16/16000", "10 11"] {
        assert_eq!(taken(formats), Err(SdpError::NoCommonCodec), "{formats}");
    }
}
