//! When the steps of a run ran, when it stood still, and when clients were away.

use std::collections::BTreeMap;

use atrest_model::diff::DiffReport;
use atrest_model::journal::StepStatus;
use atrest_model::plan::{Action, Migration, Plan};
use jiff::Timestamp;

/// When a step ran, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTime {
    /// `region/identifier`.
    pub migration: String,
    /// Step.
    pub step: String,
    /// Status at the end.
    pub status: StepStatus,
    /// When it was begun first.
    pub began: Timestamp,
    /// When it was done.
    pub ended: Option<Timestamp>,
    /// How often a mutation was about to be sent; more than once if RDS had refused it.
    pub sent: usize,
}

impl StepTime {
    /// The times of all steps, from the lines of a journal in their order: migration, step, status after it, and when.
    pub fn of_journal<'a>(
        lines: impl IntoIterator<Item = (&'a str, &'a str, StepStatus, Timestamp)>,
    ) -> Vec<Self> {
        let mut steps: BTreeMap<(&str, &str), Self> = BTreeMap::new();
        for (migration, step, status, at) in lines {
            let time = steps.entry((migration, step)).or_insert_with(|| Self {
                migration: migration.to_owned(),
                step: step.to_owned(),
                status,
                began: at,
                ended: None,
                sent: 0,
            });
            time.status = status;
            time.ended = (status == StepStatus::Done).then_some(at);
            time.sent += usize::from(status == StepStatus::Intended);
        }
        let mut steps: Vec<Self> = steps.into_values().collect();
        steps.sort_by(|a, b| {
            (&a.migration, a.began, &a.step).cmp(&(&b.migration, b.began, &b.step))
        });
        steps
    }
}

/// What a mark on a timeline stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    /// A call failed and was tried again.
    Retry,
    /// The migration stopped.
    Stopped,
    /// It was taken up again.
    Resumed,
}

/// Something that happened at a moment of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMark {
    /// `region/identifier`; for calls that serve several migrations, the region.
    pub migration: String,
    /// Step or operation; empty where none is meant.
    pub step: String,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: MarkKind,
    /// Why; may be empty.
    pub reason: String,
}

/// What a report of a run may show beside its end.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunContext<'a> {
    /// The plan: it tells which renames take clients away and bring them back.
    pub plan: Option<&'a Plan>,
    /// When each step ran.
    pub steps: &'a [StepTime],
    /// Retries and stops, in their order.
    pub marks: &'a [RunMark],
    /// What validation, or a later diff, found.
    pub diff: Option<&'a DiffReport>,
}

impl<'a> RunContext<'a> {
    /// The steps of a migration that have begun, in the order they did.
    pub(crate) fn steps_of(&self, migration: &str) -> Vec<&'a StepTime> {
        let steps = self.steps.iter();
        steps.filter(|step| step.migration == migration).collect()
    }

    pub(crate) fn marks_of(&self, migration: &str) -> impl Iterator<Item = &'a RunMark> {
        let marks = self.marks.iter();
        marks.filter(move |mark| mark.migration == migration)
    }

    /// When clients of a migration were away, if its rename has begun and the plan is known.
    pub(crate) fn away(&self, migration: &str) -> Option<Away> {
        let mut migrations = self.plan?.migrations.iter();
        let planned = migrations.find(|planned| planned.id == migration)?;
        Away::of(planned, &self.steps_of(migration))
    }

    /// When a migration stood still: from each stop until something happened again.
    pub(crate) fn pauses(&self, migration: &str) -> Vec<Pause<'a>> {
        let steps = self.steps_of(migration);
        let mut pauses: Vec<Pause<'a>> = Vec::new();
        for mark in self.marks_of(migration) {
            match (mark.kind, pauses.last_mut()) {
                (MarkKind::Stopped, Some(open)) if open.until.is_none() => {}
                (MarkKind::Stopped, _) => {
                    let later = steps.iter().map(|step| step.began);
                    pauses.push(Pause {
                        from: mark.at,
                        until: later.filter(|began| *began > mark.at).min(),
                        step: &mark.step,
                        reason: &mark.reason,
                    });
                }
                (MarkKind::Resumed, Some(open)) if mark.at >= open.from => {
                    let until = open.until.map_or(mark.at, |until| until.min(mark.at));
                    open.until = Some(until);
                }
                (MarkKind::Resumed | MarkKind::Retry, _) => {}
            }
        }
        pauses
    }
}

