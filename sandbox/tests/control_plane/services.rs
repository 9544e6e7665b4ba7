use std::time::Duration;

use ciborium::Value as Cbor;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::raw::{Keys, Raw, call, call_as, exchange, json as call_json, query};
use super::{Bench, NO_LAG};

const AROUND: &str = r#"
[[roles]]
account = "444455556666"
name = "scan"
external_id = "e-1"
trusted = ["111122223333"]
deny = ["rds:Delete*"]

[organization]
page_limit = 2
empty_pages = true
accounts = [
    { id = "111122223333", name = "main" },
    { id = "444455556666" },
    { id = "777788889999", status = "SUSPENDED" },
]

[[secrets]]
name = "prod/scan"
value = '{"username":"scan","password":"geheim-wort"}'

[[secrets]]
name = "locked-away"
value = "geheim-wort"
kms_key = "alias/disabled"

[[instances]]
id = "managed"
engine = "mysql"
engine_version = "8.0.39"
managed_password = true
master_password = "geheim-wort"

[[metrics]]
instance = "ordinary"
name = "DatabaseConnections"
value = 7

[[alarms]]
name = "too-many"
metric = "DatabaseConnections"
threshold = 5
dimensions = { DBInstanceIdentifier = "ordinary" }
state = "ALARM"

[[alarms]]
name = "lag"
metric = "ReplicaLag"
threshold = 60.5

[[accounts]]
id = "111122223333"
access_key_id = "AKIAREADER"
user = "reader"
allow = ["rds:Describe*", "kms:DescribeKey", "iam:*"]
opt_in = ["eu-central-2"]
"#;

/// In us-east-1, where Organizations is.
async fn around() -> Bench {
    Bench {
        region: "us-east-1",
        ..home().await
    }
}

async fn home() -> Bench {
    Bench::with(&format!("{AROUND}{NO_LAG}")).await
}

fn reader() -> Keys {
    Keys {
        id: "AKIAREADER".to_owned(),
        ..Keys::default()
    }
}

