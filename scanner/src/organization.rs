//! The accounts of an organization, and the role that is assumed in each.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::Region;
use aws_config::identity::IdentityCache;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_rds::config::Credentials;
use tokio::sync::Mutex;

use crate::answer::Seen;
use crate::aws::Aws;
use crate::error::AwsError;
use crate::limit::Bucket;

/// Credentials that end sooner than this are renewed: longer than any call may take.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// Longest wait for new credentials; STS may be throttled by other programs of the account.
const RENEWAL: Duration = Duration::from_secs(60);

/// An account of the organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Account id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `State`, as Organizations writes it: only an `ACTIVE` account can be read.
    pub state: String,
}

impl Member {
    /// Whether it can be read at all.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == "ACTIVE"
    }
}

/// A role in another account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// ARN.
    pub arn: String,
    /// `ExternalId`, where the role's trust policy asks for one.
    pub external_id: Option<String>,
    /// `RoleSessionName`: who it was, in CloudTrail.
    pub session_name: String,
}

impl Aws {
    /// `organizations:ListAccounts`: every account, sorted by id. The management account and delegated administrators
    /// may ask.
    ///
    /// # Errors
    ///
    /// A failed call.
    pub async fn organization_accounts(&self, partition: &str) -> Result<Vec<Member>, AwsError> {
        // Organizations has one endpoint a partition, and wants its region in the signature.
        let region = crate::regions::partition(partition).map_or("us-east-1", |p| p.global);
        let config = aws_sdk_organizations::config::Builder::from(self.config())
            .region(Region::new(region))
            .retry_config(crate::aws::no_retries())
            .build();
        let client = aws_sdk_organizations::Client::from_conf(config);
        let bucket = self.limits().bucket("organizations", region);
        let mut members = Vec::new();
        let mut token: Option<String> = None;
        let mut tokens = Seen::default();
        loop {
            let request = client.list_accounts().set_next_token(token.take());
            let page = bucket
                .call(|| {
                    let request = request.clone();
                    Box::pin(async move {
                        request
                            .send()
                            .await
                            .map_err(|e| AwsError::from_sdk("ListAccounts", region, &e))
                    })
                })
                .await?;
            // A page may be empty and not be the last.
            members.extend(page.accounts().iter().filter_map(|account| {
                Some(Member {
                    id: account.id()?.to_owned(),
                    name: account.name().unwrap_or_default().to_owned(),
                    state: state_of(account),
                })
            }));
            token = page.next_token().map(str::to_owned);
            if !tokens.goes_on(token.as_deref()) {
                return Err(AwsError::bad_answer(
                    "ListAccounts",
                    region,
                    "its pages do not end",
                ));
            }
            if token.is_none() {
                members.sort_by(|a, b| a.id.cmp(&b.id));
                members.dedup_by(|a, b| a.id == b.id);
                return Ok(members);
            }
        }
    }

    /// The same configuration in another account, by `sts:AssumeRole`. The role is assumed once here, so that a refusal
    /// is this call's error, and again whenever its credentials come to their end.
    ///
    /// # Errors
    ///
    /// A failed call.
    pub async fn assume(&self, role: Role) -> Result<Self, AwsError> {
        let region = self.region_or_fallback().to_owned();
        let config = aws_sdk_sts::config::Builder::from(self.config())
            .region(Region::new(region.clone()))
            .retry_config(crate::aws::no_retries())
            .build();
        let provider = Assumed(Arc::new(Session {
            sts: aws_sdk_sts::Client::from_conf(config),
            bucket: self.limits().bucket("sts", &region),
            region,
            role,
            held: Mutex::new(None),
        }));
        provider.credentials().await?;
        let config = self
            .config()
            .to_builder()
            .credentials_provider(SharedCredentialsProvider::new(provider))
            .identity_cache(IdentityCache::lazy().load_timeout(RENEWAL).build())
            .build();
        Ok(self.in_another_account(config))
    }
}

/// `State`, and where a service does not send it yet, `Status`, which it replaces.
fn state_of(account: &aws_sdk_organizations::types::Account) -> String {
    let state = account.state().map(|state| state.as_str());
    let status = account.status().map(|status| status.as_str());
    state.or(status).unwrap_or("UNKNOWN").to_owned()
}

/// Credentials of a role, for the SDK.
#[derive(Debug)]
struct Assumed(Arc<Session>);

struct Session {
    sts: aws_sdk_sts::Client,
    bucket: Bucket,
    region: String,
    role: Role,
    /// The last ones. One lock, so that many calls at the end of an hour assume the role once.
    held: Mutex<Option<Credentials>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Assumed {
    async fn credentials(&self) -> Result<Credentials, AwsError> {
        let session = &self.0;
        let mut held = session.held.lock().await;
        let fresh = held.as_ref().filter(|credentials| {
            credentials
                .expiry()
                .is_some_and(|expiry| expiry > SystemTime::now() + RENEW_BEFORE)
        });
        if let Some(credentials) = fresh {
            return Ok(credentials.clone());
        }
        let credentials = session.assume().await?;
        *held = Some(credentials.clone());
        Ok(credentials)
    }
}

impl Session {
    async fn assume(&self) -> Result<Credentials, AwsError> {
        let request = self
            .sts
            .assume_role()
            .role_arn(&self.role.arn)
            .role_session_name(&self.role.session_name)
            .set_external_id(self.role.external_id.clone());
        let answer = self
            .bucket
            .call(|| {
                let request = request.clone();
                Box::pin(async move {
                    request
                        .send()
                        .await
                        .map_err(|e| AwsError::from_sdk("AssumeRole", &self.region, &e))
                })
            })
            .await?;
        let credentials = answer.credentials().ok_or_else(|| {
            AwsError::bad_answer("AssumeRole", &self.region, "no credentials in it")
        })?;
        Ok(Credentials::new(
            credentials.access_key_id(),
            credentials.secret_access_key(),
            Some(credentials.session_token().to_owned()),
            SystemTime::try_from(*credentials.expiration()).ok(),
            "assumed role",
        ))
    }
}

impl ProvideCredentials for Assumed {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            self.credentials()
                .await
                .map_err(CredentialsError::provider_error)
        })
    }
}
