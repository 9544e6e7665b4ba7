//! What a report can tell of a policy beside its findings: what it is about, what to do, whom else it serves.

use atrest_model::finding::{Control, Severity};
use atrest_model::scan::{Resource, ResourceKind};

/// A policy that was asked. A resource it applies to and that has no finding of it has passed: without rules a report
/// knows of no pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Policy id, kebab-case.
    pub id: String,
    /// One line, naming the defect.
    pub title: String,
    /// Severity of its findings, unless one says otherwise.
    pub severity: Severity,
    /// Its page, Markdown.
    pub help: String,
    /// A page elsewhere on what it is about.
    pub help_uri: Option<String>,
    /// Kinds of resources it applies to, with the controls it serves there.
    pub controls: Vec<RuleControls>,
}

/// The controls of a rule on one kind of resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleControls {
    /// The kind.
    pub kind: ResourceKind,
    /// `Engine`, where publishers number that engine apart, such as `neptune`; `None` for every other one.
    pub engine: Option<String>,
    /// The controls.
    pub controls: Vec<Control>,
}

impl Rule {
    /// The controls on a resource; `None` when the rule does not apply to it.
    pub(crate) fn controls_of(&self, resource: &Resource) -> Option<&[Control]> {
        let of_kind = || self.controls.iter().filter(|c| c.kind == resource.kind);
        of_kind()
            .find(|c| c.engine.as_deref() == Some(resource.engine.as_str()))
            .or_else(|| of_kind().find(|c| c.engine.is_none()))
            .map(|found| found.controls.as_slice())
    }

    /// The first paragraph of its page under a bold heading, such as `Fix`, without the heading.
    pub(crate) fn paragraph(&self, heading: &str) -> Option<String> {
        let (_, rest) = self.help.split_once(&format!("**{heading}.** "))?;
        let end = rest.find("\n\n").unwrap_or(rest.len());
        let text = rest.get(..end)?.replace('\n', " ");
        Some(text.replace('`', "")).filter(|text| !text.trim().is_empty())
    }
}
