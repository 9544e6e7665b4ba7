//! RDS Proxy: §2.4 (targets) and the wire codes of §2.1.

use super::{Bench, NO_LAG};

async fn proxy(bench: &Bench) {
    let subnets = bench
        .ok("DescribeDBSubnetGroups", &[("DBSubnetGroupName", "data")])
        .await
        .all("SubnetIdentifier");
    let [first, second] = subnets.as_slice() else {
        panic!("the group has two subnets: {subnets:?}");
    };
    let create = [
        ("DBProxyName", "Front"),
        ("EngineFamily", "MYSQL"),
        ("RoleArn", "arn:aws:iam::111122223333:role/proxy"),
        ("VpcSubnetIds.member.1", first.as_str()),
        ("VpcSubnetIds.member.2", second.as_str()),
        (
            "Auth.member.1.SecretArn",
            "arn:aws:secretsmanager:eu-central-1:111122223333:secret:s-abcdef",
        ),
    ];
    let made = bench.ok("CreateDBProxy", &create).await;
    assert_eq!(made.text("Status").as_deref(), Some("creating"));
    assert!(!made.has("Endpoint"));
    bench
        .refused("CreateDBProxy", &create, "DBProxyAlreadyExistsFault")
        .await;
    let one_zone = create.map(|(key, value)| match key {
        "DBProxyName" => (key, "other"),
        "VpcSubnetIds.member.2" => (key, first.as_str()),
        _ => (key, value),
    });
    bench
        .refused("CreateDBProxy", &one_zone, "InvalidSubnet")
        .await;
    bench
        .refused(
            "CreateDBProxy",
            &one_zone[..5],
            "InvalidParameterCombination",
        )
        .await;
    bench
        .refused(
            "RegisterDBProxyTargets",
            &register("plain"),
            "InvalidDBProxyStateFault",
        )
        .await;
    bench.pass(301).await;
    let shown = bench
        .ok("DescribeDBProxies", &[("DBProxyName", "front")])
        .await;
    assert_eq!(shown.text("Status").as_deref(), Some("available"));
    assert!(
        shown
            .text("Endpoint")
            .is_some_and(|endpoint| endpoint.starts_with("front.proxy-"))
    );
}

fn register(id: &str) -> [(&str, &str); 2] {
    [
        ("DBProxyName", "front"),
        ("DBInstanceIdentifiers.member.1", id),
    ]
}

/// Target, state and reason of the only target.
async fn health(bench: &Bench) -> (String, String, Option<String>) {
    let answer = bench
        .ok("DescribeDBProxyTargets", &[("DBProxyName", "front")])
        .await;
    assert_eq!(answer.all("RdsResourceId").len(), 1, "{}", answer.body);
    (
        answer.text("RdsResourceId").expect("a target"),
        answer.text("State").expect("a state"),
        answer.text("Reason"),
    )
}

#[tokio::test]
async fn a_target_registers_and_is_then_available() {
    let bench = Bench::with(NO_LAG).await;
    proxy(&bench).await;
    let groups = bench
        .ok("DescribeDBProxyTargetGroups", &[("DBProxyName", "front")])
        .await;
    assert_eq!(groups.all("TargetGroupName"), ["default"]);
    for (id, code) in [
        ("nobody", "DBInstanceNotFound"),
        ("plain", "DBProxyTargetGroupNotFoundFault"),
    ] {
        let mut params = register(id).to_vec();
        if id == "plain" {
            params.push(("TargetGroupName", "another"));
        }
        let refused = bench.refused("RegisterDBProxyTargets", &params, code).await;
        assert_eq!(refused.status, 404);
    }
    let registered = bench.ok("RegisterDBProxyTargets", &register("plain")).await;
    assert_eq!(registered.all("RdsResourceId"), ["plain"]);
    assert_eq!(
        health(&bench).await,
        (
            "plain".into(),
            "REGISTERING".into(),
            Some("PENDING_PROXY_CAPACITY".into())
        )
    );
    bench.pass(181).await;
    assert_eq!(
        health(&bench).await,
        ("plain".into(), "AVAILABLE".into(), None)
    );
    for id in ["plain", "ordinary"] {
        bench
            .refused(
                "RegisterDBProxyTargets",
                &register(id),
                "DBProxyTargetAlreadyRegisteredFault",
            )
            .await;
    }
    bench
        .refused(
            "DeregisterDBProxyTargets",
            &register("ordinary"),
            "DBProxyTargetNotFoundFault",
        )
        .await;
    bench
        .ok("DeregisterDBProxyTargets", &register("plain"))
        .await;
    let none = bench
        .ok("DescribeDBProxyTargets", &[("DBProxyName", "front")])
        .await;
    assert!(!none.has("RdsResourceId"));
}

