//! Delta debugging: a shorter list that still fails, such that nothing more can be left out of it alone.
//!
//! The algorithm is Zeller and Hildebrandt's (2002): halves, then their complements, then finer parts.

/// Makes `items` shorter as long as `fails` says so. Nothing can be left out of what comes back alone, if `fails` answers the
/// same for the same list. It must hold for the list that is given.
///
/// # Errors
/// The first of `fails`; `items` is the shortest list so far that failed.
pub fn ddmin<T: Clone, E>(
    items: &mut Vec<T>,
    mut fails: impl FnMut(&[T]) -> Result<bool, E>,
) -> Result<(), E> {
    if items.is_empty() {
        return Ok(());
    }
    if fails(&[])? {
        items.clear();
        return Ok(());
    }
    let mut parts = 2;
    while items.len() > 1 {
        parts = parts.min(items.len());
        if let Some(part) = first_part(items, parts, &mut fails)? {
            *items = part;
            parts = 2;
        } else if let Some(rest) = first_rest(items, parts, &mut fails)? {
            *items = rest;
            parts = (parts - 1).max(2);
        } else if parts < items.len() {
            parts *= 2;
        } else {
            break;
        }
    }
    Ok(())
}

/// The first of `parts` parts that fails alone.
fn first_part<T: Clone, E>(
    items: &[T],
    parts: usize,
    fails: &mut impl FnMut(&[T]) -> Result<bool, E>,
) -> Result<Option<Vec<T>>, E> {
    for part in 0..parts {
        let (from, to) = bounds(items.len(), parts, part);
        if fails(&items[from..to])? {
            return Ok(Some(items[from..to].to_vec()));
        }
    }
    Ok(None)
}

/// What is left without one of `parts` parts, of the first one without which it still fails.
fn first_rest<T: Clone, E>(
    items: &[T],
    parts: usize,
    fails: &mut impl FnMut(&[T]) -> Result<bool, E>,
) -> Result<Option<Vec<T>>, E> {
    // Of two parts the rest of one is the other.
    if parts == 2 {
        return Ok(None);
    }
    for part in 0..parts {
        let (from, to) = bounds(items.len(), parts, part);
        let rest = [&items[..from], &items[to..]].concat();
        if fails(&rest)? {
            return Ok(Some(rest));
        }
    }
    Ok(None)
}

/// Where a part begins and ends; parts differ by one item at most, and none is empty.
const fn bounds(len: usize, parts: usize, part: usize) -> (usize, usize) {
    (len * part / parts, len * (part + 1) / parts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn shortest(mut items: Vec<u32>, mut fails: impl FnMut(&[u32]) -> bool) -> Vec<u32> {
        ddmin(&mut items, |part| Ok::<_, Infallible>(fails(part))).unwrap_or_else(|never| match never {});
        items
    }

    proptest! {
        /// Whatever subset is the cause, exactly that is left, in its order.
        #[test]
        fn a_cause_that_fails_whenever_it_is_there_is_left_alone(
            len in 1_u32..80,
            cause in proptest::collection::btree_set(0_u32..80, 0..8),
        ) {
            let cause: BTreeSet<_> = cause.into_iter().filter(|item| *item < len).collect();
            let fails = |part: &[u32]| cause.iter().all(|item| part.contains(item));
            prop_assert_eq!(shortest((0..len).collect(), fails), cause.iter().copied().collect::<Vec<_>>());
        }

        /// For any test at all, however odd: what is left fails, and with any one item less it does not.
        #[test]
        fn what_is_left_fails_and_nothing_can_be_left_out_of_it(len in 1_u32..24, salt: u64) {
            let all: Vec<u32> = (0..len).collect();
            let odd = |part: &[u32]| {
                let sum = part.iter().fold(salt, |sum, item| (sum ^ u64::from(*item)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                part.len() == all.len() || sum >> 62 == 0
            };
            let left = shortest(all.clone(), odd);
            prop_assert!(odd(&left));
            for out in 0..left.len() {
                let mut less = left.clone();
                less.remove(out);
                prop_assert!(!odd(&less), "{:?} without the item at {}", left, out);
            }
        }

        /// Order stays, nothing is invented.
        #[test]
        fn what_is_left_is_a_part_of_what_was_given(items in proptest::collection::vec(0_u32..9, 0..40), few in 0_usize..5) {
            let left = shortest(items.clone(), |part| part.len() >= few.min(items.len()));
            prop_assert_eq!(left.len(), few.min(items.len()));
            let mut from = items.iter();
            prop_assert!(left.iter().all(|item| from.any(|other| other == item)));
        }
    }

    #[test]
    fn an_end_in_the_middle_leaves_the_shortest_list_so_far() {
        let (mut items, mut runs) = ((0..64).collect::<Vec<u32>>(), 0);
        let ended = ddmin(&mut items, |part| {
            runs += 1;
            if runs > 4 { Err("no more runs") } else { Ok(part.contains(&7)) }
        });
        assert_eq!(ended, Err("no more runs"));
        assert!(items.contains(&7) && items.len() < 64, "{items:?}");
    }
}
