//! Where the objects lie: S3, with conditional writes, and the store's own time with every answer.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use atrest_scanner::aws::Aws;
use atrest_scanner::error::{AwsError, AwsErrorKind};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{ConfigBag, Intercept, Region, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::ByteStream;
use futures::future::BoxFuture;
use jiff::Timestamp;

/// Largest object that is read: more than any journal has.
const LARGEST: i64 = 64 << 20;

/// A bucket and a prefix in it, `s3://bucket/prefix[?region=REGION]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedUrl {
    bucket: String,
    /// Without slashes at its ends; may be empty.
    prefix: String,
    region: Option<String>,
}

impl fmt::Display for SharedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        match &self.region {
            Some(region) => write!(f, "?region={region}"),
            None => Ok(()),
        }
    }
}

/// Not the URL of a place for shared state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form s3://bucket/prefix")]
pub struct InvalidSharedUrl(String);

impl FromStr for SharedUrl {
    type Err = InvalidSharedUrl;

    fn from_str(text: &str) -> Result<Self, InvalidSharedUrl> {
        let wrong = || InvalidSharedUrl(text.to_owned());
        let rest = text.strip_prefix("s3://").ok_or_else(wrong)?;
        let (rest, region) = match rest.split_once('?') {
            None => (rest, None),
            Some((rest, query)) => {
                let region = query.strip_prefix("region=").ok_or_else(wrong)?;
                (rest, Some(region.to_owned()))
            }
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let of = |text: &str, more: &[u8]| {
            text.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || more.contains(&b))
        };
        let region_fits = region
            .as_deref()
            .is_none_or(|region| !region.is_empty() && of(region, b"-"));
        if !(3..=63).contains(&bucket.len()) || !of(bucket, b"-.") || !region_fits {
            return Err(wrong());
        }
        let prefix = prefix.trim_matches('/');
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"!-_.*'()/".contains(&b);
        if !prefix.bytes().all(safe) || prefix.len() > 512 {
            return Err(wrong());
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            region,
        })
    }
}

impl SharedUrl {
    /// The key of something below the prefix.
    fn key(&self, name: &str) -> String {
        match self.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }
}

/// Condition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum When {
    /// Nothing has the key.
    Absent,
    /// The object with this ETag has it.
    Is(String),
}

/// What a key had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Got {
    /// The time of the store.
    pub(super) now: Timestamp,
    /// Content and ETag.
    pub(super) object: Option<(Vec<u8>, String)>,
}

/// Answer to a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Put {
    /// It is written.
    Written {
        /// The time of the store.
        now: Timestamp,
        /// ETag of what was written.
        etag: String,
    },
    /// The condition does not hold; nothing was written.
    NotAsExpected,
}

pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, AwsError>>;

/// A store of objects with conditional writes. Tests have one of their own.
pub(super) trait Objects: fmt::Debug + Send + Sync {
    fn get<'a>(&'a self, name: &'a str) -> Answer<'a, Got>;
    fn put<'a>(&'a self, name: &'a str, body: Vec<u8>, when: &'a When) -> Answer<'a, Put>;
    /// Names of the objects that lie directly below the prefix.
    fn list(&self) -> Answer<'_, Vec<String>>;
}

/// S3.
#[derive(Debug)]
pub(super) struct Bucket {
    client: Client,
    url: SharedUrl,
    region: String,
}

