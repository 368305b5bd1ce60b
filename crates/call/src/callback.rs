//! Callbacks: who left a queue to be called back, as the log tells.

use std::collections::BTreeMap;

use offhook_units::{CallId, ContactId, PersonRef, QueueId, Span, Tick};
use serde::{Deserialize, Serialize};

/// Most callbacks that are open at once. At the limit the key does nothing, and callers wait on.
pub const CALLBACKS_MAX: usize = 10_000;
/// A caller who has asked is called back after this at the latest, or as soon as the call is over.
pub const HANGS_UP_WITHIN: Span = Span::from_s(60);

/// What happened to a callback. It is the contact that waits in the queue, each time anew with the old place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallbackEvent {
    /// A waiting caller asked for it.
    Asked {
        /// This callback.
        contact: ContactId,
        /// In this call.
        call: CallId,
        /// From this queue.
        queue: QueueId,
        /// The number to call, in the sealed table.
        person: PersonRef,
        /// The number of ours that was dialled.
        number: String,
        /// The place that it keeps.
        place_at: Tick,
        /// Nobody is called after this.
        until: Tick,
    },
    /// It does not wait in the queue until then.
    Rests {
        /// Which.
        contact: ContactId,
        /// Until when.
        until: Tick,
        /// The customer is called now, or was, and counts as tried.
        tried: bool,
    },
    /// It is over.
    Ended {
        /// Which.
        contact: ContactId,
        /// How.
        how: CallbackEnd,
    },
}

/// How a callback ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CallbackEnd {
    /// The customer answered.
    Reached,
    /// The customer was tried as often as the queue says.
    GivenUp,
    /// It was not its turn in time.
    Expired,
    /// The customer called again, and took the place.
    CalledAgain,
    /// Somebody took it back.
    Withdrawn,
    /// Its number or its queue is not known any more.
    Lost,
}

impl CallbackEnd {
    /// All, in order.
    pub const ALL: [Self; 6] =
        [Self::Reached, Self::GivenUp, Self::Expired, Self::CalledAgain, Self::Withdrawn, Self::Lost];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::GivenUp => "given-up",
            Self::Expired => "expired",
            Self::CalledAgain => "called-again",
            Self::Withdrawn => "withdrawn",
            Self::Lost => "lost",
        }
    }
}

/// A callback that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The call in which it was asked for.
    pub call: CallId,
    /// Its queue.
    pub queue: QueueId,
    /// Its number, in the sealed table.
    pub person: PersonRef,
    /// The number of ours that was dialled.
    pub number: String,
    /// When it was asked for.
    pub asked_at: Tick,
    /// Its place.
    pub place_at: Tick,
    /// Nobody is called after this.
    pub until: Tick,
    /// How often the customer was tried.
    pub tried: u32,
    /// It does not wait in the queue before this.
    pub rests_until: Tick,
    /// The number to call; none after a start until the sealed table has told it.
    pub to: Option<String>,
}

/// Open callbacks: a fold of their events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callbacks {
    open: BTreeMap<ContactId, Callback>,
}

impl Callbacks {
    /// Takes the next event. Events of callbacks that are not open are passed over.
    pub fn apply(&mut self, at: Tick, event: &CallbackEvent) {
        match event {
            CallbackEvent::Asked { contact, call, queue, person, number, place_at, until } => {
                let (number, rests_until) = (number.clone(), at + HANGS_UP_WITHIN);
                let (call, queue, person, place_at, until) = (*call, *queue, *person, *place_at, *until);
                let (asked_at, tried, to) = (at, 0, None);
                let callback =
                    Callback { call, queue, person, number, asked_at, place_at, until, tried, rests_until, to };
                self.open.insert(*contact, callback);
            }
            CallbackEvent::Rests { contact, until, tried } => {
                if let Some(callback) = self.open.get_mut(contact) {
                    callback.rests_until = *until;
                    callback.tried += u32::from(*tried);
                }
            }
            CallbackEvent::Ended { contact, .. } => {
                self.open.remove(contact);
            }
        }
    }

    /// One that is open.
    pub fn get(&self, contact: ContactId) -> Option<&Callback> {
        self.open.get(&contact)
    }

    /// Whether this contact is a callback that is open.
    pub fn has(&self, contact: ContactId) -> bool {
        self.open.contains_key(&contact)
    }

    /// All that are open, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (ContactId, &Callback)> {
        self.open.iter().map(|(contact, callback)| (*contact, callback))
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Numbers that the sealed table has to tell after a start.
    pub fn persons(&self) -> Vec<PersonRef> {
        self.open.values().map(|callback| callback.person).collect()
    }

    /// What the sealed table tells.
    pub fn tell(&mut self, person: PersonRef, number: &str) {
        for callback in self.open.values_mut().filter(|callback| callback.person == person) {
            callback.to = Some(number.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_that_was_tried_twice_and_rests_is_read_back_from_its_4_events() {
        let (contact, at) = (ContactId(7), |s: u64| Tick::from_us(s * 1_000_000));
        let asked = CallbackEvent::Asked {
            contact,
            call: CallId(1),
            queue: QueueId(2),
            person: PersonRef(3),
            number: "700".to_owned(),
            place_at: at(5),
            until: at(9_000),
        };
        let rests = |until, tried| CallbackEvent::Rests { contact, until: at(until), tried };
        let mut callbacks = Callbacks::default();
        let log = [(20, asked), (30, rests(330, true)), (400, rests(900, false)), (900, rests(1_200, true))];
        for (second, event) in &log {
            callbacks.apply(at(*second), event);
        }
        callbacks.tell(PersonRef(3), "+4930");
        let open = callbacks.get(contact).expect("open");
        assert_eq!((open.tried, open.rests_until, open.place_at), (2, at(1_200), at(5)));
        assert_eq!((callbacks.persons(), open.to.as_deref()), (vec![PersonRef(3)], Some("+4930")));
        callbacks.apply(at(1_300), &CallbackEvent::Ended { contact, how: CallbackEnd::Reached });
        callbacks.apply(at(1_400), &rests(2_000, true));
        assert!(callbacks.is_empty());
    }
}
