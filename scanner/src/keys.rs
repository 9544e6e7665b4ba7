//! KMS keys: one `DescribeKey` for each key that something names, never one for each resource.

use atrest_model::key::{KeyFacts, Rotation};
use aws_config::Region;
use aws_sdk_kms::Client;
use aws_sdk_kms::types::KeyMetadata;
use aws_smithy_types::date_time::Format;

use crate::aws::{Aws, no_retries};
use crate::error::{AwsError, AwsErrorKind};
use crate::limit::Bucket;

/// KMS in one region.
#[derive(Debug, Clone)]
pub(crate) struct Kms {
    client: Client,
    region: String,
    bucket: Bucket,
}

impl Aws {
    pub(crate) fn kms(&self, region: &str) -> Kms {
        let config = aws_sdk_kms::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .retry_config(no_retries())
            .build();
        Kms {
            client: Client::from_conf(config),
            region: region.to_owned(),
            bucket: self.limits().bucket("kms", region),
        }
    }

    /// `kms:DescribeKey` of an id, ARN, alias name or alias ARN. Whether it rotates is not asked.
    pub async fn describe_key(&self, region: &str, key: &str) -> Result<KeyFacts, AwsError> {
        self.kms(region).describe(key).await
    }
}

impl Kms {
    /// `DescribeKey`.
    pub(crate) async fn describe(&self, key: &str) -> Result<KeyFacts, AwsError> {
        let region = &self.region;
        let request = self.client.describe_key().key_id(key);
        let sent = self.bucket.call(|| {
            let request = request.clone();
            Box::pin(async move {
                request
                    .send()
                    .await
                    .map_err(|e| AwsError::from_sdk("DescribeKey", region, &e))
            })
        });
        let answer = sent.await.map_err(|mut error| {
            if error.kind == AwsErrorKind::NotFound {
                error.message = format!("no KMS key {key:?} in {region}");
            }
            error
        })?;
        let metadata = answer
            .key_metadata()
            .ok_or_else(|| AwsError::bad_answer("DescribeKey", region, "no key in it"))?;
        Ok(facts(metadata))
    }

    /// `GetKeyRotationStatus`. Many identities may not ask; that is unknown and no failure of the scan.
    pub(crate) async fn rotation(&self, key: &str) -> Rotation {
        let (region, request) = (
            &self.region,
            self.client.get_key_rotation_status().key_id(key),
        );
        let sent = self.bucket.call(|| {
            let request = request.clone();
            Box::pin(async move {
                request
                    .send()
                    .await
                    .map_err(|e| AwsError::from_sdk("GetKeyRotationStatus", region, &e))
            })
        });
        match sent.await {
            Ok(answer) if answer.key_rotation_enabled() => Rotation::On,
            Ok(_) => Rotation::Off,
            Err(_not_told) => Rotation::Unknown,
        }
    }
}

fn facts(metadata: &KeyMetadata) -> KeyFacts {
    let text = |value: Option<&str>| value.unwrap_or("unknown").to_owned();
    let mut facts = KeyFacts {
        arn: text(metadata.arn()),
        state: text(metadata.key_state().map(|s| s.as_str())),
        usage: text(metadata.key_usage().map(|s| s.as_str())),
        spec: text(metadata.key_spec().map(|s| s.as_str())),
        manager: text(metadata.key_manager().map(|s| s.as_str())),
        origin: text(metadata.origin().map(|s| s.as_str())),
        multi_region: metadata.multi_region().unwrap_or(false),
        deletion_date: metadata
            .deletion_date()
            .and_then(|date| date.fmt(Format::DateTime).ok()),
        rotation: Rotation::Unknown,
    };
    if !facts.can_rotate() {
        facts.rotation = Rotation::NotApplicable;
    }
    facts
}
