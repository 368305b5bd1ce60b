//! Offers and answers of a call: what is agreed on goes to its engine.

use offhook_codec::Tone;
use offhook_plan::{Direction, MediaCaps, Negotiated};
use offhook_sip::{Body, reason_phrase, sdp};
use offhook_units::{SampleRate, Tick};

use super::Control;
use crate::engine::Order;
use crate::event::PhoneEvent;
use crate::line::{Due, Line, Stage};
use crate::statistics::EndedBy;

impl Control {
    /// Media is agreed on: the engine hears of it, and the world of hold.
    pub(super) fn agree(&mut self, call: u32, negotiated: Negotiated) {
        let Some(line) = self.lines.get_mut(&call) else { return };
        let by_peer = !negotiated.direction.sends() && line.answered.is_some();
        let changed = by_peer != line.held_by_peer;
        line.held_by_peer = by_peer;
        line.negotiated = Some(negotiated.clone());
        line.engine.tell(Order::Talk(Box::new(negotiated)));
        let by_us = line.held_by_us;
        if changed {
            self.say(PhoneEvent::Held { call, by_us, by_peer });
        }
    }

    pub(super) fn answer(&mut self, now: Tick, call: u32) {
        let Some(line) = self.lines.get_mut(&call).filter(|line| line.stage == Stage::Ringing) else {
            return self.fault(Some(call), "no such call rings");
        };
        let body = if let Some(offer) = line.their_offer.take() {
            match sdp::answer(&offer, &line.local, &self.config.caps, Direction::SendRecv) {
                Ok((body, negotiated)) => {
                    self.agree(call, negotiated);
                    body
                }
                Err(error) => return self.fault(Some(call), error.to_string()),
            }
        } else {
            let offer = sdp::offer(&line.local, &self.config.caps, Direction::SendRecv);
            line.our_offer = Some(offer.clone());
            offer
        };
        let Some(line) = self.lines.get_mut(&call) else { return };
        let (session, flow) = (line.session, line.flow);
        let contact = self.contact(flow);
        self.endpoint.answer(now, session, contact, Some(Body::sdp(body)));
        self.talking(now, call);
    }

    /// Nobody pressed a key: whoever wears the headset is told by a tone.
    pub(super) fn answer_by_itself(&mut self, now: Tick, call: u32) {
        self.answer(now, call);
        if let Some(line) = self.lines.get(&call).filter(|line| line.stage == Stage::Talking) {
            line.engine.tell(Order::Zip);
        }
    }

    /// Both sides have said yes.
    pub(super) fn talking(&mut self, now: Tick, call: u32) {
        let Some(line) = self.lines.get_mut(&call) else { return };
        line.stage = Stage::Talking;
        line.answered = Some(now);
        line.due.clear();
        line.due.extend(line.hang_up_after.map(|after| (now + after, Due::HangUp)));
        line.due.extend(line.keys.drain(..).map(|(after, keys)| (now + after, Due::Keys(keys))));
        let setup_ms = now.since(line.began).as_us() as f64 / 1_000.0;
        let codec = line.negotiated.as_ref().map(|agreed| agreed.codec.name());
        self.say(PhoneEvent::Answered { call, setup_ms, codec });
    }

    /// The ACK: it carries the answer where our 2xx carried the offer.
    pub(super) fn confirmed(&mut self, now: Tick, call: u32, body: Option<Body>) {
        let Some(line) = self.lines.get_mut(&call) else { return };
        let Some(offer) = line.our_offer.take() else { return };
        let answer = body.map(|body| body.bytes).unwrap_or_default();
        match sdp::accept(&offer, &answer, &self.config.caps) {
            Ok(negotiated) => self.agree(call, negotiated),
            Err(error) => self.media_fault(now, call, &error),
        }
    }

    pub(super) fn media_fault(&mut self, now: Tick, call: u32, error: &sdp::SdpError) {
        if let Some(line) = self.lines.get_mut(&call) {
            line.end(now, EndedBy::Media, Some(error.to_string()));
        }
        self.hang_up(now, call);
    }

    pub(super) fn progress(&mut self, call: u32, status: u16, body: Option<Body>) {
        let Some(line) = self.lines.get_mut(&call) else { return };
        let offer = line.our_offer.clone();
        let early = body.filter(Body::is_sdp).zip(offer).and_then(|(body, offer)| {
            // An unusable early answer is no reason to end the call: the final one decides.
            accepted(line, &offer, &body.bytes, &self.config.caps).ok()
        });
        let early_media = early.is_some() || line.negotiated.is_some();
        match early {
            Some(negotiated) => self.agree(call, negotiated),
            None if status == 180 && !early_media => {
                line.engine.tell(Order::Tone(Some(Tone::ringback(SampleRate::NARROW))));
            }
            None => {}
        }
        self.say(PhoneEvent::Progress { call, status, early_media });
    }

