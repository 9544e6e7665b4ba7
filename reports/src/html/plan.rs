//! A plan on a page: every step with its call and all its arguments, every check, every note, what is left out.

use std::borrow::Cow;
use std::io::{self, Write};

use askama::Template;
use atrest_model::check::{Check, Verdict};
use atrest_model::plan::{Action, Migration, Plan, Step, Target};
use serde_json::Value;

use super::{Mood, Part, Section, Summary, Tile, shown, tool, when, write_page};
use crate::plan::{command, compared, depth, describe, target};
use crate::text::{count, number, seconds};

#[derive(Template)]
#[template(path = "plan.html")]
struct PlanSection<'a> {
    id: String,
    title: String,
    facts: Vec<String>,
    members: Vec<MemberView<'a>>,
    notes: Vec<Cow<'a, str>>,
    checks: Vec<CheckView<'a>>,
    steps: Vec<StepView<'a>>,
    left_out: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

struct MemberView<'a> {
    name: Cow<'a, str>,
    source: String,
    old: Cow<'a, str>,
    new: Cow<'a, str>,
    dbi_resource_id: Cow<'a, str>,
}

struct CheckView<'a> {
    mood: &'static str,
    verdict: String,
    check: Cow<'a, str>,
    subject: Cow<'a, str>,
    detail: Cow<'a, str>,
}

struct StepView<'a> {
    number: usize,
    id: Cow<'a, str>,
    most: String,
    what: String,
    operation: &'static str,
    needs: String,
    arguments: Vec<(Cow<'a, str>, Vec<String>)>,
    /// Clients are away from this step on.
    away: bool,
    /// Clients are back after it.
    back: bool,
}

pub(crate) fn write(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    let verb = format!("plan {}", plan.run);
    write_page(vec![part(plan)], &verb, out)
}

fn part(plan: &Plan) -> Part<'_> {
    let blocking = plan.blocking().count();
    let of = |verdict: fn(&Verdict) -> bool| {
        plan.checks
            .iter()
            .filter(|check| verdict(&check.verdict))
            .count()
    };
    let warnings = of(|verdict| matches!(verdict, Verdict::Warns | Verdict::NotProven));
    let instances: usize = plan.migrations.iter().map(|m| m.members().count()).sum();
    let migrations = count(plan.migrations.len(), "migration", "migrations");
    let (headline, mood) = if plan.migrations.is_empty() {
        ("Nothing is planned".to_owned(), Mood::Odd)
    } else if blocking > 0 {
        (
            format!("Blocked: {migrations} cannot be carried out as planned"),
            Mood::Bad,
        )
    } else {
        let instances = count(instances, "DB instance", "DB instances");
        let mood = if warnings > 0 { Mood::Odd } else { Mood::Plain };
        (format!("{migrations} of {instances} planned"), mood)
    };
    let tile = |amount: usize, label, mood: Mood| Tile {
        value: number(amount as u64),
        label,
        mood: mood.of(amount),
    };
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (index, migration) in plan.migrations.iter().enumerate() {
        let id = format!("migration-{}", index + 1);
        let title = shown(&migration.id).into_owned();
        let section = of_migration(plan, migration, &id, &title);
        sections.push(Section::new(&id, &title, section));
    }
    let others: Vec<CheckView<'_>> = sorted(plan.checks.iter().filter(|check| {
        check
            .migration
            .as_ref()
            .is_none_or(|id| !plan.migrations.iter().any(|planned| planned.id == *id))
    }))
    .map(|check| check_view(None, check))
    .collect();
    for (id, title, checks, left_out) in [
        (
            "checks",
            "Checks of regions and of what is left out",
            others,
            Vec::new(),
        ),
        ("left-out", "Left out", Vec::new(), left_out(plan)),
    ] {
        if checks.is_empty() && left_out.is_empty() {
            continue;
        }
        let section = PlanSection {
            id: id.to_owned(),
            title: title.to_owned(),
            facts: Vec::new(),
            members: Vec::new(),
            notes: Vec::new(),
            checks,
            steps: Vec::new(),
            left_out,
        };
        sections.push(Section::new(id, title, section));
    }
    Part {
        kind: "plan of a migration to encrypted storage",
        headline,
        detail: format!(
            "run {} · account {} · made {} · digest {} · {}{}. Nothing has been changed.",
            plan.run,
            shown(&plan.account),
            when(plan.created),
            shown(plan.digest.get(..16).unwrap_or(&plan.digest)),
            shown(&compared(plan)),
            shown(&run_hooks(plan)),
        ),
        mood,
        tool: tool(&plan.tool),
        summary: Summary {
            name: "The plan",
            tiles: vec![
                tile(plan.migrations.len(), "migrations", Mood::Plain),
                tile(instances, "DB instances", Mood::Plain),
                tile(plan.left_out.len(), "left out", Mood::Odd),
                tile(blocking, "checks that block", Mood::Bad),
                tile(warnings, "checks that warn", Mood::Odd),
            ],
            bar: Vec::new(),
            bar_label: String::new(),
        },
        sections,
    }
}

