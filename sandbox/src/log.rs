//! The request log: one JSON line per call, flushed before the caller has its answer, and the last of them in
//! memory for the admin endpoint.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use crate::rds::params::Params;
use crate::wire::Received;

/// Entries kept in memory.
const KEPT: usize = 4_096;
/// Different combinations that are counted one by one; a client that makes actions up does not fill memory.
const COUNTED: usize = 8_192;

/// What is written about a call.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    /// Virtual time.
    pub(crate) time: String,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    pub(crate) principal: &'a str,
    pub(crate) action: &'a str,
    /// Secrets masked.
    pub(crate) params: Value,
    /// 0 when the connection was reset before anything was done.
    pub(crate) status: u16,
    /// Empty on success.
    pub(crate) code: &'a str,
    /// The faults that were played, by kind, with commas between them.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) fault: &'a str,
    pub(crate) request_id: &'a str,
}

/// Account, region, service, action, code.
type Kind = [String; 5];

#[derive(Debug, Default)]
struct Recent {
    /// Number of the next entry.
    next: u64,
    entries: VecDeque<(u64, Value)>,
    counts: BTreeMap<Kind, u64>,
    /// Calls of combinations beyond [`COUNTED`].
    uncounted: u64,
}

/// What of the log is wanted. Absent is any.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) fault: Option<String>,
    /// Entries from this number on.
    pub(crate) since: Option<u64>,
    /// The last so many.
    pub(crate) limit: Option<usize>,
}

impl Wanted {
    fn fits(pattern: Option<&String>, text: &str) -> bool {
        pattern.is_none_or(|pattern| crate::fault::matches(pattern, text))
    }

    fn takes(&self, entry: &Value) -> bool {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        Self::fits(self.account.as_ref(), text("account"))
            && Self::fits(self.region.as_ref(), text("region"))
            && Self::fits(self.service.as_ref(), text("service"))
            && Self::fits(self.action.as_ref(), text("action"))
            && Self::fits(self.code.as_ref(), text("code"))
            && self.fault.as_ref().is_none_or(|pattern| {
                text("fault")
                    .split(',')
                    .any(|kind| !kind.is_empty() && crate::fault::matches(pattern, kind))
            })
    }
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    file: Option<Mutex<File>>,
    recent: Mutex<Recent>,
}

impl RequestLog {
    /// Opens the log for appending; without a path it is kept in memory only.
    pub(crate) fn open(path: Option<&Path>) -> std::io::Result<Self> {
        let file = path
            .map(|path| File::options().create(true).append(true).open(path))
            .transpose()?;
        Ok(Self {
            file: file.map(Mutex::new),
            recent: Mutex::default(),
        })
    }

    /// Writes an entry.
    pub(crate) fn write(&self, entry: &Entry<'_>) -> std::io::Result<()> {
        let value = serde_json::to_value(entry)?;
        let line = format!("{value}\n");
        self.keep(entry, value);
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes())?;
        file.flush()
    }

    fn keep(&self, entry: &Entry<'_>, value: Value) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let number = recent.next;
        recent.next += 1;
        if recent.entries.len() >= KEPT {
            recent.entries.pop_front();
        }
        recent.entries.push_back((number, value));
        let kind = [
            entry.account,
            entry.region,
            entry.service,
            entry.action,
            entry.code,
        ]
        .map(str::to_owned);
        if recent.counts.len() < COUNTED || recent.counts.contains_key(&kind) {
            *recent.counts.entry(kind).or_insert(0) += 1;
        } else {
            recent.uncounted += 1;
        }
    }

    /// The last entries that are wanted, oldest first, each with its number.
    pub(crate) fn tail(&self, wanted: &Wanted) -> Value {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Value> = recent
            .entries
            .iter()
            .rev()
            .take_while(|(number, _)| wanted.since.is_none_or(|since| *number >= since))
            .filter(|(_, entry)| wanted.takes(entry))
            .take(wanted.limit.unwrap_or(100))
            .map(|(number, entry)| {
                let mut entry = entry.clone();
                if let Some(object) = entry.as_object_mut() {
                    object.insert("number".to_owned(), json!(number));
                }
                entry
            })
            .collect();
        found.reverse();
        json!({ "requests": found, "next": recent.next })
    }

    /// How many calls there were of each action, since the start. A fault is no part of the count.
    pub(crate) fn counts(&self, wanted: &Wanted) -> Value {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut actions: BTreeMap<String, u64> = BTreeMap::new();
        let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
        for ([account, region, service, action, code], count) in &recent.counts {
            if Wanted::fits(wanted.account.as_ref(), account)
                && Wanted::fits(wanted.region.as_ref(), region)
                && Wanted::fits(wanted.service.as_ref(), service)
                && Wanted::fits(wanted.action.as_ref(), action)
                && Wanted::fits(wanted.code.as_ref(), code)
            {
                *actions.entry(format!("{service}:{action}")).or_default() += count;
                if !code.is_empty() {
                    *codes.entry(code).or_default() += count;
                }
            }
        }
        json!({
            "total": actions.values().sum::<u64>(),
            "actions": actions,
            "errors": codes,
            "uncounted": recent.uncounted,
        })
    }
}

