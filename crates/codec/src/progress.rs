//! Call-progress tones by country, as telephone networks sound them (ITU-T E.180 supplement 2): ringback, busy, congestion.

use core::f32::consts::TAU;

use offhook_units::SampleRate;

/// Peak of a tone, of 32,767: 13 dB below the level of a full sine, in the midst of what E.180 section 5.2 leaves open. Two
/// frequencies share its power.
const PEAK: f32 = 7_300.0;

/// A tone fades over its last 5 ms.
const FADES_MS: u16 = 5;

/// One tone: frequencies in Hz that sound together (0 for none), and how long it sounds and rests in ms, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    frequencies: [u16; 2],
    rhythm: &'static [(u16, u16)],
}

/// The tones of one country.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountryTones {
    /// Its code, ISO 3166-1 in small letters; `eu` for what ETSI recommends to all of Europe (TR 101 041-2).
    pub country: &'static str,
    /// The far end rings.
    pub ringback: Progress,
    /// The far end talks to somebody else.
    pub busy: Progress,
    /// There is no way to the far end.
    pub congestion: Progress,
}

type Row = (&'static str, [(&'static [u16], &'static [(u16, u16)]); 3]);

/// Country; ringback, busy and congestion with their frequencies and rhythms.
const ROWS: [Row; 44] = [
    ("eu", [(&[425], &[(1_000, 4_000)]), (&[425], &[(500, 500)]), (&[425], &[(200, 200)])]),
    ("at", [(&[420], &[(1_000, 5_000)]), (&[420], &[(400, 400)]), (&[420], &[(200, 200)])]),
    ("au", [(&[400, 450], &[(400, 200), (400, 2_000)]), (&[425], &[(375, 375)]), (&[425], &[(375, 375)])]),
    ("be", [(&[425], &[(1_000, 3_000)]), (&[425], &[(500, 500)]), (&[425], &[(167, 167)])]),
    ("bg", [(&[425], &[(1_000, 4_000)]), (&[425], &[(500, 500)]), (&[425], &[(250, 250)])]),
    ("br", [(&[425], &[(1_000, 4_000)]), (&[425], &[(250, 250)]), (&[425], &[(250, 250), (750, 250)])]),
    ("ca", [(&[440, 480], &[(2_000, 4_000)]), (&[480, 620], &[(500, 500)]), (&[480, 620], &[(250, 250)])]),
    ("ch", [(&[425], &[(1_000, 4_000)]), (&[425], &[(500, 500)]), (&[425], &[(200, 200)])]),
    ("cl", [(&[400], &[(1_000, 3_000)]), (&[400], &[(500, 500)]), (&[400], &[(200, 200)])]),
    ("cn", [(&[450], &[(1_000, 4_000)]), (&[450], &[(350, 350)]), (&[450], &[(700, 700)])]),
    ("cz", [(&[425], &[(1_000, 4_000)]), (&[425], &[(330, 330)]), (&[425], &[(165, 165)])]),
    ("de", [(&[425], &[(1_000, 4_000)]), (&[425], &[(480, 480)]), (&[425], &[(240, 240)])]),
    ("dk", [(&[425], &[(1_000, 4_000)]), (&[425], &[(500, 500)]), (&[425], &[(200, 200)])]),
    ("ee", [(&[425], &[(1_000, 4_000)]), (&[425], &[(300, 300)]), (&[425], &[(200, 200)])]),
    ("es", [(&[425], &[(1_500, 3_000)]), (&[425], &[(200, 200)]), (&[425], &[(200, 200), (200, 200), (200, 600)])]),
    ("fi", [(&[425], &[(1_000, 4_000)]), (&[425], &[(300, 300)]), (&[425], &[(200, 200)])]),
    ("fr", [(&[440], &[(1_500, 3_500)]), (&[440], &[(500, 500)]), (&[440], &[(250, 250)])]),
    ("gb", [(&[400, 450], &[(400, 200), (400, 2_000)]), (&[400], &[(375, 375)]), (&[400], &[(400, 350), (225, 525)])]),
    ("gr", [(&[425], &[(1_000, 4_000)]), (&[425], &[(300, 300)]), (&[425], &[(200, 200)])]),
    ("hk", [(&[440, 480], &[(400, 200), (400, 3_000)]), (&[480, 620], &[(500, 500)]), (&[480, 620], &[(250, 250)])]),
    ("hu", [(&[425], &[(1_250, 3_750)]), (&[425], &[(300, 300)]), (&[425], &[(300, 300)])]),
    ("ie", [(&[400, 450], &[(400, 200), (400, 2_000)]), (&[425], &[(500, 500)]), (&[425], &[(250, 250)])]),
    ("il", [(&[400], &[(1_000, 3_000)]), (&[400], &[(500, 500)]), (&[400], &[(250, 250)])]),
    // 400 Hz, modulated with 25: its two side tones.
    ("in", [(&[375, 425], &[(400, 200), (400, 2_000)]), (&[400], &[(750, 750)]), (&[400], &[(250, 250)])]),
    ("it", [(&[425], &[(1_000, 4_000)]), (&[425], &[(500, 500)]), (&[425], &[(200, 200)])]),
    // 400 Hz, modulated with 16.
    ("jp", [(&[384, 416], &[(1_000, 2_000)]), (&[400], &[(500, 500)]), (&[400], &[(500, 500)])]),
    ("kr", [(&[440, 480], &[(1_000, 2_000)]), (&[480, 620], &[(500, 500)]), (&[480, 620], &[(300, 200)])]),
    ("lt", [(&[425], &[(1_000, 4_000)]), (&[425], &[(350, 350)]), (&[425], &[(200, 200)])]),
    ("mx", [(&[425], &[(1_000, 4_000)]), (&[425], &[(250, 250)]), (&[425], &[(250, 250)])]),
    ("my", [(&[425], &[(400, 200), (400, 2_000)]), (&[425], &[(500, 500)]), (&[425], &[(500, 500)])]),
    ("nl", [(&[425], &[(1_000, 4_000)]), (&[425], &[(500, 500)]), (&[425], &[(250, 250)])]),
    ("no", [(&[425], &[(1_000, 4_000)]), (&[425], &[(500, 500)]), (&[425], &[(200, 200)])]),
    ("nz", [(&[400, 450], &[(400, 200), (400, 2_000)]), (&[400], &[(500, 500)]), (&[400], &[(250, 250)])]),
    ("ph", [(&[425, 480], &[(1_000, 4_000)]), (&[480, 620], &[(500, 500)]), (&[480, 620], &[(250, 250)])]),
    ("pl", [(&[425], &[(1_000, 4_000)]), (&[425], &[(500, 500)]), (&[425], &[(500, 500)])]),
    ("pt", [(&[425], &[(1_000, 5_000)]), (&[425], &[(500, 500)]), (&[425], &[(200, 200)])]),
    ("se", [(&[425], &[(1_000, 5_000)]), (&[425], &[(250, 250)]), (&[425], &[(250, 750)])]),
    // 425 Hz, modulated with 24.
    ("sg", [(&[401, 449], &[(400, 200), (400, 2_000)]), (&[425], &[(750, 750)]), (&[425], &[(250, 250)])]),
    ("si", [(&[425], &[(1_000, 4_000)]), (&[425], &[(500, 500)]), (&[425], &[(250, 250)])]),
    ("sk", [(&[425], &[(1_000, 4_000)]), (&[425], &[(330, 330)]), (&[425], &[(165, 165)])]),
    ("th", [(&[400], &[(1_000, 4_000)]), (&[400], &[(500, 500)]), (&[400], &[(300, 300)])]),
    ("tw", [(&[440, 480], &[(1_000, 2_000)]), (&[480, 620], &[(500, 500)]), (&[480, 620], &[(250, 250)])]),
    ("us", [(&[440, 480], &[(2_000, 4_000)]), (&[480, 620], &[(500, 500)]), (&[480, 620], &[(250, 250)])]),
    // 400 Hz, modulated with 33.
    ("za", [(&[367, 433], &[(400, 200), (400, 2_000)]), (&[400], &[(500, 500)]), (&[400], &[(250, 250)])]),
];

const fn progress((frequencies, rhythm): (&'static [u16], &'static [(u16, u16)])) -> Progress {
    let second = if frequencies.len() > 1 { frequencies[1] } else { 0 };
    Progress { frequencies: [frequencies[0], second], rhythm }
}

const fn tones() -> [CountryTones; ROWS.len()] {
    let none = progress(ROWS[0].1[0]);
    let mut all = [CountryTones { country: "", ringback: none, busy: none, congestion: none }; ROWS.len()];
    let mut at = 0;
    while at < ROWS.len() {
        let (country, [ringback, busy, congestion]) = ROWS[at];
        all[at] = CountryTones {
            country,
            ringback: progress(ringback),
            busy: progress(busy),
            congestion: progress(congestion),
        };
        at += 1;
    }
    all
}

impl CountryTones {
    /// All that are known; the first one is Europe's.
    pub const ALL: [Self; ROWS.len()] = tones();

    /// Those of a country by its code, in any case.
    pub fn of(country: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tones| tones.country.eq_ignore_ascii_case(country))
    }
}

