//! The steps of a blue/green deployment of RDS. See docs/design/0008-blue-green.md.

use atrest_model::document::{bool_of, int_of, strings_of};
use atrest_model::id::{DbInstanceIdentifier, InvalidId};
use atrest_model::instance::DbInstance;
use atrest_model::plan::{Action, Member, Migration, MysqlAccess, Step, Target};

use super::draft::{Draft, SHORT, short_hash};
use super::{Facts, Wish};
use crate::dependents::proxies_of;
use crate::requests;

/// `SwitchoverTimeout`, RDS's own default: when it is over, nothing has changed.
const SWITCHOVER_SECONDS: u32 = 300;
/// What RDS adds to a name takes up to this much of it: `-old12`.
const LONGEST_STEM: usize = 57;

/// Why RDS would not make a deployment of these; source first.
pub(super) fn why_not(facts: &Facts, members: &[&DbInstance]) -> Vec<String> {
    let Some((source, replicas)) = members.split_first() else {
        return Vec::new();
    };
    let mut why = Vec::new();
    if !matches!(source.engine(), "mysql" | "mariadb" | "postgres") {
        why.push(format!(
            "RDS has blue/green deployments for MySQL, MariaDB and PostgreSQL, not for {}",
            source.engine()
        ));
    }
    // Whoever asks for this method alone wants another try.
    if facts.methods.wish == Wish::Auto {
        for key in [source.region.as_str(), source.dbi_resource_id()] {
            if let Some(words) = facts.methods.blue_green_refused.get(key) {
                why.push(format!("RDS has refused it: {words}"));
            }
        }
        // Green follows by the binary log, too: what is in the way of that is in its way.
        if let Some(Ok(server)) = facts.methods.replication.get(source.dbi_resource_id()) {
            why.extend(server.why_not());
        }
    }
    if int_of(&source.document, "BackupRetentionPeriod") == Some(0) {
        why.push("automated backups are off".to_owned());
    }
    if source.document.get("MasterUserSecret").is_some() {
        why.push("the master password is managed in Secrets Manager".to_owned());
    }
    for replica in replicas {
        if replica.replica_source() != Some(source.identifier()) {
            why.push(format!(
                "the replica {} is one of a replica",
                replica.identifier()
            ));
        }
        if bool_of(&replica.document, "DedicatedLogVolume")
            != bool_of(&source.document, "DedicatedLogVolume")
        {
            why.push(format!(
                "a dedicated log volume is on one of {} and {} only",
                source.identifier(),
                replica.identifier()
            ));
        }
    }
    for member in members {
        let proxies = facts
            .dependents
            .get(&source.region)
            .map(|found| proxies_of(found, member.identifier()))
            .unwrap_or_default();
        for proxy in proxies {
            why.push(format!(
                "{} is a target of the proxy {proxy}",
                member.identifier()
            ));
        }
        let elsewhere = member
            .replicas()
            .chain(strings_of(
                &member.document,
                "ReadReplicaDBClusterIdentifiers",
            ))
            .find(|name| name.starts_with("arn:"));
        if let Some(replica) = elsewhere {
            why.push(format!("it has a replica in another region: {replica}"));
        }
        if let Some(stack) = member.tags().get("aws:cloudformation:stack-name") {
            why.push(format!(
                "{} belongs to the CloudFormation stack {stack}",
                member.identifier()
            ));
        }
    }
    why
}

/// The names that RDS will give: the blue one's for certain only if it is free, the green one's up to letters it draws.
pub(super) fn name(member: &mut Member) -> Result<(), InvalidId> {
    let name = member.identifier.as_str();
    let stem = name
        .get(..LONGEST_STEM)
        .unwrap_or(name)
        .trim_end_matches('-');
    member.old_name = DbInstanceIdentifier::try_from(format!("{stem}-old1"))?;
    member.new_name = DbInstanceIdentifier::try_from(format!("{stem}-green"))?;
    member.made_by = format!("green:{}", member.identifier);
    Ok(())
}

/// What the operator should know about the method.
pub(super) fn notes(facts: &Facts, source: &DbInstance) -> Vec<String> {
    let name = source.identifier();
    let mut notes = vec![format!(
        "{name}: after the switchover the unencrypted instance is {name}-old1, or the next number that is free, and read-only until it is restarted; RDS offers no way back, `atrest rollback` renames"
    )];
    if source.is_mysql_family() {
        if facts.mysql == MysqlAccess::Required {
            notes.push(format!(
                "{name}: rows of tables that are written during validation are not compared; replication brings them over"
            ));
        }
        notes.push(format!(
            "{name}: event_scheduler has to be off on the green side until the switchover; see that it is as it should be afterwards"
        ));
        notes.push(format!(
            "{name}: consumers of the binary log have to begin anew at the position that RDS writes into an event"
        ));
    }
    notes
}

