//! Before the answer: early media that is acknowledged (RFC 3262), and offers that change it (RFC 3311).

use std::net::SocketAddr;

use offhook_call::Input;
use offhook_call::config::Answer;
use offhook_plan::{Direction, LegPlan, MediaCaps, Source};
use offhook_sip::{Body, Event, Flow, Message, Request, Response, Transport, sdp};
use offhook_units::Span;

use crate::desk::{SERVER, World, credentials, media, trunk};

/// A description of media at another port.
fn moved(at: SocketAddr, port: u16, direction: Direction) -> String {
    let local = sdp::Local { address: at.ip(), port, session_id: 1, version: 2, srtp: sdp::Srtp::OFF };
    sdp::offer(&local, &MediaCaps::g711(), direction)
}

impl World {
    /// `who` sends a message that was written by hand; gives the statuses and bodies of what came back to it.
    fn inject(&mut self, who: &str, lines: &str, body: &str) -> Vec<Response> {
        let peer = Self::address(who);
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!("{}\r\n{kind}Content-Length: {}\r\n\r\n{body}", lines.replace('|', "\r\n"), body.len());
        let message = Message::parse(text.as_bytes()).expect("a message");
        let flow = Flow { transport: Transport::Udp, local: SERVER.into(), peer };
        self.heard.clear();
        self.exchange.handle(self.now, Input::Message { flow, message: Box::new(message) });
        self.run(Span::from_ms(100));
        self.answers_to(peer)
    }

    fn answers_to(&self, peer: SocketAddr) -> Vec<Response> {
        let to_it = self.heard.iter().filter(|(to, _)| *to == peer);
        let parsed = to_it.filter_map(|(_, bytes)| Message::parse(bytes).ok());
        parsed
            .filter_map(|message| if let Message::Response(response) = message { Some(response) } else { None })
            .collect()
    }

    fn legs_now(&self) -> &[LegPlan] {
        &self.plans.values().next().expect("a call").legs
    }

    /// Where the last leg's sound goes.
    fn last_leg_to(&self) -> Option<u16> {
        Some(self.legs_now().last()?.negotiated.as_ref()?.remote_rtp.port())
    }
}

#[test]
fn a_carriers_reliable_announcement_is_heard_reliably_and_may_move_before_the_answer() {
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], None)]);
    let call = world.dial("ann", "030123", Some(credentials("ann")));
    let (session, ..) = world.ringing("carrier2").expect("the carrier's INVITE");
    let at = World::address("carrier2");
    assert!(world.at("carrier2").endpoint.is_reliable(session));
    let now = world.now;
    world.at("carrier2").endpoint.progress(now, session, 183, Some(media(at)));
    world.run(Span::from_ms(100));
    let early = |event: &Event| matches!(event, Event::Progress { status: 183, body: Some(_), .. });
    assert!(world.at("ann").events.iter().any(early));
    assert_eq!(world.last_leg_to(), Some(40_000), "early media");
    // Nobody sends anything again: both were acknowledged.
    world.run(Span::from_s(40));
    assert_eq!(world.exchange.calls_active(), 1);
    // The announcement is over, and the callee's own gateway takes its place.
    let names = world.at("carrier2").endpoint.replaces_of(session).expect("it rings");
    let invite = world.at("carrier2").events.iter().find_map(|event| match event {
        Event::Invited { request, .. } => Some((**request).clone()),
        _ => None,
    });
    let invite: Request = invite.expect("an INVITE");
    let (from, to) = (invite.headers.get("From").expect("From"), invite.headers.get("To").expect("To"));
    let lines = format!(
        "UPDATE sip:offhook@127.0.0.1 SIP/2.0|Via: SIP/2.0/UDP {at};branch=z9hG4bKmoved|Max-Forwards: 70|From: {to};tag={}|\
         To: {from}|Call-ID: {}|CSeq: 1 UPDATE|Contact: <sip:carrier@{at}>",
        names.from_tag, names.call_id
    );
    world.inject("carrier2", &lines, &moved(at, 41_000, Direction::SendRecv));
    assert_eq!(world.last_leg_to(), Some(41_000));
    world.answer("carrier2", session);
    assert!(world.was_answered("ann", call));
    assert_eq!(world.last_leg_to(), Some(41_000), "the answer of before is not read again");
    world.hang_up("ann", call);
    assert_eq!(world.exchange.ports().0, 0);
}

