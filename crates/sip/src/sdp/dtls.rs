//! DTLS (RFC 5763, RFC 8122) and ICE (RFC 8839) in session descriptions: read into plain data, and written for a leg that has
//! parameters of its own. Lines that cannot be read are passed over, as if they were of an extension that is not known.

use core::net::{IpAddr, SocketAddr};

use offhook_plan::{
    Candidate, CandidateHost, CandidateKind, CandidateTransport, Dtls, Fingerprint, HashKind, Ice, Setup, TcpKind,
};

use super::lines::{Lines, Media, Session};

/// Most candidates of a stream; those beyond are left out.
pub const CANDIDATES_MAX: usize = 64;
/// Most fingerprints of a stream; those beyond are left out.
pub const FINGERPRINTS_MAX: usize = 8;
/// Most ICE options; those beyond are left out.
pub const ICE_OPTIONS_MAX: usize = 16;
/// Longest host name of a candidate.
const NAME_BYTES_MAX: usize = 255;

/// What a stream says of the handshake: of its own, or what its session says of all. None without a fingerprint that can be
/// held against a certificate. `unsaid` is the part of who does not name it (RFC 4145 section 4.1).
pub(super) fn dtls_of(session: &Session<'_>, media: &Media<'_>, unsaid: Setup) -> Option<Dtls> {
    let own = media.has("fingerprint");
    let of_all = session.values("fingerprint").filter(|_| !own);
    let lines = media.values("fingerprint").chain(of_all).take(FINGERPRINTS_MAX);
    let fingerprints: Vec<Fingerprint> = lines.filter_map(fingerprint).collect();
    let setup = match value(session, media, "setup") {
        Some(text) => find(&Setup::ALL, text)?,
        None => unsaid,
    };
    (!fingerprints.is_empty()).then(|| Dtls { fingerprints, setup, ice: ice_of(session, media) })
}

/// Whether an offer wants the keys of an audio stream to come by DTLS.
pub fn asks_for_dtls(offer: &[u8]) -> bool {
    let is_asked = |media: &Media<'_>| media.kind == "audio" && media.proto.starts_with("UDP/TLS/");
    Session::parse(offer).is_ok_and(|session| session.medias.iter().any(is_asked))
}

/// The user part of ICE that an offer's first audio stream has, where it has one.
pub fn ufrag_of(offer: &[u8]) -> Option<String> {
    let session = Session::parse(offer).ok()?;
    let media = session.medias.iter().find(|media| media.kind == "audio")?;
    value(&session, media, "ice-ufrag").map(str::to_owned)
}

/// Who takes which part where `offered` is answered by one who would like to be `wanted`: the answerer's (RFC 5763 section 5).
pub(super) const fn answering(offered: Setup, wanted: Setup) -> Setup {
    match (offered, wanted) {
        (Setup::ActPass, Setup::Passive) | (Setup::Active, _) => Setup::Passive,
        (Setup::ActPass, Setup::Active | Setup::ActPass) | (Setup::Passive, _) => Setup::Active,
    }
}

/// Writes the lines of a stream whose keys come by DTLS.
pub(super) fn write(text: &mut Lines, ours: &Dtls, setup: Setup) {
    if let Some(ice) = &ours.ice {
        text.attribute("ice-ufrag", &ice.ufrag);
        text.attribute("ice-pwd", &ice.pwd);
        if !ice.options.is_empty() {
            text.attribute("ice-options", ice.options.join(" "));
        }
        ice.candidates.iter().for_each(|candidate| text.attribute("candidate", candidate_text(candidate)));
        if ice.complete {
            text.flag("end-of-candidates");
        }
    }
    for Fingerprint { hash, bytes } in &ours.fingerprints {
        let name = HashKind::ALL.iter().find(|(kind, ..)| kind == hash).map_or("", |(_, name, _)| name);
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        text.attribute("fingerprint", format_args!("{name} {}", hex.join(":")));
    }
    text.attribute("setup", name_of(&Setup::ALL, setup));
}

fn ice_of(session: &Session<'_>, media: &Media<'_>) -> Option<Ice> {
    // RFC 8839 section 5.4.
    let is_credential =
        |text: &&str, least: usize| (least..=256).contains(&text.len()) && text.bytes().all(is_ice_byte);
    let ufrag = value(session, media, "ice-ufrag").filter(|text| is_credential(text, 4))?.to_owned();
    let pwd = value(session, media, "ice-pwd").filter(|text| is_credential(text, 22))?.to_owned();
    let options = value(session, media, "ice-options").into_iter().flat_map(str::split_ascii_whitespace);
    let options = options.filter(|option| option.bytes().all(is_ice_byte)).take(ICE_OPTIONS_MAX);
    Some(Ice {
        ufrag,
        pwd,
        lite: session.has("ice-lite"),
        options: options.map(str::to_owned).collect(),
        candidates: media.values("candidate").map(str::trim).take(CANDIDATES_MAX).filter_map(candidate).collect(),
        complete: media.has("end-of-candidates") || session.has("end-of-candidates"),
    })
}

