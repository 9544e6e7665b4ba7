//! The pair diff of describe answers: pure, linear in the leaves.

mod remedy;

use std::collections::BTreeMap;

use atrest_model::attribute::cluster::cluster_attribute;
use atrest_model::attribute::{
    Attribute, AttributeClass, attribute, multi_az_member_attribute, regression,
};
use atrest_model::diff::{Area, DiffClass, Difference};
use atrest_model::document::bool_of;
use atrest_model::instance::{DbCluster, DbInstance};
use atrest_model::plan::TAG_PREFIX;
use serde_json::Value;

use self::remedy::Mend;
pub(crate) use self::remedy::quote;

/// Names of one side, each with the name clients know: `old-x` → `x`.
pub type NameMap = BTreeMap<String, String>;

const CLUSTER_MEMBERS: &str = "DBClusterMembers";
const BACKUP_REPLICATIONS: &str = "DBInstanceAutomatedBackupsReplications";

/// Lists compared as sets: the member that names an item. Lists of strings need no entry.
const KEYED_LISTS: &[(&str, &[&str])] = &[
    ("AdditionalStorageVolumes", &["VolumeName"]),
    ("AssociatedRoles", &["FeatureName", "RoleArn"]),
    (BACKUP_REPLICATIONS, &["DBInstanceAutomatedBackupsArn"]),
    (CLUSTER_MEMBERS, &["DBInstanceIdentifier"]),
    (
        "DBClusterOptionGroupMemberships",
        &["DBClusterOptionGroupName"],
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
    "DBClusterIdentifier",
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
///
/// Both answers are walked side by side, once; a path is written out only for what differs.
#[must_use]
pub fn attributes(old: SideView<'_>, new: SideView<'_>) -> (Vec<Difference>, u64) {
    let table = match old.instance.is_multi_az_member() {
        true => multi_az_member_attribute,
        false => attribute,
    };
    walk(table, true, old, new)
}

/// The same for two clusters, whose names map like those of instances. What mends a drift is not told.
#[must_use]
pub fn cluster_attributes(
    old: &DbCluster,
    old_names: &NameMap,
    new: &DbCluster,
    new_names: &NameMap,
) -> (Vec<Difference>, u64) {
    let as_instance = |cluster: &DbCluster| DbInstance {
        region: cluster.region.clone(),
        document: cluster.document.clone(),
    };
    let (old, new) = (as_instance(old), as_instance(new));
    walk(
        cluster_attribute,
        false,
        SideView {
            instance: &old,
            names: old_names,
        },
        SideView {
            instance: &new,
            names: new_names,
        },
    )
}

fn walk(
    table: fn(&str) -> Option<&'static Attribute>,
    mends: bool,
    old: SideView<'_>,
    new: SideView<'_>,
) -> (Vec<Difference>, u64) {
    let mut walk = Walk {
        table,
        mends,
        old,
        new,
        top: None,
        path: String::with_capacity(128),
        compared: 0,
        differences: Vec::new(),
    };
    if let (Some(a), Some(b)) = (
        old.instance.document.as_object(),
        new.instance.document.as_object(),
    ) {
        for (name, value) in a {
            walk.member(name, Some(value), b.get(name));
        }
        for (name, value) in b {
            if !a.contains_key(name) {
                walk.member(name, None, Some(value));
            }
        }
    }
    let mut differences = walk.differences;
    differences.sort_by(|a, b| a.path.cmp(&b.path));
    (differences, walk.compared)
}

/// The state of one comparison.
struct Walk<'a> {
    table: fn(&str) -> Option<&'static Attribute>,
    /// Whether drift is of a DB instance: then the call that mends it and the controls it breaks are known.
    mends: bool,
    old: SideView<'a>,
    new: SideView<'a>,
    /// The row of the top-level member at hand.
    top: Option<&'static Attribute>,
    path: String,
    compared: u64,
    differences: Vec<Difference>,
}

impl<'a> Walk<'a> {
    /// A top-level member.
    fn member(&mut self, name: &str, old: Option<&'a Value>, new: Option<&'a Value>) {
        self.top = (self.table)(name);
        self.path.clear();
        self.path.push_str(name);
        self.values(name, old, new);
    }

    /// The values at the present path.
    fn values(&mut self, member: &str, old: Option<&'a Value>, new: Option<&'a Value>) {
        match (old, new) {
            (None, None) => {}
            (Some(Value::Object(a)), Some(Value::Object(b))) => {
                for (name, value) in a {
                    self.below('.', name, "", |walk| {
                        walk.values(name, Some(value), b.get(name));
                    });
                }
                for (name, value) in b {
                    if !a.contains_key(name) {
                        self.below('.', name, "", |walk| walk.values(name, None, Some(value)));
                    }
                }
            }
            (Some(Value::Array(a)), Some(Value::Array(b))) => self.lists(member, a, b),
            (Some(Value::Object(a)), None) => {
                for (name, value) in a {
                    self.below('.', name, "", |walk| walk.values(name, Some(value), None));
                }
            }
            (None, Some(Value::Object(b))) => {
                for (name, value) in b {
                    self.below('.', name, "", |walk| walk.values(name, None, Some(value)));
                }
            }
            (Some(Value::Array(a)), None) => self.lists(member, a, &[]),
            (None, Some(Value::Array(b))) => self.lists(member, &[], b),
            // A structure on one side only: nothing in it has a counterpart.
            (Some(a), Some(b)) if is_structure(a) != is_structure(b) => {
                self.values(member, Some(a), None);
                self.values(member, None, Some(b));
            }
            // A list and an object are both structures, of no common part.
            (Some(a), Some(b)) if is_structure(a) => {
                self.values(member, Some(a), None);
                self.values(member, None, Some(b));
            }
            (a, b) => self.leaf(member, a, b),
        }
    }

    /// Two lists as sets: items are paired by their keys.
    fn lists(&mut self, member: &str, old: &'a [Value], new: &'a [Value]) {
        let old = keyed(member, old, self.old.names);
        let mut new = keyed(member, new, self.new.names);
        // Nearly always both hold the same in the same order.
        let same = old.len() == new.len() && old.iter().zip(&new).all(|(a, b)| a.0 == b.0);
        if same {
            for ((key, a), (_, b)) in old.into_iter().zip(new) {
                self.below('[', &key, "]", |walk| walk.values(member, Some(a), Some(b)));
            }
            return;
        }
        let mut others: BTreeMap<&str, &Value> =
            new.iter().map(|(key, value)| (&**key, *value)).collect();
        for (key, a) in &old {
            let b = others.remove(&**key);
            self.below('[', key, "]", |walk| walk.values(member, Some(a), b));
        }
        let left: Vec<String> = others.into_keys().map(str::to_owned).collect();
        new.retain(|(key, _)| {
            left.binary_search_by(|known| known.as_str().cmp(key))
                .is_ok()
        });
        for (key, b) in &new {
            self.below('[', key, "]", |walk| walk.values(member, None, Some(b)));
        }
    }

    /// One step down, and back.
    fn below(&mut self, open: char, name: &str, close: &str, then: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push(open);
        self.path.push_str(name);
        self.path.push_str(close);
        then(self);
        self.path.truncate(length);
    }

    /// Two leaves, of which one may be missing.
    fn leaf(&mut self, member: &str, old: Option<&'a Value>, new: Option<&'a Value>) {
        self.compared += 1;
        let pending = self
            .top
            .is_some_and(|row| row.class == AttributeClass::Pending);
        if old == new && !pending {
            return;
        }
        let mapped = |value: Option<&Value>, names| map_name(member, value?.as_str()?, names);
        let equal = match (mapped(old, self.old.names), mapped(new, self.new.names)) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        };
        let (class, reason) = if pending {
            (DiffClass::Drift, self.top.map_or("", |row| row.reason))
        } else if equal {
            (
                DiffClass::Identity,
                "the names of the migration; equal once they are mapped",
            )
        } else if self.path == "AvailabilityZone" && self.both_multi_az() {
            (
                DiffClass::Volatile,
                "RDS chooses the zones of a Multi-AZ instance; no call can name one, and they change places at each failover",
            )
        } else {
            classify(&self.path, self.top, old.is_some() && new.is_some())
        };
        let difference = Difference {
            area: Area::Attribute,
            path: self.path.clone(),
            class,
            old: old.cloned(),
            new: new.cloned(),
            reason: reason.to_owned(),
            remedy: None,
            controls: Vec::new(),
        };
        self.differences.push(self.mended(difference));
    }

    fn both_multi_az(&self) -> bool {
        [self.old.instance, self.new.instance]
            .iter()
            .all(|instance| bool_of(&instance.document, "MultiAZ") == Some(true))
    }

    /// A drift with what mends it and the controls it breaks.
    fn mended(&self, mut difference: Difference) -> Difference {
        if difference.class != DiffClass::Drift || !self.mends {
            return difference;
        }
        let (old, new) = (self.old.instance, self.new.instance);
        if let Some(row) = self.top {
            match remedy::remedy(&difference.path, row, old, new) {
                Mend::Command(command) => difference.remedy = Some(command),
                Mend::Never(why) if difference.reason.is_empty() => {
                    difference.reason = why.to_owned();
                }
                Mend::Never(_) | Mend::Silent => {}
            }
        }
        difference.controls = regression::broken(&difference.path, &old.document, &new.document);
        difference
    }
}

