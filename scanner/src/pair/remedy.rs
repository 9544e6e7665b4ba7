//! Commands that mend a drift: whole, with every value quoted for a shell. What no command can mend has none.
//!
//! A remedy always brings the old side's value to the new side. It is made from both describe answers and not from the
//! leaf that differs, because lists are set whole and some settings only together.

use std::fmt::Write as _;

use atrest_model::attribute::{Attribute, Remedy};
use atrest_model::document::{bool_of, int_of, list_of, str_of, strings_of};
use atrest_model::instance::DbInstance;
use serde_json::{Value, json};

/// What mends a drift, or why nothing does.
pub(super) enum Mend {
    /// A command.
    Command(String),
    /// No command: the reason, for a person.
    Never(&'static str),
    /// No command and nothing to say beyond what the table says.
    Silent,
}

/// The remedy of a drift at `path` of `row`.
pub(super) fn remedy(path: &str, row: &Attribute, old: &DbInstance, new: &DbInstance) -> Mend {
    let (from, to) = (&old.document, &new.document);
    if path.ends_with(".ParameterApplyStatus") {
        return Mend::Command(format!(
            "aws rds reboot-db-instance --db-instance-identifier {}{}",
            quote(new.identifier()),
            region(new)
        ));
    }
    match row.remedy {
        Remedy::None | Remedy::Fixed => Mend::Silent,
        Remedy::OtherApi(_) => other_api(path, row.name, old, new),
        Remedy::Modify => match options(row.name, path, from, to) {
            Ok(options) => Mend::Command(format!(
                "aws rds modify-db-instance --db-instance-identifier {}{options} --apply-immediately{}",
                quote(new.identifier()),
                region(new)
            )),
            Err(why) => Mend::Never(why),
        },
    }
}

fn region(instance: &DbInstance) -> String {
    format!(" --region {}", quote(&instance.region))
}

/// A word of a POSIX shell that means `text`.
pub(crate) fn quote(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Options of `modify-db-instance`, each with a space before it.
struct Options(String);

impl Options {
    /// A switch: `--multi-az`, `--no-multi-az`.
    fn flag(&mut self, name: &str, on: bool) {
        let no = if on { "" } else { "no-" };
        // Writing to a String cannot fail.
        let _written = write!(self.0, " --{no}{name}");
    }

    fn value(&mut self, name: &str, value: impl std::fmt::Display) {
        let _written = write!(self.0, " --{name} {}", quote(&value.to_string()));
    }

    /// A value, where it is there.
    fn maybe(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.value(name, value);
        }
    }

    /// Several words after one option.
    fn values<'a>(&mut self, name: &str, values: impl Iterator<Item = &'a str>) {
        let _written = write!(self.0, " --{name}");
        for value in values {
            let _written = write!(self.0, " {}", quote(value));
        }
    }
}

/// Storage below this many GiB has the baseline of gp3 and refuses other values. SQL Server has no such bound.
fn is_striped(document: &Value) -> bool {
    let bound = match str_of(document, "Engine").unwrap_or_default() {
        engine if engine.starts_with("sqlserver") => 0,
        engine if engine.starts_with("oracle") => 200,
        _ => 400,
    };
    int_of(document, "AllocatedStorage").is_some_and(|gib| gib >= bound)
}

