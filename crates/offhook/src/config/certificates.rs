//! Certificates of trunks: what theirs bear, whose they are, and which of ours they are shown.

use offhook_net::streams::{Tls, TlsFiles, TrunkFiles};
use offhook_sip::{Transport, Uri};

use super::outside::Outgoing;
use super::read::{At, Section};
use super::{Proxy, Reader};

const CA: &str = "\"carrier-authority.pem\"";
const CERTIFICATE: &str = "\"carrier.pem\"";

impl Reader {
    /// `tls_client`, `ca`, `certificate` and `key` of the `[[trunk]]` at this place in the file; says whether the trunk is known by
    /// its certificate.
    pub fn trunk_tls(&mut self, section: &mut Section<'_>, trunk: usize, out: Option<&Outgoing>) -> bool {
        let client = section.text(&mut self.sink, "tls_client", "\"sip.carrier.example\"");
        let ca = section.text(&mut self.sink, "ca", CA);
        let certificate = section.text(&mut self.sink, "certificate", CERTIFICATE);
        let key = section.text(&mut self.sink, "key", "\"carrier.key\"");
        let Some(first) = [&client, &ca, &certificate, &key].into_iter().flatten().next() else { return false };
        if !self.spoken.iter().any(|transport| transport.is_secure()) {
            let message = "certificates are for TLS, and listen in [sip] has no tls";
            self.sink.fault(first.span.clone(), message, "add \"tls:ADDRESS:5061\" to listen in [sip]");
        }
        let is_secure = out.is_some_and(|out| out.proxies.iter().any(may_be_secure));
        if let Some(At { span, .. }) = certificate.as_ref().or(key.as_ref()).filter(|_| !is_secure) {
            let message = "this certificate is shown to a proxy over TLS, and there is none";
            self.sink.fault(span.clone(), message, "add proxy = \"tls:carrier.example\", or take it out");
        }
        if let Some(At { span, .. }) = ca.as_ref().filter(|_| !is_secure && client.is_none()) {
            let message = "nobody is judged by this authority";
            self.sink.fault(span.clone(), message, "add tls_client or a proxy over TLS, or take ca out");
        }
        if let Some(At { span, .. }) = client.as_ref().filter(|_| ca.is_none()) {
            let message = "whose certificates the trunk's are is not said";
            self.sink.missing(span.clone(), message, format!("add ca = {CA}, the authority that signs them"));
        }
        let known = client.is_some();
        let own = match (&certificate, &key) {
            (Some(certificate), Some(key)) => Some((self.path(&certificate.value), self.path(&key.value))),
            (None, None) => None,
            (Some(At { span, .. }), None) | (None, Some(At { span, .. })) => {
                let advice = format!("write both certificate = {CERTIFICATE} and key, or neither");
                self.sink.fault(span.clone(), "a certificate is shown with its key", advice);
                None
            }
        };
        let authorities = ca.as_ref().map(|ca| self.path(&ca.value));
        let files = TrunkFiles { trunk, client: client.and_then(|name| self.trunk_name(name)), authorities, own };
        self.check_trunk_files(&files, ca.as_ref(), certificate.as_ref());
        self.trunk_files.push(files);
        known
    }

    /// The domain that a trunk's certificate bears.
    fn trunk_name(&mut self, name: At<String>) -> Option<String> {
        let domain = name.value.to_ascii_lowercase();
        let is_domain = format!("sip:{domain}").parse::<Uri>().is_ok_and(|uri| uri.host == domain)
            && domain.split('.').all(|label| !label.is_empty() && label.len() <= 63)
            && domain.contains(|c: char| c.is_ascii_alphabetic());
        if !is_domain {
            let message = format!("\"{}\" is no domain that a certificate bears", name.value);
            let advice = "write one whole name from it, such as tls_client = \"sip.carrier.example\"";
            self.sink.fault(name.span, message, advice);
            return None;
        }
        if self.trunk_files.iter().any(|other| other.client.as_ref() == Some(&domain)) {
            let message = format!("another trunk is known by \"{domain}\" already");
            self.sink.fault(name.span, message, "a certificate is of one trunk: take it out of one");
            return None;
        }
        Some(domain)
    }

    /// Reads the files as the exchange will, first the authority, so that the fault stands where it is.
    fn check_trunk_files(&mut self, files: &TrunkFiles, ca: Option<&At<String>>, certificate: Option<&At<String>>) {
        let Some(common) = &self.tls else { return };
        let alone = TrunkFiles { own: None, ..files.clone() };
        for (files, place) in [(&alone, ca), (files, certificate)] {
            let Some(place) = place else { continue };
            let together = TlsFiles { trunks: vec![files.clone()], ..common.clone() };
            if let Err(error) = Tls::load(&together) {
                let advice = "name PEM files that fit together: a certificate with its chain, its key, an authority";
                return self.sink.missing(place.span.clone(), error.to_string(), advice);
            }
        }
        if files.own.is_some() && files.authorities.is_none() && common.trust.is_none() {
            let span = certificate.map_or(0..0, |certificate| certificate.span.clone());
            let message = "it is not said whose certificate the proxy has to show";
            self.sink.missing(span, message, format!("add ca = {CA} here, or trust to [tls]"));
        }
    }
}

