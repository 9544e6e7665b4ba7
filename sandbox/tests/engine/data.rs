//! Data across restarts, copies and restores.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use atrest_sandbox::engine::{EngineError, ReplicationState, ServerId};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use crate::bed::{Bed, LIMIT, servers_in, value};

pub(crate) async fn what_was_written_survives_a_restart(bed: Bed) {
    let server = bed.create("one").await;
    let script = "CREATE DATABASE shop; USE shop;\nCREATE TABLE orders (id INT PRIMARY KEY, note TEXT);\nINSERT INTO orders VALUES (1, 'a;b');\n\
        DELIMITER //\nCREATE PROCEDURE shop.twice() BEGIN SELECT 1; SELECT COUNT(*) FROM shop.orders; END//\nDELIMITER ;\n";
    bed.engines.run_sql(&server, script).await.unwrap();
    let mut client = bed.client("one").await;
    client
        .query_drop("INSERT INTO shop.orders VALUES (2, 'by the master user')")
        .await
        .unwrap();
    bed.engines.restart(&server).await.unwrap();
    assert!(
        client.query_drop("SELECT 1").await.is_err(),
        "a restart cuts connections"
    );
    let mut client = bed.client("one").await;
    assert_eq!(
        value::<u64>(&mut client, "SELECT COUNT(*) FROM shop.orders").await,
        2
    );
    client.query_drop("CALL shop.twice()").await.unwrap();

    let refused = bed
        .engines
        .run_sql(
            &server,
            "SELECT 1; CREATE USER x@y IDENTIFIED BY 'geheim' nonsense",
        )
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, EngineError::Sql { message, .. } if message.starts_with("ERROR 1064")),
        "{refused}"
    );
    assert!(
        !refused.to_string().contains("geheim") && !format!("{refused:?}").contains("geheim"),
        "{refused:?}"
    );

    bed.engines.stop(&server).await.unwrap();
    assert!(matches!(
        bed.engines.run_sql(&server, "SELECT 1").await,
        Err(EngineError::NotRunning { .. })
    ));
    let copy = bed.engines.snapshot(&server).await.unwrap();
    bed.engines.start(&server).await.unwrap();
    let cold = bed.engines.restore(&copy, bed.spec()).await.unwrap();
    bed.engines
        .open_endpoint(&cold, "cold", 3306)
        .await
        .unwrap();
    assert_eq!(
        value::<u64>(
            &mut bed.client("cold").await,
            "SELECT COUNT(*) FROM shop.orders"
        )
        .await,
        2
    );
    bed.engines.delete(&server).await.unwrap();
    assert!(matches!(
        bed.engines.restart(&server).await,
        Err(EngineError::Unknown { kind: "server", .. })
    ));
}

/// Three writers number their rows; a copy may miss the last ones, never one in between and never one that was
/// acknowledged before the copy began.
pub(crate) async fn a_snapshot_under_load_is_a_prefix(bed: Bed) {
    let server = bed.create("busy").await;
    bed.engines.run_sql(&server, "CREATE DATABASE load_test; CREATE TABLE load_test.t (writer INT, n BIGINT, pad CHAR(200), PRIMARY KEY (writer, n)) ENGINE=InnoDB; \
         CREATE USER repl@'%' IDENTIFIED BY 'x1!yZ'; GRANT REPLICATION SLAVE ON *.* TO repl@'%'").await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = (0..3)
        .map(|_| Arc::new(AtomicU64::new(0)))
        .collect::<Vec<_>>();
    let mut writers = Vec::new();
    for (writer, acknowledged) in acknowledged.iter().enumerate() {
        let (mut client, stop, acknowledged) = (
            bed.client("busy").await,
            Arc::clone(&stop),
            Arc::clone(acknowledged),
        );
        writers.push(tokio::spawn(async move {
            let mut n = 0;
            while !stop.load(Ordering::Acquire) {
                n += 1;
                client
                    .query_drop(format!(
                        "INSERT INTO load_test.t VALUES ({writer}, {n}, REPEAT('x', 200))"
                    ))
                    .await
                    .unwrap();
                acknowledged.store(n, Ordering::Release);
            }
        }));
    }
    let counts = || {
        acknowledged
            .iter()
            .map(|count| count.load(Ordering::Acquire))
            .collect::<Vec<_>>()
    };
    for round in 0..3 {
        let (start, floor) = (Instant::now(), counts());
        while counts()
            .iter()
            .zip(&floor)
            .any(|(now, floor)| now < &(floor + 100))
        {
            assert!(start.elapsed() < LIMIT, "the writers write");
            tokio::task::yield_now().await;
        }
        let before = counts();
        let copy = bed.engines.snapshot(&server).await.unwrap();
        let after = counts();
        // Without a binary log in the second round: recovery still needs the copied one.
        let mut spec = bed.spec();
        spec.log_bin = round != 1;
        let restored = bed.engines.restore(&copy, spec).await.unwrap();
        bed.engines
            .open_endpoint(&restored, "restored", 3306)
            .await
            .unwrap();
        let mut client = bed.client("restored").await;
        let rows = client
            .query::<(usize, u64, u64), _>(
                "SELECT writer, COUNT(*), MAX(n) FROM load_test.t GROUP BY writer ORDER BY writer",
            )
            .await
            .unwrap();
        assert_eq!(rows.len(), 3);
        for (writer, count, last) in rows {
            assert_eq!(count, last, "writer {writer} has a gap");
            assert!(
                count >= before[writer],
                "writer {writer}: {count} rows, {} were acknowledged before",
                before[writer]
            );
            assert!(
                count <= after[writer] + 1,
                "writer {writer}: {count} rows, {} were written after",
                after[writer]
            );
        }
        assert_eq!(
            value::<u64>(&mut client, "SELECT @@log_bin").await,
            u64::from(round != 1)
        );
        if round == 2 {
            follows_from_where_it_stands(&bed, &restored, &mut client).await;
        }
        bed.engines.delete(&restored).await.unwrap();
        bed.engines.delete_copy(&copy).await.unwrap();
    }
    stop.store(true, Ordering::Release);
    for writer in writers {
        writer.await.unwrap();
    }
}

