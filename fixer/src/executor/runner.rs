//! One migration: looks, acts, waits and records until it ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atrest_model::event::RunEvent;
use atrest_model::hook::Stage;
use atrest_model::journal::{StepEvent, StepStatus};
use atrest_model::plan::{Action, Method, Migration, Plan, Step};
use atrest_model::run::{LeftToDo, MigrationReport, Outcome};
use atrest_model::tick::Watched;
use atrest_scanner::aws::Aws;
use atrest_scanner::error::AwsErrorKind;
use atrest_scanner::rds::Rds;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::admission::Admission;
use super::decide::{Decision, decide, window};
use super::tick::Durable;
use super::{Region, Reporter, SharedStore};
use crate::clock;
use crate::fault::Fault;
use crate::observatory::{Observatory, RegionView, Wanted};
use crate::options::FixOptions;
use crate::permit::{Permit, Unwritten, Validated, is_back};
use crate::shared::Shared;
use crate::steps::{self, Cx, Seen, claim};
use crate::store::{StepRecord, StoreError};

/// State of a step in this sitting.
#[derive(Debug)]
struct Active {
    began: Instant,
    confirmed: u32,
    confirmed_by: Option<Instant>,
    last_state: String,
    last_heartbeat: Instant,
}

pub(super) struct Runner<'a> {
    pub(super) plan: &'a Plan,
    /// What it is when every step is done.
    whole: Outcome,
    pub(super) migration: &'a Migration,
    aws: &'a Aws,
    rds: &'a Rds,
    observatory: &'a Observatory,
    pub(super) store: &'a SharedStore,
    pub(super) options: &'a FixOptions,
    pub(super) reporter: &'a dyn Reporter,
    admission: &'a Admission,
    pub(super) stop: watch::Receiver<bool>,
    pause: watch::Receiver<bool>,
    pub(super) records: BTreeMap<String, StepRecord>,
    active: HashMap<String, Active>,
    pub(super) windows: steps::quiesce::Windows,
    made: BTreeMap<String, String>,
    /// Nothing seen before this moment counts: the last mutation of this migration was answered then.
    since: Instant,
    /// When this sitting began. An intent of an earlier one is looked for from here: the wall clock, which the journal's
    /// times come from, may have been set since.
    pub(super) began: Instant,
    /// Intents of this sitting.
    pub(super) intents: HashMap<String, Instant>,
    claim: claim::Claim,
    is_resumed: bool,
    forecast: Mutex<steps::replica::Forecast>,
    pub(super) is_adopted: bool,
    /// The lease, when runners on several machines share state.
    pub(super) shared: Option<Arc<Shared>>,
    /// What a tick adds; none in a sitting that goes on by itself.
    pub(super) tick: Option<super::tick::Pace>,
    /// A person has given leave for the step that leave was asked for.
    pub(super) has_leave: bool,
    /// Dependents that could not be attached again: the others come first.
    held: Vec<Outcome>,
}

/// How a sitting of a migration ended, for those that wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It is migrated.
    Arrived,
    /// It was asked to go no further, or did not begin.
    Held,
    /// It cannot go on by itself.
    Failed {
        /// Something had or may have had a real name already.
        at_cutover: bool,
    },
    /// What became of it could not be recorded.
    Lost,
}

/// Reasons of a migration that was asked to go no further.
pub(super) const INTERRUPTED: &str = "interrupted";
pub(super) const PAUSED: &str = "paused";
pub(super) const ASKED: &str = "asked to stop before it";

/// How a look at one step ended.
pub(super) enum Looked {
    /// The step is done: others may have become ready.
    Advanced,
    /// A mutation was sent: the view is out of date.
    Acted,
    /// Nothing to do before the next view.
    Waiting,
    /// The migration stops.
    Ended(Outcome),
    /// It stops at once: nothing may be sent without its lease.
    Unleased(Outcome),
}

/// How one pass over the steps that are ready ended.
pub(super) enum Pass {
    /// Each was looked at.
    Looked {
        /// One is done: others may have become ready.
        advanced: bool,
        /// A mutation was sent or intended.
        acted: bool,
        /// The view they were looked at in.
        view: Arc<RegionView>,
    },
    /// The region could not be looked at.
    Unasked(String),
    /// The migration ends or stops.
    Over(Outcome),
}

