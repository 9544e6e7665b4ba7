//! Test cases of policies: describe answers as the AWS CLI prints them, and the verdicts they must get.
//!
//! Used by `atrest policy test`, and by the tests of the built-in policies themselves.

use std::collections::BTreeSet;
use std::path::Path;

use atrest_model::finding::{Finding, FindingStatus, Severity};
use atrest_model::instance::{DbCluster, DbInstance};
use atrest_model::key::{KeyFacts, KeyState, Keys, Rotation, region_of};
use atrest_model::resource::{
    Described, DescribedRef, GroupKind, ParameterGroup, ParameterGroups, arn_member,
};
use atrest_model::scan::ResourceKind;
use serde::Deserialize;
use serde_json::Value;

use crate::custom::CustomPolicies;
use crate::evaluate::evaluate_with;
use crate::fleet::Fleet;
use crate::settings::Settings;
use crate::source::Source;

/// One case: a small fleet and what a policy must say of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in one line.
    pub shows: String,
    #[serde(default = "default_account")]
    account: String,
    #[serde(default = "default_region")]
    region: String,
    /// When the scan began (UTC).
    #[serde(default = "default_now")]
    now: jiff::Timestamp,
    /// As in `[policies.ID]` of the configuration file.
    #[serde(default)]
    settings: serde_json::Map<String, Value>,
    #[serde(rename = "DBInstances", default)]
    instances: Vec<Value>,
    #[serde(rename = "DBClusters", default)]
    clusters: Vec<Value>,
    #[serde(rename = "GlobalClusters", default)]
    global_clusters: Vec<Value>,
    #[serde(rename = "DBSnapshots", default)]
    snapshots: Vec<Value>,
    #[serde(rename = "DBClusterSnapshots", default)]
    cluster_snapshots: Vec<Value>,
    #[serde(rename = "DBInstanceAutomatedBackups", default)]
    automated_backups: Vec<Value>,
    #[serde(rename = "DBClusterAutomatedBackups", default)]
    cluster_automated_backups: Vec<Value>,
    #[serde(rename = "ExportTasks", default)]
    export_tasks: Vec<Value>,
    #[serde(rename = "Keys", default)]
    keys: Vec<Key>,
    #[serde(rename = "DBParameterGroups", default)]
    groups: Vec<Group>,
    expect: Vec<Expected>,
}

/// A `KeyMetadata` of `aws kms describe-key`, or why there is none.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Key {
    arn: String,
    #[serde(default = "enabled")]
    key_state: String,
    #[serde(default = "customer")]
    key_manager: String,
    deletion_date: Option<String>,
    /// Ours: DescribeKey failed, with this message.
    unreadable: Option<String>,
}

/// A parameter group with the `Parameters` of `aws rds describe-db-parameters`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(rename = "DBParameterGroupName")]
    name: String,
    #[serde(rename = "Parameters", default)]
    parameters: Vec<Value>,
    /// Ours: DescribeDBParameters failed, with this message.
    #[serde(rename = "Unreadable")]
    unreadable: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// ARN or name.
    resource: String,
    verdict: ExpectedVerdict,
    reason: Option<String>,
    severity: Option<Severity>,
    /// Some of the controls, as `publisher id`.
    #[serde(default)]
    controls: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ExpectedVerdict {
    Pass,
    Fail,
    NotEvaluated,
}

impl ExpectedVerdict {
    fn of(finding: Option<&Finding>) -> Self {
        match finding.map(|finding| finding.status) {
            None => Self::Pass,
            Some(FindingStatus::Fail | FindingStatus::Waived) => Self::Fail,
            Some(FindingStatus::NotEvaluated) => Self::NotEvaluated,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotEvaluated => "not-evaluated",
        }
    }
}

fn default_account() -> String {
    "111122223333".to_owned()
}

fn default_region() -> String {
    "eu-central-1".to_owned()
}

fn default_now() -> jiff::Timestamp {
    jiff::Timestamp::UNIX_EPOCH
}

fn enabled() -> String {
    "Enabled".to_owned()
}

