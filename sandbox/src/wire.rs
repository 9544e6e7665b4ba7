//! The protocols of AWS: which service is called and how, and how it answers.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::Value;

use crate::auth::Credential;
use crate::neighbours::cloudwatch;
use crate::rds::error::ApiError;
use crate::rds::params::Params;
use crate::rds::xml::{self, Xml};
use crate::{neighbours, rds, sts};

/// Services of the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Rds,
    Sts,
    Kms,
    Account,
    Organizations,
    Ec2,
    SecretsManager,
    CloudWatch,
    Iam,
}

impl Service {
    const ALL: [Self; 9] = [
        Self::Rds,
        Self::Sts,
        Self::Kms,
        Self::Account,
        Self::Organizations,
        Self::Ec2,
        Self::SecretsManager,
        Self::CloudWatch,
        Self::Iam,
    ];

    /// The name in the credential scope, in the request log and for faults.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rds => "rds",
            Self::Sts => "sts",
            Self::Kms => "kms",
            Self::Account => "account",
            Self::Organizations => "organizations",
            Self::Ec2 => "ec2",
            Self::SecretsManager => "secretsmanager",
            Self::CloudWatch => "monitoring",
            Self::Iam => "iam",
        }
    }

    /// The prefix of its actions in policies.
    pub(crate) fn policy_prefix(self) -> &'static str {
        match self {
            Self::CloudWatch => "cloudwatch",
            other => other.name(),
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    fn xmlns(self) -> &'static str {
        match self {
            Self::Sts => sts::XMLNS,
            Self::Iam => neighbours::iam::XMLNS,
            Self::Ec2 => neighbours::ec2::XMLNS,
            Self::CloudWatch => cloudwatch::XMLNS,
            Self::Rds | Self::Kms | Self::Account | Self::Organizations | Self::SecretsManager => {
                rds::XMLNS
            }
        }
    }
}

/// How a request is written and its answer read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Query,
    Ec2Query,
    Json10,
    Json11,
    RestJson,
    Cbor,
}

/// A call as read from the wire.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) service: Service,
    pub(crate) protocol: Protocol,
    pub(crate) action: String,
    pub(crate) params: Params,
    pub(crate) json: Value,
    /// Why it cannot be carried out, whatever it says.
    pub(crate) problem: Option<ApiError>,
}

/// What a service has to say.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The inside of the result element; a void action has none.
    Xml(Option<String>),
    Json(Value),
}

/// What every service refuses in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Unsigned,
    MalformedSignature,
    /// The access key is not known, or not in this region.
    UnknownKey,
    /// The temporary key has come to its end.
    ExpiredKey,
    BadSignature,
    /// The credential scope names a region that does not exist or not this service's.
    BadRegion(String),
    Denied {
        principal: String,
    },
    /// A policy does not allow the call, or what it does on the caller's behalf.
    NotAllowed {
        principal: String,
        action: String,
        resource: String,
    },
    Throttled,
    Internal,
    Unavailable,
}

/// An error with a status of its own.
pub(crate) fn error(status: u16, code: &str, message: impl Into<String>) -> ApiError {
    ApiError {
        status,
        code: code.to_owned(),
        message: message.into(),
    }
}

