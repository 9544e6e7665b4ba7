//! Clusters: the steps of Aurora's, and which are left out. See docs/design/0009-clusters.md.

mod left_out;
mod method;

use atrest_model::document::{bool_of, digest, int_of, list_of, str_of};
use atrest_model::id::DbInstanceIdentifier;
use atrest_model::instance::{DbCluster, DbInstance};
use atrest_model::plan::{
    Action, ClusterMember, Member, Method, Migration, MysqlAccess, Step, Target,
};

use super::draft::{Draft, SHORT, snapshot_name};
use super::{Facts, Refusal, multi_az, settled_digest};
use crate::requests::cluster as requests;

/// Seconds for a rename.
pub(super) const RENAME: u64 = 2 * 3600;

/// The migration of a flagged cluster with all its members.
pub(super) fn migration(facts: &Facts, cluster: &DbCluster) -> Result<Migration, Refusal> {
    if let Some(why) = left_out::why(cluster) {
        return Err(Refusal::of("migratable")(why));
    }
    let members = members(facts, cluster);
    let Some((writer, readers)) = members.split_first() else {
        return Err(Refusal::of("migratable")(
            "it has no DB instances; restore it from its snapshot with a key".to_owned(),
        ));
    };
    if members.len() != cluster.members().count() {
        return Err(Refusal::of("migratable")(
            "not all of its DB instances were found".to_owned(),
        ));
    }
    let not_taken = method::choose(facts.methods.wish, cluster).map_err(Refusal::of("method"))?;
    let kms_key_id = match facts.keys.get(&cluster.region) {
        Some(Ok(key)) => key.arn.clone(),
        Some(Err(why)) => return Err(Refusal::of("kms-key")(why.clone())),
        None => {
            return Err(Refusal::of("kms-key")(format!(
                "no key is chosen for {}",
                cluster.region
            )));
        }
    };
    let refused = |error: atrest_model::id::InvalidId| Refusal::of("names-free")(error.to_string());
    let identifier = DbInstanceIdentifier::try_from(cluster.identifier()).map_err(refused)?;
    let new_name = identifier.prefixed("new").map_err(refused)?;
    let named = |(number, instance): (usize, &&DbInstance)| -> Result<Member, Refusal> {
        if multi_az::is(cluster) {
            return multi_az::member(instance, &new_name, number + 1).map_err(refused);
        }
        let identifier = DbInstanceIdentifier::try_from(instance.identifier()).map_err(refused)?;
        Ok(Member {
            old_name: identifier.prefixed("old").map_err(refused)?,
            new_name: identifier.prefixed("new").map_err(refused)?,
            dbi_resource_id: instance.dbi_resource_id().to_owned(),
            replicates_from: None,
            digest: settled_digest(instance),
            made_by: format!("member:{identifier}"),
            identifier,
        })
    };
    let old_name = identifier.prefixed("old").map_err(refused)?;
    let taken = |name: &DbInstanceIdentifier| {
        let here = |region: &str, other: &str| region == cluster.region && other == name.as_str();
        facts
            .clusters
            .iter()
            .any(|other| here(&other.region, other.identifier()))
    };
    if let Some(name) = [&old_name, &new_name].into_iter().find(|name| taken(name)) {
        return Err(Refusal::of("names-free")(format!(
            "the name {name} is taken; rename or delete that cluster"
        )));
    }
    if multi_az::is(cluster)
        && let Some(name) = multi_az::taken(facts, &cluster.region, &identifier)
    {
        return Err(Refusal::of("names-free")(format!(
            "the name {name} is taken; rename or delete that instance"
        )));
    }
    let source = named((0, writer))?;
    let replicas = readers
        .iter()
        .enumerate()
        .map(|(number, reader)| named((number + 1, reader)))
        .collect::<Result<_, _>>()?;
    let mut migration = Migration {
        id: format!("{}/{}", cluster.region, cluster.identifier()),
        region: cluster.region.clone(),
        method: Method::Cold,
        not_taken,
        cluster: Some(ClusterMember {
            old_name,
            new_name,
            db_cluster_resource_id: cluster.resource_id().to_owned(),
            digest: cluster_digest(cluster),
            identifier,
        }),
        engine: cluster.engine().to_owned(),
        allocated_storage: int_of(&cluster.document, "AllocatedStorage").unwrap_or(0),
        kms_key_id,
        source,
        replicas,
        notes: notes(facts, cluster),
        wave: None,
        steps: Vec::new(),
    };
    migration.steps = match &migration.cluster {
        Some(of) if multi_az::is(cluster) => {
            multi_az::steps(facts, &migration, of, cluster, &members)
        }
        Some(of) => steps(facts, &migration, of, cluster, &members),
        None => Vec::new(),
    };
    Ok(migration)
}

