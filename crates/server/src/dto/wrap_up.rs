//! What agents note of calls.

use schemars::JsonSchema;
use serde::Serialize;

use super::Named;
use crate::time::rfc3339;
use crate::view::WrapUpEntry;

/// What an agent noted of a call.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "WrapUp")]
pub struct WrapUpDto {
    /// Who.
    agent: Named,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// What it was about.
    code: Option<String>,
    /// In words; null where there are none, or they are forgotten.
    note: Option<String>,
}

impl From<&WrapUpEntry> for WrapUpDto {
    fn from(entry: &WrapUpEntry) -> Self {
        let WrapUpEntry { agent, name, at, code, note } = entry;
        let agent = Named { id: agent.to_string(), name: name.clone() };
        Self { agent, at: rfc3339(*at), code: code.clone(), note: note.clone() }
    }
}
