//! The phone on a terminal: who calls, what can be done about it, and what happened last.
//!
//! [`View`] is what is shown, as plain lines; [`run`] puts it on the terminal and reads keys until the phone is off.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Print, SetAttribute};
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, queue, terminal};
use offhook_headset::VoiceSwitches;
use offhook_units::Tick;

use crate::clock::Clock;
use crate::event::{PhoneEvent, Told};
use crate::phone::{Dial, Phone, PhoneError, VoiceChange};
use crate::statistics::CallStatistics;

/// Lines of history that are kept.
const HISTORY_MAX: usize = 200;
/// Longest address that can be typed.
const TYPED_MAX: usize = 200;

/// How a call stands, for the eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Rings,
    Calling,
    Talking,
}

/// The call shown. A phone of one line has at most one.
#[derive(Debug, Clone)]
struct Shown {
    call: u32,
    stand: Stand,
    who: String,
    queue: Option<String>,
    codec: Option<&'static str>,
    since: Tick,
    muted: bool,
    held_by_us: bool,
    held_by_peer: bool,
}

/// What a key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// Answer this call.
    Answer(u32),
    /// Decline or end this call.
    HangUp(u32),
    /// Hold or take back.
    Hold(u32, bool),
    /// Mute or speak.
    Mute(u32, bool),
    /// Press this key in this call.
    Press(u32, char),
    /// Call this address.
    Dial(String),
    /// Hold this call and call this address, to talk to it first.
    Consult(u32, String),
    /// Transfer this call to this address.
    Transfer(u32, String),
    /// Join this call with that one, and leave both.
    Join(u32, u32),
    /// Switch parts of the microphone's processing.
    Voice(VoiceChange),
    /// Switch off.
    Quit,
}

/// What is shown.
#[derive(Debug)]
pub struct View {
    title: String,
    standing: String,
    calls: Vec<Shown>,
    history: VecDeque<String>,
    typed: Option<Typed>,
    voice: VoiceSwitches,
}

/// An address that is being typed.
#[derive(Debug)]
struct Typed {
    text: String,
    /// The call that is to be transferred there, where it is not called.
    transfer: Option<u32>,
}

impl View {
    /// An empty screen under this title.
    pub fn new(title: &str, voice: VoiceSwitches) -> Self {
        Self {
            title: title.to_owned(),
            standing: String::new(),
            calls: Vec::new(),
            history: VecDeque::new(),
            typed: None,
            voice,
        }
    }

