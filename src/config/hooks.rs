//! `[[hooks]]`: commands at points of a run.

use atrest_model::hook::{Hook, OnFailure, Stage};
use serde::Deserialize;

use crate::cli::parse_duration;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HookTable {
    pub(super) at: Stage,
    command: Vec<String>,
    #[serde(default = "five_minutes")]
    timeout: String,
    #[serde(default = "stop")]
    on_failure: OnFailure,
    #[serde(default)]
    repeat: bool,
    #[serde(default)]
    inherit: Vec<String>,
}

fn five_minutes() -> String {
    "5m".to_owned()
}

fn stop() -> OnFailure {
    OnFailure::Stop
}

impl HookTable {
    pub(super) fn settle(self) -> Result<Hook, String> {
        if self.command.first().is_none_or(String::is_empty) {
            return Err(
                "its command is empty; give a list, [\"program\", \"argument\"]".to_owned(),
            );
        }
        if self.command.iter().any(|word| word.contains('\0')) {
            return Err("no argument can have a NUL in it".to_owned());
        }
        if let Some(ours) = self.inherit.iter().find(|name| name.starts_with("ATREST_")) {
            return Err(format!(
                "{ours} is not handed on: what a hook is told bears that prefix, and passwords of ours do"
            ));
        }
        let timeout = parse_duration(&self.timeout).map_err(|why| format!("timeout: {why}"))?;
        if timeout.as_secs() == 0 {
            return Err("timeout: a second at least".to_owned());
        }
        Ok(Hook {
            at: self.at,
            command: self.command,
            timeout_seconds: timeout.as_secs(),
            on_failure: self.on_failure,
            repeat: self.repeat,
            inherit: self.inherit,
        })
    }
}
