//! `offhook bench media`: a trace of a network replayed through the jitter buffer and its concealment, on a virtual clock.
//!
//! The trace is `seq,send_ms,recv_ms|lost` by line, packets of 20 ms. The log has, in ms of the trace's clock: `start,MS` of the
//! output's first sample; `D,t,seq,ms` when a packet's first sample is heard; `F,t,concealed,total` and `S,t,removed,inserted` in samples.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use offhook_codec::{Encoder, G711, Law};
use offhook_media::{Arrival, JitterConfig, PULL_EVERY, Step, replay};
use offhook_units::{RtpSeq, RtpTime, SampleRate, Tick};

/// Samples of a packet: 20 ms at 8 kHz.
const PACKET: usize = 160;

/// The codecs of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Codec {
    Pcmu,
    Pcma,
}

/// The settings of the jitter buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Setting {
    /// Conversation first.
    LowLatency,
    /// Speech first.
    Robust,
}

/// Replays a network.
#[derive(Debug, clap::Args)]
pub struct MediaArgs {
    /// The network: `seq,send_ms,recv_ms|lost` by line after one line of heading.
    #[arg(long)]
    trace: PathBuf,
    /// What is said: a WAV file of 16 bits, mono, 8 kHz; repeated where the trace is longer.
    #[arg(long)]
    speech: PathBuf,
    /// The codec.
    #[arg(long, value_enum, default_value = "pcmu")]
    codec: Codec,
    /// What is heard, as a WAV file.
    #[arg(long)]
    out: PathBuf,
    /// What the jitter buffer did, as lines.
    #[arg(long)]
    log: PathBuf,
    /// Its setting.
    #[arg(long, value_enum, default_value = "robust")]
    setting: Setting,
    /// When the listener's clock begins to pull, in milliseconds of the trace's; it pulls every 10 ms.
    #[arg(long, default_value_t = 4.0)]
    start_ms: f64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Replays and writes what came of it.
pub fn run(args: &MediaArgs) -> anyhow::Result<ExitCode> {
    let law = match args.codec {
        Codec::Pcmu => Law::Mu,
        Codec::Pcma => Law::A,
    };
    let config = match args.setting {
        Setting::LowLatency => JitterConfig::low_latency(),
        Setting::Robust => JitterConfig::default(),
    };
    let payloads = payloads(&args.speech, law)?;
    let text = std::fs::read_to_string(&args.trace).with_context(|| format!("reading {}", args.trace.display()))?;
    let arrivals = arrivals(&text).with_context(|| format!("in {}", args.trace.display()))?;
    let mut heard = Heard::new(args.start_ms);
    let of = |n: usize| {
        let at = n % (payloads.len() / PACKET) * PACKET;
        &payloads[at..at + PACKET]
    };
    replay(config, &mut G711::new(law), &arrivals, of, tick(args.start_ms)?, |step, pcm| heard.note(step, pcm));
    write_wav(&args.out, &heard.pcm)?;
    std::fs::write(&args.log, &heard.log).with_context(|| format!("writing {}", args.log.display()))?;
    let total = heard.pcm.len();
    let (concealed, stretched) = (heard.concealed, heard.stretched);
    if args.json {
        println!("{{\"samples\":{total},\"concealed_samples\":{concealed},\"stretched_samples\":{stretched}}}");
    } else {
        let seconds = total as f64 / f64::from(SampleRate::NARROW.0);
        println!("{seconds:.1} s heard; {concealed} samples invented, {stretched} removed or inserted");
    }
    Ok(ExitCode::SUCCESS)
}

/// What is heard, and the log of it.
struct Heard {
    pcm: Vec<i16>,
    log: String,
    concealed: usize,
    stretched: usize,
    /// The newest packet number told: the buffer knows its last 16 bits.
    newest: i64,
}

impl Heard {
    fn new(start_ms: f64) -> Self {
        Self { pcm: Vec::new(), log: format!("start,{start_ms}\n"), concealed: 0, stretched: 0, newest: 0 }
    }

