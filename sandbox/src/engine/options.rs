//! The options a server is started with: small, quick, and as RDS would have it.

use std::collections::BTreeMap;

use super::ServerSpec;
use super::install::Flavor;

/// RDS's name for binary logs; relative, so that a copied data folder needs no path corrected.
const BINLOG: &str = "mysql-bin-changelog";

/// What a DB parameter group says that a server on one's own machine must not take over: places, network,
/// identity, and sizes meant for a machine of its own. Names with underscores, as parameter groups have them.
const OURS: &[&str] = &[
    "basedir",
    "bind_address",
    "character_sets_dir",
    "core_file",
    "datadir",
    "general_log_file",
    "gtid_mode_online",
    "init_file",
    "large_pages",
    "lc_messages_dir",
    "log_bin",
    "log_bin_basename",
    "log_bin_index",
    "log_error",
    "log_output",
    "lower_case_table_names",
    "performance_schema",
    "pid_file",
    "plugin_dir",
    "plugin_load",
    "plugin_load_add",
    "port",
    "read_only",
    "relay_log",
    "relay_log_basename",
    "relay_log_index",
    "relay_log_info_file",
    "secure_file_priv",
    "server_id",
    "server_uuid",
    "skip_name_resolve",
    "skip_slave_start",
    "skip_replica_start",
    "slow_query_log_file",
    "socket",
    "sync_binlog",
    "tmpdir",
    "user",
    "innodb_buffer_pool_chunk_size",
    "innodb_buffer_pool_instances",
    "innodb_buffer_pool_size",
    "innodb_data_file_path",
    "innodb_data_home_dir",
    "innodb_dedicated_server",
    "innodb_flush_log_at_trx_commit",
    "innodb_flush_method",
    "innodb_log_buffer_size",
    "innodb_log_file_size",
    "innodb_log_files_in_group",
    "innodb_log_group_home_dir",
    "innodb_page_size",
    "innodb_redo_log_capacity",
    "innodb_temp_data_file_path",
    "innodb_tmpdir",
    "innodb_undo_directory",
    "innodb_undo_tablespaces",
    "innodb_use_native_aio",
    "key_buffer_size",
];
const OUR_PREFIXES: &[&str] = &[
    "rds_",
    "rds.",
    "aurora_",
    "ssl_",
    "tls_",
    "admin_",
    "auto_generate_certs",
];

/// Parameters of a spec that reach the server, in the server's spelling.
pub(super) fn server_parameters(spec: &ServerSpec) -> BTreeMap<String, String> {
    let passes = |name: &str| {
        !OURS.contains(&name) && !OUR_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    spec.parameters
        .iter()
        // Parameter groups write some names with dashes.
        .map(|(name, value)| (name.to_ascii_lowercase().replace('-', "_"), value.clone()))
        // A formula the control plane did not resolve is no value.
        .filter(|(name, value)| passes(name) && !value.contains('{'))
        .collect()
}

/// Whether the spec says `read_only`.
pub(super) fn read_only(spec: &ServerSpec) -> bool {
    spec.parameters
        .get("read_only")
        .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "on" | "true"))
}

