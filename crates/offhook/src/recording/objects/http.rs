//! HTTP/1.1 to the store by the crates that the exchange has for that, plain or inside TLS; connections are kept for the next request.
#![expect(clippy::disallowed_types, reason = "connections are shared by whoever asks the store")]

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::BodyExt;
use hyper::Uri;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Connections that are kept while nobody needs them.
const IDLE_MAX: usize = 4;

/// Makes the client.
#[derive(Debug)]
pub struct Connector(Option<Arc<ClientConfig>>);

impl Connector {
    /// For the store at `url`, whose certificate is to be signed by one of `authorities`, or of those that the system trusts.
    ///
    /// # Errors
    /// It is no address, or there are no authorities.
    pub fn new(url: &str, authorities: Option<&Path>) -> Result<Self> {
        let uri: Uri = url.parse().context("url is no address")?;
        match (uri.scheme_str(), uri.authority()) {
            (_, Some(authority)) if authority.as_str().contains('@') => bail!("url has a name or a password in it"),
            (Some("http"), Some(_)) => Ok(Self(None)),
            (Some("https"), Some(_)) => {
                let tls = offhook_server::tls_client(authorities).map_err(|error| anyhow!("{error}"))?;
                Ok(Self(Some(tls)))
            }
            _ => bail!("url begins neither with https:// nor with http://"),
        }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service { tls: self.0.clone(), idle: Mutex::default() }))
    }
}

type Connection = SendRequest<HttpRequestBody>;

#[derive(Debug)]
struct Service {
    tls: Option<Arc<ClientConfig>>,
    /// By host and port.
    idle: Mutex<Vec<(String, Connection)>>,
}

/// What can be tried again: nobody has begun to answer.
fn refused(error: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> HttpError {
    HttpError::new_boxed(HttpErrorKind::Connect, error.into())
}

impl Service {
    fn kept(&self, authority: &str) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, connection)| !connection.is_closed());
        let at = idle.iter().position(|(to, connection)| to == authority && connection.is_ready())?;
        Some(idle.swap_remove(at).1)
    }

    fn keep(&self, authority: String, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() == IDLE_MAX {
            idle.remove(0);
        }
        idle.push((authority, connection));
    }

    async fn connect(&self, uri: &Uri) -> Result<Connection, HttpError> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let Some(config) = &self.tls else { return speak(stream).await };
        let name = ServerName::try_from(host.to_owned()).map_err(refused)?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(refused)?;
        speak(stream).await
    }
}

async fn speak(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
) -> Result<Connection, HttpError> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(refused)?;
    // Ends when the sender is dropped, or the store hangs up: whoever asks learns it then.
    tokio::spawn(async move { _ = connection.await });
    Ok(sender)
}

#[async_trait::async_trait]
impl HttpService for Service {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = core::mem::take(request.uri_mut());
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse().map_err(refused)?;
        if !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, HeaderValue::from_str(&authority).map_err(refused)?);
        }
        let mut connection = match self.kept(&authority) {
            Some(kept) => kept,
            None => self.connect(&uri).await?,
        };
        let sent = connection.send_request(request).await;
        let response = sent.map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
        self.keep(authority, connection);
        let (head, body) = response.into_parts();
        let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)))
    }
}
