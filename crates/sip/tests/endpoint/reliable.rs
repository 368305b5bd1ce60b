//! Reliable provisional responses and what may be said before the answer: RFC 3262, and RFC 3311 in early dialogs.

use offhook_sip::{Body, Credentials, EndCause, Event, Method, Request, SessionId};
use offhook_units::Span;

use super::hand::{Hand, called, response};
use super::world::{A, B, World, answered, confirmed, ended, flow, invite_to, invited, refused};

fn reoffered(event: &Event) -> Option<(SessionId, Option<Body>)> {
    if let Event::Reoffered { session, body } = event { Some((*session, body.clone())) } else { None }
}

fn progress(event: &Event) -> Option<(u16, Option<Body>)> {
    if let Event::Progress { status, body, .. } = event { Some((*status, body.clone())) } else { None }
}

fn answer_of(event: &Event) -> Option<(SessionId, Option<Body>)> {
    if let Event::Answered { session, body, .. } = event { Some((*session, body.clone())) } else { None }
}

/// A calls B, which sends early media; gives both legs.
fn ringing(world: &mut World) -> (SessionId, SessionId) {
    let caller = world.call(A, B, None);
    world.run_for(Span::from_ms(50));
    let callee = world.expect(B, invited);
    world.act(B, |endpoint, now| endpoint.progress(now, callee, 183, Some(Body::sdp("v=0 early"))));
    (caller, callee)
}

/// Methods and statuses, as they went over the wire.
fn words(world: &mut World) -> Vec<String> {
    let word = |line: String| line.trim_start_matches("SIP/2.0 ").split(' ').next().unwrap_or_default().to_owned();
    world.lines().into_iter().map(word).collect()
}

#[test]
fn early_media_is_acknowledged_and_is_the_answer() {
    let mut world = World::new(81);
    let (caller, callee) = ringing(&mut world);
    world.run_for(Span::from_ms(50));
    assert_eq!(world.expect(A, progress), (183, Some(Body::sdp("v=0 early"))));
    world.act(B, |endpoint, now| endpoint.progress(now, callee, 180, None));
    world.answer(B, callee);
    world.run_for(Span::from_ms(50));
    assert_eq!(world.expect(A, answer_of).1, Some(Body::sdp("v=0 early")), "what was said reliably counts");
    assert_eq!(world.expect(B, confirmed), callee);
    assert_eq!(words(&mut world), ["INVITE", "100", "183", "PRACK", "200", "180", "200", "ACK"]);
    world.hang_up(A, caller);
    world.settle();
}

#[test]
fn without_a_prack_it_is_sent_7_times_and_the_call_gets_504_after_32_s() {
    let mut world = World::new(82);
    world.filter(|_, line| !line.starts_with("PRACK"));
    let (caller, callee) = ringing(&mut world);
    let began = world.now;
    world.run_for(Span::from_ms(31_990));
    assert!(world.events(B).is_empty());
    world.run_for(Span::from_ms(50));
    assert_eq!(world.expect(B, ended), (callee, EndCause::NoAck));
    assert_eq!(world.expect(A, refused), (caller, 504));
    let repeated = world.sent.iter().filter(|(.., line)| line.starts_with("SIP/2.0 183"));
    let times: Vec<u64> = repeated.map(|(at, ..)| (*at - began).as_ms()).collect();
    assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    world.settle();
}

#[test]
fn the_2xx_waits_for_the_prack_of_a_description() {
    let mut world = World::new(83);
    let mut pracks = 0;
    world.filter(move |_, line| {
        pracks += usize::from(line.starts_with("PRACK"));
        !line.starts_with("PRACK") || pracks > 2
    });
    let (caller, callee) = ringing(&mut world);
    world.answer(B, callee);
    assert!(world.parties[B].endpoint.snapshot(callee).is_some(), "it can be ended after a crash");
    world.act(B, |endpoint, now| endpoint.reoffer(now, callee, Some(Body::sdp("v=0 hold"))));
    world.run_for(Span::from_ms(1_400));
    assert_eq!((world.sent_count(B, "SIP/2.0 200"), world.sent_count(B, "SIP/2.0 183")), (0, 2));
    world.run_for(Span::from_s(1));
    assert_eq!((world.expect(A, answered), world.expect(B, confirmed)), (caller, callee));
    assert_eq!(world.expect(A, reoffered).1, Some(Body::sdp("v=0 hold")), "it waited for the answer");
    world.run_for(Span::from_s(10));
    assert_eq!(world.sent_count(B, "SIP/2.0 183"), 3, "not sent again after the PRACK");
    world.hang_up(B, callee);
    world.settle();
}

