//! Metadata read, element by element. Elements are known by their local names: whatever prefix the namespace has.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::{
    METADATA_BYTES_MAX, METADATA_DEPTH_MAX, METADATA_PARTICIPANTS_MAX, METADATA_STREAMS_MAX, METADATA_TEXT_BYTES_MAX,
    Metadata, MetadataFault, Participant, Stream,
};

/// What the text within an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Mode,
    Name,
    Label,
    Sends,
    Receives,
}

/// How far it was read.
#[derive(Default)]
struct Walk {
    found: Metadata,
    /// The open elements, by their local names.
    open: Vec<String>,
    /// The place of the participant that is being told of.
    participant: Option<usize>,
    text: String,
    is_over: bool,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Metadata, MetadataFault> {
    if bytes.len() > METADATA_BYTES_MAX {
        return Err(MetadataFault::TooMuch("bytes"));
    }
    let text = core::str::from_utf8(bytes).map_err(|_| malformed("they are not UTF-8"))?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut walk = Walk::default();
    loop {
        match reader.read_event().map_err(|error| malformed(&error))? {
            Event::Start(element) => walk.begin(&element)?,
            Event::Empty(element) => {
                walk.begin(&element)?;
                walk.end()?;
            }
            Event::End(_) => walk.end()?,
            Event::Text(text) => walk.add(&text.xml10_content().map_err(|error| malformed(&error))?)?,
            Event::CData(text) => walk.add(&text.xml10_content().map_err(|error| malformed(&error))?)?,
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|error| malformed(&error))?;
                let name = reference.decode().map_err(|error| malformed(&error))?;
                let known = character.map(String::from).or_else(|| predefined(&name).map(str::to_owned));
                walk.add(&known.ok_or_else(|| malformed("an entity that XML does not define"))?)?;
            }
            // Nobody's metadata need one, and entities could be defined in it.
            Event::DocType(_) => return Err(malformed("a document type declaration")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    if !walk.open.is_empty() || !walk.is_over {
        return Err(malformed("they end too early"));
    }
    Ok(walk.found)
}

fn malformed(why: &(impl ToString + ?Sized)) -> MetadataFault {
    MetadataFault::Malformed(why.to_string())
}

fn predefined(name: &str) -> Option<&'static str> {
    let all = [("lt", "<"), ("gt", ">"), ("amp", "&"), ("quot", "\""), ("apos", "'")];
    all.into_iter().find(|(known, _)| *known == name).map(|(_, text)| text)
}

/// The attribute of this local name.
fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, MetadataFault> {
    for attribute in element.attributes() {
        let attribute = attribute.map_err(|error| malformed(&error))?;
        if attribute.key.local_name().as_ref() == name.as_bytes() {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| malformed(&error))?;
            return short(value.trim()).map(Some);
        }
    }
    Ok(None)
}

fn short(text: &str) -> Result<String, MetadataFault> {
    if text.len() > METADATA_TEXT_BYTES_MAX {
        Err(MetadataFault::TooMuch("bytes in one text"))
    } else {
        Ok(text.to_owned())
    }
}

impl Walk {
    fn begin(&mut self, element: &BytesStart<'_>) -> Result<(), MetadataFault> {
        if self.open.len() >= METADATA_DEPTH_MAX {
            return Err(MetadataFault::TooMuch("elements within each other"));
        }
        let name = String::from_utf8_lossy(element.local_name().as_ref()).into_owned();
        let depth = self.open.len();
        self.text.clear();
        match (depth, name.as_str()) {
            (0, "recording") if !self.is_over => {}
            (0, _) => return Err(malformed("the root is no <recording>")),
            (1, "session") => self.found.session = attribute(element, "session_id")?.unwrap_or_default(),
            (1, "stream") => {
                let id = Self::id_of(element, "stream_id")?;
                if self.found.streams.len() >= METADATA_STREAMS_MAX {
                    return Err(MetadataFault::TooMuch("streams"));
                }
                self.found.streams.push(Stream { id, label: String::new() });
            }
            (1, "participant" | "participantsessionassoc" | "participantstreamassoc") => {
                let id = Self::id_of(element, "participant_id")?;
                self.participant = Some(self.place_of(id)?);
            }
            (2, "nameID") if self.is_in("participant") => {
                let aor = attribute(element, "aor")?.unwrap_or_default();
                if let Some(participant) = self.participant() {
                    participant.aor = aor;
                }
            }
            (2, "disassociate-time") if self.is_in("participantsessionassoc") => {
                if let Some(participant) = self.participant() {
                    participant.left = true;
                }
            }
            _ => {}
        }
        self.open.push(name);
        Ok(())
    }

