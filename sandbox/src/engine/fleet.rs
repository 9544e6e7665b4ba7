//! All servers and copies of one sandbox, and what is done between them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::authority::{self, Authority};
use super::endpoint::{Addresses, Endpoint};
use super::install::{self, Install};
use super::lost::LostAnswers;
use super::origin::DataCopy;
use super::privileges;
use super::process;
use super::replication::{self, Source};
use super::server::{self, Host, Launch, Ports, Server, State};
use super::sql::{self, Session};
use super::{
    BinlogPosition, CopyId, EngineError, EngineMode, ReplicationState, ServerId, ServerSpec,
    random_password,
};

/// Longest path of a Unix socket, less the longest name used here.
const SOCKET_FOLDER_LIMIT: usize = 107 - 16;

/// The state behind `Engines`.
pub(super) struct Fleet {
    pub(super) installs: Vec<Arc<Install>>,
    pub(super) install_dir: PathBuf,
    pub(super) work_dir: PathBuf,
    pub(super) sockets: PathBuf,
    pub(super) host: Host,
    pub(super) replication_password: String,
    pub(super) addresses: Addresses,
    /// Answers that clients never see.
    pub(super) lost: Arc<LostAnswers>,
    pub(super) servers: Mutex<BTreeMap<ServerId, Arc<Server>>>,
    pub(super) copies: Mutex<BTreeMap<CopyId, Arc<DataCopy>>>,
    pub(super) next: AtomicU32,
    pub(super) first_server_number: u32,
    /// Locked for as long as the sandbox lives.
    _lock: File,
}

impl Fleet {
    pub(super) async fn open(
        mode: EngineMode,
        install_dir: PathBuf,
        work_dir: PathBuf,
    ) -> Result<Option<Self>, EngineError> {
        if mode == EngineMode::None {
            return Ok(None);
        }
        let installs = install::discover(&install_dir)
            .await?
            .into_iter()
            .map(Arc::new)
            .collect::<Vec<_>>();
        if installs.is_empty() {
            return match mode {
                EngineMode::Required => Err(EngineError::NotInstalled {
                    engine: "any".to_owned(),
                    engine_version: "engine".to_owned(),
                    looked_in: install_dir.display().to_string(),
                }),
                EngineMode::Auto | EngineMode::None => Ok(None),
            };
        }
        private_folder(&work_dir)?;
        // The path is on the servers' command lines, by which a later sandbox knows them.
        let work_dir = std::fs::canonicalize(&work_dir)
            .map_err(|source| EngineError::io(format!("opening {}", work_dir.display()), source))?;
        let lock = work_dir.join("lock");
        let lock = File::create(&lock)
            .and_then(|file| file.try_lock().map(|()| file).map_err(io::Error::from))
            .map_err(|source| {
                EngineError::io(
                    format!(
                        "locking {} (another sandbox uses this folder)",
                        lock.display()
                    ),
                    source,
                )
            })?;
        clean(&work_dir).await?;
        let mut sockets = work_dir.join("sockets");
        if sockets.as_os_str().len() > SOCKET_FOLDER_LIMIT {
            sockets = std::env::temp_dir().join(format!(
                "atrest-{}",
                uuid::Uuid::new_v4().simple().to_string().split_at(12).0
            ));
            write(&work_dir.join("sockets.path"), &sockets.to_string_lossy())?;
        }
        for folder in [
            sockets.as_path(),
            &work_dir.join("servers"),
            &work_dir.join("copies"),
        ] {
            private_folder(folder)?;
        }
        let addresses = Addresses::claim()?;
        let authority = Authority::create(&work_dir).await?;
        authority.cover(&addresses.blocks())?;
        let random = uuid::Uuid::new_v4().as_u128().to_be_bytes();
        Ok(Some(Self {
            installs,
            install_dir,
            sockets,
            host: Host {
                admin_password: random_password(),
                starts: Semaphore::new(
                    std::thread::available_parallelism()
                        .map_or(2, usize::from)
                        .max(2),
                ),
                copies: Semaphore::new(2),
                ports: Ports::default(),
                authority,
            },
            // MySQL takes 32 characters.
            replication_password: random_password().split_at(32).0.to_owned(),
            addresses,
            lost: Arc::default(),
            servers: Mutex::default(),
            copies: Mutex::default(),
            next: AtomicU32::new(1),
            first_server_number: u32::from_be_bytes([random[0], random[1], random[2], 0]) / 2 + 1,
            work_dir,
            _lock: lock,
        }))
    }

    pub(super) fn found(&self) -> Vec<String> {
        self.installs
            .iter()
            .map(|install| install.title())
            .collect()
    }

