//! A batch file that is being written: line by line, under a lock, and whole or not at all under its own name.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use atrest_model::shard::{BatchEnd, BatchHeader, BatchLine, LineDigest, ShardRead, write_line};

use super::index::{Batch, BatchError, Lines, without_end};
use crate::exit::{Exit, ExpectedError};

/// Times that a file may be renamed away between opening and locking it.
const TRIES: usize = 100;

/// A batch on its way.
#[derive(Debug)]
pub(super) struct BatchFile {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    digest: LineDigest,
    shards: usize,
    /// Those that could not be read wholly.
    holes: usize,
}

/// What was there.
#[derive(Debug)]
pub(super) enum Opened {
    /// A file of which nothing is left to do.
    Done,
    /// A file to go on with, and the ids of the shards that are in it already.
    Open(BatchFile, BTreeSet<String>),
}

impl BatchFile {
    /// Takes up what an earlier process left, or begins anew.
    pub(super) fn open(path: &Path, header: &BatchHeader) -> anyhow::Result<Opened> {
        let failed = |error: io::Error| cannot_write(path, &error);
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let partial = partial_of(path)?;
        let file = locked(&partial).map_err(failed)?.ok_or_else(|| {
            ExpectedError::of(
                Exit::Stopped,
                format!("another process is writing {}", path.display()),
                "let it, or end it; what it has read is kept",
            )
        })?;
        let mut batch = Self {
            path: path.to_owned(),
            partial,
            file,
            digest: LineDigest::default(),
            shards: 0,
            holes: 0,
        };
        if let Some(done) = batch.take_up(header).map_err(failed)? {
            return Ok(Opened::Open(batch, done));
        }
        batch.begin(header).map_err(failed)?;
        let earlier = match earlier(path, header) {
            Ok(earlier) => earlier,
            Err(error) => {
                // It is empty: nothing is lost.
                let _removed = std::fs::remove_file(&batch.partial);
                return Err(error);
            }
        };
        let Some(earlier) = earlier else {
            return Ok(Opened::Open(batch, BTreeSet::new()));
        };
        let done = batch.copy_whole(&earlier).map_err(failed)?;
        if done.len() == header.shards.len() {
            std::fs::remove_file(&batch.partial).map_err(failed)?;
            return Ok(Opened::Done);
        }
        Ok(Opened::Open(batch, done))
    }

