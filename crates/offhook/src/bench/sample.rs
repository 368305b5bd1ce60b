//! What one caller of a run said and heard, as files, and what a program says of them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use offhook_loadgen::Report;
use offhook_loadgen::flows::Speech;

use super::words::{Codec, decode};

/// Writes `said.wav` and `heard.wav` into `folder`, and asks `judge`.
///
/// # Errors
/// The call was not answered, the files cannot be written, or the program fails or tells no number.
pub fn keep(
    report: &Report,
    speech: &Speech,
    codec: Codec,
    folder: &Path,
    judge: Option<&Path>,
) -> Result<Option<f64>> {
    let sample = report.sample.as_ref().filter(|sample| !sample.is_empty());
    let sample = sample
        .context("the call that was to be sampled heard nothing: it was not answered, or by nobody who speaks")?;
    let (said, heard) = (folder.join("said.wav"), folder.join("heard.wav"));
    let words = (0..sample.packets_said()).map(|n| (n as u32 * speech.step(), speech.payload(n)));
    write(&said, &decode(codec, words)?, codec)?;
    write(&heard, &decode(codec, sample.heard().iter().map(|(after, payload)| (*after, &payload[..])))?, codec)?;
    let Some(judge) = judge else { return Ok(None) };
    let output = Command::new(judge).arg(&said).arg(&heard).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("running {}", judge.display()))?;
    ensure!(output.status.success(), "{} ended with {}", judge.display(), output.status);
    let told = String::from_utf8_lossy(&output.stdout);
    let number =
        last_number(&told).with_context(|| format!("{} told no number: `{}`", judge.display(), told.trim()))?;
    Ok(Some(number))
}

/// The last of the words that is a number.
fn last_number(text: &str) -> Option<f64> {
    text.split_whitespace().rev().find_map(|word| word.parse::<f64>().ok()).filter(|number| number.is_finite())
}

fn write(path: &Path, samples: &[i16], codec: Codec) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: codec.rate().0,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).with_context(|| format!("writing {}", path.display()))?;
    for sample in samples {
        writer.write_sample(*sample)?;
    }
    writer.finalize().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use offhook_loadgen::sample::Sample;
    use offhook_units::RtpTime;

    use super::*;

    #[test]
    fn the_last_number_that_a_program_prints_is_the_quality_and_one_that_prints_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut sample = Sample::new(160);
        sample.hear(RtpTime(0), &[0x80; 160]);
        let report = Report { sample: Some(sample), ..Report::default() };
        let speech = Speech::cut(Codec::Pcmu.kind(), &[0x80; 160], 0xff, 1);
        let ask =
            |report: &Report, judge: &str| keep(report, &speech, Codec::Pcmu, folder.path(), Some(Path::new(judge)));
        // `wc` ends with the bytes of both: each has a header of 44 and 160 samples of two.
        assert_eq!(ask(&report, "wc").unwrap(), Some(728.0));
        let files = ["said.wav", "heard.wav"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
        assert_eq!(files[0], files[1]);
        assert!(ask(&report, "true").unwrap_err().to_string().contains("told no number"));
        assert!(ask(&report, "false").is_err() && ask(&Report::default(), "wc").is_err());
        assert_eq!(last_number("Raw MOS, MOS-LQO: 4.1  4.25\n"), Some(4.25));
        assert_eq!(last_number("nan inf -"), None);
    }
}
