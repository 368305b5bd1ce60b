//! Figures by dialled number and interval, folded from the calls' events.

use std::collections::BTreeMap;

use offhook_units::{CallId, Span, Tick};

use crate::event::CallEvent;
use crate::record::CallEnd;

/// Figures of the calls to a number that began in one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NumberFigures {
    /// Calls that began.
    pub calls: u64,
    /// Of these, answered by an agent, or by the phone that the number dials.
    pub answered: u64,
    /// Of these, given up by the caller before.
    pub abandoned: u64,
    /// Of these, ended otherwise without somebody who answered: closed, full, last words, a callback asked for.
    pub unserved: u64,
    /// From the call's begin to the answer, of the answered in all.
    pub wait: Span,
    /// The longest of these.
    pub longest_wait: Span,
    /// From the first answer to the end, of the answered in all.
    pub talk: Span,
    /// Answered calls that have ended: what `talk` is of.
    pub ended: u64,
}

impl NumberFigures {
    /// Those that are still up and not answered.
    pub const fn open(&self) -> u64 {
        self.calls.saturating_sub(self.answered + self.abandoned + self.unserved)
    }
}

/// A call that goes on.
#[derive(Debug, Clone)]
struct Open {
    /// The stretch in which it began, and the number.
    key: (usize, String),
    began: Tick,
    answered: Option<Tick>,
}

/// The fold.
#[derive(Debug)]
pub struct NumberReport {
    /// When each stretch begins, and where the last one ends; ascending.
    bounds: Vec<Tick>,
    numbers: BTreeMap<(usize, String), NumberFigures>,
    open: BTreeMap<CallId, Open>,
}

impl NumberReport {
    /// An empty one of the stretches that lie between `bounds`.
    pub fn new(mut bounds: Vec<Tick>) -> Self {
        bounds.sort_unstable();
        bounds.dedup();
        Self { bounds, numbers: BTreeMap::new(), open: BTreeMap::new() }
    }

    /// The first instant that counts, and the first one that no longer does; none where there is no stretch.
    pub fn span(&self) -> Option<(Tick, Tick)> {
        Some((*self.bounds.first()?, *self.bounds.last()?)).filter(|(from, until)| from < until)
    }

    /// How many pairs of a stretch and a number have figures.
    pub fn rows(&self) -> usize {
        self.numbers.len()
    }

    /// The stretches in which something is counted, by time and then by number.
    pub fn numbers(&self) -> impl Iterator<Item = (Tick, &str, &NumberFigures)> {
        self.numbers.iter().map(|((stretch, number), figures)| (self.bounds[*stretch], number.as_str(), figures))
    }

    /// Counts the next event of the log.
    pub fn fold(&mut self, at: Tick, event: &CallEvent) {
        match event {
            CallEvent::Began { call, number, .. } => {
                let Some((from, until)) = self.span() else { return };
                if at < from || at >= until {
                    return;
                }
                let stretch = self.bounds.partition_point(|bound| *bound <= at) - 1;
                let key = (stretch, number.clone());
                self.numbers.entry(key.clone()).or_default().calls += 1;
                self.open.insert(*call, Open { key, began: at, answered: None });
            }
            CallEvent::Connected { call, .. } => {
                let Some(open) = self.open.get_mut(call).filter(|open| open.answered.is_none()) else { return };
                open.answered = Some(at);
                let wait = at - open.began;
                let figures = self.numbers.entry(open.key.clone()).or_default();
                figures.answered += 1;
                figures.wait += wait;
                figures.longest_wait = figures.longest_wait.max(wait);
            }
            CallEvent::Ended { call, end } => {
                let Some(open) = self.open.remove(call) else { return };
                let figures = self.numbers.entry(open.key).or_default();
                match open.answered {
                    Some(answered) => {
                        figures.talk += at - answered;
                        figures.ended += 1;
                    }
                    None if *end == CallEnd::Abandoned || *end == CallEnd::CallerHungUp => figures.abandoned += 1,
                    None => figures.unserved += 1,
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use offhook_units::{AgentId, PersonRef};

    use super::*;

    fn at(s: u64) -> Tick {
        Tick::ZERO + Span::from_s(s)
    }

    fn began(call: u64, number: &str) -> CallEvent {
        CallEvent::Began { call: CallId(call), number: number.to_owned(), trunk: None, caller: PersonRef(call) }
    }

    #[test]
    fn calls_count_where_they_began_by_what_became_of_them() {
        let mut report = NumberReport::new(vec![at(100), at(200), at(300)]);
        let connected = |call| CallEvent::Connected { call: CallId(call), agent: Some(AgentId(1)) };
        let ended = |call, end| CallEvent::Ended { call: CallId(call), end };
        for (second, event) in [
            (90, began(1, "700")),
            (110, began(2, "700")),
            (120, began(3, "700")),
            (130, connected(2)),
            (150, ended(3, CallEnd::Abandoned)),
            (190, began(4, "800")),
            // A transfer to another agent is no second answer.
            (210, connected(2)),
            (220, ended(4, CallEnd::Closed)),
            (250, began(5, "700")),
            (300, began(6, "700")),
            (330, ended(2, CallEnd::AgentHungUp)),
            (340, ended(1, CallEnd::Abandoned)),
        ] {
            report.fold(at(second), &event);
        }
        let rows: Vec<_> = report.numbers().map(|(began, number, figures)| (began, number, *figures)).collect();
        let first = NumberFigures {
            calls: 2,
            answered: 1,
            abandoned: 1,
            wait: Span::from_s(20),
            longest_wait: Span::from_s(20),
            talk: Span::from_s(200),
            ended: 1,
            unserved: 0,
        };
        let closed = NumberFigures { calls: 1, unserved: 1, ..NumberFigures::default() };
        let open = NumberFigures { calls: 1, ..NumberFigures::default() };
        assert_eq!(rows, [(at(100), "700", first), (at(100), "800", closed), (at(200), "700", open)]);
        assert_eq!((report.rows(), open.open(), first.open()), (3, 1, 0));
    }

    #[test]
    fn without_a_stretch_nothing_counts() {
        let mut report = NumberReport::new(vec![at(1)]);
        report.fold(at(1), &began(1, "700"));
        assert_eq!((report.rows(), report.span()), (0, None));
    }
}
