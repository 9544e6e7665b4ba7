//! The examples of docs/nightly.md: each is read by a parser of its kind, and the command in it is run.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Deserialize;
use yaml_serde::Value as Yaml;

use crate::harness::{Finished, Sandbox, Start};
use crate::pages;

const BINARY: &str = env!("CARGO_BIN_EXE_atrest");
const INSTALLED: &str = "/usr/local/bin/atrest";

/// An organization of one account that has something to find.
const ORGANIZATION: &str = r#"
[[accounts]]
id = "111122223333"
access_key_id = "AKIANIGHTLY0000001"

[organization]
accounts = [{ id = "111122223333" }]

[[instances]]
id = "db"
engine = "mysql"
engine_version = "8.0.39"
server = false
"#;

fn start() -> (Sandbox, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nightly.toml");
    std::fs::write(&file, ORGANIZATION).unwrap();
    let sandbox = Sandbox::start(&Start {
        scenario: file.to_str().unwrap(),
        engines: "none",
        speed: "1",
    });
    (sandbox, dir)
}

/// The code blocks below a heading of the page, in order.
pub(crate) fn blocks(heading: &str) -> Vec<String> {
    let found: Vec<String> = pages::blocks("docs/nightly.md")
        .into_iter()
        .filter(|block| block.heading == heading)
        .map(|block| block.text)
        .collect();
    assert!(!found.is_empty(), "no section {heading} with examples");
    found
}

/// Runs the words of an example; what it writes to the disk goes to the sandbox's folder.
fn run(sandbox: &Sandbox, words: &[String]) -> Finished {
    assert_eq!(words[0], "scan", "{words:?}");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    sandbox.run(&words)
}

/// Runs a shell line of an example where `/var/lib/atrest` is the sandbox's folder.
fn shell(sandbox: &Sandbox, line: &str) -> Finished {
    let line = line
        .replace("/var/lib/atrest", sandbox.dir.path().to_str().unwrap())
        .replace(INSTALLED, BINARY);
    pages::shell(sandbox, &line, None)
}

/// Sections and keys of a unit; a key may be given more than once.
fn unit(text: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut sections: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut section = None;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.strip_suffix(']').unwrap().to_owned();
            section = Some(sections.entry(name).or_default());
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
        let section = section.as_mut().unwrap_or_else(|| panic!("{line}"));
        section.push((key.to_owned(), value.to_owned()));
    }
    sections
}

fn value<'a>(section: &'a [(String, String)], key: &str) -> &'a str {
    let found: Vec<&str> = section
        .iter()
        .filter(|(known, _)| known == key)
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(found.len(), 1, "{key}: {section:?}");
    found[0]
}

