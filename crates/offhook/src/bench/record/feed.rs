//! The packets of many calls into the recorder's ring at the pace of speech, and a look at what lies on the disk meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::{Receiver, unbounded};
use offhook_codec::opus;
use offhook_loadgen::process;
use offhook_loadgen::statistics::Times;
use offhook_net::Clock;
use offhook_plan::CodecKind;
use offhook_plan::tap::{HAND_OVER_EVERY, Side, TapHeader, TapWriter, tap_ring};
use offhook_recorder::{
    KeyRing, Protection, RecorderEvent, RecorderStats, RecordingSpec, Writer, WriterHandle, frames_in, recording_path,
};
use offhook_units::{CallId, LegId, RecordingId, SampleRate, Span, Tick};

use super::report::{RecordReport, Recorder};
use crate::phone::entropy;

/// Bytes of a second of a recording: two sides of 8,000.
pub const RATE_BYTES: u64 = 16_000;
/// Calls are spread over so many slots, so that packets come evenly.
const SLOTS: u64 = 20;
const SLOT: Span = Span::from_ms(1);
/// Between two packets of a side.
const PACKET_EVERY: Span = Span::from_ms(20);
/// How often the files are looked at, and how many of them.
const LOOK_EVERY: Span = Span::from_ms(100);
const FILES_LOOKED_AT: u64 = 8;
/// How often a line of figures is shown.
const TELL_EVERY: Span = Span::from_s(1);
/// Within so long everything has to be closed.
const CLOSED_WITHIN: Duration = Duration::from_mins(2);
/// A gap that is longer is no matter of where in its 20 ms a call began or ended.
const GAP_MS_MAX: u64 = 40;
/// Kinds of failure that are told apart.
const FAILURES_MAX: usize = 64;

/// What is fed.
#[derive(Debug, Clone)]
pub struct Feed {
    /// Calls.
    pub streams: u32,
    /// How long they talk.
    pub lasting: Span,
    /// In which codec.
    pub codec: CodecKind,
    /// Whether recordings are sealed.
    pub sealed: bool,
    /// The ring.
    pub ring_bytes: usize,
    /// Nothing is shown meanwhile.
    pub quiet: bool,
}

/// CPU seconds that threads of the recorder have had.
fn recorder_cpu_s() -> f64 {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let own = threads
        .filter(|thread| fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.starts_with("recorder")));
    let ns = own.filter_map(|thread| {
        let line = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        line.split(' ').next()?.parse::<u64>().ok()
    });
    ns.sum::<u64>() as f64 / 1e9
}

/// A second of packets at most: of Opus as a browser makes it, noise of the others.
fn payloads(codec: CodecKind) -> anyhow::Result<Vec<Vec<u8>>> {
    if codec != CodecKind::Opus {
        let mut noise = vec![0; if codec == CodecKind::L16 { 320 } else { 160 }];
        entropy()?.fill(&mut noise);
        return Ok(vec![noise]);
    }
    let settings = opus::Settings { bitrate: 32_000, ..opus::Settings::voice(SampleRate::FULL) };
    let mut encoder = opus::Encoder::new(&settings).context("an encoder of Opus")?;
    let saw = |n: usize, hertz: usize| (n * hertz % 48_000) as i32 / 6 - 4_000;
    let pcm: Vec<i16> = (0..48_000).map(|n| (saw(n, 140) / 2 + saw(n, 610) / 8) as i16).collect();
    let mut packets = Vec::new();
    for frame in pcm.chunks_exact(960) {
        let mut out = vec![0; opus::PACKET_BYTES_MAX];
        if let opus::Encoded::Packet(bytes) = encoder.encode(frame, &mut out).context("encoding Opus")? {
            out.truncate(bytes);
            packets.push(out);
        }
    }
    Ok(packets)
}

/// The calls, as a media worker would speak for them.
struct Speech<'a> {
    feed: &'a Feed,
    payloads: Vec<Vec<u8>>,
    tap: TapWriter,
    began: Tick,
    /// Records since the last one that found room.
    dropped_before: u32,
    pushed: u64,
    dropped: u64,
    late: Times,
}

impl Speech<'_> {
    /// The packets of one slot.
    fn slot(&mut self, number: u64, due: Tick) {
        let (slot, turn) = (number % SLOTS, number / SLOTS);
        let payload = &self.payloads[turn as usize % self.payloads.len()];
        for id in (slot..u64::from(self.feed.streams)).step_by(SLOTS as usize) {
            for side in [Side::Heard, Side::Sent] {
                let header = TapHeader {
                    recording: RecordingId(id + 1),
                    leg: LegId(id + 1),
                    at: due,
                    side,
                    payload_type: 0,
                    codec: Some(self.feed.codec),
                    seq: turn as u16,
                    timestamp: turn as u32 * (self.feed.codec.clock() / 50),
                    ssrc: id as u32 * 2 + u32::from(side == Side::Sent),
                    payload_bytes: payload.len() as u16,
                    dropped_before: self.dropped_before,
                };
                if self.tap.push(&header, payload) {
                    self.dropped_before = 0;
                    self.pushed += 1;
                } else {
                    self.dropped_before += 1;
                    self.dropped += 1;
                }
            }
        }
    }
}