#[test]
fn a_caller_without_an_offer_hears_the_queue_before_the_answer_where_it_acknowledges_ours() {
    let mut world = World::told(vec![trunk("dead", 2, &["0"], None)], |config| {
        config.numbers.get_mut("700").expect("a number").answer = Answer::AtAgent;
    });
    let at = World::address("carrier2");
    let lines = |method: &str, cseq: u32, tag: &str, more: &str| {
        format!(
            "{method} sip:700@offhook SIP/2.0|Via: SIP/2.0/UDP {at};branch=z9hG4bK{cseq}{method}|Max-Forwards: 70|\
             From: <sip:0555@carrier>;tag=them|To: <sip:700@offhook>{tag}|Call-ID: late|CSeq: {cseq} {method}|\
             Contact: <sip:carrier@{at}>{more}"
        )
    };
    let got = world.inject("carrier2", &lines("INVITE", 1, "", "|Require: 100rel"), "");
    let early = got.iter().find(|response| response.status == 183).expect("183").clone();
    assert!(!early.body.is_empty() && early.headers.lists("Require", "100rel"), "our offer, ahead of the answer");
    let tag = format!(";tag={}", early.headers.to_tag().expect("a tag"));
    let rack = format!("|RAck: {} 1 INVITE", early.headers.get("RSeq").expect("RSeq"));
    let got = world.inject("carrier2", &lines("PRACK", 2, &tag, &rack), &moved(at, 41_000, Direction::SendRecv));
    assert_eq!(got.iter().map(|response| response.status).collect::<Vec<_>>(), [200]);
    assert_eq!(world.legs_now()[0].negotiated.as_ref().map(|agreed| agreed.remote_rtp.port()), Some(41_000));
    let plan = world.plans.values().next().expect("a plan");
    assert!(plan.edges.iter().any(|edge| matches!(edge.from, Source::Player(_))), "music");
    // The caller puts us on hold while it rings.
    let got = world.inject("carrier2", &lines("UPDATE", 3, &tag, ""), &moved(at, 41_000, Direction::Inactive));
    assert_eq!(got.iter().map(|response| response.status).collect::<Vec<_>>(), [200]);
    assert!(world.plans.values().next().expect("a plan").edges.is_empty());
    let got = world.inject("carrier2", &lines("UPDATE", 4, &tag, ""), &moved(at, 42_000, Direction::SendRecv));
    assert_eq!(got.iter().map(|response| response.status).collect::<Vec<_>>(), [200]);
    let (ann, ..) = world.ringing("ann").expect("ann's phone rings");
    world.heard.clear();
    world.answer("ann", ann);
    let ok = world.answers_to(at).pop().expect("200");
    assert!(ok.status == 200 && ok.body.is_empty(), "everything is said");
    world.inject("carrier2", &lines("ACK", 1, &tag, ""), "");
    let plan = world.plans.values().next().expect("a plan");
    assert_eq!((plan.edges.len(), plan.taps.len()), (2, 1), "both hear each other and are recorded");
    assert_eq!(plan.legs[0].negotiated.as_ref().map(|agreed| agreed.remote_rtp.port()), Some(42_000));
    world.inject("carrier2", &lines("BYE", 5, &tag, ""), "");
    assert_eq!(world.records.len(), 1);
}

#[test]
fn an_agents_phone_that_answers_reliably_before_it_is_picked_up_is_connected() {
    let mut world = World::new(vec![trunk("carrier", 2, &["0"], None)]);
    let customer = world.dial("carrier2", "700", None);
    let (ann, ..) = world.ringing("ann").expect("ann's phone rings");
    let (now, at) = (world.now, World::address("ann"));
    let early: Body = media(at);
    world.at("ann").endpoint.progress(now, ann, 183, Some(early));
    world.run(Span::from_ms(100));
    world.answer("ann", ann);
    assert_eq!(world.state(100).0, "busy");
    assert_eq!(world.legs_now().len(), 2);
    assert!(world.legs_now().iter().all(|leg| leg.negotiated.is_some()), "the 200 says nothing, and need not");
    world.hang_up("carrier2", customer);
    assert_eq!(world.records.len(), 1);
}
