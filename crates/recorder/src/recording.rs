//! One recording: two sides on one time line, in; bytes at offsets, a gap list and figures, out.

use std::collections::VecDeque;

use offhook_plan::tap::{Side, TapHeader};
use offhook_units::{Span, Tick};

use crate::canvas::{Canvas, Dirty};
use crate::gaps::{Gap, GapReason, uncovered};
use crate::manifest::RecordingSpec;
use crate::side::{SideCounts, SideTrack, frame_at};
use crate::turn::coding_of;
use crate::wav::{HEADER_BYTES, WavHeader};

/// How often a recording's data and then its header go to disk.
pub const FLUSH_EVERY: Span = Span::from_ms(500);

/// How much written speech stays in memory at most while a side says nothing, so that what comes late is put in place: 64 KB a
/// recording. What both sides have passed is let go of at once.
pub const KEEP: Span = Span::from_s(4);

/// How much unwritten speech is held while the disk refuses; what is older becomes a gap.
pub const HOLD_MAX: Span = Span::from_s(10);

/// How far ahead of its arrival a packet may lie; a sender faster than time is cut there.
pub const LEAD_MAX: Span = Span::from_s(4);

/// Longest recording in frames: 72 hours, so that sizes fit into a WAV header's 32 bits.
pub const FRAMES_MAX: u64 = 72 * 3_600 * 8_000;

const _: () = assert!(FRAMES_MAX * 2 + (HEADER_BYTES as u64) < u32::MAX as u64, "a WAV header counts bytes in 32 bits");
const _: () = assert!(KEEP.as_us() > 2 * FLUSH_EVERY.as_us(), "late packets find their place still in memory");

/// Ranges of frames that never came to disk; further ones are joined to the last.
const DISK_GAPS_MAX: usize = 64;

/// The machine of one recording.
#[derive(Debug)]
pub struct Recording {
    spec: RecordingSpec,
    left: SideTrack,
    right: SideTrack,
    canvas: Canvas,
    /// Frames lost to a refusing disk.
    disk: Vec<(u64, u64)>,
    ring_dropped: u64,
    /// Gaps already given out for the journal: left, right.
    told: [usize; 2],
    told_disk: Option<(u64, u64)>,
    /// Pauses and their ends that have not been reached on the time line.
    turns: VecDeque<(Tick, Turn)>,
    /// Nothing is taken in.
    paused: bool,
}

/// What becomes of a recording at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Pause,
    Resume,
}

/// What is known of a recording when it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Frames of the time line.
    pub frames: u64,
    /// Figures of both sides, left first.
    pub counts: [SideCounts; 2],
    /// SHA-256 of both sides' payloads.
    pub payload_sha256: [[u8; 32]; 2],
    /// Frames of each side that are speech on disk.
    pub covered: [u64; 2],
    /// All listed gaps, in order of time.
    pub gaps: Vec<Gap>,
    /// Gaps that found no room in the lists.
    pub gaps_unlisted: u64,
    /// Records lost in full tap rings while this recording was open.
    pub ring_dropped: u64,
}

impl Recording {
    /// Begins a recording at `spec.started`.
    pub fn new(spec: RecordingSpec) -> Self {
        Self::with_grain(spec, 1)
    }

    /// As [`Recording::new`]; writes begin at multiples of `grain` frames, and end there or at the end of what there is.
    pub fn with_grain(spec: RecordingSpec, grain: u64) -> Self {
        let side = |side| SideTrack::new(side, spec.codec, spec.started);
        Self {
            left: side(Side::Heard),
            right: side(Side::Sent),
            canvas: Canvas::new(coding_of(spec.codec).silence(), grain),
            disk: Vec::new(),
            ring_dropped: 0,
            told: [0, 0],
            told_disk: None,
            turns: VecDeque::new(),
            paused: false,
            spec,
        }
    }

    /// What was asked for.
    pub const fn spec(&self) -> &RecordingSpec {
        &self.spec
    }

    /// Takes nothing in that comes after `at`, up to [`Recording::resume`]: that stretch is a gap of both sides
    /// ([`GapReason::Pause`]). What came before may still be given to it.
    pub fn pause(&mut self, at: Tick) {
        self.turns.push_back((at, Turn::Pause));
    }

    /// Takes in again what comes from `at` on.
    pub fn resume(&mut self, at: Tick) {
        self.turns.push_back((at, Turn::Resume));
    }

    /// Whether it is paused, as far as its time line has come.
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Since which frame of the left and of the right side it is paused, where it is.
    pub fn pausing(&self) -> Option<[u64; 2]> {
        Some([self.left.pausing()?, self.right.pausing()?])
    }

    /// Everything that came at the instant `at` is in. A record of the very instant of a pause came before it.
    fn reach(&mut self, at: Tick, is_in: bool) {
        while let Some((due, turn)) = self.turns.front().copied() {
            match turn {
                Turn::Pause if due < at || due == at && is_in => {
                    if !self.paused {
                        self.left.pause(due, &mut self.canvas);
                        self.right.pause(due, &mut self.canvas);
                    }
                }
                Turn::Resume if due <= at => {
                    self.left.resume(due);
                    self.right.resume(due);
                }
                Turn::Pause | Turn::Resume => return,
            }
            self.paused = turn == Turn::Pause;
            self.turns.pop_front();
        }
    }

