//! The one list of checks, and the page made from it.

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckMeta {
    /// Stable id.
    pub id: &'static str,
    /// File it is in, and heading of the page.
    pub family: &'static str,
    /// What is true when it passes.
    pub title: &'static str,
    /// What would happen otherwise.
    pub why: &'static str,
}

const fn check(
    family: &'static str,
    id: &'static str,
    title: &'static str,
    why: &'static str,
) -> CheckMeta {
    CheckMeta {
        id,
        family,
        title,
        why,
    }
}

/// Headings, in order.
const FAMILIES: [(&str, &str); 10] = [
    ("planner", "What can be planned at all"),
    ("state", "State and time"),
    ("names", "Names and tags"),
    ("key", "The key"),
    ("offer", "What RDS offers today"),
    ("carry", "What is carried over"),
    ("combinations", "Arguments that go together"),
    ("dependents", "Dependents"),
    ("servers", "MySQL and MariaDB servers"),
    ("account", "The account"),
];

/// Families that `fix` looks at again before its first change: one call or two a region.
pub(super) const AGAIN: [&str; 3] = ["state", "names", "key"];

/// Every check.
pub const CHECKS: &[CheckMeta] = &[
    check(
        "planner",
        "migratable",
        "It is something that this version migrates",
        "RDS Custom, Neptune, DocumentDB and replicas whose source is in another region are left out.",
    ),
    check(
        "planner",
        "method",
        "The method that is asked for is possible",
        "Each method but the cold one rests on something that not every DB instance has; the line says what is missing.",
    ),
    check(
        "state",
        "status",
        "Every DB instance is available",
        "RDS refuses a rename, a snapshot or a replica of one that is not.",
    ),
    check(
        "state",
        "pending-modifications",
        "Nothing is pending",
        "The next immediate modification, a rename too, would apply it unasked.",
    ),
    check(
        "state",
        "groups-in-sync",
        "Parameter and option groups are in sync",
        "The new instance begins with values that the old one does not have yet.",
    ),
    check(
        "state",
        "backups-on",
        "Automated backups are on where replicas are made",
        "CreateDBInstanceReadReplica is refused without.",
    ),
    check(
        "state",
        "pending-maintenance",
        "No maintenance is pending",
        "Maintenance in the middle of a run restarts or changes what is compared.",
    ),
    check(
        "state",
        "maintenance-window",
        "No maintenance window opens during the run",
        "What is pending begins by itself then.",
    ),
    check(
        "state",
        "backup-window",
        "No backup window opens during the run",
        "Steps wait while a backup runs, and clients are away meanwhile.",
    ),
    check(
        "names",
        "names-free",
        "The names that the plan gives are free and given once",
        "A taken name stops the run half-way.",
    ),
    check(
        "names",
        "not-claimed",
        "No other run has claimed the instances",
        "Two runs on one source would undo each other; the second stops at its first step.",
    ),
    check(
        "names",
        "tags-fit",
        "There is room for the tags of the run",
        "A resource bears 50 tags; a restore with more is refused.",
    ),
    check(
        "key",
        "kms-key",
        "The key is enabled, symmetric, for encryption, of the region",
        "RDS refuses any other, after clients have lost their endpoints.",
    ),
    check(
        "key",
        "kms-key-account",
        "The key is of the account",
        "Whoever owns the key can take the database away.",
    ),
    check(
        "key",
        "kms-grant",
        "RDS can be granted the key",
        "CopyDBSnapshot makes a grant with the caller's rights (kms:CreateGrant).",
    ),
    check(
        "offer",
        "class-encrypts",
        "The class supports encrypted storage",
        "A restore into db.m1, db.m2 or db.t2.micro is refused; the nearest class that will do is named.",
    ),
    check(
        "offer",
        "version-orderable",
        "The engine version is still offered",
        "A restore of one that is not may be refused, or be an upgrade.",
    ),
    check(
        "offer",
        "storage-offered",
        "Storage type, size and IOPS are within what is offered",
        "A restore outside may be refused.",
    ),
    check(
        "offer",
        "class-features",
        "The class supports what is switched on",
        "Multi-AZ, Performance Insights, Enhanced Monitoring and IAM authentication are asked for again.",
    ),
    check(
        "offer",
        "ca-certificate",
        "The certificate authority is offered and valid",
        "The restore names it.",
    ),
    check(
        "carry",
        "master-password",
        "The master password is not managed in Secrets Manager, or a step has it managed again",
        "The new instance gets a new secret; the password that is given now would be refused.",
    ),
    check(
        "carry",
        "placement",
        "Zones and subnet groups fit",
        "A restore into a zone without a subnet is refused; a replica lives in its source's subnet group.",
    ),
    check(
        "carry",
        "option-group",
        "Option groups can be used again",
        "Permanent and persistent options tie a snapshot to its group.",
    ),
    check(
        "carry",
        "lower-case-table-names",
        "Data and parameter groups agree on lower_case_table_names",
        "MySQL 8 fixes it with the data; a restore with another value ends in incompatible-restore.",
    ),
    check(
        "carry",
        "performance-insights-key",
        "The key of Performance Insights can be used",
        "It is named again, and cannot be changed later.",
    ),
    check(
        "carry",
        "deletion-protection",
        "Deletion protection is off, or is set again by a step",
        "A restore switches it off unless it is told otherwise.",
    ),
    check(
        "combinations",
        "combinations",
        "No call has arguments that RDS refuses together",
        "Describe shows values that the calls do not take, such as IOPS of small gp3 volumes.",
    ),
    check(
        "dependents",
        "cross-region-replicas",
        "All replicas are DB instances of the region",
        "Others are not made again by this version.",
    ),
    check(
        "dependents",
        "blue-green",
        "No blue/green deployment is under way",
        "A rename breaks it.",
    ),
    check(
        "dependents",
        "proxy",
        "No proxy has it as target, or a step registers it again",
        "A proxy loses a target that is renamed.",
    ),
    check(
        "dependents",
        "alarms",
        "No alarm names it, or a step looks at them afterwards",
        "Alarms name identifiers, which come back: they go on by themselves.",
    ),
    check(
        "dependents",
        "integrations",
        "None is the source of a zero-ETL integration",
        "An integration names an ARN and what is behind it; the run makes none.",
    ),
    check(
        "dependents",
        "event-subscriptions",
        "No event subscription names it, or a step looks whether it still does",
        "Subscriptions list names.",
    ),
    check(
        "dependents",
        "roles",
        "No roles are attached, or a step attaches them again",
        "A restore attaches none.",
    ),
    check(
        "dependents",
        "domain",
        "It is in no directory, or the new one joins it",
        "Kerberos logins end with the membership.",
    ),
    check(
        "dependents",
        "iam-authentication",
        "IAM database authentication is off",
        "IAM policies name the resource id, which changes.",
    ),
    check(
        "dependents",
        "backup-replication",
        "Backups are not replicated to another region, or a step starts it again",
        "Replication stays with the old resource id.",
    ),
    check(
        "dependents",
        "activity-stream",
        "No activity stream is on",
        "It stays with the old instance. It is not started again by this version.",
    ),
    check(
        "dependents",
        "cloudformation",
        "It belongs to no CloudFormation stack",
        "A stack does not follow to another resource.",
    ),
    check(
        "servers",
        "mysql-login",
        "Every server lets us in",
        "Accounts, rows and client connections are read and compared.",
    ),
    check(
        "servers",
        "mysql-privileges",
        "The login has the privileges that the steps need",
        "Without PROCESS, other clients' connections are not seen.",
    ),
    check(
        "servers",
        "mysql-read-only",
        "Replicas take the accounts that only they have",
        "Account statements fail on a read-only server (error 1290).",
    ),
    check(
        "servers",
        "mysql-binlog",
        "Sources of replicas write a binary log",
        "Replicas read it.",
    ),
    check(
        "servers",
        "mysql-events",
        "No event of the event scheduler runs",
        "It writes without a connection, on the old instance and on the new one.",
    ),
    check(
        "servers",
        "mysql-engines",
        "Every table has transactions",
        "Other tables are consistent in a snapshot only because nobody writes.",
    ),
    check(
        "servers",
        "mysql-primary-keys",
        "Every table has a primary key",
        "Replication and comparison are slow without.",
    ),
    check(
        "account",
        "iam-permissions",
        "IAM allows every call of the plan",
        "The list is made from the steps; IAM is asked with SimulatePrincipalPolicy.",
    ),
    check(
        "account",
        "quota-instances",
        "The quota of DB instances suffices",
        "Nothing is deleted by a run: old and new are there together.",
    ),
    check(
        "account",
        "quota-storage",
        "The quota of allocated storage suffices",
        "Old and new storage are there together.",
    ),
    check(
        "account",
        "quota-snapshots",
        "The quota of manual snapshots suffices",
        "Two a source: the raw one and the encrypted copy.",
    ),
    check(
        "account",
        "quota-replicas",
        "No source has more replicas than allowed",
        "The limit counts for the new source, too.",
    ),
    check(
        "account",
        "quota-copies",
        "Not more than 20 snapshots are copied at a time",
        "RDS refuses more in a region; the others wait.",
    ),
];

