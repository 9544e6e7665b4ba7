//! Backup windows (`hh24:mi-hh24:mi`, every day) and maintenance windows (`ddd:hh24:mi-ddd:hh24:mi`, every week). UTC.

use jiff::Timestamp;

const DAY: i64 = 24 * 60;
const WEEK: i64 = 7 * DAY;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Minutes from `now` until the window is open, 0 while it is; `None` for a window that cannot be read.
pub(super) fn minutes_until(window: &str, now: Timestamp) -> Option<i64> {
    let (start, end) = window.split_once('-')?;
    let now = minute_of_week(now);
    let (start, end, period) = match (weekly(start), weekly(end)) {
        (Some(start), Some(end)) => (start, end, WEEK),
        _ => (minute(start)?, minute(end)?, DAY),
    };
    let length = (end - start).rem_euclid(period);
    let since = (now - start).rem_euclid(period);
    Some(if since < length { 0 } else { period - since })
}

/// Minutes since Monday midnight; the first day of the epoch was a Thursday.
fn minute_of_week(now: Timestamp) -> i64 {
    (now.as_second().div_euclid(60) + 3 * DAY).rem_euclid(WEEK)
}

fn weekly(text: &str) -> Option<i64> {
    let (day, time) = text.split_once(':')?;
    let day = DAYS
        .iter()
        .position(|known| known.eq_ignore_ascii_case(day))?;
    Some(i64::try_from(day).ok()? * DAY + minute(time)?)
}

fn minute(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.parse().ok()?);
    ((0..24).contains(&hour) && (0..60).contains(&minute)).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_found_across_midnight_and_the_end_of_the_week() {
        // A Tuesday.
        let now: Timestamp = "2026-11-24T16:00:00Z".parse().unwrap();
        for (window, minutes) in [
            ("tue:16:30-tue:17:00", Some(30)),
            ("tue:15:45-tue:16:15", Some(0)),
            ("tue:15:30-tue:16:00", Some(WEEK - 30)),
            ("sun:23:30-mon:00:00", Some(5 * DAY + 7 * 60 + 30)),
            ("15:45-16:15", Some(0)),
            ("23:45-00:15", Some(7 * 60 + 45)),
            ("16:00-16:30", Some(0)),
            ("nonsense", None),
            ("25:00-26:00", None),
        ] {
            assert_eq!(minutes_until(window, now), minutes, "{window}");
        }
    }
}