    /// Takes one record of a tap ring.
    pub fn receive(&mut self, header: &TapHeader, payload: &[u8]) {
        self.reach(header.at, false);
        if self.paused {
            return;
        }
        let side = match header.side {
            Side::Heard => &mut self.left,
            Side::Sent => &mut self.right,
        };
        side.receive(header, payload, &mut self.canvas);
    }

    /// The ring that feeds this recording lost `count` records before `at`; they may have been of this recording.
    pub fn ring_dropped(&mut self, at: Tick, count: u32) {
        self.ring_dropped += u64::from(count);
        self.left.ring_dropped(at);
        self.right.ring_dropped(at);
    }

    /// Places what has waited long enough and lets the time line grow to `now`. Call it when all records up to `now` are in.
    pub fn advance(&mut self, now: Tick) {
        self.reach(now, true);
        self.left.release(now, false, &mut self.canvas);
        self.right.release(now, false, &mut self.canvas);
        self.canvas.pad_to(frame_at(self.spec.started, now.as_us() as i64));
    }

    /// Ends the time line at `at`, or with the last packet where that is later. Nothing may be received afterwards.
    pub fn end(&mut self, at: Tick) {
        self.reach(at, true);
        self.left.release(at, true, &mut self.canvas);
        self.right.release(at, true, &mut self.canvas);
        let spoken = self.left.decided().max(self.right.decided());
        let frames = frame_at(self.spec.started, at.as_us() as i64).max(spoken);
        self.canvas.pad_to(frames);
        self.canvas.cut_to(frames);
        self.left.end(frames);
        self.right.end(frames);
    }

    /// What is to be written next, if anything. `silence` is a run of the codec's silent byte to write from.
    pub fn dirty<'a>(&'a self, silence: &'a [u8]) -> Option<Dirty<'a>> {
        self.canvas.dirty(silence)
    }

    /// What [`Recording::dirty`] gave, `bytes` long, is on disk.
    pub fn written(&mut self, bytes: usize) {
        self.canvas.written(bytes);
        if self.canvas.unwritten() == 0 {
            self.canvas.keep(frames_of(KEEP));
            // Nothing is placed before the end of its side's last packet.
            self.canvas.let_go(self.left.decided().min(self.right.decided()));
        }
    }

    /// The disk refused. What memory cannot hold any more becomes a gap.
    pub fn refused(&mut self) {
        self.hold(KEEP + HOLD_MAX);
    }

    /// All that the disk did not take yet becomes a gap.
    pub fn forget(&mut self) {
        self.hold(Span::ZERO);
    }

    fn hold(&mut self, most: Span) {
        let Some((from, to)) = self.canvas.keep(frames_of(most)) else { return };
        let full = self.disk.len() == DISK_GAPS_MAX;
        match self.disk.last_mut() {
            Some(last) if full || last.1 == from => last.1 = to,
            _ => self.disk.push((from, to)),
        }
    }

    /// Bytes in memory that are not on disk.
    pub fn unwritten(&self) -> usize {
        self.canvas.unwritten()
    }

    /// Frames of the time line so far.
    pub fn frames(&self) -> u64 {
        self.canvas.frames()
    }

    /// The gaps that the journal does not have yet.
    pub fn news(&self) -> Vec<Gap> {
        let mut news = Vec::new();
        for (side, told) in [&self.left, &self.right].into_iter().zip(self.told) {
            news.extend_from_slice(&side.gaps().list()[told..]);
        }
        if let Some(&(from, to)) = self.disk.last().filter(|last| Some(**last) != self.told_disk) {
            news.extend([Side::Heard, Side::Sent].map(|side| Gap { side, from, to, why: GapReason::Disk }));
        }
        news
    }

    /// What [`Recording::news`] gave is in the journal.
    pub fn told(&mut self) {
        self.told = [&self.left, &self.right].map(|side| side.gaps().list().len());
        self.told_disk = self.disk.last().copied();
    }

    /// The file's header as of now; true once everything dirty is written.
    pub fn header(&self) -> WavHeader {
        let packets = |side: &SideTrack| u32::try_from(side.counts().packets).unwrap_or(u32::MAX);
        WavHeader {
            codec: self.spec.codec,
            frames: self.canvas.frames(),
            id: self.spec.id,
            call: self.spec.call,
            started: self.spec.started,
            decided: [self.left.decided(), self.right.decided()],
            packets: [packets(&self.left), packets(&self.right)],
            behind: 0,
        }
    }

    /// What is known after [`Recording::end`].
    pub fn summary(&self) -> Summary {
        let frames = self.canvas.frames();
        let mut gaps = Vec::new();
        let mut covered = [frames; 2];
        for (track, covered) in [&self.left, &self.right].into_iter().zip(&mut covered) {
            let own = track.gaps();
            *covered -= own.frames().min(*covered);
            gaps.extend_from_slice(own.list());
            for &range in &self.disk {
                for (from, to) in uncovered(range, own.list()) {
                    *covered -= (to - from).min(*covered);
                    gaps.push(Gap { side: track.side(), from, to, why: GapReason::Disk });
                }
            }
        }
        gaps.sort_by_key(|gap| (gap.from, gap.side));
        Summary {
            frames,
            counts: [self.left.counts(), self.right.counts()],
            payload_sha256: [self.left.payload_hash(), self.right.payload_hash()],
            covered,
            gaps,
            gaps_unlisted: self.left.gaps().unlisted() + self.right.gaps().unlisted(),
            ring_dropped: self.ring_dropped,
        }
    }
}

const fn frames_of(span: Span) -> u64 {
    span.as_us() / 125
}
