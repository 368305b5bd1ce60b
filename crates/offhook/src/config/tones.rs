//! `tones` of `[exchange]` and of a number: the country whose ringback, busy and congestion callers hear.

use offhook_call::config::Tones;
use offhook_codec::CountryTones;

use super::Reader;
use super::prompts::{Sound, place_of};
use super::read::Section;

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

/// The three sounds of a country among all others, behind them where they are new.
pub fn sounds_of(tones: CountryTones, sounds: &mut Vec<Sound>) -> Tones {
    let mut sound = |kind| vec![place_of(Sound::Tone(tones, kind), sounds)];
    Tones { ringback: sound(0), busy: sound(1), congestion: sound(2) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn each_country_has_its_three_sounds_once_behind_what_is_there() {
        let (de, us) = (CountryTones::of("de").unwrap(), CountryTones::of("us").unwrap());
        let mut sounds = vec![Sound::File { path: PathBuf::from("music.wav"), written: None }; 1];
        let ringback = [de, us, de].map(|tones| sounds_of(tones, &mut sounds).ringback[0].0);
        assert_eq!((ringback, sounds_of(us, &mut sounds).congestion[0].0, sounds.len()), ([1, 4, 1], 6, 7));
    }
}
