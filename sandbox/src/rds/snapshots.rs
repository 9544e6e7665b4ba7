//! DB snapshots: create, copy, delete, describe.

use super::error::ApiError;
use super::names::{parse_arn, snapshot_id};
use super::page::{Filters, page};
use super::state::{DbSnapshot, Region, Scope, Tag};
use super::xml::Xml;
use super::{Answer, Call, instances, result, sharing, tags};
use crate::clock::plus;
use crate::kms;
use crate::world::{JobOutput, Moment, Timeline};

fn arn(scope: &Scope, snapshot: &DbSnapshot) -> String {
    scope.arn("snapshot", &snapshot.id)
}

/// Writes a DB snapshot.
fn write(xml: &mut Xml, scope: &Scope, snapshot: &DbSnapshot) {
    write_as(xml, &arn(scope, snapshot), snapshot);
}

fn write_as(xml: &mut Xml, arn: &str, snapshot: &DbSnapshot) {
    let instance = &snapshot.instance;
    xml.value("DBSnapshotIdentifier", &snapshot.id);
    xml.value("DBInstanceIdentifier", &instance.id);
    if let Some(created) = snapshot.created {
        xml.time("SnapshotCreateTime", created);
    }
    xml.value("Engine", &instance.engine);
    xml.value("AllocatedStorage", instance.allocated_storage);
    xml.value("Status", &snapshot.status);
    xml.value("Port", instance.port);
    xml.value("AvailabilityZone", &instance.availability_zone);
    xml.value("VpcId", &snapshot.vpc_id);
    if let Some(created) = instance.created {
        xml.time("InstanceCreateTime", created);
    }
    xml.value("MasterUsername", &instance.master_username);
    xml.value("EngineVersion", &instance.engine_version);
    xml.value("LicenseModel", &instance.license_model);
    xml.value("SnapshotType", &snapshot.snapshot_type);
    xml.optional("Iops", instance.iops);
    xml.optional("StorageThroughput", instance.throughput);
    xml.value("OptionGroupName", &instance.option_group);
    xml.value("PercentProgress", snapshot.percent);
    // Filled only for copies from another region or account.
    xml.optional("SourceRegion", snapshot.source_region.as_ref());
    xml.optional(
        "SourceDBSnapshotIdentifier",
        snapshot.source_snapshot.as_ref(),
    );
    xml.value("StorageType", &instance.storage_type);
    xml.value("Encrypted", snapshot.encrypted);
    xml.value("StorageEncryptionType", &snapshot.encryption_type);
    xml.value("BackupRetentionPeriod", instance.backup_retention);
    xml.value("PreferredBackupWindow", &instance.backup_window);
    xml.optional("KmsKeyId", snapshot.kms_key.as_ref());
    xml.value("DBSnapshotArn", arn);
    xml.optional("Timezone", instance.timezone.as_ref());
    xml.value("IAMDatabaseAuthenticationEnabled", instance.iam_auth);
    xml.list(
        "ProcessorFeatures",
        "ProcessorFeature",
        &instance.processor_features,
        |xml, (name, value)| {
            xml.value("Name", name);
            xml.value("Value", value);
        },
    );
    xml.value("DbiResourceId", &instance.resource_id);
    instances::write_tags(xml, &snapshot.tags);
    if let Some(created) = snapshot.original_created {
        xml.time("OriginalSnapshotCreateTime", created);
        xml.time("SnapshotDatabaseTime", created);
    }
    xml.value("SnapshotTarget", &instance.backup_target);
    xml.value("DedicatedLogVolume", instance.dedicated_log_volume);
}

fn answer(call: &mut Call<'_>, id: &str) -> Answer {
    let scope = call.scope;
    let snapshot = call
        .region()
        .snapshot(id)
        .ok_or_else(|| ApiError::no_snapshot(id))?;
    result(|xml| xml.element("DBSnapshot", |xml| write(xml, scope, snapshot)))
}

