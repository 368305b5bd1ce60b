//! Messages as a trunk and a phone send them, for benches.

/// A call from a trunk, past two proxies.
pub const INVITE: &str = "INVITE sip:+4930123456@203.0.113.5:5060;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK-524287-1---9c2f0d7a1b3e4f60;rport\r\n\
    Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK776asdhds;received=198.51.100.21\r\n\
    Max-Forwards: 69\r\n\
    Record-Route: <sip:198.51.100.7;lr;did=5ba.7c21>\r\n\
    Contact: <sip:+49301111111@198.51.100.20:5060;transport=udp>\r\n\
    To: <sip:+4930123456@203.0.113.5;user=phone>\r\n\
    From: \"Erika Mustermann\" <sip:+49301111111@198.51.100.7;user=phone>;tag=7f3c0a12\r\n\
    Call-ID: 84722NzU4ZmE0ZDk4YjE0OTk4ZjE1YzM0ZGRlMjM2ZTBhN2I\r\n\
    CSeq: 1 INVITE\r\n\
    Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE, UPDATE, PRACK\r\n\
    Supported: replaces, timer, 100rel\r\n\
    P-Asserted-Identity: <sip:+49301111111@198.51.100.7;user=phone>\r\n\
    Session-Expires: 1800\r\n\
    User-Agent: Trunk 4.2.1\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 231\r\n\
    \r\n\
    v=0\r\no=- 3905641283 1 IN IP4 198.51.100.30\r\ns=-\r\nc=IN IP4 198.51.100.30\r\nt=0 0\r\nm=audio 23456 RTP/AVP 8 0 101\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

/// A phone registers.
pub const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK776asdhds;rport\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:1001@example.com>;tag=7f3c0a12\r\n\
    To: <sip:1001@example.com>\r\n\
    Call-ID: 84722NzU4ZmE0ZDk4YjE0OTk4\r\n\
    CSeq: 2 REGISTER\r\n\
    Contact: <sip:1001@198.51.100.20:5060>\r\n\
    User-Agent: Phone 4.2.1\r\n\
    Expires: 3600\r\n\
    Content-Length: 0\r\n\r\n";
