//! What a run is: callers, agents, and what they do.

use core::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use offhook_net::streams::{Lead, Tls};
use offhook_plan::{CodecCap, CodecKind, MediaCaps};
use offhook_sip::{Credentials, Transport, Uri};
use offhook_units::Span;

use crate::arrivals::{Pattern, Spread};
use crate::faults::Wire;
use crate::flows::{Part, Speech};

/// A run of the load generator.
#[derive(Debug, Clone)]
pub struct Load {
    /// Who calls, if anybody.
    pub callers: Option<Callers>,
    /// Who answers, if anybody.
    pub agents: Option<Agents>,
    /// Whom we believe over TLS; without it there are no connections over it.
    pub tls: Option<Tls>,
    /// What servers are called that connections lead to.
    pub leads: Vec<Lead>,
    /// The call whose caller is listened to, if any.
    pub sampled: Option<u64>,
    /// How long it goes on: calls are made for so long where they have a hold time, and stay up for so long where they have none.
    pub lasting: Option<Span>,
    /// The process under test, on this machine.
    pub server_pid: Option<u32>,
    /// What happens to the network meanwhile.
    pub wire: Arc<Wire>,
    /// Whether it is kept what became of each single call.
    pub keeps_outcomes: bool,
}

/// How the speech of callers goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// As plain RTP.
    Plain,
    /// Under SRTP with keys from the descriptions (RFC 4568).
    Srtp,
    /// As a browser's: ICE, DTLS, and SRTP with keys of these.
    WebRtc,
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Callers {
    /// What SIP goes over.
    pub transport: Transport,
    /// Connections that calls are spread over, where the transport has any.
    pub connections: usize,
    /// How speech goes.
    pub carriage: Carriage,
    /// What is spoken.
    pub speech: Speech,
    /// Where INVITEs are sent.
    pub server: SocketAddr,
    /// Whom they call.
    pub uri: Uri,
    /// Where they send from: port 0 takes a free one.
    pub local: SocketAddr,
    /// The user part of From; `{n}` is the call's number.
    pub from: String,
    /// When calls begin.
    pub pattern: Pattern,
    /// Most calls at once: one that comes then is not made, and counted. Without a hold time: how many calls there are.
    pub concurrent: usize,
    /// How long a call lasts from its answer on; none: until the end of the run.
    pub hold: Option<Spread>,
    /// How long a caller waits for an answer, and for an agent of ours where there are any.
    pub patience: Option<Spread>,
    /// Keys, each so long after the answer.
    pub keys: Vec<(Span, String)>,
    /// What a challenge is answered with.
    pub credentials: Option<Credentials>,
}

/// Who answers.
#[derive(Debug, Clone)]
pub struct Agents {
    /// What SIP goes over, with one connection for all where it has any.
    pub transport: Transport,
    /// Whether they take streams under SRTP; plain ones they take anyway.
    pub takes_srtp: bool,
    /// What is spoken where they speak, and the codec.
    pub speech: Speech,
    /// Where they listen.
    pub local: SocketAddr,
    /// How many register; zero: whoever is called at `local` is an agent.
    pub count: u32,
    /// The first number in `user`.
    pub first: u32,
    /// Their user part: `{n}`, or `{n:04}` with leading zeros.
    pub user: String,
    /// Their password, in the same way.
    pub password: String,
    /// Where they register, and the domain that they belong to.
    pub registrar: Option<(SocketAddr, Uri)>,
    /// Registrations begun in a second.
    pub registers_per_s: u32,
    /// How long their phones ring.
    pub answer_after: Spread,
    /// Share of calls that they decline, in a thousand.
    pub decline_per_mille: u32,
    /// They hang up this long after answering; none: the other side does.
    pub hang_up_after: Option<Spread>,
    /// How long they are busy after a call.
    pub wrap_up: Span,
    /// Whether they send back what they hear, or speak themselves.
    pub part: Part,
}

/// Our sockets for speech: callers' first, then agents'.
#[derive(Debug, Clone, Default)]
pub struct Ports {
    /// Where callers listen for speech.
    pub callers: Vec<SocketAddr>,
    /// Where agents do.
    pub agents: Vec<SocketAddr>,
}

/// Legs of one socket for speech, about: each socket's buffer in the kernel holds what comes in while we are not looking.
const LEGS_A_SOCKET: usize = 25;
/// Sockets of one side at most.
const SOCKETS_MAX: usize = 64;

/// How many sockets carry the speech of so many legs.
pub const fn sockets_for(legs: usize) -> usize {
    let wanted = legs.div_ceil(LEGS_A_SOCKET);
    if wanted < 1 {
        1
    } else if wanted > SOCKETS_MAX {
        SOCKETS_MAX
    } else {
        wanted
    }
}

/// What one who has this codec says in descriptions.
pub(crate) fn caps(codec: CodecKind) -> MediaCaps {
    MediaCaps { codecs: vec![CodecCap::of(codec)], ..MediaCaps::g711() }
}

/// The text with its number: `{n}` or `{n:04}`.
pub fn numbered(text: &str, number: u64) -> String {
    let Some((before, rest)) = text.split_once("{n") else { return text.to_owned() };
    let Some((format, after)) = rest.split_once('}') else { return text.to_owned() };
    let width = format.trim_start_matches(':').parse::<usize>().unwrap_or(0).min(20);
    format!("{before}{number:0width$}{after}")
}

/// The number in a text that [`numbered`] made of `pattern`.
pub fn number_in(pattern: &str, text: &str) -> Option<u64> {
    let (before, rest) = pattern.split_once("{n")?;
    let (_, after) = rest.split_once('}')?;
    text.strip_prefix(before)?.strip_suffix(after)?.parse().ok()
}

/// Our address towards `server`: `wanted`, with the concrete host of the route where it names none.
///
/// # Errors
/// Where there is no route.
pub fn towards(wanted: SocketAddr, server: SocketAddr) -> std::io::Result<SocketAddr> {
    let host: IpAddr = if wanted.ip().is_unspecified() { offhook_net::sip::route_to(server)? } else { wanted.ip() };
    Ok(SocketAddr::new(host, wanted.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_into_names_and_come_out_again() {
        assert_eq!(numbered("a{n:04}", 7), "a0007");
        assert_eq!(numbered("cx{n}@x", 12_345), "cx12345@x");
        assert_eq!(numbered("plain", 1), "plain");
        assert_eq!(number_in("cx{n}", "cx17"), Some(17));
        assert_eq!(number_in("a{n:04}", "a0007"), Some(7));
        assert_eq!((number_in("cx{n}", "anna"), number_in("plain", "plain")), (None, None));
    }

    #[test]
    fn a_thousand_legs_share_40_sockets_and_a_million_64() {
        assert_eq!([0, 1, 26, 1_000, 1_000_000].map(sockets_for), [1, 1, 2, 40, 64]);
    }
}