/// Undocumented: the sandbox takes the side on which a migration has something to do.
#[tokio::test]
async fn a_renamed_target_is_unavailable_until_it_is_registered_anew() {
    let bench = Bench::with(NO_LAG).await;
    proxy(&bench).await;
    bench.ok("RegisterDBProxyTargets", &register("plain")).await;
    bench.pass(181).await;
    bench.rename("plain", "old-plain").await;
    let lost = (
        "plain".to_owned(),
        "UNAVAILABLE".to_owned(),
        Some("UNREACHABLE".to_owned()),
    );
    assert_eq!(health(&bench).await, lost);
    // Another instance takes the name: it is not the one that was registered.
    bench.rename("ordinary", "plain").await;
    assert_eq!(health(&bench).await, lost);
    bench
        .ok("DeregisterDBProxyTargets", &register("plain"))
        .await;
    bench.ok("RegisterDBProxyTargets", &register("plain")).await;
    bench.pass(181).await;
    assert_eq!(
        health(&bench).await,
        ("plain".into(), "AVAILABLE".into(), None)
    );
}

#[tokio::test]
async fn a_deleted_instance_leaves_its_target_group() {
    let bench = Bench::with(NO_LAG).await;
    proxy(&bench).await;
    bench
        .ok("RegisterDBProxyTargets", &register("ordinary"))
        .await;
    bench
        .ok(
            "DeleteDBInstance",
            &[
                ("DBInstanceIdentifier", "ordinary"),
                ("SkipFinalSnapshot", "true"),
            ],
        )
        .await;
    bench.until("ordinary", "-").await;
    let none = bench
        .ok("DescribeDBProxyTargets", &[("DBProxyName", "front")])
        .await;
    assert!(!none.has("RdsResourceId"), "{}", none.body);
    let events = bench
        .ok("DescribeEvents", &[("SourceType", "db-proxy")])
        .await
        .all("Message");
    assert_eq!(
        events,
        [
            "RDS created DB proxy front.",
            "RDS detected deletion of DB instance ordinary and automatically removed it from target group default of DB proxy front."
        ]
    );
}

#[tokio::test]
async fn a_proxy_of_the_wrong_family_takes_no_target_and_a_proxy_goes() {
    let scenario = r#"
[[proxies]]
name = "elephant"
engine_family = "POSTGRESQL"
"#;
    let bench = Bench::with(&format!("{NO_LAG}{scenario}")).await;
    bench
        .refused(
            "RegisterDBProxyTargets",
            &[
                ("DBProxyName", "elephant"),
                ("DBInstanceIdentifiers.member.1", "plain"),
            ],
            "InvalidParameterCombination",
        )
        .await;
    let tagged = "arn:aws:rds:eu-central-1:111122223333:db-proxy:elephant";
    bench
        .ok(
            "AddTagsToResource",
            &[
                ("ResourceName", tagged),
                ("Tags.Tag.1.Key", "a"),
                ("Tags.Tag.1.Value", "b"),
            ],
        )
        .await;
    let going = bench
        .ok("DeleteDBProxy", &[("DBProxyName", "elephant")])
        .await;
    assert_eq!(going.text("Status").as_deref(), Some("deleting"));
    bench
        .refused(
            "DeleteDBProxy",
            &[("DBProxyName", "elephant")],
            "InvalidDBProxyStateFault",
        )
        .await;
    bench.pass(181).await;
    let gone = bench
        .refused(
            "DescribeDBProxies",
            &[("DBProxyName", "elephant")],
            "DBProxyNotFoundFault",
        )
        .await;
    assert_eq!(gone.status, 404);
}