    pub(super) fn answered(&mut self, now: Tick, call: u32, body: Option<Body>) {
        let Some(line) = self.lines.get_mut(&call) else { return };
        let offer = line.our_offer.take().unwrap_or_default();
        let early = line.negotiated.is_some();
        match body.filter(Body::is_sdp) {
            Some(body) => match accepted(line, &offer, &body.bytes, &self.config.caps) {
                Ok(negotiated) => self.agree(call, negotiated),
                Err(error) => return self.media_fault(now, call, &error),
            },
            // RFC 3264 section 4: the early answer was the answer.
            None if early => {}
            None => return self.media_fault(now, call, &sdp::SdpError::NoAudio),
        }
        self.talking(now, call);
    }

    pub(super) fn hold(&mut self, now: Tick, call: u32, on: bool) {
        let Some(line) = self.lines.get_mut(&call).filter(|line| line.stage == Stage::Talking) else {
            return self.fault(Some(call), "only a call that was answered can be held");
        };
        if line.carrier.is_some() {
            return self.fault(Some(call), "a call whose speech goes by a carrier cannot be held");
        }
        if line.our_offer.is_some() {
            // One change at a time, RFC 3264 section 4: the last wish is kept until the answer is here.
            line.hold_next = Some(on);
            return;
        }
        if line.held_by_us == on {
            return;
        }
        line.held_by_us = on;
        line.local.version += 1;
        let offer = sdp::offer(&line.local, &self.config.caps, wish(on));
        line.our_offer = Some(offer.clone());
        // Towards a held peer there is silence at once, whatever it answers.
        line.engine.tell(Order::Hold(on));
        let (session, by_peer) = (line.session, line.held_by_peer);
        self.endpoint.reoffer(now, session, Some(Body::sdp(offer)));
        self.say(PhoneEvent::Held { call, by_us: on, by_peer });
    }

    pub(super) fn reoffered(&mut self, now: Tick, call: u32, body: Option<Body>) {
        let Some(line) = self.lines.get_mut(&call) else { return };
        line.local.version += 1;
        let session = line.session;
        if line.carrier.is_some() {
            return self.endpoint.refuse_reoffer(now, session, 488);
        }
        let Some(body) = body.filter(Body::is_sdp) else {
            let offer = sdp::offer(&line.local, &self.config.caps, wish(line.held_by_us));
            line.our_offer = Some(offer.clone());
            return self.endpoint.answer_reoffer(now, session, Some(Body::sdp(offer)));
        };
        match sdp::answer(&body.bytes, &line.local, &self.config.caps, wish(line.held_by_us)) {
            Ok((answer, negotiated)) => {
                self.agree(call, negotiated);
                self.endpoint.answer_reoffer(now, session, Some(Body::sdp(answer)));
            }
            Err(error) => {
                self.fault(Some(call), format!("a change of media was refused: {error}"));
                self.endpoint.refuse_reoffer(now, session, error.status());
            }
        }
    }

    pub(super) fn reoffer_answered(&mut self, now: Tick, call: u32, body: Option<Body>) {
        let Some(offer) = self.lines.get_mut(&call).and_then(|line| line.our_offer.take()) else { return };
        let answer = body.map(|body| body.bytes).unwrap_or_default();
        match sdp::accept(&offer, &answer, &self.config.caps) {
            Ok(negotiated) => self.agree(call, negotiated),
            Err(error) => self.fault(Some(call), format!("the change of media came to nothing: {error}")),
        }
        if let Some(on) = self.lines.get_mut(&call).and_then(|line| line.hold_next.take()) {
            self.hold(now, call, on);
        }
    }

    pub(super) fn reoffer_refused(&mut self, call: u32, status: u16) {
        let Some(line) = self.lines.get_mut(&call) else { return };
        line.our_offer = None;
        line.hold_next = None;
        line.held_by_us = !line.held_by_us;
        line.engine.tell(Order::Hold(line.held_by_us));
        let (by_us, by_peer) = (line.held_by_us, line.held_by_peer);
        self.fault(Some(call), format!("the peer refused: {status} {}", reason_phrase(status)));
        self.say(PhoneEvent::Held { call, by_us, by_peer });
    }
}

/// What the peer's answer to our offer agrees on. A carrier is asked once: the final answer says what an early one said.
fn accepted(line: &mut Line, offer: &str, answer: &[u8], caps: &MediaCaps) -> Result<Negotiated, sdp::SdpError> {
    let Some(carrier) = &line.carrier else { return sdp::accept(offer, answer, caps) };
    if line.carried.is_none() {
        line.carried = Some(carrier.accept(answer).map_err(sdp::SdpError::Malformed)?);
    }
    sdp::accept(offer, line.carried.as_deref().unwrap_or_default().as_bytes(), caps)
}

/// The direction that we wish for.
pub(super) const fn wish(held_by_us: bool) -> Direction {
    if held_by_us { Direction::SendOnly } else { Direction::SendRecv }
}
