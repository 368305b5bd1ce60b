//! Recording sessions (RFC 7866) between an exchange and a recorder outside.

mod desk;

use desk::{World, trunk};
use offhook_call::config::{Config, Rule, SiprecClient};
use offhook_call::event::{CallEvent, LogEvent};
use offhook_call::recording::RecordingWish;
use offhook_call::siprec::{GONE_FOR, SiprecFigures};
use offhook_call::{Command, Exchange, Input, Output, Recovered};
use offhook_plan::tap::Side;
use offhook_plan::{Direction, Fork, MediaCaps, MediaEvent};
use offhook_sip::siprec::{Metadata, asks_to_record};
use offhook_sip::{Body, Event, Request, SessionId, sdp};
use offhook_units::{AgentId, CallId, Entropy, IdSource, Span};

const ANN: AgentId = AgentId(100);
/// The recorder, at 127.0.0.3, and the carrier.
const RECORDER: &str = "carrier3";

fn recorded(config: &mut Config, required: bool) {
    let (trunk, user) = ("recorder".to_owned(), "srs".to_owned());
    config.recording.siprec = Some(SiprecClient { trunk, user, required });
}

fn trunks() -> Vec<offhook_call::config::Trunk> {
    vec![trunk("carrier", 2, &["0"], None), trunk("recorder", 3, &[], None)]
}

fn world() -> World {
    World::told(trunks(), |config| recorded(config, false))
}

/// What came with an INVITE of a recording session.
struct Asked {
    session: SessionId,
    request: Request,
}

impl Asked {
    fn sdp(&self) -> String {
        let sdp = self.request.description().expect("a body").expect("a description");
        String::from_utf8(sdp.to_vec()).expect("text")
    }

    fn metadata(&self) -> Metadata {
        Metadata::parse(self.request.metadata().expect("metadata")).expect("RFC 7865")
    }
}

fn seen(metadata: &Metadata) -> Vec<(String, Option<String>, String)> {
    let label =
        |id: &String| metadata.streams.iter().find(|stream| stream.id == *id).map(|stream| stream.label.clone());
    let sends = |sends: &[String]| sends.iter().filter_map(label).collect::<Vec<_>>().join(",");
    metadata.participants.iter().map(|p| (p.aor.clone(), p.name.clone(), sends(&p.sends))).collect()
}

impl World {
    fn asked(&mut self) -> Vec<Asked> {
        let events = self.at(RECORDER).events.iter();
        let asked = events.filter_map(|event| match event {
            Event::Invited { session, request, .. } => Some(Asked { session: *session, request: (**request).clone() }),
            _ => None,
        });
        asked.collect()
    }

    /// The recorder answers an offer in what came: both streams, at ports 41000 and 41002 of its own.
    fn recorder_answer(offer: &str, direction: Direction) -> Body {
        let local = |port| sdp::Local {
            address: World::address(RECORDER).ip(),
            port,
            session_id: 9,
            version: 1,
            srtp: sdp::Srtp::OFF,
        };
        let mut ours = |place: usize| Some(local(41_000 + 2 * place as u16));
        let (text, _) = sdp::answer_streams(offer.as_bytes(), &local(41_000), &mut ours, &MediaCaps::g711(), direction)
            .expect("an answer");
        Body::sdp(text)
    }

    fn take(&mut self, asked: &Asked) {
        let body = Self::recorder_answer(&asked.sdp(), Direction::RecvOnly);
        let (now, contact) = (self.now, "sip:srs@127.0.0.3".parse().expect("a uri"));
        self.at(RECORDER).endpoint.answer(now, asked.session, contact, Some(body));
        self.run(Span::from_ms(100));
    }

    /// Updates that came since this was last asked: description and metadata. They are answered.
    fn updates(&mut self) -> Vec<(String, Metadata)> {
        let (mut updates, mut metadata) = (Vec::new(), None);
        for event in core::mem::take(&mut self.at(RECORDER).events) {
            match event {
                Event::Metadata { metadata: document, .. } => {
                    metadata = Some(Metadata::parse(&document).expect("RFC 7865"));
                }
                Event::Reoffered { session, body } => {
                    let text = String::from_utf8(body.expect("an offer").bytes).expect("text");
                    let answer = Self::recorder_answer(&text, Direction::RecvOnly);
                    let now = self.now;
                    self.at(RECORDER).endpoint.answer_reoffer(now, session, Some(answer));
                    updates.push((text, metadata.take().expect("metadata come before the offer")));
                }
                _ => {}
            }
        }
        self.run(Span::from_ms(100));
        updates
    }

