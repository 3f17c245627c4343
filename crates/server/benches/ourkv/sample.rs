//! Measured values and what is said of them.

use std::time::Duration;

/// Measured values, sorted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// Of these values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// Of durations, in milliseconds.
    pub(crate) fn of_ms<'a>(durations: impl IntoIterator<Item = &'a Duration>) -> Self {
        Self::of(durations.into_iter().map(|duration| duration.as_secs_f64() * 1e3))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest.
    pub(crate) fn min(&self) -> f64 {
        self.percentile(0)
    }

    /// The middle.
    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// What 99 of 100 do not exceed; below 100 values the largest.
    pub(crate) fn p99(&self) -> f64 {
        self.percentile(99)
    }

    /// The largest.
    pub(crate) fn max(&self) -> f64 {
        self.percentile(100)
    }

    /// By nearest rank: always one of the values.
    fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(f64::NAN)
    }
}
