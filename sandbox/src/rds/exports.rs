//! Exports of snapshots to S3. Nothing is written anywhere; the task goes its way.

use jiff::Timestamp;

use super::error::ApiError;
use super::names::parse_arn;
use super::page::{Filters, page};
use super::state::Region;
use super::xml::Xml;
use super::{Answer, Call, result};
use crate::kms;
use crate::world::Timeline;

/// How many exports a region runs at a time.
const AT_A_TIME: usize = 5;

/// An export task.
#[derive(Debug, Clone)]
pub(crate) struct ExportTask {
    id: String,
    source_arn: String,
    /// `SNAPSHOT` or `CLUSTER`; cluster snapshots are snapshots, too.
    source_type: &'static str,
    snapshot_time: Option<Timestamp>,
    only: Vec<String>,
    bucket: String,
    prefix: Option<String>,
    role_arn: String,
    kms_key: String,
    status: &'static str,
    percent: i64,
    gib: i64,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
}

impl ExportTask {
    fn runs(&self) -> bool {
        matches!(self.status, "STARTING" | "IN_PROGRESS" | "CANCELING")
    }
}

fn write(xml: &mut Xml, task: &ExportTask) {
    xml.value("ExportTaskIdentifier", &task.id);
    xml.value("SourceArn", &task.source_arn);
    xml.values("ExportOnly", "member", &task.only);
    if let Some(time) = task.snapshot_time {
        xml.time("SnapshotTime", time);
    }
    if let Some(time) = task.started {
        xml.time("TaskStartTime", time);
    }
    if let Some(time) = task.ended {
        xml.time("TaskEndTime", time);
    }
    xml.value("S3Bucket", &task.bucket);
    xml.optional("S3Prefix", task.prefix.as_ref());
    xml.value("IamRoleArn", &task.role_arn);
    xml.value("KmsKeyId", &task.kms_key);
    xml.value("Status", task.status);
    xml.value("PercentProgress", task.percent);
    xml.value(
        "TotalExtractedDataInGB",
        if task.status == "COMPLETE" {
            task.gib
        } else {
            0
        },
    );
    xml.value("SourceType", task.source_type);
}

fn find<'a>(region: &'a mut Region, id: &str) -> Result<&'a mut ExportTask, ApiError> {
    region
        .exports
        .iter_mut()
        .find(|task| task.id.eq_ignore_ascii_case(id))
        .ok_or_else(|| {
            ApiError::new(
                "ExportTaskNotFound",
                format!("The export task {id} doesn't exist."),
            )
        })
}

