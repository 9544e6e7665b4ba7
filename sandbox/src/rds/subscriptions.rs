//! Event subscriptions and event categories.
//!
//! A subscription lists its sources by name: whoever has the name is meant, whatever it was called when the
//! subscription was made.

use super::error::ApiError;
use super::page::{Filters, page};
use super::state::{EventSubscription, Region, Scope};
use super::xml::Xml;
use super::{Answer, Call, quotas, result, tags};
use crate::world::Timeline;

/// The categories of each type of source.
const CATEGORIES: [(&str, &[&str]); 10] = [
    (
        "db-instance",
        &[
            "availability",
            "backup",
            "configuration change",
            "creation",
            "deletion",
            "failover",
            "failure",
            "low storage",
            "maintenance",
            "notification",
            "read replica",
            "recovery",
            "restoration",
            "security",
            "security patching",
        ],
    ),
    (
        "db-cluster",
        &[
            "configuration change",
            "creation",
            "deletion",
            "failover",
            "failure",
            "global-failover",
            "maintenance",
            "migration",
            "notification",
            "serverless",
        ],
    ),
    ("db-parameter-group", &["configuration change"]),
    ("db-security-group", &["configuration change", "failure"]),
    (
        "db-snapshot",
        &[
            "creation",
            "deletion",
            "failure",
            "notification",
            "restoration",
        ],
    ),
    (
        "db-cluster-snapshot",
        &["backup", "creation", "deletion", "failure", "notification"],
    ),
    (
        "db-proxy",
        &["configuration change", "creation", "deletion", "failure"],
    ),
    (
        "blue-green-deployment",
        &["creation", "deletion", "failure", "notification"],
    ),
    (
        "custom-engine-version",
        &["creation", "deletion", "failure", "restoration"],
    ),
    (
        "zero-etl",
        &["creation", "deletion", "failure", "notification"],
    ),
];

/// `DescribeEventCategories`.
pub(crate) fn describe_categories(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    let wanted = call.params.text("SourceType");
    if let Some(kind) = &wanted {
        check_type(kind)?;
    }
    let found = CATEGORIES
        .into_iter()
        .filter(|(kind, _)| wanted.as_ref().is_none_or(|wanted| wanted == kind));
    result(|xml| {
        xml.list(
            "EventCategoriesMapList",
            "EventCategoriesMap",
            found,
            |xml, (kind, categories)| {
                xml.value("SourceType", kind);
                xml.values("EventCategories", "EventCategory", categories);
            },
        );
    })
}

fn check_type(kind: &str) -> Result<(), ApiError> {
    if CATEGORIES.iter().any(|(known, _)| *known == kind) {
        Ok(())
    } else {
        Err(ApiError::value(format!("Invalid source type: {kind}")))
    }
}

fn check_categories(kind: Option<&str>, wanted: &[String]) -> Result<(), ApiError> {
    for category in wanted {
        let known = CATEGORIES
            .iter()
            .filter(|(known, _)| kind.is_none_or(|kind| kind == *known))
            .any(|(_, categories)| categories.contains(&category.as_str()));
        if !known {
            return Err(ApiError::new(
                "SubscriptionCategoryNotFound",
                format!("The requested category {category} does not exist."),
            ));
        }
    }
    Ok(())
}

fn check_topic(topic: &str) -> Result<(), ApiError> {
    let mut parts = topic.split(':');
    let fine = parts.next() == Some("arn")
        && parts
            .next()
            .is_some_and(|partition| partition.starts_with("aws"))
        && parts.next() == Some("sns")
        && parts.count() == 3;
    if fine {
        Ok(())
    } else {
        Err(ApiError::new(
            "SNSInvalidTopic",
            format!(
                "SNS has responded that there is a problem with the SNS topic specified: {topic}"
            ),
        ))
    }
}

/// Whether a source of this type and name exists. Types that this sandbox has no resources of have none.
fn exists(region: &Region, kind: &str, name: &str) -> bool {
    let same = |id: &String| id.eq_ignore_ascii_case(name);
    match kind {
        "db-instance" => region.instance(name).is_some(),
        "db-cluster" => region.clusters.iter().any(|cluster| same(&cluster.id)),
        "db-parameter-group" => region
            .parameter_groups
            .contains_key(&name.to_ascii_lowercase()),
        "db-snapshot" => region.snapshot(name).is_some(),
        "db-cluster-snapshot" => region
            .cluster_snapshots
            .iter()
            .any(|snapshot| same(&snapshot.id)),
        "db-proxy" => region.proxies.iter().any(|proxy| same(&proxy.name)),
        "blue-green-deployment" => region
            .blue_green
            .iter()
            .any(|deployment| same(&deployment.name) || same(&deployment.id)),
        _ => false,
    }
}

