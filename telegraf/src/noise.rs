//! Randomness that needs no state: every value is a function of a key and an instant.
//!
//! A key is hashed from the seed, the host's name and the name of what is drawn. Values between the points of a lattice
//! are blended, so that neighbours in time resemble each other as they do on a real host, and so that a run may begin
//! at any instant and agree with every other run.

/// The periods that are summed, in seconds, and the share of each in the variance.
const OCTAVES: [(i64, f64); 5] = [
    (6 * 3600, 0.30),
    (3600, 0.30),
    (900, 0.20),
    (300, 0.15),
    (40, 0.05),
];

/// The variance of one octave before its share is applied: uniform on [−1, 1], blended between lattice points.
const OCTAVE_VARIANCE: f64 = 0.25;

/// A source of values for one purpose on one host.
#[derive(Debug, Clone, Copy)]
pub struct Noise {
    key: u64,
}

impl Noise {
    /// Creates the source named `purpose` of a host.
    #[must_use]
    pub fn new(seed: u64, host: &str, purpose: &str) -> Self {
        // FNV-1a over both names, a separator between them.
        let mut key = 0xcbf2_9ce4_8422_2325 ^ mix(seed);
        for byte in host.bytes().chain([0xff]).chain(purpose.bytes()) {
            key = (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self { key: mix(key) }
    }

    /// Draws the value of an index, uniform on [0, 1).
    #[must_use]
    pub fn uniform(&self, index: i64) -> f64 {
        let bits = mix(self.key ^ mix(index as u64));
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Draws the value of an index, uniform on [`low`, `high`).
    #[must_use]
    pub fn between(&self, index: i64, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform(index)
    }

    /// Answers a smooth curve at an instant, within [−1, 1], that turns about once in `period_s` seconds.
    #[must_use]
    pub fn smooth(&self, time_s: i64, period_s: i64) -> f64 {
        let cell = time_s.div_euclid(period_s);
        let fraction = time_s.rem_euclid(period_s) as f64 / period_s as f64;
        let ease = fraction * fraction * (3.0 - 2.0 * fraction);
        let (left, right) = (self.uniform(cell), self.uniform(cell + 1));
        2.0 * (left + (right - left) * ease) - 1.0
    }

    /// Answers autocorrelated noise of mean 0 and standard deviation about 1, from seconds up to hours.
    #[must_use]
    pub fn fractal(&self, time_s: i64) -> f64 {
        OCTAVES
            .iter()
            .enumerate()
            .map(|(octave, &(period_s, share))| {
                let layer = Self {
                    key: self.key.wrapping_add(octave as u64 + 1),
                };
                layer.smooth(time_s, period_s) * (share / OCTAVE_VARIANCE).sqrt()
            })
            .sum()
    }
}

/// The finaliser of `SplitMix64`: every bit of the input reaches every bit of the output.
fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_and_instant_give_the_same_value() {
        let (a, b) = (
            Noise::new(7, "web-01", "cpu"),
            Noise::new(7, "web-01", "cpu"),
        );
        assert_eq!(
            a.fractal(1_700_000_123).to_bits(),
            b.fractal(1_700_000_123).to_bits()
        );
        for other in [
            Noise::new(8, "web-01", "cpu"),
            Noise::new(7, "web-02", "cpu"),
            Noise::new(7, "web-01", "mem"),
        ] {
            assert_ne!(a.uniform(1).to_bits(), other.uniform(1).to_bits());
        }
    }

    #[test]
    fn noise_is_centred_of_unit_spread_and_autocorrelated() {
        let noise = Noise::new(1, "h", "x");
        let values: Vec<f64> = (0..20_000).map(|k| noise.fractal(k * 300)).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let next = values
            .windows(2)
            .map(|w| (w[0] - mean) * (w[1] - mean))
            .sum::<f64>()
            / n
            / variance;
        assert!(mean.abs() < 0.1, "mean {mean}");
        assert!((0.7..1.4).contains(&variance), "variance {variance}");
        assert!((0.5..0.95).contains(&next), "lag-1 correlation {next}");
    }
}
