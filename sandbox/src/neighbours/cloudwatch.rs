//! CloudWatch: alarms and the metrics of DB instances. JSON 1.0 for Python, CBOR for Rust, Query for the old.

use std::collections::BTreeMap;

use ciborium::Value as Cbor;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{dressed, page, position};
use crate::rds::error::ApiError;
use crate::rds::state::{DbInstance, Scope};
use crate::wire::{Answer, Protocol, Received};
use crate::world::World;

/// Namespace of answers to old clients.
pub(crate) const XMLNS: &str = "http://monitoring.amazonaws.com/doc/2010-08-01/";
/// Service name in `X-Amz-Target`.
pub(crate) const TARGET: &str = "GraniteServiceVersion20100801";
/// What stands before the operation in the path of an RPC v2 CBOR call.
pub(crate) const CBOR_PATH: &str = "/service/GraniteServiceVersion20100801/operation/";

/// An alarm.
#[derive(Debug, Clone)]
pub(crate) struct Alarm {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) metric: String,
    pub(crate) dimensions: BTreeMap<String, String>,
    pub(crate) statistic: String,
    pub(crate) comparison: String,
    pub(crate) threshold: f64,
    pub(crate) period: i64,
    pub(crate) evaluation_periods: i64,
    /// `OK`, `ALARM`, `INSUFFICIENT_DATA`.
    pub(crate) state: String,
    pub(crate) actions: Vec<String>,
}

/// A metric of an instance that a scenario sets.
#[derive(Debug, Clone)]
pub(crate) struct Metric {
    pub(crate) instance: String,
    pub(crate) name: String,
    pub(crate) value: f64,
}

/// Data points of one answer at most, unless fewer are asked for.
const MOST_POINTS: u64 = 100_800;

/// Carries out an action.
pub(crate) fn dispatch(
    world: &mut World,
    scope: &Scope,
    received: &Received,
    now: Timestamp,
) -> Result<Answer, ApiError> {
    let (action, body) = (received.action.as_str(), &received.json);
    match action {
        "DescribeAlarms" | "GetMetricData" if received.protocol == Protocol::Query => {
            // Current SDKs write JSON or CBOR; the old form is not worth a second writer.
            Err(ApiError::new(
                "UnsupportedProtocol",
                "This endpoint takes AWS JSON 1.0 and Smithy RPC v2 CBOR.",
            ))
        }
        "DescribeAlarms" => describe_alarms(world, scope, body).map(Answer::Json),
        "GetMetricData" => get_metric_data(world, scope, body, now).map(Answer::Json),
        _ if received.protocol == Protocol::Query => Err(ApiError::new(
            "InvalidAction",
            format!("Could not find operation {action} for version 2010-08-01"),
        )),
        _ => Err(crate::wire::error(404, "UnknownOperationException", "")),
    }
}

fn strings<'a>(body: &'a Value, name: &str) -> Option<Vec<&'a str>> {
    body.get(name)
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValue", message)
}

fn describe_alarms(world: &World, scope: &Scope, body: &Value) -> Result<Value, ApiError> {
    let names = strings(body, "AlarmNames");
    let prefix = text(body, "AlarmNamePrefix");
    if names.is_some() && prefix.is_some() {
        return Err(ApiError::new(
            "InvalidParameterCombination",
            "AlarmNames and AlarmNamePrefix are mutually exclusive",
        ));
    }
    let types = strings(body, "AlarmTypes");
    let state = text(body, "StateValue");
    let action = text(body, "ActionPrefix");
    let alarms = world
        .neighbours
        .alarms
        .get(scope)
        .into_iter()
        .flatten()
        .filter(|_| {
            types
                .as_ref()
                .is_none_or(|types| types.is_empty() || types.contains(&"MetricAlarm"))
        })
        .filter(|alarm| {
            names
                .as_ref()
                .is_none_or(|names| names.is_empty() || names.contains(&alarm.name.as_str()))
        })
        .filter(|alarm| prefix.is_none_or(|prefix| alarm.name.starts_with(prefix)))
        .filter(|alarm| state.is_none_or(|state| alarm.state == state))
        .filter(|alarm| {
            action.is_none_or(|prefix| alarm.actions.iter().any(|arn| arn.starts_with(prefix)))
        })
        .map(|alarm| alarm.view(world, scope))
        .collect();
    let (alarms, next) = page(alarms, body, ("MaxRecords", "NextToken"), 50, 100, |what| {
        if what == "NextToken" {
            ApiError::new("InvalidNextToken", "The next token specified is invalid.")
        } else {
            invalid("MaxRecords must be between 1 and 100")
        }
    })?;
    let mut answer = json!({ "MetricAlarms": alarms, "CompositeAlarms": [] });
    if let (Some(next), Some(object)) = (next, answer.as_object_mut()) {
        object.insert("NextToken".to_owned(), json!(next));
    }
    Ok(answer)
}

