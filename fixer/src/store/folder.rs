//! The folder of a run: who may use it, and where it may lie.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::StoreError;

const LOCK: &str = "lock";

/// The process that executes a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Name of its machine.
    pub host: String,
    /// When it took the run up.
    pub since: Timestamp,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "process {} on {} since {:.0}",
            self.pid, self.host, self.since
        )
    }
}

/// Tells the kind of file system a folder lies on, as the kernel numbers it. Tests put their own in its place.
pub(super) type Probe = fn(&Path) -> io::Result<u64>;

/// `f_type` of statfs(2).
#[cfg(target_os = "linux")]
pub(super) fn file_system(path: &Path) -> io::Result<u64> {
    // Width and sign of the field differ between architectures; the numbers are 32 bits.
    Ok(u64::from(rustix::fs::statfs(path)?.f_type as u32))
}

/// Elsewhere the kinds are not numbered the same way; nothing is refused.
#[cfg(not(target_os = "linux"))]
pub(super) fn file_system(_path: &Path) -> io::Result<u64> {
    Ok(0)
}

/// File systems that other machines may have mounted too. flock(2) on them is local, emulated or an option of the
/// mount, and SQLite's write-ahead log needs memory that all its users share. FUSE is among them because nothing tells
/// sshfs and s3fs from a local one.
///
/// 9p is not: its mounts (WSL, virtual machines, sandboxes) are folders of the same host.
const NETWORK: [(u64, &str); 13] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x6573_5546, "FUSE"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x0bd0_0bd0, "Lustre"),
];

/// Refuses a folder whose lock does not reach as far as the folder does.
pub(super) fn refuse_network(dir: &Path, probe: Probe) -> Result<(), StoreError> {
    let found = probe(dir)
        .map_err(|e| StoreError::io(format!("ask for the file system of {}", dir.display()), e))?;
    match NETWORK.iter().find(|(number, _)| *number == found) {
        None => Ok(()),
        Some((_, kind)) => Err(StoreError::NetworkFileSystem {
            dir: dir.to_owned(),
            kind,
        }),
    }
}

/// Takes the kernel's lock on the run folder and writes down who has it.
///
/// The lock goes when the process goes, however it ends; what is written is for whoever is refused.
pub(super) fn lock(dir: &Path, run: &str, now: Timestamp) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e| StoreError::io(format!("open {}", path.display()), e))?;
    match try_lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            // A name that cannot be read leaves the refusal as it is.
            let holder = read_holder(&mut file);
            return Err(StoreError::Locked {
                run: run.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(e)) => {
            return Err(StoreError::io(format!("lock {}", path.display()), e));
        }
    }
    let holder = Holder {
        pid: std::process::id(),
        host: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        since: now,
    };
    let text = serde_json::to_string(&holder).unwrap_or_default();
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(text.as_bytes()))
        .map_err(|e| StoreError::io(format!("write {}", path.display()), e))?;
    Ok(file)
}

/// Takes the lock. Whoever asks for the holder has it for a moment: that is waited for, a runner is not.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    const MOMENT: Duration = Duration::from_millis(10);
    const TIMES: u32 = 20;
    for _ in 0..TIMES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            other => return other,
        }
        // Not even a look: the lock of a runner is exclusive, so this is what tells the two apart.
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => return Err(TryLockError::WouldBlock),
            other => other?,
        }
        file.unlock().map_err(TryLockError::Error)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "a file lock has no virtual time, and this is outside of any run"
        )]
        std::thread::sleep(MOMENT);
    }
    file.try_lock()
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text)
        .ok()
        .and_then(|_read| serde_json::from_str(&text).ok())
}

/// Who has the lock: by trying to share it, which the lock of a runner forbids.
pub(super) fn holder(dir: &Path, now: Timestamp) -> Result<Option<Holder>, StoreError> {
    let path = dir.join(LOCK);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StoreError::io(format!("open {}", path.display()), e)),
    };
    match file.try_lock_shared() {
        // Closing the file gives it back.
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            Ok(Some(read_holder(&mut file).unwrap_or_else(|| Holder {
                pid: 0,
                host: "a machine that has not written its name down".to_owned(),
                since: now,
            })))
        }
        Err(TryLockError::Error(e)) => Err(StoreError::io(format!("lock {}", path.display()), e)),
    }
}

/// Makes a folder that only its owner can enter. `false` when it was there.
pub(super) fn make(dir: &Path) -> Result<bool, StoreError> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(StoreError::io(format!("create {}", dir.display()), e)),
    }
}

/// The same with all folders above it.
pub(super) fn make_all(dir: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| StoreError::io(format!("create {}", dir.display()), e))
}

/// Removes a file if it is there.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io(format!("replace {}", path.display()), e))
        }
        _ => Ok(()),
    }
}

/// Writes a private file that was not there, durably.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|e| StoreError::io(format!("write {}", path.display()), e))
}

/// Puts a file in the place of another.
pub(super) fn replace(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|e| StoreError::io(format!("write {}", to.display()), e))
}

/// Makes the names in a folder as durable as the files.
pub(super) fn sync(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| StoreError::io(format!("sync {}", dir.display()), e))
}
