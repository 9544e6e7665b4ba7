//! Scenarios: fleets from TOML files.
//!
//! A scenario says what exists when the sandbox starts: accounts, keys, groups, clusters, instances with
//! every attribute that RDS shows, replicas, snapshots and data; which quotas and knobs hold; and which
//! calls go wrong. Unknown keys are refused with their line.

mod around;
mod check;
mod populate;
mod servers;
mod spec;

use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use self::servers::start_servers;
pub(crate) use self::spec::Spec;

/// A fleet as described by a TOML file.
#[derive(Clone)]
pub struct Scenario {
    name: String,
    text: String,
    spec: Spec,
}

impl fmt::Debug for Scenario {
    /// The name only: the data has passwords in it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Scenario")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A scenario that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file could not be read.
    #[error("could not read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is not a scenario.
    #[error("{name}, line {line}: {}{problem}", key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
    Syntax {
        /// Name of the scenario or its file.
        name: String,
        /// Line, counted from 1.
        line: usize,
        /// The key on that line, if one begins there.
        key: Option<String>,
        /// What is wrong with it.
        problem: String,
    },
    /// The text is well formed and says something impossible.
    #[error("{name}, line {line}: {subject}: {problem}")]
    Meaning {
        /// Name of the scenario or its file.
        name: String,
        /// Line, counted from 1.
        line: usize,
        /// The resource and key in question.
        subject: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What a client needs to use a sandbox of a scenario. The secrets are those of the scenario file: they open nothing
/// but the sandbox.
#[derive(Clone)]
pub struct Access {
    /// Account id.
    pub account: String,
    /// Access key.
    pub access_key_id: String,
    /// Its secret; any text when the scenario gives none.
    pub secret_access_key: String,
    /// Regions with instances, sorted.
    pub regions: Vec<String>,
    /// Master password of instances that name none.
    pub master_password: String,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Access")
            .field("account", &self.account)
            .field("regions", &self.regions)
            .finish_non_exhaustive()
    }
}

impl Scenario {
    /// Reads a scenario file; files of SQL that it names are read beside it.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has an unknown key, or contradicts itself.
    pub fn from_file(path: &Path) -> Result<Self, ScenarioError> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|source| ScenarioError::Read {
                path: path.to_owned(),
                source,
            })
        };
        let text = read(path)?;
        let name = path.display().to_string();
        Self::build(&name, &text, |file| {
            read(&path.parent().unwrap_or(Path::new(".")).join(file))
        })
    }

    /// Reads a scenario from its text.
    ///
    /// # Errors
    /// As for [`Scenario::from_file`]; a text cannot name files of SQL.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        Self::build(name, text, |file| {
            Err(ScenarioError::Read {
                path: PathBuf::from(file),
                source: std::io::Error::new(
                    std::io::ErrorKind::NotFound,
                    "a scenario that is not a file cannot name files",
                ),
            })
        })
    }

    /// The scenarios that come with the sandbox, as name and text.
    #[must_use]
    pub fn shipped() -> Vec<(&'static str, &'static str)> {
        vec![(
            "seed-story",
            include_str!("../../scenarios/seed-story.toml"),
        )]
    }

    /// Its name: that of the file or of the shipped scenario.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a client needs to use the first account.
    #[must_use]
    pub fn access(&self) -> Access {
        let first = self.spec.accounts.first();
        let mut regions: Vec<String> = self
            .spec
            .instances
            .iter()
            .map(|instance| {
                instance
                    .region
                    .clone()
                    .unwrap_or_else(|| self.spec.default_region.clone())
            })
            .collect();
        regions.sort();
        regions.dedup();
        Access {
            account: first.map(|account| account.id.clone()).unwrap_or_default(),
            access_key_id: first
                .map(|account| account.access_key_id.get_ref().clone())
                .unwrap_or_default(),
            secret_access_key: first
                .and_then(|account| account.secret_access_key.as_ref())
                .map_or_else(|| "any".to_owned(), |secret| secret.0.0.clone()),
            regions,
            master_password: self.spec.default_password.0.0.clone(),
        }
    }

    /// Reads the text of a scenario whose files of SQL are not needed, because no server will run.
    pub(crate) fn without_files(name: &str, text: &str) -> Result<Self, ScenarioError> {
        Self::build(name, text, |_| Ok(String::new()))
    }

    /// The text that it was read from.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    fn build(
        name: &str,
        text: &str,
        read: impl Fn(&str) -> Result<String, ScenarioError>,
    ) -> Result<Self, ScenarioError> {
        let mut spec: Spec = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = line_at(text, start);
            ScenarioError::Syntax {
                name: name.to_owned(),
                line,
                key: key_on(text, line),
                // Not the whole error: it quotes the line, and there may be a password on it.
                problem: error.message().trim().replace('\n', " "),
            }
        })?;
        for instance in &mut spec.instances {
            if let Some(file) = instance.sql_file.take() {
                instance.sql.get_or_insert_default().push_str(&read(&file)?);
            }
            if let Some(file) = instance.replica_sql_file.take() {
                instance
                    .replica_sql
                    .get_or_insert_default()
                    .push_str(&read(&file)?);
            }
        }
        let meaning = |span: std::ops::Range<usize>, subject: String, problem: String| {
            ScenarioError::Meaning {
                name: name.to_owned(),
                line: line_at(text, span.start),
                subject,
                problem,
            }
        };
        spec.expand();
        spec.check()
            .map_err(|(span, subject, problem)| meaning(span, subject, problem))?;
        Ok(Self {
            name: name.to_owned(),
            text: text.to_owned(),
            spec,
        })
    }
}

