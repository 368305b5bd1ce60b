//! What a program may ask of `offhook phone --headless --commands`: one JSON object a line on standard input.

use std::io::{BufRead, Read};

use crossbeam_channel::{Receiver, bounded};
use offhook_phone::{AgentWish, Dial, Phone, PhoneError, VoiceChange};
use serde::Deserialize;

use super::desk::Desk;

/// Longest line that is read; a longer one is refused in pieces.
const LINE_MAX: u64 = 4_096;
/// Most orders that wait; a faster program waits.
const WAITING_MAX: usize = 64;

/// One order. `call` is the number that the events give.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Calls somebody.
    Dial {
        /// An address, or a name at the account's server.
        to: String,
    },
    /// Answers a call that rings.
    Answer {
        /// Which.
        call: u32,
    },
    /// Declines, gives up, or hangs up.
    HangUp {
        /// Which.
        call: u32,
    },
    /// Holds or takes back.
    Hold {
        /// Which.
        call: u32,
        /// On hold from now.
        on: bool,
    },
    /// Mutes or speaks again.
    Mute {
        /// Which.
        call: u32,
        /// Muted from now.
        on: bool,
    },
    /// Presses keys.
    Keys {
        /// In which call.
        call: u32,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        keys: String,
    },
    /// Blind transfer.
    Transfer {
        /// Which call.
        call: u32,
        /// An address, or a name at the account's server.
        to: String,
    },
    /// Attended transfer: joins two calls and leaves both.
    Join {
        /// The call whose peer is asked.
        call: u32,
        /// The call that its peer goes to.
        with: u32,
    },
    /// Makes a conference of two calls: all three hear each other.
    Conference {
        /// One.
        call: u32,
        /// The other.
        with: u32,
    },
    /// Ends the conference, talks on in this call and holds the other one.
    Split {
        /// Which.
        call: u32,
    },
    /// Changes the agent's state at the exchange.
    Agent {
        /// Which.
        state: WantedState,
        /// Why not ready.
        #[serde(default)]
        reason: Option<String>,
    },
    /// The wrap-up is done.
    WrapUpDone,
    /// It takes longer.
    ExtendWrapUp {
        /// By so many seconds.
        seconds: u32,
    },
    /// Switches parts of what is done to the microphone's sound; what is not named stays.
    Voice(VoiceChange),
    /// Switches off.
    Off,
}

/// A state that an agent may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WantedState {
    /// Gets calls.
    Available,
    /// Does something else.
    NotReady,
    /// Is gone.
    LoggedOut,
}

impl Order {
    /// Has the phone do it, or the exchange at whose desk the agent is.
    pub fn give(self, phone: &Phone, desk: Option<&Desk>) -> Result<(), String> {
        let wish = match self {
            Self::Agent { state: WantedState::Available, reason: None } => AgentWish::Available,
            Self::Agent { state: WantedState::NotReady, reason } => AgentWish::NotReady(reason),
            Self::Agent { state: WantedState::LoggedOut, reason: None } => AgentWish::LoggedOut,
            Self::Agent { reason: Some(_), .. } => return Err("only 'not-ready' has a reason".into()),
            Self::WrapUpDone => AgentWish::WrapUpDone,
            Self::ExtendWrapUp { seconds } => AgentWish::ExtendWrapUp(seconds),
            order => return order.give_phone(phone).map_err(|error| error.to_string()),
        };
        desk.ok_or("the exchange's desk is not known: start with --desk")?.wish(wish);
        Ok(())
    }

    fn give_phone(self, phone: &Phone) -> Result<(), PhoneError> {
        match self {
            Self::Conference { call, with } => phone.confer(call, with),
            Self::Split { call } => phone.split(call),
            // Not for the phone.
            Self::Agent { .. } | Self::WrapUpDone | Self::ExtendWrapUp { .. } => {}
            Self::Dial { to } => drop(phone.dial(Dial::to(&phone.whom(&to)?.to_string())?)?),
            Self::Answer { call } => phone.answer(call),
            Self::HangUp { call } => phone.hang_up(call),
            Self::Hold { call, on } => phone.hold(call, on),
            Self::Mute { call, on } => phone.mute(call, on),
            Self::Keys { call, keys } => phone.press(call, &keys),
            Self::Transfer { call, to } => phone.transfer(call, &to)?,
            Self::Join { call, with } => phone.join(call, with),
            Self::Voice(change) => phone.voice(change),
            Self::Off => phone.off(),
        }
        Ok(())
    }
}

/// Reads orders from standard input on a thread of its own, until its end; what is none comes as what is wrong with it.
pub fn from_stdin() -> std::io::Result<Receiver<Result<Order, String>>> {
    let (tell, told) = bounded(WAITING_MAX);
    std::thread::Builder::new().name("orders".into()).spawn(move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = (&mut stdin).take(LINE_MAX).read_until(b'\n', &mut line);
            if !read.is_ok_and(|read| read > 0) {
                return;
            }
            let blank = line.iter().all(u8::is_ascii_whitespace);
            if !blank && tell.send(parse(&line)).is_err() {
                return;
            }
        }
    })?;
    Ok(told)
}

/// Reads one order, or says what is wrong with it.
pub fn parse(line: &[u8]) -> Result<Order, String> {
    serde_json::from_slice(line).map_err(|error| format!("no command: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_and_anything_else_is_told_as_wrong() {
        for (line, expected) in [
            (r#"{"do":"dial","to":"bob"}"#, Some(Order::Dial { to: "bob".into() })),
            (r#"{"do":"transfer","call":1,"to":"sip:7@h"}"#, Some(Order::Transfer { call: 1, to: "sip:7@h".into() })),
            (r#"{"do":"join","call":1,"with":2}"#, Some(Order::Join { call: 1, with: 2 })),
            (r#"{"do":"conference","call":1,"with":2}"#, Some(Order::Conference { call: 1, with: 2 })),
            (
                r#"{"do":"agent","state":"not-ready","reason":"lunch"}"#,
                Some(Order::Agent { state: WantedState::NotReady, reason: Some("lunch".into()) }),
            ),
            (r#"{"do":"wrap_up_done"}"#, Some(Order::WrapUpDone)),
            (r#"{"do":"agent","state":"asleep"}"#, None),
            (r#"{"do":"hang_up","call":3}"#, Some(Order::HangUp { call: 3 })),
            (
                r#"{"do":"voice","noise":false}"#,
                Some(Order::Voice(VoiceChange { noise: Some(false), ..VoiceChange::default() })),
            ),
            (r#"{"do":"voice","treble":true}"#, None),
            (r#"{"do":"off"}"#, Some(Order::Off)),
            (r#"{"do":"join","call":1}"#, None),
            (r#"{"do":"hold","call":1,"on":true,"x":1}"#, None),
            ("hello", None),
        ] {
            assert_eq!(parse(line.as_bytes()).ok(), expected, "{line}");
        }
    }
}
