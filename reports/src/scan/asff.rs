//! A scan in the AWS Security Finding Format: an array of findings for `BatchImportFindings`, which takes 100 a call.
//!
//! Ids depend on policy and resource only, so that an import updates what the night before imported. What the file of
//! that night knows is kept: see [`PreviousFindings`].

mod previous;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io;

use atrest_model::finding::Severity;
use atrest_model::scan::{Resource, ResourceKind, ScanReport};
use serde::Serialize;

pub use previous::{PreviousError, PreviousFindings};

use super::Out;
use super::rows::{Hole, NOT_READ, holes};
use super::verdicts::{ControlIds, Judged, Status, verdicts};
use crate::json::List;
use crate::rule::Rule;
use crate::text::{is_blank, printable};

/// Most related requirements of a finding.
const MOST_REQUIREMENTS: usize = 32;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Finding<'a> {
    schema_version: &'static str,
    id: String,
    product_arn: String,
    product_name: &'static str,
    company_name: &'static str,
    region: &'a str,
    generator_id: String,
    aws_account_id: &'a str,
    types: [&'static str; 1],
    first_observed_at: String,
    last_observed_at: String,
    created_at: String,
    updated_at: String,
    severity: Label,
    title: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remediation: Option<Remediation<'a>>,
    product_fields: BTreeMap<&'static str, String>,
    resources: [AwsResource<'a>; 1],
    compliance: Compliance<'a>,
    workflow: Workflow,
    record_state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Label {
    label: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Remediation<'a> {
    recommendation: Recommendation<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Recommendation<'a> {
    text: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AwsResource<'a> {
    #[serde(rename = "Type")]
    kind: &'static str,
    id: Cow<'a, str>,
    partition: &'a str,
    region: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
enum Details<'a> {
    AwsRdsDbInstance(InstanceDetails<'a>),
    AwsRdsDbCluster(ClusterDetails<'a>),
    AwsRdsDbSnapshot(SnapshotDetails<'a>),
    AwsRdsDbClusterSnapshot(ClusterSnapshotDetails<'a>),
    Other(BTreeMap<&'static str, String>),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SnapshotDetails<'a> {
    db_snapshot_identifier: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    db_instance_identifier: Option<&'a str>,
    #[serde(skip_serializing_if = "is_blank")]
    engine: &'a str,
    #[serde(skip_serializing_if = "is_blank")]
    engine_version: &'a str,
    #[serde(skip_serializing_if = "is_blank")]
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ClusterSnapshotDetails<'a> {
    db_cluster_snapshot_identifier: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    db_cluster_identifier: Option<&'a str>,
    #[serde(skip_serializing_if = "is_blank")]
    engine: &'a str,
    #[serde(skip_serializing_if = "is_blank")]
    engine_version: &'a str,
    #[serde(skip_serializing_if = "is_blank")]
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_encrypted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceDetails<'a> {
    #[serde(rename = "DBInstanceIdentifier")]
    identifier: &'a str,
    #[serde(rename = "DBInstanceClass", skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    #[serde(skip_serializing_if = "is_blank")]
    engine: &'a str,
    #[serde(skip_serializing_if = "is_blank")]
    engine_version: &'a str,
    #[serde(skip_serializing_if = "is_blank")]
    db_instance_status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_encrypted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<&'a str>,
    #[serde(
        rename = "ReadReplicaSourceDBInstanceIdentifier",
        skip_serializing_if = "Option::is_none"
    )]
    replica_of: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ClusterDetails<'a> {
    db_cluster_identifier: &'a str,
    #[serde(skip_serializing_if = "is_blank")]
    engine: &'a str,
    #[serde(skip_serializing_if = "is_blank")]
    engine_version: &'a str,
    #[serde(skip_serializing_if = "is_blank")]
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_encrypted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Compliance<'a> {
    status: &'static str,
    related_requirements: ControlIds<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reasons: Option<[StatusReason; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatusReason {
    reason_code: &'static str,
    description: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Workflow {
    status: &'static str,
}

pub(super) fn write(
    report: &ScanReport,
    rules: &[Rule],
    previous: Option<&PreviousFindings>,
    out: &mut Out<'_>,
) -> io::Result<()> {
    let now = report.started.to_string();
    let fixes: Vec<(&str, Option<String>)> = rules
        .iter()
        .map(|rule| (rule.id.as_str(), rule.paragraph("Fix")))
        .collect();
    let made = Made {
        report,
        now: &now,
        fixes: &fixes,
        previous,
    };
    let mut list = List::begin(out)?;
    let mut written: HashSet<String> = HashSet::new();
    let judged = verdicts(report, rules).map(|judged| made.judged(&judged));
    let holes = holes(report).map(|hole| made.hole(hole));
    for finding in judged.chain(holes) {
        list.push(&finding)?;
        if previous.is_some() {
            written.insert(finding.id);
        }
    }
    if let Some(previous) = previous {
        for finding in previous.left_over(&written, report, &now) {
            list.push(&finding)?;
        }
    }
    list.end()
}

/// What all findings of one scan share.
struct Made<'a> {
    report: &'a ScanReport,
    now: &'a str,
    fixes: &'a [(&'a str, Option<String>)],
    previous: Option<&'a PreviousFindings>,
}

impl<'a> Made<'a> {
    fn judged(&self, judged: &Judged<'a>) -> Finding<'a> {
        let status = judged.status();
        let id = id_of(
            judged.policy,
            judged.account(),
            judged.region(),
            &judged.id(),
        );
        let reason = printable(&judged.reason()).into_owned();
        let title = format!(
            "{}: {}",
            printable(judged.policy),
            printable(judged.identifier())
        );
        let description = match judged.rule {
            Some(rule) if status != Status::Pass => format!("{}. {reason}", printable(&rule.title)),
            _ => reason.clone(),
        };
        let severity = match status {
            Status::Pass => Severity::Info,
            Status::Fail | Status::Waived | Status::NotEvaluated => judged.severity(),
        };
        let mut finding = self.base(id, judged.policy, judged.account(), judged.region());
        finding.product_arn =
            product_arn(judged.partition(), finding.aws_account_id, finding.region);
        finding.severity = label(severity);
        finding.title = cut(title, 256);
        finding.description = cut(description, 1024);
        finding.remediation = self
            .fix(judged.policy)
            .filter(|_| status != Status::Pass)
            .map(|text| Remediation {
                recommendation: Recommendation {
                    text: Cow::Borrowed(text),
                    url: judged.rule.and_then(|rule| rule.help_uri.as_deref()),
                },
            });
        finding
            .product_fields
            .insert("atrest/policy", cut(judged.policy.to_owned(), 2048));
        finding.resources = [AwsResource {
            kind: match judged.kind() {
                ResourceKind::DbInstance => "AwsRdsDbInstance",
                ResourceKind::DbCluster => "AwsRdsDbCluster",
                ResourceKind::DbSnapshot => "AwsRdsDbSnapshot",
                ResourceKind::DbClusterSnapshot => "AwsRdsDbClusterSnapshot",
                // The format has no type of its own for them.
                ResourceKind::GlobalCluster
                | ResourceKind::DbInstanceAutomatedBackup
                | ResourceKind::DbClusterAutomatedBackup
                | ResourceKind::ExportTask => "Other",
            },
            id: Cow::Borrowed(known(judged.arn)),
            partition: judged.partition(),
            region: finding.region,
            details: judged
                .resource
                .filter(|r| !is_blank(&r.identifier))
                .map(details),
        }];
        let controls = judged.controls();
        let most = controls.len().min(MOST_REQUIREMENTS);
        finding.compliance = Compliance {
            related_requirements: ControlIds(controls.get(..most).unwrap_or_default()),
            ..compliance(status, reason)
        };
        finding.workflow = Workflow {
            status: match status {
                Status::Fail | Status::NotEvaluated => "NEW",
                Status::Waived => "SUPPRESSED",
                Status::Pass => "RESOLVED",
            },
        };
        finding
    }

    /// A region that could not be read: a finding on the account, so that its silence is not taken for compliance.
    fn hole(&self, hole: Hole<'a>) -> Finding<'a> {
        let id = id_of(NOT_READ, hole.account, hole.region, &hole.id());
        let error = printable(hole.error);
        let mut finding = self.base(id, NOT_READ, hole.account, hole.region);
        finding.title = cut(hole.title(), 256);
        let what = match hole.kind {
            None => "the resources",
            Some(kind) => kind.as_str(),
        };
        finding.description = cut(
            format!("Nothing is known of {what} of this region. {error}"),
            1024,
        );
        finding.compliance = compliance(Status::NotEvaluated, error.into_owned());
        finding
    }

    /// What every finding has; the rest is that of a region that could not be read.
    fn base(&self, id: String, policy: &'a str, account: &'a str, region: &'a str) -> Finding<'a> {
        let (account, region) = (known_in(account, 12), known_in(region, 16));
        let earlier = self.previous.and_then(|previous| previous.times(&id));
        let (created, first) = match earlier {
            Some((created, first)) => (created.to_owned(), first.to_owned()),
            None => (self.now.to_owned(), self.now.to_owned()),
        };
        Finding {
            schema_version: "2018-10-08",
            id,
            product_arn: product_arn("aws", account, region),
            product_name: "atrest",
            company_name: "atrest",
            region,
            generator_id: cut(format!("atrest/{}", printable(policy)), 512),
            aws_account_id: account,
            types: ["Software and Configuration Checks/Industry and Regulatory Standards"],
            first_observed_at: first,
            last_observed_at: self.now.to_owned(),
            created_at: created,
            updated_at: self.now.to_owned(),
            severity: label(Severity::High),
            title: String::new(),
            description: String::new(),
            remediation: None,
            product_fields: BTreeMap::from([(
                "atrest/version",
                cut(self.report.tool.version.clone(), 2048),
            )]),
            resources: [AwsResource {
                kind: "AwsAccount",
                id: Cow::Owned(format!("AWS::::Account:{account}")),
                partition: "aws",
                region,
                details: None,
            }],
            compliance: compliance(Status::NotEvaluated, String::new()),
            workflow: Workflow { status: "NEW" },
            record_state: "ACTIVE",
        }
    }

    fn fix(&self, policy: &str) -> Option<&'a str> {
        let found = self.fixes.iter().find(|(id, _)| *id == policy)?;
        found.1.as_deref()
    }
}

fn details(resource: &Resource) -> Details<'_> {
    // An Aurora cluster under an AWS-owned key answers `StorageEncrypted=false` and is encrypted: what is told here is
    // whether the storage is encrypted.
    let storage_encrypted = resource.encryption.is_encrypted();
    let kms_key_id = resource.kms_key_id.as_deref().filter(|key| !is_blank(key));
    match resource.kind {
        ResourceKind::DbInstance => Details::AwsRdsDbInstance(InstanceDetails {
            identifier: &resource.identifier,
            class: resource.class.as_deref().filter(|class| !is_blank(class)),
            engine: &resource.engine,
            engine_version: &resource.engine_version,
            db_instance_status: &resource.status,
            storage_encrypted,
            kms_key_id,
            replica_of: resource.replica_of.as_deref().filter(|of| !is_blank(of)),
        }),
        ResourceKind::DbCluster => Details::AwsRdsDbCluster(ClusterDetails {
            db_cluster_identifier: &resource.identifier,
            engine: &resource.engine,
            engine_version: &resource.engine_version,
            status: &resource.status,
            storage_encrypted,
            kms_key_id,
        }),
        ResourceKind::DbSnapshot => Details::AwsRdsDbSnapshot(SnapshotDetails {
            db_snapshot_identifier: &resource.identifier,
            db_instance_identifier: resource.source.as_deref().filter(|of| !is_blank(of)),
            engine: &resource.engine,
            engine_version: &resource.engine_version,
            status: &resource.status,
            encrypted: storage_encrypted,
            kms_key_id,
        }),
        ResourceKind::DbClusterSnapshot => {
            Details::AwsRdsDbClusterSnapshot(ClusterSnapshotDetails {
                db_cluster_snapshot_identifier: &resource.identifier,
                db_cluster_identifier: resource.source.as_deref().filter(|of| !is_blank(of)),
                engine: &resource.engine,
                engine_version: &resource.engine_version,
                status: &resource.status,
                storage_encrypted,
                kms_key_id,
            })
        }
        kind @ (ResourceKind::GlobalCluster
        | ResourceKind::DbInstanceAutomatedBackup
        | ResourceKind::DbClusterAutomatedBackup
        | ResourceKind::ExportTask) => {
            let told = [
                ("type", Some(kind.as_str())),
                ("identifier", Some(resource.identifier.as_str())),
                ("source", resource.source.as_deref()),
                ("engine", Some(resource.engine.as_str())),
                ("status", Some(resource.status.as_str())),
                ("encryption", Some(resource.encryption.as_str())),
                ("kms_key_id", kms_key_id),
            ];
            Details::Other(
                told.into_iter()
                    .filter_map(|(name, value)| Some((name, value.filter(|v| !is_blank(v))?)))
                    .map(|(name, value)| (name, cut(printable(value).into_owned(), 1024)))
                    .collect(),
            )
        }
    }
}

fn compliance(status: Status, reason: String) -> Compliance<'static> {
    let (status, code) = match status {
        Status::Pass => ("PASSED", None),
        Status::Fail => ("FAILED", Some("ATREST_FLAGGED")),
        Status::Waived => ("WARNING", Some("ATREST_WAIVED")),
        Status::NotEvaluated => ("NOT_AVAILABLE", Some("ATREST_NOT_EVALUATED")),
    };
    Compliance {
        status,
        related_requirements: ControlIds(&[]),
        status_reasons: code.map(|reason_code| {
            [StatusReason {
                reason_code,
                description: cut(reason, 2048),
            }]
        }),
    }
}

fn label(severity: Severity) -> Label {
    Label {
        label: match severity {
            Severity::Info => "INFORMATIONAL",
            Severity::Low => "LOW",
            Severity::Medium => "MEDIUM",
            Severity::High => "HIGH",
            Severity::Critical => "CRITICAL",
        },
    }
}

/// The id of a finding, which says what it is about; the last part alone is unique.
fn id_of(policy: &str, account: &str, region: &str, id: &str) -> String {
    let long = format!("atrest/{policy}/{account}/{region}/{id}");
    if long.chars().nth(512).is_none() {
        long
    } else {
        format!("atrest/{id}")
    }
}

/// The product every account may import findings under.
fn product_arn(partition: &str, account: &str, region: &str) -> String {
    format!("arn:{partition}:securityhub:{region}:{account}:product/{account}/default")
}

/// What stands where an account, a region or a resource is not known.
fn known(text: &str) -> &str {
    if is_blank(text) { "unknown" } else { text }
}

/// The text, if it is known and no longer than the service takes it.
fn known_in(text: &str, most: usize) -> &str {
    let fits = text.chars().nth(most).is_none();
    known(if fits { text } else { "" })
}

/// At most so many characters, the last of them an ellipsis where text is left away. Never blank.
fn cut(text: String, most: usize) -> String {
    if is_blank(&text) {
        return "-".to_owned();
    }
    let Some((at, _)) = text.char_indices().nth(most) else {
        return text;
    };
    let shown = text.get(..at).unwrap_or_default();
    let keep = shown.char_indices().next_back().map_or(0, |(last, _)| last);
    format!("{}…", shown.get(..keep).unwrap_or_default())
}
