//! Parameters of the families: RDS's own names, types and values first, then what the servers know.

use std::sync::LazyLock;

/// A parameter as the family defines it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) is_static: bool,
    pub(crate) data_type: &'static str,
    pub(crate) value: Option<&'static str>,
    /// `engine-default` or `system`.
    pub(crate) source: &'static str,
    pub(crate) is_modifiable: bool,
}

const fn parameter(
    name: &'static str,
    is_static: bool,
    data_type: &'static str,
    value: Option<&'static str>,
) -> Parameter {
    Parameter {
        name,
        is_static,
        data_type,
        value,
        source: "engine-default",
        is_modifiable: true,
    }
}

const fn system(
    name: &'static str,
    is_static: bool,
    data_type: &'static str,
    value: &'static str,
) -> Parameter {
    Parameter {
        name,
        is_static,
        data_type,
        value: Some(value),
        source: "system",
        is_modifiable: true,
    }
}

/// One that RDS sets and nobody changes.
const fn fixed(
    name: &'static str,
    is_static: bool,
    data_type: &'static str,
    value: &'static str,
) -> Parameter {
    Parameter {
        is_modifiable: false,
        ..system(name, is_static, data_type, value)
    }
}

const MYSQL: &[Parameter] = &[
    parameter("autocommit", false, "boolean", None),
    parameter("auto_increment_increment", false, "integer", None),
    parameter("auto_increment_offset", false, "integer", None),
    fixed("basedir", true, "string", "/rdsdbbin/mysql"),
    parameter("back_log", true, "integer", None),
    parameter("binlog_cache_size", false, "integer", Some("32768")),
    system("binlog_format", false, "string", "MIXED"),
    parameter("binlog_row_image", false, "string", None),
    parameter("character_set_client", false, "string", None),
    parameter("character_set_server", false, "string", None),
    parameter("collation_server", false, "string", None),
    parameter("connect_timeout", false, "integer", None),
    fixed("datadir", true, "string", "/rdsdbdata/db/"),
    parameter("event_scheduler", false, "string", None),
    parameter(
        "explicit_defaults_for_timestamp",
        true,
        "boolean",
        Some("1"),
    ),
    parameter("general_log", false, "boolean", None),
    parameter("gtid-mode", true, "string", Some("OFF_PERMISSIVE")),
    parameter("gtid_mode", true, "string", None),
    parameter("group_concat_max_len", false, "integer", None),
    parameter("init_connect", false, "string", None),
    system(
        "innodb_buffer_pool_size",
        false,
        "integer",
        "{DBInstanceClassMemory*3/4}",
    ),
    parameter("innodb_file_per_table", false, "boolean", Some("1")),
    parameter("innodb_flush_log_at_trx_commit", false, "integer", None),
    parameter("innodb_ft_min_token_size", true, "integer", None),
    parameter("innodb_lock_wait_timeout", false, "integer", None),
    parameter("innodb_log_file_size", true, "integer", None),
    parameter("innodb_read_io_threads", true, "integer", None),
    parameter("innodb_write_io_threads", true, "integer", None),
    parameter("interactive_timeout", false, "integer", None),
    parameter("local_infile", false, "boolean", None),
    parameter("lock_wait_timeout", false, "integer", None),
    fixed("log_bin", true, "string", "mysql-bin-changelog"),
    parameter("log_bin_trust_function_creators", false, "boolean", None),
    parameter("log_output", false, "list", Some("TABLE")),
    parameter("log_queries_not_using_indexes", false, "boolean", None),
    parameter("long_query_time", false, "float", None),
    parameter("lower_case_table_names", true, "integer", None),
    parameter("max_allowed_packet", false, "integer", None),
    parameter("max_connect_errors", false, "integer", None),
    system(
        "max_connections",
        false,
        "integer",
        "{DBInstanceClassMemory/12582880}",
    ),
    parameter("max_heap_table_size", false, "integer", None),
    parameter("net_read_timeout", false, "integer", None),
    parameter("net_write_timeout", false, "integer", None),
    parameter("performance_schema", true, "boolean", None),
    fixed("port", true, "integer", "{EndPointPort}"),
    system("read_only", false, "boolean", "{TrueIfReplica}"),
    parameter("require_secure_transport", false, "boolean", None),
    fixed("server_id", true, "integer", "{ServerId}"),
    parameter("skip_name_resolve", true, "boolean", None),
    parameter("slave_parallel_workers", false, "integer", None),
    parameter("slow_query_log", false, "boolean", None),
    parameter("sql_mode", false, "list", None),
    parameter("sync_binlog", false, "integer", Some("1")),
    parameter("table_definition_cache", false, "integer", None),
    parameter("table_open_cache", false, "integer", None),
    parameter("thread_cache_size", false, "integer", None),
    parameter("time_zone", false, "string", Some("UTC")),
    parameter("tmp_table_size", false, "integer", None),
    parameter("transaction_isolation", false, "string", None),
    parameter("tx_isolation", false, "string", None),
    parameter("wait_timeout", false, "integer", None),
];

