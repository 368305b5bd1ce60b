//! What is read off both machines during a run, and the report that comes of it.

use offhook_units::{Span, Tick};

use crate::Driver;
use crate::flows::Figures;
use crate::process::{self, Usage};
use crate::report::{AgentsReport, Calls, Generator, Media, Report, Second, ServerReport};
use crate::run::RunError;
use crate::speakers::Told;
use crate::statistics::Times;

/// Seconds that a report lists: a day. Later ones are not listed.
const SECONDS_MAX: usize = 86_400;
/// A crowd that is full is left alone for so long before what it costs is counted.
const SETTLE: Span = Span::from_s(2);
/// Fewer seconds than this are no window.
const WINDOW_LOOKS_MIN: usize = 3;

/// The machines at one instant.
#[derive(Debug, Clone, Copy, Default)]
struct Look {
    at: Tick,
    server: Usage,
    own: Usage,
    idle_ticks: u64,
    all_ticks: u64,
    /// Seconds of answered calls so far, added up.
    call_s: f64,
    talking: u64,
}

/// Reads both machines.
#[derive(Debug)]
pub(crate) struct Meter {
    server_pid: Option<u32>,
    begin: Option<Look>,
    idle_from: Usage,
    idle_at: std::time::Instant,
    idle_cpu: f64,
    /// Until when call seconds are added up, and how many calls talk since then.
    counted: Option<(Tick, usize)>,
    call_s: f64,
    most_at_once: usize,
    most_registered: u64,
    looks: Vec<Look>,
    /// The window in which a crowd was full.
    full: Option<(usize, usize)>,
    resident_most_kib: u64,
    threads: u64,
    received: u64,
    seconds: Vec<Second>,
    first_call: Option<Tick>,
}

impl Meter {
    pub fn start(server_pid: Option<u32>) -> Result<Self, RunError> {
        let idle_from = match server_pid {
            Some(pid) => process::usage(pid).ok_or(RunError::NoServer(pid))?,
            None => Usage::default(),
        };
        Ok(Self {
            server_pid,
            begin: None,
            idle_from,
            idle_at: now(),
            idle_cpu: 0.0,
            counted: None,
            call_s: 0.0,
            most_at_once: 0,
            most_registered: 0,
            looks: Vec::new(),
            full: None,
            resident_most_kib: 0,
            threads: 0,
            received: 0,
            seconds: Vec::new(),
            first_call: None,
        })
    }

    /// Calls begin soon: what the server has spent so far it spends while idle.
    pub fn idle_is_over(&mut self) {
        if let Some(usage) = self.server_pid.and_then(process::usage) {
            let seconds = self.idle_at.elapsed().as_secs_f64();
            self.idle_cpu = (usage.cpu_s - self.idle_from.cpu_s) / seconds.max(0.001);
        }
        self.begin = Some(self.look(Tick::ZERO, 0));
    }

    fn look(&self, at: Tick, talking: u64) -> Look {
        let (idle_ticks, all_ticks) = process::machine_ticks().unwrap_or_default();
        Look {
            at,
            server: self.server_pid.and_then(process::usage).unwrap_or_default(),
            own: process::usage(std::process::id()).unwrap_or_default(),
            idle_ticks,
            all_ticks,
            call_s: self.call_s,
            talking,
        }
    }

    /// Adds up the time of answered calls.
    pub fn note_calls(&mut self, now: Tick, driver: &Driver) {
        let (active, talking) = driver.active();
        let talking = driver.agents().map_or(talking, |agents| talking.max(agents.talking as usize));
        if let Some((since, talked)) = self.counted {
            self.call_s += now.since(since).as_us() as f64 / 1e6 * talked as f64;
        }
        self.counted = Some((now, talking));
        self.most_at_once = self.most_at_once.max(active);
    }

