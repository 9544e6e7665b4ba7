//! The whole comparison of a pair: attributes, effective settings, accounts, configuration, rows.
//!
//! What cannot be read is listed as not compared; it never counts as equal.

mod data;

use std::collections::BTreeMap;

use atrest_model::account::{AccountChange, AccountsDiff, DiffOptions, Name};
use atrest_model::diff::{Area, Compared, DiffClass, Difference, NotCompared, PairDiff, Side};
use atrest_model::document::{list_of, str_of};
use atrest_model::id::DbInstanceIdentifier;
use atrest_model::instance::{DbCluster, DbInstance};
use atrest_model::plan::{DataCheck, Member, Migration, MysqlAccess};
use serde_json::{Value, json};

use crate::access::{self, AccessError, MysqlAuth};
use crate::error::AwsError;
use crate::mysql::{self, Connection, DataProgress, TableProgress};
use crate::pair::{NameMap, SideView, attributes, cluster_attributes, quote, settings};
use crate::rds::Rds;

/// A pair to compare.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// What clients call it.
    pub name: &'a str,
    /// The unencrypted side.
    pub old: &'a DbInstance,
    /// The encrypted side.
    pub new: &'a DbInstance,
    /// Names of the old side → real names.
    pub old_names: &'a NameMap,
    /// Names of the new side → real names.
    pub new_names: &'a NameMap,
}

/// How rows are compared, and where the progress of it is kept.
#[derive(Clone, Copy)]
pub struct DataRequest<'a> {
    /// Which check.
    pub check: DataCheck,
    /// Keeps the progress, so that a stopped comparison can go on.
    pub store: Option<&'a dyn ProgressStore>,
}

impl From<DataCheck> for DataRequest<'_> {
    fn from(check: DataCheck) -> Self {
        Self { check, store: None }
    }
}

/// Keeps the progress of data comparisons by pair.
pub trait ProgressStore: Sync {
    /// Where the comparison of a pair, with or without checksums, stopped; without tables when it was never begun.
    fn load(&self, pair: &str, checksums: bool) -> DataProgress;

    /// Takes the progress of a table after a chunk. `false` stops the comparison.
    fn keep(&self, pair: &str, table: &str, progress: &TableProgress) -> bool;
}

/// One pair of a [`ProgressStore`].
struct PairKeeper<'a> {
    store: Option<&'a dyn ProgressStore>,
    pair: String,
}

impl mysql::Keeper for PairKeeper<'_> {
    fn keep(&self, table: &str, progress: &TableProgress) -> bool {
        self.store
            .is_none_or(|store| store.keep(&self.pair, table, progress))
    }
}

/// Name maps of the two sides of a migration, good before and after the cutover.
#[must_use]
pub fn names_of(migration: &Migration) -> (NameMap, NameMap) {
    let map = |alias: fn(&Member) -> &DbInstanceIdentifier| -> NameMap {
        let real = migration
            .members()
            .map(|m| (m.identifier.to_string(), m.identifier.to_string()));
        real.chain(
            migration
                .members()
                .map(|m| (alias(m).to_string(), m.identifier.to_string())),
        )
        .collect()
    };
    let (mut old, mut new) = (map(|m| &m.old_name), map(|m| &m.new_name));
    if let Some(cluster) = &migration.cluster {
        let real = cluster.identifier.to_string();
        for (names, alias) in [(&mut old, &cluster.old_name), (&mut new, &cluster.new_name)] {
            names.insert(real.clone(), real.clone());
            names.insert(alias.to_string(), real.clone());
        }
    }
    (old, new)
}

/// Compares a pair of clusters: their describe answers. Their DB instances are pairs of their own.
#[must_use]
pub fn clusters(
    name: &str,
    old: &DbCluster,
    old_names: &NameMap,
    new: &DbCluster,
    new_names: &NameMap,
) -> PairDiff {
    let (differences, leaves) = cluster_attributes(old, old_names, new, new_names);
    let side = |cluster: &DbCluster| Side {
        identifier: cluster.identifier().to_owned(),
        dbi_resource_id: cluster.resource_id().to_owned(),
        region: cluster.region.clone(),
    };
    let mut diff = PairDiff {
        name: format!("{name} (cluster)"),
        old: side(old),
        new: side(new),
        differences,
        compared: Compared {
            attributes: leaves,
            ..Compared::default()
        },
        not_compared: Vec::new(),
    };
    let engine = old.engine();
    for area in [Area::Account, Area::Configuration, Area::Data] {
        not_compared(
            &mut diff,
            area,
            format!("{engine} accounts and rows are not read"),
        );
    }
    diff
}

