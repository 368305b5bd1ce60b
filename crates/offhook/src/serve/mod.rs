//! `offhook serve`: wires the edges to the machines, runs until told to stop, and leaves nothing half done.
#![expect(clippy::disallowed_methods, reason = "the edge that starts threads and asks the system for chance")]

mod alarms;
mod archive;
mod assets;
mod configured;
mod control;
mod copies;
mod desk;
mod happened;
mod listeners;
mod metrics;
mod names;
mod port;
mod prompts;
mod recordings;
mod reload;
mod retention;
mod sessions;
mod siprec;
mod tail;
mod uploads;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, TrySendError, bounded, unbounded};
use offhook_browser::Identity;
use offhook_call::alarm::Logged;
use offhook_call::config::{Names, Outgoing};
use offhook_call::event::LogEvent;
use offhook_call::{Command, Exchange, Recovered};
use offhook_media::{Assets, Handshakes};
use offhook_net::Clock;
use offhook_net::bans::{Bans, Network};
use offhook_net::intake::{Bell, Intake, Post};
use offhook_net::media::{Crossing, DriverConfig, MediaDriver, MediaHandle, Resting, SharedPort};
use offhook_net::sip::Incoming;
use offhook_net::streams::{Lead, StreamLimits, StreamListener, Streams, Tls};
use offhook_net::trace::Trace;
use offhook_plan::tap::TapReader;
use offhook_plan::{CodecKind, MediaEvent};
use offhook_recorder::{KeyRing, Protection, RecorderEvent, Writer, WriterHandle};
use offhook_server::{EventsReceiver, Metrics, Pace, PhoneSettings, Server, ServerOptions, Webhooks, events};
use offhook_sip::Transport;
use offhook_store::Store;
use offhook_units::{Entropy, IdSource, SkillId, Span, Tick};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use self::alarms::Watcher;
use self::configured::{WISHES_MAX, Wish};
use self::control::{Ask, Control, Edges, Figures, Inputs, binding_of};
use self::copies::Copier;
use self::listeners::Listeners;
use self::names::{Finder, NamedTrunk, lead_to};
use self::port::Port;
use self::recordings::Recordings;
use self::reload::{ConfigFigures, Reloader, Source};
pub use self::retention::Hour;
use self::retention::Keeper;
use self::uploads::{Uploading, Uploads};
use crate::config::{self, Checked, Fixed, Http, Loaded};
use crate::recording::Shelf;
use crate::versions::{Lock, Versions};

/// Batches of messages from connections that may wait for the control loop; then the connections wait.
const SIP_BATCHES_MAX: usize = 4_096;

/// Sockets of closed legs that stay bound for later ones: those of 500 calls a second, two seconds long. Each holds one of the
/// descriptors that the system allows, and about 2 KB of the kernel's memory.
const RESTING_SOCKETS_MAX: usize = 4_096;

/// Questions that may wait for the control loop; more are answered 503.
const ASKS_MAX: usize = 1_024;

/// Runs the exchange.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  offhook serve --config config/offhook.toml --data /var/lib/offhook\n  \
                        offhook reload                # takes the configuration in again; no call ends\n  \
                        kill -TERM $(pidof offhook)   # takes no new calls, lets calls finish, then exits")]
pub struct ServeArgs {
    /// The configuration.
    #[arg(long, default_value = "config/offhook.toml")]
    config: PathBuf,
    /// The data folder: event log, records, registrations, recordings. Overrides the file's.
    #[arg(long)]
    data: Option<PathBuf>,
    /// How many seconds calls may go on after SIGTERM; a second signal hangs up at once.
    #[arg(long, default_value_t = 30)]
    grace: u64,
}

/// Runs until SIGTERM or Ctrl-C.
pub fn run(args: &ServeArgs) -> Result<ExitCode> {
    let read = config::read(&args.config);
    let checked = read.and_then(|text| Ok((config::check_text(&args.config, &text)?, text)));
    let (mut checked, text) = match checked {
        Ok(checked) => checked,
        Err(faults) => {
            eprint!("{}", faults.graphical(std::io::stderr().is_terminal()));
            return Ok(ExitCode::FAILURE);
        }
    };
    if let Some(data) = &args.data {
        checked.data.clone_from(data);
    }
    for warning in checked.warnings.to_string().lines() {
        tracing::warn!("{warning}");
    }
    raise_file_limit();
    offhook_net::limits::share_heap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let versions = Versions::of(&checked.data);
    // Another exchange on the same data folder is told by the store.
    let lock = versions
        .run(&args.config)
        .map_err(|error| tracing::warn!(%error, "offhook reload will not find this exchange"));
    let house = build(checked, Source { file: args.config.clone(), data: args.data.clone() }, versions)?;
    house.reloader.started(&text);
    runtime.block_on(house.serve(Span::from_s(args.grace)))?;
    drop::<Result<Lock, ()>>(lock);
    Ok(ExitCode::SUCCESS)
}

