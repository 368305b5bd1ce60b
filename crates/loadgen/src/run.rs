//! A run in the world: sockets, the clock, a thread for signalling and one for speech, and a look at both machines every second.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use offhook_net::Clock;
use offhook_net::intake::{Bell, Post};
use offhook_net::limits::{open_files, raise_open_files};
use offhook_net::sip::Incoming;
use offhook_sip::Transport;
use offhook_units::{Entropy, Span, Tick};

use crate::faults::{Side, Wire};
use crate::flows::{Figures, Flows, Notice};
use crate::lines::{Bound, Lines};
use crate::load::{Carriage, Load, Ports, sockets_for, towards};
use crate::meter::Meter;
use crate::report::{Report, Second};
use crate::speakers::{self, Input, Pair, Told, open_pair};
use crate::ways::{WayNotice, Ways};
use crate::{Driver, Output};

/// How often the machines are looked at.
const LOOK_EVERY: Span = Span::from_s(1);
/// How long the server is watched before the first call, for what it spends while idle.
const IDLE_FOR: Duration = Duration::from_secs(2);
/// Files that are open beside our sockets.
const FILES_BESIDE: u64 = 48;
/// Sockets of a way of speech: ours to it, and its own.
const FILES_A_WAY: u64 = 3;

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address could not be bound: choose another one, or end the program that holds it.
    #[error("{error} (for {what}); choose another address, or end the program that holds this one")]
    Bind {
        /// For what.
        what: &'static str,
        /// The operating system's words, with the address.
        error: io::Error,
    },
    /// No pair of ports was free.
    #[error(
        "no pair of ports for speech is free on {host}: {error}; end what holds them, widen net.ipv4.ip_local_port_range, or choose another address"
    )]
    Ports {
        /// Where.
        host: IpAddr,
        /// The operating system's words.
        error: io::Error,
    },
    /// The system allows too few open files.
    #[error(
        "{needed} files have to be open at once, and the system allows {allowed}: raise it with `ulimit -n {needed}`, or lower --concurrent"
    )]
    Files {
        /// How many are needed.
        needed: u64,
        /// How many are allowed.
        allowed: u64,
    },
    /// The process under test is not there.
    #[error(
        "there is no process {0} to be watched: --server-pid takes the number of a running process on this machine"
    )]
    NoServer(u32),
    /// There is no route.
    #[error("there is no route to {server}: {error}")]
    Route {
        /// To whom.
        server: SocketAddr,
        /// The operating system's words.
        error: io::Error,
    },
    /// A thread, a descriptor.
    #[error("the system gives no {what}: {error}")]
    System {
        /// What is missing.
        what: &'static str,
        /// The operating system's words.
        error: io::Error,
    },
}

/// The sockets of a run.
struct Sockets {
    /// Callers' and agents' addresses for SIP, where there are any.
    sip: Bound,
    callers: Vec<SocketAddr>,
    agents: SocketAddr,
    pairs: Vec<Pair>,
    ports: Ports,
}

impl Sockets {
    fn open(load: &Load) -> Result<Self, RunError> {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let (mut sip, mut pairs, mut ports) = (Bound::default(), Vec::new(), Ports::default());
        let concurrent = load.callers.as_ref().map_or(0, |callers| callers.concurrent);
        // Without callers of ours, each agent may talk.
        let talks = load.agents.as_ref().map(|agents| if concurrent > 0 { concurrent } else { agents.count as usize });
        let wanted = [load.callers.as_ref().map(|_| concurrent), talks].map(|legs| legs.map_or(0, sockets_for));
        let of_callers = load.callers.as_ref().map_or(0, |callers| {
            let ways = if callers.carriage == Carriage::WebRtc { concurrent as u64 * FILES_A_WAY } else { 0 };
            // A connection is a listener, too.
            ways + callers.connections as u64 * 2
        });
        let needed = wanted.iter().sum::<usize>() as u64 * 2 + of_callers + FILES_BESIDE;
        let allowed = raise_open_files().or_else(|_| open_files()).unwrap_or(u64::MAX);
        if needed > allowed {
            return Err(RunError::Files { needed, allowed });
        }
        let route = |wanted, server| towards(wanted, server).map_err(|error| RunError::Route { server, error });
        let mut callers = Vec::new();
        if let Some(load) = &load.callers {
            let local = route(load.local, load.server)?;
            let connections = if load.transport == Transport::Udp { 1 } else { load.connections.max(1) };
            for at in 0..connections {
                // Further connections take any port: nobody is told of them before.
                let port = if at == 0 { local.port() } else { 0 };
                callers.push(sip.bind(load.transport, SocketAddr::new(local.ip(), port), "calls")?);
            }
            open_pairs(local.ip(), wanted[0], &mut pairs, &mut ports.callers)?;
        }
        let mut agents = nowhere;
        if let Some(floor) = &load.agents {
            let server = floor.registrar.as_ref().map(|(server, _)| *server);
            let server = server.or_else(|| load.callers.as_ref().map(|callers| callers.server));
            let local = server.map_or(Ok(floor.local), |server| route(floor.local, server))?;
            agents = sip.bind(floor.transport, local, "agents")?;
            open_pairs(agents.ip(), wanted[1], &mut pairs, &mut ports.agents)?;
        }
        Ok(Self { sip, callers, agents, pairs, ports })
    }
}

