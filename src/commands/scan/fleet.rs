//! Reads the accounts of a scan side by side, and lets go of what an account holds as soon as it is judged.

use std::future::Future;

use atrest_model::scan::RegionScan;
use atrest_model::shard::EVERY_REGION;
use atrest_scanner::aws::{AccountRegion, Aws};
use atrest_scanner::error::{AwsError, AwsErrorKind};
use atrest_scanner::inventory::{self, Surface, Watch};
use atrest_scanner::packed::PackedAccount;
use atrest_scanner::regions;
use futures::future::{self, Either};
use futures::stream::{self, StreamExt as _};
use tokio::sync::watch;

use super::super::common;
use super::accounts::Target;
use crate::progress::ScanProgress;

/// Accounts read at the same time, each with all its regions. Rates are limited per account and region, so this is a
/// bound for our own memory and connections.
const ACCOUNTS_AT_ONCE: usize = 12;

const INTERRUPTED: &str = "interrupted before it was read";

/// What reading one account came to.
#[derive(Debug)]
pub(super) enum Account {
    /// Read, region by region; some may have failed.
    Read(PackedAccount, Vec<RegionScan>),
    /// Nothing of it could be read.
    Unread(RegionScan),
}

/// How accounts are read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    /// The regions asked for; all that are enabled for each account when there are none.
    pub(super) regions: Option<&'a [String]>,
    pub(super) surface: &'a Surface,
    /// Becomes true when the scan is to end.
    pub(super) stop: &'a watch::Receiver<bool>,
    pub(super) progress: &'a ScanProgress,
}

impl Reading<'_> {
    /// Reads all accounts; `take` gets each as it is done.
    pub(super) async fn all(&self, targets: Vec<Target>, mut take: impl FnMut(Account)) {
        let mut accounts = stream::iter(targets)
            .map(|target| Box::pin(self.account(target)))
            .buffer_unordered(ACCOUNTS_AT_ONCE);
        while let Some(account) = accounts.next().await {
            take(account);
            self.progress.account_done();
        }
    }

    async fn account(&self, mut target: Target) -> Account {
        let account = target.account.clone();
        let unread = |error: String| {
            Account::Unread(RegionScan {
                account: account.clone(),
                region: EVERY_REGION.to_owned(),
                error: Some(error),
                resources: 0,
                throttled: 0,
            })
        };
        let way = Box::pin(async {
            let known = target.regions.take();
            let aws = target.enter().await?;
            let regions = regions_of(self.regions, &aws, known).await?;
            Ok::<_, String>((aws, regions))
        });
        let (aws, regions) = match unless(self.stopped(), way).await {
            None => return unread(INTERRUPTED.to_owned()),
            Some(Err(reason)) => return unread(reason),
            Some(Ok(found)) => found,
        };
        self.progress.regions_found(regions.len());
        let watch = Watch {
            stop: Box::new(|| Box::pin(self.stopped())),
            done: Box::new(|_region| self.progress.region_done()),
        };
        let read = Box::pin(inventory::read_watched(
            &aws,
            &account,
            &regions,
            self.surface,
            watch,
        ))
        .await;
        let mut rows = read.frame().region_rows();
        for row in &mut rows {
            row.throttled = aws.throttled(&row.region);
        }
        Account::Read(read, rows)
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        stopped(self.stop)
    }
}

/// The regions asked for, or those enabled for the account, or, where it may not be asked for them, all of its
/// partition: one that is not enabled is then a hole with a reason.
pub(super) async fn regions_of(
    named: Option<&[String]>,
    aws: &Aws,
    known: Option<Result<Vec<AccountRegion>, AwsError>>,
) -> Result<Vec<String>, String> {
    if let Some(regions) = named {
        return Ok(regions.to_vec());
    }
    let answer = match known {
        Some(answer) => answer,
        None => aws.account_regions().await,
    };
    match answer {
        Ok(regions) => Ok(common::enabled(regions)),
        Err(error) if error.kind == AwsErrorKind::AccessDenied => {
            let identity = aws.identity().await.map_err(|error| error.to_string())?;
            let partition = regions::partition(identity.partition()).ok_or_else(|| {
                format!(
                    "{error}; name the regions with --region, those of partition {} are not known",
                    identity.partition()
                )
            })?;
            tracing::warn!(
                "account {} does not allow account:ListRegions: all {} known regions of partition {} are tried",
                identity.account,
                partition.regions.len(),
                partition.name
            );
            Ok(partition
                .regions
                .iter()
                .map(|&name| name.to_owned())
                .collect())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Ends when the scan is to end.
pub(super) fn stopped(stop: &watch::Receiver<bool>) -> impl Future<Output = ()> + Send + use<> {
    let mut stop = stop.clone();
    async move {
        // Nobody is left to ask for an end when the sender is gone.
        if stop.wait_for(|stop| *stop).await.is_err() {
            future::pending::<()>().await;
        }
    }
}

/// What `work` gives; `None` when `end` came first.
pub(super) async fn unless<T>(
    end: impl Future<Output = ()>,
    work: impl Future<Output = T> + Unpin,
) -> Option<T> {
    match future::select(Box::pin(end), work).await {
        Either::Left(_) => None,
        Either::Right((value, _)) => Some(value),
    }
}
