//! A run of registrations in the world: one socket or connection, the clock, and a look at both machines every second.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use offhook_net::Clock;
use offhook_net::intake::Bell;
use offhook_net::sip::Incoming;
use offhook_units::{Entropy, Span, Tick};

use super::{Output, RegisterLoad, RegisterReport, RegisterSecond, RegisterServer, Registrations};
use crate::lines::{Bound, Lines};
use crate::load::towards;
use crate::process::{self, Usage};
use crate::run::RunError;

/// How often the machines are looked at.
const LOOK_EVERY: Span = Span::from_s(1);
/// How long the server is watched before the first REGISTER, for what it spends while idle.
const IDLE_FOR: Duration = Duration::from_secs(2);
/// Seconds that a report lists.
const SECONDS_MAX: usize = 86_400;

/// The machines at one instant.
#[derive(Debug, Clone, Copy, Default)]
struct Look {
    at: Tick,
    server: Usage,
    own: Usage,
    ticks: (u64, u64),
}

struct Watch {
    pid: Option<u32>,
    /// CPU seconds a second while idle.
    idle: f64,
    begin: Look,
    last: Look,
    /// When the last turn was due: what comes after it is the end of the run, and no part of what a registration costs.
    turns_over: Option<Look>,
    resident_most_kib: u64,
    seconds: Vec<RegisterSecond>,
}

impl Watch {
    fn look(&self, at: Tick) -> Look {
        Look {
            at,
            server: self.pid.and_then(process::usage).unwrap_or_default(),
            own: process::usage(std::process::id()).unwrap_or_default(),
            ticks: process::machine_ticks().unwrap_or_default(),
        }
    }

    fn second(&mut self, now: Tick, registrations: &Registrations) -> RegisterSecond {
        let look = self.look(now);
        let seconds = seconds(now.since(self.last.at)).max(0.001);
        let share = |after: f64, before: f64| 100.0 * (after - before) / seconds;
        let figures = registrations.figures();
        let mut all = figures.first.clone();
        all.join(&figures.refresh);
        let second = RegisterSecond {
            at_s: self::seconds(now.since(registrations.began())),
            now_in: figures.now_in,
            now_out: figures.now_out,
            done: figures.registered + figures.refreshed,
            failed: figures.failed,
            p99_ms: all.ms_at(0.99),
            server_cpu_pct: share(look.server.cpu_s, self.last.server.cpu_s),
            server_mib: look.server.resident_kib as f64 / 1_024.0,
            generator_cpu_pct: share(look.own.cpu_s, self.last.own.cpu_s),
        };
        self.resident_most_kib = self.resident_most_kib.max(look.server.resident_kib);
        self.last = look;
        if self.seconds.len() < SECONDS_MAX {
            self.seconds.push(second);
        }
        second
    }

    fn report(&self, load: &RegisterLoad, registrations: &Registrations, dropped: u64) -> RegisterReport {
        let figures = registrations.figures().clone();
        let end = self.turns_over.unwrap_or(self.last);
        let took = seconds(end.at.since(self.begin.at)).max(0.001);
        let done = figures.registered + figures.refreshed;
        let mut all = figures.first.clone();
        all.join(&figures.refresh);
        let server = self.pid.map(|pid| {
            let spent = end.server.cpu_s - self.begin.server.cpu_s;
            let most = self.resident_most_kib.max(end.server.resident_kib);
            let more = most.saturating_sub(self.begin.server.resident_kib) as f64;
            RegisterServer {
                pid,
                idle_cpu_pct: 100.0 * self.idle,
                cpu_pct: 100.0 * spent / took,
                cpu_ms_per_registration: (done > 0).then(|| 1_000.0 * (spent - self.idle * took) / done as f64),
                resident_begin_mib: self.begin.server.resident_kib as f64 / 1_024.0,
                resident_most_mib: most as f64 / 1_024.0,
                resident_kib_per_account: (figures.registered > 0).then(|| more / figures.registered as f64),
            }
        });
        let answered_s = figures.last_done.map_or(0.0, |last| seconds(last.since(registrations.began())));
        let ticks = (end.ticks.0 - self.begin.ticks.0, (end.ticks.1 - self.begin.ticks.1).max(1));
        let mut report = RegisterReport {
            lasted_s: seconds(registrations.turns_over()),
            accounts: load.accounts,
            due: figures.due,
            still_out: figures.still_out,
            registered: figures.registered,
            refreshed: figures.refreshed,
            ran_out: figures.ran_out,
            left: figures.left,
            failed: figures.failed,
            failed_by_cause: figures.causes,
            most_out: figures.most_out,
            per_s: if done > 1 { (done - 1) as f64 / answered_s.max(1e-6) } else { 0.0 },
            requests: figures.requests,
            register_ms: figures.first.quantiles(),
            refresh_ms: figures.refresh.quantiles(),
            leave_ms: figures.leave.quantiles(),
            histogram: all.buckets(),
            late_ms: figures.late.quantiles(),
            generator_cpu_pct: 100.0 * (end.own.cpu_s - self.begin.own.cpu_s) / took,
            dropped,
            server,
            machine_idle_pct: 100.0 * ticks.0 as f64 / ticks.1 as f64,
            seconds: self.seconds.clone(),
            ..RegisterReport::default()
        };
        report.judge();
        report
    }
}

