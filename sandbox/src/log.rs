//! The request log: one JSON line per call, flushed before the caller has its answer.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::rds::params::Params;

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
    pub(crate) params: serde_json::Value,
    pub(crate) status: u16,
    /// Empty on success.
    pub(crate) code: &'a str,
    /// The fault that was played, if one was.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) fault: &'a str,
    pub(crate) request_id: &'a str,
}

/// The open log.
#[derive(Debug)]
pub(crate) struct RequestLog(Mutex<File>);

impl RequestLog {
    /// Opens the log for appending.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        File::options()
            .create(true)
            .append(true)
            .open(path)
            .map(|file| Self(Mutex::new(file)))
    }

    /// Writes a line.
    pub(crate) fn write(&self, entry: &Entry<'_>) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line)?;
        file.flush()
    }
}

/// The parameters of a Query call, secrets masked.
pub(crate) fn masked(params: &Params) -> serde_json::Value {
    params
        .iter()
        .filter(|(name, _)| !matches!(*name, "Action" | "Version"))
        .map(|(name, value)| {
            let shown = if is_secret(name) { "****" } else { value };
            (name.to_owned(), serde_json::Value::from(shown))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Whether a parameter's value is a secret by its name. `ManageMasterUserPassword` and its like are flags.
fn is_secret(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    matches!(
        last,
        "MasterUserPassword"
            | "TdeCredentialPassword"
            | "PreSignedUrl"
            | "SessionToken"
            | "SecretAccessKey"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_and_flags_are_not() {
        let params = Params::parse(
            b"Action=ModifyDBInstance&MasterUserPassword=geheim&ManageMasterUserPassword=true",
        );
        let text = masked(&params).to_string();
        assert!(!text.contains("geheim"));
        assert!(text.contains("\"ManageMasterUserPassword\":\"true\""));
    }
}
