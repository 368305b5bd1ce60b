//! Names that lead to SIP, asked of a name server of our own.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the name server is a thread with a socket")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use offhook_net::dns::{Named, Names};
use offhook_sip::Transport;
use offhook_units::Entropy;

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

fn naptr(order: u16, service: &str, to: &str) -> RData {
    let (flags, regexp) = (b"s"[..].into(), b""[..].into());
    RData::NAPTR(NAPTR::new(order, 50, flags, service.as_bytes().into(), regexp, name(to)))
}

fn srv(priority: u16, port: u16, to: &str) -> RData {
    RData::SRV(SRV::new(priority, 10, port, name(to)))
}

/// The zone: owner, lifetime in seconds, data.
fn zone() -> Vec<(&'static str, u32, RData)> {
    vec![
        ("carrier.test.", 300, naptr(20, "SIP+D2U", "_sip._udp.carrier.test.")),
        ("carrier.test.", 300, naptr(10, "SIP+D2T", "_sip._tcp.carrier.test.")),
        ("carrier.test.", 300, naptr(5, "SIPS+D2T", "_sips._tcp.carrier.test.")),
        ("carrier.test.", 300, naptr(1, "E2U+sip", "nothing.test.")),
        ("_sip._udp.carrier.test.", 120, srv(20, 5_070, "b.carrier.test.")),
        ("_sip._udp.carrier.test.", 120, srv(10, 5_060, "a.carrier.test.")),
        ("_sip._tcp.carrier.test.", 300, srv(10, 5_080, "a.carrier.test.")),
        ("_sips._tcp.carrier.test.", 300, srv(10, 5_061, "a.carrier.test.")),
        ("a.carrier.test.", 60, RData::A(A::new(127, 0, 3, 11))),
        ("a.carrier.test.", 60, RData::AAAA(AAAA::new(0, 0, 0, 0, 0, 0, 0, 1))),
        ("b.carrier.test.", 60, RData::A(A::new(127, 0, 3, 12))),
        ("b.carrier.test.", 60, RData::AAAA(AAAA::new(0, 0, 0, 0, 0, 0, 0, 2))),
        ("plain.test.", 90, RData::A(A::new(127, 0, 3, 13))),
        ("gone.test.", 90, srv(0, 0, ".")),
    ]
}

/// A server of [`zone`]; gives its address and how many questions it was asked.
fn server() -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.3.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut bytes = [0; 1_500];
        while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
            count.fetch_add(1, Ordering::SeqCst);
            let question = Message::from_vec(&bytes[..length]).expect("a question");
            let query = question.queries[0].clone();
            let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
            answer.metadata.recursion_available = true;
            let owned: Vec<_> = zone().into_iter().filter(|(owner, ..)| name(owner) == *query.name()).collect();
            if owned.is_empty() {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            for (owner, lifetime, data) in owned {
                if data.record_type() == query.query_type() {
                    answer.add_answer(Record::from_rdata(name(owner), lifetime, data));
                }
            }
            answer.add_query(query);
            let bytes = answer.to_vec().expect("an answer");
            socket.send_to(&bytes, peer).expect("a way back");
        }
    });
    (address, asked)
}

fn named(transport: Option<Transport>, host: &str, port: Option<u16>) -> Named {
    Named { transport, host: host.to_owned(), port }
}

/// UDP over both families, TCP over IPv4, no TLS.
fn speaks(transport: Transport, address: IpAddr) -> bool {
    match transport {
        Transport::Udp => true,
        Transport::Tcp => address.is_ipv4(),
        Transport::Tls | Transport::Ws | Transport::Wss => false,
    }
}

async fn find(names: &Names, wanted: Named) -> Result<(Vec<String>, Duration), String> {
    let mut entropy = Entropy::from_number(1);
    let found = names.find(&wanted, &speaks, &mut entropy).await.map_err(|error| error.to_string())?;
    let targets = found.targets.iter().map(|(transport, address)| format!("{} {address}", transport.param()));
    Ok((targets.collect(), found.held))
}

#[tokio::test]
async fn naptr_chooses_the_transport_srv_the_hosts_and_the_shortest_lifetime_counts() {
    let (address, asked) = server();
    let names = Names::new(Some(address)).expect("a resolver");
    let (targets, held) = find(&names, named(None, "carrier.test", None)).await.expect("targets");
    // TLS would come first, and is not spoken; TCP is over IPv4 only.
    let expected =
        ["tcp 127.0.3.11:5080", "udp 127.0.3.11:5060", "udp [::1]:5060", "udp 127.0.3.12:5070", "udp [::2]:5070"];
    assert_eq!(targets, expected);
    assert!((Duration::from_secs(50)..=Duration::from_mins(1)).contains(&held), "{held:?}");
    let before = asked.load(Ordering::SeqCst);
    find(&names, named(None, "carrier.test", None)).await.expect("targets");
    assert_eq!(asked.load(Ordering::SeqCst), before, "answers are held");
}

#[tokio::test]
async fn a_transport_needs_no_naptr_a_port_no_srv_and_a_plain_host_is_its_address() {
    let (address, _) = server();
    let names = Names::new(Some(address)).expect("a resolver");
    let rows = [
        (named(Some(Transport::Tcp), "carrier.test", None), vec!["tcp 127.0.3.11:5080"]),
        (named(Some(Transport::Udp), "plain.test", None), vec!["udp 127.0.3.13:5060"]),
        (named(None, "plain.test", None), vec!["udp 127.0.3.13:5060"]),
        (named(None, "plain.test", Some(5_090)), vec!["udp 127.0.3.13:5090"]),
        (named(Some(Transport::Tcp), "b.carrier.test", Some(7)), vec!["tcp 127.0.3.12:7"]),
    ];
    for (wanted, expected) in rows {
        let (targets, _) = find(&names, wanted.clone()).await.expect("targets");
        assert_eq!(targets, expected, "{wanted:?}");
    }
}

#[tokio::test]
async fn a_name_that_leads_nowhere_says_so() {
    let (address, _) = server();
    let names = Names::new(Some(address)).expect("a resolver");
    for host in ["missing.test", "gone.test"] {
        let error = find(&names, named(None, host, None)).await.expect_err("nothing is there");
        assert!(error.starts_with(host), "{error}");
    }
}