/// A time in which a migration stood still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause<'a> {
    pub(crate) from: Timestamp,
    /// `None` when it was not taken up again.
    pub(crate) until: Option<Timestamp>,
    pub(crate) step: &'a str,
    pub(crate) reason: &'a str,
}

/// When clients were away: from the first rename of a source until the last rename to a real name was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Away {
    pub(crate) from: Timestamp,
    /// `None` when they are away still.
    pub(crate) until: Option<Timestamp>,
}

impl Away {
    fn of(migration: &Migration, steps: &[&StepTime]) -> Option<Self> {
        let those =
            |is: fn(&Action) -> bool| migration.steps.iter().filter(move |step| is(&step.action));
        let time = |id: &str| steps.iter().find(|step| step.step == id);
        let from = those(Action::takes_clients_away)
            .filter_map(|step| time(&step.id))
            .map(|step| step.began)
            .min()?;
        let back: Option<Vec<Timestamp>> = those(Action::is_cutover)
            .map(|step| time(&step.id)?.ended)
            .collect();
        Some(Self {
            from,
            until: back.and_then(|back| back.into_iter().max()),
        })
    }

    /// Seconds, up to now if clients are away still.
    pub(crate) fn seconds(&self, now: Timestamp) -> f64 {
        let until = self.until.unwrap_or(now).max(self.from);
        until.duration_since(self.from).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn mark(kind: MarkKind, second: i64) -> RunMark {
        RunMark {
            migration: "r/a".to_owned(),
            step: "restore".to_owned(),
            at: at(second),
            kind,
            reason: String::new(),
        }
    }

    #[test]
    fn a_refused_mutation_is_counted_and_the_first_beginning_kept() {
        let lines = [
            ("r/a", "restore", StepStatus::Intended, at(1)),
            ("r/a", "restore", StepStatus::Pending, at(2)),
            ("r/a", "restore", StepStatus::Intended, at(3)),
            ("r/a", "restore", StepStatus::Accepted, at(4)),
            ("r/a", "restore", StepStatus::Done, at(9)),
        ];
        let steps = StepTime::of_journal(lines);
        assert_eq!(steps.len(), 1);
        assert_eq!(
            (steps[0].began, steps[0].ended, steps[0].sent),
            (at(1), Some(at(9)), 2)
        );
    }

    #[test]
    fn a_stop_lasts_until_something_happens_again() {
        let marks = [
            mark(MarkKind::Resumed, 0),
            mark(MarkKind::Stopped, 10),
            mark(MarkKind::Retry, 11),
            mark(MarkKind::Resumed, 50),
            mark(MarkKind::Stopped, 60),
        ];
        let context = RunContext {
            marks: &marks,
            ..RunContext::default()
        };
        let pauses: Vec<_> = context.pauses("r/a");
        let times: Vec<_> = pauses.iter().map(|p| (p.from, p.until)).collect();
        assert_eq!(times, [(at(10), Some(at(50))), (at(60), None)]);
        assert!(context.pauses("r/b").is_empty());

        // A log without the resumption: the next step shows that it went on.
        let steps = StepTime::of_journal([("r/a", "validate", StepStatus::Intended, at(40))]);
        let context = RunContext {
            marks: &marks[..3],
            steps: &steps,
            ..RunContext::default()
        };
        assert_eq!(context.pauses("r/a")[0].until, Some(at(40)));
    }
}
