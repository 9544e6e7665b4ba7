use atrest_model::instance::{DbCluster, DbInstance};

use super::*;

fn policies(text: &str) -> Result<CustomPolicies, String> {
    CustomPolicies::parse(Path::new("own.toml"), text).map_err(|error| error.to_string())
}

fn policy(check: &str, more: &str) -> String {
    format!(
        "[[policies]]\nid = \"own-rule\"\ntitle = \"t\"\nseverity = \"medium\"\nresource = \"db-instance\"\n\
         check = '{check}'\nmessage = \"retention is {{resource.BackupRetentionPeriod}} days\"\n{more}\n"
    )
}

fn instance(name: &str, retention: Option<i64>) -> DbInstance {
    let mut document = json!({
        "DBInstanceArn": format!("arn:aws:rds:eu-central-1:111122223333:db:{name}"),
        "DBInstanceIdentifier": name,
        "Engine": "mysql",
        "InstanceCreateTime": "2024-01-01T00:00:00Z",
        "TagList": [{"Key": "env", "Value": "prod"}],
    });
    if let Some(days) = retention {
        document["BackupRetentionPeriod"] = days.into();
    }
    DbInstance {
        region: "eu-central-1".to_owned(),
        document,
    }
}

fn judge(text: &str, instances: &[DbInstance]) -> Vec<(String, FindingStatus, String)> {
    let clusters: [DbCluster; 0] = [];
    let fleet = Fleet::new(instances, &clusters);
    let now = "2026-11-24T00:00:00Z".parse().unwrap();
    let mut policies = policies(text).unwrap();
    policies.limit = 5_000;
    policies
        .evaluate("111122223333", &fleet, now, &Settings::default())
        .into_iter()
        .map(|f| {
            let name = f.resource.rsplit(':').next().unwrap_or_default().to_owned();
            (name, f.status, f.reason)
        })
        .collect()
}

#[test]
fn a_check_fails_passes_or_is_not_evaluated_where_a_member_is_absent() {
    let found = judge(
        &policy("resource.BackupRetentionPeriod >= 7", ""),
        &[
            instance("good", Some(7)),
            instance("short", Some(1)),
            instance("unknown", None),
        ],
    );
    assert_eq!(
        found,
        [
            (
                "short".to_owned(),
                FindingStatus::Fail,
                "retention is 1 days".to_owned()
            ),
            (
                "unknown".to_owned(),
                FindingStatus::NotEvaluated,
                "check: there is no member BackupRetentionPeriod".to_owned()
            ),
        ]
    );
}

#[test]
fn an_expression_sees_the_fleet_the_account_the_region_and_the_time() {
    let all = [instance("a", Some(1)), instance("b", Some(2))];
    for check in [
        "account == \"111122223333\" && region.startsWith(\"eu-\")",
        "fleet.instances.exists(other, other.BackupRetentionPeriod == 2) && size(fleet.clusters) == 0",
        "now - timestamp(resource.InstanceCreateTime) > duration(\"24h\")",
        "resource.TagList.exists(tag, tag.Key == \"env\" && tag.Value.matches(\"^pr\"))",
        "!has(resource.KmsKeyId)",
    ] {
        assert_eq!(judge(&policy(check, ""), &all), [], "{check}");
    }
    let none = judge(
        &policy("false", "applies = 'resource.Engine == \"postgres\"'"),
        &all,
    );
    assert_eq!(none, []);
}

#[test]
fn what_has_no_truth_value_is_not_evaluated_and_says_why() {
    for (check, why) in [
        (
            "resource.BackupRetentionPeriod / 0 == 1",
            "check: division by zero",
        ),
        (
            "resource.BackupRetentionPeriod",
            "check is a int, not true or false",
        ),
        (
            "resource.Engine > 3",
            "check: > does not take (string, int)",
        ),
    ] {
        let found = judge(&policy(check, ""), &[instance("a", Some(1))]);
        assert_eq!(found.len(), 1, "{check}");
        assert_eq!(found[0].1, FindingStatus::NotEvaluated, "{check}");
        assert_eq!(found[0].2, why);
    }
}