/// The snapshot that a parameter names, by identifier or ARN: here, in another region of the account, or shared
/// by another account.
pub(crate) fn find<'a>(
    call: &'a mut Call<'_>,
    reference: &str,
) -> Result<(Scope, &'a DbSnapshot), ApiError> {
    let (scope, name) = match parse_arn(reference) {
        Some(arn) if arn.kind == "snapshot" => (arn.scope, arn.name),
        Some(_) => {
            return Err(ApiError::value(format!(
                "Invalid snapshot ARN: {reference}"
            )));
        }
        None => (call.scope.clone(), reference.to_owned()),
    };
    let foreign = scope.account != call.scope.account;
    let account = call.scope.account.clone();
    let region = call.world.region_mut(&scope);
    if foreign && sharing::seen_as(region, &scope, &name, &account).is_none() {
        return Err(ApiError::no_snapshot(reference));
    }
    region
        .snapshot(&name)
        .map(|snapshot| (scope, snapshot))
        .ok_or_else(|| ApiError::no_snapshot(reference))
}

/// The snapshot that a parameter names in the region that was called; other regions have none for a restore
/// or a deletion.
pub(crate) fn find_here<'a>(
    call: &'a mut Call<'_>,
    reference: &str,
) -> Result<&'a DbSnapshot, ApiError> {
    let here = call.scope.clone();
    let (scope, snapshot) = find(call, reference)?;
    if scope == here {
        Ok(snapshot)
    } else {
        Err(ApiError::no_snapshot(reference))
    }
}

/// The snapshot that a restore names: one's own, or a shared one that is not encrypted. It comes without the
/// tags of its owner.
pub(crate) fn find_restorable(
    call: &mut Call<'_>,
    reference: &str,
) -> Result<DbSnapshot, ApiError> {
    let here = call.scope.clone();
    let (scope, snapshot) = find(call, reference)?;
    if scope.region != here.region {
        return Err(ApiError::no_snapshot(reference));
    }
    if scope.account == here.account {
        return Ok(snapshot.clone());
    }
    if snapshot.encrypted {
        return Err(ApiError::new(
            "InvalidDBSnapshotState",
            format!(
                "The snapshot {reference} is shared and encrypted: it can't be restored directly. Copy it first."
            ),
        ));
    }
    Ok(DbSnapshot {
        source_tags: Vec::new(),
        ..snapshot.clone()
    })
}

/// Manual snapshots count against the quota from the moment they are asked for.
fn check_quota(region: &Region) -> Result<(), ApiError> {
    let manual = region
        .snapshots
        .iter()
        .filter(|snapshot| snapshot.snapshot_type == "manual")
        .count();
    if i64::try_from(manual).unwrap_or(i64::MAX) >= region.quotas.manual_snapshots {
        return Err(ApiError::new(
            "SnapshotQuotaExceeded",
            format!(
                "Cannot create more than {} manual snapshots.",
                region.quotas.manual_snapshots
            ),
        ));
    }
    Ok(())
}

fn check_free(region: &Region, id: &str) -> Result<(), ApiError> {
    match region.snapshot(id) {
        Some(_) => Err(ApiError::new(
            "DBSnapshotAlreadyExists",
            format!(
                "Cannot create the snapshot because a snapshot with the identifier {id} already exists."
            ),
        )),
        None => Ok(()),
    }
}

/// `CreateDBSnapshot`: the source must be `available` or `storage-optimization`; it is `backing-up` until
/// the snapshot is complete.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let id = snapshot_id(
        "DBSnapshotIdentifier",
        &call.params.required("DBSnapshotIdentifier")?,
    )?;
    let reference = call.params.required("DBInstanceIdentifier")?;
    let given = tags::from_request(call.params, "Tags")?;
    let instance = instances::find(call.region(), &reference)?.clone();
    if instance.is_cluster_member() {
        return Err(ApiError::value(format!(
            "The DB instance {} is a member of a cluster; create a DB cluster snapshot.",
            instance.id
        )));
    }
    check_free(call.region(), &id)?;
    if !instance.is_ready() {
        return Err(ApiError::instance_state(format!(
            "Cannot create a snapshot because the database instance {} is not currently in the available state.",
            instance.id
        )));
    }
    check_quota(call.region())?;

    begin(call, &id, &instance.resource_id, given);
    answer(call, &id)
}

