//! Plain types of atrest: no I/O, no async, no AWS.
//!
//! Everything that one crate hands to another lives here, so that `reports` and `policies` never compile the
//! AWS SDK. Documents keep AWS's own member names; see [`document`].

pub mod account;
pub mod attribute;
pub mod baseline;
pub mod check;
pub mod diff;
pub mod document;
pub mod event;
pub mod finding;
pub mod hook;
pub mod id;
pub mod instance;
pub mod journal;
pub mod keep;
pub mod key;
pub mod phase;
pub mod plan;
pub mod resource;
pub mod run;
pub mod scan;
pub mod shard;
pub mod shared;
pub mod tick;

/// Name and version of the tool, written into every document it makes.
#[derive(
    Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Tool {
    /// Always `atrest`.
    pub name: String,
    /// Version of the crate that wrote the document.
    pub version: String,
}

impl Tool {
    /// This build.
    #[must_use]
    pub fn current() -> Self {
        Self {
            name: "atrest".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