#[test]
fn a_policy_that_would_never_end_is_one_row_and_leaves_the_others_alone() {
    let fleet: Vec<DbInstance> = (0..30)
        .map(|n| instance(&format!("i{n}"), Some(1)))
        .collect();
    let greedy = policy(
        "fleet.instances.all(a, fleet.instances.all(b, fleet.instances.all(c, a.Engine == c.Engine)))",
        "",
    );
    let text = format!(
        "{greedy}{}",
        policy("resource.BackupRetentionPeriod >= 1", "").replace("own-rule", "other-rule")
    );
    let found = judge(&text, &fleet);
    assert_eq!(
        found,
        [(
            "own-rule".to_owned(),
            FindingStatus::NotEvaluated,
            "the policy was stopped: it walks over more than 5000 elements in one scan".to_owned()
        )]
    );
}

#[test]
fn a_bad_file_is_shown_with_its_line_and_a_caret() {
    let error = |text: &str| policies(text).unwrap_err();
    assert_eq!(
        error(&policy("resource.Engine == ", ""))
            .lines()
            .skip(1)
            .collect::<Vec<_>>(),
        [
            "6 | check = 'resource.Engine == '",
            "  |                             ^"
        ],
    );
    let typo = error(&policy("resourse.Engine == \"mysql\"", ""));
    assert_eq!(
        typo,
        "own.toml:6:10: there is no resourse; an expression sees account, fleet, key, now, region, resource\n\
         6 | check = 'resourse.Engine == \"mysql\"'\n  |          ^"
    );
    let kind = error(&policy("true", "").replace("db-instance", "db-table"));
    assert!(
        kind.starts_with(
            "own.toml:5:12: resource is one of db-instance, db-cluster, global-cluster, "
        ),
        "{kind}"
    );
    let key = error(&policy("true", "sevrity = \"low\""));
    assert!(key.contains("sevrity"), "{key}");
    let twice = error(&format!("{0}{0}", policy("true", "")));
    assert!(
        twice.starts_with("own.toml:10:6: the id \"own-rule\" is taken\n10 | id ="),
        "{twice}"
    );
    let builtin = error(&policy("true", "").replace("own-rule", "storage-unencrypted"));
    assert!(builtin.contains("is taken"));
    let brace = error(&policy("true", "").replace("days\"", "days}\""));
    assert!(brace.contains("a lone brace"), "{brace}");
}

#[test]
fn a_policy_sees_the_facts_of_the_key_and_nothing_of_one_that_is_not_known() {
    use atrest_model::key::{KeyFacts, KeyState, Keys, Rotation};
    let arn = |id: &str| format!("arn:aws:kms:eu-central-1:111122223333:key/{id}");
    let with_key = |name: &str, key: Option<&str>| {
        let mut instance = instance(name, Some(1));
        if let Some(key) = key {
            instance.document["KmsKeyId"] = arn(key).into();
        }
        instance
    };
    let facts = KeyFacts {
        arn: arn("known"),
        state: "Enabled".to_owned(),
        usage: "ENCRYPT_DECRYPT".to_owned(),
        spec: "SYMMETRIC_DEFAULT".to_owned(),
        manager: "CUSTOMER".to_owned(),
        origin: "AWS_KMS".to_owned(),
        multi_region: false,
        deletion_date: None,
        rotation: Rotation::Off,
    };
    let keys: Keys = [
        (arn("known"), KeyState::Known(facts)),
        (arn("secret"), KeyState::Unreadable("denied".to_owned())),
    ]
    .into();
    let instances = [
        with_key("a-known", Some("known")),
        with_key("b-secret", Some("secret")),
        with_key("c-none", None),
    ];
    let policies = policies(&policy("key != null && key.rotation", "")).unwrap();
    let fleet = Fleet::new(&instances, []).with_keys(&keys);
    let now = jiff::Timestamp::UNIX_EPOCH;
    let found = policies.evaluate("111122223333", &fleet, now, &Settings::default());
    let statuses: Vec<FindingStatus> = found.iter().map(|finding| finding.status).collect();
    use FindingStatus::{Fail, NotEvaluated};
    assert_eq!(statuses, [Fail, NotEvaluated, Fail]);
    assert_eq!(found[1].reason, "check: there is no member rotation");
}

