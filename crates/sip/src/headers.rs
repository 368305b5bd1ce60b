//! The headers of a message: ordered, kept as they arrived, read on demand.
//!
//! One buffer holds all text and each header is a set of ranges in it, so that a message of twenty headers costs two
//! allocations. What is read and not changed is printed byte for byte, bytes that are no UTF-8 included; only folds are undone,
//! which RFC 3261 section 7.3.1 calls equivalent.

mod name;
mod name_addr;
mod params;
pub(crate) mod text;
mod typed;
mod via;

use core::fmt;
use core::ops::Range;

pub(crate) use name::Name;
pub use name_addr::NameAddr;
pub(crate) use name_addr::NameAddrRef;
pub use params::Params;
pub(crate) use params::param_in;
pub use via::Via;
pub(crate) use via::ViaRef;

use text::{ascii_eq, is_token_text, trim, value_end};

/// Room that is made for the headers of a message at once.
const TYPICAL_BYTES: usize = 640;
/// The same for its lines.
const TYPICAL_LINES: usize = 16;

/// What is wrong with a value. The peer broke the grammar: refuse the message or ignore the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub &'static str);

/// A piece of the text buffer. Messages are at most 64 KiB, and what a program adds stays far below 4 GiB.
#[derive(Debug, Clone, Copy)]
struct Piece {
    start: u32,
    end: u32,
}

impl Piece {
    const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl From<Range<usize>> for Piece {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start as u32, end: range.end as u32 }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    name: Name,
    label: Piece,
    value: Piece,
    /// From the name to the end of the value.
    line: Piece,
    /// The line's bytes where they are no UTF-8; the text has a question mark for each such byte.
    raw: Option<Box<[u8]>>,
}

/// The headers of one message, in order.
///
/// Names are compared in any letter case, and a compact form is the same name. Values have no whitespace at their ends.
#[derive(Clone, Default)]
pub struct Headers {
    text: String,
    entries: Vec<Entry>,
}

impl Headers {
    /// None.
    pub const fn new() -> Self {
        Self { text: String::new(), entries: Vec::new() }
    }

    /// How many header lines there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of the first line of this name. Bytes that are no UTF-8 read as question marks.
    pub fn get(&self, name: &str) -> Option<&str> {
        let known = Name::of(name);
        self.entries.iter().find(|entry| self.is_named(entry, known, name)).map(|entry| self.value(entry))
    }