    fn note(&mut self, at: Tick, text: &str) {
        let seconds = at.as_us() / 1_000_000 % 86_400;
        let line = format!("{:02}:{:02}:{:02}  {text}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
        self.history.push_back(printable(&line));
        if self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
    }

    fn call(&mut self, call: u32) -> Option<&mut Shown> {
        self.calls.iter_mut().find(|shown| shown.call == call)
    }

    fn add(&mut self, call: u32, stand: Stand, who: &str, queue: Option<&str>, since: Tick) {
        self.calls.push(Shown {
            call,
            stand,
            who: printable(who),
            queue: queue.map(printable),
            codec: None,
            since,
            muted: false,
            held_by_us: false,
            held_by_peer: false,
        });
    }

    /// Takes what the phone told.
    pub fn take(&mut self, told: &Told) {
        let at = told.at;
        match &told.event {
            PhoneEvent::Listening { address } => self.standing = format!("listens on {address}"),
            PhoneEvent::Registered { .. } => self.standing = "registered".into(),
            PhoneEvent::Unregistered { .. } => self.standing = "not registered".into(),
            PhoneEvent::RegistrationFailed { why, retry_in_ms, .. } => {
                self.standing = "not registered".into();
                self.note(at, &format!("registration failed: {why}; again in {} s", retry_in_ms / 1_000));
            }
            PhoneEvent::Incoming { call, number, name, queue } => {
                let who = name.as_ref().map_or_else(|| number.clone(), |name| format!("{name}  {number}"));
                self.note(at, &format!("{who} calls"));
                self.add(*call, Stand::Rings, &who, queue.as_deref(), at);
            }
            PhoneEvent::Dialing { call, uri } => self.add(*call, Stand::Calling, uri, None, at),
            PhoneEvent::Progress { status, .. } => self.note(at, &format!("the other phone says {status}")),
            PhoneEvent::Answered { call, codec, .. } => {
                if let Some(shown) = self.call(*call) {
                    (shown.stand, shown.since, shown.codec) = (Stand::Talking, at, *codec);
                }
            }
            PhoneEvent::Held { call, by_us, by_peer } => {
                if let Some(shown) = self.call(*call) {
                    (shown.held_by_us, shown.held_by_peer) = (*by_us, *by_peer);
                }
            }
            PhoneEvent::Muted { call, on } => {
                if let Some(shown) = self.call(*call) {
                    shown.muted = *on;
                }
            }
            PhoneEvent::Voice { echo, noise, gain } => {
                self.voice = VoiceSwitches { echo: *echo, noise: *noise, gain: *gain };
            }
            PhoneEvent::Transfer { status: 200, over: true, .. } => self.note(at, "transferred"),
            PhoneEvent::Transfer { status, over: true, .. } => {
                self.note(
                    at,
                    &format!("the transfer came to nothing: {status} {}", offhook_sip::reason_phrase(*status)),
                );
            }
            PhoneEvent::Key { digit, .. } => self.note(at, &format!("the other side pressed {digit}")),
            PhoneEvent::Device { what, .. } | PhoneEvent::Fault { what, .. } => self.note(at, what),
            PhoneEvent::Ended { statistics } => {
                self.calls.retain(|shown| shown.call != statistics.call);
                self.note(at, &statistics.line());
            }
            PhoneEvent::Transfer { .. }
            | PhoneEvent::FirstPacket { .. }
            | PhoneEvent::KeysSent { .. }
            | PhoneEvent::PlayFinished { .. } => {}
            PhoneEvent::Off => self.standing = "off".into(),
        }
    }

    /// What a key means now.
    pub fn key(&mut self, key: KeyEvent) -> Wish {
        if key.kind == KeyEventKind::Release {
            return Wish::Nothing;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Wish::Quit;
        }
        if let Some(mut typed) = self.typed.take() {
            match key.code {
                KeyCode::Enter if typed.text.is_empty() => return Wish::Nothing,
                KeyCode::Enter => {
                    let talks = self.calls.iter().find(|shown| shown.stand == Stand::Talking).map(|shown| shown.call);
                    return match (typed.transfer, talks) {
                        (Some(call), _) => Wish::Transfer(call, typed.text),
                        (None, Some(call)) => Wish::Consult(call, typed.text),
                        (None, None) => Wish::Dial(typed.text),
                    };
                }
                KeyCode::Esc => return Wish::Nothing,
                KeyCode::Backspace => drop(typed.text.pop()),
                KeyCode::Char(letter) if typed.text.len() < TYPED_MAX => typed.text.push(letter),
                _ => {}
            }
            self.typed = Some(typed);
            return Wish::Nothing;
        }
        let rings = self.calls.iter().find(|shown| shown.stand == Stand::Rings).map(|shown| shown.call);
        // The newest talk is the one that keys are for: while we consult, the other one is on hold.
        let talks = self.calls.iter().rev().find(|shown| shown.stand == Stand::Talking).cloned();
        let first = self.calls.last().map(|shown| shown.call);
        let older = self.calls.iter().find(|shown| shown.stand == Stand::Talking).map(|shown| shown.call);
        match (key.code, rings, talks) {
            (KeyCode::Char('q'), _, _) => Wish::Quit,
            (KeyCode::Char('a') | KeyCode::Enter, Some(call), _) => Wish::Answer(call),
            (KeyCode::Char('d'), _, _) => rings.or(first).map_or(Wish::Nothing, Wish::HangUp),
            (KeyCode::Char('h'), _, Some(shown)) => Wish::Hold(shown.call, !shown.held_by_us),
            (KeyCode::Char('m'), _, Some(shown)) => Wish::Mute(shown.call, !shown.muted),
            (KeyCode::Char(key @ ('0'..='9' | '*' | '#')), _, Some(shown)) => Wish::Press(shown.call, key),
            (KeyCode::Char('e'), _, _) => {
                Wish::Voice(VoiceChange { echo: Some(!self.voice.echo), ..VoiceChange::default() })
            }
            (KeyCode::Char('n'), _, _) => {
                Wish::Voice(VoiceChange { noise: Some(!self.voice.noise), ..VoiceChange::default() })
            }
            (KeyCode::Char('g'), _, _) => {
                Wish::Voice(VoiceChange { gain: Some(!self.voice.gain), ..VoiceChange::default() })
            }
            (KeyCode::Char('c'), _, _) => {
                self.typed = Some(Typed { text: String::new(), transfer: None });
                Wish::Nothing
            }
            (KeyCode::Char('t'), _, Some(shown)) => {
                self.typed = Some(Typed { text: String::new(), transfer: Some(shown.call) });
                Wish::Nothing
            }
            (KeyCode::Char('j'), _, Some(shown)) => match older.filter(|older| *older != shown.call) {
                Some(older) => Wish::Join(older, shown.call),
                None => Wish::Nothing,
            },
            _ => Wish::Nothing,
        }
    }

    /// The screen at `now` as lines of at most `width` characters, `height` of them; those that begin with `>` matter most.
    pub fn lines(&self, now: Tick, width: usize, height: usize) -> Vec<String> {
        let rule = "─".repeat(width);
        let gap = width.saturating_sub(self.title.chars().count() + self.standing.chars().count() + 2);
        let mut lines = vec![format!(" {}{}{} ", self.title, " ".repeat(gap), self.standing), rule.clone()];
        if self.calls.is_empty() {
            lines.push("  ready".into());
        }
        for shown in &self.calls {
            let seconds = now.since(shown.since).as_s();
            let stand = match shown.stand {
                Stand::Rings => "RINGS",
                Stand::Calling => "CALLING",
                Stand::Talking if shown.held_by_us => "ON HOLD",
                Stand::Talking => "TALKING",
            };
            lines.push(format!("> {stand:8} {}   {}:{:02}", shown.who, seconds / 60, seconds % 60));
            let remarks = [
                shown.queue.as_ref().map(|queue| format!("queue {queue}")),
                shown.codec.map(str::to_owned),
                shown.muted.then(|| "MUTED".to_owned()),
                shown.held_by_peer.then(|| "held by the other side".to_owned()),
            ];
            let remarks: Vec<String> = remarks.into_iter().flatten().collect();
            lines.push(format!("           {}", remarks.join(" · ")));
        }
        lines.push(rule.clone());
        let part = |name: &str, on: bool| format!("{name} {}", if on { "on" } else { "OFF" });
        lines.push(format!(
            "  microphone: {} · {} · {}",
            part("echo cancelled", self.voice.echo),
            part("noise lowered", self.voice.noise),
            part("level kept", self.voice.gain)
        ));
        let keys = match &self.typed {
            Some(Typed { text, transfer: None }) => format!("  call: {text}_   (Enter calls, Esc forgets)"),
            Some(Typed { text, .. }) => format!("  transfer to: {text}_   (Enter transfers, Esc forgets)"),
            None => {
                "  a answer  d hang up  h hold  m mute  0-9*# keys  c call  t transfer  j join  e n g microphone  q quit".into()
            }
        };
        let room = height.saturating_sub(lines.len() + 2);
        let skip = self.history.len().saturating_sub(room);
        lines.extend(self.history.iter().skip(skip).map(|line| format!("  {line}")));
        lines.resize(height.saturating_sub(2).max(lines.len().min(height)), String::new());
        lines.extend([rule, keys]);
        lines.truncate(height);
        lines.iter().map(|line| line.chars().take(width).collect()).collect()
    }
}

/// What a peer sends must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Raw mode and the alternate screen, given back whatever happens.
struct Terminal;

impl Terminal {
    fn take() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let taken = Self;
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(taken)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(execute!(io::stdout(), cursor::Show, LeaveAlternateScreen));
        drop(terminal::disable_raw_mode());
    }
}

