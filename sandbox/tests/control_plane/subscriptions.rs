//! Event subscriptions: §2.4 (sources are names), wire codes of §2.1.

use super::{Bench, NO_LAG};

const CREATE: [(&str, &str); 5] = [
    ("SubscriptionName", "alarms"),
    ("SnsTopicArn", "arn:aws:sns:eu-central-1:111122223333:pager"),
    ("SourceType", "db-instance"),
    ("SourceIds.SourceId.1", "plain"),
    ("EventCategories.EventCategory.1", "failure"),
];

async fn describe(bench: &Bench) -> super::client::Answer {
    bench
        .ok(
            "DescribeEventSubscriptions",
            &[("SubscriptionName", "alarms")],
        )
        .await
}

#[tokio::test]
async fn a_subscription_comes_into_being_changes_and_goes() {
    let bench = Bench::with(NO_LAG).await;
    let made = bench.ok("CreateEventSubscription", &CREATE).await;
    assert_eq!(made.text("Status").as_deref(), Some("creating"));
    bench
        .refused(
            "CreateEventSubscription",
            &CREATE,
            "SubscriptionAlreadyExist",
        )
        .await;
    bench.pass(31).await;
    let shown = describe(&bench).await;
    assert_eq!(
        (
            shown.text("Status").as_deref(),
            shown.all("SourceId"),
            shown.all("EventCategory"),
            shown.text("Enabled").as_deref()
        ),
        (
            Some("active"),
            vec!["plain".to_owned()],
            vec!["failure".to_owned()],
            Some("true")
        )
    );
    bench
        .ok(
            "AddSourceIdentifierToSubscription",
            &[
                ("SubscriptionName", "alarms"),
                ("SourceIdentifier", "ordinary"),
            ],
        )
        .await;
    bench
        .ok(
            "RemoveSourceIdentifierFromSubscription",
            &[
                ("SubscriptionName", "alarms"),
                ("SourceIdentifier", "plain"),
            ],
        )
        .await;
    let modified = bench
        .ok(
            "ModifyEventSubscription",
            &[("SubscriptionName", "alarms"), ("Enabled", "false")],
        )
        .await;
    assert_eq!(modified.text("Status").as_deref(), Some("modifying"));
    bench.pass(31).await;
    let shown = describe(&bench).await;
    assert_eq!(
        (
            shown.text("Status").as_deref(),
            shown.all("SourceId"),
            shown.text("Enabled").as_deref()
        ),
        (Some("active"), vec!["ordinary".to_owned()], Some("false"))
    );
    let name = [("SubscriptionName", "alarms")];
    bench.ok("DeleteEventSubscription", &name).await;
    bench
        .refused(
            "DeleteEventSubscription",
            &name,
            "InvalidEventSubscriptionState",
        )
        .await;
    bench.pass(31).await;
    let gone = bench
        .refused("DescribeEventSubscriptions", &name, "SubscriptionNotFound")
        .await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn what_a_subscription_names_must_exist() {
    let bench = Bench::with(NO_LAG).await;
    for (key, value, code, status) in [
        ("SourceIds.SourceId.1", "nobody", "SourceNotFound", 404),
        (
            "EventCategories.EventCategory.1",
            "weather",
            "SubscriptionCategoryNotFound",
            404,
        ),
        ("SnsTopicArn", "pager", "SNSInvalidTopic", 400),
        ("SourceType", "db-thing", "InvalidParameterValue", 400),
        ("SourceType", "", "InvalidParameterCombination", 400),
        ("SnsTopicArn", "", "MissingParameter", 400),
    ] {
        let params = CREATE.map(|(name, old)| (name, if name == key { value } else { old }));
        let refused = bench
            .refused("CreateEventSubscription", &params, code)
            .await;
        assert_eq!(refused.status, status, "{code}");
    }
    bench
        .refused(
            "AddSourceIdentifierToSubscription",
            &[
                ("SubscriptionName", "alarms"),
                ("SourceIdentifier", "plain"),
            ],
            "SubscriptionNotFound",
        )
        .await;
}

/// §4: sources are names, and stay when their instance gets another one.
#[tokio::test]
async fn a_rename_leaves_the_list_of_sources_as_it_is() {
    let bench = Bench::with(NO_LAG).await;
    bench.ok("CreateEventSubscription", &CREATE).await;
    bench.rename("plain", "old-plain").await;
    assert_eq!(describe(&bench).await.all("SourceId"), ["plain"]);
    bench
        .refused(
            "AddSourceIdentifierToSubscription",
            &[
                ("SubscriptionName", "alarms"),
                ("SourceIdentifier", "plain"),
            ],
            "SourceNotFound",
        )
        .await;
}

#[tokio::test]
async fn every_type_of_source_has_its_categories() {
    let bench = Bench::with(NO_LAG).await;
    let all = bench.ok("DescribeEventCategories", &[]).await;
    assert!(all.all("SourceType").contains(&"db-instance".to_owned()));
    let one = bench
        .ok(
            "DescribeEventCategories",
            &[("SourceType", "blue-green-deployment")],
        )
        .await;
    assert_eq!(
        one.all("EventCategory"),
        ["creation", "deletion", "failure", "notification"]
    );
    bench
        .refused(
            "DescribeEventCategories",
            &[("SourceType", "weather")],
            "InvalidParameterValue",
        )
        .await;
}
