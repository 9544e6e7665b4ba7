//! Comparing with a side that clients write to: what is being written is told apart from what differs.

use std::collections::{BTreeMap, BTreeSet};

use atrest_model::diff::{Area, DiffClass, Difference, NotCompared, PairDiff};
use serde_json::Value;

/// What a difference in the rows of a table is called, after its name.
const OF_ROWS: [&str; 2] = [" rows", " checksum"];

/// The second of two looks at a pair. A table whose rows differed otherwise in the first one is being written: it
/// counts as not compared. What differs in both looks alike is drift.
pub(super) fn settled(first: &PairDiff, second: PairDiff) -> PairDiff {
    let (before, now) = (rows(first), rows(&second));
    let written: BTreeSet<String> = now
        .keys()
        .filter(|path| before.get(*path) != now.get(*path))
        .filter_map(|path| OF_ROWS.iter().find_map(|word| path.strip_suffix(word)))
        .map(str::to_owned)
        .collect();
    let mut settled = second;
    settled.differences.retain(|difference| {
        difference.area != Area::Data
            || !written.iter().any(|table| {
                difference
                    .path
                    .strip_prefix(table.as_str())
                    .is_some_and(|rest| rest.starts_with(' '))
            })
    });
    settled
        .not_compared
        .extend(written.into_iter().map(|table| NotCompared {
            area: Area::Data,
            failed: false,
            reason: format!(
                "{table} was written while it was compared; replication brings its rows over"
            ),
        }));
    settled
}

/// Differences in the rows of tables.
fn rows(pair: &PairDiff) -> BTreeMap<&str, (&Option<Value>, &Option<Value>)> {
    pair.differences
        .iter()
        .filter(|difference| difference.area == Area::Data)
        .filter(|difference| OF_ROWS.iter().any(|word| difference.path.ends_with(word)))
        .map(|difference| (difference.path.as_str(), (&difference.old, &difference.new)))
        .collect()
}

/// Events do not run on green: what they changed there would come from blue a second time.
pub(super) fn without_scheduler(mut pair: PairDiff) -> PairDiff {
    for difference in &mut pair.differences {
        if difference.path == "@@event_scheduler" && is_off(difference) {
            difference.class = DiffClass::Intended;
            "off on the green side until the switchover, or events would run on both sides"
                .clone_into(&mut difference.reason);
            difference.remedy = None;
        }
    }
    pair
}

fn is_off(difference: &Difference) -> bool {
    matches!(
        difference.new.as_ref().and_then(Value::as_str),
        Some("OFF" | "DISABLED")
    )
}

#[cfg(test)]
mod tests {
    use atrest_model::diff::{Compared, Side};
    use serde_json::json;

    use super::*;

    fn pair(differences: &[(Area, &str, Value, Value)]) -> PairDiff {
        let side = || Side {
            identifier: "x".to_owned(),
            dbi_resource_id: "db-X".to_owned(),
            region: "r".to_owned(),
        };
        PairDiff {
            name: "x".to_owned(),
            old: side(),
            new: side(),
            differences: differences
                .iter()
                .map(|(area, path, old, new)| Difference {
                    area: *area,
                    path: (*path).to_owned(),
                    class: DiffClass::Drift,
                    old: Some(old.clone()),
                    new: Some(new.clone()),
                    reason: String::new(),
                    remedy: Some("mend".to_owned()),
                    controls: Vec::new(),
                })
                .collect(),
            compared: Compared::default(),
            not_compared: Vec::new(),
        }
    }

    fn paths(pair: &PairDiff) -> Vec<&str> {
        pair.differences.iter().map(|d| d.path.as_str()).collect()
    }

    #[test]
    fn a_table_that_changes_between_two_looks_is_written_and_one_that_does_not_has_drifted() {
        let first = pair(&[
            (Area::Data, "`s`.`busy` rows", json!(5), json!(4)),
            (Area::Data, "`s`.`lost` rows", json!(9), json!(8)),
            (Area::Attribute, "MultiAZ", json!(true), json!(false)),
        ]);
        let second = pair(&[
            (Area::Data, "`s`.`busy` rows", json!(7), json!(6)),
            (Area::Data, "`s`.`busy` id 3..4", json!("1 row"), json!("")),
            (Area::Data, "`s`.`lost` rows", json!(9), json!(8)),
            (Area::Attribute, "MultiAZ", json!(true), json!(false)),
        ]);
        let settled = settled(&first, second);
        assert_eq!(paths(&settled), ["`s`.`lost` rows", "MultiAZ"]);
        assert_eq!(settled.not_compared.len(), 1);
        assert!(settled.not_compared[0].reason.starts_with("`s`.`busy` "));
        assert!(settled.incomplete().is_none());
    }

    #[test]
    fn a_difference_of_one_look_only_is_gone() {
        let first = pair(&[(Area::Data, "`s`.`busy` checksum", json!("a"), json!("b"))]);
        let settled = settled(&first, pair(&[]));
        assert_eq!(settled.drift(), 0);
        assert!(settled.not_compared.is_empty());
    }

    #[test]
    fn events_that_run_on_blue_only_are_no_drift() {
        let of = |new: &str| {
            without_scheduler(pair(&[(
                Area::Configuration,
                "@@event_scheduler",
                json!("ON"),
                json!(new),
            )]))
        };
        assert_eq!(of("OFF").drift(), 0);
        assert_eq!(of("ON").drift(), 1);
    }
}