    /// Whole lines of a process that was killed; `None` when there are none of this batch.
    fn take_up(&mut self, header: &BatchHeader) -> io::Result<Option<BTreeSet<String>>> {
        let mut wanted = Vec::new();
        write_line(&BatchLine::Batch(header.clone()), &mut wanted)?;
        let mut reader = BufReader::new(&self.file);
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        if line != wanted {
            return Ok(None);
        }
        let mut end = line.len() as u64;
        let mut digest = LineDigest::default();
        digest.write_all(&line)?;
        let known: BTreeSet<&String> = header.shards.iter().collect();
        let (mut done, mut holes) = (BTreeSet::new(), 0);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            // Where it was cut, or where it ends.
            let Some(Ok(shard)) = without_end(&line).map(serde_json::from_slice::<ShardRead>)
            else {
                break;
            };
            let is_whole = shard.is_whole();
            if !known.contains(&shard.shard) || !done.insert(shard.shard) {
                break;
            }
            holes += usize::from(!is_whole);
            digest.write_all(&line)?;
            end += read as u64;
        }
        drop(reader);
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end))?;
        self.digest = digest;
        self.shards = done.len();
        self.holes = holes;
        Ok(Some(done))
    }

    fn begin(&mut self, header: &BatchHeader) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        let mut line = Vec::new();
        write_line(&BatchLine::Batch(header.clone()), &mut line)?;
        self.write(&line)
    }

    /// Takes what is whole over from the file that is about to be replaced.
    fn copy_whole(&mut self, earlier: &Batch) -> io::Result<BTreeSet<String>> {
        let mut lines = Lines::default();
        let mut done = BTreeSet::new();
        for (id, place) in earlier.shards() {
            if lines.get(&earlier.path, place)?.is_whole() {
                let mut line = lines.raw(&earlier.path, place)?;
                line.push(b'\n');
                self.write(&line)?;
                self.shards += 1;
                done.insert(id.to_owned());
            }
        }
        Ok(done)
    }

    /// Adds a shard; it is there whatever becomes of this process.
    pub(super) fn add(&mut self, read: ShardRead) -> anyhow::Result<()> {
        self.holes += usize::from(!read.is_whole());
        let mut line = Vec::new();
        let written = write_line(&BatchLine::Shard(read), &mut line)
            .and_then(|()| self.write(&line))
            .map_err(|error| cannot_write(&self.path, &error));
        self.shards += 1;
        written
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.digest.write_all(line)?;
        self.file.write_all(line)
    }

    /// Ends the file and gives it its name; how many of its shards could not be read wholly.
    pub(super) fn finish(mut self) -> anyhow::Result<usize> {
        match self.end() {
            Ok(()) => Ok(self.holes),
            Err(error) => Err(cannot_write(&self.path, &error)),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        let end = BatchEnd {
            shards: self.shards,
            digest: self.digest.hex(),
        };
        let mut line = Vec::new();
        write_line(&BatchLine::End(end), &mut line)?;
        self.file.write_all(&line)?;
        self.file.sync_all()?;
        std::fs::rename(&self.partial, &self.path)?;
        let folder = self.path.parent().filter(|f| !f.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }
}

/// The batch that is there under its own name; `None` when there is none that is worth anything.
fn earlier(path: &Path, header: &BatchHeader) -> anyhow::Result<Option<Batch>> {
    let refused = |what: String, hint: &str| {
        Err(ExpectedError::usage(
            format!("{} {what}", path.display()),
            hint.to_owned(),
        ))
    };
    match Batch::read(path) {
        Ok(there) if there.header == *header => Ok(Some(there)),
        Ok(there) if there.header.plan == header.plan && there.header.tool == header.tool => {
            refused(
                format!(
                    "holds batch {} of {} of this plan",
                    there.header.index, there.header.count
                ),
                "every batch needs a file of its own; give a folder, and it gets its name there",
            )
        }
        // Of another night, or cut: there is nothing in it to be missed.
        Ok(_) | Err(BatchError::Empty | BatchError::Cut(..) | BatchError::Changed(_)) => Ok(None),
        Err(BatchError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(BatchError::Io(error)) => Err(cannot_write(path, &error)),
        Err(error @ (BatchError::Form(_) | BatchError::Newer(_))) => refused(
            format!("is not replaced: {error}"),
            "give another --out, or move the file away",
        ),
    }
}

/// The file beside it, where lines are collected.
fn partial_of(path: &Path) -> anyhow::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        ExpectedError::usage(
            format!("{} is no name for a file", path.display()),
            "--out takes a file, or a folder",
        )
    })?;
    let mut partial = std::ffi::OsString::from(".");
    partial.push(name);
    partial.push(".partial");
    Ok(path.with_file_name(partial))
}

/// The file, for its owner only, locked until this process ends; `None` when another one has it.
fn locked(path: &Path) -> io::Result<Option<File>> {
    for _try in 0..TRIES {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever had the lock may have given the file its name in the meantime: then it is not ours to write.
        let same = std::fs::metadata(path).is_ok_and(|there| {
            file.metadata()
                .is_ok_and(|ours| (there.dev(), there.ino()) == (ours.dev(), ours.ino()))
        });
        if same {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

fn cannot_write(path: &Path, error: &io::Error) -> anyhow::Error {
    ExpectedError::usage(
        format!("cannot write {}: {error}", path.display()),
        "check the folder and the disk",
    )
}
