//! The event log as webhooks see it.

use std::sync::Arc;

use offhook_acd::Event;
use offhook_call::callback::CallbackEvent;
use offhook_call::event::{CallEvent, LogEvent};
use offhook_server::{Answer, EventLog, Happened, IdAndName, Occurred, RecordEntry, Unavailable, WebhookEvent, What};
use offhook_store::Record;
use offhook_units::{AgentId, CallId, PersonRef, QueueId, Tick};

use super::port::Port;

/// What is told of an event; none where it is not told. Names, and the words of people, are looked up afterwards.
fn told(event: LogEvent) -> Option<What> {
    let queue = |queue: QueueId| (queue, None);
    let agent = |agent: AgentId| (agent, None);
    match event {
        LogEvent::Call(CallEvent::Began { call, number, trunk, caller }) => {
            Some(What::CallBegan { call, number, trunk, caller: (caller, None) })
        }
        LogEvent::Call(CallEvent::Queued { call, queue: id, .. }) => Some(What::CallQueued { call, queue: queue(id) }),
        LogEvent::Call(CallEvent::Connected { call, agent: id }) => {
            Some(What::CallConnected { call, agent: id.map(agent) })
        }
        LogEvent::Call(CallEvent::Ended { call, end }) => Some(What::CallEnded { call, end }),
        LogEvent::Callback(CallbackEvent::Asked { contact, call, queue: id, until, .. }) => {
            Some(What::CallbackAsked { callback: contact, call, queue: queue(id), until })
        }
        LogEvent::Callback(CallbackEvent::Ended { contact, how }) => {
            Some(What::CallbackEnded { callback: contact, how: how.name() })
        }
        LogEvent::Acd(Event::LoggedIn { agent: id, .. }) => Some(What::AgentLoggedIn { agent: agent(id) }),
        LogEvent::Acd(Event::LoggedOut { agent: id }) => Some(What::AgentLoggedOut { agent: agent(id) }),
        LogEvent::Alarm(event) => Some(What::Alarm(event)),
        LogEvent::Call(_) | LogEvent::Callback(_) | LogEvent::Acd(_) => None,
    }
}

/// What is told of a stretch of the log. An entry that cannot be read is passed over, as at the start of the exchange.
fn told_of(page: &[Record]) -> Vec<(u64, Tick, What)> {
    let what = |record: &Record| Some((record.seq, record.at, told(LogEvent::decode(&record.bytes).ok()?)?));
    page.iter().filter_map(what).collect()
}

impl EventLog for Port {
    fn log_end(&self) -> u64 {
        self.store.next_seq()
    }

    fn happened(&self, from: u64, wanted: Arc<[WebhookEvent]>) -> Answer<'_, Result<Happened, Unavailable>> {
        Box::pin(async move {
            if self.store.next_seq() <= from {
                return Ok(Happened { events: Vec::new(), next: from });
            }
            let page = self.unhurried.log_page(from).await.map_err(|_| Unavailable)?;
            let next = page.last().map_or(from, |last| last.seq + 1);
            let told = tokio::task::spawn_blocking(move || told_of(&page)).await.map_err(|_| Unavailable)?;
            let mut events = Vec::new();
            for (seq, at, mut what) in told.into_iter().filter(|(_, _, what)| wanted.contains(&what.kind())) {
                self.name(&mut what).await;
                events.push(Occurred { seq, at, what });
            }
            Ok(Happened { events, next })
        })
    }

    fn ended(&self, call: CallId) -> Answer<'_, Result<Option<RecordEntry>, Unavailable>> {
        Box::pin(async move {
            let row = self.unhurried.call(call).await.map_err(|_| Unavailable)?;
            Ok(match row {
                Some(row) => self.entry(&self.unhurried, row).await,
                None => None,
            })
        })
    }
}

impl Port {
    async fn name(&self, what: &mut What) {
        let names = self.names();
        let queue = |(id, name): &mut IdAndName<QueueId>| name.clone_from(&names.queues.get(id).cloned());
        let agent = |(id, name): &mut IdAndName<AgentId>| name.clone_from(&names.agents.get(id).cloned());
        match what {
            What::CallBegan { caller: (person, text), .. } => *text = self.words(*person).await,
            What::CallQueued { queue: id, .. } | What::CallbackAsked { queue: id, .. } => queue(id),
            What::CallConnected { agent: id, .. } => id.iter_mut().for_each(agent),
            What::AgentLoggedIn { agent: id } | What::AgentLoggedOut { agent: id } => agent(id),
            What::CallEnded { .. } | What::CallbackEnded { .. } | What::Alarm(_) => {}
        }
    }

    async fn words(&self, person: PersonRef) -> Option<String> {
        self.unhurried.person_text(person).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use offhook_call::record::CallEnd;
    use offhook_units::ContactId;

    use super::*;

    fn record(seq: u64, event: &LogEvent) -> Record {
        Record { stream: event.stream(), seq, at: Tick::from_us(seq), kind: 0, version: 1, bytes: event.encode() }
    }

    #[test]
    fn what_is_told_is_read_from_the_log_and_the_rest_passed_over() {
        let call = CallId(7);
        let rests = CallbackEvent::Rests { contact: ContactId(1), until: Tick::ZERO, tried: false };
        let page = [
            record(1, &LogEvent::Call(CallEvent::Answered { call })),
            record(2, &LogEvent::Call(CallEvent::Connected { call, agent: Some(AgentId(3)) })),
            record(3, &LogEvent::Callback(rests)),
            Record { bytes: vec![0xff; 9], ..record(4, &LogEvent::Call(CallEvent::Answered { call })) },
            record(5, &LogEvent::Acd(Event::LoggedOut { agent: AgentId(3) })),
            record(6, &LogEvent::Call(CallEvent::Ended { call, end: CallEnd::Lost })),
        ];
        let agent = (AgentId(3), None);
        let expected = [
            (2, What::CallConnected { call, agent: Some(agent.clone()) }),
            (5, What::AgentLoggedOut { agent }),
            (6, What::CallEnded { call, end: CallEnd::Lost }),
        ];
        assert_eq!(told_of(&page), expected.map(|(seq, what)| (seq, Tick::from_us(seq), what)));
    }
}
