//! Dialogs, RFC 3261 section 12: who is at both ends, where requests go, and in which order they came.

use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::siprec::Part;
use crate::{Flow, Headers, Method, NameAddr, Request, Response, Uri, Via};

/// How far `CSeq` jumps when a dialog is adopted: requests sent after the snapshot are not in it, and only a higher number
/// is taken by the peer (RFC 3261 section 12.2.2 allows gaps).
pub(crate) const CSEQ_JUMP: u32 = 1_000;
/// Most hops in a route set.
const ROUTES_MAX: usize = 32;

/// What a successor needs to end a confirmed dialog or to take it over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogSnapshot {
    /// `Call-ID`.
    pub call_id: String,
    /// Our end as it stands in From or To, with its tag.
    pub local: String,
    /// The far end as it stands in From or To, with its tag.
    pub remote: String,
    /// `CSeq` number of our last request.
    pub local_cseq: u32,
    /// `CSeq` number of the peer's last request.
    pub remote_cseq: Option<u32>,
    /// Route headers of our requests, in order.
    pub routes: Vec<String>,
    /// Request URI of our requests.
    pub remote_target: String,
    /// Where the peer's requests reach us.
    pub contact: String,
    /// Between which addresses the dialog was set up.
    pub flow: Flow,
    /// Whether requests keep to the flow because the peer stands behind a network address translator.
    pub pinned: bool,
    /// Whether we sent the INVITE.
    pub outgoing: bool,
}

/// One dialog, early or confirmed.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub call_id: String,
    pub local_tag: Box<str>,
    /// None until the peer gave one.
    pub remote_tag: Option<Box<str>>,
    local: String,
    remote: String,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    routes: Vec<NameAddr>,
    remote_target: Uri,
    pub contact: Uri,
    /// Our part in a recording session, where it is one.
    pub records: Option<Part>,
    pub flow: Flow,
    pinned: bool,
    /// The address that our INVITE was meant for, where that is not the one it was sent to.
    meant_for: Option<IpAddr>,
    /// The connection that the dialog was set up on is gone.
    flow_lost: bool,
    pub outgoing: bool,
}

impl Dialog {
    /// For an INVITE that goes out; the peer's half follows with its responses.
    pub(crate) fn outgoing(
        call_id: String,
        local_tag: &str,
        from: NameAddr,
        to: &NameAddr,
        target: Uri,
        contact: Uri,
        flow: Flow,
    ) -> Self {
        let meant_for = target.host_ip().filter(|ip| *ip != flow.peer.ip());
        Self {
            call_id,
            local_tag: local_tag.into(),
            remote_tag: None,
            local: from.with_tag(local_tag).to_string(),
            remote: to.to_string(),
            local_cseq: 0,
            remote_cseq: None,
            routes: Vec::new(),
            remote_target: target,
            contact,
            records: None,
            flow,
            pinned: false,
            meant_for,
            flow_lost: false,
            outgoing: true,
        }
    }

    /// For an INVITE that came in, RFC 3261 section 12.1.1; none where it lacks what a dialog needs.
    pub(crate) fn incoming(request: &Request, via: &Via, flow: Flow, local_tag: &str) -> Option<Self> {
        let headers = &request.headers;
        let target = headers.contacts().ok()?.into_iter().next()?.uri;
        Some(Self {
            call_id: headers.call_id()?.to_owned(),
            local_tag: local_tag.into(),
            remote_tag: Some(headers.from_tag().unwrap_or_default().into()),
            local: headers.to().ok()?.with_tag(local_tag).to_string(),
            remote: headers.get("From")?.to_owned(),
            local_cseq: 0,
            remote_cseq: Some(headers.cseq().ok()?.0),
            routes: route_set(headers, false)?,
            remote_target: target,
            contact: flow.contact(None, None),
            records: None,
            flow,
            pinned: via.host_ip().is_some_and(|sent_by| sent_by != flow.peer.ip()),
            meant_for: None,
            flow_lost: false,
            outgoing: false,
        })
    }

    /// Whether a request with these tags and Call-ID belongs here, RFC 3261 section 12.2.2.
    pub(crate) fn is_of(&self, headers: &Headers) -> bool {
        headers.call_id() == Some(&*self.call_id)
            && self.remote_tag.as_deref().is_none_or(|tag| tag == headers.from_tag().unwrap_or_default())
    }

