//! What each event counts for: for the figures that the distributor keeps, and for reports over any part of a log. Each kind of event is decided
//! about here, once; a new kind does not compile until it is.

use offhook_units::{AgentId, QueueId, Span, Tick};

use crate::config::ServiceLevel;
use crate::figures::{AgentFigures, QueueFigures};
use crate::words::{Event, Left, OfferEnd};

/// Where figures are written.
pub(crate) trait Sheet {
    /// What a queue promises from now on.
    fn promise(&mut self, queue: QueueId, promise: ServiceLevel);
    /// A queue is gone.
    fn drop_queue(&mut self, queue: QueueId);
    /// An agent is gone.
    fn drop_agent(&mut self, agent: AgentId);
    /// An agent's shift begins.
    fn begin_shift(&mut self, agent: AgentId, at: Tick);
    /// Changes a queue's figures of the interval of `at`.
    fn queue(&mut self, id: QueueId, at: Tick, change: impl FnOnce(&mut QueueFigures, ServiceLevel));
    /// Changes an agent's figures, of the interval of `at` where there are several.
    fn agent(&mut self, id: AgentId, at: Tick, change: impl FnOnce(&mut AgentFigures));
}

/// Counts one event.
pub(crate) fn count(sheet: &mut impl Sheet, at: Tick, event: &Event) {
    match event {
        Event::QueueSet(config) => {
            sheet.promise(config.id, config.service_level);
        }
        Event::QueueRemoved { queue } => {
            sheet.drop_queue(*queue);
        }
        Event::AgentRemoved { agent } => {
            sheet.drop_agent(*agent);
        }
        Event::LoggedIn { agent, new_shift } => {
            if *new_shift {
                sheet.begin_shift(*agent, at);
            }
        }
        Event::Entered { queue, .. } => sheet.queue(*queue, at, |figures, _| figures.offered += 1),
        Event::Offered { queue, agent, .. } => {
            sheet.queue(*queue, at, |figures, _| figures.offers += 1);
            sheet.agent(*agent, at, |figures| figures.offers += 1);
        }
        Event::OfferEnded { queue, agent, how, .. } => {
            let (declined, missed) = (*how == OfferEnd::Declined, how.is_missed());
            sheet.queue(*queue, at, |figures, _| {
                figures.declined += u64::from(declined);
                figures.missed += u64::from(missed);
            });
            sheet.agent(*agent, at, |figures| {
                figures.declined += u32::from(declined);
                figures.missed += u32::from(missed);
            });
        }
        Event::Accepted { queue, agent, entered_at, .. } => {
            answer(sheet, *queue, *entered_at, at - *entered_at);
            take(sheet, *agent, at);
        }
        Event::Reached { queue, entered_at, waited, .. } => answer(sheet, *queue, *entered_at, *waited),
        Event::Unreached { queue, entered_at, waited, .. } => sheet.queue(*queue, *entered_at, |figures, _| {
            figures.longest_wait = figures.longest_wait.max(*waited);
            figures.flowed_out += 1;
        }),
        Event::Left { queue, entered_at, outcome, .. } => {
            let wait = at - *entered_at;
            sheet.queue(*queue, *entered_at, |figures, promise| {
                figures.longest_wait = figures.longest_wait.max(wait);
                match outcome {
                    Left::Abandoned => {
                        figures.abandoned += 1;
                        figures.abandoned_in_time += u64::from(wait <= promise.threshold);
                        figures.abandoned_short += u64::from(wait <= promise.short_abandon);
                        figures.abandoned_wait += wait;
                        figures.abandoned_waits.add(wait);
                    }
                    Left::FlowedOut(_) => figures.flowed_out += 1,
                }
            });
        }
        Event::Finished { queue, agent, talk, hold, .. } => {
            sheet.queue(*queue, at, |figures, _| {
                figures.handled += 1;
                figures.talk += *talk;
                figures.hold += *hold;
            });
            sheet.agent(*agent, at, |figures| {
                figures.handled += 1;
                figures.talk += *talk;
                figures.hold += *hold;
            });
        }
        Event::WrapUpEnded { queue, agent, lasted, .. } => {
            sheet.queue(*queue, at, |figures, _| figures.wrap_up += *lasted);
            sheet.agent(*agent, at, |figures| figures.wrap_up += *lasted);
        }
        Event::Forecast { queue, entered_at, .. } => {
            sheet.queue(*queue, *entered_at, |figures, _| figures.forecasts.made += 1);
        }
        // What these change is counted as time in a state, or not at all.
        Event::AgentSet(_)
        | Event::LogOutAsked { .. }
        | Event::LoggedOut { .. }
        | Event::Ready { .. }
        | Event::NotReady { .. }
        | Event::Rested { .. }
        | Event::TierOpened { .. }
        | Event::RingOpened { .. }
        | Event::Widened { .. }
        | Event::Preferred { .. }
        | Event::PreferenceEnded { .. }
        | Event::MustReach { .. }
        | Event::ExternalSet { .. }
        | Event::AskEnded { .. }
        | Event::Asked { .. }
        | Event::LendingSet { .. }
        | Event::LendingReviewed { .. }
        | Event::Lent { .. }
        | Event::Measured { .. }
        | Event::WaitedTooLong { .. }
        | Event::NobodyHere { .. }
        | Event::Held { .. }
        | Event::Retrieved { .. }
        | Event::WrapUpExtended { .. } => {}
    }
}

/// An agent accepted an offer.
pub(crate) fn take(sheet: &mut impl Sheet, agent: AgentId, at: Tick) {
    sheet.agent(agent, at, |figures| figures.accepted += 1);
}

/// A visit ended answered.
fn answer(sheet: &mut impl Sheet, queue: QueueId, entered_at: Tick, wait: Span) {
    sheet.queue(queue, entered_at, |figures, promise| {
        figures.answered += 1;
        figures.answered_in_time += u64::from(wait <= promise.threshold);
        figures.answered_wait += wait;
        figures.answered_waits.add(wait);
        figures.longest_wait = figures.longest_wait.max(wait);
    });
}
