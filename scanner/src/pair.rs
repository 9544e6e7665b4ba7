//! The pair diff of describe answers: pure, linear in the leaves.

use std::collections::BTreeMap;

use atrest_model::attribute::{AttributeClass, Remedy, attribute};
use atrest_model::diff::{Area, DiffClass, Difference};
use atrest_model::instance::DbInstance;
use atrest_model::plan::TAG_PREFIX;
use serde_json::Value;

/// Names of one side, each with the name clients know: `old-x` → `x`.
pub type NameMap = BTreeMap<String, String>;

/// Lists compared as sets: the member that names an item. Lists of strings need no entry.
const KEYED_LISTS: &[(&str, &[&str])] = &[
    ("AdditionalStorageVolumes", &["VolumeName"]),
    ("AssociatedRoles", &["FeatureName", "RoleArn"]),
    (
        "DBInstanceAutomatedBackupsReplications",
        &["DBInstanceAutomatedBackupsArn"],
    ),
    ("DBParameterGroups", &["DBParameterGroupName"]),
    ("DBSecurityGroups", &["DBSecurityGroupName"]),
    ("DomainMemberships", &["Domain"]),
    ("OptionGroupMemberships", &["OptionGroupName"]),
    ("ProcessorFeatures", &["Name"]),
    ("StatusInfos", &["StatusType"]),
    ("Subnets", &["SubnetIdentifier"]),
    ("TagList", &["Key"]),
    ("VpcSecurityGroups", &["VpcSecurityGroupId"]),
];

/// Members whose values are names or ARNs of DB instances: mapped before they are compared.
const NAME_MEMBERS: &[&str] = &[
    "DBInstanceIdentifier",
    "ReadReplicaDBInstanceIdentifiers",
    "ReadReplicaSourceDBInstanceIdentifier",
];

/// One side of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct SideView<'a> {
    /// The instance.
    pub instance: &'a DbInstance,
    /// How its names map to the real ones.
    pub names: &'a NameMap,
}

/// Compares two describe answers. Returns the differences, sorted by path, and the number of leaves compared.
#[must_use]
pub fn attributes(old: SideView<'_>, new: SideView<'_>) -> (Vec<Difference>, u64) {
    let old_leaves = leaves(old);
    let new_leaves = leaves(new);
    let mut differences = Vec::new();
    let mut compared = 0;
    let mut old_iter = old_leaves.iter().peekable();
    let mut new_iter = new_leaves.iter().peekable();
    loop {
        let (path, a, b) = match (old_iter.peek(), new_iter.peek()) {
            (None, None) => break,
            (Some((path, _)), None) => (*path, old_iter.next(), None),
            (None, Some((path, _))) => (*path, None, new_iter.next()),
            (Some((left, _)), Some((right, _))) => match left.cmp(right) {
                std::cmp::Ordering::Less => (*left, old_iter.next(), None),
                std::cmp::Ordering::Greater => (*right, None, new_iter.next()),
                std::cmp::Ordering::Equal => (*left, old_iter.next(), new_iter.next()),
            },
        };
        compared += 1;
        let a = a.map(|(_, leaf)| leaf);
        let b = b.map(|(_, leaf)| leaf);
        if let Some(difference) = judge(path, a, b, new.instance.identifier()) {
            differences.push(difference);
        }
    }
    (differences, compared)
}

/// A leaf: its value as sent, and as it compares.
struct Leaf<'a> {
    raw: &'a Value,
    mapped: Option<String>,
}

impl Leaf<'_> {
    fn equals(&self, other: &Self) -> bool {
        match (&self.mapped, &other.mapped) {
            (Some(a), Some(b)) => a == b,
            _ => self.raw == other.raw,
        }
    }
}

fn leaves<'a>(side: SideView<'a>) -> BTreeMap<String, Leaf<'a>> {
    let mut leaves = BTreeMap::new();
    if let Some(members) = side.instance.document.as_object() {
        for (name, value) in members {
            flatten(name.clone(), name, value, side.names, &mut leaves);
        }
    }
    leaves
}

