//! Messages with expressions in them: `retention is {resource.BackupRetentionPeriod} days`.

use std::sync::Arc;

use cel::context::VariableResolver;
use cel::{Env, Value};

use super::expression::{Expression, Invalid};

/// A message. `{{` and `}}` are braces.
#[derive(Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Value {
        /// Where the expression begins in the message.
        offset: usize,
        source: String,
        expression: Expression,
    },
}

impl Template {
    /// An error comes with the offset of its expression in the message.
    pub(super) fn parse(env: &Env, text: &str) -> Result<Self, (usize, Invalid)> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            let start = text.len() - brace.len();
            if let Some(after) = brace.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = brace.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else {
                let lone = |what: &str| {
                    let bad = Invalid {
                        line: 1,
                        column: 1,
                        what: what.to_owned(),
                    };
                    (start, bad)
                };
                let Some((source, after)) = brace
                    .strip_prefix('{')
                    .and_then(|inner| inner.split_once('}'))
                else {
                    return Err(lone("a lone brace; write it twice to mean itself"));
                };
                let expression = Expression::parse(env, source).map_err(|bad| (start + 1, bad))?;
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Value {
                    offset: start + 1,
                    source: source.to_owned(),
                    expression,
                });
                rest = after;
            }
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Self { parts })
    }

    /// Offset, expression and text of each expression.
    pub(super) fn expressions(&self) -> impl Iterator<Item = (usize, &Expression, &str)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Value {
                offset,
                source,
                expression,
            } => Some((*offset, expression, source.as_str())),
        })
    }

    /// The message, and the elements its expressions walked over. An expression without a value is shown as it is
    /// written: the verdict stands without it.
    pub(super) fn render(
        &self,
        env: &Arc<Env>,
        variables: &impl VariableResolver,
        limit: u64,
    ) -> (String, u64) {
        let mut text = String::new();
        let mut spent = 0;
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Value {
                    source, expression, ..
                } => {
                    let evaluated = expression.evaluate(env, variables, limit);
                    spent += evaluated.spent;
                    match evaluated.value {
                        Ok(value) => text.push_str(&cut(words(&value))),
                        Err(_no_value) => {
                            text.push('{');
                            text.push_str(source);
                            text.push('}');
                        }
                    }
                }
            }
        }
        (text, spent)
    }
}

/// Most characters of one value in a message: a tag or a description may be as long as AWS lets it.
const LONGEST: usize = 1000;

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.as_str().to_owned(),
        other => other
            .json()
            .map_or_else(|_| "?".to_owned(), |json| json.to_string()),
    }
}
