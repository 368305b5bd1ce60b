//! Why a call waits, and where it is to go.

use serde_json::Value;

use crate::start;

#[tokio::test]
async fn a_waiting_call_is_given_to_an_agent_or_moved_to_a_queue_and_a_program_answers_where_it_is_asked() {
    let running = start(None).await;
    let calls = running.get("/api/v1/calls").await.json();
    let up = |state: &str| calls["calls"].as_array().expect("calls").iter().find(|call| call["state"] == state);
    let id = |state: &str| up(state).expect("one is")["id"].as_str().expect("an id").to_owned();
    assert_eq!(up("waiting").expect("one waits")["asked_until"], Value::Null);
    let place = |state: &str| format!("/api/v1/calls/{}/placement", id(state));
    let decide = |state: &str| format!("/api/v1/calls/{}/decision", id(state));
    let why = running.get(&place("waiting").replace("placement", "explanation")).await.json();
    assert_eq!((&why["queue"], &why["strategy"], &why["ahead"]), (&"sales".into(), &"longest-idle".into(), &1.into()));
    let told = |at: usize| ["standing", "why", "about"].map(|what| why["candidates"][at][what].clone());
    assert_eq!(told(0), ["chosen".into(), Value::Null, Value::Null]);
    assert_eq!(told(1), ["passed-over", "not-ready", "lunch"]);
    assert_eq!(told(2), ["passed-over", "lacks-skill", "claims"]);
    running.get(&place("talking").replace("placement", "explanation")).await.check_problem(409);
    running.get("/api/v1/calls/call-99/explanation").await.check_problem(404);
    let given = running.post(&place("waiting"), r#"{"agent":"a-1","wait_s":20}"#).await.json();
    let alice = running.get("/api/v1/agents").await.json()["agents"][0]["name"].clone();
    assert_eq!((&given["call"]["agent"], &given["call"]["state"]), (&alice, &"waiting".into()));
    assert_eq!(running.post(&place("waiting"), r#"{"agent":"a-1","wait_s":20.0}"#).await.status, 200);
    let moved = running.post(&place("waiting"), r#"{"queue":"q-2","by":"a-3"}"#).await.json();
    assert_eq!(moved["call"]["queue"], "support");
    let decided = running.post(&decide("waiting"), r#"{"agent":"a-1"}"#).await.json();
    assert_eq!(decided["call"]["agent"], alice);
    for (path, body, status) in [
        (place("talking"), r#"{"queue":"q-2"}"#, 409),
        (place("waiting"), r#"{"queue":"q-9"}"#, 404),
        (place("waiting"), r#"{"agent":"a-99"}"#, 404),
        (place("waiting"), r#"{"queue":"q-2","by":"a-9"}"#, 403),
        (place("waiting"), r#"{"queue":"sales"}"#, 400),
        (place("waiting"), r#"{"queue":"q-2","agent":"a-1"}"#, 400),
        (place("waiting"), r#"{"queue":"q-2","wait_s":5}"#, 400),
        (place("waiting"), r#"{"agent":"a-1","wait_s":0}"#, 400),
        (place("waiting"), r#"{"agent":"a-1","wait_s":3601}"#, 400),
        (place("waiting"), "{}", 400),
        (place("waiting"), r#"{"queue":"q-2","agent":null}"#, 422),
        (place("waiting"), r#"{"agent":"a-1","wait_s":1.5}"#, 422),
        (decide("waiting"), "{}", 409),
        (decide("waiting"), r#"{"wait_s":5}"#, 400),
        ("/api/v1/calls/call-99/placement".to_owned(), r#"{"queue":"q-2"}"#, 404),
        ("/api/v1/calls/nobody/decision".to_owned(), "{}", 400),
    ] {
        running.post(&path, body).await.check_problem(status);
    }
    running.server.shutdown().await;
}
