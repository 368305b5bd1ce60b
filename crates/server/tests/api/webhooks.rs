//! Webhooks, with receivers that fail, hang, hang up and come back.
#![expect(clippy::disallowed_types, reason = "a receiver is told by its test what to do")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use offhook_call::record::CallEnd;
use offhook_server::{DEAD_AFTER, Occurred, Pace, Webhook, WebhookEvent, WebhookSecret, WebhookTarget, Webhooks, What};
use offhook_units::{AgentId, CallId, Span, Tick};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::secure::{file, shown};
use super::support::NOW;
use super::{Running, start_telling};

const DEADLINE: Duration = Duration::from_secs(20);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a receiver does with a message.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Answer(u16),
    /// Says nothing more.
    Hang,
    /// Ends the connection.
    HangUp,
}

/// A message as it came.
#[derive(Debug)]
struct Came {
    head: String,
    body: String,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        let lines = self.head.lines();
        lines.filter_map(|line| line.split_once(": ")).find(|(of, _)| of.eq_ignore_ascii_case(name)).expect(name).1
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// Signed as its head says.
    fn check_signature(&self) {
        let timestamp = self.header("webhook-timestamp").parse().expect("seconds");
        let secret = WebhookSecret::parse(SECRET).expect("a secret");
        let expected = secret.sign(self.header("webhook-id"), timestamp, &self.body);
        assert_eq!(self.header("webhook-signature"), expected);
        assert_eq!(self.header("content-type"), "application/json");
    }
}

struct Receiver {
    address: SocketAddr,
    came: mpsc::UnboundedReceiver<Came>,
    does: Arc<Mutex<VecDeque<Does>>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Receiver {
    async fn start(does: &[Does], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::over(listener, does, tls)
    }

    fn over(listener: TcpListener, does: &[Does], tls: Option<TlsAcceptor>) -> Self {
        let address = listener.local_addr().expect("an address");
        let (send, came) = mpsc::unbounded_channel();
        let does = Arc::new(Mutex::new(VecDeque::from(does.to_vec())));
        let script = Arc::clone(&does);
        let listening = tokio::spawn(async move {
            // Connections end with the receiver.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (send, script, tls) = (send.clone(), Arc::clone(&script), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => talk(stream, send, script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                talk(stream, send, script).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, came, does, listening }
    }

    async fn next(&mut self) -> Came {
        let came =
            tokio::time::timeout(DEADLINE, self.came.recv()).await.expect("a message in time").expect("a message");
        came.check_signature();
        came
    }

    /// Ids of calls in the next messages.
    async fn calls(&mut self, count: usize) -> Vec<String> {
        let mut calls = Vec::new();
        for _ in 0..count {
            calls.push(self.next().await.json()["data"]["id"].as_str().expect("an id").to_owned());
        }
        calls
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    send: mpsc::UnboundedSender<Came>,
    script: Arc<Mutex<VecDeque<Does>>>,
) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or_default() == 0 {
                return;
            }
        }
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.expect("a length")];
        stream.read_exact(&mut body).await.expect("a body");
        let body = String::from_utf8(body).expect("text");
        let does = script.lock().expect("no panic").pop_front().unwrap_or(Does::Answer(200));
        if send.send(Came { head, body }).is_err() {
            return;
        }
        match does {
            Does::Answer(status) => {
                let answer = format!("HTTP/1.1 {status} So\r\nContent-Length: 2\r\n\r\nok");
                stream.write_all(answer.as_bytes()).await.expect("an answer");
            }
            Does::Hang => core::future::pending().await,
            Does::HangUp => return,
        }
    }
}

/// An empty folder.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("offhook-webhooks-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn telling(receivers: &[(&str, &str, &[WebhookEvent])], folder: &Path, authorities: Option<&Path>) -> Webhooks {
    let receiver = |(name, url, events): &(&str, &str, &[WebhookEvent])| Webhook {
        name: (*name).to_owned(),
        target: WebhookTarget::new(url, authorities).expect("a target"),
        events: events.to_vec(),
        secret: WebhookSecret::parse(SECRET).expect("a secret"),
    };
    let pace = Pace {
        attempt_within: Duration::from_millis(400),
        retry_first: Duration::from_millis(20),
        retry_max: Duration::from_millis(100),
        look_every: Duration::from_millis(10),
        keep_every: Duration::ZERO,
    };
    Webhooks { receivers: receivers.iter().map(receiver).collect(), folder: folder.to_owned(), pace }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/hook?from=offhook")
}

