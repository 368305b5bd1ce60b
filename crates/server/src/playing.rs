//! Who may listen, and how many at once.
#![expect(clippy::disallowed_types, reason = "an edge: tickets are shared by the requests")]
#![expect(clippy::disallowed_methods, reason = "an edge: tickets are made of chance and end with time")]

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use offhook_units::RecordingId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;
use crate::users::Identity;

/// Recordings that are sent or measured at once; one more gets 503.
pub const PLAYBACKS_MAX: usize = 32;

/// Tickets that are good at once; one more ends the oldest.
pub const TICKETS_MAX: usize = 1_024;

/// How long a ticket is good.
pub const TICKET_LASTS: Duration = Duration::from_hours(1);

#[derive(Debug)]
struct Ticket {
    recording: RecordingId,
    until: Instant,
    holder: Identity,
}

/// A browser's player sends no token: it is given an address with a ticket, which is good for one recording for an hour.
#[derive(Debug)]
pub struct Playing {
    places: Arc<Semaphore>,
    refused: Arc<AtomicU64>,
    tickets: Mutex<BTreeMap<String, Ticket>>,
}

impl Playing {
    /// Nobody listens yet.
    pub fn new() -> Self {
        let places = Arc::new(Semaphore::new(PLAYBACKS_MAX));
        Self { places, refused: Arc::default(), tickets: Mutex::default() }
    }

    /// Adds what is counted here.
    pub fn register(&self, metrics: &mut Metrics) {
        let places = Arc::clone(&self.places);
        let open = move || (PLAYBACKS_MAX - places.available_permits()) as f64;
        metrics.gauge_fn("offhook_playbacks", "Recordings being sent or measured", &[], open);
        let refused = Arc::clone(&self.refused);
        let help = "Playbacks refused because there were too many at once";
        metrics.counter_fn("offhook_playbacks_refused", help, &[], move || refused.load(Ordering::Relaxed));
    }

    /// A place among those who listen, given back when it is dropped.
    pub fn enter(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        if place.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    /// A ticket for a recording, for somebody who may hear it; `None` where the system gives no chance.
    pub fn ticket(&self, recording: RecordingId, holder: Identity) -> Option<String> {
        let mut chance = [0; 16];
        getrandom::fill(&mut chance).ok()?;
        let ticket = format!("{:032x}", u128::from_le_bytes(chance));
        let now = Instant::now();
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.retain(|_, ticket| ticket.until > now);
        if tickets.len() >= TICKETS_MAX
            && let Some(oldest) =
                tickets.iter().min_by_key(|(_, ticket)| ticket.until).map(|(ticket, _)| ticket.clone())
        {
            tickets.remove(&oldest);
        }
        tickets.insert(ticket.clone(), Ticket { recording, until: now + TICKET_LASTS, holder });
        Some(ticket)
    }

    /// Who was given a ticket that is good for a recording.
    pub fn holder(&self, ticket: &str, recording: RecordingId) -> Option<Identity> {
        let tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = tickets.get(ticket)?;
        (ticket.recording == recording && ticket.until > Instant::now()).then(|| ticket.holder.clone())
    }
}

#[cfg(test)]
mod tests {
    use offhook_units::Tick;

    use super::*;
    use crate::users::Users;

    fn somebody() -> Identity {
        Users::new(None, Vec::new(), Vec::new(), None, Tick::ZERO)
            .expect("randomness")
            .0
            .by_nothing()
            .expect("it is open")
    }

    #[test]
    fn a_ticket_is_good_for_its_recording_and_the_oldest_ends_where_there_are_too_many() {
        let playing = Playing::new();
        let first = playing.ticket(RecordingId(1), somebody()).expect("a ticket");
        assert!(playing.holder(&first, RecordingId(1)).is_some());
        assert!(playing.holder(&first, RecordingId(2)).is_none());
        assert!(playing.holder("", RecordingId(1)).is_none());
        let others: Vec<_> =
            (0..TICKETS_MAX).map(|_| playing.ticket(RecordingId(2), somebody()).expect("a ticket")).collect();
        assert!(playing.holder(&first, RecordingId(1)).is_none());
        assert!(others.iter().all(|ticket| playing.holder(ticket, RecordingId(2)).is_some()));
    }

    #[test]
    fn one_more_than_there_are_places_is_refused_and_counted() {
        let playing = Playing::new();
        let mut places: Vec<_> = (0..PLAYBACKS_MAX).map(|_| playing.enter().expect("a place")).collect();
        assert!(playing.enter().is_none());
        assert_eq!(playing.refused.load(Ordering::Relaxed), 1);
        places.pop();
        assert!(playing.enter().is_some());
    }
}
