//! Serves a scenario until ctrl-c: `serve [SCENARIO.toml] [PORT] [SPEED] [REQUEST_LOG]`.
#![expect(clippy::print_stdout, reason = "an example talks on stdout")]

use std::path::{Path, PathBuf};

use atrest_sandbox::engine::EngineMode;
use atrest_sandbox::{Sandbox, SandboxOptions, Scenario};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let scenario = match arguments.next().filter(|file| file != "-") {
        Some(file) => Scenario::from_file(Path::new(&file))?,
        None => {
            let (name, text) = Scenario::shipped()
                .into_iter()
                .next()
                .ok_or("no scenario is shipped")?;
            Scenario::parse(name, text)?
        }
    };
    let work_dir = std::env::temp_dir().join(format!("atrest-sandbox-{}", std::process::id()));
    let sandbox = Sandbox::start(SandboxOptions {
        scenario,
        port: arguments.next().map_or(Ok(0), |port| port.parse())?,
        speed: arguments.next().map_or(Ok(1.0), |speed| speed.parse())?,
        engines: if std::env::var_os("SANDBOX_ENGINES").is_some() {
            EngineMode::Auto
        } else {
            EngineMode::None
        },
        install_dir: PathBuf::from(std::env::var_os("SANDBOX_INSTALL_DIR").unwrap_or_default()),
        work_dir,
        request_log: arguments.next().map(PathBuf::from),
        seed: 1,
    })
    .await?;
    println!("{}", serde_json::to_string(sandbox.ready())?);
    tokio::signal::ctrl_c().await?;
    sandbox.shutdown().await?;
    Ok(())
}
