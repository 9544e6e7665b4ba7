//! What may begin: room in the quotas of a region, and a place among the snapshots that are copied at the same time.
//!
//! A migration that has begun keeps clients away, so nothing of it may wait for a quota later: it is begun when there is
//! room for all that it makes, and that room is promised to it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use atrest_model::document::{int_of, str_of};
use atrest_model::instance::tags_of;
use atrest_model::plan::{Action, Migration, Step, TAG_RUN};
use atrest_scanner::rds::Rds;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock;
use crate::options::FleetOptions;

/// The quotas that a migration uses up, and in words.
const QUOTAS: [(&str, &str); 3] = [
    ("DBInstances", "DB instances"),
    ("AllocatedStorage", "GiB of allocated storage"),
    ("ManualSnapshots", "manual snapshots"),
];

/// What something makes, in the order of [`QUOTAS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Need([i64; 3]);

impl Need {
    fn of(migration: &Migration, step: &Step) -> Self {
        Self(match &step.action {
            Action::Restore { request, .. }
            | Action::CreateReplica { request, .. }
            | Action::TemporaryInstance { request, .. }
            | Action::TemporaryReplica { request, .. } => {
                let storage = request.get("AllocatedStorage").and_then(Value::as_i64);
                [1, storage.unwrap_or(migration.allocated_storage), 0]
            }
            Action::Snapshot { .. } | Action::EncryptedCopy { .. } => [0, 0, 1],
            _ => [0, 0, 0],
        })
    }

    fn plus(self, other: Self) -> Self {
        let mut sum = self;
        for (to, more) in sum.0.iter_mut().zip(other.0) {
            *to += more;
        }
        sum
    }
}

fn copies(step: &Step) -> bool {
    matches!(step.action, Action::EncryptedCopy { .. })
}

/// Room that was promised to a migration.
#[derive(Debug, Default)]
struct Promise {
    /// What its steps still make; with the moment from which on a reading of the quotas shows it.
    steps: BTreeMap<String, (Need, Option<Instant>)>,
    /// Its snapshot is not copied yet.
    copies: bool,
    /// It has ended; what it has made stays promised until a reading shows it.
    ended: bool,
}

/// What is known of the quotas.
#[derive(Debug, Default)]
struct Reading {
    began: Option<Instant>,
    /// Used and most, in the order of [`QUOTAS`]; `None` for what RDS does not tell.
    quotas: [Option<(i64, i64)>; 3],
    /// Copies of others that are under way.
    copies: usize,
}

#[derive(Debug)]
struct Ledger {
    promises: BTreeMap<String, Promise>,
    reading: Reading,
    /// When nothing of the run was under way any more.
    idle_since: Instant,
}

/// The quotas of one region.
#[derive(Debug)]
pub(super) struct Admission {
    rds: Rds,
    run: String,
    most_copies: usize,
    patience: Duration,
    /// Time between two readings while somebody waits.
    pause: Duration,
    ledger: Mutex<Ledger>,
    /// Held while the quotas are read: one reading serves all who wait.
    reads: tokio::sync::Mutex<()>,
    changed: Notify,
}

/// Whether a migration may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Room {
    /// It may; what it makes is promised to it.
    Promised,
    /// Not now.
    Full(String),
    /// Nobody of this run is going to make room, and it has waited long enough.
    GivenUp(String),
}

impl Admission {
    pub(super) fn new(rds: Rds, run: &str, options: &FleetOptions, poll: Duration) -> Self {
        Self {
            rds,
            run: run.to_owned(),
            most_copies: options.copies_in_flight.max(1),
            patience: options.quota_wait,
            pause: poll * 6,
            ledger: Mutex::new(Ledger {
                promises: BTreeMap::new(),
                reading: Reading::default(),
                idle_since: clock::instant(),
            }),
            reads: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
        }
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A wave begins: what was read before does not count.
    pub(super) fn forget(&self) {
        self.ledger().reading.began = None;
    }

    /// A migration that was begun in an earlier sitting: it goes on, whatever the quotas say. `done` tells its steps that
    /// are done.
    pub(super) fn goes_on(&self, migration: &Migration, done: impl Fn(&str) -> bool) {
        let mut ledger = self.ledger();
        let promise = promise(migration, done);
        ledger.promises.insert(migration.id.clone(), promise);
    }

    /// Asks for room, reading the quotas if they have not been read lately.
    pub(super) async fn ask(&self, migration: &Migration, waiting_since: Instant) -> Room {
        self.read().await;
        let mut ledger = self.ledger();
        match ledger.full(migration, self.most_copies, self.rds.region()) {
            None => {
                let promise = promise(migration, |_| false);
                ledger.promises.insert(migration.id.clone(), promise);
                Room::Promised
            }
            Some(why) => {
                let idle = !ledger.promises.values().any(|promise| !promise.ended);
                let since = ledger.idle_since.max(waiting_since);
                if idle && since.elapsed() >= self.patience {
                    Room::GivenUp(why)
                } else {
                    Room::Full(why)
                }
            }
        }
    }

    /// Ends when it is worth while to ask again. Made before asking, it misses nothing.
    pub(super) fn change(&self) -> impl Future<Output = ()> + '_ {
        let changed = self.changed.notified();
        async move {
            let _either = clock::within(self.pause, changed).await;
        }
    }

