//! How a call sounds now: what is said and heard, and how the network does, in plain words.

use offhook_headset::VoiceFigures;
use offhook_headset::voice::FRAME;
use offhook_rtp::emodel::{Impairment, mos, rating};
use serde::Serialize;

use crate::devices::Devices;
use crate::listener::Heard;

/// Turns of 10 ms between two tellings: five a second, what a meter needs to look alive.
pub const TELL_EVERY: u32 = 20;
/// Tellings over which the network is judged: 5 s.
const JUDGED: usize = 25;
/// The level of silence, in decibels below full scale.
const SILENCE_DB: f32 = -90.0;

/// How good a line is, by the E-model's score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// Nothing comes: the other side is held, or the line is dead.
    Silent,
    /// 4.0 and better.
    Good,
    /// 3.6 and better: some words are hard to get.
    Fair,
    /// 3.1 and better: many are annoyed.
    Poor,
    /// Less: nearly all are.
    Bad,
}

impl Quality {
    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Silent => "nothing is heard",
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
            Self::Bad => "bad",
        }
    }
}

/// How a call sounds now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Meters {
    /// What we send, in decibels below full scale, over the last 200 ms.
    pub mouth_db: f32,
    /// What we hear.
    pub ear_db: f32,
    /// How good the line to us has been over the last 5 s.
    pub quality: Quality,
    /// Why it is not good, in words.
    pub why: Option<&'static str>,
    /// Packets that never came or came too late over the last 5 s, in percent.
    pub lost_percent: f32,
    /// Interarrival jitter, in milliseconds.
    pub jitter_ms: f32,
    /// How long what comes waits to be played, in milliseconds.
    pub jitter_buffer_ms: f32,
    /// Sound that lies between the call and its devices, both ways, in milliseconds.
    pub devices_ms: u32,
    /// From the other side's mouth to our ear and back, as far as the network's reports tell, in milliseconds.
    pub round_trip_ms: Option<f32>,
    /// How often a device was left without sound, in this call.
    pub device_xruns: u64,
    /// How much of the echo of what we hear is taken out of what we say, in decibels.
    pub echo_cut_db: f32,
    /// What is added to the level of what we say, in decibels.
    pub gain_db: f32,
}

/// Gathers turns until it is time to tell.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    turns: u32,
    mouth: f64,
    ear: f64,
    /// Expected and not heard packets at each telling, oldest first.
    packets: Vec<(u64, u64)>,
}

impl Meter {
    /// One turn; gives whether it is time to tell.
    pub fn turn(&mut self, mouth: &[i16; FRAME], ear: &[i16; FRAME]) -> bool {
        let squares = |frame: &[i16; FRAME]| frame.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        self.mouth += squares(mouth);
        self.ear += squares(ear);
        self.turns += 1;
        self.turns == TELL_EVERY
    }

    /// What there is to tell, and begins anew.
    pub fn tell(&mut self, heard: &Heard, devices: &Devices) -> Meters {
        self.tell_of(heard, devices.gaps(), devices.delay_ms(), devices.figures())
    }

    fn tell_of(&mut self, heard: &Heard, device_xruns: u64, devices_ms: u32, voice: VoiceFigures) -> Meters {
        let samples = f64::from(self.turns.max(1)) * FRAME as f64;
        let db = |squares: f64| {
            let power = squares / samples / f64::from(i16::MIN).powi(2);
            if power > 0.0 { (10.0 * power.log10()).max(f64::from(SILENCE_DB)) as f32 } else { SILENCE_DB }
        };
        let (mouth_db, ear_db) = (db(self.mouth), db(self.ear));
        let now = (heard.expected, heard.lost + heard.late);
        let before = self.packets.first().copied().unwrap_or((0, 0));
        self.packets.push(now);
        if self.packets.len() > JUDGED {
            self.packets.remove(0);
        }
        (self.turns, self.mouth, self.ear) = (0, 0.0, 0.0);
        let (expected, missing) = (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1));
        let lost = if expected == 0 { 0.0 } else { (missing as f64 / expected as f64).min(1.0) };
        let delay_ms = heard.round_trip_ms.unwrap_or(0.0) / 2.0 + heard.wait_ms;
        let (quality, why) = judge(expected > 0, lost, delay_ms);
        Meters {
            mouth_db,
            ear_db,
            quality,
            why,
            lost_percent: (lost * 100.0) as f32,
            jitter_ms: heard.jitter_ms as f32,
            jitter_buffer_ms: heard.wait_ms as f32,
            devices_ms,
            round_trip_ms: heard.round_trip_ms.map(|ms| ms as f32),
            device_xruns,
            echo_cut_db: voice.echo_cut_db,
            gain_db: voice.gain_db,
        }
    }
}

/// The word on a line, and what makes it worse than it could be.
fn judge(comes: bool, lost: f64, delay_ms: f64) -> (Quality, Option<&'static str>) {
    if !comes {
        return (Quality::Silent, None);
    }
    let score = mos(rating(Impairment::G711, lost, delay_ms));
    let quality = match score {
        4.0.. => return (Quality::Good, None),
        3.6.. => Quality::Fair,
        3.1.. => Quality::Poor,
        _ => Quality::Bad,
    };
    let by_loss = mos(rating(Impairment::G711, lost, 0.0));
    let by_delay = mos(rating(Impairment::G711, 0.0, delay_ms));
    (quality, Some(if by_loss < by_delay { "words are lost in the network" } else { "words take long to arrive" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_judged_in_words_by_what_makes_it_worse() {
        for (lost, delay_ms, quality, why) in [
            (0.0, 50.0, Quality::Good, None),
            (0.05, 50.0, Quality::Fair, Some("words are lost in the network")),
            (0.2, 50.0, Quality::Bad, Some("words are lost in the network")),
            (0.0, 400.0, Quality::Poor, Some("words take long to arrive")),
        ] {
            assert_eq!(judge(true, lost, delay_ms), (quality, why), "{lost} lost, {delay_ms} ms");
        }
        assert_eq!(judge(false, 0.0, 0.0), (Quality::Silent, None));
    }

    #[test]
    fn levels_are_of_the_last_turns_and_loss_is_of_the_last_five_seconds() {
        let voice = VoiceFigures { echo_delay_ms: None, echo_cut_db: 0.0, gain_db: 0.0 };
        let (mut meter, mut heard) = (Meter::default(), Heard::default());
        let mut told = Vec::new();
        for telling in 0..60_u64 {
            let loud = if telling < 30 { 3_276 } else { 0 };
            (0..TELL_EVERY - 1).for_each(|_| assert!(!meter.turn(&[loud; FRAME], &[0; FRAME])));
            assert!(meter.turn(&[loud; FRAME], &[0; FRAME]));
            // Ten packets a telling, of which the first two seconds lose five.
            heard.expected += 10;
            heard.lost += if telling < 10 { 5 } else { 0 };
            told.push(meter.tell_of(&heard, 0, 0, voice));
        }
        assert!((told[29].mouth_db + 20.0).abs() < 0.1 && told[29].ear_db < -89.0, "{:?}", told[29]);
        assert!(told[59].mouth_db < -89.0);
        assert!((told[9].lost_percent - 50.0).abs() < 0.1 && told[9].quality == Quality::Bad, "{:?}", told[9]);
        assert!(told[59].lost_percent < 0.1 && told[59].quality == Quality::Good, "{:?}", told[59]);
    }
}
