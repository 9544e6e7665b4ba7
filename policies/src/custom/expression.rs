//! CEL expressions with a bound on what they may cost.
//!
//! CEL always ends, but comprehensions in comprehensions over a large fleet would end next week, and a text that is
//! doubled a hundred times would fill every memory. So a comprehension is charged with the size of what it walks over
//! before it starts, and whatever makes or compares values with their weight; past the limit the evaluation fails.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, operators};
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional,
    CelString, DYN_TYPE,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, Value};

/// Names of the functions that charge; no one can write them, since they are no identifiers. For what is walked over, for
/// what is made or compared, and for what a pattern is tried on.
const SPEND: &str = "@spend";
const WEIGH: &str = "@weigh";
const TRY: &str = "@try";

/// Bytes of text that weigh as much as an element.
const TEXT: usize = 64;
/// What a pattern costs: it is compiled each time.
const PATTERN: u64 = 20;

/// Most elements all comprehensions of one policy may walk over in one scan: seconds, not nights.
pub(super) const LIMIT: u64 = 2_000_000;

/// Deepest nesting of brackets, and most operators, of one expression. Parser and interpreter call themselves for each; a
/// stack that overflows would end the scan without a word.
const NESTING: usize = 32;
const OPERATORS: usize = 200;

thread_local! {
    /// Elements walked over by the evaluation that runs on this thread, and how many it may.
    static SPENT: Cell<u64> = const { Cell::new(0) };
    static ALLOWED: Cell<u64> = const { Cell::new(0) };
}

/// A parsed expression.
pub(super) struct Expression {
    ast: IdedExpr,
    variables: Vec<String>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression")
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}

/// Where and why a text is no expression. Line and column count from 1, within the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) what: String,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// It costs too much.
    #[error("it walks over more than {limit} elements in one scan")]
    Cost { limit: u64 },
    /// Anything else, in CEL's words.
    #[error("{0}")]
    Other(String),
}

/// What an evaluation gave, and what it walked over.
pub(super) struct Evaluated {
    pub(super) value: Result<Value, Failure>,
    pub(super) spent: u64,
}

/// The standard functions of CEL and the one that charges.
pub(super) fn environment() -> Arc<Env> {
    let mut env = Env::stdlib();
    for added in [
        env.add_overload(SPEND, "spend_dyn", vec![DYN_TYPE], spend),
        env.add_overload(WEIGH, "weigh_dyn", vec![DYN_TYPE], weigh),
        env.add_overload(TRY, "try_dyn", vec![DYN_TYPE], try_pattern),
    ] {
        debug_assert!(added.is_ok(), "no standard function has this name");
    }
    Arc::new(env)
}

fn spend<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    paid(args, |range| {
        range
            .as_sizer()
            .and_then(|sizer| u64::try_from(*sizer.size().inner()).ok())
            .unwrap_or_default()
    })
}

fn weigh<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    paid(args, weight)
}

fn try_pattern<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    paid(args, |text| weight(text).saturating_add(PATTERN))
}

/// The argument, once it is paid for.
fn paid<'b, 'v>(
    mut args: Vec<CowVal<'b, 'v>>,
    price: impl FnOnce(&(dyn Val + 'v)) -> u64,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let Some(value) = args.pop() else {
        return Err(ExecutionError::invalid_argument_count(1, 0));
    };
    let spent = SPENT.get().saturating_add(price(value.as_ref()));
    SPENT.set(spent);
    if spent > ALLOWED.get() {
        return Err(ExecutionError::function_error(SPEND, "too much"));
    }
    Ok(value)
}

/// What a value is as large as, all that is in it counted: nothing for a number or a short text. No value that was paid
/// for is larger than the limit, so this ends.
fn weight<'v>(value: &(dyn Val + 'v)) -> u64 {
    let of_text = |bytes: usize| u64::try_from(bytes / TEXT).unwrap_or(u64::MAX);
    if let Some(text) = value.downcast_ref::<CelString<'v>>() {
        of_text(text.inner().len())
    } else if let Some(bytes) = value.downcast_ref::<CelBytes<'v>>() {
        of_text(bytes.inner().len())
    } else if let Some(list) = value.downcast_ref::<CelList<'v>>() {
        list.inner()
            .iter()
            .map(|item| weight(item.as_ref()).saturating_add(1))
            .fold(0, u64::saturating_add)
    } else if let Some(map) = value.downcast_ref::<CelMap<'v>>() {
        map.inner()
            .iter()
            .map(|(key, item)| {
                let key = match key {
                    CelMapKey::String(text) => of_text(text.inner().len()),
                    _ => 0,
                };
                weight(item.as_ref()).saturating_add(key).saturating_add(1)
            })
            .fold(0, u64::saturating_add)
    } else if let Some(optional) = value.downcast_ref::<CelOptional<'v>>() {
        optional.inner().map_or(0, weight)
    } else {
        0
    }
}

