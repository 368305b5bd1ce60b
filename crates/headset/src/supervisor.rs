//! The thread that owns the streams: opens them, hears of trouble, and opens them again.

use core::fmt;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use offhook_codec::ResampleError;
use offhook_units::{SampleRate, Span, Tick};
use ringbuf::traits::{Producer, Split};
use ringbuf::{HeapProd, HeapRb};

use crate::counters::Counters;
use crate::device::{HeadsetError, Running, Survey, Trouble, open_capture, open_playback};
use crate::ends::{CaptureTap, PlaybackFeed};
use crate::microphone::Microphone;
use crate::rate::Converter;
use crate::speaker::Speaker;
use crate::watchdog::Watchdog;

/// Which way sound goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// From the microphone.
    Capture,
    /// To the earpiece.
    Playback,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capture => "input",
            Self::Playback => "output",
        })
    }
}

/// What to open.
#[derive(Debug, Clone)]
pub struct HeadsetConfig {
    /// Id or part of the name of the capture device; none for the default one.
    pub input: Option<String>,
    /// Id or part of the name of the playback device; none for the default one.
    pub output: Option<String>,
    /// The playback device to take where `output` is not there, before the default one.
    pub instead: Option<String>,
    /// The call's rate: what [`Microphone`] gives and [`Speaker`] takes.
    pub call_rate: SampleRate,
}

/// What is opened of a [`HeadsetConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ways {
    Both,
    Playback,
}

impl Ways {
    const fn list(self) -> &'static [Way] {
        match self {
            Self::Both => &[Way::Playback, Way::Capture],
            Self::Playback => &[Way::Playback],
        }
    }
}

/// What happened to the devices. Never more than [`EVENTS_MAX`] wait; further ones are dropped, for the state is what counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadsetEvent {
    /// A device runs.
    Opened {
        /// Capture or playback.
        way: Way,
        /// What it is called.
        device: String,
        /// Its samples per second.
        rate: u32,
    },
    /// A device died; opening is tried again every [`RETRY_EVERY`].
    Lost {
        /// Capture or playback.
        way: Way,
        /// The sound system's words, or that it fell silent.
        why: String,
    },
    /// The device that is wanted is not there, or does not open: another one stands in until it is.
    Missing {
        /// Capture or playback.
        way: Way,
        /// What was asked for.
        wanted: String,
    },
    /// A passing fault; the stream goes on.
    Trouble {
        /// Capture or playback.
        way: Way,
        /// The sound system's words.
        why: String,
    },
}

/// Most events that wait to be read.
pub const EVENTS_MAX: usize = 64;
/// How often a lost device is tried again.
pub const RETRY_EVERY: Span = Span::from_ms(500);
/// How often a device that is better than the one in use, and did not open, is tried again.
const BETTER_EVERY: Span = Span::from_s(2);
/// How often the watchdog looks.
const LOOK_EVERY: Span = Span::from_ms(100);
/// How often the system is asked which devices there are: most sound servers say nothing when one comes or goes.
const SURVEY_EVERY: Span = Span::from_ms(300);

enum Order {
    Trouble(Way, u64, Trouble),
    Survey(Box<Survey>),
    Close,
}

/// An open pair of devices. Closes them when dropped.
pub struct Headset {
    orders: Sender<Order>,
    events: Receiver<HeadsetEvent>,
    thread: Option<JoinHandle<()>>,
}

impl Headset {
    /// Opens capture and playback and starts them. Where a device named is not there, another one stands in and an event says so.
    ///
    /// # Errors
    /// [`HeadsetError`] where neither opens. Later losses, and one of two that does not open, are events.
    pub fn open(config: HeadsetConfig) -> Result<(Self, Microphone, Speaker), HeadsetError> {
        Self::start(config, Ways::Both)
    }

