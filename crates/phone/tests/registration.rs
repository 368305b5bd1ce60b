//! A phone at a minimal registrar: registered, followed, told of its mailbox, and led to the next server.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests of an edge have clocks and sockets")]

mod harness;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use harness::office::Office;
use harness::{Desk, files, on_loopback};
use offhook_net::sip::SipSocket;
use offhook_phone::{Dial, PhoneEvent};
use offhook_sip::Change;
use offhook_units::Span;

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

#[test]
fn a_mailbox_is_asked_for_once_registered_and_what_waits_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open();
    let mut config = on_loopback(files(folder.path(), "alice", None));
    (config.account, config.register) = (Some(office.account("secret")), true);
    let alice = Desk::start(config, 6);
    alice.wait("registration", |event| matches!(event, PhoneEvent::Registered { .. }).then_some(()));
    assert_eq!(office.watched.recv_deadline(Instant::now() + Duration::from_secs(10)).unwrap(), "alice");
    let mailbox = || {
        alice.wait("news of the mailbox", |event| match event {
            PhoneEvent::Mailbox { waiting, new, old } => Some((*waiting, *new, *old)),
            _ => None,
        })
    };
    office.deliver("Messages-Waiting: yes\r\nVoice-Message: 2/8 (0/2)\r\n");
    assert_eq!(mailbox(), (true, Some(2), Some(8)));
    office.deliver("Messages-Waiting: no\r\nVoice-Message: 0/10 (0/2)\r\n");
    assert_eq!(mailbox(), (false, Some(0), Some(10)));
}

/// A NOTIFY outside of every dialog, from `socket`; gives the status of the answer.
fn notify_unasked(socket: &UdpSocket, to: SocketAddr, event: &str) -> String {
    let from = socket.local_addr().unwrap();
    let body = "Messages-Waiting: yes\r\nVoice-Message: 1/0\r\n";
    let text = format!(
        "NOTIFY sip:alice@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{event}{}\r\nMax-Forwards: 70\r\n\
         From: <sip:vm@office>;tag=1\r\nTo: <sip:alice@office>\r\nCall-ID: {event}-{from}\r\nCSeq: 1 NOTIFY\r\nEvent: {event}\r\n\
         Contact: <sip:vm@{from}>\r\nSubscription-State: active\r\nContent-Type: application/simple-message-summary\r\n\
         Content-Length: {}\r\n\r\n{body}",
        from.port(),
        body.len()
    );
    socket.send_to(text.as_bytes(), to).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut answer = [0; 2_048];
    let length = socket.recv(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_server_may_tell_of_messages_unasked_and_nobody_else_may() {
    let folder = tempfile::tempdir().unwrap();
    let (server, stranger) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let address = server.local_addr().unwrap().to_string();
    let mut config = on_loopback(files(folder.path(), "alice", None));
    config.account = Some(offhook_phone::Account::new("sip:alice@office", Some(&address), None).unwrap());
    let alice = Desk::start(config, 7);
    let to = alice.phone.local();
    assert_eq!(notify_unasked(&stranger, to, "message-summary"), "403");
    assert_eq!(notify_unasked(&server, to, "presence"), "489");
    assert_eq!(notify_unasked(&server, to, "message-summary"), "200");
    let new = alice.wait("news of the mailbox", |event| match event {
        PhoneEvent::Mailbox { new, .. } => Some(*new),
        _ => None,
    });
    assert_eq!(new, Some(1));
}

#[test]
fn a_phone_whose_server_is_gone_goes_to_the_second_one_and_its_call_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Office::open(), Office::open());
    let mut config = on_loopback(files(folder.path(), "alice", Some(harness::noise(1, 400_000))));
    let account = first.account("secret").or(&second.socket.local().to_string()).unwrap();
    (config.account, config.register, config.keep_alive) = (Some(account), true, Span::from_ms(200));
    let alice = Desk::start(config, 8);
    assert!(matches!(first.change(), Change::Bound { .. }));
    let mut callee = on_loopback(files(folder.path(), "callee", None));
    callee.auto_answer = Some(Span::ZERO);
    let callee = Desk::start(callee, 9);
    alice.phone.dial(Dial::to(&callee.uri()).unwrap()).unwrap();
    alice.answered();
    callee.wait("speech", |event| matches!(event, PhoneEvent::FirstPacket { .. }).then_some(()));
    // Nobody is there any more, and the system says so.
    drop(first);
    let begin = Instant::now();
    alice.wait("the second server", |event| matches!(event, PhoneEvent::Server { .. }).then_some(()));
    assert!(matches!(second.change(), Change::Bound { .. }));
    alice.wait("registration", |event| matches!(event, PhoneEvent::Registered { .. }).then_some(()));
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    alice.phone.off();
    let (said, heard) = (alice.ended(), callee.ended());
    assert_eq!(said.media.sent_payload_sha256, heard.media.received_payload_sha256, "the call went on");
    assert_eq!(heard.media.lost, 0);
}

#[test]
fn an_only_server_that_is_gone_is_asked_now_and_then_and_found_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open();
    let address = office.socket.local().to_string();
    let mut config = on_loopback(files(folder.path(), "alice", None));
    (config.account, config.register, config.keep_alive) = (Some(office.account("secret")), true, Span::from_ms(200));
    let alice = Desk::start(config, 12);
    alice.wait("registration", |event| matches!(event, PhoneEvent::Registered { .. }).then_some(()));
    drop(office);
    alice.wait("the loss", |event| matches!(event, PhoneEvent::RegistrationFailed { .. }).then_some(()));
    let deadline = Instant::now() + Duration::from_secs(1);
    let mut more = 0;
    while let Ok(told) = alice.told.recv_deadline(deadline) {
        more += u32::from(matches!(told.event, PhoneEvent::RegistrationFailed { .. }));
    }
    assert!(more <= 1, "{more} more failures within a second");
    let _back = Office::at(&address);
    alice.wait("registration", |event| matches!(event, PhoneEvent::Registered { .. }).then_some(()));
}

#[test]
fn a_server_that_says_nothing_is_given_up_after_four_seconds_and_one_that_refuses_the_account_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let silent = SipSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let office = Office::open();
    let mut account = office.account("secret");
    account.others = vec![account.server];
    account.server = silent.local();
    let mut config = on_loopback(files(folder.path(), "alice", None));
    (config.account, config.register) = (Some(account), true);
    let begin = Instant::now();
    let alice = Desk::start(config, 10);
    alice.wait("registration", |event| matches!(event, PhoneEvent::Registered { .. }).then_some(()));
    let took = begin.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(6)).contains(&took), "{took:?}");

    let mut account = office.account("guess");
    account.others = vec![silent.local()];
    let mut config = on_loopback(files(folder.path(), "bob", None));
    (config.account, config.register) = (Some(account), true);
    let bob = Desk::start(config, 11);
    bob.wait("refusal", |event| match event {
        PhoneEvent::RegistrationFailed { .. } => Some(()),
        PhoneEvent::Server { .. } => panic!("the account is no better elsewhere"),
        _ => None,
    });
}
