//! `atrest iam-policy`: the permissions that a verb needs, and no others.
//!
//! What a verb changes comes from its steps (`atrest_fixer::permissions`); what it reads is listed. Tests run the verbs
//! against the sandbox under exactly these policies, and once without each action.

use std::collections::BTreeSet;

use anyhow::Context as _;
use atrest_fixer::permissions::{self, Verb};
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
    let statements = match args.verb {
        IamPolicyVerb::Scan => scan(args),
        IamPolicyVerb::Plan => plan(args),
        IamPolicyVerb::Fix => changing(args, Verb::Fix)?,
        IamPolicyVerb::Rehearse => changing(args, Verb::Rehearse)?,
        IamPolicyVerb::Rollback => changing(args, Verb::Rollback)?,
        IamPolicyVerb::Cleanup => changing(args, Verb::Cleanup)?,
    };
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    common::deliver(None, &common::json(&policy)?)?;
    Ok(Exit::Ok)
}

fn scan(args: &IamPolicyArgs) -> Vec<Value> {
    let mut statements = vec![statement("AtrestScan", SCAN, &["*"])];
    if args.org {
        statements.push(statement("AtrestOrganization", ORGANIZATION, &["*"]));
        let roles = format!("arn:{}:iam::*:role/{}", args.partition, args.role_name);
        statements.push(statement("AtrestRoles", &["sts:AssumeRole"], &[&roles]));
    }
    statements
}

fn plan(args: &IamPolicyArgs) -> Vec<Value> {
    // IAM is asked about principals, everything else about what is there.
    let (iam, reads): (Vec<&str>, Vec<&str>) = permissions::PLAN_READS
        .iter()
        .partition(|action| action.starts_with("iam:"));
    let principal = |kind: &str| format!("arn:{}:iam::*:{kind}/*", args.partition);
    let principals = [principal("role"), principal("user")];
    vec![
        statement("AtrestPlanReads", &reads, &["*"]),
        statement(
            "AtrestPlanAsksIam",
            &iam,
            &principals.each_ref().map(String::as_str),
        ),
    ]
}

/// The audits before and after a run are scans of its regions.
fn changing(args: &IamPolicyArgs, verb: Verb) -> anyhow::Result<Vec<Value>> {
    let table = match verb {
        Verb::Fix | Verb::Rehearse => permissions::FIX_READS,
        Verb::Rollback | Verb::Cleanup => permissions::UNDO_READS,
    };
    let reads: BTreeSet<&str> = SCAN
        .iter()
        .chain(table)
        .copied()
        .filter(|action| *action != "account:ListRegions")
        .collect();
    let reads: Vec<&str> = reads.into_iter().collect();
    let sid = format!("{}Reads", verb.sid());
    let mut statements = vec![statement(&sid, &reads, &["*"])];
    let changes = permissions::changes(verb, &args.partition);
    for one in changes.context("the specimen of a migration")? {
        let (actions, resources) = (strs(&one.actions), strs(&one.resources));
        let mut statement = statement(&one.sid, &actions, &resources);
        if let Some(members) = statement
            .as_object_mut()
            .filter(|_| !one.condition.is_null())
        {
            members.insert("Condition".to_owned(), one.condition);
        }
        statements.push(statement);
    }
    Ok(statements)
}

fn strs(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

fn statement(sid: &str, actions: &[&str], resources: &[&str]) -> Value {
    json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources })
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
