//! Another configuration while calls are up (docs/decisions/0122). Whatever a call stands on stays until the call has left it: an agent who
//! is gone from the file ends the talk first, a queue is served empty, a trunk's calls end, a menu is heard to its end.

use std::collections::{BTreeMap, BTreeSet};

use offhook_acd::{AgentConfig, AgentKind, Command, MEMBERSHIPS_MAX};
use offhook_units::{AgentId, CallId, QueueId, Tick};

use super::elsewhere::Why;
use super::state::{Call, Stage, Whose};
use super::{AgentLine, Exchange, admission, hours, trunks};
use crate::config::{self, Config, Entrance, Login, Menu, Reach, Trunk};

/// What is gone from the configuration, and not yet from the exchange.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    agents: BTreeSet<AgentId>,
    queues: BTreeSet<QueueId>,
}

impl Leaving {
    /// Whether an agent ends a last talk, or was gone before.
    pub fn has_agent(&self, agent: AgentId) -> bool {
        self.agents.contains(&agent)
    }

    /// Whether a queue lets nobody in any more.
    pub fn has_queue(&self, queue: QueueId) -> bool {
        self.queues.contains(&queue)
    }
}

/// Where the trunks of the configuration lie among those that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Order(Vec<usize>);

impl Order {
    /// As they stand.
    pub fn of(trunks: usize) -> Self {
        Self((0..trunks).collect())
    }

    /// Their places, in the order of the file.
    pub fn places(&self) -> impl Iterator<Item = usize> + Clone {
        self.0.iter().copied()
    }
}

impl Exchange {
    /// Goes over to another configuration. What cannot change while the exchange runs stays as it was: the realm, ports, addresses, codecs,
    /// the number of media workers, and how phones are challenged.
    pub(super) fn configure(&mut self, now: Tick, mut new: Config) {
        self.keep_what_is_fixed(&mut new);
        self.order = self.place_trunks(&mut new);
        self.place_entrances(&mut new);
        let before = self.agents.keys().copied().filter(|agent| !self.leaving.has_agent(*agent)).collect();
        let leaving: BTreeSet<_> = self.keep_agents(&mut new);
        self.leaving.queues = self.keep_queues(&mut new);
        let old = core::mem::replace(&mut self.config, new);
        self.keep_menus(&old);
        self.follow_config();
        for agent in &leaving {
            // Refused for one who is not logged in, which is as good.
            let _gone = self.tell(now, Command::LogOut { agent: *agent });
        }
        self.leaving.agents = leaving;
        self.tell_queues(now);
        self.tell_agents(now);
        self.apply_lending(now);
        self.apply_external(now);
        self.log_in_new(now, &old, &before);
        self.follow_trunks(now, &old);
        self.follow_edges(now, &old);
        self.settle(now);
    }

    fn keep_what_is_fixed(&self, new: &mut Config) {
        let old = &self.config;
        new.realm.clone_from(&old.realm);
        new.advertise = old.advertise;
        new.rtp_ports = old.rtp_ports.clone();
        new.browser_port = old.browser_port;
        new.browser_addresses.clone_from(&old.browser_addresses);
        new.media_workers = old.media_workers;
        new.caps = old.caps.clone();
        new.dtls.clone_from(&old.dtls);
        new.registrar.digest = old.registrar.digest.clone();
    }

    /// Calls know trunks by their places, so each keeps its own for as long as it has a name; what is gone stays for its calls, and takes
    /// and sends no new ones.
    fn place_trunks(&mut self, new: &mut Config) -> Order {
        let wanted = core::mem::take(&mut new.trunks);
        let mut places = Vec::with_capacity(wanted.len());
        let mut all: Vec<Option<Trunk>> = self.config.trunks.iter().map(|_| None).collect();
        let mut newcomers = Vec::new();
        for (at, trunk) in wanted.into_iter().enumerate() {
            match self.order.places().find(|place| self.config.trunks[*place].name == trunk.name) {
                Some(place) => {
                    places.push((at, place));
                    all[place] = Some(trunk);
                }
                None => newcomers.push((at, trunk)),
            }
        }
        let is_listed = |place: &usize| self.order.places().any(|listed| listed == *place);
        let mut free = (0..all.len()).filter(|place| !is_listed(place) && !self.is_on_trunk(*place));
        let free: Vec<_> = free.by_ref().collect();
        let mut free = free.into_iter();
        for (at, trunk) in newcomers {
            let place = free.next().unwrap_or(all.len());
            match all.get_mut(place) {
                Some(seat) => *seat = Some(trunk),
                None => all.push(Some(trunk)),
            }
            places.push((at, place));
        }
        places.sort_unstable();
        let gone = |place: usize| {
            let old = &self.config.trunks[place];
            Trunk { peers: Vec::new(), by_certificate: true, out: None, large_requests_over: None, ..old.clone() }
        };
        new.trunks = all.into_iter().enumerate().map(|(at, trunk)| trunk.unwrap_or_else(|| gone(at))).collect();
        Order(places.into_iter().map(|(_, place)| place).collect())
    }

