//! Commands that are sent again.

use std::time::Duration;

use offhook_server::KEY_CHARS_MAX;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::users::ask;
use super::{Running, start};

const DEADLINE: Duration = Duration::from_secs(10);
const LISTEN: &str = r#"{"how":"listen","by":"a-3"}"#;

fn key(key: &str) -> String {
    format!("Idempotency-Key: {key}\r\n")
}

fn done(running: &Running, action: &str) -> usize {
    running.view.audit.lock().expect("no panic").iter().filter(|entry| entry.action == action).count()
}

#[tokio::test]
async fn a_command_with_a_key_is_done_once_and_answered_as_before() {
    let running = start(None).await;
    let path = "/api/v1/calls/call-1/supervise";
    let first = ask(&running, "POST", path, &key("abc"), LISTEN).await;
    assert_eq!((first.status, first.head.contains("idempotency-replayed")), (200, false));
    let again = ask(&running, "POST", path, &key("abc"), LISTEN).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert!(again.head.contains("idempotency-replayed: true"), "{}", again.head);
    assert!(again.head.contains("content-type: application/json"), "{}", again.head);
    assert_eq!(done(&running, "supervise"), 1);
    let metrics = running.get("/metrics").await.body;
    assert!(metrics.lines().any(|line| line == "offhook_http_idempotent_replays_total 1"));
    assert!(metrics.lines().any(|line| line == "offhook_http_idempotency_keys 1.0"));

    let other = r#"{"how":"whisper","by":"a-3"}"#;
    ask(&running, "POST", path, &key("abc"), other).await.check_problem(422);
    ask(&running, "POST", "/api/v1/calls/call-2/supervise", &key("abc"), LISTEN).await.check_problem(422);
    assert_eq!(done(&running, "supervise"), 1);
    assert_eq!(ask(&running, "POST", path, &key("def"), other).await.status, 200);
    assert_eq!(ask(&running, "POST", path, "", LISTEN).await.status, 200);
    assert_eq!(done(&running, "supervise"), 3);
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_refusal_is_kept_and_what_was_not_decided_is_tried_again() {
    let running = start(None).await;
    let path = "/api/v1/callbacks/c-20";
    for _ in 0..2 {
        ask(&running, "DELETE", path, &key("busy"), "").await.check_problem(409);
    }
    assert_eq!(done(&running, "withdraw callback"), 1);
    let path = "/api/v1/callbacks/c-1f";
    running.view.busy.store(true, std::sync::atomic::Ordering::Relaxed);
    ask(&running, "DELETE", path, &key("later"), "").await.check_problem(503);
    running.view.busy.store(false, std::sync::atomic::Ordering::Relaxed);
    let reply = ask(&running, "DELETE", path, &key("later"), "").await;
    assert_eq!((reply.status, reply.head.contains("idempotency-replayed")), (204, false));
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_command_whose_sender_is_gone_is_done_to_its_end_and_its_answer_waits() {
    let running = start(None).await;
    let held = running.view.withdrawals_wait.lock().await;
    let path = "/api/v1/callbacks/c-1f";
    let mut gone = TcpStream::connect(running.server.local_addr()).await.expect("a connection");
    let request = format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", key("once"));
    gone.write_all(request.as_bytes()).await.expect("a request");
    let underway = async {
        while done(&running, "withdraw callback") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, underway).await.expect("it is begun");
    assert!(ask(&running, "DELETE", path, &key("once"), "").await.check_problem(409).contains("is being done"));
    drop(gone);
    // The server has noticed once it closes the connection's place.
    let noticed = async { while !running.get("/metrics").await.body.contains("offhook_http_connections 1.0") {} };
    tokio::time::timeout(DEADLINE, noticed).await.expect("the connection is gone");
    drop(held);
    let answered = async {
        loop {
            let reply = ask(&running, "DELETE", path, &key("once"), "").await;
            if reply.status != 409 {
                break reply;
            }
        }
    };
    let reply = tokio::time::timeout(DEADLINE, answered).await.expect("an answer");
    assert_eq!((reply.status, reply.head.contains("idempotency-replayed: true")), (204, true));
    assert_eq!(done(&running, "withdraw callback"), 1);
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let running = start(None).await;
    for bad in ["", &"x".repeat(KEY_CHARS_MAX + 1), "a\r\nIdempotency-Key: b", "\u{e9}"] {
        ask(&running, "DELETE", "/api/v1/callbacks/c-1f", &key(bad), "").await.check_problem(400);
    }
    // Nothing is done by looking.
    let reply = running.get_with("/api/v1/calls", &key(&"x".repeat(KEY_CHARS_MAX + 1))).await;
    assert_eq!(reply.status, 200);
    running.server.shutdown().await;
}
