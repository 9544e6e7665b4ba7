//! Which rows of a differing chunk differ.

use std::collections::{HashMap, HashSet};

use super::key::{Key, KeyValue};
use super::progress::{DifferingRange, TableProgress};
use super::session::{Failure, Session};
use super::walk::{Plan, Sides, Stretch, key_of};
use super::DataOptions;

/// Most rows of a side that are looked at one by one.
const MOST: usize = 200_000;

/// Finds the rows of `stretch` that differ and notes them as ranges of neighbours. Once enough are known, the rest is only
/// counted.
pub(super) async fn note(
    plan: &Plan,
    options: &DataOptions,
    sides: &mut Sides<'_>,
    stretch: Stretch<'_>,
    progress: &mut TableProgress,
) -> Result<(), Failure> {
    let Some((key, key_of_new)) = plan.keys() else {
        return Ok(());
    };
    let room = options.ranges.saturating_sub(progress.differences.len());
    if room == 0 {
        progress.more += 1;
        return Ok(());
    }
    let queries = (
        query(plan, key, true, stretch),
        query(plan, key_of_new, false, stretch),
    );
    let limit = options.chunk_deadline;
    let (old, new) = futures::join!(
        rows(&mut sides.old, &queries.0, key.width(), limit),
        rows(&mut sides.new, &queries.1, key.width(), limit)
    );
    let (old, new) = match (old, new) {
        (Ok(old), Ok(new)) if old.len().max(new.len()) <= MOST => (old, new),
        // That the chunk differs is known; where in it is not.
        (Ok(_) | Err(Failure::Deadline(_)), Ok(_) | Err(Failure::Deadline(_))) => {
            progress.more += 1;
            return Ok(());
        }
        (Err(failure), _) | (_, Err(failure)) => return Err(failure),
    };
    let found = ranges(key, &old, &new);
    progress.more += found.len().saturating_sub(room) as u64;
    progress.differences.extend(found.into_iter().take(room));
    Ok(())
}

/// A row: its key and its checksum.
type Row = (KeyValue, Vec<u8>);

fn query(plan: &Plan, key: &Key, is_old: bool, stretch: Stretch<'_>) -> String {
    format!(
        "SELECT {}, {} FROM {} ORDER BY {} LIMIT {}",
        plan.rows_of(is_old),
        key.selected(),
        plan.source(is_old, stretch),
        key.order(),
        MOST + 1
    )
}

async fn rows(
    session: &mut Session<'_>,
    query: &str,
    width: usize,
    limit: std::time::Duration,
) -> Result<Vec<Row>, Failure> {
    let rows = session.rows(query, limit).await?;
    Ok(rows
        .iter()
        .map(|row| (key_of(row, 1, width), row.bytes(0).unwrap_or_default().to_vec()))
        .collect())
}

/// Both sides are in the order of the key, which only the server can compare: they are merged by looking keys up.
fn ranges(key: &Key, old: &[Row], new: &[Row]) -> Vec<DifferingRange> {
    let in_new: HashMap<&KeyValue, &Vec<u8>> = new.iter().map(|(key, sum)| (key, sum)).collect();
    let in_old: HashSet<&KeyValue> = old.iter().map(|(key, _)| key).collect();
    let mut ranges = Ranges {
        key,
        done: Vec::new(),
        open: None,
    };
    let mut new = new.iter().peekable();
    for (value, sum) in old {
        let Some(&theirs) = in_new.get(value) else {
            ranges.add(value, |range| &mut range.only_old);
            continue;
        };
        // What only the new server has before this row.
        while let Some((extra, _)) = new.next_if(|(other, _)| other != value) {
            if !in_old.contains(extra) {
                ranges.add(extra, |range| &mut range.only_new);
            }
        }
        let _this = new.next();
        if sum == theirs {
            ranges.close();
        } else {
            ranges.add(value, |range| &mut range.changed);
        }
    }
    for (extra, _) in new.filter(|(extra, _)| !in_old.contains(extra)) {
        ranges.add(extra, |range| &mut range.only_new);
    }
    ranges.close();
    ranges.done
}

struct Ranges<'a> {
    key: &'a Key,
    done: Vec<DifferingRange>,
    /// First and last key of the range that is being made.
    open: Option<(&'a KeyValue, &'a KeyValue, DifferingRange)>,
}

impl<'a> Ranges<'a> {
    fn add(&mut self, value: &'a KeyValue, count: impl Fn(&mut DifferingRange) -> &mut u64) {
        let (_, last, range) = self.open.get_or_insert_with(|| {
            let range = DifferingRange {
                rows: String::new(),
                only_old: 0,
                only_new: 0,
                changed: 0,
            };
            (value, value, range)
        });
        *last = value;
        *count(range) += 1;
    }

    fn close(&mut self) {
        if let Some((first, last, mut range)) = self.open.take() {
            range.rows = self.key.shown(first, last);
            self.done.push(range);
        }
    }
}
