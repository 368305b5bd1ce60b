//! What a call sends: RTP in packets of the agreed time, keys in the place of speech, and a digest of every payload.

use offhook_plan::Negotiated;
use offhook_rtp::{Header, KeySender, SenderInfo, ntp_of};
use offhook_units::{RtpSeq, RtpTime, Tick};
use sha2::{Digest, Sha256};

/// Longest packet time that is agreed on (RFC 3264 side: `sdp` takes 10..=60 ms): 480 bytes.
pub const PAYLOAD_BYTES_MAX: usize = 480;
/// Room for one packet.
pub const PACKET_BYTES_MAX: usize = offhook_rtp::HEADER_BYTES + PAYLOAD_BYTES_MAX;

/// What is sent in one packet time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Speech: [`Talker::speech`] wants a payload.
    Speech,
    /// A key took its place; the packet of this many bytes has been written.
    Key(usize),
    /// As [`Turn::Key`], and no further key waits.
    LastKey(usize),
}

/// The sending half of a call, without a socket.
#[derive(Debug)]
pub struct Talker {
    ssrc: u32,
    seq: RtpSeq,
    timestamp: RtpTime,
    /// Timestamp of the key in progress, RFC 4733 section 2.2.
    key_began: RtpTime,
    keys: KeySender,
    /// The next packet begins a talkspurt, RFC 3551 section 4.1.
    marker: bool,
    packets: u32,
    octets: u32,
    speech_packets: u64,
    speech_bytes: u64,
    hash: Sha256,
}

impl Talker {
    /// Begins with these numbers, which chance chose (RFC 3550 section 5.1).
    pub fn new(ssrc: u32, seq: RtpSeq, timestamp: RtpTime) -> Self {
        Self {
            ssrc,
            seq,
            timestamp,
            key_began: timestamp,
            keys: KeySender::default(),
            marker: true,
            packets: 0,
            octets: 0,
            speech_packets: 0,
            speech_bytes: 0,
            hash: Sha256::new(),
        }
    }

    /// Our source.
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Packets of speech sent, their payload bytes.
    pub const fn sent(&self) -> (u64, u64) {
        (self.speech_packets, self.speech_bytes)
    }

    /// SHA-256 over the payloads of speech sent, in hexadecimal.
    pub fn digest(&self) -> String {
        crate::digest::hex(&self.hash.clone().finalize())
    }

    /// Presses a key after those waiting; `false` where it is none, or too many wait.
    pub fn press(&mut self, digit: char) -> bool {
        self.keys.press(digit)
    }

    /// For a sender report, RFC 3550 section 6.4.1; none before the first packet.
    pub fn sender_info(&self, now: Tick) -> Option<SenderInfo> {
        (self.packets > 0).then(|| SenderInfo {
            ntp: ntp_of(now),
            timestamp: self.timestamp,
            packets: self.packets,
            octets: self.octets,
        })
    }

    /// Decides this packet time, and writes the packet where a key has it. After [`Turn::Speech`] either
    /// [`Talker::speech`] or [`Talker::pause`] follows.
    pub fn turn(&mut self, negotiated: &Negotiated, out: &mut [u8; PACKET_BYTES_MAX]) -> Turn {
        let samples = u16::from(negotiated.ptime_ms) * 8;
        let Some((payload_type, _)) = negotiated.telephone_event else { return Turn::Speech };
        let Some(key) = self.keys.step(samples) else { return Turn::Speech };
        if key.begins {
            self.key_began = self.timestamp;
        }
        let header =
            Header { payload_type, marker: key.begins, seq: self.seq, timestamp: self.key_began, ssrc: self.ssrc };
        let length = header.write(&key.event.encode(), out).unwrap_or(0);
        self.count(offhook_rtp::EVENT_BYTES, samples);
        self.marker = true;
        if self.keys.is_done() { Turn::LastKey(length) } else { Turn::Key(length) }
    }

    /// Writes `payload`, one packet time of speech, and says how long the packet is.
    pub fn speech(&mut self, negotiated: &Negotiated, payload: &[u8], out: &mut [u8; PACKET_BYTES_MAX]) -> usize {
        let header = Header {
            payload_type: negotiated.send_payload_type,
            marker: core::mem::take(&mut self.marker),
            seq: self.seq,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        let length = header.write(payload, out).unwrap_or(0);
        self.hash.update(payload);
        self.speech_packets += 1;
        self.speech_bytes += payload.len() as u64;
        self.count(payload.len(), payload.len() as u16);
        length
    }

    /// Sends nothing for `samples`: time goes on, numbers do not.
    pub fn pause(&mut self, samples: u32) {
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.marker = true;
    }

    fn count(&mut self, bytes: usize, samples: u16) {
        self.seq = self.seq.next();
        self.timestamp = self.timestamp.wrapping_add(u32::from(samples));
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(bytes as u32);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use offhook_plan::{CodecKind, Direction};
    use offhook_rtp::{Packet, TelephoneEvent};

    pub(crate) fn agreed() -> Negotiated {
        let remote = "127.0.0.1:9".parse().unwrap();
        Negotiated {
            codec: CodecKind::Pcmu,
            send_payload_type: 0,
            recv_payload_type: 0,
            telephone_event: Some((101, 96)),
            comfort_noise: false,
            voip_metrics: false,
            ptime_ms: 20,
            direction: Direction::SendRecv,
            remote_rtp: remote,
            remote_rtcp: remote,
            rtcp_mux: false,
            crypto: None,
            dtls: None,
        }
    }

    #[test]
    fn a_key_in_mid_speech_keeps_numbers_in_a_row_and_speech_in_time() {
        let mut talker = Talker::new(7, RtpSeq(65_534), RtpTime(u32::MAX - 100));
        let mut out = [0; PACKET_BYTES_MAX];
        let mut headers = Vec::new();
        for n in 0..14 {
            if n == 2 {
                assert!(talker.press('7'));
            }
            let (length, speech) = match talker.turn(&agreed(), &mut out) {
                Turn::Speech => (talker.speech(&agreed(), &[n; 160], &mut out), true),
                Turn::Key(length) => (length, false),
                Turn::LastKey(length) => {
                    assert_eq!(n, 9, "the last of the eight packets of the key");
                    (length, false)
                }
            };
            let packet = Packet::parse(&out[..length]).unwrap();
            if !speech {
                assert_eq!(TelephoneEvent::parse(packet.payload).unwrap().digit(), Some('7'));
            }
            headers.push((packet.header, speech));
        }
        for (n, (header, speech)) in headers.iter().enumerate() {
            assert_eq!(header.seq, RtpSeq(65_534).wrapping_add(n as u16));
            let on_time = if *speech { n as u32 } else { 2 };
            assert_eq!(header.timestamp, RtpTime(u32::MAX - 100).wrapping_add(on_time * 160), "packet {n}");
            assert_eq!(header.marker, [0, 2, 10].contains(&n), "packet {n}");
        }
        assert_eq!(talker.sent(), (6, 960));
    }
}
