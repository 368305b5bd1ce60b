//! What the headers mean: each accessor reads its line when asked.

use super::text::{number, trim, value_end};
use super::{Headers, Name, NameAddr, NameAddrRef, SyntaxError, Via, ViaRef};
use crate::message::Method;

/// Largest sequence number (RFC 3261 section 8.1.1.5).
pub const CSEQ_MAX: u32 = (1 << 31) - 1;

impl Headers {
    /// The topmost Via: the hop the message came from, or our own in a response.
    pub fn top_via(&self) -> Result<Via, SyntaxError> {
        Ok(self.top_via_ref()?.to_via())
    }

    pub(crate) fn top_via_ref(&self) -> Result<ViaRef<'_>, SyntaxError> {
        let line = self.first(Name::Via).ok_or(SyntaxError("Via is missing"))?;
        ViaRef::parse(&line[..value_end(line)])
    }

    /// The branch of the topmost Via, without taking the rest of it apart.
    pub fn top_branch(&self) -> Option<&str> {
        self.top_via_ref().ok()?.branch()
    }

    /// Replaces the topmost Via; other values in its line stay. Adds it if there is none.
    pub fn set_top_via(&mut self, via: &Via) {
        let Some(at) = self.position(Name::Via, "Via") else {
            return self.push_via(via);
        };
        let line = self.value(&self.entries[at]);
        let text = via.text() + &line[value_end(line)..];
        self.entries.remove(at);
        self.insert(at, "Via", &text);
    }

    /// Adds a Via before all others.
    pub fn push_via(&mut self, via: &Via) {
        let at = self.position(Name::Via, "Via").unwrap_or(0);
        self.insert(at, "Via", &via.text());
    }

    /// Takes the topmost Via away and tells whether there was one.
    pub fn pop_via(&mut self) -> bool {
        let Some(at) = self.position(Name::Via, "Via") else {
            return false;
        };
        let line = self.value(&self.entries[at]);
        let rest = line.get(value_end(line) + 1..).map_or("", trim).to_owned();
        self.entries.remove(at);
        if !rest.is_empty() {
            self.insert(at, "Via", &rest);
        }
        true
    }

    /// All Vias, topmost first.
    pub fn vias(&self) -> Result<Vec<Via>, SyntaxError> {
        self.all(Name::Via).map(|value| Ok(ViaRef::parse(value)?.to_via())).collect()
    }

    /// Who sends the request.
    pub fn from(&self) -> Result<NameAddr, SyntaxError> {
        Ok(self.sender_ref()?.to_name_addr())
    }

    pub(crate) fn sender_ref(&self) -> Result<NameAddrRef<'_>, SyntaxError> {
        NameAddrRef::parse(self.first(Name::From).ok_or(SyntaxError("From is missing"))?)
    }

    /// Whom the request is for.
    pub fn to(&self) -> Result<NameAddr, SyntaxError> {
        Ok(self.to_ref()?.to_name_addr())
    }

    pub(crate) fn to_ref(&self) -> Result<NameAddrRef<'_>, SyntaxError> {
        NameAddrRef::parse(self.first(Name::To).ok_or(SyntaxError("To is missing"))?)
    }

    /// The tag of From, without taking the rest of it apart.
    pub fn from_tag(&self) -> Option<&str> {
        NameAddrRef::tag_in(self.first(Name::From)?)
    }

    /// The tag of To, without taking the rest of it apart.
    pub fn to_tag(&self) -> Option<&str> {
        NameAddrRef::tag_in(self.first(Name::To)?)
    }

    /// Replaces From.
    pub fn set_from(&mut self, from: &NameAddr) {
        self.set("From", &from.to_string());
    }

    /// Replaces To.
    pub fn set_to(&mut self, to: &NameAddr) {
        self.set("To", &to.to_string());
    }

    /// The call's identifier.
    pub fn call_id(&self) -> Option<&str> {
        self.first(Name::CallId).filter(|id| !id.is_empty())
    }

    /// Sequence number, at most [`CSEQ_MAX`], and method.
    pub fn cseq(&self) -> Result<(u32, Method), SyntaxError> {
        let (number, method) = self.cseq_ref()?;
        Ok((number, method.parse()?))
    }

    pub(crate) fn cseq_ref(&self) -> Result<(u32, &str), SyntaxError> {
        let value = self.first(Name::CSeq).ok_or(SyntaxError("CSeq is missing"))?;
        let (digits, method) = value.split_once([' ', '\t']).ok_or(SyntaxError("CSeq has no method"))?;
        let number = number(digits, u64::from(CSEQ_MAX)).ok_or(SyntaxError("CSeq's number is not below 2^31"))?;
        Ok((number as u32, trim(method)))
    }

    /// Replaces CSeq.
    pub fn set_cseq(&mut self, number: u32, method: &Method) {
        let mut value = String::with_capacity(24);
        crate::uri::push_digits(&mut value, number);
        value.push(' ');
        value.push_str(method.as_str());
        self.set("CSeq", &value);
    }

    /// The number of a reliable provisional response (RFC 3262 section 7.1).
    pub fn rseq(&self) -> Result<Option<u32>, SyntaxError> {
        let Some(value) = self.first(Name::RSeq) else {
            return Ok(None);
        };
        let rseq = number(value, u64::from(u32::MAX)).ok_or(SyntaxError("RSeq is no number below 2^32"))?;
        Ok(Some(rseq as u32))
    }

    /// What a PRACK acknowledges: the response's RSeq, and number and method of the CSeq that it answers (RFC 3262 section 7.2).
    pub fn rack(&self) -> Result<(u32, u32, Method), SyntaxError> {
        let wrong = SyntaxError("RAck is not two numbers and a method");
        let mut parts = self.first(Name::RAck).ok_or(SyntaxError("RAck is missing"))?.split_ascii_whitespace();
        let mut next = |max: u32| parts.next().and_then(|part| number(part, u64::from(max))).ok_or(wrong);
        let (rseq, cseq) = (next(u32::MAX)?, next(CSEQ_MAX)?);
        let method = parts.next().filter(|_| parts.clone().next().is_none()).ok_or(wrong)?;
        Ok((rseq as u32, cseq as u32, method.parse()?))
    }

    /// All contacts; `*` is none of them, see [`Headers::contact_is_star`].
    pub fn contacts(&self) -> Result<Vec<NameAddr>, SyntaxError> {
        if self.contact_is_star() { Ok(Vec::new()) } else { self.addresses(Name::Contact) }
    }

    /// Whether the contact is `*`: all bindings are meant (RFC 3261 section 10.2.2).
    pub fn contact_is_star(&self) -> bool {
        let mut values = self.all(Name::Contact);
        values.next() == Some("*") && values.next().is_none()
    }

    /// The hops a request has to visit.
    pub fn routes(&self) -> Result<Vec<NameAddr>, SyntaxError> {
        self.addresses(Name::Route)
    }

    /// The hops that want to stay in the way of the dialog.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, SyntaxError> {
        self.addresses(Name::RecordRoute)
    }

    /// The identities that a trusted peer asserts (RFC 3325).
    pub fn asserted_identities(&self) -> Result<Vec<NameAddr>, SyntaxError> {
        self.addresses(Name::AssertedIdentity)
    }

    fn addresses(&self, name: Name) -> Result<Vec<NameAddr>, SyntaxError> {
        self.all(name).map(|value| Ok(NameAddrRef::parse(value)?.to_name_addr())).collect()
    }

    /// How many hops the request may still make: 0 to 255.
    pub fn max_forwards(&self) -> Result<Option<u32>, SyntaxError> {
        match self.first(Name::MaxForwards) {
            None => Ok(None),
            Some(value) => match number(value, 255) {
                Some(hops) => Ok(Some(hops as u32)),
                None => Err(SyntaxError("Max-Forwards is no number from 0 to 255")),
            },
        }
    }

    /// The Expires header in seconds. A number beyond 32 bits counts as the largest (RFC 3261 section 20.19).
    pub fn expires(&self) -> Result<Option<u32>, SyntaxError> {
        self.seconds(Name::Expires, SyntaxError("Expires is no number of seconds"))
    }

    /// The Retry-After header in seconds; its comment and parameters are left aside (RFC 3261 section 20.33).
    pub fn retry_after(&self) -> Result<Option<u32>, SyntaxError> {
        self.seconds(Name::RetryAfter, SyntaxError("Retry-After is no number of seconds"))
    }

    /// The Min-Expires header in seconds.
    pub fn min_expires(&self) -> Result<Option<u32>, SyntaxError> {
        self.seconds(Name::MinExpires, SyntaxError("Min-Expires is no number of seconds"))
    }

    fn seconds(&self, name: Name, wrong: SyntaxError) -> Result<Option<u32>, SyntaxError> {
        let Some(value) = self.first(name) else {
            return Ok(None);
        };
        let digits = trim(value.split([';', '(']).next().unwrap_or(""));
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong);
        }
        Ok(Some(number(digits, u64::from(u32::MAX)).map_or(u32::MAX, |seconds| seconds as u32)))
    }

    /// The body's type as it stands, parameters included.
    pub fn content_type(&self) -> Option<&str> {
        self.first(Name::ContentType).filter(|value| !value.is_empty())
    }

    /// Whether the body is of this type, whatever its parameters: `has_content_type("application/sdp")`.
    pub fn has_content_type(&self, wanted: &str) -> bool {
        let media_type = self.content_type().and_then(|value| value.split(';').next());
        let found = media_type.unwrap_or_default().split('/').map(trim);
        found.map(str::to_ascii_lowercase).eq(wanted.split('/').map(str::to_ascii_lowercase))
    }
}