    fn note(&mut self, step: Step, pcm: &[i16]) {
        let ms = step.at.as_us() as f64 / 1_000.0;
        let per_sample = PULL_EVERY.as_ms() as f64 / pcm.len() as f64;
        for (seq, offset) in step.played.begun.iter().flatten() {
            self.newest += i64::from(seq.distance(RtpSeq(self.newest as u16)));
            let newest = self.newest;
            self.line(format_args!("D,{ms},{newest},{}", ms + *offset as f64 * per_sample));
        }
        self.line(format_args!("F,{ms},{},{}", step.played.concealed, pcm.len()));
        if step.played.removed + step.played.inserted > 0 {
            self.line(format_args!("S,{ms},{},{}", step.played.removed, step.played.inserted));
        }
        self.concealed += step.played.concealed;
        self.stretched += step.played.removed + step.played.inserted;
        self.pcm.extend_from_slice(pcm);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.log, "{line}");
    }
}

fn tick(ms: f64) -> anyhow::Result<Tick> {
    ensure!((0.0..1e12).contains(&ms), "{ms} ms is no time after the trace's begin");
    Ok(Tick::from_us((ms * 1_000.0).round() as u64))
}

fn arrivals(text: &str) -> anyhow::Result<Vec<Arrival>> {
    let mut arrivals = Vec::new();
    for (n, line) in text.lines().enumerate().skip(1) {
        let parsed = arrival(line, arrivals.len()).with_context(|| format!("line {}: `{line}`", n + 1))?;
        arrivals.push(parsed);
    }
    ensure!(!arrivals.is_empty(), "no packet: a heading and lines of seq,send_ms,recv_ms|lost are expected");
    Ok(arrivals)
}

fn arrival(line: &str, expected: usize) -> anyhow::Result<Arrival> {
    let mut fields = line.trim().split(',');
    let (Some(seq), Some(_), Some(received), None) = (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        bail!("three fields are expected: seq,send_ms,recv_ms|lost");
    };
    ensure!(seq.parse() == Ok(expected), "packet {expected} is expected");
    let at = if received == "lost" { None } else { Some(tick(received.parse()?)?) };
    Ok(Arrival { at, timestamp: RtpTime((expected as u32).wrapping_mul(PACKET as u32)) })
}

/// The speech as the payloads of packets, one after the other.
fn payloads(path: &Path, law: Law) -> anyhow::Result<Vec<u8>> {
    let mut reader = hound::WavReader::open(path).with_context(|| format!("reading {}", path.display()))?;
    let spec = reader.spec();
    ensure!(
        (spec.channels, spec.sample_rate, spec.bits_per_sample) == (1, SampleRate::NARROW.0, 16),
        "{}: 16 bits, mono, 8 kHz are expected",
        path.display()
    );
    let pcm = reader.samples().collect::<Result<Vec<i16>, _>>()?;
    ensure!(pcm.len() >= PACKET, "{}: shorter than a packet of 20 ms", path.display());
    let mut bytes = vec![0; pcm.len()];
    G711::new(law).encode(&pcm, &mut bytes);
    Ok(bytes)
}

fn write_wav(path: &Path, pcm: &[i16]) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SampleRate::NARROW.0,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).with_context(|| format!("writing {}", path.display()))?;
    for sample in pcm {
        writer.write_sample(*sample)?;
    }
    Ok(writer.finalize()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_and_a_wrong_line_is_named() {
        let read = arrivals("seq,send_ms,recv_ms\n0,0.000,50.250\n1,20.000,lost\n").unwrap();
        assert_eq!(read[0].at, Some(Tick::from_us(50_250)));
        assert_eq!((read[1].at, read[1].timestamp), (None, RtpTime(160)));
        for wrong in ["", "seq,send_ms,recv_ms\n1,0,0\n", "h\n0,0,-1\n", "h\n0,0\n", "h\n0,0,nan\n", "h\n0,0,0,0\n"] {
            assert!(arrivals(wrong).is_err(), "{wrong:?}");
        }
        assert!(format!("{:#}", arrivals("h\n0,0,x\n").unwrap_err()).contains("line 2"));
    }
}