/// Starts a manual snapshot of an instance whose state has been checked.
pub(crate) fn begin(
    call: &mut Call<'_>,
    id: &str,
    resource_id: &str,
    given: Option<Vec<Tag>>,
) -> u64 {
    let (scope, now) = (call.scope, call.now);
    let Some(before) = call.region().by_resource(resource_id).cloned() else {
        return 0;
    };
    let took = call
        .world
        .takes(&format!("snapshot/{}", before.id), (120, 300));
    let mut recorded = before.clone();
    recorded.stale = None;
    recorded.server = None;
    // Instance tags go to the snapshot only with CopyTagsToSnapshot; tags of the call replace them.
    let tags = given.unwrap_or_else(|| {
        if before.copy_tags {
            before.tags.clone()
        } else {
            Vec::new()
        }
    });
    let region = call.region();
    let vpc_id = region.vpc(&before.subnet_group);
    region.snapshots.push(DbSnapshot {
        id: id.to_owned(),
        status: "creating".to_owned(),
        snapshot_type: "manual".to_owned(),
        percent: 0,
        created: None,
        original_created: None,
        source_tags: before.tags.clone(),
        tags,
        vpc_id,
        encrypted: before.encrypted,
        encryption_type: before.encryption_type.clone(),
        kms_key: before.kms_key.clone(),
        source_region: None,
        source_snapshot: None,
        is_copy: false,
        finishes: plus(now, i64::try_from(took).unwrap_or(i64::MAX)),
        copy: None,
        instance: Box::new(recorded),
    });
    if let Some(instance) = region.by_resource_mut(resource_id)
        && instance.is_ready()
    {
        instance.status = "backing-up".to_owned();
        call.world
            .lag(scope, now, resource_id, Some(before.clone()));
    }
    call.world.event(
        scope,
        now,
        "db-snapshot",
        id,
        "creation",
        "Creating manual snapshot".to_owned(),
    );

    let quarter = took / 4;
    let (one, two, three, four, five) = (
        id.to_owned(),
        id.to_owned(),
        id.to_owned(),
        id.to_owned(),
        id.to_owned(),
    );
    let (rid, failed) = (resource_id.to_owned(), resource_id.to_owned());
    let timeline = Timeline::new(scope, &format!("snapshot:{id}"))
        .then(0, move |moment| {
            let server = moment
                .region()
                .by_resource(&rid)
                .and_then(|instance| instance.server.clone());
            if let (Some(engines), Some(server)) = (moment.world.engines.clone(), server) {
                moment.start(async move { engines.snapshot(&server).await.map(JobOutput::Copy) });
            }
        })
        .then(quarter, move |moment| progress(moment, &one, 25))
        .then(quarter, move |moment| progress(moment, &two, 50))
        .then(quarter, move |moment| progress(moment, &three, 75))
        .when_done(took - 3 * quarter, {
            let rid = resource_id.to_owned();
            move |moment| {
                let copy = moment.outputs.iter().find_map(|output| match output {
                    JobOutput::Copy(copy) => Some(copy.clone()),
                    JobOutput::Done | JobOutput::Server(_) | JobOutput::Address(_) => None,
                });
                complete(moment, &four, copy);
                back_to_available(moment, &rid);
            }
        })
        .on_failure(move |moment, error| {
            if let Some(snapshot) = moment.region().snapshot_mut(&five) {
                snapshot.status = "failed".to_owned();
            }
            let (scope, now) = (moment.scope.clone(), moment.now);
            moment.world.event(
                &scope,
                now,
                "db-snapshot",
                &five,
                "failure",
                format!("The snapshot failed: {error}"),
            );
            back_to_available(moment, &failed);
        });
    call.world.schedule(now, timeline);
    took
}

fn back_to_available(moment: &mut Moment<'_>, resource_id: &str) {
    if let Some(instance) = moment.region().by_resource_mut(resource_id)
        && instance.status == "backing-up"
    {
        instance.status = "available".to_owned();
    }
}

fn progress(moment: &mut Moment<'_>, id: &str, percent: i64) {
    if let Some(snapshot) = moment.region().snapshot_mut(id) {
        snapshot.percent = percent;
    }
}

fn complete(moment: &mut Moment<'_>, id: &str, copy: Option<crate::engine::CopyId>) {
    let (scope, now) = (moment.scope.clone(), moment.now);
    if let Some(snapshot) = moment.region().snapshot_mut(id) {
        snapshot.status = "available".to_owned();
        snapshot.percent = 100;
        snapshot.created = Some(now);
        // A copy keeps the original's time and gets a creation time of its own.
        snapshot.original_created.get_or_insert(now);
        if copy.is_some() {
            snapshot.copy = copy;
        }
        moment.world.event(
            &scope,
            now,
            "db-snapshot",
            id,
            "creation",
            "Manual snapshot created".to_owned(),
        );
    }
}

