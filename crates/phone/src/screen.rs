//! The phone on a terminal: who calls, what can be done about it, how it sounds, and what happened last.
//!
//! [`View`] is what is known and what keys mean; `draw` puts it on a screen of any size, and says where a mouse finds what; [`run`] joins
//! both with a terminal until the phone is off.

mod draw;
mod run;

use std::collections::VecDeque;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use offhook_headset::VoiceSwitches;
use offhook_units::Tick;

pub use self::run::run;
use crate::agent::{AgentNow, AgentState, AgentWish};
use crate::event::{PhoneEvent, Told};
use crate::meters::Meters;
use crate::phone::VoiceChange;

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

/// A call shown.
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
    conference: bool,
    meters: Option<Meters>,
}

impl Shown {
    const fn word(&self) -> &'static str {
        match self.stand {
            Stand::Rings => "RINGS",
            Stand::Calling => "CALLING",
            Stand::Talking if self.held_by_us => "ON HOLD",
            Stand::Talking if self.muted => "MUTED",
            Stand::Talking if self.conference => "CONFERENCE",
            Stand::Talking => "TALKING",
        }
    }

    const fn talks(&self) -> bool {
        matches!(self.stand, Stand::Talking)
    }
}

/// What a key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// Answer this call, and hold those.
    Answer(u32, Vec<u32>),
    /// Decline or end this call.
    HangUp(u32),
    /// Hold or take back.
    Hold(u32, bool),
    /// Hold the first and take the second back.
    Swap(u32, u32),
    /// Mute or speak.
    Mute(u32, bool),
    /// Press this key in this call.
    Press(u32, char),
    /// Begin to type whom to call.
    TypeCall,
    /// Begin to type where this call goes.
    TypeTransfer(u32),
    /// Call this address.
    Dial(String),
    /// Hold this call and call this address, to talk to it first.
    Consult(u32, String),
    /// Transfer this call to this address.
    Transfer(u32, String),
    /// Join this call with that one, and leave both.
    Join(u32, u32),
    /// Make a conference of these two calls.
    Confer(u32, u32),
    /// End the conference and talk on in this call.
    Split(u32),
    /// Begin to type why no calls shall come.
    TypeReason,
    /// Tell the exchange what the agent wants.
    Agent(AgentWish),
    /// Switch parts of the microphone's processing.
    Voice(VoiceChange),
    /// From now on keys are for this call.
    Select(u32),
    /// Switch off.
    Quit,
}

/// Keys that are shown, each with its word.
const KEYS: [(char, &str); 15] = [
    ('a', "answer"),
    ('d', "hang up"),
    ('h', "hold"),
    ('m', "mute"),
    ('s', "swap"),
    ('c', "call"),
    ('r', "redial"),
    ('t', "transfer"),
    ('j', "join"),
    ('f', "conference"),
    ('0', "0-9*# keys"),
    ('e', "echo"),
    ('n', "noise"),
    ('g', "gain"),
    ('q', "quit"),
];

/// Keys of an agent, shown where the exchange is asked how it stands.
const AGENT_KEYS: [(char, &str); 4] = [('y', "ready"), ('o', "not ready"), ('w', "wrap-up done"), ('l', "log in/out")];

/// Reasons that a digit stands for.
const REASONS: [&str; 5] = ["break", "lunch", "meeting", "training", "follow-up"];
/// Numbers that are remembered for calling again.
const NUMBERS_MAX: usize = 20;

/// What is shown.
#[derive(Debug)]
pub struct View {
    title: String,
    standing: String,
    /// The account is registered, or there is none.
    well: bool,
    calls: Vec<Shown>,
    /// The call that keys are for, where it was chosen.
    chosen: Option<u32>,
    history: VecDeque<String>,
    typed: Option<Typed>,
    voice: VoiceSwitches,
    /// Whom we called last.
    dialed: Option<String>,
    /// Who called or was called, oldest first.
    numbers: Vec<String>,
    /// What waits in the mailbox.
    mailbox: Option<String>,
    /// The agent, where the exchange is asked.
    agent: Option<AgentNow>,
}

/// Something that is being typed.
#[derive(Debug)]
struct Typed {
    text: String,
    what: Typing,
    /// Which of the remembered numbers stands there, counted from the newest.
    number: Option<usize>,
}

