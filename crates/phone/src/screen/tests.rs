//! What is shown and what keys mean, on screens that are no terminal.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw::{Spots, draw};
use super::*;
use crate::meters::Quality;

fn told(event: PhoneEvent) -> Told {
    Told { at: Tick::from_us(3_723_000_000), event }
}

fn view() -> View {
    View::new("sip:alice@example.com", VoiceSwitches::ON)
}

fn press(view: &mut View, key: char) -> Wish {
    view.key(KeyEvent::from(KeyCode::Char(key)))
}

fn incoming(call: u32, name: &str) -> PhoneEvent {
    PhoneEvent::Incoming { call, number: "+49301".into(), name: Some(name.into()), queue: Some("Sales".into()) }
}

fn answered(call: u32) -> PhoneEvent {
    PhoneEvent::Answered { call, setup_ms: 1.0, codec: Some("PCMU") }
}

/// The screen's lines, and where a mouse finds what.
fn drawn(view: &View, at_us: u64, width: u16, height: u16) -> (Vec<String>, Spots) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut spots = Spots::default();
    terminal.draw(|frame| spots = draw(view, Tick::from_us(at_us), true, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |row: u16| (0..width).map(|column| buffer[(column, row)].symbol()).collect::<String>();
    ((0..height).map(line).collect(), spots)
}

fn text(view: &View) -> String {
    drawn(view, 3_730_000_000, 80, 24).0.join("\n")
}

#[test]
fn a_ringing_call_shows_caller_and_queue_and_a_answers_it() {
    let mut view = view();
    view.take(&told(PhoneEvent::Registered { account: "x".into(), expires_s: 1 }));
    assert!(text(&view).contains("R E A D Y"), "{}", text(&view));
    view.take(&told(incoming(1, "Anna")));
    for part in [
        "◆  R I N G S",
        "Anna  +49301",
        "queue Sales",
        "0:07",
        "a answer",
        "01:02:03  Anna  +49301 calls",
        "● registered",
    ] {
        assert!(text(&view).contains(part), "{part} is missing in\n{}", text(&view));
    }
    assert_eq!(press(&mut view, 'm'), Wish::Nothing);
    assert_eq!(press(&mut view, 'a'), Wish::Answer(1, vec![]));
    view.take(&told(answered(1)));
    assert_eq!(press(&mut view, '5'), Wish::Press(1, '5'));
    assert_eq!(press(&mut view, 'h'), Wish::Hold(1, true));
    assert_eq!(press(&mut view, 'd'), Wish::HangUp(1));
    view.take(&told(PhoneEvent::Muted { call: 1, on: true }));
    assert!(text(&view).contains("∅  M U T E D"), "{}", text(&view));
}

#[test]
fn a_second_caller_is_answered_with_the_first_one_held_and_the_two_are_swapped() {
    let mut view = view();
    view.take(&told(incoming(1, "Anna")));
    view.take(&told(answered(1)));
    view.take(&told(incoming(2, "Ben")));
    assert_eq!(press(&mut view, 'm'), Wish::Mute(1, true), "keys are for the talk");
    assert_eq!(press(&mut view, 'a'), Wish::Answer(2, vec![1]));
    view.take(&told(answered(2)));
    view.take(&told(PhoneEvent::Held { call: 1, by_us: true, by_peer: false }));
    assert!(text(&view).contains("ON HOLD") && text(&view).contains("> ▶ TALKING"), "{}", text(&view));
    assert_eq!(press(&mut view, 's'), Wish::Swap(2, 1));
    assert_eq!(view.key(KeyEvent::from(KeyCode::Up)), Wish::Select(1));
    assert_eq!(press(&mut view, 'h'), Wish::Hold(1, false));
}

#[test]
fn a_talk_is_transferred_blind_or_after_a_word_with_the_target() {
    let mut view = view();
    view.take(&told(incoming(1, "Anna")));
    assert_eq!(press(&mut view, 't'), Wish::Nothing);
    press(&mut view, 'a');
    view.take(&told(answered(1)));
    assert_eq!(press(&mut view, 't'), Wish::TypeTransfer(1));
    "bob".chars().for_each(|letter| assert_eq!(press(&mut view, letter), Wish::Nothing));
    assert!(drawn(&view, 0, 60, 24).0[23].contains("transfer to: bob_"));
    assert_eq!(view.key(KeyEvent::from(KeyCode::Enter)), Wish::Transfer(1, "bob".into()));
    assert_eq!(press(&mut view, 'j'), Wish::Nothing, "there is nobody to join with");
    press(&mut view, 'c');
    press(&mut view, '7');
    assert_eq!(view.key(KeyEvent::from(KeyCode::Enter)), Wish::Consult(1, "7".into()));
    view.take(&told(PhoneEvent::Dialing { call: 2, uri: "sip:7@x".into() }));
    view.take(&told(answered(2)));
    assert_eq!(press(&mut view, 'd'), Wish::HangUp(2));
    assert_eq!(press(&mut view, 'j'), Wish::Join(1, 2));
    view.take(&told(PhoneEvent::Transfer { call: 1, status: 486, over: true }));
    assert!(text(&view).contains("came to nothing: 486 Busy Here"));
}

#[test]
fn an_address_is_typed_and_called_and_called_again() {
    let mut view = view();
    assert_eq!(press(&mut view, 'r'), Wish::Nothing, "nobody was called");
    assert_eq!(press(&mut view, 'c'), Wish::TypeCall);
    "bob@h".chars().for_each(|letter| assert_eq!(press(&mut view, letter), Wish::Nothing));
    assert!(drawn(&view, 0, 60, 24).0[23].contains("call: bob@h_"));
    assert_eq!(view.key(KeyEvent::from(KeyCode::Enter)), Wish::Dial("bob@h".into()));
    assert_eq!(press(&mut view, 'r'), Wish::Dial("bob@h".into()));
}

#[test]
fn levels_and_the_line_are_told_in_words() {
    let mut view = view();
    view.take(&told(incoming(1, "Anna")));
    view.take(&told(answered(1)));
    let meters = Meters {
        mouth_db: -30.0,
        ear_db: -3.0,
        quality: Quality::Poor,
        why: Some("words are lost in the network"),
        lost_percent: 7.5,
        jitter_ms: 12.0,
        jitter_buffer_ms: 30.0,
        devices_ms: 40,
        round_trip_ms: Some(80.0),
        device_xruns: 3,
        echo_cut_db: 20.0,
        gain_db: 4.0,
    };
    view.take(&told(PhoneEvent::Meters { call: 1, meters: Box::new(meters) }));
    let (lines, _) = drawn(&view, 3_730_000_000, 140, 24);
    let text = lines.join("\n");
    for part in [
        "●○○ line poor: words are lost in the network · 7.5 % lost · jitter 12 ms · round trip 80 ms",
        "3 gaps at the sound device · gain +4 dB",
        "you ███████████████░░░░░░░░░░░░░░░  -30 dB",
        "  -3 dB LOUD",
        "noise suppression on",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert_eq!(press(&mut view, 'n'), Wish::Voice(VoiceChange { noise: Some(false), ..VoiceChange::default() }));
    view.take(&told(PhoneEvent::Voice { echo: true, noise: false, gain: true }));
    assert!(self::text(&view).contains("noise suppression OFF"));
}

#[test]
fn the_mouse_finds_keys_that_mean_something_and_calls() {
    let mut view = view();
    view.take(&told(incoming(1, "Anna")));
    view.take(&told(answered(1)));
    view.take(&told(PhoneEvent::Dialing { call: 2, uri: "sip:7@x".into() }));
    let (lines, spots) = drawn(&view, 0, 80, 24);
    let find = |what: &str| {
        let row = lines.iter().position(|line| line.contains(what)).unwrap();
        let column = lines[row].split(what).next().unwrap().chars().count();
        (column as u16, row as u16)
    };
    let (column, row) = find("h hold");
    assert_eq!(spots.key(column, row), Some(KeyCode::Char('h')));
    let (column, row) = find("r redial");
    assert_eq!(spots.key(column, row), None, "it means nothing now");
    let (column, row) = find("▷ CALLING");
    assert_eq!((spots.call(column, row), spots.call(column, 0)), (Some(2), None));
}

#[test]
fn a_name_with_escape_sequences_does_not_steer_the_terminal() {
    let mut view = view();
    view.take(&told(incoming(1, "\u{1b}[2Jevil")));
    assert!(!text(&view).contains('\u{1b}') && text(&view).contains("?[2Jevil"));
}

#[test]
fn every_size_of_terminal_is_drawn_and_as_few_as_ten_lines_show_state_and_keys() {
    let mut view = view();
    (1..50).for_each(|call| view.take(&told(incoming(call, "A name that is rather long, too"))));
    for (width, height) in [(0, 0), (1, 1), (10, 3), (80, 24), (300, 5), (40, 60)] {
        drawn(&view, 0, width, height);
    }
    assert!(drawn(&view, 0, 100, 40).0.join("\n").contains("and 43 more"));
    let (lines, _) = drawn(&self::view(), 0, 80, 10);
    assert!(lines.join("\n").contains("R E A D Y") && lines.join("\n").contains("a answer"), "{lines:?}");
}