    /// Whether a call is on a trunk, or may go there yet.
    fn is_on_trunk(&self, place: usize) -> bool {
        let of = |trunk: Option<usize>| trunk == Some(place);
        self.calls.values().any(|call| {
            let legs = call.far_ends().any(|(leg, _)| of(leg.trunk)) || of(call.caller.trunk);
            let speech = call.open_legs.values().any(|leg| leg.whose == Some(Whose::Trunk(place)));
            let ways = match &call.stage {
                Stage::Dialling { ways, .. } | Stage::CallingBack { ways, .. } => ways.iter().any(|way| of(way.trunk)),
                Stage::Greeting { .. }
                | Stage::Echo
                | Stage::Taken
                | Stage::Queued { .. }
                | Stage::Talking { .. }
                | Stage::Message { .. }
                | Stage::Ending => false,
            };
            let guests = call.guests.iter().any(|guest| guest.ways.iter().any(|way| of(way.trunk)));
            let recorder = call.outside.as_ref().is_some_and(|outside| outside.is_on(place));
            legs || speech || ways || guests || recorder || call.seats.contains(&place)
        })
    }

    /// Visitors know their entrance by its place, too. One that is gone lets nobody in.
    fn place_entrances(&mut self, new: &mut Config) {
        let mut wanted = core::mem::take(&mut new.entrances);
        let kept = self.config.entrances.iter().map(|old| {
            match wanted.iter().position(|entrance| entrance.name == old.name) {
                Some(at) => wanted.remove(at),
                None => Entrance { calls_max: 0, ..old.clone() },
            }
        });
        let mut all: Vec<Entrance> = kept.collect();
        for entrance in wanted {
            let is_free = |at: &usize| all[*at].calls_max == 0 && self.visitors.is_free(*at);
            match (0..all.len()).find(is_free) {
                Some(at) => all[at] = entrance,
                None => all.push(entrance),
            }
        }
        self.visitors.widen(all.len());
        new.entrances = all;
    }

    /// Agents who are gone and still in a call stay in the list until it is over. Gives all who are gone.
    fn keep_agents(&self, new: &mut Config) -> BTreeSet<AgentId> {
        let stays: BTreeSet<AgentId> = new.agents.iter().map(|agent| agent.acd.id).collect();
        let gone = self.config.agents.iter().filter(|agent| !stays.contains(&agent.acd.id));
        let gone: Vec<_> = gone.map(|agent| config::Agent { login: Login::ByCommand, ..agent.clone() }).collect();
        let ids = gone.iter().map(|agent| agent.acd.id).collect();
        new.agents.extend(gone);
        ids
    }

    /// Queues that are gone stay in the list until they are empty. Gives them.
    fn keep_queues(&self, new: &mut Config) -> BTreeSet<QueueId> {
        let stays: BTreeSet<QueueId> = new.queues.iter().map(|queue| queue.acd.id).collect();
        let gone: Vec<_> = self.config.queues.iter().filter(|queue| !stays.contains(&queue.acd.id)).cloned().collect();
        let ids = gone.iter().map(|queue| queue.acd.id).collect();
        for mut queue in gone {
            // Nobody is let in any more, whatever the hours.
            queue.ways.gate = None;
            if let Some(rules) = &mut queue.ways.callback {
                let hours = rules.window.and_then(|at| self.config.calendars.get(at));
                rules.window = hours.map(|hours| place_of(hours, &mut new.calendars));
            }
            new.queues.push(queue);
        }
        ids
    }

    /// Whoever hears a menu hears that one to its end.
    fn keep_menus(&mut self, old: &Config) {
        let flows = &self.config.flows;
        for call in self.calls.values_mut() {
            let Stage::Greeting { menu, kept, .. } = &mut call.stage else { continue };
            let Some(heard) = old.flows.get(menu).filter(|heard| flows.get(menu) != Some(heard)) else { continue };
            kept.get_or_insert_with(|| Box::new(heard.clone()));
        }
    }

    /// The menu that a call hears: what it was when the call came to it.
    pub(super) fn menu<'m>(&'m self, name: &str, kept: Option<&'m Menu>) -> Option<&'m Menu> {
        kept.or_else(|| self.config.flows.get(name))
    }

