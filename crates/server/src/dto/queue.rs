//! Queues, opening hours and callbacks.

use offhook_call::view::{CallbackView, Expected, ForecastFigures, HoursView, QuantileFigures, QueueView};
use schemars::JsonSchema;
use serde::Serialize;

use crate::time::rfc3339;

/// A queue now.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Queue {
    /// Which queue.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Contacts waiting, those whose offer is open included.
    waiting: u32,
    /// How long the one at the head has waited.
    longest_wait_ms: u64,
    /// Agents logged in, whatever their state.
    agents_logged_in: u32,
    /// Of these, available now.
    agents_available: u32,
    /// Contacts being served.
    talking: u32,
    /// Its hours, where it has any.
    hours: Option<Hours>,
    /// Callbacks that are open, those included that rest.
    callbacks: u32,
    /// How long a caller would wait who came now, where that can be said.
    expected_wait: Option<ExpectedWait>,
    /// Whether it lends agents to other queues now; none where it never does.
    lends: Option<bool>,
    /// Figures since midnight UTC.
    today: QueueToday,
}

/// A queue's figures since midnight UTC.
#[derive(Debug, JsonSchema, Serialize)]
struct QueueToday {
    /// Visits that began.
    offered: u64,
    /// Visits that ended answered.
    answered: u64,
    /// Visits that ended abandoned.
    abandoned: u64,
    /// Visits that ended flowed out.
    flowed_out: u64,
    /// Service level in percent by the queue's formula, where it is defined.
    service_level_percent: Option<f64>,
    /// The formula's name.
    service_level_formula: &'static str,
    /// Mean wait of the answered.
    average_speed_of_answer_ms: Option<u64>,
    /// What was said of waits since midnight UTC, and what became of it.
    forecasts: Forecasts,
}

/// How long a caller would wait who came now: half of all such waits end within p50, four of five within p80.
#[derive(Debug, JsonSchema, Serialize)]
struct ExpectedWait {
    place: u32,
    agents: u32,
    p50_ms: u64,
    p80_ms: u64,
}

impl From<&Expected> for ExpectedWait {
    fn from(expected: &Expected) -> Self {
        let Expected { place, agents, p50, p80 } = *expected;
        Self { place, agents, p50_ms: p50.as_ms(), p80_ms: p80.as_ms() }
    }
}

/// Forecasts of waits, held against what happened.
#[derive(Debug, JsonSchema, Serialize)]
struct Forecasts {
    made: u64,
    p50: Quantile,
    p80: Quantile,
}

impl From<&ForecastFigures> for Forecasts {
    fn from(figures: &ForecastFigures) -> Self {
        let ForecastFigures { made, p50, p80 } = figures;
        Self { made: *made, p50: p50.into(), p80: p80.into() }
    }
}

/// One quantile of the forecasts.
#[derive(Debug, JsonSchema, Serialize)]
struct Quantile {
    within: u64,
    beyond: u64,
    coverage_percent: Option<f64>,
    mean_loss_ms: Option<u64>,
}

impl From<&QuantileFigures> for Quantile {
    fn from(figures: &QuantileFigures) -> Self {
        let QuantileFigures { within, beyond, answered: _, loss: _ } = figures;
        let coverage_percent = figures.coverage().map(|hundredths| f64::from(hundredths) / 100.0);
        let mean_loss_ms = figures.mean_loss().map(offhook_units::Span::as_ms);
        Self { within: *within, beyond: *beyond, coverage_percent, mean_loss_ms }
    }
}

impl From<&QueueView> for Queue {
    fn from(view: &QueueView) -> Self {
        let QueueView {
            id,
            name,
            waiting,
            longest_wait,
            agents_logged_in,
            agents_available,
            talking,
            offered,
            answered,
            abandoned,
            flowed_out,
            service_level,
            service_level_formula,
            asa,
            expected_wait,
            forecasts,
            lends,
            hours,
            callbacks,
        } = view;
        Self {
            id: id.to_string(),
            name: name.clone(),
            waiting: *waiting,
            longest_wait_ms: longest_wait.as_ms(),
            agents_logged_in: *agents_logged_in,
            agents_available: *agents_available,
            talking: *talking,
            hours: hours.as_ref().map(Hours::from),
            callbacks: *callbacks,
            expected_wait: expected_wait.as_ref().map(ExpectedWait::from),
            lends: *lends,
            today: QueueToday {
                offered: *offered,
                answered: *answered,
                abandoned: *abandoned,
                flowed_out: *flowed_out,
                service_level_percent: service_level.map(|hundredths| f64::from(hundredths) / 100.0),
                service_level_formula,
                average_speed_of_answer_ms: asa.map(offhook_units::Span::as_ms),
                forecasts: forecasts.into(),
            },
        }
    }
}

/// Opening hours now.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Hours {
    /// Name of the calendar.
    calendar: String,
    /// Its time zone.
    zone: String,
    /// Open now.
    open: bool,
    /// When that changes; none where it stays so for a year and more.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
}

impl From<&HoursView> for Hours {
    fn from(view: &HoursView) -> Self {
        let HoursView { name, zone, open, until } = view;
        Self { calendar: name.clone(), zone: zone.clone(), open: *open, until: until.map(rfc3339) }
    }
}

/// Somebody who is to be called back.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Callback {
    /// Which.
    pub id: String,
    /// The call in which it was asked for.
    call: String,
    /// Name of the queue.
    queue: String,
    /// The number that is called; none where it was forgotten.
    number: Option<String>,
    /// When it was asked for.
    #[schemars(extend("format" = "date-time"))]
    asked: String,
    /// Nobody is called after this.
    #[schemars(extend("format" = "date-time"))]
    until: String,
    /// How often the customer was tried.
    tried: u32,
    /// When it waits again, where it does not wait now.
    #[schemars(extend("format" = "date-time"))]
    rests_until: Option<String>,
    /// Its place in the queue, 1 for the next one, while waiting.
    position: Option<u32>,
}

impl From<&CallbackView> for Callback {
    fn from(view: &CallbackView) -> Self {
        let CallbackView { id, call, queue, number, asked, until, tried, rests_until, position } = view;
        Self {
            id: id.to_string(),
            call: call.to_string(),
            queue: queue.clone(),
            number: number.clone(),
            asked: rfc3339(*asked),
            until: rfc3339(*until),
            tried: *tried,
            rests_until: rests_until.map(rfc3339),
            position: *position,
        }
    }
}
