//! What a phone tells: one event per thing that a person or a program wants to know, as JSON with `"event"` in front.

use core::net::SocketAddr;

use offhook_units::Tick;
use serde::Serialize;

use crate::agent::{AgentNow, as_ms};
use crate::meters::Meters;
use crate::statistics::CallStatistics;

/// An event and when it happened.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// Milliseconds since the Unix epoch.
    #[serde(rename = "at_ms", serialize_with = "as_ms")]
    pub at: Tick,
    /// What happened.
    #[serde(flatten)]
    pub event: PhoneEvent,
}

/// What happened. `call` is the call's number in this phone, from 1.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum PhoneEvent {
    /// The phone can be called.
    Listening {
        /// Where it listens for SIP.
        address: SocketAddr,
    },
    /// The registrar took the account.
    Registered {
        /// Address of record.
        account: String,
        /// How long it holds, in seconds; refreshed by itself.
        expires_s: u64,
    },
    /// The account is registered no more, as asked.
    Unregistered {
        /// Address of record.
        account: String,
    },
    /// The registrar refused, or did not answer. It is asked again by itself.
    RegistrationFailed {
        /// Address of record.
        account: String,
        /// The SIP status; none where nobody answered.
        status: Option<u16>,
        /// In words.
        why: String,
        /// When it is asked again, in milliseconds.
        retry_in_ms: u64,
    },
    /// We have another address: registered anew from there, and calls led on.
    Moved {
        /// Where it listens for SIP.
        address: SocketAddr,
    },
    /// Our server was given up for another one.
    Server {
        /// The one that is asked now.
        address: SocketAddr,
        /// What became of the one before, in words.
        why: String,
    },
    /// What waits in our mailbox.
    Mailbox {
        /// Something does.
        waiting: bool,
        /// Spoken messages that nobody has heard, where the server counts them.
        new: Option<u32>,
        /// Those that were heard before.
        old: Option<u32>,
    },
    /// Somebody calls.
    Incoming {
        /// Which call.
        call: u32,
        /// The caller's number.
        number: String,
        /// The caller's name.
        name: Option<String>,
        /// The queue that it comes from, where the server says so.
        queue: Option<String>,
    },
    /// We call.
    Dialing {
        /// Which call.
        call: u32,
        /// Whom.
        uri: String,
    },
    /// The called phone rings, or a server says something on the way.
    Progress {
        /// Which call.
        call: u32,
        /// 101 to 199.
        status: u16,
        /// Its sound is heard already.
        early_media: bool,
    },
    /// Both talk.
    Answered {
        /// Which call.
        call: u32,
        /// From INVITE to answer, in milliseconds.
        setup_ms: f64,
        /// The codec, once agreed.
        codec: Option<&'static str>,
    },
    /// The first packet of speech came.
    FirstPacket {
        /// Which call.
        call: u32,
        /// Since media was agreed on, in milliseconds.
        after_ms: f64,
    },
    /// Hold began or ended.
    Held {
        /// Which call.
        call: u32,
        /// By us, as far as we know.
        by_us: bool,
        /// By the peer.
        by_peer: bool,
    },
    /// We are muted, or heard again.
    Muted {
        /// Which call.
        call: u32,
        /// Muted.
        on: bool,
    },
    /// Two calls and we are in conference, or no longer.
    Conference {
        /// The two.
        calls: Vec<u32>,
        /// All three hear each other.
        on: bool,
    },
    /// The microphone's sound is processed so from now on.
    Voice {
        /// Echo is cancelled.
        echo: bool,
        /// Noise is suppressed.
        noise: bool,
        /// The level is kept.
        gain: bool,
    },
    /// A transfer that we asked for goes on, or came to its end: then we are out of the call, or still in it.
    Transfer {
        /// Which call.
        call: u32,
        /// 202 asked, 100 to 199 the target is being called, 200 it talks, others why not.
        status: u16,
        /// Nothing more follows.
        over: bool,
    },
    /// The peer pressed a key.
    Key {
        /// Which call.
        call: u32,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
    },
    /// Our keys have been sent.
    KeysSent {
        /// Which call.
        call: u32,
    },
    /// The file to be played is over; silence follows.
    PlayFinished {
        /// Which call.
        call: u32,
    },
    /// How a call sounds now; five times a second where that was asked for.
    Meters {
        /// Which call.
        call: u32,
        /// The figures.
        #[serde(flatten)]
        meters: Box<Meters>,
    },
    /// A sound device came, went or failed.
    Device {
        /// Which call.
        call: u32,
        /// In words.
        what: String,
    },
    /// The agent at this phone, as the exchange sees it, has changed.
    Agent {
        /// How it stands now.
        #[serde(flatten)]
        agent: Box<AgentNow>,
    },
    /// A page drives this phone, or wants to.
    Remote {
        /// In words.
        what: String,
    },
    /// Something that was asked for did not work; the phone goes on.
    Fault {
        /// Which call, where it concerns one.
        call: Option<u32>,
        /// In words.
        what: String,
    },
    /// A call is over.
    Ended {
        /// Its figures.
        #[serde(flatten)]
        statistics: Box<CallStatistics>,
    },
    /// The phone is off: the last event.
    Off,
}
