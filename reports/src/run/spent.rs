//! Where the time of a migration went: copying, waiting for RDS, our own work, standing still.

use atrest_model::plan::{Action, Migration, Step, Target};
use atrest_model::run::{InstanceDowntime, KindTime, MigrationTimes, Spent};
use jiff::Timestamp;

use super::{RunContext, StepTime};

/// The kind of a step: its name up to the `:`, as `fix --stop-before` takes it.
#[must_use]
pub fn step_kind(step: &str) -> &str {
    step.split(':').next().unwrap_or(step)
}

/// What the time of a step is spent on, by the operation it issues: a step without one is our own work, and what is
/// made from data that is there takes as long as the data is large.
#[must_use]
pub fn step_spent(action: &Action) -> Spent {
    match action.operation() {
        // The successor reads what the source has written.
        None if matches!(
            action,
            Action::CatchUp { .. } | Action::FinalPosition { .. }
        ) =>
        {
            Spent::Waiting
        }
        None => Spent::Own,
        Some(operation)
            if ["Create", "Copy", "Restore"]
                .iter()
                .any(|making| operation.starts_with(making)) =>
        {
            Spent::Copying
        }
        Some(_) => Spent::Waiting,
    }
}

/// A step that ran, or was ready to, from one moment to another.
struct Ran<'a> {
    step: &'a Step,
    spent: Spent,
    from: Timestamp,
    until: Timestamp,
}

impl RunContext<'_> {
    /// Where the time of a migration went up to `now`, if its plan is known and one of its steps has begun.
    #[must_use]
    pub fn times(&self, migration: &str, now: Timestamp) -> Option<MigrationTimes> {
        let planned = self.plan?.migrations.iter().find(|m| m.id == migration)?;
        let steps = self.steps_of(migration);
        let begins = steps.iter().map(|step| step.began).min()?;
        let ended = |step: &Step| {
            let time = steps.iter().find(|time| time.step == step.id);
            time.and_then(|time| time.ended)
        };
        let all: Option<Vec<Timestamp>> = planned.steps.iter().map(ended).collect();
        let ends = match all.and_then(|all| all.into_iter().max()) {
            Some(last) => last,
            None => now,
        }
        .max(begins);
        let ran: Vec<Ran<'_>> = planned
            .steps
            .iter()
            .filter_map(|step| ran(planned, step, &steps, begins, ends))
            .collect();
        let pauses: Vec<(Timestamp, Timestamp)> = self
            .pauses(migration)
            .iter()
            .map(|pause| (pause.from, pause.until.unwrap_or(ends)))
            .collect();
        let mut times = MigrationTimes {
            seconds: seconds(begins, ends),
            instances: instances(planned, &steps, ends),
            ..MigrationTimes::default()
        };
        for step in &ran {
            let kind = step_kind(&step.step.id);
            match times.kinds.iter_mut().find(|known| known.kind == kind) {
                Some(known) => known.steps += 1,
                None => times.kinds.push(KindTime {
                    kind: kind.to_owned(),
                    spent: step.spent,
                    steps: 1,
                    seconds: 0.0,
                }),
            }
        }
        let mut moments: Vec<Timestamp> = vec![begins, ends];
        moments.extend(ran.iter().flat_map(|step| [step.from, step.until]));
        moments.extend(pauses.iter().flat_map(|(from, until)| [*from, *until]));
        moments.retain(|moment| (begins..=ends).contains(moment));
        moments.sort();
        moments.dedup();
        for (from, until) in moments.iter().zip(moments.iter().skip(1)) {
            let covers = |a: Timestamp, b: Timestamp| a <= *from && *until <= b;
            let took = seconds(*from, *until);
            let running = ran
                .iter()
                .filter(|step| covers(step.from, step.until))
                .min_by_key(|step| (step.spent, step.from));
            let Some(step) = running.filter(|_| !pauses.iter().any(|(a, b)| covers(*a, *b))) else {
                times.idle_seconds += took;
                continue;
            };
            match step.spent {
                Spent::Copying => times.copying_seconds += took,
                Spent::Waiting => times.waiting_seconds += took,
                Spent::Own => times.own_seconds += took,
            }
            let kind = step_kind(&step.step.id);
            if let Some(known) = times.kinds.iter_mut().find(|known| known.kind == kind) {
                known.seconds += took;
            }
        }
        Some(times)
    }
}

fn seconds(from: Timestamp, until: Timestamp) -> f64 {
    until.duration_since(from).as_secs_f64().max(0.0)
}

/// From when a step was ready, which is before its mutation was sent, until it was done. The journal has nothing of a
/// step that only looks until it is done: it runs from when what it needs is there.
fn ran<'a>(
    planned: &Migration,
    step: &'a Step,
    steps: &[&StepTime],
    begins: Timestamp,
    ends: Timestamp,
) -> Option<Ran<'a>> {
    let of = |id: &str| steps.iter().find(|time| time.step == id);
    let needs: Option<Vec<Timestamp>> = step
        .needs
        .iter()
        .filter(|need| planned.steps.iter().any(|step| step.id == **need))
        .map(|need| of(need)?.ended)
        .collect();
    let ready = needs.as_ref().and_then(|needs| needs.iter().max().copied());
    let time = of(&step.id);
    let from = match (time, ready) {
        (Some(time), Some(ready)) => ready.min(time.began),
        (Some(time), None) => time.began,
        (None, Some(ready)) => ready,
        // Not begun, and not ready or waiting for its turn.
        (None, None) => return None,
    };
    Some(Ran {
        step,
        spent: step_spent(&step.action),
        from: from.max(begins),
        until: time.and_then(|time| time.ended).unwrap_or(ends),
    })
}

/// From when each member lost its real name until its successor was seen under it.
fn instances(planned: &Migration, steps: &[&StepTime], ends: Timestamp) -> Vec<InstanceDowntime> {
    let of = |id: &str| steps.iter().find(|time| time.step == id);
    planned
        .members()
        .filter_map(|member| {
            let lost = planned.steps.iter().find(|step| {
                matches!(&step.action, Action::Rename { instance: Target::Old(id), cutover: false, .. }
                    if *id == member.dbi_resource_id)
            })?;
            let found = planned.steps.iter().find(|step| {
                matches!(&step.action, Action::Rename { to, cutover: true, .. } if *to == member.identifier)
            });
            let from = of(&lost.id)?.began;
            let until = found.and_then(|step| of(&step.id)?.ended);
            Some(InstanceDowntime {
                identifier: member.identifier.to_string(),
                from,
                until,
                seconds: seconds(from, until.unwrap_or(ends)),
            })
        })
        .collect()
}