fn customer() -> String {
    "CUSTOMER".to_owned()
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// Verdicts that were expected and given: `pass`, `fail`, `not-evaluated`.
    pub verdicts: BTreeSet<&'static str>,
    /// What is not as expected, one line each; empty for a case that passes.
    pub mismatches: Vec<String>,
}

/// What a case describes, in the model's types.
struct World {
    instances: Vec<DbInstance>,
    clusters: Vec<DbCluster>,
    others: Vec<Described>,
    keys: Keys,
    groups: ParameterGroups,
}

impl Case {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// What is wrong, with file, line and column; unknown members are errors.
    pub fn parse(file: &Path, text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| {
            let start: usize = text
                .split_inclusive('\n')
                .take(error.line().saturating_sub(1))
                .map(str::len)
                .sum();
            let message = error.to_string();
            let what = message.rsplit_once(" at line ").map_or(&*message, |m| m.0);
            let source = Source { file, text };
            source.error(start + error.column().saturating_sub(1), what)
        })
    }

    /// Asks the policy of that id, built in or one of `custom`.
    ///
    /// # Errors
    ///
    /// Settings of the case that cannot be.
    pub fn run(
        &self,
        file: &Path,
        policy: &str,
        custom: Option<&CustomPolicies>,
    ) -> Result<CaseResult, String> {
        let settings = self.settings(file, policy)?;
        let world = self.world();
        let fleet = Fleet::new(&world.instances, &world.clusters)
            .with_resources(&world.others)
            .with_keys(&world.keys)
            .with_parameter_groups(&world.groups);
        let mut findings = evaluate_with(&fleet, &settings);
        if let Some(custom) = custom {
            findings.extend(custom.evaluate(&self.account, &fleet, self.now, &settings));
        }
        findings.retain(|finding| finding.policy == policy);
        let resources: Vec<DescribedRef<'_>> = ResourceKind::ALL
            .into_iter()
            .flat_map(|kind| fleet.resources(kind))
            .collect();
        Ok(self.compare(&resources, &findings))
    }

    fn settings(&self, file: &Path, policy: &str) -> Result<Settings, String> {
        let table = toml::to_string(&self.settings)
            .map_err(|error| format!("{}: settings: {error}", file.display()))?;
        let source = Source {
            file: Path::new("settings"),
            text: &format!("[{policy}]\n{table}"),
        };
        Settings::parse(&source, |id| id == policy)
            .map_err(|error| format!("{}: {error}", file.display()))
    }

    fn world(&self) -> World {
        let region = |kind: ResourceKind, document: &Value| {
            arn_member(kind)
                .and_then(|member| document.get(member)?.as_str())
                .and_then(region_of)
                .unwrap_or(&self.region)
                .to_owned()
        };
        let others = [
            (ResourceKind::GlobalCluster, &self.global_clusters),
            (ResourceKind::DbSnapshot, &self.snapshots),
            (ResourceKind::DbClusterSnapshot, &self.cluster_snapshots),
            (
                ResourceKind::DbInstanceAutomatedBackup,
                &self.automated_backups,
            ),
            (
                ResourceKind::DbClusterAutomatedBackup,
                &self.cluster_automated_backups,
            ),
            (ResourceKind::ExportTask, &self.export_tasks),
        ];
        let mut groups = ParameterGroups::default();
        for group in &self.groups {
            let state = match &group.unreadable {
                Some(why) => ParameterGroup::Unreadable(why.clone()),
                None => ParameterGroup::Read(group.parameters.clone()),
            };
            groups.insert(&self.region, GroupKind::Instance, &group.name, state);
        }
        World {
            instances: self
                .instances
                .iter()
                .map(|document| DbInstance {
                    region: region(ResourceKind::DbInstance, document),
                    document: document.clone(),
                })
                .collect(),
            clusters: self
                .clusters
                .iter()
                .map(|document| DbCluster {
                    region: region(ResourceKind::DbCluster, document),
                    document: document.clone(),
                })
                .collect(),
            others: others
                .into_iter()
                .flat_map(|(kind, documents)| {
                    documents.iter().map(move |document| (kind, document))
                })
                .map(|(kind, document)| Described {
                    kind,
                    account: self.account.clone(),
                    region: region(kind, document),
                    document: document.clone(),
                })
                .collect(),
            keys: self
                .keys
                .iter()
                .map(|key| (key.arn.clone(), key.state()))
                .collect(),
            groups,
        }
    }

    fn compare(&self, resources: &[DescribedRef<'_>], findings: &[Finding]) -> CaseResult {
        let mut result = CaseResult {
            verdicts: BTreeSet::new(),
            mismatches: Vec::new(),
        };
        let mut expected_arns = BTreeSet::new();
        for expected in &self.expect {
            let named: Vec<String> = resources
                .iter()
                .filter(|resource| {
                    resource.arn() == expected.resource
                        || resource.identifier() == expected.resource
                })
                .map(|resource| resource.arn().into_owned())
                .collect();
            match named.as_slice() {
                [arn] => {
                    let finding = findings.iter().find(|finding| finding.resource == *arn);
                    let wrong = expected.differs(finding);
                    if wrong.is_empty() {
                        result.verdicts.insert(expected.verdict.as_str());
                    }
                    result.mismatches.extend(wrong);
                    expected_arns.insert(arn.clone());
                }
                [] => result.mismatches.push(format!(
                    "{}: the case describes no such resource",
                    expected.resource
                )),
                several => result.mismatches.push(format!(
                    "{}: {} resources bear this name; give the ARN",
                    expected.resource,
                    several.len()
                )),
            }
        }
        for finding in findings {
            if !expected_arns.contains(&finding.resource) {
                result.mismatches.push(format!(
                    "{}: nothing was expected, and it is {}: {}",
                    finding.resource,
                    ExpectedVerdict::of(Some(finding)).as_str(),
                    finding.reason
                ));
            }
        }
        result
    }
}

