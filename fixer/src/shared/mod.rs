//! State that runners on several machines share: a lease and a copy of the journal for each DB instance, in S3.
//!
//! A lease keeps two runners apart; who may change a source is still what RDS's tags say. Nothing here reads a wall clock:
//! ends are in the store's time, and the owner counts from the moment its request was sent. See
//! docs/design/0012-shared-state.md.

mod copy;
mod error;
mod lease;
mod place;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use atrest_model::phase::Phase;
use atrest_model::plan::Plan;
use atrest_model::shared::{FORMAT, Owner, SharedObject};
use atrest_scanner::aws::{Aws, CALL_TIMEOUT};
use atrest_scanner::error::AwsError;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

pub use self::copy::RunCopy;
pub use self::error::SharedError;
pub use self::lease::Shared;
use self::place::{Bucket, Got, Objects};
pub use self::place::{InvalidSharedUrl, SharedUrl};
use crate::clock;
use crate::store::{RunStore, Sharing};

/// How long a lease lasts unless the operator says otherwise.
pub const LEASE: Duration = Duration::from_secs(300);

/// The shortest lease: a call to RDS fits into what is left after a renewal that came late.
pub const SHORTEST_LEASE: Duration = Duration::from_secs(2 * CALL_TIMEOUT.as_secs());

/// What must be left of a lease beside the longest call: the store's time is told to the second, and answers travel.
const MARGIN: Duration = Duration::from_secs(5);

/// How long after its end a lease is left alone by others.
const GRACE: SignedDuration = SignedDuration::from_secs(5);

/// Where shared state lies, and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedOptions {
    /// Bucket and prefix.
    pub url: SharedUrl,
    /// How long a lease lasts; at least [`SHORTEST_LEASE`].
    pub lease: Duration,
    /// Who we are, for other people: `user@machine`.
    pub owner: String,
}

/// Shared state, before anything of it is ours.
#[derive(Debug, Clone)]
pub struct SharedState {
    objects: Arc<dyn Objects>,
    options: SharedOptions,
    /// How long a store that does not answer is tried.
    patience: Duration,
}

/// An object as it was found.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    object: SharedObject,
    etag: String,
    /// The time of the store.
    now: Timestamp,
}

/// The objects of the migrations of a plan, as they were found.
#[derive(Debug, Clone, Default)]
pub struct Look {
    by_migration: BTreeMap<String, Found>,
}

/// An object for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The object.
    pub object: SharedObject,
    /// Whether its owner has it still.
    pub is_held: bool,
}

/// Whoever wants a lease.
#[derive(Debug, Clone, Copy)]
struct Taker<'a> {
    plan: &'a Plan,
    /// Of the run folder, once it has one.
    token: Option<&'a str>,
    /// Whether the folder was made from the copy.
    takes_up: bool,
}