/// What the plan of a cluster rests on, without what changes by itself.
#[must_use]
pub fn cluster_digest(cluster: &DbCluster) -> String {
    use atrest_model::attribute::AttributeClass;
    use atrest_model::attribute::cluster::cluster_attribute;
    let mut document = cluster.document.clone();
    if let Some(members) = document.as_object_mut() {
        members.retain(|name, _| {
            cluster_attribute(name).is_none_or(|row| row.class != AttributeClass::Volatile)
        });
        members.remove("TagList");
    }
    digest(&document)
}

/// Writer first, then the readers in the order in which they would be promoted.
fn members<'a>(facts: &'a Facts, cluster: &DbCluster) -> Vec<&'a DbInstance> {
    let rank = |instance: &DbInstance| {
        let of = list_of(&cluster.document, "DBClusterMembers")
            .iter()
            .find(|member| str_of(member, "DBInstanceIdentifier") == Some(instance.identifier()));
        let writer = of.and_then(|member| bool_of(member, "IsClusterWriter")) == Some(true);
        let tier = of.and_then(|member| int_of(member, "PromotionTier"));
        (!writer, tier, instance.identifier().to_owned())
    };
    let mut members: Vec<&DbInstance> = facts
        .instances
        .iter()
        .filter(|instance| {
            instance.region == cluster.region && instance.cluster() == Some(cluster.identifier())
        })
        .collect();
    members.sort_by_key(|member| rank(member));
    members
}

fn notes(facts: &Facts, cluster: &DbCluster) -> Vec<String> {
    let name = cluster.identifier();
    let mut notes = vec![format!(
        "{name}: point-in-time recovery to times before the migration stays with its old resource id"
    )];
    if cluster.engine() != "mysql" || facts.mysql != MysqlAccess::Required {
        notes.push(format!(
            "{name}: {} accounts, rows and client connections are not read; only attributes of the cluster and its DB instances are compared",
            cluster.engine()
        ));
    }
    if multi_az::is(cluster) {
        notes.extend(multi_az::notes(cluster));
    } else {
        notes.push(format!(
            "{name}: whether Application Auto Scaling scales its readers is not read; a scalable target is registered for cluster:{name} and goes with the name: aws application-autoscaling describe-scalable-targets --service-namespace rds --resource-ids cluster:{name} shows it"
        ));
    }
    if cluster.document.get("MasterUserSecret").is_some() {
        notes.push(format!(
            "{name}: RDS makes a new secret for the master password, with a new ARN; whoever reads the old one by its ARN is to be told"
        ));
    }
    if int_of(&cluster.document, "BacktrackWindow").is_some_and(|seconds| seconds > 0) {
        notes.push(format!(
            "{name}: backtracking to times before the migration stays with the old cluster"
        ));
    }
    notes
}

/// Claims, renames and the proof that nobody is connected. Of an Aurora cluster the DB instances are renamed, too.
pub(super) fn begin(draft: &mut Draft<'_>, of: &ClusterMember, renames_members: bool) {
    let mut own = draft.tags("claim-cluster");
    own.retain(|(key, _)| key == atrest_model::plan::TAG_RUN);
    draft.push(
        "claim-cluster",
        &[] as &[&str],
        SHORT,
        Action::ClaimCluster { tags: own },
    );
    let mut claims = draft.claims();
    claims.push("claim-cluster".to_owned());
    let away = Action::RenameCluster {
        from: of.identifier.clone(),
        to: of.old_name.clone(),
        cutover: false,
    };
    draft.push("rename-old-cluster", &claims, RENAME, away);
    let mut renamed = vec!["rename-old-cluster".to_owned()];
    if renames_members {
        renamed = draft.rename_old(&renamed);
    }
    let quiet = draft.facts.quiesce;
    let quiesce = Action::Quiesce {
        instance: Target::Old(draft.migration.source.dbi_resource_id.clone()),
        window_seconds: quiet.window_seconds,
        kill_connections: quiet.kill_connections,
    };
    draft.push("quiesce", &renamed, SHORT, quiesce);
}

