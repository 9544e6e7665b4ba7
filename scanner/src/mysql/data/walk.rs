//! One table on both servers, chunk by chunk along a key, or in one pass.

use std::time::Duration;

use tokio::time::Instant;

use super::super::connection::NamedRow;
use super::catalog::Table;
use super::detail;
use super::guard::Guard;
use super::key::{Key, KeyValue};
use super::progress::{Sums, TableProgress};
use super::session::{Failure, Session};
use super::{DataOptions, TableName, values};

/// Rows of the first chunk, before the speed is known.
const FIRST_CHUNK: u64 = 1_000;
/// A chunk is never smaller: each costs three statements.
const SMALLEST_CHUNK: u64 = 100;
/// A chunk is never larger: the rows of a differing one are looked at one by one.
const LARGEST_CHUNK: u64 = 100_000;
/// How often a lost connection is made again for one chunk.
const RECONNECTS: u32 = 2;

/// Both servers, for statements side by side.
pub(super) struct Sides<'a> {
    pub(super) old: Session<'a>,
    pub(super) new: Session<'a>,
}

/// Everything that does not change while a table is compared.
pub(super) struct Plan {
    name: String,
    /// The key as the old and as the new server write it.
    key: Option<(Key, Key)>,
    /// The checksum of a row, likewise; `0` when rows are only counted.
    row: (String, String),
    checksums: bool,
}

/// A stretch of a table; `None` is its beginning or end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch<'a> {
    pub(super) after: Option<&'a KeyValue>,
    pub(super) up_to: Option<&'a KeyValue>,
}

/// Where a walk ends early.
pub(super) enum Stopped {
    /// The rest of this table cannot be compared.
    Table(String),
    /// The keeper said so.
    Everything,
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Table(match failure {
            Failure::Changed(reason) => {
                format!("was changed or dropped while it was compared: {reason}")
            }
            other => other.reason().to_owned(),
        })
    }
}

impl Plan {
    pub(super) fn new(name: &TableName, old: &Table, new: &Table, checksums: bool) -> Self {
        let row = if checksums {
            values::row_checksums(old, new)
        } else {
            ("0".to_owned(), "0".to_owned())
        };
        Self {
            name: name.to_string(),
            key: Key::shared(old, new),
            row,
            checksums,
        }
    }