impl SharedState {
    /// Shared state in S3, with the credentials of the run.
    #[must_use]
    pub fn new(aws: &Aws, options: SharedOptions) -> Self {
        let patience = patience(options.lease);
        // Several attempts fit into the patience.
        let limit = (patience / 2).max(Duration::from_secs(2));
        let objects = Arc::new(Bucket::new(aws, options.url.clone(), limit));
        Self {
            objects,
            options,
            patience,
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn url(&self) -> &SharedUrl {
        &self.options.url
    }

    /// Every object, in the order of their names.
    ///
    /// # Errors
    ///
    /// A failed call; an object that cannot be understood.
    pub async fn show(&self) -> Result<Vec<Shown>, SharedError> {
        let names = self.patiently(|| self.objects.list()).await?;
        let mut shown = Vec::new();
        for name in names {
            // It may have been deleted since.
            if let Some(found) = found(&name, self.get(&name).await?)? {
                shown.push(Shown {
                    is_held: found.is_held(),
                    object: found.object,
                });
            }
        }
        Ok(shown)
    }

    /// Looks at the objects of the migrations of a plan.
    ///
    /// # Errors
    ///
    /// A failed call; an object that cannot be understood.
    pub async fn look(&self, plan: &Plan) -> Result<Look, SharedError> {
        let mut look = Look::default();
        for migration in &plan.migrations {
            let id = &migration.source.dbi_resource_id;
            let name = place::name_of(id);
            let got = self.get(&name).await?;
            if let Some(found) = found(&name, got)? {
                found.is_of(&name, id)?;
                look.by_migration.insert(migration.id.clone(), found);
            }
        }
        Ok(look)
    }

    /// The copy of a run, for a folder that is made anew; `None` when it has left none.
    ///
    /// # Errors
    ///
    /// What keeps the run from being taken up; a failed call.
    pub async fn copy(&self, plan: &Plan, look: &Look) -> Result<Option<RunCopy>, SharedError> {
        look.check(plan, true)?;
        let objects: Vec<&SharedObject> = look
            .by_migration
            .values()
            .map(|found| &found.object)
            .filter(|object| object.run == plan.run)
            .collect();
        // All are of one journal; the longest has the last phase.
        let Some(last) = objects.iter().max_by_key(|object| object.phases.len()) else {
            return Ok(None);
        };
        let mut phases = Vec::new();
        for phase in &last.phases {
            let name = place::name_of_phase(plan.run.as_str(), &phase.to_string());
            let wrong = |why: &str| SharedError::NotOurs {
                name: name.clone(),
                why: why.to_owned(),
            };
            let got = self.get(&name).await?;
            let (bytes, _etag) = got.object.ok_or_else(|| wrong("it is missing"))?;
            let phase: Phase = serde_json::from_slice(&bytes).map_err(|e| wrong(&e.to_string()))?;
            phases.push(phase);
        }
        let copy = RunCopy::of(plan, objects, phases);
        Ok((copy.records() > 0).then_some(copy))
    }

    /// Takes the leases of every migration of the run, one after the other, and has the sitting lean on them. With `look`
    /// the folder was made from what was found then, and that must be there still.
    ///
    /// # Errors
    ///
    /// Whatever keeps us from one of them: the others are given back then, and nothing may be changed.
    pub async fn take(&self, store: &mut RunStore, look: Option<&Look>) -> Result<(), SharedError> {
        let known = store.sharing()?;
        if let Some(known) = &known
            && known.url != self.options.url.to_string()
        {
            return Err(SharedError::ElsewhereKept {
                known: known.url.clone(),
            });
        }
        let sharing = known.unwrap_or_else(|| Sharing {
            url: self.options.url.to_string(),
            token: uuid::Uuid::new_v4().to_string(),
        });
        // Before the first lease: whoever is killed after it is known by this token.
        store.share(&sharing)?;
        let mut shared = Shared::new(
            Arc::clone(&self.objects),
            Owner {
                name: self.options.owner.clone(),
                token: sharing.token,
            },
            self.options.lease,
            self.patience,
        );
        let mut migrations: Vec<_> = store.plan().migrations.iter().collect();
        // Two runners ask in the same order: one gets the first object that both want.
        migrations.sort_by_key(|migration| &migration.source.dbi_resource_id);
        for migration in migrations {
            let expected = look.map(|look| {
                let found = look.by_migration.get(&migration.id);
                found.map(|found| found.etag.as_str())
            });
            if let Err(error) = shared.take(store, migration, expected).await {
                shared
                    .give_back(|migration| copy::Copy::of(store, migration))
                    .await;
                return Err(error);
            }
        }
        store.lean_on(Arc::new(shared));
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Got, SharedError> {
        Ok(self.patiently(|| self.objects.get(name)).await?)
    }

    async fn patiently<'a, T>(
        &self,
        call: impl Fn() -> place::Answer<'a, T>,
    ) -> Result<T, AwsError> {
        patiently(self.patience, call).await
    }
}

/// `user@machine`, for people.
#[must_use]
pub fn owner_name() -> String {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let machine = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    match user {
        Some(user) => format!("{user}@{machine}"),
        None => machine,
    }
}

/// Short against the lease, long against a hiccup.
fn patience(lease: Duration) -> Duration {
    (lease / 12).clamp(Duration::from_secs(2), Duration::from_secs(30))
}

/// Calls until there is an answer, or no hope, or no patience.
async fn patiently<'a, T>(
    patience: Duration,
    call: impl Fn() -> place::Answer<'a, T>,
) -> Result<T, AwsError> {
    let began = clock::instant();
    loop {
        match call().await {
            Err(error) if error.may_pass() && goes_on(began, patience) => {
                clock::sleep(pause(patience)).await;
            }
            other => return other,
        }
    }
}

fn goes_on(began: Instant, patience: Duration) -> bool {
    began.elapsed() + pause(patience) < patience
}

fn pause(patience: Duration) -> Duration {
    patience / 8
}

impl Found {
    fn is_held(&self) -> bool {
        let end = self.object.expires.checked_add(GRACE);
        !self.object.released && end.is_ok_and(|end| self.now < end)
    }

