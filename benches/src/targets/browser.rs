//! What reads the checks and the handshakes of browsers.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use offhook_browser::{Identity, Peer};
use offhook_media::{Deed, HANDSHAKE_BYTES_MAX, Transport};
use offhook_net::media::check_for;
use offhook_plan::{Dtls, Fingerprint, HashKind, Ice, Setup};
use offhook_units::{Span, Tick};

/// Deeds that one datagram can make a peer want, at most.
const DEEDS_MAX: usize = 64;

fn says(setup: Setup, ice: bool) -> Dtls {
    let fingerprints = vec![Fingerprint { hash: HashKind::Sha256, bytes: vec![7; 32] }];
    let (ufrag, pwd) = ("ours".to_owned(), "a+password+of+22+characters".to_owned());
    let ice = ice.then(|| Ice { ufrag, pwd, lite: true, options: Vec::new(), candidates: Vec::new(), complete: true });
    Dtls { fingerprints, setup, ice }
}

/// Datagrams, each behind its length in two bytes: whoever sends them gets no keys out of it, and no more said than fits.
pub fn browser(mut data: &[u8]) {
    static IDENTITY: OnceLock<Arc<Identity>> = OnceLock::new();
    let identity = IDENTITY.get_or_init(|| Arc::new(Identity::new().expect("a certificate")));
    let from = SocketAddr::from(([192, 0, 2, 1], 5_000));
    let mut now = Tick::from_us(1_000_000);
    // One found by ICE, one that is where it says, and one that waits for us to begin.
    let mut peers = [(Setup::Active, true), (Setup::Active, false), (Setup::Passive, false)].map(|(setup, ice)| {
        let mut peer = Peer::new(identity.clone(), now);
        peer.agree(now, &says(Setup::Passive, ice), Some((&says(setup, ice), from)));
        peer
    });
    while let [high, low, rest @ ..] = data {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (datagram, left) = rest.split_at(length);
        data = left;
        let named = check_for(datagram);
        assert!(named.is_none_or(|name| !name.contains(':') && name.len() < datagram.len()));
        for peer in &mut peers {
            peer.receive(now, from, datagram);
            peer.turn(now);
            let mut room = [0; HANDSHAKE_BYTES_MAX];
            for deed in 0.. {
                match peer.poll(&mut room) {
                    None => break,
                    Some(Deed::Send { to, .. }) => {
                        assert_eq!(to, from);
                        // What a leg answers finds its way there from a port that it shares.
                        let is_check = datagram.first().is_some_and(|first| *first < 4);
                        assert!(!is_check || room[0] > 3 || named == Some("ours"), "a check that would have been lost");
                    }
                    Some(Deed::Source(_) | Deed::Path(_) | Deed::Limited | Deed::Failed(_)) => {}
                    Some(Deed::Keys(_)) => panic!("keys without the certificate that was named"),
                }
                assert!(deed <= DEEDS_MAX, "a datagram that keeps us busy");
            }
        }
        now += Span::from_ms(250);
    }
}
