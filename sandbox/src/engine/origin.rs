//! How servers and copies come to be: created empty, restored from a copy, made a replica of another.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, interval};

use super::fleet::{Fleet, forget_replication, private_folder, remove_folder};
use super::install::Install;
use super::procedures::{self, Names};
use super::process::Folder;
use super::replication;
use super::server::{self, Launch, Server, State};
use super::template;
use super::{
    BinlogPosition, CopyId, EngineError, ReplicationState, ServerId, ServerSpec, copy, privileges,
};

/// How long a new replica may take to begin.
const REPLICATION_LIMIT: Duration = Duration::from_secs(60);

/// Data of a DB snapshot.
pub(super) struct DataCopy {
    pub(super) install: Arc<Install>,
    pub(super) data: PathBuf,
    /// The server ran when it was copied: recovery needs its binary log if it had one.
    pub(super) log_bin: Option<bool>,
    pub(super) spec: ServerSpec,
}

impl Fleet {
    pub(super) async fn create(&self, spec: ServerSpec) -> Result<ServerId, EngineError> {
        let install = self.install_for(&spec.engine, &spec.engine_version)?;
        let names = Names::of(install.flavor.family, &spec.engine_version);
        let template = template::ensure(
            install,
            names,
            &self.install_dir,
            &self.work_dir,
            &self.sockets,
        )
        .await?;
        let server = self.new_server(install, spec)?;
        let made = self.first_start(&server, &template).await;
        self.keep(server, made).await
    }

    async fn first_start(
        &self,
        server: &Server,
        template: &template::Template,
    ) -> Result<(), EngineError> {
        self.host
            .copy(&template.data, &server.folder.data())
            .await?;
        let mut state = server.state.lock().await;
        let launch = Launch {
            log_bin: state.spec.log_bin,
            hold_replication: false,
            password: Some(&template.password),
        };
        let mut session = server.launch(&self.host, &mut state, launch).await?;
        let flavor = server.flavor();
        session.run("SET SESSION sql_log_bin = 0").await?;
        session
            .run(&privileges::set_admin_password(
                flavor,
                &self.host.admin_password,
            ))
            .await?;
        session
            .run_all(privileges::replication_account(&self.replication_password))
            .await?;
        session
            .run_all(privileges::master_user(flavor, &state.spec))
            .await?;
        session.close().await;
        Ok(())
    }

    pub(super) async fn restore(
        &self,
        copy: &CopyId,
        spec: ServerSpec,
    ) -> Result<ServerId, EngineError> {
        let copy = self.copy(copy)?;
        let server = self.new_server(&copy.install, spec)?;
        let made = self.start_on(&server, &copy).await;
        self.keep(server, made).await
    }

    async fn start_on(&self, server: &Server, copy: &DataCopy) -> Result<(), EngineError> {
        self.host.copy(&copy.data, &server.folder.data()).await?;
        let mut state = server.state.lock().await;
        let state = &mut *state;
        // Transactions that were prepared when the source stood still are committed or not as its binary log says.
        let log_bin = copy.log_bin.unwrap_or(state.spec.log_bin);
        let mut session = server
            .launch(
                &self.host,
                state,
                Launch {
                    log_bin,
                    hold_replication: true,
                    password: None,
                },
            )
            .await?;
        if copy.log_bin == Some(true) {
            state.recovered =
                replication::end_of_previous(&session.rows("SHOW BINARY LOGS").await?);
        }
        forget_replication(&mut session, server).await?;
        if (&copy.spec.master_username, &copy.spec.master_password)
            != (&state.spec.master_username, &state.spec.master_password)
        {
            server::unlogged_master_password(&mut session, server.flavor(), &state.spec).await?;
        }
        session.close().await;
        if log_bin != state.spec.log_bin {
            server.halt(&self.host, state).await?;
            let launch = Launch {
                log_bin: state.spec.log_bin,
                hold_replication: false,
                password: None,
            };
            server
                .launch(&self.host, state, launch)
                .await?
                .close()
                .await;
        }
        Ok(())
    }

    pub(super) async fn replica(
        &self,
        source: &ServerId,
        spec: ServerSpec,
    ) -> Result<ServerId, EngineError> {
        let source = self.server(source)?;
        let server = self.new_server(&source.install, spec)?;
        let made = self.start_replica(&server, &source).await;
        self.keep(server, made).await
    }

