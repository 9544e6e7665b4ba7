//! Replicas, and what is and is not handed down to them.

use std::net::TcpListener;
use std::time::Instant;

use atrest_sandbox::engine::{ReplicationState, ServerId};
use mysql_async::Row;
use mysql_async::prelude::Queryable as _;

use crate::bed::{Bed, LIMIT, becomes, code, replicates, value};

/// MySQL 5.6 stops for good when its source ends while the two shake hands (error 1317, seen about every second time).
/// RDS starts replication again.
async fn start_again(bed: &Bed, replica: &ServerId) {
    if bed.kind.name == "mysql56" {
        bed.engines.run_sql(replica, "START SLAVE").await.unwrap();
    }
}

pub(crate) async fn a_replica_follows_its_source_through_restarts(bed: Bed) {
    let source = bed.create("source").await;
    bed.engines
        .run_sql(
            &source,
            "CREATE DATABASE d; CREATE TABLE d.t (n INT PRIMARY KEY); INSERT INTO d.t VALUES (1)",
        )
        .await
        .unwrap();
    let replica = bed
        .engines
        .replica(&source, bed.read_only("1"))
        .await
        .unwrap();
    bed.engines
        .open_endpoint(&replica, "replica", 3306)
        .await
        .unwrap();
    assert_eq!(
        bed.engines.replication(&replica).await.unwrap(),
        ReplicationState::Replicating
    );
    assert_eq!(
        bed.engines.replication(&source).await.unwrap(),
        ReplicationState::Stopped
    );
    let mut reader = bed.client("replica").await;
    let mut writer = bed.client("source").await;
    writer
        .query_drop("INSERT INTO d.t VALUES (2)")
        .await
        .unwrap();
    becomes(&mut reader, "SELECT COUNT(*) FROM d.t", 2).await;
    let (a, b) = (
        value::<String>(&mut writer, "SELECT CONCAT(@@server_id)").await,
        value::<String>(&mut reader, "SELECT CONCAT(@@server_id)").await,
    );
    assert_ne!(a, b);

    bed.engines.restart(&source).await.unwrap();
    start_again(&bed, &replica).await;
    // Its endpoint moves: replication does not use it.
    bed.engines
        .open_endpoint(&source, "renamed", 3306)
        .await
        .unwrap();
    let mut writer = bed.client("renamed").await;
    writer
        .query_drop("INSERT INTO d.t VALUES (3)")
        .await
        .unwrap();
    becomes(&mut reader, "SELECT COUNT(*) FROM d.t", 3).await;

    // While it is down, somebody takes its port.
    let port = value::<u16>(&mut writer, "SELECT @@port").await;
    bed.engines.stop(&source).await.unwrap();
    let squatter = TcpListener::bind(("127.0.0.1", port)).unwrap();
    bed.engines.start(&source).await.unwrap();
    start_again(&bed, &replica).await;
    let mut writer = bed.client("renamed").await;
    assert_ne!(value::<u16>(&mut writer, "SELECT @@port").await, port);
    writer
        .query_drop("INSERT INTO d.t VALUES (4)")
        .await
        .unwrap();
    becomes(&mut reader, "SELECT COUNT(*) FROM d.t", 4).await;
    drop(squatter);
    replicates(&bed.engines, &replica).await;

    // An applier's error is told.
    bed.engines
        .run_sql(&replica, "INSERT INTO d.t VALUES (5)")
        .await
        .unwrap();
    writer
        .query_drop("INSERT INTO d.t VALUES (5)")
        .await
        .unwrap();
    let deadline = Instant::now() + LIMIT;
    let error = loop {
        match bed.engines.replication(&replica).await.unwrap() {
            ReplicationState::Error(error) => break error,
            state => assert!(Instant::now() < deadline, "{state:?}"),
        }
    };
    assert!(
        error.contains("error 1062") || error.contains("coordinator"),
        "{error}"
    );

    bed.engines.promote(&replica, bed.spec()).await.unwrap();
    assert_eq!(
        bed.engines.replication(&replica).await.unwrap(),
        ReplicationState::Stopped
    );
    reader
        .query_drop("INSERT INTO d.t VALUES (6)")
        .await
        .unwrap();
}

pub(crate) async fn a_read_only_replica_refuses_accounts(bed: Bed) {
    let source = bed.create("source").await;
    let replica = bed
        .engines
        .replica(&source, bed.read_only("1"))
        .await
        .unwrap();
    bed.engines
        .open_endpoint(&replica, "replica", 3306)
        .await
        .unwrap();
    let mut client = bed.client("replica").await;
    assert_eq!(
        code(
            client
                .query_drop("CREATE USER local@'%' IDENTIFIED BY 'x1!yZ'")
                .await
        ),
        1290
    );
    bed.engines
        .reconfigure(&replica, bed.read_only("0"))
        .await
        .unwrap();
    client
        .query_drop("CREATE USER local@'%' IDENTIFIED BY 'x1!yZ'")
        .await
        .unwrap();
    replicates(&bed.engines, &replica).await;
    bed.engines.restart(&replica).await.unwrap();
    replicates(&bed.engines, &replica).await;
    let mut client = bed.client("replica").await;
    assert_eq!(
        value::<u64>(
            &mut client,
            "SELECT COUNT(*) FROM mysql.user WHERE user = 'local'"
        )
        .await,
        1
    );
}