#[tokio::test]
async fn a_role_is_assumed_with_its_external_id_and_is_of_its_own_account() {
    let bench = home().await;
    let assume = |role: &str, more: &str| {
        format!(
            "Action=AssumeRole&Version=2011-06-15&RoleSessionName=atrest&RoleArn=arn:aws:iam::444455556666:role/{role}{more}"
        )
    };
    for (form, code) in [
        (assume("scan", ""), "AccessDenied"),
        (assume("scan", "&ExternalId=other"), "AccessDenied"),
        (assume("other", "&ExternalId=e-1"), "AccessDenied"),
        (
            assume("scan", "&ExternalId=e-1&DurationSeconds=60"),
            "ValidationError",
        ),
    ] {
        assert_eq!(query(&bench, "sts", &form).await.code(), code, "{form}");
    }
    let answer = query(&bench, "sts", &assume("scan", "&ExternalId=e-1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let keys = Keys {
        id: answer.element("AccessKeyId").expect("a key"),
        secret: answer.element("SecretAccessKey"),
        token: answer.element("SessionToken"),
    };
    let identity = async |keys: Keys| {
        call_as(
            &bench,
            &keys,
            "sts",
            "/",
            &[],
            b"Action=GetCallerIdentity&Version=2011-06-15",
        )
        .await
        .expect("an answer")
    };
    let who = identity(keys.clone()).await;
    assert_eq!(
        who.element("Account").as_deref(),
        Some("444455556666"),
        "{}",
        who.text()
    );
    assert_eq!(
        who.element("Arn").as_deref(),
        Some("arn:aws:sts::444455556666:assumed-role/scan/atrest")
    );
    // The token belongs to the keys, and the secret is checked.
    let without = Keys {
        token: None,
        ..keys.clone()
    };
    assert_eq!(identity(without).await.code(), "InvalidClientTokenId");
    let forged = Keys {
        secret: Some("other".to_owned()),
        ..keys.clone()
    };
    assert_eq!(identity(forged).await.code(), "SignatureDoesNotMatch");
    // It sees its account's instances, which are none, and may not delete.
    let form = b"Action=DescribeDBInstances&Version=2014-10-31";
    let seen = call_as(&bench, &keys, "rds", "/", &[], form)
        .await
        .expect("an answer");
    assert!(seen.status == 200 && seen.elements("DBInstanceIdentifier").is_empty());
    let form = b"Action=DeleteDBInstance&Version=2014-10-31&DBInstanceIdentifier=plain";
    let denied = call_as(&bench, &keys, "rds", "/", &[], form)
        .await
        .expect("an answer");
    assert_eq!(
        (denied.status, denied.code().as_str()),
        (403, "AccessDenied")
    );
}

#[tokio::test]
async fn the_organization_lists_its_accounts_with_empty_pages_in_between() {
    let bench = around().await;
    let mut sizes = Vec::new();
    let mut accounts = Vec::new();
    let mut body = json!({});
    loop {
        let page = call_json(&bench, "organizations", "ListAccounts", &body)
            .await
            .json();
        let items = page["Accounts"].as_array().expect("a list").clone();
        sizes.push(items.len());
        accounts.extend(items);
        match page["NextToken"].as_str() {
            Some(token) => body = json!({ "NextToken": token }),
            None => break,
        }
    }
    assert_eq!(sizes, [0, 2, 0, 1]);
    assert_eq!(accounts[0]["Name"], "main");
    assert_eq!(accounts[2]["Status"], "SUSPENDED");
    let described = call_json(&bench, "organizations", "DescribeOrganization", &json!({})).await;
    assert_eq!(
        described.json()["Organization"]["MasterAccountId"],
        "111122223333"
    );
    let account = |id: &str| json!({ "AccountId": id });
    let answer = call_json(
        &bench,
        "organizations",
        "DescribeAccount",
        &account("777788889999"),
    )
    .await;
    assert_eq!(answer.json()["Account"]["Status"], "SUSPENDED");
    for (id, code) in [
        ("000000000000", "AccountNotFoundException"),
        ("x", "InvalidInputException"),
    ] {
        let answer = call_json(&bench, "organizations", "DescribeAccount", &account(id)).await;
        assert_eq!(answer.code(), code);
    }
    let wrong = call_json(
        &bench,
        "organizations",
        "ListAccounts",
        &json!({ "NextToken": "x" }),
    )
    .await;
    assert_eq!(wrong.code(), "InvalidInputException");
    // A member may not list, and elsewhere there is no endpoint.
    let bench = Bench {
        access_key: "AKIAOTHER",
        ..bench
    };
    let answer = call_json(&bench, "organizations", "ListAccounts", &json!({})).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "AccessDeniedException")
    );
    let bench = Bench {
        region: "eu-central-1",
        ..bench
    };
    let answer = call_json(&bench, "organizations", "ListAccounts", &json!({})).await;
    assert_eq!(answer.code(), "InvalidSignatureException");
}

#[tokio::test]
async fn without_an_organization_the_service_says_so() {
    let bench = Bench {
        region: "us-east-1",
        ..Bench::with(NO_LAG).await
    };
    let answer = call_json(&bench, "organizations", "DescribeOrganization", &json!({})).await;
    assert_eq!(answer.code(), "AWSOrganizationsNotInUseException");
}

