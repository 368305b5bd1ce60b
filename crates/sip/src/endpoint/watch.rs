//! The subscriber's half of event subscriptions, RFC 6665: a SUBSCRIBE that renews itself, and what the NOTIFYs tell.
//!
//! A notifier that refuses for good is left alone; one that does not answer, or ends the subscription, is asked again later.

use offhook_units::{Span, Tick};

use super::auth::Known;
use super::client::{Delivery, Owner};
use super::event::{Event, WatchId};
use super::key::Key;
use super::{Endpoint, body_of};
use crate::dialog::Dialog;
use crate::transaction::{Alarms, TimerKey};
use crate::{Credentials, Flow, Method, NameAddr, Request, Response, Uri};

/// When a notifier that did not answer, or that ended the subscription, is asked again.
const AGAIN_AFTER: Span = Span::from_s(60);
/// Shortest time between two SUBSCRIBEs, whatever the notifier grants.
const RENEW_MIN: Span = Span::from_s(10);

/// Something to be watched.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Where the SUBSCRIBE is sent.
    pub flow: Flow,
    /// The request URI: whose state it is.
    pub uri: Uri,
    /// Who watches; a tag is added.
    pub from: NameAddr,
    /// Where the NOTIFYs reach us.
    pub contact: Uri,
    /// The event package.
    pub event: String,
    /// The type of the documents that are understood.
    pub accept: String,
    /// How long to ask for. The notifier may shorten it.
    pub expires: Span,
    /// What a 401 or 407 is answered with.
    pub credentials: Option<Credentials>,
}

/// A subscription of ours.
#[derive(Debug)]
pub(super) struct Watching {
    watch: Watch,
    dialog: Dialog,
    known: Option<Known>,
    alarms: Alarms<1>,
}

impl Endpoint {
    /// Subscribes, and stays subscribed until [`Endpoint::unwatch`], or until the notifier refuses for good
    /// ([`Event::WatchRefused`]). What there is to see comes as [`Event::Seen`].
    pub fn watch(&mut self, now: Tick, watch: Watch) -> WatchId {
        let id = WatchId(self.next_id());
        let dialog = self.watch_dialog(&watch);
        self.watched.insert(dialog.local_tag.clone(), id);
        self.watchings.insert(id, Watching { watch, dialog, known: None, alarms: Alarms::default() });
        self.send_subscribe(now, id, None);
        id
    }

    /// Ends a subscription; the last NOTIFY is told no more.
    pub fn unwatch(&mut self, now: Tick, id: WatchId) {
        if self.watchings.get(&id).is_some_and(|found| found.dialog.remote_tag.is_some()) {
            self.send_subscribe(now, id, Some(Span::ZERO));
        }
        self.forget_watch(id);
    }

    /// Asks anew from another address of ours, or another notifier.
    pub fn rewatch(&mut self, now: Tick, id: WatchId, flow: Flow, contact: Uri) {
        let Some(mut found) = self.watchings.remove(&id) else { return };
        self.watched.remove(&found.dialog.local_tag);
        (found.watch.flow, found.watch.contact) = (flow, contact);
        found.dialog = self.watch_dialog(&found.watch);
        self.watched.insert(found.dialog.local_tag.clone(), id);
        self.watchings.insert(id, found);
        self.send_subscribe(now, id, None);
    }

    fn watch_dialog(&mut self, watch: &Watch) -> Dialog {
        let (call_id, tag) = (self.entropy.token() + &self.entropy.token(), self.tag());
        let to = NameAddr::new(watch.uri.clone());
        Dialog::outgoing(call_id, &tag, watch.from.clone(), &to, watch.uri.clone(), watch.contact.clone(), watch.flow)
    }

    /// SUBSCRIBE, the first one or a renewal; for how long where that is not what was wished for.
    fn send_subscribe(&mut self, now: Tick, id: WatchId, expires: Option<Span>) {
        if self.transactions() >= self.config.transactions_max {
            self.load.full_total += 1;
            return self.watch_later(now, id);
        }
        let Some(found) = self.watchings.get_mut(&id) else { return };
        let mut request = found.dialog.request(Method::Subscribe);
        request.headers.push("Event", &found.watch.event);
        request.headers.push("Accept", &found.watch.accept);
        request.headers.push("Expires", &expires.unwrap_or(found.watch.expires).as_s().to_string());
        let (flow, contact) = (found.dialog.next_hop(), found.dialog.contact_header());
        let (mut known, credentials) = (found.known.take(), found.watch.credentials.clone());
        self.finish_request(&mut request, &contact, None);
        if let (Some(known), Some(credentials)) = (&mut known, &credentials) {
            self.put_credentials(&mut request, known, credentials);
        }
        if let Some(found) = self.watchings.get_mut(&id) {
            found.known = known;
            self.timers.stop(&mut found.alarms, TimerKey::Watch(id));
        }
        self.start_client(now, flow, request, Owner::Subscribe(id), 0);
    }

