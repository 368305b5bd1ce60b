//! Accounts that register and register again, without sockets or clocks: from the instant at which a REGISTER is due to what came of it.
//!
//! Accounts take turns: the first turn of each registers it, further ones refresh its registration. The first REGISTER of an account
//! is challenged; those after it answer the challenge of the one before, so that a refresh is one request where the server lets a
//! nonce be used again, and two where it does not.

mod report;
mod run;

use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};

use offhook_net::streams::{Lead, Tls};
use offhook_sip::{
    Credentials, Endpoint, EndpointConfig, Event, Flow, Message, NameAddr, Output as SipOutput, ParseError, Register,
    RegistrationId, Response, Transport, Uri, reason_phrase,
};
use offhook_units::{Entropy, Span, Tick};

use crate::arrivals::{Arrivals, Pattern};
use crate::driver::CAUSES_MAX;
use crate::load::numbered;
use crate::statistics::Times;

pub use self::report::{RegisterReport, RegisterSecond, RegisterServer};
pub use self::run::run;

/// Most accounts of a run.
pub const ACCOUNTS_MAX: u32 = 1_000_000;
/// After a failure an account waits for its next turn, and not for a time of its own.
const NEVER: Span = Span::from_s(365 * 86_400);
/// How long a run waits at its end for REGISTERs that are under way: one that nobody answers is given up after 64 T1, 32 s.
const OVER_WITHIN: Span = Span::from_s(40);

/// A run of registrations.
#[derive(Debug, Clone)]
pub struct RegisterLoad {
    /// Where REGISTERs are sent.
    pub server: SocketAddr,
    /// What SIP goes over: UDP, or one connection for all accounts.
    pub transport: Transport,
    /// Whom we believe over TLS; without it there are no connections over it.
    pub tls: Option<Tls>,
    /// What the registrar is called.
    pub lead: Lead,
    /// The domain that the accounts belong to.
    pub domain: Uri,
    /// Where accounts send from, and say that they are: port 0 takes a free one.
    pub local: SocketAddr,
    /// How many accounts there are.
    pub accounts: u32,
    /// The first number in `user`.
    pub first: u32,
    /// Their user part: `{n}`, or `{n:04}` with leading zeros.
    pub user: String,
    /// Their password, in the same way.
    pub password: String,
    /// When REGISTERs are due.
    pub pattern: Pattern,
    /// For how long; none: until each account has had one turn.
    pub lasting: Option<Span>,
    /// How long a registration is asked for.
    pub expires: Span,
    /// Whether accounts stay registered at the end.
    pub keep: bool,
    /// The process under test, on this machine.
    pub server_pid: Option<u32>,
}

