//! Registrations of ours, RFC 3261 section 10.2: each refreshes itself and tries again after a failure.

use offhook_units::{Span, Tick};

use super::Endpoint;
use super::auth::Known;
use super::client::{Delivery, Owner};
use super::event::{Event, Register, RegistrationId};
use crate::dialog::MAX_FORWARDS;
use crate::transaction::{Alarms, TimerKey};
use crate::{Flow, Method, Request, Response, Uri};

/// A registration of ours.
#[derive(Debug)]
pub(super) struct Registration {
    register: Register,
    call_id: String,
    tag: String,
    cseq: u32,
    out: Out,
    /// The program wants it gone.
    leaving: bool,
    /// Where calls went before, until the registrar has forgotten that.
    before: Option<Uri>,
    /// Failures in a row.
    failures: u32,
    known: Option<Known>,
    alarms: Alarms<1>,
}

/// The REGISTER that waits for its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Out {
    None,
    Binding,
    Unbinding,
}

impl Endpoint {
    /// Registers, and keeps registered until [`Endpoint::unregister`].
    pub fn register(&mut self, now: Tick, register: Register) -> RegistrationId {
        let id = RegistrationId(self.next_id());
        let (call_id, tag) = (self.entropy.token() + &self.entropy.token(), self.tag());
        let registration = Registration {
            register,
            call_id,
            tag,
            cseq: 0,
            out: Out::None,
            leaving: false,
            before: None,
            failures: 0,
            known: None,
            alarms: Alarms::default(),
        };
        self.registrations.insert(id, registration);
        self.send_register(now, id);
        id
    }

    /// Ends a registration; [`Event::Registered`] with zero seconds follows, or [`Event::RegistrationFailed`] with no retry.
    pub fn unregister(&mut self, now: Tick, registration: RegistrationId) {
        let Some(found) = self.registrations.get_mut(&registration) else { return };
        if found.leaving {
            return;
        }
        found.leaving = true;
        // One REGISTER at a time (RFC 3261 section 10.2): the response to the running one sends the last.
        if found.out == Out::None {
            self.send_register(now, registration);
        }
    }

    /// Lets a registration go another way from its next REGISTER on: to another registrar of the same domain, or from another
    /// address of ours. `contact` is where calls reach us then.
    pub fn reroute(&mut self, registration: RegistrationId, flow: Flow, contact: Uri) {
        if let Some(found) = self.registrations.get_mut(&registration) {
            found.register.flow = flow;
            found.register.contact = contact;
        }
    }

    /// As [`Endpoint::reroute`], at once: a REGISTER that is on its way is given up. Where the registrar stays the same it is told to forget
    /// where we were.
    pub fn move_registration(&mut self, now: Tick, registration: RegistrationId, flow: Flow, contact: Uri) {
        let Some(found) = self.registrations.get_mut(&registration) else { return };
        if found.register.flow.peer != flow.peer {
            found.before = None;
            // Another registrar has challenges of its own.
            found.known = None;
        } else if found.register.contact != contact {
            found.before = Some(found.register.contact.clone());
        }
        (found.register.flow, found.register.contact, found.failures) = (flow, contact, 0);
        self.drop_clients_of(Owner::Register(registration));
        self.send_register(now, registration);
    }

    /// Registers at once instead of when it is time: what the registrar knows of us is no longer true. A REGISTER that is on
    /// its way serves as well.
    pub fn register_again(&mut self, now: Tick, registration: RegistrationId) {
        if self.registrations.get(&registration).is_some_and(|found| found.out == Out::None && !found.leaving) {
            self.send_register(now, registration);
        }
    }

    pub(super) fn registration_timer(&mut self, now: Tick, id: RegistrationId) {
        self.send_register(now, id);
    }

    fn send_register(&mut self, now: Tick, id: RegistrationId) {
        let is_full = self.transactions() >= self.config.transactions_max;
        let Some(found) = self.registrations.get_mut(&id) else { return };
        found.out = if found.leaving { Out::Unbinding } else { Out::Binding };
        if is_full {
            self.load.full_total += 1;
            return self.register_failed(now, id, None, None);
        }
        let mut request = Request::new(Method::Register, found.register.registrar.clone());
        let mut known = found.known.take();
        let credentials = found.register.credentials.clone();
        let aor = &found.register.aor;
        request.headers.push("Max-Forwards", MAX_FORWARDS);
        request.headers.push("From", &aor.clone().with_tag(&found.tag).to_string());
        request.headers.push("To", &aor.to_string());
        request.headers.push("Call-ID", &found.call_id);
        let expires = if found.leaving { Span::ZERO } else { found.register.expires };
        request.headers.push("Contact", &format!("<{}>;expires={}", found.register.contact, expires.as_s()));
        if let Some(before) = &found.before {
            request.headers.push("Contact", &format!("<{before}>;expires=0"));
        }
        request.headers.push("User-Agent", &self.config.user_agent);
        if let (Some(known), Some(credentials)) = (&mut known, &credentials) {
            self.put_credentials(&mut request, known, credentials);
        }
        self.send_numbered(now, id, request, known, 0);
    }

