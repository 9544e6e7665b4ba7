//! The `mysql.rds_*` procedures, each called by the master user.

use std::collections::BTreeSet;
use std::time::Instant;

use atrest_sandbox::engine::{ReplicationState, ServerId, ServerSpec};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use crate::bed::{Bed, LIMIT, becomes, code, replicates, value};

const EVERYWHERE: &[&str] = &[
    "rds_kill",
    "rds_kill_query",
    "rds_rotate_general_log",
    "rds_rotate_slow_log",
    "rds_set_configuration",
    "rds_set_source_delay",
    "rds_show_configuration",
    "rds_skip_repl_error",
    "rds_start_replication",
    "rds_start_replication_until",
    "rds_stop_replication",
];

/// What there is besides, on this kind of server.
fn expected(bed: &Bed) -> BTreeSet<String> {
    let word = bed.source_word();
    let mut all: BTreeSet<String> = EVERYWHERE.iter().map(|name| (*name).to_owned()).collect();
    all.extend([
        format!("rds_next_{word}_log"),
        format!("rds_reset_external_{word}"),
        format!("rds_set_external_{word}"),
        format!("rds_set_external_{word}_with_delay"),
    ]);
    let more: &[&str] = match bed.kind.name {
        "mariadb1011" | "mariadb118" => &[
            "rds_kill_query_id",
            "rds_replica_status",
            "rds_set_external_master_gtid",
        ],
        "mysql57" => &[
            "rds_set_external_master_with_auto_position",
            "rds_set_master_auto_position",
            "rds_skip_transaction_with_gtid",
            "rds_start_replication_until_gtid",
        ],
        "mysql97" => &[
            "rds_set_external_source_gtid_purged",
            "rds_set_external_source_with_auto_position",
            "rds_set_source_auto_position",
            "rds_skip_transaction_with_gtid",
            "rds_start_replication_until_gtid",
        ],
        _ => &[],
    };
    all.extend(more.iter().map(|name| (*name).to_owned()));
    all
}

/// The master user of one server, and which procedures it called.
struct Caller {
    conn: Conn,
    called: BTreeSet<String>,
}

impl Caller {
    async fn call(&mut self, procedure: &str, arguments: &str) {
        self.called.insert(procedure.to_owned());
        let statement = format!("CALL mysql.{procedure}({arguments})");
        if let Err(error) = self.conn.query_drop(&statement).await {
            panic!("{statement}: {error}");
        }
    }

    async fn refused(&mut self, procedure: &str, arguments: &str) -> u16 {
        code(
            self.conn
                .query_drop(format!("CALL mysql.{procedure}({arguments})"))
                .await,
        )
    }
}

/// Two servers of which nobody follows the other yet: master users of both, and the second.
async fn pair(bed: &Bed, spec: ServerSpec, names: [&str; 2]) -> (Conn, Caller, ServerId) {
    let source = bed.engines.create(spec.clone()).await.unwrap();
    let target = bed.engines.create(spec).await.unwrap();
    for (server, name) in [&source, &target].into_iter().zip(names) {
        bed.engines.open_endpoint(server, name, 3306).await.unwrap();
    }
    let [source, follower] = names;
    let caller = Caller {
        conn: bed.client(follower).await,
        called: BTreeSet::new(),
    };
    (bed.client(source).await, caller, target)
}

const SCHEMA: &str = "CREATE USER repl@'%' IDENTIFIED BY 'x1!yZ'; GRANT REPLICATION SLAVE ON *.* TO repl@'%'; CREATE DATABASE d; CREATE TABLE d.t (n INT PRIMARY KEY)";

