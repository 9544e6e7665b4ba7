//! Database activity streams: of Aurora clusters, and of Oracle and SQL Server instances.

use super::error::ApiError;
use super::names::parse_arn;
use super::state::Region;
use super::xml::Xml;
use super::{Answer, Call, instances, result};
use crate::kms;
use crate::world::Timeline;

/// The activity stream of an instance or a cluster.
#[derive(Debug, Clone)]
pub(crate) struct ActivityStream {
    /// `starting`, `started`, `stopping`.
    status: &'static str,
    mode: String,
    kms_key: String,
    kinesis: String,
}

/// Writes what Describe shows of it.
pub(crate) fn write(xml: &mut Xml, region: &Region, resource_id: &str) {
    let stream = region.activity_streams.get(resource_id);
    xml.value(
        "ActivityStreamStatus",
        stream.map_or("stopped", |stream| stream.status),
    );
    if let Some(stream) = stream {
        xml.value("ActivityStreamKmsKeyId", &stream.kms_key);
        xml.value("ActivityStreamKinesisStreamName", &stream.kinesis);
        xml.value("ActivityStreamMode", &stream.mode);
    }
}

/// What an ARN means: resource id, and whether it has activity streams and is available.
struct Target {
    resource_id: String,
    id: String,
    offered: bool,
    available: bool,
    is_cluster: bool,
}

fn target(call: &mut Call<'_>) -> Result<Target, ApiError> {
    let scope = call.scope.clone();
    let arn = call.params.required("ResourceArn")?;
    let parsed = parse_arn(&arn)
        .filter(|parsed| parsed.scope == scope)
        .ok_or_else(|| {
            ApiError::new(
                "ResourceNotFoundFault",
                format!("The specified resource {arn} is not found."),
            )
        })?;
    let region = call.region();
    match parsed.kind.as_str() {
        "cluster" => {
            let cluster = region
                .clusters
                .iter()
                .find(|cluster| cluster.id.eq_ignore_ascii_case(&parsed.name))
                .ok_or_else(|| ApiError::no_cluster(&parsed.name))?;
            Ok(Target {
                resource_id: cluster.resource_id.clone(),
                id: cluster.id.clone(),
                offered: cluster.engine.starts_with("aurora"),
                available: cluster.status == "available",
                is_cluster: true,
            })
        }
        "db" => {
            let instance = instances::find(region, &parsed.name)?;
            Ok(Target {
                resource_id: instance.resource_id.clone(),
                id: instance.id.clone(),
                offered: instance.engine.starts_with("oracle")
                    || instance.engine.starts_with("sqlserver"),
                available: instance.is_ready(),
                is_cluster: false,
            })
        }
        _ => Err(ApiError::value(format!(
            "{arn} has no database activity stream."
        ))),
    }
}

fn state(target: &Target, why: &str) -> ApiError {
    let (code, what) = if target.is_cluster {
        ("InvalidDBClusterStateFault", "DB cluster")
    } else {
        ("InvalidDBInstanceState", "DB instance")
    };
    ApiError::new(code, format!("The {what} {} {why}.", target.id))
}

/// `StartActivityStream`.
pub(crate) fn start(call: &mut Call<'_>) -> Answer {
    let (params, scope, now) = (call.params, call.scope, call.now);
    let mode = params.required("Mode")?;
    if !["sync", "async"].contains(&mode.as_str()) {
        return Err(ApiError::value(format!("Invalid mode: {mode}")));
    }
    let key = params.required("KmsKeyId")?;
    let immediately = params.boolean("ApplyImmediately")?.unwrap_or(false);
    let target = target(call)?;
    let kms_key = kms::usable_by_rds(call.world, scope, &key)?;
    if !target.available {
        return Err(state(&target, "is not in available state"));
    }
    if call
        .region()
        .activity_streams
        .contains_key(&target.resource_id)
    {
        return Err(state(&target, "has a database activity stream already"));
    }
    if !target.offered || (mode == "sync" && !target.is_cluster) {
        return Err(ApiError::combination(format!(
            "A database activity stream in the mode {mode} isn't supported for {}.",
            target.id
        )));
    }
    let stream = ActivityStream {
        status: "starting",
        kinesis: format!("aws-rds-das-{}", target.resource_id),
        mode,
        kms_key,
    };
    let answer = result(|xml| {
        xml.value("KmsKeyId", &stream.kms_key);
        xml.value("KinesisStreamName", &stream.kinesis);
        xml.value("Status", stream.status);
        xml.value("Mode", &stream.mode);
        xml.value("ApplyImmediately", immediately);
    });
    call.region()
        .activity_streams
        .insert(target.resource_id.clone(), stream);
    let took = call
        .world
        .takes(&format!("stream/{}", target.id), (120, 300));
    let subject = target.resource_id.clone();
    call.world.schedule(
        now,
        Timeline::new(scope, &format!("stream:{}", target.resource_id)).then(took, move |moment| {
            if let Some(stream) = moment.region().activity_streams.get_mut(&subject) {
                stream.status = "started";
            }
        }),
    );
    answer
}

/// `StopActivityStream`.
pub(crate) fn stop(call: &mut Call<'_>) -> Answer {
    let (scope, now) = (call.scope, call.now);
    let target = target(call)?;
    let stream = call
        .region()
        .activity_streams
        .get_mut(&target.resource_id)
        .filter(|stream| stream.status == "started")
        .ok_or_else(|| state(&target, "has no started database activity stream"))?;
    stream.status = "stopping";
    let answer = result(|xml| {
        xml.value("KmsKeyId", &stream.kms_key);
        xml.value("KinesisStreamName", &stream.kinesis);
        xml.value("Status", stream.status);
    });
    let took = call
        .world
        .takes(&format!("stream/{}", target.id), (60, 180));
    let subject = target.resource_id.clone();
    call.world.schedule(
        now,
        Timeline::new(scope, &format!("stream:{}", target.resource_id)).then(took, move |moment| {
            moment.region().activity_streams.remove(&subject);
        }),
    );
    answer
}
