//! Manual snapshots shared with other accounts, or with all of them.

use super::error::ApiError;
use super::params::Params;
use super::state::{DbSnapshot, Region, Scope};
use super::{Answer, Call, quotas, result, snapshots};
use crate::world::World;

/// The one attribute that there is.
const RESTORE: &str = "restore";

/// Whether an account sees the snapshot of another, and as what.
pub(crate) fn seen_as(
    region: &Region,
    owner: &Scope,
    snapshot: &str,
    account: &str,
) -> Option<&'static str> {
    let accounts = region.shared.get(&owner.arn("snapshot", snapshot))?;
    if accounts.contains(account) {
        Some("shared")
    } else if accounts.contains("all") {
        Some("public")
    } else {
        None
    }
}

/// Snapshots of other accounts in this region that this one may copy or restore: owner, `shared` or
/// `public`, and the snapshot.
pub(crate) fn from_others<'a>(
    world: &'a World,
    scope: &'a Scope,
) -> impl Iterator<Item = (&'a Scope, &'static str, &'a DbSnapshot)> {
    world
        .regions
        .iter()
        .filter(|(owner, _)| owner.region == scope.region && owner.account != scope.account)
        .flat_map(move |(owner, region)| {
            region.snapshots.iter().filter_map(move |snapshot| {
                let kind = seen_as(region, owner, &snapshot.id, &scope.account)?;
                Some((owner, kind, snapshot))
            })
        })
}

/// What is asked to change.
struct Change {
    add: Vec<String>,
    remove: Vec<String>,
}

impl Change {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let attribute = params.required("AttributeName")?;
        if attribute != RESTORE {
            return Err(ApiError::value(format!(
                "Invalid attribute name: {attribute}. Must be restore."
            )));
        }
        let change = Self {
            add: params.list("ValuesToAdd").unwrap_or_default(),
            remove: params.list("ValuesToRemove").unwrap_or_default(),
        };
        for value in change.add.iter().chain(&change.remove) {
            let account = value.len() == 12 && value.chars().all(|digit| digit.is_ascii_digit());
            if !account && value != "all" {
                return Err(ApiError::value(format!(
                    "Invalid account id: {value}. Must be twelve digits or all."
                )));
            }
        }
        if change.add.is_empty() && change.remove.is_empty() {
            return Err(ApiError::combination(
                "ValuesToAdd or ValuesToRemove must be specified.",
            ));
        }
        Ok(change)
    }

    /// Encrypted snapshots are shared with accounts only, and not at all under the AWS-managed key, whose
    /// policy cannot be changed (RDS: Overview of encryption, §3.1).
    fn check_key(&self, region: &Region, key: Option<&str>) -> Result<(), ApiError> {
        let Some(key) = key.filter(|_| !self.add.is_empty()) else {
            return Ok(());
        };
        if self.add.iter().any(|value| value == "all") {
            return Err(ApiError::value(
                "An encrypted snapshot can't be made public.",
            ));
        }
        if region.key(key).is_some_and(|key| key.manager == "AWS") {
            return Err(ApiError::value(
                "A snapshot that is encrypted with the default key of RDS can't be shared.",
            ));
        }
        Ok(())
    }

    fn apply(self, region: &mut Region, arn: String) -> Result<(), ApiError> {
        let mut accounts = region.shared.get(&arn).cloned().unwrap_or_default();
        accounts.extend(self.add);
        accounts.retain(|account| !self.remove.contains(account));
        let shares = accounts.iter().filter(|account| *account != "all").count();
        if quotas::count(shares) > quotas::SHARES_PER_SNAPSHOT {
            return Err(ApiError::new(
                "SharedSnapshotQuotaExceeded",
                format!(
                    "A manual snapshot can be shared with {} accounts.",
                    quotas::SHARES_PER_SNAPSHOT
                ),
            ));
        }
        if accounts.is_empty() {
            region.shared.remove(&arn);
        } else {
            region.shared.insert(arn, accounts);
        }
        Ok(())
    }
}

