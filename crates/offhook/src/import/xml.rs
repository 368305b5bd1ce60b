//! As much of XML as a configuration needs: elements, attributes, comments, and the line where each begins.

use anyhow::{Result, bail};

/// An element's beginning, its end, or both in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub line: usize,
    pub name: String,
    pub attributes: Vec<(String, String)>,
    /// It begins an element.
    pub opens: bool,
    /// It ends one.
    pub closes: bool,
}

impl Tag {
    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// All tags in order. Text between them is passed over.
pub fn tags(source: &str) -> Result<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut rest = source;
    while let Some(begin) = rest.find('<') {
        let line = source[..source.len() - rest.len() + begin].matches('\n').count() + 1;
        rest = &rest[begin + 1..];
        let (end, skip) = if rest.starts_with("!--") {
            ("-->", true)
        } else if rest.starts_with('?') {
            ("?>", true)
        } else {
            (">", rest.starts_with('!'))
        };
        let Some(length) = end_of(rest, end, skip) else { bail!("line {line}: '<' without its end") };
        if !skip {
            tags.push(tag(&rest[..length], line)?);
        }
        rest = &rest[length + end.len()..];
    }
    Ok(tags)
}

/// Where `end` stands; within a tag not inside of quotes.
fn end_of(text: &str, end: &str, raw: bool) -> Option<usize> {
    if raw {
        return text.find(end);
    }
    let mut quote = None;
    text.char_indices().find_map(|(at, c)| match quote {
        Some(open) if c == open => {
            quote = None;
            None
        }
        Some(_) => None,
        None if c == '"' || c == '\'' => {
            quote = Some(c);
            None
        }
        None => (c == '>').then_some(at),
    })
}

fn tag(text: &str, line: usize) -> Result<Tag> {
    let closing = text.strip_prefix('/');
    let alone = text.strip_suffix('/');
    let inner = closing.or(alone).unwrap_or(text).trim();
    let length = inner.find(char::is_whitespace).unwrap_or(inner.len());
    let (name, mut rest) = (inner[..length].to_owned(), inner[length..].trim_start());
    let mut attributes = Vec::new();
    while !rest.is_empty() {
        let Some((key, value)) = rest.split_once('=') else {
            bail!("line {line}: <{name}> has an attribute without '='")
        };
        let value = value.trim_start();
        let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            bail!("line {line}: the value of {} is not in quotes", key.trim());
        };
        let Some((text, after)) = value[1..].split_once(quote) else {
            bail!("line {line}: the value of {} has no end", key.trim());
        };
        attributes.push((key.trim().to_owned(), plain(text)));
        rest = after.trim_start();
    }
    Ok(Tag { line, name, attributes, opens: closing.is_none(), closes: closing.is_some() || alone.is_some() })
}

fn plain(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, c)| text.replace(entity, c))
}
