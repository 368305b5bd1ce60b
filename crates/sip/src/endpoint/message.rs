//! MESSAGE (RFC 3428): one text each, outside of every dialog or within a call. Those that come in are given to the program; what
//! becomes of ours is told once.

use offhook_units::Tick;

use super::Endpoint;
use super::client::{Delivery, Failed, Owner};
use super::event::{EndCause, Event, Full, MessageId, RequestId, SessionId};
use super::session::{Farewell, Phase};
use crate::dialog::MAX_FORWARDS;
use crate::{Body, Flow, Method, NameAddr, Request, Uri};

/// A text to be sent outside of every dialog.
#[derive(Debug, Clone)]
pub struct Text {
    /// Where it is sent.
    pub flow: Flow,
    /// The request URI.
    pub uri: Uri,
    /// Who sends it; a tag is added.
    pub from: NameAddr,
    /// Whom it is for.
    pub to: NameAddr,
    /// More headers, in order.
    pub headers: Vec<(String, String)>,
    /// The text.
    pub body: Body,
}

impl Endpoint {
    /// Sends a text; one [`Event::Messaged`] follows, after 64·T1 at the latest.
    ///
    /// # Errors
    /// Where `transactions_max` is reached; nothing was sent.
    pub fn message(&mut self, now: Tick, text: Text) -> Result<MessageId, Full> {
        let id = self.room_for_message()?;
        let Text { flow, uri, from, to, headers, body } = text;
        let (call_id, tag) = (self.entropy.token() + &self.entropy.token(), self.tag());
        let mut request = Request::new(Method::Message, uri);
        request.headers.push("Max-Forwards", MAX_FORWARDS);
        request.headers.push("From", &from.with_tag(&tag).to_string());
        request.headers.push("To", &to.to_string());
        request.headers.push("Call-ID", &call_id);
        request.headers.set_cseq(1, &Method::Message);
        self.send_message(now, flow, request, &headers, body, Owner::Message(id));
        Ok(id)
    }

    /// Sends a text within an answered call, as [`Endpoint::message`] does outside. None where the call is not up.
    ///
    /// # Errors
    /// As there.
    pub fn message_within(
        &mut self,
        now: Tick,
        session: SessionId,
        headers: &[(String, String)],
        body: Body,
    ) -> Result<Option<MessageId>, Full> {
        let id = self.room_for_message()?;
        let Some(found) = self.sessions.get_mut(&session).filter(|found| found.phase == Phase::Confirmed) else {
            return Ok(None);
        };
        let request = found.dialog.request(Method::Message);
        let flow = found.dialog.next_hop();
        self.send_message(now, flow, request, headers, body, Owner::MessageWithin(id, session));
        Ok(Some(id))
    }

    fn room_for_message(&mut self) -> Result<MessageId, Full> {
        if self.transactions() >= self.config.transactions_max {
            self.load.full_total += 1;
            return Err(Full);
        }
        Ok(MessageId(self.next_id()))
    }

    /// RFC 3428 section 4: without Contact.
    fn send_message(
        &mut self,
        now: Tick,
        flow: Flow,
        mut request: Request,
        headers: &[(String, String)],
        body: Body,
        owner: Owner,
    ) {
        for (name, value) in headers {
            request.headers.push(name, value);
        }
        request.headers.push("User-Agent", &self.config.user_agent);
        request.set_body(&body.content_type, body.bytes);
        self.start_client(now, flow, request, owner, 0);
    }

    /// A MESSAGE within a call came in.
    pub(super) fn receive_message(&mut self, session: SessionId, tx: u64, request: &Request) {
        self.emit(Event::Message { session, id: RequestId(tx), request: Box::new(request.clone()) });
    }

    pub(super) fn message_response(
        &mut self,
        now: Tick,
        id: MessageId,
        session: Option<SessionId>,
        delivery: &Delivery,
    ) {
        let status = delivery.response.status;
        if status < 200 {
            return;
        }
        self.emit(Event::Messaged { id, status: Some(status) });
        // RFC 3261 section 12.2.1.2, RFC 5057 section 5.1: the peer knows the dialog no more.
        if let Some(session) = session.filter(|_| status == 481) {
            self.end(now, session, EndCause::PeerGone, Farewell::Bye(None));
        }
    }

    pub(super) fn message_failed(&mut self, id: MessageId, failed: Failed) {
        let status = match failed {
            Failed::TimedOut => None,
            Failed::Transport => Some(failed.status()),
        };
        self.emit(Event::Messaged { id, status });
    }
}
