//! What is shown and what keys mean, on screens that are no terminal.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw::{Spots, draw};
use super::*;
use crate::agent::Customer;
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

fn agent(state: AgentState, customer: Option<Customer>) -> PhoneEvent {
    let reason = (state == AgentState::NotReady).then(|| "lunch".to_owned());
    let (since, until) = (Tick::from_us(3_700_000_000), Some(Tick::from_us(3_755_000_000)));
    let (name, queues) = ("Ann".to_owned(), vec!["Sales".to_owned(), "Service".to_owned()]);
    PhoneEvent::Agent { agent: Box::new(AgentNow { name, state, reason, since, until, queues, customer }) }
}

#[test]
fn a_conference_shows_both_and_f_splits_it_again() {
    let mut view = view();
    view.take(&told(incoming(1, "Anna")));
    view.take(&told(answered(1)));
    assert_eq!(press(&mut view, 'f'), Wish::Nothing, "there is nobody to confer with");
    view.take(&told(PhoneEvent::Dialing { call: 2, uri: "sip:7@x".into() }));
    assert_eq!(press(&mut view, 'f'), Wish::Nothing, "the other one has not answered");
    view.take(&told(answered(2)));
    assert_eq!(press(&mut view, 'f'), Wish::Confer(2, 1));
    view.take(&told(PhoneEvent::Conference { calls: vec![2, 1], on: true }));
    for part in ["∴  C O N F E R E N C E", "sip:7@x and Anna  +49301", "∴ CONFERENCE"] {
        assert!(text(&view).contains(part), "{part} is missing in\n{}", text(&view));
    }
    assert_eq!(press(&mut view, 's'), Wish::Nothing, "there is nothing to swap");
    view.take(&told(PhoneEvent::Held { call: 1, by_us: true, by_peer: false }));
    assert!(text(&view).contains("ON HOLD"), "one may be held in it");
    assert_eq!(press(&mut view, 'f'), Wish::Split(2));
    view.take(&told(PhoneEvent::Conference { calls: vec![2, 1], on: false }));
    assert!(!text(&view).contains("C O N F"), "{}", text(&view));
}

#[test]
fn an_agents_state_its_keys_and_what_is_known_of_a_customer_are_shown() {
    let mut view = view();
    assert!(!text(&view).contains("not ready") && press(&mut view, 'o') == Wish::Nothing, "no exchange was asked");
    for (state, shown, keys) in [
        (
            AgentState::Available,
            "●  R E A D Y",
            [None, Some(Wish::TypeReason), None, Some(Wish::Agent(AgentWish::LoggedOut))],
        ),
        (
            AgentState::NotReady,
            "‖  N O T   R E A D Y :   L U N C H   0 : 3 0",
            [
                Some(Wish::Agent(AgentWish::Available)),
                Some(Wish::TypeReason),
                None,
                Some(Wish::Agent(AgentWish::LoggedOut)),
            ],
        ),
        (
            AgentState::WrapUp,
            "✎  W R A P - U P ,   0 : 2 5   L E F T",
            [
                None,
                Some(Wish::TypeReason),
                Some(Wish::Agent(AgentWish::WrapUpDone)),
                Some(Wish::Agent(AgentWish::LoggedOut)),
            ],
        ),
        (
            AgentState::LoggedOut,
            "○  L O G G E D   O U T",
            [Some(Wish::Agent(AgentWish::Available)), None, None, Some(Wish::Agent(AgentWish::Available))],
        ),
    ] {
        view.take(&told(agent(state, None)));
        let text = text(&view);
        assert!(text.contains(shown) && text.contains("Ann · Sales, Service"), "{shown} is missing in\n{text}");
        for (key, wish) in ['y', 'o', 'w', 'l'].into_iter().zip(keys) {
            assert_eq!(view.meaning(KeyCode::Char(key)), wish.unwrap_or(Wish::Nothing), "{key} while {state:?}");
        }
    }
    let customer = Customer {
        call: "call-1".into(),
        caller: "Anna".into(),
        queue: Some("Sales".into()),
        waits_since: Some(Tick::from_us(3_640_000_000)),
        entered: "12".into(),
        callback: false,
        earlier: 3,
        note: Some("Order/New: the parcel\nwas \u{1b}[2Jopen".into()),
    };
    view.take(&told(incoming(1, "Anna")));
    view.take(&told(agent(AgentState::Offered, Some(customer))));
    for part in [
        "◆  R I N G S",
        "queue Sales · waits 1:30 · pressed 12 · called 3 times before",
        "✎ Order/New: the parcel was [2Jopen",
        "◆ offered",
    ] {
        assert!(text(&view).contains(part), "{part} is missing in\n{}", text(&view));
    }
}

#[test]
fn a_reason_is_typed_or_chosen_by_its_digit() {
    for (typed, reason) in [("2", Some("lunch")), ("dentist", Some("dentist")), ("9", Some("9")), ("", None)] {
        let mut view = view();
        view.take(&told(agent(AgentState::Available, None)));
        assert_eq!(press(&mut view, 'o'), Wish::TypeReason);
        assert!(text(&view).contains("(1 break, 2 lunch, 3 meeting"), "{}", text(&view));
        typed.chars().for_each(|letter| assert_eq!(press(&mut view, letter), Wish::Nothing));
        let wish = view.key(KeyEvent::from(KeyCode::Enter));
        assert_eq!(wish, Wish::Agent(AgentWish::NotReady(reason.map(str::to_owned))), "{typed}");
    }
}

#[test]
fn earlier_numbers_come_back_by_the_arrows_newest_first() {
    let mut view = view();
    for (call, number) in [(1, "+49301"), (2, "+49302"), (3, "+49301")] {
        view.take(&told(PhoneEvent::Incoming { call, number: number.into(), name: None, queue: None }));
    }
    press(&mut view, 'c');
    let shown = |view: &View| view.typed.as_ref().map(|typed| typed.text.clone()).unwrap_or_default();
    let mut numbers = Vec::new();
    for key in [KeyCode::Up, KeyCode::Up, KeyCode::Up, KeyCode::Down, KeyCode::Down] {
        assert_eq!(view.key(KeyEvent::from(key)), Wish::Nothing);
        numbers.push(shown(&view));
    }
    assert_eq!(numbers, ["+49301", "+49302", "+49302", "+49301", ""]);
}

#[test]
fn messages_that_wait_and_a_server_that_is_lost_are_shown() {
    let mut view = view();
    view.take(&told(PhoneEvent::Mailbox { waiting: true, new: Some(2), old: Some(8) }));
    let server = PhoneEvent::Server { address: "192.0.2.2:5060".parse().unwrap(), why: "no answer".into() };
    view.take(&told(server));
    view.take(&told(PhoneEvent::Moved { address: "192.0.2.9:5070".parse().unwrap() }));
    for part in [
        "✉ 2 new",
        "01:02:03  the mailbox has 2 new",
        "the server is lost (no answer): 192.0.2.2:5060 is asked",
        "our address is 192.0.2.9:5070 now",
    ] {
        assert!(text(&view).contains(part), "{part} is missing in\n{}", text(&view));
    }
    view.take(&told(PhoneEvent::Mailbox { waiting: false, new: Some(0), old: Some(10) }));
    assert!(!text(&view).contains('✉'));
}
