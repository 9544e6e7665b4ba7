//! The way to AWS: configuration as the SDK loads it, who we are, which regions there are, facts about keys.

mod alarms;
mod guard;
mod permissions;
mod secret;
mod token;

use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_account::types::RegionOptStatus;
use aws_sdk_rds::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use crate::answer::Seen;
use crate::error::AwsError;
use crate::limit::{Limits, PATIENCE, Tally};
use crate::rds::Rds;

pub use alarms::Alarm;
pub use atrest_model::key::{KeyFacts, Rotation};
use guard::Guarded;
pub(crate) use guard::PlainHttp;
pub use guard::is_plain_http;
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
    /// `--allow-plain-http`: an endpoint without TLS may be on another machine.
    pub allow_plain_http: bool,
}

/// Loaded configuration, and how fast its account may be asked. Cheap to clone; clones share connections and limits.
#[derive(Clone)]
pub struct Aws {
    pub(crate) config: SdkConfig,
    /// Where the account-wide services are asked, if not in the configured region.
    home: Option<String>,
    limits: Limits,
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

impl Identity {
    /// The partition of the caller: `aws`, `aws-cn`, `aws-us-gov`, …
    #[must_use]
    pub fn partition(&self) -> &str {
        self.arn.split(':').nth(1).unwrap_or("aws")
    }
}

/// A region as the account sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRegion {
    /// Name.
    pub name: String,
    /// Whether it is enabled, by default or by choice.
    pub enabled: bool,
}

/// For what the SDK does on its own: fetching credentials.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(6)
        .with_initial_backoff(Duration::from_millis(200))
}

/// For every client: reads are repeated by [`crate::limit`], mutations by nobody, see the fixer.
pub(crate) fn no_retries() -> RetryConfig {
    RetryConfig::disabled()
}

/// One set of connections for all clients. The SDK's default makes a new one for each client, and reads the machine's
/// certificates for it: here they are read once, when the first call goes over TLS.
#[derive(Debug)]
struct OneHttpClient {
    tls: SharedHttpClient,
    /// For plain HTTP: trusts nobody, so it reads no certificates.
    plain: SharedHttpClient,
    /// Also to another machine.
    allow_plain_http: bool,
}

impl OneHttpClient {
    fn new(allow_plain_http: bool) -> Self {
        let client = |trusted: fn() -> TrustStore| {
            // What the SDK's default client is made of.
            Builder::new().build_with_connector_fn(move |settings, components| {
                let context = TlsContext::builder().with_trust_store(trusted()).build();
                let mut connector = ConnectorBuilder::default()
                    .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc));
                // It fails only when certificates are given to it.
                if let Ok(context) = context {
                    connector.set_tls_context(context);
                }
                connector.set_connector_settings(settings.cloned());
                if let Some(components) = components {
                    connector.set_sleep_impl(components.sleep_impl());
                }
                connector.set_proxy_config(Some(ProxyConfig::from_env()));
                connector.build()
            })
        };
        let tls = client(TrustStore::default);
        let plain = if ProxyConfig::from_env().is_disabled() {
            client(TrustStore::empty)
        } else {
            // The way to the proxy may be TLS.
            tls.clone()
        };
        Self {
            tls,
            plain,
            allow_plain_http,
        }
    }
}

impl HttpClient for OneHttpClient {
    // The check of the base configuration is left out: it makes a connector for each client and drops it.
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Guarded {
            inner: SharedHttpConnector::new(ByScheme {
                tls: self.tls.clone(),
                plain: self.plain.clone(),
                settings: settings.clone(),
                components: components.clone(),
            }),
            allow_plain_http: self.allow_plain_http,
        })
    }
}

/// Chooses for each call; the clients keep the connectors that they have made.
#[derive(Debug)]
struct ByScheme {
    tls: SharedHttpClient,
    plain: SharedHttpClient,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for ByScheme {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = if request.uri().starts_with("http://") {
            &self.plain
        } else {
            &self.tls
        };
        client
            .http_connector(&self.settings, &self.components)
            .call(request)
    }
}

/// The longest that one call may take: a mutation that has not been answered by then has an unknown outcome.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(CALL_TIMEOUT)
        .build()
}

