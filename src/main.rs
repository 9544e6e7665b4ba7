//! `atrest`: parse, log, run, map errors to exit codes. No logic.

mod cli;
mod commands;
mod config;
mod exit;
mod logging;
mod memory;
mod progress;
mod rules;
mod screen;
mod terminal;
mod webhook;
mod welcome;

use std::process::ExitCode;

use anstream::eprintln;
use clap::Parser as _;
use owo_colors::OwoColorize as _;

use crate::cli::Cli;
use crate::exit::{Exit, ExpectedError};

fn main() -> ExitCode {
    if std::env::args_os().len() == 1 {
        welcome::say();
        return Exit::Usage.into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
            // Nothing is left to do when not even this can be printed.
            let _printed = error.print();
            return code.into();
        }
    };
    terminal::apply(cli.output.color);
    memory::keep();
    logging::init(&cli.output);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            report(&anyhow::Error::new(error));
            return Exit::Internal.into();
        }
    };
    let result = runtime.block_on(commands::run(cli));
    // Tasks that wait for a signal must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(exit) => exit.into(),
        Err(error) => report(&error).into(),
    }
}

/// Says what went wrong, in one line and a hint.
fn report(error: &anyhow::Error) -> Exit {
    if terminal::is_broken_pipe(error) {
        return Exit::Ok;
    }
    if let Some(expected) = error.downcast_ref::<ExpectedError>() {
        let (message, hint) = (
            terminal::printable_lines(&expected.message),
            terminal::printable_lines(&expected.hint),
        );
        eprintln!("{} {message}", "error:".red().bold());
        if !hint.is_empty() {
            eprintln!("{} {hint}", "hint:".cyan());
        }
        return expected.exit;
    }
    let message = terminal::printable_lines(&format!("{error:#}"));
    eprintln!("{} {message}", "internal error:".red().bold());
    eprintln!(
        "{} this is a bug; please report it with the command line and -vv output",
        "hint:".cyan()
    );
    Exit::Internal
}