/// A source, a server that follows it as any server outside RDS would, and all that one can say to it.
pub(crate) async fn every_procedure_works_for_the_master_user(bed: Bed) {
    let (mut writer, mut caller, target) = pair(&bed, bed.spec(), ["a", "b"]).await;
    let there = caller.conn.query::<String, _>("SELECT routine_name FROM information_schema.routines WHERE routine_schema = 'mysql' AND routine_name LIKE 'rds\\_%'").await.unwrap();
    assert_eq!(there.into_iter().collect::<BTreeSet<_>>(), expected(&bed));

    configuration_and_threads(&bed, &mut caller).await;
    by_position(&bed, &mut caller, &mut writer, &target).await;
    if bed.kind.engine == "mariadb" {
        by_domain(&bed, &mut caller, &mut writer, &target).await;
    }
    if matches!(bed.kind.name, "mysql57" | "mysql97") {
        let mut spec = bed.spec();
        for name in ["gtid_mode", "enforce_gtid_consistency"] {
            spec.parameters.insert(name.to_owned(), "ON".to_owned());
        }
        let (mut writer, mut other, target) = pair(&bed, spec, ["c", "d"]).await;
        by_transaction(&bed, &mut other, &mut writer, &target).await;
        caller.called.append(&mut other.called);
    }
    assert_eq!(caller.called, expected(&bed), "each was called");

    let noted = caller
        .conn
        .query::<(String, String), _>(
            "SELECT called_by_user, action FROM mysql.rds_history ORDER BY id",
        )
        .await
        .unwrap();
    assert!(
        noted
            .iter()
            .any(|(user, action)| user.starts_with("admin@") && action == "set master"),
        "{noted:?}"
    );
    let noted = caller
        .conn
        .query::<String, _>("SELECT DISTINCT action FROM mysql.rds_replication_status")
        .await
        .unwrap();
    for action in ["start slave", "stop slave", "reset slave"] {
        assert!(noted.iter().any(|noted| noted == action), "{noted:?}");
    }
}

async fn configuration_and_threads(bed: &Bed, caller: &mut Caller) {
    caller
        .call("rds_set_configuration", "'binlog retention hours', 24")
        .await;
    caller.call("rds_show_configuration", "").await;
    for log in ["slow_log", "general_log"] {
        for _ in 0..2 {
            caller.call(&format!("rds_rotate_{log}"), "").await;
        }
        let tables = format!(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'mysql' AND table_name IN ('{log}', '{log}_backup')"
        );
        assert_eq!(value::<u64>(&mut caller.conn, &tables).await, 2);
    }
    let victim = bed.client("b").await;
    caller
        .call("rds_kill_query", &victim.id().to_string())
        .await;
    caller.call("rds_kill", &victim.id().to_string()).await;
    becomes(
        &mut caller.conn,
        &format!(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE id = {}",
            victim.id()
        ),
        0,
    )
    .await;
    drop(victim);
    if bed.kind.engine == "mariadb" {
        let mut sleeper = bed.client("b").await;
        let id = sleeper.id();
        let slept =
            tokio::spawn(async move { sleeper.query_first::<u64, _>("SELECT SLEEP(50)").await });
        let query = format!(
            "SELECT query_id FROM information_schema.processlist WHERE id = {id} AND info LIKE 'SELECT SLEEP%'"
        );
        let deadline = Instant::now() + LIMIT;
        let query = loop {
            if let Some(found) = caller.conn.query_first::<u64, _>(&query).await.unwrap() {
                break found;
            }
            assert!(Instant::now() < deadline);
        };
        caller.call("rds_kill_query_id", &query.to_string()).await;
        // Sleep says 1 when it is interrupted, or the query ends with error 1317.
        match slept.await.unwrap() {
            Ok(slept) => assert_eq!(slept, Some(1)),
            Err(error) => assert_eq!(code::<()>(Err(error)), 1317),
        }
    }
}

/// Where the source's binary log ends.
async fn place_of(bed: &Bed, writer: &mut Conn) -> (String, u64) {
    let show = if bed.kind.name == "mysql97" {
        "SHOW BINARY LOG STATUS"
    } else {
        "SHOW MASTER STATUS"
    };
    let row = value::<mysql_async::Row>(writer, show).await;
    (row.get(0).unwrap(), row.get(1).unwrap())
}

const ROWS: &str = "SELECT COUNT(*) FROM d.t";