    /// The peer's half from a 101..=299 to our INVITE, RFC 3261 sections 12.1.2 and 13.2.2.4.
    pub(crate) fn establish(&mut self, response: &Response) {
        let Some(tag) = response.headers.to_tag() else { return };
        self.remote_tag = Some(tag.into());
        if let Some(to) = response.headers.get("To") {
            to.clone_into(&mut self.remote);
        }
        if let Some(routes) = route_set(&response.headers, true) {
            self.routes = routes;
        }
        self.refresh_target(&response.headers);
    }

    /// A new remote target, RFC 3261 section 12.2.1.2 and 12.2.2.
    pub(crate) fn refresh_target(&mut self, headers: &Headers) {
        if let Some(contact) = headers.contacts().ok().and_then(|contacts| contacts.into_iter().next()) {
            self.remote_target = contact.uri;
        }
    }

    /// Our Contact, with what it says of our part in a recording session.
    pub(crate) fn contact_header(&self) -> String {
        let mut text = self.contact.bracketed();
        text.push_str(self.records.map_or("", Part::feature));
        text
    }

    /// Takes note of the peer's `CSeq`; false where it is lower than one before (RFC 3261 section 12.2.2).
    pub(crate) fn take_cseq(&mut self, cseq: u32) -> bool {
        if self.remote_cseq.is_some_and(|last| cseq < last) {
            return false;
        }
        self.remote_cseq = Some(cseq);
        true
    }

    /// A request with the next `CSeq`.
    pub(crate) fn request(&mut self, method: Method) -> Request {
        let cseq = self.next_cseq();
        self.request_numbered(method, cseq)
    }

    /// A request within the dialog, RFC 3261 section 12.2.1.1.
    pub(crate) fn request_numbered(&self, method: Method, cseq: u32) -> Request {
        let strict = self.routes.first().filter(|first| first.uri.param("lr").is_none());
        let uri = strict.map_or(&self.remote_target, |first| &first.uri).clone();
        let mut request = Request::new(method, uri);
        for route in self.routes.iter().skip(usize::from(strict.is_some())) {
            request.headers.push("Route", &route.to_string());
        }
        if strict.is_some() {
            request.headers.push("Route", &format!("<{}>", self.remote_target));
        }
        request.headers.push("Max-Forwards", MAX_FORWARDS);
        request.headers.push("From", &self.local);
        request.headers.push("To", &self.remote);
        request.headers.push("Call-ID", &self.call_id);
        request.headers.set_cseq(cseq, &request.method);
        request
    }

    /// The `CSeq` number of the next request.
    pub(crate) const fn next_cseq(&mut self) -> u32 {
        self.local_cseq += 1;
        self.local_cseq
    }

    /// Takes note that our last request had this number.
    pub(crate) const fn skip_to(&mut self, cseq: u32) {
        self.local_cseq = cseq;
    }

    /// The connection that the dialog was set up on is gone: its requests need another one.
    pub(crate) const fn lose_flow(&mut self) {
        self.flow_lost = true;
    }

    /// The peer is reached over another flow from now on.
    pub(crate) const fn move_to(&mut self, flow: Flow) {
        self.flow = flow;
        self.flow_lost = false;
    }

    /// Whether the peer gave the same place in its last Contact.
    pub(crate) fn is_with(&self, contact: &Uri) -> bool {
        let Uri { user, host, port, .. } = &self.remote_target;
        (user, host, port) == (&contact.user, &contact.host, &contact.port)
    }

    /// Which instance of its account the peer calls itself, where its last Contact is a GRUU (RFC 5627 section 4.4.1).
    pub(crate) fn instance(&self) -> Option<&str> {
        self.remote_target.param("gr").filter(|name| !name.is_empty())
    }

    /// Whether the peer stands behind a translator: its Via showed that, or it is a phone that still gives the address which it
    /// registered and which our INVITE did not go to. A proxy that stays in the path decides itself.
    fn keeps_to_flow(&self) -> bool {
        let as_meant = self.meant_for.is_some() && self.meant_for == self.remote_target.host_ip();
        self.pinned || (as_meant && self.routes.is_empty())
    }