    pub(super) fn install_for(
        &self,
        engine: &str,
        engine_version: &str,
    ) -> Result<&Arc<Install>, EngineError> {
        install::nearest(&self.installs, engine, engine_version).ok_or_else(|| {
            EngineError::NotInstalled {
                engine: engine.to_owned(),
                engine_version: engine_version.to_owned(),
                looked_in: self.install_dir.display().to_string(),
            }
        })
    }

    pub(super) fn server(&self, id: &ServerId) -> Result<Arc<Server>, EngineError> {
        self.all().remove(id).ok_or_else(|| EngineError::Unknown {
            kind: "server",
            name: id.0.clone(),
        })
    }

    fn all(&self) -> BTreeMap<ServerId, Arc<Server>> {
        self.servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn copy(&self, id: &CopyId) -> Result<Arc<DataCopy>, EngineError> {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.get(id).cloned().ok_or_else(|| EngineError::Unknown {
            kind: "copy",
            name: id.0.clone(),
        })
    }

    // ---------------------------------------------------------------- one server

    pub(super) async fn run_sql(&self, id: &ServerId, script: &str) -> Result<(), EngineError> {
        let server = self.server(id)?;
        server.state.lock().await.running(id)?;
        let mut session = server.session(&self.host).await?;
        session.run_all(sql::statements(script)).await?;
        session.close().await;
        Ok(())
    }

    pub(super) async fn replication(&self, id: &ServerId) -> Result<ReplicationState, EngineError> {
        let server = self.server(id)?;
        server.state.lock().await.running(id)?;
        let mut session = server.session(&self.host).await?;
        let state = replication::state(
            &session
                .rows(replication::show_status(server.flavor()))
                .await?,
        );
        session.close().await;
        Ok(state)
    }

    pub(super) async fn recovered_position(
        &self,
        id: &ServerId,
    ) -> Result<Option<BinlogPosition>, EngineError> {
        Ok(self.server(id)?.state.lock().await.recovered.clone())
    }

    pub(super) async fn promote(&self, id: &ServerId, spec: ServerSpec) -> Result<(), EngineError> {
        let server = self.server(id)?;
        {
            let mut state = server.state.lock().await;
            state.running(id)?;
            let mut session = server.session(&self.host).await?;
            forget_replication(&mut session, &server).await?;
            session.close().await;
            state.source = None;
        }
        let again = server.state.lock().await.log_bin != spec.log_bin;
        self.reconfigure(id, spec).await?;
        if again {
            self.restart(id).await
        } else {
            Ok(())
        }
    }

    pub(super) async fn reconfigure(
        &self,
        id: &ServerId,
        spec: ServerSpec,
    ) -> Result<(), EngineError> {
        let server = self.server(id)?;
        let mut state = server.state.lock().await;
        if state.running(id).is_ok() {
            let mut session = server.session(&self.host).await?;
            server::apply(&mut session, server.flavor(), &state.spec, &spec).await?;
            session.close().await;
        }
        state.spec = spec;
        Ok(())
    }

    pub(super) async fn set_master_password(
        &self,
        id: &ServerId,
        password: String,
    ) -> Result<(), EngineError> {
        let server = self.server(id)?;
        let mut state = server.state.lock().await;
        state.running(id)?;
        let spec = ServerSpec {
            master_password: password,
            ..state.spec.clone()
        };
        let mut session = server.session(&self.host).await?;
        server::master_password(&mut session, server.flavor(), &spec).await?;
        session.close().await;
        state.spec = spec;
        Ok(())
    }

    pub(super) async fn restart(&self, id: &ServerId) -> Result<(), EngineError> {
        let server = self.server(id)?;
        let mut state = server.state.lock().await;
        server.halt(&self.host, &mut state).await?;
        self.start_again(&server, &mut state).await?;
        drop(state);
        self.tell_replicas(&server).await
    }

    pub(super) async fn stop(&self, id: &ServerId) -> Result<(), EngineError> {
        let server = self.server(id)?;
        let mut state = server.state.lock().await;
        server.halt(&self.host, &mut state).await
    }

    /// Kills the server; its data stays as the crash left it.
    pub(super) async fn crash(&self, id: &ServerId) -> Result<(), EngineError> {
        let server = self.server(id)?;
        let process = server.state.lock().await.process.take();
        match process {
            Some(mut process) => process.kill(server.folder.root()).await,
            None => Ok(()),
        }
    }

    pub(super) async fn start(&self, id: &ServerId) -> Result<(), EngineError> {
        let server = self.server(id)?;
        let mut state = server.state.lock().await;
        if state.running(id).is_ok() {
            return Ok(());
        }
        self.start_again(&server, &mut state).await?;
        drop(state);
        self.tell_replicas(&server).await
    }

    async fn start_again(&self, server: &Server, state: &mut State) -> Result<(), EngineError> {
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
        self.catch_up(server, state).await
    }

    /// Points a server at its source and starts replication.
    pub(super) async fn follow(
        &self,
        session: &mut Session,
        server: &Server,
        state: &mut State,
        source: &Server,
        position: &BinlogPosition,
    ) -> Result<(), EngineError> {
        let port = source.port.load(Ordering::Acquire);
        let from = Source {
            port,
            user: privileges::REPLICATION,
            password: &self.replication_password,
            position,
        };
        session
            .run(&replication::change_source(server.flavor(), from))
            .await?;
        session.run(replication::start(server.flavor())).await?;
        state.source = Some((source.id.clone(), port));
        Ok(())
    }

    /// After a start of `source`: its replicas learn its port, should it have changed.
    async fn tell_replicas(&self, source: &Server) -> Result<(), EngineError> {
        for replica in self
            .all()
            .into_values()
            .filter(|replica| replica.id != source.id)
        {
            let mut state = replica.state.lock().await;
            if state
                .source
                .as_ref()
                .is_some_and(|(id, _port)| *id == source.id)
                && state.running(&replica.id).is_ok()
            {
                self.catch_up(&replica, &mut state).await?;
            }
        }
        Ok(())
    }

    /// Points a replica at the port its source has now, if that is another one than it knows.
    async fn catch_up(&self, replica: &Server, state: &mut State) -> Result<(), EngineError> {
        let Some((source, known)) = state.source.clone() else {
            return Ok(());
        };
        let Ok(source) = self.server(&source) else {
            return Ok(());
        };
        if source.port.load(Ordering::Acquire) == known {
            return Ok(());
        }
        let mut session = replica.session(&self.host).await?;
        session.run(replication::stop(replica.flavor())).await?;
        // A new port makes the server forget where it was.
        if let Some(position) = replication::applied(
            &session
                .rows(replication::show_status(replica.flavor()))
                .await?,
        ) {
            self.follow(&mut session, replica, state, &source, &position)
                .await?;
        }
        session.close().await;
        Ok(())
    }

    pub(super) async fn delete(&self, id: &ServerId) -> Result<(), EngineError> {
        let server = self.server(id)?;
        self.remove(&server).await?;
        self.servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        Ok(())
    }

    pub(super) async fn remove(&self, server: &Server) -> Result<(), EngineError> {
        if let Some(endpoint) = server.endpoint.lock().await.take() {
            endpoint.close().await;
        }
        if let Some(mut process) = server.state.lock().await.process.take() {
            process.kill(server.folder.root()).await?;
        }
        self.host
            .ports
            .give_back(server.port.load(Ordering::Acquire));
        remove_file(server.folder.socket())?;
        remove_folder(server.folder.root()).await
    }

    // ----------------------------------------------------------------- endpoints

    pub(super) fn address_of(&self, name: &str) -> Result<IpAddr, EngineError> {
        self.addresses.of(name)
    }

    pub(super) async fn open_endpoint(
        &self,
        id: &ServerId,
        name: &str,
        port: u16,
    ) -> Result<IpAddr, EngineError> {
        let server = self.server(id)?;
        let address = self.addresses.of(name)?;
        self.certify(&server).await?;
        let mut endpoint = server.endpoint.lock().await;
        if let Some(old) = endpoint.take() {
            old.close().await;
        }
        let opened = Endpoint::open(
            SocketAddr::new(address, port),
            Arc::clone(&server.port),
            Arc::clone(&self.lost),
        );
        *endpoint = Some(opened.await?);
        Ok(address)
    }

    /// Sees to it that the server's certificate is for every address given out so far.
    async fn certify(&self, server: &Server) -> Result<(), EngineError> {
        let authority = &self.host.authority;
        authority.cover(&self.addresses.blocks())?;
        let blocks = authority.blocks();
        if server.covered.load(Ordering::Acquire) >= blocks {
            return Ok(());
        }
        let mut state = server.state.lock().await;
        // Read at the next start, or at one that has just been.
        if state.running(&server.id).is_err() || server.covered.load(Ordering::Acquire) >= blocks {
            return Ok(());
        }
        let Some(reload) = server::reload_certificate(server.flavor()) else {
            server.halt(&self.host, &mut state).await?;
            self.start_again(server, &mut state).await?;
            drop(state);
            return self.tell_replicas(server).await;
        };
        let mut session = server.session(&self.host).await?;
        session.run(reload).await?;
        session.close().await;
        server.covered.store(blocks, Ordering::Release);
        Ok(())
    }

    pub(super) async fn close_endpoint(&self, id: &ServerId) -> Result<(), EngineError> {
        let server = self.server(id)?;
        let mut endpoint = server.endpoint.lock().await;
        if let Some(old) = endpoint.take() {
            old.close().await;
        }
        Ok(())
    }

    // ------------------------------------------------------------------- the end

    pub(super) async fn shutdown(&self) -> Result<(), EngineError> {
        let mut first = Ok(());
        let mut note = |result: Result<(), EngineError>| {
            if let Err(error) = result {
                tracing::warn!(%error, "a step of the shutdown failed");
                if first.is_ok() {
                    first = Err(error);
                }
            }
        };
        let servers = self.all();
        let stops = servers.values().map(|server| async move {
            if let Some(endpoint) = server.endpoint.lock().await.take() {
                endpoint.close().await;
            }
            let mut state = server.state.lock().await;
            server.halt(&self.host, &mut state).await
        });
        futures::future::join_all(stops)
            .await
            .into_iter()
            .for_each(&mut note);
        self.servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.copies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        note(clean(&self.work_dir).await);
        note(remove_file(&self.work_dir.join("lock")));
        // Only if it is empty: the folder may have been somebody's before.
        if let Err(error) = std::fs::remove_dir(&self.work_dir)
            && !matches!(
                error.kind(),
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound
            )
        {
            note(Err(EngineError::io(
                format!("removing {}", self.work_dir.display()),
                error,
            )));
        }
        first
    }
}

/// A copy of a replica knows whose replica it was.
pub(super) async fn forget_replication(
    session: &mut Session,
    server: &Server,
) -> Result<(), EngineError> {
    session.run(replication::stop(server.flavor())).await?;
    session.run(replication::reset(server.flavor())).await
}

/// Work folders in `parent` called `prefix` and a process id, whose sandbox was killed: their servers are ended and the
/// folders removed. A folder whose lock is held, or that is not ours to open, is left alone. Returns how many went.
pub(super) async fn sweep(parent: &Path, prefix: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return 0;
    };
    let mut swept = 0;
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Some(pid) = name
            .strip_prefix(prefix)
            .and_then(|pid| pid.parse::<u32>().ok())
        else {
            continue;
        };
        // A living process may be about to lock its folder; the lock decides about the rest.
        if Path::new("/proc").join(pid.to_string()).exists() {
            continue;
        }
        let Ok(folder) = std::fs::canonicalize(entry.path()) else {
            continue;
        };
        let lock = File::options().write(true).open(folder.join("lock"));
        let Some(lock) = lock.ok().filter(|file| file.try_lock().is_ok()) else {
            continue;
        };
        let cleaned = match clean(&folder).await {
            Ok(()) => remove_folder(&folder).await,
            Err(error) => Err(error),
        };
        match cleaned {
            Ok(()) => swept += 1,
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "an abandoned sandbox could not be cleaned up");
            }
        }
        drop(lock);
    }
    swept
}

