//! HTTP API, live events, metrics and the page.
