//! Preflight: everything that could stop a run at night is looked for by day, read-only, and shown in the plan.
//!
//! [`gather`](gather::gather) reads, [`judge`] decides, and is pure: the same facts give the same checks. One file a
//! family; [`CHECKS`] lists what there is, and docs/preflight.md is made from it.

mod again;
mod carry;
mod combinations;
mod dependents;
mod facts;
mod gather;
mod key;
mod names;
mod offer;
pub(crate) mod permissions;
mod quotas;
mod registry;
mod replication;
mod servers;
mod state;
mod windows;

use atrest_model::check::{Check, Verdict};
use atrest_model::instance::DbInstance;
use atrest_model::plan::{LeftOut, Member, Migration, Plan};

use crate::planner::Facts;
use crate::{fleet, hooks};

pub use again::again;
pub use facts::{Around, Offer, Read, RegionFacts};
pub use gather::gather;
pub use permissions::questions;
pub use registry::{CHECKS, CheckMeta, page};
#[cfg(test)]
pub(crate) use replication::able_to_replicate;
pub use replication::{ReplicationFacts, replication_facts};

/// Checks a drafted plan. A migration that something blocks is left out, with its checks; what blocks a whole region
/// stays in the plan, and `fix` refuses it.
#[must_use]
pub fn judge(draft: Plan, facts: &Facts, around: &Around) -> Plan {
    let mut plan = draft;
    let drafted = std::mem::take(&mut plan.migrations);
    for migration in drafted {
        let checks = migration_checks(&plan, &migration, facts, around, |_| true);
        let reasons: Vec<&Check> = checks.iter().filter(|check| check.blocks()).collect();
        if reasons.is_empty() {
            plan.migrations.push(migration);
        } else {
            plan.left_out.extend(left_out(&migration, &reasons, facts));
        }
        plan.checks.extend(checks);
    }
    plan.left_out.sort_by(|a, b| a.arn.cmp(&b.arn));
    // What is left out is in no wave.
    fleet::assign(&mut plan);
    hooks::insert(&mut plan);
    let regional = quotas::check(&plan, facts, around);
    plan.checks.extend(regional);
    plan.sealed()
}

/// The whole tree stays behind, and each member says why.
fn left_out(migration: &Migration, reasons: &[&Check], facts: &Facts) -> Vec<LeftOut> {
    let source = migration.source.identifier.as_str();
    let of_source = format!("{}/{source}", migration.region);
    let texts: Vec<String> = reasons
        .iter()
        .map(|check| {
            if check.subject == of_source {
                check.detail.clone()
            } else {
                let name = check.subject.rsplit('/').next().unwrap_or_default();
                format!("its replica {name}: {}", check.detail)
            }
        })
        .collect();
    let reason = texts.join("; ");
    migration
        .members()
        .filter_map(|member| {
            let instance = instance_of(member, facts)?;
            let is_source = member.dbi_resource_id == migration.source.dbi_resource_id;
            Some(LeftOut {
                arn: instance.arn().to_owned(),
                reason: if is_source {
                    reason.clone()
                } else {
                    format!("its source {source} is left out: {reason}")
                },
            })
        })
        .collect()
}

fn instance_of<'a>(member: &Member, facts: &'a Facts) -> Option<&'a DbInstance> {
    facts
        .instances
        .iter()
        .find(|instance| instance.dbi_resource_id() == member.dbi_resource_id)
}

/// The checks of one migration, of the families that are wanted.
fn migration_checks(
    plan: &Plan,
    migration: &Migration,
    facts: &Facts,
    around: &Around,
    wanted: impl Fn(&str) -> bool,
) -> Vec<Check> {
    let unread = RegionFacts::unread("nothing of this region was read");
    let scene = Scene {
        facts,
        around,
        region: around.regions.get(&migration.region).unwrap_or(&unread),
        migration,
        members: migration
            .members()
            .filter_map(|member| Some((member, instance_of(member, facts)?)))
            .collect(),
    };
    let mut sheet = Sheet {
        scene: &scene,
        checks: Vec::new(),
    };
    for (family, check) in FAMILIES {
        if wanted(family) {
            check(&mut sheet);
        }
    }
    if wanted("permissions") {
        let findings = permissions::findings(plan, migration, around);
        sheet.add(
            "iam-permissions",
            "IAM allows every call of the plan",
            findings,
        );
    }
    sheet.checks
}

