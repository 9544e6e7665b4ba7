//! The workflow of a migration, and the legs it goes in.
//!
//! A workflow is replayed from its journal each time it goes on, so its journal must not grow with the hours it waits: the
//! ticks are made in legs, each a call with a journal of its own, and the workflow keeps the last document of each. The
//! workflow's key is the lock: Restate begins it once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use atrest_fixer::tick;
use atrest_model::run::MigrationReport;
use atrest_model::tick::{Progress, TickDocument, TickInput};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::worker::Worker;

/// Ticks of a leg, at most.
const TICKS: usize = 50;

/// Under this the workflow keeps what [`Status`] shows.
const STATUS: &str = "status";

/// How far a workflow is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What the last leg ended with.
    pub progress: Progress,
    /// The step at hand.
    pub step: Option<String>,
    /// What was seen of it.
    pub seen: String,
    /// What a person can do.
    pub hint: Option<String>,
    /// How often a person was asked to look.
    pub asked: u32,
}

/// How a workflow ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// How the migration ended.
    pub result: Option<MigrationReport>,
    /// The audit trail, which `atrest status --verify` checks.
    pub journal: Vec<String>,
}

/// The workflow `Migration`: its key is the `DbiResourceId` of a source, a hyphen and the number of the attempt; its
/// input is what `atrest tick PLAN --begin` has printed.
#[derive(Debug)]
pub struct Migrations;

/// The service `Leg`: some ticks, one after the other.
#[derive(Debug)]
pub struct Legs(Arc<Worker>);

impl Legs {
    pub(crate) fn new(worker: Arc<Worker>) -> Self {
        Self(worker)
    }
}

#[restate_sdk::workflow(
    name = "Migration",
    client_visibility = "pub(crate)",
    workflow_completion_retention = "365 days",
    journal_retention = "365 days",
    inactivity_timeout = "10m",
    abort_timeout = "12h"
)]
impl Migrations {
    /// Migrates. Ends when it is migrated.
    #[handler]
    async fn run(
        &self,
        ctx: WorkflowContext<'_>,
        first: Json<Value>,
    ) -> Result<Json<Ended>, HandlerError> {
        let first = first.into_inner();
        let mut input = tick::read(&first.to_string()).map_err(|e| refused(&e.to_string()))?;
        check_key(ctx.key(), &input.state.dbi_resource_id)?;
        let mut journal: Vec<String> = first
            .get("journal")
            .and_then(|lines| serde_json::from_value(lines.clone()).ok())
            .unwrap_or_default();
        let mut asked = 0;
        loop {
            let leg = ctx.service_client::<LegsClient>();
            let document = leg.walk(Json(input)).call().await?.into_inner();
            journal.extend(document.journal.iter().cloned());
            input = document.next();
            asked += u32::from(document.progress == Progress::NeedsOperator);
            ctx.set(
                STATUS,
                Json(Status {
                    progress: document.progress,
                    step: document.step.clone(),
                    seen: document.seen.clone(),
                    hint: document.hint.clone(),
                    asked,
                }),
            );
            match document.progress {
                Progress::Done => {
                    let result = document.result;
                    return Ok(Json(Ended { result, journal }));
                }
                Progress::Approval => {
                    let step = document.step.unwrap_or_default();
                    let leave = approval(&step);
                    ctx.promise::<String>(&leave).await?;
                    input.approve = Some(step);
                }
                Progress::NeedsOperator => {
                    let mended = resumption(asked);
                    ctx.promise::<String>(&mended).await?;
                    input.resume = true;
                }
                Progress::Advanced | Progress::Waiting | Progress::TryLater => {}
            }
        }
    }

    /// Gives leave for the step that the status asks for.
    #[handler]
    async fn approve(
        &self,
        ctx: SharedWorkflowContext<'_>,
        step: String,
    ) -> Result<(), HandlerError> {
        let status = known(&ctx).await?;
        if status.progress != Progress::Approval || status.step.as_deref() != Some(step.as_str()) {
            return Err(refused(&format!(
                "it does not wait for leave before {step}"
            )));
        }
        ctx.resolve_promise(&approval(&step), step);
        Ok(())
    }

