//! Preflight against the sandbox: what would fail at night is a line of the plan, and nothing is changed by looking.

use serde_json::Value;

use crate::harness::{Finished, Sandbox, Start};

/// The shipped fleet, control plane only, with something put in place of `from` and something added.
fn fleet(from: &str, to: &str, added: &str) -> Sandbox {
    let (_, text) = atrest_sandbox::Scenario::shipped()
        .into_iter()
        .find(|(name, _)| *name == "seed-story")
        .unwrap();
    assert!(from.is_empty() || text.contains(from), "{from}");
    serve(&format!("{}\n{added}", text.replacen(from, to, 1)))
}

fn serve(text: &str) -> Sandbox {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fleet.toml");
    std::fs::write(&path, text).unwrap();
    Sandbox::start(&Start {
        scenario: path.to_str().unwrap(),
        engines: "none",
        speed: "1000",
    })
}

const USER: &str = "user = \"dbre\"";

fn plan(sandbox: &Sandbox, more: &[&str]) -> Finished {
    let mut args = vec![
        "plan",
        "--region",
        "eu-central-1",
        "--mysql",
        "off",
        "--format",
        "json",
    ];
    args.extend(more);
    if !more.contains(&"--kms-key") {
        args.extend(["--kms-key", "alias/rds-migration"]);
    }
    sandbox.run(&args)
}

