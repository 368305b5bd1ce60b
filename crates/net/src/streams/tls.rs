//! TLS 1.2 and 1.3 from PEM files: our certificates, whom we ask for one, and whom we believe.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{ResolvesServerCertUsingSni, WebPkiClientVerifier};
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::identity::{Callers, Party, Wanted};

/// Where certificates are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// Our certificate, with the chain behind it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities: whoever connects to us shows a certificate of one of them (mutual TLS). Without it nobody is asked.
    pub clients: Option<PathBuf>,
    /// Authorities: those whom we connect to show a certificate of one of them. Without it we make no connections over TLS.
    pub trust: Option<PathBuf>,
    /// Trunks with certificates of their own.
    pub trunks: Vec<TrunkFiles>,
}

/// Where a trunk's certificates are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrunkFiles {
    /// Its place in the configuration.
    pub trunk: usize,
    /// The domain that its certificate bears when it connects to us (RFC 5922), where it is known by that. Needs `authorities`.
    pub client: Option<String>,
    /// Whose certificates are believed to be the trunk's, in both directions. Without it [`TlsFiles::trust`] are, for connections
    /// of ours.
    pub authorities: Option<PathBuf>,
    /// The certificate that we show to it, with the chain behind it, and its key; our common one without.
    pub own: Option<(PathBuf, PathBuf)>,
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
    acceptor: TlsAcceptor,
    /// Trunks that are known by what they show when they connect to us.
    parties: Arc<[Party]>,
    /// For connections of ours to anybody but these trunks.
    connector: Option<Arc<Connector>>,
    trunks: Arc<BTreeMap<usize, Connector>>,
    pages: Arc<ServerConfig>,
}

/// Our side of connections that we make: what we show, and whom we believe.
struct Connector {
    config: ClientConfig,
    roots: Arc<RootCertStore>,
}

impl core::fmt::Debug for Tls {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tls").field("connects", &self.connector.is_some()).finish_non_exhaustive()
    }
}

/// A chain and its key.
type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Tls {
    /// Reads the files and checks that they fit together.
    ///
    /// # Errors
    /// [`TlsError`] with the file that is to be mended.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let own = own(&files.certificate, &files.key)?;
        let trust = files.trust.as_deref().map(authorities).transpose()?;
        let (mut parties, mut trunks) = (Vec::new(), BTreeMap::new());
        for trunk in &files.trunks {
            let roots = trunk.authorities.as_deref().map(authorities).transpose()?;
            if let (Some(name), Some(roots)) = (&trunk.client, &roots) {
                parties.push(Party { trunk: trunk.trunk, name: name.clone(), roots: Arc::clone(roots) });
            }
            let shown = match &trunk.own {
                Some((certificate, key)) => Some((self::own(certificate, key)?, certificate)),
                None => None,
            };
            if let Some(roots) = roots.or_else(|| trust.clone()) {
                let (own, path) = shown.unwrap_or_else(|| (copy(&own), &files.certificate));
                trunks.insert(trunk.trunk, Connector::new(&provider, Some(own), path, roots)?);
            }
        }
        let parties: Arc<[Party]> = parties.into();
        let connector = trust.map(|roots| Connector::new(&provider, Some(copy(&own)), &files.certificate, roots));
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable(&files.certificate))?;
        let shown = copy(&own);
        let pages = server.clone().with_no_client_auth().with_single_cert(shown.0, shown.1);
        let mut pages = pages.map_err(unusable(&files.certificate))?;
        pages.alpn_protocols = vec![b"http/1.1".to_vec()];
        let everybody = files.clients.as_ref().map(|path| client_verifier(path, &provider)).transpose()?;
        let server = match callers(everybody, &parties, &provider) {
            Some(callers) => server.with_client_cert_verifier(callers),
            None => server.with_no_client_auth(),
        };
        let server = server.with_single_cert(own.0, own.1).map_err(unusable(&files.certificate))?;
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let connector = connector.transpose()?.map(Arc::new);
        Ok(Self { acceptor, parties, connector, trunks: Arc::new(trunks), pages: Arc::new(pages) })
    }

    /// For somebody who makes connections, shows no certificate and takes no connections over TLS: believes the authorities of this file.
    ///
    /// # Errors
    /// [`TlsError`] with the file that is to be mended.
    pub fn for_calling(trust: &Path) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let roots = authorities(trust)?;
        let connector = Connector::new(&provider, None, trust, roots)?;
        let nothing = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable(trust))?
            .with_no_client_auth()
            // Whoever connects to us finds no certificate.
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let nothing = Arc::new(nothing);
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::clone(&nothing)),
            parties: Arc::default(),
            connector: Some(Arc::new(connector)),
            trunks: Arc::default(),
            pages: nothing,
        })
    }

    /// For HTTP: the same certificate, and nobody is asked for one.
    pub fn pages(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.pages)
    }

    /// For a connection that was made to us.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// For a connection of ours to a trunk, or to somebody else, whose certificate bears one of these names. The first one is asked
    /// for. None where nobody is believed.
    pub(super) fn connector(
        &self,
        trunk: Option<usize>,
        names: Vec<ServerName<'static>>,
    ) -> Option<(TlsConnector, ServerName<'static>)> {
        let own = trunk.and_then(|trunk| self.trunks.get(&trunk));
        let Connector { config, roots } = own.or(self.connector.as_deref())?;
        let first = names.first()?.clone();
        let known = config.crypto_provider().signature_verification_algorithms;
        let mut config = config.clone();
        let wanted = Wanted { names, roots: Arc::clone(roots), known };
        config.dangerous().set_certificate_verifier(Arc::new(wanted));
        Some((TlsConnector::from(Arc::new(config)), first))
    }

    /// The trunk that this chain of certificates is of, by its place in the configuration.
    pub(super) fn trunk_of(&self, chain: Option<&[CertificateDer<'_>]>) -> Option<usize> {
        let chain = chain?;
        let known = ring::default_provider().signature_verification_algorithms;
        let now = UnixTime::now();
        self.parties.iter().find(|party| party.is(chain, now, known)).map(|party| party.trunk)
    }

    /// Whether any trunk is known by what it shows.
    pub(super) fn knows_trunks(&self) -> bool {
        !self.parties.is_empty()
    }
}

