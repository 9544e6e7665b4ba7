//! A run folder used, misused and damaged.

use std::fs;
use std::io::Write as _;

use atrest_model::Tool;
use atrest_model::id::RunId;
use atrest_model::plan::{self, DataCheck, MysqlAccess};
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;

use super::*;

fn plan(run: &str) -> Plan {
    Plan {
        schema_version: plan::SCHEMA_VERSION,
        tool: Tool::current(),
        run: RunId::try_from(run.to_owned()).unwrap(),
        created: Timestamp::UNIX_EPOCH,
        rehearsal_of: None,
        account: "111122223333".to_owned(),
        mysql: MysqlAccess::Required,
        data_check: DataCheck::Counts,
        waves: Vec::new(),
        hooks: Vec::new(),
        migrations: Vec::new(),
        left_out: Vec::new(),
        checks: Vec::new(),
        digest: String::new(),
    }
    .sealed()
}

#[test]
fn what_was_recorded_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = RunStore::create(dir.path(), plan("r")).unwrap();
    store
        .record("m", "s", StepEvent::Intend, &json!({}))
        .unwrap();
    store
        .record("m", "s", StepEvent::Accept, &json!({"a": 1}))
        .unwrap();
    drop(store);
    let store = RunStore::open(dir.path(), "r").unwrap();
    let steps = store.steps("m").unwrap();
    assert_eq!(steps["s"].status, StepStatus::Accepted);
    assert!(steps["s"].intended_at.is_some());
    assert_eq!(store.entries().unwrap().len(), 2);
}

#[test]
fn an_illegal_history_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = RunStore::create(dir.path(), plan("r")).unwrap();
    let error = store
        .record("m", "s", StepEvent::Accept, &json!({}))
        .unwrap_err();
    assert!(
        error.to_string().contains("pending cannot Accept"),
        "{error}"
    );
    assert!(store.steps("m").unwrap().is_empty());
}

#[test]
fn the_holder_is_known_while_there_is_one_and_asking_keeps_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        super::holder(dir.path(), "r"),
        Err(StoreError::NoSuchRun { .. })
    ));
    let store = RunStore::create(dir.path(), plan("r")).unwrap();
    let holder = super::holder(dir.path(), "r").unwrap().unwrap();
    assert_eq!(holder.pid, std::process::id());
    drop(store);
    assert_eq!(super::holder(dir.path(), "r").unwrap(), None);
    // A runner that was killed leaves its name, which says nothing.
    assert!(dir.path().join("runs/r/lock").exists());
    let store = RunStore::open(dir.path(), "r").unwrap();
    assert!(super::holder(dir.path(), "r").unwrap().is_some());
    drop(store);
}

#[test]
fn a_second_runner_is_refused_and_a_reader_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let _store = RunStore::create(dir.path(), plan("r")).unwrap();
    let refused = RunStore::open(dir.path(), "r").unwrap_err();
    let StoreError::Locked { holder, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(holder.as_ref().unwrap().pid, std::process::id());
    let told = format!("process {} on ", std::process::id());
    assert!(refused.to_string().contains(&told), "{refused}");
    assert!(RunStore::open_to_read(dir.path(), "r").is_ok());
    assert!(matches!(
        RunStore::create(dir.path(), plan("r")),
        Err(StoreError::Exists { .. })
    ));
}

#[test]
fn a_newer_journal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(RunStore::create(dir.path(), plan("r")).unwrap());
    Connection::open(dir.path().join("runs/r").join(JOURNAL))
        .unwrap()
        .execute(
            "UPDATE meta SET value = '99' WHERE key = 'format_version'",
            [],
        )
        .unwrap();
    assert!(matches!(
        RunStore::open(dir.path(), "r"),
        Err(StoreError::Newer { found: 99, .. })
    ));
}

#[test]
fn a_cut_or_overwritten_journal_is_damaged_not_empty() {
    let dir = tempfile::tempdir().unwrap();
    drop(RunStore::create(dir.path(), plan("r")).unwrap());
    fs::write(
        dir.path().join("runs/r").join(JOURNAL),
        b"not a database at all, but long enough to be read as one",
    )
    .unwrap();
    assert!(matches!(
        RunStore::open(dir.path(), "r"),
        Err(StoreError::Damaged { .. })
    ));
}

