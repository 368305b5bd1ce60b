//! What a REGISTER says of each contact, and what the 200 tells of those that stand.

use offhook_units::{Span, Tick};

use super::{Entry, Fault, Registrar};
use crate::{Flow, NameAddr, Request, Response, Transport, Uri};

/// What `Expires` means where it says nothing, or nothing that can be read (RFC 3261 sections 10.3 and 20.19).
const DEFAULT_EXPIRES: u32 = 3_600;
/// The most wanted contact, in thousandths; what counts where nothing is said (RFC 3261 section 10.2.1.2 leaves it open).
pub(super) const Q_MAX: u16 = 1_000;
/// Longest instance that is kept, in bytes: a `urn:uuid:` has 45.
const INSTANCE_BYTES_MAX: usize = 256;

/// What a REGISTER asks for one contact.
pub(super) struct Wish {
    pub uri: Uri,
    /// None: to be removed.
    pub expires: Option<Span>,
    pub q: u16,
    pub instance: Option<String>,
    pub reg_id: Option<u32>,
}

impl Wish {
    /// Whether this wish is for what is bound there: the same address, or the same phone with another one (RFC 5626
    /// section 6; a phone without `reg-id` that comes back with another address is the same phone too).
    pub fn means(&self, entry: &Entry) -> bool {
        let same_phone = self.instance.is_some() && self.instance == entry.binding.instance;
        self.uri.equivalent(&entry.uri) || (same_phone && self.reg_id == entry.binding.reg_id)
    }
}

/// For bindings that were kept before `q` was.
pub(super) const fn most_wanted() -> u16 {
    Q_MAX
}

/// The name of an instance without its brackets, where a URI can carry it as it is (RFC 5627 section 3.3).
pub(super) fn bare(instance: &str) -> Option<&str> {
    let name = instance.strip_prefix('<')?.strip_suffix('>')?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'():/&+$[]".contains(&b);
    (!name.is_empty() && name.bytes().all(plain)).then_some(name)
}

/// Whether the phone asks for RFC 5626: an instance with a way of its own, and the option tag.
pub(super) fn wants_outbound(request: &Request) -> bool {
    let numbered = |contact: &NameAddr| contact.param("+sip.instance").is_some() && reg_id(contact).is_some();
    request.headers.lists("Supported", "outbound")
        && request.headers.contacts().is_ok_and(|contacts| contacts.iter().any(numbered))
}

/// Whether a datagram of the phone itself came through a translator: not from where its Via says (RFC 3581 section 4).
pub(super) fn is_translated(flow: Flow, request: &Request) -> bool {
    let from_elsewhere = |via: &crate::Via| {
        let port = via.port.unwrap_or(flow.transport.default_port());
        via.host_ip() != Some(flow.peer.ip()) || port != flow.peer.port()
    };
    // A proxy keeps the way to its phones open itself.
    let vias = request.headers.vias();
    flow.transport == Transport::Udp && vias.is_ok_and(|vias| matches!(&vias[..], [via] if from_elsewhere(via)))
}

fn reg_id(contact: &NameAddr) -> Option<u32> {
    contact.param("reg-id")?.parse().ok().filter(|id| *id > 0)
}

/// `1`, `0.7`, `0.333`: thousandths, or what counts where it cannot be read.
fn q_of(text: &str) -> u16 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let thousandths = format!("{part:0<3}");
    match (whole, thousandths.parse::<u16>()) {
        ("0", Ok(q)) if part.len() <= 3 => q,
        _ => Q_MAX,
    }
}

impl Registrar {
    /// Each contact of a REGISTER once.
    pub(super) fn wishes(&self, request: &Request, account: &str) -> Result<Vec<Wish>, Fault> {
        let headers = &request.headers;
        let header = headers.expires().ok().flatten();
        if headers.contact_is_star() {
            if header != Some(0) {
                return Err(Fault::BadRequest("Contact: * without Expires: 0"));
            }
            let all = self.accounts.get(account).into_iter().flatten();
            let remove = |entry: &Entry| {
                let uri = entry.uri.clone();
                Wish { uri, expires: None, q: Q_MAX, instance: None, reg_id: None }
            };
            return Ok(all.map(remove).collect());
        }
        let contacts = headers.contacts().map_err(|_| Fault::BadRequest("Contact"))?;
        let mut wishes: Vec<Wish> = Vec::new();
        for contact in contacts {
            if !contact.uri.is_sip() {
                return Err(Fault::BadRequest("Contact is no SIP URI"));
            }
            let asked = contact.param("expires").map(|text| text.parse().unwrap_or(DEFAULT_EXPIRES));
            let seconds = asked.or(header).unwrap_or(DEFAULT_EXPIRES);
            let asked = Span::from_s(u64::from(seconds));
            if seconds > 0 && asked < self.limits.min_expires {
                return Err(Fault::TooBrief);
            }
            let expires = (seconds > 0).then(|| asked.min(self.limits.max_expires));
            // The same contact twice in one request: the last one counts.
            wishes.retain(|wish| !wish.uri.equivalent(&contact.uri));
            let instance = contact.param("+sip.instance").filter(|name| name.len() <= INSTANCE_BYTES_MAX);
            wishes.push(Wish {
                expires,
                q: contact.param("q").map_or(Q_MAX, q_of),
                reg_id: reg_id(&contact).filter(|_| instance.is_some()),
                instance: instance.map(str::to_owned),
                uri: contact.uri,
            });
        }
        Ok(wishes)
    }