fn check_source(region: &Region, kind: &str, name: &str) -> Result<(), ApiError> {
    if exists(region, kind, name) {
        Ok(())
    } else {
        Err(ApiError::new(
            "SourceNotFound",
            format!("Could not find source {name} of type {kind}."),
        ))
    }
}

fn not_found(name: &str) -> ApiError {
    ApiError::new(
        "SubscriptionNotFound",
        format!("Subscription {name} not found."),
    )
}

fn find<'a>(region: &'a mut Region, name: &str) -> Result<&'a mut EventSubscription, ApiError> {
    region
        .event_subscriptions
        .iter_mut()
        .find(|subscription| subscription.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| not_found(name))
}

fn write(xml: &mut Xml, scope: &Scope, subscription: &EventSubscription) {
    xml.value("CustomerAwsId", &scope.account);
    xml.value("CustSubscriptionId", &subscription.name);
    xml.value("SnsTopicArn", &subscription.topic_arn);
    xml.value("Status", &subscription.status);
    xml.value(
        "SubscriptionCreationTime",
        format_args!("{:.3}", subscription.created),
    );
    xml.optional("SourceType", subscription.source_type.as_ref());
    xml.values("SourceIdsList", "SourceId", &subscription.source_ids);
    xml.values(
        "EventCategoriesList",
        "EventCategory",
        &subscription.categories,
    );
    xml.value("Enabled", subscription.enabled);
    xml.value("EventSubscriptionArn", scope.arn("es", &subscription.name));
}

fn answer(call: &mut Call<'_>, name: &str) -> Answer {
    let scope = call.scope;
    let subscription = find(call.region(), name)?;
    result(|xml| xml.element("EventSubscription", |xml| write(xml, scope, subscription)))
}

/// Sets a status now and `active` a little later.
fn settle(call: &mut Call<'_>, name: &str, status: &str) {
    let (scope, now) = (call.scope, call.now);
    if let Ok(subscription) = find(call.region(), name) {
        status.clone_into(&mut subscription.status);
    }
    let took = call.world.takes(&format!("subscription/{name}"), (5, 30));
    let wanted = name.to_owned();
    let timeline =
        Timeline::new(scope, &format!("subscription:{name}")).then(took, move |moment| {
            if let Ok(subscription) = find(moment.region(), &wanted) {
                subscription.status = "active".to_owned();
            }
        });
    call.world.schedule(now, timeline);
}

/// `CreateEventSubscription`.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let (params, created) = (call.params, call.now);
    let name = params.required("SubscriptionName")?;
    if name.len() >= 255 {
        return Err(ApiError::value(
            "The subscription name must be less than 255 characters.",
        ));
    }
    let topic_arn = params.required("SnsTopicArn")?;
    let source_type = params.text("SourceType");
    let source_ids = params.list("SourceIds").unwrap_or_default();
    let categories = params.list("EventCategories").unwrap_or_default();
    let enabled = params.boolean("Enabled")?.unwrap_or(true);
    let tags = tags::from_request(params, "Tags")?.unwrap_or_default();
    if let Some(kind) = &source_type {
        check_type(kind)?;
    }
    check_topic(&topic_arn)?;
    check_categories(source_type.as_deref(), &categories)?;
    let region = call.region();
    match &source_type {
        Some(kind) => {
            for id in &source_ids {
                check_source(region, kind, id)?;
            }
        }
        None if !source_ids.is_empty() => {
            return Err(ApiError::combination(
                "If SourceIds are supplied, SourceType must also be provided.",
            ));
        }
        None => {}
    }
    if find(region, &name).is_ok() {
        return Err(ApiError::new(
            "SubscriptionAlreadyExist",
            format!("Event Subscription {name} already exists"),
        ));
    }
    if quotas::count(region.event_subscriptions.len()) >= quotas::SUBSCRIPTIONS {
        return Err(ApiError::new(
            "EventSubscriptionQuotaExceeded",
            format!(
                "You can't have more than {} event subscriptions.",
                quotas::SUBSCRIPTIONS
            ),
        ));
    }
    region.event_subscriptions.push(EventSubscription {
        name: name.clone(),
        topic_arn,
        source_type,
        source_ids,
        categories,
        enabled,
        status: "creating".to_owned(),
        created,
        tags,
    });
    settle(call, &name, "creating");
    answer(call, &name)
}

