//! The files of deploy/, and the manifest of docs/nightly.md: held against the schemas of Kubernetes and of CloudFormation by
//! the validators that `deploy/validators/install.sh` installs, and their commands are run. `ATREST_VALIDATORS=none` says that
//! there are no validators here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use yaml_serde::Value as Yaml;

use crate::harness::{Finished, Sandbox, Start, finish};
use crate::nightly::blocks;

const KUBERNETES: &str = "deploy/kubernetes/scan-shards.yaml";
const STEP_FUNCTIONS: &str = "deploy/step-functions-scan/template.yaml";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The folder of a validator; `None` when somebody said that there are none.
#[expect(clippy::print_stdout, reason = "what was not run is told")]
fn validator(name: &str) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match set("ATREST_VALIDATORS") {
        Some(none) if none == "none" => {
            println!("NOT RUN: {name} (ATREST_VALIDATORS=none)");
            return None;
        }
        Some(folder) => PathBuf::from(folder),
        None => set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))
            .unwrap()
            .join("atrest/validators"),
    };
    let wanted = std::fs::read_to_string(here("deploy/validators/requirements.txt")).unwrap();
    let installed = std::fs::read_to_string(folder.join("requirements.txt")).unwrap_or_default();
    assert!(
        installed == wanted,
        "the validators in {} are not there or out of date: run deploy/validators/install.sh, or set ATREST_VALIDATORS=none to do without them",
        folder.display()
    );
    Some(folder.join("venv/bin").join(name))
}

#[track_caller]
fn validate(name: &str, args: &[&str], file: &Path) {
    let Some(program) = validator(name) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.args(args).arg(file).env_clear();
    command
        .env("HOME", home.path())
        .env("PATH", std::env::var_os("PATH").unwrap());
    let ended = finish(command, Duration::from_secs(120));
    assert_eq!(ended.code, 0, "{}\n{}", ended.stdout, ended.stderr);
}

/// `--strict` refuses members that the API server would drop without a word.
const STRICT: [&str; 3] = ["--strict", "-k", "1.33"];

#[test]
fn the_manifests_are_what_kubernetes_takes() {
    validate("kubernetes-validate", &STRICT, &here(KUBERNETES));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nightly.yaml");
    std::fs::write(&file, &blocks("Kubernetes")[0]).unwrap();
    validate("kubernetes-validate", &STRICT, &file);
}

#[test]
fn the_template_is_what_cloud_formation_and_step_functions_take() {
    validate(
        "cfn-lint",
        &["--non-zero-exit-code", "informational"],
        &here(STEP_FUNCTIONS),
    );
}

/// Two accounts of which one has something to find.
const ORGANIZATION: &str = r#"
[[accounts]]
id = "111122223333"
access_key_id = "AKIADEPLOY00000001"

[[accounts]]
id = "444455556666"
access_key_id = "AKIADEPLOY00000002"

[organization]
accounts = [{ id = "111122223333" }, { id = "444455556666" }]

[[instances]]
id = "db"
engine = "mysql"
engine_version = "8.0.39"
server = false
"#;

fn start() -> Sandbox {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("deploy.toml");
    std::fs::write(&file, ORGANIZATION).unwrap();
    let sandbox = Sandbox::start(&Start {
        scenario: file.to_str().unwrap(),
        engines: "none",
        speed: "1",
    });
    std::fs::create_dir(sandbox.path("shards")).unwrap();
    sandbox
}

/// Runs the words of a file, where /shards is a folder of the sandbox.
fn run(sandbox: &Sandbox, words: &[String], index: Option<usize>) -> Finished {
    let folder = sandbox.path("shards");
    let words: Vec<String> = words
        .iter()
        .map(|word| word.replace("/shards", folder.to_str().unwrap()))
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut command = sandbox.command(&words);
    if let Some(index) = index {
        command.env("JOB_COMPLETION_INDEX", index.to_string());
    }
    finish(command, Duration::from_secs(240))
}

fn words(list: &Yaml) -> Vec<String> {
    let text = |word: &Yaml| {
        word.as_str()
            .unwrap_or_else(|| panic!("{word:?}"))
            .to_owned()
    };
    list.as_sequence().unwrap().iter().map(text).collect()
}

