//! Trunks as they are now: where their targets are and whether they answer, our registrations with them, how many calls they
//! have.

use core::net::IpAddr;
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use offhook_plan::{LevelReport, MediaCaps, SpeechReport};
use offhook_sip::{Flow, NameAddr, ProbeId, Register, RegistrationId, Request, Uri};
use offhook_units::{CallId, Span, Tick};

use super::Exchange;
use super::admission::Admission;
use super::state::Way;
use crate::config::{Config, Number, NumberFormat, Outgoing, Trunk};
use crate::health::{Heard, SILENT, State};
use crate::view::{RegistrationView, TargetView, TrunkCounts, TrunkView};

/// Most targets of one trunk; what names resolve to beyond is left out.
pub const TARGETS_MAX: usize = 16;
/// How long a drained exchange waits for its carriers to take its registrations away.
const LEAVE_WITHIN: Span = Span::from_s(2);
/// The parameter of our Contact that a carrier's INVITE comes back with.
const LINE: &str = "line";

/// A trunk as it is now.
#[derive(Debug)]
pub(super) struct Line {
    targets: Vec<Target>,
    registration: Option<Registration>,
    active: u32,
    admission: Admission,
    pub counts: TrunkCounts,
    pub speech: SpeechReport,
    pub level: LevelReport,
}

/// Where a trunk's calls go.
#[derive(Debug, Clone)]
struct Target {
    flow: Flow,
    state: State,
    /// The OPTIONS that has no answer yet, and when that counts as silence.
    asked: Option<(ProbeId, Tick)>,
    /// When it is asked next.
    next: Option<Tick>,
    /// When it answered last, and what.
    answered: Option<(Tick, u16)>,
}

/// Our registration with a trunk.
#[derive(Debug)]
struct Registration {
    id: Option<RegistrationId>,
    flow: Flow,
    state: Registered,
    /// In our Contact, so that the carrier's calls are known wherever they come from.
    token: String,
}

/// What the carrier said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Registered {
    /// Nothing so far.
    Trying,
    /// We are, until then.
    Until(Tick),
    /// It did not take us, with this status, or did not answer.
    Failed(Option<u16>),
    /// We have left.
    Left,
}

impl Line {
    pub fn new(trunk: &Trunk) -> Self {
        Self {
            targets: Vec::new(),
            registration: None,
            active: 0,
            admission: Admission::new(trunk.limits.calls_per_s_max),
            counts: TrunkCounts::default(),
            speech: SpeechReport::default(),
            level: LevelReport::default(),
        }
    }

    fn wake(&self) -> Option<Tick> {
        let ticks = self.targets.iter().map(|target| target.asked.map(|(_, until)| until).or(target.next));
        ticks.flatten().min()
    }
}

impl Exchange {
    /// Trunks are asked whether they are there, and registered with.
    pub(super) fn start_trunks(&mut self, now: Tick) {
        for trunk in 0..self.lines.len() {
            let targets = self.config.trunks[trunk].out.as_ref().map(|out| out.targets.clone());
            self.retarget(now, trunk, targets.unwrap_or_default());
        }
        self.say_which_are_large();
    }

    /// The targets of a trunk are these from now on; what is known of those that stay, stays.
    pub(super) fn retarget(&mut self, now: Tick, trunk: usize, flows: Vec<Flow>) {
        let Some(out) = self.config.trunks.get(trunk).and_then(|trunk| trunk.out.as_ref()) else { return };
        let every = out.health_every;
        let old = core::mem::take(&mut self.lines[trunk].targets);
        for flow in flows.into_iter().take(TARGETS_MAX) {
            let known = old.iter().find(|target| target.flow == flow).cloned();
            // Not all at once where there are many.
            let spread = Span::from_us(self.entropy.below(1_000_000));
            let next = (every != Span::ZERO).then(|| now + spread.min(every));
            let new = Target { flow, state: State::Up, asked: None, next, answered: None };
            let targets = &mut self.lines[trunk].targets;
            if targets.iter().all(|target| target.flow != flow) {
                targets.push(known.unwrap_or(new));
            }
        }
        self.changed.trunks.insert(trunk);
        self.say_which_are_large();
        self.register_with(now, trunk);
        self.plan_trunks();
    }

