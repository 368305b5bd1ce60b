//! The ways of speech that goes as a browser's: one connection a call, each with a task of its own on a runtime beside the two threads of
//! a run.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use offhook_net::intake::Post;
use offhook_plan::CodecKind;
use offhook_units::Entropy;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::webrtc::{Standing, WebRtc, WebRtcError};

/// Threads that all ways share.
const THREADS: usize = 2;
/// How long ways may take to close at the end.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// What a way is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WayOrder {
    /// A call is due, whose plain packets come from `near` and go there.
    Open {
        /// Its flow.
        flow: u32,
        /// The socket of its flow.
        near: SocketAddr,
    },
    /// The server has answered.
    Accept {
        /// Which flow.
        flow: u32,
        /// The server's description.
        answer: String,
    },
    /// The call is over.
    Close {
        /// Which flow.
        flow: u32,
    },
}

/// What a way tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WayNotice {
    /// It knows what to offer.
    Offer {
        /// Which flow.
        flow: u32,
        /// The offer.
        offer: String,
        /// Where it takes plain packets, and gives them.
        inside: SocketAddr,
    },
    /// ICE and DTLS are through.
    Up {
        /// Which flow.
        flow: u32,
    },
    /// There is none, or none any more.
    Failed {
        /// Which flow.
        flow: u32,
        /// Why.
        why: String,
    },
}

/// What a way's task is told.
enum Told {
    Accept(String),
    Close,
}

/// All ways of a run.
#[derive(Debug)]
pub(crate) struct Ways {
    runtime: Runtime,
    codec: CodecKind,
    tell: Arc<Post<WayNotice>>,
    open: BTreeMap<u32, UnboundedSender<Told>>,
    chance: Entropy,
}

impl Ways {
    /// None yet, for speech in `codec`.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(codec: CodecKind, tell: Post<WayNotice>, chance: Entropy) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("bench-webrtc")
            .enable_all()
            .build()?;
        Ok(Self { runtime, codec, tell: Arc::new(tell), open: BTreeMap::new(), chance })
    }

    /// Does as ordered; what comes of it is told.
    pub fn order(&mut self, order: WayOrder) {
        match order {
            WayOrder::Open { flow, near } => {
                let (orders, told) = unbounded_channel();
                self.open.insert(flow, orders);
                let way = Life { flow, near, codec: self.codec, ssrc: self.chance.next_u32(), tell: self.tell.clone() };
                self.runtime.spawn(way.live(told));
            }
            // A way that has failed has told so, and listens no more.
            WayOrder::Accept { flow, answer } => {
                let _gone = self.open.get(&flow).map(|way| way.send(Told::Accept(answer)));
            }
            WayOrder::Close { flow } => {
                let _gone = self.open.remove(&flow).map(|way| way.send(Told::Close));
            }
        }
    }

    /// Ends all of them.
    pub fn stop(self) {
        drop(self.open);
        self.runtime.shutdown_timeout(CLOSED_WITHIN);
    }
}

/// One way's life.
struct Life {
    flow: u32,
    near: SocketAddr,
    codec: CodecKind,
    ssrc: u32,
    tell: Arc<Post<WayNotice>>,
}

impl Life {
    async fn live(self, mut told: UnboundedReceiver<Told>) {
        let flow = self.flow;
        if let Err(error) = self.carry(&mut told).await {
            // At the end nobody listens any more.
            let _gone = self.tell.send(WayNotice::Failed { flow, why: error.to_string() });
        }
    }

    async fn carry(&self, told: &mut UnboundedReceiver<Told>) -> Result<(), WebRtcError> {
        let (flow, tell) = (self.flow, self.tell.clone());
        let changed = move |standing| {
            let notice = match standing {
                Standing::Up => WayNotice::Up { flow },
                Standing::Failed => WayNotice::Failed { flow, why: "no way to the server by ICE and DTLS".to_owned() },
            };
            let _gone = tell.send(notice);
        };
        let way = WebRtc::open(self.near, self.codec, self.ssrc, changed).await?;
        let notice = WayNotice::Offer { flow, offer: way.offer().to_owned(), inside: way.inside() };
        let _gone = self.tell.send(notice);
        let mut outcome = Ok(());
        while let (Ok(()), Some(Told::Accept(answer))) = (&outcome, told.recv().await) {
            outcome = way.accept(&answer).await;
        }
        way.close().await;
        outcome
    }
}