#[test]
fn the_jobs_of_kubernetes_do_what_they_say_and_know_their_exit_codes() {
    let text = std::fs::read_to_string(here(KUBERNETES)).unwrap();
    let documents: Vec<Yaml> = text
        .split("\n---\n")
        .map(|document| yaml_serde::from_str(document).unwrap())
        .collect();
    let kinds: BTreeSet<&str> = documents
        .iter()
        .map(|d| d["kind"].as_str().unwrap())
        .collect();
    // Nobody asks the API server for anything.
    let known = BTreeSet::from(["CronJob", "PersistentVolumeClaim", "ServiceAccount"]);
    assert_eq!(kinds, known);
    let job = |name: &str| {
        let wanted = format!("atrest-shards-{name}");
        let of = |document: &&Yaml| document["metadata"]["name"].as_str() == Some(&wanted);
        let found = documents
            .iter()
            .find(of)
            .unwrap_or_else(|| panic!("no {wanted}"));
        let job = &found["spec"]["jobTemplate"]["spec"];
        let pod = &job["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"].as_bool(), Some(false));
        assert_eq!(pod["restartPolicy"].as_str(), Some("Never"));
        assert_eq!(pod["securityContext"]["runAsNonRoot"].as_bool(), Some(true));
        assert!(job["activeDeadlineSeconds"].as_u64().is_some(), "{name}");
        let containers = pod["containers"].as_sequence().unwrap();
        assert_eq!(containers.len(), 1);
        let security = &containers[0]["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"].as_bool(), Some(true));
        assert_eq!(security["allowPrivilegeEscalation"].as_bool(), Some(false));
        assert_eq!(containers[0]["name"].as_str(), Some(name));
        (job.clone(), words(&containers[0]["args"]))
    };
    let ends = |job: &Yaml, code: i32| {
        let rules = job["podFailurePolicy"]["rules"].as_sequence().unwrap();
        rules.iter().any(|rule| {
            let codes = &rule["onExitCodes"]["values"];
            codes
                .as_sequence()
                .is_some_and(|codes| codes.iter().any(|c| c.as_i64() == Some(code.into())))
        })
    };

    let sandbox = start();
    let (plan, args) = job("plan");
    run(&sandbox, &args, None).expect(0);
    assert!(ends(&plan, 2));
    let (scan, mut args) = job("scan");
    assert_eq!(scan["completionMode"].as_str(), Some("Indexed"));
    let count = args
        .iter()
        .position(|word| word == "--shard-count")
        .unwrap()
        + 1;
    assert_eq!(
        scan["completions"].as_u64().unwrap().to_string(),
        args[count]
    );
    assert!(scan["backoffLimitPerIndex"].as_u64().unwrap() > 0);
    // 20 is a pod that another one has not let go of yet, 130 one that was stopped: they are tried again.
    for (code, is_final) in [(2, true), (4, true), (22, true), (20, false), (130, false)] {
        assert_eq!(ends(&scan, code), is_final, "{code}");
    }
    "3".clone_into(&mut args[count]);
    let (merge, judge) = job("merge");
    for index in 0..2 {
        run(&sandbox, &args, Some(index)).expect(0);
    }
    let wait = judge.iter().position(|word| word == "--wait").unwrap() + 1;
    let mut at_once = judge.clone();
    "1ms".clone_into(&mut at_once[wait]);
    let early = run(&sandbox, &at_once, None).expect(5);
    assert!(ends(&merge, early.code));
    run(&sandbox, &args, Some(2)).expect(0);
    let done = run(&sandbox, &judge, None).expect(10);
    assert!(ends(&merge, done.code) && ends(&merge, 4));
    assert!(sandbox.path("shards/scan.json").exists());
}

/// `!Sub "…"` and what is no tag.
fn text(value: &Yaml) -> String {
    match value {
        Yaml::Tagged(tagged) => text(&tagged.value),
        Yaml::String(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// Every state is where somebody goes, and everybody goes to one that is there.
fn check_states(machine: &Yaml) {
    let states = machine["States"].as_mapping().unwrap();
    let names: BTreeSet<String> = states.keys().map(text).collect();
    let mut reached = BTreeSet::from([text(&machine["StartAt"])]);
    for state in states.values() {
        let mut next: Vec<&Yaml> = vec![&state["Next"], &state["Default"]];
        for list in ["Catch", "Choices"] {
            let entries = state[list].as_sequence();
            next.extend(entries.into_iter().flatten().map(|entry| &entry["Next"]));
        }
        let ends = state["End"].as_bool() == Some(true)
            || matches!(state["Type"].as_str(), Some("Succeed" | "Fail"));
        let goes_on: Vec<String> = next
            .into_iter()
            .filter(|n| !n.is_null())
            .map(text)
            .collect();
        assert!(ends || !goes_on.is_empty(), "{state:?}");
        reached.extend(goes_on);
        if state["Type"].as_str() == Some("Map") {
            check_states(&state["ItemProcessor"]);
        }
    }
    assert_eq!(reached, names);
}

#[test]
fn the_state_machine_leads_somewhere_and_its_tasks_do_what_they_say() {
    let template = std::fs::read_to_string(here(STEP_FUNCTIONS)).unwrap();
    let template: Yaml = yaml_serde::from_str(&template).unwrap();
    let machine = &template["Resources"]["StateMachine"]["Properties"]["Definition"];
    check_states(machine);
    let command = |state: &Yaml, member: &str| {
        state["Parameters"]["Overrides"]["ContainerOverrides"][0][member].clone()
    };
    let states = &machine["States"];
    let sandbox = start();
    run(&sandbox, &words(&command(&states["Plan"], "Command")), None).expect(0);
    let map = &states["Batches"];
    assert_eq!(
        map["ItemProcessor"]["ProcessorConfig"]["Mode"].as_str(),
        Some("DISTRIBUTED")
    );
    let batch = text(&command(
        &map["ItemProcessor"]["States"]["Batch"],
        "Command.$",
    ));
    let batch = batch
        .strip_prefix("States.Array(")
        .unwrap()
        .strip_suffix(')')
        .unwrap();
    for index in 0..3 {
        let words: Vec<String> = batch
            .split(", ")
            .map(|word| match word {
                "$.index" => index.to_string(),
                quoted => quoted.trim_matches('\'').replace("${Batches}", "3"),
            })
            .collect();
        run(&sandbox, &words, None).expect(0);
    }
    // The default of one parameter follows from the other.
    let number = |name: &str| template["Parameters"][name]["Default"].as_u64().unwrap();
    assert_eq!(number("LastBatch") + 1, number("Batches"));
    let judge = words(&command(&states["Merge"], "Command"));
    run(&sandbox, &judge, None).expect(10);
    assert!(sandbox.path("shards/scan.json").exists());
}
