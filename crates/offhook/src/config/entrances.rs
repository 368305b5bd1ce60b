//! `[[entrance]]`: pages from which visitors call without an account.

use std::collections::BTreeMap;

use offhook_call::config::Entrance;
use offhook_server::EntrancePage;

use super::Reader;
use super::exchange::Sip;
use super::read::{At, Section, nearest};

/// Visitors of one entrance in calls at once, where nothing is said.
const CALLS_DEFAULT: u32 = 50;
/// The most that can be said.
const CALLS_MAX: u64 = 10_000;
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 80;

impl Reader {
    /// `[[entrance]]`: what the exchange knows of it, and what the page does.
    pub fn entrances<T>(
        &mut self,
        root: &mut Section<'_>,
        sip: &Sip,
        numbers: &BTreeMap<String, T>,
    ) -> Vec<(Entrance, EntrancePage)> {
        let has_http = root.has("http");
        let mut entrances: Vec<(Entrance, EntrancePage)> = Vec::new();
        for mut section in root.tables(&mut self.sink, "entrance") {
            let name = section.need_text(&mut self.sink, "name", "\"shop\"");
            let title = section.text(&mut self.sink, "title", "\"Call our shop\"");
            let number = section.text_or_number(&mut self.sink, "number", "\"700\"");
            let origins = section.texts(&mut self.sink, "origins", "[\"https://www.example.com\"]");
            let calls = section.number(&mut self.sink, "calls", 1..=CALLS_MAX);
            let span = section.span.clone();
            section.finish(&mut self.sink);
            if !sip.listen.iter().any(|listen| ["ws", "wss"].contains(&listen.value.transport.param())) {
                let advice = "add \"ws:127.0.0.1:5066\", or \"wss:ADDRESS:PORT\" with [tls], to listen in [sip]";
                self.sink.missing(span.clone(), "visitors call over WebSocket, and nothing listens for it", advice);
            }
            if !has_http {
                self.sink.missing(span.clone(), "an entrance is a page, and there is no [http]", "add [http]");
            }
            let (Some(name), Some(number)) = (name, number) else { continue };
            if !name.value.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
                let message = format!("\"{}\" cannot be part of an address", name.value);
                self.sink.fault(name.span.clone(), message, "write letters, digits, '-' and '_'");
            }
            if entrances.iter().any(|(other, _)| other.name == name.value) {
                let message = format!("there are two entrances '{}'", name.value);
                self.sink.fault(name.span.clone(), message, "give each entrance a name of its own");
            }
            if !numbers.contains_key(&number.value) {
                let advice = match nearest(&number.value, numbers.keys().map(String::as_str)) {
                    Some(known) => format!("did you mean \"{known}\"?"),
                    None => "write the number of a [[number]]".to_owned(),
                };
                self.sink.fault(number.span.clone(), format!("there is no number '{}'", number.value), advice);
            }
            if let Some(title) = &title
                && title.value.chars().count() > TITLE_CHARS_MAX
            {
                let advice = format!("write at most {TITLE_CHARS_MAX} characters");
                self.sink.fault(title.span.clone(), "the title is too long", advice);
            }
            let origins = origins.map(|origins| origins.value).unwrap_or_default();
            let origins = origins.into_iter().filter_map(|origin| self.origin(origin)).collect();
            let title = title.map_or_else(|| "Call us".to_owned(), |title| title.value);
            let page = EntrancePage { name: name.value.clone(), title, origins };
            let calls_max = calls.map_or(CALLS_DEFAULT, |calls| calls.value as u32);
            entrances.push((Entrance { name: name.value, number: number.value, calls_max }, page));
        }
        entrances
    }

    /// A scheme and a host, and a port where there is one: no path, no blank, nothing that could end the header it goes into.
    fn origin(&mut self, origin: At<String>) -> Option<String> {
        let host = origin.value.strip_prefix("https://").or_else(|| origin.value.strip_prefix("http://"));
        let plain =
            |host: &str| !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
        if host.is_some_and(plain) {
            return Some(origin.value);
        }
        let message = format!("\"{}\" is not the address of a site", origin.value);
        self.sink.fault(origin.span, message, "write scheme and host, such as \"https://www.example.com\"");
        None
    }
}
