//! Live events: from the exchange through a bounded queue to one hub task, which numbers them, keeps the last ones in a
//! ring, and hands them to every client.
//!
//! The hub comes for events by its own timer: an event costs the exchange one push, and wakes nobody.
//! The exchange never waits: what finds the queue full is counted, and clients are told to fetch anew. A client that does
//! not keep up is dropped and counted; it comes back with the number of the last event it saw.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use offhook_call::alarm::AlarmEvent;
use offhook_call::record::CallEnd;
use offhook_call::view::{AgentView, CallView, QueueView, TrunkView};
use offhook_units::{CallId, Tick};
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::alarms::AlarmChanged;
use crate::dto;
use crate::time::rfc3339;
use crate::users::{Identity, Right};

/// Events between the exchange and the hub; one more is counted as lost, and clients are told to fetch anew.
pub const QUEUE_MAX: usize = 8_192;
/// Events that a returning client can still be given.
pub const RING_MAX: usize = 4_096;
/// Events that wait for one client; one more and the client is dropped.
pub const CLIENT_QUEUE_MAX: usize = 1_024;
/// Clients at once; one more gets 503.
pub const CLIENTS_MAX: usize = 256;

/// How often the hub comes for events while somebody listens: the most that an event is late.
const DRAIN_EVERY: Duration = Duration::from_millis(20);
/// How often while nobody does; the queue holds what a busy exchange tells in that time.
const DRAIN_UNHEARD_EVERY: Duration = Duration::from_millis(250);

/// Something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveEvent {
    /// A queue looks like this now.
    Queue(QueueView),
    /// An agent looks like this now.
    Agent(AgentView),
    /// A trunk's registration or its targets look like this now.
    Trunk(TrunkView),
    /// A call began or looks like this now.
    Call(CallView),
    /// A call is over.
    CallEnded {
        /// Which call.
        call: CallId,
        /// How it ended.
        end: CallEnd,
    },
    /// A call record can be read.
    Record {
        /// The record's id.
        call: CallId,
    },
    /// An alarm was raised, or is over.
    Alarm(AlarmEvent),
}