fn flatten<'a>(
    path: String,
    member: &str,
    value: &'a Value,
    names: &NameMap,
    out: &mut BTreeMap<String, Leaf<'a>>,
) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                flatten(format!("{path}.{name}"), name, value, names, out);
            }
        }
        Value::Array(items) => {
            let keys = KEYED_LISTS
                .iter()
                .find(|(name, _)| *name == member)
                .map(|(_, keys)| *keys);
            for (index, item) in items.iter().enumerate() {
                let key = match (item, keys) {
                    (Value::String(text), _) => {
                        map_name(member, text, names).unwrap_or_else(|| text.clone())
                    }
                    (item, Some(keys)) => keys
                        .iter()
                        .map(|key| item.get(key).and_then(Value::as_str).unwrap_or_default())
                        .collect::<Vec<_>>()
                        .join(" "),
                    _ => index.to_string(),
                };
                let mut item_path = format!("{path}[{key}]");
                // A key that is not unique must not hide an item.
                while is_taken(out, &item_path) {
                    item_path.push('\'');
                }
                flatten(item_path, member, item, names, out);
            }
        }
        leaf => {
            let mapped = leaf.as_str().and_then(|text| map_name(member, text, names));
            out.insert(path, Leaf { raw: leaf, mapped });
        }
    }
}

/// Whether a leaf at or below `path` is there.
fn is_taken(leaves: &BTreeMap<String, Leaf<'_>>, path: &str) -> bool {
    let below = format!("{path}.");
    leaves.contains_key(path)
        || leaves
            .range(below.clone()..)
            .next()
            .is_some_and(|(known, _)| known.starts_with(&below))
}

/// The real name behind the value of a naming member; ARNs are mapped by their last part.
fn map_name(member: &str, text: &str, names: &NameMap) -> Option<String> {
    if !NAME_MEMBERS.contains(&member) {
        return None;
    }
    let (prefix, name) = match text.rsplit_once(':') {
        Some((prefix, name)) if text.starts_with("arn:") => (Some(prefix), name),
        _ => (None, text),
    };
    let real = names.get(name).map_or(name, String::as_str);
    Some(prefix.map_or_else(|| real.to_owned(), |prefix| format!("{prefix}:{real}")))
}

/// The difference between two leaves, if there is one, with its class.
fn judge(
    path: &str,
    old: Option<&Leaf<'_>>,
    new: Option<&Leaf<'_>>,
    new_name: &str,
) -> Option<Difference> {
    let equal = match (old, new) {
        (Some(a), Some(b)) => a.equals(b),
        _ => false,
    };
    let raw_equal = matches!((old, new), (Some(a), Some(b)) if a.raw == b.raw);
    let top = path.split(['.', '[']).next().unwrap_or(path);
    let row = attribute(top);
    let pending = row.is_some_and(|row| row.class == AttributeClass::Pending);
    if raw_equal && !pending {
        return None;
    }
    let (class, reason) = if pending {
        (DiffClass::Drift, row.map_or("", |row| row.reason))
    } else if equal {
        (
            DiffClass::Identity,
            "the names of the migration; equal once they are mapped",
        )
    } else {
        classify(
            path,
            top,
            row.map(|row| (row.class, row.reason)),
            old.is_some() && new.is_some(),
        )
    };
    let remedy = (class == DiffClass::Drift)
        .then(|| {
            remedy(
                path,
                top,
                row.map(|row| row.remedy),
                old.map(|leaf| leaf.raw),
                new_name,
            )
        })
        .flatten();
    Some(Difference {
        area: Area::Attribute,
        path: path.to_owned(),
        class,
        old: old.map(|leaf| leaf.raw.clone()),
        new: new.map(|leaf| leaf.raw.clone()),
        reason: reason.to_owned(),
        remedy,
    })
}

