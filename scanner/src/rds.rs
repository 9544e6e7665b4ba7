//! RDS reads: one method a call, all pages, whole documents.

use std::sync::Arc;

use atrest_model::instance::{DbCluster, DbInstance};
use atrest_model::keep::Keep;
use atrest_model::resource::{GroupKind, PARAMETERS};
use atrest_model::scan::ResourceKind;
use aws_sdk_rds::Client;
use aws_sdk_rds::types::Filter;
use serde_json::Value;

use crate::answer::pages;
use crate::error::AwsError;
use crate::inventory::Noting;
use crate::limit::Bucket;

pub use crate::answer::{Listing, Reading};

/// RDS in one region. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rds {
    client: Client,
    region: String,
    bucket: Bucket,
    keep: Arc<Keep>,
    noting: Option<Noting>,
}

mod around;

impl Rds {
    /// `client` must not repeat calls: the bucket does.
    pub(crate) fn new(client: Client, region: &str, bucket: Bucket) -> Self {
        Self {
            client,
            region: region.to_owned(),
            bucket,
            keep: Arc::default(),
            noting: None,
        }
    }

    /// Keeps only some members of what is listed.
    #[must_use]
    pub fn keeping(self, keep: Arc<Keep>) -> Self {
        Self { keep, ..self }
    }

    /// Tells what listed things name as soon as their page is read.
    pub(crate) fn noting(self, noting: Noting) -> Self {
        Self {
            noting: Some(noting),
            ..self
        }
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The SDK's client, for the fixer's mutations.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// `DescribeDBInstances`: every instance, members of clusters, Neptune and DocumentDB included.
    pub async fn db_instances(&self) -> Result<(Vec<DbInstance>, usize), AwsError> {
        let listing = Box::pin(self.listing(ResourceKind::DbInstance))
            .await
            .whole()?;
        let instances = listing
            .items
            .into_iter()
            .map(|document| DbInstance {
                region: self.region.clone(),
                document,
            })
            .collect();
        Ok((instances, listing.calls))
    }

    /// `DescribeDBClusters`.
    pub async fn db_clusters(&self) -> Result<(Vec<DbCluster>, usize), AwsError> {
        let listing = Box::pin(self.listing(ResourceKind::DbCluster))
            .await
            .whole()?;
        let clusters = listing
            .items
            .into_iter()
            .map(|document| DbCluster {
                region: self.region.clone(),
                document,
            })
            .collect();
        Ok((clusters, listing.calls))
    }

    /// Every page of a kind's listing, all of it that the account sees: snapshots that others share included, public
    /// ones not; automated backups retained after a deletion and copied from other regions included. When a page fails,
    /// those before it are there all the same.
    pub async fn listing(&self, kind: ResourceKind) -> Reading {
        match kind {
            ResourceKind::DbInstance => pages!(
                self,
                Some(kind),
                "DescribeDBInstances",
                "DBInstances",
                self.client.describe_db_instances()
            ),
            ResourceKind::DbCluster => pages!(
                self,
                Some(kind),
                "DescribeDBClusters",
                "DBClusters",
                self.client.describe_db_clusters()
            ),
            ResourceKind::GlobalCluster => pages!(
                self,
                Some(kind),
                "DescribeGlobalClusters",
                "GlobalClusters",
                self.client.describe_global_clusters()
            ),
            ResourceKind::DbSnapshot => pages!(
                self,
                Some(kind),
                "DescribeDBSnapshots",
                "DBSnapshots",
                self.client.describe_db_snapshots().include_shared(true)
            ),
            ResourceKind::DbClusterSnapshot => pages!(
                self,
                Some(kind),
                "DescribeDBClusterSnapshots",
                "DBClusterSnapshots",
                self.client
                    .describe_db_cluster_snapshots()
                    .include_shared(true)
            ),
            ResourceKind::DbInstanceAutomatedBackup => pages!(
                self,
                Some(kind),
                "DescribeDBInstanceAutomatedBackups",
                "DBInstanceAutomatedBackups",
                self.client.describe_db_instance_automated_backups()
            ),
            ResourceKind::DbClusterAutomatedBackup => pages!(
                self,
                Some(kind),
                "DescribeDBClusterAutomatedBackups",
                "DBClusterAutomatedBackups",
                self.client.describe_db_cluster_automated_backups()
            ),
            ResourceKind::ExportTask => pages!(
                self,
                Some(kind),
                "DescribeExportTasks",
                "ExportTasks",
                self.client.describe_export_tasks()
            ),
        }
    }

    /// Those parameters of a group that policies ask for ([`PARAMETERS`]): one call, whatever the size of the group.
    pub async fn asked_parameters(
        &self,
        kind: GroupKind,
        group: &str,
    ) -> Result<Listing, AwsError> {
        let wanted = Filter::builder()
            .name("parameter-name")
            .set_values(Some(PARAMETERS.map(str::to_owned).to_vec()))
            .build();
        let reading: Reading = match kind {
            GroupKind::Instance => pages!(
                self,
                "DescribeDBParameters",
                "Parameters",
                self.client
                    .describe_db_parameters()
                    .db_parameter_group_name(group)
                    .filters(wanted.clone())
            ),
            GroupKind::Cluster => pages!(
                self,
                "DescribeDBClusterParameters",
                "Parameters",
                self.client
                    .describe_db_cluster_parameters()
                    .db_cluster_parameter_group_name(group)
                    .filters(wanted.clone())
            ),
        };
        reading.whole()
    }

    /// `DescribeDBSnapshots` of type `manual`.
    pub async fn manual_snapshots(&self) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribeDBSnapshots",
            "DBSnapshots",
            self.client.describe_db_snapshots().snapshot_type("manual")
        )
        .whole()
    }

    /// `DescribeDBClusterSnapshots` of type `manual`.
    pub async fn manual_cluster_snapshots(&self) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribeDBClusterSnapshots",
            "DBClusterSnapshots",
            self.client
                .describe_db_cluster_snapshots()
                .snapshot_type("manual")
        )
        .whole()
    }

    /// `DescribeDBParameters` with source `user`: what somebody has set.
    pub async fn user_parameters(&self, group: &str) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribeDBParameters",
            "Parameters",
            self.client
                .describe_db_parameters()
                .db_parameter_group_name(group)
                .source("user")
        )
        .whole()
    }

    /// `DescribeOptionGroups` of one group.
    pub async fn option_group(&self, group: &str) -> Result<Option<Value>, AwsError> {
        let reading: Reading = pages!(
            self,
            "DescribeOptionGroups",
            "OptionGroupsList",
            self.client
                .describe_option_groups()
                .option_group_name(group)
        );
        Ok(reading.whole()?.items.into_iter().next())
    }

    /// `DescribeOrderableDBInstanceOptions` of one engine version and class.
    pub async fn orderable(
        &self,
        engine: &str,
        version: &str,
        class: &str,
    ) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribeOrderableDBInstanceOptions",
            "OrderableDBInstanceOptions",
            self.client
                .describe_orderable_db_instance_options()
                .engine(engine)
                .engine_version(version)
                .db_instance_class(class)
        )
        .whole()
    }
}
