//! The lines of a session description, RFC 8866 section 5: read as borrowed from its text, and written into one string.
//!
//! Read is what offer and answer turn on, whatever the order of the lines within their section; of the other lines it only
//! matters that they are lines. What is kept holds no line end, so that it may be written again.

use core::fmt::{self, Display, Write};

use super::{MEDIA_LINES_MAX, SdpError};

/// A description.
pub(super) struct Session<'a> {
    /// The address of `c=`.
    pub connection: Option<&'a str>,
    /// The lines of `t=` and of the `r=` behind them, whole and in order.
    pub times: Vec<&'a str>,
    /// What stands in front of the first `m=`.
    pub attributes: Vec<Attribute<'a>>,
    pub medias: Vec<Media<'a>>,
}

/// What stands behind one `m=` and in front of the next.
pub(super) struct Media<'a> {
    /// What it carries: `audio`.
    pub kind: &'a str,
    pub port: u16,
    pub proto: &'a str,
    pub fmt: &'a str,
    /// The address of the first `c=`.
    pub connection: Option<&'a str>,
    pub attributes: Vec<Attribute<'a>>,
}

/// `a=name` or `a=name:value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub name: &'a str,
    pub value: Option<&'a str>,
}

impl<'a> Session<'a> {
    /// Reads the lines of `text`; the first fault ends it.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, SdpError> {
        let mut session = Self { connection: None, times: Vec::new(), attributes: Vec::new(), medias: Vec::new() };
        let lines = text.split(|byte| *byte == b'\n').zip(1..);
        let mut lines = lines.filter_map(|(line, number)| Line::of(line, number).transpose());
        match lines.next().transpose()? {
            Some(Line { letter: b'v', value: b"0", .. }) => {}
            _ => return Err(SdpError::Malformed("it does not begin with v=0".to_owned())),
        }
        let mut has_origin = false;
        for line in lines {
            let line = line?;
            let is_full = session.medias.len() == MEDIA_LINES_MAX;
            match (line.letter, session.medias.last_mut()) {
                (b'm', _) if is_full => {
                    return Err(SdpError::Malformed(format!("more than {MEDIA_LINES_MAX} m= lines")));
                }
                (b'm', _) => session.medias.push(line.media()?),
                (b'a', Some(media)) => media.attributes.push(line.attribute()?),
                (b'a', None) => session.attributes.push(line.attribute()?),
                (b'c', Some(media)) => {
                    let address = line.connection()?;
                    media.connection.get_or_insert(address);
                }
                (b'c', None) => {
                    let first = session.connection.replace(line.connection()?).is_none();
                    line.check(first, "a second c= for the session")?;
                }
                (b'o', None) => {
                    line.check_origin()?;
                    line.check(!core::mem::replace(&mut has_origin, true), "a second o=")?;
                }
                (b't', None) => session.times.push(line.time()?),
                (b'r', None) => {
                    line.check(!session.times.is_empty(), "an r= without a t= in front of it")?;
                    session.times.push(line.repeat()?);
                }
                // Names, addresses of people, bandwidths and whatever comes to be: nothing here turns on them.
                _ => {}
            }
        }
        Ok(session)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        has(&self.attributes, name)
    }

    /// The values of `a=name:` of the session.
    pub(super) fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a str> + 's {
        values(&self.attributes, name)
    }
}

impl<'a> Media<'a> {
    pub(super) fn has(&self, name: &str) -> bool {
        has(&self.attributes, name)
    }

    /// The values of `a=name:` of the stream.
    pub(super) fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a str> + 's {
        values(&self.attributes, name)
    }
}

fn has(attributes: &[Attribute<'_>], name: &str) -> bool {
    attributes.iter().any(|attribute| attribute.name == name)
}

fn values<'a: 's, 's>(attributes: &'s [Attribute<'a>], name: &'s str) -> impl Iterator<Item = &'a str> + 's {
    attributes.iter().filter(move |attribute| attribute.name == name).filter_map(|attribute| attribute.value)
}

/// `letter=value`.
struct Line<'a> {
    number: usize,
    letter: u8,
    value: &'a [u8],
    /// With its letter.
    whole: &'a [u8],
}

