//! Session recording, RFC 7866: the metadata (RFC 7865) that goes with a recording session, and the body that it goes in.
//!
//! Read is who takes part, which streams there are, and who sends and hears which. The rest of the vocabulary is passed over.

mod read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use offhook_units::Entropy;

use crate::{Body, Headers};

/// The option tag, RFC 7866 section 12.1.
pub const OPTION: &str = "siprec";
/// The media type of metadata, RFC 7865 section 12; without `+xml` it is that of RFC 7866 section 12.
pub const METADATA: &str = "application/rs-metadata+xml";
const METADATA_SHORT: &str = "application/rs-metadata";
/// The purpose of the part that it is, RFC 7866 section 12.2.
pub const DISPOSITION: &str = "recording-session";
/// The namespace of RFC 7865 section 10.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:recording:1";
/// Longest metadata that are read, in bytes.
pub const METADATA_BYTES_MAX: usize = 65_536;
/// Most participants of one recording session; more are refused.
pub const METADATA_PARTICIPANTS_MAX: usize = 64;
/// Most streams that metadata may name; more are refused.
pub const METADATA_STREAMS_MAX: usize = 64;
/// Longest id, label, address or name in metadata, in bytes.
pub const METADATA_TEXT_BYTES_MAX: usize = 512;
/// How deep elements may lie within each other.
pub const METADATA_DEPTH_MAX: usize = 16;

/// Our part in a recording session: what our Contact says of it (RFC 7866 section 12.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// We send: a session recording client.
    Source,
    /// We record: a session recording server.
    Recorder,
}

impl Part {
    /// The feature tag behind our Contact.
    pub(crate) const fn feature(self) -> &'static str {
        match self {
            Self::Source => ";+sip.src",
            Self::Recorder => ";+sip.srs",
        }
    }
}

/// Whether an INVITE asks for a recording session: it requires the extension, or its Contact says that it comes from a client of it
/// (RFC 7866 section 6.1.1).
pub fn asks_to_record(headers: &Headers) -> bool {
    let is_source = |contact: &str| {
        let params = contact.rsplit_once('>').map_or(contact, |(_, params)| params);
        params
            .split(';')
            .any(|param| param.trim().split('=').next().is_some_and(|n| n.eq_ignore_ascii_case("+sip.src")))
    };
    headers.lists("Require", OPTION) || headers.values("Contact").any(is_source)
}

/// A new id as RFC 7865 section 8 wants it: a random UUID (RFC 4122) in base64.
pub fn new_id(entropy: &mut Entropy) -> String {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&entropy.next_u64().to_be_bytes());
    bytes[8..].copy_from_slice(&entropy.next_u64().to_be_bytes());
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    BASE64.encode(bytes)
}

/// Whether a media type is that of metadata.
pub(crate) fn is_metadata(media_type: &str) -> bool {
    media_type.eq_ignore_ascii_case(METADATA) || media_type.eq_ignore_ascii_case(METADATA_SHORT)
}

/// Why metadata cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataFault {
    /// The peer broke XML, or RFC 7865. Answer 400.
    #[error("the recording metadata are malformed: {0}")]
    Malformed(String),
    /// The peer sent more than is looked at. Answer 413.
    #[error("the recording metadata have too many {0}")]
    TooMuch(&'static str),
}

impl MetadataFault {
    /// The status that a request with this fault is refused with.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::TooMuch(_) => 413,
        }
    }
}

/// What is known of a recorded session. The order is that of the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Only what has changed is told: the rest stays as it was (`datamode` partial).
    pub partial: bool,
    /// The id of the communication session.
    pub session: String,
    /// Who takes part.
    pub participants: Vec<Participant>,
    /// The streams.
    pub streams: Vec<Stream>,
}

/// Somebody who takes part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Participant {
    /// Its id, the same in all documents of a recording session.
    pub id: String,
    /// Its address of record: a URI. Empty where an update does not say it again.
    pub aor: String,
    /// Its name.
    pub name: Option<String>,
    /// The ids of the streams that it sends, where that is said.
    pub sends: Vec<String>,
    /// The ids of the streams that it is sent, where that is said.
    pub receives: Vec<String>,
    /// It has left the session.
    pub left: bool,
}

/// One stream of the recording session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stream {
    /// Its id, the same in all documents of a recording session.
    pub id: String,
    /// The label of its m-line (RFC 4574).
    pub label: String,
}