/// `CopyDBSnapshot`: a key on an unencrypted source makes an encrypted copy, on an encrypted one it
/// re-keys; without a key the copy is as its source. Copies of one instance queue at 0 %.
pub(crate) fn copy(call: &mut Call<'_>) -> Answer {
    let target = snapshot_id(
        "TargetDBSnapshotIdentifier",
        &call.params.required("TargetDBSnapshotIdentifier")?,
    )?;
    let reference = call.params.required("SourceDBSnapshotIdentifier")?;
    let given = tags::from_request(call.params, "Tags")?;
    let copy_tags = call.params.boolean("CopyTags")?.unwrap_or(false);
    let key = call.params.text("KmsKeyId");
    let (source_scope, source) = find(call, &reference)?;
    let source = source.clone();
    check_free(call.region(), &target)?;
    let cross_region = source_scope.region != call.scope.region;
    let foreign = source_scope.account != call.scope.account;
    if source.status != "available" {
        return Err(ApiError::new(
            "InvalidDBSnapshotState",
            format!(
                "The source snapshot {} is not in the available state.",
                source.id
            ),
        ));
    }
    // Keys live in one region: an encrypted snapshot leaves it only under a key of the destination.
    if cross_region && source.encrypted && key.is_none() {
        return Err(ApiError::combination(
            "A KmsKeyId of the destination region must be specified to copy an encrypted snapshot to another region.",
        ));
    }
    if foreign && source.encrypted && key.is_none() {
        return Err(ApiError::combination(
            "A KmsKeyId must be specified to copy an encrypted snapshot that is shared by another account.",
        ));
    }
    // The source has to be read, too.
    if let Some(key) = &source.kms_key {
        kms::check_readable(call.world, &source_scope, key)?;
    }
    let key = match &key {
        Some(key) => Some(kms::usable_by_rds(call.world, call.scope, key)?),
        None => source.kms_key.clone(),
    };
    check_quota(call.region())?;
    let region = call.region();
    let in_flight: Vec<&DbSnapshot> = region
        .snapshots
        .iter()
        .filter(|snapshot| snapshot.is_copy && snapshot.status == "creating")
        .collect();
    if i64::try_from(in_flight.len()).unwrap_or(i64::MAX) >= region.quotas.copies_in_flight {
        return Err(ApiError::new(
            "SnapshotQuotaExceeded",
            format!(
                "Cannot copy more than {} snapshots in parallel in this region.",
                region.quotas.copies_in_flight
            ),
        ));
    }
    let queue_until = in_flight
        .iter()
        .filter(|snapshot| snapshot.instance.resource_id == source.instance.resource_id)
        .map(|snapshot| snapshot.finishes)
        .max();

    let (scope, now) = (call.scope, call.now);
    let waits = queue_until.map_or(0, |until| {
        u64::try_from(until.duration_since(now).as_secs()).unwrap_or(0)
    });
    let size = u64::try_from(source.instance.allocated_storage / 4).unwrap_or(0);
    let took = call.world.takes(
        &format!("copy/{}", source.instance.id),
        (120 + size, 300 + size),
    );
    let mut instance = source.instance.clone();
    if cross_region || foreign {
        // Option groups leave neither their account nor their region.
        instance.option_group =
            super::catalog::default_option_group(&instance.engine, &instance.engine_version);
    }
    if cross_region {
        instance.availability_zone = format!("{}a", scope.region);
    }
    let source_arn = source_scope.arn("snapshot", &source.id);
    let region = call.region();
    let vpc_id = if cross_region || foreign {
        region.default_vpc.clone()
    } else {
        source.vpc_id.clone()
    };
    region.snapshots.push(DbSnapshot {
        id: target.clone(),
        status: "creating".to_owned(),
        snapshot_type: "manual".to_owned(),
        percent: 0,
        created: None,
        original_created: source.original_created,
        instance,
        source_tags: if foreign {
            Vec::new()
        } else {
            source.source_tags.clone()
        },
        // Tags of the call win over CopyTags.
        tags: given.unwrap_or_else(|| {
            if copy_tags && !foreign {
                source.tags.clone()
            } else {
                Vec::new()
            }
        }),
        vpc_id,
        encrypted: key.is_some(),
        encryption_type: if key.is_some() {
            "sse-kms".to_owned()
        } else {
            source.encryption_type.clone()
        },
        kms_key: key,
        source_region: cross_region.then(|| source_scope.region.clone()),
        source_snapshot: (cross_region || foreign).then_some(source_arn),
        is_copy: true,
        finishes: plus(now, i64::try_from(waits + took).unwrap_or(i64::MAX)),
        copy: source.copy.clone(),
    });
    let source_id = source.id.clone();
    call.world.event(
        scope,
        now,
        "db-snapshot",
        &target,
        "notification",
        format!(
            "Started copy of snapshot {source_id} from region {}",
            source_scope.region
        ),
    );
    let (one, two, three, last) = (
        target.clone(),
        target.clone(),
        target.clone(),
        target.clone(),
    );
    let quarter = took / 4;
    let timeline = Timeline::new(scope, &format!("snapshot:{target}"))
        .then(waits + quarter, move |moment| progress(moment, &one, 25))
        .then(quarter, move |moment| progress(moment, &two, 50))
        .then(quarter, move |moment| progress(moment, &three, 75))
        .then(took - 3 * quarter, move |moment| {
            // The source may have gone while it was being copied.
            let still_there = moment
                .world
                .region_mut(&source_scope)
                .snapshot(&source_id)
                .is_some();
            let (scope, now) = (moment.scope.clone(), moment.now);
            if still_there {
                complete(moment, &last, None);
                moment.world.event(
                    &scope,
                    now,
                    "db-snapshot",
                    &last,
                    "notification",
                    format!(
                        "Finished copy of snapshot {source_id} from region {}",
                        source_scope.region
                    ),
                );
            } else if let Some(snapshot) = moment.region().snapshot_mut(&last) {
                snapshot.status = "failed".to_owned();
                moment.world.event(
                    &scope,
                    now,
                    "db-snapshot",
                    &last,
                    "failure",
                    format!("The copy failed because the source snapshot {source_id} was deleted."),
                );
            }
        });
    call.world.schedule(now, timeline);
    answer(call, &target)
}

