//! Two phones of ours call each other over loopback.
#![expect(clippy::disallowed_methods, reason = "tests of an edge have clocks")]

mod harness;

use std::time::Duration;

use harness::{Desk, files, noise, on_loopback};
use offhook_codec::pcmu;
use offhook_phone::{Bound, Dial, EndedBy, PhoneEvent};
use offhook_units::Span;

fn encoded(samples: &[i16]) -> Vec<u8> {
    let mut out = vec![0; samples.len()];
    pcmu::encode(samples, &mut out);
    out
}

#[test]
fn payload_bytes_received_equal_those_sent_both_ways_from_the_first_packet_to_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let (said, replied) = (noise(1, 12_000), noise(2, 16_000));
    let mut callee = on_loopback(files(folder.path(), "callee", Some(replied.clone())));
    callee.auto_answer = Some(Span::from_ms(50));
    let callee = Desk::start(callee, 3);
    let caller = Desk::start(on_loopback(files(folder.path(), "caller", Some(said.clone()))), 4);

    let dial = Dial { hang_up_after: Some(Span::from_ms(2_500)), ..Dial::to(&callee.uri()).unwrap() };
    caller.phone.dial(dial).unwrap();
    let (out, back) = (caller.ended(), callee.ended());

    assert!(out.answered && back.answered);
    assert_eq!((out.bound, back.bound), (Bound::Out, Bound::In));
    assert_eq!((out.ended_by, back.ended_by), (EndedBy::Us, EndedBy::Peer));
    for (name, sent, received) in
        [("caller to callee", &out.media, &back.media), ("callee to caller", &back.media, &out.media)]
    {
        assert!(sent.sent_packets >= 110, "{name}: {sent:?}");
        assert_eq!(sent.sent_packets, received.received_packets, "{name}");
        assert_eq!(sent.sent_payload_sha256, received.received_payload_sha256, "{name}");
        assert_eq!((received.lost, received.late, received.discarded), (0, 0, 0), "{name}: {received:?}");
    }
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("caller.out"), read("callee.in"));
    assert_eq!(read("callee.out"), read("caller.in"));
    // What was heard begins with the file as it was encoded, byte by byte.
    assert_eq!(read("callee.in")[..12_000], encoded(&said));
    assert_eq!(read("caller.in")[..16_000], encoded(&replied));
    let heard: Vec<i16> =
        hound::WavReader::open(folder.path().join("callee.wav")).unwrap().samples().map(Result::unwrap).collect();
    let mut decoded = vec![0; 8_000];
    pcmu::decode(&encoded(&said)[..8_000], &mut decoded);
    assert!(
        heard.windows(8_000).any(|window| window == decoded),
        "the recording holds a second of what was said, untouched"
    );
}

#[test]
fn keys_hold_mute_and_resume_pass_through_and_the_callee_may_hang_up() {
    let folder = tempfile::tempdir().unwrap();
    let callee = Desk::start(on_loopback(files(folder.path(), "callee", None)), 5);
    let caller = Desk::start(on_loopback(files(folder.path(), "caller", Some(noise(1, 80_000)))), 6);
    let keys = vec![(Span::from_ms(100), "19#".to_owned())];
    let call = caller.phone.dial(Dial { keys, ..Dial::to(&callee.uri()).unwrap() }).unwrap();
    let rings = callee.incoming();
    caller.wait("ringing", |event| matches!(event, PhoneEvent::Progress { status: 180, .. }).then_some(()));
    callee.phone.answer(rings);
    caller.answered();
    for digit in "19#".chars() {
        callee.wait("a key", |event| matches!(event, PhoneEvent::Key { digit: d, .. } if *d == digit).then_some(()));
    }
    let held_by_peer = |desk: &Desk, wanted: bool| {
        desk.wait("hold", |event| {
            matches!(event, PhoneEvent::Held { by_peer, .. } if *by_peer == wanted).then_some(())
        });
    };
    caller.phone.hold(call, true);
    held_by_peer(&callee, true);
    caller.phone.hold(call, false);
    held_by_peer(&callee, false);
    caller.phone.mute(call, true);
    caller.wait("mute", |event| matches!(event, PhoneEvent::Muted { on: true, .. }).then_some(()));
    callee.phone.hang_up(rings);
    let (out, back) = (caller.ended(), callee.ended());
    assert_eq!((out.ended_by, back.ended_by), (EndedBy::Peer, EndedBy::Us));
    assert_eq!(back.media.keys, "19#");
    assert_eq!(back.media.received_payload_sha256, out.media.sent_payload_sha256);
}

#[test]
fn a_call_that_is_held_in_the_moment_of_its_answer_is_held_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let callee = Desk::start(on_loopback(files(folder.path(), "callee", None)), 15);
    let caller = Desk::start(on_loopback(files(folder.path(), "caller", None)), 16);
    for _ in 0..20 {
        caller.phone.dial(Dial::to(&callee.uri()).unwrap()).unwrap();
        let call = callee.incoming();
        // Before the ACK is here.
        callee.phone.answer(call);
        callee.phone.hold(call, true);
        caller.wait("hold", |event| matches!(event, PhoneEvent::Held { by_peer: true, .. }).then_some(()));
        callee.phone.hang_up(call);
        assert_eq!((callee.ended().ended_by, caller.ended().ended_by), (EndedBy::Us, EndedBy::Peer));
    }
}