/// Makes the two ends of the way to the hub.
pub fn events() -> (EventSender, EventsReceiver) {
    let (queue, receiver) = mpsc::channel(QUEUE_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    (EventSender { queue, lost: Arc::clone(&lost) }, EventsReceiver { queue: receiver, lost })
}

/// The exchange's end: cheap to clone, never blocks, takes no lock.
#[derive(Debug, Clone)]
pub struct EventSender {
    queue: mpsc::Sender<(Tick, LiveEvent)>,
    lost: Arc<AtomicU64>,
}

impl EventSender {
    /// Tells everybody who listens. Where the queue is full the event is counted as lost.
    pub fn publish(&self, at: Tick, event: LiveEvent) {
        if self.queue.try_send((at, event)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that found no room since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// The hub's end, given to [`crate::Server::start`].
#[derive(Debug)]
pub struct EventsReceiver {
    queue: mpsc::Receiver<(Tick, LiveEvent)>,
    lost: Arc<AtomicU64>,
}

/// An event with its number; its text is made once, when the first client needs it.
#[derive(Debug)]
pub struct Numbered {
    /// Rises by one with each event, also across restarts of the exchange.
    pub id: u64,
    /// The name of the event on the wire.
    pub name: &'static str,
    at: Tick,
    event: Option<LiveEvent>,
    data: OnceLock<String>,
}

/// A call is over.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "CallEnded")]
pub struct Ended {
    /// Which call.
    id: String,
    /// How it ended.
    #[schemars(extend("enum" = dto::ENDS.map(dto::end_name)))]
    end: &'static str,
}

/// A call record can be read.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "RecordReady")]
pub struct Reference {
    /// Of this call.
    id: String,
}

/// Events are missing before this one.
#[derive(JsonSchema, Serialize)]
pub struct Reset {
    /// Why, for people.
    reason: &'static str,
}

/// Makes the schema of what an event carries.
type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What each event is called and carries, beside when it was.
pub const SHAPES: [(&str, Shape); 8] = [
    ("queue", SchemaGenerator::subschema_for::<dto::Queue>),
    ("agent", SchemaGenerator::subschema_for::<dto::Agent>),
    ("trunk", SchemaGenerator::subschema_for::<dto::Trunk>),
    ("call", SchemaGenerator::subschema_for::<dto::Call>),
    ("call-ended", SchemaGenerator::subschema_for::<Ended>),
    ("record", SchemaGenerator::subschema_for::<Reference>),
    ("alarm", SchemaGenerator::subschema_for::<AlarmChanged>),
    ("reset", SchemaGenerator::subschema_for::<Reset>),
];

#[derive(Serialize)]
struct Envelope<'a, T: Serialize> {
    at: String,
    #[serde(flatten)]
    body: &'a T,
}

impl Numbered {
    /// Whether somebody may be told.
    pub fn may_be_told(&self, to: &Identity) -> bool {
        match &self.event {
            Some(LiveEvent::Queue(_) | LiveEvent::Agent(_) | LiveEvent::CallEnded { .. } | LiveEvent::Alarm(_))
            | None => true,
            Some(LiveEvent::Trunk(_)) => to.rights.has(Right::Signalling),
            Some(LiveEvent::Call(view)) => to.may_see(view.agent.as_deref()),
            Some(LiveEvent::Record { .. }) => to.rights.has(Right::Records),
        }
    }

    /// With its number; none says that events are missing.
    pub fn new(id: u64, at: Tick, event: Option<LiveEvent>) -> Arc<Self> {
        let name = match &event {
            Some(LiveEvent::Queue(_)) => "queue",
            Some(LiveEvent::Agent(_)) => "agent",
            Some(LiveEvent::Trunk(_)) => "trunk",
            Some(LiveEvent::Call(_)) => "call",
            Some(LiveEvent::CallEnded { .. }) => "call-ended",
            Some(LiveEvent::Record { .. }) => "record",
            Some(LiveEvent::Alarm(_)) => "alarm",
            None => "reset",
        };
        Arc::new(Self { id, name, at, event, data: OnceLock::new() })
    }

    /// The event as one line of JSON.
    pub fn data(&self) -> &str {
        self.data.get_or_init(|| match &self.event {
            Some(LiveEvent::Queue(view)) => self.json(&dto::Queue::from(view)),
            Some(LiveEvent::Agent(view)) => self.json(&dto::Agent::from(view)),
            Some(LiveEvent::Trunk(view)) => self.json(&dto::Trunk::from(view)),
            Some(LiveEvent::Call(view)) => self.json(&dto::Call::from(view)),
            Some(LiveEvent::CallEnded { call, end }) => {
                self.json(&Ended { id: call.to_string(), end: dto::end_name(*end) })
            }
            Some(LiveEvent::Alarm(event)) => self.json(&AlarmChanged::from(event)),
            Some(LiveEvent::Record { call }) => self.json(&Reference { id: call.to_string() }),
            None => self.json(&Reset { reason: "events are missing here: fetch what you show anew" }),
        })
    }

    fn json(&self, body: &impl Serialize) -> String {
        let envelope = Envelope { at: rfc3339(self.at), body };
        serde_json::to_string(&envelope).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// What a new client gets: what it missed, then what comes.
pub struct Subscription {
    /// Events after the one it saw last.
    pub backlog: Vec<Arc<Numbered>>,
    /// Everything from now on; ends when the client is dropped or the server stops.
    pub live: mpsc::Receiver<Arc<Numbered>>,
    /// The number before the first of them; none where that is not known any more.
    pub position: Option<u64>,
}

struct Subscribe {
    after: Option<u64>,
    reply: oneshot::Sender<Option<Subscription>>,
}

/// Figures of the hub, for metrics.
#[derive(Debug, Default)]
pub struct HubFigures {
    /// Clients now.
    pub clients: AtomicU64,
    /// Clients dropped because they did not keep up.
    pub dropped: AtomicU64,
    /// Events numbered.
    pub events: AtomicU64,
    /// Events that never reached the hub.
    pub lost: AtomicU64,
}

/// The way to the hub for request handlers.
#[derive(Debug, Clone)]
pub struct HubHandle {
    requests: mpsc::Sender<Subscribe>,
}

impl HubHandle {
    /// A new client that saw `after` last. `None`: too many clients, or the server is stopping.
    pub async fn subscribe(&self, after: Option<u64>) -> Option<Subscription> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Subscribe { after, reply }).await.ok()?;
        answer.await.ok()?
    }
}

/// Owns ring and clients.
pub struct Hub {
    next_id: u64,
    ring: VecDeque<Arc<Numbered>>,
    clients: Vec<mpsc::Sender<Arc<Numbered>>>,
    lost_seen: u64,
    source: EventsReceiver,
    requests: mpsc::Receiver<Subscribe>,
    figures: Arc<HubFigures>,
}

impl Hub {
    /// Numbers begin after `first`: the instant of the start in microseconds keeps them rising across restarts.
    pub fn new(first: u64, source: EventsReceiver, figures: Arc<HubFigures>) -> (Self, HubHandle) {
        let (requests, receiver) = mpsc::channel(CLIENTS_MAX);
        let hub = Self {
            next_id: first + 1,
            ring: VecDeque::with_capacity(RING_MAX),
            clients: Vec::new(),
            lost_seen: 0,
            source,
            requests: receiver,
            figures,
        };
        (hub, HubHandle { requests })
    }

    /// Runs until `stop` resolves; then every client's stream ends.
    pub async fn run(mut self, mut stop: tokio::sync::watch::Receiver<bool>) {
        loop {
            let pause = if self.clients.is_empty() { DRAIN_UNHEARD_EVERY } else { DRAIN_EVERY };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                request = self.requests.recv() => match request {
                    Some(request) => {
                        self.drain();
                        self.admit(request);
                    }
                    None => return,
                },
                () = tokio::time::sleep(pause) => self.drain(),
            }
        }
    }

    /// Takes what is in the queue; what comes meanwhile may wait for the next time.
    fn drain(&mut self) {
        for _ in 0..QUEUE_MAX {
            let Ok((at, event)) = self.source.queue.try_recv() else { return };
            self.take(at, event);
        }
    }

    fn take(&mut self, at: Tick, event: LiveEvent) {
        let lost = self.source.lost.load(Ordering::Relaxed);
        if lost != self.lost_seen {
            self.lost_seen = lost;
            self.figures.lost.store(lost, Ordering::Relaxed);
            self.spread(at, None);
        }
        self.spread(at, Some(event));
    }

    fn spread(&mut self, at: Tick, event: Option<LiveEvent>) {
        let numbered = Numbered::new(self.next_id, at, event);
        self.next_id += 1;
        self.figures.events.fetch_add(1, Ordering::Relaxed);
        self.clients.retain(|client| match client.try_send(Arc::clone(&numbered)) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.figures.dropped.fetch_add(1, Ordering::Relaxed);
                false
            }
        });
        self.figures.clients.store(self.clients.len() as u64, Ordering::Relaxed);
        if self.ring.len() == RING_MAX {
            self.ring.pop_front();
        }
        self.ring.push_back(numbered);
    }

    fn admit(&mut self, request: Subscribe) {
        self.clients.retain(|client| !client.is_closed());
        if self.clients.len() >= CLIENTS_MAX {
            let _ = request.reply.send(None);
            return;
        }
        let (position, backlog) = self.backlog(request.after);
        let (sender, live) = mpsc::channel(CLIENT_QUEUE_MAX);
        if request.reply.send(Some(Subscription { backlog, live, position })).is_ok() {
            self.clients.push(sender);
        }
        self.figures.clients.store(self.clients.len() as u64, Ordering::Relaxed);
    }

    /// What a client that saw `after` last has missed, and where it stands before that; a `reset` where that is no longer known.
    fn backlog(&self, after: Option<u64>) -> (Option<u64>, Vec<Arc<Numbered>>) {
        let newest = self.next_id - 1;
        let Some(after) = after else { return (Some(newest), Vec::new()) };
        let oldest = self.ring.front().map_or(self.next_id, |event| event.id);
        if after > newest || after + 1 < oldest {
            let at = self.ring.back().map_or(Tick::ZERO, |event| event.at);
            return (None, vec![Numbered::new(newest, at, None)]);
        }
        let from = usize::try_from(after + 1 - oldest).unwrap_or(usize::MAX);
        (Some(after), self.ring.iter().skip(from).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(call: u64) -> LiveEvent {
        LiveEvent::CallEnded { call: CallId(call), end: CallEnd::CallerHungUp }
    }

    fn hub(first: u64) -> (EventSender, Hub) {
        let (sender, source) = events();
        (sender, Hub::new(first, source, Arc::default()).0)
    }

    fn ids(events: &[Arc<Numbered>]) -> Vec<u64> {
        events.iter().map(|event| event.id).collect()
    }

    #[test]
    fn a_returning_client_is_given_exactly_what_it_missed() {
        let (_sender, mut hub) = hub(1_000);
        for call in 0..3 {
            hub.take(Tick::ZERO, ended(call));
        }
        assert_eq!(ids(&hub.backlog(Some(1_001)).1), [1_002, 1_003]);
        assert_eq!(ids(&hub.backlog(Some(1_000)).1), [1_001, 1_002, 1_003]);
        for after in [Some(1_003), None] {
            let (position, backlog) = hub.backlog(after);
            assert_eq!((position, backlog.len()), (Some(1_003), 0));
        }
    }

    #[test]
    fn a_number_outside_the_ring_is_answered_with_a_reset() {
        let (_sender, mut hub) = hub(1_000);
        for call in 0..=RING_MAX as u64 {
            hub.take(Tick::ZERO, ended(call));
        }
        assert_eq!(hub.ring.len(), RING_MAX);
        for unknown in [7, 1_000, u64::MAX] {
            let (position, backlog) = hub.backlog(Some(unknown));
            assert_eq!((position, backlog.len(), backlog[0].name), (None, 1, "reset"));
        }
        assert_eq!(hub.backlog(Some(1_001)).1.len(), RING_MAX);
    }

    #[test]
    fn a_client_that_does_not_read_1024_events_is_dropped_and_counted() {
        let (_sender, mut hub) = hub(0);
        let (reply, mut answer) = oneshot::channel();
        hub.admit(Subscribe { after: None, reply });
        let subscription = answer.try_recv().expect("an answer").expect("a subscription");
        for call in 0..=CLIENT_QUEUE_MAX as u64 {
            hub.take(Tick::ZERO, ended(call));
        }
        assert_eq!(hub.figures.dropped.load(Ordering::Relaxed), 1);
        assert!(hub.clients.is_empty());
        assert_eq!(subscription.live.len(), CLIENT_QUEUE_MAX);
    }

    #[test]
    fn events_that_found_no_room_make_a_reset_before_the_next_one() {
        let (sender, mut hub) = hub(0);
        for call in 0..=QUEUE_MAX as u64 {
            sender.publish(Tick::ZERO, ended(call));
        }
        assert_eq!(sender.lost(), 1);
        let (at, event) = hub.source.queue.try_recv().expect("an event");
        hub.take(at, event);
        assert_eq!(hub.ring.iter().map(|event| event.name).collect::<Vec<_>>(), ["reset", "call-ended"]);
    }
}
