//! The API over a real socket, against an exchange of fixed views.
#![expect(clippy::disallowed_types, reason = "a stand-in for the event log")]

mod configuration;
mod desk;
mod feed;
mod idempotency;
mod openapi;
mod openid;
mod packing;
mod paging;
mod placement;
mod rates;
mod reports;
mod secure;
#[path = "../support/mod.rs"]
mod support;
mod users;
mod visitors;
mod webhooks;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use offhook_call::record::CallEnd;
use offhook_server::{
    EntrancePage, EventSender, LiveEvent, Metrics, Occurred, PhoneSettings, Server, ServerOptions, StartError,
    TokenUser, User, WebSocketAt, Webhooks, events,
};
use offhook_units::CallId;
use serde_json::Value;
use support::{Fixed, NOW};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConfig;

const TOKEN: &str = "0123456789abcdef";
/// More than any test asks for, but the one that asks for more.
const REQUESTS_PER_S: u32 = 40;

fn shop() -> EntrancePage {
    let [name, title, origin] = ["shop", "Call the shop", "https://shop.test"].map(str::to_owned);
    EntrancePage { name, title, origins: vec![origin] }
}

struct Running {
    server: Server,
    view: Arc<Fixed>,
    events: EventSender,
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// A problem with this status, whose body says the same and is typed as a problem.
    fn check_problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        let problem = self.json();
        assert_eq!(problem["status"], status);
        problem["detail"].as_str().expect("a detail").to_owned()
    }
}

async fn start(token: Option<&str>) -> Running {
    start_with(token, Vec::new(), Vec::new()).await
}

async fn start_with(token: Option<&str>, tokens: Vec<TokenUser>, users: Vec<User>) -> Running {
    start_over(None, token, tokens, users).await
}

async fn start_over(
    tls: Option<Arc<ServerConfig>>,
    token: Option<&str>,
    tokens: Vec<TokenUser>,
    users: Vec<User>,
) -> Running {
    start_all(Fixed::centre(NOW), tls, token, (tokens, users), Webhooks::default()).await
}

async fn start_telling(webhooks: Webhooks) -> Running {
    start_telling_of(Vec::new(), webhooks).await
}

/// With an event log that holds this.
async fn start_telling_of(log: Vec<Occurred>, webhooks: Webhooks) -> Running {
    let view = Fixed { log: Mutex::new(log), ..Fixed::centre(NOW) };
    start_all(view, None, None, (Vec::new(), Vec::new()), webhooks).await
}

async fn start_all(
    view: Fixed,
    tls: Option<Arc<ServerConfig>>,
    token: Option<&str>,
    (tokens, users): (Vec<TokenUser>, Vec<User>),
    webhooks: Webhooks,
) -> Running {
    let view = support::shared(view);
    let (events, receiver) = events();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut metrics = Metrics::new();
    let ended = metrics.calls_ended();
    ended.of(CallEnd::Abandoned).add(3);
    metrics.gauge_fn("offhook_calls_active", "Calls up", &[], || 4.0);
    let websockets = [(false, [0, 0, 0, 0], 5_066), (true, [192, 0, 2, 9], 5_067)]
        .map(|(secure, ip, port)| WebSocketAt { secure, address: SocketAddr::from((ip, port)) });
    let phone = PhoneSettings {
        realm: "house.test".to_owned(),
        websockets: websockets.to_vec(),
        sound_check: Some("*43".to_owned()),
    };
    let options = ServerOptions {
        listen,
        token: token.map(ToOwned::to_owned),
        tokens,
        users,
        openid: None,
        entrances: vec![shop()],
        tls,
        phone,
        requests_per_s: REQUESTS_PER_S,
        webhooks,
    };
    let server = Server::start(options, Arc::clone(&view) as _, receiver, metrics).await.expect("a server");
    Running { server, view, events }
}

