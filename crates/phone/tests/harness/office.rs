//! A minimal registrar, made of the SIP crate's own machines, that tells of a mailbox where it has one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use offhook_net::sip::{Incoming, SipReader, SipSocket};
use offhook_phone::{Account, Clock};
use offhook_sip::{
    Body, Change, Endpoint, EndpointConfig, Event, Method, Output, Registrar, RegistrarLimits, Response, Subscribed,
    SubscriptionId,
};
use offhook_units::{Entropy, Span};

/// A registrar at a socket: serves until dropped, tells each change.
pub struct Office {
    pub socket: SipSocket,
    pub changes: Receiver<Change>,
    /// Accounts whose mailbox was asked for.
    pub watched: Receiver<String>,
    mail: Sender<String>,
    _reader: SipReader,
}

impl Office {
    pub fn open() -> Self {
        Self::at("127.0.0.1:0")
    }

    pub fn at(address: &str) -> Self {
        let socket = SipSocket::bind(address.parse().unwrap()).unwrap();
        let (tell, changes) = unbounded();
        let (tell_watched, watched) = unbounded();
        let (mail, letters) = unbounded::<String>();
        let mut entropy = Entropy::from_number(1);
        let mut registrar = Registrar::new("office", &mut entropy, 10, RegistrarLimits::default());
        let methods = vec![Method::Register, Method::Options, Method::Subscribe];
        let mut endpoint = Endpoint::new(EndpointConfig { methods, ..EndpointConfig::default() }, entropy);
        let clock = Clock::start();
        let out = socket.clone();
        let mut watchers: BTreeSet<SubscriptionId> = BTreeSet::new();
        let mut last = String::new();
        let reader = socket.start(move |batch| {
            for incoming in batch {
                let now = clock.now();
                let Incoming::Message(flow, message) = incoming else { continue };
                endpoint.receive(now, flow, *message);
                for text in letters.try_iter() {
                    for id in &watchers {
                        endpoint.notify(now, *id, summary(&text));
                    }
                    last = text;
                }
                loop {
                    match endpoint.poll_output() {
                        Output::Transmit { flow, bytes } => out.send(flow.peer, &bytes),
                        Output::Event(Event::Request { id, flow, request }) if request.method == Method::Subscribe => {
                            let user = request.uri.user_decoded().unwrap_or_default().into_owned();
                            let contact = flow.contact(Some("office"), None);
                            let body = summary("Messages-Waiting: no\r\nVoice-Message: 0/0 (0/0)\r\n");
                            match endpoint.accept_subscription(now, id, flow, &request, contact, body) {
                                Subscribed::Lasting(id) => {
                                    watchers.insert(id);
                                }
                                Subscribed::Once | Subscribed::Refused => {}
                            }
                            drop(tell_watched.send(user));
                        }
                        Output::Event(Event::Request { id, request, .. }) if request.method == Method::Options => {
                            endpoint.respond(now, id, Response::to_request(&request, 200));
                        }
                        Output::Event(Event::Request { id, flow, request }) => {
                            let password = |user: &str| (user == "alice").then_some("secret");
                            let (response, changes) = registrar.handle(now, flow, &request, password);
                            endpoint.respond(now, id, response);
                            for change in changes {
                                drop(tell.send(change));
                            }
                        }
                        Output::Event(Event::NotifyDue { subscription }) => {
                            endpoint.notify(now, subscription, summary(&last));
                        }
                        Output::Event(Event::Unsubscribed { subscription }) => {
                            watchers.remove(&subscription);
                        }
                        Output::Event(_) => {}
                        Output::Wait { .. } => break,
                    }
                }
            }
            true
        });
        Self { socket, changes, watched, mail, _reader: reader.unwrap() }
    }

    pub fn change(&self) -> Change {
        self.changes.recv_deadline(Instant::now() + Duration::from_secs(10)).unwrap()
    }

    /// What the mailboxes hold from the next message on that comes here: a keep-alive will do.
    pub fn deliver(&self, summary: &str) {
        self.mail.send(summary.to_owned()).unwrap();
        // Whoever serves wakes for a message; OPTIONS of nobody is one.
        let nudge = SipSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let from = nudge.local();
        let text = format!(
            "OPTIONS sip:x@office SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-nudge-{}\r\nMax-Forwards: 70\r\n\
             From: <sip:n@office>;tag=1\r\nTo: <sip:x@office>\r\nCall-ID: {from}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            from.port()
        );
        nudge.send(self.socket.local(), text.as_bytes());
    }

    pub fn account(&self, password: &str) -> Account {
        let server = self.socket.local().to_string();
        let mut account = Account::new("sip:alice@office.example", Some(&server), Some(password.into())).unwrap();
        account.expires = Span::from_s(600);
        account
    }
}

fn summary(text: &str) -> Body {
    Body { content_type: "application/simple-message-summary".into(), bytes: text.as_bytes().to_vec() }
}
