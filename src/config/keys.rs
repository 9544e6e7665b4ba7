//! Every key of the configuration file in one table: what `config init` writes, what `config show` lists, what
//! docs/reference/config.md says, and what a misspelt key is compared with.
//!
//! A test holds the table against the structs that read the file.

use std::fmt::Write as _;

use atrest_policies::Source;
use toml::de::{DeTable, DeValue};

/// A table of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// `[policies.ID]`
    Policies,
    /// `[fleet]`
    Fleet,
    /// `[[hooks]]`
    Hooks,
}

/// A key of the file.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) table: Table,
    pub(crate) name: &'static str,
    /// What may be given.
    pub(crate) form: &'static str,
    /// What holds without it.
    pub(crate) default: &'static str,
    /// A value, as TOML.
    pub(crate) example: &'static str,
    /// The option that wins over it.
    pub(crate) option: Option<&'static str>,
    pub(crate) what: &'static str,
}

impl Table {
    pub(crate) const ALL: [Self; 3] = [Self::Policies, Self::Fleet, Self::Hooks];

    /// Its name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Policies => "policies",
            Self::Fleet => "fleet",
            Self::Hooks => "hooks",
        }
    }

    /// Its header with an example, as TOML.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Policies => "[policies.storage-unencrypted]",
            Self::Fleet => "[fleet]",
            Self::Hooks => "[[hooks]]",
        }
    }

    /// What it is for, in sentences.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Policies => {
                "A table for each policy that is to be other than its page says; `atrest policy list` has the ids."
            }
            Self::Fleet => "What runs of many migrations keep to. The command line wins over it.",
            Self::Hooks => {
                "Commands at fixed points of a migration, run in the order of the file (docs/hooks.md)."
            }
        }
    }

    pub(crate) fn keys(self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(move |key| key.table == self)
    }
}

/// The keys, in the order in which they are shown.
pub(crate) const KEYS: &[Key] = &[
    Key {
        table: Table::Policies,
        name: "severity",
        form: "info, low, medium, high or critical",
        default: "that of the policy's page",
        example: "\"critical\"",
        option: None,
        what: "severity of its findings; `scan --fail-on` goes by it",
    },
    Key {
        table: Table::Policies,
        name: "enabled",
        form: "true or false",
        default: "true",
        example: "false",
        option: None,
        what: "whether it is asked; if not, no report speaks of it",
    },
    Key {
        table: Table::Policies,
        name: "keys",
        form: "list of key ids or ARNs, `*` and `?` match",
        default: "none: the policy is not asked",
        example: "[\"arn:aws:kms:*:111122223333:key/7d1b0f0e-*\"]",
        option: None,
        what: "of `key-not-expected` only: KMS keys that are expected",
    },
    Key {
        table: Table::Policies,
        name: "accounts",
        form: "list of account ids",
        default: "none",
        example: "[\"999900001111\"]",
        option: None,
        what: "of `key-not-expected` only: accounts of which every key is expected",
    },
    Key {
        table: Table::Fleet,
        name: "waves",
        form: "a number, or sizes such as \"canary,10\"",
        default: "one wave of all",
        example: "\"canary,10\"",
        option: Some("plan --waves"),
        what: "migrations to a wave, the smallest first",
    },
    Key {
        table: Table::Fleet,
        name: "max_failures",
        form: "a number",
        default: "0",
        example: "1",
        option: Some("fix --max-failures"),
        what: "failed migrations that do not keep the next wave from being begun",
    },
    Key {
        table: Table::Fleet,
        name: "max_instances",
        form: "a number",
        default: "no limit",
        example: "50",
        option: Some("plan, fix --max-instances"),
        what: "DB instances that one plan may change, replicas counted",
    },
    Key {
        table: Table::Fleet,
        name: "max_percent",
        form: "a number above 0, up to 100, with a decimal point",
        default: "no limit",
        example: "20.0",
        option: Some("plan, fix --max-percent"),
        what: "share of the DB instances of the account in a region that one plan may change",
    },
    Key {
        table: Table::Fleet,
        name: "copies_in_flight",
        form: "a number",
        default: "20",
        example: "40",
        option: None,
        what: "snapshots that RDS copies at a time in a region of this account, if the quota was raised",
    },
    Key {
        table: Table::Hooks,
        name: "at",
        form: "before-quiesce, after-quiesce, before-cutover, after-cutover, after-run or on-failure",
        default: "must be given",
        example: "\"before-quiesce\"",
        option: None,
        what: "when it is run",
    },
    Key {
        table: Table::Hooks,
        name: "command",
        form: "program and arguments, a list; no shell reads it",
        default: "must be given",
        example: "[\"/opt/runbook/maintenance\", \"on\"]",
        option: None,
        what: "what is run",
    },
    Key {
        table: Table::Hooks,
        name: "timeout",
        form: "a time with its unit: 30s, 5m, 1h",
        default: "5m",
        example: "\"2m\"",
        option: None,
        what: "how long it may take; then its process group is ended",
    },
    Key {
        table: Table::Hooks,
        name: "on_failure",
        form: "stop or continue",
        default: "stop",
        example: "\"stop\"",
        option: None,
        what: "what follows when it fails",
    },
    Key {
        table: Table::Hooks,
        name: "repeat",
        form: "true or false",
        default: "false",
        example: "true",
        option: None,
        what: "whether it may be run again if nobody knows whether it has run",
    },
    Key {
        table: Table::Hooks,
        name: "inherit",
        form: "list of names, `AWS_*` is all that begin so",
        default: "none",
        example: "[\"AWS_*\"]",
        option: None,
        what: "environment variables that it gets beside its own",
    },
];