#[test]
fn while_the_2xx_waits_either_side_may_still_end_the_call() {
    for ends in [A, B] {
        let mut world = World::new(84);
        world.filter(|_, line| !line.starts_with("PRACK"));
        let (caller, callee) = ringing(&mut world);
        world.answer(B, callee);
        world.run_for(Span::from_ms(50));
        world.hang_up(ends, if ends == A { caller } else { callee });
        world.run_for(Span::from_ms(50));
        let cause = world.expect(B, ended).1;
        if ends == A {
            assert_eq!(cause, EndCause::PeerBye { reason: Some("Q.850;cause=16".into()) });
            assert_eq!(world.expect(A, ended), (caller, EndCause::Hungup));
        } else {
            assert_eq!((cause, world.expect(A, refused)), (EndCause::Hungup, (caller, 480)));
        }
        world.settle();
    }
}

#[test]
fn only_a_first_invite_with_an_offer_allows_reliable_responses() {
    let mut world = World::new(85);
    let says = |world: &mut World| {
        let request = world
            .expect(B, |event| if let Event::Invited { request, .. } = event { Some(request.clone()) } else { None });
        request.headers.lists("Supported", "100rel")
    };
    world.call(A, B, None);
    world.run_for(Span::from_ms(50));
    assert!(says(&mut world));
    let silent = offhook_sip::Invite { body: None, ..invite_to(flow(A, B), None) };
    world.act(A, |endpoint, now| endpoint.invite(now, silent)).expect("within limits");
    world.run_for(Span::from_ms(50));
    assert!(!says(&mut world));
}

/// The value of a header of ours with which the hand answers.
fn rack_to(rseq: u32) -> String {
    format!("{rseq} 1 INVITE")
}

impl Hand {
    /// A PRACK within the dialog of `invite`.
    fn prack(&mut self, invite: &Request, cseq: u32, rack: &str) -> Request {
        let mut prack = self.within(invite, "PRACK", cseq);
        prack.headers.remove("Require");
        prack.headers.set("RAck", rack);
        prack.body.clear();
        prack
    }

    /// An INVITE that rings here; the second is a template of requests within its dialog.
    fn rings(&mut self, more: &str, offer: Option<&str>) -> (SessionId, Request) {
        let mut invite = self.request("INVITE", more);
        if let Some(offer) = offer {
            invite.set_body(Body::SDP, offer.as_bytes().to_vec());
        }
        self.send(&invite);
        (self.world.expect(A, invited), invite)
    }

    fn says(&mut self, session: SessionId, status: u16, body: Option<&str>) -> Vec<offhook_sip::Response> {
        self.world.act(A, |endpoint, now| endpoint.progress(now, session, status, body.map(Body::sdp)));
        self.responses()
    }
}

fn rseq(response: &offhook_sip::Response) -> Option<u32> {
    response.headers.lists("Require", "100rel").then(|| response.headers.rseq().ok().flatten()).flatten()
}