#[tokio::test]
async fn regions_are_told_by_ec2_and_by_account_management() {
    let bench = home().await;
    let usual = query(&bench, "ec2", "Action=DescribeRegions&Version=2016-11-15").await;
    assert_eq!(usual.status, 200, "{}", usual.text());
    let names = usual.elements("regionName");
    assert!(
        names.contains(&"eu-central-2".to_owned()) && !names.contains(&"af-south-1".to_owned())
    );
    assert!(usual.element("requestId").is_some());
    let all = query(&bench, "ec2", "Action=DescribeRegions&Version=2016-11-15&AllRegions=true&Filter.1.Name=opt-in-status&Filter.1.Value.1=not-opted-in").await;
    assert!(
        all.elements("regionName")
            .contains(&"af-south-1".to_owned())
    );
    assert!(
        all.elements("optInStatus")
            .iter()
            .all(|status| status == "not-opted-in")
    );
    let mut regions = Vec::new();
    let mut body =
        json!({ "MaxResults": 7, "RegionOptStatusContains": ["ENABLED", "ENABLED_BY_DEFAULT"] });
    loop {
        let page = call(
            &bench,
            "account",
            "/listRegions",
            &[],
            body.to_string().as_bytes(),
        )
        .await
        .json();
        regions.extend(page["Regions"].as_array().expect("a list").clone());
        if page["NextToken"].is_null() {
            break;
        }
        body["NextToken"] = page["NextToken"].clone();
    }
    let mut listed: Vec<&str> = regions
        .iter()
        .filter_map(|region| region["RegionName"].as_str())
        .collect();
    listed.sort_unstable();
    assert_eq!(listed, names);
    assert!(
        regions.contains(&json!({ "RegionName": "eu-central-2", "RegionOptStatus": "ENABLED" }))
    );
}

#[tokio::test]
async fn a_region_that_does_not_exist_or_is_not_enabled_knows_no_keys() {
    let mut bench = home().await;
    bench.region = "eu-nowhere-1";
    for (answer, status, code) in [
        (
            query(
                &bench,
                "rds",
                "Action=DescribeDBInstances&Version=2014-10-31",
            )
            .await,
            403,
            "SignatureDoesNotMatch",
        ),
        (
            call_json(&bench, "kms", "ListKeys", &json!({})).await,
            400,
            "InvalidSignatureException",
        ),
        (
            query(&bench, "ec2", "Action=DescribeRegions&Version=2016-11-15").await,
            401,
            "AuthFailure",
        ),
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
    bench.region = "af-south-1";
    for (answer, status, code) in [
        (
            query(
                &bench,
                "rds",
                "Action=DescribeDBInstances&Version=2014-10-31",
            )
            .await,
            403,
            "InvalidClientTokenId",
        ),
        (
            query(&bench, "sts", "Action=GetCallerIdentity&Version=2011-06-15").await,
            403,
            "InvalidClientTokenId",
        ),
        (
            call_json(&bench, "kms", "ListKeys", &json!({})).await,
            400,
            "UnrecognizedClientException",
        ),
        (
            query(&bench, "ec2", "Action=DescribeRegions&Version=2016-11-15").await,
            401,
            "AuthFailure",
        ),
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
    // The first account has opted into this one, the other has not.
    bench.region = "eu-central-2";
    bench.ok("DescribeDBInstances", &[]).await;
    bench.access_key = "AKIAOTHER";
    bench
        .refused("DescribeDBInstances", &[], "InvalidClientTokenId")
        .await;
}

#[tokio::test]
async fn secrets_are_found_by_name_and_arn_and_need_their_key() {
    let bench = home().await;
    let get = async |id: &str| {
        call_json(
            &bench,
            "secretsmanager",
            "GetSecretValue",
            &json!({ "SecretId": id }),
        )
        .await
    };
    let found = get("prod/scan").await.json();
    assert!(
        found["SecretString"]
            .as_str()
            .expect("a text")
            .contains("geheim-wort")
    );
    let arn = found["ARN"].as_str().expect("an arn");
    assert_eq!(get(arn).await.json()["VersionId"], found["VersionId"]);
    for (id, code) in [
        ("nowhere", "ResourceNotFoundException"),
        ("locked-away", "DecryptionFailure"),
        ("", "ValidationException"),
    ] {
        let answer = get(id).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{id}");
    }
    // The one that RDS keeps has neither host nor port.
    let managed = bench
        .instance("managed")
        .await
        .and_then(|answer| answer.text("SecretArn"))
        .expect("an arn");
    let secret = get(&managed).await.json();
    assert!(
        secret["Name"]
            .as_str()
            .expect("a name")
            .starts_with("rds!db-")
    );
    let text = secret["SecretString"].as_str().expect("a text");
    assert_eq!(
        serde_json::from_str::<Value>(text).expect("json"),
        json!({ "username": "admin", "password": "geheim-wort" })
    );
}

fn to_cbor(value: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    ciborium::into_writer(value, &mut body).expect("cbor");
    body
}

async fn cbor(bench: &Bench, operation: &str, body: &[u8]) -> Raw {
    call(
        bench,
        "monitoring",
        &format!("/service/GraniteServiceVersion20100801/operation/{operation}"),
        &[
            ("smithy-protocol", "rpc-v2-cbor"),
            ("Content-Type", "application/cbor"),
        ],
        body,
    )
    .await
}

/// The value of a member.
fn member<'a>(value: &'a Cbor, name: &str) -> &'a Cbor {
    let map = value.as_map().expect("a map");
    let found = map.iter().find(|(key, _)| key.as_text() == Some(name));
    &found.unwrap_or_else(|| panic!("no {name} in {value:?}")).1
}

