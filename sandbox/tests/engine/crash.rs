//! Servers that are killed.

use atrest_sandbox::engine::EngineError;
use mysql_async::prelude::Queryable as _;

use crate::bed::{Bed, becomes, replicates, value};

/// What was committed is there after recovery, on the server and on its replica; what was not is gone.
pub(crate) async fn a_killed_server_recovers_and_its_replica_goes_on(bed: Bed) {
    let source = bed.create("one").await;
    let replica = bed
        .engines
        .replica(&source, bed.read_only("1"))
        .await
        .unwrap();
    bed.engines
        .open_endpoint(&replica, "two", 3306)
        .await
        .unwrap();
    let mut client = bed.client("one").await;
    for sql in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id INT PRIMARY KEY) ENGINE=InnoDB",
        "INSERT INTO shop.t VALUES (1), (2)",
        "BEGIN",
        "INSERT INTO shop.t VALUES (3)",
    ] {
        client.query_drop(sql).await.unwrap();
    }
    bed.engines.crash(&source).await.unwrap();
    assert!(client.query_drop("COMMIT").await.is_err());
    let refused = bed.engines.run_sql(&source, "SELECT 1").await.unwrap_err();
    assert!(
        matches!(refused, EngineError::NotRunning { .. }),
        "{refused:?}"
    );
    // A second crash finds nothing to kill.
    bed.engines.crash(&source).await.unwrap();
    bed.engines.start(&source).await.unwrap();
    let mut client = bed.client("one").await;
    assert_eq!(
        value::<u64>(&mut client, "SELECT COUNT(*) FROM shop.t").await,
        2
    );
    client
        .query_drop("INSERT INTO shop.t VALUES (4)")
        .await
        .unwrap();
    let mut follower = bed.client("two").await;
    becomes(&mut follower, "SELECT COUNT(*) FROM shop.t", 3).await;
    replicates(&bed.engines, &replica).await;
}
