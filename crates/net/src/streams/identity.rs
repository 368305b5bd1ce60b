//! Who is at the far end of TLS, RFC 5922: the domains that a certificate bears, the trunks that they stand for.

use std::sync::Arc;

use offhook_sip::Uri;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};

/// `id-kp-sipDomain`, RFC 5924.
const SIP_DOMAIN: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 20];

/// A trunk that is known by the certificate that it shows.
#[derive(Debug)]
pub struct Party {
    /// Its place in the configuration.
    pub trunk: usize,
    /// The domain that its certificate bears.
    pub name: String,
    /// Whose certificates are believed to be the trunk's.
    pub roots: Arc<RootCertStore>,
}

impl Party {
    /// Whether this chain is the trunk's: of its authority, and for its domain. A certificate that is meant for servers only will
    /// do: a domain has one, in both roles (RFC 5922 section 5).
    pub fn is(&self, chain: &[CertificateDer<'_>], now: UnixTime, known: WebPkiSupportedAlgorithms) -> bool {
        chain.split_first().is_some_and(|(first, rest)| {
            EndEntityCert::try_from(first).is_ok_and(|certificate| {
                is_signed(&certificate, rest, &self.roots, now, known) && bears(&certificate, &self.name)
            })
        })
    }
}

fn is_signed(
    certificate: &EndEntityCert<'_>,
    rest: &[CertificateDer<'_>],
    roots: &RootCertStore,
    now: UnixTime,
    known: WebPkiSupportedAlgorithms,
) -> bool {
    let usages = [KeyUsage::client_auth(), KeyUsage::server_auth(), KeyUsage::required_if_present(SIP_DOMAIN)];
    usages
        .into_iter()
        .any(|usage| certificate.verify_for_usage(known.all, &roots.roots, rest, now, usage, None, None).is_ok())
}

/// Whether a certificate is that of a SIP domain: as a name of DNS or as `sip:` and the domain, whole and not by a wildcard
/// (RFC 5922 sections 7.1 and 7.2). The common name says nothing.
fn bears(certificate: &EndEntityCert<'_>, domain: &str) -> bool {
    let as_dns = ServerName::try_from(domain).is_ok_and(|name| {
        certificate.verify_is_valid_for_subject_name(&name).is_ok()
            && certificate.valid_dns_names().any(|name| name.eq_ignore_ascii_case(domain))
    });
    as_dns || bears_uri(certificate, domain)
}

fn bears_uri(certificate: &EndEntityCert<'_>, domain: &str) -> bool {
    let is_domain = |text: &str| {
        let is_sip = text.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("sip"));
        // One with a user part is that user's, not the domain's.
        let names = |uri: Uri| uri.user.is_none() && uri.host.eq_ignore_ascii_case(domain);
        is_sip && text.parse().is_ok_and(names)
    };
    certificate.valid_uri_names().any(is_domain)
}

/// Judges the certificates of those who connect to us.
#[derive(Debug)]
pub struct Callers {
    /// For everybody; without it nobody has to show one, and one of a stranger says nothing.
    pub everybody: Option<Arc<dyn ClientCertVerifier>>,
    /// Trunks; theirs are good whatever holds for everybody.
    pub parties: Arc<[Party]>,
    /// The names of all authorities, so that a peer with several certificates finds the right one.
    pub hints: Vec<DistinguishedName>,
    /// How signatures are checked.
    pub known: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Callers {
    fn client_auth_mandatory(&self) -> bool {
        self.everybody.is_some()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let Some(everybody) = &self.everybody else { return Ok(ClientCertVerified::assertion()) };
        everybody.verify_client_cert(end_entity, intermediates, now).or_else(|error| {
            let chain: Vec<CertificateDer<'_>> = core::iter::once(end_entity).chain(intermediates).cloned().collect();
            let is_trunk = self.parties.iter().any(|party| party.is(&chain, now, self.known));
            if is_trunk { Ok(ClientCertVerified::assertion()) } else { Err(error) }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.known.supported_schemes()
    }
}

/// Judges the certificate of whom we connect to: it bears one of these names.
#[derive(Debug)]
pub struct Wanted {
    /// Domains, as names of DNS or `sip:` URIs, and addresses.
    pub names: Vec<ServerName<'static>>,
    /// Whose certificates are believed.
    pub roots: Arc<RootCertStore>,
    /// How signatures are checked.
    pub known: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Wanted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, self.known.all)?;
        let certificate = EndEntityCert::try_from(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let is_named = |name: &ServerName<'static>| {
            certificate.verify_is_valid_for_subject_name(name).is_ok()
                || matches!(name, ServerName::DnsName(name) if bears_uri(&certificate, name.as_ref()))
        };
        if self.names.iter().any(is_named) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidForName))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.known.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn a_domain_is_a_name_of_dns_or_a_sip_uri_without_a_user_and_no_wildcard() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tls");
        for (file, domain, expected) in [
            ("carrier.pem", "sip.carrier.example", true),
            ("carrier.pem", "SIP.Carrier.Example", true),
            ("carrier.pem", "carrier.example", true),
            ("carrier.pem", "example", false),
            // A wildcard, a user's, and another scheme.
            ("other.pem", "sip.carrier.example", false),
            ("other.pem", "*.carrier.example", false),
            ("other.pem", "other.example", true),
            ("other.pem", "", false),
        ] {
            let certificate = CertificateDer::from_pem_file(folder.join(file)).expect("a certificate");
            let certificate = EndEntityCert::try_from(&certificate).expect("a certificate");
            assert_eq!(bears(&certificate, domain), expected, "{domain} in {file}");
        }
    }
}
