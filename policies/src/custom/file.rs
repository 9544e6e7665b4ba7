//! The form of a policy file, and what can be wrong with one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use atrest_model::finding::{Control, Severity};
use atrest_model::scan::ResourceKind;
use cel::Env;
use serde::Deserialize;
use toml::Spanned;

use super::expression::{Expression, Invalid};
use super::template::Template;
use super::{CustomPolicy, VARIABLES};
use crate::source::{Source, is_kebab};

/// A policy file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPolicy {
    /// The folder or a file of it cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML of the right form.
    #[error("{}: {error}", file.display())]
    Form {
        /// The file.
        file: PathBuf,
        /// What is wrong, with the line and a caret.
        error: Box<toml::de::Error>,
    },
    /// A value that cannot be, shown in its place.
    #[error("{text}")]
    Value {
        /// `file:line:column: what`, the line, and a caret under the column.
        text: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    policies: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Spanned<String>,
    title: String,
    severity: Severity,
    resource: Spanned<String>,
    applies: Option<Spanned<String>>,
    check: Spanned<String>,
    message: Spanned<String>,
    #[serde(default)]
    controls: Vec<Control>,
    remedy: Option<String>,
}

/// A text with policies.
struct Text<'a>(Source<'a>);

impl Text<'_> {
    /// An error at a byte of the file.
    fn error(&self, at: usize, what: &str) -> InvalidPolicy {
        InvalidPolicy::Value {
            text: self.0.error(at, what),
        }
    }

    /// The error of an expression: inside its quotes where the text of the file is the text of the expression.
    fn expression(&self, value: &Spanned<String>, offset: usize, bad: &Invalid) -> InvalidPolicy {
        let within = value.get_ref();
        let line_start: usize = within
            .get(offset..)
            .unwrap_or_default()
            .split_inclusive('\n')
            .take(bad.line - 1)
            .map(str::len)
            .sum();
        let at = offset + line_start + bad.column - 1;
        let span = value.span();
        let raw = self.0.text.get(span.clone()).unwrap_or_default();
        let place = raw
            .find(within.as_str())
            .filter(|_| !within.is_empty())
            .map_or(span.start, |quote| {
                span.start + quote + at.min(within.len())
            });
        self.error(place, &bad.what)
    }
}

/// Reads one text. `taken` are the ids that are in use; those of the text join them.
pub(super) fn parse(
    env: &Env,
    file: &Path,
    text: &str,
    taken: &mut BTreeSet<String>,
) -> Result<Vec<CustomPolicy>, InvalidPolicy> {
    let read: File = toml::from_str(text).map_err(|error| InvalidPolicy::Form {
        file: file.to_owned(),
        error: Box::new(error),
    })?;
    let source = Text(Source { file, text });
    read.policies
        .into_iter()
        .map(|entry| {
            let at = entry.id.span().start;
            let policy = policy(env, &source, entry)?;
            if !taken.insert(policy.id.clone()) {
                return Err(source.error(at, &format!("the id {:?} is taken", policy.id)));
            }
            Ok(policy)
        })
        .collect()
}

fn policy(env: &Env, source: &Text<'_>, entry: Entry) -> Result<CustomPolicy, InvalidPolicy> {
    if !is_kebab(entry.id.get_ref()) {
        return Err(source.error(
            entry.id.span().start,
            "an id is kebab-case, such as backup-retention-short",
        ));
    }
    let kind = ResourceKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == entry.resource.get_ref())
        .ok_or_else(|| {
            let names = ResourceKind::ALL.map(ResourceKind::as_str);
            source.error(
                entry.resource.span().start,
                &format!("resource is one of {}", names.join(", ")),
            )
        })?;
    let expression = |value: &Spanned<String>| -> Result<Expression, InvalidPolicy> {
        let parsed = Expression::parse(env, value.get_ref())
            .map_err(|bad| source.expression(value, 0, &bad))?;
        known(&parsed, value.get_ref()).map_err(|bad| source.expression(value, 0, &bad))?;
        Ok(parsed)
    };
    let applies = entry.applies.as_ref().map(expression).transpose()?;
    let check = expression(&entry.check)?;
    let message = Template::parse(env, entry.message.get_ref())
        .map_err(|(offset, bad)| source.expression(&entry.message, offset, &bad))?;
    for (offset, part, text) in message.expressions() {
        known(part, text).map_err(|bad| source.expression(&entry.message, offset, &bad))?;
    }
    Ok(CustomPolicy {
        id: entry.id.into_inner(),
        title: entry.title,
        severity: entry.severity,
        kind,
        applies,
        check,
        message,
        controls: entry.controls.into(),
        remedy: entry.remedy,
    })
}

/// A name that is neither given nor made by the expression itself is a typo: it would fail on every resource.
fn known(expression: &Expression, text: &str) -> Result<(), Invalid> {
    let unknown = expression
        .variables()
        .iter()
        .find(|name| !VARIABLES.contains(&name.as_str()) && !bound(text, name));
    match unknown {
        None => Ok(()),
        Some(name) => {
            let at = text.find(name.as_str()).unwrap_or_default();
            let before = text.get(..at).unwrap_or_default();
            Err(Invalid {
                line: 1 + before.matches('\n').count(),
                column: at - before.rfind('\n').map_or(0, |newline| newline + 1) + 1,
                what: format!(
                    "there is no {name}; an expression sees {}",
                    VARIABLES.join(", ")
                ),
            })
        }
    }
}

/// Whether a comprehension in the text makes a variable of this name: `all(NAME, …)`. CEL's own accumulators
/// begin with `@`, and its types are names too.
fn bound(text: &str, name: &str) -> bool {
    const TYPES: [&str; 10] = [
        "bool",
        "bytes",
        "double",
        "int",
        "list",
        "map",
        "null_type",
        "string",
        "type",
        "uint",
    ];
    name.starts_with('@')
        || TYPES.contains(&name)
        || text.split('(').skip(1).any(|rest| {
            rest.split(',')
                .next()
                .is_some_and(|first| first.trim() == name)
        })
}