/// docs/preflight.md.
#[must_use]
pub fn page() -> String {
    use std::fmt::Write as _;
    let mut page = INTRODUCTION.to_owned();
    for (family, heading) in FAMILIES {
        // Writing into a String cannot fail.
        let _infallible = write!(
            page,
            "\n## {heading}\n\n| check | passes when | why |\n|---|---|---|\n"
        );
        for check in CHECKS.iter().filter(|check| check.family == family) {
            let _infallible =
                writeln!(page, "| `{}` | {} | {} |", check.id, check.title, check.why);
        }
    }
    page
}

const INTRODUCTION: &str = "\
# Preflight

What could stop a run at night is looked for when the plan is made. Nothing is changed by looking. Every check is a line
of the plan, in text under CHECKS and in JSON under `checks`, with one of these verdicts:

| verdict | JSON `verdict.is` | meaning |
|---|---|---|
| passes | `passes` | nothing stands in the way |
| is fixed by step N | `fixed-by`, with `step` | a step of the plan takes care of it |
| warns | `warns` | the run can go on; somebody should know |
| not proven | `not-proven` | it could not be looked at, or looking proves nothing; the line says why |
| blocks | `blocks` | the run would fail, or do harm |

A migration that something blocks is left out of the plan, with the reason, and the others are planned. `plan` exits with
2 if it was asked for by name, and with 24 if nothing is left to plan or a whole region is blocked, as by a quota; `fix`
refuses such a plan. `fix` looks at state, names, key and quotas again before its first change, and exits with 22 if one of
them blocks now.

