//! Webhooks: what happened is sent to receivers, from the event log on, so that nothing that was written down is left out.
//!
//! Each receiver has a task and a cursor of its own in the log. The exchange knows nothing of them, a slow one holds up no other, and
//! what is in memory is one stretch of the log each. The cursor lies in a file and moves once a message was taken: after a crash the
//! last messages may come twice, with the same id, and none is left out.
#![expect(
    clippy::disallowed_methods,
    reason = "an edge: what is not taken is tried again in time, by chance not all at once"
)]

mod client;
mod message;
mod sign;

use core::time::Duration;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use offhook_units::{Span, Tick};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::metrics::{Counter, Metrics};
use crate::view::View;

pub use client::{Target, Target as WebhookTarget, trusting as tls_client};
pub use message::{EventLog, Happened, IdAndName, Occurred, WebhookEvent, What, schema_of};
pub use sign::WebhookSecret;

use client::{Client, NotTaken, Signed};

/// Receivers that may be configured.
pub const WEBHOOKS_MAX: usize = 32;
/// A message that is not taken so long after what it tells happened is given up.
pub const DEAD_AFTER: Span = Span::from_s(24 * 3_600);

/// How receivers are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// An attempt may take so long.
    pub attempt_within: Duration,
    /// The wait after the first failure; each further one doubles it. Half of it is by chance.
    pub retry_first: Duration,
    /// The longest wait.
    pub retry_max: Duration,
    /// How often the log is looked at where there is nothing new.
    pub look_every: Duration,
    /// The cursor is written so often at most.
    pub keep_every: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            attempt_within: Duration::from_secs(15),
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_mins(5),
            look_every: Duration::from_millis(250),
            keep_every: Duration::from_millis(200),
        }
    }
}

/// A receiver.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its name: of its cursor's file and in metrics.
    pub name: String,
    /// Where messages go.
    pub target: WebhookTarget,
    /// Which.
    pub events: Vec<WebhookEvent>,
    /// What they are signed with.
    pub secret: WebhookSecret,
}

/// All receivers.
#[derive(Debug, Clone, Default)]
pub struct Webhooks {
    /// Each.
    pub receivers: Vec<Webhook>,
    /// Where cursors are kept; it is made where it is missing.
    pub folder: PathBuf,
    /// How they are waited for.
    pub pace: Pace,
}

/// What is counted of one receiver.
#[derive(Debug, Clone)]
struct Figures {
    delivered: Counter,
    failed: Counter,
    dead: Counter,
    /// Since when the message that is tried is overdue, in microseconds; zero where none is.
    waiting_since: Arc<AtomicU64>,
}

impl Figures {
    fn register(name: &str, metrics: &mut Metrics, view: &Arc<dyn View>) -> Self {
        let labels = [("webhook", name)];
        let waiting_since = Arc::new(AtomicU64::new(0));
        let (since, clock) = (Arc::clone(&waiting_since), Arc::clone(view));
        let behind = move || match since.load(Ordering::Relaxed) {
            0 => 0.0,
            since => clock.now().since(Tick::from_us(since)).as_us() as f64 / 1e6,
        };
        let help = "How long ago that happened which the receiver has not taken yet";
        metrics.gauge_fn("offhook_webhook_behind_seconds", help, &labels, behind);
        Self {
            delivered: metrics.counter("offhook_webhook_delivered", "Messages that receivers have taken", &labels),
            failed: metrics.counter("offhook_webhook_failed", "Attempts that receivers did not take", &labels),
            dead: metrics.counter("offhook_webhook_dead", "Messages that were given up after a day", &labels),
            waiting_since,
        }
    }
}

