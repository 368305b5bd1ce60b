//! The options of `offhook bench calls` and `offhook bench agents`, from the command line and from a scenario file, as the load generator takes them.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use offhook_loadgen::arrivals::{Lasting, Pattern, Rates, Spread, read_instants};
use offhook_loadgen::flows::Part;
use offhook_loadgen::load::{Agents, Callers, Carriage, Load};
use offhook_net::streams::{Lead, Tls};
use offhook_sip::{Credentials, Transport, Uri};
use offhook_units::Span;
use serde::Deserialize;

use super::words::{Codec, speech};
use crate::call::Keys;

/// Most calls at once, and most agents.
pub const LEGS_MAX: u32 = 100_000;
/// Most connections of callers.
const CONNECTIONS_MAX: u32 = 20_000;
/// A call without patience is given up by the server or by 64 T1 of SIP.
const FROM: &str = "cx{n}";

/// Whom this machine believes over TLS, where nothing else is said.
const TRUST: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What SIP goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// Datagrams.
    Udp,
    /// One connection for all callers, or --connections; one for all agents.
    Tcp,
    /// The same under TLS.
    Tls,
    /// WebSocket (RFC 7118), with as many connections.
    Ws,
    /// The same under TLS.
    Wss,
}

impl Over {
    /// As SIP calls it.
    pub const fn transport(self) -> Transport {
        match self {
            Self::Udp => Transport::Udp,
            Self::Tcp => Transport::Tcp,
            Self::Tls => Transport::Tls,
            Self::Ws => Transport::Ws,
            Self::Wss => Transport::Wss,
        }
    }

    /// Where a server listens whose URI names no port: RFC 3261 section 19.1.2, and of WebSocket RFC 6455 section 3.
    const fn port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// Who calls, when, and what they say.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CallerOptions {
    /// Whom to call: sip:NAME@HOST[:PORT].
    #[arg(long, value_name = "URI")]
    pub to: Option<String>,
    /// Where INVITEs are sent, where it is not the host of --to.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    /// Who calls; n in braces is the call's number, {n:04} with leading zeros. Agents of this command know their callers by it. Default cx and the number.
    #[arg(long, value_name = "NAME")]
    pub from: Option<String>,
    /// Where callers send from; port 0 takes a free one. Default 0.0.0.0:0.
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Calls begun: 50/s, 3000/min; rising over --for: 10/s..100/s; in steps, the last one goes on: 10/s:30s,50/s:1m.
    #[arg(long, value_name = "RATE")]
    pub rate: Option<Rates>,
    /// Calls come by chance (a Poisson process of that rate) instead of evenly.
    #[arg(long)]
    pub poisson: bool,
    /// Calls begin at the instants of a file instead: seconds after the begin are the first field of each line.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rate", "poisson"])]
    pub arrivals: Option<PathBuf>,
    /// Most calls at once. Without --hold: how many calls there are.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(LEGS_MAX)))]
    pub concurrent: Option<u32>,
    /// How long calls are begun; without --hold: how long all of them stay up together.
    #[arg(long = "for", value_name = "SPAN")]
    #[serde(rename = "for")]
    pub lasting: Option<Lasting>,
    /// How long a call lasts after its answer: 10s, or anything between two: 5s..20s. Without it, calls stay until the end of the run.
    #[arg(long, value_name = "SPAN[..SPAN]")]
    pub hold: Option<Spread>,
    /// How long a caller waits before giving up: for the answer, and for an agent where agents are of this command.
    #[arg(long, value_name = "SPAN[..SPAN]")]
    pub patience: Option<Spread>,
    /// Press keys so long after the answer, such as 1@2s. May be given again.
    #[arg(long, value_name = "KEYS@SPAN", value_parser = crate::call::keys)]
    #[serde(deserialize_with = "read_keys")]
    pub dtmf: Vec<Keys>,
    /// The user name that a challenge is answered with.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub account: Option<String>,
    /// A file whose first line is its password.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// What SIP goes over. Default udp.
    #[arg(long, value_enum)]
    pub transport: Option<Over>,
    /// What agents' SIP goes over. Default that of callers, and udp where that is WebSocket.
    #[arg(long, value_enum)]
    pub agents_transport: Option<Over>,
    /// Connections that calls are spread over, where the transport has any. Default 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(CONNECTIONS_MAX)))]
    pub connections: Option<u32>,
    /// Whom to believe over TLS: a file of certificates in PEM, of authorities or of the server itself. Default /etc/ssl/certs/ca-certificates.crt.
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// What a WebSocket is asked for, such as /ws. Default /.
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Speech goes under SRTP, with keys in the descriptions (SDES): callers offer nothing else, agents take it where it is offered.
    #[arg(long)]
    pub srtp: bool,
    /// Callers' speech goes as a browser's: ICE, DTLS and SRTP, by a library of others. With --transport ws or wss, callers are what pages with SIP are; agents are telephones all the same.
    #[arg(long, conflicts_with = "srtp")]
    pub webrtc: bool,
    /// What is said: a WAV file, again and again. Otherwise silence, marked.
    #[arg(long, value_name = "FILE")]
    pub speech: Option<PathBuf>,
    /// The codec. Default pcmu.
    #[arg(long, value_enum)]
    pub codec: Option<Codec>,
    /// Agents' codec. Where it is another one, the server turns one into the other: no mark arrives, and no way is timed. Default that of callers.
    #[arg(long, value_enum)]
    pub agents_codec: Option<Codec>,
    /// Mark every Nth packet, so that its way is timed. Default 1, and 50 with --speech, where each is heard as a click.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub mark_every: Option<u32>,
    /// The process under test on this machine: its CPU and memory are read.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
}