/// `HASH AA:BB:...`, as long as the hash is.
fn fingerprint(text: &str) -> Option<Fingerprint> {
    let (name, hex) = text.trim().split_once(' ')?;
    let (hash, _, length) = HashKind::ALL.into_iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name))?;
    let byte = |pair: &str| {
        (pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .then(|| u8::from_str_radix(pair, 16).ok())?
    };
    let bytes: Vec<u8> = hex.trim().split(':').take(length + 1).map(byte).collect::<Option<_>>()?;
    (bytes.len() == length).then_some(Fingerprint { hash, bytes })
}

/// `FOUNDATION COMPONENT TRANSPORT PRIORITY HOST PORT typ KIND [raddr ADDRESS rport PORT] [NAME VALUE]...`
fn candidate(text: &str) -> Option<Candidate> {
    let mut words = text.split_ascii_whitespace();
    let foundation = words.next().filter(|text| text.len() <= 32 && text.bytes().all(is_ice_byte))?;
    let component = words.next()?.parse().ok().filter(|component| (1..=256).contains(component))?;
    let (transport, priority) = (words.next()?, words.next()?.parse().ok()?);
    let (host, port) = (words.next()?, words.next()?.parse().ok()?);
    let kind = words.next().filter(|word| *word == "typ").and_then(|_| find(&CandidateKind::ALL, words.next()?))?;
    let (mut address, mut related_port, mut tcp) = (None, None, None);
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        match name {
            "raddr" => address = value.parse::<IpAddr>().ok(),
            "rport" => related_port = value.parse().ok(),
            "tcptype" => tcp = find(&TcpKind::ALL, value),
            _ => {}
        }
    }
    let transport = match (transport.to_ascii_uppercase().as_str(), tcp) {
        ("UDP", _) => CandidateTransport::Udp,
        ("TCP", Some(kind)) => CandidateTransport::Tcp(kind),
        _ => return None,
    };
    let is_name = |text: &str| {
        text.len() <= NAME_BYTES_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    };
    let host = match host.parse() {
        Ok(address) => CandidateHost::Address(address),
        Err(_) => CandidateHost::Name(Some(host).filter(|host| is_name(host))?.to_owned()),
    };
    let related = address.zip(related_port).map(|(address, port)| SocketAddr::new(address, port));
    Some(Candidate { foundation: foundation.to_owned(), component, transport, priority, host, port, kind, related })
}

fn candidate_text(candidate: &Candidate) -> String {
    let Candidate { foundation, component, transport, priority, host, port, kind, related } = candidate;
    let host = match host {
        CandidateHost::Address(address) => address.to_string(),
        CandidateHost::Name(name) => name.clone(),
    };
    let kind = name_of(&CandidateKind::ALL, *kind);
    let (transport, tcp) = match transport {
        CandidateTransport::Udp => ("UDP", String::new()),
        CandidateTransport::Tcp(tcp) => ("TCP", format!(" tcptype {}", name_of(&TcpKind::ALL, *tcp))),
    };
    let related = related.map(|base| format!(" raddr {} rport {}", base.ip(), base.port())).unwrap_or_default();
    format!("{foundation} {component} {transport} {priority} {host} {port} typ {kind}{related}{tcp}")
}

/// The first value of a name: of the stream, otherwise of the session.
fn value<'a>(session: &Session<'a>, media: &Media<'a>, name: &str) -> Option<&'a str> {
    media.values(name).chain(session.values(name)).next().map(str::trim)
}

/// `ice-char`, RFC 8839 section 5.1.
const fn is_ice_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

fn find<T: Copy>(all: &[(T, &str)], text: &str) -> Option<T> {
    all.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(kind, _)| *kind)
}

