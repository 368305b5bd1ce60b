//! `[recording]`: where recordings lie, and the keys that seal them.

use core::ops::Range;
use std::path::PathBuf;

use offhook_call::calendar::Zone;
use offhook_call::config::{Consent, Percent, Recording as Rules, Rule};
use offhook_call::recording::PAUSE_CODE_KEYS_MAX;
use offhook_recorder::{KeyFileError, KeyRing};
use offhook_units::Span;

use super::Reader;
use super::read::{At, Section};
use crate::recording::{Keep, Kept};
use crate::serve::Hour;

/// `[recording]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The recordings folder; relative to the data folder, or absolute.
    pub folder: PathBuf,
    /// The file of master keys; without one recordings are not sealed.
    pub key_file: Option<PathBuf>,
    /// Whether calls outside are recorded, and how recordings are paused.
    pub rules: Rules,
    /// How long recordings are kept.
    pub keep: Keep,
    /// When those are erased that are older.
    pub hour: Hour,
    /// Where that is written, where it is.
    pub hour_at: Option<Range<usize>>,
}

/// How long recordings may be kept, where that is said.
const KEEP_DAYS: core::ops::RangeInclusive<u64> = 1..=36_500;

/// When recordings are erased where nothing is said: 03:00.
const ERASE_AT: Span = Span::from_s(3 * 3_600);

/// The keys of a phone that a code is made of.
const CODE_KEYS: &str = "0123456789*#";

impl Reader {
    /// `[recording]`.
    pub fn recording(&mut self, root: &mut Section<'_>) -> Recording {
        let mut recording = Recording {
            folder: PathBuf::from("recordings"),
            key_file: None,
            rules: Rules::default(),
            keep: Keep::default(),
            hour: Hour { at: ERASE_AT, zone: Zone::utc() },
            hour_at: None,
        };
        let Some(mut section) = root.table(&mut self.sink, "recording") else { return recording };
        if let Some(folder) = section.text(&mut self.sink, "folder", "\"recordings\"") {
            recording.folder = PathBuf::from(folder.value);
        }
        if let Some(file) = section.text(&mut self.sink, "key_file", "\"recording.key\"") {
            let path = self.path(&file.value);
            if let Err(error) = KeyRing::read(&path) {
                let advice = match error {
                    KeyFileError::Open => format!("chmod 600 {}", path.display()),
                    _ => format!("'offhook recording new-key {}' makes one", path.display()),
                };
                self.sink.fault(file.span, format!("{}: {error}", path.display()), advice);
            }
            recording.key_file = Some(path);
        }
        self.pauses(&mut section, &mut recording.rules);
        recording.keep.all = self.keep(&mut section, "keep").unwrap_or_default();
        self.hour(&mut section, &mut recording.hour);
        recording.hour_at = (section.has("erase_at") || section.has("zone")).then(|| section.span.clone());
        recording.rules.outgoing = self.record(&mut section, "outgoing");
        section.finish(&mut self.sink);
        recording
    }

    /// Whether calls are recorded: `true` or `"always"`, `false` or `"never"`, `"on-demand"`, or a share such as `"25%"`; of
    /// queues also `"with-consent"`.
    pub fn record(&mut self, section: &mut Section<'_>, key: &'static str) -> Option<Rule> {
        let At { value, span } = section.flag_or_text(&mut self.sink, key, "\"on-demand\"")?;
        // A number or an agent has nobody to ask.
        let asks = key == "record" && section.title.contains("queue");
        let rule = match value.as_str() {
            "true" | "always" => Some(Rule::Always),
            "false" | "never" => Some(Rule::Never),
            "on-demand" => Some(Rule::OnDemand),
            "with-consent" if asks => Some(Rule::WithConsent),
            share => share.strip_suffix('%').and_then(|n| Percent::new(n.parse().ok()?)).map(Rule::Share),
        };
        if rule.is_none() {
            let consent = if asks { ", \"with-consent\"" } else { "" };
            let advice = format!(
                "write true (\"always\"), false (\"never\"), \"on-demand\"{consent}, or a share of 1 to 99 in a hundred, \"25%\""
            );
            self.sink.fault(span, format!("{key} = \"{value}\" is not known"), advice);
        }
        rule
    }

