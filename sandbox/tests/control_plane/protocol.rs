use super::{Bench, NO_LAG};

#[tokio::test]
async fn the_request_id_stands_in_header_and_body() {
    let bench = Bench::with(NO_LAG).await;
    for answer in [
        bench.call("DescribeDBInstances", &[]).await,
        bench
            .call("RebootDBInstance", &[("DBInstanceIdentifier", "none")])
            .await,
    ] {
        assert_eq!(
            answer.headers.get("x-amzn-requestid"),
            answer.text("RequestId").as_ref()
        );
    }
}

#[tokio::test]
async fn an_unknown_action_is_a_client_error() {
    let bench = Bench::with(NO_LAG).await;
    let answer = bench
        .refused("DescribeEverything", &[], "InvalidAction")
        .await;
    assert_eq!(
        (answer.status, answer.text("Type").as_deref()),
        (400, Some("Sender"))
    );
}

#[tokio::test]
async fn an_unknown_access_key_is_refused_by_rds_and_sts() {
    let bench = Bench {
        access_key: "AKIANOBODY",
        ..Bench::with(NO_LAG).await
    };
    assert_eq!(
        bench
            .refused("DescribeDBInstances", &[], "InvalidClientTokenId")
            .await
            .status,
        403
    );
    let answer = bench
        .try_call("sts", "GetCallerIdentity", &[])
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "InvalidClientTokenId")
    );
}

#[tokio::test]
async fn accounts_and_regions_see_only_their_own() {
    let bench = Bench::with(NO_LAG).await;
    assert!(bench.instance("plain").await.is_some());
    let bench = Bench {
        region: "us-east-1",
        ..bench
    };
    assert!(bench.instance("plain").await.is_none());
    let bench = Bench {
        region: "eu-central-1",
        access_key: "AKIAOTHER",
        ..bench
    };
    assert!(bench.instance("plain").await.is_none());
    assert_eq!(
        bench
            .try_call("sts", "GetCallerIdentity", &[])
            .await
            .expect("an answer")
            .text("Account")
            .as_deref(),
        Some("444455556666")
    );
}

#[tokio::test]
async fn void_actions_have_no_result_element() {
    let bench = Bench::with(NO_LAG).await;
    let arn = bench
        .instance("plain")
        .await
        .and_then(|answer| answer.text("DBInstanceArn"))
        .expect("an arn");
    let answer = bench
        .ok(
            "AddTagsToResource",
            &[
                ("ResourceName", &arn),
                ("Tags.Tag.1.Key", "x"),
                ("Tags.Tag.1.Value", "y & z"),
            ],
        )
        .await;
    assert!(
        !answer.has("AddTagsToResourceResult") && answer.has("ResponseMetadata"),
        "{}",
        answer.body
    );
    let listed = bench
        .ok("ListTagsForResource", &[("ResourceName", &arn)])
        .await;
    assert_eq!(listed.all("Value"), ["&lt;&amp;&gt;", "y &amp; z"]);
    bench
        .refused(
            "AddTagsToResource",
            &[("ResourceName", &arn), ("Tags.Tag.1.Key", "aws:mine")],
            "InvalidParameterValue",
        )
        .await;
}

#[tokio::test]
async fn pages_may_be_shorter_than_asked_for() {
    let bench = Bench::with("\n[knobs]\npage_limit = 2\n").await;
    let mut names = Vec::new();
    let mut marker = String::new();
    let mut pages = 0;
    loop {
        let answer = bench
            .ok(
                "DescribeDBInstances",
                &[("MaxRecords", "100"), ("Marker", &marker)],
            )
            .await;
        names.extend(answer.all("DBInstanceIdentifier"));
        pages += 1;
        match answer.text("Marker") {
            Some(next) => marker = next,
            None => break,
        }
    }
    assert_eq!((pages, names.len()), (3, 5), "{names:?}");
    bench
        .refused(
            "DescribeDBInstances",
            &[("MaxRecords", "10")],
            "InvalidParameterValue",
        )
        .await;
}

#[tokio::test]
async fn a_filter_without_a_match_is_empty_and_a_name_without_one_is_an_error() {
    let bench = Bench::with(NO_LAG).await;
    let filter = |name: &'static str, value: &'static str| {
        [
            ("Filters.Filter.1.Name", name),
            ("Filters.Filter.1.Values.Value.1", value),
        ]
    };
    assert!(
        bench
            .ok("DescribeDBInstances", &filter("db-instance-id", "none"))
            .await
            .all("DBInstanceIdentifier")
            .is_empty()
    );
    bench
        .refused(
            "DescribeDBInstances",
            &[("DBInstanceIdentifier", "none")],
            "DBInstanceNotFound",
        )
        .await;
    bench
        .refused(
            "DescribeDBInstances",
            &filter("colour", "red"),
            "InvalidParameterValue",
        )
        .await;
    assert_eq!(
        bench
            .ok("DescribeDBInstances", &filter("db-instance-id", "PLAIN"))
            .await
            .all("DBInstanceIdentifier"),
        ["plain"]
    );
}

#[tokio::test]
async fn a_lost_answer_has_been_carried_out() {
    let bench = Bench::with(&format!(
        "{NO_LAG}[[faults]]\naction = \"CreateDBSnapshot\"\nnth = 1\nkind = \"lost-answer\"\n"
    ))
    .await;
    let params = [
        ("DBInstanceIdentifier", "ordinary"),
        ("DBSnapshotIdentifier", "s"),
    ];
    assert!(
        bench
            .try_call("rds", "CreateDBSnapshot", &params)
            .await
            .is_none()
    );
    bench
        .refused("CreateDBSnapshot", &params, "DBSnapshotAlreadyExists")
        .await;
}