    fn only(&self) -> CallId {
        self.exchange.calls(self.now)[0].id
    }

    fn forks(&self) -> Vec<Fork> {
        self.plans[&self.only()].forks.clone()
    }

    fn noted(&self, wanted: fn(&CallEvent) -> bool) -> usize {
        self.log.iter().filter(|(_, event)| matches!(event, LogEvent::Call(event) if wanted(event))).count()
    }

    fn figures(&self) -> SiprecFigures {
        self.exchange.siprec()
    }

    /// A customer of the recorded queue, whom ann's phone rings for.
    fn customer(&mut self) -> SessionId {
        self.dial("carrier2", "700", None)
    }

    fn ann_answers(&mut self) {
        let (ringing, ..) = self.ringing("ann").expect("ann's phone rings");
        self.answer("ann", ringing);
    }
}

#[test]
fn a_recorded_call_is_sent_to_the_recorder_with_two_labelled_streams_and_who_takes_part() {
    let mut world = world();
    let customer = world.customer();
    let asked = world.asked();
    let [invite] = &asked[..] else { panic!("one recording session, not {}", asked.len()) };
    assert!(invite.request.headers.lists("Require", "siprec"));
    assert!(asks_to_record(&invite.request.headers));
    assert!(invite.request.headers.get("Contact").is_some_and(|contact| contact.ends_with(";+sip.src")));
    assert_eq!(invite.request.uri.user.as_deref(), Some("srs"));
    let sdp = invite.sdp();
    assert_eq!((sdp.matches("m=audio ").count(), sdp.matches("a=sendonly").count()), (2, 2), "{sdp}");
    assert!(sdp.contains("a=label:1\r\n") && sdp.contains("a=label:2\r\n"), "{sdp}");
    // The codec of the customer's leg comes first, and keys do not go there.
    assert!(!sdp.contains("telephone-event"), "{sdp}");
    let first = invite.metadata();
    let alone = [("carrier2", None, "1"), ("700", Some("sales"), "2")];
    let alone =
        alone.map(|(user, name, label)| (format!("sip:{user}@offhook"), name.map(str::to_owned), label.to_owned()));
    assert_eq!(seen(&first), alone);
    assert!(world.forks().is_empty(), "nothing is sent before the recorder has answered");

    world.take(invite);
    let plan = world.plans[&world.only()].clone();
    let leg = plan.taps[0].leg;
    let ends: Vec<_> = plan.legs.iter().rev().take(2).map(|leg| (leg.leg, leg.negotiated.clone())).collect();
    let fork = |side, to| Fork { leg, side, to };
    assert_eq!(plan.forks, [fork(Side::Heard, ends[1].0), fork(Side::Sent, ends[0].0)]);
    let remote = |end: usize| ends[end].1.as_ref().map(|agreed| (agreed.remote_rtp.port(), agreed.direction));
    assert_eq!((remote(1), remote(0)), (Some((41_000, Direction::SendOnly)), Some((41_002, Direction::SendOnly))));

    world.ann_answers();
    let updates = world.updates();
    let [(_, talking)] = &updates[..] else { panic!("one update, not {}", updates.len()) };
    let ann = ("sip:ann@offhook".to_owned(), Some("ann".to_owned()), "2".to_owned());
    assert_eq!(seen(talking)[1], ann);
    assert_eq!(talking.session, first.session);
    assert_eq!(talking.participants[0].id, first.participants[0].id);
    assert_eq!((world.figures().sent_now, world.figures().sent), (1, 1));
    assert_eq!(world.forks().len(), 2);

    world.hang_up("carrier2", customer);
    assert!(world.at(RECORDER).events.iter().any(|event| matches!(event, Event::Ended { .. })), "a BYE");
    assert_eq!((world.figures().sent_now, world.figures().broken), (0, 0));
    assert_eq!(world.exchange.ports().0, 0, "all ports come back");
    assert_eq!(world.exchange.calls_active(), 0);
}

#[test]
fn a_paused_recording_sends_nothing_and_the_recorder_is_told() {
    let mut world = world();
    world.customer();
    let asked = world.asked();
    world.take(&asked[0]);
    world.ann_answers();
    world.updates();
    let call = world.only();
    let wish = |wish| Command::Record { call, by: Some(ANN), wish };
    world.command(wish(RecordingWish::Pause));
    assert!(world.forks().is_empty());
    let updates = world.updates();
    assert_eq!(updates.len(), 1);
    assert_eq!(updates[0].0.matches("a=inactive").count(), 2, "{}", updates[0].0);
    assert!(world.forks().is_empty());
    world.command(wish(RecordingWish::Record));
    let updates = world.updates();
    assert_eq!(updates[0].0.matches("a=sendonly").count(), 2, "{}", updates[0].0);
    assert_eq!(world.forks().len(), 2);
}

