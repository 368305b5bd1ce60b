//! The control thread: one owner of the SIP endpoint and of every call's state, fed in order by one channel.

mod buttons;
mod conference;
mod dial;
mod keepalive;
mod mailbox;
mod media;
mod road;
mod transfer;

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use offhook_codec::{Cadence, Tone};
use offhook_headset::{Lamps, VoiceSwitches};
use offhook_net::sip::Incoming;
use offhook_plan::Direction;
use offhook_sip::{
    EndCause, Endpoint, EndpointConfig, Event, Flow, Method, Output, Request, SessionId, Uri, reason_phrase, sdp,
};
use offhook_units::{Entropy, SampleRate, Span, Tick};

use self::keepalive::KeepAlive;
use self::mailbox::Mailbox;
use self::road::Road;
use crate::engine::{Engine, EngineConfig, Order, Report};
use crate::event::{PhoneEvent, Told};
use crate::line::{Due, Line, Stage, asked_to_answer, caller_of};
use crate::phone::{Command, Input, OFF_WITHIN, PhoneConfig, VoiceChange};
use crate::statistics::{Bound, EndedBy, MediaStatistics};
use crate::wire::Wire;

/// How long an engine may take to fall silent before BYE goes out all the same.
const QUIET_WITHIN: Span = Span::from_ms(200);
/// How long the end of a call that was given up is waited for.
const GIVEN_UP_WITHIN: Span = Span::from_s(1);
/// How long we listen on after our BYE was answered: the peer's last packets are under way.
const LINGER: Span = Span::from_ms(30);
/// How long an engine may take to close its files.
const FINISH_WITHIN: Span = Span::from_s(3);

/// How often our server is looked after where there is another one to go to.
const LOOKED_AFTER_EVERY: Span = Span::from_s(5);

/// What we answer to OPTIONS, and what we say in answers.
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK, NOTIFY";

pub(crate) struct Control {
    config: PhoneConfig,
    wire: Wire,
    local: SocketAddr,
    inputs: Sender<Input>,
    tell: Sender<Told>,
    calls: Arc<AtomicU32>,
    entropy: Entropy,
    endpoint: Endpoint,
    lines: BTreeMap<u32, Line>,
    by_session: BTreeMap<SessionId, u32>,
    road: Road,
    mailbox: Mailbox,
    keep_alive: KeepAlive,
    wake_at: Option<Tick>,
    off_by: Option<Tick>,
    /// What the headset shows, and whom we called last.
    lamps: Lamps,
    dialed: Option<(Option<SocketAddr>, Uri)>,
    /// Two calls in conference, the one with the headset first.
    conference: Option<(u32, u32)>,
}

impl Control {
    pub fn new(
        mut config: PhoneConfig,
        wire: Wire,
        local: SocketAddr,
        inputs: Sender<Input>,
        tell: Sender<Told>,
        calls: Arc<AtomicU32>,
        mut entropy: Entropy,
    ) -> Self {
        // What is offered can be spoken and heard here.
        config.caps.codecs.retain(|cap| offhook_media::coding_of(cap.kind).is_some());
        let endpoint_config = EndpointConfig {
            user_agent: concat!("Offhook-Phone/", env!("CARGO_PKG_VERSION")).to_owned(),
            transactions_max: 1_000,
            sessions_max: 200,
            methods: vec![Method::Options, Method::Notify],
            ..EndpointConfig::default()
        };
        let endpoint = Endpoint::new(endpoint_config, entropy.fork());
        let has_more = config.account.as_ref().is_some_and(|account| !account.others.is_empty());
        let every = if has_more { config.keep_alive.min(LOOKED_AFTER_EVERY) } else { config.keep_alive };
        let keep_alive = KeepAlive::new(every);
        Self {
            config,
            wire,
            local,
            inputs,
            tell,
            calls,
            entropy,
            endpoint,
            lines: BTreeMap::new(),
            by_session: BTreeMap::new(),
            road: Road::default(),
            mailbox: Mailbox::default(),
            keep_alive,
            wake_at: None,
            off_by: None,
            lamps: Lamps::default(),
            dialed: None,
            conference: None,
        }
    }

