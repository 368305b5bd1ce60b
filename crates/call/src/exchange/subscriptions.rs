//! What phones of ours may watch (RFC 6665): the calls of a colleague's phone (RFC 4235), a colleague's presence (RFC 3856) and
//! the own mailbox (RFC 3842), which is empty as long as there is no voicemail.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use offhook_acd::AgentKind;
use offhook_sip::{Body, Flow, Request, RequestId, Response, Subscribed, SubscriptionId};
use offhook_units::{AgentId, CallId, Tick};

use super::Exchange;
use super::incoming::RETRY_AFTER;
use super::placing::Refusal;
use super::state::{Call, Stage};
use crate::config::Login;

/// Subscriptions of one account; one more gets 403.
pub const SUBSCRIPTIONS_PER_ACCOUNT_MAX: usize = 100;

/// The event packages, as they stand in `Allow-Events`.
pub(super) const PACKAGES: &str = "dialog, presence, message-summary";

/// Why subscriptions end when the exchange does: phones come back after this many seconds (RFC 6665 section 4.1.3).
const WHILE_LEAVING: &str = "probation;retry-after=30";

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Package {
    Dialog,
    Presence,
    MessageSummary,
}

impl Package {
    /// From the value of `Event`, whose parameters say nothing to us.
    fn of(event: &str) -> Option<Self> {
        let name = event.split(';').next().unwrap_or_default().trim();
        let known = [("dialog", Self::Dialog), ("presence", Self::Presence), ("message-summary", Self::MessageSummary)];
        known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, package)| package)
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Dialog => "application/dialog-info+xml",
            Self::Presence => "application/pidf+xml",
            Self::MessageSummary => "application/simple-message-summary",
        }
    }
}

/// One subscription of a phone of ours.
#[derive(Debug)]
struct Watch {
    /// Whose phone watches.
    account: String,
    package: Package,
    /// Who is watched.
    agent: AgentId,
    /// As the watcher calls it, fit for a document of its package.
    entity: String,
    /// Of the next document, RFC 4235 section 4.3.
    version: u64,
    /// What the document told last has inside.
    told: String,
    /// It asked to be told anew while a NOTIFY was under way.
    owed: bool,
}

/// When a watcher is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tell {
    /// Where there is something new.
    News,
    /// Also what it knows.
    Anyway,
}

impl Watch {
    /// The whole document around what is told now.
    fn document(&self) -> Body {
        let Self { entity, version, told, .. } = self;
        let text = match self.package {
            Package::Dialog => format!(
                "<?xml version=\"1.0\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" \
                 state=\"full\" entity=\"{entity}\">\r\n{told}</dialog-info>\r\n"
            ),
            Package::Presence => format!(
                "<?xml version=\"1.0\"?>\r\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
                 xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
                 entity=\"{entity}\">\r\n{told}</presence>\r\n"
            ),
            Package::MessageSummary => format!("{told}Message-Account: {entity}\r\n"),
        };
        Body { content_type: self.package.content_type().to_owned(), bytes: text.into_bytes() }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Watches {
    all: BTreeMap<SubscriptionId, Watch>,
    /// How many each account has.
    by_account: BTreeMap<String, usize>,
    by_agent: BTreeMap<AgentId, BTreeSet<SubscriptionId>>,
    /// Agents who are watched and may look different.
    touched: BTreeSet<AgentId>,
}

impl Watches {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Notes that an agent may look different.
    pub fn touch(&mut self, agent: AgentId) {
        if self.by_agent.contains_key(&agent) {
            self.touched.insert(agent);
        }
    }

    /// As [`Self::touch`], for each.
    pub fn touch_all(&mut self, agents: impl IntoIterator<Item = AgentId>) {
        if !self.by_agent.is_empty() {
            for agent in agents {
                self.touch(agent);
            }
        }
    }

    fn of_account(&self, account: &str) -> usize {
        self.by_account.get(account).copied().unwrap_or_default()
    }

    fn add(&mut self, id: SubscriptionId, watch: Watch) {
        *self.by_account.entry(watch.account.clone()).or_default() += 1;
        self.by_agent.entry(watch.agent).or_default().insert(id);
        self.all.insert(id, watch);
    }

    fn remove(&mut self, id: SubscriptionId) {
        let Some(watch) = self.all.remove(&id) else { return };
        if let Some(count) = self.by_account.get_mut(&watch.account) {
            *count -= 1;
            if *count == 0 {
                self.by_account.remove(&watch.account);
            }
        }
        if let Some(ids) = self.by_agent.get_mut(&watch.agent) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_agent.remove(&watch.agent);
            }
        }
    }
}

