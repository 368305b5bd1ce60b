//! The configuration file: one TOML file is the whole exchange.
//!
//! [`check`] reads it and checks it as a whole, reporting everything that is wrong at once, each fault with its place and
//! what to write instead. [`Checked::resolve`] then gives names their ids and hosts their routes, which needs the store and
//! the network; `offhook check` does without.

mod alarms;
mod bans;
mod calendars;
mod certificates;
mod codes;
mod copies;
mod edit;
mod elsewhere;
mod entrances;
mod exchange;
mod fault;
mod fixed;
mod lending;
mod numbering;
mod openid;
mod outside;
mod pattern;
mod people;
mod prompts;
mod read;
mod recording;
mod registrar;
mod resolve;
mod routing;
mod secrets;
mod siprec;
mod skills;
#[cfg(test)]
mod tests;
mod tones;
mod trace;
mod users;
mod webhooks;

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use offhook_acd::Lending;
use offhook_call::alarm::Rule as AlarmRule;
use offhook_call::calendar::Calendar;
use offhook_call::config::{
    Account, Answer, Entrance, Limits, Login, NumberFormat, Numbering, Queue, Rule, SrtpSettings, TrunkLimits,
};
use offhook_codec::CountryTones;
use offhook_net::bans::BanLimits;
use offhook_net::streams::{StreamLimits, TlsFiles, TrunkFiles};
use offhook_plan::{AssetId, CodecKind, MediaCaps};
use offhook_server::{EntrancePage, OpenId, TokenUser, Webhook};
use offhook_sip::sdp::SrtpPolicy;
use offhook_sip::{RegistrarLimits, Transport};
use offhook_units::Span;
use toml::de::DeTable;

pub use edit::edited;
pub use fault::Faults;
pub use fixed::Fixed;
pub use outside::Proxy;
pub use prompts::{Sound, folders as prompt_folders, playable, uses as prompt_uses};
pub use recording::Recording;
pub use resolve::{Kind, Loaded};
pub use secrets::{hidden, hidden_beside, revealed};
pub use trace::Tracing;
pub use users::UserNamed;

use elsewhere::{GateNamed, Known, WaysNamed};
use fault::Sink;
use prompts::Prompts;
use read::Section;

/// Largest file that is read.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A configuration without faults; names stand for themselves.
#[derive(Debug)]
pub struct Checked {
    /// The exchange's name, for people.
    pub name: String,
    /// The digest realm.
    pub realm: String,
    /// Which node of a cluster this is; part of each id.
    pub node: u16,
    /// Where SIP is listened for.
    pub sip_listen: Vec<SipListen>,
    /// Certificates.
    pub tls: Option<TlsFiles>,
    /// Which SIP messages are kept, and sent where.
    pub trace: Tracing,
    /// Bounds of SIP connections.
    pub streams: StreamLimits,
    /// Who is not listened to; trunks are not among the trusted yet.
    pub bans: BanLimits,
    /// Put into Contact and SDP.
    pub advertise: Option<IpAddr>,
    /// Requests over 1,300 bytes go over TCP where the peer takes it.
    pub large_over_tcp: bool,
    /// When sessions expire.
    pub session_timers: offhook_call::config::SessionTimers,
    /// How often phones behind translators are asked.
    pub nat_ping: Span,
    /// RTP ports.
    pub rtp_ports: RangeInclusive<u16>,
    /// The one UDP port of browsers.
    pub browser_port: Option<u16>,
    /// Media workers.
    pub media_workers: usize,
    /// Codecs.
    pub caps: MediaCaps,
    /// What is wanted of encryption.
    pub srtp: SrtpSettings,
    /// The HTTP listener, if any.
    pub http: Option<Http>,
    /// Programs that show tokens.
    pub tokens: Vec<TokenUser>,
    /// Who is told what happened.
    pub webhooks: Vec<Webhook>,
    /// Thresholds that somebody is told about.
    pub alarms: Vec<AlarmRule>,
    /// Who signs in; their agents are names.
    pub users: Vec<UserNamed>,
    /// A provider at which people sign in.
    pub openid: Option<OpenId>,
    /// Pages from which visitors call.
    pub entrances: Vec<(Entrance, EntrancePage)>,
    /// The data folder.
    pub data: PathBuf,
    /// Where recordings lie, and what seals them.
    pub recording: Recording,
    /// Bounds of what grows.
    pub limits: Limits,
    /// The country whose tones callers hear, where the number has none of its own.
    pub tones: CountryTones,
    /// How numbers are dialled here.
    pub numbering: Option<Numbering>,
    /// The name server for trunks that have names.
    pub dns: Option<SocketAddr>,
    /// Relays for browsers.
    pub turn: Option<offhook_call::turn::Turn>,
    /// Trunks.
    pub trunks: Vec<Trunk>,
    /// What phones are asked for, and what they are granted.
    pub registrar: RegistrarLimits,
    /// Accounts by user part.
    pub accounts: BTreeMap<String, Account>,
    /// Queues in the order of the file; their ids are not known yet.
    pub queues: Vec<Queue>,
    /// What the contacts of each of them need.
    pub needs: Vec<NeedsNamed>,
    /// The ways out of each of them.
    pub ways: Vec<WaysNamed>,
    /// On which terms each of them lends its agents.
    pub lending: Vec<Option<Lending>>,
    /// Opening hours.
    pub calendars: Vec<Calendar>,
    /// Agents in the order of the file.
    pub agents: Vec<Agent>,
    /// Menus by name.
    pub menus: BTreeMap<String, Menu>,
    /// Numbers.
    pub numbers: BTreeMap<String, Number>,
    /// Sounds, by [`AssetId`]: those that were there before, and the files behind them. Tones come with [`Checked::resolve`].
    pub sounds: Vec<Sound>,
    /// What looks wrong, though the exchange can start.
    pub warnings: Faults,
}