/// Key under which a step's record keeps what was seen before its mutation.
pub(super) const NOTED: &str = "noted";

const HEARTBEAT: Duration = Duration::from_secs(30);

impl<'a> Runner<'a> {
    #[expect(clippy::too_many_arguments, reason = "plain wiring, called once")]
    pub(super) fn new(
        plan: &'a Plan,
        whole: Outcome,
        migration: &'a Migration,
        aws: &'a Aws,
        region: &'a Region,
        store: &'a SharedStore,
        options: &'a FixOptions,
        reporter: &'a dyn Reporter,
        stop: watch::Receiver<bool>,
        pause: watch::Receiver<bool>,
    ) -> Result<Self, StoreError> {
        let (records, claim, is_resumed, is_adopted, shared) = {
            let store = store.get();
            let claim = claim::Claim::of(&store);
            let resumed = store.is_resumed();
            (
                store.steps(&migration.id)?,
                claim,
                resumed,
                store.is_adopted(),
                store.shared().cloned(),
            )
        };
        let now = clock::instant();
        let mut runner = Self {
            plan,
            whole,
            migration,
            aws,
            rds: &region.rds,
            observatory: &region.observatory,
            admission: &region.admission,
            store,
            options,
            reporter,
            stop,
            pause,
            records,
            active: HashMap::new(),
            made: BTreeMap::new(),
            since: now,
            began: now,
            intents: HashMap::new(),
            claim,
            is_resumed,
            forecast: Mutex::default(),
            is_adopted,
            shared,
            windows: steps::quiesce::Windows::default(),
            tick: None,
            has_leave: false,
            held: Vec::new(),
        };
        // What an earlier phase has made is worked on by a later one.
        let recorded: Vec<String> = runner.records.keys().cloned().collect();
        for step in recorded {
            runner.remember_made(&step);
        }
        Ok(runner)
    }

    /// Takes up the steps that were stopped.
    pub(super) fn reopen(&mut self) -> Result<(), StoreError> {
        for step in &self.migration.steps {
            if self.status(&step.id) == StepStatus::Stopped {
                self.record(&step.id, StepEvent::Reopen, &super::tick::reopened())?;
            }
        }
        Ok(())
    }

    pub(super) fn status(&self, step: &str) -> StepStatus {
        self.records
            .get(step)
            .map_or(StepStatus::Pending, |record| record.status)
    }

    pub(super) fn done(&self) -> usize {
        // The records of other phases lie beside these.
        let steps = self.migration.steps.iter();
        steps
            .filter(|step| self.status(&step.id) == StepStatus::Done)
            .count()
    }

    fn remember_made(&mut self, step: &str) {
        let id = self
            .records
            .get(step)
            .filter(|record| record.status == StepStatus::Done)
            .and_then(|record| {
                let instance = record.result.get("dbi_resource_id");
                instance.or_else(|| record.result.get("db_cluster_resource_id"))
            })
            .and_then(Value::as_str);
        if let Some(id) = id {
            self.made.insert(step.to_owned(), id.to_owned());
        }
    }

    pub(super) fn record(
        &mut self,
        step: &str,
        event: StepEvent,
        detail: &Value,
    ) -> Result<(), StoreError> {
        let mut detail = detail.clone();
        // What was noted before the mutation is needed until its effect is seen.
        if let (Some(noted), Value::Object(members)) = (self.noted(step).cloned(), &mut detail) {
            members.entry(NOTED).or_insert(noted);
        }
        let detail = &detail;
        let (status, at) = self
            .store
            .get()
            .record(&self.migration.id, step, event, detail)?;
        // An intent is copied before its call, see `unleased`.
        if let (Some(shared), true) = (&self.shared, event != StepEvent::Intend) {
            shared.changed(&self.migration.id);
        }
        let mut intended_at = self.records.get(step).and_then(|record| record.intended_at);
        if event == StepEvent::Intend {
            intended_at = Some(at);
            self.intents.insert(step.to_owned(), clock::instant());
        }
        let record = StepRecord {
            status,
            intended_at,
            changed_at: at,
            result: detail.clone(),
        };
        self.records.insert(step.to_owned(), record);
        self.is_recorded(step, event);
        Ok(())
    }

    pub(super) fn noted(&self, step: &str) -> Option<&Value> {
        self.records.get(step)?.result.get(NOTED)
    }

