//! Callers whose speech goes as a browser's: a call waits for its way's offer, and its speech for its way.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use offhook_units::Tick;

use super::callers::CallFigures;
use super::{Driver, Leg, Output};
use crate::flows::Order;
use crate::ways::{WayNotice, WayOrder};

/// A way of speech, as far as it has come.
#[derive(Debug)]
pub(super) struct Way {
    /// Where it takes plain packets, and gives them.
    pub inside: SocketAddr,
    /// When the peer's answer was here.
    answered: Option<Tick>,
    is_up: bool,
    /// What the flows are told once it is up.
    later: Vec<Order>,
}

/// A call that is due, and has no offer yet.
#[derive(Debug)]
pub(super) struct Coming {
    number: u64,
    due: Tick,
    leg: Leg,
}

/// The calls that wait for their ways' offers, by flow.
pub(super) type Comings = BTreeMap<u32, Coming>;

/// Of calls whose speech is not carried by us.
const ENDS_FIRST: &str = "not begun before the end of the run";

impl Driver {
    /// A call is due: its way is opened, and tells its offer.
    pub(super) fn come(&mut self, due: Tick, number: u64, leg: Leg) {
        let (flow, near) = (leg.flow, SocketAddr::new(leg.local.address, leg.local.port));
        if let Some(crowd) = &mut self.crowd {
            crowd.coming.insert(flow, Coming { number, due, leg });
            self.out.push_back(Output::Way(WayOrder::Open { flow, near }));
        }
    }

    /// The peer of a caller has answered: its way goes there.
    pub(super) fn lead_way(&mut self, now: Tick, flow: u32, answer: &[u8]) {
        if let Some(way) = self.way_of(flow) {
            way.answered = Some(now);
            let answer = String::from_utf8_lossy(answer).into_owned();
            self.out.push_back(Output::Way(WayOrder::Accept { flow, answer }));
        }
    }

    /// Tells the flows of a caller's: at once, or when its way is up.
    pub(super) fn tell_flow(&mut self, flow: u32, order: Order) {
        match self.way_of(flow).filter(|way| !way.is_up) {
            Some(way) => way.later.push(order),
            None => self.media(order),
        }
    }

    /// A caller's flow is over, and its way.
    pub(super) fn close_flow(&mut self, leg: &Leg) {
        self.media(Order::Close(leg.flow));
        if leg.way.is_some() {
            self.out.push_back(Output::Way(WayOrder::Close { flow: leg.flow }));
        }
    }

    /// Calls that have not begun will not.
    pub(super) fn forget_coming(&mut self) {
        let Some(crowd) = &mut self.crowd else { return };
        for flow in core::mem::take(&mut crowd.coming).into_keys() {
            crowd.figures.fail(ENDS_FIRST);
            self.out.push_back(Output::Way(WayOrder::Close { flow }));
        }
    }

    fn way_of(&mut self, flow: u32) -> Option<&mut Way> {
        let crowd = self.crowd.as_mut()?;
        let session = crowd.by_flow.get(&flow)?;
        crowd.calls.get_mut(session)?.leg.way.as_mut()
    }

    pub(super) fn way_told(&mut self, now: Tick, notice: WayNotice) {
        match notice {
            WayNotice::Offer { flow, offer, inside } => {
                let coming = self.crowd.as_mut().and_then(|crowd| crowd.coming.remove(&flow));
                let Some(Coming { number, due, mut leg }) = coming else { return };
                leg.offer = Some(offer);
                leg.way = Some(Way { inside, answered: None, is_up: false, later: Vec::new() });
                self.call(now, due, number, leg);
            }
            WayNotice::Up { flow } => {
                let Some(way) = self.way_of(flow).filter(|way| !way.is_up) else { return };
                way.is_up = true;
                let (later, answered) = (core::mem::take(&mut way.later), way.answered);
                for order in later {
                    self.media(order);
                }
                if let (Some(crowd), Some(answered)) = (&mut self.crowd, answered) {
                    crowd.times.connected.note_since(answered, now);
                }
            }
            WayNotice::Failed { flow, why } => self.way_failed(now, flow, &why),
        }
    }

    fn way_failed(&mut self, now: Tick, flow: u32, why: &str) {
        let Some(crowd) = &mut self.crowd else { return };
        let fail = |figures: &mut CallFigures| figures.fail(&format!("media: {why}"));
        if crowd.coming.remove(&flow).is_some() {
            fail(&mut crowd.figures);
            self.look(now);
        } else if let Some(session) = crowd.by_flow.get(&flow).copied()
            && let Some(call) = crowd.calls.get_mut(&session).filter(|call| !call.gave_up)
        {
            call.gave_up = true;
            fail(&mut crowd.figures);
            self.endpoint.hang_up(now, session, None);
        }
    }
}
