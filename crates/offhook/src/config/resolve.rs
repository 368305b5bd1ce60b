//! From names to ids and from hosts to flows: the last step before the exchange starts.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use offhook_acd::{Membership, Need, Ring, Skill};
use offhook_call::alarm::Rule;
use offhook_call::config::{self, Config, Destination};
use offhook_server::{EntrancePage, OpenId, TokenUser, User, Webhook};
use offhook_sip::{Flow, Transport};
use offhook_units::{AgentId, QueueId, SkillId};

use super::tones::sounds_of;
use super::{Checked, Http, Proxy, Reach, Recording, Sound, Target, Trunk};

/// What an id is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A queue.
    Queue,
    /// An agent.
    Agent,
    /// A skill.
    Skill,
}

impl Kind {
    /// As a key in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Agent => "agent",
            Self::Skill => "skill",
        }
    }
}

/// Everything that the exchange and its edges are started with.
#[derive(Debug)]
pub struct Loaded {
    /// The exchange.
    pub exchange: Config,
    /// Which node this is.
    pub node: u16,
    /// The HTTP listener, if any.
    pub http: Option<Http>,
    /// Programs that show tokens.
    pub tokens: Vec<TokenUser>,
    /// Who is told what happened.
    pub webhooks: Vec<Webhook>,
    /// Thresholds that somebody is told about.
    pub alarms: Vec<Rule>,
    /// Who signs in.
    pub users: Vec<User>,
    /// A provider at which people sign in.
    pub openid: Option<OpenId>,
    /// What skills are called.
    pub skills: BTreeMap<SkillId, String>,
    /// Pages from which visitors call.
    pub entrances: Vec<EntrancePage>,
    /// Where recordings lie, and what seals them.
    pub recording: Recording,
    /// All sounds, by asset id.
    pub sounds: Vec<Sound>,
    /// Trunks with places that have names: by their order, all of their places.
    pub named: Vec<(usize, Vec<Proxy>)>,
    /// The name server for these.
    pub dns: Option<SocketAddr>,
}