/// Who answers.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AgentOptions {
    /// Agents that register; their calls are answered by this command.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(LEGS_MAX)))]
    #[serde(rename = "count")]
    pub agents: Option<u32>,
    /// Where agents listen. Without --register, whoever is called there is an agent.
    #[arg(long, value_name = "ADDR:PORT")]
    #[serde(rename = "listen")]
    pub agents_listen: Option<SocketAddr>,
    /// Where agents register: sip:DOMAIN[:PORT].
    #[arg(long, value_name = "URI")]
    pub register: Option<String>,
    /// Their registrar, where it is not the host of --register.
    #[arg(long, value_name = "HOST[:PORT]", requires = "register")]
    pub registrar: Option<String>,
    /// Their names: n in braces is the number, {n:04} with leading zeros. Default a{n:04}.
    #[arg(long, value_name = "NAME")]
    pub users: Option<String>,
    /// Their passwords, in the same way. Default pw{n:04}.
    #[arg(long, value_name = "TEXT")]
    pub passwords: Option<String>,
    /// The first number. Default 1.
    #[arg(long, value_name = "N")]
    pub first: Option<u32>,
    /// Registrations begun in a second. Default 50.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub registers_per_second: Option<u32>,
    /// How long an agent's phone rings: 2s, or anything between two: 1s..4s. Default 0s.
    #[arg(long, value_name = "SPAN[..SPAN]")]
    pub answer_after: Option<Spread>,
    /// Share of calls that agents decline, in percent.
    #[arg(long, value_name = "PERCENT")]
    pub decline: Option<f64>,
    /// Agents hang up so long after answering. Otherwise callers do.
    #[arg(long, value_name = "SPAN[..SPAN]")]
    #[serde(rename = "hang-up-after")]
    pub agents_hang_up_after: Option<Spread>,
    /// How long an agent is busy after a call. Default 0s.
    #[arg(long, value_name = "SPAN")]
    pub wrap_up: Option<Lasting>,
    /// Agents speak themselves instead of sending back what they hear.
    #[arg(long)]
    pub speak: bool,
}

/// What agents have of the run that they belong to.
#[derive(Debug, Clone, Copy)]
pub struct Common<'a> {
    /// What SIP goes over.
    pub over: Over,
    /// The codec.
    pub codec: Codec,
    /// What is said, and every how many packets are marked.
    pub words: (Option<&'a Path>, Option<u32>),
    /// Whether streams under SRTP are taken.
    pub srtp: bool,
}

fn read_keys<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Keys>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| crate::call::keys(text).map_err(serde::de::Error::custom)).collect()
}

impl CallerOptions {
    /// What the command line says, and else the file.
    pub fn or(self, file: Self) -> Self {
        Self {
            to: self.to.or(file.to),
            server: self.server.or(file.server),
            from: self.from.or(file.from),
            listen: self.listen.or(file.listen),
            arrivals: self.arrivals.or_else(|| file.arrivals.filter(|_| self.rate.is_none())),
            rate: self.rate.or(file.rate),
            poisson: self.poisson || file.poisson,
            concurrent: self.concurrent.or(file.concurrent),
            lasting: self.lasting.or(file.lasting),
            hold: self.hold.or(file.hold),
            patience: self.patience.or(file.patience),
            dtmf: if self.dtmf.is_empty() { file.dtmf } else { self.dtmf },
            account: self.account.or(file.account),
            password_file: self.password_file.or(file.password_file),
            transport: self.transport.or(file.transport),
            agents_transport: self.agents_transport.or(file.agents_transport),
            agents_codec: self.agents_codec.or(file.agents_codec),
            connections: self.connections.or(file.connections),
            trust: self.trust.or(file.trust),
            path: self.path.or(file.path),
            srtp: self.srtp || (file.srtp && !self.webrtc),
            webrtc: self.webrtc || (file.webrtc && !self.srtp),
            speech: self.speech.or(file.speech),
            codec: self.codec.or(file.codec),
            mark_every: self.mark_every.or(file.mark_every),
            server_pid: self.server_pid.or(file.server_pid),
        }
    }