async fn by_position(bed: &Bed, caller: &mut Caller, writer: &mut Conn, target: &ServerId) {
    let (file, offset) = place_of(bed, writer).await;
    writer.query_drop(SCHEMA).await.unwrap();
    let (word, host) = (bed.source_word(), bed.engines.address_of("a").unwrap());
    let whom = format!("'{host}', 3306, 'repl', 'x1!yZ'");
    caller
        .call(
            &format!("rds_set_external_{word}"),
            &format!("{whom}, '{file}', {offset}, 0"),
        )
        .await;
    caller.call("rds_start_replication", "").await;
    insert(writer, 1).await;
    becomes(&mut caller.conn, ROWS, 1).await;

    // A row of its own is in the way of the source's; without it replication goes on.
    bed.engines
        .run_sql(
            target,
            "SET SESSION sql_log_bin = 0; INSERT INTO d.t VALUES (2)",
        )
        .await
        .unwrap();
    insert(writer, 2).await;
    fails(bed, target).await;
    caller.call("rds_skip_repl_error", "").await;
    replicates(&bed.engines, target).await;
    insert(writer, 3).await;
    becomes(&mut caller.conn, ROWS, 3).await;

    // Up to a place and no further.
    caller.call("rds_stop_replication", "").await;
    insert(writer, 4).await;
    let (file, offset) = place_of(bed, writer).await;
    insert(writer, 5).await;
    caller
        .call(
            "rds_start_replication_until",
            &format!("'{file}', {offset}"),
        )
        .await;
    becomes(&mut caller.conn, ROWS, 4).await;
    stops(bed, target).await;

    // A delay is a word of the server's own.
    assert_eq!(caller.refused("rds_set_source_delay", "86401").await, 1644);
    caller.call("rds_set_source_delay", "7").await;
    assert_eq!(delay(bed, caller).await, 7);
    caller.call("rds_set_source_delay", "0").await;
    becomes(&mut caller.conn, ROWS, 5).await;

    // The next file of the source's log.
    writer.query_drop("FLUSH BINARY LOGS").await.unwrap();
    let number = file.rsplit('.').next().unwrap().parse::<u32>().unwrap();
    caller
        .call(&format!("rds_next_{word}_log"), &number.to_string())
        .await;
    insert(writer, 6).await;
    becomes(&mut caller.conn, ROWS, 6).await;

    caller.call("rds_stop_replication", "").await;
    caller.call(&format!("rds_reset_external_{word}"), "").await;
    let (file, offset) = place_of(bed, writer).await;
    let delayed = format!("rds_set_external_{word}_with_delay");
    assert_eq!(
        caller
            .refused(&delayed, &format!("{whom}, '{file}', {offset}, 0, -1"))
            .await,
        1644
    );
    caller
        .call(&delayed, &format!("{whom}, '{file}', {offset}, 0, 9"))
        .await;
    caller.call("rds_start_replication", "").await;
    assert_eq!(delay(bed, caller).await, 9);
    caller.call("rds_stop_replication", "").await;
    caller.call(&format!("rds_reset_external_{word}"), "").await;
}