/// What is run when none of the migrations goes on, or one has failed; that of a migration is among its steps.
fn run_hooks(plan: &Plan) -> String {
    plan.hooks
        .iter()
        .filter(|hook| !hook.at.is_of_migration())
        .map(|hook| format!(" · {}: {}", hook.at.as_str(), command(hook)))
        .collect()
}

fn left_out(plan: &Plan) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let left = plan.left_out.iter();
    left.map(|left| (shown(&left.arn), shown(&left.reason)))
        .collect()
}

fn of_migration<'a>(
    plan: &'a Plan,
    migration: &'a Migration,
    id: &str,
    title: &str,
) -> PlanSection<'a> {
    let is_rename = |step: &Step, wanted: bool| matches!(step.action, Action::Rename { cutover, .. } if cutover == wanted);
    let steps = &migration.steps;
    let away = steps.iter().position(|step| is_rename(step, false));
    let back = steps.iter().rposition(|step| is_rename(step, true));
    let checks = plan.checks.iter();
    let checks = checks.filter(|check| check.migration.as_ref() == Some(&migration.id));
    PlanSection {
        id: id.to_owned(),
        title: title.to_owned(),
        facts: std::iter::once(format!(
            "{}, {} GiB, {}{}, {}, {}",
            shown(&migration.engine),
            migration.allocated_storage,
            migration.method.as_str(),
            migration
                .wave
                .map_or_else(String::new, |wave| format!(", wave {wave}")),
            count(migration.members().count(), "DB instance", "DB instances"),
            count(steps.len(), "step", "steps"),
        ))
        .chain(std::iter::once(format!(
            "key {}",
            shown(&migration.kms_key_id)
        )))
        .chain(migration.not_taken.iter().map(|not| {
            let reasons = not.reasons.join("; ");
            format!("not {}: {}", not.method.as_str(), shown(&reasons))
        }))
        .collect(),
        members: migration
            .members()
            .map(|member| MemberView {
                name: shown(member.identifier.as_str()),
                source: match &member.replicates_from {
                    Some(source) if depth(migration, member) > 0 => {
                        format!("replica of {}", shown(source.as_str()))
                    }
                    _ => String::new(),
                },
                old: shown(member.old_name.as_str()),
                new: shown(member.new_name.as_str()),
                dbi_resource_id: shown(&member.dbi_resource_id),
            })
            .collect(),
        notes: migration.notes.iter().map(|note| shown(note)).collect(),
        checks: sorted(checks)
            .map(|check| check_view(Some(migration), check))
            .collect(),
        steps: steps
            .iter()
            .enumerate()
            .map(|(index, step)| StepView {
                number: index + 1,
                id: shown(&step.id),
                most: seconds(step.deadline_seconds),
                what: shown(&describe(migration, step)).into_owned(),
                operation: step.action.operation().unwrap_or_default(),
                needs: numbers(migration, step),
                arguments: arguments(migration, &step.action),
                away: Some(index) == away,
                back: Some(index) == back,
            })
            .collect(),
        left_out: Vec::new(),
    }
}