    async fn start_replica(&self, server: &Server, source: &Server) -> Result<(), EngineError> {
        let position = self.copy_at_position(source, &server.folder.data()).await?;
        let mut state = server.state.lock().await;
        let state = &mut *state;
        let launch = Launch {
            log_bin: state.spec.log_bin,
            hold_replication: true,
            password: None,
        };
        let mut session = server.launch(&self.host, state, launch).await?;
        forget_replication(&mut session, server).await?;
        session.run("SET SESSION sql_log_bin = 0").await?;
        session.run(procedures::FORGET_CONFIGURATION).await?;
        session.run("SET SESSION sql_log_bin = 1").await?;
        self.follow(&mut session, server, state, source, &position)
            .await?;
        let deadline = Instant::now() + REPLICATION_LIMIT;
        let mut ticks = interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            let status = session
                .rows(replication::show_status(server.flavor()))
                .await?;
            if let ReplicationState::Error(message) = replication::state(&status) {
                return Err(EngineError::Sql {
                    server: server.id.0.clone(),
                    message,
                    statement: replication::start(server.flavor()).to_owned(),
                });
            }
            if replication::connected(&status) {
                break;
            }
            if Instant::now() >= deadline {
                return Err(EngineError::timed_out(
                    format!("replication on server {} to begin", server.id.0),
                    REPLICATION_LIMIT,
                ));
            }
        }
        session.close().await;
        Ok(())
    }

    /// Copies the data of a running server while nothing commits, with the binary log position of that moment.
    async fn copy_at_position(
        &self,
        source: &Server,
        to: &Path,
    ) -> Result<BinlogPosition, EngineError> {
        let mut state = source.state.lock().await;
        state.running(&source.id)?;
        let mut session = source.session(&self.host).await?;
        session.run("SET SESSION lock_wait_timeout = 30").await?;
        session.run("FLUSH TABLES WITH READ LOCK").await?;
        // Commits into the redo log, so that the copy recovers without asking a binary log.
        session.run("FLUSH ENGINE LOGS").await?;
        let statement = replication::show_position(source.flavor());
        let Some(position) = replication::position(&session.rows(statement).await?) else {
            let message =
                "the source writes no binary log: RDS needs automated backups to be on".to_owned();
            return Err(EngineError::Sql {
                server: source.id.0.clone(),
                message,
                statement: statement.to_owned(),
            });
        };
        let frozen = state.running(&source.id)?.freeze()?;
        copy::data_folder(&source.folder.data(), to, Some(frozen)).await?;
        session.run("UNLOCK TABLES").await?;
        session.close().await;
        Ok(position)
    }

    fn new_server(
        &self,
        install: &Arc<Install>,
        spec: ServerSpec,
    ) -> Result<Arc<Server>, EngineError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = ServerId(format!("s{number}"));
        let folder = Folder::new(
            self.work_dir.join("servers").join(&id.0),
            &self.sockets,
            &id.0,
        );
        for folder in [folder.root(), &folder.tmp()] {
            private_folder(folder)?;
        }
        Ok(Arc::new(Server {
            install: Arc::clone(install),
            folder,
            number: self.first_server_number + number,
            port: Arc::new(AtomicU16::new(self.host.ports.take()?)),
            covered: AtomicUsize::default(),
            state: tokio::sync::Mutex::new(State {
                log_bin: spec.log_bin,
                spec,
                process: None,
                source: None,
                recovered: None,
            }),
            endpoint: tokio::sync::Mutex::default(),
            id,
        }))
    }

    /// A server that came to life joins the others; one that did not leaves nothing behind.
    async fn keep(
        &self,
        server: Arc<Server>,
        made: Result<(), EngineError>,
    ) -> Result<ServerId, EngineError> {
        match made {
            Ok(()) => {
                let id = server.id.clone();
                self.servers
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(id.clone(), server);
                Ok(id)
            }
            Err(error) => {
                if let Err(also) = self.remove(&server).await {
                    tracing::warn!(server = server.id.0, error = %also, "what is left of a failed server could not be removed");
                }
                Err(error)
            }
        }
    }

    pub(super) async fn snapshot(&self, id: &ServerId) -> Result<CopyId, EngineError> {
        let server = self.server(id)?;
        let copy_id = CopyId(format!("c{}", self.next.fetch_add(1, Ordering::Relaxed)));
        let folder = self.work_dir.join("copies").join(&copy_id.0);
        let mut state = server.state.lock().await;
        let frozen = if state.running(id).is_ok() {
            Some(state.running(id)?.freeze()?)
        } else {
            None
        };
        let log_bin = frozen.is_some().then_some(state.log_bin);
        if let Err(error) = copy::data_folder(&server.folder.data(), &folder, frozen).await {
            if let Err(also) = remove_folder(&folder).await {
                tracing::warn!(copy = copy_id.0, error = %also, "what is left of a failed copy could not be removed");
            }
            return Err(error);
        }
        let copy = DataCopy {
            install: Arc::clone(&server.install),
            data: folder,
            log_bin,
            spec: state.spec.clone(),
        };
        self.copies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(copy_id.clone(), Arc::new(copy));
        Ok(copy_id)
    }

    pub(super) async fn delete_copy(&self, id: &CopyId) -> Result<(), EngineError> {
        let copy = self.copy(id)?;
        remove_folder(&copy.data).await?;
        self.copies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        Ok(())
    }
}
