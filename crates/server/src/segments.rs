//! Who was in a recording and when: its stretches by agent, queue and part, derived from the record of its call.

use offhook_call::guests::Part;
use offhook_call::record::{CallRecord, GuestTime, Talk};
use offhook_units::{AgentId, QueueId, Span, Tick};

/// What somebody did in a stretch of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doing {
    /// Nobody talks to the customer: a menu, a queue, ringing, or a message.
    Wait,
    /// Somebody talks to the customer, holds included.
    Talk,
    /// A supervisor or a third party is in the talk. Who listens or whispers is not heard in the recording.
    Guest(Part),
}

impl Doing {
    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Talk => "talk",
            Self::Guest(part) => part.name(),
        }
    }
}

/// One stretch of a recording's time line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Since its beginning.
    pub from: Span,
    /// Where it ends.
    pub to: Span,
    /// What is done in it.
    pub doing: Doing,
    /// Whose phone it is; none for a number outside, and where nobody talks.
    pub agent: Option<AgentId>,
    /// The queue that the customer was in last.
    pub queue: Option<QueueId>,
}

/// The stretches of a recording that began at `started`, in the queue `began_in` if in any, and lasts for `duration`: first those in
/// which somebody or nobody talks, which follow each other without a gap, each where it begins; a guest's lies over them. A record
/// knows its last queue; what lies before that, and not in the queue that the recording began in, has none.
pub fn segments(record: &CallRecord, started: Tick, duration: Span, began_in: Option<QueueId>) -> Vec<Segment> {
    let end = started + duration;
    let queue_at = |at: Tick| record.queue.filter(|_| record.queued.is_none_or(|queued| queued <= at)).or(began_in);
    let segment = |from: Tick, to: Tick, doing, agent| {
        let (from, to) = (from.max(started), to.min(end));
        let queue = queue_at(from);
        (from < to).then(|| Segment { from: from.since(started), to: to.since(started), doing, agent, queue })
    };
    let mut found = Vec::new();
    let mut reached = started;
    let nobody = |found: &mut Vec<Segment>, from: Tick, to: Tick| {
        // A wait in the last queue is another one than that before it.
        let turn = record.queued.filter(|queued| from < *queued && *queued < to).unwrap_or(from);
        found.extend(segment(from, turn, Doing::Wait, None));
        found.extend(segment(turn, to, Doing::Wait, None));
    };
    for Talk { agent, from, until } in &record.talks {
        nobody(&mut found, reached, (*from).min(end));
        found.extend(segment((*from).max(reached), *until, Doing::Talk, *agent));
        reached = reached.max(*until);
    }
    nobody(&mut found, reached, end);
    for GuestTime { agent, part, from, until } in &record.guests {
        found.extend(segment(*from, *until, Doing::Guest(*part), *agent));
    }
    found.sort_by_key(|segment| (segment.from, segment.doing));
    found
}

#[cfg(test)]
mod tests {
    use offhook_call::event::CallEvent;
    use offhook_call::record::{CallEnd, Fold};
    use offhook_units::{CallId, ContactId, PersonRef, VisitId};

    use super::*;

    const CALL: CallId = CallId(1);

    fn s(seconds: u64) -> Tick {
        Tick::from_us(1_000_000_000_000 + seconds * 1_000_000)
    }

    /// The record of a call in which this happened, in seconds, which ended after 100.
    fn record(events: Vec<(u64, CallEvent)>) -> CallRecord {
        let mut fold = Fold::default();
        let began = CallEvent::Began { call: CALL, number: "700".into(), trunk: None, caller: PersonRef(9) };
        fold.apply(s(0), &began);
        for (at, event) in events {
            fold.apply(s(at), &event);
        }
        fold.apply(s(100), &CallEvent::Ended { call: CALL, end: CallEnd::CallerHungUp }).expect("it ended")
    }

    fn queued(queue: u64) -> CallEvent {
        CallEvent::Queued { call: CALL, contact: ContactId(5), visit: VisitId(queue), queue: QueueId(queue) }
    }

    const fn connected(agent: u64) -> CallEvent {
        CallEvent::Connected { call: CALL, agent: Some(AgentId(agent)) }
    }

    const fn transferring(by: u64) -> CallEvent {
        CallEvent::Transferring { call: CALL, by: Some(AgentId(by)) }
    }

    /// As rows: from, to, what, whose, which queue.
    fn rows(found: &[Segment]) -> Vec<(u64, u64, &'static str, u64, u64)> {
        let row = |one: &Segment| {
            let (agent, queue) = (one.agent.map_or(0, |agent| agent.0), one.queue.map_or(0, |queue| queue.0));
            (one.from.as_s(), one.to.as_s(), one.doing.name(), agent, queue)
        };
        found.iter().map(row).collect()
    }

    #[test]
    fn a_contact_that_waits_talks_is_sent_to_another_queue_and_talks_to_a_second_agent_is_five_stretches() {
        let record = record(vec![
            (2, queued(1)),
            (20, connected(1)),
            (40, transferring(1)),
            (45, queued(2)),
            (60, connected(2)),
        ]);
        // Recorded from the queue on.
        let found = segments(&record, s(2), Span::from_s(98), Some(QueueId(1)));
        let expected = [
            (0, 18, "wait", 0, 1),
            (18, 38, "talk", 1, 1),
            (38, 43, "wait", 0, 1),
            (43, 58, "wait", 0, 2),
            (58, 98, "talk", 2, 2),
        ];
        assert_eq!(rows(&found), expected);
    }

    #[test]
    fn a_guest_lies_over_the_talk_and_what_is_outside_of_the_recording_is_left_out() {
        let mut record = record(vec![(10, connected(1))]);
        let guest = |part, from, until| GuestTime { agent: Some(AgentId(7)), part, from: s(from), until: s(until) };
        record.guests = vec![guest(Part::Listen, 12, 30), guest(Part::Barge, 30, 50), guest(Part::Party, 90, 100)];
        // On demand, from 20 to 80 seconds.
        let found = segments(&record, s(20), Span::from_s(60), None);
        let expected = [(0, 60, "talk", 1, 0), (0, 10, "listen", 7, 0), (10, 30, "barge", 7, 0)];
        assert_eq!(rows(&found), expected);
    }

    #[test]
    fn talks_and_waits_cover_the_time_line_once_whatever_the_record_says() {
        let talk = |from, until| Talk { agent: None, from: s(from), until: s(until) };
        for talks in [vec![], vec![talk(0, 100)], vec![talk(5, 30), talk(20, 40), talk(40, 41)], vec![talk(95, 300)]] {
            let record = CallRecord { talks, queued: Some(s(50)), ..record(vec![]) };
            let found = segments(&record, s(3), Span::from_s(90), None);
            assert_eq!((found[0].from, found[found.len() - 1].to), (Span::ZERO, Span::from_s(90)));
            assert!(found.windows(2).all(|pair| pair[0].to == pair[1].from), "{found:?}");
        }
        assert!(segments(&record(vec![]), s(3), Span::ZERO, None).is_empty());
    }
}
