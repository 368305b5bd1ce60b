//! Shortening and lengthening what waits to be played, and telling silence from speech.

/// Speech this much softer than the loudest of late is silence: 40 dB, as a ratio of powers.
const SOFT: f32 = 1e-4;
/// Sound within 6 dB of the softest of late is silence,
const NEAR_FLOOR: f32 = 4.0;
/// where that is 20 dB below the loudest.
const BELOW_LOUD: f32 = 1e-2;
/// Power that nobody hears: an amplitude of 10.
const UNHEARD: f32 = 100.0;
/// The loudest fades by a half, and the softest rises to its double, in 3 s of 10 ms.
const FORGET: f32 = 0.997_7;
/// Samples judged at once: 5 ms at 8 kHz.
const JUDGED: usize = 40;

/// Learns from what is played what silence is on this line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet {
    loudest: f32,
    softest: f32,
}

impl Quiet {
    /// Takes note of what is played.
    pub fn played(&mut self, pcm: &[i16]) {
        let power = power(pcm);
        self.loudest = (self.loudest * FORGET).max(power);
        self.softest = (self.softest / FORGET).max(1.0).min(power);
    }

    /// Whether all of `pcm` is silence.
    pub fn is_quiet(self, pcm: &[i16]) -> bool {
        let near = (self.softest * NEAR_FLOOR).min(self.loudest * BELOW_LOUD);
        let limit = near.max(self.loudest * SOFT).max(UNHEARD);
        pcm.chunks(JUDGED).all(|part| power(part) <= limit)
    }
}

fn power(pcm: &[i16]) -> f32 {
    pcm.iter().map(|sample| f32::from(*sample) * f32::from(*sample)).sum::<f32>() / pcm.len().max(1) as f32
}

/// Plays the first `count` samples twice, the second time blended in over `overlap` samples. `length` samples are in use, at
/// least `count + overlap`, and there is room for `count` more.
pub fn insert(pcm: &mut [i16], length: &mut usize, count: usize, overlap: usize) {
    pcm.copy_within(..*length, count);
    *length += count;
    for at in 0..overlap.min(count) {
        // What followed the first playing stands `count` further on by now.
        let follows = if count + at < *length - count { pcm[2 * count + at] } else { pcm[count + at] };
        pcm[count + at] = blend(follows, pcm[count + at], at, overlap);
    }
}

/// Takes the first `count` samples out, blending over `overlap` samples. `length` samples are in use, at least `count + overlap`.
pub fn remove(pcm: &mut [i16], length: &mut usize, count: usize, overlap: usize) {
    for at in 0..overlap {
        pcm[count + at] = blend(pcm[at], pcm[count + at], at, overlap);
    }
    pcm.copy_within(count..*length, 0);
    *length -= count;
}

fn blend(from: i16, into: i16, at: usize, overlap: usize) -> i16 {
    let weight = at as i32 + 1;
    let whole = overlap as i32 + 1;
    ((i32::from(from) * (whole - weight) + i32::from(into) * weight) / whole) as i16
}

/// The shift at which speech looks most like itself, and how alike (-1 to 1). There are at least `2 * lag_max` samples.
pub fn best_lag(speech: &[i16], lag_min: usize, lag_max: usize) -> (usize, f32) {
    let alike = |lag: usize| -> f32 {
        let (mut product, mut energy, mut other) = (0.0_f32, 1.0_f32, 1.0_f32);
        for (a, b) in speech[..lag_max].iter().zip(&speech[lag..]) {
            let (a, b) = (f32::from(*a), f32::from(*b));
            product += a * b;
            energy += a * a;
            other += b * b;
        }
        product / (energy * other).sqrt()
    };
    let all = (lag_min..=lag_max).map(|lag| (lag, alike(lag)));
    all.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((lag_max, -1.0))
}
