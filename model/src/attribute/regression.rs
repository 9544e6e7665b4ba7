//! Controls that a careless restore breaks: what AWS Security Hub asks of a DB instance, and the new side has less of.
//!
//! Ids, engines and thresholds are those of Security Hub's RDS controls with their default parameters.

use serde_json::Value;

use crate::document::{bool_of, int_of, strings_of};
use crate::finding::Control;

/// A control of AWS Security Hub and the top-level member that decides it.
#[derive(Debug, Clone, Copy)]
pub struct Regression {
    /// Security Hub's id.
    pub id: &'static str,
    /// What it asks for.
    pub title: &'static str,
    /// The member whose difference carries the control.
    pub member: &'static str,
    /// How much a describe answer has of what the control asks for; `None` when it does not apply.
    measure: fn(&Value) -> Option<Measure>,
}

/// How much of something is there, and how much the control wants at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Measure {
    has: i64,
    wants: i64,
}

/// Every control that a pair is checked for, in the order of their ids.
pub const REGRESSIONS: &[Regression] = &[
    Regression {
        id: "RDS.2",
        title: "no public access",
        member: "PubliclyAccessible",
        measure: |side| is(!bool_of(side, "PubliclyAccessible")?),
    },
    Regression {
        id: "RDS.5",
        title: "more than one Availability Zone",
        member: "MultiAZ",
        measure: |side| is(bool_of(side, "MultiAZ")?),
    },
    Regression {
        id: "RDS.6",
        title: "enhanced monitoring",
        member: "MonitoringInterval",
        measure: |side| is(int_of(side, "MonitoringInterval").unwrap_or(0) > 0),
    },
    Regression {
        id: "RDS.8",
        title: "deletion protection",
        member: "DeletionProtection",
        measure: |side| is(bool_of(side, "DeletionProtection")?),
    },
    Regression {
        id: "RDS.9",
        title: "logs in CloudWatch Logs",
        member: "EnabledCloudwatchLogsExports",
        measure: logs,
    },
    Regression {
        id: "RDS.10",
        title: "IAM authentication",
        member: "IAMDatabaseAuthenticationEnabled",
        measure: |side| {
            let asked = ["mysql", "mariadb", "postgres"];
            asked.contains(&engine(side)?).then_some(())?;
            is(bool_of(side, "IAMDatabaseAuthenticationEnabled")?)
        },
    },
    Regression {
        id: "RDS.11",
        title: "automated backups, kept for 7 days or more",
        member: "BackupRetentionPeriod",
        measure: |side| {
            // Read replicas are not asked.
            if side.get("ReadReplicaSourceDBInstanceIdentifier").is_some() {
                return None;
            }
            Some(Measure {
                has: int_of(side, "BackupRetentionPeriod")?,
                wants: 7,
            })
        },
    },
    Regression {
        id: "RDS.13",
        title: "automatic minor version upgrades",
        member: "AutoMinorVersionUpgrade",
        measure: |side| is(bool_of(side, "AutoMinorVersionUpgrade")?),
    },
    Regression {
        id: "RDS.17",
        title: "tags copied to snapshots",
        member: "CopyTagsToSnapshot",
        measure: |side| is(bool_of(side, "CopyTagsToSnapshot")?),
    },
    Regression {
        id: "RDS.23",
        title: "not the default port of the engine",
        member: "Endpoint",
        measure: own_port,
    },
];

/// Controls that the difference at `path` breaks: `new` fails them, and has less of what they ask for than `old`.
#[must_use]
pub fn broken(path: &str, old: &Value, new: &Value) -> Vec<Control> {
    let top = path.split(['.', '[']).next().unwrap_or(path);
    // Only the port decides, not the address.
    if top == "Endpoint" && path != "Endpoint.Port" {
        return Vec::new();
    }
    let breaks = |control: &&Regression| match ((control.measure)(old), (control.measure)(new)) {
        (Some(old), Some(new)) => new.has < new.wants && new.has < old.has,
        _ => false,
    };
    REGRESSIONS
        .iter()
        .filter(|control| control.member == top)
        .filter(breaks)
        .map(|control| Control {
            publisher: "security-hub".to_owned(),
            id: control.id.to_owned(),
        })
        .collect()
}

