//! `DescribeAccountAttributes`: quotas with what is used of them.

use super::state::Region;
use super::{Answer, Call, result};

/// DB parameter groups, and DB cluster parameter groups, of one's own.
pub(crate) const PARAMETER_GROUPS: i64 = 50;
/// Option groups of one's own.
pub(crate) const OPTION_GROUPS: i64 = 20;
/// DB subnet groups.
pub(crate) const SUBNET_GROUPS: i64 = 50;
/// Subnets in a DB subnet group.
pub(crate) const SUBNETS_PER_GROUP: i64 = 20;
/// Event subscriptions.
pub(crate) const SUBSCRIPTIONS: i64 = 20;
/// DB proxies.
pub(crate) const PROXIES: i64 = 20;
/// Accounts that a manual snapshot can be shared with.
pub(crate) const SHARES_PER_SNAPSHOT: i64 = 20;
/// Replicated automated backups in a region.
pub(crate) const REPLICATED_BACKUPS: i64 = 20;

/// A length as quotas count.
pub(crate) fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Name, used, most.
fn quotas(region: &Region) -> [(&'static str, i64, i64); 18] {
    fn own<'a>(names: impl Iterator<Item = &'a String>) -> i64 {
        count(
            names
                .filter(|name| !name.starts_with("default.") && !name.starts_with("default:"))
                .count(),
        )
    }
    let instances = &region.instances;
    let most = |counts: &mut dyn Iterator<Item = usize>| count(counts.max().unwrap_or(0));
    let manual = |kind: &str| kind == "manual";
    let limits = &region.quotas;
    [
        (
            "AllocatedStorage",
            instances
                .iter()
                .map(|instance| instance.allocated_storage)
                .sum(),
            limits.storage_gib,
        ),
        ("AuthorizationsPerDBSecurityGroup", 0, 20),
        ("CustomEndpointsPerDBCluster", 0, 5),
        (
            "DBClusterParameterGroups",
            own(region.cluster_parameter_groups.keys()),
            PARAMETER_GROUPS,
        ),
        ("DBClusterRoles", 0, 5),
        ("DBClusters", count(region.clusters.len()), 40),
        (
            "DBInstanceRoles",
            most(&mut instances.iter().map(|instance| instance.roles.len())),
            limits.roles_per_instance,
        ),
        ("DBInstances", count(instances.len()), limits.instances),
        (
            "DBParameterGroups",
            own(region.parameter_groups.keys()),
            PARAMETER_GROUPS,
        ),
        ("DBSecurityGroups", 0, 25),
        (
            "DBSubnetGroups",
            count(region.subnet_groups.len()),
            SUBNET_GROUPS,
        ),
        (
            "EventSubscriptions",
            count(region.event_subscriptions.len()),
            SUBSCRIPTIONS,
        ),
        (
            "ManualClusterSnapshots",
            count(
                region
                    .cluster_snapshots
                    .iter()
                    .filter(|snapshot| manual(&snapshot.snapshot_type))
                    .count(),
            ),
            100,
        ),
        (
            "ManualSnapshots",
            count(
                region
                    .snapshots
                    .iter()
                    .filter(|snapshot| manual(&snapshot.snapshot_type))
                    .count(),
            ),
            limits.manual_snapshots,
        ),
        (
            "OptionGroups",
            own(region.option_groups.keys()),
            OPTION_GROUPS,
        ),
        (
            "ReadReplicasPerMaster",
            most(
                &mut instances
                    .iter()
                    .map(|instance| region.replicas_of(&instance.resource_id).count()),
            ),
            limits.replicas_per_source,
        ),
        ("ReservedDBInstances", 0, 40),
        (
            "SubnetsPerDBSubnetGroup",
            most(
                &mut region
                    .subnet_groups
                    .values()
                    .map(|group| group.subnets.len()),
            ),
            SUBNETS_PER_GROUP,
        ),
    ]
}

/// `DescribeAccountAttributes`. Nothing is paged.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let quotas = quotas(call.region());
    result(|xml| {
        xml.list(
            "AccountQuotas",
            "AccountQuota",
            quotas,
            |xml, (name, used, max)| {
                xml.value("AccountQuotaName", name);
                xml.value("Used", used);
                xml.value("Max", max);
            },
        );
    })
}
