//! SDP offer and answer, RFC 3264, for one audio stream over [`MediaCaps`].
//!
//! [`lines`] reads and writes the lines and lets nearly everything through; what may be offered and answered is decided
//! here. An answer names one codec and, where both have them, comfort noise and telephone-event, so that nobody changes codecs in
//! mid-call.

mod crypto;
mod dtls;
mod lines;
mod metrics;
mod streams;
#[cfg(test)]
mod tests;

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use std::collections::BTreeSet;

use offhook_plan::{
    COMFORT_NOISE, COMFORT_NOISE_CLOCK, CodecCap, CodecKind, Crypto, Direction, Dtls, MediaCaps, Negotiated, Setup,
};

use self::lines::{Attribute, Lines, Media, Session};
pub use crypto::{Srtp, SrtpKeys, SrtpPolicy};
pub use dtls::{CANDIDATES_MAX, FINGERPRINTS_MAX, ICE_OPTIONS_MAX, asks_for_dtls, ufrag_of};
pub use streams::{Taken, accept_streams, answer_streams, offer_streams};

/// Most m-lines in a description; more are refused.
pub const MEDIA_LINES_MAX: usize = 32;
/// Most payload types looked at in one m-line.
pub const PAYLOAD_TYPES_MAX: usize = 64;
/// Payload types for what has no static one, RFC 3551 section 6.
const DYNAMIC: RangeInclusive<u8> = 96..=127;
/// What nearly everybody uses for telephone-event at 8 kHz; peers that ignore `rtpmap` expect it.
const TELEPHONE_EVENT: u8 = 101;
/// The sixteen DTMF digits, RFC 4733 section 3.2.
const EVENTS: &str = "0-15";

/// Our end of a session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// Where we listen.
    pub address: IpAddr,
    /// Where we listen for RTP; RTCP is on the next port unless multiplexed.
    pub port: u16,
    /// Second field of `o=`: the same for all descriptions of one session.
    pub session_id: u64,
    /// Third field of `o=`: rises with every changed description of one session.
    pub version: u64,
    /// What we want of encryption.
    pub srtp: Srtp,
}

/// Why there is no agreement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// The peer broke RFC 8866 or RFC 3264. Answer an offer 400; end the call where it is an answer.
    #[error("the session description is malformed: {0}")]
    Malformed(String),
    /// The peer offers no audio over RTP, or refused ours. Answer 488.
    #[error("there is no audio stream over RTP/AVP, RTP/AVPF, RTP/SAVP or RTP/SAVPF")]
    NoAudio,
    /// The peer wants encrypted media only, which is switched off here, must not be agreed on over this transport, or comes
    /// with no key that we can take. Answer 488.
    #[error("the audio stream is encrypted, and not in a way that we can or may do")]
    Encrypted,
    /// The peer has plain media only, and it must be encrypted. Answer 488.
    #[error("the audio stream is not encrypted, and must be")]
    Plain,
    /// The peer shares no codec with us. Answer 488, or change the capabilities.
    #[error("there is no codec in common")]
    NoCommonCodec,
    /// The peer gives a host name for its media; we look none up. Answer 488.
    #[error("the media address `{0}` is no address")]
    NoAddress(String),
}

impl SdpError {
    /// The status that an offer with this fault is refused with.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::NoAudio | Self::Encrypted | Self::Plain | Self::NoCommonCodec | Self::NoAddress(_) => 488,
        }
    }
}

/// Our offer: every codec of `caps` in order, then comfort noise, and telephone-event at each of their clocks.
pub fn offer(local: &Local, caps: &MediaCaps, direction: Direction) -> String {
    let proto = if local.srtp.is_required() { "RTP/SAVP" } else { "RTP/AVP" };
    let mut text = begun(local);
    text.plain(ALWAYS);
    offered(&mut text, local, proto, caps, direction, false);
    local.srtp.write_offered(&mut text);
    text.into_text()
}