/// What `modify-db-instance` is given to bring a member to the old side's value, or why it cannot be.
fn options(member: &str, path: &str, old: &Value, new: &Value) -> Result<String, &'static str> {
    let mut out = Options(String::new());
    let first = |list: &str, member: &str| {
        let item = list_of(old, list).first()?;
        str_of(item, member).map(str::to_owned)
    };
    match member {
        "AllocatedStorage" => {
            let (old, new) = (int_of(old, member), int_of(new, member));
            if new > old {
                return Err("storage cannot be made smaller on an existing instance");
            }
            out.maybe("allocated-storage", old);
        }
        "StorageType" | "Iops" | "StorageThroughput" => {
            let kind = str_of(old, "StorageType").ok_or("the old side shows no storage type")?;
            out.value("storage-type", kind);
            let settable = kind != "gp3" || is_striped(old);
            if settable && kind != "gp2" && kind != "standard" {
                out.maybe("iops", int_of(old, "Iops"));
            }
            if settable && kind == "gp3" {
                out.maybe("storage-throughput", int_of(old, "StorageThroughput"));
            }
        }
        // There is no switch for it: a limit at the present size switches the growth off.
        "MaxAllocatedStorage" => {
            let limit = int_of(old, member).or_else(|| int_of(new, "AllocatedStorage"));
            out.maybe("max-allocated-storage", limit);
        }
        "AdditionalStorageVolumes" => {
            let volumes: Vec<Value> = list_of(old, member)
                .iter()
                .map(|volume| {
                    let mut volume = volume.clone();
                    if let Some(members) = volume.as_object_mut() {
                        members.remove("StorageVolumeStatus");
                    }
                    volume
                })
                .collect();
            if volumes.is_empty() {
                return Err(
                    "the old side has no additional volume; its data has to be moved before one is removed",
                );
            }
            out.value("additional-storage-volumes", json!(volumes));
        }
        "MonitoringInterval" | "MonitoringRoleArn" => {
            let interval = int_of(old, "MonitoringInterval").unwrap_or(0);
            out.value("monitoring-interval", interval);
            if interval > 0 {
                out.maybe("monitoring-role-arn", str_of(old, "MonitoringRoleArn"));
            }
        }
        "PerformanceInsightsEnabled"
        | "PerformanceInsightsKMSKeyId"
        | "PerformanceInsightsRetentionPeriod"
        | "DatabaseInsightsMode" => insights(old, new, &mut out)?,
        "EngineVersion" => {
            let (from, to) = (
                str_of(old, member).unwrap_or_default(),
                str_of(new, member).unwrap_or_default(),
            );
            if version(to) > version(from) {
                return Err("an engine version cannot be taken back on an existing instance");
            }
            out.value("engine-version", from);
            out.flag("allow-major-version-upgrade", true);
        }
        "MultiTenant" if bool_of(old, member) != Some(true) => {
            return Err("an instance cannot leave the multi-tenant configuration");
        }
        "DomainMemberships" => domain(old, &mut out),
        "ProcessorFeatures" => {
            let features: Vec<String> = list_of(old, member)
                .iter()
                .filter_map(|f| {
                    Some(format!(
                        "Name={},Value={}",
                        str_of(f, "Name")?,
                        str_of(f, "Value")?
                    ))
                })
                .collect();
            if features.is_empty() {
                out.flag("use-default-processor-features", true);
            } else {
                out.values("processor-features", features.iter().map(String::as_str));
            }
        }
        "VpcSecurityGroups" => {
            let groups: Vec<&str> = list_of(old, member)
                .iter()
                .filter(|group| str_of(group, "Status") != Some("removing"))
                .filter_map(|group| str_of(group, "VpcSecurityGroupId"))
                .collect();
            if groups.is_empty() {
                return Err("the old side shows no security group; an instance must have one");
            }
            out.values("vpc-security-group-ids", groups.into_iter());
        }
        "EnabledCloudwatchLogsExports" => {
            let (had, has): (Vec<&str>, Vec<&str>) = (
                strings_of(old, member).collect(),
                strings_of(new, member).collect(),
            );
            let without = |these: &[&str], those: &[&str]| -> Vec<String> {
                let mut only: Vec<String> = these
                    .iter()
                    .filter(|log| !those.contains(log))
                    .map(|log| (*log).to_owned())
                    .collect();
                only.sort();
                only
            };
            let mut wish = serde_json::Map::new();
            for (name, logs) in [
                ("EnableLogTypes", without(&had, &has)),
                ("DisableLogTypes", without(&has, &had)),
            ] {
                if !logs.is_empty() {
                    wish.insert(name.to_owned(), json!(logs));
                }
            }
            out.value("cloudwatch-logs-export-configuration", Value::Object(wish));
        }
        "DBParameterGroups" => {
            let group = first(member, "DBParameterGroupName");
            out.maybe("db-parameter-group-name", group);
        }
        "OptionGroupMemberships" => {
            let group = first(member, "OptionGroupName");
            out.maybe("option-group-name", group);
        }
        "DBSubnetGroup" => {
            let group = old.get(member).and_then(|g| str_of(g, "DBSubnetGroupName"));
            out.maybe("db-subnet-group-name", group);
        }
        "Endpoint" if path == "Endpoint.Port" => {
            let port = old
                .get(member)
                .and_then(|endpoint| int_of(endpoint, "Port"));
            out.maybe("db-port-number", port);
        }
        "MasterUserSecret" => match old.get(member) {
            None => {
                return Err(
                    "the old side has no managed secret: set a password of your own with --no-manage-master-user-password",
                );
            }
            Some(secret) => {
                out.flag("manage-master-user-password", true);
                out.maybe("master-user-secret-kms-key-id", str_of(secret, "KmsKeyId"));
            }
        },
        "IAMDatabaseAuthenticationEnabled" => {
            switch(&mut out, "enable-iam-database-authentication", old, member);
        }
        "CustomerOwnedIpEnabled" => switch(&mut out, "enable-customer-owned-ip", old, member),
        _ => match old.get(member) {
            Some(Value::Bool(on)) => out.flag(&kebab(member), *on),
            Some(Value::String(text)) => out.value(&kebab(member), text),
            Some(Value::Number(number)) => out.value(&kebab(member), number),
            _ => return Err("the old side shows no value that could be set"),
        },
    }
    if out.0.is_empty() {
        return Err("the old side shows no value that could be set");
    }
    Ok(out.0)
}

