//! `atrest iam-policy`: the permissions that a verb needs, and no others.
//!
//! The tables are static. Tests run the verbs against the sandbox and compare what was called with what is here.

use serde_json::{Value, json};

use super::common;
use crate::cli::{IamPolicyArgs, IamPolicyVerb};
use crate::exit::Exit;

/// What a scan reads in each account.
const SCAN: &[&str] = &[
    "account:ListRegions",
    "kms:DescribeKey",
    "kms:GetKeyRotationStatus",
    "rds:DescribeDBClusterAutomatedBackups",
    "rds:DescribeDBClusterParameters",
    "rds:DescribeDBClusterSnapshots",
    "rds:DescribeDBClusters",
    "rds:DescribeDBInstanceAutomatedBackups",
    "rds:DescribeDBInstances",
    "rds:DescribeDBParameters",
    "rds:DescribeDBSnapshots",
    "rds:DescribeExportTasks",
    "rds:DescribeGlobalClusters",
];

/// What the caller of a scan of an organization needs besides, in its own account.
const ORGANIZATION: &[&str] = &["organizations:ListAccounts"];

/// `sts:GetCallerIdentity` is called too, and needs no permission.
pub(crate) fn run(args: &IamPolicyArgs) -> anyhow::Result<Exit> {
    let policy = match args.verb {
        IamPolicyVerb::Scan => scan(args),
    };
    common::deliver(None, &common::json(&policy)?)?;
    Ok(Exit::Ok)
}

fn scan(args: &IamPolicyArgs) -> Value {
    let mut statements = vec![statement("AtrestScan", SCAN, "*")];
    if args.org {
        statements.push(statement("AtrestOrganization", ORGANIZATION, "*"));
        let roles = format!("arn:{}:iam::*:role/{}", args.partition, args.role_name);
        statements.push(statement("AtrestRoles", &["sts:AssumeRole"], &roles));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn statement(sid: &str, actions: &[&str], resource: &str) -> Value {
    json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_and_read_only() {
        for table in [SCAN, ORGANIZATION] {
            assert!(table.is_sorted());
            for action in table {
                let (_, verb) = action.split_once(':').unwrap();
                let reads = ["Describe", "List", "Get"]
                    .iter()
                    .any(|r| verb.starts_with(r));
                assert!(reads, "{action}");
            }
        }
    }
}
