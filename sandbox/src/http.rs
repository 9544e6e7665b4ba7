//! HTTP in and out: finds out who calls which service, carries the call out, writes the log.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use serde_json::Value;

use crate::auth::Credential;
use crate::fault::{Fault, FaultKind, Faults};
use crate::log::{Entry, RequestLog, masked};
use crate::rds::error::ApiError;
use crate::rds::params::Params;
use crate::rds::state::Scope;
use crate::rds::{self, Call, xml};
use crate::world::{Account, Core, World};
use crate::{account, kms, sts};

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) core: Arc<Core>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) log: Option<RequestLog>,
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost on purpose")]
pub(crate) struct LostAnswer;

/// Services of the sandbox, by signing name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rds,
    Sts,
    Kms,
    Account,
}

/// A call as read from the wire.
struct Received {
    kind: Kind,
    action: String,
    params: Params,
    json: Value,
}

impl Received {
    /// Whether it leaves everything as it is.
    fn only_reads(&self) -> bool {
        self.action.starts_with("Describe") || self.action.starts_with("List")
    }
}

/// How a call ended.
struct Ended {
    account: String,
    principal: String,
    region: String,
    result: Result<String, ApiError>,
}

impl Service {
    /// Answers a request.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, LostAnswer> {
        let (parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                tracing::debug!(%error, "A request body broke off.");
                return Err(LostAnswer);
            }
        };
        let request_id = uuid::Uuid::new_v4().to_string();
        let credential = parts
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(Credential::from_header);
        let received = receive(&parts, &body, credential.as_ref());
        let fault = self
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next(&received.action);
        let ended = match fault.as_ref().and_then(refusal) {
            Some(error) => Ended {
                account: String::new(),
                principal: String::new(),
                region: credential
                    .as_ref()
                    .map(|credential| credential.region.clone())
                    .unwrap_or_default(),
                result: Err(error),
            },
            None => self.carry_out(&received, credential.as_ref(), &parts, &body, &request_id),
        };
        let kind = fault.as_ref().map(|fault| fault.kind);
        self.record(&received, &ended, kind, &request_id);
        if kind == Some(FaultKind::LostAnswer) {
            return Err(LostAnswer);
        }
        if kind == Some(FaultKind::Html) {
            return Ok(respond(
                503,
                "text/html",
                "<html><head><title>503 Service Unavailable</title></head><body>503</body></html>"
                    .to_owned(),
                &request_id,
                None,
            ));
        }
        Ok(write(&received, ended.result, &request_id))
    }

    fn carry_out(
        &self,
        received: &Received,
        credential: Option<&Credential>,
        parts: &Parts,
        body: &[u8],
        request_id: &str,
    ) -> Ended {
        let region = credential.map_or_else(
            || "us-east-1".to_owned(),
            |credential| credential.region.clone(),
        );
        let mut ended = Ended {
            account: String::new(),
            principal: String::new(),
            region,
            result: Ok(String::new()),
        };
        let mut world = if received.only_reads() {
            self.core.look()
        } else {
            self.core.lock()
        };
        match authenticate(&world, credential, parts, body) {
            Ok(caller) => {
                ended.account.clone_from(&caller.id);
                ended.principal.clone_from(&caller.principal);
                ended.result = carry_out(&mut world, &caller, &ended.region, received, request_id);
                // What the call set off at its own moment happens with it.
                world.advance();
            }
            Err(error) => ended.result = Err(error),
        }
        ended
    }

    fn record(
        &self,
        received: &Received,
        ended: &Ended,
        fault: Option<FaultKind>,
        request_id: &str,
    ) {
        let Some(log) = &self.log else { return };
        let (status, code) = match &ended.result {
            Ok(_) => (200, ""),
            Err(error) => (error.status, error.code.as_str()),
        };
        let time = self.core.look().clock.now().to_string();
        let entry = Entry {
            time,
            account: &ended.account,
            region: &ended.region,
            service: received.kind.name(),
            principal: &ended.principal,
            action: &received.action,
            params: if received.json.is_null() {
                masked(&received.params)
            } else {
                received.json.clone()
            },
            status,
            code,
            fault: match fault {
                Some(FaultKind::LostAnswer) => "lost-answer",
                Some(FaultKind::Html) => "html",
                Some(FaultKind::Throttle) => "throttle",
                Some(FaultKind::Http500) => "http-500",
                Some(FaultKind::Error) => "error",
                None => "",
            },
            request_id,
        };
        if let Err(error) = log.write(&entry) {
            tracing::error!(%error, "The request log could not be written.");
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Rds => "rds",
            Self::Sts => "sts",
            Self::Kms => "kms",
            Self::Account => "account",
        }
    }
}

/// The error that a fault answers instead of doing anything.
fn refusal(fault: &Fault) -> Option<ApiError> {
    match fault.kind {
        FaultKind::LostAnswer => None,
        FaultKind::Error => {
            let code = fault.code.as_deref().unwrap_or("InternalFailure");
            Some(ApiError::new(
                code,
                fault
                    .message
                    .clone()
                    .unwrap_or_else(|| format!("{code}, as the scenario wants it")),
            ))
        }
        FaultKind::Throttle => Some(ApiError::new("Throttling", "Rate exceeded")),
        FaultKind::Http500 => Some(ApiError::new(
            "InternalFailure",
            "An internal error occurred",
        )),
        FaultKind::Html => Some(ApiError::new("ServiceUnavailable", "503")),
    }
}

