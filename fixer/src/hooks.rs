//! Hooks in a plan: those of a migration become steps of it.

use std::path::{Path, PathBuf};

use atrest_model::hook::{Hook, Stage};
use atrest_model::plan::{Action, Plan, Step};

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
                at(&mut migration.steps, stage, &plan.hooks);
            }
        }
    }
}

fn at(steps: &mut Vec<Step>, stage: Stage, hooks: &[Hook]) {
    let quiesced = ids(steps, |step| matches!(step.action, Action::Quiesce { .. }));
    // Steps that wait for the hooks of this stage, and what these wait for.
    let waiting = match stage {
        Stage::BeforeQuiesce => ids(steps, |step| step.action.takes_clients_away()),
        Stage::AfterQuiesce => ids(steps, |step| {
            step.needs.iter().any(|need| quiesced.contains(need))
        }),
        Stage::BeforeCutover => ids(steps, |step| step.action.is_cutover()),
        _ => Vec::new(),
    };
    let mut last: Vec<String> = match stage {
        Stage::BeforeQuiesce | Stage::BeforeCutover => needs_of(steps, &waiting),
        Stage::AfterQuiesce => quiesced,
        // Whatever mends the surroundings of the new names comes first; the last look does not wait for a command.
        Stage::AfterCutover => after_cutover(steps),
        Stage::AfterRun | Stage::OnFailure => return,
    };
    let mut steps_of_stage = Vec::new();
    for (hook, number) in hooks.iter().filter(|hook| hook.at == stage).zip(1..) {
        let id = format!("hook:{}:{number}", stage.as_str());
        steps_of_stage.push(Step {
            id: id.clone(),
            needs: last,
            deadline_seconds: hook.timeout_seconds.saturating_add(GRACE),
            action: Action::Hook(hook.clone()),
        });
        last = vec![id];
    }
    if steps_of_stage.is_empty() {
        return;
    }
    for step in steps.iter_mut().filter(|step| waiting.contains(&step.id)) {
        step.needs.extend(last.iter().cloned());
    }
    // Before the first step that waits for it; at the end if none does.
    let place = steps.iter().position(|step| waiting.contains(&step.id));
    let place = place.unwrap_or(steps.len());
    steps.splice(place..place, steps_of_stage);
}

fn ids(steps: &[Step], wanted: impl Fn(&Step) -> bool) -> Vec<String> {
    steps
        .iter()
        .filter(|step| wanted(step))
        .map(|step| step.id.clone())
        .collect()
}

fn needs_of(steps: &[Step], ids: &[String]) -> Vec<String> {
    let mut needs: Vec<String> = steps
        .iter()
        .filter(|step| ids.contains(&step.id))
        .flat_map(|step| step.needs.clone())
        .filter(|need| !ids.contains(need))
        .collect();
    needs.sort();
    needs.dedup();
    needs
}

/// The renames to real names and everything that needs them, but the last look at all of it.
fn after_cutover(steps: &[Step]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for step in steps {
        let renames = step.action.is_cutover();
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use atrest_model::hook::OnFailure;
    use atrest_model::plan::Target;

    use super::*;

    fn step(id: &str, needs: &[&str], action: Action) -> Step {
        Step {
            id: id.to_owned(),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            deadline_seconds: 1,
            action,
        }
    }

    fn rename(id: &str, needs: &[&str], cutover: bool) -> Step {
        let name = |name: &str| atrest_model::id::DbInstanceIdentifier::try_from(name).unwrap();
        let action = Action::Rename {
            instance: Target::Old("db-1".to_owned()),
            from: name("a"),
            to: name("b"),
            cutover,
        };
        step(id, needs, action)
    }

    fn hook(at: Stage) -> Hook {
        Hook {
            at,
            command: vec!["x".to_owned()],
            timeout_seconds: 5,
            on_failure: OnFailure::Stop,
            repeat: false,
            inherit: Vec::new(),
        }
    }

    /// The order of the replica method: clients are taken away late, and what was lent is given back after the last look.
    fn steps() -> Vec<Step> {
        let quiesce = Action::Quiesce {
            instance: Target::Old("db-1".to_owned()),
            window_seconds: 30,
            kill_connections: false,
        };
        vec![
            step("copying", &[], Action::Returned),
            step("validate", &["copying"], Action::Validate),
            step("lag-gate", &["validate"], Action::Returned),
            rename("rename-old:a", &["lag-gate"], false),
            rename("rename-old:r", &["lag-gate"], false),
            step("quiesce", &["rename-old:a", "rename-old:r"], quiesce),
            step("detach", &["quiesce"], Action::Returned),
            rename("rename-new:a", &["validate", "detach"], true),
            rename("rename-new:r", &["validate", "detach"], true),
            step("proxy", &["rename-new:a"], Action::Returned),
            step("rescan", &["rename-new:a", "rename-new:r"], Action::Rescan),
            step("give-back", &["rescan"], Action::Returned),
        ]
    }

    fn with(hooks: &[Hook]) -> Vec<Step> {
        let mut list = steps();
        for stage in [
            Stage::BeforeQuiesce,
            Stage::AfterQuiesce,
            Stage::BeforeCutover,
            Stage::AfterCutover,
        ] {
            at(&mut list, stage, hooks);
        }
        list
    }

    #[test]
    fn hooks_stand_where_clients_lose_and_get_back_their_endpoints() {
        let all = with(&[
            hook(Stage::AfterCutover),
            hook(Stage::BeforeQuiesce),
            hook(Stage::BeforeQuiesce),
            hook(Stage::AfterQuiesce),
            hook(Stage::BeforeCutover),
            hook(Stage::AfterRun),
        ]);
        let needs = |id: &str| -> Vec<&str> {
            let step = all.iter().find(|step| step.id == id).unwrap();
            step.needs.iter().map(String::as_str).collect()
        };
        assert_eq!(needs("hook:before-quiesce:1"), ["lag-gate"]);
        assert_eq!(needs("hook:before-quiesce:2"), ["hook:before-quiesce:1"]);
        assert_eq!(needs("rename-old:a"), ["lag-gate", "hook:before-quiesce:2"]);
        assert_eq!(needs("hook:after-quiesce:1"), ["quiesce"]);
        assert_eq!(needs("detach"), ["quiesce", "hook:after-quiesce:1"]);
        assert_eq!(needs("hook:before-cutover:1"), ["detach", "validate"]);
        assert!(needs("rename-new:r").contains(&"hook:before-cutover:1"));
        assert_eq!(
            needs("hook:after-cutover:1"),
            ["rename-new:a", "rename-new:r", "proxy"]
        );
        assert!(!needs("rescan").contains(&"hook:after-cutover:1"));
        let mut seen = BTreeSet::new();
        for step in &all {
            assert!(
                step.needs.iter().all(|need| seen.contains(need)),
                "{}",
                step.id
            );
            seen.insert(step.id.clone());
        }
    }

    #[test]
    fn without_hooks_nothing_changes() {
        assert_eq!(with(&[]), steps());
    }
}
