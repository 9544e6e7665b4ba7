//! Policies of atrest: what is flagged, and why.
//!
//! A policy looks at one resource and says what is wrong with it. It never reads anything itself. Adding one: a file in
//! `rules/`, a line in [`registry`], a page in `docs/policies/`, cases in `policies/tests/data/<id>/`; a test walks the
//! registry and names what is missing.

mod case;
mod custom;
mod evaluate;
mod fleet;
mod policy;
mod registry;
mod rules;
mod settings;
mod source;
mod waiver;

/// The policy that plans are made from: its findings are what `atrest fix` mends.
pub const STORAGE_UNENCRYPTED: &str = "storage-unencrypted";

pub use case::{Case, CaseResult};
pub use custom::{CustomMeta, CustomPolicies, InvalidPolicy};
pub use evaluate::{asked, evaluate_fleet, evaluate_instance, evaluate_with};
pub use fleet::Fleet;
pub use policy::{Context, Controls, Fix, Needs, Policy, PolicyMeta, Subject, Verdict};
pub use registry::registry;
pub use settings::{Settings, SettingsTable};
pub use source::Source;
pub use waiver::{InvalidWaivers, Waivers};
