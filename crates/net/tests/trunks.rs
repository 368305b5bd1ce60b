//! Trunks that are known by certificates, over real connections on loopback.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use offhook_net::bans::Bans;
use offhook_net::sip::Incoming;
use offhook_net::streams::{Lead, StreamLimits, StreamListener, Streams, Tls, TlsFiles, TrunkFiles};
use offhook_net::trace::Trace;
use offhook_sip::{Flow, Transport};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Nothing here takes longer, unless it never comes.
const SOON: Duration = Duration::from_secs(20);
/// The trunk that `carrier.pem` is of.
const CARRIER: usize = 3;

struct Exchange {
    streams: Streams,
    local: SocketAddr,
    incoming: Receiver<Vec<Incoming>>,
}

impl Exchange {
    fn start(files: &TlsFiles) -> Self {
        let tls = Tls::load(files).expect("certificates that fit together");
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = StreamListener::bind(Transport::Tls, any).expect("a port");
        let (tell, incoming) = unbounded();
        let local = listener.local();
        let deliver = Arc::new(move |batch| tell.send(batch).map_err(|error| error.0));
        let limits = StreamLimits::default();
        let bans = Arc::new(Bans::default());
        let streams = Streams::start(vec![listener], Some(tls), limits, bans, deliver, Trace::default());
        Self { streams: streams.expect("a thread"), local, incoming }
    }

    fn next(&self) -> Incoming {
        let mut batch = self.incoming.recv_timeout(SOON).expect("something comes in");
        assert_eq!(batch.len(), 1, "{batch:?}");
        batch.remove(0)
    }

    fn calls(&self, peer: &Self) -> Flow {
        let flow = Flow { transport: Transport::Tls, local: self.local, peer: peer.local };
        self.streams.send(flow, options());
        flow
    }

    /// Whom the connection that comes next is of; a message comes over it afterwards.
    fn proved(&self) -> Option<usize> {
        let Incoming::Proved(flow, trunk) = self.next() else { panic!("whose it is") };
        assert!(matches!(self.next(), Incoming::Message(over, _) if over == flow));
        trunk
    }
}

fn options() -> Vec<u8> {
    b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
      Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        .to_vec()
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tls").join(name)
}

/// Shows this certificate to everybody and believes this authority.
fn common(name: &str, trust: &str) -> TlsFiles {
    let (certificate, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
    TlsFiles { certificate, key, trust: Some(file(trust)), ..TlsFiles::default() }
}

/// An exchange that knows [`CARRIER`] by `client`, of the authority of carriers.
fn knowing(client: &str) -> TlsFiles {
    let (client, authorities) = (Some(client.to_owned()), Some(file("carriers.pem")));
    let trunks = vec![TrunkFiles { trunk: CARRIER, client, authorities, own: None }];
    TlsFiles { trunks, ..common("exchange", "authority.pem") }
}

#[test]
fn a_connection_with_the_trunks_certificate_is_the_trunks_and_no_other_is() {
    let ours = Exchange::start(&knowing("sip.carrier.example"));
    let mut open = Vec::new();
    // Of another authority, and of the same one for another domain.
    for (shown, expected) in [("carrier", Some(CARRIER)), ("trunk", None), ("other", None)] {
        let theirs = Exchange::start(&common(shown, "authority.pem"));
        theirs.calls(&ours);
        assert_eq!(ours.proved(), expected, "{shown}");
        open.push(theirs);
    }
    let by_uri = Exchange::start(&knowing("carrier.example"));
    let theirs = Exchange::start(&common("carrier", "authority.pem"));
    theirs.calls(&by_uri);
    assert_eq!(by_uri.proved(), Some(CARRIER));
}

#[test]
fn a_phone_without_a_certificate_is_let_in_as_a_stranger_and_kept_out_where_everybody_shows_one() {
    let phone = |exchange: &Exchange| {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(file("authority.pem")).expect("a certificate");
        roots.add(authority).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::new(config), name).expect("a session");
        let socket = TcpStream::connect(exchange.local).expect("a connection");
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(&options()).map(|()| stream)
    };
    let ours = Exchange::start(&knowing("sip.carrier.example"));
    let _open = phone(&ours).expect("it is let in");
    assert_eq!(ours.proved(), None);
    let strict = TlsFiles { clients: Some(file("authority.pem")), ..knowing("sip.carrier.example") };
    let ours = Exchange::start(&strict);
    let _closed = phone(&ours);
    assert!(matches!(ours.next(), Incoming::Lost(_)), "no certificate");
    for (shown, expected) in [("trunk", Some(None)), ("carrier", Some(Some(CARRIER))), ("other", None)] {
        let theirs = Exchange::start(&common(shown, "authority.pem"));
        theirs.calls(&ours);
        match expected {
            Some(expected) => assert_eq!(ours.proved(), expected, "{shown}"),
            None => assert!(matches!(ours.next(), Incoming::Lost(_)), "{shown}"),
        }
        drop(theirs);
        if expected.is_some() {
            assert!(matches!(ours.next(), Incoming::Lost(_)), "its end");
        }
    }
}

