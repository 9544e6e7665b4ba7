//! Multi-AZ DB clusters: RDS makes their DB instances and takes no changes of them. See docs/design/0009-clusters.md.
//!
//! RDS neither copies their snapshots nor encrypts on the way from one to a cluster. It does restore one to a DB instance,
//! encrypt the copy of that one's snapshot, and restore the copy to a cluster again: the data takes that way.

use atrest_model::id::{DbInstanceIdentifier, InvalidId};
use atrest_model::instance::{DbCluster, DbInstance};
use atrest_model::plan::{Action, ClusterMember, Member, Migration, Step, Target};

use super::cluster::{RENAME, manage_password, roles};
use super::draft::{Draft, SHORT, snapshot_name};
use super::{Facts, settled_digest};
use crate::requests::cluster as requests;

/// The step that makes the DB instance the data goes through.
const TEMPORARY: &str = "temporary-instance";

/// Whether a cluster is one: Aurora's have names of their own for their engines.
pub(super) fn is(cluster: &DbCluster) -> bool {
    matches!(cluster.engine(), "mysql" | "postgres")
}

/// A member: the `number`th, the writer first. It has its name for good, and so has its successor, whose name is RDS's.
pub(super) fn member(
    instance: &DbInstance,
    cluster: &DbInstanceIdentifier,
    number: usize,
) -> Result<Member, InvalidId> {
    let identifier = DbInstanceIdentifier::try_from(instance.identifier())?;
    Ok(Member {
        old_name: identifier.clone(),
        new_name: DbInstanceIdentifier::try_from(format!("{cluster}-instance-{number}"))?,
        dbi_resource_id: instance.dbi_resource_id().to_owned(),
        replicates_from: None,
        digest: settled_digest(instance),
        made_by: format!("member:{identifier}"),
        identifier,
    })
}

/// The name of the DB instance in between, if somebody has it.
pub(super) fn taken(
    facts: &Facts,
    region: &str,
    cluster: &DbInstanceIdentifier,
) -> Option<DbInstanceIdentifier> {
    let name = cluster.prefixed("tmp").ok()?;
    facts
        .instances
        .iter()
        .any(|other| other.region == region && other.identifier() == name.as_str())
        .then_some(name)
}

pub(super) fn notes(cluster: &DbCluster) -> Vec<String> {
    let name = cluster.identifier();
    vec![
        format!(
            "{name}: RDS does not encrypt a Multi-AZ DB cluster on the way from its snapshot; its data goes through a DB instance, so that clients are away for two restores"
        ),
        format!(
            "{name}: its DB instances come back as new-{name}-instance-1 and so on, for good: RDS names them; the endpoints of the cluster are as before, what names a DB instance has to be changed"
        ),
        format!(
            "{name}: its DB instances keep their own endpoints while clients are to be away; whoever uses one of these must be stopped"
        ),
        format!(
            "{name}: neither rehearsal nor rollback nor cleanup in this version; before the cutover the way back is aws rds modify-db-cluster --db-cluster-identifier old-{name} --new-db-cluster-identifier {name} --apply-immediately"
        ),
    ]
}