const POSTGRES: &[Parameter] = &[
    parameter("autovacuum", false, "boolean", Some("1")),
    fixed(
        "archive_command",
        false,
        "string",
        "/etc/rds/dbbin/pgscripts/rds_wal_archive %p",
    ),
    parameter("checkpoint_timeout", false, "integer", None),
    parameter("log_min_duration_statement", false, "integer", None),
    parameter("log_statement", false, "string", None),
    system(
        "max_connections",
        true,
        "integer",
        "LEAST({DBInstanceClassMemory/9531392},5000)",
    ),
    parameter("rds.force_ssl", false, "boolean", Some("1")),
    parameter("rds.logical_replication", true, "boolean", Some("0")),
    system(
        "shared_buffers",
        true,
        "integer",
        "{DBInstanceClassMemory/32768}",
    ),
    parameter(
        "shared_preload_libraries",
        true,
        "list",
        Some("pg_stat_statements"),
    ),
    parameter("timezone", false, "string", Some("UTC")),
    parameter("wal_sender_timeout", false, "integer", None),
    parameter("work_mem", false, "integer", None),
];

/// What the servers themselves know, under the names, types and values above.
fn with_variables(of_mariadb: bool) -> Vec<Parameter> {
    let variables = include_str!("server_variables.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (name, data_type) = (words.next()?, words.next()?);
            let kind = words.nth(usize::from(of_mariadb))?;
            (kind != "-").then(|| parameter(name, kind == "static", data_type, None))
        })
        .filter(|variable| MYSQL.iter().all(|known| known.name != variable.name));
    let mut all: Vec<Parameter> = MYSQL.iter().copied().chain(variables).collect();
    all.sort_by_key(|parameter| parameter.name);
    all
}

static OF_MYSQL: LazyLock<Vec<Parameter>> = LazyLock::new(|| with_variables(false));
static OF_MARIADB: LazyLock<Vec<Parameter>> = LazyLock::new(|| with_variables(true));

/// The parameters of a family.
pub(crate) fn parameters(family: &str) -> &'static [Parameter] {
    if family.contains("postgres") {
        POSTGRES
    } else if family.starts_with("mariadb") {
        &OF_MARIADB
    } else {
        &OF_MYSQL
    }
}

/// The parameter of a family, by name.
pub(crate) fn known_parameter(family: &str, name: &str) -> Option<&'static Parameter> {
    parameters(family)
        .iter()
        .find(|parameter| parameter.name == name)
}

/// Whether a change of this parameter waits for a reboot. Unknown names count as dynamic.
pub(crate) fn is_static(family: &str, name: &str) -> bool {
    parameters(family)
        .iter()
        .any(|parameter| parameter.name == name && parameter.is_static)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_is_there_once_and_every_line_is_read() {
        for family in ["mysql8.0", "mariadb10.11", "postgres16"] {
            let all = parameters(family);
            let mut names: Vec<&str> = all.iter().map(|parameter| parameter.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all.len(), "{family}");
        }
        assert!(parameters("mysql8.0").len() > 300);
        for line in include_str!("server_variables.txt").lines().skip(2) {
            let words: Vec<&str> = line.split(' ').collect();
            let [name, data_type, mysql, mariadb] = words.as_slice() else {
                panic!("{line}");
            };
            assert!(
                ["boolean", "integer", "float", "string"].contains(data_type),
                "{line}"
            );
            for (family, kind) in [("mysql8.0", mysql), ("mariadb10.11", mariadb)] {
                assert_eq!(
                    known_parameter(family, name).is_some(),
                    *kind != "-" || MYSQL.iter().any(|known| known.name == *name),
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn families_differ() {
        assert!(known_parameter("mariadb10.11", "aria_pagecache_buffer_size").is_some());
        assert!(known_parameter("mysql8.0", "aria_pagecache_buffer_size").is_none());
        assert!(is_static("mysql8.0", "innodb_ft_cache_size"));
        assert!(!is_static("mysql8.0", "innodb_io_capacity"));
    }
}
