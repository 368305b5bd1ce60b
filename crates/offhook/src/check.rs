//! `offhook check FILE`: everything that is wrong with a configuration, at once.

#![expect(clippy::disallowed_methods, reason = "the command line says what is open now")]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use offhook_call::calendar::{Calendar, Date, Zone};
use offhook_units::{Span, Tick};
use serde::Serialize;

use crate::config::{self, Checked, Http};
use crate::recording::{CopySettings, Hours as PeakHours, price};

/// Checks a configuration.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The configuration, such as config/offhook.toml.
    pub file: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What a good configuration is, in numbers.
#[derive(Debug, Serialize)]
struct Summary {
    name: String,
    sip: Vec<String>,
    http: Option<String>,
    trunks: usize,
    numbers: usize,
    flows: usize,
    queues: usize,
    agents: usize,
    accounts: usize,
    prompts: usize,
    calendars: Vec<Hours>,
    copies: Option<Copies>,
}

/// What copies of recordings cost here.
#[derive(Debug, Serialize)]
struct Copies {
    format: &'static str,
    /// CPU milliseconds for each second of a recording, on this machine.
    cpu_ms_per_s: f64,
    cpu_percent: u32,
    /// Hours of recordings for which there is room each day; none where nothing is encoded.
    hours_a_day: Option<f64>,
    at_once: bool,
}

impl Copies {
    fn of(settings: &CopySettings) -> Option<Self> {
        let price = price(settings.format).ok()?;
        let last = settings.hours.as_ref().map_or(Span::from_s(86_400), PeakHours::last);
        let cpu_s = last.as_s() as f64 * f64::from(settings.cpu_percent) / 100.0;
        Some(Self {
            format: settings.format.name(),
            cpu_ms_per_s: price * 1_000.0,
            cpu_percent: settings.cpu_percent,
            hours_a_day: (price > 0.0).then(|| cpu_s / price / 3_600.0),
            at_once: settings.hours.is_none(),
        })
    }

    fn text(&self) -> String {
        let Self { format, cpu_ms_per_s, cpu_percent, hours_a_day, at_once } = self;
        let when = if *at_once { "as soon as they are closed" } else { "off-peak" };
        let room = hours_a_day
            .map_or_else(String::new, |hours| format!(", which is room for {hours:.0} hours of recordings a day"));
        format!(
            "\ncopies of recordings in {format}, {when}: {cpu_ms_per_s:.1} ms of CPU for each second of a recording on this machine, \
             within {cpu_percent} % of a core{room}"
        )
    }
}

/// A calendar now; times by its own clocks.
#[derive(Debug, Serialize)]
struct Hours {
    name: String,
    zone: String,
    open: bool,
    until: Option<String>,
}

impl Hours {
    fn of(calendar: &Calendar, now: Tick) -> Self {
        let opening = calendar.opening(now);
        let until = opening.until.map(|until| local(&calendar.zone, until));
        Self { name: calendar.name.clone(), zone: calendar.zone.name.clone(), open: opening.open, until }
    }

    fn text(&self) -> String {
        let Self { name, zone, open, until } = self;
        let (is, then) = if *open { ("open", "closes") } else { ("closed", "opens") };
        let then = until.as_ref().map_or_else(|| "and stays so".to_owned(), |until| format!("{then} {until}"));
        format!("\ncalendar {name} ({zone}): {is}, {then}")
    }
}

/// What the clocks of a place show, such as `Mon 2026-11-30 08:00`.
fn local(zone: &Zone, at: Tick) -> String {
    const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let seconds = at.as_us() as i64 / 1_000_000 + i64::from(zone.ahead(at));
    let (date, minutes) = (Date::from_days(seconds.div_euclid(86_400)), seconds.rem_euclid(86_400) / 60);
    let Date { year, month, day } = date;
    format!("{} {year:04}-{month:02}-{day:02} {:02}:{:02}", WEEKDAYS[date.weekday()], minutes / 60, minutes % 60)
}