fn name_of<T: Copy + PartialEq>(all: &[(T, &'static str)], wanted: T) -> &'static str {
    all.iter().find(|(kind, _)| *kind == wanted).map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use offhook_plan::{Direction, MediaCaps};

    use super::super::{Local, SdpError, Srtp, accept, answer, answer_by_dtls, offer_by_dtls};
    use super::*;

    const US: Local =
        Local { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 10_000, session_id: 7, version: 1, srtp: Srtp::OFF };

    fn ours(setup: Setup, lite: bool) -> Dtls {
        let text = "1 1 UDP 2130706431 127.0.0.1 10000 typ host";
        Dtls {
            fingerprints: vec![Fingerprint { hash: HashKind::Sha256, bytes: (0..32).collect() }],
            setup,
            ice: Some(Ice {
                ufrag: "ours".to_owned(),
                pwd: "a-password+of/22=characters".replace('-', "/"),
                lite,
                options: vec!["ice2".to_owned()],
                candidates: vec![candidate(text).expect("a candidate")],
                complete: true,
            }),
        }
    }

    fn offered(lines: &str) -> String {
        let sha256 = "AB:".repeat(31) + "AB";
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\n\
             c=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\na=fingerprint:sha-256 {sha256}\r\n\
             a=ice-ufrag:4cXq\r\na=ice-pwd:by5GZGG1lw+040DWA6hXM5Bz\r\n{lines}\
             m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=rtcp-mux\r\n"
        )
    }

    #[test]
    fn a_browsers_offer_is_taken_by_a_leg_with_parameters_of_its_own_and_refused_with_488_by_others() {
        let candidates = "a=setup:actpass\r\na=ice-options:trickle ice2\r\na=candidate:1 1 udp 2113937151 x.local 5000 typ host\r\n\
                          a=candidate:2 1 udp 1677729535 192.0.2.7 5001 typ srflx raddr 10.0.0.1 rport 5000 generation 0\r\n\
                          a=candidate:3 1 tcp 1518280447 10.0.0.1 9 typ host tcptype active\r\n\
                          a=candidate:4 1 sctp 1 10.0.0.1 9 typ host\r\na=end-of-candidates\r\n";
        let offer = offered(candidates);
        let caps = MediaCaps::g711();
        let plain = answer(offer.as_bytes(), &US, &caps, Direction::SendRecv).expect_err("without parameters");
        assert_eq!((plain.status(), plain), (488, SdpError::Encrypted));
        let us = ours(Setup::Passive, false);
        let (text, agreed) = answer_by_dtls(offer.as_bytes(), &US, &us, &caps, Direction::SendRecv).expect("an answer");
        assert_eq!(agreed.direction, Direction::SendRecv, "0.0.0.0 is no hold where the address comes by ICE");
        assert!(agreed.rtcp_mux && agreed.crypto.is_none());
        let peer = agreed.dtls.expect("the peer's part");
        assert_eq!((peer.setup, peer.fingerprints[0].bytes.len()), (Setup::Active, 32));
        let ice = peer.ice.expect("ICE");
        assert_eq!((&*ice.ufrag, ice.lite, ice.complete), ("4cXq", false, true));
        assert_eq!(ice.options, ["trickle", "ice2"]);
        let kinds: Vec<_> = ice.candidates.iter().map(|found| (found.kind, found.transport, found.related)).collect();
        assert_eq!(
            kinds,
            [
                (CandidateKind::Host, CandidateTransport::Udp, None),
                (CandidateKind::ServerReflexive, CandidateTransport::Udp, Some("10.0.0.1:5000".parse().expect("one"))),
                (CandidateKind::Host, CandidateTransport::Tcp(TcpKind::Active), None),
            ]
        );
        assert_eq!(ice.candidates[0].host, CandidateHost::Name("x.local".to_owned()));
        for line in [
            "a=group:BUNDLE 0",
            "m=audio 10000 UDP/TLS/RTP/SAVPF 0",
            "a=rtcp-mux",
            "a=mid:0",
            "a=ice-ufrag:ours",
            "a=candidate:1 1 UDP 2130706431 127.0.0.1 10000 typ host",
            "a=setup:passive",
            "m=video 0 UDP/TLS/RTP/SAVPF 96",
            "a=mid:1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        let accepted = accept(&offer, text.as_bytes(), &caps).expect("the browser takes it");
        assert_eq!(accepted.dtls.expect("our part"), Box::new(us));
    }

    #[test]
    fn two_of_us_agree_who_begins_the_handshake() {
        let caps = MediaCaps::g711();
        for (setup, lite) in [(Setup::Active, false), (Setup::Passive, true), (Setup::ActPass, false)] {
            let text = offer_by_dtls(&US, &ours(Setup::ActPass, lite), &caps, Direction::SendRecv);
            let us = ours(setup, lite);
            let (answer, agreed) =
                answer_by_dtls(text.as_bytes(), &US, &us, &caps, Direction::SendRecv).expect("an answer");
            let accepted = accept(&text, answer.as_bytes(), &caps).expect("an agreement");
            let (theirs, ours) = (agreed.dtls.expect("theirs").setup, accepted.dtls.expect("ours"));
            let expected = if setup == Setup::Passive { Setup::Passive } else { Setup::Active };
            assert_eq!((ours.setup, ours.ice.map(|ice| ice.lite)), (expected, Some(lite)));
            assert_ne!(theirs, expected);
            assert!(accepted.rtcp_mux && answer.contains("a=group:BUNDLE 0\r\n"), "{answer}");
            let open =
                answer.replace("a=setup:active", "a=setup:actpass").replace("a=setup:passive", "a=setup:actpass");
            assert!(matches!(accept(&text, open.as_bytes(), &caps), Err(SdpError::Malformed(_))));
            let plain = answer.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP");
            assert_eq!(accept(&text, plain.as_bytes(), &caps), Err(SdpError::Encrypted));
        }
    }

    #[test]
    fn what_cannot_be_held_against_a_certificate_is_no_handshake() {
        let us = ours(Setup::Active, false);
        let read = |offer: &str| {
            let answered = answer_by_dtls(offer.as_bytes(), &US, &us, &MediaCaps::g711(), Direction::SendRecv);
            answered.map(|(_, agreed)| agreed.dtls.map(|dtls| (dtls.setup, dtls.ice.is_some())))
        };
        let good = offered("a=setup:active\r\n");
        assert_eq!(read(&good), Ok(Some((Setup::Active, true))));
        // RFC 4145 section 4.1: who says nothing begins.
        assert_eq!(read(&offered("")), Ok(Some((Setup::Active, true))));
        assert_eq!(read(&offered("a=setup:passive\r\n")), Ok(Some((Setup::Passive, true))));
        assert_eq!(read(&good.replace("a=ice-pwd", "a=x")), Ok(Some((Setup::Active, false))));
        assert_eq!(
            read(&good.replace("040DWA6hXM5Bz", "040")),
            Ok(Some((Setup::Active, false))),
            "a password too short"
        );
        for bad in ["a=setup:holdconn\r\n", "a=setup:whoever\r\n"] {
            assert_eq!(read(&offered(bad)), Err(SdpError::Encrypted), "{bad}");
        }
        for (from, to) in
            [("sha-256 AB:", "md5 AB:"), ("sha-256 AB:AB:", "sha-256 AB:"), ("sha-256 AB:", "sha-256 +B:")]
        {
            assert_eq!(read(&good.replace(from, to)), Err(SdpError::Encrypted), "{to}");
        }
        let own = "a=fingerprint:sha-256 ".to_owned();
        let of_all =
            good.replace(&own, "a=x:").replace("t=0 0\r\n", &format!("t=0 0\r\n{own}{}AB\r\n", "AB:".repeat(31)));
        assert_eq!(read(&of_all), Ok(Some((Setup::Active, true))), "the session's counts where the stream has none");
    }

    #[test]
    fn of_100_candidates_64_are_kept_and_lines_that_are_none_are_passed_over() {
        let many = "a=candidate:1 1 UDP 1 10.0.0.1 9 typ host\r\n".repeat(100);
        let (_, agreed) = answer_by_dtls(
            offered(&many).as_bytes(),
            &US,
            &ours(Setup::Active, false),
            &MediaCaps::g711(),
            Direction::SendRecv,
        )
        .expect("an answer");
        let kept = agreed.dtls.and_then(|dtls| dtls.ice).map(|ice| ice.candidates.len());
        assert_eq!(kept, Some(CANDIDATES_MAX));
        for bad in [
            "",
            "1 1 UDP 1 10.0.0.1 9",
            "1 0 UDP 1 10.0.0.1 9 typ host",
            "1 1 UDP -1 10.0.0.1 9 typ host",
            "1 1 UDP 1 10.0.0.1 99999 typ host",
            "1 1 UDP 1 a<b 9 typ host",
            "1 1 UDP 1 10.0.0.1 9 typ moon",
            "1 1 TCP 1 10.0.0.1 9 typ host",
            "a-foundation-that-is-longer-than-32-characters 1 UDP 1 10.0.0.1 9 typ host",
        ] {
            assert_eq!(candidate(bad), None, "{bad}");
        }
        let text = "f 2 TCP 7 2001:db8::1 9 typ relay raddr 10.0.0.1 rport 5 tcptype so";
        assert_eq!(candidate_text(&candidate(text).expect("a candidate")), text);
    }
}
