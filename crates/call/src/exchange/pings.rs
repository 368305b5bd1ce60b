//! Phones behind a translator: OPTIONS keep the way to them open, and a phone that answers no more is passed over
//! (docs/decisions/0043).

use std::collections::{BTreeMap, BTreeSet};

use offhook_sip::{Binding, Change, NameAddr, ProbeId, Uri};
use offhook_units::{Span, Tick};

use super::Exchange;

/// OPTIONS in a row that a phone leaves unanswered, for 64·T1 each, before calls pass it over.
pub const PINGS_UNANSWERED_MAX: u32 = 3;
/// OPTIONS sent at once; the rest follows after [`GAP`], so that those of thousands of phones are 2,000 a second at most.
const AT_ONCE: usize = 20;
const GAP: Span = Span::from_ms(10);
/// OPTIONS of one phone that wait for an answer; what is due beyond is left out.
const WAITING_MAX: u8 = 2;

/// What is known of the phones whose way is kept open.
#[derive(Debug, Default)]
pub(super) struct Pings {
    /// By account, then by contact.
    phones: BTreeMap<String, BTreeMap<String, Phone>>,
    /// When each is asked next.
    due: BTreeSet<(Tick, String, String)>,
    asked: BTreeMap<ProbeId, (String, String)>,
    /// The last batch was as large as one may be: nothing before this.
    not_before: Tick,
    figures: PingFigures,
}

/// How it stands with phones behind translators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PingFigures {
    /// Contacts whose way is kept open.
    pub kept_open: u64,
    /// Of these: contacts that are passed over.
    pub unreachable: u64,
    /// OPTIONS sent.
    pub sent: u64,
    /// OPTIONS that nobody answered.
    pub unanswered: u64,
}

#[derive(Debug)]
struct Phone {
    next: Tick,
    /// It has answered once: only then its silence says anything.
    answers: bool,
    silent: u32,
    waiting: u8,
}

impl Phone {
    const fn is_unreachable(&self) -> bool {
        self.answers && self.silent >= PINGS_UNANSWERED_MAX
    }
}

impl Pings {
    pub const fn figures(&self) -> PingFigures {
        self.figures
    }

    pub fn wake(&self) -> Option<Tick> {
        self.due.first().map(|(at, ..)| (*at).max(self.not_before))
    }

    /// Whether calls pass this contact over.
    pub fn is_unreachable(&self, account: &str, contact: &str) -> bool {
        self.figures.unreachable > 0
            && self.phones.get(account).and_then(|phones| phones.get(contact)).is_some_and(Phone::is_unreachable)
    }

    /// A contact is there from now on, to be asked at `first`. One that was there has just been heard of.
    fn watch(&mut self, account: &str, contact: &str, first: Tick) {
        let phones = self.phones.entry(account.to_owned()).or_default();
        if let Some(phone) = phones.get_mut(contact) {
            self.figures.unreachable -= u64::from(phone.is_unreachable());
            phone.silent = 0;
            return;
        }
        phones.insert(contact.to_owned(), Phone { next: first, answers: false, silent: 0, waiting: 0 });
        self.due.insert((first, account.to_owned(), contact.to_owned()));
        self.figures.kept_open += 1;
    }

    fn forget(&mut self, account: &str, contact: &str) {
        let Some(phones) = self.phones.get_mut(account) else { return };
        let Some(phone) = phones.remove(contact) else { return };
        if phones.is_empty() {
            self.phones.remove(account);
        }
        self.due.remove(&(phone.next, account.to_owned(), contact.to_owned()));
        self.figures.kept_open -= 1;
        self.figures.unreachable -= u64::from(phone.is_unreachable());
    }

    fn phone(&mut self, account: &str, contact: &str) -> Option<&mut Phone> {
        self.phones.get_mut(account)?.get_mut(contact)
    }

