//! Who depends on the instances: attached again after the cutover, and what a person has to do.
//!
//! A step is done when RDS shows it. What a rename does to the target of a proxy is not documented; whatever it is, the
//! target that serves is the one that counts.

use atrest_model::document::{bool_of, list_of, str_of, strings_of};
use atrest_model::instance::DbInstance;
use atrest_model::plan::{Action, Member, Target};
use atrest_model::scan::ResourceKind;
use serde_json::{Value, json};

use super::{Cx, Seen, left_to_do, quiesce};
use crate::dependents;
use crate::fault::{self, Fault};
use crate::observatory::RegionView;

/// The instance under its real name, ready; else why that has to be waited for.
fn arrived<'v>(
    cx: &Cx<'_>,
    view: &'v RegionView,
    target: &Target,
    name: &str,
) -> Result<Result<&'v DbInstance, Seen>, Fault> {
    let Some(instance) = cx.find(view, target)? else {
        return Ok(Err(Seen::pending(format!("{name} is not shown"))));
    };
    if instance.identifier() != name || !instance.is_ready() {
        return Ok(Err(Seen::pending(format!(
            "{} is {}",
            instance.identifier(),
            instance.status()
        ))));
    }
    Ok(Ok(instance))
}

async fn proxy_targets(cx: &Cx<'_>, proxy: &str) -> Result<Vec<Value>, Fault> {
    let listing = cx.rds.proxy_targets(proxy).await.map_err(Fault::Aws)?;
    Ok(listing.items)
}

fn named<'t>(targets: &'t [Value], name: &str) -> Option<&'t Value> {
    targets.iter().find(|target| {
        str_of(target, "RdsResourceId").is_some_and(|id| id.eq_ignore_ascii_case(name))
    })
}

/// State and reason of a target.
fn health(target: &Value) -> (&str, &str) {
    let health = target.get("TargetHealth").unwrap_or(&Value::Null);
    (
        str_of(health, "State").unwrap_or("unknown"),
        str_of(health, "Reason").unwrap_or_default(),
    )
}

/// The name under which a registration no longer leads to the new instance: the old one's, or the real one when its
/// target cannot be reached.
fn stale<'n>(cx: &'n Cx<'_>, targets: &[Value], name: &'n str) -> Option<&'n str> {
    let member = cx
        .migration
        .members()
        .find(|m| m.identifier.as_str() == name);
    let old_name = member.map(|member| member.old_name.as_str());
    if let Some(old) = old_name.filter(|old| named(targets, old).is_some()) {
        return Some(old);
    }
    let (state, _) = health(named(targets, name)?);
    (state == "UNAVAILABLE").then_some(name)
}

/// The registration of the old instance is gone, or leads to the new one.
pub(super) async fn deregister(
    cx: &Cx<'_>,
    view: &RegionView,
    instance: &Target,
    proxy: &str,
    name: &str,
) -> Result<Seen, Fault> {
    if let Err(seen) = arrived(cx, view, instance, name)? {
        return Ok(seen);
    }
    let targets = proxy_targets(cx, proxy).await?;
    Ok(match stale(cx, &targets, name) {
        Some(stale) => Seen::absent(format!("{stale} is registered and does not lead to {name}")),
        None => Seen::done(match named(&targets, name) {
            Some(target) => format!("{name} is {}", health(target).0),
            None => "not registered".to_owned(),
        }),
    })
}

/// Under which name to deregister.
pub(super) async fn stale_name(cx: &Cx<'_>, proxy: &str, name: &str) -> Result<String, Fault> {
    let targets = proxy_targets(cx, proxy).await?;
    Ok(stale(cx, &targets, name).unwrap_or(name).to_owned())
}

/// The proxy reaches the new instance.
pub(super) async fn register(
    cx: &Cx<'_>,
    view: &RegionView,
    instance: &Target,
    proxy: &str,
    name: &str,
) -> Result<Seen, Fault> {
    if let Err(seen) = arrived(cx, view, instance, name)? {
        return Ok(seen);
    }
    let targets = proxy_targets(cx, proxy).await?;
    let Some(target) = named(&targets, name) else {
        return Ok(Seen::absent("not registered"));
    };
    Ok(match health(target) {
        ("AVAILABLE", _) => Seen::done(format!("{name} is AVAILABLE")),
        ("UNAVAILABLE", "AUTH_FAILURE") => Seen::stuck(
            format!("proxy {proxy} cannot log in to {name}"),
            "give the proxy the secret that holds the password of the new instance (aws rds modify-db-proxy --auth), then resume",
        ),
        (state, "") => Seen::pending(state.to_owned()),
        (state, reason) => Seen::pending(format!("{state}, {reason}")),
    })
}