    /// Runs to the end of the migration or of what can be done.
    pub(super) async fn run(&mut self) -> (MigrationReport, End) {
        self.reporter.event(&RunEvent::MigrationBegan {
            migration: self.migration.id.clone(),
            steps: self.migration.steps.len(),
            done: self.done(),
        });
        let (outcome, end) = match self.drive().await {
            Ok(outcome) => {
                let end = self.end_of(&outcome);
                (outcome, end)
            }
            Err(error) => {
                let open = self.migration.steps.iter();
                let mut open = open.filter(|step| self.status(&step.id) != StepStatus::Done);
                let outcome = Outcome::Stopped {
                    step: open.next().map_or_else(String::new, |step| step.id.clone()),
                    reason: format!("{error}; {}", error.hint()),
                };
                (outcome, End::Lost)
            }
        };
        self.reporter.event(&RunEvent::MigrationEnded {
            migration: self.migration.id.clone(),
            outcome: outcome.clone(),
        });
        (self.report(outcome), end)
    }

    pub(super) fn report(&self, outcome: Outcome) -> MigrationReport {
        MigrationReport {
            migration: self.migration.id.clone(),
            outcome,
            steps_done: self.done(),
            steps: self.migration.steps.len(),
            downtime_seconds: self.downtime(),
            left_to_do: LeftToDo::of_results(
                self.records
                    .values()
                    .filter(|record| record.status == StepStatus::Done)
                    .map(|record| &record.result),
            ),
            // The journal tells them, once it is read back.
            times: None,
        }
    }

    fn end_of(&self, outcome: &Outcome) -> End {
        match outcome {
            Outcome::Migrated | Outcome::Rehearsed | Outcome::RolledBack | Outcome::CleanedUp => {
                End::Arrived
            }
            Outcome::Stopped { reason, .. }
                if [INTERRUPTED, PAUSED, ASKED].contains(&reason.as_str()) =>
            {
                End::Held
            }
            _ => {
                let at_cutover = self.migration.steps.iter().any(|step| {
                    matches!(step.action, Action::Rename { cutover: true, .. })
                        && self.status(&step.id) != StepStatus::Pending
                });
                End::Failed { at_cutover }
            }
        }
    }

    /// Looks, acts and waits until the migration ends.
    async fn drive(&mut self) -> Result<Outcome, StoreError> {
        loop {
            match self.pass().await? {
                Pass::Over(outcome) => return Ok(outcome),
                Pass::Unasked(_) => self.since = clock::instant(),
                Pass::Looked {
                    advanced,
                    acted,
                    view,
                } => {
                    // A step that became ready may be decided on the view at hand, unless something was changed since, or
                    // it has grown old over a comparison or a hook.
                    let old = view.began.elapsed() > self.options.timing.poll * 2;
                    if acted || !advanced || old {
                        self.since = clock::instant();
                    }
                }
            }
        }
    }

