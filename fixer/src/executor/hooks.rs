//! Runs hooks and records them. Nothing shows later whether a command has run, so the record is all there is: one of
//! which only the beginning is recorded is run again only where that is allowed.

use std::time::Duration;

use atrest_model::event::RunEvent;
use atrest_model::hook::{Hook, OnFailure, Stage};
use atrest_model::journal::{StepEvent, StepStatus};
use atrest_model::plan::{Action, Migration, Plan, Step};
use atrest_model::run::Outcome;
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};

use super::Sitting;
use super::command::{self, End, Ran};
use super::runner::{INTERRUPTED, Looked, NOTED, Runner};
use crate::observatory::RegionView;
use crate::options::InterruptedHooks;
use crate::steps::claim;
use crate::store::{RUN_ITSELF as RUN, StoreError};

const OPERATION: &str = "run the hook";

/// What is noted with a hook: its last known state.
const STATE: &str = "hook";
const STARTED: &str = "started";
const FAILED: &str = "failed";
const DONE: &str = "done";
/// With a hook of the run: the outcome that it was told.
const OUTCOME: &str = "outcome";

/// The word for an outcome, as hooks are told it.
pub(super) fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Migrated => "migrated",
        Outcome::Rehearsed => "rehearsed",
        Outcome::RolledBack => "rolled-back",
        Outcome::CleanedUp => "cleaned-up",
        Outcome::Stopped { .. } => "stopped",
        Outcome::ValidationFailed { .. } => "validation-failed",
        Outcome::NeedsOperator { .. } => "needs-operator",
    }
}

/// What every hook is told.
fn told(
    plan: &Plan,
    stage: Stage,
    migration: Option<&Migration>,
    outcome: &str,
) -> Vec<(&'static str, String)> {
    let mut told = vec![
        ("ATREST_RUN", plan.run.to_string()),
        ("ATREST_ACCOUNT", plan.account.clone()),
        ("ATREST_STAGE", stage.as_str().to_owned()),
        ("ATREST_OUTCOME", outcome.to_owned()),
    ];
    let Some(migration) = migration else {
        return told;
    };
    let replicas: Vec<&str> = migration
        .replicas
        .iter()
        .map(|replica| replica.identifier.as_str())
        .collect();
    told.extend([
        ("ATREST_MIGRATION", migration.id.clone()),
        ("ATREST_REGION", migration.region.clone()),
        ("ATREST_INSTANCE", migration.source.identifier.to_string()),
        ("ATREST_REPLICAS", replicas.join(",")),
        ("ATREST_ENGINE", migration.engine.clone()),
        (
            "ATREST_WAVE",
            migration
                .wave
                .map_or_else(String::new, |wave| wave.to_string()),
        ),
    ]);
    told
}

/// What the journal keeps of a command that was run, with one thing more.
fn record(hook: &Hook, ran: &Ran, state: &str, (name, text): (&str, &str)) -> Value {
    json!({
        "command": hook.command,
        "ended": words(hook, ran),
        "seconds": ran.seconds,
        "output": ran.output,
        name: text,
        NOTED: {STATE: state},
    })
}

/// How a command ended, and the last thing it said.
fn words(hook: &Hook, ran: &Ran) -> String {
    match &ran.end {
        End::Succeeded => "exit status 0".to_owned(),
        End::Failed(why) => why.clone(),
        End::TimedOut => format!("ended after its timeout of {} s", hook.timeout_seconds),
        End::Stopped => "ended because the run was interrupted".to_owned(),
    }
}

/// One line about it.
fn line(hook: &Hook, ran: &Ran) -> String {
    match ran.last_line() {
        Some(said) => {
            // The whole of it is in the journal.
            let said: String = said.chars().take(200).collect();
            format!("{}: {said}", words(hook, ran))
        }
        None => words(hook, ran),
    }
}

