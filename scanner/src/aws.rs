//! The way to AWS: configuration as the SDK loads it, who we are, which regions there are, facts about keys.

mod secret;
mod token;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_rds::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_async::time::SystemTimeSource;

use crate::error::{AwsError, AwsErrorKind};
use crate::rds::Rds;

pub use secret::{DatabaseSecret, SecretError};
pub use token::TokenError;

/// Region used where only some region is needed: STS and Account answer from any.
const FALLBACK_REGION: &str = "us-east-1";

/// What the command line may override; everything else is read as every AWS tool reads it.
#[derive(Debug, Clone, Default)]
pub struct AwsOptions {
    /// `--profile`.
    pub profile: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// `--endpoint-url`, for every service and region.
    pub endpoint_url: Option<String>,
}

/// Loaded configuration. Cheap to clone.
#[derive(Clone)]
pub struct Aws {
    config: SdkConfig,
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws")
            .field("region", &self.region())
            .finish_non_exhaustive()
    }
}

/// Who the credentials belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Account id.
    pub account: String,
    /// ARN of the caller.
    pub arn: String,
}

/// Facts about a KMS key from `DescribeKey`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// Key ARN: the form RDS answers with, whatever form was asked for.
    pub arn: String,
    /// `KeyState`.
    pub state: String,
    /// `KeyUsage`.
    pub usage: String,
    /// `KeySpec`.
    pub spec: String,
    /// `KeyManager`: `AWS` or `CUSTOMER`.
    pub manager: String,
}

impl KeyFacts {
    /// Why RDS would refuse to encrypt under this key; `None` if it would not. RDS takes enabled symmetric
    /// encryption keys only.
    #[must_use]
    pub fn why_unusable(&self) -> Option<String> {
        if self.state != "Enabled" {
            return Some(format!("key {} is {}, not Enabled", self.arn, self.state));
        }
        if self.usage != "ENCRYPT_DECRYPT" {
            return Some(format!(
                "key {} is for {}, not ENCRYPT_DECRYPT",
                self.arn, self.usage
            ));
        }
        if self.spec != "SYMMETRIC_DEFAULT" {
            return Some(format!(
                "key {} is {}, not SYMMETRIC_DEFAULT",
                self.arn, self.spec
            ));
        }
        None
    }
}

/// Reads are repeated by the SDK; mutations are not, see the fixer.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(6)
        .with_initial_backoff(Duration::from_millis(200))
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(60))
        .build()
}

impl Aws {
    /// Loads environment, profile and config files. Credentials are fetched at the first call.
    pub async fn load(options: &AwsOptions) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(retries())
            .timeout_config(timeouts());
        if let Some(profile) = &options.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &options.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        Self {
            config: loader.load().await,
        }
    }

    /// A fixed endpoint with fixed credentials: nothing of the environment is read.
    #[must_use]
    pub fn fixed(
        endpoint_url: &str,
        region: &str,
        access_key_id: &str,
        secret_access_key: &str,
    ) -> Self {
        let credentials = Credentials::new(access_key_id, secret_access_key, None, None, "fixed");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .endpoint_url(endpoint_url)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(retries())
            .timeout_config(timeouts())
            .time_source(SystemTimeSource::new())
            .build();
        Self { config }
    }

    /// The configured region, if there is one.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.config.region().map(AsRef::as_ref)
    }

    /// RDS in a region.
    #[must_use]
    pub fn rds(&self, region: &str) -> Rds {
        let config = aws_sdk_rds::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .build();
        Rds::new(aws_sdk_rds::Client::from_conf(config), region)
    }

    /// `sts:GetCallerIdentity`.
    pub async fn identity(&self) -> Result<Identity, AwsError> {
        let region = self.region().unwrap_or(FALLBACK_REGION);
        let config = aws_sdk_sts::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .build();
        let answer = aws_sdk_sts::Client::from_conf(config)
            .get_caller_identity()
            .send()
            .await
            .map_err(|e| AwsError::from_sdk("GetCallerIdentity", region, &e))?;
        match (answer.account(), answer.arn()) {
            (Some(account), Some(arn)) => Ok(Identity {
                account: account.to_owned(),
                arn: arn.to_owned(),
            }),
            _ => Err(AwsError::bad_answer(
                "GetCallerIdentity",
                region,
                "no account in it",
            )),
        }
    }

    /// Regions that are enabled for the account (`account:ListRegions`), sorted.
    pub async fn enabled_regions(&self) -> Result<Vec<String>, AwsError> {
        use aws_sdk_account::types::RegionOptStatus;
        let region = self.region().unwrap_or(FALLBACK_REGION);
        let config = aws_sdk_account::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .build();
        let client = aws_sdk_account::Client::from_conf(config);
        let mut pages = client
            .list_regions()
            .region_opt_status_contains(RegionOptStatus::Enabled)
            .region_opt_status_contains(RegionOptStatus::EnabledByDefault)
            .into_paginator()
            .send();
        let mut regions = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| AwsError::from_sdk("ListRegions", region, &e))?;
            regions.extend(
                page.regions()
                    .iter()
                    .filter_map(|r| r.region_name().map(str::to_owned)),
            );
        }
        regions.sort();
        if regions.is_empty() {
            return Err(AwsError::bad_answer(
                "ListRegions",
                region,
                "no region in it",
            ));
        }
        Ok(regions)
    }

    /// `kms:DescribeKey` of an id, ARN, alias name or alias ARN.
    pub async fn describe_key(&self, region: &str, key: &str) -> Result<KeyFacts, AwsError> {
        let config = aws_sdk_kms::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .build();
        let answer = aws_sdk_kms::Client::from_conf(config)
            .describe_key()
            .key_id(key)
            .send()
            .await
            .map_err(|e| {
                let mut error = AwsError::from_sdk("DescribeKey", region, &e);
                if error.kind == AwsErrorKind::NotFound {
                    error.message = format!("no KMS key {key:?} in {region}");
                }
                error
            })?;
        let metadata = answer
            .key_metadata()
            .ok_or_else(|| AwsError::bad_answer("DescribeKey", region, "no key in it"))?;
        let text = |value: Option<&str>| value.unwrap_or("unknown").to_owned();
        Ok(KeyFacts {
            arn: text(metadata.arn()),
            state: text(metadata.key_state().map(|s| s.as_str())),
            usage: text(metadata.key_usage().map(|s| s.as_str())),
            spec: text(metadata.key_spec().map(|s| s.as_str())),
            manager: text(metadata.key_manager().map(|s| s.as_str())),
        })
    }
}
