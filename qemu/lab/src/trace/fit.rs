//! Two clocks from bounds on what lies between them: offset, drift, and how wrong they may be.
//!
//! What is to be added to one clock is a line over that clock's time, named here by its values at the first and the last
//! time of interest. Each bound at time t cuts the plane of these two values in half; together with the most that clocks
//! drift they leave a convex polygon. The middle of its bounding box is inside it (of any convex figure: a line that had
//! all four touching points on one side of the middle would have to be both steeper and flatter than the diagonal), and
//! is wrong by half the box at most.

use super::conflict;

/// What kind of bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// At least so much is to be added.
    Lower,
    /// At most.
    Upper,
}

/// One bound on what is to be added to a clock at one of its times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound {
    /// Which.
    pub kind: Kind,
    /// The time, by the clock that is to be converted.
    pub t_ns: u64,
    /// The other clock's time minus this one's.
    pub offset_ns: i64,
}

/// The fitted line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fit {
    /// The first and the last time that it is for.
    pub span: (u64, u64),
    /// What is to be added at these.
    pub offset_ns: (f64, f64),
    /// By how much that may be wrong: half of what the bounds leave, rounded up.
    pub error_ns: (u64, u64),
}

/// Why there is no line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// Nothing bounds it from this side.
    #[error("nothing bounds the offset from {0}: expected at least one {1} that both traces tell of")]
    Unbounded(&'static str, &'static str),
}

impl Fit {
    /// What is to be added at a time.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "spans of less than 2^53 ns, which are 104 days")]
    pub fn at(&self, t_ns: u64) -> f64 {
        let (from, to) = self.span;
        if to == from {
            return self.offset_ns.0;
        }
        let part = (t_ns as f64 - from as f64) / (to - from) as f64;
        self.offset_ns.0 + (self.offset_ns.1 - self.offset_ns.0) * part
    }

    /// The time on the other clock.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "rounded to whole ns")]
    pub fn convert(&self, t_ns: u64) -> i128 {
        i128::from(t_ns) + self.at(t_ns).round() as i128
    }

    /// How much faster the other clock runs.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "spans of less than 2^53 ns")]
    pub fn drift_ppm(&self) -> f64 {
        let (from, to) = self.span;
        if to == from { 0.0 } else { (self.offset_ns.1 - self.offset_ns.0) / (to - from) as f64 * 1e6 }
    }

    /// The most that any time of the span may be wrong by.
    #[must_use]
    pub fn worst_ns(&self) -> u64 {
        self.error_ns.0.max(self.error_ns.1)
    }
}

/// Fits a line for the times from `span.0` to `span.1`, which hold all bounds. Also gives the indices of the bounds that
/// contradict the others and were left out.
///
/// # Errors
/// When one side is unbounded, also after contradictions were left out.
pub fn fit(bounds: &[Bound], span: (u64, u64), max_drift_ppm: u32) -> Result<(Fit, Vec<usize>), FitError> {
    let mut out = conflict::contradicting(bounds, max_drift_ppm);
    let mut kept: Vec<bool> = vec![true; bounds.len()];
    out.iter().for_each(|index| kept[*index] = false);
    let of = |kind: Kind| {
        let those = bounds.iter().zip(&kept).filter(move |(bound, kept)| **kept && bound.kind == kind);
        those.map(|(bound, _)| bound.offset_ns)
    };
    let highest = of(Kind::Lower).max().ok_or(FitError::Unbounded("below", "interrupt"))?;
    let lowest = of(Kind::Upper).min().ok_or(FitError::Unbounded("above", "doorbell"))?;
    let mut plane = Plane::new(span, max_drift_ppm, highest, lowest);
    for (index, bound) in bounds.iter().enumerate().filter(|(index, _)| kept[*index]) {
        // Any two agree, but three may not.
        if !plane.cut(bound) {
            out.push(index);
        }
    }
    Ok((plane.fit(), out))
}

/// What the bounds leave.
struct Plane {
    span: (u64, u64),
    /// Values are relative to this, so that their precision is far below 1 ns.
    base_ns: i64,
    polygon: Vec<(f64, f64)>,
}

impl Plane {
    #[expect(clippy::cast_precision_loss, reason = "differences of less than 2^53 ns")]
    fn new(span: (u64, u64), max_drift_ppm: u32, highest: i64, lowest: i64) -> Self {
        let drift = (span.1 - span.0) as f64 * f64::from(max_drift_ppm) / 1e6 + 1.0;
        let (low, high) = (-drift, (lowest - highest) as f64 + drift);
        let polygon = vec![(low, low), (high, low), (high, high), (low, high)];
        let mut plane = Self { span, base_ns: highest, polygon };
        // The line climbs or falls by `drift` at most.
        for sign in [1.0, -1.0] {
            plane.polygon = clip(&plane.polygon, (sign, -sign), drift);
        }
        plane
    }

    /// Takes a bound in, unless it would leave nothing.
    #[expect(clippy::cast_precision_loss, reason = "differences of less than 2^53 ns")]
    fn cut(&mut self, bound: &Bound) -> bool {
        let (from, to) = self.span;
        let part = if to == from { 0.0 } else { (bound.t_ns - from) as f64 / (to - from) as f64 };
        let sign = if bound.kind == Kind::Upper { 1.0 } else { -1.0 };
        let limit = (i128::from(bound.offset_ns) - i128::from(self.base_ns)) as f64;
        let left = clip(&self.polygon, (sign * (1.0 - part), sign * part), sign * limit + ROUNDING);
        if left.is_empty() {
            return false;
        }
        self.polygon = left;
        true
    }

    #[expect(clippy::cast_precision_loss, reason = "an offset of less than 2^53 ns, which are 104 days")]
    fn fit(&self) -> Fit {
        let (x, y) = (range(self.polygon.iter().map(|at| at.0)), range(self.polygon.iter().map(|at| at.1)));
        let middle = |(low, high): (f64, f64)| self.base_ns as f64 + (low + high) / 2.0;
        Fit { span: self.span, offset_ns: (middle(x), middle(y)), error_ns: (half(x), half(y)) }
    }
}

/// A bound is that much wider, for the rounding of what is computed with it.
const ROUNDING: f64 = 0.01;

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// Half of it, rounded up, and 1 ns for the rounding of what is converted.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a width in ns, which is not negative"
)]
fn half((low, high): (f64, f64)) -> u64 {
    ((high - low) / 2.0).max(0.0).ceil() as u64 + 1
}

/// What of a convex polygon keeps a x + b y <= limit.
fn clip(polygon: &[(f64, f64)], (a, b): (f64, f64), limit: f64) -> Vec<(f64, f64)> {
    let over = |at: &(f64, f64)| a * at.0 + b * at.1 - limit;
    let mut left = Vec::with_capacity(polygon.len() + 1);
    for (n, here) in polygon.iter().enumerate() {
        let next = &polygon[(n + 1) % polygon.len()];
        let (h, k) = (over(here), over(next));
        if h <= 0.0 {
            left.push(*here);
        }
        if (h < 0.0 && k > 0.0) || (h > 0.0 && k < 0.0) {
            let part = h / (h - k);
            left.push((here.0 + (next.0 - here.0) * part, here.1 + (next.1 - here.1) * part));
        }
    }
    left
}
