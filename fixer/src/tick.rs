//! One step contract for whoever keeps the state: a migration moved on by a call that is short and keeps nothing.
//!
//! [`begin`] makes the first document, [`tick`] makes the next one of the one before. The caller makes each document
//! durable before it calls again, waits [`TickDocument::wait_seconds`] in between, and sees to it that no two calls of one
//! migration overlap. A call that did not come to its end is repeated with the same document and
//! [`TickInput::again`]. See docs/design/0010-tick.md.

use std::path::Path;
use std::time::Duration;

use atrest_model::Tool;
use atrest_model::journal::StepStatus;
use atrest_model::plan::{Migration, Plan};
use atrest_model::run::{MigrationReport, Outcome};
use atrest_model::tick::{Approved, FORMAT, Progress, TickDocument, TickInput, TickState};
use atrest_scanner::access::MysqlAuth;
use atrest_scanner::aws::Aws;
use futures::FutureExt as _;
use serde_json::Value;

use crate::clock::{self, Timing};
use crate::executor::Reporter;
use crate::executor::tick::{Ended, Order, needs_a_sitting, pass, stopped, untouched};
use crate::options::{FixOptions, FleetOptions};
use crate::store::{RunStore, StoreError, first_line};

/// How long an intent may be acted on, unless said otherwise: longer than a caller takes from one tick to the next.
pub const INTENT_LIFETIME: Duration = Duration::from_secs(60);
/// Longest wait that is asked for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// A wait is this part of the time that has been waited already.
const PART: u32 = 20;

/// What a tick works with. The same for every migration of a plan.
#[derive(Debug)]
pub struct Settings<'a> {
    /// The account of the plan.
    pub aws: &'a Aws,
    /// The plan.
    pub plan: &'a Plan,
    /// Folder on a disk of this machine: for the lock, for reports, and for what was sent from here. It may be lost.
    pub state_dir: &'a Path,
    /// Pace.
    pub timing: Timing,
    /// How long after its record an intent may be acted on.
    pub intent_lifetime: Duration,
    /// Log in to MySQL; `None` when the plan says that MySQL is off.
    pub mysql: Option<MysqlAuth>,
    /// What is asked of quotas before a migration begins.
    pub fleet: FleetOptions,
}

/// Why a state is refused. Nothing was looked at or done.
#[derive(Debug, thiserror::Error)]
pub enum TickError {
    /// It is no document of a tick.
    #[error("the state cannot be read: {0}")]
    NotAState(String),
    /// It is from a newer version.
    #[error("the state has format {found}; this version reads up to {FORMAT}")]
    Newer {
        /// Its format.
        found: u64,
    },
    /// It was edited, or damaged on its way.
    #[error(
        "the state of {migration} is not what a tick has printed: its digest does not match its content"
    )]
    Edited {
        /// Which migration it says it is of.
        migration: String,
    },
    /// It is of another plan.
    #[error("the state is of run {run} with plan {found}, not of the plan {wanted} that is given")]
    OtherPlan {
        /// Its run.
        run: String,
        /// Digest it bears.
        found: String,
        /// Digest of the plan that is given.
        wanted: String,
    },
    /// The plan has no such migration.
    #[error("the plan has no migration of {0}")]
    NoSuchMigration(String),
    /// The plan has no such step.
    #[error("the state of {migration} has a step {step} that the plan does not have")]
    UnknownStep {
        /// Migration.
        migration: String,
        /// Step.
        step: String,
    },
    /// Leave was given for what leave was not asked for.
    #[error("{migration} does not wait for leave before {step}")]
    NotAsked {
        /// Migration.
        migration: String,
        /// Step.
        step: String,
    },
    /// Only one long sitting can do it.
    #[error("{migration} cannot be migrated tick by tick: {why}")]
    NeedsASitting {
        /// Migration.
        migration: String,
        /// Why.
        why: &'static str,
    },
    /// The journal in the state, or the folder.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TickError {
    /// What a person can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotAState(_) => {
                "give the document that the tick before has printed; `atrest tick PLAN --begin DBI_RESOURCE_ID` prints the first"
            }
            Self::Newer { .. } => "use the version of atrest that wrote it, or a newer one",
            Self::Edited { .. } => {
                "take the document from the history of the workflow; `approve`, `again` and `resume` stand beside `state`, not in it. If there is none, `atrest fix --adopt PLAN` takes the run up from RDS"
            }
            Self::OtherPlan { .. } => "give the plan that the execution was begun with",
            Self::NoSuchMigration(_) => {
                "name the DbiResourceId of a source as the plan has it, or its region/identifier"
            }
            Self::UnknownStep { .. } => "use the version of atrest that wrote the state",
            Self::NotAsked { .. } => {
                "`approve` is the `step` of a document whose progress is approval"
            }
            Self::NeedsASitting { .. } => "use `atrest fix`, or plan without hooks",
            Self::Store(error) => error.hint(),
        }
    }
}

