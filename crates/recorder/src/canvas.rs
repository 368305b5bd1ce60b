//! The last seconds of both sides, interleaved, before and after they are written: what comes late is still put in place.

use std::collections::VecDeque;

use offhook_plan::tap::Side;

use crate::wav::{FRAME_BYTES, HEADER_BYTES};

/// Growth by more than this (10 s) in one step does not go through memory.
const LEAP_FRAMES: u64 = 80_000;

/// Memory that a window begins with, and is left with when it has become short: what both sides say between two flushes, and
/// what is in flight.
const ROOM_BYTES: usize = 10 * 1_024;

/// A longer window's memory grows by this: an eighth of a second. Doubled, it would mostly be half empty.
const GROWTH_BYTES: usize = 2_048;

/// What is to be written before the window.
#[derive(Debug)]
enum Queued {
    /// From this frame.
    Bytes(u64, Vec<u8>),
    /// From this frame to that.
    Silence(u64, u64),
}

/// A window of frames; everything not placed is silence.
#[derive(Debug)]
pub struct Canvas {
    silence: u8,
    /// Writes begin at multiples of this many frames, and end there or at the end of the window.
    grain: u64,
    /// The frame that `bytes` begins with.
    base: u64,
    bytes: Vec<u8>,
    /// The first frame that is not on disk as it is here.
    dirty: u64,
    queue: VecDeque<Queued>,
}

/// Bytes to be written to a recording's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dirty<'a> {
    /// Where, from the start of the file.
    pub offset: u64,
    /// What.
    pub bytes: &'a [u8],
}

impl Canvas {
    pub fn new(silence: u8, grain: u64) -> Self {
        let bytes = Vec::with_capacity(ROOM_BYTES);
        Self { silence, grain, base: 0, bytes, dirty: 0, queue: VecDeque::new() }
    }

    /// Frames from the start of the recording to the end of the window.
    pub fn frames(&self) -> u64 {
        self.base + self.bytes.len() as u64 / FRAME_BYTES
    }

    /// The first frame that can still be changed.
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// Puts one side's bytes at `frame`, which lies in the window or after it.
    pub fn place(&mut self, side: Side, frame: u64, payload: impl ExactSizeIterator<Item = u8>) {
        let frame = frame.max(self.base);
        self.pad_to(frame + payload.len() as u64);
        self.dirty = self.dirty.min(frame);
        let at = ((frame - self.base) * FRAME_BYTES) as usize;
        // As numbers of 16 bits, so that many frames are put in place at once.
        let (kept, shift) = if side == Side::Heard { (0xff00, 0) } else { (0x00ff, 8) };
        let (frames, _) = self.bytes[at..].as_chunks_mut();
        for (frame, byte) in frames.iter_mut().zip(payload) {
            *frame = (u16::from_le_bytes(*frame) & kept | u16::from(byte) << shift).to_le_bytes();
        }
    }

    /// Lengthens the window with silence up to `frame`. A leap too long for memory begins the window anew: what was not on
    /// disk yet and the silence between go to the queue.
    pub fn pad_to(&mut self, frame: u64) {
        let end = self.frames();
        if frame > end + LEAP_FRAMES {
            let end = end.next_multiple_of(self.grain);
            self.lengthen_to(end);
            if let Some(Dirty { bytes, .. }) = self.window_dirty() {
                let bytes = bytes.to_vec();
                self.queue.push_back(Queued::Bytes(self.dirty_from(), bytes));
            }
            let base = self.floor(frame - LEAP_FRAMES);
            self.queue_silence(end, base);
            self.bytes.clear();
            (self.base, self.dirty) = (base, base);
        }
        if frame > self.frames() {
            self.lengthen_to(frame);
        }
    }

    fn lengthen_to(&mut self, frame: u64) {
        let length = ((frame - self.base) * FRAME_BYTES) as usize;
        if length > self.bytes.capacity() {
            self.bytes.reserve_exact(length.next_multiple_of(GROWTH_BYTES) - self.bytes.len());
        }
        self.bytes.resize(length, self.silence);
    }

    /// Ends the window at `frame`, for good.
    pub fn cut_to(&mut self, frame: u64) {
        self.bytes.truncate((frame.saturating_sub(self.base) * FRAME_BYTES) as usize);
        self.base = self.base.min(frame);
        self.dirty = self.dirty.min(frame);
    }

    /// What is to be written next. `silence` is a run of the codec's silent byte, written as often as needed.
    pub fn dirty<'a>(&'a self, silence: &'a [u8]) -> Option<Dirty<'a>> {
        match self.queue.front() {
            Some(Queued::Bytes(frame, bytes)) => Some(Dirty { offset: offset_of(*frame), bytes }),
            Some(&Queued::Silence(from, to)) => {
                let length = silence.len().min(((to - from) * FRAME_BYTES) as usize);
                Some(Dirty { offset: offset_of(from), bytes: &silence[..length] })
            }
            None => self.window_dirty(),
        }
    }

    /// What [`Canvas::dirty`] gave, `bytes` long, is on disk.
    pub fn written(&mut self, bytes: usize) {
        match self.queue.pop_front() {
            Some(Queued::Silence(from, to)) => {
                let from = from + bytes as u64 / FRAME_BYTES;
                if from < to {
                    self.queue.push_front(Queued::Silence(from, to));
                }
            }
            Some(Queued::Bytes(..)) => {}
            None => self.dirty = self.frames(),
        }
    }

    /// Bytes in memory that are not on disk.
    pub fn unwritten(&self) -> usize {
        self.window_dirty().map_or(0, |dirty| dirty.bytes.len())
    }

    /// Lets go of all but the last `frames`; gives the range of those that never came to disk, which will be silence there.
    pub fn keep(&mut self, frames: u64) -> Option<(u64, u64)> {
        let base = self.floor(self.frames().saturating_sub(frames));
        if base <= self.base {
            return None;
        }
        let hole = (self.dirty < base).then_some((self.dirty_from(), base));
        self.begin_at(base);
        self.dirty = self.dirty.max(base);
        if let Some((from, to)) = hole {
            self.queue_silence(from, to);
        }
        hole
    }

    /// Lets go of what lies before `frame`, which nothing will change any more, as far as it is on disk.
    pub fn let_go(&mut self, frame: u64) {
        let base = self.floor(frame.min(self.dirty));
        if base > self.base {
            self.begin_at(base);
        }
    }

    fn begin_at(&mut self, base: u64) {
        self.bytes.drain(..((base - self.base) * FRAME_BYTES) as usize);
        self.base = base;
        self.bytes.shrink_to(ROOM_BYTES);
    }

    fn queue_silence(&mut self, from: u64, to: u64) {
        match self.queue.back_mut() {
            Some(Queued::Silence(_, end)) if *end == from => *end = to,
            _ => self.queue.push_back(Queued::Silence(from, to)),
        }
    }

    fn window_dirty(&self) -> Option<Dirty<'_>> {
        let from = self.dirty_from();
        let bytes = &self.bytes[((from - self.base) * FRAME_BYTES) as usize..];
        (self.dirty < self.frames()).then(|| Dirty { offset: offset_of(from), bytes })
    }

    /// Where the next write begins.
    fn dirty_from(&self) -> u64 {
        self.floor(self.dirty).max(self.base)
    }

    const fn floor(&self, frame: u64) -> u64 {
        frame - frame % self.grain
    }
}

const fn offset_of(frame: u64) -> u64 {
    HEADER_BYTES as u64 + frame * FRAME_BYTES
}