#[test]
fn a_call_that_no_rule_records_goes_to_no_recorder() {
    let mut world = World::told(trunks(), |config| {
        recorded(config, false);
        config.queues[0].record = Some(Rule::Never);
    });
    world.customer();
    world.ann_answers();
    assert_eq!(world.asked().len(), 0);
    assert_eq!(world.exchange.ports().0, 2);
}

#[test]
fn a_recorder_that_refuses_is_tried_again_after_growing_waits_and_the_call_goes_on() {
    let mut world = world();
    let customer = world.customer();
    world.ann_answers();
    for (round, wait) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        let asked = world.asked();
        assert_eq!(asked.len(), round + 1);
        world.refuse(RECORDER, asked[round].session, 480);
        world.run(Span::from_ms(wait * 1_000 - 300));
        assert_eq!(world.asked().len(), round + 1, "the wait is not over");
        world.run(Span::from_ms(400));
    }
    let asked = world.asked();
    world.take(&asked[8]);
    assert_eq!(world.forks().len(), 2);
    assert_eq!((world.figures().failed, world.figures().sent), (8, 1));
    assert_eq!(world.noted(|event| matches!(event, CallEvent::RecordingSessionEnded { status: 480, .. })), 8);
    assert_eq!(world.noted(|event| matches!(event, CallEvent::RecordingSessionBegan { .. })), 1);
    assert_eq!(world.exchange.calls(world.now)[0].state, "talking");
    world.hang_up("carrier2", customer);
    assert_eq!(world.exchange.ports().0, 0);
}

#[test]
fn a_recorder_that_hangs_up_or_refuses_an_update_gets_a_session_anew() {
    let mut world = world();
    world.customer();
    let asked = world.asked();
    world.take(&asked[0]);
    world.hang_up(RECORDER, asked[0].session);
    assert!(world.forks().is_empty());
    assert_eq!((world.figures().sent_now, world.figures().broken), (0, 1));
    world.run(Span::from_s(1));
    let asked = world.asked();
    world.take(&asked[1]);
    assert_eq!(world.forks().len(), 2);

    world.ann_answers();
    let reoffered = world.at(RECORDER).events.iter().find_map(|event| match event {
        Event::Reoffered { session, .. } => Some(*session),
        _ => None,
    });
    let (now, session) = (world.now, reoffered.expect("an update"));
    world.at(RECORDER).endpoint.refuse_reoffer(now, session, 488);
    world.run(Span::from_ms(100));
    assert!(world.forks().is_empty());
    world.run(Span::from_s(2));
    let asked = world.asked();
    assert_eq!(asked.len(), 3);
    world.take(&asked[2]);
    assert_eq!(seen(&asked[2].metadata()).len(), 2);
    assert_eq!(world.forks().len(), 2);
}

#[test]
fn a_recorder_that_takes_one_stream_gets_that_one_and_one_that_takes_none_is_left() {
    let mut world = world();
    world.customer();
    let asked = world.asked();
    let full = World::recorder_answer(&asked[0].sdp(), Direction::RecvOnly);
    let text = String::from_utf8(full.bytes).expect("text");
    let (now, contact) = (world.now, "sip:srs@127.0.0.3".parse().expect("a uri"));
    let one = text.replace("m=audio 41000", "m=audio 0");
    world.at(RECORDER).endpoint.answer(now, asked[0].session, contact, Some(Body::sdp(one)));
    world.run(Span::from_ms(100));
    let sides: Vec<Side> = world.forks().iter().map(|fork| fork.side).collect();
    assert_eq!(sides, [Side::Sent]);
    world.hang_up(RECORDER, asked[0].session);
    world.run(Span::from_s(1));

    let asked = world.asked();
    let (now, contact) = (world.now, "sip:srs@127.0.0.3".parse().expect("a uri"));
    let none = text.replace("m=audio 41000", "m=audio 0").replace("m=audio 41002", "m=audio 0");
    world.at(RECORDER).endpoint.answer(now, asked[1].session, contact, Some(Body::sdp(none)));
    world.run(Span::from_ms(100));
    assert!(world.forks().is_empty());
    assert!(
        world
            .at(RECORDER)
            .events
            .iter()
            .any(|event| matches!(event, Event::Ended { session, .. } if *session == asked[1].session))
    );
    assert_eq!(world.exchange.calls_active(), 1);
}