/// `DeleteDBSnapshot`: an available one is deleted, a copy in progress is cancelled.
pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let reference = call.params.required("DBSnapshotIdentifier")?;
    let id = find_here(call, &reference)?.id.clone();
    let scope = call.scope;
    let region = call.region();
    let position = region
        .snapshots
        .iter()
        .position(|snapshot| snapshot.id == id)
        .ok_or_else(|| ApiError::no_snapshot(&id))?;
    let fine = region.snapshots.get(position).is_some_and(|snapshot| {
        matches!(snapshot.status.as_str(), "available" | "failed")
            || (snapshot.is_copy && snapshot.status == "creating")
    });
    if !fine {
        return Err(ApiError::new(
            "InvalidDBSnapshotState",
            format!("The snapshot {id} is not in the available state."),
        ));
    }
    let mut snapshot = region.snapshots.remove(position);
    region.shared.remove(&scope.arn("snapshot", &id));
    let cancelled = snapshot.status == "creating";
    // Copies share their data: it goes with the last snapshot that holds it.
    let data = snapshot.copy.take();
    let shared = data.is_some()
        && call
            .world
            .regions
            .values()
            .flat_map(|region| &region.snapshots)
            .any(|other| other.copy == data);
    if let (Some(data), Some(engines), false) = (data, call.world.engines.clone(), shared) {
        call.world.schedule(
            call.now,
            Timeline::new(scope, &format!("deleted-snapshot:{id}"))
                .then(0, move |moment| {
                    moment.start(async move {
                        engines.delete_copy(&data).await.map(|()| JobOutput::Done)
                    });
                })
                .when_done(0, |_| {}),
        );
    }
    call.world.cancel(scope, &format!("snapshot:{id}"));
    let text = if cancelled {
        "Cancelled snapshot copy request"
    } else {
        "Deleted manual snapshot"
    };
    call.world.event(
        scope,
        call.now,
        "db-snapshot",
        &id,
        "deletion",
        text.to_owned(),
    );
    snapshot.status = "deleted".to_owned();
    result(|xml| xml.element("DBSnapshot", |xml| write(xml, scope, &snapshot)))
}

