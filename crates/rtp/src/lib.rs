//! RTP, RTCP, SRTP and telephone-event packets: views, in-place rewriting and protection, receiver statistics.
//!
//! Nothing here allocates per packet: packets are views of the datagram, and what is written goes into a caller's buffer.

pub mod emodel;
mod event;
mod keys;
mod packet;
mod receiver;
mod rtcp;
mod srtp;
mod xr;

pub use event::{EVENT_BYTES, TelephoneEvent};
pub use keys::{KEYS_MAX, KeyPacket, KeySender};
pub use packet::{HEADER_BYTES, Header, Packet, RtpError, is_rtcp, rewrite};
pub use receiver::{Heard, ReceiverStats, Report};
pub use rtcp::{
    CNAME_BYTES_MAX, PeerReport, REPORT_BYTES_MAX, ReportWriter, RtcpError, SenderInfo, ntp_of, read_reports,
};
pub use srtp::{REPLAY_WINDOW, SOURCES_MAX, SRTP_TAIL_MAX, SrtpError, SrtpReceiver, SrtpSender};
pub use xr::{Bursts, VOIP_METRICS_BYTES, VoipMetrics};