/// The subscription lists the name.
pub(super) async fn subscription(
    cx: &Cx<'_>,
    view: &RegionView,
    instance: &Target,
    subscription: &str,
    name: &str,
) -> Result<Seen, Fault> {
    if let Err(seen) = arrived(cx, view, instance, name)? {
        return Ok(seen);
    }
    let listing = cx.rds.event_subscriptions().await.map_err(Fault::Aws)?;
    let subject = subject_of(cx, name);
    let found = listing
        .items
        .iter()
        .find(|one| str_of(one, "CustSubscriptionId") == Some(subscription));
    let Some(found) = found else {
        return Ok(Seen::Done {
            detail: "there is no such subscription any more".to_owned(),
            result: json!({"left_to_do": [left_to_do(
                "event-subscriptions",
                &subject,
                format!("event subscription {subscription} was deleted during the run"),
                "make it again if it is wanted",
            )]}),
        });
    };
    let lists =
        |name: &str| strings_of(found, "SourceIdsList").any(|id| id.eq_ignore_ascii_case(name));
    if !lists(name) {
        return Ok(Seen::absent(format!("it does not list {name}")));
    }
    let status = str_of(found, "Status").unwrap_or("unknown");
    if status != "active" {
        return Ok(Seen::pending(status.to_owned()));
    }
    let member = cx
        .migration
        .members()
        .find(|m| m.identifier.as_str() == name);
    let old = member
        .map(|member| member.old_name.as_str())
        .unwrap_or_default();
    let left: Vec<Value> = lists(old)
        .then(|| {
            left_to_do(
                "event-subscriptions",
                &subject,
                format!("event subscription {subscription} lists {old}, too"),
                "remove it when the old instance is deleted (aws rds remove-source-identifier-from-subscription)",
            )
        })
        .into_iter()
        .collect();
    Ok(Seen::Done {
        detail: format!("it lists {name}"),
        result: json!({"left_to_do": left}),
    })
}

fn subject_of(cx: &Cx<'_>, name: &str) -> String {
    format!("{}/{name}", cx.migration.region)
}

/// The other region replicates the backups of the new instance.
pub(super) async fn replicate_backups(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    region: &str,
) -> Result<Seen, Fault> {
    let Some(instance) = cx.find(view, target)? else {
        return Ok(Seen::pending("not shown"));
    };
    if !instance.is_ready() {
        return Ok(Seen::pending(instance.status().to_owned()));
    }
    let listing = cx
        .aws
        .rds(region)
        .listing(ResourceKind::DbInstanceAutomatedBackup)
        .await
        .whole()
        .map_err(Fault::Aws)?;
    let of = |id: &str| {
        listing
            .items
            .iter()
            .find(|backup| str_of(backup, "DbiResourceId") == Some(id))
    };
    let Some(backup) = of(instance.dbi_resource_id()) else {
        return Ok(Seen::absent(format!("not replicated to {region}")));
    };
    let status = str_of(backup, "Status").unwrap_or("unknown");
    // `active` is what it is called in older answers.
    if !matches!(status, "replicating" | "active") {
        return Ok(Seen::pending(status.to_owned()));
    }
    let name = instance.identifier();
    let member = cx
        .migration
        .members()
        .find(|m| m.identifier.as_str() == name);
    let old = member.and_then(|member| of(&member.dbi_resource_id));
    let left: Vec<Value> = old
        .into_iter()
        .map(|old| {
            left_to_do(
                "backup-replication",
                &subject_of(cx, name),
                format!(
                    "{region} keeps the replicated backups of the old instance, unencrypted: {}",
                    str_of(old, "DBInstanceAutomatedBackupsArn").unwrap_or("without an ARN")
                ),
                "keep them as long as you may have to restore to a time before the migration, then delete them",
            )
        })
        .collect();
    Ok(Seen::Done {
        detail: format!("{region}: {status}"),
        result: json!({"left_to_do": left}),
    })
}

/// RDS manages the master password in a secret of the new instance's own.
pub(super) fn manage_password(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
) -> Result<Seen, Fault> {
    let Some(instance) = cx.find(view, target)? else {
        return Ok(Seen::pending("not shown"));
    };
    if fault::has_ended(instance) {
        return Ok(Seen::stuck(
            format!("{} is {}", instance.identifier(), instance.status()),
            "look at the instance in the RDS console, then resume",
        ));
    }
    let secret = |instance: &DbInstance, member: &str| -> Option<String> {
        let secret = instance.document.get("MasterUserSecret")?;
        str_of(secret, member).map(str::to_owned)
    };
    let arn = secret(instance, "SecretArn");
    match secret(instance, "SecretStatus").as_deref() {
        None if instance.is_ready() && !instance.has_pending_modifications() => {
            Ok(Seen::absent("RDS does not manage the master password"))
        }
        Some("active") if instance.is_ready() => {
            let arn = arn.unwrap_or_default();
            let old = view
                .by_resource_id(&cx.migration.source.dbi_resource_id)
                .and_then(|old| secret(old, "SecretArn"))
                .unwrap_or_default();
            Ok(Seen::Done {
                detail: format!("in secret {arn}"),
                result: json!({"secret_arn": arn, "left_to_do": [left_to_do(
                    "master-password",
                    &cx.migration.id,
                    format!("the master password is in a new secret: {arn} instead of {old}"),
                    "tell it to everybody who reads the secret by its ARN: applications, proxies, resource policies",
                )]}),
            })
        }
        Some("impaired") => Ok(Seen::stuck(
            "the secret of the master password is impaired",
            "look at the secret and its key in Secrets Manager, then resume",
        )),
        Some(status) => Ok(Seen::pending(format!("secret {status}"))),
        None => Ok(Seen::pending(instance.status().to_owned())),
    }
}

