//! The findings of an earlier file: when each was seen first, and what has become of those that are not made any more.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;

use atrest_model::scan::ScanReport;
use serde_json::{Map, Value, json};

use super::super::rows::NOT_READ;
use super::cut;
use crate::text::printable;

/// Findings of an earlier scan in the AWS Security Finding Format.
///
/// A finding that is made again keeps its `CreatedAt` and `FirstObservedAt`. One that is not made again, although its
/// region was read, speaks of a resource that is gone: it is archived, once. One whose region could not be read says
/// `NOT_AVAILABLE` until it is. One of a region or of a policy that the scan was not asked about stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PreviousFindings {
    /// By id, in the order of ids: the same input gives the same file.
    findings: BTreeMap<String, Map<String, Value>>,
}

/// Why an earlier file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PreviousError {
    /// It could not be read, or is no JSON.
    #[error("it is no JSON")]
    Json(#[from] serde_json::Error),
    /// It is JSON and no list of findings.
    #[error("it holds no list of findings")]
    NoList,
    /// One of its findings lacks a member.
    #[error("its finding number {number} has no {member:?} that is a string")]
    Member {
        /// Which, from 1.
        number: usize,
        /// Which member.
        member: &'static str,
    },
}

impl PreviousFindings {
    /// Reads a list of findings, as this crate writes it, or the answer of `aws securityhub get-findings`. Findings of
    /// other products are passed over.
    ///
    /// # Errors
    ///
    /// What is no such list. A part that cannot be read is an error and not a finding that was never seen.
    pub fn read(file: impl Read) -> Result<Self, PreviousError> {
        let mut document: Value = serde_json::from_reader(std::io::BufReader::new(file))?;
        if let Some(inner) = document.get_mut("Findings") {
            document = inner.take();
        }
        let Value::Array(items) = document else {
            return Err(PreviousError::NoList);
        };
        let mut findings = BTreeMap::new();
        for (index, item) in items.into_iter().enumerate() {
            let Value::Object(finding) = item else {
                return Err(PreviousError::NoList);
            };
            let id = text(&finding, "Id").map(str::to_owned);
            let number = index + 1;
            let missing = |member| PreviousError::Member { number, member };
            let id = id.ok_or_else(|| missing("Id"))?;
            if !id.starts_with("atrest/") {
                continue;
            }
            for member in ["CreatedAt", "AwsAccountId", "Region"] {
                text(&finding, member).ok_or_else(|| missing(member))?;
            }
            findings.insert(id, finding);
        }
        Ok(Self { findings })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.findings.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// `CreatedAt` and `FirstObservedAt` of a finding. One that was archived has come back: it begins anew.
    pub(super) fn times(&self, id: &str) -> Option<(&str, &str)> {
        let finding = self.findings.get(id)?;
        if is_archived(finding) {
            return None;
        }
        let created = text(finding, "CreatedAt")?;
        Some((created, text(finding, "FirstObservedAt").unwrap_or(created)))
    }

    /// What is to be said of those that were not written now.
    pub(super) fn left_over<'a>(
        &'a self,
        written: &'a HashSet<String>,
        report: &'a ScanReport,
        now: &'a str,
    ) -> impl Iterator<Item = Value> + 'a {
        let mut regions: HashMap<(&str, &str), Option<&str>> = report
            .regions
            .iter()
            .map(|region| {
                let place = (region.account.as_str(), region.region.as_str());
                (place, region.error.as_deref())
            })
            .collect();
        // Of what kind an old finding was is not told reliably: where one kind is unread, none is archived.
        for unread in &report.unread {
            let place = (unread.account.as_str(), unread.region.as_str());
            if let Some(error @ None) = regions.get_mut(&place) {
                *error = Some(&unread.reason);
            }
        }
        self.findings
            .iter()
            .filter(move |(id, finding)| !written.contains(*id) && !is_archived(finding))
            .map(move |(_, finding)| {
                let place = (
                    text(finding, "AwsAccountId").unwrap_or_default(),
                    text(finding, "Region").unwrap_or_default(),
                );
                let mut finding = finding.clone();
                match regions.get(&place) {
                    _ if !was_asked(&finding, report) => {}
                    None => {}
                    Some(None) => {
                        finding.insert("RecordState".to_owned(), json!("ARCHIVED"));
                        finding.insert("UpdatedAt".to_owned(), json!(now));
                    }
                    Some(Some(error)) => {
                        let reason = format!("its region could not be read: {}", printable(error));
                        finding.insert(
                            "Compliance".to_owned(),
                            json!({
                                "Status": "NOT_AVAILABLE",
                                "StatusReasons": [{
                                    "ReasonCode": "ATREST_NOT_EVALUATED",
                                    "Description": cut(reason, 2048),
                                }],
                            }),
                        );
                        finding.insert("Workflow".to_owned(), json!({"Status": "NEW"}));
                        finding.insert("UpdatedAt".to_owned(), json!(now));
                    }
                }
                Value::Object(finding)
            })
    }
}

/// Whether the scan asked the policy that made a finding. What says that a region was not read is of no policy.
fn was_asked(finding: &Map<String, Value>, report: &ScanReport) -> bool {
    let generator = text(finding, "GeneratorId").unwrap_or_default();
    let policy = generator.strip_prefix("atrest/").unwrap_or(generator);
    policy == NOT_READ
        || report
            .policies
            .as_ref()
            .is_none_or(|asked| asked.contains(policy))
}

fn text<'a>(finding: &'a Map<String, Value>, member: &str) -> Option<&'a str> {
    finding.get(member).and_then(Value::as_str)
}

fn is_archived(finding: &Map<String, Value>) -> bool {
    text(finding, "RecordState") == Some("ARCHIVED")
}