    /// The values of all lines of this name, each as it stands in its line.
    pub fn get_all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let known = Name::of(name);
        self.entries.iter().filter(move |entry| self.is_named(entry, known, name)).map(|entry| self.value(entry))
    }

    /// All values of this name: lines in order, and where the header is a list, the values apart by commas in each
    /// (RFC 3261 section 7.3.1). Unknown headers are never split.
    pub fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let is_list = Name::of(name).is_list();
        self.get_all(name).flat_map(move |line| split_values(line, is_list))
    }

    /// Whether one of the values is this token, in any letter case: `lists("Supported", "100rel")`.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.values(name).any(|value| ascii_eq(value.split(';').next().map_or("", trim), token))
    }

    /// All lines in order: name as it was written, and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (&self.text[entry.label.range()], self.value(entry)))
    }

    /// The long form of a compact name; any other name as it is.
    pub(crate) fn full_name(name: &str) -> &str {
        if name.len() == 1 { Name::of(name).as_str().unwrap_or(name) } else { name }
    }

    /// Adds a line at the end. Line breaks in the value become spaces, and a name that is no token is not added: nothing that
    /// is put in here can break out of its line.
    pub fn push(&mut self, name: &str, value: &str) {
        let at = self.entries.len();
        self.insert(at, name, value);
    }

    /// Adds a line before all others.
    pub fn push_front(&mut self, name: &str, value: &str) {
        self.insert(0, name, value);
    }

    /// Replaces the first line of this name in its place and takes the others away; adds one at the end if there is none.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.position(Name::of(name), name) {
            Some(at) => {
                self.remove(name);
                self.insert(at, name, value);
            }
            None => self.push(name, value),
        }
    }

    /// Takes all lines of this name away and tells how many they were.
    pub fn remove(&mut self, name: &str) -> usize {
        let known = Name::of(name);
        let before = self.entries.len();
        let text = &self.text;
        self.entries.retain(|entry| !is_named(text, entry, known, name));
        before - self.entries.len()
    }

    /// Adds all lines of this name of another message, byte for byte.
    pub fn copy_from(&mut self, other: &Self, name: &str) {
        let known = Name::of(name);
        for entry in other.entries.iter().filter(|entry| other.is_named(entry, known, name)) {
            let shift = self.text.len() as u32;
            self.text.push_str(&other.text[entry.line.range()]);
            let base = entry.line.start;
            let moved = |piece: Piece| Piece { start: piece.start - base + shift, end: piece.end - base + shift };
            self.entries.push(Entry {
                name: entry.name,
                label: moved(entry.label),
                value: moved(entry.value),
                line: moved(entry.line),
                raw: entry.raw.clone(),
            });
        }
    }

    /// Puts a line at a place, for replacing one value.
    fn insert(&mut self, at: usize, name: &str, value: &str) {
        if !is_token_text(name) {
            return;
        }
        if self.entries.capacity() == 0 {
            // A message of ours begins: most need no more than this.
            self.text.reserve(TYPICAL_BYTES);
            self.entries.reserve(TYPICAL_LINES);
        }
        let start = self.text.len();
        let value = trim(value);
        if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n')) {
            self.append(name, &value.replace(['\r', '\n'], " "));
        } else {
            self.append(name, value);
        }
        let (value_start, end) = (start + name.len() + 2, self.text.len());
        let entry = Entry {
            name: Name::of(name),
            label: (start..start + name.len()).into(),
            value: (value_start..end).into(),
            line: (start..end).into(),
            raw: None,
        };
        self.entries.insert(at, entry);
    }

    fn position(&self, known: Name, name: &str) -> Option<usize> {
        self.entries.iter().position(|entry| self.is_named(entry, known, name))
    }

    /// The first value of a known header.
    pub(crate) fn first(&self, name: Name) -> Option<&str> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| self.value(entry))
    }

    /// How many lines of a known header there are.
    pub(crate) fn count(&self, name: Name) -> usize {
        self.entries.iter().filter(|entry| entry.name == name).count()
    }

    /// All values of a known header, lists split.
    pub(crate) fn all(&self, name: Name) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(move |entry| entry.name == name)
            .flat_map(move |entry| split_values(self.value(entry), name.is_list()))
    }

    fn value(&self, entry: &Entry) -> &str {
        &self.text[entry.value.range()]
    }

    fn is_named(&self, entry: &Entry, known: Name, name: &str) -> bool {
        is_named(&self.text, entry, known, name)
    }

    /// Prints all lines but Content-Length, which says what `body_len` says: as it stood where it agrees.
    pub(crate) fn write(&self, out: &mut Vec<u8>, body_len: usize) {
        let mut length_written = false;
        for entry in &self.entries {
            if entry.name == Name::ContentLength {
                if length_written {
                    continue;
                }
                length_written = true;
                if text::number(self.value(entry), u64::MAX) != Some(body_len as u64) {
                    write_content_length(out, body_len);
                    continue;
                }
            }
            match &entry.raw {
                Some(bytes) => out.extend_from_slice(bytes),
                None => out.extend_from_slice(&self.text.as_bytes()[entry.line.range()]),
            }
            out.extend_from_slice(b"\r\n");
        }
        if !length_written {
            write_content_length(out, body_len);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Room for the headers of a message whose head is `text`.
    pub(crate) fn over(text: String) -> Self {
        Self { text, entries: Vec::with_capacity(TYPICAL_LINES) }
    }

    /// Notes a line that stands in the text already: where its name, value and whole are. Tells which header it is.
    pub(crate) fn note(
        &mut self,
        label: Range<usize>,
        value: Range<usize>,
        line: Range<usize>,
        raw: Option<Box<[u8]>>,
    ) -> Name {
        let name = Name::of(&self.text[label.clone()]);
        self.entries.push(Entry { name, label: label.into(), value: value.into(), line: line.into(), raw });
        name
    }

    /// Adds `label: value` to the text alone; the line is noted afterwards.
    pub(crate) fn append(&mut self, label: &str, value: &str) {
        self.text.push_str(label);
        self.text.push_str(": ");
        self.text.push_str(value);
    }

    /// The head's text that this reads from.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Headers {
    /// The same lines in the same order, names in any letter case.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().zip(other.iter()).all(|((name, value), (other_name, other_value))| {
                (ascii_eq(name, other_name)
                    || (Name::of(name) == Name::of(other_name) && Name::of(name) != Name::Unknown))
                    && value == other_value
            })
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    /// Names alone: values hold personal data and credentials, and a message may be printed into a log by mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

fn is_named(text: &str, entry: &Entry, known: Name, name: &str) -> bool {
    entry.name == known && (known != Name::Unknown || ascii_eq(&text[entry.label.range()], name))
}

fn write_content_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(b"Content-Length: ");
    push_number(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Decimal digits without the formatting machinery.
pub(crate) fn push_number(out: &mut Vec<u8>, number: usize) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The values of one line; empty ones are skipped (`Supported:` alone lists nothing).
fn split_values(line: &str, is_list: bool) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    core::iter::from_fn(move || {
        loop {
            let text = rest?;
            let end = if is_list { value_end(text) } else { text.len() };
            rest = text.get(end + 1..);
            let value = trim(&text[..end]);
            if !value.is_empty() {
                return Some(value);
            }
        }
    })
}