/// What is left to do, read from both sides of every pair.
pub(super) async fn handover(cx: &Cx<'_>, view: &RegionView) -> Result<Seen, Fault> {
    let mut left = match quiesce::afterwards(cx, view).await? {
        Ok(left) => left,
        Err(seen) => return Ok(seen),
    };
    for member in cx.migration.members() {
        let made = Target::MadeBy(member.made_by.clone());
        let named = match cx.find(view, &made)? {
            Some(new) if member.keeps_its_name() => new.identifier().to_owned(),
            _ => member.identifier.to_string(),
        };
        let new = match arrived(cx, view, &made, &named)? {
            Ok(new) => new,
            Err(seen) => return Ok(seen),
        };
        if member.keeps_its_name() {
            left.push(left_to_do(
                "instance-name",
                &subject_of(cx, member.identifier.as_str()),
                format!("its successor is called {named} for good: RDS names the DB instances of a Multi-AZ DB cluster"),
                "change what names it: connections to its own endpoint, alarms, log groups, event subscriptions; the endpoints of the cluster are as they were",
            ));
        }
        if let Some(old) = view.by_resource_id(&member.dbi_resource_id) {
            of_pair(cx, member, old, new, &mut left);
        }
    }
    Ok(Seen::Done {
        detail: match left.len() {
            0 => "nothing is left to do".to_owned(),
            1 => "one thing is left to do".to_owned(),
            more => format!("{more} things are left to do"),
        },
        result: json!({ "left_to_do": left }),
    })
}

fn of_pair(
    cx: &Cx<'_>,
    member: &Member,
    old: &DbInstance,
    new: &DbInstance,
    left: &mut Vec<Value>,
) {
    let subject = subject_of(cx, member.identifier.as_str());
    let mut add = |kind: &str, what: String, todo: &str| {
        left.push(left_to_do(kind, &subject, what, todo));
    };
    if bool_of(&old.document, "IAMDatabaseAuthenticationEnabled") == Some(true) {
        let partition = old.arn().split(':').nth(1).unwrap_or("aws");
        let arn = |id: &str| {
            format!(
                "arn:{partition}:rds-db:{}:{}:dbuser:{id}/*",
                cx.migration.region, cx.plan.account
            )
        };
        add(
            "iam-authentication",
            format!(
                "IAM policies that allow rds-db:connect name the old resource id: {} becomes {}",
                arn(old.dbi_resource_id()),
                arn(new.dbi_resource_id())
            ),
            "change these policies; until then users of IAM database authentication cannot log in",
        );
    }
    let planned = |arn: &str| {
        cx.migration.steps.iter().any(|step| {
            matches!(&step.action, Action::ReplicateBackups { instance, region, .. }
                if *instance == Target::MadeBy(member.made_by.clone())
                    && arn.split(':').nth(3) == Some(region.as_str()))
        })
    };
    for arn in dependents::replications(old).filter(|arn| !planned(arn)) {
        add(
            "backup-replication",
            format!(
                "automated backups of the old instance are replicated ({arn}), those of the new one are not"
            ),
            "start it under a key of that region (aws rds start-db-instance-automated-backups-replication)",
        );
    }
    let stack = old.tags().get("aws:cloudformation:stack-name").copied();
    if let Some(stack) = stack {
        add(
            "cloudformation",
            format!("CloudFormation stack {stack} still means the old instance"),
            "give it DeletionPolicy Retain, take it out of the stack, and import the new one",
        );
    }
    if str_of(&old.document, "ActivityStreamStatus").is_some_and(|status| status == "started") {
        add(
            "activity-stream",
            "its activity stream stays with the old instance".to_owned(),
            "start one on the new instance (aws rds start-activity-stream)",
        );
    }
    let joined = list_of(&new.document, "DomainMemberships")
        .iter()
        .all(|domain| {
            str_of(domain, "Status")
                .is_none_or(|status| matches!(status, "joined" | "kerberos-enabled"))
        });
    if !joined {
        add(
            "domain",
            "the new instance has not joined its directory yet".to_owned(),
            "look at the membership; Kerberos logins need it",
        );
    }
}