/// Tasks of all receivers, until `stop`.
pub fn start(
    webhooks: Webhooks,
    view: &Arc<dyn View>,
    metrics: &mut Metrics,
    stop: &watch::Receiver<bool>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let Webhooks { receivers, folder, pace } = webhooks;
    if receivers.is_empty() {
        return Ok(Vec::new());
    }
    std::fs::create_dir_all(&folder)?;
    let mut tasks = Vec::new();
    for Webhook { name, target, events, secret } in receivers {
        let figures = Figures::register(&name, metrics, view);
        let cursor = Cursor::open(&folder, &name, view.log_end())?;
        let client = Client::new(target);
        let view = Arc::clone(view);
        let (events, failing) = (events.into(), false);
        let receiver =
            Receiver { name, events, secret, pace, view, client, cursor, figures, failing, stop: stop.clone() };
        tasks.push(tokio::spawn(receiver.run()));
    }
    Ok(tasks)
}

/// Where a receiver stands in the log, in a file.
#[derive(Debug)]
struct Cursor {
    path: PathBuf,
    next: u64,
    kept: u64,
    kept_at: Instant,
}

impl Cursor {
    /// A receiver that was never there begins at the end.
    fn open(folder: &Path, name: &str, end: u64) -> io::Result<Self> {
        let path = folder.join(format!("{name}.cursor"));
        let next = match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|_| {
                let message = format!("{} holds no position of the log; remove it to begin at the end", path.display());
                io::Error::new(io::ErrorKind::InvalidData, message)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write(&path, end)?;
                end
            }
            Err(error) => return Err(error),
        };
        // The log is another one, from a backup for instance: what comes is told.
        if next > end {
            tracing::warn!(path = %path.display(), next, end, "a webhook's cursor lies beyond the end of the log; it begins there");
            write(&path, end)?;
        }
        let next = next.min(end);
        Ok(Self { path, next, kept: next, kept_at: Instant::now() })
    }

    /// Writes it down, unless that was done a moment ago.
    async fn keep(&mut self, every: Duration) {
        if self.kept == self.next || self.kept_at.elapsed() < every {
            return;
        }
        let (path, next) = (self.path.clone(), self.next);
        let written = tokio::task::spawn_blocking(move || write(&path, next)).await;
        match written {
            Ok(Ok(())) => self.kept = next,
            Ok(Err(error)) => tracing::error!(path = %self.path.display(), %error, "a webhook's cursor was not kept"),
            Err(error) => tracing::error!(%error, "a webhook's cursor was not kept"),
        }
        self.kept_at = Instant::now();
    }
}

/// All of it or nothing.
fn write(path: &Path, next: u64) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = std::fs::File::create(&beside)?;
    writeln!(file, "{next}")?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

/// One receiver at work.
struct Receiver {
    name: String,
    events: Arc<[WebhookEvent]>,
    secret: WebhookSecret,
    pace: Pace,
    view: Arc<dyn View>,
    client: Client,
    cursor: Cursor,
    figures: Figures,
    /// The last attempt was not taken.
    failing: bool,
    stop: watch::Receiver<bool>,
}

impl Receiver {
    async fn run(mut self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = self.follow() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        self.cursor.keep(Duration::ZERO).await;
    }

    /// Follows the log for ever. Whatever it waits for, it may be dropped there: the cursor stands behind what was taken.
    async fn follow(&mut self) {
        loop {
            let (from, wanted) = (self.cursor.next, Arc::clone(&self.events));
            let happened = self.view.happened(from, wanted).await.unwrap_or_default();
            for event in happened.events {
                self.deliver(&event).await;
                self.cursor.next = event.seq + 1;
                self.cursor.keep(self.pace.keep_every).await;
            }
            self.cursor.next = self.cursor.next.max(happened.next);
            self.cursor.keep(self.pace.keep_every).await;
            if self.cursor.next == from {
                tokio::time::sleep(self.pace.look_every).await;
            }
        }
    }