    /// A second has passed; none before the first call is due.
    pub fn second(&mut self, at: Tick, driver: &Driver, told: &Told) -> Option<Second> {
        let agents = driver.agents();
        self.most_registered = self.most_registered.max(agents.map_or(0, |agents| agents.registered));
        let talking = self.counted.map_or(0, |(_, talking)| talking as u64);
        let look = self.look(at, talking);
        self.resident_most_kib = self.resident_most_kib.max(look.server.resident_kib);
        self.threads = self.threads.max(look.server.threads);
        let began = driver.began()?;
        if self.first_call.replace(began).is_none() {
            // From here on everything is counted from the begin of the calls.
            self.begin = Some(look);
        }
        let before = self.looks.last().copied().or(self.begin).unwrap_or(look);
        let seconds = at.since(before.at).as_us() as f64 / 1e6;
        let is_full = driver.full().is_some_and(|full| at >= full + SETTLE) && driver.is_running();
        if is_full {
            let at = self.looks.len();
            self.full = Some((self.full.map_or(at, |(first, _)| first), at));
        }
        self.looks.push(look);
        let share = |after: f64, before: f64| if seconds > 0.0 { 100.0 * (after - before) / seconds } else { 0.0 };
        let (figures, times) = driver.calls().unzip();
        let second = Second {
            at_s: at.since(began).as_us() as f64 / 1e6,
            active: driver.active().0 as u64,
            talking,
            started: figures.map_or(0, |figures| figures.started),
            answered: figures.map_or_else(|| agents.map_or(0, |agents| agents.answered), |figures| figures.answered),
            failed: figures.map_or(0, |figures| figures.failed + figures.gave_up),
            registered: agents.map_or(0, |agents| agents.registered),
            received: told.counts.received - self.received.min(told.counts.received),
            lost: told.counts.lost,
            round_trip_p99_ms: told.round_trip_p99_ms,
            setup_p99_ms: times.map_or(0.0, |times| times.setup.ms_at(0.99)),
            server_cpu_pct: share(look.server.cpu_s, before.server.cpu_s),
            server_mib: look.server.resident_kib as f64 / 1_024.0,
            generator_cpu_pct: share(look.own.cpu_s, before.own.cpu_s),
        };
        self.received = told.counts.received;
        if self.seconds.len() < SECONDS_MAX {
            self.seconds.push(second);
        }
        Some(second)
    }

    /// The report of a run that is over.
    pub fn report(&self, driver: &Driver, figures: &Figures, dropped: u64) -> Report {
        let begin = self.begin.unwrap_or_default();
        let last = self.look(self.counted.map_or(Tick::ZERO, |(at, _)| at), 0);
        let lasted_s = self.first_call.map_or(0.0, |first| last.at.since(first).as_us() as f64 / 1e6);
        let all_ticks = (last.all_ticks - begin.all_ticks).max(1);
        let own_s = last.at.since(begin.at).as_us() as f64 / 1e6;
        let mut report = Report {
            lasted_s,
            calls: self.calls(driver),
            agents: driver.agents().map(|agents| AgentsReport {
                registered: self.most_registered.max(agents.registered),
                register_ms: agents.register.quantiles(),
                register_failures: agents.register_failures.clone(),
                offered: agents.offered,
                answered: agents.answered,
                declined: agents.declined,
                while_busy: agents.while_busy,
                failures: agents.failures.clone(),
            }),
            media: media(figures),
            generator: Generator {
                cpu_pct: 100.0 * (last.own.cpu_s - begin.own.cpu_s) / own_s.max(0.001),
                packets_late_ms: figures.late.quantiles(),
                calls_late_ms: driver.start_late().map(Times::quantiles).unwrap_or_default(),
                dropped,
                left_out: figures.counts.left_out,
            },
            server: self.server_pid.map(|pid| self.server(pid, driver, &begin, &last)),
            machine_idle_pct: 100.0 * (last.idle_ticks - begin.idle_ticks) as f64 / all_ticks as f64,
            seconds: self.seconds.clone(),
            outcomes: driver.outcomes().to_vec(),
            sample: figures.sample.clone(),
            ..Report::default()
        };
        report.judge();
        report
    }