#[tokio::test]
async fn an_error_fault_does_nothing_and_an_html_fault_is_no_xml() {
    let faults = "[[faults]]\naction = \"CreateDBSnapshot\"\nkind = \"throttle\"\n[[faults]]\naction = \"CreateDBSnapshot\"\nnth = 2\nkind = \"html\"\n";
    let bench = Bench::with(&format!("{NO_LAG}{faults}")).await;
    let params = [
        ("DBInstanceIdentifier", "ordinary"),
        ("DBSnapshotIdentifier", "s"),
    ];
    bench
        .refused("CreateDBSnapshot", &params, "Throttling")
        .await;
    let html = bench.call("CreateDBSnapshot", &params).await;
    assert_eq!((html.status, html.body.starts_with("<html>")), (503, true));
    bench.ok("CreateDBSnapshot", &params).await;
}

#[tokio::test]
async fn the_log_has_a_line_per_call_and_no_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("requests.jsonl");
    let scenario =
        atrest_sandbox::Scenario::parse("test", include_str!("fleet.toml")).expect("valid");
    let bench = Bench::start(scenario, Some(path.clone())).await;
    bench
        .ok(
            "ModifyDBInstance",
            &[
                ("DBInstanceIdentifier", "ordinary"),
                ("MasterUserPassword", "geheim-geheim"),
            ],
        )
        .await;
    bench
        .call("RebootDBInstance", &[("DBInstanceIdentifier", "none")])
        .await;
    let text = std::fs::read_to_string(path).expect("a log");
    assert!(!text.contains("geheim"), "{text}");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("json"))
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (
            lines[0]["action"].as_str(),
            lines[0]["code"].as_str(),
            lines[0]["account"].as_str()
        ),
        (Some("ModifyDBInstance"), Some(""), Some("111122223333"))
    );
    assert_eq!(
        (lines[1]["code"].as_str(), lines[1]["status"].as_u64()),
        (Some("DBInstanceNotFound"), Some(404))
    );
}

#[tokio::test]
async fn kms_names_keys_by_alias_and_knows_their_state() {
    let bench = Bench::with(NO_LAG).await;
    let header = |action: &str| format!("X-Amz-Target: TrentService.{action}\r\n");
    let key = bench
        .send(
            "kms",
            "/",
            r#"{"KeyId":"alias/disabled"}"#,
            &header("DescribeKey"),
        )
        .await
        .expect("an answer");
    assert!(
        key.status == 200 && key.body.contains(r#""KeyState":"Disabled""#),
        "{}",
        key.body
    );
    let id =
        serde_json::from_str::<serde_json::Value>(&key.body).expect("json")["KeyMetadata"]["KeyId"]
            .as_str()
            .expect("an id")
            .to_owned();
    let grant = bench
        .send(
            "kms",
            "/",
            &format!(r#"{{"KeyId":"{id}","GranteePrincipal":"p","Operations":["Decrypt"]}}"#),
            &header("CreateGrant"),
        )
        .await
        .expect("an answer");
    assert!(
        grant.status == 400 && grant.body.contains("DisabledException"),
        "{}",
        grant.body
    );
    let none = bench
        .send(
            "kms",
            "/",
            r#"{"KeyId":"alias/none"}"#,
            &header("DescribeKey"),
        )
        .await
        .expect("an answer");
    assert!(none.body.contains("NotFoundException"), "{}", none.body);
}

#[tokio::test]
async fn the_account_service_lists_regions() {
    let bench = Bench::with(NO_LAG).await;
    let answer = bench
        .send("account", "/listRegions", r#"{"MaxResults":5}"#, "")
        .await
        .expect("an answer");
    let body: serde_json::Value = serde_json::from_str(&answer.body).expect("json");
    assert_eq!(body["Regions"].as_array().map(Vec::len), Some(5));
    assert!(body["NextToken"].is_string());
}

/// A list is kept until something changes it: a write, a write's becoming visible, or the time.
#[tokio::test]
async fn a_list_that_is_read_twice_shows_what_changed_in_between() {
    let bench = Bench::with("\n[knobs]\ndescribe_lag = [20, 20]\n").await;
    let list = async || bench.ok("DescribeDBInstances", &[]).await;
    let first = list().await;
    assert_eq!(
        first.all("LatestRestorableTime"),
        list().await.all("LatestRestorableTime")
    );
    bench.pass(300).await;
    let later = list().await;
    assert_ne!(
        first.all("LatestRestorableTime"),
        later.all("LatestRestorableTime")
    );
    assert_eq!(
        first.all("DBInstanceIdentifier"),
        later.all("DBInstanceIdentifier")
    );

    let plain = "arn:aws:rds:eu-central-1:111122223333:db:plain";
    let tag = [
        ("ResourceName", plain),
        ("Tags.Tag.1.Key", "seen"),
        ("Tags.Tag.1.Value", "at once"),
    ];
    bench.ok("AddTagsToResource", &tag).await;
    assert!(list().await.body.contains("<Value>at once</Value>"));

    let reboot = [("DBInstanceIdentifier", "ordinary")];
    bench.ok("RebootDBInstance", &reboot).await;
    let rebooting = |body: &str| body.contains("<DBInstanceStatus>rebooting<");
    assert!(!rebooting(&list().await.body), "it lags behind");
    bench.pass(21).await;
    assert!(rebooting(&list().await.body), "and then it shows");

    let replica = [
        ("SourceDBInstanceIdentifier", "plain"),
        ("DBInstanceIdentifier", "second"),
    ];
    bench.ok("CreateDBInstanceReadReplica", &replica).await;
    let shown = "<ReadReplicaDBInstanceIdentifier>second<";
    assert!(!list().await.body.contains(shown));
    bench.pass(21).await;
    assert!(list().await.body.contains(shown));
}
