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