/// The whole exchange, running but not yet watched.
struct House {
    control: std::thread::JoinHandle<Edges>,
    asks: Post<Ask>,
    http: Option<(ServerOptions, Port, EventsReceiver, Metrics)>,
    said: String,
    /// What SIGHUP is for. It erases recordings until it is dropped.
    reloader: Reloader,
    /// Brings recordings to the object store until it is dropped.
    uploads: Option<Uploads>,
    /// Trunks with names.
    named: Vec<NamedTrunk>,
    /// What the page and the API want of it.
    wishes: mpsc::Receiver<Wish>,
    /// Watches for alarms.
    watcher: Watcher,
}

fn build(checked: Checked, source: Source, versions: Versions) -> Result<House> {
    let fixed = Arc::new(Fixed::of(&checked));
    let (data, realm_name) = (checked.data.clone(), checked.name.clone());
    let store = Store::open(&data).with_context(|| format!("data folder {}", data.display()))?;
    let clock = Clock::start(store.last_tick());
    let trace = Trace::start(clock.clone(), checked.trace.bytes_max, checked.trace.homer.clone())
        .context("the thread that sends to Homer")?;
    let listeners = Listeners::bind(&checked.sip_listen, &trace)?;
    let (limits, mut ban_limits) = (checked.streams, checked.bans.clone());
    let files = checked.tls.clone();
    let tls = files.as_ref().map(Tls::load).transpose().context("[tls]")?;
    let pages = tls.as_ref().map(Tls::pages);
    let loaded = resolve(checked, &store, |transport, peer| listeners.towards(transport, peer))?;
    let Loaded {
        exchange: mut config,
        node,
        http,
        tokens,
        webhooks,
        alarms,
        users,
        openid,
        skills,
        entrances,
        recording,
        sounds,
        named,
        dns,
    } = loaded;
    ban_limits.trusted.extend(trunk_addresses(&config).map(Network::from));
    let realm = config.realm.clone();
    let bans = Arc::new(Bans::new(ban_limits));
    let g722 = config.speaks(CodecKind::G722);
    let assets = Arc::new(assets::load(&Assets::default(), &sounds, g722)?);

    let bell = Arc::new(Bell::new().context("the control loop's bell")?);
    let (media_events, media) = unbounded();
    let media_events = Post::new(media_events, Arc::clone(&bell));
    let identity = Arc::new(Identity::new()?);
    config.dtls = Some(identity.fingerprint().clone());
    let mut entropy = operating_system_entropy()?;
    let count = config.media_workers.max(1);
    let shared_port = config.browser_port.map(|port| SharedPort::new(port, count)).unwrap_or_default();
    let drivers = drivers(count, &shared_port, &identity);
    let mut workers = start_workers(&drivers, &assets, &clock, &mut entropy, &media_events)?;
    for address in listeners.addresses() {
        shared_port.bind(address).with_context(|| format!("browser_port of [media] at {address}"))?;
    }
    config.browser_addresses = shared_port.addresses();
    let taps = workers.iter_mut().filter_map(MediaHandle::take_tap).collect();
    let cellar = Cellar::open(&recording, &data, taps, &bell, &clock, entropy.fork())?;
    let Cellar { writer, told: recorder, recordings, keys, shelf, uploading, keeper, copier } = cellar;

    let (names, names_now) = watch::channel(Arc::new(names_of(&config, skills)));
    let names_entropy = entropy.fork();
    let named = named_trunks(named, &config);
    let leads = leads(&config);
    let (exchange, before) = start_exchange(&store, &clock, config, node, entropy)?;
    let (live, live_out) = events();
    let told = live.clone();
    let mut metrics = Metrics::new();
    let figures = Arc::new(Figures::default());
    let ended = metrics.calls_ended();
    let (from_streams, on_streams) = bounded(SIP_BATCHES_MAX);
    let from_streams = Post::new(from_streams, Arc::clone(&bell));
    let (asks_in, asks) = bounded(ASKS_MAX);
    let asks_in = Post::new(asks_in, Arc::clone(&bell));
    let said = said(&realm_name, &listeners, http.as_ref(), &data);
    let spoken = listeners.table();
    let websockets = listeners.websockets();
    let Listeners { datagrams: sockets, streams } = listeners;
    let streams = start_streams(streams, tls, limits, &bans, from_streams, trace.clone(), leads)?;
    let intake = Intake::new(&sockets, bell, Arc::clone(&bans));
    metrics::edges(&mut metrics, &bans, &shared_port, &trace, streams.as_ref());
    metrics::register(&mut metrics, &figures, &store, &workers, &sockets);
    let found = metrics::names(&mut metrics);
    let uploads = uploading.map(|(uploads, figures)| metrics::uploads(&mut metrics, &figures, uploads));
    metrics::recordings(&mut metrics, &writer, &keeper.figures, &copier.figures);
    let (rules, rules_now) = watch::channel(Arc::new(alarms));
    let disks = vec![("data", data.clone()), ("recordings", shelf.folder.clone())];
    let of_exchange = (asks_in.clone(), clock.clone(), told, Arc::clone(&figures));
    let (watcher, alarms_raised) = Watcher::new(of_exchange, disks, rules_now, before);
    let config_figures = Arc::new(ConfigFigures::default());
    metrics::configuration(&mut metrics, &config_figures);
    let certifier = streams.as_ref().and_then(Streams::certifier);
    let finder = Finder::new(dns, spoken.clone(), asks_in.clone(), names_entropy, found);
    let reloader = Reloader {
        source,
        fixed,
        sounds,
        assets,
        g722,
        certificates: files,
        clock: clock.clone(),
        store: store.clone(),
        spoken,
        asks: asks_in.clone(),
        names,
        bans: Arc::clone(&bans),
        finder,
        keeper,
        copier,
        alarms: rules,
        certifier,
        versions,
        figures: config_figures,
    };
    let (wishes_in, wishes) = mpsc::channel(WISHES_MAX);
    let port = Port {
        asks: asks_in.clone(),
        clock: clock.clone(),
        unhurried: store.unhurried(),
        store: store.clone(),
        names: names_now,
        desk: reloader.desk(wishes_in),
        recordings: recordings.clone(),
        shelf,
        keys,
        bans: Arc::clone(&bans),
        trace: trace.clone(),
        alarms: alarms_raised,
    };
    let edges = Edges {
        clock,
        sockets,
        streams,
        media: workers,
        recorder: Some(writer),
        store,
        live,
        ended,
        figures,
        recordings,
        bans,
        trace,
    };
    let inputs = Inputs { intake, streams: on_streams, media, recorder, asks };
    let control = Control::new(exchange, inputs, edges).start()?;
    let sound_check = http.as_ref().and_then(|http| http.sound_check.clone());
    let phone = PhoneSettings { realm: realm.clone(), websockets, sound_check };
    let http = http.map(|http| {
        let tls = pages.filter(|_| http.tls);
        let webhooks = Webhooks { receivers: webhooks, folder: data.join("webhooks"), pace: Pace::default() };
        let (listen, token, requests_per_s) = (http.listen, http.token, http.requests_per_s);
        let options =
            ServerOptions { listen, token, tokens, users, openid, entrances, tls, phone, requests_per_s, webhooks };
        (options, port, live_out, metrics)
    });
    Ok(House { control, asks: asks_in, http, said, reloader, uploads, named, wishes, watcher })
}

