//! Leases on a store that obeys the test: its time, its outages, its lost answers.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use atrest_model::id::RunId;
use atrest_model::journal::{StepEvent, StepStatus};
use atrest_model::plan::{self, DataCheck, MysqlAccess};
use atrest_scanner::error::AwsErrorKind;
use serde_json::json;

use super::place::{Answer, Got, Put, When, name_of};
use super::*;
use crate::executor::SharedStore;

/// What befalls a write.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// It does not arrive.
    Refused,
    /// It is done, and the answer is lost.
    AnswerLost,
}

#[derive(Debug)]
struct Inner {
    objects: BTreeMap<String, (Vec<u8>, u64)>,
    writes: u64,
    now: Timestamp,
    down: bool,
    fates: VecDeque<Fate>,
}

/// A store in memory.
#[derive(Debug)]
struct Fake(Mutex<Inner>);

impl Fake {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner {
            objects: BTreeMap::new(),
            writes: 0,
            // Nobody's wall clock.
            now: "1999-12-31T23:00:00Z".parse().unwrap(),
            down: false,
            fates: VecDeque::new(),
        })))
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time passes for the store.
    fn pass(&self, seconds: i64) {
        let mut inner = self.inner();
        inner.now += SignedDuration::from_secs(seconds);
    }

    fn object(&self, id: &str) -> SharedObject {
        parse(&self.inner().objects[&name_of(id)].0).unwrap()
    }

    /// Somebody edits it by hand.
    fn edit(&self, id: &str, edit: impl FnOnce(&mut SharedObject)) {
        let mut object = self.object(id);
        edit(&mut object);
        let bytes = serde_json::to_vec_pretty(&object).unwrap();
        let mut inner = self.inner();
        inner.writes += 1;
        let etag = inner.writes;
        inner.objects.insert(name_of(id), (bytes, etag));
    }
}

fn down() -> AwsError {
    AwsError {
        operation: "PutObject",
        region: "r".to_owned(),
        kind: AwsErrorKind::Unreachable,
        code: None,
        message: "nobody answers".to_owned(),
    }
}

impl Objects for Fake {
    fn get<'a>(&'a self, name: &'a str) -> Answer<'a, Got> {
        Box::pin(async move {
            let inner = self.inner();
            if inner.down {
                return Err(down());
            }
            let object = inner.objects.get(name);
            Ok(Got {
                now: inner.now,
                object: object.map(|(bytes, etag)| (bytes.clone(), etag.to_string())),
            })
        })
    }

    fn put<'a>(&'a self, name: &'a str, body: Vec<u8>, when: &'a When) -> Answer<'a, Put> {
        Box::pin(async move {
            let mut inner = self.inner();
            let fate = inner.fates.pop_front();
            if inner.down || fate == Some(Fate::Refused) {
                return Err(down());
            }
            let there = inner
                .objects
                .get(name)
                .map(|(_bytes, etag)| etag.to_string());
            let fits = match (when, there) {
                (When::Absent, None) => true,
                (When::Is(wanted), Some(there)) => *wanted == there,
                (When::Absent, Some(_)) | (When::Is(_), None) => false,
            };
            if !fits {
                return Ok(Put::NotAsExpected);
            }
            inner.writes += 1;
            let etag = inner.writes;
            inner.objects.insert(name.to_owned(), (body, etag));
            if fate == Some(Fate::AnswerLost) {
                return Err(down());
            }
            Ok(Put::Written {
                now: inner.now,
                etag: etag.to_string(),
            })
        })
    }

    fn list(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async move { Ok(self.inner().objects.keys().cloned().collect()) })
    }
}

const A: &str = "eu-central-1/a";
const B: &str = "eu-central-1/b";

fn plan(run: &str) -> Plan {
    let migration = |name: &str| {
        let member = json!({"identifier": name, "old_name": format!("old-{name}"), "new_name": format!("new-{name}"),
            "dbi_resource_id": format!("db-{}", name.to_uppercase()), "replicates_from": null, "digest": "d", "made_by": "restore"});
        let step = |id: &str, needs: &[&str], action: serde_json::Value| json!({"id": id, "needs": needs, "deadline_seconds": 60, "action": action});
        serde_json::from_value(json!({"id": format!("eu-central-1/{name}"), "region": "eu-central-1", "method": "cold",
            "engine": "mariadb", "allocated_storage": 20, "kms_key_id": "k", "source": member, "replicas": [], "notes": [],
            "steps": [
                step("claim", &[], json!({"kind": "claim", "instance": {"old": format!("db-{}", name.to_uppercase())}, "tags": []})),
                step("validate", &["claim"], json!({"kind": "validate"})),
            ]}))
        .unwrap()
    };
    Plan {
        schema_version: plan::SCHEMA_VERSION,
        tool: atrest_model::Tool::current(),
        run: RunId::try_from(run.to_owned()).unwrap(),
        created: Timestamp::UNIX_EPOCH,
        rehearsal_of: None,
        account: "111122223333".to_owned(),
        mysql: MysqlAccess::Required,
        data_check: DataCheck::Counts,
        waves: Vec::new(),
        hooks: Vec::new(),
        migrations: vec![migration("b"), migration("a")],
        left_out: Vec::new(),
        checks: Vec::new(),
        digest: String::new(),
    }
    .sealed()
}

