//! What RDS offers: engines, families, default groups, parameters, classes and storage rules.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ApiError;
pub(crate) use super::parameters::{Parameter, is_static, known_parameter, parameters};
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
