//! A phone at a minimal registrar, made of the SIP crate's own machines.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of an edge have clocks and sockets")]

mod harness;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use harness::{Desk, files, on_loopback};
use offhook_net::sip::{Incoming, SipSocket};
use offhook_phone::{Account, Clock, PhoneEvent};
use offhook_sip::{Change, Endpoint, EndpointConfig, Event, Output, Registrar, RegistrarLimits};
use offhook_units::{Entropy, Span};

/// A registrar at a socket: serves until dropped, tells each change.
struct Office {
    socket: SipSocket,
    changes: crossbeam_channel::Receiver<Change>,
    _reader: offhook_net::sip::SipReader,
}

impl Office {
    fn open() -> Self {
        let socket = SipSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (tell, changes) = crossbeam_channel::unbounded();
        let mut entropy = Entropy::from_number(1);
        let mut registrar = Registrar::new("office", &mut entropy, 10, RegistrarLimits::default());
        let mut endpoint = Endpoint::new(EndpointConfig::default(), entropy);
        let clock = Clock::start();
        let out = socket.clone();
        let reader = socket.start(move |batch| {
            for incoming in batch {
                let now = clock.now();
                let Incoming::Message(flow, message) = incoming else { continue };
                endpoint.receive(now, flow, *message);
                loop {
                    match endpoint.poll_output() {
                        Output::Transmit { flow, bytes } => out.send(flow.peer, &bytes),
                        Output::Event(Event::Request { id, flow, request }) => {
                            let password = |user: &str| (user == "alice").then_some("secret");
                            let (response, changes) = registrar.handle(now, flow, &request, password);
                            endpoint.respond(now, id, response);
                            for change in changes {
                                drop(tell.send(change));
                            }
                        }
                        Output::Event(_) => {}
                        Output::Wait { .. } => break,
                    }
                }
            }
            true
        });
        Self { socket, changes, _reader: reader.unwrap() }
    }

    fn change(&self) -> Change {
        self.changes.recv_deadline(Instant::now() + Duration::from_secs(10)).unwrap()
    }

    fn account(&self, password: &str) -> Account {
        let server = self.socket.local().to_string();
        let mut account = Account::new("sip:alice@office.example", Some(&server), Some(password.into())).unwrap();
        account.expires = Span::from_s(600);
        account
    }
}

#[test]
fn a_phone_registers_with_digest_can_be_called_at_its_contact_and_leaves_when_it_is_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open();
    let mut config = on_loopback(files(folder.path(), "alice", None));
    config.account = Some(office.account("secret"));
    config.register = true;
    let alice = Desk::start(config, 2);
    alice.wait("registration", |event| matches!(event, PhoneEvent::Registered { .. }).then_some(()));
    let Change::Bound { account, binding } = office.change() else { panic!("no binding") };
    assert_eq!(account, "alice");
    assert_eq!(binding.contact, format!("sip:alice@{}", alice.phone.local()));

    let caller = Desk::start(on_loopback(files(folder.path(), "caller", None)), 3);
    caller.phone.dial(offhook_phone::Dial::to(&binding.contact).unwrap()).unwrap();
    let call = alice.incoming();
    alice.phone.answer(call);
    caller.answered();

    alice.phone.off();
    alice.wait("the end of the registration", |event| matches!(event, PhoneEvent::Unregistered { .. }).then_some(()));
    assert!(matches!(office.change(), Change::Unbound { .. }));
}

/// A translator between a phone and an office: the phone sends to `inner`, the office sees `outer`.
struct Translator {
    inner: UdpSocket,
    outer: UdpSocket,
    office: SocketAddr,
}

impl Translator {
    fn between(office: SocketAddr) -> Self {
        let bind = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            socket
        };
        Self { inner: bind(), outer: bind(), office }
    }

    fn seen(&self) -> SocketAddr {
        self.outer.local_addr().unwrap()
    }

    /// Forgets the phone: whatever it sends next gets another port.
    fn forget(&mut self) {
        *self = Self { inner: self.inner.try_clone().unwrap(), ..Self::between(self.office) };
    }

    /// Carries datagrams both ways until `done` gives something.
    fn carry<T>(&self, mut done: impl FnMut() -> Option<T>) -> T {
        let (begin, mut phone, mut buffer) = (Instant::now(), None, [0; 4_096]);
        loop {
            if let Ok((length, from)) = self.inner.recv_from(&mut buffer) {
                phone = Some(from);
                self.outer.send_to(&buffer[..length], self.office).unwrap();
            }
            if let (Ok((length, _)), Some(phone)) = (self.outer.recv_from(&mut buffer), phone) {
                self.inner.send_to(&buffer[..length], phone).unwrap();
            }
            if let Some(found) = done() {
                return found;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "it never happened");
        }
    }
}

#[test]
fn a_phone_behind_a_translator_that_forgets_it_registers_again_from_its_new_address() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open();
    let mut translator = Translator::between(office.socket.local());
    let mut account = office.account("secret");
    account.server = translator.inner.local_addr().unwrap();
    let mut config = on_loopback(files(folder.path(), "alice", None));
    (config.account, config.register, config.keep_alive) = (Some(account), true, Span::from_ms(100));
    let _alice = Desk::start(config, 5);
    let bound_at = |at: SocketAddr| {
        let changes = &office.changes;
        move || match changes.try_recv() {
            Ok(Change::Bound { binding, .. }) => (binding.flow.peer == at).then_some(()),
            Ok(Change::Unbound { .. }) => panic!("nobody left"),
            Err(_) => None,
        }
    };
    translator.carry(bound_at(translator.seen()));
    let stun = || office.socket.counters().stun.load(Ordering::Relaxed);
    translator.carry(|| (stun() >= 2).then_some(()));
    translator.forget();
    translator.carry(bound_at(translator.seen()));
}

#[test]
fn a_wrong_password_is_told_with_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open();
    let mut config = on_loopback(files(folder.path(), "alice", None));
    config.account = Some(office.account("guess"));
    config.register = true;
    let alice = Desk::start(config, 4);
    let status = alice.wait("refusal", |event| match event {
        PhoneEvent::RegistrationFailed { status, .. } => Some(*status),
        _ => None,
    });
    assert!(matches!(status, Some(401 | 403)), "{status:?}");
}