    /// Digest of what is read and how.
    pub(super) fn definition(&self) -> String {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        for (key, row) in [
            (self.key.as_ref().map(|key| &key.0), &self.row.0),
            (self.key.as_ref().map(|key| &key.1), &self.row.1),
        ] {
            let key = key.map_or_else(String::new, |key| {
                format!(
                    "{} {} {}",
                    key.hint(),
                    key.selected(),
                    key.range(None, None)
                )
            });
            hasher.update(format!("{key}\0{row}\0"));
        }
        let digest = hasher.finalize();
        digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn keys(&self) -> Option<(&Key, &Key)> {
        self.key.as_ref().map(|(old, new)| (old, new))
    }

    pub(super) fn rows_of(&self, is_old: bool) -> &str {
        if is_old { &self.row.0 } else { &self.row.1 }
    }

    fn side(&self, is_old: bool) -> Option<&Key> {
        let (old, new) = self.keys()?;
        Some(if is_old { old } else { new })
    }

    /// `table FORCE INDEX (…) WHERE …` for a stretch.
    pub(super) fn source(&self, is_old: bool, stretch: Stretch<'_>) -> String {
        match self.side(is_old) {
            Some(key) => format!(
                "{} {} WHERE {}",
                self.name,
                key.hint(),
                key.range(stretch.after, stretch.up_to)
            ),
            None => self.name.clone(),
        }
    }

    fn sums_query(&self, is_old: bool, stretch: Stretch<'_>) -> String {
        let source = self.source(is_old, stretch);
        let row = self.rows_of(is_old);
        if self.checksums {
            format!("SELECT COUNT(*), COALESCE(SUM({row}), 0) FROM {source}")
        } else {
            format!("SELECT COUNT(*), 0 FROM {source}")
        }
    }

    fn boundary_query(&self, is_old: bool, after: Option<&KeyValue>, rows: u64) -> Option<String> {
        let key = self.side(is_old)?;
        let stretch = Stretch { after, up_to: None };
        Some(format!(
            "SELECT {} FROM {} ORDER BY {} LIMIT {}, 1",
            key.selected(),
            self.source(is_old, stretch),
            key.order(),
            rows.saturating_sub(1)
        ))
    }
}

/// What a walk needs beside the servers.
pub(super) struct Walk<'a, 'g> {
    pub(super) plan: &'a Plan,
    pub(super) guard: &'a Guard<'g>,
    pub(super) options: &'a DataOptions,
}

impl Walk<'_, '_> {
    /// Goes on from `progress` to the end of the table. `save` is called after every chunk and says whether to go on.
    pub(super) async fn run(
        &self,
        sides: &mut Sides<'_>,
        progress: &mut TableProgress,
        mut save: impl FnMut(&TableProgress) -> bool,
    ) -> Result<(), Stopped> {
        if progress.done {
            return Ok(());
        }
        // A plain count is the fastest there is; only where it is too slow the key is walked.
        let whole = self.plan.key.is_none() || !self.plan.checksums && progress.after.is_none();
        if whole {
            match self.whole(sides).await {
                Ok((old, new)) => {
                    (progress.old, progress.new) = (old, new);
                    progress.done = true;
                    return if save(progress) {
                        Ok(())
                    } else {
                        Err(Stopped::Everything)
                    };
                }
                Err(Failure::Deadline(_)) if self.plan.key.is_some() => {}
                Err(Failure::Deadline(reason)) => {
                    return Err(Stopped::Table(format!(
                        "has no unique key without NULLs to read it in chunks, and one pass took too long: {reason}"
                    )));
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        self.chunks(sides, progress, save).await
    }

    /// The whole table in one statement on each server.
    async fn whole(&self, sides: &mut Sides<'_>) -> Result<(Sums, Sums), Failure> {
        self.guard.admit().await.map_err(Failure::Other)?;
        let everything = Stretch {
            after: None,
            up_to: None,
        };
        let limit = self.options.pass_deadline;
        let mut again = self.options.retries;
        loop {
            let (old, new) = self.sums(sides, everything, limit).await?;
            if old == new || again == 0 {
                return Ok((old, new));
            }
            again -= 1;
            tokio::time::sleep(self.options.retry_pause).await;
        }
    }

    async fn chunks(
        &self,
        sides: &mut Sides<'_>,
        progress: &mut TableProgress,
        mut save: impl FnMut(&TableProgress) -> bool,
    ) -> Result<(), Stopped> {
        let mut after = progress.after.as_deref().map(from_hex);
        if progress.chunk_rows == 0 {
            progress.chunk_rows = FIRST_CHUNK;
        }
        // Whose rows are counted off. The other server takes the lead after a deadline: it may have far more in the stretch.
        let mut old_leads = true;
        let mut lost = 0;
        loop {
            self.guard.admit().await.map_err(Stopped::Table)?;
            let began = Instant::now();
            let read = self.chunk(sides, after.as_ref(), progress, old_leads).await;
            let chunk = match read {
                Ok(chunk) => chunk,
                Err(Failure::Deadline(reason)) => {
                    if progress.chunk_rows <= SMALLEST_CHUNK && !old_leads {
                        return Err(Stopped::Table(reason));
                    }
                    progress.chunk_rows = (progress.chunk_rows / 8).max(SMALLEST_CHUNK);
                    old_leads = !old_leads;
                    continue;
                }
                Err(Failure::Lost(_)) if lost < RECONNECTS => {
                    lost += 1;
                    tokio::time::sleep(self.options.retry_pause).await;
                    continue;
                }
                Err(failure) => return Err(failure.into()),
            };
            (old_leads, lost) = (true, 0);
            let took = began.elapsed();
            if chunk.old != chunk.new {
                let stretch = Stretch {
                    after: after.as_ref(),
                    up_to: chunk.up_to.as_ref(),
                };
                detail::note(self.plan, self.options, sides, stretch, progress).await?;
            } else if chunk.old.rows > 0 {
                progress.open = None;
            }
            progress.old.add(chunk.old);
            progress.new.add(chunk.new);
            progress.chunk_rows = adapted(progress.chunk_rows, took, self.options.chunk_time);
            progress.done = chunk.up_to.is_none();
            progress.after = chunk.up_to.as_ref().map(to_hex);
            after = chunk.up_to;
            if !save(progress) {
                return Err(Stopped::Everything);
            }
            if progress.done {
                return Ok(());
            }
        }
    }

    /// The next chunk, read again where it differs: on a server that replicates, a row may be on its way.
    async fn chunk(
        &self,
        sides: &mut Sides<'_>,
        after: Option<&KeyValue>,
        progress: &TableProgress,
        old_leads: bool,
    ) -> Result<Chunk, Failure> {
        let limit = self.options.chunk_deadline;
        let lead = if old_leads {
            &mut sides.old
        } else {
            &mut sides.new
        };
        let up_to = match self
            .plan
            .boundary_query(old_leads, after, progress.chunk_rows)
        {
            Some(query) => lead.rows(&query, limit).await?,
            None => Vec::new(),
        };
        let up_to = up_to.first().map(|row| key_of(row, 0, self.width()));
        let stretch = Stretch {
            after,
            up_to: up_to.as_ref(),
        };
        let (mut old, mut new) = self.sums(sides, stretch, limit).await?;
        // A table that differs in many places does not differ because something is on its way.
        let again = match progress.differences.len() {
            0..10 => self.options.retries,
            10.. => 0,
        };
        for _ in 0..again {
            if old == new {
                break;
            }
            tokio::time::sleep(self.options.retry_pause).await;
            (old, new) = self.sums(sides, stretch, limit).await?;
        }
        Ok(Chunk { up_to, old, new })
    }

    fn width(&self) -> usize {
        self.plan.keys().map_or(0, |(old, _)| old.width())
    }

    /// One stretch on both servers at the same time.
    async fn sums(
        &self,
        sides: &mut Sides<'_>,
        stretch: Stretch<'_>,
        limit: Duration,
    ) -> Result<(Sums, Sums), Failure> {
        let queries = (
            self.plan.sums_query(true, stretch),
            self.plan.sums_query(false, stretch),
        );
        // Both are waited for: a connection whose answer nobody reads is of no more use.
        let (old, new) = futures::join!(
            sides.old.rows(&queries.0, limit),
            sides.new.rows(&queries.1, limit)
        );
        Ok((sums_of(&old?)?, sums_of(&new?)?))
    }
}

struct Chunk {
    up_to: Option<KeyValue>,
    old: Sums,
    new: Sums,
}

fn sums_of(rows: &[NamedRow]) -> Result<Sums, Failure> {
    let number = |at: usize| rows.first().and_then(|row| row.text(at));
    let sums = number(0)
        .and_then(|rows| rows.parse().ok())
        .zip(number(1).and_then(|sum| sum.parse().ok()))
        .map(|(rows, checksum)| Sums { rows, checksum });
    match sums {
        Some(sums) if !values::is_unhashed(sums.checksum) => Ok(sums),
        _ => Err(Failure::Other(
            "the server could not compute the checksum of some row".to_owned(),
        )),
    }
}

/// The key in a row of an answer.
pub(super) fn key_of(row: &NamedRow, first: usize, width: usize) -> KeyValue {
    (first..first + width)
        .map(|at| row.bytes(at).unwrap_or_default().to_vec())
        .collect()
}

/// Rows of the next chunk so that it takes about `target`: at most doubled, at most quartered.
fn adapted(rows: u64, took: Duration, target: Duration) -> u64 {
    let factor = target.as_secs_f64() / took.as_secs_f64().max(1e-6);
    // Within the clamp there is nothing to lose in the conversion.
    let next = (rows as f64 * factor.clamp(0.25, 2.0)) as u64;
    next.clamp(SMALLEST_CHUNK, LARGEST_CHUNK)
}

pub(super) fn to_hex(key: &KeyValue) -> Vec<String> {
    let one = |value: &Vec<u8>| value.iter().map(|byte| format!("{byte:02x}")).collect();
    key.iter().map(one).collect()
}

pub(super) fn from_hex(key: &[String]) -> KeyValue {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default();
    let byte = |pair: &[u8]| {
        let value = pair.iter().fold(0, |value, &byte| value << 4 | digit(byte));
        // Two digits of four bits.
        u8::try_from(value).unwrap_or_default()
    };
    key.iter()
        .map(|text| text.as_bytes().chunks(2).map(byte).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_follow_the_speed_of_the_servers_within_bounds() {
        let half = Duration::from_millis(500);
        assert_eq!(adapted(1_000, Duration::from_millis(500), half), 1_000);
        assert_eq!(adapted(1_000, Duration::from_millis(1), half), 2_000);
        assert_eq!(adapted(1_000, Duration::from_secs(60), half), 250);
        assert_eq!(adapted(100, Duration::from_secs(60), half), SMALLEST_CHUNK);
        assert_eq!(adapted(100_000, Duration::ZERO, half), LARGEST_CHUNK);
    }

    #[test]
    fn keys_survive_being_kept() {
        let key = vec![b"a'\0\xff".to_vec(), Vec::new(), b"7".to_vec()];
        assert_eq!(from_hex(&to_hex(&key)), key);
    }
}