impl Aws {
    /// Loads environment, profile and config files. Credentials are fetched at the first call.
    pub async fn load(options: &AwsOptions) -> Self {
        let client = SharedHttpClient::new(OneHttpClient::new(options.allow_plain_http));
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client.clone())
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
        let mut config = loader.load().await;
        if let Some(profile) = &options.profile {
            // The SDK's own chain would prefer keys in the environment, which may be of another account. The AWS CLI does
            // not look at them where a profile is named.
            let around = ProviderConfig::without_region()
                .with_region(config.region().cloned())
                .with_http_client(client);
            let of_profile = ProfileFileCredentialsProvider::builder()
                .configure(&around)
                .profile_name(profile)
                .build();
            config = config
                .to_builder()
                .credentials_provider(SharedCredentialsProvider::new(of_profile))
                .build();
        }
        Self {
            config,
            home: None,
            limits: Limits::new(Tally::default(), PATIENCE),
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
            .http_client(OneHttpClient::new(false))
            .retry_config(retries())
            .timeout_config(timeouts())
            .time_source(SystemTimeSource::new())
            .build();
        Self {
            config,
            home: None,
            limits: Limits::new(Tally::default(), PATIENCE),
        }
    }

    /// Another default region. The account-wide services are still asked where they were: a region need not be enabled
    /// because somebody names it.
    #[must_use]
    pub fn with_region(self, region: &str) -> Self {
        let home = self.region_or_fallback().to_owned();
        let region = Region::new(region.to_owned());
        Self {
            config: self.config.to_builder().region(region).build(),
            home: Some(home),
            limits: self.limits,
        }
    }

    /// Counts into `tally`, and gives a call up that was throttled for longer than `patience`.
    #[must_use]
    pub fn with_limits(self, tally: &Tally, patience: Duration) -> Self {
        Self {
            config: self.config,
            home: self.home,
            limits: Limits::new(tally.clone(), patience),
        }
    }

    /// What the calls of this account, and of those that share its tally, have come to.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        self.limits.tally()
    }

    /// Calls of RDS in a region that were throttled.
    #[must_use]
    pub fn throttled(&self, region: &str) -> u64 {
        self.limits.bucket("rds", region).throttled()
    }

    pub(crate) fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// What clients of services are made of that only one caller needs.
    #[must_use]
    pub fn sdk_config(&self) -> &SdkConfig {
        &self.config
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The way to another account: limits of its own, the same connections and counts.
    pub(crate) fn in_another_account(&self, config: SdkConfig) -> Self {
        Self {
            config,
            home: self.home.clone(),
            limits: self.limits.of_another_account(),
        }
    }

    /// The region from which the account-wide services are asked: any answers for them.
    pub(crate) fn region_or_fallback(&self) -> &str {
        self.home
            .as_deref()
            .or(self.region())
            .unwrap_or(FALLBACK_REGION)
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
            .retry_config(no_retries())
            .build();
        Rds::new(
            aws_sdk_rds::Client::from_conf(config),
            region,
            self.limits.bucket("rds", region),
        )
    }

    /// `sts:GetCallerIdentity`.
    pub async fn identity(&self) -> Result<Identity, AwsError> {
        let region = self.region_or_fallback();
        let config = aws_sdk_sts::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .retry_config(no_retries())
            .build();
        let request = aws_sdk_sts::Client::from_conf(config).get_caller_identity();
        let answer = self
            .limits
            .bucket("sts", region)
            .call(|| {
                let request = request.clone();
                Box::pin(async move {
                    request
                        .send()
                        .await
                        .map_err(|e| AwsError::from_sdk("GetCallerIdentity", region, &e))
                })
            })
            .await?;
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

    /// Every region the account could have (`account:ListRegions`), sorted by name.
    ///
    /// # Errors
    ///
    /// A failed call, or a list with nothing in it.
    pub async fn account_regions(&self) -> Result<Vec<AccountRegion>, AwsError> {
        let region = self.region_or_fallback();
        let config = aws_sdk_account::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .retry_config(no_retries())
            .build();
        let client = aws_sdk_account::Client::from_conf(config);
        let bucket = self.limits.bucket("account", region);
        let mut regions: Vec<AccountRegion> = Vec::new();
        let mut token: Option<String> = None;
        let mut tokens = Seen::default();
        loop {
            let request = client.list_regions().set_next_token(token.clone());
            let page = bucket
                .call(|| {
                    let request = request.clone();
                    Box::pin(async move {
                        request
                            .send()
                            .await
                            .map_err(|e| AwsError::from_sdk("ListRegions", region, &e))
                    })
                })
                .await?;
            regions.extend(page.regions().iter().filter_map(|found| {
                Some(AccountRegion {
                    name: found.region_name()?.to_owned(),
                    enabled: matches!(
                        found.region_opt_status(),
                        Some(RegionOptStatus::Enabled | RegionOptStatus::EnabledByDefault)
                    ),
                })
            }));
            let next = page.next_token().map(str::to_owned);
            if next.is_none() {
                break;
            }
            if !tokens.goes_on(next.as_deref()) {
                return Err(AwsError::bad_answer(
                    "ListRegions",
                    region,
                    "its pages do not end",
                ));
            }
            token = next;
        }
        regions.sort_by(|a, b| a.name.cmp(&b.name));
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
