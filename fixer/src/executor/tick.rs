//! One pass over a migration in a process that keeps nothing: what a runner has in memory comes in with the state and
//! goes out with the next one.
//!
//! A call is sent in another tick than its intent is recorded in, because only between two ticks the caller makes the
//! record durable. An intent is good for one call, and only for a while: a tick that comes late, or again with a state
//! that another tick was given, sends nothing on it. It looks, as a resumed run does, and then intends anew.

use std::collections::BTreeMap;
use std::time::Duration;

use atrest_model::hook::Stage;
use atrest_model::journal::{StepEvent, StepStatus};
use atrest_model::plan::{Migration, Plan, Step};
use atrest_model::run::{MigrationReport, Outcome};
use atrest_model::tick::{TickState, Watched};
use atrest_scanner::aws::Aws;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;

use super::admission::{Admission, Room};
use super::runner::{ASKED, Pass, Runner};
use super::{Region, Reporter, SharedStore, not_begun};
use crate::clock;
use crate::observatory::Observatory;
use crate::options::FixOptions;
use crate::store::{RunStore, StoreError};

/// What a tick adds to a runner.
#[derive(Debug)]
pub(super) struct Pace {
    /// How long after its record an intent may be acted on.
    lifetime: Duration,
    /// Intents that came in with the state and that nobody can have acted on, with their time.
    fresh: BTreeMap<String, Timestamp>,
    /// Steps of whose mutation nobody knows whether it was sent, with the moment from which on it is looked for.
    doubtful: BTreeMap<String, Timestamp>,
    /// A mutation was sent or intended: this tick begins nothing else.
    is_spent: bool,
    /// Something was intended that the next tick can send at once.
    has_intended: bool,
}

/// What is said to a tick.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) aws: &'a Aws,
    pub(crate) plan: &'a Plan,
    pub(crate) migration: &'a Migration,
    pub(crate) options: &'a FixOptions,
    pub(crate) lifetime: Duration,
    /// This tick begins anew what may have been begun before.
    pub(crate) is_new_sitting: bool,
    /// Steps that were stopped are taken up again.
    pub(crate) resume: bool,
    /// The step a person has given leave for.
    pub(crate) approve: Option<&'a str>,
}

/// How a pass ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// More is to be done, at once.
    Advanced,
    /// Something has to come about first.
    Waiting,
    /// AWS could not be asked.
    Unasked(String),
    /// Waits for leave for this step.
    Asks(String),
    /// Leave was given for this step, and not asked for. Nothing was looked at or done.
    NotAsked(String),
    /// There is no room in the quotas.
    Full(String),
    /// Nothing more can be done.
    Over(Box<MigrationReport>),
}

/// What a pass has left.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) ended: Ended,
    pub(crate) watched: BTreeMap<String, Watched>,
    /// The leave was asked for and is used up.
    pub(crate) was_approved: bool,
    /// When the step that has been waited for longest has begun.
    pub(crate) waits_since: Option<Timestamp>,
    pub(crate) store: RunStore,
}

/// Makes one pass.
pub(crate) async fn pass(
    order: &Order<'_>,
    store: RunStore,
    state: &TickState,
    reporter: &dyn Reporter,
) -> Result<Passed, StoreError> {
    let migration = order.migration;
    let rds = order.aws.rds(&migration.region);
    let region = Region {
        observatory: Observatory::start(rds.clone(), order.options.timing),
        admission: Admission::new(
            rds.clone(),
            order.plan.run.as_str(),
            &order.options.fleet,
            order.options.timing.poll,
        ),
        rds,
    };
    let (_keep, never) = watch::channel(false);
    let store = SharedStore::new(store);
    let is_begun = !store.get().entries()?.is_empty();
    let mut was_approved = false;
    let (ended, watched, waits_since) = {
        let mut runner = Runner::new(
            order.plan,
            Outcome::Migrated,
            migration,
            order.aws,
            &region,
            &store,
            order.options,
            reporter,
            never.clone(),
            never,
        )?;
        runner.take_in(order, state)?;
        let mut not_asked = None;
        if let Some(approved) = order.approve {
            was_approved = runner.asks_leave() == Some(approved);
            runner.has_leave = was_approved;
            // The same leave given twice is no mistake.
            let is_known = state.approved.iter().any(|before| before.step == approved);
            not_asked = (!was_approved && !is_known).then(|| approved.to_owned());
        }
        let full = match is_begun || not_asked.is_some() {
            true => None,
            // What others have been promised elsewhere is not known here; RDS refuses what does not fit.
            false => match region.admission.ask(migration, clock::instant()).await {
                Room::Promised => None,
                Room::Full(why) | Room::GivenUp(why) => Some(why),
            },
        };
        let ended = match (not_asked, full) {
            (Some(step), _) => Ended::NotAsked(step),
            (None, Some(why)) => Ended::Full(why),
            (None, None) => runner.tick().await?,
        };
        (ended, runner.give_out(), runner.waits_since())
    };
    Ok(Passed {
        ended,
        watched,
        was_approved,
        waits_since,
        store: store.into_inner(),
    })
}

