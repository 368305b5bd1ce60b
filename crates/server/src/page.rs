//! The pages, built into the program: one view of queues, agents and calls, from which calls are supervised; and a phone.
#![expect(clippy::disallowed_types, reason = "an edge: files that are packed are shared by the requests")]

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use rust_embed::RustEmbed;

use crate::packing;
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

/// A file in gzip: made when it is first asked for, and kept. There are as many as there are files.
fn packed(name: &str, digest: [u8; 32], data: &[u8]) -> Bytes {
    static PACKED: Mutex<BTreeMap<(String, [u8; 32]), Bytes>> = Mutex::new(BTreeMap::new());
    let mut all = PACKED.lock().unwrap_or_else(PoisonError::into_inner);
    let of_file = (name.to_owned(), digest);
    all.entry(of_file).or_insert_with(|| packing::packed(data, Compression::best()).into()).clone()
}

/// Whether one of the tags that a browser has is this one (RFC 9110 §13.1.2).
fn has_tag(request: &HeaderMap, tag: &str) -> bool {
    let all = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).map(str::trim).any(|known| known.strip_prefix("W/").unwrap_or(known) == tag)
}

pub fn file(name: &str, request: &HeaderMap) -> Response {
    let Some(file) = Web::get(name) else {
        return Problem::new(StatusCode::NOT_FOUND, "there is no such file").into_response();
    };
    let digest = file.metadata.sha256_hash();
    let packs = packing::takes_gzip(request);
    // What is packed is another representation, and has a tag of its own.
    let form = if packs { "-gz" } else { "" };
    let tag = format!("\"{:016x}{form}\"", u64::from_be_bytes(core::array::from_fn(|at| digest[at])));
    let mut response = match has_tag(request, &tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false if packs => packed(name, digest, &file.data).into_response(),
        false => file.data.into_owned().into_response(),
    };
    let fresh = response.status() == StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    packing::varies(headers);
    if packs && !fresh {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
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
