//! The document that one tick hands to the next: how far a migration is, kept by whoever calls.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Tool;
use crate::document::digest;
use crate::id::RunId;
use crate::run::MigrationReport;

/// Version of the form of [`TickDocument`] and of the [`TickState`] in it. An older one is read, a newer one refused.
pub const FORMAT: u32 = 1;

/// What a tick prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TickDocument {
    /// [`FORMAT`].
    pub format: u32,
    /// Who wrote it.
    pub tool: Tool,
    /// What the caller does next.
    pub progress: Progress,
    /// The step at hand; absent when there is none.
    pub step: Option<String>,
    /// What was seen of it or done, in words; no secret.
    pub seen: String,
    /// What a person can do, where one is needed.
    pub hint: Option<String>,
    /// Seconds after which the next tick is worth while; 0 is at once.
    pub wait_seconds: u64,
    /// How the migration ended; absent while it goes on.
    pub result: Option<MigrationReport>,
    /// What this tick recorded: lines of the audit trail, in order. Those of all ticks, one after the other, are the
    /// whole trail, which `atrest status --verify` checks.
    pub journal: Vec<String>,
    /// Set where another tick has this state too: the next one has to be told so, see [`TickInput::again`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// What the next tick goes on from.
    pub state: TickState,
}

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Something was done or recorded: tick again.
    Advanced,
    /// RDS or MySQL has something to do: tick again after `wait_seconds`.
    Waiting,
    /// The state was not moved on, because another tick has the migration or AWS cannot be asked: tick again after
    /// `wait_seconds` with this document.
    TryLater,
    /// Waits for a person's leave: the next tick comes with `approve`, the name of `step`.
    Approval,
    /// A person must look. A tick with `resume` goes on from here.
    NeedsOperator,
    /// Migrated.
    Done,
}

impl Progress {
    /// The word in the document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Advanced => "advanced",
            Self::Waiting => "waiting",
            Self::TryLater => "try-later",
            Self::Approval => "approval",
            Self::NeedsOperator => "needs-operator",
            Self::Done => "done",
        }
    }
}

/// What a tick is given: the document of the tick before, and what the caller has to say. Members that are not named here
/// are passed over, so that the document can be handed on as it was printed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TickInput {
    /// [`FORMAT`] of the version that wrote the state.
    pub format: u32,
    /// What the tick before left.
    pub state: TickState,
    /// The step that a person has given leave for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<String>,
    /// A tick may have begun with this very state and not come to its end: what it may have sent is looked for before
    /// anything is sent.
    #[serde(default)]
    pub again: bool,
    /// A person has looked: steps that were stopped are taken up again.
    #[serde(default)]
    pub resume: bool,
}

/// How far a migration is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TickState {
    /// Name of the run.
    pub run: RunId,
    /// `region/identifier` of the migration.
    pub migration: String,
    /// `DbiResourceId` of its source.
    pub dbi_resource_id: String,
    /// Version of the plan's form.
    pub plan_format: u32,
    /// SHA-256 of the plan: a tick that is given another plan is refused.
    pub plan_digest: String,
    /// What this execution claims the source with, as a run folder has one.
    pub claim: String,
    /// Leave is asked for before this step; `cutover` is the first one that gives a client's name away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_before: Option<String>,
    /// Leave that was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<Approved>,
    /// When it was written.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub written: Timestamp,
    /// Seconds until the next tick, as it was asked for.
    pub wait_seconds: u64,
    /// Since when ticks have followed each other without a gap. A tick that comes late or again begins anew, as a
    /// resumed run does: what may have been sent before is looked for first.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub resumed: Option<Timestamp>,
    /// Of each step its last record, and the last one that said what is about to be sent: lines of the audit trail.
    pub records: BTreeMap<String, Vec<String>>,
    /// Hash of the newest line of the trail.
    pub head: String,
    /// What is being watched, by step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub watched: BTreeMap<String, Watched>,
    /// SHA-256 over everything else here: an edited state is refused.
    pub digest: String,
}

/// Leave that a person gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approved {
    /// The step it was asked for.
    pub step: String,
    /// When the tick was given it.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
}

/// What is known of a step that is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Watched {
    /// When it became ready: its deadline counts from here.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub began: Timestamp,
    /// Looks in a row that have shown it done.
    pub confirmed: u32,
    /// When the last of these began.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub confirmed_at: Option<Timestamp>,
    /// From when on its mutation is looked for, of which nobody knows whether it was sent.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub doubtful_from: Option<Timestamp>,
    /// Since when its server is ready, where the server is not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub ready: Option<Timestamp>,
    /// Since when something breaks its window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub trouble: Option<Timestamp>,
    /// What breaks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl TickDocument {
    /// What the next tick is given, when the caller has nothing to add.
    #[must_use]
    pub fn next(&self) -> TickInput {
        TickInput {
            format: self.format,
            state: self.state.clone(),
            approve: None,
            again: self.again,
            resume: false,
        }
    }
}

impl TickState {
    /// The digest the content calls for.
    #[must_use]
    pub fn computed_digest(&self) -> String {
        let mut bare = self.clone();
        bare.digest.clear();
        // Plain data with string keys: serialization cannot fail; an empty digest never matches.
        serde_json::to_value(&bare)
            .map(|value| digest(&value))
            .unwrap_or_default()
    }

    /// The same state with its digest filled in.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.digest = self.computed_digest();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> TickState {
        TickState {
            run: RunId::try_from("r".to_owned()).unwrap(),
            migration: "eu-central-1/a".to_owned(),
            dbi_resource_id: "db-A".to_owned(),
            plan_format: 1,
            plan_digest: "d".to_owned(),
            claim: "c".to_owned(),
            stop_before: Some("cutover".to_owned()),
            approved: Vec::new(),
            written: Timestamp::UNIX_EPOCH,
            wait_seconds: 0,
            resumed: None,
            records: BTreeMap::from([("claim".to_owned(), vec!["{}".to_owned()])]),
            head: String::new(),
            watched: BTreeMap::new(),
            digest: String::new(),
        }
        .sealed()
    }

    #[test]
    fn an_edited_state_no_longer_matches_its_digest() {
        let mut state = state();
        assert_eq!(state.digest, state.computed_digest());
        state.stop_before = None;
        assert_ne!(state.digest, state.computed_digest());
    }

    #[test]
    fn what_the_caller_adds_stands_beside_the_state_and_the_rest_of_a_document_is_passed_over() {
        let document = TickDocument {
            format: FORMAT,
            tool: Tool::current(),
            progress: Progress::Approval,
            step: Some("cutover".to_owned()),
            seen: String::new(),
            hint: None,
            wait_seconds: 0,
            result: None,
            journal: vec!["{}".to_owned()],
            again: false,
            state: state(),
        };
        assert_eq!(document.next().state, document.state);
        let mut value = serde_json::to_value(&document).unwrap();
        let read: TickInput = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(read.state, state());
        assert!(!read.again && !read.resume && read.approve.is_none());
        value["approve"] = "cutover".into();
        value["again"] = true.into();
        let read: TickInput = serde_json::from_value(value).unwrap();
        assert_eq!(read.approve.as_deref(), Some("cutover"));
        assert!(read.again);
        assert_eq!(read.state.digest, read.state.computed_digest());
    }
}
