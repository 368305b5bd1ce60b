//! The configuration taken in again while the exchange runs: checked as a whole, then handed to the control loop and the edges.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use offhook_call::alarm::Rule;
use offhook_call::config::{Config, Names};
use offhook_media::Assets;
use offhook_net::Clock;
use offhook_net::bans::{Bans, Network};
use offhook_net::intake::Post;
use offhook_net::streams::{Certifier, Lead, Tls, TlsFiles};
use offhook_server::{Admission, ConfigFault, ConfigTaken, Server, Unavailable, rfc3339};
use offhook_store::{AuditRow, Store};
use tokio::sync::{mpsc, oneshot, watch};

use super::configured::{Desk, Wish, notes};
use super::control::{Ask, Look};
use super::copies::Copier;
use super::listeners::Spoken;
use super::names::{Finder, NamedTrunk};
use super::retention::Keeper;
use super::{assets, leads, names_of, resolve, trunk_addresses};
use crate::config::{self, Checked, Faults, Fixed, Loaded, Sound, revealed};
use crate::versions::{Attempt, Told, Version, Versions, write};

/// How long the control loop may take to go over to another configuration.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// What is counted of configurations, for metrics.
#[derive(Debug, Default)]
pub struct ConfigFigures {
    /// The version in force.
    pub version: AtomicU64,
    /// Since when, in seconds since 1970.
    pub loaded_at: AtomicU64,
    /// Taken in since the start, the first one not counted.
    pub taken: AtomicU64,
    /// Refused since the start.
    pub refused: AtomicU64,
    /// When one was refused last, in seconds since 1970; zero for never.
    pub refused_at: AtomicU64,
    /// Settings of the file that wait for a restart.
    pub waits: AtomicU64,
}

/// What a start says and what it is compared with.
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// The data folder, where the command line says another one.
    pub data: Option<PathBuf>,
}

/// Takes configurations in.
pub struct Reloader {
    pub source: Source,
    pub fixed: Arc<Fixed>,
    pub sounds: Vec<Sound>,
    /// What the workers play: they never hold the last of it, whose end would take its time.
    pub assets: Arc<Assets>,
    pub g722: bool,
    pub clock: Clock,
    pub store: Store,
    pub spoken: Spoken,
    pub asks: Post<Ask>,
    pub names: watch::Sender<Arc<Names>>,
    pub bans: Arc<Bans>,
    pub finder: Finder,
    pub keeper: Keeper,
    /// Makes copies of recordings.
    pub copier: Copier,
    pub alarms: watch::Sender<Arc<Vec<Rule>>>,
    pub certifier: Option<Certifier>,
    /// Certificates in use; with trunks by their places in the exchange.
    pub certificates: Option<TlsFiles>,
    pub versions: Versions,
    pub figures: Arc<ConfigFigures>,
}

/// A configuration that is good, with everything that it names.
struct Ready {
    text: String,
    warnings: Vec<Told>,
    waits: Vec<String>,
    loaded: Loaded,
    certificates: Option<TlsFiles>,
    trusted: Vec<Network>,
    assets: Arc<Assets>,
}

impl Reloader {
    /// Says which version the exchange was started with.
    pub fn started(&self, text: &str) {
        match self.versions.keep(text, "the file, at the start", self.clock.now()) {
            Ok(version) => self.in_force(&version),
            Err(error) => tracing::error!(%error, "the configuration could not be kept as a version"),
        }
    }

    /// Where configurations are looked at, and wished for.
    pub fn desk(&self, wishes: mpsc::Sender<Wish>) -> Desk {
        Desk {
            versions: self.versions.clone(),
            file: self.source.file.clone(),
            data: self.source.data.clone(),
            fixed: Arc::clone(&self.fixed),
            figures: Arc::clone(&self.figures),
            wishes,
        }
    }

    fn in_force(&self, version: &Version) {
        self.figures.version.store(version.number, Ordering::Relaxed);
        self.figures.loaded_at.store(self.clock.now().as_us() / 1_000_000, Ordering::Relaxed);
    }

