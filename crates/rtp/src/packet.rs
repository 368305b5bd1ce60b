//! The RTP packet, RFC 3550 section 5.1: a view of a datagram, and its header written anew in place.

use core::ops::Range;

use offhook_units::{RtpSeq, RtpTime};
use rtp_rs::{RtpReader, RtpReaderError};

/// Size of a header without contributing sources and extension.
pub const HEADER_BYTES: usize = 12;

/// Why a datagram is no RTP packet. The peer broke RFC 3550; drop the datagram and count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtpError {
    /// Shorter than its own headers say.
    #[error("the packet is shorter than its headers")]
    Truncated,
    /// Not version 2.
    #[error("RTP version {0} where 2 was expected")]
    Version(u8),
    /// The padding is longer than the packet, or of length 0.
    #[error("the padding does not fit the packet")]
    Padding,
}

/// The fields of a header that change from packet to packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Payload type, 0-127.
    pub payload_type: u8,
    /// Begin of a talkspurt, or of a telephone-event.
    pub marker: bool,
    /// Sequence number.
    pub seq: RtpSeq,
    /// Timestamp in samples of the stream's clock.
    pub timestamp: RtpTime,
    /// Synchronisation source.
    pub ssrc: u32,
}

impl Header {
    /// The header as bytes: version 2, no padding, no extension, no contributing sources.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0] = 0x80;
        out[1] = (u8::from(self.marker) << 7) | (self.payload_type & 0x7f);
        out[2..4].copy_from_slice(&self.seq.0.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.0.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        out
    }

    /// Writes header and `payload` into `out` and says how many bytes that are; `None` where they do not fit.
    pub fn write(&self, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let total = HEADER_BYTES + payload.len();
        let out = out.get_mut(..total)?;
        out[..HEADER_BYTES].copy_from_slice(&self.encode());
        out[HEADER_BYTES..].copy_from_slice(payload);
        Some(total)
    }
}

/// A view of one received packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The header's fields.
    pub header: Header,
    /// What it carries, without padding.
    pub payload: &'a [u8],
    /// Where the payload begins in the datagram: at least [`HEADER_BYTES`].
    pub payload_at: usize,
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// The peer broke RFC 3550; see [`RtpError`].
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtpError> {
        let reader = RtpReader::new(datagram).map_err(|error| match error {
            RtpReaderError::BufferTooShort(_) | RtpReaderError::HeadersTruncated { .. } => RtpError::Truncated,
            RtpReaderError::UnsupportedVersion(version) => RtpError::Version(version),
            RtpReaderError::PaddingLengthInvalid(_) => RtpError::Padding,
        })?;
        Ok(Self {
            header: Header {
                payload_type: reader.payload_type(),
                marker: reader.mark(),
                seq: RtpSeq(reader.sequence_number().into()),
                timestamp: RtpTime(reader.timestamp()),
                ssrc: reader.ssrc(),
            },
            payload: reader.payload(),
            payload_at: reader.payload_offset(),
        })
    }

    /// Where the payload lies in the datagram.
    pub const fn payload_range(&self) -> Range<usize> {
        self.payload_at..self.payload_at + self.payload.len()
    }
}

/// Puts `header` right before the payload that lies at `payload` in `datagram`, and says where the new packet lies. A relay
/// sends that part: contributing sources, header extensions (negotiated per leg, RFC 8285) and padding stay behind.
/// `None` where the range is not one of a parsed packet.
pub fn rewrite(datagram: &mut [u8], payload: Range<usize>, header: &Header) -> Option<Range<usize>> {
    let start = payload.start.checked_sub(HEADER_BYTES)?;
    if payload.end > datagram.len() {
        return None;
    }
    datagram.get_mut(start..payload.start)?.copy_from_slice(&header.encode());
    Some(start..payload.end)
}

/// Whether a datagram on a port shared by both (RFC 5761 section 4) is RTCP: packet types 192-223 of version 2.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        payload_type: 8,
        marker: true,
        seq: RtpSeq(65_535),
        timestamp: RtpTime(0xffff_fff0),
        ssrc: 0xdead_beef,
    };

    #[test]
    fn a_packet_reads_back_what_was_written() {
        let mut buffer = [0; 64];
        let length = HEADER.write(b"speech", &mut buffer).unwrap();
        let packet = Packet::parse(&buffer[..length]).unwrap();
        assert_eq!((packet.header, packet.payload, packet.payload_at), (HEADER, &b"speech"[..], 12));
        assert_eq!(HEADER.write(&[0; 64], &mut buffer), None);
    }

    #[test]
    fn rewriting_leaves_sources_extension_and_padding_behind() {
        // One contributing source, one extension of a word, four bytes of padding.
        let mut datagram = vec![0xb1, 0x08, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 9, 0xbe, 0xde, 0, 1, 7, 7, 7, 7];
        datagram.extend_from_slice(b"payload\0\0\0\x04");
        let packet = Packet::parse(&datagram).unwrap();
        assert_eq!(packet.payload, b"payload");
        let range = packet.payload_range();
        let sent = rewrite(&mut datagram, range, &HEADER).unwrap();
        let packet = Packet::parse(&datagram[sent]).unwrap();
        assert_eq!((packet.header, packet.payload, packet.payload_at), (HEADER, &b"payload"[..], 12));
    }

    #[test]
    fn ranges_that_are_none_of_a_packet_are_refused() {
        let mut datagram = [0; 20];
        assert_eq!(rewrite(&mut datagram, 11..20, &HEADER), None);
        assert_eq!(rewrite(&mut datagram, 12..21, &HEADER), None);
    }

    #[test]
    fn broken_packets_are_told_apart() {
        let rows: [(&[u8], RtpError); 5] = [
            (&[], RtpError::Truncated),
            (&[0x80; 11], RtpError::Truncated),
            (&[0x40; 12], RtpError::Version(1)),
            (&[0x8f; 12], RtpError::Truncated),
            (&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200], RtpError::Padding),
        ];
        for (datagram, error) in rows {
            assert_eq!(Packet::parse(datagram), Err(error), "{datagram:x?}");
        }
    }

    #[test]
    fn rtcp_is_told_from_rtp_on_a_shared_port() {
        assert!(is_rtcp(&[0x80, 200, 0, 6]));
        assert!(!is_rtcp(&[0x80, 0x80 | 8, 0, 6]));
        assert!(!is_rtcp(&[0x00, 200]));
    }
}
