//! An RDS of your own on loopback: real protocol, real MySQL servers, virtual time.
//!
//! [`Sandbox::start`] opens an HTTP server that speaks the protocols of RDS, KMS, STS, Organizations, Account
//! Management, EC2, IAM, Secrets Manager and CloudWatch so that SDKs and the AWS CLI work against it unchanged, with only an endpoint URL. Behind
//! it stands a state machine per resource on a virtual clock, and, where server binaries are found, a real
//! MySQL or MariaDB process per DB instance. The sandbox binds loopback addresses only.

mod account;
mod admin;
mod auth;
mod clock;
mod dice;
pub mod engine;
mod fault;
mod history;
mod http;
mod incident;
mod kms;
mod log;
mod neighbours;
mod rds;
mod saved;
mod scenario;
mod span;
mod sts;
mod watch;
mod wire;
mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::clock::Clock;
pub use crate::engine::EngineMode;
use crate::engine::{EngineError, Engines};
use crate::http::Shared;
use crate::log::RequestLog;
pub use crate::saved::StateError;
use crate::saved::{Journal, Loaded, StateFile};
pub use crate::scenario::{Access, Scenario, ScenarioError};
pub use crate::span::Span;
use crate::world::Core;

/// How a sandbox is to be.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// The fleet.
    pub scenario: Scenario,
    /// TCP port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Virtual seconds per real second; more than 0.
    pub speed: f64,
    /// Whether real servers are wanted.
    pub engines: EngineMode,
    /// Where server binaries are installed.
    pub install_dir: PathBuf,
    /// Where data folders go.
    pub work_dir: PathBuf,
    /// Appends a JSON line per call.
    pub request_log: Option<PathBuf>,
    /// Decides every chance: durations, lags, the pending-reboot lottery, resource ids.
    pub seed: u64,
}

