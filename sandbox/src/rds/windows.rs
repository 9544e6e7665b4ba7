//! Backup windows (`hh24:mi-hh24:mi`, every day) and maintenance windows (`ddd:hh24:mi-ddd:hh24:mi`, every
//! week), in UTC.

use super::error::ApiError;

const DAY: i64 = 24 * 60;
const WEEK: i64 = 7 * DAY;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Checks the windows of a request: their form, that each lasts half an hour at least and that they do not
/// overlap. Only what was given is checked.
pub(crate) fn check(backup: Option<&str>, maintenance: Option<&str>) -> Result<(), ApiError> {
    let daily = backup.map(read_backup).transpose()?;
    let weekly = maintenance.map(read_maintenance).transpose()?;
    if let (Some((daily_start, daily_length)), Some((start, length))) = (daily, weekly) {
        let overlap = (0..7).any(|day| {
            let daily_start = day * DAY + daily_start;
            (start - daily_start).rem_euclid(WEEK) < daily_length
                || (daily_start - start).rem_euclid(WEEK) < length
        });
        if overlap {
            return Err(ApiError::value(
                "The backup window and maintenance window must not overlap.",
            ));
        }
    }
    Ok(())
}

/// Start and length in minutes.
fn read_backup(window: &str) -> Result<(i64, i64), ApiError> {
    let wrong = || {
        ApiError::value(format!(
            "Invalid backup window: {window}. It must be in the format hh24:mi-hh24:mi and last at least 30 minutes."
        ))
    };
    let (start, end) = window.split_once('-').ok_or_else(wrong)?;
    let (start, end) = (
        minute(start).ok_or_else(wrong)?,
        minute(end).ok_or_else(wrong)?,
    );
    let length = (end - start).rem_euclid(DAY);
    if length < 30 {
        return Err(wrong());
    }
    Ok((start, length))
}

fn read_maintenance(window: &str) -> Result<(i64, i64), ApiError> {
    let wrong = || {
        ApiError::value(format!(
            "Invalid maintenance window: {window}. It must be in the format ddd:hh24:mi-ddd:hh24:mi and last at least 30 minutes."
        ))
    };
    let lower = window.to_ascii_lowercase();
    let (start, end) = lower.split_once('-').ok_or_else(wrong)?;
    let moment = |text: &str| {
        let (day, time) = text.split_once(':')?;
        let day = DAYS.iter().position(|known| *known == day)?;
        Some(i64::try_from(day).ok()? * DAY + minute(time)?)
    };
    let (start, end) = (
        moment(start).ok_or_else(wrong)?,
        moment(end).ok_or_else(wrong)?,
    );
    let length = (end - start).rem_euclid(WEEK);
    if !(30..=DAY).contains(&length) {
        return Err(wrong());
    }
    Ok((start, length))
}

/// The minute of the day of `hh24:mi`.
fn minute(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    ((0..24).contains(&hours) && (0..60).contains(&minutes)).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_need_their_form_and_half_an_hour() {
        assert!(check(Some("03:00-03:30"), Some("Sun:05:00-Sun:05:30")).is_ok());
        assert!(check(Some("23:45-00:15"), None).is_ok(), "across midnight");
        for backup in [
            "3:00-3:30",
            "03:00",
            "03:00-03:29",
            "24:00-24:30",
            "03:00-03:00",
        ] {
            assert!(check(Some(backup), None).is_err(), "{backup}");
        }
        for maintenance in ["05:00-05:30", "sun:05:00-sun:05:29", "day:05:00-day:05:30"] {
            assert!(check(None, Some(maintenance)).is_err(), "{maintenance}");
        }
    }

    #[test]
    fn the_windows_must_not_overlap() {
        assert!(check(Some("05:15-05:45"), Some("sun:05:00-sun:05:30")).is_err());
        assert!(check(Some("04:45-05:15"), Some("sun:05:00-sun:05:30")).is_err());
        assert!(check(Some("05:30-06:00"), Some("sun:05:00-sun:05:30")).is_ok());
        assert!(
            check(Some("23:45-00:15"), Some("mon:00:00-mon:00:30")).is_err(),
            "across the end of the week"
        );
    }
}
