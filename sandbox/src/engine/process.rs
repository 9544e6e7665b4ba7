//! The life of one server process: start, readiness, orderly stop, freezing, and what an earlier sandbox left.
//!
//! No signal is ever sent to a process that is not provably ours: it is either a child that was not waited
//! for yet, or the process whose id *and start time* were recorded and whose command line names our data folder.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::EngineError;
use super::sql::Session;

/// How long a server may take from its start to its first answer.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long an orderly stop may take before the process is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long the kernel may take to end or to stop a process.
const SIGNAL_LIMIT: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_millis(15);
const RECORD: &str = "process.json";

/// Who the administrator is on a server that is about to start.
#[derive(Clone, Copy)]
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a str,
}

/// Where the files of one server are.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
    socket: PathBuf,
}

impl Folder {
    /// A server's folder, whose socket lies in `sockets` (the path of a Unix socket ends at 107 bytes).
    pub(super) fn new(root: PathBuf, sockets: &Path, name: &str) -> Self {
        Self {
            root,
            socket: sockets.join(name),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn error_log(&self) -> PathBuf {
        self.root.join("error.log")
    }

    /// Options that say where everything of this server is.
    pub(super) fn options(&self) -> Vec<std::ffi::OsString> {
        let option = |name: &str, path: &Path| {
            let mut text = std::ffi::OsString::from(format!("--{name}="));
            text.push(path);
            text
        };
        vec![
            option("datadir", &self.data()),
            option("tmpdir", &self.tmp()),
            option("socket", &self.socket),
            option("pid-file", &self.root.join("server.pid")),
            option("log-error", &self.error_log()),
        ]
    }

    /// The last lines the server wrote: its errors, or anything when it wrote none.
    pub(super) fn log_tail(&self) -> String {
        let text = [self.error_log(), self.root.join("output.log")]
            .iter()
            .filter_map(|file| std::fs::read(file).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect::<String>();
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>();
        let errors = lines
            .iter()
            .filter(|line| line.contains("[ERROR]"))
            .copied()
            .collect::<Vec<_>>();
        let shown = if errors.is_empty() { &lines } else { &errors };
        let last = shown
            .get(shown.len().saturating_sub(8)..)
            .unwrap_or_default()
            .join("\n");
        if last.is_empty() {
            "it wrote nothing to its log".to_owned()
        } else {
            last
        }
    }
}

/// A running server. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pid: Pid,
}

/// Why a start failed, as far as the caller acts on it.
#[derive(Debug)]
pub(super) enum StartError {
    /// Somebody took the port between choosing and binding it.
    PortTaken,
    /// Anything else.
    Failed(EngineError),
}

impl From<EngineError> for StartError {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

impl Process {
    /// Starts `command` on `folder` and returns once the administrator can log in.
    pub(super) async fn start(
        name: &str,
        folder: &Folder,
        mut command: Command,
        login: Login<'_>,
    ) -> Result<(Self, Session), StartError> {
        let doing = || format!("starting server {name}");
        let log = folder.error_log();
        if let Err(error) = std::fs::remove_file(&log)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(EngineError::io(format!("removing {}", log.display()), error).into());
        }
        let output = std::fs::File::create(folder.root().join("output.log"))
            .map_err(|source| EngineError::io(doing(), source))?;
        let errors = output
            .try_clone()
            .map_err(|source| EngineError::io(doing(), source))?;
        // An intent without a process id: whoever reaps us then looks for the data folder.
        Record {
            pid: None,
            started: None,
            data: folder.data(),
        }
        .write(folder.root())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Ctrl-C in the user's terminal is for us; we then stop the servers in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| EngineError::io(doing(), source))?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| EngineError::io(doing(), io::Error::other("it has no process id")))?;
        let mut process = Self { child, pid };
        Record {
            pid: Some(pid.as_raw_pid()),
            started: start_time(pid.as_raw_pid()),
            data: folder.data(),
        }
        .write(folder.root())?;
        let session = process.ready(name, folder, login).await?;
        Ok((process, session))
    }

    async fn ready(
        &mut self,
        name: &str,
        folder: &Folder,
        login: Login<'_>,
    ) -> Result<Session, StartError> {
        let deadline = Instant::now() + START_LIMIT;
        let mut ticks = interval(PROBE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.ended() {
                let log = folder.log_tail();
                let taken = log.contains("Bind on TCP/IP port")
                    || log.contains("another server running on port")
                    || log.contains("another mysqld server running on port");
                return Err(if taken {
                    StartError::PortTaken
                } else {
                    StartError::Failed(EngineError::DidNotStart {
                        server: name.to_owned(),
                        log,
                    })
                });
            }
            let refused =
                match Session::open(name, folder.socket(), login.user, login.password).await {
                    Ok(session) => return Ok(session),
                    Err(error) => error,
                };
            // A server that answers and says no will not change its mind. MySQL says 1130 or 1045, nothing else here.
            let final_answer =
                matches!(super::sql::server_code(&refused), Some(1045 | 1130 | 1698));
            if final_answer || Instant::now() >= deadline {
                let log = format!("{}\n{refused}", folder.log_tail());
                self.kill(folder.root()).await?;
                return Err(StartError::Failed(EngineError::DidNotStart {
                    server: name.to_owned(),
                    log,
                }));
            }
        }
    }

    /// Whether the process is gone (it crashed, or somebody else killed it).
    pub(super) fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks the server to stop, waits, kills it if it does not.
    pub(super) async fn stop(mut self, root: &Path) -> Result<(), EngineError> {
        if !self.ended() {
            self.signal(Signal::TERM)?;
            if timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
                tracing::warn!(
                    pid = self.pid.as_raw_pid(),
                    "a server did not stop in time and is killed"
                );
                return self.kill(root).await;
            }
        }
        Record::remove(root)
    }

    /// Ends the process at once: for data nobody wants any more.
    pub(super) async fn kill(&mut self, root: &Path) -> Result<(), EngineError> {
        if !self.ended() {
            self.signal(Signal::KILL)?;
            match timeout(SIGNAL_LIMIT, self.child.wait()).await {
                Ok(waited) => waited.map(|_status| ()).map_err(|source| {
                    EngineError::io(
                        format!("waiting for process {}", self.pid.as_raw_pid()),
                        source,
                    )
                })?,
                Err(_elapsed) => {
                    return Err(EngineError::timed_out(
                        format!("the end of killed process {}", self.pid.as_raw_pid()),
                        SIGNAL_LIMIT,
                    ));
                }
            }
        }
        Record::remove(root)
    }

    /// Safe against a reused process id: the child was not waited for, so its id is still its own.
    fn signal(&self, signal: Signal) -> Result<(), EngineError> {
        let pid = self.pid.as_raw_pid();
        rustix::process::kill_process(self.pid, signal)
            .map_err(|error| EngineError::io(format!("signalling process {pid}"), error.into()))
    }

    /// Stops every thread of the process in its tracks until the guard is dropped.
    pub(super) fn freeze(&mut self) -> Result<Frozen, EngineError> {
        if self.ended() {
            return Err(EngineError::io(
                format!("freezing process {}", self.pid.as_raw_pid()),
                io::ErrorKind::NotFound.into(),
            ));
        }
        let pid = self.pid.as_raw_pid();
        let pinned = rustix::process::pidfd_open(self.pid, PidfdFlags::empty())
            .map_err(|error| EngineError::io(format!("freezing process {pid}"), error.into()))?;
        let frozen = Frozen { pid, pinned };
        self.signal(Signal::STOP)?;
        Ok(frozen)
    }
}

/// A frozen process; thawed when dropped, whatever happened in between.
#[derive(Debug)]
pub(super) struct Frozen {
    pid: i32,
    /// A cancelled operation may leave the copying behind, and the server may be ended meanwhile: the process
    /// id could then be somebody else's, the descriptor never is.
    pinned: OwnedFd,
}

impl Frozen {
    /// Waits until each thread really stopped: one that was inside a `write` when the signal came finishes it first.
    pub(super) fn wait(&self) -> Result<(), EngineError> {
        let deadline = std::time::Instant::now() + SIGNAL_LIMIT;
        let tasks = PathBuf::from(format!("/proc/{}/task", self.pid));
        loop {
            let threads = std::fs::read_dir(&tasks).map_err(|source| {
                EngineError::io(format!("reading {}", tasks.display()), source)
            })?;
            let running = threads
                .filter_map(Result::ok)
                .filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok())
                .any(|stat| !matches!(field(&stat, 0), Some("T" | "t" | "Z" | "X")));
            if !running {
                return Ok(());
            }
            if std::time::Instant::now() >= deadline {
                return Err(EngineError::timed_out(
                    format!("process {} to stand still", self.pid),
                    SIGNAL_LIMIT,
                ));
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        match rustix::process::pidfd_send_signal(&self.pinned, Signal::CONT) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                tracing::error!(%error, pid = self.pid, "a frozen server could not be continued");
            }
        }
    }
}

