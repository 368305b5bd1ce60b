//! Visitors, who have neither account nor token.

use super::users::ask;
use super::{TOKEN, start};

#[tokio::test]
async fn a_visitor_is_given_a_ticket_by_the_page_and_by_nothing_else() {
    let running = start(Some(TOKEN)).await;
    let path = "/api/v1/visitors/shop";
    let page = "Sec-Fetch-Site: same-origin\r\n";
    let reply = ask(&running, "POST", path, page, r#"{"name":"Jane"}"#).await;
    let ticket = reply.json();
    assert_eq!((&ticket["user"], &ticket["number"]), (&"visitor-1".into(), &"700".into()));
    assert_eq!((&ticket["realm"], &ticket["until"]), (&"house.test".into(), &"2026-11-22T22:56:19.042Z".into()));
    for foreign in ["", "Sec-Fetch-Site: cross-site\r\n", "Origin: https://shop.test\r\n"] {
        ask(&running, "POST", path, foreign, "{}").await.check_problem(403);
    }
    ask(&running, "POST", "/api/v1/visitors/back", page, "{}").await.check_problem(404);
    let reply = ask(&running, "POST", path, page, r#"{"name":"one too many"}"#).await;
    reply.check_problem(503);
    assert!(reply.head.contains("retry-after"));
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(600));
    ask(&running, "POST", path, page, &long).await.check_problem(400);
    ask(&running, "POST", path, page, r#"{"number":"112"}"#).await.check_problem(422);
    running.server.shutdown().await;
}

#[tokio::test]
async fn the_page_stands_within_the_sites_of_its_entrance_alone() {
    let running = start(Some(TOKEN)).await;
    let reply = running.get("/call/shop").await;
    assert_eq!(reply.status, 200);
    assert!(reply.head.contains("frame-ancestors 'self' https://shop.test"), "{}", reply.head);
    assert_eq!(running.get("/api/v1/visitors/shop").await.json()["title"], "Call the shop");
    running.get("/call/back").await.check_problem(404);
    running.get("/api/v1/visitors/back").await.check_problem(404);
    running.server.shutdown().await;
}