/// What a call sent, secrets masked.
pub(crate) fn shown(received: &Received) -> Value {
    if received.json.is_null() {
        masked(&received.params)
    } else {
        masked_json(&received.json)
    }
}

/// The parameters of a Query call, secrets masked.
fn masked(params: &Params) -> Value {
    params
        .iter()
        .filter(|(name, _)| !matches!(*name, "Action" | "Version"))
        .map(|(name, value)| {
            let shown = if name.split('.').any(is_secret) {
                "****"
            } else {
                value
            };
            (name.to_owned(), Value::from(shown))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn masked_json(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let shown = if is_secret(name) && !value.is_boolean() {
                    Value::from("****")
                } else {
                    masked_json(value)
                };
                (name.clone(), shown)
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(masked_json).collect(),
        plain => plain.clone(),
    }
}

/// Whether a value is a secret by its name. `ManageMasterUserPassword` and its like are flags, `NextToken`
/// and its like open nothing.
fn is_secret(name: &str) -> bool {
    const SECRETS: [&str; 14] = [
        "PreSignedUrl",
        "SessionToken",
        "SecurityToken",
        "SecretAccessKey",
        "SecretString",
        "SecretBinary",
        "WebIdentityToken",
        "SAMLAssertion",
        "TokenCode",
        "GrantTokens",
        "GrantToken",
        "Plaintext",
        "ImportToken",
        "EncryptedKeyMaterial",
    ];
    const FLAGS: [&str; 2] = ["ManageMasterUserPassword", "RotateMasterUserPassword"];
    let ends = |end: &str| {
        name.len() >= end.len()
            && name
                .get(name.len() - end.len()..)
                .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    (ends("Password") && !FLAGS.contains(&name))
        || SECRETS
            .iter()
            .any(|secret| name.eq_ignore_ascii_case(secret))
        || name.eq_ignore_ascii_case("X-Amz-Signature")
        || name.eq_ignore_ascii_case("X-Amz-Security-Token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_and_flags_are_not() {
        let params = Params::parse(
            b"Action=ModifyDBInstance&MasterUserPassword=geheim&masteruserpassword=geheim&ManageMasterUserPassword=true&TdeCredentialPassword=geheim&GrantTokens.member.1=geheim",
        );
        let text = masked(&params).to_string();
        assert!(!text.contains("geheim"), "{text}");
        assert!(text.contains("\"ManageMasterUserPassword\":\"true\""));
    }

    #[test]
    fn secrets_in_json_are_masked_wherever_they_stand() {
        let text = masked_json(&json!({
            "SecretString": "geheim",
            "NextToken": "seen",
            "GrantTokens": ["geheim"],
            "Inner": [{ "Password": "geheim", "Name": "seen" }],
        }))
        .to_string();
        assert!(!text.contains("geheim"), "{text}");
        assert_eq!(text.matches("seen").count(), 2);
    }
}
