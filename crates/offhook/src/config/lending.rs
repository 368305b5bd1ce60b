//! Agents on loan: `lends_above` of a queue, `lent_by` of a membership.

use std::collections::BTreeSet;

use offhook_acd::Lending;

use super::read::{At, Section};
use super::routing::Queues;
use super::{Agent, Loan, Place, Reader};

/// A membership on loan: to which queue, by which.
pub type LoanNamed = (String, At<String>);

impl Reader {
    /// `lends_above = 85`: the service level in percent down to which a queue lends its agents.
    pub fn lending(&mut self, section: &mut Section<'_>) -> Option<At<Lending>> {
        let percent = section.number(&mut self.sink, "lends_above", 1..=100)?;
        Some(percent.map(|percent| Lending { target: percent as u32 * 100 }))
    }

    /// What holds loans of an agent together; those that make no sense are left out, each with a fault.
    pub fn loans(&mut self, queues: &Queues, own: &[Place], loans: Vec<LoanNamed>) -> Vec<Loan> {
        let on_loan: BTreeSet<String> = loans.iter().map(|(to, _)| to.clone()).collect();
        let mut good = Vec::new();
        for (to, by) in loans {
            if !queues.must_have(&mut self.sink, &by) {
                continue;
            }
            let lends = queues
                .list
                .iter()
                .zip(&queues.lending)
                .any(|(queue, lending)| queue.value.acd.name == by.value && lending.is_some());
            if by.value == to {
                self.sink.fault(
                    by.span,
                    "a queue does not lend to itself",
                    "name the queue that the agent is at home in",
                );
            } else if !own.iter().any(|(queue, ..)| *queue == by.value) {
                let advice = format!("add \"{}\" to queues of this agent", by.value);
                self.sink.fault(by.span, format!("'{}' lends an agent of other queues", by.value), advice);
            } else if on_loan.contains(&by.value) {
                let advice = format!("take lent_by of '{}' out", by.value);
                self.sink.fault(by.span, format!("the agent is on loan in '{}' too", by.value), advice);
            } else if !lends {
                let advice = "add lends_above = 85 to that queue: its service level in percent";
                self.sink.missing(by.span, format!("'{}' does not say when it lends", by.value), advice);
            } else {
                good.push((to, by.value));
            }
        }
        good
    }

    /// Queues that lend, and have nobody on loan.
    pub fn look_at_lenders(&mut self, queues: &Queues, agents: &[At<Agent>]) {
        let lenders: BTreeSet<&str> =
            agents.iter().flat_map(|agent| agent.value.loans.iter().map(|(_, by)| by.as_str())).collect();
        for (queue, lending) in queues.list.iter().zip(&queues.lending) {
            let name = &queue.value.acd.name;
            if let Some(lending) = lending.as_ref().filter(|_| !lenders.contains(name.as_str())) {
                let advice =
                    format!("write queues = [\"{name}\", {{ queue = \"..\", lent_by = \"{name}\" }}] for an agent");
                self.sink.warn(lending.span.clone(), format!("nobody is lent by '{name}'"), advice);
            }
        }
    }
}
