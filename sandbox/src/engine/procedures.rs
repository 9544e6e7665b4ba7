//! The `mysql.rds_*` procedures and their tables: RDS's names and arguments, bodies of our own.
//!
//! The master user has no privilege to change replication or binary logging; these procedures run with the
//! rights of `rdsadmin@localhost` and are how RDS lets it do so. Which of them exist depends on the version RDS
//! was asked for, what they say inside on the server that stands for it. Results come as a `Message` column.

use super::install::{Family, Flavor, Version};
use super::replication;

/// Which words RDS uses in procedure names: `external_master` up to MySQL 8.0 and on MariaDB, `external_source` since 8.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// `rds_set_external_master`, …
    Master,
    /// `rds_set_external_source`, …
    Source,
}

impl Names {
    /// The names RDS has at this engine version.
    pub(super) fn of(family: Family, engine_version: &str) -> Self {
        match Version::parse(engine_version) {
            Some(version) if family == Family::Mysql && version >= Version(8, 4, 0) => Self::Source,
            _ => Self::Master,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Source => "source",
        }
    }
}

/// Statements that make tables and procedures on a new server.
pub(super) fn install(flavor: Flavor, names: Names) -> Vec<String> {
    let mut statements = tables();
    statements.extend(configuration());
    statements.extend(threads(flavor));
    statements.extend(running(flavor));
    statements.extend(external(flavor, names));
    statements.extend(transactions(flavor));
    statements.extend(logs());
    statements
}

/// The value a new replica starts with: RDS does not hand the source's down.
pub(super) const FORGET_CONFIGURATION: &str =
    "UPDATE mysql.rds_configuration SET value = IF(name = 'binlog retention hours', NULL, '0')";