/// A file in which every key stands as a comment, with what it does and what holds without it.
pub(crate) fn template() -> String {
    let mut text = String::from(
        "# Configuration of atrest. Every key is optional: what is commented out is as it says.\n\
         # A key that nothing reads is an error. `atrest config show` tells what holds and why.\n",
    );
    for table in Table::ALL {
        // Writing to a string does not fail.
        let _ = write!(text, "\n# {}\n#{}\n", table.what(), table.header());
        for key in table.keys() {
            let _ = writeln!(
                text,
                "#{} = {}\n#    {}: {}. Default: {}.",
                key.name, key.example, key.what, key.form, key.default
            );
            if let Some(option) = key.option {
                let _ = writeln!(text, "#    `{option}` wins over it.");
            }
        }
    }
    text
}

/// The first key of the text that nothing reads, in its place and with the nearest one there is. `None` where every key is
/// known, or the text is no TOML.
pub(crate) fn unknown(source: &Source<'_>) -> Option<String> {
    let file = DeTable::parse(source.text).ok()?;
    let tables: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
    for (name, value) in file.get_ref() {
        let Some(table) = Table::ALL
            .into_iter()
            .find(|table| table.name() == name.get_ref())
        else {
            return Some(said(
                source,
                name.span().start,
                name.get_ref(),
                &tables,
                "the file",
            ));
        };
        let known: Vec<&str> = table.keys().map(|key| key.name).collect();
        let within = match value.get_ref() {
            DeValue::Table(own) if table == Table::Policies => own
                .values()
                .filter_map(|policy| policy.get_ref().as_table())
                .collect(),
            DeValue::Table(own) => vec![own],
            DeValue::Array(all) => all
                .iter()
                .filter_map(|one| one.get_ref().as_table())
                .collect(),
            _ => Vec::new(),
        };
        for (key, _) in within.into_iter().flatten() {
            if !known.contains(&&**key.get_ref()) {
                let of = match table {
                    Table::Policies => "[policies.ID]",
                    Table::Fleet | Table::Hooks => table.header(),
                };
                return Some(said(source, key.span().start, key.get_ref(), &known, of));
            }
        }
    }
    None
}

fn said(source: &Source<'_>, at: usize, key: &str, known: &[&str], of: &str) -> String {
    let what = match nearest(key, known.iter().copied()) {
        Some(near) => format!("unknown field `{key}` in {of}; did you mean `{near}`?"),
        None => format!("unknown field `{key}` in {of}; one of {}", known.join(", ")),
    };
    source.error(at, &what)
}

