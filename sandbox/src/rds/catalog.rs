//! What RDS offers: engines, families, default groups, parameters, classes and storage rules.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ApiError;
use super::state::{OptionGroup, ParameterGroup, Region};

/// The commercial regions.
pub(crate) const REGIONS: [(&str, bool); 33] = [
    ("af-south-1", false),
    ("ap-east-1", false),
    ("ap-northeast-1", true),
    ("ap-northeast-2", true),
    ("ap-northeast-3", true),
    ("ap-south-1", true),
    ("ap-south-2", false),
    ("ap-southeast-1", true),
    ("ap-southeast-2", true),
    ("ap-southeast-3", false),
    ("ap-southeast-4", false),
    ("ap-southeast-5", false),
    ("ap-southeast-7", false),
    ("ca-central-1", true),
    ("ca-west-1", false),
    ("eu-central-1", true),
    ("eu-central-2", false),
    ("eu-north-1", true),
    ("eu-south-1", false),
    ("eu-south-2", false),
    ("eu-west-1", true),
    ("eu-west-2", true),
    ("eu-west-3", true),
    ("il-central-1", false),
    ("me-central-1", false),
    ("me-south-1", false),
    ("mx-central-1", false),
    ("sa-east-1", true),
    ("us-east-1", true),
    ("us-east-2", true),
    ("us-west-1", true),
    ("us-west-2", true),
    ("ap-east-2", false),
];

/// Families of DB parameter groups whose default groups every region has.
const FAMILIES: [(&str, &str, &str); 22] = [
    ("mysql5.6", "mysql", "5.6"),
    ("mysql5.7", "mysql", "5.7"),
    ("mysql8.0", "mysql", "8.0"),
    ("mysql8.4", "mysql", "8.4"),
    ("mariadb10.4", "mariadb", "10.4"),
    ("mariadb10.5", "mariadb", "10.5"),
    ("mariadb10.6", "mariadb", "10.6"),
    ("mariadb10.11", "mariadb", "10.11"),
    ("mariadb11.4", "mariadb", "11.4"),
    ("mariadb11.8", "mariadb", "11.8"),
    ("postgres12", "postgres", "12"),
    ("postgres13", "postgres", "13"),
    ("postgres14", "postgres", "14"),
    ("postgres15", "postgres", "15"),
    ("postgres16", "postgres", "16"),
    ("postgres17", "postgres", "17"),
    ("aurora-mysql5.7", "aurora-mysql", "5.7"),
    ("aurora-mysql8.0", "aurora-mysql", "8.0"),
    ("aurora-postgresql14", "aurora-postgresql", "14"),
    ("aurora-postgresql15", "aurora-postgresql", "15"),
    ("aurora-postgresql16", "aurora-postgresql", "16"),
    ("neptune1.3", "neptune", "1.3"),
];

/// The major version as option groups write it: `8.0`, `10.11`, `16`.
pub(crate) fn major_version(engine: &str, version: &str) -> String {
    let mut parts = version.split('.');
    let first = parts.next().unwrap_or_default();
    if engine.contains("postgres") || engine == "docdb" {
        return first.to_owned();
    }
    match parts.next() {
        Some(second) => format!("{first}.{second}"),
        None => first.to_owned(),
    }
}

/// The parameter group family of an engine version.
pub(crate) fn family(engine: &str, version: &str) -> String {
    format!("{engine}{}", major_version(engine, version))
}

/// The default parameter group of an engine version.
pub(crate) fn default_parameter_group(engine: &str, version: &str) -> String {
    format!("default.{}", family(engine, version))
}

/// The default option group of an engine version.
pub(crate) fn default_option_group(engine: &str, version: &str) -> String {
    format!(
        "default:{engine}-{}",
        major_version(engine, version).replace('.', "-")
    )
}

/// The port an engine listens on unless told otherwise.
pub(crate) fn default_port(engine: &str) -> i64 {
    if engine.contains("postgres") {
        5432
    } else {
        3306
    }
}

/// The licence model of an engine.
pub(crate) fn default_license(engine: &str) -> &'static str {
    if engine.contains("postgres") {
        "postgresql-license"
    } else {
        "general-public-license"
    }
}

