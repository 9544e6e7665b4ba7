//! What a call of `CreateDBInstance` asks for, whatever kind of instance it is about: syntax only.

use super::super::error::ApiError;
use super::super::modify::{Insights, Monitoring};
use super::super::names::instance_id;
use super::super::params::Params;
use super::super::state::Tag;
use super::super::{tags, windows};
use super::{check_class, check_engine};

/// Members that standalone instances and cluster members share.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: String,
    pub(super) class: String,
    pub(super) engine: String,
    pub(super) engine_version: Option<String>,
    pub(super) parameter_group: Option<String>,
    pub(super) option_group: Option<String>,
    pub(super) subnet_group: Option<String>,
    pub(super) maintenance_window: Option<String>,
    pub(super) auto_minor_version_upgrade: bool,
    pub(super) publicly_accessible: bool,
    pub(super) copy_tags: bool,
    pub(super) deletion_protection: bool,
    pub(super) encrypt: Option<bool>,
    pub(super) kms_key: Option<String>,
    pub(super) promotion_tier: Option<i64>,
    pub(super) ca: Option<String>,
    pub(super) tags: Vec<Tag>,
    pub(super) monitoring: Monitoring,
    pub(super) insights: Insights,
}

impl Request {
    pub(super) fn read(params: &Params) -> Result<Self, ApiError> {
        let id = instance_id(
            "DBInstanceIdentifier",
            &params.required("DBInstanceIdentifier")?,
        )?;
        let class = params.required("DBInstanceClass")?;
        let engine = params.required("Engine")?.to_ascii_lowercase();
        check_engine(&engine)?;
        check_class(&engine, &class)?;
        // Retired with EC2-Classic.
        if params
            .list("DBSecurityGroups")
            .is_some_and(|groups| !groups.is_empty())
        {
            return Err(ApiError::combination(
                "DB security groups are no longer supported; specify VPC security groups.",
            ));
        }
        let promotion_tier = params.integer("PromotionTier")?;
        if promotion_tier.is_some_and(|tier| !(0..=15).contains(&tier)) {
            return Err(ApiError::value("PromotionTier must be between 0 and 15."));
        }
        let maintenance_window = params
            .text("PreferredMaintenanceWindow")
            .map(|window| window.to_ascii_lowercase());
        windows::check(
            params.text("PreferredBackupWindow").as_deref(),
            maintenance_window.as_deref(),
        )?;
        let lower = |name: &str| params.text(name).map(|text| text.to_ascii_lowercase());
        Ok(Self {
            id,
            class,
            engine,
            engine_version: params.text("EngineVersion"),
            parameter_group: lower("DBParameterGroupName"),
            option_group: lower("OptionGroupName"),
            subnet_group: lower("DBSubnetGroupName"),
            maintenance_window,
            auto_minor_version_upgrade: params.boolean("AutoMinorVersionUpgrade")?.unwrap_or(true),
            publicly_accessible: params.boolean("PubliclyAccessible")?.unwrap_or(false),
            copy_tags: params.boolean("CopyTagsToSnapshot")?.unwrap_or(false),
            deletion_protection: params.boolean("DeletionProtection")?.unwrap_or(false),
            encrypt: params.boolean("StorageEncrypted")?,
            kms_key: params.text("KmsKeyId"),
            promotion_tier,
            ca: params.text("CACertificateIdentifier"),
            tags: tags::from_request(params, "Tags")?.unwrap_or_default(),
            monitoring: Monitoring::read(params)?,
            insights: Insights::read(params)?,
        })
    }
}