/// The nearest of these words, if it can have been meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|near| (strsim::damerau_levenshtein(word, near), near))
        .filter(|(distance, near)| *distance <= near.len().div_ceil(3))
        .min()
        .map(|(_, near)| near)
}

/// Where a key is set, as a line of the file; of hooks and policies the table's own name is `path`'s last but one.
pub(crate) fn line(source: &Source<'_>, path: &[&str]) -> Option<usize> {
    let file = DeTable::parse(source.text).ok()?;
    let mut table = file.get_ref();
    let (last, before) = path.split_last()?;
    for name in before {
        let (_, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
        table = value.get_ref().as_table()?;
    }
    let (key, _) = table.iter().find(|(key, _)| key.get_ref() == last)?;
    Some(source.line(key.span().start))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// What serde says that it would have read.
    fn read(text: &str) -> BTreeSet<String> {
        let error = toml::from_str::<super::super::File>(text)
            .unwrap_err()
            .to_string();
        let (_, list) = error
            .split_once("expected ")
            .unwrap_or_else(|| panic!("{error}"));
        list.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_table_has_the_keys_that_the_file_is_read_with() {
        let names = |table: Table| table.keys().map(|key| key.name.to_owned()).collect();
        let tables: BTreeSet<String> = Table::ALL.iter().map(|t| t.name().to_owned()).collect();
        assert_eq!(read("no_such_key = 1\n"), tables);
        for (table, text) in [
            (Table::Policies, "[policies.x]\nno_such_key = 1\n"),
            (Table::Fleet, "[fleet]\nno_such_key = 1\n"),
            (Table::Hooks, "[[hooks]]\nno_such_key = 1\n"),
        ] {
            let names: BTreeSet<String> = names(table);
            assert_eq!(read(text), names, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_with_and_without_its_comments() {
        let template = template();
        let file: super::super::File = toml::from_str(&template).unwrap();
        assert!(file.hooks.is_empty());
        let mut uncommented = String::new();
        for line in template.lines() {
            // A comment for people has a blank after its sign, a key has none.
            if let Some(key) = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')) {
                uncommented.push_str(key);
                uncommented.push('\n');
            }
        }
        // Keys and accounts are of one policy only.
        let uncommented = uncommented.replace("storage-unencrypted", "key-not-expected");
        let source = Source {
            file: Path::new("atrest.toml"),
            text: &uncommented,
        };
        assert_eq!(unknown(&source), None, "{uncommented}");
        let file: super::super::File =
            toml::from_str(&uncommented).unwrap_or_else(|e| panic!("{e}: {uncommented}"));
        assert_eq!(file.hooks.len(), 1);
        assert_eq!(file.fleet.max_failures, Some(1));
        atrest_policies::Settings::check(file.policies, &source, |_id| true).unwrap();
        file.hooks
            .into_iter()
            .for_each(|hook| drop(hook.settle().unwrap()));
        for key in KEYS {
            assert!(
                uncommented.contains(&format!("{} = ", key.name)),
                "{}",
                key.name
            );
        }
    }

    #[test]
    fn a_misspelt_key_is_shown_in_its_place_with_the_nearest_one() {
        for (text, says) in [
            (
                "[flet]\n",
                "a.toml:1:2: unknown field `flet` in the file; did you mean `fleet`?",
            ),
            (
                "[fleet]\nmax_percnt = 1.0\n",
                "a.toml:2:1: unknown field `max_percnt` in [fleet]; did you mean `max_percent`?",
            ),
            (
                "[policies.storage-unencrypted]\nsevrity = \"low\"\n",
                "a.toml:2:1: unknown field `sevrity` in [policies.ID]; did you mean `severity`?",
            ),
            (
                "[[hooks]]\nat = \"after-run\"\nzzz = 1\n",
                "a.toml:3:1: unknown field `zzz` in [[hooks]]; one of at, command,",
            ),
        ] {
            let source = Source {
                file: Path::new("a.toml"),
                text,
            };
            let error = unknown(&source).unwrap();
            assert!(error.starts_with(says) && error.ends_with('^'), "{error}");
        }
    }
}
