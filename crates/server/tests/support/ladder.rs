//! The SIP messages of a call.

use std::net::SocketAddr;

use offhook_server::{Ladder, LadderMessage};
use offhook_units::{Span, Tick};

/// A call from a trunk that one agent declined and another one took.
pub fn ladder(begin: Tick) -> Ladder {
    let local = SocketAddr::from(([192, 0, 2, 1], 5_060));
    let rows = [
        (0, false, 0, "INVITE sip:4930555700@192.0.2.1 SIP/2.0"),
        (0, true, 1, "SIP/2.0 100 Trying"),
        (0, true, 3, "SIP/2.0 200 OK"),
        (0, false, 19, "ACK sip:offhook@192.0.2.1 SIP/2.0"),
        (1, true, 6_010, "INVITE sip:bob@192.0.2.22:5060 SIP/2.0"),
        (1, false, 6_042, "SIP/2.0 486 Busy Here"),
        (1, true, 6_043, "ACK sip:bob@192.0.2.22:5060 SIP/2.0"),
        (2, true, 6_050, "INVITE sip:alice@192.0.2.21:5060 SIP/2.0"),
        (2, false, 6_110, "SIP/2.0 180 Ringing"),
        (2, false, 10_310, "SIP/2.0 200 OK"),
        (2, true, 10_311, "ACK sip:alice@192.0.2.21:5060 SIP/2.0"),
        (0, false, 101_000, "BYE sip:offhook@192.0.2.1 SIP/2.0"),
    ];
    let message = |(leg, sent, ms, line): (usize, bool, u64, &str)| LadderMessage {
        at: begin + Span::from_ms(ms),
        transport: if leg == 2 { "TLS" } else { "UDP" },
        local,
        peer: SocketAddr::from(([192, 0, 2, 9 + leg as u8], 5_060)),
        sent,
        leg,
        bytes: format!("{line}\r\nCall-ID: {leg}@192.0.2.9\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n")
            .into_bytes(),
    };
    let legs = ["trunk demo", "agent bob", "agent alice"].map(str::to_owned);
    Ladder { legs: legs.into(), messages: rows.into_iter().map(message).collect(), cut: false }
}
