//! Long lists, page by page.

use super::start;

/// Follows `Link` from `path` on; what stands at `field` of each row, and the pages that it took.
async fn walked(path: &str, list: &str, field: &str) -> (Vec<String>, usize) {
    let running = start(None).await;
    // Something for the audit log.
    for _ in 0..5 {
        assert_eq!(running.get("/api/v1/recordings/r-1/export").await.status, 200);
    }
    let (mut seen, mut pages, mut next) = (Vec::new(), 0, Some(path.to_owned()));
    while let Some(path) = next {
        let reply = running.get(&path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        let page = reply.json();
        let rows = page[list].as_array().expect("a list");
        seen.extend(rows.iter().map(|row| row[field].to_string()));
        pages += 1;
        next = reply.head.lines().find_map(|line| {
            let link = line.strip_prefix("link: <")?.strip_suffix(">; rel=\"next\"")?;
            Some(link.to_owned())
        });
        assert_eq!(next.is_some(), !page["next"].is_null(), "{path}");
    }
    running.server.shutdown().await;
    (seen, pages)
}

#[tokio::test]
async fn whoever_follows_the_links_has_each_row_once() {
    let quoted = |ids: &[&str]| ids.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>();
    for (path, list, field, expected, pages) in [
        ("/api/v1/records?limit=2", "records", "id", quoted(&["call-3", "call-2", "call-1"]), 2),
        ("/api/v1/recordings?limit=1&number=200", "recordings", "id", quoted(&["r-4", "r-3", "r-2"]), 4),
        ("/api/v1/callbacks?limit=1", "callbacks", "id", quoted(&["c-1f", "c-2f", "c-3f"]), 3),
        ("/api/v1/callbacks", "callbacks", "id", quoted(&["c-1f", "c-2f", "c-3f"]), 1),
        // The newest entries come first, in pages that have the oldest first.
        ("/api/v1/audit?limit=2", "entries", "seq", ["4", "5", "2", "3", "1"].map(str::to_owned).to_vec(), 3),
    ] {
        assert_eq!(walked(path, list, field).await, (expected, pages), "{path}");
    }
}

#[tokio::test]
async fn a_page_is_never_larger_than_it_may_be() {
    let running = start(None).await;
    for path in
        ["records?limit=501", "recordings?limit=0", "callbacks?limit=501", "audit?limit=10001", "audit?before=x"]
    {
        running.get(&format!("/api/v1/{path}")).await.check_problem(400);
    }
    running.server.shutdown().await;
}
