//! Reports by interval, day and month, in the zone asked for, as JSON and CSV.

use serde_json::{Value, json};

use crate::start;

#[tokio::test]
async fn a_report_tells_queues_and_agents_by_interval_in_the_zone_asked_for_with_the_formula_of_each_figure() {
    let running = start(None).await;
    let path = "/api/v1/reports/queues?from=2026-11-28&per=15m&zone=Europe/Berlin";
    let report = running.get(path).await.json();
    assert_eq!(
        (&report["from"], &report["until"]),
        (&"2026-11-28T00:00:00+01:00".into(), &"2026-11-29T00:00:00+01:00".into())
    );
    let began = |report: &Value| -> Vec<Value> {
        report["rows"].as_array().expect("rows").iter().map(|row| row["began"].clone()).collect()
    };
    assert_eq!(began(&report), ["2026-11-28T00:15:00+01:00", "2026-11-28T00:30:00+01:00"]);
    let first = &report["rows"][0];
    let told = json!([first["queue"], first["queue_id"], first["offered"], first["answered"], first["waiting"]]);
    assert_eq!(told, json!(["=sales, \"north\"", "q-1", 1, 1, 0]));
    let told = json!([
        first["average_speed_of_answer_ms"],
        first["service_level_percent"],
        first["service_level_formula"],
        first["handled"],
        first["average_handling_time_ms"]
    ]);
    assert_eq!(told, json!([60_000, 0.0, "strict", 1, 300_000]));
    assert_eq!(report["rows"][1]["waiting"], 1);
    assert!(report["formulas"]["average_handling_time_ms"].as_str().expect("a formula").contains("handled"));

    let agents = running.get(&path.replace("queues", "agents")).await.json();
    let of = |row: usize, figure: &str| agents["rows"][row][figure].clone();
    let first = json!([of(0, "agent"), of(0, "available_ms"), of(0, "offered_ms"), of(0, "busy_ms")]);
    assert_eq!(first, json!(["alice", (5 + 4) * 60_000, 60_000, 5 * 60_000]));
    let second = json!([of(1, "signed_in_ms"), of(1, "occupancy_percent"), of(1, "answer_rate_percent")]);
    assert_eq!(second, json!([5 * 60_000, 0.0, null]));
    assert_eq!((of(0, "occupancy_percent"), of(0, "answer_rate_percent")), (json!(35.71), json!(100.0)));

    for (per, rows) in [
        ("30m", vec!["2026-11-28T00:00:00+01:00", "2026-11-28T00:30:00+01:00"]),
        ("hour", vec!["2026-11-28T00:00:00+01:00"]),
        ("day", vec!["2026-11-28T00:00:00+01:00"]),
        ("month", vec!["2026-11-28T00:00:00+01:00"]),
        ("total", vec!["2026-11-28T00:00:00+01:00"]),
    ] {
        assert_eq!(began(&running.get(&path.replace("15m", per)).await.json()), rows, "{per}");
    }
    let kathmandu = running.get("/api/v1/reports/queues?from=2026-11-28&per=hour&zone=Asia/Kathmandu").await.json();
    assert_eq!(began(&kathmandu), ["2026-11-28T00:00:00+05:45"]);
    running.get("/api/v1/reports/queues?zone=Atlantis").await.check_problem(404);
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_report_is_a_table_where_that_is_asked_for_and_a_wrong_question_gets_an_answer_that_helps() {
    let running = start(None).await;
    let answer = running.get("/api/v1/reports/queues?from=2026-11-28&format=csv").await;
    let today = running.get("/api/v1/reports/queues?zone=Pacific/Auckland").await.json();
    assert_eq!(today["from"], "2026-11-23T00:00:00+13:00", "it is 22:55 of the day before in UTC");
    let (head, lines) = (&answer.head, &answer.body);
    assert!(head.to_lowercase().contains("content-type: text/csv"), "{head}");
    let lines: Vec<&str> = lines.split("\r\n").collect();
    assert!(lines[0].starts_with("began,queue,queue_id,offered,answered,"), "{lines:?}");
    let row = "2026-11-28T00:00:00+00:00,\"'=sales, \"\"north\"\"\",q-1,2,1,0,0,1,";
    assert!(lines[1].starts_with(row), "no program takes a name for a formula: {lines:?}");
    for (question, says) in [
        ("from=yesterday", "2026-11-28"),
        ("from=2026-11-28&until=2026-11-27", "last day"),
        ("from=2026-11-28&until=2028-11-27", "400 days"),
        ("from=2026-11-28&per=week", "week"),
        ("from=1969-01-01", "1970"),
        ("from=2026-11-28&by=magic", "by"),
    ] {
        let detail = running.get(&format!("/api/v1/reports/agents?{question}")).await.check_problem(400);
        assert!(detail.contains(says), "{question}: {detail}");
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn numbers_are_reported_by_what_became_of_their_calls_as_json_and_as_a_table() {
    let running = start(None).await;
    let report = running.get("/api/v1/reports/numbers?from=2026-11-22&per=day").await.json();
    let row = &report["rows"][0];
    assert_eq!((&row["number"], &row["calls"], &row["answered"]), (&json!("+4930555700"), &json!(2), &json!(1)));
    assert_eq!((&row["average_wait_ms"], &row["average_talk_ms"]), (&json!(8_000), &json!(60_000)));
    assert_eq!((&row["abandoned"], &row["answered_percent"]), (&json!(1), &json!(50.0)));
    assert!(report["formulas"]["answered_percent"].as_str().is_some_and(|formula| formula == "answered / calls"));
    let table = running.get("/api/v1/reports/numbers?from=2026-11-22&format=csv").await;
    assert!(table.body.contains(",'+4930555700,2,1,1,"), "no program takes it for a formula: {}", table.body);
    running.server.shutdown().await;
}
