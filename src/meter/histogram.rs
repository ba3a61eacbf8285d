//! How long deliveries take, in buckets.

/// The upper bounds of the buckets, in seconds: from a kept connection's round trip to `[queue] expire`.
pub const BOUNDS: [f64; 14] =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 432_000.0];

/// Observations by bucket, with their number and sum.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// The last one is for what is above all bounds.
    buckets: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Histogram {
    /// Takes an observation, in seconds.
    pub fn observe(&mut self, seconds: f64) {
        let at = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[at] += 1;
        self.sum += seconds;
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum, in seconds.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Each bound with how many were at most that.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BOUNDS.into_iter().zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_counts_add_up() {
        let mut histogram = Histogram::default();
        for seconds in [0.01, 0.05, 0.06, 1e9] {
            histogram.observe(seconds);
        }
        let cumulative: Vec<_> = histogram.cumulative().collect();
        assert_eq!((cumulative[0], cumulative[1], cumulative[13]), ((0.05, 2), (0.1, 3), (432_000.0, 3)));
        assert_eq!(histogram.count(), 4);
    }
}
