//! The registrar, RFC 3261 section 10.3: who can be reached where, behind digest authentication. With several contacts in an order
//! of preference, `Path` (RFC 3327), instances that replace themselves (RFC 5626) and their public GRUU (RFC 5627).

mod contact;
#[cfg(test)]
mod tests;

use core::fmt;
use core::net::IpAddr;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use offhook_units::{Entropy, Span, Tick};
use serde::{Deserialize, Serialize};

use self::contact::Wish;
use crate::{
    Algorithm, Challenge, DigestConfig, DigestCounters, DigestVerifier, Flow, NameAddr, Request, Response, Uri,
    Verdict, Via, digest_username,
};

/// Most hops of a `Path`; no network of phones has as many proxies in a row.
const PATH_HOPS_MAX: usize = 8;

/// Bounds of what a registrar grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrarLimits {
    /// Shorter registrations are answered 423.
    pub min_expires: Span,
    /// Longer registrations are shortened.
    pub max_expires: Span,
    /// Contacts of one account. A REGISTER that asks for more is answered 403; one contact more than that gives the place of the
    /// least preferred one that was refreshed longest ago to the new one.
    pub contacts_max: usize,
    /// How often a phone that asks for RFC 5626 has to say something on its connection (`Flow-Timer`, section 5.4); zero for
    /// nothing said of it.
    pub flow_timer: Span,
    /// `Retry-After` of the 503 at the limit of all bindings.
    pub retry_after: Span,
    /// What phones are asked for.
    pub digest: DigestConfig,
}

impl Default for RegistrarLimits {
    fn default() -> Self {
        Self {
            min_expires: Span::from_s(30),
            max_expires: Span::from_s(3_600),
            contacts_max: 8,
            flow_timer: Span::from_s(120),
            retry_after: Span::from_s(30),
            digest: DigestConfig::default(),
        }
    }
}

/// One contact of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Whose: the user part of the address of record.
    pub account: String,
    /// The contact's URI.
    pub contact: String,
    /// What the REGISTER came on; calls go back over it.
    pub flow: Flow,
    /// `Call-ID` of the REGISTER.
    pub call_id: String,
    /// `CSeq` number of the REGISTER.
    pub cseq: u32,
    /// When it runs out.
    pub expires_at: Tick,
    /// `User-Agent` of the phone.
    pub user_agent: Option<String>,
    /// How much the phone wants to be reached here, in thousandths (RFC 3261 section 20.10).
    #[serde(default = "contact::most_wanted")]
    pub q: u16,
    /// The proxies that a request to the phone has to visit, each as a value of Route (RFC 3327).
    #[serde(default)]
    pub path: Vec<String>,
    /// Which phone this is, whatever its address: `<urn:uuid:...>` (RFC 5626 section 4.1).
    #[serde(default)]
    pub instance: Option<String>,
    /// Which of the phone's ways this is (RFC 5626 section 4.2).
    #[serde(default)]
    pub reg_id: Option<u32>,
    /// Its datagrams came from another address than it thinks: a translator stands between, whose mapping has to be kept open.
    #[serde(default)]
    pub translated: bool,
}

impl Binding {
    /// Whether the phone says that it is this one: `instance` as in the `gr` parameter of a GRUU (RFC 5627 section 3.3).
    pub fn is_instance(&self, instance: &str) -> bool {
        self.instance.as_deref().and_then(contact::bare).is_some_and(|own| own == instance)
    }
}

/// REGISTERs with right credentials that were not carried out, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RegistrarCounters {
    /// Shorter than [`RegistrarLimits::min_expires`].
    pub too_brief: u64,
    /// More contacts at once than [`RegistrarLimits::contacts_max`].
    pub too_many_contacts: u64,
    /// No room left for one more binding.
    pub full: u64,
    /// Against the rules.
    pub malformed: u64,
    /// Not refused: contacts that gave way to a new one of the same account at [`RegistrarLimits::contacts_max`].
    pub gave_way: u64,
}

