//! Users over a real socket: who may do what, and how they show who they are.

use std::sync::{Arc, OnceLock};

use offhook_server::{Codes, LiveEvent, Password, ROUTES, Role, TokenUser, User};
use offhook_units::AgentId;
use serde_json::{Value, json};

use super::support::NOW;
use super::{Reply, Running, TOKEN, start, start_with};

const PASSWORD: &str = "staple battery horse";
const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// Made once: each costs what it is meant to cost.
fn hash() -> Password {
    static HASH: OnceLock<Password> = OnceLock::new();
    HASH.get_or_init(|| Password::of(PASSWORD).expect("long enough")).clone()
}

fn user(name: &str, role: Role, agent: Option<u64>) -> User {
    let agent = agent.map(|id| (AgentId(id), name.to_owned()));
    User { name: name.to_owned(), password: Some(hash()), openid: None, codes: None, roles: vec![role], agent }
}

/// One user of each role, named after it; the agent is alice, who talks, and the supervisor is bob.
pub fn staff() -> Vec<User> {
    let of = |role: Role| match role {
        Role::Agent => user("alice", role, Some(1)),
        Role::Supervisor => user("bob", role, Some(2)),
        _ => user(role.name(), role, None),
    };
    Role::ALL.iter().map(|(_, role)| of(*role)).collect()
}

async fn sign_in(running: &Running, body: &Value) -> Reply {
    running.post("/api/v1/session", &body.to_string()).await
}

/// The header of somebody who has signed in.
pub async fn cookie_of(running: &Running, name: &str) -> String {
    let reply = sign_in(running, &json!({ "name": name, "password": PASSWORD })).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let line = reply.head.lines().find(|line| line.starts_with("set-cookie: ")).expect("a cookie");
    assert!(line.contains("httponly") && line.contains("samesite=strict"), "{line}");
    let cookie = line.trim_start_matches("set-cookie: ").split(';').next().expect("a pair");
    format!("Cookie: {cookie}\r\n")
}

pub async fn ask(running: &Running, method: &str, path: &str, headers: &str, body: &str) -> Reply {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}");
    let length = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    running.send(format!("{head}{length}\r\n{body}")).await
}

/// A request to each route that gets as far as the route.
fn example(path: &str) -> (String, &'static str) {
    let body = match path.rsplit('/').next() {
        Some("state") => r#"{"state":"available"}"#,
        Some("supervise") => r#"{"how":"listen","by":"a-2"}"#,
        Some("recording") => r#"{"state":"paused"}"#,
        Some("wrap-up") => r#"{"call":"call-1"}"#,
        Some("commands") => r#"{"do":"hold"}"#,
        Some("guests") => r#"{"number":"100","by":"a-2"}"#,
        _ => "",
    };
    let id = match path {
        path if path.starts_with("/api/v1/agents") => "a-2",
        path if path.starts_with("/api/v1/recordings") => "r-1",
        path if path.starts_with("/api/v1/callbacks") => "c-1f",
        _ => "call-1",
    };
    (path.replace("{id}", id).replace("{source}", "192.0.2.66").replace("{guest}", "l-8"), body)
}

#[tokio::test]
async fn each_role_gets_through_to_what_its_rights_allow_and_to_nothing_else() {
    let running = start_with(None, Vec::new(), staff()).await;
    let mut refused = 0;
    for (_, role) in Role::ALL {
        let name = match role {
            Role::Agent => "alice",
            Role::Supervisor => "bob",
            _ => role.name(),
        };
        let cookie = format!("{}Sec-Fetch-Site: same-origin\r\n", cookie_of(&running, name).await);
        for (method, path, right) in &ROUTES {
            let (target, body) = example(path);
            if *path == "/api/v1/events" {
                continue;
            }
            let reply = ask(&running, method.as_str(), &target, &cookie, body).await;
            let mut allowed = role.rights().has(*right);
            // Bob's state is not alice's to change.
            allowed &= !(role == Role::Agent && *path == "/api/v1/agents/{id}/state");
            assert_eq!(reply.status != 403, allowed, "{name}: {method} {target}: {} {}", reply.status, reply.body);
            assert_ne!(reply.status, 401, "{name}: {method} {target}");
            refused += usize::from(!allowed);
        }
    }
    assert!(refused > 40, "{refused}");
    running.server.shutdown().await;
}

#[tokio::test]
async fn every_route_asks_who_is_there() {
    let running = start_with(None, Vec::new(), staff()).await;
    for (method, path, _) in &ROUTES {
        let (target, body) = example(path);
        ask(&running, method.as_str(), &target, "", body).await.check_problem(401);
    }
    let session = running.get("/api/v1/session").await.json();
    assert_eq!((&session["signed_in"], &session["ways"]), (&json!(false), &json!(["password"])));
    running.server.shutdown().await;
}

