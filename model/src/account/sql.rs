//! Statements: quoting, and a builder that writes the real text and the text for display side by side.

use std::fmt;

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretBox};
use serde::{Deserialize, Serialize, Serializer};

use super::credential::Credential;
use super::grant::Grant;
use super::name::{AccountKey, Name};
use super::privilege::Level;
use super::server::ServerVersion;

/// A string literal, for a session without `NO_BACKSLASH_ESCAPES` and with a UTF-8 connection character set.
pub fn quote_literal(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    out.push(b'\'');
    for &byte in bytes {
        match byte {
            b'\'' => out.extend_from_slice(b"''"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0 => out.extend_from_slice(b"\\0"),
            other => out.push(other),
        }
    }
    out.push(b'\'');
    out
}

/// An identifier in backticks, which quote under every `sql_mode`.
pub fn quote_identifier(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    out.push(b'`');
    for &byte in bytes {
        if byte == b'`' {
            out.push(b'`');
        }
        out.push(byte);
    }
    out.push(b'`');
    out
}

/// The place of a statement in the order that works: a statement needs only what earlier steps made.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum StatementStep {
    /// Roles, which accounts may need.
    CreateRole,
    /// Accounts, without default roles.
    CreateAccount,
    /// Attributes and credentials of accounts that exist.
    AlterAccount,
    /// Global, database, table, column and routine grants.
    Grant,
    /// Proxy grants.
    GrantProxy,
    /// Memberships in roles.
    GrantRole,
    /// Privileges taken away.
    Revoke,
    /// Privileges taken away from a global grant for one database.
    RestrictDatabase,
    /// Default roles.
    SetDefaultRole,
    /// Expiry of passwords.
    ExpirePassword,
    /// `SYSTEM_USER`, which closes an account to a login that lacks it: after everything else about it.
    GrantSystemUser,
    /// Accounts dropped.
    DropAccount,
}

/// One statement for one account.
///
/// The real text is a secret, since it may hold a password hash; every output shows the masked text.
pub struct Statement {
    step: StatementStep,
    account: AccountKey,
    text: SecretBox<[u8]>,
    masked: String,
    has_secret: bool,
    /// The server it is written for and what it gives, when it is a `GRANT`.
    gives: Option<Box<(ServerVersion, Grant)>>,
}

impl Statement {
    /// `DROP USER` or `DROP ROLE`.
    pub fn drop_account(account: &AccountKey, server: &ServerVersion, is_role: bool) -> Self {
        let mut writer = Writer::new(server, if is_role { "DROP ROLE " } else { "DROP USER " });
        writer.account(account);
        writer.finish(StatementStep::DropAccount, account)
    }

    /// Its place in the order.
    pub fn step(&self) -> StatementStep {
        self.step
    }

    /// The account it is about.
    pub fn account(&self) -> &AccountKey {
        &self.account
    }

    /// The text for the server, without a final `;`.
    pub fn expose(&self) -> &[u8] {
        self.text.expose_secret()
    }

    /// The text for people: each credential is replaced by its fingerprint.
    pub fn masked(&self) -> &str {
        &self.masked
    }

    /// What it grants, in the words of [`AccountChange`](super::AccountChange); nothing when it is no `GRANT`.
    pub fn gives(&self) -> Vec<(Level, String)> {
        self.gives
            .as_deref()
            .map_or_else(Vec::new, |(_, grant)| grant.privileges())
    }

    /// A `GRANT` of several privileges as statements of one privilege each, so that those the server refuses
    /// do not take the others with them. Empty when there is nothing to divide.
    pub fn divided(&self) -> Vec<Self> {
        self.gives
            .as_deref()
            .map_or_else(Vec::new, |(server, grant)| {
                grant
                    .divided()
                    .into_iter()
                    .map(|part| part.statement(server, &self.account))
                    .collect()
            })
    }

    pub(super) fn giving(self, server: ServerVersion, grant: Grant) -> Self {
        Self {
            gives: Some(Box::new((server, grant))),
            ..self
        }
    }

    /// Whether the real text holds a credential.
    pub fn has_secret(&self) -> bool {
        self.has_secret
    }
}

impl Clone for Statement {
    fn clone(&self) -> Self {
        Self {
            step: self.step,
            account: self.account.clone(),
            text: SecretBox::new(self.expose().into()),
            masked: self.masked.clone(),
            has_secret: self.has_secret,
            gives: self.gives.clone(),
        }
    }
}

impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statement({})", self.masked)
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked)
    }
}

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked)
    }
}

/// Builds a [`Statement`].
pub(super) struct Writer<'a> {
    server: &'a ServerVersion,
    text: Vec<u8>,
    masked: Vec<u8>,
    has_secret: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(server: &'a ServerVersion, start: &str) -> Self {
        Self {
            server,
            text: start.into(),
            masked: start.into(),
            has_secret: false,
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
        self.masked.extend_from_slice(bytes);
    }

    /// Bytes written so far.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Plain text: only ever words of SQL and numbers.
    pub(super) fn sql(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn identifier(&mut self, name: &Name) {
        self.bytes(&quote_identifier(name.as_bytes()));
    }

    /// `` `database`.`object` ``.
    pub(super) fn object(&mut self, database: &Name, object: &Name) {
        self.identifier(database);
        self.sql(".");
        self.identifier(object);
    }

    pub(super) fn literal(&mut self, bytes: &[u8]) {
        self.bytes(&quote_literal(bytes));
    }

    /// A comma-separated list.
    pub(super) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.sql(", ");
            }
            write(self, item);
        }
    }

    /// An account or role as the grantee or the role of a statement. A MariaDB role has no host part, and
    /// its `PUBLIC` must not be quoted.
    pub(super) fn account(&mut self, key: &AccountKey) {
        if self.server.is_mariadb() && key.host().is_empty() {
            if self.server.is_mariadb_from(10, 11) && key.user().as_bytes() == b"PUBLIC" {
                self.sql("PUBLIC");
            } else {
                self.literal(key.user().as_bytes());
            }
            return;
        }
        self.literal(key.user().as_bytes());
        self.sql("@");
        self.literal(key.host().as_bytes());
    }

    /// A credential as a quoted string.
    pub(super) fn secret_literal(&mut self, credential: &Credential) {
        self.text
            .extend_from_slice(&quote_literal(credential.expose()));
        self.mask(credential);
    }

    /// A credential as a hexadecimal literal.
    pub(super) fn secret_hex(&mut self, credential: &Credential) {
        self.text.extend_from_slice(b"0x");
        for byte in credential.expose() {
            for digit in [byte >> 4, byte & 15] {
                self.text.push(
                    char::from_digit(digit.into(), 16)
                        .map_or(b'0', |c| c.to_ascii_uppercase() as u8),
                );
            }
        }
        self.mask(credential);
    }

    fn mask(&mut self, credential: &Credential) {
        self.has_secret = true;
        self.masked
            .extend_from_slice(format!("<credential {}>", credential.fingerprint()).as_bytes());
    }

    pub(super) fn finish(self, step: StatementStep, account: &AccountKey) -> Statement {
        // Names may hold control characters and broken UTF-8; what is displayed may not.
        let masked = Name::from(self.masked).to_string().replace("\\\\", "\\");
        let text = SecretBox::new(self.text.into_boxed_slice());
        Statement {
            step,
            account: account.clone(),
            text,
            masked,
            has_secret: self.has_secret,
            gives: None,
        }
    }
}