    fn calls(&self, driver: &Driver) -> Option<Calls> {
        let (figures, times) = driver.calls()?;
        let over_s = driver.calls_over().as_us() as f64 / 1e6;
        Some(Calls {
            due: figures.due,
            over_limit: figures.over_limit,
            started: figures.started,
            answered: figures.answered,
            completed: figures.completed,
            reached_agent: figures.reached,
            gave_up: figures.gave_up,
            failed: figures.failed,
            failed_by_cause: figures.causes.clone(),
            most_at_once: self.most_at_once as u64,
            per_s: if over_s > 0.0 { (figures.started - 1) as f64 / over_s } else { 0.0 },
            setup_ms: times.setup.quantiles(),
            post_dial_ms: times.ringing.quantiles(),
            to_agent_ms: times.to_agent.quantiles(),
            agent_answer_ms: times.agent_answered.quantiles(),
            connected_ms: times.connected.quantiles(),
            first_words_ms: times.first_words.quantiles(),
        })
    }

    fn server(&self, pid: u32, driver: &Driver, begin: &Look, last: &Look) -> ServerReport {
        let window = self.full.filter(|(from, to)| to - from >= WINDOW_LOOKS_MIN);
        let (from, to) = window.map_or((*begin, *last), |(from, to)| (self.looks[from], self.looks[to]));
        let seconds = to.at.since(from.at).as_us() as f64 / 1e6;
        let net =
            |from: &Look, to: &Look, seconds: f64| (to.server.cpu_s - from.server.cpu_s) - self.idle_cpu * seconds;
        let minutes = (to.call_s - from.call_s) / 60.0;
        let whole = last.at.since(begin.at).as_us() as f64 / 1e6;
        let calls = driver.calls().map_or(0, |(figures, _)| figures.started);
        let calls = if calls == 0 { driver.agents().map_or(0, |agents| agents.answered) } else { calls };
        let most_talking = self.looks.iter().map(|look| look.talking).max().unwrap_or(0);
        let resident_most = self.resident_most_kib.max(last.server.resident_kib);
        let more_kib = resident_most.saturating_sub(begin.server.resident_kib) as f64;
        ServerReport {
            pid,
            idle_cpu_pct: 100.0 * self.idle_cpu,
            cpu_pct: if seconds > 0.0 { 100.0 * (to.server.cpu_s - from.server.cpu_s) / seconds } else { 0.0 },
            window_s: seconds,
            cpu_s_per_call_minute: (minutes > 0.0).then(|| net(&from, &to, seconds) / minutes),
            cpu_ms_per_call: (calls > 0).then(|| 1_000.0 * net(begin, last, whole) / calls as f64),
            resident_begin_mib: begin.server.resident_kib as f64 / 1_024.0,
            resident_most_mib: resident_most as f64 / 1_024.0,
            resident_kib_per_call: (most_talking > 0).then(|| more_kib / most_talking as f64),
            threads: self.threads,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "what the server spends while idle is by the clock on the wall")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn media(figures: &Figures) -> Media {
    let counts = &figures.counts;
    Media {
        flows: counts.opened,
        flows_encrypted: counts.encrypted,
        sent: counts.sent,
        received: counts.received,
        lost: counts.lost,
        echoed: counts.echoed,
        echoes_lost: counts.marks_lost,
        flows_without_echo: counts.without_echo,
        flows_unheard: counts.unheard,
        gaps: counts.gaps,
        crosstalk: counts.crosstalk,
        unproved: counts.unproved,
        strays: counts.strays,
        round_trip_ms: figures.round_trip.quantiles(),
        one_way_ms: figures.one_way.quantiles(),
        jitter_ms: figures.jitter.quantiles(),
        longest_gap_ms: figures.longest_gap.quantiles(),
        round_trip_curve: figures.round_trip.curve(),
    }
}