fn happens(running: &Running, at: Tick, what: What) {
    let mut log = running.view.log.lock().expect("no panic");
    let seq = log.last().map_or(1, |last| last.seq + 1);
    log.push(Occurred { seq, at, what });
}

fn call_queued(running: &Running, call: u64) {
    let queue = (offhook_units::QueueId(1), Some("sales".to_owned()));
    happens(running, NOW, What::CallQueued { call: CallId(call), queue });
}

fn names(calls: core::ops::RangeInclusive<u64>) -> Vec<String> {
    calls.map(|call| CallId(call).to_string()).collect()
}

/// A figure of a receiver, once it is this.
async fn figure(running: &Running, line: &str) {
    let there = async { while !running.get("/metrics").await.body.lines().any(|each| each == line) {} };
    tokio::time::timeout(DEADLINE, there).await.unwrap_or_else(|_| panic!("no {line}"));
}

#[tokio::test]
async fn what_happens_is_told_in_order_with_the_record_of_a_call_that_is_over() {
    let mut receiver = Receiver::start(&[], None).await;
    let events = [WebhookEvent::CallQueued, WebhookEvent::CallEnded];
    let folder = folder("order");
    let running = start_telling(telling(&[("crm", &url(receiver.address), &events)], &folder, None)).await;
    call_queued(&running, 1);
    let agent = (AgentId(1), Some("alice".to_owned()));
    happens(&running, NOW, What::AgentLoggedIn { agent });
    happens(&running, NOW, What::CallEnded { call: CallId(1), end: CallEnd::CallerHungUp });
    happens(&running, NOW, What::CallEnded { call: CallId(0xfff), end: CallEnd::Abandoned });
    let queued = receiver.next().await;
    assert!(queued.head.starts_with("POST /hook?from=offhook HTTP/1.1\r\n"), "{}", queued.head);
    assert_eq!(queued.header("webhook-id"), "msg_1");
    let expected = serde_json::json!({
        "type": "call.queued",
        "timestamp": "2026-11-22T22:55:19.042Z",
        "data": { "id": "call-1", "queue": { "id": "q-1", "name": "sales" } },
    });
    assert_eq!(queued.json(), expected);
    let ended = receiver.next().await;
    assert_eq!((ended.header("webhook-id"), &ended.json()["type"]), ("msg_3", &"call.ended".into()));
    assert_eq!(ended.json()["data"]["record"], running.get("/api/v1/records/call-1").await.json());
    let without = receiver.next().await.json();
    assert_eq!((&without["data"]["end"], &without["data"]["record"]), (&"abandoned".into(), &Value::Null));
    figure(&running, "offhook_webhook_delivered_total{webhook=\"crm\"} 3").await;
    figure(&running, "offhook_webhook_behind_seconds{webhook=\"crm\"} 0.0").await;
    running.server.shutdown().await;
    assert_eq!(std::fs::read_to_string(folder.join("crm.cursor")).expect("a cursor"), "5\n");
}

#[tokio::test]
async fn a_receiver_that_fails_hangs_and_hangs_up_is_told_each_message_again_until_it_takes_it() {
    let does = [Does::Answer(500), Does::HangUp, Does::Answer(204), Does::Hang, Does::Answer(302), Does::Answer(200)];
    let mut receiver = Receiver::start(&does, None).await;
    let folder = folder("failing");
    let webhooks = telling(&[("crm", &url(receiver.address), &[WebhookEvent::CallQueued])], &folder, None);
    let running = start_telling(webhooks).await;
    (1..=3).for_each(|call| call_queued(&running, call));
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(receiver.next().await.header("webhook-id").to_owned());
    }
    assert_eq!(ids, ["msg_1", "msg_1", "msg_1", "msg_2", "msg_2", "msg_2", "msg_3"]);
    // Whoever ends a connection that was kept may have meant the one before: that is tried at once, and no failure.
    figure(&running, "offhook_webhook_failed_total{webhook=\"crm\"} 3").await;
    figure(&running, "offhook_webhook_delivered_total{webhook=\"crm\"} 3").await;
    running.server.shutdown().await;
}