impl Summary {
    fn of(checked: &Checked, now: Tick) -> Self {
        Self {
            name: checked.name.clone(),
            sip: checked
                .sip_listen
                .iter()
                .map(|listen| format!("{}:{}", listen.transport.name().to_lowercase(), listen.address))
                .collect(),
            http: checked.http.as_ref().map(Http::address),
            trunks: checked.trunks.len(),
            numbers: checked.numbers.len(),
            flows: checked.menus.len(),
            queues: checked.queues.len(),
            agents: checked.agents.len(),
            accounts: checked.accounts.len(),
            prompts: checked.sounds.iter().filter(|sound| sound.is_file()).count(),
            calendars: checked.calendars.iter().map(|calendar| Hours::of(calendar, now)).collect(),
            copies: checked.recording.copies.as_ref().and_then(Copies::of),
        }
    }

    fn text(&self) -> String {
        let Self { name, sip, http, trunks, numbers, flows, queues, agents, accounts, prompts, calendars, copies } =
            self;
        let http = http.as_deref().unwrap_or("no HTTP");
        let calendars: String = calendars.iter().map(Hours::text).collect();
        let copies = copies.as_ref().map(Copies::text).unwrap_or_default();
        format!(
            "{name}: SIP on {}, {http}\n{}, {}, {}, {}, {}, {}, {}{calendars}{copies}",
            sip.join(" and "),
            count(*trunks, "trunk"),
            count(*numbers, "number"),
            count(*flows, "flow"),
            count(*queues, "queue"),
            count(*agents, "agent"),
            count(*accounts, "account"),
            count(*prompts, "prompt"),
        )
    }
}

pub(crate) fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Checks, reports, and exits with 1 where the exchange could not start.
pub fn run(args: &CheckArgs) -> ExitCode {
    let checked = config::check(&args.file);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Tick::from_us(now.as_micros() as u64);
    let (faults, summary) = match &checked {
        Ok(checked) => (&checked.warnings, Some(Summary::of(checked, now))),
        Err(faults) => (faults, None),
    };
    let good = summary.is_some();
    if args.json {
        println!("{}", serde_json::json!({ "ok": good, "faults": faults.json(), "summary": summary }));
    } else {
        eprint!("{}", faults.graphical(std::io::stderr().is_terminal()));
        match summary {
            Some(summary) => println!("{} is good.\n{}", args.file.display(), summary.text()),
            None => eprintln!("{}: {}", args.file.display(), count(errors(faults), "fault")),
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub(crate) fn errors(faults: &config::Faults) -> usize {
    faults.list.iter().filter(|fault| !fault.warning).count()
}

#[cfg(test)]
mod tests {
    use offhook_recorder::Format;

    use super::*;

    #[test]
    fn what_copies_cost_is_measured_here_and_told_with_how_many_hours_there_is_room_for() {
        let hours = PeakHours { from: Span::from_s(79_200), until: Span::from_s(18_000), zone: Zone::utc() };
        let settings = CopySettings { format: Format::Opus, hours: Some(hours), cpu_percent: 25 };
        let copies = Copies::of(&settings).expect("measured");
        assert!(copies.cpu_ms_per_s > 0.0);
        // A quarter of a core for seven hours.
        let room = copies.hours_a_day.expect("room");
        assert!((room * copies.cpu_ms_per_s / 1_000.0 - 1.75).abs() < 1e-9, "{copies:?}");
        let text = copies.text();
        for words in ["copies of recordings in opus, off-peak", "within 25 % of a core", "hours of recordings a day"] {
            assert!(text.contains(words), "{text}");
        }
        let wav = Copies::of(&CopySettings { format: Format::Wav, hours: None, cpu_percent: 50 }).expect("measured");
        assert_eq!((wav.hours_a_day, wav.at_once), (None, true));
        assert!(!wav.text().contains("hours of recordings"), "{}", wav.text());
    }
}