impl Metadata {
    /// Reads a document.
    ///
    /// # Errors
    /// It is no XML, not of RFC 7865, or more than is looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataFault> {
        read::parse(bytes)
    }

    /// Takes an update in: a partial one adds, changes and takes away, a complete one is all there is.
    ///
    /// # Errors
    /// There are more participants or streams with it than are kept: nothing is changed.
    pub fn update(&mut self, update: Self) -> Result<(), MetadataFault> {
        if !update.partial {
            *self = update;
            return Ok(());
        }
        let mut next = self.clone();
        for new in update.participants {
            match next.participants.iter_mut().find(|old| old.id == new.id) {
                Some(old) => {
                    let aor = if new.aor.is_empty() { core::mem::take(&mut old.aor) } else { new.aor };
                    let name = new.name.or_else(|| old.name.take());
                    let kept = |new: Vec<String>, old: &mut Vec<String>| {
                        if new.is_empty() { core::mem::take(old) } else { new }
                    };
                    let (sends, receives) = (kept(new.sends, &mut old.sends), kept(new.receives, &mut old.receives));
                    *old = Participant { id: new.id, aor, name, sends, receives, left: new.left };
                }
                None => next.participants.push(new),
            }
        }
        for new in update.streams {
            match next.streams.iter_mut().find(|old| old.id == new.id) {
                Some(old) => *old = new,
                None => next.streams.push(new),
            }
        }
        if next.participants.len() > METADATA_PARTICIPANTS_MAX {
            return Err(MetadataFault::TooMuch("participants"));
        }
        if next.streams.len() > METADATA_STREAMS_MAX {
            return Err(MetadataFault::TooMuch("streams"));
        }
        *self = next;
        Ok(())
    }

    /// The participants who send the stream of this label.
    pub fn senders_of<'m>(&'m self, label: &str) -> impl Iterator<Item = &'m Participant> {
        let id = self.streams.iter().find(|stream| stream.label == label).map(|stream| stream.id.as_str());
        self.participants
            .iter()
            .filter(move |participant| participant.sends.iter().any(|sent| Some(sent.as_str()) == id))
    }

    /// The document. `since` is when the participants came together, as RFC 3339 writes it.
    pub fn to_xml(&self, since: &str) -> String {
        let mut text = String::with_capacity(1_024);
        let session = Escaped(&self.session);
        let mut line = |arguments: core::fmt::Arguments<'_>| {
            // A string takes whatever is written.
            let _ = core::fmt::Write::write_fmt(&mut text, arguments);
            text.push_str("\r\n");
        };
        line(format_args!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"));
        line(format_args!("<recording xmlns=\"{NAMESPACE}\">"));
        line(format_args!("  <datamode>{}</datamode>", if self.partial { "partial" } else { "complete" }));
        line(format_args!("  <session session_id=\"{session}\"><start-time>{since}</start-time></session>"));
        for Participant { id, aor, name, .. } in &self.participants {
            let name = name.as_ref().map(|name| format!("<name>{}</name>", Escaped(name))).unwrap_or_default();
            let (id, aor) = (Escaped(id), Escaped(aor));
            line(format_args!(
                "  <participant participant_id=\"{id}\"><nameID aor=\"{aor}\">{name}</nameID></participant>"
            ));
        }
        for Stream { id, label } in &self.streams {
            let (id, label) = (Escaped(id), Escaped(label));
            line(format_args!("  <stream stream_id=\"{id}\" session_id=\"{session}\"><label>{label}</label></stream>"));
        }
        line(format_args!(
            "  <sessionrecordingassoc session_id=\"{session}\"><associate-time>{since}</associate-time></sessionrecordingassoc>"
        ));
        for participant in &self.participants {
            let id = Escaped(&participant.id);
            let left = if participant.left { "disassociate-time" } else { "associate-time" };
            line(format_args!(
                "  <participantsessionassoc participant_id=\"{id}\" session_id=\"{session}\"><{left}>{since}</{left}></participantsessionassoc>"
            ));
        }
        for participant in &self.participants {
            line(format_args!("  <participantstreamassoc participant_id=\"{}\">", Escaped(&participant.id)));
            for stream in &participant.sends {
                line(format_args!("    <send>{}</send>", Escaped(stream)));
            }
            for stream in &participant.receives {
                line(format_args!("    <recv>{}</recv>", Escaped(stream)));
            }
            line(format_args!("  </participantstreamassoc>"));
        }
        line(format_args!("</recording>"));
        text
    }
}

