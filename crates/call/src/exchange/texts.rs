//! Texts between phones of ours (RFC 3428): from an account to a colleague's phones, and between the two ends of a call. The
//! exchange keeps none and reads none: who cannot be reached now gets nothing, and the sender is told.

use std::collections::BTreeMap;

use offhook_sip::{Body, Flow, MessageId, Request, RequestId, Response, SessionId, Text, Uri};
use offhook_units::{AgentId, Tick};

use super::Exchange;
use super::incoming::RETRY_AFTER;
use super::placing::{Origin, Refusal};
use super::state::Stage;
use crate::config::Reach;

/// Longest text where any of its ways is made of datagrams (RFC 3428 section 8); a longer one gets 413.
pub const TEXT_BYTES_MAX: usize = 1_300;
/// Longest text over connections alone; a longer one gets 413.
pub const TEXT_STREAM_BYTES_MAX: usize = 16_384;

const _: () = assert!(TEXT_BYTES_MAX < TEXT_STREAM_BYTES_MAX, "connections carry more than datagrams");

/// What may be sent, for `Accept`: texts, wrapped ones, that somebody is writing, and that a text was read.
const ACCEPTED: &str = "text/plain, text/html, message/cpim, application/im-iscomposing+xml, message/imdn+xml";
/// What goes along with a text.
const CARRIED: [&str; 5] = ["Content-Disposition", "Content-Language", "Date", "Expires", "Subject"];

/// Texts that phones have not answered yet. Each is a transaction of the endpoint's, whose limit bounds them.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// What each copy is an answer to.
    copies: BTreeMap<MessageId, RequestId>,
    waiting: BTreeMap<RequestId, Waiting>,
}

/// A sender who waits.
#[derive(Debug)]
struct Waiting {
    request: Box<Request>,
    /// Phones that have not answered.
    left: usize,
    /// The refusal to pass on so far.
    status: u16,
}

impl Exchange {
    /// A MESSAGE outside of every dialog: from a phone of ours to all phones of a colleague.
    pub(super) fn text(&mut self, now: Tick, id: RequestId, flow: Flow, request: &Request) {
        match self.judge_text(now, flow, request) {
            Ok(texts) => {
                let sent = texts.into_iter().filter_map(|text| self.endpoint.message(now, text).ok()).collect();
                self.await_copies(now, id, request, sent);
            }
            Err(refusal) => self.refuse_text(now, id, request, refusal),
        }
    }

    /// A MESSAGE within a call: to its other end, where that is a phone of ours.
    pub(super) fn text_within(&mut self, now: Tick, session: SessionId, id: RequestId, request: &Request) {
        let judged = self.text_partner(session).and_then(|(partner, flow)| {
            let from = self.flow_of(session).unwrap_or(flow);
            Ok((partner, carried(request, &[from, flow])?))
        });
        match judged {
            Ok((partner, (headers, body))) => {
                let sent = self.endpoint.message_within(now, partner, &headers, body).ok().flatten();
                self.await_copies(now, id, request, sent.into_iter().collect());
            }
            Err(refusal) => self.refuse_text(now, id, request, refusal),
        }
    }

    /// What became of one copy of a text: the first phone that takes it answers for all, and where none does, the refusal that
    /// says most.
    pub(super) fn texted(&mut self, now: Tick, id: MessageId, status: Option<u16>) {
        let Some(request) = self.texts.copies.remove(&id) else { return };
        let Some(waiting) = self.texts.waiting.get_mut(&request) else { return };
        waiting.left -= 1;
        let taken = status.filter(|status| (200..300).contains(status));
        // Challenges and other places are nothing that the sender could follow; RFC 4320 section 4.2 knows no 408.
        let refused = status.filter(|status| !matches!(status, 300..=399 | 401 | 407 | 408)).unwrap_or(480);
        waiting.status = if waiting.status == 480 { refused } else { waiting.status };
        if taken.is_none() && waiting.left > 0 {
            return;
        }
        let Some(Waiting { request: original, status, .. }) = self.texts.waiting.remove(&request) else { return };
        self.counters.messages += u64::from(taken.is_some());
        self.counters.messages_failed += u64::from(taken.is_none());
        self.endpoint.respond(now, request, Response::to_request(&original, taken.unwrap_or(status)));
    }

    fn await_copies(&mut self, now: Tick, id: RequestId, request: &Request, sent: Vec<MessageId>) {
        if sent.is_empty() {
            return self.refuse_text(now, id, request, busy());
        }
        // Of the request only what an answer repeats is kept, and not the text.
        let head = Request { body: Vec::new(), ..request.clone() };
        self.texts.waiting.insert(id, Waiting { request: Box::new(head), left: sent.len(), status: 480 });
        self.texts.copies.extend(sent.into_iter().map(|copy| (copy, id)));
    }

    fn refuse_text(&mut self, now: Tick, id: RequestId, request: &Request, refusal: Refusal) {
        let Refusal { status, headers } = refusal;
        // To be asked for a password is no refusal.
        self.counters.messages_refused += u64::from(status != 401);
        let mut response = Response::to_request(request, status);
        for (name, value) in &headers {
            response.headers.push(name, value);
        }
        self.endpoint.respond(now, id, response);
    }

