//! Reports: queues and agents by interval, recomputed from the event log, as JSON or CSV.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use offhook_acd::{AgentFigures, AgentKind, Formula, INTERVAL, QueueFigures};
use offhook_call::numbers::NumberFigures;
use offhook_units::{AgentId, QueueId, Span, Tick};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::api::{Shared, bad_request};
use crate::problem::Problem;
use crate::time::rfc3339;
use crate::view::{ReportOf, Reported};

/// Most days of one report; a longer one is refused.
pub const REPORT_DAYS_MAX: i32 = 400;
/// Most rows of one report; one with more is refused.
pub const REPORT_ROWS_MAX: usize = 50_000;

/// One report is made at a time: each reads a part of the log, and calls go before.
static TURN: Semaphore = Semaphore::const_new(1);

/// What each figure is, as the answer tells it.
const QUEUE_FORMULAS: [(&str, &str); 9] = [
    ("offered", "visits that entered the queue in the interval; every figure of visits is of these"),
    ("waiting", "offered - answered - abandoned - flowed_out"),
    ("answered_in_time", "answered with a wait of at most the queue's threshold"),
    ("average_speed_of_answer_ms", "sum of the waits of the answered / answered"),
    ("mean_abandon_wait_ms", "sum of the waits of the abandoned / abandoned"),
    ("abandonment_percent", "abandoned / offered"),
    ("longest_wait_ms", "of the answered, the abandoned and those who flowed out"),
    ("handled", "contacts that ended in the interval after an agent served them"),
    ("average_handling_time_ms", "(talk + hold + wrap-up) / handled"),
];
const AGENT_FORMULAS: [(&str, &str); 4] = [
    ("signed_in_ms", "available + offered + busy + wrap-up + not ready"),
    ("occupancy_percent", "(busy + wrap-up) / (busy + wrap-up + available)"),
    ("answer_rate_percent", "accepted / offers"),
    ("average_handling_time_ms", "(talk + hold + wrap-up) / handled"),
];

const NUMBER_FORMULAS: [(&str, &str); 7] = [
    ("calls", "calls to the number that began in the interval; every figure is of these"),
    ("answered", "an agent answered, or the phone that the number dials"),
    ("abandoned", "the caller hung up before that"),
    ("unserved", "ended otherwise before that: closed, full, last words, a callback asked for"),
    ("average_wait_ms", "sum of the times from the call's begin to the answer / answered"),
    ("answered_percent", "answered / calls"),
    ("average_talk_ms", "sum of the times from the answer to the end / answered calls that have ended"),
];

/// How long one row lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Per {
    #[serde(rename = "15m")]
    QuarterHour,
    #[serde(rename = "30m")]
    HalfHour,
    #[serde(rename = "hour")]
    Hour,
    #[serde(rename = "day")]
    Day,
    #[serde(rename = "month")]
    Month,
    #[serde(rename = "total")]
    Total,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    Json,
    Csv,
}

/// What is asked of a report.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReportQuery")]
pub struct Wanted {
    /// The first day, by the clocks of `zone`; today where nothing is said.
    #[schemars(extend("format" = "date"))]
    from: Option<String>,
    /// The last day, at most 400 days with the first; the first one where nothing is said.
    #[schemars(extend("format" = "date"))]
    until: Option<String>,
    /// How long one row lasts; a day where nothing is said.
    per: Option<Per>,
    /// A name of the time zone database, such as `Europe/Berlin`; UTC where nothing is said.
    zone: Option<String>,
    /// JSON where nothing is said.
    format: Option<Format>,
}

/// Which part of the log, and how it is cut into rows.
#[derive(Debug)]
struct Cut {
    from: Tick,
    until: Tick,
    per: Per,
    zone: TimeZone,
    zone_name: String,
    format: Format,
}

impl Cut {
    fn read(wanted: Wanted, now: Tick) -> Result<Self, Problem> {
        let zone_name = wanted.zone.unwrap_or_else(|| "UTC".to_owned());
        let zone = TimeZone::get(&zone_name).map_err(|_| {
            Problem::new(StatusCode::NOT_FOUND, "there is no such time zone: say for example Europe/Berlin")
        })?;
        let day = |text: &str| -> Result<Date, Problem> {
            text.parse().map_err(|_| bad_request("from and until are days, such as 2026-11-28"))
        };
        let today = || timestamp(now).map_or(Date::MIN, |now| zone.to_datetime(now).date());
        let first = wanted.from.as_deref().map(day).transpose()?.unwrap_or_else(today);
        let last = wanted.until.as_deref().map(day).transpose()?.unwrap_or(first);
        let days = (last - first).get_days();
        if last < first || days >= REPORT_DAYS_MAX {
            return Err(bad_request(format!("until is the last day, from `from` to {REPORT_DAYS_MAX} days on")));
        }
        let midnight = |day: Date| -> Result<Tick, Problem> {
            midnight(&zone, day).ok_or_else(|| bad_request("days are from 1970-01-02 on"))
        };
        let after = last.checked_add(1.day()).map_err(|_| bad_request("this day is out of range"))?;
        Ok(Self {
            from: midnight(first)?,
            until: midnight(after)?,
            per: wanted.per.unwrap_or(Per::Day),
            zone,
            zone_name,
            format: wanted.format.unwrap_or(Format::Json),
        })
    }