impl Exchange {
    /// SUBSCRIBE outside of every dialog: only phones of ours, whom they may know, what there is.
    pub(super) fn subscribe(&mut self, now: Tick, id: RequestId, flow: Flow, request: &Request) {
        let (mut watch, body) = match self.judge_watch(now, flow, request) {
            Ok(taken) => taken,
            Err(Refusal { status, headers }) => {
                // To be asked for a password is no refusal.
                self.counters.subscriptions_refused += u64::from(status != 401);
                let mut response = Response::to_request(request, status);
                for (name, value) in &headers {
                    response.headers.push(name, value);
                }
                return self.endpoint.respond(now, id, response);
            }
        };
        let contact = self.contact(flow);
        match self.endpoint.accept_subscription(now, id, flow, request, contact, body) {
            Subscribed::Lasting(subscription) => {
                watch.version = 1;
                self.watches.add(subscription, watch);
                self.counters.subscriptions += 1;
            }
            Subscribed::Once => self.counters.subscriptions += 1,
            Subscribed::Refused => self.counters.subscriptions_refused += 1,
        }
    }

    /// Who wants to watch whom, and what there is to see now.
    fn judge_watch(&mut self, now: Tick, flow: Flow, request: &Request) -> Result<(Watch, Body), Refusal> {
        let account = self.account_of(now, flow, request)?;
        if self.drain_by.is_some() {
            let after = ("Retry-After".to_owned(), RETRY_AFTER.as_s().to_string());
            return Err(Refusal { status: 503, headers: vec![after] });
        }
        let Some(package) = request.headers.get("Event").and_then(Package::of) else {
            let headers = vec![("Allow-Events".to_owned(), PACKAGES.to_owned())];
            return Err(Refusal { status: 489, headers });
        };
        let wanted = request.uri.user_decoded().unwrap_or_default().into_owned();
        let agent = self.callable.get(&wanted).copied().ok_or(404)?;
        // A mailbox is its owner's alone.
        if package == Package::MessageSummary && self.accounts.get(&account) != Some(&agent) {
            return Err(403.into());
        }
        if self.watches.of_account(&account) >= SUBSCRIPTIONS_PER_ACCOUNT_MAX {
            return Err(403.into());
        }
        let entity = format!("sip:{}@{}", super::legs::escape_user(&wanted), self.config.realm);
        let entity = match package {
            Package::Dialog | Package::Presence => xml(&entity),
            Package::MessageSummary => entity,
        };
        let mut watch = Watch { account, package, agent, entity, version: 0, told: String::new(), owed: false };
        watch.told = self.seen_by(&watch);
        let body = watch.document();
        Ok((watch, body))
    }

    /// A phone asked for its subscription to go on: it is told everything anew (RFC 6665 section 4.2.1.2).
    pub(super) fn resubscribed(&mut self, now: Tick, id: SubscriptionId) {
        self.tell_watcher(now, id, Tell::Anyway);
    }

    /// A phone has what it was told last, and there was more.
    pub(super) fn notify_due(&mut self, now: Tick, id: SubscriptionId) {
        self.tell_watcher(now, id, Tell::News);
    }

    /// A subscription is over.
    pub(super) fn unsubscribed(&mut self, id: SubscriptionId) {
        self.watches.remove(id);
    }

    /// Ends all subscriptions, for phones to come back in a while.
    pub(super) fn leave_watchers(&mut self, now: Tick) {
        let all = core::mem::take(&mut self.watches);
        for id in all.all.into_keys() {
            self.endpoint.end_subscription(now, id, WHILE_LEAVING);
        }
    }

    /// Tells those who watch agents that look different. Gives whether anything was told.
    pub(super) fn tell_watchers(&mut self, now: Tick) -> bool {
        let mut told = false;
        while let Some(agent) = self.watches.touched.pop_first() {
            let ids: Vec<SubscriptionId> = self.watches.by_agent.get(&agent).into_iter().flatten().copied().collect();
            for id in ids {
                told |= self.tell_watcher(now, id, Tell::News);
            }
        }
        told
    }

