//! Plain calls through a whole exchange, without sockets: a trunk dials a number, a phone rings and answers, the caller hangs up.
//! Fourteen messages a call, parsed and printed, as in the load benches.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use offhook_call::config::{Answer, Config, Destination, Limits, Number, SessionTimers, Trunk};
use offhook_call::{Exchange, Input, Output};
use offhook_plan::{LegReport, MediaCaps, MediaCommand, MediaEvent, MediaPlan, SpeechReport};
use offhook_sip::{Flow, Message, Transport};
use offhook_units::{CallId, Entropy, IdSource, Span, Tick};

const SERVER: &str = "127.0.0.1:5060";
const CALLER: &str = "127.0.0.2:5061";
const PHONE: &str = "127.0.0.3:5070";

/// Between two calls: 100 a second, so that the exchange holds the transactions of the last 32 s as it would in life.
const GAP: Span = Span::from_ms(10);

const SDP: &str = "v=0\r\no=- 11 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0 101\r\n\
    a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn flow(peer: &str) -> Flow {
    Flow { transport: Transport::Udp, local: address(SERVER), peer: address(peer) }
}

/// An exchange and what its peers have to know.
pub struct PlainCalls {
    now: Tick,
    exchange: Exchange,
    wake: Option<Tick>,
    calls: u64,
    plans: BTreeMap<CallId, MediaPlan>,
    /// What the exchange sent, in order: to whom, and what.
    sent: Vec<(SocketAddr, Vec<u8>)>,
    reports: Vec<MediaEvent>,
    /// Records kept: one a call.
    pub records: u64,
    /// Bytes of log entries and records handed to the store.
    pub stored: u64,
}

impl Default for PlainCalls {
    fn default() -> Self {
        Self::new()
    }
}

impl PlainCalls {
    /// An exchange without calls.
    pub fn new() -> Self {
        let now = Tick::from_us(1_800_000_000_000_000);
        let to = Destination::Dial { flow: flow(PHONE), ring_for: Span::from_s(30) };
        let config = Config {
            name: "plain".to_owned(),
            realm: "plain".to_owned(),
            advertise: None,
            large_requests_over: Vec::new(),
            nat_ping: offhook_call::config::NAT_PING,
            session_timers: SessionTimers::default(),
            rtp_ports: 10_000..=20_999,
            media_workers: 1,
            caps: MediaCaps::g711(),
            srtp: offhook_call::config::SrtpSettings::default(),
            numbering: None,
            trunks: vec![Trunk::new("trunk", vec![address(CALLER).ip()])],
            numbers: BTreeMap::from([("800".to_owned(), Number { answer: Answer::AtStart, to })]),
            flows: BTreeMap::new(),
            queues: Vec::new(),
            agents: Vec::new(),
            registrar: offhook_sip::RegistrarLimits::default(),
            accounts: BTreeMap::new(),
            limits: Limits::default(),
        };
        Self {
            now,
            exchange: Exchange::new(now, config, IdSource::new(0, 1), Entropy::from_number(1)),
            wake: None,
            calls: 0,
            plans: BTreeMap::new(),
            sent: Vec::new(),
            reports: Vec::new(),
            records: 0,
            stored: 0,
        }
    }