/// What a REGISTER or the time changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A contact is new or refreshed.
    Bound {
        /// Whose.
        account: String,
        /// As it stands now.
        binding: Arc<Binding>,
    },
    /// A contact is gone.
    Unbound {
        /// Whose.
        account: String,
        /// Its URI.
        contact: String,
    },
}

/// The bindings of one domain.
pub struct Registrar {
    realm: String,
    verifier: DigestVerifier,
    bindings_max: usize,
    limits: RegistrarLimits,
    /// By account; the most wanted contact stands first, of two the one refreshed last.
    accounts: BTreeMap<String, Vec<Entry>>,
    /// When bindings run out, with their numbers.
    expiries: BTreeMap<(Tick, u64), Arc<Binding>>,
    /// Phones that are reached over a connection of theirs, by the numbers of their bindings.
    connected: BTreeMap<Flow, BTreeMap<u64, Arc<Binding>>>,
    /// The number of the last binding.
    last_number: u64,
    counters: RegistrarCounters,
}

struct Entry {
    number: u64,
    uri: Uri,
    binding: Arc<Binding>,
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrar").field("bindings", &self.expiries.len()).finish_non_exhaustive()
    }
}

/// Who sends a request, as its credentials tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The phone of this account: user name and password are right.
    Account(String),
    /// The user name or the password is wrong: refuse with 403.
    Wrong,
    /// The credentials are right for another Request-URI: refuse with 400.
    Misdirected,
    /// There are no credentials, or old ones: refuse with 401 and these values of `WWW-Authenticate`.
    Unknown {
        /// In order of preference.
        challenges: Vec<String>,
    },
}

/// Why a REGISTER is not carried out.
enum Fault {
    BadRequest(&'static str),
    TooBrief,
    TooManyContacts,
    Full,
    NoOutbound,
}

impl Registrar {
    /// Without bindings. `realm` is shown to phones; `entropy` gives the secret of the nonces.
    pub fn new(realm: &str, entropy: &mut Entropy, bindings_max: usize, limits: RegistrarLimits) -> Self {
        Self {
            realm: realm.to_owned(),
            verifier: DigestVerifier::new(realm, entropy, limits.digest.clone()),
            bindings_max,
            limits,
            accounts: BTreeMap::new(),
            expiries: BTreeMap::new(),
            connected: BTreeMap::new(),
            last_number: 0,
            counters: RegistrarCounters::default(),
        }
    }

    /// Judges a REGISTER. `password_of` tells the password of an account. A REGISTER that fails changes nothing.
    pub fn handle<'p>(
        &mut self,
        now: Tick,
        flow: Flow,
        request: &Request,
        password_of: impl Fn(&str) -> Option<&'p str>,
    ) -> (Response, Vec<Change>) {
        let account = match self.authenticate(now, flow.peer.ip(), request, &password_of) {
            Ok(account) => account,
            Err(response) => return (*response, Vec::new()),
        };
        match self.update(now, flow, request, &account) {
            Ok(changes) => (self.accepted(now, flow, request, &account), changes),
            Err(fault) => {
                self.count(&fault);
                (self.refused(request, &fault), Vec::new())
            }
        }
    }

    /// The contacts of an account, the most wanted first, of two the one refreshed last. Call [`Registrar::expire`] before.
    pub fn bindings(&self, account: &str) -> impl Iterator<Item = &Binding> {
        self.accounts.get(account).into_iter().flatten().map(|entry| &*entry.binding)
    }

    /// How many bindings there are.
    pub fn len(&self) -> usize {
        self.expiries.len()
    }

    /// Whether there is no binding.
    pub fn is_empty(&self) -> bool {
        self.expiries.is_empty()
    }