    /// Tells a watcher what there is to see now; not while the NOTIFY before is under way. Gives whether anything was told.
    fn tell_watcher(&mut self, now: Tick, id: SubscriptionId, tell: Tell) -> bool {
        let Some(watch) = self.watches.all.get(&id) else { return false };
        let inside = self.seen_by(watch);
        let is_owed = match tell {
            Tell::Anyway => true,
            Tell::News => watch.owed || watch.told != inside,
        };
        let Some(watch) = self.watches.all.get_mut(&id).filter(|_| is_owed) else { return false };
        if !self.endpoint.may_notify(id) {
            watch.owed |= tell == Tell::Anyway;
            return false;
        }
        (watch.told, watch.owed) = (inside, false);
        let body = watch.document();
        watch.version += 1;
        self.endpoint.notify(now, id, body);
        true
    }

    /// What a watcher can see now.
    fn seen_by(&self, watch: &Watch) -> String {
        match watch.package {
            Package::Dialog => self.dialogs_of(watch.agent),
            Package::Presence => self.presence_of(watch.agent),
            Package::MessageSummary => "Messages-Waiting: no\r\n".to_owned(),
        }
    }

    /// The calls of an agent's phone, RFC 4235 section 4.1; numbers of customers are not told.
    fn dialogs_of(&self, agent: AgentId) -> String {
        let Some(line) = self.agents.get(&agent) else { return String::new() };
        let calls: BTreeSet<CallId> = line.call.iter().chain(&line.direct).copied().collect();
        let mut text = String::new();
        for call in calls.iter().filter_map(|id| self.calls.get(id)) {
            if let Some((direction, state)) = seen_from(call, agent) {
                // Writing into a string does not fail.
                let _ = write!(
                    text,
                    "<dialog id=\"{}\" direction=\"{direction}\"><state>{state}</state></dialog>\r\n",
                    call.id
                );
            }
        }
        text
    }

    /// Whether an agent can be reached, RFC 3863, and what the agent does, RFC 4480.
    fn presence_of(&self, agent: AgentId) -> String {
        let kind = self.acd.agent_state(agent).map(|state| state.kind);
        let engaged = self.agents.get(&agent).is_some_and(super::AgentLine::is_engaged);
        let reached =
            self.agent(agent).is_some_and(|agent| agent.login == Login::AtStart) || self.reach(agent).is_some();
        let (activity, note) = match (reached, engaged, kind) {
            (false, true | false, _) => ("away", "not registered"),
            (true, true, _) | (true, false, Some(AgentKind::Busy)) => ("on-the-phone", "on a call"),
            (true, false, Some(AgentKind::Available | AgentKind::Offered)) => ("", "available"),
            (true, false, Some(AgentKind::WrapUp)) => ("busy", "wrapping up"),
            (true, false, Some(AgentKind::NotReady | AgentKind::LoggedOut) | None) => ("away", "away"),
        };
        let basic = if reached { "open" } else { "closed" };
        let mut text =
            format!("<tuple id=\"phone\"><status><basic>{basic}</basic></status><note>{note}</note></tuple>\r\n");
        if !activity.is_empty() {
            let _ = write!(
                text,
                "<dm:person id=\"agent\"><rpid:activities><rpid:{activity}/></rpid:activities></dm:person>\r\n"
            );
        }
        text
    }
}

/// The direction and the state of a call, as the phone of `agent` has it.
fn seen_from(call: &Call, agent: AgentId) -> Option<(&'static str, &'static str)> {
    if call.is_ending() {
        return None;
    }
    let talking = matches!(call.stage, Stage::Talking { .. });
    if call.caller_agent == Some(agent) {
        return Some(("initiator", if call.answered || talking { "confirmed" } else { "early" }));
    }
    let other = call.other.as_ref().and_then(|other| other.agent) == Some(agent);
    let rings = call.ringing.values().any(|rings| rings.agent == agent);
    (other || rings).then_some(("recipient", if other && talking { "confirmed" } else { "early" }))
}

/// Text as it stands in an attribute.
fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