#[test]
fn an_edited_plan_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan.json");
    let mut value = serde_json::to_value(plan("r")).unwrap();
    value["account"] = json!("999999999999");
    fs::write(&path, value.to_string()).unwrap();
    assert!(read_plan(&path).unwrap_err().to_string().contains("digest"));
    fs::write(&path, "{\"schema_version\": 1").unwrap();
    assert!(
        read_plan(&path)
            .unwrap_err()
            .to_string()
            .contains("not JSON")
    );
    fs::write(&path, "{\"schema_version\": 99}").unwrap();
    assert!(
        read_plan(&path)
            .unwrap_err()
            .to_string()
            .contains("schema version 99")
    );
}

#[test]
fn a_run_is_never_a_path() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        RunStore::open(dir.path(), "../../etc"),
        Err(StoreError::NoSuchRun { .. })
    ));
}

#[test]
fn the_run_folder_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let store = RunStore::create(dir.path(), plan("r")).unwrap();
    store.write_report("diff.json", "{}").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(store.dir()), 0o700);
    for file in [PLAN, JOURNAL, "journal.db-wal", "lock", "diff.json"] {
        assert_eq!(mode(&store.dir().join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_lock_goes_with_its_store() {
    let dir = tempfile::tempdir().unwrap();
    drop(RunStore::create(dir.path(), plan("r")).unwrap());
    // What the last holder wrote is still there and means nothing.
    assert!(
        fs::read_to_string(dir.path().join("runs/r/lock"))
            .unwrap()
            .contains("pid")
    );
    let store = RunStore::open(dir.path(), "r").unwrap();
    assert!(store.is_resumed() && !store.is_adopted());
}

#[test]
fn network_file_systems_are_refused_and_local_ones_are_not() {
    let refused: [(Probe, &str); 5] = [
        (|_| Ok(0x6969), "NFS"),
        (|_| Ok(0xff53_4d42), "CIFS"),
        (|_| Ok(0xfe53_4d42), "SMB"),
        (|_| Ok(0x517b), "SMB"),
        (|_| Ok(0x6573_5546), "FUSE"),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (probe, word) in refused {
        let error = RunStore::make(dir.path(), plan("r"), None, probe).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.hint().contains("--state-dir"));
    }
    // ext4, tmpfs, overlay, xfs, btrfs, 9p.
    let local: [Probe; 6] = [
        |_| Ok(0xef53),
        |_| Ok(0x0102_1994),
        |_| Ok(0x794c_7630),
        |_| Ok(0x5846_5342),
        |_| Ok(0x9123_683e),
        |_| Ok(0x0102_1997),
    ];
    for (number, probe) in local.into_iter().enumerate() {
        let run = format!("r{number}");
        drop(RunStore::make(dir.path(), plan(&run), None, probe).unwrap());
        drop(RunStore::open_on(dir.path(), &run, probe).unwrap());
    }
    drop(RunStore::create(dir.path(), plan("moved")).unwrap());
    assert!(matches!(
        RunStore::open_on(dir.path(), "moved", |_| Ok(0x6969)),
        Err(StoreError::NetworkFileSystem { .. })
    ));
    assert!(matches!(
        RunStore::open_on(dir.path(), "moved", |_| Err(io::Error::other("no answer"))),
        Err(StoreError::Io { .. })
    ));
}

#[test]
fn a_run_that_never_began_is_begun() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("runs/r");
    drop(RunStore::create(dir.path(), plan("r")).unwrap());
    // Stopped before the plan was there: what lies in the folder is not a journal of anything.
    fs::remove_file(folder.join(PLAN)).unwrap();
    fs::write(folder.join(JOURNAL), "half a journal").unwrap();
    let store = RunStore::create(dir.path(), plan("r")).unwrap();
    assert!(store.entries().unwrap().is_empty());
}

#[test]
fn an_adopted_run_says_so_for_good_and_has_a_claim_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let first = RunStore::create(dir.path(), plan("r")).unwrap();
    let lost = first.claim().unwrap().to_owned();
    drop(first);
    fs::remove_dir_all(dir.path().join("runs/r")).unwrap();
    let adopted = RunStore::adopt(dir.path(), plan("r")).unwrap();
    assert!(adopted.is_adopted() && adopted.is_resumed());
    let claim = adopted.claim().unwrap().to_owned();
    assert_ne!(claim, lost);
    drop(adopted);
    let again = RunStore::open(dir.path(), "r").unwrap();
    assert!(again.is_adopted());
    assert_eq!(again.claim(), Some(claim.as_str()));
}

/// A journal as the version before wrote it.
fn format_1(dir: &Path, rows: &[(&str, &str)]) {
    let store = RunStore::create(dir, plan("r")).unwrap();
    let digest = store.plan().digest.clone();
    drop(store);
    let file = dir.join("runs/r").join(JOURNAL);
    fs::remove_file(&file).unwrap();
    let db = Connection::open(&file).unwrap();
    db.execute_batch(
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
         CREATE TABLE step (migration TEXT NOT NULL, step TEXT NOT NULL, status TEXT NOT NULL,
           intended_at TEXT, changed_at TEXT NOT NULL, result TEXT NOT NULL, PRIMARY KEY (migration, step)) STRICT;
         CREATE TABLE entry (seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, migration TEXT NOT NULL,
           step TEXT NOT NULL, status TEXT NOT NULL, detail TEXT NOT NULL) STRICT;
         INSERT INTO meta VALUES ('format_version', '1');",
    )
    .unwrap();
    db.execute("INSERT INTO meta VALUES ('plan_digest', ?1)", [digest])
        .unwrap();
    for (step, status) in rows {
        db.execute(
            "INSERT INTO entry (at, migration, step, status, detail) VALUES ('2026-01-02T03:04:05Z', 'm', ?1, ?2, '{}')",
            [step, status],
        )
        .unwrap();
    }
}

#[test]
fn an_older_journal_is_read_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    format_1(
        dir.path(),
        &[
            ("s", "intended"),
            ("s", "accepted"),
            ("s", "stopped"),
            ("t", "done"),
        ],
    );
    // To read leaves it as it is.
    for _ in 0..2 {
        let reader = RunStore::open_to_read(dir.path(), "r").unwrap();
        let steps = reader.steps("m").unwrap();
        assert_eq!(steps["s"].status, StepStatus::Stopped);
        assert_eq!(steps["t"].status, StepStatus::Done);
    }
    let store = RunStore::open(dir.path(), "r").unwrap();
    assert_eq!(store.claim(), None);
    store
        .record("m", "s", StepEvent::Reopen, &json!({}))
        .unwrap();
    drop(store);
    let store = RunStore::open(dir.path(), "r").unwrap();
    let events: Vec<StepEvent> = store.entries().unwrap().iter().map(|e| e.event).collect();
    assert_eq!(
        events,
        [
            StepEvent::Intend,
            StepEvent::Accept,
            StepEvent::Stop,
            StepEvent::Finish,
            StepEvent::Reopen
        ]
    );
    assert!(store.steps("m").unwrap()["s"].intended_at.is_some());
}

