//! The RDS control plane: AWS's Query protocol in and out, and a state machine per resource.
//!
//! One file per family of operations. A call reads its parameters, checks them in RDS's order (syntax,
//! referenced objects, state, combination, quota), changes the state and leaves a timeline.

pub(crate) mod catalog;
mod clusters;
mod data;
pub(crate) mod error;
mod groups;
mod instances;
mod lifecycle;
mod modify;
mod names;
mod offers;
mod page;
pub(crate) mod params;
mod replica;
mod restore;
mod roles;
mod snapshots;
pub(crate) mod state;
mod tags;
pub(crate) mod xml;

use jiff::Timestamp;

use self::error::ApiError;
use self::params::Params;
use self::state::{Region, Scope};
use self::xml::Xml;
use crate::world::World;

pub(crate) use self::data::server_spec;
pub(crate) use self::instances::endpoint_name;

/// Namespace of every answer.
pub(crate) const XMLNS: &str = "http://rds.amazonaws.com/doc/2014-10-31/";

/// One call.
pub(crate) struct Call<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) scope: &'a Scope,
    pub(crate) params: &'a Params,
    pub(crate) now: Timestamp,
}

impl Call<'_> {
    fn region(&mut self) -> &mut Region {
        self.world.region_mut(self.scope)
    }
}

/// What an action answers: the inside of its result element, or nothing.
pub(crate) type Answer = Result<Option<String>, ApiError>;

fn result(write: impl FnOnce(&mut Xml)) -> Answer {
    let mut xml = Xml::new();
    write(&mut xml);
    Ok(Some(xml.into_string()))
}

/// Carries out an action.
pub(crate) fn dispatch(action: &str, call: &mut Call<'_>) -> Answer {
    match action {
        "DescribeDBInstances" => instances::describe(call),
        "DescribeDBInstanceAutomatedBackups" => instances::describe_automated_backups(call),
        "DescribeDBClusters" => clusters::describe(call),
        "DescribeDBClusterSnapshots" => clusters::describe_snapshots(call),
        "DescribeDBSnapshots" => snapshots::describe(call),
        "CreateDBSnapshot" => snapshots::create(call),
        "CopyDBSnapshot" => snapshots::copy(call),
        "DeleteDBSnapshot" => snapshots::delete(call),
        "RestoreDBInstanceFromDBSnapshot" => restore::restore(call),
        "CreateDBInstanceReadReplica" => replica::create(call),
        "PromoteReadReplica" => replica::promote(call),
        "ModifyDBInstance" => modify::modify(call),
        "RebootDBInstance" => lifecycle::reboot(call),
        "StartDBInstance" => lifecycle::start(call),
        "StopDBInstance" => lifecycle::stop(call),
        "DeleteDBInstance" => lifecycle::delete(call),
        "AddRoleToDBInstance" => roles::add(call),
        "RemoveRoleFromDBInstance" => roles::remove(call),
        "ListTagsForResource" => tags::list(call),
        "AddTagsToResource" => tags::add(call),
        "RemoveTagsFromResource" => tags::remove(call),
        "DescribeDBParameterGroups" => groups::describe_parameter_groups(call),
        "DescribeDBParameters" => groups::describe_parameters(call),
        "DescribeOptionGroups" => groups::describe_option_groups(call),
        "DescribeDBSubnetGroups" => groups::describe_subnet_groups(call),
        "DescribeEvents" => offers::describe_events(call),
        "DescribeAccountAttributes" => offers::describe_account_attributes(call),
        "DescribeOrderableDBInstanceOptions" => offers::describe_orderable(call),
        "DescribePendingMaintenanceActions" => offers::describe_pending_maintenance(call),
        "DescribeEventSubscriptions" => offers::describe_event_subscriptions(call),
        "DescribeDBProxies" => offers::describe_proxies(call),
        "DescribeDBProxyTargets" => offers::describe_proxy_targets(call),
        _ => Err(ApiError::new(
            "InvalidAction",
            format!("Could not find operation {action} for version 2014-10-31"),
        )),
    }
}
