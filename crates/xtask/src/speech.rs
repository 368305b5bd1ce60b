//! Real recorded speech from the Debian voice package, sound files, and how alike two of them are (PESQ, level, pitch).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// Where `asterisk-core-sounds-en-wav` puts its prompts: 8 kHz, mono.
const VOICE: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";

/// The utterances that speech is joined from. mu-law itself scores 4.18 to 4.35 (PESQ, MOS-LQO) on each of them.
const UTTERANCES: [(&str, Range<usize>); 6] = [
    ("basic-pbx-ivr-main", 0..64_000),
    ("dir-intro", 0..97_000),
    ("basic-pbx-ivr-main", 64_000..128_000),
    ("vm-options", 0..64_000),
    ("queue-periodic-announce", 0..62_000),
    ("tt-allbusy", 0..71_000),
];

/// Samples of silence between two utterances: half a second.
const PAUSE: usize = 4_000;

/// The speech level, in decibels below full scale, over the parts that are louder than silence (as in ITU-T P.56).
const LEVEL_DB: f64 = -26.0;

/// Narrowband speech and where its utterances lie.
#[derive(Debug, Clone)]
pub struct Speech {
    /// At 8 kHz.
    pub samples: Vec<i16>,
    /// Each utterance, as a range of samples.
    pub utterances: Vec<Range<usize>>,
}

impl Speech {
    /// About 55 s of speech, joined from the voice package.
    pub fn open() -> Result<Self> {
        let (mut samples, mut utterances) = (vec![0; PAUSE / 2], Vec::new());
        for (name, part) in UTTERANCES {
            let (rate, all) =
                read_wav(&Path::new(VOICE).join(format!("{name}.wav"))).context("the voice package's speech")?;
            ensure!(rate == 8_000, "{name} is at {rate} Hz");
            let from = samples.len();
            samples.extend(levelled(&all[part.start.min(all.len())..part.end.min(all.len())]));
            utterances.push(from..samples.len());
            samples.extend([0; PAUSE]);
        }
        Ok(Self { samples, utterances })
    }

    /// Its first `seconds`, with the utterances that are whole in it.
    #[must_use]
    pub fn first(&self, seconds: usize) -> Self {
        let end = (seconds * 8_000).min(self.samples.len());
        let utterances = self.utterances.iter().filter(|u| u.end <= end).cloned().collect();
        Self { samples: self.samples[..end].to_vec(), utterances }
    }

    /// The utterances that are heard, each beside what was heard of it.
    pub fn found_in<'a>(&'a self, heard: &'a [i16]) -> Vec<(&'a [i16], &'a [i16])> {
        let said = self.utterances.iter().map(|utterance| &self.samples[utterance.clone()]);
        let found = said.filter_map(|said| {
            let (at, likeness) = find(heard, said)?;
            (likeness > LIKENESS_MIN).then(|| (said, &heard[at..at + said.len()]))
        });
        found.collect()
    }

    /// The same where the listener's jitter buffer may have stretched or squeezed what was said, as browsers' do: by their
    /// envelopes. What is heard is given with a little around it.
    pub fn found_by_envelope<'a>(&'a self, heard: &'a [i16]) -> Vec<(&'a [i16], &'a [i16])> {
        let said = self.utterances.iter().map(|utterance| &self.samples[utterance.clone()]);
        let found = said.filter_map(|said| {
            let (at, likeness) = find_envelope(heard, said)?;
            let around = at.saturating_sub(AROUND)..(at + said.len() + AROUND).min(heard.len());
            (likeness > ENVELOPES_MIN).then(|| (said, &heard[around]))
        });
        found.collect()
    }
}

/// An utterance that is less alike than this is another one.
const LIKENESS_MIN: f64 = 0.5;
/// The same of envelopes, which are never below zero.
const ENVELOPES_MIN: f64 = 0.9;
/// Samples around what was found by its envelope: a tenth of a second.
const AROUND: usize = 800;

fn levelled(samples: &[i16]) -> Vec<i16> {
    let loud = samples.iter().map(|s| f64::from(*s)).filter(|s| s.abs() > 200.0);
    let (sum, count) = loud.fold((0.0, 0.0), |(sum, count), s| (sum + s * s, count + 1.0));
    let gain = 32_768.0 * 10_f64.powf(LEVEL_DB / 20.0) / (sum / f64::max(count, 1.0)).sqrt().max(1.0);
    samples.iter().map(|s| (f64::from(*s) * gain).clamp(-32_768.0, 32_767.0) as i16).collect()
}