    /// Opens playback alone, on `config.output`: for what rings.
    ///
    /// # Errors
    /// [`HeadsetError`] where it does not open.
    pub fn open_speaker(config: HeadsetConfig) -> Result<(Self, Speaker), HeadsetError> {
        Self::start(config, Ways::Playback).map(|(headset, _, speaker)| (headset, speaker))
    }

    fn start(config: HeadsetConfig, ways: Ways) -> Result<(Self, Microphone, Speaker), HeadsetError> {
        let (orders, inbox) = bounded(EVENTS_MAX);
        let (events_out, events) = bounded(EVENTS_MAX);
        let (feeds, taken_feeds) = HeapRb::new(8).split();
        let (taps, taken_taps) = HeapRb::new(8).split();
        let microphone = Microphone::new(taken_taps);
        let speaker = Speaker::new(taken_feeds);
        let (ready_out, ready) = bounded(1);
        let to_self = orders.clone();
        let thread = std::thread::Builder::new()
            .name("headset".into())
            .spawn(move || {
                let mut supervisor = Supervisor::new(config, ways, to_self, events_out, feeds, taps);
                let opened = supervisor.open_all();
                let go = opened.is_ok();
                if ready_out.send(opened).is_ok() && go {
                    supervisor.run(&inbox);
                }
            })
            .map_err(|error| HeadsetError::System { why: error.to_string() })?;
        let silent = |_| HeadsetError::System { why: "the devices did not open within 10 s".into() };
        ready.recv_timeout(std::time::Duration::from_secs(10)).map_err(silent)??;
        Ok((Self { orders, events, thread: Some(thread) }, microphone, speaker))
    }

    /// What happened to the devices, in order.
    pub const fn events(&self) -> &Receiver<HeadsetEvent> {
        &self.events
    }
}

impl Drop for Headset {
    fn drop(&mut self) {
        // The supervisor drains its inbox all the time, so there is room.
        let closed = self.orders.send(Order::Close).is_ok();
        if let (true, Some(thread)) = (closed, self.thread.take()) {
            drop(thread.join());
        }
    }
}

/// One way's stream, while it runs.
struct Live {
    /// Held for its `Drop`.
    running: Running,
    counters: std::sync::Arc<Counters>,
    watchdog: Watchdog,
}

struct Supervisor {
    config: HeadsetConfig,
    ways: Ways,
    to_self: Sender<Order>,
    events: Sender<HeadsetEvent>,
    feeds: HeapProd<(PlaybackFeed, Converter)>,
    taps: HeapProd<(CaptureTap, Converter)>,
    started: Instant,
    /// Rises with each stream opened, so that trouble of an old one is not held against a new one.
    generation: u64,
    playback: Option<(u64, Live)>,
    capture: Option<(u64, Live)>,
    /// Capture and playback were said to be missing.
    told_missing: [bool; 2],
    survey: Survey,
    /// When a better device that did not open is tried again.
    better_at: Tick,
    retry_at: Tick,
}

impl Supervisor {
    fn new(
        config: HeadsetConfig,
        ways: Ways,
        to_self: Sender<Order>,
        events: Sender<HeadsetEvent>,
        feeds: HeapProd<(PlaybackFeed, Converter)>,
        taps: HeapProd<(CaptureTap, Converter)>,
    ) -> Self {
        Self {
            config,
            ways,
            to_self,
            events,
            feeds,
            taps,
            started: Instant::now(),
            generation: 0,
            playback: None,
            capture: None,
            told_missing: [false; 2],
            survey: Survey::default(),
            better_at: Tick::ZERO,
            retry_at: Tick::ZERO,
        }
    }

    fn now(&self) -> Tick {
        Tick::ZERO + Span::from(self.started.elapsed())
    }

    fn wanted(&self, way: Way) -> Option<&str> {
        match way {
            Way::Capture => self.config.input.as_deref(),
            Way::Playback => self.config.output.as_deref(),
        }
    }

