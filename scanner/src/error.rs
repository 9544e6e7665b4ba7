//! What AWS, or the way to it, answered instead of a result.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::aws::PlainHttp;

/// Kinds of failure that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AwsErrorKind {
    /// The request rate is too high; nothing happened.
    Throttled,
    /// Not allowed; nothing happened.
    AccessDenied,
    /// No credentials, or bad or expired ones; nothing happened.
    Credentials,
    /// The region takes no credentials of the account, or not this token; nothing happened.
    RegionOff,
    /// The resource does not exist, or not yet.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The resource is in a state in which the call is refused; often passes by itself.
    InvalidState,
    /// A quota or capacity is used up.
    Quota,
    /// The KMS key is missing, disabled or not allowed.
    KmsKeyNotAccessible,
    /// The arguments were refused.
    InvalidRequest,
    /// A refusal this version has no name for (HTTP 4xx).
    Refused,
    /// The service failed (HTTP 5xx): whether it acted is not known.
    Service,
    /// No connection, or it broke: whether a mutation arrived is not known.
    Unreachable,
    /// No answer in time: whether a mutation arrived is not known.
    Timeout,
    /// An answer that is not AWS's: whether a mutation arrived is not known.
    BadAnswer,
    /// The endpoint is another machine without TLS; nothing was sent.
    PlainHttp,
}

/// A failed call.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} in {region}: {message}")]
pub struct AwsError {
    /// API operation.
    pub operation: &'static str,
    /// Region asked.
    pub region: String,
    /// What kind of failure.
    pub kind: AwsErrorKind,
    /// AWS's error code, where there is one.
    pub code: Option<String>,
    /// Code and message of AWS, or the transport's own words, in one line.
    pub message: String,
}