    /// A step of a migration is done.
    pub(super) fn done(&self, migration: &str, step: &Step) {
        let mut ledger = self.ledger();
        let Some(promise) = ledger.promises.get_mut(migration) else {
            return;
        };
        if let Some((_, shown)) = promise.steps.get_mut(&step.id) {
            *shown = Some(clock::instant());
        }
        if copies(step) {
            promise.copies = false;
            drop(ledger);
            self.changed.notify_waiters();
        }
    }

    /// A migration goes no further in this sitting: what it has not made needs no room.
    pub(super) fn ended(&self, migration: &str) {
        let mut ledger = self.ledger();
        if let Some(promise) = ledger.promises.get_mut(migration) {
            promise.ended = true;
            promise.copies = false;
            promise.steps.retain(|_, (_, shown)| shown.is_some());
        }
        ledger.idle_since = clock::instant();
        drop(ledger);
        self.changed.notify_waiters();
    }

    async fn read(&self) {
        let _one = self.reads.lock().await;
        let fresh = |began: Instant| began.elapsed() < self.pause;
        if self.ledger().reading.began.is_some_and(fresh) {
            return;
        }
        let began = clock::instant();
        let (quotas, snapshots) = futures::join!(self.rds.quotas(), self.rds.manual_snapshots());
        // What may not be read is not known, as the plan has said; RDS refuses what does not fit.
        let quotas = quotas.unwrap_or_else(|error| {
            tracing::warn!("quotas of {} are not known: {error}", self.rds.region());
            Vec::new()
        });
        let of = |name: &str| {
            let row = quotas
                .iter()
                .find(|row| str_of(row, "AccountQuotaName") == Some(name))?;
            Some((int_of(row, "Used")?, int_of(row, "Max")?))
        };
        let copies = snapshots.map_or(0, |listing| {
            let theirs = |snapshot: &&Value| {
                str_of(snapshot, "Status") == Some("creating")
                    && str_of(snapshot, "SourceDBSnapshotIdentifier").is_some()
                    && tags_of(snapshot).get(TAG_RUN).copied() != Some(self.run.as_str())
            };
            listing.items.iter().filter(theirs).count()
        });
        let mut ledger = self.ledger();
        ledger.reading = Reading {
            began: Some(began),
            quotas: QUOTAS.map(|(name, _)| of(name)),
            copies,
        };
        // What was done before is in what RDS says is used.
        ledger.promises.retain(|_, promise| {
            promise
                .steps
                .retain(|_, (_, shown)| shown.is_none_or(|shown| shown >= began));
            !(promise.ended && promise.steps.is_empty())
        });
    }
}

/// What the steps of a migration make that are not done.
fn promise(migration: &Migration, done: impl Fn(&str) -> bool) -> Promise {
    let open = || migration.steps.iter().filter(|step| !done(&step.id));
    Promise {
        steps: open()
            .map(|step| (step.id.clone(), (Need::of(migration, step), None)))
            .filter(|(_, (need, _))| *need != Need::default())
            .collect(),
        copies: open().any(copies),
        ended: false,
    }
}