/// Everything around recordings.
struct Cellar {
    writer: WriterHandle,
    told: Receiver<RecorderEvent>,
    recordings: Recordings,
    keys: Option<KeyRing>,
    shelf: Shelf,
    uploading: Option<(Uploads, Arc<Uploading>)>,
    keeper: Keeper,
    copier: Copier,
}

impl Cellar {
    fn open(
        settings: &config::Recording,
        data: &Path,
        taps: Vec<TapReader>,
        bell: &Arc<Bell>,
        clock: &Clock,
        mut entropy: Entropy,
    ) -> Result<Self> {
        let (tell, told) = unbounded::<RecorderEvent>();
        let tell = Post::new(tell, Arc::clone(bell));
        // Nobody listens any more when the exchange goes down; recordings are closed all the same.
        let tell = move |event| _ = tell.send(event);
        let folder = data.join(&settings.folder);
        let keys = keys_of(settings)?;
        let protection = keys.clone().map(|keys| Protection { keys, entropy: entropy.fork() });
        let own_clock = clock.clone();
        let writer = Writer::start_sealed(&folder, taps, tell, move || own_clock.now(), protection)
            .with_context(|| format!("recordings folder {}", folder.display()))?;
        let recordings = Recordings::load(&folder);
        let (shelf, uploading) = uploads::start(settings, folder, clock)?;
        let mut keeper = Keeper::new(data, &shelf, clock);
        keeper.follow(settings.keep.clone(), settings.hour.clone())?;
        let mut copier = Copier::new(data, &shelf, keys.as_ref(), clock);
        copier.follow(settings.copies.clone())?;
        Ok(Self { writer, told, recordings, keys, shelf, uploading, keeper, copier })
    }
}