/// A mono sound file: its rate and samples; the left channel of a stereo one.
pub fn read_wav(path: &Path) -> Result<(u32, Vec<i16>)> {
    let mut reader = hound::WavReader::open(path).with_context(|| path.display().to_string())?;
    let spec = reader.spec();
    let samples: Result<Vec<i16>, _> = reader.samples::<i16>().step_by(usize::from(spec.channels)).collect();
    Ok((spec.sample_rate, samples?))
}

/// Writes a mono sound file.
pub fn write_wav(path: &Path, rate: u32, samples: &[i16]) -> Result<()> {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(path, spec).with_context(|| path.display().to_string())?;
    samples.iter().try_for_each(|s| writer.write_sample(*s))?;
    Ok(writer.finalize()?)
}

/// A recording of the exchange: both channels as the G.711 bytes that they are stored as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// WAVE format tag: 7 is mu-law, 6 A-law.
    pub format: u16,
    /// What the customer said.
    pub left: Vec<u8>,
    /// What the customer was sent.
    pub right: Vec<u8>,
}

impl Recording {
    /// Reads it by its own header; fails where the header promises more than the file has.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        Self::parse(&bytes).with_context(|| path.display().to_string())
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        ensure!(bytes.len() >= 12 && &bytes[..4] == b"RIFF" && &bytes[8..12] == b"WAVE", "not a WAVE file");
        let (mut at, mut format) = (12, None);
        while let Some(head) = bytes.get(at..at + 8) {
            let length = u32::from_le_bytes(head[4..].try_into()?) as usize;
            let body = bytes.get(at + 8..at + 8 + length).with_context(|| format!("the chunk at {at} is cut off"))?;
            match &head[..4] {
                b"fmt " => {
                    let word = |i: usize| u16::from_le_bytes([body[i], body[i + 1]]);
                    ensure!(
                        length >= 16 && word(2) == 2 && word(4) == 8_000 && word(14) == 8,
                        "stereo G.711 at 8 kHz expected"
                    );
                    format = Some(word(0));
                }
                b"data" => {
                    let format = format.context("data before fmt")?;
                    let side = |offset: usize| body.iter().skip(offset).step_by(2).copied().collect();
                    return Ok(Self { format, left: side(0), right: side(1) });
                }
                _ => {}
            }
            at += 8 + length + length % 2;
        }
        bail!("no data in it")
    }
}

/// Whether a manifest says of a side that its sender left out time in the middle: packets went on, their RTP time jumped.
pub fn sender_paused(manifest: &Value, side: &str) -> bool {
    let gaps = manifest["gaps"].as_array().into_iter().flatten();
    gaps.filter(|gap| gap["side"] == side).any(|gap| gap["why"] == "silent")
}

/// How much of the power of `samples` at `rate` lies at `hertz`: 0 to 1 (Goertzel).
pub fn share_at(samples: &[i16], rate: u32, hertz: f64) -> f64 {
    let turn = 2.0 * (std::f64::consts::TAU * hertz / f64::from(rate)).cos();
    let (mut one, mut two, mut power) = (0.0, 0.0, 0.0);
    for sample in samples.iter().map(|s| f64::from(*s)) {
        (one, two) = (turn * one - two + sample, one);
        power += sample * sample;
    }
    let found = one * one + two * two - turn * one * two;
    if power > 0.0 { 2.0 * found / (power * samples.len() as f64) } else { 0.0 }
}

/// A tone at `hertz`, 10 dB below full scale.
pub fn tone(rate: u32, hertz: f64, seconds: f64) -> Vec<i16> {
    let samples = (f64::from(rate) * seconds) as u32;
    (0..samples)
        .map(|n| (10_000.0 * (std::f64::consts::TAU * hertz * f64::from(n) / f64::from(rate)).sin()) as i16)
        .collect()
}

/// Samples that one value of an envelope stands for: 10 ms.
const HOP: usize = 80;

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|v| f64::from(*v).powi(2)).sum()
}

/// Where `needle` begins in `whole` by their envelopes, both at 8 kHz, and how alike these are there: 1 at most.
fn find_envelope(whole: &[i16], needle: &[i16]) -> Option<(usize, f64)> {
    let envelope = |s: &[i16]| s.chunks_exact(HOP).map(|hop| energy(hop).sqrt()).collect::<Vec<f64>>();
    let (all, part) = (envelope(whole), envelope(needle));
    let own = part.iter().map(|v| v * v).sum::<f64>();
    let likeness = |place: usize| {
        let there = &all[place..place + part.len()];
        let product: f64 = there.iter().zip(&part).map(|(a, b)| a * b).sum();
        product / (own * there.iter().map(|v| v * v).sum::<f64>()).sqrt().max(1.0)
    };
    let places = 0..=all.len().checked_sub(part.len())?;
    places.map(|place| (place * HOP, likeness(place))).max_by(|a, b| a.1.total_cmp(&b.1))
}

