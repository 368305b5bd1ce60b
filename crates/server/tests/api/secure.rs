//! HTTPS, with the certificate of `fixtures/tls`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use offhook_server::{Password, Role, User};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::{Running, start_over};

pub fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tls").join(name)
}

fn chain(name: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file(name)).expect("a file").map(|der| der.expect("a certificate")).collect()
}

pub fn shown(name: &str) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from_pem_file(file(&format!("{name}.key"))).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    Arc::new(builder.with_single_cert(chain(&format!("{name}.pem")), key).expect("a pair"))
}

/// An answer over TLS, or why the handshake failed.
async fn ask(running: &Running, request: &str) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    for authority in chain("authority.pem") {
        roots.add(authority).expect("an authority");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
    let connector = TlsConnector::from(Arc::new(builder.with_no_client_auth()));
    let stream = TcpStream::connect(running.server.local_addr()).await.expect("a connection");
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    let mut stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer));
    read.await.expect("an answer in time").expect("an answer");
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn https_is_spoken_beside_whoever_shakes_no_hands_and_its_cookie_goes_nowhere_else() {
    let password = "staple battery horse";
    let user = User {
        name: "ann".to_owned(),
        password: Some(Password::of(password).expect("long enough")),
        openid: None,
        codes: None,
        roles: vec![Role::Operator],
        agent: None,
    };
    let running = start_over(Some(shown("exchange")), None, Vec::new(), vec![user]).await;
    // One says nothing, one speaks plain HTTP.
    let silent = TcpStream::connect(running.server.local_addr()).await.expect("a connection");
    let mut plain = TcpStream::connect(running.server.local_addr()).await.expect("a connection");
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("a request");
    let mut answer = Vec::new();
    // Whether it is closed or reset, HTTP comes not.
    let _ = tokio::time::timeout(Duration::from_secs(10), plain.read_to_end(&mut answer)).await.expect("an end");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    let body = format!(r#"{{"name":"ann","password":"{password}"}}"#);
    let head =
        "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json";
    let answer = ask(&running, &format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await.expect("TLS");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n");
    let metrics = ask(&running, &request).await.expect("TLS");
    assert!(metrics.contains("offhook_https_handshakes_failed_total 1"), "{metrics}");
    drop(silent);
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_the_next_who_comes() {
    let running = start_over(Some(shown("other")), None, Vec::new(), Vec::new()).await;
    let health = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let error = ask(&running, health).await.expect_err("another name");
    assert!(error.contains("certificate"), "{error}");
    running.server.certify(shown("exchange"));
    assert!(ask(&running, health).await.expect("TLS").starts_with("HTTP/1.1 200"));
    running.server.shutdown().await;
}
