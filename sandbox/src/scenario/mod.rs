//! Scenarios: fleets from TOML files.
//!
//! A scenario says what exists when the sandbox starts: accounts, keys, groups, clusters, instances with
//! every attribute that RDS shows, replicas, snapshots and data; which quotas and knobs hold; and which
//! calls go wrong. Unknown keys are refused with their line.

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
    /// The text is not a scenario; the source shows line, column and key.
    #[error("{name} is not a scenario")]
    Syntax {
        /// Name of the scenario or its file.
        name: String,
        /// Line, column and what is wrong.
        #[source]
        source: Box<toml::de::Error>,
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
                .map(|account| account.access_key_id.clone())
                .unwrap_or_default(),
            secret_access_key: first
                .and_then(|account| account.secret_access_key.as_ref())
                .map_or_else(|| "any".to_owned(), |secret| secret.0.0.clone()),
            regions,
            master_password: self.spec.default_password.0.0.clone(),
        }
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    fn build(
        name: &str,
        text: &str,
        read: impl Fn(&str) -> Result<String, ScenarioError>,
    ) -> Result<Self, ScenarioError> {
        let mut spec: Spec = toml::from_str(text).map_err(|source| ScenarioError::Syntax {
            name: name.to_owned(),
            source: Box::new(source),
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
                line: text
                    .get(..span.start)
                    .unwrap_or_default()
                    .lines()
                    .count()
                    .max(1),
                subject,
                problem,
            }
        };
        spec.expand();
        spec.check()
            .map_err(|(span, subject, problem)| meaning(span, subject, problem))?;
        Ok(Self {
            name: name.to_owned(),
            spec,
        })
    }
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