fn tables() -> Vec<String> {
    [
        "CREATE TABLE mysql.rds_configuration (name VARCHAR(100) NOT NULL PRIMARY KEY, value VARCHAR(100), description VARCHAR(300) NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=latin1",
        "INSERT INTO mysql.rds_configuration VALUES \
         ('binlog retention hours', NULL, 'binlog retention hours specifies the duration in hours before binary logs are automatically deleted.'), \
         ('source delay', '0', 'source delay specifies replication delay in seconds between current instance and its master.'), \
         ('target delay', '0', 'target delay specifies replication delay in seconds between current instance and its future read-replica.')",
        "CREATE TABLE mysql.rds_history (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, action_timestamp TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, \
         called_by_user VARCHAR(384) NOT NULL, action VARCHAR(30) NOT NULL, mysql_version VARCHAR(50) NOT NULL, master_host VARCHAR(255), master_port INT, \
         master_user VARCHAR(96), master_log_file VARCHAR(255), master_log_pos BIGINT) ENGINE=InnoDB DEFAULT CHARSET=latin1",
        "CREATE TABLE mysql.rds_replication_status (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, action_timestamp TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, \
         called_by_user VARCHAR(384) NOT NULL, action VARCHAR(30) NOT NULL, mysql_version VARCHAR(50) NOT NULL, master_host VARCHAR(255), master_port INT) \
         ENGINE=InnoDB DEFAULT CHARSET=latin1",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn procedure(name: &str, arguments: &str, body: &str) -> String {
    format!(
        "CREATE DEFINER=`rdsadmin`@`localhost` PROCEDURE mysql.{name}({arguments}) SQL SECURITY DEFINER BEGIN {body} END"
    )
}

/// A body that leaves no trace in the binary log, whatever happens in it.
fn unlogged(body: &str) -> String {
    format!(
        "DECLARE logging BOOLEAN DEFAULT @@SESSION.sql_log_bin; \
         DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SET SESSION sql_log_bin = logging; RESIGNAL; END; \
         SET SESSION sql_log_bin = 0; {body} SET SESSION sql_log_bin = logging;"
    )
}

fn refuse(condition: &str, message: &str) -> String {
    format!("IF {condition} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{message}'; END IF; ")
}

fn configuration() -> Vec<String> {
    let checks = [
        refuse("NOT EXISTS (SELECT 1 FROM mysql.rds_configuration c WHERE c.name = config_name)", "Invalid configuration name."),
        refuse(
            "config_name = 'binlog retention hours' AND (config_value < 1 OR config_value > 168)",
            "For binlog retention hours the value must be between 1 and 168 inclusive or be NULL",
        ),
        refuse(
            "config_name <> 'binlog retention hours' AND (config_value IS NULL OR config_value < 0 OR config_value > 86400)",
            "For source delay and target delay the value must be between 0 and 86400 inclusive",
        ),
    ]
    .concat();
    let set = unlogged(
        "UPDATE mysql.rds_configuration c SET c.value = config_value WHERE c.name = config_name;",
    );
    vec![
        procedure(
            "rds_set_configuration",
            "IN config_name VARCHAR(30), IN config_value INT",
            &format!("BEGIN {checks} END; BEGIN {set} END;"),
        ),
        procedure(
            "rds_show_configuration",
            "",
            "SELECT c.name, c.value, c.description FROM mysql.rds_configuration c ORDER BY c.name;",
        ),
    ]
}

/// `rds_kill`, `rds_kill_query` and MariaDB's `rds_kill_query_id`: the master user may not kill what is not its own. RDS's processes stay.
fn threads(flavor: Flavor) -> Vec<String> {
    let guard = refuse(
        "EXISTS (SELECT 1 FROM information_schema.PROCESSLIST p WHERE p.ID = thread AND p.USER IN ('rdsadmin', 'rdsrepladmin', 'system user'))",
        "Cannot kill a thread of RDS.",
    );
    let mut all = vec![
        procedure(
            "rds_kill",
            "IN thread BIGINT",
            &format!("{guard} KILL thread;"),
        ),
        procedure(
            "rds_kill_query",
            "IN thread BIGINT",
            &format!("{guard} KILL QUERY thread;"),
        ),
    ];
    if flavor.is_mariadb() {
        let guard = guard.replace("p.ID = thread", "p.QUERY_ID = query");
        all.push(procedure(
            "rds_kill_query_id",
            "IN query BIGINT",
            &format!("{guard} KILL QUERY ID query;"),
        ));
    }
    all
}

/// MySQL's procedures that name single transactions, which they can since 5.7.
fn transactions(flavor: Flavor) -> Vec<String> {
    if !flavor.mysql_since(5, 7, 0) {
        return Vec::new();
    }
    let (start, stop) = (replication::start(flavor), replication::stop(flavor));
    let role = if start == "START REPLICA" {
        "Replica"
    } else {
        "Slave"
    };
    let mut all = vec![
        procedure(
            "rds_skip_transaction_with_gtid",
            "IN gtid_to_skip VARCHAR(57)",
            &format!(
                "DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SET SESSION gtid_next = 'AUTOMATIC'; RESIGNAL; END; \
                 {stop}; SET SESSION gtid_next = gtid_to_skip; START TRANSACTION; COMMIT; SET SESSION gtid_next = 'AUTOMATIC'; {start}; \
                 {}SELECT 'Transaction has been skipped successfully.' AS Message;",
                journal("skip gtid")
            ),
        ),
        procedure(
            "rds_start_replication_until_gtid",
            "IN gtid VARCHAR(57)",
            &format!(
                "{}{}SELECT '{role} started until the transaction.' AS Message;",
                prepared(&format!(
                    "CONCAT('{start} UNTIL SQL_AFTER_GTIDS=', QUOTE(gtid))"
                )),
                journal("start slave until gtid")
            ),
        ),
    ];
    if flavor.mysql_since(8, 0, 37) {
        all.push(procedure(
            "rds_set_external_source_gtid_purged",
            "IN server_uuid VARCHAR(36), IN start_pos BIGINT, IN end_pos BIGINT",
            &format!(
                "{}SELECT 'gtid_purged has been set.' AS Message;",
                prepared(
                    "CONCAT('SET GLOBAL gtid_purged = ', QUOTE(CONCAT(server_uuid, ':', start_pos, '-', end_pos)))"
                )
            ),
        ));
    }
    all
}

/// Rotation of the logs that are tables: what was written so far goes to `slow_log_backup` and `general_log_backup`.
fn logs() -> Vec<String> {
    ["slow_log", "general_log"]
        .map(|log| {
            let rotate = format!(
                "DROP TABLE IF EXISTS mysql.{log}_next; CREATE TABLE mysql.{log}_next LIKE mysql.{log}; \
                 DROP TABLE IF EXISTS mysql.{log}_backup; RENAME TABLE mysql.{log} TO mysql.{log}_backup, mysql.{log}_next TO mysql.{log};"
            );
            procedure(
                &format!("rds_rotate_{log}"),
                "",
                &format!("BEGIN {} END;", unlogged(&rotate)),
            )
        })
        .to_vec()
}

fn journal(action: &str) -> String {
    let insert = format!(
        "INSERT INTO mysql.rds_replication_status (called_by_user, action, mysql_version) VALUES (USER(), '{action}', VERSION());"
    );
    format!("BEGIN {} END; ", unlogged(&insert))
}

/// Runs a statement put together from arguments.
fn prepared(expression: &str) -> String {
    format!(
        "SET @rds_statement = {expression}; PREPARE rds_statement FROM @rds_statement; EXECUTE rds_statement; DEALLOCATE PREPARE rds_statement; SET @rds_statement = NULL; "
    )
}

fn running(flavor: Flavor) -> Vec<String> {
    let (start, stop) = (replication::start(flavor), replication::stop(flavor));
    let new = start == "START REPLICA";
    let (role, word) = if new {
        ("Replica", "SOURCE")
    } else {
        ("Slave", "MASTER")
    };
    let skip = if flavor.mysql_since(8, 0, 26) {
        "sql_replica_skip_counter"
    } else {
        "sql_slave_skip_counter"
    };
    // With GTIDs on, 5.7 refuses the counter and 9.7 takes it and skips nothing.
    let by_name = if flavor.mysql_since(5, 7, 0) {
        refuse(
            "@@GLOBAL.gtid_mode = 'ON'",
            "gtid_mode is ON: use mysql.rds_skip_transaction_with_gtid.",
        )
    } else {
        String::new()
    };
    let started = format!(
        "{start}; {}SELECT '{role} running normally.' AS Message;",
        journal("start slave")
    );
    let mut all = vec![
        procedure("rds_start_replication", "", &started),
        procedure(
            "rds_stop_replication",
            "",
            &format!(
                "{stop}; {}SELECT '{role} is down or disabled' AS Message;",
                journal("stop slave")
            ),
        ),
        procedure(
            "rds_skip_repl_error",
            "",
            &format!(
                "{by_name}{stop}; SET GLOBAL {skip} = 1; {start}; SELECT 'Statement in error has been skipped' AS Message;"
            ),
        ),
        procedure(
            "rds_start_replication_until",
            "IN replication_log_file VARCHAR(255), IN replication_stop_point BIGINT",
            &format!(
                "{}SELECT '{role} started until the stop point.' AS Message;",
                prepared(&format!(
                    "CONCAT('{start} UNTIL {word}_LOG_FILE=', QUOTE(replication_log_file), ', {word}_LOG_POS=', replication_stop_point)"
                ))
            ),
        ),
    ];
    if flavor.is_mariadb() {
        all.push(procedure(
            "rds_replica_status",
            "",
            &format!("{};", replication::show_status(flavor)),
        ));
    }
    all
}

/// Procedures that point a server at a source outside RDS (here: any reachable server).
fn external(flavor: Flavor, names: Names) -> Vec<String> {
    let new = replication::start(flavor) == "START REPLICA";
    let (change, word) = if new {
        ("CHANGE REPLICATION SOURCE TO", "SOURCE")
    } else {
        ("CHANGE MASTER TO", "MASTER")
    };
    let name = names.word();
    let host =
        "IN host VARCHAR(255), IN port INT, IN replication_user TEXT, IN replication_password TEXT";
    let to = format!(
        "'{change} {word}_HOST=', QUOTE(host), ', {word}_PORT=', port, ', {word}_USER=', QUOTE(replication_user), ', {word}_PASSWORD=', QUOTE(replication_password), ', {word}_CONNECT_RETRY=1'"
    );
    let log = format!("', {word}_LOG_FILE=', QUOTE(log_file), ', {word}_LOG_POS=', log_position");
    // Encrypted or not, the certificate is never verified; a password over plain TCP needs the source's key.
    let tls = match (flavor.mariadb_since(11, 3), new) {
        (true, _) => {
            format!("', {word}_SSL=', ssl_encryption, ', {word}_SSL_VERIFY_SERVER_CERT=0'")
        }
        (false, true) => format!("', {word}_SSL=', ssl_encryption, ', GET_SOURCE_PUBLIC_KEY=1'"),
        (false, false) => format!("', {word}_SSL=', ssl_encryption"),
    };
    let no_gtid = if flavor.is_mariadb() {
        ", ', MASTER_USE_GTID=no'"
    } else {
        ""
    };
    let note = format!(
        "BEGIN {} END; ",
        unlogged(
            "INSERT INTO mysql.rds_history (called_by_user, action, mysql_version, master_host, master_port, master_user) VALUES (USER(), 'set master', VERSION(), host, port, replication_user);"
        )
    );
    let file = "IN log_file VARCHAR(255), IN log_position BIGINT";
    let mut all = vec![
        procedure(
            &format!("rds_set_external_{name}"),
            &format!("{host}, {file}, IN ssl_encryption BOOLEAN"),
            &format!(
                "{}{note}",
                prepared(&format!("CONCAT({to}, {log}, {tls}{no_gtid})"))
            ),
        ),
        procedure(
            &format!("rds_reset_external_{name}"),
            "",
            &format!(
                "{}; {}; {}SELECT '{} has been reset' AS message;",
                replication::stop(flavor),
                replication::reset(flavor),
                journal("reset slave"),
                if new { "Replica" } else { "Slave" }
            ),
        ),
        procedure(
            &format!("rds_next_{name}_log"),
            "IN current_log INT",
            &format!(
                "{}; {} {}; SELECT '{} Log Position has been set to start of next log' AS Message;",
                replication::stop(flavor),
                prepared(&format!(
                    "CONCAT('{change} {word}_LOG_FILE=', QUOTE(CONCAT('mysql-bin-changelog.', LPAD(current_log + 1, 6, '0'))), ', {word}_LOG_POS=4')"
                )),
                replication::start(flavor),
                if new { "Source" } else { "Master" }
            ),
        ),
    ];
    let delayed = flavor.mysql_since(5, 6, 0) || flavor.mariadb_since(10, 2);
    if delayed {
        let range = refuse(
            "delay IS NULL OR delay < 0 OR delay > 86400",
            "For source delay the value must be between 0 and 86400 inclusive.",
        );
        let set = prepared(&format!(
            "CONCAT({to}, {log}, {tls}{no_gtid}, ', {word}_DELAY=', delay)"
        ));
        all.push(procedure(
            &format!("rds_set_external_{name}_with_delay"),
            &format!("{host}, {file}, IN ssl_encryption BOOLEAN, IN delay INT"),
            &format!("{range}{set}{note}"),
        ));
        let set = prepared(&format!("CONCAT('{change} {word}_DELAY=', delay)"));
        all.push(procedure(
            "rds_set_source_delay",
            "IN delay INT",
            &format!(
                "{range}{}; {set}{}; SELECT CONCAT('source delay is set to ', delay) AS Message;",
                replication::stop(flavor),
                replication::start(flavor)
            ),
        ));
    }
    if flavor.is_mariadb() {
        let set = prepared(&format!(
            "CONCAT({to}, {tls}, ', MASTER_USE_GTID=slave_pos')"
        ));
        all.push(procedure(
            "rds_set_external_master_gtid",
            &format!("{host}, IN gtid VARCHAR(1024), IN ssl_encryption BOOLEAN"),
            &format!("SET GLOBAL gtid_slave_pos = gtid; {set}{note}"),
        ));
    } else if flavor.mysql_since(5, 7, 0) {
        let range = refuse(
            "delay IS NULL OR delay < 0 OR delay > 86400",
            "For source delay the value must be between 0 and 86400 inclusive.",
        );
        let set = prepared(&format!(
            "CONCAT({to}, {tls}, ', {word}_AUTO_POSITION=1, {word}_DELAY=', delay)"
        ));
        all.push(procedure(
            &format!("rds_set_external_{name}_with_auto_position"),
            &format!("{host}, IN ssl_encryption BOOLEAN, IN delay INT"),
            &format!("{range}{set}{note}"),
        ));
        let set = prepared(&format!(
            "CONCAT('{change} {word}_AUTO_POSITION=', auto_position_mode)"
        ));
        all.push(procedure(
            &format!("rds_set_{name}_auto_position"),
            "IN auto_position_mode BOOLEAN",
            &format!(
                "{}; {set}{}; SELECT 'Auto position has been set.' AS Message;",
                replication::stop(flavor),
                replication::start(flavor)
            ),
        ));
    }
    all
}
