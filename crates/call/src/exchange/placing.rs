//! Who calls, and where that leads: trunks, phones of ours with their credentials, other phones, numbers, the world outside.

use std::borrow::Cow;
use std::collections::VecDeque;

use offhook_sip::{Credentials, Flow, Identity, NameAddr, Request, Uri};
use offhook_units::{AgentId, CallId, Span, Tick};

use super::identity::hidden;
use super::state::{Presented, Way};
use super::trunks::at_carrier;
use super::{Exchange, Output};
use crate::config::{Account, Destination, Number, Outgoing};
use crate::numbering::{DIGITS_MAX, bare};

/// How long a phone or a number outside may ring that was called without a queue.
pub(super) const RING_FOR: Span = Span::from_s(90);

/// Who sends an INVITE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A trunk, by its place in the configuration.
    Trunk(usize),
    /// The phone of an account.
    Account(String),
    /// Somebody in a page, by the user part of the ticket.
    Visitor(String),
}

/// Where an INVITE leads.
pub(super) enum Lead {
    /// As a number of ours says.
    Number(Number),
    /// These are rung, one after the other.
    Ways(VecDeque<Way>),
}

/// The answer to an INVITE or a SUBSCRIBE that is not taken on.
pub(super) struct Refusal {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl From<u16> for Refusal {
    fn from(status: u16) -> Self {
        Self { status, headers: Vec::new() }
    }
}

impl Exchange {
    /// Who sends this INVITE. Trunks are known by their addresses. Everybody else shows credentials, phones too that share an
    /// address with a trunk: they are known by their registration.
    pub(super) fn origin(&mut self, now: Tick, flow: Flow, request: &Request) -> Result<Origin, Refusal> {
        if let Some(visitor) = self.visitor_of(now, flow, request) {
            return visitor.map(Origin::Visitor);
        }
        let claimed = request.headers.from().ok().and_then(|from| from.uri.user_decoded().map(Cow::into_owned));
        let claimed = claimed.filter(|user| self.config.accounts.contains_key(user));
        let registered = |account: &String| self.registrar.bindings(account).any(|b| b.flow.peer == flow.peer);
        let is_phone = request.headers.get("Authorization").is_some() || claimed.as_ref().is_some_and(registered);
        if let Some(trunk) = self.trunk_of(flow, request).filter(|_| !is_phone) {
            let dialled = self.called(trunk, request);
            if claimed.is_none() || self.config.numbers.contains_key(&dialled) {
                return Ok(Origin::Trunk(trunk));
            }
        }
        self.account_of(now, flow, request).map(Origin::Account)
    }

    /// The account whose password a request shows.
    pub(super) fn account_of(&mut self, now: Tick, flow: Flow, request: &Request) -> Result<String, Refusal> {
        let accounts = &self.config.accounts;
        let password = |user: &str| accounts.get(user).map(|account| account.password.as_str());
        let identity = self.registrar.identify(now, flow.peer.ip(), request, password);
        self.shown(flow, identity)
    }

    /// The account that was shown, or the answer to who showed none.
    pub(super) fn shown(&mut self, flow: Flow, identity: Identity) -> Result<String, Refusal> {
        match identity {
            Identity::Account(account) => Ok(account),
            Identity::Wrong => {
                self.outputs.push_back(Output::WrongPassword { source: flow.peer.ip() });
                Err(403.into())
            }
            Identity::Misdirected => Err(400.into()),
            Identity::Unknown { challenges } => {
                let headers = challenges.into_iter().map(|value| ("WWW-Authenticate".to_owned(), value)).collect();
                Err(Refusal { status: 401, headers })
            }
        }
    }

