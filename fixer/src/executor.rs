//! The embedded executor: runs the steps of a plan, owns waiting, the journal and the deadlines.
//!
//! The decision what to do with an observation is one pure function, [`decide`]; everything else is plumbing around it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atrest_model::Tool;
use atrest_model::event::RunEvent;
use atrest_model::journal::{StepEvent, StepStatus};
use atrest_model::plan::{Action, Migration, Plan, Step};
use atrest_model::run::{MigrationReport, Outcome, RunReport, SCHEMA_VERSION};
use atrest_scanner::aws::Aws;
use atrest_scanner::error::AwsErrorKind;
use atrest_scanner::rds::Rds;
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::{self, Timing};
use crate::fault::Fault;
use crate::observatory::{Observatory, RegionView};
use crate::options::FixOptions;
use crate::permit::{Permit, Validated};
use crate::steps::{self, Cx, Seen};
use crate::store::{RunStore, StepRecord, StoreError};

/// Where events go. Called from many tasks.
pub trait Reporter: Send + Sync {
    /// Takes one event. Must not block.
    fn event(&self, event: &RunEvent);
}

/// A run folder shared by the migrations of a run.
#[derive(Debug)]
pub(crate) struct SharedStore(Mutex<RunStore>);

impl SharedStore {
    pub(crate) fn get(&self) -> MutexGuard<'_, RunStore> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the plan in `store` until every migration has ended or stopped.
///
/// `stop` becomes true when the operator wants to stop: calls in flight are finished and recorded first.
pub async fn run(
    aws: &Aws,
    store: RunStore,
    options: &FixOptions,
    reporter: &dyn Reporter,
    stop: watch::Receiver<bool>,
) -> Result<RunReport, StoreError> {
    let plan = store.plan().clone();
    let regions: BTreeSet<&str> = plan.migrations.iter().map(|m| m.region.as_str()).collect();
    let regions: HashMap<&str, (Rds, Observatory)> = regions
        .into_iter()
        .map(|region| {
            let rds = aws.rds(region);
            (
                region,
                (rds.clone(), Observatory::start(rds, options.timing)),
            )
        })
        .collect();
    let store = SharedStore(Mutex::new(store));
    let mut order: Vec<&Migration> = plan.migrations.iter().collect();
    // The longest first: with a cap on migrations in flight this keeps the end short.
    order.sort_by_key(|migration| std::cmp::Reverse(migration.allocated_storage));
    let ended: Vec<Result<MigrationReport, StoreError>> = stream::iter(order)
        .map(|migration| {
            let regions = &regions;
            let store = &store;
            let stop = stop.clone();
            let plan = &plan;
            async move {
                let Some((rds, observatory)) = regions.get(migration.region.as_str()) else {
                    // Every region of the plan was opened above.
                    return Err(StoreError::Damaged {
                        file: store.get().dir().to_owned(),
                        why: "a region is missing".to_owned(),
                    });
                };
                let mut runner = Runner::new(
                    plan,
                    migration,
                    rds,
                    observatory,
                    store,
                    options,
                    reporter,
                    stop,
                )?;
                runner.run().await
            }
        })
        .buffer_unordered(options.concurrency.max(1))
        .collect()
        .await;
    let mut migrations = ended.into_iter().collect::<Result<Vec<_>, _>>()?;
    migrations.sort_by(|a, b| a.migration.cmp(&b.migration));
    let report = RunReport {
        schema_version: SCHEMA_VERSION,
        tool: Tool::current(),
        run: plan.run.clone(),
        ended: clock::now(),
        migrations,
    };
    let text = serde_json::to_string_pretty(&report).map_err(|e| StoreError::Damaged {
        file: store.get().dir().join("run.json"),
        why: e.to_string(),
    })?;
    store.get().write_report("run.json", &text)?;
    Ok(report)
}

/// What to do with an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
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
/// A mutation that was accepted is never issued again. One whose outcome is not known is issued again only when
/// nothing of it has been seen for the consistency window.
pub(crate) fn decide(
    status: StepStatus,
    seen: &Seen,
    since_intent: Duration,
    window: Duration,
) -> Decision {
    match (status, seen) {
        (_, Seen::Stuck { .. } | Seen::Drift { .. }) => Decision::Stop,
        (StepStatus::Stopped | StepStatus::Done, _) => Decision::Wait,
        (_, Seen::Done { .. }) => Decision::Finish,
        (_, Seen::Pending { .. }) => Decision::Wait,
        (StepStatus::Pending, Seen::Absent { .. }) => Decision::Act,
        (StepStatus::Intended, Seen::Absent { .. }) if since_intent >= window => Decision::Act,
        (StepStatus::Intended | StepStatus::Accepted, Seen::Absent { .. }) => Decision::Wait,
    }
}

/// State of a step in this sitting.
#[derive(Debug)]
struct Active {
    began: Instant,
    confirmed: u32,
    confirmed_by: Option<Instant>,
    last_state: String,
    last_heartbeat: Instant,
}

struct Runner<'a> {
    plan: &'a Plan,
    migration: &'a Migration,
    rds: &'a Rds,
    observatory: &'a Observatory,
    store: &'a SharedStore,
    options: &'a FixOptions,
    reporter: &'a dyn Reporter,
    stop: watch::Receiver<bool>,
    records: BTreeMap<String, StepRecord>,
    active: HashMap<String, Active>,
    made: BTreeMap<String, String>,
    /// Nothing seen before this moment counts: the last mutation of this migration was answered then.
    since: Instant,
}

