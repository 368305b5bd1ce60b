//! A phone: what it is told and what it tells. The work is done by one control thread ([`crate::control`]) and one media thread a call.

use core::net::{IpAddr, SocketAddr};
use std::borrow::Cow;
use std::io;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use offhook_headset::{Buttons, Press, VoiceSwitches};
use offhook_net::sip::{Incoming, SipSocket, route_to};
use offhook_plan::MediaCaps;
use offhook_sip::sdp::SrtpPolicy;
use offhook_sip::{Credentials, NameAddr, Scheme, Transport, Uri};
use offhook_units::{Entropy, Span};

use crate::carrier::Carrier;
use crate::control::Control;
use crate::engine::{EngineConfig, Report};
use crate::event::Told;
use crate::wire::Wire;

/// Most events that wait to be read; a reader that is further behind loses the newest.
pub const EVENTS_MAX: usize = 4_096;
/// Most inputs that wait for the control thread before SIP batches are dropped: the peer sends them again.
pub const INPUTS_MAX: usize = 4_096;
/// How long switching off may take: BYE and the end of the registration.
pub const OFF_WITHIN: Span = Span::from_s(2);
/// How often a translator between is reminded of us: most forget a silent phone after 30 s.
pub const KEEP_ALIVE_EVERY: Span = Span::from_s(25);

/// Why a phone cannot do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhoneError {
    /// The address is no SIP URI. Write `sip:NAME@HOST`.
    #[error("`{text}` is no address that can be called: write sip:NAME@HOST[:PORT]")]
    BadUri {
        /// What was given.
        text: String,
    },
    /// The host is unknown. Check its name, or the network.
    #[error("the host `{host}` cannot be found: {why}")]
    UnknownHost {
        /// Which host.
        host: String,
        /// The resolver's words.
        why: String,
    },
    /// The operating system refused: a port in use, no route.
    #[error("{doing}: {why}")]
    System {
        /// What was tried.
        doing: String,
        /// Its words.
        why: String,
    },
}

/// An account at a registrar.
#[derive(Debug, Clone)]
pub struct Account {
    /// Who we are: `sip:alice@example.com`.
    pub aor: Uri,
    /// The registrar's address; it is our proxy too.
    pub server: SocketAddr,
    /// Servers to go to where that one is gone, in order.
    pub others: Vec<SocketAddr>,
    /// Over what they are reached: `;transport=` of the address, datagrams where it has none, TLS with `sips:`.
    pub transport: Transport,
    /// The name that the server was given by: over TLS its certificate bears that, or the domain.
    pub server_name: Option<String>,
    /// A file of certificates: whom we believe over TLS; those whom the system trusts where none is given.
    pub authorities: Option<PathBuf>,
    /// For digest; the user of the address is the user name.
    pub credentials: Option<Credentials>,
    /// How long to register for.
    pub expires: Span,
}

impl Account {
    /// From an address and, where the domain is not where the server is, the server's `HOST[:PORT]`.
    ///
    /// # Errors
    /// [`PhoneError::BadUri`] or [`PhoneError::UnknownHost`].
    pub fn new(aor: &str, server: Option<&str>, password: Option<String>) -> Result<Self, PhoneError> {
        let uri = parse_uri(aor)?;
        let user = uri.user_decoded().map(Cow::into_owned).ok_or_else(|| PhoneError::BadUri { text: aor.into() })?;
        let transport = transport_of(&uri);
        let named = server.map(parse_uri).transpose()?;
        let place = named.as_ref().unwrap_or(&uri);
        let server = resolve(place, transport)?;
        let server_name = named.map(|named| named.host);
        let credentials = password.map(|password| Credentials { username: user, password });
        let (others, authorities, expires) = (Vec::new(), None, Span::from_s(300));
        let aor = Uri::sip(uri.user.as_deref(), &uri.host, uri.port);
        Ok(Self { aor, server, others, transport, server_name, authorities, credentials, expires })
    }

    /// With one server more to go to where those before are gone, `HOST[:PORT]`.
    ///
    /// # Errors
    /// [`PhoneError::BadUri`] or [`PhoneError::UnknownHost`].
    pub fn or(mut self, server: &str) -> Result<Self, PhoneError> {
        self.others.push(resolve(&parse_uri(server)?, self.transport)?);
        Ok(self)
    }

    /// All servers, the first one first.
    pub fn servers(&self) -> impl Iterator<Item = SocketAddr> {
        core::iter::once(self.server).chain(self.others.iter().copied())
    }
}