impl Expression {
    pub(super) fn parse(env: &Env, text: &str) -> Result<Self, Invalid> {
        bounded(text)?;
        let program = env.compile(text).map_err(|errors| {
            let first = errors.errors.into_iter().next();
            first.map_or_else(
                || Invalid {
                    line: 1,
                    column: 1,
                    what: "no expression".to_owned(),
                },
                |error| Invalid {
                    line: usize::try_from(error.pos.0).unwrap_or(1).max(1),
                    column: usize::try_from(error.pos.1).unwrap_or(1).max(1),
                    what: error.msg,
                },
            )
        })?;
        let mut variables: Vec<String> = program
            .references()
            .variables()
            .into_iter()
            .map(str::to_owned)
            .collect();
        variables.sort();
        let mut ast = program.expression().clone();
        charge(&mut ast);
        Ok(Self { ast, variables })
    }

    /// The names it mentions, those of its own comprehensions too.
    pub(super) fn variables(&self) -> &[String] {
        &self.variables
    }

    /// The members of a variable that it reads by name; `None` when it may read others, too.
    pub(super) fn members_of(&self, variable: &str) -> Option<BTreeSet<String>> {
        let mut members = BTreeSet::new();
        reads(&self.ast, variable, &mut members).then_some(members)
    }

    pub(super) fn evaluate(
        &self,
        env: &Arc<Env>,
        variables: &impl VariableResolver,
        limit: u64,
    ) -> Evaluated {
        let mut context = Context::with_env(Arc::clone(env));
        context.set_variable_resolver(variables);
        SPENT.set(0);
        ALLOWED.set(limit);
        let value = context.resolve(&self.ast);
        let spent = SPENT.get();
        let value = match value {
            // `false && error` is false: a comprehension that ran dry may be hidden by its neighbour.
            _ if spent > limit => Err(Failure::Cost { limit }),
            Ok(value) => Ok(value),
            Err(error) => Err(Failure::Other(words(&error))),
        };
        Evaluated { value, spent }
    }
}

/// The error without the values in it: a value may be a whole describe answer.
fn words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("there is no member {key}"),
        ExecutionError::UndeclaredReference(name) => format!("there is no {name}"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::ValuesNotComparable(a, b) => {
            format!("{} cannot be compared with {}", a.type_of(), b.type_of())
        }
        ExecutionError::NoSuchOverload(overload) => format!(
            "{} does not take ({})",
            // CEL writes its operators `_>_`.
            overload.function().trim_matches('_'),
            overload.argument_types().join(", ")
        ),
        ExecutionError::UnexpectedType { want, .. } => format!("{want} is expected"),
        ExecutionError::FunctionError { function, message } => format!("{function}: {message}"),
        ExecutionError::Overflow(operator, _, _) => format!("{operator} overflows"),
        ExecutionError::IndexOutOfBounds(_) => "the index is out of bounds".to_owned(),
        other => {
            let mut text = other.to_string();
            if let Some((at, _)) = text.char_indices().nth(120) {
                text.truncate(at);
            }
            text
        }
    }
}