#[test]
fn where_it_is_required_every_response_is_reliable_and_one_waits_for_the_other() {
    let mut hand = Hand::new(86);
    let (session, mut invite) = hand.rings("Require: 100rel\n", Some("v=0 offer"));
    let ringing = hand.says(session, 180, None).remove(0);
    let first = rseq(&ringing).expect("a number");
    assert!((1..1 << 31).contains(&first) && ringing.headers.lists("Allow", "UPDATE"));
    invite.headers.set("To", ringing.headers.get("To").expect("To"));
    assert!(hand.says(session, 182, None).is_empty() && hand.says(session, 183, Some("v=0 early")).is_empty());
    for (rack, status) in [
        ("1", 400),
        ("x 1 INVITE", 400),
        (&*format!("{first} 1 INVITE INVITE"), 400),
        (&*rack_to(first + 1), 481),
        (&*format!("{first} 2 INVITE"), 481),
        (&*format!("{first} 1 UPDATE"), 481),
    ] {
        let wrong = hand.prack(&invite, 2, rack);
        assert_eq!(hand.status(&wrong), status, "{rack}");
    }
    let prack = hand.prack(&invite, 2, &rack_to(first));
    let got = hand.send(&prack);
    assert_eq!(got.iter().map(|response| response.status).collect::<Vec<_>>(), [200, 183], "the newest one follows");
    assert_eq!((rseq(&got[1]), &got[1].body[..]), (Some(first + 1), &b"v=0 early"[..]));
    assert_eq!(hand.status(&prack), 200, "the same PRACK once more");
    let stale = hand.prack(&invite, 3, &rack_to(first));
    assert_eq!(hand.status(&stale), 481);
    let prack = hand.prack(&invite, 4, &rack_to(first + 1));
    assert_eq!(hand.status(&prack), 200);
    let later = hand.says(session, 183, Some("v=0 other")).remove(0);
    assert!(rseq(&later) == Some(first + 2) && later.body.is_empty(), "one answer is enough");
    // The 2xx does not wait for one without a description, whose PRACK is taken all the same.
    hand.world.answer(A, session);
    let ok = hand.responses().remove(0);
    assert!(ok.status == 200 && ok.body.is_empty());
    let prack = hand.prack(&invite, 5, &rack_to(first + 2));
    assert_eq!(hand.status(&prack), 200);
    let ack = hand.within(&invite, "ACK", 1);
    hand.send(&ack);
    assert_eq!(hand.world.expect(A, confirmed), session);
}

#[test]
fn where_it_is_supported_only_a_description_is_reliable() {
    let mut hand = Hand::new(87);
    let (session, _) = hand.rings("Supported: 100rel\n", Some("v=0 offer"));
    assert_eq!(rseq(&hand.says(session, 180, None)[0]), None);
    assert!(rseq(&hand.says(session, 183, Some("v=0 early"))[0]).is_some());
    let (session, _) = hand.rings("", Some("v=0 offer"));
    assert_eq!(rseq(&hand.says(session, 183, Some("v=0 early"))[0]), None);
    assert!(!hand.world.parties[A].endpoint.is_reliable(session));
}

#[test]
fn without_an_offer_in_the_invite_ours_goes_ahead_and_the_prack_brings_the_answer() {
    let mut hand = Hand::new(88);
    let (session, mut invite) = hand.rings("Require: 100rel\n", None);
    assert!(hand.says(session, 180, None).is_empty(), "the first reliable response carries our offer");
    let early = hand.says(session, 183, Some("v=0 ours")).remove(0);
    assert_eq!(&early.body[..], b"v=0 ours");
    invite.headers.set("To", early.headers.get("To").expect("To"));
    let mut update = hand.within(&invite, "UPDATE", 2);
    update.headers.remove("Require");
    update.set_body(Body::SDP, b"v=0 theirs".to_vec());
    assert_eq!(hand.status(&update), 491, "ours has no answer yet");
    hand.world.answer(A, session);
    let mut prack = hand.prack(&invite, 3, &rack_to(rseq(&early).expect("a number")));
    prack.set_body(Body::SDP, b"v=0 agreed".to_vec());
    let got = hand.send(&prack);
    assert_eq!(got.iter().map(|response| response.status).collect::<Vec<_>>(), [200, 200]);
    assert!(got.iter().all(|response| response.body.is_empty()), "no second offer in the 200");
    let answer = |event: &Event| if let Event::ReofferAnswered { body, .. } = event { body.clone() } else { None };
    assert_eq!(hand.world.expect(A, answer), Body::sdp("v=0 agreed"));
    // A PRACK that owes the answer leaves it to 200 and ACK.
    let (session, mut invite) = hand.rings("Supported: 100rel\n", None);
    let early = hand.says(session, 183, Some("v=0 ours")).remove(0);
    invite.headers.set("To", early.headers.get("To").expect("To"));
    let prack = hand.prack(&invite, 2, &rack_to(rseq(&early).expect("a number")));
    assert_eq!(hand.status(&prack), 200);
    hand.world.answer(A, session);
    assert_eq!(&hand.responses()[0].body[..], b"v=0 answer");
}

