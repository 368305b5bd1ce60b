//! What the looks are multiplied by, made by the compiler: one copy for all detectors.

use core::f32::consts::PI;
use core::f64::consts::TAU;

use super::{COUNT, LOOK, STEP};

/// The frequencies of ITU-T Q.23 in Hz, the lower group first.
pub const FREQUENCIES: [u32; COUNT] = [697, 770, 852, 941, 1_209, 1_336, 1_477, 1_633];

/// The Hann window of a look.
pub static WINDOW: [f32; LOOK] = window();

/// For each sample of a look the cosines of all frequencies, and their sines negated.
pub static REFERENCE: [[f32; 2 * COUNT]; LOOK] = reference();

/// Cosine and sine of what the phase of each frequency moves from look to look, turned back.
pub static STEP_BACK: [(f32, f32); COUNT] = step_back();

/// What a sum, squared, has to be multiplied by for the energy of its tone in a look: of a sine of peak `A` the sum is
/// `A / 2` times the window's sum (80), and the energy `A * A / 2` times the sum of its squares (60).
pub const ENERGY: f32 = 60.0 * 2.0 / (80.0 * 80.0);

/// The energy of a sine in a look, by its peak.
pub const fn energy_of(peak: f32) -> f32 {
    peak * peak / 2.0 * 60.0
}

/// How much of its energy a tone shows that is `hz` beside the frequency it is looked for at: the Hann window's main lobe.
pub fn seen_at(hz: f32) -> f32 {
    let bins = (hz * LOOK as f32 / 8_000.0).abs().min(1.2);
    if bins < 0.01 {
        return 1.0;
    }
    // Its two halves meet at one bin, where nought is divided by nought.
    if (bins - 1.0).abs() < 0.01 {
        return 0.25;
    }
    let amplitude = (PI * bins).sin() / (PI * bins) / (1.0 - bins * bins);
    amplitude * amplitude
}

/// Cosine and sine of `turns` turns, in 0..1, by their series.
const fn turned(turns: f64) -> (f64, f64) {
    let x = (turns - 0.5) * TAU;
    let (mut cosine, mut sine, mut term, mut n) = (0.0, 0.0, 1.0, 0_u32);
    while n < 40 {
        match n % 4 {
            0 => cosine += term,
            1 => sine += term,
            2 => cosine -= term,
            _ => sine -= term,
        }
        n += 1;
        term *= x / n as f64;
    }
    // Half a turn was taken off.
    (-cosine, -sine)
}

/// The turns of a frequency in `samples`, without the whole ones.
const fn turns(hertz: u32, samples: usize) -> f64 {
    ((hertz as usize * samples) % 8_000) as f64 / 8_000.0
}

const fn window() -> [f32; LOOK] {
    let mut out = [0.0; LOOK];
    let mut n = 0;
    while n < LOOK {
        out[n] = (0.5 - 0.5 * turned((n as f64 + 0.5) / LOOK as f64).0) as f32;
        n += 1;
    }
    out
}

const fn reference() -> [[f32; 2 * COUNT]; LOOK] {
    let mut out = [[0.0; 2 * COUNT]; LOOK];
    let mut n = 0;
    while n < LOOK {
        let mut f = 0;
        while f < COUNT {
            let (cosine, sine) = turned(turns(FREQUENCIES[f], n));
            out[n][f] = cosine as f32;
            out[n][COUNT + f] = -sine as f32;
            f += 1;
        }
        n += 1;
    }
    out
}

const fn step_back() -> [(f32, f32); COUNT] {
    let mut out = [(0.0, 0.0); COUNT];
    let mut f = 0;
    while f < COUNT {
        let (cosine, sine) = turned(turns(FREQUENCIES[f], STEP));
        out[f] = (cosine as f32, -sine as f32);
        f += 1;
    }
    out
}
