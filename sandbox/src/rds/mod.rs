//! The RDS control plane: AWS's Query protocol in and out, and a state machine per resource.
//!
//! One file per family of operations. A call reads its parameters, checks them in RDS's order (syntax,
//! referenced objects, state, combination, quota), changes the state and leaves a timeline.

pub(crate) mod activity;
pub(crate) mod backup_replication;
mod backups;
pub(crate) mod blue_green;
pub(crate) mod catalog;
mod clusters;
mod create;
mod data;
mod engine_versions;
pub(crate) mod error;
pub(crate) mod exports;
mod groups;
mod instances;
pub(crate) mod integrations;
mod lifecycle;
mod links;
mod listing;
mod maintenance;
mod modify;
pub(crate) mod names;
mod offers;
mod option_groups;
mod page;
mod parameter_groups;
mod parameters;
pub(crate) mod params;
mod placement;
mod point_in_time;
mod proxies;
mod quotas;
mod replica;
mod restore;
mod roles;
mod sharing;
mod snapshots;
pub(crate) mod state;
mod subnet_groups;
mod subscriptions;
mod tags;
mod windows;
pub(crate) mod xml;

use jiff::Timestamp;

use self::error::ApiError;
use self::parameter_groups::Kind;
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
        "CreateDBInstance" => create::create(call),
        "DescribeDBInstanceAutomatedBackups" => backups::describe(call),
        "DeleteDBInstanceAutomatedBackup" => backups::delete(call),
        "DescribeDBClusters" => clusters::describe::describe(call),
        "CreateDBCluster" => clusters::create::create(call),
        "ModifyDBCluster" => clusters::modify::modify(call),
        "DeleteDBCluster" => clusters::lifecycle::delete(call),
        "StartDBCluster" => clusters::lifecycle::start(call),
        "StopDBCluster" => clusters::lifecycle::stop(call),
        "RebootDBCluster" => clusters::lifecycle::reboot(call),
        "FailoverDBCluster" => clusters::lifecycle::failover(call),
        "RestoreDBClusterFromSnapshot" => clusters::restore::from_snapshot(call),
        "RestoreDBClusterToPointInTime" => clusters::restore::to_point_in_time(call),
        "DescribeDBClusterSnapshots" => clusters::snapshots::describe(call),
        "CreateDBClusterSnapshot" => clusters::snapshots::create(call),
        "CopyDBClusterSnapshot" => clusters::snapshots::copy(call),
        "DeleteDBClusterSnapshot" => clusters::snapshots::delete(call),
        "DescribeDBClusterEndpoints" => clusters::endpoints::describe(call),
        "DescribeDBClusterAutomatedBackups" => clusters::backups::describe(call),
        "DeleteDBClusterAutomatedBackup" => clusters::backups::delete(call),
        "AddRoleToDBCluster" => clusters::roles::add(call),
        "EnableHttpEndpoint" => clusters::data_api::enable(call),
        "DisableHttpEndpoint" => clusters::data_api::disable(call),
        "RemoveRoleFromDBCluster" => clusters::roles::remove(call),
        "DescribeGlobalClusters" => clusters::global::describe(call),
        "CreateGlobalCluster" => clusters::global::create(call),
        "RemoveFromGlobalCluster" => clusters::global::remove(call),
        "DeleteGlobalCluster" => clusters::global::delete(call),
        "DescribeDBSnapshots" => snapshots::describe(call),
        "CreateDBSnapshot" => snapshots::create(call),
        "CopyDBSnapshot" => snapshots::copy(call),
        "DeleteDBSnapshot" => snapshots::delete(call),
        "RestoreDBInstanceFromDBSnapshot" => restore::restore(call),
        "RestoreDBInstanceToPointInTime" => point_in_time::restore(call),
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
        "CreateDBParameterGroup" => parameter_groups::create(call, Kind::Instance),
        "CopyDBParameterGroup" => parameter_groups::copy(call, Kind::Instance),
        "ModifyDBParameterGroup" => parameter_groups::modify(call, Kind::Instance),
        "ResetDBParameterGroup" => parameter_groups::reset(call, Kind::Instance),
        "DeleteDBParameterGroup" => parameter_groups::delete(call, Kind::Instance),
        "DescribeDBParameterGroups" => parameter_groups::describe(call, Kind::Instance),
        "DescribeDBParameters" => parameter_groups::describe_parameters(call, Kind::Instance),
        "DescribeEngineDefaultParameters" => {
            parameter_groups::describe_defaults(call, Kind::Instance)
        }
        "CreateDBClusterParameterGroup" => parameter_groups::create(call, Kind::Cluster),
        "CopyDBClusterParameterGroup" => parameter_groups::copy(call, Kind::Cluster),
        "ModifyDBClusterParameterGroup" => parameter_groups::modify(call, Kind::Cluster),
        "ResetDBClusterParameterGroup" => parameter_groups::reset(call, Kind::Cluster),
        "DeleteDBClusterParameterGroup" => parameter_groups::delete(call, Kind::Cluster),
        "DescribeDBClusterParameterGroups" => parameter_groups::describe(call, Kind::Cluster),
        "DescribeDBClusterParameters" => parameter_groups::describe_parameters(call, Kind::Cluster),
        "DescribeEngineDefaultClusterParameters" => {
            parameter_groups::describe_defaults(call, Kind::Cluster)
        }
        "CreateOptionGroup" => option_groups::create(call),
        "CopyOptionGroup" => option_groups::copy(call),
        "ModifyOptionGroup" => option_groups::modify(call),
        "DeleteOptionGroup" => option_groups::delete(call),
        "CreateDBSubnetGroup" => subnet_groups::create(call),
        "ModifyDBSubnetGroup" => subnet_groups::modify(call),
        "DeleteDBSubnetGroup" => subnet_groups::delete(call),
        "DescribeOptionGroups" => groups::describe_option_groups(call),
        "DescribeDBSubnetGroups" => groups::describe_subnet_groups(call),
        "DescribeEvents" => offers::describe_events(call),
        "DescribeEventCategories" => subscriptions::describe_categories(call),
        "DescribeAccountAttributes" => quotas::describe(call),
        "DescribeOrderableDBInstanceOptions" => offers::describe_orderable(call),
        "DescribeDBEngineVersions" => engine_versions::describe(call),
        "DescribeCertificates" => engine_versions::describe_certificates(call),
        "DescribeSourceRegions" => engine_versions::describe_source_regions(call),
        "DescribeValidDBInstanceModifications" => {
            engine_versions::describe_valid_modifications(call)
        }
        "DescribePendingMaintenanceActions" => maintenance::describe(call),
        "ApplyPendingMaintenanceAction" => maintenance::apply(call),
        "CreateEventSubscription" => subscriptions::create(call),
        "ModifyEventSubscription" => subscriptions::modify(call),
        "DeleteEventSubscription" => subscriptions::delete(call),
        "AddSourceIdentifierToSubscription" => subscriptions::add_source(call),
        "RemoveSourceIdentifierFromSubscription" => subscriptions::remove_source(call),
        "DescribeEventSubscriptions" => subscriptions::describe(call),
        "CreateDBProxy" => proxies::create(call),
        "DeleteDBProxy" => proxies::delete(call),
        "DescribeDBProxies" => proxies::describe(call),
        "DescribeDBProxyTargetGroups" => proxies::describe_groups(call),
        "DescribeDBProxyTargets" => proxies::describe_targets(call),
        "RegisterDBProxyTargets" => proxies::register(call),
        "DeregisterDBProxyTargets" => proxies::deregister(call),
        "CreateBlueGreenDeployment" => blue_green::create(call),
        "DescribeBlueGreenDeployments" => blue_green::describe(call),
        "SwitchoverBlueGreenDeployment" => blue_green::switchover(call),
        "DeleteBlueGreenDeployment" => blue_green::delete(call),
        "DescribeDBSnapshotAttributes" => sharing::describe(call),
        "ModifyDBSnapshotAttribute" => sharing::modify(call),
        "DescribeDBClusterSnapshotAttributes" => sharing::describe_cluster(call),
        "ModifyDBClusterSnapshotAttribute" => sharing::modify_cluster(call),
        "StartExportTask" => exports::start(call),
        "CancelExportTask" => exports::cancel(call),
        "DescribeIntegrations" => integrations::describe(call),
        "DescribeExportTasks" => exports::describe(call),
        "StartDBInstanceAutomatedBackupsReplication" => backup_replication::start(call),
        "StopDBInstanceAutomatedBackupsReplication" => backup_replication::stop(call),
        "StartActivityStream" => activity::start(call),
        "StopActivityStream" => activity::stop(call),
        _ => Err(ApiError::new(
            "InvalidAction",
            format!("Could not find operation {action} for version 2014-10-31"),
        )),
    }
}