/// From the position crash recovery found, while the writers go on: a row too many or too few would be error 1062
/// or a gap.
async fn follows_from_where_it_stands(bed: &Bed, restored: &ServerId, client: &mut Conn) {
    let position = bed
        .engines
        .recovered_position(restored)
        .await
        .unwrap()
        .unwrap();
    let (word, host) = (bed.source_word(), bed.engines.address_of("busy").unwrap());
    let floor = value::<u64>(client, "SELECT COUNT(*) FROM load_test.t").await;
    let (file, offset) = (position.file, position.offset);
    client.query_drop(format!("CALL mysql.rds_set_external_{word}('{host}', 3306, 'repl', 'x1!yZ', '{file}', {offset}, 0)")).await.unwrap();
    client
        .query_drop("CALL mysql.rds_start_replication()")
        .await
        .unwrap();
    let deadline = Instant::now() + LIMIT;
    while value::<u64>(client, "SELECT COUNT(*) FROM load_test.t").await < floor + 300 {
        let state = bed.engines.replication(restored).await.unwrap();
        assert!(!matches!(state, ReplicationState::Error(_)), "{state:?}");
        assert!(Instant::now() < deadline, "{state:?}");
    }
    client
        .query_drop("CALL mysql.rds_stop_replication()")
        .await
        .unwrap();
    let rows = client
        .query::<(u64, u64), _>("SELECT COUNT(*), MAX(n) FROM load_test.t GROUP BY writer")
        .await
        .unwrap();
    assert!(rows.iter().all(|(count, last)| count == last), "{rows:?}");
}

/// As many as a demonstration may want: 24 of the kind that is always there. Says what they cost.
pub(crate) async fn many_servers_start_and_stop_together(bed: Bed) {
    let many = if bed.kind.engine == "mariadb" { 24 } else { 12 };
    let first = Instant::now();
    bed.create("template").await;
    let (one, start) = (first.elapsed(), Instant::now());
    let starts = (0..many).map(|n| {
        let bed = &bed;
        async move { bed.create(&format!("db-{n}")).await }
    });
    let servers = futures::future::join_all(starts).await;
    let took = start.elapsed();
    assert_eq!(servers.iter().collect::<BTreeSet<_>>().len(), many);
    for n in 0..many {
        assert_eq!(
            value::<u64>(&mut bed.client(&format!("db-{n}")).await, "SELECT 1").await,
            1
        );
    }
    let processes = servers_in(&bed.work);
    assert_eq!(processes.len(), many + 1);
    let kib = |name: &str| {
        let all = processes.iter().filter_map(|pid| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
        all.sum::<u64>() / 1024
    };
    let line = format!(
        "\n{} x {}: started in {:.1} s ({:.1} s for one, its template included), resident {} MiB together, {} MiB without what they share\n",
        many,
        bed.kind.name,
        took.as_secs_f64(),
        one.as_secs_f64(),
        kib("Rss:"),
        kib("Pss:"),
    );
    // Not `println!`, which the harness keeps to itself when a test passes.
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
}