/// The line of a position, counted from 1.
fn line_at(text: &str, position: usize) -> usize {
    text.bytes()
        .take(position)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

/// The key that is set on a line. Its value is left out.
fn key_on(text: &str, line: usize) -> Option<String> {
    let line = text.lines().nth(line.checked_sub(1)?)?;
    let (key, _value) = line.split_once('=')?;
    let key = key.trim();
    let is_key = !key.is_empty()
        && key
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter));
    is_key.then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        [[accounts]]
        id = "111122223333"
        access_key_id = "AKIATEST"

        [[instances]]
        id = "one"
        engine = "mysql"
        engine_version = "8.0.39"
    "#;

    #[test]
    fn every_shipped_scenario_is_valid() {
        for (name, text) in Scenario::shipped() {
            if let Err(error) = Scenario::parse(name, text) {
                panic!("{name}: {}", crate::world::describe(&error));
            }
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = Scenario::parse("small", &format!("{SMALL}\nmulti_zone = true\n"))
            .expect_err("refused");
        let text = crate::world::describe(&error);
        assert!(
            text.contains("multi_zone") && text.contains("line 11"),
            "{text}"
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_with_line_and_key_and_without_the_value() {
        let error = Scenario::parse("small", &format!("{SMALL}\nmaster_password = 4711\n"))
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains("line 11") && error.contains("master_password"),
            "{error}"
        );
        let error = Scenario::parse("small", &format!("{SMALL}\nmaster_password = \"geheim\n"))
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains("line 11") && !error.contains("geheim"),
            "{error}"
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_its_line_and_key() {
        for (more, line, word) in [
            ("[[keys]]\nalias = \"mine\"", 12, "keys.mine.alias"),
            (
                "[[keys]]\nalias = \"alias/x\"\nstate = \"Off\"",
                12,
                "keys.alias/x.state",
            ),
            (
                "[[keys]]\nalias = \"alias/x\"\nregion = \"eu\"",
                12,
                "keys.alias/x.region",
            ),
            ("[knobs]\nrename_gap = [9, 3]", 11, "knobs.rename_gap"),
            (
                "[knobs]\npending_reboot_chance = 1.5",
                11,
                "knobs.pending_reboot_chance",
            ),
            ("[quotas]\ninstances = -1", 11, "quotas.instances"),
            (
                "[[accounts]]\nid = \"1\"\naccess_key_id = \"A\"",
                13,
                "accounts.1.id",
            ),
            (
                "[[accounts]]\nid = \"111122223333\"\naccess_key_id = \"AKIATEST\"",
                13,
                "access_key_id",
            ),
            (
                "[[snapshots]]\nid = \"s\"\ninstance = \"one\"\nregion = \"us-east-1\"",
                12,
                "snapshots.s",
            ),
            (
                "[[roles]]\nname = \"r\"\naccount = \"2\"",
                12,
                "roles.r.account",
            ),
        ] {
            let error = Scenario::parse("small", &format!("{SMALL}\n{more}\n"))
                .expect_err("refused")
                .to_string();
            assert!(
                error.contains(&format!("line {line}:")) && error.contains(word),
                "{more}: {error}"
            );
        }
    }

    #[test]
    fn a_fault_that_says_too_little_is_refused_with_its_line() {
        let error = Scenario::parse("small", &format!("{SMALL}\n[[faults]]\nkind = \"error\"\n"))
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains("line 11") && error.contains("code"),
            "{error}"
        );
        let error = Scenario::parse("small", &format!("{SMALL}\n[[faults]]\nkind = \"eror\"\n"))
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains("line 12") && error.contains("eror"),
            "{error}"
        );
    }

    #[test]
    fn a_group_that_does_not_exist_is_refused_with_the_line_of_its_instance() {
        let error = Scenario::parse("small", &format!("{SMALL}\nparameter_group = \"nope\"\n"))
            .expect_err("refused");
        assert!(
            error.to_string().contains("line 7") && error.to_string().contains("nope"),
            "{error}"
        );
    }

    #[test]
    fn a_count_makes_a_fleet() {
        let scenario = Scenario::parse("small", &format!("{SMALL}\ncount = 3\n")).expect("valid");
        let names: Vec<&str> = scenario
            .spec
            .instances
            .iter()
            .map(|instance| instance.id.get_ref().as_str())
            .collect();
        assert_eq!(names, ["one-001", "one-002", "one-003"]);
    }
}