/// A carrier that shows `name` and knows us by the certificate of the fixture `carrier`.
fn carrier(name: &str) -> Exchange {
    Exchange::start(&TlsFiles { trunks: knowing("carrier.example").trunks, ..common(name, "carriers.pem") })
}

#[test]
fn a_trunk_is_shown_its_own_certificate_and_is_the_trunk_on_our_connection_too() {
    let theirs = carrier("trunk");
    let own = Some((file("carrier.pem"), file("carrier.key")));
    let trunks = vec![TrunkFiles { trunk: 1, authorities: Some(file("authority.pem")), own, ..TrunkFiles::default() }];
    let ours = Exchange::start(&TlsFiles { trust: None, trunks, ..common("exchange", "authority.pem") });
    let peer = theirs.local;
    ours.streams.lead(1, vec![Lead { peer, names: vec!["trunk.offhook.example".to_owned()], path: None }]);
    let out = ours.calls(&theirs);
    assert_eq!(theirs.proved(), Some(CARRIER), "they know us by it");
    assert!(matches!(ours.next(), Incoming::Proved(flow, Some(1)) if flow == out));
    // Whoever is no place of the trunk is shown the common one, and believed by common trust: there is none.
    let stranger = carrier("trunk");
    let out = ours.calls(&stranger);
    assert!(matches!(ours.next(), Incoming::Lost(flow) if flow == out));
}

#[test]
fn a_server_bears_a_name_of_the_trunk_or_gets_nothing() {
    for (server, authority, names, is_believed) in [
        ("trunk", "authority.pem", &["trunk.offhook.example"][..], true),
        ("trunk", "authority.pem", &["carrier.example", "127.0.0.1"], true),
        ("trunk", "authority.pem", &[], true),
        ("trunk", "authority.pem", &["carrier.example"], false),
        ("trunk", "carriers.pem", &["trunk.offhook.example"], false),
        ("carrier", "carriers.pem", &["carrier.example"], true),
        ("carrier", "carriers.pem", &["127.0.0.1"], false),
    ] {
        let theirs = Exchange::start(&common(server, "authority.pem"));
        let trunks = vec![TrunkFiles { trunk: 0, authorities: Some(file(authority)), ..TrunkFiles::default() }];
        let ours = Exchange::start(&TlsFiles { trunks, ..common("exchange", "authority.pem") });
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        ours.streams.lead(0, vec![Lead { peer: theirs.local, names, path: None }]);
        let out = ours.calls(&theirs);
        match ours.next() {
            Incoming::Proved(flow, Some(0)) => assert!(flow == out && is_believed, "{server} {authority}"),
            Incoming::Lost(flow) => assert!(flow == out && !is_believed, "{server} {authority}"),
            other => panic!("{other:?}"),
        }
        if is_believed {
            assert!(matches!(theirs.next(), Incoming::Message(..)));
        }
    }
}

#[test]
fn certificates_that_are_read_again_hold_for_the_next_connection_and_faults_are_named() {
    let mut before = knowing("sip.carrier.example");
    before.trunks[0].authorities = Some(file("authority.pem"));
    let ours = Exchange::start(&before);
    let theirs = Exchange::start(&common("carrier", "authority.pem"));
    theirs.calls(&ours);
    assert_eq!(ours.proved(), None, "of another authority");
    let certifier = ours.streams.certifier().expect("it runs");
    assert!(certifier.certify(Tls::load(&knowing("sip.carrier.example")).expect("certificates")));
    let theirs = Exchange::start(&common("carrier", "authority.pem"));
    theirs.calls(&ours);
    assert_eq!(ours.proved(), Some(CARRIER));
    let mut wrong = knowing("sip.carrier.example");
    wrong.trunks[0].own = Some((file("carrier.pem"), file("other.key")));
    assert!(Tls::load(&wrong).expect_err("another key").to_string().contains("carrier.pem"));
    wrong.trunks[0].authorities = Some(file("none.pem"));
    assert!(Tls::load(&wrong).expect_err("no file").to_string().contains("none.pem"));
}
