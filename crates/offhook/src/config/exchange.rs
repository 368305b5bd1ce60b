//! The tables that there is one of: exchange, sip, media, http, store, recording, prompts, limits.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use std::path::PathBuf;

use offhook_call::config::{Limits, NAT_PING, Numbering, SessionTimers, SrtpSettings};
use offhook_codec::CountryTones;
use offhook_net::streams::{Tls, TlsFiles};
use offhook_plan::{CodecCap, CodecKind, MediaCaps};
use offhook_sip::Transport;
use offhook_sip::sdp::SrtpPolicy;
use offhook_units::Span;

use super::prompts::Prompts;
use super::read::{At, Section, nearest};
use super::routing::Numbers;
use super::trace::Tracing;
use super::{Http, Reader, SipListen, Target};

/// Shortest token that is taken.
const TOKEN_CHARS_MIN: usize = 16;
/// Most media workers.
const WORKERS_MAX: u64 = 64;
/// Ports that the default leaves to media.
const PORTS_DEFAULT: &str = "10000-20999";
/// Where the Debian package asterisk-core-sounds-en-wav puts its prompts.
pub const DEBIAN_PROMPTS: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";

/// `[exchange]`.
pub struct Exchange {
    pub name: String,
    pub realm: String,
    pub node: u16,
    pub numbering: Option<Numbering>,
    pub tones: CountryTones,
}

/// `[sip]`.
pub struct Sip {
    pub listen: Vec<At<SipListen>>,
    pub advertise: Option<IpAddr>,
    /// Requests over 1,300 bytes go over TCP.
    pub large_over_tcp: bool,
    /// When sessions expire.
    pub session_timers: SessionTimers,
    /// How often phones behind translators are asked.
    pub nat_ping: Span,
    pub trace: Tracing,
    pub srtp: SrtpSettings,
}

/// `[media]`.
pub struct Media {
    pub ports: At<RangeInclusive<u16>>,
    pub browser_port: Option<At<u16>>,
    pub workers: usize,
    pub caps: MediaCaps,
}

