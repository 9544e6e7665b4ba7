//! DB cluster snapshots: create, copy, delete, describe.

use super::super::error::ApiError;
use super::super::names::{parse_arn, snapshot_id};
use super::super::page::{Filters, page};
use super::super::state::{DbCluster, DbClusterSnapshot, Region, Scope, Tag};
use super::super::xml::Xml;
use super::super::{Answer, Call, instances, result, tags};
use super::request::Encryption;
use super::{check_available, wanted};
use crate::kms;
use crate::world::{Moment, Timeline};

/// Manual DB cluster snapshots per region.
const MOST_MANUAL: usize = 100;

/// Whether an account sees the cluster snapshot of another, and as what.
fn seen_as(region: &Region, owner: &Scope, id: &str, account: &str) -> Option<&'static str> {
    let accounts = region.shared.get(&owner.arn("cluster-snapshot", id))?;
    if accounts.contains(account) {
        Some("shared")
    } else if accounts.contains("all") {
        Some("public")
    } else {
        None
    }
}

/// The snapshot that a parameter names, by identifier or ARN: here, in another region of the account, or shared
/// by another account.
fn find<'a>(
    call: &'a mut Call<'_>,
    reference: &str,
) -> Result<(Scope, &'a DbClusterSnapshot), ApiError> {
    let (scope, name) = match parse_arn(reference) {
        Some(arn) if arn.kind == "cluster-snapshot" => (arn.scope, arn.name),
        Some(_) => {
            return Err(ApiError::value(format!(
                "Invalid DB cluster snapshot ARN: {reference}"
            )));
        }
        None => (call.scope.clone(), reference.to_owned()),
    };
    let account = &call.scope.account;
    let region = call.world.region_mut(&scope);
    if scope.account != *account && seen_as(region, &scope, &name, account).is_none() {
        return Err(ApiError::no_cluster_snapshot(reference));
    }
    region
        .cluster_snapshot(&name)
        .map(|snapshot| (scope, snapshot))
        .ok_or_else(|| ApiError::no_cluster_snapshot(reference))
}

/// The snapshot that a restore names: one's own, or a shared one that is not encrypted. It comes without the tags
/// of its owner.
pub(crate) fn find_restorable(
    call: &mut Call<'_>,
    reference: &str,
) -> Result<DbClusterSnapshot, ApiError> {
    let here = call.scope.clone();
    let (scope, snapshot) = find(call, reference)?;
    if scope.region != here.region {
        return Err(ApiError::no_cluster_snapshot(reference));
    }
    let mut snapshot = snapshot.clone();
    if scope.account != here.account {
        if snapshot.encrypted {
            return Err(ApiError::new(
                "InvalidDBClusterSnapshotStateFault",
                format!(
                    "The snapshot {reference} is shared and encrypted: it can't be restored directly. Copy it first."
                ),
            ));
        }
        snapshot.cluster.tags.clear();
    }
    Ok(snapshot)
}

/// One's own in the region that was called.
fn find_here<'a>(
    call: &'a mut Call<'_>,
    reference: &str,
) -> Result<&'a DbClusterSnapshot, ApiError> {
    let here = call.scope.clone();
    let (scope, snapshot) = find(call, reference)?;
    if scope == here {
        Ok(snapshot)
    } else {
        Err(ApiError::no_cluster_snapshot(reference))
    }
}

pub(super) fn check_free(region: &Region, id: &str) -> Result<(), ApiError> {
    match region.cluster_snapshot(id) {
        Some(_) => Err(ApiError::new(
            "DBClusterSnapshotAlreadyExistsFault",
            format!(
                "Cannot create the snapshot because a snapshot with the identifier {id} already exists."
            ),
        )),
        None => Ok(()),
    }
}