#[test]
fn an_older_journal_that_cannot_have_happened_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    format_1(dir.path(), &[("s", "accepted")]);
    assert!(matches!(
        RunStore::open(dir.path(), "r"),
        Err(StoreError::Damaged { .. })
    ));
}

#[test]
fn a_clock_that_jumps_changes_times_and_nothing_else() {
    use std::sync::atomic::{AtomicI64, Ordering};
    static NOW: AtomicI64 = AtomicI64::new(1_000_000);
    let dir = tempfile::tempdir().unwrap();
    let store = RunStore::create(dir.path(), plan("r"))
        .unwrap()
        .with_clock(|| Timestamp::from_second(NOW.load(Ordering::Relaxed)).unwrap());
    for (event, second) in [
        (StepEvent::Intend, 2_000_000),
        (StepEvent::Accept, 500_000),
        (StepEvent::Finish, 1_900_000_000),
    ] {
        NOW.store(second, Ordering::Relaxed);
        store.record("m", "s", event, &json!({})).unwrap();
    }
    drop(store);
    let store = RunStore::open(dir.path(), "r").unwrap();
    assert_eq!(store.steps("m").unwrap()["s"].status, StepStatus::Done);
    let seconds: Vec<i64> = store
        .entries()
        .unwrap()
        .iter()
        .map(|e| e.at.as_second())
        .collect();
    assert_eq!(seconds, [2_000_000, 500_000, 1_900_000_000]);
}

/// What the journal should say, kept in a map.
#[derive(Debug, Default, PartialEq)]
struct Model(BTreeMap<(String, String), StepStatus>);

const EVENTS: [StepEvent; 6] = [
    StepEvent::Intend,
    StepEvent::Accept,
    StepEvent::Refuse,
    StepEvent::Finish,
    StepEvent::Stop,
    StepEvent::Reopen,
];