impl Checked {
    /// Gives names their ids and hosts their routes.
    ///
    /// `id_of` answers with the id that this name had before, or a new one. `route_to` answers with the listener that
    /// reaches a peer, as a concrete address.
    pub fn resolve(
        self,
        mut id_of: impl FnMut(Kind, &str) -> u64,
        mut route_to: impl FnMut(Transport, SocketAddr) -> SocketAddr,
    ) -> Loaded {
        // A port that the system chose is known once it is bound.
        let bound = |listen: &super::SipListen| {
            SocketAddr::new(listen.address.ip(), route_to(Transport::Tcp, listen.address).port())
        };
        let over_tcp = self.sip_listen.iter().filter(|listen| listen.transport == Transport::Tcp);
        let over_tcp: Vec<SocketAddr> = over_tcp.map(bound).collect();
        let large_over = |tcp: bool| if tcp { over_tcp.clone() } else { Vec::new() };
        let mut flow_to =
            |transport: Transport, peer: SocketAddr| Flow { transport, local: route_to(transport, peer), peer };
        let mut queues = self.queues;
        let mut ids: BTreeMap<String, QueueId> = BTreeMap::new();
        for queue in &mut queues {
            queue.acd.id = QueueId(id_of(Kind::Queue, &queue.acd.name));
            ids.insert(queue.acd.name.clone(), queue.acd.id);
        }
        let mut skills: BTreeMap<String, SkillId> = BTreeMap::new();
        let mut skill_id =
            |name: &String| *skills.entry(name.clone()).or_insert_with(|| SkillId(id_of(Kind::Skill, name)));
        for (queue, needs) in queues.iter_mut().zip(self.needs) {
            let need = |need: &super::NeedNamed| {
                let (level, weight) = (need.level, need.weight);
                Need { skill: skill_id(&need.skill), level, weight }
            };
            queue.acd.needs = needs.needs.iter().map(need).collect();
            let rings = needs.rings.iter().map(|(after, drops)| (*after, drops.iter().map(&mut skill_id).collect()));
            queue.acd.rings = rings.map(|(after, drops)| Ring { after, drops }).collect();
        }
        let agent_skills: Vec<Vec<Skill>> = self
            .agents
            .iter()
            .map(|agent| {
                let skills = agent.skills.iter();
                skills.map(|(name, level)| Skill { skill: skill_id(name), level: *level }).collect()
            })
            .collect();
        let skills = skills.into_iter().map(|(name, id)| (id, name)).collect();
        // Every name was found when the file was checked.
        let queue_id = |name: &String| ids[name];

        let mut agents = Vec::with_capacity(self.agents.len());
        let terms = queues.iter().zip(self.lending).filter_map(|(queue, terms)| Some((queue.acd.id, terms?)));
        let mut lending = config::Lending { terms: terms.collect(), loans: Vec::new() };
        let mut positions: BTreeMap<QueueId, u32> = BTreeMap::new();
        for (agent, skills) in self.agents.into_iter().zip(agent_skills) {
            let mut acd = agent.acd;
            acd.skills = skills;
            acd.id = AgentId(id_of(Kind::Agent, &acd.name));
            for (name, level, weight) in &agent.queues {
                let queue = queue_id(name);
                let position = positions.entry(queue).or_default();
                *position += 1;
                acd.queues.push(Membership { queue, level: *level, position: *position, weight: *weight });
            }
            let loans = agent.loans.iter().map(|(to, by)| (acd.id, queue_id(to), queue_id(by)));
            lending.loans.extend(loans);
            let reach = match agent.reach {
                Reach::Account(account) => config::Reach::Account(account),
                Reach::Static { uri, transport, peer } => config::Reach::Static { uri, flow: flow_to(transport, peer) },
            };
            let supervises = supervises_of(&agent.supervises, queue_id);
            let (login, record, busy_delay) = (agent.login, agent.record, agent.busy_delay);
            agents.push(config::Agent { acd, reach, login, supervises, record, busy_delay });
        }

        let agent_id =
            |name: String| agents.iter().find(|agent| agent.acd.name == name).map(|agent| (agent.acd.id, name));
        let users = self.users.into_iter().map(|user| user_of(user, agent_id)).collect();
        let (entrances, pages) = self.entrances.into_iter().unzip();

        for (queue, ways) in queues.iter_mut().zip(self.ways) {
            queue.ways = ways.resolve(&queue_id);
        }
        let flows = self.menus.into_iter().map(|(name, menu)| (name, menu_of(menu, queue_id))).collect();
        let mut sounds = self.sounds;
        let tones = sounds_of(self.tones, &mut sounds);
        let numbers = self.numbers.into_iter().map(|(number, to)| {
            let destination = match to.to {
                Target::Flow(name) => Destination::Flow(name),
                Target::Queue(name) => Destination::Queue(queue_id(&name)),
                Target::Echo => Destination::Echo,
                Target::Dial { transport, peer, ring_for } => {
                    Destination::Dial { flow: flow_to(transport, peer), ring_for }
                }
            };
            let tones = to.tones.map(|tones| sounds_of(tones, &mut sounds));
            let gate = to.gate.map(|gate| gate.resolve(&queue_id));
            (number, config::Number { answer: to.answer, to: destination, tones, gate, record: to.record })
        });
        let numbers = numbers.collect();
        let named = named(&self.trunks);
        let trunks = self.trunks.into_iter().map(|trunk| trunk_of(trunk, &mut flow_to, &large_over));
        let trunks = trunks.collect();
        let exchange = Config {
            large_requests_over: large_over(self.large_over_tcp),
            session_timers: self.session_timers,
            nat_ping: self.nat_ping,
            name: self.name,
            realm: self.realm,
            advertise: self.advertise,
            rtp_ports: self.rtp_ports,
            browser_port: self.browser_port,
            browser_addresses: Vec::new(),
            turn: self.turn,
            media_workers: self.media_workers,
            caps: self.caps,
            tones,
            srtp: self.srtp,
            // The certificate is made when the exchange starts.
            dtls: None,
            numbering: self.numbering,
            trunks,
            calendars: self.calendars,
            numbers,
            flows,
            queues,
            agents,
            recording: self.recording.rules.clone(),
            lending,
            registrar: self.registrar,
            accounts: self.accounts,
            entrances,
            limits: self.limits,
        };
        let (node, http, recording, dns) = (self.node, self.http, self.recording, self.dns);
        let (tokens, webhooks, alarms) = (self.tokens, self.webhooks, self.alarms);
        Loaded {
            exchange,
            node,
            http,
            tokens,
            webhooks,
            alarms,
            users,
            openid: self.openid,
            skills,
            entrances: pages,
            recording,
            sounds,
            named,
            dns,
        }
    }
}