    fn send_numbered(&mut self, now: Tick, id: RegistrationId, mut request: Request, known: Option<Known>, tries: u8) {
        let Some(found) = self.registrations.get_mut(&id) else { return };
        found.cseq += 1;
        found.known = known;
        request.headers.set_cseq(found.cseq, &Method::Register);
        let flow = found.register.flow;
        self.timers.stop(&mut found.alarms, TimerKey::Registration(id));
        self.start_client(now, flow, request, Owner::Register(id), tries);
    }

    pub(super) fn register_response(&mut self, now: Tick, id: RegistrationId, delivery: Delivery) {
        let Delivery { response, request, tries, .. } = delivery;
        let (Some(found), Some(mut request)) = (self.registrations.get_mut(&id), request) else { return };
        match response.status {
            200..300 => self.registered(now, id, &response),
            401 | 407 => {
                let credentials = found.register.credentials.clone();
                found.known = None;
                match self.answer_to_challenge(&mut request, &response, credentials.as_ref(), tries) {
                    Some(known) => {
                        request.headers.pop_via();
                        self.send_numbered(now, id, *request, Some(known), tries + 1);
                    }
                    None => self.register_failed(now, id, Some(response.status), None),
                }
            }
            423 => {
                let least = response.headers.min_expires().ok().flatten().map(|s| Span::from_s(u64::from(s)));
                match least.filter(|least| *least > found.register.expires && !found.leaving) {
                    Some(least) => {
                        found.register.expires = least;
                        self.send_register(now, id);
                    }
                    None => self.register_failed(now, id, Some(423), None),
                }
            }
            status => {
                let after = retry_after(&response);
                self.register_failed(now, id, Some(status), after);
            }
        }
    }

    fn registered(&mut self, now: Tick, id: RegistrationId, response: &Response) {
        let Some(found) = self.registrations.get_mut(&id) else { return };
        found.failures = 0;
        found.before = None;
        if core::mem::replace(&mut found.out, Out::None) == Out::Unbinding {
            return self.forget_registration(id, Event::Registered { id, expires: Span::ZERO });
        }
        if found.leaving {
            return self.send_register(now, id);
        }
        let ours = response.headers.contacts().unwrap_or_default();
        let granted = ours
            .iter()
            .find(|contact| contact.uri.equivalent(&found.register.contact))
            .and_then(|contact| contact.param("expires")?.parse::<u32>().ok())
            .or_else(|| response.headers.expires().ok().flatten());
        let expires = granted.map_or(found.register.expires, |seconds| Span::from_s(u64::from(seconds)));
        // A registrar that grants nothing is asked again soon, and not at once for ever.
        let refresh = (expires * 4 / 5).max(Span::from_s(1));
        self.timers.start(&mut found.alarms, TimerKey::Registration(id), now + refresh);
        self.emit(Event::Registered { id, expires });
    }

    pub(super) fn register_failed(&mut self, now: Tick, id: RegistrationId, status: Option<u16>, after: Option<Span>) {
        let chance = self.entropy.below(1 << 16);
        let (first, most) = (self.config.registration_retry, self.config.registration_retry_max);
        let Some(found) = self.registrations.get_mut(&id) else { return };
        match core::mem::replace(&mut found.out, Out::None) {
            // The binding runs out by itself.
            Out::Unbinding => {
                return self.forget_registration(id, Event::RegistrationFailed { id, status, retry_in: Span::ZERO });
            }
            Out::Binding | Out::None if found.leaving => return self.send_register(now, id),
            Out::Binding | Out::None => {}
        }
        let backed_off = (first * (1 << found.failures.min(16))).min(most);
        found.failures += 1;
        // Between half and all of it, so that phones do not come back together (RFC 5626 section 4.5).
        let half = backed_off / 2;
        let jittered = half + half * chance / (1 << 16);
        let retry_in = after.map_or(jittered, |after| after.max(jittered));
        self.timers.start(&mut found.alarms, TimerKey::Registration(id), now + retry_in);
        self.emit(Event::RegistrationFailed { id, status, retry_in });
    }

    fn forget_registration(&mut self, id: RegistrationId, last: Event) {
        if let Some(mut found) = self.registrations.remove(&id) {
            self.timers.stop_all(&mut found.alarms);
        }
        self.emit(last);
    }
}

/// `Retry-After`, RFC 3261 section 20.33.
pub(super) fn retry_after(response: &Response) -> Option<Span> {
    response.headers.retry_after().ok().flatten().map(|seconds| Span::from_s(u64::from(seconds)))
}
