//! Opus over lines that lose packets: by chance, and because they are too narrow. The listener reports every 5 s what it lost.

mod harness;

use harness::*;
use offhook_codec::Law;
use offhook_codec::opus::Decoder;
use offhook_plan::{CodecKind, Negotiated};
use offhook_rtp::{REPORT_BYTES_MAX, Report, ReportWriter};
use offhook_units::{Entropy, SampleRate, Span, Tick};

/// Bytes of IPv4, UDP and RTP around a payload.
const HEADERS: usize = 40;
const PACKETS_PER_REPORT: usize = 250;

/// Which packets come to their end of a line.
trait Line {
    /// Whether a packet of so many bytes comes, 20 ms after the one before.
    fn carries(&mut self, bytes: usize) -> bool;
}

/// So many of 100 packets are lost, whatever is sent.
struct Noisy(Entropy, u64);

impl Line for Noisy {
    fn carries(&mut self, _bytes: usize) -> bool {
        self.0.below(100) >= self.1
    }
}

/// So many bits a second, with a queue of 200 ms; what finds no room in it is lost.
struct Narrow {
    bits_per_s: usize,
    queued: usize,
}

impl Line for Narrow {
    fn carries(&mut self, bytes: usize) -> bool {
        self.queued = self.queued.saturating_sub(self.bits_per_s / 50);
        let fits = self.queued + bytes * 8 <= self.bits_per_s / 5;
        self.queued += if fits { bytes * 8 } else { 0 };
        fits
    }
}

/// A voice of 140 Hz that goes up and down, from a caller with PCMU to an agent with Opus at the far end of a line; gives what was
/// sent, and which of it came.
fn talk_over(line: &mut dyn Line, seconds: usize, reports: bool) -> Vec<(Vec<u8>, bool)> {
    let mut floor = Floor::new();
    let opus = Negotiated {
        codec: CodecKind::Opus,
        send_payload_type: 96,
        recv_payload_type: 96,
        ..agreed(AGENT, CodecKind::Pcmu)
    };
    let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    floor.command(plan(1, vec![pcmu(CALLER), leg_plan(AGENT, Some(opus))], edges, vec![]));
    let mut caller = Speaker::new(CALLER);
    let (mut phase, mut sent, mut told) = (0.0_f64, Vec::<(Vec<u8>, bool)>::new(), 0);
    for n in 0..seconds * 50 {
        let sample = |at: usize| {
            let second = (n * 160 + at) as f64 / 8_000.0;
            phase += core::f64::consts::TAU * (140.0 + 25.0 * (second * 9.0).sin()) / 8_000.0;
            let voice: f64 = (1..12).map(|k| (phase * f64::from(k)).sin() / f64::from(k)).sum();
            Law::Mu.encode((voice * 6_000.0 * (second * 14.0).sin().abs()) as i16)
        };
        let payload: Vec<u8> = (0..160).map(sample).collect();
        let packet = caller.packet(0, false, &payload);
        (caller.seq, caller.timestamp) = (caller.seq.wrapping_add(1), caller.timestamp.wrapping_add(160));
        floor.receive(CALLER, peer(CALLER), &packet);
        floor.run_to(floor.now + Span::from_ms(20));
        for (_, payload) in floor.heard_by(AGENT) {
            let came = line.carries(payload.len() + HEADERS);
            sent.push((payload, came));
        }
        if reports && sent.len() >= told + PACKETS_PER_REPORT {
            let lost = sent[told..].iter().filter(|(_, came)| !came).count();
            report(&mut floor, (lost * 256 / (sent.len() - told)) as u8);
            told = sent.len();
        }
    }
    sent
}

/// The agent's phone reports a loss, of 256.
fn report(floor: &mut Floor, fraction_lost: u8) {
    let ssrc = 0xaaaa_0000 + AGENT.0 as u32;
    let about = Report { ssrc, fraction_lost, cumulative_lost: 9, highest_seq: 9, jitter: 0 };
    let mut report = [0; REPORT_BYTES_MAX];
    let writer =
        ReportWriter { ssrc: 5, sender: None, block: Some((about, 0, 0)), cname: "x", metrics: None, bye: false };
    let length = writer.write(&mut report);
    let key = floor.key(address(local(AGENT).port() + 1));
    let from = address(peer(AGENT).port() + 1);
    floor.worker.receive(&mut floor.network, floor.now, key, from, &mut report, length);
}

/// How far what the listener hears in place of lost packets lies from what was sent in them, in dB below it: what the next packet
/// repeats, or what is made up.
fn error_db(sent: &[(Vec<u8>, bool)]) -> f64 {
    let (mut whole, mut patched) =
        (Decoder::new(SampleRate::NARROW).unwrap(), Decoder::new(SampleRate::NARROW).unwrap());
    let (mut said, mut wrong) = (0.0, 0.0);
    for (n, (payload, came)) in sent.iter().enumerate() {
        let (mut one, mut other) = ([0; 160], [0; 160]);
        whole.decode(payload, &mut one).unwrap();
        match sent.get(n + 1) {
            _ if *came => patched.decode(payload, &mut other),
            Some((after, true)) => patched.recover(after, &mut other),
            Some((_, false)) | None => patched.conceal(&mut other),
        }
        .unwrap();
        if !came {
            said += one.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
            let differs = |(a, b): (&i16, &i16)| (f64::from(*a) - f64::from(*b)).powi(2);
            wrong += one.iter().zip(&other).map(differs).sum::<f64>();
        }
    }
    10.0 * (said / wrong).log10()
}

#[test]
fn of_8_and_20_percent_lost_by_chance_what_is_heard_in_its_place_is_3_db_nearer_once_the_listener_has_reported() {
    for percent in [8, 20] {
        let rest = |reports| {
            let sent = talk_over(&mut Noisy(Entropy::from_number(3), percent), 30, reports);
            sent[sent.len() - 1_000..].to_vec()
        };
        let (told, untold) = (error_db(&rest(true)), error_db(&rest(false)));
        assert!(told > untold + 3.0, "{percent} %: {told:.1} dB told, {untold:.1} dB untold");
    }
}

#[test]
fn a_line_of_36_kbit_loses_over_4_percent_of_24_kbit_speech_and_under_2_once_the_listener_reports() {
    let lost = |reports| {
        let sent = talk_over(&mut Narrow { bits_per_s: 36_000, queued: 0 }, if reports { 150 } else { 50 }, reports);
        sent[1_000..].iter().filter(|(_, came)| !came).count() as f64 * 100.0 / (sent.len() - 1_000) as f64
    };
    let (told, untold) = (lost(true), lost(false));
    assert!(told < 2.0 && untold > 4.0, "{told:.1} % told, {untold:.1} % untold");
}