/// How a look at one step ended.
enum Looked {
    /// The step is done: others may have become ready.
    Advanced,
    /// A mutation was sent: the view is out of date.
    Acted,
    /// Nothing to do before the next view.
    Waiting,
    /// The migration stops.
    Ended(Outcome),
}

/// Key under which a step's record keeps what was seen before its mutation.
const NOTED: &str = "noted";

const HEARTBEAT: Duration = Duration::from_secs(30);

impl<'a> Runner<'a> {
    #[expect(clippy::too_many_arguments, reason = "plain wiring, called once")]
    fn new(
        plan: &'a Plan,
        migration: &'a Migration,
        rds: &'a Rds,
        observatory: &'a Observatory,
        store: &'a SharedStore,
        options: &'a FixOptions,
        reporter: &'a dyn Reporter,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, StoreError> {
        let records = store.get().steps(&migration.id)?;
        let mut runner = Self {
            plan,
            migration,
            rds,
            observatory,
            store,
            options,
            reporter,
            stop,
            records,
            active: HashMap::new(),
            made: BTreeMap::new(),
            since: clock::instant(),
        };
        for step in &migration.steps {
            let stopped = runner.status(&step.id) == StepStatus::Stopped;
            if stopped {
                runner.record(&step.id, StepEvent::Reopen, &json!({"reason": "resumed"}))?;
            }
            runner.remember_made(&step.id);
        }
        Ok(runner)
    }

    fn status(&self, step: &str) -> StepStatus {
        self.records
            .get(step)
            .map_or(StepStatus::Pending, |record| record.status)
    }

    fn done(&self) -> usize {
        self.records
            .values()
            .filter(|record| record.status == StepStatus::Done)
            .count()
    }

    fn remember_made(&mut self, step: &str) {
        let id = self
            .records
            .get(step)
            .filter(|record| record.status == StepStatus::Done)
            .and_then(|record| record.result.get("dbi_resource_id"))
            .and_then(Value::as_str);
        if let Some(id) = id {
            self.made.insert(step.to_owned(), id.to_owned());
        }
    }

    fn record(&mut self, step: &str, event: StepEvent, detail: &Value) -> Result<(), StoreError> {
        let mut detail = detail.clone();
        // What was noted before the mutation is needed until its effect is seen.
        if let (Some(noted), Value::Object(members)) = (self.noted(step).cloned(), &mut detail) {
            members.entry(NOTED).or_insert(noted);
        }
        let detail = &detail;
        let status = self
            .store
            .get()
            .record(&self.migration.id, step, event, detail)?;
        let now = clock::now();
        let intended_at = match event {
            StepEvent::Intend => Some(now),
            _ => self.records.get(step).and_then(|record| record.intended_at),
        };
        let record = StepRecord {
            status,
            intended_at,
            changed_at: now,
            result: detail.clone(),
        };
        self.records.insert(step.to_owned(), record);
        Ok(())
    }

    fn noted(&self, step: &str) -> Option<&Value> {
        self.records.get(step)?.result.get(NOTED)
    }

