//! TLS 1.2 and 1.3 from PEM files: our certificate, whom we ask for one, and whom we believe.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Where certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, with the chain behind it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities: whoever connects to us shows a certificate of one of them (mutual TLS). Without it nobody is asked.
    pub clients: Option<PathBuf>,
    /// Authorities: those whom we connect to show a certificate of one of them. Without it we make no connections over TLS.
    pub trust: Option<PathBuf>,
}

/// Why certificates cannot be used. All are for the operator to mend.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is not there, or may not be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file holds no PEM section of the kind that is needed.
    #[error("{path} holds no {what} in PEM form")]
    Nothing {
        /// Which file.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// The key is not the certificate's, or an authority cannot be used.
    #[error("{path}: {error}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What the library says.
        error: String,
    },
}

/// Loaded certificates.
#[derive(Clone)]
pub struct Tls {
    pub(super) acceptor: TlsAcceptor,
    pub(super) connector: Option<TlsConnector>,
}

impl core::fmt::Debug for Tls {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tls").field("connects", &self.connector.is_some()).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files and checks that they fit together.
    ///
    /// # Errors
    /// [`TlsError`] with the file that is to be mended.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |error: Error| TlsError::Unusable { path, error: error.to_string() }
        };
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| faulty(&files.key, error, "private key"))?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable(&files.certificate))?;
        let server = match &files.clients {
            Some(path) => server.with_client_cert_verifier(client_verifier(path, &provider)?),
            None => server.with_no_client_auth(),
        };
        let server = server.with_single_cert(chain.clone(), key.clone_key()).map_err(unusable(&files.certificate))?;
        let connector = match &files.trust {
            Some(path) => {
                let client = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(unusable(path))?
                    .with_root_certificates(authorities(path)?)
                    .with_client_auth_cert(chain, key)
                    .map_err(unusable(&files.certificate))?;
                Some(TlsConnector::from(Arc::new(client)))
            }
            None => None,
        };
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(server)), connector })
    }
}

fn client_verifier(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn tokio_rustls::rustls::server::danger::ClientCertVerifier>, TlsError> {
    let roots = Arc::new(authorities(path)?);
    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| TlsError::Unusable { path: path.to_owned(), error: error.to_string() })
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Unusable { path: path.to_owned(), error: error.to_string() })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| faulty(path, error, "certificate"))?;
    if all.is_empty() {
        return Err(TlsError::Nothing { path: path.to_owned(), what: "certificate" });
    }
    Ok(all)
}

fn faulty(path: &Path, error: pem::Error, what: &'static str) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(error) => TlsError::Unreadable { path, error },
        pem::Error::NoItemsFound => TlsError::Nothing { path, what },
        other => TlsError::Unusable { path, error: other.to_string() },
    }
}
