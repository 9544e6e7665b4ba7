//! One file per verb.

mod accounts;
mod cleanup;
mod common;
mod completions;
mod data_progress;
mod demo;
mod diff;
mod durations;
mod fix;
mod iam_policy;
mod login;
mod offline;
mod plan;
mod policy;
mod refusals;
mod report;
mod rollback;
mod run_scans;
mod sandbox;
mod scan;
mod shared;
mod status;
mod tick;
mod undo;

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::exit::Exit;

/// Runs the verb.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<Exit> {
    let output = cli.output;
    match cli.command {
        Command::Scan(args) => {
            let config = Config::load(cli.config.as_deref())?;
            Box::pin(scan::run(args, &config, &output)).await
        }
        Command::Policy(args) => policy::run(&args.command, &Config::load(cli.config.as_deref())?),
        Command::IamPolicy(args) => iam_policy::run(&args),
        Command::Plan(args) => plan::run(args, &Config::load(cli.config.as_deref())?).await,
        Command::Fix(args) => {
            let config = Config::load(cli.config.as_deref())?;
            Box::pin(fix::run(args, &config, &output)).await
        }
        Command::Tick(args) => {
            let config = Config::load(cli.config.as_deref())?;
            Box::pin(tick::run(&args, &config)).await
        }
        Command::Status(args) => status::run(&args).await,
        Command::Rollback(args) => Box::pin(rollback::run(args, &output)).await,
        Command::Cleanup(args) => Box::pin(cleanup::run(args, &output)).await,
        Command::Diff(args) => diff::run(args).await,
        Command::Accounts(args) => Box::pin(accounts::run(args)).await,
        Command::Report(args) => report::run(&args),
        Command::Demo(args) => demo::run(args, &output).await,
        Command::Sandbox(args) => sandbox::run(args).await,
        Command::Completions { shell } => completions::run(shell),
    }
}