#[test]
fn a_new_offer_before_the_answer_is_taken_once_the_first_one_is_through() {
    let mut hand = Hand::new(89);
    let (session, mut invite) = hand.rings("Supported: 100rel\n", Some("v=0 offer"));
    let ringing = hand.says(session, 180, None).remove(0);
    invite.headers.set("To", ringing.headers.get("To").expect("To"));
    let mut update = hand.within(&invite, "UPDATE", 2);
    update.set_body(Body::SDP, b"v=0 hold".to_vec());
    let early = hand.send(&update).remove(0);
    assert!(early.status == 500 && early.headers.get("Retry-After").is_some(), "theirs has no answer yet");
    let number = rseq(&hand.says(session, 183, Some("v=0 early"))[0]).expect("a number");
    // The PRACK carries an offer of its own: 200 with the answer, and the 2xx after that.
    let mut prack = hand.prack(&invite, 3, &rack_to(number));
    prack.set_body(Body::SDP, b"v=0 second".to_vec());
    assert!(hand.send(&prack).is_empty());
    assert_eq!(hand.world.expect(A, reoffered), (session, Some(Body::sdp("v=0 second"))));
    let mut update = hand.within(&invite, "UPDATE", 4);
    update.set_body(Body::SDP, b"v=0 hold".to_vec());
    assert_eq!(hand.status(&update), 500, "one after the other");
    hand.world.answer(A, session);
    assert!(hand.responses().is_empty());
    hand.world.act(A, |endpoint, now| endpoint.answer_reoffer(now, session, Some(Body::sdp("v=0 agreed"))));
    let got = hand.responses();
    assert_eq!(
        got.iter().map(|r| (r.status, &r.body[..])).collect::<Vec<_>>(),
        [(200, &b"v=0 agreed"[..]), (200, &b""[..])]
    );
    // UPDATE does the same, RFC 3311.
    let (session, mut invite) = hand.rings("Supported: 100rel\n", Some("v=0 offer"));
    let early = hand.says(session, 183, Some("v=0 early")).remove(0);
    invite.headers.set("To", early.headers.get("To").expect("To"));
    let prack = hand.prack(&invite, 2, &rack_to(rseq(&early).expect("a number")));
    assert_eq!(hand.status(&prack), 200);
    let mut update = hand.within(&invite, "UPDATE", 3);
    update.set_body(Body::SDP, b"v=0 hold".to_vec());
    assert!(hand.send(&update).is_empty());
    assert_eq!(hand.world.expect(A, reoffered), (session, Some(Body::sdp("v=0 hold"))));
    // Whoever gives up meanwhile leaves nothing unanswered.
    let mut cancel = invite.clone();
    cancel.method = Method::Cancel;
    cancel.headers.set_cseq(1, &Method::Cancel);
    cancel.headers.set("To", "<sip:100@192.0.2.1>");
    let statuses: Vec<u16> = hand.send(&cancel).iter().map(|response| response.status).collect();
    assert_eq!(statuses, [200, 487, 487]);
}

fn reliable(invite: &Request, status: u16, tag: &str, rseq: u32, body: &str) -> offhook_sip::Response {
    let mut response = response(invite, status, tag);
    response.headers.push("Require", "100rel");
    response.headers.push("RSeq", &rseq.to_string());
    if !body.is_empty() {
        response.set_body(Body::SDP, body.as_bytes().to_vec());
    }
    response
}

#[test]
fn reliable_responses_to_our_invite_are_acknowledged_in_order_and_once() {
    let mut hand = Hand::new(90);
    let (_, invite) = called(&mut hand);
    let mut racks = Vec::new();
    for (number, status) in [(7, 180), (7, 180), (9, 182), (6, 180), (8, 183), (8, 183), (9, 182)] {
        let got = hand.reply(&reliable(&invite, status, "one", number, ""));
        racks.extend(got.iter().map(|prack| prack.headers.get("RAck").unwrap_or_default().to_owned()));
        for prack in &got {
            assert_eq!((&prack.method, prack.headers.to_tag()), (&Method::Prack, Some("one")));
            assert_eq!(prack.uri.to_string(), "sip:100@192.0.2.2");
            hand.reply(&response(prack, 200, "one"));
        }
    }
    assert_eq!(racks, ["7 1 INVITE", "8 1 INVITE", "9 1 INVITE"]);
    let told: Vec<_> = hand.world.events(A).iter().filter_map(progress).map(|(status, _)| status).collect();
    assert_eq!(told, [180, 183, 182], "what is out of order comes again");
}