/// A description with metadata, as one body: RFC 7866 section 9.1.
pub fn body(sdp: &Body, metadata: &str, entropy: &mut Entropy) -> Body {
    // Neither part can have it: it is drawn after they were written.
    let boundary = format!("offhook-{:016x}", entropy.next_u64());
    let Body { content_type, bytes } = sdp;
    let mut out = Vec::with_capacity(bytes.len() + metadata.len() + 384);
    out.extend_from_slice(format!("--{boundary}\r\nContent-Type: {content_type}\r\n\r\n").as_bytes());
    out.extend_from_slice(bytes);
    let head = format!(
        "\r\n--{boundary}\r\nContent-Type: {METADATA}\r\nContent-Disposition: {DISPOSITION}\r\n\r\n{metadata}\r\n--{boundary}--\r\n"
    );
    out.extend_from_slice(head.as_bytes());
    Body { content_type: format!("multipart/mixed;boundary={boundary}"), bytes: out }
}

/// Text as it may stand in an element or an attribute. What XML cannot hold is left out.
struct Escaped<'a>(&'a str);

impl core::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        use core::fmt::Write as _;
        self.0.chars().try_for_each(|c| match c {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            '"' => f.write_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => Ok(()),
            c if c.is_control() => Ok(()),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Metadata {
        let participant = |id: &str, aor: &str, name: Option<&str>, sends: &str, receives: &str| Participant {
            id: id.into(),
            aor: aor.into(),
            name: name.map(str::to_owned),
            sends: vec![sends.into()],
            receives: vec![receives.into()],
            left: false,
        };
        Metadata {
            partial: false,
            session: "hVpd7YQgRW2nD22h7q60JQ==".into(),
            participants: vec![
                participant("p1", "sip:+4930@biloxi.example", None, "s1", "s2"),
                participant("p2", "sip:anna@x", Some("Anna \"<&>\" Ärger"), "s2", "s1"),
            ],
            streams: ["s1", "s2"]
                .iter()
                .zip(["1", "2"])
                .map(|(id, label)| Stream { id: (*id).into(), label: label.into() })
                .collect(),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let written = sample().to_xml("2026-11-28T16:00:00Z");
        assert_eq!(Metadata::parse(written.as_bytes()), Ok(sample()), "{written}");
        let senders: Vec<_> = sample().senders_of("2").map(|participant| participant.id.clone()).collect();
        assert_eq!(senders, ["p2"]);
    }

    /// As session border controllers of several makers write it: prefixes, comments, elements of others, ids of their own.
    const FOREIGN: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<!-- made by a border controller -->
<rec:recording xmlns:rec="urn:ietf:params:xml:ns:recording:1" xmlns:a="urn:other">
  <rec:datamode>complete</rec:datamode>
  <rec:group group_id="g1"><rec:associate-time>2010-12-16T23:41:07Z</rec:associate-time></rec:group>
  <rec:session session_id="hVpd7YQgRW2nD22h7q60JQ==">
    <rec:sipSessionID>ab30317f;remote=47755a9d</rec:sipSessionID><rec:group-ref>g1</rec:group-ref>
    <a:extension><a:name>not a participant's</a:name></a:extension>
  </rec:session>
  <rec:participant participant_id="p1">
    <rec:nameID aor="sip:bob&amp;co@biloxi.com"><rec:name xml:lang="it">B&#246;b &lt;1&gt;</rec:name></rec:nameID>
  </rec:participant>
  <rec:participant participant_id="p2"><rec:nameID aor="tel:+1415"/></rec:participant>
  <rec:stream stream_id="s1" session_id="x"><rec:label>96</rec:label></rec:stream>
  <rec:participantsessionassoc participant_id="p2"><rec:disassociate-time>2010-12-16T23:41:07Z</rec:disassociate-time></rec:participantsessionassoc>
  <rec:participantstreamassoc participant_id="p1"><rec:send>s1</rec:send><rec:recv> s2 </rec:recv></rec:participantstreamassoc>
</rec:recording>"#;

    #[test]
    fn what_others_write_is_read() {
        let metadata = Metadata::parse(FOREIGN.as_bytes()).expect("RFC 7865");
        assert_eq!(metadata.session, "hVpd7YQgRW2nD22h7q60JQ==");
        assert_eq!(metadata.streams, [Stream { id: "s1".into(), label: "96".into() }]);
        let [bob, left] = &metadata.participants[..] else { panic!("{metadata:?}") };
        assert_eq!((bob.aor.as_str(), bob.name.as_deref()), ("sip:bob&co@biloxi.com", Some("Böb <1>")));
        assert_eq!((bob.sends.join(","), bob.receives.join(","), bob.left), ("s1".into(), "s2".into(), false));
        assert_eq!((left.aor.as_str(), left.left, left.name.as_deref()), ("tel:+1415", true, None));
    }

    #[test]
    fn what_is_broken_or_too_much_is_refused_with_its_status() {
        let wrapped = |inner: &str| format!("<recording xmlns=\"{NAMESPACE}\">{inner}</recording>");
        for broken in [
            String::new(),
            "hello".into(),
            "<recording".into(),
            "<recording></wrong>".into(),
            "<other/>".into(),
            wrapped("<participant/>"),
            wrapped("<participant participant_id='p'><nameID aor='&other;'/></participant>"),
            format!("<!DOCTYPE r [<!ENTITY a 'b'>]>{}", wrapped("")),
            wrapped("<stream stream_id='s'><label>1"),
        ] {
            assert_eq!(Metadata::parse(broken.as_bytes()).map_err(|fault| fault.status()), Err(400), "{broken}");
        }
        assert_eq!(Metadata::parse(&[0xff, 0xfe, 0]).map_err(|fault| fault.status()), Err(400));
        let people = (0..=METADATA_PARTICIPANTS_MAX)
            .map(|n| format!("<participant participant_id='{n}'/>"))
            .collect::<Vec<_>>()
            .concat();
        let streams =
            (0..=METADATA_STREAMS_MAX).map(|n| format!("<stream stream_id='{n}'/>")).collect::<Vec<_>>().concat();
        let long = format!("<participant participant_id='{}'/>", "x".repeat(METADATA_TEXT_BYTES_MAX + 1));
        let deep = format!("{}{}", "<a>".repeat(METADATA_DEPTH_MAX), "</a>".repeat(METADATA_DEPTH_MAX));
        let large = " ".repeat(METADATA_BYTES_MAX);
        for much in [people, streams, long, deep, large] {
            assert_eq!(Metadata::parse(wrapped(&much).as_bytes()).map_err(|fault| fault.status()), Err(413), "{much}");
        }
    }

    #[test]
    fn a_partial_update_changes_what_it_names_and_a_complete_one_is_all_there_is() {
        let mut known = sample();
        let text = format!(
            "<recording xmlns='{NAMESPACE}'><dataMode>partial</dataMode>\
             <participant participant_id='p3'><nameID aor='sip:carl@x'/></participant>\
             <participantsessionassoc participant_id='p2'><disassociate-time>x</disassociate-time></participantsessionassoc>\
             <participantstreamassoc participant_id='p3'><send>s2</send></participantstreamassoc></recording>"
        );
        known.update(Metadata::parse(text.as_bytes()).expect("an update")).expect("room");
        let seen: Vec<_> = known.participants.iter().map(|p| (p.aor.as_str(), p.left, p.sends.len())).collect();
        assert_eq!(seen, [("sip:+4930@biloxi.example", false, 1), ("sip:anna@x", true, 1), ("sip:carl@x", false, 1)]);
        known.update(sample()).expect("room");
        assert_eq!(known, sample());
        let more =
            (0..=METADATA_PARTICIPANTS_MAX).map(|n| Participant { id: format!("q{n}"), ..Participant::default() });
        let much = Metadata { partial: true, participants: more.collect(), ..Metadata::default() };
        assert_eq!(known.update(much), Err(MetadataFault::TooMuch("participants")));
        assert_eq!(known, sample());
    }

    #[test]
    fn an_id_is_a_random_uuid_in_base64() {
        let mut entropy = Entropy::from_seed([7; 32]);
        let (one, two) = (new_id(&mut entropy), new_id(&mut entropy));
        assert_ne!(one, two);
        let bytes = BASE64.decode(one).expect("base64");
        assert_eq!((bytes.len(), bytes[6] >> 4, bytes[8] >> 6), (16, 4, 2));
    }

    #[test]
    fn an_invite_asks_by_the_option_tag_or_by_the_contacts_feature() {
        let asks = |name: &str, value: &str| {
            let mut headers = Headers::new();
            headers.push(name, value);
            asks_to_record(&headers)
        };
        assert!(asks("Require", "100rel, SIPREC"));
        assert!(asks("Contact", "<sip:sbc@10.0.0.1;transport=tcp>;+sip.src"));
        assert!(asks("Contact", "<sip:sbc@10.0.0.1>;x=1;+sip.src=\"TRUE\""));
        assert!(!asks("Contact", "<sip:sbc@10.0.0.1;+sip.src>;+sip.srs"));
        assert!(!asks("Supported", "siprec"));
    }
}