/// An operator with a machine.
struct Operator {
    state: SharedState,
    dir: tempfile::TempDir,
}

impl Operator {
    fn with_lease(fake: &Arc<Fake>, name: &str, lease: Duration) -> Self {
        let objects: Arc<dyn Objects> = Arc::<Fake>::clone(fake);
        Self {
            state: SharedState {
                objects,
                options: SharedOptions {
                    url: "s3://state/x".parse().unwrap(),
                    lease,
                    owner: name.to_owned(),
                },
                patience: Duration::from_millis(40),
            },
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn new(fake: &Arc<Fake>, name: &str) -> Self {
        Self::with_lease(fake, name, LEASE)
    }

    async fn begin(&self, run: &str) -> Result<SharedStore, SharedError> {
        let mut store = RunStore::create(self.dir.path(), plan(run))?;
        self.state.take(&mut store, None).await?;
        Ok(SharedStore::new(store))
    }

    async fn adopt(&self, run: &str) -> Result<SharedStore, SharedError> {
        let plan = plan(run);
        let look = self.state.look(&plan).await?;
        let copy = self.state.copy(&plan, &look).await?.unwrap();
        let mut store = RunStore::restore(self.dir.path(), plan, &copy)?;
        self.state.take(&mut store, Some(&look)).await?;
        Ok(SharedStore::new(store))
    }
}

fn shared(store: &SharedStore) -> Arc<Shared> {
    Arc::clone(store.get().shared().unwrap())
}

fn record(store: &SharedStore, migration: &str, step: &str, events: &[StepEvent]) {
    for event in events {
        store
            .get()
            .record(migration, step, *event, &json!({"of": migration}))
            .unwrap();
    }
}

const WHOLE: [StepEvent; 3] = [StepEvent::Intend, StepEvent::Accept, StepEvent::Finish];

#[tokio::test]
async fn the_second_is_told_who_has_it_and_takes_over_when_it_has_ended() {
    let fake = Fake::new();
    let (alice, bob) = (
        Operator::new(&fake, "alice@a"),
        Operator::new(&fake, "bob@b"),
    );
    let first = alice.begin("r").await.unwrap();
    record(&first, A, "claim", &WHOLE);
    record(&first, A, "validate", &[StepEvent::Intend]);
    shared(&first).confirm(A, &first).await.unwrap();
    assert_eq!(fake.object("db-A").fence, 1);
    assert_eq!(fake.object("db-A").journal.len(), 4);

    // One lease and the grace are not over yet.
    fake.pass(304);
    let refused = bob.adopt("r").await.map(|_store| ()).unwrap_err();
    assert!(refused.to_string().contains("alice@a, run r"), "{refused}");
    assert!(refused.may_pass());
    let refused = bob.begin("r").await.map(|_store| ()).unwrap_err();
    assert!(matches!(refused, SharedError::Held { .. }), "{refused}");

    fake.pass(2);
    let carol = Operator::new(&fake, "carol@c");
    let second = carol.adopt("r").await.unwrap();
    for id in ["db-A", "db-B"] {
        assert_eq!(fake.object(id).fence, 2);
        assert_eq!(fake.object(id).owner.name, "carol@c");
    }
    // She claims for herself; everything else is known.
    let steps = second.get().steps(A).unwrap();
    assert!(!steps.contains_key("claim"));
    assert_eq!(steps["validate"].status, StepStatus::Intended);
    assert!(second.get().is_adopted());
    assert_ne!(second.get().claim(), first.get().claim());

    let why = shared(&first).confirm(A, &first).await.unwrap_err();
    assert!(
        why.contains("carol@c has taken it over, run r, fence 2"),
        "{why}"
    );
    assert!(shared(&first).lost(A).await.contains("carol@c"));
}

#[tokio::test]
async fn a_folder_that_was_left_behind_does_not_go_on() {
    let fake = Fake::new();
    let (alice, bob) = (
        Operator::new(&fake, "alice@a"),
        Operator::new(&fake, "bob@b"),
    );
    let first = alice.begin("r").await.unwrap();
    record(&first, A, "claim", &WHOLE);
    record(&first, A, "validate", &[StepEvent::Intend]);
    shared(&first).confirm(A, &first).await.unwrap();
    drop(first);
    // Killed, and taken up by its own folder before the lease has ended.
    let mut again = RunStore::open(alice.dir.path(), "r").unwrap();
    alice.state.take(&mut again, None).await.unwrap();
    assert_eq!(fake.object("db-A").fence, 1);
    drop(again);

    fake.pass(400);
    let second = bob.adopt("r").await.unwrap();
    let work = async { 7 };
    assert_eq!(shared(&second).during(&second, work).await, 7);
    assert!(fake.object("db-A").released);
    let mut first = RunStore::open(alice.dir.path(), "r").unwrap();
    let refused = alice.state.take(&mut first, None).await.unwrap_err();
    assert!(
        matches!(refused, SharedError::Elsewhere { .. }),
        "{refused}"
    );
    assert!(!refused.may_pass());
}

#[tokio::test]
async fn only_what_is_over_is_free_for_another_run() {
    let fake = Fake::new();
    let (alice, bob) = (
        Operator::new(&fake, "alice@a"),
        Operator::new(&fake, "bob@b"),
    );
    let first = alice.begin("r").await.unwrap();
    record(&first, B, "claim", &WHOLE);
    shared(&first).during(&first, async {}).await;
    assert!(fake.object("db-A").over && !fake.object("db-B").over);
    let refused = bob.begin("other").await.map(|_store| ()).unwrap_err();
    assert!(
        matches!(refused, SharedError::Unfinished { .. }),
        "{refused}"
    );
    // What it had got by then is given back.
    assert!(fake.object("db-A").released);

    drop(first);
    let mut again = RunStore::open(alice.dir.path(), "r").unwrap();
    alice.state.take(&mut again, None).await.unwrap();
    let again = SharedStore::new(again);
    record(&again, B, "validate", &[StepEvent::Finish]);
    shared(&again).during(&again, async {}).await;
    assert!(fake.object("db-B").over);
    let carol = Operator::new(&fake, "carol@c");
    carol.begin("other").await.unwrap();
    assert_eq!(fake.object("db-B").run.as_str(), "other");
    assert!(fake.object("db-B").journal.is_empty());
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_ours() {
    let fake = Fake::new();
    let alice = Operator::new(&fake, "alice@a");
    fake.inner().fates = [Fate::Refused, Fate::AnswerLost].into();
    let store = alice.begin("r").await.unwrap();
    fake.inner().fates = [Fate::AnswerLost, Fate::AnswerLost, Fate::Refused].into();
    record(&store, A, "claim", &WHOLE);
    shared(&store).confirm(A, &store).await.unwrap();
    assert_eq!(fake.object("db-A").journal.len(), 3);
    assert_eq!(fake.object("db-A").fence, 1);
}

#[tokio::test]
async fn without_the_store_nothing_is_confirmed_and_the_lease_ends() {
    let fake = Fake::new();
    let lease = Duration::from_millis(300);
    let alice = Operator::with_lease(&fake, "alice@a", lease);
    let store = alice.begin("r").await.unwrap();
    fake.inner().down = true;
    let began = clock::instant();
    let why = shared(&store).confirm(A, &store).await.unwrap_err();
    assert!(why.contains("could not be renewed"), "{why}");
    let lost = shared(&store)
        .while_held(A, std::future::pending::<()>())
        .await;
    assert!(lost.unwrap_err().contains("not renewed before its end"));
    assert!(began.elapsed() < Duration::from_secs(60));
    // What is lost stays so.
    fake.inner().down = false;
    assert!(shared(&store).confirm(A, &store).await.is_err());
    assert!(!fake.object("db-A").released);
    // The other migration was not asked about.
    let state = fake.object("db-B");
    assert_eq!(state.fence, 1);

    let nobody = Operator::new(&fake, "bob@b");
    fake.inner().down = true;
    let refused = nobody.begin("other").await.map(|_store| ()).unwrap_err();
    assert!(
        matches!(&refused, SharedError::Aws(error) if error.may_pass()),
        "{refused}"
    );
}

#[tokio::test]
async fn a_call_that_may_outlast_the_lease_is_not_made() {
    let fake = Fake::new();
    let alice = Operator::with_lease(&fake, "alice@a", CALL_TIMEOUT + MARGIN);
    let store = alice.begin("r").await.unwrap();
    let why = shared(&store).confirm(A, &store).await.unwrap_err();
    assert!(why.contains("less than a call may take"), "{why}");
    assert!(
        shared(&store)
            .confirm("eu-central-1/c", &store)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_object_that_somebody_has_touched_is_not_ours() {
    let fake = Fake::new();
    let alice = Operator::new(&fake, "alice@a");
    let store = alice.begin("r").await.unwrap();
    fake.edit("db-A", |object| {
        object.expires += SignedDuration::from_hours(1);
    });
    let why = shared(&store).confirm(A, &store).await.unwrap_err();
    assert!(why.contains("somebody has changed it"), "{why}");
    fake.inner().objects.remove(&name_of("db-B"));
    let why = shared(&store).confirm(B, &store).await.unwrap_err();
    assert!(why.contains("somebody has deleted it"), "{why}");

    let name = name_of("db-A");
    for (text, wanted) in [
        ("{", "not JSON"),
        ("{}", "no format"),
        (r#"{"format": 2}"#, "format 2"),
        (r#"{"format": 1}"#, "missing field"),
    ] {
        fake.inner()
            .objects
            .insert(name.clone(), (text.into(), 9999));
        let bob = Operator::new(&fake, "bob@b");
        let refused = bob.begin("r").await.map(|_store| ()).unwrap_err();
        assert!(refused.to_string().contains(wanted), "{refused}");
        assert_eq!(fake.inner().objects[&name].0, text.as_bytes());
    }
}

#[tokio::test]
async fn renewing_goes_on_beside_the_work_and_copies_what_is_recorded() {
    let fake = Fake::new();
    let alice = Operator::new(&fake, "alice@a");
    let store = alice.begin("r").await.unwrap();
    let (shared, before) = (shared(&store), fake.inner().writes);
    let work = async {
        record(&store, A, "claim", &WHOLE);
        shared.changed(A);
        let began = clock::instant();
        while fake.object("db-A").journal.len() < 3 {
            assert!(began.elapsed() < Duration::from_secs(60), "never copied");
            clock::sleep(Duration::from_millis(1)).await;
        }
    };
    shared.during(&store, work).await;
    assert!(fake.inner().writes > before);
    assert!(fake.object("db-A").released && fake.object("db-B").released);
}

#[tokio::test]
async fn a_plan_of_the_same_name_is_another_run() {
    let fake = Fake::new();
    let alice = Operator::new(&fake, "alice@a");
    let store = alice.begin("r").await.unwrap();
    record(&store, A, "claim", &WHOLE);
    shared(&store).during(&store, async {}).await;
    let mut other = plan("r");
    other.data_check = DataCheck::Checksums;
    let other = other.sealed();
    let look = alice.state.look(&other).await.unwrap();
    let refused = look.check(&other, true).unwrap_err();
    assert!(
        matches!(refused, SharedError::OtherPlan { .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_rollback_that_was_begun_is_taken_over_with_its_claim() {
    let fake = Fake::new();
    let alice = Operator::new(&fake, "alice@a");
    let bob = Operator::new(&fake, "bob@b");
    let first = alice.begin("r").await.unwrap();
    record(&first, A, "claim", &WHOLE);
    let plan = plan("r");
    let mut migrations = plan.migrations.clone();
    migrations.retain(|migration| migration.id == A);
    migrations[0].steps.retain(|step| step.id == "validate");
    migrations[0].steps[0].id = "rollback-1/validate".to_owned();
    migrations[0].steps[0].needs.clear();
    let phase = Phase {
        schema_version: atrest_model::phase::SCHEMA_VERSION,
        tool: atrest_model::Tool::current(),
        run: plan.run.clone(),
        phase: atrest_model::phase::PhaseName::try_from("rollback-1".to_owned()).unwrap(),
        created: Timestamp::UNIX_EPOCH,
        plan_digest: plan.digest.clone(),
        migrations,
        left_alone: Vec::new(),
        digest: String::new(),
    }
    .sealed();
    first.get().begin_phase(phase.clone()).unwrap();
    let step = "rollback-1/validate";
    let work = async { record(&first, A, step, &[StepEvent::Intend]) };
    shared(&first).during(&first, work).await;

    let second = bob.adopt("r").await.unwrap();
    let second = second.get();
    assert_eq!(second.phases(), std::slice::from_ref(&phase));
    assert_eq!(second.claim(), first.get().claim());
    let steps = second.steps(A).unwrap();
    assert_eq!(steps["claim"].status, StepStatus::Done);
    assert_eq!(steps[step].status, StepStatus::Intended);
    // Neither over nor another run's.
    assert!(!fake.object("db-A").over);
}