/// `ModifyEventSubscription`: the sources are changed by the two operations of their own.
pub(crate) fn modify(call: &mut Call<'_>) -> Answer {
    let params = call.params;
    let name = params.required("SubscriptionName")?;
    let topic_arn = params.text("SnsTopicArn");
    let source_type = params.text("SourceType");
    let categories = params.list("EventCategories");
    let enabled = params.boolean("Enabled")?;
    if let Some(kind) = &source_type {
        check_type(kind)?;
    }
    let present = find(call.region(), &name)?.clone();
    if let Some(topic) = &topic_arn {
        check_topic(topic)?;
    }
    let kind = source_type.or(present.source_type);
    check_categories(
        kind.as_deref(),
        categories.as_ref().unwrap_or(&present.categories),
    )?;
    let subscription = find(call.region(), &name)?;
    subscription.source_type = kind;
    if let Some(topic) = topic_arn {
        subscription.topic_arn = topic;
    }
    if let Some(categories) = categories {
        subscription.categories = categories;
    }
    if let Some(enabled) = enabled {
        subscription.enabled = enabled;
    }
    settle(call, &present.name, "modifying");
    answer(call, &name)
}

/// `DeleteEventSubscription`.
pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let (scope, now) = (call.scope, call.now);
    let name = call.params.required("SubscriptionName")?;
    let subscription = find(call.region(), &name)?;
    if subscription.status == "deleting" {
        return Err(ApiError::new(
            "InvalidEventSubscriptionState",
            "This error can occur if someone else is modifying a subscription. You should retry the action.",
        ));
    }
    subscription.status = "deleting".to_owned();
    let name = subscription.name.clone();
    let subject = format!("subscription:{name}");
    call.world.cancel(scope, &subject);
    let took = call.world.takes(&format!("subscription/{name}"), (5, 30));
    let gone = name.clone();
    call.world.schedule(
        now,
        Timeline::new(scope, &subject).then(took, move |moment| {
            moment
                .region()
                .event_subscriptions
                .retain(|subscription| subscription.name != gone);
        }),
    );
    answer(call, &name)
}

/// `AddSourceIdentifierToSubscription`.
pub(crate) fn add_source(call: &mut Call<'_>) -> Answer {
    let name = call.params.required("SubscriptionName")?;
    let source = call.params.required("SourceIdentifier")?;
    let region = call.region();
    let kind = find(region, &name)?.source_type.clone();
    let Some(kind) = kind else {
        return Err(ApiError::combination(
            "A source identifier can't be added to a subscription without a source type.",
        ));
    };
    check_source(region, &kind, &source)?;
    let subscription = find(region, &name)?;
    if !subscription.source_ids.contains(&source) {
        subscription.source_ids.push(source);
    }
    let name = subscription.name.clone();
    settle(call, &name, "modifying");
    answer(call, &name)
}

/// `RemoveSourceIdentifierFromSubscription`.
pub(crate) fn remove_source(call: &mut Call<'_>) -> Answer {
    let name = call.params.required("SubscriptionName")?;
    let source = call.params.required("SourceIdentifier")?;
    let subscription = find(call.region(), &name)?;
    let before = subscription.source_ids.len();
    subscription
        .source_ids
        .retain(|known| !known.eq_ignore_ascii_case(&source));
    if subscription.source_ids.len() == before {
        return Err(ApiError::new(
            "SourceNotFound",
            format!("The subscription {name} has no source {source}."),
        ));
    }
    let name = subscription.name.clone();
    settle(call, &name, "modifying");
    answer(call, &name)
}

/// `DescribeEventSubscriptions`: an empty list of sources means all.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    Filters::read(call.params, &[])?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params.text("SubscriptionName");
    let found: Vec<_> = call
        .region()
        .event_subscriptions
        .iter()
        .filter(|subscription| {
            wanted
                .as_ref()
                .is_none_or(|name| name.eq_ignore_ascii_case(&subscription.name))
        })
        .collect();
    if let (Some(name), true) = (&wanted, found.is_empty()) {
        return Err(not_found(name));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            "EventSubscriptionsList",
            "EventSubscription",
            page.items,
            |xml, subscription| write(xml, scope, subscription),
        );
        xml.optional("Marker", page.marker);
    })
}
