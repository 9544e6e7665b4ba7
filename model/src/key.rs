//! KMS keys as `kms:DescribeKey` tells of them.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Key ARN → what is known of it.
pub type Keys = HashMap<String, KeyState>;

/// What is known of a key that a resource names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// It was described.
    Known(KeyFacts),
    /// It could not be described, and why: most often a key of another account, or one that is gone.
    Unreadable(String),
}

/// Facts about a KMS key from `DescribeKey`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyFacts {
    /// Key ARN: the form RDS answers with, whatever form was asked for.
    pub arn: String,
    /// `KeyState`: `Enabled`, `Disabled`, `PendingDeletion`, …
    pub state: String,
    /// `KeyUsage`.
    pub usage: String,
    /// `KeySpec`.
    pub spec: String,
    /// `KeyManager`: `AWS` (an AWS-managed key such as `aws/rds`) or `CUSTOMER`.
    pub manager: String,
    /// `Origin`: `AWS_KMS`, `EXTERNAL`, `AWS_CLOUDHSM`, `EXTERNAL_KEY_STORE`.
    pub origin: String,
    /// `MultiRegion`.
    pub multi_region: bool,
    /// `DeletionDate`, RFC 3339, of a key that is pending deletion.
    pub deletion_date: Option<String>,
    /// Whether KMS makes new key material every year or so.
    pub rotation: Rotation,
}

/// Automatic rotation, from `GetKeyRotationStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rotation {
    /// `KeyRotationEnabled` is true.
    On,
    /// `KeyRotationEnabled` is false.
    Off,
    /// KMS cannot rotate such a key (asymmetric, HMAC, imported or external material), or AWS rotates it by itself.
    NotApplicable,
    /// Nobody asked, or the question was refused. Never a pass.
    Unknown,
}

impl KeyFacts {
    /// Why RDS would refuse to encrypt under this key; `None` if it would not. RDS takes enabled symmetric
    /// encryption keys only.
    #[must_use]
    pub fn why_unusable(&self) -> Option<String> {
        if self.state != "Enabled" {
            return Some(format!("key {} is {}, not Enabled", self.arn, self.state));
        }
        if self.usage != "ENCRYPT_DECRYPT" {
            return Some(format!(
                "key {} is for {}, not ENCRYPT_DECRYPT",
                self.arn, self.usage
            ));
        }
        if self.spec != "SYMMETRIC_DEFAULT" {
            return Some(format!(
                "key {} is {}, not SYMMETRIC_DEFAULT",
                self.arn, self.spec
            ));
        }
        None
    }

    /// Whether `GetKeyRotationStatus` has an answer for it: customer-managed, symmetric, of KMS's own material.
    #[must_use]
    pub fn can_rotate(&self) -> bool {
        self.manager == "CUSTOMER"
            && self.spec == "SYMMETRIC_DEFAULT"
            && self.usage == "ENCRYPT_DECRYPT"
            && self.origin == "AWS_KMS"
    }

    /// The account that owns the key.
    #[must_use]
    pub fn account(&self) -> &str {
        account_of(&self.arn).unwrap_or_default()
    }
}

/// The account in an ARN.
#[must_use]
pub fn account_of(arn: &str) -> Option<&str> {
    part(arn, 4)
}

/// The region in an ARN.
#[must_use]
pub fn region_of(arn: &str) -> Option<&str> {
    part(arn, 3)
}

fn part(arn: &str, index: usize) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    if parts.next() != Some("arn") {
        return None;
    }
    parts.nth(index - 1).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_region_and_account() {
        let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234";
        assert_eq!(region_of(arn), Some("eu-central-1"));
        assert_eq!(account_of(arn), Some("111122223333"));
        for not in ["alias/x", "", "arn:aws", "1234:a:b:c:d:e"] {
            assert_eq!((region_of(not), account_of(not)), (None, None), "{not}");
        }
    }
}