#[test]
fn calls_that_must_be_recorded_outside_are_refused_while_the_recorder_is_gone() {
    let mut world = World::told(trunks(), |config| recorded(config, true));
    let first = world.customer();
    let asked = world.asked();
    world.refuse(RECORDER, asked[0].session, 503);
    let second = world.customer();
    assert_eq!(world.refused_with("carrier2", second), Some(503));
    // A queue that is not recorded takes its calls all the same.
    let other = world.dial("carrier2", "701", None);
    assert_ne!(world.refused_with("carrier2", other), Some(503));
    assert_eq!(world.figures().refused_calls, 1);
    assert_eq!(world.refused_with("carrier2", first), None, "what is up goes on");
    // The first call's next attempts fail too, so that the recorder stays gone; then one is taken.
    world.run(Span::from_s(1));
    let asked = world.asked();
    world.take(&asked[1]);
    let third = world.customer();
    assert_eq!(world.refused_with("carrier2", third), None);
}

#[test]
fn a_recorder_that_was_gone_is_tried_by_the_next_call_after_a_while() {
    let mut world = World::told(trunks(), |config| recorded(config, true));
    let first = world.customer();
    let asked = world.asked();
    world.refuse(RECORDER, asked[0].session, 503);
    world.hang_up("carrier2", first);
    world.run(GONE_FOR);
    let second = world.customer();
    assert_eq!(world.refused_with("carrier2", second), None);
    assert_eq!(world.asked().len(), 2);
}

#[test]
fn a_recorders_leg_that_cannot_be_opened_ends_its_session_and_not_the_call() {
    let mut world = world();
    world.customer();
    let asked = world.asked();
    world.take(&asked[0]);
    let (call, leg) = (world.only(), world.forks()[0].to);
    let event = MediaEvent::LegFailed { call, leg, error: "in use".to_owned() };
    let now = world.now;
    world.exchange.handle(now, Input::Media { worker: 0, event });
    world.run(Span::from_ms(100));
    assert_eq!(world.exchange.calls_active(), 1);
    assert_eq!(world.figures().sent_now, 0);
    world.run(Span::from_s(1));
    assert_eq!(world.asked().len(), 2);
}

#[test]
fn the_recorder_may_pause_by_an_offer_of_its_own() {
    let mut world = world();
    world.customer();
    let asked = world.asked();
    world.take(&asked[0]);
    let text = String::from_utf8(World::recorder_answer(&asked[0].sdp(), Direction::Inactive).bytes).expect("text");
    let now = world.now;
    world.at(RECORDER).endpoint.reoffer(now, asked[0].session, Some(Body::sdp(text.clone())));
    world.run(Span::from_ms(100));
    let directions = |world: &World| -> Vec<Direction> {
        let plan = &world.plans[&world.only()];
        plan.legs
            .iter()
            .rev()
            .take(2)
            .filter_map(|leg| leg.negotiated.as_ref())
            .map(|agreed| agreed.direction)
            .collect()
    };
    assert_eq!(directions(&world), [Direction::Inactive; 2]);
    let now = world.now;
    world.at(RECORDER).endpoint.reoffer(now, asked[0].session, Some(Body::sdp(text.replace("inactive", "recvonly"))));
    world.run(Span::from_ms(100));
    assert_eq!(directions(&world), [Direction::SendOnly; 2]);
}

#[test]
fn after_a_crash_the_recorder_gets_a_bye_as_everybody_else() {
    let mut world = world();
    world.customer();
    let asked = world.asked();
    world.take(&asked[0]);
    let mut config = desk::config(trunks());
    recorded(&mut config, false);
    let left = Recovered::replay(world.log.clone(), Vec::new());
    let mut again = Exchange::recover(world.now, config, IdSource::new(1, 2), Entropy::from_number(8), left);
    let mut hung_up = Vec::new();
    loop {
        match again.poll_output() {
            Output::Transmit { flow, bytes } if bytes.starts_with(b"BYE ") => hung_up.push(flow.peer),
            Output::Wait { .. } => break,
            _ => {}
        }
    }
    hung_up.sort();
    assert_eq!(hung_up, [World::address("carrier2"), World::address(RECORDER)]);
}