    /// Where `dialled` leads from a phone of ours: to another phone by its account or its agent's name, to a number of ours, or
    /// outside. `from` is who calls; `account` answers for what goes outside.
    pub(super) fn lead(&self, from: &Presented, account: Option<&str>, dialled: &str) -> Result<Lead, u16> {
        if let Some(&agent) = self.callable.get(dialled) {
            let own = account.and_then(|account| self.accounts.get(account));
            // Whoever calls the own name is busy doing so.
            let way = if own == Some(&agent) { Err(486) } else { self.way_to_agent(from, agent) };
            return Ok(Lead::Ways(VecDeque::from([way?])));
        }
        if let Some(number) = self.own_number(dialled) {
            return Ok(Lead::Number(number.clone()));
        }
        self.ways_outside(account, from, dialled, true).map(Lead::Ways)
    }

    pub(super) fn way_to_agent(&self, from: &Presented, agent: AgentId) -> Result<Way, u16> {
        let line = self.agents.get(&agent).ok_or(404_u16)?;
        if line.is_engaged() {
            return Err(486);
        }
        let (uri, flow) = self.reach(agent).ok_or(480_u16)?;
        let from = self.presented(from, None, flow);
        let (headers, credentials, charged) = Default::default();
        Ok(Way { uri, flow, from, agent: Some(agent), trunk: None, urgent: false, headers, credentials, charged })
    }

    /// Whether an account may call a number outside, at whatever time it has a line for that.
    pub(super) fn may_call(&self, account: &str, from: &Presented, number: &str) -> bool {
        let is_inside = self.callable.contains_key(number) || self.own_number(number).is_some();
        !is_inside && self.ways_outside(Some(account), from, number, false).is_ok()
    }

    /// The trunks that take a number, the longest prefix first (docs/decisions/0030). Emergency numbers ask for nothing. `now` asks
    /// whether the account has a line at this time.
    fn ways_outside(
        &self,
        account: Option<&str>,
        from: &Presented,
        number: &str,
        now: bool,
    ) -> Result<VecDeque<Way>, u16> {
        let number = &*bare(number);
        let e164 = self.config.numbering.as_ref().and_then(|numbering| numbering.e164(number));
        // As dialled, or as everybody else would write it.
        let begins = |prefixes: &[String]| {
            let as_e164 = e164.as_ref().and_then(|e164| longest(prefixes, e164));
            longest(prefixes, number).max(as_e164)
        };
        let digits = number.strip_prefix('+').unwrap_or(number);
        let is_number = (1..=DIGITS_MAX).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit() || b == b'*' || b == b'#');
        let trunks = self.order.places().filter_map(|at| Some((at, self.config.trunks[at].out.as_ref()?)));
        let settings = account.and_then(|name| Some((name, self.config.accounts.get(name)?)));
        let mut found: Vec<(usize, usize, &Outgoing)> = trunks
            .clone()
            .filter(|(_, out)| out.emergency.iter().any(|n| n == number))
            .map(|(at, out)| (0, at, out))
            .collect();
        let is_emergency = !found.is_empty();
        if !is_emergency {
            found = trunks.filter_map(|(at, out)| Some((begins(&out.prefixes)?, at, out))).collect();
            found.sort_by_key(|(matched, ..)| core::cmp::Reverse(*matched));
            if !is_number || found.is_empty() {
                return Err(404);
            }
            let (name, settings) = settings.ok_or(403_u16)?;
            if begins(&settings.outside).is_none() {
                return Err(403);
            }
            if now && self.outside.get(name).is_some_and(|count| *count >= settings.outside_max) {
                return Err(503);
            }
        }
        let charged = settings.map(|(name, _)| name.to_owned());
        let settings = settings.map(|(_, settings)| settings);
        let ways = found.into_iter().flat_map(|(_, at, out)| {
            let written = if is_emergency { number.to_owned() } else { self.written_for(at, number) };
            // Whoever helps has to know who calls.
            let hides = !is_emergency && settings.is_some_and(|account| account.hide_number);
            self.ways_over(at, out, settings, from, hides, &written)
        });
        let ways = ways.map(|way| Way { charged: charged.clone(), urgent: is_emergency, ..way }).collect();
        Ok(self.healthy(ways, is_emergency))
    }