/// `is` of every line of a check.
fn verdicts(plan: &Value, check: &str) -> Vec<String> {
    plan["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["check"] == check)
        .map(|line| line["verdict"]["is"].as_str().unwrap().to_owned())
        .collect()
}

/// Asked for by name and blocked: exit 2, every line is shown, no plan is written, nothing is changed.
fn blocked(sandbox: &Sandbox, more: &[&str], check: &str, words: &str) {
    let finished = plan(sandbox, more).expect(2);
    let errors = finished.stderr.lines().filter(|l| l.starts_with("error:"));
    let errors: Vec<&str> = errors.collect();
    assert_eq!(errors.len(), 1, "{}", finished.stderr);
    assert!(errors[0].contains(words), "{words}: {}", finished.stderr);
    let verdicts = verdicts(&finished.json(), check);
    assert!(
        verdicts.contains(&"blocks".to_owned()),
        "{check}: {verdicts:?}"
    );
    assert!(!sandbox.path("atrest-plan.json").exists());
    assert!(sandbox.mutations().is_empty(), "{:?}", sandbox.mutations());
}

#[test]
fn a_key_that_is_disabled_and_a_class_that_cannot_encrypt_block() {
    let sandbox = fleet("", "", "");
    let retired = ["--instance", "prod-two", "--kms-key", "alias/retired"];
    blocked(&sandbox, &retired, "kms-key", "Disabled");
    blocked(
        &sandbox,
        &["--instance", "legacy-intranet"],
        "class-encrypts",
        "db.t3.micro is the nearest",
    );
}

#[test]
fn a_call_that_iam_denies_blocks() {
    let to = format!("{USER}\ndeny = [\"rds:CopyDBSnapshot\", \"iam:GetRole\"]");
    let sandbox = fleet(USER, &to, "");
    blocked(
        &sandbox,
        &["--instance", "prod-two"],
        "iam-permissions",
        "rds:CopyDBSnapshot",
    );
}

/// Who may not ask gets no answer, and that is said; the plan is made.
#[test]
fn what_may_not_be_read_is_not_proven() {
    let to = format!(
        "{USER}\ndeny = [\"iam:*\", \"rds:DescribeAccountAttributes\", \"rds:DescribeDBProxies\", \"rds:DescribeOrderable*\"]"
    );
    let sandbox = fleet(USER, &to, "");
    let made = plan(&sandbox, &["--instance", "prod-two"]).expect(0).json();
    for check in [
        "iam-permissions",
        "kms-grant",
        "quota-instances",
        "quota-storage",
        "proxy",
        "class-encrypts",
    ] {
        assert_eq!(verdicts(&made, check), ["not-proven"], "{check}");
    }
    assert_eq!(verdicts(&made, "kms-key"), ["passes"]);
}

#[test]
fn names_states_and_claims_block() {
    let taken = "[[instances]]\nid = \"new-prod-two\"\nengine = \"mariadb\"\nengine_version = \"10.11.9\"\nclass = \"db.t4g.small\"\nallocated_storage = 20\nkms_key = \"alias/vault\"\nserver = false\n";
    let sandbox = fleet("", "", taken);
    let prod_two = ["--instance", "prod-two"];
    blocked(&sandbox, &prod_two, "names-free", "new-prod-two is taken");
    let claimed = "{ key = \"env\", value = \"prod\" }";
    let claim = format!("{claimed}, {{ key = \"atrest:run\", value = \"other\" }}");
    let sandbox = fleet(claimed, &claim, "");
    blocked(&sandbox, &prod_two, "not-claimed", "run other");
    let status = "id = \"prod-two\"\nstatus = \"modifying\"";
    let sandbox = fleet("id = \"prod-two\"", status, "");
    blocked(&sandbox, &prod_two, "status", "modifying");
    let managed = "id = \"prod-two\"\nmanaged_password = true";
    let sandbox = fleet("id = \"prod-two\"", managed, "");
    let made = plan(&sandbox, &prod_two).expect(0).json();
    assert_eq!(verdicts(&made, "master-password"), ["fixed-by"]);
}

/// A quota is of the region: the plan is written and shown, exits with 24, and is not carried out.
#[test]
fn a_quota_blocks_the_region() {
    let sandbox = fleet("", "", "[quotas]\ninstances = 13\n");
    let made = plan(&sandbox, &["--instance", "prod-one"]).expect(24);
    assert!(made.stderr.contains("DBInstances"), "{}", made.stderr);
    assert_eq!(verdicts(&made.json(), "quota-instances"), ["blocks"]);
    let fixed = sandbox
        .run(&["fix", "atrest-plan.json", "--execute"])
        .expect(24);
    assert!(fixed.stderr.contains("quota-instances"), "{}", fixed.stderr);
    assert!(sandbox.mutations().is_empty(), "{:?}", sandbox.mutations());
}

/// What comes between plan and run is found before the first change.
#[test]
fn a_key_disabled_after_the_plan_makes_it_stale() {
    let fault = "[[faults]]\nkind = \"key-disabled\"\naction = \"DescribeAccountAttributes\"\nnth = 1\ntarget = \"alias/rds-migration\"\n";
    let sandbox = fleet("", "", fault);
    plan(&sandbox, &["--instance", "prod-two"]).expect(0);
    let fixed = sandbox
        .run(&["fix", "atrest-plan.json", "--execute"])
        .expect(22);
    assert!(fixed.stderr.contains("Disabled"), "{}", fixed.stderr);
    assert!(sandbox.mutations().is_empty(), "{:?}", sandbox.mutations());
}

/// Dependents are listed with what happens to them, in every form.
#[test]
fn dependents_are_listed() {
    let around = "[[proxies]]\nname = \"front\"\nengine_family = \"MYSQL\"\ntargets = [\"prod-two\"]\n\n[[pending_maintenance]]\ninstance = \"prod-one\"\naction = \"system-update\"\n";
    let sandbox = fleet("", "", around);
    let made = plan(&sandbox, &[]).expect(0).json();
    assert!(verdicts(&made, "proxy").contains(&"fixed-by".to_owned()));
    assert!(verdicts(&made, "pending-maintenance").contains(&"warns".to_owned()));
    assert!(verdicts(&made, "event-subscriptions").contains(&"fixed-by".to_owned()));
    assert!(verdicts(&made, "roles").contains(&"fixed-by".to_owned()));
    assert!(verdicts(&made, "deletion-protection").contains(&"fixed-by".to_owned()));
    for format in ["text", "markdown"] {
        let args = [
            "plan",
            "--region",
            "eu-central-1",
            "--mysql",
            "off",
            "--kms-key",
            "alias/rds-migration",
            "--format",
            format,
        ];
        let shown = sandbox.run(&args).expect(0).stdout;
        for words in [
            "proxy front",
            "dbre-pager",
            "is fixed by step",
            "not proven",
        ] {
            assert!(shown.contains(words), "{format} {words}:\n{shown}");
        }
    }
    // One call of each kind for the region, however many instances there are.
    for action in [
        "DescribeAccountAttributes",
        "DescribeOptionGroups",
        "DescribeDBProxies",
        "DescribeBlueGreenDeployments",
    ] {
        let calls = sandbox.requests();
        let calls = calls.iter().filter(|request| request.action == action);
        assert_eq!(calls.count(), 3, "{action}");
    }
}

/// Fleets full of values that Describe shows and calls refuse: a plan made by us steps into none of the traps.
#[test]
fn a_run_steps_into_no_trap() {
    let sandbox = serve(TRAPS);
    plan(&sandbox, &[]).expect(0);
    let args = [
        "fix",
        "atrest-plan.json",
        "--execute",
        "--poll-interval",
        "20ms",
        "--consistency-window",
        "2s",
    ];
    sandbox.run(&args).expect(0);
    let refused: Vec<String> = sandbox
        .requests()
        .iter()
        .filter(|request| {
            request.code.starts_with("InvalidParameter") || request.code.contains("NotAllowed")
        })
        .map(|request| format!("{} {}", request.action, request.code))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
}

const TRAPS: &str = r#"
default_region = "eu-central-1"

[[accounts]]
id = "111122223333"
access_key_id = "AKIATRAPS"
user = "dbre"

[[keys]]
alias = "alias/rds-migration"

[[parameter_groups]]
name = "lower"
family = "mysql8.0"
[parameter_groups.parameters]
lower_case_table_names = "1"

[[instances]]
id = "gp3-small"
engine = "mysql"
engine_version = "8.0.39"
class = "db.m5.large"
allocated_storage = 100
storage_type = "gp3"
multi_az = true
parameter_group = "lower"
server = false

[[instances]]
id = "gp3-small-replica"
replica_of = "gp3-small"
class = "db.m5.large"
storage_type = "gp3"
monitoring_interval = 60
monitoring_role = "arn:aws:iam::111122223333:role/rds-monitoring-role"
performance_insights = true
performance_insights_retention = 465
database_insights_mode = "advanced"
server = false

[[instances]]
id = "gp3-large"
engine = "postgres"
engine_version = "16.6"
class = "db.m5.large"
allocated_storage = 400
storage_type = "gp3"
iops = 12000
storage_throughput = 500
availability_zone = "eu-central-1b"
monitoring_interval = 30
monitoring_role = "arn:aws:iam::111122223333:role/rds-monitoring-role"
server = false

[[instances]]
id = "gp3-large-replica"
replica_of = "gp3-large"
class = "db.m5.large"
server = false

[[instances]]
id = "provisioned"
engine = "mariadb"
engine_version = "10.11.9"
class = "db.r6g.large"
allocated_storage = 100
storage_type = "io1"
iops = 3000
max_allocated_storage = 500
performance_insights = true
performance_insights_retention = 465
database_insights_mode = "advanced"
server = false
"#;