    /// Everything that is looked up by a name or an id.
    fn follow_config(&mut self) {
        let config = &self.config;
        self.queues = config.queues.iter().enumerate().map(|(index, queue)| (queue.acd.id, index)).collect();
        let mut lines = core::mem::take(&mut self.agents);
        for (index, agent) in config.agents.iter().enumerate() {
            let line = lines.remove(&agent.acd.id).unwrap_or_default();
            self.agents.insert(agent.acd.id, AgentLine { index, ..line });
        }
        // Agents who are gone stand behind all others: a name or an account is theirs only where nobody else has it.
        (self.accounts, self.callable) = (accounts(config), callable(config));
        self.own_numbers = trunks::own_numbers(config);
    }

    fn tell_queues(&mut self, now: Tick) {
        let changed = self.config.queues.iter().map(|queue| &queue.acd);
        let changed = changed.filter(|queue| self.acd.queue(queue.id) != Some(queue)).cloned();
        for queue in changed.collect::<Vec<_>>() {
            // The configuration was checked as a whole.
            let _checked = self.tell(now, Command::AddQueue(queue));
        }
        self.changed.queues.extend(self.queues.keys());
    }

    fn tell_agents(&mut self, now: Tick) {
        let wanted = self.config.agents.iter().map(|agent| self.with_old_places(agent.acd.clone()));
        let changed = wanted.filter(|agent| self.acd.agent(agent.id) != Some(agent));
        for agent in changed.collect::<Vec<_>>() {
            // As above.
            let _checked = self.tell(now, Command::AddAgent(agent));
        }
        let all: Vec<AgentId> = self.agents.keys().copied().collect();
        self.watches.touch_all(all.iter().copied());
        self.changed.agents.extend(all);
    }

    /// With the places in queues that are gone and not yet empty: whoever waits there is served by those who served them.
    fn with_old_places(&self, mut agent: AgentConfig) -> AgentConfig {
        let known = self.acd.agent(agent.id).map_or(&[][..], |known| &known.queues);
        let old = known.iter().filter(|place| self.leaving.has_queue(place.queue));
        let old: Vec<_> =
            old.filter(|place| agent.queues.iter().all(|new| new.queue != place.queue)).copied().collect();
        agent.queues.extend(old);
        agent.queues.truncate(MEMBERSHIPS_MAX);
        agent
    }

    /// Who is new begins as at a start; everybody else stays as they are, unless their phone says otherwise from now on.
    fn log_in_new(&mut self, now: Tick, old: &Config, before: &BTreeSet<AgentId>) {
        let staff = self.config.agents.iter().filter(|agent| !self.leaving.has_agent(agent.acd.id));
        let is_new = |agent: &&config::Agent| !before.contains(&agent.acd.id);
        // Who was on the way out and is in the file again stays.
        let at_work =
            |agent: &AgentId| self.acd.agent_state(*agent).is_some_and(|state| state.kind != AgentKind::LoggedOut);
        let back = staff.clone().filter(is_new).map(|agent| agent.acd.id).filter(at_work);
        let at_start = staff.clone().filter(is_new).filter(|agent| agent.login == Login::AtStart);
        let at_start = at_start.map(|agent| agent.acd.id).filter(|agent| !self.shares_phone_with_leaving(*agent));
        for agent in back.chain(at_start).collect::<Vec<_>>() {
            // The agent was added a moment ago, or is known and logged in.
            let _known = self.tell(now, Command::LogIn { agent });
        }
        let old_accounts = accounts(old);
        let logins = |config: &Config| -> BTreeMap<AgentId, Login> {
            config.agents.iter().map(|agent| (agent.acd.id, agent.login)).collect()
        };
        let (before, now_is) = (logins(old), logins(&self.config));
        let moved = self.accounts.iter().filter(|(account, agent)| {
            old_accounts.get(*account) != Some(agent) || before.get(agent) != now_is.get(agent)
        });
        for account in moved.map(|(account, _)| account.clone()).collect::<Vec<_>>() {
            self.follow_phone(now, &account);
        }
    }

    /// Whether an agent has the phone of one who is gone and still talks there.
    pub(super) fn shares_phone_with_leaving(&self, agent: AgentId) -> bool {
        let phone = |id: AgentId| self.agent(id).map(|agent| &agent.reach);
        let same = |one: &Reach, other: &Reach| match (one, other) {
            (Reach::Account(one), Reach::Account(other)) => one == other,
            (Reach::Static { uri, .. }, Reach::Static { uri: other, .. }) => uri == other,
            (Reach::Account(_) | Reach::Static { .. }, Reach::Account(_) | Reach::Static { .. }) => false,
        };
        let Some(own) = phone(agent) else { return false };
        !self.leaving.has_agent(agent)
            && self.leaving.agents.iter().filter_map(|gone| phone(*gone)).any(|gone| same(own, gone))
    }