impl Alarm {
    fn view(&self, world: &World, scope: &Scope) -> Value {
        let since = seconds(world.clock.start());
        json!({
            "AlarmName": self.name,
            "AlarmArn": format!(
                "arn:{}:cloudwatch:{}:{}:alarm:{}",
                scope.partition(), scope.region, scope.account, self.name
            ),
            "ActionsEnabled": true,
            "AlarmActions": self.actions,
            "OKActions": [],
            "InsufficientDataActions": [],
            "StateValue": self.state,
            "StateUpdatedTimestamp": since,
            "AlarmConfigurationUpdatedTimestamp": since,
            "MetricName": self.metric,
            "Namespace": self.namespace,
            "Statistic": self.statistic,
            "Dimensions": self
                .dimensions
                .iter()
                .map(|(name, value)| json!({ "Name": name, "Value": value }))
                .collect::<Vec<_>>(),
            "Period": self.period,
            "EvaluationPeriods": self.evaluation_periods,
            "Threshold": self.threshold,
            "ComparisonOperator": self.comparison,
        })
    }
}

/// One wanted series.
struct Query {
    id: String,
    label: String,
    period: i64,
    value: Option<Series>,
}

/// A metric of an instance here is a number that stays the same, from the instance's creation on.
struct Series {
    value: f64,
    since: i64,
}