/// The same for a leg whose keys come by DTLS, with what it says of it: as browsers offer, RTCP on RTP's port and the stream
/// a bundle of its own. Either end may begin the handshake.
pub fn offer_by_dtls(local: &Local, ours: &Dtls, caps: &MediaCaps, direction: Direction) -> String {
    let mut text = begun(local);
    text.plain(ALWAYS);
    text.attribute("group", "BUNDLE 0");
    if ours.ice.as_ref().is_some_and(|ice| ice.lite) {
        text.flag("ice-lite");
    }
    offered(&mut text, local, "UDP/TLS/RTP/SAVPF", caps, direction, true);
    text.attribute("mid", "0");
    dtls::write(&mut text, ours, Setup::ActPass);
    text.into_text()
}

/// The one stream of our offer.
fn offered(text: &mut Lines, local: &Local, proto: &str, caps: &MediaCaps, direction: Direction, rtcp_mux: bool) {
    let mut free = DYNAMIC.filter(|payload_type| *payload_type != TELEPHONE_EVENT);
    let mut formats: Vec<Format<'_>> = Vec::with_capacity(caps.codecs.len() + 2);
    for cap in &caps.codecs {
        let Some(payload_type) = cap.kind.static_payload_type().or_else(|| free.next()) else { break };
        formats.push(Format::of(cap, payload_type));
    }
    if caps.comfort_noise && formats.iter().any(|format| format.clock == COMFORT_NOISE_CLOCK) {
        formats.push(Format::NOISE);
    }
    if caps.telephone_event {
        // RFC 4733 section 2.1: events have the clock of the codec that they stand in for, so each clock has its own.
        let clocks: BTreeSet<u32> = formats.iter().map(|format| format.clock).collect();
        let mut numbers = core::iter::once(TELEPHONE_EVENT).chain(free);
        formats.extend(clocks.into_iter().zip(&mut numbers).map(|(clock, number)| Format::events(number, clock)));
    }
    audio(text, proto, local.port, &formats, caps.ptime_ms, direction, rtcp_mux);
    if caps.voip_metrics {
        metrics::ask(text);
    }
}

/// Our answer to `offer`, and what it agrees on. `direction` is what we would like; the answer never says more than the
/// offer allows.
pub fn answer(
    offer: &[u8],
    local: &Local,
    caps: &MediaCaps,
    direction: Direction,
) -> Result<(String, Negotiated), SdpError> {
    answer_with(offer, local, None, caps, direction)
}

/// As [`answer`], for a leg that says `ours` of DTLS: a stream whose keys come by DTLS can be taken. What is agreed on names
/// the peer's part in the handshake; ours is as `ours` says, where the offer leaves the choice.
pub fn answer_by_dtls(
    offer: &[u8],
    local: &Local,
    ours: &Dtls,
    caps: &MediaCaps,
    direction: Direction,
) -> Result<(String, Negotiated), SdpError> {
    answer_with(offer, local, Some(ours), caps, direction)
}

