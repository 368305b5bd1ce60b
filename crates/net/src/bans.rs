//! Sources that are not listened to for a while: they guessed passwords, or sent what is no SIP. And scanners, by their name.
//!
//! A ban is looked up before anything is parsed, over UDP and over connections. Trusted sources are counted and never banned.
#![expect(clippy::disallowed_types, reason = "read by two threads, changed by three; nobody waits inside the lock")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Offences are counted over this long.
const WINDOW: Duration = Duration::from_mins(1);

/// Programs that look for exchanges to rob. What they call themselves, or a part of it, in small letters.
pub const SCANNERS: [&str; 10] = [
    "friendly-scanner",
    "sipvicious",
    "sipcli",
    "vaxsipuseragent",
    "sip-scan",
    "sipscan",
    "sundayddr",
    "pplsip",
    "sivus",
    "gulp",
];

/// Addresses that begin alike: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// As 128 bits, the host's part cleared.
    bits: u128,
    mask: u128,
    is_v4: bool,
}

impl Network {
    /// Reads an address with or without a length of its prefix.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (bits, width) = bits_of(address);
        let length = length.unwrap_or(width);
        if length > width {
            return None;
        }
        let mask = u128::MAX.checked_shl(width - length).unwrap_or(0);
        Some(Self { bits: bits & mask, mask, is_v4: address.is_ipv4() })
    }

    /// Whether the address begins like this.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.is_v4 == address.is_ipv4() && bits_of(address).0 & self.mask == self.bits
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { bits: bits_of(address).0, mask: u128::MAX, is_v4: address.is_ipv4() }
    }
}

fn bits_of(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// What a source may do, and what becomes of it otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BanLimits {
    /// Wrong passwords in a minute; one more is banned.
    pub failed_per_minute: u32,
    /// Messages in a minute that are none; one more is banned.
    pub malformed_per_minute: u32,
    /// How long the first ban lasts; each further one twice as long.
    pub ban: Duration,
    /// How long a ban lasts at most. Who did nothing wrong for as long after it has never been banned.
    pub ban_max: Duration,
    /// Sources that are remembered; the offences of others are dropped and counted.
    pub sources_max: usize,
    /// Who is counted and never banned.
    pub trusted: Vec<Network>,
    /// Names of programs that get no answer, or parts of names, in small letters.
    pub scanners: Vec<String>,
}

impl Default for BanLimits {
    /// 10 wrong passwords or 100 malformed messages, ten minutes doubling to an hour, 65,536 sources.
    fn default() -> Self {
        Self {
            failed_per_minute: 10,
            malformed_per_minute: 100,
            ban: Duration::from_mins(10),
            ban_max: Duration::from_hours(1),
            sources_max: 65_536,
            trusted: Vec::new(),
            scanners: SCANNERS.map(str::to_owned).to_vec(),
        }
    }
}

/// What a source did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offence {
    /// A wrong password, or an account that is not there.
    Password,
    /// A message that is none.
    Malformed,
}

impl Offence {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Password, Self::Malformed];

    /// As a label of metrics and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Malformed => "malformed",
        }
    }
}

/// What is done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is read.
    Read,
    /// Its source is banned: it is dropped.
    Banned,
    /// It comes from a scanner: it is dropped.
    Scanner,
}

/// A source that is banned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Which; of IPv6 the first address of its /64.
    pub source: IpAddr,
    /// For what.
    pub offence: Offence,
    /// How much longer.
    pub left: Duration,
    /// The how manieth ban in a row.
    pub times: u32,
}

#[derive(Debug)]
struct Source {
    since: Instant,
    counts: [u32; Offence::ALL.len()],
    /// The last ban: for what, and its end.
    banned: Option<(Offence, Instant)>,
    times: u32,
}

/// Who is banned, shared by those who read and those who look.
#[derive(Debug)]
pub struct Bans {
    limits: BanLimits,
    /// Who is never banned.
    trusted: Mutex<Vec<Network>>,
    sources: Mutex<BTreeMap<IpAddr, Source>>,
    /// Sources with a ban that may still run: while it is 0 nothing is locked.
    active: AtomicUsize,
    dropped: AtomicU64,
    scanners: AtomicU64,
    banned: AtomicU64,
    unremembered: AtomicU64,
    offences: [AtomicU64; Offence::ALL.len()],
}