/// Options for every server of this flavor, for templates too.
pub(super) fn lean(flavor: Flavor) -> Vec<String> {
    let mut options = [
        "--innodb-buffer-pool-size=24M",
        "--innodb-log-buffer-size=1M",
        // Each commit is written, so that a copy of the files has it, but not synced (see `copy`).
        "--innodb-flush-log-at-trx-commit=2",
        "--loose-innodb-flush-method=nosync",
        "--loose-debug-no-sync",
        "--sync-binlog=0",
        "--sync-relay-log=0",
        // A replica whose source's port is answered by something else must notice soon.
        "--slave-net-timeout=5",
        // Requests that are still in the kernel when the threads stand still would change files while they are copied.
        "--innodb-use-native-aio=0",
        "--innodb-autoextend-increment=1",
        "--loose-innodb-buffer-pool-dump-at-shutdown=0",
        "--loose-innodb-buffer-pool-load-at-startup=0",
        "--table-open-cache=400",
        "--table-definition-cache=400",
        "--max-connections=150",
        "--max-allowed-packet=64M",
        "--skip-name-resolve",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut add = |text: &str| options.push(text.to_owned());
    if flavor.is_mariadb() {
        add("--innodb-log-file-size=4M");
        add("--aria-log-file-size=8M");
        add("--aria-pagecache-buffer-size=8M");
        add("--loose-sync-frm=0");
        add("--innodb-undo-tablespaces=0");
        add("--performance-schema=OFF");
    } else if flavor.mysql_since(8, 0, 30) {
        add("--innodb-redo-log-capacity=8M");
        // The only place where an applier's own error is told.
        add("--performance-schema=ON");
        add("--performance-schema-instrument=%=OFF");
        // Its tables are sized for a machine of their own.
        for size in [
            "max-table-instances=200",
            "max-table-handles=200",
            "max-rwlock-instances=0",
            "max-mutex-instances=0",
            "max-cond-instances=0",
            "digests-size=0",
            "error-size=0",
            "events-statements-history-long-size=0",
        ] {
            add(&format!("--performance-schema-{size}"));
        }
    } else {
        add("--innodb-log-file-size=8M");
        add("--loose-sync-frm=0");
        add("--performance-schema=OFF");
        // Where RDS keeps it; in files it would not survive a crash in step with the data.
        add("--master-info-repository=TABLE");
        add("--relay-log-info-repository=TABLE");
    }
    options
}

/// How one start of a server differs from the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) server_id: u32,
    pub(super) port: u16,
    pub(super) log_bin: bool,
    /// First start on a copy: replication settings that came along must not act.
    pub(super) hold_replication: bool,
}

/// Options of one start of a server that stands for `spec`.
pub(super) fn for_start(flavor: Flavor, spec: &ServerSpec, start: Start) -> Vec<String> {
    let mut options = lean(flavor);
    let mut add = |text: String| options.push(text);
    add("--bind-address=127.0.0.1".to_owned());
    add(format!("--port={}", start.port));
    add(format!("--server-id={}", start.server_id));
    add("--relay-log=relaylog".to_owned());
    add(format!(
        "--read-only={}",
        if read_only(spec) { "ON" } else { "OFF" }
    ));
    // Without the endpoint's host name known to the server, a replica reports nothing instead of something wrong.
    add("--loose-binlog-format=MIXED".to_owned());
    if start.log_bin {
        add(format!("--log-bin={BINLOG}"));
        add(if flavor.mysql_since(8, 0, 26) {
            "--log-replica-updates=ON"
        } else {
            "--log-slave-updates=ON"
        }
        .to_owned());
    } else {
        add("--skip-log-bin".to_owned());
    }
    if start.hold_replication {
        add(if flavor.mysql_since(8, 0, 26) {
            "--skip-replica-start=ON"
        } else {
            "--skip-slave-start=ON"
        }
        .to_owned());
    }
    if flavor.mysql_since(8, 4, 0) {
        // RDS's default; the server's own became ON.
        add("--gtid-mode=OFF".to_owned());
        add("--enforce-gtid-consistency=OFF".to_owned());
    }
    // As on RDS: after a crash a replica goes on where its data is, and not where a file says it was.
    add("--loose-relay-log-recovery=ON".to_owned());
    if !flavor.is_mariadb() && !flavor.mysql_since(8, 0, 23) {
        add("--master-info-repository=TABLE".to_owned());
        add("--relay-log-info-repository=TABLE".to_owned());
    }
    // Last, so that they win. Loose: RDS has parameters that this server does not know.
    options.extend(
        server_parameters(spec)
            .iter()
            .map(|(name, value)| format!("--loose-{}={value}", name.replace('_', "-"))),
    );
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_would_break_a_local_server_stay_out() {
        let parameters = [
            ("innodb_buffer_pool_size", "12884901888"),
            ("rds.force_ssl", "1"),
            ("max_connections", "{DBInstanceClassMemory/12582880}"),
            ("sql-mode", "ANSI"),
            ("read_only", "1"),
        ];
        let spec = ServerSpec {
            engine: "mysql".into(),
            engine_version: "5.7.44".into(),
            master_username: "admin".into(),
            master_password: String::new(),
            parameters: parameters
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            log_bin: true,
        };
        assert_eq!(
            server_parameters(&spec),
            BTreeMap::from([("sql_mode".to_owned(), "ANSI".to_owned())])
        );
        assert!(read_only(&spec));
    }
}