/// What became of the REGISTERs.
#[derive(Debug, Clone, Default)]
pub struct RegisterFigures {
    /// Turns that came due.
    pub due: u64,
    /// Of these: left out, because the account's REGISTER before was still unanswered.
    pub still_out: u64,
    /// Accounts that were registered for the first time.
    pub registered: u64,
    /// Registrations that were refreshed in their turn.
    pub refreshed: u64,
    /// Refreshed without a turn, because the server granted so short a time that it ran out.
    pub ran_out: u64,
    /// Registrations that were ended.
    pub left: u64,
    /// REGISTERs that failed, those of the end included.
    pub failed: u64,
    /// Why.
    pub causes: BTreeMap<String, u64>,
    /// Accounts that are registered now.
    pub now_in: u64,
    /// Accounts whose REGISTER is under way.
    pub now_out: u64,
    /// Most of these at once.
    pub most_out: u64,
    /// Requests sent, those after a challenge and those sent again included.
    pub requests: u64,
    /// When the last registration or refresh was answered.
    pub last_done: Option<Tick>,
    /// From when a first registration was due to its 200, the challenge in between.
    pub first: Times,
    /// As `first`, of refreshes.
    pub refresh: Times,
    /// As `first`, of those that end.
    pub leave: Times,
    /// How late REGISTERs were begun.
    pub late: Times,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send a message.
    Transmit {
        /// Between which addresses.
        flow: Flow,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Nothing until then.
    Wait {
        /// The next timer, or none.
        until: Option<Tick>,
    },
}

#[derive(Debug, Clone, Copy, Default)]
struct Account {
    id: Option<RegistrationId>,
    /// Since when the REGISTER is due that is under way.
    asked: Option<Tick>,
    /// Since when it is to be registered no more.
    leaves: Option<Tick>,
    is_in: bool,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// No turn comes any more; answers do.
    Waiting {
        until: Tick,
    },
    /// Accounts leave.
    Leaving {
        until: Tick,
    },
    Over,
}

/// All accounts of a run.
#[derive(Debug)]
pub struct Registrations {
    load: RegisterLoad,
    endpoint: Endpoint,
    entropy: Entropy,
    flow: Flow,
    accounts: Vec<Account>,
    by_id: BTreeMap<RegistrationId, u32>,
    arrivals: Arrivals,
    began: Tick,
    /// When the next turn is due, and whose it is.
    next_turn: Option<Tick>,
    turn: u32,
    /// Of those who leave: the first instant, and how many have begun.
    leaving_from: Tick,
    leaving: u32,
    leaves_per_s: f64,
    /// When the last turn was due that was begun.
    last_due: Option<Tick>,
    stage: Stage,
    /// What is failing because nothing reaches the server.
    is_unreachable: bool,
    figures: RegisterFigures,
    out: VecDeque<Output>,
    timer: Option<Tick>,
}

impl Registrations {
    /// A run that begins at `now`; `local` is the address that the socket is bound to.
    pub fn new(now: Tick, load: RegisterLoad, local: SocketAddr, mut entropy: Entropy) -> Self {
        let config = EndpointConfig {
            user_agent: concat!("Offhook-Bench/", env!("CARGO_PKG_VERSION")).to_owned(),
            transactions_max: 2_000_000,
            methods: Vec::new(),
            registration_retry: NEVER,
            registration_retry_max: NEVER,
            ..EndpointConfig::default()
        };
        let leaves_per_s = match &load.pattern {
            Pattern::Even(rates) | Pattern::Poisson(rates) => rates.highest(),
            Pattern::At(_) => f64::from(load.accounts),
        };
        let mut registrations = Self {
            endpoint: Endpoint::new(config, entropy.fork()),
            flow: Flow { transport: load.transport, local, peer: load.server },
            accounts: vec![Account::default(); load.accounts as usize],
            by_id: BTreeMap::new(),
            arrivals: Arrivals::new(load.pattern.clone(), load.lasting.unwrap_or(Span::MAX)),
            began: now,
            next_turn: None,
            turn: 0,
            leaving_from: now,
            leaving: 0,
            leaves_per_s: leaves_per_s.max(1.0),
            last_due: None,
            stage: Stage::Running,
            is_unreachable: false,
            figures: RegisterFigures::default(),
            out: VecDeque::new(),
            timer: None,
            load,
            entropy,
        };
        registrations.plan();
        registrations
    }

    /// A message came in.
    pub fn receive(&mut self, now: Tick, flow: Flow, message: Message) {
        self.endpoint.receive(now, flow, message);
        self.drain(now);
    }

    /// A datagram came in that is no message.
    pub fn receive_malformed(&mut self, now: Tick, flow: Flow, error: ParseError) {
        self.endpoint.receive_malformed(now, flow, error);
        self.drain(now);
    }

    /// Nothing reaches the far end of `flow`.
    pub fn transport_failed(&mut self, now: Tick, flow: Flow) {
        self.is_unreachable = true;
        self.endpoint.transport_failed(now, flow);
        self.drain(now);
        self.is_unreachable = false;
    }

    /// The instant of the last [`Output::Wait`] is reached.
    pub fn timeout(&mut self, now: Tick) {
        if self.timer.is_some_and(|timer| timer <= now) {
            self.endpoint.timeout(now);
            self.drain(now);
        }
        while let Some(due) = self.next_turn.filter(|due| *due <= now && self.stage == Stage::Running) {
            self.take_turn(now, due);
            self.plan();
            self.drain(now);
        }
        while let Some(due) = self.next_leave().filter(|due| *due <= now) {
            self.leave(now, due);
            self.drain(now);
        }
        self.look(now);
    }

