//! What an exchange is told to be, as checked data: names resolved to ids, hosts to flows. The file's syntax and its
//! faults belong to the program that reads it.

mod trunk;
mod ways;

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use offhook_plan::{AssetId, CodecKind, Fingerprint, MediaCaps};
use offhook_sip::sdp::SrtpPolicy;
use offhook_sip::{Flow, RegistrarLimits};
use offhook_units::{AgentId, QueueId, SkillId, Span};

pub use crate::calendar::Calendar;
pub use crate::guests::Supervises;
pub use crate::numbering::{NumberFormat, Numbering};
pub use crate::recording::{Consent, Percent, Recording, Rule};
pub use crate::siprec::{SiprecClient, SiprecServer};
pub use trunk::{Outgoing, Registering, Trunk, TrunkLimits};
pub use ways::{CallbackRules, Choice, Elsewhere, Gate, Ways};

/// A whole exchange.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its name, shown to peers in User-Agent and Server.
    pub name: String,
    /// The digest realm, and the host part of our own URIs where no better one is known.
    pub realm: String,
    /// Put into Contact and SDP instead of the address that the route to the peer has.
    pub advertise: Option<IpAddr>,
    /// Listeners for TCP that large requests go over instead of as datagrams; empty for none.
    pub large_requests_over: Vec<SocketAddr>,
    /// How often phones behind a translator are sent OPTIONS over UDP, so that it keeps the way to them open; zero for never.
    pub nat_ping: Span,
    /// When a call is over whose peer refreshes nothing and answers no refresh (RFC 4028).
    pub session_timers: SessionTimers,
    /// RTP ports; even ones carry RTP, the next odd one RTCP.
    pub rtp_ports: RangeInclusive<u16>,
    /// The one UDP port that legs found by ICE share, none of [`Config::rtp_ports`]; without it each has a port of those.
    pub browser_port: Option<u16>,
    /// Our addresses with that port: the first of each family is told to browsers, whichever of the two they come over.
    pub browser_addresses: Vec<IpAddr>,
    /// Relays that phones in pages are told, each time they register, and visitors with their ticket.
    pub turn: Option<crate::turn::Turn>,
    /// Media workers that calls are spread over.
    pub media_workers: usize,
    /// What we can do with sound.
    pub caps: MediaCaps,
    /// What callers hear while somebody is rung for them, and in vain; numbers may have their own.
    pub tones: Tones,
    /// What we want of encryption.
    pub srtp: SrtpSettings,
    /// The hash of the certificate that browsers are shown; without it their calls are refused with 488, and they are not rung.
    pub dtls: Option<Fingerprint>,
    /// Who may send us calls without credentials, and who takes ours.
    pub trunks: Vec<Trunk>,
    /// Opening hours, of which numbers and queues say which are theirs.
    pub calendars: Vec<Calendar>,
    /// Numbers of ours, by what stands in the request URI's user part.
    pub numbers: BTreeMap<String, Number>,
    /// How numbers are dialled here; without it a number is what was dialled.
    pub numbering: Option<Numbering>,
    /// Menus, by name.
    pub flows: BTreeMap<String, Menu>,
    /// Queues.
    pub queues: Vec<Queue>,
    /// Agents.
    pub agents: Vec<Agent>,
    /// Whether calls outside are recorded, and how recordings are paused.
    pub recording: Recording,
    /// Which of them are lent by one queue to another, and when.
    pub lending: Lending,
    /// What phones are asked for, and what they are granted.
    pub registrar: RegistrarLimits,
    /// Who may register: user part to account.
    pub accounts: BTreeMap<String, Account>,
    /// Pages from which visitors call without an account.
    pub entrances: Vec<Entrance>,
    /// Bounds of what grows.
    pub limits: Limits,
}

/// Where visitors come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// Its name, part of the page's address; as whom a visitor without a name is shown.
    pub name: String,
    /// The number of ours that it leads to.
    pub number: String,
    /// Visitors in calls at once.
    pub calls_max: u32,
}

/// Tones of the telephone network, as the exchange sounds them; where one has no sound, there is silence, or the end at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tones {
    /// One round of it; repeated.
    pub ringback: Vec<AssetId>,
    /// As long as it is heard before the exchange hangs up.
    pub busy: Vec<AssetId>,
    /// Likewise.
    pub congestion: Vec<AssetId>,
}

/// [`Config::nat_ping`] where nothing is said: translators forget after 30 s, as a rule.
pub const NAT_PING: Span = Span::from_s(25);

/// When sessions expire, RFC 4028.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimers {
    /// What peers that support it are offered; zero for never.
    pub expires: Span,
    /// The smallest that they may ask for, from [`offhook_sip::MIN_SE`] up.
    pub min: Span,
}

impl Config {
    /// Whether a leg may have this codec: the exchange's own list has it, or a trunk's.
    pub fn speaks(&self, codec: CodecKind) -> bool {
        let own = self.caps.codecs.iter().any(|cap| cap.kind == codec);
        own || self.trunks.iter().any(|trunk| trunk.codecs.contains(&codec))
    }
}

