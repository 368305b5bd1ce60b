//! How a listener would rate what was heard: the E-model, ITU-T G.107, reduced to what a telephone exchange can see: loss and
//! delay. All else has the Recommendation's default values (narrowband, echo controlled at both ends).

/// The rating of a connection without loss and delay: `Ro - Is` with all defaults (G.107 table 2).
const BEST: f64 = 93.2;

/// What a codec costs by itself and under loss, ITU-T G.113 appendix I.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impairment {
    /// Equipment impairment factor `Ie`.
    pub equipment: f64,
    /// Packet-loss robustness factor `Bpl`.
    pub robustness: f64,
}

impl Impairment {
    /// G.711 with concealment as in its appendix I.
    pub const G711: Self = Self { equipment: 0.0, robustness: 25.1 };

    /// `Ie-eff` at a share of packets lost, 0 to 1, that are lost at random (`BurstR` = 1), G.107 (7-29).
    fn under_loss(self, lost: f64) -> f64 {
        let percent = lost.clamp(0.0, 1.0) * 100.0;
        self.equipment + (95.0 - self.equipment) * percent / (percent + self.robustness)
    }
}

/// `Idd` of a mouth-to-ear delay in milliseconds, G.107 (7-27): nothing up to 100 ms.
fn of_delay(ms: f64) -> f64 {
    if ms <= 100.0 {
        return 0.0;
    }
    let x = (ms / 100.0).log2();
    25.0 * ((1.0 + x.powi(6)).powf(1.0 / 6.0) - 3.0 * (1.0 + (x / 3.0).powi(6)).powf(1.0 / 6.0) + 2.0)
}

/// The rating `R`, 0 to 93.2, of speech of which the share `lost` (0 to 1) is missing and that is `delay_ms` old at the ear.
pub fn rating(codec: Impairment, lost: f64, delay_ms: f64) -> f64 {
    (BEST - of_delay(delay_ms.max(0.0)) - codec.under_loss(lost)).clamp(0.0, BEST)
}

/// The estimated mean opinion score of a rating, 1 to 4.5, G.107 annex B.
pub fn mos(rating: f64) -> f64 {
    if rating <= 0.0 {
        return 1.0;
    }
    let r = rating.min(100.0);
    // Below R = 6.5 the polynomial dips under 1.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, by: f64) {
        assert!((a - b).abs() <= by, "{a} is not {b}");
    }

    #[test]
    fn a_clean_call_rates_93_2_which_is_a_score_of_4_41() {
        near(rating(Impairment::G711, 0.0, 0.0), 93.2, 1e-9);
        near(mos(93.2), 4.41, 0.005);
    }

    /// Provisional values of G.107 annex B, table B.1.
    #[test]
    fn the_ratings_of_annex_b_have_its_scores() {
        for (r, score) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            near(mos(r), score, 0.007);
        }
        assert_eq!((mos(0.0), mos(-5.0), mos(3.0)), (1.0, 1.0, 1.0));
    }

    /// G.113 appendix I, table I.4: G.711 with concealment under random loss.
    #[test]
    fn loss_costs_what_g_113_says() {
        for (percent, cost) in [(1.0, 3.6), (2.0, 7.0), (5.0, 15.8), (10.0, 27.1)] {
            near(93.2 - rating(Impairment::G711, percent / 100.0, 0.0), cost, 0.1);
        }
    }

    #[test]
    fn delay_costs_nothing_to_100_ms_and_grows_steadily_from_there() {
        near(of_delay(100.0), 0.0, 1e-9);
        let costs: Vec<f64> = (2..=12).map(|n| of_delay(f64::from(n) * 50.0)).collect();
        assert!(costs.windows(2).all(|pair| pair[0] < pair[1]), "{costs:?}");
        // X = 1 at 200 ms: 25 * (2^(1/6) - 3 * (1 + 3^-6)^(1/6) + 2).
        near(of_delay(200.0), 3.044, 0.001);
    }

    #[test]
    fn nonsense_in_is_still_a_rating() {
        for (lost, delay) in [(-1.0, -5.0), (9.0, 1e9), (1.0, 0.0)] {
            let r = rating(Impairment::G711, lost, delay);
            assert!((0.0..=93.2).contains(&r) && (1.0..=4.5).contains(&mos(r)), "{r}");
        }
    }
}