impl Ledger {
    /// Why there is no room for a migration, if there is none.
    fn full(&self, migration: &Migration, most_copies: usize, region: &str) -> Option<String> {
        let needs = migration
            .steps
            .iter()
            .map(|step| Need::of(migration, step))
            .fold(Need::default(), Need::plus);
        let promised = self
            .promises
            .values()
            .flat_map(|promise| promise.steps.values())
            .map(|(need, _)| *need)
            .fold(Need::default(), Need::plus);
        let rows = QUOTAS.iter().zip(needs.0).zip(promised.0);
        for ((((name, words), need), promised), quota) in rows.zip(self.reading.quotas) {
            let Some((used, most)) = quota else {
                continue;
            };
            if need > 0 && used + promised + need > most {
                return Some(format!(
                    "it makes {need} {words}, and {} of {most} are left in {region}; it waits until the quota {name} is raised or some are deleted",
                    (most - used - promised).max(0)
                ));
            }
        }
        let ours = self
            .promises
            .values()
            .filter(|promise| promise.copies)
            .count();
        (migration.steps.iter().any(copies) && ours + self.reading.copies >= most_copies).then(|| {
            format!(
                "{} snapshots are copied or about to be in {region}, and RDS allows {most_copies} at a time; it waits for one to end",
                ours + self.reading.copies
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use atrest_model::id::DbInstanceIdentifier;
    use atrest_model::plan::{Member, Method, Target};
    use serde_json::{Map, json};

    use super::*;

    fn migration(name: &str, gib: i64) -> Migration {
        let identifier = DbInstanceIdentifier::try_from(name).unwrap();
        let step = |id: &str, action| Step {
            id: id.to_owned(),
            needs: Vec::new(),
            deadline_seconds: 1,
            action,
        };
        let mut request = Map::new();
        request.insert("AllocatedStorage".to_owned(), json!(gib));
        Migration {
            id: format!("eu-central-1/{name}"),
            region: "eu-central-1".to_owned(),
            method: Method::Cold,
            not_taken: Vec::new(),
            cluster: None,
            engine: "mysql".to_owned(),
            allocated_storage: gib,
            kms_key_id: "k".to_owned(),
            source: Member {
                old_name: identifier.prefixed("old").unwrap(),
                new_name: identifier.prefixed("new").unwrap(),
                dbi_resource_id: format!("db-{name}"),
                replicates_from: None,
                digest: String::new(),
                made_by: "restore".to_owned(),
                identifier: identifier.clone(),
            },
            replicas: Vec::new(),
            notes: Vec::new(),
            wave: None,
            steps: vec![
                step(
                    "snapshot",
                    Action::Snapshot {
                        instance: Target::Old(format!("db-{name}")),
                        snapshot: "raw".to_owned(),
                        tags: Vec::new(),
                    },
                ),
                step(
                    "encrypted-copy",
                    Action::EncryptedCopy {
                        source_snapshot: "raw".to_owned(),
                        snapshot: "kms".to_owned(),
                        kms_key_id: "k".to_owned(),
                        tags: Vec::new(),
                    },
                ),
                step(
                    "restore",
                    Action::Restore {
                        snapshot: "kms".to_owned(),
                        name: identifier,
                        request,
                    },
                ),
            ],
        }
    }

    fn ledger(quotas: [Option<(i64, i64)>; 3], copies: usize) -> Ledger {
        Ledger {
            promises: BTreeMap::new(),
            reading: Reading {
                began: None,
                quotas,
                copies,
            },
            idle_since: clock::instant(),
        }
    }

    #[test]
    fn what_is_promised_is_not_given_twice() {
        let mut ledger = ledger([Some((38, 40)), Some((0, 1000)), None], 0);
        for name in ["a", "b"] {
            let next = migration(name, 100);
            assert_eq!(ledger.full(&next, 20, "eu-central-1"), None);
            ledger
                .promises
                .insert(next.id.clone(), promise(&next, |_| false));
        }
        let why = ledger
            .full(&migration("c", 100), 20, "eu-central-1")
            .unwrap();
        assert!(
            why.contains("1 DB instances, and 0 of 40 are left"),
            "{why}"
        );
        // Storage binds too, and what is not known does not.
        ledger.reading.quotas = [None, Some((0, 250)), None];
        let why = ledger
            .full(&migration("c", 100), 20, "eu-central-1")
            .unwrap();
        assert!(why.contains("50 of 250 are left"), "{why}");
        ledger.reading.quotas = [None, None, None];
        assert_eq!(ledger.full(&migration("c", 100), 20, "eu-central-1"), None);
    }

    #[test]
    fn copies_of_others_take_places_too() {
        let mut ledger = ledger([None, None, None], 18);
        for name in ["a", "b"] {
            let next = migration(name, 1);
            assert_eq!(ledger.full(&next, 20, "eu-central-1"), None);
            ledger
                .promises
                .insert(next.id.clone(), promise(&next, |_| false));
        }
        let third = migration("c", 1);
        let why = ledger.full(&third, 20, "eu-central-1").unwrap();
        assert!(why.contains("20 snapshots"), "{why}");
        // One that has copied its snapshot already goes on beside them.
        let promise = promise(&third, |step| step != "restore");
        assert!(!promise.copies);
        ledger.promises.get_mut("eu-central-1/a").unwrap().copies = false;
        assert_eq!(ledger.full(&third, 20, "eu-central-1"), None);
    }
}