fn answer_with(
    offer: &[u8],
    local: &Local,
    dtls: Option<&Dtls>,
    caps: &MediaCaps,
    direction: Direction,
) -> Result<(String, Negotiated), SdpError> {
    let offered = Session::parse(offer)?;
    let mut chosen = None;
    let mut fault = SdpError::NoAudio;
    for (index, media) in offered.medias.iter().enumerate() {
        let stream = Stream::of(&offered, media, Setup::Active);
        match stream.and_then(|stream| Ok((stream.choose(caps)?, stream.secured(&local.srtp, dtls)?, stream))) {
            Ok(taken) => {
                chosen = Some((index, taken));
                break;
            }
            Err(error) => fault = fault.worse(error),
        }
    }
    let Some((index, (choice, secured, stream))) = chosen else { return Err(fault) };

    let ptime_ms = stream.ptime(caps.ptime_ms);
    let direction = both(direction, stream.direction.mirrored());
    let formats = Format::chosen(&choice);

    let mut text = begun(local);
    // RFC 3264 section 6: the t= line of the answer equals that of the offer.
    offered.times.iter().for_each(|line| text.plain(line));
    if offered.times.is_empty() {
        text.plain(ALWAYS);
    }
    if let Some(mid) = bundled(&offered, &offered.medias[index], stream.rtcp_mux) {
        text.attribute("group", format_args!("BUNDLE {mid}"));
    }
    if secured.peer.is_some() && dtls.and_then(|ours| ours.ice.as_ref()).is_some_and(|ice| ice.lite) {
        text.flag("ice-lite");
    }
    for (at, media) in offered.medias.iter().enumerate() {
        if at == index {
            audio(&mut text, media.proto, local.port, &formats, ptime_ms, direction, stream.rtcp_mux);
        } else {
            // A stream that is not wanted: the same line with port 0, RFC 3264 section 6.
            text.line(format_args!("m={} 0 {} {}", media.kind, media.proto, media.fmt));
        }
        // RFC 5888 section 9: a line that is named is named in the answer.
        if let Some(mid) = mid(media) {
            text.attribute("mid", mid);
        }
        if at == index {
            // RFC 3611 section 5.2: whoever asks is told, and may be asked.
            if stream.voip_metrics {
                metrics::ask(&mut text);
            }
            text.append(&secured.lines);
        }
    }
    let negotiated = agree(&stream, &choice, secured, ptime_ms, direction);
    Ok((text.into_text(), negotiated))
}

/// What our answer to a stream agrees on.
fn agree(stream: &Stream<'_>, choice: &Choice<'_>, secured: Secured, ptime_ms: u8, direction: Direction) -> Negotiated {
    Negotiated {
        codec: choice.cap.kind,
        send_payload_type: choice.payload_type,
        recv_payload_type: choice.payload_type,
        telephone_event: choice.telephone_event.map(|payload_type| (payload_type, payload_type)),
        comfort_noise: choice.comfort_noise,
        voip_metrics: stream.voip_metrics,
        ptime_ms,
        direction,
        remote_rtp: stream.rtp,
        remote_rtcp: stream.rtcp,
        rtcp_mux: stream.rtcp_mux,
        crypto: secured.crypto,
        dtls: secured.peer,
    }
}

/// What the peer's `answer` to `our_offer` agrees on.
pub fn accept(our_offer: &str, answer: &[u8], caps: &MediaCaps) -> Result<Negotiated, SdpError> {
    let ours = Session::parse(our_offer.as_bytes())?;
    let theirs = Session::parse(answer)?;
    // RFC 3264 section 6: the answer's lines stand in the order of the offer's.
    let mut fault = SdpError::NoAudio;
    let pair = ours.medias.iter().zip(&theirs.medias).find_map(|(our_media, their_media)| {
        let theirs = || Stream::of(&theirs, their_media, Setup::Passive);
        let both = Stream::of(&ours, our_media, Setup::ActPass).and_then(|our| Ok((our, theirs()?)));
        both.map_err(|error| fault = fault.clone().worse(error)).ok()
    });
    let Some((ours, theirs)) = pair else { return Err(fault) };
    agree_with(&ours, &theirs, caps)
}