    /// One look at each step that is ready, and what follows from it.
    pub(super) async fn pass(&mut self) -> Result<Pass, StoreError> {
        if self.done() == self.migration.steps.len() {
            return Ok(Pass::Over(self.whole.clone()));
        }
        let mut ready: Vec<&'a Step> = self
            .migration
            .steps
            .iter()
            .filter(|step| self.is_ready(step))
            .collect();
        if *self.pause.borrow() {
            // What was sent is seen through; nothing else begins.
            let next = ready.first().map(|step| step.id.clone());
            ready.retain(|step| self.status(&step.id) != StepStatus::Pending);
            if let (true, Some(step)) = (ready.is_empty(), next) {
                return Ok(Pass::Over(Outcome::Stopped {
                    step,
                    reason: PAUSED.to_owned(),
                }));
            }
        }
        if let Some(step) = ready.iter().find(|step| self.must_stop_before(step)) {
            return Ok(Pass::Over(Outcome::Stopped {
                step: step.id.clone(),
                reason: ASKED.to_owned(),
            }));
        }
        let Some(first) = ready.first() else {
            if let Some(held) = self.held.first() {
                return Ok(Pass::Over(held.clone()));
            }
            return Ok(Pass::Over(Outcome::NeedsOperator {
                step: "plan".to_owned(),
                reason: "no step can run; the plan's needs do not add up".to_owned(),
                hint: "make a new plan".to_owned(),
            }));
        };
        // The steps of a cluster look at it all the time.
        let always = match &self.migration.cluster {
            Some(_) => Wanted::CLUSTERS,
            None => Wanted::NOTHING,
        };
        let wanted = ready.iter().fold(always, |wanted, step| {
            wanted.and(steps::looks_at(&step.action))
        });
        let view = tokio::select! {
            biased;
            () = stopped(self.stop.clone()) => {
                return Ok(Pass::Over(Outcome::Stopped { step: first.id.clone(), reason: INTERRUPTED.to_owned() }));
            }
            reason = lease_lost(self.shared.as_deref(), &self.migration.id) => {
                return Ok(Pass::Over(Outcome::Stopped { step: first.id.clone(), reason }));
            }
            view = self.observatory.view(self.since, wanted) => view,
        };
        let view = match view {
            Ok(view) => view,
            Err(error) => {
                let why = error.to_string();
                return Ok(match self.view_failed(&ready, &Fault::Aws(error)) {
                    Some(outcome) => Pass::Over(outcome),
                    None => Pass::Unasked(why),
                });
            }
        };
        let mut advanced = false;
        let mut acted = false;
        for step in ready {
            match self.look(step, &view).await? {
                Looked::Advanced => advanced = true,
                Looked::Acted => acted = true,
                Looked::Waiting => {}
                Looked::Ended(outcome) if step.action.is_reattachment() => {
                    self.held.push(outcome);
                }
                Looked::Ended(outcome) | Looked::Unleased(outcome) => {
                    return Ok(Pass::Over(outcome));
                }
            }
        }
        Ok(Pass::Looked {
            advanced,
            acted,
            view,
        })
    }

    /// Those that stopped in an earlier tick of this sitting: a dependent, while the others are attached.
    pub(super) fn hold_what_is_stopped(&mut self) {
        for step in &self.migration.steps {
            if let Some(record) = self.records.get(&step.id)
                && record.status == StepStatus::Stopped
            {
                let outcome = super::tick::stopped(&step.id, &record.result);
                self.held.push(outcome);
            }
        }
    }

    pub(super) fn is_ready(&self, step: &Step) -> bool {
        // One that was stopped in this sitting stays so: a dependent, while the others are attached.
        !matches!(
            self.status(&step.id),
            StepStatus::Done | StepStatus::Stopped
        ) && step
            .needs
            .iter()
            .all(|need| self.status(need) == StepStatus::Done)
    }

