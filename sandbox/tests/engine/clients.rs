//! What a client sees: endpoints, privileges, parameters.

use std::collections::BTreeSet;

use atrest_sandbox::engine::EngineError;
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use crate::bed::{Bed, PASSWORD, code, login, value};

pub(crate) async fn an_endpoint_moves(bed: Bed) {
    let first = bed.create("prod").await;
    let mut old = bed.client("prod").await;
    let moved = bed
        .engines
        .open_endpoint(&first, "old-prod", 3306)
        .await
        .unwrap();
    assert_eq!(moved, bed.engines.address_of("old-prod").unwrap());
    assert_ne!(moved, bed.engines.address_of("prod").unwrap());
    assert!(
        old.query_drop("SELECT 1").await.is_err(),
        "connections through the old name are cut"
    );
    assert!(
        Conn::new(login(
            bed.engines.address_of("prod").unwrap(),
            "admin",
            PASSWORD
        ))
        .await
        .is_err()
    );
    let mut client = bed.client("old-prod").await;
    client.query_drop("CREATE DATABASE on_first").await.unwrap();

    let second = bed.create("prod").await;
    let mut client = bed.client("prod").await;
    assert_eq!(
        client
            .query::<String, _>("SHOW DATABASES LIKE 'on_first'")
            .await
            .unwrap()
            .len(),
        0
    );
    let taken = bed
        .engines
        .open_endpoint(&second, "old-prod", 3306)
        .await
        .unwrap_err();
    assert!(
        matches!(&taken, EngineError::Io { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse),
        "{taken}"
    );
    bed.engines.close_endpoint(&first).await.unwrap();
    bed.engines
        .open_endpoint(&second, "old-prod", 3306)
        .await
        .unwrap();
    bed.client("old-prod").await;
}

pub(crate) async fn the_master_user_is_what_rds_makes_it(bed: Bed) {
    let server = bed.create("m").await;
    let mut client = bed.client("m").await;
    assert!(matches!(
        code(client.query_drop("SET GLOBAL max_connections = 33").await),
        1227 | 1045
    ));
    assert!(matches!(
        code(client.query_drop(bed.slave("STOP SLAVE")).await),
        1227 | 1045
    ));
    // RDS's SESSION_VARIABLES_ADMIN (8.0.36 and later) lets the master user do this.
    let logging = client.query_drop("SET SESSION sql_log_bin = 0").await;
    if bed.kind.name == "mysql97" {
        logging.unwrap();
        client
            .query_drop("SET SESSION sql_log_bin = 1")
            .await
            .unwrap();
    } else {
        assert!(matches!(code(logging), 1227 | 1045));
    }
    assert!(matches!(
        code(client.query_drop("GRANT SUPER ON *.* TO admin").await),
        1227 | 1045
    ));
    let users = client.query::<String, _>("SELECT user FROM mysql.user WHERE user NOT LIKE 'mysql.%' AND user NOT LIKE 'mariadb.%' ORDER BY user").await.unwrap();
    let mut expected = vec!["admin", "rdsadmin", "rdsrepladmin"];
    if bed.kind.name == "mysql97" {
        expected.push("rds_superuser_role");
        expected.sort_unstable();
    }
    let users = users
        .into_iter()
        .filter(|user| user != "PUBLIC")
        .collect::<BTreeSet<_>>();
    assert_eq!(users, expected.into_iter().map(str::to_owned).collect());

    client.query_drop("CREATE DATABASE app; CREATE USER app@'%' IDENTIFIED BY 'x1!yZ'; GRANT SELECT, INSERT ON app.* TO app@'%'").await.unwrap();
    client.query_drop("CREATE TABLE app.t (n INT); CREATE TRIGGER app.tr BEFORE INSERT ON app.t FOR EACH ROW SET NEW.n = NEW.n + 1").await.unwrap();

    let retention =
        "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'";
    assert_eq!(value::<Option<String>>(&mut client, retention).await, None);
    client
        .query_drop("CALL mysql.rds_set_configuration('binlog retention hours', 24)")
        .await
        .unwrap();
    let shown = client
        .query::<(String, Option<String>, String), _>("CALL mysql.rds_show_configuration()")
        .await
        .unwrap();
    assert!(
        shown
            .iter()
            .any(|(name, value, _)| name == "binlog retention hours"
                && value.as_deref() == Some("24")),
        "{shown:?}"
    );
    for refused in [
        "'binlog retention hours', 0",
        "'binlog retention hours', 169",
        "'no such thing', 1",
        "'source delay', NULL",
    ] {
        assert_eq!(
            code(
                client
                    .query_drop(format!("CALL mysql.rds_set_configuration({refused})"))
                    .await
            ),
            1644,
            "{refused}"
        );
    }
    client
        .query_drop("CALL mysql.rds_set_configuration('binlog retention hours', NULL)")
        .await
        .unwrap();
    assert_eq!(value::<Option<String>>(&mut client, retention).await, None);

    let mut victim = bed.client("m").await;
    let id = victim.id();
    client
        .query_drop(format!("CALL mysql.rds_kill({id})"))
        .await
        .unwrap();
    assert!(victim.query_drop("SELECT 1").await.is_err());

    // A new master password works, and a dropped master user comes back with it.
    let mut spec = bed.spec();
    spec.master_password = "other".to_owned();
    bed.engines
        .run_sql(&server, "DROP USER admin@'%'")
        .await
        .unwrap();
    bed.engines.reconfigure(&server, spec).await.unwrap();
    Conn::new(login(
        bed.engines.address_of("m").unwrap(),
        "admin",
        "other",
    ))
    .await
    .unwrap();
}

pub(crate) async fn parameters_reach_the_server(bed: Bed) {
    let server = bed.create("p").await;
    let mut spec = bed.spec();
    for (name, value) in [
        ("max_connections", "77"),
        ("sql_mode", "ANSI_QUOTES"),
        ("back_log", "61"),
        ("rds.logical_replication", "1"),
        ("no_such_variable", "1"),
    ] {
        spec.parameters.insert(name.to_owned(), value.to_owned());
    }
    bed.engines
        .reconfigure(&server, spec.clone())
        .await
        .unwrap();
    let mut client = bed.client("p").await;
    assert_eq!(
        value::<u64>(&mut client, "SELECT @@max_connections").await,
        77
    );
    assert_eq!(
        value::<String>(&mut client, "SELECT @@sql_mode").await,
        "ANSI_QUOTES"
    );
    assert_ne!(
        value::<u64>(&mut client, "SELECT @@back_log").await,
        61,
        "static: at the next start"
    );
    bed.engines.restart(&server).await.unwrap();
    let mut client = bed.client("p").await;
    assert_eq!(
        value::<(u64, u64)>(&mut client, "SELECT @@back_log, @@max_connections").await,
        (61, 77)
    );
    spec.parameters
        .insert("max_connections".to_owned(), "not a number".to_owned());
    assert!(matches!(
        bed.engines.reconfigure(&server, spec.clone()).await,
        Err(EngineError::Sql { .. })
    ));
    spec.parameters.remove("max_connections");
    bed.engines.reconfigure(&server, spec).await.unwrap();
    assert_ne!(
        value::<u64>(&mut client, "SELECT @@max_connections").await,
        77,
        "a parameter that was reset goes back to its default"
    );
}