    /// Large requests to a trunk's hosts go as the trunk says; of two trunks at one host the first one does.
    pub(super) fn say_which_are_large(&mut self) {
        let mut hosts = BTreeMap::new();
        for (trunk, line) in self.order.places().map(|at| (&self.config.trunks[at], &self.lines[at])) {
            let Some(over) = &trunk.large_requests_over else { continue };
            let targets = line.targets.iter().map(|target| target.flow.peer.ip());
            for host in trunk.peers.iter().copied().chain(targets) {
                hosts.entry(host).or_insert_with(|| over.clone());
            }
        }
        self.endpoint.except_large_requests(hosts);
    }

    /// The trunk of a place is another one than before, is new, or is gone: its targets and our registration follow.
    pub(super) fn change_line(&mut self, now: Tick, place: usize, before: Option<&Trunk>) {
        let after = &self.config.trunks[place];
        let registers = |trunk: &Trunk| {
            let out = trunk.out.as_ref()?;
            Some((out.register.clone()?, out.domain.clone(), out.credentials.clone()))
        };
        let (rate, wanted, is_same) =
            (after.limits.calls_per_s_max, registers(after), before.is_some_and(|before| before.name == after.name));
        let targets = |trunk: &Trunk| trunk.out.as_ref().map(|out| out.targets.clone());
        let (flows, old_flows) = (targets(after), before.and_then(targets));
        let stays = is_same && before.and_then(registers) == wanted && wanted.is_some();
        let paced = before.map(|before| before.limits.calls_per_s_max) == Some(rate) && is_same;
        if place == self.lines.len() {
            self.lines.push(Line::new(after));
        } else if !is_same {
            // Nobody was on the one that had this place.
            let left = self.lines[place].registration.take().and_then(|left| left.id);
            self.lines[place] = Line::new(&self.config.trunks[place]);
            if let Some(id) = left {
                self.endpoint.unregister(now, id);
            }
        }
        if !paced {
            self.lines[place].admission = Admission::new(rate);
        }
        if !stays && let Some(id) = self.lines[place].registration.take().and_then(|left| left.id) {
            self.endpoint.unregister(now, id);
        }
        match flows {
            None => self.lines[place].targets.clear(),
            // What names lead to is told later; until then the old places are as good as any.
            Some(flows) if is_same && (old_flows.as_ref() == Some(&flows) || flows.is_empty()) => {
                let known = self.lines[place].targets.iter().map(|target| target.flow).collect();
                self.retarget(now, place, known);
            }
            Some(flows) => self.retarget(now, place, flows),
        }
        self.plan_trunks();
    }

    /// Begins a registration that is wanted, or lets it go another way where its target is gone.
    fn register_with(&mut self, now: Tick, trunk: usize) {
        let Some(first) = self.lines[trunk].targets.first().map(|target| target.flow) else { return };
        let Some(out) = self.config.trunks[trunk].out.clone() else { return };
        let Some(wanted) = &out.register else { return };
        let line = &self.lines[trunk];
        if let Some(found) = &line.registration {
            if line.targets.iter().all(|target| target.flow != found.flow) {
                self.reroute(trunk, first);
            }
            return;
        }
        if self.drain_by.is_some() {
            return;
        }
        let token = self.entropy.token();
        let register = Register {
            flow: first,
            registrar: at_carrier(&out, first, None),
            aor: NameAddr::new(at_carrier(&out, first, Some(&wanted.user))),
            contact: self.line_contact(&wanted.user, first, &token),
            expires: wanted.expires,
            credentials: out.credentials.clone(),
        };
        let id = Some(self.endpoint.register(now, register));
        self.lines[trunk].registration = Some(Registration { id, flow: first, state: Registered::Trying, token });
    }

    fn line_contact(&self, user: &str, flow: Flow, token: &str) -> Uri {
        flow.contact(Some(user), self.config.advertise).with_param(LINE, token)
    }

    fn reroute(&mut self, trunk: usize, flow: Flow) {
        let user = self.config.trunks[trunk].out.as_ref().and_then(|out| out.register.as_ref());
        let Some(user) = user.map(|register| register.user.clone()) else { return };
        let Some(found) = &mut self.lines[trunk].registration else { return };
        found.flow = flow;
        let (id, token) = (found.id, found.token.clone());
        let contact = self.line_contact(&user, flow, &token);
        if let Some(id) = id {
            self.endpoint.reroute(id, flow, contact);
        }
    }