impl Reader {
    /// `[exchange]`: everything has a default.
    pub fn exchange(&mut self, root: &mut Section<'_>) -> Exchange {
        let mut exchange = Exchange {
            name: "Offhook".to_owned(),
            realm: "offhook".to_owned(),
            node: 0,
            numbering: None,
            tones: CountryTones::ALL[0],
        };
        let Some(mut section) = root.table(&mut self.sink, "exchange") else { return exchange };
        if let Some(name) = section.text(&mut self.sink, "name", "\"Offhook\"") {
            exchange.name = name.value;
        }
        if let Some(realm) = section.text(&mut self.sink, "realm", "\"offhook.example\"") {
            if realm.value.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) {
                exchange.realm = realm.value;
            } else {
                let advice = "write letters, digits, '.', '-' and '_', such as \"offhook.example\"";
                self.sink.fault(realm.span, format!("realm \"{}\" cannot be a host's name", realm.value), advice);
            }
        }
        if let Some(node) = section.number(&mut self.sink, "node", 0..=1_023) {
            exchange.node = node.value as u16;
        }
        if let Some(tones) = self.tones(&mut section) {
            exchange.tones = tones;
        }
        exchange.numbering = self.numbering(&mut section);
        self.has_numbering = exchange.numbering.is_some();
        self.digest(&mut section);
        section.finish(&mut self.sink);
        exchange
    }

    /// `[sip]`.
    pub fn sip(&mut self, root: &mut Section<'_>) -> Sip {
        let session_timers = SessionTimers::default();
        let mut sip = Sip {
            listen: Vec::new(),
            advertise: None,
            large_over_tcp: false,
            session_timers,
            nat_ping: NAT_PING,
            srtp: SrtpSettings::default(),
            trace: Tracing::default(),
        };
        let example = "[\"udp:127.0.0.1:5060\"]";
        let Some(mut section) = root.table(&mut self.sink, "sip") else {
            self.sink.missing(0..0, "there is no [sip]", format!("add [sip] with listen = {example}"));
            return sip;
        };
        match section.texts(&mut self.sink, "listen", example) {
            Some(listen) if listen.value.is_empty() => {
                self.sink.missing(listen.span, "nothing is listened on", format!("write listen = {example}"));
            }
            Some(listen) => {
                for text in listen.value {
                    self.sip_listen(&mut sip.listen, &text);
                }
            }
            None => {
                let advice = format!("add listen = {example}");
                self.sink.missing(section.span.clone(), "[sip] has no listen", advice);
            }
        }
        if let Some(text) = section.text(&mut self.sink, "advertise", "\"192.0.2.10\"") {
            match text.value.parse::<IpAddr>() {
                Ok(ip) if !ip.is_unspecified() => sip.advertise = Some(ip),
                _ => {
                    let message = format!("advertise = \"{}\" is not an address that others can send to", text.value);
                    self.sink.fault(text.span, message, "write the public IP address, such as \"192.0.2.10\"");
                }
            }
        }
        self.spoken = sip.listen.iter().map(|listen| listen.value.transport).collect();
        sip.large_over_tcp = self.large_over_tcp(&mut section) == Some(true);
        self.sources(&mut section);
        self.session_timers(&mut section, &mut sip.session_timers);
        if let Some(every) = self.every(&mut section, "nat_ping") {
            sip.nat_ping = every;
        }
        if let Some(every) = self.every(&mut section, "flow_timer") {
            self.registrar.flow_timer = every;
        }
        sip.trace = self.tracing(&mut section);
        sip.srtp.policy = self.srtp(&mut section).unwrap_or_default();
        sip.srtp.keys_in_clear = section.flag(&mut self.sink, "srtp_keys_in_clear").unwrap_or_default();
        section.finish(&mut self.sink);
        sip
    }

    /// `large_requests` of `[sip]` or of a trunk: whether they go over TCP, where it says so.
    pub fn large_over_tcp(&mut self, section: &mut Section<'_>) -> Option<bool> {
        let over_tcp = section.choice(&mut self.sink, "large_requests", &[("udp", false), ("tcp", true)])?;
        if over_tcp && !self.spoken.contains(&Transport::Tcp) {
            let message = "large requests go over tcp, and listen in [sip] has no tcp";
            let advice = "add \"tcp:ADDRESS:5060\" to listen, or take large_requests out";
            self.sink.fault(section.span.clone(), message, advice);
        }
        Some(over_tcp)
    }

    /// How often something is done: not more often than every 5 s, or never.
    fn every(&mut self, section: &mut Section<'_>, key: &'static str) -> Option<Span> {
        let every = section.span(&mut self.sink, key, Span::ZERO..=Span::from_s(3_600))?;
        if every > Span::ZERO && every < Span::from_s(5) {
            let message = format!("{key} = {every} is more traffic than it is good for");
            self.sink.fault(section.span.clone(), message, format!("write {key} = \"25s\", or \"0s\" for never"));
        }
        Some(every)
    }

    fn session_timers(&mut self, section: &mut Section<'_>, timers: &mut SessionTimers) {
        let day = Span::from_s(86_400);
        if let Some(min) = section.span(&mut self.sink, "session_expires_min", offhook_sip::MIN_SE..=day) {
            timers.min = min;
        }
        if let Some(expires) = section.span(&mut self.sink, "session_expires", Span::ZERO..=day) {
            timers.expires = expires;
        }
        if timers.expires > Span::ZERO && timers.expires < timers.min {
            let message =
                format!("sessions expire after {}, and nobody may ask for less than {}", timers.expires, timers.min);
            let advice = "write a session_expires of at least session_expires_min, or \"0s\" for never";
            self.sink.fault(section.span.clone(), message, advice);
        }
    }

    /// `srtp` of `[sip]`, of a trunk or of an account.
    pub fn srtp(&mut self, section: &mut Section<'_>) -> Option<SrtpPolicy> {
        section.choice(&mut self.sink, "srtp", &SrtpPolicy::ALL)
    }

    fn sip_listen(&mut self, listen: &mut Vec<At<SipListen>>, text: &At<String>) {
        let advice = "write TRANSPORT:ADDRESS:PORT, such as \"udp:127.0.0.1:5060\" or \"tcp:0.0.0.0:5060\"";
        let Some((transport, address)) = text.value.split_once(':') else {
            self.sink.fault(text.span.clone(), format!("\"{}\" is not a listener", text.value), advice);
            return;
        };
        let Some(transport) = SPOKEN.into_iter().find(|spoken| spoken.param().eq_ignore_ascii_case(transport)) else {
            let message = format!("SIP over '{transport}' is not spoken, only over {}", spoken());
            self.sink.fault(text.span.clone(), message, advice);
            return;
        };
        let Ok(address) = address.parse::<SocketAddr>() else {
            self.sink.fault(text.span.clone(), format!("\"{address}\" is not an address with a port"), advice);
            return;
        };
        let value = SipListen { transport, address };
        if address.port() != 0 && listen.iter().any(|other| overlap(other.value, value)) {
            let message = format!("{address} is listened on twice");
            self.sink.fault(text.span.clone(), message, "take one of the two out");
            return;
        }
        listen.push(At { value, span: text.span.clone() });
    }

    /// `[tls]`: needed where something is listened on over TLS.
    pub fn tls(&mut self, root: &mut Section<'_>, sip: &Sip) -> Option<TlsFiles> {
        let secure = sip.listen.iter().find(|listen| listen.value.transport.is_secure());
        let Some(mut section) = root.table(&mut self.sink, "tls") else {
            if let Some(listen) = secure {
                let advice = "add [tls] with certificate = \"exchange.pem\" and key = \"exchange.key\"";
                self.sink.missing(listen.span.clone(), "TLS needs a certificate, and there is no [tls]", advice);
            }
            return None;
        };
        let certificate = section.need_text(&mut self.sink, "certificate", "\"exchange.pem\"");
        let key = section.need_text(&mut self.sink, "key", "\"exchange.key\"");
        let clients = section.text(&mut self.sink, "clients", "\"authority.pem\"");
        let trust = section.text(&mut self.sink, "trust", "\"authority.pem\"");
        section.finish(&mut self.sink);
        let (certificate, key) = (certificate?, key?);
        let files = TlsFiles {
            certificate: self.path(&certificate.value),
            key: self.path(&key.value),
            clients: clients.map(|path| self.path(&path.value)),
            trust: trust.map(|path| self.path(&path.value)),
            trunks: Vec::new(),
        };
        if let Err(error) = Tls::load(&files) {
            let advice = "name PEM files that fit together: a certificate with its chain, its key, and authorities";
            self.sink.missing(certificate.span, error.to_string(), advice);
            return None;
        }
        Some(files)
    }

    /// `[media]`: everything has a default.
    pub fn media(&mut self, root: &mut Section<'_>) -> Option<Media> {
        let cores = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
        let default = At { value: PORTS_DEFAULT.to_owned(), span: 0..0 };
        let Some(mut section) = root.table(&mut self.sink, "media") else {
            let ports = self.ports(default)?;
            let workers = cores.saturating_sub(1).max(1);
            return Some(Media { ports, browser_port: None, workers, caps: MediaCaps::g711() });
        };
        let ports = section.text(&mut self.sink, "ports", "\"10000-20999\"").unwrap_or(default);
        let ports = self.ports(ports);
        let browser_port = section.number(&mut self.sink, "browser_port", 1..=65_535);
        let browser_port = browser_port.map(|port| At { value: port.value as u16, span: port.span });
        let workers = section.number(&mut self.sink, "workers", 1..=WORKERS_MAX);
        let workers = workers.map_or(cores.saturating_sub(1).max(1), |workers| workers.value as usize);
        let mut caps = MediaCaps::g711();
        if let Some(codecs) = section.texts(&mut self.sink, "codecs", "[\"pcmu\", \"pcma\"]") {
            caps.codecs = self.codecs(&codecs);
        }
        if let Some(comfort_noise) = section.flag(&mut self.sink, "comfort_noise") {
            caps.comfort_noise = comfort_noise;
        }
        if let Some(voip_metrics) = section.flag(&mut self.sink, "voip_metrics") {
            caps.voip_metrics = voip_metrics;
        }
        section.finish(&mut self.sink);
        Some(Media { ports: ports?, browser_port, workers, caps })
    }

    fn ports(&mut self, text: At<String>) -> Option<At<RangeInclusive<u16>>> {
        let advice = "write the first and the last port, such as \"10000-20999\": an even and an odd one, 1024 or more";
        let parsed = text
            .value
            .split_once('-')
            .and_then(|(first, last)| Some((first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?)));
        match parsed {
            Some((first, last)) if first >= 1_024 && first % 2 == 0 && last % 2 == 1 && last > first => {
                Some(At { value: first..=last, span: text.span })
            }
            _ => {
                self.sink.fault(text.span, format!("ports = \"{}\" is not a range of RTP ports", text.value), advice);
                None
            }
        }
    }

    pub fn codecs(&mut self, names: &At<Vec<At<String>>>) -> Vec<CodecCap> {
        const KNOWN: [(&str, CodecKind); 5] = [
            ("pcmu", CodecKind::Pcmu),
            ("pcma", CodecKind::Pcma),
            ("g722", CodecKind::G722),
            ("opus", CodecKind::Opus),
            ("l16", CodecKind::L16),
        ];
        let mut caps: Vec<CodecCap> = Vec::new();
        for name in &names.value {
            let Some((_, kind)) = KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name.value)) else {
                let advice = match nearest(&name.value, KNOWN.iter().map(|(known, _)| *known)) {
                    Some(known) => format!("did you mean \"{known}\"?"),
                    None => "write \"pcmu\" (G.711 mu-law), \"pcma\" (G.711 A-law), \"g722\", \"opus\" or \"l16\""
                        .to_owned(),
                };
                self.sink.fault(name.span.clone(), format!("codec \"{}\" is not known", name.value), advice);
                continue;
            };
            if caps.iter().any(|cap| cap.kind == *kind) {
                let message = format!("codec \"{}\" is named twice", name.value);
                self.sink.fault(name.span.clone(), message, "take one of the two out");
                continue;
            }
            caps.push(CodecCap::of(*kind));
        }
        if !caps.is_empty() && !caps.iter().any(|cap| cap.kind.is_recorded()) {
            let advice = "add \"pcmu\" or \"pcma\": callers are answered with what a recording holds as it comes";
            self.sink.fault(names.span.clone(), "callers have no codec", advice);
        }
        if names.value.is_empty() {
            let advice = "write codecs = [\"pcmu\", \"pcma\"]";
            self.sink.fault(names.span.clone(), "without a codec there is no sound", advice);
        }
        caps
    }

    /// SIP, RTP and browsers cannot share a port.
    pub fn ports_apart(&mut self, sip: &Sip, media: Option<&Media>) {
        let Some(media) = media else { return };
        if let Some(At { value: port, span }) = &media.browser_port {
            let is_sip = |listen: &SipListen| listen.transport == Transport::Udp && listen.address.port() == *port;
            let whose = if media.ports.value.contains(port) {
                let (first, last) = (media.ports.value.start(), media.ports.value.end());
                Some(format!("one of the media ports {first}-{last}"))
            } else {
                sip.listen.iter().any(|listen| is_sip(&listen.value)).then(|| "listened on for SIP".to_owned())
            };
            if let Some(whose) = whose {
                let advice = "choose another browser_port: no other socket of the exchange may have it";
                self.sink.fault(span.clone(), format!("browser_port = {port} is {whose}"), advice);
            }
        }
        for listen in sip.listen.iter().filter(|listen| listen.value.transport == Transport::Udp) {
            let port = listen.value.address.port();
            if media.ports.value.contains(&port) {
                let (first, last) = (media.ports.value.start(), media.ports.value.end());
                let message = format!("port {port} is one of the media ports {first}-{last}");
                let advice = "choose another SIP port, or change ports in [media]";
                self.sink.fault(listen.span.clone(), message, advice);
            }
        }
    }

    /// Whoever is to hear itself calls a number that echoes.
    pub fn sound_check_echoes(&mut self, numbers: &Numbers) {
        let Some(At { value: number, span }) = self.sound_check.take() else { return };
        if numbers.get(&number).is_none_or(|number| number.value.to != Target::Echo) {
            let advice = format!("add [[number]] with number = \"{number}\" and echo = true");
            self.sink.fault(span, format!("sound_check = \"{number}\" is no number that echoes"), advice);
        }
    }

    /// `[http]`: without it there is no API and no page.
    pub fn http(&mut self, root: &mut Section<'_>) -> Option<Http> {
        let has_users = root.has("user") || root.has("token") || root.has("openid");
        let Some(mut section) = root.table(&mut self.sink, "http") else {
            if has_users {
                let advice = "add [http] with listen = \"127.0.0.1:8080\"";
                self.sink.warn(
                    0..0,
                    "there are users or tokens, and nothing to sign in to: there is no [http]",
                    advice,
                );
            }
            return None;
        };
        let example = "\"127.0.0.1:8080\"";
        let listen = section.need_text(&mut self.sink, "listen", example);
        let token = self.secret(&mut section, "token", "token_file", "\"at least 16 characters\"");
        let tls = section.flag(&mut self.sink, "tls") == Some(true);
        let rate = section.number(&mut self.sink, "requests_per_second", 1..=100_000);
        let requests_per_s = rate.map_or(offhook_server::REQUESTS_PER_S_DEFAULT, |rate| rate.value as u32);
        self.sound_check = section.text(&mut self.sink, "sound_check", "\"*43\"");
        let span = section.span.clone();
        section.finish(&mut self.sink);
        if tls && self.tls.is_none() {
            let advice = "add [tls] with certificate = \"exchange.pem\" and key = \"exchange.key\"";
            self.sink.missing(span, "[http] has tls = true, and there is no good [tls]", advice);
        }
        if let Some(token) = &token
            && token.value.chars().count() < TOKEN_CHARS_MIN
        {
            let advice = format!("write at least {TOKEN_CHARS_MIN}: openssl rand -hex 16 makes some");
            self.sink.fault(token.span.clone(), "the token is too short", advice);
        }
        let listen = listen?;
        let Ok(address) = listen.value.parse::<SocketAddr>() else {
            let message = format!("\"{}\" is not an address with a port", listen.value);
            self.sink.fault(listen.span, message, format!("write listen = {example}"));
            return None;
        };
        if !address.ip().is_loopback() && token.is_none() && !has_users {
            let here = format!("127.0.0.1:{}", address.port());
            self.sink.fault(
                listen.span.clone(),
                format!("{address} can be reached from outside, and everybody could use it"),
                format!("write a [[user]] (offhook user new NAME), add token = \"..\" to [http], or listen on {here}"),
            );
        }
        if !address.ip().is_loopback() && has_users && !tls {
            let advice = "add tls = true to [http], or listen on 127.0.0.1 behind a web server that speaks TLS";
            self.sink.warn(listen.span, "passwords cross the network in clear", advice);
        }
        let token = token.map(|token| token.value);
        let sound_check = self.sound_check.as_ref().map(|number| number.value.clone());
        Some(Http { listen: address, token, tls, requests_per_s, sound_check })
    }

    /// A secret in the file, or in a file of its own.
    pub fn secret(
        &mut self,
        section: &mut Section<'_>,
        key: &'static str,
        key_of_file: &'static str,
        example: &str,
    ) -> Option<At<String>> {
        let inside = section.text(&mut self.sink, key, example);
        if let Some(inside) = &inside {
            self.sink.hide(inside.span.clone());
        }
        let Some(file) = section.text(&mut self.sink, key_of_file, "\"secret.txt\"") else { return inside };
        if inside.is_some() {
            let message = format!("{} has both {key} and {key_of_file}", section.title);
            self.sink.fault(file.span, message, "keep one of the two");
            return inside;
        }
        let path = self.path(&file.value);
        match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Some(At { value: text.trim().to_owned(), span: file.span }),
            Ok(_) => {
                let advice = "write the secret into it, on one line";
                self.sink.fault(file.span, format!("{} is empty", path.display()), advice);
                None
            }
            Err(error) => {
                let advice = "write the path of a file that can be read, relative to this one";
                self.sink.fault(file.span, format!("{} cannot be read: {error}", path.display()), advice);
                None
            }
        }
    }

    /// `[store]`: the data folder.
    pub fn data_folder(&mut self, root: &mut Section<'_>) -> PathBuf {
        let mut data = self.path("data");
        if let Some(mut section) = root.table(&mut self.sink, "store") {
            if let Some(folder) = section.text(&mut self.sink, "folder", "\"data\"") {
                data = self.path(&folder.value);
            }
            section.finish(&mut self.sink);
        }
        data
    }

    /// `[prompts]`: where sound files are looked for.
    pub fn prompt_folders(&mut self, root: &mut Section<'_>) {
        let mut folders = vec![PathBuf::from(DEBIAN_PROMPTS), self.path("prompts")];
        if let Some(mut section) = root.table(&mut self.sink, "prompts") {
            if let Some(listed) = section.texts(&mut self.sink, "folders", "[\"prompts\"]") {
                folders = listed.value.iter().map(|folder| self.path(&folder.value)).collect();
                if !folders.iter().any(|folder| folder.is_dir()) {
                    let advice = "write paths of folders with .wav files, relative to this file";
                    self.sink.missing(listed.span, "none of these folders is there", advice);
                }
            }
            section.finish(&mut self.sink);
        }
        self.prompts = Prompts::new(folders, core::mem::take(&mut self.prompts.sounds));
    }

    /// `[limits]`.
    pub fn limits(&mut self, root: &mut Section<'_>) -> Limits {
        let mut limits = Limits::default();
        let Some(mut section) = root.table(&mut self.sink, "limits") else { return limits };
        if let Some(calls) = section.number(&mut self.sink, "calls", 1..=1_000_000) {
            limits.calls_max = calls.value as usize;
        }
        if let Some(rate) = section.number(&mut self.sink, "calls_per_second", 1..=100_000) {
            limits.calls_per_s_max = rate.value as u32;
        }
        if let Some(late) = section.span(&mut self.sink, "late", Span::from_ms(10)..=Span::from_s(10)) {
            limits.late = late;
        }
        if let Some(transactions) = section.number(&mut self.sink, "transactions", 100..=10_000_000) {
            limits.transactions_max = transactions.value as usize;
        }
        if let Some(bindings) = section.number(&mut self.sink, "registrations", 1..=10_000_000) {
            limits.bindings_max = bindings.value as usize;
        }
        self.registrar_limits(&mut section);
        self.ban_limits(&mut section);
        if let Some(connections) = section.number(&mut self.sink, "connections", 1..=1_000_000) {
            self.streams.connections_max = connections.value as usize;
        }
        if let Some(connections) = section.number(&mut self.sink, "connections_per_source", 1..=1_000_000) {
            self.streams.connections_per_source_max = connections.value as usize;
        }
        section.finish(&mut self.sink);
        limits
    }
}

/// The transports that can be listened on.
const SPOKEN: [Transport; 5] = Transport::ALL;

fn spoken() -> String {
    SPOKEN.map(Transport::param).join(", ")
}

/// Whether two listeners would be given the same packets: all but UDP share the ports of TCP.
fn overlap(a: SipListen, b: SipListen) -> bool {
    let same_ports = a.transport.is_reliable() == b.transport.is_reliable();
    let (a, b) = (a.address, b.address);
    let same_host =
        a.ip() == b.ip() || (a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified()));
    same_ports && a.port() == b.port() && same_host
}
