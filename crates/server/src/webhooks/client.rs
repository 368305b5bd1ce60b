//! One receiver over HTTP/1.1, plain or inside TLS, on a connection that is kept.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::request;
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Longest answer that is read; what is longer costs the connection.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// What a receiver may ask to be left alone for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// Where systems keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Where messages go.
#[derive(Debug, Clone)]
pub struct Target {
    authority: Authority,
    path: PathAndQuery,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Target {
    /// Reads an address; certificates of `https` are to be signed by one of `authorities` (a file of certificates), those that the system
    /// trusts where none is named.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn new(url: &str, authorities: Option<&Path>) -> Result<Self, String> {
        Self::trusting(url, || trusting(authorities))
    }

    /// As [`Self::new`], with what TLS is done with where it is needed.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn trusting(url: &str, tls: impl FnOnce() -> Result<Arc<ClientConfig>, String>) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("it is no address: {error}"))?;
        let parts = uri.into_parts();
        let authority = parts.authority.ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("it has a name or a password in it".to_owned());
        }
        let path = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let secure = match parts.scheme {
            Some(scheme) if scheme == Scheme::HTTPS => true,
            Some(scheme) if scheme == Scheme::HTTP => false,
            _ => return Err("it begins neither with https:// nor with http://".to_owned()),
        };
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let tls = if secure {
            let name = ServerName::try_from(host).map_err(|_| "its host is no name that a certificate bears")?;
            Some((tls()?, name))
        } else {
            None
        };
        Ok(Self { authority, path, port, tls })
    }

    /// Messages can be read on the way: neither TLS, nor this machine.
    pub fn is_in_clear(&self) -> bool {
        let host = self.host();
        let here = host == "localhost" || host.parse().is_ok_and(|ip: core::net::IpAddr| ip.is_loopback());
        self.tls.is_none() && !here
    }

    fn host(&self) -> &str {
        self.authority.host().trim_matches(['[', ']'])
    }

    /// A request that goes there.
    pub fn addressed(&self, request: request::Builder) -> request::Builder {
        request
            .uri(self.path.as_str())
            .header(header::HOST, self.authority.as_str())
            .header(header::USER_AGENT, concat!("offhook/", env!("CARGO_PKG_VERSION")))
    }

    /// Asks once, on a connection of its own.
    ///
    /// # Errors
    /// What came of it, for the log.
    pub async fn ask(&self, request: Request<Body>) -> Result<(StatusCode, Bytes), String> {
        let mut sender = self.connect().await?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = to_bytes(Body::new(response.into_body()), ANSWER_BYTES_MAX).await;
        Ok((status, body.map_err(|error| error.to_string())?))
    }

    async fn connect(&self) -> Result<SendRequest<Body>, String> {
        let stream = TcpStream::connect((self.host(), self.port)).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let Some((config, name)) = &self.tls else { return speak(stream).await };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name.clone(), stream).await.map_err(|error| format!("TLS: {error}"))?;
        speak(stream).await
    }
}

async fn speak(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Body>, String> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends when the sender is dropped, or the receiver hangs up: whoever sends learns it then.
    tokio::spawn(async move { _ = connection.await });
    Ok(sender)
}

/// What TLS to others is done with: their certificates are to be signed by one of `authorities` (a file of certificates), of those that
/// the system trusts where none is named.
///
/// # Errors
/// What is wrong with the file, for people.
pub fn trusting(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let system = || SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.is_file());
    let file =
        authorities.or_else(system).ok_or("this system has no file of authorities: name one in `authorities`")?;
    let fault = |error: &dyn core::fmt::Display| format!("{}: {error}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| fault(&error))? {
        let certificate = certificate.map_err(|error| fault(&error))?;
        // Some of a system's many may be of kinds that are not taken.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(fault(&"there is no certificate of an authority in it"));
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}

/// A message that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Signed {
    pub id: String,
    pub timestamp_s: u64,
    pub signature: String,
    pub body: String,
}

/// Why a message was not taken.
#[derive(Debug, PartialEq, Eq)]
pub struct NotTaken {
    pub why: String,
    /// What the receiver asks to wait.
    pub wait: Option<Duration>,
}

/// The receiver, and the connection to it.
#[derive(Debug)]
pub struct Client {
    target: Target,
    open: Option<SendRequest<Body>>,
}

impl Client {
    /// Not connected yet.
    pub const fn new(target: Target) -> Self {
        Self { target, open: None }
    }

    /// Sends a message; returns once the receiver has taken it.
    pub async fn send(&mut self, message: &Signed, within: Duration) -> Result<(), NotTaken> {
        match tokio::time::timeout(within, self.try_send(message)).await {
            Ok(Ok((status, _))) if status.is_success() => Ok(()),
            Ok(Ok((status, wait))) => Err(NotTaken { why: format!("it answered {status}"), wait }),
            Ok(Err(why)) => Err(NotTaken { why, wait: None }),
            Err(_) => {
                // The answer may still come: not to the next message.
                self.open = None;
                Err(NotTaken { why: format!("no answer within {} s", within.as_secs_f64()), wait: None })
            }
        }
    }

    async fn try_send(&mut self, message: &Signed) -> Result<(StatusCode, Option<Duration>), String> {
        // A connection that was kept may have been closed in this very moment: that is no failure of the receiver's.
        if let Some(mut kept) = self.open.take()
            && kept.ready().await.is_ok()
            && let Ok(response) = kept.send_request(self.request(message)?).await
        {
            return Ok(self.read(response, kept).await);
        }
        let mut fresh = self.target.connect().await?;
        let response = fresh.send_request(self.request(message)?).await.map_err(|error| error.to_string())?;
        Ok(self.read(response, fresh).await)
    }

    fn request(&self, message: &Signed) -> Result<Request<Body>, String> {
        let Signed { id, timestamp_s, signature, body } = message;
        self.target
            .addressed(Request::builder().method(Method::POST))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("webhook-id", id)
            .header("webhook-timestamp", *timestamp_s)
            .header("webhook-signature", signature)
            .body(Body::from(body.clone()))
            .map_err(|error| error.to_string())
    }

    async fn read(
        &mut self,
        response: Response<Incoming>,
        sender: SendRequest<Body>,
    ) -> (StatusCode, Option<Duration>) {
        let status = response.status();
        let wait = response.headers().get(header::RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
        let wait = wait.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        if to_bytes(Body::new(response.into_body()), ANSWER_BYTES_MAX).await.is_ok() {
            self.open = Some(sender);
        }
        (status, wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_a_bad_one_explained() {
        let plain = Target::new("http://127.0.0.1:8099/hooks?x=1", None).expect("a target");
        assert_eq!((plain.host(), plain.port, plain.path.as_str()), ("127.0.0.1", 8_099, "/hooks?x=1"));
        assert!(!plain.is_in_clear());
        let far = Target::new("http://crm.example", None).expect("a target");
        assert_eq!((far.port, far.path.as_str(), far.is_in_clear()), (80, "/", true));
        assert_eq!(Target::new("http://[::1]:9/", None).expect("a target").host(), "::1");
        for (url, why) in [
            ("crm.example/hook", "no address"),
            ("/hook", "names no host"),
            ("ftp://crm.example/", "begins neither"),
            ("http://ann:secret@crm.example/", "a password"),
            ("http://a b/", "no address"),
        ] {
            let error = Target::new(url, None).expect_err(url);
            assert!(error.contains(why), "{url}: {error}");
        }
        let missing = Target::new("https://crm.example/", Some(Path::new("/nowhere.pem"))).expect_err("no file");
        assert!(missing.contains("/nowhere.pem"), "{missing}");
    }
}
