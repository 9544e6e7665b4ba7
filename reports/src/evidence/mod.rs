//! The evidence pack: everything that shows what a run did, in one file that tells when it was changed.
//!
//! A pack is a zip file. `SHA256SUMS` names every other member with its hash, in the form of `sha256sum`, and
//! `SHA256SUMS.sig` may sign it, so that a pack can be checked without this tool. `manifest.json` says what each member
//! is, and what is not there: a hole is never proof. The same input gives the same bytes.

mod pack;
mod sign;
mod verify;

use std::collections::BTreeMap;

use atrest_model::Tool;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use pack::{EvidenceError, write_evidence};
pub use sign::{EvidenceKeyError, EvidencePublicKey, EvidenceSigningKey};
pub use verify::{EvidenceSignature, Problem, ProblemKind, VerifiedEvidence, verify_evidence};

/// Version of the JSON form of [`EvidenceManifest`].
pub const EVIDENCE_SCHEMA_VERSION: u32 = 1;

const MANIFEST: &str = "manifest.json";
const README: &str = "README.txt";
const SUMS: &str = "SHA256SUMS";
const SIGNATURE: &str = "SHA256SUMS.sig";

/// Most bytes the members of a pack may have, all together, when they are unpacked: 512 MiB. A file that claims little
/// and unpacks to more is refused.
pub const MOST_EVIDENCE_BYTES: u64 = 512 * 1024 * 1024;
/// Most members of a pack.
const MOST_MEMBERS: usize = 10_000;

/// What goes into a pack.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The version of this tool that packs it.
    pub tool: Tool,
    /// The run.
    pub run: String,
    /// Account of the run.
    pub account: String,
    /// Digest of its plan.
    pub plan_digest: String,
    /// What each command ended with, or would end with on what was found: `fix`, `scan-before`, ….
    pub exit_codes: BTreeMap<String, u8>,
    /// The members. Names are paths within the pack.
    pub files: Vec<EvidenceFile>,
    /// What should be there and is not.
    pub holes: Vec<EvidenceHole>,
}

/// A member of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceFile {
    /// Path within the pack: parts of letters, digits, `.`, `-` and `_`, divided by `/`.
    pub name: String,
    /// What it is, in a few words.
    pub about: String,
    /// The content.
    pub bytes: Vec<u8>,
}

/// Something that should be in a pack and is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceHole {
    /// What is missing.
    pub what: String,
    /// Why.
    pub why: String,
}

/// `manifest.json` of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceManifest {
    /// [`EVIDENCE_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who packed it.
    pub tool: Tool,
    /// The run.
    pub run: String,
    /// Account of the run.
    pub account: String,
    /// Digest of its plan.
    pub plan_digest: String,
    /// Whether nothing is missing.
    pub complete: bool,
    /// What each command ended with, or would end with on what was found.
    pub exit_codes: BTreeMap<String, u8>,
    /// The members, sorted by name; `manifest.json`, `SHA256SUMS` and the signature are not among them.
    pub files: Vec<EvidenceMember>,
    /// What should be there and is not.
    pub holes: Vec<EvidenceHole>,
}

/// A member as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceMember {
    /// Path within the pack.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Bytes, unpacked.
    pub bytes: u64,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
}

/// Whether a name is one that a pack may hold: relative, without `..`, of plain characters.
fn is_member_name(name: &str) -> bool {
    name.len() <= 240
        && name.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        })
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    atrest_model::document::hex(&sha2::Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_of_the_folder_are_none() {
        for good in [
            "plan.json",
            "diffs/validation-eu-central-1-x.json",
            "SHA256SUMS",
        ] {
            assert!(is_member_name(good), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../x",
            "a//b",
            "a\\b",
            "C:x",
            "a/.",
            ".x",
            "ä",
        ] {
            assert!(!is_member_name(bad), "{bad}");
        }
    }
}