    /// No turn comes any more; whoever is registered leaves.
    pub fn stop(&mut self, now: Tick) {
        if self.stage == Stage::Running {
            self.next_turn = None;
            self.look(now);
        } else if matches!(self.stage, Stage::Waiting { .. }) {
            self.begin_leaving(now);
            self.look(now);
        } else {
            self.stage = Stage::Over;
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.out.pop_front() {
            return output;
        }
        let ends = match self.stage {
            Stage::Waiting { until } | Stage::Leaving { until } => Some(until),
            Stage::Running | Stage::Over => None,
        };
        Output::Wait { until: [self.timer, self.next_turn, self.next_leave(), ends].into_iter().flatten().min() }
    }

    /// Whether the run is over.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// When the first turn was due.
    pub const fn began(&self) -> Tick {
        self.began
    }

    /// From when the first turn was due to when the last one was that was taken.
    pub fn turns_over(&self) -> Span {
        self.last_due.map_or(Span::ZERO, |last| last.since(self.began))
    }

    /// Whether turns still come.
    pub fn is_running(&self) -> bool {
        self.stage == Stage::Running
    }

    /// What came of it so far.
    pub const fn figures(&self) -> &RegisterFigures {
        &self.figures
    }

    fn plan(&mut self) {
        let is_enough = self.load.lasting.is_none() && self.figures.due >= u64::from(self.load.accounts);
        let next = if is_enough { None } else { self.arrivals.next(&mut self.entropy) };
        self.next_turn = next.map(|after| self.began + after);
    }

    fn take_turn(&mut self, now: Tick, due: Tick) {
        let number = self.turn;
        self.turn = (self.turn + 1) % self.load.accounts.max(1);
        self.figures.due += 1;
        self.last_due = Some(due);
        let Some(account) = self.accounts.get_mut(number as usize) else { return };
        if account.asked.is_some() {
            self.figures.still_out += 1;
            return;
        }
        account.asked = Some(due);
        self.figures.late.note_since(due, now);
        self.figures.now_out += 1;
        self.figures.most_out = self.figures.most_out.max(self.figures.now_out);
        if let Some(id) = account.id {
            return self.endpoint.register_again(now, id);
        }
        let of = u64::from(self.load.first) + u64::from(number);
        let (user, password) = (numbered(&self.load.user, of), numbered(&self.load.password, of));
        let domain = &self.load.domain;
        let register = Register {
            flow: self.flow,
            registrar: domain.clone(),
            aor: NameAddr::new(Uri::sip(Some(&user), &domain.host, domain.port)),
            contact: self.flow.contact(Some(&user), None),
            expires: self.load.expires,
            credentials: Some(Credentials { username: user, password }),
        };
        let id = self.endpoint.register(now, register);
        account.id = Some(id);
        self.by_id.insert(id, number);
    }

    fn begin_leaving(&mut self, now: Tick) {
        self.leaving_from = now;
        let takes = Span::from_us((f64::from(self.load.accounts) / self.leaves_per_s * 1e6) as u64);
        self.stage = Stage::Leaving { until: now + takes + OVER_WITHIN };
    }

    fn next_leave(&self) -> Option<Tick> {
        let is_left = matches!(self.stage, Stage::Leaving { .. }) && self.leaving < self.load.accounts;
        let after = Span::from_us((f64::from(self.leaving) / self.leaves_per_s * 1e6) as u64);
        is_left.then(|| self.leaving_from + after)
    }

    fn leave(&mut self, now: Tick, due: Tick) {
        let number = self.leaving as usize;
        self.leaving += 1;
        let Some(account) = self.accounts.get_mut(number) else { return };
        // Whoever is not registered has nothing to end; a REGISTER that is still under way is forgotten.
        if let (Some(id), true) = (account.id, account.is_in) {
            account.leaves = Some(due);
            self.endpoint.unregister(now, id);
        }
    }

    /// Goes on to the next stage where it is time.
    fn look(&mut self, now: Tick) {
        loop {
            match self.stage {
                Stage::Running if self.next_turn.is_none() => self.stage = Stage::Waiting { until: now + OVER_WITHIN },
                Stage::Waiting { until } if self.figures.now_out == 0 || until <= now => {
                    if self.load.keep || self.figures.now_in == 0 {
                        self.stage = Stage::Over;
                    } else {
                        self.begin_leaving(now);
                    }
                }
                Stage::Leaving { until } => {
                    let is_done = self.leaving >= self.load.accounts && self.figures.now_in == 0;
                    if !is_done && until > now {
                        return;
                    }
                    self.stage = Stage::Over;
                }
                Stage::Running | Stage::Waiting { .. } | Stage::Over => return,
            }
        }
    }

    fn drain(&mut self, now: Tick) {
        loop {
            match self.endpoint.poll_output() {
                SipOutput::Transmit { flow, bytes } => {
                    self.figures.requests += u64::from(bytes.starts_with(b"REGISTER "));
                    self.out.push_back(Output::Transmit { flow, bytes });
                }
                SipOutput::Event(Event::Registered { id, expires }) => self.registered(now, id, expires),
                SipOutput::Event(Event::RegistrationFailed { id, status, .. }) => self.failed(id, status),
                // Nobody is called here; what is asked all the same is told that the method is unknown.
                SipOutput::Event(Event::Invited { session, .. }) => {
                    self.endpoint.refuse(now, session, 480, Vec::new());
                }
                SipOutput::Event(Event::Request { id, request, .. }) => {
                    self.endpoint.respond(now, id, Response::to_request(&request, 501));
                }
                SipOutput::Event(_) => {}
                SipOutput::Wait { until } => {
                    self.timer = until;
                    break;
                }
            }
        }
        self.look(now);
    }

    fn registered(&mut self, now: Tick, id: RegistrationId, expires: Span) {
        let Some(number) = self.by_id.get(&id).copied() else { return };
        let (Some(account), figures) = (self.accounts.get_mut(number as usize), &mut self.figures) else { return };
        let asked = account.asked.take();
        figures.now_out -= u64::from(asked.is_some());
        if expires == Span::ZERO {
            if core::mem::take(&mut account.is_in) {
                figures.now_in -= 1;
            }
            figures.left += 1;
            if let Some(due) = account.leaves {
                figures.leave.note_since(due, now);
            }
            return;
        }
        let was_in = core::mem::replace(&mut account.is_in, true);
        figures.last_done = Some(now);
        figures.now_in += u64::from(!was_in);
        match (was_in, asked) {
            (false, Some(due)) => {
                figures.registered += 1;
                figures.first.note_since(due, now);
            }
            (true, Some(due)) => {
                figures.refreshed += 1;
                figures.refresh.note_since(due, now);
            }
            (_, None) => figures.ran_out += 1,
        }
        // An answer that came after all, when the account's turn to leave was over.
        if matches!(self.stage, Stage::Leaving { .. }) && number < self.leaving && account.leaves.is_none() {
            account.leaves = Some(now);
            self.endpoint.unregister(now, id);
        }
    }

    fn failed(&mut self, id: RegistrationId, status: Option<u16>) {
        let account = self.by_id.get(&id).and_then(|number| self.accounts.get_mut(*number as usize));
        let (Some(account), figures) = (account, &mut self.figures) else { return };
        figures.now_out -= u64::from(account.asked.take().is_some());
        let mut why = match status {
            Some(status) => format!("{status} {}", reason_phrase(status)),
            None if self.is_unreachable => "the server cannot be reached".to_owned(),
            None => "no answer within 32 s".to_owned(),
        };
        // A refresh that failed ends nothing: the binding is there until it runs out. One that was to end is given up.
        if account.leaves.is_some() {
            why.push_str(", when leaving");
            figures.now_in -= u64::from(core::mem::take(&mut account.is_in));
        }
        figures.failed += 1;
        let why =
            if figures.causes.len() < CAUSES_MAX || figures.causes.contains_key(&why) { why } else { "other".into() };
        *figures.causes.entry(why).or_insert(0) += 1;
    }
}
