//! Answers in gzip: the same bytes in fewer, for whoever takes them, and never of what may hold a secret.

use std::io::Read as _;

use super::start;

const GZIP: &str = "Accept-Encoding: gzip, deflate, br\r\n";

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).expect("gzip");
    plain
}

fn tag(head: &str) -> String {
    head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_owned()
}

#[tokio::test]
async fn files_and_long_lists_are_packed_for_whoever_takes_it() {
    let running = start(None).await;
    for path in ["/", "/web/jssip.js", "/web/words-zh-Hans.json", "/api/v1/openapi.json", "/metrics"] {
        let (plain_head, plain) = running.bytes(path, "").await;
        let (head, packed) = running.bytes(path, GZIP).await;
        assert!(!plain_head.contains("content-encoding"), "{path}: {plain_head}");
        assert!(plain_head.contains("vary: accept-encoding"), "{path}: {plain_head}");
        assert!(head.contains("content-encoding: gzip") && head.contains("vary: accept-encoding"), "{path}: {head}");
        assert!(packed.len() * 2 < plain.len(), "{path}: {} of {}", packed.len(), plain.len());
        // Metrics move.
        assert!(path == "/metrics" || unpacked(&packed) == plain, "{path}");
        assert!(!running.bytes(path, "Accept-Encoding: gzip;q=0\r\n").await.0.contains("content-encoding"));
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_packed_file_has_a_tag_of_its_own() {
    let running = start(None).await;
    let (plain, packed) = (running.bytes("/desk", "").await.0, running.bytes("/desk", GZIP).await.0);
    let (plain, packed) = (tag(&plain), tag(&packed));
    assert_ne!(plain, packed);
    for (known, asked, fresh) in
        [(&packed, GZIP, true), (&plain, "", true), (&plain, GZIP, false), (&packed, "", false)]
    {
        let (head, body) = running.bytes("/desk", &format!("{asked}If-None-Match: \"x\", W/{known}\r\n")).await;
        assert_eq!(head.starts_with("http/1.1 304"), fresh, "{known} {asked}: {head}");
        assert_eq!(body.is_empty(), fresh);
        assert_eq!(head.contains("content-encoding"), !fresh && !asked.is_empty(), "{head}");
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn what_may_hold_a_secret_is_never_packed() {
    let running = start(None).await;
    for path in ["/api/v1/config", "/api/v1/config/versions", "/api/v1/prompts", "/api/v1/session", "/phone/settings"] {
        let head = running.bytes(path, GZIP).await.0;
        assert!(head.starts_with("http/1.1 200") && !head.contains("content-encoding"), "{path}: {head}");
    }
    running.server.shutdown().await;
}