impl Connector {
    /// Names are put in for each connection: without them nobody is believed.
    fn new(
        provider: &Arc<CryptoProvider>,
        own: Option<Own>,
        path: &Path,
        roots: Arc<RootCertStore>,
    ) -> Result<Self, TlsError> {
        let known = provider.signature_verification_algorithms;
        let nobody = Wanted { names: Vec::new(), roots: Arc::clone(&roots), known };
        let config = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable(path))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(nobody));
        let mut config = match own {
            Some(own) => config.with_client_auth_cert(own.0, own.1).map_err(unusable(path))?,
            None => config.with_no_client_auth(),
        };
        // A session that goes on shows no certificate, and which names would do may have changed since it began.
        config.resumption = Resumption::disabled();
        Ok(Self { config, roots })
    }
}

/// Who is asked for a certificate; nobody where neither everybody nor a trunk has to show one.
fn callers(
    everybody: Option<Arc<dyn ClientCertVerifier>>,
    parties: &Arc<[Party]>,
    provider: &CryptoProvider,
) -> Option<Arc<dyn ClientCertVerifier>> {
    if parties.is_empty() {
        return everybody;
    }
    let mut hints = everybody.as_ref().map_or_else(Vec::new, |everybody| everybody.root_hint_subjects().to_vec());
    hints.extend(parties.iter().flat_map(|party| party.roots.subjects()));
    let known = provider.signature_verification_algorithms;
    Some(Arc::new(Callers { everybody, parties: Arc::clone(parties), hints, known }))
}

fn own(certificate: &Path, key: &Path) -> Result<Own, TlsError> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| faulty(key, error, "private key"))?;
    Ok((chain, key))
}

fn copy((chain, key): &Own) -> Own {
    (chain.clone(), key.clone_key())
}

fn unusable(path: &Path) -> impl FnOnce(Error) -> TlsError + use<> {
    let path = path.to_owned();
    move |error: Error| TlsError::Unusable { path, error: error.to_string() }
}

fn client_verifier(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = authorities(path)?;
    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| TlsError::Unusable { path: path.to_owned(), error: error.to_string() })
}

fn authorities(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Unusable { path: path.to_owned(), error: error.to_string() })?;
    }
    Ok(Arc::new(roots))
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
