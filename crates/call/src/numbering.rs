//! Numbers as people and carriers write them, and as E.164 says: `030 555-700`, `0049 30 555700` and `+4930555700` are one.

/// Most digits of a number outside: E.164 allows 15, and prefixes of a carrier's stand before them.
pub(crate) const DIGITS_MAX: usize = 32;
/// Least digits behind the country's code of a number of ours that is written without a plus.
const SUBSCRIBER_MIN: usize = 5;

/// How numbers are dialled where the exchange is, or at a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbering {
    /// The country's code, such as `49`.
    pub country: String,
    /// The area's code without the prefix of the country, such as `30`; without one a number has to say it.
    pub area: Option<String>,
    /// What stands before a country's code, such as `00`.
    pub international: String,
    /// What stands before an area's code, such as `0`.
    pub national: String,
}

/// How a trunk writes numbers, in both directions. Emergency numbers are written as they were dialled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NumberFormat {
    /// As they were dialled.
    #[default]
    AsDialled,
    /// `+4930555700`.
    E164,
    /// `4930555700`.
    PlusLess,
    /// `030555700`; numbers of other countries with the international prefix.
    National,
}

impl Numbering {
    /// As most of the world dials: `00` abroad, `0` to another area.
    pub fn of(country: impl Into<String>, area: Option<String>) -> Self {
        Self { country: country.into(), area, international: "00".to_owned(), national: "0".to_owned() }
    }

    /// `number` as E.164 with its plus; none where it is not one that can be dialled from everywhere, such as a short code.
    pub fn e164(&self, number: &str) -> Option<String> {
        let number = bare(number);
        let whole = |digits: &str| (is_digits(digits) && !digits.starts_with('0')).then(|| format!("+{digits}"));
        if let Some(digits) = number.strip_prefix('+') {
            return whole(digits);
        }
        if let Some(digits) = number.strip_prefix(&*self.international).filter(|_| !self.international.is_empty()) {
            return whole(digits);
        }
        if let Some(digits) = number.strip_prefix(&*self.national).filter(|_| !self.national.is_empty()) {
            return whole(&format!("{}{digits}", self.country)).filter(|_| is_digits(digits));
        }
        let area = self.area.as_ref()?;
        whole(&format!("{}{area}{number}", self.country)).filter(|_| is_digits(&number))
    }

    /// A number of ours as E.164: it may be written without a plus in the configuration.
    pub(crate) fn own(&self, number: &str) -> Option<String> {
        let subscriber = number.strip_prefix(&*self.country).filter(|rest| is_digits(rest));
        match subscriber.filter(|rest| rest.len() >= SUBSCRIBER_MIN) {
            Some(_) => Some(format!("+{number}")),
            None => self.e164(number),
        }
    }

    /// As a trunk of this format writes `number`; as it was dialled where it is no number of E.164.
    pub fn write(&self, number: &str, format: NumberFormat) -> String {
        let Some(e164) = self.e164(number) else { return bare(number) };
        let digits = &e164[1..];
        match format {
            NumberFormat::AsDialled => bare(number),
            NumberFormat::E164 => e164,
            NumberFormat::PlusLess => digits.to_owned(),
            NumberFormat::National => match digits.strip_prefix(&*self.country) {
                Some(rest) => format!("{}{rest}", self.national),
                None => format!("{}{digits}", self.international),
            },
        }
    }

    /// What a trunk of this format means by `number`, as E.164.
    pub fn read(&self, number: &str, format: NumberFormat) -> Option<String> {
        match format {
            NumberFormat::PlusLess if is_digits(&bare(number)) => Some(format!("+{}", bare(number))),
            NumberFormat::AsDialled | NumberFormat::E164 | NumberFormat::PlusLess | NumberFormat::National => {
                self.e164(number)
            }
        }
    }
}

/// Without visual separators, RFC 3966 section 3; a name stays a name.
pub(crate) fn bare(number: &str) -> String {
    let first = number.strip_prefix('+').unwrap_or(number).trim_start_matches('(');
    if !first.starts_with(|c: char| c.is_ascii_digit()) {
        return number.to_owned();
    }
    number.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ' | '/')).collect()
}

fn is_digits(text: &str) -> bool {
    (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_number_is_the_same_number() {
        let berlin = Numbering::of("49", Some("30".to_owned()));
        for written in ["+4930555700", "004930555700", "030555700", "555700", "+49 (30) 555-700", "030/555.700"] {
            assert_eq!(berlin.e164(written).as_deref(), Some("+4930555700"), "{written}");
        }
        for nothing in ["alice", "", "+", "+0301", "#31#", "00"] {
            assert_eq!(berlin.e164(nothing), None, "{nothing}");
        }
        let anywhere = Numbering::of("49", None);
        assert_eq!(anywhere.e164("700"), None, "a short code stays one");
    }

    #[test]
    fn a_trunk_writes_and_reads_numbers_in_its_own_format() {
        let numbering = Numbering::of("49", None);
        let rows = [
            ("030555", NumberFormat::AsDialled, "030555"),
            ("030 555", NumberFormat::E164, "+4930555"),
            ("004930555", NumberFormat::PlusLess, "4930555"),
            ("+4930555", NumberFormat::National, "030555"),
            ("+431555", NumberFormat::National, "00431555"),
            ("112", NumberFormat::E164, "112"),
        ];
        for (dialled, format, written) in rows {
            assert_eq!(numbering.write(dialled, format), written, "{dialled} {format:?}");
        }
        assert_eq!(numbering.read("4930555", NumberFormat::PlusLess).as_deref(), Some("+4930555"));
        assert_eq!(numbering.read("4930555", NumberFormat::E164), None);
        assert_eq!(numbering.read("030555", NumberFormat::National).as_deref(), Some("+4930555"));
    }

    #[test]
    fn a_number_of_ours_may_be_written_without_its_plus() {
        let numbering = Numbering::of("49", None);
        for written in ["4930555700", "+4930555700", "030555700"] {
            assert_eq!(numbering.own(written).as_deref(), Some("+4930555700"), "{written}");
        }
        assert_eq!((numbering.own("700"), numbering.own("49700")), (None, None));
    }
}
