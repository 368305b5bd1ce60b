//! The bodies of the device callbacks: samples from a ring to the device and back, and nothing else.
//!
//! A ring carries one channel of 16-bit samples at the device's rate. Neither [`PlaybackEnd::render`] nor [`CaptureEnd::take`]
//! allocates, locks, waits or reads a clock; a test with a counting allocator holds them to it.

use std::sync::Arc;

use cpal::{FromSample, Sample};
use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use crate::counters::Counters;

/// How much sound a ring holds at most: 500 ms, so that a stalled side is cut short before delay builds up.
pub const RING_MS: u32 = 500;

/// The device's end of the playback ring.
pub struct PlaybackEnd {
    ring: HeapCons<i16>,
    channels: usize,
    counters: Arc<Counters>,
}

/// Our end of the playback ring.
pub struct PlaybackFeed {
    pub(crate) ring: HeapProd<i16>,
    /// Samples per second of the device.
    pub(crate) rate: u32,
    pub(crate) counters: Arc<Counters>,
}

/// The device's end of the capture ring.
pub struct CaptureEnd {
    ring: HeapProd<i16>,
    channels: usize,
    counters: Arc<Counters>,
}

/// Our end of the capture ring.
pub struct CaptureTap {
    pub(crate) ring: HeapCons<i16>,
    /// Samples per second of the device.
    pub(crate) rate: u32,
    pub(crate) counters: Arc<Counters>,
}

fn capacity(rate: u32) -> usize {
    (rate.max(1_000) as usize * RING_MS as usize) / 1_000
}

/// A ring towards a device of `rate` samples per second and `channels` (at least 1).
pub fn playback_ring(rate: u32, channels: u16) -> (PlaybackFeed, PlaybackEnd) {
    let (feed, end) = HeapRb::new(capacity(rate)).split();
    let counters = Arc::new(Counters::default());
    let end = PlaybackEnd { ring: end, channels: usize::from(channels.max(1)), counters: Arc::clone(&counters) };
    (PlaybackFeed { ring: feed, rate, counters }, end)
}

/// A ring from a device of `rate` samples per second and `channels` (at least 1).
pub fn capture_ring(rate: u32, channels: u16) -> (CaptureEnd, CaptureTap) {
    let (feed, tap) = HeapRb::new(capacity(rate)).split();
    let counters = Arc::new(Counters::default());
    let end = CaptureEnd { ring: feed, channels: usize::from(channels.max(1)), counters: Arc::clone(&counters) };
    (end, CaptureTap { ring: tap, rate, counters })
}

impl PlaybackEnd {
    /// Fills a device buffer of interleaved frames: the ring's one channel on each of the device's, silence where it is empty.
    pub fn render<T: Sample + FromSample<i16>>(&mut self, out: &mut [T]) {
        let frames = out.len() / self.channels;
        let mut block = [0_i16; 256];
        let mut moved = 0;
        let mut buffers = out.chunks_exact_mut(self.channels);
        while moved < frames {
            let want = block.len().min(frames - moved);
            let got = self.ring.pop_slice(&mut block[..want]);
            for (frame, &sample) in buffers.by_ref().take(got).zip(&block[..got]) {
                frame.fill(T::from_sample(sample));
            }
            moved += got;
            if got < want {
                break;
            }
        }
        for frame in buffers {
            frame.fill(T::EQUILIBRIUM);
        }
        self.counters.moved(moved, frames);
    }
}

impl CaptureEnd {
    /// Takes a device buffer of interleaved frames, its channels averaged into one; what finds no room is dropped and counted.
    pub fn take<T: Sample>(&mut self, captured: &[T])
    where
        i16: FromSample<T>,
    {
        let frames = captured.len() / self.channels;
        let mut block = [0_i16; 256];
        let mut moved = 0;
        let mut buffers = captured.chunks_exact(self.channels);
        while moved < frames {
            let want = block.len().min(frames - moved);
            for (slot, frame) in block[..want].iter_mut().zip(buffers.by_ref()) {
                let sum: i32 = frame.iter().map(|&s| i32::from(i16::from_sample(s))).sum();
                *slot = (sum / self.channels as i32) as i16;
            }
            let pushed = self.ring.push_slice(&block[..want]);
            moved += pushed;
            if pushed < want {
                break;
            }
        }
        self.counters.moved(moved, frames);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_channel_is_played_on_both_and_an_empty_ring_is_silence_and_counted() {
        let (mut feed, mut end) = playback_ring(48_000, 2);
        feed.ring.push_slice(&[100, -200]);
        let mut out = [7_i16; 8];
        end.render(&mut out);
        assert_eq!(out, [100, 100, -200, -200, 0, 0, 0, 0]);
        let reading = feed.counters.read();
        assert_eq!((reading.callbacks, reading.frames, reading.xruns, reading.xrun_frames), (1, 2, 1, 2));
    }

    #[test]
    fn two_channels_are_averaged_and_a_full_ring_drops_the_newest_and_counts() {
        let (mut end, mut tap) = capture_ring(1_000, 2);
        end.take(&[100_i16, 300, -8, -4]);
        let mut got = [0; 4];
        assert_eq!(tap.ring.pop_slice(&mut got), 2);
        assert_eq!(got[..2], [200, -6]);
        end.take(&vec![1_i16; 2 * 600]);
        let reading = tap.counters.read();
        assert_eq!((reading.xruns, reading.xrun_frames), (1, 100));
    }

    #[test]
    fn float_devices_get_the_same_samples() {
        let (mut feed, mut end) = playback_ring(8_000, 1);
        feed.ring.push_slice(&[16_384, -16_384]);
        let mut out = [9.0_f32; 2];
        end.render(&mut out);
        assert!((out[0] - 0.5).abs() < 1e-4 && (out[1] + 0.5).abs() < 1e-4, "{out:?}");
    }
}
