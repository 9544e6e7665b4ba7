//! Who depends on a source is attached to its successor, and what cannot be is said.

use std::collections::BTreeSet;

use atrest_model::document::{list_of, str_of, strings_of};
use atrest_model::scan::ResourceKind;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::harness::{Sandbox, Start};

const PACE: [&str; 7] = [
    "--mysql-tls",
    "off",
    "--master-user-secret",
    "--poll-interval",
    "20ms",
    "--consistency-window",
    "1s",
];

fn start(fleet: &str, engines: &str) -> Sandbox {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fleet.toml");
    std::fs::write(&path, fleet).unwrap();
    Sandbox::start(&Start {
        scenario: path.to_str().unwrap(),
        engines,
        speed: "1000",
    })
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Health of the only target of the proxy, by name.
fn target(sandbox: &Sandbox, runtime: &Runtime) -> (String, String) {
    let rds = sandbox.aws("eu-central-1").rds("eu-central-1");
    let targets = runtime.block_on(rds.proxy_targets("front")).unwrap().items;
    assert_eq!(targets.len(), 1, "{targets:?}");
    (
        str_of(&targets[0], "RdsResourceId").unwrap().to_owned(),
        str_of(&targets[0]["TargetHealth"], "State")
            .unwrap()
            .to_owned(),
    )
}

/// Resource ids whose automated backups the other region keeps.
fn replicated(sandbox: &Sandbox, runtime: &Runtime) -> BTreeSet<String> {
    let rds = sandbox.aws("us-east-1").rds("us-east-1");
    let listed = rds.listing(ResourceKind::DbInstanceAutomatedBackup);
    let items = runtime.block_on(listed).whole().unwrap().items;
    items
        .iter()
        .filter(|backup| str_of(backup, "Status") == Some("replicating"))
        .filter_map(|backup| str_of(backup, "DbiResourceId"))
        .map(str::to_owned)
        .collect()
}

/// A run with a proxy, a subscription, a role, replicated backups, IAM users, a stack and a managed password.
#[test]
fn dependents_are_attached_again_each_failing_once() {
    let sandbox = start(include_str!("fleet.toml"), "required");
    let runtime = runtime();
    let old = sandbox.instances("eu-central-1").remove("shop").unwrap();
    let secret = |document: &Value| {
        str_of(&document["MasterUserSecret"], "SecretArn")
            .unwrap()
            .to_owned()
    };
    let there = sandbox.aws("us-east-1").rds("us-east-1");
    runtime
        .block_on(
            there
                .client()
                .start_db_instance_automated_backups_replication()
                .source_db_instance_arn(old.arn())
                .backup_retention_period(5)
                .send(),
        )
        .unwrap();
    let began = std::time::Instant::now();
    while !replicated(&sandbox, &runtime).contains(old.dbi_resource_id()) {
        assert!(
            began.elapsed().as_secs() < 60,
            "the backups are not replicated"
        );
    }
    let begin = |login: &[&'static str]| {
        let plan = [
            "plan",
            "--instance",
            "shop",
            "--kms-key",
            "alias/rds-migration",
            "--mysql-tls",
            "off",
            "--run",
            "all",
        ];
        [&plan[..], login].concat()
    };
    // The password that is given would be refused by the new instance.
    let refused = sandbox.run(&begin(&[])).expect(2);
    assert!(
        refused.stderr.contains("--master-user-secret"),
        "{}",
        refused.stderr
    );
    sandbox.run(&begin(&["--master-user-secret"])).expect(0);
    let plan: Value =
        serde_json::from_slice(&std::fs::read(sandbox.path("atrest-plan.json")).unwrap()).unwrap();
    let steps: Vec<&str> = list_of(&plan["migrations"][0], "steps")
        .iter()
        .filter_map(|step| str_of(step, "id"))
        .collect();
    for step in [
        "role:shop:s3Import",
        "manage-password",
        "proxy-deregister:shop:front",
        "proxy-register:shop:front",
        "subscription:shop:pager",
        "backup-replication:shop:us-east-1",
        "handover",
    ] {
        assert!(steps.contains(&step), "{step}: {steps:?}");
    }

    let fix = [
        &[
            "fix",
            "atrest-plan.json",
            "--execute",
            "--stop-before",
            "cutover",
        ][..],
        &PACE,
    ]
    .concat();
    sandbox.run(&fix).expect(20);
    assert_eq!(target(&sandbox, &runtime).1, "UNAVAILABLE");
    // Somebody tidies up a subscription that names nobody.
    let here = sandbox.aws("eu-central-1").rds("eu-central-1");
    runtime
        .block_on(
            here.client()
                .remove_source_identifier_from_subscription()
                .subscription_name("pager")
                .source_identifier("shop")
                .send(),
        )
        .unwrap();
    let done = sandbox
        .run(&[&["fix", "--resume", "all"][..], &PACE].concat())
        .expect(0);

    let instances = sandbox.instances("eu-central-1");
    let new = &instances["shop"];
    assert_eq!(
        target(&sandbox, &runtime),
        ("shop".to_owned(), "AVAILABLE".to_owned())
    );
    let subscriptions = runtime.block_on(here.event_subscriptions()).unwrap().items;
    assert_eq!(
        strings_of(&subscriptions[0], "SourceIdsList").collect::<Vec<_>>(),
        ["shop"]
    );
    assert!(replicated(&sandbox, &runtime).contains(new.dbi_resource_id()));
    assert_eq!(list_of(&new.document, "AssociatedRoles").len(), 1);
    assert_ne!(secret(&old.document), secret(&new.document));
    for (action, times) in [
        ("DeregisterDBProxyTargets", 1),
        ("RegisterDBProxyTargets", 1),
        ("AddSourceIdentifierToSubscription", 1),
    ] {
        let mutations = sandbox.mutations();
        let took_effect = mutations.iter().filter(|r| {
            r.action == action
                && r.fault != "reset"
                && r.fault != "http-503"
                && r.fault != "throttle"
        });
        assert_eq!(took_effect.count(), times, "{action}");
    }

    // What a run cannot do is said, in every form.
    let shown: String = done.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "LEFT TO DO",
        &secret(&new.document),
        &format!("dbuser:{}/*", old.dbi_resource_id()),
        &format!("dbuser:{}/*", new.dbi_resource_id()),
        "shop-stack",
    ] {
        assert!(shown.contains(words), "{words}: {}", done.stdout);
    }
    let report: Value = sandbox
        .run(&["report", "all", "--format", "json"])
        .expect(0)
        .json();
    let kinds: BTreeSet<&str> = list_of(&report["migrations"][0], "left_to_do")
        .iter()
        .filter_map(|item| str_of(item, "kind"))
        .collect();
    assert_eq!(
        kinds,
        BTreeSet::from([
            "backup-replication",
            "cloudformation",
            "iam-authentication",
            "master-password"
        ]),
        "{report:#}"
    );
    for format in ["markdown", "html", "csv"] {
        let args = if format == "csv" {
            ["status", "all", "--format", format]
        } else {
            ["report", "all", "--format", format]
        };
        let text = sandbox.run(&args).expect(0).stdout;
        assert!(text.contains("iam-authentication"), "{format}: {text}");
    }
    terraform(&sandbox, old.dbi_resource_id());
    assert!(sandbox.stop().success());
}

