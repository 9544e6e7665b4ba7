//! One server: its folder, its process, its port and its administrator.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::authority::Authority;
use super::endpoint::Endpoint;
use super::install::{Flavor, Install};
use super::options::{self, Start};
use super::process::{Folder, Login, Process, StartError};
use super::sql::{self, Session};
use super::{BinlogPosition, EngineError, ServerId, ServerSpec, copy, privileges};

/// One server of a sandbox.
pub(super) struct Server {
    pub(super) id: ServerId,
    pub(super) install: Arc<Install>,
    pub(super) folder: Folder,
    /// `server_id`, unique in the sandbox.
    pub(super) number: u32,
    /// Where it listens on 127.0.0.1; kept for life unless somebody takes it while the server is down.
    pub(super) port: Arc<AtomicU16>,
    /// For how many of the sandbox's blocks of addresses the certificate is that the process has read.
    pub(super) covered: AtomicUsize,
    /// Held for the whole of an operation, so that operations on one server follow each other.
    pub(super) state: tokio::sync::Mutex<State>,
    pub(super) endpoint: tokio::sync::Mutex<Option<Endpoint>>,
}

/// What changes about a server.
pub(super) struct State {
    pub(super) spec: ServerSpec,
    pub(super) process: Option<Process>,
    /// Whether the process was started with a binary log.
    pub(super) log_bin: bool,
    /// Whom it replicates from, within this sandbox, and at which port it looks for it.
    pub(super) source: Option<(ServerId, u16)>,
    /// Where its data stood in the copied server's binary log after crash recovery.
    pub(super) recovered: Option<BinlogPosition>,
}

impl State {
    /// The running process; a crashed one counts as stopped.
    pub(super) fn running(&mut self, server: &ServerId) -> Result<&mut Process, EngineError> {
        if self.process.as_mut().is_some_and(Process::ended) {
            self.process = None;
        }
        self.process
            .as_mut()
            .ok_or_else(|| EngineError::NotRunning {
                server: server.0.clone(),
            })
    }
}

/// What servers need of their sandbox to start.
pub(super) struct Host {
    /// Password of `rdsadmin@localhost` on every server of this sandbox.
    pub(super) admin_password: String,
    /// Starts at the same time: more only make each other slow.
    pub(super) starts: Semaphore,
    /// Copies of data folders that no server waits for at the same time: the disk is one.
    pub(super) copies: Semaphore,
    pub(super) ports: Ports,
    pub(super) authority: Authority,
}

/// How a start is to go.
#[derive(Clone, Copy)]
pub(super) struct Launch<'a> {
    pub(super) log_bin: bool,
    pub(super) hold_replication: bool,
    /// The administrator's password, if not the sandbox's yet.
    pub(super) password: Option<&'a str>,
}

impl Host {
    /// Copies a data folder that nobody writes to.
    pub(super) async fn copy(&self, from: &Path, to: &Path) -> Result<(), EngineError> {
        let _turn = self.copies.acquire().await.map_err(|error| {
            EngineError::io(
                "copying a data folder".to_owned(),
                std::io::Error::other(error),
            )
        })?;
        copy::data_folder(from, to, None).await
    }
}

impl Server {
    pub(super) fn flavor(&self) -> Flavor {
        self.install.flavor
    }

    /// Starts the process; on success it is in `state` and the administrator is logged in.
    pub(super) async fn launch(
        &self,
        host: &Host,
        state: &mut State,
        launch: Launch<'_>,
    ) -> Result<Session, EngineError> {
        let _turn = host.starts.acquire().await.map_err(|error| {
            EngineError::io("starting a server".to_owned(), std::io::Error::other(error))
        })?;
        let login = Login {
            user: privileges::ADMIN,
            password: launch.password.unwrap_or(&host.admin_password),
        };
        let mut attempts = 5;
        loop {
            let start = Start {
                server_id: self.number,
                port: self.port.load(Ordering::Acquire),
                log_bin: launch.log_bin,
                hold_replication: launch.hold_replication,
            };
            // Before the process reads the file: what is issued meanwhile does not count as read.
            self.covered
                .store(host.authority.blocks(), Ordering::Release);
            let mut command = self.install.command();
            command
                .args(self.folder.options())
                .args(host.authority.options())
                .args(options::for_start(self.flavor(), &state.spec, start));
            match Process::start(&self.id.0, &self.folder, command, login).await {
                Ok((process, session)) => {
                    state.process = Some(process);
                    state.log_bin = launch.log_bin;
                    return Ok(session);
                }
                Err(StartError::PortTaken) if attempts > 1 => {
                    attempts -= 1;
                    let port = host.ports.take()?;
                    tracing::warn!(
                        server = self.id.0,
                        port,
                        "the server's port was taken; it moves to another one"
                    );
                    host.ports.give_back(self.port.swap(port, Ordering::AcqRel));
                }
                Err(StartError::PortTaken) => {
                    return Err(EngineError::DidNotStart {
                        server: self.id.0.clone(),
                        log: self.folder.log_tail(),
                    });
                }
                Err(StartError::Failed(error)) => return Err(error),
            }
        }
    }

    /// Stops the process if it runs.
    pub(super) async fn halt(&self, host: &Host, state: &mut State) -> Result<(), EngineError> {
        if state.running(&self.id).is_err() {
            return Ok(());
        }
        // A MySQL that stops waits ten seconds for each replica that reads from it; asked to, the threads go at once.
        if !self.flavor().is_mariadb()
            && let Err(error) = self.cut(host).await
        {
            tracing::debug!(server = self.id.0, %error, "connections could not be ended before the stop");
        }
        match state.process.take() {
            Some(process) => process.stop(self.folder.root()).await,
            None => Ok(()),
        }
    }