fn receive(parts: &Parts, body: &[u8], credential: Option<&Credential>) -> Received {
    let target = parts
        .headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    let signing_name = credential.map_or("rds", |credential| credential.service.as_str());
    let json = || serde_json::from_slice(body).unwrap_or(Value::Object(serde_json::Map::new()));
    match (signing_name, target) {
        ("kms", target) => Received {
            kind: Kind::Kms,
            action: target
                .and_then(|target| target.strip_prefix("TrentService."))
                .unwrap_or_default()
                .to_owned(),
            params: Params::default(),
            json: json(),
        },
        ("account", _) => Received {
            kind: Kind::Account,
            action: match parts.uri.path() {
                "/listRegions" => "ListRegions".to_owned(),
                other => other.trim_start_matches('/').to_owned(),
            },
            params: Params::default(),
            json: json(),
        },
        (name, _) => {
            // Old clients send the form as a query string.
            let form = if body.is_empty() {
                parts.uri.query().unwrap_or_default().as_bytes()
            } else {
                body
            };
            let params = Params::parse(form);
            Received {
                kind: if name == "sts" { Kind::Sts } else { Kind::Rds },
                action: params.text("Action").unwrap_or_default(),
                params,
                json: Value::Null,
            }
        }
    }
}

fn authenticate(
    world: &World,
    credential: Option<&Credential>,
    parts: &Parts,
    body: &[u8],
) -> Result<Account, ApiError> {
    let credential = credential.ok_or_else(|| {
        ApiError::new(
            "MissingAuthenticationToken",
            "Request is missing Authentication Token",
        )
    })?;
    let caller = world
        .accounts
        .iter()
        .find(|account| account.access_key_id == credential.access_key_id)
        .ok_or_else(|| {
            ApiError::new(
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            )
        })?;
    if let Some(secret) = &caller.secret_access_key {
        credential.verify(&secret.0, parts, body)?;
    }
    Ok(caller.clone())
}

fn carry_out(
    world: &mut World,
    caller: &Account,
    region: &str,
    received: &Received,
    request_id: &str,
) -> Result<String, ApiError> {
    let scope = Scope {
        account: caller.id.clone(),
        region: region.to_owned(),
    };
    match received.kind {
        Kind::Rds => {
            let now = world.clock.now();
            let mut call = Call {
                world,
                scope: &scope,
                params: &received.params,
                now,
            };
            let result = rds::dispatch(&received.action, &mut call)?;
            Ok(xml::envelope(
                &received.action,
                rds::XMLNS,
                result.as_deref(),
                request_id,
            ))
        }
        Kind::Sts => {
            let result = sts::dispatch(world, caller, &received.action, &received.params)?;
            Ok(xml::envelope(
                &received.action,
                sts::XMLNS,
                Some(&result),
                request_id,
            ))
        }
        Kind::Kms => kms::dispatch(world, &scope, &received.action, &received.json)
            .map(|answer| answer.to_string()),
        Kind::Account if received.action == "ListRegions" => {
            let used: Vec<String> = world
                .regions
                .keys()
                .filter(|scope| scope.account == caller.id)
                .map(|scope| scope.region.clone())
                .collect();
            account::list_regions(&received.json, &used).map(|answer| answer.to_string())
        }
        Kind::Account => Err(ApiError::new(
            "UnknownOperationException",
            format!("Unknown operation: {}", received.action),
        )),
    }
}

fn write(
    received: &Received,
    result: Result<String, ApiError>,
    request_id: &str,
) -> Response<Full<Bytes>> {
    let content = match received.kind {
        Kind::Rds | Kind::Sts => "text/xml",
        Kind::Kms => "application/x-amz-json-1.1",
        Kind::Account => "application/json",
    };
    match result {
        Ok(body) => respond(200, content, body, request_id, None),
        Err(error) => {
            let body = match received.kind {
                Kind::Rds => xml::error_envelope(
                    rds::XMLNS,
                    error.status,
                    &error.code,
                    &error.message,
                    request_id,
                ),
                Kind::Sts => xml::error_envelope(
                    sts::XMLNS,
                    error.status,
                    &error.code,
                    &error.message,
                    request_id,
                ),
                Kind::Kms | Kind::Account => {
                    serde_json::json!({ "__type": error.code, "message": error.message })
                        .to_string()
                }
            };
            respond(error.status, content, body, request_id, Some(&error.code))
        }
    }
}

fn respond(
    status: u16,
    content: &str,
    body: String,
    request_id: &str,
    code: Option<&str>,
) -> Response<Full<Bytes>> {
    let mut response = Response::builder()
        .status(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        .header("content-type", content)
        .header("x-amzn-requestid", request_id);
    if let Some(code) = code.filter(|_| content.contains("json")) {
        response = response.header("x-amzn-errortype", code);
    }
    response
        .body(Full::new(Bytes::from(body)))
        .unwrap_or_else(|_| Response::new(Full::default()))
}

/// Serves one connection until it ends or an answer is lost on purpose.
pub(crate) async fn serve(
    service: Arc<Service>,
    stream: tokio::net::TcpStream,
) -> Result<(), Infallible> {
    let io = hyper_util::rt::TokioIo::new(stream);
    let answer = hyper::service::service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { service.answer(request).await }
    });
    if let Err(error) = hyper::server::conn::http1::Builder::new()
        .serve_connection(io, answer)
        .await
    {
        tracing::debug!(%error, "A connection ended early.");
    }
    Ok(())
}
