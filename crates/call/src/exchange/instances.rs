//! The phones of one account told apart: the way to each through its proxies, and calls to one of them by its GRUU.

use offhook_sip::{Binding, Uri};
use offhook_units::AgentId;

use super::Exchange;
use super::placing::Lead;
use crate::config::Reach;

impl Exchange {
    /// The proxies that a request to an agent's phone at `uri` has to visit, as headers (RFC 3327 section 5.3).
    pub(super) fn path_to(&self, agent: AgentId, uri: &Uri) -> Vec<(String, String)> {
        let contact = uri.to_string();
        let mut phones = self.phones_of(agent);
        let phone = phones.find(|binding| !binding.path.is_empty() && binding.contact == contact);
        phone
            .map_or_else(Vec::new, |binding| binding.path.iter().map(|hop| ("Route".to_owned(), hop.clone())).collect())
    }

    /// A call to a GRUU goes to that phone and no other of the account (RFC 5627 section 6.1); 480 where it is not registered.
    pub(super) fn aim(&self, lead: Lead, uri: &Uri) -> Result<Lead, u16> {
        let Some(instance) = uri.param("gr").filter(|name| !name.is_empty()) else { return Ok(lead) };
        let Lead::Ways(mut ways) = lead else { return Ok(lead) };
        if let Some(way) = ways.front_mut()
            && let Some(agent) = way.agent
        {
            let answers = |binding: &&Binding| !self.pings.is_unreachable(&binding.account, &binding.contact);
            let phone = self.phones_of(agent).filter(answers).find(|binding| binding.is_instance(instance));
            let phone = phone.ok_or(480_u16)?;
            way.uri = phone.contact.parse().map_err(|_| 480_u16)?;
            way.flow = phone.flow;
        }
        Ok(Lead::Ways(ways))
    }

    fn phones_of(&self, agent: AgentId) -> impl Iterator<Item = &Binding> {
        let account = match self.agent(agent).map(|agent| &agent.reach) {
            Some(Reach::Account(account)) => Some(account),
            Some(Reach::Static { .. }) | None => None,
        };
        account.into_iter().flat_map(|account| self.registrar.bindings(account))
    }
}
