//! What an end of a stream says of DTLS and ICE, as browsers do. `sip` reads and writes it; it is nobody's secret.

use core::net::{IpAddr, SocketAddr};

/// How one end of a stream takes part in the DTLS handshake that the keys come by (RFC 5763), and where it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dtls {
    /// What its certificate hashes to: one of these must fit.
    pub fingerprints: Vec<Fingerprint>,
    /// Who begins the handshake. In what was agreed on: the peer's part in it.
    pub setup: Setup,
    /// How it is reached, where that is by ICE; otherwise at the address of its media.
    pub ice: Option<Ice>,
}

/// The hash of a certificate, RFC 8122 section 5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// By which function.
    pub hash: HashKind,
    /// The hash; as long as the function makes it.
    pub bytes: Vec<u8>,
}

/// The hash functions of fingerprints. MD5 and older ones are none (RFC 8122 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashKind {
    /// SHA-1, which old peers offer alone.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256, which everybody offers.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashKind {
    /// Every function with its name in a session description and the bytes that it makes.
    pub const ALL: [(Self, &'static str, usize); 5] = [
        (Self::Sha1, "sha-1", 20),
        (Self::Sha224, "sha-224", 28),
        (Self::Sha256, "sha-256", 32),
        (Self::Sha384, "sha-384", 48),
        (Self::Sha512, "sha-512", 64),
    ];
}

/// Who begins a connection, RFC 4145 section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// It does: the DTLS client.
    Active,
    /// It waits: the DTLS server.
    Passive,
    /// Either, as the other end likes; in offers alone.
    ActPass,
}

impl Setup {
    /// Every part with its name in a session description.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Active, "active"), (Self::Passive, "passive"), (Self::ActPass, "actpass")];
}

/// How one end of a stream is reached by ICE, RFC 8839.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ice {
    /// User part of its checks: 4 to 256 characters.
    pub ufrag: String,
    /// Password of its checks: 22 to 256 characters.
    pub pwd: String,
    /// It only answers checks.
    pub lite: bool,
    /// Extensions, such as `trickle`.
    pub options: Vec<String>,
    /// Where it may be.
    pub candidates: Vec<Candidate>,
    /// No candidate follows.
    pub complete: bool,
}

/// Where an end of a stream may be, RFC 8839 section 5.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Equal for candidates of one kind, base and server.
    pub foundation: String,
    /// 1 for RTP, 2 for RTCP.
    pub component: u16,
    /// How packets go there.
    pub transport: CandidateTransport,
    /// The larger the better.
    pub priority: u32,
    /// The host.
    pub host: CandidateHost,
    /// The port.
    pub port: u16,
    /// What kind of place it is.
    pub kind: CandidateKind,
    /// The base that it was found from, where it tells.
    pub related: Option<SocketAddr>,
}

/// The host of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CandidateHost {
    /// An address.
    Address(IpAddr),
    /// A name, behind which browsers hide their addresses (`….local`).
    Name(String),
}

/// How packets go to a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateTransport {
    /// As datagrams.
    Udp,
    /// Over a connection (RFC 6544): who begins it.
    Tcp(TcpKind),
}

/// Who begins the connection to a candidate, RFC 6544 section 4.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpKind {
    /// The one whose candidate it is.
    Active,
    /// The other end.
    Passive,
    /// Both at once.
    SimultaneousOpen,
}

impl TcpKind {
    /// Every kind with its name in a session description.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Active, "active"), (Self::Passive, "passive"), (Self::SimultaneousOpen, "so")];
}

/// What kind of place a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateKind {
    /// An address of its own.
    Host,
    /// Its address as a server saw it.
    ServerReflexive,
    /// Its address as a peer saw it.
    PeerReflexive,
    /// An address of a relay.
    Relayed,
}

impl CandidateKind {
    /// Every kind with its name in a session description.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Host, "host"),
        (Self::ServerReflexive, "srflx"),
        (Self::PeerReflexive, "prflx"),
        (Self::Relayed, "relay"),
    ];
}