impl Default for SessionTimers {
    fn default() -> Self {
        Self { expires: Span::from_s(1_800), min: offhook_sip::MIN_SE }
    }
}

/// What we want of encryption where a trunk or an account does not say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SrtpSettings {
    /// Whether media is encrypted.
    pub policy: SrtpPolicy,
    /// Keys are told over transports that anybody on the way can read, too. Without it they go over TLS and WSS alone.
    pub keys_in_clear: bool,
}

/// Bounds of what grows, each with what happens when it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once; more get 503 with Retry-After.
    pub calls_max: usize,
    /// New calls a second, as a token bucket of the same depth; more get 503 with Retry-After.
    pub calls_per_s_max: u32,
    /// How long the program may take to catch up with what comes in; new calls are taken on more slowly beyond that, and the
    /// rest gets 503 with Retry-After.
    pub late: Span,
    /// SIP transactions at once; more requests are answered 503 without state.
    pub transactions_max: usize,
    /// Registered bindings; more get 503.
    pub bindings_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_max: 10_000,
            calls_per_s_max: 2_000,
            late: Span::from_ms(100),
            transactions_max: 200_000,
            bindings_max: 100_000,
        }
    }
}

/// When a call to a number is answered (docs/ARCHITECTURE.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// At once: the greeting is heard on an answered call.
    AtStart,
    /// When the caller enters the queue; a greeting before it is early media.
    AtQueue,
    /// When an agent answers; greeting and music are early media.
    AtAgent,
}

/// A number of ours.
#[derive(Debug, Clone)]
pub struct Number {
    /// When it is answered.
    pub answer: Answer,
    /// Where it leads.
    pub to: Destination,
    /// What its callers hear instead of [`Config::tones`].
    pub tones: Option<Tones>,
    /// When it leads there, where that is not always.
    pub gate: Option<Gate>,
    /// Whether its calls are recorded, where it has a word on that.
    pub record: Option<Rule>,
}

/// Where a number leads.
#[derive(Debug, Clone)]
pub enum Destination {
    /// A menu, by name.
    Flow(String),
    /// A queue.
    Queue(QueueId),
    /// A phone, dialled as it is: the request goes to `flow`, to the dialled number's user part at its host.
    Dial {
        /// Where the INVITE is sent.
        flow: Flow,
        /// How long it may ring.
        ring_for: Span,
    },
    /// Back to the caller: what is said is heard again at once, to try a line. At most for [`ECHO_MAX`].
    Echo,
}

/// How long a caller may hear the own voice.
pub const ECHO_MAX: Span = Span::from_s(120);

/// A menu: a greeting, then a digit chooses where to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    /// Played first; a digit cuts it short.
    pub greeting: Vec<AssetId>,
    /// Which digit leads where. Without any choice the caller goes to `default` after the greeting.
    pub choices: BTreeMap<char, Choice>,
    /// Played after a digit that leads nowhere.
    pub invalid: Vec<AssetId>,
    /// How long to wait for a digit after the greeting.
    pub wait_for_digit: Span,
    /// How many times the greeting is heard before the caller goes to `default`.
    pub rounds: u8,
    /// Where a caller goes who pressed nothing.
    pub default: Elsewhere,
}

/// A queue as the calls see it; `acd` has what it needs for distribution.
#[derive(Debug, Clone)]
pub struct Queue {
    /// How contacts are distributed.
    pub acd: offhook_acd::QueueConfig,
    /// Played while waiting, again and again.
    pub music: Vec<AssetId>,
    /// Between two announcements of the position and the wait; zero for none.
    pub announce_every: Span,
    /// The words of the position announcement.
    pub announcement: Announcement,
    /// The words of the announcement that follows it: within how many minutes four of five such callers are answered. Left out where nothing
    /// can be said (see [`offhook_acd::Acd::expected_wait`]); empty for never.
    pub expected_wait: Announcement,
    /// Played when nobody is logged in, before the call ends.
    pub nobody_here: Vec<AssetId>,
    /// Played when the queue is full, before the call ends.
    pub full: Vec<AssetId>,
    /// Whether calls are recorded, where it has a word on that.
    pub record: Option<Rule>,
    /// How callers are asked whether they may be recorded; needed where `record` is [`Rule::WithConsent`].
    pub consent: Option<Consent>,
    /// The first key that a caller presses in a talk pauses the recording, until no key came for so long; none where keys do not.
    pub pause_on_keys: Option<Span>,
    /// Callers wait a while for whom they talked to last.
    pub sticky: Option<Sticky>,
    /// A caller who left without an answer and calls again so soon takes the old place back.
    pub resume_within: Option<Span>,
    /// For so long at most a program is asked about each call before the strategy decides.
    pub external: Option<Span>,
    /// What its agents may say of a call when it is over.
    pub codes: WrapUpCodes,
    /// When callers are let in, and the ways out.
    pub ways: Ways,
}