    /// The codec of all calls.
    pub fn codec(&self) -> Codec {
        self.codec.unwrap_or(Codec::Pcmu)
    }

    /// The run that these options describe.
    pub fn load(&self, agents: &AgentOptions) -> anyhow::Result<Load> {
        let to = self.to.as_deref().context("whom to call is missing: --to sip:NAME@HOST, or `to` in the scenario")?;
        let uri: Uri =
            to.parse().map_err(|_| anyhow::anyhow!("--to `{to}` is no SIP URI: write sip:NAME@HOST[:PORT]"))?;
        let over = self.transport.unwrap_or(Over::Udp);
        let server = match &self.server {
            Some(server) => resolve(server, over)?,
            None => resolve_uri(&uri, over)?,
        };
        ensure!(!(self.srtp && self.webrtc), "--srtp and --webrtc are two ways of speech: take one of them");
        let codec = self.codec();
        let words = (self.speech.as_deref(), self.mark_every);
        let plain = if matches!(over, Over::Ws | Over::Wss) { Over::Udp } else { over };
        let floor = agents.floor(&Common {
            over: self.agents_transport.unwrap_or(plain),
            codec: self.agents_codec.unwrap_or(codec),
            words,
            srtp: self.srtp,
        })?;
        let concurrent = self.concurrent.context("how many calls at once is missing: --concurrent N")? as usize;
        let credentials = match (&self.account, &self.password_file) {
            (Some(username), Some(file)) => {
                Some(Credentials { username: username.clone(), password: crate::phone::first_line(file)? })
            }
            (Some(_), None) => bail!("an account needs its password: --password-file FILE"),
            (None, _) => None,
        };
        let keys = self.dtmf.iter().map(|Keys(after, keys)| (*after, keys.clone())).collect();
        let mut leads = vec![lead(&uri, server, self.path.as_deref())];
        let registrar = floor.as_ref().and_then(|floor| floor.registrar.as_ref());
        leads.extend(
            registrar.filter(|(at, _)| *at != server).map(|(at, domain)| lead(domain, *at, self.path.as_deref())),
        );
        let transports = [over.transport()].into_iter().chain(floor.as_ref().map(|floor| floor.transport));
        let tls = tls_for(transports, self.trust.as_deref())?;
        let callers = Callers {
            transport: over.transport(),
            connections: self.connections.unwrap_or(1) as usize,
            carriage: match (self.srtp, self.webrtc) {
                (_, true) => Carriage::WebRtc,
                (true, false) => Carriage::Srtp,
                (false, false) => Carriage::Plain,
            },
            speech: speech(words.0, codec, words.1)?,
            server,
            uri,
            local: self.listen.unwrap_or_else(|| any_for(server)),
            from: self.from.clone().unwrap_or_else(|| FROM.to_owned()),
            pattern: self.pattern()?,
            concurrent,
            hold: self.hold,
            patience: self.patience,
            keys,
            credentials,
        };
        let lasting = self.lasting.context("how long is missing: --for SPAN, such as 30s")?.0;
        Ok(Load {
            callers: Some(callers),
            agents: floor,
            tls,
            leads,
            sampled: None,
            lasting: Some(lasting),
            server_pid: self.server_pid,
            wire: Arc::default(),
            keeps_outcomes: false,
        })
    }

    fn pattern(&self) -> anyhow::Result<Pattern> {
        if let Some(path) = &self.arrivals {
            let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            let instants = read_instants(&text).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
            return Ok(Pattern::At(instants));
        }
        let rates = self.rate.clone().context("how many calls a second is missing: --rate 50/s, or --arrivals FILE")?;
        Ok(if self.poisson { Pattern::Poisson(rates) } else { Pattern::Even(rates) })
    }
}

impl AgentOptions {
    /// What the command line says, and else the file.
    pub fn or(self, file: Self) -> Self {
        Self {
            agents: self.agents.or(file.agents),
            agents_listen: self.agents_listen.or(file.agents_listen),
            register: self.register.or(file.register),
            registrar: self.registrar.or(file.registrar),
            users: self.users.or(file.users),
            passwords: self.passwords.or(file.passwords),
            first: self.first.or(file.first),
            registers_per_second: self.registers_per_second.or(file.registers_per_second),
            answer_after: self.answer_after.or(file.answer_after),
            decline: self.decline.or(file.decline),
            agents_hang_up_after: self.agents_hang_up_after.or(file.agents_hang_up_after),
            wrap_up: self.wrap_up.or(file.wrap_up),
            speak: self.speak || file.speak,
        }
    }