fn answer(call: &mut Call<'_>, word: &str, id: &str, arn: &str) -> Answer {
    let region = call.region();
    let accounts = region.shared.get(arn);
    result(|xml| {
        xml.element(&format!("{word}AttributesResult"), |xml| {
            xml.value(&format!("{word}Identifier"), id);
            xml.list(
                &format!("{word}Attributes"),
                &format!("{word}Attribute"),
                [RESTORE],
                |xml, attribute| {
                    xml.value("AttributeName", attribute);
                    xml.values(
                        "AttributeValues",
                        "AttributeValue",
                        accounts.into_iter().flatten(),
                    );
                },
            );
        });
    })
}

/// `DescribeDBSnapshotAttributes`: of one's own snapshots.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let reference = call.params.required("DBSnapshotIdentifier")?;
    let id = snapshots::find_here(call, &reference)?.id.clone();
    let arn = call.scope.arn("snapshot", &id);
    answer(call, "DBSnapshot", &id, &arn)
}

/// `ModifyDBSnapshotAttribute`: of manual snapshots that are available.
pub(crate) fn modify(call: &mut Call<'_>) -> Answer {
    let reference = call.params.required("DBSnapshotIdentifier")?;
    let change = Change::read(call.params)?;
    let snapshot = snapshots::find_here(call, &reference)?.clone();
    if snapshot.snapshot_type != "manual" || snapshot.status != "available" {
        return Err(ApiError::new(
            "InvalidDBSnapshotState",
            format!(
                "The snapshot {} is not a manual snapshot in the available state.",
                snapshot.id
            ),
        ));
    }
    let arn = call.scope.arn("snapshot", &snapshot.id);
    let region = call.region();
    change.check_key(region, snapshot.kms_key.as_deref())?;
    change.apply(region, arn.clone())?;
    answer(call, "DBSnapshot", &snapshot.id, &arn)
}

fn cluster_snapshot(call: &mut Call<'_>) -> Result<(String, String, Option<String>), ApiError> {
    let reference = call.params.required("DBClusterSnapshotIdentifier")?;
    let scope = call.scope.clone();
    let name = match super::names::parse_arn(&reference) {
        Some(arn) if arn.scope == scope => arn.name,
        _ => reference,
    };
    let snapshot = call
        .region()
        .cluster_snapshots
        .iter()
        .find(|snapshot| snapshot.id.eq_ignore_ascii_case(&name))
        .ok_or_else(|| {
            ApiError::new(
                "DBClusterSnapshotNotFoundFault",
                format!("DBClusterSnapshot {name} not found."),
            )
        })?;
    Ok((
        snapshot.id.clone(),
        snapshot.snapshot_type.clone(),
        snapshot.kms_key.clone(),
    ))
}

/// `DescribeDBClusterSnapshotAttributes`.
pub(crate) fn describe_cluster(call: &mut Call<'_>) -> Answer {
    let (id, _, _) = cluster_snapshot(call)?;
    let arn = call.scope.arn("cluster-snapshot", &id);
    answer(call, "DBClusterSnapshot", &id, &arn)
}

/// `ModifyDBClusterSnapshotAttribute`.
pub(crate) fn modify_cluster(call: &mut Call<'_>) -> Answer {
    let change = Change::read(call.params)?;
    let (id, kind, key) = cluster_snapshot(call)?;
    if kind != "manual" {
        return Err(ApiError::new(
            "InvalidDBClusterSnapshotStateFault",
            format!("The cluster snapshot {id} is not a manual one."),
        ));
    }
    let arn = call.scope.arn("cluster-snapshot", &id);
    let region = call.region();
    change.check_key(region, key.as_deref())?;
    change.apply(region, arn.clone())?;
    answer(call, "DBClusterSnapshot", &id, &arn)
}