    /// A carrier took our REGISTER, or our leave.
    pub(super) fn registered(&mut self, now: Tick, id: RegistrationId, expires: Span) {
        let Some(trunk) = self.trunk_of_registration(id) else { return };
        let name = self.config.trunks[trunk].name.clone();
        let Some(found) = &mut self.lines[trunk].registration else { return };
        let before = found.state;
        if expires == Span::ZERO {
            (found.id, found.state) = (None, Registered::Left);
        } else {
            found.state = Registered::Until(now + expires);
        }
        if !matches!(before, Registered::Until(_)) && expires != Span::ZERO {
            tracing::info!(trunk = name, seconds = expires.as_s(), "registered");
        }
        self.changed.trunks.insert(trunk);
    }

    /// A carrier did not take our REGISTER. Where the way there is at fault, the next attempt goes to the next target.
    pub(super) fn not_registered(&mut self, id: RegistrationId, status: Option<u16>, retry_in: Span) {
        let Some(trunk) = self.trunk_of_registration(id) else { return };
        let name = self.config.trunks[trunk].name.clone();
        let line = &mut self.lines[trunk];
        let Some(found) = &mut line.registration else { return };
        self.changed.trunks.insert(trunk);
        if retry_in == Span::ZERO {
            (found.id, found.state) = (None, Registered::Left);
            return;
        }
        if found.state != Registered::Failed(status) {
            tracing::warn!(trunk = name, status, retry_in_s = retry_in.as_s(), "the carrier does not register us");
        }
        found.state = Registered::Failed(status);
        if status.is_none_or(|status| status == 408 || status >= 500) {
            let at = line.targets.iter().position(|target| target.flow == found.flow).unwrap_or(0);
            let next = line.targets.get((at + 1) % line.targets.len().max(1)).map(|target| target.flow);
            if let Some(next) = next {
                self.reroute(trunk, next);
            }
        }
    }

    fn trunk_of_registration(&self, id: RegistrationId) -> Option<usize> {
        let is_it = |line: &Line| line.registration.as_ref().is_some_and(|found| found.id == Some(id));
        self.lines.iter().position(is_it)
    }

    /// The exchange stops: carriers shall send no more calls.
    pub(super) fn leave_trunks(&mut self, now: Tick) {
        let ids: Vec<_> = self.lines.iter().filter_map(|line| line.registration.as_ref()?.id).collect();
        for id in ids {
            self.endpoint.unregister(now, id);
        }
        self.leave_by.get_or_insert(now + LEAVE_WITHIN);
    }

    /// Whether a registration still has to be taken away.
    pub(super) fn is_leaving(&self) -> bool {
        let registered = |line: &Line| line.registration.as_ref().is_some_and(|found| found.id.is_some());
        self.leave_by.is_some() && self.lines.iter().any(registered)
    }

    /// Asks targets whose time has come, and counts those that have been silent for too long.
    pub(super) fn fire_trunks(&mut self, now: Tick) {
        if self.leave_by.is_some_and(|at| at <= now) {
            for found in self.lines.iter_mut().filter_map(|line| line.registration.as_mut()) {
                found.id = None;
            }
        }
        if self.trunks_wake.is_none_or(|at| at > now) {
            return;
        }
        for trunk in 0..self.lines.len() {
            for target in 0..self.lines[trunk].targets.len() {
                let found = &self.lines[trunk].targets[target];
                match (found.asked, found.next) {
                    (Some((_, until)), _) if until <= now => self.heard(now, trunk, target, None),
                    (None, Some(next)) if next <= now => self.ask(now, trunk, target),
                    (Some(_) | None, Some(_) | None) => {}
                }
            }
        }
        self.plan_trunks();
    }

    fn plan_trunks(&mut self) {
        self.trunks_wake = self.lines.iter().filter_map(Line::wake).min();
    }

    fn ask(&mut self, now: Tick, trunk: usize, target: usize) {
        let Some(out) = self.config.trunks[trunk].out.as_ref() else { return };
        let flow = self.lines[trunk].targets[target].flow;
        let uri = at_carrier(out, flow, None);
        let from = NameAddr::new(self.contact(flow));
        let every = out.health_every;
        let asked = self.endpoint.probe(now, flow, &uri, &from).ok();
        let found = &mut self.lines[trunk].targets[target];
        found.asked = asked.map(|id| (id, now + SILENT));
        // Where there is no room for a question now, there may be later.
        found.next = Some(now + every);
    }

    /// The answer to an OPTIONS of ours. One that comes too late is counted already.
    pub(super) fn probed(&mut self, now: Tick, id: ProbeId, status: Option<u16>) {
        let asked = |target: &Target| target.asked.is_some_and(|(asked, _)| asked == id);
        let found = self.lines.iter().enumerate().find_map(|(trunk, line)| {
            let target = line.targets.iter().position(asked)?;
            Some((trunk, target))
        });
        if let Some((trunk, target)) = found {
            self.heard(now, trunk, target, status);
            self.plan_trunks();
        }
    }