pub(super) fn check_quota(region: &Region) -> Result<(), ApiError> {
    let manual = region
        .cluster_snapshots
        .iter()
        .filter(|snapshot| snapshot.snapshot_type == "manual")
        .count();
    if manual >= MOST_MANUAL {
        return Err(ApiError::new(
            "SnapshotQuotaExceeded",
            format!("Cannot create more than {MOST_MANUAL} manual DB cluster snapshots."),
        ));
    }
    Ok(())
}

/// `CreateDBClusterSnapshot`.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let id = snapshot_id(
        "DBClusterSnapshotIdentifier",
        &call.params.required("DBClusterSnapshotIdentifier")?,
    )?;
    let given = tags::from_request(call.params, "Tags")?;
    let cluster = wanted(call)?;
    check_free(call.region(), &id)?;
    check_available(&cluster)?;
    check_quota(call.region())?;
    begin(call, &id, &cluster, given);
    answer(call, &id)
}

/// Starts a manual snapshot of a cluster whose state has been checked. The cluster stays as it is: its storage is
/// copied, not its instances.
pub(super) fn begin(
    call: &mut Call<'_>,
    id: &str,
    cluster: &DbCluster,
    given: Option<Vec<Tag>>,
) -> u64 {
    let (scope, now) = (call.scope, call.now);
    let took = call
        .world
        .takes(&format!("cluster-snapshot/{}", cluster.id), (120, 300));
    let mut recorded = cluster.clone();
    recorded.stale = None;
    // Tags of the cluster go to the snapshot only with CopyTagsToSnapshot; tags of the call replace them.
    let tags = given.unwrap_or_else(|| {
        if cluster.copy_tags {
            cluster.tags.clone()
        } else {
            Vec::new()
        }
    });
    let region = call.region();
    let vpc_id = region.vpc(&cluster.subnet_group);
    region.cluster_snapshots.push(DbClusterSnapshot {
        id: id.to_owned(),
        snapshot_type: "manual".to_owned(),
        status: "creating".to_owned(),
        created: now,
        vpc_id,
        encrypted: cluster.encrypted,
        encryption_type: cluster.encryption_type.clone(),
        kms_key: cluster.kms_key.clone(),
        cluster: Box::new(recorded),
        tags,
        ..DbClusterSnapshot::default()
    });
    note(
        call.world,
        scope,
        now,
        id,
        "Creating manual cluster snapshot",
    );
    let last = id.to_owned();
    let timeline = halfway(scope, id, took).then(took - took / 2, move |moment| {
        complete(moment, &last, "Manual cluster snapshot created");
    });
    call.world.schedule(now, timeline);
    took
}

fn subject(id: &str) -> String {
    format!("cluster-snapshot:{id}")
}

fn halfway(scope: &Scope, id: &str, took: u64) -> Timeline {
    let half = id.to_owned();
    Timeline::new(scope, &subject(id)).then(took / 2, move |moment| {
        if let Some(snapshot) = moment.region().cluster_snapshot_mut(&half) {
            snapshot.percent = 50;
        }
    })
}

fn complete(moment: &mut Moment<'_>, id: &str, message: &str) {
    if let Some(snapshot) = moment.region().cluster_snapshot_mut(id) {
        snapshot.status = "available".to_owned();
        snapshot.percent = 100;
    }
    let (scope, now) = (moment.scope.clone(), moment.now);
    note(moment.world, &scope, now, id, message);
}

fn note(
    world: &mut crate::world::World,
    scope: &Scope,
    now: jiff::Timestamp,
    id: &str,
    message: &str,
) {
    world.event(
        scope,
        now,
        "db-cluster-snapshot",
        id,
        "backup",
        message.to_owned(),
    );
}

