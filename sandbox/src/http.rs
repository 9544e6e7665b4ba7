//! HTTP in and out: finds out who calls, plays the faults, carries the call out, writes the log.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;

use crate::auth::Credential;
use crate::fault::{CallFacts, FaultKind, Quota, Verdict};
use crate::log::{Entry, RequestLog, shown};
use crate::neighbours::{self, ec2, iam, organizations, policy, secrets};
use crate::rds::catalog::REGIONS;
use crate::rds::error::ApiError;
use crate::rds::state::{Quotas, Scope};
use crate::rds::{self, Call};
use crate::saved::{Operation, StateFile};
use crate::wire::{self, Answer, Received, Refusal, Service};
use crate::world::{Account, Core, World};
use crate::{account, admin, kms, sts};

/// A request body is at most this long; RDS's own are far shorter.
const BODY_LIMIT: usize = 1024 * 1024;
/// A request's head and body each arrive within this time.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) core: Arc<Core>,
    pub(crate) log: RequestLog,
    /// Told when a freeze may be over.
    pub(crate) thaw: Notify,
    /// Where the state is kept, if it is.
    pub(crate) state: Option<StateFile>,
}

/// The connection is to be reset without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost on purpose")]
pub(crate) struct LostAnswer;

/// How a call ended.
struct Ended {
    account: String,
    principal: String,
    region: String,
    result: Result<Answer, ApiError>,
}