/// Whether calls to this place may go over TLS.
fn may_be_secure(proxy: &Proxy) -> bool {
    match proxy {
        Proxy::At(transport, _) => transport.is_secure(),
        Proxy::Named(named) => named.transport.is_none_or(Transport::is_secure),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Checked, Faults, Kind, check_text};

    const SECURE: &str = "[sip]\nlisten = [\"udp:127.0.0.1:5060\", \"tls:127.0.0.1:5061\"]\n[tls]\ncertificate = \
                          \"exchange.pem\"\nkey = \"exchange.key\"\n[[trunk]]\nname = \"t\"\n";

    fn read(text: &str) -> Result<Checked, Faults> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tls");
        check_text(&folder.join("test.toml"), text)
    }

    fn check(trunk: &str, place: (usize, usize), message: &str) {
        let text = format!("{SECURE}{trunk}");
        let faults = read(&text).err().unwrap_or_else(|| panic!("no fault in\n{text}"));
        let found = faults.list.iter().any(|fault| faults.place(fault) == place && fault.message.contains(message));
        assert!(found, "{message:?} at {place:?} is not in {faults}");
    }

    #[test]
    fn a_trunk_is_known_by_its_certificate_and_shown_its_own() {
        let text = format!(
            "{SECURE}tls_client = \"sip.Carrier.example\"\nca = \"carriers.pem\"\nproxy = \"tls:192.0.2.1\"\nprefixes = \
             [\"0\"]\ndomain = \"carrier.example\"\ncertificate = \"carrier.pem\"\nkey = \"carrier.key\"\n"
        );
        let checked = read(&text).unwrap_or_else(|faults| panic!("{faults}"));
        let files = &checked.tls.as_ref().expect("certificates").trunks[..];
        let [files] = files else { panic!("{files:?}") };
        assert_eq!((files.trunk, files.client.as_deref()), (0, Some("sip.carrier.example")));
        assert!(files.authorities.as_ref().is_some_and(|path| path.ends_with("carriers.pem")));
        assert!(files.own.as_ref().is_some_and(|(_, key)| key.ends_with("carrier.key")));
        let local = "127.0.0.1:5061".parse().expect("an address");
        let trunk = checked.resolve(|_: Kind, _: &str| 1, |_, _| local).exchange.trunks.remove(0);
        assert!(trunk.by_certificate && trunk.peers.is_empty());
    }

    #[test]
    fn faults_of_trunks_certificates_stand_in_their_places() {
        let known = "tls_client = \"sip.carrier.example\"\nca = \"carriers.pem\"\n";
        let proxy = "proxy = \"tls:192.0.2.1\"\nprefixes = [\"0\"]\n";
        check("tls_client = \"sip.carrier.example\"\n", (8, 14), "whose certificates the trunk's are");
        check("tls_client = \"*.carrier.example\"\nca = \"carriers.pem\"\n", (8, 14), "is no domain");
        check("tls_client = \"192.0.2.1\"\nca = \"carriers.pem\"\n", (8, 14), "is no domain");
        check("tls_client = \"a.example\"\nca = \"none.pem\"\n", (9, 6), "none.pem");
        check("tls_client = \"a.example\"\nca = \"carrier.key\"\n", (9, 6), "no certificate");
        check("peers = [\"192.0.2.1\"]\nca = \"carriers.pem\"\n", (9, 6), "nobody is judged");
        check(&format!("{known}certificate = \"carrier.pem\"\nkey = \"carrier.key\"\n"), (10, 15), "there is none");
        check(&format!("{known}{proxy}certificate = \"carrier.pem\"\n"), (12, 15), "shown with its key");
        check(&format!("{known}{proxy}certificate = \"carrier.pem\"\nkey = \"other.key\"\n"), (12, 15), "carrier.pem");
        check(&format!("{proxy}certificate = \"carrier.pem\"\nkey = \"carrier.key\"\n"), (10, 15), "whose certificate");
        check(&format!("{known}[[trunk]]\nname = \"u\"\n{known}"), (12, 14), "another trunk is known by");
        check("", (6, 1), "[[trunk]] has no peers");
        let plain = SECURE.replace(", \"tls:127.0.0.1:5061\"", "");
        let faults = read(&format!("{plain}{known}")).expect_err("no TLS");
        assert!(faults.to_string().contains("certificates are for TLS"), "{faults}");
    }
}
