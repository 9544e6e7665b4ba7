//! The data plane: one real MySQL or MariaDB server process behind each MySQL-family DB instance.
//!
//! The control plane (`crate::rds`) decides *when* something happens; this module makes it happen to
//! real data: a snapshot is a crash-consistent copy of a data folder, a restore is a new server on such
//! a copy, a replica is real binlog replication, and an endpoint is a listener on a loopback address that
//! forwards to the server, so that a rename moves the listener while replication channels, which use the
//! server's own internal address, go on.

//!
//! | module | what it knows |
//! |---|---|
//! | `install` | which servers are on this machine and how each is called |
//! | `template` | a ready data folder per kind of server |
//! | `options` | what a server is started with |
//! | `process` | start, readiness, stop, freezing, what an earlier sandbox left behind |
//! | `copy` | copies of data folders |
//! | `server` | one server: its process, port, administrator |
//! | `fleet` | all servers and copies of a sandbox, and what is done between them |
//! | `origin` | how servers and copies come to be |
//! | `endpoint`, `lost` | loopback addresses and forwarding, and what is not forwarded |
//! | `authority` | the certificate that all servers show |
//! | `privileges`, `procedures`, `replication`, `sql` | what is said to a server, by version |

mod authority;
mod copy;
mod endpoint;
mod fleet;
mod install;
mod lost;
mod options;
mod origin;
mod privileges;
mod procedures;
mod process;
mod replication;
mod server;
mod sql;
mod template;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

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
#[derive(Clone)]
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

impl std::fmt::Debug for ServerSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerSpec")
            .field("engine", &self.engine)
            .field("engine_version", &self.engine_version)
            .field("master_username", &self.master_username)
            .field("parameters", &self.parameters)
            .field("log_bin", &self.log_bin)
            .finish_non_exhaustive()
    }
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

/// A place in a binary log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogPosition {
    /// Such as `mysql-bin-changelog.000007`.
    pub file: String,
    /// In bytes.
    pub offset: u64,
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
    /// The server is stopped, and what was asked needs it running.
    #[error("server {server} is not running")]
    NotRunning {
        /// Which server.
        server: String,
    },
    /// Something took longer than it may.
    #[error("waited {} s in vain for {doing}", .limit.as_secs())]
    TimedOut {
        /// What was waited for.
        doing: String,
        /// The limit.
        limit: Duration,
    },
    /// An `engine.toml` that says nothing usable.
    #[error("{file}: {message}")]
    BadDescription {
        /// The file.
        file: String,
        /// What is wrong with it.
        message: String,
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

impl EngineError {
    fn io(doing: String, source: std::io::Error) -> Self {
        Self::Io { doing, source }
    }

    fn timed_out(doing: String, limit: Duration) -> Self {
        Self::TimedOut { doing, limit }
    }

    fn bad_description(file: &Path, message: &str) -> Self {
        Self::BadDescription {
            file: file.display().to_string(),
            message: message.to_owned(),
        }
    }
}

/// Where `install-engines.sh` puts servers unless told otherwise: `ATREST_ENGINES`, else `atrest/engines` in the
/// user's cache folder. `None` when neither that nor `XDG_CACHE_HOME` nor `HOME` is set.
#[must_use]
pub fn default_install_dir() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("ATREST_ENGINES").or_else(|| {
        let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
        Some(cache.join("atrest/engines"))
    })
}

/// A password nobody has to type.
fn random_password() -> String {
    format!(
        "{}{}",
        uuid::Uuid::new_v4().simple(),
        uuid::Uuid::new_v4().simple()
    )
}

/// All servers of one sandbox. Cheap to clone; when the last clone is dropped, the servers are killed
/// ([`Engines::shutdown`] stops them in order and cleans up).
///
/// Operations on one server run one after the other, on different servers at the same time. Every wait in
/// them has a deadline, after which the operation fails with [`EngineError::TimedOut`].
#[derive(Clone)]
pub struct Engines {
    fleet: Arc<fleet::Fleet>,
}

