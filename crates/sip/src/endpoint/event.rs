//! What goes into and comes out of an [`Endpoint`](super::Endpoint).

use core::net::SocketAddr;

use offhook_units::{Span, Tick};

use crate::{Body, Credentials, Flow, Method, NameAddr, Request, Response, Uri};

/// One call leg: an INVITE and the dialog that comes of it. Never reused within one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// A request outside of a dialog, or a MESSAGE, that waits for [`Endpoint::respond`](super::Endpoint::respond).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A registration of ours that refreshes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationId(pub u64);

/// An OPTIONS of ours that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub u64);

/// A MESSAGE of ours that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

/// Somebody's subscription to something of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u64);

/// Names a subscription of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub u64);

/// What an endpoint is told to be.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// `User-Agent` of requests and `Server` of responses.
    pub user_agent: String,
    /// Estimate of the round-trip time, RFC 3261 section 17.1.1.1; 64 of it end a transaction.
    pub t1: Span,
    /// Longest gap between retransmissions of a non-INVITE request or of a final response.
    pub t2: Span,
    /// How long a message stays in the network.
    pub t4: Span,
    /// Transactions at once; more requests are answered 503 with Retry-After and without state.
    pub transactions_max: usize,
    /// Sessions at once; more INVITEs are answered 503 with Retry-After.
    pub sessions_max: usize,
    /// Subscriptions at once; more are answered 503 with Retry-After.
    pub subscriptions_max: usize,
    /// `Retry-After` of the 503 that a reached limit gives.
    pub retry_after: Span,
    /// Requests outside of a dialog that the program takes as [`Event::Request`]; others are answered 405. Where MESSAGE is among
    /// them, it is taken within calls too, as [`Event::Message`].
    pub methods: Vec<Method>,
    /// First wait after a failed registration; doubled up to `registration_retry_max`.
    pub registration_retry: Span,
    /// Longest wait after a failed registration.
    pub registration_retry_max: Span,
    /// Listeners for TCP, over whose connections requests of more than [`DATAGRAM_REQUEST_BYTES_MAX`](crate::DATAGRAM_REQUEST_BYTES_MAX)
    /// bytes go instead of as datagrams. Empty: a request goes over the transport of its flow, whatever its size.
    pub large_requests_over: Vec<SocketAddr>,
    /// The program gives each INVITE to [`Endpoint::replaced`](super::Endpoint::replaced): `Supported` says `replaces`.
    pub replaces: bool,
    /// Recording sessions of others are taken (RFC 7866): INVITEs that require `siprec` reach the program.
    pub siprec: bool,
    /// After how long a session is over that nobody refreshed (RFC 4028): offered to peers that support it. Zero: sessions do not
    /// expire, and peers are told that the extension is unknown.
    pub session_expires: Span,
    /// The smallest such time that a peer may ask for, at least [`MIN_SE`](crate::MIN_SE); less gets 422.
    pub session_expires_min: Span,
    /// Put into branches and tags, so that the transactions of several endpoints can be told apart on the wire.
    pub shard: u16,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            user_agent: concat!("Offhook/", env!("CARGO_PKG_VERSION")).to_owned(),
            t1: Span::from_ms(500),
            t2: Span::from_s(4),
            t4: Span::from_s(5),
            transactions_max: 200_000,
            sessions_max: 20_000,
            subscriptions_max: 10_000,
            retry_after: Span::from_s(5),
            methods: vec![Method::Register, Method::Options, Method::Message],
            registration_retry: Span::from_s(4),
            registration_retry_max: Span::from_s(120),
            large_requests_over: Vec::new(),
            replaces: false,
            siprec: false,
            session_expires: Span::from_s(1_800),
            session_expires_min: super::refresh::MIN_SE,
            shard: 0,
        }
    }
}

/// A call to be made.
#[derive(Debug, Clone)]
pub struct Invite {
    /// Where the INVITE is sent.
    pub flow: Flow,
    /// The request URI.
    pub uri: Uri,
    /// Who calls; a tag is added.
    pub from: NameAddr,
    /// Who is called.
    pub to: NameAddr,
    /// Where requests within the dialog reach us.
    pub contact: Uri,
    /// More headers, in order.
    pub headers: Vec<(String, String)>,
    /// The offer; without one the peer offers in its answer.
    pub body: Option<Body>,
    /// What a 401 or 407 is answered with.
    pub credentials: Option<Credentials>,
}