/// Whether a real server could stand behind an instance of this engine.
pub(crate) fn is_mysql_family(engine: &str) -> bool {
    matches!(engine, "mysql" | "mariadb")
}

/// Families that exist: name, engine and major version.
pub(crate) fn families() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    FAMILIES.into_iter()
}

/// Whether DB clusters of this family exist: Aurora, Neptune, and Multi-AZ DB clusters of newer engines.
pub(crate) fn has_clusters(family: &str) -> bool {
    !family.starts_with("mariadb") && !family.starts_with("mysql5") && family != "postgres12"
}

/// Puts the default groups into a new region.
pub(crate) fn default_groups(region: &mut Region) {
    for (family, engine, major) in FAMILIES {
        let name = format!("default.{family}");
        let mut group = ParameterGroup {
            name: name.clone(),
            family: family.to_owned(),
            description: format!("Default parameter group for {family}"),
            user: BTreeMap::new(),
            deferred: BTreeSet::new(),
            tags: Vec::new(),
        };
        region.parameter_groups.insert(name.clone(), group.clone());
        if has_clusters(family) {
            group.description = format!("Default cluster parameter group for {family}");
            region.cluster_parameter_groups.insert(name, group);
        }
        let name = format!("default:{engine}-{}", major.replace('.', "-"));
        region.option_groups.insert(
            name.clone(),
            OptionGroup {
                name,
                description: format!("Default option group for {engine} {major}"),
                engine: engine.to_owned(),
                major_version: major.to_owned(),
                options: Vec::new(),
                tags: Vec::new(),
            },
        );
    }
}

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

/// The parameters of a family.
pub(crate) fn parameters(family: &str) -> &'static [Parameter] {
    if family.contains("postgres") {
        POSTGRES
    } else {
        MYSQL
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

/// Whether the class can encrypt its storage: db.m1.*, db.m2.* and db.t2.micro cannot.
pub(crate) fn class_supports_encryption(class: &str) -> bool {
    !(class.starts_with("db.m1.") || class.starts_with("db.m2.") || class == "db.t2.micro")
}

/// Classes that DescribeOrderableDBInstanceOptions lists.
pub(crate) const CLASSES: [&str; 18] = [
    "db.m1.small",
    "db.m2.xlarge",
    "db.t2.micro",
    "db.t2.small",
    "db.t2.medium",
    "db.t3.micro",
    "db.t3.small",
    "db.t3.medium",
    "db.t4g.micro",
    "db.t4g.small",
    "db.t4g.medium",
    "db.m5.large",
    "db.m5.xlarge",
    "db.m6g.large",
    "db.m6g.xlarge",
    "db.r5.large",
    "db.r6g.large",
    "db.r6g.xlarge",
];

/// Versions that DescribeOrderableDBInstanceOptions lists for an engine.
pub(crate) fn versions(engine: &str) -> &'static [&'static str] {
    match engine {
        "mysql" => &["5.7.44", "8.0.36", "8.0.39", "8.0.40", "8.4.3"],
        "mariadb" => &["10.6.19", "10.11.9", "10.11.10", "11.4.4"],
        "postgres" => &["14.15", "15.10", "16.6", "17.2"],
        "aurora-mysql" => &["8.0.mysql_aurora.3.05.2", "8.0.mysql_aurora.3.08.0"],
        "aurora-postgresql" => &["15.10", "16.6"],
        _ => &[],
    }
}

/// The storage of an instance as asked for.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    pub(crate) kind: String,
    pub(crate) gib: i64,
    pub(crate) iops: Option<i64>,
    pub(crate) throughput: Option<i64>,
}

