//! Where a new instance goes and what it counts against: zones, security groups, windows, quotas.

use super::error::ApiError;
use super::params::Params;
use super::state::{Membership, Region};
use crate::dice::Dice;

/// Members that a restore and a replica share.
pub(crate) struct Placement {
    pub(crate) multi_az: bool,
    pub(crate) zone: Option<String>,
    pub(crate) security_groups: Vec<Membership>,
}

/// Reads them. A zone cannot be asked for together with Multi-AZ.
pub(crate) fn placement(params: &Params, region: &Region) -> Result<Placement, ApiError> {
    let multi_az = params.boolean("MultiAZ")?.unwrap_or(false);
    let zone = params.text("AvailabilityZone");
    if multi_az && zone.is_some() {
        return Err(ApiError::combination(
            "Requesting a specific availability zone is not valid for Multi-AZ instances.",
        ));
    }
    let groups = params
        .list("VpcSecurityGroupIds")
        .filter(|groups| !groups.is_empty())
        .unwrap_or_else(|| vec![region.default_security_group.clone()]);
    let security_groups = groups
        .into_iter()
        .map(|name| Membership {
            name,
            status: "adding".to_owned(),
        })
        .collect();
    Ok(Placement {
        multi_az,
        zone,
        security_groups,
    })
}

/// A zone of the subnet group, and another one for the standby.
pub(crate) fn zones(
    region: &Region,
    dice: &mut Dice,
    id: &str,
    subnet_group: &str,
    wanted: &Placement,
) -> Result<(String, Option<String>), ApiError> {
    let zones = region.zones(subnet_group);
    if let Some(zone) = &wanted.zone
        && !zones.contains(zone)
    {
        return Err(ApiError::new(
            "InvalidVPCNetworkStateFault",
            format!("The subnet group {subnet_group} has no subnet in {zone}."),
        ));
    }
    let count = u64::try_from(zones.len()).unwrap_or(1).max(1);
    let first = usize::try_from(dice.between(&format!("zone/{id}"), (0, count - 1))).unwrap_or(0);
    let primary = wanted
        .zone
        .clone()
        .or_else(|| zones.get(first).cloned())
        .unwrap_or_default();
    let standby = zones.iter().find(|zone| **zone != primary).cloned();
    if wanted.multi_az && standby.is_none() {
        return Err(ApiError::new(
            "DBSubnetGroupDoesNotCoverEnoughAZs",
            format!(
                "The subnet group {subnet_group} does not cover enough Availability Zones for Multi-AZ."
            ),
        ));
    }
    Ok((primary, standby.filter(|_| wanted.multi_az)))
}

/// A random half hour, and a random maintenance half hour.
pub(crate) fn windows(dice: &mut Dice, id: &str) -> (String, String) {
    let half_hour = |start: u64| {
        let end = (start + 1) % 48;
        format!(
            "{:02}:{:02}-{:02}:{:02}",
            start / 2,
            start % 2 * 30,
            end / 2,
            end % 2 * 30
        )
    };
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let day = usize::try_from(dice.between(&format!("day/{id}"), (0, 6))).unwrap_or(0);
    let day = days.get(day).copied().unwrap_or("sun");
    let (backup, maintenance) = (
        dice.between(&format!("backup/{id}"), (0, 46)),
        dice.between(&format!("maintenance/{id}"), (0, 46)),
    );
    let window = half_hour(maintenance).replacen('-', &format!("-{day}:"), 1);
    (half_hour(backup), format!("{day}:{window}"))
}

/// Names of quotas that a new instance counts against.
pub(crate) fn check_quotas(region: &Region, gib: i64) -> Result<(), ApiError> {
    if i64::try_from(region.instances.len()).unwrap_or(i64::MAX) >= region.quotas.instances {
        return Err(ApiError::new(
            "InstanceQuotaExceeded",
            format!(
                "DB instance quota exceeded: limit is {}.",
                region.quotas.instances
            ),
        ));
    }
    let used: i64 = region
        .instances
        .iter()
        .map(|instance| instance.allocated_storage)
        .sum();
    if used + gib > region.quotas.storage_gib {
        return Err(ApiError::new(
            "StorageQuotaExceeded",
            format!(
                "Allocated storage quota exceeded: limit is {} GiB.",
                region.quotas.storage_gib
            ),
        ));
    }
    Ok(())
}

/// Certificate authorities that exist.
pub(crate) fn check_ca(ca: &str) -> Result<(), ApiError> {
    if [
        "rds-ca-2019",
        "rds-ca-rsa2048-g1",
        "rds-ca-rsa4096-g1",
        "rds-ca-ecc384-g1",
    ]
    .contains(&ca)
    {
        Ok(())
    } else {
        Err(ApiError::new(
            "CertificateNotFound",
            format!("Certificate not found: {ca}"),
        ))
    }
}

pub(crate) fn lower_case_table_names(region: &Region, group: &str) -> i64 {
    region
        .parameter_groups
        .get(group)
        .and_then(|group| group.user.get("lower_case_table_names"))
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}