impl std::fmt::Debug for Engines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engines")
            .field("found", &self.found())
            .finish_non_exhaustive()
    }
}

impl Engines {
    /// Cleans up after sandboxes that were killed: work folders in `parent` called `prefix` and a process
    /// id that no living sandbox holds. Returns how many there were.
    pub async fn sweep(parent: &std::path::Path, prefix: &str) -> usize {
        fleet::sweep(parent, prefix).await
    }

    /// Finds installed servers under `install_dir` (and a system-wide one, if any), reaps servers that an
    /// earlier sandbox left behind in `work_dir`, and claims a loopback block for endpoints.
    ///
    /// `Ok(None)` when `mode` is `None`, or `Auto` and nothing is installed.
    ///
    /// # Errors
    /// [`EngineError::NotInstalled`] when `mode` is `Required` and nothing is installed,
    /// [`EngineError::BadDescription`] when an installation cannot be understood, [`EngineError::Io`] when
    /// another sandbox uses `work_dir` or it cannot be written.
    pub async fn open(
        mode: EngineMode,
        install_dir: PathBuf,
        work_dir: PathBuf,
    ) -> Result<Option<Self>, EngineError> {
        let fleet = fleet::Fleet::open(mode, install_dir, work_dir).await?;
        Ok(fleet.map(|fleet| Self {
            fleet: Arc::new(fleet),
        }))
    }

    /// Human-readable list of what was found: `mariadb 10.11.19`, …
    #[must_use]
    pub fn found(&self) -> Vec<String> {
        self.fleet.found()
    }