/// Reads what a tick is given. The format is looked at first: of a newer document nothing else is understood.
///
/// # Errors
///
/// [`TickError::NotAState`] and [`TickError::Newer`].
pub fn read(text: &str) -> Result<TickInput, TickError> {
    let not = |why: String| TickError::NotAState(why);
    let value: Value = serde_json::from_str(text).map_err(|e| not(format!("not JSON: {e}")))?;
    match value.get("format").and_then(Value::as_u64) {
        None => Err(not(
            "it has no format; is it the document of a tick?".to_owned()
        )),
        Some(found) if found > u64::from(FORMAT) => Err(TickError::Newer { found }),
        Some(_) => serde_json::from_value(value).map_err(|e| not(e.to_string())),
    }
}

/// The migration of a plan whose source has this `DbiResourceId`, or that is called so.
///
/// # Errors
///
/// [`TickError::NoSuchMigration`], and [`TickError::NeedsASitting`].
pub fn migration<'p>(plan: &'p Plan, of: &str) -> Result<&'p Migration, TickError> {
    let mut all = plan.migrations.iter();
    let migration = all
        .find(|migration| migration.source.dbi_resource_id == of || migration.id == of)
        .ok_or_else(|| TickError::NoSuchMigration(of.to_owned()))?;
    match needs_a_sitting(migration) {
        None => Ok(migration),
        Some(why) => Err(TickError::NeedsASitting {
            migration: migration.id.clone(),
            why,
        }),
    }
}

/// The first document of a migration. It has a claim of its own: of two beginnings of one plan one gets the source.
/// `stop_before` asks for leave before this step; `cutover` is the first that gives a client's name away.
///
/// # Errors
///
/// As [`migration`].
pub fn begin(
    plan: &Plan,
    of: &str,
    stop_before: Option<String>,
) -> Result<TickDocument, TickError> {
    let migration = migration(plan, of)?;
    let claim = uuid::Uuid::new_v4().to_string();
    let (line, head) = first_line(plan, &claim);
    let state = TickState {
        run: plan.run.clone(),
        migration: migration.id.clone(),
        dbi_resource_id: migration.source.dbi_resource_id.clone(),
        plan_format: plan.schema_version,
        plan_digest: plan.digest.clone(),
        claim,
        stop_before,
        approved: Vec::new(),
        written: clock::now(),
        wait_seconds: 0,
        resumed: None,
        records: std::collections::BTreeMap::new(),
        head,
        watched: std::collections::BTreeMap::new(),
        digest: String::new(),
    };
    Ok(TickDocument {
        format: FORMAT,
        tool: Tool::current(),
        progress: Progress::Advanced,
        step: migration.steps.first().map(|step| step.id.clone()),
        seen: "not begun".to_owned(),
        hint: None,
        wait_seconds: 0,
        result: None,
        journal: vec![line],
        again: false,
        state: state.sealed(),
    })
}