fn is_structure(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// The items of a list, each with its key; a key that is there before gets a prime, so that no item hides another.
fn keyed<'a>(member: &str, items: &'a [Value], names: &NameMap) -> Vec<(String, &'a Value)> {
    let mut keyed: Vec<(String, &Value)> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let key = match item {
            Value::String(text) => map_name(member, text, names).unwrap_or_else(|| text.clone()),
            Value::Object(_) if member == CLUSTER_MEMBERS => {
                let name = item_key(member, item);
                map_name("DBInstanceIdentifier", &name, names).unwrap_or(name)
            }
            Value::Object(_) if key_members(member).is_some() => item_key(member, item),
            _ => index.to_string(),
        };
        keyed.push((key, item));
    }
    if keyed.len() > 1 {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (key, _) in &mut keyed {
            let before = seen.entry(key.clone()).or_default();
            *before += 1;
            key.extend(std::iter::repeat_n('\'', *before - 1));
        }
    }
    keyed
}

fn key_members(list: &str) -> Option<&'static [&'static str]> {
    let found = KEYED_LISTS.iter().find(|(name, _)| *name == list);
    found.map(|(_, keys)| *keys)
}

/// What names an item of a keyed list.
fn item_key(list: &str, item: &Value) -> String {
    let text = |member: &str| item.get(member).and_then(Value::as_str).unwrap_or_default();
    // Its ARN is new for every instance; what counts is the region that the backups are copied to.
    if list == BACKUP_REPLICATIONS {
        let arn = text("DBInstanceAutomatedBackupsArn");
        return arn.split(':').nth(3).unwrap_or(arn).to_owned();
    }
    match key_members(list).unwrap_or_default() {
        [member] => text(member).to_owned(),
        members => members
            .iter()
            .map(|member| text(member))
            .collect::<Vec<_>>()
            .join(" "),
    }
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

/// Class of a difference between two unequal leaves.
fn classify(path: &str, row: Option<&'static Attribute>, both: bool) -> (DiffClass, &'static str) {
    let top = row.map_or("", |row| row.name);
    let last = path.rsplit('.').next().unwrap_or(path);
    match top {
        "TagList"
            if path
                .strip_prefix("TagList[")
                .is_some_and(|key| key.starts_with(TAG_PREFIX)) =>
        {
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
        "Endpoint" if path.starts_with("Endpoint.") && last != "Address" => {
            return (DiffClass::Drift, "");
        }
        "MasterUserSecret" if last == "SecretStatus" && both => {
            return (DiffClass::Volatile, "status of the managed secret");
        }
        "MasterUserSecret" if last == "KmsKeyId" || !both => return (DiffClass::Drift, ""),
        BACKUP_REPLICATIONS if both => {
            return (
                DiffClass::Identity,
                "the copied backups of an instance have an ARN of their own",
            );
        }
        // Mapped and still different: a replica is missing or hangs elsewhere.
        top if NAME_MEMBERS.contains(&top) => {
            return (DiffClass::Drift, "different even after names are mapped");
        }
        _ => {}
    }
    match row.map(|row| (row.class, row.reason)) {
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
            controls: Vec::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
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
    fn a_zone_is_carried_unless_rds_chooses_it() {
        let of = |multi: bool, zone: &str| json!({"MultiAZ": multi, "AvailabilityZone": zone});
        for (old, new, class) in [
            (of(false, "a"), of(false, "b"), DiffClass::Drift),
            (of(true, "a"), of(true, "b"), DiffClass::Volatile),
        ] {
            assert_eq!(classes(&diff(old, new)), [("AvailabilityZone", class)]);
        }
        // Only one of them is Multi-AZ: that is drift, and so is the zone.
        let found = diff(of(true, "a"), of(false, "b"));
        assert!(
            found.iter().all(|d| d.class == DiffClass::Drift),
            "{found:?}"
        );
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
                "aws rds modify-db-instance --db-instance-identifier '' --deletion-protection --apply-immediately --region eu-central-1"
            )
        );
    }

    /// `DbInstance` of the SDK, printed, names each of its members.
    #[test]
    fn every_member_the_sdk_knows_is_classified() {
        let printed = format!("{:#?}", aws_sdk_rds::types::DbInstance::builder().build());
        let known: Vec<String> = printed
            .lines()
            .filter_map(|line| line.strip_prefix("    ")?.split_once(':'))
            .map(|(name, _)| name.replace('_', ""))
            .collect();
        assert!(known.len() > 90, "{printed}");
        let classified: Vec<String> = atrest_model::attribute::ATTRIBUTES
            .iter()
            .map(|row| row.name.to_lowercase())
            .collect();
        let unknown: Vec<&String> = known.iter().filter(|n| !classified.contains(n)).collect();
        assert!(
            unknown.is_empty(),
            "nobody has classified {unknown:?}: add them to model/src/attribute.rs"
        );
        let gone: Vec<&String> = classified.iter().filter(|n| !known.contains(n)).collect();
        assert!(gone.is_empty(), "the SDK does not know {gone:?}");
    }

    /// The same for `DbCluster`.
    #[test]
    fn every_member_of_a_cluster_the_sdk_knows_is_classified() {
        let printed = format!("{:#?}", aws_sdk_rds::types::DbCluster::builder().build());
        let known: Vec<String> = printed
            .lines()
            .filter_map(|line| line.strip_prefix("    ")?.split_once(':'))
            .map(|(name, _)| name.replace('_', ""))
            .collect();
        assert!(known.len() > 80, "{printed}");
        let classified: Vec<String> = atrest_model::attribute::cluster::CLUSTER_ATTRIBUTES
            .iter()
            .map(|row| row.name.to_lowercase())
            .collect();
        let unknown: Vec<&String> = known.iter().filter(|n| !classified.contains(n)).collect();
        assert!(
            unknown.is_empty(),
            "nobody has classified {unknown:?}: add them to model/src/attribute/cluster.rs"
        );
        let gone: Vec<&String> = classified.iter().filter(|n| !known.contains(n)).collect();
        assert!(gone.is_empty(), "the SDK does not know {gone:?}");
    }

    #[test]
    fn clusters_are_compared_by_their_own_table_and_members_by_their_real_names() {
        let cluster = |document: Value| DbCluster {
            region: "eu-central-1".to_owned(),
            document,
        };
        let members = |writer: &str, reader: &str| {
            json!([
                {"DBInstanceIdentifier": writer, "IsClusterWriter": true},
                {"DBInstanceIdentifier": reader, "IsClusterWriter": false},
            ])
        };
        let old = cluster(json!({
            "DBClusterIdentifier": "old-sky", "DBClusterMembers": members("old-sky-1", "old-sky-2"),
            "Endpoint": "old-sky.cluster-x", "BackupRetentionPeriod": 7, "Port": 3306,
        }));
        let new = cluster(json!({
            "DBClusterIdentifier": "new-sky", "DBClusterMembers": members("new-sky-1", "new-sky-2"),
            "Endpoint": "new-sky.cluster-x", "BackupRetentionPeriod": 1, "Port": 3306,
        }));
        let map = |prefix: &str| -> NameMap {
            ["sky", "sky-1", "sky-2"]
                .iter()
                .map(|name| (format!("{prefix}-{name}"), (*name).to_owned()))
                .collect()
        };
        let (found, _leaves) = cluster_attributes(&old, &map("old"), &new, &map("new"));
        let drift: Vec<&str> = found
            .iter()
            .filter(|d| d.class == DiffClass::Drift)
            .map(|d| d.path.as_str())
            .collect();
        assert_eq!(drift, ["BackupRetentionPeriod"]);
        assert!(found.iter().all(|d| d.remedy.is_none()));
    }

    /// The oracle: flatten both sides and compare the maps.
    fn leaves(path: &str, value: &Value, out: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    leaves(&path, value, out);
                }
            }
            Value::Array(items) => {
                for item in items {
                    let key = item["Key"].as_str().or(item.as_str()).unwrap();
                    leaves(&format!("{path}[{key}]"), item, out);
                }
            }
            leaf => {
                out.insert(path.to_owned(), leaf.clone());
            }
        }
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = || {
            prop_oneof![
                any::<bool>().prop_map(Value::from),
                "[ab]{0,2}".prop_map(Value::from)
            ]
        };
        let tags = proptest::collection::btree_map("[a-d]", "[xy]", 0..4);
        let logs = proptest::collection::btree_set("[a-d]", 0..4);
        let group = proptest::collection::btree_map("[A-C]", leaf(), 0..3);
        (tags, logs, group, proptest::collection::btree_map("[A-D]", leaf(), 0..4), any::<bool>()).prop_map(
            |(tags, logs, group, scalars, reversed)| {
                let mut tags: Vec<Value> =
                    tags.into_iter().map(|(k, v)| json!({"Key": k, "Value": v})).collect();
                if reversed {
                    tags.reverse();
                }
                let mut document = json!({"TagList": tags, "EnabledCloudwatchLogsExports": logs, "DBSubnetGroup": group});
                for (name, value) in scalars {
                    document[name] = value;
                }
                document
            },
        )
    }

    proptest! {
        #[test]
        fn the_walk_finds_what_a_comparison_of_all_leaves_finds(a in document(), b in document()) {
            let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
            leaves("", &a, &mut old);
            leaves("", &b, &mut new);
            let paths: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            let wanted: Vec<&String> =
                paths.iter().copied().filter(|path| old.get(*path) != new.get(*path)).collect();
            let (a, b) = (instance(a.clone()), instance(b.clone()));
            let none = NameMap::new();
            let (found, compared) = attributes(
                SideView { instance: &a, names: &none },
                SideView { instance: &b, names: &none },
            );
            prop_assert_eq!(compared, paths.len() as u64);
            prop_assert_eq!(found.iter().map(|d| &d.path).collect::<Vec<_>>(), wanted);
            for difference in &found {
                prop_assert_eq!(difference.old.as_ref(), old.get(&difference.path));
                prop_assert_eq!(difference.new.as_ref(), new.get(&difference.path));
            }
        }
    }
}
