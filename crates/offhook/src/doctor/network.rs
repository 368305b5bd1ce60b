//! What is looked at of the network, for one configuration: addresses, ports, and how others see them.
#![expect(clippy::disallowed_types, reason = "the doctor tries the ports of this machine")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;

use offhook_sip::Transport;

use super::Finding;
use crate::config::Checked;

/// Ports of one call: two legs with RTP and RTCP each.
const PORTS_PER_CALL: usize = 4;

/// A receive buffer that holds a tenth of a second of 500 browsers as the kernel counts it.
const BROWSER_BUFFER_WANTED: usize = 1 << 20;

/// Looks at listeners, RTP ports and the address that others are told.
pub fn look(checked: &Checked) -> Vec<Finding> {
    let mut findings: Vec<_> = checked
        .sip_listen
        .iter()
        .map(|listen| {
            let name = format!("{}:{}", listen.transport.name().to_lowercase(), listen.address);
            listener("sip", &name, listen.address, listen.transport == Transport::Udp)
        })
        .collect();
    if let Some(http) = &checked.http {
        findings.push(listener("http", &http.address(), http.listen, false));
    }
    findings.push(room(&checked.rtp_ports, checked.limits.calls_max));
    findings.push(ephemeral(&checked.rtp_ports, outgoing_ports().as_ref(), &reserved_ports()));
    findings.push(held(&checked.rtp_ports));
    if let Some(port) = checked.browser_port {
        let addresses: BTreeSet<IpAddr> = checked.sip_listen.iter().map(|listen| listen.address.ip()).collect();
        let at = |ip: IpAddr| SocketAddr::new(ip, port);
        findings
            .extend(addresses.into_iter().map(|ip| listener("browser port", &format!("udp:{}", at(ip)), at(ip), true)));
        let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max").ok();
        findings.extend(most.and_then(|most| most.trim().parse().ok()).map(receive_buffer));
    }
    findings.extend(advertised(checked));
    findings
}

/// Whether an address can be listened on; one that is in use may be so by the exchange itself.
fn listener(what: &'static str, name: &str, address: SocketAddr, datagrams: bool) -> Finding {
    let bound = if datagrams { UdpSocket::bind(address).map(drop) } else { TcpListener::bind(address).map(drop) };
    let Err(error) = bound else { return Finding::good(what, format!("{name} is free")) };
    match error.kind() {
        ErrorKind::AddrInUse => Finding::improvable(
            what,
            format!("{name} is in use"),
            "by the exchange, if it runs; otherwise find who has it with `ss -lnp`",
        ),
        ErrorKind::AddrNotAvailable => Finding::bad(
            what,
            format!("{name}: this machine has no such address"),
            "`ip address` lists those it has; correct `listen`",
        ),
        ErrorKind::PermissionDenied => Finding::bad(
            what,
            format!("{name}: ports below 1024 need a privilege"),
            "`AmbientCapabilities=CAP_NET_BIND_SERVICE` in the service's unit",
        ),
        _ => Finding::bad(what, format!("{name}: {error}"), "correct `listen`"),
    }
}

/// Whether as many calls as are allowed find ports.
fn room(ports: &RangeInclusive<u16>, calls_max: usize) -> Finding {
    let calls = ports.len() / PORTS_PER_CALL;
    let found = format!("{}-{}: {calls} calls of two legs", ports.start(), ports.end());
    if calls < calls_max {
        let advice =
            format!("[limits] allows {calls_max}; those beyond {calls} get 503: widen `ports` or lower `calls`");
        return Finding::improvable("rtp ports", found, advice);
    }
    Finding::good("rtp ports", found)
}

/// The ports that the kernel gives to programs that ask for any.
fn outgoing_ports() -> Option<RangeInclusive<u16>> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut words = text.split_whitespace().map(str::parse);
    let (Some(Ok(low)), Some(Ok(high))) = (words.next(), words.next()) else { return None };
    Some(low..=high)
}

/// Those of them that it does not give.
fn reserved_ports() -> Vec<RangeInclusive<u16>> {
    ranges(&std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default())
}

/// Ranges as the kernel writes them: `10000-20999,30000`.
fn ranges(text: &str) -> Vec<RangeInclusive<u16>> {
    let range = |word: &str| {
        let (low, high) = word.split_once('-').unwrap_or((word, word));
        Some(low.trim().parse().ok()?..=high.trim().parse().ok()?)
    };
    text.split(',').filter_map(range).collect()
}