/// Moves a migration on by at most one mutation, and never sleeps.
///
/// A call is sent only when its intent came in with the state. Looking takes as long as it takes: a comparison of rows
/// is one look.
///
/// # Errors
///
/// [`TickError`]: nothing was done. What goes wrong in RDS or MySQL is no error but progress.
pub async fn tick(
    settings: &Settings<'_>,
    input: TickInput,
    reporter: &dyn Reporter,
) -> Result<TickDocument, TickError> {
    let plan = settings.plan;
    let migration = check(plan, &input)?;
    let original = input.state;
    let mut state = original.clone();
    let now = clock::now();
    let late = Duration::from_secs(state.wait_seconds).saturating_add(settings.intent_lifetime);
    let is_late = state
        .written
        .checked_add(late)
        .is_ok_and(|latest| now > latest);
    let is_new_sitting = input.again || input.resume || (is_late && !state.records.is_empty());
    if is_new_sitting {
        state.resumed = Some(now);
    }
    let (store, carried) = match RunStore::carried(settings.state_dir, plan, &state) {
        Err(error @ StoreError::Locked { .. }) => return Ok(unmoved(original, &error.to_string())),
        other => other?,
    };
    if !input.resume
        && let Some((progress, report)) = ended(&store, migration)?
    {
        return Ok(over(state, progress, report));
    }
    let options = FixOptions {
        timing: settings.timing,
        concurrency: 1,
        stop_before: state.stop_before.clone(),
        fleet: settings.fleet,
        mysql: settings.mysql.clone(),
        #[cfg(test)]
        careless: crate::options::Careless::default(),
    };
    let order = Order {
        aws: settings.aws,
        plan,
        migration,
        options: &options,
        lifetime: settings.intent_lifetime,
        is_new_sitting,
        resume: input.resume,
        approve: input.approve.as_deref(),
    };
    let heard = Heard::new(reporter);
    // Its type ends here: callers put it into tasks of their own.
    let passed = pass(&order, store, &state, &heard).boxed().await?;
    if let Some(step) = input.approve.filter(|_| passed.was_approved) {
        state.stop_before = None;
        state.approved.push(Approved { step, at: now });
    }
    let is_done = matches!(&passed.ended, Ended::Over(report) if report.outcome.is_whole());
    let outgoing = carried.after(&passed.store, is_done)?;
    let has_recorded = !outgoing.lines.is_empty();
    let poll = settings.timing.poll;
    let waited = passed.waits_since.map_or(Duration::ZERO, |since| {
        now.duration_since(since).unsigned_abs()
    });
    let (progress, wait, step, seen, hint, result) = match passed.ended {
        Ended::Advanced => (Progress::Advanced, Duration::ZERO, None, None, None, None),
        Ended::Waiting if has_recorded => (Progress::Advanced, poll, None, None, None, None),
        Ended::Waiting => {
            let wait = (waited / PART).clamp(poll, LONGEST_WAIT.max(poll));
            (Progress::Waiting, wait, None, None, None, None)
        }
        Ended::Unasked(why) => (Progress::TryLater, poll * 6, None, Some(why), None, None),
        Ended::Full(why) => (
            Progress::Waiting,
            LONGEST_WAIT.max(poll),
            None,
            Some(why),
            None,
            None,
        ),
        Ended::NotAsked(step) => {
            return Err(TickError::NotAsked {
                migration: migration.id.clone(),
                step,
            });
        }
        Ended::Asks(step) => {
            let seen = "waits for leave".to_owned();
            (
                Progress::Approval,
                Duration::ZERO,
                Some(step),
                Some(seen),
                None,
                None,
            )
        }
        Ended::Over(report) => {
            let (progress, step, seen, hint) = words(&report);
            (
                progress,
                Duration::ZERO,
                step,
                Some(seen),
                hint,
                Some(*report),
            )
        }
    };
    let (heard_step, heard_state) = recorded(&outgoing.lines).unwrap_or_else(|| heard.last());
    let first = migration.steps.iter().find(|step| {
        let lines = outgoing.records.get(&step.id);
        lines.is_none_or(|lines| !lines.iter().any(|line| line.contains(r#""status":"done""#)))
    });
    let step = step
        .or(heard_step.filter(|_| result.is_none()))
        .or_else(|| {
            first
                .map(|step| step.id.clone())
                .filter(|_| result.is_none())
        });
    state.records = outgoing.records;
    state.head = outgoing.head;
    state.watched = passed.watched;
    let mut document = document(state, progress, wait);
    document.step = step;
    document.seen = seen.unwrap_or(heard_state);
    document.hint = hint;
    document.result = result;
    document.journal = outgoing.lines;
    Ok(document)
}

/// Whether the state may be gone on with.
fn check<'p>(plan: &'p Plan, input: &TickInput) -> Result<&'p Migration, TickError> {
    let state = &input.state;
    if input.format > FORMAT {
        return Err(TickError::Newer {
            found: u64::from(input.format),
        });
    }
    if state.plan_digest != plan.digest
        || state.run != plan.run
        || state.plan_format != plan.schema_version
    {
        return Err(TickError::OtherPlan {
            run: state.run.to_string(),
            found: state.plan_digest.clone(),
            wanted: plan.digest.clone(),
        });
    }
    if state.digest != state.computed_digest() {
        return Err(TickError::Edited {
            migration: state.migration.clone(),
        });
    }
    let migration = migration(plan, &state.migration)?;
    if migration.source.dbi_resource_id != state.dbi_resource_id {
        return Err(TickError::NoSuchMigration(state.dbi_resource_id.clone()));
    }
    let named = state.records.keys().chain(state.watched.keys());
    let mut unknown = named.filter(|name| !migration.steps.iter().any(|step| step.id == **name));
    match unknown.next() {
        None => Ok(migration),
        Some(step) => Err(TickError::UnknownStep {
            migration: migration.id.clone(),
            step: step.clone(),
        }),
    }
}

/// How the migration has ended already, if it has.
fn ended(
    store: &RunStore,
    migration: &Migration,
) -> Result<Option<(Progress, MigrationReport)>, StoreError> {
    let records = store.steps(&migration.id)?;
    let status = |id: &str| records.get(id).map(|record| record.status);
    let done = migration
        .steps
        .iter()
        .filter(|step| status(&step.id) == Some(StepStatus::Done))
        .count();
    let mut report = untouched(migration, "", done);
    if done == migration.steps.len() {
        report.outcome = Outcome::Migrated;
        return Ok(Some((Progress::Done, report)));
    }
    let halted = migration.steps.iter().find(|step| {
        status(&step.id) == Some(StepStatus::Stopped) && !step.action.is_reattachment()
    });
    Ok(halted.and_then(|step| {
        let record = records.get(&step.id)?;
        report.outcome = stopped(&step.id, &record.result);
        Some((Progress::NeedsOperator, report))
    }))
}

fn words(report: &MigrationReport) -> (Progress, Option<String>, String, Option<String>) {
    let seen = report.outcome.summary();
    match &report.outcome {
        Outcome::NeedsOperator { step, hint, .. } => (
            Progress::NeedsOperator,
            Some(step.clone()),
            seen,
            Some(hint.clone()),
        ),
        Outcome::ValidationFailed { .. } => (
            Progress::NeedsOperator,
            None,
            seen,
            Some(
                "compare both sides with `atrest diff`, mend what differs, then tick with `resume`"
                    .to_owned(),
            ),
        ),
        _ => (Progress::Done, None, seen, None),
    }
}

/// What a tick has recorded last, where that is a thing of its own; the end of a step is told by its events.
fn recorded(lines: &[String]) -> Option<(Option<String>, String)> {
    let line: Value = serde_json::from_str(lines.last()?).ok()?;
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let detail = |name: &str| line.get("detail")?.get(name)?.as_str();
    let words = match text("event")? {
        "intend" => format!("next: {}", detail("operation")?),
        "accept" => format!("sent {}", detail("operation")?),
        "refuse" => detail("error")?.to_owned(),
        _ => return None,
    };
    Some((text("step").map(str::to_owned), words))
}

fn document(mut state: TickState, progress: Progress, wait: Duration) -> TickDocument {
    let wait_seconds = wait.as_millis().div_ceil(1000);
    let wait_seconds = u64::try_from(wait_seconds).unwrap_or(u64::MAX);
    state.written = clock::now();
    state.wait_seconds = wait_seconds;
    TickDocument {
        format: FORMAT,
        tool: Tool::current(),
        progress,
        step: None,
        seen: String::new(),
        hint: None,
        wait_seconds,
        result: None,
        journal: Vec::new(),
        again: false,
        state: state.sealed(),
    }
}

/// The state as it came: another process has the migration, and may be about to send what it has intended.
fn unmoved(state: TickState, why: &str) -> TickDocument {
    let mut document = document(state.clone(), Progress::TryLater, Duration::from_secs(5));
    why.clone_into(&mut document.seen);
    document.again = true;
    document.state = state;
    document
}

/// The end that was told before.
fn over(state: TickState, progress: Progress, report: MigrationReport) -> TickDocument {
    let (_, step, seen, hint) = words(&report);
    let mut document = document(state, progress, Duration::ZERO);
    document.step = step;
    document.seen = seen;
    document.hint = hint;
    document.result = Some(report);
    document
}

/// Hands events on, and remembers the last that says something about a step.
struct Heard<'a> {
    to: &'a dyn Reporter,
    last: std::sync::Mutex<(Option<String>, String)>,
}

impl<'a> Heard<'a> {
    fn new(to: &'a dyn Reporter) -> Self {
        Self {
            to,
            last: std::sync::Mutex::default(),
        }
    }

    fn last(self) -> (Option<String>, String) {
        let last = self.last.into_inner();
        last.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Reporter for Heard<'_> {
    fn event(&self, event: &atrest_model::event::RunEvent) {
        use atrest_model::event::RunEvent as E;
        let told = match event {
            E::Acted {
                step, operation, ..
            } => Some((step, format!("sent {operation}"))),
            E::Waiting { step, state, .. } => Some((step, state.clone())),
            E::StepDone { step, detail, .. } => Some((step, detail.clone())),
            _ => None,
        };
        if let Some((step, words)) = told {
            let mut last = self
                .last
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            *last = (Some(step.clone()), words);
        }
        self.to.event(event);
    }
}
