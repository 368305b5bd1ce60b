//! The call's side of capture: a ring at the device's rate in, frames at the call's rate out, whatever the callbacks' rhythm.

use offhook_codec::ResampleError;
use offhook_units::SampleRate;
use ringbuf::traits::{Consumer, Observer, Split};
use ringbuf::{HeapCons, HeapRb};

use crate::SURPLUS_MS_MAX;
use crate::counters::Reading;
use crate::cushion::Cushion;
use crate::drift::{Drift, Slip};
use crate::ends::CaptureTap;
use crate::rate::Converter;
use crate::speaker::samples;

/// Hears whatever device the headset has open; silence where there is none.
pub struct Microphone {
    taps: HeapCons<(CaptureTap, Converter)>,
    open: Option<Open>,
    /// Frames of which a part had to be silence.
    missing_frames: u64,
    gaps: u64,
}

struct Open {
    tap: CaptureTap,
    converter: Converter,
    drift: Drift,
    slip: Slip,
    cushion: Cushion,
    primed: bool,
    raw: Vec<i16>,
    slipped: Vec<i16>,
    ready: Vec<i16>,
}

impl Microphone {
    pub(crate) fn new(taps: HeapCons<(CaptureTap, Converter)>) -> Self {
        Self { taps, open: None, missing_frames: 0, gaps: 0 }
    }

    /// Hears what comes through `tap`, at the call's rate: a device that nobody supervises.
    ///
    /// # Errors
    /// Where one rate cannot be turned into the other.
    pub fn on(tap: CaptureTap, call_rate: SampleRate) -> Result<Self, ResampleError> {
        let converter = Converter::new(SampleRate(tap.rate), call_rate)?;
        let (_, taps) = HeapRb::new(1).split();
        Ok(Self { open: Some(Open::new(tap, converter)), ..Self::new(taps) })
    }

    /// Fills `frame`: 10 ms at the call's rate, to be asked for every 10 ms. Never waits; what the device did not bring is silence.
    pub fn read(&mut self, frame: &mut [i16]) {
        while let Some((tap, converter)) = self.taps.try_pop() {
            self.open = Some(Open::new(tap, converter));
        }
        let whole = if let Some(open) = &mut self.open {
            open.read(frame, &mut self.gaps)
        } else {
            frame.fill(0);
            false
        };
        self.missing_frames += u64::from(!whole);
    }

    /// What the device's callbacks counted, zero while none is open.
    pub fn reading(&self) -> Reading {
        self.open.as_ref().map_or_else(Reading::default, |open| open.tap.counters.read())
    }

    /// How often a device in use had brought too little: gaps that the other side hears.
    pub const fn gaps(&self) -> u64 {
        self.gaps
    }

    /// How much captured sound lies between the device and us now, in milliseconds.
    pub fn delay_ms(&self) -> u32 {
        self.open.as_ref().map_or(0, |open| open.tap.ring.occupied_len() as u32 * 1_000 / open.tap.rate.max(1))
    }

    /// Frames of 10 ms that were silence, in whole or part, because nothing had been captured.
    pub const fn missing_frames(&self) -> u64 {
        self.missing_frames
    }
}

impl Open {
    fn new(tap: CaptureTap, converter: Converter) -> Self {
        Self {
            converter,
            drift: Drift::new(tap.rate),
            slip: Slip::default(),
            cushion: Cushion::default(),
            primed: false,
            raw: Vec::new(),
            slipped: Vec::new(),
            ready: Vec::new(),
            tap,
        }
    }