/// Whether another program may be given an RTP port by chance.
fn ephemeral(
    ports: &RangeInclusive<u16>,
    outgoing: Option<&RangeInclusive<u16>>,
    reserved: &[RangeInclusive<u16>],
) -> Finding {
    let Some(outgoing) = outgoing else { return Finding::good("port ranges", "the kernel's cannot be asked") };
    let kernel = format!("{}-{}", outgoing.start(), outgoing.end());
    let is_kept = |port: u16| reserved.iter().any(|range| range.contains(&port));
    let overlap = *ports.start().max(outgoing.start())..=*ports.end().min(outgoing.end());
    if overlap.clone().any(|port| !is_kept(port)) {
        let (low, high) = (ports.start(), ports.end());
        return Finding::improvable(
            "port ranges",
            format!("RTP's {low}-{high} overlap the kernel's own, {kernel}"),
            format!(
                "other programs take ports of calls by chance: `sysctl net.ipv4.ip_local_reserved_ports={low}-{high}`, or other `ports`"
            ),
        );
    }
    let how = if overlap.is_empty() { "apart from" } else { "reserved in" };
    Finding::good("port ranges", format!("{how} the kernel's own, {kernel}"))
}

/// Ports of the range that somebody holds now.
fn held(ports: &RangeInclusive<u16>) -> Finding {
    let taken: Vec<u16> =
        ports.clone().filter(|port| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, *port)).is_err()).collect();
    match taken.as_slice() {
        [] => Finding::good("ports held", "none of the RTP ports is in use"),
        [first, ..] => Finding::improvable(
            "ports held",
            format!("{} of {} RTP ports are in use, the first is {first}", taken.len(), ports.len()),
            "by calls of the exchange, if it runs; a call that is given another program's port fails: `ss -lunp` shows whose",
        ),
    }
}

/// What the kernel may keep for the one port of all browsers while its worker is held up.
fn receive_buffer(most_bytes: usize) -> Finding {
    let found = format!("net.core.rmem_max is {} KiB", most_bytes >> 10);
    if most_bytes < BROWSER_BUFFER_WANTED {
        let advice =
            "all browsers share one buffer: `sysctl -w net.core.rmem_max=16777216` where hundreds of them call";
        return Finding::improvable("browser port", found, advice);
    }
    Finding::good("browser port", found)
}

/// What carriers beyond a router are told where to send speech.
fn advertised(checked: &Checked) -> Option<Finding> {
    if let Some(address) = checked.advertise {
        return Some(Finding::good("address told", format!("{address}, as `advertise` says")));
    }
    let outside = checked.trunks.iter().flat_map(|trunk| &trunk.peers).find(|peer| is_public(**peer))?;
    let inside = checked
        .sip_listen
        .iter()
        .map(|listen| listen.address.ip())
        .find(|ip| !ip.is_unspecified() && !is_public(*ip))?;
    Some(Finding::improvable(
        "address told",
        format!("{inside}, to carriers outside such as {outside}"),
        "where a router translates, set `advertise` in [sip] to its outer address and forward the RTP ports: else nobody is heard",
    ))
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()),
        IpAddr::V6(ip) => {
            !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_free_address_is_good_a_taken_one_noted_and_a_strange_one_bad() {
        let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
        let taken = holder.local_addr().unwrap();
        assert_eq!(listener("sip", "udp", taken, true).state, State::Improvable);
        let any = "127.0.0.1:0".parse().unwrap();
        assert_eq!(listener("sip", "udp", any, true).state, State::Good);
        assert_eq!(listener("http", "http", any, false).state, State::Good);
        let strange = listener("sip", "udp", "192.0.2.1:5060".parse().unwrap(), true);
        assert!(strange.state == State::Bad && strange.found.contains("no such address"), "{strange:?}");
        assert!(held(&(taken.port()..=taken.port())).found.contains("1 of 1"));
    }

    #[test]
    fn a_buffer_of_208_kib_is_noted_and_one_of_4_mib_is_good() {
        let states = [212_992, 4 << 20].map(|most| receive_buffer(most).state);
        assert_eq!(states, [State::Improvable, State::Good]);
    }

    #[test]
    fn ranges_that_overlap_and_are_too_small_are_noted() {
        let kernel = Some(&(32_768..=60_999));
        assert_eq!(ephemeral(&(10_000..=20_999), kernel, &[]).state, State::Good);
        assert_eq!(ephemeral(&(30_000..=32_768), kernel, &[]).state, State::Improvable);
        assert_eq!(ephemeral(&(60_999..=61_100), kernel, &[]).state, State::Improvable);
        let reserved = ranges("8080,30000-40000\n");
        assert_eq!(reserved, [8_080..=8_080, 30_000..=40_000]);
        assert_eq!(ephemeral(&(30_000..=33_000), kernel, &reserved).state, State::Good);
        assert_eq!(ephemeral(&(39_000..=40_001), kernel, &reserved).state, State::Improvable);
        assert!(ranges("\n").is_empty());
        assert_eq!(room(&(10_000..=10_399), 100).state, State::Good);
        let small = room(&(10_000..=10_399), 101);
        assert!(small.state == State::Improvable && small.found.contains("100 calls"), "{small:?}");
    }

    #[test]
    fn private_addresses_are_known() {
        let public = |text: &str| is_public(text.parse().unwrap());
        assert!(public("203.0.113.9") && public("2001:db8::1"));
        for private in
            ["10.1.1.1", "172.16.0.1", "192.168.1.1", "127.0.0.2", "169.254.1.1", "::1", "fd00::1", "fe80::1"]
        {
            assert!(!public(private), "{private}");
        }
    }
}