fn get_metric_data(
    world: &mut World,
    scope: &Scope,
    body: &Value,
    now: Timestamp,
) -> Result<Value, ApiError> {
    let moment = |name: &str| {
        body.get(name)
            .and_then(Value::as_f64)
            .filter(|seconds| (0.0..=253_402_300_799.0).contains(seconds))
            .map(|seconds| seconds as i64)
            .ok_or_else(|| {
                ApiError::new(
                    "MissingParameter",
                    format!("The parameter {name} is required."),
                )
            })
    };
    let (start, end) = (moment("StartTime")?, moment("EndTime")?);
    if start >= end {
        return Err(ApiError::new(
            "ValidationError",
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    let newest_first = match text(body, "ScanBy") {
        None | Some("TimestampDescending") => true,
        Some("TimestampAscending") => false,
        Some(other) => return Err(invalid(format!("ScanBy {other} is not valid"))),
    };
    let wanted = body
        .get("MetricDataQueries")
        .and_then(Value::as_array)
        .filter(|queries| !queries.is_empty())
        .ok_or_else(|| {
            ApiError::new(
                "MissingParameter",
                "The parameter MetricDataQueries is required.",
            )
        })?;
    if wanted.len() > 500 {
        return Err(ApiError::new(
            "ValidationError",
            "The collection MetricDataQueries must not have a size greater than 500.",
        ));
    }
    let queries = wanted
        .iter()
        .map(|query| read_query(world, scope, query))
        .collect::<Result<Vec<_>, _>>()?;
    let most = match body.get("MaxDatapoints") {
        None | Some(Value::Null) => MOST_POINTS,
        Some(number) => number
            .as_u64()
            .filter(|number| (1..=MOST_POINTS).contains(number))
            .ok_or_else(|| invalid("MaxDatapoints must be between 1 and 100800"))?,
    };
    let mut skip = match text(body, "NextToken") {
        None => 0,
        Some(token) => position(token).ok_or_else(|| {
            ApiError::new("InvalidNextToken", "The next token specified is invalid.")
        })?,
    };
    let begun = skip;
    let mut room = usize::try_from(most).unwrap_or(usize::MAX);
    let mut is_cut = false;
    let mut results = Vec::new();
    for query in queries {
        let mut points = Vec::new();
        if let Some(series) = &query.value {
            // Points stand at whole periods; there are none from before the instance, nor from the future.
            let first = start.max(series.since).div_euclid(query.period) * query.period;
            let first = if first < start {
                first + query.period
            } else {
                first
            };
            let last = end.min(now.as_second());
            let count = (last - first).max(0) as u64 / query.period.unsigned_abs().max(1)
                + u64::from(last > first);
            let count = usize::try_from(count).unwrap_or(0);
            let from = skip.min(count);
            skip -= from;
            let take = (count - from).min(room);
            room -= take;
            is_cut |= from + take < count;
            points = (from..from + take)
                .map(|index| {
                    let index = if newest_first {
                        count - 1 - index
                    } else {
                        index
                    };
                    first + query.period * i64::try_from(index).unwrap_or(0)
                })
                .collect();
        }
        let value = query.value.as_ref().map_or(0.0, |series| series.value);
        results.push(json!({
            "Id": query.id,
            "Label": query.label,
            "StatusCode": if is_cut { "PartialData" } else { "Complete" },
            "Timestamps": points.iter().map(|at| *at as f64).collect::<Vec<_>>(),
            "Values": points.iter().map(|_| value).collect::<Vec<_>>(),
        }));
    }
    let mut answer = json!({ "MetricDataResults": results, "Messages": [] });
    if is_cut && let Some(object) = answer.as_object_mut() {
        let done = usize::try_from(most).unwrap_or(usize::MAX);
        object.insert(
            "NextToken".to_owned(),
            json!(dressed(begun.saturating_add(done))),
        );
    }
    Ok(answer)
}

fn read_query(world: &mut World, scope: &Scope, query: &Value) -> Result<Query, ApiError> {
    let id = text(query, "Id")
        .filter(|id| id.starts_with(|first: char| first.is_ascii_lowercase()))
        .ok_or_else(|| {
            ApiError::new(
                "ValidationError",
                "The value for parameter Id must begin with a lowercase letter.",
            )
        })?
        .to_owned();
    let stat = query.get("MetricStat").ok_or_else(|| {
        ApiError::new(
            "ValidationError",
            "Metric math and Metrics Insights are not offered: MetricStat is required.",
        )
    })?;
    let period = stat
        .get("Period")
        .and_then(Value::as_i64)
        .filter(|period| {
            matches!(period, 1 | 5 | 10 | 20 | 30) || (*period > 0 && period % 60 == 0)
        })
        .ok_or_else(|| {
            ApiError::new(
                "ValidationError",
                "The parameter MetricStat.Period must be 1, 5, 10, 20, 30 or a multiple of 60.",
            )
        })?;
    let metric = stat.get("Metric").unwrap_or(&Value::Null);
    let name = text(metric, "MetricName").unwrap_or_default().to_owned();
    let dimensions = metric.get("Dimensions").and_then(Value::as_array);
    let instance = dimensions.and_then(|list| match list.as_slice() {
        [one] if text(one, "Name") == Some("DBInstanceIdentifier") => text(one, "Value"),
        _ => None,
    });
    // Metrics follow the name: after a rename the new name has them.
    let value = match instance {
        Some(id) if text(metric, "Namespace") == Some("AWS/RDS") => series(world, scope, id, &name),
        _ => None,
    };
    Ok(Query {
        label: text(query, "Label").unwrap_or(&name).to_owned(),
        id,
        period,
        value,
    })
}

fn series(world: &mut World, scope: &Scope, id: &str, name: &str) -> Option<Series> {
    let set = world
        .neighbours
        .metrics
        .get(scope)
        .into_iter()
        .flatten()
        .find(|metric| metric.name == name && metric.instance.eq_ignore_ascii_case(id))
        .map(|metric| metric.value);
    let instance = world.region_mut(scope).instance(id)?;
    let since = instance.created?.as_second();
    let value = set.or_else(|| usual(instance, name))?;
    Some(Series { value, since })
}

/// What an idle instance shows.
fn usual(instance: &DbInstance, name: &str) -> Option<f64> {
    let is_up = instance.is_ready();
    match name {
        "DatabaseConnections" | "ReadIOPS" | "WriteIOPS" => is_up.then_some(0.0),
        "CPUUtilization" => is_up.then_some(3.0),
        // A fifth is in use.
        "FreeStorageSpace" => {
            is_up.then_some(instance.allocated_storage as f64 * 0.8 * 1_073_741_824.0)
        }
        "ReplicaLag" => {
            instance.replica_of.as_ref()?;
            let replicates = instance
                .replication
                .as_ref()
                .is_some_and(|state| state.status == "replicating");
            Some(if replicates && is_up { 0.0 } else { -1.0 })
        }
        _ => None,
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

/// Reads a CBOR body. Timestamps come as epoch seconds, as in JSON; `None` when it is not a CBOR map.
pub(crate) fn from_cbor(body: &[u8]) -> Option<Value> {
    if body.is_empty() {
        return Some(json!({}));
    }
    let value: Cbor = ciborium::from_reader(body).ok()?;
    plain(value, 0).filter(Value::is_object)
}

fn plain(value: Cbor, depth: usize) -> Option<Value> {
    if depth > 64 {
        return None;
    }
    Some(match value {
        Cbor::Null => Value::Null,
        Cbor::Bool(flag) => json!(flag),
        Cbor::Integer(number) => json!(i64::try_from(number).ok()?),
        Cbor::Float(number) => serde_json::Number::from_f64(number)?.into(),
        Cbor::Text(text) => json!(text),
        Cbor::Tag(1, inner) => plain(*inner, depth + 1)?,
        Cbor::Array(items) => items
            .into_iter()
            .map(|item| plain(item, depth + 1))
            .collect::<Option<Vec<_>>>()?
            .into(),
        Cbor::Map(pairs) => pairs
            .into_iter()
            .map(|(key, value)| match key {
                Cbor::Text(key) => Some((key, plain(value, depth + 1)?)),
                _ => None,
            })
            .collect::<Option<serde_json::Map<_, _>>>()?
            .into(),
        _ => return None,
    })
}

/// Writes a CBOR body. Members that are timestamps by their names are tagged as such.
pub(crate) fn to_cbor(value: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    if let Err(error) = ciborium::into_writer(&tagged(value, false), &mut body) {
        tracing::error!(%error, "An answer could not be written as CBOR.");
    }
    body
}

fn tagged(value: &Value, is_time: bool) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(flag) => Cbor::Bool(*flag),
        Value::Number(number) => {
            let plain = match number.as_i64() {
                Some(whole) => Cbor::from(whole),
                None => Cbor::Float(number.as_f64().unwrap_or_default()),
            };
            if is_time {
                Cbor::Tag(1, Box::new(plain))
            } else {
                plain
            }
        }
        Value::String(text) => Cbor::Text(text.clone()),
        Value::Array(items) => {
            Cbor::Array(items.iter().map(|item| tagged(item, is_time)).collect())
        }
        Value::Object(members) => Cbor::Map(
            members
                .iter()
                .map(|(key, value)| {
                    let is_time = key.ends_with("Timestamp") || key.ends_with("Timestamps");
                    (Cbor::Text(key.clone()), tagged(value, is_time))
                })
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cbor_keeps_numbers_texts_and_times() {
        let value = json!({ "Timestamps": [1.5, 2.0], "Values": [-1.0], "Period": 60, "Id": "a" });
        let body = to_cbor(&value);
        let read: Cbor = ciborium::from_reader(body.as_slice()).expect("cbor");
        let times = read
            .as_map()
            .and_then(|map| {
                map.iter()
                    .find(|(key, _)| key.as_text() == Some("Timestamps"))
            })
            .and_then(|(_, value)| value.as_array().cloned())
            .expect("times");
        assert!(times.iter().all(|time| matches!(time, Cbor::Tag(1, _))));
        assert_eq!(from_cbor(&body), Some(value));
    }

    #[test]
    fn what_is_no_cbor_map_is_refused() {
        for body in [&b"\xff"[..], b"\x81\x01", b"{}", &[0x81; 4096]] {
            assert_eq!(from_cbor(body), None);
        }
    }
}
