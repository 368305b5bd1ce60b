//! Descriptions of several audio streams, each with a label (RFC 4574): those of recording sessions (RFC 7866 section 7).

use offhook_plan::{Direction, MediaCaps, Negotiated, Setup};

use super::lines::{Media, Session};
use super::{ALWAYS, Format, Local, SdpError, Stream, agree, agree_with, audio, begun, both, mid, offered};

/// One stream that an answer of ours takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its place among the m-lines of the offer.
    pub place: usize,
    /// Its label; empty where it has none.
    pub label: String,
    /// What is agreed on.
    pub negotiated: Negotiated,
}

/// Our offer of one stream for each of `streams`, our end of it and its label. All have the same codecs.
pub fn offer_streams(streams: &[(Local, &str)], caps: &MediaCaps, direction: Direction) -> String {
    let Some((first, _)) = streams.first() else { return String::new() };
    let mut text = begun(first);
    text.plain(ALWAYS);
    for (local, label) in streams {
        let proto = if local.srtp.is_required() { "RTP/SAVP" } else { "RTP/AVP" };
        offered(&mut text, local, proto, caps, direction, false);
        text.attribute("label", label);
        local.srtp.write_offered(&mut text);
    }
    text.into_text()
}

/// Our answer to an offer of several streams, and what it agrees on. `local` gives our end of the stream at a place, or nothing where
/// it is not wanted: then it is refused. All streams get the same codec. `origin` names the description.
///
/// # Errors
/// No stream can be taken.
pub fn answer_streams(
    offer: &[u8],
    origin: &Local,
    local: &mut dyn FnMut(usize) -> Option<Local>,
    caps: &MediaCaps,
    direction: Direction,
) -> Result<(String, Vec<Taken>), SdpError> {
    let offer = Session::parse(offer)?;
    let mut text = begun(origin);
    offer.times.iter().for_each(|line| text.plain(line));
    if offer.times.is_empty() {
        text.plain(ALWAYS);
    }
    let (mut taken, mut fault, mut caps) = (Vec::new(), SdpError::NoAudio, caps.clone());
    for (place, media) in offer.medias.iter().enumerate() {
        let stream = Stream::of(&offer, media, Setup::Active);
        let chosen = stream.and_then(|stream| {
            let choice = stream.choose(&caps)?;
            let Some(ours) = local(place) else { return Ok(None) };
            let secured = stream.secured(&ours.srtp, None)?;
            let direction = both(direction, stream.direction.mirrored());
            let ptime_ms = stream.ptime(caps.ptime_ms);
            let formats = Format::chosen(&choice);
            audio(&mut text, media.proto, ours.port, &formats, ptime_ms, direction, stream.rtcp_mux);
            text.append(&secured.lines);
            Ok(Some(agree(&stream, &choice, secured, ptime_ms, direction)))
        });
        match chosen {
            Ok(Some(negotiated)) => {
                caps.codecs.retain(|cap| cap.kind == negotiated.codec);
                taken.push(Taken { place, label: label(media).unwrap_or_default().to_owned(), negotiated });
            }
            Ok(None) => refused(&mut text, media),
            Err(error) => {
                fault = fault.worse(error);
                refused(&mut text, media);
            }
        }
        if let Some(label) = label(media) {
            text.attribute("label", label);
        }
        if let Some(mid) = mid(media) {
            text.attribute("mid", mid);
        }
    }
    if taken.is_empty() { Err(fault) } else { Ok((text.into_text(), taken)) }
}

/// What the peer's `answer` to our offer of several streams agrees on: one entry for each, none where it was refused.
///
/// # Errors
/// It cannot be read, or refuses all of them.
pub fn accept_streams(our_offer: &str, answer: &[u8], caps: &MediaCaps) -> Result<Vec<Option<Negotiated>>, SdpError> {
    let ours = Session::parse(our_offer.as_bytes())?;
    let theirs = Session::parse(answer)?;
    let mut fault = SdpError::NoAudio;
    let agreed = ours.medias.iter().enumerate().map(|(place, our)| {
        let their = theirs.medias.get(place)?;
        let pair = Stream::of(&ours, our, Setup::ActPass)
            .and_then(|our| Ok((our, Stream::of(&theirs, their, Setup::Passive)?)))
            .and_then(|(our, their)| agree_with(&our, &their, caps));
        pair.map_err(|error| fault = fault.clone().worse(error)).ok()
    });
    let agreed: Vec<Option<Negotiated>> = agreed.collect();
    if agreed.iter().all(Option::is_none) { Err(fault) } else { Ok(agreed) }
}

/// A stream that is not wanted: the same line with port 0, RFC 3264 section 6.
fn refused(text: &mut super::lines::Lines, media: &Media<'_>) {
    text.line(format_args!("m={} 0 {} {}", media.kind, media.proto, media.fmt));
}

