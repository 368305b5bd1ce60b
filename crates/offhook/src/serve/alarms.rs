//! Alarms: once a second the figures are read and held against the thresholds; what was raised or cleared is logged and told.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use offhook_call::alarm::{AlarmEvent, AlarmView, Alarms, Logged, Measure, Reading, Rule};
use offhook_call::event::LogEvent;
use offhook_call::view::{QueueView, TrunkView};
use offhook_net::Clock;
use offhook_net::intake::Post;
use offhook_server::{EventSender, LiveEvent};
use offhook_units::{Span, Tick};
use tokio::sync::{oneshot, watch};

use super::control::{Ask, Figures};

/// How often figures are read.
const EVERY: Duration = Duration::from_secs(1);
/// Recordings that failed count for so long.
const FAULTS_WITHIN: Span = Span::from_s(300);
const MB: u64 = 1_000_000;

/// What alarms are watched with.
pub struct Watcher {
    asks: Post<Ask>,
    clock: Clock,
    live: EventSender,
    figures: Arc<Figures>,
    /// Where data and recordings lie, each with what it is called.
    disks: Vec<(&'static str, PathBuf)>,
    rules: watch::Receiver<Arc<Vec<Rule>>>,
    /// What the log says is raised.
    before: Logged,
    raised: watch::Sender<Arc<Vec<AlarmView>>>,
}

/// Failed recordings: how many there were when.
#[derive(Debug, Default)]
struct Faults(Vec<(Tick, u64)>);

impl Faults {
    /// How many failed lately, where `total` failed since the start.
    fn lately(&mut self, now: Tick, total: u64) -> u64 {
        if self.0.last().is_none_or(|(_, last)| *last != total) {
            self.0.push((now, total));
        }
        // The last count that is older stays: the others are counted from it.
        let old = self.0.partition_point(|(at, _)| now - *at > FAULTS_WITHIN);
        self.0.drain(..old.saturating_sub(1));
        total - self.0.first().map_or(total, |(_, first)| *first)
    }
}

impl Watcher {
    /// Watches an exchange that is asked by `asks` and tells `live`; gives what is raised, too.
    pub fn new(
        (asks, clock, live, figures): (Post<Ask>, Clock, EventSender, Arc<Figures>),
        disks: Vec<(&'static str, PathBuf)>,
        rules: watch::Receiver<Arc<Vec<Rule>>>,
        before: Logged,
    ) -> (Self, watch::Receiver<Arc<Vec<AlarmView>>>) {
        let (raised, seen) = watch::channel(Arc::default());
        (Self { asks, clock, live, figures, disks, rules, before, raised }, seen)
    }

    /// Watches until the exchange is gone.
    pub async fn run(mut self) {
        let mut alarms = Alarms::new(self.rules.borrow_and_update().to_vec());
        alarms.go_on(core::mem::take(&mut self.before));
        self.raised.send_replace(Arc::new(alarms.raised()));
        let mut faults = Faults(vec![(self.clock.now(), 0)]);
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            match self.rules.has_changed() {
                Ok(true) => alarms.follow(self.rules.borrow_and_update().to_vec()),
                Ok(false) => {}
                Err(_) => return,
            }
            let failed = self.figures.recordings_failed.load(Ordering::Relaxed);
            let failed = faults.lately(self.clock.now(), failed);
            if alarms.is_idle() {
                continue;
            }
            let (reply, views) = oneshot::channel();
            let look = Box::new(move |exchange: &offhook_call::Exchange, now| {
                let _gone = reply.send((now, exchange.queues(now), exchange.trunks(now)));
            });
            // An exchange that is too busy to answer is asked again in a second.
            if self.asks.try_send(Ask::Look(look)).is_err() {
                continue;
            }
            let Ok((now, queues, trunks)) = views.await else { continue };
            let mut readings = readings(&queues, &trunks);
            readings.extend(self.disks.iter().map(|(name, folder)| Reading {
                measure: Measure::DiskFree,
                subject: (*name).to_owned(),
                value: free(folder),
            }));
            let subject = "recordings".to_owned();
            readings.push(Reading { measure: Measure::RecordingFaults, subject, value: Some(failed) });
            let events = alarms.handle(now, &readings);
            self.raised.send_replace(Arc::new(alarms.raised()));
            for event in events {
                self.tell(now, event);
            }
        }
    }

    fn tell(&self, now: Tick, event: AlarmEvent) {
        match &event {
            AlarmEvent::Raised { alarm, subject, value, limit, .. } => {
                tracing::warn!(alarm, subject, value, limit, "an alarm was raised");
            }
            AlarmEvent::Cleared { alarm, subject } => tracing::info!(alarm, subject, "an alarm is over"),
        }
        self.live.publish(now, LiveEvent::Alarm(event.clone()));
        if self.asks.try_send(Ask::Log(Box::new(LogEvent::Alarm(event)))).is_err() {
            tracing::error!("an alarm found no room in the event log");
        }
    }
}

/// What queues and trunks say.
fn readings(queues: &[QueueView], trunks: &[TrunkView]) -> Vec<Reading> {
    let of_queue = |queue: &QueueView| {
        let wait = queue.longest_wait.as_s();
        [
            (Measure::Waiting, Some(u64::from(queue.waiting))),
            (Measure::LongestWait, Some(wait)),
            (Measure::ServiceLevel, queue.service_level.map(|hundredths| u64::from(hundredths / 100))),
            (Measure::AgentsReady, Some(u64::from(queue.agents_available))),
        ]
        .map(|(measure, value)| Reading { measure, subject: queue.name.clone(), value })
    };
    let of_trunk = |trunk: &TrunkView| {
        let registered = trunk.registration.as_ref().is_none_or(|held| held.state == "registered");
        let answers = trunk.targets.is_empty() || trunk.targets.iter().any(|target| target.up);
        let value = Some(u64::from(!(registered && answers)));
        Reading { measure: Measure::TrunkDown, subject: trunk.name.clone(), value }
    };
    queues.iter().flat_map(of_queue).chain(trunks.iter().map(of_trunk)).collect()
}

/// Free room for who is not root, in MB; none where the system does not say.
fn free(folder: &PathBuf) -> Option<u64> {
    let room = rustix::fs::statvfs(folder).ok()?;
    Some(room.f_bavail.saturating_mul(room.f_frsize) / MB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_recordings_count_for_five_minutes() {
        let at = |s| Tick::ZERO + Span::from_s(s);
        let mut faults = Faults(vec![(at(0), 0)]);
        assert_eq!(faults.lately(at(1), 0), 0);
        assert_eq!(faults.lately(at(10), 2), 2);
        assert_eq!(faults.lately(at(200), 3), 3);
        assert_eq!(faults.lately(at(305), 3), 3, "of second 10 still two");
        assert_eq!(faults.lately(at(400), 3), 1);
        assert_eq!(faults.lately(at(600), 3), 0);
        assert_eq!(faults.lately(at(601), 4), 1);
    }

    #[test]
    fn a_folder_has_free_room_and_a_missing_one_has_no_figure() {
        assert!(free(&std::env::temp_dir()).is_some_and(|room| room > 0));
        assert_eq!(free(&PathBuf::from("/nowhere/at/all")), None);
    }
}