/// Refuses what is nested too deep or has too many operators, outside of its strings.
fn bounded(text: &str) -> Result<(), Invalid> {
    let mut depth = 0_usize;
    // The one operator that is a word.
    let mut operators = text.split_whitespace().filter(|word| *word == "in").count();
    let mut quote = None;
    let (mut is_raw, mut is_escaped) = (false, false);
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        if let Some(end) = quote {
            if is_escaped {
                is_escaped = false;
            } else if character == end {
                quote = None;
            } else {
                is_escaped = character == '\\' && !is_raw;
            }
            continue;
        }
        match character {
            '"' | '\'' => {
                quote = Some(character);
                is_raw = matches!(before, 'r' | 'R');
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            // `&&` and `<=` are one operator; `!!` and `--` are two.
            '+' | '-' | '*' | '/' | '%' | '!' | '?' | '.' | '<' | '>' | '&' | '|'
                if !matches!((before, character), ('&', '&') | ('|', '|')) =>
            {
                operators += 1;
            }
            '=' if !matches!(before, '=' | '!' | '<' | '>') => operators += 1,
            _ => {}
        }
        before = character;
        let what = if depth > NESTING {
            format!("brackets are nested more than {NESTING} deep")
        } else if operators > OPERATORS {
            format!("it has more than {OPERATORS} operators")
        } else {
            continue;
        };
        let start = text.get(..at).unwrap_or_default();
        return Err(Invalid {
            line: 1 + start.matches('\n').count(),
            column: at - start.rfind('\n').map_or(0, |newline| newline + 1) + 1,
            what,
        });
    }
    Ok(())
}

/// Collects the members of `variable` that are read by name; `false` when it is used in any other way.
fn reads(node: &IdedExpr, variable: &str, members: &mut BTreeSet<String>) -> bool {
    let mut all = |parts: &[&IdedExpr]| parts.iter().all(|part| reads(part, variable, members));
    match &node.expr {
        Expr::Ident(name) => name != variable,
        Expr::Select(select) => {
            if matches!(&select.operand.expr, Expr::Ident(name) if name == variable) {
                members.insert(select.field.clone());
                return true;
            }
            all(&[&select.operand])
        }
        Expr::Comprehension(part) => all(&[
            &part.iter_range,
            &part.accu_init,
            &part.loop_cond,
            &part.loop_step,
            &part.result,
        ]),
        Expr::Call(call) => {
            let parts: Vec<&IdedExpr> =
                call.target.iter().map(|t| &**t).chain(&call.args).collect();
            all(&parts)
        }
        Expr::List(list) => all(&list.elements.iter().collect::<Vec<_>>()),
        Expr::Map(map) => map
            .entries
            .iter()
            .all(|e| entry_reads(&e.expr, variable, members)),
        Expr::Struct(object) => object
            .entries
            .iter()
            .all(|e| entry_reads(&e.expr, variable, members)),
        Expr::Unspecified | Expr::Literal(_) => true,
    }
}

fn entry_reads(entry: &EntryExpr, variable: &str, members: &mut BTreeSet<String>) -> bool {
    match entry {
        EntryExpr::StructField(field) => reads(&field.value, variable, members),
        EntryExpr::MapEntry(entry) => {
            reads(&entry.key, variable, members) && reads(&entry.value, variable, members)
        }
    }
}

/// Charges every comprehension with the size of its range, and what is made, compared or searched with its weight.
fn charge(node: &mut IdedExpr) {
    let mut is_sum = false;
    match &mut node.expr {
        Expr::Comprehension(part) => {
            for inner in [
                &mut part.iter_range,
                &mut part.accu_init,
                &mut part.loop_cond,
                &mut part.result,
            ] {
                charge(inner);
            }
            charge_step(&mut part.loop_step, &part.accu_var, &part.iter_var);
            wrap(SPEND, &mut part.iter_range);
        }
        Expr::Call(call) => {
            charge_call(call);
            is_sum = call.func_name == operators::ADD;
        }
        Expr::List(list) => list.elements.iter_mut().for_each(charge_part),
        Expr::Select(select) => charge(&mut select.operand),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                charge_entry(&mut entry.expr);
            }
        }
        Expr::Struct(object) => {
            for entry in &mut object.entries {
                charge_entry(&mut entry.expr);
            }
        }
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
    }
    if is_sum {
        wrap(WEIGH, node);
    }
}

