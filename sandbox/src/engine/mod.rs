//! The data plane: one real MySQL or MariaDB server process behind each MySQL-family DB instance.
//!
//! The control plane (`crate::rds`) decides *when* something happens; this module makes it happen to
//! real data: a snapshot is a crash-consistent copy of a data folder, a restore is a new server on such
//! a copy, a replica is real binlog replication, and an endpoint is a listener on a loopback address that
//! forwards to the server, so that a rename moves the listener while replication channels, which use the
//! server's own internal address, go on.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Whether real servers are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineMode {
    /// Use the servers that are installed; say what is missing.
    Auto,
    /// Control plane only.
    None,
    /// Fail when a server that the scenario needs is missing.
    Required,
}

/// What a new server is made from and must look like.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    /// `mysql` or `mariadb`, as RDS names the engine.
    pub engine: String,
    /// RDS's `EngineVersion`, such as `10.11.9`; the nearest installed server of the family serves it.
    pub engine_version: String,
    /// Master user name and password as given at creation.
    pub master_username: String,
    /// The master user's password.
    pub master_password: String,
    /// Effective parameters of the DB parameter group (`read_only` already resolved to `0` or `1`).
    pub parameters: BTreeMap<String, String>,
    /// Whether binary logging is on: RDS writes binlogs only while automated backups are on.
    pub log_bin: bool,
}

/// Handle of one server process and its data folder. Stable across restarts and renames.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub String);

/// Handle of a crash-consistent copy of a data folder: the data of a DB snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CopyId(pub String);

/// State of replication on a replica, as far as the control plane reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicationState {
    /// Both threads run.
    Replicating,
    /// Stopped on request.
    Stopped,
    /// Stopped by this error.
    Error(String),
}

/// An engine that could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No installed server can stand for this engine version.
    #[error("no installed server can stand for {engine} {engine_version}; looked in {looked_in}")]
    NotInstalled {
        /// RDS engine name.
        engine: String,
        /// RDS engine version.
        engine_version: String,
        /// The folder that was searched.
        looked_in: String,
    },
    /// The server did not start; `log` is the tail of its own error log.
    #[error("server {server} did not start: {log}")]
    DidNotStart {
        /// Which server.
        server: String,
        /// Tail of the error log.
        log: String,
    },
    /// A statement failed.
    #[error("statement failed on server {server}: {message} (in: {statement})")]
    Sql {
        /// Which server.
        server: String,
        /// The server's message with its code.
        message: String,
        /// The statement, shortened, secrets masked.
        statement: String,
    },
    /// No such server or copy.
    #[error("no {kind} {name}")]
    Unknown {
        /// `server` or `copy`.
        kind: &'static str,
        /// Its handle.
        name: String,
    },
    /// The operating system refused.
    #[error("{doing}")]
    Io {
        /// What was being done to which path or address.
        doing: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// All servers of one sandbox. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engines {}

impl Engines {
    /// Finds installed servers under `install_dir` (and a system-wide one, if any), reaps servers that an
    /// earlier sandbox left behind in `work_dir`, and claims a loopback block for endpoints.
    ///
    /// `Ok(None)` when `mode` is `None`, or `Auto` and nothing is installed.
    pub async fn open(_mode: EngineMode, _install_dir: PathBuf, _work_dir: PathBuf) -> Result<Option<Self>, EngineError> {
        Ok(None)
    }

    /// Human-readable list of what was found: `mariadb 10.11.19`, …
    pub fn found(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether an installed server can stand for this engine and version.
    pub fn can_run(&self, _engine: &str, _engine_version: &str) -> bool {
        false
    }

    /// Not here yet.
    pub async fn create(&self, _spec: ServerSpec) -> Result<ServerId, EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn run_sql(&self, _server: &ServerId, _script: &str) -> Result<(), EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn snapshot(&self, _server: &ServerId) -> Result<CopyId, EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn restore(&self, _copy: &CopyId, _spec: ServerSpec) -> Result<ServerId, EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn replica(&self, _source: &ServerId, _spec: ServerSpec) -> Result<ServerId, EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn replication(&self, _replica: &ServerId) -> Result<ReplicationState, EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn promote(&self, _replica: &ServerId, _spec: ServerSpec) -> Result<(), EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn reconfigure(&self, _server: &ServerId, _spec: ServerSpec) -> Result<(), EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn restart(&self, _server: &ServerId) -> Result<(), EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn stop(&self, _server: &ServerId) -> Result<(), EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn start(&self, _server: &ServerId) -> Result<(), EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn delete(&self, _server: &ServerId) -> Result<(), EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn delete_copy(&self, _copy: &CopyId) -> Result<(), EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn open_endpoint(&self, _server: &ServerId, _name: &str, _port: u16) -> Result<IpAddr, EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn close_endpoint(&self, _server: &ServerId) -> Result<(), EngineError> {
        Err(not_here())
    }

    /// Not here yet.
    pub async fn shutdown(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

fn not_here() -> EngineError {
    EngineError::Unknown { kind: "engine", name: "none".to_owned() }
}

#[expect(dead_code, reason = "replaced by the real module")]
type Unused = (IpAddr, SocketAddr);
