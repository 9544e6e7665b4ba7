//! Validation before the cutover, and the policy asked again after it.

use atrest_model::Tool;
use atrest_model::diff::{Area, DiffClass, DiffReport, Difference, PairDiff, SCHEMA_VERSION};
use atrest_model::instance::DbInstance;
use atrest_model::plan::{DataCheck, Method, Target};
use atrest_scanner::compare::{self, Pair};
use serde_json::{Value, json};

use super::{Cx, Seen, blue_green, cluster, live, quiesce, sql};
use crate::clock;
use crate::fault::Fault;
use crate::observatory::RegionView;

/// A member by its real name, the instance it was and its successor.
type Side<'v> = (&'v str, &'v DbInstance, &'v DbInstance);

/// Every member with its successor, both ready; or what is not.
fn sides<'v>(cx: &'v Cx<'_>, view: &'v RegionView) -> Result<Result<Vec<Side<'v>>, Seen>, Fault> {
    let mut sides: Vec<Side<'_>> = Vec::new();
    for member in cx.migration.members() {
        let old = view.by_resource_id(&member.dbi_resource_id);
        let new = cx.find(view, &Target::MadeBy(member.made_by.clone()))?;
        let (Some(old), Some(new)) = (old, new) else {
            return Ok(Err(Seen::pending(format!(
                "{} is not shown",
                member.identifier
            ))));
        };
        if let Some(busy) = [old, new].into_iter().find(|side| !side.is_ready()) {
            return Ok(Err(Seen::pending(format!(
                "{} is {}",
                busy.identifier(),
                busy.status()
            ))));
        }
        sides.push((member.identifier.as_str(), old, new));
    }
    Ok(Ok(sides))
}

/// Compares every member with its successor. Drift stops the migration; the report lies in the run folder either way.
pub(super) async fn validate(cx: &Cx<'_>, view: &RegionView) -> Result<Seen, Fault> {
    let sides = match sides(cx, view)? {
        Ok(sides) => sides,
        Err(seen) => return Ok(seen),
    };
    let follows = matches!(cx.migration.method, Method::Replica | Method::BlueGreen);
    // Before the comparison, which may take long, and after it.
    if !follows && let Err(broken) = quiesce::fence(cx, view).await? {
        return Ok(broken);
    }
    let mut pairs = if cx.migration.method == Method::BlueGreen {
        match live(cx, view, &sides).await? {
            Ok(pairs) => pairs,
            Err(seen) => return Ok(seen),
        }
    } else {
        compared(cx, view, sides, data_check(cx)).await
    };
    if let Some(planned) = &cx.migration.cluster {
        let (old, new) = match cluster::both(cx, view)? {
            Ok(both) => both,
            Err(seen) => return Ok(seen),
        };
        let (old_names, new_names) = compare::names_of(cx.migration);
        let name = planned.identifier.as_str();
        pairs.insert(0, compare::clusters(name, old, &old_names, new, &new_names));
    }
    let not_proven = match follows {
        true => Vec::new(),
        false => match quiesce::fence(cx, view).await? {
            Ok(not_proven) => not_proven,
            Err(broken) => return Ok(broken),
        },
    };
    let report = DiffReport {
        schema_version: SCHEMA_VERSION,
        tool: Tool::current(),
        created: clock::now(),
        pairs,
    };
    if let Some(unread) = unread(&report) {
        return Ok(unread);
    }
    let name = format!("validation-{}.json", cx.migration.id.replace('/', "-"));
    let text = serde_json::to_string_pretty(&report).map_err(|e| Fault::Store(e.to_string()))?;
    let path = cx
        .store
        .get()
        .write_report(&name, &text)
        .map_err(|e| Fault::Store(e.to_string()))?;
    let drift = report.drift();
    if drift > 0 {
        return Ok(Seen::Drift { drift });
    }
    let compared: u64 = report
        .pairs
        .iter()
        .map(|pair| pair.compared.attributes)
        .sum();
    let accounts: u64 = report.pairs.iter().map(|pair| pair.compared.accounts).sum();
    let rows: u64 = report.pairs.iter().map(|pair| pair.compared.rows).sum();
    let mut detail = format!("no drift in {compared} attributes, {accounts} accounts, {rows} rows");
    for why in &not_proven {
        detail.push_str("; not proven that nothing was written since the snapshot at ");
        detail.push_str(why);
    }
    let left: Vec<Value> = not_proven
        .iter()
        .map(|why| quiesce::not_proven(cx, why))
        .collect();
    Ok(Seen::Done {
        detail,
        result: json!({
            "report": path, "attributes": compared, "accounts": accounts, "rows": rows, "left_to_do": left,
        }),
    })
}