impl<'a> Line<'a> {
    /// None where it is empty. RFC 8866 section 5 wants CRLF and allows LF alone.
    fn of(bytes: &'a [u8], number: usize) -> Result<Option<Self>, SdpError> {
        let whole = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let fault = |what: &str| Err(SdpError::Malformed(format!("line {number}: {what}")));
        match whole {
            [] => Ok(None),
            // RFC 8866 section 9, byte-string.
            _ if whole.iter().any(|byte| matches!(byte, 0 | b'\r')) => fault("a NUL or a CR in it"),
            [letter, b'=', value @ ..] => Ok(Some(Self { number, letter: *letter, value, whole })),
            _ => fault("it is no letter with `=` behind it"),
        }
    }

    fn fault(&self, what: &str) -> SdpError {
        SdpError::Malformed(format!("line {}: {what}", self.number))
    }

    fn check(&self, holds: bool, otherwise: &str) -> Result<(), SdpError> {
        if holds { Ok(()) } else { Err(self.fault(otherwise)) }
    }

    fn text(&self, bytes: &'a [u8]) -> Result<&'a str, SdpError> {
        core::str::from_utf8(bytes).map_err(|_| self.fault("it is not UTF-8"))
    }

    /// `<media> <port>[/<number of ports>] <proto> <fmt> ...`
    fn media(&self) -> Result<Media<'a>, SdpError> {
        let mut words = self.text(self.value)?.splitn(4, ' ');
        let (Some(kind), Some(ports), Some(proto), Some(fmt)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(self.fault("an m= has a media, a port, a protocol and formats"));
        };
        let (port, count) = ports.split_once('/').map_or((ports, None), |(port, count)| (port, Some(count)));
        let port = port.parse().map_err(|_| self.fault("the port is no port"))?;
        if count.is_some_and(|count| count.parse::<u16>().is_err()) {
            return Err(self.fault("the number of ports is no number"));
        }
        Ok(Media { kind, port, proto, fmt, connection: None, attributes: Vec::with_capacity(8) })
    }

    /// `<attribute>` or `<attribute>:<value>`.
    fn attribute(&self) -> Result<Attribute<'a>, SdpError> {
        let text = self.text(self.value)?;
        let parts = text.split_once(':');
        Ok(parts.map_or(Attribute { name: text, value: None }, |(name, value)| Attribute { name, value: Some(value) }))
    }

    /// The last of `<nettype> <addrtype> <connection-address>`.
    fn connection(&self) -> Result<&'a str, SdpError> {
        let [_, _, address] = self.words("a c= has a network, a kind of address and an address")?;
        Ok(address)
    }

    /// `<username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address>`
    fn check_origin(&self) -> Result<(), SdpError> {
        let [_, _, version, ..] = self.words::<6>("an o= has six parts")?;
        version.parse::<u64>().map(drop).map_err(|_| self.fault("the version of o= is no number"))
    }

    /// `<start-time> <stop-time>`
    fn time(&self) -> Result<&'a str, SdpError> {
        let times = self.words::<2>("a t= has two times")?;
        if times.iter().any(|time| time.parse::<u64>().is_err()) {
            return Err(self.fault("a time of t= is no number"));
        }
        self.text(self.whole)
    }

    /// `<repeat interval> <active duration> <offsets from start-time>`, each a number with or without its unit.
    fn repeat(&self) -> Result<&'a str, SdpError> {
        let is_time = |word: &[u8]| {
            let digits = word.strip_suffix(b"d").or_else(|| word.strip_suffix(b"h"));
            let digits = digits.or_else(|| word.strip_suffix(b"m")).or_else(|| word.strip_suffix(b"s")).unwrap_or(word);
            !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
        };
        let mut words = self.value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        if words.clone().count() < 2 || !words.all(is_time) {
            return Err(self.fault("an r= has an interval, a duration and offsets"));
        }
        self.text(self.whole)
    }

    /// The words of a line that has exactly so many. None of them may be empty, so a run of spaces parts once.
    fn words<const N: usize>(&self, otherwise: &str) -> Result<[&'a str; N], SdpError> {
        let mut words = self.text(self.value)?.split(' ').filter(|word| !word.is_empty());
        let mut found = [""; N];
        for word in &mut found {
            *word = words.next().ok_or_else(|| self.fault(otherwise))?;
        }
        if words.next().is_some() { Err(self.fault(otherwise)) } else { Ok(found) }
    }
}

