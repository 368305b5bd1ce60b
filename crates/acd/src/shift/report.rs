//! A report over the whole log of a shift comes to the figures that the distributor kept, without knowing its state.

use offhook_units::{AgentId, Span, Tick};

use super::Shift;
use crate::figures::{AgentFigures, ForecastFigures, QueueFigures};
use crate::state::AgentKind;
use crate::words::Event;
use crate::{INTERVAL, Report};

impl Shift {
    pub(super) fn check_report(&self) {
        let begin = self.log.first().map_or(self.now, |(at, _)| *at);
        let first = begin.as_us() / INTERVAL.as_us();
        let last = self.now.as_us() / INTERVAL.as_us() + 1;
        let mut report = Report::new((first..=last).map(|number| Tick::ZERO + INTERVAL * number).collect(), []);
        for (at, event) in &self.log {
            report.fold(*at, event);
        }
        report.close(self.now);
        let (queues, agents) = (report.queues().count(), report.agents().count());
        assert_eq!(report.rows(), queues + agents);
        for (part, rows) in [(Report::of_queues as fn(Report) -> Report, queues), (Report::of_agents, agents)] {
            let bounds = (first..=last).map(|number| Tick::ZERO + INTERVAL * number).collect();
            let mut report = part(Report::new(bounds, []));
            self.log.iter().for_each(|(at, event)| report.fold(*at, event));
            report.close(self.now);
            assert_eq!(report.rows(), rows, "a part has the rows of the whole, and no others");
        }
        // A queue that was removed and came back begins anew; a report keeps what it had counted.
        let removed = |queue| {
            self.log.iter().any(|(_, event)| matches!(event, Event::QueueRemoved { queue: gone } if *gone == queue))
        };
        for queue in self.acd.state.queues.keys().filter(|queue| !removed(**queue)) {
            // Forecasts are scored by what a contact remembers of them.
            let bare = |figures: &QueueFigures| {
                let made = figures.forecasts.made;
                QueueFigures { forecasts: ForecastFigures { made, ..ForecastFigures::default() }, ..figures.clone() }
            };
            let kept: Vec<_> = self.acd.intervals(*queue).map(|(began, figures)| (began, bare(figures))).collect();
            let told = report.queues().filter(|(_, id, _)| id == queue);
            let told: Vec<_> = told.map(|(began, _, figures)| (began, bare(figures))).collect();
            assert_eq!(told, kept, "queue {queue}");
        }
        for agent in self.acd.state.agents.keys().filter(|agent| self.has_one_shift(**agent)) {
            let Some(mut kept) = self.acd.agent_figures(*agent, self.now) else { continue };
            (kept.shift_began, kept.in_state[AgentKind::LoggedOut as usize]) = (None, Span::ZERO);
            let mut told = AgentFigures::default();
            report.agents().filter(|(_, id, _)| id == agent).for_each(|(.., figures)| told.merge(figures));
            assert_eq!(told, kept, "agent {agent}");
        }
    }

    /// Figures of an agent are kept of one shift, and a report is of all.
    fn has_one_shift(&self, agent: AgentId) -> bool {
        let begins = |event: &Event| matches!(event, Event::LoggedIn { agent: who, new_shift: true } if *who == agent);
        let leaves = |event: &Event| matches!(event, Event::AgentRemoved { agent: who } if *who == agent);
        let log = || self.log.iter().map(|(_, event)| event);
        log().filter(|event| begins(event)).count() == 1 && !log().any(leaves)
    }
}
