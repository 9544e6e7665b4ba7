//! KMS keys: one `DescribeKey` for each key that something names, never one for each resource.

use atrest_model::key::{KeyFacts, Rotation};
use aws_config::Region;
use aws_sdk_kms::Client;
use aws_sdk_kms::types::KeyMetadata;
use aws_smithy_types::date_time::Format;

use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind};

impl Aws {
    fn kms(&self, region: &str) -> Client {
        let config = aws_sdk_kms::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .build();
        Client::from_conf(config)
    }

    /// `kms:DescribeKey` of an id, ARN, alias name or alias ARN. Whether it rotates is not asked.
    pub async fn describe_key(&self, region: &str, key: &str) -> Result<KeyFacts, AwsError> {
        describe(&self.kms(region), region, key).await
    }
}

async fn describe(client: &Client, region: &str, key: &str) -> Result<KeyFacts, AwsError> {
    let answer = client
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
    Ok(facts(metadata))
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