impl Default for Bans {
    fn default() -> Self {
        Self::new(BanLimits::default())
    }
}

impl Bans {
    /// Nobody is banned.
    pub fn new(mut limits: BanLimits) -> Self {
        Self {
            trusted: Mutex::new(core::mem::take(&mut limits.trusted)),
            limits,
            sources: Mutex::default(),
            active: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            scanners: AtomicU64::new(0),
            banned: AtomicU64::new(0),
            unremembered: AtomicU64::new(0),
            offences: Default::default(),
        }
    }

    /// These are never banned from now on, instead of [`BanLimits::trusted`]; bans of theirs are over.
    pub fn trust(&self, trusted: Vec<Network>) {
        let mut sources = self.lock();
        sources.retain(|source, _| !trusted.iter().any(|network| network.contains(*source)));
        self.active.store(sources.values().filter(|source| source.banned.is_some()).count(), Ordering::Relaxed);
        drop(sources);
        *self.trusted.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = trusted;
    }

    /// Whether a datagram is read. Nothing of it is parsed for that.
    pub fn admits(&self, source: IpAddr, now: Instant, bytes: &[u8]) -> Admission {
        if self.is_banned(source, now) {
            return Admission::Banned;
        }
        match user_agent(bytes) {
            Some(name) if self.is_scanner(source, name) => Admission::Scanner,
            Some(_) | None => Admission::Read,
        }
    }

    /// Whether what this source sends is dropped; counts it where it is.
    pub fn is_banned(&self, source: IpAddr, now: Instant) -> bool {
        if self.active.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let banned = self.lock().get(&key(source)).and_then(|source| source.banned);
        let is_banned = banned.is_some_and(|(_, until)| until > now);
        self.dropped.fetch_add(u64::from(is_banned), Ordering::Relaxed);
        is_banned
    }

    /// Whether a program of this name gets no answer; counts it where it does not.
    pub fn is_scanner(&self, source: IpAddr, name: &[u8]) -> bool {
        let is_part = |part: &String| {
            !part.is_empty() && name.windows(part.len()).any(|piece| piece.eq_ignore_ascii_case(part.as_bytes()))
        };
        let is_scanner = self.limits.scanners.iter().any(is_part) && !self.is_trusted(source);
        self.scanners.fetch_add(u64::from(is_scanner), Ordering::Relaxed);
        is_scanner
    }

