//! `[recording]`: where recordings lie, and the keys that seal them.

use core::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use offhook_call::calendar::Zone;
use offhook_call::config::{Consent, Percent, Recording as Rules, Rule};
use offhook_call::recording::PAUSE_CODE_KEYS_MAX;
use offhook_recorder::{KeyFileError, KeyRing};
use offhook_units::Span;

use super::Reader;
use super::read::{At, Section};
use crate::recording::{CopySettings, Credentials, Keep, Kept, Objects, StoreSettings};
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
    /// Where they are kept as well, or instead.
    pub store: Option<StoreSettings>,
    /// What copies of them are made for others, where they are.
    pub copies: Option<CopySettings>,
}

/// How long recordings may be kept, where that is said.
const KEEP_DAYS_MAX: u64 = 36_500;

/// How long stored recordings stay in the folder where nothing is said: a week.
const KEEP_LOCAL: Span = Span::from_s(7 * 86_400);

/// How much may lie in the folder where nothing is said.
const SPOOL_MAX_GB: u64 = 100;

/// How fast recordings are brought to the store where nothing is said.
const UPLOAD_MAX_MBIT: u64 = 100;

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
            store: None,
            copies: None,
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
        recording.rules.siprec = self.siprec(&mut section);
        recording.rules.siprec_server = self.siprec_server(&mut section);
        let sealed = recording.key_file.is_some();
        recording.store = section.table(&mut self.sink, "store").and_then(|section| self.object_store(section, sealed));
        let copies = section.table(&mut self.sink, "copies");
        recording.copies = copies.map(|section| self.copies(section, &recording.hour.zone, sealed));
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

    /// `[recording.store]`: an S3-compatible object store.
    fn object_store(&mut self, mut section: Section<'_>, sealed: bool) -> Option<StoreSettings> {
        let url = section.need_text(&mut self.sink, "url", "\"https://s3.example.com\"");
        let bucket = section.need_text(&mut self.sink, "bucket", "\"recordings\"");
        let region = section.text(&mut self.sink, "region", "\"eu-central-1\"");
        let prefix = section.text(&mut self.sink, "prefix", "\"offhook\"");
        let file = section.text(&mut self.sink, "credentials_file", "\"s3.credentials\"");
        let authorities = section.text(&mut self.sink, "authorities", "\"authorities.pem\"");
        let keep_local = self.number_of_days(&mut section, "keep_local", 0..=KEEP_DAYS_MAX);
        let spool_max_gb = section.number(&mut self.sink, "spool_max_gb", 1..=1_000_000);
        let upload_max_mbit = section.number(&mut self.sink, "upload_max_mbit", 1..=100_000);
        let span = section.span.clone();
        section.finish(&mut self.sink);
        let credentials = file.map(|file| {
            let path = self.path(&file.value);
            if let Err(error) = Credentials::find(Some(&path)) {
                let advice = "write aws_access_key_id = .. and aws_secret_access_key = .. into it, and chmod 600 it";
                self.sink.fault(file.span, format!("{}: {error}", path.display()), advice);
            }
            path
        });
        let authorities = authorities.map(|file| self.path(&file.value));
        let (url, bucket) = (url?, bucket?);
        if let Err(error) = Objects::check(&url.value, authorities.as_deref()) {
            self.sink.fault(url.span, format!("{error:#}"), "write an address such as \"https://s3.example.com\"");
        } else if !sealed && !url.value.starts_with("http://127.0.0.1") {
            let advice = "name a key_file in [recording]: what leaves this machine is sealed then";
            self.sink.warn(span, "recordings are kept in clear on somebody else's disks", advice);
        }
        Some(StoreSettings {
            url: url.value,
            bucket: bucket.value,
            region: region.map_or_else(|| "us-east-1".to_owned(), |region| region.value),
            prefix: prefix.map(|prefix| prefix.value).unwrap_or_default(),
            credentials,
            authorities,
            keep_local: keep_local.unwrap_or(KEEP_LOCAL),
            spool_max: spool_max_gb.map_or(SPOOL_MAX_GB, |gb| gb.value) * 1_000_000_000,
            upload_max: upload_max_mbit.map_or(UPLOAD_MAX_MBIT, |mbit| mbit.value) * 125_000,
        })
    }

    /// How long recordings are kept: `"90d"` or `"forever"`.
    pub fn keep(&mut self, section: &mut Section<'_>, key: &'static str) -> Option<Kept> {
        if section.is_text(key, "forever") {
            return Some(Kept::Forever);
        }
        self.number_of_days(section, key, 1..=KEEP_DAYS_MAX).map(Kept::For)
    }

    /// Days such as `"90d"`, from so many to so many.
    fn number_of_days(
        &mut self,
        section: &mut Section<'_>,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<Span> {
        let At { value, span } = section.text(&mut self.sink, key, "\"90d\"")?;
        let days = value.strip_suffix('d').and_then(|days| days.parse().ok()).filter(|days| range.contains(days));
        if days.is_none() {
            let forever = if *range.start() > 0 { ", or \"forever\"" } else { "" };
            let advice = format!("write days, \"{}d\" to \"{}d\"{forever}", range.start(), range.end());
            self.sink.fault(span, format!("{key} = \"{value}\" is no number of days"), advice);
        }
        days.map(|days| Span::from_s(days * 86_400))
    }

    /// A time of day such as `"03:00"`, since midnight.
    pub fn time_of_day(&mut self, section: &mut Section<'_>, key: &'static str) -> Option<Span> {
        let At { value, span } = section.text(&mut self.sink, key, "\"03:00\"")?;
        let parts = value.split_once(':').filter(|(_, minutes)| minutes.len() == 2);
        let parts = parts.and_then(|(hours, minutes)| Some((hours.parse::<u64>().ok()?, minutes.parse::<u64>().ok()?)));
        let parts = parts.filter(|(hours, minutes)| *hours < 24 && *minutes < 60);
        if parts.is_none() {
            self.sink.fault(span, format!("{key} = \"{value}\" is no time of day"), "write \"03:00\"");
        }
        parts.map(|(hours, minutes)| Span::from_s(hours * 3_600 + minutes * 60))
    }

    /// `erase_at` and `zone`.
    fn hour(&mut self, section: &mut Section<'_>, hour: &mut Hour) {
        if let Some(at) = self.time_of_day(section, "erase_at") {
            hour.at = at;
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
