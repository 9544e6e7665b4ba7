//! One file per verb.

mod accounts;
mod cleanup;
mod common;
mod completions;
mod config;
mod data_progress;
mod demo;
mod diff;
mod durations;
mod fix;
mod help;
mod iam_policy;
mod login;
mod man;
mod metrics;
mod offline;
mod plan;
mod policy;
mod reference;
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

use crate::cli::{Cli, Command, ReportCommand};
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
        Command::Report(args) => match &args.command {
            Some(ReportCommand::Merge(merge)) => {
                let config = Config::load(cli.config.as_deref())?;
                Box::pin(scan::merge(merge, &config)).await
            }
            None => report::run(&args),
        },
        Command::Config(args) => config::run(&args.command, cli.config.as_deref()),
        Command::Demo(args) => demo::run(args, &output).await,
        Command::Sandbox(args) => sandbox::run(args).await,
        Command::Completions { shell } => completions::run(shell),
        Command::Man { dir } => man::run(&dir),
        Command::Help { words } => help::run(&words),
        Command::Reference { dir } => reference::run(&dir),
    }
}