impl Running {
    async fn send(&self, request: String) -> Reply {
        let mut stream = TcpStream::connect(self.server.local_addr()).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes));
        read.await.expect("an answer in time").expect("an answer");
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Reply { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// The head in small letters, and the body as it is.
    async fn bytes(&self, path: &str, headers: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.server.local_addr()).await.expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes));
        read.await.expect("an answer in time").expect("an answer");
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        (String::from_utf8_lossy(&bytes[..end]).to_lowercase(), bytes[end + 4..].to_vec())
    }

    async fn get(&self, path: &str) -> Reply {
        self.get_with(path, "").await
    }

    async fn get_with(&self, path: &str, headers: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")).await
    }

    async fn delete(&self, path: &str) -> Reply {
        self.send(format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await
    }

    async fn post(&self, path: &str, body: &str) -> Reply {
        let head = "Host: localhost\r\nConnection: close\r\nContent-Type: application/json";
        self.send(format!("POST {path} HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await
    }

    /// Opens the event stream and returns it once the server has said that it is connected.
    async fn listen(&self, headers: &str) -> Listener {
        let mut stream = TcpStream::connect(self.server.local_addr()).await.expect("a connection");
        let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut listener = Listener { stream, text: String::new() };
        listener.until("connected").await;
        listener
    }
}

struct Listener {
    stream: TcpStream,
    text: String,
}

impl Listener {
    /// Reads until `mark` was seen, and returns all that was read.
    async fn until(&mut self, mark: &str) -> &str {
        let mut bytes = [0; 4_096];
        while !self.text.contains(mark) {
            let read = tokio::time::timeout(Duration::from_secs(10), self.stream.read(&mut bytes));
            let count = read.await.unwrap_or_else(|_| panic!("no {mark} in {}", self.text)).expect("a read");
            assert!(count > 0, "the stream ended before {mark}: {}", self.text);
            self.text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        &self.text
    }

    /// Numbers of events, in order. What has no data is none.
    fn ids(&self) -> Vec<u64> {
        let events = self.text.split("\n\n").filter(|event| event.contains("\ndata: "));
        let ids = events.flat_map(str::lines).filter_map(|line| line.strip_prefix("id: "));
        ids.map(|id| id.trim().parse().expect("a number")).collect()
    }
}

fn ended(call: u64) -> LiveEvent {
    LiveEvent::CallEnded { call: CallId(call), end: CallEnd::CallerHungUp }
}

#[tokio::test]
async fn queues_agents_and_calls_are_told_as_they_are_now() {
    let running = start(None).await;
    let queues = running.get("/api/v1/queues").await.json();
    assert_eq!(queues["at"], "2026-11-22T22:55:19.042Z");
    let sales = &queues["queues"][0];
    assert_eq!((&sales["id"], &sales["name"]), (&"q-1".into(), &"sales".into()));
    assert_eq!((&sales["waiting"], &sales["longest_wait_ms"]), (&2.into(), &31_500.into()));
    assert_eq!(sales["today"]["service_level_percent"], 81.9);
    assert_eq!(sales["today"]["service_level_formula"], "short-excluded");

    let expected = serde_json::json!({ "place": 3, "agents": 3, "p50_ms": 95_500, "p80_ms": 170_000 });
    assert_eq!((&sales["expected_wait"], &queues["queues"][1]["expected_wait"]), (&expected, &Value::Null));
    assert_eq!((&sales["lends"], &queues["queues"][1]["lends"]), (&Value::Null, &true.into()));
    let forecasts = &sales["today"]["forecasts"];
    let p80 = serde_json::json!({ "within": 62, "beyond": 18, "coverage_percent": 77.5, "mean_loss_ms": 9_000 });
    assert_eq!((&forecasts["made"], &forecasts["p80"]), (&84.into(), &p80));

    let hours = &sales["hours"];
    assert_eq!((&hours["calendar"], &hours["until"]), (&"office".into(), &"2027-01-15T08:00:00.000Z".into()));
    assert_eq!(running.get("/api/v1/calendars").await.json()["calendars"][0], *hours);

    let callbacks = running.get("/api/v1/callbacks").await.json();
    let first = &callbacks["callbacks"][0];
    assert_eq!((&first["id"], &first["number"]), (&"c-1f".into(), &"+4940111".into()));
    assert_eq!((&first["tried"], &first["position"]), (&1.into(), &2.into()));

    let agents = running.get("/api/v1/agents").await.json();
    let carol = &agents["agents"][2];
    assert_eq!((&carol["state"], &carol["reason"]), (&"not-ready".into(), &"lunch".into()));
    assert_eq!(agents["agents"][0]["call"], "call-1");

    let trunks = running.get("/api/v1/trunks").await.json();
    let carrier = &trunks["trunks"][0];
    assert_eq!(
        (&carrier["name"], &carrier["calls"], &carrier["calls_max"]),
        (&"carrier".into(), &3.into(), &30.into())
    );
    assert_eq!(carrier["registration"]["state"], "registered");
    assert_eq!((&carrier["targets"][0]["up"], &carrier["targets"][1]["up"]), (&true.into(), &false.into()));
    assert_eq!(carrier["since_start"]["outgoing_answered"], 31);

    let calls = running.get("/api/v1/calls").await.json();
    let waiting = &calls["calls"][1];
    assert_eq!((&waiting["state"], &waiting["position"]), (&"waiting".into(), &2.into()));
    assert_eq!(waiting["since"], "2026-11-22T22:54:48.042Z");
    running.server.shutdown().await;
}

#[tokio::test]
async fn records_come_in_pages_and_one_by_one() {
    let running = start(None).await;
    let page = running.get("/api/v1/records?limit=2").await.json();
    let ids = |page: &Value| -> Vec<String> {
        let records = page["records"].as_array().expect("records");
        records.iter().map(|record| record["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(&page), ["call-3", "call-2"]);
    assert_eq!(page["next"], "call-2");
    let rest = running.get("/api/v1/records?limit=2&before=call-2").await.json();
    assert_eq!((ids(&rest), &rest["next"]), (vec!["call-1".to_owned()], &Value::Null));

    let one = running.get("/api/v1/records/call-2").await.json();
    assert_eq!((&one["end"], &one["held_ms"]), (&"caller-hung-up".into(), &1_500.into()));
    assert_eq!(one["recording"]["path"], "2026-11-22/r-2.wav");
    assert_eq!(one["caller_media"]["peer_lost_percent"], 25.0);
    let heard = &one["caller_speech"]["heard"];
    assert_eq!((&heard["mos"], &heard["mos_worst"]), (&4.38.into(), &2.07.into()));
    assert_eq!((&heard["good_seconds"], &heard["poor_seconds"]), (&88.into(), &1.into()));
    assert_eq!(one["caller_speech"]["sent"], Value::Null, "the peer reported nothing");
    let level = &one["caller_level"];
    assert_eq!((&level["speech_dbov"], &level["active_percent"]), (&(-26.3).into(), &40.into()));
    assert_eq!(one["agent_level"], Value::Null);
    let told = &one["caller_told"];
    assert_eq!((&told["mos_conversational"], &told["lost_percent"]), (&2.9.into(), &10.2.into()));
    assert_eq!((&told["jitter_buffer_ms"], &told["round_trip_ms"]), (&60.into(), &Value::Null));
    let srtp = &one["caller_srtp"];
    assert_eq!((&srtp["suite"], &srtp["failed_packets"]), (&"AES_CM_128_HMAC_SHA1_80".into(), &3.into()));
    assert_eq!(one["agent_srtp"], Value::Null);

    running.get("/api/v1/records/call-77").await.check_problem(404);
    for wrong in ["?limit=0", "?limit=501", "?limit=x", "?before=zz", "?befor=call-2"] {
        running.get(&format!("/api/v1/records{wrong}")).await.check_problem(400);
    }
    running.get("/api/v1/records/zz").await.check_problem(400);
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_calls_sip_messages_are_told_in_order_and_as_a_file() {
    let running = start(None).await;
    let ladder = running.get("/api/v1/calls/call-1/ladder").await.json();
    assert_eq!((&ladder["call"], &ladder["cut"]), (&"call-1".into(), &false.into()));
    assert_eq!(ladder["legs"], serde_json::json!(["trunk demo", "agent bob", "agent alice"]));
    let message = &ladder["messages"][5];
    for (field, value) in [
        ("at", "2026-11-22T22:55:25.084Z"),
        ("direction", "in"),
        ("transport", "UDP"),
        ("from", "192.0.2.10:5060"),
        ("to", "192.0.2.1:5060"),
        ("first_line", "SIP/2.0 486 Busy Here"),
    ] {
        assert_eq!(message[field], value, "{field}");
    }
    assert_eq!((&message["leg"], &message["after_us"]), (&1.into(), &6_042_000.into()));
    assert!(message["text"].as_str().is_some_and(|text| text.ends_with("\r\n\r\n")));
    assert_eq!(ladder["messages"][4]["to"], "192.0.2.10:5060");
    let detail = running.get("/api/v1/calls/call-99/ladder").await.check_problem(404);
    assert!(detail.contains("kept"), "{detail}");
    running.get("/api/v1/calls/call-99/pcap").await.check_problem(404);
    running.get("/api/v1/calls/nobody/ladder").await.check_problem(400);
}

#[tokio::test]
async fn a_supervisor_listens_turns_and_leaves_a_third_party_comes_and_goes_or_the_reason_why_not_is_told() {
    let running = start(None).await;
    let calls = running.get("/api/v1/calls").await.json();
    let up =
        |state: &str| calls["calls"].as_array().expect("calls").iter().find(|call| call["state"] == state).cloned();
    let (talking, waiting) = (up("talking").expect("one talks"), up("waiting").expect("one waits"));
    assert_eq!((&talking["guests"][0]["name"], &talking["guests"][0]["part"]), (&"carol".into(), &"listen".into()));
    let level = serde_json::json!({ "speech_dbov": -26.3, "active_percent": 40, "measured_ms": 60_000 });
    let sounds = serde_json::json!({ "heard": "good", "sent": "poor", "level": level, "told": null });
    assert_eq!((&talking["quiet"], &waiting["quiet"]), (&"caller".into(), &Value::Null));
    assert_eq!((&talking["agent_sounds"], &talking["caller_sounds"]["heard"]), (&sounds, &"good".into()));
    let path = |call: &Value, rest: &str| format!("/api/v1/calls/{}/{rest}", call["id"].as_str().expect("an id"));
    let supervise = path(&talking, "supervise");
    let set = running.post(&supervise, r#"{"by":"a-3","how":"whisper"}"#).await;
    assert_eq!((set.status, &set.json()["guests"][0]["part"]), (200, &"whisper".into()));
    let left = running.post(&supervise, r#"{"by":"a-3","how":"leave"}"#).await;
    assert_eq!(left.json()["guests"], Value::Array(Vec::new()));
    let came = running.post(&path(&talking, "guests"), r#"{"by":"a-1","number":"030123"}"#).await.json();
    assert_eq!((&came["guests"][1]["name"], &came["guests"][1]["joined"]), (&"030123".into(), &Value::Null));
    assert_eq!(running.delete(&path(&talking, "guests/l-7")).await.status, 200);
    for (path, body, status) in [
        (supervise.clone(), r#"{"by":"a-9","how":"listen"}"#, 403),
        (path(&waiting, "supervise"), r#"{"by":"a-3","how":"listen"}"#, 409),
        ("/api/v1/calls/call-99/supervise".to_owned(), r#"{"by":"a-3","how":"listen"}"#, 404),
        ("/api/v1/calls/nobody/supervise".to_owned(), r#"{"by":"a-3","how":"listen"}"#, 400),
        (supervise.clone(), r#"{"by":"carol","how":"listen"}"#, 400),
        (supervise.clone(), r#"{"by":"a-3","how":"spy"}"#, 400),
        (supervise.clone(), r#"{"by":"a-3"}"#, 422),
        (path(&talking, "guests"), r#"{"by":"a-1","number":""}"#, 400),
    ] {
        running.post(&path, body).await.check_problem(status);
    }
    running.delete(&path(&talking, "guests/bob")).await.check_problem(400);
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_recording_is_paused_in_somebodys_name_and_gone_on_with_or_the_reason_why_not_is_told() {
    let running = start(None).await;
    let calls = running.get("/api/v1/calls").await.json();
    let up =
        |state: &str| calls["calls"].as_array().expect("calls").iter().find(|call| call["state"] == state).cloned();
    let (talking, waiting) = (up("talking").expect("one talks"), up("waiting").expect("one waits"));
    assert_eq!((&talking["recorded"]["state"], &waiting["recorded"]["state"]), (&"recording".into(), &"off".into()));
    let path = |call: &Value| format!("/api/v1/calls/{}/recording", call["id"].as_str().expect("an id"));
    let paused = running.post(&path(&talking), r#"{"state":"paused","by":"a-1"}"#).await.json();
    assert_eq!((&paused["state"], &paused["recording"]), (&"paused".into(), &"r-9".into()));
    assert_eq!(paused["paused"]["by"], serde_json::json!({ "who": "agent", "agent": "a-1" }));
    let on = running.post(&path(&talking), r#"{"state":"recording"}"#).await.json();
    assert_eq!((&on["state"], &on["paused"]), (&"recording".into(), &Value::Null));
    for (path, body, status) in [
        (path(&waiting), r#"{"state":"paused"}"#, 409),
        ("/api/v1/calls/call-99/recording".to_owned(), r#"{"state":"paused"}"#, 404),
        ("/api/v1/calls/nobody/recording".to_owned(), r#"{"state":"paused"}"#, 400),
        (path(&talking), r#"{"state":"erased"}"#, 400),
        (path(&talking), r#"{"state":"paused","by":"ann"}"#, 400),
        (path(&talking), r#"{"by":"a-1"}"#, 422),
    ] {
        running.post(&path, body).await.check_problem(status);
    }
    let record = running.get("/api/v1/records").await.json()["records"][0]["pauses"][0].clone();
    assert_eq!((&record["by"]["who"], &record["ended_by"]["who"]), (&"keys".into(), &"limit".into()));
    running.server.shutdown().await;
}

#[tokio::test]
async fn an_agents_state_is_set_or_the_reason_why_not_is_told() {
    let running = start(None).await;
    let set = running.post("/api/v1/agents/a-1/state", r#"{"state":"not-ready","reason":"lunch"}"#).await;
    assert_eq!((set.status, &set.json()["state"]), (200, &"not-ready".into()));
    for (path, body, status) in [
        ("a-99", r#"{"state":"available"}"#, 404),
        ("a-4", r#"{"state":"logged-out"}"#, 409),
        ("a-1", r#"{"state":"asleep"}"#, 400),
        ("a-1", r#"{"state":"available","reason":"x"}"#, 400),
        ("a-1", r#"{"state":"available","colour":"red"}"#, 422),
        ("a-1", "{", 400),
        ("zz", r#"{"state":"available"}"#, 400),
    ] {
        let reply = running.post(&format!("/api/v1/agents/{path}/state"), body).await;
        reply.check_problem(status);
    }
    let long = format!(r#"{{"state":"not-ready","reason":"{}"}}"#, "x".repeat(65));
    running.post("/api/v1/agents/a-1/state", &long).await.check_problem(400);
    running.post("/api/v1/agents/a-1/state", &" ".repeat(20_000)).await.check_problem(413);
    running.get("/api/v1/agents/a-1/state").await.check_problem(405);
    running.get("/api/v2/agents").await.check_problem(404);
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_busy_exchange_is_told_as_503_with_retry_after() {
    let running = start(None).await;
    running.view.busy.store(true, Ordering::Relaxed);
    let reply = running.get("/api/v1/queues").await;
    reply.check_problem(503);
    assert!(reply.head.contains("retry-after: 1"));
    let health = running.get("/healthz").await;
    assert_eq!((health.status, &health.json()["parts"]["store"]), (503, &"the disk is full".into()));
    running.view.busy.store(false, Ordering::Relaxed);
    assert_eq!(running.get("/healthz").await.json()["ok"], true);
    running.server.shutdown().await;
}

#[tokio::test]
async fn with_a_token_nothing_but_health_and_the_empty_page_is_told_without_it() {
    let running = start(Some(TOKEN)).await;
    for path in ["/api/v1/queues", "/api/v1/records/call-1", "/api/v1/events", "/metrics"] {
        let reply = running.get(path).await;
        reply.check_problem(401);
        assert!(reply.head.contains("www-authenticate: bearer"));
        running.get_with(path, "Authorization: Bearer 0123456789abcdeX\r\n").await.check_problem(401);
    }
    running.post("/api/v1/agents/a-1/state", r#"{"state":"available"}"#).await.check_problem(401);
    for path in ["/healthz", "/", "/web/app.js"] {
        assert_eq!(running.get(path).await.status, 200, "{path}");
    }
    let reply = running.get_with("/api/v1/queues", &format!("Authorization: Bearer {TOKEN}\r\n")).await;
    assert_eq!(reply.status, 200);
    running.server.shutdown().await;
}

#[tokio::test]
async fn without_a_token_the_server_is_on_loopback_only_and_answers_to_no_foreign_name() {
    let (_sender, receiver) = events();
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let options = ServerOptions {
        listen,
        token: None,
        tokens: Vec::new(),
        users: Vec::new(),
        openid: None,
        entrances: Vec::new(),
        tls: None,
        phone: PhoneSettings::default(),
        requests_per_s: REQUESTS_PER_S,
        webhooks: Webhooks::default(),
    };
    let started = Server::start(options, support::shared(Fixed::default()), receiver, Metrics::new()).await;
    assert!(matches!(started, Err(StartError::NoToken(_))));

    let running = start(None).await;
    let foreign = "GET /api/v1/queues HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n";
    running.send(foreign.to_owned()).await.check_problem(421);
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_listener_resumes_after_the_last_event_it_saw() {
    let running = start(None).await;
    let mut listener = running.listen("").await;
    for call in 1..=3 {
        running.events.publish(NOW, ended(call));
    }
    let text = listener.until("call-3").await;
    assert!(text.contains("event: call-ended"), "{text}");
    assert!(text.contains(r#""end":"caller-hung-up""#), "{text}");
    let ids = listener.ids();
    assert_eq!(ids, [ids[0], ids[0] + 1, ids[0] + 2]);
    drop(listener);

    let mut resumed = running.listen(&format!("Last-Event-ID: {}\r\n", ids[0])).await;
    running.events.publish(NOW, ended(4));
    resumed.until("call-4").await;
    assert_eq!(resumed.ids(), [ids[1], ids[2], ids[2] + 1]);

    let mut lost = running.listen("Last-Event-ID: 17\r\n").await;
    assert!(lost.until("fetch what you show anew").await.contains("event: reset"));
    running.get_with("/api/v1/events", "Last-Event-ID: x\r\n").await.check_problem(400);
    running.server.shutdown().await;
}

#[tokio::test]
async fn shutting_down_ends_the_event_streams() {
    let running = start(None).await;
    let mut listener = running.listen("").await;
    running.server.shutdown().await;
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), listener.stream.read_to_end(&mut rest));
    read.await.expect("an end in time").expect("an end in good order");
}

#[tokio::test]
async fn metrics_hold_what_their_owners_count_and_what_the_views_show() {
    let running = start(None).await;
    let text = running.get("/metrics").await.body;
    for line in [
        r#"offhook_calls_total{end="abandoned"} 3"#,
        r#"offhook_calls_total{end="lost"} 0"#,
        "offhook_calls_active 4.0",
        r#"offhook_queue_waiting{queue="sales"} 2.0"#,
        r#"offhook_queue_expected_wait_seconds{queue="sales",quantile="0.8"} 170.0"#,
        r#"offhook_queue_lends{queue="support"} 1.0"#,
        r#"offhook_queue_forecasts_total{queue="support"} 84.0"#,
        r#"offhook_queue_forecast_coverage_ratio{queue="sales",quantile="0.5"} 0.6"#,
        r#"offhook_queue_forecast_loss_seconds{queue="sales",quantile="0.5"} 12.5"#,
        r#"offhook_queue_answered_total{queue="support"} 100.0"#,
        r#"offhook_queue_service_level_ratio{queue="sales"} 0.819"#,
        r#"offhook_agents{state="not-ready"} 1.0"#,
        r#"offhook_agents{state="wrap-up"} 0.0"#,
        r#"offhook_trunk_calls_active{trunk="carrier"} 3.0"#,
        r#"offhook_trunk_registered{trunk="carrier"} 1.0"#,
        r#"offhook_trunk_target_up{trunk="carrier",target="tcp:192.0.2.2:5060"} 0.0"#,
        r#"offhook_trunk_calls_total{trunk="carrier",direction="out",end="answered"} 31.0"#,
        r#"offhook_trunk_speech_seconds_total{trunk="carrier",direction="heard",grade="good"} 88.0"#,
        "offhook_http_connections 1.0",
        "# EOF",
    ] {
        assert!(text.lines().any(|each| each == line), "{line} is not in\n{text}");
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn the_page_loads_nothing_foreign_and_is_not_sent_twice() {
    let running = start(None).await;
    let page = running.get("/").await;
    assert!(page.head.contains("content-security-policy: default-src 'self'"), "{}", page.head);
    assert!(page.head.contains("content-type: text/html"), "{}", page.head);
    assert!(!page.body.contains("<style") && !page.body.contains("style=") && !page.body.contains("onclick"));
    let links = page.body.split('"').filter(|part| part.starts_with("/web/") || part.contains("://"));
    for link in links {
        assert!(link.starts_with("/web/"), "{link} is foreign");
        assert_eq!(running.get(link).await.status, 200, "{link}");
    }
    let tag = page.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an etag").to_owned();
    let again = running.get_with("/", &format!("If-None-Match: {tag}\r\n")).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    running.get("/web/../Cargo.toml").await.check_problem(404);
    running.get("/web/none.js").await.check_problem(404);
    running.server.shutdown().await;
}

#[tokio::test]
async fn bans_are_listed_and_lifted_once() {
    let running = start(None).await;
    let bans = running.get("/api/v1/bans").await.json();
    let ban = serde_json::json!({"source": "192.0.2.66", "offence": "password", "seconds_left": 599, "times": 1});
    assert_eq!(bans["bans"], serde_json::json!([ban]));
    let delete =
        |source: &str| format!("DELETE /api/v1/bans/{source} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(running.send(delete("192.0.2.66")).await.status, 204);
    assert_eq!(running.get("/api/v1/bans").await.json()["bans"], serde_json::json!([]));
    running.send(delete("192.0.2.66")).await.check_problem(404);
    running.send(delete("somebody")).await.check_problem(400);
    let guarded = start(Some(TOKEN)).await;
    guarded.send(delete("192.0.2.66")).await.check_problem(401);
}

#[tokio::test]
async fn recordings_are_searched_in_pages_and_described_with_their_gaps() {
    let house = start(None).await;
    let ids = |reply: &Reply| -> Vec<String> {
        let list = reply.json()["recordings"].as_array().expect("a list").clone();
        list.iter().map(|found| found["id"].as_str().expect("an id").to_owned()).collect()
    };
    let first = house.get("/api/v1/recordings?limit=3").await;
    assert_eq!(ids(&first), ["r-4", "r-3", "r-2"]);
    assert_eq!(first.json()["next"], "r-2");
    let last = house.get("/api/v1/recordings?limit=3&before=r-2").await;
    assert_eq!((ids(&last), &last.json()["next"]), (vec!["r-1".to_owned()], &Value::Null));
    assert_eq!(ids(&house.get("/api/v1/recordings?number=300").await), ["r-1"]);
    assert_eq!(ids(&house.get("/api/v1/recordings?queue=q-1&agent=a-1").await), ["r-4", "r-2"]);
    let since = "/api/v1/recordings?from=2026-11-22T22:30:00Z&until=2026-11-22T22:40:00%2B00:00";
    assert_eq!(ids(&house.get(since).await), ["r-3"]);
    for (query, said) in [
        ("limit=0", "limit is"),
        ("from=yesterday", "RFC 3339"),
        ("queue=x", "q-1f"),
        ("agent=x", "a-1f"),
        ("before=x", "r-10000001f"),
        ("colour=red", "unknown field"),
    ] {
        let detail = house.get(&format!("/api/v1/recordings?{query}")).await.check_problem(400);
        assert!(detail.contains(said), "{query}: {detail}");
    }
    let one = house.get("/api/v1/recordings/r-2").await.json();
    assert_eq!(
        (&one["held"], &one["sealed"], &one["caller"]),
        (&"case 7".into(), &false.into(), &"+49405550002".into())
    );
    assert_eq!((&one["file"]["gaps"][0]["why"], &one["file"]["codec"]), (&"silent".into(), &"PCMA".into()));
    assert_eq!(one["file"]["left"]["covered_ms"], 11_000);
    let segment = serde_json::json!({
        "from_ms": 2_000, "to_ms": 12_000, "part": "talk",
        "agent": { "id": "a-1", "name": "alice" }, "queue": { "id": "q-2", "name": null },
    });
    assert_eq!((&one["segments"], &one["goes_on_in"]), (&serde_json::json!([segment]), &"call-1f".into()));
    house.get("/api/v1/recordings/r-9").await.check_problem(404);
    let peaks = house.get("/api/v1/recordings/r-2/peaks?points=12").await.json();
    assert_eq!(peaks["left"].as_array().map(Vec::len), Some(12));
    assert_eq!((&peaks["left"][1], &peaks["right"][0]), (&0.into(), &0.into()));
    house.get("/api/v1/recordings/r-2/peaks?points=9000").await.check_problem(400);
}

#[tokio::test]
async fn a_recording_is_heard_whole_or_in_part_and_each_hearing_stands_in_the_audit_log_before() {
    let house = start(None).await;
    let whole = house.bytes("/api/v1/recordings/r-1/audio", "").await;
    assert!(whole.0.contains("200 ok") && whole.0.contains("content-type: audio/wav"), "{}", whole.0);
    assert_eq!((whole.1.len(), &whole.1[..4]), (44 + 12 * 32_000, &b"RIFF"[..]));
    let (head, part) = house.bytes("/api/v1/recordings/r-1/audio", "Range: bytes=96045-160000\r\n").await;
    assert!(head.contains("206 ") && head.contains("content-range: bytes 96045-160000/384044"), "{head}");
    assert!(part == whole.1[96_045..=160_000], "the part is as in the whole");
    let (head, _) = house.bytes("/api/v1/recordings/r-1/audio", "Range: bytes=384044-\r\n").await;
    assert!(head.contains("416 ") && head.contains("content-range: bytes */384044"), "{head}");
    let (head, kept) = house.bytes("/api/v1/recordings/r-1/export", "").await;
    assert!(head.contains("attachment; filename=\"r-1.wav\"") && kept == whole.1, "{head}");
    for (format, kind) in [("flac", "audio/flac"), ("opus", "audio/ogg")] {
        let (head, made) =
            house.bytes(&format!("/api/v1/recordings/r-1/export?as={format}"), "Range: bytes=5-\r\n").await;
        assert!(head.contains("200 ok") && head.contains(&format!("content-type: {kind}")), "{head}");
        assert!(head.contains(&format!("attachment; filename=\"r-1.{format}\"")), "{head}");
        let chunks = format!("5\r\n{format} \r\n5\r\nof 38\r\n4\r\n4044\r\n0\r\n\r\n");
        assert_eq!(String::from_utf8_lossy(&made), chunks);
    }
    house.get("/api/v1/recordings/r-1/export?as=mp3").await.check_problem(400);
    let gone = house.get("/api/v1/recordings/r-4/audio").await.check_problem(410);
    assert!(gone.contains("asked for by the customer"), "{gone}");
    house.get("/api/v1/recordings/r-9/audio").await.check_problem(404);
    let audit = house.get("/api/v1/audit").await.json();
    let entries: Vec<[&str; 3]> = audit["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| ["action", "subject", "detail"].map(|field| entry[field].as_str().expect("text")))
        .collect();
    let all = "0.000 s to 12.000 s";
    assert_eq!(
        entries,
        [
            ["play", "r-1", all],
            ["play", "r-1", "3.000 s to 4.998 s"],
            ["export", "r-1", all],
            ["export", "r-1", &format!("{all} as flac")],
            ["export", "r-1", &format!("{all} as opus")]
        ]
    );
    assert_eq!(audit["entries"][0]["who"], "API without a token from 127.0.0.1");
    // Where the entry cannot be kept nothing is sent.
    house.view.busy.store(true, Ordering::Relaxed);
    house.get("/api/v1/recordings/r-1/audio").await.check_problem(503);
}

#[tokio::test]
async fn a_player_without_the_token_is_let_in_by_a_ticket_for_that_recording_alone() {
    let house = start(Some(TOKEN)).await;
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    house.get("/api/v1/recordings/r-1/audio").await.check_problem(401);
    house.get("/api/v1/audit").await.check_problem(401);
    let head = "Host: localhost\r\nConnection: close\r\nContent-Length: 0";
    let reply = house.send(format!("POST /api/v1/recordings/r-1/ticket HTTP/1.1\r\n{head}\r\n{bearer}\r\n")).await;
    let address = reply.json()["audio"].as_str().expect("an address").to_owned();
    let (said, _) = house.bytes(&address, "Range: bytes=0-99\r\n").await;
    assert!(said.contains("206 "), "{said}");
    house.get(&address.replace("r-1", "r-2")).await.check_problem(401);
    house.get("/api/v1/recordings/r-1/audio?ticket=0").await.check_problem(401);
    house.send(format!("POST /api/v1/recordings/r-1/ticket HTTP/1.1\r\n{head}\r\n\r\n")).await.check_problem(401);
    let audit = house.get_with("/api/v1/audit", &bearer).await.json();
    assert_eq!(audit["entries"].as_array().map(Vec::len), Some(1));
    assert_eq!(audit["entries"][0]["who"], "API token from 127.0.0.1");
}
