//! A ready data folder per kind of server, made once and copied for every new DB instance.
//!
//! It holds system tables, `rdsadmin@localhost` and the `mysql.rds_*` procedures. It is kept beside the
//! installed servers under a name that is a digest of everything it was made from, so a change of any of that
//! makes a new one.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, interval, timeout};

use super::EngineError;
use super::copy;
use super::install::{Init, Install};
use super::options;
use super::privileges;
use super::procedures::{self, Names};
use super::process::{self, Folder, Login, Process, StartError};

/// Initialising MySQL 9.7 takes a dozen seconds on a busy machine.
const INIT_LIMIT: Duration = Duration::from_secs(180);
/// How long to wait for another process that makes the same template.
const LOCK_LIMIT: Duration = Duration::from_secs(240);

/// A template that is there.
pub(super) struct Template {
    pub(super) data: PathBuf,
    /// The administrator's password in it, changed on every server made from it.
    pub(super) password: String,
}

/// The template of this install, made now if it is not there yet. `fallback` is used when the folder beside
/// the installed servers cannot be written; `sockets` must be short.
pub(super) async fn ensure(
    install: &Arc<Install>,
    names: Names,
    install_dir: &Path,
    fallback: &Path,
    sockets: &Path,
) -> Result<Template, EngineError> {
    let folder = install_dir.join("templates");
    let folder = if private_folder(&folder).is_ok() {
        folder
    } else {
        fallback.join("templates")
    };
    private_folder(&folder)
        .map_err(|source| EngineError::io(format!("making {}", folder.display()), source))?;
    let setup = procedures::install(install.flavor, names);
    let name = format!("{}-{}", install.kind, digest(install, &setup));
    let ready = folder.join(&name);
    if let Some(template) = existing(&ready)? {
        return Ok(template);
    }
    let _lock = lock(&folder.join(format!("{name}.lock"))).await?;
    if let Some(template) = existing(&ready)? {
        return Ok(template);
    }
    remove_unfinished(&folder, &name).await?;
    let making = folder.join(format!("{name}.{}", uuid::Uuid::new_v4().simple()));
    let made = make(install, &setup, &making, sockets).await;
    let done = match made {
        Ok(()) => std::fs::rename(&making, &ready)
            .map_err(|source| EngineError::io(format!("naming {}", ready.display()), source)),
        Err(error) => Err(error),
    };
    if done.is_err() {
        let _leftover = std::fs::remove_dir_all(&making);
    }
    done?;
    existing(&ready)?.ok_or_else(|| {
        EngineError::io(
            format!("reading {}", ready.display()),
            io::ErrorKind::NotFound.into(),
        )
    })
}