/// Compares a pair.
pub async fn pair(
    rds: &Rds,
    pair: &Pair<'_>,
    auth: Option<&MysqlAuth>,
    mysql: &MysqlAccess,
    data: impl Into<DataRequest<'_>>,
) -> PairDiff {
    let (differences, leaves) = attributes(
        SideView {
            instance: pair.old,
            names: pair.old_names,
        },
        SideView {
            instance: pair.new,
            names: pair.new_names,
        },
    );
    let side = |instance: &DbInstance| Side {
        identifier: instance.identifier().to_owned(),
        dbi_resource_id: instance.dbi_resource_id().to_owned(),
        region: instance.region.clone(),
    };
    let mut diff = PairDiff {
        name: pair.name.to_owned(),
        old: side(pair.old),
        new: side(pair.new),
        differences,
        compared: Compared {
            attributes: leaves,
            ..Compared::default()
        },
        not_compared: Vec::new(),
    };
    groups(rds, pair, &mut diff).await;
    Box::pin(servers(pair, auth, mysql, data.into(), &mut diff)).await;
    diff.differences
        .sort_by(|a, b| (a.area, &a.path).cmp(&(b.area, &b.path)));
    diff
}

/// Parameter and option groups are compared by what users have set in them, where their names differ.
async fn groups(rds: &Rds, pair: &Pair<'_>, diff: &mut PairDiff) {
    let name = |instance: &DbInstance, list: &str, member: &str| -> Option<String> {
        list_of(&instance.document, list)
            .first()
            .and_then(|item| str_of(item, member))
            .map(str::to_owned)
    };
    let of = |list, member| (name(pair.old, list, member), name(pair.new, list, member));
    if let (Some(old), Some(new)) = of("DBParameterGroups", "DBParameterGroupName")
        && old != new
    {
        match futures::try_join!(user_parameters(rds, &old), user_parameters(rds, &new)) {
            Ok((had, has)) => extend(diff, Area::Parameter, &had, &has, |name, value| {
                // The groups AWS makes cannot be changed: the old one has to come over.
                if new.starts_with("default.") {
                    attach(pair, "db-parameter-group-name", &old)
                } else {
                    parameter(pair, &new, name, value)
                }
            }),
            Err(error) => failed(diff, Area::Parameter, error.to_string()),
        }
    }
    if let (Some(old), Some(new)) = of("OptionGroupMemberships", "OptionGroupName")
        && old != new
    {
        match futures::try_join!(options(rds, &old), options(rds, &new)) {
            Ok((had, has)) => extend(diff, Area::Option, &had, &has, |_, _| {
                attach(pair, "option-group-name", &old)
            }),
            Err(error) => failed(diff, Area::Option, error.to_string()),
        }
    }
}

fn extend(
    diff: &mut PairDiff,
    area: Area,
    old: &BTreeMap<String, Value>,
    new: &BTreeMap<String, Value>,
    remedy: impl Fn(&str, Option<&Value>) -> String,
) {
    diff.compared.settings += old.len().max(new.len()) as u64;
    let found = settings(area, old, new).into_iter();
    diff.differences.extend(found.map(|difference| {
        let remedy = remedy(&difference.path, difference.old.as_ref());
        Difference {
            remedy: Some(remedy),
            ..difference
        }
    }));
}

/// Gives the new side a group of the old side.
fn attach(pair: &Pair<'_>, option: &str, group: &str) -> String {
    format!(
        "aws rds modify-db-instance --db-instance-identifier {} --{option} {} --apply-immediately --region {}",
        quote(pair.new.identifier()),
        quote(group),
        quote(&pair.new.region)
    )
}

/// Sets a parameter in a group, or sets it back to its default.
fn parameter(pair: &Pair<'_>, group: &str, name: &str, value: Option<&Value>) -> String {
    // Right for static and for dynamic parameters.
    let (verb, wish) = match value.and_then(Value::as_str) {
        Some(value) => (
            "modify",
            json!({"ParameterName": name, "ParameterValue": value, "ApplyMethod": "pending-reboot"}),
        ),
        None => (
            "reset",
            json!({"ParameterName": name, "ApplyMethod": "pending-reboot"}),
        ),
    };
    format!(
        "aws rds {verb}-db-parameter-group --db-parameter-group-name {} --parameters {} --region {}",
        quote(group),
        quote(&json!([wish]).to_string()),
        quote(&pair.new.region)
    )
}

