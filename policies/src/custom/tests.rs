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
        .evaluate("111122223333", &fleet, now)
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
        "own.toml:6:10: there is no resourse; an expression sees account, fleet, now, region, resource\n\
         6 | check = 'resourse.Engine == \"mysql\"'\n  |          ^"
    );
    let kind = error(&policy("true", "").replace("db-instance", "db-table"));
    assert!(
        kind.starts_with("own.toml:5:12: resource is one of db-instance, db-cluster, global-cluster, db-snapshot,"),
        "{kind}"
    );
    let key = error(&policy("true", "sevrity = \"low\""));
    assert!(key.contains("sevrity"), "{key}");
    let twice = error(&format!("{0}{0}", policy("true", "")));
    assert_eq!(twice, "own.toml: the id \"own-rule\" is taken");
    let builtin = error(&policy("true", "").replace("own-rule", "storage-unencrypted"));
    assert!(builtin.contains("is taken"));
    let brace = error(&policy("true", "").replace("days\"", "days}\""));
    assert!(brace.contains("a lone brace"), "{brace}");
}