impl Shared {
    /// Answers a request.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, LostAnswer> {
        let (parts, body) = request.into_parts();
        let body = match read(body).await {
            Ok(body) => body,
            Err(Unread::Answer(status)) => return Ok(plain(status)),
            Err(Unread::Gone) => return Err(LostAnswer),
        };
        if parts.uri.path().starts_with(admin::PREFIX) {
            return Ok(admin::answer(self, &parts, &body).await);
        }
        let request_id = uuid::Uuid::new_v4().to_string();
        let authorization = parts
            .headers
            .get("authorization")
            .map(|value| value.to_str().unwrap_or_default());
        let credential = authorization.and_then(Credential::from_header);
        let received = wire::receive(&parts, &body, credential.as_ref());
        let caller = match (authorization, &credential) {
            (None, _) => Err(received.refuse(&Refusal::Unsigned)),
            (Some(_), None) => Err(received.refuse(&Refusal::MalformedSignature)),
            (Some(_), Some(credential)) => {
                authenticate(&self.core.look(), &received, credential, &parts, &body)
            }
        };
        let region = credential.map_or_else(
            || "us-east-1".to_owned(),
            |credential| credential.region.clone(),
        );
        let verdict = self.judge(&received, caller.as_ref().ok(), &region).await;
        if !verdict.delay.is_zero() {
            tokio::time::sleep(verdict.delay).await;
        }
        let ended = self.carry_out(&received, caller, region, &verdict);
        self.record(&received, &ended, &verdict, &request_id);
        match verdict.ending.map(|fault| fault.kind) {
            Some(FaultKind::LostAnswer | FaultKind::Reset) => Err(LostAnswer),
            Some(FaultKind::Html) => Ok(html(&request_id)),
            _ => Ok(wire::write(&received, ended.result, &request_id)),
        }
    }

    /// Waits while the call is frozen, then lets the faults have their say.
    async fn judge(&self, received: &Received, caller: Option<&Account>, region: &str) -> Verdict {
        let resources = received.resources();
        let facts = CallFacts {
            account: caller.map(|caller| caller.id.as_str()).unwrap_or_default(),
            region,
            service: received.service.name(),
            action: &received.action,
            resources: &resources,
        };
        loop {
            let mut thawed = std::pin::pin!(self.thaw.notified());
            // From here on no thaw is missed.
            thawed.as_mut().enable();
            {
                let mut world = self.core.look();
                let now = world.clock.now();
                if !world.faults.freezes(&facts, now) {
                    return world.faults.judge(&facts, now);
                }
            }
            thawed.await;
        }
    }

    fn carry_out(
        &self,
        received: &Received,
        caller: Result<Account, ApiError>,
        region: String,
        verdict: &Verdict,
    ) -> Ended {
        let mut ended = Ended {
            account: String::new(),
            principal: String::new(),
            region,
            result: Ok(Answer::Xml(None)),
        };
        let caller = match caller {
            Ok(caller) => {
                ended.account.clone_from(&caller.id);
                ended.principal.clone_from(&caller.principal);
                Ok(caller)
            }
            Err(error) => Err(error),
        };
        if let Some(error) = refusal(received, verdict) {
            ended.result = Err(error);
        } else {
            ended.result = caller.and_then(|caller| {
                if let Some(problem) = &received.problem {
                    return Err(problem.clone());
                }
                let action = format!("{}:{}", received.service.policy_prefix(), received.action);
                if !caller.permissions.allow(&action) {
                    return Err(received.refuse(&Refusal::Denied {
                        principal: caller.principal.clone(),
                    }));
                }
                if caller.permissions.policy.is_some() {
                    let scope = Scope {
                        account: caller.id.clone(),
                        region: ended.region.clone(),
                    };
                    let asks = neighbours::policy::asks(&self.core.look(), &scope, received);
                    let refused = |ask: &policy::Ask| {
                        caller.permissions.decide(ask) != policy::Decision::Allowed
                    };
                    if let Some(ask) = asks.into_iter().find(refused) {
                        return Err(received.refuse(&Refusal::NotAllowed {
                            principal: caller.principal.clone(),
                            action: ask.action,
                            resource: ask.resource,
                        }));
                    }
                }
                let mut world = if neighbours::only_reads(received) {
                    self.core.look()
                } else {
                    self.core.lock()
                };
                let at = world.clock.now();
                let done = Done {
                    caller: &caller,
                    region: &ended.region,
                    received,
                    limits: &verdict.limits,
                };
                let result = done.at(&mut world, at, verdict.stale);
                for incident in &verdict.incidents {
                    world.plan(incident.clone(), at, at);
                }
                world.advance();
                result
            });
        }
        ended
    }

    fn record(&self, received: &Received, ended: &Ended, verdict: &Verdict, request_id: &str) {
        let (status, code) = match &ended.result {
            Ok(_) => (200, ""),
            Err(error) => (error.status, error.code.as_str()),
        };
        let time = self.core.look().clock.now().to_string();
        let entry = Entry {
            time,
            account: &ended.account,
            region: &ended.region,
            service: received.service.name(),
            principal: &ended.principal,
            action: &received.action,
            params: shown(received),
            status,
            code,
            fault: &verdict.kinds.join(","),
            request_id,
        };
        if let Err(error) = self.log.write(&entry) {
            tracing::error!(%error, "The request log could not be written.");
        }
    }
}

/// A call that is carried out, now or when a saved state is brought back.
pub(crate) struct Done<'a> {
    pub(crate) caller: &'a Account,
    pub(crate) region: &'a str,
    pub(crate) received: &'a Received,
    pub(crate) limits: &'a [(Quota, Option<i64>)],
}

impl Done<'_> {
    /// Carries it out at a moment; a read may show the state of `stale` seconds before.
    pub(crate) fn at(
        &self,
        world: &mut World,
        at: jiff::Timestamp,
        stale: Option<u64>,
    ) -> Result<Answer, ApiError> {
        let clock = Arc::clone(&world.clock);
        let _held = clock.hold(at);
        world.advance();
        let scope = Scope {
            account: self.caller.id.clone(),
            region: self.region.to_owned(),
        };
        let reads = neighbours::only_reads(self.received);
        if !reads && let Some(journal) = &mut world.journal {
            journal.push(Operation::call(at, self));
        }
        let past = stale.filter(|_| reads).and_then(|seconds| {
            let then = crate::clock::plus(at, -i64::try_from(seconds).unwrap_or(0));
            Some((then, world.history.at(&scope, then)?.clone()))
        });
        let result = if let Some((then, past)) = past {
            let present = std::mem::replace(world.region_mut(&scope), past);
            let result = carry_out(world, self, &scope, then);
            *world.region_mut(&scope) = present;
            result
        } else {
            let before = limit(world, &scope, self.limits);
            let result = carry_out(world, self, &scope, at);
            if let Some(quotas) = before {
                world.region_mut(&scope).quotas = quotas;
            }
            result
        };
        // What the call set off at its own moment happens with it.
        world.advance();
        if !reads {
            world.watch(at);
            world.remember(&scope, at);
        }
        result
    }
}

