//! The configuration file: `--config FILE`, or the first `atrest.toml` from the working directory upward.
//!
//! It is strict: a key that nothing reads is an error, since whoever wrote it believes that it works.

mod fleet;
mod hooks;
pub(crate) mod keys;

use std::path::{Path, PathBuf};

use atrest_model::hook::Hook;
use atrest_policies::{Settings, SettingsTable, Source};
use serde::Deserialize;

pub(crate) use self::fleet::FleetTable;
use self::hooks::HookTable;

use crate::exit::ExpectedError;

/// Name that is looked for.
const NAME: &str = "atrest.toml";

/// What was read. The ids of policies are checked later, when those of the user are known.
#[derive(Debug, Default)]
pub(crate) struct Config {
    file: PathBuf,
    text: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    policies: SettingsTable,
    #[serde(default)]
    fleet: FleetTable,
    #[serde(default)]
    hooks: Vec<HookTable>,
}

impl Config {
    /// Reads the file that was named, or the one that is found; without any, everything is as the defaults say.
    pub(crate) fn load(named: Option<&Path>) -> anyhow::Result<Self> {
        let file = match named {
            Some(file) => file.to_owned(),
            None => match find(std::env::current_dir().ok().as_deref()) {
                Some(file) => file,
                None => return Ok(Self::default()),
            },
        };
        let text = std::fs::read_to_string(&file).map_err(|error| {
            ExpectedError::usage(
                format!("cannot read {}: {error}", file.display()),
                "check --config; docs/config.md says what the file holds",
            )
        })?;
        let config = Self { file, text };
        config.hooks()?;
        Ok(config)
    }

    /// The settings of policies. `known` says whether a policy of that id exists.
    pub(crate) fn settings(&self, known: impl Fn(&str) -> bool) -> anyhow::Result<Settings> {
        Settings::check(self.parse()?.policies, &self.source(), known).map_err(Self::wrong)
    }

    /// What runs of many migrations keep to unless the command line says otherwise.
    pub(crate) fn fleet(&self) -> anyhow::Result<FleetTable> {
        Ok(self.parse()?.fleet)
    }

    /// The hooks, in the order of the file.
    pub(crate) fn hooks(&self) -> anyhow::Result<Vec<Hook>> {
        let tables = self.parse()?.hooks.into_iter().zip(1..);
        tables
            .map(|(table, number)| {
                let at = table.at.as_str();
                table.settle().map_err(|why| {
                    let file = self.file.display();
                    Self::wrong(format!("{file}: hook {number} ({at}): {why}"))
                })
            })
            .collect()
    }

    /// The file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        (!self.file.as_os_str().is_empty()).then_some(self.file.as_path())
    }

    /// The line on which a key is set.
    pub(crate) fn line(&self, path: &[&str]) -> Option<usize> {
        keys::line(&self.source(), path)
    }

    /// What the tables of policies say, as it is written: id, key, value.
    pub(crate) fn policies(&self) -> anyhow::Result<Vec<(String, String, String)>> {
        let file: toml::Table = toml::from_str(&self.text)
            .map_err(|error| Self::wrong(format!("{}: {error}", self.file.display())))?;
        let tables = file.get("policies").and_then(toml::Value::as_table);
        let tables = tables.into_iter().flatten();
        Ok(tables
            .flat_map(|(id, table)| {
                let keys = table.as_table().into_iter().flatten();
                keys.map(|(key, value)| (id.clone(), key.clone(), value.to_string()))
            })
            .collect())
    }

    fn source(&self) -> Source<'_> {
        Source {
            file: &self.file,
            text: &self.text,
        }
    }

    fn parse(&self) -> anyhow::Result<File> {
        toml::from_str(&self.text).map_err(|error| {
            let misspelt = keys::unknown(&self.source());
            Self::wrong(misspelt.unwrap_or_else(|| format!("{}: {error}", self.file.display())))
        })
    }

    fn wrong(what: String) -> anyhow::Error {
        ExpectedError::usage(what, "docs/config.md says what the file holds")
    }
}

fn find(from: Option<&Path>) -> Option<PathBuf> {
    from?
        .ancestors()
        .map(|folder| folder.join(NAME))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_upward_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(dir.path().join(NAME), "").unwrap();
        assert_eq!(find(Some(&deep)), Some(dir.path().join(NAME)));
        std::fs::write(dir.path().join("a").join(NAME), "").unwrap();
        assert_eq!(find(Some(&deep)), Some(dir.path().join("a").join(NAME)));
        assert_eq!(find(None), None);
    }

    #[test]
    fn a_key_that_nothing_reads_and_a_policy_that_does_not_exist_are_errors_with_their_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("own.toml");
        let load = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Config::load(Some(&file))?.settings(|id| id == "key-unusable")
        };
        let set = load("[policies.key-unusable]\nseverity = \"high\"\n").unwrap();
        assert_eq!(
            set.severity("key-unusable", atrest_model::finding::Severity::Low),
            atrest_model::finding::Severity::High
        );
        let key = load("[policy]\n").unwrap_err().to_string();
        assert!(
            key.contains("own.toml:1:2: unknown field `policy`")
                && key.contains("did you mean `policies`?"),
            "{key}"
        );
        let id = load("\n[policies.key-unusabel]\n").unwrap_err().to_string();
        assert!(
            id.contains("own.toml:2:11: there is no policy \"key-unusabel\""),
            "{id}"
        );
        assert!(Config::load(Some(&dir.path().join("none.toml"))).is_err());
    }
}