/// What a stream of ours and the peer's answer to it agree on.
fn agree_with(ours: &Stream<'_>, theirs: &Stream<'_>, caps: &MediaCaps) -> Result<Negotiated, SdpError> {
    // The first of theirs that we offered: RFC 3264 section 7 wants the answer's numbers when sending, ours when receiving.
    let known = |kind: CodecKind| caps.codecs.iter().any(|cap| cap.kind == kind);
    let (sent, received) = theirs
        .formats
        .iter()
        .filter_map(|their| Some((their, their.kind().filter(|kind| known(*kind))?)))
        .find_map(|(their, kind)| Some((their, ours.formats.iter().find(|our| our.kind() == Some(kind))?)))
        .ok_or(SdpError::NoCommonCodec)?;
    let codec = sent.kind().ok_or(SdpError::NoCommonCodec)?;
    let telephone_event = theirs.events(codec.clock()).zip(ours.events(codec.clock()));
    let rtcp_mux = ours.rtcp_mux && theirs.rtcp_mux;
    let crypto = crypto::agreed(&ours.crypto, &theirs.crypto);
    let dtls = match (&ours.dtls, theirs.dtls.clone()) {
        (Some(_), Some(theirs)) if theirs.setup != Setup::ActPass => Some(theirs),
        (Some(_), Some(_)) => {
            return Err(SdpError::Malformed("an answer leaves it open who begins the handshake".into()));
        }
        (Some(_), None) | (None, Some(_)) => return Err(SdpError::Encrypted),
        (None, None) => None,
    };
    if crypto.is_none() && dtls.is_none() {
        // A peer that answers an offer with keys by a plain stream may do so only where ours could be plain too.
        match (ours.secure, theirs.secure) {
            (true, false) => return Err(SdpError::Plain),
            (true | false, true) => return Err(SdpError::Encrypted),
            (false, false) => {}
        }
    }
    Ok(Negotiated {
        codec,
        send_payload_type: sent.payload_type,
        recv_payload_type: received.payload_type,
        telephone_event: telephone_event.filter(|_| caps.telephone_event),
        comfort_noise: caps.comfort_noise && theirs.knows_noise(codec) && ours.knows_noise(codec),
        voip_metrics: theirs.voip_metrics,
        ptime_ms: theirs.ptime(caps.ptime_ms),
        direction: both(ours.direction, theirs.direction.mirrored()),
        remote_rtp: theirs.rtp,
        remote_rtcp: if theirs.rtcp_mux && !rtcp_mux { next_port(theirs.rtp) } else { theirs.rtcp },
        rtcp_mux,
        crypto,
        dtls,
    })
}

/// One line of `a=rtpmap`.
struct Format<'a> {
    payload_type: u8,
    name: &'a str,
    clock: u32,
    channels: u8,
    fmtp: Option<&'a str>,
}

impl<'a> Format<'a> {
    /// Comfort noise, RFC 3389 section 5.
    const NOISE: Self =
        Self { payload_type: COMFORT_NOISE, name: "CN", clock: COMFORT_NOISE_CLOCK, channels: 1, fmtp: None };

    fn of(cap: &'a CodecCap, payload_type: u8) -> Self {
        let CodecCap { kind, fmtp } = cap;
        let (name, clock, channels) = (kind.name(), kind.clock(), kind.channels());
        Self { payload_type, name, clock, channels, fmtp: fmtp.as_deref() }
    }

    /// What an answer of ours names.
    fn chosen(choice: &Choice<'a>) -> Vec<Self> {
        let mut formats = vec![Self::of(choice.cap, choice.payload_type)];
        formats.extend(choice.comfort_noise.then_some(Self::NOISE));
        let clock = choice.cap.kind.clock();
        formats.extend(choice.telephone_event.map(|payload_type| Self::events(payload_type, clock)));
        formats
    }

    const fn events(payload_type: u8, clock: u32) -> Self {
        Self { payload_type, name: "telephone-event", clock, channels: 1, fmtp: Some(EVENTS) }
    }

    fn kind(&self) -> Option<CodecKind> {
        CodecKind::by_name(self.name, self.clock).filter(|kind| kind.channels() == self.channels)
    }
}

/// What was chosen from an offer.
struct Choice<'a> {
    cap: &'a CodecCap,
    payload_type: u8,
    telephone_event: Option<u8>,
    comfort_noise: bool,
}

/// How a stream of an offer is encrypted, where it is.
struct Secured {
    /// What our answer says of it.
    lines: Lines,
    crypto: Option<Crypto>,
    /// The peer's part in the handshake.
    peer: Option<Box<Dtls>>,
}

/// An audio stream as its description has it.
struct Stream<'a> {
    formats: Vec<Format<'a>>,
    /// Seen from the one who wrote it.
    direction: Direction,
    rtp: SocketAddr,
    rtcp: SocketAddr,
    rtcp_mux: bool,
    /// The stream must be encrypted: `RTP/SAVP`.
    secure: bool,
    /// The keys come by DTLS: `UDP/TLS/RTP/SAVPF`.
    dtls: Option<Box<Dtls>>,
    /// The keys that we can take, best first.
    crypto: Vec<crypto::Line>,
    ptime_ms: Option<u8>,
    maxptime_ms: Option<u8>,
    /// Who wrote it asks for VoIP metrics.
    voip_metrics: bool,
}

