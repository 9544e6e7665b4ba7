//! A batch file that is there: whether it is whole, and where each shard is in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use atrest_model::shard::{BatchHeader, BatchLine, LineDigest, ShardRead, newer};
use serde::Deserialize;
use serde_json::Value;

/// A batch file and where its shards are. Their lines stay on the disk.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) path: PathBuf,
    pub(super) header: BatchHeader,
    places: HashMap<String, Place>,
}

/// Bytes of a line, without its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    offset: u64,
    length: usize,
}

/// Why a file is no whole batch.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("it is empty")]
    Empty,
    #[error("it is no batch file: {0}")]
    Form(String),
    #[error("its format version is {0}, which this version does not know")]
    Newer(u64),
    #[error("it ends in the middle, after {0} of {1} shards")]
    Cut(usize, usize),
    #[error("it was changed after it was written: {0}")]
    Changed(String),
}

/// What a line is, and of which shard.
#[derive(Debug)]
enum Outline {
    Batch,
    Shard(String),
    End { shards: u64, digest: String },
}

/// Looks at a line to be JSON, and keeps nothing of what is in it.
fn outline(line: &[u8]) -> Result<Outline, serde_json::Error> {
    use serde::de::Error as _;
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Kind {
        Batch,
        Shard,
        End,
    }
    // A tagged enum would hold all of the line in memory to find its tag.
    #[derive(Deserialize)]
    struct Line {
        #[serde(rename = "type")]
        kind: Kind,
        shard: Option<String>,
        shards: Option<Value>,
        digest: Option<String>,
    }
    let line: Line = serde_json::from_slice(line)?;
    let missing = serde_json::Error::missing_field;
    match line.kind {
        Kind::Batch => Ok(Outline::Batch),
        Kind::Shard => line.shard.map(Outline::Shard).ok_or(missing("shard")),
        Kind::End => {
            let shards = line.shards.as_ref().and_then(Value::as_u64);
            Ok(Outline::End {
                shards: shards.ok_or(missing("shards"))?,
                digest: line.digest.ok_or(missing("digest"))?,
            })
        }
    }
}

impl Batch {
    /// Reads the file once, line by line.
    pub(super) fn read(path: &Path) -> Result<Self, BatchError> {
        let mut file = BufReader::with_capacity(1 << 18, File::open(path)?);
        let mut line = Vec::new();
        let mut digest = LineDigest::default();
        file.read_until(b'\n', &mut line)?;
        let mut offset = line.len() as u64;
        let header = header(&line)?;
        digest.line(without_end(&line).unwrap_or(&line));
        let mut places: HashMap<String, Place> = HashMap::with_capacity(header.shards.len());
        let cut = |done: usize| BatchError::Cut(done, header.shards.len());
        loop {
            line.clear();
            let read = file.read_until(b'\n', &mut line)?;
            let Some(text) = without_end(&line) else {
                return Err(cut(places.len()));
            };
            let outline = outline(text)
                .map_err(|error| BatchError::Changed(format!("a line of it: {error}")))?;
            match outline {
                Outline::Batch => {
                    return Err(BatchError::Form("it holds two batches".to_owned()));
                }
                Outline::Shard(shard) => {
                    let place = Place {
                        offset,
                        length: text.len(),
                    };
                    if let Some((shard, _)) = places.remove_entry(&shard) {
                        return Err(BatchError::Form(format!("shard {shard} is in it twice")));
                    }
                    places.insert(shard, place);
                    digest.line(text);
                }
                Outline::End {
                    shards,
                    digest: said,
                } => {
                    if said != digest.hex() {
                        let why = "its digest is another one".to_owned();
                        return Err(BatchError::Changed(why));
                    }
                    if shards != places.len() as u64 || places.len() != header.shards.len() {
                        return Err(cut(places.len()));
                    }
                    break;
                }
            }
            offset += read as u64;
        }
        if file.read(&mut [0])? > 0 {
            return Err(BatchError::Changed("it goes on after its end".to_owned()));
        }
        if let Some(other) = header.shards.iter().find(|id| !places.contains_key(*id)) {
            let why = format!("its first line names shard {other}, which is not in it");
            return Err(BatchError::Form(why));
        }
        Ok(Self {
            path: path.to_owned(),
            header,
            places,
        })
    }

    /// Only the first line.
    pub(super) fn read_header(path: &Path) -> Result<BatchHeader, BatchError> {
        let mut line = Vec::new();
        BufReader::new(File::open(path)?).read_until(b'\n', &mut line)?;
        header(&line)
    }

    /// Its shards.
    pub(super) fn shards(&self) -> impl Iterator<Item = (&str, Place)> {
        self.places.iter().map(|(id, place)| (id.as_str(), *place))
    }
}

/// Lines of batch files, wherever they are.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The file that was read last: shards lie side by side.
    open: Option<(PathBuf, File)>,
}

impl Lines {
    /// The line of a shard, as it is.
    pub(super) fn raw(&mut self, path: &Path, place: Place) -> std::io::Result<Vec<u8>> {
        if self.open.as_ref().is_none_or(|(open, _)| open != path) {
            self.open = Some((path.to_owned(), File::open(path)?));
        }
        let mut line = vec![0; place.length];
        if let Some((_, file)) = &mut self.open {
            file.seek(SeekFrom::Start(place.offset))?;
            file.read_exact(&mut line)?;
        }
        Ok(line)
    }

    /// What was read of a shard.
    pub(super) fn get(&mut self, path: &Path, place: Place) -> std::io::Result<ShardRead> {
        let line = self.raw(path, place)?;
        Ok(serde_json::from_slice(&line)?)
    }
}

/// The first line of a file.
pub(super) fn header(line: &[u8]) -> Result<BatchHeader, BatchError> {
    if line.is_empty() {
        return Err(BatchError::Empty);
    }
    if let Some(found) = std::str::from_utf8(line).ok().and_then(newer) {
        return Err(BatchError::Newer(found));
    }
    match serde_json::from_slice(line) {
        Ok(BatchLine::Batch(header)) => Ok(header),
        Ok(BatchLine::Shard(_) | BatchLine::End(_)) => Err(BatchError::Form(
            "its first line is not that of a batch".to_owned(),
        )),
        Err(error) => Err(BatchError::Form(format!("its first line: {error}"))),
    }
}

/// A line without its end; `None` when it has none, because nobody has written it to its end.
pub(super) fn without_end(line: &[u8]) -> Option<&[u8]> {
    line.strip_suffix(b"\n")
}