    /// Whoever is due by `now`; asked next after `every`. Nobody twice, and no more than may be asked at once.
    fn take_due(&mut self, now: Tick, every: Span) -> Vec<(String, String)> {
        let mut taken = Vec::new();
        while self.not_before <= now && self.due.first().is_some_and(|(at, ..)| *at <= now) {
            let Some((at, account, contact)) = self.due.pop_first() else { break };
            // Who is late keeps the place among the others.
            let next = if at + every > now { at + every } else { now + every };
            if let Some(phone) = self.phone(&account, &contact) {
                phone.next = next;
            }
            self.due.insert((next, account.clone(), contact.clone()));
            taken.push((account, contact));
            if taken.len() == AT_ONCE {
                self.not_before = now + GAP;
            }
        }
        taken
    }
}

impl Exchange {
    /// Contacts of an account that calls go to, the most wanted first: all but those that answer no more.
    pub(super) fn reachable<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Binding> {
        let answers = move |binding: &&Binding| !self.pings.is_unreachable(account, &binding.contact);
        self.registrar.bindings(account).filter(answers)
    }

    /// How it stands with phones behind translators.
    pub fn pings(&self) -> PingFigures {
        self.pings.figures()
    }

    /// A contact came, was refreshed, or went.
    pub(super) fn follow_way(&mut self, now: Tick, change: &Change) {
        match change {
            Change::Bound { binding, .. } => self.keep_open(now, binding),
            Change::Unbound { account, contact } => self.pings.forget(account, contact),
        }
    }

    /// The way to this contact is kept open from now on, where it needs that.
    pub(super) fn keep_open(&mut self, now: Tick, binding: &Binding) {
        let every = self.config.nat_ping;
        if every == Span::ZERO || !binding.translated {
            return self.pings.forget(&binding.account, &binding.contact);
        }
        // Phones that come back together, after a restart or a power cut, are not asked together.
        let spread = Span::from_us(self.entropy.below(every.as_us()));
        self.pings.watch(&binding.account, &binding.contact, now + spread);
    }

    /// Asks those whose time has come.
    pub(super) fn fire_pings(&mut self, now: Tick) {
        if self.pings.wake().is_none_or(|at| at > now) {
            return;
        }
        for (account, contact) in self.pings.take_due(now, self.config.nat_ping) {
            let bound = self.registrar.bindings(&account).find(|binding| binding.contact == contact);
            let Some((flow, uri)) =
                bound.and_then(|binding| Some((binding.flow, binding.contact.parse::<Uri>().ok()?)))
            else {
                continue;
            };
            let from = NameAddr::new(self.contact(flow));
            let Some(phone) = self.pings.phone(&account, &contact).filter(|phone| phone.waiting < WAITING_MAX) else {
                continue;
            };
            // Without room for one more request this one is left out, as if it had been lost.
            if let Ok(id) = self.endpoint.probe(now, flow, &uri, &from) {
                phone.waiting += 1;
                self.pings.asked.insert(id, (account, contact));
                self.pings.figures.sent += 1;
            }
        }
    }

    /// The answer to an OPTIONS, or its absence; false where it was not one of these.
    pub(super) fn pinged(&mut self, now: Tick, id: ProbeId, status: Option<u16>) -> bool {
        let Some((account, contact)) = self.pings.asked.remove(&id) else { return false };
        self.pings.figures.unanswered += u64::from(status.is_none());
        let Some(phone) = self.pings.phone(&account, &contact) else { return true };
        let before = phone.is_unreachable();
        phone.waiting = phone.waiting.saturating_sub(1);
        match status {
            // Any answer shows that the way is open.
            Some(_) => (phone.answers, phone.silent) = (true, 0),
            None => phone.silent = phone.silent.saturating_add(1),
        }
        let after = phone.is_unreachable();
        if before != after {
            let figures = &mut self.pings.figures;
            figures.unreachable = figures.unreachable + u64::from(after) - u64::from(before);
            if after {
                tracing::info!(account, "a phone behind a translator answers no more: calls pass it over");
            } else {
                tracing::info!(account, "a phone behind a translator answers again");
            }
            self.changed.agents.extend(self.accounts.get(&account).copied());
            self.follow_phone(now, &account);
        }
        true
    }
}