pub(crate) async fn binlog_retention_travels_with_a_snapshot_only(bed: Bed) {
    let source = bed.create("source").await;
    let mut client = bed.client("source").await;
    client
        .query_drop("CALL mysql.rds_set_configuration('binlog retention hours', 48)")
        .await
        .unwrap();
    let retention =
        "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'";
    let replica = bed
        .engines
        .replica(&source, bed.read_only("1"))
        .await
        .unwrap();
    bed.engines
        .open_endpoint(&replica, "replica", 3306)
        .await
        .unwrap();
    assert_eq!(
        value::<Option<String>>(&mut bed.client("replica").await, retention).await,
        None
    );
    let copy = bed.engines.snapshot(&source).await.unwrap();
    let restored = bed.engines.restore(&copy, bed.spec()).await.unwrap();
    bed.engines
        .open_endpoint(&restored, "restored", 3306)
        .await
        .unwrap();
    assert_eq!(
        value::<Option<String>>(&mut bed.client("restored").await, retention)
            .await
            .as_deref(),
        Some("48")
    );
    // Setting it is nobody else's business: it is not replicated.
    client.query_drop("CALL mysql.rds_set_configuration('binlog retention hours', 72); CREATE DATABASE marker").await.unwrap();
    becomes(
        &mut bed.client("replica").await,
        "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'marker'",
        1,
    )
    .await;
    assert_eq!(
        value::<Option<String>>(&mut bed.client("replica").await, retention).await,
        None
    );
}

/// Replica of a source, stopped with RDS's procedure; its snapshot, restored, follows the same source.
pub(crate) async fn the_limited_downtime_path_works(bed: Bed) {
    let source = bed.create("source").await;
    let mut writer = bed.client("source").await;
    writer
        .query_drop(
            "CREATE DATABASE d; CREATE TABLE d.t (n INT PRIMARY KEY); INSERT INTO d.t VALUES (1)",
        )
        .await
        .unwrap();
    writer.query_drop("CREATE USER repl@'%' IDENTIFIED BY 'x1!yZ'; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO repl@'%'").await.unwrap();
    let replica = bed
        .engines
        .replica(&source, bed.read_only("1"))
        .await
        .unwrap();
    bed.engines
        .open_endpoint(&replica, "replica", 3306)
        .await
        .unwrap();
    let mut on_replica = bed.client("replica").await;
    writer
        .query_drop("INSERT INTO d.t VALUES (2)")
        .await
        .unwrap();
    becomes(&mut on_replica, "SELECT COUNT(*) FROM d.t", 2).await;
    let stopped = on_replica
        .query::<String, _>("CALL mysql.rds_stop_replication()")
        .await
        .unwrap();
    assert!(stopped.concat().contains("down or disabled"), "{stopped:?}");
    assert_eq!(
        bed.engines.replication(&replica).await.unwrap(),
        ReplicationState::Stopped
    );
    let show = if bed.kind.engine == "mariadb" {
        "CALL mysql.rds_replica_status()".to_owned()
    } else {
        bed.slave("SHOW SLAVE STATUS")
    };
    let status = value::<Row>(&mut on_replica, &show).await;
    let column = |name: &str| {
        status
            .columns_ref()
            .iter()
            .position(|column| column.name_str() == bed.slave(name))
            .unwrap()
    };
    let file: String = status
        .get(column(if bed.kind.name == "mysql97" {
            "Relay_Source_Log_File"
        } else {
            "Relay_Master_Log_File"
        }))
        .unwrap();
    let offset: u64 = status
        .get(column(if bed.kind.name == "mysql97" {
            "Exec_Source_Log_Pos"
        } else {
            "Exec_Master_Log_Pos"
        }))
        .unwrap();
    assert!(file.starts_with("mysql-bin-changelog."), "{file}");
    writer
        .query_drop("INSERT INTO d.t VALUES (3)")
        .await
        .unwrap();

    let copy = bed.engines.snapshot(&replica).await.unwrap();
    let restored = bed.engines.restore(&copy, bed.spec()).await.unwrap();
    bed.engines
        .open_endpoint(&restored, "restored", 3306)
        .await
        .unwrap();
    assert_eq!(
        bed.engines.replication(&restored).await.unwrap(),
        ReplicationState::Stopped
    );
    let mut client = bed.client("restored").await;
    let show = if bed.kind.engine == "mariadb" {
        "CALL mysql.rds_replica_status()".to_owned()
    } else {
        bed.slave("SHOW SLAVE STATUS")
    };
    assert!(
        client.query::<Row, _>(show).await.unwrap().is_empty(),
        "a restored instance is nobody's replica"
    );
    assert_eq!(
        value::<u64>(&mut client, "SELECT COUNT(*) FROM d.t").await,
        2
    );
    let (word, host) = (bed.source_word(), bed.engines.address_of("source").unwrap());
    client.query_drop(format!("CALL mysql.rds_set_external_{word}('{host}', 3306, 'repl', 'x1!yZ', '{file}', {offset}, 0)")).await.unwrap();
    client
        .query_drop("CALL mysql.rds_start_replication()")
        .await
        .unwrap();
    becomes(&mut client, "SELECT COUNT(*) FROM d.t", 3).await;
    replicates(&bed.engines, &restored).await;
    client
        .query_drop("CALL mysql.rds_stop_replication()")
        .await
        .unwrap();
    client
        .query_drop(format!("CALL mysql.rds_reset_external_{word}()"))
        .await
        .unwrap();
    client
        .query_drop("INSERT INTO d.t VALUES (4)")
        .await
        .unwrap();
    // The other one goes on where it stopped.
    on_replica
        .query_drop("CALL mysql.rds_start_replication()")
        .await
        .unwrap();
    becomes(&mut on_replica, "SELECT COUNT(*) FROM d.t", 3).await;
}