/// The roles of the cluster, one after the other; gives the last step.
pub(super) fn roles(draft: &mut Draft<'_>, cluster: &DbCluster, mut last: String) -> String {
    for (number, role) in list_of(&cluster.document, "AssociatedRoles")
        .iter()
        .enumerate()
    {
        let Some(role_arn) = str_of(role, "RoleArn") else {
            continue;
        };
        // Unlike those of an instance they may be for no feature.
        let feature = str_of(role, "FeatureName").unwrap_or_default();
        let id = match feature {
            "" => format!("cluster-role:{}", number + 1),
            feature => format!("cluster-role:{feature}"),
        };
        let role = Action::AddClusterRole {
            role_arn: role_arn.to_owned(),
            feature_name: feature.to_owned(),
        };
        draft.push(&id, &[&last], SHORT, role);
        last = id;
    }
    last
}

/// RDS manages the master password again, where it does now. Last of all that `ends` names, whose place it takes.
pub(super) fn manage_password(draft: &mut Draft<'_>, cluster: &DbCluster, ends: &mut Vec<String>) {
    let request = requests::manage_password(cluster);
    if request.is_empty() {
        return;
    }
    let step = super::MANAGE_PASSWORD;
    draft.push(step, ends, SHORT, Action::ModifyCluster { request });
    *ends = vec![step.to_owned()];
}

fn steps(
    facts: &Facts,
    migration: &Migration,
    of: &ClusterMember,
    cluster: &DbCluster,
    members: &[&DbInstance],
) -> Vec<Step> {
    let mut draft = Draft::new(facts, migration, members);
    begin(&mut draft, of, true);
    let name = snapshot_name(&of.db_cluster_resource_id, "raw");
    let snapshot = Action::ClusterSnapshot {
        snapshot: name.clone(),
        tags: draft.tags("cluster-snapshot"),
    };
    draft.push("cluster-snapshot", &["quiesce"], draft.data, snapshot);
    let restore = Action::RestoreCluster {
        snapshot: name,
        name: of.new_name.clone(),
        request: requests::restore(
            cluster,
            &migration.kms_key_id,
            &draft.tags("restore-cluster"),
        ),
    };
    draft.push(
        "restore-cluster",
        &["cluster-snapshot"],
        draft.data,
        restore,
    );
    let mut last = "restore-cluster".to_owned();
    let request = requests::modify_after_restore(cluster);
    if !request.is_empty() {
        draft.push(
            "modify-cluster",
            &[last],
            SHORT,
            Action::ModifyCluster { request },
        );
        last = "modify-cluster".to_owned();
    }
    last = roles(&mut draft, cluster, last);
    let mut ends = Vec::new();
    // The writer first: Aurora makes the first instance of a cluster its writer.
    let mut writer = last;
    for (member, instance) in migration.members().zip(members) {
        let create = Action::CreateMember {
            name: member.new_name.clone(),
            request: requests::create_member(instance, &draft.tags(&member.made_by)),
        };
        draft.push(&member.made_by, &[&writer], draft.data, create);
        draft.settle_after(&member.made_by, member, instance, serde_json::Map::new());
        if member.identifier == migration.source.identifier {
            writer.clone_from(&member.made_by);
        }
        ends.push(draft.settled(member));
    }
    if bool_of(&cluster.document, "HttpEndpointEnabled") == Some(true) {
        draft.push("data-api", &[&writer], SHORT, Action::EnableDataApi);
        ends.push("data-api".to_owned());
    }
    manage_password(&mut draft, cluster, &mut ends);
    draft.push("validate", &ends, draft.data, Action::Validate);
    let back = Action::RenameCluster {
        from: of.new_name.clone(),
        to: of.identifier.clone(),
        cutover: true,
    };
    draft.push("rename-new-cluster", &["validate"], RENAME, back);
    let cutover = draft.rename_new(&["rename-new-cluster"]);
    draft.push("rescan", &cutover, SHORT, Action::Rescan);
    draft.handover();
    draft.steps
}
