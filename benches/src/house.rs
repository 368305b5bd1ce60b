//! Plain calls, queue calls and registrations through a whole exchange, without sockets: a trunk dials a number or a queue, a
//! phone rings and answers, the caller hangs up; a phone registers with a password. Messages are parsed and printed, as in the
//! load benches.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use offhook_acd::{AgentConfig, QueueConfig, WrapUp};
use offhook_call::config::{
    Account, Agent, Announcement, Answer, Config, Destination, Limits, Login, Number, Queue, Reach, SessionTimers,
    Supervises, Trunk, Ways,
};
use offhook_call::{Exchange, Input, Output};
use offhook_plan::{AssetId, LegReport, MediaCaps, MediaCommand, MediaEvent, MediaPlan, SpeechReport};
use offhook_sip::{
    Algorithm, Challenge, Credentials, DigestConfig, Flow, Message, RegistrarLimits, Transport, answer_challenge,
};
use offhook_units::{AgentId, CallId, Entropy, IdSource, QueueId, Span, Tick};

const SERVER: &str = "127.0.0.1:5060";
const CALLER: &str = "127.0.0.2:5061";
const PHONE: &str = "127.0.0.3:5070";
const REGISTERING: &str = "127.0.0.4:5061";

/// Agents of the queue, and accounts.
const PEOPLE: u64 = 1_000;

/// Whether the exchange is at work, and not those whom it talks to: an allocator that counts looks here.
pub static AT_WORK: AtomicBool = AtomicBool::new(false);

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
pub struct House {
    now: Tick,
    exchange: Exchange,
    wake: Option<Tick>,
    /// Calls and registrations begun.
    begun: u64,
    plans: BTreeMap<CallId, MediaPlan>,
    /// What the exchange sent, in order: to whom, and what.
    sent: Vec<(SocketAddr, Vec<u8>)>,
    reports: Vec<MediaEvent>,
    /// Records kept: one a call.
    pub records: u64,
    /// Bytes of log entries handed to the store.
    pub stored: u64,
    /// Registrations handed to the store.
    pub bound: u64,
}

impl Default for House {
    fn default() -> Self {
        Self::new()
    }
}

impl House {
    /// An exchange without calls: 800 leads to a phone, 700 to a queue of [`PEOPLE`], and as many accounts may register.
    pub fn new() -> Self {
        let now = Tick::from_us(1_800_000_000_000_000);
        let mut house = Self {
            now,
            exchange: Exchange::new(now, config(), IdSource::new(0, 1), Entropy::from_number(1)),
            wake: None,
            begun: 0,
            plans: BTreeMap::new(),
            sent: Vec::new(),
            reports: Vec::new(),
            records: 0,
            stored: 0,
            bound: 0,
        };
        house.carry_out();
        house.stored = 0;
        house
    }

    /// One call to a phone, from its INVITE to the last 200.
    pub fn plain_call(&mut self) {
        self.call("800");
    }

    /// One call to the queue, whose agent is free.
    pub fn queue_call(&mut self) {
        self.call("700");
    }