    /// When each row begins, and where the last one ends.
    fn bounds(&self) -> Vec<Tick> {
        let steps = (self.until - self.from).as_us() / INTERVAL.as_us();
        let mut bounds: Vec<Tick> = (0..steps).map(|step| self.row_of(self.from + INTERVAL * step)).collect();
        bounds.dedup();
        bounds.push(self.until);
        bounds
    }

    /// When the row begins to which a quarter of an hour belongs.
    fn row_of(&self, began: Tick) -> Tick {
        let Some(at) = timestamp(began) else { return began };
        let local = self.zone.to_datetime(at);
        // Offsets from UTC are whole quarters of an hour wherever people work.
        let into = |minutes: i8| began.before(Span::from_s(60 * u64::from(minutes.unsigned_abs())));
        let begin = match self.per {
            Per::QuarterHour => began,
            Per::HalfHour => into(local.minute() % 30),
            Per::Hour => into(local.minute()),
            Per::Day => midnight(&self.zone, local.date()).unwrap_or(began),
            Per::Month => midnight(&self.zone, local.date().first_of_month()).unwrap_or(began),
            Per::Total => self.from,
        };
        begin.max(self.from)
    }

    /// As people there write it, with the offset.
    fn written(&self, at: Tick) -> String {
        let Some(instant) = timestamp(at) else { return rfc3339(at) };
        instant.display_with_offset(self.zone.to_offset(instant)).to_string()
    }
}

fn timestamp(at: Tick) -> Option<Timestamp> {
    Timestamp::from_microsecond(i64::try_from(at.as_us()).ok()?).ok()
}

/// When a day begins in a place.
fn midnight(zone: &TimeZone, day: Date) -> Option<Tick> {
    let begin = zone.to_timestamp(day.to_datetime(Time::midnight())).ok()?;
    u64::try_from(begin.as_microsecond()).ok().map(Tick::from_us)
}

/// A queue's figures of one stretch of time.
#[derive(Debug, JsonSchema, Serialize)]
pub struct QueueRow {
    /// When it began, in the zone asked for.
    #[schemars(extend("format" = "date-time"))]
    began: String,
    /// Its name; empty where it is gone.
    queue: String,
    /// Its id.
    queue_id: String,
    /// Visits that entered.
    offered: u64,
    /// Of these, answered.
    answered: u64,
    /// Of these, abandoned.
    abandoned: u64,
    /// Of these, sent elsewhere.
    flowed_out: u64,
    /// Of these, still open.
    waiting: u64,
    /// Answered within the threshold.
    answered_in_time: u64,
    /// By the formula that follows; null where its denominator is zero.
    service_level_percent: Option<f64>,
    /// Its name.
    service_level_formula: &'static str,
    /// See `formulas`.
    average_speed_of_answer_ms: Option<u64>,
    /// See `formulas`.
    mean_abandon_wait_ms: Option<u64>,
    /// See `formulas`.
    longest_wait_ms: u64,
    /// See `formulas`.
    abandonment_percent: Option<f64>,
    /// Offers made.
    offers: u64,
    /// Offers declined.
    declined: u64,
    /// Offers not answered.
    missed: u64,
    /// Contacts served to the end.
    handled: u64,
    /// Time in conversation.
    talk_ms: u64,
    /// Time on hold.
    hold_ms: u64,
    /// Time in wrap-up.
    wrap_up_ms: u64,
    /// See `formulas`.
    average_handling_time_ms: Option<u64>,
}

/// An agent's figures of one stretch of time.
#[derive(Debug, JsonSchema, Serialize)]
pub struct AgentRow {
    /// When it began, in the zone asked for.
    #[schemars(extend("format" = "date-time"))]
    began: String,
    /// The name; empty where the agent is gone.
    agent: String,
    /// The id.
    agent_id: String,
    /// Time at work.
    signed_in_ms: u64,
    /// Of this, free.
    available_ms: u64,
    /// Of this, rung.
    offered_ms: u64,
    /// Of this, with a contact.
    busy_ms: u64,
    /// Of this, in wrap-up and with nothing else.
    wrapping_up_ms: u64,
    /// Of this, not ready.
    not_ready_ms: u64,
    /// See `formulas`.
    occupancy_percent: Option<f64>,
    /// Offers made.
    offers: u64,
    /// Offers accepted.
    accepted: u64,
    /// Offers declined.
    declined: u64,
    /// Offers not answered.
    missed: u64,
    /// See `formulas`.
    answer_rate_percent: Option<f64>,
    /// Contacts served to the end.
    handled: u64,
    /// Time in conversation.
    talk_ms: u64,
    /// Time on hold.
    hold_ms: u64,
    /// Time in wrap-up.
    wrap_up_ms: u64,
    /// See `formulas`.
    average_handling_time_ms: Option<u64>,
}

