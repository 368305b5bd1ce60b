//! `tones` of `[exchange]` and of a number: the country whose ringback, busy and congestion callers hear; and where these lie among the sounds.

use offhook_call::config::Tones;
use offhook_codec::CountryTones;
use offhook_plan::AssetId;

use super::Reader;
use super::read::Section;

/// Sounds that a country has: ringback, busy and congestion.
const SOUNDS: u32 = 3;

impl Reader {
    /// `tones = "de"`.
    pub fn tones(&mut self, section: &mut Section<'_>) -> Option<CountryTones> {
        let country = section.text(&mut self.sink, "tones", "\"de\"")?;
        let tones = CountryTones::of(&country.value);
        if tones.is_none() {
            let known = CountryTones::ALL.map(|tones| tones.country).join(" ");
            let message = format!("the tones of \"{}\" are not known", country.value);
            self.sink.fault(country.span, message, format!("write one of {known}; \"eu\" suits most of Europe"));
        }
        tones
    }
}

/// The countries in use, each with its three sounds behind the files.
pub struct Countries {
    /// How many files there are.
    files: u32,
    /// In the order of their sounds.
    pub list: Vec<CountryTones>,
}

impl Countries {
    /// None yet, behind so many files.
    pub const fn behind(files: usize) -> Self {
        Self { files: files as u32, list: Vec::new() }
    }

    /// The sounds of a country, which is in use from now on.
    pub fn sounds(&mut self, tones: CountryTones) -> Tones {
        let place = self.list.iter().position(|known| *known == tones).unwrap_or_else(|| {
            self.list.push(tones);
            self.list.len() - 1
        });
        let sound = |kind| vec![AssetId(self.files + place as u32 * SOUNDS + kind)];
        Tones { ringback: sound(0), busy: sound(1), congestion: sound(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_country_has_its_three_sounds_once_behind_20_files() {
        let (de, us) = (CountryTones::of("de").unwrap(), CountryTones::of("us").unwrap());
        let mut countries = Countries::behind(20);
        let ringback = [de, us, de].map(|tones| countries.sounds(tones).ringback[0].0);
        assert_eq!((ringback, countries.sounds(us).congestion[0].0, countries.list), ([20, 23, 20], 25, vec![de, us]));
    }
}
