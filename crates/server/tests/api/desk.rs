//! The agent's desk over a real socket.

use serde_json::Value;

use super::users::{ask, cookie_of, staff};
use super::{start, start_with};

const OWN: &str = "Sec-Fetch-Site: same-origin\r\n";

#[tokio::test]
async fn an_agent_sees_and_handles_the_own_desk_and_nobody_elses() {
    let running = start_with(None, Vec::new(), staff()).await;
    let alice = format!("{}{OWN}", cookie_of(&running, "alice").await);
    let desk = ask(&running, "GET", "/api/v1/desk", &alice, "").await.json();
    assert_eq!((&desk["agent"]["name"], &desk["calls"][0]["call"]["id"]), (&"alice".into(), &"call-1".into()));
    assert_eq!((&desk["calls"][0]["entered"][0]["key"], &desk["offer"]), (&"1".into(), &Value::Null));
    let command = async |body: &str| ask(&running, "POST", "/api/v1/desk/commands", &alice, body).await;
    let held = command(r#"{"do":"hold","call":"call-1"}"#).await.json();
    assert_eq!((&held["calls"][0]["held"], &held["calls"][0]["call"]["state"]), (&true.into(), &"held".into()));
    let consulting = command(r#"{"do":"consult","number":"bob"}"#).await.json();
    assert_eq!(consulting["calls"][0]["call"]["guests"][1]["name"], "bob");
    let after = command(r#"{"do":"put-through"}"#).await.json();
    assert_eq!((&after["wrap_up"]["call"], &after["wrap_up"]["queue"]), (&"call-1".into(), &"sales".into()));
    let longer = command(r#"{"do":"extend-wrap-up","seconds":30}"#).await.json();
    assert_ne!(longer["wrap_up"]["until"], after["wrap_up"]["until"]);
    // The queue wants a code.
    let refused = command(r#"{"do":"wrap-up-done"}"#).await;
    refused.check_problem(409);
    assert_eq!(refused.json()["type"], "urn:offhook:wrap-up-code-wanted");
    // Nor is it over by another state.
    let state = async |state: &str| ask(&running, "POST", "/api/v1/agents/a-1/state", &alice, state).await;
    let refused = state(r#"{"state":"available"}"#).await;
    refused.check_problem(409);
    assert_eq!(refused.json()["type"], "urn:offhook:wrap-up-code-wanted");
    assert_eq!(state(r#"{"state":"not-ready"}"#).await.status, 200);
    let note = async |body: &str| ask(&running, "POST", "/api/v1/desk/wrap-up", &alice, body).await;
    note(r#"{"call":"call-1","code":"Order"}"#).await.check_problem(409);
    note(r#"{"call":"call-2","code":"Complaint"}"#).await.check_problem(409);
    note(r#"{"call":"call-1","code":"Complaint","by":"a-2"}"#).await.check_problem(403);
    note(&format!(r#"{{"call":"call-1","note":"{}"}}"#, "x".repeat(2_001))).await.check_problem(400);
    let noted = note(r#"{"call":"call-1","code":"Complaint","note":"Parcel was open."}"#).await.json();
    assert_eq!((&noted["codes"]["given"], &noted["codes"]["required"]), (&"Complaint".into(), &true.into()));
    assert_eq!(command(r#"{"do":"wrap-up-done"}"#).await.json()["agent"]["state"], "available");
    for (body, status) in [
        (r#"{"do":"wrap-up-done"}"#, 409),
        (r#"{"do":"hold"}"#, 409),
        (r#"{"do":"decline"}"#, 409),
        (r#"{"do":"hold","by":"a-2"}"#, 403),
        (r#"{"do":"hold","number":"1"}"#, 400),
        (r#"{"do":"transfer"}"#, 400),
        (r#"{"do":"transfer","number":"1","queue":"q-1"}"#, 400),
        (r#"{"do":"transfer","number":""}"#, 400),
        (r#"{"do":"extend-wrap-up","seconds":0}"#, 400),
        (r#"{"do":"dance"}"#, 400),
        (r#"{"do":"hold","call":"1"}"#, 400),
        (r#"{"do":"hold","call":null}"#, 422),
        (r#"{"do":"hold","loud":true}"#, 422),
    ] {
        command(body).await.check_problem(status);
    }
    ask(&running, "GET", "/api/v1/desk?by=a-2", &alice, "").await.check_problem(403);
    ask(&running, "POST", "/api/v1/desk/commands", &cookie_of(&running, "alice").await, "{}").await.check_problem(403);
    // Who is no agent has no desk.
    for name in ["auditor", "administrator"] {
        let cookie = cookie_of(&running, name).await;
        let status = if name == "auditor" { 403 } else { 404 };
        ask(&running, "GET", "/api/v1/desk", &cookie, "").await.check_problem(status);
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn an_offer_tells_caller_queue_wait_and_deadline_and_is_declined_once() {
    let running = start(None).await;
    let desk = running.get("/api/v1/desk?by=a-2").await.json();
    let offer = &desk["offer"];
    assert_eq!((&offer["queue"], &offer["call"]["caller"]), (&"sales".into(), &"+49301234003".into()));
    assert_eq!(
        (&offer["deadline"], &offer["waits_since"]),
        (&"2026-11-22T22:55:35.042Z".into(), &"2026-11-22T22:53:50.042Z".into())
    );
    let declined = running.post("/api/v1/desk/commands", r#"{"do":"decline","call":"call-3","by":"a-2"}"#).await.json();
    assert_eq!((&declined["offer"], &declined["agent"]["state"]), (&Value::Null, &"available".into()));
    running.post("/api/v1/desk/commands", r#"{"do":"decline","by":"a-2"}"#).await.check_problem(409);
    running.get("/api/v1/desk?by=a-99").await.check_problem(404);
    running.get("/api/v1/desk?by=bob").await.check_problem(400);
    running.get("/api/v1/desk").await.check_problem(404);
    running.server.shutdown().await;
}

#[tokio::test]
async fn earlier_calls_are_told_of_the_own_caller_alone_and_codes_are_found_and_counted() {
    let running = start_with(None, Vec::new(), staff()).await;
    let alice = format!("{}{OWN}", cookie_of(&running, "alice").await);
    let bob = format!("{}{OWN}", cookie_of(&running, "bob").await);
    let history = async |who: &str, call: &str| {
        let reply = ask(&running, "GET", &format!("/api/v1/desk/history?call={call}"), who, "").await;
        reply.json()["calls"].as_array().map(Vec::len)
    };
    assert_eq!((history(&alice, "call-1").await, history(&alice, "call-3").await), (Some(3), Some(0)));
    assert_eq!((history(&bob, "call-3").await, history(&bob, "call-1").await), (Some(3), Some(0)));
    let first = ask(&running, "GET", "/api/v1/desk/history?call=call-1", &alice, "").await.json()["calls"][0].clone();
    let noted = &first["wrap_ups"][0];
    assert_eq!((&noted["code"], &noted["note"]), (&"Order/New".into(), &"Wants two more, by Friday.".into()));
    assert!(first.get("caller").is_none(), "the number is not told again");
    let in_hand = ask(&running, "GET", "/api/v1/desk/history", &alice, "").await.json();
    assert_eq!(in_hand["calls"][0], first);
    ask(&running, "GET", "/api/v1/desk/history?call=1", &alice, "").await.check_problem(400);
    ask(&running, "GET", "/api/v1/desk/history?call=call-3&by=a-2", &alice, "").await.check_problem(403);
    // Records and reports are not an agent's.
    ask(&running, "GET", "/api/v1/reports/codes", &alice, "").await.check_problem(403);
    let of_code = async |code: &str| {
        let reply = ask(&running, "GET", &format!("/api/v1/records?code={code}"), &bob, "").await;
        reply.json()["records"].as_array().map(Vec::len)
    };
    assert_eq!((of_code("Order/New").await, of_code("Complaint").await), (Some(3), Some(0)));
    let note = r#"{"call":"call-1","code":"Complaint"}"#;
    ask(&running, "POST", "/api/v1/desk/wrap-up", &alice, note).await.json();
    let report = ask(&running, "GET", "/api/v1/reports/codes", &bob, "").await.json();
    assert_eq!((&report["rows"][0]["code"], &report["rows"][0]["times"]), (&"Complaint".into(), &1.into()));
    ask(&running, "GET", "/api/v1/reports/codes?zone=Mars", &bob, "").await.check_problem(404);
    running.server.shutdown().await;
}

#[tokio::test]
async fn own_figures_and_callbacks_of_the_own_queues_are_told() {
    let running = start_with(None, Vec::new(), staff()).await;
    let alice = cookie_of(&running, "alice").await;
    let figures = ask(&running, "GET", "/api/v1/desk/figures", &alice, "").await.json();
    let percents = (figures["answer_rate_percent"].as_f64(), figures["occupancy_percent"].as_f64());
    // 36 of 40; (5,700 + 900) of (5,700 + 900 + 3,300).
    assert_eq!(percents, (Some(90.0), Some(66.67)));
    assert_eq!((&figures["handled"], &figures["average_handling_time_ms"]), (&36.into(), &183_333.into()));
    let callbacks = ask(&running, "GET", "/api/v1/desk/callbacks", &alice, "").await.json();
    assert_eq!((&callbacks["open"], &callbacks["callbacks"][0]["queue"]), (&3.into(), &"sales".into()));
    running.server.shutdown().await;
}
