//! Two records of the same happenings in the same order, of which either may lack some: which belong together.

/// How far it looks for the place where both go on together.
const REACH: usize = 64;

/// Pairs of indices, rising in both: `same(i, j)` says that the two could be one happening.
///
/// Where they differ, the nearest place is taken at which two in a row agree again (or both end), and what lies before
/// it stays alone.
pub fn align(left: usize, right: usize, same: impl Fn(usize, usize) -> bool) -> Vec<(usize, usize)> {
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < left && j < right {
        if same(i, j) {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
            continue;
        }
        let agrees =
            |i: usize, j: usize| same(i, j) && (i + 1 >= left || j + 1 >= right || same(i + 1, j + 1));
        match resume(left - i, right - j, |di, dj| agrees(i + di, j + dj)) {
            Some((di, dj)) => (i, j) = (i + di, j + dj),
            None => (i, j) = (i + 1, j + 1),
        }
    }
    pairs
}

/// The smallest step over both at which they agree.
fn resume(left: usize, right: usize, agrees: impl Fn(usize, usize) -> bool) -> Option<(usize, usize)> {
    for sum in 1..=REACH {
        for di in 0..=sum {
            let dj = sum - di;
            if di < left && dj < right && agrees(di, dj) {
                return Some((di, dj));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(left: &[u32], right: &[u32]) -> Vec<(usize, usize)> {
        align(left.len(), right.len(), |i, j| left[i] == right[j])
    }

    #[test]
    fn equal_rows_pair_one_to_one() {
        assert_eq!(words(&[1, 2, 3], &[1, 2, 3]), [(0, 0), (1, 1), (2, 2)]);
    }

    #[test]
    fn what_one_side_lost_stays_alone_and_the_rest_pairs() {
        assert_eq!(words(&[1, 2, 5, 6], &[1, 2, 3, 4, 5, 6]), [(0, 0), (1, 1), (2, 4), (3, 5)]);
        assert_eq!(words(&[9, 8, 1, 2], &[1, 2]), [(2, 0), (3, 1)]);
    }

    #[test]
    fn counts_that_start_anew_are_not_taken_for_earlier_ones() {
        // 1 2 3 | 1 2 3 with the first run's end lost on the right.
        assert_eq!(words(&[1, 2, 3, 1, 2, 3], &[1, 2, 1, 2, 3]), [(0, 0), (1, 1), (3, 2), (4, 3), (5, 4)]);
    }

    #[test]
    fn nothing_in_common_pairs_nothing() {
        assert_eq!(words(&[1, 2], &[3, 4]), []);
    }
}