impl Storage {
    /// Checks a request and fills in what Describe will show. `sent` says whether the caller itself sent
    /// IOPS or throughput: below the striping threshold gp3 shows 3000 and 125 but takes neither.
    pub(crate) fn settle(
        mut self,
        engine: &str,
        sent: (Option<i64>, Option<i64>),
    ) -> Result<Self, ApiError> {
        match self.kind.as_str() {
            "standard" | "gp2" => {
                if sent.0.is_some() || sent.1.is_some() {
                    return Err(ApiError::combination(format!(
                        "Iops and storage throughput can't be specified for storage type {}.",
                        self.kind
                    )));
                }
                self.iops = None;
                self.throughput = None;
            }
            "gp3" if self.gib < gp3_threshold(engine) => {
                if sent.0.is_some() || sent.1.is_some() {
                    return Err(ApiError::combination(format!(
                        "You can't specify IOPS or storage throughput for engine {engine} and a storage size less than {}.",
                        gp3_threshold(engine)
                    )));
                }
                self.iops = Some(3000);
                self.throughput = Some(125);
            }
            "gp3" => {
                // At and above the threshold the baseline is the minimum: 12000 IOPS and 500 MiB/s.
                let iops =
                    self.iops
                        .unwrap_or(12_000)
                        .max(if sent.0.is_some() { 0 } else { 12_000 });
                let throughput =
                    self.throughput
                        .unwrap_or(500)
                        .max(if sent.1.is_some() { 0 } else { 500 });
                if !(12_000..=64_000).contains(&iops) || iops > 500 * self.gib {
                    return Err(ApiError::combination(format!(
                        "Invalid IOPS value {iops} for storage type gp3 and {} GiB.",
                        self.gib
                    )));
                }
                if !(500..=4_000).contains(&throughput) || throughput * 4 > iops {
                    return Err(ApiError::combination(format!(
                        "Invalid storage throughput {throughput} for {iops} IOPS."
                    )));
                }
                self.iops = Some(iops);
                self.throughput = Some(throughput);
            }
            "io1" | "io2" => {
                let Some(iops) = self.iops else {
                    return Err(ApiError::combination(format!(
                        "The storage type {} requires iops to be specified.",
                        self.kind
                    )));
                };
                if sent.1.is_some() {
                    return Err(ApiError::combination(format!(
                        "Storage throughput can't be specified for storage type {}.",
                        self.kind
                    )));
                }
                // IOPS per GiB: 0.5 to 50 for io1, 0.5 to 1000 for io2.
                let most = if self.kind == "io1" { 50 } else { 1_000 };
                if iops * 2 < self.gib || iops > most * self.gib {
                    return Err(ApiError::combination(format!(
                        "The IOPS to GiB ratio must be between 0.5 and {most} for storage type {}.",
                        self.kind
                    )));
                }
                self.throughput = None;
            }
            "aurora" | "aurora-iopt1" => {}
            other => return Err(ApiError::value(format!("Invalid storage type: {other}"))),
        }
        Ok(self)
    }
}

/// GiB from which gp3 volumes are striped and take IOPS and throughput: 400, for Oracle 200, for SQL
/// Server none.
fn gp3_threshold(engine: &str) -> i64 {
    match engine {
        engine if engine.starts_with("oracle") => 200,
        engine if engine.starts_with("sqlserver") => 0,
        _ => 400,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gp3(gib: i64, iops: Option<i64>) -> Result<Storage, ApiError> {
        Storage {
            kind: "gp3".into(),
            gib,
            iops,
            throughput: None,
        }
        .settle("mysql", (iops, None))
    }

    #[test]
    fn gp3_below_the_threshold_shows_a_baseline_that_it_does_not_take() {
        let storage = gp3(100, None).expect("fine");
        assert_eq!((storage.iops, storage.throughput), (Some(3000), Some(125)));
        let refused = gp3(100, Some(3000)).expect_err("refused");
        assert_eq!(
            refused.message,
            "You can't specify IOPS or storage throughput for engine mysql and a storage size less than 400."
        );
    }

    #[test]
    fn gp3_at_the_threshold_has_twelve_thousand() {
        assert_eq!(gp3(400, None).expect("fine").iops, Some(12_000));
        assert!(gp3(400, Some(3000)).is_err());
        assert_eq!(gp3(400, Some(13_000)).expect("fine").iops, Some(13_000));
    }

    #[test]
    fn default_groups_follow_the_engine_version() {
        assert_eq!(
            default_parameter_group("mariadb", "10.11.9"),
            "default.mariadb10.11"
        );
        assert_eq!(default_option_group("mysql", "8.0.39"), "default:mysql-8-0");
        assert_eq!(
            default_parameter_group("postgres", "16.6"),
            "default.postgres16"
        );
        assert_eq!(
            default_parameter_group("aurora-mysql", "8.0.mysql_aurora.3.05.2"),
            "default.aurora-mysql8.0"
        );
    }
}