/// A part of a value that is made: as many copies of it are made as it is named.
fn charge_part(node: &mut IdedExpr) {
    charge(node);
    wrap(WEIGH, node);
}

/// The step of a comprehension. What `map` and `filter` have gathered so far is not paid for again with every element, and
/// an element that `filter` keeps is one that was there.
fn charge_step(step: &mut IdedExpr, gathered: &str, element: &str) {
    let is =
        |node: &IdedExpr, name: &str| matches!(&node.expr, Expr::Ident(known) if known == name);
    match &mut step.expr {
        Expr::Call(call) if call.target.is_none() && call.func_name == operators::CONDITIONAL => {
            if let [condition, then, otherwise] = call.args.as_mut_slice() {
                charge(condition);
                charge_step(then, gathered, element);
                charge_step(otherwise, gathered, element);
            }
        }
        Expr::Call(call) if call.target.is_none() && call.func_name == operators::ADD => {
            match call.args.as_mut_slice() {
                [before, more] if is(before, gathered) => match &mut more.expr {
                    Expr::List(list) => {
                        for item in list.elements.iter_mut().filter(|item| !is(item, element)) {
                            charge_part(item);
                        }
                    }
                    _ => charge(more),
                },
                _ => charge(step),
            }
        }
        _ => charge(step),
    }
}

fn charge_call(call: &mut CallExpr) {
    if let Some(target) = &mut call.target {
        charge(target);
    }
    call.args.iter_mut().for_each(charge);
    match call.func_name.as_str() {
        operators::EQUALS
        | operators::NOT_EQUALS
        | operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS => {
            if let Some(first) = call.args.first_mut() {
                wrap(WEIGH, first);
            }
        }
        operators::IN => {
            if let Some(range) = call.args.get_mut(1)
                && !matches!(range.expr, Expr::List(_))
            {
                wrap(WEIGH, range);
            }
        }
        "contains" | "startsWith" | "endsWith" | "size" | "matches" => {
            let mut price = match call.func_name.as_str() {
                "matches" => TRY,
                _ => WEIGH,
            };
            for text in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
                wrap(price, text);
                price = WEIGH;
            }
        }
        _ => {}
    }
}

/// Has a value paid for. One that is written out costs nothing: the text of a policy is no longer than somebody wrote it.
fn wrap(price: &str, node: &mut IdedExpr) {
    if price == WEIGH && matches!(node.expr, Expr::Literal(_)) {
        return;
    }
    let inner = std::mem::take(node);
    *node = IdedExpr {
        id: inner.id,
        expr: Expr::Call(CallExpr {
            func_name: price.to_owned(),
            target: None,
            args: vec![inner],
        }),
    };
}

fn charge_entry(entry: &mut EntryExpr) {
    match entry {
        EntryExpr::StructField(field) => charge_part(&mut field.value),
        EntryExpr::MapEntry(entry) => {
            charge_part(&mut entry.key);
            charge_part(&mut entry.value);
        }
    }
}

/// A JSON value for CEL. Whole numbers are `int`, as the literals of an expression are.
pub(super) fn value_of(json: &serde_json::Value) -> Box<dyn Val> {
    use serde_json::Value as Json;
    match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(truth) => Box::new(CelBool::from(*truth)),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Box::new(CelInt::from(whole)),
            (None, Some(real)) => Box::new(CelDouble::from(real)),
            (None, None) => Box::new(CelNull),
        },
        Json::String(text) => Box::new(CelString::from(text.clone())),
        Json::Array(items) => Box::new(CelList::from(
            items.iter().map(value_of).collect::<Vec<_>>(),
        )),
        Json::Object(members) => Box::new(CelMap::from(
            members
                .iter()
                .map(|(name, value)| (CelMapKey::from(name.clone()), value_of(value)))
                .collect::<HashMap<_, _>>(),
        )),
    }
}