/// What is seen of the files while they grow.
struct Look {
    /// Files that are looked at, with how much of their recording's time lies before the first packet.
    files: Vec<PathBuf>,
    behind: Times,
}

impl Look {
    fn new(folder: &Path, feed: &Feed, began: Tick) -> Self {
        let step = (u64::from(feed.streams) / FILES_LOOKED_AT).max(1);
        let ids = (0..u64::from(feed.streams)).step_by(step as usize).take(FILES_LOOKED_AT as usize);
        let files = ids.map(|id| {
            let mut path = folder.join(recording_path(RecordingId(id + 1), began));
            if feed.sealed {
                path.set_extension("sealed");
            }
            path
        });
        Self { files: files.collect(), behind: Times::default() }
    }

    /// How much of what was said is in no file.
    fn look(&mut self, said: Span) {
        for path in &self.files {
            let length = fs::metadata(path).map_or(0, |file| file.len());
            // 8,000 frames a second.
            let written = Span::from_us(frames_in(path, length) * 125);
            self.behind.note(said.saturating_sub(written));
        }
    }
}

/// Runs it in `folder`, which is empty.
///
/// # Errors
/// The recorder cannot be started.
pub fn run(feed: &Feed, folder: &Path, stop: &Receiver<()>) -> anyhow::Result<RecordReport> {
    let clock = Clock::start(None);
    let (tap, out) = tap_ring(feed.ring_bytes);
    let (told, events) = unbounded();
    let protection = if feed.sealed {
        let mut entropy = entropy()?;
        let keys = KeyRing::parse(&KeyRing::fresh_line(&mut entropy)).context("a key for this run")?;
        Some(Protection { keys, entropy })
    } else {
        None
    };
    let writer_clock = clock.clone();
    let tell = move |event| drop(told.send(event));
    let writer = Writer::start_sealed(folder, vec![out], tell, move || writer_clock.now(), protection)
        .with_context(|| format!("starting the recorder in {}", folder.display()))?;
    let began = clock.now();
    for id in 1..=u64::from(feed.streams) {
        let (id, call, codec) = (RecordingId(id), CallId(id), feed.codec.recorded_as());
        writer.open(RecordingSpec { id, call, started: began, meta: BTreeMap::new(), codec });
    }
    // All files are open before anybody speaks, as they are where calls come one by one.
    let deadline = Instant::now() + CLOSED_WITHIN;
    while writer.stats().open + writer.stats().failed < u64::from(feed.streams) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (opened, opening_cpu_s) = (clock.now(), recorder_cpu_s());
    let own_before = process::usage(std::process::id()).unwrap_or_default();
    let ticks_before = process::machine_ticks().unwrap_or_default();
    let mut speech = Speech {
        feed,
        payloads: payloads(feed.codec)?,
        tap,
        began: opened,
        dropped_before: 0,
        pushed: 0,
        dropped: 0,
        late: Times::default(),
    };
    let mut look = Look::new(folder, feed, began);
    let spoke = speak(&clock, &mut speech, &mut look, &writer, opened.since(began), stop);
    let talked_cpu_s = recorder_cpu_s() - opening_cpu_s;
    let own = process::usage(std::process::id()).unwrap_or_default().cpu_s - own_before.cpu_s;
    let ticks = process::machine_ticks().unwrap_or_default();
    let Speech { mut tap, pushed, dropped, late, .. } = speech;
    while tap.is_holding() {
        tap.hand_over();
        std::thread::sleep(Duration::from_millis(1));
    }
    let closing = Instant::now();
    let end = clock.now();
    for id in 1..=u64::from(feed.streams) {
        writer.close(RecordingId(id), end);
    }
    let closed = wait_closed(feed, &events, closing);
    let closing_cpu_s = recorder_cpu_s() - opening_cpu_s - talked_cpu_s;
    let stats = writer.stats();
    writer.shutdown();
    let synced = Instant::now();
    let disk = File::open(folder).context("opening the folder")?;
    rustix::fs::syncfs(&disk).context("writing everything to the disk")?;
    let minutes = seconds(spoke) / 60.0 * f64::from(feed.streams);
    let all_ticks = (ticks.1 - ticks_before.1).max(1);
    let RecorderStats { bytes_written, disk_errors, turn_us_max, orphans, .. } = stats;
    let mut report = RecordReport {
        folder: folder.display().to_string(),
        codec: feed.codec.name().to_owned(),
        sealed: feed.sealed,
        streams: feed.streams,
        lasted_s: seconds(spoke),
        packets: pushed,
        dropped: dropped + orphans,
        bytes: bytes_written,
        mib_per_s: bytes_written as f64 / (1 << 20) as f64 / seconds(spoke).max(0.001),
        disk_errors,
        closed: closed.count,
        with_gaps: closed.with_gaps,
        failures: closed.failures,
        behind_ms: look.behind.quantiles(),
        closed_ms: closed.took.quantiles(),
        synced_s: synced.elapsed().as_secs_f64(),
        recorder: Recorder {
            cpu_pct: 100.0 * talked_cpu_s / seconds(spoke).max(0.001),
            cpu_s_per_call_minute: talked_cpu_s / minutes.max(1e-9),
            closing_cpu_ms_per_call: 1_000.0 * closing_cpu_s / f64::from(feed.streams),
            turn_ms_max: turn_us_max as f64 / 1_000.0,
        },
        late_ms: late.quantiles(),
        own_cpu_pct: 100.0 * (own - talked_cpu_s).max(0.0) / seconds(spoke).max(0.001),
        machine_idle_pct: 100.0 * (ticks.0 - ticks_before.0) as f64 / all_ticks as f64,
        ..RecordReport::default()
    };
    report.judge();
    Ok(report)
}