/// The statement that sets an entry of `mysql.rds_show_configuration`.
fn set_configuration(name: &str, value: Option<&Value>) -> String {
    let literal = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    let value = match value.and_then(Value::as_str) {
        None => "NULL".to_owned(),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.to_owned()
        }
        Some(text) => literal(text),
    };
    format!(
        "CALL mysql.rds_set_configuration({}, {value});",
        literal(name)
    )
}

/// The command that brings accounts over. It only shows what it would do.
fn clone_accounts(pair: &Pair<'_>) -> String {
    format!(
        "atrest accounts clone {} {} --region {}",
        quote(pair.old.identifier()),
        quote(pair.new.identifier()),
        quote(&pair.new.region)
    )
}

async fn user_parameters(rds: &Rds, group: &str) -> Result<BTreeMap<String, Value>, AwsError> {
    let listing = rds.user_parameters(group).await?;
    Ok(listing
        .items
        .iter()
        .filter_map(|item| {
            Some((
                str_of(item, "ParameterName")?.to_owned(),
                item.get("ParameterValue").cloned().unwrap_or(Value::Null),
            ))
        })
        .collect())
}

async fn options(rds: &Rds, group: &str) -> Result<BTreeMap<String, Value>, AwsError> {
    let found = rds.option_group(group).await?;
    let options = found.iter().flat_map(|group| list_of(group, "Options"));
    Ok(options
        .filter_map(|option| {
            let settings: BTreeMap<&str, &Value> = list_of(option, "OptionSettings")
                .iter()
                .filter_map(|setting| Some((str_of(setting, "Name")?, setting.get("Value")?)))
                .collect();
            let value = json!({"version": option.get("OptionVersion"), "settings": settings});
            Some((str_of(option, "OptionName")?.to_owned(), value))
        })
        .collect())
}

/// A part that does not apply or was not asked for.
fn not_compared(diff: &mut PairDiff, area: Area, reason: impl Into<String>) {
    diff.not_compared.push(NotCompared {
        area,
        failed: false,
        reason: reason.into(),
    });
}

/// A part that was asked for and could not be read.
fn failed(diff: &mut PairDiff, area: Area, reason: impl Into<String>) {
    diff.not_compared.push(NotCompared {
        area,
        failed: true,
        reason: reason.into(),
    });
}

/// Why servers of an engine are not asked.
fn not_asked(engine: &str) -> String {
    if engine.contains("postgres") {
        return "roles of PostgreSQL are out of scope, since its snapshots and replicas are physical copies and carry them; rows are not read".to_owned();
    }
    format!("{engine} accounts and rows are not read")
}

/// Everything that is asked through MySQL.
async fn servers(
    pair: &Pair<'_>,
    auth: Option<&MysqlAuth>,
    access: &MysqlAccess,
    data: DataRequest<'_>,
    diff: &mut PairDiff,
) {
    let areas = [Area::Account, Area::Configuration, Area::Data];
    let why_not = match (access, auth) {
        _ if !pair.old.is_mysql_family() => Some(not_asked(pair.old.engine())),
        (MysqlAccess::Off { reason }, _) => Some(reason.clone()),
        (MysqlAccess::Required, None) => Some("no MySQL login is given".to_owned()),
        (MysqlAccess::Required, Some(_)) => None,
    };
    let (Some(auth), None) = (auth, &why_not) else {
        for area in areas {
            not_compared(diff, area, why_not.clone().unwrap_or_default());
        }
        return;
    };
    match futures::try_join!(access::open(pair.old, auth), access::open(pair.new, auth)) {
        Ok((mut old, mut new)) => {
            accounts(pair, &mut old, &mut new, diff).await;
            configuration(&mut old, &mut new, diff).await;
            variables(&mut old, &mut new, diff).await;
            futures::join!(old.close(), new.close());
            data::rows(pair, auth, data, diff).await;
        }
        Err(error) => {
            for area in areas {
                failed(diff, area, error.to_string());
            }
        }
    }
}

/// Reads and compares accounts.
///
/// # Errors
///
/// Any error of the two reads.
pub async fn account_diff(
    old: &mut Connection,
    new: &mut Connection,
    master_username: &str,
) -> Result<(AccountsDiff, u64), AccessError> {
    let (old, new) = futures::try_join!(mysql::read_accounts(old), mysql::read_accounts(new))?;
    let options = DiffOptions {
        master_username: Some(Name::from(master_username)),
    };
    let compared = old.accounts.len().max(new.accounts.len()) as u64;
    Ok((atrest_model::account::diff(&old, &new, &options), compared))
}