    /// Takes away what has run out by `now`.
    pub fn expire(&mut self, now: Tick) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some(first) = self.expiries.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, number), binding) = first.remove_entry();
            changes.extend(self.remove(&binding.account, |entry| entry.number == number));
        }
        changes
    }

    /// The connection that phones registered on is gone: they cannot be reached until they register again (RFC 5626
    /// section 5.3).
    pub fn lose_flow(&mut self, flow: Flow) -> Vec<Change> {
        let lost = self.connected.remove(&flow).unwrap_or_default();
        let remove =
            |(number, binding): (u64, Arc<Binding>)| self.remove(&binding.account, |entry| entry.number == number);
        lost.into_iter().filter_map(remove).collect()
    }

    /// Takes away all bindings of an account that there is no more.
    pub fn forget(&mut self, account: &str) -> Vec<Change> {
        core::iter::from_fn(|| self.remove(account, |_| true)).collect()
    }

    /// Other bounds from now on; bindings beyond them stay until they run out. [`RegistrarLimits::digest`] stays as it was.
    pub fn set_limits(&mut self, bindings_max: usize, limits: &RegistrarLimits) {
        self.bindings_max = bindings_max;
        self.limits = RegistrarLimits { digest: self.limits.digest.clone(), ..limits.clone() };
    }

    /// When the next binding runs out.
    pub fn next_expiry(&self) -> Option<Tick> {
        self.expiries.first_key_value().map(|((at, _), _)| *at)
    }

    /// Puts a binding back that was kept over a restart. One that cannot be read, is over the limit, or was reached over a
    /// connection is left out, and told: connections do not outlive their program.
    pub fn restore(&mut self, binding: Binding) -> Option<Change> {
        match binding.contact.parse::<Uri>() {
            Ok(uri) if self.len() < self.bindings_max && !binding.flow.transport.is_reliable() => {
                self.bind(uri, Arc::new(binding));
                None
            }
            Ok(_) | Err(_) => Some(Self::unbound(&binding)),
        }
    }

    /// The account that a REGISTER speaks for, or the answer that it gets instead (RFC 3261 sections 10.3 steps 3 to 5, 22.1).
    fn authenticate<'p>(
        &mut self,
        now: Tick,
        source: IpAddr,
        request: &Request,
        password_of: &impl Fn(&str) -> Option<&'p str>,
    ) -> Result<String, Box<Response>> {
        let refuse = |status| Box::new(Response::to_request(request, status));
        let account = match request.headers.to() {
            Ok(NameAddr { uri, .. }) => uri.user_decoded().map(Cow::into_owned).ok_or_else(|| refuse(404))?,
            Err(_) => return Err(refuse(400)),
        };
        let mut stale = false;
        for value in request.headers.get_all("Authorization") {
            match self.verifier.verify(now, source, request, value, password_of) {
                Verdict::Ok if digest_username(value).as_deref() == Some(&*account) => return Ok(account),
                // RFC 3261 section 10.3 step 4: nobody registers for somebody else.
                Verdict::Ok => return Err(refuse(403)),
                Verdict::OtherUri => return Err(refuse(400)),
                Verdict::Stale | Verdict::Replayed => stale = true,
                Verdict::Wrong | Verdict::NoCredentials => {}
            }
        }
        let mut response = refuse(401);
        for challenge in self.challenges(now, source, request, stale) {
            response.headers.push("WWW-Authenticate", &challenge);
        }
        Err(response)
    }

    /// JsSIP, which pages use, knows MD5 alone, and gives up where another challenge stands beside it: over WebSocket it stands alone,
    /// where it is asked for at all. Everybody else is asked for everything, the preferred first (RFC 8760 section 2.4).
    fn challenges(&mut self, now: Tick, source: IpAddr, request: &Request, stale: bool) -> Vec<String> {
        let mut challenges: Vec<Challenge> = self.verifier.challenges(now, source, stale).collect();
        let by_page = |via: Via| via.transport.eq_ignore_ascii_case("WS") || via.transport.eq_ignore_ascii_case("WSS");
        if request.headers.top_via().is_ok_and(by_page) {
            let asks = challenges.iter().any(|challenge| challenge.algorithm == Algorithm::Md5);
            challenges.retain(|challenge| !asks || challenge.algorithm == Algorithm::Md5);
        }
        challenges.iter().map(ToString::to_string).collect()
    }

    /// Judges a request of `source` that is no REGISTER by the same accounts, realm and nonces (RFC 3261 section 22.2).
    pub fn identify<'p>(
        &mut self,
        now: Tick,
        source: IpAddr,
        request: &Request,
        password_of: impl Fn(&str) -> Option<&'p str>,
    ) -> Identity {
        let mut stale = false;
        for value in request.headers.get_all("Authorization") {
            match self.verifier.verify(now, source, request, value, &password_of) {
                Verdict::Ok => return digest_username(value).map_or(Identity::Wrong, Identity::Account),
                Verdict::Wrong => return Identity::Wrong,
                Verdict::OtherUri => return Identity::Misdirected,
                Verdict::Stale | Verdict::Replayed => stale = true,
                Verdict::NoCredentials => {}
            }
        }
        Identity::Unknown { challenges: self.challenges(now, source, request, stale) }
    }

    /// What became of REGISTERs with right credentials so far.
    pub const fn counters(&self) -> RegistrarCounters {
        self.counters
    }

    fn count(&mut self, fault: &Fault) {
        let counters = &mut self.counters;
        *match fault {
            Fault::BadRequest(_) | Fault::NoOutbound => &mut counters.malformed,
            Fault::TooBrief => &mut counters.too_brief,
            Fault::TooManyContacts => &mut counters.too_many_contacts,
            Fault::Full => &mut counters.full,
        } += 1;
    }

    /// What became of credentials so far.
    pub fn digest_counters(&self) -> DigestCounters {
        self.verifier.counters()
    }

    /// RFC 3261 section 10.3 steps 6 and 7: all or nothing.
    fn update(&mut self, now: Tick, flow: Flow, request: &Request, account: &str) -> Result<Vec<Change>, Fault> {
        let call_id = request.headers.call_id().ok_or(Fault::BadRequest("Call-ID"))?.to_owned();
        let (cseq, _) = request.headers.cseq().map_err(|_| Fault::BadRequest("CSeq"))?;
        let wishes = self.wishes(request, account)?;
        let path = path_of(request)?;
        let known = self.accounts.get(account).map_or(&[][..], Vec::as_slice);
        let replaced = |entry: &Entry| wishes.iter().any(|wish| wish.means(entry));
        for Entry { binding, .. } in known.iter().filter(|entry| replaced(entry)) {
            if binding.call_id == call_id && cseq <= binding.cseq {
                return Err(Fault::BadRequest("CSeq out of order"));
            }
        }
        let bound = wishes.iter().filter(|wish| wish.expires.is_some()).count();
        let staying = known.len() - known.iter().filter(|entry| replaced(entry)).count();
        let over = (staying + bound).saturating_sub(self.limits.contacts_max);
        if over > staying {
            return Err(Fault::TooManyContacts);
        }
        if self.len() - known.len() + staying - over + bound > self.bindings_max {
            return Err(Fault::Full);
        }
        let mut gone = self.take_where(account, replaced);
        self.counters.gave_way += over as u64;
        for _ in 0..over {
            let last = self.accounts.get(account).map_or(0, Vec::len) - 1;
            gone.push(self.take(account, last));
        }
        let translated = contact::is_translated(flow, request);
        let user_agent = request.headers.get("User-Agent").map(str::to_owned);
        let mut bound = Vec::with_capacity(wishes.len());
        for Wish { uri, expires, q, instance, reg_id } in wishes {
            let Some(expires) = expires else { continue };
            let binding = Binding {
                account: account.to_owned(),
                contact: uri.to_string(),
                flow,
                call_id: call_id.clone(),
                cseq,
                expires_at: now + expires,
                user_agent: user_agent.clone(),
                q,
                path: path.clone(),
                instance,
                reg_id,
                translated,
            };
            let binding = Arc::new(binding);
            bound.push(Change::Bound { account: account.to_owned(), binding: Arc::clone(&binding) });
            self.bind(uri, binding);
        }
        self.tidy(account);
        let stands = |old: &Binding| self.bindings(account).any(|binding| binding.contact == old.contact);
        gone.retain(|old| !stands(old));
        Ok(gone.iter().map(|old| Self::unbound(old)).chain(bound).collect())
    }

    fn refused(&self, request: &Request, fault: &Fault) -> Response {
        let status = match fault {
            Fault::BadRequest(_) => 400,
            Fault::TooBrief => 423,
            Fault::TooManyContacts => 403,
            Fault::Full => 503,
            Fault::NoOutbound => 439,
        };
        let mut response = Response::to_request(request, status);
        match fault {
            Fault::BadRequest(what) => response.reason = format!("Bad Request: {what}"),
            Fault::TooBrief => {
                response.headers.push("Min-Expires", &self.limits.min_expires.as_s().to_string());
            }
            Fault::TooManyContacts | Fault::NoOutbound => {}
            Fault::Full => response.headers.push("Retry-After", &self.limits.retry_after.as_s().to_string()),
        }
        response
    }

    fn bind(&mut self, uri: Uri, binding: Arc<Binding>) {
        self.take_where(&binding.account, |known| known.uri.equivalent(&uri));
        self.last_number += 1;
        let number = self.last_number;
        self.expiries.insert((binding.expires_at, number), Arc::clone(&binding));
        if binding.flow.transport.is_reliable() {
            self.connected.entry(binding.flow).or_default().insert(number, Arc::clone(&binding));
        }
        let entries = match self.accounts.get_mut(&*binding.account) {
            Some(entries) => entries,
            None => self.accounts.entry(binding.account.clone()).or_default(),
        };
        let at = entries.iter().position(|known| known.binding.q <= binding.q).unwrap_or(entries.len());
        entries.insert(at, Entry { number, uri, binding });
    }

    fn take_where(&mut self, account: &str, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Binding>> {
        let mut taken = Vec::new();
        while let Some(at) = self.accounts.get(account).and_then(|entries| entries.iter().position(&wanted)) {
            taken.push(self.take(account, at));
        }
        taken
    }

    fn remove(&mut self, account: &str, wanted: impl Fn(&Entry) -> bool) -> Option<Change> {
        let at = self.accounts.get(account)?.iter().position(wanted)?;
        let binding = self.take(account, at);
        self.tidy(account);
        Some(Self::unbound(&binding))
    }

    /// Takes one binding out of all three indexes; the account's list stays, though it may be empty now.
    fn take(&mut self, account: &str, at: usize) -> Arc<Binding> {
        let entries = self.accounts.get_mut(account).expect("found by the caller");
        let Entry { number, binding, .. } = entries.remove(at);
        self.expiries.remove(&(binding.expires_at, number));
        if let Some(phones) = self.connected.get_mut(&binding.flow) {
            phones.remove(&number);
            if phones.is_empty() {
                self.connected.remove(&binding.flow);
            }
        }
        binding
    }

    /// Nothing is kept of an account without bindings.
    fn tidy(&mut self, account: &str) {
        if self.accounts.get(account).is_some_and(Vec::is_empty) {
            self.accounts.remove(account);
        }
    }

    fn unbound(binding: &Binding) -> Change {
        Change::Unbound { account: binding.account.clone(), contact: binding.contact.clone() }
    }
}

/// RFC 3327 section 5.3, and RFC 5626 section 6 for a proxy that knows nothing of the phone's connections.
fn path_of(request: &Request) -> Result<Vec<String>, Fault> {
    let mut path = Vec::new();
    for value in request.headers.values("Path") {
        let hop: NameAddr = value.parse().map_err(|_| Fault::BadRequest("Path"))?;
        if !hop.uri.is_sip() || path.len() == PATH_HOPS_MAX {
            return Err(Fault::BadRequest("Path"));
        }
        path.push(hop);
    }
    let is_outbound = contact::wants_outbound(request);
    let through = request.headers.vias().is_ok_and(|vias| vias.len() > 1);
    if is_outbound && through && !path.last().is_some_and(|hop| hop.uri.params.contains("ob")) {
        return Err(Fault::NoOutbound);
    }
    Ok(path.iter().map(NameAddr::to_string).collect())
}
