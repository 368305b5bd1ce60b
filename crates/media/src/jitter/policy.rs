//! The playout policy: the delay is changed in silence at once, in speech by whole pitch periods and only when it is far off.

use offhook_codec::Decoder;
use offhook_units::Tick;

use super::JitterBuffer;
use crate::stretch::{best_lag, insert, remove};

/// Delay above the wanted one that is left alone, so that nothing is changed for little: 2 ms.
const SLACK_US: i64 = 2_000;
/// Delay below the wanted one that is made up in speech where it would be missed before the next silence: 15 ms.
const SPEECH_SHORT_US: i64 = 15_000;
/// Delay above the wanted one that is not left to the next silence: 150 ms.
const SPEECH_LONG_US: i64 = 150_000;
/// Speech is stretched only where its periods are this much alike,
const ALIKE: f32 = 0.9;
/// and then left alone for so many pulls.
const REST_PULLS: u32 = 4;

impl JitterBuffer {
    /// Decodes ahead while packets follow each other, until `samples` wait; says whether they do.
    fn look_ahead(&mut self, samples: usize, decoder: &mut dyn Decoder) -> bool {
        while self.decoded_to < samples {
            match self.earliest() {
                Some(slot) if self.slots[slot].timestamp == self.decode_at => self.decode(slot, decoder),
                Some(_) | None => return false,
            }
        }
        true
    }

    /// The playout policy: brings the delay towards what the estimator wants.
    pub(super) fn adapt(&mut self, now: Tick, samples: usize, decoder: &mut dyn Decoder) {
        self.rest = self.rest.saturating_sub(1);
        if self.last.concealed > 0 {
            return;
        }
        let missing_us = self.missing_us(now);
        let missing = self.samples_of(missing_us);
        let overlap = self.config.rate.0 as usize / 400;
        let change = (missing.unsigned_abs() as usize).min(samples);
        if missing > 0 {
            self.look_ahead(change + overlap, decoder);
            let change = change.min(self.decoded_to.saturating_sub(overlap));
            if change > 0 && self.quiet.is_quiet(&self.decoded[..change + overlap]) {
                self.put_in(change, overlap);
                self.last.inserted += change;
            } else if self.estimator.wanders() && missing_us > SPEECH_SHORT_US && self.rest == 0 {
                self.lengthen(decoder);
            }
        } else if missing_us < -SLACK_US {
            self.look_ahead(samples + change + overlap, decoder);
            let change = change.min(self.decoded_to.saturating_sub(samples + overlap));
            if change == 0 {
                return;
            }
            if self.quiet.is_quiet(&self.decoded[..change + overlap]) {
                self.take_out(change, overlap);
                self.last.removed += change;
            } else if missing_us < -SPEECH_LONG_US && self.rest == 0 {
                self.shorten(samples, decoder);
            }
        }
    }

    /// Plays the first `count` samples twice, in both bands.
    fn put_in(&mut self, count: usize, overlap: usize) {
        if self.hears_upper {
            insert(&mut self.upper, &mut self.decoded_to.clone(), count, overlap);
        }
        insert(&mut self.decoded, &mut self.decoded_to, count, overlap);
    }

    /// Takes the first `count` samples out, in both bands.
    fn take_out(&mut self, count: usize, overlap: usize) {
        if self.hears_upper {
            remove(&mut self.upper, &mut self.decoded_to.clone(), count, overlap);
        }
        remove(&mut self.decoded, &mut self.decoded_to, count, overlap);
    }

    /// Plays one pitch period of speech twice.
    fn lengthen(&mut self, decoder: &mut dyn Decoder) {
        let rate = self.config.rate.0 as usize;
        let (lag_min, lag_max) = (rate / 200, rate / 57);
        self.look_ahead(2 * lag_max, decoder);
        if self.decoded_to < 2 * lag_max {
            return;
        }
        let (lag, like) = best_lag(&self.decoded[..self.decoded_to], lag_min, lag_max);
        if like > ALIKE {
            self.put_in(lag, lag);
            self.last.inserted += lag;
            self.rest = REST_PULLS;
        }
    }

    /// Takes a pitch period of speech out.
    fn shorten(&mut self, samples: usize, decoder: &mut dyn Decoder) {
        let rate = self.config.rate.0 as usize;
        let (lag_min, lag_max) = (rate / 200, rate / 57);
        if !self.look_ahead(samples + 2 * lag_max, decoder) {
            return;
        }
        let (lag, like) = best_lag(&self.decoded[..self.decoded_to], lag_min, lag_max);
        if like > ALIKE {
            self.take_out(lag, lag);
            self.last.removed += lag;
            self.rest = REST_PULLS;
        }
    }
}
