//! VoIP metrics (RFC 3611): told to who asks for them, in every report; and what a peer tells passed on.

mod harness;

use harness::*;
use offhook_codec::Law;
use offhook_plan::{CodecKind, MediaCommand, MediaEvent, Negotiated, PeerMetrics};
use offhook_rtp::{REPORT_BYTES_MAX, Report, ReportWriter, VoipMetrics, read_reports};
use offhook_units::{Span, Tick};

/// What we told the peer of the caller's leg in our reports, about its source, to the end.
fn told_to_caller(floor: &mut Floor, source: u32) -> Vec<VoipMetrics> {
    let key = floor.key(address(local(CALLER).port() + 1));
    floor.command(MediaCommand::Close(CALL));
    let reports = floor.network.sent.iter().filter(|sent| sent.key == key);
    reports.filter_map(|sent| read_reports(&sent.bytes, source).unwrap().metrics).collect()
}

/// The caller says a tone of -23 dBov for 20 s; of packets 500 to 520 every second one is lost.
fn talk_with(asks: bool) -> (Floor, u32) {
    let mut floor = Floor::new();
    let caller = Negotiated { voip_metrics: asks, ..agreed(CALLER, CodecKind::Pcmu) };
    let edges = vec![hears(CALLER, AGENT, Tick::MAX), hears(AGENT, CALLER, Tick::MAX)];
    floor.command(plan(1, vec![leg_plan(CALLER, Some(caller)), pcmu(AGENT)], edges, vec![]));
    let mut caller = Speaker::new(CALLER);
    for n in 0..1_000_u64 {
        let sample = |at: u64| 3_276.0 * (core::f64::consts::TAU * (n * 160 + at) as f64 / 16.0).sin();
        let payload: Vec<u8> = (0..160).map(|at| Law::Mu.encode(sample(at) as i16)).collect();
        let packet = caller.packet(0, false, &payload);
        (caller.seq, caller.timestamp) = (caller.seq.wrapping_add(1), caller.timestamp.wrapping_add(160));
        if !((500..520).contains(&n) && n % 2 == 0) {
            floor.receive(CALLER, peer(CALLER), &packet);
        }
        floor.run_to(floor.now + Span::from_ms(20));
    }
    (floor, caller.ssrc)
}

#[test]
fn who_asks_is_told_loss_bursts_level_and_scores_in_every_report() {
    let (mut floor, source) = talk_with(true);
    let told = told_to_caller(&mut floor, source);
    assert!((3..=9).contains(&told.len()), "{} reports in 20 s", told.len());
    let last = told.last().unwrap();
    // 10 of 1,000 lost, all within 19 packets; before and after these 981.
    assert_eq!((last.lost, last.burst_density, last.burst_ms, last.gap_density), (2, 134, 380, 0));
    assert_eq!(last.gap_ms, 9_810);
    assert_eq!((last.signal_dbm0, last.noise_dbm0), (Some(-17), None));
    assert_eq!((last.jitter_buffer_ms, last.end_system_ms), (0, 0), "it is relayed");
    let (listening, talking) = (last.mos_lq_x10.unwrap(), last.mos_cq_x10.unwrap());
    assert!((42..=44).contains(&listening) && (40..=listening).contains(&talking), "{last:?}");
    assert!(last.rating.is_some_and(|rating| (80..=92).contains(&rating)), "{last:?}");
}

#[test]
fn who_does_not_ask_is_told_nothing() {
    let (mut floor, source) = talk_with(false);
    assert_eq!(told_to_caller(&mut floor, source), []);
}

#[test]
fn what_a_peer_tells_is_passed_on_once_and_again_when_it_changes_and_not_about_others() {
    let (mut floor, source) = talk_with(true);
    let ours = 0xaaaa_0000 + CALLER.0 as u32;
    let told = |floor: &mut Floor| -> Vec<PeerMetrics> {
        let metrics = floor.events().into_iter().filter_map(|event| match event {
            MediaEvent::PeerTold { call: CALL, leg: CALLER, metrics } => Some(metrics),
            _ => None,
        });
        metrics.collect()
    };
    let report = |floor: &mut Floor, about: u32, burst_ms: u16| {
        let metrics = VoipMetrics { lost: 5, burst_ms, mos_cq_x10: Some(38), ..VoipMetrics::default() };
        let block = Report { ssrc: about, ..Report::default() };
        let (block, metrics) = (Some((block, 0, 0)), Some(metrics));
        let writer = ReportWriter { ssrc: source, sender: None, block, cname: "x", metrics, bye: false };
        let mut out = [0; REPORT_BYTES_MAX];
        let length = writer.write(&mut out);
        let (key, from) = (floor.key(address(local(CALLER).port() + 1)), address(peer(CALLER).port() + 1));
        floor.worker.receive(&mut floor.network, floor.now, key, from, &mut out, length);
        floor.run_to(floor.now + Span::from_ms(500));
    };
    assert_eq!(told(&mut floor), []);
    report(&mut floor, ours + 1, 100);
    assert_eq!(told(&mut floor), [], "about another source");
    report(&mut floor, ours, 100);
    report(&mut floor, ours, 100);
    let expected = PeerMetrics { lost: 5, burst_ms: 100, mos_cq_x10: Some(38), ..PeerMetrics::default() };
    assert_eq!(told(&mut floor), [expected]);
    report(&mut floor, ours, 140);
    assert_eq!(told(&mut floor), [PeerMetrics { burst_ms: 140, ..expected }]);
    floor.command(MediaCommand::Close(CALL));
    assert_eq!(told(&mut floor), []);
}