/// What is on disk about a server process, for the sandbox that comes after a crash of this one.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// Absent between the decision to start and the start.
    pid: Option<i32>,
    /// Start time in clock ticks after boot, field 22 of `/proc/PID/stat`: with the id it names one process.
    started: Option<u64>,
    data: PathBuf,
}

impl Record {
    fn write(&self, root: &Path) -> Result<(), EngineError> {
        let (file, new) = (root.join(RECORD), root.join("process.json.new"));
        let text = serde_json::to_string(self).map_err(|error| {
            EngineError::io(format!("writing {}", file.display()), error.into())
        })?;
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, &file))
            .map_err(|source| EngineError::io(format!("writing {}", file.display()), source))
    }

    fn remove(root: &Path) -> Result<(), EngineError> {
        let file = root.join(RECORD);
        match std::fs::remove_file(&file) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(EngineError::io(
                format!("removing {}", file.display()),
                source,
            )),
            _ => Ok(()),
        }
    }

    /// The process this record is about, if it still lives.
    fn process(&self) -> Option<i32> {
        let ours = |pid: &i32| command_names(*pid, &self.data);
        match self.pid {
            Some(pid) => Some(pid)
                .filter(|pid| start_time(*pid) == self.started && self.started.is_some())
                .filter(ours),
            None => std::fs::read_dir("/proc")
                .ok()?
                .filter_map(Result::ok)
                .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
                .find(ours),
        }
    }
}

