//! Pages of long lists: `next` in the body, and as a link (RFC 8288) in the head.

use axum::Json;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A page, and where the next one is.
#[derive(Debug)]
pub struct Paged<T> {
    page: T,
    link: Option<HeaderValue>,
}

impl<T> Paged<T> {
    /// The answer to a request for `uri`; the next page has `next` as its parameter `by`.
    pub fn new(page: T, uri: &Uri, by: &str, next: Option<&str>) -> Self {
        Self { page, link: next.and_then(|next| link(uri, by, next)) }
    }
}

impl<T: Serialize> IntoResponse for Paged<T> {
    fn into_response(self) -> Response {
        let Self { page, link } = self;
        let mut response = Json(page).into_response();
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

/// The same request but for one parameter.
fn link(uri: &Uri, by: &str, next: &str) -> Option<HeaderValue> {
    let same = |pair: &&str| !pair.is_empty() && pair.split('=').next() != Some(by);
    let place = format!("{by}={next}");
    let rest = uri.query().unwrap_or_default().split('&').filter(same);
    let query: Vec<&str> = rest.chain([place.as_str()]).collect();
    HeaderValue::from_str(&format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_same_request_from_another_place() {
        for (uri, expected) in [
            ("/r", "</r?before=x-2>; rel=\"next\""),
            ("/r?before=x-9", "</r?before=x-2>; rel=\"next\""),
            ("/r?number=%2B49&before=x-9&limit=5", "</r?number=%2B49&limit=5&before=x-2>; rel=\"next\""),
        ] {
            let uri: Uri = uri.parse().expect("an address");
            assert_eq!(link(&uri, "before", "x-2").expect("a link"), expected);
        }
    }
}