    fn follow_trunks(&mut self, now: Tick, old: &Config) {
        let listed: BTreeSet<usize> = self.order.places().collect();
        self.proved.retain(|_, trunk| listed.contains(trunk));
        for place in 0..self.config.trunks.len() {
            let (before, after) = (old.trunks.get(place), &self.config.trunks[place]);
            if before != Some(after) {
                self.change_line(now, place, before);
            }
        }
        self.say_which_are_large();
        self.changed.trunks.extend(listed);
    }

    /// Hours, limits, and phones whose account is gone.
    fn follow_edges(&mut self, now: Tick, old: &Config) {
        self.hours = hours::Hours::default();
        self.fire_hours(now);
        let Config { limits, session_timers, large_requests_over, registrar, .. } = &self.config;
        if (limits.calls_per_s_max, limits.late) != (old.limits.calls_per_s_max, old.limits.late) {
            self.pace = admission::Pace::new(limits.calls_per_s_max, limits.late);
        }
        let (transactions, sessions) = (limits.transactions_max, super::sessions_max(&self.config));
        let siprec = self.config.recording.siprec_server.is_some();
        self.endpoint.change(|endpoint| {
            (endpoint.transactions_max, endpoint.sessions_max) = (transactions, sessions);
            endpoint.large_requests_over.clone_from(large_requests_over);
            endpoint.siprec = siprec;
            (endpoint.session_expires, endpoint.session_expires_min) = (session_timers.expires, session_timers.min);
        });
        self.registrar.set_limits(limits.bindings_max, registrar);
        let gone = old.accounts.keys().filter(|account| !self.config.accounts.contains_key(*account));
        for account in gone.cloned().collect::<Vec<_>>() {
            let changes = self.registrar.forget(&account);
            self.on_bindings(now, changes);
        }
    }

    /// Lets go what nothing stands on any more. Gives whether anything went.
    pub(super) fn settle(&mut self, now: Tick) -> bool {
        let (agents, queues) = (self.settle_agents(now), self.settle_queues(now));
        if agents || queues {
            self.follow_config();
        }
        agents || queues
    }

    fn settle_agents(&mut self, now: Tick) -> bool {
        let is_idle = |agent: &&AgentId| {
            let out = self.acd.agent_state(**agent).is_none_or(|state| state.kind == AgentKind::LoggedOut);
            out && self.agents.get(*agent).is_none_or(|line| !line.is_engaged())
        };
        let gone: Vec<AgentId> = self.leaving.agents.iter().filter(is_idle).copied().collect();
        for agent in &gone {
            // Refused only for one who is logged in, or was never added.
            let _gone = self.tell(now, Command::RemoveAgent { agent: *agent });
            self.leaving.agents.remove(agent);
        }
        if gone.is_empty() {
            return false;
        }
        let heirs = self.config.agents.iter().filter(|agent| gone.contains(&agent.acd.id));
        let heirs: Vec<_> = heirs.map(|agent| agent.reach.clone()).collect();
        self.config.agents.retain(|agent| !gone.contains(&agent.acd.id));
        self.follow_config();
        for reach in &heirs {
            self.inherit(now, reach);
        }
        true
    }

    /// The phone of an agent who is gone is another one's now.
    fn inherit(&mut self, now: Tick, phone: &Reach) {
        let uri = match phone {
            Reach::Account(account) => {
                let heir = self.accounts.get(account).copied();
                let at_start = heir.filter(|heir| self.agent(*heir).is_some_and(|heir| heir.login == Login::AtStart));
                if let Some(agent) = at_start {
                    // The agent was added with the configuration.
                    let _known = self.tell(now, Command::LogIn { agent });
                }
                return self.follow_phone(now, &account.clone());
            }
            Reach::Static { uri, .. } => uri,
        };
        let has_it = |agent: &&config::Agent| matches!(&agent.reach, Reach::Static { uri: own, .. } if own == uri);
        let heir = self.config.agents.iter().find(has_it).filter(|agent| agent.login == Login::AtStart);
        if let Some(agent) = heir.map(|agent| agent.acd.id) {
            // As above.
            let _known = self.tell(now, Command::LogIn { agent });
        }
    }