fn open_pairs(host: IpAddr, count: usize, pairs: &mut Vec<Pair>, at: &mut Vec<SocketAddr>) -> Result<(), RunError> {
    for _ in 0..count {
        let pair = open_pair(host).map_err(|error| RunError::Ports { host, error })?;
        at.push(pair.local);
        pairs.push(pair);
    }
    Ok(())
}

/// The threads of a run, and what joins them.
struct Stage {
    clock: Clock,
    lines: Lines,
    driver: Driver,
    speech: Sender<Input>,
    notices: Receiver<Notice>,
    /// The ways of callers' speech, where they have any.
    ways: Option<(Ways, Receiver<WayNotice>)>,
    /// Where callers' messages come from; those of agents come from elsewhere.
    callers: Vec<SocketAddr>,
    wire: Arc<Wire>,
    chance: Entropy,
}

impl Stage {
    /// Whether a message of ours, or for us, gets through.
    fn carries(&mut self, local: SocketAddr) -> bool {
        let side = if self.callers.contains(&local) { Side::Callers } else { Side::Agents };
        self.wire.carries(side, || self.chance.next_u64())
    }

    /// Sends and tells what the driver wants; gives when it wants to be asked again.
    fn drain(&mut self) -> Option<Tick> {
        let until = loop {
            match self.driver.poll_output() {
                Output::Transmit { flow, .. } if !self.carries(flow.local) => {}
                Output::Transmit { flow, bytes } => self.lines.send(flow, bytes),
                // The thread of speech ends after this one.
                Output::Media(order) => drop(self.speech.send(Input::Order(order))),
                Output::Way(order) => {
                    if let Some((ways, _)) = &mut self.ways {
                        ways.order(order);
                    }
                }
                Output::Wait { until } => break until,
            }
        };
        self.lines.flush();
        until
    }

    /// Everything that has come in since the last time.
    fn take(&mut self, incoming: &mut Vec<Incoming>) -> bool {
        let more = self.lines.read(incoming);
        for each in incoming.drain(..) {
            let now = self.clock.now();
            match each {
                Incoming::Message(flow, _) if !self.carries(flow.local) => {}
                Incoming::Message(flow, message) => self.driver.receive(now, flow, *message),
                Incoming::Malformed(flow, error) => self.driver.receive_malformed(now, flow, *error),
                Incoming::Lost(flow) => self.driver.transport_failed(now, flow),
                // Nobody here has certificates or asks where it is seen.
                Incoming::Proved(..) | Incoming::Mapped(..) => {}
            }
        }
        for notice in self.notices.try_iter() {
            self.driver.notice(notice);
        }
        for notice in self.ways.iter().flat_map(|(_, told)| told.try_iter()) {
            self.driver.way(self.clock.now(), notice);
        }
        more
    }
}