A read that is refused is a verdict and no error: what the caller may not see is *not proven*. All of it takes one call of
each kind a region, and one for each engine version with its class, proxy, parameter group of MySQL, and IAM action; the
servers are asked beside. The calls are DescribeOrderableDBInstanceOptions, DescribeAccountAttributes, DescribeDBSnapshots,
DescribePendingMaintenanceActions, DescribeOptionGroups, DescribeCertificates, DescribeDBParameters,
DescribeEventSubscriptions, DescribeDBProxies, DescribeDBProxyTargets, DescribeBlueGreenDeployments, DescribeIntegrations,
cloudwatch:DescribeAlarms, for replicated
backups DescribeDBInstanceAutomatedBackups in the other region, kms:DescribeKey,
iam:SimulatePrincipalPolicy, and for the session of a role iam:GetRole.

AWS DMS endpoints, plans of AWS Backup and dashboards are not looked at: an endpoint names the address, which comes back; a
plan of AWS Backup that picks by tag finds the new instance, one that names ARNs too, since its ARN is made of its name.

The tables are made from the program: `cargo run -p atrest-fixer --example preflight > docs/preflight.md`.
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_every_family_has_a_heading() {
        let ids: BTreeSet<&str> = CHECKS.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), CHECKS.len());
        for check in CHECKS {
            assert!(
                FAMILIES.iter().any(|(family, _)| *family == check.family),
                "{}",
                check.id
            );
        }
    }

    #[test]
    fn the_page_in_docs_is_this_one() {
        let there = include_str!("../../../docs/preflight.md");
        assert!(
            there == page(),
            "docs/preflight.md differs: cargo run -p atrest-fixer --example preflight > docs/preflight.md"
        );
    }
}