    fn call(&mut self, number: &str) {
        let n = self.begin();
        let caller = |method: &str, to_tag: &str, body: &str| {
            let (cseq, content) = if method == "BYE" { (2, "") } else { (1, "Content-Type: application/sdp\r\n") };
            let content = if body.is_empty() { "" } else { content };
            format!(
                "{method} sip:{number}@{SERVER} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{n}-{method}\r\n\
                 From: <sip:cx{n}@{CALLER}>;tag=1T{n}\r\nTo: <sip:{number}@{SERVER}>{to_tag}\r\nCall-ID: {n}-1@127.0.0.2\r\n\
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

    /// One phone registers: it is challenged, and shows its password (MD5).
    pub fn registration(&mut self) {
        let n = self.begin();
        let user = 1 + n % PEOPLE;
        let uri = format!("sip:{SERVER}");
        let register = |cseq: u32, authorization: &str| {
            format!(
                "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {REGISTERING};branch=z9hG4bK-{n}-{cseq}\r\n\
                 From: <sip:r{user:04}@127.0.0.1>;tag=1R{n}\r\nTo: <sip:r{user:04}@127.0.0.1>\r\nCall-ID: {n}-1@127.0.0.4\r\n\
                 CSeq: {cseq} REGISTER\r\nContact: <sip:r{user:04}@{REGISTERING}>\r\n{authorization}Max-Forwards: 70\r\n\
                 Expires: 3600\r\nContent-Length: 0\r\n\r\n"
            )
        };
        self.receive(REGISTERING, &register(1, ""));
        let refusal = self.take(REGISTERING, "SIP/2.0 401 ");
        let challenge = Challenge::parse(line(&refusal, "WWW-Authenticate: ")).expect("a challenge");
        let credentials = Credentials { username: format!("r{user:04}"), password: format!("pw{user:04}") };
        let answer = answer_challenge(&challenge, &credentials, "REGISTER", &uri, "6b8b4567", 1);
        self.receive(REGISTERING, &register(2, &format!("Authorization: {answer}\r\n")));
        self.take(REGISTERING, "SIP/2.0 200 ");
        self.sent.clear();
    }

    /// Time goes on to the next call or registration; gives its number.
    fn begin(&mut self) -> u64 {
        self.now += GAP;
        if self.wake.is_some_and(|at| at <= self.now) {
            self.turn(None);
        }
        self.begun += 1;
        self.begun
    }

    fn receive(&mut self, from: &str, text: &str) {
        self.turn(Some((flow(from), text)));
    }

    /// A message comes in, or time has passed; then what the media worker has to say. All that the exchange does it does in here,
    /// and it is not inlined, so that this can be counted alone.
    #[inline(never)]
    fn turn(&mut self, came: Option<(Flow, &str)>) {
        AT_WORK.store(true, Ordering::Relaxed);
        let input = came.map_or(Input::Timeout, |(flow, text)| {
            let message = Box::new(Message::parse(text.as_bytes()).expect("a message"));
            Input::Message { flow, message }
        });
        self.input(input);
        while let Some(event) = self.reports.pop() {
            self.input(Input::Media { worker: 0, event });
        }
        AT_WORK.store(false, Ordering::Relaxed);
    }

    fn input(&mut self, input: Input) {
        self.exchange.handle(self.now, input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        loop {
            match self.exchange.poll_output() {
                Output::Transmit { flow, bytes } => self.sent.push((flow.peer, bytes)),
                Output::Media { command, .. } => self.obey(command),
                Output::Log { event, .. } => self.stored += event.encode().len() as u64,
                Output::Record(_) => self.records += 1,
                Output::Binding(_) => self.bound += 1,
                Output::Person { .. }
                | Output::OpenRecording(_)
                | Output::PauseRecording { .. }
                | Output::ResumeRecording { .. }
                | Output::CloseRecording { .. }
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
    fn obey(&mut self, command: MediaCommand) {
        let (call, kept) = match command {
            MediaCommand::Apply(plan) => (plan.call, Some(*plan)),
            MediaCommand::Close(call) => (call, None),
            MediaCommand::Move(goes) => {
                if let Some(plan) = self.plans.get_mut(&goes.from) {
                    plan.legs.retain(|leg| leg.leg != goes.leg);
                }
                return;
            }
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

/// As the load benches have it.
fn config() -> Config {
    let to = Destination::Dial { flow: flow(PHONE), ring_for: Span::from_s(60) };
    let queue = QueueId(1);
    let digest = DigestConfig { algorithms: vec![Algorithm::Md5], ..DigestConfig::default() };
    Config {
        name: "Offhook".to_owned(),
        realm: "offhook".to_owned(),
        advertise: None,
        large_requests_over: Vec::new(),
        nat_ping: offhook_call::config::NAT_PING,
        session_timers: SessionTimers::default(),
        rtp_ports: 10_000..=20_999,
        browser_port: None,
        browser_addresses: Vec::new(),
        turn: None,
        media_workers: 1,
        caps: MediaCaps::g711(),
        tones: offhook_call::config::Tones::default(),
        srtp: offhook_call::config::SrtpSettings::default(),
        dtls: None,
        numbering: None,
        trunks: vec![Trunk::new("load", vec![address(CALLER).ip()])],
        calendars: Vec::new(),
        numbers: BTreeMap::from([
            ("800".to_owned(), Number { answer: Answer::AtStart, to, tones: None, gate: None, record: None }),
            (
                "700".to_owned(),
                Number {
                    answer: Answer::AtStart,
                    to: Destination::Queue(queue),
                    tones: None,
                    gate: None,
                    record: None,
                },
            ),
        ]),
        flows: BTreeMap::new(),
        queues: vec![Queue {
            acd: QueueConfig { wrap_up: WrapUp::For(Span::ZERO), ..QueueConfig::new(queue, "load") },
            music: vec![AssetId(0)],
            announce_every: Span::ZERO,
            announcement: Announcement::default(),
            expected_wait: Announcement::default(),
            nobody_here: vec![AssetId(1)],
            full: vec![AssetId(2)],
            record: None,
            consent: None,
            pause_on_keys: None,
            sticky: None,
            resume_within: None,
            codes: offhook_call::config::WrapUpCodes::default(),
            external: None,
            ways: Ways::default(),
        }],
        agents: (1..=PEOPLE).map(|n| agent(n, queue)).collect(),
        recording: offhook_call::config::Recording::default(),
        lending: offhook_call::config::Lending::default(),
        registrar: RegistrarLimits { digest, ..RegistrarLimits::default() },
        accounts: (1..=PEOPLE).map(|n| (format!("r{n:04}"), Account::new(format!("pw{n:04}")))).collect(),
        entrances: Vec::new(),
        limits: Limits::default(),
    }
}

fn agent(n: u64, queue: QueueId) -> Agent {
    let acd = AgentConfig {
        decline_delay: Span::ZERO,
        no_answer_delay: Span::ZERO,
        max_missed: 0,
        ..AgentConfig::new(AgentId(n), format!("a{n:04}")).in_queue(queue, 1, n as u32)
    };
    Agent {
        acd,
        reach: Reach::Static { uri: format!("sip:a{n:04}@{PHONE}"), flow: flow(PHONE) },
        login: Login::AtStart,
        supervises: Supervises::default(),
        record: None,
        busy_delay: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_leaves_a_record_and_no_call_behind() {
        let mut house = House::new();
        for _ in 0..50 {
            house.plain_call();
            house.queue_call();
        }
        assert_eq!((house.records, house.exchange.calls_active(), house.exchange.ports().0), (100, 0, 0));
    }

    #[test]
    fn every_registration_is_challenged_and_kept() {
        let mut house = House::new();
        for _ in 0..100 {
            house.registration();
        }
        assert_eq!((house.bound, house.exchange.counters().registrations), (100, 100));
    }
}
