//! Messages that wait for us (RFC 3842): asked for at our server once we are registered, and taken where it tells of them unasked.

use offhook_sip::{Body, Event, NameAddr, Request, RequestId, Response, Watch, WatchId};
use offhook_units::{Span, Tick};

use super::Control;
use crate::event::PhoneEvent;

/// The event package, and the type of its documents.
const PACKAGE: &str = "message-summary";
const SUMMARY: &str = "application/simple-message-summary";
/// How long is asked for.
const WATCHED_FOR: Span = Span::from_s(3_600);

/// Our mailbox.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pub watch: Option<WatchId>,
    /// The server tells nothing where it is asked.
    refused: bool,
    last: Option<Summary>,
}

/// What waits, as the server last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Summary {
    waiting: bool,
    new: Option<u32>,
    old: Option<u32>,
}

impl Summary {
    /// RFC 3842 section 5.2: `Messages-Waiting: yes`, and of spoken ones `Voice-Message: NEW/OLD (URGENT/URGENT)`.
    fn parse(body: &Body) -> Option<Self> {
        let kind = body.content_type.split(';').next().unwrap_or_default().trim();
        let text = core::str::from_utf8(&body.bytes).ok().filter(|_| kind.eq_ignore_ascii_case(SUMMARY))?;
        let value = |name: &str| {
            let pairs = text.lines().filter_map(|line| line.split_once(':'));
            let mut found =
                pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
            found.next()
        };
        let waiting = value("Messages-Waiting")?.eq_ignore_ascii_case("yes");
        let counts = value("Voice-Message").and_then(|value| value.split(['(', ' ']).next()?.split_once('/'));
        let count = |text: &str| text.trim().parse().ok();
        let (new, old) = counts.map_or((None, None), |(new, old)| (count(new), count(old)));
        Some(Self { waiting, new, old })
    }
}

impl Control {
    /// Asks our server, once.
    pub(super) fn watch_mailbox(&mut self, now: Tick) {
        if self.mailbox.watch.is_some() || self.mailbox.refused || !self.config.mailbox || self.off_by.is_some() {
            return;
        }
        let (Some(account), Some(server)) = (self.config.account.clone(), self.server()) else { return };
        let flow = self.flow_to(server, self.local);
        let watch = Watch {
            flow,
            uri: account.aor.clone(),
            from: NameAddr::new(account.aor),
            contact: self.contact(flow),
            event: PACKAGE.into(),
            accept: SUMMARY.into(),
            expires: WATCHED_FOR,
            credentials: account.credentials,
        };
        self.mailbox.watch = Some(self.endpoint.watch(now, watch));
    }

    pub(super) fn leave_mailbox(&mut self, now: Tick) {
        if let Some(watch) = self.mailbox.watch.take() {
            self.endpoint.unwatch(now, watch);
        }
    }

    /// What our subscription tells.
    pub(super) fn mailbox_told(&mut self, event: Event) {
        match event {
            Event::Seen { watch, body } if Some(watch) == self.mailbox.watch => self.summarise(&body),
            Event::WatchRefused { watch, status } if Some(watch) == self.mailbox.watch => {
                tracing::debug!(status, "the server tells nothing of messages that wait");
                self.mailbox.watch = None;
                self.mailbox.refused = true;
            }
            _ => {}
        }
    }

    /// A request outside of every dialog: OPTIONS, or a NOTIFY that nobody asked for, as old servers send them.
    pub(super) fn asked(&mut self, now: Tick, id: RequestId, ours: bool, request: &Request, allow: &str) {
        if request.method != offhook_sip::Method::Notify {
            let mut response = Response::to_request(request, 200);
            response.headers.push("Allow", allow);
            return self.endpoint.respond(now, id, response);
        }
        let event = request.headers.get("Event").unwrap_or_default();
        let is_summary = event.split(';').next().is_some_and(|package| package.trim().eq_ignore_ascii_case(PACKAGE));
        let status = match (ours, is_summary) {
            (false, _) => 403,
            (true, false) => 489,
            (true, true) => 200,
        };
        self.endpoint.respond(now, id, Response::to_request(request, status));
        if status == 200 && !request.body.is_empty() {
            let content_type = request.headers.content_type().unwrap_or_default().to_owned();
            self.summarise(&Body { content_type, bytes: request.body.clone() });
        }
    }

    fn summarise(&mut self, body: &Body) {
        let Some(summary) = Summary::parse(body) else { return };
        // Nothing where nothing was is no news.
        if self.mailbox.last == Some(summary) || (self.mailbox.last.is_none() && !summary.waiting) {
            return;
        }
        self.mailbox.last = Some(summary);
        let Summary { waiting, new, old } = summary;
        self.say(PhoneEvent::Mailbox { waiting, new, old });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_with_and_without_counts_and_anything_else_is_none() {
        let body = |kind: &str, text: &str| Body { content_type: kind.into(), bytes: text.as_bytes().to_vec() };
        for (kind, text, expected) in [
            (
                SUMMARY,
                "Messages-Waiting: yes\r\nMessage-Account: sip:a@b\r\nVoice-Message: 2/8 (0/2)\r\n",
                Some((true, Some(2), Some(8))),
            ),
            (SUMMARY, "messages-waiting: no\r\nvoice-message: 0/0\r\n", Some((false, Some(0), Some(0)))),
            ("application/simple-message-summary;charset=utf-8", "Messages-Waiting:YES\n", Some((true, None, None))),
            (SUMMARY, "Messages-Waiting: yes\r\nVoice-Message: many\r\n", Some((true, None, None))),
            (SUMMARY, "Voice-Message: 2/8\r\n", None),
            ("text/plain", "Messages-Waiting: yes\r\n", None),
        ] {
            let read = Summary::parse(&body(kind, text)).map(|summary| (summary.waiting, summary.new, summary.old));
            assert_eq!(read, expected, "{kind} {text}");
        }
    }
}
