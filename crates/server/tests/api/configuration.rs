//! The configuration over HTTP.

use serde_json::{Value, json};

use offhook_server::{Admission, Role, TokenUser, token_hash};

use super::users::{cookie_of, staff};
use super::{Running, TOKEN, start, start_with};

async fn put(running: &Running, head: &str, body: &Value) -> super::Reply {
    let body = body.to_string();
    let head = format!("Host: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n{head}");
    running.send(format!("PUT /api/v1/config HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len())).await
}

#[tokio::test]
async fn a_configuration_is_taken_in_place_of_the_version_that_it_was_made_from() {
    let running = start(None).await;
    let now = running.get("/api/v1/config").await;
    assert!(now.head.contains("etag: \"7\""), "{}", now.head);
    let text = now.json()["text"].clone();
    assert_eq!(now.json()["tables"]["agent"][0]["name"], "alice");
    let body = json!({ "text": text });
    assert!(put(&running, "", &body).await.check_problem(428).contains("If-Match"));
    put(&running, "If-Match: 7\r\n", &body).await.check_problem(400);
    assert!(put(&running, "If-Match: \"6\"\r\n", &body).await.check_problem(412).contains("version 7"));
    put(&running, "If-Match: \"7\"\r\n", &json!({ "text": "by hand" })).await.check_problem(409);
    let taken = put(&running, "If-Match: \"7\"\r\n", &body).await;
    assert_eq!((taken.status, &taken.json()["version"]), (200, &json!(8)), "{}", taken.body);
    assert_eq!(taken.json()["waits"], json!(["for API without a token"]));
    assert!(taken.head.contains("etag: \"8\""), "{}", taken.head);
    running.server.shutdown().await;
}

#[tokio::test]
async fn faults_are_told_with_their_places() {
    let running = start(None).await;
    let refused = put(&running, "If-Match: \"7\"\r\n", &json!({ "text": "a = 1\nwrong\n" })).await;
    refused.check_problem(422);
    let fault = &refused.json()["faults"][0];
    assert_eq!(
        (&fault["line"], &fault["column"], &fault["advice"]),
        (&json!(2), &json!(8), &json!("write something else"))
    );
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_configuration_may_be_longer_than_other_bodies() {
    let running = start(None).await;
    let text = "# a long one\n".repeat(100_000);
    assert_eq!(put(&running, "If-Match: \"7\"\r\n", &json!({ "text": text })).await.status, 200);
    running.server.shutdown().await;
}

#[tokio::test]
async fn administrators_alone_see_and_change_it() {
    let others = [Role::Agent, Role::Supervisor, Role::Quality, Role::Auditor, Role::Operator];
    let token = |role: Role| format!("token-of-{}-0123", role.name());
    let tokens = others.map(|role| TokenUser {
        name: role.name().to_owned(),
        sha256: token_hash(&token(role)),
        roles: vec![role],
    });
    let running = start_with(Some(TOKEN), tokens.into(), Vec::new()).await;
    for path in ["config", "config/versions", "config/versions/6"] {
        let ask = |token: &str| {
            let head = format!("Host: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}");
            running.send(format!("GET /api/v1/{path} HTTP/1.1\r\n{head}\r\n\r\n"))
        };
        for role in others {
            ask(&token(role)).await.check_problem(403);
        }
        assert_eq!(ask(TOKEN).await.status, 200, "{path}");
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn users_who_are_gone_or_others_now_have_to_sign_in_anew() {
    let running = start_with(None, Vec::new(), staff()).await;
    let mut cookies = Vec::new();
    for name in ["alice", "bob", "administrator"] {
        cookies.push(cookie_of(&running, name).await);
    }
    // Bob has another role, the administrator is gone, and alice stands elsewhere in the list.
    let mut users: Vec<_> = staff().into_iter().filter(|user| user.name != "administrator").collect();
    users.reverse();
    for user in users.iter_mut().filter(|user| user.name == "bob") {
        user.roles = vec![Role::Agent];
    }
    let admission = Admission { token: None, tokens: Vec::new(), users, entrances: Vec::new() };
    running.server.admit(admission).expect("admitted");
    for (cookie, who) in cookies.iter().zip([json!("user alice"), Value::Null, Value::Null]) {
        assert_eq!(running.get_with("/api/v1/session", cookie).await.json()["who"], who, "{cookie}");
    }
    assert_eq!(running.get("/call/shop").await.status, 404, "that entrance is gone, too");
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_secret_is_made_for_who_may_configure_and_the_log_says_for_whom() {
    let running = start(None).await;
    let make = |body: Value| {
        let body = body.to_string();
        let head = "Host: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
        let length = body.len();
        running
            .send(format!("POST /api/v1/config/credentials HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}"))
    };
    let token = make(json!({ "kind": "token", "name": "wallboard" })).await;
    assert_eq!((token.status, &token.json()["key"]), (200, &json!("sha256")), "{}", token.body);
    let secret = token.json()["secret"].as_str().expect("a token").to_owned();
    let mut hash = String::new();
    for byte in token_hash(&secret) {
        offhook_units::push_hex(&mut hash, u64::from(byte), 2);
    }
    assert_eq!(token.json()["value"], json!(hash));
    let password = make(json!({ "kind": "password", "name": "ann" })).await;
    assert!(password.json()["value"].as_str().is_some_and(|hash| hash.starts_with("$argon2id$")), "{}", password.body);
    make(json!({ "kind": "password", "name": "" })).await.check_problem(400);
    make(json!({ "kind": "key", "name": "ann" })).await.check_problem(422);
    let log = running.get("/api/v1/audit").await;
    assert!(log.body.contains("wallboard") && !log.body.contains(&secret), "{}", log.body);
    running.server.shutdown().await;
}

#[tokio::test]
async fn prompts_are_listed_heard_and_kept_and_names_lead_nowhere_else() {
    let running = start(None).await;
    let list = running.get("/api/v1/prompts").await;
    assert_eq!(list.json()["prompts"][0]["name"], json!("digits/1"), "{}", list.body);
    let sound = running.get("/api/v1/prompts/digits%2F1").await;
    assert!(sound.status == 200 && sound.head.contains("content-type: audio/wav"), "{}", sound.head);
    running.get("/api/v1/prompts/nothing").await.check_problem(404);
    running.get("/api/v1/prompts/..%2Fsecret").await.check_problem(400);
    let remove = async |name: &str| {
        let head = "Host: localhost\r\nConnection: close\r\n";
        running.send(format!("DELETE /api/v1/prompts/{name} HTTP/1.1\r\n{head}\r\n")).await
    };
    assert_eq!(remove("goodbye").await.status, 204);
    assert!(remove("office-closed").await.check_problem(409).contains("lines 33, 40"));
    assert!(remove("digits%2F1").await.check_problem(409).contains("lies with the machine"));
    remove("nothing").await.check_problem(404);
    let keep = |name: &str, body: Value| {
        let body = body.to_string();
        let head = "Host: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
        let length = body.len();
        running.send(format!("PUT /api/v1/prompts/{name} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}"))
    };
    let kept = keep("new", json!({ "wav": "A".repeat(1_000_000) })).await;
    assert_eq!((kept.status, &kept.json()["own"]), (200, &json!(true)), "a file may be longer than other bodies");
    assert_eq!(keep("new", json!({ "text": "we are closed", "voice": "en-us" })).await.status, 200);
    keep("digits%2F1", json!({ "text": "one" })).await.check_problem(409);
    for (body, status) in [
        (json!({}), 400),
        (json!({ "wav": "AA==", "text": "both" }), 400),
        (json!({ "wav": "AA==", "voice": "de" }), 400),
        (json!({ "wav": "no Base64!" }), 422),
    ] {
        keep("new", body).await.check_problem(status);
    }
    keep("new", json!({ "text": "hello", "voice": "--stdout" })).await.check_problem(400);
    running.server.shutdown().await;
}
