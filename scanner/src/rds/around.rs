//! What surrounds the instances: what is offered, what is left of the quotas, and who depends on whom.

use aws_sdk_rds::types::Filter;
use serde_json::Value;

use super::{Listing, Rds};
use crate::answer::{body, pages};
use crate::error::AwsError;
use crate::xml;
use atrest_model::document::list_of;

impl Rds {
    /// `DescribeOrderableDBInstanceOptions` of one engine version, all classes.
    pub async fn orderable_classes(
        &self,
        engine: &str,
        version: &str,
    ) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribeOrderableDBInstanceOptions",
            "OrderableDBInstanceOptions",
            self.client
                .describe_orderable_db_instance_options()
                .engine(engine)
                .engine_version(version)
                .max_records(1000)
        )
        .whole()
    }

    /// `DescribeAccountAttributes`: quotas with what is used of them. Nothing is paged.
    pub async fn quotas(&self) -> Result<Vec<Value>, AwsError> {
        const OPERATION: &str = "DescribeAccountAttributes";
        let answer = body!(
            self,
            "DescribeAccountAttributes",
            self.client.describe_account_attributes()
        )?;
        let document = xml::result_document(&answer, OPERATION, None)
            .map_err(|error| AwsError::bad_answer(OPERATION, &self.region, &error.to_string()))?;
        Ok(list_of(&document, "AccountQuotas").to_vec())
    }

    /// `DescribePendingMaintenanceActions` of every resource that has one.
    pub async fn pending_maintenance(&self) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribePendingMaintenanceActions",
            "PendingMaintenanceActions",
            self.client.describe_pending_maintenance_actions()
        )
        .whole()
    }

    /// `DescribeOptionGroups`: every group.
    pub async fn option_groups(&self) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribeOptionGroups",
            "OptionGroupsList",
            self.client.describe_option_groups()
        )
        .whole()
    }

    /// `DescribeCertificates`: the certificate authorities.
    pub async fn certificates(&self) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribeCertificates",
            "Certificates",
            self.client.describe_certificates()
        )
        .whole()
    }

    /// `DescribeEventSubscriptions`.
    pub async fn event_subscriptions(&self) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribeEventSubscriptions",
            "EventSubscriptionsList",
            self.client.describe_event_subscriptions()
        )
        .whole()
    }

    /// `DescribeIntegrations`: zero-ETL integrations, by the ARN of their source.
    pub async fn integrations(&self) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribeIntegrations",
            "Integrations",
            self.client.describe_integrations()
        )
        .whole()
    }

    /// `DescribeDBInstanceAutomatedBackups` of one instance, by its resource id, living or deleted.
    pub async fn automated_backups_of(&self, dbi_resource_id: &str) -> Result<Listing, AwsError> {
        let wanted = Filter::builder()
            .name("dbi-resource-id")
            .values(dbi_resource_id)
            .build();
        pages!(
            self,
            "DescribeDBInstanceAutomatedBackups",
            "DBInstanceAutomatedBackups",
            self.client
                .describe_db_instance_automated_backups()
                .filters(wanted.clone())
        )
        .whole()
    }

    /// `DescribeDBProxies`.
    pub async fn proxies(&self) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribeDBProxies",
            "DBProxies",
            self.client.describe_db_proxies()
        )
        .whole()
    }

    /// `DescribeDBProxyTargets` of one proxy.
    pub async fn proxy_targets(&self, proxy: &str) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribeDBProxyTargets",
            "Targets",
            self.client.describe_db_proxy_targets().db_proxy_name(proxy)
        )
        .whole()
    }

    /// `DescribeBlueGreenDeployments`.
    pub async fn blue_green_deployments(&self) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribeBlueGreenDeployments",
            "BlueGreenDeployments",
            self.client.describe_blue_green_deployments()
        )
        .whole()
    }
}
