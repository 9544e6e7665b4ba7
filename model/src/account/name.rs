//! Names as the server stores them, and the key of an account.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A name as the server stores it: user, host, database, table, column or routine, byte for byte.
///
/// Names are UTF-8 on every healthy server, but nothing enforces it for every column, so bytes are kept.
/// The text form (`Display`, serde) is lossless: a backslash is written `\\`, and a byte that is not
/// printable UTF-8 is written `\xHH`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The stored bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the name has no bytes at all, as the user part of an anonymous account.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<&[u8]> for Name {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<Vec<u8>> for Name {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into_boxed_slice())
    }
}

/// A name between quotes, with the quotes in it doubled: where it ends is never in doubt.
pub(crate) struct Quoted<'a> {
    name: &'a Name,
    quote: char,
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = self.quote;
        let doubled = self
            .name
            .to_string()
            .replace(quote, &format!("{quote}{quote}"));
        write!(f, "{quote}{doubled}{quote}")
    }
}

impl Name {
    /// The name as people read it, between quotes.
    pub(crate) fn within(&self, quote: char) -> Quoted<'_> {
        Quoted { name: self, quote }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    // Control characters are all below U+00A0; each of their UTF-8 bytes is written on its own.
                    c if c.is_control() => {
                        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                            write!(f, "\\x{byte:02x}")?;
                        }
                    }
                    c => fmt::Write::write_char(f, c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// The text form of a [`Name`] with an escape that is neither `\\` nor `\xHH`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("name has a backslash that starts neither `\\\\` nor `\\xHH`: {text}")]
pub struct InvalidEscape {
    /// The text that was given.
    pub text: String,
}

impl FromStr for Name {
    type Err = InvalidEscape;

    fn from_str(text: &str) -> Result<Self, InvalidEscape> {
        let invalid = || InvalidEscape {
            text: text.to_owned(),
        };
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            if byte != b'\\' {
                bytes.push(byte);
                continue;
            }
            match rest.next() {
                Some(b'\\') => bytes.push(b'\\'),
                Some(b'x') => {
                    let mut digit = || {
                        let digit = char::from(rest.next()?).to_digit(16)?;
                        u8::try_from(digit).ok()
                    };
                    let (high, low) = (digit().ok_or_else(invalid)?, digit().ok_or_else(invalid)?);
                    bytes.push(high << 4 | low);
                }
                _ => return Err(invalid()),
            }
        }
        Ok(Self::from(bytes))
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Name {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The key of an account: both parts of `'user'@'host'`.
///
/// User names are case-sensitive. Hosts are not: every server stores them in lower case, and so does this
/// key. On MariaDB a role is an account whose host is empty.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(from = "RawAccountKey")]
pub struct AccountKey {
    user: Name,
    host: Name,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AccountKey")]
struct RawAccountKey {
    user: Name,
    host: Name,
}

impl From<RawAccountKey> for AccountKey {
    fn from(raw: RawAccountKey) -> Self {
        Self::new(raw.user, raw.host)
    }
}

impl AccountKey {
    /// Makes a key; the host is put in lower case.
    pub fn new(user: impl Into<Name>, host: impl Into<Name>) -> Self {
        let mut host = host.into();
        host.0.make_ascii_lowercase();
        Self {
            user: user.into(),
            host,
        }
    }

    /// The user part; empty for an anonymous account.
    pub fn user(&self) -> &Name {
        &self.user
    }

    /// The host part, lower-case; empty for a role on MariaDB.
    pub fn host(&self) -> &Name {
        &self.host
    }
}

impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user.within('\''), self.host.within('\''))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Level;

    #[test]
    fn a_quote_in_a_name_does_not_end_it() {
        let key = AccountKey::new("u'@'%' WITH GRANT OPTION#", "%");
        assert_eq!(key.to_string(), "'u''@''%'' WITH GRANT OPTION#'@'%'");
        let level = Level::Database {
            database: Name::from("a`.* TO x"),
        };
        assert_eq!(level.to_string(), "`a``.* TO x`.*");
    }
}
