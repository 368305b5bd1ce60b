//! The exchange over HTTP: a versioned API, live events, metrics, and one page.
//!
//! The server knows the exchange only through [`View`], which its owner implements, and through the two things the owner
//! fills: [`EventSender`] (live events) and [`Metrics`]. Nothing here ever makes the exchange wait: events go into a bounded
//! queue, slow readers are dropped and counted, metrics are read when somebody asks.

mod alarms;
mod api;
mod archive;
mod configuration;
mod desk;
mod dto;
mod events;
mod feed;
mod guard;
mod idempotency;
mod listen;
mod metrics;
mod openapi;
mod openid;
mod packing;
mod page;
mod paging;
mod phone;
mod placement;
mod playing;
mod problem;
mod prompts;
mod rates;
mod recording_control;
mod recordings;
mod reports;
mod segments;
mod session;
mod time;
mod users;
mod view;
mod visitors;
mod webhooks;

pub use archive::{
    Archive, AuditEntry, Encoding, OpenFault, RecordingDetail, RecordingFound, RecordingsWanted, SAMPLE_HEADER_BYTES,
    Speech,
};
pub use configuration::{
    CONFIG_BYTES_MAX, CalendarWeek, ConfigFault, ConfigLine, ConfigNote, ConfigTaken, ConfigVersion, Configuration,
    Configured, Drafted, Edit, OpenHours,
};
pub use desk::{CodeCount, Desk, NOTE_CHARS_MAX};
pub use events::{CLIENT_QUEUE_MAX, CLIENTS_MAX, EventsReceiver, QUEUE_MAX, RING_MAX};
pub use events::{EventSender, LiveEvent, events};
pub use idempotency::{KEPT_BYTES_MAX, KEPT_FOR, KEY_CHARS_MAX, KEYS_MAX};
pub use listen::{Admission, CONNECTIONS_MAX, Server, ServerOptions, StartError};
pub use metrics::{CallsEnded, Counter, Metrics};
pub use openapi::document as openapi;
pub use openid::{OpenId, OpenIdAt, PENDING_FOR, PENDING_MAX};
pub use phone::{PhoneSettings, WebSocketAt};
pub use playing::{PLAYBACKS_MAX, TICKETS_MAX};
pub use prompts::{PROMPT_BYTES_MAX, PROMPTS_MAX, Prompt, PromptFault, PromptList, PromptShelf, PromptSound};
pub use rates::{ASKERS_MAX, REQUESTS_PER_S_DEFAULT, WINDOW as RATE_WINDOW};
pub use segments::{Doing, Segment, segments};
pub use time::rfc3339;
pub use users::{
    ATTEMPTS_MAX, CHECKS_MAX, Codes, IDLE_MAX, KeptSession, LASTS_MAX, PASSWORD_CHARS_MIN, Password, ROUTES, Right,
    Rights, Role, SESSIONS_MAX, SESSIONS_OF_ONE_MAX, SessionShelf, TokenUser, User, token_hash,
};
pub use view::{
    AgentWish, Answer, BanView, Explained, GuestError, GuestWish, Health, Ladder, LadderMessage, Page,
    RECORDS_PAGE_MAX, RecordEntry, RecordingEntry, ReportFault, ReportOf, Reported, SetAgentError, Unavailable, View,
    WelcomeError, Withdrawal, WrapUpEntry,
};
pub use visitors::{ADDRESSES_MAX, EntrancePage, TICKETS_PER_MINUTE};
pub use webhooks::{
    DEAD_AFTER, EventLog, Happened, IdAndName, Occurred, Pace, WEBHOOKS_MAX, Webhook, WebhookEvent, WebhookSecret,
    WebhookTarget, Webhooks, What, tls_client,
};