/// Shows the phone until it is off; `stop` switches it off from outside. Gives the figures of all its calls.
///
/// # Errors
/// The terminal's.
pub fn run(
    phone: &Phone,
    told: &Receiver<Told>,
    stop: &Receiver<()>,
    clock: Clock,
    title: &str,
    voice: VoiceSwitches,
) -> io::Result<Vec<CallStatistics>> {
    let terminal = Terminal::take()?;
    let (tell_keys, keys) = bounded(64);
    let (alive, gone) = bounded::<()>(0);
    let reader = std::thread::Builder::new().name("phone-keys".into()).spawn(move || read_keys(&tell_keys, &gone))?;
    let mut view = View::new(title, voice);
    let mut calls = Vec::new();
    let mut stop = stop.clone();
    loop {
        draw(&view, clock.now())?;
        select! {
            recv(told) -> event => {
                let Ok(event) = event else { break };
                view.take(&event);
                match event.event {
                    PhoneEvent::Ended { statistics } => calls.push(*statistics),
                    PhoneEvent::Off => break,
                    _ => {}
                }
            }
            recv(keys) -> event => {
                if let Ok(TerminalEvent::Key(key)) = event {
                    let wish = view.key(key);
                    grant(phone, &mut view, clock.now(), wish);
                }
            }
            recv(stop) -> _ => {
                phone.off();
                stop = crossbeam_channel::never();
            }
            default(Duration::from_secs(1)) => {}
        }
    }
    drop(alive);
    drop(terminal);
    drop(reader.join());
    Ok(calls)
}