fn seconds(span: Span) -> f64 {
    span.as_us() as f64 / 1e6
}

/// Runs a load of registrations until it is over or `stop` says so; `live` is told every second. A first word of `stop` ends the turns,
/// a second one what is under way, a third one the run.
///
/// # Errors
/// Where it cannot begin; see [`RunError`].
pub fn run(
    load: &RegisterLoad,
    stop: &Receiver<()>,
    entropy: Entropy,
    mut live: impl FnMut(&RegisterSecond),
) -> Result<RegisterReport, RunError> {
    let clock = Clock::start(None);
    let server = load.server;
    let local = towards(load.local, server).map_err(|error| RunError::Route { server, error })?;
    let mut bound = Bound::default();
    let local = bound.bind(load.transport, local, "registrations")?;
    let mut watch = Watch {
        pid: load.server_pid,
        idle: 0.0,
        begin: Look::default(),
        last: Look::default(),
        turns_over: None,
        resident_most_kib: 0,
        seconds: Vec::new(),
    };
    if let Some(pid) = load.server_pid {
        let before = process::usage(pid).ok_or(RunError::NoServer(pid))?;
        let from = clock.now();
        if stop.recv_timeout(IDLE_FOR).is_ok() {
            return Ok(RegisterReport::default());
        }
        let spent = process::usage(pid).unwrap_or(before).cpu_s - before.cpu_s;
        watch.idle = spent / seconds(clock.now().since(from)).max(0.001);
    }
    let bell = Arc::new(Bell::new().map_err(|error| RunError::System { what: "descriptor", error })?);
    let mut lines = Lines::open(bound, load.tls.clone(), vec![load.lead.clone()], bell)?;
    watch.begin = watch.look(clock.now());
    watch.last = watch.begin;
    let mut registrations = Registrations::new(clock.now(), load.clone(), local, entropy);
    let mut incoming = Vec::new();
    let mut next_look = clock.now() + LOOK_EVERY;
    loop {
        let until = drain(&mut registrations, &mut lines);
        let now = clock.now();
        if watch.turns_over.is_none() && !registrations.is_running() && registrations.figures().now_out == 0 {
            watch.turns_over = Some(watch.look(now));
        }
        if registrations.is_over() {
            break;
        }
        if stop.try_recv().is_ok() {
            registrations.stop(now);
            continue;
        }
        if until.is_some_and(|until| until <= now) {
            registrations.timeout(now);
            // What has come meanwhile is taken along: a flood of timers starves nobody.
            lines.sleep(Duration::ZERO);
        } else {
            let wake = until.map_or(next_look, |until| until.min(next_look));
            lines.sleep(wake.since(now).as_std());
        }
        loop {
            let more = lines.read(&mut incoming);
            for each in incoming.drain(..) {
                let now = clock.now();
                match each {
                    Incoming::Message(flow, message) => registrations.receive(now, flow, *message),
                    Incoming::Malformed(flow, error) => registrations.receive_malformed(now, flow, *error),
                    Incoming::Lost(flow) => registrations.transport_failed(now, flow),
                    // Nobody here has certificates or asks where it is seen.
                    Incoming::Proved(..) | Incoming::Mapped(..) => {}
                }
            }
            if !more {
                break;
            }
            drain(&mut registrations, &mut lines);
            lines.sleep(Duration::ZERO);
        }
        let now = clock.now();
        if now >= next_look {
            next_look = now + LOOK_EVERY;
            live(&watch.second(now, &registrations));
        }
    }
    Ok(watch.report(load, &registrations, lines.dropped()))
}

/// Sends what is to be sent; gives when the machine wants to be asked again.
fn drain(registrations: &mut Registrations, lines: &mut Lines) -> Option<Tick> {
    let until = loop {
        match registrations.poll_output() {
            Output::Transmit { flow, bytes } => lines.send(flow, bytes),
            Output::Wait { until } => break until,
        }
    };
    lines.flush();
    until
}