impl Progress {
    /// How long its rhythm is until it begins anew, in ms.
    pub fn cycle_ms(&self) -> u32 {
        self.rhythm.iter().map(|(on, off)| u32::from(*on) + u32::from(*off)).sum()
    }

    /// So many rounds of its rhythm. Each sounding begins at zero and fades at its end, so that neither makes a click.
    pub fn samples(&self, rate: SampleRate, rounds: u32) -> Vec<i16> {
        let peak = if self.frequencies[1] == 0 { PEAK } else { PEAK / 2.0_f32.sqrt() };
        let length = |ms: u16| usize::from(ms) * rate.0 as usize / 1_000;
        let mut pcm = Vec::new();
        for (on, off) in (0..rounds).flat_map(|_| self.rhythm) {
            let steps = self.frequencies.map(|hertz| f32::from(hertz) * TAU / rate.0 as f32);
            let (on, fades) = (length(*on), length(FADES_MS) as f32);
            pcm.extend((0..on).map(|n| {
                let sines: f32 = steps.iter().map(|step| (step * n as f32).sin()).sum();
                (sines * peak * ((on - n) as f32 / fades).min(1.0)) as i16
            }));
            pcm.resize(pcm.len() + length(*off), 0);
        }
        pcm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The power at a frequency, as the peak of a sine of it.
    fn peak_at(pcm: &[i16], hertz: f32) -> f32 {
        let (mut real, mut imaginary) = (0.0_f64, 0.0_f64);
        for (n, sample) in pcm.iter().enumerate() {
            let angle = f64::from(hertz) * core::f64::consts::TAU * n as f64 / 8_000.0;
            real += f64::from(*sample) * angle.cos();
            imaginary += f64::from(*sample) * angle.sin();
        }
        (2.0 * real.hypot(imaginary) / pcm.len() as f64) as f32
    }

    /// Lengths of sound and rest in ms, by the level of 5 ms at a time.
    fn rhythm_of(pcm: &[i16]) -> Vec<(u32, u32)> {
        let mut rhythm: Vec<(u32, u32)> = Vec::new();
        let mut sounded = false;
        for part in pcm.chunks(40) {
            let sounds = part.iter().any(|sample| sample.abs() > 1_000);
            if sounds && !sounded {
                rhythm.push((0, 0));
            }
            let last = rhythm.last_mut().expect("it begins with sound");
            *(if sounds { &mut last.0 } else { &mut last.1 }) += 5;
            sounded = sounds;
        }
        rhythm
    }

    fn check(country: &str, kind: &str, frequencies: &[f32], rhythm: &[(u32, u32)]) {
        let tones = CountryTones::of(country).expect("a country");
        let tone = match kind {
            "ringback" => tones.ringback,
            "busy" => tones.busy,
            _ => tones.congestion,
        };
        let pcm = tone.samples(SampleRate::NARROW, 2);
        let measured = rhythm_of(&pcm);
        let expected: Vec<_> = rhythm.iter().chain(rhythm).collect();
        assert_eq!(measured.len(), expected.len(), "{country} {kind}: {measured:?}");
        for (measured, expected) in measured.iter().zip(expected) {
            let near = |a: u32, b: u32| a.abs_diff(b) <= 10;
            assert!(near(measured.0, expected.0) && near(measured.1, expected.1), "{country} {kind}: {measured:?}");
        }
        let sounding = &pcm[..rhythm[0].0 as usize * 8];
        let share = PEAK / (frequencies.len() as f32).sqrt();
        for hertz in frequencies {
            let peak = peak_at(sounding, *hertz);
            assert!((share * 0.93..share * 1.07).contains(&peak), "{country} {kind} at {hertz}: {peak}");
        }
        assert!(peak_at(sounding, 1_000.0) < share / 20.0, "{country} {kind} at 1,000 Hz");
    }

    #[test]
    fn tones_of_countries_have_the_measured_frequencies_and_rhythms_of_e180() {
        check("de", "ringback", &[425.0], &[(1_000, 4_000)]);
        check("de", "busy", &[425.0], &[(480, 480)]);
        check("DE", "congestion", &[425.0], &[(240, 240)]);
        check("at", "ringback", &[420.0], &[(1_000, 5_000)]);
        check("fr", "ringback", &[440.0], &[(1_500, 3_500)]);
        check("es", "congestion", &[425.0], &[(200, 200), (200, 200), (200, 600)]);
        check("gb", "ringback", &[400.0, 450.0], &[(400, 200), (400, 2_000)]);
        check("gb", "congestion", &[400.0], &[(400, 350), (225, 525)]);
        check("us", "ringback", &[440.0, 480.0], &[(2_000, 4_000)]);
        check("us", "busy", &[480.0, 620.0], &[(500, 500)]);
        check("ca", "congestion", &[480.0, 620.0], &[(250, 250)]);
        check("jp", "busy", &[400.0], &[(500, 500)]);
        check("cn", "congestion", &[450.0], &[(700, 700)]);
        check("br", "congestion", &[425.0], &[(250, 250), (750, 250)]);
        check("in", "busy", &[400.0], &[(750, 750)]);
        check("se", "congestion", &[425.0], &[(250, 750)]);
        check("pt", "ringback", &[425.0], &[(1_000, 5_000)]);
        check("kr", "congestion", &[480.0, 620.0], &[(300, 200)]);
        check("za", "ringback", &[367.0, 433.0], &[(400, 200), (400, 2_000)]);
    }

    #[test]
    fn each_of_43_countries_and_europe_has_three_tones_that_neither_clip_nor_click_and_fit_their_rhythm() {
        for CountryTones { country, ringback, busy, congestion } in CountryTones::ALL {
            for tone in [ringback, busy, congestion] {
                let pcm = tone.samples(SampleRate::NARROW, 3);
                assert!(pcm.len().abs_diff(3 * tone.cycle_ms() as usize * 8) <= 3, "{country}: {}", pcm.len());
                // No step is larger than the steepest of the highest tones.
                let steepest = pcm.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max();
                let own = tone.frequencies.map(|hertz| TAU * f32::from(hertz) / 8_000.0).iter().sum::<f32>() * PEAK;
                assert!(steepest.is_some_and(|steepest| steepest as f32 <= own + 2.0), "{country}: {steepest:?}");
                assert!(pcm.iter().all(|sample| sample.abs() < 11_000));
            }
        }
        let known = CountryTones::ALL.map(|tones| tones.country);
        assert!(known[1..].is_sorted() && known.iter().all(|country| CountryTones::of(country).is_some()));
        assert_eq!((known.len(), known[0], CountryTones::of("xx")), (44, "eu", None));
    }
}