#[test]
fn the_systemd_units_are_good_and_their_command_ends_as_they_expect() {
    let units = blocks("systemd");
    let [service, timer] = units.as_slice() else {
        panic!("{units:?}");
    };
    // Every key there is, so that one that systemd does not know is noticed here too.
    let sections = unit(service);
    for (section, keys) in &sections {
        let known: &[&str] = match section.as_str() {
            "Unit" => &["Description", "Wants", "After"],
            "Service" => &[
                "Type",
                "DynamicUser",
                "StateDirectory",
                "WorkingDirectory",
                "Environment",
                "ExecStart",
                "SuccessExitStatus",
            ],
            other => panic!("[{other}]"),
        };
        for (key, _) in keys {
            assert!(known.contains(&key.as_str()), "{key} in [{section}]");
        }
    }
    let of_service = &sections["Service"];
    assert_eq!(value(of_service, "Type"), "oneshot");
    assert_eq!(
        value(of_service, "WorkingDirectory"),
        format!("/var/lib/{}", value(of_service, "StateDirectory"))
    );
    let timer_sections = unit(timer);
    assert_eq!(value(&timer_sections["Timer"], "Persistent"), "true");
    assert_eq!(
        value(&timer_sections["Install"], "WantedBy"),
        "timers.target"
    );

    let (sandbox, dir) = start();
    let words = shlex::split(value(of_service, "ExecStart")).unwrap();
    let (program, words) = words.split_first().unwrap();
    assert_eq!(program, INSTALLED);
    let ended = run(&sandbox, words);
    let success = value(of_service, "SuccessExitStatus");
    assert_eq!(ended.code.to_string(), success, "{}", ended.stderr);
    assert!(sandbox.path("scan.json").is_file() && sandbox.path("scan.jsonl").is_file());

    // systemd's own word, where there is a systemd. The program is where it is built, the folder of the state is this one.
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        return;
    }
    let names = ["atrest-scan.service", "atrest-scan.timer"];
    let text = service.replace(INSTALLED, BINARY);
    std::fs::write(dir.path().join(names[0]), text).unwrap();
    std::fs::write(dir.path().join(names[1]), timer).unwrap();
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(names.map(|name| dir.path().join(name)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let about_ours = said.lines().any(|line| line.contains("atrest-scan"));
    assert!(output.status.success() && !about_ours, "{said}");
}

#[test]
fn the_cron_line_is_good_and_findings_are_no_failure_of_it() {
    let lines = blocks("cron");
    let line = lines[0].trim();
    let mut words = line.splitn(7, ' ').filter(|word| !word.is_empty());
    let times: Vec<&str> = words.by_ref().take(5).collect();
    for (field, most) in times.iter().zip([59, 23, 31, 12, 7]) {
        let is_good = *field == "*" || field.parse::<u32>().is_ok_and(|number| number <= most);
        assert!(is_good, "{field} in {line}");
    }
    let rest = words.collect::<Vec<_>>().join(" ");
    let (user, command) = rest.trim().split_once(' ').unwrap();
    assert_eq!(user, "atrest");
    let (sandbox, _dir) = start();
    shell(&sandbox, command.trim()).expect(0);
    assert!(sandbox.path("scan.json").is_file());
    // What is no finding is a failure.
    let mut broken = command.trim().to_owned();
    broken = broken.replace("scan --org", "scan --org --role-name ''");
    assert_ne!(shell(&sandbox, &broken).code, 0);
}

/// What the example uses of batch/v1 CronJob, as the Kubernetes API names it; anything else is an error.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CronJob {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: CronJobSpec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CronJobSpec {
    schedule: String,
    concurrency_policy: ConcurrencyPolicy,
    job_template: JobTemplate,
}

