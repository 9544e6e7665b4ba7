//! The admin endpoint: faults, request log, clock, state. JSON, on the same loopback port under a path that no
//! AWS service has.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::engine::Engines;
use crate::fault::{Active, Fault, Refused};
use crate::http::Shared;
use crate::log::Wanted;

/// Where it begins.
pub(crate) const PREFIX: &str = "/_sandbox";

/// Virtual seconds that one request may pass: a quarter.
const MOST_SECONDS: u64 = 92 * 86_400;

/// An error answer.
struct Bad(StatusCode, String);

fn bad(status: StatusCode, message: impl Into<String>) -> Bad {
    Bad(status, message.into())
}

/// Answers a request.
pub(crate) async fn answer(shared: &Shared, parts: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
    let (status, value) = match route(shared, parts, body).await {
        Ok(value) => (StatusCode::OK, value),
        Err(Bad(status, message)) => (status, json!({ "error": message })),
    };
    let mut response = Response::new(Full::new(Bytes::from(format!("{value}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

async fn route(shared: &Shared, parts: &Parts, body: &[u8]) -> Result<Value, Bad> {
    check_origin(parts)?;
    let path = parts
        .uri
        .path()
        .strip_prefix(PREFIX)
        .unwrap_or_default()
        .trim_matches('/');
    let segments: Vec<&str> = path.split('/').collect();
    match (&parts.method, segments.as_slice()) {
        (&Method::GET, [""]) => Ok(json!({
            "endpoints": [
                "GET /_sandbox/faults",
                "POST /_sandbox/faults",
                "DELETE /_sandbox/faults",
                "DELETE /_sandbox/faults/NAME",
                "GET /_sandbox/requests?account&region&service&action&code&fault&since&limit",
                "GET /_sandbox/requests/counts?account&region&service&action&code",
                "GET /_sandbox/clock",
                "POST /_sandbox/clock {\"advance_seconds\": N}",
                "GET /_sandbox/state",
                "POST /_sandbox/save",
            ]
        })),
        (&Method::GET, ["faults"]) => {
            let world = shared.core.lock();
            let faults: Vec<Value> = world.faults.iter().map(Active::view).collect();
            // Answers of servers that are still to be lost.
            let unsent = world.engines.as_ref().map(Engines::unsent_statements);
            Ok(json!({ "faults": faults, "unsent_statements": unsent.unwrap_or_default() }))
        }
        (&Method::POST, ["faults"]) => add_faults(shared, body),
        (&Method::DELETE, ["faults"]) => {
            let mut world = shared.core.lock();
            let now = world.clock.now();
            let names: Vec<String> = world
                .faults
                .iter()
                .map(|active| active.name().to_owned())
                .collect();
            for name in &names {
                world.remove_fault(name, now);
            }
            drop(world);
            shared.thaw.notify_waiters();
            Ok(json!({ "removed": names }))
        }
        (&Method::DELETE, ["faults", name]) => {
            let mut world = shared.core.lock();
            let now = world.clock.now();
            let is_removed = world.remove_fault(name, now);
            drop(world);
            shared.thaw.notify_waiters();
            if is_removed {
                Ok(json!({ "removed": [name] }))
            } else {
                Err(bad(
                    StatusCode::NOT_FOUND,
                    format!("there is no fault called {name}"),
                ))
            }
        }
        (&Method::GET, ["requests"]) => Ok(shared.log.tail(&wanted(parts)?)),
        (&Method::GET, ["requests", "counts"]) => Ok(shared.log.counts(&wanted(parts)?)),
        (&Method::GET, ["clock"]) => Ok(clock(shared)),
        (&Method::POST, ["clock"]) => advance(shared, body).await,
        (&Method::GET, ["state"]) => Ok(summary(shared)),
        (&Method::POST, ["save"]) => save(shared).await,
        (_, ["" | "faults" | "clock" | "state" | "save" | "requests", ..]) => Err(bad(
            StatusCode::METHOD_NOT_ALLOWED,
            format!(
                "{} is not offered here; GET {PREFIX} lists what is",
                parts.method
            ),
        )),
        _ => Err(bad(
            StatusCode::NOT_FOUND,
            format!("there is nothing here; GET {PREFIX} lists what is"),
        )),
    }
}

/// The port is open to every program on this machine, web browsers included: a page that somebody else made
/// does not get to use it, not even under a name that it had resolved to a loopback address.
fn check_origin(parts: &Parts) -> Result<(), Bad> {
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| parts.uri.host())
        .unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_loopback = name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if is_loopback && !parts.headers.contains_key(header::ORIGIN) {
        Ok(())
    } else {
        Err(bad(
            StatusCode::FORBIDDEN,
            "the admin endpoint is for programs on this machine only",
        ))
    }
}

fn parsed(body: &[u8]) -> Result<Value, Bad> {
    serde_json::from_slice(body)
        .map_err(|error| bad(StatusCode::BAD_REQUEST, format!("not JSON: {error}")))
}

/// Adds one fault or a list of them: all or none.
fn add_faults(shared: &Shared, body: &[u8]) -> Result<Value, Bad> {
    let faults: Vec<Value> = match parsed(body)? {
        Value::Array(list) => list,
        one => vec![one],
    };
    let faults = faults
        .into_iter()
        .map(|fault| {
            let fault: Fault = serde_json::from_value(fault)
                .map_err(|error| bad(StatusCode::BAD_REQUEST, format!("not a fault: {error}")))?;
            fault
                .check()
                .map_err(|problem| bad(StatusCode::BAD_REQUEST, problem))?;
            Ok(fault)
        })
        .collect::<Result<Vec<_>, Bad>>()?;
    let mut world = shared.core.lock();
    let now = world.clock.now();
    let mut names = Vec::new();
    for fault in faults {
        match world.add_fault(fault, now) {
            Ok(name) => names.push(name),
            Err(error) => {
                for name in &names {
                    world.remove_fault(name, now);
                }
                let status = match error {
                    Refused::Taken(_) => StatusCode::CONFLICT,
                    Refused::Meaning(_) => StatusCode::BAD_REQUEST,
                };
                return Err(bad(status, error.to_string()));
            }
        }
    }
    // What is to happen now has happened when the caller has its answer.
    world.advance();
    Ok(json!({ "added": names }))
}

fn wanted(parts: &Parts) -> Result<Wanted, Bad> {
    let mut wanted = Wanted::default();
    let query = parts.uri.query().unwrap_or_default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let number = || {
            value.parse::<u64>().map_err(|_error| {
                bad(
                    StatusCode::BAD_REQUEST,
                    format!("{key} must be a number, not {value}"),
                )
            })
        };
        match &*key {
            "account" => wanted.account = Some(value.into_owned()),
            "region" => wanted.region = Some(value.into_owned()),
            "service" => wanted.service = Some(value.into_owned()),
            "action" => wanted.action = Some(value.into_owned()),
            "code" => wanted.code = Some(value.into_owned()),
            "fault" => wanted.fault = Some(value.into_owned()),
            "since" => wanted.since = Some(number()?),
            "limit" => wanted.limit = Some(usize::try_from(number()?).unwrap_or(usize::MAX)),
            _ => {
                return Err(bad(
                    StatusCode::BAD_REQUEST,
                    format!("there is no filter called {key}"),
                ));
            }
        }
    }
    Ok(wanted)
}

fn clock(shared: &Shared) -> Value {
    let world = shared.core.lock();
    let (start, now) = (world.clock.start(), world.clock.now());
    json!({
        "start": start,
        "now": now,
        "elapsed_seconds": now.duration_since(start).as_secs(),
        "speed": world.clock.speed(),
        "paused": world.clock.speed().is_none(),
    })
}

async fn advance(shared: &Shared, body: &[u8]) -> Result<Value, Bad> {
    let body = parsed(body)?;
    let seconds = body
        .get("advance_seconds")
        .and_then(Value::as_u64)
        .filter(|seconds| *seconds <= MOST_SECONDS)
        .ok_or_else(|| {
            bad(
                StatusCode::BAD_REQUEST,
                format!("advance_seconds must be a number from 0 to {MOST_SECONDS}"),
            )
        })?;
    if shared.core.lock().clock.speed().is_some() {
        return Err(bad(
            StatusCode::CONFLICT,
            "the clock runs by itself; only a paused one can be advanced",
        ));
    }
    shared.core.pass(Duration::from_secs(seconds)).await;
    Ok(clock(shared))
}

fn summary(shared: &Shared) -> Value {
    let world = shared.core.lock();
    let regions: Vec<Value> = world
        .regions
        .iter()
        .filter(|(_, region)| {
            !(region.instances.is_empty()
                && region.clusters.is_empty()
                && region.snapshots.is_empty()
                && region.keys.is_empty())
        })
        .map(|(scope, region)| {
            let mut statuses = std::collections::BTreeMap::<&str, usize>::new();
            for instance in &region.instances {
                *statuses.entry(&instance.status).or_default() += 1;
            }
            json!({
                "account": scope.account,
                "region": scope.region,
                "instances": region.instances.len(),
                "statuses": statuses,
                "snapshots": region.snapshots.len(),
                "clusters": region.clusters.len(),
                "cluster_snapshots": region.cluster_snapshots.len(),
                "keys": region.keys.len(),
            })
        })
        .collect();
    json!({
        "now": world.clock.now(),
        "regions": regions,
        "timelines": world.timelines(),
        "incidents": world.incidents.len(),
        "faults": world.faults.iter().count(),
        "frozen": world.faults.is_frozen(world.clock.now()),
        "saved_to": shared.state.as_ref().map(|state| state.path().display().to_string()),
    })
}

async fn save(shared: &Shared) -> Result<Value, Bad> {
    let Some(state) = &shared.state else {
        return Err(bad(
            StatusCode::CONFLICT,
            "this sandbox was started without a state file",
        ));
    };
    match state.save(&shared.core).await {
        Ok(()) => Ok(json!({ "saved": state.path().display().to_string() })),
        Err(error) => Err(bad(
            StatusCode::INTERNAL_SERVER_ERROR,
            crate::world::describe(&error),
        )),
    }
}
