//! Trunks: carriers and neighbour exchanges.

use core::net::{IpAddr, SocketAddr};

use offhook_plan::CodecKind;
use offhook_sip::sdp::SrtpPolicy;
use offhook_sip::{Credentials, Flow};
use offhook_units::Span;

use crate::numbering::{NumberFormat, Numbering};

/// A carrier or a neighbour exchange. Its calls are known by the addresses that they come from, by the targets that ours go
/// to, and by the Contact that we registered with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// Its name in logs and records.
    pub name: String,
    /// Addresses that its requests come from.
    pub peers: Vec<IpAddr>,
    /// It is known by the certificate that it shows ([`crate::Input::Proved`]): not by the addresses of its targets, but by
    /// `peers` all the same.
    pub by_certificate: bool,
    /// How many calls it may have.
    pub limits: TrunkLimits,
    /// The codecs that it is offered and answered with, in order of preference; the exchange's own where this is empty.
    pub codecs: Vec<CodecKind>,
    /// How numbers are dialled there, where that is not as in [`super::Config::numbering`].
    pub numbering: Option<Numbering>,
    /// How it writes them.
    pub format: NumberFormat,
    /// How calls go out to it, where they may.
    pub out: Option<Outgoing>,
    /// What is wanted of encryption with it, where it differs from [`super::Config::srtp`].
    pub srtp: Option<SrtpPolicy>,
    /// Listeners for TCP that large requests to it go over, where they are not [`super::Config::large_requests_over`].
    pub large_requests_over: Option<Vec<SocketAddr>>,
    /// It may say who calls beside From, and is told who calls where From does not say so (RFC 3325).
    pub trust_identity: bool,
}

impl Trunk {
    /// A trunk that sends us calls from `peers`, without limits of its own.
    pub fn new(name: impl Into<String>, peers: Vec<IpAddr>) -> Self {
        let (limits, codecs) = (TrunkLimits::default(), Vec::new());
        let (numbering, format) = (None, NumberFormat::AsDialled);
        let (out, srtp, large_requests_over, trust_identity) = (None, None, None, true);
        let name = name.into();
        Self {
            name,
            peers,
            by_certificate: false,
            limits,
            codecs,
            numbering,
            format,
            out,
            srtp,
            large_requests_over,
            trust_identity,
        }
    }
}

/// Bounds of one trunk, both directions together. Emergency calls pass them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrunkLimits {
    /// Calls at once; one more from the trunk gets 503 with Retry-After, one more to it goes to the next trunk.
    pub calls_max: u32,
    /// New calls a second, as a token bucket of the same depth; more are answered in the same way.
    pub calls_per_s_max: u32,
}

impl Default for TrunkLimits {
    /// None of its own: those of the exchange hold.
    fn default() -> Self {
        Self { calls_max: u32::MAX, calls_per_s_max: u32::MAX }
    }
}

/// How calls go out to a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where INVITEs and REGISTERs are sent, in the order in which they are tried. Empty while names are not resolved.
    pub targets: Vec<Flow>,
    /// The carrier's domain, in request URIs and in From; without one it is the target's address.
    pub domain: Option<String>,
    /// What the numbers begin with that it takes; of two trunks the one with the longer match is tried first.
    pub prefixes: Vec<String>,
    /// Numbers that it takes from everybody at any time, whatever the limits say.
    pub emergency: Vec<String>,
    /// Who calls, where the account does not say.
    pub caller_id: Option<String>,
    /// What its 401 or 407 is answered with.
    pub credentials: Option<Credentials>,
    /// Whether and how we register with it.
    pub register: Option<Registering>,
    /// A transferred call says which number of ours it was for (RFC 5806).
    pub diversion: bool,
    /// How often each target is asked by OPTIONS whether it is there; zero for never.
    pub health_every: Span,
}

/// How we register with a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registering {
    /// The user part of the address of record, and of our Contact.
    pub user: String,
    /// How long to ask for.
    pub expires: Span,
}

impl Outgoing {
    /// [`Outgoing::health_every`] where nothing is said.
    pub const HEALTH_EVERY: Span = Span::from_s(30);

    /// Calls to `targets`, which takes no numbers yet.
    pub const fn to(targets: Vec<Flow>) -> Self {
        Self {
            targets,
            domain: None,
            prefixes: Vec::new(),
            emergency: Vec::new(),
            caller_id: None,
            credentials: None,
            register: None,
            diversion: false,
            health_every: Self::HEALTH_EVERY,
        }
    }
}