#[test]
fn a_phone_transfers_nobody_at_a_peers_wish_and_the_two_talk_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut callee = on_loopback(files(folder.path(), "callee", None));
    callee.auto_answer = Some(Span::ZERO);
    let callee = Desk::start(callee, 11);
    let caller = Desk::start(on_loopback(files(folder.path(), "caller", None)), 12);
    let call = caller.phone.dial(Dial::to(&callee.uri()).unwrap()).unwrap();
    caller.phone.transfer(call, "sip:x@127.0.0.1").unwrap();
    caller.wait("a fault: nobody has answered", |event| matches!(event, PhoneEvent::Fault { .. }).then_some(()));
    caller.answered();
    caller.phone.transfer(call, "sip:x@127.0.0.1").unwrap();
    let (status, over) = caller.wait("the refusal", |event| match event {
        PhoneEvent::Transfer { status, over, .. } => Some((*status, *over)),
        _ => None,
    });
    assert_eq!((status, over), (603, true));
    caller.phone.join(call, call + 1);
    caller.wait("a fault: there is no second call", |event| matches!(event, PhoneEvent::Fault { .. }).then_some(()));
    callee.phone.off();
    assert_eq!(caller.ended().ended_by, EndedBy::Peer);
}

#[test]
fn a_phone_answers_by_itself_where_it_is_asked_to_and_may_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut callee = on_loopback(files(folder.path(), "callee", None));
    callee.answer_when_asked = true;
    let callee = Desk::start(callee, 13);
    let caller = Desk::start(on_loopback(files(folder.path(), "caller", None)), 14);
    for (header, value) in
        [("Call-Info", "<sip:x>;answer-after=0"), ("Alert-Info", "<http://x>;info=alert-autoanswer;delay=0")]
    {
        let headers = vec![(header.to_owned(), value.to_owned())];
        let call = caller.phone.dial(Dial { headers, ..Dial::to(&callee.uri()).unwrap() }).unwrap();
        caller.answered();
        caller.phone.hang_up(call);
        assert_eq!((caller.ended().ended_by, callee.ended().ended_by), (EndedBy::Us, EndedBy::Peer));
    }
    // Nobody asked: it rings.
    let give_up_after = Some(Span::from_ms(300));
    caller.phone.dial(Dial { give_up_after, ..Dial::to(&callee.uri()).unwrap() }).unwrap();
    assert!(!caller.ended().answered);
}

#[test]
fn a_call_that_is_declined_busy_given_up_or_abandoned_ends_with_the_right_word_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let callee = Desk::start(on_loopback(files(folder.path(), "callee", None)), 7);
    let mut caller = on_loopback(files(folder.path(), "caller", None));
    caller.lines_max = 4;
    let caller = Desk::start(caller, 8);
    let uri = callee.uri();

    caller.phone.dial(Dial::to(&uri).unwrap()).unwrap();
    let rings = callee.incoming();
    caller.phone.dial(Dial::to(&uri).unwrap()).unwrap();
    let busy = caller.ended();
    assert_eq!((busy.ended_by, busy.status, busy.answered), (EndedBy::Refused, Some(486), false));
    callee.phone.hang_up(rings);
    assert_eq!(caller.ended().status, Some(486));
    assert_eq!(callee.ended().ended_by, EndedBy::Us);

    let give_up_after = Some(Span::from_ms(300));
    caller.phone.dial(Dial { give_up_after, ..Dial::to(&uri).unwrap() }).unwrap();
    let given_up = caller.ended();
    assert!(!given_up.answered && given_up.ended_by == EndedBy::Us, "{given_up:?}");
    assert_eq!(given_up.reason.as_deref().map(|why| why.starts_with("not answered within 3")), Some(true));
    assert_eq!(callee.ended().ended_by, EndedBy::Cancelled);

    // Somebody who does not even say that he tries.
    let silent = offhook_net::sip::SipSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let began = std::time::Instant::now();
    caller.phone.dial(Dial { give_up_after, ..Dial::to(&format!("sip:x@{}", silent.local())).unwrap() }).unwrap();
    assert!(!caller.ended().answered);
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn switching_off_hangs_up_and_is_done_within_two_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let mut callee = on_loopback(files(folder.path(), "callee", None));
    callee.auto_answer = Some(Span::ZERO);
    let callee = Desk::start(callee, 9);
    let caller = Desk::start(on_loopback(files(folder.path(), "caller", None)), 10);
    caller.phone.dial(Dial::to(&callee.uri()).unwrap()).unwrap();
    caller.answered();
    callee.wait("speech", |event| matches!(event, PhoneEvent::FirstPacket { .. }).then_some(()));
    let began = std::time::Instant::now();
    caller.phone.off();
    caller.wait("off", |event| matches!(event, PhoneEvent::Off).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(callee.ended().ended_by, EndedBy::Peer);
}