/// The state is the old one's: Terraform still knows its resource id.
fn terraform(sandbox: &Sandbox, old_id: &str) {
    let state = json!({"version": 4, "resources": [{"module": "module.db", "mode": "managed", "type": "aws_db_instance",
        "name": "shop", "instances": [{"attributes": {"identifier": "renamed-since", "resource_id": old_id}}]}]});
    std::fs::write(sandbox.path("state.json"), state.to_string()).unwrap();
    sandbox
        .run(&[
            "status",
            "all",
            "--terraform",
            ".",
            "--tfstate",
            "state.json",
        ])
        .expect(0);
    let read = |name: &str| std::fs::read_to_string(sandbox.path(name)).unwrap();
    let removed = read("atrest-1-removed.tf");
    assert!(
        removed.contains("from = module.db.aws_db_instance.shop\n"),
        "{removed}"
    );
    assert!(removed.contains("destroy = false"), "{removed}");
    let import = read("atrest-2-import.tf");
    for words in [
        "to = module.db.aws_db_instance.shop\n",
        "id = \"shop\"",
        "storage_encrypted = true",
    ] {
        assert!(import.contains(words), "{words}: {import}");
    }
    let wrong = sandbox
        .run(&[
            "status",
            "all",
            "--terraform",
            ".",
            "--tfstate",
            "atrest-plan.json",
        ])
        .expect(2);
    assert!(
        wrong.stderr.contains("terraform state pull"),
        "{}",
        wrong.stderr
    );
}

/// One dependent that cannot be attached does not hold up the others; resumed, the run is complete.
#[test]
fn one_that_is_refused_does_not_hold_up_the_others() {
    let refused = "\n[[faults]]\naction = \"RegisterDBProxyTargets\"\nkind = \"error\"\ncode = \"AccessDenied\"\ntimes = 1\n";
    let fleet = include_str!("../kill_matrix/fleet.toml");
    let sandbox = start(&format!("{fleet}{refused}"), "none");
    let runtime = runtime();
    let plan = [
        "plan",
        "--instance",
        "orders",
        "--kms-key",
        "alias/rds-migration",
        "--mysql",
        "off",
        "--run",
        "held",
    ];
    sandbox.run(&plan).expect(0);
    let pace = [
        "--mysql",
        "off",
        "--poll-interval",
        "20ms",
        "--consistency-window",
        "1s",
    ];
    let fix = [&["fix", "atrest-plan.json", "--execute"][..], &pace].concat();
    let stopped = sandbox.run(&fix).expect(24);
    assert!(
        stopped.stdout.contains("proxy-register:orders:front"),
        "{}",
        stopped.stdout
    );
    let journal = sandbox
        .run(&["status", "held", "--journal"])
        .expect(0)
        .stdout;
    let done = |step: &str| {
        journal.lines().any(|line| {
            let entry: Value = serde_json::from_str(line).unwrap();
            str_of(&entry, "step") == Some(step) && str_of(&entry, "status") == Some("done")
        })
    };
    for step in ["rescan", "subscription:orders:pager", "handover"] {
        assert!(done(step), "{step}: {journal}");
    }
    let resume = [&["fix", "--resume", "held"][..], &pace].concat();
    sandbox.run(&resume).expect(0);
    assert_eq!(
        target(&sandbox, &runtime),
        ("orders".to_owned(), "AVAILABLE".to_owned())
    );
    assert!(sandbox.stop().success());
}