/// The steps.
pub(super) fn steps(facts: &Facts, migration: &Migration, members: &[&DbInstance]) -> Vec<Step> {
    let mut draft = Draft::new(facts, migration, members);
    let source = &migration.source;
    let deployment = format!("atrest-{}-1", short_hash(&source.dbi_resource_id, 20));
    let claims = draft.claims();
    let create = Action::CreateBlueGreen {
        deployment: deployment.clone(),
        source: Target::Old(source.dbi_resource_id.clone()),
        keys: migration
            .members()
            .map(|member| {
                (
                    Target::Old(member.dbi_resource_id.clone()),
                    migration.kms_key_id.clone(),
                )
            })
            .collect(),
        tags: draft.tags("blue-green"),
    };
    draft.push("blue-green", &claims, draft.data, create);
    let mut ends = Vec::new();
    for (member, instance) in migration.members().zip(members) {
        let green = Action::AwaitGreen {
            deployment: deployment.clone(),
            blue: Target::Old(member.dbi_resource_id.clone()),
        };
        draft.push(&member.made_by, &["blue-green"], draft.data, green);
        let id = format!("tag:{}", member.identifier);
        let tag = Action::Tag {
            instance: Target::MadeBy(member.made_by.clone()),
            tags: draft.tags(&member.made_by),
        };
        draft.push(&id, &[&member.made_by], SHORT, tag);
        draft.settle_after(&id, member, instance, requests::modify_green(instance));
        ends.extend(draft.inside(member, instance));
    }
    draft.push("validate", &ends, draft.data, Action::Validate);
    let switchover = Action::Switchover {
        deployment: deployment.clone(),
        timeout_seconds: SWITCHOVER_SECONDS,
    };
    draft.push(
        "switchover",
        &["validate"],
        SHORT + u64::from(SWITCHOVER_SECONDS),
        switchover,
    );
    draft.push("rescan", &["switchover"], SHORT, Action::Rescan);
    draft.push(
        "end-blue-green",
        &["rescan"],
        SHORT,
        Action::EndBlueGreen { deployment },
    );
    draft.dependents();
    draft.steps
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::planner::tests::{facts, instance};
    use crate::planner::{MethodFacts, plan};
    use atrest_model::plan::Method;

    fn wished(instances: Vec<DbInstance>, wish: Wish) -> Facts {
        let mut facts = facts(instances);
        facts.methods = MethodFacts {
            wish,
            ..MethodFacts::default()
        };
        facts
    }

    fn with_replica(source: Value, replica: Value) -> Vec<DbInstance> {
        let mut replica = replica;
        replica["ReadReplicaSourceDBInstanceIdentifier"] = json!("x");
        vec![instance("x", source), instance("x-replica", replica)]
    }

    #[test]
    fn every_member_has_a_key_and_the_one_cutover_comes_after_validation() {
        let fleet = with_replica(json!({}), json!({}));
        let plan = plan(&wished(fleet, Wish::Only(Method::BlueGreen)), None);
        let migration = &plan.migrations[0];
        assert_eq!(migration.method, Method::BlueGreen);
        let keys = migration.steps.iter().find_map(|step| match &step.action {
            Action::CreateBlueGreen { keys, .. } => Some(keys.len()),
            _ => None,
        });
        assert_eq!(keys, Some(2));
        let cutovers: Vec<&Step> = migration
            .steps
            .iter()
            .filter(|step| step.action.is_cutover())
            .collect();
        assert_eq!(cutovers.len(), 1);
        assert_eq!(cutovers[0].needs, ["validate"]);
        assert!(migration.steps.iter().all(|step| {
            !matches!(step.action, Action::Rename { .. } | Action::Snapshot { .. })
        }));
        let mut seen = std::collections::BTreeSet::new();
        for step in &migration.steps {
            assert!(
                step.needs.iter().all(|need| seen.contains(need)),
                "{}",
                step.id
            );
            assert!(seen.insert(step.id.clone()), "{} twice", step.id);
        }
        assert_eq!(migration.source.old_name.as_str(), "x-old1");
    }

    #[test]
    fn what_rds_does_not_make_a_deployment_of_is_migrated_otherwise_and_says_why() {
        for (source, replica, words) in [
            (
                json!({"Engine": "oracle-ee"}),
                json!({}),
                "not for oracle-ee",
            ),
            (
                json!({"BackupRetentionPeriod": 0}),
                json!({}),
                "automated backups are off",
            ),
            (
                json!({"MasterUserSecret": {"SecretArn": "s"}}),
                json!({}),
                "Secrets Manager",
            ),
            (
                json!({"DedicatedLogVolume": true}),
                json!({"DedicatedLogVolume": false}),
                "log volume",
            ),
            (
                json!({"ReadReplicaDBInstanceIdentifiers": ["arn:aws:rds:us-east-1:1:db:y"]}),
                json!({}),
                "another region",
            ),
            (
                json!({"TagList": [{"Key": "aws:cloudformation:stack-name", "Value": "s"}]}),
                json!({}),
                "CloudFormation",
            ),
        ] {
            let plan = plan(&wished(with_replica(source, replica), Wish::Auto), None);
            let migration = &plan.migrations[0];
            assert_ne!(migration.method, Method::BlueGreen, "{words}");
            let reasons: Vec<&String> = migration
                .not_taken
                .iter()
                .filter(|not| not.method == Method::BlueGreen)
                .flat_map(|not| &not.reasons)
                .collect();
            assert!(
                reasons.iter().any(|why| why.contains(words)),
                "{words}: {reasons:?}"
            );
        }
        let mut chain = with_replica(json!({}), json!({}));
        chain.push(instance(
            "leaf",
            json!({"ReadReplicaSourceDBInstanceIdentifier": "x-replica"}),
        ));
        let plan = plan(&wished(chain, Wish::Only(Method::BlueGreen)), None);
        assert!(plan.migrations.is_empty());
        assert!(
            plan.left_out[0].reason.contains("one of a replica"),
            "{:?}",
            plan.left_out
        );
    }

    #[test]
    fn a_region_that_has_refused_is_quoted_unless_the_method_is_asked_for_alone() {
        let mut facts = wished(with_replica(json!({}), json!({})), Wish::Auto);
        let refused = [("eu-central-1".to_owned(), "RDS's words".to_owned())];
        facts.methods.blue_green_refused = refused.into();
        let reasons = why_not(&facts, &[&facts.instances[0]]);
        assert!(reasons[0].contains("RDS's words"), "{reasons:?}");
        facts.methods.wish = Wish::Only(Method::BlueGreen);
        assert!(why_not(&facts, &[&facts.instances[0]]).is_empty());
    }
}
