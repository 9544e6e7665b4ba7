//! Wall time, CPU time and memory of one command, taken by a process that does nothing else.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::{Deserialize, Serialize};

/// The first argument that makes this program the one that measures.
pub(crate) const WORD: &str = "measure";

/// One run of one way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Seconds by the clock.
    pub(crate) wall: f64,
    /// Seconds of CPU, user and system, of the command and of everything it started and waited for.
    pub(crate) cpu: f64,
    /// Peak memory of the largest of these processes.
    pub(crate) rss_kib: i64,
    /// What the command wrote: the number of accounts or lines that differ.
    pub(crate) said: String,
}

/// Runs `command` in a measuring process.
pub(crate) fn of(command: &[String], environment: &[(&str, &str)]) -> anyhow::Result<Sample> {
    let output = Command::new(std::env::current_exe()?)
        .arg(WORD)
        .args(command)
        .envs(environment.iter().copied())
        .stderr(Stdio::inherit())
        .output()?;
    anyhow::ensure!(output.status.success(), "{command:?} failed");
    serde_json::from_slice(&output.stdout).context("no measurement")
}

/// The measuring process: what children used is known per process tree only.
pub(crate) fn run(command: &[String]) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("nothing to measure")?;
    let began = Instant::now();
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| program.clone())?;
    let wall = began.elapsed().as_secs_f64();
    anyhow::ensure!(output.status.success(), "{program}: {}", output.status);
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = used.user_time().num_microseconds() + used.system_time().num_microseconds();
    let sample = Sample {
        wall,
        cpu: std::time::Duration::from_micros(cpu.unsigned_abs()).as_secs_f64(),
        rss_kib: used.max_rss(),
        said: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    };
    serde_json::to_writer(std::io::stdout(), &sample)?;
    Ok(())
}