/// Class of a difference between two unequal leaves.
fn classify(
    path: &str,
    top: &str,
    row: Option<(AttributeClass, &'static str)>,
    both: bool,
) -> (DiffClass, &'static str) {
    let last = path.rsplit('.').next().unwrap_or(path);
    match top {
        "TagList" if path.starts_with(&format!("TagList[{TAG_PREFIX}")) => {
            return (
                DiffClass::Intended,
                "tags of this tool: the run, the source and the step",
            );
        }
        "TagList" if path.starts_with("TagList[aws:") => {
            return (
                DiffClass::Identity,
                "tags under aws: belong to the service that made the instance; nobody else can set them",
            );
        }
        // Memberships have a status of their own; whether the member is there at all is what counts.
        "VpcSecurityGroups" | "OptionGroupMemberships" | "AssociatedRoles"
            if last == "Status" && both =>
        {
            return (DiffClass::Volatile, "status of a membership");
        }
        "Endpoint" if last != "Address" => return (DiffClass::Drift, ""),
        "MasterUserSecret" if last == "SecretStatus" && both => {
            return (DiffClass::Volatile, "status of the managed secret");
        }
        "MasterUserSecret" if last == "KmsKeyId" || !both => return (DiffClass::Drift, ""),
        // Mapped and still different: a replica is missing or hangs elsewhere.
        top if NAME_MEMBERS.contains(&top) => {
            return (DiffClass::Drift, "different even after names are mapped");
        }
        _ => {}
    }
    match row {
        Some((AttributeClass::Identity, reason)) => (DiffClass::Identity, reason),
        Some((AttributeClass::Intended, reason)) => (DiffClass::Intended, reason),
        Some((AttributeClass::Volatile, reason)) => (DiffClass::Volatile, reason),
        Some((AttributeClass::Carried | AttributeClass::Pending, reason)) => {
            (DiffClass::Drift, reason)
        }
        None => (
            DiffClass::Drift,
            "a member this version does not know; AWS added it and nobody has judged it",
        ),
    }
}

/// A command that mends the drift, where one can.
fn remedy(
    path: &str,
    top: &str,
    remedy: Option<Remedy>,
    old: Option<&Value>,
    new_name: &str,
) -> Option<String> {
    if path.ends_with(".ParameterApplyStatus") {
        return Some(format!(
            "aws rds reboot-db-instance --db-instance-identifier {new_name}"
        ));
    }
    match remedy? {
        Remedy::None => None,
        Remedy::Fixed => Some("cannot be changed on an existing instance".to_owned()),
        Remedy::OtherApi(call) => Some(call.to_owned()),
        Remedy::Modify => {
            let flag = modify_flag(top);
            let value = match old {
                Some(Value::Bool(true)) if !path.contains('[') => flag.clone(),
                Some(Value::Bool(false)) if !path.contains('[') => flag.replacen("--", "--no-", 1),
                Some(Value::Number(number)) if !path.contains('[') => format!("{flag} {number}"),
                Some(Value::String(text)) if !path.contains(['[', '.']) => {
                    format!("{flag} {}", shell_quote(text))
                }
                _ => format!("{flag} …"),
            };
            Some(format!(
                "aws rds modify-db-instance --db-instance-identifier {new_name} {value} --apply-immediately"
            ))
        }
    }
}

/// The option of `aws rds modify-db-instance` that sets a member.
fn modify_flag(member: &str) -> String {
    match member {
        "IAMDatabaseAuthenticationEnabled" => "--enable-iam-database-authentication".to_owned(),
        "PerformanceInsightsEnabled" => "--enable-performance-insights".to_owned(),
        "CustomerOwnedIpEnabled" => "--enable-customer-owned-ip".to_owned(),
        "EnabledCloudwatchLogsExports" => "--cloudwatch-logs-export-configuration".to_owned(),
        "VpcSecurityGroups" => "--vpc-security-group-ids".to_owned(),
        "DBParameterGroups" => "--db-parameter-group-name".to_owned(),
        "OptionGroupMemberships" => "--option-group-name".to_owned(),
        "DBSubnetGroup" => "--db-subnet-group-name".to_owned(),
        "DomainMemberships" => "--domain".to_owned(),
        "MultiAZ" => "--multi-az".to_owned(),
        "PerformanceInsightsKMSKeyId" => "--performance-insights-kms-key-id".to_owned(),
        "CACertificateIdentifier" => "--ca-certificate-identifier".to_owned(),
        "DBInstanceClass" => "--db-instance-class".to_owned(),
        other => {
            let mut flag = String::from("--");
            for (index, character) in other.chars().enumerate() {
                if character.is_ascii_uppercase() && index > 0 {
                    flag.push('-');
                }
                flag.push(character.to_ascii_lowercase());
            }
            flag
        }
    }
}

fn shell_quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Compares what users have set in two lists of named settings.
#[must_use]
pub fn settings(
    area: Area,
    old: &BTreeMap<String, Value>,
    new: &BTreeMap<String, Value>,
) -> Vec<Difference> {
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| Difference {
            area,
            path: name.clone(),
            class: DiffClass::Drift,
            old: old.get(name).cloned(),
            new: new.get(name).cloned(),
            reason: String::new(),
            remedy: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn instance(document: Value) -> DbInstance {
        DbInstance {
            region: "eu-central-1".to_owned(),
            document,
        }
    }

    fn diff(old: Value, new: Value) -> Vec<Difference> {
        let old = instance(old);
        let new = instance(new);
        let old_names = NameMap::from([
            ("old-x".to_owned(), "x".to_owned()),
            ("old-r".to_owned(), "r".to_owned()),
        ]);
        let new_names = NameMap::from([
            ("new-x".to_owned(), "x".to_owned()),
            ("new-r".to_owned(), "r".to_owned()),
        ]);
        attributes(
            SideView {
                instance: &old,
                names: &old_names,
            },
            SideView {
                instance: &new,
                names: &new_names,
            },
        )
        .0
    }

    fn classes(differences: &[Difference]) -> Vec<(&str, DiffClass)> {
        differences
            .iter()
            .map(|d| (d.path.as_str(), d.class))
            .collect()
    }

    #[test]
    fn an_instance_does_not_differ_from_itself() {
        let document = json!({"DBInstanceIdentifier": "x", "TagList": [{"Key": "a", "Value": "1"}], "MultiAZ": true});
        assert!(diff(document.clone(), document).is_empty());
    }

    #[test]
    fn names_are_mapped_and_a_missing_replica_is_drift() {
        let old = json!({"DBInstanceIdentifier": "old-x", "ReadReplicaDBInstanceIdentifiers": ["old-r", "old-s"]});
        let new =
            json!({"DBInstanceIdentifier": "new-x", "ReadReplicaDBInstanceIdentifiers": ["new-r"]});
        assert_eq!(
            classes(&diff(old, new)),
            [
                ("DBInstanceIdentifier", DiffClass::Identity),
                ("ReadReplicaDBInstanceIdentifiers[old-s]", DiffClass::Drift),
                ("ReadReplicaDBInstanceIdentifiers[r]", DiffClass::Identity),
            ]
        );
    }

    #[test]
    fn order_of_set_like_lists_does_not_matter() {
        let old = json!({"VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1", "Status": "active"}, {"VpcSecurityGroupId": "sg-2", "Status": "active"}]});
        let new = json!({"VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-2", "Status": "active"}, {"VpcSecurityGroupId": "sg-1", "Status": "active"}]});
        assert!(diff(old, new).is_empty());
    }

    #[test]
    fn a_member_nobody_classified_is_drift() {
        let found = diff(json!({"FrobnicationMode": "on"}), json!({}));
        assert_eq!(classes(&found), [("FrobnicationMode", DiffClass::Drift)]);
    }

    #[test]
    fn a_lost_security_group_is_drift_with_a_remedy() {
        let old =
            json!({"VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1", "Status": "active"}]});
        let found = diff(old, json!({"VpcSecurityGroups": []}));
        assert!(found.iter().all(|d| d.class == DiffClass::Drift));
        assert!(
            found[0]
                .remedy
                .as_deref()
                .unwrap()
                .contains("--vpc-security-group-ids")
        );
    }

    #[test]
    fn own_tags_are_intended_and_reserved_tags_are_identity() {
        let old = json!({"TagList": [{"Key": "aws:cloudformation:stack-name", "Value": "s"}, {"Key": "team", "Value": "a"}]});
        let new = json!({"TagList": [{"Key": "atrest:run", "Value": "r"}]});
        let found = diff(old, new);
        let of = |path: &str| {
            found
                .iter()
                .find(|d| d.path.starts_with(path))
                .unwrap()
                .class
        };
        assert_eq!(of("TagList[atrest:run]"), DiffClass::Intended);
        assert_eq!(of("TagList[aws:cloud"), DiffClass::Identity);
        assert_eq!(of("TagList[team]"), DiffClass::Drift);
    }

    #[test]
    fn pending_modifications_are_drift_even_when_equal() {
        let both = json!({"PendingModifiedValues": {"MultiAZ": true}});
        assert_eq!(
            classes(&diff(both.clone(), both)),
            [("PendingModifiedValues.MultiAZ", DiffClass::Drift)]
        );
    }

    #[test]
    fn encryption_is_intended_and_times_are_volatile() {
        let old = json!({"StorageEncrypted": false, "InstanceCreateTime": "2020-01-01T00:00:00Z"});
        let new = json!({"StorageEncrypted": true, "KmsKeyId": "arn:k", "InstanceCreateTime": "2026-01-01T00:00:00Z"});
        assert_eq!(
            classes(&diff(old, new)),
            [
                ("InstanceCreateTime", DiffClass::Volatile),
                ("KmsKeyId", DiffClass::Intended),
                ("StorageEncrypted", DiffClass::Intended),
            ]
        );
    }

    #[test]
    fn two_items_under_one_key_are_both_compared() {
        let old = json!({"TagList": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]});
        let new = json!({"TagList": [{"Key": "a", "Value": "1"}]});
        assert_eq!(diff(old, new).len(), 2);
    }

    #[test]
    fn the_remedy_of_a_boolean_is_a_flag() {
        let found = diff(
            json!({"DeletionProtection": true}),
            json!({"DeletionProtection": false}),
        );
        assert_eq!(
            found[0].remedy.as_deref(),
            Some(
                "aws rds modify-db-instance --db-instance-identifier  --deletion-protection --apply-immediately"
            )
        );
    }
}
