//! DB clusters: Aurora's, whose members come and go one by one, and Multi-AZ DB clusters, whose three instances
//! come and go with them.
//!
//! | module | what it does |
//! |---|---|
//! | `state` | what there is to know of a cluster |
//! | `describe`, `endpoints` | the reading side |
//! | `request`, `create`, `restore` | new clusters |
//! | `modify`, `lifecycle`, `roles`, `data_api` | changes of a cluster |
//! | `snapshots`, `backups` | its snapshots and automated backups |
//! | `global` | global clusters |

pub(crate) mod backups;
pub(crate) mod create;
pub(crate) mod data_api;
pub(crate) mod describe;
pub(crate) mod endpoints;
pub(crate) mod global;
pub(crate) mod lifecycle;
pub(crate) mod modify;
mod request;
pub(crate) mod restore;
pub(crate) mod roles;
pub(crate) mod snapshots;
pub(crate) mod state;

use jiff::Timestamp;

use super::Call;
use super::create::member::members;
use super::error::ApiError;
use super::names::parse_arn;
use super::state::{DbInstance, Region, Scope};
use crate::clock::plus;
use crate::world::{Moment, World};

pub(crate) use self::state::DbCluster;
use self::state::StaleCluster;

/// The cluster that a parameter names, by identifier or ARN, as it truly is.
pub(crate) fn find<'a>(region: &'a Region, reference: &str) -> Result<&'a DbCluster, ApiError> {
    let name = match parse_arn(reference) {
        Some(arn) if arn.kind == "cluster" => arn.name,
        _ => reference.to_owned(),
    };
    region
        .cluster(&name)
        .filter(|cluster| !cluster.hidden)
        .ok_or_else(|| ApiError::no_cluster(&name))
}

/// The cluster that the call is about.
fn wanted(call: &mut Call<'_>) -> Result<DbCluster, ApiError> {
    let reference = call.params.required("DBClusterIdentifier")?;
    Ok(find(call.region(), &reference)?.clone())
}

/// Most changes are taken only in this status.
fn check_available(cluster: &DbCluster) -> Result<(), ApiError> {
    if cluster.status == "available" {
        Ok(())
    } else {
        Err(ApiError::cluster_state(format!(
            "DB cluster {} is not in available state.",
            cluster.id
        )))
    }
}

/// Sets a status now; Describe may go on showing the one before for a while.
fn begin(call: &mut Call<'_>, before: &DbCluster, status: &str) -> DbCluster {
    let mut shown = before.clone();
    if let Some(truth) = call.region().cluster_by_resource_mut(&before.resource_id) {
        status.clone_into(&mut truth.status);
        shown = truth.clone();
    }
    let (scope, now) = (call.scope, call.now);
    lag(
        call.world,
        scope,
        now,
        &before.resource_id,
        Some(before.clone()),
    );
    shown
}

/// Lets Describe show `view` for a drawn while, as for instances.
fn lag(
    world: &mut World,
    scope: &Scope,
    now: Timestamp,
    resource_id: &str,
    view: Option<DbCluster>,
) {
    let lag = world
        .dice
        .between(&format!("lag/{resource_id}"), world.knobs.describe_lag);
    if lag > 0
        && let Some(cluster) = world.region_mut(scope).cluster_by_resource_mut(resource_id)
        && cluster
            .stale
            .as_ref()
            .is_none_or(|stale| stale.until <= now)
    {
        let view = view.map(|mut view| {
            view.stale = None;
            Box::new(view)
        });
        cluster.stale = Some(StaleCluster {
            until: plus(now, i64::try_from(lag).unwrap_or(i64::MAX)),
            view,
        });
    }
}

/// The cluster that a timeline is about, if it still exists.
fn cluster_of<'a>(moment: &'a mut Moment<'_>) -> Option<&'a mut DbCluster> {
    let subject = moment.subject.clone();
    moment.region().cluster_by_resource_mut(&subject)
}

/// Sets the status of a timeline's cluster.
fn set_status(moment: &mut Moment<'_>, status: &str) {
    if let Some(cluster) = cluster_of(moment) {
        status.clone_into(&mut cluster.status);
    }
}

/// Sets the status of the members of a timeline's cluster.
fn set_member_status(moment: &mut Moment<'_>, status: &str) {
    let Some(id) = cluster_of(moment).map(|cluster| cluster.id.clone()) else {
        return;
    };
    for member in members_mut(moment.region(), &id) {
        status.clone_into(&mut member.status);
    }
}

fn members_mut<'a>(
    region: &'a mut Region,
    cluster: &'a str,
) -> impl Iterator<Item = &'a mut DbInstance> {
    region
        .instances
        .iter_mut()
        .filter(move |instance| instance.cluster.as_deref() == Some(cluster))
}

/// Records an event about a timeline's cluster.
fn event(moment: &mut Moment<'_>, category: &'static str, message: impl Into<String>) {
    let Some(id) = cluster_of(moment).map(|cluster| cluster.id.clone()) else {
        return;
    };
    let (scope, now) = (moment.scope.clone(), moment.now);
    moment
        .world
        .event(&scope, now, "db-cluster", &id, category, message.into());
}

/// A deleted writer hands over to the reader of the lowest promotion tier.
pub(crate) fn member_gone(region: &mut Region, gone: &DbInstance) {
    let (Some(cluster), true) = (&gone.cluster, gone.cluster_writer) else {
        return;
    };
    let heir = heir(region, cluster, None);
    for member in members_mut(region, cluster) {
        member.cluster_writer = Some(&member.resource_id) == heir.as_ref();
    }
}

/// The resource id of the member that takes over: the one named, or the available reader of the lowest tier, the
/// first by name among equals.
fn heir(region: &Region, cluster: &str, named: Option<&str>) -> Option<String> {
    members(region, cluster)
        .filter(|member| !member.cluster_writer && member.status == "available")
        .filter(|member| named.is_none_or(|name| member.id.eq_ignore_ascii_case(name)))
        .min_by_key(|member| (member.promotion_tier.unwrap_or(15), member.id.clone()))
        .map(|member| member.resource_id.clone())
}
