//! Many migrations in one plan: which are begun together, and how many there may be. Pure.
//!
//! docs/design/0005-fleet.md says why.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use atrest_model::instance::DbInstance;
use atrest_model::plan::{Migration, Plan};

/// Sizes of the waves of a plan: `10`, `canary`, `canary,10`, `1,5,20`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waves(Vec<u32>);

/// A text that names no waves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no waves: sizes from 1 such as 10 or 1,5,20; canary is one and then all others"
)]
pub struct NoWaves(String);

impl Waves {
    /// As the plan keeps them.
    #[must_use]
    pub fn sizes(&self) -> Vec<u32> {
        self.0.clone()
    }
}

impl FromStr for Waves {
    type Err = NoWaves;

    fn from_str(text: &str) -> Result<Self, NoWaves> {
        let wrong = || NoWaves(text.to_owned());
        let mut sizes = Vec::new();
        for (index, word) in text.split(',').map(str::trim).enumerate() {
            sizes.push(match (index, word) {
                (0, "canary") => 1,
                (_, number) => number
                    .parse()
                    .ok()
                    .filter(|size| *size > 0)
                    .ok_or_else(wrong)?,
            });
        }
        if text.trim() == "canary" {
            sizes.push(ALL_OTHERS);
        }
        Ok(Self(sizes))
    }
}

impl fmt::Display for Waves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&sizes.join(","))
    }
}

/// The size of a wave that takes all that are left.
const ALL_OTHERS: u32 = 0;

/// Gives each migration its wave, by the sizes that the plan has: the smallest first, so that what goes wrong goes wrong
/// where least is at stake and is known soonest. A plan without sizes has no waves.
pub(crate) fn assign(plan: &mut Plan) {
    let sizes = &plan.waves;
    let mut order: Vec<&mut Migration> = plan.migrations.iter_mut().collect();
    order.sort_by(|a, b| weight(a).cmp(&weight(b)));
    let mut wave = 0;
    let mut left = 0;
    for migration in order {
        if sizes.is_empty() {
            migration.wave = None;
            continue;
        }
        if left == 0 {
            let size = sizes.get(wave).or(sizes.last()).copied().unwrap_or(1);
            wave += 1;
            left = if size == ALL_OTHERS { u32::MAX } else { size };
        }
        left -= 1;
        migration.wave = Some(u32::try_from(wave).unwrap_or(u32::MAX));
    }
}

/// Few members before many, small before large; the name makes it the same every time.
fn weight(migration: &Migration) -> (usize, i64, &str) {
    (
        migration.members().count(),
        migration.allocated_storage,
        &migration.id,
    )
}

/// How much of a fleet one plan may change.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BlastRadius {
    /// DB instances of the whole plan, replicas too.
    pub max_instances: Option<usize>,
    /// Percent of the DB instances of the account in any one region, those that are encrypted included.
    pub max_percent: Option<f64>,
}