/// What is being typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Typing {
    /// Whom to call.
    Call,
    /// Where this call goes.
    Transfer(u32),
    /// Why no calls shall come.
    Reason,
}

impl View {
    /// An empty screen under this title.
    pub fn new(title: &str, voice: VoiceSwitches) -> Self {
        Self {
            title: title.to_owned(),
            standing: String::new(),
            well: true,
            calls: Vec::new(),
            chosen: None,
            history: VecDeque::new(),
            typed: None,
            voice,
            dialed: None,
            numbers: Vec::new(),
            mailbox: None,
            agent: None,
        }
    }

    /// Remembers a number for calling again, once.
    fn remember(&mut self, number: &str) {
        self.numbers.retain(|known| known != number);
        if self.numbers.len() == NUMBERS_MAX {
            self.numbers.remove(0);
        }
        self.numbers.push(printable(number));
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
            conference: false,
            meters: None,
        });
    }

    fn stands(&mut self, well: bool, standing: &str) {
        self.well = well;
        standing.clone_into(&mut self.standing);
    }

    /// Takes what the phone told.
    pub fn take(&mut self, told: &Told) {
        let at = told.at;
        match &told.event {
            PhoneEvent::Listening { address } => self.stands(true, &format!("listens on {address}")),
            PhoneEvent::Registered { .. } => self.stands(true, "registered"),
            PhoneEvent::Unregistered { .. } => self.stands(false, "not registered"),
            PhoneEvent::RegistrationFailed { why, retry_in_ms, .. } => {
                self.stands(false, "not registered");
                self.note(at, &format!("registration failed: {why}; again in {} s", retry_in_ms / 1_000));
            }
            PhoneEvent::Incoming { call, number, name, queue } => {
                let who = name.as_ref().map_or_else(|| number.clone(), |name| format!("{name}  {number}"));
                self.note(at, &format!("{who} calls"));
                self.remember(number);
                self.add(*call, Stand::Rings, &who, queue.as_deref(), at);
            }
            PhoneEvent::Dialing { call, uri } => self.add(*call, Stand::Calling, uri, None, at),
            PhoneEvent::Moved { address } => self.note(at, &format!("our address is {address} now")),
            PhoneEvent::Server { address, why } => {
                self.note(at, &format!("the server is lost ({why}): {address} is asked"));
            }
            PhoneEvent::Mailbox { waiting, new, .. } => {
                self.mailbox = waiting.then(|| new.map_or_else(|| "messages".to_owned(), |new| format!("{new} new")));
                if let Some(what) = self.mailbox.clone() {
                    self.note(at, &format!("the mailbox has {what}"));
                }
            }
            PhoneEvent::Conference { calls, on } => {
                for shown in self.calls.iter_mut().filter(|shown| calls.contains(&shown.call)) {
                    shown.conference = *on;
                }
            }
            PhoneEvent::Agent { agent } => self.agent = Some((**agent).clone()),
            PhoneEvent::Progress { status, .. } => self.note(at, &format!("the other phone says {status}")),
            PhoneEvent::Answered { call, codec, .. } => {
                self.chosen = Some(*call);
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
            PhoneEvent::Meters { call, meters } => {
                if let Some(shown) = self.call(*call) {
                    shown.meters = Some((**meters).clone());
                }
            }
            PhoneEvent::Voice { echo, noise, gain } => {
                self.voice = VoiceSwitches { echo: *echo, noise: *noise, gain: *gain };
            }
            PhoneEvent::Transfer { status: 200, over: true, .. } => self.note(at, "transferred"),
            PhoneEvent::Transfer { status, over: true, .. } => {
                let why = offhook_sip::reason_phrase(*status);
                self.note(at, &format!("the transfer came to nothing: {status} {why}"));
            }
            PhoneEvent::Key { digit, .. } => self.note(at, &format!("the other side pressed {digit}")),
            PhoneEvent::Device { what, .. } | PhoneEvent::Fault { what, .. } | PhoneEvent::Remote { what } => {
                self.note(at, what);
            }
            PhoneEvent::Ended { statistics } => {
                self.calls.retain(|shown| shown.call != statistics.call);
                self.chosen = self.chosen.filter(|call| *call != statistics.call);
                self.note(at, &statistics.line());
            }
            PhoneEvent::Transfer { .. }
            | PhoneEvent::FirstPacket { .. }
            | PhoneEvent::KeysSent { .. }
            | PhoneEvent::PlayFinished { .. } => {}
            PhoneEvent::Off => self.stands(false, "off"),
        }
    }

    /// The call that matters most: one that rings, else the chosen one, else the newest.
    fn first(&self) -> Option<&Shown> {
        self.rings().or_else(|| self.current())
    }

    fn rings(&self) -> Option<&Shown> {
        self.calls.iter().find(|shown| shown.stand == Stand::Rings)
    }

    /// The call that keys are for: the chosen one, else the newest.
    fn current(&self) -> Option<&Shown> {
        let chosen = self.chosen.and_then(|call| self.calls.iter().find(|shown| shown.call == call));
        chosen.or_else(|| self.calls.iter().rev().find(|shown| shown.talks())).or_else(|| self.calls.last())
    }

    /// Another call than this one in which somebody talks or waits.
    fn other(&self, call: u32) -> Option<&Shown> {
        self.calls.iter().rev().find(|shown| shown.talks() && shown.call != call)
    }

    /// What a key means now, while nothing is typed.
    fn meaning(&self, code: KeyCode) -> Wish {
        let talk = self.current().filter(|shown| shown.talks());
        let change = VoiceChange::default();
        match (code, talk) {
            (KeyCode::Char('q'), _) => Wish::Quit,
            (KeyCode::Char('a') | KeyCode::Enter, _) => self.rings().map_or(Wish::Nothing, |rings| {
                let others = self.calls.iter().filter(|shown| shown.talks() && !shown.held_by_us);
                Wish::Answer(rings.call, others.map(|shown| shown.call).collect())
            }),
            (KeyCode::Char('d'), _) => self.first().map_or(Wish::Nothing, |shown| Wish::HangUp(shown.call)),
            (KeyCode::Char('h'), Some(shown)) => Wish::Hold(shown.call, !shown.held_by_us),
            (KeyCode::Char('m'), Some(shown)) => Wish::Mute(shown.call, !shown.muted),
            (KeyCode::Char(key @ ('0'..='9' | '*' | '#')), Some(shown)) => Wish::Press(shown.call, key),
            (KeyCode::Char('f'), Some(shown)) if shown.conference => Wish::Split(shown.call),
            (KeyCode::Char('f'), Some(shown)) => {
                self.other(shown.call).map_or(Wish::Nothing, |other| Wish::Confer(shown.call, other.call))
            }
            (KeyCode::Char('s'), Some(shown)) if shown.conference => Wish::Nothing,
            (KeyCode::Char('s'), Some(shown)) => {
                self.other(shown.call).map_or(Wish::Nothing, |other| Wish::Swap(shown.call, other.call))
            }
            (KeyCode::Char('j'), Some(shown)) => {
                self.other(shown.call).map_or(Wish::Nothing, |other| Wish::Join(other.call, shown.call))
            }
            (KeyCode::Char('t'), Some(shown)) => Wish::TypeTransfer(shown.call),
            (KeyCode::Char('c'), _) => Wish::TypeCall,
            (KeyCode::Char('r'), None) => {
                self.dialed.as_ref().map_or(Wish::Nothing, |address| Wish::Dial(address.clone()))
            }
            (KeyCode::Char('e'), _) => Wish::Voice(VoiceChange { echo: Some(!self.voice.echo), ..change }),
            (KeyCode::Char('n'), _) => Wish::Voice(VoiceChange { noise: Some(!self.voice.noise), ..change }),
            (KeyCode::Char('g'), _) => Wish::Voice(VoiceChange { gain: Some(!self.voice.gain), ..change }),
            (KeyCode::Char(key @ ('y' | 'o' | 'w' | 'l')), _) => self.agent_key(key),
            (KeyCode::Up, _) => self.beside(1),
            (KeyCode::Down, _) => self.beside(self.calls.len().saturating_sub(1)),
            _ => Wish::Nothing,
        }
    }

    /// What a key of the agent's means now.
    fn agent_key(&self, key: char) -> Wish {
        use AgentState::{Available, LoggedOut, NotReady, WrapUp};
        let Some(state) = self.agent.as_ref().map(|agent| agent.state) else { return Wish::Nothing };
        match (key, state) {
            ('y', NotReady | LoggedOut) | ('l', LoggedOut) => Wish::Agent(AgentWish::Available),
            ('o', LoggedOut) => Wish::Nothing,
            ('o', _) => Wish::TypeReason,
            ('w', WrapUp) => Wish::Agent(AgentWish::WrapUpDone),
            ('l', Available | NotReady | WrapUp) => Wish::Agent(AgentWish::LoggedOut),
            _ => Wish::Nothing,
        }
    }

    /// The call so many places before the current one, around the list.
    fn beside(&self, before: usize) -> Wish {
        let at = self.current().and_then(|current| self.calls.iter().position(|shown| shown.call == current.call));
        let next = at.and_then(|at| self.calls.get((at + self.calls.len() - before) % self.calls.len()));
        next.map_or(Wish::Nothing, |shown| Wish::Select(shown.call))
    }

    /// What a key asks for at this moment.
    pub fn key(&mut self, key: KeyEvent) -> Wish {
        if key.kind == KeyEventKind::Release {
            return Wish::Nothing;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Wish::Quit;
        }
        if self.typed.is_some() {
            return self.type_on(key.code);
        }
        let wish = self.meaning(key.code);
        match &wish {
            Wish::TypeCall => self.type_first(Typing::Call),
            Wish::TypeTransfer(call) => self.type_first(Typing::Transfer(*call)),
            Wish::TypeReason => self.type_first(Typing::Reason),
            Wish::Select(call) => self.chosen = Some(*call),
            _ => {}
        }
        wish
    }

    fn type_first(&mut self, what: Typing) {
        self.typed = Some(Typed { text: String::new(), what, number: None });
    }

    /// A key of something that is being typed.
    fn type_on(&mut self, code: KeyCode) -> Wish {
        let Some(mut typed) = self.typed.take() else { return Wish::Nothing };
        match code {
            KeyCode::Enter if typed.what == Typing::Reason => {
                let digit = typed.text.parse::<usize>().ok().and_then(|digit| REASONS.get(digit.checked_sub(1)?));
                let reason = digit.map_or(typed.text, |reason| (*reason).to_owned());
                return Wish::Agent(AgentWish::NotReady((!reason.is_empty()).then_some(reason)));
            }
            KeyCode::Enter if typed.text.is_empty() => return Wish::Nothing,
            KeyCode::Enter => {
                let talks = self.current().filter(|shown| shown.talks()).map(|shown| shown.call);
                if typed.what == Typing::Call {
                    self.dialed = Some(typed.text.clone());
                    self.remember(&typed.text);
                }
                return match (typed.what, talks) {
                    (Typing::Transfer(call), _) => Wish::Transfer(call, typed.text),
                    (Typing::Call | Typing::Reason, Some(call)) => Wish::Consult(call, typed.text),
                    (Typing::Call | Typing::Reason, None) => Wish::Dial(typed.text),
                };
            }
            KeyCode::Esc => return Wish::Nothing,
            KeyCode::Up if typed.what != Typing::Reason => self.earlier(&mut typed, 1),
            KeyCode::Down if typed.what != Typing::Reason => self.earlier(&mut typed, -1),
            KeyCode::Backspace => drop(typed.text.pop()),
            KeyCode::Char(letter) if typed.text.len() < TYPED_MAX => typed.text.push(letter),
            _ => {}
        }
        self.typed = Some(typed);
        Wish::Nothing
    }
}

impl View {
    /// Puts an earlier number in the place of what was typed, or a later one.
    fn earlier(&self, typed: &mut Typed, step: isize) {
        let next = match typed.number {
            None => (step > 0).then_some(0),
            Some(at) => at.checked_add_signed(step),
        };
        let number = next.and_then(|at| self.numbers.iter().rev().nth(at));
        match (next, number) {
            (Some(at), Some(number)) => (typed.number, typed.text) = (Some(at), number.clone()),
            (None, _) => (typed.number, typed.text) = (None, String::new()),
            (Some(_), None) => {}
        }
    }
}

/// What a peer sends must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests;
