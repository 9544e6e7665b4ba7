//! The way into the account of a shard, with the credentials of whoever reads it.

use std::collections::HashMap;
use std::sync::Arc;

use atrest_model::shard::{EVERY_REGION, Shard, ShardPlan, ShardWay};
use atrest_scanner::aws::{Aws, Identity};
use atrest_scanner::error::AwsErrorKind;
use atrest_scanner::limit::Tally;
use tokio::sync::OnceCell;

use super::super::accounts::{by_role, load};
use crate::cli::ScanArgs;
use crate::exit::{Exit, ExpectedError};

/// Of one account: entered by the first of its shards, for all of them.
pub(super) type Door = Arc<OnceCell<Result<Aws, String>>>;

/// Enters accounts as the plan says.
pub(super) struct Entrance<'a> {
    /// With the role of the plan.
    args: ScanArgs,
    tally: &'a Tally,
    /// Absent where no shard needs the caller's own credentials.
    caller: Option<(Aws, Identity)>,
}

impl<'a> Entrance<'a> {
    /// Looks who the caller is, where a shard needs it.
    ///
    /// # Errors
    ///
    /// There are no credentials, or they are good for nothing: then no shard could be entered, which is no result.
    pub(super) async fn new(
        args: &ScanArgs,
        plan: &ShardPlan,
        shards: &[&Shard],
        tally: &'a Tally,
    ) -> anyhow::Result<Self> {
        let asked = &plan.header.asked;
        let mut args = args.clone();
        args.role_name.clone_from(&asked.role_name);
        args.external_id.clone_from(&asked.external_id);
        // Account-wide services are asked where a single process would ask them.
        let some_region = plan.shards.iter().find(|s| s.region != EVERY_REGION);
        args.aws.region = some_region.iter().map(|s| s.region.clone()).collect();
        let needs_caller = |shard: &&Shard| matches!(shard.way, ShardWay::Own | ShardWay::Role);
        let caller = if shards.iter().any(needs_caller) {
            let aws = load(&args, args.aws.profile.clone(), tally).await;
            let identity = aws.identity().await.map_err(|error| match error.kind {
                AwsErrorKind::Credentials => ExpectedError::aws(&error),
                _ => ExpectedError::of(Exit::NothingScanned, error.to_string(), error.hint()),
            })?;
            Some((aws, identity))
        } else {
            None
        };
        Ok(Self {
            args,
            tally,
            caller,
        })
    }

    /// One door an account.
    pub(super) fn doors(shards: &[&Shard]) -> HashMap<String, Door> {
        shards
            .iter()
            .map(|shard| (shard.account.clone(), Door::default()))
            .collect()
    }

    /// The way into the account; otherwise why there is none.
    pub(super) async fn enter(&self, shard: &Shard, door: &Door) -> Result<Aws, String> {
        if let ShardWay::None { reason } = &shard.way {
            return Err(reason.clone());
        }
        let entered = door.get_or_init(|| Box::pin(self.open(shard))).await;
        entered.clone()
    }

    async fn open(&self, shard: &Shard) -> Result<Aws, String> {
        let stranger = |found: &str| {
            format!(
                "the credentials are of account {found}, and the shard is of {}",
                shard.account
            )
        };
        match (&shard.way, &self.caller) {
            (ShardWay::None { reason }, _) => Err(reason.clone()),
            (ShardWay::Profile { name }, _) => {
                let aws = load(&self.args, Some(name.clone()), self.tally).await;
                let identity = aws.identity().await;
                let identity = identity.map_err(|error| format!("profile {name}: {error}"))?;
                if identity.account == shard.account {
                    Ok(aws)
                } else {
                    let why = stranger(&identity.account);
                    Err(format!("profile {name}: {why}"))
                }
            }
            (ShardWay::Own, Some((aws, identity))) if identity.account == shard.account => {
                Ok(aws.clone())
            }
            (ShardWay::Own, Some((_, identity))) => Err(stranger(&identity.account)),
            (ShardWay::Role, Some((aws, identity))) => {
                let target = by_role(aws, identity, shard.account.clone(), &self.args);
                target.enter().await
            }
            (ShardWay::Own | ShardWay::Role, None) => Err("nobody is logged in".to_owned()),
        }
    }
}