    fn is_of(&self, name: &str, resource_id: &str) -> Result<(), SharedError> {
        if self.object.dbi_resource_id == resource_id {
            return Ok(());
        }
        Err(SharedError::NotOurs {
            name: name.to_owned(),
            why: format!("it is of {}", self.object.dbi_resource_id),
        })
    }

    /// Whether it may be taken, and the fence it has then.
    fn judge(&self, taker: &Taker<'_>) -> Result<u64, SharedError> {
        let object = &self.object;
        let is_ours = taker.token == Some(object.owner.token.as_str());
        let by = || error::By {
            migration: object.migration.clone(),
            owner: object.owner.name.clone(),
            run: object.run.to_string(),
        };
        if !is_ours && self.is_held() {
            let expires = object.expires;
            return Err(SharedError::Held { by: by(), expires });
        }
        let same_run = object.run == taker.plan.run;
        if same_run && object.plan_digest != taker.plan.digest {
            return Err(SharedError::OtherPlan { by: by() });
        }
        if is_ours && same_run {
            return Ok(object.fence);
        }
        let next = object.fence.saturating_add(1);
        // Records of the run itself are in every object.
        let has_records = object
            .journal
            .iter()
            .any(|r| r.migration == object.migration);
        match same_run {
            true if taker.takes_up || !has_records => Ok(next),
            true => Err(SharedError::Elsewhere { by: by() }),
            false if object.over => Ok(next),
            false => Err(SharedError::Unfinished { by: by() }),
        }
    }
}

impl Look {
    /// Whether a run that begins here, or is taken up, may have every lease. A look only: taking them decides.
    ///
    /// # Errors
    ///
    /// What stands in the way.
    pub fn check(&self, plan: &Plan, takes_up: bool) -> Result<(), SharedError> {
        let taker = Taker {
            plan,
            token: None,
            takes_up,
        };
        let mut found = self.by_migration.values();
        found.try_for_each(|found| found.judge(&taker).map(|_fence| ()))
    }
}

/// Reads an object.
fn found(name: &str, got: Got) -> Result<Option<Found>, SharedError> {
    let Some((bytes, etag)) = got.object else {
        return Ok(None);
    };
    let object = parse(&bytes).map_err(|why| SharedError::NotOurs {
        name: name.to_owned(),
        why,
    })?;
    let now = got.now;
    Ok(Some(Found { object, etag, now }))
}

fn parse(bytes: &[u8]) -> Result<SharedObject, String> {
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|e| format!("it is not JSON: {e}"))?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    match format {
        None => Err("it has no format".to_owned()),
        Some(newer) if newer > u64::from(FORMAT) => Err(format!(
            "it has format {newer}; this version reads up to {FORMAT}"
        )),
        Some(_) => serde_json::from_value(value).map_err(|e| e.to_string()),
    }
}
