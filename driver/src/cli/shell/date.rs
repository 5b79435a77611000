//! The date for the head of a record, by the system's clock, in UTC.

use std::time::{Duration, SystemTime};

/// Now, as in `2026-11-21 17:02:11 UTC`.
pub(super) fn now() -> String {
    // A clock before 1970 is wrong by so much that 1970 is as good.
    written(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn written(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (mut days, time) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    while days >= of_year(year) {
        days -= of_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= of_month(year, month) {
        days -= of_month(year, month);
        month += 1;
    }
    let (hours, minutes, seconds) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year}-{month:02}-{:02} {hours:02}:{minutes:02}:{seconds:02} UTC", days + 1)
}

fn is_leap(year: u64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_around_leap_days_are_those_of_the_calendar() {
        let of = |seconds| written(Duration::from_secs(seconds));
        // What `date -u -d @N` says.
        assert_eq!(of(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(of(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(of(1_735_689_599), "2024-12-31 23:59:59 UTC");
        assert_eq!(of(1_795_280_531), "2026-11-21 17:02:11 UTC");
        assert_eq!(of(4_107_542_400), "2100-03-01 00:00:00 UTC");
    }
}
