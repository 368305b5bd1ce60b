//! Errors on the wire: RFC 9457 problem details.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use offhook_call::guests::Denied;

use crate::view::{GuestError, ReportFault, SetAgentError, Unavailable};

/// One error answer, `application/problem+json`.
#[derive(Debug, Clone, JsonSchema, Serialize)]
pub struct Problem {
    /// `about:blank` where the status says what kind it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// As the answer's own.
    status: u16,
    /// What is wrong, and what to do about it.
    detail: String,
}

impl Problem {
    /// With `status` and what the client should know.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { r#type: "about:blank", title, status: status.as_u16(), detail: detail.into() }
    }
}

impl Problem {
    /// The same, of a kind that the status does not tell.
    #[must_use]
    pub fn of_type(self, r#type: &'static str) -> Self {
        Self { r#type, ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"offhook\""));
            }
            _ => {}
        }
        response
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<ReportFault> for Problem {
    fn from(fault: ReportFault) -> Self {
        match fault {
            ReportFault::TooLarge => Self::new(StatusCode::BAD_REQUEST, fault.to_string()),
            ReportFault::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

impl From<GuestError> for Problem {
    fn from(error: GuestError) -> Self {
        let status = match &error {
            GuestError::Denied(Denied::NoCall(_) | Denied::NoAgent(_) | Denied::NoQueue(_)) => StatusCode::NOT_FOUND,
            GuestError::Denied(Denied::NotAllowed(_)) => StatusCode::FORBIDDEN,
            GuestError::Denied(
                Denied::NotTalking
                | Denied::NotWaiting
                | Denied::NotAsked
                | Denied::NoOffer
                | Denied::NoWrapUp
                | Denied::NoGuest
                | Denied::NoCode
                | Denied::CodeWanted
                | Denied::CannotTake(_)
                | Denied::Elsewhere(_)
                | Denied::Unreachable(_)
                | Denied::Number(_)
                | Denied::Full(_),
            ) => StatusCode::CONFLICT,
            GuestError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let kind = match &error {
            GuestError::Denied(denied) => kind(denied),
            GuestError::Unavailable(_) => "about:blank",
        };
        Self::new(status, error.to_string()).of_type(kind)
    }
}

/// The type of a problem, by which pages say it in the reader's language.
const fn kind(denied: &Denied) -> &'static str {
    match denied {
        Denied::NoCall(_) => "urn:offhook:no-call",
        Denied::NoAgent(_) => "urn:offhook:no-such-agent",
        Denied::NotAllowed(_) => "urn:offhook:not-allowed",
        Denied::NoQueue(_) => "urn:offhook:no-queue",
        Denied::NotWaiting => "urn:offhook:not-waiting",
        Denied::NotAsked => "urn:offhook:not-asked",
        Denied::CannotTake(_) => "urn:offhook:cannot-take",
        Denied::NoOffer => "urn:offhook:no-offer",
        Denied::NoWrapUp => "urn:offhook:no-wrap-up",
        Denied::NoGuest => "urn:offhook:no-guest",
        Denied::NoCode => "urn:offhook:no-code",
        Denied::CodeWanted => "urn:offhook:wrap-up-code-wanted",
        Denied::NotTalking => "urn:offhook:not-talking",
        Denied::Elsewhere(_) => "urn:offhook:elsewhere",
        Denied::Unreachable(_) => "urn:offhook:unreachable",
        Denied::Number(_) => "urn:offhook:number",
        Denied::Full(_) => "urn:offhook:full",
    }
}

impl From<SetAgentError> for Problem {
    fn from(error: SetAgentError) -> Self {
        let status = match &error {
            SetAgentError::Unknown => StatusCode::NOT_FOUND,
            SetAgentError::Refused(_) => StatusCode::CONFLICT,
            SetAgentError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}
