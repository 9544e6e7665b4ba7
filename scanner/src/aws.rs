//! The way to AWS: configuration as the SDK loads it, who we are, which regions there are, facts about keys.

mod permissions;
mod secret;
mod token;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_rds::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_async::time::SystemTimeSource;

use crate::error::AwsError;
use crate::rds::Rds;

pub use atrest_model::key::{KeyFacts, Rotation};
pub use permissions::{Decided, Decision, Question};
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
    pub(crate) config: SdkConfig,
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
}
