//! What agents of a queue may say of its calls: `wrap_up_codes`, `wrap_up_code`.

use offhook_call::config::WrapUpCodes;

use super::Reader;
use super::read::Section;

/// Most codes of one queue.
pub const CODES_MAX: usize = 200;
/// Longest code, in characters.
pub const CODE_CHARS_MAX: usize = 64;

impl Reader {
    /// The codes of a queue; only a `whole` one must have some where it wants one.
    pub fn codes(&mut self, section: &mut Section<'_>, whole: bool) -> WrapUpCodes {
        let sink = &mut self.sink;
        let required =
            section.choice(sink, "wrap_up_code", &[("optional", false), ("required", true)]).unwrap_or(false);
        let given = section.texts(sink, "wrap_up_codes", "[\"Order/New\", \"Order/Change\", \"Complaint\"]");
        let mut codes: Vec<String> = Vec::new();
        for code in given.iter().flat_map(|given| &given.value) {
            let parts_whole = code.value.split('/').all(|part| !part.trim().is_empty() && part.trim() == part);
            if code.value.chars().count() > CODE_CHARS_MAX || !parts_whole {
                let message = format!("'{}' is no code", code.value);
                let advice =
                    format!("write words parted by '/', such as \"Order/New\", at most {CODE_CHARS_MAX} characters");
                sink.fault(code.span.clone(), message, advice);
            } else if codes.contains(&code.value) {
                sink.fault(code.span.clone(), format!("the code '{}' stands here twice", code.value), "take one out");
            } else {
                codes.push(code.value.clone());
            }
        }
        if let Some(given) = given.as_ref().filter(|given| given.value.len() > CODES_MAX) {
            let message = format!("{} codes are too many to choose from", given.value.len());
            sink.fault(given.span.clone(), message, format!("write at most {CODES_MAX}"));
        }
        if whole && required && codes.is_empty() {
            let message = "agents have to give a code, and there is none";
            let advice = "add wrap_up_codes = [\"Order/New\", \"Complaint\"], or take wrap_up_code out";
            sink.missing(section.span.clone(), message, advice);
        }
        WrapUpCodes { codes, required }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{GOOD, read, resolve};

    fn with(lines: &str) -> String {
        GOOD.replacen("name = \"sales\"", &format!("name = \"sales\"\n{lines}"), 1)
    }

    #[test]
    fn codes_of_a_queue_come_to_the_exchange_in_order() {
        let text = with("wrap_up_codes = [\"Order/New\", \"Complaint\"]\nwrap_up_code = \"required\"");
        let exchange = resolve(read(&text).unwrap_or_else(|faults| panic!("{faults}"))).exchange;
        let codes = &exchange.queues[0].codes;
        assert_eq!((codes.codes.join(", "), codes.required), ("Order/New, Complaint".to_owned(), true));
    }

    #[test]
    fn codes_that_cannot_be_chosen_are_faults() {
        for (lines, fault) in [
            ("wrap_up_codes = [\"a\", \"a\"]", "twice"),
            ("wrap_up_codes = [\"a//b\"]", "is no code"),
            ("wrap_up_codes = [\" a\"]", "is no code"),
            ("wrap_up_code = \"required\"", "there is none"),
            ("wrap_up_code = \"always\"", "optional"),
        ] {
            let faults = read(&with(lines)).map(drop).expect_err(lines).to_string();
            assert!(faults.contains(fault), "{lines}: {faults}");
        }
        let long = format!("wrap_up_codes = [\"{}\"]", "x".repeat(65));
        assert!(read(&with(&long)).is_err());
    }
}