    fn candidates(&self, way: Way) -> Vec<String> {
        let second = self.config.instead.as_ref().filter(|_| way == Way::Playback);
        let wanted: Vec<String> =
            self.wanted(way).into_iter().chain(second.map(String::as_str)).map(str::to_owned).collect();
        self.survey.candidates(way, &wanted)
    }

    fn open_all(&mut self) -> Result<(), HeadsetError> {
        self.survey = Survey::take(&cpal::default_host())?;
        let mut failed = Vec::new();
        for way in self.ways.list() {
            if let Err(error) = self.open(*way) {
                failed.push((*way, error));
            }
        }
        if failed.len() < self.ways.list().len() {
            for (way, error) in failed {
                self.tell(HeadsetEvent::Lost { way, why: error.to_string() });
            }
            return Ok(());
        }
        failed.pop().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Opens one way on the first device that does: the wanted one, the system's choice, or any other.
    fn open(&mut self, way: Way) -> Result<(), HeadsetError> {
        let mut last = HeadsetError::NoDevice { way };
        for id in self.candidates(way) {
            match self.open_one(way, &id) {
                Ok(()) => {
                    self.note_whether_missing(way, &id);
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Tells once that the wanted device is missing, now that the one of this id was opened.
    fn note_whether_missing(&mut self, way: Way, id: &str) {
        let wanted = self.wanted(way).map(str::to_owned);
        let missing = wanted.filter(|wanted| self.survey.find(way, wanted).is_none_or(|found| found != id));
        let told = &mut self.told_missing[usize::from(way == Way::Playback)];
        let before = core::mem::replace(told, missing.is_some());
        if let (Some(wanted), false) = (missing, before) {
            self.tell(HeadsetEvent::Missing { way, wanted });
        }
    }

    fn open_one(&mut self, way: Way, id: &str) -> Result<(), HeadsetError> {
        self.generation += 1;
        let generation = self.generation;
        let to_self = self.to_self.clone();
        // A device that reports without end must not fill memory; the watchdog sees what is lost here.
        let trouble = move |what| drop(to_self.try_send(Order::Trouble(way, generation, what)));
        let (running, counters) = match way {
            Way::Playback => {
                let (running, feed) = open_playback(id, trouble)?;
                let counters = std::sync::Arc::clone(&feed.counters);
                let converter = converter(way, &running, self.config.call_rate, SampleRate(running.rate))?;
                drop(self.feeds.try_push((feed, converter)));
                (running, counters)
            }
            Way::Capture => {
                let (running, tap) = open_capture(id, trouble)?;
                let counters = std::sync::Arc::clone(&tap.counters);
                let converter = converter(way, &running, SampleRate(running.rate), self.config.call_rate)?;
                drop(self.taps.try_push((tap, converter)));
                (running, counters)
            }
        };
        self.tell(HeadsetEvent::Opened { way, device: running.device.clone(), rate: running.rate });
        let live = Live { running, counters, watchdog: Watchdog::new(self.now()) };
        if let Some((_, old)) = self.slot(way).replace((generation, live)) {
            bury(old.running);
        }
        Ok(())
    }

    fn tell(&self, event: HeadsetEvent) {
        drop(self.events.try_send(event));
    }

    fn slot(&mut self, way: Way) -> &mut Option<(u64, Live)> {
        match way {
            Way::Playback => &mut self.playback,
            Way::Capture => &mut self.capture,
        }
    }

    fn lose(&mut self, way: Way, why: String) {
        if let Some((_, live)) = self.slot(way).take() {
            bury(live.running);
        }
        self.tell(HeadsetEvent::Lost { way, why });
        self.retry_at = self.now();
    }

    fn run(&mut self, inbox: &Receiver<Order>) {
        let over = self.watch();
        loop {
            match inbox.recv_timeout(LOOK_EVERY.as_std()) {
                Ok(Order::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Order::Trouble(way, generation, what)) => self.trouble(way, generation, what),
                Ok(Order::Survey(survey)) => self.surveyed(*survey),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.look();
        }
        drop(over);
        for way in [Way::Playback, Way::Capture] {
            if let Some((_, live)) = self.slot(way).take() {
                bury(live.running);
            }
        }
    }

    /// Asks the system again and again which devices there are, on a thread of its own, since it may keep us waiting; until what is given
    /// is dropped.
    fn watch(&self) -> Sender<()> {
        let (over, ended) = bounded(0);
        let to_self = self.to_self.clone();
        let spawned = std::thread::Builder::new().name("headset-watch".into()).spawn(move || {
            let mut host = None;
            while matches!(ended.recv_timeout(SURVEY_EVERY.as_std()), Err(RecvTimeoutError::Timeout)) {
                // A sound server that went away is asked for anew.
                host = match Survey::take(host.get_or_insert_with(cpal::default_host)) {
                    Ok(survey) => {
                        drop(to_self.try_send(Order::Survey(Box::new(survey))));
                        host
                    }
                    Err(error) => {
                        tracing::debug!(%error, "which devices there are is unknown");
                        None
                    }
                };
            }
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "devices that come and go will not be followed");
        }
        over
    }

    /// What there is now: a device that is gone is left, a wanted one that is back is taken, and the system's choice is followed.
    fn surveyed(&mut self, survey: Survey) {
        let (changed, now) = (survey != self.survey, self.now());
        if !changed && now < self.better_at {
            return;
        }
        self.better_at = now + BETTER_EVERY;
        self.survey = survey;
        for way in self.ways.list().iter().copied() {
            let Some(open) = self.slot(way).as_ref().map(|(_, live)| live.running.id.clone()) else {
                // Whatever came may be what is missing.
                self.retry_at = self.now();
                continue;
            };
            let best = self.candidates(way).into_iter().next();
            if !self.survey.has(way, &open) {
                self.lose(way, "it is gone".into());
            } else if let Some(best) = best.filter(|best| *best != open) {
                // The old stream goes on until the new one runs.
                match self.open_one(way, &best) {
                    Ok(()) => self.note_whether_missing(way, &best),
                    Err(error) => tracing::debug!(%way, %error, "the better device does not open"),
                }
            }
        }
    }

    fn trouble(&mut self, way: Way, generation: u64, what: Trouble) {
        if self.slot(way).as_ref().is_none_or(|(open, _)| *open != generation) {
            return;
        }
        match what {
            Trouble::Died(why) => self.lose(way, why),
            Trouble::Passing(why) => self.tell(HeadsetEvent::Trouble { way, why }),
        }
    }

    fn look(&mut self) {
        let now = self.now();
        for way in [Way::Playback, Way::Capture] {
            let dead = self
                .slot(way)
                .as_mut()
                .is_some_and(|(_, live)| live.watchdog.is_dead(now, live.counters.read().callbacks));
            if dead {
                self.lose(way, "it fell silent".into());
            }
        }
        if now < self.retry_at {
            return;
        }
        for way in self.ways.list().iter().copied() {
            if self.slot(way).is_none()
                && let Err(error) = self.open(way)
            {
                tracing::debug!(%way, %error, "the device is still away");
                self.retry_at = now + RETRY_EVERY;
            }
        }
    }
}

/// Between the call's rate and the device's.
fn converter(way: Way, running: &Running, from: SampleRate, to: SampleRate) -> Result<Converter, HeadsetError> {
    let refused =
        |error: ResampleError| HeadsetError::Refused { way, device: running.device.clone(), why: error.to_string() };
    Converter::new(from, to).map_err(refused)
}

/// Drops a stream on a thread of its own: a dead sound server may keep the drop waiting.
fn bury(running: Running) {
    let spawned = std::thread::Builder::new().name("headset-close".into()).spawn(move || drop(running.stream));
    if let Err(error) = spawned {
        tracing::warn!(%error, "a sound stream could not be closed in the background");
    }
}