    /// Counts an offence. Gives how long the source is banned for it, where it is.
    pub fn offend(&self, source: IpAddr, offence: Offence, now: Instant) -> Option<Duration> {
        self.offences[offence as usize].fetch_add(1, Ordering::Relaxed);
        if self.is_trusted(source) {
            return None;
        }
        let mut sources = self.lock();
        self.forget(&mut sources, now);
        let key = key(source);
        if sources.len() >= self.limits.sources_max && !sources.contains_key(&key) {
            self.unremembered.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let entry =
            sources.entry(key).or_insert(Source { since: now, counts: Default::default(), banned: None, times: 0 });
        if now.duration_since(entry.since) >= WINDOW {
            (entry.since, entry.counts) = (now, Default::default());
        }
        let count = &mut entry.counts[offence as usize];
        *count += 1;
        let most = match offence {
            Offence::Password => self.limits.failed_per_minute,
            Offence::Malformed => self.limits.malformed_per_minute,
        };
        if *count <= most || entry.banned.is_some_and(|(_, until)| until > now) {
            return None;
        }
        let ban = self.limits.ban.saturating_mul(2_u32.saturating_pow(entry.times)).min(self.limits.ban_max);
        entry.banned = Some((offence, now + ban));
        entry.times += 1;
        entry.counts = Default::default();
        self.banned.fetch_add(1, Ordering::Relaxed);
        self.active.store(sources.values().filter(|source| source.banned.is_some()).count(), Ordering::Relaxed);
        tracing::warn!(source = %key, seconds = ban.as_secs(), offence = offence.name(), "a source of SIP is banned");
        Some(ban)
    }

    /// Who is banned now, in the order of addresses.
    pub fn list(&self, now: Instant) -> Vec<Ban> {
        let sources = self.lock();
        let banned = sources.iter().filter_map(|(source, entry)| Some((source, entry.banned?, entry.times)));
        banned
            .filter(|(_, (_, until), _)| *until > now)
            .map(|(source, (offence, until), times)| Ban { source: *source, offence, left: until - now, times })
            .collect()
    }

    /// Ends a ban, and forgets what led to it. Gives whether there was one.
    pub fn lift(&self, source: IpAddr, now: Instant) -> bool {
        let mut sources = self.lock();
        let lifted =
            sources.remove(&key(source)).and_then(|source| source.banned).is_some_and(|(_, until)| until > now);
        self.active.store(sources.values().filter(|source| source.banned.is_some()).count(), Ordering::Relaxed);
        lifted
    }

    /// Messages dropped because of bans.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Messages of scanners, dropped.
    pub fn scanners(&self) -> u64 {
        self.scanners.load(Ordering::Relaxed)
    }

    /// Bans so far.
    pub fn banned(&self) -> u64 {
        self.banned.load(Ordering::Relaxed)
    }

    /// Offences so far, of one kind; those of trusted sources included.
    pub fn offences(&self, offence: Offence) -> u64 {
        self.offences[offence as usize].load(Ordering::Relaxed)
    }

    /// Offences of sources that there was no room to remember.
    pub fn unremembered(&self) -> u64 {
        self.unremembered.load(Ordering::Relaxed)
    }

    fn is_trusted(&self, source: IpAddr) -> bool {
        let trusted = self.trusted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        trusted.iter().any(|network| network.contains(source))
    }

    /// Who did nothing for a minute, or nothing for the longest ban after the own one, is nobody special. The table is gone
    /// through when it is full, or has doubled: that costs each offence little.
    fn forget(&self, sources: &mut BTreeMap<IpAddr, Source>, now: Instant) {
        let looked =
            sources.len() >= self.limits.sources_max || (sources.len() >= 64 && sources.len().is_power_of_two());
        if !looked {
            return;
        }
        sources.retain(|_, source| match source.banned {
            Some((_, until)) => until + self.limits.ban_max > now,
            None => now.duration_since(source.since) < WINDOW,
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Source>> {
        self.sources.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Who answers for an address: of IPv6 its /64, since a host has all of that to itself.
fn key(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

/// The value of the first User-Agent line, without parsing the rest.
fn user_agent(bytes: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"user-agent";
    for line in offhook_sip::head_lines(bytes).take_while(|line| !line.trim_ascii().is_empty()) {
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            let rest = line[NAME.len()..].trim_ascii_start();
            if let Some(value) = rest.strip_prefix(b":") {
                return Some(value.trim_ascii());
            }
        }
    }
    None
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn guess(bans: &Bans, source: IpAddr, now: Instant, times: u32) -> Option<Duration> {
        (0..times).filter_map(|_| bans.offend(source, Offence::Password, now)).last()
    }

    #[test]
    fn the_eleventh_wrong_password_in_a_minute_bans_for_ten_minutes_then_twenty_then_at_most_an_hour() {
        let (bans, mut now) = (Bans::default(), Instant::now());
        let (bad, good) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(guess(&bans, bad, now, 10), None);
        now += MINUTE;
        assert_eq!(guess(&bans, bad, now, 10), None, "what is older than a minute counts no more");
        for minutes in [10, 20, 40, 60, 60] {
            assert_eq!(guess(&bans, bad, now, 11), Some(MINUTE * minutes));
            assert!(bans.is_banned(bad, now) && !bans.is_banned(good, now));
            now += MINUTE * minutes;
            assert!(!bans.is_banned(bad, now));
        }
        assert_eq!((bans.banned(), bans.dropped()), (5, 5));
    }

    #[test]
    fn a_ban_that_is_long_over_leaves_nothing_behind() {
        let (bans, now) = (Bans::default(), Instant::now());
        for host in 0..64 {
            assert!(guess(&bans, IpAddr::from([192, 0, 2, host]), now, 11).is_some());
        }
        let later = now + MINUTE * 71;
        assert_eq!(guess(&bans, address("192.0.2.1"), later, 11), Some(MINUTE * 10));
        assert_eq!(bans.lock().len(), 1);
    }

    #[test]
    fn trusted_sources_are_counted_and_never_banned() {
        let trusted = vec![Network::parse("192.0.2.0/24").expect("a network")];
        let bans = Bans::new(BanLimits { trusted, ..BanLimits::default() });
        let now = Instant::now();
        assert_eq!(guess(&bans, address("192.0.2.200"), now, 1_000), None);
        assert_eq!((bans.offences(Offence::Password), bans.list(now).len()), (1_000, 0));
        assert!(!bans.is_scanner(address("192.0.2.200"), b"sipvicious"));
    }

    #[test]
    fn who_is_trusted_from_now_on_is_free_at_once_and_who_is_not_any_more_can_be_banned() {
        let bans = Bans::new(BanLimits { trusted: vec![address("192.0.2.1").into()], ..BanLimits::default() });
        let now = Instant::now();
        let carrier = address("192.0.2.2");
        assert!(guess(&bans, carrier, now, 11).is_some() && bans.is_banned(carrier, now));
        bans.trust(vec![carrier.into()]);
        assert!(!bans.is_banned(carrier, now));
        assert_eq!(guess(&bans, carrier, now, 11), None);
        assert!(guess(&bans, address("192.0.2.1"), now, 11).is_some());
    }

    #[test]
    fn a_ban_is_listed_and_can_be_lifted() {
        let (bans, now) = (Bans::default(), Instant::now());
        let source = address("2001:db8::1");
        assert!((0..101).filter_map(|_| bans.offend(source, Offence::Malformed, now)).last().is_some());
        let ban = Ban { source: address("2001:db8::"), offence: Offence::Malformed, left: MINUTE * 10, times: 1 };
        assert_eq!(bans.list(now), [ban]);
        assert!(bans.is_banned(address("2001:db8::2"), now), "a host has a whole /64");
        assert!(bans.lift(source, now) && !bans.lift(source, now));
        assert!(bans.list(now).is_empty() && !bans.is_banned(source, now));
    }

    #[test]
    fn no_more_sources_are_remembered_than_there_is_room_for() {
        let bans = Bans::new(BanLimits { sources_max: 3, ..BanLimits::default() });
        let now = Instant::now();
        for host in 0..10 {
            bans.offend(IpAddr::from([192, 0, 2, host]), Offence::Password, now);
        }
        assert_eq!((bans.lock().len(), bans.unremembered()), (3, 7));
        assert!(guess(&bans, address("192.0.2.0"), now, 11).is_some());
        bans.offend(address("192.0.2.9"), Offence::Password, now + MINUTE);
        assert_eq!(bans.lock().len(), 2, "the ban stays, those who did nothing else make room");
    }

    #[test]
    fn scanners_are_known_by_a_part_of_their_name_before_anything_is_parsed() {
        let (bans, now) = (Bans::default(), Instant::now());
        let source = address("192.0.2.1");
        for (text, admission) in [
            ("OPTIONS sip:a SIP/2.0\r\nUser-Agent: friendly-scanner\r\n\r\n", Admission::Scanner),
            ("OPTIONS sip:a SIP/2.0\r\nVia: x\r\nUSER-AGENT : SIPVicious v0.3\r\n\r\n", Admission::Scanner),
            ("OPTIONS sip:a SIP/2.0\r\nUser-Agent: Phone 1\r\n\r\nUser-Agent: sipcli", Admission::Read),
            ("OPTIONS sip:sipcli SIP/2.0\r\n\r\nUser-Agent: sipcli", Admission::Read),
            ("rubbish", Admission::Read),
            ("", Admission::Read),
        ] {
            assert_eq!(bans.admits(source, now, text.as_bytes()), admission, "{text}");
        }
        assert_eq!(bans.scanners(), 2);
    }

    #[test]
    fn networks_hold_the_addresses_that_begin_alike() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("127.0.0.0/8", "::ffff:127.0.0.1", "::1"),
        ] {
            let network = Network::parse(network).expect("a network");
            assert!(network.contains(address(inside)) && !network.contains(address(outside)), "{network:?}");
        }
        for wrong in ["", "192.0.2.0/33", "192.0.2/24", "2001:db8::/129", "192.0.2.0/-1", "host"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
