//! `[[webhook]]`: who is told what happened.

use offhook_server::{WEBHOOKS_MAX, Webhook, WebhookEvent, WebhookSecret, WebhookTarget};

use super::Reader;
use super::read::{At, Section, list, nearest};

impl Reader {
    /// `[[webhook]]`.
    pub fn webhooks(&mut self, root: &mut Section<'_>) -> Vec<Webhook> {
        let has_http = root.has("http");
        let mut webhooks: Vec<Webhook> = Vec::new();
        for (at, mut section) in root.tables(&mut self.sink, "webhook").into_iter().enumerate() {
            let name = section.need_text(&mut self.sink, "name", "\"crm\"");
            let url = section.need_text(&mut self.sink, "url", "\"https://crm.example.com/offhook\"");
            let events = self.webhook_events(&mut section);
            let authorities = section.text(&mut self.sink, "authorities", "\"authorities.pem\"");
            let secret = self.webhook_secret(&mut section);
            let span = section.span.clone();
            section.finish(&mut self.sink);
            if at == WEBHOOKS_MAX {
                let message = format!("there are more than {WEBHOOKS_MAX} webhooks");
                self.sink.fault(span.clone(), message, "let one receiver tell the others");
            }
            if !has_http {
                self.sink.missing(span, "webhooks are told by the HTTP server, and there is no [http]", "add [http]");
            }
            let authorities = authorities.map(|file| self.path(&file.value));
            let target = url.and_then(|url| match WebhookTarget::new(&url.value, authorities.as_deref()) {
                Ok(target) => {
                    if target.is_in_clear() {
                        let advice = "write an address that begins with https://";
                        self.sink.warn(url.span, "who called whom crosses the network in clear", advice);
                    }
                    Some(target)
                }
                Err(error) => {
                    let advice = "write an address such as \"https://crm.example.com/offhook\"";
                    self.sink.fault(url.span, format!("url: {error}"), advice);
                    None
                }
            });
            let name = name.and_then(|name| self.webhook_name(name, &webhooks));
            let (Some(name), Some(target), Some(secret)) = (name, target, secret) else { continue };
            webhooks.push(Webhook { name, target, events, secret });
        }
        webhooks
    }

    /// Part of a file's name.
    fn webhook_name(&mut self, name: At<String>, others: &[Webhook]) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.value.is_empty() || name.value.len() > 64 || !name.value.chars().all(plain) {
            let message = format!("\"{}\" cannot be part of a file's name", name.value);
            self.sink.fault(name.span, message, "write 1 to 64 letters, digits, '-' and '_'");
            return None;
        }
        if others.iter().any(|other| other.name == name.value) {
            let message = format!("there are two webhooks '{}'", name.value);
            self.sink.fault(name.span, message, "give each webhook a name of its own");
            return None;
        }
        Some(name.value)
    }

    fn webhook_events(&mut self, section: &mut Section<'_>) -> Vec<WebhookEvent> {
        let known = || WebhookEvent::ALL.iter().map(|(_, name)| *name);
        let all = format!("write one or more of {}", list(&known().collect::<Vec<_>>()));
        let span = section.span.clone();
        let Some(events) = section.texts(&mut self.sink, "events", "[\"call.ended\"]") else {
            self.sink.missing(span, format!("{} has no events", section.title), all);
            return Vec::new();
        };
        if events.value.is_empty() {
            self.sink.fault(events.span.clone(), "nothing is ever told", all.clone());
        }
        let mut found = Vec::new();
        for event in events.value {
            if let Some((kind, _)) = WebhookEvent::ALL.iter().find(|(_, name)| *name == event.value) {
                found.push(*kind);
                continue;
            }
            let meant = nearest(&event.value, known()).map(|known| format!("did you mean \"{known}\"?"));
            self.sink.fault(
                event.span,
                format!("there is no event '{}'", event.value),
                meant.unwrap_or_else(|| all.clone()),
            );
        }
        found
    }

    fn webhook_secret(&mut self, section: &mut Section<'_>) -> Option<WebhookSecret> {
        let advice = "echo \"whsec_$(openssl rand -base64 32)\" > webhook.secret makes one, for secret_file; the receiver has the same";
        let span = section.span.clone();
        let Some(secret) = self.secret(section, "secret", "secret_file", "\"whsec_..\"") else {
            if !section.has("secret") && !section.has("secret_file") {
                self.sink.missing(span, "[[webhook]] has no secret", advice);
            }
            return None;
        };
        match WebhookSecret::parse(&secret.value) {
            Ok(secret) => Some(secret),
            Err(error) => {
                self.sink.fault(secret.span, format!("secret: {error}"), advice);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use offhook_server::WebhookEvent;

    use super::super::check_text;

    const HEAD: &str = "[exchange]\nrealm = \"house.test\"\n[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[http]\nlisten = \"127.0.0.1:8080\"\n";
    const SECRET: &str = "secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";

    fn hook(lines: &str) -> String {
        format!("[[webhook]]\nname = \"crm\"\nurl = \"http://127.0.0.1:9/x\"\nevents = [\"call.ended\"]\n{lines}")
    }

    #[test]
    fn a_webhook_is_read_and_its_faults_are_told() {
        let read = |text: &str| check_text(Path::new("test.toml"), &format!("{HEAD}{text}"));
        let good = read(&hook(SECRET)).unwrap_or_else(|faults| panic!("{faults}"));
        let [webhook] = &good.webhooks[..] else { panic!("{:?}", good.webhooks) };
        assert_eq!((webhook.name.as_str(), &webhook.events[..]), ("crm", &[WebhookEvent::CallEnded][..]));
        let good = hook(SECRET);
        for (text, message) in [
            (hook(""), "has no secret"),
            (hook("secret = \"whsec_c2hvcnQ=\"\n"), "5 bytes"),
            (good.replace("call.ended", "call.ender"), "did you mean \"call.ended\"?"),
            (good.replace("[\"call.ended\"]", "[]"), "nothing is ever told"),
            (good.replace("http:", "ftp:"), "begins neither"),
            (good.replace("\"crm\"", "\"../crm\""), "file's name"),
            (format!("{good}{good}"), "two webhooks"),
        ] {
            let faults = read(&text).expect_err(message).to_string();
            assert!(faults.contains(message), "{faults}");
            assert!(!faults.contains("MfKQ9r8"), "the secret is shown: {faults}");
        }
        let faults =
            check_text(Path::new("test.toml"), &format!("{}{good}", HEAD.split("[http]").next().expect("a part")));
        assert!(faults.expect_err("no [http]").to_string().contains("there is no [http]"));
        let far = read(&good.replace("127.0.0.1:9", "crm.example")).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(far.warnings.to_string().contains("in clear"), "{}", far.warnings);
    }
}