/// `CopyDBClusterSnapshot`: a key re-keys an encrypted snapshot. On an unencrypted one it is an error by the API
/// reference, although the Aurora guide says that it encrypts: a key belongs to the restore.
pub(crate) fn copy(call: &mut Call<'_>) -> Answer {
    let target = snapshot_id(
        "TargetDBClusterSnapshotIdentifier",
        &call.params.required("TargetDBClusterSnapshotIdentifier")?,
    )?;
    let reference = call.params.required("SourceDBClusterSnapshotIdentifier")?;
    let given = tags::from_request(call.params, "Tags")?;
    let copy_tags = call.params.boolean("CopyTags")?.unwrap_or(false);
    let key = call.params.text("KmsKeyId");
    let (source_scope, source) = find(call, &reference)?;
    let source = source.clone();
    check_free(call.region(), &target)?;
    if let Some(key) = &source.kms_key {
        kms::check_readable(call.world, &source_scope, key)?;
    }
    if source.status != "available" {
        return Err(ApiError::new(
            "InvalidDBClusterSnapshotStateFault",
            format!(
                "The source snapshot {} is not in the available state.",
                source.id
            ),
        ));
    }
    if !source.cluster.is_aurora() {
        return Err(ApiError::combination(
            "Copying a snapshot of a Multi-AZ DB cluster isn't supported.",
        ));
    }
    let elsewhere = source_scope.region != call.scope.region;
    let foreign = source_scope.account != call.scope.account;
    let present = Encryption::of(&source.encryption_type, source.kms_key.as_ref());
    // Keys live in one region: an encrypted snapshot leaves it only under a key of the destination.
    if elsewhere && matches!(present, Encryption::Kms(_)) && key.is_none() {
        return Err(ApiError::combination(
            "A KmsKeyId of the destination region must be specified to copy an encrypted snapshot to another region.",
        ));
    }
    if foreign && matches!(present, Encryption::Kms(_)) && key.is_none() {
        return Err(ApiError::combination(
            "A KmsKeyId must be specified to copy an encrypted snapshot that is shared by another account.",
        ));
    }
    if key.is_some() && present == Encryption::None {
        return Err(ApiError::combination(
            "KmsKeyId can't be specified to copy a DB cluster snapshot that isn't encrypted.",
        ));
    }
    let scope = call.scope;
    let encryption = match &key {
        Some(key) => Encryption::with_key(call, scope, key)?,
        None => present,
    };
    check_quota(call.region())?;
    let now = call.now;
    let region = call.region();
    let vpc_id = if elsewhere || foreign {
        region.default_vpc.clone()
    } else {
        source.vpc_id.clone()
    };
    // Tags of the call win over CopyTags.
    let tags = given.unwrap_or_else(|| {
        if copy_tags && !foreign {
            source.tags.clone()
        } else {
            Vec::new()
        }
    });
    region.cluster_snapshots.push(DbClusterSnapshot {
        id: target.clone(),
        snapshot_type: "manual".to_owned(),
        status: "copying".to_owned(),
        created: now,
        cluster: Box::new(DbCluster {
            tags: if foreign {
                Vec::new()
            } else {
                source.cluster.tags.clone()
            },
            ..(*source.cluster).clone()
        }),
        vpc_id,
        encryption_type: encryption.kind().to_owned(),
        encrypted: matches!(encryption, Encryption::Kms(_)),
        kms_key: encryption.key(),
        source_arn: (elsewhere || foreign)
            .then(|| source_scope.arn("cluster-snapshot", &source.id)),
        is_copy: true,
        tags,
        ..DbClusterSnapshot::default()
    });
    let took = call
        .world
        .takes(&format!("cluster-copy/{}", source.cluster.id), (120, 300));
    let (last, source_id) = (target.clone(), source.id.clone());
    let timeline = halfway(scope, &target, took).then(took - took / 2, move |moment| {
        // The source may have gone while it was being copied.
        let still_there = moment
            .world
            .region_mut(&source_scope)
            .cluster_snapshot(&source_id)
            .is_some();
        if still_there {
            complete(moment, &last, "Finished copy of cluster snapshot");
        } else if let Some(snapshot) = moment.region().cluster_snapshot_mut(&last) {
            snapshot.status = "failed".to_owned();
        }
    });
    call.world.schedule(now, timeline);
    answer(call, &target)
}

