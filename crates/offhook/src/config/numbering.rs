//! How numbers are dialled: `country`, `area` and prefixes, of the exchange and of a trunk; `format` of a trunk.

use offhook_call::config::{NumberFormat, Numbering};

use super::Reader;
use super::read::Section;

const FORMATS: [(&str, NumberFormat); 4] = [
    ("as-dialled", NumberFormat::AsDialled),
    ("e164", NumberFormat::E164),
    ("plus-less", NumberFormat::PlusLess),
    ("national", NumberFormat::National),
];

impl Reader {
    /// `country`, and what goes with it.
    pub fn numbering(&mut self, section: &mut Section<'_>) -> Option<Numbering> {
        let country = self.digits(section, "country", "\"49\"");
        let area = self.digits(section, "area", "\"30\"");
        let international = self.digits(section, "international_prefix", "\"00\"");
        let national = self.digits(section, "national_prefix", "\"0\"");
        let Some(country) = country else {
            let rest = ["area", "international_prefix", "national_prefix"];
            if let Some(key) = rest.into_iter().find(|key| section.has(key)) {
                let message = format!("{} has {key}, and no country that it belongs to", section.title);
                self.sink.missing(section.span.clone(), message, "add country = \"49\"");
            }
            return None;
        };
        let mut numbering = Numbering::of(country, area);
        numbering.international = international.unwrap_or(numbering.international);
        numbering.national = national.unwrap_or(numbering.national);
        Some(numbering)
    }

    /// `numbering` and `format` of a `[[trunk]]`.
    pub fn numbers_of_trunk(&mut self, section: &mut Section<'_>) -> (Option<Numbering>, NumberFormat) {
        let numbering = self.numbering(section);
        let format = section.choice(&mut self.sink, "format", &FORMATS).unwrap_or_default();
        if format != NumberFormat::AsDialled && numbering.is_none() && !self.has_numbering {
            let message = "numbers can be written anew only where it is known how they are dialled";
            self.sink.missing(section.span.clone(), message, "add country = \"49\" here or to [exchange]");
        }
        (numbering, format)
    }

    fn digits(&mut self, section: &mut Section<'_>, key: &'static str, example: &str) -> Option<String> {
        let text = section.text_or_number_if(&mut self.sink, key, example)?;
        if text.value.bytes().all(|byte| byte.is_ascii_digit()) && text.value.len() <= 8 {
            return Some(text.value);
        }
        self.sink.fault(
            text.span,
            format!("{key} = \"{}\" is not made of digits", text.value),
            format!("write {key} = {example}"),
        );
        None
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use offhook_call::config::NumberFormat;

    use super::super::check_text;

    const SIP: &str = "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n";
    const TRUNK: &str = "[[trunk]]\nname = \"t\"\npeers = [\"127.0.0.2\"]\n";

    #[test]
    fn the_exchange_has_a_country_and_a_trunk_may_have_another_and_its_format() {
        let text = format!(
            "{SIP}[exchange]\ncountry = \"49\"\narea = \"30\"\n{TRUNK}country = \"1\"\ninternational_prefix = \
             \"011\"\nnational_prefix = \"1\"\nformat = \"plus-less\"\n"
        );
        let checked = check_text(Path::new("test.toml"), &text).unwrap_or_else(|faults| panic!("{faults}"));
        let here = checked.numbering.as_ref().expect("a country");
        assert_eq!(here.e164("555700").as_deref(), Some("+4930555700"));
        let trunk = &checked.trunks[0];
        let there = trunk.numbering.as_ref().expect("a country");
        assert_eq!((there.e164("0114930555").as_deref(), trunk.format), (Some("+4930555"), NumberFormat::PlusLess));
    }

    #[test]
    fn faults_of_numbering_say_what_to_write() {
        let rows = [
            (format!("{SIP}[exchange]\narea = \"30\"\n"), "no country that it belongs to"),
            (format!("{SIP}[exchange]\ncountry = \"de\"\n"), "is not made of digits"),
            (format!("{SIP}{TRUNK}format = \"e164\"\n"), "only where it is known how they are dialled"),
            (format!("{SIP}{TRUNK}country = \"49\"\nformat = \"e146\"\n"), "is not known"),
        ];
        for (text, message) in rows {
            let faults = check_text(Path::new("test.toml"), &text).expect_err("a fault");
            assert!(faults.list.iter().any(|fault| fault.message.contains(message)), "{message:?} is not in {faults}");
        }
    }
}