/// What a phone is.
#[derive(Debug, Clone)]
pub struct PhoneConfig {
    /// Where it listens for SIP; an unspecified address is replaced by the one on the route to whom it talks.
    pub listen: SocketAddr,
    /// Its account, where it has one.
    pub account: Option<Account>,
    /// Whether the account is registered; otherwise it is only called by.
    pub register: bool,
    /// How often the way from the exchange to us is kept open while we are registered (RFC 5626 section 4.4.2).
    pub keep_alive: Span,
    /// The name shown to those we call.
    pub name: Option<String>,
    /// The buttons and lamps of a headset, where there is one.
    pub buttons: Option<Buttons>,
    /// Sound of every call. A second call's files get `-2` before their ending, and so on.
    pub engine: EngineConfig,
    /// Answers by itself, this long after the call came.
    pub auto_answer: Option<Span>,
    /// Answers by itself where the INVITE asks for it (`answer-after` in Call-Info, `info=alert-autoanswer` in Alert-Info), as an
    /// exchange does with a supervisor's phone. A phone with an account does so for its server alone.
    pub answer_when_asked: bool,
    /// Hangs up by itself, this long after it answered.
    pub hang_up_after: Option<Span>,
    /// Calls at once; more are refused as busy.
    pub lines_max: usize,
    /// What it can do with sound.
    pub caps: MediaCaps,
    /// Whether speech is encrypted. Keys are told over TLS alone.
    pub srtp: SrtpPolicy,
    /// Asks the account's server for messages that wait (RFC 3842).
    pub mailbox: bool,
}

impl PhoneConfig {
    /// A phone of one line without account, which listens on `listen` and uses `engine`.
    pub fn new(listen: SocketAddr, engine: EngineConfig) -> Self {
        Self {
            listen,
            account: None,
            register: false,
            keep_alive: KEEP_ALIVE_EVERY,
            name: None,
            buttons: None,
            engine,
            auto_answer: None,
            answer_when_asked: false,
            hang_up_after: None,
            lines_max: 1,
            caps: MediaCaps::g711(),
            srtp: SrtpPolicy::Optional,
            mailbox: true,
        }
    }
}

/// A call to be made.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Whom.
    pub uri: Uri,
    /// Who calls; our account, or `sip:offhook@` our address, where none is given.
    pub from: Option<NameAddr>,
    /// More headers of the INVITE.
    pub headers: Vec<(String, String)>,
    /// Keys to press, each so long after the answer.
    pub keys: Vec<(Span, String)>,
    /// Hang up so long after the answer.
    pub hang_up_after: Option<Span>,
    /// Give up when it is not answered so long after the INVITE.
    pub give_up_after: Option<Span>,
    /// What its speech goes by, where that is not the phone's own RTP.
    pub carrier: Option<Arc<dyn Carrier>>,
}

impl Dial {
    /// A plain call.
    ///
    /// # Errors
    /// [`PhoneError::BadUri`].
    pub fn to(uri: &str) -> Result<Self, PhoneError> {
        Ok(Self::plain(parse_uri(uri)?))
    }

    /// A plain call to this address.
    pub(crate) const fn plain(uri: Uri) -> Self {
        Self {
            uri,
            from: None,
            headers: Vec::new(),
            keys: Vec::new(),
            hang_up_after: None,
            give_up_after: None,
            carrier: None,
        }
    }
}

/// Parts of the microphone's processing that are switched; what is none stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VoiceChange {
    /// Echo cancellation.
    pub echo: Option<bool>,
    /// Noise suppression.
    pub noise: Option<bool>,
    /// Automatic gain.
    pub gain: Option<bool>,
}

impl VoiceChange {
    /// What `before` becomes.
    pub(crate) fn of(self, before: VoiceSwitches) -> VoiceSwitches {
        VoiceSwitches {
            echo: self.echo.unwrap_or(before.echo),
            noise: self.noise.unwrap_or(before.noise),
            gain: self.gain.unwrap_or(before.gain),
        }
    }
}

/// What the control thread is given.
pub(crate) enum Input {
    Sip(Vec<Incoming>),
    Media(u32, Report),
    Command(Command),
    Press(Press),
}

/// What a person or a program wants.
pub(crate) enum Command {
    Dial { call: u32, peer: Option<SocketAddr>, dial: Box<Dial> },
    Answer(u32),
    HangUp(u32),
    Hold(u32, bool),
    Mute(u32, bool),
    Keys(u32, String),
    Voice(VoiceChange),
    Transfer { call: u32, to: Uri },
    Join { call: u32, with: u32 },
    Confer { call: u32, with: u32 },
    Split(u32),
    Off,
}