    /// Takes the file in as it is now, in somebody's name. Nothing changes where it has a fault.
    pub async fn reload(&mut self, who: &str, server: Option<&Server>) -> Attempt {
        let taken = match self.ready().await {
            Ok(ready) => self.take(ready, who, server).await,
            Err(faults) => Err(faults),
        };
        let now = self.clock.now();
        let seconds = now.as_us() / 1_000_000;
        let version = self.figures.version.load(Ordering::Relaxed);
        let attempt =
            Attempt { number: 0, at: rfc3339(now), taken: true, version, faults: Vec::new(), waits: Vec::new() };
        let attempt = match taken {
            Ok((faults, waits)) => {
                self.figures.taken.fetch_add(1, Ordering::Relaxed);
                self.figures.waits.store(waits.len() as u64, Ordering::Relaxed);
                tracing::info!(version, "the configuration was read again and is in force");
                for wait in &waits {
                    tracing::warn!("{wait} is not as the file says until the exchange is restarted");
                }
                Attempt { faults, waits, ..attempt }
            }
            Err(faults) => {
                // Whoever renewed certificates has nothing to do with what else is in the file.
                if let Some(Err(error)) = self.certificates.as_ref().map(|files| self.certify(files, server)) {
                    tracing::error!(error, "certificates were not read again; the old ones stay");
                }
                self.figures.refused.fetch_add(1, Ordering::Relaxed);
                self.figures.refused_at.store(seconds, Ordering::Relaxed);
                for Told { file, line, column, message, advice, .. } in &faults {
                    tracing::error!("{file}:{line}:{column}: {message}; {advice}");
                }
                tracing::error!(version, "the configuration was not taken in; the old one stays in force");
                Attempt { taken: false, faults, ..attempt }
            }
        };
        self.versions.note(attempt.clone()).unwrap_or_else(|error| {
            tracing::error!(%error, "what became of the configuration could not be written down");
            attempt
        })
    }

    /// Does what somebody wishes, or says why not.
    pub async fn grant(&mut self, wish: Wish, server: Option<&Server>) {
        let Wish { who, text, reply } = wish;
        let taken = match text {
            Some((base, text)) => self.put(&who, base, text, server).await,
            None => self.reload(&who, server).await.into_taken(),
        };
        // Whoever asked may have gone; what was taken is taken.
        let _gone = reply.send(taken);
    }

    /// Writes a text into the file, in place of a version, and takes it in. The file is as it was where that fails.
    async fn put(
        &mut self,
        who: &str,
        base: u64,
        text: String,
        server: Option<&Server>,
    ) -> Result<ConfigTaken, ConfigFault> {
        let in_force = self.figures.version.load(Ordering::Relaxed);
        if base != in_force {
            return Err(ConfigFault::Stale(in_force));
        }
        let (file, versions) = (self.source.file.clone(), self.versions.clone());
        let written = move || -> Result<String, ConfigFault> {
            let unwritable = |error: std::io::Error| ConfigFault::Unwritable(error.to_string());
            let before = std::fs::read_to_string(&file).map_err(unwritable)?;
            if versions.text(in_force).map_err(unwritable)? != before {
                return Err(ConfigFault::Edited);
            }
            let real = revealed(&text, |version| versions.text(version).ok());
            config::check_text(&file, &real).map_err(|faults| ConfigFault::Faulty(notes(told(&faults))))?;
            write(&file, real.as_bytes()).map_err(unwritable)?;
            Ok(before)
        };
        let before = tokio::task::spawn_blocking(written).await.map_err(|_| Unavailable)??;
        let attempt = self.reload(who, server).await;
        if !attempt.taken
            && let Err(error) = tokio::task::block_in_place(|| write(&self.source.file, before.as_bytes()))
        {
            tracing::error!(%error, "the configuration in force could not be written into the file again");
        }
        attempt.into_taken()
    }

