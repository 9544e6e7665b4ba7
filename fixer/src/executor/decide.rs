//! What to do with an observation.

use std::time::Duration;

use atrest_model::journal::StepStatus;
use atrest_model::plan::Action;

use crate::clock::Timing;
use crate::steps::Seen;

/// What to do with an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Issue the mutation.
    Act,
    /// Look again later.
    Wait,
    /// Record the step as done.
    Finish,
    /// Stop the migration.
    Stop,
}

/// The one rule of execution.
///
/// A mutation that was accepted is never issued again. One whose outcome is not known is issued only when nothing of it
/// has been seen for `window`, see [`window`]; `since` is how long has been looked.
pub(super) fn decide(
    status: StepStatus,
    seen: &Seen,
    since: Duration,
    window: Duration,
) -> Decision {
    match (status, seen) {
        (_, Seen::Stuck { .. } | Seen::Drift { .. }) => Decision::Stop,
        (StepStatus::Stopped | StepStatus::Done, _) => Decision::Wait,
        (_, Seen::Done { .. }) => Decision::Finish,
        (_, Seen::Pending { .. }) => Decision::Wait,
        (StepStatus::Pending | StepStatus::Intended, Seen::Absent { .. }) if since >= window => {
            Decision::Act
        }
        (
            StepStatus::Pending | StepStatus::Intended | StepStatus::Accepted,
            Seen::Absent { .. },
        ) => Decision::Wait,
    }
}

/// How long nothing must have been seen of a mutation before it is issued.
///
/// In a run that was taken up, a step that the journal knows nothing of may have been done all the same: the journal may
/// be yesterday's, or lost. Where RDS itself refuses the second of two, because a name is taken or gone, that is found
/// out by asking; a reboot, a modification and a new instance have to be looked for first. A new instance may be between
/// its two names at the cutover, where no answer shows it, so that is looked for twice as long.
pub(super) fn window(
    action: &Action,
    status: StepStatus,
    is_resumed: bool,
    timing: &Timing,
) -> Duration {
    let unknown = status != StepStatus::Pending;
    match action {
        // SQL is read-your-writes.
        action if action.is_sql() => Duration::ZERO,
        Action::Quiesce {
            kill_connections: true,
            ..
        } => Duration::ZERO,
        Action::Restore { .. }
        | Action::CreateReplica { .. }
        | Action::TemporaryReplica { .. }
        | Action::CreateBlueGreen { .. }
        | Action::RestoreCluster { .. }
        | Action::CreateMember { .. }
        | Action::TemporaryInstance { .. }
            if is_resumed =>
        {
            timing.consistency * 2
        }
        Action::Quiesce { .. }
        | Action::Settle { .. }
        | Action::Modify { .. }
        | Action::ModifyCluster { .. }
        | Action::UnprotectCluster { .. }
        | Action::ManagePassword { .. }
            if is_resumed =>
        {
            timing.consistency
        }
        _ if unknown => timing.consistency,
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(180);

    fn absent() -> Seen {
        Seen::Absent {
            state: String::new(),
        }
    }

    #[test]
    fn an_accepted_mutation_is_never_issued_again_however_long_it_is_absent() {
        let decision = decide(
            StepStatus::Accepted,
            &absent(),
            Duration::from_secs(1_000_000),
            WINDOW,
        );
        assert_eq!(decision, Decision::Wait);
    }

    #[test]
    fn an_unknown_outcome_is_looked_for_before_it_is_tried_again() {
        assert_eq!(
            decide(StepStatus::Intended, &absent(), Duration::ZERO, WINDOW),
            Decision::Wait
        );
        assert_eq!(
            decide(StepStatus::Intended, &absent(), WINDOW, WINDOW),
            Decision::Act
        );
    }

    #[test]
    fn what_is_seen_counts_whoever_brought_it_about() {
        let done = Seen::Done {
            detail: String::new(),
            result: Value::Null,
        };
        for status in [
            StepStatus::Pending,
            StepStatus::Intended,
            StepStatus::Accepted,
        ] {
            assert_eq!(
                decide(status, &done, Duration::ZERO, WINDOW),
                Decision::Finish
            );
        }
    }

    #[test]
    fn nothing_is_issued_while_an_effect_is_on_its_way() {
        let pending = Seen::Pending {
            state: String::new(),
        };
        for status in [
            StepStatus::Pending,
            StepStatus::Intended,
            StepStatus::Accepted,
        ] {
            assert_eq!(decide(status, &pending, WINDOW * 2, WINDOW), Decision::Wait);
        }
    }
}
