//! Figures of days, and how far they can be trusted: means over seeds with their 95 % intervals.

use super::watch::Day;

/// A figure of a day.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// Its name for programs.
    pub key: &'static str,
    /// Its name for people; that of the service level goes with the formula's.
    pub name: &'static str,
    /// `%`, `s`, or nothing for a count.
    pub unit: &'static str,
    /// Its value; none where there is nothing to compute it of.
    pub of: fn(&Day) -> Option<f64>,
}

impl Measure {
    /// Every figure, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self { key: "offered", name: "offered", unit: "", of: |day| Some(day.outcome.offered as f64) },
        Self { key: "turned_away", name: "turned away", unit: "", of: |day| Some(day.outcome.turned_away as f64) },
        Self { key: "answered", name: "answered", unit: "", of: |day| Some(day.outcome.answered as f64) },
        Self { key: "abandoned", name: "abandoned", unit: "", of: |day| Some(day.outcome.abandoned as f64) },
        Self { key: "flowed_out", name: "flowed out", unit: "", of: |day| Some(day.outcome.flowed_out as f64) },
        Self { key: "waiting", name: "waiting at the end", unit: "", of: |day| Some(day.outcome.waiting as f64) },
        Self {
            key: "service_level_percent",
            name: "service level",
            unit: "%",
            of: |day| day.total.service_level(day.formula).map(|level| f64::from(level) / 100.0),
        },
        Self {
            key: "abandoned_percent",
            name: "abandoned / offered",
            unit: "%",
            of: |day| day.total.abandonment().map(|part| f64::from(part) / 100.0),
        },
        Self {
            key: "asa_s",
            name: "mean wait of the answered (ASA)",
            unit: "s",
            of: |day| day.total.asa().map(|wait| wait.as_us() as f64 / 1e6),
        },
        Self {
            key: "wait_p80_s",
            name: "80 % answered within",
            unit: "s",
            of: |day| day.wait_p80.map(|wait| wait.as_us() as f64 / 1e6),
        },
        Self { key: "occupancy_percent", name: "occupancy", unit: "%", of: |day| day.occupancy },
        Self {
            key: "occupancy_deviation_points",
            name: "its deviation over agents",
            unit: "%",
            of: |day| day.occupancy_spread,
        },
    ];
}

/// A mean, and how far the truth may be from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Half of the 95 % interval; none of a single value.
    pub half: Option<f64>,
    /// Of so many values.
    pub of: usize,
}

impl Estimate {
    /// Whether zero lies outside of the interval.
    pub fn differs(&self) -> bool {
        self.half.is_some_and(|half| self.mean.abs() > half)
    }
}

/// Student's t for a two-sided interval of 95 %, by degrees of freedom from 1; the normal distribution's beyond.
const T_95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// The mean of independent values, by Student's t. None without values.
pub fn estimate(values: &[f64]) -> Option<Estimate> {
    let of = values.len();
    let mean = values.iter().sum::<f64>() / of as f64;
    let half = (of > 1).then(|| {
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (of - 1) as f64;
        T_95.get(of - 2).copied().unwrap_or(1.960) * (variance / of as f64).sqrt()
    });
    (of > 0).then_some(Estimate { mean, half, of })
}

/// How much larger `these` are than `those`, pair by pair: days of the same seed had the same customers, whose chance cancels out. Pairs of which one is
/// missing are left out.
pub fn difference(these: &[Option<f64>], those: &[Option<f64>]) -> Option<Estimate> {
    let pairs = these.iter().zip(those).filter_map(|(this, that)| Some((*this)? - (*that)?));
    estimate(&pairs.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_95_percent_are_those_of_the_t_distribution() {
        // Mean 3, standard deviation sqrt(2.5); t of 4 degrees is 2.776.
        let five = estimate(&[1.0, 2.0, 3.0, 4.0, 5.0]).expect("values");
        assert!((five.mean - 3.0).abs() < 1e-9 && (five.half.expect("five") - 1.963).abs() < 1e-3, "{five:?}");
        assert_eq!(estimate(&[7.0]), Some(Estimate { mean: 7.0, half: None, of: 1 }));
        assert_eq!(estimate(&[]), None);
    }

    #[test]
    fn a_small_difference_shows_through_large_chance_when_it_is_paired() {
        let those = [Some(10.0), Some(90.0), Some(50.0), None];
        let these = [Some(11.0), Some(91.1), Some(50.9), Some(3.0)];
        let paired = difference(&these, &those).expect("pairs");
        assert!(paired.of == 3 && (paired.mean - 1.0).abs() < 1e-9 && paired.differs(), "{paired:?}");
        let alone = estimate(&[11.0, 91.1, 50.9]).expect("values");
        assert!(alone.half.expect("three") > 90.0, "unpaired, nothing could be said: {alone:?}");
    }
}
