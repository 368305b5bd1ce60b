//! The pages, built into the program: one view of queues, agents and calls, from which calls are supervised; and a phone.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::problem::Problem;

/// As of every page (`guard::headers`), but for the connections of a phone.
const PHONE_POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob: mediastream:; \
                            base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;

/// `GET /`.
pub async fn index(headers: HeaderMap) -> Response {
    file("index.html", &headers)
}

/// `GET /desk`: what an agent works with.
pub async fn desk(headers: HeaderMap) -> Response {
    file("desk.html", &headers)
}

/// `GET /phone`: the one page that speaks to another listener than this one, over WebSocket, and plays what it hears.
pub async fn phone(headers: HeaderMap) -> Response {
    let mut response = file("phone.html", &headers);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PHONE_POLICY));
    response
}

/// `GET /admin`: the configuration, for administrators.
pub async fn admin(headers: HeaderMap) -> Response {
    file("admin.html", &headers)
}

/// `GET /web/{file}`.
pub async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    file(&name, &headers)
}

pub fn file(name: &str, request: &HeaderMap) -> Response {
    let Some(file) = Web::get(name) else {
        return Problem::new(StatusCode::NOT_FOUND, "there is no such file").into_response();
    };
    let digest = file.metadata.sha256_hash();
    let tag = format!("\"{:016x}\"", u64::from_be_bytes(core::array::from_fn(|at| digest[at])));
    let fresh = request.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response =
        if fresh { StatusCode::NOT_MODIFIED.into_response() } else { file.data.into_owned().into_response() };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