    /// Reads and checks everything that takes its time, beside the exchange.
    async fn ready(&self) -> Result<Ready, Vec<Told>> {
        let (file, data, fixed) = (self.source.file.clone(), self.source.data.clone(), Arc::clone(&self.fixed));
        let (sounds, assets, g722) = (self.sounds.clone(), Arc::clone(&self.assets), self.g722);
        let (store, spoken) = (self.store.clone(), self.spoken.clone());
        let unreadable = |error: String| {
            let faults = Faults::unreadable(&file, error, "the configuration in force stays");
            told(&faults)
        };
        let path = file.clone();
        let read = move || -> Result<Ready, Result<Faults, anyhow::Error>> {
            let text = config::read(&path).map_err(Ok)?;
            let mut checked: Checked = config::check_beside(&path, &text, sounds).map_err(Ok)?;
            if let Some(data) = data {
                checked.data = data;
            }
            let waits = fixed.waits_in(&checked).into_iter().map(str::to_owned).collect();
            let (warnings, certificates) = (told(&checked.warnings), checked.tls.clone());
            let mut trusted = checked.bans.trusted.clone();
            let loaded = resolve(checked, &store, |transport, peer| spoken.towards(transport, peer)).map_err(Err)?;
            trusted.extend(trunk_addresses(&loaded.exchange).map(Network::from));
            let assets = Arc::new(assets::load(&assets, &loaded.sounds, g722).map_err(Err)?);
            Ok(Ready { text, warnings, waits, loaded, certificates, trusted, assets })
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(ready)) => Ok(ready),
            Ok(Err(Ok(faults))) => Err(told(&faults)),
            Ok(Err(Err(error))) => Err(unreadable(format!("cannot be taken in: {error:#}"))),
            Err(error) => Err(unreadable(format!("could not be read: {error}"))),
        }
    }

    /// Hands a good configuration over.
    async fn take(
        &mut self,
        ready: Ready,
        who: &str,
        server: Option<&Server>,
    ) -> Result<(Vec<Told>, Vec<String>), Vec<Told>> {
        let Ready { text, mut warnings, waits, loaded, certificates, trusted, assets } = ready;
        let Loaded { exchange, http, tokens, users, skills, entrances, recording, sounds, named, alarms, .. } = loaded;
        let problem = |what: &str, error: String| {
            tracing::error!(error, "{what}");
            let (file, severity) = (String::new(), "warning".to_owned());
            Told {
                file,
                line: 1,
                column: 1,
                severity,
                message: format!("{what}: {error}"),
                advice: "try again".to_owned(),
            }
        };
        // Whoever is trusted is so before the first message, and whom an admission names is known when the page asks.
        self.bans.trust(trusted);
        let names = names_of(&exchange, skills);
        let trunks: Vec<_> = exchange.trunks.iter().map(|trunk| (trunk.name.clone(), domain(trunk))).collect();
        let leads: Vec<(String, Vec<Lead>)> =
            trunks.iter().map(|(name, _)| name.clone()).zip(leads(&exchange)).collect();
        let places = self.configure(exchange, Arc::clone(&assets), leads).await.map_err(|error| {
            vec![Told { severity: "error".to_owned(), ..problem("the exchange did not take it", error.to_owned()) }]
        })?;
        (self.assets, self.sounds) = (assets, sounds);
        // Names of those who are gone stay for what they did.
        self.names.send_modify(|known| {
            let mut all = (**known).clone();
            all.queues.extend(names.queues);
            all.agents.extend(names.agents);
            all.skills.extend(names.skills);
            *known = Arc::new(all);
        });
        let place = |name: &String| places.get(name).copied();
        let named = named.into_iter().filter_map(|(at, proxies)| {
            let (trunk, domain) = trunks.get(at)?.clone();
            Some(NamedTrunk { place: place(&trunk)?, trunk, proxies, domain })
        });
        self.finder.follow(named.collect());
        self.alarms.send_replace(Arc::new(alarms));
        let kept = tokio::task::block_in_place(|| self.keeper.follow(recording.keep, recording.hour));
        warnings.extend(kept.err().map(|error| problem("recordings are not erased", format!("{error:#}"))));
        let copied = tokio::task::block_in_place(|| self.copier.follow(recording.copies));
        warnings.extend(copied.err().map(|error| problem("recordings are not copied", format!("{error:#}"))));
        if let Some(mut files) = certificates.filter(|_| self.certificates.is_some()) {
            let of = |at: usize| trunks.get(at).and_then(|(name, _)| place(name));
            for files in &mut files.trunks {
                files.trunk = of(files.trunk).unwrap_or(files.trunk);
            }
            warnings.extend(
                self.certify(&files, server).err().map(|error| problem("certificates stay as they were", error)),
            );
            self.certificates = Some(files);
        }
        if let (Some(server), Some(http)) = (server, http) {
            let admitted = server.admit(Admission { token: http.token, tokens, users, entrances });
            warnings.extend(admitted.err().map(|error| problem("users stay as they were", error.to_string())));
        }
        match self.versions.keep(&text, who, self.clock.now()) {
            Ok(version) => {
                let is_new = version.number != self.figures.version.load(Ordering::Relaxed);
                self.in_force(&version);
                if is_new {
                    self.note(who, &version).await;
                }
            }
            Err(error) => warnings.push(problem("it could not be kept as a version", error.to_string())),
        }
        Ok((warnings, waits))
    }

    /// Writes it into the audit log.
    async fn note(&self, who: &str, version: &Version) {
        let row = AuditRow {
            at: self.clock.now(),
            who: who.to_owned(),
            action: "configuration".to_owned(),
            subject: format!("version {}", version.number),
            detail: format!("{} lines added, {} removed", version.added, version.removed),
        };
        if let Err(error) = self.store.audit(row).await {
            tracing::error!(%error, "a change of the configuration is not in the audit log");
        }
    }

    /// The control loop goes over; gives the places of the trunks.
    async fn configure(
        &self,
        config: Config,
        sounds: Arc<Assets>,
        leads: Vec<(String, Vec<Lead>)>,
    ) -> Result<std::collections::BTreeMap<String, usize>, &'static str> {
        let (reply, answer) = oneshot::channel();
        let look: Look = Box::new(move |exchange, _| {
            // Whoever asked waits, unless the exchange is going down.
            let _gone = reply.send(exchange.trunk_places());
        });
        let ask = Ask::Configure { config: Box::new(config), sounds, leads, look };
        self.asks.try_send(ask).map_err(|_| "too many questions wait for the control loop")?;
        let answer = tokio::time::timeout(TAKEN_WITHIN, answer).await;
        answer.map_err(|_| "the control loop did not come to it in time")?.map_err(|_| "the exchange is going down")
    }

    /// Certificates are renewed by other programs, under the same names.
    fn certify(&self, files: &TlsFiles, server: Option<&Server>) -> Result<(), String> {
        let tls = Tls::load(files).map_err(|error| error.to_string())?;
        if let Some(server) = server {
            server.certify(tls.pages());
        }
        let taken = self.certifier.as_ref().is_none_or(|certifier| certifier.certify(tls));
        if taken { Ok(()) } else { Err("they could not be handed over".to_owned()) }
    }
}

impl Attempt {
    fn into_taken(self) -> Result<ConfigTaken, ConfigFault> {
        let Self { taken, version, faults, waits, .. } = self;
        let faults = notes(faults);
        if taken { Ok(ConfigTaken { version, faults, waits }) } else { Err(ConfigFault::Faulty(faults)) }
    }
}

/// The domain of a trunk, where it has one.
pub fn domain(trunk: &offhook_call::config::Trunk) -> Option<String> {
    trunk.out.as_ref()?.domain.clone()
}

pub fn told(faults: &Faults) -> Vec<Told> {
    let all = faults.json().into_iter();
    all.map(|fault| Told {
        file: fault.file,
        line: fault.line,
        column: fault.column,
        severity: fault.severity.to_owned(),
        message: fault.message.to_owned(),
        advice: fault.advice.to_owned(),
    })
    .collect()
}
