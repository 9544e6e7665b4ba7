//! Which differences of system variables matter.

use std::collections::BTreeMap;

/// What a difference of these means. They decide how data is read, stored or changed, whatever else is equal.
const NAMED: &[(&str, &str)] = &[
    (
        "event_scheduler",
        "a restored copy runs its events too, at the same time as the old server, or none does",
    ),
    (
        "partial_revokes",
        "while ON, _ and % in the database names of grants are ordinary characters",
    ),
    (
        "lower_case_table_names",
        "names of tables mean different things",
    ),
    ("sql_mode", "statements are accepted or refused differently"),
    ("time_zone", "NOW() and TIMESTAMP columns read differently"),
    (
        "system_time_zone",
        "NOW() reads differently where time_zone is SYSTEM",
    ),
    (
        "character_set_server",
        "new schemas get another character set",
    ),
    ("collation_server", "new schemas get another collation"),
    (
        "explicit_defaults_for_timestamp",
        "new TIMESTAMP columns are made differently",
    ),
    ("default_storage_engine", "new tables are made differently"),
    (
        "log_bin_trust_function_creators",
        "functions and triggers can be made on one side only",
    ),
    ("foreign_key_checks", "inconsistent rows get in on one side"),
];

/// Identity, places, positions, counters, and what follows from the size or the moment of a machine.
const IGNORED: &[&str] = &[
    "admin_address",
    "admin_port",
    "back_log",
    "basedir",
    "bind_address",
    "build_id",
    "error_count",
    "external_user",
    "ft_boolean_syntax",
    "general_log_file",
    "hostname",
    "host_cache_size",
    "identity",
    "init_file",
    "innodb_buffer_pool_chunk_size",
    "innodb_buffer_pool_instances",
    "innodb_buffer_pool_size",
    "innodb_dedicated_server",
    "innodb_open_files",
    "innodb_version",
    "insert_id",
    "in_transaction",
    "key_buffer_size",
    "last_gtid",
    "last_insert_id",
    "license",
    "log_bin",
    "log_bin_basename",
    "log_bin_index",
    "log_error",
    "log_slave_updates",
    "log_replica_updates",
    "max_connections",
    "max_user_connections",
    "offline_mode",
    "open_files_limit",
    "pid_file",
    "port",
    "proxy_user",
    "read_only",
    "report_host",
    "report_port",
    "server_id",
    "server_uid",
    "server_uuid",
    "slow_query_log_file",
    "socket",
    "super_read_only",
    "table_definition_cache",
    "table_open_cache",
    "table_open_cache_instances",
    "thread_cache_size",
    "thread_pool_size",
    "thread_stack",
    "timestamp",
    "warning_count",
];

const IGNORED_PREFIXES: &[&str] = &[
    "aria_pagecache_",
    "aurora_",
    "caching_sha2_password_",
    "debug",
    "gtid_",
    "innodb_buffer_pool_dump_",
    "innodb_buffer_pool_filename",
    "innodb_buffer_pool_load_",
    "innodb_log_file",
    "innodb_redo_log_capacity",
    "large_",
    "mysqlx_",
    "performance_schema_",
    "pseudo_",
    "rand_seed",
    "relay_log",
    "rpl_",
    "secure_file_priv",
    "sha256_password_",
    "skip_replica_start",
    "skip_slave_start",
    "ssl_",
    "tls_",
    "tmpdir",
    "version",
    "wsrep_",
];

const IGNORED_SUFFIXES: &[&str] = &["_dir", "dir", "_file", "_path", "_root"];

/// A system variable with different global values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableDifference {
    /// Its name.
    pub name: String,
    /// The old server's value; `None` when it has no such variable.
    pub old: Option<String>,
    /// The new server's value.
    pub new: Option<String>,
    /// What a difference of it does; empty when nothing in particular is known.
    pub meaning: &'static str,
}

/// Compares global variables, names in lower case as [`crate::mysql::variables`] gives them, without those that
/// differ between any two servers.
pub fn variable_differences(
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Vec<VariableDifference> {
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name) && !is_ignored(name))
        .map(|name| VariableDifference {
            name: name.clone(),
            old: old.get(name).cloned(),
            new: new.get(name).cloned(),
            meaning: NAMED
                .iter()
                .find_map(|(named, meaning)| (named == name).then_some(*meaning))
                .unwrap_or_default(),
        })
        .collect()
}

fn is_ignored(name: &str) -> bool {
    !NAMED.iter().any(|(named, _)| *named == name)
        && (IGNORED.contains(&name)
            || IGNORED_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix))
            || IGNORED_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn identity_is_ignored_and_meaning_is_told() {
        let old = map(&[
            ("server_id", "1"),
            ("hostname", "a"),
            ("gtid_executed", "x"),
            ("datadir", "/a"),
            ("slow_query_log_file", "a.log"),
            ("event_scheduler", "ON"),
            ("sql_mode", "STRICT_TRANS_TABLES"),
            ("wait_timeout", "8"),
            ("partial_revokes", "OFF"),
        ]);
        let new = map(&[
            ("server_id", "2"),
            ("hostname", "b"),
            ("gtid_executed", "y"),
            ("datadir", "/b"),
            ("slow_query_log_file", "b.log"),
            ("event_scheduler", "OFF"),
            ("sql_mode", ""),
            ("wait_timeout", "9"),
        ]);
        let found = variable_differences(&old, &new);
        let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "event_scheduler",
                "partial_revokes",
                "sql_mode",
                "wait_timeout"
            ]
        );
        assert!(
            found
                .iter()
                .all(|found| found.meaning.is_empty() == (found.name == "wait_timeout"))
        );
    }
}