    /// 200 with all bindings, RFC 3261 section 10.3 step 8.
    pub(super) fn accepted(&self, now: Tick, flow: Flow, request: &Request, account: &str) -> Response {
        let mut response = Response::to_request(request, 200);
        let wants_gruu = request.headers.lists("Supported", "gruu");
        for binding in self.bindings(account).filter(|binding| binding.expires_at > now) {
            let left = (binding.expires_at - now).as_s();
            let mut value = format!("<{}>;expires={left}", binding.contact);
            if binding.q < Q_MAX {
                value.push_str(";q=0.");
                value.push_str(&(1_000 + binding.q).to_string()[1..]);
            }
            if let Some(instance) = &binding.instance {
                let mut params = crate::Params::new();
                params.set("+sip.instance", instance);
                if let Some(id) = binding.reg_id {
                    params.set("reg-id", &id.to_string());
                }
                if let Some(name) = bare(instance).filter(|_| wants_gruu) {
                    let gruu = Uri::sip(Some(account), &self.realm, None).with_param("gr", name);
                    params.set("pub-gruu", &gruu.to_string());
                }
                value.push_str(params.as_str());
            }
            response.headers.push("Contact", &value);
        }
        for hop in request.headers.values("Path") {
            response.headers.push("Path", hop);
        }
        if wants_outbound(request) {
            response.headers.push("Require", "outbound");
            let direct = request.headers.vias().is_ok_and(|vias| vias.len() == 1);
            if flow.transport.is_reliable() && direct && self.limits.flow_timer > Span::ZERO {
                response.headers.push("Flow-Timer", &self.limits.flow_timer.as_s().to_string());
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_thousandths_and_what_is_no_number_is_the_highest() {
        for (text, q) in [("1", 1_000), ("1.000", 1_000), ("0", 0), ("0.5", 500), ("0.05", 50), ("0.333", 333)] {
            assert_eq!(q_of(text), q, "{text}");
        }
        for text in ["", "0.1234", "-1", "2", "x", "0.-1"] {
            assert_eq!(q_of(text), 1_000, "{text}");
        }
    }

    #[test]
    fn a_datagram_from_elsewhere_than_its_only_via_says_came_through_a_translator() {
        let at = |transport, peer: &str| {
            let (local, peer) = (([192, 0, 2, 1], 5060).into(), peer.parse().expect("an address"));
            Flow { transport, local, peer }
        };
        for (vias, transport, peer, expected) in [
            ("Via: SIP/2.0/UDP 192.0.2.7:5070;rport", Transport::Udp, "192.0.2.7:5070", false),
            ("Via: SIP/2.0/UDP 192.0.2.7", Transport::Udp, "192.0.2.7:5060", false),
            ("Via: SIP/2.0/UDP 192.0.2.7:5070;rport", Transport::Udp, "192.0.2.7:61000", true),
            ("Via: SIP/2.0/UDP 10.0.0.7:5070;rport", Transport::Udp, "192.0.2.7:5070", true),
            ("Via: SIP/2.0/UDP phone.invalid:5070", Transport::Udp, "192.0.2.7:5070", true),
            ("Via: SIP/2.0/UDP [2001:db8::7]", Transport::Udp, "[2001:db8::7]:5060", false),
            ("Via: SIP/2.0/TCP 10.0.0.7:5070", Transport::Tcp, "192.0.2.7:61000", false),
            ("Via: SIP/2.0/UDP 192.0.2.9\r\nVia: SIP/2.0/UDP 10.0.0.7", Transport::Udp, "192.0.2.9:61000", false),
        ] {
            let text = format!(
                "REGISTER sip:a SIP/2.0\r\n{vias};branch=z9hG4bKx\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:a@a>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
            );
            let Ok(crate::Message::Request(request)) = crate::Message::parse(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(is_translated(at(transport, peer), &request), expected, "{vias} from {peer}");
        }
    }

    #[test]
    fn an_instance_that_a_uri_can_carry_has_a_bare_name() {
        assert_eq!(bare("<urn:uuid:f81d4fae-7dec-11d0>"), Some("urn:uuid:f81d4fae-7dec-11d0"));
        for other in ["urn:uuid:1", "<>", "<a;b>", "<a b>", "<\u{e9}>", ""] {
            assert_eq!(bare(other), None, "{other}");
        }
    }
}