impl Expected {
    /// What is not as expected.
    fn differs(&self, finding: Option<&Finding>) -> Vec<String> {
        let mut wrong = Vec::new();
        let verdict = ExpectedVerdict::of(finding);
        let reason = finding.map(|finding| finding.reason.as_str());
        if verdict != self.verdict {
            let why = reason.map(|why| format!(": {why}")).unwrap_or_default();
            wrong.push(format!(
                "{}: expected {}, got {}{why}",
                self.resource,
                self.verdict.as_str(),
                verdict.as_str()
            ));
            return wrong;
        }
        if self.reason.is_some() && self.reason.as_deref() != reason {
            wrong.push(format!(
                "{}: expected the reason {:?}, got {:?}",
                self.resource,
                self.reason.as_deref().unwrap_or_default(),
                reason.unwrap_or_default()
            ));
        }
        let severity = finding.map(|finding| finding.severity);
        if self.severity.is_some() && self.severity != severity {
            let word = |severity: Option<Severity>| severity.map_or("none", Severity::as_str);
            wrong.push(format!(
                "{}: expected the severity {}, got {}",
                self.resource,
                word(self.severity),
                word(severity)
            ));
        }
        let controls: BTreeSet<String> = finding
            .into_iter()
            .flat_map(|finding| finding.controls.iter())
            .map(|control| format!("{} {}", control.publisher, control.id))
            .collect();
        for control in &self.controls {
            if !controls.contains(control) {
                wrong.push(format!("{}: it lacks the control {control}", self.resource));
            }
        }
        wrong
    }
}

impl Key {
    fn state(&self) -> KeyState {
        if let Some(why) = &self.unreadable {
            return KeyState::Unreadable(why.clone());
        }
        KeyState::Known(KeyFacts {
            arn: self.arn.clone(),
            state: self.key_state.clone(),
            usage: "ENCRYPT_DECRYPT".to_owned(),
            spec: "SYMMETRIC_DEFAULT".to_owned(),
            manager: self.key_manager.clone(),
            origin: "AWS_KMS".to_owned(),
            multi_region: false,
            deletion_date: self.deletion_date.clone(),
            rotation: Rotation::Unknown,
        })
    }
}