/// Runs a load until it is over or `stop` says so; `live` is told every second.
///
/// # Errors
/// Where it cannot begin; see [`RunError`].
pub fn run(
    load: &Load,
    stop: &Receiver<()>,
    mut entropy: Entropy,
    live: impl FnMut(&Second),
) -> Result<Report, RunError> {
    let clock = Clock::start(None);
    let sockets = Sockets::open(load)?;
    let mut meter = Meter::start(load.server_pid)?;
    if load.server_pid.is_some() && stop.recv_timeout(IDLE_FOR).is_ok() {
        return Ok(Report::default());
    }
    meter.idle_is_over();
    let system = |what| move |error| RunError::System { what, error };
    let bell = Arc::new(Bell::new().map_err(system("descriptor"))?);
    let (tell, notices) = unbounded();
    let (speech, orders) = unbounded();
    let both_ends = load.callers.is_some() && load.agents.is_some();
    let flows = Flows::new(clock.now(), entropy.next_u64(), both_ends, entropy.fork());
    let ports: Vec<u16> = sockets.pairs.iter().map(|pair| pair.local.port()).collect();
    let speech_clock = clock.clone();
    let callers = sockets.ports.callers.len();
    let speaking = speakers::Speaking::new(sockets.pairs, callers, Arc::clone(&load.wire), entropy.fork());
    let thread = std::thread::Builder::new()
        .name("bench-speech".into())
        .spawn(move || speakers::run(speaking, flows, &speech_clock, &orders, &Post::from(tell)))
        .map_err(system("thread"))?;
    let by_webrtc = load.callers.as_ref().filter(|callers| callers.carriage == Carriage::WebRtc);
    let ways = match by_webrtc {
        Some(callers) => {
            let (tell, told) = unbounded();
            let post = Post::new(tell, Arc::clone(&bell));
            Some((Ways::start(callers.speech.codec, post, entropy.fork()).map_err(system("thread"))?, told))
        }
        None => None,
    };
    let chance = entropy.fork();
    let callers = sockets.callers.clone();
    let driver = Driver::new(clock.now(), load, sockets.callers, sockets.agents, sockets.ports, entropy);
    let mut stage = Stage {
        lines: Lines::open(sockets.sip, load.tls.clone(), load.leads.clone(), bell)?,
        ways,
        clock,
        driver,
        speech,
        notices,
        callers,
        wire: Arc::clone(&load.wire),
        chance,
    };
    turn(&mut stage, stop, &mut meter, live);
    let dropped = crate::process::dropped(&ports) + stage.lines.dropped();
    drop(stage.speech);
    if let Some((ways, _)) = stage.ways.take() {
        ways.stop();
    }
    let figures = thread.join().unwrap_or_else(|_| {
        tracing::error!("the thread of speech panicked");
        Figures::default()
    });
    Ok(meter.report(&stage.driver, &figures, dropped))
}

/// The loop of signalling.
fn turn(stage: &mut Stage, stop: &Receiver<()>, meter: &mut Meter, mut live: impl FnMut(&Second)) {
    let mut incoming = Vec::new();
    let mut next_look = stage.clock.now() + LOOK_EVERY;
    let mut told: Option<Receiver<Told>> = None;
    loop {
        let until = stage.drain();
        if stage.driver.is_over() {
            return;
        }
        if stop.try_recv().is_ok() {
            let now = stage.clock.now();
            stage.driver.stop(now);
            continue;
        }
        let now = stage.clock.now();
        if until.is_some_and(|until| until <= now) {
            stage.driver.timeout(now);
            // What has come meanwhile is taken along: a flood of timers starves nobody.
            stage.lines.sleep(Duration::ZERO);
        } else {
            let wake = until.map_or(next_look, |until| until.min(next_look));
            stage.lines.sleep(wake.since(now).as_std());
        }
        while stage.take(&mut incoming) {
            stage.drain();
            stage.lines.sleep(Duration::ZERO);
        }
        meter.note_calls(stage.clock.now(), &stage.driver);
        if let Some(speech) = told.as_ref().and_then(|told| told.try_recv().ok()) {
            told = None;
            if let Some(second) = meter.second(stage.clock.now(), &stage.driver, &speech) {
                live(&second);
            }
        }
        let now = stage.clock.now();
        if now >= next_look {
            next_look = now + LOOK_EVERY;
            let (tell, hear) = bounded(1);
            drop(stage.speech.send(Input::Tell(tell)));
            told = Some(hear);
        }
    }
}