    fn settle_queues(&mut self, now: Tick) -> bool {
        let mut went = false;
        for queue in self.leaving.queues.iter().copied().collect::<Vec<_>>() {
            if self.acd.waiting(queue) > 0 && self.acd.logged_in(queue) == 0 {
                went |= self.send_all_away(now, queue);
            }
            let is_empty =
                self.acd.waiting(queue) == 0 && self.acd.talking(queue) == 0 && self.callbacks_of(queue) == 0;
            if is_empty && self.close_queue(now, queue) {
                self.leaving.queues.remove(&queue);
                self.config.queues.retain(|known| known.acd.id != queue);
                self.follow_config();
                went = true;
            }
        }
        went
    }

    /// Nobody serves a queue that is gone, and nobody will. Gives whether anybody waited there.
    fn send_all_away(&mut self, now: Tick, queue: QueueId) -> bool {
        let waits = |call: &Call| {
            let is_callback = call.calling_back.is_some();
            call.queue == Some(queue) && matches!(call.stage, Stage::Queued { .. }) && !is_callback
        };
        let waiting = self.calls.values().filter(|call| waits(call)).filter_map(|call| call.contact);
        let waiting: Vec<_> = waiting.collect();
        for contact in &waiting {
            self.send_away(now, *contact, Why::NOBODY);
        }
        !waiting.is_empty()
    }

    /// Takes an empty queue, and everybody's place in it, out of the distributor.
    fn close_queue(&mut self, now: Tick, queue: QueueId) -> bool {
        let members = self.acd.agents().filter(|agent| agent.queues.iter().any(|place| place.queue == queue));
        for mut agent in members.cloned().collect::<Vec<_>>() {
            agent.queues.retain(|place| place.queue != queue);
            // What it was before, less one place.
            let _known = self.tell(now, Command::AddAgent(agent));
        }
        match self.tell(now, Command::RemoveQueue { queue }) {
            Ok(()) | Err(offhook_acd::Refusal::UnknownQueue(_)) => true,
            // Somebody came in between.
            Err(_) => false,
        }
    }

    /// What the log knows of agents and queues that were taken out of the file while the exchange was down.
    pub(super) fn forget_the_gone(&mut self, now: Tick) {
        let agents = self.acd.agents().map(|agent| agent.id).filter(|agent| !self.agents.contains_key(agent));
        for agent in agents.collect::<Vec<_>>() {
            // Refused for one who is not logged in, which is as good.
            let _out = self.tell(now, Command::LogOut { agent });
            // As above.
            let _gone = self.tell(now, Command::RemoveAgent { agent });
        }
        let queues = self.acd.queues().map(|queue| queue.id).filter(|queue| !self.queues.contains_key(queue));
        for queue in queues.collect::<Vec<_>>() {
            let _still_used = self.close_queue(now, queue);
        }
    }

    /// Where each trunk of the configuration lies: the place by which it is told apart in [`super::Input::Targets`] and
    /// [`super::Input::Proved`].
    pub fn trunk_places(&self) -> BTreeMap<String, usize> {
        self.order.places().map(|place| (self.config.trunks[place].name.clone(), place)).collect()
    }

    /// What was taken out of the configuration and is still used: agents in a last talk, queues in which somebody waits or talks.
    pub fn leaving(&self) -> (usize, usize) {
        (self.leaving.agents.len(), self.leaving.queues.len())
    }

    /// Ends the call of somebody whose way leads nowhere any more.
    pub(super) fn lead_nowhere(&mut self, now: Tick, id: CallId) {
        self.say_and_end(now, id, Vec::new(), Why::NOBODY.end, Why::NOBODY.status);
    }
}

/// Who registers as what.
pub(super) fn accounts(config: &Config) -> BTreeMap<String, AgentId> {
    let mut accounts = BTreeMap::new();
    for agent in &config.agents {
        if let Reach::Account(account) = &agent.reach {
            accounts.entry(account.clone()).or_insert(agent.acd.id);
        }
    }
    accounts
}

/// Whom phones of ours can call by name.
pub(super) fn callable(config: &Config) -> BTreeMap<String, AgentId> {
    let mut callable = BTreeMap::new();
    for agent in &config.agents {
        callable.entry(agent.acd.name.clone()).or_insert(agent.acd.id);
    }
    callable.extend(accounts(config));
    callable
}

/// The place of a calendar of that name; where there is none any more, the old one is kept behind the others.
fn place_of(hours: &config::Calendar, calendars: &mut Vec<config::Calendar>) -> usize {
    calendars.iter().position(|known| known.name == hours.name).unwrap_or_else(|| {
        calendars.push(hours.clone());
        calendars.len() - 1
    })
}