/// One SIP listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SipListen {
    /// Over what.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// A trunk whose route is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// Its name.
    pub name: String,
    /// Addresses that its requests come from.
    pub peers: Vec<IpAddr>,
    /// It is known by its certificate.
    pub by_certificate: bool,
    /// How many calls it may have.
    pub limits: TrunkLimits,
    /// Its codecs, where it has not those of the exchange.
    pub codecs: Vec<CodecKind>,
    /// How numbers are dialled there, where that is not as here.
    pub numbering: Option<Numbering>,
    /// How it writes them.
    pub format: NumberFormat,
    /// How calls go out to it, where they may.
    pub out: Option<outside::Outgoing>,
    /// What is wanted of encryption, where the file says so.
    pub srtp: Option<SrtpPolicy>,
    /// Whether requests over 1,300 bytes go over TCP, where the file says so.
    pub large_over_tcp: Option<bool>,
    /// It may say who calls beside From.
    pub trust_identity: bool,
}

/// The HTTP listener.
#[derive(Clone, PartialEq, Eq)]
pub struct Http {
    /// Where.
    pub listen: SocketAddr,
    /// The bearer token.
    pub token: Option<String>,
    /// HTTPS, with the certificate of `[tls]`.
    pub tls: bool,
    /// How often each token, session and address may ask in a second.
    pub requests_per_s: u32,
    /// The number of an echo that a phone in a page has to hear itself by before it registers.
    pub sound_check: Option<String>,
}

impl Http {
    /// Where the page is.
    pub fn address(&self) -> String {
        format!("http{}://{}/", if self.tls { "s" } else { "" }, self.listen)
    }
}

impl core::fmt::Debug for Http {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { listen, token, tls, requests_per_s, sound_check } = self;
        let token = token.is_some();
        let mut shown = f.debug_struct("Http");
        shown
            .field("listen", listen)
            .field("token", &token)
            .field("tls", tls)
            .field("requests_per_s", requests_per_s)
            .field("sound_check", sound_check)
            .finish()
    }
}

/// A queue by name, the tier level there, the weight.
pub type Place = (String, u8, u8);
/// To which queue, by which.
pub type Loan = (String, String);

/// An agent whose queues are names.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Everything but ids.
    pub acd: offhook_acd::AgentConfig,
    /// Queue, tier level, weight.
    pub queues: Vec<Place>,
    /// To which of them the agent is lent, and by which.
    pub loans: Vec<Loan>,
    /// Skill, level.
    pub skills: Vec<(String, u8)>,
    /// Where the phone is.
    pub reach: Reach,
    /// How the agent comes to be available.
    pub login: Login,
    /// Whose calls it may supervise: queues by name, `*` for everybody's.
    pub supervises: Vec<String>,
    /// Whether its talks are recorded.
    pub record: Option<Rule>,
    /// How long nothing is offered after its phone was busy, where that is said.
    pub busy_delay: Option<Span>,
}

/// What the contacts of a queue need, by name.
#[derive(Debug, Clone, Default)]
pub struct NeedsNamed {
    /// From the beginning.
    pub needs: Vec<NeedNamed>,
    /// After so long, these skills no longer.
    pub rings: Vec<(Span, Vec<String>)>,
}

/// A skill that is needed, by name.
#[derive(Debug, Clone)]
pub struct NeedNamed {
    /// Which.
    pub skill: String,
    /// At least this level.
    pub level: u8,
    /// What each level counts for skills-best.
    pub weight: u8,
}

