//! Identifiers: parsed once at the edge, trusted afterwards.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An identifier that breaks a rule of RDS or of this tool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} {rule}")]
pub struct InvalidId {
    what: &'static str,
    value: String,
    rule: &'static str,
}

/// Identifier of a DB instance: 1–63 ASCII letters, digits and hyphens, a letter first, no hyphen last, no two in a
/// row. RDS stores it in lower case and matches it case-insensitively.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct DbInstanceIdentifier(String);

impl DbInstanceIdentifier {
    /// Longest identifier RDS accepts.
    pub const MAX_LEN: usize = 63;

    /// The identifier in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `prefix-self`, checked like any other identifier.
    pub fn prefixed(&self, prefix: &str) -> Result<Self, InvalidId> {
        Self::try_from(format!("{prefix}-{}", self.0))
    }
}

impl TryFrom<String> for DbInstanceIdentifier {
    type Error = InvalidId;

    fn try_from(value: String) -> Result<Self, InvalidId> {
        let invalid = |rule| InvalidId {
            what: "DB instance identifier",
            value: value.clone(),
            rule,
        };
        if value.is_empty() || value.len() > Self::MAX_LEN {
            return Err(invalid("must have 1 to 63 characters"));
        }
        if !value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            return Err(invalid("may hold only ASCII letters, digits and hyphens"));
        }
        if !value.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(invalid("must begin with a letter"));
        }
        if value.ends_with('-') || value.contains("--") {
            return Err(invalid(
                "must not end with a hyphen or hold two hyphens in a row",
            ));
        }
        Ok(Self(value.to_ascii_lowercase()))
    }
}

impl TryFrom<&str> for DbInstanceIdentifier {
    type Error = InvalidId;

    fn try_from(value: &str) -> Result<Self, InvalidId> {
        Self::try_from(value.to_owned())
    }
}

impl From<DbInstanceIdentifier> for String {
    fn from(id: DbInstanceIdentifier) -> Self {
        id.0
    }
}

impl fmt::Display for DbInstanceIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of a run: also the name of its folder, so it is kept to letters, digits, `-` and `_`.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RunId(String);

impl RunId {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RunId {
    type Error = InvalidId;

    fn try_from(value: String) -> Result<Self, InvalidId> {
        let invalid = |rule| InvalidId {
            what: "run",
            value: value.clone(),
            rule,
        };
        if value.is_empty() || value.len() > 64 {
            return Err(invalid("must have 1 to 64 characters"));
        }
        if !value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err(invalid("may hold only ASCII letters, digits, `-` and `_`"));
        }
        Ok(Self(value))
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_lower_cased_and_checked() {
        assert_eq!(
            DbInstanceIdentifier::try_from("Prod-One").unwrap().as_str(),
            "prod-one"
        );
        for bad in ["", "1a", "a--b", "a-", "a_b", "ünï", &"a".repeat(64)] {
            let error = DbInstanceIdentifier::try_from(bad).unwrap_err().to_string();
            assert!(error.starts_with("DB instance identifier"), "{error}");
        }
        let long = DbInstanceIdentifier::try_from("a".repeat(60).as_str()).unwrap();
        assert!(long.prefixed("old").is_err());
    }

    #[test]
    fn a_run_is_a_safe_folder_name() {
        assert!(RunId::try_from("2026-11-24-a1".to_owned()).is_ok());
        for bad in ["", "../x", "a/b", "a b", "."] {
            assert!(RunId::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