    async fn run(&mut self) -> Result<MigrationReport, StoreError> {
        self.reporter.event(&RunEvent::MigrationBegan {
            migration: self.migration.id.clone(),
            steps: self.migration.steps.len(),
            done: self.done(),
        });
        let outcome = self.drive().await?;
        self.reporter.event(&RunEvent::MigrationEnded {
            migration: self.migration.id.clone(),
            outcome: outcome.clone(),
        });
        Ok(MigrationReport {
            migration: self.migration.id.clone(),
            outcome,
            steps_done: self.done(),
            steps: self.migration.steps.len(),
            downtime_seconds: self.downtime(),
        })
    }

    /// Looks, acts and waits until the migration ends.
    async fn drive(&mut self) -> Result<Outcome, StoreError> {
        loop {
            if self.done() == self.migration.steps.len() {
                return Ok(Outcome::Migrated);
            }
            let ready: Vec<&'a Step> = self
                .migration
                .steps
                .iter()
                .filter(|step| self.is_ready(step))
                .collect();
            if let Some(step) = ready.iter().find(|step| self.must_stop_before(step)) {
                return Ok(Outcome::Stopped {
                    step: step.id.clone(),
                    reason: "asked to stop before it".to_owned(),
                });
            }
            let Some(first) = ready.first() else {
                return Ok(Outcome::NeedsOperator {
                    step: "plan".to_owned(),
                    reason: "no step can run; the plan's needs do not add up".to_owned(),
                    hint: "make a new plan".to_owned(),
                });
            };
            let with_snapshots = ready
                .iter()
                .any(|step| steps::looks_at_snapshots(&step.action));
            let view = tokio::select! {
                biased;
                () = stopped(self.stop.clone()) => {
                    return Ok(Outcome::Stopped { step: first.id.clone(), reason: "interrupted".to_owned() });
                }
                view = self.observatory.view(self.since, with_snapshots) => view,
            };
            let view = match view {
                Ok(view) => view,
                Err(error) => {
                    if let Some(outcome) = self.view_failed(&ready, &Fault::Aws(error)) {
                        return Ok(outcome);
                    }
                    self.since = clock::instant();
                    continue;
                }
            };
            let mut advanced = false;
            let mut acted = false;
            for step in ready {
                match self.look(step, &view).await? {
                    Looked::Advanced => advanced = true,
                    Looked::Acted => acted = true,
                    Looked::Waiting => {}
                    Looked::Ended(outcome) => return Ok(outcome),
                }
            }
            // A step that became ready may be decided on the view at hand, unless something was changed since.
            if acted || !advanced {
                self.since = clock::instant();
            }
        }
    }

    fn is_ready(&self, step: &Step) -> bool {
        self.status(&step.id) != StepStatus::Done
            && step
                .needs
                .iter()
                .all(|need| self.status(need) == StepStatus::Done)
    }

    /// A step that has begun is finished first: it cannot be stopped half-way.
    fn must_stop_before(&self, step: &Step) -> bool {
        let Some(wanted) = &self.options.stop_before else {
            return false;
        };
        let cutover =
            wanted == "cutover" && matches!(step.action, Action::Rename { cutover: true, .. });
        let named = step.id == *wanted || step.id.split(':').next() == Some(wanted);
        (cutover || named) && self.status(&step.id) == StepStatus::Pending
    }

