//! The notifier's half of event subscriptions, RFC 6665: a dialog begun by SUBSCRIBE, its expiry, and NOTIFYs one at a time.
//!
//! The program decides who may see what, and says what there is to see; refreshes, ends and lost subscribers are handled here.

use offhook_units::{Span, Tick};

use super::Endpoint;
use super::client::{Delivery, Failed, Owner};
use super::event::{Event, RequestId, SubscriptionId};
use super::key::Key;
use crate::dialog::Dialog;
use crate::transaction::{Alarms, TimerKey};
use crate::{Body, Flow, Method, Request, Uri};

/// Longest subscription that is granted.
pub const SUBSCRIPTION_MAX: Span = Span::from_s(3_600);
/// Where a SUBSCRIBE does not say how long it shall last, and its package's default is longer.
const SUBSCRIPTION_DEFAULT: Span = SUBSCRIPTION_MAX;
/// Shortest subscription that is granted; a shorter one gets 423 (RFC 6665 section 4.2.1.1).
pub const SUBSCRIPTION_MIN: Span = Span::from_s(60);

/// One subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    dialog: Dialog,
    /// The value of `Event`, as it came.
    event: String,
    expires_at: Tick,
    sending: Sending,
    alarms: Alarms<1>,
}

/// NOTIFYs go one at a time, so that none overtakes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// None is on its way.
    Ready,
    /// One waits for its response.
    UnderWay,
    /// The same, and there is more to tell.
    MoreToTell,
}

/// What became of a SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscribed {
    /// A subscription that lasts.
    Lasting(SubscriptionId),
    /// It asked for one NOTIFY and got it (`Expires: 0`).
    Once,
    /// Refused by the endpoint: 400 malformed, 423 too short, 503 over [`crate::EndpointConfig::subscriptions_max`].
    Refused,
}

impl Endpoint {
    /// Takes a SUBSCRIBE of [`Event::Request`]: 200, then a NOTIFY with `body` at once (RFC 6665 section 4.2.1.2), also where it
    /// asks for that one only. `contact` is where the peer reaches us. Where it cannot be taken it is answered too.
    pub fn accept_subscription(
        &mut self,
        now: Tick,
        request_id: RequestId,
        flow: Flow,
        request: &Request,
        contact: Uri,
        body: Body,
    ) -> Subscribed {
        let tx = request_id.0;
        let (mut subscription, expires) = match self.make_subscription(now, tx, flow, request) {
            Ok(made) => made,
            Err(status) => {
                self.refuse_subscribe(now, tx, status);
                return Subscribed::Refused;
            }
        };
        subscription.dialog.contact = contact;
        self.grant(now, tx, &subscription.dialog.contact.clone(), expires);
        if expires == Span::ZERO {
            self.send_notify(now, &mut subscription, "terminated;reason=timeout", Some(body), Owner::Nobody);
            return Subscribed::Once;
        }
        let id = SubscriptionId(self.next_id());
        self.watchers.insert(subscription.dialog.local_tag.clone(), id);
        self.timers.start(&mut subscription.alarms, TimerKey::Subscription(id), subscription.expires_at);
        self.subscriptions.insert(id, subscription);
        self.notify(now, id, body);
        Subscribed::Lasting(id)
    }

    /// The subscription that a SUBSCRIBE asks for and how long it lasts, or the status that refuses it.
    fn make_subscription(
        &mut self,
        now: Tick,
        tx: u64,
        flow: Flow,
        request: &Request,
    ) -> Result<(Subscription, Span), u16> {
        let tag = self.waiting_template(tx).and_then(|template| template.headers.to_tag()).ok_or(400_u16)?;
        let via = request.headers.top_via().map_err(|_| 400_u16)?;
        let dialog = Dialog::incoming(request, &via, flow, tag).ok_or(400_u16)?;
        let event = request.headers.get("Event").ok_or(400_u16)?.to_owned();
        let expires = granted(request)?;
        if expires > Span::ZERO && self.subscriptions.len() >= self.config.subscriptions_max {
            self.load.full_total += 1;
            return Err(503);
        }
        let (sending, alarms) = (Sending::Ready, Alarms::default());
        Ok((Subscription { dialog, event, expires_at: now + expires, sending, alarms }, expires))
    }

    /// Whether a subscriber can be told something now. Where the last NOTIFY is still on its way [`Event::NotifyDue`] follows;
    /// what there is to tell is best made then.
    pub fn may_notify(&mut self, id: SubscriptionId) -> bool {
        let Some(found) = self.subscriptions.get_mut(&id) else { return false };
        match found.sending {
            Sending::Ready => true,
            Sending::UnderWay | Sending::MoreToTell => {
                found.sending = Sending::MoreToTell;
                false
            }
        }
    }

    /// Tells a subscriber what there is to see now, where [`Self::may_notify`].
    pub fn notify(&mut self, now: Tick, id: SubscriptionId, body: Body) {
        if !self.may_notify(id) {
            return;
        }
        let Some(mut subscription) = self.subscriptions.remove(&id) else { return };
        subscription.sending = Sending::UnderWay;
        let state = format!("active;expires={}", subscription.expires_at.since(now).as_s());
        self.send_notify(now, &mut subscription, &state, Some(body), Owner::Watcher(id));
        self.subscriptions.insert(id, subscription);
    }