impl Received {
    /// The refusal in the words of the service.
    pub(crate) fn refuse(&self, refusal: &Refusal) -> ApiError {
        let invalid = "The security token included in the request is invalid.";
        let json = matches!(
            self.protocol,
            Protocol::Json10 | Protocol::Json11 | Protocol::RestJson | Protocol::Cbor
        );
        let status = if self.protocol == Protocol::RestJson {
            403
        } else {
            400
        };
        match (refusal, self.protocol) {
            (
                Refusal::Unsigned
                | Refusal::UnknownKey
                | Refusal::ExpiredKey
                | Refusal::BadSignature
                | Refusal::BadRegion(_),
                Protocol::Ec2Query,
            ) => error(
                401,
                "AuthFailure",
                "AWS was not able to validate the provided access credentials",
            ),
            (Refusal::Unsigned, _) if json => error(
                status,
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            ),
            (Refusal::Unsigned, _) => error(
                403,
                "MissingAuthenticationToken",
                "Request is missing Authentication Token",
            ),
            (Refusal::MalformedSignature, _) => error(
                400,
                if json {
                    "IncompleteSignatureException"
                } else {
                    "IncompleteSignature"
                },
                "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.",
            ),
            (Refusal::UnknownKey, _) if json => {
                error(status, "UnrecognizedClientException", invalid)
            }
            (Refusal::UnknownKey, _) => error(403, "InvalidClientTokenId", invalid),
            (Refusal::ExpiredKey, _) => error(
                if json { status } else { 403 },
                if json {
                    "ExpiredTokenException"
                } else {
                    "ExpiredToken"
                },
                "The security token included in the request is expired",
            ),
            (Refusal::BadSignature, _) => {
                let message = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";
                if json {
                    error(status, "InvalidSignatureException", message)
                } else {
                    error(403, "SignatureDoesNotMatch", message)
                }
            }
            (Refusal::BadRegion(region), _) => {
                let message =
                    format!("Credential should be scoped to a valid region, not '{region}'.");
                if json {
                    error(status, "InvalidSignatureException", message)
                } else {
                    error(403, "SignatureDoesNotMatch", message)
                }
            }
            (Refusal::Denied { principal }, protocol) => {
                let action = format!("{}:{}", self.service.policy_prefix(), self.action);
                let message = format!(
                    "User: {principal} is not authorized to perform: {action} because no identity-based policy allows the {action} action"
                );
                match protocol {
                    Protocol::Ec2Query => error(403, "UnauthorizedOperation", message),
                    Protocol::Query => error(403, "AccessDenied", message),
                    Protocol::Json10 | Protocol::Json11 | Protocol::RestJson | Protocol::Cbor => {
                        error(status, "AccessDeniedException", message)
                    }
                }
            }
            (Refusal::NotAllowed { resource, .. }, Protocol::Query)
                if self.service == Service::Rds && resource.contains(":kms:") =>
            {
                error(
                    400,
                    "KMSKeyNotAccessibleFault",
                    format!(
                        "The specified KMS key [{resource}] does not exist, is not enabled or you do not have permissions to access it."
                    ),
                )
            }
            (
                Refusal::NotAllowed {
                    principal,
                    action,
                    resource,
                },
                protocol,
            ) => {
                let message = format!(
                    "User: {principal} is not authorized to perform: {action} on resource: {resource} because no identity-based policy allows the {action} action"
                );
                match protocol {
                    Protocol::Ec2Query => error(403, "UnauthorizedOperation", message),
                    Protocol::Query => error(403, "AccessDenied", message),
                    Protocol::Json10 | Protocol::Json11 | Protocol::RestJson | Protocol::Cbor => {
                        error(status, "AccessDeniedException", message)
                    }
                }
            }
            (Refusal::Throttled, _) => {
                let code = match self.service {
                    Service::Rds | Service::Sts | Service::Iam | Service::CloudWatch => {
                        "Throttling"
                    }
                    Service::Ec2 => "RequestLimitExceeded",
                    Service::Organizations | Service::Account => "TooManyRequestsException",
                    Service::Kms | Service::SecretsManager => "ThrottlingException",
                };
                let status = match self.service {
                    Service::Ec2 => 503,
                    Service::Account => 429,
                    _ => 400,
                };
                error(status, code, "Rate exceeded")
            }
            (Refusal::Internal, _) => {
                let code = match self.service {
                    Service::Rds | Service::Sts | Service::Iam => "InternalFailure",
                    Service::CloudWatch => "InternalServiceError",
                    Service::Ec2 => "InternalError",
                    Service::Organizations => "ServiceException",
                    Service::Account => "InternalServerException",
                    Service::Kms => "KMSInternalException",
                    Service::SecretsManager => "InternalServiceError",
                };
                error(500, code, "An internal error occurred")
            }
            (Refusal::Unavailable, _) => {
                let code = match self.service {
                    Service::Ec2 => "Unavailable",
                    _ => "ServiceUnavailable",
                };
                error(503, code, "Service is unable to handle request.")
            }
        }
    }

