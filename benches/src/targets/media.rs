//! What reads RTP, RTCP and the speech in it.

use offhook_codec::{Coding, Law, Transcoder, g722 as codec, opus as full};
use offhook_rtp::{Header, Packet, TelephoneEvent, is_rtcp, read_reports, rewrite};
use offhook_units::{RtpSeq, RtpTime, SampleRate, Tick};

/// A packet of speech: what a relay sends on has the new header and the old payload.
pub fn rtp(data: &[u8]) {
    let _kind = is_rtcp(data);
    let Ok(packet) = Packet::parse(data) else { return };
    let (range, payload) = (packet.payload_range(), packet.payload.to_vec());
    assert_eq!(&data[range.clone()], payload);
    let header = Header { payload_type: 8, marker: true, seq: RtpSeq(7), timestamp: RtpTime(9), ssrc: 0x00c0_ffee };
    let mut datagram = data.to_vec();
    let sent = rewrite(&mut datagram, range, &header).expect("the payload of a packet that was read");
    let again = Packet::parse(&datagram[sent]).expect("what is sent can be read");
    assert_eq!((again.header, again.payload), (header, &*payload));
}

/// A compound of reports. The first four bytes are our source.
pub fn rtcp(data: &[u8]) {
    let [a, b, c, d, data @ ..] = data else { return };
    if let Ok(report) = read_reports(data, u32::from_be_bytes([*a, *b, *c, *d])) {
        let _trip = report.round_trip_us(Tick::from_us(1_000_000));
    }
}

/// The payload of a key press.
pub fn event(data: &[u8]) {
    let Some(event) = TelephoneEvent::parse(data) else { return };
    assert_eq!(TelephoneEvent::parse(&event.encode()), Some(event));
    if let Some(digit) = event.digit() {
        assert_eq!(TelephoneEvent::event_of(digit), Some(event.event));
    }
}

/// A payload of G.722, which holds sound whatever stands in it: decoded, encoded again, and relayed to and from G.711.
pub fn g722(data: &[u8]) {
    let mut pcm = vec![0; 2 * data.len()];
    assert_eq!(codec::Decoder::default().decode(data, &mut pcm), pcm.len());
    let mut again = vec![0; data.len()];
    assert_eq!(codec::Encoder::default().encode(&pcm, &mut again), data.len());
    for (from, to) in [(Coding::G722, Coding::G711(Law::A)), (Coding::G711(Law::Mu), Coding::G722)] {
        Transcoder::new(from, to).expect("two codings").payload(&mut again);
    }
}

/// A payload of Opus, or none: decoded, taken for the one before it, and decoded again, into room for it and into less.
pub fn opus(data: &[u8]) {
    for rate in [SampleRate::NARROW, SampleRate::WIDE] {
        let mut decoder = full::Decoder::new(rate).expect("a decoder");
        let whole = rate.samples(full::PACKET_MAX) as usize;
        let mut pcm = vec![0; whole];
        for room in [whole, whole / 6, data.len().min(whole)] {
            for samples in [decoder.decode(data, &mut pcm[..room]), decoder.recover(data, &mut pcm[..room])] {
                match (decoder.samples_in(data), samples) {
                    (_, Ok(samples)) => assert!(samples <= room),
                    (_, Err(full::OpusError::Malformed | full::OpusError::TooLong)) => {}
                    (held, Err(error)) => panic!("{error}: {held:?} samples into {room}"),
                }
            }
        }
    }
}