    /// A describe loop that failed. Outages are waited for until the deadline of what is under way.
    fn view_failed(&mut self, ready: &[&'a Step], fault: &Fault) -> Option<Outcome> {
        let step = *ready.first()?;
        self.reporter.event(&RunEvent::Retrying {
            subject: self.migration.region.clone(),
            step: "DescribeDBInstances".to_owned(),
            reason: fault.to_string(),
        });
        let active = self.active(step);
        let overdue = active.began.elapsed() >= Duration::from_secs(step.deadline_seconds);
        let hopeless = matches!(fault, Fault::Aws(error) if matches!(error.kind, AwsErrorKind::AccessDenied | AwsErrorKind::Credentials));
        (overdue || hopeless).then(|| Outcome::Stopped {
            step: step.id.clone(),
            reason: format!("{fault}; {}", fault.hint()),
        })
    }

    fn active(&mut self, step: &Step) -> &mut Active {
        self.active
            .entry(step.id.clone())
            .or_insert_with(|| Active {
                began: clock::instant(),
                confirmed: 0,
                confirmed_by: None,
                last_state: String::new(),
                last_heartbeat: clock::instant(),
            })
    }

    /// One look at one step, and what follows from it. Never sleeps.
    async fn look(&mut self, step: &Step, view: &Arc<RegionView>) -> Result<Looked, StoreError> {
        self.active(step);
        let observed = {
            let cx = self.cx(step);
            steps::observe(&cx, step, view).await
        };
        let seen = match observed {
            Ok(seen) => seen,
            Err(fault) if fault.is_transient() => {
                self.retrying(step, &fault);
                return self.wait(step, &fault.to_string());
            }
            Err(fault) => return self.end(step, &fault.to_string(), fault.hint()),
        };
        let timing: Timing = self.options.timing;
        // SQL is read-your-writes: what is not there after it was accepted does not come by waiting.
        let sql = matches!(
            step.action,
            Action::Accounts { .. } | Action::Configuration { .. }
        );
        if let (true, StepStatus::Accepted, Seen::Absent { state }) =
            (sql, self.status(&step.id), &seen)
        {
            let reason = format!("not there although the server took every statement: {state}");
            return self.end(
                step,
                &reason,
                "compare the accounts of both sides, mend the rest by hand, then resume",
            );
        }
        let window = if sql {
            Duration::ZERO
        } else {
            timing.consistency
        };
        let decision = decide(
            self.status(&step.id),
            &seen,
            self.since_intent(&step.id),
            window,
        );
        let confirmed = {
            let active = self.active(step);
            match seen {
                // One view counts once, however often it is looked at.
                Seen::Done { .. } if active.confirmed_by == Some(view.began) => {}
                Seen::Done { .. } => {
                    active.confirmed += 1;
                    active.confirmed_by = Some(view.began);
                }
                _ => active.confirmed = 0,
            }
            active.confirmed
        };
        match (decision, seen) {
            (Decision::Finish, Seen::Done { detail, .. })
                if confirmed < steps::confirmations(&step.action, timing.confirmations) =>
            {
                self.wait(step, &detail)
            }
            (Decision::Finish, Seen::Done { detail, result }) => self.finish(step, &detail, result),
            (Decision::Act, _) => self.act(step, view).await,
            (Decision::Stop, Seen::Drift { drift }) => {
                self.record(&step.id, StepEvent::Stop, &json!({"drift": drift}))?;
                Ok(Looked::Ended(Outcome::ValidationFailed { drift }))
            }
            (Decision::Stop, Seen::Stuck { reason, hint }) => self.end(step, &reason, &hint),
            (_, Seen::Absent { state } | Seen::Pending { state }) => self.wait(step, &state),
            (_, Seen::Done { detail, .. }) => self.wait(step, &detail),
            (_, Seen::Stuck { reason, hint }) => self.end(step, &reason, &hint),
            (_, Seen::Drift { drift }) => Ok(Looked::Ended(Outcome::ValidationFailed { drift })),
        }
    }

    fn cx(&self, step: &Step) -> Cx<'_> {
        Cx {
            plan: self.plan,
            migration: self.migration,
            rds: self.rds,
            mysql: self.options.mysql.as_ref(),
            made: &self.made,
            store: self.store,
            noted: self.noted(&step.id),
        }
    }

    fn since_intent(&self, step: &str) -> Duration {
        let intended = self.records.get(step).and_then(|record| record.intended_at);
        intended
            .map(|at| Timestamp::now().duration_since(at))
            // A clock that was set back must not shorten the window, nor a missing time lengthen it for ever.
            .map_or(Duration::ZERO, |elapsed| {
                Duration::try_from(elapsed).unwrap_or(Duration::ZERO)
            })
    }

