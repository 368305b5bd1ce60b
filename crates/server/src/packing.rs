//! Answers in gzip (RFC 1952) for whoever takes it: files of the pages, and long lists.
//!
//! What may hold a secret is never packed: the length of a packed answer tells what is in it to whoever can have something of their own put
//! beside it (BREACH). So there is a table of what is packed, and what is new is not.

use std::io::Write as _;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Shorter answers are sent as they are.
const BYTES_MIN: u64 = 1_024;
/// Longer ones too: they are files.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// From here on it is done beside the requests of others.
const BESIDE_MIN: usize = 16 * 1024;

/// What is packed: lists of the floor and of the past, by the beginnings of their paths.
const PACKED: [&str; 14] = [
    "/api/v1/queues",
    "/api/v1/agents",
    "/api/v1/calls",
    "/api/v1/alarms",
    "/api/v1/trunks",
    "/api/v1/calendars",
    "/api/v1/callbacks",
    "/api/v1/reports/",
    "/api/v1/records",
    "/api/v1/recordings",
    "/api/v1/audit",
    "/api/v1/desk/history",
    "/api/v1/openapi.json",
    "/metrics",
];
/// Their kinds.
const KINDS: [&str; 2] = ["application/json", "application/openmetrics-text"];

/// Whether whoever asks takes gzip (RFC 9110 §12.5.3).
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let (mut named, mut any) = (None, None);
    for coding in all.flat_map(|value| value.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let wanted = weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0));
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            named = Some(wanted);
        } else if name == "*" {
            any = Some(wanted);
        }
    }
    named.or(any).unwrap_or(false)
}

/// Bytes in gzip.
pub fn packed(bytes: &[u8], how: Compression) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), how);
    // Nothing that is written into memory fails.
    packer.write_all(bytes).and_then(|()| packer.finish()).unwrap_or_default()
}

/// Says that an answer depends on what is taken.
pub fn varies(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
}

/// Packs the answers of [`PACKED`].
pub async fn pack(request: Request, next: Next) -> Response {
    let listed = request.method() == Method::GET && PACKED.iter().any(|path| request.uri().path().starts_with(path));
    let takes = takes_gzip(request.headers());
    let mut response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_text = KINDS.iter().any(|known| kind.starts_with(known));
    if !listed || !is_text || !response.status().is_success() {
        return response;
    }
    varies(response.headers_mut());
    // What has no length yet is a stream.
    let length = axum::body::HttpBody::size_hint(response.body()).exact();
    let fits = |length| (BYTES_MIN..=BYTES_MAX as u64).contains(&length);
    if !takes || !length.is_some_and(fits) || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, BYTES_MAX).await else {
        return crate::problem::Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "the answer is too long")
            .into_response();
    };
    let Some(short) = shortened(bytes.clone()).await else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(short))
}

async fn shortened(bytes: Bytes) -> Option<Vec<u8>> {
    if bytes.len() < BESIDE_MIN {
        return Some(packed(&bytes, Compression::fast()));
    }
    tokio::task::spawn_blocking(move || packed(&bytes, Compression::fast())).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_named_or_everything_is() {
        for (value, takes) in [
            ("gzip", true),
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.8", true),
            ("x-gzip", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip;q=0.0, *", false),
            ("*;q=0", false),
            ("br", false),
            ("identity", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(takes_gzip(&headers), takes, "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