    /// Ends a subscription: a last NOTIFY says why (`reason`, RFC 6665 section 4.1.3). No event follows.
    pub fn end_subscription(&mut self, now: Tick, id: SubscriptionId, reason: &str) {
        let Some(mut subscription) = self.drop_subscription(id) else { return };
        let state = format!("terminated;reason={reason}");
        self.send_notify(now, &mut subscription, &state, None, Owner::Nobody);
    }

    /// SUBSCRIBE within a dialog: a refresh, or the end (RFC 6665 section 4.2.1.4). False where it is of no subscription.
    pub(super) fn receive_resubscribe(&mut self, now: Tick, flow: Flow, key: Key, request: &Request) -> bool {
        let tag = request.headers.to_tag().unwrap_or_default();
        let Some(&id) = self.watchers.get(tag) else { return false };
        let Some(found) = self.subscriptions.get_mut(&id) else { return false };
        if !found.dialog.is_of(&request.headers) {
            return false;
        }
        let in_order = request.headers.cseq().is_ok_and(|(number, _)| found.dialog.take_cseq(number));
        if !in_order {
            self.reject(flow, request, 500, &[]);
            return true;
        }
        if request.headers.get("Event") != Some(&*found.event) {
            // One dialog holds one subscription (RFC 6665 section 4.5.2): of another package or id there is none here.
            self.reject(flow, request, 481, &[]);
            return true;
        }
        found.dialog.refresh_target(&request.headers);
        let contact = found.dialog.contact.clone();
        let tx = self.open_server(now, flow, key, request, "", None);
        let expires = match granted(request) {
            Ok(expires) => expires,
            Err(status) => {
                self.refuse_subscribe(now, tx, status);
                return true;
            }
        };
        self.grant(now, tx, &contact, expires);
        if expires == Span::ZERO {
            self.end_subscription(now, id, "timeout");
            self.emit(Event::Unsubscribed { subscription: id });
        } else if let Some(found) = self.subscriptions.get_mut(&id) {
            found.expires_at = now + expires;
            self.timers.start(&mut found.alarms, TimerKey::Subscription(id), now + expires);
            self.emit(Event::Resubscribed { subscription: id });
        }
        true
    }

    /// Nobody refreshed it.
    pub(super) fn subscription_timer(&mut self, now: Tick, id: SubscriptionId) {
        self.end_subscription(now, id, "timeout");
        self.emit(Event::Unsubscribed { subscription: id });
    }

    pub(super) fn watcher_response(&mut self, id: SubscriptionId, delivery: &Delivery) {
        match delivery.response.status {
            ..200 => {}
            200..300 => self.notified(id),
            // RFC 6665 section 4.2.2: any final failure ends it; who still wants it subscribes again.
            300.. => self.lose_subscriber(id),
        }
    }

    pub(super) fn watcher_failed(&mut self, id: SubscriptionId, failed: Failed) {
        match failed {
            Failed::TimedOut | Failed::Transport => self.lose_subscriber(id),
        }
    }

    fn notified(&mut self, id: SubscriptionId) {
        let Some(found) = self.subscriptions.get_mut(&id) else { return };
        let before = core::mem::replace(&mut found.sending, Sending::Ready);
        match before {
            Sending::Ready | Sending::UnderWay => {}
            Sending::MoreToTell => self.emit(Event::NotifyDue { subscription: id }),
        }
    }

    fn lose_subscriber(&mut self, id: SubscriptionId) {
        if self.drop_subscription(id).is_some() {
            self.emit(Event::Unsubscribed { subscription: id });
        }
    }

    fn drop_subscription(&mut self, id: SubscriptionId) -> Option<Subscription> {
        let mut subscription = self.subscriptions.remove(&id)?;
        self.timers.stop_all(&mut subscription.alarms);
        self.watchers.remove(&subscription.dialog.local_tag);
        Some(subscription)
    }

    fn send_notify(&mut self, now: Tick, of: &mut Subscription, state: &str, body: Option<Body>, owner: Owner) {
        let mut request = of.dialog.request(Method::Notify);
        request.headers.push("Event", &of.event);
        request.headers.push("Subscription-State", state);
        let (contact, flow) = (of.dialog.contact_header(), of.dialog.next_hop());
        self.finish_request(&mut request, &contact, body);
        self.start_client(now, flow, request, owner, 0);
    }

    fn grant(&mut self, now: Tick, tx: u64, contact: &Uri, expires: Span) {
        self.reply(now, tx, 200, |response| {
            response.headers.push("Contact", &format!("<{contact}>"));
            response.headers.push("Expires", &expires.as_s().to_string());
        });
    }

    fn refuse_subscribe(&mut self, now: Tick, tx: u64, status: u16) {
        let after = self.config.retry_after.as_s().to_string();
        self.reply(now, tx, status, |response| match status {
            423 => response.headers.push("Min-Expires", &SUBSCRIPTION_MIN.as_s().to_string()),
            503 => response.headers.push("Retry-After", &after),
            _ => {}
        });
    }
}

/// How long a SUBSCRIBE gets, zero where it asks for none; else 400 for nonsense, and 423 where it asks for too little.
fn granted(request: &Request) -> Result<Span, u16> {
    let asked = request.headers.expires().map_err(|_| 400_u16)?;
    let asked = asked.map_or(SUBSCRIPTION_DEFAULT, |seconds| Span::from_s(u64::from(seconds)));
    match asked {
        Span::ZERO => Ok(asked),
        brief if brief < SUBSCRIPTION_MIN => Err(423),
        long => Ok(long.min(SUBSCRIPTION_MAX)),
    }
}