#[tokio::test]
async fn an_agent_sees_its_own_call_alone_and_changes_its_own_state() {
    let running = start_with(None, Vec::new(), staff()).await;
    let cookie = cookie_of(&running, "alice").await;
    let session = running.get_with("/api/v1/session", &cookie).await.json();
    assert_eq!(session["who"], "user alice");
    assert_eq!(session["agent"], json!({ "id": "a-1", "name": "alice" }));
    let calls = running.get_with("/api/v1/calls", &cookie).await.json();
    let agents: Vec<&str> =
        calls["calls"].as_array().unwrap().iter().filter_map(|call| call["agent"].as_str()).collect();
    assert_eq!((calls["calls"].as_array().unwrap().len(), agents), (1, vec!["alice"]));

    let own = format!("{cookie}Origin: http://localhost\r\n");
    let reply = ask(&running, "POST", "/api/v1/agents/a-1/state", &own, r#"{"state":"available"}"#).await;
    assert_eq!((reply.status, &reply.json()["state"]), (200, &json!("available")));
    assert!(
        running.view.audit.lock().unwrap().iter().all(|entry| entry.action == "sign-in"),
        "one's own state is no audit"
    );

    let mut listener = running.listen(&cookie).await;
    let of = |n: usize| LiveEvent::Call(running.view.calls[n].clone());
    running.events.publish(NOW, of(2));
    running.events.publish(NOW, of(0));
    let text = listener.until("call-1").await;
    assert!(!text.contains("call-3"), "another agent's call was told: {text}");
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_supervisor_acts_as_the_own_agent_and_it_is_written_down_by_name() {
    let running = start_with(None, Vec::new(), staff()).await;
    let own = format!("{}Sec-Fetch-Site: same-origin\r\n", cookie_of(&running, "bob").await);
    let path = "/api/v1/calls/call-1/supervise";
    assert_eq!(ask(&running, "POST", path, &own, r#"{"how":"listen"}"#).await.status, 200);
    let reply = ask(&running, "POST", path, &own, r#"{"how":"listen","by":"a-1"}"#).await;
    assert!(reply.check_problem(403).contains("is not that agent"));
    let reply = ask(&running, "POST", "/api/v1/agents/a-3/state", &own, r#"{"state":"available"}"#).await;
    assert_eq!(reply.status, 200);
    assert_eq!(running.bytes("/api/v1/recordings/r-1/audio", &own).await.0.split(' ').nth(1), Some("200"));
    let audit = running.view.audit.lock().unwrap().clone();
    let told: Vec<_> = audit.iter().map(|entry| (entry.who.as_str(), entry.action.as_str())).collect();
    let bob = "user bob from 127.0.0.1";
    assert_eq!(told, [(bob, "sign-in"), (bob, "supervise"), (bob, "set agent state"), (bob, "play")]);
    assert_eq!(audit[1].detail, "listen as a-2");
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_page_of_another_site_sends_no_command_in_a_users_name() {
    let running = start_with(None, Vec::new(), staff()).await;
    let cookie = cookie_of(&running, "bob").await;
    let (path, body) = ("/api/v1/agents/a-2/state", r#"{"state":"available"}"#);
    for foreign in ["Sec-Fetch-Site: cross-site\r\n", "Origin: https://evil.example\r\n", ""] {
        ask(&running, "POST", path, &format!("{cookie}{foreign}"), body).await.check_problem(403);
        let foreign = format!("{foreign}Origin: https://evil.example\r\n");
        let wanted = json!({ "name": "bob", "password": PASSWORD }).to_string();
        ask(&running, "POST", "/api/v1/session", &foreign, &wanted).await.check_problem(403);
    }
    assert_eq!(running.get_with("/api/v1/agents", &cookie).await.status, 200);
    running.server.shutdown().await;
}

#[tokio::test]
async fn signing_out_ends_the_session_and_what_it_listens_to() {
    let running = start_with(None, Vec::new(), staff()).await;
    let cookie = cookie_of(&running, "bob").await;
    let own = format!("{cookie}Sec-Fetch-Site: same-origin\r\n");
    let mut listener = running.listen(&cookie).await;
    let reply = ask(&running, "DELETE", "/api/v1/session", &own, "").await;
    assert_eq!(reply.status, 204);
    assert!(reply.head.contains("max-age=0"), "{}", reply.head);
    // The last chunk of a body.
    listener.until("\r\n0\r\n\r\n").await;
    running.get_with("/api/v1/agents", &cookie).await.check_problem(401);
    assert_eq!(ask(&running, "DELETE", "/api/v1/session", "", "").await.status, 204, "there is nothing to end");
    running.server.shutdown().await;
}

#[tokio::test]
async fn who_tries_passwords_waits_and_the_log_holds_no_password() {
    let running = start_with(None, Vec::new(), staff()).await;
    for _ in 0..5 {
        let reply = sign_in(&running, &json!({ "name": "bob", "password": "not the one" })).await;
        assert_eq!(reply.check_problem(401), "name, password or code is wrong");
    }
    sign_in(&running, &json!({ "name": PASSWORD, "password": "bob" })).await.check_problem(401);
    let reply = sign_in(&running, &json!({ "name": "bob", "password": PASSWORD })).await;
    assert!(reply.check_problem(429).contains("in 1 s"));
    assert!(reply.head.contains("retry-after: 1"));
    let entries = running.view.audit.lock().unwrap().clone();
    assert_eq!(entries.len(), 6);
    assert_eq!(entries[0].subject, "user bob");
    assert!(!format!("{entries:?}").contains(PASSWORD), "a password in the wrong field");
    let metrics = start_with(Some(TOKEN), Vec::new(), staff()).await;
    sign_in(&metrics, &json!({ "name": "bob", "password": "not the one" })).await.check_problem(401);
    let text = metrics.get_with("/metrics", &format!("Authorization: Bearer {TOKEN}\r\n")).await.body;
    assert!(text.contains(r#"offhook_sign_ins_total{result="wrong"} 1"#), "{text}");
    running.server.shutdown().await;
    metrics.server.shutdown().await;
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_is_good_once() {
    let codes = Some(Arc::new(Codes::parse(SECRET, "ann").expect("a secret")));
    let users = vec![User { codes, ..user("ann", Role::Administrator, None) }];
    let running = start_with(None, Vec::new(), users).await;
    let reply = sign_in(&running, &json!({ "name": "ann", "password": PASSWORD })).await;
    reply.check_problem(401);
    assert_eq!(reply.json()["type"], "urn:offhook:code-wanted");
    // Without the right password nothing is told of codes.
    let reply = sign_in(&running, &json!({ "name": "ann", "password": "not the one" })).await;
    assert_eq!(reply.json()["type"], "about:blank");
    let with = |code: &str| json!({ "name": "ann", "password": PASSWORD, "code": code });
    sign_in(&running, &with("000000")).await.check_problem(401);
    // Of RFC 6238's algorithm, at the time of the fixed exchange.
    let code = code_at(NOW.as_us() / 1_000_000);
    assert_eq!(sign_in(&running, &with(&code)).await.status, 200);
    sign_in(&running, &with(&code)).await.check_problem(401);
    running.server.shutdown().await;
}

/// What an authenticator shows at that time.
fn code_at(at: u64) -> String {
    let secret = totp_rs::Secret::Encoded(SECRET.to_owned()).to_bytes().expect("base 32");
    let name = ("Offhook".to_owned(), "ann".to_owned());
    let totp = totp_rs::TOTP::new(totp_rs::Algorithm::SHA1, 6, 0, 30, secret, Some(name.0), name.1);
    totp.expect("good settings").generate(at)
}

#[tokio::test]
async fn a_program_has_the_rights_of_its_token_and_the_exchange_keeps_its_hash_alone() {
    let sha256 = offhook_server::token_hash("wallboard-0123456789");
    let tokens = vec![TokenUser { name: "wallboard".to_owned(), sha256, roles: vec![Role::Operator] }];
    let running = start_with(None, tokens, Vec::new()).await;
    let header = "Authorization: Bearer wallboard-0123456789\r\n";
    assert_eq!(running.get_with("/api/v1/queues", header).await.status, 200);
    assert_eq!(running.get_with("/metrics", header).await.status, 200);
    running.get_with("/api/v1/recordings", header).await.check_problem(403);
    running.get_with("/api/v1/queues", "Authorization: Bearer wallboard-012345678\r\n").await.check_problem(401);
    let session = running.get_with("/api/v1/session", header).await.json();
    assert_eq!((&session["who"], &session["ways"]), (&json!("token wallboard"), &json!(["token"])));
    running.server.shutdown().await;

    let open = start(None).await;
    let session = open.get("/api/v1/session").await.json();
    assert_eq!((&session["signed_in"], &session["ways"]), (&json!(true), &json!([])));
    open.server.shutdown().await;
}