    /// Ends every connection but the administrator's own.
    async fn cut(&self, host: &Host) -> Result<(), EngineError> {
        let mut session = self.session(host).await?;
        // A replica comes back within a second; in this mode it is not let in.
        match session.run("SET GLOBAL offline_mode = ON").await {
            Err(error) if sql::server_code(&error) == Some(1193) => {}
            done => done?,
        }
        let others = "SELECT id FROM information_schema.PROCESSLIST WHERE id <> CONNECTION_ID() AND user NOT IN ('system user', 'event_scheduler')";
        for id in session
            .rows(others)
            .await?
            .iter()
            .filter_map(|row| row.get::<u64, _>(0))
        {
            match session.run(&format!("KILL {id}")).await {
                // Gone by itself.
                Err(error) if sql::server_code(&error) == Some(1094) => {}
                done => done?,
            }
        }
        session.close().await;
        Ok(())
    }

    /// A login of the administrator.
    pub(super) async fn session(&self, host: &Host) -> Result<Session, EngineError> {
        Session::open(
            &self.id.0,
            self.folder.socket(),
            privileges::ADMIN,
            &host.admin_password,
        )
        .await
    }
}

/// The statement after which new connections get the certificate that is on disk; `None` where there is none.
pub(super) fn reload_certificate(flavor: Flavor) -> Option<&'static str> {
    if flavor.mariadb_since(10, 4) {
        Some("FLUSH LOCAL SSL")
    } else if flavor.mysql_since(8, 0, 16) {
        Some("ALTER INSTANCE RELOAD TLS")
    } else {
        None
    }
}

/// Makes a running server what `new` says, as far as that works at run time.
pub(super) async fn apply(
    session: &mut Session,
    flavor: Flavor,
    old: &ServerSpec,
    new: &ServerSpec,
) -> Result<(), EngineError> {
    let (before, after) = (
        options::server_parameters(old),
        options::server_parameters(new),
    );
    let changed = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(*value))
        .map(|(name, value)| (name, variable_value(value)));
    let dropped = before
        .keys()
        .filter(|name| !after.contains_key(*name))
        .map(|name| (name, "DEFAULT".to_owned()));
    for (name, value) in changed.chain(dropped) {
        let Err(error) = session.run(&format!("SET GLOBAL {name} = {value}")).await else {
            continue;
        };
        // Not a variable of this server; one that is read at start only; one without a default.
        if !matches!(sql::server_code(&error), Some(1193 | 1238 | 1621 | 1230)) {
            return Err(error);
        }
    }
    if options::read_only(old) != options::read_only(new) {
        session
            .run(&format!(
                "SET GLOBAL read_only = {}",
                u8::from(options::read_only(new))
            ))
            .await?;
    }
    if (&old.master_username, &old.master_password) != (&new.master_username, &new.master_password)
    {
        unlogged_master_password(session, flavor, new).await?;
    }
    Ok(())
}

/// Sets the master user's password; a master user that was dropped comes back, as after `ModifyDBInstance`.
pub(super) async fn master_password(
    session: &mut Session,
    flavor: Flavor,
    spec: &ServerSpec,
) -> Result<(), EngineError> {
    let name = sql::literal(&spec.master_username);
    let there = !session
        .rows(&format!(
            "SELECT 1 FROM mysql.user WHERE user = {name} AND host = '%'"
        ))
        .await?
        .is_empty();
    if there {
        session
            .run(&privileges::set_password(
                flavor,
                &format!("{name}@'%'"),
                &spec.master_password,
            ))
            .await?;
    } else {
        session
            .run_all(privileges::master_user(flavor, spec))
            .await?;
    }
    Ok(())
}

/// The same on this server alone, and not on its replicas.
pub(super) async fn unlogged_master_password(
    session: &mut Session,
    flavor: Flavor,
    spec: &ServerSpec,
) -> Result<(), EngineError> {
    session.run("SET SESSION sql_log_bin = 0").await?;
    master_password(session, flavor, spec).await?;
    session.run("SET SESSION sql_log_bin = 1").await
}

/// A parameter group's value in `SET GLOBAL`: numbers bare, everything else quoted.
fn variable_value(value: &str) -> String {
    if value.parse::<f64>().is_ok_and(f64::is_finite) {
        value.to_owned()
    } else {
        sql::literal(value)
    }
}

/// Internal ports: below the range from which the kernel takes those of outgoing connections, so that
/// a stopped server usually finds its own free.
#[derive(Debug, Default)]
pub(super) struct Ports {
    taken: Mutex<HashSet<u16>>,
}

impl Ports {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;

    /// A port that nobody listens on at the moment and that no server of this sandbox has.
    pub(super) fn take(&self) -> Result<u16, EngineError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = std::io::Error::from(std::io::ErrorKind::AddrInUse);
        for _ in 0..200 {
            let random = uuid::Uuid::new_v4().as_u128().to_be_bytes();
            let port = Self::FIRST + u16::from_be_bytes([random[0], random[1]]) % Self::COUNT;
            if taken.contains(&port) {
                continue;
            }
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                Ok(_free) => {
                    taken.insert(port);
                    return Ok(port);
                }
                Err(error) => refused = error,
            }
        }
        Err(EngineError::io(
            "finding a free port on 127.0.0.1".to_owned(),
            refused,
        ))
    }

    pub(super) fn give_back(&self, port: u16) {
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_unless_it_is_a_number() {
        assert_eq!(
            ["64", "0.75", "ON", "NaN", "a'b"].map(variable_value),
            ["64", "0.75", "'ON'", "'NaN'", r"'a\'b'"]
        );
    }
}