#[tokio::test]
async fn metrics_come_as_json_and_as_cbor() {
    let bench = home().await;
    let now = bench_now(&bench).await;
    let series = |id: &str, instance: &str, metric: &str| {
        json!({
            "Id": id,
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/RDS", "MetricName": metric,
                    "Dimensions": [{ "Name": "DBInstanceIdentifier", "Value": instance }],
                },
                "Period": 60, "Stat": "Maximum",
            },
        })
    };
    let body = json!({
        "StartTime": now - 600, "EndTime": now,
        "MetricDataQueries": [
            series("a", "ordinary", "DatabaseConnections"),
            series("b", "replica", "ReplicaLag"),
            series("c", "plain", "ReplicaLag"),
        ],
    });
    let as_json = call_json(&bench, "monitoring", "GetMetricData", &body).await;
    assert_eq!(as_json.status, 200, "{}", as_json.text());
    let results = as_json.json()["MetricDataResults"].clone();
    let values = |index: usize| results[index]["Values"].as_array().expect("a list").clone();
    assert_eq!(values(0), vec![json!(7.0); 10]);
    assert_eq!(values(1), vec![json!(0.0); 10]);
    // A source has no lag.
    assert!(values(2).is_empty());
    let times = results[0]["Timestamps"].as_array().expect("a list").clone();
    assert!(
        times[0].as_f64() > times[9].as_f64(),
        "the newest comes first"
    );

    let answer = cbor(&bench, "GetMetricData", &to_cbor(&body)).await;
    assert_eq!(
        (
            answer.status,
            answer.headers.get("smithy-protocol").map(String::as_str)
        ),
        (200, Some("rpc-v2-cbor"))
    );
    let read: Cbor = ciborium::from_reader(&*answer.body).expect("cbor");
    let first = &member(&read, "MetricDataResults")
        .as_array()
        .expect("a list")[0];
    assert_eq!(
        member(first, "Values").as_array().expect("a list").len(),
        10
    );
    let Cbor::Tag(1, _) = member(first, "Timestamps").as_array().expect("a list")[0] else {
        panic!("{first:?}");
    };
    // In pages of three points nothing is lost.
    let mut body = body;
    body["MaxDatapoints"] = json!(3);
    let mut points = 0;
    for _ in 0..20 {
        let page = call_json(&bench, "monitoring", "GetMetricData", &body)
            .await
            .json();
        for result in page["MetricDataResults"].as_array().expect("a list") {
            points += result["Values"].as_array().expect("a list").len();
        }
        if page["NextToken"].is_null() {
            break;
        }
        body["NextToken"] = page["NextToken"].clone();
    }
    assert_eq!(points, 20);
}

/// Virtual seconds since the epoch.
async fn bench_now(bench: &Bench) -> i64 {
    let clock = super::raw::admin_ok(bench, "GET", "/clock", Value::Null).await;
    let now: jiff::Timestamp = clock["now"]
        .as_str()
        .expect("a time")
        .parse()
        .expect("a time");
    now.as_second()
}