    async fn act(&mut self, step: &Step, view: &Arc<RegionView>) -> Result<Looked, StoreError> {
        let operation = steps::operation(&step.action);
        let noted = steps::note(&self.cx(step), step, view);
        self.record(
            &step.id,
            StepEvent::Intend,
            &json!({"operation": operation, NOTED: noted}),
        )?;
        let permit = Permit::ordinary(step).or_else(|| {
            Validated::of(self.migration, &self.records).map(|proof| Permit::cutover(&proof))
        });
        let Some(permit) = permit else {
            self.record(
                &step.id,
                StepEvent::Refuse,
                &json!({"reason": "not validated"}),
            )?;
            return self.end(
                step,
                "validation is not recorded as done",
                "make a new plan",
            );
        };
        self.reporter.event(&RunEvent::Acted {
            migration: self.migration.id.clone(),
            step: step.id.clone(),
            operation: operation.to_owned(),
        });
        let answer = {
            let cx = self.cx(step);
            steps::act(&cx, step, view, &permit).await
        };
        match answer {
            Ok(()) => {
                self.record(
                    &step.id,
                    StepEvent::Accept,
                    &json!({"operation": operation}),
                )?;
                Ok(Looked::Acted)
            }
            Err(fault) if fault.outcome_unknown() => {
                // Stays intended: only looking can tell.
                self.retrying(step, &fault);
                Ok(Looked::Acted)
            }
            Err(fault) => {
                self.record(
                    &step.id,
                    StepEvent::Refuse,
                    &json!({"operation": operation, "error": fault.to_string()}),
                )?;
                if fault.is_transient() {
                    self.retrying(step, &fault);
                    self.since = clock::instant();
                    return match self.wait(step, &fault.to_string())? {
                        Looked::Ended(outcome) => Ok(Looked::Ended(outcome)),
                        _ => Ok(Looked::Acted),
                    };
                }
                self.end(step, &fault.to_string(), fault.hint())
            }
        }
    }

    fn finish(&mut self, step: &Step, detail: &str, result: Value) -> Result<Looked, StoreError> {
        let result = if result.is_null() {
            json!({"detail": detail})
        } else {
            result
        };
        self.record(&step.id, StepEvent::Finish, &result)?;
        self.remember_made(&step.id);
        let elapsed_seconds = self.active(step).began.elapsed().as_secs_f64();
        self.reporter.event(&RunEvent::StepDone {
            migration: self.migration.id.clone(),
            step: step.id.clone(),
            detail: detail.to_owned(),
            done: self.done(),
            steps: self.migration.steps.len(),
            elapsed_seconds,
        });
        Ok(Looked::Advanced)
    }

    fn wait(&mut self, step: &Step, state: &str) -> Result<Looked, StoreError> {
        let active = self.active(step);
        let elapsed = active.began.elapsed();
        if elapsed >= Duration::from_secs(step.deadline_seconds) {
            let reason = format!(
                "not done after {} s; last seen: {state}",
                step.deadline_seconds
            );
            return self.end(
                step,
                &reason,
                "look at the instance; `atrest fix --resume RUN` waits on",
            );
        }
        if active.last_state != state || active.last_heartbeat.elapsed() >= HEARTBEAT {
            state.clone_into(&mut active.last_state);
            active.last_heartbeat = clock::instant();
            self.reporter.event(&RunEvent::Waiting {
                migration: self.migration.id.clone(),
                step: step.id.clone(),
                state: state.to_owned(),
                elapsed_seconds: elapsed.as_secs_f64(),
                deadline_seconds: step.deadline_seconds,
            });
        }
        Ok(Looked::Waiting)
    }

    fn end(&mut self, step: &Step, reason: &str, hint: &str) -> Result<Looked, StoreError> {
        self.record(
            &step.id,
            StepEvent::Stop,
            &json!({"reason": reason, "hint": hint}),
        )?;
        Ok(Looked::Ended(Outcome::NeedsOperator {
            step: step.id.clone(),
            reason: reason.to_owned(),
            hint: hint.to_owned(),
        }))
    }

    fn retrying(&self, step: &Step, fault: &Fault) {
        self.reporter.event(&RunEvent::Retrying {
            subject: self.migration.id.clone(),
            step: step.id.clone(),
            reason: fault.to_string(),
        });
    }

    /// From the moment the source's rename was intended to the moment the last cutover rename was seen.
    fn downtime(&self) -> Option<f64> {
        let is_rename = |step: &&Step, wanted: bool| matches!(step.action, Action::Rename { cutover, .. } if cutover == wanted);
        let began = self
            .migration
            .steps
            .iter()
            .filter(|step| is_rename(step, false))
            .filter_map(|step| self.records.get(&step.id)?.intended_at)
            .min()?;
        let mut ended = None;
        for step in self
            .migration
            .steps
            .iter()
            .filter(|step| is_rename(step, true))
        {
            let record = self
                .records
                .get(&step.id)
                .filter(|record| record.status == StepStatus::Done)?;
            ended = ended.max(Some(record.changed_at));
        }
        Some(ended?.duration_since(began).as_secs_f64())
    }
}

/// Returns when the operator wants to stop.
async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody can ask any more.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
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