/// Where an agent's phone is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// It registers as this account.
    Account(String),
    /// It is always here.
    Static {
        /// The request URI.
        uri: String,
        /// Over what.
        transport: Transport,
        /// Its address.
        peer: SocketAddr,
    },
}

/// A menu whose queues are names.
#[derive(Debug, Clone)]
pub struct Menu {
    /// Played first.
    pub greeting: Vec<AssetId>,
    /// Digit to queue.
    pub choices: BTreeMap<char, String>,
    /// Played after a digit that leads nowhere.
    pub invalid: Vec<AssetId>,
    /// After the greeting.
    pub wait_for_digit: Span,
    /// How many times the greeting is heard.
    pub rounds: u8,
    /// Where a caller goes who pressed nothing.
    pub default: String,
}

/// A number of ours.
#[derive(Debug, Clone)]
pub struct Number {
    /// When it is answered.
    pub answer: Answer,
    /// Where it leads.
    pub to: Target,
    /// The country whose tones its callers hear, where it says so.
    pub tones: Option<CountryTones>,
    /// When it leads there.
    pub gate: Option<GateNamed>,
    /// Whether its calls are recorded.
    pub record: Option<Rule>,
}

/// Where a number leads, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A menu.
    Flow(String),
    /// A queue.
    Queue(String),
    /// The caller's own voice.
    Echo,
    /// A phone.
    Dial {
        /// Over what.
        transport: Transport,
        /// Its address.
        peer: SocketAddr,
        /// How long it may ring.
        ring_for: Span,
    },
}

/// What the readers of the parts share.
struct Reader {
    sink: Sink,
    prompts: Prompts,
    /// The folder of the file: relative paths begin here.
    folder: PathBuf,
    /// What `[limits]` says of SIP connections.
    streams: StreamLimits,
    /// What `[sip]` and `[limits]` say of whom is not listened to.
    bans: BanLimits,
    /// What `[exchange]` and `[limits]` say of phones that register.
    registrar: RegistrarLimits,
    /// What `listen` in `[sip]` speaks: nothing is sent over a transport without a listener.
    spoken: Vec<Transport>,
    /// What `[tls]` says.
    tls: Option<TlsFiles>,
    /// What trunks say of certificates.
    trunk_files: Vec<TrunkFiles>,
    /// The codecs of `[media]`.
    codecs: Vec<CodecKind>,
    /// Whether `[exchange]` says how numbers are dialled.
    has_numbering: bool,
    /// What `[http]` says of phones in pages: the number that they have to hear themselves by.
    sound_check: Option<read::At<String>>,
    /// The trunk that leads to the recorder outside, as `[recording.siprec]` names it.
    recorder: Option<read::At<String>>,
    /// The trunks that `[recording.siprec_server]` names.
    recorded: Vec<read::At<String>>,
}

/// Reads `file` and checks it as a whole.
pub fn check(file: &Path) -> Result<Checked, Faults> {
    check_text(file, &read(file)?)
}

/// The text of a configuration.
pub fn read(file: &Path) -> Result<String, Faults> {
    let advice = "give the path of a configuration, such as config/offhook.toml";
    let unreadable = |error: std::io::Error| Faults::unreadable(file, format!("cannot be read: {error}"), advice);
    let bytes = std::fs::metadata(file).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(Faults::unreadable(file, format!("has {bytes} bytes; at most {FILE_BYTES_MAX} are read"), advice));
    }
    std::fs::read_to_string(file).map_err(unreadable)
}

/// As [`check`], for a text that stands, or would stand, at `file`.
pub fn check_text(file: &Path, source: &str) -> Result<Checked, Faults> {
    check_beside(file, source, Vec::new())
}

/// As [`check_text`], for an exchange that plays these sounds already.
pub fn check_beside(file: &Path, source: &str, sounds: Vec<Sound>) -> Result<Checked, Faults> {
    let (table, errors) = DeTable::parse_recoverable(source);
    let mut sink = Sink::default();
    let whole = errors.is_empty();
    for error in errors {
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        sink.fault(error.span().unwrap_or(0..0), message, syntax_advice(error.message()));
    }
    let folder = file.parent().unwrap_or_else(|| Path::new("")).to_owned();
    let prompts = Prompts::new(Vec::new(), sounds);
    let mut reader = Reader {
        sink,
        prompts,
        folder,
        streams: StreamLimits::default(),
        bans: BanLimits::default(),
        registrar: RegistrarLimits::default(),
        spoken: Vec::new(),
        tls: None,
        trunk_files: Vec::new(),
        codecs: Vec::new(),
        has_numbering: false,
        sound_check: None,
        recorder: None,
        recorded: Vec::new(),
    };
    let mut root = Section::root(table.get_ref());
    let parts = reader.read(&mut root);
    root.finish(&mut reader.sink);
    let good = reader.sink.is_good();
    let sounds = core::mem::take(&mut reader.prompts.sounds);
    let faults = reader.sink.into_faults(file, source, whole);
    match parts {
        Some(parts) if good => Ok(Checked { sounds, warnings: faults, ..parts }),
        _ => Err(faults),
    }
}

