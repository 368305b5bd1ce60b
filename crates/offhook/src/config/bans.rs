//! Who is not listened to: scanners by name, guessers by their count, and whom none of that is held against.

use core::time::Duration;

use offhook_net::bans::Network;
use offhook_units::Span;

use super::Reader;
use super::read::Section;

impl Reader {
    /// `trusted` and `scanners` in `[sip]`.
    pub fn sources(&mut self, section: &mut Section<'_>) {
        let example = "[\"127.0.0.0/8\", \"192.0.2.7\"]";
        if let Some(networks) = section.texts(&mut self.sink, "trusted", example) {
            for text in networks.value {
                if let Some(network) = Network::parse(&text.value) {
                    self.bans.trusted.push(network);
                } else {
                    let message = format!("\"{}\" is not an address or a network", text.value);
                    self.sink.fault(text.span, message, format!("write trusted = {example}"));
                }
            }
        }
        if let Some(names) = section.texts(&mut self.sink, "scanners", "[\"friendly-scanner\"]") {
            self.bans.scanners = names.value.iter().map(|name| name.value.to_ascii_lowercase()).collect();
        }
    }

    /// The keys of `[limits]` that say when a source is banned, and for how long.
    pub fn ban_limits(&mut self, section: &mut Section<'_>) {
        if let Some(failed) = section.number(&mut self.sink, "wrong_passwords_per_minute", 1..=1_000_000) {
            self.bans.failed_per_minute = failed.value as u32;
        }
        if let Some(malformed) = section.number(&mut self.sink, "malformed_per_minute", 1..=1_000_000) {
            self.bans.malformed_per_minute = malformed.value as u32;
        }
        if let Some(sources) = section.number(&mut self.sink, "sources_remembered", 1..=10_000_000) {
            self.bans.sources_max = sources.value as usize;
        }
        let lengths = Span::from_s(1)..=Span::from_s(30 * 24 * 3_600);
        let std = |span: Span| Duration::from_micros(span.as_us());
        if let Some(ban) = section.span(&mut self.sink, "ban", lengths.clone()) {
            self.bans.ban = std(ban);
        }
        if let Some(most) = section.span(&mut self.sink, "ban_max", lengths) {
            self.bans.ban_max = std(most);
        }
        if self.bans.ban > self.bans.ban_max {
            let advice = "write ban = \"10m\" and ban_max = \"1h\"";
            self.sink.fault(section.span.clone(), "ban is longer than ban_max", advice);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::check_text;
    use super::*;

    fn text(sip: &str, limits: &str) -> String {
        format!("[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n{sip}\n[limits]\n{limits}\n")
    }

    #[test]
    fn who_is_banned_and_who_is_not_stands_in_the_file() {
        let sip = "trusted = [\"192.0.2.0/24\", \"::1\"]\nscanners = [\"Rude Scanner\"]";
        let limits = "wrong_passwords_per_minute = 3\nmalformed_per_minute = 4\nban = \"1m\"\nban_max = \"2m\"\n\
                      sources_remembered = 5";
        let bans =
            check_text(Path::new("test.toml"), &text(sip, limits)).unwrap_or_else(|faults| panic!("{faults}")).bans;
        assert_eq!((bans.failed_per_minute, bans.malformed_per_minute, bans.sources_max), (3, 4, 5));
        assert_eq!((bans.ban.as_secs(), bans.ban_max.as_secs()), (60, 120));
        assert_eq!(bans.trusted, ["192.0.2.0/24", "::1"].map(|text| Network::parse(text).expect("a network")));
        assert_eq!(bans.scanners, ["rude scanner"]);
        let bans = check_text(Path::new("test.toml"), &text("", "")).unwrap_or_else(|faults| panic!("{faults}")).bans;
        assert_eq!(bans, offhook_net::bans::BanLimits::default());
    }

    #[test]
    fn networks_that_are_none_and_bans_beyond_their_end_are_faults() {
        for (sip, limits, message) in [
            ("trusted = [\"192.0.2.0/33\"]", "", "not an address or a network"),
            ("trusted = true", "", "a list of texts"),
            ("", "ban = \"2h\"", "ban is longer than ban_max"),
        ] {
            let faults = check_text(Path::new("test.toml"), &text(sip, limits)).expect_err(message);
            assert!(faults.to_string().contains(message), "{message:?} is not in {faults}");
        }
    }
}