/// Lowers quotas for the length of a call and says what they were.
fn limit(world: &mut World, scope: &Scope, limits: &[(Quota, Option<i64>)]) -> Option<Quotas> {
    if limits.is_empty() {
        return None;
    }
    let region = world.region_mut(scope);
    let before = region.quotas.clone();
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    for (quota, max) in limits {
        // Without a number: what is in use is all there is.
        match quota {
            Quota::DBInstances => {
                region.quotas.instances = max.unwrap_or(count(region.instances.len()));
            }
            Quota::ManualSnapshots => {
                let manual = region
                    .snapshots
                    .iter()
                    .filter(|snapshot| snapshot.snapshot_type == "manual");
                region.quotas.manual_snapshots = max.unwrap_or(count(manual.count()));
            }
            Quota::AllocatedStorage => {
                let used = region
                    .instances
                    .iter()
                    .map(|instance| instance.allocated_storage)
                    .sum();
                region.quotas.storage_gib = max.unwrap_or(used);
            }
            Quota::ReadReplicasPerMaster => region.quotas.replicas_per_source = max.unwrap_or(0),
            Quota::DBInstanceRoles => region.quotas.roles_per_instance = max.unwrap_or(0),
            Quota::SnapshotCopiesInFlight => region.quotas.copies_in_flight = max.unwrap_or(0),
        }
    }
    Some(before)
}

fn carry_out(
    world: &mut World,
    done: &Done<'_>,
    scope: &Scope,
    now: jiff::Timestamp,
) -> Result<Answer, ApiError> {
    let Done {
        caller, received, ..
    } = done;
    let (action, json) = (received.action.as_str(), &received.json);
    match received.service {
        Service::Rds => rds::dispatch(
            action,
            &mut Call {
                world,
                scope,
                params: &received.params,
                now,
            },
        )
        .map(Answer::Xml),
        Service::Sts => sts::dispatch(world, caller, action, &received.params)
            .map(|inside| Answer::Xml(Some(inside))),
        Service::Iam => iam::dispatch(world, caller, action, &received.params)
            .map(|inside| Answer::Xml(Some(inside))),
        Service::Ec2 => ec2::dispatch(world, scope, action, &received.params)
            .map(|inside| Answer::Xml(Some(inside))),
        Service::Kms => kms::dispatch(world, scope, action, json).map(Answer::Json),
        Service::Account => account::dispatch(world, scope, action, json).map(Answer::Json),
        Service::Organizations => {
            organizations::dispatch(world, scope, action, json).map(Answer::Json)
        }
        Service::SecretsManager => secrets::dispatch(world, scope, action, json).map(Answer::Json),
        Service::CloudWatch => neighbours::cloudwatch::dispatch(world, scope, received, now),
    }
}

