//! What the configuration comes to, as `atrest config show` writes it.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::printable;

/// Version of the JSON form of [`ConfigShown`].
pub const CONFIG_SCHEMA_VERSION: u32 = 1;

/// Every setting with its value and where that comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConfigShown {
    /// [`CONFIG_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The configuration file that was read; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The settings.
    pub settings: Vec<Setting>,
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Setting {
    /// Its name: a key of the file as `table.key`, or a word for what is set elsewhere.
    pub key: String,
    /// Its value. Absent where nothing is set and nothing holds instead, and where it is a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Whether it is set and not shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Where the value comes from.
    pub from: Origin,
    /// The place: `atrest.toml:3`, `AWS_REGION`, `--region`; absent for defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// Where a value comes from. Of several, the last of this list wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Nothing sets it.
    Default,
    /// The configuration file.
    File,
    /// A variable of the environment.
    Environment,
    /// An option of the command line.
    Option,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Option => "option",
        }
    }
}

/// For people: one line a setting.
#[must_use]
pub fn config_text(shown: &ConfigShown) -> String {
    let value = |setting: &Setting| match (&setting.value, setting.hidden) {
        (_, true) => "(set, not shown)".to_owned(),
        (Some(value), false) => printable(value).into_owned(),
        (None, false) => "-".to_owned(),
    };
    let rows: Vec<(&str, String, String)> = shown
        .settings
        .iter()
        .map(|setting| {
            let place = setting.place.as_deref().map(printable);
            let from = place.map_or_else(|| setting.from.as_str().to_owned(), |p| p.into_owned());
            (setting.key.as_str(), value(setting), from)
        })
        .collect();
    let width = |of: fn(&(&str, String, String)) -> usize, head: &str| {
        rows.iter().map(of).max().unwrap_or(0).max(head.len())
    };
    let (keys, values) = (
        width(|row| row.0.chars().count(), "SETTING"),
        // One long value must not push all others to the right.
        width(|row| row.1.chars().count().min(34), "VALUE"),
    );
    let mut text = match &shown.file {
        Some(file) => format!("configuration file: {}\n\n", printable(file)),
        None => "configuration file: none (`atrest config init` writes one)\n\n".to_owned(),
    };
    // Writing to a string does not fail.
    let _ = writeln!(text, "{:keys$}  {:values$}  FROM", "SETTING", "VALUE");
    for (key, value, from) in rows {
        let _ = writeln!(text, "{key:keys$}  {value:values$}  {from}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_said_to_be_set_and_an_escape_sequence_is_made_visible() {
        let setting = |key: &str, value: Option<&str>, hidden| Setting {
            key: key.to_owned(),
            value: value.map(str::to_owned),
            hidden,
            from: Origin::Environment,
            place: Some("X".to_owned()),
        };
        let shown = ConfigShown {
            schema_version: CONFIG_SCHEMA_VERSION,
            file: None,
            settings: vec![
                setting("password", None, true),
                setting("region", Some("\u{1b}[2J"), false),
            ],
        };
        let text = config_text(&shown);
        assert!(text.contains("(set, not shown)"), "{text}");
        assert!(text.contains("\\u{1b}[2J"), "{text}");
    }
}
