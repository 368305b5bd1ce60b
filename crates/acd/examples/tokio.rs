//! A floor as a task of tokio: one task owns the distributor and takes commands from a channel, its timers are one `sleep_until`, and what it wants
//! done in the world - phones that ring - is done by tasks of their own.
//!
//! `cargo run -p offhook-acd --example tokio` lets five callers ring two agents, of whom one overlooks a call. The clock is tokio's, paused: it jumps
//! to whatever is due next. Without `start_paused` the same takes its two minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use offhook_acd::{Acd, AgentConfig, Channel, Command, Effect, Event, Output, QueueConfig, Refusal};
use offhook_units::{AgentId, ContactId, OfferId, QueueId, Tick, VisitId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

const SALES: QueueId = QueueId(1);
const ADA: AgentId = AgentId(1);
const BOB: AgentId = AgentId(2);

/// Commands that may wait for the floor at once; who sends one more waits too.
const COMMANDS_MAX: usize = 64;

type Log = Vec<(Tick, Event)>;
type Request = (Command, oneshot::Sender<Result<(), Refusal>>);

/// The door to the floor's task, for whoever has something to tell it.
#[derive(Clone)]
struct Floor(mpsc::Sender<Request>);

impl Floor {
    /// Tells it, and waits for the answer.
    async fn tell(&self, command: Command) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        self.0.send((command, answer)).await.expect("the floor stays while somebody holds a door to it");
        answered.await.expect("it answers each request")
    }
}

/// The exchange clock: ticks of the distributor for instants of tokio, and back.
#[derive(Clone, Copy)]
struct Clock {
    began: Instant,
    at: Tick,
}

impl Clock {
    fn now(self) -> Tick {
        self.at + self.began.elapsed().into()
    }

    async fn reach(self, due: Option<Tick>) {
        match due {
            Some(due) => sleep_until(self.began + (due - self.at).as_std()).await,
            None => std::future::pending().await,
        }
    }
}

/// The floor's task: owns the distributor until nobody holds a door to it any more, then hands over what is left.
async fn run(
    mut acd: Acd,
    clock: Clock,
    mut requests: mpsc::Receiver<Request>,
    phones: mpsc::Sender<Effect>,
) -> (Acd, Log) {
    let mut log = Log::new();
    loop {
        let due = loop {
            match acd.poll_output() {
                // The log comes first: an effect is carried out after the event that it follows.
                Output::Event { at, event } => log.push((at, event)),
                Output::Effect(effect) => phones.send(effect).await.expect("the phones outlive the floor"),
                Output::Wait { until } => break until,
            }
        };
        tokio::select! {
            request = requests.recv() => {
                let Some((command, answer)) = request else { return (acd, log) };
                // Who no longer waits for the answer has gone on without it.
                let _gone = answer.send(acd.handle(clock.now(), command));
            }
            () = clock.reach(due) => acd.timeout(clock.now()),
        }
    }
}

/// Carries effects out: one task for each phone that rings, ended where the offer is withdrawn.
async fn ring(floor: mpsc::WeakSender<Request>, mut effects: mpsc::Receiver<Effect>) {
    let mut ringing: BTreeMap<OfferId, AbortHandle> = BTreeMap::new();
    let mut phones = JoinSet::new();
    while let Some(effect) = effects.recv().await {
        match effect {
            Effect::Offer { offer, contact, agent, .. } => {
                // Nobody holds a door any more: the shift is over.
                let Some(floor) = floor.upgrade().map(Floor) else { continue };
                let overlooks = agent == BOB && ringing.is_empty();
                ringing.insert(offer, phones.spawn(phone(floor, offer, contact, overlooks)));
            }
            Effect::Withdraw { offer, .. } => {
                if let Some(phone) = ringing.remove(&offer) {
                    phone.abort();
                }
            }
            Effect::Ask { .. } | Effect::WaitedTooLong { .. } | Effect::NobodyHere { .. } => {
                unreachable!("this queue asks nobody, and waits for as long as it takes")
            }
        }
    }
    while phones.join_next().await.is_some() {}
}

/// An agent's phone: rings for 3 s, then the agent talks for 30 s. Who overlooks it lets it ring until the offer's deadline.
async fn phone(floor: Floor, offer: OfferId, contact: ContactId, overlooks: bool) {
    let answers_after = if overlooks { Duration::from_hours(1) } else { Duration::from_secs(3) };
    sleep(answers_after).await;
    // Too late is harmless: somebody else has the contact, or it is gone.
    if floor.tell(Command::Accept { offer }).await.is_ok() {
        sleep(Duration::from_secs(30)).await;
        floor.tell(Command::Finish { contact }).await.expect("the conversation goes on until then");
    }
}

/// A shift from its first command to its last.
async fn shift() -> (Acd, Log) {
    let clock = Clock { began: Instant::now(), at: Tick::from_us(1_700_000_000_000_000) };
    let (door, requests) = mpsc::channel(COMMANDS_MAX);
    let (effects, phones) = mpsc::channel(COMMANDS_MAX);
    let ringing = tokio::spawn(ring(door.downgrade(), phones));
    let task = tokio::spawn(run(Acd::new(7), clock, requests, effects));
    let floor = Floor(door);

    floor.tell(Command::AddQueue(QueueConfig::new(SALES, "sales"))).await.expect("a queue");
    for (agent, name) in [(BOB, "Bob"), (ADA, "Ada")] {
        floor.tell(Command::AddAgent(AgentConfig::new(agent, name).in_queue(SALES, 1, 1))).await.expect("an agent");
        floor.tell(Command::LogIn { agent }).await.expect("an agent comes to work");
        sleep(Duration::from_secs(1)).await;
    }
    for caller in 1..=5 {
        let (contact, visit, channel) = (ContactId(caller), VisitId(caller), Channel::Voice);
        let (priority, place_at, needs, prefers) = (0, None, Vec::new(), None);
        let enter = Command::Enter { contact, visit, queue: SALES, channel, priority, place_at, needs, prefers };
        floor.tell(enter).await.expect("somebody serves the queue");
        sleep(Duration::from_secs(10)).await;
    }
    // The phones hold doors of their own while they ring and talk; the last one closes the shift.
    drop(floor);
    let left = task.await.expect("the floor's task runs to its end");
    ringing.await.expect("so do the phones");
    left
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let (acd, log) = shift().await;
    let figures = acd.figures_of_all_time(SALES);
    println!("{} events, {} answered, {} missed", log.len(), figures.answered, figures.missed);
    assert_eq!((figures.offered, figures.answered, figures.missed), (5, 5, 1), "everybody talked to somebody");
    assert_eq!(Acd::replay(7, log).state_hash(), acd.state_hash(), "the log leads to the same state");
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_shift_of_five_callers_and_an_overlooked_call_runs_to_its_end_and_its_log_replays() {
        super::main();
    }
}