fn is(passes: bool) -> Option<Measure> {
    Some(Measure {
        has: i64::from(passes),
        wants: 1,
    })
}

fn engine(side: &Value) -> Option<&str> {
    side.get("Engine").and_then(Value::as_str)
}

/// How many of the logs that the control names for the engine are published.
fn logs(side: &Value) -> Option<Measure> {
    let wanted: &[&str] = match engine(side)? {
        "mysql" | "mariadb" => &["audit", "error", "general", "slowquery"],
        "postgres" => &["postgresql", "upgrade"],
        engine if engine.starts_with("oracle") => &["alert", "audit", "listener", "trace"],
        engine if engine.starts_with("sqlserver") => &["agent", "error"],
        _ => return None,
    };
    let published: Vec<&str> = strings_of(side, "EnabledCloudwatchLogsExports").collect();
    let has = wanted.iter().filter(|log| published.contains(log)).count();
    Some(Measure {
        has: i64::try_from(has).ok()?,
        wants: i64::try_from(wanted.len()).ok()?,
    })
}

fn own_port(side: &Value) -> Option<Measure> {
    let port = int_of(side.get("Endpoint")?, "Port")?;
    let default = match engine(side)? {
        "mysql" | "mariadb" => 3306,
        "postgres" => 5432,
        engine if engine.starts_with("oracle") => 1521,
        engine if engine.starts_with("sqlserver") => 1433,
        engine if engine.starts_with("db2") => 50_000,
        _ => return None,
    };
    is(port != default)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::attribute::attribute;

    fn ids(path: &str, old: &Value, new: &Value) -> Vec<String> {
        broken(path, old, new).into_iter().map(|c| c.id).collect()
    }

    /// What a restore without arguments makes of a well-kept instance.
    fn careless() -> (Value, Value) {
        let old = json!({
            "Engine": "mysql", "PubliclyAccessible": false, "MultiAZ": true, "MonitoringInterval": 60,
            "DeletionProtection": true, "EnabledCloudwatchLogsExports": ["error", "slowquery"],
            "IAMDatabaseAuthenticationEnabled": true, "BackupRetentionPeriod": 14, "AutoMinorVersionUpgrade": true,
            "CopyTagsToSnapshot": true, "Endpoint": {"Address": "a", "Port": 3307},
        });
        let new = json!({
            "Engine": "mysql", "PubliclyAccessible": true, "MultiAZ": false,
            "DeletionProtection": false, "EnabledCloudwatchLogsExports": ["error"],
            "IAMDatabaseAuthenticationEnabled": false, "BackupRetentionPeriod": 1, "AutoMinorVersionUpgrade": false,
            "CopyTagsToSnapshot": false, "Endpoint": {"Address": "b", "Port": 3306},
        });
        (old, new)
    }

    #[test]
    fn each_control_is_broken_by_its_member_and_mended_by_the_way_back() {
        let (old, new) = careless();
        for control in REGRESSIONS {
            let path = match control.member {
                "Endpoint" => "Endpoint.Port",
                "EnabledCloudwatchLogsExports" => "EnabledCloudwatchLogsExports[slowquery]",
                member => member,
            };
            assert_eq!(ids(path, &old, &new), [control.id]);
            assert!(ids(path, &new, &old).is_empty(), "{} is better", control.id);
            assert!(attribute(control.member).is_some(), "{}", control.member);
        }
        assert!(ids("Endpoint.Address", &old, &new).is_empty());
        assert!(ids("DBInstanceClass", &old, &new).is_empty());
    }

    #[test]
    fn less_that_is_still_enough_breaks_nothing() {
        let days = |days: i64| json!({"Engine": "mysql", "BackupRetentionPeriod": days});
        assert!(ids("BackupRetentionPeriod", &days(35), &days(7)).is_empty());
        assert_eq!(ids("BackupRetentionPeriod", &days(7), &days(6)), ["RDS.11"]);
        let mut replica = days(0);
        replica["ReadReplicaSourceDBInstanceIdentifier"] = json!("x");
        assert!(ids("BackupRetentionPeriod", &days(7), &replica).is_empty());
    }
}
