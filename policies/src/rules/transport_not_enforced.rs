//! `transport-not-enforced`: clients may connect without TLS.

use std::num::ParseIntError;

use atrest_model::document::{list_of, str_of};
use atrest_model::finding::Severity;
use atrest_model::resource::{DescribedRef, GroupKind, ParameterGroup};
use serde_json::Value;

use crate::policy::{Context, Controls, Fix, Needs, Policy, PolicyMeta, Subject, Verdict};

/// Flags DB instances whose parameter group lets clients connect without TLS.
#[derive(Debug)]
pub(crate) struct TransportNotEnforced;

static META: PolicyMeta = PolicyMeta {
    id: "transport-not-enforced",
    title: "clients may connect without TLS",
    severity: Severity::Info,
    since: "0.1.0",
    fix: Fix::Manual,
    needs: Needs::ParameterGroups,
    controls: &[
        Controls {
            subject: Subject::PostgresInstance,
            ids: &[
                ("security-hub", "RDS.38"),
                ("aws-config", "rds-postgres-instance-encrypted-in-transit"),
                ("prowler", "rds_instance_transport_encrypted"),
            ],
        },
        Controls {
            subject: Subject::MysqlInstance,
            ids: &[
                ("security-hub", "RDS.39"),
                ("aws-config", "rds-mysql-instance-encrypted-in-transit"),
                ("prowler", "rds_instance_transport_encrypted"),
            ],
        },
        Controls {
            subject: Subject::SqlServerInstance,
            ids: &[
                ("security-hub", "RDS.41"),
                ("aws-config", "rds-sqlserver-encrypted-in-transit"),
                ("prowler", "rds_instance_transport_encrypted"),
            ],
        },
        Controls {
            subject: Subject::MariaDbInstance,
            ids: &[
                ("security-hub", "RDS.44"),
                ("aws-config", "rds-mariadb-instance-encrypted-in-transit"),
                ("prowler", "rds_instance_transport_encrypted"),
            ],
        },
    ],
};

impl Policy for TransportNotEnforced {
    fn meta(&self) -> &'static PolicyMeta {
        &META
    }

    fn judge(&self, instance: DescribedRef<'_>, context: &Context<'_>) -> Verdict {
        // Members of a Multi-AZ cluster take their cluster's parameters; AWS Config does not judge them either.
        if instance.is_cluster_member() {
            return Verdict::Pass;
        }
        let memberships = list_of(instance.document, "DBParameterGroups");
        if memberships.is_empty() {
            return Verdict::NotEvaluated("the answer names no parameter group".to_owned());
        }
        memberships
            .iter()
            .map(|membership| of_group(instance, membership, context))
            .find(|verdict| *verdict != Verdict::Pass)
            .unwrap_or(Verdict::Pass)
    }
}

fn of_group(instance: DescribedRef<'_>, membership: &Value, context: &Context<'_>) -> Verdict {
    let name = str_of(membership, "DBParameterGroupName").unwrap_or_default();
    let group = context
        .fleet
        .group(instance.region, GroupKind::Instance, name);
    let parameters = match group {
        Some(ParameterGroup::Read(parameters)) => parameters,
        Some(ParameterGroup::Unreadable(why)) => {
            return Verdict::NotEvaluated(format!(
                "parameter group {name} could not be read: {why}"
            ));
        }
        None => return Verdict::NotEvaluated(format!("parameter group {name} was not read")),
    };
    let parameter = match instance.engine() {
        "mysql" | "mariadb" => "require_secure_transport",
        _ => "rds.force_ssl",
    };
    let Some(found) = parameters
        .iter()
        .find(|found| str_of(found, "ParameterName") == Some(parameter))
    else {
        return Verdict::Fail(format!(
            "the family of parameter group {name} has no {parameter}: TLS cannot be required"
        ));
    };
    let (enforced, seen) = match str_of(found, "ParameterValue") {
        Some(value) => match value.to_ascii_lowercase().as_str() {
            "1" | "on" | "true" => (true, format!("{parameter} is {value}")),
            "0" | "off" | "false" => (false, format!("{parameter} is {value}")),
            _ => {
                return Verdict::NotEvaluated(format!(
                    "{parameter} is {value:?} in parameter group {name}, which is neither on nor off"
                ));
            }
        },
        None => match default(instance.engine(), instance.engine_version()) {
            Some(default) => {
                let word = if default { "on" } else { "off" };
                (
                    default,
                    format!("{parameter} is not set, and {word} by default"),
                )
            }
            None => {
                return Verdict::NotEvaluated(format!(
                    "{parameter} is not set in parameter group {name}, and what {} {} makes of that is not known",
                    instance.engine(),
                    instance.engine_version()
                ));
            }
        },
    };
    if !enforced {
        return Verdict::Fail(format!(
            "{seen} in parameter group {name}: clients may connect without TLS"
        ));
    }
    // AWS Config calls a group that is not in sync a violation too: what it says may not be what the server does.
    match str_of(membership, "ParameterApplyStatus") {
        Some("in-sync") => Verdict::Pass,
        Some(status) => Verdict::Fail(format!(
            "{seen} in parameter group {name}, which is {status}: it may not be in effect yet"
        )),
        None => Verdict::NotEvaluated(format!(
            "the answer does not say whether parameter group {name} is in sync"
        )),
    }
}

/// What a server does when its group does not say, as the RDS User Guide has it; `None` between the versions it names.
fn default(engine: &str, version: &str) -> Option<bool> {
    let version = parts(version).ok()?;
    let (major, minor) = (
        *version.first()?,
        version.get(1).copied().unwrap_or_default(),
    );
    match engine {
        "postgres" => Some(major >= 15),
        "mysql" => match (major, minor) {
            older if older <= (8, 4) => Some(false),
            newer if newer >= (9, 7) => Some(true),
            _ => None,
        },
        "mariadb" => match (major, minor) {
            older if older <= (11, 4) => Some(false),
            newer if newer >= (11, 8) => Some(true),
            _ => None,
        },
        engine if engine.starts_with("sqlserver") => Some(false),
        _ => None,
    }
}

fn parts(version: &str) -> Result<Vec<u32>, ParseIntError> {
    version.split('.').take(2).map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_user_guide_and_the_gaps_are_not_guessed() {
        for (engine, version, expected) in [
            ("postgres", "14.12", Some(false)),
            ("postgres", "15.4", Some(true)),
            ("postgres", "18", Some(true)),
            ("mysql", "5.7.44", Some(false)),
            ("mysql", "8.4.6", Some(false)),
            ("mysql", "9.1.0", None),
            ("mysql", "9.7.1", Some(true)),
            ("mariadb", "10.6.18", Some(false)),
            ("mariadb", "11.4.3", Some(false)),
            ("mariadb", "11.6.2", None),
            ("mariadb", "11.8.3", Some(true)),
            ("sqlserver-ee", "16.00.4085.2.v1", Some(false)),
            ("oracle-ee", "19.0", None),
            ("mysql", "", None),
            ("mysql", "next", None),
        ] {
            assert_eq!(default(engine, version), expected, "{engine} {version}");
        }
    }
}
