//! The call's side of playback: frames at the call's rate in, a ring at the device's rate kept near its target fill.

use ringbuf::HeapCons;
use ringbuf::traits::{Consumer, Observer, Producer};

use crate::counters::Reading;
use crate::drift::{Drift, Slip};
use crate::ends::PlaybackFeed;
use crate::rate::Converter;
use crate::{CUSHION_MS, CUSHION_MS_MAX, CUSHION_STEP_MS, SURPLUS_MS_MAX};

/// Plays frames on whatever device the headset has open; silence goes where there is none.
pub struct Speaker {
    feeds: HeapCons<(PlaybackFeed, Converter)>,
    open: Option<Open>,
    /// Frames given while the device had too much to play or none was open.
    dropped_frames: u64,
}

struct Open {
    feed: PlaybackFeed,
    converter: Converter,
    drift: Drift,
    slip: Slip,
    cushion_ms: u32,
    xruns: u64,
    primed: bool,
    resampled: Vec<i16>,
    slipped: Vec<i16>,
}

impl Speaker {
    pub(crate) fn new(feeds: HeapCons<(PlaybackFeed, Converter)>) -> Self {
        Self { feeds, open: None, dropped_frames: 0 }
    }

    /// Plays `frame`: 10 ms at the call's rate, to be given every 10 ms. Never waits.
    pub fn play(&mut self, frame: &[i16]) {
        while let Some((feed, converter)) = self.feeds.try_pop() {
            self.open = Some(Open::new(feed, converter));
        }
        let played = self.open.as_mut().is_some_and(|open| open.play(frame));
        self.dropped_frames += u64::from(!played);
    }

    /// What the device's callbacks counted, zero while none is open.
    pub fn reading(&self) -> Reading {
        self.open.as_ref().map_or_else(Reading::default, |open| open.feed.counters.read())
    }

    /// Frames of 10 ms that could not be played because the device was closed, had not started or had fallen behind.
    pub const fn dropped_frames(&self) -> u64 {
        self.dropped_frames
    }

    /// How much sound lies between us and the device now, in milliseconds.
    pub fn delay_ms(&self) -> u32 {
        self.open.as_ref().map_or(0, |open| open.feed.ring.occupied_len() as u32 * 1_000 / open.feed.rate.max(1))
    }
}

impl Open {
    fn new(feed: PlaybackFeed, converter: Converter) -> Self {
        Self {
            converter,
            drift: Drift::new(feed.rate),
            slip: Slip::default(),
            cushion_ms: CUSHION_MS,
            xruns: 0,
            primed: false,
            resampled: Vec::new(),
            slipped: Vec::new(),
            feed,
        }
    }

    /// Whether the frame was put into the ring.
    fn play(&mut self, frame: &[i16]) -> bool {
        let reading = self.feed.counters.read();
        let fill = self.feed.ring.occupied_len();
        if self.primed && reading.xruns > self.xruns {
            // The device asked for more than we keep ready: its periods are longer or less regular than thought.
            self.cushion_ms = (self.cushion_ms + CUSHION_STEP_MS).min(CUSHION_MS_MAX);
            self.primed = false;
        }
        self.xruns = reading.xruns;
        let target = samples(self.feed.rate, self.cushion_ms);
        if !self.primed {
            self.feed.ring.push_iter(core::iter::repeat_n(0, target.saturating_sub(fill)));
            self.drift.reset();
            self.primed = true;
        }
        if fill > target + samples(self.feed.rate, SURPLUS_MS_MAX) {
            self.drift.reset();
            return false;
        }
        let faster_ppm = self.drift.step(fill, target);
        self.resampled.clear();
        self.converter.push(frame, &mut self.resampled);
        self.slipped.clear();
        self.slip.run(faster_ppm, &self.resampled, &mut self.slipped);
        self.feed.ring.push_slice(&self.slipped) == self.slipped.len()
    }
}

pub(crate) fn samples(rate: u32, ms: u32) -> usize {
    rate as usize * ms as usize / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ends::playback_ring;
    use offhook_units::SampleRate;
    use ringbuf::HeapRb;
    use ringbuf::traits::Split;

    fn same_rate() -> Converter {
        Converter::new(SampleRate::WIDE, SampleRate::WIDE).unwrap()
    }

    /// A device that asks for `period` frames at its own pace, driven by hand.
    #[test]
    fn a_device_100_ppm_fast_plays_a_minute_without_an_underrun_after_the_first_second() {
        let (mut feeds, taken) = HeapRb::new(2).split();
        let (feed, mut device) = playback_ring(16_000, 1);
        assert!(feeds.try_push((feed, same_rate())).is_ok());
        let mut speaker = Speaker::new(taken);
        let mut owed = 0.0;
        let mut after_first_second = 0;
        for step in 0..6_000 {
            speaker.play(&[1_000; 160]);
            owed += 160.0 * (1.0 + 100e-6);
            while owed >= 256.0 {
                owed -= 256.0;
                device.render(&mut [0_i16; 256]);
            }
            if step == 100 {
                after_first_second = speaker.reading().xruns;
            }
        }
        assert_eq!(speaker.reading().xruns, after_first_second);
        assert!(speaker.reading().frames > 950_000);
    }

    #[test]
    fn a_device_that_never_starts_holds_no_more_than_cushion_and_surplus() {
        let (mut feeds, taken) = HeapRb::new(2).split();
        let (feed, _device) = playback_ring(16_000, 1);
        assert!(feeds.try_push((feed, same_rate())).is_ok());
        let mut speaker = Speaker::new(taken);
        for _ in 0..100 {
            speaker.play(&[1; 160]);
        }
        assert!(speaker.delay_ms() <= CUSHION_MS + SURPLUS_MS_MAX + 10, "{} ms", speaker.delay_ms());
        assert!(speaker.dropped_frames() > 80);
    }
}
