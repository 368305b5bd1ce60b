//! Opening hours as they are shown: looked at anew when they change.

use offhook_units::{Span, Tick};

use super::Exchange;
use crate::calendar::Opening;
use crate::config::Gate;
use crate::view::HoursView;

/// A calendar that does not change for as long as is looked ahead is looked at again after this.
const LOOK_AGAIN: Span = Span::from_s(300 * 86_400);

/// What each calendar says, and until when that holds.
#[derive(Debug, Default)]
pub(super) struct Hours {
    now: Vec<(Opening, Tick)>,
}

impl Exchange {
    /// Looks at the calendars whose time has come; queues whose hours begin or end look different.
    pub(super) fn fire_hours(&mut self, now: Tick) {
        for (at, calendar) in self.config.calendars.iter().enumerate() {
            if self.hours.now.get(at).is_some_and(|(_, until)| *until > now) {
                continue;
            }
            let opening = calendar.opening(now);
            let seen = (opening, opening.until.unwrap_or(now + LOOK_AGAIN));
            match self.hours.now.get_mut(at) {
                Some(known) => *known = seen,
                None => self.hours.now.push(seen),
            }
            let gated =
                self.config.queues.iter().filter(|queue| queue.ways.gate.as_ref().is_some_and(|g| g.calendar == at));
            self.changed.queues.extend(gated.map(|queue| queue.acd.id));
        }
    }

    /// When the next calendar changes.
    pub(super) fn hours_wake(&self) -> Option<Tick> {
        self.hours.now.iter().map(|(_, until)| *until).min()
    }

    /// All calendars, in the order of the configuration.
    pub fn hours(&self) -> Vec<HoursView> {
        (0..self.config.calendars.len()).filter_map(|at| self.hours_view(at)).collect()
    }

    pub(super) fn hours_of(&self, gate: Option<&Gate>) -> Option<HoursView> {
        self.hours_view(gate?.calendar)
    }

    fn hours_view(&self, at: usize) -> Option<HoursView> {
        let (calendar, (opening, _)) = (self.config.calendars.get(at)?, self.hours.now.get(at)?);
        let (name, zone) = (calendar.name.clone(), calendar.zone.name.clone());
        Some(HoursView { name, zone, open: opening.open, until: opening.until })
    }
}