    /// Returns once it was taken, or given up.
    async fn deliver(&mut self, event: &Occurred) {
        self.figures.waiting_since.store(event.at.as_us().max(1), Ordering::Relaxed);
        let mut body = None;
        let mut wait = self.pace.retry_first;
        loop {
            if self.failing && self.view.now().since(event.at) >= DEAD_AFTER {
                self.figures.dead.inc();
                tracing::warn!(
                    webhook = self.name,
                    seq = event.seq,
                    "a message was not taken for a day and is given up"
                );
                break;
            }
            if body.is_none() {
                body = Some(self.body(event).await);
            }
            let signed = self.signed(event, body.as_deref().unwrap_or_default());
            match self.client.send(&signed, self.pace.attempt_within).await {
                Ok(()) => {
                    if self.failing {
                        tracing::info!(webhook = self.name, "messages are taken again");
                    }
                    self.failing = false;
                    self.figures.delivered.inc();
                    break;
                }
                Err(NotTaken { why, wait: asked }) => {
                    self.figures.failed.inc();
                    if !self.failing {
                        tracing::warn!(webhook = self.name, why, "a message was not taken and is tried again");
                    }
                    self.failing = true;
                    tokio::time::sleep(by_chance(wait).max(asked.unwrap_or_default())).await;
                    wait = (wait * 2).min(self.pace.retry_max);
                }
            }
        }
        self.figures.waiting_since.store(0, Ordering::Relaxed);
    }

    async fn body(&self, event: &Occurred) -> String {
        let What::CallEnded { call, .. } = event.what else { return message::body(event, None) };
        // The record is kept in the same turn of the exchange as its last event, and may be read a moment later.
        for _ in 0..RECORD_TRIES {
            if let Ok(Some(record)) = self.view.ended(call).await {
                return message::body(event, Some(&record));
            }
            tokio::time::sleep(self.pace.look_every).await;
        }
        message::body(event, None)
    }

    /// The time of the attempt is signed with it, so that an old message cannot be sent again by somebody else.
    fn signed(&self, event: &Occurred, body: &str) -> Signed {
        let id = format!("msg_{:x}", event.seq);
        let timestamp_s = self.view.now().as_us() / 1_000_000;
        let signature = self.secret.sign(&id, timestamp_s, body);
        Signed { id, timestamp_s, signature, body: body.to_owned() }
    }
}

/// How often the record of a call that is over is looked for.
const RECORD_TRIES: usize = 5;

/// Half of `wait` and up to all of it: receivers that failed together do not come back together.
fn by_chance(wait: Duration) -> Duration {
    let mut chance = [0; 4];
    // Without chance it is all of it.
    let chance = getrandom::fill(&mut chance).map_or(u32::MAX, |()| u32::from_le_bytes(chance));
    wait / 2 + (wait / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_half_fixed_and_half_by_chance() {
        let waits: Vec<Duration> = (0..200).map(|_| by_chance(Duration::from_secs(8))).collect();
        assert!(waits.iter().all(|wait| (4..=8).contains(&(wait.as_millis().div_ceil(1_000) as u64))));
        assert!(waits.iter().max() > waits.iter().min());
    }

    #[test]
    fn a_cursor_survives_and_one_that_is_none_is_not_passed_over() {
        let folder = std::env::temp_dir().join(format!("offhook-cursors-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        assert_eq!(Cursor::open(&folder, "crm", 17).expect("a cursor").next, 17);
        assert_eq!(Cursor::open(&folder, "crm", 99).expect("a cursor").next, 17, "it begins where it was");
        assert_eq!(Cursor::open(&folder, "crm", 5).expect("a cursor").next, 5, "the log is an older one");
        write(&folder.join("crm.cursor"), 23).expect("written");
        assert_eq!(Cursor::open(&folder, "crm", 99).expect("a cursor").next, 23);
        std::fs::write(folder.join("bad.cursor"), "x").expect("written");
        assert!(Cursor::open(&folder, "bad", 1).expect_err("no position").to_string().contains("bad.cursor"));
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
