//! The registrar, RFC 3261 section 10.3: who can be reached where, behind digest authentication.

#[cfg(test)]
mod tests;

use core::fmt;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use offhook_units::{Entropy, Span, Tick};
use serde::{Deserialize, Serialize};

use crate::{
    Algorithm, DigestConfig, DigestVerifier, Flow, NameAddr, Request, Response, Uri, Verdict, digest_username,
};

/// What `Expires` means where it says nothing, or nothing that can be read (RFC 3261 sections 10.3 and 20.19).
const DEFAULT_EXPIRES: u32 = 3_600;

/// Bounds of what a registrar grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrarLimits {
    /// Shorter registrations are answered 423.
    pub min_expires: Span,
    /// Longer registrations are shortened.
    pub max_expires: Span,
    /// Contacts of one account; more are answered 403.
    pub contacts_max: usize,
    /// `Retry-After` of the 503 at the limit of all bindings.
    pub retry_after: Span,
    /// Challenge with SHA-256 before MD5; some old phones take the first challenge whatever it says.
    pub sha256: bool,
}

impl Default for RegistrarLimits {
    fn default() -> Self {
        Self {
            min_expires: Span::from_s(30),
            max_expires: Span::from_s(3_600),
            contacts_max: 8,
            retry_after: Span::from_s(30),
            sha256: false,
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
}

/// What a REGISTER or the time changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A contact is new or refreshed.
    Bound {
        /// Whose.
        account: String,
        /// As it stands now.
        binding: Binding,
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
    /// By account; the contact refreshed last stands first.
    accounts: BTreeMap<String, Vec<Entry>>,
    expiries: BTreeSet<(Tick, String, String)>,
    /// Account and contact of phones that are reached over a connection of theirs.
    connected: BTreeMap<Flow, BTreeSet<(String, String)>>,
}

struct Entry {
    uri: Uri,
    binding: Binding,
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
    /// There are no credentials, or old ones: refuse with 401 and these values of `WWW-Authenticate`.
    Unknown {
        /// In order of preference.
        challenges: Vec<String>,
    },
}

/// What a REGISTER asks for one contact.
struct Wish {
    uri: Uri,
    /// None: to be removed.
    expires: Option<Span>,
}

/// Why a REGISTER is not carried out.
enum Fault {
    BadRequest(&'static str),
    TooBrief,
    TooManyContacts,
    Full,
}

impl Registrar {
    /// Without bindings. `realm` is shown to phones; `entropy` gives the secret of the nonces.
    pub fn new(realm: &str, entropy: &mut Entropy, bindings_max: usize, limits: RegistrarLimits) -> Self {
        Self {
            realm: realm.to_owned(),
            verifier: DigestVerifier::new(entropy, DigestConfig::default()),
            bindings_max,
            limits,
            accounts: BTreeMap::new(),
            expiries: BTreeSet::new(),
            connected: BTreeMap::new(),
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
        let account = match self.authenticate(now, request, &password_of) {
            Ok(account) => account,
            Err(response) => return (*response, Vec::new()),
        };
        match self.update(now, flow, request, &account) {
            Ok(changes) => (self.accepted(now, request, &account), changes),
            Err(fault) => (self.refused(request, &fault), Vec::new()),
        }
    }

    /// The contacts of an account, the one refreshed last first. Call [`Registrar::expire`] before.
    pub fn bindings(&self, account: &str) -> impl Iterator<Item = &Binding> {
        self.accounts.get(account).into_iter().flatten().map(|entry| &entry.binding)
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
        while let Some((at, _, _)) = self.expiries.first() {
            if *at > now {
                break;
            }
            let Some((_, account, contact)) = self.expiries.pop_first() else { break };
            changes.extend(self.remove(&account, &contact));
        }
        changes
    }

    /// The connection that phones registered on is gone: they cannot be reached until they register again (RFC 5626
    /// section 5.3).
    pub fn lose_flow(&mut self, flow: Flow) -> Vec<Change> {
        let lost = self.connected.remove(&flow).unwrap_or_default();
        lost.into_iter().filter_map(|(account, contact)| self.remove(&account, &contact)).collect()
    }

    /// When the next binding runs out.
    pub fn next_expiry(&self) -> Option<Tick> {
        self.expiries.first().map(|(at, ..)| *at)
    }

    /// Puts a binding back that was kept over a restart. One that cannot be read, is over the limit, or was reached over a
    /// connection is left out, and told: connections do not outlive their program.
    pub fn restore(&mut self, binding: Binding) -> Option<Change> {
        match binding.contact.parse::<Uri>() {
            Ok(uri) if self.len() < self.bindings_max && !binding.flow.transport.is_reliable() => {
                self.bind(Entry { uri, binding });
                None
            }
            Ok(_) | Err(_) => Some(Self::unbound(binding)),
        }
    }

    /// The account that a REGISTER speaks for, or the answer that it gets instead (RFC 3261 sections 10.3 steps 3 to 5, 22.1).
    fn authenticate<'p>(
        &self,
        now: Tick,
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
            let verdict = self.verifier.verify(now, &self.realm, "REGISTER", Some(value), password_of);
            match verdict {
                Verdict::Ok if digest_username(value).as_deref() == Some(&*account) => return Ok(account),
                // RFC 3261 section 10.3 step 4: nobody registers for somebody else.
                Verdict::Ok => return Err(refuse(403)),
                Verdict::Stale => stale = true,
                Verdict::Wrong | Verdict::NoCredentials => {}
            }
        }
        let mut response = refuse(401);
        for challenge in self.challenges(now, stale) {
            response.headers.push("WWW-Authenticate", &challenge);
        }
        Err(response)
    }

    /// Judges a request that is no REGISTER by the same accounts, realm and nonces (RFC 3261 section 22.2).
    pub fn identify<'p>(
        &self,
        now: Tick,
        request: &Request,
        password_of: impl Fn(&str) -> Option<&'p str>,
    ) -> Identity {
        let mut stale = false;
        for value in request.headers.get_all("Authorization") {
            match self.verifier.verify(now, &self.realm, request.method.as_str(), Some(value), &password_of) {
                Verdict::Ok => return digest_username(value).map_or(Identity::Wrong, Identity::Account),
                Verdict::Wrong => return Identity::Wrong,
                Verdict::Stale => stale = true,
                Verdict::NoCredentials => {}
            }
        }
        Identity::Unknown { challenges: self.challenges(now, stale) }
    }

    fn challenges(&self, now: Tick, stale: bool) -> Vec<String> {
        let algorithms = [Algorithm::Sha256, Algorithm::Md5].into_iter();
        let offered = algorithms.filter(|algorithm| *algorithm == Algorithm::Md5 || self.limits.sha256);
        offered.map(|algorithm| self.verifier.challenge(now, &self.realm, algorithm, stale).to_string()).collect()
    }

    /// RFC 3261 section 10.3 steps 6 and 7: all or nothing.
    fn update(&mut self, now: Tick, flow: Flow, request: &Request, account: &str) -> Result<Vec<Change>, Fault> {
        let call_id = request.headers.call_id().ok_or(Fault::BadRequest("Call-ID"))?.to_owned();
        let (cseq, _) = request.headers.cseq().map_err(|_| Fault::BadRequest("CSeq"))?;
        let wishes = self.wishes(request, account)?;
        let known = self.accounts.get(account).map_or(&[][..], Vec::as_slice);
        let mut added = 0;
        for wish in &wishes {
            match known.iter().find(|entry| entry.uri.equivalent(&wish.uri)) {
                Some(Entry { binding, .. }) if binding.call_id == call_id && cseq <= binding.cseq => {
                    return Err(Fault::BadRequest("CSeq out of order"));
                }
                Some(_) => {}
                None => added += usize::from(wish.expires.is_some()),
            }
        }
        if known.len() + added > self.limits.contacts_max {
            return Err(Fault::TooManyContacts);
        }
        if self.len() + added > self.bindings_max {
            return Err(Fault::Full);
        }
        let user_agent = request.headers.get("User-Agent").map(str::to_owned);
        let mut changes = Vec::with_capacity(wishes.len());
        for Wish { uri, expires } in wishes {
            let gone = self.unbind(account, &uri);
            if let Some(expires) = expires {
                let binding = Binding {
                    account: account.to_owned(),
                    contact: uri.to_string(),
                    flow,
                    call_id: call_id.clone(),
                    cseq,
                    expires_at: now + expires,
                    user_agent: user_agent.clone(),
                };
                changes.extend(gone.filter(|old| old.contact != binding.contact).map(Self::unbound));
                changes.push(Change::Bound { account: account.to_owned(), binding: binding.clone() });
                self.bind(Entry { uri, binding });
            } else {
                changes.extend(gone.map(Self::unbound));
            }
        }
        Ok(changes)
    }

    fn wishes(&self, request: &Request, account: &str) -> Result<Vec<Wish>, Fault> {
        let headers = &request.headers;
        let header = headers.expires().ok().flatten();
        if headers.contact_is_star() {
            if header != Some(0) {
                return Err(Fault::BadRequest("Contact: * without Expires: 0"));
            }
            let all = self.accounts.get(account).into_iter().flatten();
            return Ok(all.map(|entry| Wish { uri: entry.uri.clone(), expires: None }).collect());
        }
        let contacts = headers.contacts().map_err(|_| Fault::BadRequest("Contact"))?;
        let mut wishes: Vec<Wish> = Vec::new();
        for contact in contacts {
            if !contact.uri.is_sip() {
                return Err(Fault::BadRequest("Contact is no SIP URI"));
            }
            let asked = contact.param("expires").map(|text| text.parse().unwrap_or(DEFAULT_EXPIRES));
            let seconds = asked.or(header).unwrap_or(DEFAULT_EXPIRES);
            let asked = Span::from_s(u64::from(seconds));
            if seconds > 0 && asked < self.limits.min_expires {
                return Err(Fault::TooBrief);
            }
            let expires = (seconds > 0).then(|| asked.min(self.limits.max_expires));
            // The same contact twice in one request: the last one counts.
            wishes.retain(|wish| !wish.uri.equivalent(&contact.uri));
            wishes.push(Wish { uri: contact.uri, expires });
        }
        Ok(wishes)
    }

    /// 200 with all bindings, RFC 3261 section 10.3 step 8.
    fn accepted(&self, now: Tick, request: &Request, account: &str) -> Response {
        let mut response = Response::to_request(request, 200);
        for binding in self.bindings(account).filter(|binding| binding.expires_at > now) {
            let left = (binding.expires_at - now).as_s();
            response.headers.push("Contact", &format!("<{}>;expires={left}", binding.contact));
        }
        response
    }

    fn refused(&self, request: &Request, fault: &Fault) -> Response {
        let status = match fault {
            Fault::BadRequest(_) => 400,
            Fault::TooBrief => 423,
            Fault::TooManyContacts => 403,
            Fault::Full => 503,
        };
        let mut response = Response::to_request(request, status);
        match fault {
            Fault::BadRequest(what) => response.reason = format!("Bad Request: {what}"),
            Fault::TooBrief => {
                response.headers.push("Min-Expires", &self.limits.min_expires.as_s().to_string());
            }
            Fault::TooManyContacts => {}
            Fault::Full => response.headers.push("Retry-After", &self.limits.retry_after.as_s().to_string()),
        }
        response
    }

    fn bind(&mut self, entry: Entry) {
        let Binding { account, contact, expires_at, flow, .. } = &entry.binding;
        let account = account.clone();
        self.unbind(&account, &entry.uri);
        self.expiries.insert((*expires_at, account.clone(), contact.clone()));
        if flow.transport.is_reliable() {
            self.connected.entry(*flow).or_default().insert((account.clone(), contact.clone()));
        }
        self.accounts.entry(account).or_default().insert(0, entry);
    }

    fn unbind(&mut self, account: &str, uri: &Uri) -> Option<Binding> {
        let entries = self.accounts.get(account)?;
        let at = entries.iter().position(|entry| entry.uri.equivalent(uri))?;
        Some(self.take(account, at))
    }

    fn remove(&mut self, account: &str, contact: &str) -> Option<Change> {
        let entries = self.accounts.get(account)?;
        let at = entries.iter().position(|entry| entry.binding.contact == contact)?;
        Some(Self::unbound(self.take(account, at)))
    }

    /// Takes one binding out of all three indexes.
    fn take(&mut self, account: &str, at: usize) -> Binding {
        let entries = self.accounts.get_mut(account).expect("found by the caller");
        let Entry { binding, .. } = entries.remove(at);
        if entries.is_empty() {
            self.accounts.remove(account);
        }
        self.expiries.remove(&(binding.expires_at, binding.account.clone(), binding.contact.clone()));
        if let Some(phones) = self.connected.get_mut(&binding.flow) {
            phones.remove(&(binding.account.clone(), binding.contact.clone()));
            if phones.is_empty() {
                self.connected.remove(&binding.flow);
            }
        }
        binding
    }

    fn unbound(binding: Binding) -> Change {
        Change::Unbound { account: binding.account, contact: binding.contact }
    }
}