/// A phone that is on. Dropping it switches it off.
pub struct Phone {
    inputs: Sender<Input>,
    local: SocketAddr,
    account: Option<Account>,
    calls: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Phone {
    /// Opens the SIP socket, starts the threads, and registers where asked.
    ///
    /// # Errors
    /// [`PhoneError::System`] where the socket cannot be opened or a thread not started.
    pub fn start(config: PhoneConfig, mut entropy: Entropy) -> Result<(Self, Receiver<Told>), PhoneError> {
        let refused = |doing: &str| {
            let doing = doing.to_owned();
            move |error: io::Error| PhoneError::System { doing, why: error.to_string() }
        };
        let socket = SipSocket::bind(config.listen).map_err(refused("SIP"))?;
        let (inputs, inbox) = unbounded();
        let (tell, told) = bounded(EVENTS_MAX);
        let deliver = inputs.clone();
        let reader = socket
            .start(move |batch| {
                // Over the limit the batch is dropped: SIP over UDP is sent again.
                deliver.len() >= INPUTS_MAX || deliver.send(Input::Sip(batch)).is_ok()
            })
            .map_err(refused("SIP"))?;
        let deliver = inputs.clone();
        let wire = Wire::open(socket.clone(), config.account.as_ref(), move |batch| {
            if deliver.len() >= INPUTS_MAX {
                return Err(batch);
            }
            // A control thread that is gone wants nothing more.
            drop(deliver.send(Input::Sip(batch)));
            Ok(())
        })?;
        let local = match &config.account {
            Some(account) => local_towards(&socket, account.server)?,
            None => socket.local(),
        };
        if let Some(buttons) = &config.buttons {
            let (presses, deliver) = (buttons.presses.clone(), inputs.clone());
            let hand_on = move || presses.iter().all(|press| deliver.send(Input::Press(press)).is_ok());
            std::thread::Builder::new().name("phone-buttons".into()).spawn(hand_on).map_err(refused("buttons"))?;
        }
        let calls = Arc::new(AtomicU32::new(0));
        let account = config.account.clone();
        let mut control = Control::new(config, wire, local, inputs.clone(), tell, Arc::clone(&calls), entropy.fork());
        let thread = std::thread::Builder::new()
            .name("phone".into())
            .spawn(move || {
                control.run(&inbox);
                drop(reader);
            })
            .map_err(refused("the phone's thread"))?;
        Ok((Self { inputs, local, account, calls, thread: Some(thread) }, told))
    }

    /// Where it listens for SIP.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Calls, and gives the call's number.
    ///
    /// # Errors
    /// [`PhoneError::UnknownHost`].
    pub fn dial(&self, dial: Dial) -> Result<u32, PhoneError> {
        let ours = |account: &&Account| account.aor.host.eq_ignore_ascii_case(&dial.uri.host);
        let peer = match self.account.as_ref().filter(ours) {
            Some(_) => None,
            None => Some(resolve(&dial.uri, Transport::Udp)?),
        };
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.tell(Command::Dial { call, peer, dial: Box::new(dial) });
        Ok(call)
    }

    /// Answers a call that rings.
    pub fn answer(&self, call: u32) {
        self.tell(Command::Answer(call));
    }

    /// Ends a call in whatever state it is: declines, gives up, or hangs up.
    pub fn hang_up(&self, call: u32) {
        self.tell(Command::HangUp(call));
    }

    /// Puts the peer on hold, or takes it back.
    pub fn hold(&self, call: u32, on: bool) {
        self.tell(Command::Hold(call, on));
    }

    /// Says nothing more, or speaks again.
    pub fn mute(&self, call: u32, on: bool) {
        self.tell(Command::Mute(call, on));
    }

    /// Presses keys, RFC 4733.
    pub fn press(&self, call: u32, keys: &str) {
        self.tell(Command::Keys(call, keys.to_owned()));
    }

    /// Switches parts of what is done to the microphone's sound, for all calls from now on.
    pub fn voice(&self, change: VoiceChange) {
        self.tell(Command::Voice(change));
    }

    /// Asks the peer of a call to call somebody else in our place (RFC 3515): a blind transfer. A name or number without a host
    /// is one at the account's server. [`PhoneEvent::Transfer`](crate::PhoneEvent::Transfer) tells what becomes of it.
    ///
    /// # Errors
    /// [`PhoneError::BadUri`].
    pub fn transfer(&self, call: u32, to: &str) -> Result<(), PhoneError> {
        let to = self.whom(to)?;
        self.tell(Command::Transfer { call, to });
        Ok(())
    }

    /// Joins the peers of two calls of ours and leaves both: an attended transfer (RFC 5589).
    pub fn join(&self, call: u32, with: u32) {
        self.tell(Command::Join { call, with });
    }

    /// Makes a conference of two calls of ours: all three hear each other. Who was held is taken back. A call that ends leaves the other one
    /// talking.
    pub fn confer(&self, call: u32, with: u32) {
        self.tell(Command::Confer { call, with });
    }

    /// Ends a conference: we talk on with the peer of `call`, and the other one is held.
    pub fn split(&self, call: u32) {
        self.tell(Command::Split(call));
    }

    /// An address as people type it: `bob` is a name at the account's server.
    ///
    /// # Errors
    /// [`PhoneError::BadUri`].
    pub fn whom(&self, text: &str) -> Result<Uri, PhoneError> {
        match &self.account {
            Some(account) if !text.contains(['@', ':', '.']) => {
                parse_uri(&Uri::sip(Some(text), &account.aor.host, account.aor.port).to_string())
            }
            Some(_) | None => parse_uri(text),
        }
    }

    /// Hangs up everything, ends the registration and switches off, within [`OFF_WITHIN`]. The last event is `Off`.
    pub fn off(&self) {
        self.tell(Command::Off);
    }

    fn tell(&self, command: Command) {
        // A control thread that is gone has said `Off`.
        drop(self.inputs.send(Input::Command(command)));
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.off();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the phone's control thread panicked");
        }
    }
}