#[tokio::test]
async fn alarms_are_filtered_and_errors_come_in_the_callers_protocol() {
    let bench = home().await;
    let alarms = async |body: Value| {
        let answer = call_json(&bench, "monitoring", "DescribeAlarms", &body)
            .await
            .json();
        let list = answer["MetricAlarms"].as_array().expect("a list").clone();
        list.iter()
            .map(|alarm| alarm["AlarmName"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(alarms(json!({})).await, ["too-many", "lag"]);
    assert_eq!(alarms(json!({ "StateValue": "ALARM" })).await, ["too-many"]);
    assert_eq!(alarms(json!({ "AlarmNamePrefix": "la" })).await, ["lag"]);
    let answer = cbor(
        &bench,
        "DescribeAlarms",
        &to_cbor(&json!({ "MaxRecords": 1 })),
    )
    .await;
    let read: Cbor = ciborium::from_reader(&*answer.body).expect("cbor");
    assert!(member(&read, "NextToken").as_text().is_some());
    let alarm = &member(&read, "MetricAlarms").as_array().expect("a list")[0];
    assert_eq!(member(alarm, "Threshold").as_float(), Some(5.0));
    let refused = cbor(
        &bench,
        "DescribeAlarms",
        &to_cbor(&json!({ "NextToken": "x" })),
    )
    .await;
    let read: Cbor = ciborium::from_reader(&*refused.body).expect("cbor");
    assert_eq!(
        (refused.status, member(&read, "__type").as_text()),
        (400, Some("InvalidNextToken"))
    );
    assert_eq!(
        cbor(&bench, "DescribeAlarms", b"\xff\xff").await.status,
        400
    );
}

#[tokio::test]
async fn iam_says_what_a_principal_may_do_and_every_service_holds_to_it() {
    let bench = home().await;
    let form = "Action=SimulatePrincipalPolicy&Version=2010-05-08&PolicySourceArn=arn:aws:iam::111122223333:user/reader&ActionNames.member.1=rds:DescribeDBInstances&ActionNames.member.2=kms:CreateGrant";
    let answer = query(&bench, "iam", form).await;
    assert_eq!(
        answer.elements("EvalDecision"),
        ["allowed", "implicitDeny"],
        "{}",
        answer.text()
    );
    let role = "Action=SimulatePrincipalPolicy&Version=2010-05-08&PolicySourceArn=arn:aws:iam::444455556666:role/scan&ActionNames.member.1=rds:DeleteDBInstance&ActionNames.member.2=rds:CopyDBSnapshot";
    let other = Keys {
        id: "AKIAOTHER".to_owned(),
        ..Keys::default()
    };
    let answer = call_as(&bench, &other, "iam", "/", &[], role.as_bytes())
        .await
        .expect("an answer");
    assert_eq!(
        answer.elements("EvalDecision"),
        ["explicitDeny", "allowed"],
        "{}",
        answer.text()
    );
    let get = b"Action=GetRole&Version=2010-05-08&RoleName=scan";
    let answer = call_as(&bench, &other, "iam", "/", &[], get)
        .await
        .expect("an answer");
    assert_eq!(
        answer.element("Arn").as_deref(),
        Some("arn:aws:iam::444455556666:role/scan")
    );
    let answer = query(
        &bench,
        "iam",
        "Action=GetRole&Version=2010-05-08&RoleName=none",
    )
    .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (404, "NoSuchEntity")
    );

    let target = |name: &str| format!("TrentService.{name}");
    for (service, header, body, status, code) in [
        (
            "rds",
            String::new(),
            "Action=DescribeDBInstances&Version=2014-10-31",
            200,
            "",
        ),
        (
            "rds",
            String::new(),
            "Action=CreateDBSnapshot&Version=2014-10-31",
            403,
            "AccessDenied",
        ),
        (
            "ec2",
            String::new(),
            "Action=DescribeRegions&Version=2016-11-15",
            403,
            "UnauthorizedOperation",
        ),
        (
            "kms",
            target("DescribeKey"),
            r#"{"KeyId":"alias/mine"}"#,
            200,
            "",
        ),
        (
            "kms",
            target("ListKeys"),
            "{}",
            400,
            "AccessDeniedException",
        ),
    ] {
        let answer = call_as(
            &bench,
            &reader(),
            service,
            "/",
            &[("X-Amz-Target", &header)],
            body.as_bytes(),
        )
        .await
        .expect("an answer");
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{service} {body}"
        );
    }
}

#[tokio::test]
async fn an_unknown_action_is_refused_in_the_words_of_the_service() {
    let bench = around().await;
    for (service, version, code) in [
        ("rds", "2014-10-31", "InvalidAction"),
        ("sts", "2011-06-15", "InvalidAction"),
        ("iam", "2010-05-08", "InvalidAction"),
        ("ec2", "2016-11-15", "InvalidAction"),
        ("monitoring", "2010-08-01", "InvalidAction"),
    ] {
        let form = format!("Action=MakeCoffee&Version={version}");
        let answer = query(&bench, service, &form).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, code),
            "{service}"
        );
        assert_eq!(
            query(&bench, service, "Version=x").await.code(),
            "MissingAction"
        );
    }
    for service in ["kms", "organizations", "secretsmanager", "monitoring"] {
        let answer = call_json(&bench, service, "MakeCoffee", &json!({})).await;
        assert_eq!(answer.code(), "UnknownOperationException", "{service}");
        assert!((400..500).contains(&answer.status));
    }
    let answer = call(&bench, "account", "/makeCoffee", &[], b"{}").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (404, "UnknownOperationException")
    );
    let answer = call(&bench, "s3", "/", &[], b"").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "SignatureDoesNotMatch")
    );
    for (target, code) in [(
        "TrentService.ListKeys",
        "MissingAuthenticationTokenException",
    )] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Amz-Target: {target}\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        let answer = exchange(&bench, request.as_bytes())
            .await
            .expect("an answer");
        assert_eq!(answer.code(), code);
    }
}