    fn heard(&mut self, now: Tick, trunk: usize, target: usize, status: Option<u16>) {
        let Some(every) = self.config.trunks[trunk].out.as_ref().map(|out| out.health_every) else { return };
        let name = &self.config.trunks[trunk].name;
        let found = &mut self.lines[trunk].targets[target];
        let before = found.state;
        found.state = before.after(Heard::of_status(status));
        found.asked = None;
        found.next = Some(now + found.state.ask_again_after(every));
        found.answered = status.map(|status| (now, status)).or(found.answered);
        if before.is_up() != found.state.is_up() {
            let (target, up) = (found.flow.to_string(), found.state.is_up());
            self.changed.trunks.insert(trunk);
            if up {
                tracing::info!(trunk = name, target, "the target answers again");
            } else {
                tracing::warn!(
                    trunk = name,
                    target,
                    "the target does not answer: calls go to others while there are some"
                );
            }
        }
    }

    /// A call found nobody at a target: it is asked at once whether it is there.
    pub(super) fn doubt(&mut self, now: Tick, trunk: usize, flow: Flow) {
        let Some(line) = self.lines.get_mut(trunk) else { return };
        let target = line.targets.iter_mut().find(|target| target.flow == flow && target.next.is_some());
        if let Some(target) = target.filter(|target| target.asked.is_none() && target.state == State::Up) {
            target.next = Some(now);
            self.trunks_wake = Some(now);
        }
    }

    /// Where calls to a trunk go, in order.
    pub(super) fn targets_of(&self, trunk: usize) -> impl Iterator<Item = Flow> {
        self.lines.get(trunk).into_iter().flat_map(|line| line.targets.iter().map(|target| target.flow))
    }

    /// The same without those that are down, where others are up.
    pub(super) fn targets_up(&self, trunk: usize) -> Vec<Flow> {
        let targets = self.lines.get(trunk).map_or(&[][..], |line| &line.targets);
        let up: Vec<Flow> = targets.iter().filter(|target| target.state.is_up()).map(|target| target.flow).collect();
        if up.is_empty() { targets.iter().map(|target| target.flow).collect() } else { up }
    }

    /// Leaves out what leads to targets that are down, where another way is there; emergency calls try these too, at last.
    pub(super) fn healthy(&self, ways: Vec<Way>, urgent: bool) -> VecDeque<Way> {
        let is_up = |way: &Way| {
            let targets = way.trunk.and_then(|trunk| self.lines.get(trunk)).map_or(&[][..], |line| &line.targets);
            targets.iter().any(|target| target.flow == way.flow && target.state.is_up())
        };
        let (mut up, mut down): (VecDeque<Way>, VecDeque<Way>) = ways.into_iter().partition(is_up);
        if up.is_empty() || urgent {
            up.append(&mut down);
        }
        up
    }

    /// A connection is a trunk's, or nobody's.
    pub(super) fn prove(&mut self, flow: Flow, trunk: Option<usize>) {
        match trunk.filter(|trunk| self.order.places().any(|listed| listed == *trunk)) {
            Some(trunk) => _ = self.proved.insert(flow, trunk),
            None => _ = self.proved.remove(&flow),
        }
    }

    /// The trunk that a request comes from: by the Contact that we registered with it, by its certificate, by its addresses, by its
    /// targets. What is on the way to a trunk that shows a certificate is not the trunk.
    pub(super) fn trunk_of(&self, flow: Flow, request: &Request) -> Option<usize> {
        let token = request.uri.param(LINE);
        let is_ours = |line: &Line| line.registration.as_ref().is_some_and(|found| token == Some(&*found.token));
        let address = flow.peer.ip();
        let proved = || self.proved.get(&flow).copied();
        let listed = || self.order.places().find(|at| self.config.trunks[*at].peers.contains(&address));
        let leads_to =
            |line: &Line, address: IpAddr| line.targets.iter().any(|target| target.flow.peer.ip() == address);
        let leads_there = || {
            let leads = |at: &usize| !self.config.trunks[*at].by_certificate && leads_to(&self.lines[*at], address);
            self.order.places().find(leads)
        };
        self.lines.iter().position(is_ours).or_else(proved).or_else(listed).or_else(leads_there)
    }