    /// `consent` of a queue: what callers hear, and the key by which they agree to being recorded.
    pub fn consent(&mut self, section: &mut Section<'_>) -> Option<Consent> {
        let mut table = section.table(&mut self.sink, "consent")?;
        let ask = table.texts(&mut self.sink, "ask", "[\"may-we-record\"]");
        let key = table.need_text(&mut self.sink, "key", "\"1\"");
        let span = table.span.clone();
        table.finish(&mut self.sink);
        let ask = match ask {
            Some(ask) if !ask.value.is_empty() => self.prompts.find_all(&mut self.sink, &ask.value),
            _ => {
                let advice = "add ask = [\"may-we-record\"]: a prompt that says so, and which key to press";
                self.sink.missing(span, "consent does not say what callers are asked", advice);
                return None;
            }
        };
        let key = key?;
        let mut keys = key.value.chars();
        match (keys.next(), keys.next()) {
            (Some(digit), None) if CODE_KEYS.contains(digit) => Some(Consent { ask, key: digit }),
            _ => {
                let message = format!("key = \"{}\" is not one key of a phone", key.value);
                self.sink.fault(key.span, message, "write one of 0-9, * and #");
                None
            }
        }
    }

    /// How long recordings are kept: `"90d"` or `"forever"`.
    pub fn keep(&mut self, section: &mut Section<'_>, key: &'static str) -> Option<Kept> {
        if section.is_text(key, "forever") {
            return Some(Kept::Forever);
        }
        let At { value, span } = section.text(&mut self.sink, key, "\"90d\"")?;
        let days = value.strip_suffix('d').and_then(|days| days.parse().ok()).filter(|days| KEEP_DAYS.contains(days));
        if days.is_none() {
            let advice = format!("write days, \"{}d\" to \"{}d\", or \"forever\"", KEEP_DAYS.start(), KEEP_DAYS.end());
            self.sink.fault(span, format!("{key} = \"{value}\" is no number of days"), advice);
        }
        days.map(|days| Kept::For(Span::from_s(days * 86_400)))
    }

    /// `erase_at` and `zone`.
    fn hour(&mut self, section: &mut Section<'_>, hour: &mut Hour) {
        if let Some(At { value, span }) = section.text(&mut self.sink, "erase_at", "\"03:00\"") {
            let parts = value.split_once(':').filter(|(_, minutes)| minutes.len() == 2);
            let parts =
                parts.and_then(|(hours, minutes)| Some((hours.parse::<u64>().ok()?, minutes.parse::<u64>().ok()?)));
            match parts.filter(|(hours, minutes)| *hours < 24 && *minutes < 60) {
                Some((hours, minutes)) => hour.at = Span::from_s(hours * 3_600 + minutes * 60),
                None => self.sink.fault(span, format!("erase_at = \"{value}\" is no time of day"), "write \"03:00\""),
            }
        }
        if let Some(zone) = section.text(&mut self.sink, "zone", "\"Europe/Berlin\"").and_then(|name| self.zone(&name))
        {
            hour.zone = zone;
        }
    }

    /// `pause_code` and `pause_max`.
    fn pauses(&mut self, section: &mut Section<'_>, rules: &mut Rules) {
        if section.is_text("pause_code", "none") {
            rules.pause_code = None;
        } else if let Some(code) = section.text(&mut self.sink, "pause_code", "\"*3\"") {
            let keys = code.value.chars().count();
            if keys > PAUSE_CODE_KEYS_MAX || !code.value.chars().all(|key| CODE_KEYS.contains(key)) {
                let message = format!("pause_code = \"{}\" cannot be pressed on a phone", code.value);
                let advice = format!("write at most {PAUSE_CODE_KEYS_MAX} of 0-9, * and #, or \"none\"");
                self.sink.fault(code.span, message, advice);
            } else if keys < 2 {
                let message = "pause_code has one key, which agents press for other things too";
                self.sink.fault(code.span, message, "write two keys or more, such as \"*3\"");
            } else {
                rules.pause_code = Some(code.value);
            }
        }
        if let Some(most) = section.span(&mut self.sink, "pause_max", Span::from_s(10)..=Span::from_s(3_600)) {
            rules.pause_max = most;
        }
    }
}
