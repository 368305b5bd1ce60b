//! What goes into the exchange and what comes out of it.

use core::net::IpAddr;

use offhook_plan::{MediaCommand, MediaEvent};
use offhook_sip::{Change, Flow, Message, ParseError};
use offhook_units::{AgentId, CallId, ContactId, LegId, PersonRef, Span, Tick};

use crate::config::Config;
use crate::desk::DeskWish;
use crate::event::LogEvent;
use crate::guests::Supervision;
use crate::placement::Placement;
use crate::record::CallRecord;
use crate::recording::RecordingWish;

/// What the exchange is handed.
#[derive(Debug)]
pub enum Input {
    /// A parsed message.
    Message {
        /// Where from.
        flow: Flow,
        /// What.
        message: Box<Message>,
    },
    /// A datagram that is no SIP message, but enough of one to be answered 400.
    Malformed {
        /// Where from.
        flow: Flow,
        /// What was wrong.
        error: Box<ParseError>,
    },
    /// The peer's host says that nobody listens there, or the connection to it is gone.
    TransportFailed {
        /// Towards whom.
        flow: Flow,
    },
    /// The far end of a connection over TLS has proved to be a trunk, by its place in the configuration, or to be none. It holds
    /// until the connection is gone.
    Proved {
        /// Which connection.
        flow: Flow,
        /// Which trunk.
        trunk: Option<usize>,
    },
    /// A media worker reports.
    Media {
        /// Which worker.
        worker: usize,
        /// What.
        event: MediaEvent,
    },
    /// Where the calls of a trunk go from now on, in order: its names were resolved anew. At most [`TARGETS_MAX`](super::TARGETS_MAX).
    Targets {
        /// Its place in the configuration.
        trunk: usize,
        /// Where.
        flows: Vec<Flow>,
    },
    /// For how long the program has not caught up with what comes in; nothing as soon as it has.
    Behind {
        /// So long.
        by: Span,
    },
    /// Another configuration, checked as a whole. What cannot change while calls are up stays as it was, see docs/decisions/0122. Its trunks have
    /// the places that [`super::Exchange::trunk_places`] tells afterwards.
    Configure(Box<Config>),
    /// A person or a program asks for something.
    Command(Command),
    /// The instant of [`Output::Wait`] has come.
    Timeout,
}

/// What a person or a program may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Changes an agent's state.
    SetAgent {
        /// Whose.
        agent: AgentId,
        /// To what.
        to: WantedState,
    },
    /// Lets a supervisor listen to a call, whisper to its agent, join in, take over, or leave. The supervisor's phone is rung, and
    /// asked to answer by itself.
    Supervise {
        /// Which call.
        call: CallId,
        /// Who.
        by: AgentId,
        /// How.
        wish: Supervision,
    },
    /// Rings a third party for a call; everybody hears everybody once it answers.
    BringIn {
        /// Which call.
        call: CallId,
        /// One of the two who talk, whose rights count.
        by: AgentId,
        /// A colleague, or a number.
        number: String,
    },
    /// Parts with a guest of a call.
    SendOff {
        /// Which call.
        call: CallId,
        /// Whom, by the leg.
        guest: LegId,
    },
    /// Pauses the recording of a call, goes on with it, or begins it where it is recorded on demand.
    Record {
        /// Which call.
        call: CallId,
        /// In whose name; none for a program of its own.
        by: Option<AgentId>,
        /// What.
        wish: RecordingWish,
    },
    /// Says where a waiting call goes.
    Place {
        /// Which call.
        call: CallId,
        /// In whose name; none for a program of its own.
        by: Option<AgentId>,
        /// Where.
        wish: Placement,
    },
    /// Does what an agent asks for at the desk.
    Desk {
        /// Who.
        agent: AgentId,
        /// In which call; where it is not said, in the one that the agent's phone is in.
        call: Option<CallId>,
        /// What.
        wish: DeskWish,
    },
    /// Takes a callback back, unless its customer is being called just now.
    WithdrawCallback {
        /// Which.
        callback: ContactId,
    },
    /// Gives somebody in a page a ticket for one call; see [`super::Exchange::welcomed`].
    Welcome {
        /// The name of the entrance.
        entrance: String,
        /// What the visitor is called.
        name: Option<String>,
    },
    /// Takes no new calls and ends when the last one has ended, at the latest after `grace`: then they are hung up.
    Drain {
        /// How long calls may go on.
        grace: Span,
    },
}

/// A state that an agent can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedState {
    /// Logged in, takes contacts.
    Available,
    /// Logged in, takes none.
    NotReady {
        /// Why.
        reason: String,
    },
    /// Gone.
    LoggedOut,
}

/// What the exchange wants done, in order.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes.
    Transmit {
        /// Where to.
        flow: Flow,
        /// A whole message.
        bytes: Vec<u8>,
    },
    /// Hand this to a media worker.
    Media {
        /// Which worker.
        worker: usize,
        /// What.
        command: MediaCommand,
    },
    /// Append this to the event log; it comes before the effects that follow from it.
    Log {
        /// When it happened.
        at: Tick,
        /// What.
        event: LogEvent,
    },
    /// Keep this under seal.
    Person {
        /// Under this reference.
        person: PersonRef,
        /// The number or name.
        text: String,
    },
    /// Begin a recording: its packets will come through the tap.
    OpenRecording(RecordingWanted),
    /// No packets come for a recording from `at` on, up to [`Output::ResumeRecording`]: that stretch is a pause.
    PauseRecording {
        /// Which.
        recording: offhook_units::RecordingId,
        /// When the worker took its tap away.
        at: Tick,
    },
    /// Packets of a recording may come again, from `at` on. The recorder has to know before the worker gets its next command.
    ResumeRecording {
        /// Which.
        recording: offhook_units::RecordingId,
        /// The end of the pause.
        at: Tick,
    },
    /// No more packets will come for it.
    CloseRecording {
        /// Which.
        recording: offhook_units::RecordingId,
        /// Its end on the time line.
        at: Tick,
    },
    /// A call ended: keep its record.
    Record(Box<CallRecord>),
    /// A phone registered, or its registration ended: keep or drop it.
    Binding(Change),
    /// Close this connection as soon as nothing has come over it for so long: its phone has promised to keep it alive.
    ExpectAlive {
        /// Which.
        flow: Flow,
        /// How long.
        within: Span,
    },
    /// Somebody at this address guessed at a password, or at an account.
    WrongPassword {
        /// Where.
        source: IpAddr,
    },
    /// A call has one more SIP dialog, or an attempt at one: for whoever looks at its messages. It is not kept.
    Leg {
        /// Which call.
        call: CallId,
        /// The Call-ID of its messages.
        call_id: String,
        /// Who is at its other end: `trunk NAME`, `phone NAME`, `agent NAME`.
        name: String,
    },
    /// Everything is out; call [`Exchange::handle`] with [`Input::Timeout`] at this instant, if there is one.
    Wait {
        /// When.
        until: Option<Tick>,
    },
}

/// What a recording is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingWanted {
    /// Its id.
    pub recording: offhook_units::RecordingId,
    /// Of which call.
    pub call: CallId,
    /// Zero of its time line.
    pub started: Tick,
    /// The codec at the customer's leg.
    pub codec: offhook_plan::CodecKind,
    /// The queue's name, where it came through one.
    pub queue: Option<String>,
}