fn told(store: &RunStore) -> Model {
    let mut model = Model::default();
    for migration in ["m0", "m1"] {
        for (step, record) in store.steps(migration).unwrap() {
            model.0.insert((migration.to_owned(), step), record.status);
        }
    }
    model
}

fn trail(store: &RunStore) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.export(&mut bytes).unwrap().unwrap();
    bytes
}

/// Records a few steps the way the executor does.
fn record_some(store: &RunStore, steps: usize) {
    for number in 0..steps {
        let step = format!("step-{number}");
        for event in [StepEvent::Intend, StepEvent::Accept, StepEvent::Finish] {
            let detail =
                json!({"operation": "CreateDBSnapshot", "hash": "of \"something\"", "n": number});
            store.record("m0", &step, event, &detail).unwrap();
        }
    }
}

/// The files of a run that was killed: the database, and its log with everything that was recorded.
fn killed(steps: usize) -> (Vec<u8>, Vec<u8>, Vec<Entry>) {
    let dir = tempfile::tempdir().unwrap();
    let store = RunStore::create(dir.path(), plan("r")).unwrap();
    record_some(&store, steps);
    let read = |name: &str| fs::read(store.dir().join(name)).unwrap();
    (
        read(JOURNAL),
        read("journal.db-wal"),
        store.entries().unwrap(),
    )
}

/// A run folder with these files in the place of its own.
fn folder_with(db: &[u8], wal: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    drop(RunStore::create(dir.path(), plan("r")).unwrap());
    let folder = dir.path().join("runs/r");
    fs::write(folder.join(JOURNAL), db).unwrap();
    if !wal.is_empty() {
        fs::write(folder.join("journal.db-wal"), wal).unwrap();
    }
    dir
}

