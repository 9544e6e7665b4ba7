//! A journal that somebody else keeps, between two ticks: it comes in with the state and goes out with the next one.
//!
//! While a tick lasts it lies in a database in memory, so that every rule of the journal holds for it. What goes out is
//! bounded: of each step the last record, and the last intent; the whole trail is what all ticks have printed.

use std::collections::BTreeMap;
use std::path::Path;

use atrest_model::journal::{StepEvent, StepStatus};
use atrest_model::plan::Plan;
use atrest_model::tick::TickState;

use super::chain::{Head, Link, Record};
use super::journal::Journal;
use super::{RunStore, StoreError, folder};
use crate::clock;

/// What errors call it.
const NAME: &str = "the journal of the state";
/// File that names the intent whose call was sent last from this machine.
const SENT: &str = "sent";

/// What a store was made from.
#[derive(Debug)]
pub(crate) struct Carried {
    records: BTreeMap<String, Vec<String>>,
    seq: i64,
    head: String,
}

/// What goes out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) records: BTreeMap<String, Vec<String>>,
    pub(crate) head: String,
    /// The lines that were added.
    pub(crate) lines: Vec<String>,
}

/// The first line of the trail of a new state, and its hash.
pub(crate) fn first_line(plan: &Plan, claim: &str) -> (String, String) {
    let link = Link::head(&head(plan, claim));
    (link.text(), link.hash)
}

/// The last line of a trail of so many records.
fn last_line(head: &str, records: i64) -> Link {
    Link::end(head, u64::try_from(records).unwrap_or(0))
}

fn head<'a>(plan: &'a Plan, claim: &'a str) -> Head<'a> {
    Head {
        run: plan.run.as_str(),
        plan_digest: &plan.digest,
        claim,
        adopted: false,
    }
}

impl RunStore {
    /// Makes a store of the journal that a state carries. The folder is for the lock, for reports, and for what this
    /// machine has sent; nothing in it is needed to go on elsewhere.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] when another tick on this machine has the migration, [`StoreError::Damaged`] when a record
    /// is not what was written.
    pub(crate) fn carried(
        state_dir: &Path,
        plan: &Plan,
        state: &TickState,
    ) -> Result<(Self, Carried), StoreError> {
        let run = plan.run.to_string();
        let dir = state_dir
            .join("ticks")
            .join(&run)
            .join(file_name(&state.dbi_resource_id));
        folder::make_all(&dir)?;
        folder::refuse_network(&dir, folder::file_system)?;
        let lock = folder::lock(&dir, &run, clock::now())?;
        let records = read(state)?;
        let journal = Journal::in_memory(NAME, &head(plan, &state.claim), &records)?;
        let last = records.iter().max_by_key(|record| record.seq);
        let (seq, newest) = match last {
            Some(record) => (record.seq, record.hash.clone()),
            None => (0, journal.head().hash.clone()),
        };
        if newest != state.head {
            return Err(damaged("its newest record is missing"));
        }
        let carried = Carried {
            records: state.records.clone(),
            seq,
            head: newest,
        };
        let store = Self {
            dir,
            plan: plan.clone(),
            journal,
            phases: Vec::new(),
            sitting: None,
            claim: Some(state.claim.clone()),
            adopted: false,
            resumed: state.resumed.is_some(),
            wall: clock::now,
            observer: None,
            shared: None,
            _lock: Some(lock),
        };
        Ok((store, carried))
    }

    /// Writes down that the call of a step's intent is about to be sent; `false` when that was written down before: a tick
    /// on this machine may have sent it.
    ///
    /// # Errors
    ///
    /// Any when it cannot be written: then it must not be sent.
    pub(crate) fn about_to_send(&self, migration: &str, step: &str) -> Result<bool, StoreError> {
        let Some(intent) = self.journal.last_of(migration, step)? else {
            return Ok(false);
        };
        let path = self.dir.join(SENT);
        if std::fs::read_to_string(&path).is_ok_and(|before| before == intent) {
            return Ok(false);
        }
        self.write_report(SENT, &intent)?;
        folder::sync(&self.dir)?;
        Ok(true)
    }
}

impl Carried {
    /// What the next tick goes on from. `ended` adds the last line of the trail.
    pub(crate) fn after(&self, store: &RunStore, ended: bool) -> Result<Outgoing, StoreError> {
        let mut outgoing = Outgoing {
            records: self.records.clone(),
            head: self.head.clone(),
            lines: Vec::new(),
        };
        let mut last = self.seq;
        for added in store.journal.lines_after(self.seq, &self.head)? {
            let text = added.link.text();
            let kept = outgoing.records.entry(added.step).or_default();
            if added.event == StepEvent::Intend {
                kept.clear();
            } else {
                // The last intent stays; what came after it makes way.
                kept.retain(|line| is_intent(line));
            }
            kept.push(text.clone());
            outgoing.lines.push(text);
            outgoing.head = added.link.hash;
            last = added.seq;
        }
        if ended {
            outgoing.lines.push(last_line(&outgoing.head, last).text());
        }
        Ok(outgoing)
    }
}

fn is_intent(line: &str) -> bool {
    Record::read(line).is_ok_and(|record| record.event == StepEvent::Intend.as_str())
}

/// Reads the records of a state, in order.
fn read(state: &TickState) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    for (step, lines) in &state.records {
        let mut before = None;
        for line in lines {
            let broken = |why: &str| damaged(&format!("a record of step {step}: {why}"));
            let record = Record::read(line).map_err(broken)?;
            if record.step != *step || record.migration != state.migration {
                return Err(broken("it is of another step"));
            }
            if before.is_some_and(|seq| seq >= record.seq) {
                return Err(broken("it is not in its place"));
            }
            let legal = StepEvent::parse(&record.event)
                .zip(StepStatus::parse(&record.status))
                .is_some_and(|(event, after)| event.leads_to(after));
            if !legal {
                return Err(broken("its event does not lead to its status"));
            }
            before = Some(record.seq);
            records.push(record);
        }
    }
    records.sort_by_key(|record| record.seq);
    let twice = records
        .iter()
        .zip(records.iter().skip(1))
        .any(|(a, b)| a.seq == b.seq);
    if twice {
        return Err(damaged("two records have one number"));
    }
    Ok(records)
}

fn damaged(why: &str) -> StoreError {
    StoreError::Damaged {
        file: NAME.into(),
        why: why.to_owned(),
    }
}

/// A resource id as the name of a folder.
fn file_name(id: &str) -> String {
    id.chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() || c == '-' => c,
            _ => '_',
        })
        .collect()
}
