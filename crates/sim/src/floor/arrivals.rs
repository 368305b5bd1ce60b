//! Contacts that are known beforehand: one by one, or as a forecast of how many arrive in each interval.

use std::sync::Arc;

use offhook_acd::Need;
use offhook_units::{QueueId, Span};

use super::Stream;
use super::chance::{draw, exponential};

/// Most contacts that may be known beforehand.
pub const CONTACTS_KNOWN_MAX: usize = 10_000_000;

/// How long a contact's conversation lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// As in its queue.
    Usual,
    /// This long.
    Exactly(Span),
    /// Exponential, with this mean.
    Mean(Span),
}

/// How long a contact waits before it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As in its queue.
    Usual,
    /// This long.
    Exactly(Span),
    /// Longer than this: so long it waited and had not given up. What comes on top is as in its queue.
    Beyond(Span),
}

/// A contact that arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// When, from the beginning of the day.
    pub at: Span,
    /// Where.
    pub queue: QueueId,
    /// What it needs; none for what some of its queue's contacts need.
    pub needs: Option<Vec<Need>>,
    /// Larger goes first; none for as in its queue.
    pub priority: Option<i32>,
    /// How long it is talked to.
    pub talk: Talk,
    /// How long it waits.
    pub patience: Patience,
}

/// What is expected of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// When it begins, from the beginning of the day.
    pub begins: Span,
    /// How long it is.
    pub lasts: Span,
    /// Where contacts arrive.
    pub queue: QueueId,
    /// How many on the mean, in parts of 1,000.
    pub contacts_milli: u64,
    /// How long they are talked to.
    pub talk: Talk,
}

/// Contacts that are known beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// One by one.
    Contacts(Arc<[Arrival]>),
    /// By interval: within one they are Poisson, so that each seed has others.
    Intervals(Arc<[Expected]>),
}

impl Known {
    /// Those of a day of this length by this seed, in the order in which they arrive.
    pub(super) fn arrivals(&self, seed: u64, lasts: Span) -> Vec<Arrival> {
        let mut arrivals: Vec<Arrival> = match self {
            Self::Contacts(contacts) => contacts.to_vec(),
            Self::Intervals(intervals) => {
                let numbered = intervals.iter().enumerate();
                numbered.flat_map(|(number, interval)| interval.arrivals(seed, number as u64)).collect()
            }
        };
        arrivals.retain(|arrival| arrival.at <= lasts);
        arrivals.sort_by_key(|arrival| arrival.at);
        arrivals
    }

    /// When the first contact arrives, or the first interval begins.
    pub fn first(&self) -> Span {
        let first = match self {
            Self::Contacts(contacts) => contacts.iter().map(|contact| contact.at).min(),
            Self::Intervals(intervals) => intervals.iter().map(|interval| interval.begins).min(),
        };
        first.unwrap_or(Span::ZERO)
    }

    /// The same for a day that begins so much later.
    #[must_use]
    pub fn begun_later(&self, later: Span) -> Self {
        match self {
            Self::Contacts(contacts) => {
                let moved = |contact: &Arrival| Arrival { at: contact.at.saturating_sub(later), ..contact.clone() };
                Self::Contacts(contacts.iter().map(moved).collect())
            }
            Self::Intervals(intervals) => {
                let moved = |row: &Expected| Expected { begins: row.begins.saturating_sub(later), ..*row };
                Self::Intervals(intervals.iter().map(moved).collect())
            }
        }
    }

    /// How many are known, or expected.
    pub fn contacts(&self) -> u64 {
        match self {
            Self::Contacts(contacts) => contacts.len() as u64,
            Self::Intervals(intervals) => intervals.iter().map(|row| row.contacts_milli).sum::<u64>().div_ceil(1_000),
        }
    }
}

impl Expected {
    /// Gaps between the contacts of a Poisson process are exponential.
    fn arrivals(&self, seed: u64, number: u64) -> Vec<Arrival> {
        let Some(gap) = (self.lasts.as_us().saturating_mul(1_000)).checked_div(self.contacts_milli) else {
            return Vec::new();
        };
        let (mut at, mut arrivals) = (Span::ZERO, Vec::new());
        loop {
            let chance = draw(seed, Stream::Arrival as u64, number << 32 | arrivals.len() as u64);
            at += exponential(chance, Span::from_us(gap));
            if at >= self.lasts || arrivals.len() >= CONTACTS_KNOWN_MAX {
                return arrivals;
            }
            let (queue, talk, patience) = (self.queue, self.talk, Patience::Usual);
            arrivals.push(Arrival { at: self.begins + at, queue, needs: None, priority: None, talk, patience });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_of_an_interval_are_as_many_as_expected_on_the_mean_and_vary_as_poisson_does() {
        let interval = Expected {
            begins: Span::from_s(3_600),
            lasts: Span::from_s(1_800),
            queue: QueueId(1),
            contacts_milli: 20_500,
            talk: Talk::Usual,
        };
        let counts: Vec<f64> = (0..4_000)
            .map(|seed| {
                let arrivals = interval.arrivals(seed, 3);
                let within = Span::from_s(3_600)..Span::from_s(5_400);
                assert!(arrivals.iter().all(|arrival| within.contains(&arrival.at)));
                arrivals.len() as f64
            })
            .collect();
        let mean = counts.iter().sum::<f64>() / 4_000.0;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 3_999.0;
        // Poisson: the variance is the mean. Standard errors over 4,000 seeds are 0.07 and 0.46.
        assert!((mean - 20.5).abs() < 0.25, "{mean}");
        assert!((variance - 20.5).abs() < 1.6, "{variance}");
    }
}
