//! Rows and definitions of a pair, as differences.

use std::collections::BTreeMap;

use atrest_model::diff::{Area, DiffClass, Difference, PairDiff};
use atrest_model::plan::DataCheck;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{DataRequest, Pair, PairKeeper, clone_accounts, failed, not_compared, settings};
use crate::access::{AccessError, MysqlAuth, Server};
use crate::mysql::{
    DataComparison, DataOptions, DataProgress, DifferingRange, Login, TableComparison, Target,
    compare_data,
};

/// How to log in to one side.
struct Way<'a> {
    server: Server,
    auth: &'a MysqlAuth,
}

impl Login for Way<'_> {
    fn target(&self) -> BoxFuture<'_, Result<Target, AccessError>> {
        Box::pin(self.server.target(self.auth))
    }
}

/// Compares what is in the schemas of users.
pub(super) async fn rows(
    pair: &Pair<'_>,
    auth: &MysqlAuth,
    request: DataRequest<'_>,
    diff: &mut PairDiff,
) {
    let checksums = match request.check {
        DataCheck::None => return not_compared(diff, Area::Data, "not asked for"),
        DataCheck::Counts => false,
        DataCheck::Checksums => true,
    };
    let login = |instance| Server::of_instance(instance).map(|server| Way { server, auth });
    let (old, new) = match (login(pair.old), login(pair.new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(error), _) | (_, Err(error)) => return failed(diff, Area::Data, error.to_string()),
    };
    let mut options = DataOptions {
        checksums,
        ..DataOptions::default()
    };
    if let Some(limit) = auth.statement_timeout {
        options.pass_deadline = limit;
        options.chunk_deadline = options.chunk_deadline.min(limit);
    }
    let keeper = PairKeeper {
        store: request.store,
        pair: format!(
            "{}={}",
            pair.old.dbi_resource_id(),
            pair.new.dbi_resource_id()
        ),
    };
    let progress = match request.store {
        Some(store) => store.load(&keeper.pair, checksums),
        None => DataProgress::default(),
    };
    match Box::pin(compare_data(&old, &new, &options, progress, &keeper)).await {
        Err(reason) => failed(diff, Area::Data, reason),
        Ok(found) => enter(&found, checksums, &clone_accounts(pair), diff),
    }
}

fn enter(found: &DataComparison, checksums: bool, clone: &str, diff: &mut PairDiff) {
    diff.compared.checksums = checksums;
    for (name, table) in &found.tables {
        match &table.not_compared {
            Some(reason) => failed(diff, Area::Data, format!("{name} not compared: {reason}")),
            None => {
                diff.compared.tables += 1;
                diff.compared.rows += table.old.rows.min(table.new.rows);
            }
        }
        diff.differences
            .extend(of_table(&name.to_string(), table, checksums));
    }
    let values = |objects: &BTreeMap<String, String>| -> BTreeMap<String, Value> {
        objects
            .iter()
            .map(|(name, text)| (name.clone(), json!(text)))
            .collect()
    };
    diff.differences.extend(settings(
        Area::Data,
        &values(&found.old_objects),
        &values(&found.new_objects),
    ));
    definers(found, clone, diff);
    for reason in &found.unread {
        failed(diff, Area::Data, reason.clone());
    }
}

fn drift(path: String, old: Option<Value>, new: Option<Value>, reason: String) -> Difference {
    Difference {
        area: Area::Data,
        path,
        class: DiffClass::Drift,
        old,
        new,
        reason,
        remedy: None,
        controls: Vec::new(),
    }
}

fn of_table(name: &str, table: &TableComparison, checksums: bool) -> Vec<Difference> {
    let mut differences = Vec::new();
    let whole = table.not_compared.is_none();
    if whole && table.old.rows != table.new.rows {
        differences.push(drift(
            format!("{name} rows"),
            Some(json!(table.old.rows)),
            Some(json!(table.new.rows)),
            String::new(),
        ));
    }
    if whole && checksums && table.old.checksum != table.new.checksum {
        let sum = |sum: u128| Some(json!(format!("{sum:x}")));
        let reason = match (table.differences.len(), table.more) {
            (0, false) => "no unique key without NULLs tells which rows".to_owned(),
            (_, false) => String::new(),
            (_, true) => "there are more differing rows than are named".to_owned(),
        };
        differences.push(drift(
            format!("{name} checksum"),
            sum(table.old.checksum),
            sum(table.new.checksum),
            reason,
        ));
    }
    let ranges = table.differences.iter();
    differences.extend(ranges.map(|range| of_range(name, range)));
    differences
}

/// The rows are told by their keys; their values are nobody's business here.
fn of_range(name: &str, range: &DifferingRange) -> Difference {
    let rows = |rows: u64| format!("{rows} row{}", if rows == 1 { "" } else { "s" });
    let side = |only: u64, note: &str| {
        let count = only + range.changed;
        (count > 0).then(|| json!(format!("{}{note}", rows(count))))
    };
    let note = match range.changed {
        0 => String::new(),
        changed => format!(", {changed} with other values"),
    };
    drift(
        format!("{name} {}", range.rows),
        side(range.only_old, ""),
        side(range.only_new, &note),
        String::new(),
    )
}

/// A definer without an account makes its views, routines, triggers and events fail with 1449.
fn definers(found: &DataComparison, clone: &str, diff: &mut PairDiff) {
    for (definer, objects) in &found.new_definers {
        let named = objects
            .iter()
            .take(5)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let more = objects.len().saturating_sub(5);
        let named = if more > 0 {
            format!("{named} and {more} more")
        } else {
            named
        };
        if found.old_definers.contains_key(definer) {
            not_compared(
                diff,
                Area::Data,
                format!(
                    "the definer {definer} has an account on neither server: {named} cannot run (1449)"
                ),
            );
            continue;
        }
        let mut difference = drift(
            format!("definer {definer}"),
            Some(json!("has an account")),
            Some(json!("has no account")),
            format!("{named} cannot run (1449)"),
        );
        difference.remedy = Some(clone.to_owned());
        diff.differences.push(difference);
    }
}