/// A dialled number's figures of one stretch of time.
#[derive(Debug, JsonSchema, Serialize)]
pub struct NumberRow {
    /// When it began, in the zone asked for.
    #[schemars(extend("format" = "date-time"))]
    began: String,
    /// The number.
    number: String,
    /// Calls that began.
    calls: u64,
    /// Of these, answered.
    answered: u64,
    /// Of these, abandoned.
    abandoned: u64,
    /// Of these, ended otherwise.
    unserved: u64,
    /// Of these, up and not answered yet.
    open: u64,
    /// See `formulas`.
    answered_percent: Option<f64>,
    /// See `formulas`.
    average_wait_ms: Option<u64>,
    /// The longest wait of the answered.
    longest_wait_ms: u64,
    /// See `formulas`.
    average_talk_ms: Option<u64>,
}

/// A report.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "ReportOf{R}")]
pub struct ReportAnswer<R> {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// The first instant that counts.
    #[schemars(extend("format" = "date-time"))]
    from: String,
    /// The first one that no longer does.
    #[schemars(extend("format" = "date-time"))]
    until: String,
    /// As it was asked for.
    zone: String,
    /// What the figures are.
    formulas: BTreeMap<&'static str, &'static str>,
    /// By time, and within one time by id.
    rows: Vec<R>,
}

/// `GET /api/v1/reports/queues?from=2026-11-01&until=2026-11-30&per=day&zone=Europe/Berlin&format=csv`.
pub async fn queues(
    State(shared): State<Shared>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let cut = Cut::asked(&shared, query)?;
    let reported = make(&shared, ReportOf::Queues, &cut).await?;
    let row = |(began, queue, figures): (Tick, QueueId, &QueueFigures)| {
        let (name, formula) = reported.queues.get(&queue).cloned().unwrap_or_default();
        cut.queue_row(began, queue.to_string(), cut.text(name), formula, figures)
    };
    let rows = reported.report.queues().map(row).collect();
    cut.answer(&shared, "queues", &QUEUE_FORMULAS, rows)
}

/// `GET /api/v1/reports/agents`, with the same questions.
pub async fn agents(
    State(shared): State<Shared>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let cut = Cut::asked(&shared, query)?;
    let reported = make(&shared, ReportOf::Agents, &cut).await?;
    let row = |(began, agent, figures): (Tick, AgentId, &AgentFigures)| {
        let name = reported.agents.get(&agent).cloned().unwrap_or_default();
        cut.agent_row(began, agent.to_string(), cut.text(name), figures)
    };
    let rows = reported.report.agents().map(row).collect();
    cut.answer(&shared, "agents", &AGENT_FORMULAS, rows)
}

/// `GET /api/v1/reports/numbers`, with the same questions.
pub async fn numbers(
    State(shared): State<Shared>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let cut = Cut::asked(&shared, query)?;
    let _turn = TURN.acquire().await;
    let report = shared.view.number_report(cut.bounds(), REPORT_ROWS_MAX).await?;
    let row = |(began, number, figures): (Tick, &str, &NumberFigures)| {
        let mean = |sum: Span, of: u64| (of > 0).then(|| (sum / of).as_ms());
        NumberRow {
            began: cut.written(began),
            number: cut.text(number.to_owned()),
            calls: figures.calls,
            answered: figures.answered,
            abandoned: figures.abandoned,
            unserved: figures.unserved,
            open: figures.open(),
            answered_percent: share(figures.answered, figures.calls),
            average_wait_ms: mean(figures.wait, figures.answered),
            longest_wait_ms: figures.longest_wait.as_ms(),
            average_talk_ms: mean(figures.talk, figures.ended),
        }
    };
    let rows = report.numbers().map(row).collect();
    cut.answer(&shared, "numbers", &NUMBER_FORMULAS, rows)
}

async fn make(shared: &Shared, of: ReportOf, cut: &Cut) -> Result<Reported, Problem> {
    // The semaphore is never closed.
    let _turn = TURN.acquire().await;
    Ok(shared.view.report(of, cut.bounds(), REPORT_ROWS_MAX).await?)
}

pub const fn percent(hundredths: Option<u32>) -> Option<f64> {
    match hundredths {
        Some(hundredths) => Some(hundredths as f64 / 100.0),
        None => None,
    }
}