    /// The number of ours that the trunk dialled: by the request URI; where that is only the Contact that we registered, by To.
    /// What is no number of ours is given back as it is.
    pub(super) fn called(&self, trunk: usize, request: &Request) -> String {
        let dialled = request.uri.user_decoded().unwrap_or_default().into_owned();
        let settings = &self.config.trunks[trunk];
        let register = settings.out.as_ref().and_then(|out| out.register.as_ref());
        let is_contact = register.is_some_and(|register| register.user == dialled);
        let numbering = settings.numbering.as_ref().or(self.config.numbering.as_ref());
        let find = |number: &str| {
            if self.config.numbers.contains_key(number) {
                return Some(number.to_owned());
            }
            self.own_numbers.get(&numbering?.read(number, settings.format)?).cloned()
        };
        let to = || request.headers.to().ok().and_then(|to| to.uri.user_decoded().map(Cow::into_owned));
        find(&dialled).or_else(|| find(&to().filter(|_| is_contact)?)).unwrap_or(dialled)
    }

    /// The number of ours that a phone of ours dialled, however it is written.
    pub(super) fn own_number(&self, dialled: &str) -> Option<&Number> {
        let numbers = &self.config.numbers;
        numbers.get(dialled).or_else(|| {
            let e164 = self.config.numbering.as_ref()?.e164(dialled)?;
            numbers.get(self.own_numbers.get(&e164)?)
        })
    }

    /// A number outside, as a trunk wants it written.
    pub(super) fn written_for(&self, trunk: usize, number: &str) -> String {
        let settings = &self.config.trunks[trunk];
        let own = self.config.numbering.as_ref();
        match settings.numbering.as_ref().or(own).filter(|_| settings.format != NumberFormat::AsDialled) {
            // What was allowed is what is called: the number is read as it is dialled here, and written as it is there.
            Some(numbering) => {
                let e164 = own.and_then(|own| own.e164(number));
                numbering.write(e164.as_deref().unwrap_or(number), settings.format)
            }
            None => number.to_owned(),
        }
    }

    /// Whether a trunk may send one more call, as far as is known before the call has ports; a refusal is counted. Calls of
    /// phones have limits of their own.
    pub(super) fn may_come_from(&mut self, now: Tick, trunk: Option<usize>) -> Result<(), u16> {
        let Some(trunk) = trunk else { return Ok(()) };
        let has_room = self.has_room(now, trunk);
        self.lines[trunk].counts.incoming_refused += u64::from(!has_room);
        if has_room { Ok(()) } else { Err(503) }
    }

    /// A call of a trunk is there: it takes its part of what the trunk may send.
    pub(super) fn came_from(&mut self, now: Tick, trunk: Option<usize>) {
        if let Some(line) = trunk.and_then(|trunk| self.lines.get_mut(trunk)) {
            line.admission.spend(now);
            line.counts.incoming += 1;
        }
    }

    /// Whether a call may go out over a trunk, where it goes over one; a refusal is counted. `urgent` ones pass every limit.
    pub(super) fn may_go_to(&mut self, now: Tick, trunk: Option<usize>, urgent: bool) -> bool {
        let Some(trunk) = trunk else { return true };
        let has_room = urgent || self.has_room(now, trunk);
        self.lines[trunk].counts.outgoing_refused += u64::from(!has_room);
        has_room
    }

    /// An INVITE went out over a trunk: it takes its part of what may go there, unless it passed the limits.
    pub(super) fn went_to(&mut self, now: Tick, trunk: Option<usize>, urgent: bool) {
        if let Some(line) = trunk.and_then(|trunk| self.lines.get_mut(trunk)) {
            if !urgent {
                line.admission.spend(now);
            }
            line.counts.outgoing += 1;
        }
    }

    fn has_room(&mut self, now: Tick, trunk: usize) -> bool {
        let (line, limits) = (&mut self.lines[trunk], self.config.trunks[trunk].limits);
        line.active < limits.calls_max && line.admission.has_token(now)
    }

    /// A call over a trunk was answered.
    pub(super) fn count_answered(&mut self, trunk: Option<usize>) {
        if let Some(line) = trunk.and_then(|trunk| self.lines.get_mut(trunk)) {
            line.counts.outgoing_answered += 1;
        }
    }

