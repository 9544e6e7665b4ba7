//! The leases of a sitting: taken, renewed with each record, given back; and what becomes of a migration whose lease is
//! lost.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use atrest_model::Tool;
use atrest_model::plan::Migration;
use atrest_model::shared::{FORMAT, Owner, SharedObject};
use atrest_scanner::aws::CALL_TIMEOUT;
use atrest_scanner::error::AwsError;
use futures::stream::{self, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;

use super::copy::Copy;
use super::place::{self, Got, Objects, Put, When};
use super::{Found, MARGIN, SharedError, Taker, found, goes_on, patiently, pause};
use crate::clock;
use crate::executor::SharedStore;
use crate::store::{RunStore, StoreError};

/// Writes at the same time.
const WRITES: usize = 16;

/// The leases of a sitting.
#[derive(Debug)]
pub struct Shared {
    objects: Arc<dyn Objects>,
    owner: Owner,
    lease: Duration,
    patience: Duration,
    held: BTreeMap<String, Held>,
    /// Migrations with records that their objects lack.
    changed: StdMutex<BTreeSet<String>>,
    wake: Notify,
    /// Why the documents of the phases are not beside the objects.
    unpublished: StdMutex<Option<String>>,
}

/// The lease of a migration.
#[derive(Debug)]
struct Held {
    migration: Migration,
    name: String,
    /// One write at a time: each needs the ETag of the one before.
    chain: Mutex<Chain>,
    state: watch::Sender<State>,
}

/// The object as we know it.
#[derive(Debug)]
struct Chain {
    body: SharedObject,
    etag: String,
    /// What surely lies there, and what may, because an answer was lost.
    bytes: Vec<u8>,
    unsure: Vec<Vec<u8>>,
    /// The time of the store, and when we had it.
    now: Timestamp,
    at: Instant,
}

#[derive(Debug, Clone)]
struct State {
    until: Instant,
    /// Why the last renewal failed.
    failed: Option<String>,
    lost: Option<String>,
}

/// Why a write did not come about.
#[derive(Debug)]
enum NotWritten {
    /// The object is not ours any more.
    Lost(String),
    /// The store or the journal failed.
    Failed(String),
}

impl Chain {
    /// The end of a lease that is written now, in the store's time.
    fn end(&self, lease: Duration) -> Timestamp {
        end(self.now, self.at, lease)
    }
}

fn end(now: Timestamp, at: Instant, lease: Duration) -> Timestamp {
    let later = SignedDuration::try_from(at.elapsed() + lease).unwrap_or(SignedDuration::MAX);
    now.saturating_add(later).unwrap_or(Timestamp::MAX)
}

impl Shared {
    pub(super) fn new(
        objects: Arc<dyn Objects>,
        owner: Owner,
        lease: Duration,
        patience: Duration,
    ) -> Self {
        Self {
            objects,
            owner,
            lease,
            patience,
            held: BTreeMap::new(),
            changed: StdMutex::default(),
            wake: Notify::new(),
            unpublished: StdMutex::default(),
        }
    }

    /// Takes the lease of one migration. `expected` is the ETag that its object must have, or that there must be none.
    pub(super) async fn take(
        &mut self,
        store: &RunStore,
        migration: &Migration,
        expected: Option<Option<&str>>,
    ) -> Result<(), SharedError> {
        let name = place::name_of(&migration.source.dbi_resource_id);
        let taker = Taker {
            plan: store.plan(),
            token: Some(&self.owner.token),
            takes_up: expected.is_some(),
        };
        let copy = Copy::of(store, migration)?;
        let began = clock::instant();
        let mut unsure: Vec<Vec<u8>> = Vec::new();
        loop {
            let got = patiently(self.patience, || self.objects.get(&name)).await?;
            let (now, at) = (got.now, clock::instant());
            let is_written = got
                .object
                .as_ref()
                .is_some_and(|(bytes, _etag)| unsure.contains(bytes));
            let there = found(&name, got)?;
            let etag = there.as_ref().map(|found| found.etag.as_str());
            if !is_written && expected.is_some_and(|expected| expected != etag) {
                let migration = migration.id.clone();
                return Err(SharedError::Moved { migration });
            }
            let (fence, when) = match &there {
                None => (1, When::Absent),
                Some(found) => {
                    found.is_of(&name, &migration.source.dbi_resource_id)?;
                    (found.judge(&taker)?, When::Is(found.etag.clone()))
                }
            };
            let body = self.body(
                store,
                migration,
                copy.clone(),
                fence,
                end(now, at, self.lease),
            );
            let bytes = bytes(&body)?;
            unsure.push(bytes.clone());
            let sent = clock::instant();
            match self.objects.put(&name, bytes.clone(), &when).await {
                Ok(Put::Written { now, etag }) => {
                    let chain = Chain {
                        body,
                        etag,
                        bytes,
                        unsure: Vec::new(),
                        now,
                        at: clock::instant(),
                    };
                    self.held.insert(
                        migration.id.clone(),
                        Held {
                            migration: migration.clone(),
                            name,
                            chain: Mutex::new(chain),
                            state: watch::Sender::new(State {
                                until: sent + self.lease,
                                failed: None,
                                lost: None,
                            }),
                        },
                    );
                    return Ok(());
                }
                // Somebody was faster, or it is our own write whose answer was lost: the next look tells.
                Ok(Put::NotAsExpected) => {}
                Err(error) if error.may_pass() && goes_on(began, self.patience) => {
                    clock::sleep(pause(self.patience)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn body(
        &self,
        store: &RunStore,
        migration: &Migration,
        copy: Copy,
        fence: u64,
        expires: Timestamp,
    ) -> SharedObject {
        let plan = store.plan();
        SharedObject {
            format: FORMAT,
            tool: Tool::current(),
            dbi_resource_id: migration.source.dbi_resource_id.clone(),
            migration: migration.id.clone(),
            run: plan.run.clone(),
            plan_digest: plan.digest.clone(),
            owner: self.owner.clone(),
            fence,
            expires,
            released: false,
            over: copy.over,
            claim: store.claim().map(str::to_owned),
            phases: copy.phases,
            journal: copy.journal,
        }
    }

    /// Writes the object of a migration: the copy as it is now, and a new end.
    async fn write(
        &self,
        held: &Held,
        copy: impl FnOnce(&Migration) -> Result<Copy, StoreError>,
        released: bool,
    ) -> Result<(), NotWritten> {
        let mut chain = held.chain.lock().await;
        if let Some(why) = &held.state.borrow().lost {
            return Err(NotWritten::Lost(why.clone()));
        }
        let written = self.write_chain(&mut chain, held, copy, released).await;
        held.state.send_modify(|state| match &written {
            Ok(until) => {
                state.until = *until;
                state.failed = None;
            }
            Err(NotWritten::Failed(why)) => state.failed = Some(why.clone()),
            Err(NotWritten::Lost(why)) => state.lost = Some(why.clone()),
        });
        written.map(|_until| ())
    }

    /// The moment until which the lease is ours.
    async fn write_chain(
        &self,
        chain: &mut Chain,
        held: &Held,
        copy: impl FnOnce(&Migration) -> Result<Copy, StoreError>,
        released: bool,
    ) -> Result<Instant, NotWritten> {
        let failed = |why: &dyn std::fmt::Display| NotWritten::Failed(why.to_string());
        let Copy {
            journal,
            over,
            phases,
        } = copy(&held.migration).map_err(|e| failed(&e))?;
        let began = clock::instant();
        loop {
            let body = SharedObject {
                journal: journal.clone(),
                over,
                phases: phases.clone(),
                released,
                expires: chain.end(self.lease),
                ..chain.body.clone()
            };
            let bytes = bytes(&body).map_err(|e| failed(&e))?;
            chain.unsure.push(bytes.clone());
            let sent = clock::instant();
            let when = When::Is(chain.etag.clone());
            match self.objects.put(&held.name, bytes.clone(), &when).await {
                Ok(Put::Written { now, etag }) => {
                    chain.body = body;
                    chain.etag = etag;
                    chain.bytes = bytes;
                    chain.unsure.clear();
                    chain.now = now;
                    chain.at = clock::instant();
                    return Ok(sent + self.lease);
                }
                Ok(Put::NotAsExpected) => {
                    let got = patiently(self.patience, || self.objects.get(&held.name)).await;
                    chain.recognize(&held.name, got.map_err(|e| failed(&e))?)?;
                }
                Err(error) if error.may_pass() && goes_on(began, self.patience) => {
                    clock::sleep(pause(self.patience)).await;
                }
                Err(error) => return Err(failed(&error)),
            }
            if !goes_on(began, self.patience) {
                return Err(failed(&"the store gave no answer that lasts"));
            }
        }
    }

    /// Before a mutation: the copy has the intent, the object was ours a moment ago, and more of the lease is left than
    /// the call can take. Otherwise why not.
    pub(crate) async fn confirm(&self, migration: &str, store: &SharedStore) -> Result<(), String> {
        let Some(held) = self.held.get(migration) else {
            return Err(format!("there is no lease on {migration}"));
        };
        if let Some(why) = &*self.lock_unpublished() {
            return Err(why.clone());
        }
        let copy = |migration: &Migration| Copy::of(&store.get(), migration);
        match self.write(held, copy, false).await {
            Ok(()) => {}
            Err(NotWritten::Lost(why)) => return Err(lost(held, &why)),
            Err(NotWritten::Failed(why)) => {
                return Err(format!(
                    "nothing is changed without the lease on {}, and it could not be renewed: {why}",
                    held.name
                ));
            }
        }
        let left = held.state.borrow().until - clock::instant();
        if left > CALL_TIMEOUT + MARGIN {
            Ok(())
        } else {
            Err(format!(
                "only {} s of the lease on {} are left, less than a call may take",
                left.as_secs(),
                held.name
            ))
        }
    }

    /// Returns when the lease of a migration is lost, with the reason. Never for one that has none.
    pub(crate) async fn lost(&self, migration: &str) -> String {
        let Some(held) = self.held.get(migration) else {
            return std::future::pending().await;
        };
        let mut state = held.state.subscribe();
        loop {
            let now = state.borrow_and_update().clone();
            if let Some(why) = now.lost {
                return lost(held, &why);
            }
            let left = now.until - clock::instant();
            if left.is_zero() {
                let why = now.failed.map_or_else(
                    || "it was not renewed before its end".to_owned(),
                    |why| format!("it was not renewed before its end: {why}"),
                );
                held.state.send_modify(|state| state.lost = Some(why));
                continue;
            }
            tokio::select! {
                _changed = state.changed() => {}
                () = clock::sleep(left) => {}
            }
        }
    }

    /// What a future gives, unless the lease is lost before.
    pub(crate) async fn while_held<T>(
        &self,
        migration: &str,
        future: impl Future<Output = T>,
    ) -> Result<T, String> {
        tokio::select! {
            biased;
            done = future => Ok(done),
            why = self.lost(migration) => Err(why),
        }
    }

    /// The journal of a migration has a new record: its copy follows soon.
    pub(crate) fn changed(&self, migration: &str) {
        self.lock_changed().insert(migration.to_owned());
        self.wake.notify_one();
    }

    fn lock_changed(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews beside `work`, and gives back when that has ended.
    pub(crate) async fn during<T>(&self, store: &SharedStore, work: impl Future<Output = T>) -> T {
        if let Err(why) = self.publish(store).await {
            *self.lock_unpublished() = Some(why);
        }
        // Whatever was read between the taking and now may have taken longer than the lease.
        let _any_failed = self.renew(store, None).await;
        let done = tokio::select! {
            biased;
            done = work => done,
            never = self.renewing(store) => match never {},
        };
        self.give_back(|migration| Copy::of(&store.get(), migration))
            .await;
        done
    }

    /// Puts the documents of the phases beside the objects. They are never changed.
    async fn publish(&self, store: &SharedStore) -> Result<(), String> {
        let phases = store.get().phases().to_vec();
        for phase in phases {
            let name = place::name_of_phase(phase.run.as_str(), &phase.phase.to_string());
            let failed = |why: &dyn std::fmt::Display| {
                format!("nothing is changed before {name} is in the shared state: {why}")
            };
            let bytes = serde_json::to_vec_pretty(&phase).map_err(|e| failed(&e))?;
            let put = patiently(self.patience, || {
                self.objects.put(&name, bytes.clone(), &When::Absent)
            });
            if put.await.map_err(|e| failed(&e))? == Put::NotAsExpected {
                let got = patiently(self.patience, || self.objects.get(&name)).await;
                let there = got.map_err(|e| failed(&e))?.object;
                if there.is_none_or(|(there, _etag)| there != bytes) {
                    return Err(failed(&"another phase of this name is there"));
                }
            }
        }
        Ok(())
    }

    fn lock_unpublished(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        let unpublished = &self.unpublished;
        unpublished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn renewing(&self, store: &SharedStore) -> Infallible {
        let mut soon = false;
        loop {
            // A renewal that failed is tried again well before the end.
            let wait = if soon {
                pause(self.lease)
            } else {
                self.lease / 3
            };
            let due = clock::instant() + wait;
            loop {
                let left = due - clock::instant();
                if left.is_zero() {
                    break;
                }
                tokio::select! {
                    biased;
                    () = clock::sleep(left) => {}
                    () = self.wake.notified() => {
                        let changed = std::mem::take(&mut *self.lock_changed());
                        let _any_failed = self.renew(store, Some(&changed)).await;
                    }
                }
            }
            soon = self.renew(store, None).await;
        }
    }

    /// Renews all leases or some. Whether one failed that is not lost.
    async fn renew(&self, store: &SharedStore, which: Option<&BTreeSet<String>>) -> bool {
        let held = self
            .held
            .iter()
            .filter(|(id, _held)| which.is_none_or(|which| which.contains(*id)));
        let written = stream::iter(held)
            .map(|(_id, held)| {
                self.write(held, |migration| Copy::of(&store.get(), migration), false)
            })
            .buffer_unordered(WRITES)
            .collect::<Vec<_>>()
            .await;
        written
            .iter()
            .any(|written| matches!(written, Err(NotWritten::Failed(_))))
    }

    /// Gives every lease back that is still ours.
    pub(super) async fn give_back(&self, copy: impl Fn(&Migration) -> Result<Copy, StoreError>) {
        let copy = &copy;
        stream::iter(self.held.values())
            .for_each_concurrent(WRITES, |held| async move {
                match self.write(held, copy, true).await {
                    // One that was lost has been told.
                    Ok(()) | Err(NotWritten::Lost(_)) => {}
                    Err(NotWritten::Failed(why)) => tracing::warn!(
                        "the lease on {} could not be given back and ends by itself: {why}",
                        held.name
                    ),
                }
            })
            .await;
    }
}

impl Chain {
    /// The object is not what we thought. Whether it is one of our writes whose answer was lost.
    fn recognize(&mut self, name: &str, got: Got) -> Result<(), NotWritten> {
        let Some((bytes, etag)) = &got.object else {
            return Err(NotWritten::Lost("somebody has deleted it".to_owned()));
        };
        if *bytes == self.bytes || self.unsure.contains(bytes) {
            self.bytes.clone_from(bytes);
            self.etag.clone_from(etag);
            self.now = got.now;
            self.at = clock::instant();
            return Ok(());
        }
        let why = match found(name, got) {
            Ok(Some(Found { object, .. })) if object.owner != self.body.owner => format!(
                "{} has taken it over, run {}, fence {}",
                object.owner.name, object.run, object.fence
            ),
            _ => "somebody has changed it".to_owned(),
        };
        Err(NotWritten::Lost(why))
    }
}

fn lost(held: &Held, why: &str) -> String {
    format!(
        "the lease on {} is lost: {why}; nothing more is sent",
        held.name
    )
}

fn bytes(body: &SharedObject) -> Result<Vec<u8>, AwsError> {
    serde_json::to_vec_pretty(body).map_err(|e| AwsError {
        operation: "PutObject",
        region: String::new(),
        kind: atrest_scanner::error::AwsErrorKind::InvalidRequest,
        code: None,
        message: e.to_string(),
    })
}