/// `DescribeDBSnapshots`: without a type the automated and the manual ones; naming an automated one
/// (`rds:…`) needs the type.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(
        call.params,
        &[
            "db-instance-id",
            "db-snapshot-id",
            "dbi-resource-id",
            "snapshot-type",
            "engine",
        ],
    )?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let named = params.text("DBSnapshotIdentifier");
    let wanted = named.clone().map(|reference| match parse_arn(&reference) {
        Some(arn) if arn.scope == *scope => arn.name,
        _ => reference,
    });
    let instance = params.text("DBInstanceIdentifier");
    let resource = params.text("DbiResourceId");
    let kind = params.text("SnapshotType");
    if let Some(kind) = &kind
        && !["automated", "manual", "shared", "public", "awsbackup"].contains(&kind.as_str())
    {
        return Err(ApiError::value(format!(
            "Invalid value for SnapshotType: {kind}"
        )));
    }
    // Snapshots of others, only when they are asked for.
    let with_others = |wish: &str, type_name: &str| {
        Ok::<bool, ApiError>(
            kind.as_deref() == Some(type_name)
                || (kind.is_none() && params.boolean(wish)?.unwrap_or(false)),
        )
    };
    let shared = with_others("IncludeShared", "shared")?;
    let public = with_others("IncludePublic", "public")?;
    call.region();
    let own = call
        .world
        .regions
        .get(scope)
        .into_iter()
        .flat_map(|region| &region.snapshots)
        .filter(|snapshot| match &kind {
            Some(kind) => snapshot.snapshot_type == *kind,
            None => matches!(snapshot.snapshot_type.as_str(), "manual" | "automated"),
        })
        .filter(|snapshot| {
            wanted
                .as_ref()
                .is_none_or(|id| snapshot.id.eq_ignore_ascii_case(id))
        })
        .map(|snapshot| (scope, None, snapshot));
    let theirs = sharing::from_others(call.world, scope)
        .filter(|(owner, seen_as, snapshot)| {
            let arn = arn(owner, snapshot);
            (if *seen_as == "shared" { shared } else { public })
                && named.as_ref().is_none_or(|named| *named == arn)
        })
        .map(|(owner, seen_as, snapshot)| (owner, Some(seen_as), snapshot));
    let found: Vec<(&Scope, Option<&str>, &DbSnapshot)> = own
        .chain(theirs)
        .filter(|(_, _, snapshot)| {
            instance
                .as_ref()
                .is_none_or(|id| snapshot.instance.id.eq_ignore_ascii_case(id))
        })
        .filter(|(_, _, snapshot)| {
            resource
                .as_ref()
                .is_none_or(|id| snapshot.instance.resource_id == *id)
        })
        .filter(|(owner, seen_as, snapshot)| {
            filters.admits(
                "db-instance-id",
                &[
                    &snapshot.instance.id,
                    &owner.arn("db", &snapshot.instance.id),
                ],
            ) && filters.admits("db-snapshot-id", &[&snapshot.id, &arn(owner, snapshot)])
                && filters.admits("dbi-resource-id", &[&snapshot.instance.resource_id])
                && filters.admits(
                    "snapshot-type",
                    &[seen_as.unwrap_or(&snapshot.snapshot_type)],
                )
                && filters.admits("engine", &[&snapshot.instance.engine])
        })
        .collect();
    if let (Some(id), true) = (&wanted, found.is_empty()) {
        return Err(ApiError::no_snapshot(id));
    }
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            "DBSnapshots",
            "DBSnapshot",
            page.items,
            |xml, (owner, seen_as, snapshot)| match seen_as {
                None => write(xml, owner, snapshot),
                // Another account sees the ARN as the identifier, and no tags.
                Some(seen_as) => {
                    let shown = DbSnapshot {
                        id: arn(owner, snapshot),
                        snapshot_type: seen_as.to_owned(),
                        tags: Vec::new(),
                        ..snapshot.clone()
                    };
                    write_as(xml, &arn(owner, snapshot), &shown);
                }
            },
        );
        xml.optional("Marker", page.marker);
    })
}
