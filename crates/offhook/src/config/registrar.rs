//! Phones that register: what they are asked for, and what they are granted.

use offhook_sip::Algorithm;
use offhook_units::Span;

use super::Reader;
use super::read::{Section, nearest};

impl Reader {
    /// `digest` in `[exchange]`: the algorithms that phones are asked for, the preferred one first.
    pub fn digest(&mut self, section: &mut Section<'_>) {
        let example = "[\"SHA-256\", \"MD5\"]";
        let Some(names) = section.texts(&mut self.sink, "digest", example) else { return };
        let mut algorithms = Vec::new();
        for name in &names.value {
            let Some(algorithm) = Algorithm::of(&name.value) else {
                let advice = match nearest(&name.value, Algorithm::ALL.iter().map(|known| known.as_str())) {
                    Some(known) => format!("did you mean \"{known}\"?"),
                    None => format!("write digest = {example}, or \"SHA-512-256\""),
                };
                self.sink.fault(name.span.clone(), format!("digest \"{}\" is not known", name.value), advice);
                continue;
            };
            if algorithms.contains(&algorithm) {
                let message = format!("digest \"{}\" is named twice", name.value);
                self.sink.fault(name.span.clone(), message, "take one of the two out");
                continue;
            }
            algorithms.push(algorithm);
        }
        if names.value.is_empty() {
            let message = "without an algorithm no phone can prove who it is";
            self.sink.fault(names.span, message, format!("write digest = {example}"));
        }
        self.registrar.digest.algorithms = algorithms;
    }

    /// The keys of `[limits]` that bound what phones may keep here.
    pub fn registrar_limits(&mut self, section: &mut Section<'_>) {
        if let Some(nonces) = section.number(&mut self.sink, "nonces", 1..=10_000_000) {
            self.registrar.digest.nonces_max = nonces.value as usize;
        }
        if let Some(contacts) = section.number(&mut self.sink, "contacts_per_account", 1..=1_000) {
            self.registrar.contacts_max = contacts.value as usize;
        }
        let lengths = Span::from_s(1)..=Span::from_s(7 * 24 * 3_600);
        if let Some(least) = section.span(&mut self.sink, "registration_min", lengths.clone()) {
            self.registrar.min_expires = least;
        }
        if let Some(most) = section.span(&mut self.sink, "registration_max", lengths) {
            self.registrar.max_expires = most;
        }
        if self.registrar.max_expires < self.registrar.min_expires {
            let message = "registration_max is less than registration_min";
            self.sink.fault(
                section.span.clone(),
                message,
                "write registration_min = \"30s\" and registration_max = \"1h\"",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use offhook_sip::Algorithm;
    use offhook_units::Span;

    use super::super::check_text;

    fn text(exchange: &str) -> String {
        format!("[exchange]\n{exchange}\n[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n")
    }

    #[test]
    fn phones_are_asked_for_sha_256_before_md5_unless_the_file_says_otherwise() {
        use Algorithm::{Md5, Sha256, Sha512256};
        for (line, algorithms) in [
            ("", &[Sha256, Md5][..]),
            ("digest = \"md5\"", &[Md5]),
            ("digest = [\"SHA-512-256\", \"MD5\", \"SHA-256\"]", &[Sha512256, Md5, Sha256]),
        ] {
            let checked = check_text(Path::new("test.toml"), &text(line)).unwrap_or_else(|faults| panic!("{faults}"));
            assert_eq!(checked.registrar.digest.algorithms, algorithms);
        }
    }

    #[test]
    fn what_phones_may_keep_is_bounded_as_the_file_says() {
        let limits =
            "[limits]\nnonces = 9\ncontacts_per_account = 2\nregistration_min = \"1m\"\nregistration_max = \"2m\"\n";
        let checked = check_text(Path::new("test.toml"), &format!("{}{limits}", text(""))).expect("sound");
        let granted = checked.registrar;
        assert_eq!((granted.digest.nonces_max, granted.contacts_max), (9, 2));
        assert_eq!((granted.min_expires, granted.max_expires), (Span::from_s(60), Span::from_s(120)));
        let faults = check_text(Path::new("test.toml"), &format!("{}{}", text(""), limits.replace("2m", "2s")));
        assert!(faults.expect_err("upside down").to_string().contains("less than registration_min"));
    }

    #[test]
    fn ways_through_translators_are_kept_open_every_25_s_and_connections_for_2_min_unless_the_file_says_otherwise() {
        let times = |lines: &str| {
            let checked = check_text(Path::new("test.toml"), &format!("{}{lines}", text("")));
            let checked = checked.unwrap_or_else(|faults| panic!("{faults}"));
            (checked.nat_ping.as_s(), checked.registrar.flow_timer.as_s())
        };
        assert_eq!(times(""), (25, 120));
        assert_eq!(times("nat_ping = \"50s\"\nflow_timer = \"1m\"\n"), (50, 60));
        assert_eq!(times("nat_ping = \"0s\"\nflow_timer = \"0s\"\n"), (0, 0));
        let faults = check_text(Path::new("test.toml"), &format!("{}nat_ping = \"1s\"\n", text(""))).expect_err("1 s");
        assert!(faults.to_string().contains("or \"0s\" for never"), "{faults}");
    }

    #[test]
    fn digests_that_nobody_knows_are_faults_in_their_place() {
        for (line, place, message) in [
            ("digest = [\"MD5\", \"SHA-1\"]", (2, 18), "digest \"SHA-1\" is not known"),
            ("digest = [\"MD5\", \"md5\"]", (2, 18), "named twice"),
            ("digest = []", (2, 10), "without an algorithm"),
        ] {
            let faults = check_text(Path::new("test.toml"), &text(line)).expect_err(line);
            let found = faults.list.iter().any(|fault| faults.place(fault) == place && fault.message.contains(message));
            assert!(found, "{message:?} at {place:?} is not in {faults}");
        }
    }
}