/// Field of `/proc/PID/stat`, counted from the one after the command name (which may hold anything).
fn field(stat: &str, index: usize) -> Option<&str> {
    stat.rsplit_once(") ")?.1.split(' ').nth(index)
}

fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    field(&stat, 19)?.parse().ok()
}

fn command_names(pid: i32, data: &Path) -> bool {
    let wanted = format!("--datadir={}", data.display());
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
        line.split(|byte| *byte == 0)
            .any(|argument| argument == wanted.as_bytes())
    })
}

/// Kills the server whose record is in `root`, if an earlier sandbox left it running. Returns whether there was one.
pub(super) async fn reap(root: &Path) -> Result<bool, EngineError> {
    let file = root.join(RECORD);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => {
            return Err(EngineError::io(
                format!("reading {}", file.display()),
                source,
            ));
        }
    };
    let record = serde_json::from_str::<Record>(&text)
        .map_err(|error| EngineError::io(format!("reading {}", file.display()), error.into()))?;
    let Some(id) = record.process() else {
        return Ok(false);
    };
    let failed = |error: rustix::io::Errno| {
        EngineError::io(
            format!("ending process {id}, left by an earlier sandbox"),
            error.into(),
        )
    };
    let Some(pid) = Pid::from_raw(id) else {
        return Ok(false);
    };
    // The descriptor pins the process; asked again after that, the answer cannot change any more.
    let pinned = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pinned) => pinned,
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    if record.process() != Some(id) {
        return Ok(false);
    }
    match rustix::process::pidfd_send_signal(&pinned, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(failed(error)),
    }
    let deadline = Instant::now() + SIGNAL_LIMIT;
    let mut ticks = interval(PROBE_EVERY);
    loop {
        ticks.tick().await;
        // A zombie no longer has a command line, and waits for a parent that is not us.
        if record.process().is_none() {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Err(EngineError::timed_out(
                format!("the end of process {id}, left by an earlier sandbox"),
                SIGNAL_LIMIT,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process of ours that does nothing, with this on its command line.
    fn idle(argument: &str) -> Child {
        Command::new("sh")
            .args(["-c", "read line", "sh", argument])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    fn record(root: &Path, pid: Option<i32>, started: Option<u64>) {
        let data = root.join("data");
        Record { pid, started, data }.write(root).unwrap();
    }

    #[tokio::test]
    async fn only_the_recorded_process_is_reaped() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert!(!reap(root).await.unwrap(), "nothing is recorded");
        let ours = format!("--datadir={}", root.join("data").display());
        let mut server = idle(&ours);
        let pid = i32::try_from(server.id().unwrap()).unwrap();
        let started = start_time(pid);
        assert!(started.is_some());

        // The id was given to another process since: it started at another moment.
        record(root, Some(pid), started.map(|ticks| ticks + 1));
        assert!(!reap(root).await.unwrap());
        // It is the same process, and it has nothing to do with this folder.
        let mut stranger = idle(&format!("{ours}-of-another"));
        let other = i32::try_from(stranger.id().unwrap()).unwrap();
        record(root, Some(other), start_time(other));
        assert!(!reap(root).await.unwrap());
        // A record from before the start tells no more than the folder.
        record(root, Some(pid), None);
        assert!(!reap(root).await.unwrap());
        assert!(matches!(server.try_wait(), Ok(None)) && matches!(stranger.try_wait(), Ok(None)));

        record(root, Some(pid), started);
        assert!(reap(root).await.unwrap());
        assert!(!server.wait().await.unwrap().success());
        assert!(!reap(root).await.unwrap(), "it is gone");
        assert!(matches!(stranger.try_wait(), Ok(None)));

        // Killed between the decision to start and the record of the process: the folder finds it.
        let mut unrecorded = idle(&ours);
        record(root, None, None);
        assert!(reap(root).await.unwrap());
        assert!(!unrecorded.wait().await.unwrap().success());
        assert!(matches!(stranger.try_wait(), Ok(None)));
    }
}