    fn end(&mut self) -> Result<(), MetadataFault> {
        let text = self.means().map(|means| Ok((means, short(self.text.trim())?))).transpose()?;
        match text {
            Some((Text::Mode, text)) => self.found.partial = text.eq_ignore_ascii_case("partial"),
            Some((Text::Label, text)) => {
                if let Some(stream) = self.found.streams.last_mut() {
                    stream.label = text;
                }
            }
            Some((Text::Name, text)) => {
                if let Some(participant) = self.participant() {
                    participant.name = Some(text).filter(|name| !name.is_empty());
                }
            }
            Some((means @ (Text::Sends | Text::Receives), text)) => {
                if let Some(participant) = self.participant() {
                    let list = if means == Text::Sends { &mut participant.sends } else { &mut participant.receives };
                    if list.len() >= METADATA_STREAMS_MAX {
                        return Err(MetadataFault::TooMuch("streams"));
                    }
                    list.push(text);
                }
            }
            None => {}
        }
        self.text.clear();
        self.open.pop();
        if self.open.len() == 1 {
            self.participant = None;
        }
        self.is_over |= self.open.is_empty();
        Ok(())
    }

    /// What the text of the innermost open element is.
    fn means(&self) -> Option<Text> {
        let path: Vec<&str> = self.open.iter().skip(1).map(String::as_str).collect();
        match path[..] {
            ["datamode" | "dataMode"] => Some(Text::Mode),
            ["participant", "nameID", "name"] => Some(Text::Name),
            ["stream", "label"] => Some(Text::Label),
            ["participantstreamassoc", "send"] => Some(Text::Sends),
            ["participantstreamassoc", "recv"] => Some(Text::Receives),
            _ => None,
        }
    }

    fn add(&mut self, text: &str) -> Result<(), MetadataFault> {
        if self.open.is_empty() {
            return if text.trim().is_empty() { Ok(()) } else { Err(malformed("text outside of the root")) };
        }
        // What is not looked at need not be kept.
        if self.means().is_some() {
            if self.text.len() + text.len() > METADATA_BYTES_MAX {
                return Err(MetadataFault::TooMuch("bytes in one text"));
            }
            self.text.push_str(text);
        }
        Ok(())
    }

    fn is_in(&self, name: &str) -> bool {
        self.open.get(1).is_some_and(|open| open == name)
    }

    fn participant(&mut self) -> Option<&mut Participant> {
        self.found.participants.get_mut(self.participant?)
    }

    fn id_of(element: &BytesStart<'_>, name: &str) -> Result<String, MetadataFault> {
        let id = attribute(element, name)?.filter(|id| !id.is_empty());
        id.ok_or_else(|| malformed(&format!("an element without its {name}")))
    }

    /// The place of the participant with this id, who may be told of in several elements.
    fn place_of(&mut self, id: String) -> Result<usize, MetadataFault> {
        if let Some(place) = self.found.participants.iter().position(|known| known.id == id) {
            return Ok(place);
        }
        if self.found.participants.len() >= METADATA_PARTICIPANTS_MAX {
            return Err(MetadataFault::TooMuch("participants"));
        }
        self.found.participants.push(Participant { id, ..Participant::default() });
        Ok(self.found.participants.len() - 1)
    }
}