/// `StartExportTask`.
pub(crate) fn start(call: &mut Call<'_>) -> Answer {
    let (params, scope, now) = (call.params, call.scope, call.now);
    let id = params.required("ExportTaskIdentifier")?;
    let source_arn = params.required("SourceArn")?;
    let bucket = params.required("S3BucketName")?;
    let role_arn = params.required("IamRoleArn")?;
    let key = params.required("KmsKeyId")?;
    let only = params.list("ExportOnly").unwrap_or_default();
    let parsed = parse_arn(&source_arn)
        .filter(|arn| arn.scope == *scope)
        .ok_or_else(|| ApiError::value(format!("Invalid source ARN: {source_arn}")))?;
    let region = call.region();
    let (snapshot_time, gib, available) = match parsed.kind.as_str() {
        "snapshot" => {
            let snapshot = region
                .snapshot(&parsed.name)
                .ok_or_else(|| ApiError::no_snapshot(&parsed.name))?;
            (
                snapshot.created,
                snapshot.instance.allocated_storage,
                snapshot.status == "available",
            )
        }
        "cluster-snapshot" => {
            let snapshot = region
                .cluster_snapshots
                .iter()
                .find(|snapshot| snapshot.id.eq_ignore_ascii_case(&parsed.name))
                .ok_or_else(|| {
                    ApiError::new(
                        "DBClusterSnapshotNotFoundFault",
                        format!("DBClusterSnapshot {} not found.", parsed.name),
                    )
                })?;
            (
                Some(snapshot.created),
                snapshot.cluster.allocated_storage,
                true,
            )
        }
        _ => {
            return Err(ApiError::value(format!(
                "Only snapshots are exported here, not {source_arn}."
            )));
        }
    };
    if find(region, &id).is_ok() {
        return Err(ApiError::new(
            "ExportTaskAlreadyExists",
            format!("The export task {id} already exists."),
        ));
    }
    if !role_arn.contains(":role/") {
        return Err(ApiError::new(
            "IamRoleNotFound",
            format!("The IAM role {role_arn} is missing."),
        ));
    }
    let kms_key = kms::usable_by_rds(call.world, scope, &key)?;
    if !available {
        return Err(ApiError::new(
            "InvalidExportSourceState",
            format!("The source {source_arn} is not available."),
        ));
    }
    let region = call.region();
    if region.exports.iter().filter(|task| task.runs()).count() >= AT_A_TIME {
        return Err(ApiError::value(format!(
            "You've reached the limit of {AT_A_TIME} concurrent export tasks."
        )));
    }
    let task = ExportTask {
        id: id.clone(),
        source_arn,
        source_type: "SNAPSHOT",
        snapshot_time,
        only,
        bucket,
        prefix: params.text("S3Prefix"),
        role_arn,
        kms_key,
        status: "STARTING",
        percent: 0,
        gib,
        started: None,
        ended: None,
    };
    let answer = result(|xml| write(xml, &task));
    region.exports.push(task);
    let size = u64::try_from(gib).unwrap_or(0);
    let (waits, takes) = (
        call.world.takes(&format!("export-start/{id}"), (60, 300)),
        call.world
            .takes(&format!("export/{id}"), (600 + 10 * size, 1200 + 10 * size)),
    );
    let (one, two) = (id.clone(), id.clone());
    let timeline = Timeline::new(scope, &format!("export:{id}"))
        .then(waits, move |moment| {
            let now = moment.now;
            if let Ok(task) = find(moment.region(), &one) {
                task.status = "IN_PROGRESS";
                task.percent = 10;
                task.started = Some(now);
            }
        })
        .then(takes, move |moment| {
            let now = moment.now;
            if let Ok(task) = find(moment.region(), &two) {
                task.status = "COMPLETE";
                task.percent = 100;
                task.ended = Some(now);
            }
        });
    call.world.schedule(now, timeline);
    answer
}

/// `CancelExportTask`: while it runs.
pub(crate) fn cancel(call: &mut Call<'_>) -> Answer {
    let (scope, now) = (call.scope, call.now);
    let id = call.params.required("ExportTaskIdentifier")?;
    let task = find(call.region(), &id)?;
    if !matches!(task.status, "STARTING" | "IN_PROGRESS") {
        return Err(ApiError::new(
            "InvalidExportTaskStateFault",
            format!(
                "You can't cancel the export task {id} because its status is {}.",
                task.status
            ),
        ));
    }
    task.status = "CANCELING";
    let answer = result(|xml| write(xml, task));
    let subject = format!("export:{}", task.id);
    call.world.cancel(scope, &subject);
    let took = call.world.takes(&format!("export-cancel/{id}"), (30, 120));
    call.world.schedule(
        now,
        Timeline::new(scope, &subject).then(took, move |moment| {
            let now = moment.now;
            if let Ok(task) = find(moment.region(), &id) {
                task.status = "CANCELED";
                task.ended = Some(now);
            }
        }),
    );
    answer
}

/// `DescribeExportTasks`.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(
        call.params,
        &[
            "export-task-identifier",
            "s3-bucket",
            "source-arn",
            "status",
        ],
    )?;
    let (params, limit) = (call.params, call.world.knobs.page_limit);
    let (wanted, source, kind) = (
        params.text("ExportTaskIdentifier"),
        params.text("SourceArn"),
        params.text("SourceType"),
    );
    let region = call.region();
    if let Some(id) = &wanted {
        find(region, id)?;
    }
    let found: Vec<&ExportTask> = region
        .exports
        .iter()
        .filter(|task| {
            wanted
                .as_ref()
                .is_none_or(|id| id.eq_ignore_ascii_case(&task.id))
                && source.as_ref().is_none_or(|arn| *arn == task.source_arn)
                && kind.as_ref().is_none_or(|kind| kind == task.source_type)
                && filters.admits("export-task-identifier", &[&task.id])
                && filters.admits("s3-bucket", &[&task.bucket])
                && filters.admits("source-arn", &[&task.source_arn])
                && filters.admits("status", &[task.status])
        })
        .collect();
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.optional("Marker", page.marker.as_ref());
        xml.list("ExportTasks", "ExportTask", page.items, write);
    })
}
