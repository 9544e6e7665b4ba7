//! Scans that several processes make together: a plan, batches, a merge. See docs/design/0011-shards.md.

mod batch;
mod entrance;
mod file;
mod index;
mod merge;
mod planned;

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atrest_model::Tool;
use atrest_model::shard::{ShardPlan, ShardPlanError};

use crate::exit::{Exit, ExpectedError};

pub(super) use batch::read;
pub(crate) use merge::merge;
pub(super) use planned::plan;

/// Stands for standard input and output.
const STANDARD: &str = "-";

/// Characters of a plan's id that name its folder.
const SHORT_ID: usize = 16;

/// Reads a plan and checks that it is whole, of this version, and of this night.
fn read_plan(path: &Path, max_age: Option<Duration>) -> anyhow::Result<ShardPlan> {
    let read = if path == Path::new(STANDARD) {
        ShardPlan::read(&mut std::io::stdin().lock())
    } else {
        std::fs::File::open(path)
            .map_err(ShardPlanError::from)
            .and_then(|file| ShardPlan::read(&mut BufReader::new(file)))
    };
    let plan = read.map_err(|error| {
        let hint = match &error {
            ShardPlanError::Newer(_) => "update atrest: plan, batches and merge are of one version",
            ShardPlanError::Changed => {
                "make it anew with `atrest scan --plan-shards`, with the options that are wanted"
            }
            ShardPlanError::Io(_) | ShardPlanError::Form(_) => {
                "give a file that `atrest scan --plan-shards` has written"
            }
        };
        ExpectedError::usage(format!("{}: {error}", path.display()), hint)
    })?;
    if plan.header.tool != Tool::current() {
        return Err(ExpectedError::usage(
            format!(
                "{} is of {} {}, this is {}",
                path.display(),
                plan.header.tool.name,
                plan.header.tool.version,
                Tool::current().version
            ),
            "what a policy looks at must be what a worker has kept: one version for plan, batches and merge",
        ));
    }
    let age = jiff::Timestamp::now().duration_since(plan.header.created);
    if let Some(max_age) = max_age
        && age.unsigned_abs() > max_age
    {
        return Err(ExpectedError::of(
            Exit::StalePlan,
            format!(
                "{} was made at {}, which is not within --plan-max-age of now",
                path.display(),
                plan.header.created
            ),
            "see why there is no plan of tonight",
        ));
    }
    Ok(plan)
}

/// Where the batches of a plan are in a folder.
fn folder_of(plan: &ShardPlan, dir: &Path) -> PathBuf {
    let id = &plan.header.id;
    dir.join(id.get(..SHORT_ID).unwrap_or(id))
}