    /// What it names: identifiers, names, ARNs; the one that is acted upon first.
    pub(crate) fn resources(&self) -> Vec<String> {
        const FIRST: [&str; 5] = [
            "DBInstanceIdentifier",
            "TargetDBSnapshotIdentifier",
            "DBSnapshotIdentifier",
            "DBClusterIdentifier",
            "KeyId",
        ];
        let names_one = |key: &str| {
            key.contains(".Values.")
                || ["Identifier", "Id", "Name", "Arn", "ARN"]
                    .iter()
                    .any(|end| key.ends_with(end))
        };
        let mut found: Vec<(bool, String)> = self
            .params
            .iter()
            .filter(|(key, value)| names_one(key) && !value.is_empty())
            .map(|(key, value)| (!FIRST.contains(&key), value.to_owned()))
            .collect();
        if let Some(object) = self.json.as_object() {
            found.extend(object.iter().filter(|(key, _)| names_one(key)).filter_map(
                |(key, value)| Some((!FIRST.contains(&key.as_str()), value.as_str()?.to_owned())),
            ));
        }
        found.sort_by_key(|(later, _)| *later);
        found.into_iter().map(|(_, value)| value).collect()
    }
}

/// Reads a request. What cannot be read is an answer of its own, never a panic and never a 500.
pub(crate) fn receive(parts: &Parts, body: &[u8], credential: Option<&Credential>) -> Received {
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let path = parts.uri.path();
    let target = header("x-amz-target");
    let service = match credential {
        Some(credential) => Service::from_name(&credential.service),
        None => unsigned_service(path, target, body),
    };
    let mut problem = None;
    if service.is_none() {
        problem = Some(error(
            403,
            "SignatureDoesNotMatch",
            "Credential should be scoped to correct service: 'rds'.",
        ));
    }
    let service = service.unwrap_or(Service::Rds);
    let operation = |prefix: &str| {
        target
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix('.'))
            .unwrap_or_default()
            .to_owned()
    };
    let (protocol, action) = match service {
        Service::Kms => (Protocol::Json11, operation("TrentService")),
        Service::SecretsManager => (Protocol::Json11, operation("secretsmanager")),
        Service::Organizations => (Protocol::Json11, operation("AWSOrganizationsV20161128")),
        Service::Account => (
            Protocol::RestJson,
            match path {
                "/listRegions" => "ListRegions".to_owned(),
                "/getRegionOptStatus" => "GetRegionOptStatus".to_owned(),
                other => other.trim_start_matches('/').to_owned(),
            },
        ),
        Service::CloudWatch => {
            if let Some(action) = path.strip_prefix(cloudwatch::CBOR_PATH) {
                (Protocol::Cbor, action.to_owned())
            } else if target.is_empty() {
                (Protocol::Query, String::new())
            } else {
                (Protocol::Json10, operation(cloudwatch::TARGET))
            }
        }
        Service::Ec2 => (Protocol::Ec2Query, String::new()),
        Service::Rds | Service::Sts | Service::Iam => (Protocol::Query, String::new()),
    };
    let mut received = Received {
        service,
        protocol,
        action,
        params: Params::default(),
        json: Value::Null,
        problem,
    };
    match protocol {
        Protocol::Query | Protocol::Ec2Query => {
            // Old clients send the form as a query string.
            let form = if body.is_empty() {
                parts.uri.query().unwrap_or_default().as_bytes()
            } else {
                body
            };
            received.params = Params::parse(form);
            received.action = received.params.text("Action").unwrap_or_default();
            // What was no UTF-8 has been replaced while it was decoded.
            let replaced = received
                .params
                .iter()
                .any(|(key, value)| key.contains('\u{fffd}') || value.contains('\u{fffd}'));
            if replaced && received.problem.is_none() {
                received.problem = Some(error(
                    400,
                    "MalformedQueryString",
                    "The query string contains a syntax error.",
                ));
            } else if received.action.is_empty() && received.problem.is_none() {
                received.problem = Some(error(
                    400,
                    "MissingAction",
                    "The request is missing an action or a required parameter.",
                ));
            }
        }
        Protocol::Json10 | Protocol::Json11 | Protocol::RestJson => {
            let parsed = if body.is_empty() {
                Ok(Value::Object(serde_json::Map::new()))
            } else {
                serde_json::from_slice::<Value>(body)
            };
            match parsed {
                Ok(json @ Value::Object(_)) => received.json = json,
                Ok(_) | Err(_) => {
                    received.json = Value::Object(serde_json::Map::new());
                    received.problem = Some(error(400, "SerializationException", ""));
                }
            }
        }
        Protocol::Cbor => match cloudwatch::from_cbor(body) {
            Some(json) => received.json = json,
            None => {
                received.json = Value::Object(serde_json::Map::new());
                received.problem = Some(error(400, "SerializationException", ""));
            }
        },
    }
    // A name longer than any action's is garbage, and the log keeps it.
    if let Some((end, _)) = received.action.char_indices().nth(128) {
        received.action.truncate(end);
    }
    received
}

