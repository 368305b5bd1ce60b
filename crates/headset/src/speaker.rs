//! The call's side of playback: frames at the call's rate in, a ring at the device's rate kept near its target fill.

use offhook_codec::ResampleError;
use offhook_units::SampleRate;
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapRb};

use crate::SURPLUS_MS_MAX;
use crate::counters::Reading;
use crate::cushion::Cushion;
use crate::drift::{Drift, Slip};
use crate::ends::PlaybackFeed;
use crate::rate::Converter;

/// Plays frames on whatever device the headset has open; silence goes where there is none.
pub struct Speaker {
    feeds: HeapCons<(PlaybackFeed, Converter)>,
    open: Option<Open>,
    /// Frames given while the device had too much to play or none was open.
    dropped_frames: u64,
    gaps: u64,
}

struct Open {
    feed: PlaybackFeed,
    converter: Converter,
    drift: Drift,
    slip: Slip,
    cushion: Cushion,
    xruns: u64,
    primed: bool,
    resampled: Vec<i16>,
    slipped: Vec<i16>,
}

impl Speaker {
    pub(crate) fn new(feeds: HeapCons<(PlaybackFeed, Converter)>) -> Self {
        Self { feeds, open: None, dropped_frames: 0, gaps: 0 }
    }

    /// Plays into `feed`, from the call's rate: a device that nobody supervises.
    ///
    /// # Errors
    /// Where one rate cannot be turned into the other.
    pub fn on(feed: PlaybackFeed, call_rate: SampleRate) -> Result<Self, ResampleError> {
        let converter = Converter::new(call_rate, SampleRate(feed.rate))?;
        let (_, feeds) = HeapRb::new(1).split();
        Ok(Self { open: Some(Open::new(feed, converter)), ..Self::new(feeds) })
    }

    /// Plays `frame`: 10 ms at the call's rate, to be given every 10 ms. Never waits.
    pub fn play(&mut self, frame: &[i16]) {
        while let Some((feed, converter)) = self.feeds.try_pop() {
            self.open = Some(Open::new(feed, converter));
        }
        let gaps = &mut self.gaps;
        let played = self.open.as_mut().is_some_and(|open| open.play(frame, gaps));
        self.dropped_frames += u64::from(!played);
    }

    /// What the device's callbacks counted, zero while none is open.
    pub fn reading(&self) -> Reading {
        self.open.as_ref().map_or_else(Reading::default, |open| open.feed.counters.read())
    }

    /// How often a device in use was left without sound: gaps that were heard.
    pub const fn gaps(&self) -> u64 {
        self.gaps
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
            cushion: Cushion::default(),
            xruns: 0,
            primed: false,
            resampled: Vec::new(),
            slipped: Vec::new(),
            feed,
        }
    }

    /// Whether the frame was put into the ring.
    fn play(&mut self, frame: &[i16], gaps: &mut u64) -> bool {
        let reading = self.feed.counters.read();
        let fill = self.feed.ring.occupied_len();
        if self.primed && reading.xruns > self.xruns {
            // The device asked for more than we keep ready: its periods are longer or less regular than thought.
            *gaps += reading.xruns - self.xruns;
            self.cushion.ran_out();
            self.primed = false;
        }
        self.xruns = reading.xruns;
        if self.primed {
            self.cushion.left(fill as u32 * 1_000 / self.feed.rate.max(1));
        }
        let target = samples(self.feed.rate, self.cushion.ms());
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
    use crate::CUSHION_MS;
    use crate::ends::playback_ring;

    fn same_rate() -> Converter {
        Converter::new(SampleRate::WIDE, SampleRate::WIDE).unwrap()
    }

    /// The largest bend between three samples in a row of a 440 Hz tone of 10,000, rounded and a little slower or faster: a click is more.
    const BEND_MAX: f32 = 305.0;

    /// A device that asks for 256 frames at its own pace, driven by hand.
    #[test]
    fn devices_200_ppm_off_play_an_hour_without_an_underrun_or_a_click_after_the_first_second() {
        for ppm in [-200.0, 200.0_f64] {
            let (mut feeds, taken) = HeapRb::new(2).split();
            let (feed, mut device) = playback_ring(16_000, 1);
            assert!(feeds.try_push((feed, same_rate())).is_ok());
            let mut speaker = Speaker::new(taken);
            let (mut owed, mut at, mut after_first_second) = (0.0, 0_u64, 0);
            let (mut last, mut worst) = ([0.0_f32; 2], 0.0_f32);
            for step in 0..360_000_u32 {
                let frame: [i16; 160] = core::array::from_fn(|n| {
                    // 400 samples are eleven periods.
                    let phase = (at + n as u64) % 400;
                    ((phase as f32 * 440.0 * core::f32::consts::TAU / 16_000.0).sin() * 10_000.0) as i16
                });
                at += 160;
                speaker.play(&frame);
                owed += 160.0 * (1.0 + ppm * 1e-6);
                while owed >= 256.0 {
                    owed -= 256.0;
                    let mut played = [0_i16; 256];
                    device.render(&mut played);
                    for sample in played.map(f32::from) {
                        if step > 100 {
                            worst = worst.max((sample - 2.0 * last[1] + last[0]).abs());
                        }
                        last = [last[1], sample];
                    }
                }
                if step == 100 {
                    after_first_second = speaker.reading().xruns;
                }
            }
            assert_eq!(speaker.reading().xruns, after_first_second, "{ppm} ppm");
            assert_eq!(speaker.dropped_frames(), 0, "{ppm} ppm");
            assert!(worst < BEND_MAX, "{ppm} ppm: a click of {worst}");
        }
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
