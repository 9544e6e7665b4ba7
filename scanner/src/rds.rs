//! RDS reads: one method a call, all pages, whole documents.

use std::sync::{Arc, Mutex, PoisonError};

use atrest_model::document::str_of;
use atrest_model::instance::{DbCluster, DbInstance};
use atrest_model::resource::{GroupKind, PARAMETERS};
use atrest_model::scan::ResourceKind;
use aws_sdk_rds::Client;
use aws_sdk_rds::types::Filter;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;

use crate::error::AwsError;
use crate::xml;

/// Most pages of one listing: 100 000 pages of 100 are ten million resources, more than any account holds.
const MAX_PAGES: usize = 100_000;

/// RDS in one region. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rds {
    client: Client,
    region: String,
}

/// A listing: its items and how many calls it took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// Items in the order AWS sent them.
    pub items: Vec<Value>,
    /// Calls made.
    pub calls: usize,
}

/// Keeps the body of an answer, so that one call gives both the SDK's verdict and the whole document.
#[derive(Debug, Clone, Default)]
struct Capture(Arc<Mutex<String>>);

impl Capture {
    fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[dyn_dispatch_hint]
impl Intercept for Capture {
    fn name(&self) -> &'static str {
        "capture the answer"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // RDS answers are read whole before they are parsed; a body that is not UTF-8 is refused by the parser.
        if let Some(bytes) = context.response().body().bytes() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
                String::from_utf8_lossy(bytes).into_owned();
        }
        Ok(())
    }
}

/// Sends one operation and returns the document of its answer.
macro_rules! call {
    ($self:ident, $operation:literal, $builder:expr) => {{
        let capture = Capture::default();
        let sent = $builder
            .customize()
            .interceptor(capture.clone())
            .send()
            .await;
        match sent {
            Err(error) => Err(AwsError::from_sdk($operation, &$self.region, &error)),
            Ok(_) => xml::result_document(&capture.take(), $operation)
                .map_err(|e| AwsError::bad_answer($operation, &$self.region, &e.to_string())),
        }
    }};
}

/// All pages of a listing.
macro_rules! pages {
    ($self:ident, $operation:literal, $list:literal, $builder:expr) => {{
        let mut listing = Listing::default();
        let mut marker: Option<String> = None;
        loop {
            let mut document = call!(
                $self,
                $operation,
                $builder.clone().set_marker(marker.clone())
            )?;
            listing.calls += 1;
            if let Some(Value::Array(items)) = document.get_mut($list).map(Value::take) {
                listing.items.extend(items);
            }
            let next = str_of(&document, "Marker")
                .filter(|m| !m.is_empty())
                .map(str::to_owned);
            match next {
                None => break Ok(listing),
                // A marker that comes back would never end.
                Some(next) if Some(&next) == marker.as_ref() || listing.calls >= MAX_PAGES => {
                    break Err(AwsError::bad_answer(
                        $operation,
                        &$self.region,
                        "its pages do not end",
                    ));
                }
                Some(next) => marker = Some(next),
            }
        }
    }};
}

mod around;

impl Rds {
    pub(crate) fn new(client: Client, region: &str) -> Self {
        Self {
            client,
            region: region.to_owned(),
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
        let listing = Box::pin(self.listing(ResourceKind::DbInstance)).await?;
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
        let listing = Box::pin(self.listing(ResourceKind::DbCluster)).await?;
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
    /// ones not; automated backups retained after a deletion and copied from other regions included.
    pub async fn listing(&self, kind: ResourceKind) -> Result<Listing, AwsError> {
        match kind {
            ResourceKind::DbInstance => pages!(
                self,
                "DescribeDBInstances",
                "DBInstances",
                self.client.describe_db_instances()
            ),
            ResourceKind::DbCluster => pages!(
                self,
                "DescribeDBClusters",
                "DBClusters",
                self.client.describe_db_clusters()
            ),
            ResourceKind::GlobalCluster => pages!(
                self,
                "DescribeGlobalClusters",
                "GlobalClusters",
                self.client.describe_global_clusters()
            ),
            ResourceKind::DbSnapshot => pages!(
                self,
                "DescribeDBSnapshots",
                "DBSnapshots",
                self.client.describe_db_snapshots().include_shared(true)
            ),
            ResourceKind::DbClusterSnapshot => pages!(
                self,
                "DescribeDBClusterSnapshots",
                "DBClusterSnapshots",
                self.client
                    .describe_db_cluster_snapshots()
                    .include_shared(true)
            ),
            ResourceKind::DbInstanceAutomatedBackup => pages!(
                self,
                "DescribeDBInstanceAutomatedBackups",
                "DBInstanceAutomatedBackups",
                self.client.describe_db_instance_automated_backups()
            ),
            ResourceKind::DbClusterAutomatedBackup => pages!(
                self,
                "DescribeDBClusterAutomatedBackups",
                "DBClusterAutomatedBackups",
                self.client.describe_db_cluster_automated_backups()
            ),
            ResourceKind::ExportTask => pages!(
                self,
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
        match kind {
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
        }
    }

    /// `DescribeDBSnapshots` of type `manual`.
    pub async fn manual_snapshots(&self) -> Result<Listing, AwsError> {
        pages!(
            self,
            "DescribeDBSnapshots",
            "DBSnapshots",
            self.client.describe_db_snapshots().snapshot_type("manual")
        )
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
    }

    /// `DescribeOptionGroups` of one group.
    pub async fn option_group(&self, group: &str) -> Result<Option<Value>, AwsError> {
        let listing: Result<Listing, AwsError> = pages!(
            self,
            "DescribeOptionGroups",
            "OptionGroupsList",
            self.client
                .describe_option_groups()
                .option_group_name(group)
        );
        Ok(listing?.items.into_iter().next())
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
    }
}