/// `DeleteDBClusterSnapshot`: an available one is deleted, a copy in progress is cancelled.
pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let reference = call.params.required("DBClusterSnapshotIdentifier")?;
    let id = find_here(call, &reference)?.id.clone();
    let (scope, now) = (call.scope, call.now);
    let region = call.region();
    let position = region
        .cluster_snapshots
        .iter()
        .position(|snapshot| snapshot.id == id)
        .ok_or_else(|| ApiError::no_cluster_snapshot(&id))?;
    let fine = region
        .cluster_snapshots
        .get(position)
        .is_some_and(|snapshot| {
            matches!(snapshot.status.as_str(), "available" | "failed") || snapshot.is_copy
        });
    if !fine {
        return Err(ApiError::new(
            "InvalidDBClusterSnapshotStateFault",
            format!("The DB cluster snapshot {id} is not in the available state."),
        ));
    }
    let mut snapshot = region.cluster_snapshots.remove(position);
    region.shared.remove(&scope.arn("cluster-snapshot", &id));
    call.world.cancel(scope, &subject(&id));
    note(
        call.world,
        scope,
        now,
        &id,
        "Deleted manual cluster snapshot",
    );
    snapshot.status = "deleted".to_owned();
    result(|xml| xml.element("DBClusterSnapshot", |xml| write(xml, scope, &snapshot)))
}

fn answer(call: &mut Call<'_>, id: &str) -> Answer {
    let scope = call.scope;
    let snapshot = call
        .region()
        .cluster_snapshot(id)
        .ok_or_else(|| ApiError::no_cluster_snapshot(id))?;
    result(|xml| xml.element("DBClusterSnapshot", |xml| write(xml, scope, snapshot)))
}

fn write(xml: &mut Xml, scope: &Scope, snapshot: &DbClusterSnapshot) {
    let arn = scope.arn("cluster-snapshot", &snapshot.id);
    write_as(xml, &snapshot.id, &arn, snapshot);
}

/// Another account sees the ARN as the identifier.
fn write_as(xml: &mut Xml, id: &str, arn: &str, snapshot: &DbClusterSnapshot) {
    let cluster = &snapshot.cluster;
    xml.values(
        "AvailabilityZones",
        "AvailabilityZone",
        &cluster.availability_zones,
    );
    xml.value("DBClusterSnapshotIdentifier", id);
    xml.value("DBClusterIdentifier", &cluster.id);
    xml.time("SnapshotCreateTime", snapshot.created);
    xml.value("Engine", &cluster.engine);
    xml.value("EngineMode", &cluster.engine_mode);
    xml.value("AllocatedStorage", cluster.allocated_storage);
    xml.value("Status", &snapshot.status);
    xml.value("Port", cluster.port);
    xml.value("VpcId", &snapshot.vpc_id);
    xml.time("ClusterCreateTime", cluster.created);
    xml.value("MasterUsername", &cluster.master_username);
    xml.value("EngineVersion", &cluster.engine_version);
    xml.value("SnapshotType", &snapshot.snapshot_type);
    xml.value("PercentProgress", snapshot.percent);
    xml.value("StorageEncrypted", snapshot.encrypted);
    xml.value("StorageEncryptionType", &snapshot.encryption_type);
    xml.optional("KmsKeyId", snapshot.kms_key.as_ref());
    xml.value("DBClusterSnapshotArn", arn);
    // Filled only for copies from another region or account.
    xml.optional("SourceDBClusterSnapshotArn", snapshot.source_arn.as_ref());
    xml.value("IAMDatabaseAuthenticationEnabled", cluster.iam_auth);
    instances::write_tags(xml, &snapshot.tags);
    xml.value("DbClusterResourceId", &cluster.resource_id);
}