/// The error that a fault answers instead of doing anything.
fn refusal(received: &Received, verdict: &Verdict) -> Option<ApiError> {
    let fault = verdict.ending.as_ref()?;
    Some(match fault.kind {
        FaultKind::Error => {
            let code = fault.code.as_deref().unwrap_or("InternalFailure");
            let message = fault
                .message
                .clone()
                .unwrap_or_else(|| format!("{code}, as the fault wants it"));
            let mut error = ApiError::new(code, message);
            if let Some(status) = fault.status {
                error.status = status;
            }
            error
        }
        FaultKind::Throttle => received.refuse(&Refusal::Throttled),
        FaultKind::Http500 => received.refuse(&Refusal::Internal),
        FaultKind::Http503 => received.refuse(&Refusal::Unavailable),
        FaultKind::Html => ApiError::new("ServiceUnavailable", "503"),
        FaultKind::Reset => wire::error(0, "", ""),
        FaultKind::LostAnswer
        | FaultKind::Latency
        | FaultKind::StaleRead
        | FaultKind::Freeze
        | FaultKind::Quota
        | FaultKind::State
        | FaultKind::KeyDisabled
        | FaultKind::EngineCrash
        | FaultKind::BinlogPurge
        | FaultKind::SqlLostAnswer => return None,
    })
}

/// Who calls: the access key decides, and its secret if the sandbox knows one.
fn authenticate(
    world: &World,
    received: &Received,
    credential: &Credential,
    parts: &Parts,
    body: &[u8],
) -> Result<Account, ApiError> {
    let region = &credential.region;
    let known = REGIONS.iter().find(|(name, _)| name == region);
    let home = match received.service {
        // Its only endpoint is there.
        Service::Organizations => region == "us-east-1",
        _ => true,
    };
    let Some((_, by_default)) = known.filter(|_| home) else {
        return Err(received.refuse(&Refusal::BadRegion(region.clone())));
    };
    let caller = world
        .accounts
        .iter()
        .find(|account| account.access_key_id == credential.access_key_id)
        .ok_or_else(|| received.refuse(&Refusal::UnknownKey))?;
    if let Some(token) = &caller.session_token {
        let sent = parts
            .headers
            .get("x-amz-security-token")
            .map(|value| value.as_bytes());
        if sent != Some(token.0.as_bytes()) {
            return Err(received.refuse(&Refusal::UnknownKey));
        }
    }
    if let Some(secret) = &caller.secret_access_key
        && credential.verify(&secret.0, parts, body).is_err()
    {
        return Err(received.refuse(&Refusal::BadSignature));
    }
    if caller
        .expires
        .is_some_and(|end| end <= jiff::Timestamp::now())
    {
        return Err(received.refuse(&Refusal::ExpiredKey));
    }
    // Keys are not known in a region that the account has not opted into.
    if !by_default && !world.neighbours.is_opted_in(&caller.id, region) {
        return Err(received.refuse(&Refusal::UnknownKey));
    }
    Ok(caller.clone())
}

/// Why a body was not read.
enum Unread {
    Answer(u16),
    Gone,
}

async fn read(body: Incoming) -> Result<Bytes, Unread> {
    let body = Limited::new(body, BODY_LIMIT).collect();
    match tokio::time::timeout(READ_LIMIT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::Answer(413)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "A request body broke off.");
            Err(Unread::Gone)
        }
        Err(_elapsed) => Err(Unread::Answer(408)),
    }
}

/// An answer before anything is known about the request.
fn plain(status: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::BAD_REQUEST);
    // The rest of the body is not read.
    response.headers_mut().insert(
        hyper::header::CONNECTION,
        hyper::header::HeaderValue::from_static("close"),
    );
    response
}

fn html(request_id: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(
        b"<html><head><title>503 Service Unavailable</title></head><body>503</body></html>",
    )));
    *response.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/html"),
    );
    if let Ok(id) = request_id.parse() {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

/// Serves one connection until it ends or an answer is lost on purpose.
pub(crate) async fn serve(shared: Arc<Shared>, stream: tokio::net::TcpStream) {
    let answer = hyper::service::service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { shared.answer(request).await }
    });
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_LIMIT)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = (&mut connection).await {
        tracing::debug!(%error, "A connection ended early.");
        if error.is_user() {
            // The peer sees a reset, as it does when a load balancer or a host goes away.
            let stream = connection.into_parts().io.into_inner();
            if let Err(error) = stream.set_zero_linger() {
                tracing::debug!(%error, "A connection could not be reset.");
            }
        }
    }
}
