//! The agent's desk as the HTTP server sees it.

use offhook_acd::AgentFigures;
use offhook_call::desk::{DeskView, DeskWish, Taken};
use offhook_call::guests::Denied;
use offhook_call::{Command, Exchange};
use offhook_server::{Answer, CodeCount, Desk, GuestError, RecordEntry, Unavailable};
use offhook_store::WrapUpRow;
use offhook_units::{AgentId, CallId, Tick};

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

    fn note_call(
        &self,
        agent: AgentId,
        call: CallId,
        code: Option<String>,
        note: Option<String>,
    ) -> Answer<'_, Result<Option<DeskView>, GuestError>> {
        Box::pin(async move {
            let command = Command::Desk { agent, call: Some(call), wish: DeskWish::Code(code.clone()) };
            let look = move |exchange: &Exchange, now| match exchange.denied() {
                Some(denied) => Err(denied.clone()),
                None => Ok((exchange.desk(agent), exchange.taken_last(agent).cloned(), now)),
            };
            let (desk, taken, at) = self.ask(|look| Ask::Do(command, look), look).await??;
            if let Some(Taken { queue, person, .. }) = taken {
                let row = WrapUpRow { call, agent, at, queue: Some(queue), code, person, note };
                let kept = self.store.put_wrap_up(row).await.map_err(|error| {
                    tracing::error!(%error, "what was noted of a call could not be kept");
                    Unavailable
                })?;
                if !kept {
                    return Err(
                        Denied::Elsewhere("nobody is known to whom the note would belong; the code is kept").into()
                    );
                }
            }
            Ok(desk)
        })
    }

    fn caller_history(
        &self,
        agent: AgentId,
        call: CallId,
        limit: u32,
    ) -> Answer<'_, Result<Vec<RecordEntry>, Unavailable>> {
        Box::pin(async move {
            let Some(person) = self.look(move |exchange, _| exchange.own_caller(agent, call)).await? else {
                return Ok(Vec::new());
            };
            let rows = self.store.calls_of(person, limit + 1).await.map_err(|_| Unavailable)?;
            let mut entries = Vec::new();
            for row in rows.into_iter().filter(|row| row.id != call).take(limit as usize) {
                entries.extend(self.entry(&self.store, row).await);
            }
            Ok(entries)
        })
    }

    fn own_figures(&self, agent: AgentId) -> Answer<'_, Result<Option<AgentFigures>, Unavailable>> {
        Box::pin(self.look(move |exchange, now| {
            let known = exchange.knows_agent(agent);
            known.then(|| exchange.acd().agent_figures(agent, now).unwrap_or_default())
        }))
    }

    fn codes(&self, from: Tick, until: Tick) -> Answer<'_, Result<Vec<CodeCount>, Unavailable>> {
        Box::pin(async move {
            let counts = self.store.codes(from, until).await.map_err(|_| Unavailable)?;
            let names = self.names();
            let named = |count: offhook_store::CodeCount| {
                let offhook_store::CodeCount { queue, code, times } = count;
                let queue = queue.map(|queue| (queue, names.queues.get(&queue).cloned()));
                CodeCount { queue, code, times }
            };
            Ok(counts.into_iter().map(named).collect())
        })
    }
}