    /// Runs until switched off.
    pub fn run(&mut self, inbox: &Receiver<Input>) {
        self.say(PhoneEvent::Listening { address: self.local });
        self.register();
        self.drain();
        loop {
            let due = self.lines.values().filter_map(Line::next_due).min();
            let deadline =
                [self.wake_at, due, self.off_by, self.keep_alive.due(), self.road.due()].into_iter().flatten().min();
            let input = match deadline {
                Some(at) => inbox.recv_deadline(self.config.engine.clock.instant(at)),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match input {
                Ok(input) => self.take(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = self.now();
            if self.wake_at.is_some_and(|at| at <= now) {
                self.wake_at = None;
                self.endpoint.timeout(now);
            }
            self.do_what_is_due(now);
            self.drain();
            self.light();
            if self.off_by.is_some_and(|by| by <= now || (self.lines.is_empty() && self.road.registration.is_none())) {
                break;
            }
        }
        // Engines that are left end with their handles.
        self.lines.clear();
        self.say(PhoneEvent::Off);
    }

    fn now(&self) -> Tick {
        self.config.engine.clock.now()
    }

    fn say(&self, event: PhoneEvent) {
        if self.tell.try_send(Told { at: self.now(), event }).is_err() {
            tracing::debug!("nobody reads the phone's events");
        }
    }

    fn fault(&self, call: Option<u32>, what: impl Into<String>) {
        self.say(PhoneEvent::Fault { call, what: what.into() });
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Sip(batch) => {
                for incoming in batch {
                    match incoming {
                        Incoming::Message(flow, message) => self.endpoint.receive(now, flow, *message),
                        Incoming::Malformed(flow, error) => self.endpoint.receive_malformed(now, flow, *error),
                        Incoming::Lost(flow) => self.lost(now, flow),
                        // The phone knows no trunks.
                        Incoming::Proved(..) => {}
                        Incoming::Mapped(_, id, address) => self.mapped(now, id, address),
                    }
                    self.drain();
                }
            }
            Input::Media(call, report) => self.report(now, call, report),
            Input::Command(command) => self.command(now, command),
            Input::Press(press) => self.pressed(now, press),
        }
    }

    fn command(&mut self, now: Tick, command: Command) {
        match command {
            Command::Dial { call, peer, dial } => self.dial(now, call, peer, *dial),
            Command::Answer(call) => self.answer(now, call),
            Command::HangUp(call) => self.hang_up(now, call),
            Command::Hold(call, on) => self.hold(now, call, on),
            Command::Mute(call, on) => self.mute(call, on),
            Command::Keys(call, keys) => match self.lines.get(&call) {
                Some(line) => line.engine.tell(Order::Keys(keys)),
                None => self.fault(Some(call), "there is no such call"),
            },
            Command::Voice(change) => self.change_voice(change),
            Command::Transfer { call, to } => self.transfer(now, call, &to),
            Command::Join { call, with } => self.join(now, call, with),
            Command::Confer { call, with } => self.confer(now, call, with),
            Command::Split(call) => self.split(now, call),
            Command::Off => self.switch_off(now),
        }
    }

    /// From now on microphones are processed so, in calls that are up and in later ones.
    fn change_voice(&mut self, change: VoiceChange) {
        let switches = change.of(self.config.engine.voice);
        self.config.engine.voice = switches;
        for line in self.lines.values() {
            line.engine.tell(Order::Voice(switches));
        }
        let VoiceSwitches { echo, noise, gain } = switches;
        self.say(PhoneEvent::Voice { echo, noise, gain });
    }

    fn switch_off(&mut self, now: Tick) {
        if self.off_by.is_some() {
            return;
        }
        self.off_by = Some(now + OFF_WITHIN);
        for call in self.lines.keys().copied().collect::<Vec<_>>() {
            self.hang_up(now, call);
        }
        self.leave_mailbox(now);
        if let Some(registration) = self.road.registration {
            self.endpoint.unregister(now, registration);
        }
    }

    fn do_what_is_due(&mut self, now: Tick) {
        self.look_along_the_road(now);
        for call in self.lines.keys().copied().collect::<Vec<_>>() {
            let due = self.lines.get_mut(&call).map(|line| line.take_due(now)).unwrap_or_default();
            for what in due {
                match what {
                    Due::Answer => self.answer_by_itself(now, call),
                    Due::HangUp => self.hang_up(now, call),
                    Due::GiveUp => self.give_up(now, call),
                    Due::Keys(keys) => self.command(now, Command::Keys(call, keys)),
                    Due::Abandon => self.abandon(now, call),
                    Due::LeaveAnyway => self.leave(now, call),
                    Due::ReportAnyway => self.finish(now, call, MediaStatistics::default()),
                }
            }
        }
    }

    /// Sends what the endpoint wants sent and acts on what it tells, until it waits.
    fn drain(&mut self) {
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit { flow, bytes } => self.wire.send(flow, bytes),
                Output::Event(event) => self.event(event),
                Output::Wait { until } => {
                    self.wake_at = until;
                    return;
                }
            }
        }
    }