    /// Where requests within the dialog are sent: over the dialog's connection while it lasts (RFC 5923); else to the first
    /// route or the remote target where that is an address, unless the peer writes an address there that cannot be reached
    /// from here; then back over the flow.
    pub(crate) fn next_hop(&self) -> Flow {
        if self.flow.transport.is_reliable() && !self.flow_lost {
            return self.flow;
        }
        let uri = self.routes.first().map_or(&self.remote_target, |route| &route.uri);
        let peer = self.flow.peer.ip();
        match uri.host_ip() {
            Some(ip)
                if !self.keeps_to_flow()
                    && is_sendable(ip)
                    && (is_global(ip) || !is_global(peer))
                    && ip.is_ipv4() == peer.is_ipv4() =>
            {
                let same_loop = ip.is_loopback() == peer.is_loopback();
                let target = SocketAddr::new(ip, uri.port.unwrap_or(self.flow.transport.default_port()));
                if same_loop { Flow { peer: target, ..self.flow } } else { self.flow }
            }
            Some(_) | None => self.flow,
        }
    }

    /// What a successor needs.
    pub(crate) fn snapshot(&self) -> DialogSnapshot {
        DialogSnapshot {
            call_id: self.call_id.clone(),
            local: self.local.clone(),
            remote: self.remote.clone(),
            local_cseq: self.local_cseq,
            remote_cseq: self.remote_cseq,
            routes: self.routes.iter().map(NameAddr::to_string).collect(),
            remote_target: self.remote_target.to_string(),
            contact: self.contact.to_string(),
            flow: self.flow,
            pinned: self.keeps_to_flow(),
            outgoing: self.outgoing,
        }
    }

    /// From what a predecessor left. What cannot be read any more is replaced by the flow's address.
    pub(crate) fn adopt(snapshot: DialogSnapshot) -> Self {
        let tag = |text: &str| text.parse::<NameAddr>().ok().and_then(|address| address.tag().map(Box::from));
        Self {
            local_tag: tag(&snapshot.local).unwrap_or_default(),
            remote_tag: Some(tag(&snapshot.remote).unwrap_or_default()),
            local_cseq: snapshot.local_cseq.saturating_add(CSEQ_JUMP),
            remote_cseq: snapshot.remote_cseq,
            routes: snapshot.routes.iter().filter_map(|route| route.parse().ok()).collect(),
            remote_target: snapshot.remote_target.parse().unwrap_or_else(|_| Uri::at(None, snapshot.flow.peer)),
            contact: snapshot.contact.parse().unwrap_or_else(|_| Uri::at(None, snapshot.flow.local)),
            call_id: snapshot.call_id,
            local: snapshot.local,
            remote: snapshot.remote,
            flow: snapshot.flow,
            pinned: snapshot.pinned,
            records: None,
            meant_for: None,
            // A connection does not outlive its program.
            flow_lost: true,
            outgoing: snapshot.outgoing,
        }
    }
}

/// `Max-Forwards` of our requests, RFC 3261 section 8.1.1.6.
pub(crate) const MAX_FORWARDS: &str = "70";

/// The route set from `Record-Route`; none where it cannot be read.
fn route_set(headers: &Headers, reversed: bool) -> Option<Vec<NameAddr>> {
    let mut routes = headers.record_routes().ok().filter(|routes| routes.len() <= ROUTES_MAX)?;
    if reversed {
        routes.reverse();
    }
    Some(routes)
}

fn is_sendable(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || broadcast)
}

/// Whether an address means the same everywhere.
fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64; // RFC 6598
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
#[test]
fn a_dialog_keeps_to_its_connection_and_goes_to_the_remote_target_once_that_is_lost() {
    let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let flow =
        Flow { transport: crate::Transport::Tcp, local: address("192.0.2.1:5060"), peer: address("192.0.2.9:40123") };
    let party = |text: &str| text.parse::<NameAddr>().expect("a name and an address");
    let (from, to) = (party("<sip:a@192.0.2.1>"), party("<sip:b@192.0.2.9>"));
    let target: Uri = "sip:b@192.0.2.9:5070;transport=tcp".parse().expect("a URI");
    let contact = flow.contact(Some("offhook"), None);
    assert_eq!(contact.to_string(), "sip:offhook@192.0.2.1:5060;transport=tcp");
    let mut dialog = Dialog::outgoing("1".to_owned(), "t", from, &to, target, contact, flow);
    assert_eq!(dialog.next_hop(), flow);
    dialog.lose_flow();
    assert_eq!(dialog.next_hop(), Flow { peer: address("192.0.2.9:5070"), ..flow });
}