#[derive(Debug, PartialEq, Deserialize)]
enum ConcurrencyPolicy {
    Allow,
    Forbid,
    Replace,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobTemplate {
    spec: JobSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JobSpec {
    backoff_limit: u32,
    pod_failure_policy: PodFailurePolicy,
    template: PodTemplate,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PodFailurePolicy {
    rules: Vec<FailureRule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FailureRule {
    action: FailureAction,
    on_exit_codes: OnExitCodes,
}

#[derive(Debug, PartialEq, Deserialize)]
enum FailureAction {
    FailJob,
    Ignore,
    Count,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OnExitCodes {
    container_name: String,
    operator: Operator,
    values: Vec<i32>,
}

#[derive(Debug, PartialEq, Deserialize)]
enum Operator {
    In,
    NotIn,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PodTemplate {
    spec: PodSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PodSpec {
    service_account_name: String,
    restart_policy: RestartPolicy,
    containers: Vec<Container>,
    volumes: Vec<Volume>,
}

#[derive(Debug, PartialEq, Deserialize)]
enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Container {
    name: String,
    image: String,
    args: Vec<String>,
    resources: Resources,
    volume_mounts: Vec<VolumeMount>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resources {
    requests: BTreeMap<String, String>,
    limits: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VolumeMount {
    name: String,
    mount_path: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Volume {
    name: String,
    persistent_volume_claim: Claim,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Claim {
    claim_name: String,
}

/// Mebibytes of `256Mi`.
fn mebibytes(text: &str) -> u32 {
    text.strip_suffix("Mi").unwrap().parse().unwrap()
}

#[test]
fn the_cron_job_is_one_and_its_command_ends_with_a_code_that_it_knows() {
    let job: CronJob = yaml_serde::from_str(&blocks("Kubernetes")[0]).unwrap();
    assert_eq!(
        (job.api_version.as_str(), job.kind.as_str()),
        ("batch/v1", "CronJob")
    );
    // Longer names leave no room for the suffix of a job.
    assert!(!job.metadata.name.is_empty() && job.metadata.name.len() <= 52);
    assert_eq!(job.spec.schedule.split(' ').count(), 5);
    assert_eq!(job.spec.concurrency_policy, ConcurrencyPolicy::Forbid);
    let spec = &job.spec.job_template.spec;
    let pod = &spec.template.spec;
    // A policy for failures needs pods that are not restarted.
    assert_eq!(pod.restart_policy, RestartPolicy::Never);
    assert!(spec.backoff_limit <= 3 && !pod.service_account_name.is_empty());
    let [container] = pod.containers.as_slice() else {
        panic!("{:?}", pod.containers);
    };
    assert!(container.image.contains('/'));
    let (request, limit) = (
        mebibytes(&container.resources.requests["memory"]),
        mebibytes(&container.resources.limits["memory"]),
    );
    assert!(request <= limit);
    let [mount] = container.volume_mounts.as_slice() else {
        panic!("{:?}", container.volume_mounts);
    };
    let volume = pod.volumes.iter().find(|volume| volume.name == mount.name);
    assert!(
        !volume
            .unwrap()
            .persistent_volume_claim
            .claim_name
            .is_empty()
    );

    let (sandbox, _dir) = start();
    let folder = sandbox.dir.path().to_str().unwrap();
    let words: Vec<String> = container
        .args
        .iter()
        .map(|word| word.replace(&mount.mount_path, folder))
        .collect();
    assert_ne!(words, container.args, "nothing is written into the volume");
    let ended = run(&sandbox, &words);
    assert_eq!(ended.code, 10, "{}", ended.stderr);
    let rule = spec
        .pod_failure_policy
        .rules
        .iter()
        .find(|rule| rule.on_exit_codes.values.contains(&ended.code))
        .expect("findings are the same when tried again");
    assert_eq!(rule.action, FailureAction::FailJob);
    assert_eq!(rule.on_exit_codes.operator, Operator::In);
    assert_eq!(rule.on_exit_codes.container_name, container.name);
    // Kubernetes refuses 0 with In, and any that is listed twice.
    let codes = &rule.on_exit_codes.values;
    assert!(codes.is_sorted_by(|a, b| a < b) && !codes.contains(&0));
}

#[test]
fn the_github_workflow_is_one_and_its_command_writes_what_the_next_step_takes() {
    let workflow: Yaml = yaml_serde::from_str(&blocks("GitHub Actions")[0]).unwrap();
    let text = |value: &Yaml| {
        value
            .as_str()
            .unwrap_or_else(|| panic!("{value:?}"))
            .to_owned()
    };
    let top: Vec<String> = workflow.as_mapping().unwrap().keys().map(text).collect();
    assert_eq!(top, ["on", "permissions", "jobs"]);
    let cron = text(&workflow["on"]["schedule"][0]["cron"]);
    assert_eq!(cron.split(' ').count(), 5);
    // What each of the actions asks for.
    for (scope, level) in [
        ("id-token", "write"),
        ("contents", "read"),
        ("security-events", "write"),
    ] {
        assert_eq!(text(&workflow["permissions"][scope]), level);
    }
    let job = &workflow["jobs"]["scan"];
    assert!(text(&job["runs-on"]).starts_with("ubuntu"));
    let steps = job["steps"].as_sequence().unwrap();
    for step in steps {
        let keys: Vec<String> = step.as_mapping().unwrap().keys().map(text).collect();
        let known = ["uses", "run", "with", "if"];
        assert!(
            keys.iter().all(|key| known.contains(&key.as_str())),
            "{keys:?}"
        );
        assert_eq!(
            keys.iter()
                .filter(|key| *key == "uses" || *key == "run")
                .count(),
            1,
            "{keys:?}"
        );
        if let Some(action) = step.get("uses") {
            let action = text(action);
            let (name, version) = action.split_once('@').unwrap();
            assert!(
                name.split('/').count() >= 2 && version.starts_with('v'),
                "{action}"
            );
        }
    }
    let line = text(steps.iter().find_map(|step| step.get("run")).unwrap());
    let (sandbox, _dir) = start();
    let summary = sandbox.path("summary.md");
    let line = line
        .replace("atrest scan", &format!("{INSTALLED} scan"))
        .replace("$GITHUB_STEP_SUMMARY", summary.to_str().unwrap());
    shell(&sandbox, &line).expect(0);
    assert!(std::fs::read_to_string(summary).unwrap().contains("db"));
    let upload = steps
        .iter()
        .find(|step| {
            step.get("uses")
                .is_some_and(|uses| text(uses).contains("upload-sarif"))
        })
        .unwrap();
    let sarif = sandbox.path(&text(&upload["with"]["sarif_file"]));
    let sarif: serde_json::Value = serde_json::from_slice(&std::fs::read(sarif).unwrap()).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
}