impl Bucket {
    /// `limit` is the longest that one call may take.
    pub(super) fn new(aws: &Aws, url: SharedUrl, limit: Duration) -> Self {
        let region = url.region.as_deref().or(aws.region());
        let region = region.unwrap_or("us-east-1").to_owned();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(limit / 2)
            .operation_timeout(limit)
            .build();
        // A write that is sent again has another answer: the loop above decides about that.
        let mut config = aws_sdk_s3::config::Builder::from(aws.sdk_config())
            .region(Region::new(region.clone()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if aws.sdk_config().endpoint_url().is_some() {
            // A server of one's own has no name for each bucket.
            config = config.force_path_style(true);
        }
        Self {
            client: Client::from_conf(config.build()),
            url,
            region,
        }
    }

    fn bad(&self, operation: &'static str, why: &str) -> AwsError {
        AwsError {
            operation,
            region: self.region.clone(),
            kind: AwsErrorKind::BadAnswer,
            code: None,
            message: format!("the answer is not one of S3: {why}"),
        }
    }
}

impl Objects for Bucket {
    fn get<'a>(&'a self, name: &'a str) -> Answer<'a, Got> {
        const OPERATION: &str = "GetObject";
        Box::pin(async move {
            let date = Date::default();
            let answer = self
                .client
                .get_object()
                .bucket(&self.url.bucket)
                .key(self.url.key(name))
                .customize()
                .interceptor(date.clone())
                .send()
                .await;
            let object = match answer {
                Ok(answer) => {
                    if answer.content_length().is_some_and(|n| n > LARGEST) {
                        return Err(self.bad(OPERATION, "the object is too large"));
                    }
                    let etag = answer.e_tag().unwrap_or_default().to_owned();
                    let body = answer.body.collect().await;
                    let body = body.map_err(|e| AwsError {
                        kind: AwsErrorKind::Unreachable,
                        ..self.bad(OPERATION, &e.to_string())
                    })?;
                    Some((body.to_vec(), etag))
                }
                Err(error)
                    if error.as_service_error().is_some_and(
                        aws_sdk_s3::operation::get_object::GetObjectError::is_no_such_key,
                    ) =>
                {
                    None
                }
                Err(error) => return Err(AwsError::from_sdk(OPERATION, &self.region, &error)),
            };
            if object.as_ref().is_some_and(|(_, etag)| etag.is_empty()) {
                return Err(self.bad(OPERATION, "no ETag in it"));
            }
            let now = date
                .get()
                .ok_or_else(|| self.bad(OPERATION, "no date in it"))?;
            Ok(Got { now, object })
        })
    }

    fn put<'a>(&'a self, name: &'a str, body: Vec<u8>, when: &'a When) -> Answer<'a, Put> {
        const OPERATION: &str = "PutObject";
        Box::pin(async move {
            let date = Date::default();
            let request = self
                .client
                .put_object()
                .bucket(&self.url.bucket)
                .key(self.url.key(name))
                .content_type("application/json")
                .body(ByteStream::from(body));
            let request = match when {
                When::Absent => request.if_none_match("*"),
                When::Is(etag) => request.if_match(etag),
            };
            match request.customize().interceptor(date.clone()).send().await {
                Ok(answer) => {
                    let etag = answer.e_tag().unwrap_or_default().to_owned();
                    let now = date
                        .get()
                        .ok_or_else(|| self.bad(OPERATION, "no date in it"))?;
                    if etag.is_empty() {
                        return Err(self.bad(OPERATION, "no ETag in it"));
                    }
                    Ok(Put::Written { now, etag })
                }
                Err(error) => {
                    let status = error.raw_response().map(|r| r.status().as_u16());
                    let error = AwsError::from_sdk(OPERATION, &self.region, &error);
                    match (status, error.code.as_deref()) {
                        // 412: another object is there. 404 without a name: the object to be replaced is gone.
                        (Some(412), _) | (Some(404), Some("NoSuchKey")) => Ok(Put::NotAsExpected),
                        // 409: two writes met, and S3 asks for another attempt.
                        (Some(409), Some("ConditionalRequestConflict")) => Err(AwsError {
                            kind: AwsErrorKind::Service,
                            ..error
                        }),
                        _ => Err(error),
                    }
                }
            }
        })
    }

    fn list(&self) -> Answer<'_, Vec<String>> {
        const OPERATION: &str = "ListObjectsV2";
        Box::pin(async move {
            let prefix = self.url.key("");
            let mut names = Vec::new();
            let mut token: Option<String> = None;
            loop {
                let page = self
                    .client
                    .list_objects_v2()
                    .bucket(&self.url.bucket)
                    .prefix(&prefix)
                    .delimiter("/")
                    .set_continuation_token(token.clone())
                    .send()
                    .await
                    .map_err(|e| AwsError::from_sdk(OPERATION, &self.region, &e))?;
                let keys = page.contents().iter().filter_map(|object| object.key());
                names.extend(
                    keys.filter_map(|key| key.strip_prefix(&prefix))
                        .filter(|name| name.ends_with(SUFFIX))
                        .map(str::to_owned),
                );
                let next = page.next_continuation_token().map(str::to_owned);
                if next.is_none() {
                    return Ok(names);
                }
                if next == token {
                    return Err(self.bad(OPERATION, "its pages do not end"));
                }
                token = next;
            }
        })
    }
}

const SUFFIX: &str = ".json";

/// Name of the object of a DB instance or cluster.
pub(super) fn name_of(resource_id: &str) -> String {
    format!("{resource_id}{SUFFIX}")
}

/// Name of the document of a phase.
pub(super) fn name_of_phase(run: &str, phase: &str) -> String {
    format!("runs/{run}/{phase}{SUFFIX}")
}

/// The date of an answer: the time of the store, to the second, and never ahead of it.
#[derive(Debug, Clone, Default)]
struct Date(Arc<Mutex<Option<Timestamp>>>);

impl Date {
    fn get(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Date {
    fn name(&self) -> &'static str {
        "Date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context
            .response()
            .headers()
            .get("date")
            .and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date.map(|date| date.timestamp());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_bucket_and_a_prefix() {
        for (text, key) in [
            ("s3://state", "db-X.json"),
            ("s3://state/", "db-X.json"),
            ("s3://team-state/a/b/", "a/b/db-X.json"),
            ("s3://state/a?region=eu-west-1", "a/db-X.json"),
        ] {
            let url: SharedUrl = text.parse().unwrap();
            assert_eq!(url.key(&name_of("db-X")), key, "{text}");
            assert_eq!(url.to_string().parse::<SharedUrl>(), Ok(url), "{text}");
        }
        for bad in [
            "",
            "state",
            "https://state/a",
            "s3://",
            "s3://ab",
            "s3://State",
            "s3://state/a b",
            "s3://state/a?x=1",
            "s3://state?region=",
        ] {
            assert!(bad.parse::<SharedUrl>().is_err(), "{bad}");
        }
    }
}