#[tokio::test]
async fn garbage_is_refused_and_the_sandbox_lives_on() {
    let bench = home().await;
    let deep = "[".repeat(100_000);
    let answer = call(
        &bench,
        "kms",
        "/",
        &[("X-Amz-Target", "TrentService.ListKeys")],
        deep.as_bytes(),
    )
    .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "SerializationException")
    );
    for body in ["{", "[]", "\"x\"", "\u{0}"] {
        let answer = call(
            &bench,
            "kms",
            "/",
            &[("X-Amz-Target", "TrentService.ListKeys")],
            body.as_bytes(),
        )
        .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "SerializationException"),
            "{body}"
        );
    }
    let answer = call(
        &bench,
        "rds",
        "/",
        &[],
        b"Action=DescribeDBInstances&DBInstanceIdentifier=%ff%fe",
    )
    .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "MalformedQueryString")
    );
    // A body beyond a mebibyte is not read.
    let huge = vec![b'a'; 3 * 1024 * 1024];
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        huge.len()
    );
    let answer = exchange(&bench, &[head.as_bytes(), &huge].concat()).await;
    assert!(answer.is_none_or(|answer| answer.status == 413));
    // What is no HTTP gets 400 or nothing.
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
    ] {
        let answer = exchange(&bench, bytes).await;
        assert!(answer.is_none_or(|answer| answer.status == 400));
    }
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "a".repeat(200_000)
    );
    let answer = exchange(&bench, head.as_bytes()).await;
    assert!(answer.is_none_or(|answer| answer.status == 431));
    // A client that goes away in the middle leaves nothing behind.
    let address = bench
        .sandbox
        .endpoint()
        .trim_start_matches("http://")
        .to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address)
        .await
        .expect("a connection");
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab")
        .await
        .expect("sent");
    drop(stream);
    let alive = tokio::time::timeout(
        Duration::from_secs(10),
        bench.ok("DescribeDBInstances", &[]),
    )
    .await;
    assert!(alive.is_ok());
}