pub fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 * 10_000.0 / whole as f64).round() / 100.0)
}

/// (talk + hold + wrap-up) / handled.
pub fn handling(figures: &AgentFigures) -> Option<Span> {
    let AgentFigures { talk, hold, wrap_up, handled, .. } = *figures;
    (handled > 0).then(|| (talk + hold + wrap_up) / u64::from(handled))
}

/// When the days from `from` to `until` begin and end, as a report counts them.
pub fn days(
    from: Option<String>,
    until: Option<String>,
    zone: Option<String>,
    now: Tick,
) -> Result<(Tick, Tick), Problem> {
    let cut = Cut::read(Wanted { from, until, per: None, zone, format: None }, now)?;
    Ok((cut.from, cut.until))
}

impl Cut {
    fn asked(shared: &Shared, query: Result<Query<Wanted>, QueryRejection>) -> Result<Self, Problem> {
        let Query(wanted) = query.map_err(|error| bad_request(error.body_text()))?;
        Self::read(wanted, shared.view.now())
    }

    /// A name as it may stand in the answer: in a table no program takes it for a formula.
    fn text(&self, name: String) -> String {
        let is_formula = name.starts_with(['=', '+', '-', '@', '\t', '\r']);
        if self.format == Format::Csv && is_formula { format!("'{name}") } else { name }
    }

    fn queue_row(
        &self,
        began: Tick,
        queue_id: String,
        queue: String,
        formula: Formula,
        figures: &QueueFigures,
    ) -> QueueRow {
        QueueRow {
            began: self.written(began),
            queue,
            queue_id,
            offered: figures.offered,
            answered: figures.answered,
            abandoned: figures.abandoned,
            flowed_out: figures.flowed_out,
            waiting: figures.waiting(),
            answered_in_time: figures.answered_in_time,
            service_level_percent: percent(figures.service_level(formula)),
            service_level_formula: formula.name(),
            average_speed_of_answer_ms: figures.asa().map(Span::as_ms),
            mean_abandon_wait_ms: figures.mean_abandon_wait().map(Span::as_ms),
            longest_wait_ms: figures.longest_wait.as_ms(),
            abandonment_percent: percent(figures.abandonment()),
            offers: figures.offers,
            declined: figures.declined,
            missed: figures.missed,
            handled: figures.handled,
            talk_ms: figures.talk.as_ms(),
            hold_ms: figures.hold.as_ms(),
            wrap_up_ms: figures.wrap_up.as_ms(),
            average_handling_time_ms: figures.aht().map(Span::as_ms),
        }
    }

    fn agent_row(&self, began: Tick, agent_id: String, agent: String, figures: &AgentFigures) -> AgentRow {
        let AgentFigures { talk, hold, wrap_up, handled, .. } = *figures;
        let spent = |kind| figures.time_in(kind).as_ms();
        let signed_in = figures.in_state.iter().fold(Span::ZERO, |sum, span| sum + *span);
        AgentRow {
            began: self.written(began),
            agent,
            agent_id,
            signed_in_ms: signed_in.as_ms(),
            available_ms: spent(AgentKind::Available),
            offered_ms: spent(AgentKind::Offered),
            busy_ms: spent(AgentKind::Busy),
            wrapping_up_ms: spent(AgentKind::WrapUp),
            not_ready_ms: spent(AgentKind::NotReady),
            occupancy_percent: percent(figures.occupancy()),
            offers: figures.offers.into(),
            accepted: figures.accepted.into(),
            declined: figures.declined.into(),
            missed: figures.missed.into(),
            answer_rate_percent: share(figures.accepted.into(), figures.offers.into()),
            handled: handled.into(),
            talk_ms: talk.as_ms(),
            hold_ms: hold.as_ms(),
            wrap_up_ms: wrap_up.as_ms(),
            average_handling_time_ms: handling(figures).map(Span::as_ms),
        }
    }

    fn answer<R: Serialize>(
        &self,
        shared: &Shared,
        what: &str,
        formulas: &[(&'static str, &'static str)],
        rows: Vec<R>,
    ) -> Result<Response, Problem> {
        match self.format {
            Format::Json => Ok(Json(ReportAnswer {
                at: rfc3339(shared.view.now()),
                from: self.written(self.from),
                until: self.written(self.until),
                zone: self.zone_name.clone(),
                formulas: formulas.iter().copied().collect(),
                rows,
            })
            .into_response()),
            Format::Csv => {
                let table = table(&rows).map_err(|error| {
                    tracing::error!(%error, "a report could not be written as CSV");
                    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the table could not be written")
                })?;
                let name = format!("attachment; filename=\"{what}.csv\"");
                let headers =
                    [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)];
                Ok((headers, table).into_response())
            }
        }
    }
}

/// RFC 4180, with a line of names. A report without rows is empty.
fn table<R: Serialize>(rows: &[R]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}