/// Whom an unsigned request is for: it is refused, in that service's words.
fn unsigned_service(path: &str, target: &str, body: &[u8]) -> Option<Service> {
    let has = |text: &[u8]| body.windows(text.len()).any(|window| window == text);
    Some(match target.split('.').next().unwrap_or_default() {
        "TrentService" => Service::Kms,
        "secretsmanager" => Service::SecretsManager,
        "AWSOrganizationsV20161128" => Service::Organizations,
        cloudwatch::TARGET => Service::CloudWatch,
        _ if path == "/listRegions" => Service::Account,
        _ if path.starts_with(cloudwatch::CBOR_PATH) => Service::CloudWatch,
        _ if has(b"Version=2011-06-15") => Service::Sts,
        _ if has(b"Version=2016-11-15") => Service::Ec2,
        _ if has(b"Version=2010-05-08") => Service::Iam,
        _ => Service::Rds,
    })
}

/// Writes an answer.
pub(crate) fn write(
    received: &Received,
    result: Result<Answer, ApiError>,
    request_id: &str,
) -> Response<Full<Bytes>> {
    let content = match received.protocol {
        Protocol::Query | Protocol::Ec2Query => "text/xml",
        Protocol::Json10 => "application/x-amz-json-1.0",
        Protocol::Json11 => "application/x-amz-json-1.1",
        Protocol::RestJson => "application/json",
        Protocol::Cbor => "application/cbor",
    };
    let (status, body, code) = match result {
        Ok(answer) => (200, success(received, answer, request_id), None),
        Err(error) => (
            error.status,
            failure(received, &error, request_id),
            Some(error.code),
        ),
    };
    let mut response = Response::builder()
        .status(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        .header("content-type", content)
        .header("x-amzn-requestid", request_id);
    if received.protocol == Protocol::Cbor {
        response = response.header("smithy-protocol", "rpc-v2-cbor");
    }
    if let Some(code) = code
        && !matches!(received.protocol, Protocol::Query | Protocol::Ec2Query)
    {
        response = response.header("x-amzn-errortype", &code);
        if received.service == Service::CloudWatch {
            // It was a Query service once, and SDKs want the old code back.
            let side = if status < 500 { "Sender" } else { "Receiver" };
            response = response.header("x-amzn-query-error", format!("{code};{side}"));
        }
    }
    response
        .body(Full::new(Bytes::from(body)))
        .unwrap_or_else(|_| Response::new(Full::default()))
}

fn success(received: &Received, answer: Answer, request_id: &str) -> Vec<u8> {
    match (answer, received.protocol) {
        (Answer::Xml(inside), Protocol::Ec2Query) => {
            let mut xml = Xml::new();
            xml.value("requestId", request_id);
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"{}\">{}{}</{action}Response>\n",
                received.service.xmlns(),
                xml.into_string(),
                inside.unwrap_or_default(),
                action = received.action,
            )
            .into_bytes()
        }
        (Answer::Xml(inside), _) => xml::envelope(
            &received.action,
            received.service.xmlns(),
            inside.as_deref(),
            request_id,
        )
        .into_bytes(),
        (Answer::Json(json), Protocol::Cbor) => cloudwatch::to_cbor(&json),
        (Answer::Json(json), _) => json.to_string().into_bytes(),
    }
}

fn failure(received: &Received, error: &ApiError, request_id: &str) -> Vec<u8> {
    let json = || serde_json::json!({ "__type": error.code, "message": error.message });
    match received.protocol {
        Protocol::Query => xml::error_envelope(
            received.service.xmlns(),
            error.status,
            &error.code,
            &error.message,
            request_id,
        )
        .into_bytes(),
        Protocol::Ec2Query => {
            let mut xml = Xml::new();
            xml.element("Errors", |xml| {
                xml.element("Error", |xml| {
                    xml.value("Code", &error.code);
                    xml.value("Message", &error.message);
                });
            });
            xml.value("RequestID", request_id);
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response>{}</Response>\n",
                xml.into_string()
            )
            .into_bytes()
        }
        Protocol::Json10 | Protocol::Json11 | Protocol::RestJson => json().to_string().into_bytes(),
        Protocol::Cbor => cloudwatch::to_cbor(&json()),
    }
}