/// What a process that was killed while it made this template left behind. Nobody else makes it now: we hold the lock.
async fn remove_unfinished(folder: &Path, name: &str) -> Result<(), EngineError> {
    let failed = |source| EngineError::io(format!("clearing {}", folder.display()), source);
    for entry in std::fs::read_dir(folder)
        .map_err(failed)?
        .filter_map(Result::ok)
    {
        let unfinished = entry
            .file_name()
            .to_str()
            .and_then(|file| file.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('.'))
            && entry.path().is_dir();
        if unfinished {
            process::reap(&entry.path()).await?;
            std::fs::remove_dir_all(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

fn private_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    // Creating is not writing: a read-only file system or another user's folder shows here.
    let probe = folder.join(format!(".probe-{}", uuid::Uuid::new_v4().simple()));
    File::create_new(&probe)?;
    std::fs::remove_file(probe)
}

fn digest(install: &Install, setup: &[String]) -> String {
    let mut hash = Sha256::new();
    let options = options::lean(install.flavor);
    let version = install.title();
    for part in [version.as_str(), env!("CARGO_PKG_VERSION")]
        .into_iter()
        .chain(options.iter().map(String::as_str))
        .chain(setup.iter().map(String::as_str))
    {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn existing(folder: &Path) -> Result<Option<Template>, EngineError> {
    match std::fs::read_to_string(folder.join("password")) {
        Ok(password) => Ok(Some(Template {
            data: folder.join("data"),
            password,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(EngineError::io(
            format!("reading {}", folder.display()),
            source,
        )),
    }
}

/// Released when the file is closed, also by a crash.
async fn lock(path: &Path) -> Result<File, EngineError> {
    let failed = |source| EngineError::io(format!("locking {}", path.display()), source);
    let file = File::create(path).map_err(failed)?;
    let deadline = Instant::now() + LOCK_LIMIT;
    let mut ticks = interval(Duration::from_millis(50));
    loop {
        ticks.tick().await;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() < deadline => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(EngineError::timed_out(
                    format!("another process to finish {}", path.display()),
                    LOCK_LIMIT,
                ));
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}

async fn make(
    install: &Install,
    setup: &[String],
    root: &Path,
    sockets: &Path,
) -> Result<(), EngineError> {
    let title = install.title();
    let failed = |source| EngineError::io(format!("making the data folder of {title}"), source);
    let socket = format!(
        "t{}",
        uuid::Uuid::new_v4().simple().to_string().split_at(8).0
    );
    let folder = Folder::new(root.to_owned(), sockets, &socket);
    private_folder(root).map_err(failed)?;
    std::fs::create_dir_all(folder.tmp()).map_err(failed)?;
    initialise(install, &folder).await?;

    let mut command = install.command();
    // Its own socket is the only way in.
    command
        .args(folder.options())
        .args(options::lean(install.flavor))
        .args(["--skip-networking", "--skip-log-bin"]);
    let (process, mut session) = match Process::start(
        &title,
        &folder,
        command,
        Login {
            user: "root",
            password: "",
        },
    )
    .await
    {
        Ok(started) => started,
        Err(StartError::Failed(error)) => return Err(error),
        Err(StartError::PortTaken) => {
            return Err(EngineError::DidNotStart {
                server: title,
                log: folder.log_tail(),
            });
        }
    };
    let password = super::random_password();
    session
        .run_all(privileges::administrator(&password))
        .await?;
    session.run("DROP DATABASE IF EXISTS test").await?;
    session
        .run("DELETE FROM mysql.db WHERE db LIKE 'test%'")
        .await?;
    session.run_all(setup).await?;
    let rows = session.rows(&privileges::superfluous_accounts()).await?;
    for account in rows.iter().filter_map(|row| row.get::<String, _>(0)) {
        session.run(&format!("DROP USER {account}")).await?;
    }
    session.run("FLUSH PRIVILEGES").await?;
    session.close().await;
    process.stop(root).await?;
    for waste in ["auto.cnf", "ibtmp1", "ib_buffer_pool"] {
        match std::fs::remove_file(folder.data().join(waste)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(root.join("password"));
    file.and_then(|mut file| io::Write::write_all(&mut file, password.as_bytes()))
        .map_err(failed)
}

async fn initialise(install: &Install, folder: &Folder) -> Result<(), EngineError> {
    let title = install.title();
    let failed =
        |source| EngineError::io(format!("initialising the data folder of {title}"), source);
    let mut command = install.command();
    let mut locations = folder.options();
    // No error log: what it says then comes through its standard error.
    locations.pop();
    command.args(locations).args(options::lean(install.flavor));
    let script = folder.root().join("bootstrap.sql");
    match install.init {
        Init::Copy => {
            let from = install
                .init_sources
                .first()
                .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
            return copy::data_folder(from, &folder.data(), None).await;
        }
        Init::InitializeInsecure => {
            command.arg("--initialize-insecure").stdin(Stdio::null());
        }
        Init::Bootstrap => {
            std::fs::create_dir_all(folder.data().join("mysql")).map_err(failed)?;
            // What mariadb-install-db does: root with an empty password, no anonymous accounts.
            let mut text = b"create database if not exists mysql;\nuse mysql;\nSET @auth_root_socket=NULL;\nSET @skip_auth_anonymous=1;\n".to_vec();
            for source in &install.init_sources {
                text.extend(std::fs::read(source).map_err(failed)?);
                text.push(b'\n');
            }
            std::fs::write(&script, text).map_err(failed)?;
            command
                .arg("--bootstrap")
                .stdin(File::open(&script).map_err(failed)?);
        }
    }
    let output = timeout(
        INIT_LIMIT,
        command.kill_on_drop(true).process_group(0).output(),
    )
    .await;
    let output = match output {
        Ok(output) => output.map_err(failed)?,
        Err(_elapsed) => {
            return Err(EngineError::timed_out(
                format!("initialising the data folder of {title}"),
                INIT_LIMIT,
            ));
        }
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || said.contains("[ERROR]") {
        let lines = said
            .lines()
            .filter(|line| !line.contains("[Note]"))
            .collect::<Vec<_>>();
        let log = lines
            .get(lines.len().saturating_sub(8)..)
            .unwrap_or_default()
            .join("\n");
        return Err(EngineError::DidNotStart { server: title, log });
    }
    if install.init == Init::Bootstrap {
        std::fs::remove_file(&script).map_err(failed)?;
    }
    Ok(())
}