/// The gravest first.
fn sorted<'a>(checks: impl Iterator<Item = &'a Check>) -> impl Iterator<Item = &'a Check> {
    let mut checks: Vec<&Check> = checks.collect();
    checks.sort_by_key(|check| std::cmp::Reverse(check.verdict.rank()));
    checks.into_iter()
}

fn check_view<'a>(migration: Option<&Migration>, check: &'a Check) -> CheckView<'a> {
    let (mood, verdict) = match &check.verdict {
        Verdict::Blocks => (Mood::Bad, check.verdict.as_str().to_owned()),
        Verdict::Warns | Verdict::NotProven => (Mood::Odd, check.verdict.as_str().to_owned()),
        Verdict::Passes => (Mood::Good, check.verdict.as_str().to_owned()),
        Verdict::FixedBy { step } => {
            let at = migration.and_then(|one| one.steps.iter().position(|known| known.id == *step));
            let step = at.map_or_else(|| shown(step).into_owned(), |at| (at + 1).to_string());
            (Mood::Good, format!("is fixed by step {step}"))
        }
    };
    CheckView {
        mood: mood.class(),
        verdict,
        check: shown(&check.check),
        subject: shown(&check.subject),
        detail: shown(&check.detail),
    }
}

/// The numbers of the steps that must be done before; one that is not there by its name.
fn numbers(migration: &Migration, step: &Step) -> String {
    let numbers: Vec<String> = step
        .needs
        .iter()
        .map(|need| {
            let at = migration.steps.iter().position(|known| known.id == *need);
            at.map_or_else(|| shown(need).into_owned(), |at| (at + 1).to_string())
        })
        .collect();
    numbers.join(", ")
}

/// All arguments of a step, those of its request among them, as they stand in the plan.
fn arguments<'a>(migration: &Migration, action: &Action) -> Vec<(Cow<'a, str>, Vec<String>)> {
    let Ok(Value::Object(members)) = serde_json::to_value(action) else {
        return Vec::new();
    };
    let mut arguments = Vec::new();
    for (name, value) in members {
        match value {
            _ if name == "kind" => {}
            Value::Object(request) if name == "request" => {
                for (name, value) in request {
                    arguments.push((owned(&name), lines(migration, &value)));
                }
            }
            value => arguments.push((owned(&name), lines(migration, &value))),
        }
    }
    arguments
}

fn owned<'a>(text: &str) -> Cow<'a, str> {
    Cow::Owned(shown(text).into_owned())
}

/// A value, an item of a list a line.
fn lines(migration: &Migration, value: &Value) -> Vec<String> {
    let line = |value: &Value| -> String {
        let text = match value {
            Value::String(text) => text.clone(),
            // A tag.
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(name), Value::String(value)] => format!("{name} = {value}"),
                _ => value.to_string(),
            },
            // A DB instance, by what will not change.
            Value::Object(_) => match serde_json::from_value::<Target>(value.clone()) {
                Ok(instance) => {
                    let name = target(migration, &instance);
                    let (Target::Old(id) | Target::MadeBy(id)) = &instance;
                    match instance {
                        Target::Old(_) => format!("{name} ({id})"),
                        Target::MadeBy(_) => format!("{name} (made by {id})"),
                    }
                }
                Err(_) => value.to_string(),
            },
            other => other.to_string(),
        };
        shown(&text).into_owned()
    };
    match value {
        Value::Array(items) if items.is_empty() => vec!["none".to_owned()],
        Value::Array(items) => items.iter().map(line).collect(),
        other => vec![line(other)],
    }
}
