//! How sure a share is: Wilson's interval for k of n, at 95 %.

/// The normal distribution's 97.5 % quantile.
const Z: f64 = 1.959_963_984_540_054;

/// The bounds of a share, from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Interval {
    /// The lower one.
    pub low: f64,
    /// The upper one.
    pub high: f64,
}

/// Wilson's score interval for `seen` of `of`; the whole range where nothing was tried.
#[must_use]
pub fn wilson(seen: u64, of: u64) -> Interval {
    if of == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let number = |count: u64| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    let n = number(of);
    let share = number(seen) / n;
    let scale = 1.0 + Z * Z / n;
    let middle = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    // At the ends the bound is exact; rounding must not take it beyond.
    let low = if seen == 0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if seen >= of { 1.0 } else { (middle + half).min(1.0) };
    Interval { low, high }
}

/// The largest share that `of` tries without one hit leave possible, at 95 %: what "never seen" is worth.
#[must_use]
pub fn none_seen(of: u64) -> f64 {
    wilson(0, of).high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_of_the_tables() {
        // Newcombe 1998, table I, method 3: 81 of 263 and 15 of 148; 0 of 20 and 1 of 29.
        for (seen, of, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let interval = wilson(seen, of);
            assert!((interval.low - low).abs() < 5e-5, "{seen} of {of}: {interval:?}");
            assert!((interval.high - high).abs() < 5e-5, "{seen} of {of}: {interval:?}");
        }
        assert_eq!(wilson(0, 0), Interval { low: 0.0, high: 1.0 });
        assert_eq!(wilson(7, 7).high, 1.0);
    }
}