impl AwsError {
    /// Reads a failure of the SDK.
    pub fn from_sdk<E>(
        operation: &'static str,
        region: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|r| r.status().as_u16());
        let (kind, code, message) = match error {
            SdkError::ServiceError(service) => {
                let code = service.err().code().map(str::to_owned);
                let text = service.err().message().unwrap_or("no message").trim();
                match &code {
                    Some(code) => (
                        kind_of(code, status),
                        Some(code.clone()),
                        format!("{code}: {text}"),
                    ),
                    None => (
                        if status.is_some_and(|s| s < 500) {
                            AwsErrorKind::BadAnswer
                        } else {
                            AwsErrorKind::Service
                        },
                        None,
                        format!(
                            "HTTP {} without an AWS error code: the answer is not AWS's",
                            status.unwrap_or(0)
                        ),
                    ),
                }
            }
            SdkError::TimeoutError(_) => {
                (AwsErrorKind::Timeout, None, "no answer in time".to_owned())
            }
            SdkError::ResponseError(_) => {
                let what = format!(
                    "HTTP {}: the answer is not AWS's; check the endpoint URL",
                    status.unwrap_or(0)
                );
                (AwsErrorKind::BadAnswer, None, what)
            }
            SdkError::DispatchFailure(failure) => {
                let text = chain(error);
                let kind = if is_plain_http(error) {
                    AwsErrorKind::PlainHttp
                } else if failure.is_timeout() {
                    AwsErrorKind::Timeout
                } else if text.contains("credential") {
                    AwsErrorKind::Credentials
                } else {
                    AwsErrorKind::Unreachable
                };
                // The innermost words say it; those around them name layers of the SDK.
                let text = match (kind, text.rsplit_once("client error (Connect): ")) {
                    (AwsErrorKind::Unreachable, Some((_, why))) => format!("no connection: {why}"),
                    _ => text,
                };
                (kind, None, text)
            }
            SdkError::ConstructionFailure(_) => {
                let text = chain(error);
                let kind = if text.contains("credential") {
                    AwsErrorKind::Credentials
                } else {
                    AwsErrorKind::InvalidRequest
                };
                (kind, None, text)
            }
            _ => (AwsErrorKind::Unreachable, None, chain(error)),
        };
        // The SDK lists every place it has looked in; the hint says where credentials come from.
        let message = if kind == AwsErrorKind::Credentials && code.is_none() {
            match unknown_profile(&message) {
                Some(name) => format!("there is no profile {name} in the AWS configuration files"),
                None => "no usable AWS credentials were found".to_owned(),
            }
        } else {
            message
        };
        Self {
            operation,
            region: region.to_owned(),
            kind,
            code,
            message: one_line(&message),
        }
    }

    /// An answer that could not be understood.
    pub(crate) fn bad_answer(operation: &'static str, region: &str, why: &str) -> Self {
        Self {
            operation,
            region: region.to_owned(),
            kind: AwsErrorKind::BadAnswer,
            code: None,
            message: one_line(&format!(
                "the answer is not AWS's ({why}); check the endpoint URL"
            )),
        }
    }

    /// A region whose reading was broken off by somebody.
    pub(crate) fn interrupted(region: &str) -> Self {
        Self {
            operation: "the scan",
            region: region.to_owned(),
            kind: AwsErrorKind::Unreachable,
            code: None,
            message: "interrupted before it was read".to_owned(),
        }
    }

    /// What a region says that is not enabled reads like bad credentials. `self` is the answer of a region, to credentials
    /// that were accepted elsewhere. Expired ones have a code of their own.
    #[must_use]
    pub fn in_a_region(mut self) -> Self {
        let is_unknown_key = matches!(
            self.code.as_deref(),
            Some("InvalidClientTokenId" | "UnrecognizedClientException")
        );
        if self.kind == AwsErrorKind::Credentials && is_unknown_key {
            self.kind = AwsErrorKind::RegionOff;
            self.message = format!(
                "the region is not enabled for the account, or the session token is of the global STS endpoint, which opt-in regions do not take ({})",
                self.message
            );
        }
        self
    }

    /// Whether a mutation may have taken effect although this came back.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        matches!(
            self.kind,
            AwsErrorKind::Service
                | AwsErrorKind::Unreachable
                | AwsErrorKind::Timeout
                | AwsErrorKind::BadAnswer
        )
    }

    /// Whether waiting may mend it.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.outcome_unknown()
            || matches!(
                self.kind,
                AwsErrorKind::Throttled | AwsErrorKind::InvalidState
            )
    }

    /// Whether a read that failed so may work when it is sent again: nothing was wrong with it.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.outcome_unknown() || self.kind == AwsErrorKind::Throttled
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self.kind {
            AwsErrorKind::Credentials => match self.code.as_deref() {
                Some("ExpiredToken" | "ExpiredTokenException") => {
                    "the session has ended: run `aws sso login`, or get new keys"
                }
                Some(_) => {
                    "AWS does not accept these keys: set AWS_PROFILE (--profile) or AWS_ACCESS_KEY_ID and \
                     AWS_SECRET_ACCESS_KEY, or run `aws sso login`"
                }
                None => {
                    "set AWS_PROFILE (--profile), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws sso login`; \
                     `atrest demo` needs no AWS"
                }
            },
            AwsErrorKind::RegionOff => {
                "enable the region, leave it out, or set AWS_STS_REGIONAL_ENDPOINTS=regional where the token is made"
            }
            AwsErrorKind::AccessDenied => {
                "the identity lacks this permission: grant it (`atrest iam-policy VERB` prints what a verb needs) or use \
                 another profile"
            }
            AwsErrorKind::Throttled => "other tools use up the request rate; try again later",
            AwsErrorKind::NotFound => "check the name and the region",
            AwsErrorKind::AlreadyExists => "the name is taken by a resource this run did not make",
            AwsErrorKind::InvalidState => "wait until the resource is available",
            AwsErrorKind::Quota => "raise the quota or free some of it",
            AwsErrorKind::KmsKeyNotAccessible => "enable the key and allow the identity to use it",
            AwsErrorKind::InvalidRequest | AwsErrorKind::Refused => {
                "the message above is AWS's own"
            }
            AwsErrorKind::Service => "the service failed; try again later",
            AwsErrorKind::Unreachable | AwsErrorKind::Timeout => {
                "check the network and the region; and --endpoint-url and AWS_ENDPOINT_URL, if they are set"
            }
            AwsErrorKind::BadAnswer => "check --endpoint-url and AWS_ENDPOINT_URL",
            AwsErrorKind::PlainHttp => PLAIN_HTTP_HINT,
        }
    }
}