    /// A step that has begun is finished first: it cannot be stopped half-way.
    pub(super) fn must_stop_before(&self, step: &Step) -> bool {
        let Some(wanted) = self
            .options
            .stop_before
            .as_ref()
            .filter(|_| !self.has_leave)
        else {
            return false;
        };
        // The replica method looks at everything once more, however long the operator has waited.
        let begins = self.migration.method == Method::Replica && step.id == "validate-again";
        let is_cutover = match &step.action {
            Action::Hook(hook) => hook.at == Stage::BeforeCutover,
            action => begins || action.is_cutover(),
        };
        let cutover = wanted == "cutover" && is_cutover;
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

    /// Goes on watching a step.
    pub(super) fn watch(&mut self, step: &str, watched: &Watched) {
        let active = Active {
            began: clock::instant_of(watched.began),
            confirmed: watched.confirmed,
            confirmed_by: watched.confirmed_at.map(clock::instant_of),
            last_state: String::new(),
            last_heartbeat: clock::instant(),
        };
        self.active.insert(step.to_owned(), active);
    }

    /// What is being watched.
    pub(super) fn watching(&self) -> impl Iterator<Item = (String, Watched)> {
        self.active.iter().map(|(step, active)| {
            let watched = Watched {
                began: clock::wall_of(active.began),
                confirmed: active.confirmed,
                confirmed_at: active.confirmed_by.map(clock::wall_of),
                doubtful_from: None,
                ready: None,
                trouble: None,
                reason: None,
            };
            (step.clone(), watched)
        })
    }

    /// When the step that has been waited for longest has begun.
    pub(super) fn waits_since(&self) -> Option<Timestamp> {
        let open = self.active.iter().filter(|(step, _)| {
            !matches!(self.status(step), StepStatus::Done | StepStatus::Stopped)
        });
        open.map(|(_, active)| clock::wall_of(active.began)).max()
    }

    /// One look at one step, and what follows from it. Never sleeps.
    async fn look(&mut self, step: &Step, view: &Arc<RegionView>) -> Result<Looked, StoreError> {
        self.active(step);
        if let Action::Hook(hook) = &step.action {
            return self.hook(step, hook, view).await;
        }
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
        let timing = self.options.timing;
        // SQL is read-your-writes: what is not there after it was accepted does not come by waiting.
        let sql = step.action.is_sql();
        if let (true, StepStatus::Accepted, Seen::Absent { state }) =
            (sql, self.status(&step.id), &seen)
        {
            let reason = format!("not there although the server took every statement: {state}");
            return self.end(
                step,
                &reason,
                "compare both sides, mend the rest by hand, then resume",
            );
        }
        let status = self.decided_by(&step.id);
        let window = window(&step.action, status, self.is_resumed, &timing);
        let decision = decide(status, &seen, self.looked_for(&step.id, view), window);
        #[cfg(test)]
        let (decision, seen) = self.without_care(step, status, decision, seen);
        let between = self.between_looks();
        let confirmed = {
            let active = self.active(step);
            let is_same = |by: Instant| {
                by == view.began || view.began.saturating_duration_since(by) < between
            };
            match seen {
                // One view counts once, however often it is looked at.
                Seen::Done { .. } if active.confirmed_by.is_some_and(is_same) => {}
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
            (Decision::Act, _) if self.is_spent() => self.wait(step, "its turn is the next tick"),
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
            aws: self.aws,
            rds: self.rds,
            timing: self.options.timing,
            mysql: self.options.mysql.as_ref(),
            made: &self.made,
            records: &self.records,
            windows: &self.windows,
            store: self.store,
            forecast: &self.forecast,
            noted: self.noted(&step.id),
            status: self.status(&step.id),
            claim: &self.claim,
            at_once: self.tick.is_some(),
        }
    }

    /// How long after the mutation the view was begun that shows nothing of it. The moment of the decision does not count:
    /// a view may lie for a while. By a clock that cannot be set: one that jumped forward would end the window at once,
    /// one that jumped back would never end it.
    fn looked_for(&self, step: &str, view: &RegionView) -> Duration {
        let from = self.intents.get(step).unwrap_or(&self.began);
        view.began.saturating_duration_since(*from)
    }

    #[cfg(not(test))]
    pub(super) fn fence(&self, step: &Step, view: &RegionView) -> claim::Fence {
        claim::still_ours(&self.cx(step), step, view)
    }

    #[cfg(test)]
    pub(super) fn fence(&self, step: &Step, view: &RegionView) -> claim::Fence {
        if self.options.careless.ignores_claim {
            return claim::Fence::Ours;
        }
        claim::still_ours(&self.cx(step), step, view)
    }

    /// The executor that takes its journal for the truth: what is not recorded as accepted is sent again.
    #[cfg(test)]
    fn without_care(
        &self,
        step: &Step,
        status: StepStatus,
        decision: Decision,
        seen: Seen,
    ) -> (Decision, Seen) {
        let open = matches!(status, StepStatus::Pending | StepStatus::Intended);
        if self.options.careless.trusts_journal && open && self.intents.contains_key(&step.id) {
            let state = "not looked at".to_owned();
            return (Decision::Act, Seen::Absent { state });
        }
        (decision, seen)
    }

    async fn act(&mut self, step: &Step, view: &Arc<RegionView>) -> Result<Looked, StoreError> {
        match self.fence(step, view) {
            claim::Fence::Ours => {}
            claim::Fence::NotShown(state) => return self.wait(step, &state),
            claim::Fence::Lost { reason, hint } => return self.end(step, &reason, &hint),
        }
        let operation = steps::operation(&step.action);
        let noted = {
            let cx = self.cx(step);
            steps::note(&cx, step, view).await
        };
        let noted = match noted {
            Ok(noted) => noted,
            Err(fault) if fault.is_transient() => {
                self.retrying(step, &fault);
                return self.wait(step, &fault.to_string());
            }
            Err(fault) => return self.end(step, &fault.to_string(), fault.hint()),
        };
        if self.decided_by(&step.id) == self.status(&step.id) {
            self.record(
                &step.id,
                StepEvent::Intend,
                &json!({"operation": operation, NOTED: noted}),
            )?;
        }
        match self.is_durable(step)? {
            Durable::Yes => {}
            Durable::NextTick => return Ok(Looked::Acted),
            Durable::Expired => {
                return self.wait(step, "it may have been sent before; that is looked for");
            }
        }
        if let Some(unleased) = self.unleased(step).await? {
            return Ok(unleased);
        }
        let permit = Permit::ordinary(step).or_else(|| {
            if is_back(&step.action) {
                return Unwritten::of(self.migration, &self.records)
                    .map(|proof| Permit::back(&proof));
            }
            Validated::of(self.migration, &self.records).map(|proof| Permit::cutover(&proof))
        });
        let Some(permit) = permit else {
            self.record(
                &step.id,
                StepEvent::Refuse,
                &json!({"reason": "not proven"}),
            )?;
            return self.end(
                step,
                "the proof that this name may be given is not recorded as done",
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
            let act = steps::act(&cx, step, view, &permit);
            match &self.shared {
                None => Ok(act.await),
                Some(shared) => shared.while_held(&self.migration.id, act).await,
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(reason) => {
                // Stays intended, as a call whose answer was lost.
                return Ok(Looked::Unleased(Outcome::Stopped {
                    step: step.id.clone(),
                    reason,
                }));
            }
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
                // Stays intended: only looking can tell. RDS may have taken the call at any moment until now.
                self.intents.insert(step.id.clone(), clock::instant());
                self.doubt(&step.id, clock::now());
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

    /// After the intent and before what it is for: what follows when the lease does not last for it.
    pub(super) async fn unleased(&mut self, step: &Step) -> Result<Option<Looked>, StoreError> {
        let Some(shared) = self.shared.clone() else {
            return Ok(None);
        };
        let Err(reason) = shared.confirm(&self.migration.id, self.store).await else {
            return Ok(None);
        };
        self.record(&step.id, StepEvent::Refuse, &json!({"reason": reason}))?;
        Ok(Some(Looked::Unleased(Outcome::Stopped {
            step: step.id.clone(),
            reason,
        })))
    }

    pub(super) fn finish(
        &mut self,
        step: &Step,
        detail: &str,
        result: Value,
    ) -> Result<Looked, StoreError> {
        let result = if result.is_null() {
            json!({"detail": detail})
        } else {
            result
        };
        self.record(&step.id, StepEvent::Finish, &result)?;
        self.remember_made(&step.id);
        self.admission.done(&self.migration.id, step);
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

    pub(super) fn wait(&mut self, step: &Step, state: &str) -> Result<Looked, StoreError> {
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

    pub(super) fn end(
        &mut self,
        step: &Step,
        reason: &str,
        hint: &str,
    ) -> Result<Looked, StoreError> {
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

    pub(super) fn retrying(&self, step: &Step, fault: &Fault) {
        self.reporter.event(&RunEvent::Retrying {
            subject: self.migration.id.clone(),
            step: step.id.clone(),
            reason: fault.to_string(),
        });
    }

    /// From the moment the source's rename was intended to the moment the last cutover rename was seen.
    fn downtime(&self) -> Option<f64> {
        let began = self
            .migration
            .steps
            .iter()
            .filter(|step| step.action.takes_clients_away())
            .filter_map(|step| self.records.get(&step.id)?.intended_at)
            .min()?;
        let mut ended = None;
        for step in self
            .migration
            .steps
            .iter()
            .filter(|step| step.action.is_cutover())
        {
            let record = self
                .records
                .get(&step.id)
                .filter(|record| record.status == StepStatus::Done)?;
            ended = ended.max(Some(record.changed_at));
        }
        // A clock that was set back between the two tells nothing.
        let seconds = ended?.duration_since(began).as_secs_f64();
        (seconds >= 0.0).then_some(seconds)
    }
}

/// Returns when the lease of a migration is lost, with the reason.
async fn lease_lost(shared: Option<&Shared>, migration: &str) -> String {
    match shared {
        Some(shared) => shared.lost(migration).await,
        None => std::future::pending().await,
    }
}

/// Returns when the operator wants to stop, or nothing new to begin.
pub(super) async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody can ask any more.
        std::future::pending::<()>().await;
    }
}