/// What agents may say of a call when it is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrapUpCodes {
    /// The codes, in the order in which they are shown; `/` parts what is above from what is below.
    pub codes: Vec<String>,
    /// An agent who has given none is not done with wrap-up.
    pub required: bool,
}

/// Agents on loan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lending {
    /// Queues that lend, and on which terms.
    pub terms: Vec<(QueueId, offhook_acd::Lending)>,
    /// Who is lent, to which queue, by which.
    pub loans: Vec<(AgentId, QueueId, QueueId)>,
}

/// How a queue keeps callers with their agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sticky {
    /// For how long a caller waits for that agent before anybody else is asked.
    pub wait: Span,
    /// For how long an agent stays a caller's, from taking the call.
    pub within: Span,
}

/// Words around a number, such as "you are number N".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announcement {
    /// Before the number.
    pub before: Vec<AssetId>,
    /// The numbers 0 to 9, in order; a larger one is spoken digit by digit. Empty: the number is left out.
    pub digits: Vec<AssetId>,
    /// After the number.
    pub after: Vec<AssetId>,
    /// Instead of all that where the number is 1; empty for no difference.
    pub one: Vec<AssetId>,
}

impl Announcement {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        let Self { before, digits, after, one } = self;
        before.is_empty() && digits.is_empty() && after.is_empty() && one.is_empty()
    }
}

/// An agent as the calls see it.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Who it is, which queues, how many contacts.
    pub acd: offhook_acd::AgentConfig,
    /// Where the agent's phone is.
    pub reach: Reach,
    /// How the agent comes to be available.
    pub login: Login,
    /// Whose calls the agent may listen to, whisper into, join and take over.
    pub supervises: Supervises,
    /// Whether talks with the agent are recorded, where there is a word on that.
    pub record: Option<Rule>,
    /// How long nothing is offered after the phone said that it is busy; as after any other refusal where nothing is said.
    pub busy_delay: Option<Span>,
}

/// Where an agent's phone is.
#[derive(Debug, Clone)]
pub enum Reach {
    /// It registers as this account.
    Account(String),
    /// It is always at this URI.
    Static {
        /// The request URI.
        uri: String,
        /// Where the INVITE is sent.
        flow: Flow,
    },
}

/// How an agent comes to be logged in and available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// From the start of the exchange.
    AtStart,
    /// While the phone is registered.
    WhenRegistered,
    /// Only by command.
    ByCommand,
}

/// Credentials of one phone.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The secret of digest authentication.
    pub password: String,
    /// What the outside numbers begin with that it may call. Empty: none but emergency numbers.
    pub outside: Vec<String>,
    /// Outside calls at once, those included that it transferred outside; one more gets 503.
    pub outside_max: u32,
    /// Outside calls in one hour, from the full hour on; one more gets 503.
    pub outside_per_hour: u32,
    /// Outside calls in one day of UTC; one more gets 503.
    pub outside_per_day: u32,
    /// Who calls, on outside calls.
    pub caller_id: Option<String>,
    /// Outside calls do not show who calls, but for emergency calls.
    pub hide_number: bool,
    /// Codecs of its phone in order of preference, of those of [`Config::caps`]; all of them, those of whoever it talks to first,
    /// where nothing is said.
    pub codecs: Vec<CodecKind>,
    /// What is wanted of encryption with this phone, where it differs from [`Config::srtp`].
    pub srtp: Option<SrtpPolicy>,
}

/// [`Account::outside_per_hour`] where nothing is said.
pub const OUTSIDE_PER_HOUR_DEFAULT: u32 = 120;
/// [`Account::outside_per_day`] where nothing is said.
pub const OUTSIDE_PER_DAY_DEFAULT: u32 = 600;
/// [`Account::outside_max`] where nothing is said.
pub const OUTSIDE_MAX_DEFAULT: u32 = 4;

impl Account {
    /// An account that calls nobody outside.
    pub fn new(password: impl Into<String>) -> Self {
        let (outside, caller_id, srtp) = (Vec::new(), None, None);
        Self {
            codecs: Vec::new(),
            password: password.into(),
            outside,
            outside_max: OUTSIDE_MAX_DEFAULT,
            outside_per_hour: OUTSIDE_PER_HOUR_DEFAULT,
            outside_per_day: OUTSIDE_PER_DAY_DEFAULT,
            caller_id,
            hide_number: false,
            srtp,
        }
    }
}

impl core::fmt::Debug for Account {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Account(..)")
    }
}

/// Names for people, where only ids are at hand.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Queue names.
    pub queues: BTreeMap<QueueId, String>,
    /// Agent names.
    pub agents: BTreeMap<AgentId, String>,
    /// Skills as the configuration calls them.
    pub skills: BTreeMap<SkillId, String>,
}