impl<'a> Stream<'a> {
    /// `unsaid` is who begins a handshake where the stream does not say so.
    fn of(session: &Session<'a>, media: &Media<'a>, unsaid: Setup) -> Result<Self, SdpError> {
        if !media.kind.eq_ignore_ascii_case("audio") || media.port == 0 {
            return Err(SdpError::NoAudio);
        }
        let is = |names: &[&str]| names.iter().any(|name| media.proto.eq_ignore_ascii_case(name));
        let (secure, dtls) = if is(&["RTP/AVP", "RTP/AVPF"]) {
            (false, None)
        } else if is(&["RTP/SAVP", "RTP/SAVPF"]) {
            (true, None)
        } else if is(&["UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"]) {
            // RFC 5764 section 8. Without a fingerprint nobody knows whom the handshake is with.
            let dtls = dtls::dtls_of(session, media, unsaid).ok_or(SdpError::Encrypted)?;
            (true, Some(Box::new(dtls)))
        } else if media.proto.to_ascii_uppercase().contains("SAVP") {
            return Err(SdpError::Encrypted);
        } else {
            return Err(SdpError::NoAudio);
        };
        let connection = media.connection.or(session.connection);
        let address = address(connection.ok_or_else(|| SdpError::Malformed("there is no c= line".into()))?)?;
        let rtp = SocketAddr::new(address, media.port);
        let rtcp_mux = media.has("rtcp-mux");
        let number =
            |name: &str| -> Option<u8> { media.values(name).chain(session.values(name)).next()?.trim().parse().ok() };
        Ok(Self {
            formats: formats(media),
            direction: direction_of(session, media, address, dtls.as_ref().is_some_and(|dtls| dtls.ice.is_some())),
            rtp,
            rtcp: if rtcp_mux { rtp } else { rtcp_of(media, rtp) },
            rtcp_mux,
            secure,
            dtls,
            crypto: crypto::Line::all(media),
            ptime_ms: number("ptime"),
            maxptime_ms: number("maxptime"),
            voip_metrics: metrics::asks(session, media),
        })
    }

    /// The first codec of `caps` that is offered: our preference decides, since both legs of a call shall share a codec.
    fn choose<'c>(&self, caps: &'c MediaCaps) -> Result<Choice<'c>, SdpError> {
        for cap in &caps.codecs {
            if let Some(format) = self.formats.iter().find(|format| format.kind() == Some(cap.kind)) {
                let telephone_event = self.events(cap.kind.clock()).filter(|_| caps.telephone_event);
                let comfort_noise = caps.comfort_noise && self.knows_noise(cap.kind);
                return Ok(Choice { cap, payload_type: format.payload_type, telephone_event, comfort_noise });
            }
        }
        Err(SdpError::NoCommonCodec)
    }

    /// Our lines and the keys of the stream, where it is encrypted; a fault where it must be and cannot, or must not be.
    fn secured(&self, ours: &Srtp, dtls: Option<&Dtls>) -> Result<Secured, SdpError> {
        match (&self.dtls, dtls) {
            (Some(theirs), Some(ours)) => {
                let setup = dtls::answering(theirs.setup, ours.setup);
                let part = if setup == Setup::Active { Setup::Passive } else { Setup::Active };
                let peer = Some(Box::new(Dtls { setup: part, ..(**theirs).clone() }));
                let mut lines = Lines::default();
                dtls::write(&mut lines, ours, setup);
                return Ok(Secured { lines, crypto: None, peer });
            }
            (Some(_), None) => return Err(SdpError::Encrypted),
            (None, Some(_) | None) => {}
        }
        match ours.answered(&self.crypto) {
            Some((lines, crypto)) => Ok(Secured { lines, crypto: Some(crypto), peer: None }),
            None if self.secure => Err(SdpError::Encrypted),
            None if ours.is_required() => Err(SdpError::Plain),
            None => Ok(Secured { lines: Lines::default(), crypto: None, peer: None }),
        }
    }

    /// The payload type of telephone-event at the codec's clock, RFC 4733 section 2.1.
    fn events(&self, clock: u32) -> Option<u8> {
        let is_event = |f: &&Format<'_>| f.name.eq_ignore_ascii_case("telephone-event") && f.clock == clock;
        self.formats.iter().find(is_event).map(|format| format.payload_type)
    }

    /// Whether it has comfort noise that goes with this codec, under its static payload type: another is nobody's practice.
    fn knows_noise(&self, codec: CodecKind) -> bool {
        let is_noise = |f: &Format<'_>| f.name.eq_ignore_ascii_case("CN") && f.clock == COMFORT_NOISE_CLOCK;
        codec.clock() == COMFORT_NOISE_CLOCK
            && self.formats.iter().any(|f| f.payload_type == COMFORT_NOISE && is_noise(f))
    }

    /// The packet time that the peer asks for, where it is one that we make; ours otherwise.
    fn ptime(&self, ours: u8) -> u8 {
        let wanted = self.ptime_ms.filter(|ms| (10..=60).contains(ms) && ms % 10 == 0).unwrap_or(ours);
        self.maxptime_ms.filter(|ms| *ms >= 10).map_or(wanted, |most| wanted.min(most / 10 * 10))
    }
}

