//! Recording sessions with others, counted for `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use offhook_call::siprec::SiprecFigures;
use offhook_server::Metrics;

use super::control::Figures;

/// What the control loop writes and `/metrics` reads.
#[derive(Debug, Default)]
pub struct SiprecCounts {
    sent_now: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
    broken: AtomicU64,
    refused_calls: AtomicU64,
    taken_now: AtomicU64,
    taken: AtomicU64,
    taken_refused: AtomicU64,
    taken_silent: AtomicU64,
    streams_refused: AtomicU64,
    metadata_refused: AtomicU64,
}

impl SiprecCounts {
    /// As the exchange has them now.
    pub fn store(&self, figures: SiprecFigures) {
        let SiprecFigures {
            sent_now,
            sent,
            failed,
            broken,
            refused_calls,
            taken_now,
            taken,
            taken_refused,
            taken_silent,
            streams_refused,
            metadata_refused,
        } = figures;
        for (count, value) in [
            (&self.sent_now, sent_now),
            (&self.sent, sent),
            (&self.failed, failed),
            (&self.broken, broken),
            (&self.refused_calls, refused_calls),
            (&self.taken_now, taken_now),
            (&self.taken, taken),
            (&self.taken_refused, taken_refused),
            (&self.taken_silent, taken_silent),
            (&self.streams_refused, streams_refused),
            (&self.metadata_refused, metadata_refused),
        ] {
            count.store(value, Ordering::Relaxed);
        }
    }
}

/// Puts them on `/metrics`.
pub fn show(metrics: &mut Metrics, figures: &Arc<Figures>) {
    let reader = |read: fn(&SiprecCounts) -> &AtomicU64| {
        let figures = Arc::clone(figures);
        move || read(&figures.siprec).load(Ordering::Relaxed)
    };
    let now = reader(|counts| &counts.sent_now);
    let help = "Recording sessions that a recorder outside has now";
    metrics.gauge_fn("offhook_siprec_sessions", help, &[], move || now() as f64);
    for (outcome, read) in [
        ("taken", reader(|counts| &counts.sent)),
        ("failed", reader(|counts| &counts.failed)),
        ("broken", reader(|counts| &counts.broken)),
    ] {
        let help = "Recording sessions with a recorder outside: taken, tried in vain, and over before their calls";
        metrics.counter_fn("offhook_siprec_sent", help, &[("outcome", outcome)], read);
    }
    let refused = reader(|counts| &counts.refused_calls);
    let help = "Calls refused because the recorder outside that they need was gone";
    metrics.counter_fn("offhook_siprec_refused_calls", help, &[], refused);
    let now = reader(|counts| &counts.taken_now);
    let help = "Recording sessions of others that are recorded now";
    metrics.gauge_fn("offhook_siprec_server_sessions", help, &[], move || now() as f64);
    for (name, help, read) in [
        ("offhook_siprec_server_taken", "Recording sessions of others, taken", reader(|counts| &counts.taken)),
        (
            "offhook_siprec_server_refused",
            "Recording sessions of others, refused",
            reader(|counts| &counts.taken_refused),
        ),
        (
            "offhook_siprec_server_silent",
            "Those that ended because nothing came",
            reader(|counts| &counts.taken_silent),
        ),
        (
            "offhook_siprec_server_streams_refused",
            "Their streams beyond the two that are recorded",
            reader(|counts| &counts.streams_refused),
        ),
        (
            "offhook_siprec_server_metadata_refused",
            "Updates of their metadata that could not be read",
            reader(|counts| &counts.metadata_refused),
        ),
    ] {
        metrics.counter_fn(name, help, &[], read);
    }
}
