//! How often somebody may ask.

use offhook_server::RATE_WINDOW;

use super::users::{cookie_of, staff};
use super::{REQUESTS_PER_S, TOKEN, start_with};

#[tokio::test]
async fn who_asks_too_often_is_told_how_long_to_wait_and_nobody_else_notices() {
    let running = start_with(Some(TOKEN), Vec::new(), staff()).await;
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let quota = u64::from(REQUESTS_PER_S) * RATE_WINDOW.as_secs();
    let first = running.get_with("/api/v1/bans", &token).await;
    let head = |name: &str, head: &str| {
        head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned)).expect("a header")
    };
    assert_eq!(head("ratelimit-policy", &first.head), format!("\"requests\";q={quota};w=10"));
    assert_eq!(head("ratelimit", &first.head), format!("\"requests\";r={};t=1", quota - 1));
    let mut asked = 1;
    let refused = loop {
        let reply = running.get_with("/api/v1/bans", &token).await;
        asked += 1;
        if reply.status == 429 {
            break reply;
        }
        assert!(asked < 10 * quota, "nobody is ever refused");
    };
    refused.check_problem(429);
    assert!(asked > quota, "{asked} of {quota}");
    assert_eq!(head("retry-after", &refused.head), "1");
    assert!(head("ratelimit", &refused.head).starts_with("\"requests\";r=0;"), "{}", refused.head);

    let cookie = cookie_of(&running, "administrator").await;
    let session = running.get_with("/metrics", &cookie).await;
    assert_eq!(session.status, 200);
    assert!(session.head.contains("ratelimit: "), "{}", session.head);
    assert!(session.body.lines().any(|line| line == "offhook_http_rate_limited_total{by=\"token\"} 1"));
    for free in ["/healthz", "/web/style.css"] {
        let reply = running.get_with(free, &token).await;
        assert_eq!((reply.status, reply.head.contains("ratelimit")), (200, false), "{free}");
    }
    running.server.shutdown().await;
}