impl SdpError {
    /// Of two faults the one that tells the peer more.
    fn worse(self, other: Self) -> Self {
        const fn rank(error: &SdpError) -> u8 {
            match error {
                SdpError::NoAudio => 0,
                SdpError::Malformed(_) => 1,
                SdpError::Encrypted => 2,
                SdpError::Plain => 3,
                SdpError::NoAddress(_) => 4,
                SdpError::NoCommonCodec => 5,
            }
        }
        if rank(&other) > rank(&self) { other } else { self }
    }
}

/// The formats of an m-line in order of preference: by `a=rtpmap`, or by RFC 3551 table 4 where a static type has none.
fn formats<'a>(media: &Media<'a>) -> Vec<Format<'a>> {
    let numbers = media.fmt.split_ascii_whitespace().filter_map(|text| text.parse::<u8>().ok().filter(|n| *n < 128));
    numbers
        .take(PAYLOAD_TYPES_MAX)
        .filter_map(|payload_type| {
            // A mapping that cannot be read is not replaced by a guess.
            let (name, clock, channels) = if let Some(map) = value_for(media, "rtpmap", payload_type) {
                let mut parts = map.split('/').map(str::trim);
                let (name, clock) = (parts.next()?, parts.next()?.parse().ok()?);
                (name, clock, parts.next().map_or(Some(1), |count| count.parse().ok())?)
            } else {
                let fixed = |kind: &CodecKind| kind.static_payload_type() == Some(payload_type);
                let codec = CodecKind::ALL.into_iter().find(fixed).map(|kind| (kind.name(), kind.clock(), 1));
                codec.or_else(|| (payload_type == COMFORT_NOISE).then_some(("CN", COMFORT_NOISE_CLOCK, 1)))?
            };
            Some(Format { payload_type, name, clock, channels, fmtp: value_for(media, "fmtp", payload_type) })
        })
        .collect()
}

/// What stands behind the payload type in the first `a={name}:{payload_type} ...`.
fn value_for<'a>(media: &Media<'a>, name: &str, payload_type: u8) -> Option<&'a str> {
    media.values(name).find_map(|value| {
        let (number, rest) = value.trim_start().split_once(' ')?;
        (number.parse() == Ok(payload_type)).then(|| rest.trim())
    })
}