async fn accounts(
    pair: &Pair<'_>,
    old: &mut Connection,
    new: &mut Connection,
    diff: &mut PairDiff,
) {
    let (found, compared) = match account_diff(old, new, pair.old.master_username()).await {
        Ok(found) => found,
        Err(error) => return failed(diff, Area::Account, error.to_string()),
    };
    diff.compared.accounts = compared.saturating_sub(found.reserved.len() as u64);
    let drift =
        |path: String, old: Option<Value>, new: Option<Value>, remedy: Option<&str>| Difference {
            area: Area::Account,
            path,
            class: DiffClass::Drift,
            old,
            new,
            reason: String::new(),
            remedy: remedy.map(str::to_owned),
            controls: Vec::new(),
        };
    // The old side's ways prevail with --sync alone.
    let clone = clone_accounts(pair);
    let sync = format!("{clone} --sync");
    for setting in &found.settings {
        let value = |text: &Option<String>| text.clone().map(Value::from);
        diff.differences.push(drift(
            format!("@@{}", setting.setting),
            value(&setting.old),
            value(&setting.new),
            None,
        ));
    }
    for key in &found.missing {
        diff.differences.push(drift(
            key.to_string(),
            Some(json!("exists")),
            None,
            Some(&clone),
        ));
    }
    for key in &found.extra {
        diff.differences
            .push(drift(key.to_string(), None, Some(json!("exists")), None));
    }
    for (key, changes) in &found.changed {
        for change in changes {
            let (path, old, new) = match change {
                AccountChange::Attribute {
                    attribute,
                    old,
                    new,
                } => (format!("{key} {attribute}"), json!(old), json!(new)),
                AccountChange::Privileges { on, missing, extra } => {
                    (format!("{key} on {on}"), json!(missing), json!(extra))
                }
            };
            let remedy = match change {
                AccountChange::Privileges { extra, .. } if extra.is_empty() => &clone,
                AccountChange::Privileges { .. } | AccountChange::Attribute { .. } => &sync,
            };
            diff.differences
                .push(drift(path, Some(old), Some(new), Some(remedy)));
        }
    }
    for unread in &found.unread {
        failed(
            diff,
            Area::Account,
            format!(
                "{:?} on the {:?} side: {}",
                unread.unread.part, unread.side, unread.unread.reason
            ),
        );
    }
}

async fn configuration(old: &mut Connection, new: &mut Connection, diff: &mut PairDiff) {
    match futures::try_join!(
        mysql::show_configuration(old),
        mysql::show_configuration(new)
    ) {
        Ok((Some(old), Some(new))) => {
            let value = |map: BTreeMap<String, Option<String>>| -> BTreeMap<String, Value> {
                map.into_iter()
                    .map(|(name, value)| (name, value.map_or(Value::Null, Value::from)))
                    .collect()
            };
            let (old, new) = (value(old), value(new));
            extend(diff, Area::Configuration, &old, &new, set_configuration);
        }
        Ok((None, None)) => not_compared(
            diff,
            Area::Configuration,
            "neither side has mysql.rds_show_configuration",
        ),
        Ok(_) => not_compared(
            diff,
            Area::Configuration,
            "only one side has mysql.rds_show_configuration",
        ),
        Err(error) => failed(
            diff,
            Area::Configuration,
            AccessError::from(error).to_string(),
        ),
    }
}

/// System variables that matter are drift; the rest is shown: what users have set is compared with the parameter groups.
async fn variables(old: &mut Connection, new: &mut Connection, diff: &mut PairDiff) {
    let (old, new) = match futures::try_join!(mysql::variables(old), mysql::variables(new)) {
        Ok(sides) => sides,
        Err(error) => {
            let reason = AccessError::from(error).to_string();
            return failed(diff, Area::Configuration, reason);
        }
    };
    let found = mysql::variable_differences(&old, &new);
    // The accounts are compared with these: they are said there.
    let said = |name: &str| {
        let path = format!("@@{name}");
        diff.differences.iter().any(|other| other.path == path)
    };
    let differences: Vec<Difference> = found
        .into_iter()
        .filter(|found| !said(&found.name))
        .map(|found| Difference {
            area: Area::Configuration,
            path: format!("@@{}", found.name),
            class: if found.meaning.is_empty() {
                DiffClass::Volatile
            } else {
                DiffClass::Drift
            },
            old: found.old.map(Value::from),
            new: found.new.map(Value::from),
            reason: if found.meaning.is_empty() {
                "a server setting that no parameter group of the two sides sets differently"
            } else {
                found.meaning
            }
            .to_owned(),
            remedy: None,
            controls: Vec::new(),
        })
        .collect();
    diff.differences.extend(differences);
}
