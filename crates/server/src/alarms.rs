//! Alarms: those that are raised, and what happens to them.

use axum::Json;
use axum::extract::State;
use offhook_call::alarm::{AlarmEvent, AlarmView, Measure};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::Shared;
use crate::time::rfc3339;

/// All alarms that are raised.
#[derive(JsonSchema, Serialize)]
pub struct AlarmList {
    /// When the answer was made.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// By name, then by what they are of.
    alarms: Vec<Alarm>,
}

/// An alarm that is raised.
#[derive(JsonSchema, Serialize)]
struct Alarm {
    /// As the configuration calls it.
    name: String,
    /// Of which queue, trunk or disk.
    subject: String,
    /// What is watched: contacts, seconds, percent, agents, 1 for a trunk that is down, MB, recordings.
    #[schemars(extend("enum" = Measure::ALL.map(|(_, name)| name)))]
    measure: &'static str,
    /// The figure as it was last.
    value: u64,
    /// Its threshold.
    limit: u64,
    /// Since when.
    #[schemars(extend("format" = "date-time"))]
    since: String,
}

impl From<&AlarmView> for Alarm {
    fn from(view: &AlarmView) -> Self {
        let AlarmView { alarm, subject, measure, value, limit, since } = view;
        let (name, subject, since) = (alarm.clone(), subject.clone(), rfc3339(*since));
        Self { name, subject, measure, value: *value, limit: *limit, since }
    }
}

/// `GET /api/v1/alarms`.
pub async fn list(State(shared): State<Shared>) -> Json<AlarmList> {
    let alarms = shared.view.alarms().iter().map(Alarm::from).collect();
    Json(AlarmList { at: rfc3339(shared.view.now()), alarms })
}

/// An alarm was raised, or is over.
#[derive(JsonSchema, Serialize)]
pub struct AlarmChanged {
    /// As the configuration calls it.
    name: String,
    /// Of which queue, trunk or disk.
    subject: String,
    /// Whether it is raised.
    raised: bool,
    /// What is watched, where it is raised.
    measure: Option<String>,
    /// The figure, where it is raised.
    value: Option<u64>,
    /// Its threshold, where it is raised.
    limit: Option<u64>,
}

impl From<&AlarmEvent> for AlarmChanged {
    fn from(event: &AlarmEvent) -> Self {
        match event {
            AlarmEvent::Raised { alarm, subject, measure, value, limit } => Self {
                name: alarm.clone(),
                subject: subject.clone(),
                raised: true,
                measure: Some(measure.clone()),
                value: Some(*value),
                limit: Some(*limit),
            },
            AlarmEvent::Cleared { alarm, subject } => Self {
                name: alarm.clone(),
                subject: subject.clone(),
                raised: false,
                measure: None,
                value: None,
                limit: None,
            },
        }
    }
}
