//! RTP, RTCP and telephone-event packets: views, in-place rewriting and receiver statistics.
//!
//! Nothing here allocates: packets are views of the datagram, and what is written goes into a caller's buffer.

mod event;
mod packet;
mod receiver;
mod rtcp;

pub use event::{EVENT_BYTES, TelephoneEvent};
pub use packet::{HEADER_BYTES, Header, Packet, RtpError, is_rtcp, rewrite};
pub use receiver::{Heard, ReceiverStats, Report};
pub use rtcp::{
    CNAME_BYTES_MAX, PeerReport, REPORT_BYTES_MAX, ReportWriter, RtcpError, SenderInfo, ntp_of, read_reports,
};