    /// Whether the whole frame was captured sound.
    fn read(&mut self, frame: &mut [i16], gaps: &mut u64) -> bool {
        let target = samples(self.tap.rate, self.cushion.ms());
        let fill = self.tap.ring.occupied_len();
        if !self.primed && fill < target {
            frame.fill(0);
            return false;
        }
        if !self.primed || fill > target + samples(self.tap.rate, SURPLUS_MS_MAX) {
            // Late sound is worse than a cut: begin again at the target.
            self.tap.ring.skip(fill - target);
            self.drift.reset();
            self.primed = true;
        }
        let faster_ppm = self.drift.step(self.tap.ring.occupied_len(), target);
        let block = samples(self.tap.rate, 5).max(1);
        while self.ready.len() < frame.len() {
            self.raw.resize(block, 0);
            let got = self.tap.ring.pop_slice(&mut self.raw);
            self.slipped.clear();
            self.slip.run(faster_ppm, &self.raw[..got], &mut self.slipped);
            self.converter.push(&self.slipped, &mut self.ready);
            if got < block {
                break;
            }
        }
        let got = self.ready.len().min(frame.len());
        frame[..got].copy_from_slice(&self.ready[..got]);
        frame[got..].fill(0);
        self.ready.drain(..got);
        if got < frame.len() {
            *gaps += 1;
            self.cushion.ran_out();
            self.primed = false;
        } else {
            self.cushion.left(self.tap.ring.occupied_len() as u32 * 1_000 / self.tap.rate.max(1));
        }
        got == frame.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CUSHION_MS;
    use crate::ends::capture_ring;
    use ringbuf::traits::Producer;

    fn same_rate() -> Converter {
        Converter::new(SampleRate::WIDE, SampleRate::WIDE).unwrap()
    }

    #[test]
    fn a_device_that_delivers_in_bursts_of_25_ms_is_heard_without_a_gap_once_the_cushion_has_grown() {
        let (mut taps, taken) = HeapRb::new(2).split();
        let (mut device, tap) = capture_ring(16_000, 2);
        assert!(taps.try_push((tap, same_rate())).is_ok());
        let mut microphone = Microphone::new(taken);
        let mut owed = 0;
        let mut after_two_seconds = 0;
        for step in 0..3_000 {
            owed += 160;
            if owed >= 400 {
                owed -= 400;
                device.take(&[500_i16; 800]);
            }
            let mut frame = [0; 160];
            microphone.read(&mut frame);
            if step == 200 {
                after_two_seconds = microphone.missing_frames();
            }
            if step > 200 {
                assert!(frame.iter().all(|s| *s == 500), "a gap at step {step}");
            }
        }
        assert_eq!(microphone.missing_frames(), after_two_seconds);
    }

    #[test]
    fn devices_200_ppm_off_are_heard_for_an_hour_without_a_gap_or_a_click_after_the_first_second() {
        for ppm in [-200.0, 200.0_f64] {
            let (mut taps, taken) = HeapRb::new(2).split();
            let (mut device, tap) = capture_ring(16_000, 1);
            assert!(taps.try_push((tap, same_rate())).is_ok());
            let mut microphone = Microphone::new(taken);
            let (mut owed, mut at, mut after_first_second) = (0.0, 0_u64, 0);
            let (mut last, mut worst) = ([0.0_f32; 2], 0.0_f32);
            for step in 0..360_000_u32 {
                owed += 160.0 * (1.0 + ppm * 1e-6);
                while owed >= 256.0 {
                    owed -= 256.0;
                    let heard: [i16; 256] = core::array::from_fn(|n| {
                        let phase = (at + n as u64) % 400;
                        ((phase as f32 * 440.0 * core::f32::consts::TAU / 16_000.0).sin() * 10_000.0) as i16
                    });
                    at += 256;
                    device.take(&heard);
                }
                let mut frame = [0; 160];
                microphone.read(&mut frame);
                for sample in frame.map(f32::from) {
                    if step > 100 {
                        worst = worst.max((sample - 2.0 * last[1] + last[0]).abs());
                    }
                    last = [last[1], sample];
                }
                if step == 100 {
                    after_first_second = microphone.missing_frames();
                }
            }
            assert_eq!(microphone.missing_frames(), after_first_second, "{ppm} ppm");
            assert_eq!(microphone.reading().xruns, 0, "{ppm} ppm");
            assert!(worst < 305.0, "{ppm} ppm: a click of {worst}");
        }
    }

    #[test]
    fn sound_that_waited_too_long_is_cut_to_the_cushion() {
        let (mut taps, taken) = HeapRb::new(2).split();
        let (mut device, tap) = capture_ring(16_000, 1);
        assert!(taps.try_push((tap, same_rate())).is_ok());
        let mut microphone = Microphone::new(taken);
        device.take(&[1_i16; 8_000]);
        let mut frame = [0; 160];
        microphone.read(&mut frame);
        let left = microphone.open.as_ref().map_or(0, |open| open.tap.ring.occupied_len());
        assert!(left <= samples(16_000, CUSHION_MS), "{left}");
    }
}
