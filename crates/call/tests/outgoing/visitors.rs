//! Visitors: who calls from a page without an account.

use offhook_call::config::{Config, Entrance};
use offhook_call::visit::{NotWelcome, TICKET_LASTS, TICKETS_MAX, Ticket};
use offhook_call::{Command, Input};
use offhook_sip::Credentials;
use offhook_units::{AgentId, Span};

use super::World;

/// Where the visitors' browser is.
const PAGE: &str = "page77";

fn shop(config: &mut Config) {
    config.entrances = vec![Entrance { name: "shop".to_owned(), number: "700".to_owned(), calls_max: 2 }];
}

fn welcome(world: &mut World, name: Option<&str>) -> Result<Ticket, NotWelcome> {
    let command = Command::Welcome { entrance: "shop".to_owned(), name: name.map(str::to_owned) };
    let now = world.now;
    world.exchange.handle(now, Input::Command(command));
    world.exchange.welcomed().expect("an answer").clone()
}

fn as_whom(ticket: &Ticket) -> Credentials {
    Credentials { username: ticket.user.clone(), password: ticket.password.clone() }
}

#[test]
fn a_visitor_calls_where_the_entrance_leads_and_is_shown_by_name() {
    let mut world = World::told(Vec::new(), shop);
    let ticket = welcome(&mut world, Some("Jane \"<Doe>")).expect("welcome");
    assert_eq!((ticket.number.as_str(), ticket.until), ("700", world.now + TICKET_LASTS));
    // Whatever is dialled.
    let call = world.dial_from(&ticket.user, PAGE, "bob", Some(as_whom(&ticket)));
    let (session, _, from) = world.ringing("ann").expect("an agent of the queue rings");
    assert!(from.contains("\"Jane Doe (sales)\"") && from.contains("sip:shop@"), "{from}");
    world.answer("ann", session);
    assert!(world.was_answered(PAGE, call));
    assert_eq!(world.exchange.visitors(), (1, 0));
    world.hang_up(PAGE, call);
    assert_eq!(world.exchange.visitors(), (0, 0));
    let record = &world.records[0];
    assert_eq!((record.number.as_str(), record.agent, record.trunk.as_deref()), ("700", Some(AgentId(100)), None));
    assert_eq!(world.exchange.ports().0, 0);
}

#[test]
fn a_ticket_is_good_for_one_call_and_for_a_minute_and_its_secret_is_needed() {
    let mut world = World::told(Vec::new(), shop);
    let ticket = welcome(&mut world, None).expect("welcome");
    let wrong = Credentials { password: "guessed".to_owned(), ..as_whom(&ticket) };
    let call = world.dial_from(&ticket.user, PAGE, "700", Some(wrong));
    assert_eq!(world.refused_with(PAGE, call), Some(403));
    assert_eq!(world.guessers, [World::address(PAGE).ip()]);
    let first = world.dial_from(&ticket.user, PAGE, "700", Some(as_whom(&ticket)));
    assert_eq!(world.refused_with(PAGE, first), None);
    let second = world.dial_from(&ticket.user, PAGE, "700", Some(as_whom(&ticket)));
    assert_eq!(world.refused_with(PAGE, second), Some(403), "the ticket was used");

    let late = welcome(&mut world, None).expect("welcome");
    world.run(TICKET_LASTS + Span::from_s(1));
    let call = world.dial_from(&late.user, PAGE, "700", Some(as_whom(&late)));
    assert_eq!(world.refused_with(PAGE, call), Some(403), "it was good for a minute");
}

#[test]
fn a_visitor_registers_no_phone_and_another_ones_ticket_is_none_of_theirs() {
    let mut world = World::told(Vec::new(), shop);
    let (ticket, other) = (welcome(&mut world, None).expect("welcome"), welcome(&mut world, None).expect("welcome"));
    assert_ne!(ticket.user, other.user);
    let call = world.dial_from(&ticket.user, PAGE, "700", Some(as_whom(&other)));
    assert_eq!(world.refused_with(PAGE, call), Some(403));
    // As an account a ticket is nobody: in no other request.
    let from_an_account = world.dial("stranger66", "bob", Some(as_whom(&ticket)));
    assert_eq!(world.refused_with("stranger66", from_an_account), Some(403));
}

#[test]
fn no_more_visitors_come_in_than_the_entrance_takes() {
    let mut world = World::told(Vec::new(), shop);
    let tickets: Vec<Ticket> = (0..3).map(|_| welcome(&mut world, None).expect("welcome")).collect();
    let calls: Vec<_> =
        tickets.iter().map(|ticket| world.dial_from(&ticket.user, PAGE, "700", Some(as_whom(ticket)))).collect();
    assert_eq!(world.refused_with(PAGE, calls[1]), None);
    assert_eq!(world.refused_with(PAGE, calls[2]), Some(503));
    assert_eq!(welcome(&mut world, None), Err(NotWelcome::Full));
    world.hang_up(PAGE, calls[0]);
    world.run(Span::from_s(1));
    assert!(welcome(&mut world, None).is_ok());
}

#[test]
fn tickets_are_bounded_and_there_is_no_other_entrance() {
    let mut world = World::told(Vec::new(), shop);
    let given = (0..=TICKETS_MAX).filter(|_| welcome(&mut world, None).is_ok()).count();
    assert_eq!(given, TICKETS_MAX);
    world.run(TICKET_LASTS);
    assert!(welcome(&mut world, None).is_ok(), "the old ones are over");
    let command = Command::Welcome { entrance: "back".to_owned(), name: None };
    let now = world.now;
    world.exchange.handle(now, Input::Command(command));
    assert_eq!(world.exchange.welcomed(), Some(&Err(NotWelcome::NoEntrance)));
}