/// A damaged journal is refused, or it opens with the records up to some point, each as it was written, and goes on.
fn is_refused_or_a_beginning(dir: &tempfile::TempDir, whole: &[Entry]) {
    match RunStore::open(dir.path(), "r") {
        Err(
            StoreError::Damaged { .. } | StoreError::NotWritten { .. } | StoreError::Newer { .. },
        ) => {}
        Err(other) => panic!("{other}"),
        Ok(store) => {
            let entries = store.entries().unwrap();
            assert_eq!(entries, whole[..entries.len()]);
            store
                .record("m1", "more", StepEvent::Intend, &json!({}))
                .unwrap();
            verify(trail(&store).as_slice()).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_replays_to_what_was_recorded(
        events in prop::collection::vec((0..2_usize, 0..3_usize, 0..EVENTS.len(), any::<bool>()), 1..40)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = RunStore::create(dir.path(), plan("r")).unwrap();
        let mut model = Model::default();
        let mut recorded = 0;
        for (migration, step, event, reopen) in events {
            let (migration, step) = (format!("m{migration}"), format!("s{step}"));
            let event = EVENTS[event];
            let before = model.0.get(&(migration.clone(), step.clone())).copied().unwrap_or(StepStatus::Pending);
            let answer = store.record(&migration, &step, event, &json!({"from": before.as_str()}));
            match before.next(event) {
                Ok(after) => {
                    prop_assert_eq!(answer.unwrap().0, after);
                    model.0.insert((migration, step), after);
                    recorded += 1;
                }
                Err(_) => prop_assert!(answer.is_err(), "an illegal event was recorded"),
            }
            if reopen {
                drop(store);
                store = RunStore::open(dir.path(), "r").unwrap();
            }
            prop_assert_eq!(&told(&store), &model);
        }
        let verified = verify(trail(&store).as_slice()).unwrap();
        prop_assert_eq!(verified.entries, recorded);
        prop_assert_eq!(verified.run, "r");
    }

    #[test]
    fn a_cut_journal_is_refused_or_goes_on_from_where_it_ends(at in 0.0..1.0_f64, log in any::<bool>()) {
        let (db, wal, whole) = killed(6);
        let cut = |bytes: &[u8]| bytes[..(bytes.len() as f64 * at) as usize].to_vec();
        let dir = if log { folder_with(&db, &cut(&wal)) } else { folder_with(&cut(&db), &wal) };
        is_refused_or_a_beginning(&dir, &whole);
    }

    #[test]
    fn a_flipped_bit_is_found_or_changes_nothing(at in 0.0..1.0_f64, bit in 0..8_u32, log in any::<bool>()) {
        let (db, wal, whole) = killed(6);
        let flip = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let position = (bytes.len() as f64 * at) as usize;
            if let Some(byte) = bytes.get_mut(position) {
                *byte ^= 1 << bit;
            }
            bytes
        };
        let dir = if log { folder_with(&db, &flip(&wal)) } else { folder_with(&flip(&db), &wal) };
        is_refused_or_a_beginning(&dir, &whole);
    }

    #[test]
    fn a_flipped_bit_in_a_closed_journal_is_found_or_changes_nothing(at in 0.0..1.0_f64, bit in 0..8_u32) {
        let dir = tempfile::tempdir().unwrap();
        let store = RunStore::create(dir.path(), plan("r")).unwrap();
        record_some(&store, 6);
        let whole = store.entries().unwrap();
        drop(store);
        let file = dir.path().join("runs/r").join(JOURNAL);
        let mut bytes = fs::read(&file).unwrap();
        let position = (bytes.len() as f64 * at) as usize;
        bytes[position] ^= 1 << bit;
        fs::write(&file, bytes).unwrap();
        is_refused_or_a_beginning(&dir, &whole);
    }

    #[test]
    fn the_first_broken_line_of_a_trail_is_named(at in 0.0..1.0_f64, bit in 0..8_u32) {
        let dir = tempfile::tempdir().unwrap();
        let store = RunStore::create(dir.path(), plan("r")).unwrap();
        record_some(&store, 4);
        let mut bytes = trail(&store);
        let position = (bytes.len() as f64 * at) as usize;
        let expected = bytes[..position].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let last = position + 1 == bytes.len();
        bytes[position] ^= 1 << bit;
        match verify(bytes.as_slice()) {
            Err(BrokenTrail::Line { line, .. }) => prop_assert_eq!(line, expected),
            other => prop_assert!(last, "{other:?}"),
        }
    }
}

#[test]
fn a_trail_that_was_cut_reordered_or_shortened_does_not_verify() {
    let dir = tempfile::tempdir().unwrap();
    let store = RunStore::create(dir.path(), plan("r")).unwrap();
    record_some(&store, 2);
    let whole = trail(&store);
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 2 + 6);
    let joined = |order: &[usize]| {
        let mut bytes = Vec::new();
        for line in order {
            bytes.write_all(lines[*line]).unwrap();
        }
        verify(bytes.as_slice())
    };
    assert_eq!(joined(&[0, 1, 2, 3, 4, 5, 6, 7]).unwrap().entries, 6);
    assert!(matches!(
        joined(&[0, 1, 2]),
        Err(BrokenTrail::Cut { after: 3 })
    ));
    assert!(matches!(
        joined(&[0, 2, 1, 3, 4, 5, 6, 7]),
        Err(BrokenTrail::Line { line: 2, .. })
    ));
    assert!(matches!(
        joined(&[0, 1, 2, 4, 5, 6, 7]),
        Err(BrokenTrail::Line { line: 4, .. })
    ));
    assert!(matches!(
        joined(&[1, 2, 3, 4, 5, 6, 7]),
        Err(BrokenTrail::Line { line: 1, .. })
    ));
    assert!(matches!(
        verify(&b""[..]),
        Err(BrokenTrail::Cut { after: 0 })
    ));
}

/// A plan with one migration, and the first rollback of it.
fn undone(run: &str) -> (Plan, Phase) {
    let member = json!({"identifier": "x", "old_name": "old-x", "new_name": "new-x", "dbi_resource_id": "db-X",
        "replicates_from": null, "digest": "d", "made_by": "restore"});
    let step = |id: &str| json!({"id": id, "needs": [], "deadline_seconds": 60, "action": {"kind": "validate"}});
    let migration = |step: Value| {
        json!({"id": "eu-central-1/x", "region": "eu-central-1", "method": "cold", "engine": "mariadb",
            "allocated_storage": 20, "kms_key_id": "k", "source": member, "replicas": [], "notes": [], "steps": [step]})
    };
    let mut plan = plan(run);
    plan.migrations = vec![serde_json::from_value(migration(step("validate"))).unwrap()];
    let plan = plan.sealed();
    let phase = Phase {
        schema_version: atrest_model::phase::SCHEMA_VERSION,
        tool: Tool::current(),
        run: plan.run.clone(),
        phase: PhaseName::try_from("rollback-1".to_owned()).unwrap(),
        created: Timestamp::UNIX_EPOCH,
        plan_digest: plan.digest.clone(),
        migrations: vec![serde_json::from_value(migration(step("rollback-1/validate"))).unwrap()],
        left_alone: Vec::new(),
        digest: String::new(),
    };
    (plan, phase.sealed())
}