/// A snapshot as an account sees it.
struct Seen<'a> {
    owner: &'a Scope,
    /// `shared` or `public` for those of others.
    foreign: Option<&'static str>,
    snapshot: &'a DbClusterSnapshot,
}

impl Seen<'_> {
    fn kind(&self) -> &str {
        self.foreign.unwrap_or(&self.snapshot.snapshot_type)
    }

    fn arn(&self) -> String {
        self.owner.arn("cluster-snapshot", &self.snapshot.id)
    }
}

/// `DescribeDBClusterSnapshots`: without a type the automated and the manual ones; those of others only when they
/// are asked for.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(
        call.params,
        &[
            "db-cluster-id",
            "db-cluster-snapshot-id",
            "snapshot-type",
            "engine",
        ],
    )?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params.text("DBClusterSnapshotIdentifier");
    let (cluster, kind) = (
        params.text("DBClusterIdentifier"),
        params.text("SnapshotType"),
    );
    if let Some(kind) = &kind
        && !["automated", "manual", "shared", "public", "awsbackup"].contains(&kind.as_str())
    {
        return Err(ApiError::value(format!(
            "Invalid value for SnapshotType: {kind}"
        )));
    }
    let (shared, public) = (
        params.boolean("IncludeShared")?.unwrap_or(false),
        params.boolean("IncludePublic")?.unwrap_or(false),
    );
    call.region();
    let found: Vec<Seen<'_>> = all(call.world, scope)
        .filter(|seen| match &kind {
            Some(kind) => seen.kind() == kind,
            None => match seen.kind() {
                "shared" => shared,
                "public" => public,
                kind => matches!(kind, "manual" | "automated"),
            },
        })
        .filter(|seen| {
            let Seen {
                owner, snapshot, ..
            } = seen;
            let arn = seen.arn();
            // Those of others go by their ARN.
            wanted.as_ref().is_none_or(|name| {
                arn.eq_ignore_ascii_case(name)
                    || (seen.foreign.is_none() && snapshot.id.eq_ignore_ascii_case(name))
            }) && cluster
                .as_ref()
                .is_none_or(|id| snapshot.cluster.id.eq_ignore_ascii_case(id))
                && filters.admits(
                    "db-cluster-id",
                    &[
                        &snapshot.cluster.id,
                        &owner.arn("cluster", &snapshot.cluster.id),
                    ],
                )
                && filters.admits("db-cluster-snapshot-id", &[&snapshot.id, &arn])
                && filters.admits("snapshot-type", &[seen.kind()])
                && filters.admits("engine", &[&snapshot.cluster.engine])
        })
        .collect();
    if let (Some(id), true) = (&wanted, found.is_empty()) {
        return Err(ApiError::no_cluster_snapshot(id));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            "DBClusterSnapshots",
            "DBClusterSnapshot",
            page.items,
            |xml, seen| match seen.foreign {
                None => write(xml, seen.owner, seen.snapshot),
                Some(kind) => {
                    let shown = DbClusterSnapshot {
                        snapshot_type: kind.to_owned(),
                        tags: Vec::new(),
                        ..seen.snapshot.clone()
                    };
                    write_as(xml, &seen.arn(), &seen.arn(), &shown);
                }
            },
        );
        xml.optional("Marker", page.marker);
    })
}

/// One's own snapshots in a region, and those of others that they share.
fn all<'a>(world: &'a crate::world::World, scope: &'a Scope) -> impl Iterator<Item = Seen<'a>> {
    world
        .regions
        .iter()
        .filter(|(owner, _)| owner.region == scope.region)
        .flat_map(move |(owner, region)| {
            region.cluster_snapshots.iter().filter_map(move |snapshot| {
                let foreign = if owner.account == scope.account {
                    None
                } else {
                    Some(seen_as(region, owner, &snapshot.id, &scope.account)?)
                };
                Some(Seen {
                    owner,
                    foreign,
                    snapshot,
                })
            })
        })
}
