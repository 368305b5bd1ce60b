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
use crate::device::{HeadsetError, Running, Trouble, open_capture, open_playback};
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
    /// The call's rate: what [`Microphone`] gives and [`Speaker`] takes.
    pub call_rate: SampleRate,
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
/// How often the watchdog looks.
const LOOK_EVERY: Span = Span::from_ms(100);

enum Order {
    Trouble(Way, u64, Trouble),
    Close,
}

/// An open pair of devices. Closes them when dropped.
pub struct Headset {
    orders: Sender<Order>,
    events: Receiver<HeadsetEvent>,
    thread: Option<JoinHandle<()>>,
}

impl Headset {
    /// Opens capture and playback and starts them.
    ///
    /// # Errors
    /// [`HeadsetError`] where a device named does not exist, none exists at all, or one refuses. Later losses are events.
    pub fn open(config: HeadsetConfig) -> Result<(Self, Microphone, Speaker), HeadsetError> {
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
                let mut supervisor = Supervisor::new(config, to_self, events_out, feeds, taps);
                let opened = supervisor.open_both();
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
    to_self: Sender<Order>,
    events: Sender<HeadsetEvent>,
    feeds: HeapProd<(PlaybackFeed, Converter)>,
    taps: HeapProd<(CaptureTap, Converter)>,
    started: Instant,
    /// Rises with each stream opened, so that trouble of an old one is not held against a new one.
    generation: u64,
    playback: Option<(u64, Live)>,
    capture: Option<(u64, Live)>,
    retry_at: Tick,
}

impl Supervisor {
    fn new(
        config: HeadsetConfig,
        to_self: Sender<Order>,
        events: Sender<HeadsetEvent>,
        feeds: HeapProd<(PlaybackFeed, Converter)>,
        taps: HeapProd<(CaptureTap, Converter)>,
    ) -> Self {
        Self {
            config,
            to_self,
            events,
            feeds,
            taps,
            started: Instant::now(),
            generation: 0,
            playback: None,
            capture: None,
            retry_at: Tick::ZERO,
        }
    }

    fn now(&self) -> Tick {
        Tick::ZERO + Span::from(self.started.elapsed())
    }

    fn open_both(&mut self) -> Result<(), HeadsetError> {
        self.open(Way::Playback, true)?;
        self.open(Way::Capture, true)
    }

    /// Opens one way; unless `strict`, the default device stands in for a named one that is gone.
    fn open(&mut self, way: Way, strict: bool) -> Result<(), HeadsetError> {
        self.generation += 1;
        let generation = self.generation;
        let to_self = self.to_self.clone();
        // A device that reports without end must not fill memory; the watchdog sees what is lost here.
        let trouble = move |what| drop(to_self.try_send(Order::Trouble(way, generation, what)));
        let wanted = match way {
            Way::Capture => self.config.input.as_deref(),
            Way::Playback => self.config.output.as_deref(),
        };
        let stand_in = |error: &HeadsetError| !strict && matches!(error, HeadsetError::Unknown { .. });
        let (running, counters) = match way {
            Way::Playback => {
                let opened = match open_playback(wanted, trouble.clone()) {
                    Err(error) if stand_in(&error) => open_playback(None, trouble),
                    other => other,
                };
                let (running, feed) = opened?;
                let counters = std::sync::Arc::clone(&feed.counters);
                let converter = converter(way, &running, self.config.call_rate, SampleRate(running.rate))?;
                drop(self.feeds.try_push((feed, converter)));
                (running, counters)
            }
            Way::Capture => {
                let opened = match open_capture(wanted, trouble.clone()) {
                    Err(error) if stand_in(&error) => open_capture(None, trouble),
                    other => other,
                };
                let (running, tap) = opened?;
                let counters = std::sync::Arc::clone(&tap.counters);
                let converter = converter(way, &running, SampleRate(running.rate), self.config.call_rate)?;
                drop(self.taps.try_push((tap, converter)));
                (running, counters)
            }
        };
        self.tell(HeadsetEvent::Opened { way, device: running.device.clone(), rate: running.rate });
        let live = Live { running, counters, watchdog: Watchdog::new(self.now()) };
        match way {
            Way::Playback => self.playback = Some((generation, live)),
            Way::Capture => self.capture = Some((generation, live)),
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
        loop {
            match inbox.recv_timeout(LOOK_EVERY.as_std()) {
                Ok(Order::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Order::Trouble(way, generation, what)) => self.trouble(way, generation, what),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.look();
        }
        for way in [Way::Playback, Way::Capture] {
            if let Some((_, live)) = self.slot(way).take() {
                bury(live.running);
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
        for way in [Way::Playback, Way::Capture] {
            if self.slot(way).is_none()
                && let Err(error) = self.open(way, false)
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