impl Runner<'_> {
    /// Runs a hook that is a step, or says why it is not known whether it has run.
    pub(super) async fn hook(
        &mut self,
        step: &Step,
        hook: &Hook,
        view: &Arc<RegionView>,
    ) -> Result<Looked, StoreError> {
        match self.fence(step, view) {
            claim::Fence::Ours => {}
            claim::Fence::NotShown(state) => return self.wait(step, &state),
            claim::Fence::Lost { reason, hint } => return self.end(step, &reason, &hint),
        }
        if let Some(why) = self.has_perhaps_run(step) {
            match self.options.fleet.interrupted_hooks {
                InterruptedHooks::Done => {
                    let result = json!({"command": hook.command, "ended": why, "counted": "as done, by the operator"});
                    return self.finish(step, "counted as done, by the operator", result);
                }
                InterruptedHooks::Again => {}
                InterruptedHooks::Ask if hook.repeat => {}
                InterruptedHooks::Ask => {
                    return self.end(
                        step,
                        &why,
                        "find out what it has done, and that it is not running any more; then `atrest fix --resume RUN --interrupted-hooks done` counts it as done, `--interrupted-hooks again` runs it again",
                    );
                }
            }
        }
        self.record(
            &step.id,
            StepEvent::Intend,
            &json!({"operation": OPERATION, "command": hook.command, NOTED: {STATE: STARTED}}),
        )?;
        if let Some(unleased) = self.unleased(step).await? {
            return Ok(unleased);
        }
        self.reporter.event(&RunEvent::Acted {
            migration: self.migration.id.clone(),
            step: step.id.clone(),
            operation: OPERATION.to_owned(),
        });
        let told = told(self.plan, hook.at, Some(self.migration), "");
        let ran = command::run(
            &hook.command,
            Duration::from_secs(hook.timeout_seconds),
            &told,
            &hook.inherit,
            self.stop.clone(),
        )
        .await;
        let stage = ("stage", hook.at.as_str());
        match (&ran.end, hook.on_failure) {
            (End::Succeeded, _) => {
                let kept = record(hook, &ran, DONE, stage);
                self.finish(step, &line(hook, &ran), kept)
            }
            (End::Stopped, _) => {
                // How far it had come is not known: resuming asks.
                let why = "its hook was ended because the run was interrupted";
                let detail = record(hook, &ran, STARTED, ("reason", why));
                self.record(&step.id, StepEvent::Stop, &detail)?;
                Ok(Looked::Ended(Outcome::Stopped {
                    step: step.id.clone(),
                    reason: INTERRUPTED.to_owned(),
                }))
            }
            (_, OnFailure::Continue) => {
                let detail = format!("FAILED, and the run goes on: {}", line(hook, &ran));
                self.finish(step, &detail, record(hook, &ran, FAILED, stage))
            }
            (_, OnFailure::Stop) => {
                self.record(
                    &step.id,
                    StepEvent::Refuse,
                    &record(hook, &ran, FAILED, stage),
                )?;
                self.end(
                    step,
                    &format!("the hook failed: {}", line(hook, &ran)),
                    "mend what it complains about, then resume: the hook is run again; all it said is in `atrest status RUN --journal`",
                )
            }
        }
    }

    /// Why a hook may have run already, if it may.
    fn has_perhaps_run(&self, step: &Step) -> Option<String> {
        if self.status(&step.id) != StepStatus::Pending {
            let failed = self
                .noted(&step.id)
                .and_then(|noted| noted.get(STATE))
                .is_some_and(|state| state == FAILED);
            return (!failed).then(|| {
                "the hook was begun, and the process ended before it was known how it ended"
                    .to_owned()
            });
        }
        // A folder that has changed nothing of this migration yet does not know how far another one had come.
        let has_acted = self.migration.steps.iter().any(|other| {
            !matches!(other.action, Action::Claim { .. })
                && self
                    .records
                    .get(&other.id)
                    .is_some_and(|record| record.intended_at.is_some())
        });
        (self.is_adopted && !has_acted).then(|| {
            "the run was taken up without its folder: nobody knows whether the hook has run"
                .to_owned()
        })
    }
}

impl Sitting<'_> {
    /// Runs the hooks of the run itself. Their failure changes nothing that was done; it is kept for the report.
    pub(super) async fn hooks_of_the_run(
        &self,
        stage: Stage,
        migration: Option<&Migration>,
        outcome: &str,
    ) {
        let hooks = self.plan.hooks.iter().filter(|hook| hook.at == stage);
        for (hook, number) in hooks.zip(1..) {
            let about = migration.map_or_else(String::new, |m| format!(":{}", m.id));
            let id = format!("hook:{}{about}:{number}", stage.as_str());
            if let Err(error) = self.hook_of_the_run(&id, hook, migration, outcome).await {
                self.failed(format!("{id}: {error}"));
            }
        }
    }

    fn failed(&self, what: String) {
        tracing::error!("{what}");
        self.failed_hooks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
    }

    /// Runs one, under a name that has not been used.
    async fn hook_of_the_run(
        &self,
        id: &str,
        hook: &Hook,
        migration: Option<&Migration>,
        outcome: &str,
    ) -> Result<(), StoreError> {
        let step = {
            let store = self.store.get();
            let before = store.steps(RUN)?;
            let same = |step: &str| step == id || step.starts_with(&format!("{id}#"));
            let tried = before.iter().filter(|(step, _)| same(step));
            let is_over = tried.clone().any(|(_, record)| {
                record.status == StepStatus::Done
                    && record
                        .result
                        .get("outcome")
                        .is_some_and(|o| o == "migrated")
            });
            // A run that has arrived arrives once, however often it is taken up.
            if is_over && outcome == "migrated" {
                return Ok(());
            }
            let tried = tried.count();
            let step = if tried == 0 {
                id.to_owned()
            } else {
                format!("{id}#{}", tried + 1)
            };
            let detail = json!({"operation": OPERATION, "command": hook.command});
            store.record(RUN, &step, StepEvent::Intend, &detail)?;
            step
        };
        self.reporter.event(&RunEvent::Acted {
            migration: RUN.to_owned(),
            step: step.clone(),
            operation: OPERATION.to_owned(),
        });
        let ran = command::run(
            &hook.command,
            Duration::from_secs(hook.timeout_seconds),
            &told(self.plan, hook.at, migration, outcome),
            &hook.inherit,
            self.stop.clone(),
        )
        .await;
        let succeeded = ran.end == End::Succeeded;
        let state = if succeeded { DONE } else { FAILED };
        let detail = record(hook, &ran, state, (OUTCOME, outcome));
        let passes = succeeded || hook.on_failure == OnFailure::Continue;
        let event = if passes {
            StepEvent::Finish
        } else {
            StepEvent::Stop
        };
        self.store.get().record(RUN, &step, event, &detail)?;
        let line = line(hook, &ran);
        if passes {
            self.reporter.event(&RunEvent::StepDone {
                migration: RUN.to_owned(),
                step,
                detail: if succeeded {
                    line
                } else {
                    format!("FAILED, and that is passed over: {line}")
                },
                done: 1,
                steps: 1,
                elapsed_seconds: ran.seconds,
            });
        } else {
            self.failed(format!("{step}: {line}"));
        }
        Ok(())
    }
}