/// A registration to be kept.
#[derive(Debug, Clone)]
pub struct Register {
    /// Where the REGISTER is sent.
    pub flow: Flow,
    /// The request URI: the domain, without a user part.
    pub registrar: Uri,
    /// Address of record: who is registered.
    pub aor: NameAddr,
    /// Where calls for it shall go.
    pub contact: Uri,
    /// How long to ask for. The registrar may shorten it.
    pub expires: Span,
    /// What a 401 or 407 is answered with.
    pub credentials: Option<Credentials>,
}

/// What [`Endpoint::poll_output`](super::Endpoint::poll_output) gives.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes as one message.
    Transmit {
        /// Between which addresses.
        flow: Flow,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Tell the program.
    Event(Event),
    /// Nothing left to do until `until`; then call [`Endpoint::timeout`](super::Endpoint::timeout).
    Wait {
        /// The next timer, or none.
        until: Option<Tick>,
    },
}

/// What happened. Every session ends exactly once: with [`Event::Cancelled`], [`Event::Refused`] or [`Event::Ended`], or
/// by the program's own [`Endpoint::refuse`](super::Endpoint::refuse), which no event follows.
#[derive(Debug)]
pub enum Event {
    /// A new INVITE outside of a dialog; 100 has been sent.
    Invited {
        /// The leg that it began.
        session: SessionId,
        /// Where it came from.
        flow: Flow,
        /// The INVITE.
        request: Box<Request>,
    },
    /// The caller gave up before a final answer (CANCEL); it got 487. The session is over.
    Cancelled {
        /// Which leg.
        session: SessionId,
        /// Its `Reason` header, RFC 3326.
        reason: Option<String>,
    },
    /// The ACK to our 2xx on an incoming call.
    Confirmed {
        /// Which leg.
        session: SessionId,
        /// The answer, where our 2xx carried the offer.
        body: Option<Body>,
    },
    /// A 101 to 199 on an outgoing call. One that was sent reliably has been acknowledged (PRACK).
    Progress {
        /// Which leg.
        session: SessionId,
        /// 101..=199.
        status: u16,
        /// Early media's answer; none once one came reliably.
        body: Option<Body>,
    },
    /// The first 2xx on an outgoing call. ACK has been sent.
    Answered {
        /// Which leg.
        session: SessionId,
        /// The answer: what came reliably before the 2xx, where something did. None where the peer has changed that since.
        body: Option<Body>,
        /// The 2xx.
        response: Box<Response>,
    },
    /// A final non-2xx on an outgoing call: 300..=699; 408 where nobody answered, 503 where the transport failed
    /// (RFC 3261 section 8.1.3.1). The session is over.
    Refused {
        /// Which leg.
        session: SessionId,
        /// 300..=699.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// Its `Reason` header: RFC 6432 lets the telephone network's cause stand in responses.
        cause: Option<String>,
        /// From `Retry-After`.
        retry_after: Option<Span>,
    },
    /// A re-INVITE, or an UPDATE or a PRACK with an offer: to be answered by `answer_reoffer` or `refuse_reoffer`. UPDATE and PRACK
    /// may come before the call is answered; without an offer they are answered inside.
    Reoffered {
        /// Which leg.
        session: SessionId,
        /// The offer; without one our answer shall carry an offer.
        body: Option<Body>,
    },
    /// A re-INVITE or an UPDATE within a recording session brought metadata (RFC 7865); [`Event::Reoffered`] follows where it is to be
    /// answered.
    Metadata {
        /// Which leg.
        session: SessionId,
        /// The document.
        metadata: Vec<u8>,
    },
    /// The 2xx to our re-INVITE, ACK sent; or the ACK that carries the answer to our offer in a 2xx to a re-INVITE; or the PRACK
    /// that carries the answer to our offer in a provisional response.
    ReofferAnswered {
        /// Which leg.
        session: SessionId,
        /// The answer.
        body: Option<Body>,
    },
    /// A final non-2xx to our re-INVITE; the session stays as it was.
    ReofferRefused {
        /// Which leg.
        session: SessionId,
        /// 300..=699.
        status: u16,
    },
    /// An INFO; 200 has been sent.
    Info {
        /// Which leg.
        session: SessionId,
        /// What it carried.
        body: Option<Body>,
    },
    /// A MESSAGE within a call: to be answered by `respond` within 64·T1.
    Message {
        /// Which leg.
        session: SessionId,
        /// For `respond`.
        id: RequestId,
        /// The MESSAGE.
        request: Box<Request>,
    },
    /// What became of a MESSAGE of ours.
    Messaged {
        /// Which.
        id: MessageId,
        /// The final response; none where nobody answered, 503 where the transport failed.
        status: Option<u16>,
    },
    /// A REFER: the peer asks us to call somebody in its place (RFC 3515). To be answered by `accept_refer` or `refuse_refer`.
    Referred {
        /// Which leg.
        session: SessionId,
        /// The REFER.
        request: Box<Request>,
    },
    /// The final response to our REFER: below 300 the peer tries, and [`Event::ReferProgress`] follows where `subscribed`.
    ReferAnswered {
        /// Which leg.
        session: SessionId,
        /// 200..=699.
        status: u16,
        /// The peer will say what becomes of it.
        subscribed: bool,
    },
    /// A NOTIFY on our REFER: what the call that the peer makes in our place has come to.
    ReferProgress {
        /// Which leg.
        session: SessionId,
        /// The status of that call so far: 100..=699; 503 where a peer ends the subscription without one.
        status: u16,
        /// Nothing more follows.
        over: bool,
    },
    /// A session that was confirmed, answered or hung up is over.
    Ended {
        /// Which leg.
        session: SessionId,
        /// Why.
        cause: EndCause,
    },
    /// A request outside of a dialog: to be answered by `respond` within 64·T1.
    Request {
        /// For `respond`.
        id: RequestId,
        /// Where it came from.
        flow: Flow,
        /// The request.
        request: Box<Request>,
    },
    /// A subscriber asked for its subscription to go on, and shall be told by `notify` what there is now.
    Resubscribed {
        /// Which.
        subscription: SubscriptionId,
    },
    /// A subscriber has the last NOTIFY, and there was more to tell: what there is now goes by `notify`.
    NotifyDue {
        /// Which.
        subscription: SubscriptionId,
    },
    /// A subscription is over: ended by the subscriber, not refreshed, or nobody answers any more.
    Unsubscribed {
        /// Which.
        subscription: SubscriptionId,
    },
    /// What a subscription of ours has to tell.
    Seen {
        /// Which.
        watch: WatchId,
        /// The document.
        body: Body,
    },
    /// A subscription of ours was refused for good, and is gone.
    WatchRefused {
        /// Which.
        watch: WatchId,
        /// 300..=499, and 600..=699.
        status: u16,
    },
    /// A REGISTER of ours was taken; zero `expires`: unregistered, and the registration is gone.
    Registered {
        /// Which registration.
        id: RegistrationId,
        /// How long it holds; it refreshes itself at 80 %.
        expires: Span,
    },
    /// A REGISTER of ours failed. It is tried again by itself.
    RegistrationFailed {
        /// Which registration.
        id: RegistrationId,
        /// The final response; none where nobody answered or the transport failed.
        status: Option<u16>,
        /// When it is tried again.
        retry_in: Span,
    },
    /// The answer to an OPTIONS of ours.
    Probed {
        /// Which.
        id: ProbeId,
        /// The final response; none where nobody answered or the transport failed.
        status: Option<u16>,
    },
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndCause {
    /// The peer sent BYE.
    PeerBye {
        /// Its `Reason` header, RFC 3326.
        reason: Option<String>,
    },
    /// We hung up.
    Hungup,
    /// The peer did not answer a request within the dialog.
    TimedOut,
    /// The peer did not acknowledge our 2xx, or a reliable provisional response of ours, within 64·T1.
    NoAck,
    /// The transport reported a failure.
    TransportFailed,
    /// The peer knows the dialog no more (481).
    PeerGone,
    /// The session was not refreshed in time (RFC 4028).
    Expired,
}

/// `transactions_max` or `sessions_max` is reached: nothing was sent. Try again later, or raise the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many SIP sessions or transactions at once")]
pub struct Full;