pub(super) fn steps(
    facts: &Facts,
    migration: &Migration,
    of: &ClusterMember,
    cluster: &DbCluster,
    members: &[&DbInstance],
) -> Vec<Step> {
    let mut draft = Draft::new(facts, migration, members);
    let (Some(writer), Ok(temporary)) = (members.first(), of.identifier.prefixed("tmp")) else {
        // A cluster without members has no migration, and the longer name fits: it was asked for before.
        return Vec::new();
    };
    super::cluster::begin(&mut draft, of, false);
    let raw = snapshot_name(&of.db_cluster_resource_id, "cluster");
    let snapshot = Action::ClusterSnapshot {
        snapshot: raw.clone(),
        tags: draft.tags("cluster-snapshot"),
    };
    draft.push("cluster-snapshot", &["quiesce"], draft.data, snapshot);
    let through = Action::TemporaryInstance {
        snapshot: raw,
        name: temporary,
        request: requests::temporary_instance(cluster, writer, &draft.tags(TEMPORARY)),
    };
    draft.push(TEMPORARY, &["cluster-snapshot"], draft.data, through);
    let (raw, kms) = (
        snapshot_name(&of.db_cluster_resource_id, "raw"),
        snapshot_name(&of.db_cluster_resource_id, "kms"),
    );
    let snapshot = Action::Snapshot {
        instance: Target::MadeBy(TEMPORARY.to_owned()),
        snapshot: raw.clone(),
        tags: draft.tags("snapshot"),
    };
    draft.push("snapshot", &[TEMPORARY], draft.data, snapshot);
    let copy = Action::EncryptedCopy {
        source_snapshot: raw,
        snapshot: kms.clone(),
        kms_key_id: migration.kms_key_id.clone(),
        tags: draft.tags("encrypted-copy"),
    };
    draft.push("encrypted-copy", &["snapshot"], draft.data, copy);
    // Of a DB snapshot only the ARN is taken.
    let partition = cluster.arn().split(':').nth(1).unwrap_or("aws");
    let restore = Action::RestoreCluster {
        snapshot: format!(
            "arn:{partition}:rds:{}:{}:snapshot:{kms}",
            migration.region, facts.account
        ),
        name: of.new_name.clone(),
        request: requests::restore_multi_az(
            cluster,
            &migration.kms_key_id,
            &draft.tags("restore-cluster"),
        ),
    };
    draft.push("restore-cluster", &["encrypted-copy"], draft.data, restore);
    let remove = Action::RemoveTemporary {
        instance: Target::MadeBy(TEMPORARY.to_owned()),
    };
    draft.push("remove-temporary", &["restore-cluster"], SHORT, remove);
    let mut last = "restore-cluster".to_owned();
    let request = requests::modify_multi_az(cluster);
    if !request.is_empty() {
        let modify = Action::ModifyCluster { request };
        draft.push("modify-cluster", &[last], SHORT, modify);
        last = "modify-cluster".to_owned();
    }
    last = roles(&mut draft, cluster, last);
    let mut ends = vec!["remove-temporary".to_owned()];
    for (member, instance) in migration.members().zip(members) {
        let writer = member.identifier == migration.source.identifier;
        let await_member = Action::AwaitMember { writer };
        draft.push(&member.made_by, &[last], draft.data, await_member);
        let id = format!("tag:{}", member.identifier);
        let tag = Action::Tag {
            instance: Target::MadeBy(member.made_by.clone()),
            tags: requests::member_tags(instance, &draft.tags(&member.made_by)),
        };
        draft.push(&id, &[&member.made_by], SHORT, tag);
        draft.settle_after(&id, member, instance, serde_json::Map::new());
        if writer {
            ends.extend(draft.inside(member, instance));
        } else {
            ends.push(draft.settled(member));
        }
        // Which of two readers is which is decided once.
        last = id;
    }
    manage_password(&mut draft, cluster, &mut ends);
    draft.push("validate", &ends, draft.data, Action::Validate);
    let back = Action::RenameCluster {
        from: of.new_name.clone(),
        to: of.identifier.clone(),
        cutover: true,
    };
    draft.push("rename-new-cluster", &["validate"], RENAME, back);
    draft.push("rescan", &["rename-new-cluster"], SHORT, Action::Rescan);
    draft.push("handover", &["rescan"], SHORT, Action::Handover);
    draft.steps
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::planner::plan;
    use crate::planner::tests::{facts, instance};

    fn trio() -> Facts {
        let member = |number: usize| {
            instance(
                &format!("trio-instance-{number}"),
                json!({"Engine": "postgres", "EngineVersion": "16.4", "DBClusterIdentifier": "trio"}),
            )
        };
        let mut facts = facts((1..=3).map(member).collect());
        facts.clusters = vec![DbCluster {
            region: "eu-central-1".to_owned(),
            document: json!({
                "DBClusterIdentifier": "trio", "DbClusterResourceId": "cluster-TRIO", "Engine": "postgres",
                "DBClusterArn": "arn:aws-cn:rds:eu-central-1:111122223333:cluster:trio", "StorageEncrypted": false,
                "AllocatedStorage": 100, "StorageType": "io1", "Iops": 1000, "DBClusterInstanceClass": "db.m6g.large",
                "DBClusterMembers": [
                    {"DBInstanceIdentifier": "trio-instance-1", "IsClusterWriter": false},
                    {"DBInstanceIdentifier": "trio-instance-2", "IsClusterWriter": true},
                    {"DBInstanceIdentifier": "trio-instance-3", "IsClusterWriter": false},
                ],
            }),
        }];
        facts
    }

    #[test]
    fn no_member_is_renamed_and_each_need_names_an_earlier_step() {
        let plan = plan(&trio(), None);
        assert_eq!(plan.left_out, []);
        let migration = &plan.migrations[0];
        // The writer first, whatever it is called.
        let names: Vec<(&str, &str)> = migration
            .members()
            .map(|member| (member.identifier.as_str(), member.final_name().as_str()))
            .collect();
        assert_eq!(
            names,
            [
                ("trio-instance-2", "new-trio-instance-1"),
                ("trio-instance-1", "new-trio-instance-2"),
                ("trio-instance-3", "new-trio-instance-3"),
            ]
        );
        let mut seen = BTreeSet::new();
        for step in &migration.steps {
            assert!(!matches!(step.action, Action::Rename { .. }), "{}", step.id);
            assert!(
                step.needs.iter().all(|need| seen.contains(need)),
                "{}",
                step.id
            );
            assert!(seen.insert(step.id.clone()), "{} twice", step.id);
        }
        let restored = migration.steps.iter().find_map(|step| match &step.action {
            Action::RestoreCluster { snapshot, .. } => Some(snapshot.as_str()),
            _ => None,
        });
        // In the partition of the cluster.
        let restored = restored.unwrap();
        assert!(
            restored.starts_with("arn:aws-cn:rds:eu-central-1:111122223333:snapshot:atrest-"),
            "{restored}"
        );
    }

    #[test]
    fn names_that_somebody_has_are_found_before_clients_are_away() {
        let mut with_instance = trio();
        with_instance
            .instances
            .push(instance("tmp-trio", json!({"StorageEncrypted": true})));
        let mut with_cluster = trio();
        let mut other = with_cluster.clusters[0].clone();
        other.document["DBClusterIdentifier"] = json!("old-trio");
        other.document["StorageEncrypted"] = json!(true);
        with_cluster.clusters.push(other);
        for (facts, name) in [(with_instance, "tmp-trio"), (with_cluster, "old-trio")] {
            let plan = plan(&facts, None);
            assert!(plan.migrations.is_empty());
            let told = format!("the name {name} is taken");
            assert!(
                plan.left_out[0].reason.contains(&told),
                "{:?}",
                plan.left_out
            );
        }
    }

    #[test]
    fn a_name_that_would_be_too_long_is_refused() {
        let mut facts = trio();
        let long = "t".repeat(49);
        facts.clusters[0].document["DBClusterIdentifier"] = json!(long);
        for member in &mut facts.instances {
            member.document["DBClusterIdentifier"] = json!(long);
        }
        let plan = plan(&facts, None);
        assert!(plan.migrations.is_empty());
        assert!(
            plan.left_out[0].reason.contains("1 to 63 characters"),
            "{:?}",
            plan.left_out
        );
    }
}
