//! The data plane against real servers. Each case runs for every kind of server; `mariadb1011` and `mysql57` must be
//! installed (`sandbox/install-engines.sh mariadb1011 mysql57`), the others run when they are.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and says loudly what it did not run"
)]

mod bed;
#[path = "../control_plane/client.rs"]
#[expect(
    dead_code,
    clippy::format_push_string,
    reason = "the control plane's own tests use the rest"
)]
mod client;
mod clients;
mod crash;
mod data;
mod procedures;
mod replicas;
mod tls;
mod whole;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use atrest_sandbox::engine::{EngineError, EngineMode, Engines};
use tempfile::TempDir;

use bed::{Bed, MARIADB1011, install_dir, servers_in, with};

macro_rules! for_kinds {
    ($($group:ident::$case:ident: $($kind:ident)*;)*) => {$(
        mod $case {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[expect(non_snake_case, reason = "named as the kind is")]
                async fn $kind() {
                    crate::bed::with(crate::bed::$kind, crate::$group::$case).await;
                }
            )*
        }
    )*};
}

for_kinds! {
    data::what_was_written_survives_a_restart: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    data::a_snapshot_under_load_is_a_prefix: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    replicas::a_replica_follows_its_source_through_restarts: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    clients::an_endpoint_moves: MARIADB1011 MYSQL57;
    clients::the_master_user_is_what_rds_makes_it: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    clients::parameters_reach_the_server: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    replicas::a_read_only_replica_refuses_accounts: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    replicas::binlog_retention_travels_with_a_snapshot_only: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    replicas::the_limited_downtime_path_works: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    procedures::every_procedure_works_for_the_master_user: MARIADB1011 MYSQL57 MYSQL97 MYSQL56 MARIADB118;
    crash::a_killed_server_recovers_and_its_replica_goes_on: MARIADB1011 MYSQL57;
    tls::a_certificate_is_for_every_address_of_its_server: MARIADB1011 MYSQL57 MYSQL97 MARIADB118;
    tls::an_account_and_a_server_can_require_tls: MARIADB1011 MYSQL57 MYSQL97 MARIADB118;
    tls::old_tls_is_not_spoken: MYSQL56;
    data::many_servers_start_and_stop_together: MARIADB1011 MYSQL57;
}

#[tokio::test]
async fn no_engine_is_wanted_or_there() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        Engines::open(EngineMode::None, install_dir(), dir.path().join("work"))
            .await
            .unwrap()
            .is_none()
    );
    let bad = dir.path().join("engines/kind");
    std::fs::create_dir_all(&bad).unwrap();
    std::fs::write(bad.join("engine.toml"), "kind = 3").unwrap();
    let error = Engines::open(
        EngineMode::Auto,
        dir.path().join("engines"),
        dir.path().join("work"),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, EngineError::BadDescription { .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sandboxes_do_not_share_a_folder() {
    with(MARIADB1011, async |_bed| {}).await;
    let dir = tempfile::tempdir().unwrap();
    let first = Engines::open(EngineMode::Required, install_dir(), dir.path().to_owned())
        .await
        .unwrap()
        .unwrap();
    let refused = Engines::open(EngineMode::Required, install_dir(), dir.path().to_owned())
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("another sandbox uses this folder"),
        "{refused}"
    );
    first.shutdown().await.unwrap();
}

/// The path of a Unix socket ends at 107 bytes; that of a work folder need not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_work_folder_may_be_deep() {
    with(MARIADB1011, async |_bed| {}).await;
    let dir = TempDir::new().unwrap();
    let work = dir.path().join("deep".repeat(30)).join("work");
    let engines = Engines::open(EngineMode::Required, install_dir(), work.clone())
        .await
        .unwrap()
        .unwrap();
    let bed = Bed {
        engines: engines.clone(),
        kind: MARIADB1011,
        work: work.clone(),
    };
    bed.create("deep").await;
    bed.client("deep").await;
    let sockets = std::fs::read_to_string(work.join("sockets.path")).unwrap();
    assert!(std::path::Path::new(&sockets).is_dir());
    engines.shutdown().await.unwrap();
    assert!(!work.exists() && !std::path::Path::new(&sockets).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_start_says_why() {
    with(MARIADB1011, async |bed| {
        bed.create("template").await;
    })
    .await;
    // The same installation, described with an option its server does not know; the template is there already.
    let (dir, kind) = (TempDir::new().unwrap(), "mariadb1011");
    let text = std::fs::read_to_string(install_dir().join(kind).join("engine.toml")).unwrap();
    let broken = dir.path().join("engines").join(kind);
    std::fs::create_dir_all(&broken).unwrap();
    std::os::unix::fs::symlink(
        install_dir().join("templates"),
        dir.path().join("engines/templates"),
    )
    .unwrap();
    for entry in std::fs::read_dir(install_dir().join(kind))
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.file_name() != "engine.toml")
    {
        std::os::unix::fs::symlink(entry.path(), broken.join(entry.file_name())).unwrap();
    }
    std::fs::write(
        broken.join("engine.toml"),
        text.replace("options = []", "options = [\"--no-such-option=1\"]"),
    )
    .unwrap();
    let engines = Engines::open(
        EngineMode::Required,
        dir.path().join("engines"),
        dir.path().join("work"),
    )
    .await
    .unwrap()
    .unwrap();
    let bed = Bed {
        engines: engines.clone(),
        kind: MARIADB1011,
        work: dir.path().join("work"),
    };
    let error = engines.create(bed.spec()).await.unwrap_err();
    assert!(
        matches!(&error, EngineError::DidNotStart { log, .. } if log.contains("no-such-option")),
        "{error}"
    );
    assert_eq!(
        std::fs::read_dir(dir.path().join("work/servers"))
            .unwrap()
            .count(),
        0,
        "nothing is left of it"
    );
    engines.shutdown().await.unwrap();
}

/// This test is its own second process: started with `ATREST_TEST_HOLD` it makes a server and waits to be killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sandbox_leaves_its_servers_to_the_next() {
    if let Some(work) = std::env::var_os("ATREST_TEST_HOLD") {
        let work = std::path::PathBuf::from(work);
        let engines = Engines::open(EngineMode::Required, install_dir(), work.clone())
            .await
            .unwrap()
            .unwrap();
        let bed = Bed {
            engines,
            kind: MARIADB1011,
            work,
        };
        bed.create("held").await;
        bed.create("held-too").await;
        println!("\nholding");
        std::future::pending::<()>().await;
    }
    with(MARIADB1011, async |bystander| {
        bystander.create("bystander").await;
        let before = servers_in(&bystander.work);
        the_next_sandbox_ends_what_is_left().await;
        assert_eq!(
            servers_in(&bystander.work),
            before,
            "a living sandbox's server is nobody else's business"
        );
        bystander.client("bystander").await;
    })
    .await;
}

async fn the_next_sandbox_ends_what_is_left() {
    let dir = TempDir::new().unwrap();
    let work = dir.path().canonicalize().unwrap().join("work");
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_killed_sandbox_leaves_its_servers_to_the_next",
            "--nocapture",
        ])
        .env("ATREST_TEST_HOLD", &work)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(parent.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .any(|line| line == "holding");
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert!(said, "the other process made a server");

    assert_eq!(servers_in(&work).len(), 2, "its servers outlived it");
    let engines = Engines::open(EngineMode::Required, install_dir(), work.clone())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        servers_in(&work),
        Vec::<u32>::new(),
        "the next sandbox ends them"
    );
    engines.shutdown().await.unwrap();
    assert!(!work.exists());
}