/// Global transaction identifiers as MySQL has them.
async fn by_transaction(bed: &Bed, caller: &mut Caller, writer: &mut Conn, target: &ServerId) {
    writer.query_drop(SCHEMA).await.unwrap();
    let (word, host) = (bed.source_word(), bed.engines.address_of("c").unwrap());
    let whom = format!("'{host}', 3306, 'repl', 'x1!yZ'");
    caller
        .call(
            &format!("rds_set_external_{word}_with_auto_position"),
            &format!("{whom}, 0, 0"),
        )
        .await;
    caller.call("rds_start_replication", "").await;
    insert(writer, 1).await;
    becomes(&mut caller.conn, ROWS, 1).await;

    bed.engines
        .run_sql(
            target,
            "SET SESSION sql_log_bin = 0; INSERT INTO d.t VALUES (2)",
        )
        .await
        .unwrap();
    insert(writer, 2).await;
    let bad = last_transaction(writer).await;
    fails(bed, target).await;
    assert_eq!(caller.refused("rds_skip_repl_error", "").await, 1644);
    caller
        .call("rds_skip_transaction_with_gtid", &format!("'{bad}'"))
        .await;
    replicates(&bed.engines, target).await;
    insert(writer, 3).await;
    becomes(&mut caller.conn, ROWS, 3).await;

    caller.call("rds_stop_replication", "").await;
    insert(writer, 4).await;
    let last = last_transaction(writer).await;
    insert(writer, 5).await;
    caller
        .call("rds_start_replication_until_gtid", &format!("'{last}'"))
        .await;
    becomes(&mut caller.conn, ROWS, 4).await;
    stops(bed, target).await;
    caller
        .call(&format!("rds_set_{word}_auto_position"), "1")
        .await;
    becomes(&mut caller.conn, ROWS, 5).await;
    caller.call("rds_stop_replication", "").await;
    caller.call(&format!("rds_reset_external_{word}"), "").await;
    if bed.kind.name == "mysql97" {
        caller
            .call(
                "rds_set_external_source_gtid_purged",
                "'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa', 1, 5",
            )
            .await;
        let purged = value::<String>(&mut caller.conn, "SELECT @@GLOBAL.gtid_purged").await;
        assert!(
            purged.contains("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1-5"),
            "{purged}"
        );
    }
}

/// Global transaction identifiers as MariaDB has them.
async fn by_domain(bed: &Bed, caller: &mut Caller, writer: &mut Conn, target: &ServerId) {
    let host = bed.engines.address_of("a").unwrap();
    let place = value::<String>(writer, "SELECT @@gtid_current_pos").await;
    caller
        .call(
            "rds_set_external_master_gtid",
            &format!("'{host}', 3306, 'repl', 'x1!yZ', '{place}', 0"),
        )
        .await;
    caller.call("rds_start_replication", "").await;
    insert(writer, 7).await;
    becomes(&mut caller.conn, ROWS, 7).await;
    replicates(&bed.engines, target).await;
    caller.call("rds_replica_status", "").await;
    caller.call("rds_stop_replication", "").await;
    caller.call("rds_reset_external_master", "").await;
}

async fn insert(writer: &mut Conn, n: u32) {
    writer
        .query_drop(format!("INSERT INTO d.t VALUES ({n})"))
        .await
        .unwrap();
}

/// `uuid:n` of the last transaction on the source.
async fn last_transaction(writer: &mut Conn) -> String {
    let all = value::<String>(writer, "SELECT @@GLOBAL.gtid_executed").await;
    let (uuid, numbers) = all.trim().split_once(':').unwrap();
    let last = numbers.rsplit(['-', ':']).next().unwrap();
    format!("{uuid}:{last}")
}

async fn delay(bed: &Bed, caller: &mut Caller) -> u64 {
    let show = if bed.kind.engine == "mariadb" {
        "CALL mysql.rds_replica_status()".to_owned()
    } else {
        bed.slave("SHOW SLAVE STATUS")
    };
    let status = value::<mysql_async::Row>(&mut caller.conn, &show).await;
    let at = status
        .columns_ref()
        .iter()
        .position(|column| column.name_str() == "SQL_Delay")
        .unwrap();
    status.get(at).unwrap()
}

async fn fails(bed: &Bed, target: &ServerId) {
    until_state(bed, target, |state| {
        matches!(state, ReplicationState::Error(_))
    })
    .await;
}

/// The applier stopped where it was told to.
async fn stops(bed: &Bed, target: &ServerId) {
    until_state(bed, target, |state| *state == ReplicationState::Stopped).await;
}

async fn until_state(bed: &Bed, target: &ServerId, wanted: impl Fn(&ReplicationState) -> bool) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let state = bed.engines.replication(target).await.unwrap();
        if wanted(&state) {
            return;
        }
        assert!(Instant::now() < deadline, "{state:?}");
    }
}
