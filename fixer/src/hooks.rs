//! Hooks in a plan: those of a migration become steps of it.

use std::path::{Path, PathBuf};

use atrest_model::hook::{Hook, Stage};
use atrest_model::plan::{Action, Migration, Plan, Step};

/// What a hook may take beyond its own timeout: to be ended, and to be recorded.
const GRACE: u64 = 60;

/// Makes the plan's hooks steps of its migrations. Those of one stage run one after the other, as configured.
pub(crate) fn insert(plan: &mut Plan) {
    for migration in &mut plan.migrations {
        let has_hooks = |step: &Step| matches!(step.action, Action::Hook(_));
        if !migration.steps.iter().any(has_hooks) {
            for stage in [
                Stage::BeforeQuiesce,
                Stage::AfterQuiesce,
                Stage::BeforeCutover,
                Stage::AfterCutover,
            ] {
                at(migration, stage, &plan.hooks);
            }
        }
    }
}

fn at(migration: &mut Migration, stage: Stage, hooks: &[Hook]) {
    let steps = &mut migration.steps;
    let mut last: Vec<String> = match stage {
        Stage::BeforeQuiesce => ids(steps, |step| matches!(step.action, Action::Claim { .. })),
        Stage::AfterQuiesce => ids(steps, |step| matches!(step.action, Action::Quiesce { .. })),
        Stage::BeforeCutover => ids(steps, |step| step.action == Action::Validate),
        // Whatever mends the surroundings of the new names comes first; the last look does not wait for a command.
        Stage::AfterCutover => after_cutover(steps),
        Stage::AfterRun | Stage::OnFailure => return,
    };
    let waits = |step: &Step| match stage {
        Stage::BeforeQuiesce => matches!(step.action, Action::Rename { cutover: false, .. }),
        Stage::AfterQuiesce => step.needs.iter().any(|need| last.contains(need)),
        Stage::BeforeCutover => matches!(step.action, Action::Rename { cutover: true, .. }),
        _ => false,
    };
    let waiting = ids(steps, waits);
    // Before the first step that waits for it; at the end if none does.
    let mut place = steps
        .iter()
        .position(|step| waiting.contains(&step.id))
        .unwrap_or(steps.len());
    let mut number = 0;
    for hook in hooks.iter().filter(|hook| hook.at == stage) {
        number += 1;
        let id = format!("hook:{}:{number}", stage.as_str());
        steps.insert(
            place,
            Step {
                id: id.clone(),
                needs: last,
                deadline_seconds: hook.timeout_seconds.saturating_add(GRACE),
                action: Action::Hook(hook.clone()),
            },
        );
        place += 1;
        last = vec![id];
    }
    if number > 0 {
        for step in steps.iter_mut().filter(|step| waiting.contains(&step.id)) {
            step.needs.extend(last.iter().cloned());
        }
    }
}

fn ids(steps: &[Step], wanted: impl Fn(&Step) -> bool) -> Vec<String> {
    steps
        .iter()
        .filter(|step| wanted(step))
        .map(|step| step.id.clone())
        .collect()
}

/// The renames to real names and everything that needs them, but the last look at all of it.
fn after_cutover(steps: &[Step]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for step in steps {
        let renames = matches!(step.action, Action::Rename { cutover: true, .. });
        let follows = step.needs.iter().any(|need| found.contains(need));
        if renames || (follows && step.action != Action::Rescan) {
            found.push(step.id.clone());
        }
    }
    found
}

/// The program of a hook that cannot be started here: not found, or not executable.
#[must_use]
pub fn not_found(plan: &Plan) -> Option<String> {
    plan.hooks.iter().find_map(|hook| {
        let program = hook.command.first()?;
        (!is_program(program)).then(|| program.clone())
    })
}

fn is_program(name: &str) -> bool {
    if name.contains('/') {
        return is_executable(Path::new(name));
    }
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder: PathBuf| is_executable(&folder.join(name)))
    })
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