#[test]
fn each_branch_of_a_fork_is_acknowledged_in_its_own_dialog_and_the_one_that_answers_counts() {
    let mut hand = Hand::new(91);
    let (_, invite) = called(&mut hand);
    for (tag, number) in [("one", 100), ("two", 5)] {
        let prack = hand.reply(&reliable(&invite, 183, tag, number, &format!("v=0 {tag}"))).remove(0);
        assert_eq!(prack.headers.to_tag(), Some(tag));
        assert_eq!(prack.headers.get("RAck"), Some(&*format!("{number} 1 INVITE")));
        hand.reply(&response(&prack, 200, tag));
    }
    // More branches than anybody needs cost nothing.
    for fork in 0..20 {
        hand.reply(&reliable(&invite, 183, &format!("more{fork}"), 1, "v=0"));
    }
    assert_eq!(hand.world.parties[A].endpoint.load().transactions, 1 + offhook_sip::FORKS_MAX);
    let mut ok = response(&invite, 200, "one");
    ok.set_body(Body::SDP, b"v=0 something else".to_vec());
    let ack = hand.reply(&ok).remove(0);
    assert_eq!((ack.method, ack.headers.to_tag().map(str::to_owned)), (Method::Ack, Some("one".to_owned())));
    assert_eq!(hand.world.expect(A, answer_of).1, Some(Body::sdp("v=0 one")));
    // The other branch's BYE has a number that its PRACK did not take.
    let bye = hand.reply(&response(&invite, 200, "two")).remove(1);
    assert!(bye.method == Method::Bye && bye.headers.cseq().is_ok_and(|(number, _)| number > 10));
}

#[test]
fn the_callee_may_change_what_it_answered_before_it_picks_up() {
    let mut hand = Hand::new(92);
    let (session, invite) = called(&mut hand);
    let theirs = |invite: &Request, number: u32| {
        let mut update = Request::new(Method::Update, "sip:caller@192.0.2.1".parse().expect("a URI"));
        update.headers.push("Via", &format!("SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKtheirs{number}"));
        update.headers.push("From", &format!("{};tag=one", invite.headers.get("To").expect("To")));
        update.headers.push("To", invite.headers.get("From").expect("From"));
        update.headers.push("Call-ID", invite.headers.call_id().expect("Call-ID"));
        update.headers.push("Contact", "<sip:100@192.0.2.2>");
        update.headers.set_cseq(number, &Method::Update);
        update.set_body(Body::SDP, b"v=0 moved".to_vec());
        update
    };
    hand.reply(&response(&invite, 180, "one"));
    let crossing = theirs(&invite, 1);
    assert_eq!(hand.status(&crossing), 491, "our offer has no answer yet");
    let prack = hand.reply(&reliable(&invite, 183, "one", 1, "v=0 early")).remove(0);
    hand.reply(&response(&prack, 200, "one"));
    let update = theirs(&invite, 2);
    assert!(hand.send(&update).is_empty());
    assert_eq!(hand.world.expect(A, reoffered), (session, Some(Body::sdp("v=0 moved"))));
    hand.world.act(A, |endpoint, now| endpoint.answer_reoffer(now, session, Some(Body::sdp("v=0 followed"))));
    assert_eq!(&hand.responses()[0].body[..], b"v=0 followed");
    hand.reply(&response(&invite, 200, "one"));
    assert_eq!(hand.world.expect(A, answer_of).1, None, "the answer stands as the UPDATE left it");
}

#[test]
fn a_challenged_prack_is_sent_again_with_the_password() {
    let mut hand = Hand::new(93);
    let credentials = Credentials { username: "trunk".into(), password: "secret".into() };
    let invite = invite_to(flow(A, B), Some(credentials));
    hand.world.act(A, |endpoint, now| endpoint.invite(now, invite)).expect("within limits");
    let invite = hand.requests().remove(0);
    let prack = hand.reply(&reliable(&invite, 183, "one", 1, "v=0 early")).remove(0);
    let mut challenge = response(&prack, 407, "one");
    challenge.headers.push("Proxy-Authenticate", "Digest realm=\"carrier\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"");
    let again = hand.reply(&challenge).remove(0);
    assert!(again.headers.get("Proxy-Authorization").is_some());
    assert_eq!(again.headers.get("RAck"), prack.headers.get("RAck"));
    assert!(again.headers.cseq().is_ok_and(|(number, _)| number == 3));
    // Any other refusal leaves it to the peer what becomes of its INVITE.
    assert!(hand.reply(&response(&again, 481, "one")).is_empty());
    assert!(hand.world.events(A).iter().all(|event| ended(event).is_none() && refused(event).is_none()));
}
