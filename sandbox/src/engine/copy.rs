//! Copies of data folders.
//!
//! A copy of a running server is taken while all of its threads are stopped. It reads what the server wrote,
//! through the same page cache, so it is the state a crash of the process at that moment would have left: the
//! server's own crash recovery makes it the state after some committed transaction. That holds because the
//! servers write their redo and binary logs at each commit, use no asynchronous I/O, and because fsync, which
//! they are told to skip, matters only when the machine dies.

use std::io;
use std::path::Path;

use super::EngineError;
use super::process::Frozen;

/// Copies a data folder, of a running server while it is `frozen`; the guard is dropped (and the server
/// continued) as soon as the copying ends, however it ends.
pub(super) async fn data_folder(
    from: &Path,
    to: &Path,
    frozen: Option<Frozen>,
) -> Result<(), EngineError> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let work = move || {
        let thawed_at_the_end = frozen;
        if let Some(frozen) = &thawed_at_the_end {
            frozen.wait()?;
        }
        tree(&from, &to).map_err(|source| {
            EngineError::io(
                format!("copying {} to {}", from.display(), to.display()),
                source,
            )
        })
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        EngineError::io("copying a data folder".to_owned(), io::Error::other(error))
    })?
}

/// `std::fs::copy` uses `copy_file_range`, which shares blocks where the file system can.
fn tree(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        if left_behind(&name.to_string_lossy()) {
            continue;
        }
        let target = to.join(&name);
        if kind.is_dir() {
            tree(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Temporary tablespaces are made anew at each start; `auto.cnf` is the server's UUID, which must not be had twice
/// in one replication topology; a dumped buffer pool would only be read in again.
fn left_behind(name: &str) -> bool {
    matches!(
        name,
        "ibtmp1" | "#innodb_temp" | "auto.cnf" | "ib_buffer_pool"
    )
}