/// Ends servers an earlier sandbox left in this folder and removes everything a sandbox makes there.
async fn clean(work_dir: &Path) -> Result<(), EngineError> {
    for folder in ["servers", "templates"] {
        let servers = match std::fs::read_dir(work_dir.join(folder)) {
            Ok(servers) => servers
                .filter_map(Result::ok)
                .map(|entry| entry.path())
                .collect::<Vec<_>>(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => {
                return Err(EngineError::io(
                    format!("reading {}", work_dir.join(folder).display()),
                    source,
                ));
            }
        };
        for server in servers.iter().filter(|server| server.is_dir()) {
            if process::reap(server).await? {
                tracing::warn!(folder = %server.display(), "a server left by an earlier sandbox was ended");
            }
        }
    }
    let elsewhere = work_dir.join("sockets.path");
    if let Ok(sockets) = std::fs::read_to_string(&elsewhere) {
        remove_folder(Path::new(&sockets)).await?;
        remove_file(&elsewhere)?;
    }
    for folder in [
        "servers",
        "copies",
        "sockets",
        "templates",
        authority::FOLDER,
    ] {
        remove_folder(&work_dir.join(folder)).await?;
    }
    Ok(())
}

pub(super) fn private_folder(folder: &Path) -> Result<(), EngineError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| EngineError::io(format!("making {}", folder.display()), source))
}

fn write(file: &Path, text: &str) -> Result<(), EngineError> {
    std::fs::write(file, text)
        .map_err(|source| EngineError::io(format!("writing {}", file.display()), source))
}

pub(super) fn remove_file(file: &Path) -> Result<(), EngineError> {
    match std::fs::remove_file(file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(EngineError::io(
            format!("removing {}", file.display()),
            source,
        )),
        _ => Ok(()),
    }
}

pub(super) async fn remove_folder(folder: &Path) -> Result<(), EngineError> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(EngineError::io(
            format!("removing {}", folder.display()),
            source,
        )),
        _ => Ok(()),
    }
}
