//! Bounds that no clock can keep together: found pair by pair, and taken out.
//!
//! A lower bound l at time t and an upper bound u at time s contradict each other if l - R |t - s| > u, where R is the
//! most that the clocks drift. That is l + R t > u + R s and l - R t > u - R s: each bound becomes a point in the plane,
//! and contradictions are counted like the points below and to the left of another.

use super::fit::{Bound, Kind};

/// Indices of bounds that contradict others, the worst first: whoever contradicts the most goes, until nothing is left to
/// contradict. Where it cannot be told which of two is wrong, both go: fewer bounds only make the result less sharp.
#[must_use]
pub fn contradicting(bounds: &[Bound], max_drift_ppm: u32) -> Vec<usize> {
    let mut points: Vec<Point> =
        bounds.iter().enumerate().map(|(index, bound)| Point::new(index, bound, max_drift_ppm)).collect();
    let mut gone = Vec::new();
    loop {
        let counts = counts(&points);
        let most = counts.iter().copied().max().unwrap_or(0);
        if most == 0 {
            return gone;
        }
        let mut counts = counts.into_iter();
        points.retain(|point| {
            let stays = counts.next() != Some(most);
            if !stays {
                gone.push(point.index);
            }
            stays
        });
    }
}

#[derive(Clone, Copy)]
struct Point {
    index: usize,
    kind: Kind,
    p: i128,
    q: i128,
}

impl Point {
    fn new(index: usize, bound: &Bound, max_drift_ppm: u32) -> Self {
        let (value, drift) =
            (i128::from(bound.offset_ns) * 1_000_000, i128::from(max_drift_ppm) * i128::from(bound.t_ns));
        Self { index, kind: bound.kind, p: value + drift, q: value - drift }
    }
}

/// How many others each contradicts.
fn counts(points: &[Point]) -> Vec<usize> {
    let mut ranks: Vec<i128> = points.iter().map(|point| point.q).collect();
    ranks.sort_unstable();
    let rank = |q: i128| ranks.partition_point(|other| *other < q);
    let mut order: Vec<usize> = (0..points.len()).collect();
    // Of equal ones the lower bounds come first, for a bound that is just kept contradicts nothing.
    order.sort_unstable_by_key(|at| (points[*at].p, points[*at].kind == Kind::Upper));
    let mut counts = vec![0; points.len()];
    let mut uppers = Ranks::new(points.len());
    for at in &order {
        match points[*at].kind {
            Kind::Upper => uppers.add(rank(points[*at].q)),
            Kind::Lower => counts[*at] = uppers.below(rank(points[*at].q)),
        }
    }
    let mut lowers = Ranks::new(points.len());
    let mut so_far = 0;
    for at in order.iter().rev() {
        match points[*at].kind {
            Kind::Lower => {
                lowers.add(rank(points[*at].q));
                so_far += 1;
            }
            Kind::Upper => {
                let not_above = ranks.partition_point(|other| *other <= points[*at].q);
                counts[*at] = so_far - lowers.below(not_above);
            }
        }
    }
    counts
}

/// Counts what was added below a rank: a Fenwick tree.
struct Ranks(Vec<usize>);

impl Ranks {
    fn new(len: usize) -> Self {
        Self(vec![0; len + 1])
    }

    fn add(&mut self, rank: usize) {
        let mut at = rank + 1;
        while at < self.0.len() {
            self.0[at] += 1;
            at += at & at.wrapping_neg();
        }
    }

    fn below(&self, rank: usize) -> usize {
        let (mut at, mut sum) = (rank, 0);
        while at > 0 {
            sum += self.0[at];
            at &= at - 1;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(kind: Kind, t_ns: u64, offset_ns: i64) -> Bound {
        Bound { kind, t_ns, offset_ns }
    }

    #[test]
    fn counts_are_those_of_looking_at_every_pair() {
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..50 {
            let bounds: Vec<Bound> = (0..40)
                .map(|_| {
                    let kind = if next(2) == 0 { Kind::Lower } else { Kind::Upper };
                    bound(kind, next(20) * 1_000_000, i64::try_from(next(2_000)).unwrap() - 1_000)
                })
                .collect();
            let points: Vec<Point> = bounds.iter().enumerate().map(|(n, b)| Point::new(n, b, 100)).collect();
            let slow: Vec<usize> = bounds
                .iter()
                .map(|one| {
                    bounds.iter().filter(|other| contradict(one, other) || contradict(other, one)).count()
                })
                .collect();
            assert_eq!(counts(&points), slow);
        }
    }

    fn contradict(lower: &Bound, upper: &Bound) -> bool {
        let slack = i128::from(lower.t_ns.abs_diff(upper.t_ns)) * 100;
        (lower.kind, upper.kind) == (Kind::Lower, Kind::Upper)
            && i128::from(lower.offset_ns) * 1_000_000 - slack > i128::from(upper.offset_ns) * 1_000_000
    }

    #[test]
    fn one_liar_among_many_is_the_one_that_goes() {
        let mut bounds: Vec<Bound> = (0..20)
            .flat_map(|n| [bound(Kind::Lower, n * 1_000, -50), bound(Kind::Upper, n * 1_000, 50)])
            .collect();
        bounds[10].offset_ns = 5_000;
        assert_eq!(contradicting(&bounds, 1_000), [10]);
    }
}