/// Speaks until the time is over; says for how long.
fn speak(
    clock: &Clock,
    speech: &mut Speech<'_>,
    look: &mut Look,
    writer: &WriterHandle,
    before: Span,
    stop: &Receiver<()>,
) -> Span {
    let shown = !speech.feed.quiet;
    let on_terminal = std::io::stderr().is_terminal();
    let (mut number, mut next_look, mut next_tell) = (0, LOOK_EVERY, TELL_EVERY);
    let mut handed_over = Span::ZERO;
    let lasting = speech.feed.lasting;
    let ends_after = (lasting.as_us() / PACKET_EVERY.as_us()) * SLOTS;
    while number < ends_after && stop.try_recv().is_err() {
        let due = speech.began + SLOT * number;
        let now = clock.now();
        if now < due {
            std::thread::sleep(due.since(now).as_std());
            continue;
        }
        speech.late.note(now.since(due));
        speech.slot(number, due);
        number += 1;
        let said = SLOT * number;
        if said.saturating_sub(handed_over) >= HAND_OVER_EVERY {
            handed_over = said;
            speech.tap.hand_over();
        }
        if said >= next_look {
            next_look = said + LOOK_EVERY;
            look.look(before + said);
        }
        if said >= next_tell {
            next_tell = said + TELL_EVERY;
            let stats = writer.stats();
            let line = format!(
                "{:7.1} s  {} recordings open, {:.1} MiB written, {} packets lost, {} errors of the disk",
                seconds(said),
                stats.open,
                stats.bytes_written as f64 / (1 << 20) as f64,
                speech.dropped,
                stats.disk_errors
            );
            let mut err = std::io::stderr().lock();
            // A reader that has gone ends nothing.
            let _ = match (shown, on_terminal) {
                (false, _) => Ok(()),
                (true, true) => write!(err, "\r\x1b[K{line}").and_then(|()| err.flush()),
                (true, false) => writeln!(err, "{line}"),
            };
        }
    }
    if shown && on_terminal {
        eprintln!();
    }
    SLOT * number
}

fn seconds(span: Span) -> f64 {
    span.as_us() as f64 / 1e6
}

/// What became of the recordings.
#[derive(Debug, Default)]
struct Closed {
    count: u64,
    with_gaps: u64,
    failures: BTreeMap<String, u64>,
    took: Times,
}

fn wait_closed(feed: &Feed, events: &Receiver<RecorderEvent>, since: Instant) -> Closed {
    let mut closed = Closed::default();
    let mut fail = |why: String| {
        let why = if closed.failures.len() < FAILURES_MAX { why } else { "other".into() };
        *closed.failures.entry(why).or_insert(0) += 1;
    };
    let (mut over, mut with_gaps, mut took) = (0, 0, Times::default());
    while over < u64::from(feed.streams) {
        let Ok(event) = events.recv_timeout(CLOSED_WITHIN.saturating_sub(since.elapsed())) else {
            fail(format!("not closed within {} s", CLOSED_WITHIN.as_secs()));
            break;
        };
        match event {
            RecorderEvent::Closed(manifest) => {
                over += 1;
                took.note(Span::from_us(since.elapsed().as_micros() as u64));
                let is_gap = |from_ms: u64, to_ms: u64| to_ms - from_ms > GAP_MS_MAX;
                // Before the first call speaks all files are opened, and behind the last packet all are closed.
                let own = |why: &str| matches!(why, "before-first-packet" | "after-last-packet");
                let gaps = manifest.gaps.iter().filter(|gap| is_gap(gap.from_ms, gap.to_ms) && !own(gap.why.name()));
                with_gaps += u64::from(gaps.count() > 0);
            }
            RecorderEvent::Failed { id, error } => {
                over += u64::from(id.is_some());
                fail(error);
            }
            RecorderEvent::DiskTrouble { error } => fail(format!("the disk refused: {error}")),
            // These are counted where they happen.
            RecorderEvent::Mended(_) | RecorderEvent::Dropped { .. } | RecorderEvent::DiskRecovered => {}
        }
    }
    closed.count = took.count();
    closed.with_gaps = with_gaps;
    closed.took = took;
    closed
}
