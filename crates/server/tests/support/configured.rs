//! A configuration that is taken in by being kept, for the tests of the server.

use offhook_server::{
    Answer, CalendarWeek, ConfigFault, ConfigLine, ConfigNote, ConfigTaken, ConfigVersion, Configuration, Configured,
    Drafted, Edit, KeptSession, OpenHours, Prompt, PromptFault, PromptList, PromptShelf, PromptSound, SessionShelf,
    Unavailable,
};
use serde_json::{Value, json};

use super::Fixed;

const TEXT: &str = "\
# The made-up centre.
[http]
token = \"(kept 7.0)\"

[[queue]]
name = \"sales\" # whoever buys
strategy = \"longest-idle\"
wrap_up = \"15s\"

[[queue]]
name = \"support\"
max_waiting = 20

[[calendar]]
name = \"office\"
zone = \"Europe/Berlin\"
hours = { mon-fri = \"08:00-18:00\" }
days = { \"12-25\" = \"closed\" }

[[trunk]]
name = \"carrier\"
peers = [\"192.0.2.7\"]

[[number]]
number = \"4930555700\"
flow = \"reception\"
open = \"office\"
closed = { say = [\"office-closed\"] }

[[number]]
number = \"4930555701\"
queue = \"orders\"

[[flow]]
name = \"reception\"
greeting = [\"reception-menu\"]
choices = { 1 = \"sales\", 2 = \"support\" }
default = \"sales\"

[[flow]]
name = \"night\"
default = \"support\"

[[account]]
name = \"alice\"
password = \"(kept 7.1)\"

[[user]]
name = \"administrator\"
password = \"(kept 7.2)\"
roles = [\"administrator\"]

[[token]]
name = \"wallboard\"
sha256 = \"00\"
roles = [\"operator\"]

[[agent]]
name = \"alice\"
account = \"alice\"
queues = [\"sales\", \"support\"]

[[agent]]
name = \"bob\"
contact = \"sip:bob@192.0.2.20\"
queues = [\"sales\"]
skills = { french = 3 }
";

fn tables() -> Value {
    json!({
        "queue": [
            { "name": "sales", "strategy": "longest-idle", "wrap_up": "15s" },
            { "name": "support", "max_waiting": 20 },
        ],
        "calendar": [{ "name": "office", "zone": "Europe/Berlin", "hours": { "mon-fri": "08:00-18:00" }, "days": { "12-25": "closed" } }],
        "trunk": [{ "name": "carrier", "peers": ["192.0.2.7"] }],
        "number": [
            { "number": "4930555700", "flow": "reception", "open": "office", "closed": { "say": ["office-closed"] } },
            { "number": "4930555701", "queue": "orders" },
        ],
        "flow": [
            { "name": "reception", "greeting": ["reception-menu"], "choices": { "1": "sales", "2": "support" }, "default": "sales" },
            { "name": "night", "default": "support" },
        ],
        "account": [{ "name": "alice", "password": "(kept 7.1)" }],
        "user": [{ "name": "administrator", "password": "(kept 7.2)", "roles": ["administrator"] }],
        "token": [{ "name": "wallboard", "sha256": "00", "roles": ["operator"] }],
        "agent": [
            { "name": "alice", "account": "alice", "queues": ["sales", "support"] },
            { "name": "bob", "contact": "sip:bob@192.0.2.20", "queues": ["sales"], "skills": { "french": 3 } },
        ],
    })
}

/// The coming week of its calendar.
fn weeks() -> Vec<CalendarWeek> {
    let hours = |day: u8| OpenHours { from: format!("2026-11-{day}T08:00"), until: format!("2026-11-{day}T18:00") };
    let (calendar, zone, now) = ("office".to_owned(), "Europe/Berlin".to_owned(), "2026-11-22T23:55".to_owned());
    vec![CalendarWeek { calendar, zone, now, open: false, hours: (23..=27).map(hours).collect() }]
}

/// What a text with the word `wrong` is refused for.
fn faults(text: &str) -> Vec<ConfigNote> {
    let at = text.lines().position(|line| line.contains("wrong"));
    let note = |line: usize| ConfigNote {
        line: line + 1,
        column: 8,
        severity: "error".to_owned(),
        message: "that is wrong".to_owned(),
        advice: "write something else".to_owned(),
    };
    at.map(note).into_iter().collect()
}

/// The text with a key of a table in another line, or in one more.
fn written(text: &str, (table, at): (&str, usize), key: &str, value: &Value) -> String {
    let head = format!("[[{table}]]");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let from = (0..lines.len()).filter(|line| lines[*line] == head).nth(at).map_or(lines.len(), |line| line + 1);
    let until = (from..lines.len()).find(|line| lines[*line].starts_with('[')).unwrap_or(lines.len());
    let line = format!("{key} = {value}");
    match (from..until).find(|line| lines[*line].starts_with(&format!("{key} ="))) {
        Some(old) => lines[old] = line,
        None => lines.insert(from, line),
    }
    lines.join("\n") + "\n"
}

impl Configured for Fixed {
    fn configuration(&self) -> Answer<'_, Result<Configuration, Unavailable>> {
        self.answer(Configuration { version: 7, text: TEXT.to_owned(), edited: false, tables: tables() })
    }

    fn config_versions(&self) -> Answer<'_, Result<Vec<ConfigVersion>, Unavailable>> {
        let version = |version, who: &str, added, removed| ConfigVersion {
            version,
            at: "2026-11-22T22:55:19.042Z".to_owned(),
            who: who.to_owned(),
            added,
            removed,
        };
        self.answer(vec![version(7, "user administrator", 2, 1), version(6, "the file, by SIGHUP", 22, 0)])
    }

    fn config_text(&self, version: u64) -> Answer<'_, Result<Option<String>, Unavailable>> {
        self.answer((version == 6 || version == 7).then(|| TEXT.replace("longest-idle", "round-robin")))
    }

    fn draft_config(&self, text: String, edit: Option<Edit>) -> Answer<'_, Result<Drafted, ConfigFault>> {
        let mut tables = tables();
        let mut text = text;
        if let Some(Edit { table, at, values: Some(values) }) = edit {
            let Some(list) = tables[&table].as_array_mut() else {
                return Box::pin(async { Err(ConfigFault::NoSuch("there is no such table".to_owned())) });
            };
            let at = at.unwrap_or_else(|| {
                list.push(json!({}));
                text = format!("{text}\n[[{table}]]\n");
                list.len() - 1
            });
            for (key, value) in values {
                text = written(&text, (&table, at), &key, &value);
                list[at][key] = value;
            }
        }
        let changes = vec![
            ConfigLine { kind: "same", text: "[[queue]]".to_owned() },
            ConfigLine { kind: "removed", text: "wrap_up = \"15s\"".to_owned() },
            ConfigLine { kind: "added", text: "wrap_up = \"20s\"".to_owned() },
        ];
        let drafted = Drafted {
            faults: faults(&text),
            text,
            tables,
            waits: vec!["ports in [media]".to_owned()],
            changes,
            weeks: weeks(),
        };
        let answer = self.answer(drafted);
        Box::pin(async move { Ok(answer.await?) })
    }

    fn take_config(&self, who: String, text: Option<(u64, String)>) -> Answer<'_, Result<ConfigTaken, ConfigFault>> {
        let answer = self.answer(ConfigTaken { version: 8, faults: Vec::new(), waits: vec![format!("for {who}")] });
        Box::pin(async move {
            if let Some((base, text)) = text {
                if base != 7 {
                    return Err(ConfigFault::Stale(7));
                }
                if text.contains("by hand") {
                    return Err(ConfigFault::Edited);
                }
                let faults = faults(&text);
                if !faults.is_empty() {
                    return Err(ConfigFault::Faulty(faults));
                }
            }
            Ok(answer.await?)
        })
    }
}

/// Prompts that are kept by being told.
impl PromptShelf for Fixed {
    fn prompts(&self) -> Answer<'_, Result<PromptList, Unavailable>> {
        let prompt = |name: &str, own| Prompt { name: name.to_owned(), seconds: Some(2.4), rate_hz: Some(8_000), own };
        let prompts = vec![prompt("digits/1", false), prompt("office-closed", true)];
        self.answer(PromptList { writable: true, engine: Some("espeak-ng".to_owned()), prompts, cut: false })
    }

    fn prompt(&self, name: String) -> Answer<'_, Result<Option<Vec<u8>>, Unavailable>> {
        // Half a second of silence at 8 kHz.
        let head =
            b"RIFF\x64\x1f\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x40\x1f\0\0";
        let file = [head.as_slice(), &[0; 8_000]].concat();
        self.answer((name == "digits/1" || name == "office-closed").then_some(file))
    }

    fn put_prompt(&self, name: String, sound: PromptSound) -> Answer<'_, Result<Prompt, PromptFault>> {
        if name == "digits/1" {
            return Box::pin(async { Err(PromptFault::Hidden) });
        }
        let seconds = match sound {
            PromptSound::Wav(bytes) => bytes.len() as f64 / 16_000.0,
            PromptSound::Spoken { text, .. } => text.len() as f64,
        };
        let answer = self.answer(Prompt { name, seconds: Some(seconds), rate_hz: Some(8_000), own: true });
        Box::pin(async move { Ok(answer.await?) })
    }

    fn remove_prompt(&self, name: String) -> Answer<'_, Result<(), PromptFault>> {
        let fault = match name.as_str() {
            "digits/1" => Some(PromptFault::Foreign),
            "office-closed" => Some(PromptFault::Used(vec![33, 40])),
            "goodbye" => None,
            _ => Some(PromptFault::Missing),
        };
        let answer = self.answer(());
        Box::pin(async move { fault.map_or(Ok(answer.await?), Err) })
    }
}

/// Sessions that are kept in memory: as long as the view lives, however often a server is started on it.
impl SessionShelf for Fixed {
    fn kept_sessions(&self) -> Answer<'_, Result<Vec<KeptSession>, Unavailable>> {
        self.answer(self.sessions.lock().expect("no panic before").values().cloned().collect())
    }

    fn keep_session(&self, session: KeptSession) -> Answer<'_, Result<(), Unavailable>> {
        self.sessions.lock().expect("no panic before").insert(session.key, session);
        self.answer(())
    }

    fn forget_sessions(&self, keys: Vec<[u8; 32]>) -> Answer<'_, Result<(), Unavailable>> {
        self.sessions.lock().expect("no panic before").retain(|key, _| !keys.contains(key));
        self.answer(())
    }
}