fn label<'a>(media: &Media<'a>) -> Option<&'a str> {
    media.values("label").next().map(str::trim).filter(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use offhook_plan::{CodecCap, CodecKind};

    use super::*;
    use crate::sdp::Srtp;

    fn local(port: u16) -> Local {
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, (port / 1_000) as u8));
        Local { address, port, session_id: 7, version: 1, srtp: Srtp::OFF }
    }

    #[test]
    fn two_labelled_streams_are_offered_taken_and_agreed_on() {
        let caps = MediaCaps { telephone_event: false, ..MediaCaps::g711() };
        let offer = offer_streams(&[(local(4_000), "1"), (local(4_002), "2")], &caps, Direction::SendOnly);
        assert_eq!(offer.matches("a=sendonly").count(), 2, "{offer}");
        let mut ports = [6_000, 6_002].into_iter();
        let mut ours = |_| ports.next().map(local);
        let (answer, taken) =
            answer_streams(offer.as_bytes(), &local(6_000), &mut ours, &caps, Direction::RecvOnly).expect("an answer");
        assert_eq!(answer.matches("a=recvonly").count(), 2, "{answer}");
        assert!(answer.contains("a=label:1\r\n") && answer.contains("a=label:2\r\n"), "{answer}");
        let seen: Vec<_> = taken.iter().map(|t| (t.place, t.label.as_str(), t.negotiated.remote_rtp.port())).collect();
        assert_eq!(seen, [(0, "1", 4_000), (1, "2", 4_002)]);
        assert!(taken.iter().all(|taken| taken.negotiated.direction == Direction::RecvOnly));
        let agreed = accept_streams(&offer, answer.as_bytes(), &caps).expect("agreed");
        let ports: Vec<_> = agreed.iter().flatten().map(|a| (a.remote_rtp.port(), a.direction)).collect();
        assert_eq!(ports, [(6_000, Direction::SendOnly), (6_002, Direction::SendOnly)]);
    }

    #[test]
    fn a_stream_that_is_not_wanted_is_refused_and_the_others_have_one_codec() {
        let video = "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
             m=audio 5000 RTP/AVP 8\r\na=sendonly\r\na=label:a\r\n\
             m=video 5002 RTP/AVP 96\r\na=label:v\r\n\
             m=audio 5004 RTP/AVP 0 8\r\na=sendonly\r\na=label:b\r\n\
             m=audio 5006 RTP/AVP 0\r\na=sendonly\r\na=label:c\r\n\
             m=audio 5008 RTP/AVP 8\r\na=inactive\r\na=label:d\r\n";
        let mut left = 3;
        let mut ours = |place: usize| {
            left -= 1;
            (left > 0).then(|| local(6_000 + place as u16))
        };
        let caps = MediaCaps::g711();
        let (answer, taken) =
            answer_streams(video.as_bytes(), &local(6_000), &mut ours, &caps, Direction::RecvOnly).expect("an answer");
        let seen: Vec<_> = taken.iter().map(|taken| (taken.place, taken.negotiated.codec)).collect();
        // The fourth has another codec than the first, and there is no room for the fifth.
        assert_eq!(seen, [(0, CodecKind::Pcma), (2, CodecKind::Pcma)]);
        assert!(answer.contains("m=video 0 ") && answer.contains("m=audio 0 RTP/AVP 0\r\na=label:c"), "{answer}");
        assert!(answer.contains("m=audio 0 RTP/AVP 8\r\na=label:d"), "{answer}");
        let none = &mut |_: usize| None;
        let opus = MediaCaps { codecs: vec![CodecCap::of(CodecKind::Opus)], ..caps.clone() };
        let refused = |caps| answer_streams(video.as_bytes(), &local(6_000), &mut *none, caps, Direction::RecvOnly);
        let mut refused = refused;
        assert_eq!(refused(&opus), Err(SdpError::NoCommonCodec));
    }

    #[test]
    fn an_answer_that_refuses_one_stream_leaves_the_other() {
        let caps = MediaCaps::g711();
        let offer = offer_streams(&[(local(4_000), "1"), (local(4_002), "2")], &caps, Direction::SendOnly);
        let answer = "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
             m=audio 0 RTP/AVP 0\r\nm=audio 5004 RTP/AVP 8\r\na=recvonly\r\n";
        let agreed = accept_streams(&offer, answer.as_bytes(), &caps).expect("agreed");
        assert!(agreed[0].is_none());
        assert_eq!(agreed[1].as_ref().map(|agreed| agreed.codec), Some(CodecKind::Pcma));
        let all = answer.replace("5004", "0");
        assert_eq!(accept_streams(&offer, all.as_bytes(), &caps), Err(SdpError::NoAudio));
    }
}