#[tokio::test]
async fn after_a_restart_it_goes_on_where_it_was_and_a_receiver_that_was_away_misses_nothing() {
    let mut receiver = Receiver::start(&[], None).await;
    let folder = folder("restart");
    let address = url(receiver.address);
    let webhooks = || telling(&[("crm", &address, &[WebhookEvent::CallQueued])], &folder, None);
    let running = start_telling(webhooks()).await;
    (1..=3).for_each(|call| call_queued(&running, call));
    assert_eq!(receiver.calls(3).await, names(1..=3));
    figure(&running, "offhook_webhook_delivered_total{webhook=\"crm\"} 3").await;
    // The receiver is away, and so is the exchange for a while.
    let gone = receiver.address;
    drop(receiver);
    (4..=6).for_each(|call| call_queued(&running, call));
    figure(&running, "offhook_webhook_failed_total{webhook=\"crm\"} 2").await;
    let log = running.view.log.lock().expect("no panic").clone();
    running.server.shutdown().await;

    let running = super::start_telling_of(log, webhooks()).await;
    (7..=8).for_each(|call| call_queued(&running, call));
    let mut receiver = Receiver::over(TcpListener::bind(gone).await.expect("its port"), &[], None);
    assert_eq!(receiver.calls(5).await, names(4..=8));
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_no_other_and_not_the_exchange() {
    let stuck = Receiver::start(&[Does::Hang; 1_000], None).await;
    let mut quick = Receiver::start(&[], None).await;
    let folder = folder("slow");
    let urls = [url(stuck.address), url(quick.address)];
    let events = [WebhookEvent::CallQueued];
    let webhooks = telling(&[("stuck", &urls[0], &events), ("quick", &urls[1], &events)], &folder, None);
    let running = start_telling(webhooks).await;
    (1..=500).for_each(|call| call_queued(&running, call));
    assert_eq!(quick.calls(500).await, names(1..=500));
    figure(&running, "offhook_webhook_delivered_total{webhook=\"quick\"} 500").await;
    figure(&running, "offhook_webhook_delivered_total{webhook=\"stuck\"} 0").await;
    assert_eq!(running.get("/api/v1/queues").await.status, 200);
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_message_that_is_not_taken_for_a_day_is_given_up_and_the_next_ones_are_told() {
    let mut receiver = Receiver::start(&[Does::Answer(500)], None).await;
    let folder = folder("dead");
    let webhooks = telling(&[("crm", &url(receiver.address), &[WebhookEvent::CallQueued])], &folder, None);
    let running = start_telling(webhooks).await;
    let queue = (offhook_units::QueueId(1), None);
    let old = |call| What::CallQueued { call: CallId(call), queue: queue.clone() };
    for call in [1, 2] {
        happens(&running, NOW.before(DEAD_AFTER), old(call));
    }
    happens(&running, NOW.before(DEAD_AFTER.saturating_sub(Span::from_s(60))), old(3));
    // The first is tried once; the second is as old, and nobody takes anything.
    assert_eq!(receiver.calls(2).await, ["call-1", "call-3"]);
    figure(&running, "offhook_webhook_dead_total{webhook=\"crm\"} 2").await;
    // What is old and taken at once is not lost: the exchange was away, not the receiver.
    happens(&running, NOW.before(DEAD_AFTER), old(4));
    assert_eq!(receiver.calls(1).await, ["call-4"]);
    assert!(receiver.does.lock().expect("no panic").is_empty());
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_receiver_over_tls_is_told_where_its_certificate_is_its_own_and_of_a_known_authority() {
    let accepting = |name| Some(TlsAcceptor::from(shown(name)));
    let mut good = Receiver::start(&[], accepting("exchange")).await;
    let mut other = Receiver::start(&[], accepting("other")).await;
    let folder = folder("tls");
    let urls = [&good, &other].map(|receiver| format!("https://{}/", receiver.address));
    let events = [WebhookEvent::CallQueued];
    let receivers: [(&str, &str, &[WebhookEvent]); 2] = [("good", &urls[0], &events), ("other", &urls[1], &events)];
    let running = start_telling(telling(&receivers, &folder, Some(&file("authority.pem")))).await;
    call_queued(&running, 1);
    assert_eq!(good.calls(1).await, names(1..=1));
    figure(&running, "offhook_webhook_failed_total{webhook=\"other\"} 2").await;
    assert!(other.came.try_recv().is_err(), "somebody else was told");
    running.server.shutdown().await;
}