#[test]
fn snapshots_and_backups_are_judged_too() {
    use atrest_model::resource::Described;
    let snapshot = Described {
        kind: ResourceKind::DbSnapshot,
        account: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
        document: json!({
            "DBSnapshotArn": "arn:aws:rds:eu-central-1:111122223333:snapshot:s",
            "DBSnapshotIdentifier": "s",
            "BackupRetentionPeriod": 0,
        }),
    };
    let text = policy("size(fleet.snapshots) == 0", "").replace("db-instance", "db-snapshot");
    let others = [snapshot];
    let fleet = Fleet::new([], []).with_resources(&others);
    let found = policies(&text).unwrap().evaluate(
        "111122223333",
        &fleet,
        jiff::Timestamp::UNIX_EPOCH,
        &Settings::default(),
    );
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].resource,
        "arn:aws:rds:eu-central-1:111122223333:snapshot:s"
    );
    assert_eq!(found[0].reason, "retention is 0 days");
}

#[test]
fn thousands_of_policies_are_read_and_asked_and_one_of_them_twice_is_refused() {
    let mut text = String::new();
    for n in 0..2_000 {
        text.push_str(
            &policy("resource.BackupRetentionPeriod >= 7", "")
                .replace("own-rule", &format!("rule-{n}")),
        );
    }
    let found = judge(&text, &[instance("short", Some(1))]);
    assert_eq!(found.len(), 2_000);
    text.push_str(&policy("true", "").replace("own-rule", "rule-77"));
    let twice = policies(&text).unwrap_err();
    assert!(
        twice.starts_with("own.toml:16002:6: the id \"rule-77\" is taken"),
        "{twice}"
    );
}

#[test]
fn odd_characters_stay_what_they_are() {
    let odd = "\u{202e}é💥\u{0301}";
    let mut one = instance("a", Some(1));
    one.document["Engine"] = odd.into();
    let text = policy("resource.Engine != \"💥\" && false", "").replace(
        "retention is {resource.BackupRetentionPeriod} days",
        "engine {resource.Engine} ü",
    );
    let found = judge(&text, &[one]);
    assert_eq!(found[0].2, format!("engine {odd} ü"));
    let caret = policies(&policy("resource.Engine == \"💥é\" && nope", "")).unwrap_err();
    let lines: Vec<&str> = caret.lines().collect();
    let at = lines[1].chars().count() - "nope'".len();
    assert!(lines[0].contains("there is no nope"), "{caret}");
    assert_eq!(
        lines[1].chars().skip(at).take(4).collect::<String>(),
        "nope",
        "{caret}"
    );
    assert_eq!(lines[2].chars().position(|c| c == '^'), Some(at), "{caret}");
}

#[test]
fn nesting_without_end_is_refused_and_what_is_allowed_does_not_crash() {
    let nested = |open: &str, close: &str, depth: usize| {
        format!("{}true{}", open.repeat(depth), close.repeat(depth))
    };
    let refused = |check: &str| {
        let error = policies(&policy(check, "")).unwrap_err();
        let first = error.lines().next().unwrap().to_owned();
        assert!(first.contains("more than"), "{first}");
    };
    for (open, close) in [("(", ")"), ("[", "]"), ("!(", ")"), ("{1:", "}")] {
        refused(&nested(open, close, 5_000));
    }
    refused(&format!("{}true", "!".repeat(5_000)));
    refused(&format!("true{}", " && true".repeat(5_000)));
    refused(&format!("true{}", " == true".repeat(5_000)));
    refused(&format!("1{}", " in [1]".repeat(5_000)));
    refused(&format!("{}true", "true ? true : ".repeat(5_000)));

    // The most that is taken, asked on threads of the usual size.
    for check in [
        nested("(", ")", 32),
        nested("!(", ")", 32),
        format!("true{}", " && true".repeat(200)),
        format!("0{} == 200", " + 1".repeat(199)),
        format!("{}true", "!".repeat(200)),
        format!("{}true", "true ? true : ".repeat(60)),
        format!("\"{}\" != \"\"", "((((!!!!".repeat(500)),
    ] {
        let judged = judge(&policy(&check, ""), &[instance("a", Some(1))]);
        assert!(judged.len() <= 1, "{check}");
    }
}

#[test]
fn a_policy_is_switched_off_or_made_worse_by_settings() {
    let set = |text: &str| {
        let source = crate::Source {
            file: Path::new("atrest.toml"),
            text,
        };
        Settings::parse(&source, |id| id == "own-rule").unwrap()
    };
    let policies = policies(&policy("false", "")).unwrap();
    let instances = [instance("a", Some(1))];
    let fleet = Fleet::new(&instances, []);
    let judged = |settings: &Settings| {
        policies.evaluate(
            "111122223333",
            &fleet,
            jiff::Timestamp::UNIX_EPOCH,
            settings,
        )
    };
    assert_eq!(
        judged(&set("[own-rule]\nseverity = \"critical\"\n"))[0].severity,
        Severity::Critical
    );
    assert_eq!(judged(&set("[own-rule]\nenabled = false\n")), []);
}

