//! DB parameter groups and DB cluster parameter groups: create, copy, delete, describe, change.
//!
//! Both kinds have the same life and the same wire codes; only the names of the members differ.

mod change;
mod describe;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::change::{modify, reset};
pub(crate) use self::describe::{describe, describe_defaults, describe_parameters};
use super::error::ApiError;
use super::names::{group_name, parse_arn};
use super::state::{ParameterGroup, Region, Scope};
use super::xml::Xml;
use super::{Answer, Call, catalog, quotas, result, tags};

/// Whose parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of DB instances.
    Instance,
    /// Of DB clusters.
    Cluster,
}

impl Kind {
    /// `DBParameterGroup` or `DBClusterParameterGroup`: what every name on the wire begins with.
    const fn word(self) -> &'static str {
        match self {
            Self::Instance => "DBParameterGroup",
            Self::Cluster => "DBClusterParameterGroup",
        }
    }

    fn arn(self, scope: &Scope, name: &str) -> String {
        let kind = match self {
            Self::Instance => "pg",
            Self::Cluster => "cluster-pg",
        };
        scope.arn(kind, name)
    }

    const fn groups(self, region: &Region) -> &BTreeMap<String, ParameterGroup> {
        match self {
            Self::Instance => &region.parameter_groups,
            Self::Cluster => &region.cluster_parameter_groups,
        }
    }

    const fn groups_mut(self, region: &mut Region) -> &mut BTreeMap<String, ParameterGroup> {
        match self {
            Self::Instance => &mut region.parameter_groups,
            Self::Cluster => &mut region.cluster_parameter_groups,
        }
    }

    /// Operations on cluster groups answer with the instance groups' code, too.
    fn missing(self, name: &str) -> ApiError {
        ApiError::new(
            "DBParameterGroupNotFound",
            format!("{} not found: {name}", self.word()),
        )
    }
}

fn state(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidDBParameterGroupState", message)
}

fn is_default(name: &str) -> bool {
    name.starts_with("default.")
}

/// The group that the call names, which must be one of the user's own to be changed: default groups cannot be
/// edited (RDS: Working with parameter groups).
fn own(call: &mut Call<'_>, kind: Kind) -> Result<String, ApiError> {
    let name = call
        .params
        .required(&format!("{}Name", kind.word()))?
        .to_ascii_lowercase();
    if !kind.groups(call.region()).contains_key(&name) {
        return Err(kind.missing(&name));
    }
    if is_default(&name) {
        return Err(ApiError::value(format!(
            "The parameter {}Name is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens.",
            kind.word()
        )));
    }
    Ok(name)
}

fn write(xml: &mut Xml, scope: &Scope, kind: Kind, group: &ParameterGroup) {
    xml.value(&format!("{}Name", kind.word()), &group.name);
    xml.value("DBParameterGroupFamily", &group.family);
    xml.value("Description", &group.description);
    xml.value(&format!("{}Arn", kind.word()), kind.arn(scope, &group.name));
}

/// Adds a group whose name is free, within the quota, and answers with it.
fn add(call: &mut Call<'_>, kind: Kind, group: ParameterGroup) -> Answer {
    let scope = call.scope;
    let groups = kind.groups_mut(call.region());
    if groups.contains_key(&group.name) {
        return Err(ApiError::new(
            "DBParameterGroupAlreadyExists",
            format!("Parameter group {} already exists", group.name),
        ));
    }
    let own = groups.keys().filter(|name| !is_default(name)).count();
    if quotas::count(own) >= quotas::PARAMETER_GROUPS {
        return Err(ApiError::new(
            "DBParameterGroupQuotaExceeded",
            format!(
                "You can't have more than {} DB parameter groups.",
                quotas::PARAMETER_GROUPS
            ),
        ));
    }
    let answer = result(|xml| xml.element(kind.word(), |xml| write(xml, scope, kind, &group)));
    groups.insert(group.name.clone(), group);
    answer
}

/// `CreateDBParameterGroup` and `CreateDBClusterParameterGroup`.
pub(crate) fn create(call: &mut Call<'_>, kind: Kind) -> Answer {
    let params = call.params;
    let name_parameter = format!("{}Name", kind.word());
    let name = group_name(&name_parameter, &params.required(&name_parameter)?)?;
    let family = params.required("DBParameterGroupFamily")?;
    let description = params.required("Description")?;
    let tags = tags::from_request(params, "Tags")?.unwrap_or_default();
    let known = catalog::families().any(|(known, _, _)| known == family)
        && (kind == Kind::Instance || catalog::has_clusters(&family));
    if !known {
        return Err(ApiError::value(format!(
            "ParameterGroupFamily {family} is not a valid parameter group family"
        )));
    }
    let group = ParameterGroup {
        name,
        family,
        description,
        user: BTreeMap::new(),
        deferred: BTreeSet::new(),
        tags,
    };
    add(call, kind, group)
}

/// `CopyDBParameterGroup` and `CopyDBClusterParameterGroup`: values and family are the source's, the tags are
/// not.
pub(crate) fn copy(call: &mut Call<'_>, kind: Kind) -> Answer {
    let (params, scope) = (call.params, call.scope);
    let source_parameter = format!("Source{}Identifier", kind.word());
    let target_parameter = format!("Target{}Identifier", kind.word());
    let reference = params.required(&source_parameter)?;
    let name = group_name(&target_parameter, &params.required(&target_parameter)?)?;
    let description = params.required(&format!("Target{}Description", kind.word()))?;
    let tags = tags::from_request(params, "Tags")?.unwrap_or_default();
    let source = match parse_arn(&reference) {
        Some(arn) if arn.scope == *scope => arn.name,
        // A parameter group stays in its account and region.
        Some(_) => return Err(kind.missing(&reference)),
        None => reference,
    }
    .to_ascii_lowercase();
    let group = kind
        .groups(call.region())
        .get(&source)
        .ok_or_else(|| kind.missing(&source))?
        .clone();
    if is_default(&source) {
        return Err(ApiError::value(format!(
            "The default parameter group {source} can't be copied."
        )));
    }
    let group = ParameterGroup {
        name,
        description,
        tags,
        ..group
    };
    add(call, kind, group)
}

/// `DeleteDBParameterGroup` and `DeleteDBClusterParameterGroup`: neither a default group nor one in use.
pub(crate) fn delete(call: &mut Call<'_>, kind: Kind) -> Answer {
    let name = call
        .params
        .required(&format!("{}Name", kind.word()))?
        .to_ascii_lowercase();
    let region = call.region();
    if !kind.groups(region).contains_key(&name) {
        return Err(kind.missing(&name));
    }
    if is_default(&name) {
        return Err(state(format!(
            "Default {} cannot be deleted: {name}",
            kind.word()
        )));
    }
    let (used, members) = match kind {
        Kind::Instance => (
            region
                .instances
                .iter()
                .any(|instance| instance.parameter_group == name),
            "database instances",
        ),
        Kind::Cluster => (
            region
                .clusters
                .iter()
                .any(|cluster| cluster.parameter_group == name),
            "database clusters",
        ),
    };
    if used {
        return Err(state(format!(
            "One or more {members} are still members of this parameter group {name}, so the group cannot be deleted"
        )));
    }
    kind.groups_mut(region).remove(&name);
    Ok(None)
}