    /// The certificate to trust: every server shows one of this authority, for all addresses of the sandbox. A PEM file,
    /// there for as long as the sandbox.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.fleet.host.authority.ca_file()
    }

    /// Whether an installed server can stand for this engine and version: one of the same family. The nearest
    /// version serves.
    #[must_use]
    pub fn can_run(&self, engine: &str, engine_version: &str) -> bool {
        self.fleet.install_for(engine, engine_version).is_ok()
    }

    /// A new empty server, started: `rdsadmin@localhost`, `rdsrepladmin`, the master user with what RDS gives it
    /// (never `SUPER`), the `mysql.rds_*` procedures.
    ///
    /// # Errors
    /// [`EngineError::NotInstalled`], [`EngineError::DidNotStart`] with the server's own log,
    /// [`EngineError::Sql`] when the server refuses the master user name or password.
    pub async fn create(&self, spec: ServerSpec) -> Result<ServerId, EngineError> {
        Box::pin(self.fleet.create(spec)).await
    }

    /// Runs a script as the administrator, statement by statement, cut as the `mysql` client does (`DELIMITER`
    /// lines included). It is written to the binary log, so replicas follow.
    ///
    /// # Errors
    /// [`EngineError::Sql`] with the first statement that failed; those before it stay done.
    pub async fn run_sql(&self, server: &ServerId, script: &str) -> Result<(), EngineError> {
        self.fleet.run_sql(server, script).await
    }

    /// Takes a crash-consistent copy of the server's data: its threads are stopped while the files are copied.
    /// A stopped server can be copied too.
    ///
    /// # Errors
    /// [`EngineError::Io`], [`EngineError::TimedOut`] when a thread does not stand still; the server goes on in
    /// each case.
    pub async fn snapshot(&self, server: &ServerId) -> Result<CopyId, EngineError> {
        self.fleet.snapshot(server).await
    }

    /// A new server on a copy of the copy, after crash recovery. Accounts, data and `mysql.rds_configuration` are
    /// the copy's; it has a UUID of its own and is nobody's replica. The copy's kind of server is used even when a
    /// nearer one for `spec.engine_version` is installed. A master password that differs is set.
    ///
    /// # Errors
    /// [`EngineError::Unknown`], [`EngineError::DidNotStart`], [`EngineError::Io`].
    pub async fn restore(&self, copy: &CopyId, spec: ServerSpec) -> Result<ServerId, EngineError> {
        Box::pin(self.fleet.restore(copy, spec)).await
    }

    /// The place in its source's binary log at which a restored server's data stands, as crash recovery found it: what
    /// RDS tells in the event "Binlog position from crash recovery is …". `None` for a server that was not
    /// restored from a copy of a running one with a binary log.
    ///
    /// # Errors
    /// [`EngineError::Unknown`].
    pub async fn recovered_position(
        &self,
        server: &ServerId,
    ) -> Result<Option<BinlogPosition>, EngineError> {
        self.fleet.recovered_position(server).await
    }

    /// A new server that replicates from `source`, which stays writable but for a moment under
    /// `FLUSH TABLES WITH READ LOCK`. Replication uses the source's internal address, so it does not notice when
    /// endpoints move. `binlog retention hours` is the replica's own: NULL.
    ///
    /// # Errors
    /// [`EngineError::NotRunning`] for a stopped source, [`EngineError::Sql`] when the source has no binary log or
    /// replication does not begin, [`EngineError::DidNotStart`], [`EngineError::Io`].
    pub async fn replica(
        &self,
        source: &ServerId,
        spec: ServerSpec,
    ) -> Result<ServerId, EngineError> {
        Box::pin(self.fleet.replica(source, spec)).await
    }

    /// State of the server's replication threads; a server that is no replica is `Stopped`.
    ///
    /// # Errors
    /// [`EngineError::Unknown`], [`EngineError::NotRunning`], [`EngineError::Sql`].
    pub async fn replication(&self, replica: &ServerId) -> Result<ReplicationState, EngineError> {
        self.fleet.replication(replica).await
    }

    /// Ends replication for good and makes the server what `spec` says; restarts it when binary logging changes.
    ///
    /// # Errors
    /// As [`Engines::reconfigure`] and [`Engines::restart`].
    pub async fn promote(&self, replica: &ServerId, spec: ServerSpec) -> Result<(), EngineError> {
        Box::pin(self.fleet.promote(replica, spec)).await
    }

    /// Applies what can change at run time (`SET GLOBAL`; a new master password too) and keeps the rest for the next start.
    ///
    /// # Errors
    /// [`EngineError::Sql`] for a value the server refuses; nothing of the new spec is then kept.
    pub async fn reconfigure(
        &self,
        server: &ServerId,
        spec: ServerSpec,
    ) -> Result<(), EngineError> {
        self.fleet.reconfigure(server, spec).await
    }

    /// Gives the master user a new password; one that was dropped comes back with all it had. Replicas follow.
    ///
    /// # Errors
    /// [`EngineError::NotRunning`], [`EngineError::Sql`] when the server refuses the password.
    pub async fn set_master_password(
        &self,
        server: &ServerId,
        password: String,
    ) -> Result<(), EngineError> {
        self.fleet.set_master_password(server, password).await
    }

    /// Orderly stop and start; clients are cut, the endpoint stays.
    ///
    /// # Errors
    /// [`EngineError::DidNotStart`]; the server is then stopped.
    pub async fn restart(&self, server: &ServerId) -> Result<(), EngineError> {
        Box::pin(self.fleet.restart(server)).await
    }

    /// Orderly stop. A stopped server stays stopped.
    ///
    /// # Errors
    /// [`EngineError::Unknown`], [`EngineError::TimedOut`].
    pub async fn stop(&self, server: &ServerId) -> Result<(), EngineError> {
        self.fleet.stop(server).await
    }

    /// Kills the server, as a crash would; [`Engines::start`] brings it back after recovery.
    ///
    /// # Errors
    /// [`EngineError::Unknown`], [`EngineError::TimedOut`].
    pub async fn crash(&self, server: &ServerId) -> Result<(), EngineError> {
        self.fleet.crash(server).await
    }

    /// Start after a stop or a crash. A running server stays running.
    ///
    /// # Errors
    /// [`EngineError::DidNotStart`].
    pub async fn start(&self, server: &ServerId) -> Result<(), EngineError> {
        Box::pin(self.fleet.start(server)).await
    }

    /// Ends the server at once and removes its folder and its endpoint.
    ///
    /// # Errors
    /// [`EngineError::Unknown`], [`EngineError::Io`].
    pub async fn delete(&self, server: &ServerId) -> Result<(), EngineError> {
        self.fleet.delete(server).await
    }

    /// Removes a copy. Servers restored from it have their own.
    ///
    /// # Errors
    /// [`EngineError::Unknown`], [`EngineError::Io`].
    pub async fn delete_copy(&self, copy: &CopyId) -> Result<(), EngineError> {
        self.fleet.delete_copy(copy).await
    }

    /// Listens on the address that belongs to `name` and forwards to the server, also after it restarted.
    /// Replaces the server's earlier endpoint and cuts the connections made through that. The server's certificate is
    /// for the new address as well; that costs a restart only where the address is of a block that was claimed after the
    /// server's start, and the server cannot read a certificate again while it runs (MySQL 5).
    ///
    /// # Errors
    /// [`EngineError::DidNotStart`] after such a restart, [`EngineError::Io`] when the address is in use: another server still has that name.
    pub async fn open_endpoint(
        &self,
        server: &ServerId,
        name: &str,
        port: u16,
    ) -> Result<IpAddr, EngineError> {
        Box::pin(self.fleet.open_endpoint(server, name, port)).await
    }

    /// Closes the server's endpoint and cuts its connections; nothing happens when it has none.
    ///
    /// # Errors
    /// [`EngineError::Unknown`].
    pub async fn close_endpoint(&self, server: &ServerId) -> Result<(), EngineError> {
        self.fleet.close_endpoint(server).await
    }

    /// The answer to the next statement with these words is lost: it is carried out, and its connection ends.
    pub(crate) fn lose_answer(&self, words: &str) {
        self.fleet.lost.add(words);
    }

    /// Words whose statement has not come yet.
    pub(crate) fn unsent_statements(&self) -> Vec<String> {
        self.fleet.lost.left()
    }

    /// The address of a name, the same one for the life of the sandbox, whether or not anybody listens there.
    ///
    /// # Errors
    /// [`EngineError::Io`] when no further block of loopback addresses can be claimed.
    pub fn address_of(&self, name: &str) -> Result<IpAddr, EngineError> {
        self.fleet.address_of(name)
    }

    /// Stops every server in order, closes every endpoint, removes what this sandbox wrote into its work folder
    /// and the folder itself if it is then empty.
    ///
    /// # Errors
    /// The first error; the others are logged and everything else is done nevertheless.
    pub async fn shutdown(&self) -> Result<(), EngineError> {
        self.fleet.shutdown().await
    }
}

/// The control plane spawns these; each must be able to move between threads. Checked by compiling.
#[cfg(test)]
fn _every_operation_is_send(
    engines: &'static Engines,
    spec: ServerSpec,
    server: &'static ServerId,
    copy: &'static CopyId,
) {
    fn is_send(_: impl Send + 'static) {}
    is_send(Engines::open(
        EngineMode::Auto,
        PathBuf::new(),
        PathBuf::new(),
    ));
    is_send(engines.create(spec.clone()));
    is_send(engines.run_sql(server, ""));
    is_send(engines.snapshot(server));
    is_send(engines.restore(copy, spec.clone()));
    is_send(engines.replica(server, spec.clone()));
    is_send(engines.replication(server));
    is_send(engines.promote(server, spec.clone()));
    is_send(engines.reconfigure(server, spec));
    is_send(engines.set_master_password(server, String::new()));
    is_send(engines.restart(server));
    is_send(engines.stop(server));
    is_send(engines.start(server));
    is_send(engines.delete(server));
    is_send(engines.delete_copy(copy));
    is_send(engines.open_endpoint(server, "", 0));
    is_send(engines.close_endpoint(server));
    is_send(engines.shutdown());
}
