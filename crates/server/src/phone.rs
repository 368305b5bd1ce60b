//! What the phone page has to know before anybody has signed in: where the SIP of browsers is taken.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::Shared;

/// A listener for SIP over WebSocket (RFC 7118).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebSocketAt {
    /// Inside TLS.
    pub secure: bool,
    /// Where.
    pub address: SocketAddr,
}

/// What is told to everybody who opens the phone page; there is no secret in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PhoneSettings {
    /// The realm of the accounts: the host part of their addresses.
    pub realm: String,
    /// Where their SIP is taken.
    pub websockets: Vec<WebSocketAt>,
    /// The number of an echo that a phone has to hear itself by before it registers.
    pub sound_check: Option<String>,
}

/// What the phone page has to know.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "PhoneSettings")]
pub struct Settings {
    realm: String,
    websockets: Vec<Listener>,
    sound_check: Option<String>,
}

/// Where SIP over WebSocket is taken.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "WebSocketListener")]
struct Listener {
    secure: bool,
    /// Nothing, where it listens on all addresses: then the one that the page came from.
    host: Option<String>,
    port: u16,
}

/// `GET /phone/settings`.
pub async fn settings(State(shared): State<Shared>) -> Json<Settings> {
    let listener = |at: &WebSocketAt| {
        let host = match at.address {
            address if address.ip().is_unspecified() => None,
            SocketAddr::V4(address) => Some(address.ip().to_string()),
            SocketAddr::V6(address) => Some(format!("[{}]", address.ip())),
        };
        Listener { secure: at.secure, host, port: at.address.port() }
    };
    let PhoneSettings { realm, websockets, sound_check } = &*shared.phone;
    let websockets = websockets.iter().map(listener).collect();
    Json(Settings { realm: realm.clone(), websockets, sound_check: sound_check.clone() })
}
