//! The agent's desk as the HTTP server sees it.

use offhook_call::desk::{DeskView, DeskWish};
use offhook_call::{Command, Exchange};
use offhook_server::{Answer, Desk, GuestError, Unavailable};
use offhook_units::{AgentId, CallId};

use super::control::Ask;
use super::port::Port;

impl Desk for Port {
    fn desk(&self, agent: AgentId) -> Answer<'_, Result<Option<DeskView>, Unavailable>> {
        Box::pin(self.look(move |exchange, _| exchange.desk(agent)))
    }

    fn at_desk(
        &self,
        agent: AgentId,
        call: Option<CallId>,
        wish: DeskWish,
    ) -> Answer<'_, Result<Option<DeskView>, GuestError>> {
        Box::pin(async move {
            let command = Command::Desk { agent, call, wish };
            let look = move |exchange: &Exchange, _| match exchange.denied() {
                Some(denied) => Err(denied.clone()),
                None => Ok(exchange.desk(agent)),
            };
            Ok(self.ask(|look| Ask::Do(command, look), look).await??)
        })
    }
}
