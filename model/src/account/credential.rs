//! What an account proves itself with, kept out of every output.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret as _, SecretBox};
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// What is stored for an authentication plugin: a password hash, `RDS` for IAM, an operating-system user.
///
/// `Debug`, `Display` and `Serialize` show a short SHA-256 fingerprint, enough to see whether two are equal.
/// The bytes leave only through [`Credential::expose`], which the renderer of statements uses.
pub struct Credential(SecretBox<[u8]>);

impl Credential {
    /// Wraps the stored bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(SecretBox::new(bytes.into_boxed_slice()))
    }

    /// Whether nothing is stored. For a password plugin that is an account without a password.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    /// The stored bytes.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// `none` when nothing is stored, else the first eight hexadecimal digits of its SHA-256.
    pub fn fingerprint(&self) -> String {
        if self.is_empty() {
            return "none".to_owned();
        }
        let digest = Sha256::digest(self.expose());
        digest
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl Clone for Credential {
    fn clone(&self) -> Self {
        Self::new(self.expose().to_vec())
    }
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Credential {}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.fingerprint())
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

impl Serialize for Credential {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.fingerprint())
    }
}

/// What [`Credential`] comes out as.
impl JsonSchema for Credential {
    fn schema_name() -> Cow<'static, str> {
        "Credential".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A fingerprint: the first eight hexadecimal digits of a SHA-256; `none` when nothing is stored.",
            "type": "string",
            "pattern": "^(none|[0-9a-f]{8})$"
        })
    }
}
