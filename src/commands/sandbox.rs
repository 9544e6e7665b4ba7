//! `atrest sandbox`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use atrest_sandbox::engine::{Engines, default_install_dir};
use atrest_sandbox::{EngineMode, Sandbox, SandboxOptions, Scenario};

use super::common;
use crate::cli::{EnginesArg, SandboxArgs, SandboxCommand, ServeArgs};
use crate::exit::{Exit, ExpectedError};

pub(crate) async fn run(args: SandboxArgs) -> anyhow::Result<Exit> {
    match args.command {
        SandboxCommand::Scenarios => {
            let mut out = Vec::new();
            for (name, _text) in Scenario::shipped() {
                writeln!(out, "{name}")?;
            }
            common::deliver(None, &out)?;
            Ok(Exit::Ok)
        }
        SandboxCommand::Serve(args) => serve(args).await,
    }
}

async fn serve(args: ServeArgs) -> anyhow::Result<Exit> {
    let scenario = load(&args.scenario)?;
    let mut stop = common::stop_signal()?;
    let options = SandboxOptions {
        scenario,
        port: args.port,
        speed: args.speed,
        engines: mode(args.engines),
        install_dir: install_dir()?,
        work_dir: work_dir().await,
        request_log: args.request_log,
        seed: args.seed,
    };
    let sandbox = match args.state {
        Some(state) => Sandbox::start_with_state(options, state).await,
        None => Sandbox::start(options).await,
    }
    .map_err(failed)?;
    let mut line = serde_json::to_vec(sandbox.ready())?;
    line.push(b'\n');
    common::deliver(None, &line)?;
    if stop.wait_for(|stop| *stop).await.is_err() {
        tracing::warn!("signals are no longer received");
    }
    sandbox.shutdown().await.map_err(failed)?;
    Ok(Exit::Ok)
}

/// A shipped scenario by name, else a file.
pub(crate) fn load(scenario: &str) -> anyhow::Result<Scenario> {
    let shipped = Scenario::shipped();
    let parsed = match shipped.iter().find(|(name, _)| *name == scenario) {
        Some((name, text)) => Scenario::parse(name, text),
        None => Scenario::from_file(Path::new(scenario)),
    };
    parsed.map_err(|error| {
        ExpectedError::usage(
            error.to_string(),
            "`atrest sandbox scenarios` lists the shipped ones; docs/sandbox.md has the format",
        )
    })
}

pub(crate) fn mode(arg: EnginesArg) -> EngineMode {
    match arg {
        EnginesArg::Auto => EngineMode::Auto,
        EnginesArg::None => EngineMode::None,
        EnginesArg::Required => EngineMode::Required,
    }
}

pub(crate) fn failed(error: atrest_sandbox::SandboxError) -> anyhow::Error {
    let mut causes = String::new();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        causes.push_str(": ");
        causes.push_str(&inner.to_string());
        cause = inner.source();
    }
    ExpectedError::usage(
        format!("sandbox: {error}{causes}"),
        "another --port; --engines none for the control plane alone; sandbox/install-engines.sh installs servers",
    )
}

/// Where the servers are installed.
pub(crate) fn install_dir() -> anyhow::Result<PathBuf> {
    default_install_dir().ok_or_else(|| {
        ExpectedError::usage(
            "there is no folder for database servers: neither ATREST_ENGINES, XDG_CACHE_HOME nor HOME is set",
            "set ATREST_ENGINES",
        )
    })
}

/// Beginning of the name of every work folder.
const WORK_PREFIX: &str = "atrest-sandbox-";

/// Where the servers' data lives while the sandbox runs. Short, because a socket path has at most 107 bytes. Folders of
/// sandboxes that were killed are cleaned up first, with their servers.
pub(crate) async fn work_dir() -> PathBuf {
    let parent = std::env::temp_dir();
    let swept = Engines::sweep(&parent, WORK_PREFIX).await;
    if swept > 0 {
        tracing::warn!("cleaned up after {swept} sandboxes that were killed");
    }
    parent.join(format!("{WORK_PREFIX}{}", std::process::id()))
}