    fn event(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Invited { session, flow, request } => self.invited(now, session, flow, &request),
            Event::Cancelled { session, reason } => self.over(now, session, EndedBy::Cancelled, reason),
            Event::Confirmed { session, body } => self.with(session, |this, call| this.confirmed(now, call, body)),
            Event::Progress { session, status, body } => {
                self.with(session, |this, call| this.progress(call, status, body));
            }
            Event::Answered { session, body, response: _ } => {
                self.with(session, |this, call| this.answered(now, call, body));
            }
            Event::Refused { session, status, reason, cause: _, retry_after: _ } => {
                self.with(session, |this, call| {
                    if let Some(line) = this.lines.get_mut(&call) {
                        line.status = Some(status);
                    }
                });
                let words = if reason.is_empty() { reason_phrase(status).to_owned() } else { reason };
                self.over(now, session, EndedBy::Refused, Some(words));
            }
            Event::Reoffered { session, body } => self.with(session, |this, call| this.reoffered(now, call, body)),
            Event::ReofferAnswered { session, body } => {
                self.with(session, |this, call| this.reoffer_answered(now, call, body));
            }
            Event::ReofferRefused { session, status } => {
                self.with(session, |this, call| this.reoffer_refused(call, status));
            }
            // A phone calls nobody at somebody else's wish: that would be paid for by its account.
            Event::Referred { session, .. } => self.endpoint.refuse_refer(now, session, 603),
            Event::ReferAnswered { session, status, subscribed } => {
                self.with(session, |this, call| this.transfer_told(now, call, status, !subscribed));
            }
            Event::ReferProgress { session, status, over } => {
                self.with(session, |this, call| this.transfer_told(now, call, status, over));
            }
            // Keys by INFO are the server's business: it reports them to us as it likes.
            // It probes and records nobody, takes no subscriptions, and neither sends nor takes texts (`methods`).
            Event::Info { .. }
            | Event::Metadata { .. }
            | Event::Message { .. }
            | Event::Messaged { .. }
            | Event::Probed { .. }
            | Event::Resubscribed { .. }
            | Event::NotifyDue { .. }
            | Event::Unsubscribed { .. } => {}
            Event::Ended { session, cause } => {
                let (by, reason) = match cause {
                    EndCause::PeerBye { reason } => (EndedBy::Peer, reason),
                    EndCause::Hungup => (EndedBy::Us, None),
                    EndCause::TimedOut => (EndedBy::NoResponse, Some("no response".into())),
                    EndCause::NoAck => (EndedBy::NoResponse, Some("our answer was not acknowledged".into())),
                    EndCause::TransportFailed => (EndedBy::NoResponse, Some("the peer cannot be reached".into())),
                    EndCause::Expired => (EndedBy::NoResponse, Some("the peer did not refresh the call".into())),
                    EndCause::PeerGone => (EndedBy::Peer, Some("the peer knows the call no more".into())),
                };
                self.over(now, session, by, reason);
            }
            Event::Request { id, flow, request } => {
                let ours = self.is_ours(flow);
                self.asked(now, id, ours, &request, ALLOW);
            }
            Event::Seen { .. } | Event::WatchRefused { .. } => self.mailbox_told(event),
            Event::Registered { id, expires } => self.registered(id, expires),
            Event::RegistrationFailed { id: _, status, retry_in } => self.registration_failed(now, status, retry_in),
        }
    }

    fn with(&mut self, session: SessionId, act: impl FnOnce(&mut Self, u32)) {
        if let Some(call) = self.by_session.get(&session).copied() {
            act(self, call);
        }
    }

    fn account_name(&self) -> String {
        self.config.account.as_ref().map_or_else(String::new, |account| account.aor.to_string())
    }

    /// Starts an engine, and makes the call's local description.
    fn open_engine(&mut self, call: u32, flow: Flow) -> Option<(Engine, sdp::Local)> {
        let local = flow.local;
        let inputs = self.inputs.clone();
        let report = move |report| drop(inputs.send(Input::Media(call, report)));
        let config = numbered(&self.config.engine, call);
        match Engine::start(local.ip(), config, self.entropy.fork(), report) {
            Ok(engine) => {
                let session_id = self.now().as_us();
                let port = engine.local.port();
                let srtp = self.srtp_of(flow);
                Some((engine, sdp::Local { address: local.ip(), port, session_id, version: 1, srtp }))
            }
            Err(error) => {
                self.fault(Some(call), format!("no ports for sound: {error}"));
                None
            }
        }
    }

    /// Speech is encrypted as the phone is told to, where the keys can be told in secret.
    fn srtp_of(&mut self, flow: Flow) -> sdp::Srtp {
        sdp::Srtp::new(self.config.srtp, flow.transport.is_secure(), &mut self.entropy)
    }

    fn invited(&mut self, now: Tick, session: SessionId, flow: Flow, request: &Request) {
        let refuse = |this: &mut Self, status: u16| this.endpoint.refuse(now, session, status, Vec::new());
        if self.off_by.is_some() {
            return refuse(self, 480);
        }
        if self.lines.len() >= self.config.lines_max {
            return refuse(self, 486);
        }
        let their_offer = match request.description() {
            Ok(offer) => offer.map(<[u8]>::to_vec),
            Err(fault) => return refuse(self, fault.status()),
        };
        if let Some(offer) = &their_offer {
            let srtp = self.srtp_of(flow);
            let probe = sdp::Local { address: flow.local.ip(), port: 9, session_id: 1, version: 1, srtp };
            if let Err(error) = sdp::answer(offer, &probe, &self.config.caps, Direction::SendRecv) {
                self.fault(None, format!("a call was refused: {error}"));
                return refuse(self, error.status());
            }
        }
        let call = self.next_call();
        let Some((engine, local)) = self.open_engine(call, flow) else { return refuse(self, 500) };
        self.endpoint.progress(now, session, 180, None);
        let talks = self.lines.values().any(|line| line.stage == Stage::Talking);
        engine.tell(if talks { Order::Tone(Some(waiting())) } else { Order::Ring(ringing()) });
        let (number, name, queue) = caller_of(request);
        let mut due = Vec::new();
        let asked = if self.config.answer_when_asked && self.is_ours(flow) { asked_to_answer(request) } else { None };
        due.extend(self.config.auto_answer.or(asked).map(|after| (now + after, Due::Answer)));
        let line = Line {
            call,
            session,
            flow,
            bound: Bound::In,
            stage: Stage::Ringing,
            engine,
            local,
            our_offer: None,
            their_offer,
            negotiated: None,
            carrier: None,
            carried: None,
            muted: false,
            held_by_us: false,
            hold_next: None,
            held_by_peer: false,
            number: number.clone(),
            name: name.clone(),
            queue: queue.clone(),
            began: now,
            answered: None,
            ended: None,
            ended_by: None,
            status: None,
            reason: None,
            keys: Vec::new(),
            hang_up_after: self.config.hang_up_after,
            due,
        };
        self.lines.insert(call, line);
        self.by_session.insert(session, call);
        self.say(PhoneEvent::Incoming { call, number, name, queue });
    }

    fn next_call(&self) -> u32 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn hang_up(&mut self, now: Tick, call: u32) {
        let Some(line) = self.lines.get_mut(&call) else {
            return self.fault(Some(call), "there is no such call");
        };
        let session = line.session;
        let stage = line.stage;
        if stage == Stage::Talking {
            self.part(call);
        }
        let Some(line) = self.lines.get_mut(&call) else { return };
        match stage {
            Stage::Ringing => {
                line.end(now, EndedBy::Us, Some("declined".into()));
                self.endpoint.refuse(now, session, 486, Vec::new());
                self.over(now, session, EndedBy::Us, None);
            }
            Stage::Calling => {
                line.stage = Stage::Leaving;
                line.ended_by.get_or_insert(EndedBy::Us);
                line.due.clear();
                line.due.push((now + GIVEN_UP_WITHIN, Due::Abandon));
                self.endpoint.hang_up(now, session, None);
            }
            Stage::Talking => {
                line.stage = Stage::Quieting;
                line.due.clear();
                line.due.push((now + QUIET_WITHIN, Due::LeaveAnyway));
                line.engine.tell(Order::Quiet);
            }
            Stage::Quieting | Stage::Leaving | Stage::Over => {}
        }
    }

    /// Our sound has stopped: BYE.
    fn leave(&mut self, now: Tick, call: u32) {
        let Some(line) = self.lines.get_mut(&call).filter(|line| line.stage == Stage::Quieting) else { return };
        line.stage = Stage::Leaving;
        line.due.clear();
        line.end(now, EndedBy::Us, None);
        let session = line.session;
        self.endpoint.hang_up(now, session, None);
    }

    /// SIP is over: the engine hears the last packets out, and reports.
    fn over(&mut self, now: Tick, session: SessionId, by: EndedBy, reason: Option<String>) {
        let Some(call) = self.by_session.remove(&session) else { return };
        self.part(call);
        let Some(line) = self.lines.get_mut(&call) else { return };
        let we_hung_up = line.stage == Stage::Leaving;
        line.end(now, by, reason);
        line.stage = Stage::Over;
        line.due.clear();
        line.due.push((now + FINISH_WITHIN, Due::ReportAnyway));
        line.engine.tell(Order::Stop(if we_hung_up && line.answered.is_some() { LINGER } else { Span::ZERO }));
    }

    fn finish(&mut self, now: Tick, call: u32, media: MediaStatistics) {
        let Some(line) = self.lines.remove(&call) else { return };
        self.by_session.remove(&line.session);
        self.say(PhoneEvent::Ended { statistics: Box::new(line.statistics(now, media)) });
    }

    fn report(&mut self, now: Tick, call: u32, report: Report) {
        match report {
            Report::FirstPacket { after } => {
                self.say(PhoneEvent::FirstPacket { call, after_ms: after.as_us() as f64 / 1_000.0 });
            }
            Report::Key(digit) => self.say(PhoneEvent::Key { call, digit }),
            Report::PlayFinished => self.say(PhoneEvent::PlayFinished { call }),
            Report::KeysSent => self.say(PhoneEvent::KeysSent { call }),
            Report::KeysFailed(why) => self.fault(Some(call), format!("the keys were not sent: {why}")),
            Report::Quiet => self.leave(now, call),
            Report::Meters(meters) => self.say(PhoneEvent::Meters { call, meters }),
            Report::Device(what) => self.say(PhoneEvent::Device { call, what }),
            Report::File(what) => self.fault(Some(call), what),
            Report::Stopped(media) => self.finish(now, call, *media),
        }
    }
}

/// What another call sounds like in the ear of who talks: short, soft and seldom.
fn waiting() -> Tone {
    Tone::new(SampleRate::NARROW, [440.0, 440.0], 1_500, Cadence { on: Span::from_ms(200), off: Span::from_s(4) })
}

/// What an incoming call sounds like here.
fn ringing() -> Tone {
    Tone::new(SampleRate::NARROW, [440.0, 480.0], 6_000, Cadence { on: Span::from_s(1), off: Span::from_s(2) })
}

/// The second call's files get `-2` before their ending, so that no call overwrites another's.
fn numbered(config: &EngineConfig, call: u32) -> EngineConfig {
    let rename = |path: &Option<PathBuf>| {
        let path = path.as_ref()?;
        if call == 1 {
            return Some(path.clone());
        }
        let mut name = path.file_stem().unwrap_or_default().to_owned();
        name.push(format!("-{call}"));
        if let Some(ending) = path.extension() {
            name.push(".");
            name.push(ending);
        }
        Some(path.with_file_name(name))
    };
    EngineConfig {
        record: rename(&config.record),
        payloads_in: rename(&config.payloads_in),
        payloads_out: rename(&config.payloads_out),
        ..config.clone()
    }
}