/// A sandbox that could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Another program has the port.
    #[error("port {port} on 127.0.0.1 is in use by another program")]
    PortInUse {
        /// The port asked for.
        port: u16,
    },
    /// The port cannot be had.
    #[error("could not listen on 127.0.0.1:{port}")]
    Listen {
        /// The port asked for.
        port: u16,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The request log cannot be opened.
    #[error("could not open the request log {path}")]
    RequestLog {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The speed is not a positive number.
    #[error("speed must be a positive number, not {0}")]
    Speed(f64),
    /// The state cannot be saved or brought back.
    #[error("the state could not be kept")]
    State(#[from] StateError),
    /// A real server did not do what it was asked.
    #[error("a database server of the sandbox failed")]
    Engine(#[from] EngineError),
}

/// An account of a running sandbox.
#[derive(Debug, Clone, Serialize)]
pub struct ReadyAccount {
    /// Twelve digits.
    pub id: String,
    /// Access key that belongs to it; the secret is any, unless the scenario gives one.
    pub access_key_id: String,
}

/// What a running sandbox offers.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    /// URL for `AWS_ENDPOINT_URL`.
    pub endpoint: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Accounts and their access keys.
    pub accounts: Vec<ReadyAccount>,
    /// Regions in which the scenario has instances.
    pub regions: Vec<String>,
    /// How many DB instances there are.
    pub instances: usize,
    /// How many of them have a real server behind them.
    pub servers: usize,
    /// Server programs found, such as `mariadb 10.11.19`.
    pub engines: Vec<String>,
    /// PEM file with the authority of the servers' certificates; absent without servers.
    pub ca_file: Option<PathBuf>,
    /// Why instances have no server behind them, where they could have one.
    pub missing: Option<String>,
}

/// How late a sandbox did what its virtual clock had due, real servers' own work left out.
#[derive(Debug, Clone, Copy)]
pub struct Lag {
    /// Effects carried out so far.
    pub effects: u64,
    /// Virtual time from due to done, on average.
    pub mean: Duration,
    /// The longest.
    pub worst: Duration,
}

/// A running sandbox. Dropping it stops the HTTP server; [`Sandbox::shutdown`] also stops the servers.
#[derive(Debug)]
pub struct Sandbox {
    ready: Ready,
    core: Arc<Core>,
    engines: Option<Engines>,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts a sandbox whose clock runs at `speed`.
    ///
    /// # Errors
    /// The port is taken, the log cannot be written, or a database server fails to start.
    pub async fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        if !(options.speed.is_finite() && options.speed > 0.0) {
            return Err(SandboxError::Speed(options.speed));
        }
        let clock = Clock::running(options.speed);
        Self::start_with(options, clock, None).await
    }

    /// Starts a sandbox that keeps its state in a file: it goes on from what the file says, if there is one,
    /// and writes it at [`Sandbox::shutdown`]. A state that exists decides the scenario and the seed.
    ///
    /// # Errors
    /// As for [`Sandbox::start`]; the file is no state, or real servers are wanted as well.
    pub async fn start_with_state(
        options: SandboxOptions,
        state: PathBuf,
    ) -> Result<Self, SandboxError> {
        if !(options.speed.is_finite() && options.speed > 0.0) {
            return Err(SandboxError::Speed(options.speed));
        }
        let clock = Clock::running(options.speed);
        Self::start_with(options, clock, Some(state)).await
    }

    /// The same with a clock that stands still until [`Sandbox::advance`]: for tests.
    ///
    /// # Errors
    /// As for [`Sandbox::start_with_state`].
    pub async fn start_paused_with_state(
        options: SandboxOptions,
        state: PathBuf,
    ) -> Result<Self, SandboxError> {
        Self::start_with(options, Clock::manual(), Some(state)).await
    }

    /// Starts a sandbox whose clock stands still until [`Sandbox::advance`]: for tests.
    ///
    /// # Errors
    /// As for [`Sandbox::start`].
    pub async fn start_paused(options: SandboxOptions) -> Result<Self, SandboxError> {
        Self::start_with(options, Clock::manual(), None).await
    }

    async fn start_with(
        options: SandboxOptions,
        clock: Clock,
        state: Option<PathBuf>,
    ) -> Result<Self, SandboxError> {
        if state.is_some() && options.engines != EngineMode::None {
            return Err(StateError::Engines.into());
        }
        let port = options.port;
        let listen = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AddrInUse => SandboxError::PortInUse { port },
            _ => SandboxError::Listen { port, source },
        };
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)))
            .await
            .map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let log = RequestLog::open(options.request_log.as_deref()).map_err(|source| {
            SandboxError::RequestLog {
                path: options.request_log.clone().unwrap_or_default(),
                source,
            }
        })?;
        let loaded = match &state {
            Some(path) => Loaded::read(path)?,
            None => None,
        };
        let (scenario, seed, clock) = match &loaded {
            Some(loaded) => {
                let (start, now) = loaded.times();
                (
                    loaded.scenario.clone(),
                    loaded.seed(),
                    clock.resume(start, now),
                )
            }
            None => (options.scenario, options.seed, clock),
        };
        let engines = Engines::open(options.engines, options.install_dir, options.work_dir).await?;
        let spec = scenario.spec();
        let clock = Arc::new(clock);
        let core = Core::new(
            Arc::clone(&clock),
            seed,
            spec.knobs.get_ref().settle(),
            spec.quotas.get_ref().settle(),
            engines.clone(),
        );
        {
            let mut world = core.lock();
            // What a scenario says holds from the first moment on.
            let held = clock.hold(clock.start());
            spec.populate(&mut world);
            match loaded {
                Some(loaded) => {
                    drop(held);
                    loaded.replay(&mut world);
                }
                None => {
                    world.journal = state.is_some().then(Journal::new);
                    spec.add_faults(&mut world);
                }
            }
        }
        let servers = match &engines {
            Some(engines) => match scenario::start_servers(&core, engines, spec).await {
                Ok(count) => count,
                Err(error) => {
                    if let Err(second) = engines.shutdown().await {
                        tracing::error!(error = %second, "The database servers could not be stopped.");
                    }
                    return Err(error.into());
                }
            },
            None => 0,
        };
        let ready = ready(
            &core,
            format!("http://{address}"),
            &scenario,
            engines.as_ref(),
            options.engines,
            servers,
        );

        let shared = Arc::new(Shared {
            core: Arc::clone(&core),
            log,
            thaw: Notify::new(),
            state: state.map(|path| StateFile::new(path, scenario, seed)),
        });
        let mut tasks = vec![tokio::spawn(accept(listener, Arc::clone(&shared)))];
        if let Some(engines) = &engines {
            tasks.push(tokio::spawn(watch::replicas(
                Arc::clone(&core),
                engines.clone(),
            )));
        }
        if let Some(rest) = clock.tick() {
            tasks.push(tokio::spawn(tick(Arc::clone(&core), rest)));
        }
        Ok(Self {
            ready,
            core,
            engines,
            shared,
            tasks,
        })
    }

    /// URL of the HTTP server.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.ready.endpoint.clone()
    }

    /// What it offers.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// How late it has been so far.
    #[must_use]
    pub fn lag(&self) -> Lag {
        let lag = self.core.look().lag;
        let effects = u32::try_from(lag.effects).unwrap_or(u32::MAX);
        Lag {
            effects: lag.effects,
            mean: lag.total.checked_div(effects).unwrap_or_default(),
            worst: lag.worst,
        }
    }

    /// Keeps from now on when everything that takes time begins and is over, see [`Sandbox::spans`].
    pub fn keep_spans(&self) {
        self.core.look().spans.get_or_insert_default();
    }

    /// What was kept since [`Sandbox::keep_spans`], in the order in which it began.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.core.look().spans.clone().unwrap_or_default()
    }

    /// Moves a paused sandbox's clock on by virtual time, a second at a time, and waits for the engine jobs
    /// that this sets off. Does nothing to a running clock.
    pub async fn advance(&self, by: Duration) {
        self.core.pass(by).await;
    }

    /// Stops the HTTP server and every database server, and saves the state if it is kept.
    ///
    /// # Errors
    /// A database server could not be stopped, or the state not be written.
    pub async fn shutdown(mut self) -> Result<(), SandboxError> {
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
        }
        if let Some(state) = &self.shared.state {
            state.save(&self.core).await?;
        }
        if let Some(engines) = self.engines.take() {
            engines.shutdown().await?;
        }
        Ok(())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn ready(
    core: &Core,
    endpoint: String,
    scenario: &Scenario,
    engines: Option<&Engines>,
    mode: EngineMode,
    servers: usize,
) -> Ready {
    let world = core.lock();
    let in_use: Vec<_> = world
        .regions
        .iter()
        .filter(|(_, region)| !region.instances.is_empty())
        .collect();
    let mut regions: Vec<String> = in_use
        .iter()
        .map(|(scope, _)| scope.region.clone())
        .collect();
    regions.sort();
    regions.dedup();
    let mut without: Vec<String> = in_use
        .iter()
        .flat_map(|(_, region)| &region.instances)
        .filter(|instance| rds::catalog::is_mysql_family(&instance.engine))
        .filter(|instance| {
            !engines
                .is_some_and(|engines| engines.can_run(&instance.engine, &instance.engine_version))
        })
        .map(|instance| format!("{} {}", instance.engine, instance.engine_version))
        .collect();
    without.sort();
    without.dedup();
    let missing = match (mode, engines) {
        (EngineMode::None, _) => Some("control plane only, as asked for".to_owned()),
        (EngineMode::Auto | EngineMode::Required, None) => Some(format!(
            "control plane only: no server program found for {}",
            without.join(", ")
        )),
        (EngineMode::Auto | EngineMode::Required, Some(_)) if without.is_empty() => None,
        (EngineMode::Auto | EngineMode::Required, Some(_)) => Some(format!(
            "no server program found for {}",
            without.join(", ")
        )),
    };
    Ready {
        endpoint,
        scenario: scenario.name().to_owned(),
        accounts: world
            .accounts
            .iter()
            .map(|account| ReadyAccount {
                id: account.id.clone(),
                access_key_id: account.access_key_id.clone(),
            })
            .collect(),
        regions,
        instances: in_use
            .iter()
            .map(|(_, region)| region.instances.len())
            .sum(),
        servers,
        engines: engines.map(Engines::found).unwrap_or_default(),
        ca_file: engines.map(Engines::ca_file),
        missing,
    }
}

/// Connections at once; more have to wait, so that nobody can fill memory with them.
const MOST_CONNECTIONS: usize = 2_048;

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the sandbox.
    let mut connections = tokio::task::JoinSet::new();
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    http::serve(shared, stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Such as too many open files: it passes when connections end.
                tracing::warn!(%error, "A connection could not be accepted.");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Looks at the clock now and then, so that engine jobs start without a request.
async fn tick(core: Arc<Core>, rest: Duration) {
    let mut interval = tokio::time::interval(rest);
    loop {
        interval.tick().await;
        // Looking applies what is due.
        drop(core.look());
    }
}