/// The report of a migration that nothing was done for.
pub(crate) fn untouched(migration: &Migration, why: &str, done: usize) -> MigrationReport {
    not_begun(migration, why, done)
}

impl Runner<'_> {
    /// Takes over what the tick before has left.
    fn take_in(&mut self, order: &Order<'_>, state: &TickState) -> Result<(), StoreError> {
        let now = clock::now();
        if let Some(resumed) = state.resumed {
            self.began = clock::instant_of(resumed);
        }
        let mut pace = Pace {
            lifetime: order.lifetime,
            fresh: BTreeMap::new(),
            doubtful: BTreeMap::new(),
            is_spent: false,
            has_intended: false,
        };
        // A new sitting has deadlines of its own, as a run that is resumed.
        for (step, watched) in state.watched.iter().filter(|_| !order.is_new_sitting) {
            self.watch(step, watched);
            self.windows.take_in(step, watched);
        }
        for (step, record) in &self.records {
            if record.status != StepStatus::Intended {
                continue;
            }
            let intended = record.intended_at.unwrap_or(record.changed_at);
            // A late tick may send on it up to then.
            let latest = intended
                .checked_add(order.lifetime)
                .unwrap_or(intended)
                .max(now);
            let known = state.watched.get(step);
            match known.and_then(|watched| watched.doubtful_from) {
                Some(from) => drop(pace.doubtful.insert(step.clone(), from)),
                None if order.is_new_sitting => {
                    pace.doubtful.insert(step.clone(), latest);
                }
                None => drop(pace.fresh.insert(step.clone(), intended)),
            }
        }
        for (step, from) in &pace.doubtful {
            self.intents.insert(step.clone(), clock::instant_of(*from));
        }
        self.tick = Some(pace);
        if order.resume {
            self.reopen()?;
            let known = |step: &str| {
                let pace = self.tick.as_ref();
                pace.is_some_and(|pace| pace.doubtful.contains_key(step))
            };
            // A step that is taken up again bears no intent that somebody could act on.
            let reopened: Vec<String> = self
                .records
                .iter()
                .filter(|(step, record)| record.status == StepStatus::Intended && !known(step))
                .map(|(step, _)| step.clone())
                .collect();
            for step in reopened {
                self.doubt(&step, now);
            }
        }
        Ok(())
    }

    /// What the next tick takes over.
    fn give_out(&self) -> BTreeMap<String, Watched> {
        let mut all: BTreeMap<String, Watched> = self
            .watching()
            .filter(|(step, _)| {
                !matches!(self.status(step), StepStatus::Done | StepStatus::Stopped)
            })
            .collect();
        let doubtful = self.tick.iter().flat_map(|pace| &pace.doubtful);
        for (step, from) in doubtful {
            let watched = all.entry(step.clone()).or_insert_with(|| Watched {
                began: *from,
                confirmed: 0,
                confirmed_at: None,
                doubtful_from: None,
                ready: None,
                trouble: None,
                reason: None,
            });
            watched.doubtful_from = Some(*from);
        }
        for (step, watched) in &mut all {
            self.windows.give_out(step, watched);
        }
        all
    }

    async fn tick(&mut self) -> Result<Ended, StoreError> {
        // In one sitting the others of these have gone on meanwhile; that sitting goes on.
        self.hold_what_is_stopped();
        let ended = match self.pass().await? {
            Pass::Over(Outcome::Stopped { step, reason }) if reason == ASKED => Ended::Asks(step),
            Pass::Over(Outcome::Stopped { reason, .. }) => Ended::Unasked(reason),
            Pass::Over(outcome) => Ended::Over(Box::new(self.report(outcome))),
            Pass::Unasked(why) => Ended::Unasked(why),
            Pass::Looked { .. } if self.done() == self.migration.steps.len() => {
                Ended::Over(Box::new(self.report(Outcome::Migrated)))
            }
            Pass::Looked { advanced, .. } if advanced || self.has_intended() => Ended::Advanced,
            Pass::Looked { .. } => Ended::Waiting,
        };
        Ok(ended)
    }

    /// The step that leave is asked for now.
    fn asks_leave(&self) -> Option<&str> {
        let mut steps = self.migration.steps.iter();
        steps
            .find(|step| self.is_ready(step) && self.must_stop_before(step))
            .map(|step| step.id.as_str())
    }

    fn has_intended(&self) -> bool {
        self.tick.as_ref().is_some_and(|pace| pace.has_intended)
    }

    /// The status by which is decided: an intent that nobody can have acted on is as good as none.
    pub(super) fn decided_by(&self, step: &str) -> StepStatus {
        match &self.tick {
            Some(pace) if pace.fresh.contains_key(step) => StepStatus::Pending,
            _ => self.status(step),
        }
    }

    /// Whether this tick has done its one thing.
    pub(super) fn is_spent(&self) -> bool {
        self.tick.as_ref().is_some_and(|pace| pace.is_spent)
    }

    /// Whether the call of a step may be sent now, because its intent is durable. In one sitting it is at once; a tick
    /// needs one that came in, and uses it up.
    pub(super) fn is_durable(&mut self, step: &Step) -> Result<Durable, StoreError> {
        let Some(pace) = &mut self.tick else {
            return Ok(Durable::Yes);
        };
        pace.is_spent = true;
        let Some(intended) = pace.fresh.remove(&step.id) else {
            pace.has_intended = true;
            return Ok(Durable::NextTick);
        };
        let now = clock::now();
        let age = now.duration_since(intended);
        let latest = intended.checked_add(pace.lifetime).unwrap_or(intended);
        if age.is_negative() || age.unsigned_abs() > pace.lifetime {
            self.doubt(&step.id, latest.max(now));
            return Ok(Durable::Expired);
        }
        let is_first = self
            .store
            .get()
            .about_to_send(&self.migration.id, &step.id)?;
        if is_first {
            return Ok(Durable::Yes);
        }
        self.doubt(&step.id, now);
        Ok(Durable::Expired)
    }

    /// From now on nobody knows whether the mutation of a step was sent.
    pub(super) fn doubt(&mut self, step: &str, from: Timestamp) {
        if let Some(pace) = &mut self.tick {
            pace.fresh.remove(step);
            pace.doubtful.insert(step.to_owned(), from);
            self.intents
                .insert(step.to_owned(), clock::instant_of(from));
        }
    }

    /// A record was made: what was in doubt no longer is.
    pub(super) fn is_recorded(&mut self, step: &str, event: StepEvent) {
        if let Some(pace) = &mut self.tick {
            pace.doubtful.remove(step);
            if event != StepEvent::Intend {
                pace.fresh.remove(step);
            }
        }
    }

    /// How far apart two looks must be to count as two.
    pub(super) fn between_looks(&self) -> Duration {
        match self.tick {
            Some(_) => self.options.timing.poll,
            None => Duration::ZERO,
        }
    }
}