    /// The agents that these options describe, where they describe any.
    pub fn floor(&self, common: &Common<'_>) -> anyhow::Result<Option<Agents>> {
        let Common { over, codec, words, srtp } = *common;
        let registrar = match &self.register {
            Some(text) => {
                let bad = || anyhow::anyhow!("--register `{text}` is no SIP URI: write sip:DOMAIN[:PORT]");
                let domain: Uri = text.parse().map_err(|_| bad())?;
                let server = match &self.registrar {
                    Some(registrar) => resolve(registrar, over)?,
                    None => resolve_uri(&domain, over)?,
                };
                Some((server, Uri::sip(None, &domain.host, domain.port)))
            }
            None => None,
        };
        let count = match (self.agents, &registrar, self.agents_listen) {
            (None, None, None) => return Ok(None),
            (Some(_), None, _) => bail!(
                "agents need a registrar: --register sip:DOMAIN; or only --agents-listen, for agents with fixed contacts"
            ),
            (None, Some(_), _) => bail!("how many agents register is missing: --agents N"),
            (Some(count), Some(_), _) => count,
            (None, None, Some(_)) => 0,
        };
        ensure!(
            registrar.is_some() || matches!(over, Over::Udp | Over::Tcp),
            "agents with fixed contacts have no certificate, and no WebSocket leads to them: udp or tcp, or --register sip:DOMAIN"
        );
        let decline = self.decline.unwrap_or(0.0);
        ensure!((0.0..=100.0).contains(&decline), "--decline {decline} is no share in percent");
        let local = self.agents_listen.or_else(|| registrar.as_ref().map(|(server, _)| any_for(*server)));
        Ok(Some(Agents {
            transport: over.transport(),
            takes_srtp: srtp,
            speech: speech(words.0, codec, words.1)?,
            local: local.context("where agents listen is missing: --agents-listen ADDR:PORT")?,
            count,
            first: self.first.unwrap_or(1),
            user: self.users.clone().unwrap_or_else(|| "a{n:04}".to_owned()),
            password: self.passwords.clone().unwrap_or_else(|| "pw{n:04}".to_owned()),
            registrar,
            registers_per_s: self.registers_per_second.unwrap_or(50),
            answer_after: self.answer_after.unwrap_or(Spread::always(Span::ZERO)),
            decline_per_mille: (decline * 10.0).round() as u32,
            hang_up_after: self.agents_hang_up_after,
            wrap_up: self.wrap_up.map_or(Span::ZERO, |lasting| lasting.0),
            part: if self.speak { Part::Speaker } else { Part::Echo },
        }))
    }
}

/// Whom we believe, where any of these transports goes under TLS: the certificates of a file, or those that this machine believes.
pub fn tls_for(transports: impl IntoIterator<Item = Transport>, trust: Option<&Path>) -> anyhow::Result<Option<Tls>> {
    let is_secure = transports.into_iter().any(Transport::is_secure);
    ensure!(is_secure || trust.is_none(), "--trust is for TLS: --transport tls or wss");
    let file = trust.unwrap_or(Path::new(TRUST));
    is_secure.then(|| Tls::for_calling(file)).transpose().context("whom to believe over TLS: --trust FILE")
}

/// What a server is called, and what a WebSocket is asked for there.
pub fn lead(uri: &Uri, peer: SocketAddr, path: Option<&str>) -> Lead {
    let domain = Some(uri.host.clone()).filter(|_| uri.host_ip().is_none());
    Lead { peer, names: domain.into_iter().chain([peer.ip().to_string()]).collect(), path: path.map(str::to_owned) }
}

/// Any address of the family of `server`.
pub fn any_for(server: SocketAddr) -> SocketAddr {
    if server.is_ipv4() { SocketAddr::from(([0, 0, 0, 0], 0)) } else { SocketAddr::from(([0_u16; 8], 0)) }
}

/// Where requests to a URI go: its host, and its port or that of the transport.
pub fn resolve_uri(uri: &Uri, over: Over) -> anyhow::Result<SocketAddr> {
    let port = uri.port.unwrap_or(over.port());
    match uri.host_ip() {
        Some(ip) => Ok(SocketAddr::new(ip, port)),
        None => resolve(&format!("{}:{port}", uri.host), over),
    }
}

/// The address of `HOST[:PORT]`; the port of the transport where it names none.
pub fn resolve(text: &str, over: Over) -> anyhow::Result<SocketAddr> {
    let text = if text.parse::<std::net::IpAddr>().is_ok() || !text.contains(':') {
        let host = if text.contains(':') { format!("[{text}]") } else { text.to_owned() };
        format!("{host}:{}", over.port())
    } else {
        text.to_owned()
    };
    let mut found = text.to_socket_addrs().with_context(|| format!("looking up `{text}`"))?;
    found.next().with_context(|| format!("`{text}` leads nowhere"))
}
