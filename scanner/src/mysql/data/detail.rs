//! Which rows of a differing chunk differ.

use std::collections::{HashMap, HashSet};

use super::DataOptions;
use super::key::{Key, KeyValue};
use super::progress::{DifferingRange, TableProgress};
use super::session::{Failure, Session};
use super::walk::{Plan, Sides, Stretch, from_hex, key_of, to_hex};

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
    if room == 0 && progress.open.is_none() {
        progress.more = true;
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
            progress.more = true;
            progress.open = None;
            return Ok(());
        }
        (Err(failure), _) | (_, Err(failure)) => return Err(failure),
    };
    enter(key, ranges(&old, &new), room, progress);
    Ok(())
}

/// Adds what was found to the progress. Where chunks end must not show: a range that reaches the end of one chunk goes on
/// with one at the beginning of the next.
fn enter(key: &Key, mut found: Ranges<'_>, room: usize, progress: &mut TableProgress) {
    let before = progress.open.take();
    let reaches_end = found.close();
    let mut ranges = found.done.into_iter();
    let mut last = None;
    if let Some(first) = before
        && found.from_start
        && let Some(whole) = progress.differences.last_mut()
        && let Some(range) = ranges.next()
    {
        whole.only_old += range.only_old;
        whole.only_new += range.only_new;
        whole.changed += range.changed;
        whole.rows = key.shown(&from_hex(&first), range.last);
        last = Some(first);
    }
    for (at, range) in ranges.enumerate() {
        if at >= room {
            progress.more = true;
            return;
        }
        last = Some(to_hex(range.first));
        progress.differences.push(DifferingRange {
            rows: key.shown(range.first, range.last),
            only_old: range.only_old,
            only_new: range.only_new,
            changed: range.changed,
        });
    }
    progress.open = last.filter(|_| reaches_end);
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
        .map(|row| {
            (
                key_of(row, 1, width),
                row.bytes(0).unwrap_or_default().to_vec(),
            )
        })
        .collect())
}

/// Both sides are in the order of the key, which only the server can compare: they are merged by looking keys up.
fn ranges<'a>(old: &'a [Row], new: &'a [Row]) -> Ranges<'a> {
    let in_new: HashMap<&KeyValue, &Vec<u8>> = new.iter().map(|(key, sum)| (key, sum)).collect();
    let in_old: HashSet<&KeyValue> = old.iter().map(|(key, _)| key).collect();
    let mut ranges = Ranges::default();
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
            ranges.equal();
        } else {
            ranges.add(value, |range| &mut range.changed);
        }
    }
    for (extra, _) in new.filter(|(extra, _)| !in_old.contains(extra)) {
        ranges.add(extra, |range| &mut range.only_new);
    }
    ranges
}

/// Neighbouring rows that differ.
struct Found<'a> {
    first: &'a KeyValue,
    last: &'a KeyValue,
    only_old: u64,
    only_new: u64,
    changed: u64,
}

#[derive(Default)]
struct Ranges<'a> {
    done: Vec<Found<'a>>,
    open: Option<Found<'a>>,
    /// Whether an equal row was seen.
    past_equal: bool,
    /// Whether the first row of all differs.
    from_start: bool,
}

impl<'a> Ranges<'a> {
    fn add(
        &mut self,
        value: &'a KeyValue,
        count: impl for<'r> Fn(&'r mut Found<'a>) -> &'r mut u64,
    ) {
        self.from_start |= !self.past_equal;
        let range = self.open.get_or_insert(Found {
            first: value,
            last: value,
            only_old: 0,
            only_new: 0,
            changed: 0,
        });
        range.last = value;
        *count(range) += 1;
    }

    fn equal(&mut self) {
        self.past_equal = true;
        self.close();
    }

    /// Ends the range that is being made, and tells whether there was one.
    fn close(&mut self) -> bool {
        let open = self.open.take();
        let was_open = open.is_some();
        self.done.extend(open);
        was_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Row> {
        text.split_whitespace()
            .map(|row| {
                let (key, sum) = row.split_once(':').unwrap();
                (vec![key.as_bytes().to_vec()], sum.as_bytes().to_vec())
            })
            .collect()
    }

    fn found(chunks: &[(Vec<Row>, Vec<Row>)], most: usize) -> TableProgress {
        let key = Key::of_number("id");
        let mut progress = TableProgress::default();
        for (old, new) in chunks {
            if old == new {
                // As the walk does it.
                progress.open = None;
                continue;
            }
            let room = most - progress.differences.len();
            if room == 0 && progress.open.is_none() {
                progress.more = true;
                continue;
            }
            enter(&key, ranges(old, new), room, &mut progress);
        }
        progress
    }

    const OLD: &str = "1:a 2:a 3:a 4:a 6:a 7:a 9:a";
    const NEW: &str = "0:a 1:a 2:b 3:b 5:a 6:a 7:a 8:a 9:a";

    #[test]
    fn neighbours_are_one_range() {
        let progress = found(&[(rows(OLD), rows(NEW))], 20);
        let shown: Vec<(&str, u64, u64, u64)> = progress
            .differences
            .iter()
            .map(|range| {
                (
                    range.rows.as_str(),
                    range.only_old,
                    range.only_new,
                    range.changed,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("WHERE `id` = 0", 0, 1, 0),
                ("WHERE `id` >= 2 AND `id` <= 5", 1, 1, 2),
                ("WHERE `id` = 8", 0, 1, 0),
            ]
        );
        assert!(!progress.more);
    }

    #[test]
    fn where_chunks_end_does_not_show() {
        let (old, new) = (rows(OLD), rows(NEW));
        for most in 1..5 {
            let whole = found(&[(old.clone(), new.clone())], most);
            // Every way to cut the keys 0 to 9 in three.
            for (a, b) in (0..=10_u8).flat_map(|a| (a..=10).map(move |b| (a, b))) {
                let part = |rows: &[Row], from: u8, to: u8| -> Vec<Row> {
                    let within = |row: &&Row| (b'0' + from..b'0' + to).contains(&row.0[0][0]);
                    rows.iter().filter(within).cloned().collect()
                };
                let chunks: Vec<_> = [(0, a), (a, b), (b, 10)]
                    .into_iter()
                    .map(|(from, to)| (part(&old, from, to), part(&new, from, to)))
                    .filter(|(old, new)| !old.is_empty() || !new.is_empty())
                    .collect();
                let cut = found(&chunks, most);
                assert_eq!(
                    (&cut.differences, cut.more),
                    (&whole.differences, whole.more),
                    "cut at {a} and {b}, at most {most}"
                );
            }
        }
    }
}