    /// Whether a trunk of ours takes this number from everybody at any time.
    pub(super) fn is_emergency(&self, number: &str) -> bool {
        let number = bare(number);
        let out = self.config.trunks.iter().filter_map(|trunk| trunk.out.as_ref());
        out.flat_map(|out| &out.emergency).any(|emergency| *emergency == number)
    }

    /// The ways over one trunk: one for each of its targets.
    fn ways_over(
        &self,
        trunk: usize,
        out: &Outgoing,
        account: Option<&Account>,
        from: &Presented,
        hides: bool,
        number: &str,
    ) -> Vec<Way> {
        let shown = account.and_then(|account| account.caller_id.as_ref()).or(out.caller_id.as_ref());
        let from = match shown {
            Some(user) => Presented { display: None, user: user.clone() },
            None => from.clone(),
        };
        let ways = self.targets_of(trunk).map(|flow| {
            let mut from = self.presented(&from, None, flow);
            if let Some(domain) = &out.domain {
                from.uri.host.clone_from(domain);
            }
            let trusted = self.config.trunks[trunk].trust_identity;
            let (from, headers) = if hides { hidden(&from, trusted) } else { (from, Vec::new()) };
            let (uri, credentials) = (at_carrier(out, flow, Some(number)), out.credentials.clone());
            Way { uri, flow, from, agent: None, trunk: Some(trunk), urgent: false, headers, credentials, charged: None }
        });
        ways.collect()
    }

    /// The way that a number of ours says: to the phone at `flow`'s peer under the dialled number.
    pub(super) fn way_to_peer(&self, from: &Presented, number: &str, flow: Flow) -> VecDeque<Way> {
        let from = self.presented(from, None, flow);
        let uri = flow.target(Some(number));
        let (agent, trunk, urgent, headers, credentials, charged) = Default::default();
        VecDeque::from([Way { uri, flow, from, agent, trunk, urgent, headers, credentials, charged }])
    }

    /// The name that others see when the phone of `account` calls.
    pub(super) fn presented_account(&self, account: &str) -> Presented {
        let agent = self.accounts.get(account).and_then(|agent| self.agent(*agent));
        Presented { display: agent.map(|agent| agent.acd.name.clone()), user: account.to_owned() }
    }

    /// One more outside call of an account, for as long as its call lasts.
    pub(super) fn charge(&mut self, id: CallId, account: String) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.charged.contains(&account) {
            return;
        }
        *self.outside.entry(account.clone()).or_default() += 1;
        call.charged.push(account);
    }

    /// The outside calls of a call that is over are over too.
    pub(super) fn discharge(&mut self, accounts: Vec<String>) {
        for account in accounts {
            if let Some(count) = self.outside.get_mut(&account) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.outside.remove(&account);
                }
            }
        }
    }
}

/// Length of the longest prefix that `number` begins with.
fn longest(prefixes: &[String], number: &str) -> Option<usize> {
    prefixes.iter().filter(|prefix| number.starts_with(prefix.as_str())).map(String::len).max()
}

/// What a way needs besides its leg.
pub(super) struct Invitation {
    pub uri: Uri,
    pub from: NameAddr,
    pub headers: Vec<(String, String)>,
    pub credentials: Option<Credentials>,
}

/// Whether a call to a number of ours is answered before anybody picks up.
pub(super) fn answers_itself(number: &Number) -> bool {
    number.answer == crate::config::Answer::AtStart && !matches!(number.to, Destination::Dial { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_of_a_number_counts() {
        let prefixes = ["+49".to_owned(), "+4930".to_owned(), "0".to_owned()];
        assert_eq!(longest(&prefixes, "+493055"), Some(5));
        assert_eq!(longest(&prefixes, "+4955"), Some(3));
        assert_eq!(longest(&prefixes, "110"), None);
    }
}