/// A user whose agent is known by its id.
fn user_of(user: super::UserNamed, agent_id: impl Fn(String) -> Option<(AgentId, String)>) -> User {
    let super::UserNamed { name, password, openid, codes, roles, agent } = user;
    User { name, password, openid, codes, roles, agent: agent.and_then(agent_id) }
}

/// A menu whose keys lead to queues by their ids.
fn menu_of(menu: super::Menu, queue_id: impl Fn(&String) -> QueueId) -> config::Menu {
    config::Menu {
        greeting: menu.greeting,
        choices: menu.choices.iter().map(|(digit, queue)| (*digit, queue_id(queue))).collect(),
        invalid: menu.invalid,
        wait_for_digit: menu.wait_for_digit,
        rounds: menu.rounds,
        default: queue_id(&menu.default),
    }
}

fn supervises_of(names: &[String], queue_id: impl Fn(&String) -> QueueId) -> config::Supervises {
    match names {
        [] => config::Supervises::Nothing,
        names if names.iter().any(|name| name == "*") => config::Supervises::Everything,
        names => config::Supervises::Queues(names.iter().map(queue_id).collect()),
    }
}

/// A trunk with the routes to those of its places that need no DNS.
fn trunk_of(
    trunk: Trunk,
    flow_to: &mut impl FnMut(Transport, SocketAddr) -> Flow,
    large_over: &impl Fn(bool) -> Vec<SocketAddr>,
) -> config::Trunk {
    let Trunk { name, peers, by_certificate, limits, codecs, numbering, format, .. } = trunk;
    let out = trunk.out.map(|out| config::Outgoing {
        targets: out.proxies.iter().filter_map(address_of).map(|(over, peer)| flow_to(over, peer)).collect(),
        ..out.rest
    });
    let large_requests_over = trunk.large_over_tcp.map(large_over);
    let (srtp, trust_identity) = (trunk.srtp, trunk.trust_identity);
    config::Trunk {
        name,
        peers,
        by_certificate,
        limits,
        codecs,
        numbering,
        format,
        out,
        srtp,
        large_requests_over,
        trust_identity,
    }
}

/// Where a proxy is, where that needs no DNS.
const fn address_of(proxy: &Proxy) -> Option<(Transport, SocketAddr)> {
    match proxy {
        Proxy::At(transport, address) => Some((*transport, *address)),
        Proxy::Named(_) => None,
    }
}

fn named(trunks: &[Trunk]) -> Vec<(usize, Vec<Proxy>)> {
    let proxies = trunks.iter().map(|trunk| trunk.out.as_ref().map_or(&[][..], |out| &out.proxies));
    let named = proxies.enumerate().filter(|(_, all)| all.iter().any(|proxy| matches!(proxy, Proxy::Named(_))));
    named.map(|(trunk, all)| (trunk, all.to_vec())).collect()
}