/// While the successor replicates clients may write, and rows are never equal; they were compared at the held position.
fn data_check(cx: &Cx<'_>) -> DataCheck {
    match cx.migration.method {
        Method::Replica | Method::BlueGreen => DataCheck::None,
        Method::Cold => cx.plan.data_check,
    }
}

/// Green follows blue, which clients write to. A difference counts when it is there twice, unchanged: what changes
/// between two looks is being written.
async fn live(
    cx: &Cx<'_>,
    view: &RegionView,
    sides: &[Side<'_>],
) -> Result<Result<Vec<PairDiff>, Seen>, Fault> {
    let (old_names, new_names) = blue_green::names_now(cx, view)?;
    let (old_names, new_names) = (&old_names, &new_names);
    let auth = sql::login(cx, view);
    let unlinked = blue_green::to_compare(cx, view)?;
    let mut pairs = Vec::new();
    for ((name, _, _), (old, new)) in sides.iter().zip(&unlinked) {
        let target = Target::MadeBy(
            cx.migration
                .members()
                .find(|member| member.identifier.as_str() == *name)
                .map(|member| member.made_by.clone())
                .unwrap_or_default(),
        );
        let pair = Pair {
            name,
            old,
            new,
            old_names,
            new_names,
        };
        let look = async || -> Result<Result<PairDiff, Seen>, Fault> {
            if let Some(behind) = sql::behind_of(cx, view, &target).await? {
                return Ok(Err(behind));
            }
            Ok(Ok(compare::pair(
                cx.rds,
                &pair,
                auth.as_ref(),
                &cx.plan.mysql,
                cx.plan.data_check,
            )
            .await))
        };
        let first = match look().await? {
            Ok(first) => first,
            Err(behind) => return Ok(Err(behind)),
        };
        let found = if first.drift() == 0 {
            first
        } else {
            match look().await? {
                Ok(second) => live::settled(&first, second),
                Err(behind) => return Ok(Err(behind)),
            }
        };
        pairs.push(live::without_scheduler(found));
    }
    Ok(Ok(pairs))
}

async fn compared(
    cx: &Cx<'_>,
    view: &RegionView,
    sides: Vec<Side<'_>>,
    data_check: DataCheck,
) -> Vec<PairDiff> {
    let auth = sql::login(cx, view);
    let (old_names, new_names) = compare::names_of(cx.migration);
    let mut pairs = Vec::new();
    for (name, old, new) in sides {
        let pair = Pair {
            name,
            old,
            new,
            old_names: &old_names,
            new_names: &new_names,
        };
        let mut compared =
            compare::pair(cx.rds, &pair, auth.as_ref(), &cx.plan.mysql, data_check).await;
        for difference in &mut compared.differences {
            follows_cutover(difference);
        }
        pairs.push(compared);
    }
    pairs
}

/// A read that failed is no proof.
fn unread(report: &DiffReport) -> Option<Seen> {
    report.pairs.iter().find_map(|pair| {
        let not = pair.incomplete()?;
        Some(Seen::pending(format!(
            "{}: {} not read yet: {}",
            pair.name,
            not.area.as_str(),
            not.reason
        )))
    })
}

/// The same comparison beside a live source. Rows and definitions are compared for the time it takes; where they differ
/// clients have written since the snapshot, which is told and is no drift.
pub(super) async fn rehearse(cx: &Cx<'_>, view: &RegionView) -> Result<Seen, Fault> {
    let sides = match sides(cx, view)? {
        Ok(sides) => sides,
        Err(seen) => return Ok(seen),
    };
    let mut pairs = if cx.migration.method == Method::BlueGreen {
        match live(cx, view, &sides).await? {
            Ok(pairs) => pairs,
            Err(seen) => return Ok(seen),
        }
    } else {
        compared(cx, view, sides, data_check(cx)).await
    };
    if let Some(planned) = &cx.migration.cluster {
        let (old, new) = match cluster::both(cx, view)? {
            Ok(both) => both,
            Err(seen) => return Ok(seen),
        };
        let (old_names, new_names) = compare::names_of(cx.migration);
        let name = planned.identifier.as_str();
        pairs.insert(0, compare::clusters(name, old, &old_names, new, &new_names));
    }
    let report = DiffReport {
        schema_version: SCHEMA_VERSION,
        tool: Tool::current(),
        created: clock::now(),
        pairs,
    };
    if let Some(unread) = unread(&report) {
        return Ok(unread);
    }
    let name = format!("rehearsal-{}.json", cx.migration.id.replace('/', "-"));
    let text = serde_json::to_string_pretty(&report).map_err(|e| Fault::Store(e.to_string()))?;
    let path = cx
        .store
        .get()
        .write_report(&name, &text)
        .map_err(|e| Fault::Store(e.to_string()))?;
    let data = report
        .pairs
        .iter()
        .flat_map(|pair| &pair.differences)
        .filter(|d| d.area == Area::Data && d.class == DiffClass::Drift)
        .count();
    let drift = report.drift().saturating_sub(data);
    let rows: u64 = report.pairs.iter().map(|pair| pair.compared.rows).sum();
    // Drift is what a rehearsal is for: it is told, and what was made is removed all the same.
    Ok(Seen::Done {
        detail: format!(
            "{drift} drift entries, {data} tables or definitions that clients have changed since the snapshot, {rows} rows"
        ),
        result: json!({"report": path, "drift": drift, "changed_by_clients": data, "rows": rows}),
    })
}

/// What a step after the cutover brings about is no drift before it.
fn follows_cutover(difference: &mut Difference) {
    if difference.class == DiffClass::Drift
        && difference
            .path
            .starts_with("DBInstanceAutomatedBackupsReplications")
    {
        difference.class = DiffClass::Intended;
        difference.remedy = None;
        "replication of automated backups is begun under the real name, after the cutover"
            .clone_into(&mut difference.reason);
    }
}

/// Under its real name every member must be encrypted under the key and ready, and the policy must be content.
pub(super) fn rescan(cx: &Cx<'_>, view: &RegionView) -> Result<Seen, Fault> {
    if let Some(seen) = cluster::rescan(cx, view)? {
        return Ok(seen);
    }
    for member in cx.migration.members() {
        let name = member.identifier.as_str();
        let Some(instance) = cx.find(view, &Target::MadeBy(member.made_by.clone()))? else {
            return Ok(Seen::pending(format!("{name} is not shown")));
        };
        let in_the_end = member.final_name().as_str();
        let named = member.keeps_its_name() || instance.identifier() == in_the_end;
        if !named || !instance.is_ready() {
            return Ok(Seen::pending(format!(
                "{} is {}",
                instance.identifier(),
                instance.status()
            )));
        }
        if cx.migration.cluster.is_some() {
            // Its storage is the cluster's, which was looked at above; the policy would want to see that, too.
            if instance.encryption().is_encrypted() != Some(true) {
                return Ok(Seen::stuck(
                    format!("{name} is {}", instance.encryption().as_str()),
                    "compare the instance with the plan",
                ));
            }
        } else if let Some(finding) =
            atrest_policies::evaluate_instance(atrest_policies::STORAGE_UNENCRYPTED, instance)
        {
            return Ok(Seen::stuck(
                format!("{name}: {}", finding.reason),
                "compare the instance with the plan",
            ));
        }
        if view.by_resource_id(&member.dbi_resource_id).is_none() {
            return Ok(Seen::stuck(
                format!("{} is gone", member.old_name),
                "somebody deleted the old instance; the new one is complete, but there is no way back",
            ));
        }
    }
    Ok(Seen::done("encrypted, under the real names"))
}