impl Reader {
    /// Every part is read whatever the others say, so that all faults are found in one run.
    fn read(&mut self, root: &mut Section<'_>) -> Option<Checked> {
        let exchange = self.exchange(root);
        let sip = self.sip(root);
        self.tls = self.tls(root, &sip);
        let media = self.media(root);
        let caps = media.as_ref().map(|media| &media.caps.codecs);
        self.codecs = caps.into_iter().flatten().map(|cap| cap.kind).collect();
        let http = self.http(root);
        let data = self.data_folder(root);
        let mut recording = self.recording(root);
        let limits = self.limits(root);
        self.prompt_folders(root);
        self.ports_apart(&sip, media.as_ref());
        let (dns, turn) = (self.dns(root), self.turn(root));
        let trunks = self.trunks(root);
        self.check_recorder(&trunks);
        let tls = self.tls.clone().map(|tls| TlsFiles { trunks: core::mem::take(&mut self.trunk_files), ..tls });
        let accounts = self.accounts(root, &sip);
        let calendars = self.calendars(root);
        let queues = self.queues(root, &calendars);
        recording.keep.queues.clone_from(&queues.keep);
        if let Some(at) = recording.hour_at.clone().filter(|_| !recording.keep.ends()) {
            self.sink.warn(at, "nothing is ever erased at that hour", "add keep = \"90d\"");
        }
        let flows = self.flows(root, &queues);
        let agents = self.agents(root, &queues, &accounts);
        let numbers = self.numbers(root, &queues, &flows, &calendars);
        let entrances = self.entrances(root, &sip, &numbers);
        self.sound_check_echoes(&numbers);
        let openid = self.openid(root);
        let (tokens, users) = (self.tokens(root), self.users(root, &agents));
        let webhooks = self.webhooks(root);
        let alarms = self.alarms(root, &queues, &trunks);
        self.check_elsewhere(&Known {
            queues: &queues,
            flows: &flows,
            numbers: &numbers,
            agents: &agents,
            accounts: &accounts,
        });
        if self.sink.is_good() {
            self.look_around(&queues, &flows, &agents, &numbers, &trunks);
        }
        let media = media?;
        Some(Checked {
            name: exchange.name,
            realm: exchange.realm,
            node: exchange.node,
            sip_listen: sip.listen.iter().map(|listen| listen.value).collect(),
            tls,
            trace: sip.trace,
            streams: self.streams,
            bans: self.bans.clone(),
            advertise: sip.advertise,
            large_over_tcp: sip.large_over_tcp,
            session_timers: sip.session_timers,
            nat_ping: sip.nat_ping,
            rtp_ports: media.ports.value,
            browser_port: media.browser_port.map(|port| port.value),
            media_workers: media.workers,
            caps: media.caps,
            srtp: sip.srtp,
            http,
            tokens,
            webhooks,
            alarms,
            users,
            openid,
            entrances,
            data,
            recording,
            limits,
            tones: exchange.tones,
            numbering: exchange.numbering,
            dns,
            turn,
            trunks: trunks.into_iter().map(|trunk| trunk.value).collect(),
            registrar: self.registrar.clone(),
            accounts: accounts.into_iter().map(|(name, account)| (name, account.value)).collect(),
            needs: queues.needs,
            ways: queues.ways,
            lending: queues.lending.into_iter().map(|lending| Some(lending?.value)).collect(),
            calendars,
            queues: queues.list.into_iter().map(|queue| queue.value).collect(),
            agents: agents.into_iter().map(|agent| agent.value).collect(),
            menus: flows.into_iter().map(|(name, menu)| (name, menu.value)).collect(),
            numbers: numbers.into_iter().map(|(number, to)| (number, to.value)).collect(),
            sounds: Vec::new(),
            warnings: Sink::default().into_faults(Path::new(""), "", true),
        })
    }

    /// `path` as the file means it.
    fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }
}

/// What to do about an error of TOML itself.
fn syntax_advice(message: &str) -> &'static str {
    if message.contains("duplicate key") {
        "keep one of the two"
    } else if message.contains("string") || message.contains("quote") {
        "put texts into double quotes"
    } else {
        "a line is a table's name in brackets, or key = value"
    }
}
