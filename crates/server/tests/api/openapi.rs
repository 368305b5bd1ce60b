//! The description of the API, held against a running server.

use serde_json::Value;

use super::{Running, TOKEN, start};

async fn described(running: &Running) -> Value {
    let reply = running.get("/api/v1/openapi.json").await;
    assert!(reply.head.contains("content-type: application/json"), "{}", reply.head);
    reply.json()
}

/// A path whose ids name nothing.
fn filled(path: &str) -> String {
    [
        ("{version}", "999"),
        ("{name}", "nothing"),
        ("{guest}", "l-fff"),
        ("{source}", "192.0.2.200"),
        ("{entrance}", "nowhere"),
    ]
    .into_iter()
    .fold(path.to_owned(), |path, (name, value)| path.replace(name, value))
    .replace("agents/{id}", "agents/a-fff")
    .replace("callbacks/{id}", "callbacks/c-fff")
    .replace("recordings/{id}", "recordings/r-fff")
    .replace("{id}", "call-fff")
}

#[tokio::test]
async fn everybody_may_read_the_description_and_it_is_the_one_that_is_kept() {
    let running = start(Some(TOKEN)).await;
    let kept: Value = serde_json::from_str(include_str!("../../../../docs/openapi.json")).expect("JSON");
    assert!(described(&running).await == kept);
    let page = running.get("/api/docs").await;
    assert_eq!((page.status, page.body.contains("/web/api.js")), (200, true));
    assert!(page.head.contains("content-security-policy: default-src 'self';"), "{}", page.head);
    for inline in ["<style", "style=", "onclick", "<script>"] {
        assert!(!page.body.contains(inline), "{inline}");
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn every_operation_answers_as_its_description_says_and_other_methods_get_405_with_allow() {
    let running = start(None).await;
    let document = described(&running).await;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let address = filled(path);
        let methods = methods.as_object().expect("methods");
        for (method, operation) in methods.iter().filter(|_| path != "/api/v1/events") {
            let head = "Host: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2";
            let reply =
                running.send(format!("{} {address} HTTP/1.1\r\n{head}\r\n\r\n{{}}", method.to_uppercase())).await;
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.contains_key(&reply.status.to_string()), "{method} {path}: {}", reply.status);
            assert_ne!(reply.status, 405, "{method} {path}");
            if reply.status >= 400 {
                assert!(!reply.check_problem(reply.status).contains("no such address"), "{method} {path}");
            }
        }
        let reply =
            running.send(format!("PATCH {address} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await;
        reply.check_problem(405);
        for method in methods.keys() {
            let allow = reply.head.lines().find(|line| line.starts_with("allow:")).unwrap_or_default();
            assert!(allow.contains(method.as_str()), "{path}: {allow}");
        }
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn an_id_is_taken_as_answers_write_it_and_not_otherwise() {
    let running = start(None).await;
    assert_eq!(running.get("/api/v1/records/call-1").await.status, 200);
    for other in ["1", "call-01", "call-%2B1", "call-1F", "call-", "r-1"] {
        running.get(&format!("/api/v1/records/{other}")).await.check_problem(400);
    }
    running.server.shutdown().await;
}