    /// Goes on after a person has looked.
    #[handler]
    async fn resume(&self, ctx: SharedWorkflowContext<'_>) -> Result<(), HandlerError> {
        let status = known(&ctx).await?;
        if status.progress != Progress::NeedsOperator {
            return Err(refused("it does not wait for a person"));
        }
        ctx.resolve_promise(&resumption(status.asked), String::new());
        Ok(())
    }

    /// How far it is.
    #[handler]
    async fn status(&self, ctx: SharedWorkflowContext<'_>) -> Result<Json<Status>, HandlerError> {
        known(&ctx).await.map(Json)
    }
}

#[restate_sdk::service(
    name = "Leg",
    client_visibility = "pub(crate)",
    ingress_private,
    journal_retention = "365 days",
    inactivity_timeout = "10m",
    abort_timeout = "12h"
)]
impl Legs {
    /// Ticks until a person is needed, the migration is over, or the leg is long enough.
    #[handler]
    async fn walk(
        &self,
        ctx: Context<'_>,
        input: Json<TickInput>,
    ) -> Result<Json<TickDocument>, HandlerError> {
        let mut input = input.into_inner();
        let mut journal = Vec::new();
        let mut ticks = 0;
        loop {
            // A record of its own before each tick. One that is replayed says that this tick was begun in an earlier attempt:
            // it may have sent its call, and must be told so.
            let is_first = Arc::new(AtomicBool::new(false));
            let mark = Arc::clone(&is_first);
            ctx.run(move || async move {
                mark.store(true, Ordering::Relaxed);
                Ok(())
            })
            .name("begin a tick")
            .await?;
            let mut told = input.clone();
            told.again |= !is_first.load(Ordering::Relaxed);
            let worker = Arc::clone(&self.0);
            let document = ctx
                .run(move || async move {
                    match worker.tick(told).await {
                        Ok(document) => Ok(Json(document)),
                        Err(error) if error.may_pass() => Err(HandlerError::from(error)),
                        Err(error) => Err(refused(&error.to_string())),
                    }
                })
                .name("tick")
                .await?;
            let mut document = document.into_inner();
            journal.append(&mut document.journal);
            ticks += 1;
            let goes_on = matches!(
                document.progress,
                Progress::Advanced | Progress::Waiting | Progress::TryLater
            );
            if goes_on && document.wait_seconds > 0 {
                ctx.sleep(Duration::from_secs(document.wait_seconds))
                    .await?;
            }
            if !goes_on || ticks == TICKS {
                document.journal = journal;
                return Ok(Json(document));
            }
            input = document.next();
        }
    }
}

async fn known(ctx: &SharedWorkflowContext<'_>) -> Result<Status, HandlerError> {
    let status = ctx.get::<Json<Status>>(STATUS).await?;
    status
        .map(Json::into_inner)
        .ok_or_else(|| refused("its first leg is not over yet"))
}

fn approval(step: &str) -> String {
    format!("approve:{step}")
}

fn resumption(asked: u32) -> String {
    format!("resume:{asked}")
}

/// Trying again would not help.
fn refused(why: &str) -> HandlerError {
    TerminalError::new_with_code(400, why).into()
}

/// Two workflows of one source and attempt have one key.
fn check_key(key: &str, dbi_resource_id: &str) -> Result<(), HandlerError> {
    let attempt = key
        .strip_prefix(dbi_resource_id)
        .and_then(|rest| rest.strip_prefix('-'));
    let is_number = attempt.is_some_and(|attempt| {
        attempt
            .parse::<u32>()
            .is_ok_and(|number| number > 0 && number.to_string() == attempt)
    });
    if is_number {
        return Ok(());
    }
    Err(refused(&format!(
        "the key of the workflow must be {dbi_resource_id}-1, or a later attempt; it is {key}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_source_and_the_attempt() {
        for good in ["db-A-1", "db-A-12"] {
            assert!(check_key(good, "db-A").is_ok(), "{good}");
        }
        for bad in [
            "db-A", "db-A-", "db-A-0", "db-A-01", "db-A-x", "db-B-1", "db-AB-1",
        ] {
            assert!(check_key(bad, "db-A").is_err(), "{bad}");
        }
    }
}
