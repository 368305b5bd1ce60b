//! Queues, opening hours and callbacks.

use offhook_call::view::{CallbackView, Expected, ForecastFigures, HoursView, QuantileFigures, QueueView};
use serde::Serialize;

use crate::time::rfc3339;

/// A queue now.
#[derive(Debug, Serialize)]
pub struct Queue {
    pub id: String,
    pub name: String,
    waiting: u32,
    longest_wait_ms: u64,
    agents_logged_in: u32,
    agents_available: u32,
    talking: u32,
    hours: Option<Hours>,
    callbacks: u32,
    expected_wait: Option<ExpectedWait>,
    lends: Option<bool>,
    today: QueueToday,
}

/// A queue's figures since midnight UTC.
#[derive(Debug, Serialize)]
struct QueueToday {
    offered: u64,
    answered: u64,
    abandoned: u64,
    flowed_out: u64,
    service_level_percent: Option<f64>,
    service_level_formula: &'static str,
    average_speed_of_answer_ms: Option<u64>,
    forecasts: Forecasts,
}

/// How long a caller would wait who came now: half of all such waits end within p50, four of five within p80.
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
pub struct Hours {
    calendar: String,
    zone: String,
    open: bool,
    until: Option<String>,
}

impl From<&HoursView> for Hours {
    fn from(view: &HoursView) -> Self {
        let HoursView { name, zone, open, until } = view;
        Self { calendar: name.clone(), zone: zone.clone(), open: *open, until: until.map(rfc3339) }
    }
}

/// Somebody who is to be called back.
#[derive(Debug, Serialize)]
pub struct Callback {
    id: String,
    call: String,
    queue: String,
    number: Option<String>,
    asked: String,
    until: String,
    tried: u32,
    rests_until: Option<String>,
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