fn grant(phone: &Phone, view: &mut View, now: Tick, wish: Wish) {
    match wish {
        Wish::Nothing => {}
        Wish::Answer(call) => phone.answer(call),
        Wish::HangUp(call) => phone.hang_up(call),
        Wish::Hold(call, on) => phone.hold(call, on),
        Wish::Mute(call, on) => phone.mute(call, on),
        Wish::Press(call, key) => phone.press(call, key.encode_utf8(&mut [0; 4])),
        Wish::Dial(address) => {
            if let Err(error) = call(phone, &address) {
                view.note(now, &error.to_string());
            }
        }
        Wish::Consult(held, address) => {
            phone.hold(held, true);
            if let Err(error) = call(phone, &address) {
                view.note(now, &error.to_string());
            }
        }
        Wish::Transfer(call, address) => {
            if let Err(error) = phone.transfer(call, &address) {
                view.note(now, &error.to_string());
            }
        }
        Wish::Join(call, with) => phone.join(call, with),
        Wish::Voice(change) => phone.voice(change),
        Wish::Quit => phone.off(),
    }
}

fn call(phone: &Phone, address: &str) -> Result<u32, PhoneError> {
    phone.dial(Dial::to(&phone.whom(address)?.to_string())?)
}

fn read_keys(tell: &Sender<TerminalEvent>, gone: &Receiver<()>) {
    while matches!(gone.try_recv(), Err(crossbeam_channel::TryRecvError::Empty)) {
        match crossterm::event::poll(Duration::from_millis(100)) {
            Ok(true) => {
                let Ok(event) = crossterm::event::read() else { return };
                if tell.send(event).is_err() {
                    return;
                }
            }
            Ok(false) => {}
            Err(_) => return,
        }
    }
}

