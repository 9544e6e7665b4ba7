//! The maintenance window, in which pending changes are applied.

use super::super::Call;
use super::super::state::DbInstance;
use super::phases::apply;
use super::rename::schedule_rename;
use crate::world::Timeline;

/// Applies what is pending when the maintenance window comes, as long as it is still pending then.
pub(super) fn schedule_window(call: &mut Call<'_>, before: &DbInstance) {
    let Some(wait) = until_window(&before.maintenance_window, call.now) else {
        return;
    };
    let timeline = Timeline::new(call.scope, &before.resource_id).then(wait, |moment| {
        let Some(instance) = moment.instance() else {
            return;
        };
        if instance.pending.is_empty() || instance.status != "available" {
            return;
        }
        let mut changes = std::mem::take(&mut instance.pending);
        let rename = changes.new_id.take();
        apply(instance, changes);
        if let Some(new_id) = rename {
            instance.status = "modifying".to_owned();
            let (scope, subject, now) = (moment.scope.clone(), moment.subject.clone(), moment.now);
            schedule_rename(moment.world, &scope, now, &subject, new_id);
        }
    });
    call.world.schedule(call.now, timeline);
}

/// Seconds until a window such as `sun:05:00-sun:05:30` opens.
pub(crate) fn until_window(window: &str, now: jiff::Timestamp) -> Option<u64> {
    let mut parts = window.split('-').next()?.split(':');
    let day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        .iter()
        .position(|day| Some(*day) == parts.clone().next())?;
    let (hours, minutes): (i64, i64) = (parts.nth(1)?.parse().ok()?, parts.next()?.parse().ok()?);
    let opens = i64::try_from(day).ok()? * 86_400 + hours * 3_600 + minutes * 60;
    // The epoch was a Thursday.
    let present = (now.as_second() + 3 * 86_400).rem_euclid(7 * 86_400);
    u64::try_from((opens - present).rem_euclid(7 * 86_400)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_window_is_less_than_a_week_away() {
        // 2026-11-24 is a Tuesday.
        let now: jiff::Timestamp = "2026-11-24T05:00:00Z".parse().expect("a time");
        assert_eq!(until_window("tue:05:30-tue:06:00", now), Some(1800));
        assert_eq!(
            until_window("tue:04:30-tue:05:00", now),
            Some(7 * 86_400 - 1800)
        );
    }
}