/// Where `needle` begins in `whole`, both at 8 kHz, and how alike they are there: the correlation coefficient, 1 at most.
/// The place is found by the envelopes first, then sample by sample around it.
pub fn find(whole: &[i16], needle: &[i16]) -> Option<(usize, f64)> {
    let last = whole.len().checked_sub(needle.len())?;
    let (coarse, _) = find_envelope(whole, needle)?;
    let own = energy(needle);
    let alike = |place: usize| {
        let there = &whole[place..place + needle.len()];
        let product: f64 = there.iter().zip(needle).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        product / (own * energy(there)).sqrt().max(1.0)
    };
    let around = coarse.saturating_sub(3 * HOP)..=(coarse + 3 * HOP).min(last);
    around.map(|place| (place, alike(place))).max_by(|a, b| a.1.total_cmp(&b.1))
}

/// Microseconds since the epoch of an RFC 3339 instant in UTC.
pub fn instant_us(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|n| n.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.split(':');
    let (hour, minute) = (time.next()?.parse::<i64>().ok()?, time.next()?.parse::<i64>().ok()?);
    let (second, fraction) = time.next()?.split_once('.').unwrap_or_default();
    let fraction = format!("{fraction:0<6}");
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second.parse::<i64>().ok()?;
    Some(u64::try_from(seconds).ok()? * 1_000_000 + fraction[..6].parse::<u64>().ok()?)
}

/// PESQ (ITU-T P.862 as MOS-LQO), from PyPI in an environment of its own below the build folder.
#[derive(Debug)]
pub struct Pesq {
    python: PathBuf,
    folder: PathBuf,
}

impl Pesq {
    /// Installs it on the first use.
    pub fn install() -> Result<Self> {
        let python = crate::python::environment("pesq", "pesq", &["wheel", "numpy", "pesq"])?;
        Ok(Self { python, folder: crate::target().join("pesq") })
    }

    /// Scores pairs of (reference, degraded) at 8 kHz.
    pub fn scores(&self, pairs: &[(&[i16], &[i16])]) -> Result<Vec<f64>> {
        let jobs: Vec<Value> = pairs.iter().map(|(reference, degraded)| json!([reference, degraded])).collect();
        let (input, script) = (self.folder.join("jobs.json"), self.folder.join("score.py"));
        std::fs::write(&input, Value::from(jobs).to_string())?;
        std::fs::write(&script, include_str!("pesq.py"))?;
        let output = Command::new(&self.python).arg(&script).arg(&input).output()?;
        ensure!(output.status.success(), "PESQ: {}", String::from_utf8_lossy(&output.stderr));
        let scores: Vec<f64> = serde_json::from_slice(&output.stdout).context("PESQ's answer")?;
        ensure!(scores.len() == pairs.len(), "PESQ scored {} of {} pairs", scores.len(), pairs.len());
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_at_its_own_frequency_only() {
        let tone = tone(8_000, 440.0, 0.5);
        assert!(share_at(&tone, 8_000, 440.0) > 0.99);
        assert!(share_at(&tone, 8_000, 700.0) < 0.01);
    }

    #[test]
    fn a_needle_is_found_where_it_was_put() {
        let mut whole = tone(8_000, 300.0, 0.1);
        let needle: Vec<i16> = (0..2_000).map(|n: i32| (n * n % 4_001 - 2_000) as i16 * (n / 500) as i16).collect();
        whole.extend(&needle);
        whole.extend(tone(8_000, 300.0, 0.1));
        let (place, likeness) = find(&whole, &needle).expect("room for it");
        assert_eq!(place, 800);
        assert!(likeness > 0.999);
    }

    #[test]
    fn a_recording_is_read_by_its_header_and_a_cut_one_refused() {
        let mut bytes =
            b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x07\0\x02\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x08\0data\x04\0\0\0".to_vec();
        bytes.extend([1, 2, 3, 4]);
        let recording = Recording::parse(&bytes).expect("a whole file");
        assert_eq!((recording.format, recording.left, recording.right), (7, vec![1, 3], vec![2, 4]));
        assert!(Recording::parse(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn instants_of_records_are_read() {
        assert_eq!(instant_us("1970-01-01T00:00:01.5Z"), Some(1_500_000));
        assert_eq!(instant_us("2026-11-22T23:16:25.000123Z"), Some(1_795_389_385_000_123));
        assert_eq!(instant_us("2024-02-29T00:00:00.000Z"), Some(1_709_164_800_000_000));
        assert_eq!(instant_us("yesterday"), None);
    }
}