/// The direction as written, and hold by a zero address (RFC 2543 appendix B.5; RFC 3264 section 8.4 keeps it legal).
/// By ICE it is no hold: the address is not known yet (RFC 8840 section 4.1).
fn direction_of(session: &Session<'_>, media: &Media<'_>, address: IpAddr, by_ice: bool) -> Direction {
    let named = |attributes: &[Attribute<'_>]| {
        attributes.iter().find_map(|attribute| {
            let all = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
            all.into_iter().find(|direction| attribute.name.eq_ignore_ascii_case(direction_name(*direction)))
        })
    };
    let written = named(&media.attributes).or_else(|| named(&session.attributes)).unwrap_or(Direction::SendRecv);
    if address.is_unspecified() && !by_ice { both(written, Direction::SendOnly) } else { written }
}

/// `a=rtcp:PORT [IN IP4 ADDRESS]`, RFC 3605; the next port otherwise.
fn rtcp_of(media: &Media<'_>, rtp: SocketAddr) -> SocketAddr {
    let Some(value) = media.values("rtcp").next() else { return next_port(rtp) };
    let mut parts = value.split_ascii_whitespace();
    let Some(port) = parts.next().and_then(|port| port.parse().ok()).filter(|port| *port != 0) else {
        return next_port(rtp);
    };
    let given = parts.nth(2).and_then(|text| text.parse().ok());
    SocketAddr::new(given.unwrap_or(rtp.ip()), port)
}

fn next_port(rtp: SocketAddr) -> SocketAddr {
    SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1))
}

fn address(text: &str) -> Result<IpAddr, SdpError> {
    let bare = text.split('/').next().unwrap_or(text);
    bare.parse().map_err(|_| SdpError::NoAddress(bare.to_owned()))
}

const fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::SendRecv => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::RecvOnly => "recvonly",
        Direction::Inactive => "inactive",
    }
}

/// What both allow, seen from one side.
const fn both(one: Direction, other: Direction) -> Direction {
    match (one.sends() && other.sends(), one.receives() && other.receives()) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}

/// The `t=` of a session that is up until it is not.
const ALWAYS: &str = "t=0 0";

/// Our lines in front of `t=`.
fn begun(local: &Local) -> Lines {
    let Local { address, session_id, version, .. } = local;
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    let mut text = Lines::new();
    text.plain("v=0");
    text.line(format_args!("o=- {session_id} {version} IN {family} {address}"));
    text.plain("s=-");
    text.line(format_args!("c=IN {family} {address}"));
    text
}

/// Our stream.
fn audio(
    text: &mut Lines,
    proto: &str,
    port: u16,
    formats: &[Format<'_>],
    ptime_ms: u8,
    direction: Direction,
    rtcp_mux: bool,
) {
    text.line(format_args!("m=audio {port} {proto}{}", Numbers(formats)));
    for Format { payload_type, name, clock, channels, fmtp } in formats {
        match channels {
            1 => text.line(format_args!("a=rtpmap:{payload_type} {name}/{clock}")),
            _ => text.line(format_args!("a=rtpmap:{payload_type} {name}/{clock}/{channels}")),
        }
        if let Some(fmtp) = fmtp {
            text.line(format_args!("a=fmtp:{payload_type} {fmtp}"));
        }
    }
    text.attribute("ptime", ptime_ms);
    text.flag(direction_name(direction));
    if rtcp_mux {
        text.flag("rtcp-mux");
    }
}

/// The payload types of an m-line, each behind a space.
struct Numbers<'a>(&'a [Format<'a>]);

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|format| write!(f, " {}", format.payload_type))
    }
}

/// The name of a line, RFC 5888 section 4.
fn mid<'a>(media: &Media<'a>) -> Option<&'a str> {
    media.values("mid").next().map(str::trim).filter(|mid| !mid.is_empty())
}

/// The name of the stream that we take where it stands in a bundle: ours has it alone, since the others are refused (RFC 8843
/// section 7.3). Bundled streams have RTCP on RTP's port (section 9.3).
fn bundled<'a>(offered: &Session<'a>, taken: &Media<'a>, rtcp_mux: bool) -> Option<&'a str> {
    let mid = mid(taken).filter(|_| rtcp_mux)?;
    let is_in = offered.values("group").any(|group| {
        let mut words = group.split_ascii_whitespace();
        words.next() == Some("BUNDLE") && words.any(|word| word == mid)
    });
    is_in.then_some(mid)
}