/// Lines being written.
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    /// None yet, with room for a usual description.
    pub(super) fn new() -> Self {
        Self(String::with_capacity(384))
    }

    /// A line of any letter.
    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) {
        // A string takes whatever is written.
        let _ = self.0.write_fmt(line);
        self.0.push_str("\r\n");
    }

    /// A line as it stands.
    pub(super) fn plain(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push_str("\r\n");
    }

    /// `a=name`
    pub(super) fn flag(&mut self, name: &str) {
        self.0.push_str("a=");
        self.plain(name);
    }

    /// `a=name:value`
    pub(super) fn attribute(&mut self, name: &str, value: impl Display) {
        self.0.push_str("a=");
        self.0.push_str(name);
        self.line(format_args!(":{value}"));
    }

    /// All lines of another.
    pub(super) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use offhook_units::Entropy;

    use super::*;

    const WHOLE: &str = "v=0\r\no=alice 2890844526 2 IN IP4 host.example.com\r\ns=Talk\r\ni=x\r\nc=IN IP4 192.0.2.1\r\nb=AS:64\r\n\
                         t=2873397496 2873404696\r\nr=7d 1h 0 25h\r\na=sendonly\r\na=group:BUNDLE 0\r\nm=audio 49170/2 RTP/AVP 0 8\r\n\
                         c=IN IP6 2001:db8::1\r\nc=IN IP6 2001:db8::2\r\na=rtpmap:0 PCMU/8000\r\na=rtcp-mux\r\n\r\n\
                         m=video 51372 RTP/AVP 99\r\ni=y\r\na=x:a:b\r\n";

    fn fault(text: &str) -> String {
        Session::parse(text.as_bytes()).err().expect("a fault").to_string()
    }

    #[test]
    fn the_lines_of_each_section_are_found_whatever_their_order() {
        for text in [WHOLE.to_owned(), WHOLE.replace("\r\n", "\n")] {
            let session = Session::parse(text.as_bytes()).unwrap();
            assert_eq!(session.connection, Some("192.0.2.1"));
            assert_eq!(session.times, ["t=2873397496 2873404696", "r=7d 1h 0 25h"]);
            assert!(session.has("sendonly") && !session.has("rtcp-mux"));
            assert_eq!(session.values("group").collect::<Vec<_>>(), ["BUNDLE 0"]);
            let [audio, video] = &session.medias[..] else { panic!("two streams") };
            assert_eq!((audio.kind, audio.port, audio.proto, audio.fmt), ("audio", 49_170, "RTP/AVP", "0 8"));
            assert_eq!(audio.connection, Some("2001:db8::1"), "the first counts");
            assert!(audio.has("rtcp-mux") && audio.values("rtpmap").eq(["0 PCMU/8000"]));
            assert!(video.connection.is_none() && video.values("x").eq(["a:b"]));
        }
        let late = "v=0\nt=0 0\na=inactive\nc=IN IP4 192.0.2.1\no=- 1 1 IN IP4 h\nm=audio 1 RTP/AVP 0";
        assert!(Session::parse(late.as_bytes()).is_ok_and(|session| session.has("inactive")));
    }

    #[test]
    fn a_fault_names_its_line() {
        for (text, expected) in [
            ("", "does not begin with v=0"),
            ("v=1\r\n", "does not begin with v=0"),
            ("s=-\r\nv=0\r\n", "does not begin with v=0"),
            ("v=0\r\n\r\nbroken\r\n", "line 3: it is no letter"),
            ("v=0\r\nab=c\r\n", "line 2: it is no letter"),
            ("v=0\r\ns=a\rb\r\n", "line 2: a NUL or a CR"),
            ("v=0\r\no=- 1 1 IN IP4\r\n", "line 2: an o= has six parts"),
            ("v=0\r\no=- 1 x IN IP4 h\r\n", "line 2: the version of o="),
            ("v=0\r\no=- 1 1 IN IP4 h\r\no=- 1 1 IN IP4 h\r\n", "line 3: a second o="),
            ("v=0\r\nc=IN IP4 h more\r\n", "line 2: a c= has"),
            ("v=0\r\nc=IN IP4 h\r\nc=IN IP4 h\r\n", "line 3: a second c="),
            ("v=0\r\nt=0\r\n", "line 2: a t= has two times"),
            ("v=0\r\nt=0 -1\r\n", "line 2: a time of t="),
            ("v=0\r\nr=1 1\r\n", "line 2: an r= without a t="),
            ("v=0\r\nt=0 0\r\nr=1 1x\r\n", "line 3: an r= has"),
            ("v=0\r\nm=audio 1 RTP/AVP\r\n", "line 2: an m= has"),
            ("v=0\r\nm=audio 65536 RTP/AVP 0\r\n", "line 2: the port"),
            ("v=0\r\nm=audio 1/x RTP/AVP 0\r\n", "line 2: the number of ports"),
        ] {
            assert!(fault(text).contains(expected), "{text:?}: {}", fault(text));
        }
        assert!(Session::parse(b"v=0\r\na=x:\xff\r\n").is_err());
        assert!(Session::parse(b"v=0\r\ns=M\xfcller\r\n").is_ok(), "a name in Latin-1 is nobody's concern");
        let many = |count: usize| format!("v=0\r\n{}", "m=audio 1 RTP/AVP 0\r\n".repeat(count));
        assert!(Session::parse(many(MEDIA_LINES_MAX).as_bytes()).is_ok());
        assert!(fault(&many(MEDIA_LINES_MAX + 1)).contains("more than 32 m= lines"));
    }

    #[test]
    fn of_20000_changed_descriptions_all_that_a_library_takes_are_read_as_it_reads_them() {
        let mut chance = Entropy::from_number(5);
        let mut taken = 0;
        for _ in 0..20_000 {
            let mut bytes = WHOLE.as_bytes().to_vec();
            for _ in 0..=chance.below(4) {
                let at = chance.below(bytes.len() as u64) as usize;
                match chance.below(3) {
                    0 => bytes[at] = b"0aA=: \r\n/\0\xff"[chance.below(11) as usize],
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"0a=: \r\n/"[chance.below(8) as usize]),
                }
            }
            let Ok(theirs) = sdp_types::Session::parse(&bytes) else { continue };
            taken += 1;
            let text = String::from_utf8_lossy(&bytes);
            let ours = Session::parse(&bytes).unwrap_or_else(|error| panic!("{error}: {text}"));
            let same = |ours: &[Attribute<'_>], theirs: &[sdp_types::Attribute]| {
                ours.iter()
                    .map(|our| (our.name, our.value))
                    .eq(theirs.iter().map(|t| (&*t.attribute, t.value.as_deref())))
            };
            assert_eq!(ours.connection, theirs.connection.as_ref().map(|c| &*c.connection_address), "{text}");
            assert!(same(&ours.attributes, &theirs.attributes), "{text}");
            assert_eq!(ours.times.iter().filter(|line| line.starts_with("t=")).count(), theirs.times.len(), "{text}");
            assert_eq!(ours.medias.len(), theirs.medias.len(), "{text}");
            for (our, their) in ours.medias.iter().zip(&theirs.medias) {
                let parts = (&*their.media, their.port, &*their.proto, &*their.fmt);
                assert_eq!((our.kind, our.port, our.proto, our.fmt), parts, "{text}");
                assert_eq!(our.connection, their.connections.first().map(|c| &*c.connection_address), "{text}");
                assert!(same(&our.attributes, &their.attributes), "{text}");
            }
        }
        assert!(taken > 5_000, "{taken}");
    }
}