    pub(super) fn watch_timer(&mut self, now: Tick, id: WatchId) {
        self.send_subscribe(now, id, None);
    }

    pub(super) fn subscribe_response(&mut self, now: Tick, id: WatchId, delivery: Delivery) {
        let Delivery { response, request, tries, .. } = delivery;
        let Some(found) = self.watchings.get_mut(&id) else { return };
        match response.status {
            ..200 => {}
            200..300 => {
                found.dialog.establish(&response);
                let granted = response.headers.expires().ok().flatten();
                let granted = granted.map_or(found.watch.expires, |seconds| Span::from_s(u64::from(seconds)));
                let renew = (granted * 4 / 5).max(RENEW_MIN);
                self.timers.start(&mut found.alarms, TimerKey::Watch(id), now + renew);
            }
            401 | 407 => self.subscribe_again(now, id, request, &response, tries),
            423 => {
                let least = response.headers.min_expires().ok().flatten().map(|s| Span::from_s(u64::from(s)));
                match least.filter(|least| *least > found.watch.expires) {
                    Some(least) => {
                        found.watch.expires = least;
                        self.send_subscribe(now, id, None);
                    }
                    None => self.watch_refused(id, 423),
                }
            }
            // RFC 6665 section 4.1.2.3: the notifier knows the subscription no more, or cannot just now.
            481 | 408 | 500.. => self.watch_later(now, id),
            status => self.watch_refused(id, status),
        }
    }

    /// Answers the challenge to a SUBSCRIBE.
    fn subscribe_again(
        &mut self,
        now: Tick,
        id: WatchId,
        request: Option<Box<Request>>,
        response: &Response,
        tries: u8,
    ) {
        let credentials = self.watchings.get(&id).and_then(|found| found.watch.credentials.clone());
        let answered = request.and_then(|mut request| {
            let known = self.answer_to_challenge(&mut request, response, credentials.as_ref(), tries)?;
            Some((request, known))
        });
        let (Some((mut request, known)), Some(found)) = (answered, self.watchings.get_mut(&id)) else {
            return self.watch_refused(id, response.status);
        };
        found.known = Some(known);
        request.headers.pop_via();
        request.headers.set_cseq(found.dialog.next_cseq(), &Method::Subscribe);
        let flow = found.dialog.next_hop();
        self.start_client(now, flow, *request, Owner::Subscribe(id), tries + 1);
    }

    /// NOTIFY within a subscription of ours; false where it is of none.
    pub(super) fn receive_watched(&mut self, now: Tick, flow: Flow, key: Key, request: &Request) -> bool {
        let tag = request.headers.to_tag().unwrap_or_default();
        let Some(&id) = self.watched.get(tag) else { return false };
        let Some(found) = self.watchings.get_mut(&id).filter(|found| found.dialog.is_of(&request.headers)) else {
            return false;
        };
        let in_order = request.headers.cseq().is_ok_and(|(number, _)| found.dialog.take_cseq(number));
        if !in_order {
            self.reject(flow, request, 500, &[]);
            return true;
        }
        let package = |event: &str| event.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if package(request.headers.get("Event").unwrap_or_default()) != package(&found.watch.event) {
            self.reject(flow, request, 489, &[]);
            return true;
        }
        // It may be here before the 2xx (RFC 6665 section 4.4.1).
        if found.dialog.remote_tag.is_none() {
            found.dialog.remote_tag = request.headers.from_tag().map(Box::from);
        }
        found.dialog.refresh_target(&request.headers);
        let state = request.headers.get("Subscription-State").unwrap_or_default();
        let over = state.trim_start().get(..10).is_some_and(|start| start.eq_ignore_ascii_case("terminated"));
        let tx = self.open_server(now, flow, key, request, "", None);
        self.reply(now, tx, 200, |_| {});
        if let Some(body) = body_of(&request.headers, &request.body) {
            self.emit(Event::Seen { watch: id, body });
        }
        if over {
            self.watch_later(now, id);
        }
        true
    }

    /// It is asked for again after a while, as if for the first time.
    pub(super) fn watch_later(&mut self, now: Tick, id: WatchId) {
        let Some(mut found) = self.watchings.remove(&id) else { return };
        self.watched.remove(&found.dialog.local_tag);
        found.dialog = self.watch_dialog(&found.watch);
        self.watched.insert(found.dialog.local_tag.clone(), id);
        let wait = AGAIN_AFTER / 2 + AGAIN_AFTER * self.entropy.below(1 << 16) / (1 << 16);
        self.timers.start(&mut found.alarms, TimerKey::Watch(id), now + wait);
        self.watchings.insert(id, found);
    }

    fn watch_refused(&mut self, id: WatchId, status: u16) {
        if self.forget_watch(id) {
            self.emit(Event::WatchRefused { watch: id, status });
        }
    }

    fn forget_watch(&mut self, id: WatchId) -> bool {
        let Some(mut found) = self.watchings.remove(&id) else { return false };
        self.timers.stop_all(&mut found.alarms);
        self.watched.remove(&found.dialog.local_tag);
        true
    }
}
