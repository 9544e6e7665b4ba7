//! How long a step is expected to take: as long as steps of its kind took before.

use std::collections::BTreeMap;

use atrest_model::plan::{Action, Plan, Step};
use atrest_model::run::Spent;

use crate::run::{StepTime, step_kind, step_spent};

/// How long steps took, by kind and by the size of the instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepHistory {
    /// GiB and seconds.
    kinds: BTreeMap<String, Vec<(i64, f64)>>,
}

/// So many samples of a kind are enough; older ones say less.
const SAMPLES: usize = 1000;

impl StepHistory {
    /// A step of an instance of so many GiB took so many seconds.
    pub fn add(&mut self, step: &Step, gib: i64, seconds: f64) {
        if !seconds.is_finite() || seconds < 0.0 {
            return;
        }
        let kind = step_kind(&step.id).to_owned();
        let samples = self.kinds.entry(kind).or_default();
        if samples.len() < SAMPLES {
            samples.push((gib, seconds));
        }
    }

    /// Takes the steps of a run that were done without being sent twice or stopped: those tell how long they take.
    ///
    /// The journal has nothing of a step that only looks before it is done, and so does not tell how long that took.
    pub fn add_run(&mut self, plan: &Plan, steps: &[StepTime]) {
        for time in steps {
            let Some(ended) = time.ended.filter(|ended| *ended > time.began) else {
                continue;
            };
            let migration = plan.migrations.iter().find(|one| one.id == time.migration);
            let step = migration.and_then(|one| one.steps.iter().find(|step| step.id == time.step));
            if let (Some(migration), Some(step), 1) = (migration, step, time.sent) {
                let seconds = ended.duration_since(time.began).as_secs_f64();
                self.add(step, migration.allocated_storage, seconds);
            }
        }
    }

    /// The median of what steps of this kind took; where RDS copies data or rows are compared, of those of at least half
    /// and at most double the size. `None` is no history.
    #[must_use]
    pub fn expected(&self, step: &Step, gib: i64) -> Option<f64> {
        let grows =
            step_spent(&step.action) == Spent::Copying || matches!(step.action, Action::Validate);
        let alike = |other: i64| {
            let (small, large) = (gib.min(other).max(1), gib.max(other).max(1));
            !grows || large <= small.saturating_mul(2)
        };
        let mut seconds: Vec<f64> = self
            .kinds
            .get(step_kind(&step.id))?
            .iter()
            .filter(|(other, _)| alike(*other))
            .map(|(_, seconds)| *seconds)
            .collect();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &str, action: Action) -> Step {
        Step {
            id: id.to_owned(),
            needs: Vec::new(),
            deadline_seconds: 60,
            action,
        }
    }

    fn copy() -> Step {
        step(
            "encrypted-copy",
            Action::EncryptedCopy {
                source_snapshot: String::new(),
                snapshot: String::new(),
                kms_key_id: String::new(),
                tags: Vec::new(),
            },
        )
    }

    #[test]
    fn what_copies_data_is_compared_by_size_and_the_rest_is_not() {
        let mut history = StepHistory::default();
        assert_eq!(history.expected(&copy(), 100), None);
        for (gib, seconds) in [(100, 600.0), (110, 700.0), (120, 6_000.0), (1_000, 9_000.0)] {
            history.add(&copy(), gib, seconds);
        }
        assert_eq!(history.expected(&copy(), 100), Some(700.0));
        assert_eq!(history.expected(&copy(), 700), Some(9_000.0));
        assert_eq!(history.expected(&copy(), 10), None);
        history.add(&step("rescan", Action::Rescan), 1_000, 3.0);
        assert_eq!(
            history.expected(&step("rescan", Action::Rescan), 1),
            Some(3.0)
        );
        // What no clock measures is no sample.
        history.add(&step("validate", Action::Validate), 1, f64::NAN);
        history.add(&step("validate", Action::Validate), 1, -1.0);
        assert_eq!(
            history.expected(&step("validate", Action::Validate), 1),
            None
        );
    }
}
