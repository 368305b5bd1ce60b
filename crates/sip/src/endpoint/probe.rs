//! Asking a peer whether it is there: OPTIONS outside of every dialog, RFC 3261 section 11.

use offhook_units::Tick;

use super::Endpoint;
use super::client::{Delivery, Owner};
use super::event::{Event, Full, ProbeId};
use crate::dialog::MAX_FORWARDS;
use crate::{Flow, Method, NameAddr, Request, Uri};

impl Endpoint {
    /// Sends OPTIONS to `uri` over `flow`; one [`Event::Probed`] follows, after 64·T1 at the latest.
    ///
    /// # Errors
    /// Where `transactions_max` is reached; nothing was sent.
    pub fn probe(&mut self, now: Tick, flow: Flow, uri: &Uri, from: &NameAddr) -> Result<ProbeId, Full> {
        if self.transactions() >= self.config.transactions_max {
            self.load.full_total += 1;
            return Err(Full);
        }
        let id = ProbeId(self.next_id());
        let (call_id, tag) = (self.entropy.token() + &self.entropy.token(), self.tag());
        let mut request = Request::new(Method::Options, uri.clone());
        request.headers.push("Max-Forwards", MAX_FORWARDS);
        request.headers.push("From", &from.clone().with_tag(&tag).to_string());
        request.headers.push("To", &format!("<{uri}>"));
        request.headers.push("Call-ID", &call_id);
        request.headers.set_cseq(1, &Method::Options);
        request.headers.push("User-Agent", &self.config.user_agent);
        self.start_client(now, flow, request, Owner::Probe(id), 0);
        Ok(id)
    }

    pub(super) fn probe_response(&mut self, id: ProbeId, delivery: &Delivery) {
        let status = delivery.response.status;
        if status >= 200 {
            self.emit(Event::Probed { id, status: Some(status) });
        }
    }
}