fn named_trunks(named: Vec<(usize, Vec<config::Proxy>)>, config: &offhook_call::config::Config) -> Vec<NamedTrunk> {
    let of = |(place, proxies): (usize, Vec<config::Proxy>)| {
        let trunk = &config.trunks[place];
        NamedTrunk { place, trunk: trunk.name.clone(), proxies, domain: reload::domain(trunk) }
    };
    named.into_iter().map(of).collect()
}

fn names_of(config: &offhook_call::config::Config, skills: BTreeMap<SkillId, String>) -> Names {
    Names {
        queues: config.queues.iter().map(|queue| (queue.acd.id, queue.acd.name.clone())).collect(),
        agents: config.agents.iter().map(|agent| (agent.acd.id, agent.acd.name.clone())).collect(),
        skills,
    }
}

fn start_workers(
    drivers: &[DriverConfig],
    assets: &Arc<Assets>,
    clock: &Clock,
    entropy: &mut Entropy,
    events: &Post<(usize, MediaEvent)>,
) -> Result<Vec<MediaHandle>> {
    let start = |driver: &DriverConfig| {
        MediaDriver::start(driver, Arc::clone(assets), clock.clone(), entropy.fork(), events.clone())
    };
    drivers.iter().map(start).collect::<Result<_, _>>().context("the media workers")
}

/// How each of the media workers is set up, and what all of them share.
fn drivers(count: usize, shared_port: &SharedPort, identity: &Arc<Identity>) -> Vec<DriverConfig> {
    let (resting, crossing) = (Resting::new(RESTING_SOCKETS_MAX), Crossing::new(count));
    let driver = |worker| {
        let (resting, crossing, shared_port) = (resting.clone(), crossing.clone(), shared_port.clone());
        let handshakes: Option<Arc<dyn Handshakes>> = Some(identity.clone());
        DriverConfig { worker, resting, crossing, shared_port, handshakes, ..DriverConfig::default() }
    };
    (0..count).map(driver).collect()
}

/// Where trunks send from and are sent to: none of them is ever banned.
fn trunk_addresses(config: &offhook_call::config::Config) -> impl Iterator<Item = IpAddr> {
    config.trunks.iter().flat_map(|trunk| {
        let targets = trunk.out.iter().flat_map(|out| out.targets.iter().map(|flow| flow.peer.ip()));
        trunk.peers.iter().copied().chain(targets)
    })
}

/// The places of each trunk that need no DNS, and what their certificates bear.
fn leads(config: &offhook_call::config::Config) -> Vec<Vec<Lead>> {
    let of = |out: &Outgoing| -> Vec<Lead> {
        out.targets.iter().map(|flow| lead_to(flow.peer, out.domain.as_deref())).collect()
    };
    config.trunks.iter().map(|trunk| trunk.out.as_ref().map_or_else(Vec::new, of)).collect()
}

/// The master keys of recordings, where there are some.
fn keys_of(recording: &config::Recording) -> Result<Option<KeyRing>> {
    let read = |file: &PathBuf| KeyRing::read(file).with_context(|| format!("key file {}", file.display()));
    recording.key_file.as_ref().map(read).transpose()
}

fn resolve(
    checked: Checked,
    store: &Store,
    towards: impl FnMut(Transport, SocketAddr) -> SocketAddr,
) -> Result<Loaded> {
    let known = store.config_ids().context("ids of queues and agents")?;
    let mut failed = None;
    let id_of = |kind: config::Kind, name: &str| {
        let known = known.get(&(kind.name().to_owned(), name.to_owned()));
        known.copied().map_or_else(|| store.config_id(kind.name(), name), Ok).unwrap_or_else(|error| {
            failed.get_or_insert(error);
            0
        })
    };
    let loaded = checked.resolve(id_of, towards);
    match failed {
        Some(error) => Err(error).context("ids of queues and agents"),
        None => Ok(loaded),
    }
}