    /// One call from its INVITE to the last 200.
    pub fn call(&mut self) {
        self.now += GAP;
        if self.wake.is_some_and(|at| at <= self.now) {
            self.input(Input::Timeout);
        }
        self.calls += 1;
        let n = self.calls;
        let caller = |method: &str, to_tag: &str, body: &str| {
            let (cseq, content) = if method == "BYE" { (2, "") } else { (1, "Content-Type: application/sdp\r\n") };
            let content = if body.is_empty() { "" } else { content };
            format!(
                "{method} sip:800@{SERVER} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{n}-{method}\r\n\
                 From: <sip:cx{n}@{CALLER}>;tag=1T{n}\r\nTo: <sip:800@{SERVER}>{to_tag}\r\nCall-ID: {n}-1@127.0.0.2\r\n\
                 CSeq: {cseq} {method}\r\nContact: <sip:cx{n}@{CALLER}>\r\nMax-Forwards: 70\r\n\
                 Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO\r\n{content}Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        self.receive(CALLER, &caller("INVITE", "", SDP));
        let invite = self.take(PHONE, "INVITE ");
        self.receive(PHONE, &reply(&invite, "180 Ringing", ""));
        self.receive(PHONE, &reply(&invite, "200 OK", SDP));
        self.take(PHONE, "ACK ");
        let answer = self.take(CALLER, "SIP/2.0 200 ");
        let to = line(&answer, "To: ");
        let tag = to.find(";tag=").map_or("", |at| &to[at..]);
        self.receive(CALLER, &caller("ACK", tag, ""));
        self.receive(CALLER, &caller("BYE", tag, ""));
        self.take(CALLER, "SIP/2.0 200 ");
        let bye = self.take(PHONE, "BYE ");
        self.receive(PHONE, &reply(&bye, "200 OK", ""));
        self.sent.clear();
    }

    fn receive(&mut self, from: &str, text: &str) {
        let message = Box::new(Message::parse(text.as_bytes()).expect("a message"));
        self.input(Input::Message { flow: flow(from), message });
        while let Some(event) = self.reports.pop() {
            self.input(Input::Media { worker: 0, event });
        }
    }

    fn input(&mut self, input: Input) {
        let now = self.now;
        self.exchange.handle(now, input);
        loop {
            match self.exchange.poll_output() {
                Output::Transmit { flow, bytes } => self.sent.push((flow.peer, bytes)),
                Output::Media { command, .. } => self.carry_out(command),
                Output::Log { event, .. } => self.stored += event.encode().len() as u64,
                Output::Record(_) => self.records += 1,
                Output::Person { .. }
                | Output::OpenRecording(_)
                | Output::CloseRecording { .. }
                | Output::Binding(_)
                | Output::Leg { .. }
                | Output::ExpectAlive { .. }
                | Output::WrongPassword { .. } => {}
                Output::Wait { until } => {
                    self.wake = until;
                    return;
                }
            }
        }
    }

    /// The worker's part: legs are open at once, and closed as soon as no plan has them.
    fn carry_out(&mut self, command: MediaCommand) {
        let (call, kept) = match command {
            MediaCommand::Apply(plan) => (plan.call, Some(*plan)),
            MediaCommand::Close(call) => (call, None),
        };
        let before = self.plans.remove(&call).map(|plan| plan.legs).unwrap_or_default();
        let keeps = |leg| kept.as_ref().is_some_and(|plan| plan.legs.iter().any(|kept| kept.leg == leg));
        let gone = before.iter().map(|leg| leg.leg).filter(|leg| !keeps(*leg));
        let closed = gone.map(|leg| MediaEvent::LegClosed {
            call,
            leg,
            report: LegReport::default(),
            speech: SpeechReport::default(),
            srtp: None,
        });
        self.reports.extend(closed);
        self.plans.extend(kept.map(|plan| (call, plan)));
    }

    fn take(&mut self, peer: &str, begins: &str) -> String {
        let peer = address(peer);
        let at = self.sent.iter().position(|(to, bytes)| *to == peer && bytes.starts_with(begins.as_bytes()));
        let (_, bytes) = self.sent.remove(at.unwrap_or_else(|| panic!("nothing like '{begins}' was sent to {peer}")));
        String::from_utf8(bytes).expect("text")
    }
}

/// The rest of the first line that begins so.
fn line<'a>(message: &'a str, begins: &str) -> &'a str {
    message.lines().find_map(|line| line.strip_prefix(begins)).expect("a header that every message has")
}

/// The phone's answer.
fn reply(request: &str, status: &str, body: &str) -> String {
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=phone\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Contact: <sip:agent@{PHONE};transport=UDP>\r\n{content}Content-Length: {}\r\n\r\n{body}",
        line(request, "Via: "),
        line(request, "From: "),
        line(request, "To: ").trim_end_matches(";tag=phone"),
        line(request, "Call-ID: "),
        line(request, "CSeq: "),
        body.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plain_call_leaves_a_record_and_no_call_behind() {
        let mut calls = PlainCalls::new();
        for _ in 0..100 {
            calls.call();
        }
        assert_eq!((calls.records, calls.exchange.calls_active(), calls.exchange.ports().0), (100, 0, 0));
    }
}
