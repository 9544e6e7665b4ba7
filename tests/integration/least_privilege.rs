//! Each verb under exactly the policy that `atrest iam-policy` prints for it, enforced by the sandbox with resources and
//! conditions; and once without each of its actions.

mod each;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Finished, Sandbox, Start, finish};

const BINARY: &str = env!("CARGO_BIN_EXE_atrest");
const REGION: &str = "eu-central-1";

/// The policy of a verb.
fn policy(verb: &str) -> Value {
    let mut command = Command::new(BINARY);
    command.args(["iam-policy", verb]);
    finish(command, Duration::from_secs(60)).expect(0).json()
}

fn statements(policy: &mut Value) -> &mut Vec<Value> {
    policy["Statement"].as_array_mut().unwrap()
}

/// Every action of a policy.
fn actions(policy: &Value) -> BTreeSet<String> {
    policy["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|statement| statement["Action"].as_array().unwrap())
        .map(|action| action.as_str().unwrap().to_owned())
        .collect()
}

/// The policy without one of its actions.
fn without(policy: &Value, action: &str) -> Value {
    let mut policy = policy.clone();
    let statements = statements(&mut policy);
    for statement in statements.iter_mut() {
        let actions = statement["Action"].as_array_mut().unwrap();
        actions.retain(|known| known != action);
    }
    statements.retain(|statement| !statement["Action"].as_array().unwrap().is_empty());
    policy
}

/// The shipped fleet with a second key of the same user, that may do what the policy says.
struct Bench {
    sandbox: Sandbox,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn start(policy: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sandbox/scenarios/seed-story.toml");
        let fleet = std::fs::read_to_string(path).unwrap();
        let user = format!(
            "\n[[accounts]]\nid = \"111122223333\"\naccess_key_id = \"AKIALEAST0000000001\"\nuser = \"least\"\npolicy = '''{policy}'''\n"
        );
        let file = dir.path().join("least.toml");
        std::fs::write(&file, format!("{fleet}{user}")).unwrap();
        let sandbox = Sandbox::start(&Start {
            scenario: file.to_str().unwrap(),
            engines: "none",
            speed: "1000",
        });
        Self { sandbox, _dir: dir }
    }

    /// Runs as the user of the policy.
    fn run(&self, args: &[&str]) -> Finished {
        let mut command = self.sandbox.command(args);
        command.env("AWS_ACCESS_KEY_ID", "AKIALEAST0000000001");
        finish(command, Duration::from_secs(240))
    }

    /// A plan, made by somebody who may do everything.
    fn planned(policy: &Value) -> Self {
        let bench = Self::start(policy);
        bench.sandbox.run(&PLAN).expect(0);
        bench
    }

    /// What the user of the policy has called, and was not refused.
    fn called(&self) -> BTreeSet<String> {
        self.sandbox
            .requests()
            .into_iter()
            .map(|request| called_as(&request.service, &request.action))
            // It needs no permission.
            .filter(|action| action != "sts:GetCallerIdentity")
            .collect()
    }
}

/// A call as policies name it: CloudWatch signs by another name.
fn called_as(service: &str, action: &str) -> String {
    let prefix = if service == "monitoring" {
        "cloudwatch"
    } else {
        service
    };
    format!("{prefix}:{action}")
}

const PLAN: [&str; 11] = [
    "plan",
    "--instance",
    "prod-three",
    "--region",
    REGION,
    "--mysql",
    "off",
    "--kms-key",
    "alias/rds-migration",
    "--run",
    "least",
];

const FIX: [&str; 8] = [
    "fix",
    "atrest-plan.json",
    "--execute",
    "--poll-interval",
    "20ms",
    "--consistency-window",
    "2s",
    "--no-progress",
];

#[test]
fn a_plan_is_made_with_what_its_policy_allows_and_says_what_is_missing() {
    let policy = policy("plan");
    // The plan asks IAM whether its run would be allowed; a user who may only plan is told that it would not.
    let mut and_fix = policy.clone();
    let fix = self::policy("fix")["Statement"].as_array().unwrap().clone();
    statements(&mut and_fix).extend(fix);
    let bench = Bench::start(&and_fix);
    let all = [&PLAN[..3], &PLAN[5..]].concat();
    let made = bench.run(&all).expect(0);
    assert!(
        !made.stdout.contains("AccessDenied") && !made.stderr.contains("AccessDenied"),
        "{}{}",
        made.stdout,
        made.stderr
    );
    // Parameters only of MySQL, targets only where there is a proxy, roles only for the session of one.
    let optional: BTreeSet<String> = [
        "iam:GetRole",
        "rds:DescribeDBParameters",
        "rds:DescribeDBProxyTargets",
    ]
    .map(str::to_owned)
    .into();
    // IAM is asked with the tags that the calls of the run will meet.
    assert!(
        !made.stdout.contains("not proven  iam-permissions"),
        "{}",
        made.stdout
    );
    let (called, allowed) = (bench.called(), actions(&policy));
    assert!(
        called.is_subset(&allowed),
        "{:?}",
        called.difference(&allowed)
    );
    let idle: BTreeSet<_> = allowed.difference(&called).cloned().collect();
    assert!(idle.is_subset(&optional), "{idle:?}");
    assert!(bench.sandbox.mutations().is_empty());

    let only = Bench::start(&policy);
    let refused = only.run(&PLAN).expect(2);
    assert!(
        refused
            .stderr
            .contains("IAM does not allow rds:AddTagsToResource"),
        "{}",
        refused.stderr
    );

    let mut unsaid = BTreeSet::new();
    for action in &allowed - &optional {
        let bench = Bench::start(&without(&and_fix, &action));
        let said = bench.run(&all);
        let name = action.split_once(':').unwrap().1;
        let text = format!("{}{}", said.stdout, said.stderr);
        let is_refusal = text.contains("AccessDenied") || text.contains("not authorized");
        if !text.contains(name) || !is_refusal {
            unsaid.insert(action.clone());
        }
        // Without what the fleet is read with there is no plan; what is only checked is not proven.
        let needed = [
            "account:ListRegions",
            "rds:DescribeDBInstances",
            "rds:DescribeDBClusters",
        ];
        let codes: &[i32] = if needed.contains(&action.as_str()) {
            &[4]
        } else {
            &[0, 2]
        };
        assert!(
            codes.contains(&said.code),
            "{action}: {}: {text}",
            said.code
        );
    }
    // A default option group is usable by everybody: nothing hangs on what was refused.
    let silent = BTreeSet::from(["rds:DescribeOptionGroups".to_owned()]);
    assert_eq!(unsaid, silent);
}

#[test]
fn a_run_is_carried_out_with_what_its_policy_allows_and_nothing_of_it_is_idle() {
    let policy = policy("fix");
    let bench = Bench::planned(&policy);
    let before = bench.sandbox.requests().len();
    let ended = bench.run(&FIX).expect(0);
    assert!(!ended.stderr.contains("AccessDenied"), "{}", ended.stderr);
    let called: BTreeSet<String> = bench
        .sandbox
        .requests()
        .into_iter()
        .skip(before)
        .map(|request| {
            assert!(!request.code.contains("Denied"), "{request:?}");
            format!("{}:{}", request.service, request.action)
        })
        .filter(|action| action != "sts:GetCallerIdentity")
        .collect();
    let allowed = actions(&policy);
    assert!(
        called.is_subset(&allowed),
        "{:?}",
        called.difference(&allowed)
    );
    for report in ["scan-before.json", "scan-after.json"] {
        let path = bench.sandbox.path(".atrest/runs/least").join(report);
        let scan: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(scan["unread"], Value::Null, "{report}");
    }
}

#[test]
fn nothing_that_a_run_did_not_claim_can_be_changed_with_its_policy() {
    let bench = Bench::planned(&policy("fix"));
    let aws = atrest_scanner::aws::Aws::fixed(
        &bench.sandbox.endpoint,
        REGION,
        "AKIALEAST0000000001",
        "any",
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let client = aws.rds(REGION).client().clone();
    runtime.block_on(async {
        let name = "prod-three";
        let modified = client
            .modify_db_instance()
            .db_instance_identifier(name)
            .backup_retention_period(0);
        refused(&modified.send().await.unwrap_err());
        let deleted = client
            .delete_db_instance()
            .db_instance_identifier(name)
            .skip_final_snapshot(true);
        refused(&deleted.send().await.unwrap_err());
        let untagged = client
            .create_db_snapshot()
            .db_instance_identifier(name)
            .db_snapshot_identifier("mine");
        refused(&untagged.send().await.unwrap_err());
    });
    assert!(bench.sandbox.mutations().is_empty());
}

#[test]
fn a_rollback_and_a_cleanup_are_carried_out_with_what_their_policies_allow() {
    let pace = &FIX[3..];
    for (verb, fix, then) in [
        (
            "rollback",
            &["--stop-before", "cutover"][..],
            &["--accept-data-loss", "prod-three"][..],
        ),
        ("cleanup", &[], &["--yes", "--min-soak", "0"]),
    ] {
        let bench = Bench::planned(&policy(verb));
        let whole = bench.sandbox.run(&[&FIX[..], fix].concat());
        assert!(
            [0, 20].contains(&whole.code),
            "{}{}",
            whole.stdout,
            whole.stderr
        );
        let before = bench.sandbox.requests().len();
        let ended = bench.run(&[&[verb, "least", "--execute"], pace, then].concat());
        let refused: Vec<_> = bench
            .sandbox
            .requests()
            .into_iter()
            .skip(before)
            .filter(|request| request.code.contains("Denied"))
            .map(|request| request.action)
            .collect();
        assert!(refused.is_empty(), "{verb}: {refused:?}");
        assert!(
            [0, 23].contains(&ended.code),
            "{verb}: {}{}",
            ended.stdout,
            ended.stderr
        );
        let done: BTreeSet<String> = bench
            .sandbox
            .mutations()
            .into_iter()
            .map(|m| m.action)
            .collect();
        assert!(done.contains("DeleteDBInstance"), "{verb}: {done:?}");
    }
}

/// The debug form of an error of the SDK tells its code.
fn refused(error: &impl std::fmt::Debug) {
    let text = format!("{error:?}");
    assert!(text.contains("AccessDenied"), "{text}");
}

/// Actions whose absence stops a run, each with the word that its error has.
const STOPS: &[&str] = &[
    "rds:AddTagsToResource",
    "rds:CopyDBSnapshot",
    "rds:CreateDBInstanceReadReplica",
    "rds:CreateDBSnapshot",
    "rds:DescribeDBInstances",
    "rds:DescribeDBSnapshots",
    "rds:ModifyDBInstance",
    "rds:RestoreDBInstanceFromDBSnapshot",
    "kms:CreateGrant",
];

#[test]
fn a_run_without_one_of_its_actions_stops_and_names_it() {
    let policy = policy("fix");
    let allowed = actions(&policy);
    for action in STOPS {
        assert!(allowed.contains(*action), "{action}");
        let bench = Bench::planned(&without(&policy, action));
        let ended = bench.run(&FIX);
        let text = format!("{}{}", ended.stdout, ended.stderr);
        let name = action.split_once(':').unwrap().1;
        // RDS does not tell what of a key is missing; the checks of the plan do.
        let word = if action.starts_with("kms:") {
            "KMSKeyNotAccessible"
        } else {
            name
        };
        assert!(text.contains(word), "{action}: {text}");
        assert!(
            [4, 20, 22, 24].contains(&ended.code),
            "{action}: {}: {text}",
            ended.code
        );
        // Whatever was done by then, no name that clients use was given away for good, and nothing was deleted.
        let names = bench.sandbox.instances(REGION);
        assert!(
            names.contains_key("prod-three") || names.contains_key("old-prod-three"),
            "{action}"
        );
    }
}