    /// A call over a trunk was refused with `status`. RFC 3263 section 4.3: the next target is for 503, for a failed transport
    /// and for silence; another 5xx is the whole trunk's word, and its other targets are left out.
    pub(super) fn went_wrong(&mut self, now: Tick, id: CallId, trunk: Option<usize>, flow: Flow, status: u16) {
        let Some(trunk) = trunk else { return };
        if status != 408 && !(500..600).contains(&status) {
            return;
        }
        self.lines[trunk].counts.outgoing_failed += 1;
        if status == 503 || status == 408 {
            return self.doubt(now, trunk, flow);
        }
        if let Some(ways) = self.calls.get_mut(&id).and_then(|call| call.ways()) {
            ways.retain(|way| way.trunk != Some(trunk));
        }
    }

    /// One more call of a trunk, until [`Exchange::unseat`].
    pub(super) fn seat(&mut self, id: CallId, trunk: usize) {
        if let (Some(call), Some(line)) = (self.calls.get_mut(&id), self.lines.get_mut(trunk)) {
            call.seats.push(trunk);
            line.active += 1;
        }
    }

    /// A call has left a trunk, where it was on it.
    pub(super) fn unseat(&mut self, id: CallId, trunk: usize) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(at) = call.seats.iter().rposition(|seat| *seat == trunk) {
            call.seats.swap_remove(at);
            self.release_seats(&[trunk]);
        }
    }

    /// As [`Exchange::unseat`], for all that a call had.
    pub(super) fn release_seats(&mut self, seats: &[usize]) {
        for seat in seats {
            if let Some(line) = self.lines.get_mut(*seat) {
                line.active = line.active.saturating_sub(1);
            }
        }
    }

    /// The codecs of a leg: the trunk's own, where it has some.
    pub(super) fn caps_of(&self, trunk: Option<usize>) -> MediaCaps {
        let codecs = trunk.and_then(|trunk| self.config.trunks.get(trunk)).map_or(&[][..], |trunk| &trunk.codecs);
        self.caps_in(codecs)
    }

    /// Our capabilities with these codecs alone, in this order; all of them where none is named.
    pub(super) fn caps_in(&self, codecs: &[offhook_plan::CodecKind]) -> MediaCaps {
        let mut caps = self.config.caps.clone();
        if !codecs.is_empty() {
            let place = |kind| codecs.iter().position(|codec| *codec == kind);
            caps.codecs.retain(|cap| place(cap.kind).is_some());
            caps.codecs.sort_by_key(|cap| place(cap.kind));
        }
        caps
    }

    /// All trunks, in the order of the configuration.
    pub fn trunks(&self, now: Tick) -> Vec<TrunkView> {
        self.order.places().filter_map(|trunk| self.trunk_now(now, trunk)).collect()
    }

    /// One trunk, by its place in the configuration.
    pub fn trunk_now(&self, now: Tick, trunk: usize) -> Option<TrunkView> {
        let (line, settings) = (self.lines.get(trunk)?, self.config.trunks.get(trunk)?);
        let targets = line.targets.iter().map(|target| TargetView {
            address: format!("{}:{}", target.flow.transport.param(), target.flow.peer),
            up: target.state.is_up(),
            status: target.answered.map(|(_, status)| status),
            answered: target.answered.map(|(at, _)| at),
        });
        let registration = line.registration.as_ref().map(|found| match found.state {
            Registered::Trying => RegistrationView { state: "trying", until: None, status: None },
            Registered::Until(until) if until > now => {
                RegistrationView { state: "registered", until: Some(until), status: None }
            }
            Registered::Until(until) => RegistrationView { state: "expired", until: Some(until), status: None },
            Registered::Failed(status) => RegistrationView { state: "failed", until: None, status },
            Registered::Left => RegistrationView { state: "left", until: None, status: None },
        });
        Some(TrunkView {
            name: settings.name.clone(),
            calls: line.active,
            calls_max: (settings.limits.calls_max != u32::MAX).then_some(settings.limits.calls_max),
            registration,
            targets: targets.collect(),
            counts: line.counts,
            speech: line.speech,
            level: line.level,
        })
    }
}

/// Numbers of ours by what they are in E.164; of two that are the same the first one counts.
pub(super) fn own_numbers(config: &Config) -> BTreeMap<String, String> {
    let mut own = BTreeMap::new();
    if let Some(numbering) = &config.numbering {
        for number in config.numbers.keys() {
            if let Some(e164) = numbering.own(number) {
                own.entry(e164).or_insert_with(|| number.clone());
            }
        }
    }
    own
}

/// A URI at a trunk: of its domain, or of the target's address.
pub(super) fn at_carrier(out: &Outgoing, target: Flow, user: Option<&str>) -> Uri {
    match &out.domain {
        Some(domain) => Uri::sip(user, domain, None),
        None => target.target(user),
    }
}