/// Whether an intent is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    /// It is, and nobody has acted on it.
    Yes,
    /// It will be when the caller has kept the state.
    NextTick,
    /// Somebody may have acted on it.
    Expired,
}

/// Whether a plan has something that only one long sitting can do.
pub(crate) fn needs_a_sitting(migration: &Migration) -> Option<&'static str> {
    let has_hooks = migration
        .steps
        .iter()
        .any(|step| matches!(&step.action, atrest_model::plan::Action::Hook(hook) if hook.at != Stage::AfterRun));
    has_hooks.then_some("it has hooks, and the steps of a workflow do what they do")
}

/// What a stopped step's record says.
pub(crate) fn stopped(step: &str, result: &serde_json::Value) -> Outcome {
    let text = |name: &str| {
        let member = result.get(name).and_then(serde_json::Value::as_str);
        member.unwrap_or_default().to_owned()
    };
    match result.get("drift").and_then(serde_json::Value::as_u64) {
        Some(drift) => Outcome::ValidationFailed {
            drift: usize::try_from(drift).unwrap_or(usize::MAX),
        },
        None => Outcome::NeedsOperator {
            step: step.to_owned(),
            reason: text("reason"),
            hint: text("hint"),
        },
    }
}

/// The detail of the record that takes a step up again.
pub(super) fn reopened() -> serde_json::Value {
    json!({"reason": "resumed"})
}