/// A family of checks.
type Family = fn(&mut Sheet<'_>);

/// Families with a function of their own, in the order in which a plan shows them.
const FAMILIES: [(&str, Family); 8] = [
    ("state", state::check),
    ("names", names::check),
    ("key", key::check),
    ("offer", offer::check),
    ("carry", carry::check),
    ("combinations", combinations::check),
    ("dependents", dependents::check),
    ("servers", servers::check),
];

/// One migration and everything known around it.
pub(crate) struct Scene<'a> {
    facts: &'a Facts,
    around: &'a Around,
    region: &'a RegionFacts,
    migration: &'a Migration,
    /// Source first.
    members: Vec<(&'a Member, &'a DbInstance)>,
}

/// Something that a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    verdict: Verdict,
    /// Member it is about, if not about the migration.
    member: Option<String>,
    text: String,
}

impl Finding {
    fn new(verdict: Verdict, text: impl Into<String>) -> Self {
        Self {
            verdict,
            member: None,
            text: text.into(),
        }
    }

    fn blocks(text: impl Into<String>) -> Self {
        Self::new(Verdict::Blocks, text)
    }

    fn warns(text: impl Into<String>) -> Self {
        Self::new(Verdict::Warns, text)
    }

    fn not_proven(text: impl Into<String>) -> Self {
        Self::new(Verdict::NotProven, text)
    }

    fn fixed_by(step: &str, text: impl Into<String>) -> Self {
        let step = step.to_owned();
        Self::new(Verdict::FixedBy { step }, text)
    }

    fn of(mut self, member: &str) -> Self {
        self.member = Some(member.to_owned());
        self
    }
}

/// The lines of one migration.
pub(crate) struct Sheet<'a> {
    scene: &'a Scene<'a>,
    checks: Vec<Check>,
}

impl<'a> Sheet<'a> {
    /// A line for each finding, or one that says what passes.
    fn add(&mut self, id: &'static str, passes: &str, findings: Vec<Finding>) {
        let migration = self.scene.migration;
        let subject = migration.id.as_str();
        self.checks
            .extend(lines(id, Some(migration), subject, passes, findings));
    }

    /// Findings of a check that has its line already. If that says it passes, they take its place.
    fn add_to(&mut self, id: &'static str, findings: Vec<Finding>) {
        if findings.is_empty() {
            return;
        }
        self.checks
            .retain(|check| check.check != id || check.verdict != Verdict::Passes);
        self.add(id, "", findings);
    }

    /// Looks at each DB instance of the migration.
    fn each(
        &mut self,
        id: &'static str,
        passes: &str,
        look: impl Fn(&'a Member, &'a DbInstance) -> Vec<Finding>,
    ) {
        let findings = self
            .scene
            .members
            .iter()
            .flat_map(|(member, instance)| {
                look(member, instance)
                    .into_iter()
                    .map(|finding| finding.of(member.identifier.as_str()))
            })
            .collect();
        self.add(id, passes, findings);
    }
}

/// The lines of one check: the findings, or one that passes.
fn lines(
    id: &'static str,
    migration: Option<&Migration>,
    subject: &str,
    passes: &str,
    findings: Vec<Finding>,
) -> Vec<Check> {
    let line = |subject: String, verdict, detail| Check {
        check: id.to_owned(),
        migration: migration.map(|migration| migration.id.clone()),
        subject,
        verdict,
        detail,
    };
    if findings.is_empty() {
        return vec![line(subject.to_owned(), Verdict::Passes, passes.to_owned())];
    }
    findings
        .into_iter()
        .map(|finding| {
            let subject = match (finding.member, migration) {
                (Some(member), Some(migration)) => format!("{}/{member}", migration.region),
                _ => subject.to_owned(),
            };
            line(subject, finding.verdict, finding.text)
        })
        .collect()
}

#[cfg(test)]
mod tests;
