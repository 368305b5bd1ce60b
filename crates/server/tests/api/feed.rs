//! Live events over WebSocket, and listeners that go and come back.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use offhook_call::alarm::AlarmEvent;
use offhook_server::{LiveEvent, QUEUE_MAX, RING_MAX};
use offhook_units::Tick;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::support::{NOW, call};
use super::users::{cookie_of, staff};
use super::{Running, ended, start, start_with};

const DEADLINE: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<TcpStream>;

async fn open(running: &Running, after: Option<u64>, headers: &[(&'static str, &str)]) -> Result<Socket, Error> {
    let query = after.map_or_else(String::new, |after| format!("?after={after}"));
    let address = format!("ws://{}/api/v1/events/ws{query}", running.server.local_addr());
    let mut request = address.into_client_request().expect("a request");
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a header"));
    }
    let stream = TcpStream::connect(running.server.local_addr()).await.expect("a connection");
    tokio_tungstenite::client_async(request, stream).await.map(|(socket, _)| socket)
}

/// The next event; or how the server closed.
async fn next(socket: &mut Socket) -> Result<Value, Option<CloseFrame>> {
    loop {
        let message = tokio::time::timeout(DEADLINE, socket.next()).await.expect("a message in time");
        match message.expect("a message before the end").expect("a sound message") {
            Message::Text(text) => return Ok(serde_json::from_str(&text).expect("JSON")),
            Message::Close(frame) => return Err(frame),
            _ => {}
        }
    }
}

fn id_of(event: &Value) -> u64 {
    event["id"].as_u64().expect("a number")
}

fn refusal(opened: Result<Socket, Error>) -> u16 {
    match opened {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn websocket_carries_the_events_of_the_stream_with_the_same_numbers() {
    let running = start(None).await;
    let mut stream = running.listen("").await;
    let mut socket = open(&running, None, &[]).await.expect("a socket");
    running.events.publish(NOW, ended(7));
    let event = next(&mut socket).await.expect("an event");
    assert_eq!(event["event"], "call-ended");
    assert_eq!((&event["data"]["id"], &event["data"]["at"]), (&"call-7".into(), &"2026-11-22T22:55:19.042Z".into()));
    stream.until("call-7").await;
    assert_eq!(stream.ids(), [id_of(&event)]);

    let mut lost = open(&running, Some(3), &[]).await.expect("a socket");
    assert_eq!(next(&mut lost).await.expect("an event")["event"], "reset");
    running.server.shutdown().await;
    let close = next(&mut socket).await.expect_err("the end").expect("a reason");
    assert_eq!(
        (u16::from(close.code), close.reason.as_str()),
        (1013, format!("come back with after={}", id_of(&event)).as_str())
    );
}

#[tokio::test]
async fn what_is_no_websocket_of_ours_is_refused() {
    let running = start(None).await;
    let reply = running.get("/api/v1/events/ws").await;
    reply.check_problem(426);
    assert!(reply.head.contains("upgrade: websocket"), "{}", reply.head);
    let upgrade = "Upgrade: websocket\r\nConnection: upgrade, close\r\n";
    let version = format!("{upgrade}Sec-WebSocket-Version: 8\r\n");
    running
        .send(format!("GET /api/v1/events/ws HTTP/1.1\r\nHost: localhost\r\n{version}\r\n"))
        .await
        .check_problem(426);
    let key = format!("{upgrade}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n");
    running.send(format!("GET /api/v1/events/ws HTTP/1.1\r\nHost: localhost\r\n{key}\r\n")).await.check_problem(400);
    // A page of another site, in a browser on this machine.
    assert_eq!(refusal(open(&running, None, &[("origin", "https://elsewhere.test")]).await), 403);
    let own = format!("http://{}", running.server.local_addr());
    let mut socket = open(&running, None, &[("origin", &own)]).await.expect("a socket");
    socket.send(Message::text("hello")).await.expect("sent");
    let close = next(&mut socket).await.expect_err("the end").expect("a reason");
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1008, "this feed takes no messages"));

    let guarded = start(Some(super::TOKEN)).await;
    assert_eq!(refusal(open(&guarded, None, &[]).await), 401);
    let token = format!("Bearer {}", super::TOKEN);
    open(&guarded, None, &[("authorization", &token)]).await.expect("a socket");
    guarded.server.shutdown().await;
    running.server.shutdown().await;
}

#[tokio::test]
async fn an_agent_hears_of_the_own_calls_alone_over_websocket_too() {
    let running = start_with(None, Vec::new(), staff()).await;
    let cookie = cookie_of(&running, "alice").await;
    let cookie = cookie.trim().trim_start_matches("Cookie: ");
    let mut socket = open(&running, None, &[("cookie", cookie)]).await.expect("a socket");
    for (id, agent) in [(1, "bob"), (2, "alice"), (3, "bob")] {
        running.events.publish(NOW, LiveEvent::Call(call(id, "talking", NOW, Some(agent), None)));
    }
    running.events.publish(NOW, ended(9));
    let events = [next(&mut socket).await.expect("an event"), next(&mut socket).await.expect("an event")];
    let told: Vec<_> = events.iter().map(|event| event["data"]["id"].as_str().expect("an id")).collect();
    assert_eq!(told, ["call-2", "call-9"]);
    assert_eq!(id_of(&events[1]) - id_of(&events[0]), 2, "what is passed over has its number");
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_listener_that_comes_back_again_and_again_under_load_misses_nothing_and_hears_nothing_twice() {
    const EVENTS: u64 = 20_000;
    let running = start(None).await;
    // Whoever has seen nothing yet is told where it stands.
    let stream = running.listen("").await;
    let position = stream.text.lines().find_map(|line| line.strip_prefix("id: ")).expect("a number");
    let mut last: u64 = position.trim().parse().expect("a number");
    drop(stream);
    // No faster than the ring forgets: as many as it holds are under way at most.
    let (seen, mut progress) = tokio::sync::watch::channel(0_u64);
    let events = running.events.clone();
    let publisher = tokio::spawn(async move {
        for call in 1..=EVENTS {
            let room = |seen: &u64| call < seen + RING_MAX as u64 / 2;
            progress.wait_for(room).await.expect("a listener");
            events.publish(NOW, ended(call));
        }
    });
    let mut calls = Vec::new();
    let mut visits = 0_u64;
    // Listens for 1 to 700 events each time, by turns over HTTP and over WebSocket.
    while calls.len() < EVENTS as usize {
        visits += 1;
        let wanted = 1 + visits * 7_919 % 700;
        if visits.is_multiple_of(2) {
            let mut socket = open(&running, Some(last), &[]).await.expect("a socket");
            for _ in 0..wanted.min(EVENTS - calls.len() as u64) {
                let event = next(&mut socket).await.expect("an event");
                assert_eq!(event["event"], "call-ended");
                assert!(id_of(&event) == last + 1, "{event} after {last}");
                last = id_of(&event);
                calls.push(event["data"]["id"].as_str().expect("an id").to_owned());
            }
        } else {
            let mut stream = running.listen(&format!("Last-Event-ID: {last}\r\n")).await;
            let until = (calls.len() as u64 + wanted).min(EVENTS);
            stream.until(&format!("\"call-{until:x}\"")).await;
            let whole = stream.text.rfind("\n\n").map_or("", |end| &stream.text[..end]);
            for event in whole.split("\n\n").filter(|event| event.contains("\ndata: ")) {
                let field = |name| event.lines().find_map(|line: &str| line.strip_prefix(name)).expect("a field");
                assert_eq!(field("event: "), "call-ended");
                let id = field("id: ").parse().expect("a number");
                assert!(id == last + 1, "{id} after {last}");
                last = id;
                let data: Value = serde_json::from_str(field("data: ")).expect("JSON");
                calls.push(data["id"].as_str().expect("an id").to_owned());
            }
        }
        seen.send_replace(calls.len() as u64);
    }
    publisher.await.expect("all was published");
    let expected: Vec<String> = (1..=EVENTS).map(|call| format!("call-{call:x}")).collect();
    assert!(calls == expected, "each event once, in order");
    assert!(visits > 40, "{visits} visits");
    assert_eq!(running.events.lost(), 0);
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_listener_that_does_not_keep_up_is_told_where_to_come_back() {
    let running = start(None).await;
    let mut socket = open(&running, None, &[]).await.expect("a socket");
    let many = || running.events.publish(Tick::ZERO, LiveEvent::Queue(super::support::queue(1, "sales", 2, 3)));
    let dropped = async {
        loop {
            (0..QUEUE_MAX / 4).for_each(|_| many());
            let metrics = running.get("/metrics").await.body;
            if metrics.contains("offhook_event_clients_dropped_total 1") {
                break;
            }
        }
    };
    tokio::time::timeout(DEADLINE, dropped).await.expect("it is dropped");
    let mut last = 0;
    let close = loop {
        match next(&mut socket).await {
            Ok(event) => {
                assert!(last == 0 || id_of(&event) == last + 1, "{event} after {last}");
                last = id_of(&event);
            }
            Err(close) => break close.expect("a reason"),
        }
    };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1013, format!("come back with after={last}").as_str()));
    running.server.shutdown().await;
}

#[tokio::test]
async fn alarms_are_listed_measured_and_told_as_they_come_and_go() {
    let running = start(None).await;
    let list = running.get("/api/v1/alarms").await.json();
    let first = &list["alarms"][0];
    assert_eq!(
        (&first["name"], &first["subject"], &first["value"]),
        (&"many wait".into(), &"sales".into(), &12.into())
    );
    let metrics = running.get("/metrics").await.body;
    assert!(metrics.contains("offhook_alarm{alarm=\"line\",subject=\"carrier\"} 1"), "{metrics}");
    let mut stream = running.listen("").await;
    let (alarm, subject) = ("many wait".to_owned(), "sales".to_owned());
    let raised = AlarmEvent::Raised {
        alarm: alarm.clone(),
        subject: subject.clone(),
        measure: "waiting".to_owned(),
        value: 12,
        limit: 10,
    };
    running.events.publish(NOW, LiveEvent::Alarm(raised));
    running.events.publish(NOW, LiveEvent::Alarm(AlarmEvent::Cleared { alarm, subject }));
    let text = stream.until("\"raised\":false").await;
    assert!(
        text.contains("event: alarm") && text.contains("\"raised\":true,\"measure\":\"waiting\",\"value\":12"),
        "{text}"
    );
    running.server.shutdown().await;
}