    /// Who writes to whom, and where that goes. Carriers have no say here: nobody would answer for what they send.
    fn judge_text(&mut self, now: Tick, flow: Flow, request: &Request) -> Result<Vec<Text>, Refusal> {
        let account = match self.origin(now, flow, request)? {
            Origin::Account(account) => account,
            Origin::Trunk(_) | Origin::Visitor(_) => return Err(403.into()),
        };
        if self.drain_by.is_some() {
            return Err(busy());
        }
        let wanted = request.uri.user_decoded().unwrap_or_default().into_owned();
        let agent = *self.callable.get(&wanted).ok_or(404_u16)?;
        let places = self.places_of(agent, request.uri.param("gr").filter(|name| !name.is_empty()));
        if places.is_empty() {
            return Err(480.into());
        }
        // One contact that can take it is enough.
        let fitting: Vec<(Uri, Flow)> =
            places.iter().filter(|(_, place)| carried(request, &[flow, *place]).is_ok()).cloned().collect();
        let (headers, body) = carried(request, &[flow, fitting.first().map_or(places[0].1, |(_, place)| *place)])?;
        let from = self.presented_account(&account);
        let to = request.headers.to().map_err(|_| 400_u16)?;
        let texts = fitting.into_iter().map(|(uri, flow)| {
            let mut headers = headers.clone();
            headers.extend(self.path_to(agent, &uri));
            let to = offhook_sip::NameAddr { params: offhook_sip::Params::default(), ..to.clone() };
            Text { flow, uri, from: self.presented(&from, None, flow), to, headers, body: body.clone() }
        });
        Ok(texts.collect())
    }

    /// Where an agent's phones are; the one of this instance alone where a GRUU was called.
    fn places_of(&self, agent: AgentId, instance: Option<&str>) -> Vec<(Uri, Flow)> {
        match self.agent(agent).map(|agent| &agent.reach) {
            Some(Reach::Static { uri, flow }) => uri.parse().ok().map(|uri| (uri, *flow)).into_iter().collect(),
            Some(Reach::Account(account)) => {
                let phones = self.registrar.bindings(account);
                let phones = phones.filter(|phone| instance.is_none_or(|name| phone.is_instance(name)));
                phones.filter_map(|phone| Some((phone.contact.parse().ok()?, phone.flow))).collect()
            }
            None => Vec::new(),
        }
    }

    /// The other end of a talk, where it is a phone of ours: customers get no texts from here.
    fn text_partner(&self, session: SessionId) -> Result<(SessionId, Flow), Refusal> {
        let (id, _) = *self.sessions.get(&session).ok_or(481_u16)?;
        let call = self.calls.get(&id).ok_or(481_u16)?;
        let other = call.other.as_ref().filter(|_| matches!(call.stage, Stage::Talking { .. })).ok_or(480_u16)?;
        let (leg, is_ours) = if call.caller.session == session {
            (&other.leg, other.agent.is_some())
        } else if other.leg.session == session {
            (&call.caller, call.caller_agent.is_some() || call.caller_account.is_some())
        } else {
            return Err(480.into());
        };
        if is_ours && leg.trunk.is_none() { Ok((leg.session, leg.flow)) } else { Err(403.into()) }
    }

    fn flow_of(&self, session: SessionId) -> Option<Flow> {
        let (id, _) = self.sessions.get(&session)?;
        let call = self.calls.get(id)?;
        let legs = [Some(&call.caller), call.other.as_ref().map(|other| &other.leg)];
        legs.into_iter().flatten().find(|leg| leg.session == session).map(|leg| leg.flow)
    }
}

fn busy() -> Refusal {
    Refusal { status: 503, headers: vec![("Retry-After".to_owned(), RETRY_AFTER.as_s().to_string())] }
}

/// The text and what goes along with it, where it is of a kind and a size that may take these ways.
fn carried(request: &Request, ways: &[Flow]) -> Result<(Vec<(String, String)>, Body), Refusal> {
    let headers = &request.headers;
    let kind = headers.content_type().unwrap_or_default();
    let media_type = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !media_type.starts_with("text/") && !ACCEPTED.split(", ").any(|known| known == media_type) {
        return Err(Refusal { status: 415, headers: vec![("Accept".to_owned(), ACCEPTED.to_owned())] });
    }
    if headers.get("Content-Encoding").is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Refusal { status: 415, headers: vec![("Accept-Encoding".to_owned(), "identity".to_owned())] });
    }
    let connected = ways.iter().all(|flow| flow.transport.is_reliable());
    let most = if connected { TEXT_STREAM_BYTES_MAX } else { TEXT_BYTES_MAX };
    if request.body.len() > most {
        return Err(413.into());
    }
    let along = CARRIED.into_iter().filter_map(|name| Some((name.to_owned(), headers.get(name)?.to_owned())));
    Ok((along.collect(), Body { content_type: kind.to_owned(), bytes: request.body.clone() }))
}