impl BlastRadius {
    /// Why a plan is too large, if it is. `fleet` is every DB instance of the plan's regions.
    #[must_use]
    pub fn exceeded(&self, plan: &Plan, fleet: &[DbInstance]) -> Option<String> {
        let mut planned: BTreeMap<&str, usize> = BTreeMap::new();
        for migration in &plan.migrations {
            *planned.entry(&migration.region).or_default() += migration.members().count();
        }
        let all: usize = planned.values().sum();
        if let Some(most) = self.max_instances.filter(|most| all > *most) {
            return Some(format!(
                "the plan changes {all} DB instances, and --max-instances allows {most}"
            ));
        }
        let most = self.max_percent?;
        planned.into_iter().find_map(|(region, count)| {
            let there = fleet.iter().filter(|i| i.region == region).count();
            let share = percent(count, there);
            (share > most).then(|| {
                format!(
                    "the plan changes {count} of the {there} DB instances of {region}, {share:.1} %, and --max-percent allows {most} %"
                )
            })
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a fleet is far below 2^52")]
fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        // Nothing was described, so nothing is known to be left.
        return 100.0;
    }
    part as f64 * 100.0 / whole as f64
}

#[cfg(test)]
mod tests {
    use atrest_model::Tool;
    use atrest_model::id::{DbInstanceIdentifier, RunId};
    use atrest_model::plan::{self, DataCheck, Member, Method, MysqlAccess};
    use serde_json::json;

    use super::*;

    fn migration(name: &str, replicas: usize, gib: i64) -> Migration {
        let member = |name: &str| {
            let identifier = DbInstanceIdentifier::try_from(name).unwrap();
            Member {
                old_name: identifier.prefixed("old").unwrap(),
                new_name: identifier.prefixed("new").unwrap(),
                dbi_resource_id: format!("db-{name}"),
                replicates_from: None,
                digest: String::new(),
                made_by: "restore".to_owned(),
                identifier,
            }
        };
        Migration {
            id: format!("eu-central-1/{name}"),
            region: "eu-central-1".to_owned(),
            method: Method::Cold,
            not_taken: Vec::new(),
            cluster: None,
            engine: "mysql".to_owned(),
            allocated_storage: gib,
            kms_key_id: "k".to_owned(),
            source: member(name),
            replicas: (0..replicas)
                .map(|n| member(&format!("{name}-{n}")))
                .collect(),
            notes: Vec::new(),
            wave: None,
            steps: Vec::new(),
        }
    }

    fn plan(waves: &str, migrations: Vec<Migration>) -> Plan {
        Plan {
            schema_version: plan::SCHEMA_VERSION,
            tool: Tool::current(),
            run: RunId::try_from("r".to_owned()).unwrap(),
            created: jiff::Timestamp::UNIX_EPOCH,
            rehearsal_of: None,
            account: "111122223333".to_owned(),
            mysql: MysqlAccess::Required,
            data_check: DataCheck::Counts,
            waves: if waves.is_empty() {
                Vec::new()
            } else {
                waves.parse::<Waves>().unwrap().sizes()
            },
            hooks: Vec::new(),
            migrations,
            left_out: Vec::new(),
            checks: Vec::new(),
            digest: String::new(),
        }
    }

    /// Waves in the order of the plan's migrations a, b, c, d, e.
    fn waves(text: &str) -> Vec<Option<u32>> {
        let mut plan = plan(
            text,
            vec![
                migration("a", 1, 10),
                migration("b", 0, 500),
                migration("c", 0, 20),
                migration("d", 0, 100),
                migration("e", 2, 10),
            ],
        );
        assign(&mut plan);
        plan.migrations.iter().map(|m| m.wave).collect()
    }

    #[test]
    fn the_smallest_is_the_canary_and_the_last_size_repeats() {
        assert_eq!(waves("canary"), [2, 2, 1, 2, 2].map(Some));
        assert_eq!(waves("2"), [2, 2, 1, 1, 3].map(Some));
        assert_eq!(waves("canary,3"), [2, 2, 1, 2, 3].map(Some));
        assert_eq!(waves("1, 1, 5"), [3, 3, 1, 2, 3].map(Some));
        assert_eq!(waves(""), [None; 5]);
    }

    #[test]
    fn what_names_no_waves_is_refused() {
        for bad in ["", "0", "1,0", "1,canary", "-1", "ten", "1,,2"] {
            assert!(bad.parse::<Waves>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_radius_counts_replicas_and_is_a_share_of_the_whole_fleet() {
        let plan = plan("", vec![migration("a", 1, 10), migration("b", 0, 10)]);
        let fleet: Vec<DbInstance> = (0..12)
            .map(|n| DbInstance {
                region: "eu-central-1".to_owned(),
                document: json!({"DBInstanceIdentifier": format!("x{n}"), "StorageEncrypted": n > 3}),
            })
            .collect();
        let exceeded = |max_instances, max_percent| {
            BlastRadius {
                max_instances,
                max_percent,
            }
            .exceeded(&plan, &fleet)
        };
        assert_eq!(exceeded(None, None), None);
        assert_eq!(exceeded(Some(3), Some(25.0)), None);
        let why = exceeded(Some(2), None).unwrap();
        assert!(
            why.contains("3 DB instances") && why.contains("allows 2"),
            "{why}"
        );
        let why = exceeded(None, Some(24.9)).unwrap();
        assert!(
            why.contains("3 of the 12") && why.contains("25.0 %"),
            "{why}"
        );
    }
}