/// A switch that the old side does not show was never thrown.
fn switch(out: &mut Options, name: &str, old: &Value, member: &str) {
    out.flag(name, bool_of(old, member).unwrap_or(false));
}

/// Performance Insights and Database Insights: RDS takes mode and retention only together.
fn insights(old: &Value, new: &Value, out: &mut Options) -> Result<(), &'static str> {
    let on = |side| bool_of(side, "PerformanceInsightsEnabled") == Some(true);
    let mode = str_of(old, "DatabaseInsightsMode");
    if !on(old) {
        out.flag("enable-performance-insights", false);
        out.maybe("database-insights-mode", mode);
        return Ok(());
    }
    let key = str_of(old, "PerformanceInsightsKMSKeyId");
    if on(new) && key != str_of(new, "PerformanceInsightsKMSKeyId") {
        return Err(
            "the key of Performance Insights cannot be changed while it is on; switching it off discards its data",
        );
    }
    out.flag("enable-performance-insights", true);
    if !on(new) {
        out.maybe("performance-insights-kms-key-id", key);
    }
    out.maybe(
        "performance-insights-retention-period",
        int_of(old, "PerformanceInsightsRetentionPeriod"),
    );
    out.maybe("database-insights-mode", mode);
    Ok(())
}

/// A managed directory by id and role, or a self-managed one by name.
fn domain(old: &Value, out: &mut Options) {
    let Some(membership) = list_of(old, "DomainMemberships").first() else {
        out.flag("disable-domain", true);
        return;
    };
    for (option, member) in [
        ("domain", "Domain"),
        ("domain-iam-role-name", "IAMRoleName"),
        ("domain-fqdn", "FQDN"),
        ("domain-ou", "OU"),
        ("domain-auth-secret-arn", "AuthSecretArn"),
    ] {
        out.maybe(option, str_of(membership, member));
    }
    let mut addresses = strings_of(membership, "DnsIps").peekable();
    if addresses.peek().is_some() {
        out.values("domain-dns-ips", addresses);
    }
}

/// `8.0.39` as numbers; what is no number counts as 0.
fn version(text: &str) -> Vec<u64> {
    let parts = text.split(|c: char| !c.is_ascii_digit());
    parts.map(|part| part.parse().unwrap_or(0)).collect()
}

/// `DBInstanceClass` → `db-instance-class`, as the AWS CLI names options.
fn kebab(member: &str) -> String {
    match member {
        "CACertificateIdentifier" => return "ca-certificate-identifier".to_owned(),
        "MultiAZ" => return "multi-az".to_owned(),
        _ => {}
    }
    let member = member.replacen("DB", "Db", 1);
    let mut name = String::with_capacity(member.len() + 8);
    for (index, character) in member.chars().enumerate() {
        if character.is_ascii_uppercase() && index > 0 {
            name.push('-');
        }
        name.push(character.to_ascii_lowercase());
    }
    name
}

/// Commands other than `modify-db-instance`.
fn other_api(path: &str, member: &str, old: &DbInstance, new: &DbInstance) -> Mend {
    let (from, to) = (&old.document, &new.document);
    let arn = quote(new.arn());
    let region = region(new);
    let command = match member {
        "TagList" => tags(path, from, to).map(|rest| {
            let verb = if rest.contains(" --tags ") {
                "add-tags-to"
            } else {
                "remove-tags-from"
            };
            format!("aws rds {verb}-resource --resource-name {arn}{rest}{region}")
        }),
        "AssociatedRoles" => role(path, from, to).map(|(verb, rest)| {
            format!(
                "aws rds {verb}-db-instance --db-instance-identifier {}{rest}{region}",
                quote(new.identifier())
            )
        }),
        "DBInstanceAutomatedBackupsReplications" => {
            return replication(path, from, to, new);
        }
        "ActivityStreamPolicyStatus" => match str_of(from, member) {
            Some(state @ ("locked" | "unlocked")) => Some(format!(
                "aws rds modify-activity-stream --resource-arn {arn} --audit-policy-state {state}{region}"
            )),
            _ => None,
        },
        _ => activity_stream(from, &arn, &region),
    };
    command.map_or(Mend::Silent, Mend::Command)
}