/// Code to kind. RDS sends most family members with an irregular `Fault` suffix, so both spellings are matched.
fn kind_of(code: &str, status: Option<u16>) -> AwsErrorKind {
    let bare = code.strip_suffix("Fault").unwrap_or(code);
    match bare {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown" => AwsErrorKind::Throttled,
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "OptInRequired" => {
            AwsErrorKind::AccessDenied
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "InvalidSignatureException" => AwsErrorKind::Credentials,
        "KMSKeyNotAccessible" => AwsErrorKind::KmsKeyNotAccessible,
        _ if bare.ends_with("QuotaExceeded") || bare.starts_with("Insufficient") => {
            AwsErrorKind::Quota
        }
        _ if bare.ends_with("AlreadyExists") => AwsErrorKind::AlreadyExists,
        _ if bare.ends_with("NotFound") || bare == "NotFoundException" => AwsErrorKind::NotFound,
        _ if bare.starts_with("Invalid") && bare.ends_with("State") => AwsErrorKind::InvalidState,
        "InvalidParameterValue"
        | "InvalidParameterCombination"
        | "MissingParameter"
        | "ValidationError" => AwsErrorKind::InvalidRequest,
        _ if status.is_some_and(|s| s >= 500) => AwsErrorKind::Service,
        _ => AwsErrorKind::Refused,
    }
}

/// The profile that a chain of errors says is not there, quoted.
fn unknown_profile(text: &str) -> Option<&str> {
    let (before, _) = text.split_once(" was not defined")?;
    let (_, name) = before.rsplit_once("profile ")?;
    Some(name)
}

/// What to do about an endpoint without TLS.
pub const PLAIN_HTTP_HINT: &str =
    "use https://; or --allow-plain-http, if the way there is protected otherwise";

/// Whether our own guard has refused to send.
fn is_plain_http(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if inner.is::<PlainHttp>() {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// The error with its causes, outermost first.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// At most 400 characters on one line: an answer can be a whole web page.
fn one_line(text: &str) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(400) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_codes_find_their_kind_with_and_without_fault() {
        for (code, kind) in [
            ("DBInstanceNotFound", AwsErrorKind::NotFound),
            ("DBClusterNotFoundFault", AwsErrorKind::NotFound),
            ("DBSnapshotAlreadyExists", AwsErrorKind::AlreadyExists),
            ("InvalidDBInstanceState", AwsErrorKind::InvalidState),
            ("InvalidDBClusterStateFault", AwsErrorKind::InvalidState),
            ("SnapshotQuotaExceeded", AwsErrorKind::Quota),
            ("InsufficientDBInstanceCapacity", AwsErrorKind::Quota),
            (
                "KMSKeyNotAccessibleFault",
                AwsErrorKind::KmsKeyNotAccessible,
            ),
            ("InvalidParameterCombination", AwsErrorKind::InvalidRequest),
            ("Throttling", AwsErrorKind::Throttled),
            ("InvalidRestoreFault", AwsErrorKind::Refused),
        ] {
            assert_eq!(kind_of(code, Some(400)), kind, "{code}");
        }
        assert_eq!(kind_of("InternalFailure", Some(500)), AwsErrorKind::Service);
    }

    #[test]
    fn a_web_page_is_cut_to_one_line() {
        let line = one_line(&"a\n".repeat(1000));
        assert!(line.chars().count() <= 401 && !line.contains('\n'));
    }
}