fn start_exchange(
    store: &Store,
    clock: &Clock,
    config: offhook_call::config::Config,
    node: u16,
    entropy: Entropy,
) -> Result<(Exchange, Logged)> {
    let mut raised = Logged::default();
    let mut log: Vec<(Tick, LogEvent)> = Vec::new();
    let mut unread = 0_u64;
    store
        .read_log(0, |record| match LogEvent::decode(&record.bytes) {
            Ok(LogEvent::Alarm(event)) => raised.fold(record.at, &event),
            Ok(event) => log.push((record.at, event)),
            Err(_) => unread += 1,
        })
        .context("event log")?;
    if unread > 0 {
        tracing::error!(unread, "entries of the event log could not be read; they are kept");
    }
    let bindings = store.bindings().context("registrations")?.iter().filter_map(binding_of).collect();
    let mut recovered = Recovered::replay(log, bindings);
    for person in recovered.callbacks.persons() {
        if let Some(number) = store.person_text_now(person).context("the numbers of callbacks")? {
            recovered.callbacks.tell(person, &number);
        }
    }
    let lost = recovered.fold.open().count();
    if lost > 0 {
        tracing::warn!(lost, "calls were open when the exchange last ended; they are hung up and recorded as lost");
    }
    let ids = IdSource::new(node, store.boot());
    Ok((Exchange::recover(clock.now(), config, ids, entropy, recovered), raised))
}

pub fn operating_system_entropy() -> Result<Entropy> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no randomness from the operating system: {error}"))?;
    Ok(Entropy::from_seed(seed))
}

fn start_streams(
    listeners: Vec<StreamListener>,
    tls: Option<Tls>,
    limits: StreamLimits,
    bans: &Arc<Bans>,
    messages: Post<Vec<Incoming>>,
    trace: Trace,
    leads: Vec<Vec<Lead>>,
) -> Result<Option<Streams>> {
    if listeners.is_empty() {
        return Ok(None);
    }
    // What came over a connection is not repeated: a full queue gives it back, and the connection waits.
    let deliver = move |batch| match messages.try_send(batch) {
        Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
        Err(TrySendError::Full(batch)) => Err(batch),
    };
    let streams = Streams::start(listeners, tls, limits, Arc::clone(bans), Arc::new(deliver), trace)
        .context("the thread of SIP connections")?;
    leads.into_iter().enumerate().for_each(|(trunk, leads)| streams.lead(trunk, leads));
    Ok(Some(streams))
}

fn said(name: &str, listeners: &Listeners, http: Option<&Http>, data: &std::path::Path) -> String {
    let page = http.map_or_else(|| "no HTTP".to_owned(), Http::address);
    format!("{name}: SIP on {listeners}, page {page}, data in {}", data.display())
}

impl House {
    async fn serve(self, grace: Span) -> Result<()> {
        let Self { control, asks, http, said, mut reloader, uploads, named, mut wishes, watcher } = self;
        tokio::spawn(watcher.run());
        reloader.finder.follow(named);
        let server = match http {
            Some((options, port, live, metrics)) => Some(Server::start(options, Arc::new(port), live, metrics).await?),
            None => None,
        };
        tracing::info!("{said}");
        let mut stop = StopSignals::new()?;
        let mut again = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                () = stop.next() => break,
                _ = again.recv() => {
                    reloader.reload("the file, by SIGHUP", server.as_ref()).await;
                }
                // Without [http] nobody wishes anything.
                Some(wish) = wishes.recv() => reloader.grant(wish, server.as_ref()).await,
            }
        }
        tracing::info!("taking no new calls; calls in progress may finish within {grace}");
        drain(&asks, grace);
        let mut ended = tokio::task::spawn_blocking(move || control.join());
        let ended = tokio::select! {
            ended = &mut ended => ended,
            () = stop.next() => {
                drain(&asks, Span::ZERO);
                ended.await
            }
        };
        if let Some(server) = server {
            server.shutdown().await;
        }
        tokio::task::spawn_blocking(move || drop((reloader, uploads))).await?;
        let edges = ended?.map_err(|_| anyhow::anyhow!("the control thread panicked"))?;
        close(edges)
    }
}

fn drain(asks: &Post<Ask>, grace: Span) {
    let ask = Ask::Do(Command::Drain { grace }, Box::new(|_, _| {}));
    if asks.send(ask).is_err() {
        tracing::error!("the control loop is gone");
    }
}

/// Closes the edges in order: media first, so that the recorder gets all of it, the store last.
fn close(edges: Edges) -> Result<()> {
    let Edges { media, recorder, store, streams, .. } = edges;
    // What is queued on connections is written first.
    drop(streams);
    drop(media);
    if let Some(recorder) = recorder {
        recorder.shutdown();
    }
    store.shutdown().context("closing the store")?;
    tracing::info!("stopped");
    Ok(())
}

struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn new() -> Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Every call holds four sockets: take what the system allows.
fn raise_file_limit() {
    if let Err(error) = offhook_net::limits::raise_open_files() {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}