/// The item of a list of objects that a path names, by what [`super::item_key`] makes of it.
fn item<'a>(path: &str, list: &str, side: &'a Value) -> Option<&'a Value> {
    let rest = path.strip_prefix(list)?.strip_prefix('[')?;
    let items = list_of(side, list);
    items.iter().find(|item| {
        let key = super::item_key(list, item);
        rest.strip_prefix(key.as_str())
            .is_some_and(|rest| rest.starts_with(']'))
    })
}

fn tags(path: &str, old: &Value, new: &Value) -> Option<String> {
    // As JSON: a key may begin with a dash, and the CLI would read `file://…` from a file.
    if let Some(tag) = item(path, "TagList", old) {
        let (key, value) = (
            str_of(tag, "Key")?,
            str_of(tag, "Value").unwrap_or_default(),
        );
        let tags = json!([{"Key": key, "Value": value}]);
        return Some(format!(" --tags {}", quote(&tags.to_string())));
    }
    let key = str_of(item(path, "TagList", new)?, "Key")?;
    Some(format!(" --tag-keys {}", quote(&json!([key]).to_string())))
}

fn role(path: &str, old: &Value, new: &Value) -> Option<(&'static str, String)> {
    let (verb, role) = match item(path, "AssociatedRoles", old) {
        Some(role) => ("add-role-to", role),
        None => ("remove-role-from", item(path, "AssociatedRoles", new)?),
    };
    let feature = str_of(role, "FeatureName").unwrap_or_default();
    let arn = str_of(role, "RoleArn")?;
    Some((
        verb,
        format!(
            " --role-arn {} --feature-name {}",
            quote(arn),
            quote(feature)
        ),
    ))
}

/// Backups copied to another region: begun from there.
fn replication(path: &str, old: &Value, new: &Value, instance: &DbInstance) -> Mend {
    let list = "DBInstanceAutomatedBackupsReplications";
    let there = |side| {
        let arn = str_of(item(path, list, side)?, "DBInstanceAutomatedBackupsArn")?;
        arn.split(':').nth(3)
    };
    let (verb, region) = match (there(old), there(new)) {
        (Some(region), _) => ("start", region),
        (None, Some(region)) => ("stop", region),
        (None, None) => return Mend::Silent,
    };
    let key = if verb == "start" {
        " --kms-key-id alias/aws/rds"
    } else {
        ""
    };
    Mend::Command(format!(
        "aws rds {verb}-db-instance-automated-backups-replication --region {} --source-region {} --source-db-instance-arn {}{key}",
        quote(region),
        quote(&instance.region),
        quote(instance.arn())
    ))
}

fn activity_stream(old: &Value, arn: &str, region: &str) -> Option<String> {
    if !matches!(
        str_of(old, "ActivityStreamStatus"),
        Some("started" | "starting")
    ) {
        return Some(format!(
            "aws rds stop-activity-stream --resource-arn {arn} --apply-immediately{region}"
        ));
    }
    let mode = str_of(old, "ActivityStreamMode")?;
    let key = str_of(old, "ActivityStreamKmsKeyId")?;
    let native = match bool_of(old, "ActivityStreamEngineNativeAuditFieldsIncluded") {
        Some(true) => " --engine-native-audit-fields-included",
        _ => "",
    };
    Some(format!(
        "aws rds start-activity-stream --resource-arn {arn} --mode {} --kms-key-id {}{native} --apply-immediately{region}",
        quote(mode),
        quote(key)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quote("sg-1"), "sg-1");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("it's; rm -rf $HOME"), "'it'\\''s; rm -rf $HOME'");
    }

    #[test]
    fn options_are_named_as_the_aws_cli_names_them() {
        for (member, option) in [
            ("DBInstanceClass", "db-instance-class"),
            ("MultiAZ", "multi-az"),
            ("CACertificateIdentifier", "ca-certificate-identifier"),
            ("PreferredBackupWindow", "preferred-backup-window"),
            (
                "DBCapacityReservationIdentifier",
                "db-capacity-reservation-identifier",
            ),
        ] {
            assert_eq!(kebab(member), option);
        }
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(version("8.0.40") > version("8.0.9"));
        assert!(version("10.11.9") > version("10.6.19"));
    }
}