/// Our address as `peer` sees it.
pub(crate) fn local_towards(socket: &SipSocket, peer: SocketAddr) -> Result<SocketAddr, PhoneError> {
    let local = socket.local();
    let ip: IpAddr = if local.ip().is_unspecified() {
        route_to(peer)
            .map_err(|error| PhoneError::System { doing: format!("the way to {peer}"), why: error.to_string() })?
    } else {
        local.ip()
    };
    Ok(SocketAddr::new(ip, local.port()))
}

/// Reads an address; `sip:` may be left out.
pub(crate) fn parse_uri(text: &str) -> Result<Uri, PhoneError> {
    let bad = || PhoneError::BadUri { text: text.to_owned() };
    let uri: Uri = match text.parse::<Uri>() {
        Ok(uri) if uri.is_sip() => uri,
        Ok(_) | Err(_) => format!("sip:{text}").parse().map_err(|_| bad())?,
    };
    if uri.is_sip() && !uri.host.is_empty() { Ok(uri) } else { Err(bad()) }
}

/// Over what an address asks to be reached.
fn transport_of(uri: &Uri) -> Transport {
    let named = uri.param("transport").and_then(Transport::from_name);
    let secure = uri.scheme == Scheme::Sips;
    match named {
        Some(Transport::Tcp | Transport::Ws | Transport::Wss) | None if secure => Transport::Tls,
        Some(named @ (Transport::Udp | Transport::Tcp | Transport::Tls)) => named,
        Some(Transport::Ws | Transport::Wss) | None => Transport::Udp,
    }
}

/// Where `uri` is, by address or by the system's resolver.
pub(crate) fn resolve(uri: &Uri, transport: Transport) -> Result<SocketAddr, PhoneError> {
    let port = uri.port.unwrap_or(transport.default_port());
    if let Some(ip) = uri.host_ip() {
        return Ok(SocketAddr::new(ip, port));
    }
    let unknown = |why: String| PhoneError::UnknownHost { host: uri.host.clone(), why };
    let found = (uri.host.as_str(), port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| unknown("it has no address".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_scheme() {
        for (text, user, host, port) in [
            ("sip:alice@127.0.0.1:5070", Some("alice"), "127.0.0.1", Some(5_070)),
            ("alice@example.com", Some("alice"), "example.com", None),
            ("127.0.0.1:700", None, "127.0.0.1", Some(700)),
        ] {
            let uri = parse_uri(text).unwrap();
            assert_eq!((uri.user.as_deref(), uri.host.as_str(), uri.port), (user, host, port), "{text}");
        }
        assert!(matches!(parse_uri("a b"), Err(PhoneError::BadUri { .. })));
        assert_eq!(resolve(&parse_uri("x@127.0.0.1").unwrap(), Transport::Udp), Ok("127.0.0.1:5060".parse().unwrap()));
    }
}