fn draw(view: &View, now: Tick) -> io::Result<()> {
    let (width, height) = terminal::size()?;
    let mut out = io::stdout().lock();
    for (row, line) in view.lines(now, usize::from(width), usize::from(height)).iter().enumerate() {
        let weight = if line.starts_with('>') || row == 0 { Attribute::Bold } else { Attribute::Reset };
        queue!(
            out,
            cursor::MoveTo(0, row as u16),
            SetAttribute(weight),
            Print(line),
            SetAttribute(Attribute::Reset),
            Clear(ClearType::UntilNewLine)
        )?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(event: PhoneEvent) -> Told {
        Told { at: Tick::from_us(3_723_000_000), event }
    }

    fn press(view: &mut View, key: char) -> Wish {
        view.key(KeyEvent::from(KeyCode::Char(key)))
    }

    fn incoming(name: &str) -> PhoneEvent {
        PhoneEvent::Incoming { call: 1, number: "+49301".into(), name: Some(name.into()), queue: Some("Sales".into()) }
    }

    #[test]
    fn a_ringing_call_shows_caller_and_queue_and_a_answers_it() {
        let mut view = View::new("sip:alice@example.com", VoiceSwitches::ON);
        view.take(&told(incoming("Anna")));
        let lines = view.lines(Tick::from_us(3_730_000_000), 80, 24);
        assert_eq!(lines.len(), 24);
        let text = lines.join("\n");
        for part in ["RINGS", "Anna  +49301", "queue Sales", "0:07", "a answer", "01:02:03  Anna  +49301 calls"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert_eq!(press(&mut view, 'm'), Wish::Nothing);
        assert_eq!(press(&mut view, 'a'), Wish::Answer(1));
        view.take(&told(PhoneEvent::Answered { call: 1, setup_ms: 1.0, codec: Some("PCMU") }));
        assert_eq!(press(&mut view, '5'), Wish::Press(1, '5'));
        assert_eq!(press(&mut view, 'h'), Wish::Hold(1, true));
        assert_eq!(press(&mut view, 'd'), Wish::HangUp(1));
    }

    #[test]
    fn a_talk_is_transferred_blind_or_after_a_word_with_the_target() {
        let mut view = View::new("x", VoiceSwitches::ON);
        view.take(&told(incoming("Anna")));
        assert_eq!(press(&mut view, 't'), Wish::Nothing);
        press(&mut view, 'a');
        view.take(&told(PhoneEvent::Answered { call: 1, setup_ms: 1.0, codec: None }));
        press(&mut view, 't');
        "bob".chars().for_each(|letter| assert_eq!(press(&mut view, letter), Wish::Nothing));
        assert!(view.lines(Tick::ZERO, 60, 10)[9].contains("transfer to: bob_"));
        assert_eq!(view.key(KeyEvent::from(KeyCode::Enter)), Wish::Transfer(1, "bob".into()));
        assert_eq!(press(&mut view, 'j'), Wish::Nothing, "there is nobody to join with");
        press(&mut view, 'c');
        press(&mut view, '7');
        assert_eq!(view.key(KeyEvent::from(KeyCode::Enter)), Wish::Consult(1, "7".into()));
        view.take(&told(PhoneEvent::Dialing { call: 2, uri: "sip:7@x".into() }));
        view.take(&told(PhoneEvent::Answered { call: 2, setup_ms: 1.0, codec: None }));
        assert_eq!(press(&mut view, 'd'), Wish::HangUp(2));
        assert_eq!(press(&mut view, 'j'), Wish::Join(1, 2));
        view.take(&told(PhoneEvent::Transfer { call: 1, status: 486, over: true }));
        assert!(view.lines(Tick::ZERO, 80, 12).join("\n").contains("came to nothing: 486 Busy Here"));
    }

    #[test]
    fn an_address_is_typed_and_called() {
        let mut view = View::new("x", VoiceSwitches::ON);
        press(&mut view, 'c');
        "bob@h".chars().for_each(|letter| assert_eq!(press(&mut view, letter), Wish::Nothing));
        assert!(view.lines(Tick::ZERO, 60, 10)[9].contains("call: bob@h_"));
        assert_eq!(view.key(KeyEvent::from(KeyCode::Enter)), Wish::Dial("bob@h".into()));
    }

    #[test]
    fn a_name_with_escape_sequences_does_not_steer_the_terminal() {
        let mut view = View::new("x", VoiceSwitches::ON);
        view.take(&told(incoming("\u{1b}[2Jevil")));
        assert!(view.lines(Tick::ZERO, 80, 24).iter().all(|line| !line.contains('\u{1b}')));
    }

    #[test]
    fn every_size_of_terminal_gets_no_more_than_it_holds() {
        let mut view = View::new("a long title that does not fit", VoiceSwitches::ON);
        (0..50).for_each(|_| view.take(&told(incoming("A name that is rather long, too"))));
        for (width, height) in [(0, 0), (1, 1), (10, 3), (80, 24), (300, 5)] {
            let lines = view.lines(Tick::ZERO, width, height);
            assert!(lines.len() <= height && lines.iter().all(|line| line.chars().count() <= width));
        }
    }
}
