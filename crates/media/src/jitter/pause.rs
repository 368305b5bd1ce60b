//! Pauses that the far end announced by comfort noise (RFC 3389): its noise is played, and time goes on.

use offhook_codec::ComfortNoise;
use offhook_rtp::Packet;
use offhook_units::{RtpSeq, Tick};

use super::{JitterBuffer, PAYLOAD_BYTES_MAX, Pushed};

/// A pause that is played.
#[derive(Debug, Clone)]
pub(super) struct Pause {
    noise: ComfortNoise,
    /// The number of the newest packet that told of it.
    seq: RtpSeq,
}

impl JitterBuffer {
    /// Takes a packet of comfort noise in: from its timestamp on there is no speech until a packet of it comes, and nothing is
    /// missing.
    pub fn push_noise(&mut self, now: Tick, packet: &Packet<'_>) -> Pushed {
        self.take(now, packet, true)
    }

    /// Whether a packet of speech that seems to be late begins after a pause for which its sender's timestamps stood still.
    pub(super) fn stood_still(&self, seq: RtpSeq) -> bool {
        self.pause.as_ref().is_some_and(|pause| seq.distance(pause.seq) > 0)
    }

    /// The noise of a packet is played from now on.
    pub(super) fn begin_pause(&mut self, seq: RtpSeq, slot: usize) {
        let payload = &self.payloads[slot * PAYLOAD_BYTES_MAX..][..self.slots[slot].length];
        match &mut self.pause {
            Some(pause) => {
                pause.noise.update(payload);
                pause.seq = seq;
            }
            none => *none = ComfortNoise::new(payload).map(|noise| Pause { noise, seq }),
        }
        self.expanded = 0;
        self.stood = 0;
    }

    /// Plays noise where a pause is on: until `gap` is over, where speech waits behind it. Says whether it did. What follows is
    /// played as late as is wanted now, to the sample.
    pub(super) fn play_pause(&mut self, now: Tick, missing: usize, gap: Option<usize>) -> bool {
        if self.pause.is_none() {
            return false;
        }
        let off = self.samples_of(self.missing_us(now));
        let ahead = off.min(0).unsigned_abs() as usize;
        let (back, ahead) = (off.max(0) as u32, ahead.min(gap.unwrap_or(ahead)));
        self.decode_at = self.decode_at.wrapping_add(back.wrapping_neg()).wrapping_add(ahead as u32);
        let gap = gap.map_or(missing, |gap| gap - ahead + back as usize);
        self.make_noise(missing.min(gap));
        true
    }

    /// Noise for the next `samples`.
    pub(super) fn make_noise(&mut self, samples: usize) {
        let Some(pause) = &mut self.pause else { return };
        let out = &mut self.decoded[self.decoded_to..self.decoded_to + samples];
        pause.noise.fill(out);
        self.concealer.heard(out);
        self.no_upper(self.decoded_to, samples);
        self.decoded_to += samples;
        self.decode_at = self.decode_at.wrapping_add(samples as u32);
        self.last.noise += samples;
    }

    /// Fills what is missing in front of a packet when everything is given at once.
    pub(super) fn fill_hole(&mut self, samples: usize) {
        if self.pause.is_some() { self.make_noise(samples) } else { self.conceal(samples, None) }
    }
}
