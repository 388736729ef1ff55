//! Medians and percentiles.

use std::time::Duration;

/// The value below which `share` (0 to 1) of the samples lie, by linear interpolation between the two nearest.
/// `None` without samples.
pub(crate) fn quantile(samples: &[f64], share: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// Median and 90th percentile. `None` without samples.
pub(crate) fn median_and_p90(samples: &[f64]) -> (Option<f64>, Option<f64>) {
    (quantile(samples, 0.5), quantile(samples, 0.9))
}

/// Milliseconds, with their fraction.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_and_need_no_order() {
        assert_eq!(median_and_p90(&[3.0, 1.0, 2.0]), (Some(2.0), Some(2.8)));
        assert_eq!(quantile(&[4.0, 1.0], 0.5), Some(2.5));
        assert_eq!(median_and_p90(&[7.0]), (Some(7.0), Some(7.0)));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