#[test]
fn the_members_that_are_read_are_known_unless_it_may_be_any() {
    let members = |check: &str| {
        let policies = policies(&policy(check, "")).unwrap();
        let members = policies.members(&Settings::default());
        members.map(|members| members.into_iter().collect::<Vec<_>>().join(" "))
    };
    let some = |text: &str| Some(text.to_owned());
    // The message reads the retention.
    assert_eq!(
        members("resource.Engine == \"mysql\" && has(resource.TagList)"),
        some("BackupRetentionPeriod Engine TagList")
    );
    assert_eq!(
        members(
            "resource.TagList.exists(t, t.Key == resource.Engine) ? key.state == \"Enabled\" : [resource.Port] == [1]"
        ),
        some("BackupRetentionPeriod Engine Port TagList")
    );
    assert_eq!(members("resource[\"Engine\"] == \"mysql\""), None);
    assert_eq!(members("size(resource) > 1"), None);
    assert_eq!(members("{\"a\": resource}.a.Engine == \"mysql\""), None);
    assert_eq!(members("fleet.instances.size() > 1"), None);
    // A policy that is not asked reads nothing.
    let policies = policies(&policy("size(resource) > 1", "")).unwrap();
    let none = Settings::default().only(BTreeSet::from(["other".to_owned()]));
    assert_eq!(policies.members(&none), Some(BTreeSet::new()));
}

/// Each of these would fill the memory, or the night, with a few elements that are walked over.
#[test]
fn what_grows_without_walking_is_stopped_too() {
    let times = |step: &str, times: usize, start: &str, end: &str| {
        format!("{start}{}{end}", step.repeat(times))
    };
    for check in [
        times(".map(x, x + x)", 90, "['0123456789abcdef']", ".size() == 1"),
        times(".map(x, x + x)", 90, "[[1]]", ".size() == 1"),
        times(".map(x, [x, x])", 190, "[1]", ".size() == 1"),
        times(".map(x, {\"a\": x, \"b\": x})", 190, "[1]", ".size() == 1"),
        times(".map(x, [1, 1].map(y, x))", 60, "[1]", ".size() == 1"),
        times(".map(x, [1, 1].map(y, [x][0]))", 60, "[1]", ".size() == 1"),
        times(".map(x, {string(x) + \"01234567\": x, \"b\" + string(x): x}).map(m, m.map(k, k + k)[0])", 12, "['0123456789abcdef']", ".size() == 1"),
        // Large, and compared with itself again and again.
        format!(
            "{}.all(big, [1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, big == big)))",
            times(".map(x, x + x)", 10, "[[1, 2]]", "")
        ),
        // Patterns are compiled each time.
        "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4].all(c, 'a'.matches('(a|b){9}') == false)))".to_owned(),
    ] {
        let text = policy(&check.replace('\'', "\""), "");
        let found = judge(&text, &[instance("a", Some(1))]);
        let [(_, status, reason)] = found.as_slice() else {
            panic!("{check}: {found:?}");
        };
        assert_eq!(*status, FindingStatus::NotEvaluated, "{check}: {reason}");
        assert!(reason.contains("walks over more than 5000"), "{check}: {reason}");
    }
}

#[test]
fn a_huge_text_is_judged_and_never_shown_whole() {
    let huge = "x".repeat(4 << 20);
    let mut large = instance("a", Some(1));
    large.document["TagList"] = json!([{"Key": huge, "Value": huge}]);
    let check =
        "resource.TagList.all(t, !t.Key.contains(\"y\")) && resource.BackupRetentionPeriod > 7";
    let text = policy(check, "").replace(" days", " days, {resource.TagList}");
    let mut policies = policies(&text).unwrap();
    policies.limit = 5_000_000;
    let clusters: [DbCluster; 0] = [];
    let instances = [large];
    let fleet = Fleet::new(&instances, &clusters);
    let now = "2026-11-24T00:00:00Z".parse().unwrap();
    let found = policies.evaluate("111122223333", &fleet, now, &Settings::default());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].status, FindingStatus::Fail, "{}", found[0].reason);
    assert!(found[0].reason.len() < 2000);
}