#[test]
fn a_phase_is_bound_into_the_chain_and_the_sitting_is_about_it() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, phase) = undone("r");
    let mut store = RunStore::create(dir.path(), plan.clone()).unwrap();
    assert_eq!(store.work().plan, plan);
    store.begin_phase(phase.clone()).unwrap();
    assert_eq!(store.work().plan.migrations, phase.migrations);
    assert_eq!(store.work().phase.unwrap().to_string(), "rollback-1");
    assert_eq!(store.next_phase(phase.phase.kind).to_string(), "rollback-2");
    let bytes = trail(&store);
    assert!(String::from_utf8_lossy(&bytes).contains(&phase.digest));
    verify(bytes.as_slice()).unwrap();
    drop(store);

    let mut store = RunStore::open(dir.path(), "r").unwrap();
    assert_eq!(store.phases(), std::slice::from_ref(&phase));
    assert_eq!(store.phase_of("eu-central-1/x"), Some(&phase));
    assert_eq!(store.present(&plan.migrations[0]), &phase.migrations[0]);
    // The migration itself has nothing left to work on.
    assert!(store.work().plan.migrations.is_empty());
    assert!(store.take_up(&phase.phase));
    assert_eq!(store.work().plan.migrations, phase.migrations);
}

#[test]
fn a_phase_that_is_edited_foreign_or_missing_is_damage() {
    let begun = || {
        let dir = tempfile::tempdir().unwrap();
        let (plan, phase) = undone("r");
        let mut store = RunStore::create(dir.path(), plan).unwrap();
        store.begin_phase(phase).unwrap();
        drop(store);
        let file = dir.path().join("runs/r/rollback-1.json");
        (dir, file)
    };
    let refused =
        |dir: &tempfile::TempDir| RunStore::open(dir.path(), "r").unwrap_err().to_string();

    let (dir, file) = begun();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("old-x", "old-y")).unwrap();
    assert!(refused(&dir).contains("digest"), "{}", refused(&dir));

    // Whole in itself, but not what the journal has begun.
    let (dir, file) = begun();
    let (_plan, mut other) = undone("r");
    other.migrations[0].steps[0].deadline_seconds = 61;
    fs::write(&file, serde_json::to_string(&other.sealed()).unwrap()).unwrap();
    assert!(refused(&dir).contains("begun"), "{}", refused(&dir));

    let (dir, file) = begun();
    fs::remove_file(&file).unwrap();
    assert!(
        refused(&dir).contains("rollback-1.json"),
        "{}",
        refused(&dir)
    );
}

#[test]
fn a_phase_that_was_never_begun_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, phase) = undone("r");
    drop(RunStore::create(dir.path(), plan).unwrap());
    // Killed between the file and the record.
    fs::write(dir.path().join("runs/r/rollback-1.json"), "half").unwrap();
    let mut store = RunStore::open(dir.path(), "r").unwrap();
    assert!(store.phases().is_empty());
    store.begin_phase(phase).unwrap();
    assert_eq!(store.phases().len(), 1);
}

#[test]
fn a_phase_of_another_plan_or_with_foreign_steps_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, phase) = undone("r");
    let mut store = RunStore::create(dir.path(), plan).unwrap();
    let mut other = phase.clone();
    other.plan_digest = "other".to_owned();
    assert!(store.begin_phase(other.sealed()).is_err());
    let mut other = phase.clone();
    other.migrations[0].steps[0].id = "validate".to_owned();
    assert!(store.begin_phase(other.sealed()).is_err());
    let mut other = phase;
    other.phase.number = 2;
    assert!(store.begin_phase(other.sealed()).is_err());
    assert!(store.entries().unwrap().is_empty());
}

#[test]
fn the_format_rises_with_the_first_phase() {
    let format = |dir: &Path| -> String {
        Connection::open(dir.join("runs/r").join(JOURNAL))
            .unwrap()
            .query_row(
                "SELECT value FROM meta WHERE key = 'format_version'",
                [],
                |row| row.get(0),
            )
            .unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    let (plan, phase) = undone("r");
    let mut store = RunStore::create(dir.path(), plan).unwrap();
    assert_eq!(format(dir.path()), "2");
    store.begin_phase(phase).unwrap();
    assert_eq!(format(dir.path()), "3");
}
