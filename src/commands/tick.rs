//! `atrest tick`: one step of one migration, for a workflow that keeps the state.

use std::io::Read as _;
use std::path::Path;

use atrest_fixer::clock::Timing;
use atrest_fixer::executor::Reporter;
use atrest_fixer::fleet::BlastRadius;
use atrest_fixer::options::FleetOptions;
use atrest_fixer::store::read_plan;
use atrest_fixer::tick::{self, Settings, TickError};
use atrest_model::event::RunEvent;
use atrest_model::plan::Plan;
use atrest_model::tick::{Progress, TickDocument, TickInput};

use super::{common, fix};
use crate::cli::TickArgs;
use crate::config::Config;
use crate::exit::{Exit, ExpectedError};

pub(crate) async fn run(args: &TickArgs, config: &Config) -> anyhow::Result<Exit> {
    let plan = read_plan(&args.plan).map_err(|e| ExpectedError::store(&e))?;
    let document = match (&args.begin, &args.state) {
        (Some(source), _) => begin(&plan, source, args).await?,
        (None, Some(path)) => next(&plan, path, args, config).await?,
        (None, None) => {
            return Err(ExpectedError::usage(
                "neither --begin nor --state is given",
                "see `atrest tick --help`",
            ));
        }
    };
    common::deliver(None, &common::json(&document)?)?;
    Ok(match document.progress {
        Progress::Advanced | Progress::Waiting | Progress::Approval | Progress::Done => Exit::Ok,
        Progress::TryLater => Exit::TryLater,
        Progress::NeedsOperator => Exit::TickNeedsPerson,
    })
}

/// The plan must fit what is there now, as for `fix`: of this migration.
async fn begin(plan: &Plan, source: &str, args: &TickArgs) -> anyhow::Result<TickDocument> {
    fix::check_stop_before(args.stop_before.as_deref(), plan)?;
    let document = tick::begin(plan, source, args.stop_before.clone()).map_err(|e| refused(&e))?;
    let aws = common::aws(&args.aws).await?;
    let mut of_it = plan.clone();
    of_it
        .migrations
        .retain(|migration| migration.id == document.state.migration);
    // The limit on what one plan may change was held when it was made.
    fix::check(&aws, &of_it, &args.mysql, Some(&BlastRadius::default())).await?;
    Ok(document)
}

async fn next(
    plan: &Plan,
    path: &Path,
    args: &TickArgs,
    config: &Config,
) -> anyhow::Result<TickDocument> {
    let mut input = read(path)?;
    input.again |= args.again;
    input.resume |= args.resume;
    if args.approve.is_some() {
        input.approve.clone_from(&args.approve);
    }
    let aws = common::aws(&args.aws).await?;
    let mysql = fix::check(&aws, plan, &args.mysql, None).await?;
    let base = FleetOptions::default();
    let settings = Settings {
        aws: &aws,
        plan,
        state_dir: &args.folder.state_dir,
        timing: Timing {
            poll: args.poll_interval,
            consistency: args.consistency_window,
            ..Timing::default()
        },
        intent_lifetime: args.intent_lifetime,
        mysql,
        fleet: FleetOptions {
            copies_in_flight: config
                .fleet()?
                .copies_in_flight
                .unwrap_or(base.copies_in_flight),
            ..base
        },
    };
    tick::tick(&settings, input, &Logged)
        .await
        .map_err(|e| refused(&e))
}

fn read(path: &Path) -> anyhow::Result<TickInput> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_read| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| {
        ExpectedError::usage(
            format!("cannot read the state: {error}"),
            "--state FILE, or --state - and the document on stdin",
        )
    })?;
    tick::read(&text).map_err(|e| refused(&e))
}

/// What is wrong with a state does not pass by waiting.
fn refused(error: &TickError) -> anyhow::Error {
    ExpectedError::usage(error.to_string(), error.hint())
}

/// Events go to the log: the document says what they come to.
struct Logged;

impl Reporter for Logged {
    fn event(&self, event: &RunEvent) {
        match event {
            RunEvent::Retrying {
                subject,
                step,
                reason,
            } => tracing::warn!("{subject}: {step}: {reason}"),
            RunEvent::Acted {
                migration,
                step,
                operation,
            } => tracing::info!("{migration}: {step}: {operation}"),
            _ => {}
        }
    }
}
